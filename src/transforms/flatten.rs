//! Flatten: nested structs or maps as one level, names joined.

use std::sync::Arc;

use millrace_api::Config;
use millrace_api::config_def::{ConfigDef, ConfigError, ConfigKey, DefaultValue, Importance, Type};
use millrace_api::record::Record;
use millrace_api::transformation::{JsonOp, JsonOps, Reads, Side, Transformation};
use millrace_converters::data::OwnedValue;
use millrace_converters::json::parse_text;
use millrace_converters::{Arena, DataError, Schema, SchemaType, Struct, Value};

use crate::requirements::{
    Entries, datum, field_value, put, reads, require_map, require_struct, required, room_for,
    with_datum,
};
use crate::schema_cache::{SchemaCache, add_field, copy_basics};
use crate::sides::sided;

const PURPOSE: &str = "flattening";

/// Levels of maps below each other; Java has no bound but its stack, and JSON is bounded before.
const MAX_DEPTH: usize = 1000;

sided!(Flatten, "Flatten");

fn config_def() -> ConfigDef {
    ConfigDef::new().define(ConfigKey::new(
        "delimiter",
        Type::String,
        DefaultValue::Of("."),
        Importance::Medium,
        "Delimiter to insert between field names from the input record when generating field names \
         for the output record",
    ))
}

struct Flatten {
    side: Side,
    delimiter: String,
    schemas: SchemaCache<Arc<Schema>>,
}

impl Flatten {
    fn configure(config: &Config, side: Side) -> Result<Box<dyn Transformation>, Vec<ConfigError>> {
        let delimiter = config_def().parse(config)?.string("delimiter").to_owned();
        Ok(Box::new(Self { side, delimiter, schemas: SchemaCache::default() }))
    }

    fn flatten_map<'a>(
        &self,
        entries: Entries<'a>,
        prefix: &'a str,
        depth: usize,
        out: &mut bumpalo::collections::Vec<'a, (Value<'a>, Value<'a>)>,
        arena: &'a Arena,
    ) -> Result<(), DataError> {
        if depth > MAX_DEPTH {
            return Err(DataError::new(format!("Maps are nested deeper than {MAX_DEPTH} levels")));
        }
        for (key, value) in entries {
            let Some(key) = key.as_str() else {
                let class = key.java_class();
                return Err(DataError::with_class(
                    "java.lang.ClassCastException",
                    format!("class {class} cannot be cast to class java.lang.String"),
                ));
            };
            let name = match prefix {
                "" => key,
                prefix => {
                    let mut name = bumpalo::collections::String::new_in(arena.bump());
                    for part in [prefix, &self.delimiter, key] {
                        name.push_str(part);
                    }
                    name.into_bump_str()
                }
            };
            let value = match value {
                Value::Json(text) => parse_text(text, arena)?,
                value => *value,
            };
            match value {
                Value::Map(inner) => self.flatten_map(inner, name, depth + 1, out, arena)?,
                Value::Struct(_) => {
                    return Err(DataError::new(format!(
                        "Flatten transformation does not support class \
                         org.apache.kafka.connect.data.Struct for record without schemas (for \
                         field {name})."
                    )));
                }
                Value::Decimal(_) | Value::Date(_) | Value::Time(_) | Value::Timestamp(_) => {
                    let class = value.java_class();
                    return Err(DataError::new(format!(
                        "Flatten transformation was passed a value of type class {class} which is \
                         not supported by Connect's data API"
                    )));
                }
                value => put(out, name, value),
            }
        }
        Ok(())
    }
}

/// Adds the leaves of a struct's schema to `out`, under joined names.
fn flat_schema(
    schema: &Schema,
    delimiter: &str,
    prefix: &str,
    optional: bool,
    default: Option<&OwnedValue>,
    out: &mut Schema,
) -> Result<(), DataError> {
    for (index, field) in schema.fields.iter().enumerate() {
        let name = match prefix {
            "" => field.name.to_string(),
            prefix => [prefix, &*field.name].join(delimiter),
        };
        let optional = optional || field.schema.optional;
        let from_parent = match default {
            Some(OwnedValue::Struct { fields, .. }) => fields.get(index),
            _ => None,
        };
        let from_parent = from_parent.filter(|value| **value != OwnedValue::Null);
        let default = field.schema.default.as_ref().or(from_parent);
        match field.schema.type_ {
            SchemaType::Struct => {
                flat_schema(&field.schema, delimiter, &name, optional, default, out)?;
            }
            SchemaType::Map => {
                return Err(DataError::new(format!(
                    "Flatten transformation does not support MAP for record with schemas (for \
                     field {name})."
                )));
            }
            _ => {
                let leaf =
                    Schema { optional, default: default.cloned(), ..(*field.schema).clone() };
                add_field(out, &name, Arc::new(leaf))?;
            }
        }
    }
    Ok(())
}

/// The leaves of a struct in the order of [`Flatten::flat_schema`]; those of none are null.
fn leaves<'a>(
    schema: &'a Schema,
    data: Option<&'a Struct<'a>>,
    out: &mut bumpalo::collections::Vec<'a, Value<'a>>,
    arena: &'a Arena,
) -> Result<(), DataError> {
    for (index, field) in schema.fields.iter().enumerate() {
        if field.schema.type_ != SchemaType::Struct {
            out.push(data.map_or(Value::Null, |data| field_value(data, index, true, arena)));
            continue;
        }
        let inner = match data.and_then(|data| data.values.get(index)) {
            None | Some(Value::Null) => None,
            Some(value) => Some(require_struct(*value, PURPOSE)?),
        };
        leaves(&field.schema, inner, out, arena)?;
    }
    Ok(())
}

impl Transformation for Flatten {
    fn apply<'a>(
        &mut self,
        record: Record<'a>,
        arena: &'a Arena,
    ) -> Result<Option<Record<'a>>, DataError> {
        let datum = datum(&record, self.side);
        if datum.value.is_null() {
            return Ok(Some(record));
        }
        if datum.schema.is_none() {
            let entries = require_map(datum.value, PURPOSE, arena)?;
            let mut map = room_for(entries.len(), arena);
            self.flatten_map(entries, "", 0, &mut map, arena)?;
            let value = Value::Map(map.into_bump_slice());
            return Ok(Some(with_datum(record, self.side, None, value)));
        }
        let data = require_struct(datum.value, PURPOSE)?;
        let delimiter = &self.delimiter;
        let updated = self.schemas.get(data.schema, |schema| {
            let (optional, default) = (schema.optional, schema.default.as_ref());
            let mut flat = copy_basics(schema);
            flat_schema(schema, delimiter, "", optional, default, &mut flat)?;
            Ok::<_, DataError>(Arc::new(flat))
        })?;
        let updated = arena.pin_schema(updated);
        let mut values = room_for(updated.fields.len(), arena);
        leaves(data.schema, Some(data), &mut values, arena)?;
        for (value, field) in values.iter().zip(&updated.fields) {
            required(*value, field)?;
        }
        let data = arena.alloc(Struct { schema: updated, values: values.into_bump_slice() });
        Ok(Some(with_datum(record, self.side, Some(updated), Value::Struct(data))))
    }

    fn json_ops(&self) -> Option<JsonOps> {
        let delimiter = self.delimiter.clone();
        Some(JsonOps { side: self.side, ops: vec![JsonOp::Flatten { delimiter }] })
    }

    fn reads(&self) -> Reads {
        reads(self.side)
    }

    fn class_name(&self) -> &'static str {
        class_of(self.side)
    }
}
