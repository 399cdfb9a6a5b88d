//! What production clusters do to a client: brokers die and come back, leaders move, workers of a
//! group come and go, replicas stand in other racks, listeners ask who we are.

mod leaders;
mod members;
mod object_store;
mod racks;
mod security;
mod versions;

use std::path::{Path, PathBuf};

use crate::export::event;
use crate::rig::cluster::Cluster;
use crate::rig::worker::properties;

/// `count` JSON events over the topic's partitions; `first` are the brokers that lead them.
fn fill(cluster: &Cluster, topic: &str, first: &[usize], count: u64) {
    cluster.create_topic(topic, first);
    add(cluster, topic, first.len() as u64, 0..count);
}

/// More events for a topic of so many partitions.
fn add(cluster: &Cluster, topic: &str, partitions: u64, ids: std::ops::Range<u64>) {
    for partition in 0..partitions {
        let mine = ids.clone().filter(|id| id % partitions == partition);
        let lines: String = mine.map(event).collect();
        cluster.produce(topic, partition as usize, &lines);
    }
}

/// A source of `count` records `{"id":N}`, N from 0, by an idempotent producer.
fn counter(dir: &Path, name: &str, count: u64, rate: u64) -> PathBuf {
    let schema = r#"{"type":"record","name":"counted","fields":[{"name":"id","type":{"type":"long","arg.properties":{"iteration":{"start":0}}}}]}"#;
    properties(
        dir,
        &format!("{name}-source.properties"),
        &[
            ("name", &format!("{name}-source")),
            ("connector.class", "millrace.DatagenSourceConnector"),
            ("tasks.max", "1"),
            ("topic", name),
            ("schema.string", schema),
            ("schema.keyfield", "id"),
            ("max", &count.to_string()),
            ("rate", &rate.to_string()),
            ("producer.override.enable.idempotence", "true"),
            ("producer.override.acks", "all"),
        ],
    )
}
