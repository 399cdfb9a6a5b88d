//! Two workers of ours in one group.

use std::collections::BTreeSet;

use serde_json::json;

use super::LIMIT;
use super::worker::{
    append, ask, create, files, sink, source, start, states, wait_for_lines, wait_for_state,
};
use crate::rig::distributed::Kind;
use crate::rig::wait_for;

#[test]
fn two_workers_share_and_one_takes_over() {
    let dir = tempfile::tempdir().expect("a folder");
    let (input, output) = files(dir.path());
    let (topic, group) = ("company-lines", "company");
    let first = start(Kind::Ours, dir.path(), group);
    let mut second = start(Kind::Ours, dir.path(), group);
    let both = [first.id(), second.id()];
    append(&input, 0..5);
    // One of these requests goes to a worker that does not lead, which hands it on.
    create(first.port, "src", source(&input, topic));
    create(second.port, "snk", sink(&output, topic));
    for name in ["src", "snk"] {
        wait_for_state(first.port, name, 1, "RUNNING", &both);
    }
    wait_for_lines(&output, 5);
    wait_for("both to have work", LIMIT, || {
        let all = [states(second.port, "src"), states(second.port, "snk")].concat();
        let workers: BTreeSet<_> = all.into_iter().map(|(_, worker)| worker).collect();
        workers.len() == 2
    });
    // Each answers for the other.
    ask(first.port, "PUT", "/connectors/src/pause", "", 202);
    wait_for_state(second.port, "src", 1, "PAUSED", &both);
    ask(second.port, "PUT", "/connectors/src/resume", "", 202);
    for port in [first.port, second.port] {
        for name in ["src", "snk"] {
            let (restart, task) = (
                format!("/connectors/{name}/restart"),
                format!("/connectors/{name}/tasks/0/restart"),
            );
            ask(port, "POST", &restart, "", 204);
            ask(port, "POST", &task, "", 204);
        }
    }
    wait_for_state(first.port, "src", 1, "RUNNING", &both);
    append(&input, 5..8);
    wait_for_lines(&output, 8);

    second.process.kill();
    for name in ["src", "snk"] {
        wait_for_state(first.port, name, 1, "RUNNING", &[first.id()]);
    }
    append(&input, 8..11);
    wait_for("the last lines", LIMIT, || {
        let text = std::fs::read_to_string(&output).unwrap_or_default();
        text.contains("line 10\n")
    });
    let text = std::fs::read_to_string(&output).expect("the output");
    let lines: BTreeSet<_> = text.lines().collect();
    assert_eq!(lines.len(), 11, "nothing is lost:\n{text}");
    assert_eq!(ask(first.port, "GET", "/connectors", "", 200), json!(["snk", "src"]));
    first.stop();
}
