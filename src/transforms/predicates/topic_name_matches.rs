//! TopicNameMatches: records whose topic's whole name matches.

use millrace_api::config_def::{
    ConfigDef, ConfigError, ConfigKey, DefaultValue, Importance, Type, Validator,
};
use millrace_api::plugin::PredicatePlugin;
use millrace_api::record::Record;
use millrace_api::transformation::{Predicate, Reads};
use millrace_converters::DataError;

use crate::java_regex::Pattern;

/// `org.apache.kafka.connect.transforms.predicates.TopicNameMatches`.
pub const TOPIC_NAME_MATCHES: PredicatePlugin = PredicatePlugin {
    class: "org.apache.kafka.connect.transforms.predicates.TopicNameMatches",
    config_def,
    new: |config| {
        let parsed = config_def().parse(config)?;
        let text = parsed.string("pattern");
        let pattern =
            Pattern::new(text).map_err(|why| vec![ConfigError::invalid("pattern", text, &why)])?;
        Ok(Box::new(TopicNameMatches { pattern }))
    },
};

fn config_def() -> ConfigDef {
    ConfigDef::new().define(
        ConfigKey::new(
            "pattern",
            Type::String,
            DefaultValue::Required,
            Importance::Medium,
            "A Java regular expression for matching against the name of a record's topic.",
        )
        .check(Validator::Custom(|text| match text.is_empty() {
            true => Err("String must be non-empty".to_owned()),
            false => Pattern::new(text).map(drop),
        })),
    )
}

struct TopicNameMatches {
    pattern: Pattern,
}

impl Predicate for TopicNameMatches {
    fn test(&self, record: &Record<'_>) -> Result<bool, DataError> {
        self.pattern.matches(record.topic)
    }

    fn reads(&self) -> Reads {
        Reads::NOTHING
    }

    fn by_topic_only(&self) -> bool {
        true
    }

    fn class_name(&self) -> &'static str {
        TOPIC_NAME_MATCHES.class
    }
}
