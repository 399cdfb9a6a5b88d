//! A partition's log: segments of record batches exactly as they were received, but for the base
//! offset and the leader epoch, which stand before the checksummed part.
//!
//! Nothing is fsynced but on [`PartitionLog::sync`]: a crash of the machine may lose what the kernel
//! had not yet written, a crash of the process loses nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use bytes::Bytes;
use millrace_kafka::compression::{Compressor, Decompressor, Scratch};
use millrace_kafka::record_batch::{
    BatchBuilder, BatchHeader, BatchOptions, ControlKind, HEADER_LEN, NO_HEADERS, OpenBatch,
};

use crate::producers::{Aborted, Producers, Verdict};
use crate::protocol::{LEADER_EPOCH, code};
use crate::rows;
use crate::segment::{Placed, Segment, Walk};

const START_FILE: &str = "log-start-offset";
const TIMESTAMP_TYPE: i16 = 1 << 3;

/// What a topic's configs say about its logs.
#[derive(Clone, Debug)]
pub(crate) struct LogConfig {
    pub compact: bool,
    pub delete: bool,
    pub max_message_bytes: usize,
    pub log_append_time: bool,
    pub segment_bytes: u64,
    /// Negative: no limit; and so the next.
    pub retention_bytes: i64,
    pub retention_ms: i64,
}

/// Part of a segment for a fetch. Stays readable if the segment is deleted meanwhile.
#[derive(Clone)]
pub(crate) struct Slice {
    pub segment: Rc<Segment>,
    pub position: u64,
    pub len: usize,
}

/// A record found by its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub offset: i64,
    pub timestamp: i64,
}

pub(crate) struct PartitionLog {
    directory: PathBuf,
    pub config: LogConfig,
    segments: Vec<Rc<Segment>>,
    start: i64,
    end: i64,
    producers: Producers,
}

/// Where a batch was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    pub base_offset: i64,
    /// Set where the topic's timestamps are the broker's, else -1. Of a duplicate, Kafka gives the
    /// batch's own largest timestamp.
    pub append_time: i64,
    pub duplicate: bool,
}

impl PartitionLog {
    /// Opens the log in `directory`, making it if it is not there: compacts it if its topic says so,
    /// cuts off a torn tail, and rebuilds index and producers from the batch headers.
    pub(crate) fn open(directory: &Path, config: LogConfig) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let start = rows::read(&directory.join(START_FILE))?
            .first()
            .and_then(|row| row.first()?.parse().ok())
            .unwrap_or(0);
        let mut log = Self {
            directory: directory.to_owned(),
            config,
            segments: Vec::new(),
            start,
            end: start,
            producers: Producers::default(),
        };
        log.load()?;
        if log.config.compact && log.producers.first_open().is_none() {
            let fresh = crate::compaction::compact(&log.directory, &log.segments, &log.producers)?;
            if fresh {
                log.segments.clear();
                log.load()?;
            }
        }
        Ok(log)
    }

    fn load(&mut self) -> io::Result<()> {
        let mut bases: Vec<i64> = fs::read_dir(&self.directory)?
            .filter_map(|entry| {
                entry.ok()?.file_name().to_str()?.strip_suffix(".log")?.parse().ok()
            })
            .collect();
        bases.sort_unstable();
        self.producers = Producers::default();
        let mut segments = Vec::new();
        let mut end = self.start.max(bases.first().copied().unwrap_or(0));
        for base in bases {
            let segment = Segment::open(&self.directory, base)?;
            segment.recover(|segment, placed| {
                end = placed.header.next_offset();
                self.note(segment, &placed)
            })?;
            segments.push(Rc::new(segment));
        }
        if segments.is_empty() {
            segments.push(Rc::new(Segment::open(&self.directory, end)?));
        }
        self.start = self.start.max(segments[0].base_offset);
        self.end = end.max(self.start);
        self.segments = segments;
        self.producers.forget_below(self.start);
        Ok(())
    }

    /// Rebuilds the producers' state from a batch that is in the log.
    fn note(&mut self, segment: &Segment, placed: &Placed) -> io::Result<()> {
        if placed.header.is_control() {
            let mut bytes = Vec::new();
            segment.read_batch(placed, &mut bytes)?;
            let kind = ControlKind::of_batch(&placed.header, &bytes);
            let committed = matches!(kind, Ok(ControlKind::Commit));
            self.producers.marked(&placed.header, placed.header.base_offset, committed);
        } else {
            self.producers.appended(&placed.header, placed.header.base_offset);
        }
        Ok(())
    }

    pub(crate) fn start_offset(&self) -> i64 {
        self.start
    }

    /// One behind the last record; the high watermark too, for there are no followers.
    pub(crate) fn end_offset(&self) -> i64 {
        self.end
    }

    /// Up to where no transaction is open.
    pub(crate) fn stable_offset(&self) -> i64 {
        self.producers.first_open().unwrap_or(self.end)
    }

    pub(crate) fn size(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size()).sum()
    }

    /// Appends a producer's records: one batch. Errors are Kafka's codes.
    pub(crate) fn append(&mut self, records: &Bytes, now: i64) -> Result<Appended, i16> {
        let mut header = self.validate(records)?;
        match self.producers.check(&header) {
            Verdict::Append => {}
            Verdict::Duplicate { base_offset, timestamp } => {
                return Ok(Appended { base_offset, append_time: timestamp, duplicate: true });
            }
            Verdict::Refuse(code) => return Err(code),
        }
        let mut head = [0; HEADER_LEN];
        head.copy_from_slice(&records[..HEADER_LEN]);
        let mut append_time = -1;
        if self.config.log_append_time {
            append_time = now;
            header.max_timestamp = now;
            header.attributes |= TIMESTAMP_TYPE;
            head[21..23].copy_from_slice(&header.attributes.to_be_bytes());
            head[35..43].copy_from_slice(&now.to_be_bytes());
            let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
            digest.update(&head[21..]);
            digest.update(&records[HEADER_LEN..]);
            head[17..21].copy_from_slice(&(digest.finalize() as u32).to_be_bytes());
        }
        let base_offset = self.write(&mut header, &mut head, &records[HEADER_LEN..])?;
        self.producers.appended(&header, base_offset);
        Ok(Appended { base_offset, append_time, duplicate: false })
    }

    /// The rules of `LogValidator` and `UnifiedLog.analyzeAndValidateRecords` that need no record.
    fn validate(&self, records: &[u8]) -> Result<BatchHeader, i16> {
        let header = BatchHeader::parse(records).map_err(|_| code::CORRUPT_MESSAGE)?;
        if header.total_len() < records.len() {
            // Produce requests carry one batch a partition since message format v2.
            return Err(code::INVALID_RECORD);
        }
        if header.total_len() > records.len() {
            return Err(code::CORRUPT_MESSAGE);
        }
        if records.len() > self.config.max_message_bytes {
            return Err(code::MESSAGE_TOO_LARGE);
        }
        if crc_fast::crc32_iscsi(&records[21..]) != header.crc {
            return Err(code::CORRUPT_MESSAGE);
        }
        let counted =
            header.record_count > 0 && header.last_offset_delta == header.record_count - 1;
        if !counted || header.is_control() {
            return Err(code::INVALID_RECORD);
        }
        if self.config.compact && !all_have_keys(records) {
            return Err(code::INVALID_RECORD);
        }
        Ok(header)
    }

    fn write(
        &mut self,
        header: &mut BatchHeader,
        head: &mut [u8; HEADER_LEN],
        records: &[u8],
    ) -> Result<i64, i16> {
        let length = (HEADER_LEN + records.len()) as u64;
        let roll =
            self.active().size() > 0 && self.active().size() + length > self.config.segment_bytes;
        let result = if roll { self.roll() } else { Ok(()) };
        let base_offset = self.end;
        header.base_offset = base_offset;
        head[..8].copy_from_slice(&base_offset.to_be_bytes());
        head[12..16].copy_from_slice(&LEADER_EPOCH.to_be_bytes());
        result.and_then(|()| self.active().append(header, head, records)).map_err(|error| {
            tracing::error!(directory = %self.directory.display(), %error, "cannot write");
            code::KAFKA_STORAGE_ERROR
        })?;
        self.end = header.next_offset();
        Ok(base_offset)
    }

    fn active(&self) -> &Rc<Segment> {
        // `load` makes one and `drop_segments` leaves one.
        &self.segments[self.segments.len() - 1]
    }

    fn roll(&mut self) -> io::Result<()> {
        self.segments.push(Rc::new(Segment::open(&self.directory, self.end)?));
        self.retain()
    }

    /// Deletes the oldest segments beyond `retention.bytes` and `retention.ms`; asked when rolling.
    fn retain(&mut self) -> io::Result<()> {
        if !self.config.delete {
            return Ok(());
        }
        let oldest = crate::now_ms() - self.config.retention_ms;
        let mut drop = 0;
        let mut size = self.size();
        for segment in &self.segments[..self.segments.len() - 1] {
            let late = self.config.retention_ms >= 0 && segment.max_timestamp() < oldest;
            let large =
                self.config.retention_bytes >= 0 && size > self.config.retention_bytes as u64;
            if !late && !large {
                break;
            }
            size -= segment.size();
            drop += 1;
        }
        if drop > 0 {
            let start = self.segments[drop].base_offset;
            self.delete_before(start)?;
        }
        Ok(())
    }

    /// Moves the log's start, never back, and deletes the segments that lie before it.
    pub(crate) fn delete_before(&mut self, offset: i64) -> io::Result<()> {
        self.start = self.start.max(offset.min(self.end));
        rows::replace(&self.directory.join(START_FILE), &format!("{}\n", self.start))?;
        while self.segments.len() > 1 && self.segments[1].base_offset <= self.start {
            fs::remove_file(&self.segments.remove(0).path)?;
        }
        self.producers.forget_below(self.start);
        Ok(())
    }

    /// Writes a transaction's marker.
    pub(crate) fn mark(
        &mut self,
        producer_id: i64,
        producer_epoch: i16,
        committed: bool,
        now: i64,
    ) -> Result<(), i16> {
        let key = [0, 0, 0, u8::from(committed)];
        let value = [0; 6];
        let mut builder = BatchBuilder::new();
        let options = BatchOptions {
            producer_id,
            producer_epoch,
            transactional: true,
            control: true,
            ..Default::default()
        };
        let mut bytes = Vec::new();
        let built = builder
            .append(now, Some(&key), Some(&value), NO_HEADERS)
            .and_then(|_| builder.finish(&options, &mut Compressor::new(), &mut bytes))
            .and_then(|_| BatchHeader::parse(&bytes));
        let mut header = built.map_err(|_| code::UNKNOWN_SERVER_ERROR)?;
        let mut head = [0; HEADER_LEN];
        head.copy_from_slice(&bytes[..HEADER_LEN]);
        let offset = self.write(&mut header, &mut head, &bytes[HEADER_LEN..])?;
        self.producers.marked(&header, offset, committed);
        Ok(())
    }

    /// What a fetch from `offset` may have: up to `max_bytes`, or one whole batch if `at_least_one`,
    /// and nothing from `limit` on. The last batch may be cut, as real brokers cut it.
    pub(crate) fn slice(
        &self,
        offset: i64,
        limit: i64,
        max_bytes: usize,
        at_least_one: bool,
    ) -> io::Result<Option<Slice>> {
        if offset >= limit {
            return Ok(None);
        }
        let after = self.segments.partition_point(|segment| segment.base_offset <= offset);
        for (at, segment) in self.segments.iter().enumerate().skip(after.saturating_sub(1)) {
            let Some(placed) = segment.find(offset)? else { continue };
            if placed.header.base_offset >= limit {
                return Ok(None);
            }
            let next = self.segments.get(at + 1).map_or(self.end, |next| next.base_offset);
            let end = if limit < next {
                segment.find(limit)?.map_or(segment.size(), |placed| placed.position)
            } else {
                segment.size()
            };
            let first = if at_least_one { placed.header.total_len() } else { 0 };
            let len = (end - placed.position).min(max_bytes.max(first) as u64) as usize;
            let (segment, position) = (segment.clone(), placed.position);
            return Ok((len > 0).then_some(Slice { segment, position, len }));
        }
        Ok(None)
    }

    /// The aborted transactions that a reader of `slice` from `offset` on must know.
    pub(crate) fn aborted(&self, offset: i64, slice: &Slice) -> Vec<Aborted> {
        let end = slice.position + slice.len as u64;
        let to = slice.segment.offset_not_before(end).unwrap_or(self.stable_offset());
        self.producers.aborted(offset, to).collect()
    }

    /// The first record with a timestamp of at least `timestamp`.
    pub(crate) fn find_time(&self, timestamp: i64) -> io::Result<Option<Found>> {
        for segment in &self.segments {
            let mut walk = match segment.find_time(timestamp)? {
                Some(placed) => Walk::new(segment, placed.position),
                None => continue,
            };
            while let Some(placed) = walk.next()? {
                if placed.header.max_timestamp < timestamp {
                    continue;
                }
                let first =
                    |found: &Found| found.timestamp >= timestamp && found.offset >= self.start;
                if let Some(found) = records_of(segment, &placed)?.into_iter().find(first) {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }

    /// The first record that bears the largest timestamp.
    pub(crate) fn max_time(&self) -> io::Result<Option<Found>> {
        match self.segments.iter().map(|segment| segment.max_timestamp()).max() {
            Some(timestamp) if timestamp >= 0 => self.find_time(timestamp),
            _ => Ok(None),
        }
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.segments.iter().try_for_each(|segment| segment.sync())
    }
}

fn records_of(segment: &Segment, placed: &Placed) -> io::Result<Vec<Found>> {
    let mut bytes = Vec::new();
    segment.read_batch(placed, &mut bytes)?;
    let mut scratch = Scratch::new();
    let batch = OpenBatch::open(&bytes, &mut Decompressor::new(), &mut scratch)
        .map_err(|error| io::Error::other(error.to_string()))?;
    let records = batch.records(&bytes, &scratch).map_while(Result::ok);
    Ok(records.map(|record| Found { offset: record.offset, timestamp: record.timestamp }).collect())
}

fn all_have_keys(records: &[u8]) -> bool {
    let mut scratch = Scratch::new();
    match OpenBatch::open(records, &mut Decompressor::new(), &mut scratch) {
        Ok(batch) => batch
            .records(records, &scratch)
            .all(|record| record.is_ok_and(|record| record.key.is_some())),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests;
