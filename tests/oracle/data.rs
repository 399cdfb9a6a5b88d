//! Random Connect schemas and data, as JsonConverter's envelopes, and schemaless JSON.

use serde_json::{Map, Value, json};

use super::random::Random;

/// Names of fields: a few, so that configurations and data meet.
pub const FIELDS: &[&str] =
    &["id", "name", "city", "price", "flag", "inner", "list", "when", "day", "amount", "raw"];

const TEXTS: &[&str] = &[
    "",
    "a",
    "Zürich",
    "12",
    "-7",
    "3.5",
    "true",
    "TRUE",
    "no",
    "x\"y\\z",
    "2024-05-06",
    "1e3",
    " 5",
    "2024-05-06T07:08:09.010Z",
    "日本語",
    "NaN",
    "line\nbreak",
    "9223372036854775807",
    "€",
    "😀",
];

const LONGS: &[i64] = &[
    0,
    1,
    -1,
    7,
    127,
    128,
    -128,
    -129,
    255,
    32767,
    32768,
    65536,
    -40000,
    2147483647,
    2147483648,
    -2147483649,
    1700000000123,
    9223372036854775807,
    -9223372036854775808,
    86399999,
    86400000,
];

const DOUBLES: &[&str] = &[
    "0.0",
    "1.5",
    "-2.25",
    "3.999",
    "1.0E10",
    "1e-7",
    "123456789.125",
    "1e300",
    "0.1",
    "3e38",
    "1e39",
    "100.0",
    "2147483648.5",
    "1e19",
    "4.9e-324",
];

fn number(text: &str) -> Value {
    serde_json::from_str(text).expect("a number")
}

/// Schemaless data of no more than `depth` levels.
pub fn schemaless(random: &mut Random, depth: usize) -> Value {
    match random.below(if depth == 0 { 6 } else { 8 }) {
        0 => Value::Null,
        1 => json!(random.once_in(2)),
        2 => json!(LONGS[random.below(LONGS.len())]),
        3 => number(random.pick(DOUBLES)),
        4 | 5 => json!(random.pick(TEXTS)),
        6 => (0..random.below(4)).map(|_| schemaless(random, depth - 1)).collect(),
        _ => schemaless_object(random, depth - 1),
    }
}

/// A schemaless object with fields of [`FIELDS`].
pub fn schemaless_object(random: &mut Random, depth: usize) -> Value {
    let mut object = Map::new();
    for _ in 0..random.below(7) {
        object.insert(random.pick(FIELDS).to_owned(), schemaless(random, depth));
    }
    Value::Object(object)
}

/// A random schema in JsonConverter's form.
pub fn schema(random: &mut Random, depth: usize) -> Value {
    let mut schema = match random.below(if depth == 0 { 13 } else { 17 }) {
        0 => json!({"type": "int8"}),
        1 => json!({"type": "int16"}),
        2 => json!({"type": "int32"}),
        3 => json!({"type": "int64"}),
        4 => json!({"type": "float"}),
        5 => json!({"type": "double"}),
        6 => json!({"type": "boolean"}),
        7 | 8 => json!({"type": "string"}),
        9 => json!({"type": "bytes"}),
        10 => logical("int64", "Timestamp"),
        11 => random_date(random),
        12 => {
            let mut decimal = logical("bytes", "Decimal");
            decimal["parameters"] = json!({"scale": random.below(5).to_string()});
            decimal
        }
        13 => json!({"type": "array", "items": self::schema(random, depth - 1)}),
        14 => {
            json!({"type": "map", "keys": {"type": "string"}, "values": self::schema(random, depth - 1)})
        }
        15 => {
            json!({"type": "map", "keys": {"type": "int32"}, "values": self::schema(random, depth - 1)})
        }
        _ => return structure(random, depth - 1),
    };
    adorn(random, &mut schema, true);
    schema
}

fn logical(type_: &str, name: &str) -> Value {
    json!({"type": type_, "name": format!("org.apache.kafka.connect.data.{name}"), "version": 1})
}

fn random_date(random: &mut Random) -> Value {
    logical("int32", if random.once_in(2) { "Date" } else { "Time" })
}

/// The schema of a struct with fields of [`FIELDS`].
pub fn structure(random: &mut Random, depth: usize) -> Value {
    let mut names = FIELDS.to_vec();
    let fields: Vec<Value> = (0..1 + random.below(7))
        .map(|_| {
            let name = names.swap_remove(random.below(names.len()));
            let mut field = schema(random, depth);
            field["field"] = json!(name);
            field
        })
        .collect();
    let mut schema = json!({"type": "struct", "fields": fields});
    adorn(random, &mut schema, false);
    schema
}

/// Optional, named, documented, with parameters, with a default: each sometimes.
fn adorn(random: &mut Random, schema: &mut Value, defaults: bool) {
    if random.once_in(2) {
        schema["optional"] = json!(random.once_in(2));
    }
    if schema.get("name").is_none() && random.once_in(5) {
        schema["name"] = json!(random.pick(&["com.example.Thing", "plain"]));
        if random.once_in(2) {
            schema["version"] = json!(1 + random.below(3));
        }
    }
    if random.once_in(8) {
        schema["doc"] = json!("what it is");
    }
    if schema.get("parameters").is_none() && random.once_in(10) {
        schema["parameters"] = json!({"p": "q"});
    }
    if defaults && random.once_in(6) {
        let plain = payload(random, schema, true);
        if !plain.is_null() {
            schema["default"] = plain;
        }
    }
}

/// Data for a schema: mostly fitting; with `exact` always, and never null.
pub fn payload(random: &mut Random, schema: &Value, exact: bool) -> Value {
    let optional = schema["optional"] == json!(true) || schema.get("default").is_some();
    if !exact && ((optional && random.once_in(4)) || random.once_in(60)) {
        return Value::Null;
    }
    if !exact && random.once_in(80) {
        let others = [json!("x"), json!(true), json!(12), json!(1.5), json!([1]), json!({"a": 1})];
        return others[random.below(others.len())].clone();
    }
    let long = |random: &mut Random| LONGS[random.below(LONGS.len())];
    match (schema["type"].as_str().unwrap_or(""), schema["name"].as_str().unwrap_or("")) {
        ("int8", _) => json!(long(random) as i8),
        ("int16", _) => json!(long(random) as i16),
        (_, "org.apache.kafka.connect.data.Date") => json!(random.below(40000) as i32 - 10000),
        (_, "org.apache.kafka.connect.data.Time") => json!(random.below(86_400_000)),
        (_, "org.apache.kafka.connect.data.Timestamp") => {
            json!(1_600_000_000_000_i64 + random.below(200_000_000_000) as i64)
        }
        (_, "org.apache.kafka.connect.data.Decimal") => {
            json!(random.pick(&["AQ==", "/w==", "MDk=", "AA==", "gAAAAAAAAAAA"]))
        }
        ("int32", _) => json!(long(random) as i32),
        ("int64", _) => json!(long(random)),
        ("float" | "double", _) => number(random.pick(DOUBLES)),
        ("boolean", _) => json!(random.once_in(2)),
        ("string", _) => json!(random.pick(TEXTS)),
        ("bytes", _) => json!(random.pick(&["", "AA==", "aGVsbG8=", "/+8="])),
        ("array", _) => {
            (0..random.below(4)).map(|_| payload(random, &schema["items"], exact)).collect()
        }
        ("map", _) if schema["keys"]["type"] == "string" => {
            let names = random.some(FIELDS, 3);
            let mut map = Map::new();
            for name in names {
                map.insert(name.to_owned(), payload(random, &schema["values"], exact));
            }
            Value::Object(map)
        }
        // One entry: Java's hash map keeps no order that both sides could share.
        ("map", _) => {
            json!([[long(random) as i32, payload(random, &schema["values"], exact)]])
        }
        _ => {
            let mut object = Map::new();
            for field in schema["fields"].as_array().into_iter().flatten() {
                let value = payload(random, field, exact);
                if exact || !value.is_null() || random.once_in(2) {
                    object.insert(field["field"].as_str().expect("a name").to_owned(), value);
                }
            }
            Value::Object(object)
        }
    }
}
