//! JSON under a schema of a registry, as sinks read it: to typed values, and as the record's own text
//! where the sink wants JSON. The record is the 254-byte event of the other benches, once in the
//! order of its schema and once in another, which costs the second a way over typed values. `write` is
//! the way back, as sources take it; `validated` is with `json.fail.invalid.schema`.
//!
//! criterion reports elements per second; the inverse is the time of one record.

mod registry;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millrace_converters::Converter;
use millrace_converters::converter::Detail;
use millrace_converters::json_schema::{
    JsonSchemaConverter, JsonSchemaConverterConfig, JsonSchemaDataConfig,
};
use millrace_converters::registry::{RegistrySettings, RegistryUse, SchemaKind};

use registry::{RECORDS, one_schema, read, write};

const SCHEMA: &str = r#"{"type":"object","title":"Event","properties":{
    "id":{"type":"integer","connect.type":"int64","connect.index":0},
    "ts":{"type":"integer","connect.type":"int64","connect.index":1},
    "user":{"type":"object","title":"User","connect.index":2,"properties":{
        "name":{"type":"string","connect.index":0},"country":{"type":"string","connect.index":1}}},
    "ip":{"type":"string","connect.index":3},"ua":{"type":"string","connect.index":4},
    "amount":{"type":"number","connect.type":"float64","connect.index":5},
    "tags":{"type":"array","items":{"type":"string"},"connect.index":6},
    "ref":{"oneOf":[{"type":"null"},{"type":"string"}],"connect.index":7},
    "note":{"oneOf":[{"type":"null"},{"type":"string"}],"connect.index":8}}}"#;

fn converter(fail_invalid_schema: bool) -> JsonSchemaConverter {
    let config = JsonSchemaConverterConfig {
        data: JsonSchemaDataConfig::default(),
        registry: RegistryUse::default(),
        read_latest: false,
        fail_invalid_schema,
        indent_output: false,
    };
    let mut converter = JsonSchemaConverter::new(config, RegistrySettings::default());
    converter.attach(one_schema(SchemaKind::Json, SCHEMA));
    converter
}

fn record(number: u64, in_order: bool) -> Vec<u8> {
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let numbers =
        format!(r#""id":{},"ts":{}"#, 1_000_000_000 + number, 1_700_000_000_000_u64 + number);
    let rest = format!(
        r#""user":{{"name":"user-{:06}","country":"DE"}},"ip":"10.{}.{}.{}","ua":"Mozilla/5.0 (X11; Linux x86_64)","amount":{}.5,"tags":["alpha","beta"],"ref":"https://example.org/{mixed:016x}","note":"xxxxxxxxxxxxxxx""#,
        mixed % 1_000_000,
        mixed % 256,
        (mixed >> 8) % 256,
        (mixed >> 16) % 256,
        100 + mixed % 900,
    );
    let text = match in_order {
        true => format!("{{{numbers},{rest}}}"),
        false => format!("{{{rest},{numbers}}}"),
    };
    [&[0, 0, 0, 0, 1], text.as_bytes()].concat()
}

fn records(in_order: bool) -> Vec<Vec<u8>> {
    (0..RECORDS as u64).map(|number| record(number, in_order)).collect()
}

fn both_ways(c: &mut Criterion) {
    let mut group = c.benchmark_group("json_schema");
    group.throughput(Throughput::Elements(RECORDS as u64));
    let lanes = [
        ("typed values", Detail::Full, true, false),
        ("JSON text", Detail::Json, true, false),
        ("JSON text, another order", Detail::Json, false, false),
        ("typed values, validated", Detail::Full, true, true),
    ];
    for (name, detail, in_order, validated) in lanes {
        read(&mut group, name, &mut converter(validated), detail, &records(in_order));
    }
    write(&mut group, &mut converter(false), &mut converter(false), &records(true));
    group.finish();
}

criterion_group!(benches, both_ways);
criterion_main!(benches);
