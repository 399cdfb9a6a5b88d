//! The topic that everything is measured over: 254-byte JSON events, lz4 batches of 64 KiB.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Stdio;

use crate::rig::kafka::Kafka;
use crate::{chains, ours};

pub const TOPIC: &str = "perf-events";

/// The same with members that come and go.
pub const VARIED: &str = "perf-events-varied";

/// The same with values of all lengths.
pub const LENGTHS: &str = "perf-events-lengths";

/// One event; always 254 bytes.
pub fn event(number: u64) -> String {
    with_members(number, "")
}

/// One event of 32 layouts: four members that may be there or not, and a blank. 254 to 276 bytes.
pub fn varied(number: u64) -> String {
    let mixed = number.wrapping_mul(0xD6E8_FEB8_6659_FD93) >> 32;
    let members = ["a", "b", "c", "d"].into_iter().enumerate();
    let members = members.filter(|(at, _)| mixed >> at & 1 == 1);
    with_members(number, &members.map(|(_, name)| format!("\"{name}\":1,")).collect::<String>())
}

/// One event whose values are of all lengths, some 254 bytes in the mean.
pub fn of_lengths(number: u64) -> String {
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16;
    let byte = |at: u64| mixed >> at & 255;
    format!(
        "{{\"id\":{},\"ts\":{},\"user\":{{\"name\":\"{}-{}\",\"country\":\"DE\"}},\
         \"ip\":\"10.{}.{}.{}\",\"ua\":\"Mozilla/5.0 (X11; Linux x86_64)\",\
         \"amount\":{}.{},\"active\":{},\"tags\":[\"alpha\",\"beta\"],\
         \"ref\":\"https://example.org/{:x}\",\"note\":\"{}\"}}",
        number,
        1_700_000_000_000 + number,
        ["jo", "maria", "alexandra", "user"][(mixed % 4) as usize],
        mixed % 1_000_000,
        byte(0),
        byte(8),
        byte(16),
        mixed % 2000,
        byte(24) % 100,
        mixed.is_multiple_of(2),
        mixed >> (mixed % 16),
        "x".repeat((byte(32) % 26) as usize),
    )
}

fn with_members(number: u64, members: &str) -> String {
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let head = format!(
        "{{\"id\":{:010},\"ts\":{},{members}\"user\":{{\"name\":\"user-{:06}\",\"country\":\"DE\"}},\
         \"ip\":\"10.{:03}.{:03}.{:03}\",\"ua\":\"Mozilla/5.0 (X11; Linux x86_64)\",\
         \"amount\":{}.{:02},\"active\":{},\"tags\":[\"alpha\",\"beta\"],\
         \"ref\":\"https://example.org/{:016x}\",\"note\":\"",
        1_000_000_000 + number,
        1_700_000_000_000 + number,
        mixed % 1_000_000,
        100 + mixed % 100,
        100 + (mixed >> 8) % 100,
        100 + (mixed >> 16) % 100,
        100 + mixed % 900,
        (mixed >> 24) % 100,
        if mixed.is_multiple_of(2) { "true " } else { "false" },
        mixed,
    );
    let fill = 254usize.saturating_sub(head.len() + 2);
    format!("{head}{}\"}}", "x".repeat(fill))
}

/// Events in the JsonConverter's envelope, the schema in each.
pub const ENVELOPES: &str = "perf-envelopes";
/// Change events as Debezium makes them, with their schemas.
pub const CHANGES: &str = "perf-changes";
/// The same without.
pub const PLAIN_CHANGES: &str = "perf-plain-changes";
/// The generator's events under schemas of a registry; filled by our own worker.
pub const AVRO: &str = "perf-avro";
pub const JSON_SCHEMA: &str = "perf-json-schema";
pub const PROTOBUF: &str = "perf-protobuf";

/// The fields of an event.
const FIELDS: &str = r#"[{"type":"int64","optional":false,"field":"id"},{"type":"int64","optional":false,"field":"ts"},{"type":"struct","fields":[{"type":"string","optional":false,"field":"name"},{"type":"string","optional":false,"field":"country"}],"optional":false,"field":"user"},{"type":"string","optional":false,"field":"ip"},{"type":"string","optional":true,"field":"ua"},{"type":"double","optional":false,"field":"amount"},{"type":"boolean","optional":false,"field":"active"},{"type":"array","items":{"type":"string","optional":false},"optional":false,"field":"tags"},{"type":"string","optional":true,"field":"ref"},{"type":"string","optional":true,"field":"note"}]"#;

const SOURCE: &str = r#"{"version":"3.3.1.Final","connector":"postgresql","name":"srv","ts_ms":1700000000000,"db":"shop","table":"events"}"#;

const SOURCE_FIELDS: &str = r#"[{"type":"string","optional":false,"field":"version"},{"type":"string","optional":false,"field":"connector"},{"type":"string","optional":false,"field":"name"},{"type":"int64","optional":false,"field":"ts_ms"},{"type":"string","optional":false,"field":"db"},{"type":"string","optional":false,"field":"table"}]"#;

/// What a topic has for this event.
fn line(topic: &str, number: u64) -> String {
    match topic {
        VARIED => varied(number),
        LENGTHS => of_lengths(number),
        ENVELOPES => enveloped(
            &format!(r#"{{"type":"struct","fields":{FIELDS},"optional":false,"name":"Event"}}"#),
            &event(number),
        ),
        CHANGES => enveloped(&change_schema(), &change(number)),
        PLAIN_CHANGES => change(number),
        _ => event(number),
    }
}

fn enveloped(schema: &str, payload: &str) -> String {
    format!(r#"{{"schema":{schema},"payload":{payload}}}"#)
}

/// A row that was inserted.
fn change(number: u64) -> String {
    format!(
        r#"{{"before":null,"after":{},"source":{SOURCE},"op":"c","ts_ms":{},"transaction":null}}"#,
        event(number),
        1_700_000_000_123 + number
    )
}

fn change_schema() -> String {
    let side = |side| {
        format!(
            r#"{{"type":"struct","fields":{FIELDS},"optional":true,"name":"srv.shop.events.Value","field":"{side}"}}"#
        )
    };
    format!(
        r#"{{"type":"struct","fields":[{},{},{{"type":"struct","fields":{SOURCE_FIELDS},"optional":false,"name":"io.debezium.connector.postgresql.Source","field":"source"}},{{"type":"string","optional":false,"field":"op"}},{{"type":"int64","optional":true,"field":"ts_ms"}},{{"type":"struct","fields":[{{"type":"string","optional":false,"field":"id"}},{{"type":"int64","optional":false,"field":"total_order"}},{{"type":"int64","optional":false,"field":"data_collection_order"}}],"optional":true,"name":"event.block","version":1,"field":"transaction"}}],"optional":false,"name":"srv.shop.events.Envelope","version":2}}"#,
        side("before"),
        side("after")
    )
}

/// A table of a million rows, one for each user that an event may have.
pub fn write_rows(path: &Path) {
    let file = std::fs::File::create(path).expect("a file");
    let mut rows = BufWriter::with_capacity(1 << 20, file);
    writeln!(rows, "name,segment,city").expect("written");
    for user in 0..1_000_000 {
        writeln!(rows, "user-{user:06},segment-{},city-{}", user % 12, user % 5000)
            .expect("written");
    }
    rows.flush().expect("written");
}

/// Fills one of the topics, in lz4 batches of about 64 KiB of lines.
pub fn fill(kafka: &Kafka, topic: &str, records: u64) {
    kafka.create_topic(topic, 1);
    if let Some(converter) = chains::converter_of(topic) {
        return ours::fill(kafka, topic, converter, records);
    }
    let mut child = kafka
        .kcat()
        .args(["-P", "-t", topic, "-p", "0", "-z", "lz4"])
        .args(["-X", "batch.size=220000", "-X", "linger.ms=50"])
        .args(["-X", "batch.num.messages=250"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("kcat");
    let mut input = BufWriter::with_capacity(1 << 20, child.stdin.take().expect("piped"));
    for number in 0..records {
        writeln!(input, "{}", line(topic, number)).expect("kcat reads");
    }
    drop(input);
    assert!(child.wait().expect("kcat").success(), "kcat could not produce");
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_event_has_254_bytes() {
        for number in [0, 1, 999, 123_456_789] {
            let (event, varied) = (super::event(number), super::varied(number));
            assert_eq!(event.len(), 254, "{event}");
            assert!((254..=276).contains(&varied.len()), "{varied}");
            let others = [super::ENVELOPES, super::CHANGES].map(|topic| super::line(topic, number));
            let lengths = super::of_lengths(number);
            assert!((180..=300).contains(&lengths.len()), "{lengths}");
            for event in [event, varied, lengths].into_iter().chain(others) {
                serde_json::from_str::<serde_json::Value>(&event).expect("JSON");
            }
        }
    }
}
