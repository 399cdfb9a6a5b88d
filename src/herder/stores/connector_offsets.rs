//! Source connectors whose offsets are in a topic of their own (`offsets.storage.topic`, KIP-618), the
//! worker's topic behind it: what `ConnectorOffsetBackingStore` is to the JVM's worker.
//!
//! | | the connector's own topic | the worker's topic |
//! |---|---|---|
//! | a task reads | first | what the other has nothing of |
//! | offsets are stored | first; with exactly-once support in the task's transaction | then, as well as it goes |
//! | offsets are forgotten | then | first, so that nothing old shows through |
//!
//! The worker's copy is there for a connector that gives its own topic up again. A topic is followed on
//! the core of the internal topics, once for all tasks of a connector here, for as long as anybody
//! needs it; its clients are set up as those of the connector's tasks, so it may be in their cluster.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use millrace_api::Config;
use millrace_api::config_def::split_list;
use millrace_kafka::Cluster;
use millrace_kafka::config::{ClientConfig, ConfigProblem, ConsumerConfig};
use millrace_kafka::producer::ProducerConfig;
use millrace_net::rt;
use millrace_worker::command::{SourceOffsetStore, TaskId};
use millrace_worker::settings;

use super::listed;
use super::offset_topic::{OffsetMap, TopicOffsetStore};
use super::topic_log::{Inbox, LogEvent, LogHandle, TopicLog, Written};
use super::topics::{self, Which};
use crate::distributed_config::ExactlyOnceSupport;
use crate::offset_requests::{OffsetEntries, OffsetStores};

/// Connectors whose topics wait to be opened.
const WAITING: usize = 1024;

type Entry = (Vec<u8>, Option<Vec<u8>>);
type ClientMap = BTreeMap<String, String>;

/// What a connector's own topic is opened by; two that are equal share one.
#[derive(Clone, PartialEq)]
struct Settings {
    topic: String,
    consumer: ClientMap,
    producer: ClientMap,
    admin: ClientMap,
}

impl Settings {
    /// `None`: the connector's offsets are in the worker's topic alone.
    fn of(name: &str, worker: &Config, connector: &Config) -> Option<Self> {
        let given = |config: &Config, key: &str| config.get(key).map(|text| text.trim().to_owned());
        let shared = given(worker, Which::Offset.topic_key()).unwrap_or_default();
        let own = given(connector, "offsets.storage.topic").filter(|topic| !topic.is_empty());
        let once = ExactlyOnceSupport::of(worker).is_enabled();
        let mut consumer = consumer(name, worker, connector, once);
        let mut producer = producer(name, worker, connector);
        // Offsets in a task's transaction are in the cluster of its records.
        let elsewhere = servers(&producer) != servers(worker);
        match &own {
            None if !(once && elsewhere) => return None,
            Some(own) if *own == shared && !elsewhere => return None,
            _ => {}
        }
        let mut set = |key: &str, value: &str| {
            consumer.insert(key.to_owned(), value.to_owned());
            producer.insert(key.to_owned(), value.to_owned());
        };
        set("allow.auto.create.topics", "false");
        let admin = settings::admin(worker, connector, format!("connector-adminclient-{name}"));
        Some(Self { topic: own.unwrap_or(shared), consumer, producer, admin })
    }

    fn clients(&self) -> Result<Clients, Vec<ConfigProblem>> {
        Ok(Clients {
            consumer: ConsumerConfig::parse(&self.consumer)?.config,
            producer: ProducerConfig::parse(&self.producer)?.config,
            admin: ClientConfig::parse(&self.admin)?.config,
        })
    }
}

/// As a task's consumer, without its group, from the first record on.
fn consumer(name: &str, worker: &Config, connector: &Config, once: bool) -> ClientMap {
    let id = TaskId { connector: name.into(), task: 0 };
    let mut map = settings::consumer(worker, connector, &id);
    let level = match map.get("isolation.level") {
        Some(level) if !once => level.clone(),
        _ => "read_committed".to_owned(),
    };
    map.remove("group.id");
    map.remove("group.instance.id");
    let mut set = |key: &str, value: &str| map.insert(key.to_owned(), value.to_owned());
    set("client.id", &format!("connector-consumer-{name}-offsets"));
    set("auto.offset.reset", "earliest");
    set("enable.auto.commit", "false");
    set("isolation.level", &level);
    map
}

/// As a task's producer, for what is not in a transaction of a task's.
fn producer(name: &str, worker: &Config, connector: &Config) -> ClientMap {
    let client_id = format!("connector-producer-{name}-offsets");
    let mut map = settings::producer(worker, connector, client_id);
    map.remove("transactional.id");
    // An offset stays in the partition of its key, or compaction would keep an old one of it.
    map.remove("partitioner.ignore.keys");
    map.insert("linger.ms".to_owned(), "0".to_owned());
    map
}

fn servers(map: &ClientMap) -> BTreeSet<String> {
    let servers = map.get("bootstrap.servers").map(|text| split_list(text));
    servers.unwrap_or_default().into_iter().collect()
}

struct Clients {
    consumer: ConsumerConfig,
    producer: ProducerConfig,
    admin: ClientConfig,
}

/// A topic on its way to the core of the internal topics.
pub(super) struct Opening {
    topic: String,
    clients: Clients,
    inbox: Inbox,
    map: OffsetMap,
    failure: Failure,
}

/// Why a topic can't be had.
type Failure = Arc<OnceLock<String>>;

/// Where the offsets of this worker's source connectors are.
pub struct ConnectorOffsetStores {
    worker: Arc<Config>,
    shared: Arc<TopicOffsetStore>,
    openings: flume::Sender<Opening>,
    open: Mutex<HashMap<String, (Settings, Weak<ConnectorOffsetStore>)>>,
}

impl ConnectorOffsetStores {
    pub(super) fn new(
        worker: Arc<Config>,
        shared: Arc<TopicOffsetStore>,
    ) -> (Self, flume::Receiver<Opening>) {
        let (openings, inbox) = flume::bounded(WAITING);
        (Self { worker, shared, openings, open: Mutex::default() }, inbox)
    }

    fn open(&self, name: &str, settings: Settings) -> Result<Arc<ConnectorOffsetStore>, String> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, (_, store)| store.strong_count() > 0);
        let known = open.get(name).filter(|(known, _)| *known == settings);
        // One whose topic could not be had has ended, and is tried again.
        if let Some(store) = known.and_then(|(_, store)| store.upgrade())
            && store.failure.get().is_none()
        {
            return Ok(store);
        }
        let clients = settings.clients().map_err(|problems| {
            format!("The clients of the offsets topic {}: {}", settings.topic, listed(&problems))
        })?;
        let (log, inbox) = LogHandle::new();
        let map = OffsetMap::default();
        let (topic, failure) = (settings.topic.clone(), Failure::default());
        let opening =
            Opening { topic, clients, inbox, map: map.clone(), failure: Arc::clone(&failure) };
        if self.openings.try_send(opening).is_err() {
            return Err("too many offsets topics wait to be opened".to_owned());
        }
        let own = TopicOffsetStore { map, log };
        let worker = Arc::clone(&self.shared);
        let store = Arc::new(ConnectorOffsetStore { own, worker, failure });
        open.insert(name.to_owned(), (settings, Arc::downgrade(&store)));
        Ok(store)
    }
}

/// Where a source connector's offsets are read and written first.
pub(crate) struct OffsetPlace {
    pub store: Arc<dyn OffsetEntries>,
    pub topic: String,
    /// `bootstrap.servers` of its cluster.
    pub servers: String,
}

impl OffsetStores for ConnectorOffsetStores {
    fn of_source(&self, name: &str, config: &Config) -> Result<Arc<dyn OffsetEntries>, String> {
        self.place(name, config).map(|place| place.store)
    }
}

impl ConnectorOffsetStores {
    /// The worker's topic.
    pub(crate) fn of_worker(&self) -> Arc<TopicOffsetStore> {
        Arc::clone(&self.shared)
    }

    /// By the connector's configuration, placeholders resolved. What must be asked of brokers is asked
    /// later, when the store is read.
    pub(crate) fn place(&self, name: &str, connector: &Config) -> Result<OffsetPlace, String> {
        let Some(settings) = Settings::of(name, &self.worker, connector) else {
            let given = |key: &str| self.worker.get(key).map_or("", |text| text.trim()).to_owned();
            return Ok(OffsetPlace {
                store: self.shared.clone(),
                topic: given(Which::Offset.topic_key()),
                servers: given("bootstrap.servers"),
            });
        };
        let topic = settings.topic.clone();
        let servers = settings.consumer.get("bootstrap.servers").cloned().unwrap_or_default();
        Ok(OffsetPlace { store: self.open(name, settings)?, topic, servers })
    }
}

/// The offsets of one connector, in both topics.
struct ConnectorOffsetStore {
    own: TopicOffsetStore,
    worker: Arc<TopicOffsetStore>,
    failure: Failure,
}

impl ConnectorOffsetStore {
    fn read_own(&self, done: Written) {
        match self.failure.get() {
            None => self.own.log.when_read(done),
            Some(why) => done(Err(why.clone())),
        }
    }
}

/// Copies what the connector's own topic has; nobody waits for it.
fn copy(worker: &TopicOffsetStore, entries: Vec<Entry>) {
    if entries.is_empty() {
        return;
    }
    let told = |outcome: Result<(), String>| {
        if let Err(why) = outcome {
            tracing::warn!(
                "Failed to write offsets with custom offsets topic to the worker's offsets topic as \
                 well: {why}; they are in the connector's own"
            );
        }
    };
    worker.log.write(entries, Box::new(told));
}

impl SourceOffsetStore for ConnectorOffsetStore {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.own.get(key).or_else(|| self.worker.get(key))
    }

    fn put(&self, entries: Vec<Entry>, done: Written) {
        let forgotten = |entry: &Entry| entry.1.is_none();
        let (gone, kept): (Vec<_>, Vec<_>) = entries.iter().cloned().partition(forgotten);
        let (own, worker) = (self.own.log.clone(), Arc::clone(&self.worker));
        let store = move |done: Written| {
            let told = move |outcome: Result<(), String>| {
                if outcome.is_ok() {
                    copy(&worker, kept);
                }
                done(outcome);
            };
            own.write(entries, Box::new(told));
        };
        if gone.is_empty() {
            return store(done);
        }
        let told = move |outcome: Result<(), String>| match outcome {
            Ok(()) => store(done),
            Err(why) => done(Err(why)),
        };
        self.worker.log.write(gone, Box::new(told));
    }

    fn catch_up(&self, done: Written) {
        self.read_own(done);
    }

    fn committed(&self, entries: Vec<Entry>) {
        copy(&self.worker, entries);
    }
}

impl OffsetEntries for ConnectorOffsetStore {
    fn entries(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut entries: BTreeMap<_, _> = self.worker.entries().into_iter().collect();
        entries.extend(self.own.entries());
        entries.into_iter().collect()
    }

    fn refresh(&self, done: Written) {
        let worker = Arc::clone(&self.worker);
        let told = move |outcome: Result<(), String>| match outcome {
            Ok(()) => worker.log.when_read(done),
            Err(why) => done(Err(why)),
        };
        self.read_own(Box::new(told));
    }
}

/// Follows each topic that is opened, until nobody can open more and all have ended.
pub(super) async fn serve(worker: &Arc<Config>, openings: flume::Receiver<Opening>) {
    let (following, ended) = flume::bounded::<()>(1);
    while let Ok(opening) = openings.recv_async().await {
        let (worker, following) = (Arc::clone(worker), following.clone());
        rt::spawn(async move {
            follow(&worker, opening).await;
            drop(following);
        })
        .detach();
    }
    drop(following);
    // Nothing is ever sent: this is the end of the last one.
    let _ = ended.recv_async().await;
}

async fn follow(worker: &Config, opening: Opening) {
    let Opening { topic, clients, inbox, map, failure } = opening;
    let Clients { consumer, producer, admin } = clients;
    let Inbox { reads, writes } = inbox;
    let cluster = Cluster::new(admin);
    let partitions = match topics::prepare_own_offsets(&cluster, worker, &topic).await {
        Ok(partitions) => partitions,
        Err(why) => {
            tracing::error!(topic, "a connector's offsets topic can't be had: {why}");
            // Before the questions that wait: whoever asks later hears it there.
            let _ = failure.set(why.clone());
            reads.drain().for_each(|read| read.refuse(&why));
            writes.drain().for_each(|write| (write.done)(Err(why.clone())));
            return;
        }
    };
    let log = Rc::new(TopicLog { topic, partitions, consumer, producer });
    let writer = Rc::clone(&log);
    let writing = rt::spawn(async move { writer.write(writes).await });
    let deliver = async |event: LogEvent| {
        match event {
            LogEvent::Records(records) => map.apply(records),
            LogEvent::Trouble(why) => {
                tracing::warn!(topic = log.topic, "a connector's offsets can't be read: {why}");
            }
            LogEvent::AtEnd { .. } => {}
        }
        true
    };
    log.read(reads, deliver).await;
    writing.await;
}

#[cfg(test)]
#[path = "connector_offsets_tests.rs"]
mod tests;
