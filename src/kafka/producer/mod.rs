//! The producer of source tasks: appends are synchronous and go straight into the batch of their
//! partition; a task of the same core sends the batches.
//!
//! 1. [`Producer::append`] takes a record and gives it a ticket, or says why not. After
//!    [`AppendError::Full`] or [`AppendError::NoMetadata`], await [`Producer::ready`] and append
//!    the same record again.
//! 2. [`Producer::acked_up_to`] tells below which ticket all records are on the brokers. It grows
//!    as acknowledgements come in; [`Producer::progress`] waits for that.
//! 3. [`Producer::take_failures`] tells which tickets are lost, and why. The acknowledged mark
//!    stays below a failure until it is taken.
//! 4. [`Producer::flush`] waits until all appended so far has one fate or the other,
//!    [`Producer::close`] does so for the last time.
//!
//! With `transactional.id` ([`ProducerConfig::parse_transactional`]):
//! [`Producer::init_transactions`] once, before the first record; then each
//! [`Producer::commit_transaction`] makes all appended since the one before visible at once. After an
//! error of any kind [`Producer::abort_transaction`] is all that is left.
//!
//! Within a partition records keep their order as long as one request is in flight, or with
//! idempotence. Dropping the producer drops what is not acknowledged.

mod accumulator;
mod batch;
mod config;
mod drain;
mod sender;
mod settle;
mod transaction;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod transaction_tests;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

use millrace_net::rt::{Task, spawn, timeout};

use self::accumulator::Accumulator;
use self::sender::Shared;
use self::transaction::TransactionClient;
use crate::cluster::Cluster;
use crate::error::{ErrorKind, KafkaError};
use crate::local::Bell;
use crate::record_batch::BatchError;

pub use config::ProducerConfig;
pub use transaction::fence_producers;

/// Waits without limit are cut into pieces of this length, as timers have one.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// How often an abort looks whether all is quiet: what is dropped unsent rings no bell.
const ABORT_LOOK: Duration = Duration::from_millis(20);

/// A record that was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Counts records across all topics, from 0.
    pub ticket: u64,
    pub partition: i32,
}

/// Why a record was not taken in.
#[derive(Clone, Debug, PartialEq)]
pub enum AppendError {
    /// `buffer.memory` is used up: wait for [`Producer::ready`].
    Full,
    /// The topic's partitions are not known yet: wait for [`Producer::ready`].
    NoMetadata,
    /// The topic has no such partition.
    NoPartition {
        partition: i32,
        count: usize,
    },
    /// Beyond `max.request.size` or `buffer.memory`, in bytes.
    TooLarge {
        size: usize,
        limit: usize,
    },
    /// The record does not fit the format.
    Record(BatchError),
    /// The producer failed for good.
    Failed(KafkaError),
    Closed,
}

impl AppendError {
    /// Whether the same append may succeed after [`Producer::ready`].
    pub fn is_wait(&self) -> bool {
        matches!(self, Self::Full | Self::NoMetadata)
    }
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("buffer.memory is used up"),
            Self::NoMetadata => f.write_str("the topic's partitions are not known yet"),
            Self::NoPartition { partition, count } => {
                write!(f, "no partition {partition}, the topic has {count}")
            }
            Self::TooLarge { size, limit } => write!(
                f,
                "The message is {size} bytes when serialized which is larger than {limit}, \
                 the lesser of max.request.size and buffer.memory"
            ),
            Self::Record(error) => error.fmt(f),
            Self::Failed(error) => error.fmt(f),
            Self::Closed => f.write_str("the producer is closed"),
        }
    }
}

impl std::error::Error for AppendError {}

/// Records of one batch that will not arrive.
#[derive(Clone, Debug)]
pub struct Failure {
    pub topic: Rc<str>,
    pub partition: i32,
    /// In growing order.
    pub tickets: Vec<Range<u64>>,
    pub error: KafkaError,
}

/// Where the records of one batch are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// In growing order; the records' offsets follow one another.
    pub tickets: Vec<Range<u64>>,
    /// Of the first record; −1 where the broker does not tell (`acks=0`).
    pub base_offset: i64,
}

/// Counts since the producer was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records appended, acknowledged, given up.
    pub records: u64,
    pub acknowledged: u64,
    pub failed: u64,
    pub requests: u64,
    /// Batches sent, repeated ones counted again.
    pub batches: u64,
    pub retries: u64,
    /// Of batches sent, compressed.
    pub bytes: u64,
}

/// See the module's documentation. It belongs to its core.
pub struct Producer {
    shared: Rc<Shared>,
    /// Sends until it is dropped.
    sender: Task<()>,
}

impl Producer {
    /// A producer on this core. `cluster` may serve others too; what the producer asks of it uses
    /// connections of their own.
    pub fn new(cluster: Cluster, config: ProducerConfig) -> Self {
        let id = config.transactional_id.as_deref();
        let shared = Rc::new(Shared {
            transactions: id.map(|id| TransactionClient::new(cluster.clone(), id)),
            state: RefCell::new(Accumulator::new(config)),
            cluster,
            work: Bell::default(),
            progress: Bell::default(),
            refreshing: Cell::new(false),
            closing: Cell::new(false),
        });
        let sender = spawn(sender::run(shared.clone()));
        Self { shared, sender }
    }

    /// Copies a record into the batch of its partition: the one given, or that of the key, or for
    /// records without a key one that changes from batch to batch. `timestamp` in ms since 1970.
    ///
    /// Never waits. After an error nothing was appended.
    #[inline]
    pub fn append<'h, H>(
        &self,
        topic: &str,
        partition: Option<i32>,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: H,
    ) -> Result<Appended, AppendError>
    where
        H: IntoIterator<Item = (&'h str, Option<&'h [u8]>)>,
        H::IntoIter: ExactSizeIterator + Clone,
    {
        let mut state = self.shared.state.borrow_mut();
        let outcome = state.append(topic, partition, timestamp, key, value, headers);
        drop(state);
        match outcome {
            Ok((appended, wake)) => {
                if wake {
                    self.shared.work.ring();
                }
                Ok(appended)
            }
            Err(error) => {
                if error.is_wait() {
                    self.shared.work.ring();
                }
                Err(error)
            }
        }
    }

    /// Waits until the append that was refused last may be tried again, for `max.block.ms` at most.
    pub async fn ready(&self) -> Result<(), KafkaError> {
        let limit = self.shared.state.borrow().config.max_block;
        let begin = Instant::now();
        loop {
            let progress = self.shared.progress.listen();
            if let Some(outcome) = self.shared.state.borrow_mut().unblocked() {
                return outcome;
            }
            let left = limit.saturating_sub(begin.elapsed());
            if left.is_zero() {
                let state = self.shared.state.borrow();
                let why = format!("{} after {} ms.", state.blocked_by(), limit.as_millis());
                return Err(KafkaError::new(ErrorKind::Timeout, why));
            }
            let _ = timeout(left.min(LONGEST_WAIT), progress).await;
        }
    }

    /// All records with lower tickets are acknowledged, or failed and taken as such.
    pub fn acked_up_to(&self) -> u64 {
        self.shared.state.borrow().acked_up_to()
    }

    /// The ticket that the next record will get.
    pub fn next_ticket(&self) -> u64 {
        self.shared.state.borrow().next_ticket()
    }

    /// The next growth of [`Self::acked_up_to`] that this has not told yet: the mark, and when it
    /// was reached. For measuring; who calls it seldom is told the mark late, never too high.
    pub fn next_acknowledgement(&self) -> Option<(u64, Instant)> {
        self.shared.state.borrow_mut().marks.pop_front()
    }

    /// Waits until a request has had an outcome, for `limit` at most.
    pub async fn progress(&self, limit: Duration) {
        let _ = timeout(limit.min(LONGEST_WAIT), self.shared.progress.listen()).await;
    }

    /// From now on [`Self::take_placements`] tells offsets; to be taken often, as they are kept.
    pub fn tell_placements(&self) {
        self.shared.state.borrow_mut().placed.get_or_insert_default();
    }

    /// Where what was acknowledged since the last call is; those below [`Self::acked_up_to`] among
    /// them.
    pub fn take_placements(&self) -> Vec<Placement> {
        let mut state = self.shared.state.borrow_mut();
        state.placed.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// What was lost since the last call.
    pub fn take_failures(&self) -> Vec<Failure> {
        self.shared.state.borrow_mut().take_failures()
    }

    /// Sends all that was appended without lingering, and waits until it is acknowledged or failed
    /// (`delivery.timeout.ms` sees to an end). The first failure that is not taken is the error.
    pub async fn flush(&self) -> Result<(), KafkaError> {
        let target = self.shared.state.borrow_mut().flush();
        self.shared.work.ring();
        loop {
            let progress = self.shared.progress.listen();
            {
                let state = self.shared.state.borrow();
                if let Some(failure) = state.failures.first() {
                    return Err(failure.error.clone());
                }
                if state.acked_up_to() >= target {
                    return Ok(());
                }
            }
            let _ = timeout(LONGEST_WAIT, progress).await;
        }
    }

    /// Takes `transactional.id` over: earlier producers of it are fenced, and what they left open is
    /// ended. Waits for `max.block.ms` at most; may be dropped and called again.
    pub async fn init_transactions(&self) -> Result<(), KafkaError> {
        let Some(client) = &self.shared.transactions else {
            return Err(KafkaError::config("transactional.id is not set"));
        };
        let (timeout, limit) = {
            let config = &self.shared.state.borrow().config;
            (config.transaction_timeout, config.max_block)
        };
        let (id, epoch) = client.init(timeout, limit).await?;
        self.shared.state.borrow_mut().set_identity(id, epoch);
        self.shared.work.ring();
        Ok(())
    }

    /// Whether records were appended since the last transaction's end.
    pub fn in_transaction(&self) -> bool {
        self.shared.state.borrow().in_transaction()
    }

    /// [`Self::flush`], and makes it visible. After an error nothing of the transaction ever is,
    /// unless it is the commit itself whose answer is missing.
    pub async fn commit_transaction(&self) -> Result<(), KafkaError> {
        self.flush().await?;
        transaction::end(&self.shared, true).await
    }

    /// Drops what was not sent, waits for what is on its way, and has the brokers hide all of it for
    /// ever. The producer takes no records after this.
    pub async fn abort_transaction(&self) -> Result<(), KafkaError> {
        let aborted = || KafkaError::new(ErrorKind::Fatal, "the transaction was aborted");
        self.shared.state.borrow_mut().fatal.get_or_insert_with(aborted);
        self.shared.work.ring();
        loop {
            let progress = self.shared.progress.listen();
            if self.shared.state.borrow().is_quiet() {
                break;
            }
            let _ = timeout(ABORT_LOOK, progress).await;
        }
        transaction::end(&self.shared, false).await
    }

    /// [`Self::flush`] for `limit` at most, and the end of appending. The producer's task has ended
    /// after this, also after an error.
    pub async fn close(self, limit: Duration) -> Result<(), KafkaError> {
        self.shared.state.borrow_mut().close();
        self.shared.closing.set(true);
        let outcome = timeout(limit.min(LONGEST_WAIT), self.flush()).await.unwrap_or_else(|_| {
            let left = self.shared.state.borrow().unfinished.len();
            let why = format!("closed with {left} batches not acknowledged");
            Err(KafkaError::new(ErrorKind::Timeout, why))
        });
        self.sender.cancel().await;
        outcome
    }

    /// Bytes of records that are not acknowledged.
    pub fn buffered_bytes(&self) -> usize {
        self.shared.state.borrow().used
    }

    pub fn stats(&self) -> Stats {
        self.shared.state.borrow().stats
    }
}
