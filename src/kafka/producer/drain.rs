//! Which batches go out now, and in which requests.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ProduceRequest, TopicName, TransactionalId};
use kafka_protocol::protocol::StrBytes;

use super::accumulator::{Accumulator, Flight, IdentityState, Partition, Placed};
use super::batch::{Batch, Identity, next_sequence};
use crate::error::{ErrorKind, KafkaError};

/// A request for one broker. Its outcome is to be told by [`Accumulator::complete`].
pub(super) struct Outgoing {
    pub flight: u64,
    pub node: i32,
    pub request: ProduceRequest,
}

#[derive(Default)]
pub(super) struct Drained {
    pub outgoing: Vec<Outgoing>,
    /// When to look again, if nothing happens before.
    pub wake_at: Option<Instant>,
    /// Some batch has no leader to go to.
    pub needs_metadata: bool,
    /// [`Accumulator::set_identity`] is waited for.
    pub needs_identity: bool,
    /// [`super::transaction::join`] is waited for.
    pub needs_join: bool,
}

impl Drained {
    fn wake(&mut self, at: Option<Instant>) {
        if let Some(at) = at {
            self.wake_at = Some(self.wake_at.map_or(at, |other| other.min(at)));
        }
    }
}

/// What goes to each broker: bytes, batches.
type Loads = HashMap<i32, (usize, Vec<Placed>)>;

/// What a partition has to send.
enum Next {
    Nothing,
    /// It has batches, but this one is not the time.
    Later(Option<Instant>),
    NoLeader,
    NoIdentity,
    /// The transaction's coordinator does not know of the partition yet.
    NotJoined,
    Send,
}

impl Accumulator {
    /// Takes what may be sent at `now`: per broker one request, per partition one batch in it, as
    /// long as a broker has fewer than `max.in.flight.requests.per.connection`.
    pub fn drain(&mut self, now: Instant) -> Drained {
        let mut drained = Drained::default();
        let mut loads = Loads::new();
        if self.transaction.is_some()
            && let Some(error) = self.fatal.clone()
        {
            self.give_up_all(&error);
        }
        // Each round begins with another partition, so that none is always the one that does not
        // fit into the request any more.
        if !self.active.is_empty() {
            self.active.rotate_left(1);
        }
        for _ in 0..self.active.len() {
            let Some((at, place)) = self.active.pop_front() else { break };
            self.expire(at, place, now);
            match self.next(at, place, now, &mut drained) {
                Next::Nothing => {
                    self.topics[at].partitions[place].active = false;
                    continue;
                }
                Next::Later(when) => drained.wake(when),
                Next::NoLeader => drained.needs_metadata = true,
                Next::NoIdentity => drained.needs_identity = self.transaction.is_none(),
                Next::NotJoined => {}
                Next::Send => self.load(at, place, &mut loads),
            }
            self.active.push_back((at, place));
        }
        drained.needs_identity &= self.identity == IdentityState::Wanted && self.flights.is_empty();
        if drained.needs_identity {
            self.identity = IdentityState::Asked;
        }
        drained.needs_join =
            self.transaction.as_mut().is_some_and(|transaction| transaction.begin_to_ask());
        for (node, (_, batches)) in loads {
            drained.outgoing.push(self.launch(node, batches));
        }
        drained
    }

    fn next(&mut self, at: usize, place: usize, now: Instant, drained: &mut Drained) -> Next {
        let linger = self.config.linger;
        let hurry = self.is_short_of_memory();
        let flush_below = self.flush_below;
        let partition = &mut self.topics[at].partitions[place];
        let mut closes = false;
        match (partition.queue.front(), &partition.open) {
            (None, None) => return Next::Nothing,
            (None, Some(open)) => {
                let due = open.created.checked_add(linger);
                let is_due = due.is_some_and(|due| due <= now);
                if !is_due && !hurry && open.tickets.first() >= flush_below {
                    return Next::Later(due);
                }
                closes = true;
            }
            (Some(front), _) => {
                drained.wake(front.created.checked_add(self.config.delivery_timeout));
                if let Some(when) = front.not_before.filter(|when| *when > now) {
                    return Next::Later(Some(when));
                }
            }
        }
        if partition.leader < 0 {
            return Next::NoLeader;
        }
        if self.identity != IdentityState::Off && !matches!(self.identity, IdentityState::Known(_))
        {
            return Next::NoIdentity;
        }
        if self.transaction.as_mut().is_some_and(|transaction| !transaction.admits((at, place))) {
            return Next::NotJoined;
        }
        if self.is_busy(at, place) {
            // The answer that is waited for wakes the sender.
            return Next::Later(None);
        }
        if closes {
            self.close_batch(at, place);
        }
        match self.topics[at].partitions[place].queue.is_empty() {
            true => Next::Nothing,
            false => Next::Send,
        }
    }

    /// Whether order, or the broker's limit, forbids another batch in flight.
    fn is_busy(&self, at: usize, place: usize) -> bool {
        let partition = &self.topics[at].partitions[place];
        let most = self.config.max_in_flight;
        let repeats = partition.queue.front().is_some_and(|batch| batch.attempts > 0);
        // What is in flight to a former leader is to have its answer first.
        let moved = partition.flight_node != partition.leader;
        if partition.in_flight > 0 && (most == 1 || repeats || moved) {
            return true;
        }
        self.nodes
            .get(&partition.leader)
            .is_some_and(|node| node.in_flight >= if node.proven { most } else { 1 })
    }

    /// Moves the partition's first batch to its leader's load, if it fits there.
    fn load(&mut self, at: usize, place: usize, loads: &mut Loads) {
        let limit = self.config.max_request_size;
        let identity = match self.identity {
            IdentityState::Known(identity) => Some(identity),
            _ => None,
        };
        let partition = &mut self.topics[at].partitions[place];
        let (bytes, batches) = loads.entry(partition.leader).or_default();
        let Some(batch) = partition.queue.front() else { return };
        if *bytes > 0 && *bytes + batch.bytes.len() > limit {
            return;
        }
        *bytes += batch.bytes.len();
        let Some(mut batch) = partition.queue.pop_front() else { return };
        if let Some(identity) = identity {
            number(partition, &mut batch, identity);
        }
        batch.attempts += 1;
        batch.not_before = None;
        partition.in_flight += 1;
        partition.flight_node = partition.leader;
        batches.push((at, place, batch));
    }

    fn launch(&mut self, node: i32, batches: Vec<Placed>) -> Outgoing {
        let mut topics: Vec<(usize, TopicProduceData)> = Vec::new();
        for (at, place, batch) in &batches {
            let index = match topics.iter().position(|(topic, _)| topic == at) {
                Some(index) => index,
                None => {
                    let name = StrBytes::from_string(self.topics[*at].name.to_string());
                    topics.push((*at, TopicProduceData::default().with_name(TopicName(name))));
                    topics.len() - 1
                }
            };
            let data = PartitionProduceData::default()
                .with_index(*place as i32)
                .with_records(Some(batch.bytes.clone()));
            topics[index].1.partition_data.push(data);
            self.stats.batches += 1;
            self.stats.bytes += batch.bytes.len() as u64;
        }
        let timeout = self.config.client.request_timeout.as_millis();
        let request = ProduceRequest::default()
            .with_transactional_id(
                self.transaction.as_ref().map(|transaction| TransactionalId(transaction.id())),
            )
            .with_acks(self.config.acks)
            .with_timeout_ms(i32::try_from(timeout).unwrap_or(i32::MAX))
            .with_topic_data(topics.into_iter().map(|(_, data)| data).collect());
        let flight = self.next_flight;
        self.next_flight += 1;
        self.stats.requests += 1;
        self.nodes.entry(node).or_default().in_flight += 1;
        self.flights.insert(flight, Flight { node, batches });
        Outgoing { flight, node, request }
    }

    /// Gives up batches that waited beyond `delivery.timeout.ms`.
    fn expire(&mut self, at: usize, place: usize, now: Instant) {
        let limit = self.config.delivery_timeout;
        let late = |created: Instant| now.saturating_duration_since(created) >= limit;
        if self.topics[at].partitions[place].open.as_ref().is_some_and(|open| late(open.created)) {
            self.close_batch(at, place);
        }
        loop {
            let partition = &mut self.topics[at].partitions[place];
            let Some(batch) = partition.queue.pop_front_if(|batch| late(batch.created)) else {
                return;
            };
            let name: Rc<str> = self.topics[at].name.clone();
            let error = KafkaError::new(
                ErrorKind::Timeout,
                format!(
                    "Expiring {} record(s) for {name}-{place}: {} ms has passed since batch creation",
                    batch.count,
                    now.saturating_duration_since(batch.created).as_millis(),
                ),
            );
            self.give_up(at, place, batch, error);
        }
    }

    /// Gives the producer its id and epoch. All sequence numbers begin anew.
    pub fn set_identity(&mut self, producer_id: i64, epoch: i16) {
        self.generation += 1;
        let generation = self.generation;
        self.identity = IdentityState::Known(Identity { producer_id, epoch, generation });
        for partition in self.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
            partition.next_sequence = 0;
            for batch in &mut partition.queue {
                batch.sequence = None;
            }
        }
    }

    /// No identity was to be had. `error` ends the producer unless another try may help.
    pub fn identity_failed(&mut self, error: KafkaError) {
        self.identity = IdentityState::Wanted;
        if error.is_retriable() {
            return;
        }
        self.fatal = Some(error.clone());
        self.give_up_all(&error);
    }

    /// Nothing that is here and not on its way will arrive.
    fn give_up_all(&mut self, error: &KafkaError) {
        let places: Vec<(usize, usize)> = self.active.iter().copied().collect();
        for (at, place) in places {
            self.close_batch(at, place);
            while let Some(batch) = self.topics[at].partitions[place].queue.pop_front() {
                self.give_up(at, place, batch, error.clone());
            }
        }
    }
}

fn number(partition: &mut Partition, batch: &mut Batch, identity: Identity) {
    if batch.sequence.is_some_and(|(generation, _)| generation == identity.generation) {
        return;
    }
    let sequence = partition.next_sequence;
    batch.identify(identity, sequence);
    partition.next_sequence = next_sequence(sequence, batch.count);
}
