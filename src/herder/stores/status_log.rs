//! The status topic: which state each connector and task was last said to be in, and by whom.
//!
//! | key | value |
//! |---|---|
//! | `status-connector-<c>` | `{"state":"RUNNING","trace":null,"worker_id":"h:8083","generation":5,"version":"1.0"}` |
//! | `status-task-<c>-<t>` | the same |
//! | `status-topic-<topic>:connector-<c>` | `{"topic":{"name":"t","connector":"c","task":0,"discoverTimestamp":1}}` |
//!
//! All workers write it; what this worker thinks of a task counts only once it is read back. So a
//! worker that was replaced must not overwrite what its successor said: see [`StatusLog::may_write`].

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_api::source::offsets::Scalar;
use millrace_worker::command::TaskId;
use millrace_worker::source_offsets::map_json;
use serde_json::{Map, Value};

use super::config_records::Produced;

/// Of what a status is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    Connector(Arc<str>),
    Task(TaskId),
}

impl Subject {
    fn key(&self) -> Vec<u8> {
        match self {
            Self::Connector(name) => format!("status-connector-{name}").into_bytes(),
            Self::Task(id) => format!("status-task-{id}").into_bytes(),
        }
    }
}

/// A status as it is in the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// `RUNNING`, `PAUSED`, `STOPPED`, `FAILED`, `UNASSIGNED` or `RESTARTING`.
    pub state: &'static str,
    pub trace: Option<String>,
    pub worker_id: Arc<str>,
    /// Of the group when it was written.
    pub generation: i32,
    /// Of the plug-in.
    pub version: Option<String>,
}

const STATES: &[&str] =
    &["UNASSIGNED", "RUNNING", "PAUSED", "FAILED", "STOPPED", "RESTARTING", "DESTROYED"];

impl Status {
    fn to_json(&self) -> Vec<u8> {
        let text = |text: &str| Scalar::String(text.to_owned());
        let or_null = |value: &Option<String>| value.as_deref().map_or(Scalar::Null, text);
        let fields = [
            ("state", text(self.state)),
            ("trace", or_null(&self.trace)),
            ("worker_id", text(&self.worker_id)),
            ("generation", Scalar::Int(self.generation.into())),
            ("version", or_null(&self.version)),
        ];
        map_json(&fields.map(|(key, value)| (key.to_owned(), value)).to_vec())
    }

    fn parse(value: &Map<String, Value>) -> Option<Self> {
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let state = text("state")?;
        Some(Self {
            state: STATES.iter().find(|known| **known == state)?,
            trace: text("trace").map(str::to_owned),
            worker_id: text("worker_id")?.into(),
            generation: i32::try_from(value.get("generation")?.as_i64()?).ok()?,
            version: text("version").map(str::to_owned),
        })
    }
}

/// What is written for a status; `None` is its end (`DESTROYED`).
pub fn record(subject: &Subject, status: Option<&Status>) -> Produced {
    (subject.key(), status.map(Status::to_json))
}

/// What is written when a connector's task used a topic; `None` forgets it.
pub fn topic_record(connector: &str, topic: &str, found: Option<(u32, i64)>) -> Produced {
    let value = found.map(|(task, now)| {
        let fields = [
            ("name", Scalar::String(topic.to_owned())),
            ("connector", Scalar::String(connector.to_owned())),
            ("task", Scalar::Int(task.into())),
            ("discoverTimestamp", Scalar::Int(now)),
        ];
        let mut json = br#"{"topic":"#.to_vec();
        json.extend(map_json(&fields.map(|(key, value)| (key.to_owned(), value)).to_vec()));
        json.push(b'}');
        json
    });
    (format!("status-topic-{topic}:connector-{connector}").into_bytes(), value)
}

/// What the topic says.
#[derive(Default)]
pub struct StatusLog {
    connectors: BTreeMap<Arc<str>, Status>,
    tasks: BTreeMap<Arc<str>, BTreeMap<u32, Status>>,
    /// By connector, topic: the task that used it first.
    topics: BTreeMap<Arc<str>, BTreeMap<String, u32>>,
}

impl StatusLog {
    pub fn connector(&self, name: &str) -> Option<&Status> {
        self.connectors.get(name)
    }

    /// By task, ascending.
    pub fn tasks(&self, name: &str) -> impl Iterator<Item = (u32, &Status)> {
        self.tasks.get(name).into_iter().flatten().map(|(task, status)| (*task, status))
    }

    pub fn task(&self, id: &TaskId) -> Option<&Status> {
        self.tasks.get(&id.connector)?.get(&id.task)
    }

    /// Names of connectors that have a status, their own or a task's.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        let tasks = self.tasks.keys().filter(|name| !self.connectors.contains_key(*name));
        self.connectors.keys().chain(tasks)
    }

    /// Names of connectors of which a topic's use is known.
    pub fn topic_users(&self) -> impl Iterator<Item = &Arc<str>> {
        self.topics.keys()
    }

    /// Topics in use, sorted.
    pub fn topics(&self, name: &str) -> Vec<String> {
        self.topics.get(name).into_iter().flatten().map(|(topic, _)| topic.clone()).collect()
    }

    pub fn knows_topic(&self, name: &str, topic: &str) -> bool {
        self.topics.get(name).is_some_and(|topics| topics.contains_key(topic))
    }

    /// Whether a status that must not hide a successor's (an end, a failure) may be written.
    pub fn may_write(&self, subject: &Subject, status: &Status) -> bool {
        let known = match subject {
            Subject::Connector(name) => self.connector(name),
            Subject::Task(id) => self.task(id),
        };
        known.is_none_or(|known| {
            known.worker_id == status.worker_id || known.generation <= status.generation
        })
    }

    /// Takes one record; the error is for the log.
    pub fn apply(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), String> {
        let key = std::str::from_utf8(key).map_err(|_| "the key is not text".to_owned())?;
        let wrong = || format!("the value of {key:?} is in the wrong format");
        let value = match value {
            None => None,
            Some(bytes) => match serde_json::from_slice::<Value>(bytes) {
                Ok(Value::Object(map)) => Some(map),
                Ok(Value::Null) => None,
                _ => return Err(wrong()),
            },
        };
        let unknown = || format!("the key {key:?} is unknown");
        if let Some(name) = key.strip_prefix("status-connector-") {
            return self.connector_record(name, value.as_ref()).ok_or_else(wrong);
        } else if let Some(rest) = key.strip_prefix("status-task-") {
            let (name, task) = rest.rsplit_once('-').ok_or_else(unknown)?;
            let task = task.parse().map_err(|_| unknown())?;
            return self.task_record(name, task, value.as_ref()).ok_or_else(wrong);
        } else if let Some(rest) = key.strip_prefix("status-topic-") {
            // A topic's name has no colon, a connector's may have.
            let (topic, rest) = rest.split_once(':').ok_or_else(unknown)?;
            let name = rest.strip_prefix("connector-").ok_or_else(unknown)?;
            return self.topic_read(name, topic, value.as_ref()).ok_or_else(wrong);
        }
        Err(unknown())
    }

    fn connector_record(&mut self, name: &str, value: Option<&Map<String, Value>>) -> Option<()> {
        match value {
            None => {
                self.connectors.remove(name);
                self.tasks.remove(name);
            }
            Some(value) => {
                self.connectors.insert(name.into(), Status::parse(value)?);
            }
        }
        Some(())
    }

    fn task_record(
        &mut self,
        name: &str,
        task: u32,
        value: Option<&Map<String, Value>>,
    ) -> Option<()> {
        let Some(value) = value else {
            if let Some(tasks) = self.tasks.get_mut(name) {
                tasks.remove(&task);
                if tasks.is_empty() {
                    self.tasks.remove(name);
                }
            }
            return Some(());
        };
        let status = Status::parse(value)?;
        let tasks = self.tasks.entry(name.into()).or_default();
        // The end of an earlier life, told late.
        let late = tasks.get(&task).is_some_and(|known| {
            status.state == "UNASSIGNED"
                && known.state == "RUNNING"
                && known.generation >= status.generation
                && known.worker_id != status.worker_id
        });
        if !late {
            tasks.insert(task, status);
        }
        Some(())
    }

    fn topic_read(
        &mut self,
        name: &str,
        topic: &str,
        value: Option<&Map<String, Value>>,
    ) -> Option<()> {
        let Some(value) = value else {
            if let Some(topics) = self.topics.get_mut(name) {
                topics.remove(topic);
                if topics.is_empty() {
                    self.topics.remove(name);
                }
            }
            return Some(());
        };
        let task = value.get("topic")?.get("task")?.as_i64()?;
        let task = u32::try_from(task).ok()?;
        self.topics.entry(name.into()).or_default().insert(topic.to_owned(), task);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: &'static str, worker: &str, generation: i32) -> Status {
        Status { state, trace: None, worker_id: worker.into(), generation, version: None }
    }

    fn task(name: &str, task: u32) -> Subject {
        Subject::Task(TaskId { connector: name.into(), task })
    }

    fn write(log: &mut StatusLog, subject: &Subject, status: Option<&Status>) {
        let (key, value) = record(subject, status);
        log.apply(&key, value.as_deref()).unwrap();
    }

    #[test]
    fn our_records_are_the_jvms_bytes() {
        let running =
            Status { version: Some("4.1.0".to_owned()), ..status("RUNNING", "127.0.0.1:38083", 2) };
        let (key, value) = record(&Subject::Connector("fs".into()), Some(&running));
        assert_eq!(key, b"status-connector-fs");
        let jvm = r#"{"state":"RUNNING","trace":null,"worker_id":"127.0.0.1:38083","generation":2,"version":"4.1.0"}"#;
        assert_eq!(String::from_utf8(value.unwrap()).unwrap(), jvm);
        let restarting = status("RESTARTING", "127.0.0.1:38083", 5);
        let (key, value) = record(&task("sink-1", 1), Some(&restarting));
        assert_eq!(key, b"status-task-sink-1-1");
        let jvm = r#"{"state":"RESTARTING","trace":null,"worker_id":"127.0.0.1:38083","generation":5,"version":null}"#;
        assert_eq!(String::from_utf8(value.unwrap()).unwrap(), jvm);
        let (key, value) = topic_record("fs", "t", Some((0, 1795260626768)));
        assert_eq!(key, b"status-topic-t:connector-fs");
        let jvm =
            r#"{"topic":{"name":"t","connector":"fs","task":0,"discoverTimestamp":1795260626768}}"#;
        assert_eq!(String::from_utf8(value.unwrap()).unwrap(), jvm);
    }

    #[test]
    fn records_make_the_state_and_tombstones_unmake_it() {
        let mut log = StatusLog::default();
        let connector = Subject::Connector("a-1".into());
        write(&mut log, &connector, Some(&status("RUNNING", "w", 1)));
        write(&mut log, &task("a-1", 7), Some(&status("FAILED", "w", 1)));
        assert_eq!(log.tasks("a-1").next().unwrap().0, 7);
        for (topic, found) in [("t", Some((0, 1))), ("u", Some((0, 1))), ("u", None)] {
            let (key, value) = topic_record("a:connector-b", topic, found);
            log.apply(&key, value.as_deref()).unwrap();
        }
        assert_eq!(log.topics("a:connector-b"), ["t"]);
        write(&mut log, &connector, None);
        assert!(log.connector("a-1").is_none() && log.tasks("a-1").next().is_none());
        for (key, value) in [
            ("status-connector-x", "{"),
            ("status-connector-x", "{}"),
            ("status-connector-x", r#"{"state":"?","worker_id":"w","generation":1}"#),
            ("status-task-x", "{}"),
            ("status-topic-x", "{}"),
            ("other", "{}"),
        ] {
            assert!(log.apply(key.as_bytes(), Some(value.as_bytes())).is_err(), "{key} {value}");
        }
    }

    #[test]
    fn a_successors_word_stands() {
        let mut log = StatusLog::default();
        let subject = task("a", 0);
        write(&mut log, &subject, Some(&status("RUNNING", "new", 5)));
        assert!(!log.may_write(&subject, &status("UNASSIGNED", "old", 4)));
        assert!(log.may_write(&subject, &status("FAILED", "old", 5)));
        assert!(log.may_write(&subject, &status("FAILED", "new", 1)));
        assert!(log.may_write(&task("a", 1), &status("UNASSIGNED", "old", 0)));
        // Written before it could know, it is not believed.
        write(&mut log, &subject, Some(&status("UNASSIGNED", "old", 5)));
        let Subject::Task(id) = subject else { return };
        assert_eq!(log.task(&id).unwrap().state, "RUNNING");
    }
}
