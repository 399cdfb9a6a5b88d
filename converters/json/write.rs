//! Values as JSON text, as `JsonConverter` and Jackson print them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::text::write_string;
use crate::arena::Arena;
use crate::converter::DataError;
use crate::data::{
    DATE_NAME, DECIMAL_NAME, Decimal, Schema, SchemaType, Struct, TIME_NAME, TIMESTAMP_NAME, Value,
};
use crate::number_text::{BigDecimal, write_double, write_float};

/// `decimal.format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DecimalFormat {
    #[default]
    /// The unscaled bytes.
    Base64,
    /// A number, as `BigDecimal.toString` prints it.
    Numeric,
}

/// What a `JsonConverter` is told about writing.
#[derive(Clone, Copy, Debug)]
pub struct WriteOptions {
    /// `decimal.format`.
    pub decimal_format: DecimalFormat,
    /// `replace.null.with.default`.
    pub replace_null_with_default: bool,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self { decimal_format: DecimalFormat::Base64, replace_null_with_default: true }
    }
}

/// Appends `value` as JSON, without an envelope. On an error `out` may hold a beginning: whoever
/// owns it cuts it back.
pub fn write_value(
    schema: Option<&Schema>,
    value: Value<'_>,
    out: &mut Vec<u8>,
    options: &WriteOptions,
) -> Result<(), DataError> {
    if value.is_null() {
        return write_null(schema, out, options);
    }
    match schema {
        None => write_schemaless(value, out, options),
        Some(schema) => {
            if schema.name.is_some() && write_logical(schema, value, out, options)? {
                return Ok(());
            }
            write_typed(schema, value, out, options)
        }
    }
}

fn write_null(
    schema: Option<&Schema>,
    out: &mut Vec<u8>,
    options: &WriteOptions,
) -> Result<(), DataError> {
    if let Some(schema) = schema {
        if let Some(default) = &schema.default
            && options.replace_null_with_default
        {
            let arena = Arena::new();
            return write_value(Some(schema), default.to_value(&arena), out, options);
        }
        if !schema.optional {
            return Err(DataError::new(
                "Conversion error: null value for field that is required and has no default value",
            ));
        }
    }
    out.extend_from_slice(b"null");
    Ok(())
}

/// Date, Time, Timestamp and Decimal, by the schema's name alone; false if it is another name.
fn write_logical(
    schema: &Schema,
    value: Value<'_>,
    out: &mut Vec<u8>,
    options: &WriteOptions,
) -> Result<bool, DataError> {
    let name = schema.name.as_deref().unwrap_or_default();
    let (kind, expected) = match name {
        DECIMAL_NAME => ("Decimal", "BigDecimal"),
        DATE_NAME => ("Date", "Date"),
        TIME_NAME => ("Time", "Date"),
        TIMESTAMP_NAME => ("Timestamp", "Date"),
        _ => return Ok(false),
    };
    match (name, value) {
        (DECIMAL_NAME, Value::Decimal(decimal)) => write_decimal(schema, decimal, out, options)?,
        (DATE_NAME, Value::Date(number)) | (TIME_NAME, Value::Time(number)) => {
            write_integer(number.into(), out);
        }
        (TIMESTAMP_NAME, Value::Timestamp(number)) => write_integer(number, out),
        (_, other) => {
            if let Some(time) = other.as_time(name) {
                return write_logical(schema, time, out, options);
            }
            return Err(DataError::new(format!(
                "Invalid type for {kind}, expected {expected} but was class {}",
                other.java_class()
            )));
        }
    }
    Ok(true)
}

pub(crate) fn write_decimal(
    schema: &Schema,
    decimal: &Decimal<'_>,
    out: &mut Vec<u8>,
    options: &WriteOptions,
) -> Result<(), DataError> {
    if options.decimal_format == DecimalFormat::Numeric {
        let number = BigDecimal::from_bytes(decimal.unscaled, decimal.scale);
        out.extend_from_slice(number.to_string().as_bytes());
        return Ok(());
    }
    let scale = decimal_scale(schema)?;
    if decimal.scale != scale {
        return Err(DataError::new(format!(
            "Decimal value has mismatching scale for given Decimal schema. Schema has scale \
             {scale}, value has scale {}.",
            decimal.scale
        )));
    }
    write_base64(decimal.unscaled, out);
    Ok(())
}

/// Parameter `scale` of a Decimal's schema.
pub(crate) fn decimal_scale(schema: &Schema) -> Result<i32, DataError> {
    let text = schema.parameter("scale").ok_or_else(|| {
        DataError::new("Invalid Decimal schema: scale parameter not found.".to_owned())
    })?;
    text.parse()
        .map_err(|_| DataError::new("Invalid scale parameter found in Decimal schema: ".to_owned()))
}

fn write_typed(
    schema: &Schema,
    value: Value<'_>,
    out: &mut Vec<u8>,
    options: &WriteOptions,
) -> Result<(), DataError> {
    use SchemaType as T;
    match (schema.type_, value) {
        (T::Int8, Value::Int8(_))
        | (T::Int16, Value::Int16(_))
        | (T::Int32, Value::Int32(_))
        | (T::Int64, Value::Int64(_))
        | (T::Float32, Value::Float32(_))
        | (T::Float64, Value::Float64(_))
        | (T::Boolean, Value::Boolean(_))
        | (T::String, Value::Str(_))
        | (T::Bytes, Value::Bytes(_)) => write_schemaless(value, out, options),
        (T::Array, Value::Array(items)) => write_list(items, out, |item, out| {
            write_value(schema.value_schema.as_deref(), *item, out, options)
        }),
        (T::Map, Value::Map(entries)) => {
            // The empty map that a header's `{}` is has none: Java asks for its type anyway.
            let Some(keys) = schema.key_schema.as_deref() else {
                const CLASS: &str = "java.lang.NullPointerException";
                return Err(DataError::with_class(CLASS, "a map's schema has no schema of keys"));
            };
            let strings = keys.type_ == T::String;
            write_map(Some(keys), schema.value_schema.as_deref(), strings, entries, out, options)
        }
        (T::Struct, Value::Struct(value)) => {
            if !schema.admits(value.schema) {
                return Err(DataError::new("Mismatching schema."));
            }
            write_struct(value, out, options)
        }
        (T::Bytes, other) => Err(DataError::new(format!(
            "Invalid type for bytes type: class {}",
            other.java_class()
        ))),
        (type_, other) => Err(DataError::new(format!(
            "Invalid type for {}: class {}",
            type_.name(),
            other.java_class()
        ))),
    }
}

fn write_struct(
    value: &Struct<'_>,
    out: &mut Vec<u8>,
    options: &WriteOptions,
) -> Result<(), DataError> {
    out.push(b'{');
    for (at, field) in value.schema.fields.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_string(&field.name, out);
        out.push(b':');
        let item = value.values.get(at).copied().unwrap_or_default();
        write_value(Some(&field.schema), item, out, options)?;
    }
    out.push(b'}');
    Ok(())
}

fn write_schemaless(
    value: Value<'_>,
    out: &mut Vec<u8>,
    options: &WriteOptions,
) -> Result<(), DataError> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Boolean(true) => out.extend_from_slice(b"true"),
        Value::Boolean(false) => out.extend_from_slice(b"false"),
        Value::Int8(number) => write_integer(number.into(), out),
        Value::Int16(number) => write_integer(number.into(), out),
        Value::Int32(number) => write_integer(number.into(), out),
        Value::Int64(number) => write_integer(number, out),
        Value::Float32(number) if number.is_finite() => write_float(number, out),
        Value::Float32(number) => quoted(out, |out| write_float(number, out)),
        Value::Float64(number) if number.is_finite() => write_double(number, out),
        Value::Float64(number) => quoted(out, |out| write_double(number, out)),
        Value::Str(text) => write_string(text, out),
        Value::Bytes(bytes) => write_base64(bytes, out),
        Value::Array(items) => {
            return write_list(items, out, |item, out| write_value(None, *item, out, options));
        }
        Value::Map(entries) => {
            let strings = entries.iter().all(|(key, _)| matches!(key, Value::Str(_)));
            return write_map(None, None, strings, entries, out, options);
        }
        Value::Json(text) => text.write_to(out),
        // Java asks a struct for its schema and finds none given.
        Value::Struct(_) => return Err(DataError::new("Mismatching schema.")),
        Value::Decimal(_) | Value::Date(_) | Value::Time(_) | Value::Timestamp(_) => {
            return Err(DataError::new(format!(
                "Java class class {} does not have corresponding schema type.",
                value.java_class()
            )));
        }
    }
    Ok(())
}

fn write_list<T>(
    items: &[T],
    out: &mut Vec<u8>,
    mut each: impl FnMut(&T, &mut Vec<u8>) -> Result<(), DataError>,
) -> Result<(), DataError> {
    out.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        each(item, out)?;
    }
    out.push(b']');
    Ok(())
}

/// An object if the keys are strings, else `[[key,value],…]`.
fn write_map(
    keys: Option<&Schema>,
    values: Option<&Schema>,
    strings: bool,
    entries: &[(Value<'_>, Value<'_>)],
    out: &mut Vec<u8>,
    options: &WriteOptions,
) -> Result<(), DataError> {
    if !strings {
        return write_list(entries, out, |(key, value), out| {
            out.push(b'[');
            write_value(keys, *key, out, options)?;
            out.push(b',');
            write_value(values, *value, out, options)?;
            out.push(b']');
            Ok(())
        });
    }
    out.push(b'{');
    for (at, (key, value)) in entries.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        let Value::Str(key) = key else {
            return Err(DataError::new(format!(
                "Invalid type for MAP: class {}",
                key.java_class()
            )));
        };
        write_string(key, out);
        out.push(b':');
        write_value(values, *value, out, options)?;
    }
    out.push(b'}');
    Ok(())
}

fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

fn write_integer(number: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let from = out.len();
    out.resize(from + bytes.len().div_ceil(3) * 4, 0);
    // The buffer was sized for exactly this; an error would leave zeros, which no reader takes.
    let written = STANDARD.encode_slice(bytes, &mut out[from..]).unwrap_or(0);
    out.truncate(from + written);
    out.push(b'"');
}
