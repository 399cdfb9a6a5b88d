//! `/metrics` and the log: figures against known traffic and against the JVM's MBeans, texts that
//! Prometheus' own tool accepts, lines with their connector's context and without secrets.

mod logs;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::export::fill;
use crate::rig::connect::JvmWorker;
use crate::rig::worker::{Worker, get, properties};
use crate::rig::{kafka, wait_for};

/// The head and the body of a GET, as they came.
fn text(port: u16, path: &str, accept: &str) -> (String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the worker listens");
    let request = format!(
        "GET {path} HTTP/1.0\r\nHost: localhost\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.to_owned(), body.to_owned())
}

/// Samples by `name{labels}`.
fn samples(port: u16) -> BTreeMap<String, f64> {
    let (_, body) = text(port, "/metrics", "*/*");
    let lines = body.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a value");
            (name.to_owned(), value.parse().expect("a number"))
        })
        .collect()
}

/// The first answer that `ready` takes. A core that is late is left out of an answer, so what is
/// asserted is asserted of that one.
pub fn samples_when(
    port: u16,
    what: &str,
    ready: impl Fn(&BTreeMap<String, f64>) -> bool,
) -> BTreeMap<String, f64> {
    let mut taken = BTreeMap::new();
    wait_for(what, Duration::from_secs(60), || {
        taken = samples(port);
        ready(&taken)
    });
    taken
}

/// One task's sample of Kafka Connect's, without the prefix; NaN when it is absent.
fn figure(all: &BTreeMap<String, f64>, name: &str, connector: &str) -> f64 {
    let key = format!("kafka_connect_{name}{{connector=\"{connector}\",task=\"0\"}}");
    all.get(&key).copied().unwrap_or(f64::NAN)
}

/// A sink of text whose values are JSON: bad ones go to the dead-letter queue, tombstones are
/// filtered.
fn sink(dir: &Path, name: &str, topic: &str) -> PathBuf {
    let (out, letters) = (dir.join(format!("{name}.txt")), format!("{topic}-letters"));
    properties(
        dir,
        &format!("{name}.properties"),
        &[
            ("name", name),
            ("connector.class", "org.apache.kafka.connect.file.FileStreamSinkConnector"),
            ("tasks.max", "1"),
            ("topics", topic),
            ("file", out.to_str().expect("a path")),
            ("errors.tolerance", "all"),
            ("errors.log.enable", "true"),
            ("errors.deadletterqueue.topic.name", &letters),
            ("errors.deadletterqueue.topic.replication.factor", "1"),
            ("transforms", "f"),
            ("transforms.f.type", "org.apache.kafka.connect.transforms.Filter"),
            ("transforms.f.predicate", "t"),
            ("predicates", "t"),
            (
                "predicates.t.type",
                "org.apache.kafka.connect.transforms.predicates.RecordIsTombstone",
            ),
        ],
    )
}

/// 90 good records, 10 that are no JSON, 2 tombstones.
fn mixed(topic: &str) {
    let lines: String = (0..100)
        .map(|n| if n % 10 == 3 { format!("{{\"n\":{n},\n") } else { format!("{{\"n\":{n}}}\n") })
        .collect();
    kafka::shared().create_topic(topic, 1);
    kafka::shared().produce(topic, 0, "lz4", false, &lines);
    kafka::shared().produce(topic, 0, "none", true, "k\t\nk\t\n");
}

/// What both workers must count of [`mixed`].
const COUNTS: [(&str, f64); 13] = [
    ("sink_task_metrics_sink_record_read_total", 102.0),
    ("sink_task_metrics_sink_record_send_total", 90.0),
    ("sink_task_metrics_sink_record_active_count", 0.0),
    ("sink_task_metrics_partition_count", 1.0),
    ("sink_task_metrics_offset_commit_skip_total", 0.0),
    ("task_error_metrics_total_record_failures", 10.0),
    ("task_error_metrics_total_record_errors", 10.0),
    ("task_error_metrics_total_records_skipped", 10.0),
    ("task_error_metrics_total_retries", 0.0),
    ("task_error_metrics_total_errors_logged", 10.0),
    ("task_error_metrics_deadletterqueue_produce_requests", 10.0),
    ("task_error_metrics_deadletterqueue_produce_failures", 0.0),
    ("connector_task_metrics_offset_commit_success_percentage", 1.0),
];

/// Attributes of the JVM's that we have not: versions of what is built in.
const ABSENT: [&str; 5] = [
    "key-converter-version",
    "value-converter-version",
    "header-converter-version",
    "transform-version",
    "predicate-version",
];

/// The JVM's attributes of a standalone worker: object name, attribute, value.
fn beans(port: u16) -> Vec<(String, String, String)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/metrics/Mbeans.java");
    let output = kafka::java()
        .arg(source)
        .args([&port.to_string(), "kafka.connect:*"])
        .stderr(Stdio::inherit())
        .output()
        .expect("java");
    let text = String::from_utf8(output.stdout).expect("text");
    let line = |line: &str| {
        let mut parts = line.splitn(3, ' ').map(str::to_owned);
        Some((parts.next()?, parts.next()?, parts.next()?))
    };
    text.lines().filter_map(line).collect()
}

/// A bean's attribute under the name that it has here, labels included for numbers.
fn ours(object: &str, attribute: &str) -> Option<(String, String)> {
    let mut keys = object.strip_prefix("kafka.connect:")?.split(',');
    let type_ = keys.next()?.strip_prefix("type=")?;
    let labels: Vec<String> = keys
        .filter_map(|key| key.split_once('='))
        .map(|(key, value)| format!("{key}=\"{value}\""))
        .collect();
    let name = format!("kafka_connect_{type_}_{attribute}").replace('-', "_");
    Some((name, labels.join(",")))
}

#[test]
fn totals_are_what_was_sent_and_the_jvm_counts_the_same() {
    let kafka = kafka::shared();
    let dir = tempfile::tempdir().expect("a folder");
    mixed("metrics-mixed");
    let (own, theirs) = (dir.path().join("own"), dir.path().join("jvm"));
    for dir in [&own, &theirs] {
        std::fs::create_dir(dir).expect("a folder");
    }
    let connector = sink(&own, "counted", "metrics-mixed");
    let worker = Worker::start(&own, &kafka.bootstrap(), &[], &[&connector]);
    let counted = |all: &BTreeMap<String, f64>| {
        COUNTS.iter().all(|(name, count)| figure(all, name, "counted") == *count)
    };
    samples_when(worker.port, "our figures", counted);

    let text = "key.converter=org.apache.kafka.connect.storage.StringConverter\n\
                value.converter=org.apache.kafka.connect.json.JsonConverter\n\
                value.converter.schemas.enable=false\noffset.flush.interval.ms=1000\n";
    let text = format!("bootstrap.servers={}\n{text}", kafka.bootstrap());
    let connector = sink(&theirs, "jvm-counted", "metrics-mixed");
    let (_jvm, jmx) = JvmWorker::start_watched(&theirs, &text, &[&connector]);
    let mut found = Vec::new();
    wait_for("the JVM's figures", Duration::from_secs(90), || {
        found = beans(jmx);
        let of = |name: &str| {
            let bean = found.iter().find(|(object, attribute, _)| {
                ours(object, attribute).is_some_and(|(ours, labels)| {
                    ours == format!("kafka_connect_{name}") && labels.contains("task=")
                })
            });
            bean.and_then(|(_, _, value)| value.parse::<f64>().ok())
        };
        COUNTS.iter().all(|(name, count)| of(name) == Some(*count))
    });
    every_attribute_has_its_sample(&worker, &found);
}

/// Every attribute of Connect's own beans has a sample here, under the documented name.
fn every_attribute_has_its_sample(worker: &Worker, found: &[(String, String, String)]) {
    let all = samples_when(worker.port, "the task's samples", |all| {
        figure(all, "sink_task_metrics_sink_record_read_total", "counted").is_finite()
    });
    let mut missing = Vec::new();
    let own = ["connector", "sink-task", "source-task", "task-error", "connect-worker-metrics"];
    for (object, attribute, value) in found {
        let is_own = own.iter().any(|type_| object.contains(&format!("type={type_}")));
        if !is_own || ABSENT.contains(&attribute.as_str()) {
            continue;
        }
        let (name, labels) = ours(object, attribute).expect("a bean of Connect's");
        let labels = labels.replace("jvm-counted", "counted");
        let there = if value.parse::<f64>().is_ok() {
            let key = if labels.is_empty() { name.clone() } else { format!("{name}{{{labels}}}") };
            all.contains_key(&key)
        } else {
            // A text is a label of its attribute's name.
            let start = format!("{name}{{{labels},{}=\"", attribute.replace('-', "_"));
            all.iter().any(|(key, value)| key.starts_with(&start) && *value == 1.0)
        };
        if !there {
            missing.push(format!("{object} {attribute}"));
        }
    }
    assert!(found.len() > 60, "{} attributes of the JVM's", found.len());
    assert!(missing.is_empty(), "{missing:#?}\n{:#?}", all.keys());
}

#[test]
fn a_restarted_task_counts_anew_and_latencies_count_every_record() {
    let kafka = kafka::shared();
    let dir = tempfile::tempdir().expect("a folder");
    fill(kafka, "metrics-anew", 2, 1_000, "lz4");
    let connector = sink(dir.path(), "anew", "metrics-anew");
    let worker = Worker::start(dir.path(), &kafka.bootstrap(), &[], &[&connector]);
    let read = "sink_task_metrics_sink_record_read_total";
    let is = |count: f64| {
        samples_when(worker.port, &format!("{count} records"), |all| {
            let of = |stage: &str| all.get(&latency("anew", stage)).copied().unwrap_or(0.0);
            figure(all, read, "anew") == count && of("durable") == count
        })
    };
    is(1_000.0);
    // What is durable is committed a moment later.
    let commits = latency("anew", "commit");
    let all = samples_when(worker.port, "a commit", |all| all.contains_key(&commits));
    assert_eq!(all[&latency("anew", "delivered")], 1_000.0);
    for stage in ["fetch_wait", "convert", "put", "commit"] {
        assert!(all[&latency("anew", stage)] > 0.0, "{stage}");
    }
    let client = "client_id=\"connector-consumer-anew-0\"";
    for partition in 0..2 {
        let lag = format!(
            "kafka_consumer_consumer_fetch_manager_metrics_records_lag\
             {{{client},topic=\"metrics-anew\",partition=\"{partition}\"}}"
        );
        assert_eq!(all.get(&lag), Some(&0.0), "{lag}");
    }
    assert_eq!(worker.call("POST", "/connectors/anew/tasks/0/restart", "").0, 204);
    // Else the old task might still read them.
    is(0.0);
    kafka.produce("metrics-anew", 1, "zstd", false, "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n");
    let all = is(3.0);
    assert_eq!(all["kafka_connect_connect_worker_metrics_task_startup_success_total"], 2.0);
    assert_eq!(all["kafka_connect_connect_worker_metrics_task_count"], 1.0);
    assert_eq!(worker.call("DELETE", "/connectors/anew", "").0, 204);
    // Answers are given again for a moment.
    wait_for("the end of its samples", Duration::from_secs(10), || {
        !samples(worker.port).keys().any(|key| key.contains("\"anew\""))
    });
}

fn latency(connector: &str, stage: &str) -> String {
    format!("millrace_latency_seconds_count{{connector=\"{connector}\",stage=\"{stage}\"}}")
}

#[test]
fn a_sources_records_are_counted_when_acknowledged() {
    let kafka = kafka::shared();
    let dir = tempfile::tempdir().expect("a folder");
    kafka.create_topic("metrics-source", 1);
    let source = properties(
        dir.path(),
        "made.properties",
        &[
            ("name", "made"),
            ("connector.class", "millrace.DatagenSourceConnector"),
            ("kafka.topic", "metrics-source"),
            ("quickstart", "events"),
            ("iterations", "1000"),
            // Goes over every record and drops none: no value is null.
            ("transforms", "drop"),
            ("transforms.drop.type", "org.apache.kafka.connect.transforms.Filter"),
            ("transforms.drop.predicate", "t"),
            ("predicates", "t"),
            (
                "predicates.t.type",
                "org.apache.kafka.connect.transforms.predicates.RecordIsTombstone",
            ),
        ],
    );
    let worker = Worker::start(dir.path(), &kafka.bootstrap(), &[], &[&source]);
    let all = samples_when(worker.port, "1000 written", |all| {
        let of = |name: &str| figure(all, &format!("source_task_metrics_{name}"), "made");
        of("source_record_poll_total") == 1_000.0
            && of("source_record_write_total") == 1_000.0
            && of("source_record_active_count") == 0.0
    });
    assert!(all[&latency("made", "acknowledged")] > 0.0);
    let sent = "kafka_producer_producer_metrics_record_send_total\
                {client_id=\"connector-producer-made-0\"}";
    assert_eq!(all[sent], 1_000.0);
    assert_eq!(kafka.consume("metrics-source", "%o\n").len(), 1_000);
}

/// Complaints of `promtool check metrics`.
fn promtool(text: &str) -> Vec<String> {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool: run tests/run systems");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("promtool reads");
    let output = child.wait_with_output().expect("promtool");
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(matches!(output.status.code(), Some(0 | 3)), "not even parsed: {said}");
    said.lines().map(str::to_owned).collect()
}

#[test]
fn prometheus_own_tool_takes_the_text_and_has_nothing_against_names_of_ours() {
    let kafka = kafka::shared();
    let dir = tempfile::tempdir().expect("a folder");
    fill(kafka, "metrics-text", 1, 100, "none");
    let connector = sink(dir.path(), "odd \\\"name\\\" é", "metrics-text");
    let worker = Worker::start(dir.path(), &kafka.bootstrap(), &[], &[&connector]);
    wait_for("records", Duration::from_secs(40), || {
        let (_, body) = text(worker.port, "/metrics", "*/*");
        body.contains("stage=\"delivered\",le=\"+Inf\"} 100\n")
    });
    let (head, body) = text(worker.port, "/metrics", "text/plain");
    assert!(head.to_ascii_lowercase().contains("text/plain; version=0.0.4"), "{head}");
    // The JVM's names are what users' dashboards know, though the tool would have named them
    // otherwise: milliseconds, and gauges that end with count.
    let allowed = ["abbreviated units", "should not have \"_count\" suffix"];
    let wrong: Vec<String> = promtool(&body)
        .into_iter()
        .filter(|line| {
            !(line.starts_with("kafka_") && allowed.iter().any(|known| line.contains(known)))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for name in ["millrace_core_cpu_seconds_total{core=", "process_resident_memory_bytes "] {
        assert!(body.contains(name), "{name}");
    }
    assert!(!promtool("a_total 1\n").is_empty(), "the tool complains where it should");
    let (head, body) = text(worker.port, "/metrics", "application/openmetrics-text;version=1.0.0");
    assert!(head.contains("application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(body.ends_with("# EOF\n"));
    assert!(body.contains("# TYPE process_cpu_seconds counter\nprocess_cpu_seconds_total "));
    assert_eq!(get(worker.port, "/metrics/x").map(|(status, _)| status), Some(404));
    assert_eq!(worker.call("POST", "/metrics", "{}").0, 405);
}
