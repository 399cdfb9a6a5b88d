//! Joins on text, maps and structs; files that are good, wrong, too large and changed; topics.

use std::io::Write;

use millrace_api::table::{RowError, TableSource};
use millrace_converters::json::{JsonConverter, JsonConverterConfig};
use millrace_converters::{Converter, SchemaAndValue};
use proptest::prelude::*;
use tempfile::NamedTempFile;

use super::*;
use crate::test_rig::{config, record, show, told};

const CSV: &str = "\u{feff}user,country,score,note\r\n\
    1,NL,5,\"a \"\"quoted\"\", cell\"\r\n\
    \r\n\
    2,DE,,\"two\nlines\"\r\n\
    x y,\"BE\",-3,é\r\n";

fn file(ending: &str, content: &str) -> NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(ending).tempfile().expect("a file");
    file.write_all(content.as_bytes()).expect("written");
    file
}

fn made(settings: &[(&str, &str)]) -> Result<Box<dyn Transformation>, Vec<ConfigError>> {
    (PLAIN.new)(&config(settings))
}

/// A filled transform over a CSV file.
fn over(file: &NamedTempFile, more: &[(&str, &str)]) -> Result<Box<dyn Transformation>, String> {
    let path = file.path().to_str().expect("a path");
    let mut settings = vec![("key", "value.user"), ("table.file", path), ("table.key", "user")];
    settings.extend(more);
    let step = made(&settings)
        .map_err(|errors| errors.into_iter().map(|error| error.message).collect::<String>())?;
    step.table().expect("it has a table").table.fill_now()?;
    Ok(step)
}

/// The document joined, as a map, as text, and as text that tells where things are and that was seen
/// before; all must be the same.
fn joined_as(step: &mut dyn Transformation, document: &str) -> String {
    let arena = Arena::new();
    let typed = parse(document.as_bytes(), &arena).unwrap();
    let text = Value::Json(arena.alloc(JsonText::verbatim(document.as_bytes())));
    let known = Value::Json(arena.alloc(told(document, step.sought(Side::Value), &arena)));
    let mut seen = [record(None, known)];
    step.prefetch(&mut seen, &arena);
    let shown =
        [record(None, typed), record(None, text), seen[0]].map(|one| applied(step, one, &arena));
    assert_eq!(shown[0], shown[1], "{document}");
    assert_eq!(shown[0], shown[2], "{document}");
    shown[0].clone()
}

fn applied<'a>(step: &mut dyn Transformation, record: Record<'a>, arena: &'a Arena) -> String {
    match step.apply(record, arena) {
        Err(error) => error.message,
        Ok(None) => "DROPPED".to_owned(),
        Ok(Some(record)) => match record.value.value {
            Value::Json(text) => {
                let mut out = Vec::new();
                text.write_to(&mut out);
                show(&parse(arena.alloc_bytes(&out), arena).unwrap())
            }
            value => show(&value),
        },
    }
}

#[test]
fn a_record_gets_the_fields_of_its_row() {
    let csv = file(".csv", CSV);
    let mut step =
        over(&csv, &[("fields", "country,score:points"), ("table.types", "score:int32")]).unwrap();
    for (document, expected) in [
        (r#"{"user":1}"#, "{user=Long(1),country=String(NL),points=Long(5),}"),
        (r#"{"user":"1","a":2}"#, "{user=String(1),a=Long(2),country=String(NL),points=Long(5),}"),
        (r#"{"user":1.0}"#, "{user=Double(1.0),country=String(NL),points=Long(5),}"),
        (r#"{"user":2}"#, "{user=Long(2),country=String(DE),points=null,}"),
        // What is there already is replaced where it is.
        (
            r#"{"country":"?","user":"x y"}"#,
            "{country=String(BE),user=String(x y),points=Long(-3),}",
        ),
        (r#"{"user":3}"#, "{user=Long(3),}"),
        (r#"{"user":null}"#, "{user=null,}"),
        (r#"{"b":1}"#, "{b=Long(1),}"),
        ("null", "null"),
        (r#"{"user":{}}"#, "key=value.user: a map is no key of a table"),
    ] {
        assert_eq!(joined_as(&mut *step, document), expected, "{document}");
    }
    let lookups = step.table().unwrap().lookups;
    assert_eq!((lookups.hits.get(), lookups.misses.get()), (15, 9));
    let size = step.table().unwrap().table.size();
    assert!(size.rows == 3 && size.bytes > 0, "{size:?}");
}

#[test]
fn inner_joins_targets_prefixes_and_all_columns() {
    let csv = file(".csv", CSV);
    let mut inner = over(&csv, &[("join", "inner"), ("target.field", "geo")]).unwrap();
    assert_eq!(joined_as(&mut *inner, r#"{"user":9}"#), "DROPPED");
    assert_eq!(
        joined_as(&mut *inner, r#"{"user":1,"geo":7}"#),
        "{user=Long(1),geo={country=String(NL),score=String(5),note=String(a \"quoted\", cell),},}"
    );
    let mut all = over(&csv, &[("prefix", "u_")]).unwrap();
    assert_eq!(
        joined_as(&mut *all, r#"{"user":2,"u_score":1}"#),
        "{user=Long(2),u_score=String(),u_country=String(DE),u_note=String(two\nlines),}"
    );
    assert!(!all.takes_text() && inner.takes_text());
    let mut empty = over(&csv, &[("fields", "country"), ("key", "topic == 't' ? 1 : 2")]).unwrap();
    assert_eq!(joined_as(&mut *empty, "{}"), "{country=String(DE),}");
}

#[test]
fn a_key_further_down_is_the_same_whether_it_is_parsed_or_taken_as_it_stands() {
    let csv = file(".csv", CSV);
    let mut step = over(&csv, &[("fields", "country"), ("key", "value.a.b.user")]).unwrap();
    let nl = "country=String(NL),}";
    for (document, expected) in [
        (r#"{"a":{"b":{"user":1}}}"#, format!("{{a={{b={{user=Long(1),}},}},{nl}")),
        (r#"{"a":{"b":{"x":[2],"user":"1"}}}"#, {
            format!("{{a={{b={{x=[Long(2)],user=String(1),}},}},{nl}")
        }),
        // The last of several counts, and escapes are no other name.
        (
            r#"{"a":1,"a":{"b":{"user":2},"\u0062":{"user":7,"us\u0065r":"\u0031"}}}"#,
            format!("{{a={{b={{user=String(1),}},}},{nl}"),
        ),
        (
            r#"{"country":[],"a":{"b":{"user":1.5}}}"#,
            "{country=[],a={b={user=Double(1.5),},},}".to_owned(),
        ),
        (r#"{"a":{"b":{"user":10e-1}}}"#, format!("{{a={{b={{user=Double(1.0),}},}},{nl}")),
        (
            r#"{"country":[],"a":{"b":{"user":1}}}"#,
            "{country=String(NL),a={b={user=Long(1),},},}".to_owned(),
        ),
        (
            r#"{"country":1,"a":{"b":{"user":1}},"country":2}"#,
            "{country=String(NL),a={b={user=Long(1),},},}".to_owned(),
        ),
        (r#"{"a":{"b":{}}}"#, "{a={b={},},}".to_owned()),
        (r#"{"a":{}}"#, "{a={},}".to_owned()),
        ("{}", "{}".to_owned()),
        (r#"{"a":{"b":{"user":null}}}"#, "{a={b={user=null,},},}".to_owned()),
        (r#"{"a":{"b":7}}"#, "key=value.a.b.user: no field user in a value of type int".to_owned()),
        (r#"{"a":"x"}"#, "key=value.a.b.user: no field b in a value of type string".to_owned()),
        (r#"{"a":{"b":{"user":{}}}}"#, "key=value.a.b.user: a map is no key of a table".to_owned()),
    ] {
        assert_eq!(joined_as(&mut *step, document), expected, "{document}");
    }
    // What stands beside the key is parsed with it, or said to be wrong.
    for (beside, expected) in [
        ("1e400", "Number 1e400 does not fit into a double"),
        ("[12345678901234567890]", "Integer 12345678901234567890 does not fit into 64 bits"),
    ] {
        let arena = Arena::new();
        let document = format!(r#"{{"a":{{"x":{beside},"b":{{"user":1}}}}}}"#);
        let text = JsonText::verbatim(document.as_bytes());
        for text in [text, told(&document, step.sought(Side::Value), &arena)] {
            let text = Value::Json(arena.alloc(text));
            assert_eq!(applied(&mut *step, record(None, text), &arena), expected);
        }
    }
}

#[test]
fn the_other_sides_member_is_a_key_and_a_key_is_joined() {
    let csv = file(".csv", CSV);
    for (plugin, side, key) in [(&VALUE, Side::Value, "key.user"), (&KEY, Side::Key, "value.user")]
    {
        let path = csv.path().to_str().expect("a path");
        let mut step = (plugin.new)(&config(&[
            ("key", key),
            ("table.file", path),
            ("table.key", "user"),
            ("fields", "country"),
        ]))
        .unwrap_or_else(|errors| panic!("{errors:?}"));
        step.table().expect("it has a table").table.fill_now().unwrap();
        let arena = Arena::new();
        let [asked, joined] = [r#"{"user":"x y"}"#, r#"{"a":1}"#];
        let [in_key, in_value] =
            if side == Side::Value { [asked, joined] } else { [joined, asked] };
        let tell = |document, of| Value::Json(arena.alloc(told(document, step.sought(of), &arena)));
        let verbatim = |document: &'static str| {
            Value::Json(arena.alloc(JsonText::verbatim(document.as_bytes())))
        };
        for [in_key, in_value] in [
            [tell(in_key, Side::Key), tell(in_value, Side::Value)],
            [tell(in_key, Side::Key), verbatim(in_value)],
            [verbatim(in_key), verbatim(in_value)],
        ] {
            let mut one = record(None, in_value);
            one.key.value = in_key;
            let joined = step.apply(one, &arena).unwrap().unwrap();
            let joined = if side == Side::Key { joined.key } else { joined.value };
            assert_eq!(show(&joined.value), r#"{"a":1,"country":"BE"}"#);
        }
    }
}

#[test]
fn json_lines_arrays_and_keys_of_several_columns() {
    let lines = "{\"a\":1,\"b\":\"x\",\"c\":{\"d\":[1,2.5]}}\n\n{\"b\":\"y\",\"a\":1,\"c\":null}\n";
    let array = "[{\"a\":1,\"b\":\"x\",\"c\":{\"d\":[1,2.5]}},\n {\"a\":1,\"b\":\"y\",\"c\":null}]";
    for (ending, content) in [(".jsonl", lines), (".json", array)] {
        let file = file(ending, content);
        let more = [("table.key", "a,b"), ("key", "[value.a, value.b]"), ("fields", "c")];
        let mut step = over(&file, &more).unwrap();
        assert_eq!(
            joined_as(&mut *step, r#"{"a":1,"b":"x"}"#),
            "{a=Long(1),b=String(x),c={d=[Long(1)Double(2.5)],},}"
        );
        assert_eq!(joined_as(&mut *step, r#"{"a":1,"b":"y"}"#), "{a=Long(1),b=String(y),c=null,}");
        assert_eq!(joined_as(&mut *step, r#"{"a":1,"b":"z"}"#), "{a=Long(1),b=String(z),}");
    }
}

#[test]
fn a_wrong_file_says_which_line_and_why() {
    for (ending, content, more, expected) in [
        (".csv", "", &[][..], "the file is empty"),
        (".csv", "user,a\n1\n", &[], "line 2: 1 columns where the first line has 2"),
        (".csv", "user,a\n1,\"x\n", &[], "a quote is not closed"),
        (".csv", "user,a\n1,x\"y\"\n", &[], "line 2: a quote within a cell"),
        (".csv", "user,a\n1,\"x\"y\n", &[], "line 2: text after a closing quote"),
        (".csv", "id,a\n", &[], "there is no column user; there are id, a"),
        (".csv", "user,a\n", &[("fields", "b")], "there is no column b"),
        (
            ".csv",
            "user,a\n1,2\n2,x\n",
            &[("table.types", "a:int8")],
            "line 3: column a: \"x\" is no int8",
        ),
        (".json", "{\"user\":1}\n{\"user\"}\n", &[], "line 2: "),
        (".json", "{\"user\":1}\n{\"a\":2}\n", &[], "line 2: the key's user is missing or null"),
        (".json", "[{\"user\":1},2]", &[], "item 2: no JSON object"),
    ] {
        let file = file(ending, content);
        let why = over(&file, more).err().unwrap_or_default();
        let start = format!("the table of {}: ", file.path().display());
        assert!(why.starts_with(&start) && why.contains(expected), "{content:?}: {why}");
    }
    let mut row = "user,a\n".to_owned();
    (0..30_000).for_each(|at| row.push_str(&format!("{at},some text that takes its room {at}\n")));
    let why = over(&file(".csv", &row), &[("max.memory.bytes", "1048576")]).err().unwrap();
    assert!(why.contains("max.memory.bytes=1048576 is too little: "), "{why}");
    let long = format!("user,a\n1,{}\n", "x".repeat(2 << 20));
    assert!(over(&file(".csv", &long), &[]).err().unwrap().contains("line 2: longer than"));
}

#[test]
fn a_changed_file_is_read_anew_and_equal_tables_are_one() {
    let csv = file(".csv", CSV);
    let mut step = over(&csv, &[("fields", "country")]).unwrap();
    let other = over(&csv, &[("fields", "country"), ("join", "inner")]).unwrap();
    let different = over(&csv, &[("fields", "note")]).unwrap();
    let table = step.table().unwrap().table;
    assert!(Rc::ptr_eq(&table, &other.table().unwrap().table));
    assert!(!Rc::ptr_eq(&table, &different.table().unwrap().table));
    assert!((table.reading())().unwrap().is_none(), "nothing changed");
    std::fs::write(csv.path(), "user,country\n1,FR\n").unwrap();
    table.install((table.reading())().unwrap().expect("it changed"));
    assert_eq!(joined_as(&mut *step, r#"{"user":1}"#), "{user=Long(1),country=String(FR),}");
    assert_eq!(table.size().rows, 1);
    std::fs::write(csv.path(), "nothing\n").unwrap();
    assert!((table.reading())().is_err());
    assert_eq!(table.size().rows, 1, "what was there stays");
}

#[test]
fn a_topics_records_are_rows() {
    let settings = [
        ("key", "value.u"),
        ("table.topic", "users"),
        ("fields", "c"),
        ("table.consumer.fetch.min.bytes", "7"),
    ];
    let mut step = made(&settings).unwrap();
    let table = step.table().unwrap().table;
    assert_eq!(
        *table.source(),
        TableSource::Topic {
            topic: "users".to_owned(),
            consumer: config(&[("fetch.min.bytes", "7")])
        }
    );
    assert!(table.fill_now().unwrap_err().contains("wants a worker"));
    let put = |key: &str, value: Option<&str>| {
        table.record(Some(key.as_bytes()), value.map(str::as_bytes))
    };
    put("1", Some(r#"{"c":"NL","d":1}"#)).unwrap();
    put("\"two\"", Some(r#"{"c":"DE"}"#)).unwrap();
    put("3", Some(r#"{"c":"BE"}"#)).unwrap();
    put("3", None).unwrap();
    put("1", Some(r#"{"c":"FR"}"#)).unwrap();
    assert_eq!(joined_as(&mut *step, r#"{"u":1}"#), "{u=Long(1),c=String(FR),}");
    assert_eq!(joined_as(&mut *step, r#"{"u":"two"}"#), "{u=String(two),c=String(DE),}");
    assert_eq!(joined_as(&mut *step, r#"{"u":3}"#), "{u=Long(3),}");
    assert!(matches!(put("4", Some("{")), Err(RowError::Refused(_))));
    assert!(matches!(put("4", Some("[]")), Err(RowError::Refused(_))));
    assert!(matches!(table.record(None, None), Err(RowError::Refused(_))));
    assert_eq!((table.size().rows, table.size().refused), (2, 3));
    let settings = [("key", "value.u"), ("table.topic", "users"), ("table.key", "id")];
    let table = made(&settings).unwrap().table().unwrap().table;
    table.record(Some(br#"{"id":5}"#), Some(br#"{"c":1}"#)).unwrap();
    assert!(matches!(table.record(Some(b"5"), None), Err(RowError::Refused(_))));
    let small = [("key", "value.u"), ("table.topic", "t"), ("max.memory.bytes", "1048576")];
    let table = made(&small).unwrap().table().unwrap().table;
    let value = format!("{{\"a\":\"{}\"}}", "x".repeat(10_000));
    let full = (0..200)
        .find_map(|at| table.record(Some(at.to_string().as_bytes()), Some(value.as_bytes())).err());
    assert!(matches!(full, Some(RowError::Full(why)) if why.contains("max.memory.bytes=1048576")));
}

#[test]
fn a_struct_gets_typed_fields_with_and_without_a_row() {
    const STRUCT: &str = r#"{"schema":{"type":"struct","name":"n","fields":[
        {"field":"user","type":"int32"},{"field":"country","type":"int64"}]},
        "payload":{"user":USER,"country":1}}"#;
    let csv = file(".csv", CSV);
    let fields = [("fields", "country,score"), ("table.types", "score:int16")];
    let flat = over(&csv, &fields).unwrap();
    let target = over(&csv, &[fields[0], fields[1], ("target.field", "geo")]).unwrap();
    let show_joined = |mut step: Box<dyn Transformation>| -> Vec<String> {
        let arena = Arena::new();
        let mut converter = JsonConverter::new(JsonConverterConfig::default());
        ["1", "77"]
            .map(|user| {
                let text = STRUCT.replace("USER", user);
                let bytes = arena.alloc_bytes(text.as_bytes());
                let datum: SchemaAndValue<'_> = converter
                    .to_connect_data("t", Some(bytes), Default::default(), &arena)
                    .unwrap();
                let record =
                    step.apply(record(datum.schema, datum.value), &arena).unwrap().unwrap();
                let schema = record.value.schema.unwrap();
                let types: Vec<_> =
                    schema.fields.iter().map(|field| field.schema.type_.name()).collect();
                format!("{} {}", types.join(","), show(&record.value.value))
            })
            .into()
    };
    assert_eq!(
        show_joined(flat),
        [
            "INT32,STRING,INT16 {user=Integer(1),country=String(NL),score=Short(5),}",
            "INT32,STRING,INT16 {user=Integer(77),country=null,score=null,}",
        ]
    );
    assert_eq!(
        show_joined(target),
        [
            "INT32,INT64,STRUCT {user=Integer(1),country=Long(1),geo={country=String(NL),\
             score=Short(5),},}",
            "INT32,INT64,STRUCT {user=Integer(77),country=Long(1),geo=null,}",
        ]
    );
}

#[test]
fn every_mistake_is_told_with_its_key() {
    let keys = |settings: &[(&str, &str)]| -> Vec<String> {
        let settings = config(settings);
        let errors = (PLAIN.new)(&settings).err().unwrap_or_default();
        errors.into_iter().map(|error| error.key).collect()
    };
    assert_eq!(keys(&[]), ["key"]);
    assert_eq!(
        keys(&[("key", "value."), ("table.fiel", "x"), ("table.key", "a")]),
        ["table.fiel", "table.file", "key"]
    );
    assert_eq!(keys(&[("key", "1"), ("table.file", "x.csv"), ("table.topic", "t")]).len(), 2);
    assert_eq!(keys(&[("key", "1"), ("table.file", "x.txt")]), ["table.format", "table.key"]);
    assert_eq!(
        keys(&[("key", "1"), ("table.topic", "t"), ("table.format", "csv")]),
        ["table.format"]
    );
    let mut wrong = keys(&[
        ("key", "1"),
        ("table.file", "x.csv"),
        ("table.key", "a"),
        ("table.types", "a:int7"),
        ("fields", "a:"),
        ("join", "outer"),
        ("table.csv.delimiter", "ab"),
        ("max.memory.bytes", "1"),
    ]);
    wrong.sort();
    assert_eq!(wrong, ["fields", "join", "max.memory.bytes", "table.csv.delimiter", "table.types"]);
    for (class, plugin) in
        [("millrace.Enrich", PLAIN), ("millrace.Enrich$Key", KEY), ("millrace.Enrich$Value", VALUE)]
    {
        let settings = config(&[("key", "key.a"), ("table.topic", "t"), ("plugin.version", "1")]);
        assert_eq!((plugin.new)(&settings).ok().unwrap().class_name(), class);
        assert_eq!((plugin.class, (plugin.config_def)().whole.is_some()), (class, true));
    }
}

proptest! {
    /// Whatever the file holds, it is read or refused; what is read is found.
    #[test]
    fn any_file_is_read_or_refused(content in "(user,a\n)?([a\",\n\r\\\\é{}:\\[\\]1]{0,12}\n?){0,6}") {
        for ending in [".csv", ".json"] {
            if let Ok(mut step) = over(&file(ending, &content), &[("fields", "a:b")]) {
                joined_as(&mut *step, r#"{"user":"1","b":[]}"#);
            }
        }
    }
}
