//! What the bench says: the table for people, the report for programs.

use std::fmt::Write as _;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::super::progress::{bytes, grouped};
use super::figures::{Run, median, medians, spread};
use super::jvm;
use super::plan::{Kafka, Plan, masked};

/// One side's runs.
pub(super) struct Series {
    pub name: &'static str,
    pub version: String,
    pub runs: Vec<Run>,
}

impl Series {
    fn values(&self, of: impl Fn(&Run) -> f64) -> Vec<f64> {
        let whole: Vec<f64> = self.runs.iter().filter(|run| !run.interrupted).map(&of).collect();
        if whole.is_empty() { self.runs.iter().map(of).collect() } else { whole }
    }

    fn cpu(&self) -> Vec<f64> {
        self.values(Run::cpu_us_per_record)
    }

    fn rate(&self) -> Vec<f64> {
        self.values(|run| run.records as f64 / run.wall.as_secs_f64().max(1e-9))
    }
}

/// The processor, the kernel, the memory.
fn machine() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let after = |path: &str, name: &str| {
        let text = read(path);
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.split_once(':'));
        line.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let memory = after("/proc/meminfo", "MemTotal");
    let kib: u64 = memory.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0);
    json!({
        "processor": after("/proc/cpuinfo", "model name"),
        "cores": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        "memory_bytes": kib * 1024,
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
    })
}

/// The JSON report.
pub(super) fn json(plan: &Plan, all: &[Series], began: SystemTime) -> Value {
    let time = jiff::Timestamp::try_from(began).map(|time| time.to_string()).unwrap_or_default();
    let sides: Vec<Value> = all
        .iter()
        .map(|series| {
            json!({
                "side": series.name,
                "version": series.version,
                "runs": series.runs.iter().map(Run::json).collect::<Vec<_>>(),
                "median": medians(&series.runs),
            })
        })
        .collect();
    let kafka = match &plan.kafka {
        Kafka::Embedded => json!({"kind": "embedded"}),
        Kafka::Given(servers) => json!({"kind": "given", "bootstrap_servers": servers}),
    };
    json!({
        "format": 1,
        "millrace": env!("CARGO_PKG_VERSION"),
        "began": time,
        "machine": machine(),
        "kafka": kafka,
        "loop": if plan.rate.is_some() { "open" } else { "closed" },
        "options": {
            "records": plan.records,
            "duration_seconds": plan.duration.map(|most| most.as_secs_f64()),
            "rate": plan.rate,
            "warm_up_records": plan.warm_up,
            "runs": plan.runs,
            "partitions": plan.partitions,
            "use_topic": plan.use_topic,
            "producer": masked(&plan.producer, None),
        },
        "connector": masked(&plan.connector, Some(&plan.plugin)),
        "worker": masked(&plan.worker, None),
        "sides": sides,
        "comparison": comparison(all),
    })
}

/// The first side beside each of the others.
fn comparison(all: &[Series]) -> Value {
    let [ours, others @ ..] = all else { return Value::Null };
    others.iter().map(|other| beside(ours, other)).collect()
}

/// How many times as much CPU time the other takes a record.
fn beside(ours: &Series, other: &Series) -> Value {
    let (mine, its) = (median(&ours.cpu()), median(&other.cpu()));
    let worst = |series: &Series| {
        let (min, max) = spread(&series.cpu());
        max / min
    };
    json!({
        "of": [ours.name, other.name],
        "cpu_us_per_record": [mine, its],
        "cpu_ratio": its / mine,
        "records_per_second_ratio": median(&ours.rate()) / median(&other.rate()),
        "cpu_spread": [worst(ours), worst(other)],
    })
}

/// The table.
pub(super) fn table(plan: &Plan, all: &[Series]) -> String {
    let mut text = String::new();
    for series in all {
        let (cpu, rate) = (series.cpu(), series.rate());
        let (least, most) = spread(&cpu);
        let count = series.runs.iter().filter(|run| !run.interrupted).count();
        let _ = writeln!(text, "{} ({}), median of {count} run(s)", series.name, series.version);
        let whole = |values: &[f64]| grouped(median(values) as u64);
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "  {name:24} {value}");
        };
        line("records a run", whole(&series.values(|run| run.records as f64)));
        let data = series.values(|run| run.bytes.unwrap_or(0) as f64);
        if median(&data) > 0.0 {
            line("bytes a run", bytes(median(&data) as u64));
        }
        line("records/s", whole(&rate));
        line("CPU a record", format!("{:.3} µs ({least:.3}–{most:.3})", median(&cpu)));
        let per_second = series.values(|run| 1e6 / run.cpu_us_per_record().max(1e-9));
        line("records per CPU-second", whole(&per_second));
        let user = median(&series.values(|run| run.cpu.user.as_secs_f64()));
        let system = median(&series.values(|run| run.cpu.system.as_secs_f64()));
        line("CPU, user + system", format!("{user:.2} s + {system:.2} s"));
        line("peak memory", bytes(median(&series.values(|run| run.peak_rss as f64)) as u64));
        let to_rest = median(&series.values(|run| run.to_rest.as_secs_f64() * 1e3));
        line("start to REST", format!("{to_rest:.0} ms"));
        let figures = medians(&series.runs);
        if let Some(latency) = figures["latency_us"].as_object() {
            let all: Vec<String> = latency
                .iter()
                .filter(|(name, _)| *name != "count" && *name != "mean")
                .map(|(name, value)| {
                    format!("{name} {:.2}", value.as_f64().unwrap_or_default() / 1e3)
                })
                .collect();
            line("latency, ms", all.join("  "));
        }
    }
    for other in &all[1..] {
        let ours = &all[0];
        let compared = beside(ours, other);
        let number = |key: &str| compared[key].as_f64().unwrap_or(f64::NAN);
        let _ = writeln!(
            text,
            "{} takes {:.2} times the CPU time of {} a record ({:.3} and {:.3} µs)",
            other.name,
            number("cpu_ratio"),
            ours.name,
            median(&other.cpu()),
            median(&ours.cpu()),
        );
        if other.name == "jvm"
            && let Some(note) = jvm::note(plan.plugin.class)
        {
            let _ = writeln!(text, "{note}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn two_sides_are_compared_by_their_medians() {
        let run = |millis| Run {
            records: 1_000,
            wall: Duration::from_secs(1),
            cpu: super::super::child::Cpu {
                user: Duration::from_millis(millis),
                system: Duration::ZERO,
            },
            ..Run::default()
        };
        let series = |name, times: [u64; 3]| Series {
            name,
            version: String::new(),
            runs: times.map(run).to_vec(),
        };
        let all = [series("millrace", [10, 30, 20]), series("jvm", [100, 300, 200])];
        let compared = comparison(&all);
        assert_eq!(compared[0]["cpu_ratio"], 10.0);
        assert_eq!(compared[0]["cpu_spread"], json!([3.0, 3.0]));
        assert_eq!(comparison(&all[..1]), json!([]));
    }

    #[test]
    fn the_machine_is_told() {
        let machine = machine();
        assert!(machine["cores"].as_u64().unwrap() > 0);
        assert!(machine["memory_bytes"].as_u64().unwrap() > 0);
        assert!(!machine["kernel"].as_str().unwrap().is_empty());
    }
}
