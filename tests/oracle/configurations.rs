//! Random configurations of each transform, predicate and converter that Kafka Connect bundles.

use std::collections::BTreeMap;

use super::data::FIELDS;
use super::random::Random;

pub type Properties = BTreeMap<String, String>;

const TRANSFORMS: &str = "org.apache.kafka.connect.transforms.";
const PATHS: &[&str] =
    &["id", "name", "inner.id", "inner.name", "inner", "inner.inner.id", "list", "`a.b`", "price"];
const TYPES: &[&str] =
    &["int8", "int16", "int32", "int64", "float32", "float64", "boolean", "string"];

/// The transforms that have a variant for keys and one for values, and then the others.
pub const SIDED: &[&str] = &[
    "Cast",
    "ExtractField",
    "Flatten",
    "HeaderFrom",
    "HoistField",
    "InsertField",
    "MaskField",
    "ReplaceField",
    "SetSchemaMetadata",
    "TimestampConverter",
];
pub const WHOLE: &[&str] =
    &["DropHeaders", "Filter", "InsertHeader", "RegexRouter", "TimestampRouter", "ValueToKey"];

/// Settings of `transform` under an alias, its type included.
pub fn transform(random: &mut Random, alias: &str, transform: &str) -> Properties {
    let mut own: Vec<(&str, String)> = Vec::new();
    let sided = SIDED.contains(&transform);
    let side = if random.once_in(5) { "$Key" } else { "$Value" };
    settings(random, transform, &mut own);
    if sided && random.once_in(4) {
        own.push(("replace.null.with.default", random.pick(&["true", "false"]).to_owned()));
    }
    let class = format!("{TRANSFORMS}{transform}{}", if sided { side } else { "" });
    own.push(("type", class));
    own.into_iter().map(|(key, value)| (format!("transforms.{alias}.{key}"), value)).collect()
}

fn settings(random: &mut Random, transform: &str, own: &mut Vec<(&str, String)>) {
    let field = |random: &mut Random| random.pick(FIELDS).to_owned();
    match transform {
        "Cast" => own.push(("spec", cast(random))),
        "DropHeaders" => own.push(("headers", random.some(&["h1", "h2", "none"], 3).join(","))),
        "ExtractField" => {
            if random.once_in(3) {
                own.push(("field.syntax.version", "V2".to_owned()));
                own.push(("field", random.pick(PATHS).to_owned()));
            } else {
                own.push(("field", field(random)));
            }
        }
        "Flatten" => own.push(("delimiter", random.pick(&["_", "-", ":", "."]).to_owned())),
        "HeaderFrom" => {
            let fields = random.some(FIELDS, 3);
            let headers: Vec<String> = fields.iter().map(|field| format!("from-{field}")).collect();
            own.push(("fields", fields.join(",")));
            own.push(("headers", headers.join(",")));
            own.push(("operation", random.pick(&["move", "copy"]).to_owned()));
        }
        "HoistField" => own.push(("field", field(random))),
        "InsertField" => {
            let keys = ["topic.field", "partition.field", "offset.field", "timestamp.field"];
            for key in random.some(&keys, 4) {
                let mark = random.pick(&["", "!", "?"]);
                own.push((key, format!("new-{}{mark}", key.split('.').next().expect("a word"))));
            }
            if random.once_in(2) {
                own.push(("static.field", random.pick(&["static", "static!", "id"]).to_owned()));
                own.push(("static.value", random.pick(&["v", "12", "Zürich"]).to_owned()));
            }
        }
        "InsertHeader" => {
            own.push(("header", random.pick(&["h1", "new"]).to_owned()));
            let literals =
                ["text", "12", "3.5", "true", "[1,2]", "{\"a\":1}", "null", "2024-05-06"];
            own.push(("value.literal", random.pick(&literals).to_owned()));
        }
        "MaskField" => {
            own.push(("fields", random.some(FIELDS, 3).join(",")));
            if random.once_in(2) {
                own.push(("replacement", random.pick(&["***", "7", "0.5"]).to_owned()));
            }
        }
        "RegexRouter" => {
            own.push(("regex", random.pick(&["(t)(.*)", "other", ".*", "(?<a>.).*"]).to_owned()));
            own.push(("replacement", random.pick(&["x-$1", "plain", "${a}z", "$0$0"]).to_owned()));
        }
        "ReplaceField" => {
            for key in random.some(&["exclude", "include", "renames"], 2) {
                let fields = random.some(FIELDS, 4);
                let text = match key {
                    "renames" => {
                        fields.iter().map(|f| format!("{f}:{f}_2")).collect::<Vec<_>>().join(",")
                    }
                    _ => fields.join(","),
                };
                own.push((key, text));
            }
        }
        "SetSchemaMetadata" => {
            for key in random.some(&["schema.name", "schema.version"], 2) {
                let value = if key == "schema.name" { "com.example.New" } else { "4" };
                own.push((key, value.to_owned()));
            }
        }
        "TimestampConverter" => timestamp_converter(random, own),
        "TimestampRouter" => {
            let topics = ["${topic}_${timestamp}", "${topic}-${timestamp}", "plain"];
            own.push(("topic.format", random.pick(&topics).to_owned()));
            let formats = ["yyyy-MM-dd", "yyyy.MM.dd.HH", "EEE, d MMM yyyy HH:mm:ss Z", "w"];
            own.push(("timestamp.format", random.pick(&formats).to_owned()));
        }
        "ValueToKey" => own.push(("fields", random.some(FIELDS, 3).join(","))),
        _ => {}
    }
}

fn cast(random: &mut Random) -> String {
    if random.once_in(5) {
        return random.pick(TYPES).to_owned();
    }
    let fields = random.some(FIELDS, 4);
    let pair = |field: &&str| format!("{field}:{}", random.pick(TYPES));
    fields.iter().map(pair).collect::<Vec<_>>().join(",")
}

fn timestamp_converter(random: &mut Random, own: &mut Vec<(&str, String)>) {
    let target = random.pick(&["string", "unix", "Date", "Time", "Timestamp"]);
    own.push(("target.type", target.to_owned()));
    if !random.once_in(4) {
        own.push(("field", random.pick(&["when", "day", "id", "name", "price"]).to_owned()));
    }
    if target == "string" || random.once_in(2) {
        let formats = ["yyyy-MM-dd", "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'", "HH:mm", "d MMM yyyy"];
        own.push(("format", random.pick(&formats).to_owned()));
    }
    if random.once_in(3) {
        let precisions = ["seconds", "milliseconds", "microseconds", "nanoseconds"];
        own.push(("unix.precision", random.pick(&precisions).to_owned()));
    }
}

/// A predicate under the alias `p`, and the transform `alias` made to depend on it.
pub fn predicate(random: &mut Random, alias: &str) -> Properties {
    let (class, setting) = match random.below(3) {
        0 => ("HasHeaderKey", Some(("name", random.pick(&["h1", "absent"])))),
        1 => ("RecordIsTombstone", None),
        _ => ("TopicNameMatches", Some(("pattern", random.pick(&["t.*", "x", "[a-z]+"])))),
    };
    let mut own = Properties::new();
    own.insert("predicates".to_owned(), "p".to_owned());
    own.insert("predicates.p.type".to_owned(), format!("{TRANSFORMS}predicates.{class}"));
    if let Some((key, value)) = setting {
        own.insert(format!("predicates.p.{key}"), value.to_owned());
    }
    own.insert(format!("transforms.{alias}.predicate"), "p".to_owned());
    if random.once_in(2) {
        own.insert(format!("transforms.{alias}.negate"), "true".to_owned());
    }
    own
}
