//! JSON under JSON schemas: there and back, schemas that change, records that are no good.

use serde_json::{Value, json};

use super::{FIRST, SECOND, export_with, exported_with, produce_with};
use crate::rig::{kafka, registry};

const JSON_SCHEMA: &str = "io.confluent.connect.json.JsonSchemaConverter";

#[test]
fn json_there_and_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let (kafka, registry) = (kafka::shared(), registry::shared());
    kafka.create_topic("jsonschema-events", 1);
    let events = [("quickstart", "events"), ("seed", "7")];
    produce_with(JSON_SCHEMA, dir.path(), &registry.url(), "jsonschema-events", 500, &events);
    let (status, latest) = registry.get("/subjects/jsonschema-events-value/versions/latest");
    assert_eq!(status, 200, "{latest}");
    assert_eq!((&latest["version"], &latest["schemaType"]), (&json!(1), &json!("JSON")));
    let schema: Value = serde_json::from_str(latest["schema"].as_str().expect("a schema")).unwrap();
    assert_eq!(schema["type"], "object", "{schema}");
    assert_eq!(schema["properties"]["id"]["connect.index"], 0, "{schema}");
    // The same data without a schema: the same seed makes the same records.
    kafka.create_topic("jsonschema-plain", 1);
    let plain = [
        ("quickstart", "events"),
        ("seed", "7"),
        ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
        ("value.converter.schemas.enable", "false"),
    ];
    produce_with(JSON_SCHEMA, dir.path(), &registry.url(), "jsonschema-plain", 500, &plain);
    let lines: Vec<Value> = kafka
        .consume("jsonschema-plain", "%s\n")
        .iter()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 500);
    let topic = "jsonschema-events";
    assert_eq!(exported_with(JSON_SCHEMA, dir.path(), &registry.url(), topic, &[]), lines);
    // Typed values, through a transform that reads them.
    let transform = [
        ("transforms", "only"),
        ("transforms.only.type", "org.apache.kafka.connect.transforms.ReplaceField$Value"),
        ("transforms.only.include", "id"),
    ];
    let ids: Vec<Value> = lines.iter().map(|one| json!({ "id": one["id"] })).collect();
    assert_eq!(exported_with(JSON_SCHEMA, dir.path(), &registry.url(), topic, &transform), ids);
}

#[test]
fn json_of_two_schemas_and_bad_records() {
    let dir = tempfile::tempdir().expect("a folder");
    let (kafka, registry) = (kafka::shared(), registry::shared());
    let (url, topic) = (registry.url(), "jsonschema-orders");
    kafka.create_topic(topic, 1);
    let strategy = "io.confluent.kafka.serializers.subject.TopicRecordNameStrategy";
    let named = |schema| {
        [("schema.string", schema), ("value.converter.value.subject.name.strategy", strategy)]
    };
    produce_with(JSON_SCHEMA, dir.path(), &url, topic, 5, &named(FIRST));
    let (status, first) = registry.get("/subjects/jsonschema-orders-shop.Order/versions/1");
    assert_eq!(status, 200, "{first}");
    let id = first["id"].as_u64().expect("an id") as u32;
    let framed = |text: &str| [&[0][..], &id.to_be_bytes(), text.as_bytes()].concat();
    // Fields left out and others that nobody knows are fine; three records are not.
    let records = [
        framed(r#"{"id":7,"more":{"x":[1]}}"#),
        framed(r#"{"id":8,"note":"#),
        framed(r#"{"id":null}"#),
        [&[0, 0x7f, 0xff, 0xff, 0xff][..], b"{}"].concat(),
    ];
    for bytes in &records {
        let path = dir.path().join("record");
        std::fs::write(&path, bytes).expect("a file");
        let mut kcat = kafka.kcat();
        let sent = kcat.args(["-P", "-t", topic, "-p", "0"]).arg(&path).status();
        assert!(sent.expect("kcat").success());
    }
    produce_with(JSON_SCHEMA, dir.path(), &url, topic, 5, &named(SECOND));
    let tolerant = [
        ("errors.tolerance", "all"),
        ("errors.deadletterqueue.topic.name", "jsonschema-letters"),
        ("errors.deadletterqueue.topic.replication.factor", "1"),
        ("errors.deadletterqueue.context.headers.enable", "true"),
    ];
    let lines = exported_with(JSON_SCHEMA, dir.path(), &url, topic, &tolerant);
    assert_eq!(lines.len(), 11, "{lines:?}");
    assert_eq!(lines[5], json!({ "id": 7, "note": null }));
    assert!(lines[6..].iter().all(|line| line["paid"].is_boolean()), "{lines:?}");
    let mut letters = kafka.consume("jsonschema-letters", "%h\n");
    letters.retain(|line| !line.is_empty());
    assert_eq!(letters.len(), 3, "{letters:?}");
    assert!(letters[0].contains("at byte 15 of 15 behind the schema's id"), "{}", letters[0]);
    assert!(letters[1].contains("id: Invalid null value for required INT64"), "{}", letters[1]);
    assert!(letters[2].contains("error code: 40403"), "{}", letters[2]);
    // Without tolerance the task ends, and says which record it was.
    let (output, _) = export_with(JSON_SCHEMA, dir.path(), &url, topic, &[]);
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("jsonschema-orders-0 at offset 6"), "{text}");
    assert!(text.contains(JSON_SCHEMA), "{text}");
}
