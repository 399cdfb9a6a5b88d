//! Each transform's general path, and the generator, per record.
//!
//! `cargo bench --bench transforms`; the figure of a record is the time of a pass over 500 records of
//! one batch divided by 500. `map` is the 254-byte event parsed, `text` the same unparsed, `struct`
//! the same with its schema.

use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millrace_api::Config;
use millrace_api::connector::NewTask;
use millrace_api::record::{Origin, Record, TimestampType};
use millrace_api::source::{SourceRecord, SourceTask, SourceTaskContext};
use millrace_api::transformation::Transformation;
use millrace_converters::json::parse_text;
use millrace_converters::{Arena, SchemaAndValue, Value};

fn config(settings: &[(&str, &str)]) -> Config {
    settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("the future waits"),
    }
}

fn generator(settings: &[(&str, &str)]) -> Box<dyn SourceTask> {
    let list = millrace_connectors::plugins();
    let plugin = list.iter().find(|plugin| plugin.class == "millrace.DatagenSourceConnector");
    let NewTask::Source(new) = plugin.expect("the generator is built in").task else {
        panic!("the generator is a source")
    };
    let mut task = new();
    now(task.start(&config(settings), SourceTaskContext::new("bench", |_| None))).unwrap();
    task
}

/// One poll's records, as a sink would see them.
fn batch<'a>(format: &str, arena: &'a Arena) -> Vec<Record<'a>> {
    let settings = [("topic", "events"), ("quickstart", "events"), ("format", format)];
    let mut out: Vec<SourceRecord<'_>> = Vec::new();
    now(generator(&settings).poll(arena, &mut out)).unwrap();
    out.iter()
        .enumerate()
        .map(|(at, one)| Record {
            timestamp: Some(1_700_000_000_000 + at as i64),
            partition: Some(0),
            origin: Origin::Sink {
                topic: "events",
                partition: 0,
                offset: at as i64,
                timestamp_type: TimestampType::CreateTime,
            },
            ..one.record
        })
        .collect()
}

fn transformation(class: &str, settings: &[(&str, &str)]) -> Box<dyn Transformation> {
    let class = match class.starts_with("io.") {
        true => class.to_owned(),
        false => format!("org.apache.kafka.connect.transforms.{class}"),
    };
    let list = millrace_transforms::transformations();
    let plugin = list.iter().find(|plugin| plugin.class == class).expect("it is built in");
    (plugin.new)(&config(settings)).unwrap_or_else(|errors| panic!("{errors:?}"))
}

const CHAIN: &[(&str, &[(&str, &str)])] = &[
    ("InsertField$Value", &[("static.field", "source"), ("static.value", "kafka")]),
    ("MaskField$Value", &[("fields", "ip")]),
    ("ReplaceField$Value", &[("exclude", "ref"), ("renames", "ua:user_agent")]),
    ("ExtractField$Value", &[("field", "user")]),
    ("Cast$Value", &[("spec", "id:string")]),
    ("HoistField$Value", &[("field", "event")]),
    ("ValueToKey", &[("fields", "id")]),
    ("HeaderFrom$Value", &[("fields", "id"), ("headers", "id"), ("operation", "copy")]),
    (
        "io.confluent.connect.transforms.Filter$Value",
        &[("filter.condition", "$[?(@.ip != 'x')]"), ("filter.type", "include")],
    ),
    ("io.confluent.connect.transforms.ExtractTopic$Value", &[("field", "ip")]),
    ("RegexRouter", &[("regex", "(.*)"), ("replacement", "x-$1")]),
    ("TimestampRouter", &[]),
];

fn transforms(c: &mut Criterion) {
    let records = Arena::new();
    let text = batch("json", &records);
    let structures = batch("struct", &records);
    let maps: Vec<_> = text
        .iter()
        .map(|record| {
            let Value::Json(text) = record.value.value else { panic!("the events are text") };
            let value = parse_text(text, &records).unwrap();
            Record { value: SchemaAndValue { schema: None, value }, ..*record }
        })
        .collect();
    let mut group = c.benchmark_group("transforms");
    group.throughput(Throughput::Elements(text.len() as u64));
    for (class, settings) in CHAIN {
        for (form, records) in [("map", &maps), ("text", &text), ("struct", &structures)] {
            let mut step = transformation(class, settings);
            let mut arena = Arena::new();
            group.bench_function(format!("{class}/{form}"), |bencher| {
                bencher.iter(|| {
                    for record in records {
                        black_box(step.apply(*record, &arena).unwrap());
                    }
                    arena.reset();
                });
            });
        }
    }
    group.finish();
}

/// Eight transforms, all of which may be one pass.
const EIGHT: &[(&str, &[(&str, &str)])] = &[
    ("InsertField$Value", &[("static.field", "source"), ("static.value", "kafka")]),
    ("InsertField$Value", &[("offset.field", "offset")]),
    ("MaskField$Value", &[("fields", "ip")]),
    ("ReplaceField$Value", &[("exclude", "ref"), ("renames", "ua:user_agent")]),
    ("Cast$Value", &[("spec", "id:string")]),
    (
        "TimestampConverter$Value",
        &[("field", "ts"), ("target.type", "string"), ("format", "yyyy-MM-dd'T'HH:mm:ss")],
    ),
    ("MaskField$Value", &[("fields", "note"), ("replacement", "-")]),
    ("HoistField$Value", &[("field", "event")]),
];

/// Transforms of schemaless JSON as the chain runs them: one pass over the text with learned
/// shapes. `none` is the check alone.
fn patches(c: &mut Criterion) {
    use millrace_converters::json::Checker;
    use millrace_converters::json::patch::{PatchPlan, RecordMeta};
    let records = Arena::new();
    let mut buffer = Vec::new();
    let mut places = Vec::new();
    for record in batch("json", &records) {
        let Value::Json(text) = record.value.value else { panic!("the events are text") };
        let start = buffer.len();
        text.write_to(&mut buffer);
        places.push((start, buffer.len()));
    }
    buffer.resize(buffer.len() + 128, b' ');
    let mut group = c.benchmark_group("patch");
    group.throughput(Throughput::Elements(places.len() as u64));
    let mut checker = Checker::default();
    group.bench_function("none", |bencher| {
        bencher.iter(|| {
            for (start, end) in &places {
                black_box(checker.check(&buffer, *start, *end).unwrap());
            }
        });
    });
    let alone = EIGHT.iter().map(|one| (one.0.to_owned(), vec![*one]));
    let extract: (&str, &[(&str, &str)]) = ("ExtractField$Value", &[("field", "user")]);
    let more =
        [("ExtractField$Value".to_owned(), vec![extract]), ("eight".to_owned(), EIGHT.to_vec())];
    for (at, (name, list)) in alone.chain(more).enumerate() {
        let steps: Vec<_> = list.iter().map(|(class, own)| transformation(class, own)).collect();
        let ops = steps.iter().flat_map(|step| step.json_ops().expect("operations").ops);
        let ops: Vec<_> = ops.collect();
        let mut plan = PatchPlan::compile(&ops).expect("they go together");
        let mut arena = Arena::new();
        group.bench_function(format!("{at} {name}"), |bencher| {
            bencher.iter(|| {
                for (offset, (start, end)) in places.iter().enumerate() {
                    let (topic, timestamp) = ("events", Some(1_700_000_000_000));
                    let offset = offset as i64;
                    let meta = RecordMeta { topic, partition: 0, timestamp, offset };
                    black_box(plan.apply(&buffer, *start, *end, &meta, &arena).unwrap());
                }
                arena.reset();
            });
        });
    }
    group.finish();
}

/// A change event without schemas, of which the row is cut out.
fn unwrapping(c: &mut Criterion) {
    let text = r#"{"before":null,"after":{"id":1004,"first_name":"Anne","last_name":"Kretchmar","email":"annek@noanswer.org"},"source":{"version":"3.3.1.Final","connector":"postgresql","name":"srv","ts_ms":1700000000000,"db":"shop","table":"customers","lsn":24023128},"op":"u","ts_ms":1700000000123}"#;
    let records = Arena::new();
    let json = records.alloc(millrace_converters::JsonText::verbatim(text.as_bytes()));
    let base = batch("json", &records)[0];
    let value = SchemaAndValue { schema: None, value: Value::Json(json) };
    let record = Record { value, ..base };
    let class = "io.debezium.transforms.ExtractNewRecordState";
    let mut group = c.benchmark_group("unwrap");
    for (name, own) in [
        ("row", &[("millrace.unwrap.schemaless", "true")][..]),
        (
            "row and two fields",
            &[("millrace.unwrap.schemaless", "true"), ("add.fields", "op,source.db")],
        ),
        ("passed", &[]),
    ] {
        let mut step = transformation(class, own);
        let mut arena = Arena::new();
        group.throughput(Throughput::Elements(500));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                for _ in 0..500 {
                    black_box(step.apply(record, &arena).unwrap());
                }
                arena.reset();
            });
        });
    }
    group.finish();
}

fn datagen(c: &mut Criterion) {
    let mut group = c.benchmark_group("datagen");
    for (name, format) in [("events", "json"), ("events", "struct"), ("users", "json")] {
        let mut task = generator(&[("topic", "events"), ("quickstart", name), ("format", format)]);
        let mut arena = Arena::new();
        group.throughput(Throughput::Elements(500));
        group.bench_function(format!("{name}/{format}"), |bencher| {
            bencher.iter(|| {
                let mut out = Vec::with_capacity(500);
                now(task.poll(&arena, &mut out)).unwrap();
                assert_eq!(black_box(&out).len(), 500);
                drop(out);
                arena.reset();
            });
        });
    }
    group.finish();
}

criterion_group!(benches, transforms, patches, unwrapping, datagen);
criterion_main!(benches);
