//! Asking leaders where logs begin and end, and which offset a time has.

use std::collections::BTreeMap;
use std::time::Instant;

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{BrokerId, ListOffsetsRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use millrace_net::rt::sleep;

use crate::cluster::Cluster;
use crate::config::IsolationLevel;
use crate::error::{ErrorKind, KafkaError};
use crate::partitions::TopicPartition;

/// The log's end: with `read_committed`, the last stable offset.
pub const LATEST: i64 = -1;
/// The log's first offset.
pub const EARLIEST: i64 = -2;

/// What a leader said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub name: TopicPartition,
    /// −1 if no record is as young as the time asked for.
    pub offset: i64,
    /// Of the record found by time, ms; −1 for the ends of the log.
    pub timestamp: i64,
}

/// Asks for each partition the offset of a time in ms, or of [`LATEST`] or [`EARLIEST`]. Moved and
/// unavailable leaders are waited for within `default.api.timeout.ms`.
pub async fn list_offsets(
    cluster: &Cluster,
    isolation: IsolationLevel,
    asked: &[(TopicPartition, i64)],
) -> Result<Vec<Listed>, KafkaError> {
    let deadline = Instant::now() + cluster.config().api_timeout;
    let mut backoff = cluster.backoff();
    let mut found = Vec::with_capacity(asked.len());
    let mut rest = asked.to_vec();
    cluster.follow(asked.iter().map(|(name, _)| &*name.topic));
    loop {
        let error = match ask_leaders(cluster, isolation, &mut rest, &mut found).await {
            Ok(None) => return Ok(found),
            Ok(Some(error)) | Err(error) => error,
        };
        let wait = backoff.next_wait();
        if !error.is_retriable() || Instant::now() + wait >= deadline {
            return Err(error);
        }
        sleep(wait).await;
        cluster.refresh().await.or_else(|error| match error.is_retriable() {
            true => Ok(cluster.metadata()),
            false => Err(error),
        })?;
    }
}

/// One round; what was answered moves from `rest` to `found`. The last retriable error, if any.
async fn ask_leaders(
    cluster: &Cluster,
    isolation: IsolationLevel,
    rest: &mut Vec<(TopicPartition, i64)>,
    found: &mut Vec<Listed>,
) -> Result<Option<KafkaError>, KafkaError> {
    let metadata = cluster.metadata();
    let mut last = None;
    let mut by_leader: BTreeMap<i32, Vec<(TopicPartition, i64)>> = BTreeMap::new();
    let mut again = Vec::new();
    for (name, time) in rest.drain(..) {
        match metadata.leader(&name.topic, name.partition) {
            Some((leader, _)) => by_leader.entry(leader).or_default().push((name, time)),
            None => {
                let why = format!("{name} has no known leader");
                last = Some(KafkaError::new(ErrorKind::Stale, why).with_api("ListOffsets"));
                again.push((name, time));
            }
        }
    }
    for (leader, asked) in by_leader {
        let response = match cluster.call_node(leader, &request(isolation, &asked)).await {
            Ok(response) => response,
            Err(error) if error.is_retriable() => {
                last = Some(error);
                again.extend(asked);
                continue;
            }
            Err(error) => return Err(error),
        };
        let mut asked: BTreeMap<_, _> = asked.into_iter().collect();
        for topic in &response.topics {
            for partition in &topic.partitions {
                let name = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                let Some(time) = asked.remove(&name) else { continue };
                let context = name.to_string();
                match KafkaError::check(partition.error_code, "ListOffsets", &context) {
                    Ok(()) => {
                        let (offset, timestamp) = (partition.offset, partition.timestamp);
                        found.push(Listed { name, offset, timestamp });
                    }
                    Err(error) if error.is_retriable() => {
                        last = Some(error);
                        again.push((name, time));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        if let Some((name, _)) = asked.first_key_value() {
            let why = format!("the answer leaves out {name}");
            return Err(KafkaError::corrupt(why).with_api("ListOffsets"));
        }
    }
    *rest = again;
    Ok(last)
}

fn request(isolation: IsolationLevel, asked: &[(TopicPartition, i64)]) -> ListOffsetsRequest {
    let mut topics: BTreeMap<&str, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for (name, time) in asked {
        let partition = ListOffsetsPartition::default()
            .with_partition_index(name.partition)
            .with_timestamp(*time);
        topics.entry(&name.topic).or_default().push(partition);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        ListOffsetsTopic::default()
            .with_name(TopicName(StrBytes::from_string(topic.to_owned())))
            .with_partitions(partitions)
    });
    ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_isolation_level(i8::from(isolation == IsolationLevel::ReadCommitted))
        .with_topics(topics.collect())
}
