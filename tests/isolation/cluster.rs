//! The same in a worker of a cluster, on the real Kafka: the whole cluster hears of a hostile task's
//! end from the status topic, and its neighbours go on, one of them exactly once.

use std::io::Write;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use millrace_api::plugin::Plugins;
use millrace_herder::DistributedHerder;
use millrace_herder::worker_config::WorkerConfig;
use millrace_worker::engine::{Engine, EngineOptions};
use serde_json::json;

use crate::probe::Probe;
use crate::rig::worker::{call, get};
use crate::rig::{kafka, wait_for};
use crate::{config, probe};

const LIMIT: Duration = Duration::from_secs(90);

/// A worker of one core, so that its tasks share it, with exactly-once support.
fn start(group: &str, more: &[(&str, &str)]) -> (crate::Worker, millrace_rest::RestHandle) {
    let bootstrap = kafka::shared().bootstrap();
    let topic = |what: &str| format!("{group}-{what}");
    let mut file = config(&[
        ("bootstrap.servers", &bootstrap),
        ("group.id", group),
        ("key.converter", "org.apache.kafka.connect.storage.StringConverter"),
        ("value.converter", "org.apache.kafka.connect.storage.StringConverter"),
        ("config.storage.topic", &topic("config")),
        ("offset.storage.topic", &topic("offsets")),
        ("status.storage.topic", &topic("status")),
        ("config.storage.replication.factor", "1"),
        ("offset.storage.replication.factor", "1"),
        ("status.storage.replication.factor", "1"),
        ("offset.storage.partitions", "1"),
        ("status.storage.partitions", "1"),
        ("exactly.once.source.support", "enabled"),
        ("task.shutdown.graceful.timeout.ms", "2000"),
        ("listeners", "http://127.0.0.1:0"),
    ]);
    file.extend(config(more));
    let mut connectors = millrace_connectors::plugins();
    connectors.extend([probe::SINK, probe::SOURCE]);
    let plugins = Plugins {
        connectors,
        converters: millrace_api::builtin_converters::converters(),
        header_converters: millrace_api::builtin_converters::header_converters(),
        transformations: Vec::new(),
        predicates: Vec::new(),
    };
    let config = WorkerConfig::distributed(file, &plugins).expect("a good configuration");
    let options = EngineOptions { cpus: vec![0], ..config.engine_options() };
    let (engine, reports) = Engine::start(&options).expect("an engine");
    let herder = DistributedHerder::start(config, plugins, Box::new(engine), reports);
    let worker = crate::Worker(Some(herder.expect("a herder")));
    let rest = worker.rest();
    (worker, rest)
}

/// Asks until the group is at rest.
fn ask(port: u16, method: &str, path: &str, body: &str) {
    wait_for(&format!("{method} {path}"), LIMIT, || {
        let answer = call(port, method, path, body);
        answer.is_some_and(|(status, _)| (200..300).contains(&status))
    });
}

fn create(port: u16, name: &str, config: serde_json::Value) {
    ask(port, "PUT", &format!("/connectors/{name}/config"), &config.to_string());
}

/// The task's state and trace.
fn task(port: u16, name: &str) -> (String, String) {
    let path = format!("/connectors/{name}/tasks/0/status");
    let Some((_, status)) = get(port, &path) else { return Default::default() };
    let text = |key: &str| status[key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("trace"))
}

/// What readers of committed records see.
fn committed(topic: &str) -> Vec<String> {
    let output = Command::new("kcat")
        .args([
            "-b",
            &kafka::shared().bootstrap(),
            "-C",
            "-t",
            topic,
            "-o",
            "beginning",
            "-e",
            "-q",
        ])
        .args(["-f", "%s\n", "-X", "isolation.level=read_committed"])
        .output()
        .expect("kcat");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn a_task_that_holds_its_core_fails_alone_and_its_neighbour_writes_each_record_once() {
    let (group, topic) = ("isolated", "isolated-lines");
    kafka::shared().create_topic(topic, 1);
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("in.txt");
    let mut input = std::fs::File::create(&path).expect("a file");
    let (worker, rest) = start(group, &[("millrace.task.max.block.ms", "2000")]);
    let port = rest.bound[0].port();
    let hostile = Probe::of("isolated-bad");
    create(
        port,
        "bad",
        json!({"connector.class": "ProbeSource", "tasks.max": "1", "probe": "isolated-bad",
            "hostile": "sleeps"}),
    );
    create(
        port,
        "lines",
        json!({"connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector",
            "tasks.max": "1", "file": path, "topic": topic, "batch.size": "7",
            "exactly.once.support": "required"}),
    );
    let mut written = 0;
    let mut write = |more: usize| {
        for _ in 0..more {
            writeln!(input, "line {written}").expect("written");
            written += 1;
        }
        written
    };
    let whole = |count: usize| {
        let lines: Vec<String> = (0..count).map(|line| format!("line {line}")).collect();
        wait_for(&format!("{count} lines"), LIMIT, || committed(topic).len() >= count);
        assert_eq!(committed(topic), lines);
    };
    whole(write(500));
    wait_for("the hostile one's first poll", LIMIT, || !hostile.events().is_empty());
    hostile.blocking.store(true, Ordering::SeqCst);
    // Some of these are polled, and perhaps sent, by the life that the lost core takes with it.
    let count = write(500);
    wait_for("the hostile task's failure", LIMIT, || {
        let (state, trace) = task(port, "bad");
        state == "FAILED" && trace.contains("held core 0 for ")
    });
    whole(count);
    wait_for("its neighbour at work", LIMIT, || task(port, "lines").0 == "RUNNING");
    whole(write(100));
    // Whoever reads the status topic knows, as other workers do.
    wait_for("its trace in the status topic", LIMIT, || {
        let statuses = kafka::shared().consume(&format!("{group}-status"), "%k %s\n");
        let last = statuses.iter().rfind(|record| record.starts_with("status-task-bad-0 "));
        last.is_some_and(|record| record.contains("FAILED") && record.contains("held core 0 for "))
    });
    hostile.blocking.store(false, Ordering::SeqCst);
    ask(port, "POST", "/connectors/bad/tasks/0/restart", "");
    wait_for("the restarted one", LIMIT, || task(port, "bad").0 == "RUNNING");
    whole(write(100));
    rest.shutdown();
    drop(worker);
}
