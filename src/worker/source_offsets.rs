//! Which source offsets may be stored: those of records that Kafka has acknowledged, in order. And
//! the bytes that they are stored as.

use std::collections::{BTreeMap, VecDeque};

use millrace_api::source::OffsetMap;
use millrace_api::source::offsets::Scalar;
use millrace_converters::Value;
use millrace_converters::json::text::write_string;
use millrace_converters::number_text::write_double;

/// What one poll brought: its last record's ticket and each partition's last offset.
struct Submitted {
    /// The producer's ticket after the batch's last record.
    until: u64,
    offsets: Vec<(u32, Vec<u8>)>,
}

/// The batches on their way to Kafka. Offsets move batch by batch, in the order of the polls: a
/// batch's are committable when it and all before it are acknowledged.
#[derive(Default)]
pub(crate) struct SourceOffsets {
    submitted: VecDeque<Submitted>,
    committable: BTreeMap<u32, Vec<u8>>,
}

impl SourceOffsets {
    /// Notes a polled batch whose records' tickets are all below `until`.
    pub(crate) fn submit(&mut self, until: u64, offsets: Vec<(u32, Vec<u8>)>) {
        if !offsets.is_empty() {
            self.submitted.push_back(Submitted { until, offsets });
        }
    }

    /// Kafka has acknowledged every ticket below `acked`.
    pub(crate) fn acknowledge(&mut self, acked: u64) {
        while self.submitted.front().is_some_and(|first| first.until <= acked) {
            let Some(done) = self.submitted.pop_front() else { return };
            self.committable.extend(done.offsets);
        }
    }

    /// Takes what may be stored now: source partition number and offset JSON.
    pub(crate) fn take(&mut self) -> BTreeMap<u32, Vec<u8>> {
        std::mem::take(&mut self.committable)
    }

    /// Takes all that was sent, acknowledged or not: what a transaction commits with its records.
    pub(crate) fn take_all(&mut self) -> BTreeMap<u32, Vec<u8>> {
        self.acknowledge(u64::MAX);
        self.take()
    }

    /// Puts back what could not be stored, unless something newer has come.
    pub(crate) fn put_back(&mut self, offsets: BTreeMap<u32, Vec<u8>>) {
        for (partition, offset) in offsets {
            self.committable.entry(partition).or_insert(offset);
        }
    }
}

/// `["<connector>",{partition}]`, the key under which the JVM stores an offset.
pub fn key(connector: &str, partition: &OffsetMap) -> Vec<u8> {
    let mut out = vec![b'['];
    write_string(connector, &mut out);
    out.push(b',');
    write_map(partition, &mut out);
    out.push(b']');
    out
}

/// A map as the JVM stores it: compact JSON, in the map's order.
pub fn map_json(map: &OffsetMap) -> Vec<u8> {
    let mut out = Vec::new();
    write_map(map, &mut out);
    out
}

fn write_map(map: &OffsetMap, out: &mut Vec<u8>) {
    out.push(b'{');
    for (at, (name, value)) in map.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_string(name, out);
        out.push(b':');
        match value {
            Scalar::Null => out.extend_from_slice(b"null"),
            Scalar::Boolean(value) => out.extend_from_slice(value.to_string().as_bytes()),
            Scalar::Int(value) => out.extend_from_slice(value.to_string().as_bytes()),
            // Jackson quotes what is no number in JSON.
            Scalar::Float(value) if !value.is_finite() => {
                let mut text = Vec::new();
                write_double(*value, &mut text);
                write_string(std::str::from_utf8(&text).unwrap_or_default(), out);
            }
            Scalar::Float(value) => write_double(*value, out),
            Scalar::String(value) => write_string(value, out),
        }
    }
    out.push(b'}');
}

/// An offset as a record carries it, in JSON.
pub(crate) fn offset_json(offset: &[(&str, Value<'_>)]) -> Vec<u8> {
    let scalars = offset.iter().map(|(name, value)| ((*name).to_owned(), scalar(value)));
    map_json(&scalars.collect())
}

/// A stored offset back into the map that the task asked for; `None` for what is not a flat map.
pub(crate) fn parse_offset(bytes: &[u8]) -> Option<OffsetMap> {
    let arena = millrace_converters::Arena::new();
    let text = millrace_converters::JsonText::verbatim(bytes);
    match millrace_converters::json::parse_text(&text, &arena).ok()? {
        Value::Map(entries) => entries
            .iter()
            .map(|(name, value)| Some((name.as_str()?.to_owned(), scalar(value))))
            .collect(),
        _ => None,
    }
}

fn scalar(value: &Value<'_>) -> Scalar {
    match *value {
        Value::Boolean(value) => Scalar::Boolean(value),
        Value::Int8(value) => Scalar::Int(value.into()),
        Value::Int16(value) => Scalar::Int(value.into()),
        Value::Int32(value) => Scalar::Int(value.into()),
        Value::Int64(value) => Scalar::Int(value),
        Value::Float32(value) => Scalar::Float(value.into()),
        Value::Float64(value) => Scalar::Float(value),
        Value::Str(value) => Scalar::String(value.to_owned()),
        _ => Scalar::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_move_only_past_acknowledged_batches() {
        let mut offsets = SourceOffsets::default();
        offsets.submit(10, vec![(0, b"a".to_vec()), (1, b"x".to_vec())]);
        offsets.submit(20, vec![(0, b"b".to_vec())]);
        offsets.acknowledge(9);
        assert!(offsets.take().is_empty());
        offsets.acknowledge(10);
        let taken = offsets.take();
        assert_eq!(taken[&0], b"a");
        offsets.acknowledge(25);
        offsets.put_back(taken);
        let again = offsets.take();
        assert_eq!(again[&0], b"b", "the newer offset wins over one put back");
        assert_eq!(again[&1], b"x");
        offsets.submit(30, vec![(0, b"c".to_vec())]);
        assert_eq!(offsets.take_all()[&0], b"c", "a transaction takes all");
    }

    #[test]
    fn keys_are_the_jvms_bytes() {
        let partition = vec![("filename".to_owned(), Scalar::String("/tmp/a\"b".to_owned()))];
        assert_eq!(key("local", &partition), br#"["local",{"filename":"/tmp/a\"b"}]"#);
        let offset = offset_json(&[("position", Value::Int64(30))]);
        assert_eq!(offset, br#"{"position":30}"#);
        assert_eq!(parse_offset(&offset).unwrap()[0].1, Scalar::Int(30));
        let floats =
            [1.0, 1e10, 1.5e-7, f64::NAN].map(|value| ("f".to_owned(), Scalar::Float(value)));
        let expected = r#"{"f":1.0,"f":1.0E10,"f":1.5E-7,"f":"NaN"}"#;
        assert_eq!(map_json(&floats.to_vec()), expected.as_bytes(), "as Java prints");
        let odd = vec![("f".to_owned(), Scalar::String("\u{8}\u{c}\u{1f}".to_owned()))];
        assert_eq!(key("c", &odd), br#"["c",{"f":"\b\f\u001F"}]"#, "as Jackson escapes");
    }
}
