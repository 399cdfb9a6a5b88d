//! The transaction coordinator: producer ids, and who writes where in which transaction.
//!
//! A transaction ends within one request, markers and offsets included, so that there is no
//! "prepared" state to be seen. What is open when the broker stops is aborted at the next start.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use crate::offsets::Committed;
use crate::protocol::code;
use crate::rows;

/// Producer ids taken from the file at once.
const ID_BLOCK: i64 = 1000;
/// `transaction.max.timeout.ms`.
const MAX_TIMEOUT_MS: i32 = 900_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Empty,
    Ongoing,
    Committed,
    Aborted,
}

pub(crate) type PendingOffsets = BTreeMap<String, BTreeMap<(String, i32), Committed>>;

#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub producer_id: i64,
    pub epoch: i16,
    timeout_ms: i32,
    pub state: State,
    pub partitions: BTreeSet<(String, i32)>,
    /// Groups that joined the transaction, with the offsets it will commit.
    pub offsets: PendingOffsets,
    since: i64,
}

/// What [`Transactions::take`] leaves to be done in the logs and groups.
pub(crate) struct Ending {
    pub producer_id: i64,
    pub epoch: i16,
    pub partitions: BTreeSet<(String, i32)>,
    pub offsets: PendingOffsets,
}

pub(crate) struct Transactions {
    path: PathBuf,
    next_id: i64,
    reserved: i64,
    transactions: BTreeMap<String, Transaction>,
}

impl Transactions {
    /// Opens the file; transactions that were open come back as `Ongoing`, to be aborted.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut next_id = 0;
        let mut transactions = BTreeMap::new();
        for row in rows::read(path)? {
            match row.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["next", id] => next_id = id.parse().unwrap_or(next_id),
                ["id", id, producer_id, epoch, timeout_ms, ref partitions @ ..] => {
                    let (Ok(producer_id), Ok(epoch), Ok(timeout_ms)) =
                        (producer_id.parse(), epoch.parse(), timeout_ms.parse())
                    else {
                        continue;
                    };
                    let pairs = partitions.chunks_exact(2);
                    let partitions: BTreeSet<(String, i32)> = pairs
                        .filter_map(|pair| Some((pair[0].to_owned(), pair[1].parse().ok()?)))
                        .collect();
                    let state = if partitions.is_empty() { State::Empty } else { State::Ongoing };
                    let offsets = BTreeMap::new();
                    let transaction = Transaction {
                        producer_id,
                        epoch,
                        timeout_ms,
                        state,
                        partitions,
                        offsets,
                        since: 0,
                    };
                    transactions.insert(id.to_owned(), transaction);
                }
                _ => {}
            }
        }
        Ok(Self { path: path.to_owned(), next_id, reserved: next_id, transactions })
    }

    fn save(&self) -> Result<(), i16> {
        let mut text = String::new();
        rows::push(&mut text, ["next", &self.reserved.to_string()]);
        for (id, transaction) in &self.transactions {
            let mut row: Vec<String> = vec!["id".to_owned(), id.clone()];
            row.push(transaction.producer_id.to_string());
            row.push(transaction.epoch.to_string());
            row.push(transaction.timeout_ms.to_string());
            for (topic, index) in &transaction.partitions {
                row.extend([topic.clone(), index.to_string()]);
            }
            rows::push(&mut text, row.iter().map(String::as_str));
        }
        // Not durable against a crash of the machine, as nothing here is: no fsync a transaction.
        let fresh = self.path.with_extension("new");
        std::fs::write(&fresh, text)
            .and_then(|()| std::fs::rename(&fresh, &self.path))
            .map_err(crate::topics::storage_error)
    }

    fn fresh_id(&mut self) -> Result<i64, i16> {
        if self.next_id >= self.reserved {
            self.reserved = self.next_id + ID_BLOCK;
            self.save()?;
        }
        self.next_id += 1;
        Ok(self.next_id - 1)
    }

    /// InitProducerId without a transactional id.
    pub(crate) fn init_idempotent(&mut self) -> Result<(i64, i16), i16> {
        Ok((self.fresh_id()?, 0))
    }

    /// InitProducerId: a new epoch, which fences the id's earlier producers. `held` is the producer
    /// id and epoch that the client has, or -1. No transaction may be open: [`Transactions::fence`].
    pub(crate) fn init(
        &mut self,
        id: &str,
        timeout_ms: i32,
        held: (i64, i16),
    ) -> Result<(i64, i16), i16> {
        self.check_init(id, timeout_ms, held)?;
        let known = self.transactions.get(id).map(|known| (known.producer_id, known.epoch));
        let (producer_id, epoch) = match known {
            Some((producer_id, epoch)) if epoch < i16::MAX - 1 => (producer_id, epoch + 1),
            _ => (self.fresh_id()?, 0),
        };
        let transaction = Transaction {
            producer_id,
            epoch,
            timeout_ms,
            state: State::Empty,
            partitions: BTreeSet::new(),
            offsets: BTreeMap::new(),
            since: 0,
        };
        self.transactions.insert(id.to_owned(), transaction);
        self.save()?;
        Ok((producer_id, epoch))
    }

    pub(crate) fn check_init(
        &self,
        id: &str,
        timeout_ms: i32,
        held: (i64, i16),
    ) -> Result<(), i16> {
        if id.is_empty() {
            return Err(code::INVALID_REQUEST);
        }
        if !(1..=MAX_TIMEOUT_MS).contains(&timeout_ms) {
            return Err(code::INVALID_TRANSACTION_TIMEOUT);
        }
        match self.transactions.get(id) {
            Some(known) if held.0 >= 0 && held != (known.producer_id, known.epoch) => {
                Err(code::PRODUCER_FENCED)
            }
            _ => Ok(()),
        }
    }

    /// Bumps the epoch of an open transaction, so that nobody goes on with it, and takes it out to be
    /// aborted. `None` if none is open.
    pub(crate) fn fence(&mut self, id: &str) -> Option<Ending> {
        let transaction = self.transactions.get_mut(id)?;
        if transaction.state != State::Ongoing {
            return None;
        }
        transaction.epoch = transaction.epoch.saturating_add(1);
        Some(transaction.end(false))
    }

    fn checked(&mut self, id: &str, producer_id: i64, epoch: i16) -> Result<&mut Transaction, i16> {
        if id.is_empty() {
            return Err(code::INVALID_REQUEST);
        }
        let transaction = self.transactions.get_mut(id).ok_or(code::INVALID_PRODUCER_ID_MAPPING)?;
        if transaction.producer_id != producer_id {
            return Err(code::INVALID_PRODUCER_ID_MAPPING);
        }
        if transaction.epoch != epoch {
            return Err(code::PRODUCER_FENCED);
        }
        Ok(transaction)
    }

    /// AddPartitionsToTxn.
    pub(crate) fn add_partitions(
        &mut self,
        id: &str,
        producer_id: i64,
        epoch: i16,
        partitions: BTreeSet<(String, i32)>,
        now: i64,
    ) -> Result<(), i16> {
        let transaction = self.checked(id, producer_id, epoch)?;
        transaction.begin(now);
        let before = transaction.partitions.len();
        transaction.partitions.extend(partitions);
        if transaction.partitions.len() == before { Ok(()) } else { self.save() }
    }

    /// AddOffsetsToTxn.
    pub(crate) fn add_group(
        &mut self,
        id: &str,
        producer_id: i64,
        epoch: i16,
        group: &str,
        now: i64,
    ) -> Result<(), i16> {
        let transaction = self.checked(id, producer_id, epoch)?;
        transaction.begin(now);
        transaction.offsets.entry(group.to_owned()).or_default();
        Ok(())
    }

    /// TxnOffsetCommit.
    pub(crate) fn add_offsets(
        &mut self,
        id: &str,
        producer_id: i64,
        epoch: i16,
        group: &str,
        offsets: Vec<((String, i32), Committed)>,
    ) -> Result<(), i16> {
        let transaction = self.checked(id, producer_id, epoch).map_err(|error| match error {
            code::PRODUCER_FENCED => code::INVALID_PRODUCER_EPOCH,
            other => other,
        })?;
        let pending = transaction.offsets.get_mut(group).ok_or(code::INVALID_TXN_STATE)?;
        pending.extend(offsets);
        Ok(())
    }

    /// Whether a transactional batch may be written to a partition.
    pub(crate) fn verify(
        &self,
        id: &str,
        producer_id: i64,
        epoch: i16,
        topic: &str,
        index: i32,
    ) -> Result<(), i16> {
        let transaction = self.transactions.get(id).ok_or(code::INVALID_PRODUCER_ID_MAPPING)?;
        if transaction.producer_id != producer_id {
            return Err(code::INVALID_PRODUCER_ID_MAPPING);
        }
        if transaction.epoch != epoch {
            return Err(code::INVALID_PRODUCER_EPOCH);
        }
        let joined = transaction.partitions.contains(&(topic.to_owned(), index));
        if transaction.state == State::Ongoing && joined {
            Ok(())
        } else {
            Err(code::INVALID_TXN_STATE)
        }
    }

    /// EndTxn: takes an open transaction out. `None` if it had ended this way already.
    pub(crate) fn take(
        &mut self,
        id: &str,
        producer_id: i64,
        epoch: i16,
        committed: bool,
    ) -> Result<Option<Ending>, i16> {
        let transaction = self.checked(id, producer_id, epoch)?;
        match (transaction.state, committed) {
            (State::Ongoing, _) => Ok(Some(transaction.end(committed))),
            (State::Committed, true) | (State::Aborted, false) => Ok(None),
            (State::Empty | State::Committed | State::Aborted, _) => Err(code::INVALID_TXN_STATE),
        }
    }

    /// To be called once an ending is in the logs.
    pub(crate) fn ended(&self) -> Result<(), i16> {
        self.save()
    }

    /// Whether an open transaction will commit an offset of this partition for the group.
    pub(crate) fn is_pending(&self, group: &str, key: &(String, i32)) -> bool {
        self.transactions.values().any(|transaction| {
            transaction.offsets.get(group).is_some_and(|offsets| offsets.contains_key(key))
        })
    }

    /// Transactions that have been open for too long.
    pub(crate) fn expired(&self, now: i64) -> Vec<String> {
        let late = |transaction: &Transaction| transaction.deadline().is_some_and(|at| at <= now);
        self.transactions.iter().filter(|(_, own)| late(own)).map(|(id, _)| id.clone()).collect()
    }

    pub(crate) fn next_deadline(&self) -> Option<i64> {
        self.transactions.values().filter_map(Transaction::deadline).min()
    }
}

impl Transaction {
    fn begin(&mut self, now: i64) {
        if self.state != State::Ongoing {
            self.state = State::Ongoing;
            self.since = now;
        }
    }

    fn end(&mut self, committed: bool) -> Ending {
        self.state = if committed { State::Committed } else { State::Aborted };
        Ending {
            producer_id: self.producer_id,
            epoch: self.epoch,
            partitions: std::mem::take(&mut self.partitions),
            offsets: std::mem::take(&mut self.offsets),
        }
    }

    fn deadline(&self) -> Option<i64> {
        (self.state == State::Ongoing).then_some(self.since + i64::from(self.timeout_ms))
    }
}
