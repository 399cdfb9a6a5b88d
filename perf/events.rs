//! The topic that everything is measured over: 254-byte JSON events, lz4 batches of 64 KiB.

use std::io::{BufWriter, Write};
use std::process::Stdio;

use crate::rig::kafka::Kafka;

pub const TOPIC: &str = "perf-events";

/// The same with members that come and go.
pub const VARIED: &str = "perf-events-varied";

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

/// Fills one of the topics, in lz4 batches of about 64 KiB of lines.
pub fn fill(kafka: &Kafka, topic: &str, records: u64) {
    kafka.create_topic(topic, 1);
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
        let line = if topic == VARIED { varied(number) } else { event(number) };
        writeln!(input, "{line}").expect("kcat reads");
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
            for event in [event, varied] {
                serde_json::from_str::<serde_json::Value>(&event).expect("JSON");
            }
        }
    }
}
