//! `JsonConverter` against what Kafka 4.1.0's answered.

use super::*;
use crate::data::{Decimal, Field, OwnedValue, SchemaType, Struct};
use crate::json::DecimalFormat;
use crate::json::jvm_text::{show, show_schema};

#[test]
fn envelopes_as_the_jvm_reads_them() {
    let mut converter = JsonConverter::new(JsonConverterConfig::default());
    let rows = include_str!("envelopes.tsv").lines().map(|row| row.split_once('\t').unwrap());
    let mut count = 0;
    for (text, expected) in rows {
        let arena = Arena::new();
        let bytes = Some(text.as_bytes());
        let answer = match converter.to_connect_data("t", bytes, Detail::Full, &arena) {
            Ok(data) => format!("{} {}", show_schema(data.schema), show(&data.value)),
            Err(error) => {
                let class = error.class.rsplit('.').next().unwrap();
                format!("!{class}: {}", error.message)
            }
        };
        // The cause is another exception in Java.
        let expected = expected.split(" / ").next().unwrap();
        assert_eq!(answer, expected, "{text}");
        count += 1;
    }
    assert!(count > 60);
    let arena = Arena::new();
    // What the JVM wraps or makes infinite without a word.
    for (schema, payload, what) in [
        ("null", "123456789012345678901234567890", "64 bits"),
        (r#"{"type":"int64"}"#, "123456789012345678901234567890", "64 bits"),
        (r#"{"type":"int64"}"#, "1e30", "64 bits"),
        ("null", "1e400", "double"),
        (r#"{"type":"double"}"#, "-1e400", "double"),
    ] {
        let wide = format!(r#"{{"schema":{schema},"payload":{payload}}}"#);
        let wide = Some(wide.as_bytes());
        let error = converter.to_connect_data("t", wide, Detail::Full, &arena).unwrap_err();
        assert!(error.message.contains(what), "{}", error.message);
    }
    assert!(converter.to_connect_data("t", None, Detail::Full, &arena).unwrap().value.is_null());
}

/// What is wrong behind or inside the envelope is found, though nobody reads it.
#[test]
fn the_whole_envelope_is_checked() {
    let mut converter = JsonConverter::new(JsonConverterConfig::default());
    for (text, what) in [
        (&b"{\"schema\":null,\"payload\":1} x"[..], "text after the JSON document at byte 28"),
        (b"{\"schema\":null,\"payload\":\"\xff\"}", "invalid UTF-8 at byte 26"),
        (b"{\"schema\":null,\"payload\":[1,]}", "expected a value at byte 28"),
        (b"[1,]", "expected a value at byte 3"),
    ] {
        for detail in [Detail::Full, Detail::Text] {
            let arena = Arena::new();
            let error = converter.to_connect_data("t", Some(text), detail, &arena).unwrap_err();
            assert!(error.message.ends_with(what), "{} {what}", error.message);
        }
    }
}

fn field(name: &str, schema: Schema) -> Field {
    Field { name: name.into(), schema: schema.into() }
}

fn with_default(schema: Schema, default: OwnedValue) -> Schema {
    Schema { default: Some(default), ..schema }
}

fn everything() -> Schema {
    use SchemaType as T;
    let list = Schema::array(Schema::new(T::String).into()).optional();
    let inner = Schema::struct_of(vec![
        field("a", Schema::new(T::Int32)),
        field("b", Schema::new(T::String).optional()),
        field("c", list),
    ])
    .named("r");
    let int8 = with_default(Schema::new(T::Int8).optional(), OwnedValue::Int8(4));
    let schema = Schema::struct_of(vec![
        field("i8", Schema { doc: Some("x".into()), ..int8 }),
        field("f", Schema::new(T::Float32)),
        field("d", Schema::new(T::Float64)),
        field("by", Schema::new(T::Bytes)),
        field("dec", Schema::decimal(2)),
        field("dt", Schema::date()),
        field("tm", Schema::time()),
        field("ts", Schema::timestamp()),
        field("m", Schema::map(Schema::new(T::String).into(), Schema::new(T::Int32).into())),
        field("mi", Schema::map(Schema::new(T::Int32).into(), Schema::new(T::String).into())),
        field("arr", Schema::array(Schema::new(T::Boolean).optional().into())),
        field("n", Schema::new(T::String).optional()),
        field("st", inner),
        field("dd", with_default(Schema::new(T::String), OwnedValue::String("def".into()))),
    ])
    .named("all");
    Schema {
        version: Some(3),
        doc: Some("d".into()),
        parameters: vec![("p".into(), "q".into())],
        ..schema
    }
}

const PAYLOAD: &str = r#"{"i8":4,"f":1.1,"d":1.0E10,"by":"AQI=","dec":"AJY=","dt":3,"tm":5000,"ts":1700000000000,"m":{"a":1},"mi":[[1,"a"]],"arr":[true,null],"n":null,"st":{"a":1,"b":null,"c":["x","y\"z"]},"dd":"def"}"#;

const SCHEMA: &str = r#"{"type":"struct","fields":[{"type":"int8","optional":true,"doc":"x","default":4,"field":"i8"},{"type":"float","optional":false,"field":"f"},{"type":"double","optional":false,"field":"d"},{"type":"bytes","optional":false,"field":"by"},{"type":"bytes","optional":false,"name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"2"},"field":"dec"},{"type":"int32","optional":false,"name":"org.apache.kafka.connect.data.Date","version":1,"field":"dt"},{"type":"int32","optional":false,"name":"org.apache.kafka.connect.data.Time","version":1,"field":"tm"},{"type":"int64","optional":false,"name":"org.apache.kafka.connect.data.Timestamp","version":1,"field":"ts"},{"type":"map","keys":{"type":"string","optional":false},"values":{"type":"int32","optional":false},"optional":false,"field":"m"},{"type":"map","keys":{"type":"int32","optional":false},"values":{"type":"string","optional":false},"optional":false,"field":"mi"},{"type":"array","items":{"type":"boolean","optional":true},"optional":false,"field":"arr"},{"type":"string","optional":true,"field":"n"},{"type":"struct","fields":[{"type":"int32","optional":false,"field":"a"},{"type":"string","optional":true,"field":"b"},{"type":"array","items":{"type":"string","optional":false},"optional":true,"field":"c"}],"optional":false,"name":"r","field":"st"},{"type":"string","optional":false,"default":"def","field":"dd"}],"optional":false,"name":"all","version":3,"doc":"d","parameters":{"p":"q"}}"#;

fn write(
    converter: &mut JsonConverter,
    schema: Option<&Schema>,
    value: Value<'_>,
) -> Result<Option<String>, String> {
    let mut out = b"before".to_vec();
    let written = converter.from_connect_data("t", schema, value, &mut out);
    let text = String::from_utf8(out.split_off(6)).unwrap();
    if !matches!(written, Ok(true)) {
        assert_eq!(text, "");
    }
    written.map(|some| some.then_some(text)).map_err(|error| error.message)
}

fn converters() -> [JsonConverter; 3] {
    let config = JsonConverterConfig::default();
    let numeric =
        WriteOptions { decimal_format: DecimalFormat::Numeric, replace_null_with_default: false };
    [
        JsonConverter::new(config),
        JsonConverter::new(JsonConverterConfig { schemas_enable: false, ..config }),
        JsonConverter::new(JsonConverterConfig { write: numeric, ..config }),
    ]
}

#[test]
fn a_struct_of_everything_goes_and_comes_back() {
    let schema = everything();
    let arena = Arena::new();
    let value = Value::Struct(arena.alloc(Struct {
        schema: &schema,
        values: arena.alloc_slice(&[
            Value::Null,
            Value::Float32(1.1),
            Value::Float64(1e10),
            Value::Bytes(&[1, 2]),
            Value::Decimal(&Decimal { unscaled: &[0, 0x96], scale: 2 }),
            Value::Date(3),
            Value::Time(5000),
            Value::Timestamp(1_700_000_000_000),
            Value::Map(&[(Value::Str("a"), Value::Int32(1))]),
            Value::Map(&[(Value::Int32(1), Value::Str("a"))]),
            Value::Array(&[Value::Boolean(true), Value::Null]),
            Value::Null,
            Value::Struct(arena.alloc(Struct {
                schema: &schema.fields[12].schema,
                values: &[
                    Value::Int32(1),
                    Value::Null,
                    Value::Array(&[Value::Str("x"), Value::Str("y\"z")]),
                ],
            })),
            Value::Null,
        ]),
    }));
    let [mut with, mut without, mut numeric] = converters();
    let envelope = format!(r#"{{"schema":{SCHEMA},"payload":{PAYLOAD}}}"#);
    for _cached in 0..2 {
        assert_eq!(write(&mut with, Some(&schema), value), Ok(Some(envelope.clone())));
    }
    assert_eq!(write(&mut without, Some(&schema), value), Ok(Some(PAYLOAD.to_owned())));
    assert_eq!(
        write(&mut numeric, Some(&schema), value).unwrap_err(),
        "Conversion error: null value for field that is required and has no default value"
    );
    for _cached in 0..2 {
        let read =
            with.to_connect_data("t", Some(envelope.as_bytes()), Detail::Full, &arena).unwrap();
        assert_eq!(read.schema, Some(&schema));
        assert_eq!(write(&mut without, read.schema, read.value), Ok(Some(PAYLOAD.to_owned())));
    }
}

#[test]
fn single_values_as_the_jvm_writes_them() {
    use SchemaType as T;
    let null = "Conversion error: null value for field that is required and has no default value";
    let int = Schema::new(T::Int32);
    let five = with_default(int.clone(), OwnedValue::Int32(5));
    let five_optional = five.clone().optional();
    let wrapped = |schema: &str, payload: &str| {
        Ok(Some(format!(r#"{{"schema":{schema},"payload":{payload}}}"#)))
    };
    let plain = |text: &str| Ok(Some(text.to_owned()));
    let [mut with, mut without, mut numeric] = converters();
    let optional_int = int.clone().optional();
    type Case<'a> = (Option<&'a Schema>, Value<'a>, [Result<Option<String>, String>; 3]);
    let cases: Vec<Case> = vec![
        (None, Value::Null, [Ok(None), Ok(None), Ok(None)]),
        (
            Some(&optional_int),
            Value::Null,
            [
                wrapped(r#"{"type":"int32","optional":true}"#, "null"),
                plain("null"),
                wrapped(r#"{"type":"int32","optional":true}"#, "null"),
            ],
        ),
        (Some(&int), Value::Null, [Err(null.into()), Err(null.into()), Err(null.into())]),
        (
            Some(&five),
            Value::Null,
            [
                wrapped(r#"{"type":"int32","optional":false,"default":5}"#, "5"),
                plain("5"),
                Err(null.into()),
            ],
        ),
        (
            Some(&five_optional),
            Value::Null,
            [
                wrapped(r#"{"type":"int32","optional":true,"default":5}"#, "5"),
                plain("5"),
                wrapped(r#"{"type":"int32","optional":true,"default":5}"#, "null"),
            ],
        ),
        (
            None,
            Value::Map(&[(Value::Int32(1), Value::Int32(2))]),
            [wrapped("null", "[[1,2]]"), plain("[[1,2]]"), wrapped("null", "[[1,2]]")],
        ),
        (
            None,
            Value::Float32(f32::INFINITY),
            [
                wrapped("null", "\"Infinity\""),
                plain("\"Infinity\""),
                wrapped("null", "\"Infinity\""),
            ],
        ),
    ];
    for (schema, value, expected) in cases {
        let answers = [
            write(&mut with, schema, value),
            write(&mut without, schema, value),
            write(&mut numeric, schema, value),
        ];
        assert_eq!(answers, expected);
    }
    for (schema, value, expected) in [
        (Some(int.clone()), Value::Str("x"), "Invalid type for INT32: class java.lang.String"),
        (Some(int), Value::Int64(5), "Invalid type for INT32: class java.lang.Long"),
        (
            Some(Schema::new(T::Bytes)),
            Value::Str("x"),
            "Invalid type for bytes type: class java.lang.String",
        ),
        (
            None,
            Value::Decimal(&Decimal { unscaled: &[15], scale: 1 }),
            "Java class class java.math.BigDecimal does not have corresponding schema type.",
        ),
        (
            None,
            Value::Timestamp(5),
            "Java class class java.util.Date does not have corresponding schema type.",
        ),
        (
            Some(Schema::decimal(2)),
            Value::Decimal(&Decimal { unscaled: &[15], scale: 1 }),
            "Decimal value has mismatching scale for given Decimal schema. Schema has scale 2, \
             value has scale 1.",
        ),
    ] {
        assert_eq!(write(&mut without, schema.as_ref(), value).unwrap_err(), expected);
    }
    let decimal = Value::Decimal(&Decimal { unscaled: &[15], scale: 1 });
    let answer = write(&mut numeric, Some(&Schema::decimal(2)), decimal).unwrap().unwrap();
    assert!(answer.ends_with(r#""payload":1.5}"#), "{answer}");
}

#[test]
fn schemaless_text_stays_text() {
    let [_, mut without, _] = converters();
    assert_eq!(without.shortcut(), Shortcut::SchemalessJson);
    let arena = Arena::new();
    let text = " {\"a\" : 1.50} ";
    let data = without.to_connect_data("t", Some(text.as_bytes()), Detail::Text, &arena).unwrap();
    assert!(matches!(data.value, Value::Json(_)));
    assert_eq!(write(&mut without, None, data.value), Ok(Some("{\"a\" : 1.50}".to_owned())));
    for text in ["", " ", "null"] {
        let bytes = Some(text.as_bytes());
        for detail in [Detail::Text, Detail::Full] {
            assert!(without.to_connect_data("t", bytes, detail, &arena).unwrap().value.is_null());
        }
    }
    // The mark of UTF-8 before a document is no part of it.
    let marked = Some("\u{feff}{\"a\":1}".as_bytes());
    let data = without.to_connect_data("t", marked, Detail::Text, &arena).unwrap();
    assert_eq!(write(&mut without, None, data.value), Ok(Some("{\"a\":1}".to_owned())));
    assert!(without.to_connect_data("t", marked, Detail::Full, &arena).is_ok());
    assert!(without.to_connect_data("t", Some(b"\xef\xbb1"), Detail::Full, &arena).is_err());
    let error = without.to_connect_data("t", Some(b"{"), Detail::Text, &arena).unwrap_err();
    assert_eq!(
        error.message,
        "Converting byte[] to Kafka Connect data failed due to serialization error: unexpected end \
         of the JSON document at byte 1"
    );
}

#[test]
fn caches_have_a_bound() {
    let config = JsonConverterConfig { schemas_cache_size: 2, ..JsonConverterConfig::default() };
    let mut converter = JsonConverter::new(config);
    for version in 0..10 {
        let arena = Arena::new();
        let text = format!(
            r#"{{"schema":{{"type":"int32","optional":false,"version":{version}}},"payload":1}}"#
        );
        let data =
            converter.to_connect_data("t", Some(text.as_bytes()), Detail::Full, &arena).unwrap();
        assert_eq!(data.schema.unwrap().version, Some(version));
        assert_eq!(write(&mut converter, data.schema, data.value), Ok(Some(text)));
        assert!(converter.read.len() <= 2 && converter.written.len() <= 2);
    }
}

/// What a converter that has seen other records says of one, a new converter says too.
#[test]
fn heads_that_are_known_change_no_answer() {
    let schema = |name: &str| {
        format!(
            r#"{{"type":"struct","name":"{name}","optional":false,"fields":[{{"field":"a","type":"int64","optional":false}},{{"field":"b\"","type":"string","optional":true}}]}}"#
        )
    };
    let record = |name: &str, payload: &str| {
        format!(r#" {{"schema": {}, "payload": {payload}}} "#, schema(name))
    };
    let payloads = [
        r#"{"a":1,"b\"":"x"}"#,
        r#"{"b\"":null,"a":2,"c":["\u00e9é",{"d":[]}]}"#,
        r#"{"a":1}, "payload": {"a":3}"#,
        r#"{"a":1}, "other": 1"#,
        r#"{"a":1}, "schema": null"#,
        r#"{"a":null}"#,
        r#"{"a":1,"a":2}"#,
        r#"{"a":1}}"#,
        "null",
        "7",
        "",
    ];
    let mut warm = JsonConverter::new(JsonConverterConfig::default());
    let (mut answers, mut good) = (0, 0);
    let mut compare = |bytes: &[u8]| {
        let arena = Arena::new();
        let mut new = JsonConverter::new(JsonConverterConfig::default());
        let ask = |converter: &mut JsonConverter| {
            let data = converter.to_connect_data("t", Some(bytes), Detail::Full, &arena);
            data.map(|data| (show_schema(data.schema), show(&data.value)))
                .map_err(|error| error.message)
        };
        let (known, fresh) = (ask(&mut warm), ask(&mut new));
        assert_eq!(known, fresh, "{}", String::from_utf8_lossy(bytes));
        answers += 1;
        good += usize::from(fresh.is_ok());
    };
    for round in 0..40 {
        // More names than heads that are kept; each record with its head learned and again.
        let name = format!("n{}", round % 11);
        for payload in payloads {
            for _ in 0..2 {
                compare(record(&name, payloads[0]).as_bytes());
                compare(record(&name, payload).as_bytes());
            }
        }
    }
    // One byte changed, wherever it stands.
    let whole = record("n0", payloads[1]);
    for at in 0..whole.len() {
        for byte in [b'"', b'}', b',', b'\\', 0xff, b' ', b'1'] {
            compare(whole.as_bytes());
            let mut bytes = whole.clone().into_bytes();
            bytes[at] = byte;
            compare(&bytes);
        }
    }
    let deep = |depth: usize| {
        let deep = "[".repeat(depth) + &"]".repeat(depth);
        record("n0", &format!(r#"{{"a":1,"deep":{deep}}}"#))
    };
    for depth in [1, 996, 997, 998, 999, 1000, 1001] {
        compare(whole.as_bytes());
        compare(deep(depth).as_bytes());
    }
    assert!(answers > 2000 && good > 500, "{good} of {answers}");
}
