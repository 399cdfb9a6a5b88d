//! Workers that share a connector's group: static members that come back, one that is fenced, and
//! how partitions move under the cooperative and the eager strategy.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{add, fill};
use crate::export::{assert_each_once, connector, documents};
use crate::rig::cluster::{self, Cluster};
use crate::rig::worker::Worker;
use crate::rig::{s3, wait_for};

/// Another worker's folder and its connector file.
fn member(dir: &Path, who: &str, name: &str, more: &[(&str, &str)]) -> (PathBuf, PathBuf) {
    let folder = dir.join(who);
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut pairs = vec![("flush.size", "100")];
    pairs.extend_from_slice(more);
    let file = connector(&folder, name, name, &s3::shared().url(), &pairs);
    (folder, file)
}

fn start(cluster: &Cluster, (folder, file): &(PathBuf, PathBuf)) -> Worker {
    // The coordinator's and our own debug lines tell what was revoked.
    let worker = Worker::start(
        folder,
        &cluster.bootstrap(),
        &[("offset.flush.interval.ms", "200")],
        &[file.as_path()],
    );
    let (status, _) = worker.call("PUT", "/admin/loggers/millrace_kafka", r#"{"level":"DEBUG"}"#);
    assert_eq!(status, 200);
    worker
}

/// Waits until the members have so many partitions each.
fn wait_for_shares(cluster: &Cluster, group: &str, shares: &[usize]) {
    wait_for("the shares of the members", Duration::from_secs(90), || {
        let members = cluster.members(group);
        let mut found: Vec<usize> = members
            .iter()
            .map(|(_, list)| list.split_once(':').map_or(0, |(_, all)| all.split(',').count()))
            .collect();
        found.sort_unstable();
        found == shares
    });
}

#[test]
fn a_static_member_that_restarts_keeps_its_share_and_a_second_of_its_name_fences_it() {
    let (cluster, s3) = (cluster::shared(), s3::shared());
    let dir = tempfile::tempdir().expect("a folder");
    let (name, bucket) = ("static-members", s3.bucket("static-members"));
    let group = "connect-static-members";
    fill(&cluster, name, &[1, 2, 3, 1], 4_000);
    let of = |who: &str| {
        let more = [
            ("consumer.override.group.instance.id", who),
            ("consumer.override.session.timeout.ms", "30000"),
        ];
        member(dir.path(), who, name, &more)
    };
    let (left, right) = (of("left"), of("right"));
    let first = start(&cluster, &left);
    let mut second = start(&cluster, &right);
    wait_for_shares(&cluster, group, &[2, 2]);
    let (members, rebalances) = (cluster.members(group), cluster.rebalances(group));
    assert!(members.iter().any(|(instance, _)| instance == "right"), "{members:?}");

    // Gone as a restart takes it, by SIGTERM and by SIGKILL; records come meanwhile.
    for (round, kill) in [false, true].into_iter().enumerate() {
        if kill {
            second.process.kill();
        } else {
            second.process.terminate();
            second.process.wait(Duration::from_secs(30));
        }
        let from = 4_000 + round as u64 * 800;
        add(&cluster, name, 4, from..from + 800);
        second = start(&cluster, &right);
        let wanted = (from as usize + 800) / 100;
        wait_for("all objects", Duration::from_secs(60), || s3::keys(&bucket).len() == wanted);
        assert_eq!(cluster.members(group), members, "the assignment changed");
        assert_eq!(cluster.rebalances(group), rebalances, "the group was rebalanced");
    }
    assert_each_once(&documents(&s3::objects(&bucket)), 5_600);

    // A second `right`: the older one is fenced, as with the JVM's client.
    let copy = dir.path().join("copy");
    std::fs::create_dir(&copy).expect("a folder");
    let third = start(&cluster, &(copy, right.1.clone()));
    let mut status = serde_json::Value::Null;
    wait_for("the fenced member's failure", Duration::from_secs(60), || {
        status = second.get("/connectors/static-members/status").1;
        status["tasks"][0]["state"] == "FAILED"
    });
    let trace = status["tasks"][0]["trace"].as_str().expect("a trace");
    // The JVM's words for FencedInstanceIdException.
    assert!(
        trace.contains(
            "The broker rejected this static consumer since another consumer with the same \
             group.instance.id has registered with a different member.id"
        ),
        "{trace}"
    );
    assert!(trace.contains("group.instance.id"), "{trace}");
    assert_eq!(cluster.members(group), members);
    for worker in [&first, &third] {
        let (_, status) = worker.get("/connectors/static-members/status");
        assert_eq!(status["tasks"][0]["state"], "RUNNING", "{status}");
    }
}

/// Two workers, the second while the first works; then the first goes. Gives the first's log.
fn come_and_go(name: &str, strategy: &str) -> String {
    let (cluster, s3) = (cluster::shared(), s3::shared());
    let dir = tempfile::tempdir().expect("a folder");
    let (bucket, group) = (s3.bucket(name), format!("connect-{name}"));
    fill(&cluster, name, &[1, 2, 3, 1], 4_000);
    let class = format!("org.apache.kafka.clients.consumer.{strategy}");
    let more = [("consumer.override.partition.assignment.strategy", class.as_str())];
    let mut first = start(&cluster, &member(dir.path(), "first", name, &more));
    wait_for_shares(&cluster, &group, &[4]);
    let second = start(&cluster, &member(dir.path(), "second", name, &more));
    wait_for_shares(&cluster, &group, &[2, 2]);
    add(&cluster, name, 4, 4_000..8_000);
    wait_for("80 objects", Duration::from_secs(60), || s3::keys(&bucket).len() == 80);
    let log = first.process.log();
    first.process.terminate();
    first.process.wait(Duration::from_secs(30));
    // It said that it leaves: nobody waits for its session to end.
    wait_for_shares(&cluster, &group, &[4]);
    add(&cluster, name, 4, 8_000..9_000);
    wait_for("88 objects", Duration::from_secs(60), || s3::keys(&bucket).len() == 88);
    let lines = documents(&s3::objects(&bucket));
    let ids: std::collections::BTreeSet<_> =
        lines.iter().map(|line| line["id"].as_u64().expect("an id")).collect();
    assert_eq!((ids.len(), lines.len()), (8_800, 8_800), "each delivered record is there once");
    drop(second);
    log
}

/// How many partitions each `assigned` line of the log says were revoked by the assignment.
fn revoked(log: &str) -> Vec<usize> {
    let lists = log.lines().filter_map(|line| {
        let (_, list) = line.split_once("revoked=")?;
        Some(list.matches("TopicPartition").count())
    });
    lists.collect()
}

#[test]
fn under_the_cooperative_strategy_a_worker_keeps_what_it_shall_have() {
    let log = come_and_go("cooperative", "CooperativeStickyAssignor");
    assert_eq!(revoked(&log).iter().sum::<usize>(), 2, "two of four moved:\n{log}");
}

#[test]
fn under_range_two_workers_share_and_nothing_is_twice() {
    let log = come_and_go("ranges", "RangeAssignor");
    // The protocol gives everything up before the join; the task closes what does not come back.
    assert_eq!(revoked(&log).iter().sum::<usize>(), 2, "two of four moved:\n{log}");
}
