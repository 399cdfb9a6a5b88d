//! Drop: null in place of the key or value.

use std::sync::Arc;

use millrace_api::Config;
use millrace_api::config_def::{
    ConfigDef, ConfigError, ConfigKey, DefaultValue, Importance, Type, Validator,
};
use millrace_api::record::Record;
use millrace_api::transformation::{Reads, Side, Transformation};
use millrace_converters::{Arena, DataError, Schema, Value};

use crate::requirements::{datum, reads, with_datum};
use crate::schema_cache::SchemaCache;
use crate::sides::sided;

const BEHAVIOR: &str = "schema.behavior";

sided!(Drop, "io.confluent.connect.transforms.", "Drop");

fn config_def() -> ConfigDef {
    ConfigDef::new().define(
        ConfigKey::new(
            BEHAVIOR,
            Type::String,
            DefaultValue::Of("nullify"),
            Importance::Medium,
            "What becomes of the schema: <code>nullify</code> drops it too, <code>retain</code> \
             keeps it, <code>validate</code> keeps it and fails unless it is optional, \
             <code>force_optional</code> makes it optional.",
        )
        .check(Validator::OneOfIgnoreCase(&[
            "nullify",
            "retain",
            "validate",
            "force_optional",
        ])),
    )
}

enum Behavior {
    Nullify,
    Retain,
    Validate,
    ForceOptional(SchemaCache<Arc<Schema>>),
}

struct Drop {
    side: Side,
    behavior: Behavior,
}

impl Drop {
    fn configure(config: &Config, side: Side) -> Result<Box<dyn Transformation>, Vec<ConfigError>> {
        let parsed = config_def().parse(config)?;
        let behavior = match parsed.string(BEHAVIOR).to_ascii_lowercase().as_str() {
            "retain" => Behavior::Retain,
            "validate" => Behavior::Validate,
            "force_optional" => Behavior::ForceOptional(SchemaCache::default()),
            _ => Behavior::Nullify,
        };
        Ok(Box::new(Self { side, behavior }))
    }
}

impl Transformation for Drop {
    fn apply<'a>(
        &mut self,
        record: Record<'a>,
        arena: &'a Arena,
    ) -> Result<Option<Record<'a>>, DataError> {
        let schema = match (datum(&record, self.side).schema, &mut self.behavior) {
            (None, _) | (_, Behavior::Nullify) => None,
            (Some(schema), Behavior::Validate) if !schema.optional => {
                return Err(DataError::new(format!(
                    "The schema is not optional, so that there can be no null; `{BEHAVIOR}` says \
                     to validate it ({})",
                    class_of(self.side)
                )));
            }
            (Some(schema), Behavior::ForceOptional(made)) if !schema.optional => {
                let made = made.get(schema, |schema| {
                    Ok::<_, DataError>(Arc::new(schema.clone().optional()))
                })?;
                Some(arena.pin_schema(made))
            }
            (Some(schema), _) => Some(schema),
        };
        Ok(Some(with_datum(record, self.side, schema, Value::Null)))
    }

    /// The schema is what it looks at.
    fn reads(&self) -> Reads {
        match self.behavior {
            Behavior::Nullify => Reads::NOTHING,
            _ => reads(self.side),
        }
    }

    fn class_name(&self) -> &'static str {
        class_of(self.side)
    }
}
