//! Values as text: `toString()` as Java prints it, and JSON.
//!
//! Differences from the JVM, all of them about schemaless maps, structs and bytes: Java prints
//! `Map.toString()`, `Struct{…}` and an object's address; here they are JSON and the bytes
//! themselves. Dates print as the number that they are.

use base64::Engine;
use millrace_api::converters::json::parse_text;
use millrace_api::converters::json::text::write_string as write_quoted;
use millrace_api::converters::number_text::{BigDecimal, write_double, write_float};
use millrace_api::converters::{Arena, JsonText, Value};

/// Appends `value.toString()`; null prints `null`.
#[inline]
pub fn write_string(value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Str(text) => out.extend_from_slice(text.as_bytes()),
        Value::Json(text) if matches!(text.src.first(), Some(b'{' | b'[')) => text.write_to(out),
        Value::Json(text) => write_scalar(text, out),
        Value::Bytes(bytes) => out.extend_from_slice(bytes),
        Value::Float32(number) => write_float(*number, out),
        Value::Float64(number) => write_double(*number, out),
        other => write_json(other, out),
    }
}

/// A document that is a string, number or literal is that value, not its JSON: `"a"` prints `a`.
fn write_scalar(text: &JsonText<'_>, out: &mut Vec<u8>) {
    if let [b'"', inner @ .., b'"'] = text.src
        && text.edits.is_empty()
        && !inner.contains(&b'\\')
    {
        return out.extend_from_slice(inner);
    }
    let arena = Arena::new();
    match parse_text(text, &arena) {
        Ok(value) => write_string(&value, out),
        Err(_) => text.write_to(out),
    }
}

/// Appends the value as `JsonConverter` without schemas writes it; decimals as numbers.
pub fn write_json(value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Boolean(true) => out.extend_from_slice(b"true"),
        Value::Boolean(false) => out.extend_from_slice(b"false"),
        Value::Int8(number) => integer(i64::from(*number), out),
        Value::Int16(number) => integer(i64::from(*number), out),
        Value::Int32(number) | Value::Date(number) | Value::Time(number) => {
            integer(i64::from(*number), out);
        }
        Value::Int64(number) | Value::Timestamp(number) => integer(*number, out),
        Value::Float32(value) => number(value.is_finite(), out, |out| write_float(*value, out)),
        Value::Float64(value) => number(value.is_finite(), out, |out| write_double(*value, out)),
        Value::Str(text) => write_quoted(text, out),
        Value::Bytes(bytes) => {
            let text = base64::engine::general_purpose::STANDARD.encode(bytes);
            write_quoted(&text, out);
        }
        Value::Decimal(decimal) => {
            let number = BigDecimal::from_bytes(decimal.unscaled, decimal.scale);
            out.extend_from_slice(number.to_string().as_bytes());
        }
        Value::Array(items) => list(b'[', items, b']', out, write_json),
        Value::Map(entries) if entries.iter().all(|(key, _)| key.as_str().is_some()) => {
            list(b'{', entries, b'}', out, |(key, value), out| {
                write_quoted(key.as_str().unwrap_or_default(), out);
                out.push(b':');
                write_json(value, out);
            });
        }
        Value::Map(entries) => list(b'[', entries, b']', out, |(key, value), out| {
            list(b'[', &[*key, *value], b']', out, write_json);
        }),
        Value::Struct(data) => {
            out.push(b'{');
            for (index, (field, value)) in data.schema.fields.iter().zip(data.values).enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_quoted(&field.name, out);
                out.push(b':');
                write_json(value, out);
            }
            out.push(b'}');
        }
        Value::Json(text) => text.write_to(out),
    }
}

fn list<T>(
    open: u8,
    items: &[T],
    close: u8,
    out: &mut Vec<u8>,
    mut each: impl FnMut(&T, &mut Vec<u8>),
) {
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        each(item, out);
    }
    out.push(close);
}

fn integer(number: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// JSON has no such numbers: they are texts.
fn number(finite: bool, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    if finite {
        return write(out);
    }
    out.push(b'"');
    write(out);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use millrace_api::converters::Decimal;

    use super::*;

    fn json(value: Value<'_>) -> String {
        let mut out = Vec::new();
        write_json(&value, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_print_as_in_java() {
        // Pairs taken from `Double.toString` and `Float.toString`.
        for (number, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-12.5, "-12.5"),
            (0.001, "0.001"),
            (0.0001, "1.0E-4"),
            (1234567.0, "1234567.0"),
            (9999999.5, "9999999.5"),
            (1e7, "1.0E7"),
            (1.25e10, "1.25E10"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::NAN, "\"NaN\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
        ] {
            assert_eq!(json(Value::Float64(number)), text);
        }
        assert_eq!(json(Value::Float32(0.1)), "0.1");
        assert_eq!(json(Value::Int8(-7)), "-7");
    }

    #[test]
    fn decimals_print_as_in_java() {
        for (unscaled, scale, text) in [
            (&[0x30u8, 0x39][..], 2, "123.45"),
            (&[0xff], 0, "-1"),
            (&[5], 3, "0.005"),
            (&[5], 8, "5E-8"),
            (&[0x30, 0x39], -3, "1.2345E+7"),
        ] {
            assert_eq!(json(Value::Decimal(&Decimal { unscaled, scale })), text);
        }
    }

    #[test]
    fn structures_and_escapes() {
        let arena = Arena::new();
        let items = [Value::Int32(1), Value::Str("a\"\\\n\u{1}é")];
        let map = arena.string_map(&[("x", Value::Array(&items)), ("y", Value::Bytes(b"hi"))]);
        assert_eq!(json(map), r#"{"x":[1,"a\"\\\n\u0001é"],"y":"aGk="}"#);
        assert_eq!(json(Value::Map(&[(Value::Int32(1), Value::Null)])), "[[1,null]]");
    }

    #[test]
    fn strings_are_bare_and_json_is_verbatim() {
        let text = JsonText::verbatim(br#"{"a": 1.0e3}"#);
        let mut out = Vec::new();
        write_string(&Value::Str("a\"b"), &mut out);
        write_string(&Value::Json(&text), &mut out);
        write_string(&Value::Null, &mut out);
        write_string(&Value::Float64(f64::NAN), &mut out);
        assert_eq!(out, br#"a"b{"a": 1.0e3}nullNaN"#);
    }

    #[test]
    fn a_scalar_document_prints_as_its_value() {
        for (json, text) in [
            (r#""a""#, "a"),
            (r#""a\"\u00e9\n""#, "a\"é\n"),
            ("1.50", "1.5"),
            ("-7", "-7"),
            ("true", "true"),
            ("null", "null"),
            (r#"["a"]"#, r#"["a"]"#),
        ] {
            let mut out = Vec::new();
            write_string(&Value::Json(&JsonText::verbatim(json.as_bytes())), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
