//! What can be wrong with a record batch, and where.

use std::fmt;

use crate::compression::Codec;

/// Which rule of the format was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The bytes end before the batch does. `expected`: bytes needed, `actual`: bytes there.
    Truncated,
    /// Message format v0 or v1, which Kafka 4 no longer writes. `actual`: the magic byte.
    OldFormat,
    /// Not a message format at all. `expected`: 2, `actual`: the magic byte.
    Magic,
    /// The batch length is below that of a header. `actual`: the length.
    BatchLength,
    /// CRC-32C differs. `expected`: the batch's, `actual`: what its bytes give.
    Checksum,
    /// No such codec. `actual`: the attribute's low three bits.
    Codec,
    /// The record count is negative, or does not fit the records. `actual`: the count.
    RecordCount,
    /// A variable-length integer is longer than its type allows, or runs past its record.
    Varint,
    /// A record's length is negative or runs past the batch. `actual`: the length.
    RecordLength,
    /// A key's, value's or header's length runs past its record. `actual`: the length.
    FieldLength,
    /// A record has bytes left after its headers. `expected`: 0, `actual`: how many.
    RecordSurplus,
    /// The batch has bytes left after its last record. `expected`: 0, `actual`: how many.
    BatchSurplus,
    /// A record's count of headers is negative. `actual`: the count.
    HeaderCount,
    /// A header's name is null or not UTF-8. `actual`: its length.
    HeaderName,
    /// The records decompress to more than is allowed. `expected`: the limit in bytes.
    TooLarge,
    /// The compressed records are not in their codec's format.
    Compressed(Codec, &'static str),
    /// A codec's library refused to compress.
    Compress(Codec, &'static str),
    /// A control batch without a readable control record.
    Control,
    /// The batch being written would pass the format's 2 GiB. `actual`: its size in bytes.
    BatchFull,
}

/// A batch that cannot be read, or a record that cannot be written.
///
/// `at` counts bytes from the start of the batch while its header is read, and from the start of
/// the (decompressed) records after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchError {
    pub fault: Fault,
    pub at: usize,
    pub expected: i64,
    pub actual: i64,
}

impl BatchError {
    #[cold]
    pub(crate) fn new(fault: Fault, at: usize, expected: i64, actual: i64) -> Self {
        Self { fault, at, expected, actual }
    }

    #[cold]
    pub(crate) fn compressed(codec: Codec, at: usize, reason: &'static str) -> Self {
        Self::new(Fault::Compressed(codec, reason), at, 0, 0)
    }
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault, at, expected, actual } = *self;
        match fault {
            Fault::Truncated => write!(f, "the batch ends early: {actual} of {expected} bytes")?,
            Fault::OldFormat => write!(
                f,
                "message format v{actual} (magic {actual}), written before Kafka 0.11, \
                 is not supported; rewrite the topic with message format v2"
            )?,
            Fault::Magic => write!(f, "magic byte {actual}, expected {expected}")?,
            Fault::BatchLength => write!(f, "batch length {actual}, expected {expected} or more")?,
            Fault::Checksum => write!(f, "CRC-32C {actual:08x}, expected {expected:08x}")?,
            Fault::Codec => write!(f, "unknown compression codec {actual}")?,
            Fault::RecordCount => write!(f, "impossible record count {actual}")?,
            Fault::Varint => f.write_str("a variable-length integer does not end")?,
            Fault::RecordLength => {
                write!(f, "record length {actual}, only {expected} bytes remain in the batch")?;
            }
            Fault::FieldLength => {
                write!(f, "field length {actual}, only {expected} bytes remain in the record")?;
            }
            Fault::RecordSurplus => write!(f, "{actual} bytes too many in a record")?,
            Fault::BatchSurplus => write!(f, "{actual} bytes after the last record")?,
            Fault::HeaderCount => write!(f, "impossible count of headers {actual}")?,
            Fault::HeaderName => f.write_str("a header's name is null or not UTF-8")?,
            Fault::TooLarge => write!(f, "the records decompress to more than {expected} bytes")?,
            Fault::Compressed(codec, reason) => write!(f, "bad {codec} data: {reason}")?,
            Fault::Compress(codec, reason) => write!(f, "cannot compress by {codec}: {reason}")?,
            Fault::Control => f.write_str("a control batch without a control record")?,
            Fault::BatchFull => write!(f, "a batch of {actual} bytes, the format ends at 2 GiB")?,
        }
        write!(f, " (at byte {at})")
    }
}

impl std::error::Error for BatchError {}
