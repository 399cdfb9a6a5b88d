//! A Variant as JSON text.
//!
//! The bytes may come from anywhere: each place is checked, and so is how much is read. Every value of
//! a Variant has bytes of its own, so that whoever reads more bytes than there are reads some twice,
//! and would write text without end.

use num_bigint::BigInt;

use super::{
    BINARY, DATE, DECIMAL4, DECIMAL8, DECIMAL16, DOUBLE, FALSE, FLOAT, INT8, INT16, INT32, INT64,
    LONG_STRING, NULL, OBJECT, PRIMITIVE, SHORT_STRING, TIME, TIMESTAMP, TIMESTAMP_NANOS,
    TIMESTAMP_NANOS_NTZ, TIMESTAMP_NTZ, TRUE, UUID, VERSION,
};
use crate::converter::DataError;
use crate::data::Value;
use crate::java_text::Calendar;
use crate::json::text::write_string;
use crate::json::{WriteOptions, write_value};
use crate::number_text::BigDecimal;

/// Values inside of values that a core's stack has room for.
const RECURSION: usize = 300;
/// Most bytes of JSON: a few long names, told by number, would make of a small Variant any amount.
const MOST: usize = 1 << 28;

const DAY_SECONDS: i64 = 86_400;

/// Appends what the Variant says. On an error `out` may hold a beginning.
pub(crate) fn write_json(
    metadata: &[u8],
    value: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), DataError> {
    let names = Names::of(metadata)?;
    let most = out.len().saturating_add(MOST);
    let mut decoder = Decoder { names, value, left: value.len(), most, depth: 0, out };
    decoder.value(0)
}

/// The metadata.
struct Names<'v> {
    bytes: &'v [u8],
    /// Bytes of a number.
    wide: usize,
    count: usize,
}

impl<'v> Names<'v> {
    fn of(bytes: &'v [u8]) -> Result<Self, DataError> {
        let header = *bytes.first().ok_or_else(|| broken("the metadata is empty"))?;
        if header & 0x0F != VERSION {
            let version = header & 0x0F;
            return Err(broken(&format!("its metadata is of version {version}, not {VERSION}")));
        }
        let wide = usize::from(header >> 6) + 1;
        Ok(Self { bytes, wide, count: number(bytes, 1, wide)? })
    }

    fn name(&self, id: usize) -> Result<&'v [u8], DataError> {
        if id >= self.count {
            let count = self.count;
            return Err(broken(&format!("there is no name {id} among its {count}")));
        }
        let offset = |at: usize| number(self.bytes, 1 + (1 + at) * self.wide, self.wide);
        let (from, to) = (offset(id)?, offset(id + 1)?);
        let start = 1 + (self.count + 2) * self.wide;
        self.bytes
            .get(start + from..start + to)
            .ok_or_else(|| broken("a name stands outside of its metadata"))
    }
}

struct Decoder<'v, 'o> {
    names: Names<'v>,
    value: &'v [u8],
    /// Bytes that no value has taken yet.
    left: usize,
    /// Where the text must end.
    most: usize,
    depth: usize,
    out: &'o mut Vec<u8>,
}

impl<'v> Decoder<'v, '_> {
    fn value(&mut self, at: usize) -> Result<(), DataError> {
        let header = self.take(at, 1)?[0];
        let info = header >> 2;
        match header & 3 {
            PRIMITIVE => self.primitive(info, at + 1),
            SHORT_STRING => self.string(at + 1, info.into()),
            OBJECT => self.container(at + 1, info >> 4 & 1, Some((info >> 2 & 3) + 1), info & 3),
            _ => self.container(at + 1, info >> 2 & 1, None, info & 3),
        }
    }

    /// Bytes that belong to one value alone.
    fn take(&mut self, at: usize, length: usize) -> Result<&'v [u8], DataError> {
        let end = at.checked_add(length).filter(|end| *end <= self.value.len());
        let end = end.ok_or_else(|| broken(&format!("it ends within the value at byte {at}")))?;
        self.left = self
            .left
            .checked_sub(length)
            .ok_or_else(|| broken(&format!("the value at byte {at} is part of two others")))?;
        Ok(&self.value[at..end])
    }

    fn bytes<const N: usize>(&mut self, at: usize) -> Result<[u8; N], DataError> {
        let bytes = self.take(at, N)?;
        Ok(std::array::from_fn(|place| bytes[place]))
    }

    fn long(&mut self, at: usize) -> Result<i64, DataError> {
        Ok(i64::from_le_bytes(self.bytes(at)?))
    }

    fn primitive(&mut self, type_: u8, at: usize) -> Result<(), DataError> {
        let plain = match type_ {
            NULL => Value::Null,
            TRUE => Value::Boolean(true),
            FALSE => Value::Boolean(false),
            INT8 => Value::Int8(i8::from_le_bytes(self.bytes(at)?)),
            INT16 => Value::Int16(i16::from_le_bytes(self.bytes(at)?)),
            INT32 => Value::Int32(i32::from_le_bytes(self.bytes(at)?)),
            INT64 => Value::Int64(self.long(at)?),
            FLOAT => Value::Float32(f32::from_le_bytes(self.bytes(at)?)),
            DOUBLE => Value::Float64(f64::from_le_bytes(self.bytes(at)?)),
            BINARY => {
                let length = number(self.take(at, 4)?, 0, 4)?;
                Value::Bytes(self.take(at + 4, length)?)
            }
            LONG_STRING => {
                let length = number(self.take(at, 4)?, 0, 4)?;
                return self.string(at + 4, length);
            }
            DECIMAL4 | DECIMAL8 | DECIMAL16 => return self.decimal(type_, at),
            _ => return self.told_as_text(type_, at),
        };
        write_value(None, plain, self.out, &WriteOptions::default())
    }

    fn decimal(&mut self, type_: u8, at: usize) -> Result<(), DataError> {
        let scale = i32::from(self.take(at, 1)?[0]);
        let unscaled = match type_ {
            DECIMAL4 => BigInt::from(i32::from_le_bytes(self.bytes(at + 1)?)),
            DECIMAL8 => BigInt::from(self.long(at + 1)?),
            _ => BigInt::from(i128::from_le_bytes(self.bytes(at + 1)?)),
        };
        let shown = BigDecimal { unscaled, scale }.to_string();
        self.out.extend_from_slice(shown.as_bytes());
        Ok(())
    }

    /// What JSON has no type for.
    fn told_as_text(&mut self, type_: u8, at: usize) -> Result<(), DataError> {
        let parts = |number: i64, of_second: i64| {
            let nanos = number.rem_euclid(of_second) * (1_000_000_000 / of_second);
            (number.div_euclid(of_second), nanos)
        };
        let text = match type_ {
            DATE => date(i32::from_le_bytes(self.bytes(at)?).into()),
            // Exact for all years; the JVM's are others for moments with a zone beyond 2262.
            TIMESTAMP => instant(parts(self.long(at)?, 1_000_000)),
            TIMESTAMP_NANOS => instant(parts(self.long(at)?, 1_000_000_000)),
            TIMESTAMP_NTZ => local(parts(self.long(at)?, 1_000_000)),
            TIMESTAMP_NANOS_NTZ => local(parts(self.long(at)?, 1_000_000_000)),
            TIME => match parts(self.long(at)?, 1_000_000) {
                time @ (0..DAY_SECONDS, _) => clock(time),
                _ => return Err(broken("its time is not of one day")),
            },
            UUID => uuid(self.bytes(at)?),
            other => return Err(broken(&format!("there is no primitive type {other}"))),
        };
        write_string(&text, self.out);
        Ok(())
    }

    fn string(&mut self, at: usize, length: usize) -> Result<(), DataError> {
        let text = self.take(at, length)?;
        write_string(&String::from_utf8_lossy(text), self.out);
        Ok(())
    }

    /// An object, if there is a width of its names' numbers, else an array.
    fn container(
        &mut self,
        at: usize,
        large: u8,
        id: Option<u8>,
        offset: u8,
    ) -> Result<(), DataError> {
        self.depth += 1;
        if self.depth > RECURSION {
            return Err(broken("it nests too deeply"));
        }
        let (id, offset) = (id.map(usize::from), usize::from(offset) + 1);
        let counted = if large > 0 { 4 } else { 1 };
        let count = number(self.take(at, counted)?, 0, counted)?;
        let ids = at + counted;
        let offsets = ids + count * id.unwrap_or(0);
        let data = offsets + (count + 1) * offset;
        self.take(ids, data - ids)?;
        self.out.push(if id.is_some() { b'{' } else { b'[' });
        for nth in 0..count {
            if nth > 0 {
                self.out.push(b',');
            }
            if let Some(id) = id {
                let name = self.names.name(number(self.value, ids + nth * id, id)?)?;
                write_string(&String::from_utf8_lossy(name), self.out);
                self.out.push(b':');
                if self.out.len() > self.most {
                    return Err(broken(&format!("it is more than {MOST} bytes of JSON")));
                }
            }
            self.value(data + number(self.value, offsets + nth * offset, offset)?)?;
        }
        self.out.push(if id.is_some() { b'}' } else { b']' });
        self.depth -= 1;
        Ok(())
    }
}

/// The unsigned number of `wide` bytes at `at`, four at most.
fn number(bytes: &[u8], at: usize, wide: usize) -> Result<usize, DataError> {
    let bytes = bytes.get(at..at + wide).ok_or_else(|| broken("it ends within a number"))?;
    Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
}

/// `LocalDate.toString()`.
fn date(days: i64) -> String {
    let Calendar { year, month, day, .. } = Calendar::of(days * DAY_SECONDS * 1000);
    let sign = match year {
        ..0 => "-",
        10_000.. => "+",
        _ => "",
    };
    format!("{sign}{:04}-{month:02}-{day:02}", year.abs())
}

/// `Instant.toString()`.
fn instant((seconds, nanos): (i64, i64)) -> String {
    let day = date(seconds.div_euclid(DAY_SECONDS));
    format!("{day}T{}Z", clock((seconds.rem_euclid(DAY_SECONDS), nanos)))
}

/// Confluent's own form: no plus before great years, and a sign is one of the four places.
fn local((seconds, nanos): (i64, i64)) -> String {
    let Calendar { year, month, day, .. } =
        Calendar::of(seconds.div_euclid(DAY_SECONDS) * DAY_SECONDS * 1000);
    let clock = clock((seconds.rem_euclid(DAY_SECONDS), nanos));
    format!("{year:04}-{month:02}-{day:02}T{clock}")
}

/// Hours, minutes, seconds, and three, six or nine digits of what is left, if any.
fn clock((seconds, nanos): (i64, i64)) -> String {
    let (minutes, second) = (seconds / 60, seconds % 60);
    let time = format!("{:02}:{:02}:{second:02}", minutes / 60, minutes % 60);
    match nanos {
        0 => time,
        _ if nanos % 1_000_000 == 0 => format!("{time}.{:03}", nanos / 1_000_000),
        _ if nanos % 1000 == 0 => format!("{time}.{:06}", nanos / 1000),
        _ => format!("{time}.{nanos:09}"),
    }
}

fn uuid(bytes: [u8; 16]) -> String {
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cold]
fn broken(what: &str) -> DataError {
    DataError::new(format!("Invalid Variant: {what}"))
}
