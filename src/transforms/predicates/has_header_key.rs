//! HasHeaderKey: records with at least one header of that name.

use millrace_api::config_def::{ConfigDef, ConfigKey, DefaultValue, Importance, Type, Validator};
use millrace_api::plugin::PredicatePlugin;
use millrace_api::record::Record;
use millrace_api::transformation::{Predicate, Reads};
use millrace_converters::DataError;

/// `org.apache.kafka.connect.transforms.predicates.HasHeaderKey`.
pub const HAS_HEADER_KEY: PredicatePlugin = PredicatePlugin {
    class: "org.apache.kafka.connect.transforms.predicates.HasHeaderKey",
    config_def,
    new: |config| {
        let parsed = config_def().parse(config)?;
        Ok(Box::new(HasHeaderKey { name: parsed.string("name").to_owned() }))
    },
};

fn config_def() -> ConfigDef {
    ConfigDef::new().define(
        ConfigKey::new(
            "name",
            Type::String,
            DefaultValue::Required,
            Importance::Medium,
            "The header name.",
        )
        .check(Validator::NonEmpty),
    )
}

struct HasHeaderKey {
    name: String,
}

impl Predicate for HasHeaderKey {
    fn test(&self, record: &Record<'_>) -> Result<bool, DataError> {
        Ok(record.headers.iter().any(|header| header.name == self.name))
    }

    fn reads(&self) -> Reads {
        Reads { headers: true, ..Reads::NOTHING }
    }

    fn class_name(&self) -> &'static str {
        HAS_HEADER_KEY.class
    }
}
