//! Runs a program over a record's JSON text: typed values that borrow from it.
//!
//! Text without escapes stays where it is; structs, arrays and maps are slices in the arena. Nothing
//! is put on the heap, and what the arena takes is bounded by the record's length and its schema's.

use super::names::{KEY, VALUE};
use super::program::{At, Op, Ops, Record};
use crate::arena::{Arena, added};
use crate::converter::DataError;
use crate::data::{OwnedValue, Schema, Struct, Value};
use crate::json::{Reader, last_wins, node_type, serialization_error};
use crate::unfit::in_field;

/// Reads the one value that `payload` is, to where it stays.
pub(super) fn read<'a>(
    ops: &Ops,
    op: Op,
    schema: &'a Schema,
    payload: &'a [u8],
    arena: &'a Arena,
    into: &mut Value<'a>,
) -> Result<(), DataError> {
    let mut decoder = Decoder { ops, reader: Reader::new(payload, arena), depth: 0 };
    match decoder.value(op, schema, None, into) {
        Ok(()) => decoder.reader.finish().map_err(serialization_error),
        Err(error) if error.message.contains("at byte") => Err(error),
        Err(error) => {
            let message = format!("{}, before byte {}", error.message, decoder.reader.scan.at);
            Err(DataError { message, ..error })
        }
    }
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
    pub schema: &'a Schema,
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

#[cold]
fn required(schema: &Schema) -> DataError {
    let type_ = schema.type_.name();
    DataError::new(format!("Invalid null value for required {type_} field"))
}

/// A schema's default. A struct was made before its schema had one, and is now of that schema.
pub(super) fn filled<'a>(
    default: &'a OwnedValue,
    schema: &'a Schema,
    arena: &'a Arena,
) -> Value<'a> {
    match default.to_value(arena) {
        Value::Struct(value) if value.values.len() == schema.fields.len() => {
            Value::Struct(arena.alloc(Struct { schema, values: value.values }))
        }
        value => value,
    }
}

impl<'a> Decoder<'a, '_> {
    /// What the null at hand stands for.
    fn null(&mut self, schema: &'a Schema, into: &mut Value<'a>) -> Result<(), DataError> {
        if !self.reader.quick_null() {
            self.reader.skip()?;
        }
        *into = match &schema.default {
            Some(default) => filled(default, schema, self.reader.arena),
            None if schema.optional => Value::Null,
            None => return Err(required(schema)),
        };
        Ok(())
    }

    /// Reads the value at hand to where it stays: one that is handed from function to function is
    /// written in parts and copied as a whole, for which a processor waits, field by field.
    #[inline(always)]
    pub fn value(
        &mut self,
        op: Op,
        schema: &'a Schema,
        around: Option<&Around<'a, '_>>,
        into: &mut Value<'a>,
    ) -> Result<(), DataError> {
        // Behind a member's name that was compared as a whole there may be some.
        self.reader.scan.space();
        match self.quick(op, into) {
            true => Ok(()),
            false => self.any_value(op, schema, around, into),
        }
    }

    /// Reads a value in the form that most writers give it; false, and nothing read, if it is in
    /// another, or null.
    // Unoptimised, each level of values would take the room of all that is inlined.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn quick(&mut self, op: Op, into: &mut Value<'a>) -> bool {
        let reader = &mut self.reader;
        match op {
            Op::String => match reader.quick_string() {
                Some(text) => *into = Value::Str(text),
                None => return false,
            },
            // As Java narrows.
            Op::Int64 | Op::Timestamp | Op::Int32 | Op::Int16 | Op::Int8 => {
                let Some(number) = reader.quick_long() else { return false };
                *into = match op {
                    Op::Timestamp => Value::Timestamp(number),
                    Op::Int32 => Value::Int32(number as i32),
                    Op::Int16 => Value::Int16(number as i16),
                    Op::Int8 => Value::Int8(number as i8),
                    _ => Value::Int64(number),
                };
            }
            Op::Float64 => match reader.quick_double() {
                Some(number) => *into = Value::Float64(number),
                None => return false,
            },
            Op::Boolean => match reader.quick_boolean() {
                Some(yes) => *into = Value::Boolean(yes),
                None => return false,
            },
            _ => return false,
        }
        true
    }

    /// [`Self::value`], whatever is there.
    fn any_value(
        &mut self,
        op: Op,
        schema: &'a Schema,
        around: Option<&Around<'a, '_>>,
        into: &mut Value<'a>,
    ) -> Result<(), DataError> {
        if self.reader.scan.peek() == b'n' {
            return self.null(schema, into);
        }
        match op {
            Op::Struct(number) => self.record(number, schema, around, into),
            Op::Array(items) => self.array(items, schema, around, into),
            Op::Map(values) => self.map(values, schema, around, into),
            Op::Entries(key) => self.entries(key, schema, around, into),
            Op::Again(number) => {
                let found = around.map(|around| again(Some(around), number)).transpose()?;
                let found = found.ok_or_else(broken)?;
                self.record(number, found.schema, found.outer, into)
            }
            Op::Union(first) => self.union(first, schema, around, into),
            Op::Variant => self.variant(schema, into),
            op => self.scalar(op, schema, into),
        }
    }

    /// Not on the stack of what stands in structs and arrays.
    #[inline(never)]
    fn scalar(
        &mut self,
        op: Op,
        schema: &'a Schema,
        into: &mut Value<'a>,
    ) -> Result<(), DataError> {
        *into = match op {
            Op::String => self.reader.text()?.map_or(Value::Null, Value::Str),
            Op::Int64 => Value::Int64(self.reader.long()?),
            Op::Int32 => Value::Int32(self.reader.long()? as i32),
            // As Java narrows.
            Op::Int8 => Value::Int8(self.reader.long()? as i8),
            Op::Int16 => Value::Int16(self.reader.long()? as i16),
            Op::Float32 => Value::Float32(self.reader.float()?),
            Op::Float64 => Value::Float64(self.reader.float()?),
            Op::Boolean => {
                let yes = self.reader.scan.peek() == b't';
                self.reader.skip()?;
                Value::Boolean(yes)
            }
            Op::Bytes => match self.reader.text()? {
                Some(text) => Value::Bytes(self.reader.binary(text)?),
                None => return Err(DataError::new("Invalid bytes field")),
            },
            Op::Decimal => self.reader.decimal(schema)?,
            Op::Date | Op::Time | Op::Timestamp => {
                self.reader.date(schema.name.as_deref().unwrap_or_default())?
            }
            _ => return Err(broken()),
        };
        Ok(())
    }

    fn record(
        &mut self,
        number: u32,
        schema: &'a Schema,
        outer: Option<&Around<'a, '_>>,
        into: &mut Value<'a>,
    ) -> Result<(), DataError> {
        if self.reader.scan.peek() != b'{' {
            return Err(self.found("Structs should be encoded as JSON objects, but found "));
        }
        self.deeper()?;
        let around = Around { number, schema, outer };
        let ops = self.ops;
        let record = &ops.records[number as usize];
        let arena = self.reader.arena;
        let values = arena.bump().alloc_slice_fill_copy(schema.fields.len(), Value::Null);
        let read = match record.leads.first() {
            Some(first) if self.reader.take_first(first) => {
                self.in_order(record, &around, values, 0)?
            }
            _ => 0,
        };
        if read == 0 || read < record.leads.len() || !self.reader.take_last() {
            self.in_any_order(record, &around, values, read)?;
        }
        self.depth -= 1;
        *into = Value::Struct(arena.alloc(Struct { schema, values }));
        Ok(())
    }

    /// Reads the value at hand, of that field, and members for as long as they stand in the order of
    /// the fields: the field that did not.
    #[inline]
    fn in_order(
        &mut self,
        record: &Record,
        around: &Around<'a, '_>,
        values: &mut [Value<'a>],
        from: usize,
    ) -> Result<usize, DataError> {
        let fields = &around.schema.fields[..];
        let count = fields.len().min(values.len()).min(record.leads.len());
        let (fields, values, leads) =
            (&fields[..count], &mut values[..count], &record.leads[..count]);
        let mut at = from;
        while at < count {
            let (op, field) = (self.ops.get(record.first + at as u32), &fields[at]);
            self.value(op, &field.schema, Some(around), &mut values[at])
                .map_err(|error| in_field(error, &field.name))?;
            at += 1;
            if at < count && !self.reader.take(&leads[at]) {
                break;
            }
        }
        Ok(at)
    }

    /// Reads the rest of an object of which `read` members came in order, if any: others may be
    /// missing, unknown or come twice.
    #[inline(never)]
    fn in_any_order(
        &mut self,
        record: &Record,
        around: &Around<'a, '_>,
        values: &mut [Value<'a>],
        read: usize,
    ) -> Result<(), DataError> {
        let schema = around.schema;
        // What stays absent may be required: the JVM does not look either.
        for (value, field) in values.iter_mut().zip(&schema.fields).skip(read) {
            if let Some(default) = &field.schema.default {
                *value = filled(default, &field.schema, self.reader.arena);
            }
        }
        let mut more = match read {
            0 => self.reader.enter_object()?,
            _ => self.reader.more_members()?,
        };
        let mut next = read;
        if record.others {
            return self.with_others(record, around, values, more);
        }
        while more {
            match self.reader.field(schema, next)? {
                // Where one is missing the others mostly come in order again.
                Some(at) => next = self.in_order(record, around, values, at)?,
                None => {
                    self.reader.skip()?;
                }
            }
            more = self.reader.more_members()?;
        }
        Ok(())
    }

    fn array(
        &mut self,
        items: At,
        schema: &'a Schema,
        around: Option<&Around<'a, '_>>,
        into: &mut Value<'a>,
    ) -> Result<(), DataError> {
        let op = self.ops.get(items);
        let of = schema.value_schema.as_deref().ok_or_else(broken)?;
        let members = match self.reader.scan.peek() {
            b'[' => false,
            // To Jackson the items of an object are its members' values.
            b'{' => true,
            _ => {
                self.reader.skip()?;
                *into = Value::Array(&[]);
                return Ok(());
            }
        };
        self.deeper()?;
        let mut values = self.reader.arena.vec();
        let mut more = match members {
            true => self.reader.enter_object()?,
            false => self.reader.enter_array()?,
        };
        while more {
            if members {
                self.reader.name()?;
            }
            self.value(op, of, around, added(&mut values))?;
            more = match members {
                true => self.reader.more_members()?,
                false => self.reader.quick_comma() || self.reader.more_items()?,
            };
        }
        self.depth -= 1;
        *into = Value::Array(values.into_bump_slice());
        Ok(())
    }

    fn map(
        &mut self,
        values: At,
        schema: &'a Schema,
        around: Option<&Around<'a, '_>>,
        into: &mut Value<'a>,
    ) -> Result<(), DataError> {
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
            let entry: &mut (Value<'a>, Value<'a>) = added(&mut entries);
            entry.0 = Value::Str(key);
            self.value(op, of, around, &mut entry.1).map_err(|error| in_field(error, key))?;
            more = self.reader.more_members()?;
        }
        last_wins(&mut entries);
        self.depth -= 1;
        *into = Value::Map(entries.into_bump_slice());
        Ok(())
    }

    fn entries(
        &mut self,
        key: At,
        schema: &'a Schema,
        around: Option<&Around<'a, '_>>,
        into: &mut Value<'a>,
    ) -> Result<(), DataError> {
        if self.reader.scan.peek() != b'[' {
            return Err(self.found(
                "Maps with non-string fields should be encoded as JSON array of objects, but found ",
            ));
        }
        self.deeper()?;
        let mut entries = self.reader.arena.vec();
        let mut more = self.reader.enter_array()?;
        while more {
            self.entry(key, schema, around, added(&mut entries))?;
            more = self.reader.more_items()?;
        }
        last_wins(&mut entries);
        self.depth -= 1;
        *into = Value::Map(entries.into_bump_slice());
        Ok(())
    }

    fn entry(
        &mut self,
        at: At,
        schema: &'a Schema,
        around: Option<&Around<'a, '_>>,
        into: &mut (Value<'a>, Value<'a>),
    ) -> Result<(), DataError> {
        let (Some(keys), Some(values)) = (&schema.key_schema, &schema.value_schema) else {
            return Err(broken());
        };
        if self.reader.scan.peek() != b'{' {
            return Err(self.found("Found invalid map entry instead of object: "));
        }
        let mut members = 0;
        let mut more = self.reader.enter_object()?;
        while more {
            members += 1;
            match self.reader.name()? {
                KEY => self.value(self.ops.get(at), keys, around, &mut into.0)?,
                VALUE => self.value(self.ops.get(at + 1), values, around, &mut into.1)?,
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
        Ok(())
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
