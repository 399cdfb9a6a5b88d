//! Joins and expressions, per record: the time of a pass over 500 records divided by 500.
//!
//! `cargo bench --bench tables`. The table has a million rows of about 60 bytes; keys are drawn from
//! all of it, so that rows and slots come from memory, not from a cache. `text` is the 254-byte
//! event, checked and unparsed; `map` the same parsed. `checked` is text as the path has it: the check,
//! which is part of it and also there by itself, leaves with it where stands what the step looks for.

use std::hint::black_box;
use std::io::Write;
use std::ops::Range;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use millrace_api::Config;
use millrace_api::record::{Origin, Record, TimestampType};
use millrace_api::transformation::{Side, Transformation};
use millrace_converters::json::{Checker, parse_text};
use millrace_converters::{Arena, JsonText, SchemaAndValue, Value};
use millrace_transforms::enrich::CompactTable;

const ROWS: u64 = 1_000_000;
const RECORDS: usize = 500;

fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^= mixed >> 29;
    mixed.wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 20
}

fn event(number: u64) -> String {
    let user = mixed(number) % ROWS;
    let head = format!(
        "{{\"id\":{:010},\"ts\":{},\"user\":{user},\"ip\":\"10.0.{}.{}\",\
         \"ua\":\"Mozilla/5.0 (X11; Linux x86_64)\",\"amount\":{}.5,\"tags\":[\"alpha\",\"beta\"],\
         \"by\":{{\"name\":\"{user}\",\"country\":\"DE\"}},\"note\":\"",
        1_000_000_000 + number,
        1_700_000_000_000 + number,
        number % 256,
        number / 256 % 256,
        number % 900,
    );
    format!("{head}{}\"}}", "x".repeat(252usize.saturating_sub(head.len())))
}

fn row(at: u64) -> String {
    format!(
        "\"country\":\"C{}\",\"segment\":\"segment-{}\",\"score\":{}",
        at % 200,
        at % 7,
        at % 1000
    )
}

fn transformation(class: &str, settings: &[(&str, &str)]) -> Box<dyn Transformation> {
    let config: Config =
        settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let list = millrace_transforms::transformations();
    let plugin = list.iter().find(|plugin| plugin.class == class).expect("it is built in");
    (plugin.new)(&config).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn record(value: Value<'_>) -> Record<'_> {
    Record {
        topic: "events",
        partition: Some(0),
        timestamp: Some(1_700_000_000_000),
        key: SchemaAndValue::default(),
        value: SchemaAndValue { schema: None, value },
        headers: &[],
        origin: Origin::Sink {
            topic: "events",
            partition: 0,
            offset: 7,
            timestamp_type: TimestampType::CreateTime,
        },
    }
}

/// Batches of records, each with other keys, until the table's rows have had their turn.
fn batches(arena: &Arena, parsed: bool) -> Vec<Vec<Record<'_>>> {
    let one = |number: u64| {
        let text = arena.alloc(JsonText::verbatim(arena.alloc_bytes(event(number).as_bytes())));
        if parsed {
            record(parse_text(text, arena).expect("JSON"))
        } else {
            record(Value::Json(text))
        }
    };
    let batch =
        |batch: u64| (0..RECORDS as u64).map(|at| one(batch * RECORDS as u64 + at)).collect();
    (0..400).map(batch).collect()
}

fn lookup(c: &mut Criterion) {
    let mut table = CompactTable::new(usize::MAX);
    for at in 0..ROWS {
        table.insert(at.to_string().as_bytes(), row(at).as_bytes()).expect("room");
    }
    println!("{} rows in {} bytes: {} a row", ROWS, table.bytes(), table.bytes() / ROWS as usize);
    let keys: Vec<String> = (0..200_000).map(|number| (mixed(number) % ROWS).to_string()).collect();
    let mut group = c.benchmark_group("table");
    group.throughput(Throughput::Elements(RECORDS as u64));
    let mut batch = keys.chunks(RECORDS).cycle();
    group.bench_function("lookup in a million rows", |bencher| {
        bencher.iter(|| {
            for key in batch.next().expect("it cycles") {
                black_box(table.get(key.as_bytes()));
            }
        });
    });
    group.finish();
}

/// The records through the step, sixteen shown to it at a time.
fn in_groups<'a>(step: &mut dyn Transformation, records: &[Record<'a>], arena: &'a Arena) {
    for records in records.chunks(16) {
        let mut group = arena.vec();
        group.extend_from_slice_copy(records);
        step.prefetch(&mut group, arena);
        for record in group {
            black_box(step.apply(record, arena).expect("it goes well"));
        }
    }
}

/// The record of a document among `buffer`, checked as the sink's chain does it.
fn checked<'a>(
    checker: &mut Checker,
    buffer: &'a [u8],
    place: &Range<usize>,
    arena: &'a Arena,
) -> Record<'a> {
    let text = checker.text(buffer, place.start, place.end, arena).expect("JSON");
    record(Value::Json(text.expect("an object")))
}

/// From the bytes of a document to the joined record, and the first half of it by itself.
fn from_bytes(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    step: &mut dyn Transformation,
    texts: &[Vec<Record<'_>>],
) {
    let mut buffer = Vec::new();
    let mut batches = Vec::new();
    for records in texts {
        let mut places = Vec::new();
        for record in records {
            let Value::Json(text) = record.value.value else { panic!("the events are text") };
            let start = buffer.len();
            text.write_to(&mut buffer);
            places.push(start..buffer.len());
        }
        batches.push(places);
    }
    buffer.resize(buffer.len() + 128, b' ');
    let mut checker = Checker::new().seeking(step.sought(Side::Value));
    let mut arena = Arena::new();
    for joins in [false, true] {
        let mut batch = batches.iter().cycle();
        let what = if joins { "checked in groups" } else { "the check alone" };
        group.bench_function(format!("{name}/{what}"), |bencher| {
            bencher.iter(|| {
                for places in batch.next().expect("it cycles").chunks(16) {
                    let mut group = arena.vec();
                    group.extend(
                        places.iter().map(|place| checked(&mut checker, &buffer, place, &arena)),
                    );
                    if !joins {
                        black_box(&group);
                        continue;
                    }
                    step.prefetch(&mut group, &arena);
                    for record in group {
                        black_box(step.apply(record, &arena).expect("it goes well"));
                    }
                }
                arena.reset();
            });
        });
    }
}

/// Name, class, settings.
type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

fn apply(c: &mut Criterion) {
    let mut file = tempfile::Builder::new().suffix(".csv").tempfile().expect("a file");
    let mut csv = String::from("user,country,segment,score\n");
    for at in 0..ROWS {
        csv.push_str(&format!("{at},C{},segment-{},{}\n", at % 200, at % 7, at % 1000));
    }
    file.write_all(csv.as_bytes()).expect("written");
    let path = file.path().to_str().expect("a path").to_owned();
    let enrich: &[(&str, &str)] = &[
        ("key", "value.user"),
        ("table.file", &path),
        ("table.key", "user"),
        ("table.types", "score:int32"),
        ("fields", "country,segment,score"),
    ];
    let below = [&[("key", "value.by.name")], &enrich[1..]].concat();
    let cases: [Case<'_>; 6] = [
        ("enrich", "millrace.Enrich", enrich),
        ("enrich below", "millrace.Enrich", &below),
        ("set", "millrace.Expression", &[("set.total", "value.amount * 2")]),
        ("drop", "millrace.Expression", &[("drop", "value.amount < 0 || value.ip == '1.1.1.1'")]),
        ("topic", "millrace.Expression", &[("topic", "'events-' + value.tags[0]")]),
        (
            "three sets",
            "millrace.Expression",
            &[
                ("set.agent", "value.ua.startsWith('Mozilla') ? 'browser' : 'other'"),
                ("set.total", "value.amount * 2"),
                ("set.where", "value.ip + '/' + string(value.user)"),
            ],
        ),
    ];
    let records = Arena::new();
    let (text, map) = (batches(&records, false), batches(&records, true));
    let mut group = c.benchmark_group("transform");
    group.throughput(Throughput::Elements(RECORDS as u64));
    for (name, class, settings) in cases {
        for (form, batches) in [("text", &text), ("map", &map)] {
            let mut step = transformation(class, settings);
            if let Some(used) = step.table() {
                used.table.fill_now().expect("a table");
            }
            let mut arena = Arena::new();
            let mut batch = batches.iter().cycle();
            group.bench_function(format!("{name}/{form}"), |bencher| {
                bencher.iter(|| {
                    for record in batch.next().expect("it cycles") {
                        black_box(step.apply(*record, &arena).expect("it goes well"));
                    }
                    arena.reset();
                });
            });
            if !step.prefetches() {
                continue;
            }
            // As the worker does it.
            group.bench_function(format!("{name}/{form} in groups"), |bencher| {
                bencher.iter(|| {
                    in_groups(&mut *step, batch.next().expect("it cycles"), &arena);
                    arena.reset();
                });
            });
            if form == "text" {
                from_bytes(&mut group, name, &mut *step, &text);
            }
        }
    }
    group.finish();
}

criterion_group!(benches, lookup, apply);
criterion_main!(benches);
