//! A source whose offsets are in a topic of its own (`offsets.storage.topic`).

use std::path::Path;

use serde_json::{Value, json};

use super::LIMIT;
use super::transactions::committed;
use super::worker::{append, ask, create, files, launch, source, wait_for_state};
use crate::rig::distributed::{ClusterWorker, Kind};
use crate::rig::worker::get;
use crate::rig::{kafka, wait_for};

const ENABLED: &str = "exactly.once.source.support=enabled\n";

fn start(kind: Kind, dir: &Path, group: &str, more: &str) -> ClusterWorker {
    let mut worker = launch(kind, dir, group, more);
    worker.wait();
    worker
}

/// The topic holds each of these lines once, in order.
fn wait_for_lines(topic: &str, count: usize) {
    let expected: Vec<String> = (0..count).map(|line| format!("line {line}")).collect();
    let mut lines = Vec::new();
    wait_for(&format!("{count} lines in {topic}"), LIMIT, || {
        lines = committed(&kafka::shared().bootstrap(), topic);
        lines.len() >= count
    });
    assert_eq!(lines, expected);
}

/// What the offset topic says last, of its one key.
fn last(topic: &str) -> Option<String> {
    committed(&kafka::shared().bootstrap(), topic).pop()
}

fn wait_for_offset(worker: &ClusterWorker, topics: [&str; 2], position: Option<u64>) {
    let (shown, stored) = match position {
        Some(position) => {
            let offset = json!({"position": position});
            (vec![offset.clone()], offset.to_string())
        }
        None => (Vec::new(), String::new()),
    };
    wait_for(&format!("offset {position:?}"), LIMIT, || {
        let Some((200, body)) = get(worker.port, "/connectors/src/offsets") else { return false };
        let offsets = body["offsets"].as_array().cloned().unwrap_or_default();
        offsets.iter().map(|entry| entry["offset"].clone()).collect::<Vec<Value>>() == shown
    });
    for topic in topics {
        wait_for(&format!("offset {position:?} in {topic}"), LIMIT, || {
            last(topic).as_deref() == Some(stored.as_str())
        });
    }
}

/// From the worker's topic to the connector's own, to the next worker and back, and to where a user
/// wants it to be.
fn moves_to_a_topic_of_its_own(group: &str, next: Kind, more: &str) {
    let dir = tempfile::tempdir().expect("a folder");
    let (input, _) = files(dir.path());
    let (topic, own, shared) =
        (format!("{group}-lines"), format!("{group}-own"), format!("{group}-offsets"));
    kafka::shared().create_topic(&topic, 1);
    let ours = start(Kind::Ours, dir.path(), group, more);
    append(&input, 0..3);
    create(ours.port, "src", source(&input, &topic));
    wait_for_lines(&topic, 3);
    wait_for_offset(&ours, [&shared, &shared], Some(21));
    // What the worker's topic says is gone on from; from then on both say the same. No task without the
    // topic may read what comes next.
    ask(ours.port, "PUT", "/connectors/src/stop", "", 204);
    wait_for_state(ours.port, "src", 0, "STOPPED", &[ours.id()]);
    let mut config = source(&input, &topic);
    config["offsets.storage.topic"] = json!(own);
    ask(ours.port, "PUT", "/connectors/src/config", &config.to_string(), 200);
    ask(ours.port, "PUT", "/connectors/src/resume", "", 202);
    append(&input, 3..6);
    wait_for_lines(&topic, 6);
    wait_for_offset(&ours, [&own, &shared], Some(42));
    ours.stop();
    append(&input, 6..9);
    let other = start(next, dir.path(), group, more);
    wait_for_lines(&topic, 9);
    wait_for_offset(&other, [&own, &shared], Some(63));
    other.stop();
    append(&input, 9..10);
    let ours = start(Kind::Ours, dir.path(), group, more);
    wait_for_lines(&topic, 10);
    wait_for_offset(&ours, [&own, &shared], Some(70));
    ask(ours.port, "PUT", "/connectors/src/stop", "", 204);
    wait_for_state(ours.port, "src", 0, "STOPPED", &[ours.id()]);
    let change = json!({"offsets": [
        {"partition": {"filename": input}, "offset": {"position": 14}},
    ]});
    ask(ours.port, "PATCH", "/connectors/src/offsets", &change.to_string(), 200);
    wait_for_offset(&ours, [&own, &shared], Some(14));
    ask(ours.port, "DELETE", "/connectors/src/offsets", "", 200);
    wait_for_offset(&ours, [&own, &shared], None);
    ours.stop();
}

#[test]
fn offsets_move_to_a_topic_of_the_connectors_own() {
    moves_to_a_topic_of_its_own("own-plain", Kind::Ours, "");
}

#[test]
fn offsets_of_transactions_move_to_a_topic_of_the_connectors_own() {
    moves_to_a_topic_of_its_own("own-once", Kind::Jvm, ENABLED);
}

/// The task fails with the JVM's words, and starts when the topic is as it must be.
#[test]
fn an_own_topic_that_would_lose_offsets_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let (input, _) = files(dir.path());
    let (group, topic) = ("own-refused", "own-refused-lines");
    kafka::shared().create_topic(topic, 1);
    let ours = start(Kind::Ours, dir.path(), group, ENABLED);
    append(&input, 0..3);
    let mut config = source(&input, topic);
    // Not compacted.
    config["offsets.storage.topic"] = json!(topic);
    create(ours.port, "src", config.clone());
    wait_for("the task to fail", LIMIT, || {
        let status = get(ours.port, "/connectors/src/status").expect("an answer").1;
        let trace = status["tasks"][0]["trace"].as_str().unwrap_or_default().to_owned();
        trace.contains("is required to have 'cleanup.policy=compact'")
    });
    // Its worker goes on.
    config["offsets.storage.topic"] = json!("own-refused-own");
    ask(ours.port, "PUT", "/connectors/src/config", &config.to_string(), 200);
    wait_for_lines(topic, 3);
    ours.stop();
}
