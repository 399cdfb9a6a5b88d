//! Protobuf: records there and back, schemas that other programs have registered, records that are
//! bad.

use std::process::Stdio;

use serde_json::{Value, json};

use super::{FIRST, SECOND, export, exported, produce};
use crate::rig::{kafka, registry};

const PROTOBUF: (&str, &str) =
    ("value.converter", "io.confluent.connect.protobuf.ProtobufConverter");

/// The pairs, under our converter.
fn protobuf<'p>(pairs: &[(&'p str, &'p str)]) -> Vec<(&'p str, &'p str)> {
    [&[PROTOBUF], pairs].concat()
}

fn send(topic: &str, record: &[u8]) {
    use std::io::Write;
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("record");
    std::fs::File::create(&path).and_then(|mut file| file.write_all(record)).expect("a file");
    let mut kcat = kafka::shared().kcat();
    let sent = kcat.args(["-P", "-t", topic, "-p", "0"]).arg(&path).stdin(Stdio::null()).status();
    assert!(sent.expect("kcat").success());
}

/// Registers `text` and says its id.
fn register(subject: &str, text: &str, references: Value) -> u32 {
    let body = json!({ "schemaType": "PROTOBUF", "schema": text, "references": references });
    let path = format!("/subjects/{subject}/versions");
    let (status, answer) = registry::shared().post(&path, &body.to_string());
    assert_eq!(status, 200, "{answer}");
    answer["id"].as_u64().and_then(|id| u32::try_from(id).ok()).expect("an id")
}

#[test]
fn protobuf_there_and_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let (kafka, registry) = (kafka::shared(), registry::shared());
    kafka.create_topic("protobuf-events", 1);
    kafka.create_topic("protobuf-json", 1);
    let seeded = [("quickstart", "events"), ("seed", "7")];
    produce(dir.path(), &registry.url(), "protobuf-events", 1000, &protobuf(&seeded));
    // The same data as JSON: the same seed makes the same records.
    let mut json = seeded.to_vec();
    json.push(("value.converter", "org.apache.kafka.connect.json.JsonConverter"));
    json.push(("value.converter.schemas.enable", "false"));
    produce(dir.path(), &registry.url(), "protobuf-json", 1000, &json);
    let as_json: Vec<Value> = kafka
        .consume("protobuf-json", "%s\n")
        .iter()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let (status, latest) = registry.get("/subjects/protobuf-events-value/versions/latest");
    assert_eq!(status, 200, "{latest}");
    assert_eq!((&latest["version"], &latest["schemaType"]), (&json!(1), &json!("PROTOBUF")));
    let lines = exported(dir.path(), &registry.url(), "protobuf-events", &protobuf(&[]));
    assert_eq!(lines, as_json);
    // Each schema its own version, each record read by its own schema.
    kafka.create_topic("protobuf-orders", 1);
    for schema in [FIRST, SECOND] {
        let pairs = protobuf(&[("schema.string", schema)]);
        produce(dir.path(), &registry.url(), "protobuf-orders", 5, &pairs);
    }
    let (_, versions) = registry.get("/subjects/protobuf-orders-value/versions");
    assert_eq!(versions, json!([1, 2]));
    let lines = exported(dir.path(), &registry.url(), "protobuf-orders", &protobuf(&[]));
    assert_eq!(lines.len(), 10);
    for (at, line) in lines.iter().enumerate() {
        assert_eq!(line["id"], if at < 5 { at + 1 } else { at + 96 }, "{line}");
        assert_eq!(line["paid"].is_boolean(), at >= 5, "{line}");
    }
}

#[test]
fn protobuf_that_others_have_written() {
    let dir = tempfile::tempdir().expect("a folder");
    let (kafka, registry) = (kafka::shared(), registry::shared());
    kafka.create_topic("protobuf-others", 1);
    let other = "syntax = \"proto3\"; package shop; message Item { string name = 1; }";
    register("shop-item", other, json!([]));
    let text = "syntax = \"proto3\"; package shop; import \"shop/item.proto\"; \
                import \"google/protobuf/timestamp.proto\"; \
                message Nothing {} \
                message Order { int64 id = 1; repeated Item items = 2; map<string, int32> counts = 3; \
                oneof paid { bool cash = 4; string card = 5; } Status status = 6; \
                google.protobuf.Timestamp at = 7; \
                enum Status { OPEN = 0; DONE = 4; } }";
    let reference = json!([{ "name": "shop/item.proto", "subject": "shop-item", "version": 1 }]);
    let id = register("protobuf-others-value", text, reference);
    let payload = [
        &[8, 7][..],
        &[18, 3, 10, 1, b'a', 18, 3, 10, 1, b'b'],
        &[26, 5, 10, 1, b'k', 16, 2],
        &[42, 2, b'x', b'y'],
        &[48, 4],
        &[58, 2, 8, 1],
        // A field that the schema does not have.
        &[80, 1],
    ]
    .concat();
    // The second message of the schema: one index, and it is 1.
    send("protobuf-others", &[&[0][..], &id.to_be_bytes(), &[2, 2], &payload].concat());
    let lines = exported(dir.path(), &registry.url(), "protobuf-others", &protobuf(&[]));
    let expected = json!([{
        "paid_0": { "cash": null, "card": "xy" },
        "id": 7,
        "items": [{ "name": "a" }, { "name": "b" }],
        "counts": { "k": 2 },
        "status": "DONE",
        "at": 1000,
    }]);
    assert_eq!(Value::from(lines), expected);
}

#[test]
fn protobuf_by_record_name_and_under_the_newest_schema() {
    let dir = tempfile::tempdir().expect("a folder");
    let (kafka, registry) = (kafka::shared(), registry::shared());
    kafka.create_topic("protobuf-latest", 1);
    let strategy = "io.confluent.kafka.serializers.subject.TopicRecordNameStrategy";
    let named = ("value.converter.value.subject.name.strategy", strategy);
    let first = protobuf(&[("schema.string", FIRST), named]);
    produce(dir.path(), &registry.url(), "protobuf-latest", 2, &first);
    let latest = protobuf(&[
        ("schema.string", SECOND),
        named,
        ("value.converter.auto.register.schemas", "false"),
        ("value.converter.use.latest.version", "true"),
    ]);
    produce(dir.path(), &registry.url(), "protobuf-latest", 2, &latest);
    let lines = exported(dir.path(), &registry.url(), "protobuf-latest", &protobuf(&[]));
    assert_eq!(lines.len(), 4);
    assert!(lines.iter().all(|line| line.get("paid").is_none()), "{lines:?}");
    let (_, versions) = registry.get("/subjects/protobuf-latest-shop.Order/versions");
    assert_eq!(versions, json!([1]));
}

#[test]
fn a_bad_protobuf_record_fails_alone_and_says_where() {
    let dir = tempfile::tempdir().expect("a folder");
    let (kafka, registry) = (kafka::shared(), registry::shared());
    kafka.create_topic("protobuf-bad", 1);
    let pairs = protobuf(&[("schema.string", FIRST)]);
    produce(dir.path(), &registry.url(), "protobuf-bad", 2, &pairs);
    let (_, first) = registry.get("/subjects/protobuf-bad-value/versions/1");
    let id = first["id"].as_u64().and_then(|id| u32::try_from(id).ok()).expect("an id");
    let avro = "{\"type\":\"record\",\"name\":\"R\",\"fields\":[]}";
    let (status, answer) = registry
        .post("/subjects/protobuf-bad-avro/versions", &json!({ "schema": avro }).to_string());
    assert_eq!(status, 200, "{answer}");
    let other = answer["id"].as_u64().and_then(|id| u32::try_from(id).ok()).expect("an id");
    // A length beyond the end, a message that there is not, and a schema that is Avro's.
    for record in [
        [&[0][..], &id.to_be_bytes(), &[0, 8, 1, 18, 100]].concat(),
        [&[0][..], &id.to_be_bytes(), &[2, 8]].concat(),
        [&[0][..], &other.to_be_bytes(), &[0]].concat(),
    ] {
        send("protobuf-bad", &record);
    }
    let tolerant = protobuf(&[
        ("errors.tolerance", "all"),
        ("errors.deadletterqueue.topic.name", "protobuf-bad-letters"),
        ("errors.deadletterqueue.topic.replication.factor", "1"),
        ("errors.deadletterqueue.context.headers.enable", "true"),
    ]);
    let lines = exported(dir.path(), &registry.url(), "protobuf-bad", &tolerant);
    assert_eq!(lines.len(), 2, "{lines:?}");
    let mut letters = kafka.consume("protobuf-bad-letters", "%h\n");
    letters.retain(|line| !line.is_empty());
    assert_eq!(letters.len(), 3, "{letters:?}");
    for (letter, why) in
        letters.iter().zip(["at byte 9 of 10", "no message of indexes [4]", "not PROTOBUF"])
    {
        assert!(letter.contains(why), "{letter}");
    }
    // Without tolerance the task ends, and says which record it was.
    let (output, _) = export(dir.path(), &registry.url(), "protobuf-bad", &protobuf(&[]));
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("protobuf-bad-0 at offset 2"), "{text}");
    assert!(text.contains(PROTOBUF.1), "{text}");
}
