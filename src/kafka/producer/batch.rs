//! A closed batch on its way: bytes, tickets, identity.

use std::ops::Range;
use std::time::Instant;

use bytes::Bytes;

use crate::compression::{Compressor, Decompressor, Scratch};
use crate::record_batch::{BatchBuilder, BatchError, BatchOptions, OpenBatch, set_producer};

/// Who produces, for brokers to tell repeated batches by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub producer_id: i64,
    pub epoch: i16,
    /// Counts identities; batches bear that of their sequence number.
    pub generation: u64,
}

/// Tickets in growing order, neighbours joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tickets(Vec<Range<u64>>);

impl Tickets {
    pub fn push(&mut self, ticket: u64) {
        match self.0.last_mut() {
            Some(last) if last.end == ticket => last.end += 1,
            _ => self.0.push(ticket..ticket + 1),
        }
    }

    pub fn first(&self) -> u64 {
        self.0.first().map_or(u64::MAX, |range| range.start)
    }

    pub fn into_ranges(self) -> Vec<Range<u64>> {
        self.0
    }

    fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().cloned().flatten()
    }

    /// Divides after the first `count`.
    fn split(&self, count: usize) -> (Self, Self) {
        let (mut before, mut after) = (Self::default(), Self::default());
        for (index, ticket) in self.iter().enumerate() {
            if index < count { before.push(ticket) } else { after.push(ticket) }
        }
        (before, after)
    }
}

/// The batch that a partition's records are appended to.
pub(super) struct Open {
    pub builder: BatchBuilder,
    pub tickets: Tickets,
    pub created: Instant,
}

/// The scratch keeps memory up to this.
const KEEP: usize = 4 << 20;

/// A batch ready to be sent, being sent, or to be sent again.
pub(super) struct Batch {
    pub bytes: Bytes,
    pub tickets: Tickets,
    pub count: usize,
    pub created: Instant,
    /// Times that it was sent.
    pub attempts: u32,
    /// Not to be sent before.
    pub not_before: Option<Instant>,
    /// Generation of the identity, and the first record's sequence number.
    pub sequence: Option<(u64, i32)>,
}

impl Batch {
    /// Compresses what was appended. The builder is returned empty, for the next batch. After an
    /// error only the tickets are left. The batch is made in `scratch` and copied once its size is
    /// known: compressors want room for data that does not shrink, many times what most batches
    /// hold on to while they wait.
    pub fn close(
        open: Open,
        options: &BatchOptions,
        compressor: &mut Compressor,
        scratch: &mut Vec<u8>,
    ) -> Result<(Self, BatchBuilder), (BatchError, Tickets)> {
        let Open { mut builder, tickets, created } = open;
        scratch.clear();
        scratch.shrink_to(KEEP);
        if let Err(error) = builder.finish(options, compressor, scratch) {
            return Err((error, tickets));
        }
        let count = builder.count();
        builder.clear();
        let batch = Self {
            bytes: Bytes::copy_from_slice(scratch),
            tickets,
            count,
            created,
            attempts: 0,
            not_before: None,
            sequence: None,
        };
        Ok((batch, builder))
    }

    /// Gives the batch its place among those of `identity`.
    pub fn identify(&mut self, identity: Identity, sequence: i32) {
        let mut bytes = Vec::from(std::mem::take(&mut self.bytes));
        set_producer(&mut bytes, identity.producer_id, identity.epoch, sequence);
        self.bytes = bytes.into();
        self.sequence = Some((identity.generation, sequence));
    }

    /// Divides a batch that is too large for its topic in two halves. Both keep the sequence
    /// numbers that their records have. `None` if it can't be divided.
    pub fn split(
        &self,
        options: &BatchOptions,
        identity: Option<Identity>,
        compressor: &mut Compressor,
    ) -> Option<[Self; 2]> {
        if self.count < 2 {
            return None;
        }
        let half = self.count / 2;
        let [first, second] = self.halves(half, options, compressor)?;
        let (tickets, more_tickets) = self.tickets.split(half);
        let made = |bytes: Vec<u8>, tickets, count, skipped: usize| {
            let mut batch = Self {
                bytes: bytes.into(),
                tickets,
                count,
                created: self.created,
                attempts: self.attempts,
                not_before: None,
                sequence: None,
            };
            if let (Some(identity), Some((generation, sequence))) = (identity, self.sequence)
                && identity.generation == generation
            {
                batch.identify(identity, next_sequence(sequence, skipped));
            }
            batch
        };
        Some([made(first, tickets, half, 0), made(second, more_tickets, self.count - half, half)])
    }

    fn halves(
        &self,
        half: usize,
        options: &BatchOptions,
        compressor: &mut Compressor,
    ) -> Option<[Vec<u8>; 2]> {
        let mut scratch = Scratch::new();
        let opened = OpenBatch::open(&self.bytes, &mut Decompressor::new(), &mut scratch).ok()?;
        let mut builders = [BatchBuilder::new(), BatchBuilder::new()];
        for (index, record) in opened.records(&self.bytes, &scratch).enumerate() {
            let record = record.ok()?;
            let headers: Vec<_> = record.headers.iter().collect::<Result<_, _>>().ok()?;
            let headers = headers.iter().map(|header| (header.name, header.value));
            builders[usize::from(index >= half)]
                .append(record.timestamp, record.key, record.value, headers)
                .ok()?;
        }
        let mut out = [Vec::new(), Vec::new()];
        for (builder, out) in builders.iter().zip(&mut out) {
            builder.finish(options, compressor, out).ok()?;
        }
        Some(out)
    }
}

/// Sequence numbers return to 0 after the greatest `i32`.
pub(super) fn next_sequence(sequence: i32, count: usize) -> i32 {
    ((i64::from(sequence) + count as i64) % (i64::from(i32::MAX) + 1)) as i32
}
