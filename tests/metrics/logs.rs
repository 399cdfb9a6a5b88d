//! The log's lines.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{samples, sink};
use crate::export::fill;
use crate::rig::process::Process;
use crate::rig::worker::{Worker, binary, get, properties, worker_file};
use crate::rig::{free_port, kafka, s3, wait_for};

/// A command for a worker of ours, and its REST port.
fn command(dir: &Path, more: &[(&str, &str)], connectors: &[&Path]) -> (Command, u16) {
    let port = free_port();
    let listener = format!("http://127.0.0.1:{port}");
    let mut pairs = vec![("listeners", listener.as_str())];
    pairs.extend_from_slice(more);
    let file = worker_file(dir, &kafka::shared().bootstrap(), &pairs);
    let mut command = Command::new(binary());
    command.arg("connect-standalone").arg(file).args(connectors);
    (command, port)
}

/// A worker with these variables in its environment.
fn start(
    dir: &Path,
    more: &[(&str, &str)],
    variables: &[(&str, &str)],
    connectors: &[&Path],
) -> Worker {
    let (mut command, port) = command(dir, more, connectors);
    command.envs(variables.iter().copied());
    let process = Process::start(&mut command, &dir.join("worker.log"));
    let mut worker = Worker { process, port };
    wait_for("our worker", Duration::from_secs(30), || {
        assert!(worker.process.exited().is_none(), "it died:\n{}", worker.process.log());
        get(port, "/connectors").is_some_and(|(status, _)| status == 200)
    });
    worker
}

fn delivered(worker: &Worker, connector: &str, count: f64) {
    let key = super::latency(connector, "delivered");
    wait_for("the records", Duration::from_secs(60), || {
        samples(worker.port).get(&key).copied() == Some(count)
    });
}

#[test]
fn every_line_of_a_task_says_whose_it_is() {
    let dir = tempfile::tempdir().expect("a folder");
    super::mixed("logs-mixed");
    let (one, two) = (sink(dir.path(), "one", "logs-mixed"), sink(dir.path(), "two", "logs-mixed"));
    let json = [("millrace.log.format", "json"), ("millrace.cores", "1")];
    let variables = [("RUST_LOG", "info,millrace_kafka=trace,millrace_worker=trace")];
    let worker = start(dir.path(), &json, &variables, &[&one, &two]);
    delivered(&worker, "one", 90.0);
    delivered(&worker, "two", 90.0);
    worker.process.terminate();
    let mut worker = worker;
    worker.process.wait(Duration::from_secs(30));
    let lines: Vec<serde_json::Value> = worker
        .process
        .log()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let mut by_task = [0, 0];
    for line in &lines {
        let message = line["message"].as_str().unwrap_or_else(|| panic!("no message: {line}"));
        for (at, name) in ["one", "two"].into_iter().enumerate() {
            let own = message.contains(&format!("in task {name}-0."));
            if own || line["task"] == format!("{name}-0") {
                assert_eq!(line["connector.context"], format!("[{name}|task-0] "), "{line}");
                by_task[at] += usize::from(own);
            }
        }
    }
    assert_eq!(by_task, [10, 10], "the bad records of both, each under its own name");
    assert!(lines.iter().all(|line| line["timestamp"].is_string() && line["level"].is_string()));
}

#[test]
fn levels_change_while_the_worker_runs_and_the_environments_stay() {
    let dir = tempfile::tempdir().expect("a folder");
    let variables = [("RUST_LOG", "warn,millrace_herder=info")];
    let worker = start(dir.path(), &[], &variables, &[]);
    assert_eq!(worker.get("/admin/loggers/root").1["level"], "WARN");
    let out = dir.path().join("out.txt");
    let put = |name: &str| {
        let config = serde_json::json!({
            "connector.class": "FileStreamSink", "topics": "logs-levels", "file": out,
        });
        kafka::shared().create_topic(&format!("logs-levels-{name}"), 1);
        let path = format!("/connectors/{name}/config");
        assert_eq!(worker.call("PUT", &path, &config.to_string()).0, 201);
        let running = || worker.get(&format!("/connectors/{name}/status")).1;
        wait_for("the task", Duration::from_secs(30), || {
            running()["tasks"][0]["state"] == "RUNNING"
        });
        crate::rig::pause(Duration::from_millis(300));
    };
    put("quiet");
    assert!(!worker.process.log().contains("plan: "), "{}", worker.process.log());
    assert!(worker.process.log().contains("[quiet|task-0] "), "the herder's line of the task");
    let level = serde_json::json!({"level": "DEBUG"}).to_string();
    let path = "/admin/loggers/org.apache.kafka.connect.runtime";
    assert_eq!(worker.call("PUT", path, &level).0, 200);
    put("loud");
    let log = worker.process.log();
    assert!(log.contains("[loud|task-0] plan: value: "), "{log}");
    assert!(log.contains("[loud|task-0] task state"), "the herder's lines stay: {log}");
}

#[test]
fn secrets_are_in_no_line_even_at_trace() {
    let dir = tempfile::tempdir().expect("a folder");
    fill(kafka::shared(), "logs-secrets", 1, 100, "none");
    let server = s3::shared();
    server.bucket("secret-bucket");
    let provided = properties(dir.path(), "s.properties", &[("key", s3::SECRET_KEY)]);
    let placeholder = format!("${{file:{}:key}}", provided.display());
    let jaas = "org.apache.kafka.common.security.plain.PlainLoginModule required \
                username=\"u\" password=\"SECRET-jaas\";";
    let url = server.url();
    let connector = properties(
        dir.path(),
        "secret.properties",
        &[
            ("name", "secret"),
            ("connector.class", "io.confluent.connect.s3.S3SinkConnector"),
            ("topics", "logs-secrets"),
            ("storage.class", "io.confluent.connect.s3.storage.S3Storage"),
            ("format.class", "io.confluent.connect.s3.format.json.JsonFormat"),
            ("store.url", &url),
            ("s3.bucket.name", "secret-bucket"),
            ("s3.region", "us-east-1"),
            ("aws.access.key.id", s3::ACCESS_KEY),
            ("aws.secret.access.key", &placeholder),
            ("flush.size", "100"),
            ("consumer.override.ssl.key.password", "SECRET-override"),
        ],
    );
    let worker = start(
        dir.path(),
        &[
            ("config.providers", "file"),
            (
                "config.providers.file.class",
                "org.apache.kafka.common.config.provider.FileConfigProvider",
            ),
            ("consumer.sasl.jaas.config", jaas),
            ("producer.sasl.jaas.config", jaas),
            ("ssl.truststore.password", "SECRET-truststore"),
            ("ssl.keystore.password", "SECRET-keystore"),
            ("consumer.ssl.key.password", "SECRET-key"),
            ("some.unknown.password", "SECRET-unknown"),
        ],
        &[("RUST_LOG", "trace")],
        &[&connector],
    );
    delivered(&worker, "secret", 100.0);
    let bad = serde_json::json!({
        "connector.class": "io.confluent.connect.s3.S3SinkConnector", "topics": "t",
        "aws.secret.access.key": "SECRET-over-rest", "flush.size": "SECRET",
        "password": "SECRET-unknown-key",
    });
    let refused = worker.call("PUT", "/connectors/bad/config", &bad.to_string());
    assert_eq!(refused.0, 400, "{refused:?}");
    worker.process.terminate();
    let mut worker = worker;
    worker.process.wait(Duration::from_secs(30));
    let log = worker.process.log();
    // What traces is the runtime on io_uring.
    let on_epoll = std::env::var("MILLRACE_RUNTIME").is_ok_and(|runtime| runtime == "epoll");
    assert!(log.contains(if on_epoll { " DEBUG " } else { "TRACE" }), "nothing was traced:\n{log}");
    let said: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("SECRET-") || line.contains(s3::SECRET_KEY))
        .collect();
    assert!(said.is_empty(), "{said:#?}");
}

#[test]
fn a_log_that_nobody_reads_holds_no_record_up() {
    let dir = tempfile::tempdir().expect("a folder");
    // Each record is bad and fills a line of the log, several times a pipe and the queue together.
    kafka::shared().create_topic("logs-stuck", 1);
    let lines: String = (0..40_000).map(|n| format!("no JSON {n}\n")).collect();
    kafka::shared().produce("logs-stuck", 0, "lz4", false, &lines);
    let connector = sink(dir.path(), "stuck", "logs-stuck");
    let (mut command, port) = command(dir.path(), &[], &[&connector]);
    let mut child = command.stderr(Stdio::piped()).spawn().expect("our binary");
    let all_read = || {
        let all = samples(port);
        let failed = "task_error_metrics_total_records_skipped";
        super::figure(&all, failed, "stuck") == 40_000.0
            && all["millrace_log_lines_dropped_total"] > 1_000.0
    };
    wait_for("our worker", Duration::from_secs(30), || get(port, "/connectors").is_some());
    let outcome = std::panic::catch_unwind(|| {
        wait_for("all records", Duration::from_secs(60), all_read);
    });
    child.kill().expect("it runs");
    child.wait().expect("it ended");
    assert!(outcome.is_ok(), "records wait for the log");
}
