//! `perf start` and `perf steady`: how soon a worker works, what it needs when idle, and whether its
//! memory stays flat.

use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::rig::kafka::Kafka;
use crate::rig::process::Process;
use crate::rig::worker::{Worker, binary, get, properties, worker_file};
use crate::rig::{free_port, pause};
use crate::{events, scale};

/// Bytes from `/proc/<pid>/status`, in KiB.
fn memory_kib(id: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("a live process");
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).expect("a number")
}

/// Start to REST, start to the first record, idle memory; each the median of `runs`.
pub fn start(runs: usize) {
    let kafka = Kafka::start();
    kafka.create_topic("perf-start", 1);
    kafka.produce("perf-start", 0, "none", false, &format!("{}\n", events::event(1)));
    let (mut to_rest, mut to_first, mut idle) = (Vec::new(), Vec::new(), Vec::new());
    // The first start, which is not counted, has the broker make its topic of offsets.
    for run in 0..=runs {
        let dir = tempfile::tempdir().expect("a folder");
        let took = dir.path().join("took");
        let name = format!("start-{run}");
        let connector = properties(
            dir.path(),
            "connector.properties",
            &[
                ("name", &name),
                ("connector.class", "millrace.NullSinkConnector"),
                ("topics", "perf-start"),
                ("null.latency.file", took.to_str().expect("a path")),
            ],
        );
        let began = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let (mut process, rest, _) = until_rest(&kafka.bootstrap(), dir.path(), Some(&connector));
        pause(Duration::from_secs(2));
        process.terminate();
        assert!(process.wait(Duration::from_secs(20)).success(), "{}", process.log());
        let taken = std::fs::read(format!("{}-{name}-0", took.display())).expect("latencies");
        let at = i64::from_be_bytes(taken[8..16].try_into().expect("eight bytes"));
        if run == 0 {
            continue;
        }
        to_rest.push(rest.as_secs_f64() * 1e3);
        to_first.push((at as f64 - began.as_micros() as f64) / 1e3);
        let dir = tempfile::tempdir().expect("a folder");
        let (process, ..) = until_rest(&kafka.bootstrap(), dir.path(), None);
        pause(Duration::from_secs(2));
        idle.push(memory_kib(process.id(), "VmRSS") as f64 / 1024.0);
    }
    println!("| start to REST, ms | start to the first record, ms | idle memory, MiB |");
    println!("|---|---|---|");
    let all = [to_rest, to_first, idle].map(|values| crate::table::median(&values));
    println!("| {:.1} | {:.1} | {:.1} |", all[0], all[1], all[2]);
}

fn until_rest(
    bootstrap: &str,
    dir: &std::path::Path,
    connector: Option<&std::path::Path>,
) -> (Process, Duration, u16) {
    let port = free_port();
    let listener = format!("http://127.0.0.1:{port}");
    let file = worker_file(dir, bootstrap, &[("listeners", &listener)]);
    let mut command = Command::new(binary());
    command.arg("connect-standalone").arg(&file).args(connector);
    let start = Instant::now();
    let mut process = Process::start(&mut command, &dir.join("worker.log"));
    while get(port, "/").is_none() {
        assert!(process.exited().is_none(), "{}", process.log());
        assert!(start.elapsed() < Duration::from_secs(20), "{}", process.log());
        pause(Duration::from_micros(500));
    }
    (process, start.elapsed(), port)
}

/// Reads a topic at full speed again and again, each time by a new connector, and watches the
/// worker's memory.
pub fn steady(minutes: f64, records: u64) {
    let kafka = Kafka::start();
    scale::fill(&kafka.bootstrap(), "perf-steady", 2, records);
    let dir = tempfile::tempdir().expect("a folder");
    let worker = Worker::start(dir.path(), &kafka.bootstrap(), &[("millrace.cores", "1")], &[]);
    let (begin, end) = (Instant::now(), Duration::from_secs_f64(minutes * 60.0));
    let mut samples: Vec<u64> = Vec::new();
    let mut cycles = 0;
    while begin.elapsed() < end {
        let name = format!("steady-{cycles}");
        let config = serde_json::json!({
            "connector.class": "millrace.NullSinkConnector",
            "topics": "perf-steady",
            "tasks.max": "2",
            "null.format": "json",
        });
        let (status, answer) =
            worker.call("PUT", &format!("/connectors/{name}/config"), &config.to_string());
        assert_eq!(status, 201, "{answer}");
        // Until the worker has nothing to do: its CPU time stands still.
        let mut busy = false;
        loop {
            let before = ticks(worker.process.id());
            pause(Duration::from_millis(250));
            let now = memory_kib(worker.process.id(), "VmRSS");
            samples.push(now);
            let used = ticks(worker.process.id()) - before;
            busy |= used > 5;
            if (busy && used <= 2) || begin.elapsed() > end {
                break;
            }
        }
        worker.call("DELETE", &format!("/connectors/{name}"), "");
        cycles += 1;
        // The first cycle grows what is kept: buffers, pools, code that is paged in.
        if cycles == 1 {
            samples.clear();
        }
    }
    let tenth = (samples.len() / 20).max(1);
    let shown: Vec<String> =
        samples.iter().step_by(tenth).map(|kib| format!("{:.1}", *kib as f64 / 1024.0)).collect();
    let (min, max) = (samples.iter().min(), samples.iter().max());
    let (min, max) = (*min.unwrap_or(&0) as f64 / 1024.0, *max.unwrap_or(&0) as f64 / 1024.0);
    println!("resident memory in MiB, one sample in {tenth}: {}", shown.join(" "));
    println!(
        "{minutes} min, {cycles} times {records} records by a new connector each; min {min:.1}, max \
         {max:.1}, max - min {:.1} MiB ({} samples, the first cycle left out)",
        max - min,
        samples.len()
    );
}

/// Hundredths of a second of CPU time.
pub fn ticks(id: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("a live process");
    let after_name = stat.rsplit(')').next().expect("a name in parentheses");
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let number = |at: usize| fields[at].parse::<u64>().expect("a number");
    number(11) + number(12)
}
