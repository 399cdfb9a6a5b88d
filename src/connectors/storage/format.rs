//! `format.class`: how records become an object's bytes.

use millrace_api::record::Record;
use millrace_converters::json::{DecimalFormat, WriteOptions};
use millrace_converters::{DataError, Value};

use super::format_json::write_json;

/// A configured format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// `JsonFormat`: one document a line.
    Json {
        /// `json.decimal.format=NUMERIC`.
        decimal_numeric: bool,
    },
    /// `ByteArrayFormat`: the value's bytes and a separator after each.
    Bytes { separator: Vec<u8>, extension: String },
}

impl Format {
    /// With its dot.
    pub fn extension(&self) -> &str {
        match self {
            Self::Json { .. } => ".json",
            Self::Bytes { extension, .. } => extension,
        }
    }

    /// Appends the record. On an error nothing stays in `out`.
    #[inline]
    pub fn write(&self, record: &Record<'_>, out: &mut Vec<u8>) -> Result<(), DataError> {
        let value = &record.value;
        match self {
            Self::Json { decimal_numeric } => {
                let decimal_format =
                    if *decimal_numeric { DecimalFormat::Numeric } else { DecimalFormat::Base64 };
                let options = WriteOptions { decimal_format, ..WriteOptions::default() };
                // A null that is written at all is written whatever its schema asks for.
                let schema = value.schema.filter(|_| !value.value.is_null());
                write_json(schema, &value.value, &options, out)?;
                out.push(b'\n');
            }
            Self::Bytes { separator, .. } => {
                match &value.value {
                    Value::Bytes(bytes) => out.extend_from_slice(bytes),
                    Value::Str(text) => out.extend_from_slice(text.as_bytes()),
                    Value::Json(text) => text.write_to(out),
                    Value::Null => {}
                    other => {
                        return Err(DataError::new(format!(
                            "ByteArrayFormat writes bytes and text, not {}; use \
                             org.apache.kafka.connect.converters.ByteArrayConverter",
                            other.java_class()
                        )));
                    }
                }
                out.extend_from_slice(separator);
            }
        }
        Ok(())
    }
}

/// A separator as configured: `\n`, `\r`, `\t`, `\\` and `\u0000` are escapes.
pub fn parse_separator(text: &str) -> Result<Vec<u8>, String> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('\\') => out.push('\\'),
            Some('u') => {
                let digits: String = chars.by_ref().take(4).collect();
                let code = (digits.len() == 4).then(|| u32::from_str_radix(&digits, 16).ok());
                let c = code.flatten().and_then(char::from_u32);
                out.push(c.ok_or_else(|| format!("\\u{digits} is no character"))?);
            }
            other => {
                let other = other.map(String::from).unwrap_or_default();
                return Err(format!("\\{other} is no escape; one of \\n \\r \\t \\\\ \\uXXXX"));
            }
        }
    }
    Ok(out.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators() {
        assert_eq!(parse_separator("\\r\\n").unwrap(), b"\r\n");
        assert_eq!(parse_separator("|\\u0001\\\\").unwrap(), b"|\x01\\");
        assert!(parse_separator("\\q").is_err());
        assert!(parse_separator("\\u00").is_err());
        assert!(parse_separator("\\").is_err());
    }
}
