//! `org.apache.kafka.connect.data.Values`: values as text, and the conversions between scalar types
//! that header accessors, MaskField and Cast use.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::arena::Arena;
use crate::converter::DataError;
use crate::data::Value;
use crate::java_text::{Calendar, DAY, date_millis, write_java_text};
use crate::json::parse_text;
use crate::number_text::BigDecimal;

/// `Values.convertToString`: strings as they are at the top and quoted inside, bytes in Base64,
/// `[a,b]`, `{"k":v}`, dates in ISO 8601 (UTC here, the machine's zone in Java).
pub fn write_text(value: Value<'_>, out: &mut Vec<u8>) -> Result<(), DataError> {
    write_embedded(value, false, out)
}

fn write_embedded(value: Value<'_>, embedded: bool, out: &mut Vec<u8>) -> Result<(), DataError> {
    match value {
        Value::Str(text) if embedded => write_quoted(text, out),
        Value::Bytes(bytes) => {
            let text = STANDARD.encode(bytes);
            if embedded { write_quoted(&text, out) } else { out.extend_from_slice(text.as_bytes()) }
        }
        Value::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_embedded(*item, true, out)?;
            }
            out.push(b']');
        }
        Value::Map(entries) => {
            out.push(b'{');
            for (at, (key, value)) in entries.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_embedded(*key, true, out)?;
                out.push(b':');
                write_embedded(*value, true, out)?;
            }
            out.push(b'}');
        }
        Value::Struct(value) => {
            out.push(b'{');
            for (at, field) in value.schema.fields.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_quoted(&field.name, out);
                out.push(b':');
                let item = value.values.get(at).copied().unwrap_or_default();
                write_embedded(item, true, out)?;
            }
            out.push(b'}');
        }
        Value::Date(_) | Value::Time(_) | Value::Timestamp(_) => {
            let millis = date_millis(&value).unwrap_or_default();
            out.extend_from_slice(date_text(millis).as_bytes());
        }
        Value::Json(text) => {
            let arena = Arena::new();
            return write_embedded(parse_text(text, &arena)?, embedded, out);
        }
        other => return write_java_text(other, out),
    }
    Ok(())
}

/// The format depends on the moment alone: within the first day a time, on a midnight a date, else
/// both.
pub(crate) fn date_text(millis: i64) -> String {
    let calendar = Calendar::of(millis);
    if millis < DAY {
        calendar.to_time()
    } else if millis % DAY == 0 {
        calendar.to_date()
    } else {
        format!("{}T{}", calendar.to_date(), calendar.to_time())
    }
}

fn write_quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

fn not_a_number(value: Value<'_>) -> DataError {
    let mut text = Vec::new();
    let class = value.java_class();
    match write_java_text(value, &mut text) {
        Err(error) => error,
        Ok(()) => DataError::new(format!(
            "Unable to convert {} (class {class}) to a number",
            String::from_utf8_lossy(&text)
        )),
    }
}

/// `Values.convertToLong`: fractions dropped, strings read as decimal numbers.
pub fn convert_to_long(value: Value<'_>) -> Result<i64, DataError> {
    Ok(match value {
        Value::Int8(number) => number.into(),
        Value::Int16(number) => number.into(),
        Value::Int32(number) => number.into(),
        Value::Int64(number) => number,
        Value::Float32(number) => number as i64,
        Value::Float64(number) => number as i64,
        Value::Decimal(number) => {
            BigDecimal::from_bytes(number.unscaled, number.scale).long_value()
        }
        Value::Str(text) => {
            BigDecimal::parse(text).ok_or_else(|| not_a_number(value))?.long_value()
        }
        other => return Err(not_a_number(other)),
    })
}

/// `Values.convertToDouble`.
pub fn convert_to_double(value: Value<'_>) -> Result<f64, DataError> {
    Ok(match value {
        Value::Float32(number) => number.into(),
        Value::Float64(number) => number,
        Value::Decimal(number) => {
            BigDecimal::from_bytes(number.unscaled, number.scale).double_value()
        }
        Value::Str(text) => {
            BigDecimal::parse(text).ok_or_else(|| not_a_number(value))?.double_value()
        }
        other => convert_to_long(other)? as f64,
    })
}

/// `Values.convertToBoolean`: a number's whole part is not 0; strings `true`, `false`, or a number.
pub fn convert_to_boolean(value: Value<'_>) -> Result<bool, DataError> {
    match value {
        Value::Boolean(value) => Ok(value),
        Value::Str("true") => Ok(true),
        Value::Str("false") => Ok(false),
        other => convert_to_long(other).map(|number| number != 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Decimal;

    fn text(value: Value<'_>) -> String {
        let mut out = Vec::new();
        write_text(value, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// As `SimpleHeaderConverter` of Kafka 4.1.0 wrote them in UTC.
    #[test]
    fn text_as_the_jvm_writes_it() {
        let inner = [Value::Float64(1.0), Value::Boolean(true)];
        let map = [
            (Value::Str("a"), Value::Int64(1)),
            (Value::Str("b"), Value::Null),
            (Value::Str("c"), Value::Array(&inner)),
        ];
        for (value, printed) in [
            (Value::Str("s\"\\t"), "s\"\\t"),
            (Value::Float32(1e10), "1.0E10"),
            (Value::Bytes(b"x"), "eA=="),
            (Value::Array(&[Value::Str("a\"\\"), Value::Int64(1)]), r#"["a\"\\",1]"#),
            (Value::Map(&map), r#"{"a":1,"b":null,"c":[1.0,true]}"#),
            (Value::Decimal(&Decimal { unscaled: &[1], scale: -3 }), "1E+3"),
            (Value::Timestamp(0), "00:00:00.000Z"),
            (Value::Date(5), "1970-01-06"),
            (Value::Timestamp(1_700_000_000_123), "2023-11-14T22:13:20.123Z"),
            (Value::Time(1234), "00:00:01.234Z"),
        ] {
            assert_eq!(text(value), printed);
        }
    }

    #[test]
    fn conversions_as_the_jvm_makes_them() {
        for (value, long, double, boolean) in [
            (Value::Int8(1), 1, 1.0, true),
            (Value::Float32(1.5), 1, 1.5, true),
            (Value::Float64(1e300), i64::MAX, 1e300, true),
            (Value::Float64(0.5), 0, 0.5, false),
            (Value::Str("12.9"), 12, 12.9, true),
            (Value::Str("1e2"), 100, 100.0, true),
            (Value::Str("0"), 0, 0.0, false),
            (Value::Decimal(&Decimal { unscaled: &[25], scale: 1 }), 2, 2.5, true),
        ] {
            assert_eq!(convert_to_long(value), Ok(long));
            assert_eq!(convert_to_double(value), Ok(double));
            assert_eq!(convert_to_boolean(value), Ok(boolean));
        }
        assert_eq!(convert_to_boolean(Value::Str("true")), Ok(true));
        for (value, message) in [
            (Value::Str(" 12"), "Unable to convert  12 (class java.lang.String) to a number"),
            (Value::Boolean(true), "Unable to convert true (class java.lang.Boolean) to a number"),
            (
                Value::Date(2),
                "Unable to convert Sat Jan 03 00:00:00 UTC 1970 (class java.util.Date) to a number",
            ),
        ] {
            assert_eq!(convert_to_long(value).unwrap_err().message, message);
        }
        assert!(convert_to_boolean(Value::Str("FALSE")).is_err());
    }
}
