//! One value as one line of JSON, the way Confluent's `JsonFormat` writes it.

use millrace_converters::json::{WriteOptions, write_value};
use millrace_converters::{DataError, Schema, Value};

/// Appends `value` without the line's end. On an error nothing stays.
#[inline]
pub fn write_json(
    schema: Option<&Schema>,
    value: &Value<'_>,
    options: &WriteOptions,
    out: &mut Vec<u8>,
) -> Result<(), DataError> {
    let start = out.len();
    if let Value::Json(text) = value {
        text.write_to(out);
        one_line(out, start);
        return Ok(());
    }
    write_value(schema, *value, out, options).inspect_err(|_| out.truncate(start))
}

/// A document that is laid out over lines would fall apart into several: valid JSON has line ends only
/// between tokens, where they mean nothing.
fn one_line(out: &mut Vec<u8>, start: usize) {
    // Control characters stand only between tokens: a minimum is all that most documents need.
    let least = out[start..].iter().fold(u8::MAX, |least, byte| least.min(*byte));
    if least < b' ' {
        let mut to = start;
        for at in start..out.len() {
            let byte = out[at];
            if byte != b'\n' && byte != b'\r' {
                out[to] = byte;
                to += 1;
            }
        }
        out.truncate(to);
    }
}

#[cfg(test)]
mod tests {
    use millrace_converters::JsonText;

    use super::*;

    fn json(value: &Value<'_>) -> String {
        let mut out = Vec::new();
        write_json(None, value, &WriteOptions::default(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_is_copied_and_kept_on_one_line() {
        let text = JsonText::verbatim(b"{\"a\":1.0e3}");
        assert_eq!(json(&Value::Json(&text)), "{\"a\":1.0e3}");
        let text = JsonText::verbatim(b"{\r\n  \"a\": [\n1]\n}");
        assert_eq!(json(&Value::Json(&text)), "{  \"a\": [1]}");
    }

    #[test]
    fn values() {
        let entries = [(Value::Str("k\"\n"), Value::Float64(1.0))];
        assert_eq!(json(&Value::Map(&entries)), r#"{"k\"\n":1.0}"#);
        assert_eq!(json(&Value::Str("a")), "\"a\"");
        assert_eq!(json(&Value::Bytes(b"ab")), "\"YWI=\"");
        assert_eq!(json(&Value::Null), "null");
    }

    #[test]
    fn a_failed_value_leaves_nothing() {
        let schema = Schema::new(millrace_converters::SchemaType::Int32);
        let items = [Value::Int32(1), Value::Str("x")];
        let schema = Schema::array(schema.into());
        let mut out = b"before".to_vec();
        let options = WriteOptions::default();
        assert!(write_json(Some(&schema), &Value::Array(&items), &options, &mut out).is_err());
        assert_eq!(out, b"before");
    }
}
