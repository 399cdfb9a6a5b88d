//! When the open files of a topic partition are completed.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// The rotation keys. All open files of a topic partition are completed together, so that the offset
/// after the last record is then durable.
#[derive(Clone, Debug, Default)]
pub struct Rotation {
    /// `flush.size`: records of the topic partition.
    pub flush_size: Option<u64>,
    /// `rotate.interval.ms`: span of record time, by the partitioner's extractor.
    pub interval_ms: Option<i64>,
    /// `rotate.schedule.interval.ms`: wall clock, counted from midnight in the zone.
    pub schedule: Option<Schedule>,
    /// `millrace.rotate.bytes`: bytes before compression, of the topic partition's open files.
    pub bytes: Option<u64>,
    /// `rotate.file.on.partition.change`, which Confluent's connector heeds only together with
    /// `rotate.interval.ms`.
    pub on_partition_change: bool,
    /// `partitioner.max.open.files`.
    pub max_open_files: Option<usize>,
}

/// Wall-clock rotation.
#[derive(Clone, Debug)]
pub struct Schedule {
    pub interval_ms: i64,
    pub zone: TimeZone,
}

impl Schedule {
    /// The first multiple of the interval since midnight that lies after `now`; at the latest the next
    /// midnight. Milliseconds since the epoch.
    pub fn next_after(&self, now: i64) -> i64 {
        let fallback = now.saturating_add(self.interval_ms);
        let Ok(instant) = Timestamp::from_millisecond(now) else { return fallback };
        let zoned = instant.to_zoned(self.zone.clone());
        let (Ok(midnight), Ok(tomorrow)) =
            (zoned.start_of_day(), zoned.saturating_add(1.day()).start_of_day())
        else {
            return fallback;
        };
        let midnight = midnight.timestamp().as_millisecond();
        let tomorrow = tomorrow.timestamp().as_millisecond();
        let steps = (now - midnight).div_euclid(self.interval_ms.max(1)) + 1;
        steps
            .checked_mul(self.interval_ms)
            .and_then(|offset| midnight.checked_add(offset))
            .map_or(tomorrow, |next| next.min(tomorrow))
    }
}

/// What was written since the last rotation of a topic partition.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    pub records: u64,
    /// Before compression.
    pub bytes: u64,
    /// Time of the first record.
    pub base_time: Option<i64>,
    /// Time of the last one.
    pub last_time: Option<i64>,
    /// Wall-clock time of the next scheduled rotation.
    pub next_scheduled: Option<i64>,
}

impl Progress {
    pub fn new(rotation: &Rotation, now: i64) -> Self {
        let next_scheduled = rotation.schedule.as_ref().map(|schedule| schedule.next_after(now));
        Self { next_scheduled, ..Self::default() }
    }
}

impl Rotation {
    /// Whether the files are to be completed before a record of `time` (of the partitioner's extractor;
    /// `None` without one) is written, or because of the wall clock alone.
    pub fn before_record(
        &self,
        progress: &Progress,
        time: Option<i64>,
        partition_changed: bool,
        now: i64,
    ) -> bool {
        if progress.records == 0 {
            return false;
        }
        let periodic = self.interval_ms.is_some_and(|interval| {
            let spanned = progress
                .base_time
                .zip(time)
                .is_some_and(|(base, time)| time.saturating_sub(base) >= interval);
            spanned || (time.is_some() && self.on_partition_change && partition_changed)
        });
        periodic || progress.next_scheduled.is_some_and(|next| now >= next)
    }

    /// Whether the files are full.
    pub fn after_record(&self, progress: &Progress) -> bool {
        self.flush_size.is_some_and(|most| progress.records >= most)
            || self.bytes.is_some_and(|most| progress.bytes >= most)
    }
}

#[cfg(test)]
mod tests {
    use super::super::path_format::parse_zone;
    use super::*;

    fn millis(at: &str) -> i64 {
        at.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn schedule_is_aligned_to_the_zones_midnight() {
        const HOUR: i64 = 3_600_000;
        for (zone, interval_ms, now, next) in [
            ("UTC", HOUR, "2024-03-09T07:20:00Z", "2024-03-09T08:00:00Z"),
            ("UTC", HOUR, "2024-03-09T08:00:00Z", "2024-03-09T09:00:00Z"),
            ("Asia/Kolkata", HOUR, "2024-03-09T07:20:00Z", "2024-03-09T07:30:00Z"),
            // Seven hours do not divide the day: the last stretch is short.
            ("UTC", 7 * HOUR, "2024-03-09T22:00:00Z", "2024-03-10T00:00:00Z"),
            ("UTC", 72 * HOUR, "2024-03-09T22:00:00Z", "2024-03-10T00:00:00Z"),
            // A day of 23 hours.
            ("Europe/Berlin", 24 * HOUR, "2024-03-31T10:00:00Z", "2024-03-31T22:00:00Z"),
        ] {
            let schedule = Schedule { interval_ms, zone: parse_zone(zone).unwrap() };
            assert_eq!(schedule.next_after(millis(now)), millis(next), "{zone} {now}");
        }
    }

    #[test]
    fn by_count_and_bytes() {
        let rotation = Rotation { flush_size: Some(3), bytes: Some(100), ..Rotation::default() };
        let at = |records, bytes| Progress { records, bytes, ..Progress::default() };
        assert!(!rotation.after_record(&at(2, 99)));
        assert!(rotation.after_record(&at(3, 0)));
        assert!(rotation.after_record(&at(1, 100)));
    }

    #[test]
    fn by_record_time() {
        let rotation =
            Rotation { interval_ms: Some(1000), on_partition_change: true, ..Rotation::default() };
        let progress = Progress { records: 1, base_time: Some(5000), ..Progress::default() };
        assert!(!rotation.before_record(&progress, Some(5999), false, 0));
        assert!(rotation.before_record(&progress, Some(6000), false, 0));
        assert!(rotation.before_record(&progress, Some(5001), true, 0));
        assert!(!rotation.before_record(&progress, None, true, i64::MAX));
        let keep = Rotation { on_partition_change: false, ..rotation.clone() };
        assert!(!keep.before_record(&progress, Some(5001), true, 0));
        let empty = Progress { records: 0, ..progress };
        assert!(!rotation.before_record(&empty, Some(9000), true, 0));
    }

    #[test]
    fn by_wall_clock() {
        let rotation = Rotation {
            schedule: Some(Schedule { interval_ms: 60_000, zone: TimeZone::UTC }),
            ..Rotation::default()
        };
        let mut progress = Progress::new(&rotation, 30_000);
        progress.records = 1;
        assert!(!rotation.before_record(&progress, None, false, 59_999));
        assert!(rotation.before_record(&progress, None, false, 60_000));
    }
}
