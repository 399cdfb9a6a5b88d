//! `perf rebalance`: a cluster of many connectors that gets a worker and loses one. How long until
//! every task runs again, ours and the JVM's.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::rig::distributed::{ClusterWorker, Kind, Spread};
use crate::rig::kafka::{Kafka, java_with, libs, produced};
use crate::rig::{pause, worker};

/// Longest wait for a cluster to come to rest.
const LIMIT: Duration = Duration::from_secs(900);

/// What is measured.
pub struct Options {
    pub connectors: usize,
    pub jvm: bool,
    /// `session.timeout.ms`: how long a killed worker is believed to live.
    pub session_ms: u64,
}

/// Seconds from the event to the state in which everything runs.
struct Took {
    settle: f64,
    add: f64,
    kill: f64,
}

pub fn run(options: &Options) {
    let kafka = Kafka::start();
    println!(
        "| {} connectors of one task | third worker started, s | one killed, s |",
        options.connectors
    );
    println!("|---|---|---|");
    let kinds = if options.jvm { &[Kind::Ours, Kind::Jvm][..] } else { &[Kind::Ours] };
    for kind in kinds {
        let took = measure(*kind, &kafka, options);
        println!("| {kind:?} | {:.1} | {:.1} |", took.add, took.kill);
        eprintln!("{kind:?}: two workers had all of it after {:.1} s", took.settle);
    }
}

fn measure(kind: Kind, kafka: &Kafka, options: &Options) -> Took {
    let dir = tempfile::tempdir().expect("a folder");
    let group = format!("perf-{kind:?}").to_lowercase();
    let more =
        format!("session.timeout.ms={}\nscheduled.rebalance.max.delay.ms=0\n", options.session_ms);
    let launch = || {
        let command = match kind {
            Kind::Jvm => java_with(&libs(), "2g", &[]),
            Kind::Ours => Command::new(worker::binary()),
        };
        ClusterWorker::launch_as(kind, command, dir.path(), &kafka.bootstrap(), &group, &more)
    };
    let mut first = launch();
    first.wait();
    let mut second = launch();
    second.wait();
    let start = Instant::now();
    configure(kafka, dir.path(), &group, options.connectors);
    settled(&first, &[&first, &second], options.connectors);
    let settle = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let mut third = launch();
    settled(&first, &[&first, &second, &third], options.connectors);
    let add = start.elapsed().as_secs_f64();
    let start = Instant::now();
    third.process.kill();
    settled(&first, &[&first, &second], options.connectors);
    Took { settle, add, kill: start.elapsed().as_secs_f64() }
}

/// The connectors' and their tasks' configurations, straight into the config topic, as a leader
/// writes them: through REST each connector would be a rebalance of its own.
fn configure(kafka: &Kafka, dir: &Path, group: &str, connectors: usize) {
    let class = "org.apache.kafka.connect.file.FileStreamSource";
    let file = dir.join("not-there").display().to_string();
    let mut lines = String::new();
    for number in 0..connectors {
        let name = format!("c{number:04}");
        let basic = format!(r#""file":"{file}","topic":"perf-rebalance""#);
        lines += &format!(
            "connector-{name}\t{{\"properties\":{{\"connector.class\":\"{class}Connector\",\
             \"tasks.max\":\"1\",\"name\":\"{name}\",{basic}}}}}\n\
             task-{name}-0\t{{\"properties\":{{\"task.class\":\"{class}Task\",\
             \"batch.size\":\"2000\",{basic}}}}}\n\
             commit-{name}\t{{\"tasks\":1}}\n"
        );
    }
    let mut kcat = kafka.kcat();
    kcat.args(["-P", "-t", &format!("{group}-config"), "-p", "0", "-K", "\t"]);
    produced(kcat, &lines);
}

fn settled(ask: &ClusterWorker, workers: &[&ClusterWorker], connectors: usize) {
    let start = Instant::now();
    let mut last = None;
    while !last
        .as_ref()
        .is_some_and(|spread: &Spread| spread.is_even(workers, connectors, connectors))
    {
        assert!(start.elapsed() < LIMIT, "not at rest: {last:?}");
        pause(Duration::from_millis(50));
        last = Spread::of(ask).or(last);
    }
}
