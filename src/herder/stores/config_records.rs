//! Records of the config topic: keys, and values in the JSON that the JVM's worker writes.
//!
//! | key | value |
//! |---|---|
//! | `connector-<c>` | `{"properties":{…}}`, null to delete |
//! | `task-<c>-<t>` | `{"properties":{…}}` |
//! | `commit-<c>` | `{"tasks":2}` |
//! | `target-state-<c>` | `{"state":"PAUSED","state.v2":"STOPPED"}`, null to forget |
//! | `tasks-fencing-<c>` | `{"task-count":2}` |
//! | `session-key` | `{"key":"<base64>","algorithm":"HmacSHA256","creation-timestamp":1}` |
//! | `restart-connector-<c>` | `{"include-tasks":true,"only-failed":false}` |
//! | `logger-cluster-<l>` | `{"level":"DEBUG"}` |

use base64::prelude::{BASE64_STANDARD, Engine as _};
use millrace_api::Config;
use millrace_api::source::OffsetMap;
use millrace_api::source::offsets::Scalar;
use millrace_worker::command::{TargetState, TaskId};
use millrace_worker::source_offsets::map_json;
use serde_json::{Map, Value};

use crate::internal_requests::SessionKey;
use crate::requests::RestartScope;
use crate::source_offsets::java_order;

/// Key and value as they are produced.
pub type Produced = (Vec<u8>, Option<Vec<u8>>);

/// What a key names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    TargetState(String),
    Connector(String),
    Task(TaskId),
    Commit(String),
    Restart(String),
    Fencing(String),
    SessionKey,
    Logger(String),
}

impl Key {
    /// Prefixes are tried in the JVM's order.
    pub fn parse(key: &str) -> Option<Self> {
        if let Some(name) = key.strip_prefix("target-state-") {
            return Some(Self::TargetState(name.to_owned()));
        } else if let Some(name) = key.strip_prefix("connector-") {
            return Some(Self::Connector(name.to_owned()));
        } else if let Some(rest) = key.strip_prefix("task-") {
            let (name, task) = rest.rsplit_once('-')?;
            return Some(Self::Task(TaskId { connector: name.into(), task: task.parse().ok()? }));
        } else if let Some(name) = key.strip_prefix("commit-") {
            return Some(Self::Commit(name.to_owned()));
        } else if let Some(name) = key.strip_prefix("restart-connector-") {
            return Some(Self::Restart(name.to_owned()));
        } else if let Some(name) = key.strip_prefix("tasks-fencing-") {
            return Some(Self::Fencing(name.to_owned()));
        } else if key == "session-key" {
            return Some(Self::SessionKey);
        }
        key.strip_prefix("logger-cluster-").map(|name| Self::Logger(name.to_owned()))
    }
}

fn json(pairs: &[(&str, Scalar)]) -> Vec<u8> {
    let map = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
    map_json(&map.collect())
}

fn text(value: &str) -> Scalar {
    Scalar::String(value.to_owned())
}

/// In the order in which Java's map of these keys is written.
fn properties(config: &Config) -> Vec<u8> {
    let map: OffsetMap = config.iter().map(|(key, value)| (key.clone(), text(value))).collect();
    let mut out = br#"{"properties":"#.to_vec();
    out.extend(map_json(&java_order(&map)));
    out.push(b'}');
    out
}

pub fn connector(name: &str, config: Option<&Config>) -> Produced {
    (format!("connector-{name}").into_bytes(), config.map(properties))
}

pub fn task(name: &str, task: usize, config: &Config) -> Produced {
    (format!("task-{name}-{task}").into_bytes(), Some(properties(config)))
}

pub fn commit(name: &str, tasks: usize) -> Produced {
    (format!("commit-{name}").into_bytes(), Some(json(&[("tasks", Scalar::Int(tasks as i64))])))
}

/// `STOPPED` is written as `PAUSED` for workers that know no better.
pub fn target_state(name: &str, target: Option<TargetState>) -> Produced {
    let value = target.map(|target| {
        let (old, new) = match target {
            TargetState::Started => ("STARTED", "STARTED"),
            TargetState::Paused => ("PAUSED", "PAUSED"),
            TargetState::Stopped => ("PAUSED", "STOPPED"),
        };
        json(&[("state", text(old)), ("state.v2", text(new))])
    });
    (format!("target-state-{name}").into_bytes(), value)
}

pub fn session_key(key: &SessionKey) -> Produced {
    let value = json(&[
        ("key", text(&BASE64_STANDARD.encode(&key.bytes))),
        ("algorithm", text(&key.algorithm)),
        ("creation-timestamp", Scalar::Int(key.created)),
    ]);
    (b"session-key".to_vec(), Some(value))
}

/// How many tasks' producers the next set's leader has to fence.
pub fn fencing(name: &str, tasks: usize) -> Produced {
    let value = json(&[("task-count", Scalar::Int(tasks as i64))]);
    (format!("tasks-fencing-{name}").into_bytes(), Some(value))
}

pub fn restart(name: &str, scope: RestartScope) -> Produced {
    let value = json(&[
        ("include-tasks", Scalar::Boolean(scope.include_tasks)),
        ("only-failed", Scalar::Boolean(scope.only_failed)),
    ]);
    (format!("restart-connector-{name}").into_bytes(), Some(value))
}

pub fn logger(namespace: &str, level: &str) -> Produced {
    (format!("logger-cluster-{namespace}").into_bytes(), Some(json(&[("level", text(level))])))
}

// ---- values read ----

/// A configuration; values that are not texts are left out, as null.
pub fn read_properties(value: &Map<String, Value>) -> Option<Config> {
    let properties = value.get("properties")?.as_object()?;
    let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    Some(properties.iter().filter_map(text).collect())
}

/// The newer field first; `None` for states that nobody knows.
pub fn read_target(value: &Map<String, Value>) -> Option<TargetState> {
    let state = value.get("state.v2").and_then(Value::as_str);
    match state.or_else(|| value.get("state").and_then(Value::as_str))? {
        "STARTED" => Some(TargetState::Started),
        "PAUSED" => Some(TargetState::Paused),
        "STOPPED" => Some(TargetState::Stopped),
        _ => None,
    }
}

/// A count of tasks under `field`.
pub fn read_count(value: &Map<String, Value>, field: &str) -> Option<usize> {
    usize::try_from(value.get(field)?.as_i64()?).ok()
}

pub fn read_session_key(value: &Map<String, Value>) -> Option<SessionKey> {
    Some(SessionKey {
        bytes: BASE64_STANDARD.decode(value.get("key")?.as_str()?).ok()?,
        algorithm: value.get("algorithm")?.as_str()?.to_owned(),
        created: value.get("creation-timestamp")?.as_i64()?,
    })
}

pub fn read_restart(value: &Map<String, Value>) -> RestartScope {
    let flag = |field: &str| value.get(field).and_then(Value::as_bool).unwrap_or(false);
    RestartScope { include_tasks: flag("include-tasks"), only_failed: flag("only-failed") }
}
