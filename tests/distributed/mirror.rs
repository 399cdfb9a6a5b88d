//! MirrorMaker 2's source connector between two real brokers: on a JVM worker, on ours, and on a
//! JVM's again, over the same group's topics.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

use super::LIMIT;
use super::comparable::comparable;
use super::worker::{QUICK, ask, create, wait_for_state};
use crate::rig::distributed::{ClusterWorker, Kind};
use crate::rig::kafka::{self, Kafka};
use crate::rig::wait_for;
use crate::rig::worker::call;

const CLASS: &str = "org.apache.kafka.connect.mirror.MirrorSourceConnector";
const BYTES: &str = "org.apache.kafka.connect.converters.ByteArrayConverter";
/// All of a record but its offset.
const WHOLE: &str = "%p|%T|%k|%h|%s\n";

/// The cluster that is mirrored; the tests' shared broker is the target.
fn upstream() -> &'static Kafka {
    static UPSTREAM: OnceLock<Kafka> = OnceLock::new();
    UPSTREAM.get_or_init(Kafka::start)
}

/// Mirrors topics of this pattern; looks for changes every second.
fn mirror(topics: &str, more: &[(&str, &str)]) -> Value {
    let mut config = json!({
        "connector.class": CLASS, "tasks.max": "2", "topics": topics,
        "source.cluster.alias": "A", "target.cluster.alias": "B",
        "source.cluster.bootstrap.servers": upstream().bootstrap(),
        "target.cluster.bootstrap.servers": kafka::shared().bootstrap(),
        "key.converter": BYTES, "value.converter": BYTES, "header.converter": BYTES,
        "replication.factor": "1", "offset-syncs.topic.replication.factor": "1",
        "offset.lag.max": "5", "refresh.topics.interval.seconds": "1",
        "sync.topic.configs.interval.seconds": "1",
    });
    for (key, value) in more {
        config[*key] = json!(value);
    }
    config
}

/// A worker of that kind with nothing before it but what the group's topics say.
fn worker(kind: Kind, dir: &std::path::Path, group: &str, more: &str) -> ClusterWorker {
    let bootstrap = kafka::shared().bootstrap();
    let more = format!("{QUICK}{more}");
    ClusterWorker::start(kind, dir, &bootstrap, group, &more)
}

/// Keyed records with two headers, one of which has no value, spread over the topic's partitions; a
/// tombstone among them.
fn produce(topic: &str, partitions: i32, lines: std::ops::Range<usize>) {
    for partition in 0..partitions {
        let mine = lines.clone().filter(|line| *line as i32 % partitions == partition);
        let text: String = mine
            .map(|line| match line % 7 {
                3 => format!("key {line}\t\n"),
                _ => format!("key {line}\tvalue {line} äöü\n"),
            })
            .collect();
        let mut kcat = upstream().kcat();
        kcat.args(["-P", "-t", topic, "-p", &partition.to_string(), "-K", "\t", "-Z"]);
        kcat.args(["-z", ["none", "lz4", "zstd"][partition as usize % 3]]);
        kcat.args(["-H", "origin=a, b", "-H", "empty"]);
        kafka::produced(kcat, &text);
    }
}

/// Records by partition, in order.
fn records(broker: &Kafka, topic: &str) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in kafka::consumed(broker.kcat(), topic, WHOLE) {
        let (partition, rest) = record.split_once('|').expect("a partition");
        found.entry(partition.to_owned()).or_default().push(rest.to_owned());
    }
    found
}

fn count(broker: &Kafka, topic: &str) -> usize {
    if !topics(broker).contains_key(topic) {
        return 0;
    }
    records(broker, topic).values().map(Vec::len).sum()
}

/// Waits until the mirror has all records of the topic, each once and as it was.
fn wait_for_mirror(topic: &str, mirror: &str, records_now: usize) {
    let target = kafka::shared();
    wait_for(&format!("{records_now} records in {mirror}"), LIMIT, || {
        count(target, mirror) >= records_now
    });
    assert_eq!(records(target, mirror), records(upstream(), topic));
}

/// Topics and how many partitions they have.
fn topics(broker: &Kafka) -> BTreeMap<String, usize> {
    let output = broker.kcat().args(["-L", "-J"]).output().expect("kcat");
    let listed: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let of = |topic: &Value| {
        let partitions = topic["partitions"].as_array().map_or(0, Vec::len);
        (topic["topic"].as_str().unwrap_or_default().to_owned(), partitions)
    };
    listed["topics"].as_array().into_iter().flatten().map(of).collect()
}

fn tool(broker: &Kafka, class: &str, args: &[&str]) -> String {
    let mut command: Command = kafka::java();
    let output = command
        .arg(class)
        .args(["--bootstrap-server", &broker.bootstrap()])
        .args(args)
        .output()
        .expect("java");
    assert!(output.status.success(), "{class}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn topic_command(broker: &Kafka, args: &[&str]) -> String {
    tool(broker, "org.apache.kafka.tools.TopicCommand", args)
}

/// Keys of the connector and what the worker says of them, by name: definition, value and errors.
fn validated(port: u16, more: &[(&str, &str)]) -> BTreeMap<String, Value> {
    let mut config = mirror("validated-.*", more);
    config["name"] = json!("validated");
    let path = format!("/connector-plugins/{CLASS}/config/validate");
    let (status, answer) = call(port, "PUT", &path, &config.to_string()).expect("an answer");
    assert_eq!(status, 200, "{answer}");
    let all = answer["configs"].as_array().expect("keys");
    let one = |info: &Value| {
        let name = info["value"]["name"].as_str().expect("a name").to_owned();
        (name, comparable(info.clone()))
    };
    all.iter().map(one).collect()
}

/// Good and bad configurations whose answers both kinds of workers agree on.
const VALIDATED: &[&[(&str, &str)]] = &[
    &[],
    &[("exactly.once.support", "requested"), ("offset-syncs.topic.location", "nowhere")],
    &[("emit.offset-syncs.enabled", "false"), ("offset-syncs.topic.location", "target")],
    &[("offset.lag.max", "x"), ("enabled", "perhaps"), ("sasl.login.refresh.window.factor", "2.5")],
    &[("replication.factor", "99999999999"), ("security.protocol", "sometimes")],
];

/// What both answered differently. Converters and versions of plug-ins aside: MirrorMaker hides what
/// the JVM's worker knows of them behind definitions of its own.
fn differences(theirs: &BTreeMap<String, Value>, ours: &BTreeMap<String, Value>) -> Vec<String> {
    let keys: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
    let differs = |key: &&String| theirs.get(*key) != ours.get(*key);
    let told = |key: &String| match (theirs.get(key), ours.get(key)) {
        (Some(theirs), Some(ours)) => format!("{key}: theirs {theirs}, ours {ours}"),
        (theirs, ours) => format!("{key}: there {}, here {}", theirs.is_some(), ours.is_some()),
    };
    let named = keys
        .into_iter()
        .filter(|key| !key.ends_with("plugin.version") && !key.ends_with(".converter"));
    named.filter(differs).map(told).collect()
}

/// The syncs as MirrorMaker's own formatter reads them: partition, upstream and downstream offset.
fn syncs(broker: &Kafka, topic: &str) -> Vec<(String, usize, usize)> {
    let text = tool(
        broker,
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        &[
            "--topic",
            topic,
            "--from-beginning",
            "--timeout-ms",
            "5000",
            "--formatter",
            "org.apache.kafka.connect.mirror.formatters.OffsetSyncFormatter",
        ],
    );
    let of = |line: &str| {
        let line = line.strip_prefix("OffsetSync{topicPartition=")?.strip_suffix('}')?;
        let (name, rest) = line.split_once(", upstreamOffset=")?;
        let (upstream, downstream) = rest.split_once(", downstreamOffset=")?;
        Some((name.to_owned(), upstream.parse().ok()?, downstream.parse().ok()?))
    };
    text.lines().filter_map(of).collect()
}

/// Each sync is of two offsets with the same record; the last of each partition is of its end.
fn check_syncs(found: &[(String, usize, usize)], topic: &str, mirror: &str) {
    let (here, there) = (records(upstream(), topic), records(kafka::shared(), mirror));
    for (partition, list) in &here {
        let name = format!("{topic}-{partition}");
        let mine: Vec<_> = found.iter().filter(|(sync, ..)| *sync == name).collect();
        for (_, upstream, downstream) in &mine {
            assert_eq!(list[*upstream], there[partition][*downstream], "{name}: {mine:?}");
        }
        let last = mine.last().map(|(_, upstream, downstream)| (*upstream, *downstream));
        assert_eq!(last, Some((list.len() - 1, list.len() - 1)), "{name}: {mine:?}");
    }
}

/// The JVM's worker mirrors and stops, ours goes on, the JVM's again: not a record is lost or comes
/// twice, and all of each is as it was. Meanwhile topics and partitions come into being.
#[test]
fn mirroring_goes_on_here_and_there_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let group = "mirror-turns";
    let (topic, there) = ("turned", "A.turned");
    topic_command(
        upstream(),
        &["--create", "--topic", topic, "--partitions", "3", "--config", "retention.ms=86400001"],
    );
    produce(topic, 3, 0..30);
    let jvm = worker(Kind::Jvm, dir.path(), group, "");
    let theirs: Vec<_> = VALIDATED.iter().map(|more| validated(jvm.port, more)).collect();
    create(jvm.port, "mirror", mirror("turned.*", &[]));
    wait_for_mirror(topic, there, 30);
    jvm.stop();

    produce(topic, 3, 30..60);
    let ours = worker(Kind::Ours, dir.path(), group, "");
    let different: Vec<_> = VALIDATED
        .iter()
        .zip(theirs)
        .flat_map(|(more, theirs)| differences(&theirs, &validated(ours.port, more)))
        .collect();
    assert!(different.is_empty(), "{different:#?}");
    wait_for_state(ours.port, "mirror", 2, "RUNNING", &[ours.id()]);
    wait_for_mirror(topic, there, 60);
    produce(topic, 3, 60..90);
    wait_for_mirror(topic, there, 90);

    // What comes into being, and what has been in the target.
    topic_command(upstream(), &["--create", "--topic", "turned-new", "--partitions", "2"]);
    topic_command(upstream(), &["--create", "--topic", "B.turned-back", "--partitions", "1"]);
    topic_command(upstream(), &["--alter", "--topic", topic, "--partitions", "4"]);
    produce("turned-new", 2, 0..20);
    produce(topic, 4, 90..110);
    wait_for_mirror("turned-new", "A.turned-new", 20);
    wait_for_mirror(topic, there, 110);
    assert!(!topics(kafka::shared()).keys().any(|name| name.contains("turned-back")));
    wait_for("the topic's retention", LIMIT, || {
        topic_command(kafka::shared(), &["--describe", "--topic", there])
            .contains("retention.ms=86400001")
    });
    let stored = ask(ours.port, "GET", "/connectors/mirror/offsets", "", 200);
    let last = json!({"partition": {"cluster": "A", "partition": 0, "topic": topic}});
    wait_for("offsets to be stored", LIMIT, || {
        let stored = ask(ours.port, "GET", "/connectors/mirror/offsets", "", 200);
        stored["offsets"].as_array().is_some_and(|all| all.len() == 6)
    });
    assert!(stored.to_string().contains(&last["partition"].to_string()), "{stored}");
    ours.stop();
    let found = syncs(upstream(), "mm2-offset-syncs.B.internal");
    check_syncs(&found, topic, there);
    check_syncs(&found, "turned-new", "A.turned-new");

    produce(topic, 4, 110..130);
    let jvm = worker(Kind::Jvm, dir.path(), group, "");
    wait_for_mirror(topic, there, 130);
    produce(topic, 4, 130..140);
    wait_for_mirror(topic, there, 140);
    wait_for_mirror("turned-new", "A.turned-new", 20);
    jvm.stop();
}
