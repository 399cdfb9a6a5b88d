//! Connect's data into Protobuf's wire format, by a plan made once for each pair of schemas.
//!
//! Fields are written in the order of their numbers, and those without presence only where they are
//! not zero, as Java's writer does it: the bytes are the same.

use super::file::Scalar;
use super::logical;
use super::scalar::wire_type;
use super::wire::{END, I32, I64, LEN, START, VARINT, write_counted, write_nested};
use crate::converter::DataError;
use crate::data::{Schema, SchemaType, Struct, Value};
use crate::unfit::{self, in_field, incomplete};
use crate::varint::{write_varint, zigzag};

/// How one value is written.
#[derive(Debug)]
pub(super) enum Type {
    Integer(Scalar),
    Boolean,
    Float,
    Double,
    String,
    Bytes,
    /// An enum's symbols, sorted, with their numbers.
    Symbol(Box<[(Box<str>, i32)]>),
    Decimal,
    Date,
    Time,
    Timestamp,
    /// The value in a `google.protobuf.StringValue` or its kin.
    Wrapper(Box<Type>),
    Message(Box<[Part]>),
    /// A message inside of itself, by how many messages out it is.
    Again(usize),
}

/// How a field is written.
#[derive(Debug)]
pub(super) enum Step {
    One(Type),
    List {
        type_: Type,
        packed: bool,
    },
    /// Tags and steps of key and value.
    Map(Box<[(u32, Step); 2]>),
}

/// Where a field's value is in the struct.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    Field(usize),
    /// The union's field, and the field in it.
    Member(usize, usize),
}

/// A field of the message.
#[derive(Debug)]
pub(super) struct Part {
    /// Number and wire type.
    pub tag: u32,
    pub source: Source,
    pub step: Step,
    /// Zero is written, too.
    pub always: bool,
    /// What is written for null instead.
    pub default: Option<Box<[u8]>>,
}

/// The plan for one Connect schema under one message.
#[derive(Debug)]
pub(super) enum Encoder {
    Message(Vec<Part>),
    /// A primitive, in a wrapper.
    Wrapper(Type),
}

impl Encoder {
    /// Appends the value. On an error `out` may hold a beginning.
    pub fn write(
        &self,
        schema: &Schema,
        value: Value<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), DataError> {
        match (self, value) {
            (Self::Message(parts), Value::Struct(value)) => {
                write_message(parts, schema, value, out, None)
            }
            (Self::Message(_), other) => Err(unwritable(schema.type_, other)),
            (Self::Wrapper(type_), value) => {
                write_one(1 << 3 | type_.wire(), type_, false, schema, value, out, None)
            }
        }
    }
}

/// The messages around a value, innermost first.
pub(super) struct Around<'f> {
    parts: &'f [Part],
    schema: &'f Schema,
    outer: Option<&'f Around<'f>>,
}

fn write_message(
    parts: &[Part],
    schema: &Schema,
    value: &Struct<'_>,
    out: &mut Vec<u8>,
    outer: Option<&Around<'_>>,
) -> Result<(), DataError> {
    if !schema.admits(value.schema) {
        return Err(DataError::new("Mismatching struct schema"));
    }
    let Struct { schema, values } = *value;
    let around = Around { parts, schema, outer };
    for part in parts {
        let (Source::Field(at) | Source::Member(at, _)) = part.source;
        let (Some(field), Some(value)) = (schema.fields.get(at), values.get(at)) else { continue };
        let mut found = Some((&*field.schema, *value));
        if let Source::Member(_, index) = part.source {
            found = member(&field.schema, *value, index)?;
        }
        let Some((schema, value)) = found else { continue };
        match (value, &part.default) {
            (Value::Null, Some(default)) => out.extend_from_slice(default),
            (Value::Null, None) => {}
            (value, _) => {
                let Part { tag, ref step, always, .. } = *part;
                write_step(tag, step, always, schema, value, out, Some(&around))
                    .map_err(|error| in_field(error, &field.name))?;
            }
        }
    }
    Ok(())
}

/// The member of that number, if it is the one that is set: the first that is not null.
fn member<'u>(
    schema: &'u Schema,
    value: Value<'u>,
    index: usize,
) -> Result<Option<(&'u Schema, Value<'u>)>, DataError> {
    let union = match value {
        Value::Null => return Ok(None),
        Value::Struct(union) => union,
        other => return Err(unwritable(schema.type_, other)),
    };
    if !schema.admits(union.schema) {
        return Err(DataError::new("Mismatching struct schema"));
    }
    let set = union.values.iter().position(|value| !value.is_null());
    match set {
        None => Err(DataError::new("Cannot find non-null field")),
        Some(set) if set == index => {
            Ok(union.schema.fields.get(set).map(|field| (&*field.schema, union.values[set])))
        }
        Some(_) => Ok(None),
    }
}

/// Appends the field, its tag first.
pub(super) fn write_step(
    tag: u32,
    step: &Step,
    always: bool,
    schema: &Schema,
    value: Value<'_>,
    out: &mut Vec<u8>,
    around: Option<&Around<'_>>,
) -> Result<(), DataError> {
    match (step, value) {
        (Step::One(type_), value) => write_one(tag, type_, always, schema, value, out, around),
        (Step::List { .. } | Step::Map(_), Value::Array([]) | Value::Map([])) => Ok(()),
        (Step::List { type_, packed }, Value::Array(items)) => {
            let of = schema.value_schema.as_deref().ok_or_else(incomplete)?;
            if *packed {
                write_varint(tag.into(), out);
                return write_nested(out, |out| {
                    items.iter().try_for_each(|item| payload(type_, of, *item, out))
                });
            }
            items.iter().try_for_each(|item| write_one(tag, type_, true, of, *item, out, around))
        }
        (Step::Map(entry), Value::Map(entries)) => {
            let keys = schema.key_schema.as_deref().ok_or_else(incomplete)?;
            let values = schema.value_schema.as_deref().ok_or_else(incomplete)?;
            let [(key_tag, key_step), (value_tag, value_step)] = &**entry;
            for (key, value) in entries.iter() {
                write_message_field(tag, out, |out| {
                    if !key.is_null() {
                        write_step(*key_tag, key_step, false, keys, *key, out, around)?;
                    }
                    if !value.is_null() {
                        write_step(*value_tag, value_step, false, values, *value, out, around)?;
                    }
                    Ok(())
                })?;
            }
            Ok(())
        }
        (_, other) => Err(unwritable(schema.type_, other)),
    }
}

/// Appends tag and value; a zero that need not be written is taken back.
fn write_one(
    tag: u32,
    type_: &Type,
    always: bool,
    schema: &Schema,
    value: Value<'_>,
    out: &mut Vec<u8>,
    around: Option<&Around<'_>>,
) -> Result<(), DataError> {
    if type_.composite() {
        return write_message_field(tag, out, |out| body(type_, schema, value, out, around));
    }
    let start = out.len();
    write_varint(tag.into(), out);
    let from = out.len();
    payload(type_, schema, value, out)?;
    // No value but zero, and no text but an empty one, is written in zero bytes alone.
    if !always && out[from..].iter().all(|byte| *byte == 0) {
        out.truncate(start);
    }
    Ok(())
}

impl Type {
    /// Whether it is a message on the wire.
    pub fn composite(&self) -> bool {
        matches!(
            self,
            Self::Decimal
                | Self::Date
                | Self::Time
                | Self::Timestamp
                | Self::Wrapper(_)
                | Self::Message(_)
                | Self::Again(_)
        )
    }

    /// How it is written, if not as a group.
    pub fn wire(&self) -> u32 {
        match self {
            Self::Integer(scalar) => wire_type(*scalar),
            Self::Boolean | Self::Symbol(_) => VARINT,
            Self::Float => I32,
            Self::Double => I64,
            _ => LEN,
        }
    }
}

/// Appends a value that is no message, without its tag.
fn payload(
    type_: &Type,
    schema: &Schema,
    value: Value<'_>,
    out: &mut Vec<u8>,
) -> Result<(), DataError> {
    match (type_, value) {
        (Type::String, Value::Str(text)) => write_counted(text.as_bytes(), out),
        (Type::Integer(scalar), value) => return write_integer(*scalar, schema, value, out),
        (Type::Boolean, Value::Boolean(value)) => out.push(value.into()),
        (Type::Double, Value::Float64(value)) => out.extend_from_slice(&value.to_le_bytes()),
        (Type::Double, Value::Float32(value)) => {
            out.extend_from_slice(&f64::from(value).to_le_bytes());
        }
        (Type::Float, Value::Float32(value)) => out.extend_from_slice(&value.to_le_bytes()),
        (Type::Bytes, Value::Bytes(bytes)) => write_counted(bytes, out),
        (Type::Symbol(symbols), Value::Str(symbol)) => {
            let found = symbols.binary_search_by(|(known, _)| (**known).cmp(symbol));
            let at =
                found.map_err(|_| DataError::new(format!("the enum has no symbol {symbol}")))?;
            write_varint(i64::from(symbols[at].1) as u64, out);
        }
        (_, value) => return Err(unwritable(schema.type_, value)),
    }
    Ok(())
}

/// Appends a message's fields.
fn body(
    type_: &Type,
    schema: &Schema,
    value: Value<'_>,
    out: &mut Vec<u8>,
    around: Option<&Around<'_>>,
) -> Result<(), DataError> {
    match (type_, value) {
        (Type::Message(parts), Value::Struct(value)) => {
            write_message(parts, schema, value, out, around)
        }
        (Type::Again(out_by), Value::Struct(value)) => {
            let mut message = around;
            for _ in 0..*out_by {
                message = message.and_then(|message| message.outer);
            }
            let message = message.ok_or_else(incomplete)?;
            write_message(message.parts, message.schema, value, out, message.outer)
        }
        (Type::Wrapper(type_), value) => {
            write_one(1 << 3 | type_.wire(), type_, false, schema, value, out, None)
        }
        (type_, value) => write_logical(type_, schema, value, out),
    }
}

/// Appends a message's tag and what `body` makes: behind its length, or as a group up to its end.
#[inline]
fn write_message_field(
    tag: u32,
    out: &mut Vec<u8>,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), DataError>,
) -> Result<(), DataError> {
    write_varint(tag.into(), out);
    if tag & 7 != START {
        return write_nested(out, body);
    }
    body(out)?;
    write_varint((tag & !7 | END).into(), out);
    Ok(())
}

fn write_integer(
    scalar: Scalar,
    schema: &Schema,
    value: Value<'_>,
    out: &mut Vec<u8>,
) -> Result<(), DataError> {
    let number = match value {
        Value::Int32(value) => value.into(),
        Value::Int64(value) => value,
        Value::Int16(value) => value.into(),
        Value::Int8(value) => value.into(),
        other => return Err(unwritable(schema.type_, other)),
    };
    let fits = match scalar {
        Scalar::Int32 | Scalar::Sint32 | Scalar::Sfixed32 => i32::try_from(number).is_ok(),
        Scalar::Uint32 | Scalar::Fixed32 => u32::try_from(number).is_ok(),
        _ => true,
    };
    if !fits {
        return Err(DataError::new(format!("{number} is out of range for {}", scalar.name())));
    }
    match scalar {
        Scalar::Sint32 | Scalar::Sint64 => write_varint(zigzag(number), out),
        Scalar::Fixed32 | Scalar::Sfixed32 => {
            out.extend_from_slice(&(number as u32).to_le_bytes());
        }
        Scalar::Fixed64 | Scalar::Sfixed64 => out.extend_from_slice(&number.to_le_bytes()),
        _ => write_varint(number as u64, out),
    }
    Ok(())
}

/// Logical types, each a message.
fn write_logical(
    type_: &Type,
    schema: &Schema,
    value: Value<'_>,
    out: &mut Vec<u8>,
) -> Result<(), DataError> {
    let refuse = |why: &str| Err(DataError::new(why));
    let numbers = match (type_, value) {
        (Type::Timestamp, Value::Timestamp(millis)) => match logical::seconds_of(millis) {
            Some((seconds, nanos)) => [seconds, nanos.into(), 0, 0],
            None => return refuse("the Timestamp is before year 1 or after year 9999"),
        },
        (Type::Date, Value::Date(days)) => match logical::date_of(days) {
            Some((year, month, day)) => [year.into(), month.into(), day.into(), 0],
            None => return refuse("the Date is before year 1"),
        },
        (Type::Time, Value::Time(millis)) => {
            let millis = i64::from(millis);
            if !(0..logical::DAY_MILLIS).contains(&millis) {
                return refuse(
                    "Time values must use number of millis greater than 0 and less than 86400000",
                );
            }
            let (minutes, seconds) = (millis / 60_000 % 60, millis / 1000 % 60);
            [millis / 3_600_000, minutes, seconds, millis % 1000 * 1_000_000]
        }
        (Type::Decimal, Value::Decimal(decimal)) => {
            let unscaled = logical::minimal(decimal.unscaled);
            out.push(1 << 3 | LEN as u8);
            write_counted(unscaled, out);
            out.push(2 << 3);
            write_varint(logical::digits(unscaled).into(), out);
            if decimal.scale != 0 {
                out.push(3 << 3);
                write_varint(i64::from(decimal.scale) as u64, out);
            }
            return Ok(());
        }
        (_, other) => return Err(unwritable(schema.type_, other)),
    };
    for (at, number) in numbers.iter().enumerate().filter(|(_, number)| **number != 0) {
        out.push((at as u8 + 1) << 3);
        write_varint(*number as u64, out);
    }
    Ok(())
}

#[cold]
fn unwritable(type_: SchemaType, value: Value<'_>) -> DataError {
    match value {
        Value::Null => DataError::new("Protobuf has no null in lists"),
        other => unfit::invalid(type_, other),
    }
}
