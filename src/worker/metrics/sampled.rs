//! Averages, maxima and rates over the last windows, as Kafka's `SampledStat` computes them: by
//! default two windows of 30 s (`metrics.num.samples`, `metrics.sample.window.ms`).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use millrace_api::Config;

/// Windows that are kept at most, whatever the configuration says.
const MOST: usize = 1000;

/// How many windows, and how long each.
#[derive(Clone, Copy, Debug)]
pub struct Windows {
    length: Duration,
    count: usize,
}

impl Windows {
    /// By the worker's properties.
    pub fn of(worker: &Config) -> Self {
        let number = |key: &str| worker.get(key).and_then(|text| text.trim().parse::<u64>().ok());
        let length = number("metrics.sample.window.ms").unwrap_or(30_000).max(1);
        let count = number("metrics.num.samples").unwrap_or(2) as usize;
        Self { length: Duration::from_millis(length), count: count.clamp(1, MOST) }
    }

    fn all(&self) -> Duration {
        self.length.saturating_mul(self.count as u32)
    }
}

#[derive(Clone, Copy, Debug)]
struct Window {
    started: Instant,
    events: u64,
    sum: f64,
    least: f64,
    most: f64,
}

/// Values that came within the windows.
#[derive(Clone, Debug, Default)]
pub struct Sampled(VecDeque<Window>);

impl Sampled {
    /// A value that has come now.
    pub fn record(&mut self, windows: Windows, now: Instant, value: f64) {
        if let Some(last) = self.0.back_mut()
            && now.saturating_duration_since(last.started) < windows.length
        {
            last.events += 1;
            last.sum += value;
            last.least = last.least.min(value);
            last.most = last.most.max(value);
            return;
        }
        if self.0.len() == windows.count {
            self.0.pop_front();
        }
        let window = Window { started: now, events: 1, sum: value, least: value, most: value };
        self.0.push_back(window);
    }

    fn fresh(&self, windows: Windows, now: Instant) -> impl Iterator<Item = &Window> {
        let is_fresh =
            move |window: &&Window| now.saturating_duration_since(window.started) < windows.all();
        self.0.iter().filter(is_fresh)
    }

    /// NaN when nothing came, as in the JVM.
    pub fn average(&self, windows: Windows, now: Instant) -> f64 {
        let total = |(events, sum), window: &Window| (events + window.events, sum + window.sum);
        let (events, sum) = self.fresh(windows, now).fold((0, 0.0), total);
        if events == 0 { f64::NAN } else { sum / events as f64 }
    }

    /// NaN when nothing came.
    pub(crate) fn least(&self, windows: Windows, now: Instant) -> f64 {
        self.fresh(windows, now).map(|window| window.least).fold(f64::NAN, f64::min)
    }

    /// NaN when nothing came.
    pub fn most(&self, windows: Windows, now: Instant) -> f64 {
        self.fresh(windows, now).map(|window| window.most).fold(f64::NAN, f64::max)
    }

    /// The sum a second. The time counts as all windows but the last at least, so that a first
    /// value does not look like a flood.
    pub(crate) fn rate(&self, windows: Windows, now: Instant) -> f64 {
        let Some(first) = self.fresh(windows, now).next() else { return 0.0 };
        let elapsed = now.saturating_duration_since(first.started).as_secs_f64();
        let length = windows.length.as_secs_f64();
        let (full, needed) = ((elapsed / length).floor(), windows.count.saturating_sub(1) as f64);
        let elapsed = (elapsed + (needed - full).max(0.0) * length).max(length);
        self.fresh(windows, now).map(|window| window.sum).sum::<f64>() / elapsed
    }
}

/// A count that grows, and its rate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter {
    pub total: u64,
    sampled: Sampled,
}

impl Meter {
    pub(crate) fn add(&mut self, windows: Windows, now: Instant, count: u64) {
        if count > 0 {
            self.total += count;
            self.sampled.record(windows, now, count as f64);
        }
    }

    /// The count is `total` now.
    pub(crate) fn reach(&mut self, windows: Windows, now: Instant, total: u64) {
        self.add(windows, now, total.saturating_sub(self.total));
    }

    pub(crate) fn rate(&self, windows: Windows, now: Instant) -> f64 {
        self.sampled.rate(windows, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(more: &[(&str, &str)]) -> Windows {
        let pairs = more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Windows::of(&pairs.collect())
    }

    #[test]
    fn old_windows_are_forgotten() {
        let (windows, start) = (windows(&[]), Instant::now());
        let mut sampled = Sampled::default();
        assert!(sampled.average(windows, start).is_nan() && sampled.most(windows, start).is_nan());
        sampled.record(windows, start, 10.0);
        sampled.record(windows, start + Duration::from_secs(29), 20.0);
        let later = start + Duration::from_secs(31);
        sampled.record(windows, later, 6.0);
        assert_eq!((sampled.average(windows, later), sampled.most(windows, later)), (12.0, 20.0));
        assert_eq!(sampled.least(windows, later), 6.0);
        let later = start + Duration::from_secs(61);
        assert_eq!((sampled.average(windows, later), sampled.most(windows, later)), (6.0, 6.0));
        assert!(sampled.average(windows, start + Duration::from_secs(200)).is_nan());
        assert_eq!(sampled.rate(windows, start + Duration::from_secs(200)), 0.0);
    }

    #[test]
    fn a_rate_counts_one_window_at_least() {
        let (windows, start) = (windows(&[]), Instant::now());
        let mut meter = Meter::default();
        meter.reach(windows, start, 300);
        meter.reach(windows, start, 300);
        assert_eq!(meter.total, 300);
        assert_eq!(meter.rate(windows, start), 10.0, "300 in a window of 30 s");
        assert_eq!(meter.rate(windows, start + Duration::from_secs(40)), 7.5);
    }

    #[test]
    fn windows_are_configured() {
        let windows =
            windows(&[("metrics.sample.window.ms", "1000"), ("metrics.num.samples", "3")]);
        assert_eq!(windows.all(), Duration::from_secs(3));
    }
}
