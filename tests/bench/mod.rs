//! `millrace bench` from end to end, on the embedded broker and on the real Kafka: few records, every
//! field of the report, and its interval log read by HdrHistogram's own Java.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::rig::kafka;
use crate::rig::worker::{binary, properties};

fn bench(dir: &Path, connector: &[(&str, &str)], more: &[&str]) -> Output {
    let file = properties(dir, "connector.properties", connector);
    let mut command = Command::new(binary());
    command.arg("bench").arg(file).args(more);
    command.output().expect("our binary")
}

fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

fn report(path: &Path) -> Value {
    let bytes = std::fs::read(path).expect("a report");
    serde_json::from_slice(&bytes).expect("JSON")
}

fn path(dir: &Path, name: &str) -> PathBuf {
    dir.join(name)
}

/// A number that is there and above zero.
fn positive(object: &Value, name: &str) -> f64 {
    let number = object[name].as_f64().unwrap_or_else(|| panic!("no {name} in {object:#}"));
    assert!(number > 0.0 && number.is_finite(), "{name} is {number}");
    number
}

const NULL_SINK: [(&str, &str); 4] = [
    ("name", "null"),
    ("connector.class", "millrace.NullSinkConnector"),
    ("topics", "events"),
    ("consumer.override.sasl.jaas.config", "hush"),
];

/// What every run and every median has.
fn check_figures(figures: &Value, records: f64) {
    assert_eq!(figures["records"], records, "{figures:#}");
    for name in [
        "bytes",
        "wall_seconds",
        "records_per_second",
        "cpu_us_per_record",
        "records_per_cpu_second",
        "peak_rss_bytes",
        "start_to_rest_ms",
        "start_to_first_record_ms",
    ] {
        positive(figures, name);
    }
    let (user, system) = (&figures["cpu_user_seconds"], &figures["cpu_system_seconds"]);
    let cpu = user.as_f64().expect("user") + system.as_f64().expect("system");
    let per_record = positive(figures, "cpu_us_per_record");
    if figures["interrupted"].is_boolean() {
        assert!((cpu * 1e6 / records - per_record).abs() < per_record / 100.0, "{figures:#}");
    }
    assert!(positive(figures, "peak_rss_bytes") < 1e9);
}

#[test]
fn a_sink_against_itself_on_the_embedded_broker() {
    let dir = tempfile::tempdir().expect("a folder");
    let json = path(dir.path(), "report.json");
    let output = bench(
        dir.path(),
        &NULL_SINK,
        &["--records", "20000", "--runs", "2", "--record-size", "100", "--aa", "--json"]
            .into_iter()
            .chain([json.to_str().expect("a path")])
            .collect::<Vec<_>>(),
    );
    let (out, err) = text(&output);
    assert!(output.status.success(), "{out}{err}");
    for needle in ["millrace (", "millrace-again (", "CPU a record", "peak memory", "times the CPU"]
    {
        assert!(out.contains(needle), "no {needle:?} in:\n{out}");
    }
    assert!(err.contains("run 2/2 millrace-again"), "{err}");
    let report = report(&json);
    assert_eq!(report["format"], 1);
    assert_eq!(report["loop"], "closed");
    assert_eq!(report["kafka"]["kind"], "embedded");
    assert_eq!(report["options"]["records"], 20_000);
    assert_eq!(report["connector"]["consumer.override.sasl.jaas.config"], "[hidden]");
    assert_eq!(report["connector"]["topics"], "events");
    for name in ["processor", "kernel"] {
        assert!(!report["machine"][name].as_str().expect(name).is_empty());
    }
    positive(&report["machine"], "cores");
    let sides = report["sides"].as_array().expect("sides");
    let names: Vec<&str> = sides.iter().filter_map(|side| side["side"].as_str()).collect();
    assert_eq!(names, ["millrace", "millrace-again"]);
    for side in sides {
        let runs = side["runs"].as_array().expect("runs");
        assert_eq!(runs.len(), 2);
        for figures in runs.iter().chain([&side["median"]]) {
            check_figures(figures, 20_000.0);
            assert_eq!(figures["bytes"], 2_000_000);
            assert!(figures["latency_us"].is_null());
        }
    }
    assert!(positive(&report["comparison"][0], "cpu_ratio") < 100.0);
}

#[test]
fn a_source_is_counted_by_what_arrives() {
    let dir = tempfile::tempdir().expect("a folder");
    let json = path(dir.path(), "report.json");
    let connector = [
        ("name", "events"),
        ("connector.class", "millrace.DatagenSourceConnector"),
        ("kafka.topic", "made"),
        ("quickstart", "events"),
    ];
    let more = ["--records", "5000", "--runs", "1", "--json", json.to_str().expect("a path")];
    let output = bench(dir.path(), &connector, &more);
    let (out, err) = text(&output);
    assert!(output.status.success(), "{out}{err}");
    let report = report(&json);
    let run = &report["sides"][0]["runs"][0];
    assert_eq!(run["records"], 5_000);
    assert!(run["bytes"].is_null(), "the bench does not know what a source writes");
    positive(run, "cpu_us_per_record");
}

#[test]
fn latency_at_a_rate_on_the_real_kafka_is_read_by_hdrhistograms_own_java() {
    let dir = tempfile::tempdir().expect("a folder");
    let (json, log) = (path(dir.path(), "report.json"), path(dir.path(), "latency.hlog"));
    let out_file = path(dir.path(), "out.txt");
    let connector = [
        ("name", "file"),
        ("connector.class", "org.apache.kafka.connect.file.FileStreamSinkConnector"),
        ("topics", "bench-latency"),
        ("file", out_file.to_str().expect("a path")),
    ];
    let servers = kafka::shared().bootstrap();
    let output = bench(
        dir.path(),
        &connector,
        &[
            "--rate",
            "200",
            "--records",
            "400",
            "--warm-up",
            "100",
            "--runs",
            "2",
            "--bootstrap-servers",
            &servers,
            "--json",
            json.to_str().expect("a path"),
            "--hlog",
            log.to_str().expect("a path"),
        ],
    );
    let (out, err) = text(&output);
    assert!(output.status.success(), "{out}{err}");
    let report = report(&json);
    assert_eq!(report["loop"], "open");
    assert_eq!(report["kafka"]["bootstrap_servers"], servers.as_str());
    let side = &report["sides"][0];
    for run in side["runs"].as_array().expect("runs") {
        // Counted in steps of commits, from the first one behind the warm-up.
        let records = positive(run, "records");
        assert!(records <= 400.0, "{records} records");
        check_figures(run, records);
        let latency = &run["latency_us"];
        assert_eq!(latency["count"], 400.0, "{latency}");
        let order: Vec<f64> = ["p50", "p90", "p99", "p99.9", "p99.99", "max"]
            .map(|name| positive(latency, name))
            .to_vec();
        assert!(order.is_sorted(), "{latency}");
    }
    positive(&side["median"]["latency_us"], "p50");
    // Twice: the records of two runs, warm-up and all.
    let lines = std::fs::read_to_string(&out_file).expect("the sink's file").lines().count();
    assert_eq!(lines, 1_000);
    for tag in ["millrace-1", "millrace-2"] {
        let output = kafka::java()
            .arg("org.HdrHistogram.HistogramLogProcessor")
            .args(["-tag", tag, "-outputValueUnitRatio", "1", "-i"])
            .arg(&log)
            .output()
            .expect("java");
        let (processed, errors) = text(&output);
        assert!(output.status.success(), "{processed}{errors}");
        let total =
            processed.lines().find_map(|line| line.split_once("Total count")?.1.split_once('='));
        let count = total.map(|(_, rest)| rest.trim().trim_end_matches(']').trim().to_owned());
        assert_eq!(count.as_deref(), Some("400"), "{processed}");
    }
}

#[test]
fn what_cannot_be_measured_is_refused_with_its_reason() {
    let dir = tempfile::tempdir().expect("a folder");
    let source = [
        ("name", "events"),
        ("connector.class", "millrace.DatagenSourceConnector"),
        ("kafka.topic", "made"),
        ("quickstart", "events"),
    ];
    let missing: Vec<(&str, &str)> =
        NULL_SINK.into_iter().filter(|(key, _)| *key != "topics").collect();
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str], &'a str, i32);
    let cases: [Case<'_>; 6] = [
        (&source, &["--rate", "10"], "--rate is for sinks", 1),
        (&source, &[], "a source needs an end", 1),
        (&missing, &[], "topics names no topic", 3),
        (&NULL_SINK, &["--use-topic"], "needs --bootstrap-servers", 1),
        (&NULL_SINK, &["--record-size", "7"], "at least 48", 1),
        (&[("name", "x"), ("connector.class", "No")], &[], "no connector class", 3),
    ];
    for (connector, more, needle, code) in cases {
        let output = bench(dir.path(), connector, more);
        let (out, err) = text(&output);
        assert!(err.contains(needle), "no {needle:?} in:\n{out}{err}");
        assert_eq!(output.status.code(), Some(code), "{needle}");
    }
    // A connector that fails says why, and nothing is left running.
    let folder = path(dir.path(), "");
    let connector = [
        ("name", "file"),
        ("connector.class", "org.apache.kafka.connect.file.FileStreamSinkConnector"),
        ("topics", "events"),
        ("file", folder.to_str().expect("a path")),
    ];
    let output = bench(dir.path(), &connector, &["--records", "10", "--runs", "1"]);
    let (out, err) = text(&output);
    assert_eq!(output.status.code(), Some(1), "{out}{err}");
    assert!(err.contains("it is a folder"), "{err}");
}

/// The JVM beside ours: a few records, and a ratio.
#[test]
fn the_jvm_is_measured_beside_ours() {
    let dir = tempfile::tempdir().expect("a folder");
    let json = path(dir.path(), "report.json");
    let libs = kafka::libs();
    let servers = kafka::shared().bootstrap();
    let connector = NULL_SINK.map(|(key, value)| match key {
        "topics" => (key, "bench-vs"),
        "consumer.override.sasl.jaas.config" => ("errors.log.enable", "false"),
        _ => (key, value),
    });
    let more = [
        "--records",
        "300000",
        "--record-size",
        "100",
        "--runs",
        "1",
        "--bootstrap-servers",
        &servers,
        "--vs",
        libs.to_str().expect("a path"),
        "--json",
        json.to_str().expect("a path"),
    ];
    let output = bench(dir.path(), &connector, &more);
    let (out, err) = text(&output);
    assert!(output.status.success(), "{out}{err}");
    assert!(out.contains("stands in for it"), "{out}");
    let report = report(&json);
    let sides = report["sides"].as_array().expect("sides");
    assert_eq!(sides[1]["side"], "jvm");
    assert!(sides[1]["version"].as_str().expect("a version").contains("4.1.0"));
    // A third is the JVM's warm-up, counted in steps of its commits.
    let counted = positive(&sides[1]["runs"][0], "records");
    assert!(counted <= 200_000.0, "{counted} of the JVM's records count");
    assert_eq!(sides[0]["runs"][0]["records"], 300_000);
    assert!(report["comparison"][0]["cpu_ratio"].is_number(), "{report:#}");
}
