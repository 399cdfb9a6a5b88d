//! Chains of transforms over JSON documents that share their layouts: what the compiled plan does in one
//! pass, beside it and step by step, the JVM does one after another.

use serde_json::{Value, json};

use super::configurations::Properties;
use super::random::Random;
use super::{Case, JSON, converter, record};

const FIELDS: [&str; 7] = ["id", "ip", "user", "ts", "flag", "ratio", "extra"];

/// A document of one of a few layouts; now and then null, or something else.
fn document(random: &mut Random) -> Value {
    let mut document = json!({
        "id": random.below(100_000),
        "ip": format!("10.{}.{}", random.below(300), random.below(99_999)),
        "user": {"name": random.pick(&["jo", "maria", "\u{e9}\"x"]), "tags": ["a", random.below(9)]},
        "ts": 1_700_000_000_000_u64 + random.next() % 1_000_000_000,
        "flag": random.once_in(2),
        "ratio": random.below(1000) as f64 / 8.0,
    });
    match random.below(12) {
        0 => document["extra"] = Value::Null,
        1 => document["user"] = json!({}),
        2 => drop(document.as_object_mut().and_then(|members| members.remove("ip"))),
        3 => document["extra"] = json!({"user": {"name": {"first": 1}}, "list": [{"a": 1}, []]}),
        4 if random.once_in(2) => return Value::Null,
        5 if random.once_in(3) => {
            return random.pick(&[&json!([1, 2]), &json!(7), &json!("text")]).clone();
        }
        _ => {}
    }
    document
}

/// One step: its class, and its settings.
fn step(random: &mut Random, number: usize) -> (String, Vec<(&'static str, String)>) {
    let field = random.pick(&FIELDS).to_owned();
    let side = if random.once_in(4) { "Key" } else { "Value" };
    let sided = |class: &str| format!("{class}${side}");
    let own = |key: &'static str, value: &str| vec![(key, value.to_owned())];
    match random.below(16) {
        0 | 1 => {
            let (key, value) = match random.below(4) {
                0 => ("topic.field", None),
                1 => ("timestamp.field", None),
                _ => ("static.field", Some("fixed")),
            };
            let name = if random.once_in(3) { field } else { format!("new{number}") };
            let value = value.map(|value| ("static.value", value.to_owned()));
            (sided("InsertField"), [(key, name)].into_iter().chain(value).collect())
        }
        2 => (sided("MaskField"), own("fields", &field)),
        3 => {
            let other = random.pick(&FIELDS);
            let settings = match random.below(3) {
                0 => own("exclude", other),
                1 => own("include", &random.some(&FIELDS, 7).join(",")),
                _ => own("renames", &format!("{field}:{other}{number}")),
            };
            (sided("ReplaceField"), settings)
        }
        4 => (sided("Cast"), own("spec", &format!("{field}:string"))),
        5 | 6 => ("ValueToKey".to_owned(), own("fields", &random.some(&FIELDS, 3).join(","))),
        7 | 8 => {
            let fields = random.some(&FIELDS, 3);
            let headers: Vec<String> =
                (0..fields.len()).map(|at| format!("h{number}{at}")).collect();
            let operation = if random.once_in(3) { "move" } else { "copy" };
            let mut settings = own("fields", &fields.join(","));
            settings.push(("headers", headers.join(",")));
            settings.push(("operation", operation.to_owned()));
            (sided("HeaderFrom"), settings)
        }
        9 | 10 => (sided("Flatten"), own("delimiter", random.pick(&[".", "_", "\""]))),
        11 => ("ExtractField$Key".to_owned(), own("field", &field)),
        12 => (sided("HoistField"), own("field", "all")),
        13 => {
            let mut settings = own("regex", "(t).*");
            settings.push(("replacement", format!("$1-{number}")));
            ("RegexRouter".to_owned(), settings)
        }
        14 => {
            let mut settings = own("header", &format!("i{number}"));
            settings
                .push(("value.literal", random.pick(&["7", "text", "[1,2]", "true"]).to_owned()));
            ("InsertHeader".to_owned(), settings)
        }
        _ => ("Filter".to_owned(), own("predicate", "gone")),
    }
}

pub fn cases(random: &mut Random, count: usize, records: usize) -> Vec<Case> {
    let package = "org.apache.kafka.connect.transforms";
    (0..count)
        .map(|number| {
            let mut properties = Properties::new();
            for side in ["key", "value"] {
                converter(&mut properties, side, JSON, &[("schemas.enable", "false")]);
            }
            let names: Vec<String> = (0..1 + random.below(6)).map(|at| format!("s{at}")).collect();
            properties.insert("transforms".to_owned(), names.join(","));
            properties.insert("predicates".to_owned(), "gone".to_owned());
            let gone = format!("{package}.predicates.RecordIsTombstone");
            properties.insert("predicates.gone.type".to_owned(), gone);
            for (at, name) in names.iter().enumerate() {
                let (class, settings) = step(random, at);
                let prefix = format!("transforms.{name}");
                properties.insert(format!("{prefix}.type"), format!("{package}.{class}"));
                for (key, value) in settings {
                    properties.insert(format!("{prefix}.{key}"), value);
                }
            }
            let records = (0..records).map(|_| {
                let (key, value) = (document(random), document(random));
                record(random, key, value)
            });
            Case { name: format!("chain-{number}"), properties, records: records.collect() }
        })
        .collect()
}
