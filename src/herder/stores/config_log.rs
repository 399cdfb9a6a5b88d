//! What the config topic's records say: the cluster's connectors, tasks and target states.
//!
//! Records in, state and events out; no IO. Task configurations of a connector come one record each
//! and count only from a commit on that completes them: until then they are *deferred*. Compaction
//! and crashes leave halves behind; what is then known is what the JVM's worker knows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millrace_api::Config;
use millrace_worker::command::{TargetState, TaskId};
use serde_json::{Map, Value};

use super::config_records::{self, Key};
use crate::internal_requests::SessionKey;
use crate::requests::RestartScope;

/// One connector as the topic has it. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConnectorEntry {
    /// `None`: only other records name it.
    pub config: Option<Arc<Config>>,
    pub target: Option<TargetState>,
    /// Of the last commit.
    pub task_count: Option<usize>,
    /// Committed, perhaps more than `task_count` of an earlier, larger set.
    pub tasks: BTreeMap<u32, Arc<Config>>,
    /// The connector's configuration at the last commit.
    pub applied: Option<Arc<Config>>,
    /// The last commit did not find all task configurations.
    pub inconsistent: bool,
    /// Counts applied commits, from 0.
    pub task_generation: Option<u64>,
    /// `tasks-fencing`'s count, and whether a commit came after it.
    pub fencing_count: Option<usize>,
    pub pending_fencing: bool,
}

/// A snapshot of the topic up to an offset.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// The next offset to be read; −1 before the first record.
    pub offset: i64,
    pub session_key: Option<SessionKey>,
    entries: BTreeMap<Arc<str>, Arc<ConnectorEntry>>,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self { offset: -1, session_key: None, entries: BTreeMap::new() }
    }
}

impl ClusterConfig {
    /// The entry of a connector that has a configuration.
    pub fn connector(&self, name: &str) -> Option<&ConnectorEntry> {
        self.entries.get(name).map(|entry| &**entry).filter(|entry| entry.config.is_some())
    }

    /// Names and entries, sorted.
    pub fn connectors(&self) -> impl Iterator<Item = (&Arc<str>, &ConnectorEntry)> {
        let there = self.entries.iter().filter(|(_, entry)| entry.config.is_some());
        there.map(|(name, entry)| (name, &**entry))
    }

    pub fn contains(&self, name: &str) -> bool {
        self.connector(name).is_some()
    }

    pub fn config(&self, name: &str) -> Option<&Arc<Config>> {
        self.connector(name)?.config.as_ref()
    }

    pub fn target(&self, name: &str) -> TargetState {
        self.connector(name).and_then(|entry| entry.target).unwrap_or(TargetState::Started)
    }

    /// The connector's tasks, sorted; none of an inconsistent connector.
    pub fn tasks(&self, name: &str) -> Vec<TaskId> {
        let Some((name, entry)) = self.entries.get_key_value(name) else { return Vec::new() };
        let count = if entry.inconsistent { 0 } else { entry.task_count.unwrap_or(0) };
        let there = (0..count as u32).filter(|task| entry.tasks.contains_key(task));
        there.map(|task| TaskId { connector: Arc::clone(name), task }).collect()
    }

    pub fn task_config(&self, id: &TaskId) -> Option<&Arc<Config>> {
        let entry = self.connector(&id.connector).filter(|entry| !entry.inconsistent)?;
        if id.task as usize >= entry.task_count.unwrap_or(0) {
            return None;
        }
        entry.tasks.get(&id.task)
    }

    /// Whether these task configurations have to be written: another number, other settings, or a
    /// connector whose own settings changed since the last commit (those that only the runtime
    /// reads are not in task configurations).
    pub fn is_news(&self, name: &str, tasks: &[Config]) -> bool {
        let Some(entry) = self.connector(name) else { return false };
        let same = |(at, config): (usize, &Config)| {
            entry.tasks.get(&(at as u32)).is_some_and(|known| **known == *config)
        };
        entry.inconsistent
            || entry.task_count.unwrap_or(0) != tasks.len()
            || !tasks.iter().enumerate().all(same)
            || entry.applied != entry.config
    }
}

/// What a record changed; told only after the first read to the end.
#[derive(Clone, Debug, PartialEq)]
pub enum ConfigEvent {
    Removed(Arc<str>),
    /// Added or changed.
    Updated(Arc<str>),
    /// A commit came; these tasks have new configurations.
    TasksUpdated(Vec<TaskId>),
    TargetState(Arc<str>),
    Restart {
        name: Arc<str>,
        scope: RestartScope,
    },
    Logger {
        namespace: String,
        level: String,
    },
}

/// The live state.
#[derive(Default)]
pub struct ConfigLog {
    config: ClusterConfig,
    deferred: BTreeMap<Arc<str>, BTreeMap<u32, Arc<Config>>>,
    events: Vec<ConfigEvent>,
    started: bool,
}

impl ConfigLog {
    /// What is known now.
    pub fn config(&self) -> &ClusterConfig {
        &self.config
    }

    /// The first read to the end is over: from now on changes are told.
    pub fn start(&mut self) {
        self.started = true;
    }

    pub fn take_events(&mut self) -> Vec<ConfigEvent> {
        std::mem::take(&mut self.events)
    }

    /// Takes one record. What makes no sense is passed over; the error says why, for the log.
    pub fn apply(&mut self, offset: i64, key: &[u8], value: Option<&[u8]>) -> Result<(), String> {
        let value = match value {
            None => None,
            Some(bytes) => match serde_json::from_slice::<Value>(bytes) {
                Err(error) => return Err(format!("the value is not JSON: {error}")),
                Ok(Value::Null) => None,
                Ok(value) => Some(value),
            },
        };
        self.config.offset = offset + 1;
        let key = std::str::from_utf8(key).map_err(|_| "the key is not text".to_owned())?;
        let parsed = Key::parse(key).ok_or_else(|| format!("the key {key:?} is unknown"))?;
        let value = match &value {
            None => None,
            Some(Value::Object(map)) => Some(map),
            Some(_) => return Err(format!("the value of {key:?} is not an object")),
        };
        let wrong = || format!("the value of {key:?} is in the wrong format");
        self.dispatch(parsed, value).ok_or_else(wrong)
    }

    /// `None`: the value does not have the form that the key asks for.
    fn dispatch(&mut self, key: Key, value: Option<&Map<String, Value>>) -> Option<()> {
        match (key, value) {
            (Key::TargetState(name), value) => self.target_state(&name, value)?,
            (Key::Connector(name), None) => self.removed(&name),
            (Key::Connector(name), Some(value)) => {
                let config = Arc::new(config_records::read_properties(value)?);
                let name = self.change(&name, |entry| {
                    entry.config = Some(config);
                    entry.target.get_or_insert(TargetState::Started);
                });
                self.tell(ConfigEvent::Updated(name));
            }
            // Task configurations are never deleted.
            (Key::Task(_), None) => {}
            (Key::Task(id), Some(value)) => {
                let config = Arc::new(config_records::read_properties(value)?);
                self.deferred.entry(id.connector).or_default().insert(id.task, config);
            }
            (Key::Commit(name), Some(value)) => {
                let count = config_records::read_count(value, "tasks")?;
                self.commit(&name, count);
            }
            (Key::Fencing(name), Some(value)) => {
                let count = config_records::read_count(value, "task-count")?;
                self.change(&name, |entry| {
                    entry.fencing_count = Some(count);
                    entry.pending_fencing = false;
                });
            }
            (Key::SessionKey, Some(value)) => {
                self.config.session_key = Some(config_records::read_session_key(value)?);
            }
            (Key::Restart(name), Some(value)) => {
                let scope = config_records::read_restart(value);
                self.tell(ConfigEvent::Restart { name: name.into(), scope });
            }
            (Key::Logger(namespace), Some(value)) => {
                let level = value.get("level")?.as_str()?.to_owned();
                self.tell(ConfigEvent::Logger { namespace, level });
            }
            (Key::Commit(_) | Key::Fencing(_) | Key::SessionKey, None) => return None,
            (Key::Restart(_) | Key::Logger(_), None) => {}
        }
        Some(())
    }

    fn tell(&mut self, event: ConfigEvent) {
        if self.started {
            self.events.push(event);
        }
    }

    /// Changes an entry, which is made if need be; snapshots keep theirs.
    fn change(&mut self, name: &str, change: impl FnOnce(&mut ConnectorEntry)) -> Arc<str> {
        let known = self.config.entries.get_key_value(name).map(|(name, _)| Arc::clone(name));
        let name = known.unwrap_or_else(|| name.into());
        let entry = self.config.entries.entry(Arc::clone(&name)).or_default();
        change(Arc::make_mut(entry));
        name
    }

    fn target_state(&mut self, name: &str, value: Option<&Map<String, Value>>) -> Option<()> {
        let exists = self.config.contains(name);
        let Some(value) = value else {
            // No event: the connector's own removal tells the worker.
            self.change(name, |entry| entry.target = exists.then_some(TargetState::Started));
            return Some(());
        };
        let target = config_records::read_target(value)?;
        let mut before = None;
        let name = self.change(name, |entry| before = entry.target.replace(target));
        if exists && before != Some(target) {
            self.tell(ConfigEvent::TargetState(name));
        }
        Some(())
    }

    fn forget(&mut self, name: &str) -> Arc<str> {
        self.deferred.remove(name);
        self.change(name, |entry| {
            entry.config = None;
            entry.task_count = None;
            entry.tasks.clear();
            entry.applied = None;
            entry.inconsistent = false;
        })
    }

    fn removed(&mut self, name: &str) {
        let name = self.forget(name);
        self.tell(ConfigEvent::Removed(name));
    }

    fn commit(&mut self, name: &str, count: usize) {
        if !self.config.contains(name) {
            // The connector was deleted, and compaction has taken the trace of it.
            self.forget(name);
            return;
        }
        let deferred = self.deferred.remove(name).unwrap_or_default();
        let complete = (0..count).all(|task| deferred.contains_key(&(task as u32)));
        let mut updated = Vec::new();
        let ids: Vec<u32> = deferred.keys().copied().collect();
        let name = self.change(name, |entry| {
            entry.inconsistent = !complete;
            entry.task_count = Some(count);
            entry.pending_fencing = true;
            if !complete {
                return;
            }
            entry.applied.clone_from(&entry.config);
            if !deferred.is_empty() {
                entry.tasks.extend(deferred);
                entry.task_generation = Some(entry.task_generation.map_or(0, |now| now + 1));
            }
        });
        if complete {
            let id = |task| TaskId { connector: Arc::clone(&name), task };
            updated.extend(ids.into_iter().map(id));
        }
        self.tell(ConfigEvent::TasksUpdated(updated));
    }
}

/// Restarts that wait to be carried out: of several for one connector the one with the most effect.
#[derive(Default)]
pub struct PendingRestarts(BTreeMap<Arc<str>, RestartScope>);

impl PendingRestarts {
    pub fn add(&mut self, name: Arc<str>, scope: RestartScope) {
        let rank = |scope: RestartScope| (!scope.only_failed, scope.include_tasks);
        let known = self.0.entry(name).or_insert(scope);
        if rank(scope) > rank(*known) {
            *known = scope;
        }
    }

    pub fn take(&mut self) -> BTreeMap<Arc<str>, RestartScope> {
        std::mem::take(&mut self.0)
    }
}

/// Names that came up in events, each once, until the herder gets to them.
pub type Names = BTreeSet<Arc<str>>;

#[cfg(test)]
#[path = "config_log_tests.rs"]
mod tests;
