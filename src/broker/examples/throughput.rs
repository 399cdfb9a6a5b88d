//! How fast the embedded broker takes and gives batches of 64 KiB, by wall time and by the CPU time of
//! its one core:
//!
//! `cargo run --profile fast -p millrace-broker --example throughput -- [--mib 2048] [--cpu N]`
//!
//! A client on a thread of its own sends Produce requests that were encoded beforehand, five in
//! flight, and then fetches everything and throws it away; so the figures are the broker's. The topic
//! lies in a temporary folder: what is written stays in the page cache.

// A tool of its own process; no core waits here.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use millrace_broker::{Broker, BrokerOptions};
use millrace_kafka::compression::Compressor;
use millrace_kafka::record_batch::{BatchBuilder, BatchOptions, NO_HEADERS};

const TOPIC: &str = "throughput";
const BATCH_BYTES: usize = 64 << 10;
const RECORD_BYTES: usize = 254;
/// Produce requests without an answer at a time, as producers have by default.
const IN_FLIGHT: usize = 5;
const PRODUCE_VERSION: i16 = 9;
const FETCH_VERSION: i16 = 11;

fn main() -> io::Result<()> {
    let arguments: BTreeMap<String, usize> = std::env::args()
        .collect::<Vec<_>>()
        .windows(2)
        .filter_map(|pair| Some((pair[0].clone(), pair[1].parse().ok()?)))
        .collect();
    let mib = arguments.get("--mib").copied().unwrap_or(2048);
    let folder = tempfile::tempdir()?;
    let options = BrokerOptions::new(([127, 0, 0, 1], 0).into(), folder.path());
    let broker = Broker::spawn_thread(options, arguments.get("--cpu").copied())?;
    create_topic(broker.addr())?;
    let batch = batch();
    let batches = (mib << 20) / batch.len();
    measured("in ", batches * batch.len(), || produce(broker.addr(), &batch, batches))?;
    let total = batches * batch.len();
    measured("out", total, || fetch(broker.addr(), total))?;
    broker.stop_blocking()
}

/// Runs `work` and prints what it cost the broker's thread.
fn measured(label: &str, bytes: usize, work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let (cpu, wall) = (broker_cpu()?, Instant::now());
    work()?;
    let (wall, cpu) = (wall.elapsed(), broker_cpu()? - cpu);
    let rate = |time: Duration| bytes as f64 / 1e6 / time.as_secs_f64();
    println!(
        "{label} {:.0} MB: {:.2} s wall ({:.0} MB/s), {:.2} s CPU of the broker ({:.0} MB/s of CPU)",
        bytes as f64 / 1e6,
        wall.as_secs_f64(),
        rate(wall),
        cpu.as_secs_f64(),
        rate(cpu)
    );
    Ok(())
}

/// CPU time of the threads that are the broker's: all but the client's, which is this process's first.
fn broker_cpu() -> io::Result<Duration> {
    let mut total = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let path = task?.path();
        let first = std::process::id().to_string();
        if path.file_name().is_some_and(|id| *id != *first) {
            let text = std::fs::read_to_string(path.join("schedstat"))?;
            let nanos = text.split(' ').next().and_then(|number| number.parse::<u64>().ok());
            total += nanos.unwrap_or(0);
        }
    }
    Ok(Duration::from_nanos(total))
}

/// A batch of 254-byte records, as long as fits.
fn batch() -> Bytes {
    let value = vec![b'x'; RECORD_BYTES];
    let mut builder = BatchBuilder::new();
    while builder.len() + BatchBuilder::upper_bound(None, Some(&value)) <= BATCH_BYTES {
        builder.append(0, None, Some(&value), NO_HEADERS).expect("it fits");
    }
    let mut bytes = Vec::new();
    let options = BatchOptions::default();
    builder.finish(&options, &mut Compressor::new(), &mut bytes).expect("it fits");
    bytes.into()
}

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

fn frame<R: Request>(version: i16, request: &R) -> Vec<u8> {
    let mut frame = vec![0; 4];
    let header =
        RequestHeader::default().with_request_api_key(R::KEY).with_request_api_version(version);
    header.encode(&mut frame, R::header_version(version)).expect("a header");
    request.encode(&mut frame, version).expect("a request");
    let size = (frame.len() - 4) as u32;
    frame[..4].copy_from_slice(&size.to_be_bytes());
    frame
}

/// Reads one answer into `buffer` and gives its length.
fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let size = u32::from_be_bytes(size) as usize;
    if buffer.len() < size {
        buffer.resize(size, 0);
    }
    stream.read_exact(&mut buffer[..size])?;
    Ok(size)
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    Ok(stream)
}

fn create_topic(address: SocketAddr) -> io::Result<()> {
    let topic = CreatableTopic::default()
        .with_name(TopicName(text(TOPIC)))
        .with_num_partitions(1)
        .with_replication_factor(1);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(5000);
    let mut stream = connect(address)?;
    stream.write_all(&frame(5, &request))?;
    answer(&mut stream, &mut Vec::new()).map(drop)
}

fn produce(address: SocketAddr, batch: &Bytes, batches: usize) -> io::Result<()> {
    let data = PartitionProduceData::default().with_records(Some(batch.clone()));
    let topic = TopicProduceData::default()
        .with_name(TopicName(text(TOPIC)))
        .with_partition_data(vec![data]);
    let request =
        ProduceRequest::default().with_acks(-1).with_timeout_ms(5000).with_topic_data(vec![topic]);
    let frame = frame(PRODUCE_VERSION, &request);
    let mut stream = connect(address)?;
    let mut buffer = Vec::new();
    for sent in 0..batches + IN_FLIGHT {
        if sent < batches {
            stream.write_all(&frame)?;
        }
        if sent >= IN_FLIGHT {
            let size = answer(&mut stream, &mut buffer)?;
            if sent == batches {
                let mut body = Bytes::copy_from_slice(&buffer[..size]);
                let version = ProduceResponse::header_version(PRODUCE_VERSION);
                ResponseHeader::decode(&mut body, version).map_err(io::Error::other)?;
                let response = ProduceResponse::decode(&mut body, PRODUCE_VERSION);
                let response = response.map_err(io::Error::other)?;
                assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
            }
        }
    }
    Ok(())
}

/// Fetches by a mebibyte from the start until all bytes came.
fn fetch(address: SocketAddr, total: usize) -> io::Result<()> {
    let mut stream = connect(address)?;
    let (mut buffer, mut got, mut offset) = (Vec::new(), 0, 0);
    while got < total {
        let partition =
            FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
        let topic = FetchTopic::default()
            .with_topic(TopicName(text(TOPIC)))
            .with_partitions(vec![partition]);
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_session_epoch(-1)
            .with_max_wait_ms(1000)
            .with_min_bytes(1)
            .with_max_bytes(16 << 20)
            .with_topics(vec![topic]);
        stream.write_all(&frame(FETCH_VERSION, &request))?;
        let size = answer(&mut stream, &mut buffer)?;
        // The records stand at the end: the first batch's header has its base offset and length.
        let (bytes, next) = last_offset(&buffer[..size]);
        assert!(bytes > 0, "nothing more came after {got} of {total} bytes");
        got += bytes;
        offset = next;
    }
    Ok(())
}

/// How many bytes of records the answer holds, and the offset after them.
fn last_offset(frame: &[u8]) -> (usize, i64) {
    let mut body = Bytes::copy_from_slice(frame);
    let version = FetchResponse::header_version(FETCH_VERSION);
    ResponseHeader::decode(&mut body, version).expect("a header");
    let response = FetchResponse::decode(&mut body, FETCH_VERSION).expect("an answer");
    let partition = &response.responses[0].partitions[0];
    assert_eq!(partition.error_code, 0);
    let records = partition.records.as_deref().unwrap_or_default();
    let number = |at: usize, length: usize| {
        records[at..at + length].iter().fold(0, |sum, byte| sum << 8 | i64::from(*byte))
    };
    let (mut at, mut next) = (0, 0);
    while at + 61 <= records.len() {
        let length = 12 + number(at + 8, 4) as usize;
        if at + length > records.len() {
            break;
        }
        next = number(at, 8) + number(at + 23, 4) + 1;
        at += length;
    }
    (at, next)
}
