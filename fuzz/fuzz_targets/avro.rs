//! Avro bytes under schemas of every kind, or under a schema that is part of the input: no panic,
//! bounded memory, one verdict for typed values and for JSON text, and what is read can be written.
#![no_main]

use std::rc::Rc;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use millrace_converters::avro::{AvroConverter, AvroConverterConfig, AvroDataConfig};
use millrace_converters::converter::Detail;
use millrace_converters::registry::{
    Answer, Question, RegistrySettings, RegistryUse, SchemaKind, SchemaSource, SchemaText, WriteAs,
    frame,
};
use millrace_converters::{Arena, Converter, DataError, SchemaAndValue, Value};

const SCHEMAS: [&str; 6] = [
    r#"{"type":"record","name":"a.R","fields":[{"name":"b","type":"boolean"},{"name":"i","type":"int"},
        {"name":"i8","type":{"type":"int","connect.type":"int8"}},{"name":"l","type":"long"},
        {"name":"f","type":"float"},{"name":"d","type":"double"},{"name":"s","type":"string"},
        {"name":"y","type":"bytes"},{"name":"x","type":{"type":"fixed","name":"F","size":3}},
        {"name":"e","type":{"type":"enum","name":"E","symbols":["A","B","C"]}},
        {"name":"t","type":{"type":"int","logicalType":"time-millis"}},
        {"name":"n","type":{"type":"bytes","logicalType":"decimal","scale":2,"precision":9}}]}"#,
    r#"{"type":"record","name":"L","fields":[{"name":"v","type":"long"},
        {"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"]}},
        {"name":"all","type":{"type":"array","items":"L"}},{"name":"next","type":["null","L"]}]}"#,
    r#"{"type":"array","items":{"type":"map","values":["null","int","string",
        {"type":"record","name":"U","fields":[{"name":"z","type":["string"]}]}]}}"#,
    r#"{"type":"array","items":{"type":"record","name":"Empty","fields":[]}}"#,
    r#"{"type":"record","name":"Anything","namespace":"io.confluent.connect.avro","fields":[
        {"name":"boolean","type":["null","boolean"]},{"name":"bytes","type":["null","bytes"]},
        {"name":"double","type":["null","double"]},{"name":"float","type":["null","float"]},
        {"name":"int","type":["null","int"]},{"name":"long","type":["null","long"]},
        {"name":"string","type":["null","string"]},
        {"name":"array","type":["null",{"type":"array","items":"Anything"}]},
        {"name":"map","type":["null",{"type":"array","items":{"type":"record","name":"MapEntry",
            "fields":[{"name":"key","type":"Anything"},{"name":"value","type":"Anything"}]}}]}]}"#,
    r#"{"type":"record","name":"Flat","fields":[{"name":"s","type":["null","string"]},
        {"name":"i","type":"int"},{"name":"d","type":["double","null"]},{"name":"y","type":"bytes"},
        {"name":"e","type":{"type":"enum","name":"E","symbols":["A","B","C"]}},
        {"name":"r","type":["null",{"type":"record","name":"In","fields":[{"name":"l","type":"long"},
            {"name":"t","type":{"type":"array","items":"string"}}]}]},
        {"name":"b","type":"boolean"}]}"#,
];

struct OneSchema(Arc<str>);

impl SchemaSource for OneSchema {
    fn ask(&self, _: &Question) -> Option<Result<Arc<Answer>, DataError>> {
        let schema = SchemaText::new(SchemaKind::Avro, Arc::clone(&self.0));
        Some(Ok(Arc::new(Answer { id: 1, schema: Some(schema), ..Answer::default() })))
    }
}

/// The text of a value that is one.
fn shown(read: &Result<SchemaAndValue<'_>, DataError>) -> Option<Vec<u8>> {
    match read {
        Ok(SchemaAndValue { value: Value::Json(text), .. }) => {
            let mut out = Vec::new();
            text.write_to(&mut out);
            Some(out)
        }
        _ => None,
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    let (schema, payload) = match SCHEMAS.get(usize::from(*choice)) {
        Some(schema) => (*schema, rest),
        None => {
            let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
            let Ok(schema) = std::str::from_utf8(&rest[..end]) else { return };
            (schema, rest.get(end + 1..).unwrap_or_default())
        }
    };
    let given = usize::from(*choice) >= SCHEMAS.len();
    let config = AvroConverterConfig {
        data: AvroDataConfig { enhanced_avro_schema_support: true, ..AvroDataConfig::default() },
        registry: RegistryUse {
            write_as: WriteAs::Id { id: 1, strict: false },
            schemas_cache: 10,
            ..RegistryUse::default()
        },
    };
    let mut converter = AvroConverter::new(config, RegistrySettings::default());
    converter.attach(Rc::new(OneSchema(schema.into())));
    let mut bytes = Vec::new();
    frame(1, &mut bytes);
    bytes.extend_from_slice(payload);
    let arena = Arena::new();
    let full = converter.to_connect_data("t", Some(&bytes), Detail::Full, &arena);
    if !given {
        // A byte can stand for an optional record, which is a struct with its fields.
        assert!(arena.allocated_bytes() <= (1 << 20) + bytes.len() * 512);
    }
    let text = Arena::new();
    let json = converter.to_connect_data("t", Some(&bytes), Detail::Json, &text);
    assert_eq!(full.is_ok(), json.is_ok(), "{full:?} {json:?}");
    // Once more with bytes behind it, which a flat program looks at.
    let whole = [&bytes[..], &[choice.rotate_left(3); 128]].concat();
    let mut again = SchemaAndValue::default();
    let read = converter.to_json_at("t", &whole, 0..bytes.len(), &text, &mut again);
    assert_eq!(shown(&json), shown(&read.map(|()| again)));
    if let Ok(read) = full {
        let mut out = Vec::new();
        let written = converter.from_connect_data("t", read.schema, read.value, &mut out);
        if !given {
            written.expect("what was read can be written");
        }
    }
});
