//! The four codecs of record batches, with contexts and buffers that live as long as a core.
//!
//! All of them append to what is there already, and none trusts a length that the data declares:
//! room is given as the data proves that it needs it.

mod gzip;
mod lz4;
mod snappy;
mod zstd;

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use crate::lent::Lent;
use crate::record_batch::{BatchError, Fault};

/// Initialised bytes that a [`Scratch`] always has behind its content: vector parsers may read
/// over the end of the last record by this much.
pub const PADDING: usize = 128;

/// What one batch may decompress to unless told otherwise: 256 MiB. Brokers accept batches of 1 MiB
/// by default and codecs reach 1:200 on the most repetitive data that is still data.
pub const MAX_DECOMPRESSED: usize = 256 << 20;

/// A scratch that grew beyond this gives its memory back when it is cleared.
const KEEP: usize = 32 << 20;

/// How the records of a batch are compressed; the numbers are the wire's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Codec {
    #[default]
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Codec {
    pub fn from_id(id: u8) -> Option<Self> {
        Some(match id {
            0 => Self::None,
            1 => Self::Gzip,
            2 => Self::Snappy,
            3 => Self::Lz4,
            4 => Self::Zstd,
            _ => return None,
        })
    }

    pub fn id(self) -> u8 {
        self as u8
    }

    /// The name that `compression.type` knows.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Codec {
    type Err = UnknownCodec;

    fn from_str(name: &str) -> Result<Self, UnknownCodec> {
        [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd]
            .into_iter()
            .find(|codec| codec.name() == name)
            .ok_or(UnknownCodec)
    }
}

/// No codec of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCodec;

impl fmt::Display for UnknownCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the codecs are none, gzip, snappy, lz4 and zstd")
    }
}

impl std::error::Error for UnknownCodec {}

/// A codec and how hard it tries. Levels are Kafka's: gzip 1 to 9 or -1 (the library's own, 6), lz4
/// 1 to 17 where 9 is Kafka's default and means the fast compressor, zstd -131072 to 22; the other
/// codecs have none. Levels out of range are taken as the nearest in range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    pub codec: Codec,
    pub level: i32,
}

impl Compression {
    /// With the level that Kafka's producer has by default.
    pub fn new(codec: Codec) -> Self {
        let level = match codec {
            Codec::None | Codec::Snappy => 0,
            Codec::Gzip => gzip::DEFAULT_LEVEL,
            Codec::Lz4 => lz4::DEFAULT_LEVEL,
            Codec::Zstd => zstd::DEFAULT_LEVEL,
        };
        Self { codec, level }
    }

    pub fn with_level(codec: Codec, level: i32) -> Self {
        Self { codec, level }
    }
}

/// Decompressed bytes, of one batch or of several one after another, and [`PADDING`] after them.
/// Its memory is the core's, lent while there is content.
#[derive(Debug, Default)]
pub struct Scratch {
    /// At least `used + PADDING` long, or empty with `used` 0.
    bytes: Lent,
    used: usize,
    /// What was needed before.
    usual: usize,
}

impl Scratch {
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the content and gives the memory back.
    pub fn clear(&mut self) {
        // Halved at most, so that one small batch does not make the next one grow again.
        self.usual = (self.used + PADDING).max(self.usual / 2).min(KEEP);
        self.used = 0;
        self.bytes = Lent::default();
    }

    /// The content with its memory; what is left is empty, and knows what was needed.
    pub fn hand_over(&mut self) -> Self {
        let usual = (self.used + PADDING).max(self.usual / 2).min(KEEP);
        std::mem::replace(self, Self { usual, ..Self::default() })
    }

    /// Bytes of content.
    pub fn used(&self) -> usize {
        self.used
    }

    /// The content and whatever initialised bytes follow: [`PADDING`] or more of them.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds bytes that need no decompressing to the content; where they lie now.
    pub fn append(&mut self, bytes: &[u8]) -> std::ops::Range<usize> {
        let start = self.used;
        self.room(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        self.advance(bytes.len());
        start..self.used
    }

    /// Takes back what was appended since [`Scratch::used`] was `used`.
    pub fn truncate(&mut self, used: usize) {
        self.used = self.used.min(used);
    }

    /// At least `least` bytes behind the content, to be filled and then kept by [`Self::advance`];
    /// all that is there already is handed out, except the padding.
    fn room(&mut self, least: usize) -> &mut [u8] {
        let needed = self.used + least + PADDING;
        if self.bytes.len() < needed {
            let wanted = self.usual.max(self.bytes.len() * 2).min(KEEP);
            let mut larger = Lent::take(needed.max(wanted));
            larger[..self.used].copy_from_slice(&self.bytes[..self.used]);
            self.bytes = larger;
        }
        let end = self.bytes.len() - PADDING;
        &mut self.bytes[self.used..end]
    }

    /// Adds the first `count` bytes of the room to the content.
    fn advance(&mut self, count: usize) {
        self.used = (self.used + count).min(self.bytes.len().saturating_sub(PADDING));
    }

    /// The content from `start` on.
    #[cfg(test)]
    fn content(&self) -> &[u8] {
        &self.bytes[..self.used]
    }
}

/// The decompressing side of all codecs. One a core: contexts are made when first needed.
pub struct Decompressor {
    limit: usize,
    gzip: gzip::Reader,
    snappy: snappy::Reader,
    zstd: zstd::Reader,
}

impl Default for Decompressor {
    fn default() -> Self {
        Self::new()
    }
}

impl Decompressor {
    /// Allows [`MAX_DECOMPRESSED`] a batch.
    pub fn new() -> Self {
        Self::with_limit(MAX_DECOMPRESSED)
    }

    /// Allows `limit` bytes a batch.
    pub fn with_limit(limit: usize) -> Self {
        Self {
            limit,
            gzip: gzip::Reader::default(),
            snappy: snappy::Reader::default(),
            zstd: zstd::Reader::default(),
        }
    }

    /// Appends what `input` decompresses to. After an error `out` is as before.
    pub fn decompress(
        &mut self,
        codec: Codec,
        input: &[u8],
        out: &mut Scratch,
    ) -> Result<(), BatchError> {
        let start = out.used();
        let mut sink = Sink { out, start, limit: self.limit };
        let result = match codec {
            Codec::None => sink.copy(input, 0),
            Codec::Gzip => self.gzip.decompress(input, &mut sink),
            Codec::Snappy => self.snappy.decompress(input, &mut sink),
            Codec::Lz4 => lz4::decompress(input, &mut sink),
            Codec::Zstd => self.zstd.decompress(input, &mut sink),
        };
        if let Err(fault) = result {
            out.truncate(start);
            return Err(fault.lift(codec, self.limit));
        }
        Ok(())
    }
}

/// Why data could not be decompressed.
enum Bad {
    /// `.0`: where in the input; `.1`: what is wrong.
    Data(usize, &'static str),
    TooLarge(usize),
}

impl Bad {
    #[cold]
    fn lift(self, codec: Codec, limit: usize) -> BatchError {
        match self {
            Self::Data(at, reason) => BatchError::compressed(codec, at, reason),
            Self::TooLarge(at) => BatchError::new(Fault::TooLarge, at, limit as i64, 0),
        }
    }
}

/// A scratch with the limit of one batch.
struct Sink<'s> {
    out: &'s mut Scratch,
    start: usize,
    limit: usize,
}

impl Sink<'_> {
    /// Bytes of this batch so far.
    fn len(&self) -> usize {
        self.out.used() - self.start
    }

    /// Bytes that this batch may still have.
    fn left(&self) -> usize {
        self.limit.saturating_sub(self.len())
    }

    /// `least` bytes or more of room, never more than the limit leaves.
    fn room(&mut self, least: usize, at: usize) -> Result<&mut [u8], Bad> {
        let left = self.left();
        if least > left {
            return Err(Bad::TooLarge(at));
        }
        let room = self.out.room(least);
        let end = room.len().min(left);
        Ok(&mut room[..end])
    }

    fn advance(&mut self, count: usize) {
        self.out.advance(count);
    }

    fn copy(&mut self, bytes: &[u8], at: usize) -> Result<(), Bad> {
        self.room(bytes.len(), at)?[..bytes.len()].copy_from_slice(bytes);
        self.advance(bytes.len());
        Ok(())
    }
}

/// The compressing side of all codecs. One a core: contexts are made when first needed.
#[derive(Default)]
pub struct Compressor {
    gzip: gzip::Writer,
    lz4: lz4::Writer,
    snappy: snappy::Writer,
    zstd: zstd::Writer,
}

impl Compressor {
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `input`, compressed. After an error the end of `out` is undefined.
    pub fn compress(
        &mut self,
        compression: Compression,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), BatchError> {
        let level = compression.level;
        let result = match compression.codec {
            Codec::None => {
                out.extend_from_slice(input);
                Ok(())
            }
            Codec::Gzip => self.gzip.compress(level, input, out),
            Codec::Snappy => self.snappy.compress(input, out),
            Codec::Lz4 => self.lz4.compress(level, input, out),
            Codec::Zstd => self.zstd.compress(level, input, out),
        };
        result.map_err(|reason| {
            BatchError::new(Fault::Compress(compression.codec, reason), 0, 0, input.len() as i64)
        })
    }
}
