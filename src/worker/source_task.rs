//! A source task on its core: from poll to acknowledged record to stored offset.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use millrace_api::error::{ConnectError, ErrorKind, Stage};
use millrace_api::source::{Polled, SourceRecord, SourceTask, SourceTaskContext};
use millrace_converters::{Arena, DataError};
use millrace_kafka::producer::{AppendError, Producer};
use millrace_net::rt;

use crate::command::{Progress, SourceOffsetStore, TaskState};
use crate::control::{Control, HEARING};
use crate::error_policy::{Consumed, ErrorPolicy, Failure};
use crate::kafka_errors::produce_error;
use crate::metrics::{LatencyStage, Memory, ProducerCounts, Span};
use crate::outgoing::Outgoing;
use crate::reporter::Reporter;
use crate::source_offsets::{SourceOffsets, key, offset_json};
use crate::topic_creation::TopicCounts;
use crate::transformation_chain::apply;

pub(crate) struct WorkerSourceTask {
    pub task: Box<dyn SourceTask>,
    pub context: Rc<SourceTaskContext>,
    pub producer: Producer,
    pub outgoing: Outgoing,
    pub policy: ErrorPolicy,
    pub control: Rc<Control>,
    pub reporter: Reporter,
    pub flush_interval: Duration,
    pub flush_timeout: Duration,
    pub offsets: SourceOffsets,
    pub store: Arc<dyn SourceOffsetStore>,
    pub arena: Arena,
    pub next_flush: Instant,
    pub progress: Progress,
    pub sent: TopicCounts,
    pub next_report: Instant,
    pub paused: bool,
    /// What was polled; empty between iterations, kept for its memory.
    pub records: Vec<SourceRecord<'static>>,
}

impl WorkerSourceTask {
    /// Runs until it is stopped, its source is exhausted, or it fails. Whatever ends it, what was
    /// sent is waited for and its offsets are stored.
    pub(crate) async fn run(mut self) -> Result<TaskState, ConnectError> {
        let ended = self.iterate().await;
        let settled = self.settle().await;
        self.task.stop().await;
        self.report(true);
        // Its task must be gone before the core may end; what it holds was settled above.
        let _ = self.producer.close(Duration::ZERO).await;
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
        self.flush_if_due().await?;
        self.report_if_due();
        if self.follow_pause() {
            rt::sleep(HEARING).await;
            return Ok(Polled::More);
        }
        self.arena.reset();
        let mut records = recycle(std::mem::take(&mut self.records));
        let asked = Instant::now();
        let polled = match self.task.poll(&self.arena, &mut records).await {
            Err(error) if error.kind == ErrorKind::Retriable => {
                self.reporter.trouble(Some(error.to_string()));
                self.control.sleep(HEARING).await;
                return Ok(Polled::More);
            }
            polled => polled?,
        };
        let returned = Instant::now();
        if !records.is_empty() {
            let metrics = self.reporter.metrics();
            metrics.latency().took(LatencyStage::Poll, returned - asked);
            metrics.counts().batch(returned, records.len(), returned - asked);
        }
        self.progress.records_in += records.len() as u64;
        let mut sending = Sending {
            outgoing: &mut self.outgoing,
            producer: &self.producer,
            policy: &self.policy,
            progress: &mut self.progress,
            sent: &mut self.sent,
            control: &self.control,
            reporter: &self.reporter,
            clock: Clock::default(),
            times: Span::EMPTY,
        };
        if sending.send_all(&records, &self.arena).await? {
            let (ticket, times) = (self.producer.next_ticket(), sending.times);
            self.offsets.submit(ticket, last_offsets(&records));
            if !records.is_empty() {
                let mut latency = self.reporter.metrics().latency();
                latency.took(LatencyStage::Convert, returned.elapsed());
                latency.sent(ticket, returned, times);
            }
        }
        self.records = recycle(records);
        self.acknowledged()?;
        Ok(polled)
    }

    /// Takes note of what Kafka has acknowledged; a failed send ends the task here.
    fn acknowledged(&mut self) -> Result<(), ConnectError> {
        for failure in self.producer.take_failures() {
            let lost: u64 = failure.tickets.iter().map(|tickets| tickets.end - tickets.start).sum();
            let place = format!("{lost} records for {}-{}", failure.topic, failure.partition);
            if !self.policy.tolerates() {
                return Err(ConnectError::fatal(format!(
                    "Unrecoverable exception from producer send callback: {place}"
                ))
                .at(Stage::KafkaProduce)
                .caused_by(failure.error));
            }
            tracing::error!(task = %self.reporter.id(), error = %failure.error, "{place} are lost");
            self.progress.records_dropped += lost;
            self.reporter.metrics().counts().failed(lost);
        }
        while let Some((ticket, at)) = self.producer.next_acknowledgement() {
            self.reporter.metrics().latency().acknowledged(ticket, at);
        }
        // Below a failure that ends the task the mark stays: its offsets are not stored.
        self.offsets.acknowledge(self.producer.acked_up_to());
        self.progress.records_out = self.producer.stats().acknowledged;
        Ok(())
    }

    async fn flush_if_due(&mut self) -> Result<(), ConnectError> {
        if Instant::now() < self.next_flush {
            return Ok(());
        }
        self.next_flush = Instant::now() + self.flush_interval;
        self.acknowledged()?;
        let started = Instant::now();
        self.reporter.metrics().counts().commit_begun();
        let stored = self.store_offsets().await;
        let committed = self.task.commit().await;
        let took = started.elapsed();
        self.reporter.metrics().latency().took(LatencyStage::Commit, took);
        self.reporter.metrics().counts().commit_ended(stored.then_some(took));
        committed
    }

    /// Hands over what is committable; what the store cannot take waits for the next round, and the
    /// answer is `false`.
    async fn store_offsets(&mut self) -> bool {
        let taken = self.offsets.take();
        if taken.is_empty() {
            return true;
        }
        let (done, answer) = flume::bounded(1);
        let entries = self.entries(&taken);
        self.store.put(
            entries,
            Box::new(move |result| {
                let _ = done.send(result);
            }),
        );
        let failure = match rt::timeout(self.flush_timeout, answer.recv_async()).await {
            Ok(Ok(Ok(()))) => return true,
            Ok(Ok(Err(error))) => error,
            Ok(Err(_)) => "the offset store is gone".to_owned(),
            Err(_) => "offset.flush.timeout.ms is over".to_owned(),
        };
        tracing::error!(task = %self.reporter.id(), failure, "offsets could not be stored; they are tried again");
        self.offsets.put_back(taken);
        false
    }

    fn entries(&self, taken: &BTreeMap<u32, Vec<u8>>) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let connector = &self.reporter.id().connector;
        taken
            .iter()
            .filter_map(|(number, offset)| {
                let partition = self.context.partition_map(*number)?;
                Some((key(connector, &partition), Some(offset.clone())))
            })
            .collect()
    }

    /// Waits for what is on its way and stores its offsets.
    async fn settle(&mut self) -> Result<(), ConnectError> {
        let limit = self.flush_timeout.max(self.control.grace_left());
        let flushed = rt::timeout(limit, self.producer.flush()).await;
        let acknowledged = self.acknowledged();
        self.store_offsets().await;
        self.task.commit().await?;
        match flushed {
            // A failure was taken note of by `acknowledged`.
            Ok(_) => {}
            Err(_) => tracing::warn!(
                task = %self.reporter.id(),
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
            self.reporter.state(if wanted { TaskState::Paused } else { TaskState::Running });
        }
        self.paused
    }

    /// Lets the metrics have what they do not get batch by batch.
    fn count(&self) {
        let stats = self.producer.stats();
        let mut counts = self.reporter.metrics().counts();
        let ended = self.progress.records_out + self.progress.records_dropped;
        let active = self.progress.records_in.saturating_sub(ended);
        counts.progress(Instant::now(), &self.progress, active);
        counts.producer = Some(ProducerCounts {
            sent: stats.acknowledged,
            errors: stats.failed,
            retries: stats.retries,
            requests: stats.requests,
            batches: stats.batches,
            bytes: stats.bytes,
        });
        counts.memory = Memory {
            arena: self.arena.allocated_bytes() as u64,
            buffers: self.producer.buffered_bytes() as u64,
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
        let topics = self.sent.iter().map(|(topic, count)| (topic.to_owned(), count));
        self.progress.topics = topics.collect();
        self.count();
        if last {
            self.reporter.last_progress(self.progress.clone());
        } else {
            self.reporter.progress(self.progress.clone());
        }
    }
}

/// What sending needs of its task, borrowed for one batch.
struct Sending<'t> {
    outgoing: &'t mut Outgoing,
    producer: &'t Producer,
    policy: &'t ErrorPolicy,
    progress: &'t mut Progress,
    sent: &'t mut TopicCounts,
    control: &'t Control,
    reporter: &'t Reporter,
    clock: Clock,
    /// When the polled records came to be, as their connector says.
    times: Span,
}

/// The time of a polled batch's records that bring none: read once a batch.
#[derive(Default)]
struct Clock(Option<i64>);

impl Clock {
    fn now(&mut self) -> i64 {
        *self.0.get_or_insert_with(|| {
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
        })
    }
}

impl Sending<'_> {
    /// `false` when the task is to stop before everything was sent.
    async fn send_all<'a>(
        &mut self,
        records: &[SourceRecord<'a>],
        arena: &'a Arena,
    ) -> Result<bool, ConnectError> {
        let mut at = 0;
        while at < records.len() {
            match self.send_some(&records[at..], arena) {
                Sent::All => break,
                Sent::Full(count) => {
                    at += count;
                    if !self.wait_for_room().await? {
                        return Ok(false);
                    }
                }
                Sent::UnknownTopic(count, topic) => {
                    at += count;
                    self.outgoing.topics.ensure(&topic).await?;
                }
                Sent::Failed(count, failure) => {
                    self.give_up(&records[at + count], &failure)?;
                    at += count + 1;
                }
                Sent::Broken(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// The inner loop: no await. Stops where somebody must be waited for.
    fn send_some<'a>(&mut self, records: &[SourceRecord<'a>], arena: &'a Arena) -> Sent {
        for (count, source) in records.iter().enumerate() {
            let record = match apply(&mut self.outgoing.steps, source.record, arena) {
                Ok(Some(record)) => record,
                Ok(None) => {
                    self.progress.records_dropped += 1;
                    continue;
                }
                Err(failure) => return Sent::Failed(count, failure),
            };
            if !self.outgoing.topics.known(record.topic) {
                return Sent::UnknownTopic(count, record.topic.to_owned());
            }
            let bytes = match self.outgoing.serialise(&record) {
                Ok(bytes) => bytes,
                Err(failure) => return Sent::Failed(count, failure),
            };
            let appended = self.producer.append(
                record.topic,
                record.partition,
                record.timestamp.unwrap_or_else(|| self.clock.now()),
                bytes.key,
                bytes.value,
                bytes.headers(),
            );
            match appended {
                Ok(_) => {
                    self.progress.bytes_in += bytes.len() as u64;
                    self.times.add(record.timestamp.unwrap_or(-1));
                    self.sent.add(record.topic);
                }
                Err(error) if error.is_wait() => return Sent::Full(count),
                Err(error @ AppendError::TooLarge { .. }) => {
                    return Sent::Failed(count, too_large(&error));
                }
                Err(error) => return Sent::Broken(unsent(error)),
            }
        }
        Sent::All
    }

    /// Waits until the producer takes more. What was polled and not sent when the task is to stop
    /// is polled again by its next life: its offset is not stored.
    async fn wait_for_room(&mut self) -> Result<bool, ConnectError> {
        let started = Instant::now();
        while !self.control.stopping() {
            if let Ok(ready) = rt::timeout(HEARING, self.producer.ready()).await {
                self.reporter.trouble(None);
                return ready.map(|()| true).map_err(produce_error);
            }
            if started.elapsed() > SLOW {
                let why = "Kafka takes no more records: its brokers are away or slow";
                self.reporter.trouble(Some(why.to_owned()));
            }
        }
        Ok(false)
    }

    #[cold]
    fn give_up(
        &mut self,
        source: &SourceRecord<'_>,
        failure: &Failure,
    ) -> Result<(), ConnectError> {
        let record = Consumed {
            topic: source.record.topic,
            partition: source.record.partition.unwrap_or(-1),
            offset: -1,
            timestamp: source.record.timestamp.unwrap_or(-1),
        };
        self.policy.log(failure, &record);
        self.progress.records_dropped += 1;
        self.policy.settle(failure, &record)
    }
}

enum Sent {
    All,
    /// So many were sent; the producer's memory is full.
    Full(usize),
    UnknownTopic(usize, String),
    Failed(usize, Failure),
    Broken(ConnectError),
}

/// How long a full producer is no news.
const SLOW: Duration = Duration::from_secs(5);

#[cold]
fn too_large(error: &AppendError) -> Failure {
    Failure {
        stage: Stage::KafkaProduce,
        class: "org.apache.kafka.clients.producer.KafkaProducer",
        error: DataError::with_class(
            "org.apache.kafka.common.errors.RecordTooLargeException",
            error.to_string(),
        ),
    }
}

#[cold]
fn unsent(error: AppendError) -> ConnectError {
    let error = match error {
        AppendError::Failed(error) => return produce_error(error),
        other => other,
    };
    ConnectError::fatal("Unrecoverable exception trying to send")
        .at(Stage::KafkaProduce)
        .caused_by(error)
}

/// The last offset of each source partition in a polled batch. Few partitions: a list will do.
fn last_offsets(records: &[SourceRecord<'_>]) -> Vec<(u32, Vec<u8>)> {
    let mut found: Vec<(u32, Vec<u8>)> = Vec::new();
    for record in records.iter().rev() {
        if !found.iter().any(|(partition, _)| *partition == record.source_partition) {
            found.push((record.source_partition, offset_json(record.source_offset)));
        }
    }
    found
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
