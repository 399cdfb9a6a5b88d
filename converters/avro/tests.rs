//! Schemas and values both ways, and what a bad record is told.

use std::sync::Arc;

use super::super::config::AvroDataConfig;
use super::*;
use crate::data::{Field, OwnedValue, SchemaType};
use crate::json::jvm_text::{show, show_schema};
use crate::json::{WriteOptions, write_value};
use crate::registry::{RegistryUse, WriteAs};
use crate::test_rig::{Shelf, framed};

pub(super) fn config() -> AvroConverterConfig {
    AvroConverterConfig {
        data: AvroDataConfig::default(),
        registry: RegistryUse { schemas_cache: 100, ..RegistryUse::default() },
    }
}

pub(super) fn converter(config: AvroConverterConfig, shelf: &Rc<Shelf>) -> AvroConverter {
    let mut converter = AvroConverter::new(config, RegistrySettings::default());
    converter.attach(Rc::clone(shelf) as Rc<dyn SchemaSource>);
    converter
}

fn shelf(schemas: &[&str]) -> Rc<Shelf> {
    Shelf::of(SchemaKind::Avro, schemas)
}

/// Schema and value of `payload` under `schema`, in the words of the JVM; and the JSON text of it.
fn read_with(config: AvroDataConfig, schema: &str, payload: &[u8]) -> Result<[String; 3], String> {
    let shelf = shelf(&[schema]);
    let of = |detail| {
        let arena = Arena::new();
        let data = AvroConverterConfig { data: config.clone(), ..self::config() };
        let mut converter = converter(data, &shelf);
        let bytes = framed(1, &[payload]);
        let read = converter.to_connect_data("t", Some(&bytes), detail, &arena);
        let read = read.map_err(|error| error.message)?;
        let mut text = Vec::new();
        write_value(read.schema, read.value, &mut text, &WriteOptions::default())
            .map_err(|error| error.message)?;
        let text = String::from_utf8(text).unwrap();
        Ok::<_, String>([show_schema(read.schema), show(&read.value), text])
    };
    let full = of(Detail::Full)?;
    assert_eq!(of(Detail::Json)?[2], full[2], "JSON text of {schema}");
    Ok(full)
}

fn read(schema: &str, payload: &[u8]) -> Result<[String; 3], String> {
    read_with(AvroDataConfig::default(), schema, payload)
}

#[test]
fn types_become_connects() {
    for (schema, payload, type_, value) in [
        (r#""int""#, &[0x0f][..], "INT32v7", "Integer:-8"),
        (r#"{"type":"int","connect.type":"int8"}"#, &[0x80, 0x04], "INT8v7", "Byte:0"),
        (r#"{"type":"int","connect.type":"int16"}"#, &[2], "INT16v7", "Short:1"),
        (r#""long""#, &[0x80, 1], "INT64v7", "Long:64"),
        (r#""boolean""#, &[1], "BOOLEANv7", "Boolean:true"),
        (r#""float""#, &[0, 0, 0x80, 0x3f], "FLOAT32v7", "Float:1.0"),
        (r#""double""#, &[0, 0, 0, 0, 0, 0, 0xf0, 0x3f], "FLOAT64v7", "Double:1.0"),
        (r#""string""#, &[4, b'h', b'i'], "STRINGv7", "String:hi"),
        (r#"["null","string"]"#, &[2, 2, b'x'], "STRING?", "String:x"),
        (r#"["string","null"]"#, &[0, 2, b'x'], "STRING?", "String:x"),
        (r#""bytes""#, &[1, 2], "BYTESv7", "bytes:AQI="),
        (
            r#"{"type":"fixed","name":"n.F","size":2}"#,
            &[1, 2],
            "BYTES(n.F)v7{connect.fixed.size=2}",
            "bytes:AQI=",
        ),
        (
            r#"{"type":"array","items":"int"}"#,
            &[3, 4, 2, 4, 0],
            "ARRAYv7<INT32>",
            "[Integer:1,Integer:2,]",
        ),
        (
            r#"{"type":"map","values":"long"}"#,
            &[2, 2, b'k', 6, 0],
            "MAPv7<STRING,INT64>",
            "{String:k=Long:3,}",
        ),
        (
            r#"{"type":"enum","name":"n.E","symbols":["A","B"]}"#,
            &[2],
            "STRING(n.E)v7{io.confluent.connect.avro.Enum=n.E, \
             io.confluent.connect.avro.Enum.A=A, io.confluent.connect.avro.Enum.B=B}",
            "String:B",
        ),
        (
            r#"{"type":"array","items":{"type":"record","name":"MapEntry",
                "namespace":"io.confluent.connect.avro","fields":[
                {"name":"key","type":"int"},{"name":"value","type":"string"}]}}"#,
            &[2, 2, 2, b'x', 0],
            "MAPv7<INT32,STRING>",
            "{Integer:1=String:x,}",
        ),
    ] {
        let [read_type, read_value, _] = read(schema, payload).unwrap();
        assert_eq!((read_type.as_str(), read_value.as_str()), (type_, value), "{schema}");
    }
}

/// The first one's place and the last one's value, in the text too.
#[test]
fn a_key_that_comes_twice() {
    let map = r#"{"type":"map","values":"long"}"#;
    let payload = [6, 2, b'k', 2, 2, b'l', 4, 2, b'k', 6, 0];
    let [_, value, text] = read(map, &payload).unwrap();
    assert_eq!(value, "{String:k=Long:3,String:l=Long:2,}");
    assert_eq!(text, r#"{"k":3,"l":2}"#);

    let many = |last: u8| {
        let mut payload = vec![80];
        for key in (b'A'..).take(39).chain([last]) {
            payload.extend([2, key, 2]);
        }
        payload.push(0);
        read(map, &payload).unwrap()[2].matches(r#"":"#).count()
    };
    assert_eq!([many(b'A'), many(b'z')], [39, 40]);

    let nested = r#"{"type":"map","values":{"type":"map","values":"long"}}"#;
    let payload = [4, 2, b'k', 2, 2, b'k', 2, 0, 2, b'l', 4, 2, b'k', 2, 2, b'k', 4, 0, 0];
    assert_eq!(read(nested, &payload).unwrap()[2], r#"{"k":{"k":1},"l":{"k":2}}"#);

    let entries = r#"{"type":"array","items":{"type":"record","name":"MapEntry",
        "namespace":"io.confluent.connect.avro","fields":[
        {"name":"key","type":"int"},{"name":"value","type":"string"}]}}"#;
    assert_eq!(read(entries, &[4, 2, 2, b'x', 2, 2, b'y', 0]).unwrap()[2], r#"[[1,"y"]]"#);
}

#[test]
fn logical_types() {
    const NAME: &str = "org.apache.kafka.connect.data";
    for (schema, payload, type_, value) in [
        (
            r#"{"type":"int","logicalType":"date"}"#,
            &[2][..],
            format!("INT32({NAME}.Date)v1"),
            "Date:86400000",
        ),
        (
            r#"{"type":"int","logicalType":"time-millis"}"#,
            &[2],
            format!("INT32({NAME}.Time)v1"),
            "Date:1",
        ),
        (
            r#"{"type":"long","logicalType":"timestamp-millis"}"#,
            &[2],
            format!("INT64({NAME}.Timestamp)v1"),
            "Date:1",
        ),
        (
            r#"{"type":"bytes","logicalType":"decimal","scale":2,"precision":5}"#,
            &[4, 1, 0],
            format!("BYTES({NAME}.Decimal)v1{{scale=2, connect.decimal.precision=5}}"),
            "BigDecimal:2.56",
        ),
        (
            r#"{"type":"fixed","name":"D","size":3,"logicalType":"decimal","scale":1}"#,
            &[0xff, 0xff, 0xf6],
            format!("BYTES({NAME}.Decimal)v1{{scale=1, connect.fixed.size=3}}"),
            "BigDecimal:-1.0",
        ),
        (r#"{"type":"long","logicalType":"timestamp-micros"}"#, &[2], "INT64".to_owned(), "Long:1"),
        (r#"{"type":"string","logicalType":"uuid"}"#, &[2, b'u'], "STRING".to_owned(), "String:u"),
    ] {
        let record =
            format!(r#"{{"type":"record","name":"R","fields":[{{"name":"f","type":{schema}}}]}}"#);
        let [read_type, read_value, _] = read(&record, payload).unwrap();
        assert_eq!(read_type, format!("STRUCT(R)v7{{f:{type_};}}"));
        let value = value.split_once(':').unwrap().1;
        assert_eq!(read_value, format!("Struct:Struct{{f={value}}}"), "{schema}");
    }
    let time = r#"{"type":"int","logicalType":"time-millis"}"#;
    let error = read(time, &[1]).unwrap_err();
    assert!(error.contains("Time values must use"), "{error}");
}

#[test]
fn unions_become_structs() {
    let schema = r#"["null","int",{"type":"record","name":"a.R","fields":[
        {"name":"x","type":["null","int"],"default":null}]},"string"]"#;
    let [type_, value, json] = read(schema, &[4, 2, 6]).unwrap();
    assert_eq!(
        type_,
        "STRUCT?(io.confluent.connect.avro.Union)v7{int:INT32?;R:STRUCT?(a.R){x:INT32?;};string:STRING?;}"
    );
    assert_eq!(value, "Struct:Struct{R=Struct{x=3}}");
    assert_eq!(json, r#"{"int":null,"R":{"x":3},"string":null}"#);
    let enhanced = AvroDataConfig { enhanced_avro_schema_support: true, ..Default::default() };
    let [type_, ..] = read_with(enhanced, schema, &[2, 2]).unwrap();
    assert!(type_.contains(";a.R:STRUCT?"), "{type_}");
    let error = read(r#"["null","int","string"]"#, &[8]).unwrap_err();
    assert!(error.ends_with("a union has no branch of that number, at byte 5 of 6 (schema 1)"));
}

#[test]
fn records_inside_of_themselves() {
    let list = r#"{"type":"record","name":"L","fields":[{"name":"v","type":"int"},
        {"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"]}},
        {"name":"next","type":["null","L"],"default":null}]}"#;
    let [type_, value, json] = read(list, &[2, 0, 2, 4, 2, 0]).unwrap();
    assert!(type_.ends_with("next:STRUCT?(L){};}"), "{type_}");
    assert_eq!(value, "Struct:Struct{v=1,e=A,next=Struct{v=2,e=B}}");
    assert_eq!(json, r#"{"v":1,"e":"A","next":{"v":2,"e":"B","next":null}}"#);
    let deep: Vec<u8> = [2, 0, 2].repeat(1000);
    assert!(read(list, &deep).unwrap_err().contains("the value nests too deeply"));
    // And out again.
    let shelf = shelf(&[list]);
    let mut converter = converter(config(), &shelf);
    let (arena, mut out) = (Arena::new(), Vec::new());
    let bytes = framed(1, &[&[2, 0, 2, 4, 2, 0]]);
    let data = converter.to_connect_data("t", Some(&bytes), Detail::Full, &arena).unwrap();
    assert_eq!(converter.from_connect_data("t", data.schema, data.value, &mut out), Ok(true));
    let enhanced = AvroDataConfig { enhanced_avro_schema_support: true, ..Default::default() };
    let mut converter = self::converter(AvroConverterConfig { data: enhanced, ..config() }, &shelf);
    out.clear();
    assert_eq!(converter.from_connect_data("t", data.schema, data.value, &mut out), Ok(true));
    assert_eq!(out[5..], bytes[5..]);
}

#[test]
fn bad_bytes_tell_where() {
    let record = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"string"},
        {"name":"b","type":"long"}]}"#;
    for (bytes, why) in [
        (&[][..], "there is no byte (byte 0)"),
        (&[1, 0, 0, 0, 1], "Unknown magic byte! (byte 0)"),
        (&[0, 0, 0], "the bytes end before the schema's id does (byte 0)"),
        (&[0, 0, 0, 0, 9], "Schema 9 not found; error code: 40403"),
        (
            &[0, 0, 0, 0, 1, 6, b'x'],
            "a length goes beyond the end of the bytes, at byte 5 of 7 (schema 1)",
        ),
        (
            &[0, 0, 0, 0, 1, 2, b'x'],
            "the bytes end before the value does, at byte 7 of 7 (schema 1)",
        ),
        (&[0, 0, 0, 0, 1, 2, b'x', 2, 0], "bytes follow the value, at byte 8 of 9 (schema 1)"),
    ] {
        for detail in [Detail::Full, Detail::Json] {
            let mut converter = converter(config(), &shelf(&[record]));
            let arena = Arena::new();
            let error = converter.to_connect_data("t", Some(bytes), detail, &arena).unwrap_err();
            assert_eq!(error.message, format!("Failed to deserialize Avro data of topic t: {why}"));
            assert!(!error.retriable);
        }
    }
    let [_, value, json] = read(record, &[4, 0xff, b'x', 2]).unwrap();
    assert_eq!(value, "Struct:Struct{a=\u{fffd}x,b=1}");
    assert_eq!(json, "{\"a\":\"\u{fffd}x\",\"b\":1}");
}

#[test]
fn a_schema_that_is_not_there_yet_is_asked_for_once() {
    let shelf = shelf(&["\"int\""]);
    shelf.closed.set(true);
    let mut converter = converter(config(), &shelf);
    let arena = Arena::new();
    let bytes = framed(1, &[&[2]]);
    let error = converter.to_connect_data("t", Some(&bytes), Detail::Full, &arena).unwrap_err();
    assert!(error.retriable);
    shelf.closed.set(false);
    for _ in 0..3 {
        converter.to_connect_data("t", Some(&bytes), Detail::Full, &arena).unwrap();
    }
    assert_eq!(shelf.asked.borrow().len(), 2);
    // Another topic has another version of it, perhaps; the answer is at hand.
    converter.to_connect_data("u", Some(&bytes), Detail::Full, &arena).unwrap();
    assert_eq!(shelf.asked.borrow().len(), 3);
}

fn field(name: &str, schema: Schema) -> Field {
    Field { name: name.into(), schema: schema.into() }
}

/// What is registered for `schema`.
fn text_of(schema: &Schema, config: &AvroDataConfig) -> String {
    avro_text(Some(schema), config).unwrap()
}

#[test]
fn connects_types_become_avro() {
    use SchemaType as T;
    let plain = AvroDataConfig::default();
    let bare = AvroDataConfig { connect_meta_data: false, ..Default::default() };
    let text = |schema: Schema| text_of(&schema, &plain);
    assert_eq!(text(Schema::new(T::Int32)), "\"int\"");
    assert_eq!(text(Schema::new(T::Int8)), r#"{"type":"int","connect.type":"int8"}"#);
    assert_eq!(text_of(&Schema::new(T::Int8), &bare), "\"int\"");
    assert_eq!(text(Schema::new(T::String).optional()), r#"["null","string"]"#);
    let with_default = Schema { default: Some(OwnedValue::Int32(7)), ..Schema::new(T::Int32) };
    assert_eq!(
        text(with_default.clone().optional()),
        r#"[{"type":"int","connect.default":7},"null"]"#
    );
    assert_eq!(
        text(Schema::timestamp()),
        r#"{"type":"long","connect.version":1,"connect.name":"org.apache.kafka.connect.data.Timestamp","logicalType":"timestamp-millis"}"#
    );
    assert_eq!(
        text(Schema::decimal(2)),
        r#"{"type":"bytes","scale":2,"precision":64,"connect.version":1,"connect.parameters":{"scale":"2"},"connect.name":"org.apache.kafka.connect.data.Decimal","logicalType":"decimal"}"#
    );
    let ints = Arc::new(Schema::new(T::Int32));
    assert_eq!(
        text(Schema::map(Arc::clone(&ints), Arc::clone(&ints))),
        r#"{"type":"array","items":{"type":"record","name":"MapEntry","namespace":"io.confluent.connect.avro","fields":[{"name":"key","type":"int"},{"name":"value","type":"int"}]}}"#
    );
    let inner = Schema::struct_of(vec![field("x", with_default)]).named("n.In");
    let outer = Schema::struct_of(vec![
        field("a", inner.clone()),
        field("b", inner.optional()),
        field("c", Schema::struct_of(Vec::new())),
        field("d", Schema::new(T::Float32).optional()),
    ]);
    assert_eq!(
        text_of(&outer, &bare),
        r#"{"type":"record","name":"ConnectDefault","namespace":"io.confluent.connect.avro","fields":[{"name":"a","type":{"type":"record","name":"In","namespace":"n","fields":[{"name":"x","type":"int","default":7}]}},{"name":"b","type":["null","n.In"],"default":null},{"name":"c","type":{"type":"record","name":"ConnectDefault2","fields":[]}},{"name":"d","type":["null","float"],"default":null}]}"#
    );
    let odd = Schema::struct_of(vec![field("a b-c", Schema::new(T::Int32))]).named("1x.y$");
    assert!(avro_text(Some(&odd), &plain).unwrap_err().contains("Illegal character in"));
    let scrub = AvroDataConfig { scrub_invalid_names: true, ..bare.clone() };
    assert_eq!(
        text_of(&odd, &scrub),
        r#"{"type":"record","name":"y_24","namespace":"x1x","fields":[{"name":"a_b_c","type":"int"}]}"#
    );
}

#[test]
fn enums_are_kept_where_the_user_says_so() {
    let schema = r#"{"type":"enum","name":"n.E","symbols":["A","B"]}"#;
    let shelf = shelf(&[schema]);
    let enhanced = AvroDataConfig {
        enhanced_avro_schema_support: true,
        connect_meta_data: false,
        ..Default::default()
    };
    let mut converter = converter(AvroConverterConfig { data: enhanced, ..config() }, &shelf);
    let (arena, mut out) = (Arena::new(), Vec::new());
    let bytes = framed(1, &[&[2]]);
    let data = converter.to_connect_data("t", Some(&bytes), Detail::Full, &arena).unwrap();
    converter.from_connect_data("t", data.schema, data.value, &mut out).unwrap();
    assert_eq!(out[5..], [2]);
    assert_eq!(
        shelf.schemas.borrow()[1],
        r#"{"type":"enum","name":"E","namespace":"n","symbols":["A","B"]}"#
    );
    let error = converter.from_connect_data("t", data.schema, Value::Str("C"), &mut out);
    assert!(error.unwrap_err().message.contains("\"C\" is no symbol of the enum: A, B"));
}

#[test]
fn data_goes_under_the_newest_schema_by_field_names() {
    let latest = r#"{"type":"record","name":"R","fields":[
        {"name":"c","type":"string","default":"new"},{"name":"b","type":"long"},
        {"name":"a","type":["null","int"],"default":null}]}"#;
    let shelf = shelf(&[latest]);
    let mut converter = converter(
        AvroConverterConfig {
            registry: RegistryUse {
                write_as: WriteAs::Latest { strict: true },
                ..RegistryUse::default()
            },
            ..config()
        },
        &shelf,
    );
    let schema = Schema::struct_of(vec![
        field("a", Schema::new(SchemaType::Int32)),
        field("b", Schema::new(SchemaType::Int64)),
    ])
    .named("R");
    let values = [Value::Int32(1), Value::Int64(2)];
    let arena = Arena::new();
    let record = crate::Struct { schema: &schema, values: &values };
    let mut out = Vec::new();
    let value = Value::Struct(arena.alloc(record));
    assert_eq!(converter.from_connect_data("t", Some(&schema), value, &mut out), Ok(true));
    assert_eq!(out, framed(1, &[&[6, b'n', b'e', b'w', 4, 2, 2]]));
    let narrow = Schema::struct_of(vec![field("a", Schema::new(SchemaType::Int32))]).named("R");
    let record = crate::Struct { schema: &narrow, values: &values[..1] };
    let value = Value::Struct(arena.alloc(record));
    let error = converter.from_connect_data("t", Some(&narrow), value, &mut out).unwrap_err();
    assert!(error.message.contains("R.b is not written and has no default"), "{error}");
}

#[test]
fn nulls_and_defaults() {
    let schema = Schema::struct_of(vec![field(
        "a",
        Schema { default: Some(OwnedValue::Int32(7)), ..Schema::new(SchemaType::Int32).optional() },
    )]);
    let record = crate::Struct { schema: &schema, values: &[Value::Null] };
    let arena = Arena::new();
    let value = Value::Struct(arena.alloc(record));
    for (ignore, payload) in [(false, &[0, 14][..]), (true, &[2])] {
        let data = AvroDataConfig { ignore_default_for_nullables: ignore, ..Default::default() };
        let mut converter = converter(AvroConverterConfig { data, ..config() }, &shelf(&[]));
        let mut out = Vec::new();
        assert_eq!(converter.from_connect_data("t", Some(&schema), value, &mut out), Ok(true));
        assert_eq!(out[5..], *payload);
        assert_eq!(converter.from_connect_data("t", None, Value::Null, &mut out), Ok(false));
        let required = Schema::new(SchemaType::Int32);
        assert!(converter.from_connect_data("t", Some(&required), Value::Null, &mut out).is_err());
        let error = converter.from_connect_data("t", Some(&required), Value::Str("x"), &mut out);
        assert!(
            error.unwrap_err().message.ends_with("Invalid type for INT32: class java.lang.String")
        );
        assert_eq!(out.len(), 5 + payload.len());
    }
}

#[test]
fn data_without_schema() {
    let shelf = shelf(&[]);
    let mut converter = converter(config(), &shelf);
    let arena = Arena::new();
    let entries = [
        (Value::Str("a"), Value::Int64(1)),
        (Value::Str("b"), Value::Array(&[Value::Boolean(true), Value::Null, Value::Float64(0.5)])),
        (Value::Int32(3), Value::Map(&[(Value::Str("k"), Value::Bytes(b"x"))])),
    ];
    let mut out = Vec::new();
    let value = Value::Map(&entries);
    assert_eq!(converter.from_connect_data("t", None, value, &mut out), Ok(true));
    let data = converter.to_connect_data("t", Some(&out), Detail::Full, &arena).unwrap();
    assert!(data.schema.is_none());
    assert_eq!(show(&data.value), show(&value));
    let json = JsonText::verbatim(br#"{"a":[1,"x"]}"#);
    let mut out = Vec::new();
    assert_eq!(converter.from_connect_data("t", None, Value::Json(&json), &mut out), Ok(true));
    let data = converter.to_connect_data("t", Some(&out), Detail::Json, &arena).unwrap();
    assert_eq!(show(&data.value), "{String:a=[Long:1,String:x,],}");
}

#[path = "oracle_tests.rs"]
mod oracle_tests;
