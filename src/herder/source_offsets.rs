//! Source offsets as the REST API shows and changes them: the stores' bytes to maps and back.
//!
//! A key is `["<connector>",{partition}]`, a value `{offset}`, both in compact JSON. Maps that come
//! from a user are written in the order of a Java `HashMap`, as the JVM's worker would write them:
//! stores look keys up by exact bytes.

use millrace_api::connector::WantedOffset;
use millrace_api::source::OffsetMap;
use millrace_api::source::offsets::Scalar;
use millrace_worker::source_offsets::{key, map_json};
use serde_json::Value;

use crate::requests::{HerderError, OffsetChange, PartitionOffset};

type Entry = (Vec<u8>, Option<Vec<u8>>);

/// Partitions and offsets of one connector; entries that are not of the form are skipped.
pub fn of_connector(name: &str, entries: &[(Vec<u8>, Vec<u8>)]) -> Vec<PartitionOffset> {
    let listed = entries.iter().filter_map(|(key, value)| {
        let partition = partition_of(name, key)?;
        let offset = serde_json::from_slice::<Value>(value).ok()?;
        Some((partition, map(offset.as_object()?)))
    });
    listed.collect()
}

/// What forgets every offset of the connector.
pub fn tombstones(name: &str, entries: &[(Vec<u8>, Vec<u8>)]) -> Vec<Entry> {
    let own = entries.iter().filter(|(key, _)| partition_of(name, key).is_some());
    own.map(|(key, _)| (key.clone(), None)).collect()
}

/// What stores these offsets.
pub fn entries(name: &str, offsets: &[WantedOffset]) -> Vec<Entry> {
    let entry = |(partition, offset): &WantedOffset| {
        let offset = offset.as_ref().map(|offset| map_json(&java_order(offset)));
        (key(name, &java_order(partition)), offset)
    };
    offsets.iter().map(entry).collect()
}

/// What a user wants: flat maps of scalars, later entries of a partition instead of earlier ones.
/// To forget a partition that has no name is to do nothing.
pub fn wanted(changes: &[OffsetChange]) -> Result<Vec<WantedOffset>, HerderError> {
    let mut wanted: Vec<WantedOffset> = Vec::with_capacity(changes.len());
    for OffsetChange { partition, offset } in changes {
        let offset = offset.as_ref().map(checked_map).transpose()?;
        let Some(partition) = partition else {
            if offset.is_some() {
                return Err(HerderError::internal("Partition objects cannot be null"));
            }
            continue;
        };
        let partition = checked_map(partition)?;
        wanted.retain(|(known, _)| *known != partition);
        wanted.push((partition, offset));
    }
    Ok(wanted)
}

/// A JSON object of scalars; other values are refused by key.
fn checked_map(object: &serde_json::Map<String, Value>) -> Result<OffsetMap, HerderError> {
    let kind = |value: &Value| match value {
        Value::Object(_) => Some("MAP"),
        Value::Array(_) => Some("ARRAY"),
        Value::Number(number) if number.is_u64() && !number.is_i64() => {
            Some("class java.math.BigInteger")
        }
        _ => None,
    };
    match object.iter().find_map(|(key, value)| Some((key, kind(value)?))) {
        Some((key, kind)) => Err(HerderError::internal(format!(
            "Offsets may only contain primitive types as values, but field {key} contains {kind}"
        ))),
        None => Ok(map(object)),
    }
}

/// The map as a JSON object.
pub fn to_json(map: &OffsetMap) -> Value {
    serde_json::from_slice(&map_json(map)).unwrap_or_default()
}

/// Whether a record of an offset store is one: what is wrong with it.
pub fn check(key: &[u8], value: Option<&[u8]>) -> Result<(), String> {
    let parsed = serde_json::from_slice::<Value>(key);
    let parsed = parsed.map_err(|error| format!("the key is not JSON: {error}"))?;
    let of_form = match parsed.as_array().map(Vec::as_slice) {
        Some([connector, partition]) => {
            connector.is_string() && (partition.is_object() || partition.is_null())
        }
        _ => false,
    };
    if !of_form {
        return Err("the key is not of the form [connector, partition]".to_owned());
    }
    match value.map(serde_json::from_slice::<Value>) {
        None | Some(Ok(Value::Object(_) | Value::Null)) => Ok(()),
        Some(Ok(_)) => Err(format!("the value of {parsed} is not an object")),
        Some(Err(error)) => Err(format!("the value of {parsed} is not JSON: {error}")),
    }
}

/// The connector that a key is of, if it is of the form.
pub fn connector_of(key: &[u8]) -> Option<String> {
    let key = serde_json::from_slice::<Value>(key).ok()?;
    Some(key.as_array()?.first()?.as_str()?.to_owned())
}

fn partition_of(name: &str, key: &[u8]) -> Option<OffsetMap> {
    let key = serde_json::from_slice::<Value>(key).ok()?;
    let [connector, partition] = key.as_array()?.as_slice() else { return None };
    if connector.as_str()? == name { Some(map(partition.as_object()?)) } else { None }
}

fn map(object: &serde_json::Map<String, Value>) -> OffsetMap {
    let scalar = |value: &Value| match value {
        Value::Bool(value) => Scalar::Boolean(*value),
        Value::Number(number) => match number.as_i64() {
            Some(int) => Scalar::Int(int),
            None => number.as_f64().map_or(Scalar::Null, Scalar::Float),
        },
        Value::String(text) => Scalar::String(text.clone()),
        Value::Null | Value::Array(_) | Value::Object(_) => Scalar::Null,
    };
    object.iter().map(|(key, value)| (key.clone(), scalar(value))).collect()
}

/// The order in which `new HashMap<>()`, filled in the given order, is iterated.
pub(crate) fn java_order(map: &OffsetMap) -> OffsetMap {
    let mut buckets = 16_u32;
    while map.len() as u64 * 4 > u64::from(buckets) * 3 {
        buckets *= 2;
    }
    let bucket = |key: &str| {
        let hash = key
            .encode_utf16()
            .fold(0_u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)));
        (hash ^ (hash >> 16)) & (buckets - 1)
    };
    let mut ordered = map.clone();
    // Stable: inside a bucket the order of insertion stays.
    ordered.sort_by_key(|(key, _)| bucket(key));
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(json: &str) -> OffsetMap {
        map(serde_json::from_str::<Value>(json).unwrap().as_object().unwrap())
    }

    #[test]
    fn keys_and_values_are_the_jvms_bytes() {
        let partition = parsed(r#"{"topic":"t","cluster":"a","partition":1}"#);
        let offset = parsed(r#"{"offset":12}"#);
        let entries = entries("c\"", &[(partition.clone(), Some(offset)), (partition, None)]);
        let (key, value) = &entries[0];
        // Iterated by Java: {cluster, partition, topic}.
        let expected = r#"["c\"",{"cluster":"a","partition":1,"topic":"t"}]"#;
        assert_eq!(std::str::from_utf8(key).unwrap(), expected);
        assert_eq!(value.as_deref(), Some(br#"{"offset":12}"#.as_slice()));
        assert_eq!(entries[1], (key.clone(), None));
    }

    #[test]
    fn numbers_are_written_as_java_prints_them() {
        let offset = parsed(r#"{"a":1e10,"b":0.00001,"c":"\u001f"}"#);
        let entries = entries("c", &[(offset.clone(), Some(offset.clone()))]);
        let expected = r#"{"a":1.0E10,"b":1.0E-5,"c":"\u001F"}"#;
        assert_eq!(entries[0].1.as_deref(), Some(expected.as_bytes()));
        assert_eq!(entries[0].0, format!("[\"c\",{expected}]").into_bytes());
        assert_eq!(to_json(&offset)["b"].as_f64(), Some(1e-5));
    }

    #[test]
    fn a_store_tells_what_is_no_offset() {
        let wrong = |key: &str, value: Option<&str>| {
            check(key.as_bytes(), value.map(str::as_bytes)).err().unwrap_or_default()
        };
        for value in [None, Some("null"), Some("{}"), Some(r#"{"p":[1]}"#)] {
            assert_eq!(wrong(r#"["a",{"f":"x"}]"#, value), "");
        }
        assert_eq!(wrong(r#"["a",null]"#, Some("{}")), "");
        for key in ["", "x", "{}", "[]", r#"["a"]"#, r#"[1,{}]"#, r#"["a",7]"#, r#"["a",{},1]"#] {
            assert!(wrong(key, None).starts_with("the key is not"), "{key}");
        }
        let told = wrong(r#"["a",{"f":"x"}]"#, Some("7"));
        assert_eq!(told, r#"the value of ["a",{"f":"x"}] is not an object"#);
        assert_eq!(connector_of(br#"["a",{}]"#).as_deref(), Some("a"));
    }

    #[test]
    fn only_the_connectors_own_entries_are_listed() {
        let stored = |key: &str, value: &str| (key.as_bytes().to_vec(), value.as_bytes().to_vec());
        let store = [
            stored(r#"["a",{"f":"x"}]"#, r#"{"p":1}"#),
            stored(r#"["b",{"f":"x"}]"#, r#"{"p":2}"#),
            stored(r#"["a",null]"#, r#"{"p":3}"#),
            stored("nonsense", "{}"),
        ];
        let listed = of_connector("a", &store);
        assert_eq!(listed, [(parsed(r#"{"f":"x"}"#), parsed(r#"{"p":1}"#))]);
        assert_eq!(tombstones("b", &store), [(store[1].0.clone(), None)]);
    }
}
