//! Records there and back, schemas that change, records that are bad.

use serde_json::{Value, json};

use super::{FIRST, SECOND, export, exported, produce};
use crate::rig::{kafka, registry};

#[test]
fn there_and_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let (kafka, registry) = (kafka::shared(), registry::shared());
    kafka.create_topic("avro-events", 1);
    kafka.create_topic("avro-json", 1);
    let records = [("quickstart", "events"), ("seed", "7")];
    produce(dir.path(), &registry.url(), "avro-events", 2000, &records);
    // The same data as JSON: the same seed makes the same records.
    let json = [
        ("quickstart", "events"),
        ("seed", "7"),
        ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
        ("value.converter.schemas.enable", "false"),
    ];
    produce(dir.path(), &registry.url(), "avro-json", 2000, &json);
    let as_json: Vec<Value> = kafka
        .consume("avro-json", "%s\n")
        .iter()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let (status, latest) = registry.get("/subjects/avro-events-value/versions/latest");
    assert_eq!(status, 200, "{latest}");
    assert_eq!(latest["version"], 1);
    assert_eq!(exported(dir.path(), &registry.url(), "avro-events", &[]), as_json);
    // Typed values, through a transform that reads them.
    let transform = [
        ("transforms", "only"),
        ("transforms.only.type", "org.apache.kafka.connect.transforms.ReplaceField$Value"),
        ("transforms.only.include", "id"),
    ];
    let ids: Vec<Value> = as_json.iter().map(|one| json!({ "id": one["id"] })).collect();
    assert_eq!(exported(dir.path(), &registry.url(), "avro-events", &transform), ids);
}

#[test]
fn a_schema_changes_and_each_record_is_read_by_its_own() {
    let dir = tempfile::tempdir().expect("a folder");
    let (kafka, registry) = (kafka::shared(), registry::shared());
    kafka.create_topic("avro-orders", 1);
    produce(dir.path(), &registry.url(), "avro-orders", 10, &[("schema.string", FIRST)]);
    produce(dir.path(), &registry.url(), "avro-orders", 10, &[("schema.string", SECOND)]);
    let (_, versions) = registry.get("/subjects/avro-orders-value/versions");
    assert_eq!(versions, json!([1, 2]));
    let lines = exported(dir.path(), &registry.url(), "avro-orders", &[]);
    assert_eq!(lines.len(), 20);
    for (at, line) in lines.iter().enumerate() {
        let id = if at < 10 { at + 1 } else { at + 91 };
        assert_eq!(line["id"], id, "{line}");
        assert_eq!(line["paid"].is_boolean(), at >= 10, "{line}");
        assert!(line.as_object().is_some_and(|line| line.contains_key("note")), "{line}");
    }
    let (_, subjects) = registry.get("/subjects");
    assert!(subjects.as_array().is_some_and(|all| all.contains(&json!("avro-orders-value"))));
}

#[test]
fn subjects_by_record_and_schemas_that_must_be_there() {
    let dir = tempfile::tempdir().expect("a folder");
    let (kafka, registry) = (kafka::shared(), registry::shared());
    kafka.create_topic("avro-named", 1);
    let strategy = "io.confluent.kafka.serializers.subject.TopicRecordNameStrategy";
    let named =
        [("schema.string", FIRST), ("value.converter.value.subject.name.strategy", strategy)];
    produce(dir.path(), &registry.url(), "avro-named", 3, &named);
    let (status, _) = registry.get("/subjects/avro-named-shop.Order/versions/latest");
    assert_eq!(status, 200);
    // Not registered, and not to be: found where it was, under its name, and nowhere else.
    let mut known = named.to_vec();
    known.push(("value.converter.auto.register.schemas", "false"));
    produce(dir.path(), &registry.url(), "avro-named", 3, &known);
    let (_, versions) = registry.get("/subjects/avro-named-shop.Order/versions");
    assert_eq!(versions, json!([1]));
    // Under the newest schema of a subject, whatever the data's own looks like.
    kafka.create_topic("avro-latest", 1);
    let latest = [
        ("schema.string", SECOND),
        ("value.converter.value.subject.name.strategy", strategy),
        ("value.converter.auto.register.schemas", "false"),
        ("value.converter.use.latest.version", "true"),
    ];
    let topic =
        [("schema.string", FIRST), ("value.converter.value.subject.name.strategy", strategy)];
    produce(dir.path(), &registry.url(), "avro-latest", 1, &topic);
    produce(dir.path(), &registry.url(), "avro-latest", 2, &latest);
    let lines = exported(dir.path(), &registry.url(), "avro-latest", &[]);
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| line.get("paid").is_none()), "{lines:?}");
    let (_, versions) = registry.get("/subjects/avro-latest-shop.Order/versions");
    assert_eq!(versions, json!([1]));
}

#[test]
fn a_bad_record_fails_alone_and_says_where() {
    let dir = tempfile::tempdir().expect("a folder");
    let (kafka, registry) = (kafka::shared(), registry::shared());
    kafka.create_topic("avro-bad", 1);
    produce(dir.path(), &registry.url(), "avro-bad", 2, &[("schema.string", FIRST)]);
    // A schema that nobody has, a length beyond the end, and no Avro at all.
    let (_, first) = registry.get("/subjects/avro-bad-value/versions/1");
    let id = first["id"].as_u64().expect("an id") as u32;
    let mut broken = vec![0];
    broken.extend(id.to_be_bytes());
    broken.extend([2, 2, 100]);
    for bytes in [&[0, 0x7f, 0xff, 0xff, 0xff, 2][..], &broken, b"text"] {
        let path = dir.path().join("record");
        std::fs::write(&path, bytes).expect("a file");
        let mut kcat = kafka.kcat();
        let sent = kcat.args(["-P", "-t", "avro-bad", "-p", "0"]).arg(&path).status();
        assert!(sent.expect("kcat").success());
    }
    produce(dir.path(), &registry.url(), "avro-bad", 2, &[("schema.string", SECOND)]);
    let tolerant = [
        ("errors.tolerance", "all"),
        ("errors.deadletterqueue.topic.name", "avro-bad-letters"),
        ("errors.deadletterqueue.topic.replication.factor", "1"),
        ("errors.deadletterqueue.context.headers.enable", "true"),
    ];
    let lines = exported(dir.path(), &registry.url(), "avro-bad", &tolerant);
    assert_eq!(lines.len(), 4, "{lines:?}");
    let mut letters = kafka.consume("avro-bad-letters", "%h\n");
    letters.retain(|line| !line.is_empty());
    assert_eq!(letters.len(), 3, "{letters:?}");
    assert!(letters[0].contains("error code: 40403"), "{}", letters[0]);
    assert!(letters[1].contains("at byte 7 of 8"), "{}", letters[1]);
    assert!(letters[2].contains("Unknown magic byte!"), "{}", letters[2]);
    // Without tolerance the task ends, and says which record it was.
    let (output, _) = export(dir.path(), &registry.url(), "avro-bad", &[]);
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("avro-bad-0 at offset 2"), "{text}");
    assert!(text.contains(super::AVRO), "{text}");
}
