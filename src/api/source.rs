//! The contract of a source task.

use std::rc::Rc;

use millrace_converters::{Arena, Value};

use crate::error::ConnectError;
use crate::record::Record;
use crate::{Config, LocalFuture};

/// A map with string keys as Kafka Connect stores source partitions and offsets.
pub type OffsetMap = offsets::Map;

/// Source partitions and offsets: flat maps of strings, integers, booleans and nulls, in the order
/// in which the connector names its keys (stores look offsets up by exact bytes).
pub mod offsets {
    /// Key and value, in order.
    pub type Map = Vec<(String, Scalar)>;

    #[derive(Clone, Debug, PartialEq)]
    pub enum Scalar {
        Null,
        Boolean(bool),
        Int(i64),
        Float(f64),
        String(String),
    }
}

/// The [`SourceRecord::source_partition`] of a record that cannot be read again: no offset of it is
/// stored.
pub const NO_PARTITION: u32 = u32::MAX;

/// A record on its way to Kafka.
#[derive(Clone, Copy, Debug)]
pub struct SourceRecord<'a> {
    pub record: Record<'a>,
    /// Of the partitions that the task registered by [`SourceTaskContext::partition`], or
    /// [`NO_PARTITION`].
    pub source_partition: u32,
    /// Where to go on after this record.
    pub source_offset: &'a [(&'a str, Value<'a>)],
}

/// A source task, `org.apache.kafka.connect.source.SourceTask`.
///
/// 1. **start**: once, on the core where the task stays. `context` answers the stored offsets.
/// 2. **poll**: again and again. Append records to `out`; what they borrow lies in `arena`. Wait (through `millrace_net::rt`) when there is nothing, but come back within a second
///    so that pause and stop are heard. [`Polled::Finished`] ends the task well.
/// 3. **commit**: the offsets of everything up to the last flush are stored.
/// 4. **stop**: once.
pub trait SourceTask {
    fn start<'a>(
        &'a mut self,
        config: &'a Config,
        context: Rc<SourceTaskContext>,
    ) -> LocalFuture<'a, Result<(), ConnectError>>;

    fn poll<'f, 'a: 'f>(
        &'f mut self,
        arena: &'a Arena,
        out: &'f mut Vec<SourceRecord<'a>>,
    ) -> LocalFuture<'f, Result<Polled, ConnectError>>;

    fn commit(&mut self) -> LocalFuture<'_, Result<(), ConnectError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn stop(&mut self) -> LocalFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// What a poll says beside its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    More,
    Finished,
}

/// What became of the records of one poll, all of them; for [`SourceTaskContext::listen`]. Records
/// in neither list are acknowledged by Kafka, or a transform dropped them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome<'o> {
    /// Counts the polls that gave records, from 0. Outcomes come in this order.
    pub poll: u64,
    /// Places, among the poll's records, of those that were no good and that `errors.tolerance` let
    /// drop. Sorted.
    pub refused: &'o [u32],
    /// Places of those that did not reach Kafka, or may not have. Sorted.
    pub lost: &'o [u32],
    /// By place, the offset that each record got in its partition; −1 for those that have none, or
    /// where the broker does not tell. Empty unless [`SourceTaskContext::want_offsets`] was said.
    pub offsets: &'o [i64],
}

/// Hears what became of a poll.
type Listener = dyn Fn(Outcome<'_>);

/// Looks a source partition's stored offset up.
type StoredOffset = dyn Fn(&OffsetMap) -> Option<OffsetMap>;

/// What a source task can ask of the worker.
pub struct SourceTaskContext {
    /// `<connector>-<task>` for messages.
    pub task: String,
    partitions: std::cell::RefCell<Vec<OffsetMap>>,
    stored: Box<StoredOffset>,
    listener: std::cell::RefCell<Option<Box<Listener>>>,
    offsets_wanted: std::cell::Cell<bool>,
}

impl SourceTaskContext {
    /// `stored` looks a partition's offset up in the worker's offset store.
    pub fn new(
        task: impl Into<String>,
        stored: impl Fn(&OffsetMap) -> Option<OffsetMap> + 'static,
    ) -> Rc<Self> {
        Rc::new(Self {
            task: task.into(),
            partitions: std::cell::RefCell::default(),
            stored: Box::new(stored),
            listener: std::cell::RefCell::default(),
            offsets_wanted: std::cell::Cell::default(),
        })
    }

    /// Registers a source partition; the number goes into [`SourceRecord::source_partition`].
    pub fn partition(&self, partition: OffsetMap) -> u32 {
        let mut partitions = self.partitions.borrow_mut();
        if let Some(at) = partitions.iter().position(|known| *known == partition) {
            return at as u32;
        }
        partitions.push(partition);
        partitions.len() as u32 - 1
    }

    /// The offset stored for that partition, if any.
    pub fn offset(&self, partition: &OffsetMap) -> Option<OffsetMap> {
        (self.stored)(partition)
    }

    /// From now on `listener` hears the outcome of each poll, also while the next poll waits: what
    /// `SourceTask.commitRecord` is in the JVM, once a poll. It must not block, nor call the worker.
    /// For tasks that owe somebody an answer; others are spared the bookkeeping. To be called in
    /// [`SourceTask::start`]. A poll of such a task may be dropped while it waits.
    pub fn listen(&self, listener: impl Fn(Outcome<'_>) + 'static) {
        self.listener.replace(Some(Box::new(listener)));
    }

    /// The listener also wants to know at which offsets Kafka has put the records
    /// ([`Outcome::offsets`]): what `RecordMetadata.offset` is in the JVM. To be said in
    /// [`SourceTask::start`].
    pub fn want_offsets(&self) {
        self.offsets_wanted.set(true);
    }

    /// For the worker: whether the listener asked for offsets.
    pub fn wants_offsets(&self) -> bool {
        self.offsets_wanted.get()
    }

    /// For the worker: whether somebody listens.
    pub fn has_listener(&self) -> bool {
        self.listener.borrow().is_some()
    }

    /// For the worker: hands the listener an outcome.
    pub fn tell(&self, outcome: Outcome<'_>) {
        if let Some(listener) = &*self.listener.borrow() {
            listener(outcome);
        }
    }

    /// For the worker: the map that a number stands for.
    pub fn partition_map(&self, number: u32) -> Option<OffsetMap> {
        self.partitions.borrow().get(number as usize).cloned()
    }
}
