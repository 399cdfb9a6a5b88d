//! Paths against what Jayway's library of version 2.9.0 answered: `vectors.tsv` has a path a line,
//! and for each of the three documents the number of values found, or what it threw.

use millrace_converters::json::parse;
use millrace_converters::{Arena, JsonText, Value};

use super::{JsonPath, PathError};

const DOCUMENTS: [&str; 3] = [
    r#"{"a":1,"b":"x","c":{"d":"v1","n":null,"e":2.5},"l":[1,2,3],"s":["p","q"],
        "o":[{"k":1,"t":"one"},{"k":2},{"t":"three","k":3}],"t":true,"z":null,"num":"5","e":"",
        "my name":7}"#,
    r#"{"c":null,"o":[],"a":"1","l":{"x":[{"k":2}]},"b":5}"#,
    "{}",
];

fn answer(path: &JsonPath, document: Value<'_>, arena: &Arena) -> String {
    match path.find(document, arena) {
        // Of a definite path the library counts the one value that it gives.
        Ok(found) if path.is_definite() => found.len().min(1).to_string(),
        Ok(found) => found.len().to_string(),
        Err(PathError::NotFound(_)) => "missing".to_owned(),
        Err(PathError::Invalid(_)) => "invalid".to_owned(),
        Err(PathError::Failed(_)) => "failed".to_owned(),
        Err(PathError::Data(error)) => error.message,
    }
}

#[test]
fn paths_find_what_jayways_library_finds() {
    let mut wrong = Vec::new();
    let mut asked = 0;
    for line in include_str!("vectors.tsv").lines() {
        let (text, expected) = line.split_once('\t').expect("a path and answers");
        let compiled = JsonPath::new(text);
        let Ok(path) = compiled else {
            if expected != "refused" {
                wrong.push(format!("{text}: refused, {:?}", compiled.err()));
            }
            continue;
        };
        for (document, expected) in DOCUMENTS.iter().zip(expected.split('\t')) {
            let arena = Arena::new();
            let parsed = parse(document.as_bytes(), &arena).unwrap();
            let text_value = Value::Json(arena.alloc(JsonText::verbatim(document.as_bytes())));
            for (form, value) in [("parsed", parsed), ("text", text_value)] {
                asked += 1;
                let found = answer(&path, value, &arena);
                if found != expected {
                    wrong.push(format!("{text} on {document} ({form}): {found}, not {expected}"));
                }
            }
        }
    }
    assert!(asked > 900, "{asked}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn errors_say_where_and_nesting_has_a_bound() {
    for (text, expected) in [
        ("$.a b", "blanks"),
        ("$[?(@.a = 1)]", "no operator \"=\""),
        ("$.a.nofunc()", "no function nofunc"),
        ("$.a.sum($.b)", "with arguments"),
        ("", "empty"),
    ] {
        let error = JsonPath::new(text).err().unwrap();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let deep = |count: usize| format!("$[?({}@.a{})]", "(".repeat(count), ")".repeat(count));
    assert!(JsonPath::new(&deep(30)).is_ok());
    assert!(JsonPath::new(&deep(10_000)).is_err());
    let nested = (0..200).fold("@.a".to_owned(), |text, _| format!("@.a[?({text})]"));
    assert!(JsonPath::new(&format!("$[?({nested})]")).is_err());
    assert!(JsonPath::new(&format!("$[?(@ in {}1{})]", "[".repeat(999), "]".repeat(999))).is_err());
}

#[test]
fn numbers_are_compared_by_their_decimal_value() {
    let arena = Arena::new();
    let document = br#"{"big":9007199254740993,"max":9223372036854775807,"d":0.1,"h":1e300}"#;
    let document = parse(document, &arena).unwrap();
    for (condition, holds) in [
        ("@.big == 9007199254740993", true),
        ("@.big == 9007199254740992.0", false),
        ("@.big > 9007199254740992.5", true),
        ("@.max < 9223372036854775808", true),
        ("@.max >= 9223372036854775807.0", true),
        ("@.d == 0.10", true),
        ("@.d < 0.1000000000000000001", true),
        ("@.d == '0.1'", true),
        ("@.h > 1e299", true),
        ("@.h < 1e999999999", true),
        ("@.d > 1e-999999999", true),
        ("@.d > -1e999999999", true),
    ] {
        let path = JsonPath::new(&format!("$[?({condition})]")).unwrap();
        assert_eq!(!path.find(document, &arena).unwrap().is_empty(), holds, "{condition}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_compiled_or_refused(text in "[$@.\\[\\]()?'\"!&|=<>~/ a1,:*é\\\\-]{0,24}") {
        if let Ok(path) = JsonPath::new(&text) {
            let arena = Arena::new();
            let document = parse(DOCUMENTS[0].as_bytes(), &arena).unwrap();
            let _ = path.find(document, &arena);
        }
        let _ = JsonPath::new(&format!("$[?({text})]"));
    }
}
