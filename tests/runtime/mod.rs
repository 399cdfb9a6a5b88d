//! The engine where io_uring is forbidden: `auto` runs on epoll and says why, `io_uring` refuses with
//! the remedy. What the engine does on epoll is asked by the other tests, run with
//! `MILLRACE_RUNTIME=epoll`.

mod sandbox;

use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use crate::rig::process::Process;
use crate::rig::worker::{Worker, binary, properties, worker_file};
use crate::rig::{free_port, wait_for};
use sandbox::start_without_io_uring;

/// A command of ours that takes nothing from the environment of the tests.
fn millrace(args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(args).env_remove("MILLRACE_RUNTIME");
    command
}

/// As [`millrace`], with so little memory to lock that no ring can be made.
fn millrace_without_locked_memory(args: &[&str]) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", "ulimit -l 64 && exec \"$@\"", "bash"]);
    command.arg(binary()).args(args).env_remove("MILLRACE_RUNTIME");
    command
}

fn end(mut process: Process) -> (ExitStatus, String) {
    let status = process.wait(Duration::from_secs(120));
    (status, process.log())
}

fn quickstart(dir: &Path) -> [String; 5] {
    ["quickstart", "--records", "100000", "--dir", dir.to_str().expect("a path")].map(str::to_owned)
}

/// The quickstart ran to its end on epoll, and said once why.
fn ran_on_epoll((status, log): (ExitStatus, String), reason: &str, remedy: &str) {
    assert!(status.success(), "{log}");
    for needle in ["100,000 records", reason, remedy, "MILLRACE_RUNTIME=epoll"] {
        assert!(log.contains(needle), "no {needle:?} in:\n{log}");
    }
    assert_eq!(log.matches("the engine runs on epoll").count(), 1, "{log}");
}

const FORBIDDEN: &str = "io_uring cannot be used here (Operation not permitted";
const ALLOW: &str = "seccomp profile";

#[test]
fn auto_runs_on_epoll_where_io_uring_is_forbidden() {
    let dir = tempfile::tempdir().expect("a folder");
    let args = quickstart(dir.path());
    let mut command = millrace(&args.each_ref().map(String::as_str));
    let process = start_without_io_uring(&mut command, &dir.path().join("log"));
    ran_on_epoll(end(process), FORBIDDEN, ALLOW);
}

#[test]
fn auto_runs_on_epoll_where_too_little_memory_may_be_locked() {
    let dir = tempfile::tempdir().expect("a folder");
    let args = quickstart(dir.path());
    let mut command = millrace_without_locked_memory(&args.each_ref().map(String::as_str));
    let process = Process::start(&mut command, &dir.path().join("log"));
    ran_on_epoll(end(process), "only 65536 bytes of memory may be locked", "ulimit -l");
}

#[test]
fn epoll_by_choice_says_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let args = quickstart(dir.path());
    let mut command = millrace(&args.each_ref().map(String::as_str));
    command.env("MILLRACE_RUNTIME", "epoll");
    let process = start_without_io_uring(&mut command, &dir.path().join("log"));
    let (status, log) = end(process);
    assert!(status.success() && log.contains("100,000 records"), "{log}");
    assert!(!log.contains("io_uring"), "{log}");
}

/// What a refusal says: who asked for io_uring, why not, what to do.
fn refused((status, log): (ExitStatus, String), asked: &str, reason: &str, remedy: &str) {
    assert_eq!(status.code(), Some(2), "{log}");
    let asked_for = format!("cannot start with {asked}=io_uring on this machine");
    let or = format!("or set {asked}=auto");
    for needle in [asked_for.as_str(), reason, remedy, or.as_str()] {
        assert!(log.contains(needle), "no {needle:?} in:\n{log}");
    }
}

#[test]
fn io_uring_by_choice_is_refused_with_the_remedy() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = worker_file(dir.path(), "127.0.0.1:9", &[("millrace.runtime", "io_uring")]);
    let connector = properties(
        dir.path(),
        "sink.properties",
        &[
            ("name", "lines"),
            ("connector.class", "FileStreamSink"),
            ("topics", "t"),
            ("file", dir.path().join("lines").to_str().expect("a path")),
        ],
    );
    let (file, connector) = (file.to_str().expect("a path"), connector.to_str().expect("a path"));
    let log = dir.path().join("log");
    let commands: [&[&str]; 2] =
        [&["connect-standalone", file, connector], &["export", connector, "--worker", file]];
    for args in commands {
        let process = start_without_io_uring(&mut millrace(args), &log);
        refused(end(process), "millrace.runtime", FORBIDDEN, ALLOW);
        let process = Process::start(&mut millrace_without_locked_memory(args), &log);
        refused(end(process), "millrace.runtime", "65536 bytes", "LimitMEMLOCK=");
    }
    // Without a worker file, the environment asks.
    let folder = dir.path().join("broker");
    let broker = ["broker", "--listen", "127.0.0.1:0", "--dir", folder.to_str().expect("a path")];
    for args in [&broker[..], &["quickstart"]] {
        let mut command = millrace(args);
        command.env("MILLRACE_RUNTIME", "io_uring");
        let process = start_without_io_uring(&mut command, &log);
        refused(end(process), "MILLRACE_RUNTIME", FORBIDDEN, ALLOW);
    }
}

#[test]
fn names_of_no_runtime_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = dir.path().join("log");
    let mut command = millrace(&["quickstart"]);
    command.env("MILLRACE_RUNTIME", "kqueue");
    let (status, text) = end(Process::start(&mut command, &log));
    assert_eq!(status.code(), Some(2), "{text}");
    assert!(
        text.contains("MILLRACE_RUNTIME: 'kqueue' is none of: auto, io_uring, epoll"),
        "{text}"
    );
    let file = worker_file(dir.path(), "127.0.0.1:9", &[("millrace.runtime", "kqueue")]);
    let args = ["connect-standalone", file.to_str().expect("a path")];
    let (status, text) = end(Process::start(&mut millrace(&args), &log));
    assert_eq!(status.code(), Some(2), "{text}");
    assert!(text.contains("Invalid value kqueue for configuration millrace.runtime"), "{text}");
}

#[test]
fn the_worker_file_has_the_last_word() {
    let dir = tempfile::tempdir().expect("a folder");
    let port = free_port().to_string();
    let listener = format!("http://127.0.0.1:{port}");
    let wanted = [("millrace.runtime", "epoll"), ("listeners", listener.as_str())];
    let file = worker_file(dir.path(), "127.0.0.1:9", &wanted);
    let mut command = millrace(&["connect-standalone", file.to_str().expect("a path")]);
    command.env("MILLRACE_RUNTIME", "io_uring");
    let process = start_without_io_uring(&mut command, &dir.path().join("log"));
    let mut worker = Worker { process, port: port.parse().expect("a port") };
    wait_for("the worker", Duration::from_secs(20), || {
        assert!(worker.process.exited().is_none(), "{}", worker.process.log());
        worker.process.log().contains("Kafka Connect started")
    });
    assert_eq!(worker.get("/").0, 200);
    worker.process.terminate();
    let (status, log) = end(worker.process);
    assert!(status.success(), "{log}");
}
