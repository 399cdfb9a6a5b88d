//! Where ours differs from the JVM on purpose: each line of the table in ARCHITECTURE.md that
//! concerns converters and transforms, both sides asserted.

use serde_json::{Value, json};

use super::configurations::Properties;
use super::{Case, ask_ours, ask_the_jvm, write_cases};

struct Deviation {
    name: &'static str,
    transform: &'static [(&'static str, &'static str)],
    /// The bytes of the value, or of a header, as text.
    place: Place,
    text: &'static str,
    /// The payload that the JVM makes of it, or the error's class.
    jvm: Result<Value, &'static str>,
    ours: Result<Value, &'static str>,
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Value,
    Header,
}

fn table() -> Vec<Deviation> {
    const NO_TRANSFORM: &[(&str, &str)] = &[];
    let cast: &[(&str, &str)] = &[
        ("transforms", "c"),
        ("transforms.c.type", "org.apache.kafka.connect.transforms.ExtractField$Value"),
        ("transforms.c.field", "a"),
    ];
    let number = |text: &str| -> Value { serde_json::from_str(text).expect("a number") };
    vec![
        Deviation {
            name: "wide-integer",
            transform: cast,
            place: Place::Value,
            text: r#"{"a":18446744073709551615}"#,
            jvm: Ok(json!(-1)),
            ours: Err("DataException"),
        },
        Deviation {
            name: "infinite-number",
            transform: cast,
            place: Place::Value,
            text: r#"{"a":1e400}"#,
            jvm: Ok(json!("Infinity")),
            ours: Err("DataException"),
        },
        Deviation {
            name: "text-after-the-document",
            transform: NO_TRANSFORM,
            place: Place::Value,
            text: r#"{"a":1} {"b":2}"#,
            jvm: Ok(json!({"a": 1})),
            ours: Err("DataException"),
        },
        Deviation {
            name: "negative-zero",
            transform: NO_TRANSFORM,
            place: Place::Value,
            text: r#"{"a":-0.0}"#,
            jvm: Ok(json!({"a": number("0.0")})),
            ours: Ok(json!({"a": number("-0.0")})),
        },
        Deviation {
            name: "leading-zeros",
            transform: NO_TRANSFORM,
            place: Place::Value,
            text: r#"{"a":007}"#,
            jvm: Ok(json!({"a": number("7")})),
            ours: Err("DataException"),
        },
        Deviation {
            name: "blank-before-a-list-cut-short",
            transform: NO_TRANSFORM,
            place: Place::Header,
            text: " [1",
            jvm: Ok(json!(" ")),
            ours: Ok(json!(" [1")),
        },
    ]
}

fn outcome(place: Place, answer: &str) -> Result<Value, String> {
    let answer: Value = serde_json::from_str(answer).expect("JSON");
    match answer.get("error") {
        Some(class) => Err(class.as_str().expect("a class").to_owned()),
        None if place == Place::Header => Ok(answer["headers"][0]["value"]["payload"].clone()),
        None => Ok(answer["value"]["payload"].clone()),
    }
}

#[test]
fn the_differences_are_those_of_the_table() {
    let place = tempfile::tempdir().expect("a folder");
    let dir = place.path();
    let table = table();
    let cases: Vec<Case> = table
        .iter()
        .map(|deviation| {
            let mut properties = Properties::new();
            for side in ["key", "value"] {
                let class = "org.apache.kafka.connect.json.JsonConverter";
                super::converter(&mut properties, side, class, &[("schemas.enable", "false")]);
            }
            for (key, value) in deviation.transform {
                properties.insert((*key).to_owned(), (*value).to_owned());
            }
            let record = match deviation.place {
                Place::Value => json!({"value": deviation.text}),
                Place::Header => {
                    json!({"value": {}, "headers": [{"key": "h", "value": deviation.text}]})
                }
            };
            let records = vec![record.to_string()];
            Case { name: deviation.name.to_owned(), properties, records }
        })
        .collect();
    write_cases(dir, &cases);
    ask_the_jvm(dir, None);
    for (deviation, case) in table.iter().zip(&cases) {
        let jvm = std::fs::read_to_string(dir.join(format!("{}.jvm", case.name)));
        let ours = ask_ours(dir, case, false).expect("a good configuration");
        let expected = |side: &Result<Value, &str>| side.clone().map_err(str::to_owned);
        assert_eq!(
            outcome(deviation.place, &jvm.expect("an answer")),
            expected(&deviation.jvm),
            "{}: JVM",
            case.name
        );
        assert_eq!(
            outcome(deviation.place, &ours[0]),
            expected(&deviation.ours),
            "{}: ours",
            case.name
        );
    }
}
