//! Schemas as JSON: the `schema` half of `JsonConverter`'s envelope.

use std::sync::Arc;

use serde_json::Value as Node;

use super::parse::Reader;
use super::text::write_string;
use super::typed;
use super::typed_plan::Plan;
use super::write::{WriteOptions, write_value};
use crate::arena::Arena;
use crate::converter::DataError;
use crate::data::{Field, Schema, SchemaType};

/// Names in JSON; float and double are not called as in Java.
const TYPES: [(&str, SchemaType); 12] = [
    ("boolean", SchemaType::Boolean),
    ("int8", SchemaType::Int8),
    ("int16", SchemaType::Int16),
    ("int32", SchemaType::Int32),
    ("int64", SchemaType::Int64),
    ("float", SchemaType::Float32),
    ("double", SchemaType::Float64),
    ("bytes", SchemaType::Bytes),
    ("string", SchemaType::String),
    ("array", SchemaType::Array),
    ("map", SchemaType::Map),
    ("struct", SchemaType::Struct),
];

/// Reads a schema; `None` is JSON's null: schemaless.
pub(crate) fn parse_schema(text: &[u8]) -> Result<Option<Arc<Schema>>, DataError> {
    let node: Node = serde_json::from_slice(text).map_err(|error| {
        DataError::new(format!(
            "Converting byte[] to Kafka Connect data failed due to serialization error: {error}"
        ))
    })?;
    if node.is_null() { Ok(None) } else { from_node(&node).map(|schema| Some(Arc::new(schema))) }
}

fn from_node(node: &Node) -> Result<Schema, DataError> {
    let name = node.get("type").and_then(Node::as_str);
    let name = name.ok_or_else(|| DataError::new("Schema must contain 'type' field"))?;
    let known = TYPES.iter().find(|(known, _)| *known == name);
    let (_, type_) = known.ok_or_else(|| DataError::new(format!("Unknown schema type: {name}")))?;
    let mut schema = Schema::new(*type_);
    let part = |key: &str, missing: &str| match node.get(key) {
        Some(part) if !part.is_null() => from_node(part).map(|part| Some(Arc::new(part))),
        _ => Err(DataError::new(missing)),
    };
    match type_ {
        SchemaType::Array => {
            schema.value_schema = part("items", "Array schema did not specify the element type")?;
        }
        SchemaType::Map => {
            schema.key_schema = part("keys", "Map schema did not specify the key type")?;
            schema.value_schema = part("values", "Map schema did not specify the value type")?;
        }
        SchemaType::Struct => schema.fields = fields(node)?,
        _ => {}
    }
    let text = |key: &str| node.get(key).and_then(Node::as_str).map(Arc::from);
    schema.optional = node.get("optional").and_then(Node::as_bool).unwrap_or(false);
    schema.name = text("name");
    schema.version = node.get("version").and_then(Node::as_i64).map(|version| version as i32);
    schema.doc = text("doc");
    if let Some(Node::Object(parameters)) = node.get("parameters") {
        for (key, value) in parameters {
            let value = value
                .as_str()
                .ok_or_else(|| DataError::new("Schema parameters must have string values."))?;
            schema.parameters.push((key.as_str().into(), value.into()));
        }
    }
    if let Some(default) = node.get("default").filter(|default| !default.is_null()) {
        let arena = Arena::new();
        let text = default.to_string();
        let reader = &mut Reader::new(text.as_bytes(), &arena);
        let value = typed::read(&Plan::BySchema, &schema, reader, true)?.to_owned_value();
        schema.default = Some(value);
    }
    Ok(schema)
}

fn fields(node: &Node) -> Result<Vec<Field>, DataError> {
    let fields = node.get("fields").and_then(Node::as_array);
    let fields = fields
        .ok_or_else(|| DataError::new("Struct schema's \"fields\" argument is not an array."))?;
    let mut all: Vec<Field> = Vec::with_capacity(fields.len());
    for field in fields {
        let name = field.get("field").and_then(Node::as_str);
        let name = name
            .ok_or_else(|| DataError::new("Struct schema's field name not specified properly"))?;
        if all.iter().any(|known| &*known.name == name) {
            return Err(DataError::with_class(
                "org.apache.kafka.connect.errors.SchemaBuilderException",
                format!("Cannot create field because of field name duplication {name}"),
            ));
        }
        all.push(Field { name: name.into(), schema: from_node(field)?.into() });
    }
    Ok(all)
}

/// Appends a schema as JSON, members in Java's order.
pub(crate) fn write_schema(
    schema: &Schema,
    options: &WriteOptions,
    out: &mut Vec<u8>,
) -> Result<(), DataError> {
    write_field(schema, None, options, out)
}

fn write_field(
    schema: &Schema,
    field: Option<&str>,
    options: &WriteOptions,
    out: &mut Vec<u8>,
) -> Result<(), DataError> {
    let type_ = TYPES.iter().find(|(_, type_)| *type_ == schema.type_);
    out.extend_from_slice(b"{\"type\":");
    write_string(type_.map_or("", |(name, _)| name), out);
    let part = |key: &[u8], part: &Option<Arc<Schema>>, out: &mut Vec<u8>| {
        out.extend_from_slice(key);
        match part {
            // Of an empty list that a header's text became.
            None => {
                out.extend_from_slice(b"null");
                Ok(())
            }
            Some(part) => write_field(part, None, options, out),
        }
    };
    match schema.type_ {
        SchemaType::Array => part(b",\"items\":", &schema.value_schema, out)?,
        SchemaType::Map => {
            part(b",\"keys\":", &schema.key_schema, out)?;
            part(b",\"values\":", &schema.value_schema, out)?;
        }
        SchemaType::Struct => {
            out.extend_from_slice(b",\"fields\":[");
            for (at, field) in schema.fields.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_field(&field.schema, Some(&field.name), options, out)?;
            }
            out.push(b']');
        }
        _ => {}
    }
    write_attributes(schema, options, out)?;
    if let Some(field) = field {
        out.extend_from_slice(b",\"field\":");
        write_string(field, out);
    }
    out.push(b'}');
    Ok(())
}

fn write_attributes(
    schema: &Schema,
    options: &WriteOptions,
    out: &mut Vec<u8>,
) -> Result<(), DataError> {
    let optional: &[u8] =
        if schema.optional { b",\"optional\":true" } else { b",\"optional\":false" };
    out.extend_from_slice(optional);
    if let Some(name) = &schema.name {
        out.extend_from_slice(b",\"name\":");
        write_string(name, out);
    }
    if let Some(version) = schema.version {
        out.extend_from_slice(format!(",\"version\":{version}").as_bytes());
    }
    if let Some(doc) = &schema.doc {
        out.extend_from_slice(b",\"doc\":");
        write_string(doc, out);
    }
    if !schema.parameters.is_empty() {
        out.extend_from_slice(b",\"parameters\":{");
        for (at, (key, value)) in schema.parameters.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            write_string(key, out);
            out.push(b':');
            write_string(value, out);
        }
        out.push(b'}');
    }
    if let Some(default) = &schema.default {
        out.extend_from_slice(b",\"default\":");
        let arena = Arena::new();
        write_value(Some(schema), default.to_value(&arena), out, options)?;
    }
    Ok(())
}
