//! The JVM's converters and transforms as the oracle of ours: the same configurations, the same
//! records, the same answers.
//!
//! `MILLRACE_ORACLE_SEED` and `MILLRACE_ORACLE_CASES` choose other cases and more of them.

mod chains;
mod configurations;
mod data;
mod debezium;
mod deviations;
mod explain;
mod random;
mod same;
mod texts;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::rig;
use configurations::{Properties, SIDED, WHOLE};
use random::Random;

const SEED: u64 = 20_261_121;
/// Configurations for each transform, and for each way of reading records.
const CASES: usize = 24;
const RECORDS: usize = 25;

/// A configuration and the records to try on it.
pub struct Case {
    pub name: String,
    pub properties: Properties,
    pub records: Vec<String>,
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn converter(properties: &mut Properties, side: &str, class: &str, settings: &[(&str, &str)]) {
    properties.insert(format!("{side}.converter"), class.to_owned());
    for (key, value) in settings {
        properties.insert(format!("{side}.converter.{key}"), (*value).to_owned());
    }
}

const JSON: &str = "org.apache.kafka.connect.json.JsonConverter";
const STRING: &str = "org.apache.kafka.connect.storage.StringConverter";

/// One record around a key and a value.
pub fn record(random: &mut Random, key: Value, value: Value) -> String {
    let mut record = json!({"key": key, "value": value});
    if !random.once_in(6) {
        record["timestamp"] = json!(1_700_000_000_000_u64 + random.next() % 100_000_000_000);
    }
    if random.once_in(3) {
        record["topic"] = json!(random.pick(&["t", "topic-1", "other"]));
        record["partition"] = json!(random.below(9));
        record["offset"] = json!(random.next() >> 20);
    }
    if random.once_in(2) {
        let values = ["12", "text", "3.5", "true", "[1,2,3]", "{\"a\":1}", "null", "1e3", ""];
        let headers: Vec<Value> = (0..1 + random.below(3))
            .map(
                |_| json!({"key": random.pick(&["h1", "h2", "h3"]), "value": random.pick(&values)}),
            )
            .collect();
        record["headers"] = Value::Array(headers);
    }
    record.to_string()
}

/// Schemaless JSON, or JSON with schemas, for both sides; returns the records.
fn json_records(random: &mut Random, properties: &mut Properties, schemas: bool) -> Vec<String> {
    let enable = [("schemas.enable", if schemas { "true" } else { "false" })];
    converter(properties, "key", JSON, &enable);
    converter(properties, "value", JSON, &enable);
    let shapes: Vec<Value> = (0..3).map(|_| data::structure(random, 2)).collect();
    let scalars: Vec<Value> = (0..2).map(|_| data::schema(random, 1)).collect();
    let one = |random: &mut Random| {
        if random.once_in(20) {
            return Value::Null;
        }
        if schemas {
            let list = if random.once_in(5) { &scalars } else { &shapes };
            let schema = &list[random.below(list.len())];
            json!({"schema": schema, "payload": data::payload(random, schema, false)})
        } else if random.once_in(8) {
            data::schemaless(random, 1)
        } else {
            data::schemaless_object(random, 2)
        }
    };
    (0..RECORDS)
        .map(|_| {
            let (key, value) = (one(random), one(random));
            // A bare string would be taken for the text itself: as JSON it needs its quotes.
            let quoted =
                |value: Value| if value.is_string() { json!(value.to_string()) } else { value };
            record(random, quoted(key), quoted(value))
        })
        .collect()
}

/// Cases of one transform: alone, behind a predicate, or with others behind it.
fn transform_cases(random: &mut Random, transform: &str, count: usize) -> Vec<Case> {
    (0..count)
        .map(|number| {
            let mut properties = configurations::transform(random, "a", transform);
            properties.insert("transforms".to_owned(), "a".to_owned());
            if random.once_in(5) {
                properties.extend(configurations::predicate(random, "a"));
            }
            let list: Vec<&str> = SIDED.iter().chain(WHOLE).copied().collect();
            let mut steps = "a".to_owned();
            for alias in ["b", "c", "d", "e"] {
                if !random.once_in(3) {
                    break;
                }
                let next = random.pick(&list);
                properties.extend(configurations::transform(random, alias, next));
                steps += &format!(", {alias}");
            }
            properties.insert("transforms".to_owned(), steps);
            let records = json_records(random, &mut properties, number % 2 == 0);
            Case { name: format!("{transform}-{number}"), properties, records }
        })
        .collect()
}

/// Texts that have a grammar of their own: patterns of dates, there and back; regular expressions;
/// what headers hold.
fn text_cases(random: &mut Random, count: usize) -> Vec<Case> {
    let no_schemas = |properties: &mut Properties| {
        for side in ["key", "value"] {
            converter(properties, side, JSON, &[("schemas.enable", "false")]);
        }
    };
    let package = "org.apache.kafka.connect.transforms";
    let mut cases = Vec::new();
    for number in 0..count * 4 {
        let mut properties = Properties::new();
        no_schemas(&mut properties);
        let pattern = texts::date_pattern(random);
        let mut set = |key: &str, value: &str| {
            properties.insert(key.to_owned(), value.to_owned());
        };
        set("transforms", "a,b");
        for (alias, target) in [("a", "string"), ("b", "Timestamp")] {
            set(
                &format!("transforms.{alias}.type"),
                &format!("{package}.TimestampConverter$Value"),
            );
            set(&format!("transforms.{alias}.field"), "when");
            set(&format!("transforms.{alias}.target.type"), target);
            set(&format!("transforms.{alias}.format"), &pattern);
        }
        if random.once_in(2) {
            set("transforms", "a");
        }
        let records = (0..RECORDS)
            .map(|_| {
                let when = texts::time(random);
                record(random, Value::Null, json!({"when": when}))
            })
            .collect();
        cases.push(Case { name: format!("dates-{number}"), properties, records });
    }
    for number in 0..count * 4 {
        let mut properties = Properties::new();
        no_schemas(&mut properties);
        let (regex, replacement) = (texts::regex(random, 1), texts::replacement(random));
        for (key, value) in [
            ("transforms", "a"),
            ("transforms.a.type", &format!("{package}.RegexRouter")),
            ("transforms.a.regex", &regex),
            ("transforms.a.replacement", &replacement),
        ] {
            properties.insert(key.to_owned(), value.to_owned());
        }
        let records = (0..RECORDS)
            .map(|_| json!({"topic": texts::topic(random), "value": {}}).to_string())
            .collect();
        cases.push(Case { name: format!("regex-{number}"), properties, records });
    }
    for number in 0..count {
        let mut properties = Properties::new();
        no_schemas(&mut properties);
        let records = (0..RECORDS * 8)
            .map(|_| json!({"value": texts::json(random, 3)}).to_string())
            .collect();
        cases.push(Case { name: format!("json-{number}"), properties, records });
    }
    for number in 0..count {
        let mut properties = Properties::new();
        no_schemas(&mut properties);
        let records = (0..RECORDS * 4)
            .map(|_| {
                // Blanks at the beginning are one of the differences that are meant.
                let headers: Vec<Value> = (0..4)
                    .map(|_| json!({"key": "h", "value": texts::literal(random, 2).trim_start()}))
                    .collect();
                json!({"value": {}, "headers": headers}).to_string()
            })
            .collect();
        cases.push(Case { name: format!("headers-{number}"), properties, records });
    }
    cases
}

/// Each converter on texts, bytes and JSON, without transforms.
fn converter_cases(random: &mut Random, count: usize) -> Vec<Case> {
    let package = "org.apache.kafka.connect.converters.";
    let classes = ["Integer", "Long", "Short", "Float", "Double", "Boolean", "ByteArray"];
    let mut cases = Vec::new();
    for class in classes.iter().map(|class| format!("{package}{class}Converter")) {
        let mut properties = Properties::new();
        converter(&mut properties, "key", &class, &[]);
        converter(&mut properties, "value", &class, &[]);
        let records = (0..RECORDS)
            .map(|_| {
                let (key, value) = (bytes(random), bytes(random));
                record(random, key, value)
            })
            .collect();
        let name = class.rsplit('.').next().expect("a name").to_owned();
        cases.push(Case { name, properties, records });
    }
    for encoding in ["UTF-8", "ISO-8859-1", "UTF-16"] {
        let mut properties = Properties::new();
        for side in ["key", "value"] {
            converter(&mut properties, side, STRING, &[("encoding", encoding)]);
        }
        let records = (0..RECORDS)
            .map(|_| {
                let (key, value) = (bytes(random), json!(data::schemaless(random, 1).to_string()));
                record(random, key, value)
            })
            .collect();
        cases.push(Case { name: format!("String-{encoding}"), properties, records });
    }
    for number in 0..count {
        let mut properties = Properties::new();
        let records = json_records(random, &mut properties, number % 2 == 0);
        if random.once_in(2) {
            let no = "value.converter.replace.null.with.default".to_owned();
            properties.insert(no, "false".to_owned());
        }
        cases.push(Case { name: format!("Json-{number}"), properties, records });
    }
    cases
}

/// A few bytes, of the widths that the primitive converters take more often than not.
fn bytes(random: &mut Random) -> Value {
    use base64::Engine;
    if random.once_in(8) {
        return Value::Null;
    }
    let length = [1, 2, 4, 8, random.below(10)][random.below(5)];
    let all: Vec<u8> = (0..length)
        .map(|_| if random.once_in(3) { random.below(2) as u8 } else { random.next() as u8 })
        .collect();
    json!(format!("base64:{}", base64::engine::general_purpose::STANDARD.encode(all)))
}

fn write_cases(dir: &Path, cases: &[Case]) {
    for case in cases {
        // As java.util.Properties reads them back.
        let escape = |text: &str| text.replace('\\', "\\\\");
        let mut text = String::new();
        for (key, value) in &case.properties {
            writeln!(text, "{key}={}", escape(value)).expect("memory");
        }
        std::fs::write(dir.join(format!("{}.properties", case.name)), text).expect("a file");
        let records = case.records.join("\n") + "\n";
        std::fs::write(dir.join(format!("{}.in", case.name)), records).expect("a file");
    }
}

/// All cases through the JVM's classes: answers in `NAME.jvm`, errors in `NAME.refused`.
fn ask_the_jvm(dir: &Path, more: Option<&Path>) {
    let mut libs = format!("{}/*", rig::kafka::libs().display());
    if let Some(more) = more {
        write!(libs, ":{}/*", more.display()).expect("memory");
    }
    let classes = dir.join("classes");
    let source = rig::project().join("tests/oracle/ChainOracle.java");
    let compiled = Command::new("javac")
        .args(["-nowarn", "-cp", &libs, "-d"])
        .arg(&classes)
        .arg(source)
        .output()
        .expect("javac");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let ran = Command::new("java")
        .args(["-XX:TieredStopAtLevel=1", "-Duser.timezone=UTC", "-cp"])
        .arg(format!("{}:{libs}", classes.display()))
        .arg("ChainOracle")
        .arg(dir)
        .output()
        .expect("java");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

/// `millrace transform` on one case: its answers, or the errors of its configuration.
fn ask_ours(dir: &Path, case: &Case, text: bool) -> Result<Vec<String>, String> {
    let input = std::fs::File::open(dir.join(format!("{}.in", case.name))).expect("the records");
    let mut command = Command::new(rig::worker::binary());
    command.arg("transform").arg(dir.join(format!("{}.properties", case.name)));
    if text {
        command.arg("--text");
    }
    let output = command.stdin(Stdio::from(input)).output().expect("millrace runs");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.code() {
        Some(0) => {
            Ok(String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect())
        }
        Some(1) => Err(errors),
        other => panic!("{}: exit code {other:?}\n{errors}", case.name),
    }
}

/// What differs between the answers, if anything; messages of errors are ours.
fn difference(ours: &str, jvm: &str) -> Option<String> {
    let parse = |text: &str| -> Value { serde_json::from_str(text).expect("an answer is JSON") };
    let (ours_parsed, jvm_parsed) = (parse(ours), parse(jvm));
    let same = match (ours_parsed.get("error"), jvm_parsed.get("error")) {
        (Some(ours), Some(jvm)) => ours == jvm,
        _ => same::same(&ours_parsed, &jvm_parsed),
    };
    (!same).then(|| format!("  ours: {ours}\n  JVM:  {jvm}"))
}

/// Compares every case; panics with the first differences of each.
pub fn compare(cases: &[Case], text: bool) {
    compare_with(cases, text, None);
}

/// The same with the jars in `more` beside Kafka's.
fn compare_with(cases: &[Case], text: bool, more: Option<&Path>) {
    let place = tempfile::tempdir().expect("a folder");
    let dir: PathBuf = place.path().to_owned();
    write_cases(&dir, cases);
    ask_the_jvm(&dir, more);
    let mut report = String::new();
    let (mut answers, mut wrong) = (0, 0);
    for case in cases {
        let refused = std::fs::read_to_string(dir.join(format!("{}.refused", case.name)));
        let found = match (ask_ours(&dir, case, text), refused) {
            (Err(_), Ok(_)) => Vec::new(),
            (Ok(_), Ok(errors)) => vec![format!("  only the JVM refuses it: {errors}")],
            (Err(errors), Err(_)) => vec![format!("  only ours refuses it: {errors}")],
            (Ok(ours), Err(_)) => {
                let jvm = std::fs::read_to_string(dir.join(format!("{}.jvm", case.name)));
                let jvm = jvm.expect("the JVM's answers");
                assert_eq!(ours.len(), jvm.lines().count(), "{}: answers", case.name);
                answers += ours.len();
                let lines = ours.iter().zip(jvm.lines()).zip(&case.records);
                lines
                    .filter_map(|((ours, jvm), input)| {
                        Some(format!("  in:   {input}\n{}", difference(ours, jvm)?))
                    })
                    .collect()
            }
        };
        if !found.is_empty() {
            wrong += 1;
            writeln!(report, "{} ({} differ) {:?}", case.name, found.len(), case.properties).ok();
            writeln!(report, "{}", found[0]).ok();
        }
    }
    println!("{} cases, {answers} records compared", cases.len());
    assert!(answers > 0, "nothing was compared");
    assert!(wrong == 0, "{wrong} of {} cases differ:\n{report}", cases.len());
}

fn seed() -> u64 {
    let seed = setting("MILLRACE_ORACLE_SEED", SEED);
    println!("MILLRACE_ORACLE_SEED={seed}");
    seed
}

fn count() -> usize {
    setting("MILLRACE_ORACLE_CASES", CASES as u64) as usize
}

/// Transforms named in `MILLRACE_ORACLE_ONLY`, or all.
fn chosen() -> Vec<&'static str> {
    let only = std::env::var("MILLRACE_ORACLE_ONLY").ok();
    let wanted =
        |name: &&&str| only.as_ref().is_none_or(|only| only.split(',').any(|n| n == **name));
    SIDED.iter().chain(WHOLE).filter(wanted).copied().collect()
}

#[test]
fn transforms_answer_as_the_jvms() {
    let mut random = Random::new(seed());
    let cases: Vec<Case> = chosen()
        .into_iter()
        .flat_map(|transform| transform_cases(&mut random, transform, count()))
        .collect();
    compare(&cases, false);
}

#[test]
fn transforms_answer_as_the_jvms_when_json_stays_text() {
    let mut random = Random::new(seed() ^ 1);
    let cases: Vec<Case> = chosen()
        .into_iter()
        .flat_map(|transform| transform_cases(&mut random, transform, count() / 2))
        .collect();
    compare(&cases, true);
}

#[test]
fn chains_answer_as_the_jvms() {
    let mut random = Random::new(seed() ^ 6);
    let cases = chains::cases(&mut random, 4 * count(), 2 * RECORDS);
    compare(&cases, true);
    compare(&cases[..count()], false);
}

#[test]
fn converters_answer_as_the_jvms() {
    let mut random = Random::new(seed() ^ 2);
    compare(&converter_cases(&mut random, count()), false);
}

#[test]
fn texts_are_read_as_the_jvms_read_them() {
    let mut random = Random::new(seed() ^ 5);
    compare(&text_cases(&mut random, count()), false);
}

/// The jars of Debezium's transforms.
fn debezium_libs(version: &str) -> PathBuf {
    let libs = rig::cache().join(format!("debezium-{version}/lib"));
    assert!(libs.is_dir(), "no jars in {}: run tests/run systems", libs.display());
    libs
}

#[test]
fn debeziums_transforms_answer_as_the_jvms() {
    let mut random = Random::new(seed() ^ 3);
    let mut cases = Vec::new();
    for number in 0..count() {
        for _ in 0..2 {
            let number = cases.len();
            cases.push(debezium::unwrap(&mut random, number, false));
        }
        cases.push(debezium::router(&mut random, number));
        cases.push(debezium::event_router(&mut random, number));
        if number % 6 == 0 {
            cases.push(debezium::schemaless(&mut random, number));
        }
    }
    compare_with(&cases, false, Some(&debezium_libs(debezium::VERSION)));
    let schemaless: Vec<Case> = (0..2).map(|at| debezium::schemaless(&mut random, at)).collect();
    compare_with(&schemaless, true, Some(&debezium_libs(debezium::VERSION)));
}

#[test]
fn debeziums_old_keys_answer_as_the_jvms() {
    let mut random = Random::new(seed() ^ 4);
    let cases: Vec<Case> =
        (0..count() / 2).map(|number| debezium::unwrap(&mut random, number, true)).collect();
    compare_with(&cases, false, Some(&debezium_libs(debezium::OLD_VERSION)));
}
