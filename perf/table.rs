//! Runs the scenarios, ours and the JVM's in turn, and prints medians, spreads and ratios.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::rig::kafka::Kafka;
use crate::scenario::Scenario;
use crate::{events, jvm, ours, scenario};

pub struct Options {
    pub records: u64,
    pub runs: usize,
    pub only: Vec<String>,
    pub jvm: bool,
    pub save: Option<PathBuf>,
}

/// The figures of one scenario, in ns of CPU a record.
struct Row {
    scenario: Scenario,
    ours: Vec<f64>,
    jvm: Vec<f64>,
    peak_rss_mb: f64,
}

/// The one in the middle; of an even number the mean of the two in the middle; NaN of none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (Some(low), Some(high)) =
        (sorted.get(sorted.len().saturating_sub(1) / 2), sorted.get(sorted.len() / 2))
    else {
        return f64::NAN;
    };
    f64::midpoint(*low, *high)
}

/// How [`median`] came about.
fn median_of(runs: usize) -> String {
    let even = if runs.is_multiple_of(2) { " (the mean of the middle two)" } else { "" };
    format!("median of {runs} runs{even}")
}

fn spread(values: &[f64]) -> String {
    let min = values.iter().copied().fold(f64::INFINITY, f64::min);
    let max = values.iter().copied().fold(0.0, f64::max);
    format!("{:.2}–{:.2}", min / 1e3, max / 1e3)
}

pub fn run(options: &Options) {
    let dir = tempfile::tempdir().expect("a folder");
    let side = jvm::prepare(dir.path());
    eprintln!("starting Kafka and filling {} events …", options.records);
    let kafka = Kafka::start();
    for topic in [ours::SOURCE_TOPIC, jvm::SOURCE_TOPIC] {
        kafka.create_topic(topic, 1);
    }
    let mut rows = Vec::new();
    let chosen = scenario::all().into_iter().filter(|scenario| {
        options.only.is_empty() || options.only.iter().any(|only| only == scenario.name)
    });
    let chosen: Vec<Scenario> = chosen.collect();
    let mut filled = Vec::new();
    for scenario in chosen {
        if !filled.contains(&scenario.topic) {
            events::fill(&kafka, scenario.topic, options.records);
            filled.push(scenario.topic);
        }
        let mut row = Row { scenario, ours: Vec::new(), jvm: Vec::new(), peak_rss_mb: 0.0 };
        for run in 0..options.runs {
            let used = ours::measure(&row.scenario, &kafka, options.records, run, &[]);
            eprintln!(
                "{} ours: {:.0} ns, {:.0} MB",
                row.scenario.name, used.cpu_ns_per_record, used.peak_rss_mb
            );
            row.peak_rss_mb = row.peak_rss_mb.max(used.peak_rss_mb);
            row.ours.push(used.cpu_ns_per_record);
            if options.jvm && row.scenario.jvm {
                let jvm = jvm::measure(&row.scenario, &kafka, options.records, &side, run);
                eprintln!("{} JVM: {jvm:.0} ns", row.scenario.name);
                row.jvm.push(jvm);
            }
        }
        rows.push(row);
    }
    let text = print(&rows, options);
    println!("{text}");
    if let Some(folder) = &options.save {
        save(folder, &rows, &text);
    }
}

fn print(rows: &[Row], options: &Options) -> String {
    let mut text = String::from(
        "| path | ours, µs a record (spread) | JVM 4.1 (spread) | ratio | budget | peak memory |\n\
         |---|---|---|---|---|---|\n",
    );
    let mut bounded = false;
    for row in rows {
        let ours = median(&row.ours);
        let bound = row.scenario.at_least.and_then(|name| {
            rows.iter().find(|row| row.scenario.name == name && !row.jvm.is_empty())
        });
        let (jvm, ratio) = match (bound, row.jvm.is_empty()) {
            (None, true) => ("–".to_owned(), "–".to_owned()),
            (Some(bound), _) => {
                let jvm = median(&bound.jvm);
                bounded = true;
                (format!("> {:.2} \\*", jvm / 1e3), format!("> {:.1}x", jvm / ours))
            }
            (None, false) => {
                let jvm = median(&row.jvm);
                (format!("{:.2} ({})", jvm / 1e3, spread(&row.jvm)), format!("{:.1}x", jvm / ours))
            }
        };
        let must = if row.scenario.ratio > 0.0 {
            format!(", {}x", row.scenario.ratio)
        } else {
            String::new()
        };
        let _ = writeln!(
            text,
            "| {} | {:.2} ({}) | {jvm} | {ratio} | {:.2}{must} | {:.0} MB |",
            row.scenario.title,
            ours / 1e3,
            spread(&row.ours),
            f64::from(row.scenario.budget_ns) / 1e3,
            row.peak_rss_mb,
        );
    }
    if bounded {
        text.push_str(
            "\n\\* The JVM's worker with the same converter and transforms, each record written as a \
             line of JSON, but without a sink: there is none on Maven Central.\n",
        );
    }
    let _ = write!(
        text,
        "\nCPU time of the whole process a record; {} records of 254 bytes, one partition, lz4, one \
         core, {}, both workers in turn.\nAgain: cargo build --release && cargo run \
         --release -p millrace-perf -- table --records {} --runs {}",
        options.records,
        median_of(options.runs),
        options.records,
        options.runs
    );
    text
}

fn save(folder: &std::path::Path, rows: &[Row], text: &str) {
    std::fs::create_dir_all(folder).expect("a folder");
    let mut csv = String::from("scenario,side,run,cpu_ns_per_record\n");
    for row in rows {
        for (side, values) in [("ours", &row.ours), ("jvm", &row.jvm)] {
            for (run, value) in values.iter().enumerate() {
                let _ = writeln!(csv, "{},{side},{run},{value:.1}", row.scenario.name);
            }
        }
    }
    std::fs::write(folder.join("raw.csv"), csv).expect("raw.csv");
    let machine = machine();
    std::fs::write(folder.join("README.md"), format!("# A run\n\n{machine}\n\n{text}\n"))
        .expect("README.md");
}

/// The processor, the kernel, the versions.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map(|text| text.trim_start_matches([' ', '\t', ':']).to_owned())
        .unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let kernel = read("/proc/sys/kernel/osrelease");
    let commit = std::process::Command::new("git")
        .args(["rev-parse", "--short", "HEAD"])
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default();
    format!(
        "{cpu}, {cores} cores, Linux {}, Kafka and Connect 4.1.0, commit {commit}.",
        kernel.trim()
    )
}

#[cfg(test)]
mod tests {
    use super::{median, median_of};

    #[test]
    fn a_median_is_the_middle_or_the_mean_of_the_middle_two() {
        assert!(median(&[]).is_nan());
        assert_eq!(median(&[3.0]), 3.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
        assert_eq!(median(&[9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[9.0, 1.0, 2.0, 4.0]), 3.0);
        assert_eq!(median_of(3), "median of 3 runs");
        assert_eq!(median_of(2), "median of 2 runs (the mean of the middle two)");
    }
}
