//! Writing batches: records go into one growing buffer, the header and the checksum at the end.

use super::error::{BatchError, Fault};
use super::header::{CONTROL, CRC_START, HEADER_LEN, LENGTH_OVERHEAD, TRANSACTIONAL};
use super::varint;
use crate::compression::{Codec, Compression, Compressor};

/// For records without headers.
pub const NO_HEADERS: [(&str, Option<&[u8]>); 0] = [];

/// The format's lengths are `i32`; a batch ends well before, so that no sum can pass it.
const MAX_BATCH: usize = i32::MAX as usize - 1024;
/// A builder keeps a buffer of up to this size when it is cleared.
const KEEP: usize = 4 << 20;

/// What a batch says about itself besides its records.
#[derive(Clone, Copy, Debug)]
pub struct BatchOptions {
    /// 0 from producers; brokers set it.
    pub base_offset: i64,
    /// -1 from producers; brokers set it.
    pub partition_leader_epoch: i32,
    pub compression: Compression,
    /// -1 without idempotence, and so the next two.
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub transactional: bool,
    pub control: bool,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            base_offset: 0,
            partition_leader_epoch: -1,
            compression: Compression::new(Codec::None),
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            transactional: false,
            control: false,
        }
    }
}

/// A batch in the making. Offsets count from 0 in order of appending.
///
/// A value that is not yet bytes is best serialised into the caller's own reused buffer and
/// appended from there: the record's length stands before it in a field whose size depends on it,
/// so writing in place would move the value once more all the same.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    /// Empty, or the header's place and the records.
    buffer: Vec<u8>,
    count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    pub fn new() -> Self {
        Self::default()
    }

    /// With room for `bytes` of header and records.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { buffer: Vec::with_capacity(bytes), ..Self::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Records so far.
    pub fn count(&self) -> usize {
        self.count as usize
    }

    /// Bytes of header and records so far, before compression.
    pub fn len(&self) -> usize {
        self.buffer.len().max(HEADER_LEN)
    }

    /// Makes room for a batch of about `bytes`, so that it need not move as it grows.
    pub fn reserve(&mut self, bytes: usize) {
        self.buffer.reserve(bytes.saturating_sub(self.buffer.len()));
    }

    /// Bytes that the buffer holds on to.
    pub fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// Forgets the records and keeps the buffer, unless it has grown beyond 4 MiB.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.buffer.shrink_to(KEEP);
        self.count = 0;
    }

    /// The most bytes that a record of these parts can add to a batch, as Java's
    /// `DefaultRecord.recordSizeUpperBound` without the headers' part.
    pub fn upper_bound(key: Option<&[u8]>, value: Option<&[u8]>) -> usize {
        21 + 10 + key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len)
    }

    /// Appends a record and returns its offset from the batch's start. `timestamp` in ms.
    /// Nothing is appended if there is an error ([`Fault::BatchFull`]).
    #[inline]
    pub fn append<'h, H>(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: H,
    ) -> Result<i32, BatchError>
    where
        H: IntoIterator<Item = (&'h str, Option<&'h [u8]>)>,
        H::IntoIter: ExactSizeIterator + Clone,
    {
        let headers = headers.into_iter();
        if self.count == 0 {
            self.buffer.resize(HEADER_LEN, 0);
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        let timestamp_delta = timestamp.wrapping_sub(self.base_timestamp);
        let offset_delta = self.count;
        let mut length = 1
            + varint::len(timestamp_delta)
            + varint::len(i64::from(offset_delta))
            + field_len(key)
            + field_len(value)
            + varint::len(headers.len() as i64);
        for (name, value) in headers.clone() {
            length = length.saturating_add(field_len(Some(name.as_bytes())) + field_len(value));
        }
        let size = self.buffer.len().saturating_add(length);
        if size > MAX_BATCH || self.count == i32::MAX {
            return Err(BatchError::new(Fault::BatchFull, self.buffer.len(), 0, size as i64));
        }
        let out = &mut self.buffer;
        out.reserve(length + 5);
        varint::write(length as i64, out);
        out.push(0);
        varint::write(timestamp_delta, out);
        varint::write(i64::from(offset_delta), out);
        write_field(key, out);
        write_field(value, out);
        varint::write(headers.len() as i64, out);
        for (name, value) in headers {
            write_field(Some(name.as_bytes()), out);
            write_field(value, out);
        }
        self.count += 1;
        self.max_timestamp = self.max_timestamp.max(timestamp);
        Ok(offset_delta)
    }

    /// Appends the finished batch to `out` and returns its size in bytes. The builder keeps its
    /// records until [`BatchBuilder::clear`], so that a batch can be built again with another
    /// sequence number. `out` is as before after an error.
    pub fn finish(
        &self,
        options: &BatchOptions,
        compressor: &mut Compressor,
        out: &mut Vec<u8>,
    ) -> Result<usize, BatchError> {
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_LEN]);
        let records = self.buffer.get(HEADER_LEN..).unwrap_or_default();
        let compressed = compressor.compress(options.compression, records, out);
        let size = out.len() - start;
        let checked = compressed.and_then(|()| {
            if size <= MAX_BATCH {
                Ok(())
            } else {
                Err(BatchError::new(Fault::BatchFull, 0, MAX_BATCH as i64, size as i64))
            }
        });
        if let Err(error) = checked {
            out.truncate(start);
            return Err(error);
        }
        self.write_header(options, &mut out[start..]);
        Ok(size)
    }

    fn write_header(&self, options: &BatchOptions, batch: &mut [u8]) {
        let mut attributes = i16::from(options.compression.codec.id());
        if options.transactional {
            attributes |= TRANSACTIONAL;
        }
        if options.control {
            attributes |= CONTROL;
        }
        let length = (batch.len() - LENGTH_OVERHEAD) as i32;
        let mut put = |at: usize, bytes: &[u8]| batch[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &options.base_offset.to_be_bytes());
        put(8, &length.to_be_bytes());
        put(12, &options.partition_leader_epoch.to_be_bytes());
        put(16, &[2]);
        put(21, &attributes.to_be_bytes());
        put(23, &(self.count - 1).to_be_bytes());
        put(27, &self.base_timestamp.to_be_bytes());
        put(35, &self.max_timestamp.to_be_bytes());
        put(43, &options.producer_id.to_be_bytes());
        put(51, &options.producer_epoch.to_be_bytes());
        put(53, &options.base_sequence.to_be_bytes());
        put(57, &self.count.to_be_bytes());
        let crc = crc_fast::crc32_iscsi(&batch[CRC_START..]);
        batch[17..CRC_START].copy_from_slice(&crc.to_be_bytes());
    }
}

/// Writes the producer's identity into a finished batch and mends its checksum; for producers that
/// learn a batch's sequence number after they have built it. Nothing happens to what is too short
/// for a batch.
pub fn set_producer(batch: &mut [u8], producer_id: i64, epoch: i16, base_sequence: i32) {
    if batch.len() < HEADER_LEN {
        return;
    }
    batch[43..51].copy_from_slice(&producer_id.to_be_bytes());
    batch[51..53].copy_from_slice(&epoch.to_be_bytes());
    batch[53..57].copy_from_slice(&base_sequence.to_be_bytes());
    let crc = crc_fast::crc32_iscsi(&batch[CRC_START..]);
    batch[17..CRC_START].copy_from_slice(&crc.to_be_bytes());
}

#[inline(always)]
fn field_len(field: Option<&[u8]>) -> usize {
    match field {
        None => 1,
        Some(field) => varint::len(field.len() as i64) + field.len(),
    }
}

#[inline(always)]
fn write_field(field: Option<&[u8]>, out: &mut Vec<u8>) {
    match field {
        None => out.push(1),
        Some(field) => {
            varint::write(field.len() as i64, out);
            out.extend_from_slice(field);
        }
    }
}
