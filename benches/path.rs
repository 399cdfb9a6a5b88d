//! The way of a record without sockets: a fetch response of sixteen lz4 batches of 64 KiB, parsed,
//! opened, iterated (`fetch`), and then checked, patched and written as JSON lines (`chain`).
//!
//! criterion reports elements per second; the inverse is the time of one 254-byte record.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millrace_converters::json::patch::{Inserted, JsonOp, PatchPlan, RecordMeta};
use millrace_converters::{Arena, json};
use millrace_kafka::compression::{Codec, Compression, Compressor, Decompressor, Scratch};
use millrace_kafka::fetch::parser::{FetchParser, Step};
use millrace_kafka::record_batch::{BatchBuilder, BatchOptions, NO_HEADERS, OpenBatch, RawRecord};

const BATCHES: usize = 16;
const PER_BATCH: usize = 258;
const RECORDS: u64 = (BATCHES * PER_BATCH) as u64;

fn event(number: u64) -> String {
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let head = format!(
        "{{\"id\":{:010},\"ts\":{},\"user\":{{\"name\":\"user-{:06}\",\"country\":\"DE\"}},\
         \"ip\":\"10.{}.{}.{}\",\"ua\":\"Mozilla/5.0 (X11; Linux x86_64)\",\"amount\":{}.{:02},\
         \"tags\":[\"alpha\",\"beta\"],\"ref\":\"https://example.org/{mixed:016x}\",\"note\":\"",
        1_000_000_000 + number,
        1_700_000_000_000 + number,
        mixed % 1_000_000,
        mixed % 256,
        (mixed >> 8) % 256,
        (mixed >> 16) % 256,
        100 + mixed % 900,
        (mixed >> 24) % 100,
    );
    format!("{head}{}\"}}", "x".repeat(252usize.saturating_sub(head.len())))
}

/// One partition of one topic, in the bytes of Fetch v11.
fn response() -> Vec<u8> {
    let compression = Compression::new(Codec::Lz4);
    let mut compressor = Compressor::new();
    let mut records = Vec::new();
    let mut builder = BatchBuilder::new();
    for batch in 0..BATCHES {
        builder.clear();
        for at in 0..PER_BATCH {
            let value = event((batch * PER_BATCH + at) as u64);
            builder
                .append(1_700_000_000_000, None, Some(value.as_bytes()), NO_HEADERS)
                .expect("room");
        }
        let base_offset = (batch * PER_BATCH) as i64;
        let options = BatchOptions { compression, base_offset, ..BatchOptions::default() };
        builder.finish(&options, &mut compressor, &mut records).expect("a batch");
    }
    let mut body = Vec::new();
    body.extend(1i32.to_be_bytes()); // correlation
    body.extend(0i32.to_be_bytes()); // throttle
    body.extend(0i16.to_be_bytes()); // error
    body.extend(1i32.to_be_bytes()); // session
    body.extend(1i32.to_be_bytes()); // topics
    body.extend(6i16.to_be_bytes());
    body.extend(b"events");
    body.extend(1i32.to_be_bytes()); // partitions
    body.extend(0i32.to_be_bytes());
    body.extend(0i16.to_be_bytes());
    for offset in [RECORDS as i64, RECORDS as i64, 0] {
        body.extend(offset.to_be_bytes());
    }
    body.extend((-1i32).to_be_bytes()); // aborted transactions: none
    body.extend((-1i32).to_be_bytes()); // preferred replica
    body.extend((records.len() as i32).to_be_bytes());
    body.extend(records);
    let mut bytes = (body.len() as i32).to_be_bytes().to_vec();
    bytes.extend(body);
    bytes
}

/// What one pass keeps between responses.
#[derive(Default)]
struct Reader {
    decompressor: Decompressor,
    scratch: Scratch,
}

impl Reader {
    /// Shows every record, with the buffer that it lies in.
    fn read(&mut self, response: &[u8], mut each: impl FnMut(&RawRecord<'_>, &[u8])) -> u64 {
        let mut parser = FetchParser::new();
        let (mut at, mut count) = (0, 0);
        loop {
            let (step, consumed) = parser.step(&response[at..]).expect("a good response");
            match step {
                Step::End => return count,
                Step::Batch => {
                    self.scratch.clear();
                    let bytes = &response[at..];
                    let batch = OpenBatch::open(bytes, &mut self.decompressor, &mut self.scratch)
                        .expect("a good batch");
                    let records = batch.records(bytes, &self.scratch);
                    let buffer = records.buffer();
                    for record in records {
                        each(&record.expect("a good record"), buffer);
                        count += 1;
                    }
                }
                Step::Need(needed) => panic!("{needed} bytes more in a whole response"),
                _ => {}
            }
            at += consumed;
        }
    }
}

fn fetch(c: &mut Criterion) {
    let response = response();
    let mut reader = Reader::default();
    let mut group = c.benchmark_group("fetch");
    group.throughput(Throughput::Elements(RECORDS));
    group.bench_function("parse+crc+lz4+iterate", |b| {
        b.iter(|| {
            let count = reader.read(black_box(&response), |record, _| {
                black_box(record);
            });
            assert_eq!(count, RECORDS);
        });
    });
    group.finish();
}

fn range(buffer: &[u8], part: &[u8]) -> (usize, usize) {
    let start = part.as_ptr() as usize - buffer.as_ptr() as usize;
    (start, start + part.len())
}

fn chain(c: &mut Criterion) {
    let response = response();
    let mut reader = Reader::default();
    let ops = [
        JsonOp::Insert { name: "source".into(), what: Inserted::Static("web".into()) },
        JsonOp::Mask { names: vec!["ip".into()], replacement: None },
        JsonOp::Replace {
            include: vec![],
            exclude: vec!["ref".into()],
            renames: vec![("ua".into(), "user_agent".into())],
        },
    ];
    let mut plan = PatchPlan::compile(&ops).expect("three simple transforms");
    let mut group = c.benchmark_group("chain");
    group.throughput(Throughput::Elements(RECORDS));
    group.bench_function("fetch+check", |b| {
        b.iter(|| {
            reader.read(black_box(&response), |record, buffer| {
                let (start, end) = range(buffer, record.value.expect("a value"));
                black_box(json::check(buffer, start, end).expect("JSON"));
            })
        });
    });
    let mut out = Vec::with_capacity(2 << 20);
    let mut arena = Arena::new();
    group.bench_function("fetch+3 transforms+JSON lines", |b| {
        b.iter(|| {
            arena.reset();
            out.clear();
            reader.read(black_box(&response), |record, buffer| {
                let (start, end) = range(buffer, record.value.expect("a value"));
                let meta = RecordMeta {
                    topic: "events",
                    partition: 0,
                    timestamp: None,
                    offset: record.offset,
                };
                let text = plan.apply(buffer, start, end, &meta, &arena).expect("an object");
                text.write_to(&mut out);
                out.push(b'\n');
            });
            black_box(out.len());
        });
    });
    group.finish();
}

criterion_group!(benches, fetch, chain);
criterion_main!(benches);
