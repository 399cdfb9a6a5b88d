//! Connect's data into Avro's binary encoding, by a plan made once for each pair of schemas.
//!
//! The plan follows the Avro schema that is written: mostly the one made of the data's own schema,
//! else one that the registry gave, whose fields are found by name.

use super::config::AvroDataConfig;
use super::encode_plan::plan;
use super::schema::AvroSchema;
use crate::arena::Arena;
use crate::converter::DataError;
use crate::data::{Schema, SchemaType, Struct, Value};
use crate::json::parse_text;
use crate::unfit::{in_field, incomplete, invalid};
use crate::varint::{write_varint, zigzag};

/// How one value is written.
#[derive(Debug)]
pub(super) enum Step {
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    /// Its size.
    Fixed(usize),
    Enum(Vec<String>),
    /// The union's places of null and of the type.
    Optional(Option<u8>, u8, Box<Step>),
    Array(Box<Step>),
    Map(Box<Step>),
    /// A map as an array of key and value.
    Entries(Box<Step>, Box<Step>),
    Record(Vec<Part>),
    /// A record inside of itself, by how many records out it is.
    Again(usize),
    /// A union from a struct: the place of null, and for each field its place and step.
    Sum(Option<u8>, Vec<(u8, Step)>),
    Anything,
}

/// A field of the record that is written.
#[derive(Debug)]
pub(super) enum Part {
    /// From that field of the struct; what is written for null instead of it, if anything.
    Field { from: usize, step: Step, default: Option<Box<[u8]>> },
    /// What the schema says in place of a field that the struct lacks.
    Constant(Box<[u8]>),
}

/// The plan for one Connect schema (`None`: data without schema) under one Avro schema.
#[derive(Debug)]
pub(super) struct Encoder(Step);

impl Encoder {
    /// Compiles; the error says which field cannot be written.
    pub fn compile(
        schema: Option<&Schema>,
        avro: &AvroSchema,
        config: &AvroDataConfig,
    ) -> Result<Self, String> {
        let Some(schema) = schema else { return Ok(Self(Step::Anything)) };
        plan(schema, avro, config).map(Self)
    }

    /// Appends the value. On an error `out` may hold a beginning.
    pub fn write(
        &self,
        schema: Option<&Schema>,
        value: Value<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), DataError> {
        match (schema, &self.0) {
            (None, _) => write_anything(value, out),
            // Avro's `bytes` by themselves are written without a length.
            (Some(schema), Step::Bytes) => {
                out.extend_from_slice(bytes(schema, value)?);
                Ok(())
            }
            (Some(schema), step) => write(step, schema, value, out, None),
        }
    }
}

/// The records around a value, innermost first.
pub(super) struct Around<'f> {
    parts: &'f [Part],
    schema: &'f Schema,
    outer: Option<&'f Around<'f>>,
}

/// Appends `value` as `step` says. On an error `out` may hold a beginning.
pub(super) fn write(
    step: &Step,
    schema: &Schema,
    value: Value<'_>,
    out: &mut Vec<u8>,
    around: Option<&Around<'_>>,
) -> Result<(), DataError> {
    match (step, value) {
        (Step::Optional(Some(null), ..) | Step::Sum(Some(null), _), Value::Null)
            if schema.optional =>
        {
            write_long((*null).into(), out);
        }
        (Step::Anything, value) => return write_anything(value, out),
        (_, Value::Null) => {
            return Err(DataError::new("Found null value for non-optional schema"));
        }
        (Step::Optional(_, place, inner), value) => {
            write_long((*place).into(), out);
            return write(inner, schema, value, out, around);
        }
        (Step::String, Value::Str(text)) => write_bytes(text.as_bytes(), out),
        (Step::Int | Step::Long, value) => write_long(integer(schema, value)?, out),
        (Step::Boolean, Value::Boolean(value)) => out.push(value.into()),
        (Step::Float, Value::Float32(value)) => out.extend_from_slice(&value.to_le_bytes()),
        (Step::Double, Value::Float64(value)) => out.extend_from_slice(&value.to_le_bytes()),
        (Step::Double, Value::Float32(value)) => {
            out.extend_from_slice(&f64::from(value).to_le_bytes());
        }
        (Step::Bytes, value) => write_bytes(bytes(schema, value)?, out),
        (Step::Fixed(size), value) => write_fixed(schema, value, *size, out)?,
        (Step::Enum(symbols), Value::Str(text)) => write_symbol(symbols, text, out)?,
        (step, value) => return write_nested(step, schema, value, out, around),
    }
    Ok(())
}

/// Values that hold values.
fn write_nested(
    step: &Step,
    schema: &Schema,
    value: Value<'_>,
    out: &mut Vec<u8>,
    around: Option<&Around<'_>>,
) -> Result<(), DataError> {
    match (step, value) {
        (Step::Array(items), Value::Array(values)) => {
            let of = schema.value_schema.as_deref().ok_or_else(incomplete)?;
            write_block(values.len(), out, |at, out| write(items, of, values[at], out, around))
        }
        (Step::Map(values), Value::Map(entries)) => {
            let of = schema.value_schema.as_deref().ok_or_else(incomplete)?;
            write_block(entries.len(), out, |at, out| {
                let (key, value) = entries[at];
                let key = key.as_str().ok_or_else(|| invalid(SchemaType::String, key))?;
                write_bytes(key.as_bytes(), out);
                write(values, of, value, out, around)
            })
        }
        (Step::Entries(keys, values), Value::Map(entries)) => {
            let key_schema = schema.key_schema.as_deref().ok_or_else(incomplete)?;
            let value_schema = schema.value_schema.as_deref().ok_or_else(incomplete)?;
            write_block(entries.len(), out, |at, out| {
                write(keys, key_schema, entries[at].0, out, around)?;
                write(values, value_schema, entries[at].1, out, around)
            })
        }
        (Step::Record(parts), Value::Struct(value)) => {
            write_record(parts, schema, value, out, around)
        }
        (Step::Again(out_by), Value::Struct(value)) => {
            let mut record = around;
            for _ in 0..*out_by {
                record = record.and_then(|record| record.outer);
            }
            let record = record.ok_or_else(incomplete)?;
            write_record(record.parts, record.schema, value, out, record.outer)
        }
        (Step::Sum(_, branches), Value::Struct(value)) => {
            if !schema.admits(value.schema) {
                return Err(DataError::new("Mismatching struct schema"));
            }
            let set = value.values.iter().position(|value| !value.is_null());
            let set = set
                .filter(|set| *set < branches.len())
                .ok_or_else(|| DataError::new("Found null value for non-optional schema"))?;
            let (place, step) = &branches[set];
            write_long((*place).into(), out);
            write(step, &schema.fields[set].schema, value.values[set], out, around)
        }
        (_, value) => Err(invalid(schema.type_, value)),
    }
}

fn write_record(
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
        match part {
            Part::Constant(bytes) => out.extend_from_slice(bytes),
            Part::Field { from, step, default } => {
                match (values.get(*from).copied().unwrap_or_default(), default) {
                    (Value::Null, Some(default)) => out.extend_from_slice(default),
                    (value, _) => {
                        write(step, &schema.fields[*from].schema, value, out, Some(&around))
                            .map_err(|error| in_field(error, &schema.fields[*from].name))?;
                    }
                }
            }
        }
    }
    Ok(())
}

fn write_symbol(symbols: &[String], text: &str, out: &mut Vec<u8>) -> Result<(), DataError> {
    let symbol = symbols.iter().position(|symbol| symbol == text).ok_or_else(|| {
        DataError::new(format!("{text:?} is no symbol of the enum: {}", symbols.join(", ")))
    })?;
    write_long(symbol as i64, out);
    Ok(())
}

/// A zigzag `long`.
#[inline]
fn write_long(value: i64, out: &mut Vec<u8>) {
    write_varint(zigzag(value), out);
}

#[inline]
fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_long(bytes.len() as i64, out);
    out.extend_from_slice(bytes);
}

/// The items of an array or a map: one block, then the end.
fn write_block(
    count: usize,
    out: &mut Vec<u8>,
    mut each: impl FnMut(usize, &mut Vec<u8>) -> Result<(), DataError>,
) -> Result<(), DataError> {
    if count > 0 {
        write_long(count as i64, out);
        for at in 0..count {
            each(at, out)?;
        }
    }
    out.push(0);
    Ok(())
}

fn integer(schema: &Schema, value: Value<'_>) -> Result<i64, DataError> {
    use SchemaType as T;
    Ok(match (schema.type_, value) {
        (T::Int8, Value::Int8(value)) => value.into(),
        (T::Int16, Value::Int16(value)) => value.into(),
        (T::Int32, Value::Int32(value) | Value::Date(value) | Value::Time(value)) => value.into(),
        (T::Int64, Value::Int64(value) | Value::Timestamp(value)) => value,
        (type_, value) => return Err(invalid(type_, value)),
    })
}

fn bytes<'v>(schema: &Schema, value: Value<'v>) -> Result<&'v [u8], DataError> {
    match value {
        Value::Bytes(bytes) => Ok(bytes),
        Value::Decimal(decimal) => {
            let scale = schema.parameter("scale").and_then(|scale| scale.parse().ok());
            match scale == Some(decimal.scale) {
                true => Ok(decimal.unscaled),
                false => Err(DataError::new(
                    "Decimal value has mismatching scale for given Decimal schema",
                )),
            }
        }
        other => Err(invalid(SchemaType::Bytes, other)),
    }
}

fn write_fixed(
    schema: &Schema,
    value: Value<'_>,
    size: usize,
    out: &mut Vec<u8>,
) -> Result<(), DataError> {
    let bytes = bytes(schema, value)?;
    let missing = size.checked_sub(bytes.len()).ok_or_else(|| {
        DataError::new(format!(
            "Unscaled value byte array length {} is greater than fixed size {size}",
            bytes.len()
        ))
    })?;
    if missing > 0 && !matches!(value, Value::Decimal(_)) {
        return Err(DataError::new(format!(
            "{} bytes cannot be written as a fixed of {size}",
            bytes.len()
        )));
    }
    // A decimal is filled up with its sign.
    let sign = if bytes.first().is_some_and(|first| first & 0x80 != 0) { 0xff } else { 0 };
    out.resize(out.len() + missing, sign);
    out.extend_from_slice(bytes);
    Ok(())
}

/// Data without schema: of the nine fields the one of its type is set.
fn write_anything(value: Value<'_>, out: &mut Vec<u8>) -> Result<(), DataError> {
    let field = match value {
        Value::Null => 9,
        Value::Boolean(_) => 0,
        Value::Bytes(_) => 1,
        Value::Float64(_) => 2,
        Value::Float32(_) => 3,
        Value::Int8(_) | Value::Int16(_) | Value::Int32(_) => 4,
        Value::Int64(_) => 5,
        Value::Str(_) => 6,
        Value::Array(_) => 7,
        Value::Map(_) => 8,
        Value::Json(text) => {
            let arena = Arena::new();
            return write_anything(parse_text(text, &arena)?, out);
        }
        other => {
            return Err(DataError::new(format!(
                "{} does not have corresponding schema type.",
                other.java_class()
            )));
        }
    };
    out.resize(out.len() + field, 0);
    if field == 9 {
        return Ok(());
    }
    write_long(1, out);
    match value {
        Value::Boolean(value) => out.push(value.into()),
        Value::Bytes(bytes) => write_bytes(bytes, out),
        Value::Float64(value) => out.extend_from_slice(&value.to_le_bytes()),
        Value::Float32(value) => out.extend_from_slice(&value.to_le_bytes()),
        Value::Int8(value) => write_long(value.into(), out),
        Value::Int16(value) => write_long(value.into(), out),
        Value::Int32(value) => write_long(value.into(), out),
        Value::Int64(value) => write_long(value, out),
        Value::Str(text) => write_bytes(text.as_bytes(), out),
        Value::Array(items) => {
            write_block(items.len(), out, |at, out| write_anything(items[at], out))?;
        }
        Value::Map(entries) => write_block(entries.len(), out, |at, out| {
            write_anything(entries[at].0, out)?;
            write_anything(entries[at].1, out)
        })?,
        _ => {}
    }
    out.resize(out.len() + 8 - field, 0);
    Ok(())
}
