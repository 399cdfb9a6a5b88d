//! The contract of a sink task.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use millrace_converters::DataError;
use millrace_converters::converter::Detail;

use crate::error::ConnectError;
use crate::record::{Record, TopicPartition};
use crate::{Config, LocalFuture};

/// The offset of the next record to read, by partition.
pub type Offsets = BTreeMap<TopicPartition, i64>;

/// What a sink reads of a record; what it does not ask for is not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Needs {
    pub key: Need,
    pub value: Need,
    pub headers: bool,
}

/// Of one side of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Need {
    /// Only that the converter accepts it. The record's datum is then unspecified
    /// (null stays null).
    Nothing,
    /// A datum; schemaless data may come as [`millrace_converters::Value::Json`].
    Text,
    /// As [`Need::Text`], and data with a schema may come so, too, without its schema: the text is
    /// what `JsonConverter` without schemas writes by default.
    Json,
    /// A fully typed datum.
    #[default]
    Full,
}

impl Need {
    pub fn detail(self) -> Detail {
        match self {
            Need::Full => Detail::Full,
            Need::Json => Detail::Json,
            Need::Nothing | Need::Text => Detail::Text,
        }
    }
}

/// A sink task, `org.apache.kafka.connect.sink.SinkTask`, for batches.
///
/// 1. **start**: once, on the core where the task will stay. Connect, check what can be checked.
/// 2. **open**: each time partitions are newly assigned.
/// 3. **put**: with each batch, in offset order per partition, and with an empty one when a poll
///    brings nothing: the place for time-based work. While something that was put is not durable and
///    committed, or [`SinkTaskContext::timeout`] asks for it, that is at least once a second, else
///    once or twice a minute. It may wait for the outside world. Returning
///    `Ok` takes responsibility for the records, not yet for their durability. A
///    [`crate::error::ErrorKind::Retriable`] error brings the *same* batch again after a back-off.
/// 4. **pre_commit**: asked periodically and before partitions are given up. `consumed` is what
///    `put` has taken; the answer says up to where everything is durable. Never more than that.
/// 5. **close**: partitions are given up: forget buffered records that are not durable.
/// 6. **stop**: once. Release everything.
///
/// A task must not block the core: waits go through `millrace_net::rt`.
pub trait SinkTask {
    fn start<'a>(
        &'a mut self,
        config: &'a Config,
        context: Rc<SinkTaskContext>,
    ) -> LocalFuture<'a, Result<(), ConnectError>>;

    /// Asked once after `start`.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// The partitions and the position each starts from.
    fn open<'a>(
        &'a mut self,
        partitions: &'a Offsets,
    ) -> LocalFuture<'a, Result<(), ConnectError>> {
        let _ = partitions;
        Box::pin(std::future::ready(Ok(())))
    }

    fn put<'a>(
        &'a mut self,
        records: &'a [Record<'a>],
    ) -> LocalFuture<'a, Result<(), ConnectError>>;

    fn pre_commit<'a>(
        &'a mut self,
        consumed: &'a Offsets,
    ) -> LocalFuture<'a, Result<Offsets, ConnectError>>;

    fn close<'a>(
        &'a mut self,
        partitions: &'a [TopicPartition],
    ) -> LocalFuture<'a, Result<(), ConnectError>> {
        let _ = partitions;
        Box::pin(std::future::ready(Ok(())))
    }

    /// The bulk job's last call before `stop`: everything up to the end offsets was put; make it
    /// durable now, whatever the rotation says (an open file is completed). `pre_commit` follows.
    fn finish(&mut self) -> LocalFuture<'_, Result<(), ConnectError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn stop(&mut self) -> LocalFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// What a sink task can ask of the worker. Requests are collected here and carried out after the
/// call in which they were made.
#[derive(Default)]
pub struct SinkTaskContext {
    /// `<connector>-<task>` for messages.
    pub task: String,
    seeks: RefCell<Vec<(TopicPartition, i64)>>,
    errant: RefCell<Vec<ErrantRecord>>,
    reporter: Cell<bool>,
    commit: Cell<bool>,
    timeout: Cell<Option<Duration>>,
}

/// A record that the sink could not deliver and gives to the dead-letter queue.
#[derive(Debug)]
pub struct ErrantRecord {
    /// Index in the batch that `put` was called with.
    pub index: usize,
    pub error: DataError,
}

impl SinkTaskContext {
    pub fn new(task: impl Into<String>, reporter: bool) -> Rc<Self> {
        Rc::new(Self { task: task.into(), reporter: Cell::new(reporter), ..Self::default() })
    }

    /// Read that partition from `offset` on, from the next poll.
    pub fn seek(&self, partition: TopicPartition, offset: i64) {
        self.seeks.borrow_mut().push((partition, offset));
    }

    /// Commit at the next chance rather than at the next interval.
    pub fn request_commit(&self) {
        self.commit.set(true);
    }

    /// Call `put` again after this long even if no record comes; holds for one poll. Also the
    /// back-off of a retriable error returned by the same call.
    pub fn timeout(&self, wait: Duration) {
        self.timeout.set(Some(wait));
    }

    /// Whether [`Self::report`] leads anywhere (a dead-letter topic or `errors.log.enable`).
    pub fn has_reporter(&self) -> bool {
        self.reporter.get()
    }

    /// Gives up one record of the batch that the current `put` was called with.
    pub fn report(&self, index: usize, error: DataError) {
        self.errant.borrow_mut().push(ErrantRecord { index, error });
    }

    /// For the worker: takes what was asked.
    pub fn take_seeks(&self) -> Vec<(TopicPartition, i64)> {
        std::mem::take(&mut self.seeks.borrow_mut())
    }

    /// For the worker.
    pub fn take_errant(&self) -> Vec<ErrantRecord> {
        std::mem::take(&mut self.errant.borrow_mut())
    }

    /// For the worker.
    pub fn take_commit_request(&self) -> bool {
        self.commit.take()
    }

    /// For the worker.
    pub fn take_timeout(&self) -> Option<Duration> {
        self.timeout.take()
    }
}
