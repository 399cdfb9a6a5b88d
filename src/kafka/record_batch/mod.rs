//! Record batches of message format v2 (magic 2): a borrowing reader and a reusing writer.
//!
//! Reading takes three steps, each of which may stop: [`needed_len`] says how many bytes to wait
//! for, [`BatchHeader::parse`] what the batch is (and [`AbortedTransactions`] whether to care),
//! [`OpenBatch::open`] verifies the checksum and decompresses. [`Records`] then lends each record
//! out of the one buffer, without a copy or an allocation.
//!
//! ```
//! use millrace_kafka::compression::{Codec, Compression, Compressor, Decompressor, Scratch};
//! use millrace_kafka::record_batch::{BatchBuilder, BatchOptions, NO_HEADERS, OpenBatch};
//!
//! let mut builder = BatchBuilder::new();
//! builder.append(1_700_000_000_000, Some(b"key"), Some(b"value"), NO_HEADERS)?;
//! let options = BatchOptions { compression: Compression::new(Codec::Lz4), ..Default::default() };
//! let mut bytes = Vec::new();
//! builder.finish(&options, &mut Compressor::new(), &mut bytes)?;
//!
//! let mut scratch = Scratch::new();
//! let batch = OpenBatch::open(&bytes, &mut Decompressor::new(), &mut scratch)?;
//! for record in batch.records(&bytes, &scratch) {
//!     assert_eq!(record?.value, Some(&b"value"[..]));
//! }
//! # Ok::<(), millrace_kafka::record_batch::BatchError>(())
//! ```

mod error;
mod header;
mod reader;
mod records;
mod transactions;
mod varint;
mod writer;

#[cfg(test)]
mod tests;

pub use error::{BatchError, Fault};
pub use header::{BatchHeader, HEADER_LEN, PREFIX_LEN, TimestampType, needed_len};
pub use reader::OpenBatch;
pub use records::{HeaderIter, RawHeader, RawHeaders, RawRecord, Records};
pub use transactions::{AbortedTransactions, ControlKind};
pub use writer::{BatchBuilder, BatchOptions, NO_HEADERS, set_producer};
