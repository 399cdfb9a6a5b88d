//! SetSchemaMetadata: another name or version for the schema of the key or value.

use std::sync::Arc;

use millrace_api::Config;
use millrace_api::config_def::{ConfigDef, ConfigError, ConfigKey, DefaultValue, Importance, Type};
use millrace_api::record::Record;
use millrace_api::transformation::{Reads, Side, Transformation};
use millrace_converters::{Arena, DataError, Schema, Struct, Value};

use crate::requirements::{
    REPLACE_NULL, datum, field_value, fields, reads, replace_null_key, required, room_for,
    with_datum,
};
use crate::schema_cache::SchemaCache;
use crate::sides::sided;

sided!(SetSchemaMetadata, "SetSchemaMetadata");

fn config_def() -> ConfigDef {
    let key = |name: &'static str, type_, documentation: &'static str| {
        ConfigKey::new(name, type_, DefaultValue::Null, Importance::High, documentation)
    };
    ConfigDef::new()
        .define(key("schema.name", Type::String, "Schema name to set."))
        .define(key("schema.version", Type::Int, "Schema version to set."))
        .define(replace_null_key())
}

struct SetSchemaMetadata {
    side: Side,
    name: Option<Arc<str>>,
    version: Option<i32>,
    replace_null: bool,
    schemas: SchemaCache<Arc<Schema>>,
}

impl SetSchemaMetadata {
    fn configure(config: &Config, side: Side) -> Result<Box<dyn Transformation>, Vec<ConfigError>> {
        let parsed = config_def().parse(config)?;
        let name = parsed.get("schema.name").map(Arc::from);
        let version = parsed.get("schema.version").and_then(|text| text.trim().parse().ok());
        if name.is_none() && version.is_none() {
            return Err(vec![ConfigError {
                key: "schema.name".to_owned(),
                message: "Neither schema name nor version configured".to_owned(),
            }]);
        }
        Ok(Box::new(Self {
            side,
            name,
            version,
            replace_null: parsed.bool(REPLACE_NULL),
            schemas: SchemaCache::default(),
        }))
    }
}

impl Transformation for SetSchemaMetadata {
    fn apply<'a>(
        &mut self,
        record: Record<'a>,
        arena: &'a Arena,
    ) -> Result<Option<Record<'a>>, DataError> {
        let datum = datum(&record, self.side);
        let Some(schema) = datum.schema else {
            if datum.value.is_null() {
                return Ok(Some(record));
            }
            return Err(DataError::new("Schema required for [updating schema metadata]"));
        };
        let (name, version) = (&self.name, self.version);
        let updated = self.schemas.get(schema, |schema| {
            // Java asks every schema for its fields, so this works on structs alone.
            fields(schema)?;
            Ok::<_, DataError>(Arc::new(Schema {
                name: name.clone().or_else(|| schema.name.clone()),
                version: version.or(schema.version),
                ..schema.clone()
            }))
        })?;
        let updated = arena.pin_schema(updated);
        let value = match datum.value {
            Value::Struct(data) => {
                let mut values = room_for(updated.fields.len(), arena);
                for (index, field) in updated.fields.iter().enumerate() {
                    let value = field_value(data, index, self.replace_null, arena);
                    required(value, field)?;
                    values.push(value);
                }
                let values = values.into_bump_slice();
                Value::Struct(arena.alloc(Struct { schema: updated, values }))
            }
            other => other,
        };
        Ok(Some(with_datum(record, self.side, Some(updated), value)))
    }

    fn reads(&self) -> Reads {
        reads(self.side)
    }

    fn class_name(&self) -> &'static str {
        class_of(self.side)
    }
}
