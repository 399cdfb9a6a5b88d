//! What there is and where: ApiVersions, Metadata, DescribeCluster, FindCoordinator, ListOffsets,
//! OffsetForLeaderEpoch.

use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::*;

use crate::core::{Call, Core};
use crate::protocol::{LEADER_EPOCH, NO_OPERATIONS, check_leader_epoch, code, text, topic_name};
use crate::topics::{Topic, name_is_valid, storage_error};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;

impl Core {
    fn node(&self) -> BrokerId {
        BrokerId(self.options.node_id)
    }

    pub(crate) fn metadata(&self, call: &Call, request: MetadataRequest) -> MetadataResponse {
        let broker = MetadataResponseBroker::default()
            .with_node_id(self.node())
            .with_host(text(&self.host()))
            .with_port(i32::from(self.port));
        let all =
            || self.topics.borrow().all().map(|topic| self.describe_topic(call, topic)).collect();
        let topics = match &request.topics {
            None => all(),
            Some(topics) if topics.is_empty() && call.version == 0 => all(),
            Some(topics) => {
                let may_create = request.allow_auto_topic_creation || call.version < 4;
                topics.iter().map(|topic| self.asked_topic(call, topic, may_create)).collect()
            }
        };
        MetadataResponse::default()
            .with_brokers(vec![broker])
            .with_cluster_id(Some(text(&self.topics.borrow().cluster_id)))
            .with_controller_id(self.node())
            .with_topics(topics)
    }

    fn asked_topic(
        &self,
        call: &Call,
        asked: &metadata_request::MetadataRequestTopic,
        may_create: bool,
    ) -> MetadataResponseTopic {
        let missing = |error| {
            MetadataResponseTopic::default()
                .with_error_code(error)
                .with_name(asked.name.clone())
                .with_topic_id(asked.topic_id)
        };
        let Some(name) = asked.name.as_deref() else {
            return match self.topics.borrow().by_id(asked.topic_id) {
                Some(topic) => self.describe_topic(call, topic),
                None => missing(code::UNKNOWN_TOPIC_ID),
            };
        };
        if let Some(topic) = self.topics.borrow().get(name) {
            return self.describe_topic(call, topic);
        }
        if !name_is_valid(name) {
            return missing(code::INVALID_TOPIC_EXCEPTION);
        }
        if !(may_create && self.options.auto_create_topics) {
            return missing(code::UNKNOWN_TOPIC_OR_PARTITION);
        }
        let partitions = self.options.default_partitions;
        let created = self.topics.borrow_mut().create(name, partitions, Default::default(), false);
        match created {
            Ok(Some(topic)) => self.describe_topic(call, &topic),
            Ok(None) => missing(code::UNKNOWN_TOPIC_OR_PARTITION),
            Err(error) => missing(error),
        }
    }

    fn describe_topic(&self, call: &Call, topic: &Topic) -> MetadataResponseTopic {
        let partitions = topic.partitions.borrow();
        let partitions = partitions.iter().map(|partition| {
            let error = call.partition_error(&topic.name, partition.index).unwrap_or(code::NONE);
            MetadataResponsePartition::default()
                .with_error_code(error)
                .with_partition_index(partition.index)
                .with_leader_id(self.node())
                .with_leader_epoch(LEADER_EPOCH)
                .with_replica_nodes(vec![self.node()])
                .with_isr_nodes(vec![self.node()])
        });
        MetadataResponseTopic::default()
            .with_name(Some(topic_name(&topic.name)))
            .with_topic_id(topic.id)
            .with_partitions(partitions.collect())
    }

    pub(crate) fn describe_cluster(
        &self,
        request: DescribeClusterRequest,
    ) -> DescribeClusterResponse {
        let broker = DescribeClusterBroker::default()
            .with_broker_id(self.node())
            .with_host(text(&self.host()))
            .with_port(i32::from(self.port));
        DescribeClusterResponse::default()
            .with_endpoint_type(request.endpoint_type)
            .with_cluster_id(text(&self.topics.borrow().cluster_id))
            .with_controller_id(self.node())
            .with_brokers(vec![broker])
            .with_cluster_authorized_operations(NO_OPERATIONS)
    }

    pub(crate) fn find_coordinator(
        &self,
        call: &Call,
        request: FindCoordinatorRequest,
    ) -> FindCoordinatorResponse {
        // 0 is groups, 1 transactions; there are no share groups.
        let known = (0..=1).contains(&request.key_type);
        let own = if known { code::NONE } else { code::INVALID_REQUEST };
        let error = call.error.unwrap_or(own);
        let (host, port) = (text(&self.host()), i32::from(self.port));
        if call.version < 4 {
            return FindCoordinatorResponse::default()
                .with_error_code(error)
                .with_node_id(self.node())
                .with_host(host)
                .with_port(port);
        }
        let coordinators = request.coordinator_keys.into_iter().map(|key| {
            Coordinator::default()
                .with_key(key)
                .with_error_code(error)
                .with_node_id(self.node())
                .with_host(host.clone())
                .with_port(port)
        });
        FindCoordinatorResponse::default().with_coordinators(coordinators.collect())
    }

    pub(crate) fn list_offsets(
        &self,
        call: &Call,
        request: ListOffsetsRequest,
    ) -> ListOffsetsResponse {
        let committed = request.isolation_level == 1;
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|asked| {
                let answer = ListOffsetsPartitionResponse::default()
                    .with_partition_index(asked.partition_index);
                match self.list_offset(call, &topic.name, asked, committed) {
                    Ok((timestamp, offset)) => {
                        answer.with_timestamp(timestamp).with_offset(offset).with_leader_epoch(
                            if offset < 0 || call.version < 4 { -1 } else { LEADER_EPOCH },
                        )
                    }
                    Err(error) => answer.with_error_code(error),
                }
            });
            ListOffsetsTopicResponse::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions.collect())
        });
        ListOffsetsResponse::default().with_topics(topics.collect())
    }

    /// Timestamp and offset, -1 for what is not known.
    fn list_offset(
        &self,
        call: &Call,
        topic: &str,
        asked: &ListOffsetsPartition,
        committed: bool,
    ) -> Result<(i64, i64), i16> {
        if let Some(error) = call.partition_error(topic, asked.partition_index) {
            return Err(error);
        }
        let partition = self.topics.borrow().partition(topic, asked.partition_index);
        let partition = partition.ok_or(code::UNKNOWN_TOPIC_OR_PARTITION)?;
        match check_leader_epoch(asked.current_leader_epoch) {
            code::NONE => {}
            error => return Err(error),
        }
        let log = partition.log.borrow();
        let end = if committed { log.stable_offset() } else { log.end_offset() };
        let found = match asked.timestamp {
            LATEST => return Ok((-1, end)),
            EARLIEST | EARLIEST_LOCAL => return Ok((-1, log.start_offset())),
            LATEST_TIERED => return Ok((-1, -1)),
            MAX_TIMESTAMP => log.max_time(),
            timestamp if timestamp >= 0 => log.find_time(timestamp),
            _ => return Err(code::UNSUPPORTED_VERSION),
        };
        let found = found.map_err(storage_error)?.filter(|found| found.offset < end);
        Ok(found.map_or((-1, -1), |found| (found.timestamp, found.offset)))
    }

    pub(crate) fn offset_for_leader_epoch(
        &self,
        call: &Call,
        request: OffsetForLeaderEpochRequest,
    ) -> OffsetForLeaderEpochResponse {
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|asked| {
                let found = self.topics.borrow().partition(&topic.topic, asked.partition);
                let answer = EpochEndOffset::default().with_partition(asked.partition);
                match (call.partition_error(&topic.topic, asked.partition), found) {
                    (Some(error), _) => answer.with_error_code(error),
                    (None, None) => answer.with_error_code(code::UNKNOWN_TOPIC_OR_PARTITION),
                    (None, Some(_)) if asked.leader_epoch > LEADER_EPOCH => answer,
                    (None, Some(partition)) => answer
                        .with_error_code(check_leader_epoch(asked.current_leader_epoch))
                        .with_leader_epoch(LEADER_EPOCH)
                        .with_end_offset(partition.log.borrow().end_offset()),
                }
            });
            OffsetForLeaderTopicResult::default()
                .with_topic(topic.topic.clone())
                .with_partitions(partitions.collect())
        });
        OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
    }
}
