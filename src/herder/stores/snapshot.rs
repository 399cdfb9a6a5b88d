//! The internal topics read once, up to their ends, by somebody who is no member of the cluster:
//! nothing is made, joined or written.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use millrace_api::Config;
use millrace_kafka::Cluster;
use millrace_kafka::admin::Admin;
use millrace_net::rt;
use serde::Serialize;

use super::config_log::{ClusterConfig, ConfigLog};
use super::status_log::StatusLog;
use super::topic_log::{LogEvent, LogHandle, LogRecord, TopicLog};
use super::topics::Which;
use super::{Clients, clients, listed};
use crate::source_offsets;

/// Records that nobody understands and that are told one by one.
const NAMED: usize = 5;

/// A topic by its size.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TopicSize {
    pub name: String,
    pub partitions: i32,
    /// Records that are there, compaction or not, and the bytes of their keys and values.
    pub records: usize,
    pub bytes: usize,
    /// Records that nobody understands, and the first few of them in words.
    pub malformed: usize,
    pub named: Vec<String>,
}

impl TopicSize {
    fn count(&mut self, record: &LogRecord, outcome: Result<(), String>) {
        self.records += 1;
        self.bytes += record.key.len() + record.value.as_ref().map_or(0, Vec::len);
        let Err(why) = outcome else { return };
        self.malformed += 1;
        if self.named.len() < NAMED {
            let (partition, offset) = (record.partition, record.offset);
            self.named.push(format!("partition {partition}, offset {offset}: {why}"));
        }
    }
}

/// The connectors of the config topic.
pub fn read_config(worker: &Config, limit: Duration) -> Result<(ClusterConfig, TopicSize), String> {
    let apply = |log: &mut ConfigLog, record: &LogRecord| {
        log.apply(record.offset, &record.key, record.value.as_deref())
    };
    let (log, size) = read(worker, Which::Config, limit, ConfigLog::default(), apply)?;
    Ok((log.config().clone(), size))
}

/// Names that the status topic has a status or the use of a topic of.
pub fn read_status(
    worker: &Config,
    limit: Duration,
) -> Result<(BTreeSet<String>, TopicSize), String> {
    let apply =
        |log: &mut StatusLog, record: &LogRecord| log.apply(&record.key, record.value.as_deref());
    let (log, size) = read(worker, Which::Status, limit, StatusLog::default(), apply)?;
    let names = log.names().chain(log.topic_users());
    Ok((names.map(ToString::to_string).collect(), size))
}

/// How many source partitions have an offset, by connector.
pub fn read_offsets(
    worker: &Config,
    limit: Duration,
) -> Result<(BTreeMap<String, usize>, TopicSize), String> {
    let apply = |keys: &mut BTreeSet<Vec<u8>>, record: &LogRecord| {
        source_offsets::check(&record.key, record.value.as_deref())?;
        match record.value {
            Some(_) => keys.insert(record.key.clone()),
            None => keys.remove(&record.key),
        };
        Ok(())
    };
    let (keys, size) = read(worker, Which::Offset, limit, BTreeSet::new(), apply)?;
    let mut counts = BTreeMap::new();
    for name in keys.iter().filter_map(|key| source_offsets::connector_of(key)) {
        *counts.entry(name).or_default() += 1;
    }
    Ok((counts, size))
}

/// Reads a topic of these worker's properties within `limit`.
///
/// # Errors
/// A client setting is wrong, or the topic cannot be read; in words for the user.
fn read<S: Send + 'static>(
    worker: &Config,
    which: Which,
    limit: Duration,
    mut state: S,
    apply: impl Fn(&mut S, &LogRecord) -> Result<(), String> + Send + 'static,
) -> Result<(S, TopicSize), String> {
    let Clients { topic, consumer, producer } =
        clients(worker, which).map_err(|all| listed(&all))?;
    if topic.is_empty() {
        return Err(format!("{} is not set", which.topic_key()));
    }
    let name = topic.clone();
    let (handle, inbox) = LogHandle::new();
    let (sender, answer) = flume::bounded(1);
    let mut options = rt::CoreOptions::new("internal-topic", None);
    options.runtime = Some(rt::RuntimeChoice::Epoll);
    handle.read_to_end(0);
    let started = rt::start_core(options, move || async move {
        let partitions = match partitions(&consumer, &topic).await {
            Ok(partitions) => partitions,
            Err(why) => return drop(sender.send(Err(why))),
        };
        let mut size = TopicSize { name: topic.clone(), partitions, ..TopicSize::default() };
        let log = TopicLog { topic, partitions, consumer, producer };
        let mut outcome = Ok(());
        let each = async |event| match event {
            LogEvent::Records(records) => {
                for record in records {
                    let applied = apply(&mut state, &record);
                    size.count(&record, applied);
                }
                true
            }
            LogEvent::AtEnd { outcome: ended, .. } => {
                outcome = ended;
                false
            }
            LogEvent::Trouble(why) => {
                outcome = Err(why);
                false
            }
        };
        log.read(inbox.reads, each).await;
        let _ = sender.send(outcome.map(|()| (state, size)));
    });
    started.map_err(|error| error.to_string())?;
    let answered = answer.recv_timeout(limit);
    // Who waits for a topic that does not answer is told to end.
    drop(handle);
    answered.unwrap_or_else(|_| Err(format!("{name} could not be read within {limit:?}")))
}

/// How many partitions the topic has; asking makes none.
async fn partitions(
    consumer: &millrace_kafka::config::ConsumerConfig,
    topic: &str,
) -> Result<i32, String> {
    let admin = Admin::new(Cluster::for_consumer(consumer));
    let found = admin.describe_topics(&[topic]).await.map_err(|error| error.to_string())?;
    match found.get(topic) {
        Some(found) if !found.partitions.is_empty() => Ok(found.partitions.len() as i32),
        _ => Err(format!("there is no topic {topic}")),
    }
}
