//! Expressions against their values, the transform on text, maps and structs, and hostile input.

use millrace_converters::json::{JsonConverter, JsonConverterConfig, parse};
use millrace_converters::{Converter, JsonText};
use proptest::prelude::*;

use super::subject::sought;
use super::*;
use crate::test_rig::{config, record, show, told};

const DOCUMENT: &str = r#"{"a":5,"b":2.5,"s":"Hello","n":null,"t":true,"list":[1,2,3],
    "o":{"x":"y","z":[{"k":1},{"k":2}]},"big":9223372036854775807,"r":"a-b","u":"é1"}"#;

/// The value of `text` over [`DOCUMENT`], typed and as text; both must be the same.
fn value(text: &str) -> String {
    let mut uses = Uses::default();
    let node = match compile(text, &mut uses) {
        Ok(node) => node,
        Err(why) => return format!("REFUSED {why}"),
    };
    let arena = Arena::new();
    let typed = parse(DOCUMENT.as_bytes(), &arena).unwrap();
    let unparsed = Value::Json(arena.alloc(JsonText::verbatim(DOCUMENT.as_bytes())));
    let sought = sought(&uses.value, None, &[]);
    let known = Value::Json(arena.alloc(told(DOCUMENT, sought.clone(), &arena)));
    let shown = [typed, unparsed, known].map(|value| {
        let mut record = record(None, value);
        record.key.value = Value::Str("k1");
        let datum = SchemaAndValue { schema: None, value: Value::Str("first") };
        let again = SchemaAndValue { schema: None, value: Value::Int64(2) };
        let headers = [Header { name: "h", datum }, Header { name: "h", datum: again }];
        record.headers = arena.alloc_slice(&headers);
        let none: &[&str] = &[];
        let key = Prepared::of(&record.key, &uses.key, none, None, &arena).unwrap();
        let sought = sought.as_ref();
        let value = Prepared::of(&record.value, &uses.value, none, sought, &arena).unwrap();
        let env = Env::new(&record, key.subject(), value.subject(), &arena);
        match env.value_of(&node) {
            Ok(value) => show(&value),
            Err(fault) => format!("FAULT {fault}"),
        }
    });
    assert_eq!(shown[0], shown[1], "{text}");
    assert_eq!(shown[0], shown[2], "{text}");
    shown[0].clone()
}

#[test]
fn values_as_cel_has_them() {
    for (text, expected) in [
        ("value.a + 1", "Long(6)"),
        ("value.a * 2 - 3 / 2", "Long(9)"),
        ("-7 % 3", "Long(-1)"),
        ("value.b * 2.0", "Double(5.0)"),
        ("value.a * 1.5", "Double(7.5)"),
        ("value.s + '!' + string(value.a)", "String(Hello!5)"),
        ("value['s'] == 'Hello' && value.a > 4", "Boolean(true)"),
        ("value.a == 5.0", "Boolean(true)"),
        ("value.big == 9223372036854775808.0", "Boolean(false)"),
        ("value.a in [1, 5]", "Boolean(true)"),
        ("value.s in ['x', 'y']", "Boolean(false)"),
        ("'x' in value.o", "Boolean(true)"),
        ("has(value.n) && !has(value.none)", "Boolean(true)"),
        ("value.n == null", "Boolean(true)"),
        ("value != null && key == 'k1'", "Boolean(true)"),
        ("value.none == 1 || true", "Boolean(true)"),
        ("false && value.none == 1", "Boolean(false)"),
        ("value.t ? topic : 'no'", "String(topic)"),
        ("partition + offset", "Long(45)"),
        ("timestamp", "Long(1483425001864)"),
        ("headers.h", "Long(2)"),
        ("headers['h'] + 1", "Long(3)"),
        ("has(headers.none) ? headers.none : 'none'", "String(none)"),
        ("value.list[1]", "Long(2)"),
        ("value.o.z[1].k", "Long(2)"),
        ("value.list.map(x, x * 2)", "[Long(2)Long(4)Long(6)]"),
        ("value.list.map(x, x > 1, x * 2)", "[Long(4)Long(6)]"),
        ("value.list.filter(x, x != 2)", "[Long(1)Long(3)]"),
        ("value.list.exists(x, x == 3)", "Boolean(true)"),
        ("value.list.all(x, x < 3)", "Boolean(false)"),
        ("value.list.exists_one(x, x > 2)", "Boolean(true)"),
        ("value.list.all(x, value.list.exists(y, y == x))", "Boolean(true)"),
        ("[1, 'a'].exists(x, x > 0)", "Boolean(true)"),
        ("value.o.exists(k, k == 'x')", "Boolean(true)"),
        ("size(value.s) + value.list.size()", "Long(8)"),
        ("value.u.size()", "Long(2)"),
        (
            "value.s.startsWith('He') && value.s.endsWith('lo') && value.s.contains('ell')",
            "Boolean(true)",
        ),
        ("value.s.matches('^H[a-z]+$')", "Boolean(true)"),
        ("value.s.lowerAscii() + value.s.upperAscii()", "String(helloHELLO)"),
        ("value.r.split('-')", "[String(a)String(b)]"),
        ("value.r.split('-').join('+')", "String(a+b)"),
        ("value.r.replace('-', '_')", "String(a_b)"),
        ("value.u.substring(1)", "String(1)"),
        ("value.s.substring(1, 3)", "String(el)"),
        ("value.u.indexOf('1')", "Long(1)"),
        ("' x '.trim()", "String(x)"),
        ("int('12') + int(2.9)", "Long(14)"),
        ("double('1e3')", "Double(1000.0)"),
        ("string(2.0) + string(1.5) + string(true)", "String(21.5true)"),
        ("bool('true')", "Boolean(true)"),
        ("{'a': value.a, 'b': [value.t]}", "{a=Long(5),b=[Boolean(true)],}"),
        ("value.o == {'z': [{'k': 1}, {'k': 2}], 'x': 'y'}", "Boolean(true)"),
        ("r'\\d' + \"\\u00e9\"", "String(\\dé)"),
        ("value.`a`", "Long(5)"),
    ] {
        assert_eq!(value(text), expected, "{text}");
    }
}

#[test]
fn what_has_no_value_says_why() {
    for (text, expected) in [
        ("value.none", "FAULT no such field: none"),
        ("value.a.x", "FAULT no field x in a value of type int"),
        ("value.big + 1", "FAULT the integer overflows"),
        ("value.a / 0", "FAULT divided by zero"),
        ("value.s + 1", "FAULT + is not defined for string and int"),
        ("value.s > 1", "FAULT > is not defined for string and int"),
        ("value.s && true", "FAULT a bool is wanted, not string"),
        ("value.none == 1 || false", "FAULT no such field: none"),
        ("value.list[3]", "FAULT no such key or index"),
        ("value.list[-1]", "FAULT no such key or index"),
        ("int('x')", "FAULT the text is no int"),
        ("int(1e30)", "FAULT int is out of range"),
        ("headers.none", "FAULT no such header: none"),
        ("value.s.substring(9)", "FAULT the place is out of range"),
        ("size(1)", "FAULT size is not defined for int"),
    ] {
        assert_eq!(value(text), expected, "{text}");
    }
}

#[test]
fn what_cannot_be_compiled_says_where() {
    for (text, expected) in [
        ("value.a +", "column 10: mismatched input '<EOF>'"),
        ("vlaue.a", "column 1: no variable vlaue; there are key"),
        ("1 + foo(2)", "column 8: no function foo"),
        ("value.s.matches(value.r)", "column 22: the pattern of matches must be a literal"),
        ("value.s.matches('(')", "invalid pattern"),
        ("3u", "column 1: there are no unsigned integers"),
        ("startsWith(value.s, 'a')", "with a dot"),
        ("value.s.size(1)", "another number of arguments"),
        ("Message{a: 1}", "messages cannot be made"),
        ("has(value)", "column 5: invalid argument to has() macro"),
        ("", "column 1: "),
        ("value.a\n+ )", "line 2, column 3"),
    ] {
        let answer = value(text);
        assert!(answer.starts_with("REFUSED ") && answer.contains(expected), "{text}: {answer}");
    }
    assert!(value(&"(".repeat(5000)).contains("4096 bytes"));
    for deep in ["(".repeat(2000), "-".repeat(4000), "!".repeat(4000), "1+".repeat(1500) + "1"] {
        assert!(value(&deep).starts_with("REFUSED"), "{:.20}", deep);
    }
}

#[test]
fn no_expression_holds_the_core() {
    let thousand = format!("[{}]", vec!["1"; 400].join(","));
    let nested = format!("{thousand}.map(x, {thousand}.map(y, {thousand}.exists(z, z == 2)))");
    assert_eq!(value(&nested), "FAULT the evaluation takes too many steps");
    let doubled = (0..40)
        .fold("value.s".to_owned(), |text, at| format!("[{text}].map(x{at}, x{at} + x{at})[0]"));
    let answer = value(&doubled);
    assert!(answer.starts_with("FAULT") || answer.starts_with("REFUSED"), "{answer}");
    let grown = format!("{thousand}.map(x, {thousand}.map(y, value.s + value.s))");
    assert!(value(&grown).starts_with("FAULT the evaluation"));
}

fn transform(class: &str, settings: &[(&str, &str)]) -> Box<dyn Transformation> {
    let list = crate::transformations();
    let plugin = list.iter().find(|plugin| plugin.class == class).expect("it is in the list");
    (plugin.new)(&config(settings)).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn applied(settings: &[(&str, &str)], document: &str) -> String {
    let mut step = transform("millrace.Expression", settings);
    let arena = Arena::new();
    let typed = parse(document.as_bytes(), &arena).unwrap();
    let text = Value::Json(arena.alloc(JsonText::verbatim(document.as_bytes())));
    let known = Value::Json(arena.alloc(told(document, step.sought(Side::Value), &arena)));
    let shown = [typed, text, known].map(|value| match step.apply(record(None, value), &arena) {
        Err(error) => format!("{}: {}", error.class.rsplit('.').next().unwrap(), error.message),
        Ok(None) => "DROPPED".to_owned(),
        Ok(Some(record)) => {
            let value = match record.value.value {
                Value::Json(text) => {
                    let mut out = Vec::new();
                    text.write_to(&mut out);
                    show(&parse(arena.alloc_bytes(&out), &arena).unwrap())
                }
                value => show(&value),
            };
            let headers = record.headers.iter();
            let headers: String = headers
                .map(|header| format!(" {}={}", header.name, show(&header.datum.value)))
                .collect();
            format!("{} {value}{headers}", record.topic)
        }
    });
    assert_eq!(shown[0], shown[1], "{settings:?} {document}");
    assert_eq!(shown[0], shown[2], "{settings:?} {document}");
    shown[0].clone()
}

#[test]
fn fields_topic_headers_and_dropping() {
    let set = [("set.total", "value.a * 2"), ("set.a", "'was ' + string(value.a)")];
    assert_eq!(
        applied(&set, r#"{"a":1,"b":2}"#),
        "topic {a=String(was 1),b=Long(2),total=Long(2),}"
    );
    assert_eq!(applied(&set, r#"{"total":0,"a":1}"#), "topic {total=Long(2),a=String(was 1),}");
    assert_eq!(applied(&[("set.\"q\\", "1")], "{}"), "topic {\"q\\=Long(1),}");
    assert_eq!(applied(&set, "null"), "topic null");
    assert_eq!(
        applied(&[("set.a", "1")], "[1]"),
        "DataException: Only Map objects supported in absence of schema for [field setting by \
         expression], found: java.util.ArrayList"
    );
    let route = [("topic", "'t-' + value.kind"), ("header.kind", "value.kind")];
    assert_eq!(applied(&route, r#"{"kind":"x"}"#), "t-x {kind=String(x),} kind=String(x)");
    let bad = applied(&route, r#"{"kind":"a b"}"#);
    assert_eq!(bad, "DataException: topic='t-' + value.kind: \"t-a b\" is no name for a topic");
    assert_eq!(applied(&[("drop", "value.a < 5")], r#"{"a":4}"#), "DROPPED");
    assert_eq!(applied(&[("drop", "value.a < 5")], r#"{"a":5}"#), "topic {a=Long(5),}");
    assert_eq!(
        applied(&[("drop", "value.a")], r#"{"a":5}"#),
        "DataException: drop=value.a: a bool is wanted, not int"
    );
    // A member that nobody looks at may be what it wants.
    let wide = r#"{"a":123456789012345678901234567890,"b":1}"#;
    let mut step = transform("millrace.Expression$Value", &[("set.c", "value.b + 1")]);
    let arena = Arena::new();
    let text = Value::Json(arena.alloc(JsonText::verbatim(wide.as_bytes())));
    let changed = step.apply(record(None, text), &arena).unwrap().unwrap();
    assert_eq!(show(&changed.value.value), wide.replace('}', ",\"c\":2}"));
}

#[test]
fn the_key_has_its_own_class() {
    let mut step = transform("millrace.Expression$Key", &[("set.v", "value.a"), ("drop", "false")]);
    let arena = Arena::new();
    let mut given = record(None, parse(br#"{"a":1}"#, &arena).unwrap());
    given.key.value = parse(br#"{"k":2}"#, &arena).unwrap();
    let changed = step.apply(given, &arena).unwrap().unwrap();
    assert_eq!(show(&changed.key.value), "{k=Long(2),v=Long(1),}");
    assert_eq!(show(&changed.value.value), "{a=Long(1),}");
}

#[test]
fn every_mistake_is_told_with_its_key() {
    let list = crate::transformations();
    let plugin = list.iter().find(|plugin| plugin.class == "millrace.Expression").unwrap();
    let mistakes = config(&[("set.a", "value."), ("drop", "x"), ("sett.b", "1"), ("set.", "1")]);
    let errors = (plugin.new)(&mistakes).err().unwrap();
    let keys: Vec<_> = errors.iter().map(|error| error.key.as_str()).collect();
    assert_eq!(keys, ["drop", "set.", "set.a", "sett.b"]);
    assert!(
        errors[2].message.starts_with("Invalid value value. for configuration set.a: column 7")
    );
    let whole = (plugin.config_def)().whole.expect("it has a check");
    assert_eq!(whole(&mistakes), errors);
    assert!((plugin.new)(&config(&[])).err().unwrap()[0].message.contains("No expression"));
    for class in ["millrace.Expression", "millrace.Expression$Key", "millrace.Expression$Value"] {
        let step = transform(class, &[("drop", "true"), ("plugin.version", "1")]);
        assert_eq!(step.class_name(), class);
    }
}

const STRUCT: &str = r#"{"schema":{"type":"struct","name":"n","fields":[
    {"field":"i","type":"int32"},{"field":"f","type":"float"},{"field":"s","type":"string","optional":true},
    {"field":"l","type":"array","items":{"type":"int16"}},
    {"field":"d","type":"int64","name":"org.apache.kafka.connect.data.Timestamp","version":1},
    {"field":"o","type":"struct","fields":[{"field":"x","type":"string"}]}]},
    "payload":{"i":3,"f":1.5,"s":null,"l":[1,2],"d":1000,"o":{"x":"y"}}}"#;

/// The struct with one field set: its schema's type and the value.
fn in_struct(expression: &str) -> String {
    let mut step = transform("millrace.Expression", &[("set.new", expression)]);
    let arena = Arena::new();
    let mut converter = JsonConverter::new(JsonConverterConfig::default());
    let datum = converter
        .to_connect_data("t", Some(STRUCT.as_bytes()), Default::default(), &arena)
        .unwrap();
    match step.apply(record(datum.schema, datum.value), &arena) {
        Err(error) => error.message,
        Ok(None) => "DROPPED".to_owned(),
        Ok(Some(record)) => {
            let schema = record.value.schema.expect("a struct has one");
            assert_eq!(schema.name.as_deref(), Some("n"));
            let (at, field) = schema.field("new").expect("it was set");
            let Value::Struct(data) = record.value.value else { panic!("no struct") };
            assert!(std::ptr::eq(data.schema, schema) && field.schema.optional);
            assert_eq!(data.values.len(), schema.fields.len());
            format!("{} {}", field.schema.type_.name(), show(&data.values[at]))
        }
    }
}

#[test]
fn a_struct_gets_a_schema_that_is_told_from_its_own() {
    for (expression, expected) in [
        ("value.i", "INT32 Integer(3)"),
        ("value.i + 1", "INT64 Long(4)"),
        ("value.i + value.f", "FLOAT64 Double(4.5)"),
        ("value.i > 2 ? value.i : 5", "INT64 Long(3)"),
        ("value.i > 2 ? 1 : 2.5", "FLOAT64 Double(1.0)"),
        ("value.d", "INT64 Timestamp(1000)"),
        ("value.o.x + topic", "STRING String(ytopic)"),
        ("value.s", "STRING null"),
        ("has(value.s) ? value.s : 'none'", "STRING String(none)"),
        ("has(value.zz) ? value.zz : 'none'", "STRING String(none)"),
        ("value.l.map(x, x + 1)", "ARRAY [Long(2)Long(3)]"),
        ("value.l.filter(x, x > 1)", "ARRAY [Short(2)]"),
        ("[1, 2.5]", "ARRAY [Double(1.0)Double(2.5)]"),
        ("{'a': value.i}", "MAP {a=Integer(3),}"),
        ("value.l[0] == 1", "BOOLEAN Boolean(true)"),
        ("value.o", "STRUCT {x=String(y),}"),
        ("value.o.x.split('')", "ARRAY [String(y)]"),
        ("null", "STRING null"),
        ("int(value.d)", "INT64 Long(1)"),
    ] {
        assert_eq!(in_struct(expression), expected, "{expression}");
    }
    for expression in ["key", "true ? 1 : 'a'", "headers.h"] {
        assert!(in_struct(expression).contains("the type cannot be told"), "{expression}");
    }
}

fn expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "value.a",
        "value.b",
        "value.s",
        "value.n",
        "value.list",
        "value.o",
        "value.none",
        "value",
        "key",
        "topic",
        "offset",
        "headers",
        "headers.h",
        "1",
        "-3",
        "2.5",
        "'x'",
        "b'x'",
        "true",
        "null",
        "[1, 2]",
        "{'a': 1}",
        "9223372036854775807",
        "x",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 3, |inner| {
        let operator = prop::sample::select(vec![
            "+", "-", "*", "/", "%", "==", "!=", "<", ">=", "&&", "||", "in",
        ]);
        let call = prop::sample::select(vec![
            "size", "string", "int", "double", "bool", "bytes", "dyn", "has",
        ]);
        let member = prop::sample::select(vec![
            "contains",
            "startsWith",
            "split",
            "join",
            "indexOf",
            "substring",
            "matches",
        ]);
        let macro_ = prop::sample::select(vec!["all", "exists", "exists_one", "map", "filter"]);
        prop_oneof![
            (inner.clone(), operator, inner.clone())
                .prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            (call, inner.clone()).prop_map(|(f, a)| format!("{f}({a})")),
            (inner.clone(), member, inner.clone()).prop_map(|(a, f, b)| format!("{a}.{f}({b})")),
            (inner.clone(), macro_, inner.clone()).prop_map(|(a, m, b)| format!("{a}.{m}(x, {b})")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}[{b}]")),
            inner.prop_map(|a| format!("{a}.x")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Nothing panics, and text gives what typed values give.
    #[test]
    fn any_expression_has_a_value_or_says_why(text in expression()) {
        value(&text);
    }

    #[test]
    fn any_text_is_compiled_or_refused(text in "[a-z0-9 .()\\[\\]{}'\"+*/%?:&|!<>=,\\\\`é-]{0,24}") {
        let _ = compile(&text, &mut Uses::default());
    }

    /// What is inferred of a struct fits what is evaluated, or the record fails; nothing panics.
    #[test]
    fn any_expression_on_a_struct(text in expression()) {
        if compile(&text, &mut Uses::default()).is_ok() {
            in_struct(&text);
        }
    }
}
