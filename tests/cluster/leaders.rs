//! A partition's leader is killed and comes back, leadership moves: nothing is lost, nothing is there
//! twice.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{counter, fill};
use crate::export::{assert_each_once, connector, documents};
use crate::rig::process::Process;
use crate::rig::worker::{Worker, binary, worker_file};
use crate::rig::{cluster, pause, s3, wait_for};

/// Records a second.
const RATE: u64 = 2_000;

#[test]
fn source_and_sink_outlive_their_leader_and_each_record_is_there_once() {
    let (mut cluster, s3) = (cluster::shared(), s3::shared());
    let dir = tempfile::tempdir().expect("a folder");
    let (name, bucket) = ("leader-killed", s3.bucket("leader-killed"));
    cluster.create_topic(name, &[1, 2, 3]);
    let source = counter(dir.path(), name, 0, RATE);
    let more = [
        ("flush.size", "100"),
        ("tasks.max", "2"),
        ("transforms", ""),
        ("consumer.override.metadata.max.age.ms", "5000"),
    ];
    let sink = connector(dir.path(), name, name, &s3.url(), &more);
    let quick = [("offset.flush.interval.ms", "200")];
    let worker = Worker::start(dir.path(), &cluster.bootstrap(), &quick, &[&source, &sink]);
    let delivered = || s3::keys(&bucket).len();
    wait_for("the first objects", Duration::from_secs(60), || delivered() > 20);

    cluster.kill(1);
    let before = delivered();
    wait_for("objects without the killed broker", Duration::from_secs(60), || {
        delivered() > before + 60
    });
    cluster.start_node(1);
    cluster.heal();
    cluster.elect_preferred_leaders();
    assert_eq!(cluster.leader(name, 0), 1, "leadership moved back");

    let before = delivered();
    wait_for("objects after leadership moved", Duration::from_secs(60), || {
        delivered() > before + 40
    });
    assert_eq!(worker.call("PUT", "/connectors/leader-killed-source/stop", "").0, 204);
    let mut records = Vec::new();
    wait_for("the source's last record", Duration::from_secs(60), || {
        pause(Duration::from_millis(1_000));
        let now = cluster.consume(name, "%p %o %s\n");
        std::mem::replace(&mut records, now).len() == records.len()
    });

    assert_all_delivered(&records, &bucket);
    let (_, status) = worker.get("/connectors/leader-killed/status");
    for task in [0, 1] {
        assert_eq!(status["tasks"][task]["state"], "RUNNING", "{status}");
    }
}

/// Each id is in the topic once, and in the bucket once unless it stands behind the last whole file.
fn assert_all_delivered(records: &[String], bucket: &Path) {
    // The sink delivers whole files; what is behind the last of each partition waits for more.
    let mut expected = BTreeSet::new();
    let mut seen = vec![0u32; records.len()];
    let mut ends = [0; 3];
    let parsed: Vec<_> = records.iter().map(|line| parse(line)).collect();
    for (partition, offset, id) in &parsed {
        assert!((*id as usize) < seen.len(), "{id}: records before it are missing");
        seen[*id as usize] += 1;
        ends[*partition] = ends[*partition].max(offset + 1);
    }
    let wrong: Vec<_> = seen.iter().enumerate().filter(|(_, count)| **count != 1).collect();
    assert!(wrong.is_empty(), "ids that the topic has not once: {wrong:?}");
    for (partition, offset, id) in parsed {
        if offset < ends[partition] / 100 * 100 {
            expected.insert(id);
        }
    }
    let objects = expected.len() / 100;
    wait_for("all whole files", Duration::from_secs(60), || s3::keys(bucket).len() >= objects);
    let mut found = BTreeSet::new();
    for document in documents(&s3::objects(bucket)) {
        let id = document["id"].as_u64().expect("an id");
        assert!(found.insert(id), "{id} was delivered twice");
    }
    assert!(found == expected, "the sink lost records");
}

/// Partition, offset and id of a line `%p %o %s`.
fn parse(line: &str) -> (usize, usize, u64) {
    let mut parts = line.splitn(3, ' ');
    let mut number = || parts.next().and_then(|text| text.parse().ok()).expect("a number");
    let (partition, offset) = (number(), number());
    let value: serde_json::Value =
        serde_json::from_str(parts.next().expect("a value")).expect("JSON");
    (partition, offset, value["id"].as_u64().expect("an id"))
}

#[test]
fn an_export_finishes_though_its_leaders_die_before_and_while_it_runs() {
    let (mut cluster, s3) = (cluster::shared(), s3::shared());
    let dir = tempfile::tempdir().expect("a folder");
    let (name, bucket) = ("export-leader-killed", s3.bucket("export-leader-killed"));
    fill(&cluster, name, &[2, 3], 60_000);
    let more = [("flush.size", "200"), ("s3.compression.type", "gzip")];
    let connector = connector(dir.path(), name, name, &s3.url(), &more);
    // The first bootstrap server is a dead one when the job starts, and the leader of partition 0.
    let worker = worker_file(dir.path(), &cluster.bootstrap_from(2), &[]);
    cluster.kill(2);
    let mut command = Command::new(binary());
    command.arg("export").arg(&connector).arg("--worker").arg(&worker);
    let mut job = Process::start(&mut command, &dir.path().join("export.log"));
    wait_for("the first objects", Duration::from_secs(60), || s3::keys(&bucket).len() > 5);
    // One broker at a time, so that the rest can go on: 2 is back before 3 dies.
    cluster.start_node(2);
    cluster.heal();
    if job.exited().is_none() {
        cluster.kill(3);
    }
    let status = job.wait(Duration::from_secs(180));
    assert!(status.success(), "{}", job.log());
    assert_each_once(&documents(&s3::objects(&bucket)), 60_000);
}
