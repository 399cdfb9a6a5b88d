//! JSON text under JSON schemas of every kind, or under a schema that is part of the input: no panic,
//! bounded memory, one verdict for typed values and for JSON text, and what is read can be written.
#![no_main]

use std::rc::Rc;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use millrace_converters::converter::Detail;
use millrace_converters::json::{WriteOptions, write_value};
use millrace_converters::json_schema::{
    JsonSchemaConverter, JsonSchemaConverterConfig, JsonSchemaDataConfig,
};
use millrace_converters::registry::{
    Answer, Question, RegistrySettings, RegistryUse, SchemaKind, SchemaSource, SchemaText, WriteAs,
    frame,
};
use millrace_converters::{Arena, Converter, DataError};

const SCHEMAS: [&str; 5] = [
    r#"{"type":"object","properties":{"b":{"type":"boolean"},"i":{"type":"integer"},
        "i8":{"type":"integer","connect.type":"int8"},"d":{"type":"number"},
        "s":{"oneOf":[{"type":"null"},{"type":"string"}]},
        "a":{"type":"array","items":{"type":"object","properties":{"x":{"type":["integer","null"]}}}}}}"#,
    r#"{"type":"object","properties":{"y":{"type":"string","connect.type":"bytes"},
        "n":{"type":"string","connect.type":"bytes","title":"org.apache.kafka.connect.data.Decimal",
            "connect.parameters":{"scale":"2"}},
        "t":{"type":"integer","title":"org.apache.kafka.connect.data.Time"},
        "m":{"type":"object","connect.type":"map","additionalProperties":{"type":"number"}},
        "e":{"type":"array","connect.type":"map","items":{"type":"object","properties":{
            "key":{"type":"integer"},"value":{"type":"string","default":"d"}}}}}}"#,
    r##"{"type":"object","title":"L","properties":{"v":{"oneOf":[{"type":"integer"},
        {"type":"string"},{"$ref":"#"},{"type":"array","items":{"$ref":"#"}}]},
        "next":{"oneOf":[{"type":"null"},{"$ref":"#"}]}}}"##,
    r#"{"allOf":[{"properties":{"a":{"enum":["x","y"]}}},{"properties":{"c":{"const":1}}}]}"#,
    r#"{"type":"object","properties":{"a":{},"n":{"type":["null","integer"]},
        "u":{"oneOf":[{"type":"string"},true]},"l":{"type":"array","items":{}}}}"#,
];

struct OneSchema(Arc<str>);

impl SchemaSource for OneSchema {
    fn ask(&self, _: &Question) -> Option<Result<Arc<Answer>, DataError>> {
        let schema = SchemaText::new(SchemaKind::Json, Arc::clone(&self.0));
        Some(Ok(Arc::new(Answer { id: 1, schema: Some(schema), ..Answer::default() })))
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
    let config = JsonSchemaConverterConfig {
        indent_output: false,
        data: JsonSchemaDataConfig {
            preserve_additional_properties: *choice % 2 == 0,
            ..JsonSchemaDataConfig::default()
        },
        registry: RegistryUse {
            write_as: WriteAs::Id { id: 1, strict: given },
            schemas_cache: 10,
            ..RegistryUse::default()
        },
        read_latest: false,
        fail_invalid_schema: given,
    };
    let mut converter = JsonSchemaConverter::new(config, RegistrySettings::default());
    converter.attach(Rc::new(OneSchema(schema.into())));
    let mut bytes = Vec::new();
    frame(1, &mut bytes);
    bytes.extend_from_slice(payload);
    let (arena, text) = (Arena::new(), Arena::new());
    let full = converter.to_connect_data("t", Some(&bytes), Detail::Full, &arena);
    if !given {
        assert!(arena.allocated_bytes() <= (1 << 20) + bytes.len() * 1024);
    }
    let json = converter.to_connect_data("t", Some(&bytes), Detail::Json, &text);
    assert_eq!(full.is_ok(), json.is_ok(), "{full:?} {json:?}");
    let (Ok(read), Ok(json)) = (full, json) else { return };
    let mut out = Vec::new();
    let _ = converter.from_connect_data("t", read.schema, read.value, &mut out);
    let (mut one, mut other) = (Vec::new(), Vec::new());
    let options = WriteOptions::default();
    let typed = write_value(read.schema, read.value, &mut one, &options);
    let texts = write_value(json.schema, json.value, &mut other, &options);
    assert_eq!(typed.is_ok(), texts.is_ok());
    if typed.is_ok() {
        assert_eq!(one, other);
    }
});
