//! Values as text: `toString()` as Java prints it, and JSON.
//!
//! Differences from the JVM, all of them about schemaless maps, structs and bytes: Java prints
//! `Map.toString()`, `Struct{…}` and an object's address; here they are JSON and the bytes
//! themselves. Dates print as the number that they are.

use std::io::Write;

use base64::Engine;
use millrace_api::converters::{Decimal, Value};

/// Appends `value.toString()`; null prints `null`.
#[inline]
pub fn write_string(value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Str(text) => out.extend_from_slice(text.as_bytes()),
        Value::Json(text) => text.write_to(out),
        Value::Bytes(bytes) => out.extend_from_slice(bytes),
        other => write_json(other, out),
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
        Value::Float32(number) => java_float(&format!("{number:e}"), f64::from(*number), out),
        Value::Float64(number) => java_float(&format!("{number:e}"), *number, out),
        Value::Str(text) => quoted(text, out),
        Value::Bytes(bytes) => {
            let text = base64::engine::general_purpose::STANDARD.encode(bytes);
            quoted(&text, out);
        }
        Value::Decimal(decimal) => write_decimal(decimal, out),
        Value::Array(items) => list(b'[', items, b']', out, write_json),
        Value::Map(entries) if entries.iter().all(|(key, _)| key.as_str().is_some()) => {
            list(b'{', entries, b'}', out, |(key, value), out| {
                quoted(key.as_str().unwrap_or_default(), out);
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
                quoted(&field.name, out);
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

fn quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut from = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[from..at]);
        from = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            _ => {
                let _ = write!(out, "\\u{byte:04X}");
            }
        }
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
}

/// `Double.toString` from the shortest digits (`1.5e-7`): plain between 1e-3 and 1e7, else with
/// one digit before the point and `E`.
fn java_float(scientific: &str, number: f64, out: &mut Vec<u8>) {
    if number.is_nan() {
        return out.extend_from_slice(b"\"NaN\"");
    }
    if number.is_infinite() {
        return out.extend_from_slice(if number < 0.0 {
            b"\"-Infinity\""
        } else {
            b"\"Infinity\""
        });
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    out.extend_from_slice(sign.as_bytes());
    let or_zero = |text: &str| if text.is_empty() { "0".to_owned() } else { text.to_owned() };
    let text = match exponent {
        0..=6 => {
            let whole = exponent as usize + 1;
            let padded = format!("{digits:0<whole$}");
            format!("{}.{}", &padded[..whole], or_zero(&padded[whole..]))
        }
        -3..=-1 => format!("0.{}{digits}", "0".repeat((-exponent - 1) as usize)),
        _ => format!("{}.{}E{exponent}", &digits[..1], or_zero(&digits[1..])),
    };
    out.extend_from_slice(text.as_bytes());
}

/// `BigDecimal.toPlainString`, with the exponent form of `toString` for negative scales and for
/// numbers below 1e-6.
fn write_decimal(decimal: &Decimal<'_>, out: &mut Vec<u8>) {
    let unscaled = num_bigint::BigInt::from_signed_bytes_be(decimal.unscaled);
    let text = unscaled.magnitude().to_string();
    if unscaled.sign() == num_bigint::Sign::Minus {
        out.push(b'-');
    }
    let scale = i64::from(decimal.scale);
    let exponent = text.len() as i64 - 1 - scale;
    if scale == 0 {
        out.extend_from_slice(text.as_bytes());
    } else if scale > 0 && exponent >= -6 {
        let width = scale as usize + 1;
        let padded = format!("{text:0>width$}");
        let (whole, fraction) = padded.split_at(padded.len() - scale as usize);
        let _ = write!(out, "{whole}.{fraction}");
    } else {
        let (first, rest) = text.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        let _ = write!(out, "{first}{point}{rest}E{exponent:+}");
    }
}

#[cfg(test)]
mod tests {
    use millrace_api::converters::{Arena, JsonText};

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
        assert_eq!(out, br#"a"b{"a": 1.0e3}null"#);
    }
}
