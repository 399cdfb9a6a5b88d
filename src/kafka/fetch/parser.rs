//! Reads a Fetch response of version 11 while it arrives.
//!
//! The parser keeps no bytes. The caller shows it what has arrived and not been consumed yet; the
//! parser says what comes next and how many bytes that took, or how many it must see to go on.
//!
//! ```text
//! length | correlation throttle error session | topics [ name | partitions [
//!     index error high_watermark last_stable log_start | aborted [producer first] |
//!     preferred_replica | records_length | batch batch … (part of a batch) ] ]
//! ```

use crate::record_batch::{BatchError, HEADER_LEN, PREFIX_LEN, needed_len};

/// Longest response, whatever `fetch.max.bytes` says: one batch may exceed it.
const MAX_FRAME: usize = i32::MAX as usize;
/// Bytes up to the count of topics, the length included.
const HEAD_LEN: usize = 22;
/// Bytes of a partition up to the list of aborted transactions, its count included.
const PARTITION_LEN: usize = 34;
/// Longest list of aborted transactions (16 bytes each) that is taken.
const MAX_ABORTED: usize = 1 << 20;

/// What the response says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    pub correlation: i32,
    /// Of the session, as 70 `FETCH_SESSION_ID_NOT_FOUND`.
    pub error: i16,
    pub session: i32,
}

/// What the response says of a partition before its batches. −1 where the broker does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionHead {
    pub partition: i32,
    pub error: i16,
    pub high_watermark: i64,
    pub last_stable_offset: i64,
    pub log_start_offset: i64,
    /// (producer id, first offset); empty unless `read_committed`.
    pub aborted: Vec<(i64, i64)>,
    pub preferred_replica: i32,
}

/// What the next bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing can be said before this many unconsumed bytes are there.
    Need(usize),
    Head(ResponseHead),
    /// A topic's name, where it lies in the bytes shown.
    Topic(std::ops::Range<usize>),
    Partition(PartitionHead),
    /// A whole batch: all the bytes that this step consumes.
    Batch,
    /// Bytes of a batch that the broker cut off; of no use.
    Skipped,
    PartitionEnd,
    /// The response is over; the next one may follow.
    End,
}

/// A response that is not what it should be. The connection can't be used after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// A length or count that can't be; what it is of.
    Malformed(&'static str),
    /// A batch's header is not a header. The partition is the last that was told.
    Batch(BatchError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Topic,
    Partition,
    Records,
    /// In the part of a batch that was cut off.
    Skip,
}

/// See the module. Ready for the next response after each [`Step::End`].
#[derive(Clone, Debug)]
pub struct FetchParser {
    state: State,
    /// Bytes of the response not yet consumed.
    frame_left: usize,
    topics_left: u32,
    partitions_left: u32,
    records_left: usize,
}

impl Default for FetchParser {
    fn default() -> Self {
        Self::new()
    }
}

impl FetchParser {
    pub fn new() -> Self {
        let state = State::Head;
        Self { state, frame_left: 0, topics_left: 0, partitions_left: 0, records_left: 0 }
    }

    /// Whether a response has begun and not ended.
    pub fn in_response(&self) -> bool {
        self.state != State::Head
    }

    /// What `bytes`, the unconsumed ones, begin with, and how many of them that takes.
    pub fn step(&mut self, bytes: &[u8]) -> Result<(Step, usize), ParseError> {
        let (step, consumed) = match self.state {
            State::Head => return self.head(bytes),
            State::Topic if self.topics_left == 0 => return self.end(),
            State::Topic => self.topic(bytes)?,
            State::Partition if self.partitions_left == 0 => {
                self.state = State::Topic;
                return self.step(bytes);
            }
            State::Partition => self.partition(bytes)?,
            State::Records => self.records(bytes)?,
            State::Skip => self.skip(bytes),
        };
        self.frame_left -= consumed;
        Ok((step, consumed))
    }

    fn head(&mut self, bytes: &[u8]) -> Result<(Step, usize), ParseError> {
        let Some(head) = bytes.first_chunk::<HEAD_LEN>() else {
            return Ok((Step::Need(HEAD_LEN), 0));
        };
        let length = usize::try_from(i32_at(head, 0)).unwrap_or(usize::MAX);
        if !(HEAD_LEN - 4..=MAX_FRAME).contains(&length) {
            return Err(ParseError::Malformed("the response's length"));
        }
        self.frame_left = length - (HEAD_LEN - 4);
        // Each topic takes six bytes at least.
        self.topics_left = count(i32_at(head, 18), self.frame_left / 6)
            .ok_or(ParseError::Malformed("the number of topics"))?;
        self.state = State::Topic;
        let error = i16::from_be_bytes([head[12], head[13]]);
        let (correlation, session) = (i32_at(head, 4), i32_at(head, 14));
        Ok((Step::Head(ResponseHead { correlation, error, session }), HEAD_LEN))
    }

    fn end(&mut self) -> Result<(Step, usize), ParseError> {
        if self.frame_left != 0 {
            return Err(ParseError::Malformed("the response's end"));
        }
        self.state = State::Head;
        Ok((Step::End, 0))
    }

    /// `Need`, unless the response ends before.
    fn need(&self, bytes: usize, what: &'static str) -> Result<(Step, usize), ParseError> {
        if bytes > self.frame_left {
            return Err(ParseError::Malformed(what));
        }
        Ok((Step::Need(bytes), 0))
    }

    fn topic(&mut self, bytes: &[u8]) -> Result<(Step, usize), ParseError> {
        let what = "a topic's name";
        let Some(length) = bytes.first_chunk::<2>() else { return self.need(2, what) };
        let length = usize::try_from(i16::from_be_bytes(*length))
            .map_err(|_| ParseError::Malformed(what))?;
        let total = 2 + length + 4;
        if bytes.len() < total || self.frame_left < total {
            return self.need(total, what);
        }
        self.topics_left -= 1;
        self.partitions_left =
            count(i32_at(bytes, 2 + length), (self.frame_left - total) / PARTITION_LEN)
                .ok_or(ParseError::Malformed("the number of partitions"))?;
        self.state = State::Partition;
        Ok((Step::Topic(2..2 + length), total))
    }

    fn partition(&mut self, bytes: &[u8]) -> Result<(Step, usize), ParseError> {
        let what = "a partition's head";
        if bytes.len() < PARTITION_LEN || self.frame_left < PARTITION_LEN {
            return self.need(PARTITION_LEN, what);
        }
        // Null for readers of everything.
        let aborted = match i32_at(bytes, 30) {
            -1 => 0,
            listed => count(listed, (self.frame_left / 16).min(MAX_ABORTED))
                .ok_or(ParseError::Malformed("the number of aborted transactions"))?
                as usize,
        };
        let total = PARTITION_LEN + aborted * 16 + 8;
        if bytes.len() < total || self.frame_left < total {
            return self.need(total, what);
        }
        let aborted = bytes[PARTITION_LEN..][..aborted * 16].chunks_exact(16);
        // Null where there are none.
        let records = i32_at(bytes, total - 4).max(0) as usize;
        if records > self.frame_left - total {
            return Err(ParseError::Malformed("the records' length"));
        }
        let head = PartitionHead {
            partition: i32_at(bytes, 0),
            error: i16::from_be_bytes([bytes[4], bytes[5]]),
            high_watermark: i64_at(bytes, 6),
            last_stable_offset: i64_at(bytes, 14),
            log_start_offset: i64_at(bytes, 22),
            aborted: aborted.map(|entry| (i64_at(entry, 0), i64_at(entry, 8))).collect(),
            preferred_replica: i32_at(bytes, total - 8),
        };
        self.partitions_left -= 1;
        self.records_left = records;
        self.state = State::Records;
        Ok((Step::Partition(head), total))
    }

    fn records(&mut self, bytes: &[u8]) -> Result<(Step, usize), ParseError> {
        if self.records_left == 0 {
            self.state = State::Partition;
            return Ok((Step::PartitionEnd, 0));
        }
        if self.records_left < HEADER_LEN {
            self.state = State::Skip;
            return Ok(self.skip(bytes));
        }
        let prefix = &bytes[..bytes.len().min(PREFIX_LEN)];
        match needed_len(prefix).map_err(ParseError::Batch)? {
            None => Ok((Step::Need(PREFIX_LEN), 0)),
            Some(length) if length > self.records_left => {
                self.state = State::Skip;
                Ok(self.skip(bytes))
            }
            Some(length) if bytes.len() < length => Ok((Step::Need(length), 0)),
            Some(length) => {
                self.records_left -= length;
                Ok((Step::Batch, length))
            }
        }
    }

    fn skip(&mut self, bytes: &[u8]) -> (Step, usize) {
        if bytes.is_empty() {
            return (Step::Need(1), 0);
        }
        let part = bytes.len().min(self.records_left);
        self.records_left -= part;
        if self.records_left == 0 {
            self.state = State::Records;
        }
        (Step::Skipped, part)
    }
}

/// A count that fits what is left; null is none.
fn count(listed: i32, most: usize) -> Option<u32> {
    let listed = u32::try_from(listed.max(0)).ok()?;
    (listed as usize <= most).then_some(listed)
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    let mut out = [0; 4];
    out.copy_from_slice(&bytes[at..at + 4]);
    i32::from_be_bytes(out)
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    let mut out = [0; 8];
    out.copy_from_slice(&bytes[at..at + 8]);
    i64::from_be_bytes(out)
}

#[cfg(test)]
mod tests;
