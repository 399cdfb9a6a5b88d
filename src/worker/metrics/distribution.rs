//! A distribution of times: an hdrhistogram's slots with their sum, mergeable, sendable to other
//! threads.

use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{
    IntervalLogWriterBuilder, IntervalLogWriterError, Tag,
};

use super::slots::Slots;

/// Times beyond a day count as a day: it bounds the histogram's memory.
const LONGEST: u64 = 24 * 3600 * 1_000_000;
/// Significant decimal digits that are kept: values are right to 0.1 %.
const DIGITS: u8 = 3;
/// Values that stand for all those of a span.
const POINTS: u64 = 8;

/// Times in microseconds, right to 0.1 %, at most a day. Half a KiB for each sixteenth of a doubling
/// in which something lies.
#[derive(Clone, Debug, Default)]
pub struct Distribution {
    slots: Slots,
    count: u64,
    sum: u64,
}

impl Distribution {
    /// Adds `count` times of `micros`.
    pub fn record(&mut self, micros: u64, count: u64) {
        let micros = micros.min(LONGEST);
        if count > 0 {
            self.slots.add(micros, count);
            self.count = self.count.saturating_add(count);
            self.sum = self.sum.saturating_add(micros.saturating_mul(count));
        }
    }

    /// Adds `count` times that lie somewhere from `least` to `most`, as if evenly: by eight values at
    /// most, one a millisecond, both ends among them.
    pub fn record_span(&mut self, least: u64, most: u64, count: u64) {
        let span = most.min(LONGEST).saturating_sub(least);
        // Timestamps are whole milliseconds: more values would only look finer.
        let points = count.min(POINTS).min(span / 1_000 + 1);
        if points < 2 {
            return self.record(least, count);
        }
        // One division a span, not one a value; the last value takes what they leave over.
        let (step, share) = (span / (points - 1), count / points);
        for point in 0..points - 1 {
            self.record(least + step * point, share);
        }
        self.record(least + span, count - share * (points - 1));
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.slots.merge(&other.slots);
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// Forgets what was recorded.
    pub fn clear(&mut self) {
        self.slots.clear();
        (self.count, self.sum) = (0, 0);
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// Of all times, in microseconds.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// 0 when nothing was recorded, as [`Self::max`] and [`Self::mean`].
    pub fn min(&self) -> u64 {
        self.slots.iter().next().map_or(0, |slot| slot.least)
    }

    pub fn max(&self) -> u64 {
        self.slots.iter().next_back().map_or(0, |slot| slot.most)
    }

    pub fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum as f64 / self.count as f64 }
    }

    /// The time that a share `quantile` (0 to 1) of all do not pass; 0.99 is the 99th percentile.
    pub fn quantile(&self, quantile: f64) -> u64 {
        // The first of all where not even one is asked for, as hdrhistogram has it.
        let wanted = ((quantile.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).max(1);
        let mut count = 0;
        let reached = self.slots.iter().find(|slot| {
            count += slot.count;
            count >= wanted
        });
        reached.map_or(0, |slot| if quantile <= 0.0 { slot.least } else { slot.most })
    }

    /// How many times do not pass each of `bounds`, microseconds in growing order.
    pub fn at_most(&self, bounds: &[u64]) -> Vec<u64> {
        let mut counts = Vec::with_capacity(bounds.len());
        let mut recorded = self.slots.iter().peekable();
        let mut count = 0;
        for bound in bounds {
            while let Some(slot) = recorded.next_if(|slot| slot.most <= *bound) {
                count += slot.count;
            }
            counts.push(count);
        }
        counts
    }

    /// As hdrhistogram has it, for its formats.
    fn histogram(&self) -> Histogram<u64> {
        let mut histogram = Histogram::new(DIGITS).expect("up to five digits are allowed");
        histogram.auto(true);
        for slot in self.slots.iter() {
            // It grows by itself, so that nothing can be out of range.
            let _ = histogram.record_n(slot.least, slot.count);
        }
        histogram
    }
}

/// Writes interval histograms in the format of HdrHistogram's own tools (`.hlog`), values in
/// microseconds, the column of maxima in milliseconds.
pub struct IntervalLog<W> {
    out: W,
    started: SystemTime,
    serializer: V2DeflateSerializer,
}

/// The maxima's divisor: the log says it in its head.
const MILLISECONDS: f64 = 1000.0;

impl<W: Write> IntervalLog<W> {
    /// Writes the head: `comment`, and `started` as start and base of all times.
    pub fn begin(mut out: W, started: SystemTime, comment: &str) -> io::Result<Self> {
        let mut serializer = V2DeflateSerializer::new();
        IntervalLogWriterBuilder::new()
            .add_comment(comment)
            .with_start_time(started)
            .with_base_time(started)
            .with_max_value_divisor(MILLISECONDS)
            .begin_log_with(&mut out, &mut serializer)?;
        writeln!(
            out,
            "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\""
        )?;
        Ok(Self { out, started, serializer })
    }

    /// One line: what was recorded in the `length` from `from` on. Characters that a tag may not
    /// have become `_`.
    pub fn write(
        &mut self,
        from: SystemTime,
        length: Duration,
        tag: &str,
        times: &Distribution,
    ) -> io::Result<()> {
        let tag: String =
            tag.chars().map(|c| if c == ',' || c.is_whitespace() { '_' } else { c }).collect();
        let since = from.duration_since(self.started).unwrap_or_default();
        // A builder without headers writes none; only the divisor's line must not come again.
        let mut line = Vec::new();
        let written = IntervalLogWriterBuilder::new()
            .with_max_value_divisor(MILLISECONDS)
            .begin_log_with(&mut line, &mut self.serializer)?
            .write_histogram(&times.histogram(), since, length, Tag::new(&tag));
        match written {
            Ok(()) => {}
            Err(IntervalLogWriterError::IoError(error)) => return Err(error),
            Err(IntervalLogWriterError::SerializeError(error)) => {
                return Err(io::Error::other(error.to_string()));
            }
        }
        let start = line.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.out.write_all(&line[start..])
    }

    /// The writer, for the caller to flush.
    pub fn into_inner(self) -> W {
        self.out
    }
}

/// Microseconds since 1970.
pub(crate) fn wall_micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
    use proptest::prelude::*;

    #[test]
    fn a_span_counts_every_record_once_and_keeps_both_ends() {
        let mut times = Distribution::default();
        times.record_span(1_000, 21_000, 1_001);
        assert_eq!((times.count(), times.min(), times.max()), (1_001, 1_000, 21_007));
        assert!((9_000..=13_000).contains(&times.quantile(0.5)), "{}", times.quantile(0.5));
        let mut one = Distribution::default();
        one.record_span(5, 90, 1);
        one.record_span(7, 7, 9);
        assert_eq!((one.count(), one.min(), one.max(), one.sum()), (10, 5, 7, 68));
    }

    #[test]
    fn quantiles_are_hdrhistograms() {
        let mut times = Distribution::default();
        for at in 0..5000_u64 {
            times.record(at.wrapping_mul(0x9E37_79B9) % 10_000_000, 1 + at % 3);
        }
        let histogram = times.histogram();
        for quantile in [0.0, 0.001, 0.5, 0.9, 0.99, 0.999, 1.0] {
            assert_eq!(times.quantile(quantile), histogram.value_at_quantile(quantile));
        }
        assert_eq!((times.min(), times.max()), (histogram.min(), histogram.max()));
        assert_eq!(Distribution::default().quantile(0.5), 0);
    }

    #[test]
    fn a_time_beyond_a_day_counts_as_a_day() {
        let mut times = Distribution::default();
        times.record(u64::MAX, 2);
        assert_eq!(times.count(), 2);
        assert_eq!(times.sum(), 2 * LONGEST);
    }

    #[test]
    fn counts_at_bounds_are_cumulative() {
        let mut times = Distribution::default();
        for micros in [100, 200, 200, 5_000, 90_000_000] {
            times.record(micros, 1);
        }
        assert_eq!(times.at_most(&[99, 100, 250, 10_000, 60_000_000]), [0, 1, 3, 4, 4]);
    }

    #[test]
    fn an_interval_log_is_read_back() {
        let started = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let mut log = IntervalLog::begin(Vec::new(), started, "a run").unwrap();
        let mut times = Distribution::default();
        times.record(1_500, 3);
        log.write(started, Duration::from_secs(1), "put", &times).unwrap();
        times.clear();
        times.record(7, 1);
        log.write(started + Duration::from_secs(1), Duration::from_secs(1), "a b", &times).unwrap();
        let text = log.into_inner();
        let lines: Vec<_> = std::str::from_utf8(&text).unwrap().lines().collect();
        assert_eq!(lines.len(), 7, "{lines:#?}");
        // The reader of this library does not take the line of column names that Java's takes.
        let data: Vec<u8> = text
            .split_inclusive(|b| *b == b'\n')
            .filter(|l| l[0] != b'"')
            .flatten()
            .copied()
            .collect();
        let mut found = Vec::new();
        for entry in IntervalLogIterator::new(&data) {
            if let LogEntry::Interval(line) = entry.unwrap() {
                use base64_of::decode;
                let bytes = decode(line.encoded_histogram());
                let read: Histogram<u64> =
                    Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
                found.push((line.tag().unwrap().as_str().to_owned(), read.len(), read.max()));
            }
        }
        assert_eq!(found, [("put".to_owned(), 3, 1_500), ("a_b".to_owned(), 1, 7)]);
    }

    /// Base64 for the test above.
    mod base64_of {
        pub(super) fn decode(text: &str) -> Vec<u8> {
            const LETTERS: &[u8] =
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            let (mut bits, mut held, mut out) = (0u32, 0, Vec::new());
            for byte in text.bytes().filter(|byte| *byte != b'=') {
                let at = LETTERS.iter().position(|letter| *letter == byte).unwrap();
                bits = (bits << 6) | at as u32;
                held += 6;
                if held >= 8 {
                    held -= 8;
                    out.push((bits >> held) as u8);
                }
            }
            out
        }
    }

    proptest! {
        #[test]
        fn merging_loses_nothing(
            left in prop::collection::vec((0u64..1 << 45, 1u64..1000), 0..20),
            spans in prop::collection::vec((0u64..1 << 40, 0u64..1 << 40, 0u64..100_000), 0..20),
        ) {
            let (mut a, mut b) = (Distribution::default(), Distribution::default());
            let mut expected = 0;
            for (micros, count) in left {
                a.record(micros, count);
                expected += count;
            }
            for (least, span, count) in spans {
                b.record_span(least, least + span, count);
                expected += count;
            }
            let sum = a.sum() + b.sum();
            a.merge(&b);
            prop_assert_eq!(a.count(), expected);
            prop_assert_eq!(a.sum(), sum);
            prop_assert_eq!(a.at_most(&[u64::MAX])[0], expected);
        }
    }
}
