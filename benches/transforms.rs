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
    let class = format!("org.apache.kafka.connect.transforms.{class}");
    let list = millrace_transforms::transformations();
    let plugin = list.iter().find(|plugin| plugin.class == class).expect("it is built in");
    (plugin.new)(&config(settings)).unwrap_or_else(|errors| panic!("{errors:?}"))
}

const CHAIN: &[(&str, &[(&str, &str)])] = &[
    ("InsertField$Value", &[("static.field", "source"), ("static.value", "kafka")]),
    ("MaskField$Value", &[("fields", "ip")]),
    ("ReplaceField$Value", &[("exclude", "ref"), ("renames", "ua:user_agent")]),
    ("ExtractField$Value", &[("field", "user")]),
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

criterion_group!(benches, transforms, datagen);
criterion_main!(benches);
