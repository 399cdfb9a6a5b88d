//! What Connect's data is registered as, and its bytes.

use super::*;
use crate::data::{DATE_NAME, DECIMAL_NAME};

fn struct_of(name: Option<&str>, fields: Vec<(&str, Schema)>) -> Schema {
    let field =
        |(name, schema): (&str, Schema)| Field { name: name.into(), schema: Arc::new(schema) };
    let schema = Schema::struct_of(fields.into_iter().map(field).collect());
    match name {
        Some(name) => schema.named(name),
        None => schema,
    }
}

fn with(mut schema: Schema, parameters: &[(&str, &str)]) -> Schema {
    for (key, value) in parameters {
        schema.parameters.push(((*key).into(), (*value).into()));
    }
    schema
}

const INT32: fn() -> Schema = || Schema::new(SchemaType::Int32);
const STRING: fn() -> Schema = || Schema::new(SchemaType::String);

/// The text that is registered, and the bytes behind id and indexes.
fn written(
    data: ProtobufDataConfig,
    schema: &Schema,
    value: Value<'_>,
) -> Result<(String, Vec<u8>), String> {
    let shelf = shelf(&[]);
    let mut converter = converter(config(data), &shelf);
    let mut out = vec![7];
    converter
        .from_connect_data("t", Some(schema), value, &mut out)
        .map_err(|error| error.message)?;
    assert_eq!(out[..6], [7, 0, 0, 0, 0, 1]);
    let text = shelf.schemas.borrow()[0].clone();
    // What was written is read by the same converter as it was.
    let arena = Arena::new();
    let read = converter.to_connect_data("t", Some(&out[1..]), Detail::Full, &arena).unwrap();
    let mut again = vec![7];
    converter.from_connect_data("t", read.schema, read.value, &mut again).unwrap();
    assert_eq!(again[6..], out[6..], "{text}");
    Ok((text, out.split_off(6)))
}

fn value_of<'a>(schema: &'a Schema, values: &'a [Value<'a>], arena: &'a Arena) -> Value<'a> {
    Value::Struct(arena.alloc(Struct { schema, values }))
}

#[test]
fn the_text_is_confluents() {
    let arena = Arena::new();
    let status = with(
        STRING().named("shop.Status"),
        &[
            ("io.confluent.connect.protobuf.Enum", "Status"),
            ("io.confluent.connect.protobuf.Enum.ACTIVE", "0"),
            ("io.confluent.connect.protobuf.Enum.GONE", "5"),
        ],
    );
    let union = struct_of(
        Some("io.confluent.connect.protobuf.Union.choice"),
        vec![
            ("number", with(INT32().optional(), &[(TAG_NAME, "20")])),
            ("text", with(STRING().optional(), &[(TAG_NAME, "21")])),
        ],
    );
    let inner = struct_of(Some("shop.Inner"), vec![("a", INT32()), ("b", STRING().optional())]);
    let map = Schema::map(Arc::new(STRING()), Arc::new(INT32()));
    let decimal = with(Schema::decimal(2), &[("connect.decimal.precision", "9")]);
    let schema = struct_of(
        Some("shop.Order"),
        vec![
            ("tiny", Schema::new(SchemaType::Int8)),
            ("price", decimal),
            ("at", Schema::timestamp()),
            ("due", Schema::date().optional()),
            ("time", Schema::time()),
            ("Inner", inner.clone()),
            ("inners", Schema::array(Arc::new(inner.clone()))),
            ("my_map", map.clone().named("my_map")),
            ("other", map),
            ("status", status),
            ("choice_0", union.clone().optional()),
            ("big", with(Schema::new(SchemaType::Int64), &[(TYPE, "uint32"), (TAG_NAME, "40")])),
        ],
    );
    let price = Decimal { unscaled: &[0x04, 0xd2], scale: 2 };
    let (in_values, choice) = ([Value::Int32(3), Value::Null], [Value::Null, Value::Str("")]);
    let inner_value = value_of(&inner, &in_values, &arena);
    let inners = [inner_value, inner_value];
    let entries = [(Value::Str("k"), Value::Int32(0))];
    let values = [
        Value::Int8(-1),
        Value::Decimal(&price),
        Value::Timestamp(1200),
        Value::Null,
        Value::Time(3_601_000),
        inner_value,
        Value::Array(&inners),
        Value::Map(&entries),
        Value::Map(&[]),
        Value::Str("GONE"),
        value_of(&schema.fields[10].schema, &choice, &arena),
        Value::Int64(4_294_967_295),
    ];
    let value = value_of(&schema, &values, &arena);
    let (text, bytes) = written(ProtobufDataConfig::default(), &schema, value).unwrap();
    let expected = r#"syntax = "proto3";
package shop;

import "confluent/type/decimal.proto";
import "google/protobuf/timestamp.proto";
import "google/type/date.proto";
import "google/type/timeofday.proto";

message Order {
  int32 tiny = 1 [(confluent.field_meta) = {
    params: [
      {
        key: "connect.type",
        value: "int8"
      }
    ]
  }];
  confluent.type.Decimal price = 2 [(confluent.field_meta) = {
    params: [
      {
        value: "9",
        key: "precision"
      },
      {
        value: "2",
        key: "scale"
      }
    ]
  }];
  google.protobuf.Timestamp at = 3;
  google.type.Date due = 4;
  google.type.TimeOfDay time = 5;
  InnerMessage Inner = 6;
  repeated Inner inners = 7;
  repeated MyMapEntry my_map = 8;
  repeated ConnectDefault1Entry other = 9;
  Status status = 10;
  uint32 big = 40;
~~
  oneof choice {
    int32 number = 20;
    string text = 21;
  }
~~
  message InnerMessage {
    int32 a = 1;
    string b = 2;
  }
  message Inner {
    int32 a = 1;
    string b = 2;
  }
  message MyMapEntry {
    string key = 1;
    int32 value = 2;
  }
  message ConnectDefault1Entry {
    string key = 1;
    int32 value = 2;
  }
  enum Status {
    ACTIVE = 0;
    GONE = 5;
  }
}
"#;
    assert_eq!(text, expected.replace("~~\n", "\n"));
    let inner = [18 + 24 + 8, 2, 8, 3];
    let expected = [
        &[0][..],
        &[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        &[18, 8, 10, 2, 4, 0xd2, 16, 4, 24, 2],
        &[26, 7, 8, 1, 16, 0x80, 0x84, 0xaf, 0x5f],
        &[42, 4, 8, 1, 24, 1],
        &inner,
        &[58, 2, 8, 3, 58, 2, 8, 3],
        &[66, 3, 10, 1, b'k'],
        &[80, 5],
        &[0xaa, 1, 0],
        &[0xc0, 2, 0xff, 0xff, 0xff, 0xff, 0x0f],
    ]
    .concat();
    assert_eq!(bytes, expected);
}

const TAG_NAME: &str = "io.confluent.connect.protobuf.Tag";
const TYPE: &str = "io.confluent.connect.protobuf.Type";

#[test]
fn nullables_by_label_and_by_wrapper() {
    let arena = Arena::new();
    let inner = struct_of(None, vec![("x", INT32().optional())]).optional();
    let schema = struct_of(
        None,
        vec![
            ("a", INT32().optional()),
            ("b", STRING()),
            ("c", inner.clone()),
            ("d", STRING().optional()),
        ],
    );
    let in_values = [Value::Int32(0)];
    let values = [
        Value::Int32(0),
        Value::Str("ü"),
        value_of(&schema.fields[2].schema, &in_values, &arena),
        Value::Null,
    ];
    let value = value_of(&schema, &values, &arena);
    let labels =
        ProtobufDataConfig { optional_for_nullables: true, ..ProtobufDataConfig::default() };
    let (text, bytes) = written(labels, &schema, value).unwrap();
    assert!(
        text.starts_with(
            "syntax = \"proto3\";\n\nmessage ConnectDefault1 {\n  optional int32 a = 1;\n  string b \
             = 2;\n  optional ConnectDefault2 c = 3;\n  optional string d = 4;\n\n  message \
             ConnectDefault2 {\n    optional int32 x = 1;\n  }\n}\n"
        ),
        "{text}"
    );
    assert_eq!(bytes, [0, 8, 0, 18, 2, 0xc3, 0xbc, 26, 2, 8, 0]);
    let wrappers =
        ProtobufDataConfig { wrapper_for_nullables: true, ..ProtobufDataConfig::default() };
    let (text, bytes) = written(wrappers, &schema, value).unwrap();
    assert!(text.contains("import \"google/protobuf/wrappers.proto\";\n"), "{text}");
    assert!(text.contains("  google.protobuf.Int32Value a = 1;\n"), "{text}");
    assert_eq!(bytes, [0, 10, 0, 18, 2, 0xc3, 0xbc, 26, 2, 10, 0]);
}

#[test]
fn primitives_are_written_in_wrappers() {
    let plain = ProtobufDataConfig::default;
    for (schema, value, expected) in [
        (STRING(), Value::Str("hi"), &[2, 14, 10, 2, b'h', b'i'][..]),
        (STRING(), Value::Str(""), &[2, 14]),
        (
            INT32(),
            Value::Int32(-1),
            &[2, 8, 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        ),
        (Schema::new(SchemaType::Int64), Value::Int64(1), &[2, 4, 8, 1]),
        (
            Schema::new(SchemaType::Float64),
            Value::Float64(-0.0),
            &[0, 9, 0, 0, 0, 0, 0, 0, 0, 0x80],
        ),
        (Schema::new(SchemaType::Boolean), Value::Boolean(true), &[2, 12, 8, 1]),
        (Schema::new(SchemaType::Bytes), Value::Bytes(&[0]), &[2, 16, 10, 1, 0]),
    ] {
        let (text, bytes) = written(plain(), &schema, value).unwrap();
        assert_eq!(text, super::super::super::known::WRAPPERS);
        assert_eq!(bytes, expected, "{schema:?}");
    }
}

#[test]
fn a_struct_inside_of_itself() {
    let text = "syntax = \"proto3\"; message Node { string name = 1; Node next = 2; \
                repeated Node all = 3; map<string, Node> by = 4; Side side = 5; \
                message Side { Node back = 1; } }";
    let shelf = shelf(&[text]);
    let mut converter = converter(config(ProtobufDataConfig::default()), &shelf);
    let payload = [
        &[10, 1, b'a'][..],
        &[18, 5, 10, 1, b'b', 18, 0],
        &[26, 3, 10, 1, b'c', 26, 0],
        &[34, 8, 10, 1, b'k', 18, 3, 10, 1, b'd'],
        &[42, 5, 10, 3, 10, 1, b'e'],
    ]
    .concat();
    let (arena, bytes) = (Arena::new(), framed(1, &[&[0], &payload]));
    let read = converter.to_connect_data("t", Some(&bytes), Detail::Full, &arena).unwrap();
    let mut out = Vec::new();
    converter.from_connect_data("t", read.schema, read.value, &mut out).unwrap();
    assert_eq!(out[5..], bytes[5..]);
    let written = shelf.schemas.borrow()[1].clone();
    assert!(written.contains("  Node next = 2;\n  repeated Node all = 3;\n"), "{written}");
    let again = arena.alloc_bytes(&out);
    let read_again = converter.to_connect_data("t", Some(again), Detail::Full, &arena).unwrap();
    assert_eq!(show(&read_again.value), show(&read.value));
}

#[test]
fn the_registrys_schema_is_written_by_names() {
    let registered = "syntax = \"proto3\"; package other; message First {} message Order { \
        map<string, int64> tags = 9; int64 id = 5; repeated int32 l = 7; string extra = 8; \
        E e = 6; enum E { Z = 0; Y = 3; } }";
    let shelf = shelf(&[registered]);
    let schema = struct_of(
        Some("shop.Order"),
        vec![
            ("id", INT32()),
            ("gone", STRING()),
            ("tags", Schema::map(Arc::new(STRING()), Arc::new(INT32()))),
            ("l", Schema::array(Arc::new(INT32()))),
            ("e", STRING()),
        ],
    );
    let arena = Arena::new();
    let tags = [(Value::Str("k"), Value::Int32(2))];
    let list = [Value::Int32(1), Value::Int32(300)];
    let values = [
        Value::Int32(4),
        Value::Str("left out"),
        Value::Map(&tags),
        Value::Array(&list),
        Value::Str("Y"),
    ];
    let value = value_of(&schema, &values, &arena);
    let write = |write_as: WriteAs| {
        let config = ProtobufConverterConfig {
            registry: RegistryUse { write_as, ..RegistryUse::default() },
            ..config(ProtobufDataConfig::default())
        };
        let mut out = Vec::new();
        converter(config, &shelf)
            .from_connect_data("t", Some(&schema), value, &mut out)
            .map_err(|error| error.message)?;
        Ok::<_, String>(out)
    };
    let bytes = write(WriteAs::Latest { strict: false }).unwrap();
    let expected = [
        &[0, 0, 0, 0, 1, 2, 2][..],
        &[40, 4],
        &[48, 3],
        &[58, 3, 1, 0xac, 2],
        &[74, 5, 10, 1, b'k', 16, 2],
    ]
    .concat();
    assert_eq!(bytes, expected);
    assert_eq!(write(WriteAs::Id { id: 1, strict: false }).unwrap(), expected);
    let error = write(WriteAs::Latest { strict: true }).unwrap_err();
    assert!(error.contains("Incompatible schema 1 of the registry: "), "{error}");
    assert!(write(WriteAs::Known).is_ok());
    let text = &shelf.schemas.borrow()[1];
    assert!(text.starts_with("syntax = \"proto3\";\npackage shop;\n\nmessage Order {\n"), "{text}");
}

#[test]
fn defaults_take_the_place_of_nulls() {
    let mut number = INT32().optional();
    number.default = Some(OwnedValue::Int32(7));
    let schema = struct_of(Some("D"), vec![("n", number)]);
    let arena = Arena::new();
    let value = value_of(&schema, &[Value::Null], &arena);
    assert_eq!(written(ProtobufDataConfig::default(), &schema, value).unwrap().1, [0, 8, 7]);
    let ignored =
        ProtobufDataConfig { ignore_default_for_nullables: true, ..ProtobufDataConfig::default() };
    assert_eq!(written(ignored, &schema, value).unwrap().1, [0]);
}

#[test]
fn names_are_scrubbed_or_refused() {
    let schema = struct_of(
        Some("org.acme-corp.invalid record-name"),
        vec![("invalid field-name", STRING())],
    );
    let arena = Arena::new();
    let values = [Value::Str("foo")];
    let value = value_of(&schema, &values, &arena);
    let error = written(ProtobufDataConfig::default(), &schema, value).unwrap_err();
    assert!(error.contains("\"acme-corp\" is not a valid identifier"), "{error}");
    let data = ProtobufDataConfig { scrub_invalid_names: true, ..ProtobufDataConfig::default() };
    let (text, bytes) = written(data, &schema, value).unwrap();
    assert_eq!(
        text,
        "syntax = \"proto3\";\npackage org.acme_corp;\n\nmessage invalid_record_name {\n  string \
         invalid_field_name = 1;\n}\n"
    );
    assert_eq!(bytes, [0, 10, 3, b'f', b'o', b'o']);
}

#[test]
fn what_cannot_be_written() {
    let arena = Arena::new();
    let plain = ProtobufDataConfig::default;
    let nested = Schema::array(Arc::new(Schema::array(Arc::new(INT32()))));
    let union = struct_of(Some("io.confluent.connect.protobuf.Union.u"), vec![("a", INT32())]);
    for (schema, value, why) in [
        (
            Schema::array(Arc::new(INT32())),
            Value::Array(&[]),
            "Unsupported root schema of type ARRAY",
        ),
        (Schema::decimal(1), Value::Bytes(&[1]), DECIMAL_NAME),
        (Schema::date(), Value::Date(1), DATE_NAME),
        (struct_of(None, vec![("l", nested)]), Value::Int32(1), "l: a list of type ARRAY"),
        (struct_of(None, vec![("u", union)]), Value::Int32(1), "lacks the parameter"),
        (INT32(), Value::Str("x"), "Invalid type for INT32: class java.lang.String"),
        (
            struct_of(None, vec![("a", with(INT32(), &[(TAG_NAME, "0")]))]),
            Value::Int32(1),
            "is no number of a field",
        ),
        (
            struct_of(None, vec![("a", with(INT32(), &[(TYPE, "string")]))]),
            Value::Int32(1),
            "is no integer type",
        ),
    ] {
        let error = written(plain(), &schema, value).unwrap_err();
        assert!(error.starts_with("Failed to serialize Protobuf data for topic t: "), "{error}");
        assert!(error.contains(why), "{error}");
    }
    let list = struct_of(None, vec![("l", Schema::array(Arc::new(INT32().optional())))]);
    let values = [Value::Array(&[Value::Null])];
    let error = written(plain(), &list, value_of(&list, &values, &arena)).unwrap_err();
    assert!(error.contains("l: Protobuf has no null in lists"), "{error}");
    let narrow =
        struct_of(None, vec![("n", with(Schema::new(SchemaType::Int64), &[(TYPE, "uint32")]))]);
    let values = [Value::Int64(-1)];
    let error = written(plain(), &narrow, value_of(&narrow, &values, &arena)).unwrap_err();
    assert!(error.contains("n: -1 is out of range for uint32"), "{error}");
    let other = struct_of(None, vec![("m", INT32())]);
    let error = written(plain(), &narrow, value_of(&other, &values, &arena)).unwrap_err();
    assert!(error.contains("Mismatching struct schema"), "{error}");
    let mut converter = converter(config(plain()), &shelf(&[]));
    let mut out = vec![1, 2];
    let error = converter.from_connect_data("t", None, Value::Int32(1), &mut out).unwrap_err();
    assert!(error.message.contains("needs a schema"), "{}", error.message);
    assert_eq!(out, [1, 2]);
    assert_eq!(converter.from_connect_data("t", Some(&other), Value::Null, &mut out), Ok(false));
}
