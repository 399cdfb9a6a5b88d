//! The JVM worker's side: its connectors compiled, its warm-up left out.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::events::TOPIC;
use crate::rig::connect::JvmWorker;
use crate::rig::kafka::{Kafka, libs};
use crate::rig::wait_for;
use crate::rig::worker::properties;
use crate::scenario::{Kind, Scenario};
use crate::{ours, rig};

/// Compiles the counting connectors of `perf/jvm` into a folder that goes onto the class path.
pub fn compile(into: &Path) -> PathBuf {
    let classes = into.join("classes");
    std::fs::create_dir_all(&classes).expect("a folder");
    let source = crate::rig::project().join("perf/jvm");
    let done = Command::new("javac")
        .arg("-cp")
        .arg(format!("{}/*", libs().display()))
        .arg("-d")
        .arg(&classes)
        .arg(source.join("NullSinkConnector.java"))
        .arg(source.join("EventSourceConnector.java"))
        .status()
        .expect("javac");
    assert!(done.success(), "javac failed");
    classes
}

/// Nanoseconds of CPU a record, between the first third of the records and the last.
pub fn measure(
    scenario: &Scenario,
    kafka: &Kafka,
    records: u64,
    classes: &Path,
    run: usize,
) -> f64 {
    let dir = tempfile::tempdir().expect("a folder");
    let out = dir.path().join("out.txt");
    let line = crate::events::event(1);
    let (name, iterations) = (format!("jvm-{}-{run}", scenario.name), records.to_string());
    let mut pairs = vec![("name", name.as_str()), ("tasks.max", "1")];
    match scenario.kind {
        Kind::Null => {
            pairs.extend([("connector.class", "NullSinkConnector"), ("topics", scenario.topic)])
        }
        Kind::File => pairs.extend([
            ("connector.class", "org.apache.kafka.connect.file.FileStreamSinkConnector"),
            ("topics", TOPIC),
            ("file", out.to_str().expect("a path")),
        ]),
        Kind::Source => pairs.extend([
            ("connector.class", "EventSourceConnector"),
            ("topic", "perf-source-jvm"),
            ("iterations", &iterations),
            ("line", &line),
            ("producer.override.compression.type", "lz4"),
            ("producer.override.batch.size", "65536"),
            ("producer.override.linger.ms", "20"),
        ]),
        Kind::FileSource => unreachable!("the JVM's file source has no end to measure at"),
        Kind::S3 | Kind::Elasticsearch => {
            unreachable!("no such sink for the JVM is on Maven Central")
        }
    }
    let own = if scenario.instead.is_empty() { scenario.connector } else { scenario.instead };
    let own = ours::filled_in(own, dir.path());
    pairs.extend(own.iter().map(|(key, value)| (*key, value.as_str())));
    let connector = properties(dir.path(), "connector.properties", &pairs);
    let worker = format!(
        "bootstrap.servers={}\nkey.converter=org.apache.kafka.connect.storage.StringConverter\n\
         value.converter=org.apache.kafka.connect.storage.StringConverter\n\
         offset.flush.interval.ms=1000\n",
        kafka.bootstrap()
    );
    // The JIT's second tier and the default collector: the JVM as users run it.
    let mut jvm =
        JvmWorker::start_tuned(dir.path(), &worker, &[&connector], Some(&class_path(classes)));
    match scenario.kind {
        Kind::File => from_file(&mut jvm, &out, records),
        _ => from_counts(&mut jvm, records),
    }
}

/// Our counting connectors, and the plug-ins of others that are there.
fn class_path(classes: &Path) -> String {
    let others = ["debezium-3.3.1.Final", "apicurio-converter-2.6.13.Final"];
    let others = others.map(|name| format!("{}/lib/*", rig::cache().join(name).display()));
    format!("{}:{}", classes.display(), others.join(":"))
}

/// From the lines that the counting connectors print.
fn from_counts(jvm: &mut JvmWorker, records: u64) -> f64 {
    let counted = |log: &str| -> Vec<(u64, u64)> {
        log.lines()
            .filter_map(|line| {
                let mut words = line.strip_prefix("PERF ")?.split(' ');
                Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
            })
            .collect()
    };
    let last = records / 250_000 * 250_000;
    wait_for("the JVM worker to finish", Duration::from_secs(300), || {
        assert!(jvm.process.exited().is_none(), "it died:\n{}", jvm.process.log());
        counted(&jvm.process.log()).last().is_some_and(|(count, _)| *count >= last)
    });
    let points = counted(&jvm.process.log());
    let warm = points.iter().find(|(count, _)| *count >= records / 3).expect("a first third");
    let end = points.last().expect("an end");
    (end.1 - warm.1) as f64 / (end.0 - warm.0) as f64
}

/// From the growth of the sink's file, each line 255 bytes.
fn from_file(jvm: &mut JvmWorker, out: &Path, records: u64) -> f64 {
    let lines = || std::fs::metadata(out).map_or(0, |file| file.len() / 255);
    let mut at = |share: u64| {
        wait_for("the JVM worker to write", Duration::from_secs(300), || {
            assert!(jvm.process.exited().is_none(), "it died:\n{}", jvm.process.log());
            lines() >= share
        });
        (lines(), cpu_ns(jvm.process.id()))
    };
    let warm = at(records / 3);
    let end = at(records - 1);
    (end.1 - warm.1) as f64 / (end.0 - warm.0) as f64
}

/// CPU time of a running process, from the kernel's clock ticks.
fn cpu_ns(id: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("a running process");
    let after_name = stat.rsplit(')').next().expect("a name in parentheses");
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: u64 =
        fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime");
    ticks * 10_000_000
}
