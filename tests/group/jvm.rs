//! A JVM worker in the group: it leads and gives us our share; it takes its share of what we give.

use std::time::Duration;

use crate::herder::{SharedConfig, TestHerder, settings};
use crate::rig::distributed::{ClusterWorker, Kind};
use crate::rig::kafka::shared;
use crate::rig::{wait_for, worker};

const GROUP: &str = "mixed-workers";
/// JVMs start slowly on a busy machine.
const LONG: Duration = Duration::from_secs(120);

/// The tasks of connector x that this JVM worker says it runs.
fn running(jvm: &ClusterWorker) -> usize {
    let Some((200, status)) = worker::get(jvm.port, "/connectors/x/status") else { return 0 };
    let ours = format!("127.0.0.1:{}", jvm.port);
    let tasks = status["tasks"].as_array().expect("tasks").iter();
    tasks.filter(|task| task["worker_id"] == ours && task["state"] == "RUNNING").count()
}

#[test]
fn a_jvm_worker_leads_us_and_follows_us() {
    let kafka = shared();
    kafka.create_topic("mixed-workers-input", 4);
    let dir = tempfile::tempdir().expect("a folder");
    let more = "scheduled.rebalance.max.delay.ms=1000\nheartbeat.interval.ms=500\n";
    let mut jvm = ClusterWorker::start(Kind::Jvm, dir.path(), &kafka.bootstrap(), GROUP, more);
    let file = dir.path().join("sink.txt");
    let x = format!(
        r#"{{"connector.class":"org.apache.kafka.connect.file.FileStreamSinkConnector",
           "tasks.max":"4","topics":"mixed-workers-input","file":"{}"}}"#,
        file.display()
    );
    wait_for("connector x", LONG, || {
        worker::call(jvm.port, "PUT", "/connectors/x/config", &x)
            .is_some_and(|(status, _)| status == 201 || status == 200)
    });
    wait_for("its tasks on the JVM", LONG, || running(&jvm) == 4);

    // We join; the JVM leads.
    let config = SharedConfig::of(&[("x", 4)]);
    let settings = settings(&kafka.bootstrap(), GROUP, "ours", &[]);
    let ours = TestHerder::start(settings, &config, 1000);
    ours.wait("our half", |seen| seen.tasks() == 2);
    {
        let seen = ours.seen();
        assert!(!seen.is_leader());
        let leader = &seen.assigned.last().expect("one").assignment;
        assert_eq!(leader.leader_url, format!("http://127.0.0.1:{}/", jvm.port));
        assert!(leader.config_offset > 0);
        config.lock().config_offset = leader.config_offset;
    }

    // It goes; we lead. Its successor gets its share from us.
    jvm.process.terminate();
    jvm.process.wait(LONG);
    ours.wait("all the work", |seen| seen.is_leader() && seen.tasks() == 4);
    let mut jvm = ClusterWorker::launch(Kind::Jvm, dir.path(), &kafka.bootstrap(), GROUP, more);
    ours.wait("the second JVM worker's joining", |seen| seen.members == 2);
    jvm.wait();
    wait_for("the JVM's half, of our giving", LONG, || running(&jvm) == 2);
    ours.wait("our half", |seen| seen.tasks() == 2 && seen.is_leader());
    let owner = format!("http://127.0.0.1:{}/", jvm.port);
    let seen = ours.seen();
    let theirs = seen.owners.tasks.keys().filter(|id| seen.owners.of_task(id) == Some(&*owner));
    assert_eq!(theirs.count(), 2);
    drop(seen);

    // Killed, it is missed when its session is over, and its work comes back after the delay.
    jvm.process.kill();
    ours.wait("the killed worker's tasks", |seen| seen.tasks() == 4 && seen.members == 1);
    ours.shutdown();
}
