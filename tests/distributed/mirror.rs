//! MirrorMaker 2's source connector between two real brokers: on a JVM worker, on ours, and on a
//! JVM's again, over the same group's topics.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use serde_json::{Value, json};

use super::LIMIT;
use super::comparable::comparable;
use super::worker::{QUICK, ask, create, wait_for_state};
use crate::rig::distributed::{ClusterWorker, Kind};
use crate::rig::kafka::{self, Kafka};
use crate::rig::wait_for;
use crate::rig::worker::call;

const CLASS: &str = "org.apache.kafka.connect.mirror.MirrorSourceConnector";
const HEARTBEATS: &str = "org.apache.kafka.connect.mirror.MirrorHeartbeatConnector";
const BYTES: &str = "org.apache.kafka.connect.converters.ByteArrayConverter";
/// Between two spoonfuls of a feeder.
const PAUSE: Duration = Duration::from_millis(20);
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
fn validated(port: u16, class: &str, more: &[(&str, &str)]) -> BTreeMap<String, Value> {
    let mut config = mirror("validated-.*", more);
    config["name"] = json!("validated");
    config["connector.class"] = json!(class);
    let path = format!("/connector-plugins/{class}/config/validate");
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

/// What the worker says of all of them, and of heartbeats.
fn all_validated(port: u16) -> Vec<BTreeMap<String, Value>> {
    let mirrors = VALIDATED.iter().map(|more| validated(port, CLASS, more));
    let beats = [("emit.heartbeats.interval.seconds", "often"), ("enabled", "false")];
    mirrors.chain([validated(port, HEARTBEATS, &beats)]).collect()
}

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

/// A topic's records as MirrorMaker's own formatter prints them.
fn formatted(broker: &Kafka, topic: &str, formatter: &str) -> Vec<String> {
    let formatter = format!("org.apache.kafka.connect.mirror.formatters.{formatter}");
    let arguments =
        ["--topic", topic, "--from-beginning", "--timeout-ms", "5000", "--formatter", &formatter];
    let text = tool(broker, "org.apache.kafka.tools.consumer.ConsoleConsumer", &arguments);
    text.lines().map(str::to_owned).collect()
}

/// Partition, upstream and downstream offset of each sync.
fn syncs(broker: &Kafka, topic: &str) -> Vec<(String, String, String)> {
    let of = |line: String| {
        let line = line.strip_prefix("OffsetSync{topicPartition=")?.strip_suffix('}')?;
        let (name, rest) = line.split_once(", upstreamOffset=")?;
        let (upstream, downstream) = rest.split_once(", downstreamOffset=")?;
        Some((name.to_owned(), upstream.to_owned(), downstream.to_owned()))
    };
    formatted(broker, topic, "OffsetSyncFormatter").into_iter().filter_map(of).collect()
}

/// Records by partition and offset.
fn by_offset(broker: &Kafka, topic: &str) -> BTreeMap<(String, String), String> {
    let of = |line: String| {
        let mut cells = line.splitn(3, '|').map(str::to_owned);
        let (partition, offset) = (cells.next()?, cells.next()?);
        Some(((partition, offset), cells.next()?))
    };
    let all = kafka::consumed(broker.kcat(), topic, "%p|%o|%T|%k|%h|%s\n");
    all.into_iter().filter_map(of).collect()
}

/// Each sync is of two offsets with the same record; the last of each partition is of its end.
fn check_syncs(found: &[(String, String, String)], topic: &str, mirror: &str) {
    let (here, there) = (by_offset(upstream(), topic), by_offset(kafka::shared(), mirror));
    let partitions: BTreeSet<&String> = here.keys().map(|(partition, _)| partition).collect();
    for partition in partitions {
        let name = format!("{topic}-{partition}");
        let mine: Vec<_> = found.iter().filter(|(sync, ..)| *sync == name).collect();
        for (_, upstream, downstream) in &mine {
            let at = |offset: &String| (partition.clone(), offset.clone());
            let (here, there) = (here.get(&at(upstream)), there.get(&at(downstream)));
            assert!(here.is_some() && here == there, "{name}: {mine:?}");
        }
        let of_it = here.keys().filter(|(of, _)| of == partition);
        let last = of_it.filter_map(|(_, offset)| offset.parse::<u64>().ok()).max();
        let synced = mine.last().and_then(|(_, upstream, _)| upstream.parse().ok());
        assert_eq!(synced, last, "{name}: {mine:?}");
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
    let theirs = all_validated(jvm.port);
    create(jvm.port, "mirror", mirror("turned.*", &[]));
    wait_for_mirror(topic, there, 30);
    jvm.stop();

    produce(topic, 3, 30..60);
    let ours = worker(Kind::Ours, dir.path(), group, "");
    let answers = all_validated(ours.port).into_iter().zip(&theirs);
    let different: Vec<_> = answers.flat_map(|(ours, theirs)| differences(theirs, &ours)).collect();
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
    let mut heart = mirror("", &[("heartbeats.topic.replication.factor", "1")]);
    heart["connector.class"] = json!(HEARTBEATS);
    create(ours.port, "heart", heart);
    wait_for("two heartbeats", LIMIT, || {
        topics(kafka::shared()).contains_key("heartbeats")
            && kafka::consumed(kafka::shared().kcat(), "heartbeats", "%o\n").len() >= 2
    });
    // The formatter's consumer ends when nothing more comes.
    ask(ours.port, "DELETE", "/connectors/heart", "", 204);
    let beats = formatted(kafka::shared(), "heartbeats", "HeartbeatFormatter");
    let beat = "Heartbeat{sourceClusterAlias=A, targetClusterAlias=B, timestamp=";
    assert!(beats.len() >= 2 && beats.iter().all(|line| line.starts_with(beat)), "{beats:?}");
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

/// So many committed records in the target, whose end moves with each transaction meanwhile.
fn wait_for_committed(topic: &str, count: usize) {
    let status = Command::new("timeout")
        .args([&LIMIT.as_secs().to_string(), "kcat", "-b", &kafka::shared().bootstrap(), "-C"])
        .args(["-t", topic, "-o", "beginning", "-c", &count.to_string(), "-q"])
        .args(["-X", "isolation.level=read_committed"])
        .stdout(std::process::Stdio::null())
        .status()
        .expect("kcat");
    assert!(status.success(), "no {count} records came");
}

/// With exactly-once support, topics that keep their names and syncs in the target: a worker that is
/// killed in mid stream, again and again, mirrors each record once.
#[test]
fn a_mirror_that_is_killed_in_mid_stream_gives_each_record_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let (topic, group) = ("killed", "mirror-killed");
    topic_command(upstream(), &["--create", "--topic", topic, "--partitions", "2"]);
    let once = "exactly.once.source.support=enabled\n";
    let mut ours = worker(Kind::Ours, dir.path(), group, once);
    let more = [
        ("exactly.once.support", "required"),
        ("source.consumer.isolation.level", "read_committed"),
        ("offset-syncs.topic.location", "target"),
        ("replication.policy.class", "org.apache.kafka.connect.mirror.IdentityReplicationPolicy"),
    ];
    create(ours.port, "mirror", mirror(topic, &more));
    wait_for_state(ours.port, "mirror", 2, "RUNNING", &[ours.id()]);
    let (stop, stopped) = mpsc::channel::<()>();
    let feeder = std::thread::spawn(move || {
        let mut next = 0;
        while stopped.recv_timeout(PAUSE) == Err(mpsc::RecvTimeoutError::Timeout) {
            produce(topic, 2, next..next + 10);
            next += 10;
        }
        next
    });
    for round in 1..=2 {
        wait_for_committed(topic, 60 * round);
        ours.process.kill();
        ours = worker(Kind::Ours, dir.path(), group, once);
    }
    wait_for_committed(topic, 180);
    drop(stop);
    let written = feeder.join().expect("it fed");
    wait_for_mirror(topic, topic, written);
    ours.stop();
    check_syncs(&syncs(kafka::shared(), "mm2-offset-syncs.A.internal"), topic, topic);
}

/// Who may read a topic may read its mirror, and nobody gets the right to write there: on the JVM's
/// worker and on ours, mirroring a cluster into itself.
#[test]
fn rights_to_read_are_mirrored() {
    let broker = Kafka::start_with(
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
         super.users=User:ANONYMOUS\n",
    );
    let dir = tempfile::tempdir().expect("a folder");
    broker.create_topic("kept", 1);
    let acls = |arguments: &[&str]| tool(&broker, "org.apache.kafka.tools.AclCommand", arguments);
    for (user, operation) in [("reader", "Read"), ("writer", "Write"), ("owner", "All")] {
        let principal = format!("User:{user}");
        let operation = ["--operation", operation, "--topic", "kept"];
        acls(&[&["--add", "--allow-principal", &principal], &operation[..]].concat());
    }
    acls(&["--add", "--deny-principal", "User:out", "--operation", "All", "--topic", "kept"]);
    let of = |topic: &str| -> BTreeSet<String> {
        let text = acls(&["--list", "--topic", topic]);
        let lines = text.lines().map(str::trim).filter(|line| line.starts_with("(principal="));
        lines.map(str::to_owned).collect()
    };
    let mirrored = |kind: Kind, alias: &str| {
        let group = format!("mirror-rights-{alias}");
        let worker = ClusterWorker::start(kind, dir.path(), &broker.bootstrap(), &group, QUICK);
        let own = broker.bootstrap();
        let clusters = [
            ("source.cluster.alias", alias),
            ("source.cluster.bootstrap.servers", &own),
            ("target.cluster.bootstrap.servers", &own),
        ];
        create(worker.port, "mirror", mirror("kept", &clusters));
        let mirror = format!("{alias}.kept");
        wait_for("rights at the mirror", LIMIT, || of(&mirror).len() >= 3);
        worker.stop();
        of(&mirror)
    };
    let ours = mirrored(Kind::Ours, "ours");
    assert_eq!(ours.len(), 3, "{ours:#?}");
    assert_eq!(ours, mirrored(Kind::Jvm, "theirs"));
}
