//! The file connectors' keys.

use millrace_api::config_def::{ConfigDef, ConfigKey, DefaultValue, Importance, Type};

pub const FILE: &str = "file";
pub const SYNC: &str = "millrace.file.sync";

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
