//! Record batches: what a record costs to read out of a batch and to write into one.
//!
//! Batches hold 64 KiB of JSON records of 254 bytes. criterion reports elements per second;
//! the inverse is the time of one record.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use millrace_kafka::compression::{Codec, Compression, Compressor, Decompressor, Scratch};
use millrace_kafka::record_batch::{BatchBuilder, BatchOptions, NO_HEADERS, OpenBatch};

const BATCH: usize = 64 << 10;
const RECORD: usize = 254;
const CODECS: [Codec; 5] = [Codec::None, Codec::Lz4, Codec::Snappy, Codec::Zstd, Codec::Gzip];

/// JSON of [`RECORD`] bytes in which names repeat and values vary, by a small generator of its own
/// so that runs are alike.
fn values() -> Vec<Vec<u8>> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..BATCH / RECORD)
        .map(|id| {
            let mut text = format!(
                r#"{{"id":{id},"ts":17000{:08},"user":{{"name":"user{}","ip":"10.{}.{}.{}"}},"path":"/shop/item/{}","status":{},"amount":{}.{:02},"ua":"Mozilla/5.0 (X11; Linux x86_64) Chrome/{}.0","ref":"https://example.org/""#,
                random() % 100_000_000,
                random() % 10_000,
                random() % 256,
                random() % 256,
                random() % 256,
                random() % 100_000,
                [200, 201, 302, 404, 500][(random() % 5) as usize],
                random() % 1000,
                random() % 100,
                90 + random() % 40,
            );
            text.push_str(r#","pad":""#);
            while text.len() < RECORD - 2 {
                text.push(char::from(b'a' + (random() % 16) as u8));
            }
            text.push_str(r#""}"#);
            text.into_bytes()
        })
        .collect()
}

fn fill(builder: &mut BatchBuilder, values: &[Vec<u8>]) {
    builder.clear();
    for (index, value) in values.iter().enumerate() {
        let timestamp = 1_700_000_000_000 + index as i64;
        builder.append(timestamp, None, Some(value), NO_HEADERS).expect("the batch has room");
    }
}

fn options(codec: Codec) -> BatchOptions {
    BatchOptions { compression: Compression::new(codec), ..BatchOptions::default() }
}

fn read(c: &mut Criterion) {
    let values = values();
    let mut builder = BatchBuilder::new();
    fill(&mut builder, &values);
    let mut group = c.benchmark_group("read");
    group.throughput(Throughput::Elements(values.len() as u64));
    for codec in CODECS {
        let mut bytes = Vec::new();
        builder.finish(&options(codec), &mut Compressor::new(), &mut bytes).expect("a batch");
        let (mut decompressor, mut scratch) = (Decompressor::new(), Scratch::new());
        if codec == Codec::None {
            let batch = OpenBatch::open(&bytes, &mut decompressor, &mut scratch).expect("a batch");
            group.bench_function("iterate", |b| {
                b.iter(|| walk(&batch, black_box(&bytes), &scratch));
            });
        }
        group.bench_function(format!("crc+{codec}+iterate"), |b| {
            b.iter(|| {
                scratch.clear();
                let batch = OpenBatch::open(black_box(&bytes), &mut decompressor, &mut scratch)
                    .expect("a batch");
                walk(&batch, &bytes, &scratch)
            });
        });
    }
    group.finish();
}

/// Looks at each record as a consumer must: where it is, when it was, what it holds.
fn walk(batch: &OpenBatch, bytes: &[u8], scratch: &Scratch) -> i64 {
    let mut sum = 0;
    for record in batch.records(bytes, scratch) {
        let record = record.expect("a record");
        sum += record.offset + record.timestamp + record.value.map_or(0, |v| v.len() as i64);
    }
    sum
}

fn write(c: &mut Criterion) {
    let values = values();
    let mut group = c.benchmark_group("write");
    group.throughput(Throughput::Elements(values.len() as u64));
    let mut builder = BatchBuilder::new();
    group.bench_function("append", |b| b.iter(|| fill(&mut builder, black_box(&values))));
    for codec in CODECS {
        let mut compressor = Compressor::new();
        let options = options(codec);
        let mut out = Vec::new();
        group.bench_function(format!("append+{codec}+crc"), |b| {
            b.iter(|| {
                out.clear();
                fill(&mut builder, black_box(&values));
                builder.finish(&options, &mut compressor, &mut out).expect("a batch")
            });
        });
    }
    // A copy of the same bytes is the floor that all of this stands on.
    group.bench_function("copy", |b| {
        b.iter_batched_ref(Vec::new, |out| copy(out, &values), BatchSize::SmallInput);
    });
    group.finish();
}

fn copy(out: &mut Vec<u8>, values: &[Vec<u8>]) {
    out.reserve(BATCH * 2);
    for value in values {
        out.extend_from_slice(black_box(value));
    }
}

criterion_group!(benches, read, write);
criterion_main!(benches);
