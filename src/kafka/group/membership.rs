//! The life of one member of a classic consumer group, without IO: requests out, responses in.
//!
//! ```text
//!            before_join: eager members stop their work, cooperative ones go on
//!   ┌──────▶ join_request ─▶ on_join ─▶ sync request (the leader's holds the assignment)
//!   │                                        │
//!   │   on_sync: what is gone, what is new ◀─┘
//!   │        │ something to revoke: after that, again
//!   └────────┤
//!            ▼
//!        heartbeats, until one says that the group rebalances
//! ```

use std::collections::BTreeMap;
use std::rc::Rc;

use kafka_protocol::messages::{
    JoinGroupRequest, JoinGroupResponse, SyncGroupRequest, SyncGroupResponse,
};

use super::assignor::{Member, assign};
use super::classic::{ClassicMember, Failure};
use super::sticky_data;
use super::subscription::{MemberMetadata, decode_assignment, encode_assignment};
use crate::config::{AssignmentStrategy, ConsumerConfig};
use crate::error::KafkaError;
use crate::partitions::TopicPartition;

const PROTOCOL_TYPE: &str = "consumer";

/// What an assignment changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// To be given up, before a further round.
    pub revoked: Vec<TopicPartition>,
    /// To be read from now on.
    pub added: Vec<TopicPartition>,
}

/// See the module.
#[derive(Debug)]
pub struct Membership {
    pub member: ClassicMember,
    rack: Option<String>,
    strategies: Vec<AssignmentStrategy>,
    pub owned: Vec<TopicPartition>,
    /// The generation that gave it.
    owned_generation: i32,
    protocol: Option<AssignmentStrategy>,
    /// What this member, as the leader, based its assignment on.
    led: Option<BTreeMap<Rc<str>, usize>>,
}

impl Membership {
    pub fn new(config: &ConsumerConfig) -> Self {
        let member = ClassicMember::new(
            &config.group_id,
            PROTOCOL_TYPE,
            config.group_instance_id.as_deref(),
            config.session_timeout,
            config.max_poll_interval,
        );
        Self {
            member,
            rack: Some(config.client_rack.clone()).filter(|rack| !rack.is_empty()),
            strategies: config.partition_assignment_strategy.clone(),
            owned: Vec::new(),
            owned_generation: -1,
            protocol: None,
            led: None,
        }
    }

    /// All strategies let members keep what they hold: one eager strategy makes all of it eager, as
    /// the members could otherwise not agree.
    pub fn is_cooperative(&self) -> bool {
        self.strategies.iter().all(|strategy| strategy.is_cooperative())
    }

    /// The topics' partition counts that the assignment was based on, if this member made it.
    pub fn led(&self) -> Option<&BTreeMap<Rc<str>, usize>> {
        self.led.as_ref()
    }

    /// What a cooperative member must give up before the group is joined (again) for `topics`.
    /// Eager members hear from the assignment what they have to give up.
    pub fn before_join(&self, topics: &[Rc<str>]) -> Vec<TopicPartition> {
        let cooperative = self.is_cooperative();
        let gone = |name: &&TopicPartition| cooperative && !topics.contains(&name.topic);
        self.owned.iter().filter(gone).cloned().collect()
    }

    /// `names` were given up.
    pub fn give_up(&mut self, names: &[TopicPartition]) {
        self.owned.retain(|name| !names.contains(name));
    }

    /// Out of the group: what was held, now lost.
    pub fn lose(&mut self) -> Vec<TopicPartition> {
        self.member.generation = -1;
        self.led = None;
        std::mem::take(&mut self.owned)
    }

    pub fn join_request(&self, topics: &[Rc<str>]) -> Result<JoinGroupRequest, KafkaError> {
        let mut protocols = Vec::new();
        for strategy in &self.strategies {
            let user_data = match strategy {
                AssignmentStrategy::CooperativeSticky => {
                    Some(sticky_data::encode_cooperative(self.member.generation))
                }
                AssignmentStrategy::Sticky => {
                    Some(sticky_data::encode_eager(&self.owned, self.owned_generation))
                }
                AssignmentStrategy::Range | AssignmentStrategy::RoundRobin => None,
            };
            let metadata = MemberMetadata {
                topics: topics.to_vec(),
                // An eager member owns nothing while it joins: what moves moves at once.
                owned: if self.is_cooperative() { self.owned.clone() } else { Vec::new() },
                generation: self.member.generation,
                rack: self.rack.clone(),
                user_data,
            };
            protocols.push((strategy.name(), metadata.encode()?));
        }
        Ok(self.member.join_request(protocols, None))
    }

    /// The members that `response` makes us lead, decoded; `None` if another leads.
    pub fn members(&self, response: &JoinGroupResponse) -> Result<Option<Vec<Member>>, Failure> {
        if response.leader != response.member_id || response.error_code != 0 {
            return Ok(None);
        }
        let mut members = Vec::new();
        for member in &response.members {
            members.push(Member {
                id: member.member_id.to_string(),
                instance: member.group_instance_id.as_ref().map(ToString::to_string),
                metadata: MemberMetadata::decode(member.metadata.clone())
                    .map_err(Failure::Fatal)?,
            });
        }
        Ok(Some(members))
    }

    /// Takes the answer to a join; `members` are [`Self::members`], `counts` the partitions of the
    /// topics that any of them wants.
    pub fn on_join(
        &mut self,
        response: &JoinGroupResponse,
        members: Option<Vec<Member>>,
        counts: &BTreeMap<Rc<str>, usize>,
    ) -> Result<SyncGroupRequest, Failure> {
        let name = self.member.on_join(response)?;
        let protocol = self.strategies.iter().copied().find(|one| one.name() == name.as_str());
        let Some(protocol) = protocol else {
            let why = format!("the group chose the strategy '{name}', which is not ours");
            return Err(Failure::Fatal(KafkaError::corrupt(why).with_api("JoinGroup")));
        };
        self.protocol = Some(protocol);
        self.led = None;
        let mut assignments = Vec::new();
        if let Some(members) = members {
            // When a static leader restarts the assignment stays, and so does its duty to see when
            // topics change.
            let made = (!response.skip_assignment).then(|| assign(protocol, &members, counts));
            for (id, partitions) in made.into_iter().flatten() {
                let bytes = encode_assignment(&partitions).map_err(Failure::Fatal)?;
                assignments.push((id, bytes));
            }
            self.led = Some(counts.clone());
        }
        Ok(self.member.sync_request(name, assignments))
    }

    /// Takes the assignment. What is new is owned from here on; what is revoked stays owned by a
    /// cooperative member until [`Self::give_up`], and is another's already of an eager one.
    ///
    /// An eager member keeps what two generations in a row give it. Had it missed one, another may
    /// have had its partitions meanwhile: all of them are lost then, and come anew.
    pub fn on_sync(&mut self, response: &SyncGroupResponse) -> Result<Change, Failure> {
        self.member.check(response.error_code, "SyncGroup")?;
        let assigned = decode_assignment(response.assignment.clone()).map_err(Failure::Fatal)?;
        let missing = |names: &[TopicPartition], from: &[TopicPartition]| {
            names.iter().filter(|name| !from.contains(name)).cloned().collect::<Vec<_>>()
        };
        let eager = !self.is_cooperative();
        let missed = eager && self.member.generation > self.owned_generation.saturating_add(1);
        let kept: &[TopicPartition] = if missed { &[] } else { &assigned };
        let revoked = missing(&self.owned, kept);
        let added = if missed { assigned.clone() } else { missing(&assigned, &self.owned) };
        if eager {
            self.owned = assigned;
        } else {
            self.owned.extend(added.iter().cloned());
        }
        self.owned_generation = self.member.generation;
        Ok(Change { revoked, added })
    }
}
