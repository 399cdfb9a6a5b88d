//! A Connect schema as the text of a JSON schema, byte for byte as Confluent's converter registers it.
//!
//! That one builds everit's schema objects and has them print themselves: the order of the words is
//! everit's, that of properties and of Connect's own words a hash map's ([`super::java_order`]).

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::config::JsonSchemaDataConfig;
use super::decode::filled;
use super::encode::Encoder;
use super::java_order;
use super::names::{
    ADDITIONAL, ENUM, GENERALIZED_ENUM, GENERALIZED_UNION, ID, INDEX, KEY, NAMESPACE, NULL_MARKER,
    ONE_OF, PARAMETERS, TYPE, VALUE, VERSION,
};
use crate::arena::Arena;
use crate::data::{DECIMAL_NAME, Field, OwnedValue, Schema, SchemaType};
use crate::json::DecimalFormat;
use crate::json::text::write_string;
use crate::number_text::BigDecimal;
use crate::variant::VARIANT_NAME;

/// The text to register for data of `schema`.
pub(super) fn json_text(schema: &Schema, config: &JsonSchemaDataConfig) -> Result<String, String> {
    let mut writer = Writer { config, open: Vec::new(), path: String::from("#"), depth: 0 };
    let json = Json::Object(writer.schema(schema, None, false, false)?);
    let mut out = Vec::new();
    print(&json, &mut out);
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// As Jackson prints it, whose exponents and escapes have great letters.
fn print(json: &Json, out: &mut Vec<u8>) {
    match json {
        Json::String(text) => write_string(text, out),
        Json::Number(number) => {
            out.extend_from_slice(number.to_string().replace('e', "E").as_bytes());
        }
        Json::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                out.extend_from_slice(&b","[..usize::from(at > 0)]);
                print(item, out);
            }
            out.push(b']');
        }
        Json::Object(members) => {
            out.push(b'{');
            for (at, (name, value)) in members.iter().enumerate() {
                out.extend_from_slice(&b","[..usize::from(at > 0)]);
                write_string(name, out);
                out.push(b':');
                print(value, out);
            }
            out.push(b'}');
        }
        other => out.extend_from_slice(other.to_string().as_bytes()),
    }
}

/// A struct of which one field is set: a union.
pub(super) fn is_union(schema: &Schema) -> bool {
    schema.is_named(ONE_OF) || schema.parameter(GENERALIZED_UNION).is_some()
}

/// A struct that stands for anything.
fn is_variant(schema: &Schema) -> bool {
    schema.type_ == SchemaType::Struct && schema.is_named(VARIANT_NAME)
}

/// The field of the members that a struct has beside its fields.
pub(super) fn is_others(field: &Field) -> bool {
    let schema = &field.schema;
    &*field.name == ADDITIONAL
        && schema.type_ == SchemaType::Map
        && schema.key_schema.as_ref().is_some_and(|keys| keys.type_ == SchemaType::String)
        && schema.value_schema.as_ref().is_some_and(|values| values.is_named(VARIANT_NAME))
}

/// Whether a map's entries are the members of an object.
pub(super) fn has_string_keys(schema: &Schema) -> bool {
    schema
        .key_schema
        .as_ref()
        .is_some_and(|keys| keys.type_ == SchemaType::String && !keys.optional)
}

/// A map without room for them would be a mistake of whoever made the schema.
pub(super) fn element(schema: &Option<Arc<Schema>>) -> Result<&Schema, String> {
    schema.as_deref().ok_or_else(|| "the schema names no element type".to_owned())
}

struct Writer<'s> {
    config: &'s JsonSchemaDataConfig,
    /// The structs that are being written, outermost first, and where they stand.
    open: Vec<(&'s Schema, String)>,
    /// A JSON pointer to the schema at hand.
    path: String,
    depth: usize,
}

/// Schemas inside of schemas.
const MAX_DEPTH: usize = 100;

impl<'s> Writer<'s> {
    /// `index`: the place among the fields around. `bare`: of a union, whose members do not say
    /// that they may be null. `required`: an optional schema's own part.
    fn schema(
        &mut self,
        schema: &'s Schema,
        index: Option<usize>,
        bare: bool,
        required: bool,
    ) -> Result<Map<String, Json>, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("the schema nests too deeply".into());
        }
        let optional = schema.optional && !required && !bare;
        let written = if schema.type_ == SchemaType::Struct && !is_variant(schema) {
            self.struct_(schema, index, optional, schema.optional && !required)?
        } else if optional {
            let inner = self.below("/oneOf/1", |own| own.schema(schema, None, true, true))?;
            self.one_of(vec![null(), inner.into()], schema, index)
        } else {
            self.plain(schema, index)?
        };
        self.depth -= 1;
        Ok(written)
    }

    fn below<T>(&mut self, step: &str, write: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        self.path.push_str(step);
        let written = write(self);
        self.path.truncate(length);
        written
    }

    fn one_of(
        &self,
        members: Vec<Json>,
        schema: &Schema,
        index: Option<usize>,
    ) -> Map<String, Json> {
        let mut out = Map::new();
        self.tail(schema, index, &mut out);
        out.insert("oneOf".into(), members.into());
        out
    }

    /// What a combination has of Connect's words.
    fn tail(&self, schema: &Schema, index: Option<usize>, out: &mut Map<String, Json>) {
        if let Some(id) = schema.parameter(ID) {
            out.insert("id".into(), id.into());
        }
        if let Some(index) = index {
            out.insert(INDEX.into(), index.into());
        }
    }

    fn plain(
        &mut self,
        schema: &'s Schema,
        index: Option<usize>,
    ) -> Result<Map<String, Json>, String> {
        use SchemaType as T;
        let mut out = Map::new();
        let numeric = self.config.decimal_format == DecimalFormat::Numeric;
        let (type_, connect) = match schema.type_ {
            T::Int8 => ("integer", Some("int8")),
            T::Int16 => ("integer", Some("int16")),
            T::Int32 => ("integer", Some("int32")),
            T::Int64 => ("integer", Some("int64")),
            T::Float32 => ("number", Some("float32")),
            T::Float64 => ("number", Some("float64")),
            T::Bytes if numeric && schema.is_named(DECIMAL_NAME) => ("number", Some("bytes")),
            T::Bytes => ("string", Some("bytes")),
            T::Boolean => {
                // The only one whose type stands behind the rest.
                self.common(schema, None, index, &mut out)?;
                out.insert("type".into(), "boolean".into());
                return Ok(out);
            }
            T::String if is_enum(schema) => {
                out.insert("enum".into(), self.symbols(schema).into());
                self.common(schema, None, index, &mut out)?;
                return Ok(out);
            }
            T::String => ("string", None),
            T::Array => ("array", None),
            T::Map if has_string_keys(schema) => ("object", Some("map")),
            T::Map => ("array", Some("map")),
            T::Struct if is_variant(schema) => {
                self.common(schema, None, index, &mut out)?;
                return Ok(out);
            }
            T::Struct => return Err("a struct is no plain type".into()),
        };
        out.insert("type".into(), type_.into());
        self.common(schema, connect, index, &mut out)?;
        match schema.type_ {
            T::Array => {
                let of = element(&schema.value_schema)?;
                let items = self.below("/items", |own| own.member(of, None))?;
                out.insert("items".into(), items);
            }
            T::Map if has_string_keys(schema) => {
                let of = element(&schema.value_schema)?;
                let values = self.below("/additionalProperties", |own| own.member(of, None))?;
                out.insert("additionalProperties".into(), values);
            }
            T::Map => {
                let keys = element(&schema.key_schema)?;
                let values = element(&schema.value_schema)?;
                let key = self.below("/items/properties/key", |own| own.member(keys, Some(0)))?;
                let value =
                    self.below("/items/properties/value", |own| own.member(values, Some(1)))?;
                let mut entry = vec![(KEY.to_owned(), key), (VALUE.to_owned(), value)];
                java_order::plain(&mut entry, |(name, _)| name);
                let entry: Map<String, Json> = entry.into_iter().collect();
                out.insert("items".into(), json!({ "type": "object", "properties": entry }));
            }
            _ => {}
        }
        Ok(out)
    }

    /// A schema inside of another one: a reference, if it is one that stands further out.
    fn member(&mut self, schema: &'s Schema, index: Option<usize>) -> Result<Json, String> {
        match self.reference(schema) {
            Some(path) => {
                let reference = json!({ "$ref": path });
                if !schema.optional {
                    return Ok(reference);
                }
                let members = vec![null(), reference];
                Ok(Json::Object(self.one_of(members, &Schema::new(SchemaType::Struct), index)))
            }
            None => Ok(Json::Object(self.schema(schema, index, false, false)?)),
        }
    }

    /// Where the struct stands that `schema` is the name of.
    fn reference(&self, schema: &Schema) -> Option<&str> {
        if schema.type_ != SchemaType::Struct || !schema.fields.is_empty() {
            return None;
        }
        let around = self.open.iter().rev();
        let mut same = around.filter(|(one, _)| schema.name.is_some() && one.name == schema.name);
        same.next().map(|(_, path)| path.as_str())
    }

    fn struct_(
        &mut self,
        schema: &'s Schema,
        index: Option<usize>,
        optional: bool,
        nullable: bool,
    ) -> Result<Map<String, Json>, String> {
        if is_union(schema) {
            let mut members = Vec::new();
            members.extend(nullable.then(null));
            for (at, field) in schema.fields.iter().enumerate() {
                let step = format!("/oneOf/{}", members.len());
                let of = &*field.schema;
                let member = self.below(&step, |own| match own.reference(of) {
                    Some(path) => Ok(json!({ "$ref": path })),
                    None => own.schema(of, Some(at), true, true).map(Json::Object),
                });
                members.push(member?);
            }
            return Ok(self.one_of(members, schema, index));
        }
        if optional {
            let inner = self.below("/oneOf/1", |own| own.schema(schema, None, true, true))?;
            return Ok(self.one_of(vec![null(), inner.into()], schema, index));
        }
        let mut out = Map::new();
        out.insert("type".into(), "object".into());
        if !self.config.object_additional_properties {
            out.insert("additionalProperties".into(), false.into());
        }
        self.common(schema, None, index, &mut out)?;
        self.open.push((schema, self.path.clone()));
        let mut properties = Vec::with_capacity(schema.fields.len());
        for (at, field) in schema.fields.iter().enumerate() {
            if self.config.preserve_additional_properties && is_others(field) {
                continue;
            }
            let step = format!("/properties/{}", escaped(&field.name));
            let property = self
                .below(&step, |own| own.member(&field.schema, Some(at)))
                .map_err(|why| format!("{}: {why}", field.name))?;
            properties.push((field.name.to_string(), property));
        }
        self.open.pop();
        java_order::plain(&mut properties, |(name, _)| name);
        if !properties.is_empty() {
            let properties: Map<String, Json> = properties.into_iter().collect();
            out.insert("properties".into(), properties.into());
        }
        Ok(out)
    }

    /// Title, description, default and Connect's own words.
    fn common(
        &self,
        schema: &Schema,
        connect_type: Option<&str>,
        index: Option<usize>,
        out: &mut Map<String, Json>,
    ) -> Result<(), String> {
        if let Some(name) = &schema.name {
            out.insert("title".into(), (**name).into());
        }
        if let Some(doc) = &schema.doc {
            out.insert("description".into(), (**doc).into());
        }
        if let Some(default) = &schema.default {
            // Of a Variant it may be null, which says no more than no default.
            let default = self.default(schema, default)?;
            out.extend((!default.is_null()).then(|| ("default".to_owned(), default)));
        }
        if let Some(id) = schema.parameter(ID) {
            out.insert("id".into(), id.into());
        }
        let mut words: Vec<(&str, Json)> = Vec::new();
        words.extend(connect_type.map(|type_| (TYPE, type_.into())));
        words.extend(schema.version.map(|version| (VERSION, version.into())));
        words.extend(parameters(schema).map(|parameters| (PARAMETERS, parameters)));
        words.extend(index.map(|index| (INDEX, index.into())));
        java_order::plain(&mut words, |(word, _)| word);
        java_order::copied(&mut words, |(word, _)| word);
        out.extend(words.into_iter().map(|(word, value)| (word.to_owned(), value)));
        Ok(())
    }

    fn symbols(&self, schema: &Schema) -> Vec<Json> {
        let generalized = self.config.generalized_sum_type_support;
        let word = if generalized { GENERALIZED_ENUM } else { ENUM };
        let symbol = |(key, _): &'_ (Arc<str>, Arc<str>)| {
            key.strip_prefix(word)?.strip_prefix('.').map(str::to_owned)
        };
        let mut symbols: Vec<String> = schema.parameters.iter().filter_map(symbol).collect();
        // A null's bucket is the first, as that of empty text is.
        java_order::plain(&mut symbols, |symbol| if symbol == NULL_MARKER { "" } else { symbol });
        let json = |symbol: String| if symbol == NULL_MARKER { Json::Null } else { symbol.into() };
        symbols.into_iter().map(json).collect()
    }

    fn default(&self, schema: &Schema, default: &OwnedValue) -> Result<Json, String> {
        let (arena, mut text) = (Arena::new(), Vec::new());
        let encoder = Encoder::compile(Some(schema), self.config)?;
        encoder
            .write(Some(schema), filled(default, schema, &arena), &mut text)
            .map_err(|error| error.message)?;
        let json = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        Ok(reprinted(json))
    }
}

fn null() -> Json {
    json!({ "type": "null" })
}

fn is_enum(schema: &Schema) -> bool {
    schema.parameter(GENERALIZED_ENUM).is_some() || schema.parameter(ENUM).is_some()
}

fn parameters(schema: &Schema) -> Option<Json> {
    let shown = schema.parameters.iter().filter(|(key, _)| !key.starts_with(NAMESPACE));
    let mut shown: Vec<(&str, Json)> =
        shown.map(|(key, value)| (&**key, Json::from(&**value))).collect();
    java_order::plain(&mut shown, |(key, _)| key);
    java_order::sized(&mut shown, |(key, _)| key);
    let shown: Map<String, Json> =
        shown.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    (!shown.is_empty()).then(|| shown.into())
}

/// A default as org.json and Jackson leave it: numbers without needless zeros, objects in the order
/// of a hash map.
fn reprinted(json: Json) -> Json {
    match json {
        Json::Number(number) => {
            let text = number.to_string();
            let mut shown = text.as_str();
            if shown.contains('.') && !shown.contains(['e', 'E']) {
                shown = shown.trim_end_matches('0').trim_end_matches('.');
            }
            let exact = match shown.contains(['.', 'e', 'E']) {
                true => BigDecimal::parse(shown).map(|number| number.to_string()),
                false => None,
            };
            let shown = exact.unwrap_or_else(|| shown.to_owned());
            serde_json::from_str(&shown).unwrap_or(Json::Number(number))
        }
        Json::Array(items) => items.into_iter().map(reprinted).collect(),
        Json::Object(object) => {
            let mut members: Vec<(String, Json)> = object.into_iter().collect();
            java_order::sized(&mut members, |(name, _)| name);
            members.into_iter().map(|(name, value)| (name, reprinted(value))).collect()
        }
        other => other,
    }
}

/// A step of a JSON pointer in a URI's fragment.
fn escaped(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'~' => out.push_str("~0"),
            b'/' => out.push_str("~1"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => out.push(byte.into()),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}
