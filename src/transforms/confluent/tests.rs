//! Confluent's transforms as a chain calls them, after their documentation.

use std::sync::Arc;

use millrace_api::record::{Header, Record};
use millrace_api::transformation::Transformation;
use millrace_converters::json::parse;
use millrace_converters::{
    Arena, Field, JsonText, Schema, SchemaAndValue, SchemaType, Struct, Value,
};

use crate::test_rig::{config, record};

fn made(class: &str, settings: &[(&str, &str)]) -> Result<Box<dyn Transformation>, Vec<String>> {
    let class = format!("io.confluent.connect.transforms.{class}");
    let list = crate::transformations();
    let plugin = list.iter().find(|plugin| plugin.class == class).expect("it is in the list");
    (plugin.new)(&config(settings))
        .map_err(|errors| errors.into_iter().map(|error| error.message).collect())
}

/// The topic that comes out, `DROPPED`, or the error's class and message.
fn topic<'a>(step: &mut dyn Transformation, record: Record<'a>, arena: &'a Arena) -> String {
    match step.apply(record, arena) {
        Ok(Some(record)) => record.topic.to_owned(),
        Ok(None) => "DROPPED".to_owned(),
        Err(error) => {
            format!("{}: {}", error.class.rsplit('.').next().unwrap_or_default(), error.message)
        }
    }
}

/// A record with that schemaless value, parsed and as text.
fn forms<'a>(text: &'a str, arena: &'a Arena) -> [Record<'a>; 2] {
    let parsed = parse(text.as_bytes(), arena).unwrap();
    let unparsed = Value::Json(arena.alloc(JsonText::verbatim(text.as_bytes())));
    [record(None, parsed), record(None, unparsed)]
}

#[test]
fn filter_includes_excludes_and_knows_what_is_missing() {
    let condition = "$.key[?(@.nested == 'v1' || @.nested == 'v2')]";
    let meets = r#"{"key":{"nested":"v2"}}"#;
    let other = r#"{"key":{"nested":"v3"}}"#;
    let inner = r#"{"key":{}}"#;
    let lacks = r#"{"id":1}"#;
    for (type_, missing, expected) in [
        ("include", "exclude", ["topic", "DROPPED", "DROPPED", "DROPPED"]),
        ("include", "include", ["topic", "DROPPED", "DROPPED", "topic"]),
        ("EXCLUDE", "exclude", ["DROPPED", "topic", "topic", "DROPPED"]),
    ] {
        let settings = [
            ("filter.condition", condition),
            ("filter.type", type_),
            ("missing.or.null.behavior", missing),
        ];
        let mut filter = made("Filter$Value", &settings).unwrap();
        for (text, expected) in [meets, other, inner, lacks].into_iter().zip(expected) {
            let arena = Arena::new();
            for record in forms(text, &arena) {
                assert_eq!(topic(&mut *filter, record, &arena), expected, "{text} {settings:?}");
            }
        }
    }
}

#[test]
fn filter_fails_passes_null_and_reads_structs() {
    let arena = Arena::new();
    let settings = [("filter.condition", "$.a[?(@.b > 5)]"), ("filter.type", "include")];
    let mut filter = made("Filter$Value", &settings).unwrap();
    let mut answer = |record| topic(&mut *filter, record, &arena);
    let [parsed, text] = forms(r#"{"x":1}"#, &arena);
    for record in [parsed, text] {
        assert!(answer(record).starts_with("PathNotFoundException: The condition `$.a"));
    }
    assert_eq!(answer(record(None, Value::Null)), "topic");
    assert_eq!(
        answer(record(None, Value::Str("x"))),
        "DataException: Only Map objects supported in absence of schema for [filtering record \
         without schema], found: java.lang.String"
    );
    let field = |name: &str, schema| Field { name: name.into(), schema: Arc::new(schema) };
    let inner = Schema::struct_of(vec![field("b", Schema::new(SchemaType::Int32))]);
    let schema = Schema::struct_of(vec![field("a", inner.clone())]);
    for (number, expected) in [(6, "topic"), (5, "DROPPED")] {
        let b = arena.alloc_slice(&[Value::Int32(number)]);
        let inner = arena.alloc(Struct { schema: &inner, values: b });
        let values = arena.alloc_slice(&[Value::Struct(inner)]);
        let data = Value::Struct(arena.alloc(Struct { schema: &schema, values }));
        assert_eq!(answer(record(Some(&schema), data)), expected);
    }
}

#[test]
fn filter_refuses_all_that_is_wrong_at_once() {
    let wrong = [
        ("filter.condition", "$[?(@.a ="),
        ("filter.type", "keep"),
        ("missing.or.null.behavior", "x"),
    ];
    let errors = made("Filter$Key", &wrong).err().unwrap();
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert!(errors[0].starts_with("Invalid value $[?(@.a = for configuration filter.condition: "));
    assert_eq!(
        errors[1],
        "Invalid value keep for configuration filter.type: String must be one of (case \
         insensitive): INCLUDE, EXCLUDE"
    );
    let function = [("filter.condition", "$.a.length()"), ("filter.type", "include")];
    assert!(made("Filter$Key", &function).err().unwrap()[0].contains("end with a function"));
    assert_eq!(made("Filter$Key", &[]).err().unwrap().len(), 2);
}

#[test]
fn extract_topic_from_the_whole_a_field_a_path_and_a_header() {
    let arena = Arena::new();
    let mut whole = made("ExtractTopic$Key", &[]).unwrap();
    let base = record(None, Value::Null);
    let key = |value| SchemaAndValue { schema: None, value };
    assert_eq!(topic(&mut *whole, Record { key: key(Value::Str("k")), ..base }, &arena), "k");
    let text = Value::Json(arena.alloc(JsonText::verbatim(br#""k2""#)));
    assert_eq!(topic(&mut *whole, Record { key: key(text), ..base }, &arena), "k2");
    assert!(topic(&mut *whole, base, &arena).starts_with("DataException: the key is missing or"));
    let number = Record { key: key(Value::Int64(5)), ..base };
    assert_eq!(
        topic(&mut *whole, number, &arena),
        "DataException: The topic must be a string, but the key is: java.lang.Long"
    );
    let document = r#"{"f":{"g":"deep"},"t":"plain","n":null,"e":""}"#;
    for (settings, expected) in [
        (&[("field", "t")][..], "plain"),
        (&[("field", "n"), ("skip.missing.or.null", "true")], "topic"),
        (&[("field", "zz"), ("skip.missing.or.null", "true")], "topic"),
        (&[("field", r#"["f"]["g"]"#), ("field.format", "JSON_PATH")], "deep"),
        (&[("field", "$.f.g"), ("field.format", "json_path")], "deep"),
        (
            &[("field", "$.q.g"), ("field.format", "JSON_PATH"), ("skip.missing.or.null", "true")],
            "topic",
        ),
        (
            &[("field", "n")],
            "DataException: field 'n' of the value is missing or null, so that the record has no \
             topic; `skip.missing.or.null` would leave it the one it has",
        ),
        (&[("field", "e")], "DataException: field 'e' of the value is empty, which is no topic"),
    ] {
        let mut step = made("ExtractTopic$Value", settings).unwrap();
        for record in forms(document, &arena) {
            assert_eq!(topic(&mut *step, record, &arena), expected, "{settings:?}");
        }
    }
    let mut header = made("ExtractTopic$Header", &[("field", "h")]).unwrap();
    let of = |text| Header { name: "h", datum: key(Value::Str(text)) };
    let headers = [of("first"), of("last")];
    let headers = arena.alloc_slice(&headers);
    assert_eq!(topic(&mut *header, Record { headers, ..base }, &arena), "last");
    assert!(topic(&mut *header, base, &arena).contains("header 'h' is missing"));
}

#[test]
fn extract_topic_refuses_paths_of_several_fields() {
    for field in ["$..a", "$.a[*]", "$[", "$.a.length()"] {
        let settings = [("field", field), ("field.format", "JSON_PATH")];
        assert!(made("ExtractTopic$Value", &settings).is_err(), "{field}");
    }
    assert!(made("ExtractTopic$Header", &[]).is_err());
    assert!(made("ExtractTopic$Header", &[("field", "")]).is_err());
    let wrong = [("field.format", "XML"), ("skip.missing.or.null", "perhaps")];
    assert_eq!(made("ExtractTopic$Key", &wrong).err().unwrap().len(), 2);
}

#[test]
fn message_timestamp_router_takes_the_first_key_that_is_there() {
    let documented = [
        ("topic.format", "foo-${topic}-${timestamp}"),
        ("message.timestamp.format", "yyyy-MM-dd"),
        ("topic.timestamp.format", "yyyy.MM.dd"),
        ("message.timestamp.keys", "timestamp,time,ts"),
    ];
    let mut router = made("MessageTimestampRouter", &documented).unwrap();
    let arena = Arena::new();
    for (text, expected) in [
        (r#"{"time":"2019-08-06"}"#, "foo-topic-2019.08.06"),
        (r#"{"ts":"2001-01-01","timestamp":"2019-08-07","time":"x"}"#, "foo-topic-2019.08.07"),
        (r#"{"timestamp":null,"ts":"2019-08-07"}"#, "foo-topic-2019.08.07"),
        (r#"{"ts":1565136000000}"#, "foo-topic-2019.08.07"),
        (
            r#"{"ts":"today"}"#,
            "DataException: The text in timestamp, time, ts is no timestamp in the format of \
             message.timestamp.format",
        ),
        ("{}", "DataException: The record has no timestamp in any of timestamp, time, ts"),
        (
            r#"{"ts":1.5}"#,
            "DataException: A timestamp must be text or a whole number, but is: java.lang.Double",
        ),
    ] {
        for record in forms(text, &arena) {
            assert_eq!(topic(&mut *router, record, &arena), expected, "{text}");
        }
    }
    let mut millis = made("MessageTimestampRouter", &[("message.timestamp.keys", "ts")]).unwrap();
    for record in forms(r#"{"ts":"1565136000000"}"#, &arena) {
        assert_eq!(topic(&mut *millis, record, &arena), "topic-20190807");
    }
    let wrong = [("topic.timestamp.format", "b"), ("message.timestamp.format", "'")];
    assert_eq!(made("MessageTimestampRouter", &wrong).err().unwrap().len(), 3);
}

#[test]
fn tombstones_are_handled_by_behavior() {
    let arena = Arena::new();
    let schema = Schema::new(SchemaType::String).optional();
    for (behavior, expected) in [
        ("drop_silent", "DROPPED"),
        ("drop_warn", "DROPPED"),
        ("ignore", "topic"),
        ("WARN", "topic"),
        ("fail", "DataException: The record is a tombstone: its value is null (topic 'topic')"),
    ] {
        let mut step = made("TombstoneHandler", &[("behavior", behavior)]).unwrap();
        for record in [record(None, Value::Null), record(Some(&schema), Value::Null)] {
            assert_eq!(topic(&mut *step, record, &arena), expected, "{behavior}");
        }
        assert_eq!(topic(&mut *step, record(None, Value::Str("x")), &arena), "topic");
    }
    assert!(made("TombstoneHandler", &[("behavior", "drop")]).is_err());
}

#[test]
fn drop_nullifies_and_treats_the_schema_as_told() {
    let arena = Arena::new();
    let required = Schema::new(SchemaType::String);
    let optional = required.clone().optional();
    for (behavior, schema, expected) in [
        ("nullify", &required, Some(None)),
        ("retain", &required, Some(Some(false))),
        ("validate", &optional, Some(Some(true))),
        ("validate", &required, None),
        ("force_optional", &required, Some(Some(true))),
        ("force_optional", &optional, Some(Some(true))),
    ] {
        let mut step = made("Drop$Value", &[("schema.behavior", behavior)]).unwrap();
        let answer = step.apply(record(Some(schema), Value::Str("x")), &arena);
        let shown = answer.ok().flatten().map(|record| {
            assert!(record.value.value.is_null());
            record.value.schema.map(|schema| schema.optional)
        });
        assert_eq!(shown, expected, "{behavior}");
    }
    let mut key = made("Drop$Key", &[]).unwrap();
    let full = Record {
        key: SchemaAndValue { schema: Some(&required), value: Value::Str("k") },
        ..record(None, Value::Str("v"))
    };
    let dropped = key.apply(full, &arena).unwrap().unwrap();
    assert!(dropped.key.schema.is_none() && dropped.key.value.is_null());
    assert!(dropped.value.value.as_str() == Some("v"));
}
