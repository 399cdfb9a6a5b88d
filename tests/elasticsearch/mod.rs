//! Topics into the real Elasticsearch 8 and OpenSearch 2: every document there, in the right version,
//! whatever dies on the way.

mod crash;
mod opensearch;
mod refusals;
mod secured;
mod writes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::rig::elasticsearch::{PASSWORD, Search, USER};
use crate::rig::kafka;
use crate::rig::worker::{binary, properties, worker_file};

/// A connector to `search`; `more` overrides.
pub fn connector(
    dir: &Path,
    name: &str,
    topic: &str,
    search: &Search,
    more: &[(&str, &str)],
) -> PathBuf {
    let url = search.url();
    let mut pairs = BTreeMap::from([
        ("name", name),
        ("connector.class", "io.confluent.connect.elasticsearch.ElasticsearchSinkConnector"),
        ("tasks.max", "1"),
        ("topics", topic),
        ("connection.url", url.as_str()),
        ("connection.username", USER),
        ("connection.password", PASSWORD),
        ("schema.ignore", "true"),
        // The tests' machine is small and busy.
        ("read.timeout.ms", "60000"),
    ]);
    pairs.extend(more.iter().copied());
    let pairs: Vec<_> = pairs.into_iter().collect();
    properties(dir, &format!("{name}.properties"), &pairs)
}

/// Runs the export to its end.
pub fn export(dir: &Path, connector: &Path, more: &[&str]) -> Output {
    let worker = worker_file(dir, &kafka::shared().bootstrap(), &[]);
    let mut command = Command::new(binary());
    command.arg("export").arg(connector).arg("--worker").arg(worker).args(more);
    let output = command.output().expect("our binary");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!text.contains(PASSWORD), "the password is shown: {text}");
    output
}

/// As [`export`], which must succeed.
pub fn exported(dir: &Path, connector: &Path, more: &[&str]) {
    let output = export(dir, connector, more);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// `key\tvalue` lines of one partition.
pub fn fill_keyed(topic: &str, pairs: &[(String, String)]) {
    let kafka = kafka::shared();
    kafka.create_topic(topic, 1);
    let lines: String = pairs.iter().map(|(key, value)| format!("{key}\t{value}\n")).collect();
    kafka.produce(topic, 0, "lz4", true, &lines);
}

/// Ids with versions and sources.
pub fn by_id(search: &Search, index: &str) -> BTreeMap<String, (i64, serde_json::Value)> {
    let hits = search.hits(index).into_iter().map(|hit| {
        let id = hit["_id"].as_str().expect("an id").to_owned();
        (id, (hit["_version"].as_i64().expect("a version"), hit["_source"].clone()))
    });
    hits.collect()
}
