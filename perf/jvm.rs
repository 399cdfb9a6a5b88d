//! The JVM worker's side: its connectors compiled, its warm-up left out.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::events::TOPIC;
use crate::offsets::EndOffset;
use crate::rig::connect::JvmWorker;
use crate::rig::kafka::{Kafka, libs};
use crate::rig::worker::properties;
use crate::rig::{pause, wait_for};
use crate::scenario::{Kind, Scenario};
use crate::{life, ours, rig};

/// Where the JVM's sources write.
pub const SOURCE_TOPIC: &str = "perf-source-jvm";

/// What its runs have in common.
pub struct Side {
    /// The compiled connectors of `perf/jvm`.
    classes: PathBuf,
    /// What its source of events sends; written when it is first needed.
    lines: PathBuf,
}

/// Compiles the connectors of `perf/jvm` into a folder that goes onto the class path.
pub fn prepare(dir: &Path) -> Side {
    let classes = dir.join("classes");
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
    Side { classes, lines: dir.join("lines.txt") }
}

/// Nanoseconds of CPU a record, between the first third of the records and the last.
pub fn measure(scenario: &Scenario, kafka: &Kafka, records: u64, side: &Side, run: usize) -> f64 {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("lines.txt");
    let path = file.to_str().expect("a path");
    let (name, iterations) = (format!("jvm-{}-{run}", scenario.name), records.to_string());
    let mut pairs = vec![("name", name.as_str()), ("tasks.max", "1")];
    match scenario.kind {
        Kind::Null => {
            pairs.extend([("connector.class", "NullSinkConnector"), ("topics", scenario.topic)])
        }
        Kind::File => pairs.extend([
            ("connector.class", "org.apache.kafka.connect.file.FileStreamSinkConnector"),
            ("topics", TOPIC),
            ("file", path),
        ]),
        Kind::Source => {
            if !side.lines.exists() {
                ours::write_generated(kafka, &side.lines);
            }
            pairs.extend([
                ("connector.class", "EventSourceConnector"),
                ("topic", SOURCE_TOPIC),
                ("iterations", &iterations),
                ("lines.file", side.lines.to_str().expect("a path")),
            ]);
            pairs.extend_from_slice(ours::INTO_KAFKA);
        }
        Kind::FileSource => {
            ours::write_lines(&file, records);
            pairs.extend([
                ("connector.class", "org.apache.kafka.connect.file.FileStreamSourceConnector"),
                ("topic", SOURCE_TOPIC),
                ("file", path),
            ]);
            pairs.extend_from_slice(ours::INTO_KAFKA);
        }
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
    let mut sent = EndOffset::of(&kafka.bootstrap(), SOURCE_TOPIC);
    let before = sent.get();
    // The JIT's second tier and the default collector: the JVM as users run it.
    let classes = class_path(&side.classes);
    let mut jvm = JvmWorker::start_tuned(dir.path(), &worker, &[&connector], Some(&classes));
    match scenario.kind {
        Kind::File => {
            // Each line of 255 bytes; the last one may not be flushed.
            let lines = || std::fs::metadata(&file).map_or(0, |file| file.len() / 255);
            from_progress(&mut jvm, records, records - 1, lines)
        }
        Kind::Source | Kind::FileSource => {
            from_progress(&mut jvm, records, records, || sent.get() - before)
        }
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

/// From what can be seen of its progress from outside: the lines of its sink's file, the end of the
/// topic that its source writes. Count and CPU time are taken together at two points, and nothing is
/// made up between the looks.
fn from_progress(
    jvm: &mut JvmWorker,
    records: u64,
    last: u64,
    mut count: impl FnMut() -> u64,
) -> f64 {
    let started = Instant::now();
    let mut at = |least: u64| loop {
        let seen = count();
        if seen >= least {
            return (seen, cpu_ns(jvm.process.id()));
        }
        assert!(jvm.process.exited().is_none(), "it died:\n{}", jvm.process.log());
        assert!(
            started.elapsed() < Duration::from_secs(300),
            "{seen} of {records} records after five minutes:\n{}",
            jvm.process.log()
        );
        pause(Duration::from_millis(20));
    };
    let warm = at(records / 3);
    let end = at(last);
    assert!(end.0 - warm.0 >= records / 3, "it was past the first third before it was looked at");
    (end.1 - warm.1) as f64 / (end.0 - warm.0) as f64
}

/// CPU time of a running process.
fn cpu_ns(id: u32) -> u64 {
    life::ticks(id) * 10_000_000
}
