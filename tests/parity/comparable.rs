//! An answer without what cannot or need not agree. Left out, and why:
//!
//! - `worker_id`, `commit`: each worker has its own.
//! - Versions: plug-ins are of the release that they are built into.
//! - `documentation`, `display_name`: texts for people, which tools do not compare.
//! - Plug-ins that only one of both has (lists, recommended values, "available connectors are"), and
//!   our own keys, `millrace.*`.
//! - The place in a wrong body that JSON libraries tell differently ("at [Source…", the rest of
//!   "Unexpected end-of-input"), and the cause that a regular expression's library tells.
//! - The order in which Java's hash maps show a configuration in a message, a converter's own keys
//!   and their groups.
//! - The order of tasks in a restart's answer: Java's hash order.
//! - A second error for a missing key, "Invalid value null for configuration": the JVM's validators
//!   of some keys are run on the null that a missing key leaves; with it the number of errors.
//! - `required` of a converter's `converter.type`: the worker always gives it.
//! - The definition of a client's key under `consumer.override.` and its like: there are no
//!   definitions of Kafka clients' keys here.
//! - The class of the exception before "Failed to find any class": the JVM gives it from the second
//!   time on.

use serde_json::{Map, Value};

/// Classes that only one of both workers has.
const ONE_SIDED: &[&str] = &[
    "millrace.",
    "io.",
    "org.apache.kafka.connect.file.FileStreamSource",
    "org.apache.kafka.connect.mirror.MirrorCheckpoint",
    "org.apache.kafka.connect.transforms.Cast$",
    "org.apache.kafka.connect.transforms.DropHeaders",
    "org.apache.kafka.connect.transforms.Flatten$",
    "org.apache.kafka.connect.transforms.HeaderFrom$",
    "org.apache.kafka.connect.transforms.HoistField$",
    "org.apache.kafka.connect.transforms.InsertHeader",
    "org.apache.kafka.connect.transforms.SetSchemaMetadata$",
    "org.apache.kafka.connect.transforms.TimestampConverter$",
    "org.apache.kafka.connect.transforms.ValueToKey",
];

const NULL_ERROR: &str = "Invalid value null for configuration";

pub fn comparable(value: Value) -> Value {
    match value {
        Value::Array(items) => {
            let items = items.into_iter().map(comparable);
            Value::Array(items.filter(|item| !is_one_sided(item)).collect())
        }
        Value::Object(object) => object_of(object),
        Value::String(text) if text == "4.1.0" || text == env!("CARGO_PKG_VERSION") => {
            Value::from("a version")
        }
        other => other,
    }
}

/// A restart's answer lists the JVM's tasks in Java's hash order.
fn by_id(tasks: Value) -> Value {
    match tasks {
        Value::Array(mut tasks) => {
            tasks.sort_by_key(|task| task["id"].as_u64());
            Value::Array(tasks)
        }
        other => other,
    }
}

fn object_of(object: Map<String, Value>) -> Value {
    let mut kept = Map::new();
    for (key, value) in object {
        let value = match key.as_str() {
            "documentation" | "display_name" => continue,
            "worker_id" | "commit" => Value::from("its own"),
            "message" => value.as_str().map_or(Value::Null, |text| Value::from(message(text))),
            "errors" => Value::from(errors(&value)),
            "configs" => Value::from(configs(value)),
            "tasks" => by_id(comparable(value)),
            "groups" => {
                let mut groups = value.as_array().cloned().unwrap_or_default();
                groups.sort_by_key(Value::to_string);
                Value::from(groups)
            }
            _ => comparable(value),
        };
        kept.insert(key, value);
    }
    if kept.get("name").and_then(Value::as_str).is_some_and(|name| name.ends_with("converter.type"))
    {
        kept.remove("required");
    }
    if kept.contains_key("error_count") {
        let configs = kept["configs"].as_array().into_iter().flatten();
        let count = configs.map(|info| info["value"]["errors"].as_array().map_or(0, Vec::len));
        let count: usize = count.sum();
        kept.insert("error_count".to_owned(), Value::from(count));
    }
    Value::Object(kept)
}

/// A class, a plug-in or a key of one worker alone.
fn is_one_sided(item: &Value) -> bool {
    let named = [item, &item["class"], &item["name"], &item["value"]["name"]];
    let names = named.into_iter().filter_map(Value::as_str);
    names.into_iter().any(|name| ONE_SIDED.iter().any(|start| name.starts_with(start)))
}

/// The framework's keys in their order, then converters' own keys sorted.
fn configs(value: Value) -> Vec<Value> {
    let mut configs: Vec<Value> =
        comparable(value).as_array().cloned().unwrap_or_default().into_iter().collect();
    for info in &mut configs {
        if info["value"]["name"].as_str().is_some_and(|name| name.contains(".override.")) {
            info["definition"] = Value::Null;
        }
    }
    let own = |info: &Value| {
        let name = info["value"]["name"].as_str().unwrap_or_default().to_owned();
        let is_own = name.contains(".converter.") && !name.ends_with(".plugin.version");
        if is_own { name } else { String::new() }
    };
    let (mut last, mut all): (Vec<_>, Vec<_>) =
        configs.into_iter().partition(|info| !own(info).is_empty());
    last.sort_by_key(own);
    all.append(&mut last);
    all
}

fn errors(value: &Value) -> Vec<String> {
    let errors = value.as_array().into_iter().flatten().filter_map(Value::as_str);
    errors.filter(|error| !error.starts_with(NULL_ERROR)).map(before_cause).collect()
}

fn before_cause(error: &str) -> String {
    let end = error.find("Invalid regex: ").unwrap_or(error.len());
    error[..end].to_owned()
}

fn message(text: &str) -> String {
    let text = text.replace("org.apache.kafka.connect.errors.ConnectException: ", "");
    for start in ["Unexpected end-of-input", "Connector config {"] {
        if text.starts_with(start) {
            return start.to_owned();
        }
    }
    let cut = ["\n at [Source", "available connectors are"];
    let end = cut.iter().filter_map(|mark| text.find(mark)).min().unwrap_or(text.len());
    let lines = text[..end].lines().filter(|line| !line.starts_with(NULL_ERROR));
    let lines = lines.map(|line| match line.split_once("contains the following ") {
        Some((before, _)) => before.to_owned(),
        None => before_cause(line),
    });
    lines.collect::<Vec<_>>().join("\n")
}
