//! Latencies, from when a record was due until it was delivered, and the interval log of them.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use serde_json::{Value, json};

use super::figures::{QUANTILES, median};

/// The longest latency told apart, in µs: an hour.
const MOST: u64 = 3_600_000_000;
/// Significant digits.
const DIGITS: u8 = 3;

/// One delivered record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    /// When it was due, in µs since 1970.
    pub due: i64,
    /// When it was delivered, in µs since 1970.
    pub at: i64,
}

/// The latencies of a run, in µs, whole and second by second.
#[derive(Clone, Debug)]
pub(super) struct Latency {
    pub whole: Histogram<u64>,
    /// Seconds since 1970 at which an interval of a second begins, and its latencies.
    seconds: Vec<(u64, Histogram<u64>)>,
}

fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MOST, DIGITS).expect("bounds and digits that are in range")
}

impl Latency {
    /// Of the deliveries due at `from` (µs since 1970) or later; `None` if there are none.
    pub(super) fn of(deliveries: &[Delivery], from: i64) -> Option<Self> {
        let mut latency = Self { whole: empty(), seconds: Vec::new() };
        for delivery in deliveries.iter().filter(|delivery| delivery.due >= from) {
            // Clocks have steps: what seems delivered before it was due took the least time.
            let micros = (delivery.at - delivery.due).max(1) as u64;
            latency.whole.saturating_record(micros);
            let second = (delivery.at / 1_000_000).max(0) as u64;
            if latency.seconds.last().is_none_or(|(last, _)| *last < second) {
                latency.seconds.push((second, empty()));
            }
            if let Some((_, histogram)) = latency.seconds.last_mut() {
                histogram.saturating_record(micros);
            }
        }
        (!latency.whole.is_empty()).then_some(latency)
    }

    /// By quantile, in µs, with the maximum, the mean and the count.
    pub(super) fn figures(&self) -> Vec<(&'static str, f64)> {
        let quantile = |(name, at)| (name, self.whole.value_at_quantile(at) as f64);
        let mut all: Vec<(&'static str, f64)> = QUANTILES.into_iter().map(quantile).collect();
        all.push(("max", self.whole.max() as f64));
        all.push(("mean", self.whole.mean()));
        all.push(("count", self.whole.len() as f64));
        all
    }

    pub(super) fn json(&self) -> Value {
        self.figures().into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect()
    }

    /// The median of each figure; null without any.
    pub(super) fn medians(all: &[&Self]) -> Value {
        let figures: Vec<Vec<(&'static str, f64)>> =
            all.iter().map(|latency| latency.figures()).collect();
        let Some(first) = figures.first() else { return Value::Null };
        (0..first.len())
            .map(|at| {
                let values: Vec<f64> = figures.iter().map(|run| run[at].1).collect();
                (first[at].0.to_owned(), json!(median(&values)))
            })
            .collect()
    }
}

/// Writes an interval log, version 2 of the encoding, one interval a second; each run has its tag.
pub(super) fn write_log(
    out: &mut impl Write,
    runs: &[(String, &Latency)],
    began: SystemTime,
) -> io::Result<()> {
    let failed = |error: &dyn std::fmt::Debug| io::Error::other(format!("{error:?}"));
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("[Histogram log format version 1.3]")
        .add_comment("Latency from due to delivered, in microseconds; the maxima here are in ms")
        .with_start_time(began)
        .with_max_value_divisor(1000.0)
        .begin_log_with(out, &mut serializer)?;
    for (name, latency) in runs {
        // Tags may not have what separates the columns; side and run have none of it.
        let tag = Tag::new(name);
        for (second, histogram) in &latency.seconds {
            let start = Duration::from_secs(*second);
            log.write_histogram(histogram, start, Duration::from_secs(1), tag)
                .map_err(|error| failed(&error))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    fn deliveries() -> Vec<Delivery> {
        let start = 1_700_000_000_000_000;
        (0..3_000)
            .map(|at| (start + at * 1_000, 100 + at))
            .map(|(due, took)| Delivery { due, at: due + took })
            .collect()
    }

    #[test]
    fn quantiles_are_of_all_that_was_due_after_the_warm_up() {
        let all = deliveries();
        let latency = Latency::of(&all, all[1_000].due).unwrap();
        assert_eq!(latency.whole.len(), 2_000);
        let p50 = latency.whole.value_at_quantile(0.5);
        assert!((2_095..=2_105).contains(&p50), "{p50}");
        assert!(latency.whole.max() >= 3_099);
        assert!(Latency::of(&all, i64::MAX).is_none());
        assert_eq!(latency.json()["count"], 2_000.0);
    }

    #[test]
    fn the_log_holds_every_value_in_intervals() {
        let all = deliveries();
        let latency = Latency::of(&all, 0).unwrap();
        let mut bytes = Vec::new();
        write_log(&mut bytes, &[("millrace-1".to_owned(), &latency)], SystemTime::now()).unwrap();
        let (mut count, mut intervals) = (0, 0);
        for entry in IntervalLogIterator::new(&bytes) {
            let LogEntry::Interval(interval) = entry.unwrap() else { continue };
            assert_eq!(interval.tag().unwrap().as_str(), "millrace-1");
            use base64::Engine as _;
            let raw = base64::engine::general_purpose::STANDARD
                .decode(interval.encoded_histogram())
                .unwrap();
            let histogram: Histogram<u64> = Deserializer::new().deserialize(&mut &raw[..]).unwrap();
            count += histogram.len();
            intervals += 1;
        }
        assert_eq!(count, 3_000);
        assert!(intervals >= 3, "{intervals}");
    }
}
