//! The accumulator against brokers made up here, which lose requests, lose answers, move leaders
//! and count sequence numbers as real ones do. Time is made up too.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};
use proptest::prelude::*;

use super::accumulator::{Accumulator, IdentityState};
use super::drain::Outgoing;
use super::*;
use crate::compression::{Decompressor, Scratch};
use crate::metadata::{Broker, Metadata, Partition, Topic};
use crate::record_batch::{BatchHeader, NO_HEADERS, OpenBatch};

pub(super) fn config_map(settings: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut map = BTreeMap::from([("bootstrap.servers".to_owned(), "h:1".to_owned())]);
    map.extend(settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    map
}

fn config(settings: &[(&str, &str)]) -> ProducerConfig {
    ProducerConfig::parse(&config_map(settings)).unwrap().config
}

/// A cluster of nodes 0 and 1 with topic `t`, whose partitions have these leaders.
pub(super) fn metadata(version: u64, leaders: &[i32]) -> Metadata {
    let broker = |node| (node, Broker { node, host: "h".to_owned(), port: 1, rack: None });
    let partition = |leader: &i32| Partition {
        leader: *leader,
        leader_epoch: version as i32,
        replicas: vec![],
        isr: vec![],
        error: 0,
    };
    let topic = Topic {
        id: 1,
        internal: false,
        error: 0,
        partitions: leaders.iter().map(partition).collect(),
    };
    Metadata {
        version,
        brokers: [broker(0), broker(1)].into(),
        topics: [(Rc::from("t"), topic)].into(),
        ..Metadata::default()
    }
}

/// One partition's log, as a leader keeps it.
#[derive(Default)]
struct Log {
    records: Vec<u64>,
    /// Producer id -> the next sequence number, and those of the batches before.
    producers: HashMap<i64, (i32, VecDeque<i32>)>,
}

/// Both brokers; partitions live wherever the leader is.
struct Brokers {
    logs: Vec<Log>,
    leaders: Vec<i32>,
    max_batch: usize,
    next_producer_id: i64,
}

impl Brokers {
    fn new(partitions: usize, max_batch: usize) -> Self {
        Self {
            logs: (0..partitions).map(|_| Log::default()).collect(),
            leaders: vec![0; partitions],
            max_batch,
            next_producer_id: 0,
        }
    }

    fn take(&mut self, outgoing: &Outgoing) -> ProduceResponse {
        answer(&outgoing.request, |place, bytes| self.append(outgoing.node, place, bytes))
    }

    fn append(&mut self, node: i32, place: usize, bytes: &[u8]) -> i16 {
        if self.leaders[place] != node {
            return 6;
        }
        if bytes.len() > self.max_batch {
            return 10;
        }
        let header = BatchHeader::parse(bytes).unwrap();
        let log = &mut self.logs[place];
        if header.producer_id >= 0 {
            let entry = log.producers.entry(header.producer_id).or_default();
            if entry.1.contains(&header.base_sequence) {
                return 0;
            }
            if entry.0 != header.base_sequence {
                return 45;
            }
            entry.0 += header.record_count;
            entry.1.push_back(header.base_sequence);
            if entry.1.len() > 5 {
                entry.1.pop_front();
            }
        }
        let mut scratch = Scratch::new();
        let batch = OpenBatch::open(bytes, &mut Decompressor::new(), &mut scratch).unwrap();
        for record in batch.records(bytes, &scratch) {
            let value = record.unwrap().value.unwrap();
            log.records.push(u64::from_be_bytes(value[..8].try_into().unwrap()));
        }
        0
    }
}

pub(super) fn answer(
    request: &ProduceRequest,
    mut code: impl FnMut(usize, &[u8]) -> i16,
) -> ProduceResponse {
    let topics = request.topic_data.iter().map(|topic| {
        let answers = topic.partition_data.iter().map(|data| {
            PartitionProduceResponse::default()
                .with_index(data.index)
                .with_error_code(code(data.index as usize, data.records.as_ref().unwrap()))
        });
        TopicProduceResponse::default()
            .with_name(topic.name.clone())
            .with_partition_responses(answers.collect())
    });
    ProduceResponse::default().with_responses(topics.collect())
}

#[derive(Clone, Copy, Debug)]
enum Event {
    /// Appends so many records to the partition, each of about so many bytes.
    Append(u8, u8, u16),
    /// The node's oldest request is answered.
    Answer(u8),
    /// The node's connection breaks; so many of its requests had been carried out.
    Break(u8, u8),
    /// The partition's leader moves.
    Move(u8),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (any::<u8>(), 1..40_u8, 0..400_u16).prop_map(|(p, n, s)| Event::Append(p, n, s)),
        6 => any::<u8>().prop_map(Event::Answer),
        1 => (any::<u8>(), 0..6_u8).prop_map(|(node, done)| Event::Break(node, done)),
        1 => any::<u8>().prop_map(Event::Move),
    ]
}

struct World {
    state: Accumulator,
    brokers: Brokers,
    wires: [VecDeque<Outgoing>; 2],
    now: Instant,
    version: u64,
    /// What was appended, by partition.
    appended: Vec<Vec<u64>>,
}

impl World {
    fn new(config: ProducerConfig, partitions: usize, max_batch: usize) -> Self {
        let mut state = Accumulator::new(config);
        // The topic becomes known by the first append, its partitions after that.
        let refused = state.append("t", None, 0, None, None, NO_HEADERS);
        assert_eq!(refused.unwrap_err(), AppendError::NoMetadata);
        let mut world = Self {
            state,
            brokers: Brokers::new(partitions, max_batch),
            wires: Default::default(),
            now: Instant::now(),
            version: 0,
            appended: vec![Vec::new(); partitions],
        };
        world.learn();
        world
    }

    fn learn(&mut self) {
        self.version += 1;
        self.state.update_metadata(&metadata(self.version, &self.brokers.leaders));
    }

    fn run(&mut self, event: Event) {
        match event {
            Event::Append(place, count, size) => {
                for _ in 0..count {
                    self.append(usize::from(place) % self.appended.len(), usize::from(size));
                }
            }
            Event::Answer(node) => self.answer(usize::from(node) % 2),
            Event::Break(node, done) => self.break_wire(usize::from(node) % 2, usize::from(done)),
            Event::Move(place) => {
                let leader = &mut self.brokers.leaders[usize::from(place) % self.appended.len()];
                *leader = 1 - *leader;
            }
        }
        self.tick(Duration::from_millis(7));
    }

    fn append(&mut self, place: usize, size: usize) {
        let ticket = self.state.next_ticket();
        let mut value = ticket.to_be_bytes().to_vec();
        value.resize(8 + size, ticket as u8);
        match self.state.append("t", Some(place as i32), 5, None, Some(&value), NO_HEADERS) {
            Ok((appended, _)) => {
                assert_eq!((appended.ticket, appended.partition), (ticket, place as i32));
                self.appended[place].push(ticket);
            }
            Err(AppendError::Full) => {}
            Err(other) => panic!("{other}"),
        }
    }

    fn tick(&mut self, time: Duration) {
        self.now += time;
        let drained = self.state.drain(self.now);
        if drained.needs_metadata {
            self.learn();
        }
        if drained.needs_identity {
            self.brokers.next_producer_id += 1;
            self.state.set_identity(self.brokers.next_producer_id, 0);
        }
        for outgoing in drained.outgoing {
            let most = self.state.config.max_in_flight;
            let wire = &mut self.wires[outgoing.node as usize];
            wire.push_back(outgoing);
            assert!(wire.len() <= most);
        }
    }

    fn answer(&mut self, node: usize) {
        let Some(outgoing) = self.wires[node].pop_front() else { return };
        let response = self.brokers.take(&outgoing);
        self.state.complete(outgoing.flight, Ok(Some(response)), self.now);
        if std::mem::take(&mut self.state.metadata_wanted) {
            self.learn();
        }
    }

    fn break_wire(&mut self, node: usize, done: usize) {
        let lost: Vec<Outgoing> = self.wires[node].drain(..).collect();
        for outgoing in lost.iter().take(done) {
            self.brokers.take(outgoing);
        }
        for outgoing in lost {
            let error = KafkaError::disconnected("the wire broke");
            self.state.complete(outgoing.flight, Err(error), self.now);
        }
        self.learn();
    }

    /// Lets everything come to its end.
    fn settle(&mut self) {
        self.state.flush();
        for _ in 0..10_000 {
            if self.state.is_idle() {
                return;
            }
            self.tick(Duration::from_millis(300));
            self.answer(0);
            self.answer(1);
        }
        panic!("records are stuck");
    }
}

proptest! {
    #[test]
    fn idempotent_records_arrive_once_and_in_order(
        events in proptest::collection::vec(event(), 1..120),
        in_flight in 1..6_usize,
        max_batch in prop_oneof![Just(1000_usize), Just(1 << 20)],
        codec in prop_oneof![Just("none"), Just("lz4")],
    ) {
        let in_flight = in_flight.to_string();
        let config = config(&[
            ("enable.idempotence", "true"),
            ("max.in.flight.requests.per.connection", &in_flight),
            ("batch.size", "2000"),
            ("compression.type", codec),
            ("max.request.size", "5000"),
        ]);
        let mut world = World::new(config, 3, max_batch);
        for event in events {
            world.run(event);
        }
        world.settle();
        prop_assert!(world.state.failures.is_empty(), "{:?}", world.state.failures);
        for (log, appended) in world.brokers.logs.iter().zip(&world.appended) {
            prop_assert_eq!(&log.records, appended);
        }
        prop_assert_eq!(world.state.acked_up_to(), world.state.next_ticket());
        prop_assert_eq!(world.state.used, 0);
    }

    #[test]
    fn one_in_flight_keeps_order_and_loses_nothing(
        events in proptest::collection::vec(event(), 1..120),
    ) {
        let config = config(&[("batch.size", "2000"), ("buffer.memory", "40000")]);
        let mut world = World::new(config, 3, 1 << 20);
        for event in events {
            world.run(event);
        }
        world.settle();
        prop_assert!(world.state.failures.is_empty());
        for (log, appended) in world.brokers.logs.iter().zip(&world.appended) {
            // A lost answer repeats a batch; each first copy is in its place.
            let mut seen = std::collections::HashSet::new();
            let mut firsts = log.records.clone();
            firsts.retain(|ticket| seen.insert(*ticket));
            prop_assert_eq!(&firsts, appended);
        }
        prop_assert_eq!(world.state.acked_up_to(), world.state.next_ticket());
        prop_assert_eq!(world.state.used, 0);
    }
}

/// Sends all there is and returns the requests, unanswered.
fn drain_all(state: &mut Accumulator, now: Instant) -> Vec<Outgoing> {
    state.flush();
    state.drain(now).outgoing
}

#[test]
fn acknowledged_means_all_below() {
    let mut world = World::new(config(&[("linger.ms", "0")]), 2, 1 << 20);
    world.brokers.leaders = vec![0, 1];
    world.learn();
    world.append(0, 10);
    world.append(1, 10);
    world.append(0, 10);
    world.tick(Duration::from_millis(1));
    assert_eq!(world.state.acked_up_to(), 0);
    world.answer(1);
    assert_eq!(world.state.acked_up_to(), 0, "ticket 0 is on its way");
    world.answer(0);
    assert_eq!(world.state.acked_up_to(), 3);
}

#[test]
fn lost_records_hold_the_mark_until_they_are_taken() {
    let mut world = World::new(config(&[("linger.ms", "0")]), 1, 1 << 20);
    for _ in 0..5 {
        world.append(0, 10);
    }
    world.tick(Duration::from_millis(1));
    world.append(0, 10);
    let outgoing = world.wires[0].pop_front().unwrap();
    let refused = answer(&outgoing.request, |_, _| 87);
    world.state.complete(outgoing.flight, Ok(Some(refused)), world.now);
    world.settle();
    assert_eq!(world.state.acked_up_to(), 0);
    let failures = world.state.take_failures();
    assert_eq!(failures.len(), 1);
    assert_eq!((&*failures[0].topic, failures[0].partition), ("t", 0));
    assert_eq!(failures[0].tickets, vec![0..5]);
    assert_eq!(failures[0].error.code, 87);
    assert_eq!(world.state.acked_up_to(), 6);
    assert_eq!(world.brokers.logs[0].records, [5]);
}

#[test]
fn after_a_loss_idempotence_goes_on_under_a_new_identity() {
    let settings = [("linger.ms", "0"), ("enable.idempotence", "true")];
    let mut world = World::new(config(&settings), 1, 1 << 20);
    world.append(0, 10);
    world.tick(Duration::from_millis(1));
    world.tick(Duration::from_millis(1));
    let outgoing = world.wires[0].pop_front().unwrap();
    let refused = answer(&outgoing.request, |_, _| 87);
    world.state.complete(outgoing.flight, Ok(Some(refused)), world.now);
    assert_eq!(world.state.identity, IdentityState::Wanted);
    world.append(0, 10);
    world.settle();
    assert_eq!(world.brokers.logs[0].records, [1]);
    assert_eq!(world.brokers.next_producer_id, 2);
}

#[test]
fn batches_too_large_for_the_topic_are_divided() {
    let settings = [("batch.size", "4000"), ("enable.idempotence", "true")];
    let mut world = World::new(config(&settings), 1, 600);
    for _ in 0..30 {
        world.append(0, 100);
    }
    world.settle();
    assert_eq!(world.brokers.logs[0].records, (0..30).collect::<Vec<_>>());
    // A single record that is too large is lost, and only that.
    world.append(0, 700);
    world.append(0, 10);
    world.settle();
    assert_eq!(world.state.take_failures()[0].tickets, vec![30..31]);
    assert_eq!(world.brokers.logs[0].records.last(), Some(&31));
}

#[test]
fn batches_linger_until_they_are_full_or_due() {
    let mut world = World::new(config(&[("linger.ms", "50"), ("batch.size", "500")]), 1, 1 << 20);
    world.append(0, 100);
    let drained = world.state.drain(world.now);
    assert!(drained.outgoing.is_empty());
    let due = drained.wake_at.unwrap();
    assert!(due > world.now && due <= world.now + Duration::from_millis(51));
    assert_eq!(world.state.drain(due).outgoing.len(), 1, "due");
    world.answer(0);
    for _ in 0..8 {
        world.append(0, 100);
    }
    // The first request has no answer yet, so nothing goes; with one it does.
    assert!(world.state.drain(world.now).outgoing.is_empty());
    let flight = *world.state.flights.keys().next().unwrap();
    world.state.complete(flight, Err(KafkaError::disconnected("")), world.now);
    let outgoing = world.state.drain(world.now + Duration::from_secs(2)).outgoing;
    assert_eq!(outgoing.len(), 1, "full");
}

#[test]
fn memory_has_an_end_and_comes_back() {
    let settings = [("buffer.memory", "2000"), ("linger.ms", "60000")];
    let mut world = World::new(config(&settings), 1, 1 << 20);
    let value = [0_u8; 300];
    let mut taken = 0;
    let full = loop {
        match world.state.append("t", None, 0, None, Some(&value), NO_HEADERS) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(full, AppendError::Full);
    assert!((4..7).contains(&taken), "{taken}");
    assert_eq!(world.state.unblocked(), None);
    // Being full makes the open batch go without lingering.
    world.tick(Duration::from_millis(1));
    world.answer_with(0, 0);
    assert_eq!(world.state.unblocked(), Some(Ok(())));
    assert!(world.state.append("t", None, 0, None, Some(&value), NO_HEADERS).is_ok());
    let large = vec![0; 3000];
    let error = world.state.append("t", None, 0, None, Some(&large), NO_HEADERS).unwrap_err();
    assert!(matches!(error, AppendError::TooLarge { limit: 2000, .. }));
}

impl World {
    /// Answers the node's oldest request with one code for all, whatever it holds.
    fn answer_with(&mut self, node: usize, code: i16) {
        let outgoing = self.wires[node].pop_front().unwrap();
        let response = answer(&outgoing.request, |_, _| code);
        self.state.complete(outgoing.flight, Ok(Some(response)), self.now);
    }
}

#[test]
fn time_ends_even_retries_without_end() {
    let settings = [("delivery.timeout.ms", "40000"), ("linger.ms", "0")];
    let mut world = World::new(config(&settings), 1, 1 << 20);
    world.append(0, 1);
    for _ in 0..200 {
        world.tick(Duration::from_millis(250));
        world.break_wire(0, 0);
    }
    let failures = world.state.take_failures();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].tickets, vec![0..1]);
    assert!(world.state.is_idle());
}

#[test]
fn retries_are_counted() {
    let mut world = World::new(config(&[("retries", "2"), ("linger.ms", "0")]), 1, 1 << 20);
    world.append(0, 1);
    for _ in 0..3 {
        world.tick(Duration::from_secs(2));
        world.answer_with(0, 7);
    }
    assert_eq!(world.state.stats.batches, 3);
    assert_eq!(world.state.take_failures()[0].error.code, 7);
}

#[test]
fn keys_and_partitions_are_obeyed() {
    let mut world = World::new(config(&[]), 4, 1 << 20);
    let state = &mut world.state;
    let mut to = |partition, key: Option<&[u8]>| {
        state
            .append("t", partition, 0, key, None, NO_HEADERS)
            .map(|(appended, _)| appended.partition)
    };
    let expected = crate::partitioner::partition_for_key(b"foobar", 4);
    assert_eq!(to(None, Some(b"foobar")), Ok(expected));
    assert_eq!(to(Some(2), Some(b"foobar")), Ok(2));
    assert_eq!(to(Some(4), None), Err(AppendError::NoPartition { partition: 4, count: 4 }));
    assert_eq!(to(Some(-1), None), Err(AppendError::NoPartition { partition: -1, count: 4 }));
    let sticky = to(None, None).unwrap();
    assert_eq!(to(None, None), Ok(sticky));
}

#[test]
fn no_leader_no_request() {
    let mut world = World::new(config(&[]), 1, 1 << 20);
    world.append(0, 1);
    world.version += 1;
    world.state.update_metadata(&metadata(world.version, &[-1]));
    world.state.flush();
    let drained = world.state.drain(world.now);
    assert!(drained.needs_metadata && drained.outgoing.is_empty());
}

#[test]
fn a_refused_identity_ends_the_producer() {
    let mut world = World::new(config(&[("enable.idempotence", "true")]), 1, 1 << 20);
    world.append(0, 1);
    world.state.flush();
    assert!(world.state.drain(world.now).needs_identity);
    let asked_once = world.state.drain(world.now);
    assert!(!asked_once.needs_identity);
    world.state.identity_failed(KafkaError::from_code(31, "InitProducerId", ""));
    assert_eq!(world.state.take_failures()[0].tickets, vec![0..1]);
    let error = world.state.append("t", None, 0, None, None, NO_HEADERS).unwrap_err();
    assert!(matches!(error, AppendError::Failed(error) if error.code == 31));
}

#[test]
fn compressible_batches_grow_towards_the_batch_size() {
    let mut world = World::new(config(&[("compression.type", "lz4")]), 1, 1 << 20);
    let value = [b'x'; 200];
    let mut sizes = Vec::new();
    for _ in 0..40_000 {
        world.state.append("t", Some(0), 0, None, Some(&value), NO_HEADERS).unwrap();
        for outgoing in drain_all_closed(&mut world) {
            sizes.push(
                outgoing.request.topic_data[0].partition_data[0].records.as_ref().unwrap().len(),
            );
            let response = answer(&outgoing.request, |_, _| 0);
            world.state.complete(outgoing.flight, Ok(Some(response)), world.now);
        }
    }
    assert!(sizes.iter().all(|size| *size <= 16_384), "{sizes:?}");
    let plain = 40_000 * 210 / sizes.len();
    assert!(plain > 16_384 * 8, "batches hold only {plain} bytes before compression");
}

fn drain_all_closed(world: &mut World) -> Vec<Outgoing> {
    world.state.drain(world.now).outgoing
}

#[test]
fn tickets_are_ranges() {
    let mut world = World::new(config(&[]), 2, 1 << 20);
    for place in [0, 0, 1, 0] {
        world.append(place, 1);
    }
    let requests = drain_all(&mut world.state, world.now);
    for outgoing in requests {
        let response = answer(&outgoing.request, |place, _| if place == 0 { 87 } else { 0 });
        world.state.complete(outgoing.flight, Ok(Some(response)), world.now);
    }
    assert_eq!(world.state.take_failures()[0].tickets, vec![0..2, 3..4]);
}
