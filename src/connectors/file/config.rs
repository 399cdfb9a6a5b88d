//! The file connectors' keys.

use millrace_api::config_def::{ConfigDef, ConfigKey, DefaultValue, Importance, Type, Validator};

pub const FILE: &str = "file";
pub const SYNC: &str = "millrace.file.sync";
pub const TOPIC: &str = "topic";
pub const BATCH_SIZE: &str = "batch.size";
pub const LINE_MAX: &str = "millrace.file.line.max.bytes";
pub const UNTIL_END: &str = "millrace.file.until.end";

pub fn sink_config_def() -> ConfigDef {
    let file = ConfigKey::new(
        FILE,
        Type::String,
        DefaultValue::Null,
        Importance::High,
        "Destination filename. If not specified, the standard output will be used",
    );
    let sync = ConfigKey::new(
        SYNC,
        Type::Boolean,
        DefaultValue::Of("false"),
        Importance::Low,
        "Whether the file is synced to the disk before offsets are committed. Without it, what was \
         committed survives a crash of the worker, but not of the machine.",
    );
    ConfigDef::new().define(file).define(sync)
}

pub fn source_config_def() -> ConfigDef {
    let file = ConfigKey::new(
        FILE,
        Type::String,
        DefaultValue::Null,
        Importance::High,
        "Source filename. If not specified, the standard input will be used",
    );
    let topic = ConfigKey::new(
        TOPIC,
        Type::String,
        DefaultValue::Required,
        Importance::High,
        "The topic to publish data to",
    )
    .check(Validator::NonEmpty);
    let batch = ConfigKey::new(
        BATCH_SIZE,
        Type::Int,
        DefaultValue::Of("2000"),
        Importance::Low,
        "The maximum number of records the source task can read from the file each time it is polled",
    );
    let line = ConfigKey::new(
        LINE_MAX,
        Type::Int,
        DefaultValue::Of("67108864"),
        Importance::Low,
        "The longest line that is waited for, in bytes: the task's memory has this bound. A longer \
         line fails the task.",
    )
    .check(Validator::Between(1, 1 << 30));
    let end = ConfigKey::new(
        UNTIL_END,
        Type::Boolean,
        DefaultValue::Of("false"),
        Importance::Low,
        "Whether the task ends at the end of the file, the last line with or without its end: for \
         loading a file by `millrace export`. Without it the task waits for more.",
    );
    ConfigDef::new().define(file).define(topic).define(batch).define(line).define(end)
}
