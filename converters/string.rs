//! `org.apache.kafka.connect.storage.StringConverter`.

use std::sync::Arc;

use crate::arena::Arena;
use crate::charset::Charset;
use crate::converter::{Converter, DataError, Detail, Shortcut, header_like_data};
use crate::data::{Schema, SchemaAndValue, SchemaType, Value};
use crate::java_text::write_java_text;

/// Text of one encoding to OPTIONAL_STRING and any value's `toString()` back.
pub struct StringConverter {
    charset: Charset,
    schema: Arc<Schema>,
}

impl StringConverter {
    /// A converter of that encoding.
    pub fn new(charset: Charset) -> Self {
        Self { charset, schema: Arc::new(Schema::new(SchemaType::String).optional()) }
    }
}

impl Converter for StringConverter {
    fn to_connect_data_at<'a>(
        &mut self,
        _topic: &str,
        bytes: Option<&'a [u8]>,
        _detail: Detail,
        arena: &'a Arena,
        into: &mut SchemaAndValue<'a>,
    ) -> Result<(), DataError> {
        if let Some(bytes) = bytes {
            into.value = Value::Str(self.charset.decode(bytes, arena));
        }
        into.schema = Some(arena.pin_schema(&self.schema));
        Ok(())
    }

    fn from_connect_data(
        &mut self,
        _topic: &str,
        _schema: Option<&Schema>,
        value: Value<'_>,
        out: &mut Vec<u8>,
    ) -> Result<bool, DataError> {
        match value {
            Value::Null => return Ok(false),
            Value::Str(text) => self.charset.encode(text, out),
            other if self.charset == Charset::Utf8 => {
                let start = out.len();
                if let Err(error) = write_java_text(other, out) {
                    out.truncate(start);
                    return Err(error);
                }
            }
            other => {
                let mut text = Vec::new();
                write_java_text(other, &mut text)?;
                self.charset.encode(&String::from_utf8_lossy(&text), out);
            }
        }
        Ok(true)
    }

    fn shortcut(&self) -> Shortcut {
        if self.charset == Charset::Utf8 { Shortcut::Utf8 } else { Shortcut::None }
    }

    fn class_name(&self) -> &'static str {
        "org.apache.kafka.connect.storage.StringConverter"
    }
}

header_like_data!(StringConverter);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_null() {
        let arena = Arena::new();
        let mut converter = StringConverter::new(Charset::Utf8);
        let data =
            converter.to_connect_data("t", Some(b"\xff\xfeA"), Detail::Full, &arena).unwrap();
        assert_eq!(data.value.as_str(), Some("\u{fffd}\u{fffd}A"));
        assert_eq!(data.schema, Some(&Schema::new(SchemaType::String).optional()));
        assert!(
            converter.to_connect_data("t", None, Detail::Full, &arena).unwrap().value.is_null()
        );
        let mut out = Vec::new();
        assert_eq!(converter.from_connect_data("t", None, Value::Null, &mut out), Ok(false));
        let value = Value::Array(&[Value::Int8(1), Value::Null]);
        assert_eq!(converter.from_connect_data("t", None, value, &mut out), Ok(true));
        let mut latin = StringConverter::new(Charset::Iso88591);
        latin.from_connect_data("t", None, Value::Array(&[Value::Str("é")]), &mut out).unwrap();
        assert_eq!(out, b"[1, null][\xe9]");
    }
}
