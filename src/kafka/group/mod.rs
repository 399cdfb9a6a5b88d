//! Membership in a classic consumer group, and its committed offsets.
//!
//! The [`membership`] decides, the [`coordinator`] talks, and a task of its own (in the urgent
//! queue, so that a busy sink does not starve its heartbeats) drives the two. What it has to tell
//! waits for the consumer's next poll; before anything is given up it waits for the poll after that.
//!
//! An eager member offers all that it holds before it joins, but gives up only what the assignment
//! then takes: nobody else can have had a partition that the very next generation leaves with us.

pub mod assignor;
pub mod classic;
pub mod coordinator;
mod driver;
pub mod member;
pub mod membership;
pub mod sticky_data;
pub mod subscription;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

use kafka_protocol::protocol::StrBytes;
use millrace_net::rt::{Task, spawn_urgent};

pub use coordinator::OffsetAndMetadata;
use coordinator::{Committer, Coordinator};
use membership::Membership;
pub use subscription::Subscription;

use crate::cluster::{Cluster, Purpose};
use crate::config::{ConsumerConfig, IsolationLevel};
use crate::error::KafkaError;
use crate::local::{Bell, Doorbell};
use crate::partitions::TopicPartition;

/// What the group has to tell the consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupEvent {
    /// All that is held, offered; [`Group::answered`] says that it is not worked on.
    Rebalancing(Vec<TopicPartition>),
    /// To be given up; [`Group::answered`] says that it was.
    Revoking(Vec<TopicPartition>),
    Lost(Vec<TopicPartition>),
    Assigned(Vec<TopicPartition>),
}

/// A consumer's group: membership, commits. Cheap to share among the tasks of its core.
pub struct Group {
    inner: Rc<Inner>,
    /// Drives the membership; `None` without one.
    driver: RefCell<Option<Task<()>>>,
    is_member: bool,
}

struct Inner {
    cluster: Cluster,
    config: Rc<ConsumerConfig>,
    subscription: Subscription,
    coordinator: Coordinator,
    membership: RefCell<Membership>,
    events: RefCell<VecDeque<GroupEvent>>,
    /// Rung for the consumer.
    doorbell: Rc<Doorbell>,
    /// Rung for the driver: a revocation is done, the consumer polls again.
    bell: Bell,
    /// Something was told that the consumer has not answered yet.
    asking: Cell<bool>,
    /// What is held was offered since the last assignment.
    offered: Cell<bool>,
    last_poll: Cell<Instant>,
    trouble: RefCell<Option<KafkaError>>,
    fatal: RefCell<Option<KafkaError>>,
}

impl Group {
    fn new(
        cluster: Cluster,
        config: Rc<ConsumerConfig>,
        subscription: Subscription,
        doorbell: Rc<Doorbell>,
        is_member: bool,
    ) -> Self {
        let inner = Inner {
            coordinator: Coordinator::new(cluster.clone(), &config.group_id),
            membership: RefCell::new(Membership::new(&config)),
            cluster,
            config,
            subscription,
            events: RefCell::default(),
            doorbell,
            bell: Bell::default(),
            asking: Cell::new(false),
            offered: Cell::new(false),
            last_poll: Cell::new(Instant::now()),
            trouble: RefCell::default(),
            fatal: RefCell::default(),
        };
        Self { inner: Rc::new(inner), driver: RefCell::new(None), is_member }
    }

    /// Joins, and stays a member until [`Self::close`] or until dropped. `earlier` is the id of a
    /// member that ended without leaving: this one is that one, and the group need not wait for a
    /// session to end. Static members are known by their instance anyway.
    pub(crate) fn start(
        cluster: Cluster,
        config: Rc<ConsumerConfig>,
        subscription: Subscription,
        doorbell: Rc<Doorbell>,
        earlier: Option<String>,
    ) -> Rc<Self> {
        let group = Self::new(cluster, config, subscription, doorbell, true);
        if let Some(earlier) = earlier {
            let member = &mut group.inner.membership.borrow_mut().member;
            if !member.is_static() {
                member.id = StrBytes::from_string(earlier);
            }
        }
        let task = spawn_urgent(driver::drive(group.inner.clone()));
        *group.driver.borrow_mut() = Some(task);
        Rc::new(group)
    }

    /// For commits alone, by those who assign partitions themselves.
    pub fn without_membership(cluster: Cluster, config: Rc<ConsumerConfig>) -> Rc<Self> {
        let subscription = Subscription::Topics(Vec::new());
        Rc::new(Self::new(cluster, config, subscription, Rc::default(), false))
    }

    pub fn is_member(&self) -> bool {
        self.is_member
    }

    /// The id that the coordinator gave; empty outside of the group.
    pub fn member_id(&self) -> String {
        self.inner.membership.borrow().member.id.to_string()
    }

    /// −1 outside of the group.
    pub fn generation(&self) -> i32 {
        self.inner.membership.borrow().member.generation
    }

    /// The consumer is alive: to be told within `max.poll.interval.ms`.
    pub(crate) fn polled(&self) {
        let idle = self.inner.last_poll.replace(Instant::now());
        if idle.elapsed() > self.inner.config.max_poll_interval {
            self.inner.bell.ring();
        }
    }

    /// The consumer gave up what it was told to, or works on nothing that is offered.
    pub(crate) fn answered(&self) {
        self.inner.asking.set(false);
        self.inner.bell.ring();
    }

    pub(crate) fn next_event(&self) -> Result<Option<GroupEvent>, KafkaError> {
        if let Some(error) = &*self.inner.fatal.borrow() {
            return Err(error.clone());
        }
        Ok(self.inner.events.borrow_mut().pop_front())
    }

    /// Why the group can't be joined or reached just now, while it is retried.
    pub fn trouble(&self) -> Option<KafkaError> {
        self.inner.trouble.borrow().clone()
    }

    pub fn is_troubled(&self) -> bool {
        self.inner.trouble.borrow().is_some()
    }

    /// Commits the offsets of the next records to be read, as the member we are now: a kind of
    /// `Rejoin` says that the partitions may be another's by now. Goes on beside polls; passing
    /// trouble is retried within `default.api.timeout.ms`.
    pub async fn commit(&self, offsets: &[(TopicPartition, i64)]) -> Result<(), KafkaError> {
        if offsets.is_empty() {
            return Ok(());
        }
        let instance = self.inner.config.group_instance_id.clone();
        let who = {
            let membership = &self.inner.membership.borrow().member;
            if self.is_member && membership.generation < 0 {
                let why = "the group was left, or lost us: its partitions are another's by now";
                return Err(KafkaError::from_code(25, "OffsetCommit", why));
            }
            Committer {
                member_id: membership.id.clone(),
                generation: membership.generation,
                instance: instance.filter(|_| self.is_member).map(StrBytes::from_string),
            }
        };
        self.inner.coordinator.commit(&who, offsets).await
    }

    /// What the group has committed; partitions without a committed offset are left out.
    pub async fn committed(
        &self,
        names: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, OffsetAndMetadata)>, KafkaError> {
        let stable = self.inner.config.isolation_level == IsolationLevel::ReadCommitted;
        self.inner.coordinator.committed(Some(names), stable).await
    }

    /// Leaves the group, unless static, and ends the heartbeats.
    pub(crate) async fn close(&self) {
        let driver = self.driver.borrow_mut().take();
        if let Some(driver) = driver {
            driver.cancel().await;
            self.inner.leave().await;
        }
    }
}

impl Inner {
    /// Tells the coordinator; whether it hears is not waited for long, as the session times out in
    /// any case.
    async fn leave(&self) {
        let request = |version| self.membership.borrow().member.leave_request(version, None);
        member::leave(&self.coordinator, Purpose::Coordinator, request).await;
        self.membership.borrow_mut().member.id = StrBytes::new();
    }

    /// Whoever waits in a poll hears of its coming and going.
    fn set_trouble(&self, trouble: Option<KafkaError>) {
        let changed = self.trouble.borrow().is_some() != trouble.is_some();
        *self.trouble.borrow_mut() = trouble;
        if changed {
            self.doorbell.ring();
        }
    }

    fn tell(&self, event: GroupEvent) {
        self.events.borrow_mut().push_back(event);
        self.doorbell.ring();
    }
}
