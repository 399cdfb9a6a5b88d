//! What `put` of a storage sink costs per record, by compression: JSON text of 254 bytes into files that
//! a store in memory throws away; and what an action of a bulk request costs. Throughput is in records.

use std::rc::Rc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millrace_api::LocalFuture;
use millrace_api::record::{Origin, Record, TimestampType, TopicPartition};
use millrace_api::sink::{Offsets, SinkTaskContext};
use millrace_connectors::elasticsearch::document::{
    NullValues as Tombstones, Place, Rules, Versions, WriteMethod, write_action,
};
use millrace_connectors::elasticsearch::resources::Target;
use millrace_connectors::storage::compression::Compression;
use millrace_connectors::storage::format::Format;
use millrace_connectors::storage::naming::Naming;
use millrace_connectors::storage::partitioner::{Partitioner, TimePartitioner};
use millrace_connectors::storage::path_format::{PathFormat, parse_zone};
use millrace_connectors::storage::rotation::Rotation;
use millrace_connectors::storage::sink::{NullValues, Settings, StorageSink};
use millrace_connectors::storage::store::{Stamp, Store, StoreError};
use millrace_connectors::storage::timestamp::TimestampExtractor;
use millrace_connectors::storage::upload::RetryPolicy;
use millrace_converters::{JsonText, SchemaAndValue, Value};
use millrace_net::rt::{CoreOptions, start_core};

const BATCH: usize = 4096;

/// Takes everything and keeps nothing.
struct Nowhere;

impl Store for Nowhere {
    fn check(&self) -> LocalFuture<'_, Result<(), StoreError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn put<'a>(
        &'a self,
        _: &'a str,
        _: bytes::Bytes,
        _: &'a Stamp,
    ) -> LocalFuture<'a, Result<(), StoreError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn create<'a>(&'a self, _: &'a str) -> LocalFuture<'a, Result<String, StoreError>> {
        Box::pin(std::future::ready(Ok(String::new())))
    }

    fn upload_part<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: u32,
        _: bytes::Bytes,
    ) -> LocalFuture<'a, Result<String, StoreError>> {
        Box::pin(std::future::ready(Ok(String::new())))
    }

    fn complete<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: &'a [String],
        _: &'a Stamp,
    ) -> LocalFuture<'a, Result<(), StoreError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn abort<'a>(&'a self, _: &'a str, _: &'a str) -> LocalFuture<'a, Result<(), StoreError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

fn settings(compression: Compression, partitioner: Partitioner) -> Settings {
    Settings {
        partitioner,
        rotation: Rotation { flush_size: Some(1_000_000), ..Rotation::default() },
        naming: Naming {
            topics_dir: "topics".to_owned(),
            directory_delim: "/".to_owned(),
            file_delim: "+".to_owned(),
            zero_pad_width: 10,
            extension: ".json".to_owned(),
            template: None,
        },
        format: Format::Json { decimal_numeric: false },
        compression,
        part_bytes: 26_214_400,
        memory_bytes: 96 << 20,
        null_values: NullValues::Fail,
        report_nulls: false,
        tombstone_folder: "tombstone".to_owned(),
        retry: RetryPolicy {
            retries: 0,
            backoff: Duration::from_millis(1),
            pause: Duration::from_millis(1),
        },
    }
}

/// Lines of 254 bytes that differ as orders differ.
fn lines() -> Vec<String> {
    let mut x = 88_172_645_463_325_252u64;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x
    };
    (0..BATCH)
        .map(|n| {
            let mut line = format!(
                r#"{{"id":{n},"order":"{:016x}","user":{{"name":"user-{}","country":"DE"}},"amount":{}.{:02},"currency":"EUR","items":[{{"sku":"{:08x}","count":{}}}],"time":{},"note":""#,
                next(),
                next() % 10_000,
                next() % 500,
                next() % 100,
                next() as u32,
                next() % 9,
                1_700_000_000_000 + next() % 86_400_000,
            );
            while line.len() < 252 {
                line.push_str(["the ", "parcel ", "was ", "left ", "with ", "you "][(next() % 6) as usize]);
            }
            line.truncate(252);
            line + "\"}"
        })
        .collect()
}

/// The time that `iterations` batches take on a core.
fn run(iterations: u64, settings: Settings) -> Duration {
    let (sender, receiver) = std::sync::mpsc::channel();
    let core = start_core(CoreOptions::new("bench", None), move || async move {
        let lines = lines();
        let texts: Vec<_> = lines.iter().map(|line| JsonText::verbatim(line.as_bytes())).collect();
        let context = SinkTaskContext::new("bench-0", false);
        let mut sink = StorageSink::new(Rc::new(Nowhere), settings, context);
        sink.open(&Offsets::from([(TopicPartition::new("t", 0), 0)]));
        let begun = Instant::now();
        for batch in 0..iterations {
            let first = batch as i64 * BATCH as i64;
            let records: Vec<Record<'_>> = (first..)
                .zip(&texts)
                .map(|(offset, text)| Record {
                    topic: "t",
                    partition: Some(0),
                    timestamp: Some(1_700_000_000_000 + offset / 10_000),
                    key: SchemaAndValue::default(),
                    value: SchemaAndValue { schema: None, value: Value::Json(text) },
                    headers: &[],
                    origin: Origin::Sink {
                        topic: "t",
                        partition: 0,
                        offset,
                        timestamp_type: TimestampType::CreateTime,
                    },
                })
                .collect();
            sink.put(&records).await.expect("nowhere takes everything");
        }
        sender.send(begun.elapsed()).expect("somebody waits for the time");
        sink.stop().await;
    })
    .expect("io_uring is there");
    core.join().expect("the core ends well");
    receiver.recv().expect("the core measured")
}

fn encoders(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sink_put");
    group.throughput(Throughput::Elements(BATCH as u64)).sample_size(10);
    let hourly = || {
        Partitioner::Time(TimePartitioner {
            duration_ms: 3_600_000,
            format: PathFormat::parse("'hour'=HH").expect("a pattern"),
            zone: parse_zone("Europe/Berlin").expect("a zone"),
            extractor: TimestampExtractor::Record,
        })
    };
    for (name, compression, timed) in [
        ("none", Compression::None, false),
        ("none_hourly", Compression::None, true),
        ("gzip_1", Compression::Gzip(1), false),
        ("gzip_6", Compression::Gzip(6), false),
        ("zstd_1", Compression::Zstd(1), false),
    ] {
        let partitioner = || if timed { hourly() } else { Partitioner::Default };
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| run(iterations, settings(compression, partitioner())));
        });
    }
    group.finish();
}

/// Records as actions of one bulk body, their ids made of their places or of their keys.
fn bulk_actions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bulk_action");
    group.throughput(Throughput::Elements(BATCH as u64)).sample_size(10);
    let lines = lines();
    let texts: Vec<_> = lines.iter().map(|line| JsonText::verbatim(line.as_bytes())).collect();
    let mut body = Vec::with_capacity(BATCH * 400);
    for (name, ignore_keys) in [("by_place", true), ("by_key", false)] {
        let rules = Rules {
            method: WriteMethod::Index,
            autogenerated: false,
            ignore_keys,
            ignore_keys_of: Vec::new(),
            ignore_schemas: true,
            ignore_schemas_of: Vec::new(),
            compact_maps: true,
            null_values: Tombstones::Fail,
            versions: Versions::Offset,
            timestamp_fields: Vec::new(),
        };
        let target = Target::new(&rules, 0, "t", "t");
        let key = SchemaAndValue { schema: None, value: Value::Str("a-key-of-16-bytes") };
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                body.clear();
                for (offset, text) in (0..).zip(&texts) {
                    let value = SchemaAndValue { schema: None, value: Value::Json(text) };
                    let (topic, partition) = ("t", 0);
                    let timestamp_type = TimestampType::CreateTime;
                    let record = Record {
                        topic,
                        partition: Some(partition),
                        timestamp: None,
                        key,
                        value,
                        headers: &[],
                        origin: Origin::Sink { topic, partition, offset, timestamp_type },
                    };
                    let place = Place { partition, offset };
                    write_action(&rules, &target, &record, place, &mut body).expect("a document");
                }
                body.len()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, encoders, bulk_actions);
criterion_main!(benches);
