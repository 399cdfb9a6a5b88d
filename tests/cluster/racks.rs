//! `client.rack`: the follower in the client's rack is read from, and the leader when it goes.

use std::time::Duration;

use super::{add, fill};
use crate::export::{assert_each_once, connector, documents};
use crate::rig::worker::Worker;
use crate::rig::{cluster, s3, wait_for};

#[test]
fn the_follower_of_the_rack_is_read_from_and_the_leader_when_it_dies() {
    let (mut cluster, s3) = (cluster::shared(), s3::shared());
    let dir = tempfile::tempdir().expect("a folder");
    let (name, bucket) = ("racks", s3.bucket("racks"));
    fill(&cluster, name, &[1], 10_000);
    let more = [("flush.size", "100"), ("consumer.override.client.rack", "rack-2")];
    let connector = connector(dir.path(), name, name, &s3.url(), &more);
    let worker = Worker::start(dir.path(), &cluster.bootstrap(), &[], &[&connector]);
    wait_for("100 objects", Duration::from_secs(60), || s3::keys(&bucket).len() == 100);
    let (leader, follower) = (cluster.bytes_out(1, name), cluster.bytes_out(2, name));
    assert!(follower > 100_000.0, "the follower of the rack served {follower} bytes");
    assert!(leader < 1_000.0, "the leader served {leader} bytes though a follower was near");

    cluster.kill(2);
    add(&cluster, name, 1, 10_000..12_000);
    wait_for("120 objects", Duration::from_secs(60), || s3::keys(&bucket).len() == 120);
    let trouble = worker.get("/connectors/racks/status").1;
    assert_eq!(trouble["tasks"][0]["state"], "RUNNING", "{trouble}");
    let elsewhere = cluster.bytes_out(1, name) - leader + cluster.bytes_out(3, name);
    assert!(elsewhere > 20_000.0, "somebody else served the rest: {elsewhere} bytes");

    // It comes back: after the leader was asked again, it is read from.
    assert_each_once(&documents(&s3::objects(&bucket)), 12_000);
}
