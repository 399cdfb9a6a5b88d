//! The transforms and predicates as a chain calls them. The expected texts are what the JVM's
//! classes of version 4.1.0 print for the same input.

use std::sync::Arc;

use millrace_api::record::{Header, Origin, Record};
use millrace_api::transformation::{JsonOp, Predicate, Side};
use millrace_converters::data::OwnedValue;
use millrace_converters::json::parse;
use millrace_converters::json::patch::{Inserted, PatchPlan, RecordMeta};
use millrace_converters::{
    Arena, Decimal, Field, JsonText, Schema, SchemaAndValue, SchemaType, Struct, Value,
};

use crate::mask_vectors::MASKED;
use crate::test_rig::{config, record, show, shown, transformation};

fn field(name: &str, schema: Schema) -> Field {
    Field { name: name.into(), schema: Arc::new(schema) }
}

fn inner() -> Schema {
    Schema::struct_of(vec![field("x", Schema::new(SchemaType::Int32))])
}

/// Optional and named, with doc, version and a parameter; its `def` has a default.
fn schema() -> Schema {
    let def = Schema {
        default: Some(OwnedValue::String("dflt".into())),
        ..Schema::new(SchemaType::String).optional()
    };
    Schema {
        version: Some(3),
        doc: Some("dd".into()),
        parameters: vec![("k".into(), "v".into())],
        ..Schema::struct_of(vec![
            field("magic", Schema::new(SchemaType::Int64).optional()),
            field("def", def),
            field("inner", inner()),
        ])
        .named("nm")
        .optional()
    }
}

/// `magic` 42, `def` null, `inner` {x: 1}.
fn data<'a>(schema: &'a Schema, arena: &'a Arena) -> Value<'a> {
    let x = arena.alloc_slice(&[Value::Int32(1)]);
    let inner = arena.alloc(Struct { schema: &schema.fields[2].schema, values: x });
    let values = arena.alloc_slice(&[Value::Int64(42), Value::Null, Value::Struct(inner)]);
    Value::Struct(arena.alloc(Struct { schema, values }))
}

/// Type, optional flag and basics, then the fields.
fn describe(schema: &Schema) -> String {
    let mark = |optional| if optional { "?" } else { "" };
    let mut text = format!(
        "{}{} name={} v={} doc={} p={:?} d={} [",
        schema.type_.name(),
        mark(schema.optional),
        schema.name.as_deref().unwrap_or("null"),
        schema.version.map_or("null".to_owned(), |version| version.to_string()),
        schema.doc.as_deref().unwrap_or("null"),
        schema.parameters,
        schema.default.is_some(),
    );
    for field in &schema.fields {
        let (of, name) = (&field.schema, field.schema.name.as_deref());
        text.push_str(&format!(
            "{}:{}{}{},",
            field.name,
            of.type_.name(),
            mark(of.optional),
            name.map_or(String::new(), |name| format!("/{name}"))
        ));
    }
    text + "]"
}

const BASICS: &str = "STRUCT name=nm v=3 doc=dd p=[(\"k\", \"v\")] d=false";

/// With a schema: the new schema and value, or the error.
fn with_schema(class: &str, settings: &[(&str, &str)], timestamp: Option<i64>) -> String {
    let (schema, arena) = (schema(), Arena::new());
    let mut transformation = transformation(class, settings).unwrap();
    let given = Record { timestamp, ..record(Some(&schema), data(&schema, &arena)) };
    match transformation.apply(given, &arena) {
        Ok(Some(record)) => {
            let schema = record.value.schema.map_or("none".to_owned(), describe);
            format!("{schema} {}", show(&record.value.value))
        }
        _ => shown(&mut *transformation, given, &arena),
    }
}

/// Schemaless: the same document as a map and as text must give the same.
fn schemaless(class: &str, settings: &[(&str, &str)], json: &str) -> String {
    let arena = Arena::new();
    let mut transformation = transformation(class, settings).unwrap();
    let text = JsonText::verbatim(json.as_bytes());
    let parsed = parse(json.as_bytes(), &arena).unwrap();
    let from_text = shown(&mut *transformation, record(None, Value::Json(&text)), &arena);
    let from_map = shown(&mut *transformation, record(None, parsed), &arena);
    assert_eq!(from_text, from_map);
    from_map
}

fn refused(class: &str, settings: &[(&str, &str)]) -> Vec<String> {
    transformation(class, settings).err().expect("the configuration is refused")
}

const EVERYTHING: &[(&str, &str)] = &[
    ("topic.field", "tf!"),
    ("partition.field", "pf"),
    ("offset.field", "of?"),
    ("timestamp.field", "ts"),
    ("static.field", "sf!"),
    ("static.value", "sv"),
];

#[test]
fn insert_field_with_schema() {
    let fields = "[magic:INT64?,def:STRING?,inner:STRUCT,tf:STRING,pf:INT32?,of:INT64?,\
                  ts:INT64?/org.apache.kafka.connect.data.Timestamp,sf:STRING,]";
    let value = |ts: &str| {
        format!(
            "{{magic=Long(42),def=String(dflt),inner={{x=Integer(1),}},tf=String(topic),\
             pf=Integer(3),of=Long(42),ts={ts},sf=String(sv),}}"
        )
    };
    assert_eq!(
        with_schema("InsertField$Value", EVERYTHING, Some(1_483_425_001_864)),
        format!("{BASICS} {fields} {}", value("Timestamp(1483425001864)"))
    );
    assert_eq!(
        with_schema("InsertField$Value", EVERYTHING, None),
        format!("{BASICS} {fields} {}", value("null"))
    );
    let settings = [("topic.field", "t"), ("replace.null.with.default", "false")];
    assert_eq!(
        with_schema("InsertField$Value", &settings, None),
        format!(
            "{BASICS} [magic:INT64?,def:STRING?,inner:STRUCT,t:STRING?,] \
             {{magic=Long(42),def=null,inner={{x=Integer(1),}},t=String(topic),}}"
        )
    );
    for (name, message) in [
        ("magic", "Cannot create field because of field name duplication magic"),
        ("!", "fieldName cannot be null."),
    ] {
        assert_eq!(
            with_schema("InsertField$Value", &[("topic.field", name)], None),
            format!("SchemaBuilderException: {message}")
        );
    }
}

#[test]
fn insert_field_without_schema() {
    assert_eq!(
        schemaless("InsertField$Value", EVERYTHING, r#"{"magic":1,"pf":"old"}"#),
        "{magic=Long(1),pf=Integer(3),tf=String(topic),of=Long(42),ts=Long(1483425001864),\
         sf=String(sv),}"
    );
    let topic = [("topic.field", "t")];
    assert_eq!(schemaless("InsertField$Value", &topic, "null"), "null");
    for (json, class) in [("\"s\"", "String"), ("[1]", "ArrayList"), ("1.5", "Double")] {
        let package = if class == "ArrayList" { "util" } else { "lang" };
        assert_eq!(
            schemaless("InsertField$Value", &topic, json),
            format!(
                "DataException: Only Map objects supported in absence of schema for [field \
                 insertion], found: java.{package}.{class}"
            )
        );
    }
    let string = Schema::new(SchemaType::String);
    let mut insert = transformation("InsertField$Value", &topic).unwrap();
    assert_eq!(
        shown(&mut *insert, record(Some(&string), Value::Str("s")), &Arena::new()),
        "DataException: Only Struct objects supported for [field insertion], found: \
         java.lang.String"
    );
}

#[test]
fn insert_field_has_no_offset_at_a_source() {
    let arena = Arena::new();
    let mut insert = transformation("InsertField$Value", &[("offset.field", "o")]).unwrap();
    let record = Record { origin: Origin::Source { index: 0 }, ..record(None, Value::Map(&[])) };
    assert_eq!(
        shown(&mut *insert, record, &arena),
        "DataException: Only SinkRecord supported for [field insertion], found: \
         org.apache.kafka.connect.source.SourceRecord"
    );
}

#[test]
fn insert_field_on_the_key_leaves_the_value() {
    let arena = Arena::new();
    let mut insert = transformation("InsertField$Key", &[("topic.field", "t")]).unwrap();
    let mut given = record(None, Value::Str("value"));
    given.key = SchemaAndValue { schema: None, value: Value::Map(&[]) };
    let out = insert.apply(given, &arena).unwrap().unwrap();
    assert_eq!(show(&out.key.value), "{t=String(topic),}");
    assert_eq!(show(&out.value.value), "String(value)");
    let reads = insert.reads();
    assert!(reads.key && !reads.value && !reads.headers);
}

#[test]
fn insert_field_refuses_what_java_refuses() {
    assert_eq!(refused("InsertField$Value", &[]), ["No field insertion configured"]);
    assert_eq!(
        refused("InsertField$Value", &[("static.field", "x")]),
        [
            "Invalid value null for configuration static.value: No value specified for static field: x"
        ]
    );
}

#[test]
fn mask_field_by_type() {
    let arena = Arena::new();
    for (kind, replacement, expected) in MASKED {
        let value = match *kind {
            "byte" => Value::Int8(42),
            "short" => Value::Int16(42),
            "int" => Value::Int32(42),
            "long" => Value::Int64(42),
            "float" => Value::Float32(42.0),
            "double" => Value::Float64(42.0),
            "string" => Value::Str("hi"),
            "bool" => Value::Boolean(true),
            "date" => Value::Timestamp(5),
            _ => Value::Bytes(b"x"),
        };
        let mut settings = vec![("fields", "f")];
        if !replacement.is_empty() {
            settings.push(("replacement", replacement));
        }
        let mut mask = transformation("MaskField$Value", &settings).unwrap();
        let map = arena.string_map(&[("f", value)]);
        let expected = match *expected {
            // Rust prints these two with an exponent of its own form.
            "Double(1.0E20)" => "{f=Double(1e20),}".to_owned(),
            "Float(1.0E20)" => "{f=Float(1e20),}".to_owned(),
            error if error.contains("Exception") => error.to_owned(),
            value => format!("{{f={value},}}"),
        };
        assert_eq!(shown(&mut *mask, record(None, map), &arena), expected, "{kind} {replacement}");
    }
}

#[test]
fn mask_field_of_a_decimal() {
    let arena = Arena::new();
    let map = arena.string_map(&[("f", Value::Decimal(&Decimal { unscaled: &[1], scale: 2 }))]);
    for (replacement, expected) in [
        ("", "{f=Decimal([0], 0),}"),
        ("7.25", "{f=Decimal([2, 213], 2),}"),
        ("1e2", "{f=Decimal([1], -2),}"),
        ("x", "DataException: Unable to convert x (class java.lang.String) to number"),
    ] {
        let settings = [("fields", "f"), ("replacement", replacement)];
        let settings = if replacement.is_empty() { &settings[..1] } else { &settings };
        let mut mask = transformation("MaskField$Value", settings).unwrap();
        assert_eq!(shown(&mut *mask, record(None, map), &arena), expected);
    }
}

#[test]
fn mask_field_with_schema() {
    let kept = BASICS.replacen("STRUCT", "STRUCT?", 1);
    let fields = "[magic:INT64?,def:STRING?,inner:STRUCT,]";
    for (settings, expected) in [
        (&[("fields", "magic,def")][..], "{magic=Long(0),def=String(),inner={x=Integer(1),},}"),
        (
            &[("fields", "magic,def"), ("replacement", "7")],
            "{magic=Long(7),def=String(7),inner={x=Integer(1),},}",
        ),
        (
            &[
                ("fields", "magic,def"),
                ("replacement", "7"),
                ("replace.null.with.default", "false"),
            ],
            "{magic=Long(7),def=null,inner={x=Integer(1),},}",
        ),
    ] {
        assert_eq!(
            with_schema("MaskField$Value", settings, None),
            format!("{kept} {fields} {expected}")
        );
    }
    assert_eq!(
        with_schema("MaskField$Value", &[("fields", "inner")], None),
        "DataException: Cannot mask value of type: class org.apache.kafka.connect.data.Struct"
    );
}

#[test]
fn mask_field_without_schema() {
    let zz = [("fields", "zz, l,m")];
    assert_eq!(
        schemaless("MaskField$Value", &zz, r#"{"a":1,"l":[1],"m":{"x":1}}"#),
        "{a=Long(1),l=[],m={},zz=null,}"
    );
    assert_eq!(
        schemaless("MaskField$Value", &zz, "null"),
        "DataException: Only Map objects supported in absence of schema for [mask fields], \
         found: null"
    );
    let replaced = [("fields", "l"), ("replacement", "1")];
    assert_eq!(
        schemaless("MaskField$Value", &replaced, r#"{"l":[1]}"#),
        "DataException: Cannot mask value of type class java.util.ArrayList with custom \
         replacement."
    );
    assert_eq!(
        refused("MaskField$Value", &[("fields", ""), ("replacement", "")]),
        [
            "Invalid value [] for configuration fields: Empty list",
            "Invalid value  for configuration replacement: String must be non-empty",
        ]
    );
    assert_eq!(
        refused("MaskField$Value", &[]),
        ["Missing required configuration \"fields\" which has no default value."]
    );
}

#[test]
fn replace_field_with_schema() {
    for (settings, expected) in [
        (
            &[("exclude", "magic")][..],
            "[def:STRING?,inner:STRUCT,] {def=String(dflt),inner={x=Integer(1),},}",
        ),
        (
            &[("include", "magic,def")],
            "[magic:INT64?,def:STRING?,] {magic=Long(42),def=String(dflt),}",
        ),
        (
            &[("renames", "magic:m2,inner:in")],
            "[m2:INT64?,def:STRING?,in:STRUCT,] \
             {m2=Long(42),def=String(dflt),in={x=Integer(1),},}",
        ),
        (&[("include", "magic"), ("exclude", "magic")], "[] {}"),
        (&[("include", "magic"), ("renames", "magic:x")], "[x:INT64?,] {x=Long(42),}"),
        (&[("include", "x"), ("renames", "magic:x")], "[] {}"),
        (
            &[("exclude", "magic"), ("replace.null.with.default", "false")],
            "[def:STRING?,inner:STRUCT,] {def=null,inner={x=Integer(1),},}",
        ),
    ] {
        assert_eq!(
            with_schema("ReplaceField$Value", settings, None),
            format!("{BASICS} {expected}")
        );
    }
    assert_eq!(
        with_schema("ReplaceField$Value", &[("renames", "magic:def")], None),
        "SchemaBuilderException: Cannot create field because of field name duplication def"
    );
    // Java looks for the old name of `def`, though `def` was there all along.
    assert_eq!(
        with_schema("ReplaceField$Value", &[("renames", "gone:def")], None),
        "DataException: gone is not a valid field name"
    );
}

#[test]
fn replace_field_without_schema() {
    let json = r#"{"magic":1,"def":"d","inner":null}"#;
    for (settings, expected) in [
        (&[("exclude", "magic")][..], "{def=String(d),inner=null,}"),
        (&[("include", "magic,def")], "{magic=Long(1),def=String(d),}"),
        (&[("renames", "magic:m2,inner:in")], "{m2=Long(1),def=String(d),in=null,}"),
        (&[("renames", "magic:def")], "{def=String(d),inner=null,}"),
        (&[("include", "x"), ("renames", "magic:x")], "{}"),
        (&[("renames", ":b")], "{magic=Long(1),def=String(d),inner=null,}"),
    ] {
        assert_eq!(schemaless("ReplaceField$Value", settings, json), expected);
    }
    assert_eq!(schemaless("ReplaceField$Value", &[("exclude", "a")], "null"), "null");
    assert_eq!(
        schemaless("ReplaceField$Value", &[("exclude", "a")], "\"s\""),
        "DataException: Only Map objects supported in absence of schema for [field replacement], \
         found: java.lang.String"
    );
    for wrong in ["a", "a:b:c", "a:"] {
        assert_eq!(
            refused("ReplaceField$Value", &[("renames", wrong)]),
            [format!(
                "Invalid value [{wrong}] for configuration renames: Invalid rename mapping: {wrong}"
            )]
        );
    }
}

/// What `ExtractField$Value` makes of the struct, of a null struct and of a map.
#[test]
fn extract_field() {
    let v2 = ("field.syntax.version", "v2");
    let unknown = |field| format!("IllegalArgumentException: Unknown field: {field}");
    let not_a_struct = "DataException: Cannot look up fields on non-struct type".to_owned();
    for (settings, with, null, without) in [
        (&[("field", "magic")][..], "Long(42)".to_owned(), "null".to_owned(), "Long(1)"),
        (&[("field", "def")], "String(dflt)".to_owned(), "null".to_owned(), "null"),
        (
            &[("field", "def"), ("replace.null.with.default", "false")],
            "null".to_owned(),
            "null".to_owned(),
            "null",
        ),
        (&[("field", "nope")], unknown("nope"), unknown("nope"), "null"),
        (&[("field", "inner.x")], unknown("inner.x"), unknown("inner.x"), "null"),
        (&[("field", "inner.x"), v2], "Integer(1)".to_owned(), "null".to_owned(), "Long(5)"),
        (&[("field", "`inner`.x"), v2], "Integer(1)".to_owned(), "null".to_owned(), "Long(5)"),
        (&[("field", "inner.nope"), v2], unknown("inner.nope"), unknown("inner.nope"), "null"),
        (
            &[("field", "magic.x"), v2],
            not_a_struct.clone(),
            not_a_struct,
            "DataException: Only Map objects supported in absence of schema for [nested field \
             access], found: java.lang.Long",
        ),
    ] {
        let (schema, arena) = (schema(), Arena::new());
        let mut extract = transformation("ExtractField$Value", settings).unwrap();
        let given = record(Some(&schema), data(&schema, &arena));
        assert_eq!(shown(&mut *extract, given, &arena), with, "{settings:?}");
        assert_eq!(shown(&mut *extract, record(Some(&schema), Value::Null), &arena), null);
        let json = r#"{"magic":1,"inner":{"x":5}}"#;
        assert_eq!(schemaless("ExtractField$Value", settings, json), without);
    }
}

#[test]
fn extract_field_keeps_the_fields_schema_and_refuses_the_rest() {
    let (schema, arena) = (schema(), Arena::new());
    let mut extract = transformation("ExtractField$Value", &[("field", "def")]).unwrap();
    let out = extract.apply(record(Some(&schema), Value::Null), &arena).unwrap().unwrap();
    assert_eq!(out.value.schema, Some(&*schema.fields[1].schema));
    for (value, schema, message) in [
        (
            Value::Str("s"),
            None,
            "Only Map objects supported in absence of schema for [field extraction], found: \
             java.lang.String",
        ),
        (
            Value::Str("s"),
            Some(&schema),
            "Only Struct objects supported for [field extraction], found: java.lang.String",
        ),
    ] {
        let error = extract.apply(record(schema, value), &arena).unwrap_err();
        assert_eq!(error.message, message);
    }
    assert_eq!(
        refused("ExtractField$Value", &[("field.syntax.version", "V3")]),
        [
            "Missing required configuration \"field\" which has no default value.",
            "Invalid value V3 for configuration field.syntax.version: String must be one of (case \
             insensitive): V1, V2",
        ]
    );
}

fn routed(class: &str, settings: &[(&str, &str)], records: &[(&str, Option<i64>)]) -> Vec<String> {
    let arena = Arena::new();
    let mut router = transformation(class, settings).unwrap();
    let mut topics = Vec::new();
    for (topic, timestamp) in records {
        let record = Record { topic, timestamp: *timestamp, ..record(None, Value::Null) };
        topics.push(match router.apply(record, &arena) {
            Ok(record) => record.unwrap().topic.to_owned(),
            Err(error) => error.message,
        });
    }
    topics
}

#[test]
fn regex_router_remembers_each_topics_route() {
    let settings = [("regex", "in-(.*)"), ("replacement", "out-$1")];
    let records = [("in-a", None), ("b", None), ("in-c", None), ("in-a", None), ("b", None)];
    assert_eq!(routed("RegexRouter", &settings, &records), ["out-a", "b", "out-c", "out-a", "b"]);
    let errors = refused("RegexRouter", &[("regex", "(")]);
    assert!(errors[0].starts_with("Invalid value ( for configuration regex: Invalid regex: "));
    assert_eq!(
        errors[1],
        "Missing required configuration \"replacement\" which has no default value."
    );
}

#[test]
fn timestamp_router_follows_topic_and_time() {
    let day = 86_400_000;
    let records = [
        ("a", Some(0)),
        ("a", Some(day - 1)),
        ("b", Some(day - 1)),
        ("b", Some(day)),
        ("a", Some(-1)),
        ("a", None),
    ];
    assert_eq!(
        routed("TimestampRouter", &[], &records),
        [
            "a-19700101",
            "a-19700101",
            "b-19700101",
            "b-19700102",
            "a-19691231",
            "Timestamp missing on record: SinkRecord{topic='a', kafkaPartition=3, kafkaOffset=42}",
        ]
    );
    let odd = [("topic.format", "a-${topic}-${timestamp}-${topic}$x\\")];
    assert_eq!(
        routed("TimestampRouter", &odd, &[("topic", Some(1_483_425_001_864))]),
        ["a-topic-20170103-topic$x\\"]
    );
    assert_eq!(
        refused("TimestampRouter", &[("timestamp.format", "b")]),
        ["Invalid value b for configuration timestamp.format: Illegal pattern character 'b'"]
    );
}

#[test]
fn filter_drops() {
    let mut filter = transformation("Filter", &[]).unwrap();
    assert_eq!(shown(&mut *filter, record(None, Value::Null), &Arena::new()), "DROPPED");
}

fn predicate(class: &str, settings: &[(&str, &str)]) -> Result<Box<dyn Predicate>, String> {
    let class = format!("org.apache.kafka.connect.transforms.predicates.{class}");
    let list = crate::predicates();
    let plugin = list.iter().find(|plugin| plugin.class == class).expect("it is in the list");
    (plugin.new)(&config(settings)).map_err(|errors| errors[0].message.clone())
}

#[test]
fn predicates() {
    let headers = [Header { name: "h", datum: SchemaAndValue::default() }];
    let plain = record(None, Value::Null);
    let with_header = Record { headers: &headers, ..record(None, Value::Str("x")) };
    let tombstone = predicate("RecordIsTombstone", &[]).unwrap();
    assert!(tombstone.test(&plain).unwrap() && !tombstone.test(&with_header).unwrap());
    let header = predicate("HasHeaderKey", &[("name", "h")]).unwrap();
    assert!(!header.test(&plain).unwrap() && header.test(&with_header).unwrap());
    let whole = predicate("TopicNameMatches", &[("pattern", "top.*")]).unwrap();
    let part = predicate("TopicNameMatches", &[("pattern", "top")]).unwrap();
    assert!(whole.test(&plain).unwrap() && !part.test(&plain).unwrap());
    assert!(whole.by_topic_only());
    assert_eq!(
        predicate("HasHeaderKey", &[("name", "")]).err().unwrap(),
        "Invalid value  for configuration name: String must be non-empty"
    );
    assert!(
        predicate("TopicNameMatches", &[("pattern", "[")])
            .err()
            .unwrap()
            .starts_with("Invalid value [ for configuration pattern: Invalid regex: ")
    );
}

/// The chain may patch the text instead of calling `apply`: both must say the same.
#[test]
fn the_patch_agrees_with_the_transforms() {
    let chain: [(&str, &[(&str, &str)]); 4] = [
        ("InsertField$Value", EVERYTHING),
        ("MaskField$Value", &[("fields", "ip,amount,absent,tf")]),
        ("MaskField$Value", &[("fields", "id"), ("replacement", "12.7")]),
        ("ReplaceField$Value", &[("exclude", "ref"), ("renames", "ua:agent,id:key,gone:user")]),
    ];
    for json in [
        r#"{"id":7,"ip":"1.2.3.4","ua":"x","ref":null,"amount":1.5,"tags":[1,{"a":2}]}"#,
        r#"{"ref":1,"id":null,"ua":{"id":3},"tf":true}"#,
        "{}",
    ] {
        let chain = chain.map(|(class, settings)| {
            (class, settings.iter().map(|(key, value)| (*key, (*value).to_owned())).collect())
        });
        let (applied, patched) = both_ways(&chain, json);
        assert!(!patched.contains("Only Map"), "{patched}");
        assert_eq!(applied, patched, "{json}");
    }
}

/// Carries the chain out both ways; results or the error's text, members sorted.
fn both_ways(chain: &[(&str, Vec<(&str, String)>)], json: &str) -> (String, String) {
    let arena = Arena::new();
    let mut ops = Vec::new();
    let mut applied = Ok(parse(json.as_bytes(), &arena).unwrap());
    for (class, settings) in chain {
        let settings: Vec<_> = settings.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let mut step = transformation(class, &settings).unwrap();
        ops.extend(step.json_ops().unwrap().ops);
        applied = applied.and_then(|value| {
            step.apply(record(None, value), &arena).map(|out| out.unwrap().value.value)
        });
    }
    let applied = match applied {
        // JSON has one kind of integer.
        Ok(value) => ["Byte(", "Short(", "Integer("]
            .iter()
            .fold(sorted(&value), |text, narrow| text.replace(narrow, "Long(")),
        Err(error) => error.message,
    };
    let meta =
        RecordMeta { topic: "topic", partition: 3, timestamp: Some(1_483_425_001_864), offset: 42 };
    let mut padded = json.as_bytes().to_vec();
    padded.resize(json.len() + 64, b' ');
    let mut plan = PatchPlan::compile(&ops).unwrap();
    let patched = match plan.apply(&padded, 0, json.len(), &meta, &arena) {
        Ok(text) => {
            let mut out = Vec::new();
            text.write_to(&mut out);
            sorted(&parse(&out, &arena).unwrap())
        }
        Err(error) => error.message,
    };
    (applied, patched)
}

proptest::proptest! {
    #[test]
    fn any_patch_agrees_with_the_transforms(
        members in proptest::collection::vec(("[a-d]", "7|-1\\.5|\"x\"|null|true|\\[1\\]|\\{\\}"), 0..5),
        steps in proptest::collection::vec((0..4u8, "[a-e]|n[0-2]", "[a-e]|n[0-2]"), 1..5),
    ) {
        let mut seen = std::collections::BTreeSet::new();
        let members: Vec<_> = members
            .iter()
            .filter(|(name, _)| seen.insert(name))
            .map(|(name, value)| format!("\"{name}\":{value}"))
            .collect();
        let json = format!("{{{}}}", members.join(","));
        // A new name is new: which of two that meet under one name stays, Java leaves open.
        let known = |name: &String, step: usize| match name.strip_prefix('n') {
            Some(number) if number.parse::<usize>().unwrap() >= step => "a".to_owned(),
            _ => name.clone(),
        };
        let chain: Vec<_> = steps
            .iter()
            .enumerate()
            .map(|(step, (kind, a, b))| {
                let (a, b) = (known(a, step), known(b, step));
                match kind {
                    0 => ("InsertField$Value", vec![("topic.field", a)]),
                    1 => ("MaskField$Value", vec![("fields", format!("{a},{b}"))]),
                    2 => (
                        "MaskField$Value",
                        vec![("fields", a), ("replacement", "12".to_owned())],
                    ),
                    _ => (
                        "ReplaceField$Value",
                        vec![("exclude", a), ("renames", format!("{b}:n{step}"))],
                    ),
                }
            })
            .collect();
        let (applied, patched) = both_ways(&chain, &json);
        // The patch does not see that a transform refuses what a later one overwrites.
        let overwritten = applied.starts_with("Cannot mask") && chain.len() > 1;
        proptest::prop_assume!(!overwritten || patched.starts_with("Cannot mask"));
        proptest::prop_assert_eq!(applied, patched, "{:?} {}", chain, json);
    }
}

proptest::proptest! {
    /// Numbers, words and plain texts have short cuts in the patch.
    #[test]
    fn any_value_is_converted_as_the_transforms_do_it(
        values in proptest::collection::vec(
            proptest::prop_oneof![
                "0|-?[1-9][0-9]{0,17}|[1-8][0-9]{18}|17000000[0-9]{5}",
                "-?(0|[1-9][0-9]{0,8})\\.[0-9]{1,9}|-?0\\.0{0,5}[0-9]{1,3}|[1-9]\\.[0-9]{12,17}",
                "true|false|null|-?[1-9]e-?[0-9]|\\[1\\]",
                "\"[ -!#-\\[\\]-~é]{0,12}\"|\"[a-z\\\\]\\\\n\"|\"-?[0-9]{1,4}(\\.5)?\"",
                "\"202[0-9]-(0[1-9]|1[0-2])-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]\"",
            ],
            1..5,
        ),
        of in proptest::prop_oneof![
            proptest::sample::select(&["int8", "int16", "int32", "int64", "float64"][..]),
            proptest::sample::select(&["boolean", "string"][..]),
        ],
        format in proptest::sample::select(
            &["yyyy-MM-dd'T'HH:mm:ss", "D HH:mm:ss.SSS", "yyyyMMddHH", "'\"'ss", "'ü\\'mm", "EEE"][..]
        ),
        precision in proptest::sample::select(&["seconds", "milliseconds", "nanoseconds"][..]),
        target in proptest::sample::select(&["string", "unix"][..]),
    ) {
        let members: Vec<_> = ["a", "b", "c", "d"]
            .iter()
            .zip(&values)
            .map(|(name, value)| format!("\"{name}\":{value}"))
            .collect();
        let json = format!("{{{}}}", members.join(","));
        let own = |text: &str| text.to_owned();
        let spec = ["a", "b", "c", "d"].map(|name| format!("{name}:{of}")).join(",");
        let mut chains = vec![vec![("Cast$Value", vec![("spec", spec)])]];
        chains.push(["a", "b", "c"].map(|name| {
            let settings = vec![
                ("field", own(name)),
                ("target.type", own(target)),
                ("format", own(format)),
                ("unix.precision", own(precision)),
            ];
            ("TimestampConverter$Value", settings)
        }).to_vec());
        for chain in chains {
            let (applied, patched) = both_ways(&chain, &json);
            proptest::prop_assert_eq!(applied, patched, "{:?} {}", chain, json);
        }
    }
}

fn sorted(value: &Value<'_>) -> String {
    let Value::Map(entries) = value else { return show(value) };
    let mut entries = entries.to_vec();
    entries.sort_by_key(|(key, _)| key.as_str());
    show(&Value::Map(&entries))
}

#[test]
fn operations_on_the_text() {
    let insert = transformation("InsertField$Key", &[("timestamp.field", "ts!")]).unwrap();
    let edit = insert.json_ops().unwrap();
    assert_eq!(edit.side, Side::Key);
    assert_eq!(edit.ops, [JsonOp::Insert { name: "ts".to_owned(), what: Inserted::Timestamp }]);
    let nested = [("field", "f.g"), ("field.syntax.version", "V2")];
    assert!(transformation("ExtractField$Value", &nested).unwrap().json_ops().is_none());
    assert!(transformation("Cast$Value", &[("spec", "int8")]).unwrap().json_ops().is_none());
}

#[test]
fn every_class_answers_to_its_name() {
    // Ours refuse keys that they do not know, and have tests of their own.
    let list = crate::transformations().into_iter();
    for plugin in list.filter(|plugin| !plugin.class.starts_with("millrace.")) {
        let enough = config(&[
            ("field", "f"),
            ("fields", "f"),
            ("topic.field", "f"),
            ("regex", "f"),
            ("replacement", "1"),
            ("spec", "f:int8"),
            ("headers", "f"),
            ("header", "f"),
            ("value.literal", "1"),
            ("operation", "copy"),
            ("schema.name", "f"),
            ("target.type", "unix"),
            ("filter.condition", "$.f"),
            ("filter.type", "include"),
            ("message.timestamp.keys", "f"),
            ("topic.regex", "f"),
            ("topic.replacement", "f"),
        ]);
        assert_eq!((plugin.new)(&enough).ok().unwrap().class_name(), plugin.class);
    }
    for plugin in crate::predicates() {
        let enough = config(&[("name", "n"), ("pattern", "p")]);
        assert_eq!((plugin.new)(&enough).ok().unwrap().class_name(), plugin.class);
    }
}
