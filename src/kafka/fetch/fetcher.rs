//! One broker's fetcher: its stream, its ring, its session, and the batches found and not yet taken.
//!
//! It is driven by the consumer's own task, by polling, so that the bytes are parsed where they are
//! used. The next request leaves as soon as the tail of a response is in the ring.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::{ApiKey, BrokerId, FetchRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use millrace_net::rt::sleep;

use super::FETCH_VERSION;
use super::parser::{FetchParser, ParseError, PartitionHead, ResponseHead, Step};
use super::ring::{RING_BYTES, Ring};
use super::session::{FetchPlan, FetchSession, Wanted};
use crate::backoff::RetryAt;
use crate::cluster::Cluster;
use crate::config::{ConsumerConfig, IsolationLevel, OffsetReset};
use crate::error::{ErrorKind, KafkaError};
use crate::lent;
use crate::partitions::{PartitionId, Partitions, Position};
use crate::record_batch::BatchHeader;
use crate::wire::Wire;

/// How long a follower named by the leader is read from before the leader is asked again.
const PREFERRED_FOR: Duration = Duration::from_secs(300);
/// Batches found ahead of the consumer; more stay unread in the socket.
const MAX_EVENTS: usize = 4096;

/// What was found in the stream.
pub(crate) enum Event {
    /// The partition's aborted transactions, for the batches that follow.
    Aborted {
        id: PartitionId,
        list: Vec<(i64, i64)>,
    },
    Batch {
        id: PartitionId,
        start: u64,
        length: usize,
    },
}

enum Link {
    Down,
    /// Waiting for back-off, then connecting.
    Opening(Pin<Box<dyn Future<Output = Result<Wire, KafkaError>>>>),
    Up(Wire),
}

struct InFlight {
    correlation: i32,
    /// Of the last byte, or of the sending.
    progress: Instant,
}

pub(crate) struct Fetcher {
    pub node: i32,
    pub ring: Ring,
    pub events: VecDeque<Event>,
    /// Batches in the ring are lent out: nothing may move before they come back.
    pub held: bool,
    link: Link,
    parser: FetchParser,
    session: FetchSession,
    outgoing: Bytes,
    in_flight: Option<InFlight>,
    /// Up to where the ring has been parsed, and bytes needed from there to go on.
    parsed: u64,
    needed: usize,
    topic: Rc<str>,
    /// Whose batches are being parsed; `None` for those of no use.
    current: Option<PartitionId>,
    retry: RetryAt,
    /// Why the broker can't be read from; `None` while it can.
    pub trouble: Option<KafkaError>,
}

/// What a fetcher needs from outside.
pub(crate) struct Surroundings<'a> {
    pub cluster: &'a Cluster,
    pub config: &'a ConsumerConfig,
    pub partitions: &'a mut Partitions,
}

impl Fetcher {
    pub fn new(node: i32, config: &ConsumerConfig) -> Self {
        let client = &config.client;
        Self {
            node,
            ring: Ring::new(RING_BYTES),
            events: VecDeque::new(),
            held: false,
            link: Link::Down,
            parser: FetchParser::new(),
            session: FetchSession::default(),
            outgoing: Bytes::new(),
            in_flight: None,
            parsed: 0,
            needed: 0,
            topic: "".into(),
            current: None,
            retry: RetryAt::new(client.reconnect_backoff, client.reconnect_backoff_max),
            trouble: None,
        }
    }

    /// Goes on as far as it can without waiting. Errors are those that end the consumer; lost
    /// connections are retried and told in [`Self::trouble`].
    pub fn advance(&mut self, cx: &mut Context<'_>, around: &mut Surroundings<'_>) {
        if let Err(error) = self.try_advance(cx, around) {
            if error.kind == ErrorKind::Fatal {
                around.partitions.fatal.get_or_insert(error.clone());
            }
            self.lose(error, around);
            // Polls the new attempt once, so that it wakes the consumer.
            let _ = self.try_advance(cx, around);
        }
    }

    fn try_advance(
        &mut self,
        cx: &mut Context<'_>,
        around: &mut Surroundings<'_>,
    ) -> Result<(), KafkaError> {
        if !self.poll_link(cx, around)? {
            return Ok(());
        }
        loop {
            if self.in_flight.is_none() {
                if self.is_expired() {
                    self.renew();
                    if !self.poll_link(cx, around)? {
                        return Ok(());
                    }
                }
                self.send_next(around)?;
            }
            if self.in_flight.is_none() {
                return Ok(());
            }
            self.write(cx)?;
            if self.events.len() >= MAX_EVENTS || !self.read(cx, around)? {
                return self.check_time(around);
            }
            self.parse(around)?;
        }
    }

    /// True once the stream is open. Connects when there is something to fetch.
    fn poll_link(
        &mut self,
        cx: &mut Context<'_>,
        around: &Surroundings<'_>,
    ) -> Result<bool, KafkaError> {
        if let Link::Down = self.link {
            if around.partitions.fetchable(self.node, Instant::now()).next().is_none() {
                return Ok(false);
            }
            let (cluster, node, wait) = (around.cluster.clone(), self.node, self.retry.remaining());
            self.link = Link::Opening(Box::pin(async move {
                if !wait.is_zero() {
                    sleep(wait).await;
                }
                cluster.open_wire(node).await
            }));
        }
        if let Link::Opening(opening) = &mut self.link {
            let Poll::Ready(outcome) = opening.as_mut().poll(cx) else { return Ok(false) };
            let wire = outcome?;
            let version = wire.session.version(ApiKey::Fetch)?;
            if version != FETCH_VERSION {
                let why = format!("version {version} is not what is read here");
                return Err(
                    KafkaError::new(ErrorKind::Fatal, why).at("Fetch", &wire.session.broker)
                );
            }
            self.link = Link::Up(wire);
        }
        Ok(true)
    }

    fn is_expired(&self) -> bool {
        matches!(&self.link, Link::Up(wire) if wire.session.is_expired())
    }

    /// Leaves the stream between two requests, for a newly authenticated one. What was read stays.
    fn renew(&mut self) {
        self.link = Link::Down;
        self.parser = FetchParser::new();
        self.session.reset();
    }

    /// Encodes the next request, if there is anything to fetch.
    fn send_next(&mut self, around: &mut Surroundings<'_>) -> Result<(), KafkaError> {
        let now = Instant::now();
        let Link::Up(wire) = &self.link else { return Ok(()) };
        let metadata = around.cluster.metadata();
        let wanted: Vec<Wanted> = around
            .partitions
            .fetchable(self.node, now)
            .map(|(id, slot)| Wanted {
                name: slot.name.clone(),
                id,
                offset: slot.fetch_offset,
                leader_epoch: metadata
                    .partition(&slot.name.topic, slot.name.partition)
                    .map_or(-1, |partition| partition.leader_epoch),
            })
            .collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let plan = self.session.plan(&wanted);
        let request = fetch_request(&plan, around);
        let encoded = wire.session.encode(&request)?;
        self.outgoing = encoded.bytes;
        self.in_flight = Some(InFlight { correlation: encoded.correlation, progress: now });
        Ok(())
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Result<(), KafkaError> {
        let Link::Up(wire) = &mut self.link else { return Ok(()) };
        while !self.outgoing.is_empty() {
            match wire.poll_write(cx, &self.outgoing) {
                Poll::Ready(written) => self.outgoing.advance(written?),
                Poll::Pending => return Ok(()),
            }
        }
        Ok(())
    }

    /// Reads once. False if there is nothing to read or no room for it.
    fn read(
        &mut self,
        cx: &mut Context<'_>,
        around: &Surroundings<'_>,
    ) -> Result<bool, KafkaError> {
        // What is queued stays where it is until it was handed out: only then bytes may move.
        let movable = self.events.is_empty() && !self.held;
        if movable {
            self.ring.release(self.parsed);
            if !self.ring.make_room(self.needed) {
                let why = format!("a batch of {} bytes is longer than is taken", self.needed);
                return Err(self.corrupt(why, around));
            }
        }
        let Link::Up(wire) = &mut self.link else { return Ok(false) };
        let space = self.ring.space();
        if space.is_empty() {
            return Ok(false);
        }
        let Poll::Ready(read) = wire.poll_read(cx, space) else {
            if movable {
                self.ring.rest();
            }
            return Ok(false);
        };
        self.ring.filled(read?);
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.progress = Instant::now();
        }
        Ok(true)
    }

    /// Others run before the next bytes are read: keeps a part of a batch and no room behind it, where
    /// much is lent out.
    pub fn spare(&mut self) {
        if self.events.is_empty() && !self.held && lent::is_scarce() {
            self.ring.release(self.parsed);
            self.ring.rest();
        }
    }

    /// When the next bytes of the answer that is waited for must have come.
    pub fn answer_due(&self, config: &ConsumerConfig) -> Option<Instant> {
        // A full ring is the consumer's slowness, not the broker's.
        let in_flight = self.in_flight.as_ref().filter(|_| self.events.is_empty())?;
        Some(in_flight.progress + answer_limit(config))
    }

    fn check_time(&self, around: &Surroundings<'_>) -> Result<(), KafkaError> {
        match self.answer_due(around.config) {
            Some(due) if due < Instant::now() => {
                let limit = answer_limit(around.config);
                let why = format!("no answer within {} ms", limit.as_millis());
                Err(KafkaError::new(ErrorKind::Timeout, why))
            }
            _ => Ok(()),
        }
    }

    /// Finds what has arrived.
    fn parse(&mut self, around: &mut Surroundings<'_>) -> Result<(), KafkaError> {
        loop {
            let bytes = self.ring.from(self.parsed);
            let stepped = self.parser.step(bytes);
            let (step, consumed) = stepped.map_err(|error| self.malformed(&error, around))?;
            let start = self.parsed;
            match step {
                Step::Need(needed) => {
                    self.needed = needed;
                    return Ok(());
                }
                Step::Head(head) => self.on_head(head)?,
                Step::Topic(range) => self.on_topic(range, around)?,
                Step::Partition(head) => self.on_partition(head, around),
                Step::Batch => self.on_batch(start, consumed, around)?,
                Step::Skipped | Step::PartitionEnd => {}
                Step::End => {
                    self.in_flight = None;
                    self.retry.succeeded();
                    self.trouble = None;
                    self.parsed = start + consumed as u64;
                    self.needed = 0;
                    return Ok(());
                }
            }
            self.parsed = start + consumed as u64;
        }
    }

    fn on_head(&mut self, head: ResponseHead) -> Result<(), KafkaError> {
        if self.in_flight.as_ref().map(|sent| sent.correlation) != Some(head.correlation) {
            return Err(KafkaError::corrupt("an answer to another request").with_api("Fetch"));
        }
        let repeated = head.error != 0 && self.session.open_id().is_none();
        if !self.session.answered(head.error, head.session) && repeated {
            // Not a lost session: it had none. Through back-off, then.
            return Err(KafkaError::from_code(head.error, "Fetch", ""));
        }
        Ok(())
    }

    fn on_topic(
        &mut self,
        range: std::ops::Range<usize>,
        around: &Surroundings<'_>,
    ) -> Result<(), KafkaError> {
        let name = std::str::from_utf8(&self.ring.from(self.parsed)[range]);
        let name = name.map_err(|_| {
            self.malformed(&ParseError::Malformed("a topic's name is not UTF-8"), around)
        })?;
        if *self.topic != *name {
            self.topic = name.into();
        }
        Ok(())
    }

    fn on_partition(&mut self, head: PartitionHead, around: &mut Surroundings<'_>) {
        self.current = None;
        let partitions = &mut *around.partitions;
        let Some(id) = partitions.find(&self.topic, head.partition) else { return };
        let Some(slot) = partitions.get_mut(id) else { return };
        if !self.session.asked_for(&slot.name, id) {
            return;
        }
        if head.error != 0 {
            on_partition_error(self.node, &head, id, around);
            return;
        }
        slot.high_watermark = head.high_watermark;
        slot.last_stable_offset = head.last_stable_offset;
        slot.log_start_offset = head.log_start_offset;
        slot.blocked_until = None;
        if head.preferred_replica >= 0 && head.preferred_replica != self.node {
            slot.preferred = Some((head.preferred_replica, Instant::now() + PREFERRED_FOR));
            partitions.changes += 1;
            return;
        }
        self.current = Some(id);
        if around.config.isolation_level == IsolationLevel::ReadCommitted {
            self.events.push_back(Event::Aborted { id, list: head.aborted });
        }
    }

    fn on_batch(
        &mut self,
        start: u64,
        length: usize,
        around: &mut Surroundings<'_>,
    ) -> Result<(), KafkaError> {
        let Some(id) = self.current else { return Ok(()) };
        let Some(slot) = around.partitions.get_mut(id) else { return Ok(()) };
        let header = BatchHeader::parse(&self.ring.from(start)[..length]).map_err(|error| {
            let (name, offset) = (&slot.name, slot.fetch_offset);
            KafkaError::new(ErrorKind::Fatal, format!("{name} at offset {offset}: {error}"))
        })?;
        slot.fetch_offset = slot.fetch_offset.max(header.next_offset());
        self.events.push_back(Event::Batch { id, start, length });
        Ok(())
    }

    fn corrupt(&self, why: String, around: &Surroundings<'_>) -> KafkaError {
        let slot = self.current.and_then(|id| around.partitions.get(id));
        let place = slot.map_or_else(String::new, |slot| {
            format!("{} at offset {}: ", slot.name, slot.fetch_offset)
        });
        KafkaError::new(ErrorKind::Fatal, place + &why).with_api("Fetch")
    }

    fn malformed(&self, error: &ParseError, around: &Surroundings<'_>) -> KafkaError {
        match error {
            // A stream out of step: a new connection may be in step again.
            ParseError::Malformed(what) => {
                KafkaError::corrupt(format!("{what} can't be right")).with_api("Fetch")
            }
            ParseError::Batch(error) => self.corrupt(error.to_string(), around),
        }
    }

    /// Gives the stream up and everything read from it; the partitions start over.
    pub fn lose(&mut self, error: KafkaError, around: &mut Surroundings<'_>) {
        self.link = Link::Down;
        self.parser = FetchParser::new();
        self.session.reset();
        self.outgoing = Bytes::new();
        self.in_flight = None;
        self.events.clear();
        self.ring.clear();
        self.parsed = self.ring.end();
        self.needed = 0;
        self.current = None;
        self.retry.failed();
        around.partitions.restart_node(self.node);
        around.partitions.refresh_wanted = true;
        self.trouble = Some(error);
    }
}

/// The longest time without a byte of an answer.
fn answer_limit(config: &ConsumerConfig) -> Duration {
    config.client.request_timeout + config.fetch_max_wait
}

fn on_partition_error(
    node: i32,
    head: &PartitionHead,
    id: PartitionId,
    around: &mut Surroundings<'_>,
) {
    let error = KafkaError::from_code(head.error, "Fetch", "");
    let backoff = around.config.client.retry_backoff;
    let reset = around.config.auto_offset_reset;
    let Some(slot) = around.partitions.get_mut(id) else { return };
    let name = slot.name.clone();
    let context = format!("{name} at offset {}, node {node}", slot.fetch_offset);
    match (head.error, error.kind) {
        (1, _) if slot.preferred.is_some() => {
            // The follower may be behind: the leader decides.
            slot.preferred = None;
            around.partitions.changes += 1;
        }
        (1, _) if reset == OffsetReset::None => {
            let error = KafkaError { message: context, ..error };
            around.partitions.fatal.get_or_insert(error);
        }
        (1, _) => {
            tracing::warn!(partition = %name, offset = slot.fetch_offset, ?reset,
                "the offset is out of range: resetting by auto.offset.reset");
            around.partitions.move_to(&name, Position::Reset(reset));
        }
        (_, ErrorKind::Stale | ErrorKind::Retriable) => {
            slot.preferred = None;
            slot.blocked_until = Some(Instant::now() + backoff);
            around.partitions.refresh_wanted = true;
        }
        _ => {
            let error = KafkaError { message: context, ..error };
            around.partitions.fatal.get_or_insert(error);
        }
    }
}

/// The request that says what the plan says.
fn fetch_request(plan: &FetchPlan, around: &Surroundings<'_>) -> FetchRequest {
    let config = around.config;
    let mut topics: Vec<FetchTopic> = Vec::new();
    for one in &plan.named {
        let name = &one.name;
        let partition = FetchPartition::default()
            .with_partition(name.partition)
            .with_current_leader_epoch(one.leader_epoch)
            .with_fetch_offset(one.offset)
            .with_partition_max_bytes(config.max_partition_fetch_bytes);
        match topics.last_mut().filter(|topic| topic.topic.as_str() == &*name.topic) {
            Some(topic) => topic.partitions.push(partition),
            None => topics.push(
                FetchTopic::default()
                    .with_topic(TopicName(StrBytes::from_string(name.topic.to_string())))
                    .with_partitions(vec![partition]),
            ),
        }
    }
    let forgotten = plan.forgotten.iter().map(|name| {
        ForgottenTopic::default()
            .with_topic(TopicName(StrBytes::from_string(name.topic.to_string())))
            .with_partitions(vec![name.partition])
    });
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(config.fetch_max_wait.as_millis() as i32)
        .with_min_bytes(config.fetch_min_bytes)
        .with_max_bytes(config.fetch_max_bytes)
        .with_isolation_level(i8::from(config.isolation_level == IsolationLevel::ReadCommitted))
        .with_session_id(plan.session_id)
        .with_session_epoch(plan.session_epoch)
        .with_forgotten_topics_data(forgotten.collect())
        .with_topics(topics)
        .with_rack_id(StrBytes::from_string(config.client_rack.clone()))
}
