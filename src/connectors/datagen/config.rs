//! The generator's keys.

use std::time::Duration;

use millrace_api::Config;
use millrace_api::config_def::{
    ConfigDef, ConfigError, ConfigKey, DefaultValue, Importance, Type, Validator,
};

use super::generator::Records;
use super::quickstart;

/// Confluent's class, whose configurations run unchanged.
pub const CONFLUENT: &str = "io.confluent.kafka.connect.datagen.DatagenConnector";

/// Which task of how many; written by the connector.
pub const TASK: &str = "datagen.task";
pub const TASKS: &str = "datagen.tasks";

/// Confluent's pause between records where nothing else is said, in milliseconds.
const CONFLUENT_INTERVAL: u64 = 500;

pub fn config_def() -> ConfigDef {
    let key = |name: &'static str, type_, default, documentation: &'static str| {
        ConfigKey::new(name, type_, default, Importance::Medium, documentation)
    };
    let text = |name, documentation| key(name, Type::String, DefaultValue::Null, documentation);
    let number = |name, documentation| key(name, Type::Long, DefaultValue::Null, documentation);
    ConfigDef::new()
        .define(text("kafka.topic", "The topic to write to."))
        .define(text("topic", "The same as kafka.topic."))
        .define(
            text(
                "quickstart",
                "A built-in kind of record: events (254 bytes of JSON each), users, pageviews, \
                 orders or clickstream.",
            )
            .check(Validator::OneOfIgnoreCase(quickstart::NAMES)),
        )
        .define(text(
            "schema.string",
            "An Avro schema whose types may carry arg.properties: options, range, regex, \
             iteration, length.",
        ))
        .define(text("schema.filename", "A file with such a schema."))
        .define(text("schema.keyfield", "The field that becomes the record's key."))
        .define(number("iterations", "Records that each task makes; less than 1: without end."))
        .define(number("max", "Records that all tasks make together; less than 1: without end."))
        .define(number(
            "max.interval",
            "The longest pause after a record, in milliseconds; pauses are random.",
        ))
        .define(
            key(
                "rate",
                Type::Double,
                DefaultValue::Null,
                "Records a second that all tasks make together; without it as many as fit through.",
            )
            .check(Validator::Custom(|text| match text.parse::<f64>() {
                Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(()),
                _ => Err("Value must be greater than 0".to_owned()),
            })),
        )
        .define(number("random.seed", "What the records are made from; the same as seed."))
        .define(key("seed", Type::Long, DefaultValue::Of("1"), "What the records are made from."))
        .define(
            key(
                "format",
                Type::String,
                DefaultValue::Of("json"),
                "json: schemaless JSON text; struct: structures with a schema, for any converter.",
            )
            .check(Validator::OneOf(&["json", "struct"])),
        )
}

/// The checked settings of a connector or task.
pub struct Settings {
    pub topic: String,
    pub records: Records,
    /// Of this task alone.
    pub iterations: Option<u64>,
    /// Of all tasks together.
    pub max: Option<u64>,
    pub max_interval: Duration,
    /// Records a second of all tasks together.
    pub rate: Option<f64>,
    pub seed: u64,
    /// Structures with a schema rather than text.
    pub structures: bool,
    pub task: u64,
    pub tasks: u64,
}

impl Settings {
    pub fn of(config: &Config) -> Result<Self, Vec<ConfigError>> {
        let parsed = config_def().parse(config)?;
        let mut errors = Vec::new();
        let topic = parsed.get("kafka.topic").or(parsed.get("topic")).unwrap_or_default();
        if topic.is_empty() {
            errors.push(ConfigError::missing("kafka.topic"));
        }
        let records = records(&parsed, &mut errors);
        let long = |key: &str| parsed.get(key).and_then(|text| text.parse::<i64>().ok());
        let count = |key: &str| long(key).filter(|count| *count > 0).map(|count| count as u64);
        let own = |key: &str| config.get(key).and_then(|text| text.parse().ok());
        let confluent = config.get("connector.class").is_some_and(|class| class == CONFLUENT);
        let rate = parsed.get("rate").and_then(|text| text.parse::<f64>().ok());
        let interval = match long("max.interval") {
            Some(millis) => millis.max(0) as u64,
            None if confluent && rate.is_none() => CONFLUENT_INTERVAL,
            None => 0,
        };
        match records {
            Some(records) if errors.is_empty() => Ok(Self {
                topic: topic.to_owned(),
                records,
                iterations: count("iterations"),
                max: count("max"),
                max_interval: Duration::from_millis(interval),
                rate,
                seed: long("random.seed").unwrap_or(parsed.long("seed")) as u64,
                structures: parsed.string("format") == "struct",
                task: own(TASK).unwrap_or(0),
                tasks: own(TASKS).unwrap_or(1).max(1),
            }),
            _ => Err(errors),
        }
    }

    /// How many records this task makes in all.
    pub fn count(&self) -> Option<u64> {
        let share = self.max.map(|max| max.saturating_sub(self.task).div_ceil(self.tasks));
        match (share, self.iterations) {
            (Some(share), Some(iterations)) => Some(share.min(iterations)),
            (share, iterations) => share.or(iterations),
        }
    }
}

fn records(
    parsed: &millrace_api::config_def::Parsed,
    errors: &mut Vec<ConfigError>,
) -> Option<Records> {
    let key_field = parsed.get("schema.keyfield").filter(|name| !name.is_empty());
    let given: Vec<_> = ["quickstart", "schema.string", "schema.filename"]
        .into_iter()
        .filter_map(|key| parsed.get(key).filter(|text| !text.is_empty()).map(|text| (key, text)))
        .collect();
    let made = match given[..] {
        [("quickstart", name)] => quickstart::records(name, key_field),
        [("schema.string", text)] => Records::from_schema(text, key_field),
        [("schema.filename", path)] => std::fs::read_to_string(path)
            .map_err(|error| format!("the file cannot be read: {error}"))
            .and_then(|text| Records::from_schema(&text, key_field)),
        _ => {
            let message =
                "Exactly one of quickstart, schema.string and schema.filename must be set";
            let key = given.last().map_or("quickstart", |(key, _)| key);
            errors.push(ConfigError { key: key.to_owned(), message: message.to_owned() });
            return None;
        }
    };
    match made {
        Ok(records) => Some(records),
        Err(why) => {
            errors.push(ConfigError::invalid(given[0].0, given[0].1, &why));
            None
        }
    }
}

/// Checks across keys; what single keys say wrong is said elsewhere.
pub fn validate(config: &Config) -> Vec<ConfigError> {
    if config_def().parse(config).is_err() {
        return Vec::new();
    }
    Settings::of(config).err().unwrap_or_default()
}
