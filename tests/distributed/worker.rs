//! Distributed workers with short times, and what these tests ask of any.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::LIMIT;
use crate::rig::distributed::{ClusterWorker, Kind};
use crate::rig::worker::{call, get};
use crate::rig::{kafka, wait_for};

/// A killed worker is missed soon, and its work given away at once; offsets are stored soon.
pub const QUICK: &str = "session.timeout.ms=6000\nheartbeat.interval.ms=1000\n\
                         scheduled.rebalance.max.delay.ms=0\noffset.flush.interval.ms=500\n";

pub fn launch(kind: Kind, dir: &Path, group: &str, more: &str) -> ClusterWorker {
    let more = format!("{QUICK}{more}");
    ClusterWorker::launch(kind, dir, &kafka::shared().bootstrap(), group, &more)
}

/// A worker that answers.
pub fn start(kind: Kind, dir: &Path, group: &str) -> ClusterWorker {
    let mut worker = launch(kind, dir, group, "");
    worker.wait();
    worker
}

/// A request that the worker answers with this status, perhaps only when a rebalance is over.
pub fn ask(port: u16, method: &str, path: &str, body: &str, expected: u16) -> Value {
    let mut last = None;
    wait_for(&format!("{expected} for {method} {path}"), LIMIT, || {
        last = call(port, method, path, body);
        match &last {
            Some((status, _)) if *status == expected => true,
            Some((409, _)) | None => false,
            other => panic!("{method} {path}: {other:?}"),
        }
    });
    last.expect("an answer").1
}

/// A source of a file's lines and a sink of the topic's, both without a schema or a key.
pub fn create(port: u16, name: &str, config: Value) {
    let body = json!({"name": name, "config": config});
    ask(port, "POST", "/connectors", &body.to_string(), 201);
}

pub fn source(file: &Path, topic: &str) -> Value {
    json!({
        "connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector",
        "tasks.max": "1", "file": file, "topic": topic,
    })
}

pub fn sink(file: &Path, topic: &str) -> Value {
    json!({
        "connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector",
        "tasks.max": "1", "file": file, "topics": topic,
    })
}

pub fn append(file: &Path, lines: std::ops::Range<usize>) {
    let text: String = lines.map(|line| format!("line {line}\n")).collect();
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file).expect("file");
    file.write_all(text.as_bytes()).expect("written");
}

/// Waits until the file holds each of these lines once, in order, and nothing else.
pub fn wait_for_lines(file: &Path, count: usize) {
    let expected: Vec<String> = (0..count).map(|line| format!("line {line}")).collect();
    let lines = || -> Vec<String> {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    };
    wait_for(&format!("{count} lines in {}", file.display()), LIMIT, || lines().len() >= count);
    assert_eq!(lines(), expected);
}

/// The states and workers of a connector and its tasks.
pub fn states(port: u16, name: &str) -> Vec<(String, String)> {
    let Some((200, status)) = get(port, &format!("/connectors/{name}/status")) else {
        return Vec::new();
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = |value: &Value| (text(&value["state"]), text(&value["worker_id"]));
    let tasks = status["tasks"].as_array().cloned().unwrap_or_default();
    std::iter::once(&status["connector"]).chain(&tasks).map(of).collect()
}

/// Waits until the connector and so many tasks are in that state, each on one of these workers.
pub fn wait_for_state(port: u16, name: &str, tasks: usize, state: &str, workers: &[String]) {
    let mut last = Vec::new();
    let in_state = |states: &[(String, String)]| {
        states.len() == tasks + 1
            && states.iter().all(|(now, at)| now == state && workers.contains(at))
    };
    wait_for(&format!("{name} to be {state} on {workers:?}"), LIMIT, || {
        let now = states(port, name);
        if now != last {
            eprintln!("{name}: {now:?}");
            last = now;
        }
        in_state(&last)
    });
}

/// The samples of `/metrics`, a line each.
pub fn metrics(port: u16) -> Vec<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the worker listens");
    let request = "GET /metrics HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.lines().filter(|line| line.starts_with("kafka_")).map(str::to_owned).collect()
}

pub fn files(dir: &Path) -> (PathBuf, PathBuf) {
    (dir.join("in.txt"), dir.join("out.txt"))
}
