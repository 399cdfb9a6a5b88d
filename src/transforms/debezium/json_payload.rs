//! `table.expand.json.payload`: an outbox payload that is JSON becomes a struct, its schema made
//! from the document.

use std::sync::Arc;

use millrace_converters::json::parse;
use millrace_converters::{Arena, Field, Schema, SchemaType, Struct, Value};

use super::name_adjuster::Adjustment;
use crate::schema_cache::copy_basics;

/// How a document is expanded.
pub struct Expansion {
    null_as_bytes: bool,
    adjustment: Adjustment,
}

/// A schema that says nothing for null and for empty lists, whose members are left out.
type Found = Option<Arc<Schema>>;

impl Expansion {
    pub fn new(null_as_bytes: bool, adjustment: Adjustment) -> Self {
        Self { null_as_bytes, adjustment }
    }

    /// The struct of a payload under the column's name.
    ///
    /// # Errors
    /// Why the payload stays as it is.
    pub fn expand<'a>(
        &self,
        payload: Value<'a>,
        column: &str,
        arena: &'a Arena,
    ) -> Result<(&'a Schema, Value<'a>), String> {
        let Value::Str(text) = payload else { return Err("it is not a string".to_owned()) };
        if !text.starts_with(['{', '[']) {
            return Err("it is no JSON document".to_owned());
        }
        let value = parse(text.as_bytes(), arena).map_err(|error| error.message)?;
        let Value::Map(_) = value else { return Err("it is no JSON object".to_owned()) };
        let schema = self.schema(Some(column), &value)?.ok_or("it is empty")?;
        let schema = arena.pin_schema(&schema);
        Ok((schema, self.data(&value, schema, arena)?))
    }

    fn schema(&self, key: Option<&str>, value: &Value<'_>) -> Result<Found, String> {
        let of = |type_| Ok(Some(Arc::new(Schema::new(type_).optional())));
        match value {
            Value::Str(_) => of(SchemaType::String),
            Value::Boolean(_) => of(SchemaType::Boolean),
            Value::Int64(number) if i32::try_from(*number).is_ok() => of(SchemaType::Int32),
            Value::Int64(_) => of(SchemaType::Int64),
            Value::Float64(_) => of(SchemaType::Float64),
            Value::Null if self.null_as_bytes => of(SchemaType::Bytes),
            Value::Array(items) if !items.is_empty() => {
                let items = self.items(key, items)?;
                Ok(Some(Arc::new(Schema::array(items).optional())))
            }
            Value::Map(map) => {
                let mut schema = Schema::struct_of(Vec::new()).optional();
                schema.name = key.map(Into::into);
                for (name, value) in *map {
                    let name = self.adjustment.field_name(name.as_str().unwrap_or_default());
                    let path = match key.filter(|key| !key.trim().is_empty()) {
                        Some(key) => format!("{key}.{name}"),
                        None => name.clone(),
                    };
                    let Some(field) = self.schema(Some(&path), value)? else { continue };
                    if schema.field(&name).is_none() {
                        schema.fields.push(Field { name: name.into(), schema: field });
                    }
                }
                Ok(Some(Arc::new(schema)))
            }
            _ => Ok(None),
        }
    }

    /// The schema of a list's items, which are all of one kind.
    fn items(&self, key: Option<&str>, items: &[Value<'_>]) -> Result<Arc<Schema>, String> {
        let mut first: Option<(&Value<'_>, Found)> = None;
        for item in items.iter().filter(|item| !item.is_null()) {
            let Some((sample, schema)) = &first else {
                let schema = if is_number(item) { self.schema(None, item)? } else { None };
                first = Some((item, schema));
                continue;
            };
            let same = match is_number(sample) {
                true => is_number(item) && self.schema(None, item)? == *schema,
                false => std::mem::discriminant(*sample) == std::mem::discriminant(item),
            };
            if !same {
                return Err("a list in it has items of several kinds".to_owned());
            }
        }
        let sample = first.map_or(&Value::Null, |(sample, _)| sample);
        if !matches!(sample, Value::Map(_)) {
            let schema = self.schema(None, sample)?;
            return schema.ok_or_else(|| "a list in it has items of no kind".to_owned());
        }
        let mut merged: Found = None;
        let mut seen: Vec<Arc<Schema>> = Vec::new();
        for item in items.iter().filter(|item| matches!(item, Value::Map(_))) {
            let Some(schema) = self.schema(key, item)? else { continue };
            if !seen.contains(&schema) {
                merged = Some(match merged {
                    None => Arc::clone(&schema),
                    Some(left) => Arc::new(merge(&left, &schema)),
                });
                seen.push(schema);
            }
        }
        merged.ok_or_else(|| "a list in it has items of no kind".to_owned())
    }

    /// The value under a schema that was made for it or for one like it.
    fn data<'a>(
        &self,
        value: &Value<'a>,
        schema: &'a Schema,
        arena: &'a Arena,
    ) -> Result<Value<'a>, String> {
        Ok(match (value, schema.type_) {
            (Value::Null, _) if schema.optional => Value::Null,
            (Value::Str(_), SchemaType::String)
            | (Value::Boolean(_), SchemaType::Boolean)
            | (Value::Int64(_), SchemaType::Int64)
            | (Value::Float64(_), SchemaType::Float64) => *value,
            (Value::Int64(number), SchemaType::Int32) => {
                Value::Int32(i32::try_from(*number).map_err(|error| error.to_string())?)
            }
            (Value::Array(items), SchemaType::Array) => {
                let of = schema.value_schema.as_deref().ok_or("a list has no schema")?;
                let mut out = crate::requirements::room_for(items.len(), arena);
                for item in *items {
                    out.push(self.data(item, of, arena)?);
                }
                Value::Array(out.into_bump_slice())
            }
            (Value::Map(map), SchemaType::Struct) => {
                let mut values = crate::requirements::room_for(schema.fields.len(), arena);
                for field in &schema.fields {
                    // Looked for under the adjusted name, as Debezium does.
                    let found = crate::requirements::entry(map, &field.name);
                    values.push(self.data(&found, &field.schema, arena)?);
                }
                Value::Struct(arena.alloc(Struct { schema, values: values.into_bump_slice() }))
            }
            _ => return Err("values under one name are of several kinds".to_owned()),
        })
    }
}

fn is_number(value: &Value<'_>) -> bool {
    matches!(value, Value::Int64(_) | Value::Float64(_))
}

/// The fields of both; what stood for null gives way to what is known.
fn merge(left: &Schema, right: &Schema) -> Schema {
    let mut merged = copy_basics(left);
    merged.fields.clone_from(&left.fields);
    for field in &right.fields {
        match merged.fields.iter_mut().find(|known| known.name == field.name) {
            None => merged.fields.push(field.clone()),
            Some(known) => {
                if known.schema.type_ == SchemaType::Bytes
                    && field.schema.type_ != SchemaType::Bytes
                {
                    *known = field.clone();
                }
            }
        }
    }
    merged
}
