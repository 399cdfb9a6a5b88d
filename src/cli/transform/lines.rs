//! The lines of `millrace transform`: a record in, what became of it out.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use millrace_api::record::Record;
use millrace_converters::{Converter, DataError, SchemaAndValue};
use millrace_worker::trial::{Given, Trial};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A line of the input.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(default)]
    topic: Option<String>,
    #[serde(default)]
    partition: Option<i32>,
    #[serde(default)]
    offset: Option<i64>,
    #[serde(default)]
    timestamp: Option<i64>,
    #[serde(default, borrow)]
    key: Option<&'a RawValue>,
    #[serde(default, borrow)]
    value: Option<&'a RawValue>,
    #[serde(default, borrow)]
    headers: Option<Vec<HeaderLine<'a>>>,
}

#[derive(Deserialize)]
struct HeaderLine<'a> {
    key: String,
    #[serde(default, borrow)]
    value: Option<&'a RawValue>,
}

/// Appends what becomes of the record of `line`.
pub(super) fn answer(
    trial: &mut Trial,
    envelope: &mut dyn Converter,
    line: &[u8],
    out: &mut Vec<u8>,
) {
    let refuse = |out: &mut Vec<u8>, what: String| {
        error(out, "java.lang.IllegalArgumentException", &format!("not a record: {what}"));
    };
    let line: Line<'_> = match serde_json::from_slice(line) {
        Ok(line) => line,
        Err(error) => return refuse(out, error.to_string()),
    };
    let headers = line.headers.unwrap_or_default();
    let values: Result<Vec<_>, String> =
        headers.iter().map(|header| serialised(header.value)).collect();
    let (key, value, values) = match (serialised(line.key), serialised(line.value), values) {
        (Ok(key), Ok(value), Ok(values)) => (key, value, values),
        (Err(what), ..) | (_, Err(what), _) | (_, _, Err(what)) => return refuse(out, what),
    };
    let given = Given {
        topic: line.topic.as_deref().unwrap_or("t"),
        partition: line.partition.unwrap_or(0),
        offset: line.offset.unwrap_or(0),
        timestamp: line.timestamp,
        key: key.as_deref(),
        value: value.as_deref(),
        headers: headers
            .iter()
            .zip(&values)
            .map(|(header, value)| (header.key.as_str(), value.as_deref()))
            .collect(),
    };
    trial.run(&given, |result| match result {
        Ok(Some(record)) => {
            let start = out.len();
            if let Err(refused) = write(&record, envelope, out) {
                out.truncate(start);
                error(out, refused.class, &refused.message);
            }
        }
        Ok(None) => out.extend_from_slice(b"{\"dropped\":true}"),
        Err(refused) => error(out, refused.error.class, &refused.error.message),
    });
}

/// The bytes that a member stands for.
fn serialised(member: Option<&RawValue>) -> Result<Option<Cow<'_, [u8]>>, String> {
    let Some(raw) = member.map(RawValue::get) else { return Ok(None) };
    match raw.as_bytes().first() {
        Some(b'n') => Ok(None),
        Some(b'"') => {
            let text: String = serde_json::from_str(raw).map_err(|error| error.to_string())?;
            match text.strip_prefix("base64:") {
                Some(code) => match STANDARD.decode(code) {
                    Ok(bytes) => Ok(Some(bytes.into())),
                    Err(error) => Err(format!("base64: {error}")),
                },
                None => Ok(Some(text.into_bytes().into())),
            }
        }
        _ => Ok(Some(compact(raw).into())),
    }
}

/// JSON text without the white space between its tokens.
fn compact(raw: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let (mut quoted, mut escaped) = (false, false);
    for byte in raw.bytes() {
        if !quoted && byte.is_ascii_whitespace() {
            continue;
        }
        if escaped {
            escaped = false;
        } else if byte == b'"' {
            quoted = !quoted;
        } else {
            escaped = quoted && byte == b'\\';
        }
        out.push(byte);
    }
    out
}

fn write(
    record: &Record<'_>,
    envelope: &mut dyn Converter,
    out: &mut Vec<u8>,
) -> Result<(), DataError> {
    out.extend_from_slice(b"{\"topic\":");
    text(out, record.topic);
    let number = |number: Option<i64>| number.map_or("null".to_owned(), |n| n.to_string());
    let (partition, timestamp) =
        (number(record.partition.map(i64::from)), number(record.timestamp));
    out.extend_from_slice(
        format!(",\"partition\":{partition},\"timestamp\":{timestamp}").as_bytes(),
    );
    for (name, datum) in [("key", &record.key), ("value", &record.value)] {
        out.extend_from_slice(format!(",\"{name}\":").as_bytes());
        enveloped(record.topic, datum, envelope, out)?;
    }
    out.extend_from_slice(b",\"headers\":[");
    for (index, header) in record.headers.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"{\"key\":" } else { b",{\"key\":" });
        text(out, header.name);
        out.extend_from_slice(b",\"value\":");
        enveloped(record.topic, &header.datum, envelope, out)?;
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    Ok(())
}

fn enveloped(
    topic: &str,
    datum: &SchemaAndValue<'_>,
    envelope: &mut dyn Converter,
    out: &mut Vec<u8>,
) -> Result<(), DataError> {
    if !envelope.from_connect_data(topic, datum.schema, datum.value, out)? {
        out.extend_from_slice(b"null");
    }
    Ok(())
}

/// `{"error":"<simple class>","message":"…"}`.
fn error(out: &mut Vec<u8>, class: &str, message: &str) {
    let simple = class.rsplit(['.', '$']).next().unwrap_or(class);
    out.extend_from_slice(b"{\"error\":");
    text(out, simple);
    out.extend_from_slice(b",\"message\":");
    text(out, message);
    out.push(b'}');
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(json: &str) -> Option<Vec<u8>> {
        let raw: &RawValue = serde_json::from_str(json).expect("JSON");
        serialised(Some(raw)).expect("it stands for bytes").map(Cow::into_owned)
    }

    #[test]
    fn members_stand_for_bytes() {
        assert_eq!(bytes("null"), None);
        assert_eq!(bytes(r#""a \u00e9""#), Some("a é".into()));
        assert_eq!(bytes(r#""base64:AAH/""#), Some(vec![0, 1, 255]));
        assert_eq!(
            bytes(r#"{ "a" : [ 1.50, " b \" " ] }"#),
            Some(br#"{"a":[1.50," b \" "]}"#.into())
        );
        assert_eq!(bytes("1e400"), Some(b"1e400".into()));
        let raw: &RawValue = serde_json::from_str(r#""base64:?""#).expect("JSON");
        assert!(serialised(Some(raw)).is_err());
    }
}
