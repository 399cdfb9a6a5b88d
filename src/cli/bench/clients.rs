//! The bench's own Kafka clients: topics made and filled, and what has arrived counted.
//!
//! They run on cores of this process, so none of their CPU time is the measured worker's.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use millrace_api::Config;
use millrace_kafka::admin::{Admin, Creation, NewTopic};
use millrace_kafka::config::ConsumerConfig;
use millrace_kafka::consumer::Consumer;
use millrace_kafka::partitions::{Position, TopicPartition};
use millrace_kafka::producer::{Producer, ProducerConfig};
use millrace_kafka::{Cluster, KafkaError};
use millrace_net::rt;

use super::super::Failure;
use super::records::Maker;

/// Records between two looks at the clock and at the wish to stop.
const STEP: u64 = 1024;
/// How long the end of a producer's flush may take.
const FLUSH: Duration = Duration::from_secs(120);

/// Where the cluster is, and how to get in: the client's keys of the worker's file.
#[derive(Clone, Debug)]
pub(super) struct Access(pub Config);

impl Access {
    fn cluster(&self) -> Result<Cluster, KafkaError> {
        let parsed = millrace_kafka::config::ClientConfig::parse(&self.0).map_err(problems)?;
        Ok(Cluster::new(parsed.config))
    }

    fn consumer(&self, group: &str) -> Result<Consumer, KafkaError> {
        let mut settings = self.0.clone();
        settings.insert("group.id".to_owned(), group.to_owned());
        let config = ConsumerConfig::parse(&settings).map_err(problems)?.config;
        Ok(Consumer::new(Cluster::for_consumer(&config), config))
    }

    fn producer(&self, more: &Config) -> Result<Producer, KafkaError> {
        let mut settings = self.0.clone();
        settings.extend(more.clone());
        let config = ProducerConfig::parse(&settings).map_err(problems)?.config;
        Ok(Producer::new(Cluster::new(config.client.clone()), config))
    }
}

fn problems(all: Vec<millrace_kafka::config::ConfigProblem>) -> KafkaError {
    let lines: Vec<String> = all.iter().map(ToString::to_string).collect();
    KafkaError::config(lines.join("; "))
}

/// Runs `work` on a core of its own and waits for it.
pub(super) fn on_core<T, F, Fut>(what: &str, work: F) -> Result<T, Failure>
where
    T: Send + 'static,
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = Result<T, KafkaError>> + 'static,
{
    let failed = |why: String| Failure::new(1, format!("{what}: {why}"));
    let (reply, answer) = flume::bounded(1);
    let core = rt::start_core(rt::CoreOptions::new("bench", None), move || async move {
        let _ = reply.send(work().await.map_err(|error| error.to_string()));
        // Lets the connections' tasks see that they are no longer wanted.
        rt::sleep(Duration::ZERO).await;
    });
    core.map_err(|error| failed(error.to_string()))?.join().map_err(failed)?;
    let outcome = answer.recv().map_err(|_| failed("it ended without an answer".to_owned()))?;
    outcome.map_err(failed)
}

/// Topic and partition.
pub(super) type Place = (String, i32);

/// What is in topics: the first and the next offset of each partition.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub begins: BTreeMap<Place, i64>,
    pub ends: BTreeMap<Place, i64>,
}

impl Span {
    pub(super) fn records(&self) -> u64 {
        between(&self.begins, &self.ends)
    }
}

/// Makes the topics that are missing and looks at what is in them.
pub(super) fn prepare(
    access: &Access,
    topics: &[String],
    partitions: i32,
) -> Result<Span, Failure> {
    let (access, topics) = (access.clone(), topics.to_vec());
    on_core("the topics cannot be made", move || async move {
        let admin = Admin::new(access.cluster()?);
        let new: Vec<NewTopic> = topics
            .iter()
            .map(|topic| NewTopic {
                name: topic.clone(),
                partitions,
                replication_factor: -1,
                configs: BTreeMap::new(),
            })
            .collect();
        for creation in admin.create_topics(&new).await? {
            if let Creation::Failed(error) = creation {
                return Err(error);
            }
        }
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        admin.wait_for_leaders(&names).await?;
        let consumer = access.consumer("")?;
        let names = partitions_of(&admin.describe_topics(&names).await?);
        let begins = by_place(consumer.beginning_offsets(&names).await?);
        let ends = by_place(consumer.end_offsets(&names).await?);
        Ok(Span { begins, ends })
    })
}

/// The end offsets of these topics, those that do not exist left out; without names, of all that
/// are not internal.
pub(super) fn ends_now(
    access: &Access,
    topics: &[String],
) -> Result<BTreeMap<Place, i64>, Failure> {
    let (access, topics) = (access.clone(), topics.to_vec());
    on_core("the topics cannot be looked at", move || async move {
        let consumer = access.consumer("")?;
        let admin = Admin::new(consumer.cluster().clone());
        ends(&consumer, &admin, &topics).await
    })
}

async fn ends(
    consumer: &Consumer,
    admin: &Admin,
    topics: &[String],
) -> Result<BTreeMap<Place, i64>, KafkaError> {
    let mut listed = if topics.is_empty() {
        admin.list_topics().await?
    } else {
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        admin.describe_topics(&names).await?
    };
    listed.retain(|name, topic| !topic.internal && !name.starts_with("__"));
    Ok(by_place(consumer.end_offsets(&partitions_of(&listed)).await?))
}

fn partitions_of(
    topics: &BTreeMap<Rc<str>, millrace_kafka::metadata::Topic>,
) -> Vec<TopicPartition> {
    let mut names = Vec::new();
    for (name, topic) in topics {
        for partition in 0..topic.partitions.len() {
            names.push(TopicPartition::new(name.clone(), partition as i32));
        }
    }
    names
}

fn by_place(offsets: impl IntoIterator<Item = (TopicPartition, i64)>) -> BTreeMap<Place, i64> {
    offsets
        .into_iter()
        .map(|(name, offset)| ((name.topic.to_string(), name.partition), offset))
        .collect()
}

/// Lets a group start at these offsets.
pub(super) fn start_group_at(
    access: &Access,
    group: &str,
    offsets: &BTreeMap<Place, i64>,
) -> Result<(), Failure> {
    let (access, group, offsets) = (access.clone(), group.to_owned(), offsets.clone());
    on_core("the group's start cannot be set", move || async move {
        let mut consumer = access.consumer(&group)?;
        let names = places(&offsets);
        assign(&mut consumer, &names)?;
        let all: Vec<_> = names.into_iter().zip(offsets.into_values()).collect();
        consumer.commit(&all).await?;
        consumer.close().await;
        Ok(())
    })
}

fn places(offsets: &BTreeMap<Place, i64>) -> Vec<TopicPartition> {
    offsets
        .keys()
        .map(|(topic, partition)| TopicPartition::new(topic.as_str(), *partition))
        .collect()
}

/// A membership of none: only for commits.
fn assign(consumer: &mut Consumer, names: &[TopicPartition]) -> Result<(), KafkaError> {
    let all: Vec<_> = names.iter().map(|name| (name.clone(), Position::Committed)).collect();
    consumer.assign(&all)
}

/// What is to be produced.
pub(super) struct Filling {
    pub topics: Vec<String>,
    pub maker: Arc<Maker>,
    /// The first record's number, and how many.
    pub first: u64,
    pub records: u64,
    /// Records a second, due at fixed times; `None`: as fast as they go.
    pub rate: Option<f64>,
    pub settings: Config,
}

/// What was produced and acknowledged.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Filled {
    pub records: u64,
    /// Of values.
    pub bytes: u64,
    /// When the first record was due, ms since 1970.
    pub begun: i64,
    /// The longest that a record left this process behind its due time, in ms.
    pub late: i64,
}

/// Produces, round robin over the topics; `done` counts on the way.
pub(super) fn fill(
    access: &Access,
    filling: Filling,
    done: &Arc<AtomicU64>,
    stop: &Arc<AtomicBool>,
) -> Result<Filled, Failure> {
    let (access, done, stop) = (access.clone(), Arc::clone(done), Arc::clone(stop));
    on_core("the topic cannot be filled", move || async move {
        let producer = access.producer(&filling.settings)?;
        let filled = match filling.rate {
            None => at_full_speed(&producer, &filling, &done, &stop).await,
            Some(rate) => super::open_loop::at_rate(&producer, &filling, rate, &done, &stop).await,
        };
        let closed = producer.close(FLUSH).await;
        let filled = filled?;
        closed?;
        Ok(filled)
    })
}

async fn at_full_speed(
    producer: &Producer,
    filling: &Filling,
    done: &AtomicU64,
    stop: &AtomicBool,
) -> Result<Filled, KafkaError> {
    let mut filled = Filled { begun: now_ms(), ..Filled::default() };
    let mut now = filled.begun;
    let mut value = Vec::new();
    for at in 0..filling.records {
        if at % STEP == 0 {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            now = now_ms();
            done.store(filled.records, Ordering::Relaxed);
            rt::yield_if_needed().await;
        }
        value.clear();
        filling.maker.write(filling.first + at, now, &mut value);
        append(producer, filling, at, now, &value).await?;
        filled.records += 1;
        filled.bytes += value.len() as u64;
    }
    Ok(filled)
}

/// Appends one record, waiting for room where there is none.
pub(super) async fn append(
    producer: &Producer,
    filling: &Filling,
    at: u64,
    timestamp: i64,
    value: &[u8],
) -> Result<(), KafkaError> {
    let topic = &filling.topics[(at % filling.topics.len() as u64) as usize];
    loop {
        match producer.append(topic, None, timestamp, None, Some(value), []) {
            Ok(_) => return Ok(()),
            Err(error) if error.is_wait() => producer.ready().await?,
            Err(error) => return Err(KafkaError::config(error.to_string())),
        }
    }
}

/// Milliseconds since 1970: the resolution of a record's timestamp.
pub(super) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}

/// What a watcher counts.
#[derive(Clone, Debug)]
pub(super) enum Counted {
    /// What a group committed of these partitions, beyond the offsets given.
    Committed { group: String, from: BTreeMap<Place, i64> },
    /// What came into topics: these, or when there are none all that are not internal.
    Arrived { topics: Vec<String>, from: BTreeMap<Place, i64> },
}

/// One look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub at: Instant,
    pub records: u64,
}

/// Looks again and again from a core of its own until it is dropped.
pub(super) struct Watch {
    pub seen: flume::Receiver<Result<Seen, String>>,
    stop: Arc<AtomicBool>,
    core: Option<rt::CoreThread>,
}

impl Watch {
    pub(super) fn start(
        access: &Access,
        counted: Counted,
        every: Duration,
    ) -> Result<Self, Failure> {
        // Nobody may be listening for a while: the newest looks are what counts, so old ones go.
        let (out, seen) = flume::bounded(64);
        let stop = Arc::new(AtomicBool::new(false));
        let (access, stopped) = (access.clone(), Arc::clone(&stop));
        let core = rt::start_core(rt::CoreOptions::new("watch", None), move || async move {
            if let Err(error) = look(access, counted, every, &stopped, &out).await {
                let _ = out.try_send(Err(error.to_string()));
            }
            rt::sleep(Duration::ZERO).await;
        })
        .map_err(|error| Failure::startup(format!("no core to count on: {error}")))?;
        Ok(Self { seen, stop, core: Some(core) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(core) = self.core.take() {
            let _ = core.join();
        }
    }
}

async fn look(
    access: Access,
    counted: Counted,
    every: Duration,
    stop: &AtomicBool,
    out: &flume::Sender<Result<Seen, String>>,
) -> Result<(), KafkaError> {
    let group = match &counted {
        Counted::Committed { group, .. } => group.as_str(),
        Counted::Arrived { .. } => "",
    };
    let mut consumer = access.consumer(group)?;
    let admin = Admin::new(consumer.cluster().clone());
    if let Counted::Committed { from, .. } = &counted {
        assign(&mut consumer, &places(from))?;
    }
    while !stop.load(Ordering::Relaxed) {
        let records = match &counted {
            Counted::Committed { from, .. } => {
                let committed = consumer.committed(&places(from)).await?;
                let now = committed.into_iter().map(|(name, at)| (name, at.offset));
                between(from, &by_place(now))
            }
            Counted::Arrived { topics, from } => {
                between(from, &ends(&consumer, &admin, topics).await?)
            }
        };
        let _ = out.try_send(Ok(Seen { at: Instant::now(), records }));
        rt::sleep(every).await;
    }
    consumer.close().await;
    Ok(())
}

/// By how much offsets lie apart, all partitions together.
fn between(from: &BTreeMap<Place, i64>, to: &BTreeMap<Place, i64>) -> u64 {
    to.iter().map(|(place, at)| (at - from.get(place).unwrap_or(&0)).max(0) as u64).sum()
}
