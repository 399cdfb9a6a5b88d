//! Statuses on their way to the topic: the last of each, in rounds, one round at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use millrace_worker::command::TaskId;

use super::{Ack, DistributedHerder};
use crate::stores::config_records::Produced;
use crate::stores::status_log::{self, Status, Subject};

/// After this a round counts as lost, should its outcome never be told.
const LOST: Duration = Duration::from_secs(120);

/// What waits to be written, by key, and the round under way.
#[derive(Default)]
pub(super) struct StatusQueue {
    waiting: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    writing: Option<(Instant, Vec<Produced>)>,
}

impl StatusQueue {
    pub fn push(&mut self, (key, value): Produced) {
        self.waiting.insert(key, value);
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.writing.is_none()
    }

    /// The key is waiting, or being written.
    pub fn has(&self, key: &[u8]) -> bool {
        let writing = self
            .writing
            .as_ref()
            .is_some_and(|(_, records)| records.iter().any(|(known, _)| known == key));
        writing || self.waiting.contains_key(key)
    }

    /// The next round, if none is under way.
    fn take(&mut self, now: Instant) -> Option<Vec<Produced>> {
        let free = self.writing.as_ref().is_none_or(|(since, _)| now.duration_since(*since) > LOST);
        if !free || self.waiting.is_empty() {
            return None;
        }
        let round: Vec<Produced> = std::mem::take(&mut self.waiting).into_iter().collect();
        self.writing = Some((now, round.clone()));
        Some(round)
    }

    /// The round has an outcome. What was not written is written with the next, unless something
    /// newer has come.
    pub fn written(&mut self, outcome: Result<(), String>) {
        let Some((_, round)) = self.writing.take() else { return };
        if let Err(why) = outcome {
            tracing::error!("statuses were not written: {why}; trying again");
            for (key, value) in round {
                self.waiting.entry(key).or_insert(value);
            }
        }
    }
}

impl DistributedHerder {
    /// Notes a status of something that is or was here.
    pub(super) fn tell_status(
        &mut self,
        subject: Subject,
        state: &'static str,
        trace: Option<String>,
    ) {
        let name = match &subject {
            Subject::Connector(name) => name,
            Subject::Task(id) => &id.connector,
        };
        let version = self.plugin_of(name).map(|plugin| plugin.version.to_owned());
        let (worker_id, generation) = (self.worker_id(), self.generation);
        let status = Status { state, trace, worker_id, generation, version };
        let careful = matches!(state, "UNASSIGNED" | "FAILED");
        if !careful || self.statuses.may_write(&subject, &status) {
            self.status_queue.push(status_log::record(&subject, Some(&status)));
        }
    }

    /// Notes the topics that a task was heard using, each once.
    pub(super) fn tell_topics(&mut self, id: &TaskId, topics: BTreeSet<String>) {
        // What a deleted connector's task says at last would stay.
        let there = self.log.config().contains(&id.connector);
        if !there || !self.context.config.parsed().bool("topic.tracking.enable") {
            return;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        for topic in topics {
            let record = status_log::topic_record(&id.connector, &topic, Some((id.task, now)));
            let known = self.statuses.knows_topic(&id.connector, &topic);
            if !known && !self.status_queue.has(&record.0) {
                self.status_queue.push(record);
            }
        }
    }

    /// Writes what waits, unless a round is under way.
    pub(super) fn flush_statuses(&mut self) {
        let Some(round) = self.status_queue.take(Instant::now()) else { return };
        let acks = self.acks.0.clone();
        self.stores.status.write(
            round,
            Box::new(move |outcome| {
                let _ = acks.try_send(Ack::StatusesWritten(outcome));
            }),
        );
    }

    /// Statuses of connectors and tasks that are no more, and what topics they used: the leader's to
    /// take away.
    pub(super) fn forget_deleted_statuses(&mut self) {
        let names: Vec<_> = self.statuses.names().cloned().collect();
        for name in names {
            let there = self.config.contains(&name);
            if !there {
                let gone = status_log::record(&Subject::Connector(name.clone()), None);
                self.status_queue.push(gone);
            }
            let tasks: BTreeSet<_> = self.config.tasks(&name).into_iter().collect();
            let known: Vec<u32> = self.statuses.tasks(&name).map(|(task, _)| task).collect();
            for task in known {
                let id = TaskId { connector: name.clone(), task };
                if !there || !tasks.contains(&id) {
                    self.status_queue.push(status_log::record(&Subject::Task(id), None));
                }
            }
        }
        let users: Vec<_> = self.statuses.topic_users().cloned().collect();
        for name in users {
            if !self.config.contains(&name) {
                self.forget_topics(&name);
            }
        }
    }

    pub(super) fn forget_topics(&mut self, name: &str) {
        for topic in self.statuses.topics(name) {
            self.status_queue.push(status_log::topic_record(name, &topic, None));
        }
    }
}
