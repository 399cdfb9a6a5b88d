//! One JVM worker and two of ours in a cluster, started with the same properties: each leads in its
//! turn, and connectors are created, reconfigured, paused and deleted at each.

use std::path::Path;
use std::time::Duration;

use crate::rig::distributed::{ClusterWorker, Kind, Spread, wait_even};
use crate::rig::kafka::{Kafka, shared};
use crate::rig::wait_for;

const GROUP: &str = "mixed-cluster";
const LIMIT: Duration = Duration::from_secs(120);
/// A killed worker is missed after the session; its work waits a second more.
const MORE: &str = "session.timeout.ms=6000\nheartbeat.interval.ms=500\n\
    scheduled.rebalance.max.delay.ms=1000\noffset.flush.interval.ms=1000\n\
    consumer.auto.offset.reset=earliest\n";
const INPUT: &str = "mixed-cluster-input";

struct Cluster {
    kafka: &'static Kafka,
    dir: tempfile::TempDir,
}

impl Cluster {
    fn launch(&self, kind: Kind) -> ClusterWorker {
        ClusterWorker::launch(kind, self.dir.path(), &self.kafka.bootstrap(), GROUP, MORE)
    }

    fn start(&self, kind: Kind) -> ClusterWorker {
        ClusterWorker::start(kind, self.dir.path(), &self.kafka.bootstrap(), GROUP, MORE)
    }
}

fn sink(dir: &Path, name: &str, tasks: u32) -> String {
    format!(
        r#"{{"connector.class":"org.apache.kafka.connect.file.FileStreamSinkConnector",
           "tasks.max":"{tasks}","topics":"{INPUT}","file":"{}"}}"#,
        dir.join(name).display()
    )
}

fn source(dir: &Path) -> String {
    format!(
        r#"{{"connector.class":"org.apache.kafka.connect.file.FileStreamSourceConnector",
           "tasks.max":"1","topic":"mixed-cluster-output","file":"{}"}}"#,
        dir.join("input.txt").display()
    )
}

/// Everything that changes a cluster, each asked of another worker: after it there is one sink of
/// four tasks more, and nothing else.
fn change_everything(cluster: &Cluster, workers: &[&ClusterWorker], round: usize) {
    let (dir, before) = (cluster.dir.path(), round);
    let [one, two, three] = workers else { panic!("three workers") };
    let (kept, gone) = (format!("kept-{round}"), format!("gone-{round}"));
    let put = |worker: &ClusterWorker, name: &str, config: &str, expected: u16| {
        let (status, body) = worker.call("PUT", &format!("/connectors/{name}/config"), config);
        assert_eq!(status, expected, "{body}");
    };
    put(one, &kept, &sink(dir, &kept, 2), 201);
    put(two, &gone, &source(dir), 201);
    wait_even("created", workers, before + 2, 4 * before + 3);
    put(three, &kept, &sink(dir, &kept, 4), 200);
    wait_even("reconfigured", workers, before + 2, 4 * before + 5);
    let (status, body) = one.call("PUT", &format!("/connectors/{gone}/pause"), "");
    assert_eq!(status, 202, "{body}");
    wait_for("the paused connector", LIMIT, || {
        workers.iter().all(|worker| {
            Spread::of(worker).is_some_and(|spread| {
                spread.paused.contains(&gone) && spread.paused.contains(&format!("{gone}-0"))
            })
        })
    });
    let (status, body) = two.call("DELETE", &format!("/connectors/{gone}"), "");
    assert_eq!(status, 204, "{body}");
    wait_even("deleted", workers, before + 1, 4 * before + 4);
}

#[test]
fn each_worker_of_a_mixed_cluster_leads_in_its_turn() {
    let kafka = shared();
    kafka.create_topic(INPUT, 4);
    let cluster = Cluster { kafka, dir: tempfile::tempdir().expect("a folder") };

    // One of ours is there first, so it leads.
    let mut first = cluster.start(Kind::Ours);
    let mut jvm = cluster.launch(Kind::Jvm);
    let mut second = cluster.launch(Kind::Ours);
    second.wait();
    jvm.wait();
    change_everything(&cluster, &[&first, &jvm, &second], 0);

    // It is killed, the other stops: the JVM leads. Two of ours come back.
    first.process.kill();
    wait_even("after a leader was killed", &[&jvm, &second], 1, 4);
    second.stop();
    wait_even("alone", &[&jvm], 1, 4);
    let mut first = cluster.launch(Kind::Ours);
    let mut second = cluster.launch(Kind::Ours);
    first.wait();
    second.wait();
    change_everything(&cluster, &[&second, &first, &jvm], 1);

    // The JVM is killed; of ours the other one leads now. A new JVM worker follows it.
    jvm.process.kill();
    first.stop();
    wait_even("after the JVM was killed", &[&second], 2, 8);
    let mut jvm = cluster.launch(Kind::Jvm);
    let mut first = cluster.launch(Kind::Ours);
    first.wait();
    jvm.wait();
    change_everything(&cluster, &[&jvm, &first, &second], 2);

    // And all of it still does its work.
    let lines: String = (0..40).map(|n| format!("line {n}\n")).collect();
    for partition in 0..4 {
        kafka.produce(INPUT, partition, "none", false, &lines);
    }
    for round in 0..3 {
        let file = cluster.dir.path().join(format!("kept-{round}"));
        wait_for("the records in every file", LIMIT, || {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            (0..40).all(|n| text.lines().filter(|line| *line == format!("line {n}")).count() >= 4)
        });
    }
    for worker in [first, second, jvm] {
        worker.stop();
    }
}
