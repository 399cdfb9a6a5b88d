//! How soon the worker answers and how little it needs: printed, for people to compare.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::rig::process::Process;
use crate::rig::worker::{binary, get, worker_file};
use crate::rig::{free_port, pause};

#[test]
fn an_idle_worker_answers_soon_and_needs_little() {
    let dir = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let listener = format!("http://127.0.0.1:{port}");
    let file = worker_file(dir.path(), "127.0.0.1:1", &[("listeners", &listener)]);
    let mut command = Command::new(binary());
    command.arg("connect-standalone").arg(&file);
    let start = Instant::now();
    let mut process = Process::start(&mut command, &dir.path().join("worker.log"));
    while get(port, "/connectors").is_none_or(|(status, _)| status != 200) {
        assert!(process.exited().is_none(), "{}", process.log());
        assert!(start.elapsed() < Duration::from_secs(20), "no answer: {}", process.log());
        pause(Duration::from_millis(1));
    }
    let answered = start.elapsed();
    pause(Duration::from_secs(2));
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).expect("alive");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).expect("a number")
    };
    let (resident, anonymous) = (field("VmRSS:"), field("RssAnon:"));
    println!(
        "{}: REST answers after {} ms; idle, no connectors: {} KiB resident, {} KiB of it anonymous",
        binary().display(),
        answered.as_millis(),
        resident,
        anonymous
    );
    process.terminate();
    assert!(process.wait(Duration::from_secs(10)).success(), "{}", process.log());
}
