//! The brokers as one: bootstrap, metadata kept fresh, one connection a broker and purpose.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::time::{Duration, Instant};

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{MetadataRequest, TopicName};
use kafka_protocol::protocol::{Request, StrBytes};
use millrace_net::rt::sleep;

use crate::backoff::{Backoff, RetryAt};
use crate::config::{ClientConfig, ConsumerConfig, Server};
use crate::connection::Connection;
use crate::error::{ErrorKind, KafkaError};
use crate::heard::{self, First};
use crate::local::Bell;
use crate::metadata::{Broker, Metadata};
use crate::wire::Wire;

/// What a connection is for. A request that blocks (JoinGroup, a transaction's end) holds up
/// everything behind it, so such requests have connections of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Metadata, admin, offsets.
    General,
    Coordinator,
    Produce,
}

/// A client's view of the cluster on one core; cheap to clone. One per client id: a task has one.
#[derive(Clone)]
pub struct Cluster(Rc<Inner>);

struct Inner {
    config: ClientConfig,
    metadata: RefCell<Rc<Metadata>>,
    refreshed: Cell<Option<Instant>>,
    interest: RefCell<Interest>,
    refreshing: Cell<bool>,
    refresh_ended: Bell,
    last_failure: RefCell<Option<KafkaError>>,
    pool: RefCell<HashMap<(i32, Purpose), Connection>>,
    /// Nodes that could not be reached lately.
    retries: RefCell<HashMap<i32, RetryAt>>,
    /// Until a broker is known.
    bootstrap: RefCell<Option<(Server, Connection)>>,
    next_server: Cell<usize>,
}

#[derive(Default)]
struct Interest {
    topics: BTreeSet<Rc<str>>,
    all: bool,
}

impl Cluster {
    /// No connection is made before the first request.
    pub fn new(config: ClientConfig) -> Self {
        Self(Rc::new(Inner {
            config,
            metadata: RefCell::default(),
            refreshed: Cell::new(None),
            interest: RefCell::default(),
            refreshing: Cell::new(false),
            refresh_ended: Bell::default(),
            last_failure: RefCell::default(),
            pool: RefCell::default(),
            retries: RefCell::default(),
            bootstrap: RefCell::default(),
            next_server: Cell::new(0),
        }))
    }

    pub fn for_consumer(config: &ConsumerConfig) -> Self {
        Self::new(config.client.clone())
    }

    pub fn config(&self) -> &ClientConfig {
        &self.0.config
    }

    /// What is known now, perhaps nothing. Keep it as long as it must not change.
    pub fn metadata(&self) -> Rc<Metadata> {
        self.0.metadata.borrow().clone()
    }

    pub fn leader(&self, topic: &str, partition: i32) -> Option<(i32, i32)> {
        self.0.metadata.borrow().leader(topic, partition)
    }

    pub fn cluster_id(&self) -> Option<Rc<str>> {
        self.0.metadata.borrow().cluster_id.clone()
    }

    /// Time since the last successful refresh is past `metadata.max.age.ms`, or there was none.
    pub fn is_stale(&self) -> bool {
        self.0.refreshed.get().is_none_or(|at| at.elapsed() >= self.0.config.metadata_max_age)
    }

    /// Adds topics to those that refreshes ask about. True if one of them is not known yet: refresh.
    pub fn follow<'a>(&self, topics: impl IntoIterator<Item = &'a str>) -> bool {
        let mut interest = self.0.interest.borrow_mut();
        let metadata = self.0.metadata.borrow();
        let mut unknown = false;
        for topic in topics {
            if !interest.topics.contains(topic) {
                interest.topics.insert(topic.into());
            }
            unknown |= metadata.topics.get(topic).is_none_or(|known| known.error != 0);
        }
        unknown
    }

    /// Makes refreshes ask about all topics, for subscriptions by pattern and for listings.
    pub fn follow_all(&self, all: bool) {
        self.0.interest.borrow_mut().all = all;
    }

    pub fn unfollow(&self, topic: &str) {
        self.0.interest.borrow_mut().topics.remove(topic);
        let less = self.0.metadata.borrow().without(topic);
        *self.0.metadata.borrow_mut() = Rc::new(less);
    }

    /// Asks once for the topics followed: the brokers known, else the bootstrap servers, until one
    /// answers. Callers at the same time share one question.
    pub async fn refresh(&self) -> Result<Rc<Metadata>, KafkaError> {
        let inner = &self.0;
        if inner.refreshing.get() {
            // What is under way may have been asked before this caller followed its topics.
            let known = |interest: &Interest| {
                let metadata = inner.metadata.borrow();
                interest.all || interest.topics.iter().all(|t| metadata.topics.contains_key(t))
            };
            inner.refresh_ended.listen().await;
            if known(&inner.interest.borrow()) && !inner.refreshing.get() {
                return match &*inner.last_failure.borrow() {
                    Some(error) => Err(error.clone()),
                    None => Ok(self.metadata()),
                };
            }
            while inner.refreshing.get() {
                inner.refresh_ended.listen().await;
            }
        }
        let _turn = Turn::take(inner);
        let outcome = match self.hear().await {
            First::Told(at, metadata) => {
                *inner.metadata.borrow_mut() = metadata.clone();
                inner.refreshed.set(Some(at));
                Ok(metadata)
            }
            First::Ask(_for_others) => self.ask_metadata().await,
        };
        *inner.last_failure.borrow_mut() = outcome.as_ref().err().cloned();
        outcome
    }

    /// [`Self::refresh`] again and again with back-off until it succeeds or `limit` is over.
    pub async fn refresh_within(&self, limit: Duration) -> Result<Rc<Metadata>, KafkaError> {
        self.retried(limit, async || self.refresh().await).await
    }

    /// Tries again and again with back-off, until `once` succeeds, fails for good, or `limit` is over.
    pub(crate) async fn retried<T>(
        &self,
        limit: Duration,
        once: impl AsyncFn() -> Result<T, KafkaError>,
    ) -> Result<T, KafkaError> {
        let deadline = Instant::now() + limit;
        let mut backoff = self.backoff();
        loop {
            let error = match once().await {
                Ok(output) => return Ok(output),
                Err(error) => error,
            };
            let wait = backoff.next_wait();
            if !error.is_retriable() || Instant::now() + wait >= deadline {
                return Err(error);
            }
            sleep(wait).await;
        }
    }

    /// A back-off by `retry.backoff.ms` and `retry.backoff.max.ms`.
    pub fn backoff(&self) -> Backoff {
        Backoff::new(self.0.config.retry_backoff, self.0.config.retry_backoff_max)
    }

    /// What others were told, for a first look at topics that all are named.
    async fn hear(&self) -> First {
        let topics = {
            let interest = self.0.interest.borrow();
            let first = self.0.refreshed.get().is_none() && !interest.all;
            first.then(|| interest.topics.clone())
        };
        match topics {
            Some(topics) => heard::first(&self.0.config.peer, &topics).await,
            None => First::Ask(None),
        }
    }

    async fn ask_metadata(&self) -> Result<Rc<Metadata>, KafkaError> {
        let inner = &self.0;
        let (request, all) = {
            let interest = inner.interest.borrow();
            let topics = interest.topics.iter().map(|name| {
                let name = StrBytes::from_string(name.to_string());
                MetadataRequestTopic::default().with_name(Some(TopicName(name)))
            });
            let topics = (!interest.all).then(|| topics.collect());
            let create = inner.config.allow_auto_create_topics && !interest.all;
            let request = MetadataRequest::default()
                .with_topics(topics)
                .with_allow_auto_topic_creation(create);
            (request, interest.all)
        };
        let response = self.call_any(&request).await?;
        KafkaError::check(response.error_code, "Metadata", "")?;
        if response.brokers.is_empty() {
            let why = "the metadata name no broker";
            return Err(KafkaError::new(ErrorKind::Retriable, why));
        }
        let merged = Rc::new(inner.metadata.borrow().merged(&response, all));
        *inner.metadata.borrow_mut() = merged.clone();
        self.adopt_bootstrap(&merged);
        let now = Instant::now();
        inner.refreshed.set(Some(now));
        heard::note(&inner.config.peer, now, &merged);
        Ok(merged)
    }

    /// Sends `request` to any broker: a connected one, else any known one, else the bootstrap
    /// servers in turn. Tries the next only where nothing was answered.
    pub async fn call_any<R: Request>(&self, request: &R) -> Result<R::Response, KafkaError> {
        let limit = self.0.config.request_timeout;
        let mut last = None;
        let nodes = self.nodes_by_merit();
        for node in nodes {
            let outcome = match self.connection(node, Purpose::General).await {
                Ok(connection) => connection.call(request, limit).await,
                Err(error) => Err(error),
            };
            match outcome {
                Err(error) if error.is_retriable() => last = Some(error),
                other => return other,
            }
        }
        for _ in 0..self.0.config.bootstrap_servers.len() {
            let outcome = match self.bootstrap().await {
                Ok(connection) => connection.call(request, limit).await,
                Err(error) => Err(error),
            };
            match outcome {
                Err(error) if error.is_retriable() => {
                    self.0.bootstrap.borrow_mut().take();
                    last = Some(error);
                }
                other => return other,
            }
        }
        Err(last.unwrap_or_else(|| KafkaError::config("bootstrap.servers names no server")))
    }

    /// Sends `request` to the node, on its general connection.
    pub async fn call_node<R: Request>(
        &self,
        node: i32,
        request: &R,
    ) -> Result<R::Response, KafkaError> {
        let connection = self.connection(node, Purpose::General).await?;
        connection.call(request, self.0.config.request_timeout).await
    }

    /// Known nodes: connected ones first, those in back-off not at all.
    fn nodes_by_merit(&self) -> Vec<i32> {
        let pool = self.0.pool.borrow();
        let retries = self.0.retries.borrow();
        let metadata = self.0.metadata.borrow();
        let connected =
            |node: i32| pool.get(&(node, Purpose::General)).is_some_and(|c| c.broken().is_none());
        let mut nodes: Vec<i32> = metadata
            .brokers
            .keys()
            .copied()
            .filter(|node| retries.get(node).is_none_or(|retry| retry.remaining().is_zero()))
            .collect();
        nodes.sort_by_key(|node| !connected(*node));
        nodes
    }

    /// The next bootstrap server's connection.
    async fn bootstrap(&self) -> Result<Connection, KafkaError> {
        let live = self.0.bootstrap.borrow().clone();
        if let Some((_, open)) = live.filter(|(_, open)| is_usable(open)) {
            return Ok(open);
        }
        let servers = &self.0.config.bootstrap_servers;
        let turn = self.0.next_server.get();
        self.0.next_server.set(turn.wrapping_add(1));
        let server = servers
            .get(turn % servers.len().max(1))
            .ok_or_else(|| KafkaError::config("bootstrap.servers names no server"))?;
        let open = Connection::open(&server.host, server.port, -1, &self.0.config).await?;
        *self.0.bootstrap.borrow_mut() = Some((server.clone(), open.clone()));
        Ok(open)
    }

    /// Brokers are known: the bootstrap server's connection is that broker's from now on, or closed.
    fn adopt_bootstrap(&self, metadata: &Metadata) {
        let Some((server, open)) = self.0.bootstrap.borrow_mut().take() else { return };
        let address = |broker: &&Broker| broker.host == server.host && broker.port == server.port;
        if let Some(broker) = metadata.brokers.values().find(address) {
            let purpose = (broker.node, Purpose::General);
            self.0.pool.borrow_mut().entry(purpose).or_insert(open);
        }
    }

    /// The broker's address.
    pub fn broker(&self, node: i32) -> Result<Broker, KafkaError> {
        let metadata = self.0.metadata.borrow();
        metadata.brokers.get(&node).cloned().ok_or_else(|| {
            KafkaError::new(ErrorKind::Stale, format!("no broker with node id {node} is known"))
        })
    }

    /// The connection to a node for a purpose, opened if need be. While the node is in back-off
    /// after a failure this waits first (at most `reconnect.backoff.max.ms`).
    pub async fn connection(&self, node: i32, purpose: Purpose) -> Result<Connection, KafkaError> {
        self.drop_idle();
        let pooled = self.0.pool.borrow().get(&(node, purpose)).cloned();
        if let Some(open) = pooled.filter(is_usable) {
            return Ok(open);
        }
        let wire = self.open_wire(node).await?;
        // Another task may have opened one meanwhile: use that, so that there is one.
        let mut pool = self.0.pool.borrow_mut();
        let other = pool.get(&(node, purpose)).filter(|open| is_usable(open)).cloned();
        if let Some(open) = other {
            return Ok(open);
        }
        let open = Connection::from_wire(wire);
        pool.insert((node, purpose), open.clone());
        Ok(open)
    }

    /// A stream to the node outside the pool, for a fetcher. Waits for back-off as
    /// [`Self::connection`] does.
    pub async fn open_wire(&self, node: i32) -> Result<Wire, KafkaError> {
        let wait = self.0.retries.borrow().get(&node).map(RetryAt::remaining);
        if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
            sleep(wait).await;
        }
        let broker = self.broker(node)?;
        let outcome = Wire::open(&broker.host, broker.port, node, &self.0.config).await;
        let mut retries = self.0.retries.borrow_mut();
        match &outcome {
            Ok(_) => {
                retries.remove(&node);
            }
            Err(_) => {
                let config = &self.0.config;
                let (first, most) = (config.reconnect_backoff, config.reconnect_backoff_max);
                retries.entry(node).or_insert_with(|| RetryAt::new(first, most)).failed();
            }
        }
        outcome
    }

    /// Closes what nobody used for `connections.max.idle.ms`, and what is broken.
    fn drop_idle(&self) {
        let limit = self.0.config.connections_max_idle;
        self.0.pool.borrow_mut().retain(|_, open| open.broken().is_none() && open.idle() < limit);
    }
}

/// Neither broken nor about to be ended for its age.
fn is_usable(open: &Connection) -> bool {
    open.broken().is_none() && !open.is_expired()
}

/// The right to refresh; given back when dropped, also by a cancelled refresh.
struct Turn<'a>(&'a Inner);

impl<'a> Turn<'a> {
    fn take(inner: &'a Inner) -> Self {
        inner.refreshing.set(true);
        Self(inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.refreshing.set(false);
        self.0.refresh_ended.ring();
    }
}
