//! A record's value as a document: what Confluent's `DataConverter` hands to the JSON converter.

use millrace_api::converters::data::DECIMAL_NAME;
use millrace_api::converters::json::text::write_string;
use millrace_api::converters::json::{WriteOptions, write_value};
use millrace_api::converters::number_text::BigDecimal;
use millrace_api::converters::{Arena, DataError, Schema, SchemaType, Value};

/// Appends a schemaless value, or one whose schema is ignored.
pub fn write_plain(
    schema: Option<&Schema>,
    value: Value<'_>,
    out: &mut Vec<u8>,
) -> Result<(), DataError> {
    write_value(schema, value, out, &WriteOptions::default())
}

/// Appends a value of a schema: decimals become doubles; maps with keys other than strings, and all
/// maps unless `compact`, become lists of `{"key":…,"value":…}`.
pub fn write_typed(
    schema: &Schema,
    value: Value<'_>,
    compact: bool,
    out: &mut Vec<u8>,
) -> Result<(), DataError> {
    if value.is_null() {
        return write_null(schema, compact, out);
    }
    if schema.is_named(DECIMAL_NAME) {
        let Value::Decimal(decimal) = value else {
            return write_plain(Some(schema), value, out);
        };
        let number = BigDecimal::from_bytes(decimal.unscaled, decimal.scale).double_value();
        return write_plain(None, Value::Float64(number), out);
    }
    match (schema.type_, value) {
        (SchemaType::Array, Value::Array(items)) => {
            let items_schema = schema.value_schema.as_deref();
            list(b'[', items, b']', out, |item, out| part(items_schema, *item, compact, out))
        }
        (SchemaType::Struct, Value::Struct(data)) => {
            let fields: Vec<_> = data.schema.fields.iter().zip(data.values).collect();
            list(b'{', &fields, b'}', out, |(field, value), out| {
                write_string(&field.name, out);
                out.push(b':');
                write_typed(&field.schema, **value, compact, out)
            })
        }
        (SchemaType::Map, Value::Map(entries)) => {
            let keys = schema.key_schema.as_deref();
            let values = schema.value_schema.as_deref();
            if compact && keys.is_some_and(|keys| keys.type_ == SchemaType::String) {
                return list(b'{', entries, b'}', out, |(key, value), out| {
                    write_string(key.as_str().unwrap_or_default(), out);
                    out.push(b':');
                    part(values, *value, compact, out)
                });
            }
            list(b'[', entries, b']', out, |(key, value), out| {
                out.extend_from_slice(b"{\"key\":");
                part(keys, *key, compact, out)?;
                out.extend_from_slice(b",\"value\":");
                part(values, *value, compact, out)?;
                out.push(b'}');
                Ok(())
            })
        }
        _ => write_plain(Some(schema), value, out),
    }
}

fn write_null(schema: &Schema, compact: bool, out: &mut Vec<u8>) -> Result<(), DataError> {
    if let Some(default) = &schema.default {
        let arena = Arena::new();
        return write_typed(schema, default.to_value(&arena), compact, out);
    }
    if !schema.optional {
        return Err(DataError::new(
            "null value for field that is required and has no default value",
        ));
    }
    out.extend_from_slice(b"null");
    Ok(())
}

/// A part of a container; without a schema of its own, as it is.
fn part(
    schema: Option<&Schema>,
    value: Value<'_>,
    compact: bool,
    out: &mut Vec<u8>,
) -> Result<(), DataError> {
    match schema {
        Some(schema) => write_typed(schema, value, compact, out),
        None => write_plain(None, value, out),
    }
}

fn list<T>(
    open: u8,
    items: &[T],
    close: u8,
    out: &mut Vec<u8>,
    mut each: impl FnMut(&T, &mut Vec<u8>) -> Result<(), DataError>,
) -> Result<(), DataError> {
    out.push(open);
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        each(item, out)?;
    }
    out.push(close);
    Ok(())
}

#[cfg(test)]
mod tests {
    use millrace_api::converters::data::OwnedValue;
    use millrace_api::converters::{Decimal, Field, Struct};

    use super::*;

    fn typed(schema: &Schema, value: Value<'_>, compact: bool) -> String {
        let mut out = Vec::new();
        write_typed(schema, value, compact, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn decimals_are_doubles() {
        let decimal = Decimal { unscaled: &[0x30, 0x39], scale: 2 };
        let value = Value::Decimal(&decimal);
        assert_eq!(typed(&Schema::decimal(2), value, true), "123.45");
        let mut out = Vec::new();
        write_plain(Some(&Schema::decimal(2)), value, &mut out).unwrap();
        assert_eq!(out, b"\"MDk=\"", "with schema.ignore as the JSON converter writes it");
    }

    #[test]
    fn maps_by_their_keys() {
        let schema =
            |keys| Schema::map(Schema::new(keys).into(), Schema::new(SchemaType::Int32).into());
        let strings = [(Value::Str("a"), Value::Int32(1)), (Value::Str("b"), Value::Int32(2))];
        let numbers = [(Value::Int32(7), Value::Int32(1))];
        assert_eq!(
            typed(&schema(SchemaType::String), Value::Map(&strings), true),
            r#"{"a":1,"b":2}"#
        );
        assert_eq!(
            typed(&schema(SchemaType::String), Value::Map(&strings), false),
            r#"[{"key":"a","value":1},{"key":"b","value":2}]"#
        );
        assert_eq!(
            typed(&schema(SchemaType::Int32), Value::Map(&numbers), true),
            r#"[{"key":7,"value":1}]"#
        );
    }

    #[test]
    fn nulls_take_defaults() {
        let optional = Schema::new(SchemaType::String).optional();
        let defaulted =
            Schema { default: Some(OwnedValue::Int32(5)), ..Schema::new(SchemaType::Int32) };
        let field = |name: &str, schema: &Schema| Field {
            name: name.into(),
            schema: schema.clone().into(),
        };
        let schema = Schema::struct_of(vec![field("o", &optional), field("d", &defaulted)]);
        let data = Struct { schema: &schema, values: &[Value::Null, Value::Null] };
        assert_eq!(typed(&schema, Value::Struct(&data), true), r#"{"o":null,"d":5}"#);
        let required = Schema::new(SchemaType::Int32);
        assert!(write_typed(&required, Value::Null, true, &mut Vec::new()).is_err());
    }
}
