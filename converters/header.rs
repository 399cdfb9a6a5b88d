//! `org.apache.kafka.connect.storage.SimpleHeaderConverter`.

use std::sync::Arc;

use crate::arena::Arena;
use crate::charset::Charset;
use crate::converter::{DataError, HeaderConverter};
use crate::data::{Schema, SchemaAndValue, Value};
use crate::values::write_text;
use crate::values_parser::parse_string;

/// Headers as text; reading guesses the type.
#[derive(Default)]
pub struct SimpleHeaderConverter {
    /// The last schema read: headers of one name mostly have one type, and a schema that is pinned
    /// again costs the arena nothing.
    last: Option<Arc<Schema>>,
}

impl HeaderConverter for SimpleHeaderConverter {
    fn to_connect_header<'a>(
        &mut self,
        _topic: &str,
        _name: &str,
        bytes: Option<&'a [u8]>,
        arena: &'a Arena,
    ) -> Result<SchemaAndValue<'a>, DataError> {
        let Some(bytes) = bytes else { return Ok(SchemaAndValue::default()) };
        let parsed = parse_string(Charset::Utf8.decode(bytes, arena), arena);
        let Some(schema) = parsed.schema else { return Ok(SchemaAndValue::default()) };
        if self.last.as_deref() != Some(&*schema) {
            self.last = Some(Arc::clone(&schema));
        }
        let schema = self.last.as_ref().unwrap_or(&schema);
        Ok(SchemaAndValue { schema: Some(arena.pin_schema(schema)), value: parsed.value })
    }

    fn from_connect_header(
        &mut self,
        _topic: &str,
        _name: &str,
        _schema: Option<&Schema>,
        value: Value<'_>,
        out: &mut Vec<u8>,
    ) -> Result<bool, DataError> {
        if value.is_null() {
            return Ok(false);
        }
        let start = out.len();
        write_text(value, out).inspect_err(|_| out.truncate(start))?;
        Ok(true)
    }

    fn class_name(&self) -> &'static str {
        "org.apache.kafka.connect.storage.SimpleHeaderConverter"
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json::jvm_text::{show, show_schema};

    /// What Kafka 4.1.0 answered in UTC, but for the text `null`, on which it fails.
    #[test]
    fn reads_as_the_jvm() {
        let mut converter = SimpleHeaderConverter::default();
        let rows = include_str!("header_texts.tsv").lines();
        let mut count = 0;
        for (text, expected) in rows.map(|row| row.split_once('\t').unwrap()) {
            let arena = Arena::new();
            let data =
                converter.to_connect_header("t", "h", Some(text.as_bytes()), &arena).unwrap();
            let answer = format!("{} {}", show_schema(data.schema), show(&data.value));
            assert_eq!(answer, expected, "{text}");
            count += 1;
        }
        assert!(count > 150);
        let arena = Arena::new();
        for null in [None, Some(&b"null"[..])] {
            let data = converter.to_connect_header("t", "h", null, &arena).unwrap();
            assert!(data.schema.is_none() && data.value.is_null());
        }
        let deep = "[".repeat(100_000);
        let data = converter.to_connect_header("t", "h", Some(deep.as_bytes()), &arena).unwrap();
        assert_eq!(data.value.as_str(), Some(&*deep));
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 2000,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn any_text_is_something(text in "[\\[\\]{}:,\"\\\\0-9a-zé +.eE\\-]{0,30}") {
            let arena = Arena::new();
            let mut converter = SimpleHeaderConverter::default();
            let data = converter.to_connect_header("t", "h", Some(text.as_bytes()), &arena);
            let data = data.unwrap();
            prop_assert_eq!(data.schema.is_none(), data.value.is_null());
        }
    }
}
