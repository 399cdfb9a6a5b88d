//! A source task on its core: from poll to acknowledged record to stored offset.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use millrace_api::LocalFuture;
use millrace_api::error::{ConnectError, ErrorKind};
use millrace_api::source::{Polled, SourceRecord, SourceTask};
use millrace_converters::Arena;
use millrace_net::{account, rt};

use crate::command::{SourceOffsetStore, TaskState};
use crate::control::{Control, HEARING, RESTING};
use crate::exactly_once::Transactions;
use crate::metrics::{LatencyStage, Memory, ProducerCounts};
use crate::outgoing::Outgoing;
use crate::sending::{Clock, Sending};
use crate::settlement::{Sent, Settlement};
use crate::source_offsets::key;
use crate::table_feed::Tables;

pub(crate) struct WorkerSourceTask {
    pub task: Box<dyn SourceTask>,
    pub outgoing: Outgoing,
    /// Of the transforms.
    pub tables: Tables,
    pub settlement: Settlement,
    pub control: Rc<Control>,
    pub flush_interval: Duration,
    pub flush_timeout: Duration,
    pub store: Arc<dyn SourceOffsetStore>,
    /// With exactly-once delivery; then `store` is only read, and told of commits.
    pub transactions: Option<Transactions>,
    pub arena: Arena,
    pub next_flush: Instant,
    pub next_report: Instant,
    pub paused: bool,
    /// What was polled; empty between iterations, kept for its memory.
    pub records: Vec<SourceRecord<'static>>,
}

impl WorkerSourceTask {
    /// Runs until it is stopped, its source is exhausted, or it fails. Whatever ends it, what was
    /// sent is waited for and its offsets are stored (with transactions: not after a failure).
    pub(crate) async fn run(mut self) -> Result<TaskState, ConnectError> {
        let ended = self.iterate().await;
        let settled = match self.transactions {
            None => self.settle().await,
            Some(_) => self.end_transactions(ended.is_err()).await,
        };
        self.task.stop().await;
        self.report(true);
        // Its task must be gone before the core may end; what it holds was settled above.
        let _ = self.settlement.producer.close(Duration::ZERO).await;
        self.tables.close().await;
        let finished = ended?;
        settled?;
        Ok(if finished { TaskState::Finished } else { TaskState::Unassigned })
    }

    /// `true` when the source is exhausted.
    async fn iterate(&mut self) -> Result<bool, ConnectError> {
        while !self.control.stopping() {
            if self.iteration().await? == Polled::Finished {
                return Ok(true);
            }
            rt::yield_if_needed().await;
        }
        Ok(false)
    }

    async fn iteration(&mut self) -> Result<Polled, ConnectError> {
        let heard = self.control.calls();
        match self.transactions {
            None => self.flush_if_due().await?,
            // A paused task keeps nobody waiting for an open transaction.
            Some(_) if self.control.paused() && !self.paused => self.commit_if_due(true).await?,
            Some(_) => {}
        }
        self.report_if_due();
        self.tables.check()?;
        if self.follow_pause() {
            // Resumed or stopped by its core; what was sent before is settled as it is due.
            let until_flush = self.next_flush.saturating_duration_since(Instant::now());
            let rest = if self.transactions.is_some() { RESTING } else { until_flush.min(RESTING) };
            self.control.unless_called(heard, rt::sleep(rest)).await;
            return Ok(Polled::More);
        }
        self.arena.reset();
        let mut records = recycle(std::mem::take(&mut self.records));
        let asked = Instant::now();
        let poll = self.task.poll(&self.arena, &mut records);
        let polled = match poll_and_hear(poll, &mut self.settlement).await {
            Err(error) if error.kind == ErrorKind::Retriable => {
                self.settlement.reporter.trouble(Some(error.to_string()));
                self.control.sleep(HEARING).await;
                return Ok(Polled::More);
            }
            polled => polled?,
        };
        let begun = self.settlement.polled(&records, asked);
        let mut sending = Sending {
            outgoing: &mut self.outgoing,
            settlement: &mut self.settlement,
            control: &self.control,
            clock: Clock::default(),
            sent: Sent::default(),
        };
        let outcome = sending.send_all(&records, &self.arena).await;
        let sent = sending.sent;
        self.settlement.submit(&records, &begun, sent);
        self.records = recycle(records);
        outcome.and(self.settlement.acknowledged())?;
        self.commit_if_due(false).await?;
        Ok(polled)
    }

    async fn flush_if_due(&mut self) -> Result<(), ConnectError> {
        if Instant::now() < self.next_flush {
            return Ok(());
        }
        self.next_flush = Instant::now() + self.flush_interval;
        self.settlement.acknowledged()?;
        let started = Instant::now();
        self.settlement.reporter.metrics().counts().commit_begun();
        let stored = self.store_offsets().await;
        let committed = self.task.commit().await;
        let took = started.elapsed();
        let metrics = self.settlement.reporter.metrics();
        metrics.latency().took(LatencyStage::Commit, took);
        metrics.counts().commit_ended(stored.then_some(took));
        committed
    }

    /// Hands over what is committable; what the store cannot take waits for the next round, and the
    /// answer is `false`.
    async fn store_offsets(&mut self) -> bool {
        if rt::given_up() {
            // The task's other life stores its own.
            return true;
        }
        let taken = self.settlement.offsets.take();
        if taken.is_empty() {
            return true;
        }
        let entries = self.entries(&taken);
        if entries.is_empty() {
            return true;
        }
        let (done, answer) = flume::bounded(1);
        let told = Box::new(move |result| {
            let _ = done.send(result);
        });
        // The store is the worker's: what it keeps is nobody's, and its lock is for moments.
        account::aside(|| self.store.put(entries, told));
        let failure = match rt::timeout(self.flush_timeout, answer.recv_async()).await {
            Ok(Ok(Ok(()))) => return true,
            Ok(Ok(Err(error))) => error,
            Ok(Err(_)) => "the offset store is gone".to_owned(),
            Err(_) => "offset.flush.timeout.ms is over".to_owned(),
        };
        tracing::error!(task = %self.settlement.reporter.id(), failure, "offsets could not be stored; they are tried again");
        self.settlement.offsets.put_back(taken);
        false
    }

    pub(crate) fn entries(
        &self,
        taken: &BTreeMap<u32, Vec<u8>>,
    ) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let connector = &self.settlement.reporter.id().connector;
        taken
            .iter()
            .filter_map(|(number, offset)| {
                let partition = self.settlement.context.partition_map(*number)?;
                Some((key(connector, &partition), Some(offset.clone())))
            })
            .collect()
    }

    /// Waits for what is on its way and stores its offsets.
    async fn settle(&mut self) -> Result<(), ConnectError> {
        let limit = self.flush_timeout.max(self.control.grace_left());
        let flushed = rt::timeout(limit, self.settlement.producer.flush()).await;
        let acknowledged = self.settlement.acknowledged();
        self.store_offsets().await;
        self.task.commit().await?;
        match flushed {
            // A failure was taken note of by `acknowledged`.
            Ok(_) => {}
            Err(_) => tracing::warn!(
                task = %self.settlement.reporter.id(),
                "records were still on their way when the task ended; they will be sent again"
            ),
        }
        acknowledged
    }

    /// `true` while the task is paused.
    fn follow_pause(&mut self) -> bool {
        let wanted = self.control.paused();
        if wanted != self.paused {
            self.paused = wanted;
            self.settlement.reporter.state(if wanted {
                TaskState::Paused
            } else {
                TaskState::Running
            });
        }
        self.paused
    }

    /// Lets the metrics have what they do not get batch by batch.
    fn count(&self) {
        let Settlement { progress, producer, reporter, .. } = &self.settlement;
        let stats = producer.stats();
        let mut counts = reporter.metrics().counts();
        let ended = progress.records_out + progress.records_dropped;
        let active = progress.records_in.saturating_sub(ended);
        counts.progress(Instant::now(), progress, active);
        counts.producer = Some(ProducerCounts {
            sent: stats.acknowledged,
            errors: stats.failed,
            retries: stats.retries,
            requests: stats.requests,
            batches: stats.batches,
            bytes: stats.bytes,
        });
        counts.tables = self.tables.figures();
        counts.memory = Memory {
            arena: self.arena.allocated_bytes() as u64,
            buffers: producer.buffered_bytes() as u64,
            ..Memory::default()
        };
    }

    fn report_if_due(&mut self) {
        let now = Instant::now();
        if now >= self.next_report {
            self.next_report = now + Duration::from_millis(500);
            self.report(false);
        }
    }

    fn report(&mut self, last: bool) {
        let Settlement { progress, topics, .. } = &mut self.settlement;
        progress.topics = topics.iter().map(|(topic, count)| (topic.to_owned(), count)).collect();
        self.count();
        let Settlement { progress, reporter, .. } = &self.settlement;
        if last {
            reporter.last_progress(progress.clone());
        } else {
            reporter.progress(progress.clone());
        }
    }
}

/// Polls; meanwhile a task that listens hears of the records that it gave before.
async fn poll_and_hear(
    poll: LocalFuture<'_, Result<Polled, ConnectError>>,
    settlement: &mut Settlement,
) -> Result<Polled, ConnectError> {
    if !settlement.is_listened_to() {
        return poll.await;
    }
    let mut poll = poll;
    loop {
        {
            let heard = std::pin::pin!(settlement.producer.progress(HEARING));
            match select(poll, heard).await {
                Either::Left((polled, _)) => return polled,
                Either::Right(((), waiting)) => poll = waiting,
            }
        }
        settlement.acknowledged()?;
    }
}

/// The same vector with its memory and none of its records, for records of another lifetime.
fn recycle<'b>(mut records: Vec<SourceRecord<'_>>) -> Vec<SourceRecord<'b>> {
    records.clear();
    // Collected in place: source and target items have one layout, so the allocation is kept.
    records
        .into_iter()
        .map(|_| -> SourceRecord<'b> { unreachable!("the vector is empty") })
        .collect()
}
