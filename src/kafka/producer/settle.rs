//! What becomes of a batch when its request has an outcome: acknowledged, sent again, divided, or
//! given up.

use std::collections::HashMap;
use std::time::Instant;

use kafka_protocol::messages::ProduceResponse;
use kafka_protocol::messages::produce_response::PartitionProduceResponse;

use super::Placement;
use super::accumulator::{Accumulator, Flight, IdentityState};
use super::batch::Batch;
use crate::error::{ErrorKind, KafkaError};

/// Of batches that a broker has, without a word on where.
const UNKNOWN_OFFSET: i64 = -1;
const CORRUPT_MESSAGE: i16 = 2;
const MESSAGE_TOO_LARGE: i16 = 10;
const RECORD_LIST_TOO_LARGE: i16 = 18;
const OUT_OF_ORDER_SEQUENCE: i16 = 45;
const DUPLICATE_SEQUENCE: i16 = 46;
const INVALID_PRODUCER_EPOCH: i16 = 47;
const UNKNOWN_PRODUCER_ID: i16 = 59;

/// What to do with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Acknowledged,
    Again,
    /// Again, under a new identity.
    AgainAnew,
    Divide,
    GiveUp,
}

impl Accumulator {
    /// Takes the outcome of a request: its response, `None` where none was asked for (`acks=0`), or
    /// why there is none.
    pub fn complete(
        &mut self,
        flight: u64,
        outcome: Result<Option<ProduceResponse>, KafkaError>,
        now: Instant,
    ) {
        let Some(Flight { node, batches }) = self.flights.remove(&flight) else { return };
        if let Some(node) = self.nodes.get_mut(&node) {
            node.in_flight = node.in_flight.saturating_sub(1);
            node.proven = outcome.is_ok();
        }
        let response = match outcome {
            Ok(response) => response,
            Err(error) => {
                for (at, place, batch) in batches {
                    self.settle(at, place, batch, Err(error.clone()), now);
                }
                self.metadata_wanted = true;
                return;
            }
        };
        let answers = response.as_ref().map(by_partition);
        for (at, place, batch) in batches {
            let result = match &answers {
                None => Ok(UNKNOWN_OFFSET),
                Some(answers) => {
                    let name = self.topics[at].name.clone();
                    check(answers.get(&(&*name, place as i32)).copied(), &name, place)
                }
            };
            self.metadata_wanted |= matches!(&result, Err(error) if error.kind == ErrorKind::Stale);
            self.settle(at, place, batch, result, now);
        }
        self.mark(now);
    }

    fn settle(
        &mut self,
        at: usize,
        place: usize,
        batch: Batch,
        result: Result<i64, KafkaError>,
        now: Instant,
    ) {
        let partition = &mut self.topics[at].partitions[place];
        partition.in_flight = partition.in_flight.saturating_sub(1);
        let error = match result {
            Ok(base_offset) => return self.acknowledge(batch, base_offset),
            Err(error) => error,
        };
        match self.judge(at, place, &batch, &error) {
            Verdict::Acknowledged => self.acknowledge(batch, UNKNOWN_OFFSET),
            Verdict::Divide => self.divide(at, place, batch, error),
            Verdict::Again if self.may_repeat(&batch, now) => self.repeat(at, place, batch, now),
            Verdict::AgainAnew if self.may_repeat(&batch, now) => {
                self.renew_identity();
                self.repeat(at, place, batch, now);
            }
            Verdict::Again | Verdict::AgainAnew | Verdict::GiveUp => {
                self.give_up(at, place, batch, error);
            }
        }
    }

    fn judge(&self, at: usize, place: usize, batch: &Batch, error: &KafkaError) -> Verdict {
        let idempotent = self.identity != IdentityState::Off;
        match error.code {
            DUPLICATE_SEQUENCE => Verdict::Acknowledged,
            MESSAGE_TOO_LARGE | RECORD_LIST_TOO_LARGE if batch.count > 1 => Verdict::Divide,
            CORRUPT_MESSAGE => Verdict::Again,
            OUT_OF_ORDER_SEQUENCE if idempotent => {
                // A consequence of another batch's trouble, or the broker has lost what it had.
                let waits = self.has_earlier(at, place, batch);
                if waits || !matches!(self.identity, IdentityState::Known(_)) {
                    Verdict::Again
                } else {
                    Verdict::GiveUp
                }
            }
            // Under another identity the batch would not be of this transaction.
            UNKNOWN_PRODUCER_ID | INVALID_PRODUCER_EPOCH if self.transaction.is_some() => {
                Verdict::GiveUp
            }
            UNKNOWN_PRODUCER_ID | INVALID_PRODUCER_EPOCH if idempotent => Verdict::AgainAnew,
            _ if error.is_retriable() => Verdict::Again,
            _ => Verdict::GiveUp,
        }
    }

    /// Whether a batch of the partition before `batch` is not acknowledged yet.
    fn has_earlier(&self, at: usize, place: usize, batch: &Batch) -> bool {
        let first = batch.tickets.first();
        let queue = &self.topics[at].partitions[place].queue;
        queue.front().is_some_and(|front| front.tickets.first() < first)
            || self.flights.values().flat_map(|flight| &flight.batches).any(
                |(other_at, other_place, other)| {
                    (*other_at, *other_place) == (at, place) && other.tickets.first() < first
                },
            )
    }

    fn may_repeat(&self, batch: &Batch, now: Instant) -> bool {
        batch.attempts <= self.config.retries
            && now.saturating_duration_since(batch.created) < self.config.delivery_timeout
    }

    fn acknowledge(&mut self, batch: Batch, base_offset: i64) {
        self.used = self.used.saturating_sub(batch.bytes.len());
        self.unfinished.remove(&batch.tickets.first());
        self.stats.acknowledged += batch.count as u64;
        if let Some(placed) = &mut self.placed {
            placed.push(Placement { tickets: batch.tickets.into_ranges(), base_offset });
        }
    }

    fn repeat(&mut self, at: usize, place: usize, mut batch: Batch, now: Instant) {
        let wait = self.backoff(batch.attempts);
        batch.not_before = now.checked_add(wait);
        self.stats.retries += 1;
        self.enqueue(at, place, batch);
    }

    /// Puts a batch where its tickets belong.
    fn enqueue(&mut self, at: usize, place: usize, batch: Batch) {
        let queue = &mut self.topics[at].partitions[place].queue;
        let first = batch.tickets.first();
        let index = queue.partition_point(|other| other.tickets.first() < first);
        queue.insert(index, batch);
        self.activate(at, place);
    }

    fn divide(&mut self, at: usize, place: usize, batch: Batch, error: KafkaError) {
        let whole = batch.bytes.len();
        let identity = match self.identity {
            IdentityState::Known(identity) => Some(identity),
            _ => None,
        };
        match batch.split(&self.options(), identity, &mut self.compressor) {
            Some(halves) => {
                self.used = self.used.saturating_sub(whole);
                for half in halves {
                    self.used += half.bytes.len();
                    self.unfinished.insert(half.tickets.first());
                    self.enqueue(at, place, half);
                }
            }
            None => self.give_up(at, place, batch, error),
        }
    }

    /// The batch's records will not arrive.
    pub fn give_up(&mut self, at: usize, place: usize, batch: Batch, error: KafkaError) {
        self.used = self.used.saturating_sub(batch.bytes.len());
        if batch.sequence.is_some() {
            // Its sequence numbers are a gap that no broker accepts anything behind.
            self.renew_identity();
        }
        self.fail(at, place, batch.tickets, error);
    }

    fn renew_identity(&mut self) {
        // That of transactions is got by asking for them anew.
        if self.transaction.is_none() && matches!(self.identity, IdentityState::Known(_)) {
            self.identity = IdentityState::Wanted;
        }
    }

    /// `retry.backoff.ms` doubled with each attempt, a fifth up or down by chance.
    fn backoff(&mut self, attempts: u32) -> std::time::Duration {
        let client = &self.config.client;
        let most = client.retry_backoff_max.max(client.retry_backoff);
        let wait = client.retry_backoff.saturating_mul(1 << attempts.saturating_sub(1).min(20));
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        wait.min(most).mul_f64(0.8 + 0.4 * (self.chance % 1024) as f64 / 1024.0)
    }
}

type Answers<'a> = HashMap<(&'a str, i32), &'a PartitionProduceResponse>;

fn by_partition(response: &ProduceResponse) -> Answers<'_> {
    let partitions = response.responses.iter().flat_map(|topic| {
        let name: &str = &topic.name.0;
        topic.partition_responses.iter().map(move |answer| ((name, answer.index), answer))
    });
    partitions.collect()
}

fn check(
    answer: Option<&PartitionProduceResponse>,
    topic: &str,
    place: usize,
) -> Result<i64, KafkaError> {
    let Some(answer) = answer else {
        let why = format!("no answer about {topic}-{place}");
        return Err(KafkaError::new(ErrorKind::Retriable, why));
    };
    let mut context = format_args!("{topic}-{place}").to_string();
    if answer.error_code != 0 {
        if let Some(message) = &answer.error_message {
            context = format!("{context}: {}", message.as_str());
        }
        for record in answer.record_errors.iter().take(3) {
            let message =
                record.batch_index_error_message.as_ref().map_or("", |text| text.as_str());
            context = format!("{context}; record {}: {message}", record.batch_index);
        }
    }
    KafkaError::check(answer.error_code, "Produce", &context)?;
    Ok(answer.base_offset)
}
