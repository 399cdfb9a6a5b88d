//! A sink task on its core: from fetched batch to committed offset.

use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

use millrace_api::error::{ConnectError, ErrorKind, Stage};
use millrace_api::record::{Origin, Record, TopicPartition};
use millrace_api::sink::{SinkTask, SinkTaskContext};
use millrace_converters::Arena;
use millrace_kafka::consumer::{Consumer, Fetched, Handle, Polled};
use millrace_net::rt;

use crate::bounds::BoundedJob;
use crate::command::{Progress, TaskState};
use crate::control::{Control, HEARING, RESTING};
use crate::kafka_errors::consume_error;
use crate::metrics::{LatencyStage, Memory, Span as Times};
use crate::reporter::Reporter;
use crate::rest::Rest;
use crate::sink_assignment::{Assignment, Occasion};
use crate::sink_batch::{Conversion, Errors, recycle};
use crate::sink_offsets::SinkOffsets;
use crate::table_feed::Tables;
use crate::transformation_chain::Chain;
use crate::workspace::Workspace;

/// What an iteration leaves the loop to do.
#[derive(Clone, Copy, PartialEq)]
enum Flow {
    GoOn,
    /// A bulk job reached its end offsets.
    Finished,
}

pub(crate) struct WorkerSinkTask {
    pub task: Box<dyn SinkTask>,
    pub context: Rc<SinkTaskContext>,
    pub consumer: Consumer,
    /// Of the consumer.
    pub handle: Handle,
    pub chain: Chain,
    /// Of the chain's transforms.
    pub tables: Tables,
    pub errors: Errors,
    pub job: Option<BoundedJob>,
    pub control: Rc<Control>,
    pub reporter: Reporter,
    pub flush_interval: Duration,
    pub flush_timeout: Duration,
    pub offsets: SinkOffsets,
    pub next_commit: Instant,
    pub progress: Progress,
    pub next_report: Instant,
    pub next_count: Instant,
    pub paused: bool,
    /// `max.poll.records`: how many one `put` gets.
    pub most_records: usize,
    /// That the last batch's values took.
    pub arena_bytes: usize,
    pub rest: Rest,
    /// When each segment's records were produced; kept for its memory.
    pub times: Vec<Times>,
}

impl WorkerSinkTask {
    /// Runs until it is stopped, has finished its bulk job, or fails. Whatever ends it, partitions
    /// are given up in order and what is durable is committed.
    pub(crate) async fn run(mut self) -> Result<TaskState, ConnectError> {
        let ended = self.iterate().await;
        let closed = self.shut_down(ended.as_ref().is_ok_and(|finished| *finished)).await;
        // Leaves the group, so that the partitions do not wait for a session to end.
        let _ = rt::timeout(LEAVE, self.consumer.close()).await;
        self.reporter.life().is_member(String::new());
        self.errors.close().await;
        self.tables.close().await;
        let finished = ended?;
        closed?;
        Ok(if finished { TaskState::Finished } else { TaskState::Unassigned })
    }

    /// `true` when a bulk job reached its end.
    async fn iterate(&mut self) -> Result<bool, ConnectError> {
        while !self.control.stopping() {
            match self.iteration().await {
                Ok(Flow::Finished) => return Ok(true),
                Ok(Flow::GoOn) => {}
                // What cannot be done now is left to the task's next life.
                Err(error) if error.kind == ErrorKind::Retriable && self.control.stopping() => {
                    break;
                }
                Err(error) => return Err(error),
            }
            rt::yield_if_needed().await;
        }
        Ok(false)
    }

    async fn iteration(&mut self) -> Result<Flow, ConnectError> {
        let heard = self.control.calls();
        self.follow_pause();
        self.commit_if_due().await?;
        self.report_if_due();
        self.tables.check()?;
        if self.is_finished() {
            return Ok(Flow::Finished);
        }
        let wait = self.patience();
        let asked = Instant::now();
        let poll = self.consumer.poll(wait);
        let Some(polled) = self.control.unless_called(heard, poll).await else {
            return Ok(Flow::GoOn);
        };
        match polled.map_err(consume_error)? {
            Polled::Records(fetched) => {
                self.rest.stir();
                let fetched_in = asked.elapsed();
                self.reporter.metrics().latency().took(LatencyStage::FetchWait, fetched_in);
                let Workspace { arena, records } = Workspace::take();
                let mut delivery = Delivery {
                    conversion: Conversion {
                        chain: &mut self.chain,
                        errors: &mut self.errors,
                        progress: &mut self.progress,
                        control: &self.control,
                        reporter: &self.reporter,
                    },
                    task: &mut *self.task,
                    context: &self.context,
                    offsets: &mut self.offsets,
                    reporter: &self.reporter,
                    handle: &self.handle,
                    job: self.job.as_ref(),
                    paused: self.paused,
                    patience: self.flush_timeout,
                    most_records: self.most_records,
                    arena: &arena,
                    records: recycle(records),
                    taken: 0,
                    gone: Vec::new(),
                    times: &mut self.times,
                };
                let delivered = delivery.run(&fetched).await;
                let records = recycle(delivery.records);
                self.arena_bytes = arena.allocated_bytes();
                Workspace { arena, records }.give_back();
                self.consumer.end_loan();
                delivered?;
            }
            Polled::News(news) => {
                self.rest.stir();
                self.assignment().take(news).await?;
            }
            // During a rebalance everything rests: a time-based flush could be another's by now.
            Polled::Empty if self.handle.is_suspended() => {}
            Polled::Empty => self.idle().await?,
        }
        self.apply_seeks();
        Ok(Flow::GoOn)
    }

    /// How long the next poll may wait.
    fn patience(&self) -> Duration {
        let asked = self.context.take_timeout().unwrap_or(RESTING);
        // No commit is due during a rebalance, and a bulk job ends where nothing comes.
        if self.handle.is_suspended() || self.job.is_some() {
            return asked.min(HEARING);
        }
        let until_commit = self.next_commit.saturating_duration_since(Instant::now());
        asked.min(self.rest.longest_wait()).min(until_commit)
    }

    /// Nothing came: the sink's chance for time-based work.
    async fn idle(&mut self) -> Result<(), ConnectError> {
        let started = Instant::now();
        let put = self.task.put(&[]).await;
        self.reporter.metrics().counts().batch(started, 0, started.elapsed());
        // Said once: trouble that lasts must not seem to end and begin at each poll.
        let (trouble, put) = match put {
            Err(error) if error.kind == ErrorKind::Retriable => (Some(error.to_string()), Ok(())),
            put => (self.consumer.trouble().map(|error| error.to_string()), put),
        };
        let is_done = trouble.is_none() && self.offsets.behind() == 0;
        self.rest.nothing_came(!is_done || !self.tables.is_empty());
        self.reporter.trouble(trouble);
        put.map_err(put_error)
    }

    fn assignment(&mut self) -> Assignment<'_> {
        Assignment {
            task: &mut *self.task,
            offsets: &mut self.offsets,
            errors: &mut self.errors,
            reporter: &self.reporter,
            handle: &self.handle,
            is_bulk: self.job.is_some(),
            paused: self.paused,
            patience: self.flush_timeout,
        }
    }

    async fn commit_if_due(&mut self) -> Result<(), ConnectError> {
        if self.handle.is_suspended() {
            // Committed before the rebalance began; what is held now may be another's soon.
            return Ok(());
        }
        if Instant::now() < self.next_commit && !self.context.take_commit_request() {
            return Ok(());
        }
        self.next_commit = Instant::now() + self.flush_interval;
        self.rest.committed();
        self.assignment().commit(Occasion::Interval).await
    }

    fn apply_seeks(&mut self) {
        for (partition, offset) in self.context.take_seeks() {
            if self.consumer.seek(&kafka_name(&partition), offset) {
                self.offsets.taken(&partition, offset);
                self.reporter.metrics().latency().forget(&partition);
            }
        }
    }

    fn follow_pause(&mut self) {
        let wanted = self.control.paused();
        if wanted == self.paused {
            return;
        }
        self.paused = wanted;
        self.rest.stir();
        let all = self.consumer.assignment();
        if wanted {
            self.consumer.pause(&all);
            self.context.request_commit();
        } else {
            self.consumer.resume(&all);
        }
        self.reporter.state(if wanted { TaskState::Paused } else { TaskState::Running });
    }

    /// The bulk job: every partition is at its end.
    fn is_finished(&self) -> bool {
        let Some(job) = &self.job else { return false };
        job.reached(|partition| self.consumer.position(&kafka_name(partition)))
    }

    fn report_if_due(&mut self) {
        let now = Instant::now();
        if now < self.next_count {
            return;
        }
        self.next_count = now + COUNTED;
        self.progress.shapes = self.chain.shape_counts();
        self.count(now);
        // The metrics are this core's; a report may wake another thread.
        if now < self.next_report {
            return;
        }
        self.next_report = now + self.reporter.pace();
        self.rest.reported();
        self.note_positions();
        self.reporter.progress(self.progress.clone());
    }

    /// Lets the metrics have what they do not get batch by batch.
    fn count(&self, now: Instant) {
        let mut counts = self.reporter.metrics().counts();
        counts.progress(now, &self.progress, self.offsets.behind());
        counts.partitions = self.offsets.consumed().len() as u64;
        counts.lags = self.consumer.lags();
        counts.tables = self.tables.figures();
        counts.memory = Memory {
            arena: self.arena_bytes as u64,
            buffers: self.consumer.buffer_bytes() as u64,
            ..Memory::default()
        };
    }

    /// A bulk job's partitions with their ends; otherwise those that records came from, whose end
    /// is open.
    fn note_positions(&mut self) {
        for (partition, at) in self.offsets.consumed() {
            let (at, end) = match &self.job {
                Some(job) => ((*at).min(job.end(partition)), job.end(partition)),
                None if self.offsets.moved(partition) => (*at, -1),
                None => continue,
            };
            let place = (partition.topic.to_string(), partition.partition);
            self.progress.partitions.insert(place, (at, end));
        }
    }

    async fn shut_down(&mut self, finished: bool) -> Result<(), ConnectError> {
        let closed = self.close_partitions(finished).await;
        self.task.stop().await;
        self.progress.shapes = self.chain.shape_counts();
        tracing::debug!(task = %self.reporter.id(), "shapes: {}", self.progress.shapes);
        self.note_positions();
        self.count(Instant::now());
        self.reporter.last_progress(self.progress.clone());
        closed
    }

    /// Makes a finished job durable to its last record, commits and gives the partitions up.
    async fn close_partitions(&mut self, finished: bool) -> Result<(), ConnectError> {
        if finished {
            self.finish().await?;
        }
        let committed = self.assignment().commit(Occasion::End).await;
        let all: Vec<TopicPartition> = self.offsets.consumed().keys().cloned().collect();
        if !all.is_empty() {
            self.task.close(&all).await?;
        }
        committed
    }

    /// Completes open files; a store that is away is tried again until the user stops the job.
    async fn finish(&mut self) -> Result<(), ConnectError> {
        let mut wait = RETRY_FIRST;
        loop {
            match self.task.finish().await {
                Err(error) if error.kind == ErrorKind::Retriable => {
                    self.reporter.trouble(Some(error.to_string()));
                    if !self.control.sleep(wait).await {
                        return Err(error);
                    }
                    wait = (wait * 2).min(RETRY_MOST);
                }
                done => return done,
            }
        }
    }
}

/// How often the metrics get what they do not get batch by batch.
const COUNTED: Duration = Duration::from_millis(250);

/// The shortest wait of a task that holds a batch.
const MOMENT: Duration = Duration::from_millis(5);

/// How long leaving the group may take.
const LEAVE: Duration = Duration::from_secs(3);

/// The first and the longest wait before a sink gets a refused batch again.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(10);

/// One poll's records on their way into the sink.
struct Delivery<'t, 'a> {
    conversion: Conversion<'t>,
    task: &'t mut dyn SinkTask,
    context: &'t SinkTaskContext,
    offsets: &'t mut SinkOffsets,
    reporter: &'t Reporter,
    handle: &'t Handle,
    job: Option<&'t BoundedJob>,
    paused: bool,
    patience: Duration,
    most_records: usize,
    arena: &'a Arena,
    records: Vec<Record<'a>>,
    /// So many of the records the sink has taken.
    taken: usize,
    /// Partitions that went to other tasks while the batch waited, and its records of them with them.
    gone: Vec<TopicPartition>,
    times: &'t mut Vec<Times>,
}

impl<'a> Delivery<'_, 'a> {
    async fn run(&mut self, fetched: &Fetched<'a>) -> Result<(), ConnectError> {
        let metrics = self.reporter.metrics();
        let started = Instant::now();
        self.conversion.chain.begin_batch();
        metrics.latency().begin_batch();
        self.times.clear();
        for segment in fetched.segments() {
            let end = self.job.map_or(i64::MAX, |job| job.end(&api_name(segment.name())));
            let times = self.conversion.run(&segment, end, self.arena, &mut self.records).await?;
            self.times.push(times);
        }
        let converted = Instant::now();
        metrics.latency().took(LatencyStage::Convert, converted - started);
        if !self.put_all(fetched).await? {
            return Ok(());
        }
        let took = converted.elapsed();
        metrics.latency().took(LatencyStage::Put, took);
        metrics.counts().batch(converted, self.records.len(), took);
        metrics.latency().delivered(&self.records);
        self.conversion.progress.records_out += self.records.len() as u64;
        for (segment, times) in fetched.segments().zip(&*self.times) {
            let name = api_name(segment.name());
            if self.gone.contains(&name) {
                continue;
            }
            let end = self.job.map_or(i64::MAX, |job| job.end(&name));
            let next = segment.next_offset().min(end);
            self.offsets.taken(&name, next);
            metrics.latency().put(&name, next, *times);
        }
        Ok(())
    }

    /// Hands the batch over, in pieces of `max.poll.records` if that is set. `false` when the task is
    /// to stop before the sink took all of it.
    async fn put_all(&mut self, fetched: &Fetched<'a>) -> Result<bool, ConnectError> {
        loop {
            if !self.put().await? {
                return Ok(false);
            }
            let piece = self.piece();
            self.errant(fetched).await?;
            self.taken = piece.end;
            if self.taken == self.records.len() {
                return Ok(true);
            }
            for record in &self.records[piece] {
                if let Origin::Sink { topic, partition, offset, .. } = record.origin {
                    self.offsets.taken_at(topic, partition, offset + 1);
                }
            }
            // As between two polls: the group is heard, and the wish to stop.
            if !self.hold(Duration::ZERO).await? {
                return Ok(false);
            }
        }
    }

    /// What the sink gets next.
    fn piece(&self) -> Range<usize> {
        self.taken..self.records.len().min(self.taken.saturating_add(self.most_records))
    }

    /// Hands one piece over, the same one again while the sink says so. `false` when the task is to
    /// stop before it took the piece.
    async fn put(&mut self) -> Result<bool, ConnectError> {
        let mut wait = RETRY_FIRST;
        let mut troubled = false;
        loop {
            let piece = self.piece();
            match self.task.put(&self.records[piece]).await {
                Ok(()) => {
                    if troubled {
                        self.reporter.trouble(None);
                    }
                    return Ok(true);
                }
                Err(error) if error.kind == ErrorKind::Retriable => {
                    troubled = true;
                    self.context.take_errant();
                    self.reporter.trouble(Some(error.to_string()));
                    let wanted = self.context.take_timeout().unwrap_or(wait);
                    if !self.hold(wanted).await? {
                        return Ok(false);
                    }
                    wait = (wait * 2).min(RETRY_MOST);
                }
                Err(error) => return Err(put_error(error)),
            }
        }
    }

    /// Waits before the batch is handed over again. Meanwhile the group is answered: rebalances do
    /// not wait for this sink, and what goes to other tasks leaves the batch. `false` when the task
    /// is to stop.
    async fn hold(&mut self, wait: Duration) -> Result<bool, ConnectError> {
        let until = Instant::now() + wait;
        while !self.conversion.control.stopping() {
            if let Some(news) = self.handle.news().map_err(consume_error)? {
                let mut assignment = Assignment {
                    task: &mut *self.task,
                    offsets: &mut *self.offsets,
                    errors: &mut *self.conversion.errors,
                    reporter: self.reporter,
                    handle: self.handle,
                    is_bulk: self.job.is_some(),
                    paused: self.paused,
                    patience: self.patience,
                };
                let gone = assignment.take(news).await?;
                let stays = |record: &Record<'_>| !gone.iter().any(|name| is_of(record, name));
                self.taken = self.records[..self.taken].iter().filter(|one| stays(one)).count();
                self.records.retain(stays);
                self.gone.extend(gone);
                self.handle.done();
                continue;
            }
            self.handle.done();
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() && !self.handle.is_suspended() {
                return Ok(true);
            }
            let control = self.conversion.control;
            let heard = control.calls();
            control.unless_called(heard, rt::sleep(left.clamp(MOMENT, HEARING))).await;
        }
        Ok(false)
    }

    /// Records that the sink itself gave up go where `errors.*` says.
    async fn errant(&mut self, fetched: &Fetched<'a>) -> Result<(), ConnectError> {
        for errant in self.context.take_errant() {
            let Some(record) = self.records.get(self.taken + errant.index) else { continue };
            self.conversion.errors.give_up_errant(errant, record, fetched).await?;
            self.conversion.progress.records_dropped += 1;
        }
        Ok(())
    }
}

/// The record was read from that partition, whatever transforms call its topic now.
fn is_of(record: &Record<'_>, name: &TopicPartition) -> bool {
    matches!(record.origin, Origin::Sink { topic, partition, .. }
        if partition == name.partition && *topic == *name.topic)
}

fn put_error(error: ConnectError) -> ConnectError {
    if error.stage.is_some() { error } else { error.at(Stage::TaskPut) }
}

pub(crate) fn api_name(name: &millrace_kafka::partitions::TopicPartition) -> TopicPartition {
    TopicPartition { topic: Rc::clone(&name.topic), partition: name.partition }
}

pub(crate) fn api_names(
    names: &[millrace_kafka::partitions::TopicPartition],
) -> Vec<TopicPartition> {
    names.iter().map(api_name).collect()
}

pub(crate) fn kafka_name(name: &TopicPartition) -> millrace_kafka::partitions::TopicPartition {
    millrace_kafka::partitions::TopicPartition::new(Rc::clone(&name.topic), name.partition)
}
