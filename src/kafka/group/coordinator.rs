//! The broker that coordinates a group: found, called, asked for offsets. One that coordinates
//! transactions is found and called alike.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::{
    ApiKey, FindCoordinatorRequest, GroupId, OffsetCommitRequest, OffsetFetchRequest,
    OffsetFetchResponse, TopicName,
};
use kafka_protocol::protocol::{Request, StrBytes};
use millrace_net::rt::sleep;

use crate::cluster::{Cluster, Purpose};
use crate::connection::Connection;
use crate::error::{ErrorKind, KafkaError};
use crate::partitions::TopicPartition;

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetAndMetadata {
    pub offset: i64,
    /// −1 if it was committed without one.
    pub leader_epoch: i32,
    pub metadata: String,
}

/// Who commits: generation −1 and no name for those outside of the group.
#[derive(Clone, Debug)]
pub struct Committer {
    pub member_id: StrBytes,
    pub generation: i32,
    pub instance: Option<StrBytes>,
}

/// `FindCoordinator`'s kinds of keys.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// One group's coordinator, or one transactional id's.
pub struct Coordinator {
    cluster: Cluster,
    group: StrBytes,
    key_type: i8,
    node: Cell<Option<i32>>,
}

impl Coordinator {
    pub fn new(cluster: Cluster, group: &str) -> Self {
        let group = StrBytes::from_string(group.to_owned());
        Self { cluster, group, key_type: GROUP, node: Cell::new(None) }
    }

    /// Of a transactional id.
    pub fn of_transactions(cluster: Cluster, id: &str) -> Self {
        Self { key_type: TRANSACTION, ..Self::new(cluster, id) }
    }

    /// The next call looks it up again.
    pub fn forget(&self) {
        self.node.set(None);
    }

    /// Finds it, unless it is known; whether it can be reached does not show.
    pub async fn look_up(&self) -> Result<(), KafkaError> {
        self.find().await.map(drop)
    }

    async fn find(&self) -> Result<i32, KafkaError> {
        if let Some(node) = self.node.get() {
            return Ok(node);
        }
        if self.cluster.metadata().version == 0 {
            self.cluster.refresh().await?;
        }
        // Both forms of the key: each version takes its own.
        let request = FindCoordinatorRequest::default().with_key_type(self.key_type);
        let single = request.clone().with_key(self.group.clone());
        let many = request.with_coordinator_keys(vec![self.group.clone()]);
        let response = match self.cluster.call_any(&many).await {
            Err(error) if error.kind == ErrorKind::Fatal && error.code == 0 => {
                self.cluster.call_any(&single).await?
            }
            other => other?,
        };
        let found = response.coordinators.first();
        let (code, node) = found.map_or((response.error_code, response.node_id.0), |found| {
            (found.error_code, found.node_id.0)
        });
        let kind = if self.key_type == GROUP { "group" } else { "transactional.id" };
        let context = format!("{kind} '{}'", self.group);
        KafkaError::check(code, "FindCoordinator", &context)?;
        if !self.cluster.metadata().brokers.contains_key(&node) {
            self.cluster.refresh().await?;
        }
        self.node.set(Some(node));
        Ok(node)
    }

    /// The coordinator's connection. Joins block, so they don't share it with commits.
    pub async fn connection(&self, purpose: Purpose) -> Result<Connection, KafkaError> {
        let node = self.find().await?;
        let outcome = self.cluster.connection(node, purpose).await;
        outcome.inspect_err(|_| self.forget())
    }

    pub async fn call<R: Request>(
        &self,
        purpose: Purpose,
        request: &R,
        limit: Duration,
    ) -> Result<R::Response, KafkaError> {
        let connection = self.connection(purpose).await?;
        let outcome = connection.call(request, limit).await;
        outcome.inspect_err(|error| {
            if error.is_retriable() {
                self.forget();
            }
        })
    }

    /// Commits; the coordinator's moving and loading are waited for within
    /// `default.api.timeout.ms`.
    pub async fn commit(
        &self,
        who: &Committer,
        offsets: &[(TopicPartition, i64)],
    ) -> Result<(), KafkaError> {
        self.commit_while(who, offsets, KafkaError::is_retriable).await
    }

    /// As [`Self::commit`], repeated only after errors of which `again` says so.
    pub async fn commit_while(
        &self,
        who: &Committer,
        offsets: &[(TopicPartition, i64)],
        again: impl Fn(&KafkaError) -> bool,
    ) -> Result<(), KafkaError> {
        let mut topics: BTreeMap<&Rc<str>, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
        for (name, offset) in offsets {
            let partition = OffsetCommitRequestPartition::default()
                .with_partition_index(name.partition)
                .with_committed_offset(*offset)
                .with_committed_leader_epoch(-1)
                .with_committed_metadata(Some(StrBytes::new()));
            topics.entry(&name.topic).or_default().push(partition);
        }
        let topics = topics.into_iter().map(|(topic, partitions)| {
            OffsetCommitRequestTopic::default()
                .with_name(TopicName(StrBytes::from_string(topic.to_string())))
                .with_partitions(partitions)
        });
        let request = OffsetCommitRequest::default()
            .with_group_id(GroupId(self.group.clone()))
            .with_generation_id_or_member_epoch(who.generation)
            .with_member_id(who.member_id.clone())
            .with_group_instance_id(who.instance.clone())
            .with_topics(topics.collect());
        let once = async || {
            let limit = self.cluster.config().request_timeout;
            let response = self.call(Purpose::General, &request, limit).await?;
            for topic in &response.topics {
                for partition in &topic.partitions {
                    let context = format!("{}-{}", topic.name.as_str(), partition.partition_index);
                    KafkaError::check(partition.error_code, "OffsetCommit", &context)?;
                }
            }
            Ok(())
        };
        self.patiently(once, again).await
    }

    /// The group's committed offsets of `names`, or all of them; those without one are left out.
    /// With `stable`, offsets of open transactions are waited for.
    pub async fn committed(
        &self,
        names: Option<&[TopicPartition]>,
        stable: bool,
    ) -> Result<Vec<(TopicPartition, OffsetAndMetadata)>, KafkaError> {
        let once = async || {
            let connection = self.connection(Purpose::General).await?;
            let version = connection.version(ApiKey::OffsetFetch)?;
            let request = self.offset_fetch_request(names, stable, version);
            let limit = self.cluster.config().request_timeout;
            read_offsets(&connection.call(&request, limit).await?)
        };
        self.patiently(once, KafkaError::is_retriable).await
    }

    fn offset_fetch_request(
        &self,
        names: Option<&[TopicPartition]>,
        stable: bool,
        version: i16,
    ) -> OffsetFetchRequest {
        let topics = names.map(|names| {
            let mut topics: BTreeMap<&Rc<str>, Vec<i32>> = BTreeMap::new();
            for name in names {
                topics.entry(&name.topic).or_default().push(name.partition);
            }
            topics.into_iter().map(|(topic, partitions)| {
                (TopicName(StrBytes::from_string(topic.to_string())), partitions)
            })
        });
        let request = OffsetFetchRequest::default().with_require_stable(stable && version >= 7);
        let group = GroupId(self.group.clone());
        if version < 8 {
            let topic = |(name, partitions)| {
                OffsetFetchRequestTopic::default()
                    .with_name(name)
                    .with_partition_indexes(partitions)
            };
            let topics = topics.map(|topics| topics.map(topic).collect());
            return request.with_group_id(group).with_topics(topics);
        }
        let topic = |(name, partitions)| {
            OffsetFetchRequestTopics::default().with_name(name).with_partition_indexes(partitions)
        };
        let group = OffsetFetchRequestGroup::default()
            .with_group_id(group)
            .with_topics(topics.map(|topics| topics.map(topic).collect()));
        request.with_groups(vec![group])
    }

    /// Repeats what failed with an error of which `again` says so, with back-off, within
    /// `default.api.timeout.ms`.
    pub(crate) async fn patiently<T>(
        &self,
        once: impl AsyncFn() -> Result<T, KafkaError>,
        again: impl Fn(&KafkaError) -> bool,
    ) -> Result<T, KafkaError> {
        let deadline = Instant::now() + self.cluster.config().api_timeout;
        let mut backoff = self.cluster.backoff();
        loop {
            let error = match once().await {
                Ok(output) => return Ok(output),
                Err(error) => error,
            };
            if error.kind == ErrorKind::Coordinator && error.code != 14 {
                self.forget();
            }
            let wait = backoff.next_wait();
            if !again(&error) || Instant::now() + wait >= deadline {
                return Err(error);
            }
            sleep(wait).await;
        }
    }
}

fn read_offsets(
    response: &OffsetFetchResponse,
) -> Result<Vec<(TopicPartition, OffsetAndMetadata)>, KafkaError> {
    KafkaError::check(response.error_code, "OffsetFetch", "")?;
    let mut found = Vec::new();
    let mut take = |topic: &str, index, offset, leader_epoch, metadata: &Option<StrBytes>, code| {
        let name = TopicPartition::new(topic, index);
        KafkaError::check(code, "OffsetFetch", &name.to_string())?;
        if offset >= 0 {
            let metadata = metadata.as_ref().map(ToString::to_string).unwrap_or_default();
            found.push((name, OffsetAndMetadata { offset, leader_epoch, metadata }));
        }
        Ok::<(), KafkaError>(())
    };
    for topic in &response.topics {
        for p in &topic.partitions {
            let (offset, epoch) = (p.committed_offset, p.committed_leader_epoch);
            take(topic.name.as_str(), p.partition_index, offset, epoch, &p.metadata, p.error_code)?;
        }
    }
    for group in &response.groups {
        KafkaError::check(group.error_code, "OffsetFetch", group.group_id.as_str())?;
        for topic in &group.topics {
            for p in &topic.partitions {
                let (offset, epoch) = (p.committed_offset, p.committed_leader_epoch);
                let (name, index) = (topic.name.as_str(), p.partition_index);
                take(name, index, offset, epoch, &p.metadata, p.error_code)?;
            }
        }
    }
    Ok(found)
}
