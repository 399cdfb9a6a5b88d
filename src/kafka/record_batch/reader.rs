//! Opening a batch: checksum, decompression, and where its records lie after that.

use std::ops::Range;

use super::error::{BatchError, Fault};
use super::header::{BatchHeader, CRC_START, HEADER_LEN};
use super::records::Records;
use crate::compression::{Codec, Decompressor, Scratch};

/// A batch that passed its checksum and whose records are readable.
///
/// It keeps ranges, not references: a caller may open all batches of a response into one
/// [`Scratch`], which may move as it grows, and walk the records of all of them afterwards.
#[derive(Clone, Debug)]
pub struct OpenBatch {
    pub header: BatchHeader,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    /// Not compressed: in the batch's own bytes.
    Batch(Range<usize>),
    Scratch(Range<usize>),
}

impl OpenBatch {
    /// Checks the batch at the start of `bytes` and appends its records to `scratch` if they are
    /// compressed. `bytes` may go on behind the batch. After an error `scratch` is as before.
    pub fn open(
        bytes: &[u8],
        decompressor: &mut Decompressor,
        scratch: &mut Scratch,
    ) -> Result<Self, BatchError> {
        let header = BatchHeader::parse(bytes)?;
        let total = header.total_len();
        let Some(batch) = bytes.get(..total) else {
            let (needed, there) = (total as i64, bytes.len() as i64);
            return Err(BatchError::new(Fault::Truncated, bytes.len(), needed, there));
        };
        let crc = crc_fast::crc32_iscsi(&batch[CRC_START..]);
        if crc != header.crc {
            return Err(BatchError::new(
                Fault::Checksum,
                17,
                i64::from(header.crc),
                i64::from(crc),
            ));
        }
        // What compaction emptied may still name its codec.
        let place = if header.codec == Codec::None || total == HEADER_LEN {
            Place::Batch(HEADER_LEN..total)
        } else {
            let start = scratch.used();
            decompressor.decompress(header.codec, &batch[HEADER_LEN..], scratch)?;
            Place::Scratch(start..scratch.used())
        };
        let batch = Self { header, place };
        // The least record has seven bytes; a count beyond that would send readers round in vain.
        let most = batch.records_len() / 7;
        if header.record_count as usize > most {
            let count = i64::from(header.record_count);
            if let Place::Scratch(range) = &batch.place {
                scratch.truncate(range.start);
            }
            return Err(BatchError::new(Fault::RecordCount, 57, most as i64, count));
        }
        Ok(batch)
    }

    /// Copies the records to `scratch`, if they lie in the batch's own `bytes`.
    pub fn move_to(&mut self, bytes: &[u8], scratch: &mut Scratch) {
        if let Place::Batch(range) = &self.place {
            self.place = Place::Scratch(scratch.append(&bytes[range.clone()]));
        }
    }

    /// The records, given the `bytes` and the `scratch` that the batch was opened with (`bytes` may
    /// have moved; a `scratch` cleared since then gives errors or other records, never a panic).
    pub fn records<'a>(&self, bytes: &'a [u8], scratch: &'a Scratch) -> Records<'a> {
        match &self.place {
            Place::Batch(range) => Records::new(&self.header, bytes, range.clone()),
            Place::Scratch(range) => Records::new(&self.header, scratch.bytes(), range.clone()),
        }
    }

    /// Bytes of the records, decompressed.
    pub fn records_len(&self) -> usize {
        match &self.place {
            Place::Batch(range) | Place::Scratch(range) => range.len(),
        }
    }

    /// The records are in the scratch, not in the batch's own bytes.
    pub fn in_scratch(&self) -> bool {
        matches!(self.place, Place::Scratch(_))
    }
}
