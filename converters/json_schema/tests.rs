//! Schemas and values both ways, and what a bad record is told.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::config::JsonSchemaDataConfig;
use super::*;
use crate::data::{Field, OwnedValue, SchemaType, Struct};
use crate::json::jvm_text::{show, show_schema};
use crate::json::{DecimalFormat, WriteOptions, write_value};
use crate::registry::{RegistryUse, WriteAs};
use crate::test_rig::{Random, Shelf, VERSION, framed};

fn config() -> JsonSchemaConverterConfig {
    JsonSchemaConverterConfig {
        data: JsonSchemaDataConfig::default(),
        registry: RegistryUse { schemas_cache: 100, ..RegistryUse::default() },
        read_latest: false,
        fail_invalid_schema: false,
        indent_output: false,
    }
}

fn converter(config: JsonSchemaConverterConfig, shelf: &Rc<Shelf>) -> JsonSchemaConverter {
    let mut converter = JsonSchemaConverter::new(config, RegistrySettings::default());
    converter.attach(Rc::clone(shelf) as Rc<dyn SchemaSource>);
    converter
}

fn shelf(schemas: &[&str]) -> Rc<Shelf> {
    Shelf::of(SchemaKind::Json, schemas)
}

fn data_config(pairs: &str) -> JsonSchemaDataConfig {
    let mut config = JsonSchemaDataConfig::default();
    for pair in pairs.split(',').filter(|pair| *pair != "-") {
        match pair {
            "decimal.format=NUMERIC" => config.decimal_format = DecimalFormat::Numeric,
            "object.additional.properties=false" => config.object_additional_properties = false,
            "use.optional.for.nonrequired=true" => config.use_optional_for_nonrequired = true,
            "generalized.sum.type.support=true" => config.generalized_sum_type_support = true,
            "preserve.additional.properties=true" => config.preserve_additional_properties = true,
            "flatten.singleton.unions=false" => config.flatten_singleton_unions = false,
            other => panic!("{other}"),
        }
    }
    config
}

/// Reads `payload` under `schema`, calls `see`.
fn read<T>(
    data: JsonSchemaDataConfig,
    schema: &str,
    payload: &[u8],
    detail: Detail,
    see: impl FnOnce(&mut JsonSchemaConverter, SchemaAndValue<'_>, &Shelf) -> T,
) -> Result<T, String> {
    let (shelf, arena) = (shelf(&[schema]), Arena::new());
    let mut converter = converter(JsonSchemaConverterConfig { data, ..config() }, &shelf);
    let bytes = framed(1, &[payload]);
    let read = converter.to_connect_data("t", Some(&bytes), detail, &arena);
    let read = read.map_err(|error| error.message)?;
    Ok(see(&mut converter, read, &shelf))
}

/// What a sink of JSON writes of it.
fn as_json(read: SchemaAndValue<'_>) -> Result<String, String> {
    let mut text = Vec::new();
    write_value(read.schema, read.value, &mut text, &WriteOptions::default())
        .map_err(|error| error.message)?;
    Ok(String::from_utf8(text).unwrap())
}

#[test]
fn all_as_the_jvm_has_it() {
    let mut lines = include_str!("jvm_cases.txt").lines().peekable();
    let (mut schemas, mut records) = (0, 0);
    while let Some(line) = lines.next() {
        let Some((pairs, json)) = line.split_once(" | ") else { continue };
        schemas += 1;
        let data = data_config(pairs);
        let type_ = lines.next().unwrap();
        let parsed = JsonSchema::parse(json, &[]);
        let program = parsed.and_then(|parsed| to_connect::compile(&parsed, &data, Some(VERSION)));
        if type_.starts_with('!') {
            assert!(program.is_err(), "{json}");
            continue;
        }
        let program = program.unwrap_or_else(|why| panic!("{json}: {why}"));
        assert_eq!(show_schema(Some(&program.schema)), type_, "{json}");
        let text = lines.next().unwrap();
        assert_eq!(json_text(&program.schema, &data).as_deref(), Ok(text), "{json}");
        while let Some(payload) = lines.next_if(|line| !line.is_empty()) {
            records += 1;
            let shown = lines.next().unwrap();
            let value = read(data.clone(), json, payload.as_bytes(), Detail::Full, |c, read, _| {
                let mut out = Vec::new();
                let written = c.from_connect_data("t", read.schema, read.value, &mut out);
                let again = written.map(|some| match some {
                    true => String::from_utf8(out[5..].to_vec()).unwrap(),
                    false => "-".to_owned(),
                });
                (show(&read.value), again)
            });
            if let Some(said) = shown.strip_prefix("! ") {
                let why = value.unwrap_err();
                assert!(why.contains(said), "{json} {payload}: {why}");
                continue;
            }
            let again = lines.next().unwrap();
            let (value, written) = value.unwrap_or_else(|why| panic!("{json} {payload}: {why}"));
            assert_eq!(value, shown, "{json} {payload}");
            assert_eq!(written.as_deref(), Ok(again), "{json} {payload}");
            // The text that a sink of JSON gets is that of the typed value.
            let typed = read(data.clone(), json, payload.as_bytes(), Detail::Full, |_, read, _| {
                as_json(read)
            });
            let text = read(data.clone(), json, payload.as_bytes(), Detail::Json, |_, read, _| {
                as_json(read)
            });
            assert_eq!(typed, text, "{json} {payload}");
        }
    }
    assert_eq!((schemas, records), (79, 145));
}

const ORDER: &str = r#"{"type":"object","title":"shop.Order","properties":{
    "id":{"type":"integer","connect.index":0},
    "note":{"oneOf":[{"type":"null"},{"type":"string"}],"connect.index":1},
    "price":{"type":"number","connect.index":2},
    "in":{"oneOf":[{"type":"null"},{"type":"object","title":"In","properties":{
        "x":{"oneOf":[{"type":"null"},{"type":"integer"}]}}}],"connect.index":3}}}"#;

/// Whether the text goes to a sink of JSON as it is, and what it says then.
fn text(payload: &str) -> (bool, String) {
    let data = JsonSchemaDataConfig::default;
    let of = |detail| {
        read(data(), ORDER, payload.as_bytes(), detail, |_, read, _| {
            (matches!(read.value, Value::Json(_)), as_json(read).unwrap())
        })
        .unwrap()
    };
    assert_eq!(of(Detail::Full).1, of(Detail::Json).1, "{payload}");
    of(Detail::Json)
}

#[test]
fn text_that_goes_as_it_is() {
    for same in [
        r#"{"id":1,"note":"x","price":1.5,"in":{"x":7}}"#,
        r#"{"id":-12,"note":null,"price":0.001,"in":null}"#,
        r#"{"id":0,"note":"é😀","price":-0.0,"in":{"x":null}}"#,
    ] {
        assert_eq!(text(same), (true, same.to_owned()));
    }
    for (payload, written) in [
        (r#"{"id":1,"price":2.5}"#, r#"{"id":1,"note":null,"price":2.5,"in":null}"#),
        (r#"{"id":1,"price":2.5,"in":{}}"#, r#"{"id":1,"note":null,"price":2.5,"in":{"x":null}}"#),
    ] {
        assert_eq!(text(payload), (true, written.to_owned()));
    }
    for other in [
        r#"{"id":1,"note":"x","price":1.5,"in":{"x":7} }"#,
        r#"{"id":1,"note":"\u0041","price":1.5,"in":null}"#,
        r#"{"id":1,"note":"x","price":15,"in":null}"#,
        r#"{"id":1,"note":"x","price":1.50,"in":null}"#,
        r#"{"id":1,"note":"x","price":1e3,"in":null}"#,
        r#"{"id":1,"note":"x","price":0.0001,"in":null}"#,
        r#"{"id":1,"note":"x","price":12345678.5,"in":null}"#,
        r#"{"note":"x","id":1,"price":1.5,"in":null}"#,
        r#"{"id":1,"id":2,"price":1.5}"#,
        r#"{"id":1,"more":2,"price":1.5}"#,
        r#"{"id":-0,"price":1.5}"#,
        r#"{"id":"1","price":1.5}"#,
    ] {
        assert!(!text(other).0, "{other}");
    }
}

#[test]
fn a_struct_inside_of_itself() {
    const LIST: &str = r##"{"type":"object","title":"L","properties":{
        "v":{"type":"integer","connect.index":0},
        "next":{"oneOf":[{"type":"null"},{"$ref":"#"}],"connect.index":1},
        "all":{"type":"array","items":{"$ref":"#"},"connect.index":2}}}"##;
    let payload = r#"{"v":1,"next":{"v":2,"next":null,"all":[]},"all":[{"v":3,"next":{"v":4}}]}"#;
    let data = JsonSchemaDataConfig::default;
    for schema in [LIST.to_owned(), LIST.replace(r#""title":"L","#, "")] {
        read(data(), &schema, payload.as_bytes(), Detail::Full, |converter, data, shelf| {
            let mut out = Vec::new();
            assert_eq!(converter.from_connect_data("t", data.schema, data.value, &mut out), Ok(true));
            let written = std::str::from_utf8(&out[5..]).unwrap();
            assert_eq!(
                written,
                r#"{"v":1,"next":{"v":2,"next":null,"all":[]},"all":[{"v":3,"next":{"v":4,"next":null}}]}"#
            );
            // What was registered reads it again.
            let text = shelf.schemas.borrow()[1].clone();
            assert!(text.contains(r##"{"$ref":"#"}"##), "{text}");
            let again =
                read(self::data(), &text, &out[5..], Detail::Full, |_, read, _| show(&read.value));
            assert_eq!(again.as_deref(), Ok(show(&data.value).as_str()));
        })
        .unwrap();
        let deep = r#"{"next":"#.repeat(5000) + "null" + &"}".repeat(5000);
        let error = read(data(), &schema, deep.as_bytes(), Detail::Json, |_, _, _| ()).unwrap_err();
        assert!(error.contains("nests too deep"), "{error}");
    }
    let union = r##"{"oneOf":[{"type":"string"},{"type":"array","items":{"$ref":"#"}}]}"##;
    let error = read(data(), union, b"[]", Detail::Full, |_, _, _| ()).unwrap_err();
    assert!(error.contains("schema 1: ") && error.contains("nests too deeply"), "{error}");
}

fn data() -> JsonSchemaDataConfig {
    JsonSchemaDataConfig::default()
}

#[test]
fn bad_records_say_where() {
    let wrong =
        |payload: &[u8]| read(data(), ORDER, payload, Detail::Json, |_, _, _| ()).unwrap_err();
    const SAID: &str =
        "Converting byte[] to Kafka Connect data failed due to serialization error of topic t: ";
    for (payload, said) in [
        (&b"{\"id\":1"[..], "unexpected end of the JSON document at byte 7 of 7"),
        (b"{\"id\":tru}", "id: expected true, false or null at byte 6 of 10"),
        (b"{} x", "text after the JSON document at byte 3 of 4"),
        (b"[1]", "Structs should be encoded as JSON objects, but found ARRAY, before byte 0 of 3"),
        (b"{\"id\":null}", "id: Invalid null value for required INT64 field, before byte 10 of 11"),
        (b"{\"note\":\"\xff\"}", "note: invalid UTF-8 at byte 9 of 12"),
        (b"{\"id\":99999999999999999999}", "id: Integer 99999999999999999999 does not fit"),
    ] {
        let error = wrong(payload);
        assert!(error.starts_with(&format!("{SAID}{said}")), "{error}");
        assert!(error.ends_with(" behind the schema's id (schema 1)"), "{error}");
    }
    assert!(wrong(b"").contains("byte 0 of 0"), "{}", wrong(b""));
    let shelf = shelf(&[ORDER]);
    let mut converter = converter(config(), &shelf);
    let arena = Arena::new();
    for (bytes, said) in [
        (&b"text"[..], "Unknown magic byte!"),
        (b"\0\0", "the bytes end before"),
        (b"", "there is no byte"),
        (b"\0\0\0\0\x09{}", "Schema 9 not found; error code: 40403"),
    ] {
        let error = converter.to_connect_data("t", Some(bytes), Detail::Full, &arena).unwrap_err();
        assert!(error.message.contains(said) && !error.retriable, "{error}");
    }
    let null = converter.to_connect_data("t", None, Detail::Full, &arena).unwrap();
    assert!(null.schema.is_none() && null.value.is_null());
}

#[test]
fn an_unanswered_question_is_retriable() {
    let shelf = shelf(&[ORDER]);
    shelf.closed.set(true);
    let (mut converter, arena) = (converter(config(), &shelf), Arena::new());
    let bytes = framed(1, &[br#"{"id":1}"#]);
    let error = converter.to_connect_data("t", Some(&bytes), Detail::Full, &arena).unwrap_err();
    assert!(error.retriable, "{error}");
    let (schema, mut out) = (Schema::new(SchemaType::Int32), vec![7]);
    let error = converter.from_connect_data("t", Some(&schema), Value::Int32(1), &mut out);
    assert!(error.unwrap_err().retriable);
    assert_eq!(out, [7]);
    shelf.closed.set(false);
    assert!(converter.to_connect_data("t", Some(&bytes), Detail::Full, &arena).is_ok());
    assert_eq!(shelf.asked.borrow().len(), 3);
    assert!(converter.to_connect_data("t", Some(&bytes), Detail::Full, &arena).is_ok());
    assert_eq!(shelf.asked.borrow().len(), 3);
}

#[test]
fn schemas_that_refer_to_others() {
    let text = r#"{"type":"object","properties":{"a":{"$ref":"address.json#/definitions/a"}}}"#;
    let other = r#"{"definitions":{"a":{"type":"object","title":"A","properties":{"s":{"type":"string"}}}}}"#;
    let shelf = Rc::new(Shelf {
        references: vec![("address.json".to_owned(), other.into())],
        ..Shelf::new(SchemaKind::Json, &[text])
    });
    let (mut converter, arena) = (converter(config(), &shelf), Arena::new());
    let bytes = framed(1, &[br#"{"a":{"s":"x"}}"#]);
    let read = converter.to_connect_data("t", Some(&bytes), Detail::Full, &arena).unwrap();
    assert_eq!(show_schema(read.schema), "STRUCTv7{a:STRUCT(A){s:STRING;};}");
    assert_eq!(show(&read.value), "Struct:Struct{a=Struct{s=x}}");
}

#[test]
fn schemas_of_the_registry_to_write_under() {
    let int = Schema::new(SchemaType::Int32);
    let write = |write_as, schemas: &[&str], schema: Option<&Schema>, value: Value<'_>| {
        let shelf = shelf(schemas);
        let mut converter = converter(
            JsonSchemaConverterConfig {
                registry: RegistryUse { write_as, ..RegistryUse::default() },
                ..config()
            },
            &shelf,
        );
        let mut out = Vec::new();
        converter
            .from_connect_data("t", schema, value, &mut out)
            .map(|some| if some { (out[4], out[5..].to_vec()) } else { (0, Vec::new()) })
            .map_err(|error| error.message)
    };
    let latest = WriteAs::Latest { strict: true };
    let schemas = [r#"{"type":"string"}"#, r#"{"type":"number"}"#];
    assert_eq!(write(latest, &schemas, Some(&int), Value::Int32(5)), Ok((2, b"5".to_vec())));
    let id = WriteAs::Id { id: 1, strict: true };
    let error = write(id, &schemas, Some(&int), Value::Int32(5)).unwrap_err();
    assert!(
        error.contains("Incompatible schema 1 of the registry: string does not allow"),
        "{error}"
    );
    let id = WriteAs::Id { id: 1, strict: false };
    assert_eq!(write(id, &schemas, Some(&int), Value::Int32(5)), Ok((1, b"5".to_vec())));
    assert_eq!(write(WriteAs::Registered, &schemas, Some(&int), Value::Int32(5)).unwrap().0, 3);
    // Without a schema.
    let map = [(Value::Str("a"), Value::Int64(1)), (Value::Str("b"), Value::Array(&[]))];
    let written = write(latest, &schemas, None, Value::Map(&map)).unwrap();
    assert_eq!(written.1, br#"{"a":1,"b":[]}"#);
    let map = [(Value::Int32(1), Value::Null)];
    let written = write(latest, &schemas, None, Value::Map(&map)).unwrap();
    assert_eq!(written.1, br#"[{"key":1,"value":null}]"#);
    let error = write(WriteAs::Registered, &schemas, None, Value::Int64(1)).unwrap_err();
    assert!(error.contains("data without a schema"), "{error}");
    assert_eq!(write(WriteAs::Registered, &schemas, None, Value::Null), Ok((0, Vec::new())));
    assert_eq!(write(WriteAs::Registered, &[], Some(&int), Value::Null), Ok((0, Vec::new())));
    let optional = int.clone().optional();
    let null = write(WriteAs::Registered, &[], Some(&optional), Value::Null);
    assert_eq!(null, Ok((1, b"null".to_vec())));
    let wrong = write(WriteAs::Registered, &[], Some(&int), Value::Str("x")).unwrap_err();
    assert!(wrong.contains("Invalid type for INT32: class java.lang.String"), "{wrong}");
}

#[test]
fn text_that_is_laid_out_is_read_alike() {
    let laid_out = JsonSchemaConverterConfig { indent_output: true, ..config() };
    let (mut converter, arena) = (converter(laid_out, &shelf(&[])), Arena::new());
    let items = [Value::Str("a, b"), Value::Str("{")];
    let schema = Schema::array(Arc::new(Schema::new(SchemaType::String)));
    let mut out = b"before".to_vec();
    let value = Value::Array(&items);
    assert!(converter.from_connect_data("t", Some(&schema), value, &mut out).unwrap());
    assert!(out.starts_with(b"before\0"));
    assert_eq!(&out[11..], br#"[ "a, b", "{" ]"#);
    let read = converter.to_connect_data("t", Some(&out[6..]), Detail::Full, &arena).unwrap();
    assert_eq!(show(&read.value), show(&value));
}

#[test]
fn the_newest_schema_reads() {
    let shelf = shelf(&[r#"{"type":"integer"}"#, r#"{"type":"number"}"#]);
    let newest = JsonSchemaConverterConfig { read_latest: true, ..config() };
    let (mut converter, arena) = (converter(newest, &shelf), Arena::new());
    let bytes = framed(1, &[b"5"]);
    let read = converter.to_connect_data("t", Some(&bytes), Detail::Full, &arena).unwrap();
    assert_eq!(show(&read.value), "Double:5.0");
}

#[test]
fn data_that_its_schema_does_not_allow() {
    let shelf =
        shelf(&[r#"{"type":"object","required":["a"],"properties":{"a":{"type":"integer"}}}"#]);
    let strict = JsonSchemaConverterConfig {
        fail_invalid_schema: true,
        registry: RegistryUse {
            write_as: WriteAs::Id { id: 1, strict: false },
            ..RegistryUse::default()
        },
        ..config()
    };
    let (mut converter, arena) = (converter(strict, &shelf), Arena::new());
    for (payload, good) in [(r#"{"a":1}"#, true), (r#"{"a":"x"}"#, false), ("{}", false)] {
        let bytes = framed(1, &[payload.as_bytes()]);
        for detail in [Detail::Full, Detail::Json] {
            let read = converter.to_connect_data("t", Some(&bytes), detail, &arena);
            assert_eq!(read.is_ok(), good, "{payload}");
        }
    }
    let mut out = Vec::new();
    let map = |name, value| [(Value::Str(name), value)];
    let (good, bad) = (map("a", Value::Int64(1)), map("b", Value::Int64(1)));
    assert_eq!(converter.from_connect_data("t", None, Value::Map(&good), &mut out), Ok(true));
    let length = out.len();
    let error = converter.from_connect_data("t", None, Value::Map(&bad), &mut out).unwrap_err();
    assert!(
        error.message.ends_with("Validation error in JSON: required key [a] not found"),
        "{error}"
    );
    assert_eq!(out.len(), length);
}

/// SplitMix64: schemas and values made of one number.
impl Random {
    fn schema(&mut self, depth: usize) -> Schema {
        use SchemaType as T;
        let simple = [
            T::Int8,
            T::Int16,
            T::Int32,
            T::Int64,
            T::Float32,
            T::Float64,
            T::Boolean,
            T::String,
            T::Bytes,
        ];
        let mut schema = match self.below(if depth == 0 { 13 } else { 17 }) {
            9 => Schema::date(),
            10 => Schema::time(),
            11 => Schema::timestamp(),
            12 => Schema::decimal(2),
            13 => Schema::array(self.schema(depth - 1).into()),
            14 => Schema::map(Schema::new(T::String).into(), self.schema(depth - 1).into()),
            15 => {
                let key = Schema::new([T::Int32, T::String][self.below(2)]).optional();
                Schema::map(key.into(), self.schema(depth - 1).into())
            }
            16 => {
                let field = |random: &mut Self, at: usize| Field {
                    name: format!("{}{at}", random.text(9)).into(),
                    schema: random.schema(depth - 1).into(),
                };
                let count = 1 + self.below(20);
                let fields = (0..count).map(|at| field(self, at)).collect();
                Schema::struct_of(fields).named(&format!("n.S{depth}"))
            }
            at => Schema::new(simple[at]),
        };
        if self.below(3) == 0 {
            schema.doc = Some(self.text(9).into());
        }
        if self.below(3) == 0 && schema.type_ == T::Int32 && schema.name.is_none() {
            schema.default = Some(OwnedValue::Int32(5));
        }
        if self.below(2) == 0 { schema.optional() } else { schema }
    }

    fn value<'a>(&mut self, schema: &'a Schema, arena: &'a Arena) -> Value<'a> {
        use SchemaType as T;
        if schema.optional && schema.default.is_none() && self.below(3) == 0 {
            return Value::Null;
        }
        let bits = self.next();
        match (schema.type_, schema.name.as_deref()) {
            (_, Some(crate::data::DATE_NAME)) => Value::Date(bits as i32),
            (_, Some(crate::data::TIME_NAME)) => Value::Time((bits % 86_400_001) as i32),
            (_, Some(crate::data::TIMESTAMP_NAME)) => Value::Timestamp(bits as i64),
            (_, Some(crate::data::DECIMAL_NAME)) => {
                let digits = num_bigint::BigInt::from(bits as i64 >> (bits % 60));
                let unscaled = arena.alloc_bytes(&digits.to_signed_bytes_be());
                Value::Decimal(arena.alloc(crate::data::Decimal { unscaled, scale: 2 }))
            }
            (T::Int8, _) => Value::Int8(bits as i8),
            (T::Int16, _) => Value::Int16(bits as i16),
            (T::Int32, _) => Value::Int32(bits as i32),
            (T::Int64, _) => Value::Int64(bits as i64 >> (bits % 64)),
            (T::Float32, _) => Value::Float32((bits as i16 as f32) / 64.0),
            (T::Float64, _) => {
                let double = f64::from_bits(bits);
                Value::Float64(if double.is_finite() { double } else { 0.5 })
            }
            (T::Boolean, _) => Value::Boolean(bits & 1 == 0),
            (T::String, _) => Value::Str(arena.alloc_str(&self.text(9))),
            (T::Bytes, _) => Value::Bytes(arena.alloc_bytes(&bits.to_le_bytes()[..self.below(8)])),
            (T::Array, _) => {
                let of = schema.value_schema.as_deref().unwrap();
                let items: Vec<Value<'a>> =
                    (0..self.below(4)).map(|_| self.value(of, arena)).collect();
                Value::Array(arena.alloc_slice(&items))
            }
            (T::Map, _) => {
                let of = schema.value_schema.as_deref().unwrap();
                let keys = schema.key_schema.as_deref().unwrap();
                let mut entries = arena.vec();
                for at in 0..self.below(4) {
                    let key = match keys.type_ {
                        T::String => Value::Str(arena.alloc_str(&format!("{}{at}", self.text(9)))),
                        _ => Value::Int32(at as i32),
                    };
                    entries.push((key, self.value(of, arena)));
                }
                Value::Map(entries.into_bump_slice())
            }
            (T::Struct, _) => {
                let fields = schema.fields.iter();
                let values: Vec<Value<'a>> =
                    fields.map(|field| self.value(&field.schema, arena)).collect();
                Value::Struct(arena.alloc(Struct { schema, values: arena.alloc_slice(&values) }))
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Any schema and value go to bytes and back, and the schema says the same as it did.
    #[test]
    fn there_and_back(seed: u64, numeric: bool, closed: bool) {
        let mut random = Random(seed);
        let mut schema = random.schema(3);
        schema.optional = false;
        let arena = Arena::new();
        let pinned = Arc::new(schema);
        let schema = arena.pin_schema(&pinned);
        let value = random.value(schema, &arena);
        let decimal_format = [DecimalFormat::Base64, DecimalFormat::Numeric][usize::from(numeric)];
        let data = JsonSchemaDataConfig {
            object_additional_properties: !closed,
            decimal_format,
            ..JsonSchemaDataConfig::default()
        };
        let shelf = shelf(&[]);
        let mut converter = converter(JsonSchemaConverterConfig { data, ..config() }, &shelf);
        let mut out = Vec::new();
        prop_assert_eq!(converter.from_connect_data("t", Some(schema), value, &mut out), Ok(true));
        let read = converter.to_connect_data("t", Some(&out), Detail::Full, &arena).unwrap();
        prop_assert_eq!(show(&read.value), show(&value));
        let mut same = read.schema.unwrap().clone();
        if schema.version.is_none() {
            same.version = None;
        }
        prop_assert_eq!(&same, schema, "{:?}", shelf.schemas.borrow());
        let text = converter.to_connect_data("t", Some(&out), Detail::Json, &arena).unwrap();
        prop_assert_eq!(as_json(text), as_json(read));
    }

    /// Members in any order, some missing or unknown, some twice, with and without white space.
    #[test]
    fn members_however_they_stand(seed: u64, in_order: bool, spaced: bool) {
        let mut random = Random(seed);
        let count = MEMBERS.len();
        let some: Vec<usize> = match in_order {
            true => (0..count).filter(|_| random.below(4) > 0).collect(),
            false => (0..random.below(12)).map(|_| random.below(count)).collect(),
        };
        let mut space = || if spaced { ["", " ", "\n\t  "][random.below(3)] } else { "" };
        let (mut members, mut last) = (Vec::new(), [None; MEMBERS.len()]);
        for (nth, at) in some.iter().enumerate() {
            let (name, texts) = MEMBERS[*at];
            last[*at] = Some(nth % 2);
            let [a, b, c, d] = [space(), space(), space(), space()];
            members.push(format!("{a}\"{name}\"{b}:{c}{}{d}", texts[nth % 2]));
        }
        let record = format!("{}{{{}}}{}", space(), members.join(","), space());
        let fields = |record: &str| {
            read(data(), MEMBERS_OF, record.as_bytes(), Detail::Full, |_, read, _| {
                let Value::Struct(found) = read.value else { panic!("no struct") };
                found.values.iter().map(show).collect::<Vec<_>>()
            })
        };
        let whole = [0, 1].map(|which| {
            let all = MEMBERS.map(|(name, texts)| format!("\"{name}\":{}", texts[which]));
            fields(&format!("{{{}}}", all.join(","))).unwrap()
        });
        let expected: Vec<String> = (0..count - 1)
            .map(|at| match last[at] {
                Some(which) => whole[which][at].clone(),
                None if MEMBERS[at].0 == "d" => show(&Value::Int64(7)),
                None => show(&Value::Null),
            })
            .collect();
        prop_assert_eq!(fields(&record), Ok(expected), "{}", record);
    }

    /// Whatever the bytes are: no panic, and one verdict for values and for text.
    #[test]
    fn any_text(
        which in 0..SAMPLES.len(),
        more in "[\\{\\}\\[\\]\",:0-9a-z.e -]{0,40}",
        cut in 0usize..120,
        swap: u8,
    ) {
        let (schema, full) = SAMPLES[which];
        let mut bytes = full.as_bytes()[..cut.min(full.len())].to_vec();
        bytes.extend_from_slice(more.as_bytes());
        if let Some(byte) = bytes.get_mut(cut / 2) {
            *byte = swap;
        }
        let of = |detail| read(data(), schema, &bytes, detail, |_, read, _| as_json(read));
        prop_assert_eq!(of(Detail::Full), of(Detail::Json));
        let validator = Validator::parse(schema, &[]).unwrap();
        let arena = Arena::new();
        if let Ok(value) = parse(&bytes, &arena) {
            let _ = validator.wrong(value);
        }
    }
}

const MEMBERS_OF: &str = r#"{"type":"object","properties":{
    "a":{"type":"integer","connect.index":0},"b\"":{"type":"string","connect.index":1},
    "c of more than sixteen bytes":{"type":"number","connect.index":2},
    "d":{"type":"integer","default":7,"connect.index":3},
    "e":{"type":"boolean","connect.index":4},
    "f":{"oneOf":[{"type":"null"},{"type":"object","properties":{"x":{"type":"string"}}}],
        "connect.index":5},
    "g":{"type":"array","items":{"type":"integer"},"connect.index":6},
    "h":{"type":"integer","connect.type":"int8","connect.index":7},
    "i":{"type":"integer","title":"org.apache.kafka.connect.data.Timestamp","connect.index":8}}}"#;

/// The names as they are written, each with two values; the last is none of the schema's.
const MEMBERS: [(&str, [&str; 2]); 10] = [
    ("a", ["1", "-1234567890123"]),
    (r#"b\""#, [r#""short""#, r#""é \n of more than sixteen bytes""#]),
    ("c of more than sixteen bytes", ["1.5", "-1e3"]),
    ("d", ["2", "\"none\""]),
    ("e", ["true", "false"]),
    ("f", ["null", r#"{ "y" : 1, "x":"z"}"#]),
    ("g", ["[]", "[1, 2,3 ]"]),
    ("h", ["-7", "300"]),
    ("i", ["1700000000000", "0"]),
    ("other", [r#"{"a":5}"#, "[1]"]),
];

/// Schemas of all kinds, each with a record.
const SAMPLES: [(&str, &str); 5] = [
    (ORDER, r#"{"id":1,"note":"x","price":1.5,"in":{"x":7}}"#),
    (
        r#"{"type":"object","properties":{"y":{"type":"string","connect.type":"bytes"},
            "n":{"type":"string","connect.type":"bytes","connect.parameters":{"scale":"2"},
                "title":"org.apache.kafka.connect.data.Decimal"},
            "t":{"type":"integer","title":"org.apache.kafka.connect.data.Time"},
            "m":{"type":"object","connect.type":"map","additionalProperties":{"type":"number"}},
            "e":{"type":"array","connect.type":"map","items":{"type":"object","properties":{
                "key":{"type":"integer"},"value":{"type":"string","default":"d"}}}}}}"#,
        r#"{"y":"AQID","n":12.5,"t":5,"m":{"k":1},"e":[{"key":1,"value":null}]}"#,
    ),
    (
        r##"{"type":"object","title":"L","properties":{"v":{"oneOf":[{"type":"integer"},
            {"type":"string"},{"$ref":"#"},{"type":"array","items":{"$ref":"#"}}]},
            "next":{"oneOf":[{"type":"null"},{"$ref":"#"}]}}}"##,
        r#"{"v":{"v":[{"v":"x"},{"v":{"next":{}}}]},"next":{"v":1,"next":null}}"#,
    ),
    (
        r#"{"allOf":[{"properties":{"a":{"enum":["x","y"]}},"required":["a"]},
            {"properties":{"c":{"const":1}}}],"not":{"required":["z"]}}"#,
        r#"{"a":"x","c":"1"}"#,
    ),
    (
        r#"{"type":"object","properties":{"a":{},"n":{"type":["null","integer"]},
            "u":{"oneOf":[{"type":"string"},true]},"l":{"type":"array","items":{"default":[]}}}}"#,
        r#"{"a":{"x":[1,2.5,null],"y":{}},"u":{"value":1e3},"l":["x",null,-12345678901]}"#,
    ),
];

#[path = "additional_tests.rs"]
mod additional_tests;
