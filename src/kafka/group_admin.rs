//! A group from outside: described; its committed offsets listed, altered, deleted; the group deleted.
//!
//! As the admin client of the JVM: a missing topic or partition is an error at once, trouble of the
//! coordinator is waited for within `default.api.timeout.ms`.

use std::collections::BTreeMap;

use kafka_protocol::messages::describe_groups_response::DescribedGroupMember;
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, GroupId, OffsetDeleteRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use crate::cluster::{Cluster, Purpose};
use crate::error::{ErrorKind, KafkaError};
use crate::group::coordinator::{Committer, Coordinator};
use crate::partitions::TopicPartition;

/// A group as its coordinator describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupDescription {
    /// As `Stable`; `Dead` or `Empty` without members.
    pub state: String,
    /// As `consumer` or `connect`; empty of a group that is not there.
    pub protocol_type: String,
    /// What the members agreed on, as `sessioned`.
    pub protocol: String,
    pub members: Vec<MemberDescription>,
}

/// One member, with the bytes that mean something to the group's own kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberDescription {
    pub id: String,
    pub client_id: String,
    /// As `/10.0.0.7`.
    pub host: String,
    /// What it joined with.
    pub metadata: Vec<u8>,
    /// What the leader gave it.
    pub assignment: Vec<u8>,
}

impl From<&DescribedGroupMember> for MemberDescription {
    fn from(member: &DescribedGroupMember) -> Self {
        Self {
            id: member.member_id.to_string(),
            client_id: member.client_id.to_string(),
            host: member.client_host.to_string(),
            metadata: member.member_metadata.to_vec(),
            assignment: member.member_assignment.to_vec(),
        }
    }
}

/// One group, seen by who is not a member.
pub struct GroupAdmin {
    cluster: Cluster,
    coordinator: Coordinator,
    group: GroupId,
}

/// What passes by itself: not a topic that is not there.
fn passes(error: &KafkaError) -> bool {
    error.is_retriable() && error.kind != ErrorKind::Stale
}

impl GroupAdmin {
    pub fn new(cluster: Cluster, group: &str) -> Self {
        let coordinator = Coordinator::new(cluster.clone(), group);
        Self { cluster, coordinator, group: GroupId(StrBytes::from_string(group.to_owned())) }
    }

    /// The group and its members; one that is not there has none.
    pub async fn describe(&self) -> Result<GroupDescription, KafkaError> {
        const NOT_THERE: i16 = 69;
        let request = DescribeGroupsRequest::default().with_groups(vec![self.group.clone()]);
        let once = async || {
            let limit = self.cluster.config().request_timeout;
            let response = self.coordinator.call(Purpose::General, &request, limit).await?;
            let group = response.groups.first().ok_or_else(|| {
                KafkaError::corrupt("the answer leaves the group out").with_api("DescribeGroups")
            })?;
            if group.error_code != NOT_THERE {
                KafkaError::check(group.error_code, "DescribeGroups", self.group.as_str())?;
            }
            Ok(GroupDescription {
                state: group.group_state.to_string(),
                protocol_type: group.protocol_type.to_string(),
                protocol: group.protocol_data.to_string(),
                members: group.members.iter().map(MemberDescription::from).collect(),
            })
        };
        self.coordinator.patiently(once, passes).await
    }

    /// Everything that the group has committed, by partition; nothing of a group that is not there.
    pub async fn offsets(&self) -> Result<Vec<(TopicPartition, i64)>, KafkaError> {
        let found = self.coordinator.committed(None, false).await?;
        let mut offsets: Vec<_> = found.into_iter().map(|(name, at)| (name, at.offset)).collect();
        offsets.sort();
        Ok(offsets)
    }

    /// Commits for a group without members; a group that is not there is made. With members it fails
    /// with UNKNOWN_MEMBER_ID (25). Partitions that are there are altered also when another is not.
    pub async fn alter(&self, offsets: &[(TopicPartition, i64)]) -> Result<(), KafkaError> {
        let nobody = Committer { member_id: StrBytes::new(), generation: -1, instance: None };
        self.coordinator.commit_while(&nobody, offsets, passes).await
    }

    /// Forgets what was committed for these. Fails with GROUP_SUBSCRIBED_TO_TOPIC (86) while members
    /// read the topic, with GROUP_ID_NOT_FOUND (69) for a group that is not there.
    pub async fn forget(&self, names: &[TopicPartition]) -> Result<(), KafkaError> {
        let mut topics: BTreeMap<&str, Vec<OffsetDeleteRequestPartition>> = BTreeMap::new();
        for name in names {
            let partition =
                OffsetDeleteRequestPartition::default().with_partition_index(name.partition);
            topics.entry(&name.topic).or_default().push(partition);
        }
        let topics = topics.into_iter().map(|(topic, partitions)| {
            OffsetDeleteRequestTopic::default()
                .with_name(TopicName(StrBytes::from_string(topic.to_owned())))
                .with_partitions(partitions)
        });
        let request = OffsetDeleteRequest::default()
            .with_group_id(self.group.clone())
            .with_topics(topics.collect());
        let once = async || {
            let limit = self.cluster.config().request_timeout;
            let response = self.coordinator.call(Purpose::General, &request, limit).await?;
            KafkaError::check(response.error_code, "OffsetDelete", self.group.as_str())?;
            for topic in &response.topics {
                for partition in &topic.partitions {
                    let context = format!("{}-{}", topic.name.as_str(), partition.partition_index);
                    KafkaError::check(partition.error_code, "OffsetDelete", &context)?;
                }
            }
            Ok(())
        };
        self.coordinator.patiently(once, passes).await
    }

    /// Deletes the group with all that it committed. Fails with NON_EMPTY_GROUP (68) while it has
    /// members, with GROUP_ID_NOT_FOUND (69) when it is not there.
    pub async fn delete(&self) -> Result<(), KafkaError> {
        let request = DeleteGroupsRequest::default().with_groups_names(vec![self.group.clone()]);
        let once = async || {
            let limit = self.cluster.config().request_timeout;
            let response = self.coordinator.call(Purpose::General, &request, limit).await?;
            let result = response.results.first().ok_or_else(|| {
                KafkaError::corrupt("the answer leaves the group out").with_api("DeleteGroups")
            })?;
            KafkaError::check(result.error_code, "DeleteGroups", self.group.as_str())
        };
        self.coordinator.patiently(once, passes).await
    }
}
