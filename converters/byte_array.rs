//! `org.apache.kafka.connect.converters.ByteArrayConverter`.

use std::sync::Arc;

use crate::arena::Arena;
use crate::converter::{Converter, DataError, Detail, Shortcut, header_like_data};
use crate::data::{Schema, SchemaAndValue, SchemaType, Value};

/// Bytes as they are.
pub struct ByteArrayConverter {
    schema: Arc<Schema>,
}

impl Default for ByteArrayConverter {
    fn default() -> Self {
        Self { schema: Arc::new(Schema::new(SchemaType::Bytes).optional()) }
    }
}

impl Converter for ByteArrayConverter {
    fn to_connect_data_at<'a>(
        &mut self,
        _topic: &str,
        bytes: Option<&'a [u8]>,
        _detail: Detail,
        arena: &'a Arena,
        into: &mut SchemaAndValue<'a>,
    ) -> Result<(), DataError> {
        into.value = bytes.map_or(Value::Null, Value::Bytes);
        into.schema = Some(arena.pin_schema(&self.schema));
        Ok(())
    }

    fn from_connect_data(
        &mut self,
        _topic: &str,
        schema: Option<&Schema>,
        value: Value<'_>,
        out: &mut Vec<u8>,
    ) -> Result<bool, DataError> {
        if let Some(schema) = schema.filter(|schema| schema.type_ != SchemaType::Bytes) {
            return Err(DataError::new(format!(
                "Invalid schema type for ByteArrayConverter: {}",
                schema.type_.name()
            )));
        }
        match value {
            Value::Null => Ok(false),
            Value::Bytes(bytes) => {
                out.extend_from_slice(bytes);
                Ok(true)
            }
            other => Err(DataError::new(format!(
                "ByteArrayConverter is not compatible with objects of type class {}",
                other.java_class()
            ))),
        }
    }

    fn shortcut(&self) -> Shortcut {
        Shortcut::Bytes
    }

    fn class_name(&self) -> &'static str {
        "org.apache.kafka.connect.converters.ByteArrayConverter"
    }
}

header_like_data!(ByteArrayConverter);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_only() {
        let mut converter = ByteArrayConverter::default();
        let mut out = Vec::new();
        let string = Schema::new(SchemaType::String);
        let mut error = |schema: Option<&Schema>| {
            let written = converter.from_connect_data("t", schema, Value::Str("x"), &mut out);
            written.unwrap_err().message
        };
        assert_eq!(error(Some(&string)), "Invalid schema type for ByteArrayConverter: STRING");
        assert_eq!(
            error(None),
            "ByteArrayConverter is not compatible with objects of type class java.lang.String"
        );
        assert_eq!(converter.from_connect_data("t", None, Value::Null, &mut out), Ok(false));
        assert_eq!(converter.from_connect_data("t", None, Value::Bytes(b"x"), &mut out), Ok(true));
        assert_eq!(out, b"x");
    }
}
