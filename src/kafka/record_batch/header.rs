//! The 61 bytes in front of each batch of message format v2.
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 8 | base offset |
//! | 8 | 4 | length of what follows, from here |
//! | 12 | 4 | partition leader epoch |
//! | 16 | 1 | magic, 2 |
//! | 17 | 4 | CRC-32C of all from 21 to the end |
//! | 21 | 2 | attributes |
//! | 23 | 4 | last offset delta |
//! | 27 | 8 | base timestamp, ms |
//! | 35 | 8 | max timestamp, ms |
//! | 43 | 8 | producer id |
//! | 51 | 2 | producer epoch |
//! | 53 | 4 | base sequence |
//! | 57 | 4 | record count |

use super::error::{BatchError, Fault};
use crate::compression::Codec;

/// Bytes of a batch before its records.
pub const HEADER_LEN: usize = 61;
/// Bytes before those that the batch length counts.
pub(crate) const LENGTH_OVERHEAD: usize = 12;
/// Where the checksummed part begins.
pub(crate) const CRC_START: usize = 21;
/// Bytes that show a batch's length and format: what [`needed_len`] wants to see.
pub const PREFIX_LEN: usize = 17;

const MAGIC_AT: usize = 16;
const CODEC_MASK: i16 = 0b111;
const TIMESTAMP_TYPE: i16 = 1 << 3;
pub(crate) const TRANSACTIONAL: i16 = 1 << 4;
pub(crate) const CONTROL: i16 = 1 << 5;
const DELETE_HORIZON: i16 = 1 << 6;

/// Who set the records' timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    CreateTime,
    /// The broker: all records bear the batch's max timestamp.
    LogAppendTime,
}

/// A parsed header. Times in ms since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    pub base_offset: i64,
    /// Bytes after the length field.
    pub batch_length: i32,
    pub partition_leader_epoch: i32,
    pub magic: i8,
    pub crc: u32,
    pub attributes: i16,
    pub codec: Codec,
    pub last_offset_delta: i32,
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    /// -1 without idempotence.
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub record_count: i32,
}

/// How many bytes the batch that begins with `prefix` has, header and all. `None` while `prefix` is
/// shorter than [`PREFIX_LEN`]: read on and ask again.
///
/// An old message format is an error here, before any of its records is waited for.
pub fn needed_len(prefix: &[u8]) -> Result<Option<usize>, BatchError> {
    if prefix.len() < PREFIX_LEN {
        return Ok(None);
    }
    check_magic(prefix[MAGIC_AT] as i8)?;
    let length = i32::from_be_bytes(array(prefix, 8));
    let least = (HEADER_LEN - LENGTH_OVERHEAD) as i32;
    if length < least {
        return Err(BatchError::new(Fault::BatchLength, 8, i64::from(least), i64::from(length)));
    }
    Ok(Some(length as usize + LENGTH_OVERHEAD))
}

fn check_magic(magic: i8) -> Result<(), BatchError> {
    match magic {
        2 => Ok(()),
        0 | 1 => Err(BatchError::new(Fault::OldFormat, MAGIC_AT, 2, i64::from(magic))),
        _ => Err(BatchError::new(Fault::Magic, MAGIC_AT, 2, i64::from(magic))),
    }
}

#[inline]
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`, which may go on behind the batch or end within its
    /// records: only [`super::OpenBatch::open`] needs them all. The checksum is not looked at.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let short = |needed: usize| {
            BatchError::new(Fault::Truncated, bytes.len(), needed as i64, bytes.len() as i64)
        };
        needed_len(bytes)?.ok_or_else(|| short(PREFIX_LEN))?;
        if bytes.len() < HEADER_LEN {
            return Err(short(HEADER_LEN));
        }
        let attributes = i16::from_be_bytes(array(bytes, 21));
        let codec = Codec::from_id((attributes & CODEC_MASK) as u8).ok_or_else(|| {
            BatchError::new(Fault::Codec, 21, 0, i64::from(attributes & CODEC_MASK))
        })?;
        let record_count = i32::from_be_bytes(array(bytes, 57));
        let last_offset_delta = i32::from_be_bytes(array(bytes, 23));
        if record_count < 0 {
            return Err(BatchError::new(Fault::RecordCount, 57, 0, i64::from(record_count)));
        }
        Ok(Self {
            base_offset: i64::from_be_bytes(array(bytes, 0)),
            batch_length: i32::from_be_bytes(array(bytes, 8)),
            partition_leader_epoch: i32::from_be_bytes(array(bytes, 12)),
            magic: bytes[MAGIC_AT] as i8,
            crc: u32::from_be_bytes(array(bytes, 17)),
            attributes,
            codec,
            last_offset_delta,
            base_timestamp: i64::from_be_bytes(array(bytes, 27)),
            max_timestamp: i64::from_be_bytes(array(bytes, 35)),
            producer_id: i64::from_be_bytes(array(bytes, 43)),
            producer_epoch: i16::from_be_bytes(array(bytes, 51)),
            base_sequence: i32::from_be_bytes(array(bytes, 53)),
            record_count,
        })
    }

    /// Bytes of the whole batch, header included.
    pub fn total_len(&self) -> usize {
        self.batch_length.max(0) as usize + LENGTH_OVERHEAD
    }

    /// Offset of the batch's last record (which compaction may have removed).
    pub fn last_offset(&self) -> i64 {
        self.base_offset.wrapping_add(i64::from(self.last_offset_delta))
    }

    /// The offset to fetch after this batch.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().wrapping_add(1)
    }

    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & TIMESTAMP_TYPE == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// The batch holds a transaction's marker, not records for applications.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// Compaction put the delete horizon where the base timestamp was.
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes & DELETE_HORIZON != 0
    }

    pub fn has_producer_id(&self) -> bool {
        self.producer_id >= 0
    }
}
