//! The same bad records through the JVM worker and through ours: the same dead letters.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::rig::connect::JvmWorker;
use crate::rig::worker::{Worker, get, properties};
use crate::rig::{kafka, wait_for};

const TOPIC: &str = "dead-parity";
/// Without leading zeros in numbers, where we differ on purpose. Five of them fail: three in the converter, two in the transform.
const FAILING: usize = 5;
const VALUES: [&str; 8] = [
    "{\"a\":1}",
    "{\"a\":",
    "nonsense",
    "\"text\"",
    "{\"a\":2}",
    "[1,2]",
    "{\"a\":1 \"b\":2}",
    "{\"a\":3}",
];

fn connector(dir: &Path, name: &str) -> PathBuf {
    let out = dir.join(format!("{name}.txt"));
    let letters = format!("{name}-letters");
    properties(
        dir,
        &format!("{name}.properties"),
        &[
            ("name", name),
            ("connector.class", "org.apache.kafka.connect.file.FileStreamSinkConnector"),
            ("tasks.max", "1"),
            ("topics", TOPIC),
            ("file", out.to_str().expect("a path")),
            ("key.converter", "org.apache.kafka.connect.storage.StringConverter"),
            ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
            ("value.converter.schemas.enable", "false"),
            ("transforms", "mask"),
            ("transforms.mask.type", "org.apache.kafka.connect.transforms.MaskField$Value"),
            ("transforms.mask.fields", "a"),
            ("errors.tolerance", "all"),
            ("errors.deadletterqueue.topic.name", &letters),
            ("errors.deadletterqueue.topic.replication.factor", "1"),
            ("errors.deadletterqueue.context.headers.enable", "true"),
        ],
    )
}

/// Key, value and headers, without those whose text is each worker's own.
fn letters(name: &str) -> Vec<serde_json::Value> {
    let topic = format!("{name}-letters");
    let output = kafka::shared()
        .kcat()
        .args(["-C", "-t", &topic, "-o", "beginning", "-e", "-q", "-J"])
        .output()
        .expect("kcat");
    let text = String::from_utf8(output.stdout).expect("text");
    let own = [
        "__connect.errors.connector.name",
        "__connect.errors.exception.message",
        "__connect.errors.exception.stacktrace",
    ];
    text.lines()
        .map(|line| {
            let letter: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let headers = letter["headers"].as_array().expect("headers");
            let headers: Vec<_> = headers
                .chunks(2)
                .map(|pair| match own.iter().any(|name| pair[0] == *name) {
                    true => serde_json::json!([pair[0], "…"]),
                    false => serde_json::json!([pair[0], pair[1]]),
                })
                .collect();
            serde_json::json!({
                "key": letter["key"], "value": letter["payload"], "headers": headers,
            })
        })
        .collect()
}

#[test]
fn the_jvm_and_we_write_the_same_dead_letters() {
    let kafka = kafka::shared();
    let dir = tempfile::tempdir().expect("a folder");
    kafka.create_topic(TOPIC, 1);
    let lines: String =
        VALUES.iter().enumerate().map(|(at, value)| format!("k{at}\t{value}\n")).collect();
    kafka.produce(TOPIC, 0, "none", true, &lines);
    let all = |name: &str| {
        let out = std::fs::read_to_string(dir.path().join(format!("{name}.txt")));
        let written = out.map_or(0, |text| text.lines().count());
        written + letters(name).len() == VALUES.len()
    };
    let worker_text = format!(
        "bootstrap.servers={}\nkey.converter=org.apache.kafka.connect.storage.StringConverter\n\
         value.converter=org.apache.kafka.connect.json.JsonConverter\n",
        kafka.bootstrap()
    );
    let theirs = JvmWorker::start(dir.path(), &worker_text, &[&connector(dir.path(), "dead-jvm")]);
    wait_for("the JVM's records", Duration::from_secs(30), || {
        let (_, status) = get(theirs.port, "/connectors/dead-jvm/status").unwrap_or_default();
        assert_ne!(status["tasks"][0]["state"], "FAILED", "{status}");
        all("dead-jvm")
    });
    drop(theirs);
    let _ours =
        Worker::start(dir.path(), &kafka.bootstrap(), &[], &[&connector(dir.path(), "dead-ours")]);
    wait_for("our records", Duration::from_secs(30), || all("dead-ours"));
    let (ours, theirs) = (letters("dead-ours"), letters("dead-jvm"));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    assert_eq!((ours.len(), theirs.len()), (FAILING, FAILING));
}
