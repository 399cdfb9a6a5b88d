//! Which folder a record belongs to: the partitioners of `io.confluent.connect.storage.partitioner`.

use std::fmt::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use millrace_api::record::Record;

use super::field::{FieldPath, Found};
use super::path_format::PathFormat;
use super::timestamp::TimestampExtractor;

/// Name of the package that the classes are known by.
pub const PACKAGE: &str = "io.confluent.connect.storage.partitioner";

/// A configured partitioner.
#[derive(Clone, Debug)]
pub enum Partitioner {
    /// `partition=<Kafka partition>`.
    Default,
    /// `<field>=<value>` for each field.
    Field { fields: Vec<FieldPath>, delim: String },
    /// The record's time, cut to a bucket and printed by a pattern.
    Time(TimePartitioner),
}

/// `TimeBasedPartitioner` and its two short forms.
#[derive(Clone, Debug)]
pub struct TimePartitioner {
    /// Length of a bucket in milliseconds; buckets begin at multiples of it in local time.
    pub duration_ms: i64,
    pub format: PathFormat,
    pub zone: TimeZone,
    pub extractor: TimestampExtractor,
}

/// The times for which [`TimePartitioner::encode`] gives the same folder: `from <= time < to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub from: i64,
    pub to: i64,
}

impl Window {
    /// Of a folder that no time belongs to.
    pub const NONE: Self = Self { from: 0, to: 0 };

    pub fn contains(self, time: i64) -> bool {
        self.from <= time && time < self.to
    }
}

impl TimePartitioner {
    /// Appends the folder of `time` (milliseconds since the epoch). The error is for times outside the
    /// calendar.
    pub fn encode(&self, time: i64, out: &mut String) -> Result<Window, String> {
        let outside = |_| format!("the time {time} is outside the calendar");
        let instant = Timestamp::from_millisecond(time).map_err(outside)?;
        let offset = self.zone.to_offset(instant);
        let offset_ms = i64::from(offset.seconds()) * 1000;
        let duration = self.duration_ms.max(1);
        let local_bucket = (time + offset_ms).div_euclid(duration) * duration;
        // The bucket is printed as its local start, with the offset of its records.
        let start = Timestamp::from_millisecond(local_bucket).map_err(outside)?;
        let local = jiff::tz::Offset::UTC.to_datetime(start);
        self.format.write(local, offset, &self.zone, out);
        let from = local_bucket - offset_ms;
        let mut window = Window { from, to: from.saturating_add(duration) };
        // An offset that changes inside the bucket changes the buckets' borders.
        if let Some(next) = self.zone.following(instant).next() {
            window.to = window.to.min(next.timestamp().as_millisecond());
        }
        if let Some(previous) = self.zone.preceding(instant).next() {
            let change = previous.timestamp().as_millisecond();
            if change <= time {
                window.from = window.from.max(change);
            }
        }
        Ok(window)
    }
}

/// Appends the folder that a record's fields name. The error is of `PartitionException`.
pub fn encode_fields(
    fields: &[FieldPath],
    delim: &str,
    record: &Record<'_>,
    scratch: &mut Vec<u8>,
    out: &mut String,
) -> Result<(), String> {
    for (index, path) in fields.iter().enumerate() {
        if index > 0 {
            out.push_str(delim);
        }
        let name = &path.name;
        let written = match path.find(&record.value.value, scratch) {
            Some(Found::Text(text)) => write!(out, "{name}={text}"),
            Some(Found::Integer(number)) => write!(out, "{name}={number}"),
            Some(Found::Number(number)) => write!(out, "{name}={number}"),
            Some(Found::Boolean(value)) => write!(out, "{name}={value}"),
            Some(Found::Null) => write!(out, "{name}=null"),
            Some(Found::Timestamp(_)) => {
                return Err(format!(
                    "Error encoding partition: field '{name}' is a Timestamp, which is not supported \
                     as a partition key"
                ));
            }
            Some(Found::Other(class)) => {
                return Err(format!(
                    "Error encoding partition: field '{name}' is a {class}, which is not supported as \
                     a partition key"
                ));
            }
            None => return Err(format!("Field '{name}' is not present in the record's value.")),
        };
        debug_assert!(written.is_ok(), "a String takes what is written to it");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use millrace_api::converters::{JsonText, SchemaAndValue, Value};
    use millrace_api::record::{Origin, TimestampType};
    use proptest::prelude::*;

    use super::super::path_format::parse_zone;
    use super::*;

    fn partitioner(duration_ms: i64, pattern: &str, zone: &str) -> TimePartitioner {
        TimePartitioner {
            duration_ms,
            format: PathFormat::parse(pattern).unwrap(),
            zone: parse_zone(zone).unwrap(),
            extractor: TimestampExtractor::Wallclock,
        }
    }

    fn folder(duration_ms: i64, zone: &str, at: &str) -> String {
        let mut out = String::new();
        let time = at.parse::<Timestamp>().unwrap().as_millisecond();
        partitioner(duration_ms, "YYYY-MM-dd'T'HH:mm", zone).encode(time, &mut out).unwrap();
        out
    }

    #[test]
    fn buckets_begin_in_local_time() {
        const HOUR: i64 = 3_600_000;
        for (duration, zone, at, expected) in [
            (HOUR, "UTC", "2024-03-09T07:59:59.999Z", "2024-03-09T07:00"),
            (HOUR, "Asia/Kolkata", "2024-03-09T07:59:59Z", "2024-03-09T13:00"),
            (24 * HOUR, "America/New_York", "2024-03-09T03:00:00Z", "2024-03-08T00:00"),
            (24 * HOUR, "+02:00", "2024-03-09T22:00:00Z", "2024-03-10T00:00"),
            (HOUR / 4, "UTC", "2024-03-09T07:44:59Z", "2024-03-09T07:30"),
            // The hour that daylight saving repeats is printed twice.
            (HOUR, "Europe/Berlin", "2024-10-27T00:30:00Z", "2024-10-27T02:00"),
            (HOUR, "Europe/Berlin", "2024-10-27T01:30:00Z", "2024-10-27T02:00"),
            (HOUR, "Europe/Berlin", "2024-03-31T01:30:00Z", "2024-03-31T03:00"),
            (HOUR, "UTC", "1969-12-31T23:30:00Z", "1969-12-31T23:00"),
        ] {
            assert_eq!(folder(duration, zone, at), expected, "{zone} {at}");
        }
    }

    proptest! {
        /// All times of a window have its folder.
        #[test]
        fn windows_are_right(
            time in 0i64..2_000_000_000_000,
            duration in prop::sample::select(vec![60_000i64, 3_600_000, 86_400_000, 7_000_000]),
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "+05:30", "Australia/Lord_Howe"]),
            inside in 0f64..1.0,
        ) {
            let partitioner = partitioner(duration, "YYYY-MM-dd HH:mm:ss.SSS Z", zone);
            let mut folder = String::new();
            let window = partitioner.encode(time, &mut folder).unwrap();
            prop_assert!(window.contains(time));
            let other = window.from + ((window.to - window.from - 1) as f64 * inside) as i64;
            let mut again = String::new();
            prop_assert_eq!(partitioner.encode(other, &mut again).unwrap(), window);
            prop_assert_eq!(again, folder);
        }
    }

    #[test]
    fn fields_of_json_text() {
        let text =
            JsonText::verbatim(br#"{"country":"DE","n":{"id":7},"ok":true,"gone":null,"l":[]}"#);
        let record = Record {
            topic: "t",
            partition: Some(0),
            timestamp: None,
            key: SchemaAndValue::default(),
            value: SchemaAndValue { schema: None, value: Value::Json(&text) },
            headers: &[],
            origin: Origin::Sink {
                topic: "t",
                partition: 0,
                offset: 0,
                timestamp_type: TimestampType::CreateTime,
            },
        };
        let encode = |names: &[&str]| {
            let fields: Vec<_> = names.iter().map(|name| FieldPath::new(name)).collect();
            let (mut scratch, mut out) = (Vec::new(), String::new());
            encode_fields(&fields, "/", &record, &mut scratch, &mut out).map(|()| out)
        };
        assert_eq!(
            encode(&["country", "n.id", "ok", "gone"]).unwrap(),
            "country=DE/n.id=7/ok=true/gone=null"
        );
        assert!(encode(&["missing"]).unwrap_err().contains("'missing' is not present"));
        assert!(encode(&["l"]).unwrap_err().contains("not supported as a partition key"));
    }
}
