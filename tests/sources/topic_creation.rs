//! `topic.creation.*`: the JVM worker and ours make the same topics, and refuse the same settings.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::connect::JvmWorker;
use crate::rig::kafka::java;
use crate::rig::worker::{self, Worker};
use crate::rig::{kafka, wait_for};

const STRING: &str = "org.apache.kafka.connect.storage.StringConverter";

fn config(topic: &str, input: &Path, creation: &[(&str, &str)]) -> Value {
    let mut config = json!({
        "connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector",
        "name": topic,
        "topic": topic,
        "file": input.to_str().expect("a path"),
        "key.converter": STRING,
        "value.converter": STRING,
    });
    for (key, value) in creation {
        config[format!("topic.creation.{key}")] = json!(value);
    }
    config
}

/// A topic's partitions and settings, by its name without the side's prefix.
fn topics(bootstrap: &str, prefix: &str) -> BTreeMap<String, (String, String)> {
    let output = java()
        .args([
            "org.apache.kafka.tools.TopicCommand",
            "--describe",
            "--bootstrap-server",
            bootstrap,
        ])
        .output()
        .expect("java");
    let text = String::from_utf8(output.stdout).expect("text");
    let described = text.lines().filter_map(|line| {
        let fields: BTreeMap<_, _> =
            line.split('\t').filter_map(|field| field.trim().split_once(": ")).collect();
        let name = fields.get("Topic")?.strip_prefix(prefix)?.to_owned();
        let partitions = (*fields.get("PartitionCount")?).to_owned();
        let mut settings: Vec<_> =
            line.split_once("Configs: ").map_or("", |(_, rest)| rest).split(',').collect();
        settings.sort_unstable();
        Some((name, (partitions, settings.join(","))))
    });
    described.collect()
}

fn put(port: u16, name: &str, config: &Value) -> (u16, Value) {
    let path = format!("/connectors/{name}/config");
    worker::call(port, "PUT", &path, &config.to_string()).expect("an answer")
}

fn trace(port: u16, name: &str) -> String {
    let mut trace = None;
    wait_for("a failed task", Duration::from_secs(40), || {
        let (_, status) = worker::get(port, &format!("/connectors/{name}/status")).expect("one");
        trace = status["tasks"][0]["trace"].as_str().map(str::to_owned);
        trace.is_some()
    });
    trace.expect("a trace")
}

#[test]
fn both_make_the_same_topics_and_refuse_the_same_settings() {
    let kafka = kafka::shared();
    let dir = tempfile::tempdir().expect("a folder");
    let input = dir.path().join("in.txt");
    std::fs::write(&input, "one\ntwo\n").expect("written");
    let settings = format!(
        "bootstrap.servers={}\nkey.converter={STRING}\nvalue.converter={STRING}\n",
        kafka.bootstrap()
    );
    let jvm = JvmWorker::start(dir.path(), &settings, &[]);
    let ours = Worker::start(dir.path(), &kafka.bootstrap(), &[], &[]);
    let sides = [("tc-jvm-", jvm.port), ("tc-our-", ours.port)];
    let groups = [
        ("groups", "logs, default, rest"),
        ("default.partitions", "2"),
        ("default.replication.factor", "-1"),
        ("default.retention.ms", "1000000"),
        ("logs.include", "tc-...-log-.*, audit"),
        ("logs.exclude", ".*private"),
        ("logs.partitions", "4"),
        ("logs.max.message.bytes", "200000"),
        ("logs.min.insync.replicas", "1"),
        ("rest.include", ".*-log.*"),
        ("rest.partitions", "-1"),
    ];
    let none: &[(&str, &str)] = &[];
    let wanted = [
        ("log-a", groups.as_slice()),
        ("log-private", &groups),
        ("xlog", &groups),
        ("there", &groups),
        ("by-the-broker", none),
    ];
    for (prefix, port) in sides {
        kafka.create_topic(&format!("{prefix}there"), 5);
        for (topic, creation) in wanted {
            let name = format!("{prefix}{topic}");
            assert_eq!(put(port, &name, &config(&name, &input, creation)).0, 201);
        }
        for (topic, _) in wanted {
            super::wait_for_records(kafka, &format!("{prefix}{topic}"), 2);
        }
    }
    let made = sides.map(|(prefix, _)| topics(&kafka.bootstrap(), prefix));
    assert_eq!(made[0], made[1]);
    let partitions = |topic: &str| made[1][topic].0.as_str();
    assert_eq!(["log-a", "log-private", "xlog", "there"].map(partitions), ["4", "1", "2", "5"]);
    assert!(made[1]["log-a"].1.contains("max.message.bytes=200000"), "{made:?}");

    let mut bad = groups.to_vec();
    bad.push(("logs.cleanup.policy", "perhaps"));
    for (prefix, port) in sides {
        let name = format!("{prefix}log-bad");
        assert_eq!(put(port, &name, &config(&name, &input, &bad)).0, 201);
        let trace = trace(port, &name);
        assert!(trace.contains(&format!("Unable to create topic(s) '{name}'")), "{trace}");
    }
    refusals(&sides, &input);
}

/// The JVM looks at the groups when the connector starts, and says the first thing; we refuse the
/// configuration and say all.
fn refusals(sides: &[(&str, u16); 2], input: &Path) {
    let good = [("default.partitions", "1"), ("default.replication.factor", "1")];
    let cases: [&[(&str, &str)]; 6] = [
        &[("default.partitions", "3")],
        &[good[0], ("default.replication.factor", "-2")],
        &[good[1], ("default.partitions", "0")],
        &[good[0], good[1], ("groups", "g,g")],
        &[good[0], good[1], ("groups", "g"), ("g.include", "a"), ("g.partitions", "0")],
        &[good[0], ("default.replication.factor", "70000")],
    ];
    for (at, case) in cases.iter().enumerate() {
        let name = format!("refused-{at}");
        let config = config(&name, input, case);
        let (status, answer) = put(sides[1].1, &name, &config);
        assert_eq!(status, 400, "{answer}");
        let we_said = answer["message"].as_str().expect("a message").to_owned();
        let (status, answer) = put(sides[0].1, &name, &config);
        let mut they_said = answer["message"].as_str().unwrap_or_default().to_owned();
        if status != 400 {
            wait_for("a failed connector", Duration::from_secs(20), || {
                let path = format!("/connectors/{name}/status");
                let (_, status) = worker::get(sides[0].1, &path).expect("a status");
                they_said = status["connector"]["trace"].as_str().unwrap_or_default().to_owned();
                !they_said.is_empty()
            });
        }
        let first = they_said.lines().find_map(|line| line.split_once("ConfigException: "));
        let reason = match first {
            Some((_, reason)) => reason.to_owned(),
            None => they_said.lines().nth(1).unwrap_or_default().to_owned(),
        };
        assert!(!reason.is_empty() && we_said.contains(&reason), "{reason:?} in {we_said:?}");
    }
}
