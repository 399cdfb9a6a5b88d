//! What happens to a cluster between its good hours.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use millrace_herder::internal_requests::{ALGORITHM_HEADER, SIGNATURE_HEADER, SessionKey};

use super::LIMIT;
use super::rest::session_key;
use super::worker::{
    QUICK, append, ask, create, files, launch, sink, source, start, wait_for_lines, wait_for_state,
};
use crate::rig::distributed::{ClusterWorker, Kind};
use crate::rig::process::Process;
use crate::rig::worker::call_with;
use crate::rig::{kafka, wait_for};

fn started(dir: &std::path::Path, group: &str, more: &str) -> ClusterWorker {
    let mut worker = launch(Kind::Ours, dir, group, more);
    worker.wait();
    worker
}

/// A request between workers, signed with this key: the status.
fn signed(port: u16, key: &SessionKey) -> u16 {
    let mac = BASE64_STANDARD.encode(key.mac("HmacSHA256", b"[]").expect("a MAC"));
    let headers = [(SIGNATURE_HEADER, &*mac), (ALGORITHM_HEADER, "HmacSHA256")];
    let path = "/connectors/nope/tasks";
    call_with(port, "POST", path, &headers, "[]").expect("an answer").0
}

/// Two workers with a new key every second: tasks of connectors on both get to the leader, whichever
/// key they were signed with; a key that is over is refused.
#[test]
fn session_keys_change_while_tasks_are_planned() {
    let dir = tempfile::tempdir().expect("a folder");
    let (group, more) = ("rough-keys", "inter.worker.key.ttl.ms=1000\n");
    let first = started(dir.path(), group, more);
    let second = started(dir.path(), group, more);
    let mut old = None;
    wait_for("a key", LIMIT, || {
        old = session_key(kafka::shared(), group);
        old.is_some()
    });
    let old = old.expect("a key");
    kafka::shared().create_topic("rough-keys-topic", 1);
    let both = [first.id(), second.id()];
    let config = |round: usize| {
        let mut config = sink(&dir.path().join("out.txt"), "rough-keys-topic");
        config["tasks.max"] = serde_json::json!((1 + round % 2).to_string());
        config
    };
    for name in ["a", "b", "c", "d"] {
        create(second.port, name, config(0));
    }
    for round in 1..4 {
        for (at, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
            let port = [first.port, second.port][at % 2];
            let path = format!("/connectors/{name}/config");
            ask(port, "PUT", &path, &config(round).to_string(), 200);
        }
        for name in ["a", "b", "c", "d"] {
            wait_for_state(second.port, name, 1 + round % 2, "RUNNING", &both);
        }
        let before = session_key(kafka::shared(), group).expect("a key");
        wait_for("another key", LIMIT, || {
            session_key(kafka::shared(), group).is_some_and(|key| key.bytes != before.bytes)
        });
    }
    for worker in [&first, &second] {
        assert_eq!(signed(worker.port, &old), 403, "a key that is over");
        // One that is over by the time that it is checked is no proof.
        wait_for("a key that holds", LIMIT, || {
            let key = session_key(kafka::shared(), group).expect("a key");
            signed(worker.port, &key) == 404
        });
    }
    second.stop();
    first.stop();
}

type Record = (&'static str, &'static str);

/// Each topic: what is to be said of it, and records (key, value) that make no sense.
const NONSENSE: [(&str, &str, &[Record]); 3] = [
    (
        "config",
        "config topic:",
        &[
            ("connector-x", "{"),
            ("connector-x", "7"),
            ("connector-x", r#"{"properties":[]}"#),
            ("commit-src", r#"{"tasks":"many"}"#),
            ("task-src-x", r#"{"properties":{}}"#),
            ("target-state-src", r#"{"state":"ASLEEP"}"#),
            ("session-key", r#"{"key":"?"}"#),
            ("restart-connector-src", "[]"),
            ("something-else", "{}"),
            ("\u{fffd}", "\u{1}\u{2}"),
        ],
    ),
    (
        "status",
        "status topic:",
        &[
            ("status-connector-src", "{"),
            ("status-connector-src", r#"{"state":"HAPPY"}"#),
            ("status-task-src-x", "{}"),
            ("status-topic-x", "{}"),
            ("something-else", "{}"),
        ],
    ),
    (
        "offsets",
        "offset topic:",
        &[("nonsense", "{}"), (r#"["src"]"#, "{}"), (r#"["src",{"filename":"x"}]"#, "{")],
    ),
];

#[test]
fn records_that_make_no_sense_are_named_and_passed_over() {
    let dir = tempfile::tempdir().expect("a folder");
    let (input, output) = files(dir.path());
    let (group, topic) = ("rough-records", "rough-records-lines");
    let worker = start(Kind::Ours, dir.path(), group);
    append(&input, 0..3);
    create(worker.port, "src", source(&input, topic));
    create(worker.port, "snk", sink(&output, topic));
    wait_for_lines(&output, 3);
    for (name, said, records) in NONSENSE {
        let lines: String =
            records.iter().map(|(key, value)| format!("{key}\t{value}\n")).collect();
        kafka::shared().produce(&format!("{group}-{name}"), 0, "none", true, &lines);
        told(&worker, said, records.len());
    }
    goes_on(&worker);
    append(&input, 3..6);
    wait_for_lines(&output, 6);
    worker.stop();
    // As they are there at the start.
    let worker = start(Kind::Ours, dir.path(), group);
    for (_, said, records) in NONSENSE {
        told(&worker, said, records.len());
    }
    wait_for_state(worker.port, "src", 1, "RUNNING", &[worker.id()]);
    goes_on(&worker);
    append(&input, 6..9);
    wait_for_lines(&output, 9);
    worker.stop();

    /// A line for each, with its offset.
    fn told(worker: &ClusterWorker, said: &str, count: usize) {
        wait_for(&format!("{count} lines of the {said}"), LIMIT, || {
            let log = worker.process.log();
            let lines = log.lines().filter(|line| line.contains(said) && line.contains("offset="));
            lines.count() >= count
        });
    }

    fn goes_on(worker: &ClusterWorker) {
        ask(worker.port, "PUT", "/connectors/src/pause", "", 202);
        wait_for_state(worker.port, "src", 1, "PAUSED", &[worker.id()]);
        ask(worker.port, "PUT", "/connectors/src/resume", "", 202);
        wait_for_state(worker.port, "src", 1, "RUNNING", &[worker.id()]);
    }
}

/// As the JVM's, the process ends: nothing but another name of the group helps.
#[test]
fn a_group_of_plain_consumers_ends_the_worker_with_the_jvms_words() {
    let dir = tempfile::tempdir().expect("a folder");
    let group = "rough-consumers";
    kafka::shared().create_topic("rough-consumers-topic", 1);
    let mut kcat = kafka::shared().kcat();
    kcat.args(["-G", group, "rough-consumers-topic"]);
    let consumer = Process::start(&mut kcat, &dir.path().join("kcat.log"));
    wait_for("a plain consumer of the group's name", LIMIT, || {
        consumer.log().contains("assigned: ")
    });
    let mut ours = launch(Kind::Ours, dir.path(), group, "");
    let logged = dir.path().join("log4j.properties");
    let text = "log4j.rootLogger=ERROR, out\n\
                log4j.appender.out=org.apache.log4j.ConsoleAppender\n\
                log4j.appender.out.layout=org.apache.log4j.SimpleLayout\n";
    std::fs::write(&logged, text).expect("a file");
    let mut java = kafka::java();
    java.arg(format!("-Dlog4j.configuration=file:{}", logged.display()));
    let bootstrap = kafka::shared().bootstrap();
    let mut jvm = ClusterWorker::launch_as(Kind::Jvm, java, dir.path(), &bootstrap, group, QUICK);
    let code = ours.process.wait(LIMIT).code();
    let words = "The group member's supported protocols are incompatible with those of existing \
                 members";
    let log = ours.process.log();
    assert!(log.contains(words) && log.contains("choose another group.id"), "{log}");
    assert_eq!(jvm.process.wait(LIMIT).code(), code);
    assert!(jvm.process.log().contains(words), "{}", jvm.process.log());
}
