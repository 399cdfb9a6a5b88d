//! Offset syncs: notes of which offset of a topic is which of its mirror. Consumers that move from
//! one cluster to the other, and MirrorMaker's checkpoints, go by them.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use millrace_kafka::producer::Producer;
use millrace_kafka::record_batch::NO_HEADERS;
use millrace_net::rt;

/// Syncs on their way at a time; more wait, and the latest of each partition goes.
const IN_FLIGHT: u64 = 10;
/// What the last syncs have to arrive when the task stops.
const LAST_SYNCS: Duration = Duration::from_secs(5);

/// Records in a row of one partition, their offsets without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Index of the partition among the task's.
    pub partition: u32,
    /// Upstream offset of the first.
    pub from: i64,
    pub count: u32,
}

/// Appends a record to the runs of its poll.
pub fn note(runs: &mut Vec<Run>, partition: u32, offset: i64) {
    match runs.last_mut() {
        Some(last)
            if last.partition == partition && last.from + i64::from(last.count) == offset =>
        {
            last.count += 1;
        }
        _ => runs.push(Run { partition, from: offset, count: 1 }),
    }
}

/// A partition's syncs so far.
#[derive(Clone, Copy, Debug)]
struct State {
    upstream: i64,
    downstream: i64,
    /// Downstream offset of the last sync.
    synced: i64,
}

impl State {
    const NEW: Self = Self { upstream: -1, downstream: -1, synced: -1 };

    /// Takes note of a record; `true` if its offsets must be told soon. Rules of `PartitionState`
    /// in Kafka's `OffsetSyncWriter`.
    fn update(&mut self, upstream: i64, downstream: i64, lag_max: i64) -> bool {
        let first = self.synced == -1;
        // Readers translate offsets to the one behind the last sync.
        let stale = downstream - (self.synced + 1) >= lag_max;
        let skipped = upstream - self.upstream != 1;
        let truncated = downstream < self.downstream;
        let due = first || stale || skipped || truncated;
        if due {
            self.synced = downstream;
        }
        self.upstream = upstream;
        self.downstream = downstream;
        due
    }
}

/// Upstream and downstream offset.
type Pair = (i64, i64);

/// Which syncs are to be written; no IO.
pub struct Ledger {
    lag_max: i64,
    states: Vec<State>,
    /// Polls whose outcome is not known yet.
    polls: VecDeque<Vec<Run>>,
    /// To be written as soon as can be, by partition.
    pub pending: BTreeMap<u32, Pair>,
    /// To be written at the next commit.
    delayed: BTreeMap<u32, Pair>,
}

impl Ledger {
    pub fn new(partitions: usize, lag_max: i64) -> Self {
        Self {
            lag_max,
            states: vec![State::NEW; partitions],
            polls: VecDeque::new(),
            pending: BTreeMap::new(),
            delayed: BTreeMap::new(),
        }
    }

    /// A poll that gave records.
    pub fn polled(&mut self, runs: Vec<Run>) {
        self.polls.push_back(runs);
    }

    /// The oldest poll's records are at these offsets; −1 for those that are nowhere.
    pub fn acknowledged(&mut self, offsets: &[i64]) {
        let Some(runs) = self.polls.pop_front() else { return };
        let mut offsets = offsets.iter();
        for Run { partition, from, count } in runs {
            let Some(state) = self.states.get_mut(partition as usize) else { continue };
            let upstream = from..from + i64::from(count);
            for (upstream, downstream) in upstream.zip(offsets.by_ref().take(count as usize)) {
                if *downstream < 0 {
                    continue;
                }
                let pair = (upstream, *downstream);
                if state.update(upstream, *downstream, self.lag_max) {
                    self.delayed.remove(&partition);
                    self.pending.insert(partition, pair);
                } else {
                    self.delayed.insert(partition, pair);
                }
            }
        }
    }

    /// What was not worth a sync is told now.
    pub fn commit(&mut self) {
        self.pending.append(&mut self.delayed);
    }
}

/// Writes the syncs.
pub struct OffsetSyncs {
    pub ledger: Ledger,
    topic: String,
    /// Of each partition: the record's key.
    keys: Vec<Vec<u8>>,
    producer: Producer,
    task: String,
}

impl OffsetSyncs {
    pub fn new(
        task: &str,
        topic: String,
        partitions: &[(String, i32)],
        lag_max: i64,
        producer: Producer,
    ) -> Self {
        Self {
            ledger: Ledger::new(partitions.len(), lag_max),
            keys: partitions.iter().map(|(topic, partition)| key(topic, *partition)).collect(),
            topic,
            producer,
            task: task.to_owned(),
        }
    }

    /// Writes what can be written now; the rest waits.
    pub fn fire(&mut self) {
        for failure in self.producer.take_failures() {
            tracing::error!(task = %self.task, "Failure sending offset sync: {}", failure.error);
        }
        while let Some((partition, pair)) = self.ledger.pending.first_key_value() {
            let (partition, value) = (*partition, value(*pair));
            if self.producer.next_ticket() - self.producer.acked_up_to() >= IN_FLIGHT {
                return;
            }
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let now = now.map_or(0, |since| since.as_millis() as i64);
            let key = self.keys.get(partition as usize).map(Vec::as_slice);
            let appended =
                self.producer.append(&self.topic, Some(0), now, key, Some(&value), NO_HEADERS);
            match appended {
                Err(error) if error.is_wait() => return,
                Err(error) => {
                    tracing::error!(task = %self.task, "Failure sending offset sync: {error}");
                }
                Ok(_) => {}
            }
            self.ledger.pending.remove(&partition);
        }
    }

    /// Writes what is left and waits for it, for a limited time.
    pub async fn close(mut self) {
        let until = Instant::now() + LAST_SYNCS;
        self.fire();
        while !self.ledger.pending.is_empty() && Instant::now() < until {
            self.producer.progress(Duration::from_millis(20)).await;
            self.fire();
        }
        let left = self.ledger.pending.len();
        if left > 0 {
            tracing::warn!(task = %self.task, left, "offset syncs could not be written");
        }
        let limit = until.saturating_duration_since(Instant::now()).max(Duration::from_secs(1));
        if let Err(error) = self.producer.close(limit).await {
            tracing::warn!(task = %self.task, "offset syncs: {error}");
        }
        rt::yield_if_needed().await;
    }
}

/// `{topic: STRING, partition: INT32}` as Kafka writes structs.
pub(super) fn key(topic: &str, partition: i32) -> Vec<u8> {
    let mut key = Vec::with_capacity(topic.len() + 6);
    key.extend((topic.len() as u16).to_be_bytes());
    key.extend(topic.as_bytes());
    key.extend(partition.to_be_bytes());
    key
}

/// `{upstreamOffset: INT64, offset: INT64}`.
pub(super) fn value((upstream, downstream): Pair) -> [u8; 16] {
    let mut value = [0; 16];
    value[..8].copy_from_slice(&upstream.to_be_bytes());
    value[8..].copy_from_slice(&downstream.to_be_bytes());
    value
}
