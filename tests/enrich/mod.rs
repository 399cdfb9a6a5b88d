//! Records joined with tables: a topic that is read to its end and followed, a file that changes,
//! tables that cannot be had; and expressions, tried on the command line.

mod sql;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::metrics::samples_when;
use crate::rig::worker::{Worker, binary, get, properties};
use crate::rig::{kafka, wait_for};

const PATIENCE: Duration = Duration::from_secs(60);

/// A file sink behind an `Enrich`; its connector file and what it writes.
fn sink(dir: &Path, name: &str, table: &[(&str, &str)]) -> (PathBuf, PathBuf) {
    let out = dir.join(format!("{name}.txt"));
    let mut pairs = vec![
        ("name".to_owned(), name.to_owned()),
        ("connector.class".to_owned(), "FileStreamSink".to_owned()),
        ("topics".to_owned(), name.to_owned()),
        ("file".to_owned(), out.display().to_string()),
        ("transforms".to_owned(), "geo".to_owned()),
        ("transforms.geo.type".to_owned(), "millrace.Enrich".to_owned()),
        ("transforms.geo.key".to_owned(), "value.user".to_owned()),
        ("transforms.geo.fields".to_owned(), "country".to_owned()),
    ];
    for (key, value) in table {
        let whole = ["transforms", "errors."].iter().any(|prefix| key.starts_with(prefix));
        let key = if whole { (*key).to_owned() } else { format!("transforms.geo.{key}") };
        pairs.push((key, (*value).to_owned()));
    }
    let pairs: Vec<_> = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    (properties(dir, &format!("{name}.properties"), &pairs), out)
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path)
        .map_or(Vec::new(), |text| text.lines().map(str::to_owned).collect())
}

/// Produces one event after the other until one comes out as `expected`.
fn until(topic: &str, event: &str, out: &Path, expected: &str) {
    wait_for(expected, PATIENCE, || {
        kafka::shared().produce(topic, 0, "none", false, &format!("{event}\n"));
        lines(out).last().is_some_and(|line| line == expected)
    });
}

#[test]
fn a_compacted_topic_is_read_to_its_end_before_the_first_record_and_followed() {
    let kafka = kafka::shared();
    let dir = tempfile::tempdir().expect("a folder");
    kafka.create_topic("enrich-users", 2);
    kafka.create_topic("enrich-events", 1);
    let mut users = String::new();
    (0..2000).for_each(|id| users.push_str(&format!("{id}\t{{\"country\":\"C{id}\",\"x\":1}}\n")));
    users.push_str("7\t{\"country\":\"NL\"}\n8\t\n9\tno JSON\n");
    kafka.produce("enrich-users", 0, "lz4", true, &users);
    kafka.produce("enrich-users", 1, "lz4", true, "\"five\"\t{\"country\":\"DE\"}\n");
    let events: String =
        ["7", "8", "\"five\"", "1999"].map(|user| format!("{{\"user\":{user}}}\n")).concat();
    kafka.produce("enrich-events", 0, "none", false, &events);
    let table = [("table.topic", "enrich-users"), ("table.consumer.fetch.max.wait.ms", "50")];
    let (connector, out) = sink(dir.path(), "enrich-events", &table);
    let worker = Worker::start(dir.path(), &kafka.bootstrap(), &[], &[&connector]);
    wait_for("four records", PATIENCE, || lines(&out).len() == 4);
    assert_eq!(
        lines(&out),
        [
            r#"{"user":7,"country":"NL"}"#,
            r#"{"user":8}"#,
            r#"{"user":"five","country":"DE"}"#,
            r#"{"user":1999,"country":"C1999"}"#,
        ]
    );
    let labels = "connector=\"enrich-events\",task=\"0\",transform=\"geo\"";
    let figure = |name: &str| format!("millrace_table_{name}{{{labels}}}");
    let lookups =
        |result: &str| format!("millrace_table_lookups_total{{{labels},result=\"{result}\"}}");
    let all = samples_when(worker.port, "the lookups in the metrics", |all| {
        all.get(&lookups("hit")) == Some(&3.0) && all.get(&lookups("miss")) == Some(&1.0)
    });
    assert_eq!(all[&figure("rows")], 2000.0);
    assert_eq!(all[&figure("refused_records_total")], 1.0);
    assert!(all[&figure("bytes")] > 10_000.0);
    // It goes on with the topic: changed, removed and new rows.
    kafka.produce("enrich-users", 0, "none", true, "7\t{\"country\":\"FR\"}\n1999\t\n");
    kafka.produce("enrich-users", 1, "none", true, "new\t{\"country\":\"BE\"}\n");
    until("enrich-events", r#"{"user":7}"#, &out, r#"{"user":7,"country":"FR"}"#);
    until("enrich-events", r#"{"user":1999}"#, &out, r#"{"user":1999}"#);
    until("enrich-events", r#"{"user":"new"}"#, &out, r#"{"user":"new","country":"BE"}"#);
}

#[test]
fn a_file_that_changes_and_tables_that_cannot_be_had() {
    let kafka = kafka::shared();
    let dir = tempfile::tempdir().expect("a folder");
    kafka.create_topic("enrich-file", 1);
    let csv = dir.path().join("users.csv");
    std::fs::write(&csv, "user,country\n1,NL\n").expect("a table");
    let path = csv.to_str().expect("a path");
    let good = [("table.file", path), ("table.key", "user"), ("table.refresh.ms", "50")];
    let (connector, out) = sink(dir.path(), "enrich-file", &good);
    let absent = [("table.topic", "enrich-absent")];
    let (no_topic, _) = sink(dir.path(), "enrich-no-topic", &absent);
    let wrong = dir.path().join("wrong.csv");
    std::fs::write(&wrong, "user,country\n1\n").expect("a table");
    let wrong = [("table.file", wrong.to_str().expect("a path")), ("table.key", "user")];
    let (no_table, _) = sink(dir.path(), "enrich-no-table", &wrong);
    let files: [&Path; 3] = [&connector, &no_topic, &no_table];
    let worker = Worker::start(dir.path(), &kafka.bootstrap(), &[], &files);
    for (name, expected) in [
        ("enrich-no-topic", "transforms.geo: the topic enrich-absent does not exist"),
        ("enrich-no-table", "line 2: 1 columns where the first line has 2"),
    ] {
        wait_for(expected, PATIENCE, || {
            let status = get(worker.port, &format!("/connectors/{name}/status"));
            status.is_some_and(|(_, status)| {
                status["tasks"][0]["trace"].as_str().is_some_and(|trace| trace.contains(expected))
            })
        });
    }
    until("enrich-file", r#"{"user":1}"#, &out, r#"{"user":1,"country":"NL"}"#);
    std::fs::write(&csv, "user,country\n1,FR\n").expect("a table");
    until("enrich-file", r#"{"user":1}"#, &out, r#"{"user":1,"country":"FR"}"#);
    // What cannot be read leaves the rows that were there.
    std::fs::write(&csv, "nothing\n").expect("a table");
    wait_for("a warning", PATIENCE, || worker.process.log().contains("the old rows stay"));
    until("enrich-file", r#"{"user":1,"a":2}"#, &out, r#"{"user":1,"a":2,"country":"FR"}"#);
}

/// Records are shown to the table in groups: each of a group has its own fate, and its own place.
#[test]
fn records_that_fail_or_are_dropped_among_others() {
    let kafka = kafka::shared();
    let dir = tempfile::tempdir().expect("a folder");
    kafka.create_topic("enrich-mixed", 1);
    let csv = dir.path().join("users.csv");
    std::fs::write(&csv, "user,country\n1,NL\n2,DE\n").expect("a table");
    let settings = [
        ("table.file", csv.to_str().expect("a path")),
        ("table.key", "user"),
        ("transforms", "some,geo,behind"),
        ("transforms.some.type", "millrace.Expression"),
        ("transforms.some.drop", "has(value.skip)"),
        ("transforms.behind.type", "millrace.Expression"),
        ("transforms.behind.drop", "has(value.n) && int(value.n) > 0"),
        ("errors.tolerance", "all"),
    ];
    let (mut events, mut expected) = (String::new(), Vec::new());
    for at in 0..200 {
        let event = match at % 16 {
            3 | 4 | 15 => "no JSON".to_owned(),
            9 => format!("{{\"user\":1,\"at\":{at},\"n\":\"no number\"}}"),
            6 | 12 => format!("{{\"user\":1,\"at\":{at},\"skip\":1}}"),
            _ => {
                let (user, country) = [("1", "NL"), ("2", "DE")][at % 2];
                let event = format!("{{\"user\":{user},\"at\":{at}");
                expected.push(format!("{event},\"country\":\"{country}\"}}"));
                event + "}"
            }
        };
        events.push_str(&event);
        events.push('\n');
    }
    kafka.produce("enrich-mixed", 0, "none", false, &events);
    let (connector, out) = sink(dir.path(), "enrich-mixed", &settings);
    let _worker = Worker::start(dir.path(), &kafka.bootstrap(), &[], &[&connector]);
    wait_for("the last record", PATIENCE, || lines(&out).len() >= expected.len());
    assert_eq!(lines(&out), expected);
}

/// What `millrace transform` answers to these lines, and whether it went well.
fn transformed(dir: &Path, pairs: &[(&str, &str)], input: &str) -> (bool, String) {
    let json = "org.apache.kafka.connect.json.JsonConverter";
    let mut all = vec![("value.converter", json), ("value.converter.schemas.enable", "false")];
    all.extend(pairs);
    let file = properties(dir, "transform.properties", &all);
    let mut command = Command::new(binary());
    command.arg("transform").arg(file);
    let streams = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = streams.spawn().expect("our binary");
    let mut stdin = child.stdin.take().expect("piped");
    // A configuration that is refused is not read for.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("our binary");
    let text = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8(text).expect("text"))
}

#[test]
fn both_are_tried_without_kafka_and_mistakes_have_their_full_keys() {
    let dir = tempfile::tempdir().expect("a folder");
    let table = dir.path().join("users.jsonl");
    std::fs::write(&table, "{\"id\":1,\"country\":\"NL\"}\n").expect("a table");
    let good = [
        ("transforms", "geo,e"),
        ("transforms.geo.type", "millrace.Enrich$Value"),
        ("transforms.geo.key", "value.user"),
        ("transforms.geo.table.file", table.to_str().expect("a path")),
        ("transforms.geo.table.key", "id"),
        ("transforms.e.type", "Expression"),
        ("transforms.e.set.total", "value.price * value.count"),
        ("transforms.e.drop", "value.count == 0"),
        ("transforms.e.topic", "'orders-' + value.country"),
    ];
    let input = "{\"value\":{\"user\":1,\"price\":2.5,\"count\":2}}\n\
        {\"value\":{\"user\":1,\"price\":1,\"count\":0}}\n\
        {\"value\":{\"user\":2,\"price\":1,\"count\":1}}\n";
    let (went_well, answers) = transformed(dir.path(), &good, input);
    assert!(went_well, "{answers}");
    let answers: Vec<serde_json::Value> =
        answers.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(answers[0]["topic"], "orders-NL");
    let payload = serde_json::json!(
        {"user": 1, "price": 2.5, "count": 2, "country": "NL", "total": 5.0}
    );
    assert_eq!(answers[0]["value"]["payload"], payload);
    assert_eq!(answers[1], serde_json::json!({"dropped": true}));
    assert_eq!(answers[2]["error"], "DataException");
    let message = answers[2]["message"].as_str().expect("a message");
    assert!(message.ends_with("topic='orders-' + value.country: no such field: country"));
    let wrong = [
        ("transforms", "geo,e"),
        ("transforms.geo.type", "millrace.Enrich"),
        ("transforms.geo.key", "value.(user"),
        ("transforms.geo.table.file", "users.csv"),
        ("transforms.e.type", "millrace.Expression"),
        ("transforms.e.set.total", "value.price * vlaue.count"),
        ("transforms.e.drop", "value.count =="),
    ];
    let (went_well, errors) = transformed(dir.path(), &wrong, "");
    assert!(!went_well, "{errors}");
    for expected in [
        "Invalid value value.(user for configuration transforms.geo.key: column 7: ",
        "Invalid value null for configuration transforms.geo.table.key: name the column",
        "Invalid value value.price * vlaue.count for configuration transforms.e.set.total: \
         column 15: no variable vlaue",
        "for configuration transforms.e.drop: column 15: ",
    ] {
        assert!(errors.contains(expected), "{expected}\n{errors}");
    }
}
