//! Protobuf bytes under schemas of every kind, or under a `.proto` text that is part of the input: no
//! panic, bounded memory, and what is written of what was read can be read and comes out the same.
#![no_main]

use std::rc::Rc;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use millrace_converters::converter::Detail;
use millrace_converters::protobuf::{
    ProtobufConverter, ProtobufConverterConfig, ProtobufDataConfig,
};
use millrace_converters::registry::{
    Answer, Question, RegistrySettings, RegistryUse, SchemaKind, SchemaSource, SchemaText, WriteAs,
    frame,
};
use millrace_converters::{Arena, Converter, DataError};

const SCHEMAS: [&str; 4] = [
    r#"syntax = "proto3"; message M { double a = 1; float b = 2; int32 c = 3; int64 d = 4;
        uint32 e = 5; uint64 f = 6; sint32 g = 7; sint64 h = 8; fixed32 i = 9; fixed64 j = 10;
        sfixed32 k = 11; sfixed64 l = 12; bool m = 13; string n = 14; bytes o = 15;
        E p = 16; optional int32 q = 17; repeated sint64 r = 18; repeated fixed32 s = 19;
        repeated E t = 20; enum E { X = 0; Y = 5; Z = -1; } }"#,
    r#"syntax = "proto3"; message M { string name = 1; M next = 2; repeated M all = 3;
        map<string, M> by = 4; oneof x { M one = 5; string two = 6; In three = 7; }
        message In { M back = 1; map<int32, bytes> blobs = 2; } }"#,
    r#"syntax = "proto2"; message M { required int32 r = 1; optional string s = 2 [default = "d"];
        repeated int32 l = 3; optional E e = 4; enum E { A = 3; B = 1; } }"#,
    r#"syntax = "proto3"; import "google/protobuf/timestamp.proto"; import "google/type/date.proto";
        import "google/type/timeofday.proto"; import "confluent/type/decimal.proto";
        import "google/protobuf/struct.proto"; import "google/protobuf/wrappers.proto";
        message M { google.protobuf.Timestamp a = 1; google.type.Date b = 2;
        google.type.TimeOfDay c = 3; repeated confluent.type.Decimal d = 4;
        google.protobuf.Struct e = 5; google.protobuf.StringValue f = 6; }"#,
];

struct OneSchema(Arc<str>);

impl SchemaSource for OneSchema {
    fn ask(&self, _: &Question) -> Option<Result<Arc<Answer>, DataError>> {
        let schema = SchemaText::new(SchemaKind::Protobuf, Arc::clone(&self.0));
        Some(Ok(Arc::new(Answer { id: 1, schema: Some(schema), ..Answer::default() })))
    }
}

fuzz_target!(|data: &[u8]| {
    let [choice, keys, rest @ ..] = data else { return };
    let (schema, payload) = match SCHEMAS.get(usize::from(*choice)) {
        Some(schema) => (*schema, rest),
        None => {
            let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
            let Ok(schema) = std::str::from_utf8(&rest[..end]) else { return };
            (schema, rest.get(end + 1..).unwrap_or_default())
        }
    };
    let key = |bit: u8| keys & (1 << bit) != 0;
    let data = ProtobufDataConfig {
        enhanced_protobuf_schema_support: key(0),
        int_for_enums: key(1),
        optional_for_nullables: key(2),
        optional_for_proto2: !key(3),
        wrapper_for_nullables: key(4),
        generate_struct_for_nulls: key(5),
        generate_index_for_unions: !key(6),
        flatten_unions: key(7),
        ..ProtobufDataConfig::default()
    };
    let config = ProtobufConverterConfig {
        data,
        registry: RegistryUse {
            write_as: WriteAs::Id { id: 1, strict: false },
            schemas_cache: 10,
            ..RegistryUse::default()
        },
    };
    let mut converter = ProtobufConverter::new(config, RegistrySettings::default());
    converter.attach(Rc::new(OneSchema(schema.into())));
    let mut bytes = Vec::new();
    frame(1, &mut bytes);
    bytes.extend_from_slice(payload);
    let arena = Arena::new();
    let Ok(read) = converter.to_connect_data("t", Some(&bytes), Detail::Full, &arena) else {
        return;
    };
    // Two bytes can stand for a message, which is a struct with all its fields.
    assert!(arena.allocated_bytes() <= (1 << 24) + bytes.len() * 4096);
    let mut out = Vec::new();
    if converter.from_connect_data("t", read.schema, read.value, &mut out) != Ok(true) {
        return;
    }
    let again = Arena::new();
    let read = converter.to_connect_data("t", Some(&out), Detail::Full, &again);
    let read = read.expect("what was written can be read");
    let mut twice = Vec::new();
    let written = converter.from_connect_data("t", read.schema, read.value, &mut twice);
    assert_eq!((written, twice), (Ok(true), out));
});
