//! The keys of EventRouter.

use millrace_api::Config;
use millrace_api::config_def::{
    ConfigDef, ConfigError, ConfigKey, DefaultValue, Importance, Type, Validator,
};

use super::name_adjuster::{Adjustment, adjustment_key};
use crate::java_regex::Pattern;
use crate::regex_router::RegexRouter;

const REGEX: &str = "route.topic.regex";
const PLACEMENT: &str = "table.fields.additional.placement";

/// Where an additional field goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    Header,
    Envelope,
    Partition,
}

/// `field:placement:alias`.
#[derive(Debug, PartialEq, Eq)]
pub struct Additional {
    pub field: String,
    pub placement: Placement,
    pub alias: String,
}

/// What becomes of an update of the outbox table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Updates {
    Warn,
    Error,
    Fatal,
}

/// What the keys say.
pub struct Settings {
    pub id: String,
    pub key: String,
    pub payload: String,
    pub timestamp: Option<String>,
    pub schema_version: Option<String>,
    pub route_by: String,
    pub topics: RegexRouter,
    pub additional: Vec<Additional>,
    pub error_on_missing: bool,
    pub tombstones: bool,
    pub updates: Updates,
    pub expands: bool,
    pub null_as_bytes: bool,
    pub adjustment: Adjustment,
}

pub fn config_def() -> ConfigDef {
    routing_keys(table_keys())
}

fn routing_keys(keys: ConfigDef) -> ConfigDef {
    let of = DefaultValue::Of;
    let text = |name: &'static str, default, documentation: &'static str| {
        ConfigKey::new(name, Type::String, default, Importance::High, documentation)
    };
    keys.define(text("route.by.field", of("aggregatetype"), "The column that names the topic."))
        .define(
            text(REGEX, of("(?<routedByValue>.*)"), "What the value of that column must be.")
                .check(Validator::Custom(|text| Pattern::new(text).map(drop))),
        )
        .define(text(
            "route.topic.replacement",
            of("outbox.event.${routedByValue}"),
            "The topic, with the groups of route.topic.regex.",
        ))
}

fn table_keys() -> ConfigDef {
    let text = |name: &'static str, default, documentation: &'static str| {
        ConfigKey::new(name, Type::String, default, Importance::Medium, documentation)
    };
    let flag = |name: &'static str, default: &'static str, documentation: &'static str| {
        let default = DefaultValue::Of(default);
        ConfigKey::new(name, Type::Boolean, default, Importance::Medium, documentation)
    };
    let of = DefaultValue::Of;
    let none = DefaultValue::Null;
    ConfigDef::new()
        .define(text("table.field.event.id", of("id"), "The column with the event's id."))
        .define(text("table.field.event.key", of("aggregateid"), "The column with the key."))
        .define(text("table.field.event.type", of("type"), "The column with the event's type."))
        .define(text("table.field.event.payload", of("payload"), "The column with the payload."))
        .define(text(
            "table.field.event.timestamp",
            none,
            "The column with the record's timestamp; without it the event's <code>ts_ms</code>.",
        ))
        .define(
            ConfigKey::new(PLACEMENT, Type::List, none, Importance::High, PLACEMENTS)
                .check(Validator::Custom(|text| additional(text).map(drop))),
        )
        .define(flag(
            "table.fields.additional.error.on.missing",
            "true",
            "Whether a record that lacks an additional field fails.",
        ))
        .define(text(
            "table.field.event.schema.version",
            none,
            "The column with the version of the record's schema.",
        ))
        .define(flag(
            "route.tombstone.on.empty.payload",
            "false",
            "Whether an event without payload becomes a tombstone.",
        ))
        .define(
            text(
                "table.op.invalid.behavior",
                of("warn"),
                "What becomes of an update of the table.",
            )
            .check(Validator::OneOfIgnoreCase(&["warn", "error", "fatal"])),
        )
        .define(flag(
            "table.expand.json.payload",
            "false",
            "Whether a payload that is JSON becomes a struct.",
        ))
        .define(
            text("table.json.payload.null.behavior", of("ignore"), "What null in it becomes.")
                .check(Validator::OneOfIgnoreCase(&["ignore", "optional_bytes"])),
        )
        .define(adjustment_key(
            "field.name.adjustment.mode",
            "How names in that struct are made fit for a converter.",
        ))
}

const PLACEMENTS: &str = "Further columns, <code>column:placement</code> or \
    <code>column:placement:alias</code>; the placement is <code>header</code>, \
    <code>envelope</code> or <code>partition</code>.";

fn additional(text: &str) -> Result<Vec<Additional>, String> {
    let mut list = Vec::new();
    for item in text.split(',').filter(|_| !text.trim().is_empty()) {
        let parts: Vec<&str> = item.split(':').map(str::trim).collect();
        let (field, placement, alias) = match parts[..] {
            [field, placement] => (field, placement, field),
            [field, placement, alias] => (field, placement, alias),
            _ => {
                return Err(format!(
                    "A comma-separated list of valid String pairs or trios is expected but got: \
                     {text}"
                ));
            }
        };
        let placement = match placement.to_ascii_lowercase().as_str() {
            "header" => Placement::Header,
            "envelope" => Placement::Envelope,
            "partition" => Placement::Partition,
            _ => {
                return Err(format!(
                    "{placement} is no placement; there are header, envelope and partition"
                ));
            }
        };
        list.push(Additional { field: field.to_owned(), placement, alias: alias.to_owned() });
    }
    Ok(list)
}

impl Settings {
    /// # Errors
    /// Everything that is wrong.
    pub fn new(config: &Config) -> Result<Self, Vec<ConfigError>> {
        let parsed = config_def().parse(config)?;
        let refused = |key: &str, why: String| {
            vec![ConfigError::invalid(key, parsed.get(key).unwrap_or_default(), &why)]
        };
        let pattern = Pattern::new(parsed.string(REGEX)).map_err(|why| refused(REGEX, why))?;
        let additional = additional(parsed.get(PLACEMENT).unwrap_or_default())
            .map_err(|why| refused(PLACEMENT, why))?;
        let own = |key: &str| parsed.string(key).to_owned();
        let lower = |key: &str| parsed.string(key).to_ascii_lowercase();
        Ok(Self {
            id: own("table.field.event.id"),
            key: own("table.field.event.key"),
            payload: own("table.field.event.payload"),
            timestamp: parsed.get("table.field.event.timestamp").map(str::to_owned),
            schema_version: parsed.get("table.field.event.schema.version").map(str::to_owned),
            route_by: own("route.by.field"),
            topics: RegexRouter::new(pattern, parsed.string("route.topic.replacement")),
            additional,
            error_on_missing: parsed.bool("table.fields.additional.error.on.missing"),
            tombstones: parsed.bool("route.tombstone.on.empty.payload"),
            updates: match lower("table.op.invalid.behavior").as_str() {
                "fatal" => Updates::Fatal,
                "error" => Updates::Error,
                _ => Updates::Warn,
            },
            expands: parsed.bool("table.expand.json.payload"),
            null_as_bytes: lower("table.json.payload.null.behavior") == "optional_bytes",
            adjustment: Adjustment::of(parsed.string("field.name.adjustment.mode")),
        })
    }

    /// Nothing but the payload is in the record's value.
    pub fn payload_alone(&self) -> bool {
        self.additional.iter().all(|one| one.placement != Placement::Envelope)
    }
}
