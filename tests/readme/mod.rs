//! The commands that the README and the examples show, run as a user runs them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::export::documents;
use crate::rig::process::Process;
use crate::rig::worker::{binary, get, run};
use crate::rig::{free_port, kafka, project, s3, wait_for};

#[test]
fn the_quickstart_runs_without_anything_else() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(binary());
    command.args(["quickstart", "--records", "200000", "--dir"]).arg(dir.path().join("quick"));
    let mut process = Process::start(&mut command, &dir.path().join("quickstart.log"));
    let status = process.wait(Duration::from_secs(120));
    let log = process.log();
    assert!(status.success(), "{log}");
    for needle in ["records/s", "CPU-second", "peak memory", ".json.gz", "200,000"] {
        assert!(log.contains(needle), "no {needle:?} in:\n{log}");
    }
}

#[test]
fn every_example_is_a_valid_configuration() {
    let examples = project().join("examples");
    let mut checked = 0;
    for entry in std::fs::read_dir(&examples).expect("examples") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        if name.starts_with("worker") || !name.ends_with(".properties") {
            continue;
        }
        let output = run(&[
            "validate",
            path.to_str().expect("a path"),
            "--worker",
            examples.join("worker.properties").to_str().expect("a path"),
        ]);
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        checked += 1;
    }
    assert!(checked >= 4, "only {checked} examples found");
}

#[test]
fn the_broker_command_serves_kcat() {
    let dir = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let mut command = Command::new(binary());
    command.args(["broker", "--listen", &format!("127.0.0.1:{port}"), "--dir"]).arg(dir.path());
    let mut process = Process::start(&mut command, &dir.path().join("broker.log"));
    crate::rig::wait_for("the embedded broker", Duration::from_secs(20), || {
        assert!(process.exited().is_none(), "{}", process.log());
        Command::new("kcat")
            .args(["-b", &format!("127.0.0.1:{port}"), "-L", "-m", "1"])
            .output()
            .is_ok_and(|output| output.status.success())
    });
    assert!(process.log().contains("never for production"), "{}", process.log());
}

#[test]
fn the_quickstart_runs_on_the_real_kafka() {
    let dir = tempfile::tempdir().expect("a folder");
    let quick = dir.path().join("quick");
    let output = run(&[
        "quickstart",
        "--records",
        "50000",
        "--bootstrap-servers",
        &kafka::shared().bootstrap(),
        "--dir",
        quick.to_str().expect("a path"),
    ]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("50,000 records"), "{text}");
    assert_eq!(documents(&s3::objects(&quick.join("quickstart"))).len(), 50_000);
}

/// An example with its addresses and places changed, and `more` at its end.
fn example(dir: &Path, name: &str, places: &[(&str, &str)], more: &str) -> PathBuf {
    let mut text = std::fs::read_to_string(project().join("examples").join(name)).expect("text");
    for (theirs, ours) in places {
        text = text.replace(theirs, ours);
    }
    let path = dir.join(name);
    std::fs::write(&path, format!("{text}\n{more}\n")).expect("a file");
    path
}

#[test]
fn the_examples_work_together() {
    let kafka = kafka::shared();
    kafka.create_topic("events", 1);
    let dir = tempfile::tempdir().expect("a folder");
    let (port, bootstrap) = (free_port(), kafka.bootstrap());
    let (rest, place) = (format!("127.0.0.1:{port}"), format!("{}/", dir.path().display()));
    let places = [
        ("127.0.0.1:9092", bootstrap.as_str()),
        ("127.0.0.1:8083", rest.as_str()),
        ("/tmp/", place.as_str()),
        ("iterations=1000000", "iterations=20000"),
    ];
    let at = |name: &str, more: &str| example(dir.path(), name, &places, more);
    let worker = at("worker.properties", "");
    let mut command = Command::new(binary());
    command.arg("connect-standalone").arg(&worker);
    command.args(
        ["datagen.properties", "file-sink.properties", "null-sink.properties"]
            .map(|name| at(name, "")),
    );
    let mut process = Process::start(&mut command, &dir.path().join("worker.log"));
    let written = || {
        let text = std::fs::read_to_string(dir.path().join("events.txt")).unwrap_or_default();
        text.lines().count()
    };
    wait_for("20000 lines", Duration::from_secs(60), || {
        assert!(process.exited().is_none(), "{}", process.log());
        written() == 20_000
    });
    for name in ["local-file-sink", "null-sink"] {
        let (_, status) = get(port, &format!("/connectors/{name}/status")).expect("an answer");
        assert_eq!(status["tasks"][0]["state"], "RUNNING", "{status}");
    }
    process.terminate();
    assert!(process.wait(Duration::from_secs(20)).success(), "{}", process.log());

    let store = dir.path().join("store");
    let export = at("export-s3.properties", &format!("store.url=file://{}", store.display()));
    let output = run(&[
        "export",
        export.to_str().expect("a path"),
        "--worker",
        worker.to_str().expect("a path"),
    ]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let documents = documents(&s3::objects(&store));
    assert_eq!(documents.len(), 20_000);
    assert!(documents.iter().all(|event| event["source"] == "web" && event["ip"] == ""));
    assert!(documents.iter().all(|event| event["user_agent"].is_string()));
}
