//! What a partition knows of its idempotent and transactional producers, rebuilt from its batches.

use std::collections::{BTreeMap, HashMap, VecDeque};

use millrace_kafka::record_batch::BatchHeader;

use crate::protocol::code;

/// As many batches as a producer may have in flight.
const REMEMBERED: usize = 5;
/// `producer.id.expiration.ms`.
const EXPIRATION_MS: i64 = 24 * 60 * 60 * 1000;
/// Producers above which those that have expired are looked for.
const MANY: usize = 1024;

struct Batch {
    first_sequence: i32,
    last_sequence: i32,
    base_offset: i64,
    timestamp: i64,
}

#[derive(Default)]
struct Producer {
    epoch: i16,
    batches: VecDeque<Batch>,
    /// First offset of the open transaction.
    open_since: Option<i64>,
    last_timestamp: i64,
}

/// A transaction that was aborted: fetches of committed records list it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Aborted {
    pub producer_id: i64,
    pub first_offset: i64,
    /// The marker's offset.
    pub last_offset: i64,
}

/// What to do with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Append,
    /// It is there already.
    Duplicate {
        base_offset: i64,
        timestamp: i64,
    },
    Refuse(i16),
}

#[derive(Default)]
pub(crate) struct Producers {
    producers: HashMap<i64, Producer>,
    /// First offset of each open transaction, with its producer id.
    open: BTreeMap<i64, i64>,
    /// In order of their markers.
    aborted: Vec<Aborted>,
}

fn last_sequence(header: &BatchHeader) -> i32 {
    let sum = i64::from(header.base_sequence) + i64::from(header.last_offset_delta);
    (sum % (i64::from(i32::MAX) + 1)) as i32
}

impl Producers {
    /// Judges a producer's batch by epoch and sequence, as `ProducerAppendInfo` does.
    pub(crate) fn check(&self, header: &BatchHeader) -> Verdict {
        if !header.has_producer_id() {
            return Verdict::Append;
        }
        let Some(producer) = self.producers.get(&header.producer_id) else {
            return Verdict::Append;
        };
        if header.producer_epoch < producer.epoch {
            return Verdict::Refuse(code::INVALID_PRODUCER_EPOCH);
        }
        if header.producer_epoch > producer.epoch {
            return if header.base_sequence == 0 {
                Verdict::Append
            } else {
                Verdict::Refuse(code::OUT_OF_ORDER_SEQUENCE_NUMBER)
            };
        }
        let last = last_sequence(header);
        let same = |batch: &&Batch| {
            batch.first_sequence == header.base_sequence && batch.last_sequence == last
        };
        if let Some(batch) = producer.batches.iter().find(same) {
            let Batch { base_offset, timestamp, .. } = *batch;
            return Verdict::Duplicate { base_offset, timestamp };
        }
        let Some(newest) = producer.batches.back() else {
            return Verdict::Append;
        };
        let next = if newest.last_sequence == i32::MAX { 0 } else { newest.last_sequence + 1 };
        if header.base_sequence == next {
            Verdict::Append
        } else {
            Verdict::Refuse(code::OUT_OF_ORDER_SEQUENCE_NUMBER)
        }
    }

    /// Takes note of a batch of records in the log.
    pub(crate) fn appended(&mut self, header: &BatchHeader, base_offset: i64) {
        if !header.has_producer_id() {
            return;
        }
        if self.producers.len() > MANY {
            let oldest = header.max_timestamp.saturating_sub(EXPIRATION_MS);
            self.producers.retain(|_, producer| {
                producer.open_since.is_some() || producer.last_timestamp >= oldest
            });
        }
        let producer = self.producers.entry(header.producer_id).or_default();
        if header.producer_epoch != producer.epoch {
            producer.epoch = header.producer_epoch;
            producer.batches.clear();
        }
        producer.last_timestamp = header.max_timestamp;
        if header.base_sequence >= 0 {
            if producer.batches.len() == REMEMBERED {
                producer.batches.pop_front();
            }
            producer.batches.push_back(Batch {
                first_sequence: header.base_sequence,
                last_sequence: last_sequence(header),
                base_offset,
                timestamp: header.max_timestamp,
            });
        }
        if header.is_transactional() && producer.open_since.is_none() {
            producer.open_since = Some(base_offset);
            self.open.insert(base_offset, header.producer_id);
        }
    }

    /// Takes note of a transaction's marker at `offset`.
    pub(crate) fn marked(&mut self, header: &BatchHeader, offset: i64, committed: bool) {
        let producer = self.producers.entry(header.producer_id).or_default();
        if header.producer_epoch > producer.epoch {
            producer.epoch = header.producer_epoch;
            producer.batches.clear();
        }
        producer.last_timestamp = header.max_timestamp;
        if let Some(first_offset) = producer.open_since.take() {
            self.open.remove(&first_offset);
            if !committed {
                let producer_id = header.producer_id;
                self.aborted.push(Aborted { producer_id, first_offset, last_offset: offset });
            }
        }
    }

    /// Offset of the first record that a transaction still holds open.
    pub(crate) fn first_open(&self) -> Option<i64> {
        self.open.first_key_value().map(|(offset, _)| *offset)
    }

    /// Aborted transactions with records or marker in `from..to`.
    pub(crate) fn aborted(&self, from: i64, to: i64) -> impl Iterator<Item = Aborted> + '_ {
        let start = self.aborted.partition_point(|aborted| aborted.last_offset < from);
        self.aborted[start..].iter().filter(move |aborted| aborted.first_offset < to).copied()
    }

    /// Forgets aborted transactions below the log's start.
    pub(crate) fn forget_below(&mut self, start: i64) {
        self.aborted.retain(|aborted| aborted.last_offset >= start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_kafka::compression::Compressor;
    use millrace_kafka::record_batch::{BatchBuilder, BatchOptions, NO_HEADERS};

    fn header(sequence: i32, count: i32, epoch: i16, transactional: bool) -> BatchHeader {
        let mut builder = BatchBuilder::new();
        for _ in 0..count {
            builder.append(1, None, Some(b"v"), NO_HEADERS).expect("fits");
        }
        let options = BatchOptions {
            producer_id: 7,
            producer_epoch: epoch,
            base_sequence: sequence,
            transactional,
            ..Default::default()
        };
        let mut bytes = Vec::new();
        builder.finish(&options, &mut Compressor::new(), &mut bytes).expect("fits");
        BatchHeader::parse(&bytes).expect("a header")
    }

    #[test]
    fn sequences_continue_repeat_or_are_refused() {
        let mut producers = Producers::default();
        producers.appended(&header(0, 3, 0, false), 100);
        producers.appended(&header(3, 2, 0, false), 103);
        assert_eq!(producers.check(&header(5, 1, 0, false)), Verdict::Append);
        assert_eq!(
            producers.check(&header(0, 3, 0, false)),
            Verdict::Duplicate { base_offset: 100, timestamp: 1 }
        );
        assert_eq!(
            producers.check(&header(3, 2, 0, false)),
            Verdict::Duplicate { base_offset: 103, timestamp: 1 }
        );
        let out_of_order = Verdict::Refuse(code::OUT_OF_ORDER_SEQUENCE_NUMBER);
        assert_eq!(producers.check(&header(6, 1, 0, false)), out_of_order);
        assert_eq!(producers.check(&header(3, 1, 0, false)), out_of_order);
        assert_eq!(producers.check(&header(5, 1, 1, false)), out_of_order);
        assert_eq!(producers.check(&header(0, 1, 1, false)), Verdict::Append);
        producers.appended(&header(0, 1, 1, false), 105);
        let fenced = Verdict::Refuse(code::INVALID_PRODUCER_EPOCH);
        assert_eq!(producers.check(&header(5, 1, 0, false)), fenced);
    }

    #[test]
    fn sequences_wrap_after_the_largest() {
        let mut producers = Producers::default();
        producers.appended(&header(i32::MAX - 1, 3, 0, false), 0);
        assert_eq!(producers.check(&header(1, 1, 0, false)), Verdict::Append);
    }

    #[test]
    fn an_open_transaction_holds_the_stable_offset_until_its_marker() {
        let mut producers = Producers::default();
        producers.appended(&header(0, 3, 0, true), 10);
        producers.appended(&header(3, 3, 0, true), 20);
        assert_eq!(producers.first_open(), Some(10));
        producers.marked(&header(-1, 1, 0, true), 30, false);
        assert_eq!(producers.first_open(), None);
        let aborted = Aborted { producer_id: 7, first_offset: 10, last_offset: 30 };
        assert_eq!(producers.aborted(0, 11).collect::<Vec<_>>(), [aborted]);
        assert_eq!(producers.aborted(30, 99).collect::<Vec<_>>(), [aborted]);
        assert_eq!(producers.aborted(0, 10).count(), 0);
        assert_eq!(producers.aborted(31, 99).count(), 0);
    }
}
