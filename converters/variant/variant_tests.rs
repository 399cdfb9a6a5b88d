//! What Confluent's classes read of Variants, and rubbish.

use proptest::prelude::*;

use super::*;

fn json(metadata: &[u8], value: &[u8]) -> Result<String, String> {
    let mut out = Vec::new();
    write_json(metadata, value, &mut out).map_err(|error| error.message)?;
    Ok(String::from_utf8(out).unwrap())
}

pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
    hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// JSON (`-` for types that JSON does not have), metadata and value that the JVM makes of it, and the
/// JSON that it makes of those.
pub(crate) fn vectors() -> impl Iterator<Item = (&'static str, Vec<u8>, Vec<u8>, &'static str)> {
    VECTORS.lines().map(vector)
}

const VECTORS: &str = include_str!("vectors.txt");

fn vector(line: &str) -> (&str, Vec<u8>, Vec<u8>, &str) {
    let parts: Vec<&str> = line.split('\t').collect();
    (parts[0], bytes(parts[1]), bytes(parts[2]), parts[3])
}

#[test]
fn reads_as_the_jvm() {
    assert!(vectors().count() > 100);
    for (_, metadata, value, text) in vectors() {
        assert_eq!(json(&metadata, &value).as_deref(), Ok(text));
        for cut in (0..value.len()).step_by(1 + value.len() / 100) {
            assert!(json(&metadata, &value[..cut]).is_err(), "{text} {cut}");
        }
    }
}

#[test]
fn moments_beyond_the_jvm() {
    let moment = |micros: i64| {
        let value = [&[TIMESTAMP << 2], &micros.to_le_bytes()[..]].concat();
        json(&[1, 0, 0], &value).unwrap()
    };
    assert_eq!(moment(253_402_300_800_000_000), r#""+10000-01-01T00:00:00Z""#);
    assert_eq!(moment(-80_000_000_000_000_000), r#""-0566-11-26T01:46:40Z""#);
    moment(i64::MAX);
    moment(i64::MIN);
}

#[test]
fn what_is_no_variant() {
    let none: [(&str, &str, &str); 14] = [
        ("", "00", "the metadata is empty"),
        ("02", "00", "of version 2, not 1"),
        ("01", "00", "ends within a number"),
        ("010000", "", "ends within the value at byte 0"),
        ("010000", "1401", "ends within the value at byte 1"),
        ("010000", "fc", "no primitive type 63"),
        ("010000", "4000000080", "ends within the value at byte 5"),
        ("010000", "44ffffffffffffffff", "its time is not of one day"),
        ("010000", "02010000", "ends within the value"),
        ("010000", "020100000100", "no name 0 among its 0"),
        ("01010061", "020100000100", "outside of its metadata"),
        ("0101020161", "020100000100", "outside of its metadata"),
        ("010000", "0302000001", "ends within the value at byte"),
        // Both items are at the same place.
        ("010000", "030200000100", "is part of two others"),
    ];
    for (metadata, value, why) in none {
        let error = json(&bytes(metadata), &bytes(value)).unwrap_err();
        assert!(error.starts_with("Invalid Variant: ") && error.contains(why), "{value}: {error}");
    }
}

#[test]
fn little_bytes_are_never_much_text() {
    // Arrays in arrays, each of which is all ten items of the one around it.
    let mut value = vec![NULL];
    for _ in 0..20 {
        let size = u8::try_from(value.len().min(255)).unwrap();
        let mut outer = vec![ARRAY, 10];
        outer.extend([0; 10]);
        outer.push(size);
        outer.extend_from_slice(&value);
        value = outer;
    }
    assert!(json(&[1, 0, 0], &value).unwrap_err().contains("part of two others"));
    // One name of a mebibyte for each of many members.
    let name = 1usize << 20;
    let mut metadata = vec![0xC1];
    for number in [1, 0, name] {
        metadata.extend_from_slice(&(number as u32).to_le_bytes());
    }
    metadata.resize(metadata.len() + name, b'n');
    let members = 1000;
    let mut value = vec![(1 << 4 | 1) << 2 | OBJECT];
    value.extend_from_slice(&(members as u32).to_le_bytes());
    value.resize(value.len() + members, 0);
    for at in 0..=members {
        value.extend_from_slice(&(at as u16).to_le_bytes());
    }
    value.resize(value.len() + members, NULL);
    assert!(json(&metadata, &value).unwrap_err().contains("bytes of JSON"));
    // Arrays in arrays.
    let mut deep = vec![NULL];
    for _ in 0..400 {
        let size = (deep.len() as u32).to_le_bytes();
        deep = [&[3 << 2 | ARRAY, 1, 0, 0, 0, 0], &size[..], &deep].concat();
    }
    assert!(json(&[1, 0, 0], &deep).unwrap_err().contains("too deeply"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever the bytes are: text or an error.
    #[test]
    fn any_bytes(metadata: Vec<u8>, value: Vec<u8>) {
        let _ = json(&metadata, &value);
        let _ = json(&[&[1], &metadata[..]].concat(), &value);
    }

    /// Bytes that nearly are a Variant.
    #[test]
    fn nearly(which in 0usize..100, at: usize, byte: u8, of_metadata: bool) {
        let (_, mut metadata, mut value, _) = vector(VECTORS.lines().nth(which).unwrap());
        let bytes = if of_metadata { &mut metadata } else { &mut value };
        let place = at % bytes.len();
        bytes[place] = byte;
        let _ = json(&metadata, &value);
    }
}
