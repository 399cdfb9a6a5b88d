//! `/admin/loggers`: levels of loggers at run time.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use serde::Serialize;

use crate::answer::{Failure, Outcome, ok};
use crate::body;

/// Carries levels out, for example into a `tracing` filter that can be reloaded.
pub trait LoggerControl: Send + Sync {
    /// All explicit levels: `root` and loggers by name, as the user gave it (Java names or module
    /// paths); a level is one of TRACE, DEBUG, INFO, WARN, ERROR, FATAL, OFF, ALL. The error is
    /// shown to the user.
    fn apply(&self, levels: &BTreeMap<String, String>) -> Result<(), String>;

    /// The level that the process started with for loggers that have none of their own.
    fn root_level(&self) -> &'static str {
        "INFO"
    }

    /// Lines that were not written because the writer was behind, since the start.
    fn dropped_lines(&self) -> u64 {
        0
    }
}

const LEVELS: &[&str] = &["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL", "OFF", "ALL"];
/// Loggers that may have a level of their own; keeps a client from filling the memory.
const LOGGERS: usize = 4096;

#[derive(Clone, Debug, Serialize)]
struct LoggerLevel {
    level: String,
    /// Milliseconds since the epoch of the last change through this API.
    last_modified: Option<u64>,
}

/// The explicit levels.
pub(crate) struct Loggers {
    levels: Mutex<BTreeMap<String, LoggerLevel>>,
    control: Option<Box<dyn LoggerControl>>,
}

impl Loggers {
    pub fn new(control: Option<Box<dyn LoggerControl>>) -> Self {
        let level = control.as_ref().map_or("INFO", |control| control.root_level());
        let root = LoggerLevel { level: level.to_owned(), last_modified: None };
        Self { levels: Mutex::new(BTreeMap::from([("root".to_owned(), root)])), control }
    }

    pub fn dropped_lines(&self) -> u64 {
        self.control.as_ref().map_or(0, |control| control.dropped_lines())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, LoggerLevel>> {
        self.levels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn list(&self) -> Outcome {
        let levels = self.lock();
        let shown: BTreeMap<_, _> = levels.iter().filter(|(_, one)| one.level != "OFF").collect();
        ok(&shown)
    }

    pub fn get(&self, name: &str) -> Outcome {
        let name = root_or(name);
        match self.lock().get(name) {
            Some(level) => ok(level),
            None => Err(Failure::new(StatusCode::NOT_FOUND, format!("Logger {name} not found."))),
        }
    }

    /// Sets the logger and those below it; the answer names those that changed.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Outcome {
        let name = root_or(name);
        ok(&self.change(name, level(bytes)?)?)
    }

    /// As asked by the cluster.
    pub fn set(&self, name: &str, level: &str) {
        let Some(level) = LEVELS.iter().find(|known| known.eq_ignore_ascii_case(level)) else {
            tracing::error!("no log level '{level}', which the cluster asks for");
            return;
        };
        if let Err(failure) = self.change(root_or(name), level) {
            tracing::error!("the level of logger {name} is not set: {}", failure.message);
        }
    }

    fn change(&self, name: &str, level: &str) -> Result<Vec<String>, Failure> {
        let mut levels = self.lock();
        let mut next = levels.clone();
        if next.len() >= LOGGERS && !next.contains_key(name) {
            return Err(Failure::internal(format!("{LOGGERS} loggers have levels already")));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        next.entry(name.to_owned())
            .or_insert_with(|| LoggerLevel { level: String::new(), last_modified: None });
        let below = |logger: &str| {
            name == "root"
                || logger == name
                || logger.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
        };
        let mut changed = Vec::new();
        for (logger, one) in next.iter_mut().filter(|(logger, _)| below(logger)) {
            if one.level != level {
                *one = LoggerLevel { level: level.to_owned(), last_modified: Some(now) };
                changed.push(logger.clone());
            }
        }
        if let Some(control) = &self.control {
            let plain = next.iter().map(|(name, one)| (name.clone(), one.level.clone())).collect();
            control.apply(&plain).map_err(Failure::internal)?;
        }
        *levels = next;
        Ok(changed)
    }
}

/// Of the body `{"level": …}`.
pub(crate) fn level(bytes: &[u8]) -> Result<&'static str, Failure> {
    let missing = "Desired 'level' parameter was not specified in request.";
    let given = body::level(bytes)?;
    let given = given.ok_or_else(|| Failure::new(StatusCode::BAD_REQUEST, missing))?;
    let level = LEVELS.iter().find(|level| level.eq_ignore_ascii_case(given.trim()));
    let unknown = || format!("invalid log level '{given}'.");
    Ok(*level.ok_or_else(|| Failure::new(StatusCode::NOT_FOUND, unknown()))?)
}

fn root_or(name: &str) -> &str {
    if name.is_empty() { "root" } else { name }
}
