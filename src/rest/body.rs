//! Request bodies, and what is said about wrong ones: the texts of the JVM's JSON library, whose
//! stable parts ("Cannot deserialize value", "Unrecognized field", …) clients match on.

use std::collections::BTreeMap;

use millrace_herder::api::Config;
use millrace_herder::command::TargetState;
use millrace_herder::properties::initial_state;
use millrace_herder::requests::{OffsetChange, Submitted};
use serde_json::{Map, Value};

use crate::answer::Failure;
use axum::http::StatusCode;

const ENTITIES: &str = "org.apache.kafka.connect.runtime.rest.entities";
const STRING_MAP: &str = "java.util.LinkedHashMap<java.lang.String,java.lang.String>";
const OBJECT_MAP: &str = "java.util.LinkedHashMap<java.lang.String,java.lang.Object>";

/// `POST /connectors`.
#[derive(Debug)]
pub(crate) struct CreateConnectorRequest {
    pub name: String,
    pub config: Submitted,
    pub initial: Option<TargetState>,
}

impl CreateConnectorRequest {
    pub fn parse(bytes: &[u8]) -> Result<Self, Failure> {
        let class = format!("{ENTITIES}.CreateConnectorRequest");
        let null = || {
            let text =
                format!("Cannot invoke \"{class}.name()\" because \"createRequest\" is null");
            Failure::internal(text)
        };
        let value = json(bytes)?.ok_or_else(null)?;
        let object = object(&value, &class)?.ok_or_else(null)?;
        known_fields(object, &class, &["config", "name", "initial_state"])?;
        let name = match object.get("name") {
            None | Some(Value::Null) => String::new(),
            Some(name) => text(name)?.trim().to_owned(),
        };
        let initial = match object.get("initial_state") {
            None | Some(Value::Null) => None,
            Some(state) => {
                let given = text(state)?;
                let unknown = || {
                    Failure::internal(format!(
                        "Cannot construct instance of `{class}$InitialState`, problem: No enum \
                         constant {class}.InitialState.{}",
                        given.to_uppercase()
                    ))
                };
                Some(initial_state(&given).ok_or_else(unknown)?)
            }
        };
        let config = object.get("config").filter(|config| !config.is_null());
        let config = strings(config.ok_or_else(no_config)?)?;
        Ok(Self { name, config: submitted(config), initial })
    }
}

/// A flat map of strings: PUT of a configuration, validation.
pub(crate) fn config(bytes: &[u8]) -> Result<Submitted, Failure> {
    let value = json(bytes)?.filter(|value| !value.is_null());
    strings(&value.ok_or_else(no_config)?).map(submitted)
}

/// A flat map of strings and nulls: PATCH of a configuration.
pub(crate) fn patch(bytes: &[u8]) -> Result<BTreeMap<String, Option<String>>, Failure> {
    let null = || {
        let text = "Cannot invoke \"java.util.Map.forEach(java.util.function.BiConsumer)\" because \
                    \"patch\" is null";
        Failure::internal(text)
    };
    let value = json(bytes)?.filter(|value| !value.is_null());
    strings(&value.ok_or_else(null)?)
}

/// A list of flat maps of strings: the task configurations that a worker sends to the leader.
pub(crate) fn task_configs(bytes: &[u8]) -> Result<Vec<Config>, Failure> {
    let value = json(bytes)?.ok_or_else(|| {
        Failure::internal(
            "No content to map due to end-of-input\n at [Source: REDACTED \
             (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1]",
        )
    })?;
    let list = value.as_array().ok_or_else(|| {
        let map = STRING_MAP.replace("LinkedHash", "");
        wrong_type(&format!("java.util.ArrayList<{map}>"), &value)
    })?;
    let task = |value: &Value| {
        let given = match value {
            Value::Null => BTreeMap::new(),
            Value::Number(number) if number.is_i64() => {
                return Err(Failure::internal(format!(
                    "Cannot deserialize value of type `{STRING_MAP}` from Integer value (token \
                     `JsonToken.VALUE_NUMBER_INT`)"
                )));
            }
            value => strings(value)?,
        };
        Ok(given.into_iter().filter_map(|(key, value)| Some((key, value?))).collect())
    };
    list.iter().map(task).collect()
}

/// `{"level": …}`.
pub(crate) fn level(bytes: &[u8]) -> Result<Option<String>, Failure> {
    let null = || {
        let text = "Cannot invoke \"java.util.Map.get(Object)\" because \"levelMap\" is null";
        Failure::internal(text)
    };
    let value = json(bytes)?.filter(|value| !value.is_null()).ok_or_else(null)?;
    Ok(strings(&value)?.remove("level").flatten())
}

/// `{"offsets":[{"partition":{…},"offset":{…}|null}, …]}`.
pub(crate) fn offsets(bytes: &[u8]) -> Result<Vec<OffsetChange>, Failure> {
    let class = format!("{ENTITIES}.ConnectorOffsets");
    let missing = || {
        let text = "Partitions / offsets need to be provided for an alter offsets request";
        Failure::new(StatusCode::BAD_REQUEST, text)
    };
    let value = json(bytes)?.ok_or_else(missing)?;
    let object = object(&value, &class)?.ok_or_else(missing)?;
    known_fields(object, &class, &["offsets"])?;
    let list = object.get("offsets").filter(|list| !list.is_null()).ok_or_else(missing)?;
    let list = list.as_array().ok_or_else(|| {
        wrong_type(&format!("java.util.ArrayList<{ENTITIES}.ConnectorOffset>"), list)
    })?;
    if list.is_empty() {
        return Err(missing());
    }
    list.iter().map(offset).collect()
}

fn offset(value: &Value) -> Result<OffsetChange, Failure> {
    let class = format!("{ENTITIES}.ConnectorOffset");
    let null = || {
        let text = format!("Cannot invoke \"{class}.partition()\" because \"offset\" is null");
        Failure::internal(text)
    };
    let entry = object(value, &class)?.ok_or_else(null)?;
    known_fields(entry, &class, &["partition", "offset"])?;
    let map = |side: &str| match entry.get(side) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object.clone())),
        Some(other) => Err(wrong_type(OBJECT_MAP, other)),
    };
    Ok(OffsetChange { partition: map("partition")?, offset: map("offset")? })
}

fn no_config() -> Failure {
    let text = "Cannot invoke \"java.util.Map.get(Object)\" because \"connectorConfig\" is null";
    Failure::internal(text)
}

fn submitted(given: BTreeMap<String, Option<String>>) -> Submitted {
    let mut submitted = Submitted::default();
    for (key, value) in given {
        match value {
            Some(value) => drop(submitted.config.insert(key, value)),
            None => submitted.nulls.push(key),
        }
    }
    submitted
}

/// `None` for an empty body. What follows the first value is ignored.
fn json(bytes: &[u8]) -> Result<Option<Value>, Failure> {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>();
    values.next().transpose().map_err(|error| syntax(bytes, &error))
}

fn syntax(bytes: &[u8], error: &serde_json::Error) -> Failure {
    let line = String::from_utf8_lossy(
        bytes.split(|&b| b == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default(),
    )
    .into_owned();
    let what = if error.to_string().starts_with("key must be a string") {
        let found = line.chars().nth(error.column().saturating_sub(1)).unwrap_or('?');
        format!(
            "Unexpected character ('{found}' (code {})): was expecting double-quote to start field \
             name",
            u32::from(found)
        )
    } else if error.is_eof() {
        "Unexpected end-of-input within/between Object entries".to_owned()
    } else {
        let is_word = |c: &char| c.is_alphanumeric() || *c == '_';
        let before: String = line.chars().take(error.column().saturating_sub(1)).collect();
        let start = before.chars().rev().take_while(is_word).count();
        let start = before.chars().count() - start;
        let word: String = line.chars().skip(start).take_while(is_word).collect();
        match (word.is_empty(), line.chars().nth(error.column().saturating_sub(1))) {
            (true, Some(c)) => {
                format!("Unexpected character ('{c}' (code {})): {error}", u32::from(c))
            }
            (true, None) => error.to_string(),
            (false, _) => format!(
                "Unrecognized token '{word}': was expecting (JSON String, Number, Array, Object or \
                 token 'null', 'true' or 'false')"
            ),
        }
    };
    Failure::internal(format!(
        "{what}\n at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); \
         line: {}, column: {}]",
        error.line(),
        error.column()
    ))
}

/// `None` is null.
fn object<'a>(value: &'a Value, class: &str) -> Result<Option<&'a Map<String, Value>>, Failure> {
    match value {
        Value::Null => Ok(None),
        Value::Object(object) => Ok(Some(object)),
        other => Err(wrong_type(class, other)),
    }
}

fn known_fields(object: &Map<String, Value>, class: &str, known: &[&str]) -> Result<(), Failure> {
    let Some(field) = object.keys().find(|field| !known.contains(&field.as_str())) else {
        return Ok(());
    };
    let list: Vec<_> = known.iter().map(|field| format!("\"{field}\"")).collect();
    let count = match known.len() {
        1 => "one known property".to_owned(),
        more => format!("{more} known properties"),
    };
    Err(Failure::internal(format!(
        "Unrecognized field \"{field}\" (class {class}), not marked as ignorable ({count}: {}])",
        list.join(", ")
    )))
}

fn strings(value: &Value) -> Result<BTreeMap<String, Option<String>>, Failure> {
    let object = value.as_object().ok_or_else(|| wrong_type(STRING_MAP, value))?;
    let entry = |(key, value): (&String, &Value)| match value {
        Value::Null => Ok((key.clone(), None)),
        value => text(value).map(|text| (key.clone(), Some(text))),
    };
    object.iter().map(entry).collect()
}

/// Scalars become strings, as they are written.
fn text(value: &Value) -> Result<String, Failure> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        other => Err(wrong_type("java.lang.String", other)),
    }
}

fn wrong_type(class: &str, value: &Value) -> Failure {
    let bare = class.split('<').next().unwrap_or(class);
    let from_scalar = |kind: &str, shown: String| {
        format!(
            "Cannot construct instance of `{bare}` (although at least one Creator exists): no \
             {kind}-argument constructor/factory method to deserialize from {shown}"
        )
    };
    Failure::internal(match value {
        Value::Object(_) => format!(
            "Cannot deserialize value of type `{class}` from Object value (token \
             `JsonToken.START_OBJECT`)"
        ),
        Value::Array(_) => format!(
            "Cannot deserialize value of type `{class}` from Array value (token \
             `JsonToken.START_ARRAY`)"
        ),
        Value::String(text) => from_scalar("String", format!("String value ('{text}')")),
        Value::Number(number) if class == OBJECT_MAP && number.is_i64() => format!(
            "Cannot deserialize value of type `{class}` from Integer value (token \
             `JsonToken.VALUE_NUMBER_INT`)"
        ),
        Value::Number(number) => from_scalar("int/Int", format!("Number value ({number})")),
        other => from_scalar("boolean/Boolean", format!("boolean value ({other})")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The beginnings of what Kafka Connect 4.1 answers to the same bodies.
    #[test]
    fn wrong_bodies_are_told_in_the_jvms_words() {
        for (body, expected) in [
            ("", "Cannot invoke \"org.apache.kafka.connect.runtime.rest.entities.CreateConn"),
            ("null", "Cannot invoke \"org.apache.kafka.connect.runtime.rest.entities.CreateConn"),
            ("{\"name\":\"a\",", "Unexpected end-of-input within/between Object entries\n at [So"),
            ("x", "Unrecognized token 'x': was expecting (JSON String, Number, Array, Object or"),
            ("[]", "Cannot deserialize value of type `org.apache.kafka.connect.runtime.rest.enti"),
            ("\"abc\"", "Cannot construct instance of `org.apache.kafka.connect.runtime.rest.ent"),
            ("{\"name\":\"a\"}", "Cannot invoke \"java.util.Map.get(Object)\" because \"connect"),
            ("{\"config\":{},\"foo\":1}", "Unrecognized field \"foo\" (class org.apache.kafka.c"),
            ("{\"config\":[]}", "Cannot deserialize value of type `java.util.LinkedHashMap<java."),
            ("{\"config\":{\"a\":{}}}", "Cannot deserialize value of type `java.lang.String` fr"),
            (
                "{\"config\":{},\"initial_state\":\"foo\"}",
                "Cannot construct instance of `org.apache.kafka.connect.runtime.rest.entities.Crea",
            ),
        ] {
            let failure = CreateConnectorRequest::parse(body.as_bytes()).unwrap_err();
            assert_eq!(failure.status, StatusCode::INTERNAL_SERVER_ERROR, "{body}");
            assert!(failure.message.starts_with(expected), "{body}: {}", failure.message);
        }
    }

    #[test]
    fn scalars_become_strings() {
        let body = br#"{"name":" a ","config":{"i":1,"d":1.50,"b":true,"n":null},
            "initial_state":"stopped"}"#;
        let request = CreateConnectorRequest::parse(body).unwrap();
        assert_eq!(request.name, "a");
        assert_eq!(request.initial, Some(TargetState::Stopped));
        let values: Vec<_> = request.config.config.values().map(String::as_str).collect();
        assert_eq!(values, ["true", "1.50", "1"]);
        assert_eq!(request.config.nulls, ["n"]);
    }

    #[test]
    fn offsets_must_be_there() {
        for body in ["", "{}", "null", "{\"offsets\":[]}", "{\"offsets\":null}"] {
            let failure = offsets(body.as_bytes()).unwrap_err();
            assert_eq!(failure.status, StatusCode::BAD_REQUEST, "{body}");
        }
        let body = br#"{"offsets":[{"partition":{"f":"x"},"offset":null}]}"#;
        assert_eq!(offsets(body).unwrap()[0].offset, None);
        let failure = offsets(br#"{"offsets":[null]}"#).unwrap_err();
        assert!(failure.message.contains("ConnectorOffset.partition()"), "{}", failure.message);
    }
}
