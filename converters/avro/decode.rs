//! Runs a [`Program`] over a record's bytes: typed values that borrow from them.
//!
//! Text and bytes stay where they are; structs, arrays and maps are slices in the arena. Nothing is
//! put on the heap, and what the arena takes is bounded by the record's length.

use super::input::FREE_ITEMS;
use super::program::{At, Branch, Op, Program};
use crate::arena::{Arena, added};
use crate::charset::Charset;
use crate::data::{Decimal, Schema, Struct, Value};
use crate::json::{MAX_DEPTH, ascii_text, last_wins};
use crate::varint::{Fault, Input};

/// Reads the value; on a fault, `input.at` is the place of it.
#[inline]
pub(super) fn read<'a>(
    program: &Program,
    schema: Option<&'a Schema>,
    input: &mut Input<'a>,
    arena: &'a Arena,
    into: &mut Value<'a>,
) -> Result<(), Fault> {
    let mut decoder = Decoder { program, input: *input, arena, depth: 0, free: FREE_ITEMS };
    let read = match schema {
        None => decoder.anything().map(|value| *into = value),
        Some(schema) => decoder.value(program.op(program.root), schema, None, into),
    };
    *input = decoder.input;
    read
}

struct Decoder<'a, 'p> {
    program: &'p Program,
    input: Input<'a>,
    arena: &'a Arena,
    depth: usize,
    /// Items without bytes that may still come.
    free: usize,
}

/// The records around a value, innermost first: where a record may occur again.
#[derive(Clone, Copy)]
struct Around<'a, 'f> {
    record: u32,
    schema: &'a Schema,
    outer: Option<&'f Around<'a, 'f>>,
}

pub(super) const TOO_DEEP: Fault = "the value nests too deeply";
pub(super) const NO_BRANCH: Fault = "a union has no branch of that number";
pub(super) const NO_SYMBOL: Fault = "an enum has no symbol of that number";
pub(super) const NO_TIME: Fault =
    "Time values must use number of milliseconds greater than 0 and less than 86400000";
pub(super) const NO_DIGITS: Fault = "a decimal has no byte";
pub(super) const NO_PLAN: Fault = "the schema's plan is broken";

impl<'a> Decoder<'a, '_> {
    /// An item or a field: of the kinds that most of them are without a call, any other by
    /// [`Self::value`].
    #[inline(always)]
    fn member(
        &mut self,
        op: Op,
        schema: &'a Schema,
        around: Option<&Around<'a, '_>>,
        into: &mut Value<'a>,
    ) -> Result<(), Fault> {
        let mut op = op;
        if let Op::Optional { null, inner } = op {
            if self.input.index(2, NO_BRANCH)? == usize::from(null) {
                *into = Value::Null;
                return Ok(());
            }
            op = self.program.op(inner);
        }
        match op {
            Op::String => *into = Value::Str(self.text()?),
            Op::Int64 => *into = Value::Int64(self.input.long()?),
            Op::Int32 => *into = Value::Int32(self.input.int()?),
            Op::Double => *into = Value::Float64(self.input.double()?),
            Op::Boolean => *into = Value::Boolean(self.input.boolean()?),
            _ => return self.value(op, schema, around, into),
        }
        Ok(())
    }

    /// Reads a value to where it stays: one that is handed from function to function is written in
    /// parts and copied as a whole, for which a processor waits, field by field.
    fn value(
        &mut self,
        op: Op,
        schema: &'a Schema,
        around: Option<&Around<'a, '_>>,
        into: &mut Value<'a>,
    ) -> Result<(), Fault> {
        match op {
            // These come here only where a value stands alone.
            Op::String | Op::Int64 | Op::Int32 | Op::Double | Op::Boolean | Op::Optional { .. } => {
                return self.member(op, schema, around, into);
            }
            Op::Record(number) => return self.record(number, schema, around, into),
            Op::Float => *into = Value::Float32(self.input.float()?),
            Op::Timestamp => *into = Value::Timestamp(self.input.long()?),
            Op::Date => *into = Value::Date(self.input.int()?),
            Op::Time => *into = Value::Time(time(&mut self.input)?),
            // As Java narrows.
            Op::Int8 => *into = Value::Int8(self.input.int()? as i8),
            Op::Int16 => *into = Value::Int16(self.input.int()? as i16),
            Op::Bytes => *into = Value::Bytes(self.input.counted()?),
            Op::Fixed(size) => *into = Value::Bytes(self.input.take(size as usize)?),
            Op::Decimal(scale) => {
                let bytes = self.input.counted()?;
                *into = self.decimal(bytes, scale)?;
            }
            Op::FixedDecimal(size, scale) => {
                let bytes = self.input.take(size as usize)?;
                *into = self.decimal(bytes, scale)?;
            }
            Op::Enum { first, count, cut } => {
                let symbol = self.input.index(count.into(), NO_SYMBOL)?;
                let key = schema.parameters.get(usize::from(first) + symbol);
                *into = Value::Str(key.and_then(|(key, _)| key.get(cut.into()..)).ok_or(NO_PLAN)?);
            }
            Op::Single(inner) => {
                self.input.index(1, NO_BRANCH)?;
                return self.value(self.program.op(inner), schema, around, into);
            }
            Op::Array(items) => *into = self.array(items, schema, around)?,
            Op::Map(values) => *into = self.map(values, schema, around)?,
            Op::Entries(key) => *into = self.entries(key, schema, around)?,
            Op::Again(number) => {
                let mut outer = around;
                while let Some(record) = outer.filter(|record| record.record != number) {
                    outer = record.outer;
                }
                return self.record(number, outer.ok_or(NO_PLAN)?.schema, outer, into);
            }
            Op::Union(number) => *into = self.union(number, schema, around)?,
            Op::Anything => *into = self.anything()?,
        }
        Ok(())
    }

    fn text(&mut self) -> Result<&'a str, Fault> {
        let bytes = self.input.counted()?;
        Ok(ascii_text(bytes).unwrap_or_else(|| self.other_text(bytes)))
    }

    /// What is no UTF-8 is replaced, as Java does.
    #[inline(never)]
    fn other_text(&self, bytes: &'a [u8]) -> &'a str {
        std::str::from_utf8(bytes).unwrap_or_else(|_| Charset::Utf8.decode(bytes, self.arena))
    }

    fn decimal(&mut self, bytes: &'a [u8], scale: i32) -> Result<Value<'a>, Fault> {
        if bytes.is_empty() { Err(NO_DIGITS) } else { Ok(decimal(bytes, scale, self.arena)) }
    }

    fn record(
        &mut self,
        number: u32,
        schema: &'a Schema,
        outer: Option<&Around<'a, '_>>,
        into: &mut Value<'a>,
    ) -> Result<(), Fault> {
        self.deeper()?;
        let around = Around { record: number, schema, outer };
        let record = &self.program.records[number as usize];
        let nodes = &self.program.nodes[record.first as usize..][..record.count as usize];
        let values = self.arena.bump().alloc_slice_fill_copy(nodes.len(), Value::Null);
        for ((value, node), field) in values.iter_mut().zip(nodes).zip(&schema.fields) {
            self.member(node.op, &field.schema, Some(&around), value)?;
        }
        self.depth -= 1;
        *into = Value::Struct(self.arena.alloc(Struct { schema, values }));
        Ok(())
    }

    fn array(
        &mut self,
        items: At,
        schema: &'a Schema,
        around: Option<&Around<'a, '_>>,
    ) -> Result<Value<'a>, Fault> {
        self.deeper()?;
        let op = self.program.op(items);
        let of = schema.value_schema.as_deref().ok_or(NO_PLAN)?;
        let mut values = self.arena.vec();
        loop {
            let count = self.input.block(&mut self.free)?;
            if count == 0 {
                break;
            }
            // No more for a count alone: arrays in arrays could each claim all that is left.
            values.reserve(count.min(32));
            for _ in 0..count {
                let before = self.input.at;
                self.member(op, of, around, added(&mut values))?;
                self.spend(before)?;
            }
        }
        self.depth -= 1;
        Ok(Value::Array(values.into_bump_slice()))
    }

    fn map(
        &mut self,
        values: At,
        schema: &'a Schema,
        around: Option<&Around<'a, '_>>,
    ) -> Result<Value<'a>, Fault> {
        self.deeper()?;
        let op = self.program.op(values);
        let of = schema.value_schema.as_deref().ok_or(NO_PLAN)?;
        let mut entries = self.arena.vec();
        loop {
            let count = self.input.block(&mut self.free)?;
            if count == 0 {
                break;
            }
            for _ in 0..count {
                let (key, value) = added(&mut entries);
                *key = Value::Str(self.text()?);
                self.member(op, of, around, value)?;
            }
        }
        last_wins(&mut entries);
        self.depth -= 1;
        Ok(Value::Map(entries.into_bump_slice()))
    }

    fn entries(
        &mut self,
        key: At,
        schema: &'a Schema,
        around: Option<&Around<'a, '_>>,
    ) -> Result<Value<'a>, Fault> {
        self.deeper()?;
        let (key, value) = (self.program.op(key), self.program.op(key + 1));
        let (Some(keys), Some(values)) = (&schema.key_schema, &schema.value_schema) else {
            return Err(NO_PLAN);
        };
        let mut entries = self.arena.vec();
        loop {
            let count = self.input.block(&mut self.free)?;
            if count == 0 {
                break;
            }
            for _ in 0..count {
                let before = self.input.at;
                let (first, second) = added::<(Value<'_>, Value<'_>)>(&mut entries);
                self.value(key, keys, around, first)?;
                self.value(value, values, around, second)?;
                self.spend(before)?;
            }
        }
        last_wins(&mut entries);
        self.depth -= 1;
        Ok(Value::Map(entries.into_bump_slice()))
    }

    fn union(
        &mut self,
        number: u32,
        schema: &'a Schema,
        around: Option<&Around<'a, '_>>,
    ) -> Result<Value<'a>, Fault> {
        let branches = &self.program.unions[number as usize];
        let index = self.input.index(branches.len(), NO_BRANCH)?;
        let Branch::Field { at, field, .. } = branches[index] else { return Ok(Value::Null) };
        self.deeper()?;
        let values = self.arena.bump().alloc_slice_fill_copy(schema.fields.len(), Value::Null);
        let of = &schema.fields[field as usize].schema;
        self.value(self.program.op(at), of, around, &mut values[field as usize])?;
        self.depth -= 1;
        Ok(Value::Struct(self.arena.alloc(Struct { schema, values })))
    }

    /// `io.confluent.connect.avro.Anything`: nine fields, of which the first that is set counts.
    fn anything(&mut self) -> Result<Value<'a>, Fault> {
        self.deeper()?;
        let mut found = Value::Null;
        for field in 0..9 {
            if self.input.index(2, NO_BRANCH)? == 0 {
                continue;
            }
            let value = match field {
                0 => Value::Boolean(self.input.boolean()?),
                1 => Value::Bytes(self.input.counted()?),
                2 => Value::Float64(self.input.double()?),
                3 => Value::Float32(self.input.float()?),
                4 => Value::Int32(self.input.int()?),
                5 => Value::Int64(self.input.long()?),
                6 => Value::Str(self.text()?),
                7 => self.any_array()?,
                _ => self.any_map()?,
            };
            if found.is_null() {
                found = value;
            }
        }
        self.depth -= 1;
        Ok(found)
    }

    fn any_array(&mut self) -> Result<Value<'a>, Fault> {
        let mut values = self.arena.vec();
        loop {
            let count = self.input.block(&mut self.free)?;
            if count == 0 {
                return Ok(Value::Array(values.into_bump_slice()));
            }
            for _ in 0..count {
                values.push(self.anything()?);
            }
        }
    }

    fn any_map(&mut self) -> Result<Value<'a>, Fault> {
        let mut entries = self.arena.vec();
        loop {
            let count = self.input.block(&mut self.free)?;
            if count == 0 {
                last_wins(&mut entries);
                return Ok(Value::Map(entries.into_bump_slice()));
            }
            for _ in 0..count {
                let key = self.anything()?;
                entries.push((key, self.anything()?));
            }
        }
    }

    #[inline]
    fn deeper(&mut self) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth > MAX_DEPTH.min(RECURSION) { Err(TOO_DEEP) } else { Ok(()) }
    }

    /// An item that took no byte is one of the few that may come for nothing.
    #[inline]
    fn spend(&mut self, before: usize) -> Result<(), Fault> {
        if self.input.at == before {
            self.free = self.free.checked_sub(1).ok_or("too many items without bytes")?;
        }
        Ok(())
    }
}

/// Values inside of values that a core's stack has room for.
pub(super) const RECURSION: usize = 400;

/// Milliseconds of a day, as `Time.toLogical` accepts them.
#[inline]
pub(super) fn time(input: &mut Input<'_>) -> Result<i32, Fault> {
    let from = input.at;
    let millis = input.int()?;
    if (0..=86_400_000).contains(&millis) {
        return Ok(millis);
    }
    input.at = from;
    Err(NO_TIME)
}

/// The number of those digits, of which there is one.
pub(super) fn decimal<'a>(bytes: &'a [u8], scale: i32, arena: &'a Arena) -> Value<'a> {
    Value::Decimal(arena.alloc(Decimal { unscaled: minimal(bytes), scale }))
}

/// Two's complement without sign bytes that say nothing.
fn minimal(mut bytes: &[u8]) -> &[u8] {
    while let [0x00, next, ..] | [0xff, next, ..] = bytes
        && (bytes[0] ^ next) & 0x80 == 0
    {
        bytes = &bytes[1..];
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_lose_their_padding() {
        assert_eq!(minimal(&[0, 0, 0x7f]), &[0x7f]);
        assert_eq!(minimal(&[0, 0x80]), &[0, 0x80]);
        assert_eq!(minimal(&[0xff, 0xff, 0x80]), &[0x80]);
        assert_eq!(minimal(&[0xff, 0x7f]), &[0xff, 0x7f]);
        assert_eq!(minimal(&[0]), &[0]);
        assert!(minimal(&[]).is_empty());
    }
}
