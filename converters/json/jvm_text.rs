//! For tests: schemas and values in the words of the program that asked the JVM.

use crate::data::{OwnedValue, Schema, SchemaType, Value};
use crate::number_text::{BigDecimal, write_double, write_float};

/// A schema as the JVM program printed it.
pub(crate) fn show_schema(schema: Option<&Schema>) -> String {
    let Some(schema) = schema else { return "-".to_owned() };
    let mut text = schema.type_.name().to_owned();
    if schema.optional {
        text += "?";
    }
    if let Some(name) = &schema.name {
        text += &format!("({name})");
    }
    if let Some(version) = schema.version {
        text += &format!("v{version}");
    }
    if !schema.parameters.is_empty() {
        let pairs: Vec<_> = schema.parameters.iter().map(|(k, v)| format!("{k}={v}")).collect();
        text += &format!("{{{}}}", pairs.join(", "));
    }
    if let Some(OwnedValue::Int32(default)) = &schema.default {
        text += &format!("={default}");
    }
    let keys = schema.key_schema.as_deref();
    let values = schema.value_schema.as_deref();
    match schema.type_ {
        SchemaType::Array => text += &format!("<{}>", show_schema(values)),
        SchemaType::Map => text += &format!("<{},{}>", show_schema(keys), show_schema(values)),
        SchemaType::Struct => {
            text += "{";
            for field in &schema.fields {
                text += &format!("{}:{};", field.name, show_schema(Some(&field.schema)));
            }
            text += "}";
        }
        _ => {}
    }
    text
}

/// A value as the JVM program printed it.
pub(crate) fn show(value: &Value<'_>) -> String {
    let printed = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    };
    match value {
        Value::Null => "null".to_owned(),
        Value::Boolean(value) => format!("Boolean:{value}"),
        Value::Int8(value) => format!("Byte:{value}"),
        Value::Int16(value) => format!("Short:{value}"),
        Value::Int32(value) => format!("Integer:{value}"),
        Value::Int64(value) => format!("Long:{value}"),
        Value::Float32(value) => format!("Float:{}", printed(&|out| write_float(*value, out))),
        Value::Float64(value) => format!("Double:{}", printed(&|out| write_double(*value, out))),
        Value::Str(text) => format!("String:{text}"),
        Value::Bytes(bytes) => {
            use base64::Engine;
            format!("bytes:{}", base64::engine::general_purpose::STANDARD.encode(bytes))
        }
        Value::Decimal(decimal) => {
            format!("BigDecimal:{}", BigDecimal::from_bytes(decimal.unscaled, decimal.scale))
        }
        Value::Date(days) => format!("Date:{}", i64::from(*days) * 86_400_000),
        Value::Time(millis) => format!("Date:{millis}"),
        Value::Timestamp(millis) => format!("Date:{millis}"),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(|item| show(item) + ",").collect::<String>())
        }
        Value::Map(entries) => {
            let show = |(key, value): &(Value, Value)| format!("{}={},", show(key), show(value));
            format!("{{{}}}", entries.iter().map(show).collect::<String>())
        }
        Value::Struct(value) => {
            let fields = value.schema.fields.iter().zip(value.values);
            let shown: Vec<_> = fields
                .filter(|(_, value)| !value.is_null())
                .map(|(field, value)| {
                    let text = show(value);
                    format!("{}={}", field.name, text.split_once(':').map_or("", |(_, v)| v))
                })
                .collect();
            format!("Struct:Struct{{{}}}", shown.join(","))
        }
        Value::Json(_) => "json".to_owned(),
    }
}
