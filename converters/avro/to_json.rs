//! Runs a [`Program`] over a record's bytes straight to JSON text: what `JsonConverter` without
//! schemas writes of the value, without the value.
//!
//! Names and punctuation were made into literals with the program, so that a field costs one copy
//! of its literal and one of its text.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::decode::{NO_BRANCH, NO_PLAN, NO_SYMBOL, RECURSION, TOO_DEEP, time};
use super::input::FREE_ITEMS;
use super::program::{At, Branch, Op, Program};
use crate::data::Schema;
use crate::json::text::{write_string, write_utf8};
use crate::number_text::{write_double, write_float};
use crate::varint::{Fault, Input};

/// Where the keys of maps under way stand in the text; kept for its memory.
#[derive(Debug, Default)]
pub(super) struct Keys(Vec<Range<usize>>);

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    Whole,
    /// A map has a key twice, of which only the value knows what stays.
    KeyTwice,
}

/// Appends the value as JSON; on a fault, `input.at` is the place of it and `out` holds a beginning.
pub(super) fn write(
    program: &Program,
    input: &mut Input<'_>,
    out: &mut Vec<u8>,
    keys: &mut Keys,
) -> Result<Written, Fault> {
    with_writer(program, input, out, keys, |writer, schema| writer.value(program.root, schema))
}

/// Appends a scalar without symbols.
pub(super) fn write_scalar(
    program: &Program,
    op: Op,
    input: &mut Input<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let mut keys = Keys::default();
    with_writer(program, input, out, &mut keys, |writer, schema| writer.scalar(op, schema))?;
    Ok(())
}

#[inline]
fn with_writer<'p>(
    program: &'p Program,
    input: &mut Input<'_>,
    out: &mut Vec<u8>,
    Keys(keys): &mut Keys,
    write: impl FnOnce(&mut Writer<'_, 'p, '_>, &'p Schema) -> Result<(), Fault>,
) -> Result<Written, Fault> {
    let schema = program.schema.as_deref().ok_or(NO_PLAN)?;
    keys.clear();
    let became = Written::Whole;
    let (depth, free) = (0, FREE_ITEMS);
    let mut writer = Writer { program, input: *input, out, keys, became, depth, free };
    let written = write(&mut writer, schema);
    *input = writer.input;
    written.map(|()| writer.became)
}

struct Writer<'i, 'p, 'o> {
    program: &'p Program,
    input: Input<'i>,
    out: &'o mut Vec<u8>,
    keys: &'o mut Vec<Range<usize>>,
    became: Written,
    depth: usize,
    free: usize,
}

impl<'p> Writer<'_, 'p, '_> {
    /// The value at `at`. The schema is there for the symbols of enums alone.
    fn value(&mut self, at: At, schema: &'p Schema) -> Result<(), Fault> {
        let program = self.program;
        let node = &program.nodes[at as usize];
        match node.op {
            Op::Optional { null, inner } => {
                if self.input.index(2, NO_BRANCH)? == usize::from(null) {
                    self.out.extend_from_slice(program.literal(&node.null));
                    return Ok(());
                }
                return self.value(inner, schema);
            }
            Op::Single(inner) => {
                self.input.index(1, NO_BRANCH)?;
                return self.value(inner, schema);
            }
            Op::Record(number) => return self.record(number, schema),
            Op::Array(items) => return self.array(items, schema),
            Op::Map(values) => return self.map(values, schema),
            Op::Entries(key) => return self.entries(key, schema),
            Op::Union(number) => return self.union(number, schema, at),
            // The schemas of a record inside of itself are those of the first one; the symbols of
            // its enums are found through the program's own copy of the definition.
            Op::Again(number) => return self.again(number),
            _ => {}
        }
        self.scalar(node.op, schema)
    }

    fn scalar(&mut self, op: Op, schema: &'p Schema) -> Result<(), Fault> {
        match op {
            Op::String => {
                let start = self.input.counted().map(|text| self.input.at - text.len())?;
                write_utf8(self.input.bytes, start, self.input.at, self.out);
            }
            Op::Int64 | Op::Timestamp => {
                let number = self.input.long()?;
                self.integer(number);
            }
            Op::Int32 | Op::Date => {
                let number = self.input.int()?;
                self.integer(number.into());
            }
            Op::Int8 => {
                let number = self.input.int()? as i8;
                self.integer(number.into());
            }
            Op::Int16 => {
                let number = self.input.int()? as i16;
                self.integer(number.into());
            }
            Op::Time => {
                let number = time(&mut self.input)?;
                self.integer(number.into());
            }
            Op::Double => {
                let number = self.input.double()?;
                self.quoted_unless(number.is_finite(), |out| write_double(number, out));
            }
            Op::Float => {
                let number = self.input.float()?;
                self.quoted_unless(number.is_finite(), |out| write_float(number, out));
            }
            Op::Boolean => {
                let text: &[u8] = if self.input.boolean()? { b"true" } else { b"false" };
                self.out.extend_from_slice(text);
            }
            Op::Bytes => {
                let bytes = self.input.counted()?;
                base64(bytes, self.out);
            }
            Op::Fixed(size) => {
                let bytes = self.input.take(size as usize)?;
                base64(bytes, self.out);
            }
            Op::Enum { first, count, cut } => {
                let symbol = self.input.index(count.into(), NO_SYMBOL)?;
                let key = schema.parameters.get(usize::from(first) + symbol);
                let symbol = key.and_then(|(key, _)| key.get(cut.into()..)).ok_or(NO_PLAN)?;
                write_string(symbol, self.out);
            }
            // The compiler lets nothing else through.
            _ => return Err(NO_PLAN),
        }
        Ok(())
    }

    fn integer(&mut self, number: i64) {
        self.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    fn quoted_unless(&mut self, plain: bool, write: impl FnOnce(&mut Vec<u8>)) {
        if !plain {
            self.out.push(b'"');
        }
        write(self.out);
        if !plain {
            self.out.push(b'"');
        }
    }

    fn record(&mut self, number: u32, schema: &'p Schema) -> Result<(), Fault> {
        self.deeper()?;
        let program = self.program;
        let record = &program.records[number as usize];
        for (at, field) in (record.first..record.first + record.count).zip(&schema.fields) {
            self.out.extend_from_slice(program.literal(&program.nodes[at as usize].lead));
            self.value(at, &field.schema)?;
        }
        self.out.extend_from_slice(if record.count == 0 { b"{}" } else { b"}" });
        self.depth -= 1;
        Ok(())
    }

    fn again(&mut self, number: u32) -> Result<(), Fault> {
        let schema = self.program.definitions.get(number as usize);
        match schema.and_then(Option::as_deref) {
            Some(schema) => self.record(number, schema),
            None => Err(NO_PLAN),
        }
    }

    fn array(&mut self, items: At, schema: &'p Schema) -> Result<(), Fault> {
        self.deeper()?;
        let of = schema.value_schema.as_deref().ok_or(NO_PLAN)?;
        let mut first = true;
        self.out.push(b'[');
        loop {
            let count = self.input.block(&mut self.free)?;
            if count == 0 {
                break;
            }
            for _ in 0..count {
                self.comma(&mut first);
                let before = self.input.at;
                self.value(items, of)?;
                if self.input.at == before {
                    self.free = self.free.checked_sub(1).ok_or("too many items without bytes")?;
                }
            }
        }
        self.out.push(b']');
        self.depth -= 1;
        Ok(())
    }

    fn map(&mut self, values: At, schema: &'p Schema) -> Result<(), Fault> {
        self.deeper()?;
        let of = schema.value_schema.as_deref().ok_or(NO_PLAN)?;
        let outer = self.keys.len();
        let mut first = true;
        self.out.push(b'{');
        loop {
            let count = self.input.block(&mut self.free)?;
            if count == 0 {
                break;
            }
            for _ in 0..count {
                self.comma(&mut first);
                let start = self.out.len();
                self.scalar(Op::String, of)?;
                self.keys.push(start..self.out.len());
                self.out.push(b':');
                self.value(values, of)?;
            }
        }
        self.map_ends(outer);
        self.out.push(b'}');
        self.depth -= 1;
        Ok(())
    }

    fn entries(&mut self, key: At, schema: &'p Schema) -> Result<(), Fault> {
        self.deeper()?;
        let (Some(keys), Some(values)) = (&schema.key_schema, &schema.value_schema) else {
            return Err(NO_PLAN);
        };
        let outer = self.keys.len();
        let mut first = true;
        self.out.push(b'[');
        loop {
            let count = self.input.block(&mut self.free)?;
            if count == 0 {
                break;
            }
            for _ in 0..count {
                self.comma(&mut first);
                let before = self.input.at;
                self.out.push(b'[');
                let start = self.out.len();
                self.value(key, keys)?;
                self.keys.push(start..self.out.len());
                self.out.push(b',');
                self.value(key + 1, values)?;
                self.out.push(b']');
                if self.input.at == before {
                    self.free = self.free.checked_sub(1).ok_or("too many items without bytes")?;
                }
            }
        }
        self.map_ends(outer);
        self.out.push(b']');
        self.depth -= 1;
        Ok(())
    }

    /// Behind a map whose keys are those from `outer` on.
    fn map_ends(&mut self, outer: usize) {
        if !distinct(self.out, &mut self.keys[outer..]) {
            self.became = Written::KeyTwice;
        }
        self.keys.truncate(outer);
    }

    fn union(&mut self, number: u32, schema: &'p Schema, at: At) -> Result<(), Fault> {
        let program = self.program;
        let branches = &program.unions[number as usize];
        let index = self.input.index(branches.len(), NO_BRANCH)?;
        match &branches[index] {
            Branch::Null => {
                let null = &program.nodes[at as usize].null;
                self.out.extend_from_slice(program.literal(null));
            }
            Branch::Field { at, field, tail } => {
                self.deeper()?;
                self.out.extend_from_slice(program.literal(&program.nodes[*at as usize].lead));
                self.value(*at, &schema.fields[*field as usize].schema)?;
                self.out.extend_from_slice(program.literal(tail));
                self.depth -= 1;
            }
        }
        Ok(())
    }

    fn comma(&mut self, first: &mut bool) {
        if !std::mem::take(first) {
            self.out.push(b',');
        }
    }

    #[inline]
    fn deeper(&mut self) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth > RECURSION { Err(TOO_DEEP) } else { Ok(()) }
    }
}

/// Is each of the keys in `text` there once? Few are compared with those before whose last byte, and
/// with it mostly the key, may be the same; many are sorted.
fn distinct(text: &[u8], keys: &mut [Range<usize>]) -> bool {
    let key = |range: &Range<usize>| &text[range.clone()];
    if keys.len() > 16 {
        keys.sort_unstable_by(|a, b| key(a).cmp(key(b)));
        return keys.windows(2).all(|pair| key(&pair[0]) != key(&pair[1]));
    }
    let mut seen = 0u64;
    keys.iter().enumerate().all(|(at, range)| {
        // The last byte of a string is its quote.
        let bit = match key(range) {
            [.., last, b'"'] | [.., last] => 1 << (last % 64),
            [] => 1,
        };
        let maybe = seen & bit != 0;
        seen |= bit;
        !maybe || keys[..at].iter().all(|other| key(other) != key(range))
    })
}

fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let from = out.len();
    out.resize(from + bytes.len().div_ceil(3) * 4, 0);
    // Sized for exactly this.
    let written = STANDARD.encode_slice(bytes, &mut out[from..]).unwrap_or(0);
    out.truncate(from + written);
    out.push(b'"');
}
