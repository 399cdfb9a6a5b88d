//! One member of a classic group, of whatever protocol type, without IO: requests out, codes in.
//!
//! What the members agree on (subscriptions of consumers, states of Connect workers) is bytes here.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    SyncGroupRequest,
};
use kafka_protocol::protocol::StrBytes;

use crate::error::{ErrorKind, KafkaError};

/// Why a step did not succeed, and what is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Join (again), as the one we are.
    Rejoin,
    /// The group forgot us: what we held is lost; join anew.
    Lost,
    /// Look the coordinator up again.
    Coordinator(KafkaError),
    /// The same again after a while.
    Retry(KafkaError),
    Fatal(KafkaError),
}

impl Failure {
    /// Of an error of a call, not of the group.
    pub fn of_call(error: KafkaError) -> Self {
        if error.is_retriable() { Self::Coordinator(error) } else { Self::Fatal(error) }
    }
}

/// See the module.
#[derive(Debug)]
pub struct ClassicMember {
    group: StrBytes,
    protocol_type: StrBytes,
    instance: Option<StrBytes>,
    session_timeout_ms: i32,
    rebalance_timeout_ms: i32,
    /// Empty before the coordinator named us.
    pub id: StrBytes,
    /// −1 outside of the group.
    pub generation: i32,
}

impl ClassicMember {
    /// `instance` is `group.instance.id`, of a static member.
    pub fn new(
        group: &str,
        protocol_type: &'static str,
        instance: Option<&str>,
        session_timeout: Duration,
        rebalance_timeout: Duration,
    ) -> Self {
        let millis = |duration: Duration| i32::try_from(duration.as_millis()).unwrap_or(i32::MAX);
        Self {
            group: StrBytes::from_string(group.to_owned()),
            protocol_type: StrBytes::from_static_str(protocol_type),
            instance: instance.map(|instance| StrBytes::from_string(instance.to_owned())),
            session_timeout_ms: millis(session_timeout),
            rebalance_timeout_ms: millis(rebalance_timeout),
            id: StrBytes::new(),
            generation: -1,
        }
    }

    pub fn is_static(&self) -> bool {
        self.instance.is_some()
    }

    /// Joins with these protocols, the best first. `reason` is for the broker's log.
    pub fn join_request(
        &self,
        protocols: Vec<(&'static str, Bytes)>,
        reason: Option<&str>,
    ) -> JoinGroupRequest {
        let protocols = protocols.into_iter().map(|(name, metadata)| {
            JoinGroupRequestProtocol::default()
                .with_name(StrBytes::from_static_str(name))
                .with_metadata(metadata)
        });
        JoinGroupRequest::default()
            .with_group_id(GroupId(self.group.clone()))
            .with_session_timeout_ms(self.session_timeout_ms)
            .with_rebalance_timeout_ms(self.rebalance_timeout_ms)
            .with_member_id(self.id.clone())
            .with_group_instance_id(self.instance.clone())
            .with_protocol_type(self.protocol_type.clone())
            .with_protocols(protocols.collect())
            .with_reason(reason.map(shortened))
    }

    /// Takes the answer to a join; the name of the protocol that the group chose.
    pub fn on_join(&mut self, response: &JoinGroupResponse) -> Result<StrBytes, Failure> {
        if response.error_code == 79 {
            self.id = response.member_id.clone();
            return Err(Failure::Rejoin);
        }
        self.check(response.error_code, "JoinGroup")?;
        self.id = response.member_id.clone();
        self.generation = response.generation_id;
        Ok(response.protocol_name.clone().unwrap_or_default())
    }

    /// `assignments` by member id are the leader's.
    pub fn sync_request(
        &self,
        protocol: StrBytes,
        assignments: impl IntoIterator<Item = (String, Bytes)>,
    ) -> SyncGroupRequest {
        let assignments = assignments.into_iter().map(|(id, bytes)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(StrBytes::from_string(id))
                .with_assignment(bytes)
        });
        SyncGroupRequest::default()
            .with_group_id(GroupId(self.group.clone()))
            .with_generation_id(self.generation)
            .with_member_id(self.id.clone())
            .with_group_instance_id(self.instance.clone())
            .with_protocol_type(Some(self.protocol_type.clone()))
            .with_protocol_name(Some(protocol))
            .with_assignments(assignments.collect())
    }

    pub fn heartbeat_request(&self) -> HeartbeatRequest {
        HeartbeatRequest::default()
            .with_group_id(GroupId(self.group.clone()))
            .with_generation_id(self.generation)
            .with_member_id(self.id.clone())
            .with_group_instance_id(self.instance.clone())
    }

    /// The request to leave; `None` if we are not in the group, or static: those stay until their
    /// session times out, so that a restart causes no rebalance.
    pub fn leave_request(&self, version: i16, reason: Option<&str>) -> Option<LeaveGroupRequest> {
        if self.id.is_empty() || self.is_static() {
            return None;
        }
        let request = LeaveGroupRequest::default().with_group_id(GroupId(self.group.clone()));
        Some(if version < 3 {
            request.with_member_id(self.id.clone())
        } else {
            let member = MemberIdentity::default()
                .with_member_id(self.id.clone())
                .with_reason(reason.map(shortened));
            request.with_members(vec![member])
        })
    }

    /// Out of the group: the next join is a newcomer's.
    pub fn left(&mut self) {
        self.id = StrBytes::new();
        self.generation = -1;
    }

    /// What a code in any of the group's responses asks for.
    pub fn check(&mut self, code: i16, api: &'static str) -> Result<(), Failure> {
        let error = KafkaError::from_code(code, api, format!("group '{}'", self.group));
        match (code, error.kind) {
            (0, _) => Ok(()),
            (22, _) => Err(Failure::Lost),
            (25, _) => {
                self.id = StrBytes::new();
                Err(Failure::Lost)
            }
            (27, _) => Err(Failure::Rejoin),
            (_, ErrorKind::Coordinator) => Err(Failure::Coordinator(error)),
            _ if error.is_retriable() => Err(Failure::Retry(error)),
            _ => Err(Failure::Fatal(error)),
        }
    }
}

/// Brokers take reasons of 255 characters.
fn shortened(reason: &str) -> StrBytes {
    StrBytes::from_string(reason.chars().take(255).collect())
}
