//! What a run gave, and what several runs give together.

use std::time::Duration;

use serde_json::{Value, json};

use super::child::Cpu;
use super::latency::Latency;

/// One run of one side.
#[derive(Clone, Debug, Default)]
pub(super) struct Run {
    /// Counted at the destination, warm-up left out.
    pub records: u64,
    /// Of values, as they were produced; `None` where the bench did not produce them.
    pub bytes: Option<u64>,
    /// For these records: from the process's start, or from the end of the warm-up.
    pub wall: Duration,
    pub cpu: Cpu,
    pub peak_rss: u64,
    /// From the process's start to the first answer of its REST API.
    pub to_rest: Duration,
    /// From the process's start to the first record that was seen delivered.
    pub to_first: Option<Duration>,
    pub latency: Option<Latency>,
    /// Ctrl-C came first.
    pub interrupted: bool,
}

/// The quantiles that are told.
pub(super) const QUANTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)];

impl Run {
    pub(super) fn cpu_us_per_record(&self) -> f64 {
        self.cpu.total().as_secs_f64() * 1e6 / self.records.max(1) as f64
    }

    /// All figures by name, in the order in which they are shown.
    pub(super) fn figures(&self) -> Vec<(&'static str, f64)> {
        let cpu = self.cpu.total().as_secs_f64();
        let wall = self.wall.as_secs_f64();
        let per = |seconds: f64| if seconds > 0.0 { self.records as f64 / seconds } else { 0.0 };
        let mut all = vec![
            ("records", self.records as f64),
            ("wall_seconds", wall),
            ("records_per_second", per(wall)),
            ("cpu_user_seconds", self.cpu.user.as_secs_f64()),
            ("cpu_system_seconds", self.cpu.system.as_secs_f64()),
            ("cpu_us_per_record", self.cpu_us_per_record()),
            ("records_per_cpu_second", per(cpu)),
            ("peak_rss_bytes", self.peak_rss as f64),
            ("start_to_rest_ms", self.to_rest.as_secs_f64() * 1e3),
        ];
        if let Some(bytes) = self.bytes {
            all.push(("bytes", bytes as f64));
        }
        if let Some(first) = self.to_first {
            all.push(("start_to_first_record_ms", first.as_secs_f64() * 1e3));
        }
        all
    }

    pub(super) fn json(&self) -> Value {
        let mut object = object(&self.figures());
        object["bytes"] = json!(self.bytes);
        object["interrupted"] = json!(self.interrupted);
        object["latency_us"] = self.latency.as_ref().map_or(Value::Null, Latency::json);
        object
    }
}

/// Whole numbers stay whole.
fn object(figures: &[(&'static str, f64)]) -> Value {
    let number = |value: f64| match value.fract() == 0.0 && value.abs() < 9e15 {
        true => json!(value as i64),
        false => json!(value),
    };
    figures.iter().map(|(name, value)| ((*name).to_owned(), number(*value))).collect()
}

/// The middle of the sorted values; of an even number, the mean of the two in the middle.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        count if count.is_multiple_of(2) => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    }
}

/// Smallest and largest.
pub(super) fn spread(values: &[f64]) -> (f64, f64) {
    let min = values.iter().copied().fold(f64::INFINITY, f64::min);
    (min, values.iter().copied().fold(f64::NEG_INFINITY, f64::max))
}

/// The median of every figure by itself; interrupted runs do not count beside whole ones.
pub(super) fn medians(runs: &[Run]) -> Value {
    let whole: Vec<&Run> = match runs.iter().filter(|run| !run.interrupted).collect::<Vec<_>>() {
        whole if whole.is_empty() => runs.iter().collect(),
        whole => whole,
    };
    let all: Vec<Vec<(&'static str, f64)>> = whole.iter().map(|run| run.figures()).collect();
    let Some(first) = all.first() else { return Value::Null };
    let middle: Vec<(&'static str, f64)> = first
        .iter()
        .map(|(name, _)| {
            let of = |run: &Vec<(&'static str, f64)>| {
                run.iter().find(|(other, _)| other == name).map(|(_, value)| *value)
            };
            (*name, median(&all.iter().filter_map(of).collect::<Vec<f64>>()))
        })
        .collect();
    let mut object = object(&middle);
    let latencies: Vec<&Latency> = whole.iter().filter_map(|run| run.latency.as_ref()).collect();
    object["latency_us"] = Latency::medians(&latencies);
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_of_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
        assert_eq!(spread(&[2.0, 1.0, 3.0]), (1.0, 3.0));
    }

    #[test]
    fn an_interrupted_run_does_not_count_beside_whole_ones() {
        let run = |records, interrupted| Run { records, interrupted, ..Run::default() };
        let middle = medians(&[run(10, false), run(1, true), run(30, false), run(20, false)]);
        assert_eq!(middle["records"], 20);
        assert_eq!(medians(&[run(1, true)])["records"], 1);
    }

    #[test]
    fn rates_follow_from_counts_and_times() {
        let run = Run {
            records: 1_000,
            wall: Duration::from_millis(500),
            cpu: Cpu { user: Duration::from_millis(150), system: Duration::from_millis(50) },
            ..Run::default()
        };
        let json = run.json();
        assert_eq!(json["records_per_second"], 2_000);
        assert_eq!(json["cpu_us_per_record"], 200);
        assert_eq!(json["records_per_cpu_second"], 5_000);
        assert!(json["bytes"].is_null() && json["latency_us"].is_null());
    }
}
