//! What a task counts: the figures that Kafka Connect's metrics are made of.
//!
//! Totals are taken over from the task's [`Progress`] at its reports, a few times a second; what
//! happens once a batch or more seldom is recorded when it happens.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use millrace_api::Config;

use super::sampled::{Meter, Sampled, Windows};
use crate::command::{Progress, TaskState};

/// Average and maximum over the windows; NaN when nothing came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    pub average: f64,
    pub most: f64,
}

/// Records of the transactions that were committed within the windows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TransactionSizes {
    pub least: f64,
    pub average: f64,
    pub most: f64,
}

/// A total since the task's start and its rate a second over the windows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rated {
    pub total: u64,
    pub rate: f64,
}

/// `task-error-metrics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorCounts {
    /// Tries of a step that failed.
    pub failures: u64,
    /// Records that failed for good.
    pub errors: u64,
    pub skipped: u64,
    pub retries: u64,
    pub logged: u64,
    pub dead_letters: u64,
    pub dead_letter_failures: u64,
    /// Milliseconds since 1970, 0 for never.
    pub last: u64,
}

/// What a task's producer counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProducerCounts {
    pub sent: u64,
    pub errors: u64,
    /// Batches that were sent again.
    pub retries: u64,
    pub requests: u64,
    pub batches: u64,
    /// Of batches sent, compressed.
    pub bytes: u64,
}

/// The memory that a task holds, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Converted values of a batch.
    pub arena: u64,
    /// Fetched and decompressed bytes, or records that the producer has not got acknowledged.
    pub buffers: u64,
    /// Everything that the allocator has given to the task and has not got back.
    pub allocated: u64,
}

/// A table that one of the task's transforms joins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableFigures {
    /// The transform's alias.
    pub transform: String,
    pub hits: u64,
    pub misses: u64,
    pub rows: u64,
    /// Memory of the table, which tasks of one core may share.
    pub bytes: u64,
    /// Records of the table's topic that were no rows; keys that a database would not look up.
    pub refused: u64,
    /// Keys that a database was asked for.
    pub asked: u64,
}

/// The figures of one life of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskFigures {
    pub running_ratio: f64,
    pub pause_ratio: f64,
    /// Records read from Kafka, or polled.
    pub read: Rated,
    /// Records that `put` took, or that Kafka acknowledged.
    pub sent: Rated,
    pub dropped: u64,
    /// Of keys and values, uncompressed.
    pub bytes: u64,
    pub batch_size: Sampling,
    /// Of `put`, or of `poll`; milliseconds.
    pub batch_time: Sampling,
    /// Of commits that succeeded, milliseconds.
    pub commit_time: Sampling,
    /// Shares of the commits within the windows; 0 when there was none.
    pub commit_success: f64,
    pub commit_failure: f64,
    pub commits: Rated,
    /// Commits that were begun.
    pub commit_seq_no: u64,
    /// Records read and not committed, or polled and not acknowledged.
    pub active: u64,
    pub active_sampled: Sampling,
    pub partitions: u64,
    /// By topic and partition: records that the broker has beyond the task's position.
    pub lags: Vec<(String, i32, i64)>,
    pub errors: ErrorCounts,
    pub producer: Option<ProducerCounts>,
    /// Of a task with transactions.
    pub transactions: Option<TransactionSizes>,
    pub memory: Memory,
    pub tables: Vec<TableFigures>,
}

/// The counting end; belongs to one task.
pub(crate) struct Counts {
    windows: Windows,
    born: Instant,
    running: Timed,
    paused: Timed,
    read: Meter,
    sent: Meter,
    dropped: u64,
    bytes: u64,
    batch_size: Sampled,
    batch_time: Sampled,
    commit_time: Sampled,
    commit_outcome: Sampled,
    commits: Meter,
    commit_seq_no: u64,
    active: u64,
    active_sampled: Sampled,
    pub partitions: u64,
    pub lags: Vec<(millrace_kafka::partitions::TopicPartition, i64)>,
    pub errors: ErrorCounts,
    pub producer: Option<ProducerCounts>,
    transactions: Option<Sampled>,
    pub memory: Memory,
    pub tables: Vec<TableFigures>,
}

/// Time spent in a state.
#[derive(Default)]
struct Timed {
    before: Duration,
    since: Option<Instant>,
}

impl Timed {
    fn set(&mut self, on: bool, now: Instant) {
        self.before = self.total(now);
        self.since = on.then_some(now);
    }

    fn total(&self, now: Instant) -> Duration {
        let present = self.since.map(|since| now.saturating_duration_since(since));
        self.before + present.unwrap_or_default()
    }
}

impl Counts {
    pub(crate) fn new(worker: &Config) -> Self {
        Self {
            windows: Windows::of(worker),
            born: Instant::now(),
            running: Timed::default(),
            paused: Timed::default(),
            read: Meter::default(),
            sent: Meter::default(),
            dropped: 0,
            bytes: 0,
            batch_size: Sampled::default(),
            batch_time: Sampled::default(),
            commit_time: Sampled::default(),
            commit_outcome: Sampled::default(),
            commits: Meter::default(),
            commit_seq_no: 0,
            active: 0,
            active_sampled: Sampled::default(),
            partitions: 0,
            lags: Vec::new(),
            errors: ErrorCounts::default(),
            producer: None,
            transactions: None,
            memory: Memory::default(),
            tables: Vec::new(),
        }
    }

    pub(crate) fn state(&mut self, state: &TaskState) {
        let now = Instant::now();
        self.running.set(*state == TaskState::Running, now);
        self.paused.set(*state == TaskState::Paused, now);
    }

    /// A batch of so many records was put, or polled, in `time`.
    pub(crate) fn batch(&mut self, now: Instant, records: usize, time: Duration) {
        self.batch_size.record(self.windows, now, records as f64);
        // Whole milliseconds, as the JVM's clock gives them, would hide most of our batches.
        self.batch_time.record(self.windows, now, time.as_secs_f64() * 1000.0);
    }

    /// Takes over what the task counted; `active` are the records read and not committed.
    pub(crate) fn progress(&mut self, now: Instant, progress: &Progress, active: u64) {
        self.read.reach(self.windows, now, progress.records_in);
        self.sent.reach(self.windows, now, progress.records_out);
        self.dropped = progress.records_dropped;
        self.bytes = progress.bytes_in;
        self.active = active;
        self.active_sampled.record(self.windows, now, active as f64);
    }

    pub(crate) fn commit_begun(&mut self) {
        self.commit_seq_no += 1;
    }

    /// `None` is a commit that failed.
    pub(crate) fn commit_ended(&mut self, took: Option<Duration>) {
        let now = Instant::now();
        let outcome = if took.is_some() { 1.0 } else { 0.0 };
        self.commit_outcome.record(self.windows, now, outcome);
        if let Some(took) = took {
            self.commit_time.record(self.windows, now, took.as_secs_f64() * 1000.0);
            self.commits.add(self.windows, now, 1);
        }
    }

    /// The task has transactions, so that there are figures of them before the first ends.
    pub(crate) fn has_transactions(&mut self) {
        self.transactions.get_or_insert_default();
    }

    /// A transaction of so many records was committed.
    pub(crate) fn transaction(&mut self, records: u64) {
        let sizes = self.transactions.get_or_insert_default();
        sizes.record(self.windows, Instant::now(), records as f64);
    }

    /// A try of some step failed for `records` records.
    pub(crate) fn failed(&mut self, records: u64) {
        self.errors.failures += records;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.errors.last = now.as_millis() as u64;
    }

    pub(crate) fn figures(&self) -> TaskFigures {
        let (now, windows) = (Instant::now(), self.windows);
        let sampling = |sampled: &Sampled| Sampling {
            average: sampled.average(windows, now),
            most: sampled.most(windows, now),
        };
        let rated = |meter: &Meter| Rated { total: meter.total, rate: meter.rate(windows, now) };
        let life = now.saturating_duration_since(self.born).as_secs_f64().max(f64::MIN_POSITIVE);
        let success = self.commit_outcome.average(windows, now);
        let lag = |(name, lag): &(millrace_kafka::partitions::TopicPartition, i64)| {
            (name.topic.to_string(), name.partition, *lag)
        };
        TaskFigures {
            running_ratio: self.running.total(now).as_secs_f64() / life,
            pause_ratio: self.paused.total(now).as_secs_f64() / life,
            read: rated(&self.read),
            sent: rated(&self.sent),
            dropped: self.dropped,
            bytes: self.bytes,
            batch_size: sampling(&self.batch_size),
            batch_time: sampling(&self.batch_time),
            commit_time: sampling(&self.commit_time),
            commit_success: if success.is_nan() { 0.0 } else { success },
            commit_failure: if success.is_nan() { 0.0 } else { 1.0 - success },
            commits: rated(&self.commits),
            commit_seq_no: self.commit_seq_no,
            active: self.active,
            active_sampled: sampling(&self.active_sampled),
            partitions: self.partitions,
            lags: self.lags.iter().map(lag).collect(),
            errors: self.errors,
            producer: self.producer,
            transactions: self.transactions.as_ref().map(|sizes| TransactionSizes {
                least: sizes.least(windows, now),
                average: sizes.average(windows, now),
                most: sizes.most(windows, now),
            }),
            memory: self.memory,
            tables: self.tables.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_follow_the_progress_and_commits_have_shares() {
        let mut counts = Counts::new(&Config::new());
        counts.state(&TaskState::Running);
        let progress = Progress { records_in: 30, records_out: 20, ..Progress::default() };
        let now = Instant::now();
        counts.progress(now, &progress, 10);
        counts.progress(now, &progress, 10);
        counts.batch(now, 30, Duration::from_micros(1_500));
        counts.commit_begun();
        counts.commit_ended(None);
        counts.commit_begun();
        counts.commit_ended(Some(Duration::from_millis(4)));
        counts.failed(2);
        let figures = counts.figures();
        assert_eq!((figures.read.total, figures.sent.total, figures.active), (30, 20, 10));
        assert_eq!(figures.batch_time, Sampling { average: 1.5, most: 1.5 });
        assert_eq!((figures.commit_success, figures.commit_failure), (0.5, 0.5));
        assert_eq!((figures.commits.total, figures.commit_seq_no), (1, 2));
        assert!(figures.errors.failures == 2 && figures.errors.last > 1_600_000_000_000);
        assert_eq!(figures.transactions, None);
        counts.has_transactions();
        assert!(counts.figures().transactions.is_some_and(|sizes| sizes.most.is_nan()));
        counts.transaction(2);
        counts.transaction(4);
        let sizes = TransactionSizes { least: 2.0, average: 3.0, most: 4.0 };
        assert_eq!(counts.figures().transactions, Some(sizes));
        assert!(figures.running_ratio > 0.0 && figures.pause_ratio == 0.0);
    }
}
