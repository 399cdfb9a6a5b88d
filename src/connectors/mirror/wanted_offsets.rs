//! Offsets that a user wants through REST, checked in the words of the JVM's connectors.

use millrace_api::source::OffsetMap;
use millrace_api::source::offsets::Scalar;

use super::source::{CLUSTER, OFFSET, PARTITION, TOPIC};

/// Of a mirrored partition.
pub fn of_topic(partition: &OffsetMap, offset: &OffsetMap) -> Result<(), String> {
    check_texts(partition, &[CLUSTER, TOPIC])?;
    let wrong = |value: &Scalar, why: &str| invalid(partition, value, PARTITION, why);
    match find(partition, PARTITION) {
        None | Some(Scalar::Null) => return Err(missing(partition, PARTITION)),
        Some(value @ Scalar::Int(number)) if *number > i64::from(i32::MAX) => {
            return Err(wrong(value, "must be an integer"));
        }
        Some(value @ Scalar::Int(number)) if *number < 0 => {
            return Err(wrong(value, "cannot be negative"));
        }
        Some(Scalar::Int(_)) => {}
        Some(value) => return Err(wrong(value, "must be an integer")),
    }
    check_offset(partition, offset, false)
}

/// Of something that has no place to go on from: these keys are texts, the offset is 0.
pub fn of_nothing(partition: &OffsetMap, offset: &OffsetMap, keys: &[&str]) -> Result<(), String> {
    check_texts(partition, keys)?;
    check_offset(partition, offset, true)
}

fn check_texts(partition: &OffsetMap, keys: &[&str]) -> Result<(), String> {
    for key in keys {
        match find(partition, key) {
            None | Some(Scalar::Null) => return Err(missing(partition, key)),
            Some(Scalar::String(_)) => {}
            Some(value) => return Err(invalid(partition, value, key, "must be a string")),
        }
    }
    Ok(())
}

fn check_offset(partition: &OffsetMap, offset: &OffsetMap, only_zero: bool) -> Result<(), String> {
    let (given, shown) = (java_map(offset), java_map(partition));
    let place = format!("Source offset {given} for source partition {shown}");
    let wrong = |value: &Scalar, why: &str| {
        let value = java_text(value);
        format!("{place} has an invalid value {value} for the '{OFFSET}' key{why}")
    };
    match find(offset, OFFSET) {
        None | Some(Scalar::Null) => {
            Err(format!("{place} is missing the '{OFFSET}' key, which is required"))
        }
        Some(value @ Scalar::Int(number)) if only_zero && *number != 0 => {
            Err(wrong(value, "; the only accepted value is 0"))
        }
        Some(value @ Scalar::Int(number)) if *number < 0 => {
            Err(wrong(value, ", which cannot be negative"))
        }
        Some(Scalar::Int(_)) => Ok(()),
        Some(value) => Err(wrong(value, ", which must be an integer")),
    }
}

fn missing(partition: &OffsetMap, key: &str) -> String {
    let shown = java_map(partition);
    format!("Source partition {shown} is missing the '{key}' key, which is required")
}

fn invalid(partition: &OffsetMap, value: &Scalar, key: &str, why: &str) -> String {
    let (shown, value) = (java_map(partition), java_text(value));
    format!(
        "Source partition {shown} has an invalid value {value} for the '{key}' key, which {why}"
    )
}

fn find<'m>(map: &'m OffsetMap, key: &str) -> Option<&'m Scalar> {
    map.iter().find(|(name, _)| name == key).map(|(_, value)| value)
}

/// As Java prints maps.
fn java_map(map: &OffsetMap) -> String {
    let pairs: Vec<_> =
        map.iter().map(|(key, value)| format!("{key}={}", java_text(value))).collect();
    format!("{{{}}}", pairs.join(", "))
}

fn java_text(value: &Scalar) -> String {
    match value {
        Scalar::Null => "null".to_owned(),
        Scalar::Boolean(flag) => flag.to_string(),
        Scalar::Int(number) => number.to_string(),
        Scalar::Float(number) => format!("{number:?}"),
        Scalar::String(text) => text.clone(),
    }
}
