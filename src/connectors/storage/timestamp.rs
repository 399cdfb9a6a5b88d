//! `timestamp.extractor`: which time a record belongs to.

use jiff::tz::TimeZone;

use super::field::{FieldPath, Found};
use millrace_api::record::Record;

/// Where a record's time comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimestampExtractor {
    /// The time of processing.
    Wallclock,
    /// The Kafka record's timestamp.
    Record,
    /// A field of the value: milliseconds, an ISO date-time, or a Timestamp.
    RecordField(FieldPath),
}

impl TimestampExtractor {
    /// By the short name or the Java class; `field` is `timestamp.field`.
    pub fn parse(name: &str, field: &str) -> Result<Self, String> {
        let short = name
            .rsplit(['.', '$'])
            .next()
            .map(|short| short.strip_suffix("TimestampExtractor").unwrap_or(short));
        match short {
            Some("Wallclock") => Ok(Self::Wallclock),
            Some("Record") => Ok(Self::Record),
            Some("RecordField") => Ok(Self::RecordField(FieldPath::new(field))),
            _ => {
                Err("Invalid timestamp extractor; one of Wallclock, Record, RecordField".to_owned())
            }
        }
    }

    /// Milliseconds since the epoch; the error says why the record has none.
    pub fn extract(
        &self,
        record: &Record<'_>,
        now: i64,
        scratch: &mut Vec<u8>,
    ) -> Result<i64, String> {
        match self {
            Self::Wallclock => Ok(now),
            Self::Record => record.timestamp.ok_or_else(|| {
                "Unable to determine timestamp using timestamp.extractor Record: the record has no \
                 timestamp"
                    .to_owned()
            }),
            Self::RecordField(path) => from_field(path, record, scratch),
        }
    }
}

fn from_field(path: &FieldPath, record: &Record<'_>, scratch: &mut Vec<u8>) -> Result<i64, String> {
    let wrong = |why: &str| {
        Err(format!("Error extracting timestamp from record field: {}: {why}", path.name))
    };
    match path.find(&record.value.value, scratch) {
        Some(Found::Integer(millis) | Found::Timestamp(millis)) => Ok(millis),
        Some(Found::Number(text)) => match text.parse::<f64>() {
            // Java's `Number.longValue` cuts towards zero and saturates; so does `as`.
            Ok(number) if number.is_finite() => Ok(number as i64),
            _ => wrong("not a number"),
        },
        Some(Found::Text(text)) => parse_text(&text)
            .map_or_else(|| wrong(&format!("'{text}' is neither a number nor an ISO time")), Ok),
        Some(Found::Null) => wrong("it is null"),
        Some(Found::Boolean(_)) => wrong("a boolean is no time"),
        Some(Found::Other(class)) => wrong(&format!("{class} is no time")),
        None => wrong("The field does not exist."),
    }
}

/// A number of milliseconds or an ISO 8601 date or date-time; without an offset it is UTC.
fn parse_text(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if (1..=19).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok();
    }
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Some(instant.as_millisecond());
    }
    let civil = text.parse::<jiff::civil::DateTime>().ok()?;
    Some(TimeZone::UTC.to_timestamp(civil).ok()?.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_are_times() {
        for (text, expected) in [
            ("1700000000000", Some(1_700_000_000_000)),
            ("-5", Some(-5)),
            ("2023-11-14T22:13:20Z", Some(1_700_000_000_000)),
            ("2023-11-14T22:13:20.5Z", Some(1_700_000_000_500)),
            ("2023-11-15T00:13:20+02:00", Some(1_700_000_000_000)),
            ("2023-11-14T22:13:20", Some(1_700_000_000_000)),
            ("2023-11-14", Some(1_699_920_000_000)),
            ("yesterday", None),
            ("", None),
            ("-", None),
        ] {
            assert_eq!(parse_text(text), expected, "{text}");
        }
    }

    #[test]
    fn names() {
        let class = "io.confluent.connect.storage.partitioner.TimeBasedPartitioner$RecordFieldTimestampExtractor";
        assert_eq!(
            TimestampExtractor::parse(class, "a.b"),
            Ok(TimestampExtractor::RecordField(FieldPath::new("a.b")))
        );
        assert_eq!(TimestampExtractor::parse("Record", ""), Ok(TimestampExtractor::Record));
        assert!(TimestampExtractor::parse("Mine", "").is_err());
    }
}
