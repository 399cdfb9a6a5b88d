//! A row of MySQL's or MariaDB's as JSON, the way PostgreSQL makes it: numbers with all their digits,
//! times as ISO 8601 has them, bytes in hexadecimal behind `\x`.

use std::fmt::Write;

use millrace_converters::json::text::write_string;
use mysql_async::consts::{ColumnFlags, ColumnType};
use mysql_async::{Column, Row, Value};

/// The character set of what is no text.
const BINARY: u16 = 63;

/// The row, as the server wrote it, as a JSON object.
///
/// # Errors
/// The column that is none of what we know, which the driver or the server would be to blame for.
pub fn json(row: &Row) -> Result<String, String> {
    let mut out = Vec::new();
    for (at, column) in row.columns_ref().iter().enumerate() {
        out.push(if at == 0 { b'{' } else { b',' });
        write_string(&column.name_str(), &mut out);
        out.push(b':');
        match row.as_ref(at) {
            Some(Value::NULL) => out.extend_from_slice(b"null"),
            Some(Value::Bytes(bytes)) => write_value(column, bytes, &mut out)
                .ok_or_else(|| format!("column {} cannot be read", column.name_str()))?,
            _ => return Err(format!("column {} is no text", column.name_str())),
        }
    }
    out.push(b'}');
    String::from_utf8(out).map_err(|error| error.to_string())
}

fn write_value(column: &Column, bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    use ColumnType::{
        MYSQL_TYPE_BIT, MYSQL_TYPE_DATE, MYSQL_TYPE_DATETIME, MYSQL_TYPE_DECIMAL,
        MYSQL_TYPE_DOUBLE, MYSQL_TYPE_FLOAT, MYSQL_TYPE_GEOMETRY, MYSQL_TYPE_INT24,
        MYSQL_TYPE_JSON, MYSQL_TYPE_LONG, MYSQL_TYPE_LONGLONG, MYSQL_TYPE_NEWDECIMAL,
        MYSQL_TYPE_SHORT, MYSQL_TYPE_TIME, MYSQL_TYPE_TIMESTAMP, MYSQL_TYPE_TINY, MYSQL_TYPE_YEAR,
    };
    let text = || std::str::from_utf8(bytes).ok();
    let boolean = |value| if value { &b"true"[..] } else { b"false" };
    // BOOLEAN is another word for TINYINT(1): its width is all that tells it.
    let is_narrow = column.column_length() == 1;
    let is_signed = !column.flags().contains(ColumnFlags::UNSIGNED_FLAG);
    match column.column_type() {
        MYSQL_TYPE_TINY if is_narrow && is_signed => out.extend_from_slice(boolean(bytes != b"0")),
        MYSQL_TYPE_TINY
        | MYSQL_TYPE_SHORT
        | MYSQL_TYPE_INT24
        | MYSQL_TYPE_LONG
        | MYSQL_TYPE_LONGLONG
        | MYSQL_TYPE_YEAR
        | MYSQL_TYPE_DECIMAL
        | MYSQL_TYPE_NEWDECIMAL
        | MYSQL_TYPE_FLOAT
        | MYSQL_TYPE_DOUBLE => write_number(text()?, out),
        MYSQL_TYPE_BIT => {
            let number = bytes.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
            match is_narrow {
                true => out.extend_from_slice(boolean(number != 0)),
                false => out.extend_from_slice(number.to_string().as_bytes()),
            }
        }
        MYSQL_TYPE_JSON => out.extend_from_slice(bytes),
        MYSQL_TYPE_DATE | MYSQL_TYPE_TIME => write_string(shortened(text()?), out),
        MYSQL_TYPE_DATETIME => write_string(&shortened(text()?).replacen(' ', "T", 1), out),
        // The session is in UTC.
        MYSQL_TYPE_TIMESTAMP => {
            write_string(&format!("{}+00:00", shortened(text()?).replacen(' ', "T", 1)), out);
        }
        other if column.character_set() == BINARY || other == MYSQL_TYPE_GEOMETRY => {
            let hexadecimal = bytes.iter().fold("\\x".to_owned(), |mut text, byte| {
                // Writing into memory does not fail.
                let _ = write!(text, "{byte:02x}");
                text
            });
            write_string(&hexadecimal, out);
        }
        _ => write_string(text()?, out),
    }
    Some(())
}

/// Without the zeros that `ZEROFILL` writes before a number, which JSON does not know.
fn write_number(text: &str, out: &mut Vec<u8>) {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    let digits = digits.trim_start_matches('0');
    out.extend_from_slice(sign.as_bytes());
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        out.push(b'0');
    }
    out.extend_from_slice(digits.as_bytes());
}

/// A time without the zeros at the end of its second's fraction.
fn shortened(text: &str) -> &str {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_json_and_times_are_short() {
        for (text, expected) in [
            ("0", "0"),
            ("00012", "12"),
            ("000.50", "0.50"),
            ("-0.5", "-0.5"),
            ("18446744073709551615", "18446744073709551615"),
            ("1e-7", "1e-7"),
            ("0e0", "0e0"),
        ] {
            let mut out = Vec::new();
            write_number(text, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
        assert_eq!(shortened("2001-02-03 04:05:00"), "2001-02-03 04:05:00");
        assert_eq!(shortened("2001-02-03 04:05:00.000"), "2001-02-03 04:05:00");
        assert_eq!(shortened("-838:59:58.250000"), "-838:59:58.25");
    }
}
