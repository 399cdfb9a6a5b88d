//! Brokers that are away, and who waits for them.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::LIMIT;
use super::transactions::open_transaction;
use super::worker::{
    QUICK, append, ask, create, files, launch, sink, source, wait_for_lines, wait_for_state,
};
use crate::rig::distributed::{ClusterWorker, Kind};
use crate::rig::kafka::Kafka;
use crate::rig::worker::{call, get};
use crate::rig::{kafka, wait_for};

/// Eight users who ask for a connector's offsets, again and again until it is over.
fn ask_for_offsets(port: u16, name: &'static str) -> Arc<AtomicBool> {
    let over = Arc::new(AtomicBool::new(false));
    for _ in 0..8 {
        let over = Arc::clone(&over);
        std::thread::spawn(move || {
            while !over.load(Ordering::SeqCst) {
                get(port, &format!("/connectors/{name}/offsets"));
            }
        });
    }
    over
}

/// With exactly-once support a task's producer has to be somebody's, its offsets topic to be read and
/// earlier tasks to be fenced, all at a broker that takes connections and says nothing. Those who ask
/// for its offsets, again and again, wait; nobody else does.
#[test]
fn a_connector_whose_broker_is_silent_keeps_nobody_waiting() {
    let dir = tempfile::tempdir().expect("a folder");
    let (input, output) = files(dir.path());
    let (group, topic) = ("away-silent", "away-silent-lines");
    kafka::shared().create_topic(topic, 1);
    let mut ours = launch(Kind::Ours, dir.path(), group, "exactly.once.source.support=enabled\n");
    ours.wait();
    // The kernel takes connections for a while without any call of ours.
    let silent = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let servers = silent.local_addr().expect("an address").to_string();
    let mut away = source(&dir.path().join("away.txt"), topic);
    away["offsets.storage.topic"] = json!("away-silent-own");
    for client in ["producer", "consumer", "admin"] {
        away[format!("{client}.override.bootstrap.servers")] = json!(servers);
    }
    create(ours.port, "away", away.clone());
    wait_for("its task", LIMIT, || {
        get(ours.port, "/connectors/away/tasks").is_some_and(|(_, tasks)| tasks[0].is_object())
    });
    let port = ours.port;
    let over = ask_for_offsets(port, "away");
    append(&input, 0..3);
    create(port, "src", source(&input, topic));
    create(port, "snk", sink(&output, topic));
    wait_for_lines(&output, 3);
    for (verb, state) in [("pause", "PAUSED"), ("resume", "RUNNING")] {
        ask(port, "PUT", &format!("/connectors/src/{verb}"), "", 202);
        wait_for_state(port, "src", 1, state, &[ours.id()]);
    }
    // A second set of tasks, whose earlier ones are to be fenced where nobody answers.
    away["batch.size"] = json!("7");
    ask(port, "PUT", "/connectors/away/config", &away.to_string(), 200);
    append(&input, 3..6);
    wait_for_lines(&output, 6);
    ask(port, "POST", "/connectors/src/tasks/0/restart", "", 204);
    wait_for_state(port, "src", 1, "RUNNING", &[ours.id()]);
    wait_for("the offsets of another", LIMIT, || {
        let answer = get(port, "/connectors/src/offsets").expect("an answer");
        answer.1["offsets"][0]["offset"] == json!({"position": 42})
    });
    ask(port, "DELETE", "/connectors/away", "", 204);
    append(&input, 6..9);
    wait_for_lines(&output, 9);
    over.store(true, Ordering::SeqCst);
    ours.stop();
}

/// A transaction that is open in the worker's offsets topic hides where that ends from everybody who
/// asks for offsets, and keeps nobody else waiting.
#[test]
fn an_open_transaction_keeps_those_who_ask_for_offsets_waiting_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    let (input, output) = files(dir.path());
    let (group, topic) = ("away-open", "away-open-lines");
    kafka::shared().create_topic(topic, 1);
    let mut ours = launch(Kind::Ours, dir.path(), group, "exactly.once.source.support=enabled\n");
    ours.wait();
    append(&input, 0..3);
    create(ours.port, "src", source(&input, topic));
    create(ours.port, "snk", sink(&output, topic));
    wait_for_lines(&output, 3);
    let open = open_transaction(&kafka::shared().bootstrap(), "away-open-offsets");
    let over = ask_for_offsets(ours.port, "src");
    for name in ["src", "snk", "src", "snk"] {
        for (verb, state) in [("pause", "PAUSED"), ("resume", "RUNNING")] {
            ask(ours.port, "PUT", &format!("/connectors/{name}/{verb}"), "", 202);
            wait_for_state(ours.port, name, 1, state, &[ours.id()]);
        }
    }
    over.store(true, Ordering::SeqCst);
    drop(open);
    wait_for("the offsets", LIMIT, || {
        let answer = get(ours.port, "/connectors/src/offsets").expect("an answer");
        answer.1["offsets"][0]["offset"] == json!({"position": 21})
    });
    ours.stop();
}

/// The broker of the whole cluster is killed and comes back. Meanwhile the worker tells what it knows,
/// is not healthy, as the JVM's is not, and keeps what it is told until that can be written.
#[test]
fn a_worker_lives_through_the_death_of_its_broker() {
    let dir = tempfile::tempdir().expect("a folder");
    let (input, output) = files(dir.path());
    let (group, topic) = ("away-killed", "away-killed-lines");
    let kafka = Kafka::start();
    kafka.create_topic(topic, 1);
    let mut ours = ClusterWorker::launch(Kind::Ours, dir.path(), &kafka.bootstrap(), group, QUICK);
    ours.wait();
    let (port, id) = (ours.port, ours.id());
    append(&input, 0..3);
    create(port, "src", source(&input, topic));
    create(port, "snk", sink(&output, topic));
    wait_for_lines(&output, 3);
    assert_eq!(get(port, "/health").expect("an answer").0, 200);
    kafka.stop();
    wait_for("its work to be given up", LIMIT, || {
        ours.process.log().contains("stopping all connectors and tasks, others may run them soon")
    });
    for path in
        ["/connectors", "/connectors/src", "/connectors/src/tasks", "/connectors/src/status"]
    {
        assert_eq!(get(port, path).expect("an answer").0, 200, "{path}");
    }
    let (status, answer) = get(port, "/health").expect("an answer");
    let message = answer["message"].as_str().unwrap_or_default();
    let expected = "Worker was unable to handle this request and may be unable to handle other \
                    requests. The worker is currently ensuring membership in the cluster, which began";
    assert!(status == 500 && message.starts_with(expected), "{status} {answer}");
    // It is written, or refused after 30 s, when the broker may not be back yet on a busy machine.
    let told = std::thread::spawn(move || call(port, "PUT", "/connectors/src/pause", ""));
    kafka.start_again();
    let (status, answer) = told.join().expect("no panic").expect("an answer");
    let late = json!("Error writing target state to Kafka");
    assert!(status == 202 || (status == 500 && answer["message"] == late), "{status} {answer}");
    ask(port, "PUT", "/connectors/src/pause", "", 202);
    wait_for_state(port, "src", 1, "PAUSED", std::slice::from_ref(&id));
    append(&input, 3..6);
    ask(port, "PUT", "/connectors/src/resume", "", 202);
    wait_for_lines(&output, 6);
    for name in ["src", "snk"] {
        wait_for_state(port, name, 1, "RUNNING", std::slice::from_ref(&id));
    }
    assert_eq!(get(port, "/health").expect("an answer").0, 200);
    ours.stop();
}
