//! The flat way against the walk of the tree: the same text, whatever comes.

use super::super::config::AvroDataConfig;
use super::super::schema::AvroSchema;
use super::super::{flat_json, to_connect, to_json};
use super::*;
use crate::Arena;
use crate::json::Level;
use crate::test_rig::Random;
use crate::varint::{Input, write_varint, zigzag};

const SCHEMA: &str = r#"{"type":"record","name":"R","fields":[
    {"name":"a name of more than thirty-two bytes, \"quoted\"","type":"string"},
    {"name":"long","type":"long"},{"name":"int","type":["int","null"]},
    {"name":"real","type":["null","double"]},{"name":"yes","type":"boolean"},
    {"name":"inner","type":["null",{"type":"record","name":"I","fields":[
        {"name":"text","type":["null","string"]},
        {"name":"empty","type":{"type":"record","name":"E","fields":[]}},
        {"name":"numbers","type":{"type":"array","items":"long"}}]}]},
    {"name":"texts","type":{"type":"array","items":"string"}},
    {"name":"maybe","type":["null",{"type":"array","items":"string"}]},
    {"name":"suit","type":{"type":"enum","name":"S","symbols":["CLUBS","HEARTS"]}},
    {"name":"bytes","type":"bytes"},{"name":"few","type":"float"},
    {"name":"last","type":["null","string"]}]}"#;

/// Makes records, from a seed.
struct Records(Random);

impl Records {
    fn below(&mut self, sides: u64) -> u64 {
        self.0.below(sides as usize) as u64
    }

    fn long(&mut self, out: &mut Vec<u8>) {
        let bits = self.below(65) as u32;
        let all = self.0.next().checked_shr(64 - bits).unwrap_or(0);
        write_varint(all, out);
    }

    fn number(number: i64, out: &mut Vec<u8>) {
        write_varint(zigzag(number), out);
    }

    fn text(&mut self, out: &mut Vec<u8>) {
        let mut text = "x".repeat(self.below(40) as usize);
        match self.below(8) {
            0 => text.push_str("é日😀"),
            1 => text.push_str("\"\\\n\u{1}"),
            2 => text = text.repeat(20),
            _ => text.push_str("1234"),
        }
        Self::number(text.len() as i64, out);
        out.extend_from_slice(text.as_bytes());
    }

    fn array(&mut self, out: &mut Vec<u8>, item: fn(&mut Self, &mut Vec<u8>)) {
        for _ in 0..self.below(3) {
            let count = 1 + self.below(3) as i64;
            let mut items = Vec::new();
            (0..count).for_each(|_| item(self, &mut items));
            if self.below(3) == 0 {
                Self::number(-count, out);
                Self::number(items.len() as i64, out);
            } else {
                Self::number(count, out);
            }
            out.extend(items);
        }
        out.push(0);
    }

    /// A record of [`SCHEMA`].
    fn record(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.text(&mut out);
        self.long(&mut out);
        if self.below(3) == 0 {
            out.push(2);
        } else {
            out.push(0);
            Self::number(self.below(1 << 32) as i32 as i64, &mut out);
        }
        if self.below(3) == 0 {
            out.push(0);
        } else {
            out.push(2);
            let cents =
                self.below(100_000_000) as f64 / [1.0, 100.0, 1000.0, 7.0][self.below(4) as usize];
            out.extend(cents.to_le_bytes());
        }
        out.push(self.below(2) as u8);
        if self.below(3) == 0 {
            out.push(0);
        } else {
            out.push(2);
            if self.below(2) == 0 {
                out.push(0);
            } else {
                out.push(2);
                self.text(&mut out);
            }
            self.array(&mut out, Self::long);
        }
        self.array(&mut out, Self::text);
        if self.below(3) == 0 {
            out.push(0);
        } else {
            out.push(2);
            self.array(&mut out, Self::text);
        }
        Self::number(self.below(2) as i64, &mut out);
        let bytes = vec![7; self.below(9) as usize];
        Self::number(bytes.len() as i64, &mut out);
        out.extend(bytes);
        out.extend((self.below(1000) as f32 / 8.0).to_le_bytes());
        if self.below(3) == 0 {
            out.push(0);
        } else {
            out.push(2);
            self.text(&mut out);
        }
        out
    }
}

fn program(schema: &str) -> Program {
    let schema = AvroSchema::parse(schema, &[] as &[&str]).unwrap();
    to_connect::compile(&schema, &AvroDataConfig::default(), None).unwrap()
}

fn walked(program: &Program, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut input = Input { bytes, at: 0 };
    let written = to_json::write(program, &mut input, &mut out, &mut to_json::Keys::default());
    assert_eq!(written.ok()?, to_json::Written::Whole);
    (input.left() == 0).then_some(out)
}

/// What the flat way writes, the same on every machine; the record lies `start` bytes behind others.
fn flat(program: &Program, bytes: &[u8], start: usize) -> Option<Vec<u8>> {
    let flat = program.flat.as_ref().expect("a flat form");
    let record = [&b"\"\x80\""[..start], bytes, &[0x80; 128]].concat();
    let place = start..start + bytes.len();
    let texts = Level::available().into_iter().map(|level| {
        let scratch = &mut Vec::new();
        let write = |room: &mut _| {
            flat_json::write(level, (program, flat), (&record, place.clone()), room, scratch)
        };
        Arena::new().written(write).map(<[u8]>::to_vec)
    });
    texts.reduce(|one, other| {
        assert_eq!(one, other);
        one
    })?
}

#[test]
fn both_ways_write_the_same() {
    let program = program(SCHEMA);
    let mut random = Records(Random(std::process::id().into()));
    for round in 0..3000 {
        let seed = random.0.0;
        let bytes = random.record();
        let text = walked(&program, &bytes).expect("a good record");
        let start = random.below(4) as usize;
        assert_eq!(flat(&program, &bytes, start).as_ref(), Some(&text), "seed {seed}");
        let mut broken = bytes.clone();
        let at = random.below(bytes.len() as u64) as usize;
        match round % 3 {
            0 => broken.truncate(at),
            1 => broken[at] ^= 1 << random.below(8),
            _ => broken.insert(at, random.below(256) as u8),
        }
        if let Some(text) = flat(&program, &broken, start) {
            assert_eq!(walked(&program, &broken), Some(text), "seed {seed}");
        }
    }
}

/// A text of each length around the room's end: it has room, or is nobody's but the walk's.
#[test]
fn what_is_long_is_left_to_the_walk() {
    let of =
        |fields: &str| program(&format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#));
    let string = of(r#"{"name":"a","type":"string"}"#);
    let two = of(r#"{"name":"a","type":"string"},{"name":"b","type":"string"}"#);
    let many = of(r#"{"name":"a","type":{"type":"array","items":"string"}}"#);
    let numbers = of(r#"{"name":"a","type":{"type":"array","items":"long"}}"#);
    let text = |length: usize, out: &mut Vec<u8>| {
        Records::number(length as i64, out);
        out.extend(std::iter::repeat_n(b'x', length));
    };
    let mut given_up = [0; 4];
    let mut seen = |at: usize, program: &Program, bytes: &[u8]| {
        let walked = walked(program, bytes).expect("a good record");
        match flat(program, bytes, 0) {
            Some(flat) => assert_eq!(flat, walked),
            None => {
                assert!(walked.len() > 32 * 1024);
                given_up[at] += 1;
            }
        }
    };
    for length in 32_000..33_400 {
        if length % 50 > 2 && !(32_700..32_800).contains(&length) {
            continue;
        }
        let mut bytes = Vec::new();
        text(length, &mut bytes);
        seen(0, &string, &bytes);
        text(63, &mut bytes);
        seen(1, &two, &bytes);
        // Short items up to there.
        let mut bytes = Vec::new();
        Records::number(length as i64 / 10 + 1, &mut bytes);
        text(length % 10, &mut bytes);
        (0..length / 10).for_each(|_| text(7, &mut bytes));
        bytes.push(0);
        seen(2, &many, &bytes);
        let mut bytes = Vec::new();
        Records::number(length as i64 / 21, &mut bytes);
        (0..length / 21).for_each(|_| Records::number(i64::MIN, &mut bytes));
        bytes.push(0);
        seen(3, &numbers, &bytes);
    }
    assert!(given_up.iter().all(|given_up| *given_up > 0), "{given_up:?}");
}

#[test]
fn what_is_not_unrolled() {
    let of = |type_: &str| {
        let schema =
            format!(r#"{{"type":"record","name":"R","fields":[{{"name":"f","type":{type_}}}]}}"#);
        program(&schema).flat.is_some()
    };
    assert!(of(r#""string""#) && of(r#"["null","long"]"#));
    for type_ in [
        r#"{"type":"map","values":"long"}"#,
        r#"["null","long","string"]"#,
        r#"["null","R"]"#,
        r#"{"type":"array","items":["null","long"]}"#,
        r#"{"type":"array","items":{"type":"fixed","name":"F","size":0}}"#,
    ] {
        assert!(!of(type_), "{type_}");
    }
}
