//! Random schemas and values: what apache-avro writes we read as it does, and what we write it reads
//! back as it was. A failure names its seed; `MILLRACE_SEED` runs that one again.

use apache_avro::types::Value as Avro;
use apache_avro::{Schema as AvroSchema, from_avro_datum, to_avro_datum};
use serde_json::{Map, Value as Json, json};

use super::*;
use crate::json::{WriteOptions, write_value};
use crate::test_rig::Random;

enum Type {
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Date,
    Time,
    Timestamp,
    Fixed(String, usize),
    Enum(String, usize),
    Array(Box<Type>),
    Map(Box<Type>),
    Record(String, Vec<Type>),
    /// Whether null is among them, and at which place.
    Union(Option<usize>, Vec<Type>),
}

fn type_(random: &mut Random, depth: usize, names: &mut usize) -> Type {
    let mut name = |prefix: &str| {
        *names += 1;
        format!("n.{prefix}{names}")
    };
    match random.below(if depth == 0 { 12 } else { 17 }) {
        0 => Type::Boolean,
        1 => Type::Int,
        2 => Type::Long,
        3 => Type::Float,
        4 => Type::Double,
        5 => Type::Bytes,
        6 | 7 => Type::String,
        8 => Type::Date,
        9 => [Type::Time, Type::Timestamp].into_iter().nth(random.below(2)).unwrap(),
        10 => Type::Fixed(name("F"), random.below(5)),
        11 => Type::Enum(name("E"), 1 + random.below(70)),
        12 => Type::Array(Box::new(type_(random, depth - 1, names))),
        13 => Type::Map(Box::new(type_(random, depth - 1, names))),
        14 => {
            let name = name("R");
            let count = random.below(5);
            Type::Record(name, (0..count).map(|_| type_(random, depth - 1, names)).collect())
        }
        15 => {
            let inner = loop {
                let inner = type_(random, depth - 1, names);
                if !matches!(inner, Type::Union(..)) {
                    break inner;
                }
            };
            Type::Union(Some(random.below(2)), vec![inner])
        }
        _ => {
            let (record, symbols) = (name("R"), name("E"));
            let record = Type::Record(record, vec![type_(random, depth - 1, names)]);
            let members = vec![Type::Long, Type::String, record, Type::Enum(symbols, 2)];
            Type::Union((random.below(2) == 0).then(|| random.below(5)), members)
        }
    }
}

fn schema(of: &Type) -> Json {
    match of {
        Type::Boolean => json!("boolean"),
        Type::Int => json!("int"),
        Type::Long => json!("long"),
        Type::Float => json!("float"),
        Type::Double => json!("double"),
        Type::Bytes => json!("bytes"),
        Type::String => json!("string"),
        Type::Date => json!({"type": "int", "logicalType": "date"}),
        Type::Time => json!({"type": "int", "logicalType": "time-millis"}),
        Type::Timestamp => json!({"type": "long", "logicalType": "timestamp-millis"}),
        Type::Fixed(name, size) => json!({"type": "fixed", "name": name, "size": size}),
        Type::Enum(name, count) => {
            let symbols: Vec<String> = (0..*count).map(|at| format!("S{at}")).collect();
            json!({"type": "enum", "name": name, "symbols": symbols})
        }
        Type::Array(items) => json!({"type": "array", "items": schema(items)}),
        Type::Map(values) => json!({"type": "map", "values": schema(values)}),
        Type::Record(name, fields) => {
            let field = |(at, of)| json!({"name": format!("f{at}"), "type": schema(of)});
            let fields: Vec<Json> = fields.iter().enumerate().map(field).collect();
            json!({"type": "record", "name": name, "fields": fields})
        }
        Type::Union(null, members) => {
            let mut all: Vec<Json> = members.iter().map(schema).collect();
            if let Some(at) = null {
                all.insert((*at).min(all.len()), json!("null"));
            }
            all.into()
        }
    }
}

/// A value for apache-avro, and what JsonConverter makes of it.
fn value(random: &mut Random, of: &Type) -> (Avro, Json) {
    match of {
        Type::Boolean => {
            let value = random.below(2) == 1;
            (Avro::Boolean(value), value.into())
        }
        Type::Int => {
            let value = random.long() as i32;
            (Avro::Int(value), value.into())
        }
        Type::Long => {
            let value = random.long();
            (Avro::Long(value), value.into())
        }
        Type::Float => {
            let value = (random.below(80_000) as f32 - 40_000.0) / 8.0;
            (Avro::Float(value), serde_json::from_str(&format!("{value:?}")).unwrap())
        }
        Type::Double => {
            let value = (random.below(80_000) as f64 - 40_000.0) / 8.0;
            (Avro::Double(value), serde_json::from_str(&format!("{value:?}")).unwrap())
        }
        Type::Bytes => {
            let bytes: Vec<u8> = (0..random.below(9)).map(|_| random.next() as u8).collect();
            (Avro::Bytes(bytes.clone()), base64(&bytes))
        }
        Type::String => {
            let text = random.text(24);
            (Avro::String(text.clone()), text.into())
        }
        Type::Date => {
            let value = random.long() as i32;
            (Avro::Date(value), value.into())
        }
        Type::Time => {
            let value = random.below(86_400_000) as i32;
            (Avro::TimeMillis(value), value.into())
        }
        Type::Timestamp => {
            let value = random.long();
            (Avro::TimestampMillis(value), value.into())
        }
        Type::Fixed(_, size) => {
            let bytes: Vec<u8> = (0..*size).map(|_| random.next() as u8).collect();
            (Avro::Fixed(*size, bytes.clone()), base64(&bytes))
        }
        Type::Enum(_, count) => {
            let at = random.below(*count);
            let symbol = format!("S{at}");
            (Avro::Enum(at as u32, symbol.clone()), symbol.into())
        }
        Type::Array(items) => {
            let all = (0..random.below(5)).map(|_| value(random, items));
            let (avro, json): (Vec<Avro>, Vec<Json>) = all.unzip();
            (Avro::Array(avro), json.into())
        }
        Type::Map(values) => {
            let all = (0..random.below(4)).map(|at| (format!("k{at}"), value(random, values)));
            let (mut avro, mut json) = (std::collections::HashMap::new(), Map::new());
            for (key, (one, other)) in all {
                avro.insert(key.clone(), one);
                json.insert(key, other);
            }
            (Avro::Map(avro), json.into())
        }
        Type::Record(_, fields) => {
            let (mut avro, mut json) = (Vec::new(), Map::new());
            for (at, of) in fields.iter().enumerate() {
                let (one, other) = value(random, of);
                avro.push((format!("f{at}"), one));
                json.insert(format!("f{at}"), other);
            }
            (Avro::Record(avro), json.into())
        }
        Type::Union(null, members) => union(random, *null, members),
    }
}

fn union(random: &mut Random, null: Option<usize>, members: &[Type]) -> (Avro, Json) {
    let null = null.map(|at| at.min(members.len()));
    let count = members.len() + usize::from(null.is_some());
    let at = random.below(count);
    if Some(at) == null {
        return (Avro::Union(at as u32, Box::new(Avro::Null)), Json::Null);
    }
    let member = at - usize::from(null.is_some_and(|null| null < at));
    let (avro, json) = value(random, &members[member]);
    let avro = Avro::Union(at as u32, Box::new(avro));
    if members.len() == 1 {
        return (avro, json);
    }
    let mut object = Map::new();
    for (index, of) in members.iter().enumerate() {
        let name = match of {
            Type::Long => "long",
            Type::String => "string",
            Type::Record(name, _) | Type::Enum(name, _) => name,
            _ => unreachable!("no such member is made"),
        };
        let value = if index == member { json.clone() } else { Json::Null };
        object.insert(name.to_owned(), value);
    }
    (avro, object.into())
}

fn base64(bytes: &[u8]) -> Json {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes).into()
}

fn check(seed: u64) {
    let mut random = Random(seed);
    let fields = 1 + random.below(6);
    let mut names = 0;
    let members = (0..fields).map(|_| type_(&mut random, 3, &mut names)).collect();
    let of = Type::Record("n.Root".to_owned(), members);
    let text = schema(&of).to_string();
    let avro = AvroSchema::parse_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let shelf = Shelf::of(SchemaKind::Avro, &[]);
    shelf.schemas.borrow_mut().push(text.clone());
    let enhanced = AvroConverterConfig {
        data: AvroDataConfig { enhanced_avro_schema_support: true, ..Default::default() },
        registry: RegistryUse {
            write_as: WriteAs::Id { id: 1, strict: true },
            ..RegistryUse::default()
        },
    };
    let mut converter = converter(enhanced, &shelf);
    for _ in 0..4 {
        let (given, json) = value(&mut random, &of);
        let mut bytes = Vec::new();
        frame(1, &mut bytes);
        bytes.extend(to_avro_datum(&avro, given.clone()).unwrap());
        let arena = Arena::new();
        for detail in [Detail::Full, Detail::Json] {
            let read = converter.to_connect_data("t", Some(&bytes), detail, &arena);
            let read = read.unwrap_or_else(|error| panic!("{error}: {text}"));
            let mut out = Vec::new();
            write_value(read.schema, read.value, &mut out, &WriteOptions::default()).unwrap();
            let ours: Json = serde_json::from_slice(&out).unwrap();
            assert_eq!(ours, json, "{text}");
            if detail == Detail::Json {
                continue;
            }
            out.clear();
            converter
                .from_connect_data("t", read.schema, read.value, &mut out)
                .unwrap_or_else(|error| panic!("{error}: {text}"));
            let back = from_avro_datum(&avro, &mut &out[5..], None).unwrap();
            assert_eq!(back, given, "{text}");
        }
        // Cut anywhere, or with a byte changed, it is an error or another value, never a panic.
        for _ in 0..8 {
            let cut = 5 + random.below(bytes.len() - 4);
            let mut broken = bytes[..cut.min(bytes.len())].to_vec();
            if broken.len() > 5 && random.below(2) == 0 {
                let at = 5 + random.below(broken.len() - 5);
                broken[at] = random.next() as u8;
            }
            let arena = Arena::new();
            let full = converter.to_connect_data("t", Some(&broken), Detail::Full, &arena);
            let json = converter.to_connect_data("t", Some(&broken), Detail::Json, &arena);
            assert_eq!(full.is_ok(), json.is_ok(), "{text}: {full:?} and {json:?}");
            if let (Ok(full), Ok(json)) = (full, json) {
                let [full, json] = [full, json].map(|read| {
                    let mut out = Vec::new();
                    let options = WriteOptions::default();
                    write_value(read.schema, read.value, &mut out, &options).map(|()| out)
                });
                assert_eq!(full.ok(), json.ok(), "{text}");
            }
        }
    }
}

#[test]
fn reads_and_writes_as_apache_avro_does() {
    let given = std::env::var("MILLRACE_SEED").ok().and_then(|text| text.parse().ok());
    if let Some(seed) = given {
        return check(seed);
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let first = now.as_nanos() as u64;
    for number in 0..400 {
        let seed = first.wrapping_add(number);
        if let Err(panic) = std::panic::catch_unwind(|| check(seed)) {
            eprintln!("MILLRACE_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
