//! `exactly.once.source.support=enabled`: what readers of committed records see of a source's topic
//! through kills, zombies and other numbers of tasks.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use super::LIMIT;
use super::transactions::{committed, exercise};
use super::worker::{append, ask, create, files, launch, metrics, source, states, wait_for_state};
use crate::rig::distributed::{ClusterWorker, Kind};
use crate::rig::worker::{call, get};
use crate::rig::{kafka, wait_for};

const ENABLED: &str = "exactly.once.source.support=enabled\n";

fn start(kind: Kind, dir: &Path, group: &str) -> ClusterWorker {
    let mut worker = launch(kind, dir, group, ENABLED);
    worker.wait();
    worker
}

/// A source whose polls, and so whose transactions, are small.
fn in_steps(file: &Path, topic: &str) -> Value {
    let mut config = source(file, topic);
    config["batch.size"] = json!("50");
    config["exactly.once.support"] = json!("required");
    config
}

/// Writes lines all the time, so that whatever happens does in the middle of a transaction or between
/// two.
struct Feeder {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
    written: Arc<AtomicUsize>,
}

impl Feeder {
    fn start(file: &Path) -> Self {
        let (stop, stopped) = mpsc::channel();
        let (file, written) = (file.to_owned(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&written);
        let thread = std::thread::spawn(move || {
            let mut next = 0;
            // Slow enough for any source to catch up.
            while stopped.recv_timeout(Duration::from_millis(30)).is_err() {
                append(&file, next..next + 2);
                next += 2;
                count.store(next, Ordering::SeqCst);
            }
        });
        Self { stop, thread, written }
    }

    /// Waits until all that is written by now, and a little more, is committed: each line once, in
    /// order.
    fn wait_for_more(&self, topic: &str) {
        let count = self.written.load(Ordering::SeqCst) + 20;
        assert_eq!(first_committed(topic, "beginning", count), expected(count));
    }

    /// The number of lines in the file, at last.
    fn stop(self) -> usize {
        self.stop.send(()).expect("it feeds");
        self.thread.join().expect("it fed");
        self.written.load(Ordering::SeqCst)
    }
}

fn expected(count: usize) -> Vec<String> {
    (0..count).map(|line| format!("line {line}")).collect()
}

/// So many committed records, which are waited for.
fn first_committed(topic: &str, from: &str, count: usize) -> Vec<String> {
    let output = Command::new("timeout")
        .args([&LIMIT.as_secs().to_string(), "kcat", "-b", &kafka::shared().bootstrap(), "-C"])
        .args(["-t", topic, "-o", from, "-c", &count.to_string(), "-q", "-f", "%s\n"])
        .args(["-X", "isolation.level=read_committed"])
        .output()
        .expect("kcat");
    let lines = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<String> = lines.lines().map(str::to_owned).collect();
    assert!(output.status.success(), "only {} of {count} records came", lines.len());
    lines
}

fn shown(topic: &str) -> usize {
    committed(&kafka::shared().bootstrap(), topic).len()
}

/// Each line once, in order, and nothing else.
fn wait_for_committed(topic: &str, count: usize) {
    wait_for(&format!("{count} committed lines in {topic}"), LIMIT, || shown(topic) >= count);
    assert_eq!(committed(&kafka::shared().bootstrap(), topic), expected(count));
}

/// A compacted topic's records so far.
fn records(topic: &str) -> Vec<String> {
    kafka::consumed(kafka::shared().kcat(), topic, "%k %s\n")
}

fn signal(worker: &ClusterWorker, name: &str) {
    let pid = worker.process.id().to_string();
    let status = Command::new("kill").args([&format!("-{name}"), &pid]).status().expect("kill");
    assert!(status.success(), "no signal {name} to {pid}");
}

#[test]
fn the_transactional_producer_on_the_real_broker() {
    let kafka = kafka::shared();
    kafka.create_topic("once-producer", 1);
    exercise(&kafka.bootstrap(), "once-producer");
}

/// The worker is killed between poll and commit again and again: what it had not committed is hidden,
/// and read again.
#[test]
fn a_source_that_is_killed_in_mid_stream_gives_each_line_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let (input, _) = files(dir.path());
    let (topic, group) = ("once-killed-lines", "once-killed");
    kafka::shared().create_topic(topic, 1);
    let mut worker = start(Kind::Ours, dir.path(), group);
    create(worker.port, "src", in_steps(&input, topic));
    wait_for_state(worker.port, "src", 1, "RUNNING", &[worker.id()]);
    let feeder = Feeder::start(&input);
    for _ in 0..2 {
        feeder.wait_for_more(topic);
        worker.process.kill();
        worker = start(Kind::Ours, dir.path(), group);
    }
    feeder.wait_for_more(topic);
    wait_for_committed(topic, feeder.stop());
    // The last place is stored, by the transaction that ended there.
    let bytes = std::fs::metadata(&input).expect("the input").len();
    wait_for("the source's offset", LIMIT, || {
        let (_, offsets) = get(worker.port, "/connectors/src/offsets").expect("an answer");
        offsets["offsets"][0]["offset"] == json!({"position": bytes})
    });
    // What a paused source had open is closed; a stopped one's offsets may be changed.
    ask(worker.port, "PUT", "/connectors/src/stop", "", 204);
    wait_for_state(worker.port, "src", 0, "STOPPED", &[worker.id()]);
    ask(worker.port, "DELETE", "/connectors/src/offsets", "", 200);
    let (_, offsets) = get(worker.port, "/connectors/src/offsets").expect("an answer");
    assert_eq!(offsets, json!({"offsets": []}));
    worker.stop();
}

/// A worker that slept through the end of its membership wakes up and goes on writing: nobody sees it.
#[test]
fn a_zombie_is_fenced() {
    let dir = tempfile::tempdir().expect("a folder");
    let (input, _) = files(dir.path());
    let (topic, group) = ("once-zombie-lines", "once-zombie");
    kafka::shared().create_topic(topic, 1);
    // The first one leads: asleep, it has the task and the right to write to the config topic.
    let first = start(Kind::Ours, dir.path(), group);
    create(first.port, "src", in_steps(&input, topic));
    wait_for_state(first.port, "src", 1, "RUNNING", &[first.id()]);
    let second = start(Kind::Ours, dir.path(), group);
    let both = [first.id(), second.id()];
    wait_for_state(second.port, "src", 1, "RUNNING", &both);
    let feeder = Feeder::start(&input);
    feeder.wait_for_more(topic);
    let owner = states(second.port, "src").pop().expect("a task").1;
    let (zombie, heir) = if owner == first.id() { (&first, &second) } else { (&second, &first) };
    signal(zombie, "STOP");
    wait_for_state(heir.port, "src", 1, "RUNNING", &[heir.id()]);
    feeder.wait_for_more(topic);
    signal(zombie, "CONT");
    // It learns that it is out, gives its work up, and is of use again.
    feeder.wait_for_more(topic);
    wait_for_state(zombie.port, "src", 1, "RUNNING", &both);
    feeder.wait_for_more(topic);
    wait_for_committed(topic, feeder.stop());
    first.stop();
    second.stop();
}

/// Each set of tasks starts after the producers of the one before were fenced, whoever runs them, and
/// the config topic tells.
#[test]
fn sets_of_tasks_follow_one_another() {
    let dir = tempfile::tempdir().expect("a folder");
    let group = "once-sets";
    let first = start(Kind::Ours, dir.path(), group);
    let second = start(Kind::Ours, dir.path(), group);
    let both = [first.id(), second.id()];
    let config = |tasks: u32| {
        json!({
            "connector.class": "millrace.DatagenSourceConnector", "tasks.max": tasks.to_string(),
            "topic": "once-sets-records", "quickstart": "users", "rate": "200", "exactly.once.support": "required",
            "transaction.boundary": "interval", "transaction.boundary.interval.ms": "100",
        })
    };
    let topic = format!("{group}-config");
    let last = |key: &str| records(&topic).into_iter().rfind(|record| record.starts_with(key));
    let fenced = |tasks: usize| {
        let record = format!(r#"tasks-fencing-gen {{"task-count":{tasks}}}"#);
        wait_for(&record, LIMIT, || last("tasks-fencing-") == Some(record.clone()));
        wait_for_state(first.port, "gen", tasks, "RUNNING", &both);
    };
    create(first.port, "gen", config(3));
    fenced(3);
    ask(second.port, "PUT", "/connectors/gen/config", &config(2).to_string(), 200);
    fenced(2);
    ask(first.port, "PUT", "/connectors/gen/config", &config(4).to_string(), 200);
    fenced(4);
    assert_eq!(first_committed("once-sets-records", "end", 100).len(), 100);
    for worker in [&first, &second] {
        has_samples(worker, &first);
    }
    let kept: Vec<String> = records(&topic)
        .into_iter()
        .filter(|record| record.starts_with("tasks-fencing-") || record.starts_with("commit-"))
        .collect();
    let mut expected = Vec::new();
    for tasks in [3, 2, 4] {
        expected.push(format!(r#"commit-gen {{"tasks":{tasks}}}"#));
        expected.push(format!(r#"tasks-fencing-gen {{"task-count":{tasks}}}"#));
    }
    assert_eq!(kept, expected);
    // Who asks without being of the cluster is refused, and a connector that can't is not accepted.
    let (status, body) = call(first.port, "PUT", "/connectors/gen/fence", "").expect("an answer");
    assert_eq!(
        (status, &body["message"]),
        (400, &json!("Internal request missing required signature"))
    );
    let stdin = json!({"name": "in", "config": {
        "connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector",
        "tasks.max": "1", "topic": "t", "exactly.once.support": "required",
        "transaction.boundary": "connector",
    }});
    let refused = call(first.port, "POST", "/connectors", &stdin.to_string()).expect("an answer").1;
    let message = refused["message"].as_str().expect("a message");
    for why in [
        "The connector does not support exactly-once semantics with the provided configuration.",
        "The connector does not support connector-defined transaction boundaries",
    ] {
        assert!(message.contains(why), "{message}");
    }
    first.stop();
    second.stop();
}

/// What Kafka Connect measures of transactions, and of rebalances.
fn has_samples(worker: &ClusterWorker, leader: &ClusterWorker) {
    let leads = format!("leader_name=\"http://{}/\"", leader.id());
    let expected = [
        "source_task_metrics_transaction_size_min{connector=\"gen\"",
        "source_task_metrics_transaction_size_avg{connector=\"gen\"",
        "source_task_metrics_transaction_size_max{connector=\"gen\"",
        "connect_worker_rebalance_metrics_connect_protocol{connect_protocol=\"SESSIONED\"} 1",
        &format!("connect_worker_rebalance_metrics_leader_name{{{leads}}} 1"),
        "connect_worker_rebalance_metrics_epoch ",
        "connect_worker_rebalance_metrics_completed_rebalances_total ",
        "connect_worker_rebalance_metrics_rebalancing ",
        "connect_worker_rebalance_metrics_rebalance_avg_time_ms ",
        "connect_worker_rebalance_metrics_rebalance_max_time_ms ",
        "connect_worker_rebalance_metrics_time_since_last_rebalance_ms ",
    ];
    let mut missing = Vec::new();
    wait_for("samples of transactions and rebalances", LIMIT, || {
        let all = metrics(worker.port);
        let there = |name: &str| {
            let start = format!("kafka_connect_{name}");
            all.iter().any(|line| line.starts_with(&start) && !line.ends_with(" NaN"))
        };
        missing = expected.iter().filter(|name| !there(name)).collect();
        if !missing.is_empty() {
            eprintln!("{}: no {missing:?}", worker.port);
        }
        missing.is_empty()
    });
}

/// One group, one mode, two kinds of workers: each reads the other's offsets, and fences it.
#[test]
fn beside_a_jvm_worker_that_is_killed() {
    let dir = tempfile::tempdir().expect("a folder");
    let (input, _) = files(dir.path());
    let (topic, group) = ("once-mixed-lines", "once-mixed");
    kafka::shared().create_topic(topic, 1);
    let mut jvm = start(Kind::Jvm, dir.path(), group);
    create(jvm.port, "src", in_steps(&input, topic));
    let feeder = Feeder::start(&input);
    feeder.wait_for_more(topic);
    let ours = start(Kind::Ours, dir.path(), group);
    // The worker that has nothing to do gets it, and asks the leader, which is of the other kind.
    let another = |name: &str, heir: &ClusterWorker| {
        let (file, topic) = (dir.path().join(name), format!("{group}-{name}"));
        kafka::shared().create_topic(&topic, 1);
        append(&file, 0..10);
        create(ours.port, name, in_steps(&file, &topic));
        wait_for_state(ours.port, name, 1, "RUNNING", &[heir.id()]);
        assert_eq!(first_committed(&topic, "beginning", 10), expected(10));
    };
    another("theirs-leads", &ours);
    ask(ours.port, "DELETE", "/connectors/theirs-leads", "", 204);
    feeder.wait_for_more(topic);
    jvm.process.kill();
    wait_for_state(ours.port, "src", 1, "RUNNING", &[ours.id()]);
    feeder.wait_for_more(topic);
    // And the other way.
    let second = start(Kind::Jvm, dir.path(), group);
    wait_for_state(second.port, "src", 1, "RUNNING", &[ours.id(), second.id()]);
    another("ours-leads", &second);
    ours.stop();
    wait_for_state(second.port, "src", 1, "RUNNING", &[second.id()]);
    feeder.wait_for_more(topic);
    let count = feeder.stop();
    let mut written = count;
    // The JVM's source keeps the lines behind a full batch until the file grows.
    wait_for(&format!("{count} committed lines in {topic}"), LIMIT, || {
        append(&input, written..written + 1);
        written += 1;
        shown(topic) >= count
    });
    let lines = committed(&kafka::shared().bootstrap(), topic);
    assert_eq!(lines, expected(lines.len()));
}
