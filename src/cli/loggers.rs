//! Logs to standard error by `tracing`, and the levels that `/admin/loggers` changes.

use std::collections::BTreeMap;

use millrace_rest::LoggerControl;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// The way to change levels while the process runs.
pub(crate) struct Loggers(reload::Handle<EnvFilter, Registry>);

/// Starts logging at `level` unless `MILLRACE_LOG` says otherwise (`info`, `millrace_kafka=debug`,
/// …).
pub(crate) fn start(level: &str) -> Loggers {
    let filter = EnvFilter::try_from_env("MILLRACE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let (filter, handle) = reload::Layer::new(filter);
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    // Only a second start in one process could fail, and there the first one's logging stays.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    Loggers(handle)
}

impl LoggerControl for Loggers {
    fn apply(&self, levels: &BTreeMap<String, String>) -> Result<(), String> {
        let directives: Vec<String> = levels
            .iter()
            .map(|(name, level)| match name.as_str() {
                "root" => ours(level).to_owned(),
                name => format!("{}={}", target(name), ours(level)),
            })
            .collect();
        let filter = EnvFilter::try_new(directives.join(",")).map_err(|error| error.to_string())?;
        self.0.reload(filter).map_err(|error| error.to_string())
    }
}

/// log4j's levels in `tracing`'s words.
fn ours(level: &str) -> &'static str {
    match level {
        "TRACE" | "ALL" => "trace",
        "DEBUG" => "debug",
        "WARN" => "warn",
        "ERROR" | "FATAL" => "error",
        "OFF" => "off",
        _ => "info",
    }
}

/// A Java logger's name as the module that does its job; a module path as it is.
fn target(name: &str) -> String {
    let modules = [
        ("org.apache.kafka.connect.runtime.rest", "millrace_rest"),
        ("org.apache.kafka.connect.runtime.distributed", "millrace_herder"),
        ("org.apache.kafka.connect.runtime.standalone", "millrace_herder"),
        ("org.apache.kafka.connect.runtime", "millrace_worker"),
        ("org.apache.kafka.connect.transforms", "millrace_transforms"),
        ("org.apache.kafka.connect", "millrace"),
        ("org.apache.kafka.clients", "millrace_kafka"),
        ("io.confluent.connect", "millrace_connectors"),
    ];
    let found = modules.iter().find(|(java, _)| name.starts_with(java));
    found.map_or_else(|| name.to_owned(), |(_, module)| (*module).to_owned())
}
