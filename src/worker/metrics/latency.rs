//! Where a task's time goes, by stage, and how old records are when they arrive.
//!
//! No clock is read and no histogram touched per record: a batch's records count by the batch's
//! least and greatest timestamp, spread evenly between them ([`Distribution::record_span`]). So a
//! percentile is off by less than what one record batch spans in time, some milliseconds for
//! producers that keep up. `millrace.latency.histograms=record` takes each record's own timestamp.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use millrace_api::Config;
use millrace_api::record::{Record, TopicPartition};
use millrace_api::sink::Offsets;

use super::distribution::{Distribution, wall_micros};

/// What is measured. A record's own timestamp is where [`Self::Delivered`] and [`Self::Durable`]
/// begin; everything else is time that the task spends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LatencyStage {
    /// Sink: a poll of the consumer that brought records.
    FetchWait,
    /// Source: a poll of the connector that brought records.
    Poll,
    /// A batch through converters and transforms; of a source, into the producer's batches too.
    Convert,
    /// Sink: a batch's `put`, retries and their waits included.
    Put,
    /// Sink: `pre_commit` and the commit of offsets. Source: storing offsets, and `commit`.
    Commit,
    /// Source: from the return of `poll` to the brokers' acknowledgement of all its records.
    Acknowledged,
    /// From the record's timestamp (of its producer; the broker's where the topic says
    /// `LogAppendTime`) to the return of the `put` that took it; of a source, from the timestamp
    /// that the connector gave to the brokers' acknowledgement.
    Delivered,
    /// Sink: from the record's timestamp to the `pre_commit` that called it durable. The worker
    /// asks once in `offset.flush.interval.ms`, so that this wait is part of it.
    Durable,
}

impl LatencyStage {
    pub const ALL: [Self; 8] = [
        Self::FetchWait,
        Self::Poll,
        Self::Convert,
        Self::Put,
        Self::Commit,
        Self::Acknowledged,
        Self::Delivered,
        Self::Durable,
    ];

    /// The stage's name in labels and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::FetchWait => "fetch_wait",
            Self::Poll => "poll",
            Self::Convert => "convert",
            Self::Put => "put",
            Self::Commit => "commit",
            Self::Acknowledged => "acknowledged",
            Self::Delivered => "delivered",
            Self::Durable => "durable",
        }
    }
}

/// `millrace.latency.histograms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    Off,
    /// By the least and greatest timestamp of a batch.
    Batch,
    /// By each record's own timestamp.
    Record,
}

impl Detail {
    pub(crate) fn of(worker: &Config) -> Self {
        match worker.get("millrace.latency.histograms").map(|text| text.trim()) {
            Some("off") => Self::Off,
            Some("record") => Self::Record,
            _ => Self::Batch,
        }
    }
}

/// Least and greatest timestamp of some records, ms since 1970, and how many they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub least: i64,
    pub most: i64,
    pub count: u64,
}

impl Span {
    pub(crate) const EMPTY: Self = Self { least: i64::MAX, most: i64::MIN, count: 0 };

    /// Takes one record in; -1 is no timestamp.
    #[inline]
    pub(crate) fn add(&mut self, timestamp: i64) {
        if timestamp >= 0 {
            self.least = self.least.min(timestamp);
            self.most = self.most.max(timestamp);
            self.count += 1;
        }
    }

    pub(crate) fn join(&mut self, other: &Self) {
        self.least = self.least.min(other.least);
        self.most = self.most.max(other.most);
        self.count += other.count;
    }
}

/// Records that wait: of a sink to be durable, of a source to be acknowledged.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    /// Done when offsets, or tickets, below this are.
    until: u64,
    span: Span,
    /// Source: when `poll` returned the first of them.
    since: Option<Instant>,
}

/// Entries of one queue; when it is full neighbours are joined, which widens their spans.
const QUEUE: usize = 512;

#[derive(Default, Debug)]
struct Queue(VecDeque<Waiting>);

impl Queue {
    fn push(&mut self, waiting: Waiting) {
        if self.0.len() == QUEUE {
            for at in 0..QUEUE / 2 {
                let (mut first, second) = (self.0[2 * at], self.0[2 * at + 1]);
                first.until = second.until;
                first.span.join(&second.span);
                self.0[at] = first;
            }
            self.0.truncate(QUEUE / 2);
        }
        self.0.push_back(waiting);
    }

    fn pop(&mut self, until: u64) -> Option<Waiting> {
        self.0.pop_front_if(|first| first.until <= until)
    }
}

/// The recording end; belongs to one task.
pub(crate) struct Latencies {
    detail: Detail,
    /// Since the last question for an interval; in the order of [`LatencyStage::ALL`].
    interval: [Option<Distribution>; LatencyStage::ALL.len()],
    /// Of the intervals before. Empty as long as nobody asks for intervals.
    before: [Option<Distribution>; LatencyStage::ALL.len()],
    /// What the present batch's record batches span.
    spans: Vec<Span>,
    durable: BTreeMap<TopicPartition, Queue>,
    sent: Queue,
}

impl Latencies {
    pub(crate) fn new(detail: Detail) -> Self {
        Self {
            detail,
            interval: Default::default(),
            before: Default::default(),
            spans: Vec::new(),
            durable: BTreeMap::new(),
            sent: Queue::default(),
        }
    }

    fn of(&mut self, stage: LatencyStage) -> &mut Distribution {
        self.interval[stage as usize].get_or_insert_default()
    }

    /// One call of a stage took this long.
    pub(crate) fn took(&mut self, stage: LatencyStage, time: Duration) {
        if self.detail != Detail::Off {
            self.of(stage).record(time.as_micros() as u64, 1);
        }
    }

    /// A record batch of the fetch that is being converted; its records count as delivered with
    /// [`Self::delivered`]. `None` where its header cannot tell.
    pub(crate) fn converted(&mut self, span: Span) {
        if self.detail != Detail::Off && span.count > 0 && span.most >= 0 {
            self.spans.push(span);
        }
    }

    /// What [`Self::converted`] noted, and was not put, is void.
    pub(crate) fn begin_batch(&mut self) {
        self.spans.clear();
    }

    /// Sink: `put` has taken the batch.
    pub(crate) fn delivered(&mut self, records: &[Record<'_>]) {
        if self.detail == Detail::Off || records.is_empty() {
            return;
        }
        let now = wall_micros();
        if self.detail == Detail::Record {
            let times = self.of(LatencyStage::Delivered);
            for timestamp in records.iter().filter_map(|record| record.timestamp) {
                times.record(age(now, timestamp), 1);
            }
            return;
        }
        let spans = std::mem::take(&mut self.spans);
        let times = self.of(LatencyStage::Delivered);
        for span in &spans {
            times.record_span(age(now, span.most), age(now, span.least), span.count);
        }
        self.spans = spans;
    }

    /// Sink: these records of `partition`, the last of them below `next`, were put.
    pub(crate) fn put(&mut self, partition: &TopicPartition, next: i64, span: Span) {
        if self.detail == Detail::Off || span.count == 0 || span.most < 0 {
            return;
        }
        let waiting = Waiting { until: next.max(0) as u64, span, since: None };
        match self.durable.get_mut(partition) {
            Some(queue) => queue.push(waiting),
            None => {
                let mut queue = Queue::default();
                queue.push(waiting);
                self.durable.insert(partition.clone(), queue);
            }
        }
    }

    /// Sink: the task says that everything below these offsets is durable.
    pub(crate) fn durable(&mut self, offsets: &Offsets) {
        if self.durable.is_empty() {
            return;
        }
        let now = wall_micros();
        let times = self.interval[LatencyStage::Durable as usize].get_or_insert_default();
        for (partition, offset) in offsets {
            let Some(queue) = self.durable.get_mut(partition) else { continue };
            while let Some(Waiting { span, .. }) = queue.pop((*offset).max(0) as u64) {
                times.record_span(age(now, span.most), age(now, span.least), span.count);
            }
        }
    }

    /// Sink: the partition is another's, or is read again from elsewhere.
    pub(crate) fn forget(&mut self, partition: &TopicPartition) {
        self.durable.remove(partition);
    }

    /// Source: a poll that returned at `since` was handed to the producer; its records' tickets are
    /// below `until`.
    pub(crate) fn sent(&mut self, until: u64, since: Instant, span: Span) {
        if self.detail != Detail::Off {
            self.sent.push(Waiting { until, span, since: Some(since) });
        }
    }

    /// Source: the brokers acknowledged all tickets below `until` at `at`.
    pub(crate) fn acknowledged(&mut self, until: u64, at: Instant) {
        let mut wall = None;
        while let Some(Waiting { span, since, .. }) = self.sent.pop(until) {
            if let Some(since) = since {
                let time = at.saturating_duration_since(since);
                self.took(LatencyStage::Acknowledged, time);
            }
            if span.count > 0 {
                // The acknowledgement was a while ago: the wall clock's time of then.
                let then = || wall_micros().saturating_sub(at.elapsed().as_micros() as u64);
                let now = *wall.get_or_insert_with(then);
                let times = self.of(LatencyStage::Delivered);
                times.record_span(age(now, span.most), age(now, span.least), span.count);
            }
        }
    }

    /// Copies of everything since the task's start, by stage.
    pub(crate) fn total(&self) -> BTreeMap<LatencyStage, Distribution> {
        let mut all = BTreeMap::new();
        for stage in LatencyStage::ALL {
            let parts = [&self.before[stage as usize], &self.interval[stage as usize]];
            for part in parts.into_iter().flatten().filter(|part| !part.is_empty()) {
                all.entry(stage)
                    .and_modify(|whole: &mut Distribution| whole.merge(part))
                    .or_insert_with(|| part.clone());
            }
        }
        all
    }

    /// What came since the last call of this, which begins anew.
    pub(crate) fn take_interval(&mut self) -> BTreeMap<LatencyStage, Distribution> {
        let mut all = BTreeMap::new();
        for stage in LatencyStage::ALL {
            let Some(interval) = &mut self.interval[stage as usize] else { continue };
            if interval.is_empty() {
                continue;
            }
            self.before[stage as usize].get_or_insert_default().merge(interval);
            all.insert(stage, interval.clone());
            interval.clear();
        }
        all
    }
}

/// Microseconds from a timestamp in ms to `now`; 0 for one of the future.
fn age(now: u64, timestamp: i64) -> u64 {
    now.saturating_sub((timestamp.max(0) as u64).saturating_mul(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(ago_ms: i64, count: u64) -> Span {
        let at = (wall_micros() / 1000) as i64 - ago_ms;
        Span { least: at, most: at, count }
    }

    #[test]
    fn durable_records_count_once_and_only_below_the_offset() {
        let mut latencies = Latencies::new(Detail::Batch);
        let (a, b) = (TopicPartition::new("t", 0), TopicPartition::new("t", 1));
        latencies.put(&a, 10, span(1_000, 10));
        latencies.put(&a, 20, span(500, 10));
        latencies.put(&b, 7, span(2_000, 7));
        latencies.durable(&Offsets::from([(a.clone(), 15), (b.clone(), 6)]));
        let times = latencies.total().remove(&LatencyStage::Durable).unwrap();
        assert_eq!(times.count(), 10);
        assert!(times.min() >= 999_000, "{}", times.min());
        latencies.forget(&b);
        latencies.durable(&Offsets::from([(a, 20), (b, 7)]));
        assert_eq!(latencies.total()[&LatencyStage::Durable].count(), 20);
    }

    #[test]
    fn a_full_queue_joins_neighbours_and_loses_no_record() {
        let mut latencies = Latencies::new(Detail::Batch);
        let a = TopicPartition::new("t", 0);
        for next in 1..=5_000 {
            latencies.put(&a, next, span(next, 1));
        }
        assert!(latencies.durable[&a].0.len() <= QUEUE);
        latencies.durable(&Offsets::from([(a, 5_000)]));
        assert_eq!(latencies.total()[&LatencyStage::Durable].count(), 5_000);
    }

    #[test]
    fn intervals_begin_anew_and_the_total_goes_on() {
        let mut latencies = Latencies::new(Detail::Batch);
        latencies.took(LatencyStage::Put, Duration::from_millis(3));
        assert_eq!(latencies.take_interval()[&LatencyStage::Put].count(), 1);
        assert!(latencies.take_interval().is_empty());
        latencies.took(LatencyStage::Put, Duration::from_millis(5));
        assert_eq!(latencies.take_interval()[&LatencyStage::Put].max(), 5_003, "right to 0.1 %");
        latencies.took(LatencyStage::Put, Duration::from_millis(1));
        assert_eq!(latencies.total()[&LatencyStage::Put].count(), 3);
    }

    #[test]
    fn a_source_batch_is_done_when_its_last_ticket_is() {
        let mut latencies = Latencies::new(Detail::Batch);
        let polled = Instant::now();
        latencies.sent(10, polled, span(50, 10));
        latencies.sent(30, polled, Span::EMPTY);
        latencies.acknowledged(9, polled);
        assert!(latencies.total().is_empty());
        latencies.acknowledged(30, polled + Duration::from_millis(7));
        let total = latencies.total();
        assert_eq!(total[&LatencyStage::Acknowledged].count(), 2);
        assert_eq!(total[&LatencyStage::Acknowledged].max(), 7_003, "right to 0.1 %");
        assert_eq!(total[&LatencyStage::Delivered].count(), 10);
    }

    #[test]
    fn off_records_nothing() {
        let mut latencies = Latencies::new(Detail::of(&Config::from([(
            "millrace.latency.histograms".to_owned(),
            "off".to_owned(),
        )])));
        latencies.took(LatencyStage::Put, Duration::from_millis(3));
        latencies.converted(span(1, 1));
        latencies.put(&TopicPartition::new("t", 0), 1, span(1, 1));
        latencies.sent(1, Instant::now(), span(1, 1));
        latencies.acknowledged(1, Instant::now());
        assert!(latencies.total().is_empty() && latencies.durable.is_empty());
    }
}
