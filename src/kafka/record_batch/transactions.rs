//! Which batches a consumer may see: control batches never, aborted transactions only where
//! `isolation.level` is `read_uncommitted`.

use std::collections::{HashSet, VecDeque};

use super::error::{BatchError, Fault};
use super::header::{BatchHeader, HEADER_LEN};
use super::records::Records;
use crate::compression::Codec;

/// The marker in a control batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlKind {
    Abort,
    Commit,
    /// Raft and later kinds, which consumers pass over.
    Other(i16),
}

impl ControlKind {
    /// Reads the kind from a control record's key: version and type, two bytes each.
    pub fn parse(key: &[u8]) -> Option<Self> {
        let kind = i16::from_be_bytes([*key.get(2)?, *key.get(3)?]);
        Some(match kind {
            0 => Self::Abort,
            1 => Self::Commit,
            other => Self::Other(other),
        })
    }

    /// The kind of a whole control batch, which brokers never compress.
    pub fn of_batch(header: &BatchHeader, bytes: &[u8]) -> Result<Self, BatchError> {
        let control =
            || BatchError::new(Fault::Control, HEADER_LEN, 1, i64::from(header.record_count));
        if header.codec != Codec::None {
            return Err(control());
        }
        let mut records = Records::new(header, bytes, HEADER_LEN..header.total_len());
        let record = records.next().ok_or_else(control)??;
        record.key.and_then(Self::parse).ok_or_else(control)
    }
}

/// The aborted transactions of one partition in a fetch response, followed batch by batch.
#[derive(Clone, Debug, Default)]
pub struct AbortedTransactions {
    /// (first offset, producer id), by offset.
    waiting: VecDeque<(i64, i64)>,
    /// Producers whose transaction at the current offset is aborted.
    open: HashSet<i64>,
}

impl AbortedTransactions {
    /// From `(producer id, first offset)` as fetch responses list them; empty for
    /// `read_uncommitted`.
    pub fn new(list: impl IntoIterator<Item = (i64, i64)>) -> Self {
        let mut waiting: Vec<_> = list
            .into_iter()
            .map(|(producer_id, first_offset)| (first_offset, producer_id))
            .collect();
        waiting.sort_unstable();
        Self { waiting: waiting.into(), open: HashSet::new() }
    }

    /// Starts over with another response's list.
    pub fn reset(&mut self, list: impl IntoIterator<Item = (i64, i64)>) {
        *self = Self::new(list);
    }

    /// Whether the application may see the records of the batch at the start of `bytes`. To be
    /// asked for each batch of the response in order, before it is opened: what is not admitted
    /// need not be decompressed.
    pub fn admits(&mut self, header: &BatchHeader, bytes: &[u8]) -> Result<bool, BatchError> {
        if header.is_control() {
            if header.has_producer_id()
                && ControlKind::of_batch(header, bytes)? == ControlKind::Abort
            {
                self.enter(header);
                self.open.remove(&header.producer_id);
            }
            return Ok(false);
        }
        if !header.is_transactional() || !header.has_producer_id() {
            return Ok(true);
        }
        self.enter(header);
        Ok(!self.open.contains(&header.producer_id))
    }

    fn enter(&mut self, header: &BatchHeader) {
        while let Some(&(first_offset, producer_id)) = self.waiting.front() {
            if first_offset > header.last_offset() {
                break;
            }
            self.waiting.pop_front();
            self.open.insert(producer_id);
        }
    }
}
