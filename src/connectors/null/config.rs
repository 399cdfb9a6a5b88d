//! The null sink's keys.

use millrace_api::config_def::{ConfigDef, ConfigKey, DefaultValue, Importance, Type, Validator};

pub const FORMAT: &str = "null.format";
pub const CHECK_ORDER: &str = "null.check.order";
pub const LATENCY_FILE: &str = "null.latency.file";

/// What is done with a value before it is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// Nothing: the value is not even asked for.
    #[default]
    None,
    /// Written as a line of JSON into a buffer that is then emptied.
    Json,
    /// Its text or bytes are copied into that buffer.
    Bytes,
}

impl Format {
    pub fn of(name: &str) -> Self {
        match name {
            "json" => Self::Json,
            "bytes" => Self::Bytes,
            _ => Self::None,
        }
    }
}

pub fn config_def() -> ConfigDef {
    let format = ConfigKey::new(
        FORMAT,
        Type::String,
        DefaultValue::Of("none"),
        Importance::Medium,
        "What is done with each value before it is dropped: `none` leaves it alone, `json` writes it \
         as a line of JSON into memory, `bytes` copies its text or bytes into memory. For measuring \
         what formatting costs.",
    )
    .check(Validator::OneOf(&["none", "json", "bytes"]));
    let check_order = ConfigKey::new(
        CHECK_ORDER,
        Type::Boolean,
        DefaultValue::Of("false"),
        Importance::Low,
        "Whether the task fails when the offsets of a partition do not increase.",
    );
    let latency_file = ConfigKey::new(
        LATENCY_FILE,
        Type::String,
        DefaultValue::Null,
        Importance::Low,
        "Where each task writes down when it took each record, in `<file>-<task>`: 16 bytes a record, \
         its timestamp in ms and the time in µs since 1970, both big-endian.",
    );
    ConfigDef::new().define(format).define(check_order).define(latency_file)
}
