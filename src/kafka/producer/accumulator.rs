//! Records wait here, by partition, until they are acknowledged. No IO: time, metadata and answers
//! are told to it.
//!
//! A partition has one open batch, a queue of closed ones, and batches in flight. Sending is in
//! [`super::drain`], what becomes of a batch afterwards in [`super::settle`].

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::rc::Rc;
use std::time::Instant;

use super::batch::{Batch, Identity, Open, Tickets};
use super::transaction::TransactionState;
use super::{AppendError, Appended, Failure, Placement, ProducerConfig, Stats};
use crate::compression::Compressor;
use crate::error::{ErrorKind, KafkaError};
use crate::metadata::Metadata;
use crate::partitioner::{StickyPartitioner, partition_for_key};
use crate::record_batch::{BatchBuilder, BatchOptions};

/// Growths of the acknowledged mark that are kept for whoever measures.
const MARKS: usize = 256;
/// Empty builders kept for the next batches.
const SPARE_BUILDERS: usize = 64;
/// However well data compresses, an open batch is closed at this multiple of `batch.size`.
const MOST_RATIO: f32 = 16.0;

pub(super) struct Partition {
    /// -1 while unknown.
    pub leader: i32,
    pub open: Option<Open>,
    /// In order of their first tickets.
    pub queue: VecDeque<Batch>,
    pub in_flight: usize,
    /// The broker that those in flight are for.
    pub flight_node: i32,
    pub next_sequence: i32,
    /// Listed in [`Accumulator::active`].
    pub active: bool,
}

impl Default for Partition {
    fn default() -> Self {
        Self {
            leader: -1,
            open: None,
            queue: VecDeque::new(),
            in_flight: 0,
            flight_node: -1,
            next_sequence: 0,
            active: false,
        }
    }
}

pub(super) struct Topic {
    pub name: Rc<str>,
    pub partitions: Vec<Partition>,
    /// Partitions that have a leader.
    available: Vec<i32>,
    /// Why there are no partitions, as the metadata say.
    error: i16,
    sticky: StickyPartitioner,
    /// Bytes after compression by bytes before, lately.
    ratio: f32,
    /// Uncompressed bytes at which a batch is closed.
    limit: usize,
}

/// What the last append that did not succeed waits for.
#[derive(Clone, Copy, Debug)]
enum Blocked {
    Memory(usize),
    Topic(usize),
}

/// Where the producer's identity stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdentityState {
    /// No idempotence.
    Off,
    /// To be asked for once nothing is in flight.
    Wanted,
    Asked,
    Known(Identity),
}

/// A batch with the indexes of its topic and its partition.
pub(super) type Placed = (usize, usize, Batch);

pub(super) struct Flight {
    pub node: i32,
    pub batches: Vec<Placed>,
}

/// A broker as the producer sees it.
#[derive(Default)]
pub(super) struct Node {
    pub in_flight: usize,
    /// It answered on the present connection; before that one request at a time goes there, so that
    /// no two race to open one.
    pub proven: bool,
}

pub(super) struct Accumulator {
    pub config: ProducerConfig,
    pub topics: Vec<Topic>,
    names: HashMap<Rc<str>, usize>,
    /// The topic of the last append.
    last: usize,
    pub active: VecDeque<(usize, usize)>,
    builders: Vec<BatchBuilder>,
    pub compressor: Compressor,
    /// Where batches are compressed.
    scratch: Vec<u8>,
    /// Bytes of all records here.
    pub used: usize,
    blocked: Option<Blocked>,
    next_ticket: u64,
    /// First tickets of all batches that are not acknowledged, nor taken as failed.
    pub unfinished: BTreeSet<u64>,
    pub failures: Vec<Failure>,
    /// Batches that hold tickets below this do not linger.
    pub flush_below: u64,
    closed: bool,
    pub fatal: Option<KafkaError>,
    pub identity: IdentityState,
    /// With `transactional.id`.
    pub transaction: Option<TransactionState>,
    pub generation: u64,
    pub nodes: HashMap<i32, Node>,
    pub flights: HashMap<u64, Flight>,
    pub next_flight: u64,
    metadata_version: u64,
    /// A broker's answer, or a broken connection, says that leaders have moved.
    pub metadata_wanted: bool,
    pub chance: u64,
    pub stats: Stats,
    /// How the acknowledged mark grew, and when, until somebody takes note.
    pub marks: VecDeque<(u64, Instant)>,
    last_mark: u64,
    /// Where acknowledged batches are, for whoever asked to be told.
    pub placed: Option<Vec<Placement>>,
}

impl Accumulator {
    pub fn new(config: ProducerConfig) -> Self {
        let identity =
            if config.enable_idempotence { IdentityState::Wanted } else { IdentityState::Off };
        Self {
            transaction: config.transactional_id.as_deref().map(TransactionState::new),
            config,
            topics: Vec::new(),
            names: HashMap::new(),
            last: 0,
            active: VecDeque::new(),
            builders: Vec::new(),
            compressor: Compressor::new(),
            scratch: Vec::new(),
            used: 0,
            blocked: None,
            next_ticket: 0,
            unfinished: BTreeSet::new(),
            failures: Vec::new(),
            flush_below: 0,
            closed: false,
            fatal: None,
            identity,
            generation: 0,
            nodes: HashMap::new(),
            flights: HashMap::new(),
            next_flight: 0,
            metadata_version: 0,
            metadata_wanted: false,
            chance: 0x9e37_79b9_7f4a_7c15,
            stats: Stats::default(),
            marks: VecDeque::new(),
            last_mark: 0,
            placed: None,
        }
    }

    /// See [`super::Producer::append`]. The second value says whether the sender has work now that
    /// it did not know of.
    pub fn append<'h, H>(
        &mut self,
        topic: &str,
        partition: Option<i32>,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: H,
    ) -> Result<(Appended, bool), AppendError>
    where
        H: IntoIterator<Item = (&'h str, Option<&'h [u8]>)>,
        H::IntoIter: ExactSizeIterator + Clone,
    {
        let headers = headers.into_iter();
        let more: usize = headers
            .clone()
            .map(|(name, value)| 10 + name.len() + value.map_or(0, <[u8]>::len))
            .sum();
        let size = BatchBuilder::upper_bound(key, value).saturating_add(more);
        self.admit(size)?;
        let at = self.topic(topic);
        let place = self.place(at, partition, key)?;
        let limit = self.topics[at].limit;
        let mut wake = false;
        let full = |open: &Open| open.builder.len() + size > limit;
        if self.topics[at].partitions[place].open.as_ref().is_some_and(full) {
            self.close_batch(at, place);
            wake = true;
        }
        let ticket = self.next_ticket;
        if self.topics[at].partitions[place].open.is_none() {
            self.open_batch(at, place, ticket);
            wake = true;
        }
        let Some(open) = &mut self.topics[at].partitions[place].open else {
            return Err(AppendError::Closed);
        };
        let before = open.builder.len();
        open.builder.append(timestamp, key, value, headers).map_err(AppendError::Record)?;
        open.tickets.push(ticket);
        let grown = open.builder.len() - before;
        let complete = open.builder.len() >= limit;
        self.used += grown;
        self.next_ticket += 1;
        self.stats.records += 1;
        self.topics[at].sticky.produced(grown, complete);
        if complete {
            self.close_batch(at, place);
            wake = true;
        }
        Ok((Appended { ticket, partition: place as i32 }, wake))
    }

    /// Whether a record of `size` bytes may come in now.
    fn admit(&mut self, size: usize) -> Result<(), AppendError> {
        if let Some(error) = &self.fatal {
            return Err(AppendError::Failed(error.clone()));
        }
        if self.closed {
            return Err(AppendError::Closed);
        }
        let limit = self.config.max_request_size.min(self.config.buffer_memory);
        if size > limit {
            return Err(AppendError::TooLarge { size, limit });
        }
        if !self.has_memory(size) {
            self.blocked = Some(Blocked::Memory(size));
            return Err(AppendError::Full);
        }
        self.blocked = None;
        Ok(())
    }

    fn has_memory(&self, size: usize) -> bool {
        self.used == 0 || self.used + size <= self.config.buffer_memory
    }

    /// The topic's index; unknown ones are added without partitions.
    fn topic(&mut self, name: &str) -> usize {
        if self.topics.get(self.last).is_some_and(|topic| &*topic.name == name) {
            return self.last;
        }
        let at = match self.names.get(name) {
            Some(at) => *at,
            None => self.add_topic(name.into()),
        };
        self.last = at;
        at
    }

    #[cold]
    fn add_topic(&mut self, name: Rc<str>) -> usize {
        let limit = self.config.batch_size.max(1);
        self.topics.push(Topic {
            name: name.clone(),
            partitions: Vec::new(),
            available: Vec::new(),
            error: 0,
            sticky: StickyPartitioner::new(limit),
            ratio: 1.0,
            limit,
        });
        self.metadata_version = 0;
        self.names.insert(name, self.topics.len() - 1);
        self.topics.len() - 1
    }

    fn place(
        &mut self,
        at: usize,
        partition: Option<i32>,
        key: Option<&[u8]>,
    ) -> Result<usize, AppendError> {
        let topic = &mut self.topics[at];
        let count = topic.partitions.len();
        if count == 0 {
            self.blocked = Some(Blocked::Topic(at));
            return Err(AppendError::NoMetadata);
        }
        if let Some(partition) = partition {
            return usize::try_from(partition)
                .ok()
                .filter(|place| *place < count)
                .ok_or(AppendError::NoPartition { partition, count });
        }
        let key = key.filter(|_| !self.config.partitioner_ignore_keys);
        if let Some(key) = key {
            return Ok(partition_for_key(key, count as i32) as usize);
        }
        // Without any leader one partition is as good as another.
        let chosen = topic.sticky.partition(&topic.available).unwrap_or(0);
        Ok((chosen as usize).min(count - 1))
    }

    fn open_batch(&mut self, at: usize, place: usize, ticket: u64) {
        let builder = self.builders.pop().unwrap_or_default();
        self.used += builder.len();
        self.unfinished.insert(ticket);
        let mut open = Open { builder, tickets: Tickets::default(), created: Instant::now() };
        open.builder.reserve(self.topics[at].limit.min(1 << 20));
        self.topics[at].partitions[place].open = Some(open);
        self.activate(at, place);
    }

    pub fn activate(&mut self, at: usize, place: usize) {
        let partition = &mut self.topics[at].partitions[place];
        if !partition.active {
            partition.active = true;
            self.active.push_back((at, place));
        }
    }

    /// Closes the partition's open batch, if it has one, and queues it.
    pub fn close_batch(&mut self, at: usize, place: usize) {
        let partition = &mut self.topics[at].partitions[place];
        let Some(open) = partition.open.take() else { return };
        let plain = open.builder.len();
        let options = self.options();
        match Batch::close(open, &options, &mut self.compressor, &mut self.scratch) {
            Ok((batch, builder)) => {
                self.used = self.used.saturating_sub(plain) + batch.bytes.len();
                self.topics[at].learn_ratio(plain, batch.bytes.len(), self.config.batch_size);
                self.topics[at].partitions[place].queue.push_back(batch);
                self.recycle(builder);
            }
            Err((error, tickets)) => {
                self.used = self.used.saturating_sub(plain);
                let error = KafkaError::new(ErrorKind::Fatal, error.to_string());
                self.fail(at, place, tickets, error);
            }
        }
    }

    pub fn options(&self) -> BatchOptions {
        BatchOptions {
            compression: self.config.compression,
            transactional: self.transaction.is_some(),
            ..BatchOptions::default()
        }
    }

    fn recycle(&mut self, mut builder: BatchBuilder) {
        if self.builders.len() < SPARE_BUILDERS {
            builder.clear();
            self.builders.push(builder);
        }
    }

    /// Notes that records will not arrive. Their tickets count as unfinished until the failure is
    /// taken, so that nobody commits past it unaware.
    pub fn fail(&mut self, at: usize, place: usize, tickets: Tickets, error: KafkaError) {
        let topic = self.topics[at].name.clone();
        let tickets = tickets.into_ranges();
        if self.transaction.is_some() {
            // One lost record spoils the transaction; there is nothing to go on with.
            self.fatal.get_or_insert_with(|| error.clone());
        }
        self.stats.failed += tickets.iter().map(|range| range.end - range.start).sum::<u64>();
        self.failures.push(Failure { topic, partition: place as i32, tickets, error });
    }

    pub fn take_failures(&mut self) -> Vec<Failure> {
        let failures = std::mem::take(&mut self.failures);
        for failure in &failures {
            if let Some(first) = failure.tickets.first() {
                self.unfinished.remove(&first.start);
            }
        }
        failures
    }

    /// All tickets below this are acknowledged, or were taken as failed.
    pub fn acked_up_to(&self) -> u64 {
        self.unfinished.first().copied().unwrap_or(self.next_ticket)
    }

    pub fn next_ticket(&self) -> u64 {
        self.next_ticket
    }

    /// Notes the acknowledged mark if it has grown. Who takes no note for long gets the last ones
    /// as one.
    pub fn mark(&mut self, now: Instant) {
        let mark = self.acked_up_to();
        if mark <= self.last_mark {
            return;
        }
        self.last_mark = mark;
        if self.marks.len() >= MARKS {
            self.marks.pop_back();
        }
        self.marks.push_back((mark, now));
    }

    /// Makes all that is here now go out without lingering.
    pub fn flush(&mut self) -> u64 {
        self.flush_below = self.next_ticket;
        self.flush_below
    }

    pub fn close(&mut self) {
        self.closed = true;
        self.flush();
    }

    /// Whether the append that was refused last may be tried again; an error if it is in vain.
    pub fn unblocked(&mut self) -> Option<Result<(), KafkaError>> {
        if let Some(error) = &self.fatal {
            return Some(Err(error.clone()));
        }
        let done = match self.blocked {
            None => true,
            Some(Blocked::Memory(size)) => self.has_memory(size),
            Some(Blocked::Topic(at)) => {
                let topic = &self.topics[at];
                let name = &*topic.name;
                if let Err(error) = KafkaError::check(topic.error, "Metadata", name)
                    && !error.is_retriable()
                {
                    return Some(Err(error));
                }
                !topic.partitions.is_empty()
            }
        };
        done.then(|| {
            self.blocked = None;
            Ok(())
        })
    }

    /// What an append waits for, for the message of a timeout.
    pub fn blocked_by(&self) -> String {
        match self.blocked {
            Some(Blocked::Topic(at)) => {
                let topic = &self.topics[at];
                format!("Topic {} not present in metadata", topic.name)
            }
            _ => "Failed to allocate memory within buffer.memory".to_owned(),
        }
    }

    /// Memory is short: what is open goes out, so that it becomes free.
    pub fn is_short_of_memory(&self) -> bool {
        matches!(self.blocked, Some(Blocked::Memory(_)))
    }

    /// Topics appended to, for the metadata to follow.
    pub fn topic_names(&self) -> impl Iterator<Item = &str> {
        self.topics.iter().map(|topic| &*topic.name)
    }

    /// Some topic that was appended to has no partitions yet.
    pub fn lacks_topics(&self) -> bool {
        self.topics.iter().any(|topic| topic.partitions.is_empty())
    }

    /// Takes leaders and counts of partitions from `metadata`, if they are new.
    pub fn update_metadata(&mut self, metadata: &Metadata) {
        if metadata.version == self.metadata_version {
            return;
        }
        self.metadata_version = metadata.version;
        for topic in &mut self.topics {
            let Some(known) = metadata.topics.get(&topic.name) else { continue };
            topic.error = known.error;
            // Topics never lose partitions; one that was made anew with fewer keeps the old ones
            // here until their batches run out of time.
            let count = topic.partitions.len().max(known.partitions.len());
            topic.partitions.resize_with(count, Partition::default);
            topic.available.clear();
            for (place, partition) in topic.partitions.iter_mut().enumerate() {
                let leader = metadata.leader(&topic.name, place as i32);
                partition.leader = leader.map_or(-1, |(node, _)| node);
                if leader.is_some() {
                    topic.available.push(place as i32);
                }
            }
        }
    }

    /// Nothing is here any more.
    pub fn is_idle(&self) -> bool {
        self.active.is_empty() && self.flights.is_empty()
    }
}

impl Topic {
    /// Follows the compression ratio: at once when it gets worse, slowly when better; and derives
    /// how much goes into a batch so that it comes out near `batch.size`.
    fn learn_ratio(&mut self, plain: usize, compressed: usize, batch_size: usize) {
        let seen = compressed as f32 / plain.max(1) as f32;
        self.ratio = if seen > self.ratio { seen } else { self.ratio + (seen - self.ratio) / 8.0 };
        let factor = (1.0 / (self.ratio * 1.05)).clamp(1.0, MOST_RATIO);
        self.limit = ((batch_size as f32 * factor) as usize).max(1);
        self.sticky.set_batch_size(self.limit);
    }
}
