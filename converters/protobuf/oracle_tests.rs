//! Random schemas and values: what prost-reflect writes we read as it does, and what we write it
//! reads back as it was. Schemas go as texts, which protox compiles for it. A failure names its seed;
//! `MILLRACE_SEED` runs that one again.

use prost_reflect::prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor,
    ReflectMessage, Value as Reflected,
};
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

use super::*;
use crate::test_rig::Random;

const SCALARS: [&str; 15] = [
    "double", "float", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32",
    "fixed64", "sfixed32", "sfixed64", "bool", "string", "bytes",
];

/// The text of a message with random fields; messages and enums in it are its own.
fn message_text(random: &mut Random, name: &str, depth: usize, out: &mut String) {
    out.push_str(&format!("message {name} {{\n"));
    let (mut number, mut names) = (0, 0);
    let mut field = |random: &mut Random, out: &mut String, in_oneof: bool| {
        names += 1;
        number += 1 + if random.below(4) == 0 { random.below(300) } else { 0 };
        let label = match random.below(8) {
            0 | 1 if !in_oneof => "repeated ",
            2 if !in_oneof => "optional ",
            _ => "",
        };
        let kinds = if depth == 0 { 16 } else { 19 };
        let field_name = format!("f_{names}");
        let mut nested = String::new();
        let type_ = match random.below(kinds) {
            kind @ 0..15 => SCALARS[kind].to_owned(),
            15 => {
                let symbols: String = (0..1 + random.below(4))
                    .map(|at| format!("{name}_S{names}_{at} = {};", at * (1 + names)))
                    .collect();
                nested = format!("enum E{names} {{ {symbols} }}\n");
                format!("E{names}")
            }
            16 if label.is_empty() && !in_oneof => {
                let key = SCALARS[2 + random.below(12)];
                message_text(random, &format!("V{names}"), depth - 1, &mut nested);
                let value = [format!("V{names}"), SCALARS[random.below(15)].to_owned()];
                format!("map<{key}, {}>", value[random.below(2)])
            }
            17 => name.to_owned(),
            _ => {
                message_text(
                    random,
                    &format!("{name}N{names}"),
                    depth.saturating_sub(1),
                    &mut nested,
                );
                format!("{name}N{names}")
            }
        };
        let options = match (label, type_.as_str()) {
            ("repeated ", "string" | "bytes") => "",
            ("repeated ", _)
                if type_
                    .chars()
                    .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit()) =>
            {
                ["", " [packed = false]", " [packed = true]"][random.below(3)]
            }
            _ => "",
        };
        out.push_str(&format!("{label}{type_} {field_name} = {number}{options};\n"));
        nested
    };
    let mut nested = String::new();
    for _ in 0..random.below(6) {
        nested.push_str(&field(random, out, false));
    }
    for at in 0..random.below(3) {
        out.push_str(&format!("oneof o_{at} {{\n"));
        for _ in 0..1 + random.below(3) {
            nested.push_str(&field(random, out, true));
        }
        out.push_str("}\n");
    }
    out.push_str(&nested);
    out.push_str("}\n");
}

struct Texts(Vec<(String, String)>);

impl FileResolver for Texts {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match self.0.iter().find(|(known, _)| known == name) {
            Some((_, text)) => File::from_source(name, text),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

pub(super) fn pool(texts: Vec<(String, String)>) -> DescriptorPool {
    let main = texts[0].0.clone();
    let mut resolver = ChainFileResolver::new();
    resolver.add(Texts(texts));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true);
    compiler.open_file(&main).unwrap_or_else(|error| panic!("{error}"));
    compiler.descriptor_pool()
}

fn scalar(random: &mut Random, kind: &Kind, depth: usize) -> Reflected {
    match kind {
        Kind::Double => Reflected::F64(random.long() as f64 / 8.0),
        Kind::Float => Reflected::F32(random.long() as f32),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Reflected::I32(random.long() as i32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Reflected::I64(random.long()),
        Kind::Uint32 | Kind::Fixed32 => Reflected::U32(random.long() as u32),
        Kind::Uint64 | Kind::Fixed64 => Reflected::U64(random.long() as u64),
        Kind::Bool => Reflected::Bool(random.below(2) == 1),
        Kind::String => Reflected::String(random.text(24)),
        Kind::Bytes => Reflected::Bytes(random.text(24).into_bytes().into()),
        Kind::Enum(all) => {
            let values: Vec<i32> = all.values().map(|value| value.number()).collect();
            let known = random.below(8) > 0;
            Reflected::EnumNumber(if known { values[random.below(values.len())] } else { 77_777 })
        }
        Kind::Message(message) => Reflected::Message(message_value(random, message, depth)),
    }
}

pub(super) fn message_value(
    random: &mut Random,
    of: &MessageDescriptor,
    depth: usize,
) -> DynamicMessage {
    let mut message = DynamicMessage::new(of.clone());
    for field in of.fields() {
        let deep = matches!(field.kind(), Kind::Message(_)) && depth == 0;
        if random.below(3) == 0 || deep {
            continue;
        }
        let value = if field.is_map() {
            let Kind::Message(entry) = field.kind() else { panic!("a map") };
            let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
            let entries = (0..random.below(4)).map(|_| {
                let key = match scalar(random, &key.kind(), 0) {
                    Reflected::Bool(key) => MapKey::Bool(key),
                    Reflected::I32(key) => MapKey::I32(key),
                    Reflected::I64(key) => MapKey::I64(key),
                    Reflected::U32(key) => MapKey::U32(key),
                    Reflected::U64(key) => MapKey::U64(key),
                    Reflected::String(key) => MapKey::String(key),
                    other => panic!("{other:?}"),
                };
                (key, scalar(random, &value.kind(), depth.saturating_sub(1)))
            });
            Reflected::Map(entries.collect())
        } else if field.is_list() {
            let count = random.below(5);
            let depth = depth.saturating_sub(1);
            Reflected::List((0..count).map(|_| scalar(random, &field.kind(), depth)).collect())
        } else {
            scalar(random, &field.kind(), depth.saturating_sub(1))
        };
        message.set_field(&field, value);
    }
    message
}

/// What Connect must show of a value.
fn shown(kind: &Kind, value: &Reflected) -> String {
    use base64::Engine;
    match (kind, value) {
        (_, Reflected::F64(value)) => show(&Value::Float64(*value)),
        (_, Reflected::F32(value)) => show(&Value::Float32(*value)),
        (_, Reflected::I32(value)) => format!("Integer:{value}"),
        (_, Reflected::I64(value)) => format!("Long:{value}"),
        (_, Reflected::U32(value)) => format!("Long:{value}"),
        (_, Reflected::U64(value)) => format!("Long:{}", *value as i64),
        (_, Reflected::Bool(value)) => format!("Boolean:{value}"),
        (_, Reflected::String(value)) => format!("String:{value}"),
        (_, Reflected::Bytes(value)) => {
            format!("bytes:{}", base64::engine::general_purpose::STANDARD.encode(value))
        }
        (Kind::Enum(all), Reflected::EnumNumber(number)) => match all.get_value(*number) {
            Some(value) => format!("String:{}", value.name()),
            None => format!("String:UNKNOWN_ENUM_VALUE_{}_{number}", all.name()),
        },
        (_, Reflected::Message(message)) => shown_message(message),
        other => panic!("{other:?}"),
    }
}

fn shown_field(field: &FieldDescriptor, value: &Reflected) -> String {
    match value {
        Reflected::List(items) => {
            let items = items.iter().map(|item| shown(&field.kind(), item) + ",");
            format!("[{}]", items.collect::<String>())
        }
        Reflected::Map(entries) => {
            let Kind::Message(entry) = field.kind() else { panic!("a map") };
            let kind = entry.map_entry_value_field().kind();
            let mut all: Vec<String> = entries
                .iter()
                .map(|(key, value)| {
                    let key = Reflected::from(key.clone());
                    let key_kind = entry.map_entry_key_field().kind();
                    format!("{}={},", shown(&key_kind, &key), shown(&kind, value))
                })
                .collect();
            all.sort();
            format!("{{{}}}", all.concat())
        }
        value => shown(&field.kind(), value),
    }
}

pub(super) fn shown_message(message: &DynamicMessage) -> String {
    let of = message.descriptor();
    let mut fields = Vec::new();
    let mut add = |name: &str, text: String| fields.push(format!("{name}={text}"));
    for (index, oneof) in of.oneofs().filter(|oneof| !oneof.is_synthetic()).enumerate() {
        for field in oneof.fields().filter(|field| message.has_field(field)) {
            let value = shown_field(&field, &message.get_field(&field));
            add(&format!("{}_{index}", oneof.name()), format!("<{}={value}>", field.name()));
        }
    }
    for field in declared(&of) {
        let in_oneof = field.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic());
        if in_oneof || (field.supports_presence() && !message.has_field(&field)) {
            continue;
        }
        add(field.name(), shown_field(&field, &message.get_field(&field)));
    }
    format!("<{}>", fields.join(","))
}

/// The fields in the order of the text.
fn declared(of: &MessageDescriptor) -> Vec<FieldDescriptor> {
    let proto = of.descriptor_proto();
    proto.field.iter().filter_map(|field| of.get_field_by_name(field.name())).collect()
}

/// Ours, in the same words: maps in order of their text.
pub(super) fn ours(value: &Value<'_>) -> String {
    match value {
        Value::Struct(value) => {
            let fields = value.schema.fields.iter().zip(value.values);
            let shown: Vec<String> = fields
                .filter(|(_, value)| !value.is_null())
                .map(|(field, value)| format!("{}={}", field.name, ours(value)))
                .collect();
            format!("<{}>", shown.join(","))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(|item| ours(item) + ",").collect::<String>())
        }
        Value::Map(entries) => {
            let mut all: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("{}={},", ours(key), ours(value)))
                .collect();
            all.sort();
            format!("{{{}}}", all.concat())
        }
        other => show(other),
    }
}

fn check(seed: u64) {
    let mut random = Random(seed);
    let mut text = "syntax = \"proto3\";\npackage a.b;\n".to_owned();
    message_text(&mut random, "M", 3, &mut text);
    let theirs = pool(vec![("m.proto".to_owned(), text.clone())]);
    let of = theirs.get_message_by_name("a.b.M").unwrap();
    let shelf = shelf(&[&text]);
    let mut converter = converter(config(ProtobufDataConfig::default()), &shelf);
    for _ in 0..20 {
        let message = message_value(&mut random, &of, 4);
        let arena = Arena::new();
        let bytes = framed(1, &[&[0], &message.encode_to_vec()]);
        let read = converter
            .to_connect_data("t", Some(&bytes), Detail::Full, &arena)
            .unwrap_or_else(|error| panic!("seed {seed}: {error}\n{text}"));
        assert_eq!(ours(&read.value), shown_message(&message), "seed {seed}\n{text}");
        written(seed, &mut converter, &shelf, read);
    }
}

/// Our bytes under the schema that we register, read by prost-reflect.
fn written(
    seed: u64,
    converter: &mut ProtobufConverter,
    shelf: &Rc<Shelf>,
    data: SchemaAndValue<'_>,
) {
    let mut out = Vec::new();
    let done = converter.from_connect_data("t", data.schema, data.value, &mut out);
    if let Err(error) = &done {
        // The name of a number without a symbol is no symbol.
        assert!(error.message.contains("no symbol UNKNOWN_"), "seed {seed}: {error}");
        return;
    }
    let text = shelf.schemas.borrow().last().unwrap().clone();
    let theirs = pool(vec![("m.proto".to_owned(), text.clone())]);
    let of = theirs.get_message_by_name("M").unwrap();
    let back = DynamicMessage::decode(of.clone(), &out[6..])
        .unwrap_or_else(|error| panic!("seed {seed}: {error}\n{text}"));
    assert_eq!(back.encode_to_vec(), out[6..], "seed {seed}\n{text}");
    agree(&data.value, &Reflected::Message(back), &Kind::Message(of));
}

/// Whether prost-reflect has what Connect has; entries of maps are messages to it.
fn agree(value: &Value<'_>, theirs: &Reflected, kind: &Kind) {
    match (value, theirs) {
        (Value::Struct(value), Reflected::Message(message)) => {
            for (field, value) in value.schema.fields.iter().zip(value.values) {
                let union = field.schema.name.as_deref().unwrap_or_default().contains(".Union.");
                match value {
                    Value::Struct(union_value) if union => {
                        let members = union_value.schema.fields.iter().zip(union_value.values);
                        for (member, value) in members {
                            field_agrees(message, &member.name, value, true);
                        }
                    }
                    value if union => assert!(value.is_null()),
                    value => field_agrees(message, &field.name, value, false),
                }
            }
        }
        (Value::Array(items), Reflected::List(theirs)) => {
            assert_eq!(items.len(), theirs.len());
            items.iter().zip(theirs).for_each(|(item, theirs)| agree(item, theirs, kind));
        }
        (Value::Map(entries), Reflected::List(theirs)) => {
            assert_eq!(entries.len(), theirs.len());
            for ((key, value), theirs) in entries.iter().zip(theirs) {
                let Reflected::Message(entry) = theirs else { panic!("an entry") };
                field_agrees(entry, "key", key, false);
                field_agrees(entry, "value", value, false);
            }
        }
        (value, theirs) => assert_eq!(ours(value), shown(kind, theirs)),
    }
}

fn field_agrees(message: &DynamicMessage, name: &str, value: &Value<'_>, member: bool) {
    let field = message.descriptor().get_field_by_name(name).unwrap();
    if value.is_null() {
        return assert!(!message.has_field(&field), "{name}");
    }
    assert!(!member || message.has_field(&field), "{name}");
    agree(value, &message.get_field(&field), &field.kind());
}

#[test]
fn random_schemas_and_values() {
    if let Ok(seed) = std::env::var("MILLRACE_SEED") {
        return check(seed.parse().expect("a number"));
    }
    for seed in 0..150 {
        check(seed);
    }
}

#[test]
fn known_files_are_as_google_has_them() {
    let google = GoogleFileResolver::new();
    for (path, text) in super::super::super::known::FILES {
        let Ok(file) = google.open_file(path) else { continue };
        if path.ends_with("descriptor.proto") {
            continue;
        }
        let text = text.replace("import", "\nimport");
        let ours = File::from_source(path, &text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let lines = |file: &File| {
            let proto = file.file_descriptor_proto();
            let mut all = Vec::new();
            for message in &proto.message_type {
                for field in &message.field {
                    let type_ = field.type_name.clone().unwrap_or_default();
                    let type_ = type_.rsplit('.').next().unwrap_or_default().to_owned();
                    all.push(format!(
                        "{} {} {} {:?} {type_}",
                        message.name(),
                        field.name(),
                        field.number(),
                        field.label()
                    ));
                }
            }
            for all_values in &proto.enum_type {
                for value in &all_values.value {
                    all.push(format!("{} {} {}", all_values.name(), value.name(), value.number()));
                }
            }
            all.sort();
            all
        };
        assert_eq!(lines(&ours), lines(&file), "{path}");
    }
}
