//! Connections: frames in, the right handler, frames out. What is malformed closes its connection.
//!
//! Requests of one connection are done one after the other, as a real broker does them.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request};
use millrace_kafka::untrusted;
use millrace_net::rt::{self, TcpStream};

use crate::api::{self, Response};
use crate::core::{Call, Core};
use crate::faults::FaultAction;
use crate::fetch::FetchAnswer;
use crate::protocol::code;

/// `socket.request.max.bytes`.
const MAX_REQUEST: usize = 100 << 20;
/// `connections.max.idle.ms`.
const MAX_IDLE: Duration = Duration::from_secs(600);
/// Longest time that a peer may take to read an answer or to finish a request.
const MAX_STALL: Duration = Duration::from_secs(60);
/// Bytes read while the next request's size is not known; what is too much of them gets moved.
const LOOK_AHEAD: usize = 16 << 10;
/// A buffer beyond this is not kept for the next request.
const KEEP: usize = 8 << 20;
/// Bytes of a log that are in the air at once.
const CHUNK: usize = 256 << 10;

fn malformed(what: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed request: {what}"))
}

fn stalled(_: rt::Elapsed) -> io::Error {
    io::ErrorKind::TimedOut.into()
}

pub(crate) struct Connection {
    core: Rc<Core>,
    stream: TcpStream,
    host: String,
    /// Initialised bytes to read into, of which `filled` hold what was received.
    inbox: BytesMut,
    filled: usize,
    out: Vec<u8>,
    chunk: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(core: Rc<Core>, stream: TcpStream) -> Self {
        let host =
            stream.peer_addr().map_or_else(|_| String::new(), |peer| format!("/{}", peer.ip()));
        let inbox = BytesMut::zeroed(4 * LOOK_AHEAD);
        Self { core, stream, host, inbox, filled: 0, out: Vec::new(), chunk: Vec::new() }
    }

    /// Serves requests until the peer closes (`Ok`) or something is wrong.
    pub(crate) async fn serve(mut self) -> io::Result<()> {
        while let Some(size) = self.receive().await? {
            let frame = std::mem::take(&mut self.inbox).freeze();
            let result = self.handle(frame.slice(4..4 + size)).await;
            self.take_back(frame, 4 + size);
            result?;
        }
        Ok(())
    }

    /// Reads on until a whole request is in the inbox and returns its size; `None` at the end.
    async fn receive(&mut self) -> io::Result<Option<usize>> {
        loop {
            let (mut target, mut patience) = (LOOK_AHEAD, MAX_IDLE);
            if let Some(prefix) = self.inbox[..self.filled].first_chunk::<4>() {
                let size = i32::from_be_bytes(*prefix);
                let size = usize::try_from(size).map_err(|_| malformed("negative size"))?;
                if !(8..=MAX_REQUEST).contains(&size) {
                    return Err(malformed(format_args!("{size} bytes")));
                }
                if self.filled >= 4 + size {
                    return Ok(Some(size));
                }
                target = 4 + size;
                patience = MAX_STALL;
            }
            if self.inbox.len() < target {
                let mut larger = BytesMut::zeroed(target.next_power_of_two());
                larger[..self.filled].copy_from_slice(&self.inbox[..self.filled]);
                self.inbox = larger;
            }
            let read = self.stream.read(&mut self.inbox[self.filled..target]);
            let count = rt::timeout(patience, read).await.map_err(stalled)??;
            if count == 0 {
                return if self.filled == 0 {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
            self.filled += count;
        }
    }

    /// Uses the frame's memory again, unless someone still holds a part of it or it is too large.
    fn take_back(&mut self, frame: Bytes, used: usize) {
        let filled = self.filled;
        self.filled -= used;
        match frame.try_into_mut() {
            Ok(mut buffer) if buffer.len() <= KEEP => {
                buffer.copy_within(used..filled, 0);
                self.inbox = buffer;
            }
            Ok(buffer) => self.replace_inbox(&buffer[used..filled]),
            Err(frame) => self.replace_inbox(&frame[used..filled]),
        }
    }

    fn replace_inbox(&mut self, rest: &[u8]) {
        self.inbox = BytesMut::zeroed(rest.len().max(4 * LOOK_AHEAD));
        self.inbox[..rest.len()].copy_from_slice(rest);
    }

    async fn handle(&mut self, mut body: Bytes) -> io::Result<()> {
        let (key, version) =
            (i16::from_be_bytes([body[0], body[1]]), i16::from_be_bytes([body[2], body[3]]));
        let api = ApiKey::try_from(key).map_err(|()| malformed(format_args!("API key {key}")))?;
        let correlation_id = i32::from_be_bytes([body[4], body[5], body[6], body[7]]);
        let supported = api::is_supported(key, version);
        if !supported && api == ApiKey::ApiVersions {
            let response = api::versions().with_error_code(code::UNSUPPORTED_VERSION);
            self.out.clear();
            encode(&mut self.out, 0, correlation_id, 0, &response)?;
            return self.send_out().await;
        }
        if !supported {
            return Err(malformed(format_args!("{api:?} version {version} is not supported")));
        }
        let header: RequestHeader = decode(&mut body, api.request_header_version(version))?;
        let client_id = header.client_id.as_deref().unwrap_or_default().to_owned();
        let faults = self.core.faults.clone();
        let host = self.host.clone();
        let mut call = Call {
            api: key,
            version,
            client_id,
            host,
            faults,
            error: None,
            corrupt: false,
            throttle_ms: 0,
        };
        let mut silent = false;
        for action in self.core.faults.of_request(key) {
            match action {
                FaultAction::Error(error) => call.error = Some(error),
                FaultAction::Throttle(time) => call.throttle_ms = time.as_millis() as i32,
                FaultAction::Delay(time) => rt::sleep(time).await,
                FaultAction::Disconnect => return Err(io::ErrorKind::ConnectionAborted.into()),
                FaultAction::DisconnectAfter => silent = true,
                FaultAction::CorruptCrc => call.corrupt = true,
            }
        }
        self.out.clear();
        if api == ApiKey::Fetch {
            let request: FetchRequest = decode(&mut body, version)?;
            let core = self.core.clone();
            let mut answer = core.fetch(&call, &request).await;
            answer.head[4..8].copy_from_slice(&correlation_id.to_be_bytes());
            return if silent {
                Err(io::ErrorKind::ConnectionAborted.into())
            } else {
                self.send_fetch(answer).await
            };
        }
        self.dispatch(api, &call, body, correlation_id).await?;
        if silent {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        self.send_out().await
    }

    async fn send_out(&mut self) -> io::Result<()> {
        // Nothing to say: a produce request with acks=0.
        if self.out.is_empty() {
            return Ok(());
        }
        let write = self.stream.write_all(&self.out);
        let result = rt::timeout(MAX_STALL, write).await.map_err(stalled)?;
        if self.out.capacity() > KEEP {
            self.out = Vec::new();
        }
        result
    }

    /// Sends head and logs in large chunks through one buffer.
    async fn send_fetch(&mut self, answer: FetchAnswer) -> io::Result<()> {
        self.chunk.resize(CHUNK, 0);
        let mut used = 0;
        let mut head = 0;
        for piece in &answer.pieces {
            self.fill(&mut used, &answer.head[head..piece.head_end]).await?;
            head = piece.head_end;
            let (mut position, mut left) = (piece.slice.position, piece.slice.len);
            while left > 0 {
                if used == CHUNK {
                    self.flush(&mut used).await?;
                }
                let length = left.min(CHUNK - used);
                piece.slice.segment.read(position, &mut self.chunk[used..used + length])?;
                used += length;
                position += length as u64;
                left -= length;
            }
            if piece.corrupt {
                self.chunk[used - 1] ^= 1;
            }
        }
        self.fill(&mut used, &answer.head[head..]).await?;
        self.flush(&mut used).await
    }

    async fn fill(&mut self, used: &mut usize, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if *used == CHUNK {
                self.flush(used).await?;
            }
            let length = bytes.len().min(CHUNK - *used);
            self.chunk[*used..*used + length].copy_from_slice(&bytes[..length]);
            *used += length;
            bytes = &bytes[length..];
        }
        Ok(())
    }

    async fn flush(&mut self, used: &mut usize) -> io::Result<()> {
        let write = self.stream.write_all(&self.chunk[..*used]);
        *used = 0;
        rt::timeout(MAX_STALL, write).await.map_err(stalled)?
    }

    /// Decodes the request, asks its handler, and encodes what that answers.
    async fn dispatch(
        &mut self,
        api: ApiKey,
        call: &Call,
        mut body: Bytes,
        id: i32,
    ) -> io::Result<()> {
        let (core, out) = (self.core.clone(), &mut self.out);
        match api {
            ApiKey::Produce => {
                let request: ProduceRequest = decode(&mut body, call.version)?;
                let silent = request.acks == 0;
                let response = core.produce(call, request);
                if silent { Ok(()) } else { finish::<ProduceRequest>(call, id, out, response) }
            }
            ApiKey::JoinGroup => {
                let request = decode(&mut body, call.version)?;
                // A member may wait for long: it must not hold the request's memory.
                drop(body);
                let failed = call.error.and_then(JoinGroupResponse::failed);
                let response = match failed {
                    Some(response) => response,
                    None => core.join_group(call, request).await,
                };
                finish::<JoinGroupRequest>(call, id, out, response)
            }
            ApiKey::SyncGroup => {
                let request = decode(&mut body, call.version)?;
                drop(body);
                let failed = call.error.and_then(SyncGroupResponse::failed);
                let response = match failed {
                    Some(response) => response,
                    None => core.sync_group(request).await,
                };
                finish::<SyncGroupRequest>(call, id, out, response)
            }
            _ => self.dispatch_immediate(api, call, body, id),
        }
    }

    /// The requests that are answered from what is there, without waiting.
    fn dispatch_immediate(
        &mut self,
        api: ApiKey,
        call: &Call,
        mut body: Bytes,
        id: i32,
    ) -> io::Result<()> {
        let (core, out) = (self.core.clone(), &mut self.out);
        macro_rules! answer {
            ($request:ty, $handler:expr) => {
                answer::<$request>(call, &mut body, id, out, $handler)
            };
        }
        match api {
            ApiKey::ApiVersions => answer!(ApiVersionsRequest, |_| api::versions()),
            ApiKey::Metadata => answer!(MetadataRequest, |r| core.metadata(call, r)),
            ApiKey::ListOffsets => answer!(ListOffsetsRequest, |r| core.list_offsets(call, r)),
            ApiKey::OffsetForLeaderEpoch => {
                answer!(OffsetForLeaderEpochRequest, |r| core.offset_for_leader_epoch(call, r))
            }
            ApiKey::DescribeCluster => {
                answer!(DescribeClusterRequest, |r| core.describe_cluster(r))
            }
            ApiKey::FindCoordinator => {
                answer!(FindCoordinatorRequest, |r| core.find_coordinator(call, r))
            }
            ApiKey::Heartbeat => answer!(HeartbeatRequest, |r| core.heartbeat(r)),
            ApiKey::LeaveGroup => answer!(LeaveGroupRequest, |r| core.leave_group(call, r)),
            ApiKey::OffsetCommit => answer!(OffsetCommitRequest, |r| core.offset_commit(call, r)),
            ApiKey::OffsetFetch => answer!(OffsetFetchRequest, |r| core.offset_fetch(call, r)),
            ApiKey::OffsetDelete => answer!(OffsetDeleteRequest, |r| core.offset_delete(r)),
            ApiKey::DescribeGroups => {
                answer!(DescribeGroupsRequest, |r| core.describe_groups(call, r))
            }
            ApiKey::ListGroups => answer!(ListGroupsRequest, |r| core.list_groups(call, r)),
            ApiKey::DeleteGroups => answer!(DeleteGroupsRequest, |r| core.delete_groups(r)),
            ApiKey::InitProducerId => {
                answer!(InitProducerIdRequest, |r| core.init_producer_id(call, r))
            }
            ApiKey::AddPartitionsToTxn => {
                answer!(AddPartitionsToTxnRequest, |r| core.add_partitions_to_txn(call, r))
            }
            ApiKey::AddOffsetsToTxn => {
                answer!(AddOffsetsToTxnRequest, |r| core.add_offsets_to_txn(call, r))
            }
            ApiKey::EndTxn => answer!(EndTxnRequest, |r| core.end_txn(call, r)),
            ApiKey::TxnOffsetCommit => {
                answer!(TxnOffsetCommitRequest, |r| core.txn_offset_commit(call, r))
            }
            ApiKey::CreateTopics => answer!(CreateTopicsRequest, |r| core.create_topics(call, r)),
            ApiKey::DeleteTopics => answer!(DeleteTopicsRequest, |r| core.delete_topics(call, r)),
            ApiKey::CreatePartitions => {
                answer!(CreatePartitionsRequest, |r| core.create_partitions(r))
            }
            ApiKey::DeleteRecords => {
                answer!(DeleteRecordsRequest, |r| core.delete_records(call, r))
            }
            ApiKey::DescribeConfigs => {
                answer!(DescribeConfigsRequest, |r| core.describe_configs(r))
            }
            ApiKey::AlterConfigs => answer!(AlterConfigsRequest, |r| core.alter_configs(r)),
            ApiKey::IncrementalAlterConfigs => {
                answer!(IncrementalAlterConfigsRequest, |r| core.incremental_alter_configs(r))
            }
            other => Err(malformed(format_args!("{other:?} is not supported"))),
        }
    }
}

fn decode<T: Decodable>(body: &mut Bytes, version: i16) -> io::Result<T> {
    // The decoder panics on some lengths that nobody sends in earnest.
    let result = catch_unwind(AssertUnwindSafe(|| untrusted::decode(body, version)));
    result.map_err(|_| malformed("impossible length"))?.map_err(malformed)
}

fn encode<T: Encodable>(
    out: &mut Vec<u8>,
    header_version: i16,
    correlation_id: i32,
    version: i16,
    response: &T,
) -> io::Result<()> {
    let unsaid = |error| io::Error::other(format!("cannot encode the response: {error}"));
    out.extend_from_slice(&[0; 4]);
    let header = ResponseHeader::default().with_correlation_id(correlation_id);
    header.encode(out, header_version).map_err(unsaid)?;
    response.encode(out, version).map_err(unsaid)?;
    let size = (out.len() - 4) as i32;
    out[..4].copy_from_slice(&size.to_be_bytes());
    Ok(())
}

fn answer<R>(
    call: &Call,
    body: &mut Bytes,
    correlation_id: i32,
    out: &mut Vec<u8>,
    handler: impl FnOnce(R) -> R::Response,
) -> io::Result<()>
where
    R: Request,
    R::Response: Response,
{
    let request = decode(body, call.version)?;
    let failed = call.error.and_then(R::Response::failed);
    let response = failed.unwrap_or_else(|| handler(request));
    finish::<R>(call, correlation_id, out, response)
}

fn finish<R>(
    call: &Call,
    correlation_id: i32,
    out: &mut Vec<u8>,
    mut response: R::Response,
) -> io::Result<()>
where
    R: Request,
    R::Response: Response,
{
    if call.throttle_ms > 0 {
        response.throttle(call.throttle_ms);
    }
    let header_version = R::Response::header_version(call.version);
    encode(out, header_version, correlation_id, call.version, &response)
}
