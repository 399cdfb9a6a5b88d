//! Avro records of a schema registry, as sinks read them: to typed values, and straight to JSON text.
//! The record is the 254-byte JSON event of the other benches (131 bytes of Avro), with a struct and
//! an array in it. `write` is the way back, as sources take it.
//!
//! criterion reports elements per second; the inverse is the time of one record.

mod registry;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millrace_converters::avro::{AvroConverter, AvroConverterConfig, AvroDataConfig};
use millrace_converters::converter::Detail;
use millrace_converters::registry::{RegistrySettings, RegistryUse, SchemaKind};
use millrace_converters::{Arena, Converter};

use registry::{RECORDS, batch, one_schema, read, read_at, write};

const SCHEMA: &str = r#"{"type":"record","name":"Event","fields":[
    {"name":"id","type":"long"},{"name":"ts","type":"long"},
    {"name":"user","type":{"type":"record","name":"User","fields":[
        {"name":"name","type":"string"},{"name":"country","type":"string"}]}},
    {"name":"ip","type":"string"},{"name":"ua","type":"string"},
    {"name":"amount","type":"double"},{"name":"tags","type":{"type":"array","items":"string"}},
    {"name":"ref","type":["null","string"],"default":null},
    {"name":"note","type":["null","string"],"default":null}]}"#;

fn converter() -> AvroConverter {
    let config =
        AvroConverterConfig { data: AvroDataConfig::default(), registry: RegistryUse::default() };
    let mut converter = AvroConverter::new(config, RegistrySettings::default());
    converter.attach(one_schema(SchemaKind::Avro, SCHEMA));
    converter
}

fn long(value: i64, out: &mut Vec<u8>) {
    let mut bits = (value << 1) as u64 ^ (value >> 63) as u64;
    while bits >= 0x80 {
        out.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    out.push(bits as u8);
}

fn string(text: &str, out: &mut Vec<u8>) {
    long(text.len() as i64, out);
    out.extend_from_slice(text.as_bytes());
}

fn record(number: u64) -> Vec<u8> {
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut out = vec![0, 0, 0, 0, 1];
    long(1_000_000_000 + number as i64, &mut out);
    long(1_700_000_000_000 + number as i64, &mut out);
    string(&format!("user-{:06}", mixed % 1_000_000), &mut out);
    string("DE", &mut out);
    string(&format!("10.{}.{}.{}", mixed % 256, (mixed >> 8) % 256, (mixed >> 16) % 256), &mut out);
    string("Mozilla/5.0 (X11; Linux x86_64)", &mut out);
    let amount = (10_000 + mixed % 90_000) as f64 / 100.0;
    out.extend_from_slice(&amount.to_le_bytes());
    long(2, &mut out);
    string("alpha", &mut out);
    string("beta", &mut out);
    out.push(0);
    long(1, &mut out);
    string(&format!("https://example.org/{mixed:016x}"), &mut out);
    long(1, &mut out);
    string("xxxxxxxxxxxxxxx", &mut out);
    out
}

fn both_ways(c: &mut Criterion) {
    let records: Vec<Vec<u8>> = (0..RECORDS as u64).map(record).collect();
    let bytes: usize = records.iter().map(Vec::len).sum();
    println!("{} bytes a record", bytes / RECORDS);
    let (mut converter, mut arena) = (converter(), Arena::new());
    let mut group = c.benchmark_group("avro");
    group.throughput(Throughput::Elements(RECORDS as u64));
    for (name, detail) in [("typed values", Detail::Full), ("JSON text", Detail::Json)] {
        read(&mut group, name, &mut converter, detail, &records);
    }
    let (batch, places) = batch(&records);
    let mut out = Vec::with_capacity(1 << 20);
    group.bench_function("JSON lines", |b| {
        b.iter(|| {
            arena.reset();
            out.clear();
            for place in &places {
                let read = read_at(&mut converter, Detail::Json, &batch, place, &arena);
                if let millrace_converters::Value::Json(text) = read.value {
                    text.write_to(&mut out);
                    out.push(b'\n');
                }
            }
            black_box(out.len());
        });
    });
    write(&mut group, &mut self::converter(), &mut converter, &records);
    group.finish();
}

criterion_group!(benches, both_ways);
criterion_main!(benches);
