//! Messages that are written as groups: `features.message_encoding = DELIMITED`.

use prost_reflect::prost::Message as _;
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor};

use super::oracle_tests::{message_value, ours, pool, shown_message};
use super::*;
use crate::test_rig::Random;

/// What the vectors were made with: protoc 29.3, `protoc --encode=p.M groups.proto < text`.
const EDITION: &str = r#"
edition = "2023";
package p;
option features.message_encoding = DELIMITED;
message M {
  int32 a = 1;
  In one = 2;
  repeated In many = 3;
  In plain = 4 [features.message_encoding = LENGTH_PREFIXED];
  oneof x { In member = 5; string text = 6; }
  map<string, In> by = 7;
  M again = 200;
  repeated PairEntry pairs = 9;
  repeated sint32 packed = 10;
  message In { int32 i = 1; In deeper = 2; string s = 3; }
  message PairEntry { string key = 1; In value = 2; }
}
"#;

/// The text that protoc was given, its bytes, and what they are to Connect.
const VECTORS: [(&str, &str, &str); 11] = [
    ("a:1 one{i:5}", "080113080514", "a=Integer:1,one=<i=Integer:5,s=String:>"),
    ("one{}", "1314", "a=Integer:0,one=<i=Integer:0,s=String:>"),
    (
        "one{i:1 deeper{i:2 deeper{s:\"x\"}}}",
        "130801130802131a0178141414",
        "a=Integer:0,one=<i=Integer:1,deeper=<i=Integer:2,deeper=<i=Integer:0,s=String:x>,\
         s=String:>,s=String:>",
    ),
    (
        "many{i:1} many{} many{s:\"yz\" deeper{}}",
        "1b08011c1b1c1b13141a02797a1c",
        "a=Integer:0,many=[<i=Integer:1,s=String:>,<i=Integer:0,s=String:>,\
         <i=Integer:0,deeper=<i=Integer:0,s=String:>,s=String:yz>,]",
    ),
    (
        "plain{i:7 deeper{i:8}}",
        "2206080713080814",
        "a=Integer:0,plain=<i=Integer:7,deeper=<i=Integer:8,s=String:>,s=String:>",
    ),
    ("member{i:9}", "2b08092c", "x_0=<member=<i=Integer:9,s=String:>>,a=Integer:0"),
    (
        "by{key:\"k\" value{i:3 deeper{i:4}}}",
        "3a0b0a016b1206080313080414",
        "a=Integer:0,by={String:k=<i=Integer:3,deeper=<i=Integer:4,s=String:>,s=String:>,}",
    ),
    (
        "again{a:2 again{a:3} one{i:1}}",
        "c30c080213080114c30c0803c40cc40c",
        "a=Integer:0,again=<a=Integer:2,one=<i=Integer:1,s=String:>,again=<a=Integer:3>>",
    ),
    (
        "pairs{key:\"k\" value{i:6}} pairs{key:\"l\"}",
        "4b0a016b130806144c4b0a016c4c",
        "a=Integer:0,pairs={String:k=<i=Integer:6,s=String:>,String:l=<i=Integer:0,s=String:>,}",
    ),
    ("packed:-1 packed:2", "52020104", "a=Integer:0,packed=[Integer:-1,Integer:2,]"),
    (
        "a:1 one{i:5} many{i:1} many{i:2 s:\"é\"} plain{} text:\"t\" by{key:\"\" value{}} \
         again{many{}} pairs{key:\"q\" value{deeper{}}}",
        "0801130805141b08011c1b08021a02c3a91c22003201743a040a0012004b0a0171131314144cc30c1b1cc40c",
        "x_0=<text=String:t>,a=Integer:1,one=<i=Integer:5,s=String:>,\
         many=[<i=Integer:1,s=String:>,<i=Integer:2,s=String:é>,],plain=<i=Integer:0,s=String:>,\
         by={String:=<i=Integer:0,s=String:>,},again=<a=Integer:0,many=[<i=Integer:0,s=String:>,]>,\
         pairs={String:q=<i=Integer:0,deeper=<i=Integer:0,s=String:>,s=String:>,}",
    ),
];

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).unwrap());
    digits.map(|two| u8::from_str_radix(two, 16).unwrap()).collect()
}

/// Nothing of lists and maps that are empty.
fn spare(text: &str) -> String {
    let mut text = format!(",{text}");
    for name in ["many", "by", "pairs", "packed"] {
        text = text.replace(&format!(",{name}=[]"), "").replace(&format!(",{name}={{}}"), "");
    }
    text[1..].to_owned()
}

/// Reads by `text`, and writes back under the same schema.
fn there_and_back(text: &str, payload: &[u8]) -> Result<(String, Vec<u8>), String> {
    let write_as = WriteAs::Id { id: 1, strict: true };
    let registry = RegistryUse { write_as, ..RegistryUse::default() };
    let config = ProtobufConverterConfig { registry, ..config(ProtobufDataConfig::default()) };
    let mut converter = converter(config, &shelf(&[text]));
    let (arena, bytes) = (Arena::new(), framed(1, &[&[0], payload]));
    let read = converter.to_connect_data("t", Some(&bytes), Detail::Full, &arena);
    let read = read.map_err(|error| error.message)?;
    let mut out = Vec::new();
    converter
        .from_connect_data("t", read.schema, read.value, &mut out)
        .map_err(|error| error.message)?;
    Ok((ours(&read.value), out.split_off(6)))
}

#[test]
fn protocs_bytes() {
    for (text, hex, expected) in VECTORS {
        let bytes = unhex(hex);
        let (shown, written) = there_and_back(EDITION, &bytes).unwrap();
        assert_eq!(spare(&shown), format!("<{expected}>"), "{text}");
        // Connect has no fields without presence: those are written as the zeros that they are.
        let (again, _) = there_and_back(EDITION, &written).unwrap();
        assert_eq!(again, shown, "{text}");
        let zero = |number: u8| [number << 3, 0];
        if text == "one{}" {
            assert_eq!(written, [&zero(1)[..], &[0x13], &zero(1), &[0x1a, 0], &[0x14]].concat());
        }
    }
}

/// A message of the same numbers, in proto2 with groups and in an edition. Names of groups are
/// their messages', and fields have them in small letters.
fn twins(random: &mut Random, depth: usize, next: &mut u32, old: &mut String, new: &mut String) {
    let mut number = 0;
    for _ in 0..1 + random.below(4) {
        number += 1 + random.below(3) * random.below(40);
        *next += 1;
        let label = ["optional ", "repeated "][random.below(2)];
        let ours = if label == "repeated " { label } else { "" };
        if depth > 0 && random.below(3) > 0 {
            old.push_str(&format!("{label}group G{next} = {number} {{\n"));
            new.push_str(&format!("{ours}G{next} g{next} = {number};\nmessage G{next} {{\n"));
            twins(random, depth - 1, next, old, new);
            old.push_str("}\n");
            new.push_str("}\n");
        } else {
            // Lists of numbers are packed in one and not in the other.
            let types = if ours.is_empty() { 4 } else { 2 };
            let type_ = ["string", "bytes", "int32", "fixed64"][random.below(types)];
            old.push_str(&format!("{label}{type_} f{next} = {number};\n"));
            new.push_str(&format!("{ours}{type_} f{next} = {number};\n"));
        }
    }
}

fn twin_texts(random: &mut Random) -> [String; 2] {
    let mut old = "syntax = \"proto2\";\nmessage M {\n".to_owned();
    let mut new = "edition = \"2023\";\nmessage M {\n".to_owned();
    twins(random, 4, &mut 0, &mut old, &mut new);
    // The option may stand anywhere in the file.
    [old + "}\n", new + "}\noption features = { message_encoding: DELIMITED };\n"]
}

#[test]
fn groups_as_prost_reflect_writes_and_reads_them() {
    for seed in 0..150 {
        let mut random = Random(seed);
        let [old, new] = twin_texts(&mut random);
        let of = pool(vec![("m.proto".to_owned(), old)]).get_message_by_name("M").unwrap();
        for _ in 0..10 {
            let message = message_value(&mut random, &of, 5);
            let (shown, written) = there_and_back(&new, &message.encode_to_vec())
                .unwrap_or_else(|error| panic!("seed {seed}: {error}\n{new}"));
            let back = DynamicMessage::decode(of.clone(), &*written)
                .unwrap_or_else(|error| panic!("seed {seed}: {error}\n{new}"));
            assert_eq!(shown, shown_message(&back), "seed {seed}\n{new}");
            assert_eq!(groups(&back), groups(&message), "seed {seed}\n{new}");
            assert_eq!(back.encode_to_vec(), written, "seed {seed}\n{new}");
        }
    }
}

/// The message without what proto2 leaves out and ours writes as zero.
fn groups(message: &DynamicMessage) -> String {
    fn strip(message: &DynamicMessage, of: &MessageDescriptor) -> DynamicMessage {
        use prost_reflect::Value::{Bytes, I32, List, Message, String, U64};
        let mut out = DynamicMessage::new(of.clone());
        for field in of.fields().filter(|field| message.has_field(field)) {
            let value = match (message.get_field(&field).into_owned(), field.kind()) {
                (Message(inner), Kind::Message(of)) => Message(strip(&inner, &of)),
                (List(items), Kind::Message(of)) => {
                    let inner = items.iter().map(|item| match item {
                        Message(inner) => Message(strip(inner, &of)),
                        other => panic!("{other:?}"),
                    });
                    List(inner.collect())
                }
                (I32(0) | U64(0), _) => continue,
                (String(text), _) if text.is_empty() => continue,
                (Bytes(bytes), _) if bytes.is_empty() => continue,
                (other, _) => other,
            };
            out.set_field(&field, value);
        }
        out
    }
    use prost_reflect::ReflectMessage as _;
    format!("{}", strip(message, &message.descriptor()))
}

#[test]
fn where_the_feature_may_stand() {
    let edition = |body: &str| format!("edition = \"2023\"; {body}");
    let group = [0x0b, 0x08, 7, 0x0c];
    let counted = [0x0a, 2, 8, 7];
    let read = |text: &str, payload: &[u8]| there_and_back(text, payload).map(|(shown, _)| shown);
    let there = "<f=<i=Integer:7>>";
    for (body, payload) in [
        ("message M { In f = 1 [features.message_encoding = DELIMITED]; }", &group[..]),
        ("message M { In f = 1 [features = { message_encoding: DELIMITED }]; }", &group),
        ("message M { option features.message_encoding = DELIMITED; In f = 1; }", &group),
        ("message M { In f = 1; option features.message_encoding = DELIMITED; }", &group),
        ("message M { In f = 1; } option features.message_encoding = DELIMITED;", &group),
        (
            "option features.message_encoding = DELIMITED; \
             message M { In f = 1 [features.message_encoding = LENGTH_PREFIXED]; }",
            &counted,
        ),
        ("message M { In f = 1 [features.field_presence = EXPLICIT]; }", &counted),
    ] {
        let text = edition(&format!("{body} message In {{ int32 i = 1; }}"));
        assert_eq!(read(&text, payload).as_deref(), Ok(there), "{body}");
        // Written the other way it is an unknown field.
        let other = if payload == group { &counted[..] } else { &group };
        assert_eq!(read(&text, other).as_deref(), Ok("<>"), "{body}");
    }
    let oneof = edition(
        "message M { oneof x { option features.message_encoding = DELIMITED; In f = 1; } \
         In g = 2; } message In { int32 i = 1; }",
    );
    let both = [&group[..], &[0x12, 2, 8, 7]].concat();
    let shown = "<x_0=<f=<i=Integer:7>>,g=<i=Integer:7>>";
    assert_eq!(read(&oneof, &both).as_deref(), Ok(shown));
    // Of an imported file its own default counts.
    for (text, why) in [
        (
            "syntax = \"proto3\"; message M { M f = 1 [features.message_encoding = DELIMITED]; }",
            "features.message_encoding is there in editions alone",
        ),
        (
            "edition = \"2023\"; message M { M f = 1 [features.message_encoding = GROUP]; }",
            "message_encoding is LENGTH_PREFIXED or DELIMITED, not 'GROUP'",
        ),
    ] {
        assert!(read(text, &[]).unwrap_err().contains(why), "{text}");
    }
}

#[test]
fn parts_of_a_group_are_one_message() {
    let parts = [0x13, 0x08, 5, 0x14, 8, 1, 0x13, 0x1a, 1, b'x', 0x13, 0x14, 0x14];
    let (shown, _) = there_and_back(EDITION, &parts).unwrap();
    let expected = "<a=Integer:1,one=<i=Integer:5,deeper=<i=Integer:0,s=String:>,s=String:x>>";
    assert_eq!(spare(&shown), expected);
    // A group that the schema does not have, with one in it that has a number of the schema's.
    let unknown = [0x63, 0x13, 0x08, 5, 0x14, 0x64, 8, 1];
    assert_eq!(spare(&there_and_back(EDITION, &unknown).unwrap().0), "<a=Integer:1>");
}

#[test]
fn groups_that_do_not_end_as_they_should() {
    for (payload, why, at) in [
        (&[0x13][..], "the bytes end before", 7),
        (&[0x13, 0x08], "the bytes end before", 8),
        (&[0x13, 0x08, 5], "the bytes end before", 9),
        (&[0x13, 0x1c], "a group ends that has not begun", 8),
        (&[0x13, 0x1b, 0x14], "a group ends that has not begun", 9),
        (&[0x1b, 0x08, 5, 0x14], "a group ends that has not begun", 10),
        (&[0x14], "a group ends that has not begun", 7),
        (&[0x13, 0, 0x14], "a field has the number 0", 7),
        (&[0x13, 0x0f, 0x14], "no wire type 6 or 7", 8),
        (&[0x13, 0x1a, 5, 0x14], "a length goes beyond", 8),
        (&[0x13, 0x1a, 2, 0xc3, 0x28, 0x14], "not UTF-8", 8),
        (&[0xc3, 0x0c, 0x13, 0x08, 5, 0xc4, 0x0c], "a group ends that has not begun", 13),
    ] {
        let error = there_and_back(EDITION, payload).unwrap_err();
        let length = payload.len() + 6;
        let place = format!("at byte {at} of {length} (schema 1)");
        assert!(error.contains(why) && error.ends_with(&place), "{payload:?}: {error}");
    }
    // As deep as Java goes, and one deeper; far deeper ones end early.
    let deep = |levels: usize| {
        let bytes = [[0xc3, 0x0c].repeat(levels), [0xc4, 0x0c].repeat(levels)].concat();
        there_and_back(EDITION, &bytes).map(drop)
    };
    assert_eq!(deep(99), Ok(()));
    for levels in [100, 101, 102, 100_000] {
        let error = deep(levels).unwrap_err();
        assert!(error.contains("too deeply"), "{levels}: {error}");
    }
}

proptest::proptest! {
    /// Tags that begin and end groups of the schema, mostly, and few other bytes.
    #[test]
    fn any_groups_are_read_or_refused(
        payload in proptest::collection::vec(
            proptest::prop_oneof![
                proptest::sample::select(vec![
                    0x08u8, 0x13, 0x14, 0x1b, 0x1c, 0x22, 0x2b, 0x2c, 0x3a, 0x4b, 0x4c, 0x0a, 2,
                ]),
                0u8..8,
                proptest::arbitrary::any::<u8>(),
            ], 0..60),
    ) {
        match there_and_back(EDITION, &payload) {
            Ok((shown, written)) => {
                let (again, twice) = there_and_back(EDITION, &written).unwrap();
                proptest::prop_assert_eq!((again, twice), (shown, written));
            }
            Err(error) => proptest::prop_assert!(
                error.contains(" at byte ") && error.ends_with("(schema 1)"), "{}", error),
        }
    }

    /// Good bytes, cut short or with one byte changed.
    #[test]
    fn broken_groups_are_read_or_refused(
        vector in 0..VECTORS.len(),
        at in proptest::arbitrary::any::<proptest::sample::Index>(),
        byte in proptest::option::of(proptest::arbitrary::any::<u8>()),
    ) {
        let mut bytes = unhex(VECTORS[vector].1);
        let at = at.index(bytes.len());
        match byte {
            Some(byte) => bytes[at] = byte,
            None => bytes.truncate(at),
        }
        if let Err(error) = there_and_back(EDITION, &bytes) {
            proptest::prop_assert!(error.contains(" at byte "), "{}", error);
        }
    }
}
