//! JSON as Variants: byte for byte as the JVM makes them, and back.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value as Json;

use super::super::decode::read;
use super::super::program::{Op, Ops};
use crate::arena::Arena;
use crate::data::Value;
use crate::test_rig::Random;
use crate::variant::variant_tests::vectors;
use crate::variant::{variant_schema, write_json};

/// The metadata and the value that `json` becomes.
fn variant(json: &str) -> Result<(Vec<u8>, Vec<u8>), String> {
    let (arena, schema) = (Arena::new(), Arc::new(variant_schema()));
    let mut value = Value::Null;
    let (ops, text) = (Ops::default(), arena.alloc_bytes(json.as_bytes()));
    read(&ops, Op::Variant, arena.pin_schema(&schema), text, &arena, &mut value)
        .map_err(|error| error.message)?;
    match value {
        Value::Struct(of) => match of.values[..] {
            [Value::Bytes(metadata), Value::Bytes(value)] => Ok((metadata.into(), value.into())),
            _ => panic!("{json}: {of:?}"),
        },
        other => panic!("{json}: {other:?}"),
    }
}

fn there_and_back(json: &str) -> Result<String, String> {
    let (metadata, value) = variant(json)?;
    let mut out = Vec::new();
    write_json(&metadata, &value, &mut out).map_err(|error| error.message)?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn writes_as_the_jvm() {
    for (json, metadata, value, _) in vectors().filter(|(json, ..)| !["-", "null"].contains(json)) {
        assert_eq!(variant(json), Ok((metadata, value)), "{json}");
    }
}

/// The JVM makes other numbers of these.
#[test]
fn numbers_that_no_decimal_holds() {
    let forty = "1".to_owned() + &"0".repeat(40);
    for (json, back) in [
        ("1e3", "1000"),
        ("-1.5E+2", "-150"),
        ("1e37", "10000000000000000000000000000000000000"),
        ("1e38", "1.0E38"),
        ("-25e299", "-2.5E300"),
        (forty.as_str(), "1.0E40"),
        ("1e-300", "1.0E-300"),
        ("0e9", "0"),
        ("0e-999999", "0"),
    ] {
        assert_eq!(there_and_back(json).as_deref(), Ok(back), "{json}");
    }
    let precise = format!("1.{}e-300", "1".repeat(30));
    let long = "1".repeat(1001);
    for (json, why) in [
        ("1e400", "fits into no decimal of a Variant"),
        ("1e-400", "fits into no decimal of a Variant"),
        ("170141183460469231731687303715884105728", "fits into no decimal of a Variant"),
        (&precise, "fits into no decimal of a Variant"),
        (&long, "Number value length (1001) exceeds the maximum allowed (1000)"),
        ("1e9999999999", "out of a BigDecimal's range"),
    ] {
        assert!(variant(json).unwrap_err().contains(why), "{json}");
    }
}

#[test]
fn many_names_and_much_text() {
    let members: Vec<String> = (0..70_000).map(|at| format!("\"name{at:06}\":{at}")).collect();
    let json = format!("{{{}}}", members.join(","));
    assert_eq!(there_and_back(&json).as_deref(), Ok(json.as_str()));
    let json = format!("[\"{}\",[]]", "x".repeat(1 << 24));
    assert_eq!(there_and_back(&json).as_deref(), Ok(json.as_str()));
    let deep = "[".repeat(290) + &"]".repeat(290);
    assert_eq!(there_and_back(&deep).as_deref(), Ok(deep.as_str()));
    let deep = "[".repeat(310) + &"]".repeat(310);
    assert!(variant(&deep).unwrap_err().contains("nests too deeply"));
}

impl Random {
    /// Numbers are written as they come back.
    fn json(&mut self, depth: usize) -> Json {
        let parsed = |text: String| serde_json::from_str(&text).unwrap();
        match self.below(if depth == 0 { 7 } else { 10 }) {
            0 => Json::Null,
            1 => (self.below(2) == 0).into(),
            2 => self.long().into(),
            3 => parsed(format!("{}{:018}", self.below(1000) + 1, self.next() % 10u64.pow(18))),
            4 => parsed(format!("{}.{:06}", self.long(), self.below(1_000_000))),
            5 => "long ".repeat(self.below(100)).into(),
            6 => self.text(40).into(),
            7 => (0..self.below(5)).map(|_| self.json(depth - 1)).collect(),
            8 if self.once_in(20) => (0..self.below(600)).map(|_| self.json(0)).collect(),
            8 => (0..self.below(300)).map(|at| (format!("{at}"), self.json(0))).collect(),
            _ => (0..self.below(8)).map(|_| (self.text(4), self.json(depth - 1))).collect(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_json_there_and_back(seed: u64) {
        let mut random = Random(seed);
        let json = Json::from(vec![random.json(3), random.json(3)]);
        let back = there_and_back(&json.to_string()).unwrap();
        let again: Json = serde_json::from_str(&back).unwrap();
        prop_assert_eq!(&again, &json);
        // In the order of the names it stays as it is.
        prop_assert_eq!(there_and_back(&back), Ok(back));
    }
}
