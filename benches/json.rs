//! JSON stages on one 254-byte record: check, patch with three transforms, parse, write; the first
//! two with learned shapes and, `once`, without. Also records with their schema in each.
//!
//! `cargo bench --bench json`; the figure of a record is the time of a 1000-record pass over one
//! buffer divided by 1000, which is how the task sees it.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millrace_api::record::{Origin, Record, TimestampType};
use millrace_converters::converter::{Converter, Detail};
use millrace_converters::json::patch::{Inserted, JsonOp, PatchPlan, RecordMeta};
use millrace_converters::json::{
    Checker, JsonConverter, JsonConverterConfig, Level, WriteOptions, check_at, find_path, parse,
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
                let plan = PatchPlan::compile_at(&three_transforms(), level).unwrap();
                let mut plan = plan.without_shapes();
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

/// The events that whole processes are measured with (`perf/events.rs`), `members` in their midst;
/// `text` is repeated to fill the last member.
fn event(number: u64, members: &str, text: &str) -> String {
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let head = format!(
        concat!(
            r#"{{"id":{:010},"ts":{},{}"user":{{"name":"user-{:06}","country":"DE"}},"#,
            r#""ip":"10.{:03}.{:03}.{:03}","ua":"Mozilla/5.0 (X11; Linux x86_64)","#,
            r#""amount":{}.{:02},"active":{},"tags":["alpha","beta"],"#,
            r#""ref":"https://example.org/{:016x}","note":""#
        ),
        1_000_000_000 + number,
        1_700_000_000_000 + number,
        members,
        mixed % 1_000_000,
        100 + mixed % 100,
        100 + (mixed >> 8) % 100,
        100 + (mixed >> 16) % 100,
        100 + mixed % 900,
        (mixed >> 24) % 100,
        if mixed.is_multiple_of(2) { "true " } else { "false" },
        mixed,
    );
    let fill = 254usize.saturating_sub(head.len() + 2).div_ceil(text.len().min(254));
    format!("{head}{}\"}}", text.repeat(fill))
}

/// An event with members that may be there or not.
fn optional(at: u64) -> String {
    let mixed = at.wrapping_mul(0xD6E8_FEB8_6659_FD93) >> 32;
    let members = ["a", "b", "c", "d"].iter().enumerate();
    let members = members.filter(|(bit, _)| mixed >> bit & 1 == 1);
    event(at, &members.map(|(_, name)| format!("\"{name}\":1,")).collect::<String>(), "x")
}

/// An event with a number and a text of all lengths.
fn lengths(at: u64) -> String {
    let mixed = at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    event(at, &format!("\"n\":{},\"t\":\"{:x}\",", mixed >> (mixed % 30), mixed), "x")
}

/// Batches by how their records vary; the patch and the check, as they learn and without.
fn shapes(c: &mut Criterion) {
    let turns = |kinds: u64| move |at: u64| event(at, &format!("\"kind{}\":1,", at % kinds), "x");
    let long = "a longer text, as people write them ".repeat(50);
    let batches: [(&str, &dyn Fn(u64) -> String); 9] = [
        ("254 bytes", &|at| event(at, "", "x")),
        ("values of all lengths", &lengths),
        ("2 in turn", &turns(2)),
        ("4 in turn", &turns(4)),
        ("16 in turn", &turns(16)),
        ("optional members", &optional),
        ("no two alike", &|at| event(at, &format!("\"m{at}\":1,"), "x")),
        ("escapes", &|at| event(at, "", "\\n, ")),
        ("long strings", &|at| event(at, "", &long)),
    ];
    let mut group = c.benchmark_group("shapes");
    group.throughput(Throughput::Elements(RECORDS as u64));
    for (name, record) in batches {
        let mut buf = Vec::new();
        let mut ranges = Vec::new();
        for at in 0..RECORDS as u64 {
            let start = buf.len();
            buf.extend_from_slice(record(at).as_bytes());
            ranges.push((start, buf.len()));
        }
        // As behind the records of a batch.
        buf.resize(buf.len() + 128, 0);
        for learned in [false, true] {
            let way = if learned { "learned" } else { "once" };
            group.bench_function(format!("check/{name}/{way}"), |b| {
                let mut checker = Checker::new();
                b.iter(|| {
                    for &(start, end) in &ranges {
                        black_box(match learned {
                            true => checker.check(&buf, start, end),
                            false => check_at(Level::detect(), &buf, start, end),
                        })
                        .unwrap();
                    }
                });
            });
            group.bench_function(format!("patch3+write/{name}/{way}"), |b| {
                let plan = PatchPlan::compile(&three_transforms()).unwrap();
                let mut plan = if learned { plan } else { plan.without_shapes() };
                let mut arena = Arena::new();
                let mut out = Vec::with_capacity(buf.len() * 2);
                let meta = RecordMeta { topic: "orders", partition: 0, timestamp: None, offset: 0 };
                b.iter(|| {
                    arena.reset();
                    out.clear();
                    for &(start, end) in &ranges {
                        let text = plan.apply(&buf, start, end, &meta, &arena).unwrap();
                        text.write_to(&mut out);
                        out.push(b'\n');
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

/// A row that was inserted, as Debezium tells of it: 3.4 KB of schema before it.
fn change(number: u64) -> String {
    let field = |type_: &str, name: &str| {
        format!(r#"{{"type":"{type_}","optional":false,"field":"{name}"}}"#)
    };
    let strings = |names: &[&str]| {
        names.iter().map(|name| field("string", name)).collect::<Vec<_>>().join(",")
    };
    let user = strings(&["name", "country"]);
    let row = format!(
        concat!(
            r#"[{},{},{{"type":"struct","fields":[{}],"optional":false,"field":"user"}},{},{},{},"#,
            r#"{{"type":"array","items":{{"type":"string","optional":false}},"optional":false,"#,
            r#""field":"tags"}},{}]"#
        ),
        field("int64", "id"),
        field("int64", "ts"),
        user,
        strings(&["ip", "ua"]),
        field("double", "amount"),
        field("boolean", "active"),
        strings(&["ref", "note"]),
    );
    let side = |side: &str| {
        let name = "srv.shop.events.Value";
        format!(
            r#"{{"type":"struct","fields":{row},"optional":true,"name":"{name}","field":"{side}"}}"#
        )
    };
    let text = ["version", "connector", "name", "db", "table"];
    let source = format!(
        concat!(
            r#"{{"type":"struct","fields":[{},{}],"optional":false,"#,
            r#""name":"io.debezium.connector.postgresql.Source","field":"source"}}"#
        ),
        strings(&text),
        field("int64", "ts_ms")
    );
    let transaction = format!(
        concat!(
            r#"{{"type":"struct","fields":[{},{},{}],"optional":true,"name":"event.block","#,
            r#""version":1,"field":"transaction"}}"#
        ),
        field("string", "id"),
        field("int64", "total_order"),
        field("int64", "data_collection_order"),
    );
    let (before, after) = (side("before"), side("after"));
    let (op, time) = (field("string", "op"), field("int64", "ts_ms"));
    format!(
        concat!(
            r#"{{"schema":{{"type":"struct","fields":[{},{},{},{},{},{}],"optional":false,"#,
            r#""name":"srv.shop.events.Envelope","version":2}},"payload":{{"before":null,"#,
            r#""after":{},"source":{{"version":"3.3.1.Final","connector":"postgresql","#,
            r#""name":"srv","db":"shop","table":"events","ts_ms":1700000000000}},"#,
            r#""op":"c","ts_ms":{},"transaction":null}}}}"#
        ),
        before,
        after,
        source,
        op,
        time,
        transaction,
        event(number, "", "x"),
        1_700_000_000_123 + number,
    )
}

/// Change events read, and unwrapped: about as many as a batch of 220 KB has.
fn changes(c: &mut Criterion) {
    const CHANGES: u64 = 52;
    let records: Vec<String> = (0..CHANGES).map(change).collect();
    println!("change events of {} bytes; times are of {CHANGES}", records[0].len());
    let list = millrace_transforms::transformations();
    let class = "io.debezium.transforms.ExtractNewRecordState";
    let plugin = list.iter().find(|plugin| plugin.class == class).expect("it is built in");
    let mut group = c.benchmark_group("json");
    group.throughput(Throughput::Elements(CHANGES));
    for unwrap in [false, true] {
        let name = if unwrap { "change-read+unwrap" } else { "change-read" };
        group.bench_function(name, |b| {
            let mut converter = JsonConverter::new(JsonConverterConfig::default());
            let mut step = (plugin.new)(&Default::default()).expect("no key is needed");
            let mut arena = Arena::new();
            b.iter(|| {
                arena.reset();
                for (at, record) in records.iter().enumerate() {
                    let bytes = Some(record.as_bytes());
                    let value =
                        converter.to_connect_data("t", bytes, Detail::Full, &arena).unwrap();
                    let record = Record {
                        topic: "t",
                        partition: Some(0),
                        timestamp: None,
                        key: Default::default(),
                        value,
                        headers: Default::default(),
                        origin: Origin::Sink {
                            topic: "t",
                            partition: 0,
                            offset: at as i64,
                            timestamp_type: TimestampType::CreateTime,
                        },
                    };
                    if unwrap {
                        black_box(step.apply(record, &arena).unwrap());
                    } else {
                        black_box(record);
                    }
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, stages, shapes, values, envelope, changes);
criterion_main!(benches);
