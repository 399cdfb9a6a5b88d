//! HoistField: the whole key or value as the one field of a struct or map.

use std::sync::Arc;

use millrace_api::Config;
use millrace_api::config_def::{ConfigDef, ConfigError, ConfigKey, DefaultValue, Importance, Type};
use millrace_api::record::Record;
use millrace_api::transformation::{JsonOp, JsonOps, Reads, Side, Transformation};
use millrace_converters::{Arena, DataError, Field, Schema, Struct, Value};

use crate::requirements::{datum, reads, required, with_datum};
use crate::schema_cache::SchemaCache;
use crate::sides::sided;

sided!(HoistField, "HoistField");

fn config_def() -> ConfigDef {
    ConfigDef::new().define(ConfigKey::new(
        "field",
        Type::String,
        DefaultValue::Required,
        Importance::Medium,
        "Field name for the single field that will be created in the resulting Struct or Map.",
    ))
}

struct HoistField {
    side: Side,
    field: Arc<str>,
    schemas: SchemaCache<Arc<Schema>>,
}

impl HoistField {
    fn configure(config: &Config, side: Side) -> Result<Box<dyn Transformation>, Vec<ConfigError>> {
        let parsed = config_def().parse(config)?;
        let field = parsed.string("field").into();
        Ok(Box::new(Self { side, field, schemas: SchemaCache::default() }))
    }
}

impl Transformation for HoistField {
    fn apply<'a>(
        &mut self,
        record: Record<'a>,
        arena: &'a Arena,
    ) -> Result<Option<Record<'a>>, DataError> {
        let datum = datum(&record, self.side);
        let field = &self.field;
        let Some(schema) = datum.schema else {
            let entry = (Value::Str(arena.alloc_str(field)), datum.value);
            let map = Value::Map(arena.alloc_slice(&[entry]));
            return Ok(Some(with_datum(record, self.side, None, map)));
        };
        let hoisted = self.schemas.get(schema, |schema| {
            let field = Field { name: Arc::clone(field), schema: Arc::new(schema.clone()) };
            Ok::<_, DataError>(Arc::new(Schema::struct_of(vec![field])))
        })?;
        required(datum.value, &hoisted.fields[0])?;
        let hoisted = arena.pin_schema(hoisted);
        let values = arena.alloc_slice(&[datum.value]);
        let data = arena.alloc(Struct { schema: hoisted, values });
        Ok(Some(with_datum(record, self.side, Some(hoisted), Value::Struct(data))))
    }

    fn json_ops(&self) -> Option<JsonOps> {
        let ops = vec![JsonOp::Hoist { name: self.field.to_string() }];
        Some(JsonOps { side: self.side, ops })
    }

    fn reads(&self) -> Reads {
        reads(self.side)
    }

    fn class_name(&self) -> &'static str {
        class_of(self.side)
    }
}
