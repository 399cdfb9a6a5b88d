//! Schemas and values both ways, and what a bad record is told.

use std::sync::Arc;

use super::super::config::ProtobufDataConfig;
use super::*;
use crate::data::{Decimal, Field, OwnedValue, SchemaType, Struct};
use crate::json::jvm_text::{show, show_schema};
use crate::registry::{RegistryUse, WriteAs};
use crate::test_rig::{Shelf, framed};

#[path = "group_tests.rs"]
mod group_tests;
#[path = "oracle_tests.rs"]
mod oracle_tests;
#[path = "reference_tests.rs"]
mod reference_tests;
#[path = "write_tests.rs"]
mod write_tests;

pub(super) fn config(data: ProtobufDataConfig) -> ProtobufConverterConfig {
    ProtobufConverterConfig {
        data,
        registry: RegistryUse { schemas_cache: 100, ..RegistryUse::default() },
    }
}

pub(super) fn converter(config: ProtobufConverterConfig, shelf: &Rc<Shelf>) -> ProtobufConverter {
    let mut converter = ProtobufConverter::new(config, RegistrySettings::default());
    converter.attach(Rc::clone(shelf) as Rc<dyn SchemaSource>);
    converter
}

pub(super) fn shelf(schemas: &[&str]) -> Rc<Shelf> {
    Shelf::of(SchemaKind::Protobuf, schemas)
}

/// Schema and value of `payload` under the first message of `schema`, in the words of the JVM.
fn read_with(
    data: ProtobufDataConfig,
    schema: &str,
    payload: &[u8],
) -> Result<[String; 2], String> {
    let mut converter = converter(config(data), &shelf(&[schema]));
    let (arena, bytes) = (Arena::new(), framed(1, &[&[0], payload]));
    let read = converter.to_connect_data("t", Some(&bytes), Detail::Full, &arena);
    let read = read.map_err(|error| error.message)?;
    Ok([show_schema(read.schema), show(&read.value)])
}

fn proto3(body: &str) -> String {
    format!("syntax = \"proto3\"; package p; message M {{ {body} }}")
}

fn proto2(body: &str) -> String {
    format!("syntax = \"proto2\"; package p; message M {{ {body} }}")
}

fn read(schema: &str, payload: &[u8]) -> Result<[String; 2], String> {
    read_with(ProtobufDataConfig::default(), schema, payload)
}

/// Schema and value of the one field `f`.
fn field_with(data: ProtobufDataConfig, schema: &str, payload: &[u8]) -> [String; 2] {
    let [schema, value] = read_with(data, schema, payload).unwrap();
    let schema = schema.strip_prefix("STRUCT(M)v7{").and_then(|text| text.strip_suffix(";}"));
    let value = value.strip_prefix("Struct:Struct{").and_then(|text| text.strip_suffix('}'));
    let strip = |text: &str| text.strip_prefix("f:").map(str::to_owned);
    [strip(schema.unwrap()).unwrap(), value.unwrap().to_owned()]
}

fn field(schema: &str, payload: &[u8]) -> [String; 2] {
    field_with(ProtobufDataConfig::default(), &proto3(schema), payload)
}

const TAG: &str = "io.confluent.connect.protobuf.Tag=1";
const TYPE: &str = "io.confluent.connect.protobuf.Type";

#[test]
fn scalars_become_connects() {
    for (type_, payload, schema, value) in [
        (
            "int32",
            &[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1][..],
            "INT32?",
            "-1",
        ),
        ("int32", &[8, 0xff, 0xff, 0xff, 0xff, 0x0f], "INT32?", "-1"),
        ("int64", &[8, 0x80, 1], "INT64?", "128"),
        ("bool", &[8, 2], "BOOLEAN?", "true"),
        ("float", &[0x0d, 0, 0, 0x80, 0x3f], "FLOAT32?", "1.0"),
        ("double", &[9, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f], "FLOAT64?", "1.0"),
        ("string", &[10, 2, 0xc3, 0xa4], "STRING?", "ä"),
        ("bytes", &[10, 2, 1, 2], "BYTES?", "AQI="),
        // Without a value, zero.
        ("string", &[], "STRING?", ""),
        ("double", &[], "FLOAT64?", "0.0"),
    ] {
        let [shown, read] = field(&format!("{type_} f = 1;"), payload);
        assert_eq!(shown, format!("{schema}{{{TAG}}}"), "{type_}");
        assert_eq!(read, format!("f={value}"), "{type_}");
    }
    for (type_, payload, schema, value) in [
        ("uint32", &[8, 0xff, 0xff, 0xff, 0xff, 0x0f][..], "INT64?", "4294967295"),
        ("sint32", &[8, 3], "INT32?", "-2"),
        (
            "sint64",
            &[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            "INT64?",
            "-9223372036854775808",
        ),
        ("uint64", &[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], "INT64?", "-1"),
        ("fixed32", &[0x0d, 0xff, 0xff, 0xff, 0xff], "INT64?", "4294967295"),
        ("fixed64", &[9, 1, 0, 0, 0, 0, 0, 0, 0], "INT64?", "1"),
        ("sfixed32", &[0x0d, 0xff, 0xff, 0xff, 0xff], "INT32?", "-1"),
        ("sfixed64", &[9, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "INT64?", "-1"),
    ] {
        let [shown, read] = field(&format!("{type_} f = 1;"), payload);
        assert_eq!(shown, format!("{schema}{{{TYPE}={type_}, {TAG}}}"));
        assert_eq!(read, format!("f={value}"));
    }
    let narrow = "int32 f = 1 [(confluent.field_meta) = \
                  { params: [{ key: \"connect.type\", value: \"int8\" }] }];";
    assert_eq!(field(narrow, &[8, 0x81, 2]), [format!("INT8?{{{TAG}}}"), "f=1".to_owned()]);
}

#[test]
fn messages_lists_and_maps() {
    let [schema, value] = field("repeated sint32 f = 1;", &[10, 2, 1, 2, 8, 3]);
    assert_eq!(schema, format!("ARRAY?{{{TAG}}}<INT32?{{{TYPE}=sint32}}>"));
    assert_eq!(value, "f=-1,Integer:1,Integer:-2,]");
    let tags = "io.confluent.connect.protobuf.Tag";
    let [schema, value] = field(
        "map<string, int64> f = 1;",
        &[10, 5, 10, 1, b'a', 16, 1, 10, 2, 16, 7, 10, 3, 10, 1, b'a'],
    );
    assert_eq!(schema, format!("MAP?(f){{{TAG}}}<STRING?{{{TAG}}},INT64?{{{tags}=2}}>"));
    assert_eq!(value, "f=a=Long:0,String:=Long:7,}");
    let [schema, value] = field(
        "In f = 1; message In { int32 a = 1; repeated In in = 2; }",
        &[10, 6, 8, 1, 18, 2, 8, 2],
    );
    assert_eq!(
        schema,
        format!(
            "STRUCT?(In){{{TAG}}}{{a:INT32?{{{TAG}}};in:ARRAY?{{{tags}=2}}<STRUCT?(In){{}}>;}}"
        )
        .replace("(In){}", "(In){}")
    );
    assert_eq!(value, "f=Struct{a=1,in=Struct{a=2,in=},]}");
    let [_, value] = field("In f = 1; message In { int32 a = 1; }", &[]);
    assert_eq!(value, "");
}

#[test]
fn enums_by_name_and_by_number() {
    let schema = "E f = 1; enum E { option allow_alias = true; A = 0; B = 5; C = 5; D = -1; }";
    let parameters = "io.confluent.connect.protobuf.Enum=E, \
                      io.confluent.connect.protobuf.Enum.A=0, \
                      io.confluent.connect.protobuf.Enum.B=5, \
                      io.confluent.connect.protobuf.Enum.C=5, \
                      io.confluent.connect.protobuf.Enum.D=-1";
    let of = |payload: &[u8]| field(schema, payload)[1].clone();
    assert_eq!(field(schema, &[8, 5])[0], format!("STRING?(E){{{parameters}, {TAG}}}"));
    assert_eq!(of(&[8, 5]), "f=B");
    assert_eq!(of(&[]), "f=A");
    assert_eq!(of(&[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), "f=D");
    assert_eq!(of(&[8, 9]), "f=UNKNOWN_ENUM_VALUE_E_9");
    let ints = ProtobufDataConfig { int_for_enums: true, ..ProtobufDataConfig::default() };
    let [shown, value] = field_with(ints, &proto3(schema), &[8, 9]);
    assert!(shown.starts_with("INT32?(E){"), "{shown}");
    assert_eq!(value, "f=9");
    // Closed: a number without symbol is not there.
    let closed = proto2("optional E f = 1; enum E { A = 3; B = 1; }");
    assert_eq!(field_with(ProtobufDataConfig::default(), &closed, &[8, 9])[1], "");
    let always = ProtobufDataConfig { optional_for_proto2: false, ..ProtobufDataConfig::default() };
    assert_eq!(field_with(always, &closed, &[8, 9])[1], "f=A");
}

#[test]
fn oneofs_are_structs_of_which_one_field_is_set() {
    let schema =
        proto3("int32 a = 1; oneof x { string s = 2; In m = 3; } message In { int32 i = 1; }");
    let of = |data: ProtobufDataConfig, payload: &[u8]| read_with(data, &schema, payload).unwrap();
    let plain = ProtobufDataConfig::default;
    let tag = |number| format!("{{io.confluent.connect.protobuf.Tag={number}}}");
    let [shown, value] = of(plain(), &[18, 1, b'y', 8, 7]);
    let members = format!("s:STRING?{};m:STRUCT?(In){}{{i:INT32?{};}};", tag(2), tag(3), tag(1));
    assert_eq!(
        shown,
        format!(
            "STRUCT(M)v7{{x_0:STRUCT?(io.confluent.connect.protobuf.Union.x){{{members}}};\
             a:INT32?{};}}",
            tag(1)
        )
    );
    assert_eq!(value, "Struct:Struct{x_0=Struct{s=y},a=7}");
    // The last one counts, and a message in two parts is one.
    let [_, value] = of(plain(), &[18, 1, b'y', 26, 0, 26, 2, 8, 1]);
    assert_eq!(value, "Struct:Struct{x_0=Struct{m=Struct{i=1}},a=0}");
    let [_, value] = of(plain(), &[26, 2, 8, 1, 18, 0]);
    assert_eq!(value, "Struct:Struct{x_0=Struct{s=},a=0}");
    assert_eq!(of(plain(), &[])[1], "Struct:Struct{a=0}");
    let flat = ProtobufDataConfig { flatten_unions: true, ..plain() };
    let [shown, value] = of(flat, &[26, 2, 8, 1, 18, 1, b'z']);
    assert_eq!(shown, format!("STRUCT(M)v7{{{members}a:INT32?{};}}", tag(1)));
    assert_eq!(value, "Struct:Struct{s=z,a=0}");
    let plainly = ProtobufDataConfig { generate_index_for_unions: false, ..plain() };
    assert!(of(plainly, &[])[0].contains("{x:STRUCT?"));
    let general = ProtobufDataConfig { generalized_sum_type_support: true, ..plain() };
    assert!(of(general, &[])[0].contains("STRUCT?(x){org.apache.kafka.connect.data.Union=x}"));
    let full = ProtobufDataConfig { enhanced_protobuf_schema_support: true, ..plain() };
    let [shown, _] = of(full, &[]);
    assert!(
        shown.starts_with("STRUCT(p.M)v7{x_0:STRUCT?(io.confluent.connect.protobuf.Union.p.M.x)")
    );
    assert!(shown.contains("STRUCT?(p.M.In)"), "{shown}");
}

#[test]
fn what_may_be_null() {
    let plain = ProtobufDataConfig::default;
    let schema = proto3("optional int32 f = 1;");
    assert_eq!(field_with(plain(), &schema, &[])[1], "");
    assert_eq!(field_with(plain(), &schema, &[8, 0])[1], "f=0");
    let labels = ProtobufDataConfig { optional_for_nullables: true, ..plain() };
    assert_eq!(field_with(labels.clone(), &schema, &[])[0], format!("INT32?{{{TAG}}}"));
    let [shown, _] = field_with(labels, &proto3("int32 f = 1;"), &[]);
    assert_eq!(shown, format!("INT32{{{TAG}}}"));
    let wrapped = "syntax = \"proto3\"; import \"google/protobuf/wrappers.proto\"; \
                   message M { google.protobuf.UInt32Value f = 1; }";
    let [shown, value] = field_with(plain(), wrapped, &[10, 2, 8, 5]);
    let inner = format!("INT64?{{{TYPE}=uint32, {TAG}}}");
    assert_eq!(shown, format!("STRUCT?(UInt32Value){{{TAG}}}{{value:{inner};}}"));
    assert_eq!(value, "f=Struct{value=5}");
    let wrappers = ProtobufDataConfig { wrapper_for_nullables: true, ..plain() };
    let [shown, value] = field_with(wrappers.clone(), wrapped, &[10, 2, 8, 5]);
    assert_eq!((shown, value), (format!("INT64?{{{TAG}}}"), "f=5".to_owned()));
    assert_eq!(field_with(wrappers.clone(), wrapped, &[10, 0])[1], "f=0");
    assert_eq!(field_with(wrappers.clone(), wrapped, &[])[1], "");
    assert_eq!(field_with(wrappers, &proto3("int32 f = 1;"), &[])[0], format!("INT32{{{TAG}}}"));
    let structs = ProtobufDataConfig { generate_struct_for_nulls: true, ..plain() };
    let schema = proto3("In f = 1; message In { int32 a = 1; In b = 2; optional string c = 3; }");
    assert_eq!(field_with(structs, &schema, &[])[1], "f=Struct{a=0,c=}");
}

#[test]
fn wrappers_by_themselves() {
    let schema = super::super::known::WRAPPERS;
    let shelf = shelf(&[schema]);
    let arena = Arena::new();
    let mut raw = converter(config(ProtobufDataConfig::default()), &shelf);
    let bytes = framed(1, &[&[2, 14], &[10, 2, b'h', b'i']]);
    let read = raw.to_connect_data("t", Some(&bytes), Detail::Full, &arena).unwrap();
    assert_eq!(show_schema(read.schema), "STRINGv7");
    assert_eq!(show(&read.value), "String:hi");
    let data =
        ProtobufDataConfig { wrapper_for_raw_primitives: false, ..ProtobufDataConfig::default() };
    let mut whole = converter(config(data), &shelf);
    let read = whole.to_connect_data("t", Some(&bytes), Detail::Full, &arena).unwrap();
    assert_eq!(
        show_schema(read.schema),
        format!("STRUCT(StringValue)v7{{value:STRING?{{{TAG}}};}}")
    );
}

#[test]
fn logical_types() {
    let of = |import: &str, type_: &str, payload: &[u8]| {
        let schema =
            format!("syntax = \"proto3\"; import \"{import}\"; message M {{ {type_} f = 1; }}");
        read(&schema, payload)
    };
    let stamp = ("google/protobuf/timestamp.proto", "google.protobuf.Timestamp");
    let [schema, value] =
        of(stamp.0, stamp.1, &[10, 8, 8, 1, 16, 0x80, 0x84, 0xaf, 0x5f, 0]).unwrap_or_default();
    assert_eq!((schema.as_str(), value.as_str()), ("", ""), "a field of number 0 is refused");
    let [schema, value] = of(stamp.0, stamp.1, &[10, 7, 8, 1, 16, 0x80, 0x84, 0xaf, 0x5f]).unwrap();
    assert!(schema.contains("f:INT64?(org.apache.kafka.connect.data.Timestamp)v1{"), "{schema}");
    assert_eq!(value, "Struct:Struct{f=1200}");
    let date = ("google/type/date.proto", "google.type.Date");
    let [schema, value] = of(date.0, date.1, &[10, 7, 8, 0xb2, 0x0f, 16, 1, 24, 2]).unwrap();
    assert!(schema.contains("f:INT32?(org.apache.kafka.connect.data.Date)v1{"), "{schema}");
    assert_eq!(value, "Struct:Struct{f=86400000}");
    assert!(of(date.0, date.1, &[10, 3, 8, 0xb2, 0x0f]).unwrap_err().contains("no day"));
    let time = ("google/type/timeofday.proto", "google.type.TimeOfDay");
    let [schema, value] = of(time.0, time.1, &[10, 4, 8, 1, 24, 1]).unwrap();
    assert!(schema.contains("f:INT32?(org.apache.kafka.connect.data.Time)v1{"), "{schema}");
    assert_eq!(value, "Struct:Struct{f=3601000}");
    let decimal = ("confluent/type/decimal.proto", "confluent.type.Decimal");
    let [schema, value] =
        of(decimal.0, decimal.1, &[10, 8, 10, 2, 0x04, 0xd2, 16, 4, 24, 2]).unwrap();
    assert!(
        schema.contains("f:BYTES?(org.apache.kafka.connect.data.Decimal)v1{scale=0, "),
        "{schema}"
    );
    assert_eq!(value, "Struct:Struct{f=12.34}");
    for (payload, why) in [
        (&[10, 2, 24, 2][..], "has no byte"),
        (&[10, 8, 10, 2, 0x04, 0xd2, 16, 3, 24, 2], "more digits"),
    ] {
        assert!(of(decimal.0, decimal.1, payload).unwrap_err().contains(why));
    }
    let meta = "syntax = \"proto3\"; import \"confluent/type/decimal.proto\"; message M { \
        confluent.type.Decimal f = 1 [(confluent.field_meta) = { params: [\
        { value: \"9\", key: \"precision\" }, { value: \"2\", key: \"scale\" }] }]; }";
    let [schema, _] = read(meta, &[]).unwrap();
    assert!(schema.contains("{scale=2, connect.decimal.precision=9, "), "{schema}");
}

#[test]
fn what_proto2_has_more() {
    let schema = proto2(
        "required int32 r = 1; optional string s = 2 [default = \"d\"]; \
         optional int32 n = 3 [default = -7]; repeated int32 l = 4; optional group G = 5 {} \
         optional double inf = 6 [default = -inf];",
    );
    let of = |data: ProtobufDataConfig, payload: &[u8]| read_with(data, &schema, payload);
    let plain = ProtobufDataConfig::default;
    let error = of(plain(), &[18, 1, b'x']).unwrap_err();
    assert!(error.contains("a required field is missing"), "{error}");
    let value = &of(plain(), &[8, 0, 43, 8, 1, 44, 32, 1, 34, 1, 2, 18, 1, 0xff]).unwrap()[1];
    assert_eq!(value, "Struct:Struct{r=0,s=\u{fffd},l=1,Integer:2,]}");
    let always = ProtobufDataConfig { optional_for_proto2: false, ..plain() };
    let value = &of(always, &[8, 0]).unwrap()[1];
    assert_eq!(value, "Struct:Struct{r=0,s=d,n=-7,l=,inf=-Infinity}");
}

#[test]
fn what_the_wire_may_do() {
    let schema = proto3(
        "int32 a = 1; In in = 2; repeated string l = 3; message In { int32 x = 1; In y = 2; }",
    );
    let of = |payload: &[u8]| read(&schema, payload).map(|[_, value]| value);
    for (payload, value) in [
        // The last one counts.
        (&[8, 1, 8, 2][..], "a=2,l="),
        // Parts of a message are one, also of one inside.
        (&[18, 2, 8, 1, 18, 2, 18, 0, 18, 4, 18, 2, 8, 9], "a=0,in=Struct{x=1,y=Struct{x=9}},l="),
        // Another wire type than the schema's is an unknown field.
        (&[10, 1, b'x', 16, 5, 24, 7], "a=0,l="),
        // A list in pieces, fields out of order.
        (&[26, 1, b'x', 8, 1, 26, 1, b'y'], "a=1,l=x,String:y,]"),
        // Unknown fields of each kind, a group in a group.
        (
            &[
                0x20, 1, 0x29, 0, 0, 0, 0, 0, 0, 0, 0, 0x32, 1, 0, 0x3b, 0x43, 0x44, 0x3c, 0x45, 0,
                0, 0, 0, 8, 3,
            ],
            "a=3,l=",
        ),
    ] {
        assert_eq!(of(payload).unwrap(), format!("Struct:Struct{{{value}}}"), "{payload:?}");
    }
    for (payload, why, at) in [
        (&[8][..], "the bytes end before", 7),
        (&[8, 0x80], "the bytes end before", 7),
        (&[0], "a field has the number 0", 6),
        (&[26, 2, b'x'], "a length goes beyond", 7),
        (&[26, 2, 0xc3, 0x28], "not UTF-8", 7),
        (&[18, 4, 18, 2, 8, 0x80], "the bytes end before", 11),
        (&[12], "a group ends", 7),
        (&[15], "no wire type 6 or 7", 7),
        (&[0x3b, 8, 1], "the bytes end before", 9),
    ] {
        let error = of(payload).unwrap_err();
        assert!(error.starts_with("Failed to deserialize Protobuf data of topic t: "), "{error}");
        let length = payload.len() + 6;
        assert!(error.contains(why), "{payload:?}: {error}");
        assert!(error.ends_with(&format!("at byte {at} of {length} (schema 1)")), "{error}");
    }
    // As deep as Java goes, and one deeper.
    let deep = |levels: usize| {
        let mut payload = Vec::new();
        for _ in 0..levels {
            let mut outer = vec![18];
            super::super::wire::write_counted(&payload, &mut outer);
            payload = outer;
        }
        of(&payload)
    };
    assert!(deep(99).is_ok());
    assert!(deep(100).unwrap_err().contains("nests too deeply"));
}

#[test]
fn forged_bytes_take_no_memory() {
    // A byte or two for a struct of many fields, and messages that come in many parts.
    let fields: String = (1..1000).map(|at| format!("int32 f{at} = {at};")).collect();
    let schema = proto3(&format!("repeated Wide w = 1; message Wide {{ {fields} }}"));
    let error = read(&schema, &[10, 0].repeat(100_000)).unwrap_err();
    assert!(error.contains("too many fields"), "{error}");
    let schema = proto3("In f = 1; message In { int32 a = 1; }");
    let error = read(&schema, &[10, 2, 8, 1].repeat(100_000)).unwrap_err();
    assert!(error.contains("too many parts"), "{error}");
    // A list and another field in turns.
    let schema = proto3("repeated int32 l = 1; int32 a = 2;");
    let shelf = shelf(&[&schema]);
    let mut converter = converter(config(ProtobufDataConfig::default()), &shelf);
    let (arena, bytes) = (Arena::new(), framed(1, &[&[0], &[8, 1, 16, 1].repeat(100_000)]));
    converter.to_connect_data("t", Some(&bytes), Detail::Full, &arena).unwrap();
    assert!(arena.allocated_bytes() < bytes.len() * 100, "{}", arena.allocated_bytes());
}

const FORGED: [&str; 4] = [
    "message M { double a = 1; float b = 2; int32 c = 3; uint32 d = 4; sint64 e = 5; fixed32 f = 6; \
     bool g = 7; string h = 8; bytes i = 9; E j = 10; optional int32 k = 11; repeated sint64 l = 12; \
     repeated E m = 13; enum E { X = 0; Y = 5; Z = -1; } }",
    "message M { string name = 1; M next = 2; repeated M all = 3; map<string, M> by = 4; \
     oneof x { M one = 5; string two = 6; In three = 7; } \
     message In { M back = 1; map<int32, bytes> blobs = 2; } }",
    "import \"google/protobuf/timestamp.proto\"; import \"google/type/date.proto\"; \
     import \"google/type/timeofday.proto\"; import \"confluent/type/decimal.proto\"; \
     import \"google/protobuf/wrappers.proto\"; message M { google.protobuf.Timestamp a = 1; \
     google.type.Date b = 2; google.type.TimeOfDay c = 3; repeated confluent.type.Decimal d = 4; \
     google.protobuf.StringValue e = 5; }",
    "message M { map<string, E> a = 1; map<bool, double> b = 2; repeated string c = 3; \
     enum E { X = 3; } }",
];

proptest::proptest! {
    /// Mostly tags of small numbers, small lengths and a few other bytes.
    #[test]
    fn any_bytes_are_read_or_refused(
        schema in 0..FORGED.len(),
        keys in proptest::arbitrary::any::<u8>(),
        payload in proptest::collection::vec(
            proptest::prop_oneof![0u8..128, 0u8..8, proptest::arbitrary::any::<u8>()], 0..60),
    ) {
        let key = |bit: u8| keys & (1 << bit) != 0;
        let data = ProtobufDataConfig {
            int_for_enums: key(1),
            optional_for_nullables: key(2),
            wrapper_for_nullables: key(4),
            generate_struct_for_nulls: key(5),
            flatten_unions: key(7),
            ..ProtobufDataConfig::default()
        };
        let write_as = WriteAs::Id { id: 1, strict: false };
        let text = format!("syntax = \"proto3\"; {}", FORGED[schema]);
        let config = ProtobufConverterConfig { registry: RegistryUse { write_as, ..RegistryUse::default() }, ..config(data) };
        let mut converter = converter(config, &shelf(&[&text]));
        let (arena, bytes) = (Arena::new(), framed(1, &[&[0], &payload]));
        let Ok(read) = converter.to_connect_data("t", Some(&bytes), Detail::Full, &arena) else {
            return Ok(());
        };
        let mut out = Vec::new();
        if converter.from_connect_data("t", read.schema, read.value, &mut out) != Ok(true) {
            return Ok(());
        }
        let read = converter.to_connect_data("t", Some(&out), Detail::Full, &arena).unwrap();
        let mut twice = Vec::new();
        converter.from_connect_data("t", read.schema, read.value, &mut twice).unwrap();
        proptest::prop_assert_eq!(twice, out);
    }
}

#[test]
fn forged_schemas_are_refused() {
    let chain = |count: usize| -> String {
        (0..count).map(|at| format!("message M{at} {{ M{} m = 1; }}\n", at + 1)).collect::<String>()
            + &format!("message M{count} {{}}")
    };
    assert!(read(&chain(99), &[]).is_ok());
    assert!(read(&chain(20_000), &[]).unwrap_err().contains("nest too deeply at M100"));
    // Each has each other: a schema that would be written out without end.
    let names: Vec<String> = (0..20).map(|at| format!("M{at}")).collect();
    let fields: String =
        names.iter().enumerate().map(|(at, name)| format!("{name} f{at} = {};", at + 1)).collect();
    let all: String = names.iter().map(|name| format!("message {name} {{ {fields} }}")).collect();
    assert!(read(&all, &[]).unwrap_err().contains("too many fields"));
}

#[test]
fn which_message_a_record_is() {
    let schema = "syntax = \"proto3\"; message A { message B { int32 x = 1; } message C { \
                  string y = 1; } } message D { bool z = 1; }";
    let shelf = shelf(&[schema, "{}", "message A { Nobody n = 1; }"]);
    let mut converter = converter(config(ProtobufDataConfig::default()), &shelf);
    let arena = Arena::new();
    let mut name = |id: u32, list: &[u8]| {
        let bytes = arena.alloc_bytes(&framed(id, &[list, &[]]));
        let read = converter.to_connect_data("t", Some(bytes), Detail::Full, &arena);
        read.map(|read| read.schema.unwrap().name.as_deref().unwrap().to_owned())
            .map_err(|error| error.message)
    };
    for _ in 0..2 {
        for (list, expected) in
            [(&[0][..], "A"), (&[2, 0], "A"), (&[4, 0, 2], "C"), (&[4, 0, 0], "B"), (&[2, 2], "D")]
        {
            assert_eq!(name(1, list).as_deref(), Ok(expected));
        }
    }
    assert!(name(1, &[2, 4]).unwrap_err().contains("no message of indexes [2]"));
    assert!(name(1, &[1]).unwrap_err().contains("at byte 5 of 6"));
    assert!(name(2, &[0]).unwrap_err().contains("schema 2: line 1 of the .proto text"));
    assert!(name(3, &[0]).unwrap_err().contains("the type Nobody in A is not known"));
    assert!(name(9, &[0]).unwrap_err().contains("error code: 40403"));
    let asked = shelf.asked.borrow().len();
    assert_eq!(asked, 4, "each schema is asked for once");
    let none = converter.to_connect_data("t", None, Detail::Full, &arena).unwrap();
    assert!(none.schema.is_none() && none.value.is_null());
    let bad = converter.to_connect_data("t", Some(b"text"), Detail::Full, &arena).unwrap_err();
    assert!(bad.message.contains("Unknown magic byte!"), "{}", bad.message);
    shelf.closed.set(true);
    let bytes = framed(8, &[&[0], &[]]);
    let later = converter.to_connect_data("t", Some(&bytes), Detail::Full, &arena).unwrap_err();
    assert!(later.retriable);
}

#[test]
fn imports_are_found_among_the_references() {
    let shelf = Rc::new(Shelf {
        references: vec![(
            "other.proto".to_owned(),
            "syntax = \"proto3\"; package o; message Other { int32 a = 1; }".into(),
        )],
        ..Shelf::new(
            SchemaKind::Protobuf,
            &["syntax = \"proto3\"; import \"other.proto\"; message M { o.Other f = 1; }"],
        )
    });
    let mut converter = converter(config(ProtobufDataConfig::default()), &shelf);
    let (arena, bytes) = (Arena::new(), framed(1, &[&[0], &[10, 2, 8, 4]]));
    let read = converter.to_connect_data("t", Some(&bytes), Detail::Full, &arena).unwrap();
    assert_eq!(show(&read.value), "Struct:Struct{f=Struct{a=4}}");
}
