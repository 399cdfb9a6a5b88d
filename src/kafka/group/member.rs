//! Membership in a classic group for those who are no consumers: Connect's workers. The caller
//! decides when to join and what the members' bytes say; this talks with the coordinator.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::{ApiKey, LeaveGroupRequest};
use kafka_protocol::protocol::Request;
use millrace_net::rt::timeout;

use super::classic::{ClassicMember, Failure};
use super::coordinator::Coordinator;
use crate::cluster::{Cluster, Purpose};
use crate::error::KafkaError;

/// Time that the coordinator gets beyond what a join may take by its own rules.
pub(super) const JOIN_GRACE: Duration = Duration::from_secs(5);
/// Longest wait for the answer to LeaveGroup.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a member is in its group's eyes.
#[derive(Clone, Debug)]
pub struct GroupMemberConfig {
    pub group_id: String,
    /// As `connect`: all members of a group have the same.
    pub protocol_type: &'static str,
    pub session_timeout: Duration,
    pub rebalance_timeout: Duration,
}

/// The answer to a join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The protocol that all members offered.
    pub protocol: String,
    pub generation: i32,
    pub member_id: String,
    pub leader: String,
    /// The members' ids and bytes if this one leads.
    pub members: Option<Vec<(String, Vec<u8>)>>,
}

/// See the module.
pub struct GroupMember {
    cluster: Cluster,
    coordinator: Coordinator,
    config: GroupMemberConfig,
    member: RefCell<ClassicMember>,
    /// A join was sent and not answered: its connection is blocked.
    joining: Cell<bool>,
}

impl GroupMember {
    pub fn new(cluster: Cluster, config: GroupMemberConfig) -> Self {
        let member = ClassicMember::new(
            &config.group_id,
            config.protocol_type,
            None,
            config.session_timeout,
            config.rebalance_timeout,
        );
        Self {
            coordinator: Coordinator::new(cluster.clone(), &config.group_id),
            cluster,
            config,
            member: RefCell::new(member),
            joining: Cell::new(false),
        }
    }

    /// Empty outside of the group.
    pub fn id(&self) -> String {
        self.member.borrow().id.to_string()
    }

    /// −1 outside of the group.
    pub fn generation(&self) -> i32 {
        self.member.borrow().generation
    }

    /// Finds the coordinator, unless it is known; it need not be reachable.
    pub async fn look_up(&self) -> Result<(), KafkaError> {
        Box::pin(self.coordinator.look_up()).await
    }

    /// The next call looks the coordinator up again.
    pub fn forget_coordinator(&self) {
        self.coordinator.forget();
    }

    /// Joins with these protocols' bytes, the best first; answered when all members have joined.
    pub async fn join(
        &self,
        protocols: Vec<(&'static str, Vec<u8>)>,
        reason: &str,
    ) -> Result<Joined, Failure> {
        let protocols = protocols.into_iter().map(|(name, bytes)| (name, Bytes::from(bytes)));
        let request = self.member.borrow().join_request(protocols.collect(), Some(reason));
        self.joining.set(true);
        let limit = self.join_limit();
        let answer = self.call(&request, limit).await;
        self.joining.set(false);
        let answer = answer.map_err(Failure::of_call)?;
        let protocol = self.member.borrow_mut().on_join(&answer)?.to_string();
        let member_id = answer.member_id.to_string();
        let members = answer.members.into_iter();
        let members = members.map(|one| (one.member_id.to_string(), one.metadata.to_vec()));
        Ok(Joined {
            protocol,
            generation: answer.generation_id,
            members: (answer.leader.as_str() == member_id).then(|| members.collect()),
            member_id,
            leader: answer.leader.to_string(),
        })
    }

    /// Hands the leader's assignments over, others none; this member's comes back.
    pub async fn sync(
        &self,
        protocol: &str,
        assignments: Vec<(String, Vec<u8>)>,
    ) -> Result<Vec<u8>, Failure> {
        let assignments = assignments.into_iter().map(|(id, bytes)| (id, Bytes::from(bytes)));
        let request = self.member.borrow().sync_request(protocol.to_owned().into(), assignments);
        let limit = self.join_limit();
        let answer = self.call(&request, limit).await;
        let answer = answer.map_err(Failure::of_call)?;
        self.member.borrow_mut().check(answer.error_code, "SyncGroup")?;
        Ok(answer.assignment.to_vec())
    }

    /// Says that this member lives. `Lost` if the group has gone on without it: it has no
    /// generation any more then.
    pub async fn heartbeat(&self) -> Result<(), Failure> {
        let request = self.member.borrow().heartbeat_request();
        let limit = self.cluster.config().request_timeout.min(self.config.session_timeout);
        let answer = self.call(&request, limit).await;
        let code = answer.map_err(Failure::of_call)?.error_code;
        self.member.borrow_mut().check(code, "Heartbeat")
    }

    /// No generation any more: the next join is a new round's.
    pub fn lose_generation(&self) {
        self.member.borrow_mut().generation = -1;
    }

    /// Leaves the group, within seconds; whether the coordinator hears is not waited for longer, as
    /// the session times out in any case.
    pub async fn leave(&self, reason: &str) {
        // A broker answers nothing behind a join that waits for other members.
        let purpose = match self.joining.take() {
            true => Purpose::General,
            false => Purpose::Coordinator,
        };
        let request = |version| self.member.borrow().leave_request(version, Some(reason));
        Box::pin(leave(&self.coordinator, purpose, request)).await;
        self.member.borrow_mut().left();
    }

    /// On the heap: a call's future holds the connecting and the TLS handshake, and would be in
    /// every future that awaits it.
    async fn call<R: Request>(
        &self,
        request: &R,
        limit: Duration,
    ) -> Result<R::Response, KafkaError> {
        Box::pin(self.coordinator.call(Purpose::Coordinator, request, limit)).await
    }

    fn join_limit(&self) -> Duration {
        let limit = self.config.rebalance_timeout.saturating_add(JOIN_GRACE);
        limit.max(self.cluster.config().request_timeout)
    }
}

/// Tells the coordinator that a member leaves, if `request` makes something of the version.
pub(super) async fn leave(
    coordinator: &Coordinator,
    purpose: Purpose,
    request: impl FnOnce(i16) -> Option<LeaveGroupRequest>,
) {
    let told = async {
        let connection = coordinator.connection(purpose).await?;
        match request(connection.version(ApiKey::LeaveGroup)?) {
            Some(request) => connection.call(&request, LEAVE_TIMEOUT).await.map(drop),
            None => Ok(()),
        }
    };
    match timeout(LEAVE_TIMEOUT, told).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::debug!(%error, "could not tell the coordinator that we leave");
        }
        Err(_) => tracing::debug!("the coordinator did not hear in time that we leave"),
    }
}
