//! A value as a Variant, byte for byte as Confluent's builder writes it.
//!
//! Numbers have the types that Jackson reads them as: 32 bits, 64 bits, decimals. Names are numbered
//! as they come in the text; an object has its members in Java's order of their names.

use std::collections::HashMap;

use bumpalo::collections::Vec as BumpVec;
use num_bigint::BigInt;

use super::{
    ARRAY, DECIMAL4, DECIMAL8, DECIMAL16, DOUBLE, FALSE, INT32, INT64, LONG_STRING, NULL, OBJECT,
    PRIMITIVE, SHORT_STRING, TRUE, VERSION,
};
use crate::arena::Arena;
use crate::converter::DataError;
use crate::data::{Decimal, Value};
use crate::number_text::BigDecimal;

/// Bytes of a string whose length its header tells.
const SHORT: usize = 63;
/// Decimal digits that each of the decimal types holds.
const DIGITS4: u32 = 9;
const DIGITS8: u32 = 18;
const DIGITS16: u32 = 38;
/// Items that a container counts in one byte.
const FEW_ITEMS: usize = 255;
/// Names that are found by looking at each.
const FEW_NAMES: usize = 16;

/// The metadata and the value of `value`, which holds what JSON can say: null, booleans, integers,
/// decimals, text, arrays, and maps whose keys are text.
pub(crate) fn encode<'a>(
    value: Value<'a>,
    arena: &'a Arena,
) -> Result<(&'a [u8], &'a [u8]), DataError> {
    let mut names = Names { list: arena.vec(), places: HashMap::new() };
    names.learn(&value);
    let mut encoder = Encoder { names, out: arena.vec(), arena };
    encoder.value(&value)?;
    let metadata = encoder.names.metadata(arena)?;
    Ok((metadata, encoder.out.into_bump_slice()))
}

/// The names of all objects, in the order in which they came.
struct Names<'a> {
    list: BumpVec<'a, &'a str>,
    /// Only of many names: a map for each record's few would be an allocation for nothing.
    places: HashMap<&'a str, usize>,
}

impl<'a> Names<'a> {
    fn learn(&mut self, value: &Value<'a>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.learn(item)),
            Value::Map(entries) => {
                for (key, value) in *entries {
                    if let Some(name) = key.as_str()
                        && self.place(name).is_none()
                    {
                        self.add(name);
                    }
                    self.learn(value);
                }
            }
            _ => {}
        }
    }

    fn add(&mut self, name: &'a str) {
        self.list.push(name);
        match self.list.len() {
            ..=FEW_NAMES => {}
            length if self.places.is_empty() => {
                self.places.reserve(2 * length);
                self.places.extend(self.list.iter().enumerate().map(|(at, name)| (*name, at)));
            }
            length => {
                self.places.insert(name, length - 1);
            }
        }
    }

    fn place(&self, name: &str) -> Option<usize> {
        match self.list.len() {
            ..=FEW_NAMES => self.list.iter().position(|known| *known == name),
            _ => self.places.get(name).copied(),
        }
    }

    fn metadata(&self, arena: &'a Arena) -> Result<&'a [u8], DataError> {
        let count = self.list.len();
        let bytes: usize = self.list.iter().map(|name| name.len()).sum();
        let wide = width(bytes.max(count))?;
        let mut out = BumpVec::with_capacity_in(1 + (count + 2) * wide + bytes, arena.bump());
        out.push(VERSION | ((wide - 1) << 6) as u8);
        number(count, wide, &mut out);
        let mut offset = 0;
        for name in &self.list {
            number(offset, wide, &mut out);
            offset += name.len();
        }
        number(offset, wide, &mut out);
        for name in &self.list {
            out.extend_from_slice_copy(name.as_bytes());
        }
        Ok(out.into_bump_slice())
    }
}

struct Encoder<'a> {
    names: Names<'a>,
    out: BumpVec<'a, u8>,
    arena: &'a Arena,
}

impl<'a> Encoder<'a> {
    fn value(&mut self, value: &Value<'a>) -> Result<(), DataError> {
        match value {
            Value::Null => self.primitive(NULL, &[]),
            Value::Boolean(true) => self.primitive(TRUE, &[]),
            Value::Boolean(false) => self.primitive(FALSE, &[]),
            Value::Int32(number) => self.primitive(INT32, &number.to_le_bytes()),
            Value::Int64(number) => self.primitive(INT64, &number.to_le_bytes()),
            Value::Decimal(decimal) => return self.decimal(decimal),
            Value::Str(text) => return self.string(text),
            Value::Array(items) => return self.array(items),
            Value::Map(entries) => return self.object(entries),
            other => {
                return Err(DataError::new(format!(
                    "A Variant of JSON holds no class {}",
                    other.java_class()
                )));
            }
        }
        Ok(())
    }

    fn primitive(&mut self, type_: u8, content: &[u8]) {
        self.out.push(type_ << 2 | PRIMITIVE);
        self.out.extend_from_slice_copy(content);
    }

    fn string(&mut self, text: &str) -> Result<(), DataError> {
        let bytes = text.as_bytes();
        if bytes.len() <= SHORT {
            self.out.push((bytes.len() as u8) << 2 | SHORT_STRING);
        } else {
            let length = u32::try_from(bytes.len()).map_err(|_| too_large())?;
            self.primitive(LONG_STRING, &length.to_le_bytes());
        }
        self.out.extend_from_slice_copy(bytes);
        Ok(())
    }

    fn decimal(&mut self, decimal: &Decimal<'_>) -> Result<(), DataError> {
        let unscaled = low_128(decimal.unscaled);
        match (unscaled, u8::try_from(decimal.scale)) {
            (Some(unscaled), Ok(scale)) => {
                self.digits(unscaled, scale);
                Ok(())
            }
            _ => self.far_decimal(decimal),
        }
    }

    fn digits(&mut self, unscaled: i128, scale: u8) {
        let digits = unscaled.unsigned_abs().checked_ilog10().map_or(1, |log| log + 1);
        let (type_, wide) = if digits <= DIGITS4 {
            (DECIMAL4, 4)
        } else if digits <= DIGITS8 {
            (DECIMAL8, 8)
        } else {
            (DECIMAL16, 16)
        };
        self.primitive(type_, &[scale]);
        self.out.extend_from_slice_copy(&unscaled.to_le_bytes()[..wide]);
    }

    /// A number whose digits or scale no decimal holds. The JVM writes what is left of it in the
    /// bytes that there are, another number; here it is another form of the same one, or refused.
    #[cold]
    fn far_decimal(&mut self, decimal: &Decimal<'_>) -> Result<(), DataError> {
        let number = BigDecimal::from_bytes(decimal.unscaled, decimal.scale);
        if number.is_zero() {
            self.digits(0, 0);
            return Ok(());
        }
        let zeros = number.scale.min(0).unsigned_abs();
        if zeros <= DIGITS16
            && number.scale < 0
            && let Ok(whole) = i128::try_from(&number.unscaled * BigInt::from(10).pow(zeros))
            && whole.unsigned_abs() < 10u128.pow(DIGITS16)
        {
            self.digits(whole, 0);
            return Ok(());
        }
        let double = number.double_value();
        let same = BigDecimal::parse(&format!("{double:e}"))
            .is_some_and(|double| double.compare(&number).is_eq());
        if !same {
            return Err(DataError::new(format!(
                "The number {number} fits into no decimal of a Variant ({DIGITS16} digits, scale 0 \
                 to 255) and no double"
            )));
        }
        self.primitive(DOUBLE, &double.to_le_bytes());
        Ok(())
    }

    fn array(&mut self, items: &[Value<'a>]) -> Result<(), DataError> {
        let start = self.out.len();
        let mut offsets = BumpVec::with_capacity_in(items.len() + 1, self.arena.bump());
        for item in items {
            offsets.push(self.out.len() - start);
            self.value(item)?;
        }
        offsets.push(self.out.len() - start);
        self.enclose(start, &[], &offsets)
    }

    fn object(&mut self, entries: &[(Value<'a>, Value<'a>)]) -> Result<(), DataError> {
        let start = self.out.len();
        let bump = self.arena.bump();
        let name = |entry: &(Value<'a>, Value<'a>)| entry.0.as_str().unwrap_or_default();
        let mut order = BumpVec::with_capacity_in(entries.len(), bump);
        order.extend(entries.iter().map(|entry| (name(entry), &entry.1)));
        // Java compares the units of UTF-16.
        order.sort_by(|(one, _), (other, _)| one.encode_utf16().cmp(other.encode_utf16()));
        let mut ids = BumpVec::with_capacity_in(entries.len(), bump);
        let mut offsets = BumpVec::with_capacity_in(entries.len() + 1, bump);
        for (name, value) in &order {
            ids.push(self.names.place(name).unwrap_or_default());
            offsets.push(self.out.len() - start);
            self.value(value)?;
        }
        offsets.push(self.out.len() - start);
        match ids.is_empty() {
            // Without members there are no numbers of names, but a width of theirs.
            true => {
                self.out.extend_from_slice_copy(&[OBJECT, 0, 0]);
                Ok(())
            }
            false => self.enclose(start, &ids, &offsets),
        }
    }

    /// What stands from `start` on becomes the content of a container: of an object, if its members
    /// have numbers of names. The offsets' last is the content's size.
    fn enclose(&mut self, start: usize, ids: &[usize], offsets: &[usize]) -> Result<(), DataError> {
        let count = offsets.len() - 1;
        let size = offsets[count];
        let id = width(ids.iter().copied().max().unwrap_or_default())?;
        let offset = width(size)?;
        let large = count > FEW_ITEMS;
        let counted = if large { 4 } else { 1 };
        let head = 1 + counted + ids.len() * id + offsets.len() * offset;
        self.out.resize(start + head + size, 0);
        self.out.copy_within(start..start + size, start + head);
        let (large, id_bits, offset_bits) = (u8::from(large), (id - 1) as u8, (offset - 1) as u8);
        let mut at = start + 1;
        self.out[start] = match ids.is_empty() {
            true => (large << 2 | offset_bits) << 2 | ARRAY,
            false => (large << 4 | id_bits << 2 | offset_bits) << 2 | OBJECT,
        };
        let mut put = |number: usize, wide: usize| {
            self.out[at..at + wide].copy_from_slice(&number.to_le_bytes()[..wide]);
            at += wide;
        };
        put(count, counted);
        ids.iter().for_each(|number| put(*number, id));
        offsets.iter().for_each(|number| put(*number, offset));
        Ok(())
    }
}

/// Bytes that the number needs.
fn width(number: usize) -> Result<usize, DataError> {
    match number {
        0..=0xFF => Ok(1),
        0x100..=0xFFFF => Ok(2),
        0x1_0000..=0xFF_FFFF => Ok(3),
        // To Java it is a signed number.
        0x100_0000..=0x7FFF_FFFF => Ok(4),
        _ => Err(too_large()),
    }
}

fn number(number: usize, wide: usize, out: &mut BumpVec<'_, u8>) {
    out.extend_from_slice_copy(&number.to_le_bytes()[..wide]);
}

/// A big-endian two's complement of 128 bits at most.
fn low_128(bytes: &[u8]) -> Option<i128> {
    let from = 16usize.checked_sub(bytes.len())?;
    let negative = bytes.first().is_some_and(|byte| *byte > 127);
    let mut all = [if negative { 0xFF } else { 0 }; 16];
    all[from..].copy_from_slice(bytes);
    Some(i128::from_be_bytes(all))
}

#[cold]
fn too_large() -> DataError {
    DataError::new("The value is too large for a Variant, which has room for 2 GiB")
}
