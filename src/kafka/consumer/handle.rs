//! A consumer's other side: what goes on while its batches are lent out.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use millrace_net::rt::{spawn, timeout};

use super::{News, Shared, Told, resolver};
use crate::cluster::Cluster;
use crate::config::ConsumerConfig;
use crate::error::{ErrorKind, KafkaError};
use crate::group::{Group, GroupEvent};
use crate::partitions::{Position, TopicPartition};

/// Hears the group, answers it, and sees to positions; cheap to clone.
///
/// Whoever holds a batch for long calls [`Self::news`] and, when what it said is dealt with,
/// [`Self::done`], as polls do. `done` again and again also says that the consumer lives.
#[derive(Clone)]
pub struct Handle {
    cluster: Cluster,
    config: Rc<ConsumerConfig>,
    shared: Rc<Shared>,
}

impl Handle {
    pub(super) fn new(cluster: Cluster, config: Rc<ConsumerConfig>, shared: Rc<Shared>) -> Self {
        Self { cluster, config, shared }
    }

    fn group(&self) -> Option<Rc<Group>> {
        self.shared.group.borrow().clone()
    }

    /// The id that the group's coordinator gave; empty outside of a group.
    pub fn member_id(&self) -> String {
        self.group().map(|group| group.member_id()).unwrap_or_default()
    }

    /// What the group, or an error, has to say.
    pub fn news(&self) -> Result<Option<News>, KafkaError> {
        if let Some(error) = self.shared.partitions.borrow_mut().fatal.take() {
            return Err(error);
        }
        let Some(group) = self.group() else { return Ok(None) };
        let Some(event) = group.next_event()? else { return Ok(None) };
        let mut partitions = self.shared.partitions.borrow_mut();
        Ok(Some(match event {
            GroupEvent::Rebalancing(names) => {
                *self.shared.told.borrow_mut() = Some(Told::Rebalancing);
                News::Rebalancing(names)
            }
            GroupEvent::Revoking(names) => {
                *self.shared.told.borrow_mut() = Some(Told::Revoking(names.clone()));
                News::Revoking(names)
            }
            GroupEvent::Lost(names) => {
                names.iter().for_each(|name| partitions.remove(name));
                self.shared.suspended.set(false);
                News::Lost(names)
            }
            GroupEvent::Assigned(names) => {
                names.iter().for_each(|name| partitions.add(name, Position::Committed));
                self.shared.suspended.set(false);
                News::Assigned(names)
            }
        }))
    }

    /// What was told last is dealt with: lets the group go on.
    pub fn done(&self) {
        let Some(group) = self.group() else { return };
        group.polled();
        match self.shared.told.borrow_mut().take() {
            None => return,
            Some(Told::Rebalancing) => self.shared.suspended.set(true),
            Some(Told::Revoking(names)) => {
                let mut partitions = self.shared.partitions.borrow_mut();
                names.iter().for_each(|name| partitions.remove(name));
            }
        }
        group.answered();
    }

    /// All partitions are up for assignment: they are still here, and perhaps another's soon.
    pub fn is_suspended(&self) -> bool {
        self.shared.suspended.get()
    }

    /// Starts finding out what partitions need, unless that goes on already.
    pub(super) fn resolve(&self) {
        if !self.shared.resolving.get() && resolver::has_work(&self.shared) {
            self.shared.resolving.set(true);
            let (cluster, config) = (self.cluster.clone(), self.config.clone());
            let task = spawn(resolver::resolve(cluster, config, self.shared.clone()));
            *self.shared.resolver.borrow_mut() = Some(task);
        }
    }

    /// See [`super::Consumer::positions`].
    pub async fn positions(&self) -> Result<Vec<(TopicPartition, i64)>, KafkaError> {
        let deadline = Instant::now() + self.config.client.api_timeout;
        loop {
            if let Some(error) = self.shared.partitions.borrow_mut().fatal.take() {
                return Err(error);
            }
            if self.shared.partitions.borrow().undecided().is_empty() {
                break;
            }
            self.resolve();
            if Instant::now() >= deadline {
                let trouble = self.shared.trouble.borrow().clone();
                let late = || KafkaError::new(ErrorKind::Timeout, "positions are still unknown");
                return Err(trouble.unwrap_or_else(late));
            }
            let shared = self.shared.clone();
            let rung = poll_fn(move |cx| match shared.doorbell.poll_rung(cx) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            });
            let _ = timeout(Duration::from_millis(100), rung).await;
        }
        let partitions = self.shared.partitions.borrow();
        let known = partitions.iter().filter_map(|slot| match slot.position {
            Position::At(offset) => Some((slot.name.clone(), offset)),
            _ => None,
        });
        Ok(known.collect())
    }

    /// The partitions read now, sorted.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.shared.partitions.borrow().names()
    }

    /// Goes on reading at `offset`. False if the partition is not read here.
    pub fn seek(&self, name: &TopicPartition, offset: i64) -> bool {
        self.shared.partitions.borrow_mut().move_to(name, Position::At(offset.max(0)))
    }

    /// Stops lending batches of these.
    pub fn pause(&self, names: &[TopicPartition]) {
        let mut partitions = self.shared.partitions.borrow_mut();
        names.iter().for_each(|name| {
            partitions.set_paused(name, true);
        });
    }

    /// Commits the offsets of the next records to be read. See [`Group::commit`].
    pub async fn commit(&self, offsets: &[(TopicPartition, i64)]) -> Result<(), KafkaError> {
        let group = self.group().ok_or_else(|| KafkaError::config("commits need group.id"))?;
        group.commit(offsets).await
    }
}
