//! The keys of ExtractNewRecordState.

use millrace_api::Config;
use millrace_api::config_def::{
    ConfigDef, ConfigError, ConfigKey, DefaultValue, Importance, Parsed, Type, Validator,
};

use super::field_reference::FieldReference;

const MODE: &str = "delete.tombstone.handling.mode";
const DROP_TOMBSTONES: &str = "drop.tombstones";
const DELETES: &str = "delete.handling.mode";

/// What becomes of a delete event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletes {
    Drop,
    /// `after`, which is null, with its schema.
    After,
    /// Null without a schema.
    Tombstone,
    /// `before`, marked.
    Rewrite,
}

/// What the keys say.
pub struct Settings {
    pub deletes: Deletes,
    pub keeps_tombstones: bool,
    /// `__deleted` stands in each event.
    pub marks: bool,
    pub route_by: Option<String>,
    pub fields: Vec<FieldReference>,
    pub headers: Vec<FieldReference>,
    pub drop_header: Option<String>,
    pub drop_from_key: bool,
    pub keep_compatible: bool,
    pub replace_null: bool,
    /// Events without schemas are unwrapped too, which Debezium's class does not do.
    pub unwraps_schemaless: bool,
}

pub fn config_def() -> ConfigDef {
    let text = |name: &'static str, default: &'static str, documentation: &'static str| {
        let default = DefaultValue::Of(default);
        ConfigKey::new(name, Type::String, default, Importance::Low, documentation)
    };
    let flag = |name: &'static str, default: &'static str, documentation: &'static str| {
        let default = DefaultValue::Of(default);
        ConfigKey::new(name, Type::Boolean, default, Importance::Low, documentation)
    };
    let old = |name: &'static str, type_, documentation: &'static str| {
        ConfigKey::new(name, type_, DefaultValue::Null, Importance::Low, documentation)
    };
    let list = |name: &'static str, documentation: &'static str| {
        ConfigKey::new(name, Type::List, DefaultValue::Of(""), Importance::Low, documentation)
            .check(Validator::Custom(|text| FieldReference::list(text, "").map(drop)))
    };
    ConfigDef::new()
        .define(
            ConfigKey::new(MODE, Type::String, DefaultValue::Null, Importance::Medium, MODES)
                .check(Validator::OneOfIgnoreCase(&[
                    "drop",
                    "tombstone",
                    "rewrite",
                    "rewrite-with-tombstone",
                    "delete-to-tombstone",
                ])),
        )
        .define(old(
            DROP_TOMBSTONES,
            Type::Boolean,
            "Of version 2, where delete.tombstone.handling.mode is not given: whether tombstones \
             are dropped (true without the key).",
        ))
        .define(
            old(
                DELETES,
                Type::String,
                "Of version 2, where delete.tombstone.handling.mode is not given: drop (also \
                 without the key), none or rewrite.",
            )
            .check(Validator::OneOfIgnoreCase(&["drop", "rewrite", "none"])),
        )
        .define(text("route.by.field", "", "The column whose value becomes the topic."))
        .define(text("add.fields.prefix", "__", "Put before the name of each added field."))
        .define(list(
            "add.fields",
            "Fields of the event to add to the record: names, or \
             <code>struct.field</code>, with <code>:name</code> behind for another name.",
        ))
        .define(text("add.headers.prefix", "__", "Put before the name of each added header."))
        .define(list("add.headers", "Fields of the event to add as headers."))
        .define(old(
            "drop.fields.header.name",
            Type::String,
            "The header that lists fields to be removed.",
        ))
        .define(flag("drop.fields.from.key", "false", "Whether they are removed from the key too."))
        .define(flag(
            "drop.fields.keep.schema.compatible",
            "true",
            "Whether only optional fields are removed.",
        ))
        .define(flag(
            "replace.null.with.default",
            "true",
            "Whether null is replaced by the field's default where a record is rewritten.",
        ))
        .define(flag("millrace.unwrap.schemaless", "false", SCHEMALESS))
}

const SCHEMALESS: &str = "Whether events without schemas are unwrapped too; Debezium's class \
    passes them as they are.";

const MODES: &str = "What becomes of deletes and tombstones: <code>drop</code> both; \
    <code>tombstone</code> (the default) leaves a null of the row's schema for the delete; \
    <code>rewrite</code> drops tombstones and marks rows with <code>__deleted</code>; \
    <code>rewrite-with-tombstone</code> keeps them; <code>delete-to-tombstone</code> makes deletes \
    tombstones and drops the others.";

impl Settings {
    /// # Errors
    /// Everything that is wrong.
    pub fn new(config: &Config) -> Result<Self, Vec<ConfigError>> {
        let parsed = config_def().parse(config)?;
        let (deletes, keeps_tombstones, marks) = deletes(&parsed);
        let some =
            |key: &str| parsed.get(key).filter(|text| !text.trim().is_empty()).map(str::to_owned);
        let references = |key: &str, prefix: &str| {
            let text = parsed.string(key);
            FieldReference::list(text, parsed.string(prefix))
                .map_err(|why| vec![ConfigError::invalid(key, text, &why)])
        };
        Ok(Self {
            deletes,
            keeps_tombstones,
            marks,
            route_by: some("route.by.field"),
            fields: references("add.fields", "add.fields.prefix")?,
            headers: references("add.headers", "add.headers.prefix")?,
            drop_header: some("drop.fields.header.name"),
            drop_from_key: parsed.bool("drop.fields.from.key"),
            keep_compatible: parsed.bool("drop.fields.keep.schema.compatible"),
            replace_null: parsed.bool("replace.null.with.default"),
            unwraps_schemaless: parsed.bool("millrace.unwrap.schemaless"),
        })
    }
}

/// Of deletes, whether tombstones stay, and whether rows are marked. The keys of version 2 count
/// where the one of version 3 is not given.
fn deletes(parsed: &Parsed) -> (Deletes, bool, bool) {
    let lower = |key: &str| parsed.get(key).map(str::to_ascii_lowercase);
    let (tombstones, old) = (lower(DROP_TOMBSTONES), lower(DELETES));
    if parsed.get(MODE).is_none() && (tombstones.is_some() || old.is_some()) {
        let keeps = tombstones.as_deref() == Some("false");
        return match old.as_deref() {
            Some("rewrite") => (Deletes::Rewrite, keeps, true),
            Some("none") => (Deletes::After, keeps, false),
            _ => (Deletes::Drop, keeps, false),
        };
    }
    match lower(MODE).as_deref() {
        Some("drop") => (Deletes::Drop, false, false),
        Some("rewrite") => (Deletes::Rewrite, false, true),
        Some("rewrite-with-tombstone") => (Deletes::Rewrite, true, true),
        Some("delete-to-tombstone") => (Deletes::Tombstone, false, false),
        _ => (Deletes::After, false, false),
    }
}
