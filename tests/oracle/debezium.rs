//! Random change events, and configurations of Debezium's transforms for them.

use serde_json::{Value, json};

use super::configurations::{self, Properties};
use super::data::{self, FIELDS};
use super::random::Random;
use super::{Case, JSON, RECORDS, converter, record};

pub const VERSION: &str = "3.3.1.Final";
/// The last one with `drop.tombstones` and `delete.handling.mode`.
pub const OLD_VERSION: &str = "2.7.4.Final";

const ADDED: &[&str] = &[
    "op",
    "ts_ms",
    "lsn",
    "db",
    "table",
    "snapshot",
    "source.ts_ms",
    "source.db:database",
    "table:TABLE",
    "transaction.id",
    "total_order",
    "missing",
    "source.missing",
    "op:operation",
    "before.id",
    "after.name:renamed",
];

fn field(name: &str, mut schema: Value) -> Value {
    schema["field"] = json!(name);
    schema
}

fn optional(type_: &str) -> Value {
    json!({"type": type_, "optional": true})
}

fn required(type_: &str) -> Value {
    json!({"type": type_, "optional": false})
}

/// An envelope around rows of that schema; now and then it lacks a part.
fn envelope(random: &mut Random, row: &Value) -> Value {
    let source = json!({"type": "struct", "name": "io.debezium.connector.postgresql.Source",
    "fields": [
        field("version", required("string")),
        field("connector", required("string")),
        field("ts_ms", required("int64")),
        field("snapshot", json!({"type": "string", "optional": true, "default": "false"})),
        field("db", required("string")),
        field("table", required("string")),
        field("lsn", optional("int64")),
    ]});
    let transaction = json!({"type": "struct", "optional": true, "name": "event.block",
    "version": 1, "fields": [
        field("id", required("string")),
        field("total_order", required("int64")),
        field("data_collection_order", required("int64")),
    ]});
    let mut fields = vec![
        field("before", row.clone()),
        field("after", row.clone()),
        field("source", source),
        field("op", required("string")),
        field("ts_ms", optional("int64")),
        field("transaction", transaction),
    ];
    if random.once_in(12) {
        fields.remove(random.below(fields.len()));
    }
    let name = if random.once_in(12) { "heartbeat.Value" } else { "srv.public.orders.Envelope" };
    json!({"type": "struct", "optional": false, "name": name, "version": 1, "fields": fields})
}

fn source(random: &mut Random) -> Value {
    json!({"version": "3.3.1.Final", "connector": "postgresql", "ts_ms": 1_700_000_000_000_u64,
        "snapshot": random.pick(&["true", "last"]), "db": "shop", "table": "orders",
        "lsn": if random.once_in(4) { Value::Null } else { json!(random.below(100_000)) }})
}

/// An event of that operation; rows fit the schema.
fn event(random: &mut Random, row: &Value) -> Value {
    let one = |random: &mut Random, row: &Value| {
        let mut value = data::payload(random, row, false);
        if value.is_null() {
            value = data::payload(random, row, true);
        }
        value
    };
    let op = random.pick(&["c", "u", "r", "d", "d", "t"]);
    let before = if matches!(op, "u" | "d") { one(random, row) } else { Value::Null };
    let after = if matches!(op, "c" | "u" | "r") { one(random, row) } else { Value::Null };
    let transaction = match random.once_in(3) {
        true => Value::Null,
        false => json!({"id": "571", "total_order": 1, "data_collection_order": 2}),
    };
    json!({"before": before, "after": after, "source": source(random), "op": op,
        "ts_ms": if random.once_in(6) { Value::Null } else { json!(1_700_000_000_123_u64) },
        "transaction": transaction})
}

fn key(random: &mut Random) -> Value {
    let schema = json!({"type": "struct", "optional": false, "name": "srv.public.orders.Key",
        "fields": [field("id", required("int32")), field("name", optional("string"))]});
    match random.below(12) {
        0 => Value::Null,
        1 => json!({"schema": required("string"), "payload": "plain"}),
        _ => json!({"schema": schema, "payload": {"id": random.below(1000), "name": "n"}}),
    }
}

/// With a header that lists fields.
fn with_list(random: &mut Random, record: &str) -> String {
    let mut record: Value = serde_json::from_str(record).expect("a record");
    if !random.once_in(4) {
        let list = match random.below(8) {
            0 => json!("name"),
            1 => json!([]),
            _ => json!(random.some(FIELDS, 4)),
        };
        let headers = record["headers"].as_array().cloned().unwrap_or_default();
        let header = json!({"key": "drop", "value": list});
        record["headers"] = headers.into_iter().chain([header]).collect();
    }
    record.to_string()
}

fn rows(random: &mut Random) -> Value {
    let mut row = data::structure(random, 1);
    row["optional"] = json!(true);
    row["name"] = json!("srv.public.orders.Value");
    row
}

/// Properties of one transform under the alias `a`, and of a second one now and then.
fn properties(random: &mut Random, class: &str, own: Vec<(&str, String)>) -> Properties {
    let mut properties = Properties::new();
    properties.insert("transforms".to_owned(), "a".to_owned());
    properties.insert("transforms.a.type".to_owned(), format!("io.debezium.transforms.{class}"));
    for (key, value) in own {
        properties.insert(format!("transforms.a.{key}"), value);
    }
    if random.once_in(5) {
        let second = random.pick(&["ReplaceField", "InsertField", "Cast", "Flatten"]);
        properties.extend(configurations::transform(random, "b", second));
        properties.insert("transforms".to_owned(), "a, b".to_owned());
    }
    for side in ["key", "value"] {
        converter(&mut properties, side, JSON, &[("schemas.enable", "true")]);
    }
    properties
}

/// `old`: the keys of version 2.
pub fn unwrap(random: &mut Random, number: usize, old: bool) -> Case {
    let mut own: Vec<(&str, String)> = Vec::new();
    if old {
        own.push(("drop.tombstones", random.pick(&["true", "false"]).to_owned()));
        if !random.once_in(4) {
            own.push((
                "delete.handling.mode",
                random.pick(&["drop", "none", "rewrite"]).to_owned(),
            ));
        }
    } else if !random.once_in(6) {
        let modes =
            ["drop", "tombstone", "rewrite", "rewrite-with-tombstone", "delete-to-tombstone"];
        own.push(("delete.tombstone.handling.mode", random.pick(&modes).to_owned()));
    }
    if random.once_in(2) {
        own.push(("add.fields", random.some(ADDED, 5).join(",")));
    }
    if random.once_in(2) {
        // Columns may be maps and structs, which as headers only fail when they are written.
        own.push(("add.headers", random.some(&ADDED[..ADDED.len() - 2], 5).join(",")));
    }
    if random.once_in(6) {
        own.push(("add.fields.prefix", "m_".to_owned()));
        own.push(("add.headers.prefix", "h.".to_owned()));
    }
    if random.once_in(5) {
        own.push(("route.by.field", random.pick(FIELDS).to_owned()));
    }
    let drops = random.once_in(3);
    if drops {
        own.push(("drop.fields.header.name", "drop".to_owned()));
        own.push(("drop.fields.from.key", random.pick(&["true", "false"]).to_owned()));
        let compatible = random.pick(&["true", "false"]).to_owned();
        own.push(("drop.fields.keep.schema.compatible", compatible));
    }
    if !old && random.once_in(4) {
        own.push(("replace.null.with.default", "false".to_owned()));
    }
    let properties = properties(random, "ExtractNewRecordState", own);
    let records = events(random);
    let records = match drops {
        true => records.iter().map(|record| with_list(random, record)).collect(),
        false => records,
    };
    let which = if old { "old" } else { "new" };
    Case { name: format!("unwrap-{which}-{number}"), properties, records }
}

fn events(random: &mut Random) -> Vec<String> {
    let shapes: Vec<(Value, Value)> = (0..2)
        .map(|_| {
            let row = rows(random);
            (envelope(random, &row), row)
        })
        .collect();
    (0..RECORDS)
        .map(|_| {
            let (envelope, row) = &shapes[random.below(2)];
            let value = match random.below(10) {
                0 => Value::Null,
                1 => json!({"schema": envelope, "payload": null}),
                _ => json!({"schema": envelope, "payload": event(random, row)}),
            };
            let key = key(random);
            record(random, key, value)
        })
        .collect()
}

/// Without schemas, events pass as they are.
pub fn schemaless(random: &mut Random, number: usize) -> Case {
    let own = vec![("delete.tombstone.handling.mode", "rewrite".to_owned())];
    let mut properties = properties(random, "ExtractNewRecordState", own);
    properties.insert("transforms".to_owned(), "a".to_owned());
    for side in ["key", "value"] {
        converter(&mut properties, side, JSON, &[("schemas.enable", "false")]);
    }
    let records = (0..RECORDS)
        .map(|_| {
            let row = rows(random);
            let value = if random.once_in(6) { Value::Null } else { event(random, &row) };
            record(random, json!({"id": 1}), value)
        })
        .collect();
    Case { name: format!("unwrap-schemaless-{number}"), properties, records }
}

pub fn router(random: &mut Random, number: usize) -> Case {
    let mut own = vec![
        ("topic.regex", random.pick(&["(.*)", "(t)(.*)", "topic-(\\d)", "other"]).to_owned()),
        ("topic.replacement", random.pick(&["all", "x-$1", "a b.$1", ""]).to_owned()),
    ];
    if random.once_in(3) {
        own.push(("key.enforce.uniqueness", "false".to_owned()));
    }
    if random.once_in(2) {
        own.push(("key.field.regex", random.pick(&["(.).*", "none", "t(.*)"]).to_owned()));
        if !random.once_in(6) {
            own.push(("key.field.replacement", random.pick(&["shard-$1", "s"]).to_owned()));
        }
    }
    if random.once_in(3) {
        own.push(("key.field.name", random.pick(&["shard", "id"]).to_owned()));
    }
    if random.once_in(2) {
        let mode = random.pick(&["avro", "avro_unicode", "none"]);
        own.push(("schema.name.adjustment.mode", mode.to_owned()));
    }
    let properties = properties(random, "ByLogicalTableRouter", own);
    Case { name: format!("router-{number}"), properties, records: events(random) }
}

/// Rows of an outbox table.
fn outbox(random: &mut Random) -> Value {
    let time = random.pick(&[
        "io.debezium.time.Timestamp",
        "io.debezium.time.MicroTimestamp",
        "io.debezium.time.NanoTimestamp",
        "something",
    ]);
    let payload = if random.once_in(6) { optional("bytes") } else { optional("string") };
    let name = random.pick(&["srv.public.outbox.Value", "Value"]);
    json!({"type": "struct", "optional": true, "name": name, "fields": [
        field("id", required("string")),
        field("aggregatetype", required("string")),
        field("aggregateid", optional("string")),
        field("type", required("string")),
        field("payload", payload),
        field("at", json!({"type": "int64", "optional": true, "name": time})),
        field("version", optional("int32")),
        field("tenant", json!({"type": "string", "optional": true, "default": "none"})),
        field("part", required("int32")),
    ]})
}

fn outbox_row(random: &mut Random, schema: &Value) -> Value {
    let documents = [
        "",
        " ",
        "text",
        "{}",
        "{\"a\":1,\"b\":{\"c\":true,\"d\":null},\"e\":[1,2],\"f\":[]}",
        "{\"n\":null,\"big\":5000000000,\"x\":1.5,\"s\":[{\"k\":1},{\"k\":2}]}",
        "{\"mixed\":[1,\"a\"]}",
        "{broken",
        "{\"a-b\":\"x\",\"l\":[null,\"y\"],\"deep\":[[1],[2]]}",
    ];
    let payload = match schema["fields"][4]["type"].as_str() {
        Some("bytes") => json!("aGVsbG8="),
        _ if random.once_in(8) => Value::Null,
        _ => json!(random.pick(&documents)),
    };
    let tenant = if random.once_in(2) { json!("acme") } else { Value::Null };
    json!({"id": "af-1", "aggregatetype": random.pick(&["order", "user"]), "type": "created",
        "aggregateid": if random.once_in(8) { Value::Null } else { json!("42") },
        "payload": payload, "part": 3, "tenant": tenant,
        "at": if random.once_in(6) { Value::Null } else { json!(1_700_000_000_000_123_456_i64) },
        "version": if random.once_in(4) { Value::Null } else { json!(random.below(2)) }})
}

pub fn event_router(random: &mut Random, number: usize) -> Case {
    let mut own: Vec<(&str, String)> = Vec::new();
    if random.once_in(2) {
        let places = [
            "type:header",
            "type:header:eventType",
            "tenant:envelope",
            "at:envelope:when",
            "part:partition",
            "missing:header",
            "version:header",
        ];
        own.push(("table.fields.additional.placement", random.some(&places, 3).join(",")));
    }
    if random.once_in(3) {
        own.push(("table.fields.additional.error.on.missing", "false".to_owned()));
    }
    if random.once_in(3) {
        own.push(("table.field.event.timestamp", random.pick(&["at", "part"]).to_owned()));
    }
    if random.once_in(4) {
        own.push(("table.field.event.schema.version", "version".to_owned()));
    }
    if random.once_in(5) {
        own.push(("route.by.field", random.pick(&["type", "tenant", "part", "nope"]).to_owned()));
    }
    if random.once_in(3) {
        own.push(("route.topic.replacement", "out.${routedByValue}.v1".to_owned()));
    }
    if random.once_in(6) {
        own.push(("route.topic.regex", "(?<routedByValue>o.*)".to_owned()));
    }
    if random.once_in(2) {
        own.push(("table.expand.json.payload", "true".to_owned()));
        if random.once_in(2) {
            own.push(("table.json.payload.null.behavior", "optional_bytes".to_owned()));
        }
        if random.once_in(3) {
            own.push(("field.name.adjustment.mode", "avro".to_owned()));
        }
    }
    if random.once_in(3) {
        own.push(("route.tombstone.on.empty.payload", "true".to_owned()));
    }
    if random.once_in(3) {
        own.push(("table.op.invalid.behavior", random.pick(&["error", "fatal"]).to_owned()));
    }
    if random.once_in(8) {
        own.push(("table.field.event.key", random.pick(&["type", "nope"]).to_owned()));
    }
    if random.once_in(8) {
        own.push(("table.field.event.payload", random.pick(&["tenant", "nope"]).to_owned()));
    }
    let mut properties = properties(random, "outbox.EventRouter", own);
    // A sink's record has a partition, which the JVM's class takes away: it only works there where
    // a column gives one.
    properties.insert("oracle.source".to_owned(), "true".to_owned());
    properties.insert("transforms".to_owned(), "a".to_owned());
    let row = outbox(random);
    let envelope = envelope(random, &row);
    let records = (0..RECORDS)
        .map(|_| {
            let op = random.pick(&["c", "c", "c", "r", "u", "d"]);
            let after = if op == "d" { Value::Null } else { outbox_row(random, &row) };
            let payload = json!({"before": null, "after": after, "source": source(random),
                "op": op, "ts_ms": 1_700_000_000_123_u64, "transaction": null});
            let value = match random.once_in(12) {
                true => Value::Null,
                false => json!({"schema": envelope, "payload": payload}),
            };
            let key = key(random);
            record(random, key, value)
        })
        .collect();
    Case { name: format!("outbox-{number}"), properties, records }
}
