//! One worker.

use serde_json::json;

use super::LIMIT;
use super::worker::{
    append, ask, create, files, launch, sink, source, start, wait_for_lines, wait_for_state,
};
use crate::rig::distributed::Kind;
use crate::rig::worker::get;
use crate::rig::{kafka, wait_for};

#[test]
fn connectors_their_states_and_offsets_survive_a_kill() {
    let dir = tempfile::tempdir().expect("a folder");
    let (input, output) = files(dir.path());
    let group = "alone-kill";
    let mut worker = start(Kind::Ours, dir.path(), group);
    append(&input, 0..5);
    create(worker.port, "src", source(&input, "alone-kill-lines"));
    create(worker.port, "snk", sink(&output, "alone-kill-lines"));
    wait_for_lines(&output, 5);
    ask(worker.port, "PUT", "/connectors/src/pause", "", 202);
    wait_for_state(worker.port, "src", 1, "PAUSED", &[worker.id()]);
    wait_for("the source's offset", LIMIT, || {
        let (_, offsets) = get(worker.port, "/connectors/src/offsets").expect("an answer");
        offsets["offsets"][0]["offset"] == json!({"position": 35})
    });
    // What the sink has not committed would come again.
    wait_for("the sink's offset", LIMIT, || {
        let (_, offsets) = get(worker.port, "/connectors/snk/offsets").expect("an answer");
        offsets["offsets"][0]["offset"] == json!({"kafka_offset": 5})
    });
    worker.process.kill();
    append(&input, 5..9);

    let worker = start(Kind::Ours, dir.path(), group);
    wait_for_state(worker.port, "src", 1, "PAUSED", &[worker.id()]);
    wait_for_state(worker.port, "snk", 1, "RUNNING", &[worker.id()]);
    ask(worker.port, "PUT", "/connectors/src/resume", "", 202);
    wait_for_lines(&output, 9);
    // The whole of it anew, and a connector that is changed.
    ask(worker.port, "POST", "/connectors/src/restart?includeTasks=true", "", 202);
    ask(worker.port, "POST", "/connectors/snk/tasks/0/restart", "", 204);
    let mut changed = sink(&output, "alone-kill-lines");
    changed["tasks.max"] = json!("2");
    ask(worker.port, "PUT", "/connectors/snk/config", &changed.to_string(), 200);
    wait_for_state(worker.port, "snk", 2, "RUNNING", &[worker.id()]);
    append(&input, 9..12);
    wait_for_lines(&output, 12);
    // Read again from a place of the user's choice, while it is stopped.
    ask(worker.port, "PUT", "/connectors/src/stop", "", 204);
    wait_for_state(worker.port, "src", 0, "STOPPED", &[worker.id()]);
    ask(worker.port, "DELETE", "/connectors/src/offsets", "", 200);
    let (_, offsets) = get(worker.port, "/connectors/src/offsets").expect("an answer");
    assert_eq!(offsets, json!({"offsets": []}));
    ask(worker.port, "DELETE", "/connectors/snk", "", 204);
    wait_for("the deleted connector's status to go", LIMIT, || {
        get(worker.port, "/connectors/snk/status").is_some_and(|(status, _)| status == 404)
    });
    worker.stop();

    let worker = start(Kind::Ours, dir.path(), group);
    wait_for_state(worker.port, "src", 0, "STOPPED", &[worker.id()]);
    assert_eq!(ask(worker.port, "GET", "/connectors", "", 200), json!(["src"]));
    worker.stop();
}

#[test]
fn a_topic_that_is_not_compacted_ends_the_worker_with_the_jvms_words() {
    let dir = tempfile::tempdir().expect("a folder");
    let kafka = kafka::shared();
    kafka.create_topic("alone-policy-config", 1);
    let mut worker = launch(Kind::Ours, dir.path(), "alone-policy", "");
    assert_eq!(worker.process.wait(LIMIT).code(), Some(1));
    let log = worker.process.log();
    let words = "Topic 'alone-policy-config' supplied via the 'config.storage.topic' property is \
                 required to have 'cleanup.policy=compact'";
    assert!(log.contains(words), "{log}");
}

#[test]
fn a_worker_that_cannot_start_says_why_and_with_which_code() {
    let dir = tempfile::tempdir().expect("a folder");
    let refused = |more: &str, why: &str| {
        let mut worker = launch(Kind::Ours, dir.path(), "alone-codes", more);
        assert_eq!(worker.process.wait(LIMIT).code(), Some(2));
        let log = worker.process.log();
        assert!(log.contains(why), "{why}\n{log}");
    };
    refused(
        "bootstrap.servers=127.0.0.1:1\ndefault.api.timeout.ms=1000\n",
        "Failed to connect to and describe Kafka cluster.",
    );
    refused("exactly.once.source.support=always\n", "String must be one of (case insensitive)");
}
