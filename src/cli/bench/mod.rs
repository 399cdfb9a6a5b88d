//! `millrace bench`: throughput, CPU time, memory and latency of any connector file.
//!
//! The worker that is measured is a process of its own, started as a user starts it, so that its
//! CPU time and memory are its alone; Kafka and the producer run elsewhere. Records are counted
//! where they arrive: by the offsets that a sink's group commits, by the end offsets of the topics
//! that a source writes.
//!
//! `plan` reads the files → `clients` fills the topics → `run` measures, side by side, turn by
//! turn → `report` tells.

pub(crate) mod bare;
mod child;
mod clients;
mod figures;
mod jvm;
mod latency;
mod open_loop;
mod plan;
mod records;
mod report;
mod rest_client;
mod run;
mod tap;

use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use super::progress::{bytes, grouped};
use super::{Failure, broker, loggers, signals};
use child::Process;
use clients::{Access, Filled, Filling};
use latency::Latency;
use plan::{Kafka, Plan};
use report::Series;
use run::{Bench, Side};

/// The exit code after Ctrl-C.
const INTERRUPTED: u8 = 130;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The connector: .properties, or JSON
    connector: PathBuf,
    /// The worker's properties; without them the JSON converter without schemas and, beside it,
    /// defaults
    #[arg(long)]
    worker: Option<PathBuf>,
    /// Records of a run: put into the topics before the first one, or, for a source, counted until
    /// the run ends; 1,000,000 for sinks
    #[arg(long)]
    records: Option<u64>,
    /// The longest time that counts of a run (10s, 500ms, 2m); with --rate, how long records are
    /// made: 10s
    #[arg(long, value_parser = duration)]
    duration: Option<Duration>,
    /// Records a second, each due at a fixed time; latency counts from then, however late the record
    /// could leave (corrected for coordinated omission). Without it: a full topic at full speed
    #[arg(long)]
    rate: Option<f64>,
    /// Bytes of each record's value, a JSON event
    #[arg(long, default_value_t = 254)]
    record_size: usize,
    /// Each record's value; ${n} is its number, ${due} its time in ms since 1970, ${random} 16
    /// hexadecimal digits
    #[arg(long, conflicts_with = "input")]
    template: Option<String>,
    /// The lines of this file are the values, again and again
    #[arg(long)]
    input: Option<PathBuf>,
    /// Records at the start of each run that do not count; by default 2 s of them with --rate (JVM:
    /// 10 s), else none (JVM: a third)
    #[arg(long)]
    warm_up: Option<u64>,
    /// Runs of each side
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Use this Kafka instead of the embedded broker
    #[arg(long)]
    bootstrap_servers: Option<String>,
    /// Read this topic instead of those that the sink's file names
    #[arg(long)]
    topic: Option<String>,
    /// Read what is in the topics instead of filling them
    #[arg(long)]
    use_topic: bool,
    /// Partitions of the topics that are made
    #[arg(long, default_value_t = 1)]
    partitions: i32,
    /// Settings of the producer that fills the topics, as KEY=VALUE; may be repeated
    #[arg(long, value_parser = pair)]
    producer: Vec<(String, String)>,
    /// Run the JVM's Kafka Connect beside it, from the jars of this folder, and print the ratio;
    /// needs a JDK
    #[arg(long, value_name = "JVM_LIB_DIR")]
    vs: Option<PathBuf>,
    /// Run ours against ours: the difference that noise alone makes
    #[arg(long)]
    aa: bool,
    /// Run a bare loop over our Kafka client beside it: what Kafka and the machine take alone
    #[arg(long)]
    bare: bool,
    /// Write the report to this file, as JSON; times are in the units that the names end in
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write the latencies to this file, an HdrHistogram interval log (V2); in µs
    #[arg(long, requires = "rate")]
    hlog: Option<PathBuf>,
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    loggers::start("warn");
    let plan = Plan::of(&arguments)?;
    let stop = signals::stop_flag();
    let dir = tempfile::Builder::new().prefix("millrace-bench-").tempdir().map_err(|error| {
        Failure::startup(format!("{}: {error}", std::env::temp_dir().display()))
    })?;
    let began = SystemTime::now();
    let (broker, access) = kafka(&plan, dir.path())?;
    let mut all = Vec::new();
    let outcome = measure(&plan, access, dir.path(), &stop, &mut all);
    drop(broker);
    all.retain(|series: &Series| !series.runs.is_empty());
    // What was measured is told, also when the rest failed.
    if !all.is_empty() {
        print!("{}", report::table(&plan, &all));
        let _ = std::io::stdout().flush();
        write(&arguments, &plan, &all, began)?;
    }
    outcome?;
    if stop.load(Ordering::SeqCst) {
        return Err(Failure::new(INTERRUPTED, "stopped before the end"));
    }
    Ok(())
}

/// The embedded broker as a process, or nothing, and how to reach Kafka.
fn kafka(plan: &Plan, dir: &Path) -> Result<(Option<Process>, Access), Failure> {
    // The worker's own keys for its clients (security, time limits) are the bench's too.
    let mut settings = plan.worker.clone();
    if let Kafka::Given(servers) = &plan.kafka {
        settings.insert("bootstrap.servers".to_owned(), servers.clone());
        return Ok((None, Access(settings)));
    }
    let ours = std::env::current_exe()
        .map_err(|error| Failure::startup(format!("the program's own file: {error}")))?;
    let mut command = Command::new(ours);
    command.args(["broker", "--listen", "127.0.0.1:0", "--dir"]).arg(dir.join("broker"));
    let mut process = Process::start(command, &dir.join("broker.log"))?;
    let asked = Instant::now();
    loop {
        let log = process.log();
        let found = log.lines().find_map(|line| line.split_once("listens on ")?.1.split_once(". "));
        if let Some((address, _)) = found {
            settings.insert("bootstrap.servers".to_owned(), address.to_owned());
            return Ok((Some(process), Access(settings)));
        }
        process.must_live("the embedded broker")?;
        if asked.elapsed() > Duration::from_secs(20) {
            return Err(Failure::startup("the embedded broker does not start"));
        }
        broker::rest(Duration::from_millis(2));
    }
}

fn measure(
    plan: &Plan,
    access: Access,
    dir: &Path,
    stop: &Arc<AtomicBool>,
    all: &mut Vec<Series>,
) -> Result<(), Failure> {
    let mut sides = vec![Side::Ours];
    if plan.aa {
        sides.push(Side::Control);
    }
    if let Some(libs) = &plan.vs {
        sides.push(Side::Jvm(jvm::Jvm::new(libs, dir)?));
    }
    if plan.bare {
        sides.push(Side::Bare);
    }
    for side in &sides {
        let version = match side {
            Side::Jvm(jvm) => jvm.version.clone(),
            _ => env!("CARGO_PKG_VERSION").to_owned(),
        };
        all.push(Series { name: side.name(), version, runs: Vec::new() });
    }
    let filled = fill(plan, &access, stop)?;
    let unique = format!("{:x}", clients::now_ms());
    let bench = Bench { plan, access, dir, stop: Arc::clone(stop), unique, filled };
    for number in 1..=plan.runs {
        for (side, series) in sides.iter().zip(all.iter_mut()) {
            if stop.load(Ordering::SeqCst) {
                return Ok(());
            }
            let run = bench.measure(side, number)?;
            eprintln!(
                "run {number}/{} {}: {} records in {:.2} s, {:.3} µs CPU a record, {}",
                plan.runs,
                side.name(),
                grouped(run.records),
                run.wall.as_secs_f64(),
                run.cpu_us_per_record(),
                bytes(run.peak_rss),
            );
            series.runs.push(run);
        }
    }
    Ok(())
}

/// Fills the topics for a closed loop; a topic that has records is not touched.
fn fill(plan: &Plan, access: &Access, stop: &Arc<AtomicBool>) -> Result<Filled, Failure> {
    if !plan.is_sink() || plan.use_topic || plan.rate.is_some() {
        return Ok(Filled::default());
    }
    let span = clients::prepare(access, plan.topics(), plan.partitions)?;
    if span.records() > 0 {
        return Err(Failure::new(
            super::USAGE,
            format!(
                "{} has {} records; read them with --use-topic, or name an empty topic with --topic",
                plan.topics().join(","),
                grouped(span.records())
            ),
        ));
    }
    let records = plan.records.unwrap_or(0);
    eprintln!("filling {} with {} records", plan.topics().join(","), grouped(records));
    let filling = Filling {
        topics: plan.topics().to_vec(),
        maker: Arc::clone(&plan.maker),
        first: 0,
        records,
        rate: None,
        settings: plan.producer.clone(),
    };
    clients::fill(access, filling, &Arc::new(AtomicU64::new(0)), stop)
}

/// The files that were asked for.
fn write(
    arguments: &Arguments,
    plan: &Plan,
    all: &[Series],
    began: SystemTime,
) -> Result<(), Failure> {
    let failed = |path: &Path, error: std::io::Error| {
        Failure::new(1, format!("{} cannot be written: {error}", path.display()))
    };
    if let Some(path) = &arguments.json {
        let text = format!("{:#}\n", report::json(plan, all, began));
        std::fs::write(path, text).map_err(|error| failed(path, error))?;
    }
    if let Some(path) = &arguments.hlog {
        let runs: Vec<(String, &Latency)> = all
            .iter()
            .flat_map(|series| {
                let tag = |at: usize| format!("{}-{}", series.name, at + 1);
                let runs = series.runs.iter().enumerate();
                runs.filter_map(move |(at, run)| Some((tag(at), run.latency.as_ref()?)))
            })
            .collect();
        let file = std::fs::File::create(path).map_err(|error| failed(path, error))?;
        let mut out = BufWriter::new(file);
        latency::write_log(&mut out, &runs, began)
            .and_then(|()| out.flush())
            .map_err(|error| failed(path, error))?;
    }
    Ok(())
}

/// `10s`, `500ms`, `2m`; a bare number is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        unit => return Err(format!("{unit} is none of ms, s, m, h")),
    };
    let number: f64 = digits.parse().map_err(|_| format!("{digits:?} is no number"))?;
    Duration::try_from_secs_f64(number * factor)
        .ok()
        .filter(|time| !time.is_zero())
        .ok_or_else(|| "must be more than 0".to_owned())
}

/// `KEY=VALUE`.
fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("3"), Ok(Duration::from_secs(3)));
        for wrong in ["", "s", "0s", "-1s", "5d", "NaN"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(pair("linger.ms=5"), Ok(("linger.ms".to_owned(), "5".to_owned())));
        assert!(pair("linger").is_err());
    }
}
