//! `toString()` of Connect's values, and dates as Java prints them.
//!
//! Dates are printed in UTC, where Java takes the time zone of its machine; bytes in Base64, where
//! Java prints the identity of an object.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::arena::Arena;
use crate::converter::DataError;
use crate::data::Value;
use crate::json::parse_text;
use crate::number_text::{BigDecimal, write_double, write_float};

/// Milliseconds of a day.
pub(crate) const DAY: i64 = 86_400_000;

/// Appends what Java's `toString()` of the value's object says: `Struct{a=1}`, `{a=1, b=2}`,
/// `[1, 2]`, `1.0E10`.
pub fn write_java_text(value: Value<'_>, out: &mut Vec<u8>) -> Result<(), DataError> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Boolean(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Value::Int8(number) => write_integer(number.into(), out),
        Value::Int16(number) => write_integer(number.into(), out),
        Value::Int32(number) => write_integer(number.into(), out),
        Value::Int64(number) => write_integer(number, out),
        Value::Float32(number) => write_float(number, out),
        Value::Float64(number) => write_double(number, out),
        Value::Str(text) => out.extend_from_slice(text.as_bytes()),
        Value::Bytes(bytes) => out.extend_from_slice(STANDARD.encode(bytes).as_bytes()),
        Value::Decimal(decimal) => {
            let number = BigDecimal::from_bytes(decimal.unscaled, decimal.scale);
            out.extend_from_slice(number.to_string().as_bytes());
        }
        Value::Date(_) | Value::Time(_) | Value::Timestamp(_) => {
            let millis = date_millis(&value).unwrap_or_default();
            out.extend_from_slice(Calendar::of(millis).to_java_date().as_bytes());
        }
        Value::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                separate(at, b", ", out);
                write_java_text(*item, out)?;
            }
            out.push(b']');
        }
        Value::Map(entries) => {
            out.push(b'{');
            for (at, (key, value)) in entries.iter().enumerate() {
                separate(at, b", ", out);
                write_java_text(*key, out)?;
                out.push(b'=');
                write_java_text(*value, out)?;
            }
            out.push(b'}');
        }
        Value::Struct(value) => {
            out.extend_from_slice(b"Struct{");
            let fields = value.schema.fields.iter().zip(value.values);
            for (at, (field, value)) in fields.filter(|(_, value)| !value.is_null()).enumerate() {
                separate(at, b",", out);
                out.extend_from_slice(field.name.as_bytes());
                out.push(b'=');
                write_java_text(*value, out)?;
            }
            out.push(b'}');
        }
        Value::Json(text) => {
            let arena = Arena::new();
            write_java_text(parse_text(text, &arena)?, out)?;
        }
    }
    Ok(())
}

fn separate(at: usize, with: &[u8], out: &mut Vec<u8>) {
    if at > 0 {
        out.extend_from_slice(with);
    }
}

fn write_integer(number: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Milliseconds since the epoch of the three kinds of `java.util.Date`.
pub(crate) fn date_millis(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Date(days) => Some(i64::from(*days) * DAY),
        Value::Time(millis) => Some(i64::from(*millis)),
        Value::Timestamp(millis) => Some(*millis),
        _ => None,
    }
}

/// A moment in UTC, proleptic Gregorian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Calendar {
    pub year: i64,
    pub month: u32,
    pub day: u32,
    pub millis_of_day: i64,
    weekday: usize,
}

impl Calendar {
    /// Howard Hinnant's `civil_from_days`.
    pub fn of(millis: i64) -> Self {
        let days = millis.div_euclid(DAY);
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month: month as u32,
            day: (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32,
            millis_of_day: millis.rem_euclid(DAY),
            weekday: (days + 4).rem_euclid(7) as usize,
        }
    }

    /// Milliseconds of midnight; month and day may lie outside their ranges, as a lenient
    /// `java.util.Calendar` allows. Wraps, as Java does, where the years pass the milliseconds.
    pub fn millis_of(year: i64, month: i64, day: i64) -> i64 {
        let year = year + (month - 1).div_euclid(12);
        let month = (month - 1).rem_euclid(12) + 1;
        let year = if month <= 2 { year - 1 } else { year };
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let shifted_month = if month > 2 { month - 3 } else { month + 9 };
        let day_of_year = (153 * shifted_month + 2) / 5;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era * 146_097 + day_of_era - 719_468 + day - 1;
        // Before 15 October 1582 Java's calendar is the Julian one.
        if days < -141_427 {
            let days = year * 365 + year.div_euclid(4) + day_of_year - 719_470 + day - 1;
            return days.wrapping_mul(DAY);
        }
        days.wrapping_mul(DAY)
    }

    fn clock(self) -> (i64, i64, i64, i64) {
        let millis = self.millis_of_day;
        (millis / 3_600_000, millis / 60_000 % 60, millis / 1000 % 60, millis % 1000)
    }

    /// `Date.toString()`: `Tue Nov 14 22:13:20 UTC 2023`.
    pub fn to_java_date(self) -> String {
        const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let (hour, minute, second, _) = self.clock();
        let month = MONTHS[self.month.clamp(1, 12) as usize - 1];
        format!(
            "{} {month} {:02} {hour:02}:{minute:02}:{second:02} UTC {}",
            DAYS[self.weekday % 7],
            self.day,
            self.year
        )
    }

    /// `yyyy-MM-dd`.
    pub fn to_date(self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    /// `HH:mm:ss.SSS'Z'`.
    pub fn to_time(self) -> String {
        let (hour, minute, second, millis) = self.clock();
        format!("{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Decimal, Field, Schema, SchemaType, Struct};

    fn text(value: Value<'_>) -> String {
        let mut out = Vec::new();
        write_java_text(value, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn as_java_prints() {
        let arena = Arena::new();
        let list = [Value::Str("x"), Value::Str("y\"z")];
        let schema = Schema::struct_of(vec![
            Field { name: "a".into(), schema: Schema::new(SchemaType::Int32).into() },
            Field { name: "b".into(), schema: Schema::new(SchemaType::String).optional().into() },
            Field { name: "c".into(), schema: Schema::new(SchemaType::String).into() },
        ]);
        let values = [Value::Int32(1), Value::Null, Value::Array(&list)];
        let nested = [Value::Float64(1.0), Value::Boolean(true)];
        for (value, printed) in [
            (Value::Str("s\"\\t"), "s\"\\t"),
            (Value::Int32(1), "1"),
            (Value::Float64(1.0), "1.0"),
            (Value::Float32(1e10), "1.0E10"),
            (Value::Array(&[Value::Str("a"), Value::Int64(1)]), "[a, 1]"),
            (
                arena.string_map(&[
                    ("a", Value::Int64(1)),
                    ("b", Value::Null),
                    ("c", Value::Array(&nested)),
                ]),
                "{a=1, b=null, c=[1.0, true]}",
            ),
            (
                Value::Struct(&Struct { schema: &schema, values: &values }),
                "Struct{a=1,c=[x, y\"z]}",
            ),
            (Value::Decimal(&Decimal { unscaled: &[0, 0x96], scale: 2 }), "1.50"),
            (Value::Timestamp(0), "Thu Jan 01 00:00:00 UTC 1970"),
            (Value::Date(5), "Tue Jan 06 00:00:00 UTC 1970"),
            (Value::Timestamp(1_700_000_000_123), "Tue Nov 14 22:13:20 UTC 2023"),
        ] {
            assert_eq!(text(value), printed);
        }
    }

    #[test]
    fn calendar_both_ways() {
        for days in (-141_000..1_000_000).step_by(97) {
            let calendar = Calendar::of(days * DAY + 5);
            let (month, day) = (i64::from(calendar.month), i64::from(calendar.day));
            assert_eq!(Calendar::millis_of(calendar.year, month, day), days * DAY);
            assert_eq!(calendar.millis_of_day, 5);
        }
        assert_eq!(Calendar::millis_of(2019, 13, 45), 1_581_638_400_000);
        assert_eq!(Calendar::millis_of(1, 1, 1), -62_135_769_600_000);
        assert_eq!(Calendar::millis_of(1582, 10, 15) - Calendar::millis_of(1582, 10, 4), DAY);
        assert_eq!(Calendar::of(1_566_570_894_346).to_date(), "2019-08-23");
        assert_eq!(Calendar::of(1_566_570_894_346).to_time(), "14:34:54.346Z");
    }
}
