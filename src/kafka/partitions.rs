//! The partitions that a consumer reads: where each stands, and what it waits for. No IO.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::rc::Rc;
use std::time::Instant;

use crate::config::OffsetReset;
use crate::error::KafkaError;
use crate::metadata::Metadata;
use crate::record_batch::AbortedTransactions;

/// A partition by name; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    pub topic: Rc<str>,
    pub partition: i32,
}

impl TopicPartition {
    pub fn new(topic: impl Into<Rc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// A partition in the table, as it was assigned, sought or moved last: what was fetched for an
/// older incarnation is thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PartitionId {
    pub slot: u32,
    pub incarnation: u64,
}

/// Where reading goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Where the group left off: the coordinator is to be asked.
    Committed,
    /// At an end of the log: its leader is to be asked.
    Reset(OffsetReset),
    /// At this offset, the next to be handed out.
    At(i64),
}

/// One partition being read.
#[derive(Debug)]
pub struct Slot {
    pub name: TopicPartition,
    pub incarnation: u64,
    pub position: Position,
    /// The next offset to ask for: ahead of the position by what is queued.
    pub fetch_offset: i64,
    pub paused: bool,
    /// The node that is fetched from; −1 before the first fetch.
    pub node: i32,
    /// A follower that the leader sent us to (KIP-392), and until when.
    pub preferred: Option<(i32, Instant)>,
    /// Not to be fetched before, after an error.
    pub blocked_until: Option<Instant>,
    /// −1 until known.
    pub high_watermark: i64,
    pub last_stable_offset: i64,
    pub log_start_offset: i64,
    pub aborted: AbortedTransactions,
}

impl Slot {
    /// What was queued or asked for is of no use any more: goes on from the position.
    fn restart(&mut self, incarnation: u64) {
        self.incarnation = incarnation;
        if let Position::At(offset) = self.position {
            self.fetch_offset = offset;
        }
    }
}

/// All partitions of one consumer.
#[derive(Debug, Default)]
pub struct Partitions {
    slots: Vec<Option<Slot>>,
    names: HashMap<Rc<str>, BTreeMap<i32, u32>>,
    incarnations: u64,
    /// A leader is unknown or was wrong: the metadata are to be refreshed.
    pub refresh_wanted: bool,
    /// Changes with the set, positions or pauses: fetchers plan anew when it does.
    pub changes: u64,
    /// An error that ends the consumer's reading, for the next poll.
    pub fatal: Option<KafkaError>,
}

impl Partitions {
    fn next_incarnation(&mut self) -> u64 {
        self.incarnations += 1;
        self.changes += 1;
        self.incarnations
    }

    /// Takes a partition in; one that is there already only moves to `position`.
    pub fn add(&mut self, name: &TopicPartition, position: Position) {
        if self.find(&name.topic, name.partition).is_some() {
            self.move_to(name, position);
            return;
        }
        let incarnation = self.next_incarnation();
        let slot = Slot {
            name: name.clone(),
            incarnation,
            position,
            fetch_offset: if let Position::At(offset) = position { offset } else { -1 },
            paused: false,
            node: -1,
            preferred: None,
            blocked_until: None,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            aborted: AbortedTransactions::default(),
        };
        let free = self.slots.iter().position(Option::is_none);
        let index = free.unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[index] = Some(slot);
        self.names.entry(name.topic.clone()).or_default().insert(name.partition, index as u32);
    }

    pub fn remove(&mut self, name: &TopicPartition) {
        let Some(partitions) = self.names.get_mut(&name.topic) else { return };
        if let Some(index) = partitions.remove(&name.partition) {
            self.slots[index as usize] = None;
            self.changes += 1;
        }
        if self.names.get(&name.topic).is_some_and(BTreeMap::is_empty) {
            self.names.remove(&name.topic);
        }
    }

    pub fn clear(&mut self) {
        self.slots.clear();
        self.names.clear();
        self.changes += 1;
    }

    pub fn find(&self, topic: &str, partition: i32) -> Option<PartitionId> {
        let slot = *self.names.get(topic)?.get(&partition)?;
        let incarnation = self.slots[slot as usize].as_ref()?.incarnation;
        Some(PartitionId { slot, incarnation })
    }

    /// The slot, if it is still the same incarnation.
    #[inline]
    pub fn get_mut(&mut self, id: PartitionId) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(id.slot as usize)?.as_mut()?;
        (slot.incarnation == id.incarnation).then_some(slot)
    }

    pub fn get(&self, id: PartitionId) -> Option<&Slot> {
        let slot = self.slots.get(id.slot as usize)?.as_ref()?;
        (slot.incarnation == id.incarnation).then_some(slot)
    }

    pub fn slot(&self, name: &TopicPartition) -> Option<&Slot> {
        self.get(self.find(&name.topic, name.partition)?)
    }

    fn slot_mut(&mut self, name: &TopicPartition) -> Option<&mut Slot> {
        let id = self.find(&name.topic, name.partition)?;
        self.get_mut(id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().flatten()
    }

    pub fn names(&self) -> Vec<TopicPartition> {
        let mut names: Vec<_> = self.iter().map(|slot| slot.name.clone()).collect();
        names.sort_unstable();
        names
    }

    /// Moves a partition and forgets what was fetched for it. False if it is not here.
    pub fn move_to(&mut self, name: &TopicPartition, position: Position) -> bool {
        let incarnation = self.next_incarnation();
        let Some(slot) = self.slot_mut(name) else { return false };
        slot.position = position;
        slot.blocked_until = None;
        slot.restart(incarnation);
        true
    }

    /// Pauses or resumes. What was fetched and not handed out is forgotten by a pause.
    pub fn set_paused(&mut self, name: &TopicPartition, paused: bool) -> bool {
        let incarnation = self.next_incarnation();
        let Some(slot) = self.slot_mut(name) else { return false };
        if slot.paused != paused {
            slot.paused = paused;
            slot.restart(incarnation);
        }
        true
    }

    /// Forgets what was fetched ahead of the positions of those that `node` served. If it was a
    /// follower, their leader is asked next.
    pub fn restart_node(&mut self, node: i32) {
        let mut incarnation = self.incarnations;
        for slot in self.slots.iter_mut().flatten().filter(|slot| slot.node == node) {
            incarnation += 1;
            slot.preferred = None;
            slot.restart(incarnation);
        }
        self.incarnations = incarnation;
        self.changes += 1;
    }

    /// Decides anew who is fetched from and tells which nodes have anything to be fetched. A
    /// partition that moves to another node starts over from its position.
    pub fn place(&mut self, metadata: &Metadata, now: Instant) -> Vec<i32> {
        let mut incarnation = self.incarnations;
        let mut nodes = Vec::new();
        for slot in self.slots.iter_mut().flatten() {
            let leader = metadata.leader(&slot.name.topic, slot.name.partition);
            let Some((leader, _)) = leader else {
                self.refresh_wanted = true;
                continue;
            };
            slot.preferred = slot
                .preferred
                .filter(|(node, until)| *until > now && metadata.brokers.contains_key(node));
            let node = slot.preferred.map_or(leader, |(node, _)| node);
            if slot.node != node {
                incarnation += 1;
                slot.node = node;
                slot.restart(incarnation);
                self.changes += 1;
            }
            if is_fetchable(slot, now) && !nodes.contains(&node) {
                nodes.push(node);
            }
        }
        self.incarnations = incarnation;
        nodes
    }

    /// What may be fetched from `node` now.
    pub fn fetchable(&self, node: i32, now: Instant) -> impl Iterator<Item = (PartitionId, &Slot)> {
        self.slots.iter().enumerate().filter_map(move |(index, slot)| {
            let slot = slot.as_ref().filter(|slot| slot.node == node && is_fetchable(slot, now))?;
            Some((PartitionId { slot: index as u32, incarnation: slot.incarnation }, slot))
        })
    }

    /// The earliest time at which a blocked partition may be fetched again.
    pub fn next_unblock(&self, now: Instant) -> Option<Instant> {
        let waiting = self.iter().filter(|slot| !slot.paused);
        waiting.filter_map(|slot| slot.blocked_until).filter(|at| *at > now).min()
    }

    /// Partitions whose position is to be asked for.
    pub fn undecided(&self) -> Vec<(TopicPartition, Position)> {
        let undecided = self.iter().filter(|slot| !matches!(slot.position, Position::At(_)));
        undecided.map(|slot| (slot.name.clone(), slot.position)).collect()
    }

    /// Sets a position that was asked for, unless it changed meanwhile.
    pub fn decide(&mut self, name: &TopicPartition, asked: Position, found: Position) {
        if self.slot(name).is_some_and(|slot| slot.position == asked) {
            self.move_to(name, found);
        }
    }
}

fn is_fetchable(slot: &Slot, now: Instant) -> bool {
    !slot.paused
        && matches!(slot.position, Position::At(_))
        && slot.blocked_until.is_none_or(|at| at <= now)
}
