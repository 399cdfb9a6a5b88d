//! OffsetCommit, OffsetFetch and OffsetDelete.

use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::*;
use millrace_kafka::untrusted;

use crate::core::{Call, Core};
use crate::group_api::committed;
use crate::groups::{Group, State};
use crate::protocol::{code, text, topic_name};

/// Which offsets a fetch asks for; `None` for all of the group's.
type Wanted = Option<Vec<(TopicName, Vec<i32>)>>;

impl Core {
    pub(crate) fn offset_commit(
        &self,
        call: &Call,
        request: OffsetCommitRequest,
    ) -> OffsetCommitResponse {
        let group = request.group_id.as_str();
        let allowed = self.groups.borrow_mut().check_commit(
            group,
            &request.member_id,
            request.group_instance_id.as_deref(),
            request.generation_id_or_member_epoch,
            crate::now_ms(),
        );
        let mut changes = Vec::new();
        let mut response = OffsetCommitResponse::default();
        for topic in &request.topics {
            let mut answer = OffsetCommitResponseTopic::default().with_name(topic.name.clone());
            for own in &topic.partitions {
                let index = own.partition_index;
                let known = self.topics.borrow().partition(&topic.name, index).is_some();
                let (epoch, metadata) =
                    (own.committed_leader_epoch, own.committed_metadata.as_deref());
                let result = match call.partition_error(&topic.name, index) {
                    Some(error) => Err(error),
                    None if !known => Err(code::UNKNOWN_TOPIC_OR_PARTITION),
                    None => allowed.and_then(|()| committed(own.committed_offset, epoch, metadata)),
                };
                let error = match result {
                    Ok(committed) => {
                        changes.push(((topic.name.to_string(), index), Some(committed)));
                        code::NONE
                    }
                    Err(error) => error,
                };
                answer.partitions.push(
                    OffsetCommitResponsePartition::default()
                        .with_partition_index(index)
                        .with_error_code(error),
                );
            }
            response.topics.push(answer);
        }
        if let Err(error) = self.offsets.borrow_mut().put(group, changes) {
            let error = crate::topics::storage_error(error);
            let partitions = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
            partitions.for_each(|partition| partition.error_code = error);
        }
        response
    }

    pub(crate) fn offset_fetch(
        &self,
        call: &Call,
        request: OffsetFetchRequest,
    ) -> OffsetFetchResponse {
        let stable = request.require_stable;
        if call.version >= 8 {
            let groups = request.groups.into_iter().map(|group| {
                let wanted = group.topics.map(|topics| {
                    topics.into_iter().map(|topic| (topic.name, topic.partition_indexes)).collect()
                });
                let topics = self.committed_offsets(call, &group.group_id, wanted, stable);
                OffsetFetchResponseGroup::default()
                    .with_group_id(group.group_id)
                    .with_topics(topics)
            });
            return OffsetFetchResponse::default().with_groups(groups.collect());
        }
        let wanted = request.topics.map(|topics| {
            topics.into_iter().map(|topic| (topic.name, topic.partition_indexes)).collect()
        });
        let topics = self.committed_offsets(call, &request.group_id, wanted, stable);
        let topics = topics.into_iter().map(|topic| {
            let partitions = topic.partitions.into_iter().map(|own| {
                OffsetFetchResponsePartition::default()
                    .with_partition_index(own.partition_index)
                    .with_committed_offset(own.committed_offset)
                    .with_committed_leader_epoch(own.committed_leader_epoch)
                    .with_metadata(own.metadata)
                    .with_error_code(own.error_code)
            });
            OffsetFetchResponseTopic::default()
                .with_name(topic.name)
                .with_partitions(partitions.collect())
        });
        OffsetFetchResponse::default().with_topics(topics.collect())
    }

    fn committed_offsets(
        &self,
        call: &Call,
        group: &str,
        wanted: Wanted,
        stable: bool,
    ) -> Vec<OffsetFetchResponseTopics> {
        let store = self.offsets.borrow();
        let offsets = store.get(group);
        let wanted = wanted.unwrap_or_else(|| {
            let mut all: Vec<(TopicName, Vec<i32>)> = Vec::new();
            for (topic, index) in offsets.into_iter().flat_map(|offsets| offsets.keys()) {
                match all.last_mut().filter(|(name, _)| name.as_str() == topic) {
                    Some((_, indexes)) => indexes.push(*index),
                    None => all.push((topic_name(topic), vec![*index])),
                }
            }
            all
        });
        let topics = wanted.into_iter().map(|(name, indexes)| {
            let partitions = indexes.into_iter().map(|index| {
                let key = (name.to_string(), index);
                let unstable = stable && self.transactions.borrow().is_pending(group, &key);
                let error = call.partition_error(&name, index).unwrap_or(if unstable {
                    code::UNSTABLE_OFFSET_COMMIT
                } else {
                    code::NONE
                });
                let found = offsets.and_then(|offsets| offsets.get(&key));
                let found = found.filter(|_| error == code::NONE);
                OffsetFetchResponsePartitions::default()
                    .with_partition_index(index)
                    .with_error_code(error)
                    .with_committed_offset(found.map_or(-1, |own| own.offset))
                    .with_committed_leader_epoch(found.map_or(-1, |own| own.leader_epoch))
                    .with_metadata(Some(text(found.map_or("", |own| &own.metadata))))
            });
            let partitions = partitions.collect();
            OffsetFetchResponseTopics::default().with_name(name).with_partitions(partitions)
        });
        topics.collect()
    }

    pub(crate) fn offset_delete(&self, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
        let id = request.group_id.as_str();
        let groups = self.groups.borrow();
        let group = groups.get(id).filter(|group| group.state != State::Empty);
        let mut response = OffsetDeleteResponse::default();
        if groups.get(id).is_none() && self.offsets.borrow().get(id).is_none() {
            return response.with_error_code(code::GROUP_ID_NOT_FOUND);
        }
        if group.is_some_and(|group| group.protocol_type != "consumer") {
            return response.with_error_code(code::NON_EMPTY_GROUP);
        }
        let mut changes = Vec::new();
        for topic in &request.topics {
            let subscribed = group.is_some_and(|group| is_subscribed(group, &topic.name));
            let mut answer = OffsetDeleteResponseTopic::default().with_name(topic.name.clone());
            for partition in &topic.partitions {
                let index = partition.partition_index;
                let error = if subscribed {
                    code::GROUP_SUBSCRIBED_TO_TOPIC
                } else if self.topics.borrow().partition(&topic.name, index).is_none() {
                    code::UNKNOWN_TOPIC_OR_PARTITION
                } else {
                    changes.push(((topic.name.to_string(), index), None));
                    code::NONE
                };
                answer.partitions.push(
                    OffsetDeleteResponsePartition::default()
                        .with_partition_index(index)
                        .with_error_code(error),
                );
            }
            response.topics.push(answer);
        }
        if let Err(error) = self.offsets.borrow_mut().put(id, changes) {
            response.error_code = crate::topics::storage_error(error);
        }
        response
    }
}

/// Whether a member's subscription names the topic. What cannot be read counts as a subscription.
fn is_subscribed(group: &Group, topic: &str) -> bool {
    let mut protocols = group.members.values().flat_map(|member| &member.protocols);
    protocols.any(|(_, metadata)| {
        let version = metadata.first_chunk().map_or(0, |bytes| i16::from_be_bytes(*bytes));
        let mut rest = metadata.slice(metadata.len().min(2)..);
        let read =
            untrusted::decode::<ConsumerProtocolSubscription>(&mut rest, version.clamp(0, 3));
        read.map_or(true, |own| own.topics.iter().any(|name| name.as_str() == topic))
    })
}
