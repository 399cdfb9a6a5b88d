//! Runs a program over a record's JSON text: typed values that borrow from it.
//!
//! Text without escapes stays where it is; structs, arrays and maps are slices in the arena. Nothing
//! is put on the heap, and what the arena takes is bounded by the record's length and its schema's.

use super::names::{KEY, VALUE};
use super::program::{At, Op, Ops};
use crate::arena::Arena;
use crate::converter::DataError;
use crate::data::{Schema, Struct, Value};
use crate::json::{Reader, last_wins, node_type, serialization_error};
use crate::unfit::in_field;

/// Reads the one value that `payload` is.
pub(super) fn read<'a>(
    ops: &Ops,
    op: Op,
    schema: &'a Schema,
    payload: &'a [u8],
    arena: &'a Arena,
) -> Result<Value<'a>, DataError> {
    let mut decoder = Decoder { ops, reader: Reader::new(payload, arena), depth: 0 };
    decoder.reader.scan.space();
    let value = decoder.value(op, schema, None);
    let value = match value {
        Ok(value) => value,
        Err(error) if error.message.contains("at byte") => return Err(error),
        Err(error) => {
            let message = format!("{}, before byte {}", error.message, decoder.reader.scan.at);
            return Err(DataError { message, ..error });
        }
    };
    decoder.reader.scan.finish().map_err(serialization_error)?;
    Ok(value)
}

pub(super) struct Decoder<'a, 'p> {
    pub ops: &'p Ops,
    pub reader: Reader<'a>,
    depth: usize,
}

/// The structs around a value, innermost first: where one may occur again.
#[derive(Clone, Copy)]
pub(super) struct Around<'a, 'f> {
    number: u32,
    schema: &'a Schema,
    outer: Option<&'f Around<'a, 'f>>,
}

impl<'a, 'f> Around<'a, 'f> {
    pub fn new(number: u32, schema: &'a Schema, outer: Option<&'f Around<'a, 'f>>) -> Self {
        Self { number, schema, outer }
    }

    pub fn schema(&self) -> &'a Schema {
        self.schema
    }

    pub fn outer(&self) -> Option<&'f Around<'a, 'f>> {
        self.outer
    }
}

/// Values inside of values that a core's stack has room for.
const RECURSION: usize = 300;

/// The struct of that number with what is around it.
pub(super) fn again<'a, 'f>(
    around: Option<&'f Around<'a, 'f>>,
    number: u32,
) -> Result<&'f Around<'a, 'f>, DataError> {
    let mut at = around;
    while let Some(record) = at.filter(|record| record.number != number) {
        at = record.outer;
    }
    at.ok_or_else(broken)
}

#[cold]
pub(super) fn broken() -> DataError {
    DataError::new("the schema's plan is broken")
}

impl<'a> Decoder<'a, '_> {
    fn null(&self, schema: &'a Schema) -> Result<Value<'a>, DataError> {
        match &schema.default {
            Some(default) => Ok(default.to_value(self.reader.arena)),
            None if schema.optional => Ok(Value::Null),
            None => Err(DataError::new(format!(
                "Invalid null value for required {} field",
                schema.type_.name()
            ))),
        }
    }

    /// The value at hand.
    pub fn value(
        &mut self,
        op: Op,
        schema: &'a Schema,
        around: Option<&Around<'a, '_>>,
    ) -> Result<Value<'a>, DataError> {
        if self.reader.scan.peek() == b'n' {
            self.reader.skip()?;
            return self.null(schema);
        }
        Ok(match op {
            Op::String => self.reader.text()?.map_or(Value::Null, Value::Str),
            Op::Int64 => Value::Int64(self.reader.long()?),
            Op::Int32 => Value::Int32(self.reader.long()? as i32),
            Op::Float64 => Value::Float64(self.reader.float()?),
            Op::Boolean => {
                let yes = self.reader.scan.peek() == b't';
                self.reader.skip()?;
                Value::Boolean(yes)
            }
            Op::Struct(number) => return self.record(number, schema, around),
            // As Java narrows.
            Op::Int8 => Value::Int8(self.reader.long()? as i8),
            Op::Int16 => Value::Int16(self.reader.long()? as i16),
            Op::Float32 => Value::Float32(self.reader.float()?),
            Op::Bytes => match self.reader.text()? {
                Some(text) => Value::Bytes(self.reader.binary(text)?),
                None => return Err(DataError::new("Invalid bytes field")),
            },
            Op::Decimal => return self.reader.decimal(schema),
            Op::Date | Op::Time | Op::Timestamp => {
                return self.reader.date(schema.name.as_deref().unwrap_or_default());
            }
            Op::Array(items) => return self.array(items, schema, around),
            Op::Map(values) => return self.map(values, schema, around),
            Op::Entries(key) => return self.entries(key, schema, around),
            Op::Again(number) => {
                let found = around.map(|around| again(Some(around), number)).transpose()?;
                let found = found.ok_or_else(broken)?;
                return self.record(number, found.schema, found.outer);
            }
            Op::Union(first) => return self.union(first, schema, around),
        })
    }

    fn record(
        &mut self,
        number: u32,
        schema: &'a Schema,
        outer: Option<&Around<'a, '_>>,
    ) -> Result<Value<'a>, DataError> {
        if self.reader.scan.peek() != b'{' {
            return Err(self.found("Structs should be encoded as JSON objects, but found "));
        }
        self.deeper()?;
        let around = Around { number, schema, outer };
        let first = self.ops.records[number as usize];
        let arena = self.reader.arena;
        let values = arena.bump().alloc_slice_fill_copy(schema.fields.len(), None);
        // Writers mostly keep the schema's order, so the next field is tried first.
        let mut next = 0;
        let mut more = self.reader.enter_object()?;
        while more {
            let at = self.reader.field(schema, next)?;
            match at {
                Some(at) => {
                    let op = self.ops.get(first + at as u32);
                    let value = self
                        .value(op, &schema.fields[at].schema, Some(&around))
                        .map_err(|error| in_field(error, &schema.fields[at].name))?;
                    (values[at], next) = (Some(value), at + 1);
                }
                None => {
                    self.reader.skip()?;
                }
            }
            more = self.reader.more_members()?;
        }
        self.depth -= 1;
        // What is absent may be required: the JVM does not look either.
        let values = arena.bump().alloc_slice_fill_iter(values.iter().zip(&schema.fields).map(
            |(value, field)| {
                let default =
                    || field.schema.default.as_ref().map(|default| default.to_value(arena));
                value.or_else(default).unwrap_or_default()
            },
        ));
        Ok(Value::Struct(arena.alloc(Struct { schema, values })))
    }

    fn array(
        &mut self,
        items: At,
        schema: &'a Schema,
        around: Option<&Around<'a, '_>>,
    ) -> Result<Value<'a>, DataError> {
        let op = self.ops.get(items);
        let of = schema.value_schema.as_deref().ok_or_else(broken)?;
        let members = match self.reader.scan.peek() {
            b'[' => false,
            // To Jackson the items of an object are its members' values.
            b'{' => true,
            _ => {
                self.reader.skip()?;
                return Ok(Value::Array(&[]));
            }
        };
        self.deeper()?;
        let mut values = self.reader.arena.vec();
        let enter = if members { Reader::enter_object } else { Reader::enter_array };
        let next = if members { Reader::more_members } else { Reader::more_items };
        let mut more = enter(&mut self.reader)?;
        while more {
            if members {
                self.reader.name()?;
            }
            values.push(self.value(op, of, around)?);
            more = next(&mut self.reader)?;
        }
        self.depth -= 1;
        Ok(Value::Array(values.into_bump_slice()))
    }

    fn map(
        &mut self,
        values: At,
        schema: &'a Schema,
        around: Option<&Around<'a, '_>>,
    ) -> Result<Value<'a>, DataError> {
        if self.reader.scan.peek() != b'{' {
            return Err(
                self.found("Maps with string fields should be encoded as JSON objects, but found ")
            );
        }
        self.deeper()?;
        let op = self.ops.get(values);
        let of = schema.value_schema.as_deref().ok_or_else(broken)?;
        let mut entries = self.reader.arena.vec();
        let mut more = self.reader.enter_object()?;
        while more {
            let key = self.reader.name()?;
            let value = self.value(op, of, around).map_err(|error| in_field(error, key))?;
            entries.push((Value::Str(key), value));
            more = self.reader.more_members()?;
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
    ) -> Result<Value<'a>, DataError> {
        if self.reader.scan.peek() != b'[' {
            return Err(self.found(
                "Maps with non-string fields should be encoded as JSON array of objects, but found ",
            ));
        }
        self.deeper()?;
        let mut entries = self.reader.arena.vec();
        let mut more = self.reader.enter_array()?;
        while more {
            entries.push(self.entry(key, schema, around)?);
            more = self.reader.more_items()?;
        }
        last_wins(&mut entries);
        self.depth -= 1;
        Ok(Value::Map(entries.into_bump_slice()))
    }

    fn entry(
        &mut self,
        at: At,
        schema: &'a Schema,
        around: Option<&Around<'a, '_>>,
    ) -> Result<(Value<'a>, Value<'a>), DataError> {
        let (Some(keys), Some(values)) = (&schema.key_schema, &schema.value_schema) else {
            return Err(broken());
        };
        if self.reader.scan.peek() != b'{' {
            return Err(self.found("Found invalid map entry instead of object: "));
        }
        let (mut entry, mut members) = ((None, None), 0);
        let mut more = self.reader.enter_object()?;
        while more {
            members += 1;
            match self.reader.name()? {
                KEY => entry.0 = Some(self.value(self.ops.get(at), keys, around)?),
                VALUE => entry.1 = Some(self.value(self.ops.get(at + 1), values, around)?),
                _ => {
                    self.reader.skip()?;
                }
            }
            more = self.reader.more_members()?;
        }
        if members != 2 {
            return Err(DataError::new(format!(
                "Found invalid map entry, expected length 2 but found :{members}"
            )));
        }
        Ok((entry.0.unwrap_or_default(), entry.1.unwrap_or_default()))
    }

    #[inline]
    pub fn deeper(&mut self) -> Result<(), DataError> {
        self.depth += 1;
        match self.depth > RECURSION {
            true => Err(DataError::new("the value nests too deeply")),
            false => Ok(()),
        }
    }

    #[inline]
    pub fn shallower(&mut self) {
        self.depth -= 1;
    }

    #[cold]
    fn found(&self, what: &str) -> DataError {
        DataError::new(format!("{what}{}", node_type(self.reader.scan.peek())))
    }
}
