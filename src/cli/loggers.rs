//! Logging by `tracing`: where lines go, how they look, and the levels that `/admin/loggers`
//! changes.

use std::collections::BTreeMap;

use millrace_rest::LoggerControl;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use super::log_format::LogFormat;
use super::log_writer::{self, LogWriter};

/// The way to change levels while the process runs.
pub(crate) struct Loggers {
    handle: reload::Handle<EnvFilter, Registry>,
    /// Of all loggers that have none of their own, when the process started.
    root: &'static str,
    /// What else the environment says, `target=level` and the like.
    others: Vec<String>,
}

/// Starts logging at `level` unless `MILLRACE_LOG`, or else `RUST_LOG`, says otherwise (`info`,
/// `millrace_kafka=debug`, …); as `MILLRACE_LOG_FORMAT` says, text or JSON.
pub(crate) fn start(level: &str) -> Loggers {
    start_as(level, LogFormat::of(std::env::var("MILLRACE_LOG_FORMAT").ok().as_deref()))
}

/// As [`start`], in this format.
pub(crate) fn start_as(level: &str, format: LogFormat) -> Loggers {
    let variable = ["MILLRACE_LOG", "RUST_LOG"].into_iter().find_map(|name| {
        let text = std::env::var(name).ok().filter(|text| !text.trim().is_empty())?;
        Some((name, text))
    });
    let mut wrong = None;
    let mut text = level.to_owned();
    if let Some((name, given)) = variable {
        match EnvFilter::try_new(&given) {
            Ok(_) => text = given,
            Err(error) => wrong = Some(format!("{name}={given} is ignored: {error}")),
        }
    }
    let (root, others) = divided(&text, level);
    let filter = EnvFilter::try_new(&text).unwrap_or_else(|_| EnvFilter::new("info"));
    let (filter, handle) = reload::Layer::new(filter);
    let writer = LogWriter::start(format.notice());
    let lines = fmt::layer().with_ansi(false).event_format(format).with_writer(writer);
    // Only a second start in one process could fail, and there the first one's logging stays.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    if let Some(wrong) = wrong {
        tracing::warn!("{wrong}");
    }
    Loggers { handle, root, others }
}

/// Waits, not for long, until what was logged is written.
pub(crate) fn flush() {
    log_writer::flush();
}

/// The root's level among a filter's directives, in log4j's words, and the other directives.
fn divided(filter: &str, default: &str) -> (&'static str, Vec<String>) {
    let directives = filter.split(',').map(str::trim).filter(|one| !one.is_empty());
    let (levels, others): (Vec<&str>, Vec<&str>) =
        directives.partition(|one| theirs(one).is_some());
    // A filter that names targets alone leaves all others at errors.
    let unnamed = if others.is_empty() { theirs(default) } else { Some("ERROR") };
    let root = levels.last().and_then(|level| theirs(level)).or(unnamed);
    (root.unwrap_or("INFO"), others.into_iter().map(str::to_owned).collect())
}

impl LoggerControl for Loggers {
    fn apply(&self, levels: &BTreeMap<String, String>) -> Result<(), String> {
        let changed = levels.iter().map(|(name, level)| match name.as_str() {
            "root" => ours(level).to_owned(),
            name => format!("{}={}", target(name), ours(level)),
        });
        // What comes later holds where both speak of the same target.
        let directives: Vec<String> = self.others.iter().cloned().chain(changed).collect();
        let filter = EnvFilter::try_new(directives.join(",")).map_err(|error| error.to_string())?;
        self.handle.reload(filter).map_err(|error| error.to_string())
    }

    fn root_level(&self) -> &'static str {
        self.root
    }

    fn dropped_lines(&self) -> u64 {
        log_writer::dropped()
    }
}

/// A level of `tracing`'s in log4j's words.
fn theirs(level: &str) -> Option<&'static str> {
    ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "OFF"]
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(level))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environments_filter_is_divided_into_root_and_others() {
        let others = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        assert_eq!(divided("info", "info"), ("INFO", others(&[])));
        assert_eq!(
            divided("warn, millrace_kafka=debug", "info"),
            ("WARN", others(&["millrace_kafka=debug"]))
        );
        assert_eq!(
            divided("millrace_kafka=debug", "info"),
            ("ERROR", others(&["millrace_kafka=debug"]))
        );
        assert_eq!(divided("", "warn"), ("WARN", others(&[])));
    }

    #[test]
    fn java_names_reach_the_module_that_does_the_job() {
        assert_eq!(target("org.apache.kafka.connect.runtime.WorkerSinkTask"), "millrace_worker");
        assert_eq!(target("millrace_kafka::fetch"), "millrace_kafka::fetch");
    }
}
