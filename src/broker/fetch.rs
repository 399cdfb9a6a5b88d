//! Fetch: long polling, and answers whose records go from the page cache to the socket unread.
//!
//! The response is encoded here by hand, because its records are not in memory when its head is
//! written. There are no fetch sessions: each request names all its partitions.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_request::FetchPartition;
use millrace_net::rt;
use uuid::Uuid;

use crate::core::{Call, Core};
use crate::faults::FaultAction;
use crate::log::Slice;
use crate::producers::Aborted;
use crate::protocol::{check_leader_epoch, code};
use crate::topics::{Partition, Topic, storage_error};

/// Longest time that a fetch waits, whatever it asks for.
const MAX_WAIT_MS: i32 = 60_000;

/// A response: `head` with a slice of a log after each of the named positions.
pub(crate) struct FetchAnswer {
    pub head: Vec<u8>,
    pub pieces: Vec<Piece>,
}

pub(crate) struct Piece {
    /// How much of the head stands before the slice.
    pub head_end: usize,
    pub slice: Slice,
    pub corrupt: bool,
}

/// A partition as it was asked for.
struct Wanted<'a> {
    asked: &'a FetchPartition,
    partition: Result<Rc<Partition>, i16>,
    corrupt: bool,
    /// The partition's version when it was last looked at.
    seen: u64,
}

struct Topics<'a> {
    name: String,
    id: Uuid,
    partitions: Vec<Wanted<'a>>,
}

/// What a partition has to say.
struct Part {
    index: i32,
    error: i16,
    end: i64,
    stable: i64,
    start: i64,
    aborted: Option<Vec<Aborted>>,
    slice: Option<Slice>,
    corrupt: bool,
}

impl Core {
    pub(crate) async fn fetch(&self, call: &Call, request: &FetchRequest) -> FetchAnswer {
        if call.version >= 7 && request.session_id != 0 && request.session_epoch > 0 {
            return encode(call, code::FETCH_SESSION_ID_NOT_FOUND, &[], Vec::new());
        }
        let mut topics = self.wanted(call, request);
        let wait = Duration::from_millis(request.max_wait_ms.clamp(0, MAX_WAIT_MS) as u64);
        let until = std::time::Instant::now() + wait;
        loop {
            let (parts, bytes, failed) = collect(&mut topics, request);
            let enough = bytes >= request.min_bytes.max(0) as usize || failed;
            let rest = until.saturating_duration_since(std::time::Instant::now());
            if enough || rest.is_zero() {
                return encode(call, code::NONE, &topics, parts);
            }
            drop(parts);
            let wanted = || topics.iter().flat_map(|topic| &topic.partitions);
            let changed = poll_fn(|cx| {
                let ready = wanted().any(|wanted| {
                    let partition = wanted.partition.as_ref();
                    partition.is_ok_and(|own| own.changed.poll_changed(wanted.seen, cx).is_ready())
                });
                if ready { Poll::Ready(()) } else { Poll::Pending }
            });
            // Too late is as good as changed: the next look decides.
            let _ = rt::timeout(rest, changed).await;
        }
    }

    fn wanted<'a>(&self, call: &Call, request: &'a FetchRequest) -> Vec<Topics<'a>> {
        let all = self.topics.borrow();
        let by_id = call.version >= 13;
        let find = |name: &str, id: Uuid| -> Option<Rc<Topic>> {
            if by_id { all.by_id(id).cloned() } else { all.get(name).cloned() }
        };
        let missing = if by_id { code::UNKNOWN_TOPIC_ID } else { code::UNKNOWN_TOPIC_OR_PARTITION };
        let topics = request.topics.iter().map(|asked| {
            let topic = find(&asked.topic, asked.topic_id);
            let name = topic.as_ref().map_or(asked.topic.as_str(), |topic| &topic.name).to_owned();
            let partitions = asked.partitions.iter().map(|asked| {
                let fault = call.faults.of_partition(call.api, &name, asked.partition);
                let error = match &fault {
                    Some(FaultAction::Error(error)) => Some(*error),
                    _ => call.error,
                };
                let found = topic.as_ref().ok_or(missing).and_then(|topic| {
                    topic.partition(asked.partition).ok_or(code::UNKNOWN_TOPIC_OR_PARTITION)
                });
                Wanted {
                    asked,
                    partition: error.map_or(found, Err),
                    corrupt: call.corrupt || matches!(fault, Some(FaultAction::CorruptCrc)),
                    seen: 0,
                }
            });
            Topics { partitions: partitions.collect(), name, id: asked.topic_id }
        });
        topics.collect()
    }
}

/// What there is to be had now: all partitions in order, their bytes, whether one has failed.
fn collect(topics: &mut [Topics<'_>], request: &FetchRequest) -> (Vec<Part>, usize, bool) {
    let mut parts = Vec::new();
    let (mut bytes, mut failed) = (0, false);
    let committed = request.isolation_level == 1;
    for wanted in topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
        let rest = (request.max_bytes.max(0) as usize).saturating_sub(bytes);
        let part = look(wanted, committed, rest, bytes == 0).unwrap_or_else(|error| Part {
            index: wanted.asked.partition,
            error,
            end: -1,
            stable: -1,
            start: -1,
            aborted: match error {
                code::UNKNOWN_TOPIC_OR_PARTITION | code::UNKNOWN_TOPIC_ID => Some(Vec::new()),
                _ => None,
            },
            slice: None,
            corrupt: false,
        });
        bytes += part.slice.as_ref().map_or(0, |slice| slice.len);
        failed |= part.error != code::NONE;
        parts.push(part);
    }
    (parts, bytes, failed)
}

fn look(wanted: &mut Wanted<'_>, committed: bool, rest: usize, first: bool) -> Result<Part, i16> {
    let asked = wanted.asked;
    let partition = wanted.partition.as_ref().map_err(|error| *error)?;
    wanted.seen = partition.changed.version();
    match check_leader_epoch(asked.current_leader_epoch) {
        code::NONE => {}
        error => return Err(error),
    }
    let log = partition.log.borrow();
    let (start, end, stable) = (log.start_offset(), log.end_offset(), log.stable_offset());
    let offset = asked.fetch_offset;
    if offset < start || offset > end {
        return Err(code::OFFSET_OUT_OF_RANGE);
    }
    let limit = if committed { stable } else { end };
    let most = rest.min(asked.partition_max_bytes.max(0) as usize);
    let slice = log.slice(offset, limit, most, first).map_err(storage_error)?;
    let aborted = match &slice {
        Some(slice) if committed => Some(log.aborted(offset, slice)),
        None if committed => Some(Vec::new()),
        _ => None,
    };
    let index = asked.partition;
    Ok(Part {
        index,
        error: code::NONE,
        end,
        stable,
        start,
        aborted,
        slice,
        corrupt: wanted.corrupt,
    })
}

/// Primitive types, in the compact form of flexible versions or the old one.
struct Encoder {
    out: Vec<u8>,
    flexible: bool,
}

impl Encoder {
    fn i16(&mut self, value: i16) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    fn i32(&mut self, value: i32) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    fn i64(&mut self, value: i64) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    /// The length of an array or of bytes.
    fn length(&mut self, length: Option<usize>) {
        match (self.flexible, length) {
            (true, length) => self.varint(length.map_or(0, |length| length as u32 + 1)),
            (false, length) => self.i32(length.map_or(-1, |length| length as i32)),
        }
    }

    fn string(&mut self, value: &str) {
        if self.flexible {
            self.length(Some(value.len()));
        } else {
            self.i16(value.len() as i16);
        }
        self.out.extend_from_slice(value.as_bytes());
    }

    fn no_tags(&mut self) {
        if self.flexible {
            self.out.push(0);
        }
    }
}

fn encode(call: &Call, error: i16, topics: &[Topics<'_>], parts: Vec<Part>) -> FetchAnswer {
    let version = call.version;
    let mut encoder = Encoder { out: Vec::with_capacity(256), flexible: version >= 12 };
    // Room for the size; the correlation id is the connection's to fill in.
    encoder.i64(0);
    encoder.no_tags();
    encoder.i32(call.throttle_ms);
    if version >= 7 {
        encoder.i16(error);
        encoder.i32(0);
    }
    encoder.length(Some(topics.len()));
    let mut pieces = Vec::new();
    let mut parts = parts.into_iter();
    for topic in topics {
        if version >= 13 {
            encoder.out.extend_from_slice(topic.id.as_bytes());
        } else {
            encoder.string(&topic.name);
        }
        encoder.length(Some(topic.partitions.len()));
        for part in parts.by_ref().take(topic.partitions.len()) {
            encode_part(&mut encoder, version, part, &mut pieces);
        }
        encoder.no_tags();
    }
    encoder.no_tags();
    let records: usize = pieces.iter().map(|piece| piece.slice.len).sum();
    let size = (encoder.out.len() - 4 + records) as i32;
    encoder.out[..4].copy_from_slice(&size.to_be_bytes());
    FetchAnswer { head: encoder.out, pieces }
}

fn encode_part(encoder: &mut Encoder, version: i16, part: Part, pieces: &mut Vec<Piece>) {
    encoder.i32(part.index);
    encoder.i16(part.error);
    encoder.i64(part.end);
    encoder.i64(part.stable);
    if version >= 5 {
        encoder.i64(part.start);
    }
    encoder.length(part.aborted.as_ref().map(Vec::len));
    for aborted in part.aborted.into_iter().flatten() {
        encoder.i64(aborted.producer_id);
        encoder.i64(aborted.first_offset);
        encoder.no_tags();
    }
    if version >= 11 {
        encoder.i32(-1);
    }
    encoder.length(Some(part.slice.as_ref().map_or(0, |slice| slice.len)));
    if let Some(slice) = part.slice {
        pieces.push(Piece { head_end: encoder.out.len(), slice, corrupt: part.corrupt });
    }
    encoder.no_tags();
}
