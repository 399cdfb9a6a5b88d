//! Default values: from an Avro schema's JSON to Connect's data, and back.

use std::sync::Arc;

use num_bigint::BigInt;
use serde_json::Value as Json;

use super::names::UNION;
use crate::arena::Arena;
use crate::data::{
    DATE_NAME, DECIMAL_NAME, OwnedValue, Schema, SchemaType, TIME_NAME, TIMESTAMP_NAME, Value,
};

/// The default that `json` gives for `schema`; `None` if it is none for that type, which the JVM
/// logs and lives without.
pub(super) fn default_value(schema: &Schema, json: &Json) -> Option<OwnedValue> {
    use SchemaType as T;
    if json.is_null() {
        return Some(OwnedValue::Null);
    }
    let int = || json.as_i64();
    let name = schema.name.as_deref().unwrap_or_default();
    Some(match schema.type_ {
        T::Int8 => OwnedValue::Int8(int()? as i8),
        T::Int16 => OwnedValue::Int16(int()? as i16),
        T::Int32 => {
            let number = i32::try_from(int()?).ok()?;
            match name {
                DATE_NAME => OwnedValue::Date(number),
                TIME_NAME => OwnedValue::Time(number),
                _ => OwnedValue::Int32(number),
            }
        }
        T::Int64 if name == TIMESTAMP_NAME => OwnedValue::Timestamp(int()?),
        T::Int64 => OwnedValue::Int64(int()?),
        T::Float32 => OwnedValue::Float32(json.as_f64()? as f32),
        T::Float64 => OwnedValue::Float64(json.as_f64()?),
        T::Boolean => OwnedValue::Boolean(json.as_bool()?),
        T::String => OwnedValue::String(json.as_str()?.into()),
        T::Bytes => {
            let bytes = latin1(json.as_str()?)?;
            match name {
                DECIMAL_NAME => OwnedValue::Decimal {
                    unscaled: BigInt::from_signed_bytes_be(&bytes).to_signed_bytes_be().into(),
                    scale: schema.parameter("scale")?.parse().ok()?,
                },
                _ => OwnedValue::Bytes(bytes.into()),
            }
        }
        T::Array => {
            let of = schema.value_schema.as_deref()?;
            let items = json.as_array()?.iter().map(|item| default_value(of, item));
            OwnedValue::Array(items.collect::<Option<Vec<_>>>()?.into())
        }
        T::Map => {
            let of = schema.value_schema.as_deref()?;
            let entry = |(key, value): (&String, &Json)| {
                Some((OwnedValue::String(key.as_str().into()), default_value(of, value)?))
            };
            OwnedValue::Map(json.as_object()?.iter().map(entry).collect::<Option<Vec<_>>>()?.into())
        }
        T::Struct => struct_default(schema, json)?,
    })
}

fn struct_default(schema: &Schema, json: &Json) -> Option<OwnedValue> {
    let mut fields = vec![OwnedValue::Null; schema.fields.len()];
    if schema.is_named(UNION) {
        // A union's default is of its first type.
        let (first, field) = (fields.first_mut()?, schema.fields.first()?);
        *first = default_value(&field.schema, json)?;
    } else {
        let object = json.as_object()?;
        for (value, field) in fields.iter_mut().zip(&schema.fields) {
            *value = match object.get(&*field.name) {
                Some(json) => default_value(&field.schema, json)?,
                None => field.schema.default.clone().unwrap_or(OwnedValue::Null),
            };
            if *value == OwnedValue::Null && !field.schema.optional {
                return None;
            }
        }
    }
    Some(OwnedValue::Struct { schema: Arc::new(schema.clone()), fields: fields.into() })
}

/// Avro writes bytes into JSON as the characters of those codes.
fn latin1(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|letter| u8::try_from(u32::from(letter)).ok()).collect()
}

/// A default of Connect's as an Avro schema has it; `None` if it is not of the schema's type.
pub(super) fn default_json(schema: &Schema, value: &OwnedValue) -> Option<Json> {
    let arena = Arena::new();
    json_of(schema, &value.to_value(&arena))
}

fn json_of(schema: &Schema, value: &Value<'_>) -> Option<Json> {
    Some(match *value {
        Value::Null => Json::Null,
        Value::Boolean(value) => value.into(),
        Value::Int8(value) => value.into(),
        Value::Int16(value) => value.into(),
        Value::Int32(value) | Value::Date(value) | Value::Time(value) => value.into(),
        Value::Int64(value) | Value::Timestamp(value) => value.into(),
        Value::Float32(_) | Value::Float64(_) => {
            // As Java prints it, not as the nearest double of a float.
            let mut text = Vec::new();
            match *value {
                Value::Float32(value) => crate::number_text::write_float(value, &mut text),
                Value::Float64(value) => crate::number_text::write_double(value, &mut text),
                _ => {}
            }
            serde_json::from_slice(&text).ok()?
        }
        Value::Str(text) => text.into(),
        Value::Bytes(bytes) => bytes.iter().copied().map(char::from).collect::<String>().into(),
        Value::Decimal(decimal) => {
            decimal.unscaled.iter().copied().map(char::from).collect::<String>().into()
        }
        Value::Array(items) => {
            let of = schema.value_schema.as_deref()?;
            items.iter().map(|item| json_of(of, item)).collect::<Option<Vec<_>>>()?.into()
        }
        Value::Map(entries) => {
            let (keys, values) = (schema.key_schema.as_deref()?, schema.value_schema.as_deref()?);
            if keys.type_ == SchemaType::String && !keys.optional {
                let mut object = serde_json::Map::new();
                for (key, value) in entries {
                    object.insert(key.as_str()?.to_owned(), json_of(values, value)?);
                }
                object.into()
            } else {
                let pair = |(key, value): &(Value<'_>, Value<'_>)| {
                    Some(Json::from(vec![json_of(keys, key)?, json_of(values, value)?]))
                };
                entries.iter().map(pair).collect::<Option<Vec<_>>>()?.into()
            }
        }
        Value::Struct(value) => {
            let mut object = serde_json::Map::new();
            for (field, value) in value.schema.fields.iter().zip(value.values) {
                let json = json_of(&field.schema, value)?;
                if schema.is_named(UNION) {
                    return Some(json);
                }
                object.insert(field.name.to_string(), json);
            }
            object.into()
        }
        Value::Json(_) => return None,
    })
}
