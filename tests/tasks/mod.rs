//! Tasks that share a group, of one worker or of several: together they deliver everything, once.

use std::time::Duration;

use crate::export::{assert_each_once, connector, documents, event, fill};
use crate::rig::kafka::java;
use crate::rig::worker::Worker;
use crate::rig::{kafka, pause, s3, wait_for};

/// Partitions by member of the group, as Kafka's own tool shows them.
fn members(group: &str) -> Vec<u32> {
    let output = java()
        .args(["org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--describe"])
        .args(["--members", "--bootstrap-server", &kafka::shared().bootstrap(), "--group", group])
        .output()
        .expect("java");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut shares: Vec<u32> = text
        .lines()
        .filter(|line| line.starts_with(group))
        .filter_map(|line| line.split_whitespace().last()?.parse().ok())
        .collect();
    shares.sort_unstable();
    shares
}

#[test]
fn two_tasks_share_three_partitions_are_paused_and_go_on() {
    let (kafka, s3) = (kafka::shared(), s3::shared());
    let dir = tempfile::tempdir().expect("a folder");
    let (name, bucket) = ("two-tasks", s3.bucket("two-tasks"));
    fill(kafka, name, 3, 9_000, "lz4");
    let more = [("flush.size", "500"), ("tasks.max", "2")];
    let connector = connector(dir.path(), name, name, &s3.url(), &more);
    let worker = Worker::start(dir.path(), &kafka.bootstrap(), &[], &[&connector]);
    let delivered = || s3::keys(&bucket).len();
    wait_for("18 objects", Duration::from_secs(60), || delivered() == 18);
    assert_each_once(&documents(&s3::objects(&bucket)), 9_000);
    wait_for("a share for each task", Duration::from_secs(30), || {
        members("connect-two-tasks") == [1, 2]
    });

    let states = |what: &str, wanted: &str| {
        wait_for(what, Duration::from_secs(20), || {
            let (_, status) = worker.get("/connectors/two-tasks/status");
            let tasks = status["tasks"].as_array().expect("tasks").clone();
            tasks.len() == 2 && tasks.iter().all(|task| task["state"] == wanted)
        });
    };
    states("two running tasks", "RUNNING");
    assert_eq!(worker.call("PUT", "/connectors/two-tasks/pause", "").0, 202);
    states("two paused tasks", "PAUSED");
    for partition in 0..3 {
        let lines: String = (0..500).map(|at| event(9_000 + at * 3 + partition)).collect();
        kafka.produce(name, partition as i32, "zstd", false, &lines);
    }
    pause(Duration::from_millis(1_500));
    assert_eq!(delivered(), 18, "paused tasks deliver nothing");
    assert_eq!(worker.call("PUT", "/connectors/two-tasks/resume", "").0, 202);
    wait_for("21 objects", Duration::from_secs(30), || delivered() == 21);
    assert_each_once(&documents(&s3::objects(&bucket)), 10_500);
    states("two running tasks again", "RUNNING");
}

#[test]
fn a_worker_killed_in_the_middle_goes_on_and_repeats_nothing() {
    let (kafka, s3) = (kafka::shared(), s3::shared());
    let dir = tempfile::tempdir().expect("a folder");
    let (name, bucket) = ("worker-killed", s3.bucket("worker-killed"));
    fill(kafka, name, 2, 80_000, "lz4");
    let more = [("flush.size", "200"), ("tasks.max", "2"), ("s3.compression.type", "gzip")];
    let connector = connector(dir.path(), name, name, &s3.url(), &more);
    // The group forgets the dead members soon; offsets are committed often.
    let quick = [("consumer.session.timeout.ms", "6000"), ("offset.flush.interval.ms", "50")];
    let start = || Worker::start(dir.path(), &kafka.bootstrap(), &quick, &[&connector]);
    let mut first = start();
    wait_for("the first objects", Duration::from_secs(30), || s3::keys(&bucket).len() > 20);
    first.process.kill();
    let found = s3::keys(&bucket).len();
    assert!(found < 400, "all {found} objects were there before the kill");
    let second = start();
    wait_for("all objects", Duration::from_secs(60), || s3::keys(&bucket).len() == 400);
    assert_each_once(&documents(&s3::objects(&bucket)), 80_000);
    let (_, status) = second.get("/connectors/worker-killed/status");
    assert_eq!(status["tasks"][0]["state"], "RUNNING", "{status}");
}

#[test]
fn a_topic_that_comes_later_is_delivered() {
    let (kafka, s3) = (kafka::shared(), s3::shared());
    let dir = tempfile::tempdir().expect("a folder");
    let (name, bucket) = ("later-topic", s3.bucket("later-topic"));
    let more = [
        ("topics.regex", "later-.*"),
        ("consumer.override.metadata.max.age.ms", "500"),
        ("flush.size", "100"),
    ];
    let connector = connector(dir.path(), name, "", &s3.url(), &more);
    let policy = [("connector.client.config.override.policy", "All")];
    let worker = Worker::start(dir.path(), &kafka.bootstrap(), &policy, &[&connector]);
    wait_for("a running task", Duration::from_secs(20), || {
        let (_, status) = worker.get("/connectors/later-topic/status");
        status["tasks"][0]["state"] == "RUNNING"
    });
    fill(kafka, "later-one", 2, 400, "lz4");
    fill(kafka, "later-two", 1, 300, "lz4");
    wait_for("all objects", Duration::from_secs(60), || s3::keys(&bucket).len() == 7);
    let keys = s3::keys(&bucket);
    let of = |topic: &str| keys.iter().filter(|key| key.contains(topic)).count();
    assert_eq!((of("topics/later-one/"), of("topics/later-two/")), (4, 3), "{keys:?}");
}

/// Workers come and go while parts of objects are in the first one's hands.
fn workers_come_and_go(protocol: &str) {
    let (kafka, s3) = (kafka::shared(), s3::shared());
    let dirs = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let name = format!("come-and-go-{protocol}");
    let bucket = s3.bucket(&name);
    fill(kafka, &name, 4, 2_400, "lz4");
    let more = [
        ("flush.size", "1000"),
        ("consumer.override.partition.assignment.strategy", protocol),
        ("consumer.override.heartbeat.interval.ms", "200"),
    ];
    let start = |dir: &std::path::Path| {
        let connector = connector(dir, &name, &name, &s3.url(), &more);
        let worker = Worker::start(dir, &kafka.bootstrap(), &[], &[&connector]);
        wait_for("a running task", Duration::from_secs(20), || {
            let (_, status) = worker.get(&format!("/connectors/{name}/status"));
            status["tasks"][0]["state"] == "RUNNING"
        });
        worker
    };
    let produce = |from: u64| {
        for partition in 0..4 {
            let lines: String =
                (from..from + 1_600).filter(|id| id % 4 == partition).map(event).collect();
            kafka.produce(&name, partition as i32, "zstd", false, &lines);
        }
    };
    let group = format!("connect-{name}");
    let first = start(dirs[0].path());
    wait_for("all partitions in one hand", Duration::from_secs(30), || members(&group) == [4]);
    let mut second = start(dirs[1].path());
    wait_for("two each", Duration::from_secs(30), || members(&group) == [2, 2]);
    // 600 of each partition are held; 400 more complete an object of 1000.
    produce(2_400);
    wait_for("four objects", Duration::from_secs(30), || s3::keys(&bucket).len() == 4);
    produce(4_000);
    second.process.terminate();
    assert!(second.process.wait(Duration::from_secs(20)).success(), "{}", second.process.log());
    wait_for("one hand again", Duration::from_secs(30), || members(&group) == [4]);
    for round in 0..2 {
        produce(5_600 + round * 1_600);
    }
    wait_for("eight objects", Duration::from_secs(30), || s3::keys(&bucket).len() == 8);
    assert_each_once(&documents(&s3::objects(&bucket)), 8_000);
    let (_, status) = first.get(&format!("/connectors/{name}/status"));
    assert_eq!(status["tasks"][0]["state"], "RUNNING", "{status}");
}

#[test]
fn workers_come_and_go_and_each_record_is_delivered_once_eagerly() {
    workers_come_and_go("range");
}

#[test]
fn workers_come_and_go_and_each_record_is_delivered_once_cooperatively() {
    workers_come_and_go("cooperative-sticky");
}

#[test]
fn a_renamed_topic_is_in_the_objects_names_and_each_record_comes_once() {
    let (kafka, s3) = (kafka::shared(), s3::shared());
    let dir = tempfile::tempdir().expect("a folder");
    let (name, bucket) = ("renamed", s3.bucket("renamed"));
    fill(kafka, name, 2, 20_000, "lz4");
    let more = [
        ("flush.size", "500"),
        ("transforms", "source,mask,shape,route"),
        ("transforms.route.type", "org.apache.kafka.connect.transforms.RegexRouter"),
        ("transforms.route.regex", "(.*)"),
        ("transforms.route.replacement", "new-$1"),
    ];
    let connector = connector(dir.path(), name, name, &s3.url(), &more);
    let quick = [("consumer.session.timeout.ms", "6000"), ("offset.flush.interval.ms", "50")];
    let start = || Worker::start(dir.path(), &kafka.bootstrap(), &quick, &[&connector]);
    let mut first = start();
    wait_for("the first objects", Duration::from_secs(30), || s3::keys(&bucket).len() > 4);
    first.process.kill();
    let _second = start();
    wait_for("all objects", Duration::from_secs(60), || s3::keys(&bucket).len() == 40);
    assert_each_once(&documents(&s3::objects(&bucket)), 20_000);
    let keys = s3::keys(&bucket);
    let place = |key: &str, partition: u32| {
        let start = format!("topics/new-renamed/partition={partition}/new-renamed+{partition}+");
        key.strip_prefix(start.as_str()).map(|rest| rest[..10].parse::<u64>().expect("an offset"))
    };
    for partition in 0..2 {
        let starts: Vec<u64> = keys.iter().filter_map(|key| place(key, partition)).collect();
        let expected: Vec<u64> = (0..20).map(|at| at * 500).collect();
        assert_eq!(starts, expected, "{keys:?}");
    }
}
