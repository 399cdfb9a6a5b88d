//! Protobuf records of a schema registry, as sinks read them, and `write`, the way back, as sources
//! take it. The record is the event of the other benches (some 140 bytes of Protobuf), with a message
//! and a list in it.
//!
//! criterion reports elements per second; the inverse is the time of one record.

mod registry;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millrace_converters::Converter;
use millrace_converters::converter::Detail;
use millrace_converters::protobuf::{
    ProtobufConverter, ProtobufConverterConfig, ProtobufDataConfig,
};
use millrace_converters::registry::{RegistrySettings, RegistryUse, SchemaKind};

use registry::{RECORDS, one_schema, read, write};

const SCHEMA: &str = r#"syntax = "proto3";
message Event {
  int64 id = 1; int64 ts = 2;
  User user = 3;
  string ip = 4; string ua = 5; double amount = 6;
  repeated string tags = 7;
  optional string ref = 8; optional string note = 9;
}
message User { string name = 1; string country = 2; }
"#;

fn converter() -> ProtobufConverter {
    let config = ProtobufConverterConfig {
        data: ProtobufDataConfig::default(),
        registry: RegistryUse::default(),
    };
    let mut converter = ProtobufConverter::new(config, RegistrySettings::default());
    converter.attach(one_schema(SchemaKind::Protobuf, SCHEMA));
    converter
}

fn varint(mut bits: u64, out: &mut Vec<u8>) {
    while bits >= 0x80 {
        out.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    out.push(bits as u8);
}

fn number(field: u8, value: u64, out: &mut Vec<u8>) {
    out.push(field << 3);
    varint(value, out);
}

fn bytes(field: u8, value: &[u8], out: &mut Vec<u8>) {
    out.push(field << 3 | 2);
    varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

fn record(of: u64) -> Vec<u8> {
    let mixed = of.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    // Of the registry's wire format: its id, and the first message.
    let mut out = vec![0, 0, 0, 0, 1, 0];
    number(1, 1_000_000_000 + of, &mut out);
    number(2, 1_700_000_000_000 + of, &mut out);
    let mut user = Vec::new();
    bytes(1, format!("user-{:06}", mixed % 1_000_000).as_bytes(), &mut user);
    bytes(2, b"DE", &mut user);
    bytes(3, &user, &mut out);
    let ip = format!("10.{}.{}.{}", mixed % 256, (mixed >> 8) % 256, (mixed >> 16) % 256);
    bytes(4, ip.as_bytes(), &mut out);
    bytes(5, b"Mozilla/5.0 (X11; Linux x86_64)", &mut out);
    out.push(6 << 3 | 1);
    out.extend_from_slice(&((10_000 + mixed % 90_000) as f64 / 100.0).to_le_bytes());
    bytes(7, b"alpha", &mut out);
    bytes(7, b"beta", &mut out);
    bytes(8, format!("https://example.org/{mixed:016x}").as_bytes(), &mut out);
    bytes(9, b"xxxxxxxxxxxxxxx", &mut out);
    out
}

fn both_ways(c: &mut Criterion) {
    let records: Vec<Vec<u8>> = (0..RECORDS as u64).map(record).collect();
    let total: usize = records.iter().map(Vec::len).sum();
    println!("{} bytes a record", total / RECORDS);
    let mut group = c.benchmark_group("protobuf");
    group.throughput(Throughput::Elements(RECORDS as u64));
    read(&mut group, "typed values", &mut converter(), Detail::Full, &records);
    write(&mut group, &mut converter(), &mut converter(), &records);
    group.finish();
}

criterion_group!(benches, both_ways);
criterion_main!(benches);
