//! Schemas that allow anything, and members that a schema does not name, through the converter.

use super::*;
use crate::data::OwnedValue;
use crate::variant::variant_schema;

fn preserving() -> JsonSchemaDataConfig {
    JsonSchemaDataConfig { preserve_additional_properties: true, ..JsonSchemaDataConfig::default() }
}

/// Reads `payload` and writes it again.
fn again(data: JsonSchemaDataConfig, schema: &str, payload: &str) -> Result<String, String> {
    read(data, schema, payload.as_bytes(), Detail::Full, |converter, read, _| {
        let mut out = Vec::new();
        converter
            .from_connect_data("t", read.schema, read.value, &mut out)
            .map(|_| String::from_utf8(out[5..].to_vec()).unwrap())
            .map_err(|error| error.message)
    })?
}

/// What a sink of JSON gets, and whether it is the record's own text.
fn sink(data: JsonSchemaDataConfig, schema: &str, payload: &str) -> (bool, String) {
    let of = |detail| {
        read(data.clone(), schema, payload.as_bytes(), detail, |_, read, _| {
            (matches!(read.value, Value::Json(_)), as_json(read).unwrap())
        })
        .unwrap()
    };
    assert_eq!(of(Detail::Full).1, of(Detail::Json).1, "{payload}");
    of(Detail::Json)
}

const OBJECT_DEFAULT: &str = r#"{"properties":{"o":{"type":"object",
    "properties":{"x":{"type":"integer"}},"default":{"x":1}}}}"#;

/// Where the JVM's converter refuses the record.
#[test]
fn anything_where_the_jvm_has_no_place_for_it() {
    let union = r#"{"oneOf":[{"type":"integer"},{},{"type":"string","connect.type":"bytes"}]}"#;
    for (schema, payload, written) in [
        (union, r#""no base64""#, r#""no base64""#),
        (union, r#"{"other":[1]}"#, r#"{"other":[1]}"#),
        (union, "true", "true"),
        (union, "7", "7"),
        (r#"{"oneOf":[{},{"type":"array","items":{}}]}"#, "[1]", "[1]"),
        (r#"{"properties":{"a":{"default":[1,"x"]}}}"#, "{}", r#"{"a":[1,"x"]}"#),
        (r#"{"properties":{"a":{"default":[1,"x"]}}}"#, r#"{"a":null}"#, r#"{"a":[1,"x"]}"#),
        (r#"{"default":1e3}"#, "null", "1000"),
        (OBJECT_DEFAULT, "{}", r#"{"o":{"x":1}}"#),
    ] {
        assert_eq!(again(data(), schema, payload).as_deref(), Ok(written), "{schema} {payload}");
    }
}

#[test]
fn a_sink_of_json_gets_the_structs() {
    let anything = r#"{"properties":{"a":{"type":"integer"},"b":{}}}"#;
    assert_eq!(
        sink(data(), anything, r#"{"a":1,"b":[true]}"#),
        (false, r#"{"a":1,"b":{"metadata":"AQAA","value":"AwEAAQQ="}}"#.to_owned())
    );
    let named = r#"{"properties":{"a":{"type":"integer"},
        "b":{"oneOf":[{"type":"null"},{"type":"string"}]}}}"#;
    for (payload, own, written) in [
        (r#"{"a":1,"b":"x"}"#, true, r#"{"a":1,"b":"x","__connect_additional_properties__":null}"#),
        (r#"{"a":1}"#, true, r#"{"a":1,"b":null,"__connect_additional_properties__":null}"#),
        (
            r#"{"a":1,"c":5}"#,
            false,
            r#"{"a":1,"b":null,"__connect_additional_properties__":{"c":{"metadata":"AQAA","value":"FAUAAAA="}}}"#,
        ),
    ] {
        assert_eq!(sink(preserving(), named, payload), (own, written.to_owned()));
    }
    let collision = r#"{"a":1,"b":"x","__connect_additional_properties__":null}"#;
    for detail in [Detail::Full, Detail::Json] {
        let error = read(preserving(), named, collision.as_bytes(), detail, |_, _, _| ());
        assert!(error.unwrap_err().contains("collides with the reserved field name"));
    }
}

/// A struct of one field and of members beside it, as another converter may have made it.
fn with_others<T>(
    value: Value<'_>,
    others: Value<'_>,
    data: JsonSchemaDataConfig,
    see: impl FnOnce(Result<String, String>, Option<String>) -> T,
) -> T {
    let keys = Schema::new(SchemaType::String);
    let others_schema = Schema::map(keys.into(), variant_schema().into()).optional();
    let field = |name: &str, schema: Schema| Field { name: name.into(), schema: schema.into() };
    let schema = Schema::struct_of(vec![
        field("__connect_additional_properties__", others_schema),
        field("a", Schema::new(SchemaType::Int64)),
    ]);
    let shelf = shelf(&[]);
    let mut converter = converter(JsonSchemaConverterConfig { data, ..config() }, &shelf);
    let value = Struct { schema: &schema, values: &[others, value] };
    let mut out = Vec::new();
    let written = converter.from_connect_data("t", Some(&schema), Value::Struct(&value), &mut out);
    let written = written.map(|_| String::from_utf8(out.split_off(5)).unwrap());
    see(written.map_err(|error| error.message), shelf.schemas.borrow().first().cloned())
}

#[test]
fn members_are_written_beside_the_fields() {
    let schema = variant_schema();
    let of = |metadata, value| [Value::Bytes(metadata), Value::Bytes(value)] as [Value<'_>; 2];
    let (five, text) = (of(&[1, 0, 0], b"\x14\x05\0\0\0"), of(&[1, 0, 0], b"\x05x"));
    let (five, text) =
        (Struct { schema: &schema, values: &five }, Struct { schema: &schema, values: &text });
    let others =
        [(Value::Str("b\""), Value::Struct(&five)), (Value::Str("a"), Value::Struct(&text))];
    with_others(Value::Int64(1), Value::Map(&others[..1]), preserving(), |written, schema| {
        assert_eq!(written.as_deref(), Ok(r#"{"a":1,"b\"":5}"#));
        let schema = schema.unwrap();
        assert_eq!(
            schema,
            r#"{"type":"object","properties":{"a":{"type":"integer","connect.index":1,"connect.type":"int64"}}}"#
        );
    });
    // The later one stays, as where a member is set twice.
    with_others(Value::Int64(1), Value::Map(&others), preserving(), |written, _| {
        assert_eq!(written.as_deref(), Ok(r#"{"b\"":5,"a":"x"}"#));
    });
    with_others(Value::Int64(1), Value::Null, preserving(), |written, _| {
        assert_eq!(written.as_deref(), Ok(r#"{"a":1}"#));
    });
    // Without the setting it is a field like any other.
    with_others(Value::Int64(1), Value::Map(&others[..1]), data(), |written, schema| {
        assert_eq!(
            written.as_deref(),
            Ok(r#"{"__connect_additional_properties__":{"b\"":5},"a":1}"#)
        );
        assert!(schema.unwrap().contains("__connect_additional_properties__"));
    });
    for (others, why) in [
        (Value::Int64(1), "__connect_additional_properties__: Invalid type for MAP"),
        (
            Value::Map(&[(Value::Str("k"), Value::Null)]),
            "k: Invalid type for Variant, expected Struct",
        ),
    ] {
        with_others(Value::Int64(1), others, preserving(), |written, _| {
            let error = written.unwrap_err();
            assert!(error.contains(why), "{error}");
        });
    }
}

#[test]
fn variants_that_cannot_be_written() {
    let schema = variant_schema();
    let write = |schema: &Schema, value: Value<'_>| {
        let shelf = shelf(&[]);
        let mut out = Vec::new();
        converter(config(), &shelf)
            .from_connect_data("t", Some(schema), value, &mut out)
            .map_err(|error| error.message)
    };
    for (values, why) in [
        (&[Value::Bytes(&[1, 0, 0]), Value::Null][..], "must have bytes in its fields"),
        (
            &[Value::Bytes(&[2]), Value::Bytes(&[0])],
            "Invalid Variant: its metadata is of version 2",
        ),
        (&[Value::Bytes(&[1, 0, 0]), Value::Bytes(&[0xFC])], "no primitive type 63"),
    ] {
        let error = write(&schema, Value::Struct(&Struct { schema: &schema, values })).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    let error = write(&schema, Value::Int64(1)).unwrap_err();
    assert!(error.contains("Invalid type for Variant, expected Struct but was"), "{error}");
    let named = Schema::new(SchemaType::String).named("org.apache.kafka.connect.data.Variant");
    assert!(write(&named, Value::Str("x")).is_err());
    let schema = r#"{"type":"string","title":"org.apache.kafka.connect.data.Variant"}"#;
    let error = again(data(), schema, "\"x\"").unwrap_err();
    assert!(error.contains("must be a struct with BYTES fields metadata and value"), "{error}");
    // A default that is null says no more than none.
    let null = [OwnedValue::Bytes([1, 0, 0][..].into()), OwnedValue::Bytes([0][..].into())];
    let default = OwnedValue::Struct { schema: variant_schema().into(), fields: null[..].into() };
    let schema = Schema { default: Some(default), ..variant_schema() };
    let text = json_text(&schema, &data()).unwrap();
    assert_eq!(text, r#"{"title":"org.apache.kafka.connect.data.Variant"}"#);
}

#[test]
fn what_is_not_allowed_is_refused_beside_anything() {
    let schema = r#"{"properties":{"a":{},"n":{"type":"integer"}},
        "additionalProperties":{"type":"string"}}"#;
    let shelf = shelf(&[schema]);
    let strict = JsonSchemaConverterConfig {
        fail_invalid_schema: true,
        data: preserving(),
        registry: RegistryUse {
            write_as: WriteAs::Id { id: 1, strict: false },
            ..RegistryUse::default()
        },
        ..config()
    };
    let (mut converter, arena) = (converter(strict, &shelf), Arena::new());
    for (payload, good) in [
        (r#"{"a":{"x":[1,null]},"n":1,"o":"x"}"#, true),
        (r#"{"a":{"x":[1,null]},"n":"1","o":"x"}"#, false),
        (r#"{"a":{"x":[1,null]},"n":1,"o":5}"#, false),
    ] {
        let bytes = framed(1, &[payload.as_bytes()]);
        for detail in [Detail::Full, Detail::Json] {
            let read = converter.to_connect_data("t", Some(&bytes), detail, &arena);
            assert_eq!(read.is_ok(), good, "{payload}");
            let Ok(read) = read else { continue };
            let mut out = Vec::new();
            converter.from_connect_data("t", read.schema, read.value, &mut out).unwrap();
            assert_eq!(std::str::from_utf8(&out[5..]), Ok(payload));
        }
    }
}
