//! JSON stages on one 254-byte record: check, patch with three transforms, parse, write.
//!
//! `cargo bench --bench json`; the figure of a record is the time of a 1000-record pass over one
//! buffer divided by 1000, which is how the task sees it.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millrace_converters::converter::{Converter, Detail};
use millrace_converters::json::patch::{Inserted, JsonOp, PatchPlan, RecordMeta};
use millrace_converters::json::{
    JsonConverter, JsonConverterConfig, Level, WriteOptions, check_at, find_path, parse,
    write_value,
};
use millrace_converters::{Arena, JsonText};

const RECORDS: usize = 1000;

/// Records one after the other, with the few bytes between them that a record batch has, and their
/// ranges.
fn batch() -> (Vec<u8>, Vec<(usize, usize)>) {
    let mut buf = Vec::new();
    let mut ranges = Vec::new();
    for i in 0..RECORDS {
        buf.extend_from_slice(&[0xfc, 3, 0, 2, 4, 1, 0xf8, 3]);
        let start = buf.len();
        let record = format!(
            concat!(
                r#"{{"id":{},"ts":{},"user":{{"name":"user-{}","ip":"10.1.{}.{}"}},"ip":"10.{}.2.3","#,
                r#""ua":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Safari","tags":["a","b{}"],"#,
                r#""amount":{}.34,"active":true,"ref":"https://example.org/p/{}","note":"n{}"}}"#
            ),
            123_456 + i,
            1_700_000_000_000u64 + i as u64 * 37,
            i % 100,
            i % 256,
            i % 199,
            i % 10,
            i % 7,
            i % 1000,
            i,
            "x".repeat(i % 9),
        );
        buf.extend_from_slice(record.as_bytes());
        ranges.push((start, buf.len()));
    }
    (buf, ranges)
}

fn three_transforms() -> Vec<JsonOp> {
    vec![
        JsonOp::Insert { name: "source".into(), what: Inserted::Static("kafka".into()) },
        JsonOp::Mask { names: vec!["ip".into()], replacement: None },
        JsonOp::Replace {
            include: vec![],
            exclude: vec!["ref".into()],
            renames: vec![("ua".into(), "user_agent".into())],
        },
    ]
}

fn stages(c: &mut Criterion) {
    let (buf, ranges) = batch();
    let mean = ranges.iter().map(|(start, end)| end - start).sum::<usize>() / RECORDS;
    println!("mean record: {mean} bytes; times are of {RECORDS} records");
    let mut group = c.benchmark_group("json");
    group.throughput(Throughput::Elements(RECORDS as u64));
    for level in Level::available() {
        group.bench_function(format!("check/{level:?}"), |b| {
            b.iter(|| {
                for &(start, end) in &ranges {
                    black_box(check_at(level, &buf, start, end)).unwrap();
                }
            });
        });
        for write in [false, true] {
            let name = if write { "patch3+write" } else { "patch3" };
            group.bench_function(format!("{name}/{level:?}"), |b| {
                let mut plan = PatchPlan::compile_at(&three_transforms(), level).unwrap();
                let mut arena = Arena::new();
                let mut out = Vec::with_capacity(buf.len() * 2);
                let meta = RecordMeta { topic: "orders", partition: 0, timestamp: None, offset: 0 };
                b.iter(|| {
                    arena.reset();
                    out.clear();
                    for &(start, end) in &ranges {
                        let text = plan.apply(&buf, start, end, &meta, &arena).unwrap();
                        if write {
                            text.write_to(&mut out);
                            out.push(b'\n');
                        }
                        black_box(text.edits);
                    }
                    black_box(out.len());
                });
            });
        }
    }
    group.finish();
}

/// The general way: values in the arena.
fn values(c: &mut Criterion) {
    let (buf, ranges) = batch();
    let mut group = c.benchmark_group("json");
    group.throughput(Throughput::Elements(RECORDS as u64));
    group.bench_function("parse", |b| {
        let mut arena = Arena::new();
        b.iter(|| {
            arena.reset();
            for &(start, end) in &ranges {
                black_box(parse(&buf[start..end], &arena).unwrap());
            }
        });
    });
    group.bench_function("parse+write", |b| {
        let mut arena = Arena::new();
        let mut out = Vec::with_capacity(buf.len() * 2);
        b.iter(|| {
            arena.reset();
            out.clear();
            for &(start, end) in &ranges {
                let value = parse(&buf[start..end], &arena).unwrap();
                write_value(None, value, &mut out, &WriteOptions::default()).unwrap();
            }
            black_box(out.len());
        });
    });
    group.bench_function("find_path", |b| {
        let arena = Arena::new();
        b.iter(|| {
            for &(start, end) in &ranges {
                let text = JsonText::verbatim(&buf[start..end]);
                black_box(find_path(&text, &["user", "name"], &arena).unwrap());
            }
        });
    });
    group.finish();
}

/// `JsonConverter` with the schema in each record.
fn envelope(c: &mut Criterion) {
    let schema = concat!(
        r#"{"type":"struct","fields":[{"type":"int64","optional":false,"field":"id"},"#,
        r#"{"type":"string","optional":true,"field":"name"},"#,
        r#"{"type":"double","optional":false,"field":"amount"}],"optional":false,"name":"order"}"#
    );
    let records: Vec<String> = (0..RECORDS)
        .map(|i| {
            let payload = format!(r#"{{"id":{i},"name":"name-{i}","amount":{i}.5}}"#);
            format!(r#"{{"schema":{schema},"payload":{payload}}}"#)
        })
        .collect();
    let mut group = c.benchmark_group("json");
    group.throughput(Throughput::Elements(RECORDS as u64));
    for write in [false, true] {
        let name = if write { "envelope-read+write" } else { "envelope-read" };
        group.bench_function(name, |b| {
            let mut converter = JsonConverter::new(JsonConverterConfig::default());
            let mut arena = Arena::new();
            let mut out = Vec::new();
            b.iter(|| {
                arena.reset();
                out.clear();
                for record in &records {
                    let bytes = Some(record.as_bytes());
                    let data = converter.to_connect_data("t", bytes, Detail::Full, &arena).unwrap();
                    if write {
                        let (schema, value) = (data.schema, data.value);
                        converter.from_connect_data("t", schema, value, &mut out).unwrap();
                    }
                    black_box(data.value);
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, stages, values, envelope);
criterion_main!(benches);
