//! The commands that the README and the examples show, run as a user runs them.

use std::process::Command;
use std::time::Duration;

use crate::rig::process::Process;
use crate::rig::worker::{binary, run};
use crate::rig::{free_port, project};

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
