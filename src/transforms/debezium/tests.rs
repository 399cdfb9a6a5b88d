//! Debezium's transforms as a chain calls them. The behaviour tests hold them against the real
//! classes over thousands of events; here stands what is quick to see.

use std::rc::Rc;
use std::sync::Arc;

use millrace_api::record::Record;
use millrace_api::transformation::{Side, Transformation};
use millrace_converters::json::{WriteOptions, parse, write_value};
use millrace_converters::{
    Arena, Field, JsonText, Schema, SchemaAndValue, SchemaType, Struct, Value,
};

use crate::test_rig::{config, record, show, told};

fn made(class: &str, settings: &[(&str, &str)]) -> Result<Box<dyn Transformation>, Vec<String>> {
    let class = format!("io.debezium.transforms.{class}");
    let list = crate::transformations();
    let plugin = list.iter().find(|plugin| plugin.class == class).expect("it is in the list");
    (plugin.new)(&config(settings))
        .map_err(|errors| errors.into_iter().map(|error| error.message).collect())
}

fn field(name: &str, schema: Schema) -> Field {
    Field { name: name.into(), schema: Arc::new(schema) }
}

fn envelope() -> Schema {
    let row = Schema::struct_of(vec![
        field("id", Schema::new(SchemaType::Int32)),
        field("name", Schema::new(SchemaType::String).optional()),
    ])
    .named("srv.t.Value")
    .optional();
    let source = Schema::struct_of(vec![field("db", Schema::new(SchemaType::String))]);
    Schema::struct_of(vec![
        field("before", row.clone()),
        field("after", row),
        field("source", source),
        field("op", Schema::new(SchemaType::String)),
        field("ts_ms", Schema::new(SchemaType::Int64).optional()),
    ])
    .named("srv.t.Envelope")
}

/// An event with these rows, of the operation.
fn event<'a>(
    schema: &'a Schema,
    before: Option<i32>,
    after: Option<i32>,
    op: &'a str,
    arena: &'a Arena,
) -> Record<'a> {
    let row = |at: usize, id: Option<i32>| match id {
        None => Value::Null,
        Some(id) => {
            let values = arena.alloc_slice(&[Value::Int32(id), Value::Str("n")]);
            Value::Struct(arena.alloc(Struct { schema: &schema.fields[at].schema, values }))
        }
    };
    let db = arena.alloc_slice(&[Value::Str("shop")]);
    let source = arena.alloc(Struct { schema: &schema.fields[2].schema, values: db });
    let values = [row(0, before), row(1, after), Value::Struct(source), Value::Str(op)];
    let mut all = values.to_vec();
    all.push(Value::Int64(1_700_000_000_123));
    let values = arena.alloc_slice(&all);
    record(Some(schema), Value::Struct(arena.alloc(Struct { schema, values })))
}

fn shown<'a>(step: &mut dyn Transformation, record: Record<'a>, arena: &'a Arena) -> String {
    match step.apply(record, arena) {
        Ok(None) => "DROPPED".to_owned(),
        Err(error) => error.message,
        Ok(Some(record)) => {
            let schema = record.value.schema.and_then(|schema| schema.name.as_deref());
            let key = show(&record.key.value);
            let value = show(&record.value.value);
            let headers = record.headers.iter();
            let headers: String = headers
                .map(|header| format!(" {}:{}", header.name, show(&header.datum.value)))
                .collect();
            format!("{} {key} {} {value}{headers}", record.topic, schema.unwrap_or("-"))
        }
    }
}

#[test]
fn rows_in_place_of_events_by_mode() {
    let schema = envelope();
    let new = "topic null srv.t.Value {id=Integer(2),name=String(n),";
    let marked = |mark: &str, id: i32| {
        format!(
            "topic null srv.t.Value {{id=Integer({id}),name=String(n),__deleted=String({mark}),}}"
        )
    };
    for (settings, insert, delete, tombstone) in [
        (&[][..], format!("{new}}}"), "topic null srv.t.Value null".to_owned(), "DROPPED"),
        (
            &[("delete.tombstone.handling.mode", "drop")],
            format!("{new}}}"),
            "DROPPED".to_owned(),
            "DROPPED",
        ),
        (
            &[("delete.tombstone.handling.mode", "rewrite-with-tombstone")],
            marked("false", 2),
            marked("true", 1),
            "topic null - null",
        ),
        (
            &[("delete.tombstone.handling.mode", "delete-to-tombstone")],
            format!("{new}}}"),
            "topic null - null".to_owned(),
            "DROPPED",
        ),
        (
            &[("drop.tombstones", "false")],
            format!("{new}}}"),
            "DROPPED".to_owned(),
            "topic null - null",
        ),
        (&[("delete.handling.mode", "rewrite")], marked("false", 2), marked("true", 1), "DROPPED"),
        (
            &[
                ("add.fields", "op,source.db,missing"),
                ("add.headers", "op"),
                ("route.by.field", "name"),
            ],
            "n null srv.t.Value {id=Integer(2),name=String(n),__op=String(c),\
             __source_db=String(shop),} __op:String(c)"
                .to_owned(),
            "n null srv.t.Value null __op:String(d)".to_owned(),
            "DROPPED",
        ),
    ] {
        let mut step = made("ExtractNewRecordState", settings).unwrap();
        for _twice in 0..2 {
            let arena = Arena::new();
            let mut answer = |record| shown(&mut *step, record, &arena);
            let created = event(&schema, None, Some(2), "c", &arena);
            assert_eq!(answer(created), insert, "{settings:?}");
            let deleted = event(&schema, Some(1), None, "d", &arena);
            assert_eq!(answer(deleted), delete, "{settings:?}");
            assert_eq!(answer(event(&schema, None, None, "t", &arena)), "DROPPED");
            assert_eq!(answer(record(None, Value::Null)), tombstone, "{settings:?}");
            assert_eq!(answer(record(None, Value::Str("x"))), "topic null - String(x)");
        }
    }
}

#[test]
fn events_without_schemas_are_unwrapped_when_told() {
    let created = r#"{"before":null,"after":{"id":2},"source":{"db":"shop"},"op":"c"}"#;
    let deleted = r#"{"before":{"id":1,"__deleted":0},"after":null,"source":{},"op":"d"}"#;
    let empty = r#"{"after":{ },"op":"c"}"#;
    let written = r#"{"op":"c","after":{"\u005f_op":1,"a":"__op"}}"#;
    let other = r#"{"id":1,"op":5,"after":{}}"#;
    let on = ("millrace.unwrap.schemaless", "true");
    for (settings, text, expected) in [
        (&[][..], created, created),
        (&[on], created, r#"{"id":2}"#),
        (&[on], deleted, "null"),
        (&[on, ("delete.tombstone.handling.mode", "drop")], deleted, "DROPPED"),
        (
            &[on, ("delete.tombstone.handling.mode", "rewrite")],
            deleted,
            r#"{"id":1,"__deleted":"true"}"#,
        ),
        (
            &[on, ("delete.tombstone.handling.mode", "rewrite"), ("add.fields", "op,db,none")],
            created,
            r#"{"id":2,"__deleted":"false","__op":"c","__db":"shop"}"#,
        ),
        (&[on, ("add.fields", "op")], empty, r#"{ "__op":"c"}"#),
        (&[on, ("add.fields", "op")], written, r#"{"\u005f_op":"c","a":"__op"}"#),
        (&[on], other, other),
        (&[on], r#"{"after":null,"before":null,"op":"t"}"#, "DROPPED"),
    ] {
        let mut step = made("ExtractNewRecordState", settings).unwrap();
        let arena = Arena::new();
        let unparsed = JsonText::verbatim(text.as_bytes());
        let told = told(text, step.sought(Side::Value), &arena);
        let [unparsed, told] =
            [unparsed, told].map(|text| record(None, Value::Json(arena.alloc(text))));
        let parsed = record(None, parse(text.as_bytes(), &arena).unwrap());
        let mut value = |record| match step.apply(record, &arena).unwrap() {
            None => "DROPPED".to_owned(),
            Some(record) => {
                let mut out = Vec::new();
                write_value(None, record.value.value, &mut out, &WriteOptions::default()).unwrap();
                String::from_utf8(out).unwrap()
            }
        };
        assert_eq!(value(unparsed), expected, "{settings:?}");
        assert_eq!(value(told), expected, "{settings:?}, told");
        assert_eq!(
            value(parsed),
            expected.replace("{ ", "{").replace("\\u005f", "_"),
            "{settings:?}, parsed"
        );
    }
    let arena = Arena::new();
    let settings = [on, ("add.headers", "op,source.db"), ("route.by.field", "name")];
    let mut step = made("ExtractNewRecordState", &settings).unwrap();
    let text = r#"{"after":{"name":"there"},"source":{"db":"shop"},"op":"c"}"#;
    let sought = step.sought(Side::Value).unwrap();
    assert!(sought.found(&told(text, Some(Rc::clone(&sought)), &arena)).is_some());
    let unparsed = Value::Json(arena.alloc(JsonText::verbatim(text.as_bytes())));
    assert_eq!(
        shown(&mut *step, record(None, unparsed), &arena),
        "there null - {\"name\":\"there\"} __op:String(c) __source_db:String(shop)"
    );
}

proptest::proptest! {
    /// Where an event tells where its members stand, the answer is what it is of its text alone.
    #[test]
    fn any_event_that_tells_is_unwrapped_as_one_that_does_not(
        members in proptest::collection::vec(
            (
                proptest::sample::select(
                    &["op", r"\u006fp", "after", "before", "source", "db", "__op", "x"][..]
                ),
                proptest::sample::select(
                    &[r#""c""#, "5", "null", "true", "{ }", r#"{"db":"s","__op":1}"#,
                        r#"{"\u0064b":[1e999]}"#][..]
                ),
            ),
            0..7,
        ),
        after in proptest::sample::select(
            &["null", "1", "{ }", r#"{"a":"__op","__db":{}}"#, r#"{"__o\u0070":1}"#][..]
        ),
        before in proptest::sample::select(&["null", r#"{"__none":2}"#, r#"{"a":[]}"#][..]),
        mode in proptest::sample::select(&["tombstone", "rewrite", "drop"][..]),
    ) {
        let mut all = vec![format!("\"after\":{after}"), "\"op\":\"u\"".to_owned()];
        all.push(format!("\"before\":{before}"));
        all.extend(members.iter().map(|(name, value)| format!("\"{name}\":{value}")));
        // Some are no events.
        all.drain(..members.len() % 4);
        let event = format!("{{{}}}", all.join(" , "));
        let settings = [
            ("millrace.unwrap.schemaless", "true"),
            ("delete.tombstone.handling.mode", mode),
            ("add.fields", "op,db,source.db,none,x"),
            ("add.headers", "op,after.a"),
        ];
        let mut step = made("ExtractNewRecordState", &settings).unwrap();
        let arena = Arena::new();
        let texts = [
            JsonText::verbatim(event.as_bytes()),
            told(&event, step.sought(Side::Value), &arena),
        ];
        let [alone, told] = texts.map(|text| {
            let value = Value::Json(arena.alloc(text));
            match step.apply(record(None, value), &arena) {
                Ok(None) => "DROPPED".to_owned(),
                Ok(Some(record)) => {
                    let mut out = Vec::new();
                    write_value(None, record.value.value, &mut out, &WriteOptions::default()).unwrap();
                    let headers: Vec<_> =
                        record.headers.iter().map(|one| (one.name, show(&one.datum.value))).collect();
                    format!("{} {headers:?}", String::from_utf8(out).unwrap())
                }
                Err(error) => error.message,
            }
        });
        proptest::prop_assert_eq!(alone, told, "{}", event);
    }
}

#[test]
fn logical_tables_share_a_topic() {
    let arena = Arena::new();
    let schema = envelope();
    let key_schema = Schema::struct_of(vec![field("id", Schema::new(SchemaType::Int32))]);
    let settings = [
        ("topic.regex", "(.*)ic"),
        ("topic.replacement", "$1-all"),
        ("key.field.name", "shard"),
        ("schema.name.adjustment.mode", "avro"),
    ];
    let mut step = made("ByLogicalTableRouter", &settings).unwrap();
    let id = arena.alloc_slice(&[Value::Int32(7)]);
    let key = Value::Struct(arena.alloc(Struct { schema: &key_schema, values: id }));
    let event = event(&schema, None, Some(2), "c", &arena);
    let routed = Record { key: SchemaAndValue { schema: Some(&key_schema), value: key }, ..event };
    assert!(shown(&mut *step, routed, &arena).starts_with(
        "top-all {id=Integer(7),shard=String(topic),} top_all.Envelope {before=null,"
    ));
    assert!(shown(&mut *step, event, &arena).starts_with("top-all null top_all.Envelope"));
    assert_eq!(shown(&mut *step, record(None, Value::Null), &arena), "top-all null - null");
    let wrong = [("topic.regex", "("), ("topic.replacement", ""), ("key.enforce.uniqueness", "x")];
    assert_eq!(made("ByLogicalTableRouter", &wrong).err().unwrap().len(), 3);
    let half = [("topic.regex", "a"), ("topic.replacement", "b"), ("key.field.regex", "c")];
    assert!(made("ByLogicalTableRouter", &half).err().unwrap()[0].contains("must be non-empty"));
}

#[test]
fn outbox_events_go_where_they_say() {
    let arena = Arena::new();
    let text = || Schema::new(SchemaType::String).optional();
    let row = Schema::struct_of(vec![
        field("id", text()),
        field("aggregatetype", text()),
        field("aggregateid", text()),
        field("payload", text()),
        field("version", Schema::new(SchemaType::Int32).optional()),
    ])
    .named("srv.outbox.Value")
    .optional();
    let mut schema = envelope();
    schema.fields[0].schema = Arc::new(row.clone());
    schema.fields[1].schema = Arc::new(row);
    let outbox = |payload, op| {
        let mut record = event(&schema, None, None, op, &arena);
        let Value::Struct(data) = record.value.value else { panic!("an event") };
        let mut values = data.values.to_vec();
        let row = [Value::Str("e1"), Value::Str("order"), Value::Str("42"), payload, Value::Null];
        let row = arena.alloc_slice(&row);
        let row = arena.alloc(Struct { schema: &schema.fields[1].schema, values: row });
        values[1] = Value::Struct(row);
        let values = arena.alloc_slice(&values);
        record.value.value = Value::Struct(arena.alloc(Struct { schema: &schema, values }));
        record
    };
    let mut plain = made("outbox.EventRouter", &[]).unwrap();
    let json = Value::Str(r#"{"a":1,"l":[{"b":true},{"b":null}]}"#);
    assert_eq!(
        shown(&mut *plain, outbox(json, "c"), &arena),
        "outbox.event.order String(42) - String({\"a\":1,\"l\":[{\"b\":true},{\"b\":null}]}) \
         id:String(e1)"
    );
    assert_eq!(shown(&mut *plain, outbox(json, "d"), &arena), "DROPPED");
    assert_eq!(shown(&mut *plain, outbox(json, "u"), &arena), "DROPPED");
    let settings = [
        ("table.expand.json.payload", "true"),
        ("table.op.invalid.behavior", "fatal"),
        ("route.tombstone.on.empty.payload", "true"),
        ("table.fields.additional.placement", "id:envelope:eventId,aggregateid:header"),
    ];
    let mut full = made("outbox.EventRouter", &settings).unwrap();
    assert_eq!(
        shown(&mut *full, outbox(json, "c"), &arena),
        "outbox.event.order String(42) srv.outbox.order.Value {payload={a=Integer(1),\
         l=[{b=Boolean(true),}{b=null,}],},eventId=String(e1),} id:String(e1) \
         aggregateid:String(42)"
    );
    assert!(shown(&mut *full, outbox(Value::Str(" "), "c"), &arena).contains("(42) - null"));
    assert!(shown(&mut *full, outbox(json, "u"), &arena).contains("is not expected"));
    // The schema of a version is the first event's; null is no other type's.
    let settings = [
        ("table.expand.json.payload", "true"),
        ("table.json.payload.null.behavior", "optional_bytes"),
        ("table.field.event.schema.version", "version"),
        ("table.fields.additional.placement", "id:envelope:eventId"),
    ];
    let mut of_version = made("outbox.EventRouter", &settings).unwrap();
    for (payload, expected) in [(Value::Str("plain"), "String(plain)"), (Value::Null, "null")] {
        let shown = shown(&mut *of_version, outbox(payload, "c"), &arena);
        assert!(shown.contains(&format!("{{payload={expected},eventId=")), "{shown}");
    }
    let wrong = [
        ("table.fields.additional.placement", "a:b:c:d"),
        ("table.op.invalid.behavior", "explode"),
        ("route.topic.regex", "("),
    ];
    assert_eq!(made("outbox.EventRouter", &wrong).err().unwrap().len(), 3);
}

#[test]
fn wrong_modes_and_references_are_refused_together() {
    let wrong = [
        ("delete.tombstone.handling.mode", "keep"),
        ("drop.tombstones", "maybe"),
        ("add.fields", "a:b:c"),
    ];
    let errors = made("ExtractNewRecordState", &wrong).err().unwrap();
    assert_eq!(errors.len(), 3, "{errors:?}");
}
