//! A schema as an Elasticsearch mapping.

use millrace_api::converters::data::{
    DATE_NAME, DECIMAL_NAME, OwnedValue, TIME_NAME, TIMESTAMP_NAME,
};
use millrace_api::converters::number_text::BigDecimal;
use millrace_api::converters::{DataError, Schema, SchemaType};
use serde_json::{Map, Value, json};

/// Nested deeper than any schema that a converter makes.
const MAX_DEPTH: usize = 200;

/// The body of a request that puts the mapping.
pub fn of_schema(schema: Option<&Schema>) -> Result<Value, DataError> {
    let schema = schema.ok_or_else(|| {
        DataError::new(
            "Cannot infer mapping without schema. Set schema.ignore=true (or topic.schema.ignore) for \
             records without a schema",
        )
    })?;
    build(schema, 0)
}

fn build(schema: &Schema, depth: usize) -> Result<Value, DataError> {
    if depth > MAX_DEPTH {
        return Err(DataError::new("the schema is nested too deeply for a mapping"));
    }
    let part = |schema: Option<&Schema>| {
        let missing = || DataError::new("Cannot infer mapping without schema.");
        build(schema.ok_or_else(missing)?, depth + 1)
    };
    match schema.name.as_deref() {
        Some(DATE_NAME | TIME_NAME | TIMESTAMP_NAME) => return Ok(primitive("date", schema)),
        Some(DECIMAL_NAME) => return Ok(primitive("double", schema)),
        _ => {}
    }
    let kind = match schema.type_ {
        SchemaType::Array => return part(schema.value_schema.as_deref()),
        SchemaType::Map => {
            let key = part(schema.key_schema.as_deref())?;
            let value = part(schema.value_schema.as_deref())?;
            return Ok(json!({"properties": {"key": key, "value": value}}));
        }
        SchemaType::Struct => {
            let mut properties = Map::new();
            for field in &schema.fields {
                properties.insert(field.name.to_string(), build(&field.schema, depth + 1)?);
            }
            return Ok(json!({"properties": properties}));
        }
        SchemaType::Boolean => "boolean",
        SchemaType::Int8 => "byte",
        SchemaType::Int16 => "short",
        SchemaType::Int32 => "integer",
        SchemaType::Int64 => "long",
        SchemaType::Float32 => "float",
        SchemaType::Float64 => "double",
        SchemaType::String => "text",
        SchemaType::Bytes => "binary",
    };
    Ok(primitive(kind, schema))
}

/// A plain field; texts get a keyword beside them, the schema's default becomes `null_value`.
fn primitive(kind: &str, schema: &Schema) -> Value {
    let mut mapping = json!({ "type": kind });
    if kind == "text" {
        mapping["fields"] = json!({"keyword": {"type": "keyword", "ignore_above": 256}});
    }
    // Texts and binaries cannot have one.
    let null_value = match &schema.default {
        Some(OwnedValue::Boolean(value)) => json!(value),
        Some(OwnedValue::Int8(value)) => json!(value),
        Some(OwnedValue::Int16(value)) => json!(value),
        Some(OwnedValue::Int32(value) | OwnedValue::Date(value) | OwnedValue::Time(value)) => {
            json!(value)
        }
        Some(OwnedValue::Int64(value) | OwnedValue::Timestamp(value)) => json!(value),
        Some(OwnedValue::Float32(value)) => json!(value),
        Some(OwnedValue::Float64(value)) => json!(value),
        Some(OwnedValue::Decimal { unscaled, scale }) => {
            json!(BigDecimal::from_bytes(unscaled, *scale).double_value())
        }
        _ => return mapping,
    };
    mapping["null_value"] = null_value;
    mapping
}

#[cfg(test)]
mod tests {
    use millrace_api::converters::Field;

    use super::*;

    #[test]
    fn a_struct() {
        let field = |name: &str, schema: Schema| Field { name: name.into(), schema: schema.into() };
        let schema = Schema::struct_of(vec![
            field(
                "id",
                Schema { default: Some(OwnedValue::Int64(3)), ..Schema::new(SchemaType::Int64) },
            ),
            field(
                "name",
                Schema {
                    default: Some(OwnedValue::String("x".into())),
                    ..Schema::new(SchemaType::String)
                },
            ),
            field("at", Schema::timestamp()),
            field("price", Schema::decimal(2)),
            field("tags", Schema::array(Schema::new(SchemaType::Boolean).into())),
            field(
                "map",
                Schema::map(
                    Schema::new(SchemaType::String).into(),
                    Schema::new(SchemaType::Bytes).into(),
                ),
            ),
        ]);
        let text = json!({"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}});
        assert_eq!(
            of_schema(Some(&schema)).unwrap(),
            json!({"properties": {
                "id": {"type": "long", "null_value": 3},
                "name": text,
                "at": {"type": "date"},
                "price": {"type": "double"},
                "tags": {"type": "boolean"},
                "map": {"properties": {"key": text, "value": {"type": "binary"}}},
            }})
        );
        assert!(of_schema(None).unwrap_err().message.contains("schema.ignore"));
    }
}
