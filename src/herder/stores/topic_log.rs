//! One compacted topic that is followed from its first record on, and written to: what
//! `KafkaBasedLog` is to the JVM's worker.
//!
//! Two tasks on the stores' core: the reader hands over every record in order, for ever, and tells
//! when it has read to where the topic ended when it was asked; the writer produces in rounds. Who
//! hears of a read's end has heard of all records before it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_lite::future::or;
use millrace_kafka::cluster::Cluster;
use millrace_kafka::config::{ConsumerConfig, IsolationLevel, OffsetReset};
use millrace_kafka::consumer::{Consumer, Polled};
use millrace_kafka::offsets::{LATEST, list_offsets};
use millrace_kafka::partitions::{Position, TopicPartition};
use millrace_kafka::producer::{Producer, ProducerConfig};
use millrace_kafka::record_batch::NO_HEADERS;
use millrace_net::rt::sleep;

use super::config_records::Produced;

/// Longest poll; reads and writes do not wait for it.
const POLL: Duration = Duration::from_secs(1);
/// The same while a read to the end is under way: positions move without records, too.
const CLOSE_POLL: Duration = Duration::from_millis(10);
/// Between attempts to read on after an error.
const REST: Duration = Duration::from_secs(1);
/// Writes, and reads to the end, that wait before further ones are refused.
const WAITING: usize = 4096;

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    pub partition: i32,
    pub offset: i64,
    /// Empty where there is none.
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

/// What the reader has to say, in order.
#[derive(Debug)]
pub enum LogEvent {
    Records(Vec<LogRecord>),
    /// All that was in the topic when it was asked has been handed over; or it could not be found
    /// out where the topic ends.
    AtEnd {
        token: u64,
        outcome: Result<(), String>,
    },
    /// Reading fails in a way that waiting does not mend; it is tried again.
    Trouble(String),
}

/// Called with the outcome of a write; must not block.
pub type Written = Box<dyn FnOnce(Result<(), String>) + Send>;

pub(super) struct Write {
    pub records: Vec<Produced>,
    pub done: Written,
}

/// A question for the topic's end, and who hears that it was reached.
pub(super) enum Read {
    /// Whoever gets the events.
    Told(u64),
    /// Somebody whom only the records matter to that are kept beside the log.
    Awaited(Written),
}

impl Read {
    /// Answers that it is not to be.
    pub fn refuse(self, why: &str) {
        if let Self::Awaited(done) = self {
            done(Err(why.to_owned()));
        }
    }
}

/// Both ways into a log, from any thread.
#[derive(Clone)]
pub struct LogHandle {
    writes: flume::Sender<Write>,
    reads: flume::Sender<Read>,
}

/// The log's own ends of them.
pub(super) struct Inbox {
    pub writes: flume::Receiver<Write>,
    pub reads: flume::Receiver<Read>,
}

impl LogHandle {
    pub(super) fn new() -> (Self, Inbox) {
        let (writes, write_inbox) = flume::bounded(WAITING);
        let (reads, read_inbox) = flume::bounded(WAITING);
        (Self { writes, reads }, Inbox { writes: write_inbox, reads: read_inbox })
    }

    /// Produces the records, in order; `done` is told when the brokers have them all.
    pub fn write(&self, records: Vec<Produced>, done: Written) {
        if let Err(refused) = self.writes.try_send(Write { records, done }) {
            (refused.into_inner().done)(Err("too many writes wait for the brokers".to_owned()));
        }
    }

    /// Asks for [`LogEvent::AtEnd`] with this token. False: too many wait already.
    pub fn read_to_end(&self, token: u64) -> bool {
        self.reads.try_send(Read::Told(token)).is_ok()
    }

    /// Calls `done` when all that is in the topic now was handed over, or says why it was not.
    pub fn when_read(&self, done: Written) {
        if let Err(refused) = self.reads.try_send(Read::Awaited(done)) {
            refused.into_inner().refuse("too many reads wait for the brokers");
        }
    }
}

/// A topic of so many partitions, and how its clients are set up.
pub(super) struct TopicLog {
    pub topic: String,
    pub partitions: i32,
    pub consumer: ConsumerConfig,
    pub producer: ProducerConfig,
}

impl TopicLog {
    /// Reads until the handles are gone, or `deliver` says that nobody listens any more.
    pub async fn read(
        &self,
        reads: flume::Receiver<Read>,
        mut deliver: impl AsyncFnMut(LogEvent) -> bool,
    ) {
        let names = (0..self.partitions).map(|at| TopicPartition::new(&*self.topic, at));
        let mut reader = Reader {
            cluster: Cluster::for_consumer(&self.consumer),
            names: names.collect(),
            positions: BTreeMap::new(),
            asked: Vec::new(),
        };
        loop {
            let mut consumer = Consumer::new(reader.cluster.clone(), self.consumer.clone());
            if let Err(error) = consumer.assign(&reader.assignment()) {
                tracing::error!(topic = self.topic, %error, "cannot read");
            }
            let ended = reader.follow(&mut consumer, &reads, &mut deliver).await;
            consumer.close().await;
            let Err(why) = ended else { return };
            tracing::error!(topic = self.topic, "cannot read on: {why}; trying again");
            if !deliver(LogEvent::Trouble(why)).await {
                return;
            }
            sleep(REST).await;
        }
    }

    /// Produces until the handles are gone: one round takes all that waits.
    pub async fn write(&self, writes: flume::Receiver<Write>) {
        let cluster = Cluster::new(self.producer.client.clone());
        let producer = Producer::new(cluster, self.producer.clone());
        let partition = (self.partitions == 1).then_some(0);
        while let Ok(first) = writes.recv_async().await {
            let round: Vec<Write> = std::iter::once(first).chain(writes.try_iter()).collect();
            let mut spans = Vec::with_capacity(round.len());
            for write in &round {
                let begin = producer.next_ticket();
                let appended = append(&producer, &self.topic, partition, &write.records).await;
                spans.push((begin..producer.next_ticket(), appended));
            }
            let mut failures = Vec::new();
            while producer.flush().await.is_err() {
                failures.extend(producer.take_failures());
            }
            for (write, (span, appended)) in round.into_iter().zip(spans) {
                let lost = failures.iter().find(|failure| {
                    let within = |ticket: &std::ops::Range<u64>| {
                        ticket.start < span.end && span.start < ticket.end
                    };
                    failure.tickets.iter().any(within)
                });
                let outcome = match lost {
                    Some(failure) => Err(failure.error.to_string()),
                    None => appended,
                };
                (write.done)(outcome);
            }
        }
        let _ = producer.close(Duration::from_secs(1)).await;
    }
}

/// Hands the records to the producer, in order. Without a partition, that of the key.
pub(super) async fn append(
    producer: &Producer,
    topic: &str,
    partition: Option<i32>,
    records: &[Produced],
) -> Result<(), String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    for (key, value) in records {
        loop {
            let value = value.as_deref();
            match producer.append(topic, partition, now, Some(key), value, NO_HEADERS) {
                Ok(_) => break,
                Err(error) if error.is_wait() => {
                    producer.ready().await.map_err(|error| error.to_string())?;
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }
    Ok(())
}

/// A read to the end under way: where each partition ended when it was asked.
struct Asked {
    by: Read,
    ends: Vec<(TopicPartition, i64)>,
}

struct Reader {
    cluster: Cluster,
    names: Vec<TopicPartition>,
    /// What was handed over already; survives the consumer.
    positions: BTreeMap<TopicPartition, i64>,
    asked: Vec<Asked>,
}

enum Step {
    Asked(Result<Read, flume::RecvError>),
    Polled(Result<Vec<LogRecord>, String>),
}

impl Reader {
    fn assignment(&self) -> Vec<(TopicPartition, Position)> {
        let begin = |name: &TopicPartition| match self.positions.get(name) {
            Some(offset) => Position::At(*offset),
            None => Position::Reset(OffsetReset::Earliest),
        };
        self.names.iter().map(|name| (name.clone(), begin(name))).collect()
    }

    /// `Ok`: nobody listens any more. An error ends the consumer.
    async fn follow(
        &mut self,
        consumer: &mut Consumer,
        reads: &flume::Receiver<Read>,
        deliver: &mut impl AsyncFnMut(LogEvent) -> bool,
    ) -> Result<(), String> {
        loop {
            let asked = async { Step::Asked(reads.recv_async().await) };
            let limit = if self.asked.is_empty() { POLL } else { CLOSE_POLL };
            let step = or(asked, async { Step::Polled(poll(consumer, limit).await) }).await;
            let more = match step {
                Step::Asked(Err(_)) => return Ok(()),
                Step::Asked(Ok(by)) => self.ask(by, deliver).await,
                Step::Polled(records) => {
                    let records = records?;
                    self.note(&records);
                    records.is_empty() || deliver(LogEvent::Records(records)).await
                }
            };
            if !more || !self.answer(consumer, deliver).await {
                return Ok(());
            }
        }
    }

    fn note(&mut self, records: &[LogRecord]) {
        for record in records {
            let Some(name) = self.names.get(record.partition as usize) else { continue };
            self.positions.insert(name.clone(), record.offset + 1);
        }
    }

    async fn ask(&mut self, by: Read, deliver: &mut impl AsyncFnMut(LogEvent) -> bool) -> bool {
        let asked: Vec<_> = self.names.iter().map(|name| (name.clone(), LATEST)).collect();
        // Also where only what is committed is read: what is in an open transaction now may be
        // committed in a moment, and who asks is to see it, or that it was aborted.
        match list_offsets(&self.cluster, IsolationLevel::ReadUncommitted, &asked).await {
            Ok(listed) => {
                let ends = listed.into_iter().map(|listed| (listed.name, listed.offset));
                self.asked.push(Asked { by, ends: ends.collect() });
                true
            }
            Err(error) => {
                let outcome = Err(format!("cannot find out where the topic ends: {error}"));
                tell(by, outcome, deliver).await
            }
        }
    }

    /// Tells of reads that have come to their end.
    async fn answer(
        &mut self,
        consumer: &Consumer,
        deliver: &mut impl AsyncFnMut(LogEvent) -> bool,
    ) -> bool {
        if self.asked.is_empty() {
            return true;
        }
        // Beyond the last record handed over there may be ones that nobody sees: markers, gaps.
        let reached = |(name, end): &(TopicPartition, i64)| {
            consumer.position(name).is_some_and(|at| at >= *end)
        };
        let asked = std::mem::take(&mut self.asked);
        for one in asked {
            if !one.ends.iter().all(reached) {
                self.asked.push(one);
            } else if !tell(one.by, Ok(()), deliver).await {
                return false;
            }
        }
        true
    }
}

/// False: nobody listens any more.
async fn tell(
    by: Read,
    outcome: Result<(), String>,
    deliver: &mut impl AsyncFnMut(LogEvent) -> bool,
) -> bool {
    match by {
        Read::Told(token) => deliver(LogEvent::AtEnd { token, outcome }).await,
        Read::Awaited(done) => {
            done(outcome);
            true
        }
    }
}

async fn poll(consumer: &mut Consumer, limit: Duration) -> Result<Vec<LogRecord>, String> {
    let polled = consumer.poll(limit).await.map_err(|error| error.to_string())?;
    let Polled::Records(fetched) = polled else { return Ok(Vec::new()) };
    let mut records = Vec::new();
    for segment in fetched.segments() {
        for record in segment.records() {
            let record = record.map_err(|error| error.to_string())?;
            records.push(LogRecord {
                partition: segment.partition(),
                offset: record.offset,
                key: record.key.map(<[u8]>::to_vec).unwrap_or_default(),
                value: record.value.map(<[u8]>::to_vec),
            });
        }
    }
    Ok(records)
}
