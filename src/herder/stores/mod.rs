//! The internal topics of a distributed worker: its configurations, source offsets and statuses.
//!
//! What the records mean is decided without IO: [`config_log`], [`status_log`] and the formats in
//! [`config_records`]. One thread, a core of its own on epoll, moves them: [`topic_log`] for each
//! topic, [`topics`] to make and check them, [`offset_topic`] for tasks, [`connector_offsets`] for
//! connectors whose offsets are in a topic of their own.
//!
//! The wire client is ours: the ready-made one cannot set a topic's configuration or look at it, and
//! knows neither Java's keystores nor all of SASL.

pub mod config_log;
pub mod config_records;
pub mod connector_offsets;
pub mod leader_writes;
pub mod offset_topic;
pub mod snapshot;
pub mod status_log;
pub mod topic_log;
pub mod topics;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millrace_api::Config;
use millrace_kafka::Cluster;
use millrace_kafka::config::{ClientConfig, ConfigProblem, ConsumerConfig};
use millrace_kafka::producer::ProducerConfig;
use millrace_net::rt;

use crate::distributed_config::ExactlyOnceSupport;
use connector_offsets::{ConnectorOffsetStores, Opening};
use leader_writes::{LeaderWrite, LeaderWrites};
use offset_topic::{OffsetMap, TopicOffsetStore};
use topic_log::{Inbox, LogEvent, LogHandle, TopicLog};
use topics::Which;

/// Events that wait for the herder before reading waits for it.
const WAITING: usize = 1024;

/// Wrong settings in one line.
pub(crate) fn listed(problems: &[ConfigProblem]) -> String {
    let list = problems.iter().map(|one| format!("{}: {}", one.key, one.why));
    list.collect::<Vec<_>>().join("; ")
}

/// What the stores tell the herder.
#[derive(Debug)]
pub enum StoreEvent {
    /// All topics are there; reading begins.
    Ready,
    /// A topic can't be had; the stores have ended.
    Failed(String),
    /// Of the offset topic only [`LogEvent::AtEnd`] and [`LogEvent::Trouble`].
    Log(Which, LogEvent),
}

/// The herder's side of the stores. Dropping it ends them once what was written is out.
pub struct Stores {
    pub config: LogHandle,
    pub status: LogHandle,
    pub offset: LogHandle,
    /// With exactly-once support: the only way for what the leader alone may write.
    pub leader: Option<LeaderWrites>,
    pub offsets: Arc<ConnectorOffsetStores>,
    pub events: flume::Receiver<StoreEvent>,
}

/// How the clients of one topic are set up, from the worker's own, un-prefixed properties.
struct Clients {
    topic: String,
    consumer: ConsumerConfig,
    producer: ProducerConfig,
}

fn clients(worker: &Config, which: Which) -> Result<Clients, Vec<ConfigProblem>> {
    let mut map = client_map(worker, which.client());
    let mut set = |key: &str, value: &str| map.insert(key.to_owned(), value.to_owned());
    let transactional = matches!(which, Which::Config | Which::Offset);
    let committed = transactional && ExactlyOnceSupport::of(worker).is_enabled();
    set("auto.offset.reset", "earliest");
    set("enable.auto.commit", "false");
    set("isolation.level", if committed { "read_committed" } else { "read_uncommitted" });
    set("enable.idempotence", "false");
    set("max.in.flight.requests.per.connection", "1");
    let consumer = ConsumerConfig::parse(&map)?.config;
    let producer = ProducerConfig::parse(&map)?.config;
    let topic = worker.get(which.topic_key()).map(|topic| topic.trim()).unwrap_or_default();
    Ok(Clients { topic: topic.to_owned(), consumer, producer })
}

/// What all clients of internal topics have in common; `client` is the end of their id.
fn client_map(worker: &Config, client: &str) -> BTreeMap<String, String> {
    let given = |key: &str| worker.get(key).map(|value| value.trim()).filter(|v| !v.is_empty());
    let base = given("group.id").unwrap_or("connect");
    let base = given("client.id").map_or(base.to_owned(), |id| format!("{base}-{id}"));
    let mut map: BTreeMap<String, String> = worker.clone();
    // The group is that of the workers, which no consumer may join.
    map.remove("group.id");
    map.remove("transactional.id");
    let mut set = |key: &str, value: &str| map.insert(key.to_owned(), value.to_owned());
    set("client.id", &format!("{base}-{client}"));
    set("acks", "all");
    set("delivery.timeout.ms", "2147483647");
    set("linger.ms", "0");
    set("allow.auto.create.topics", "false");
    map
}

/// The producer of [`leader_writes`], where there is to be one.
fn leader_producer(worker: &Config) -> Result<Option<ProducerConfig>, Vec<ConfigProblem>> {
    if !ExactlyOnceSupport::of(worker).has_transactional_leader() {
        return Ok(None);
    }
    let mut map = client_map(worker, "configs-leader");
    let group = worker.get("group.id").map(|group| group.trim()).unwrap_or_default();
    map.insert("transactional.id".to_owned(), format!("connect-cluster-{group}"));
    map.insert("enable.idempotence".to_owned(), "true".to_owned());
    map.insert("max.in.flight.requests.per.connection".to_owned(), "5".to_owned());
    Ok(Some(ProducerConfig::parse_transactional(&map)?.config))
}

/// All three, or every setting that is wrong.
fn all_clients(worker: &Config) -> Result<Vec<(Which, Clients)>, Vec<ConfigProblem>> {
    Which::ALL.into_iter().map(|which| Ok((which, clients(worker, which)?))).collect()
}

/// Checks the client settings that the stores would use.
pub fn check(worker: &Config) -> Result<(), Vec<ConfigProblem>> {
    all_clients(worker)?;
    leader_producer(worker).map(|_| ())
}

impl Stores {
    /// Starts the thread: it makes and checks the topics, then follows them.
    ///
    /// # Errors
    /// A client setting is wrong ([`check`] tells them apart), or there is no thread.
    pub fn start(worker: Arc<Config>) -> std::io::Result<Self> {
        let problems = |problems: Vec<ConfigProblem>| {
            std::io::Error::new(std::io::ErrorKind::InvalidInput, listed(&problems))
        };
        let clients = all_clients(&worker).map_err(problems)?;
        let leader_producer = leader_producer(&worker).map_err(problems)?;
        let (leader, leader_inbox) = LeaderWrites::new();
        let leader = leader_producer.is_some().then_some(leader);
        let leader_writes = leader_producer.map(|config| (config, leader_inbox));
        let (sender, events) = flume::bounded(WAITING);
        let (config, config_inbox) = LogHandle::new();
        let (status, status_inbox) = LogHandle::new();
        let (offset, offset_inbox) = LogHandle::new();
        let map = OffsetMap::default();
        let shared = Arc::new(TopicOffsetStore { map: map.clone(), log: offset.clone() });
        let (offsets, openings) = ConnectorOffsetStores::new(Arc::clone(&worker), shared);
        let offsets = Arc::new(offsets);
        let mut options = rt::CoreOptions::new("internal-topics", None);
        // Cheap to park; nothing here is hot.
        options.runtime = Some(rt::RuntimeChoice::Epoll);
        let inboxes = [config_inbox, offset_inbox, status_inbox];
        rt::start_core(options, move || async move {
            run(&worker, clients, inboxes, leader_writes, openings, sender, map).await;
        })?;
        Ok(Self { config, status, offset, leader, offsets, events })
    }
}

async fn run(
    worker: &Arc<Config>,
    clients: Vec<(Which, Clients)>,
    inboxes: [Inbox; 3],
    leader_writes: Option<(ProducerConfig, flume::Receiver<LeaderWrite>)>,
    openings: flume::Receiver<Opening>,
    herder: flume::Sender<StoreEvent>,
    map: OffsetMap,
) {
    let mut logs = Vec::new();
    match prepare(worker, clients).await {
        Ok(prepared) => logs.extend(prepared),
        Err(why) => {
            let _ = herder.send_async(StoreEvent::Failed(why)).await;
            return;
        }
    }
    let _ = herder.send_async(StoreEvent::Ready).await;
    let mut tasks = Vec::new();
    if let Some((config, inbox)) = leader_writes {
        let topic = worker.get(Which::Config.topic_key()).map(|topic| topic.trim().to_owned());
        tasks.push(rt::spawn(async move {
            leader_writes::serve(config, &topic.unwrap_or_default(), inbox).await;
        }));
    }
    for ((which, log), inbox) in logs.into_iter().zip(inboxes) {
        let log = std::rc::Rc::new(log);
        let (reader, herder, map) = (std::rc::Rc::clone(&log), herder.clone(), map.clone());
        let Inbox { reads, writes } = inbox;
        tasks.push(rt::spawn(async move {
            let deliver = async |event: LogEvent| match event {
                LogEvent::Records(records) if which == Which::Offset => {
                    map.apply(records);
                    true
                }
                event => herder.send_async(StoreEvent::Log(which, event)).await.is_ok(),
            };
            reader.read(reads, deliver).await;
        }));
        tasks.push(rt::spawn(async move { log.write(writes).await }));
    }
    let worker = Arc::clone(worker);
    tasks.push(rt::spawn(async move { connector_offsets::serve(&worker, openings).await }));
    for task in tasks {
        task.await;
    }
    // The connections' tasks end before their core does.
    rt::sleep(Duration::from_millis(10)).await;
}

/// Makes and checks the topics by one admin client.
async fn prepare(
    worker: &Config,
    clients: Vec<(Which, Clients)>,
) -> Result<Vec<(Which, TopicLog)>, String> {
    let mut map: BTreeMap<String, String> = worker.clone();
    let group = worker.get("group.id").map_or("connect", |group| group.trim());
    map.insert("client.id".to_owned(), format!("{group}-shared-admin"));
    let parsed = ClientConfig::parse(&map).map_err(|problems| listed(&problems))?;
    let cluster = Cluster::new(parsed.config);
    let mut logs = Vec::new();
    for (which, Clients { topic, consumer, producer }) in clients {
        let partitions = topics::prepare(&cluster, worker, which).await?;
        logs.push((which, TopicLog { topic, partitions, consumer, producer }));
    }
    Ok(logs)
}
