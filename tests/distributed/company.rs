//! Two workers of ours in one group; one of ours with one of an older Connect.

use std::collections::BTreeSet;

use serde_json::json;

use super::LIMIT;
use super::worker::{
    QUICK, append, ask, create, files, sink, source, start, states, wait_for_lines, wait_for_state,
};
use crate::rig::distributed::{ClusterWorker, Kind, older_java};
use crate::rig::{kafka, wait_for};

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

/// A worker of Kafka Connect 3.9 leads ours; ours is left alone with all of it, and leads the next.
/// Each line arrives once: all go in an orderly way.
#[test]
fn a_worker_of_connect_3_9_leads_ours_and_follows_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let (input, output) = files(dir.path());
    let (topic, group) = ("older-lines", "older");
    let older = || {
        let java = older_java("3.9.1");
        let bootstrap = kafka::shared().bootstrap();
        let mut worker =
            ClusterWorker::launch_as(Kind::Jvm, java, dir.path(), &bootstrap, group, QUICK);
        worker.wait();
        worker
    };
    let first = older();
    append(&input, 0..5);
    create(first.port, "src", source(&input, topic));
    let ours = start(Kind::Ours, dir.path(), group);
    let both = [first.id(), ours.id()];
    create(ours.port, "snk", sink(&output, topic));
    let changed = |tasks: &str| {
        let mut changed = sink(&output, topic);
        changed["tasks.max"] = json!(tasks);
        changed.to_string()
    };
    ask(ours.port, "PUT", "/connectors/snk/config", &changed("2"), 200);
    let run = |worker: &ClusterWorker, tasks: usize, on: &[String]| {
        wait_for_state(worker.port, "src", 1, "RUNNING", on);
        wait_for_state(worker.port, "snk", tasks, "RUNNING", on);
    };
    run(&ours, 2, &both);
    wait_for_lines(&output, 5);
    for (port, verb, state) in [(ours.port, "pause", "PAUSED"), (first.port, "resume", "RUNNING")] {
        ask(port, "PUT", &format!("/connectors/src/{verb}"), "", 202);
        for worker in [&first, &ours] {
            wait_for_state(worker.port, "src", 1, state, &both);
        }
    }
    ask(ours.port, "POST", "/connectors/snk/restart?includeTasks=true", "", 202);
    first.stop();
    run(&ours, 2, &[ours.id()]);
    append(&input, 5..8);
    wait_for_lines(&output, 8);

    let second = older();
    let both = [second.id(), ours.id()];
    ask(second.port, "PUT", "/connectors/snk/config", &changed("1"), 200);
    run(&second, 1, &both);
    append(&input, 8..11);
    wait_for_lines(&output, 11);
    ours.stop();
    run(&second, 1, &[second.id()]);
    append(&input, 11..14);
    wait_for_lines(&output, 14);
    second.stop();
}
