//! A rebalance that waits for a worker to come back (`scheduled.rebalance.max.delay.ms`): what those
//! who stay answer meanwhile. The statuses and texts are the JVM's, seen beside this in the same state.

use serde_json::{Value, json};

use super::LIMIT;
use super::worker::{ask, create, launch, sink, states, wait_for_state};
use crate::rig::distributed::{ClusterWorker, Kind};
use crate::rig::worker::{call, get};
use crate::rig::{kafka, wait_for};

/// Of what nobody has for now.
const NOBODY: &str = "Cannot complete request momentarily due to no known leader URL, likely because \
                      a rebalance was underway.";

/// Longer than the test; a later line wins.
const DELAY: &str = "scheduled.rebalance.max.delay.ms=600000\n";

fn restart(worker: &ClusterWorker, path: &str) -> (u16, Value) {
    call(worker.port, "POST", &format!("/connectors/{path}/restart"), "").expect("an answer")
}

#[test]
fn work_of_a_lost_worker_waits_and_all_else_goes_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let (group, topic) = ("delayed", "delayed-lines");
    kafka::shared().create_topic(topic, 1);
    let start = || {
        let mut worker = launch(Kind::Ours, dir.path(), group, DELAY);
        worker.wait();
        worker
    };
    // The first one leads, for as long as it lives.
    let stays = start();
    let mut config = sink(&dir.path().join("out.txt"), topic);
    config["tasks.max"] = json!("2");
    create(stays.port, "a", config.clone());
    create(stays.port, "b", config.clone());
    let mut goes = start();
    let both = [stays.id(), goes.id()];
    for name in ["a", "b"] {
        wait_for_state(stays.port, name, 2, "RUNNING", &both);
    }
    // Two connectors and four tasks: the second worker has got half of them.
    let of = |name: &str, task: usize| states(stays.port, name).get(task + 1).cloned();
    let all = [("a", 0), ("a", 1), ("b", 0), ("b", 1)];
    let mut lost = Vec::new();
    wait_for("two tasks on the second", LIMIT, || {
        let there = |(name, task): &(&str, usize)| {
            of(name, *task).is_some_and(|(state, at)| state == "RUNNING" && at == goes.id())
        };
        lost = all.into_iter().filter(there).collect();
        lost.len() == 2
    });
    goes.process.kill();
    let path = |(name, task): (&str, usize)| format!("{name}/tasks/{task}");
    for task in lost.iter().copied() {
        // Until the group misses the worker, it is asked, and does not answer.
        let mut answer = (0, Value::Null);
        wait_for("the work to be nobody's", LIMIT, || {
            answer = restart(&stays, &path(task));
            answer.0 == 409
        });
        assert_eq!(answer.1["message"], json!(NOBODY));
    }
    for task in all.into_iter().filter(|task| !lost.contains(task)) {
        assert_eq!(restart(&stays, &path(task)).0, 204, "{task:?}");
    }
    // What is asked of the whole cluster is done with what there is.
    let (name, _) = lost[0];
    let whole = format!("/connectors/{name}/restart?includeTasks=true");
    let answer = ask(stays.port, "POST", &whole, "", 202);
    assert_eq!(answer["tasks"].as_array().map(Vec::len), Some(2), "{answer}");
    for path in ["", "/config", "/tasks", "/status", "/offsets"] {
        let answer = get(stays.port, &format!("/connectors/{name}{path}")).expect("an answer");
        assert_eq!(answer.0, 200, "{path}: {}", answer.1);
    }
    // New work is shared out at once, the lost waits on.
    create(stays.port, "c", config);
    wait_for_state(stays.port, "c", 2, "RUNNING", &[stays.id()]);
    assert_eq!(restart(&stays, &path(lost[0])).0, 409);
    ask(stays.port, "DELETE", &format!("/connectors/{name}"), "", 204);
    wait_for("no trace of what was deleted", LIMIT, || {
        let answer = get(stays.port, &format!("/connectors/{name}/status")).expect("an answer");
        answer.0 == 404
    });
    stays.stop();
}
