//! From a Connect schema to the Avro schema that goes to the registry, as JSON text.
//!
//! The mapping is `AvroData.fromConnectSchema`'s, printed as Avro's Java library prints schemas, so
//! that the registry recognises what JVM workers registered.

use std::collections::HashSet;

use serde_json::{Map, Value as Json, json};

use super::config::AvroDataConfig;
use super::defaults::default_json;
use super::names::*;
use super::schema::{namespace, simple_name};
use crate::data::{
    DATE_NAME, DECIMAL_NAME, OwnedValue, Schema, SchemaType, TIME_NAME, TIMESTAMP_NAME,
};

/// The text of the Avro schema for `schema`; `None` is data without schema.
pub(super) fn avro_text(
    schema: Option<&Schema>,
    config: &AvroDataConfig,
) -> Result<String, String> {
    let Some(schema) = schema else { return Ok(ANYTHING_TEXT.to_owned()) };
    let mut builder = Builder { config, defined: HashSet::new(), used: HashSet::new(), unnamed: 0 };
    Ok(builder.type_(schema, "", false)?.to_string())
}

/// A union that Connect holds as a struct.
pub(super) fn is_union(schema: &Schema) -> bool {
    schema.type_ == SchemaType::Struct
        && (schema.is_named(UNION) || schema.parameter(GENERALIZED_UNION).is_some())
}

/// A map that is a map in Avro, too.
pub(super) fn has_string_keys(schema: &Schema, config: &AvroDataConfig) -> bool {
    schema.key_schema.as_deref().is_some_and(|keys| {
        keys.type_ == SchemaType::String && (!keys.optional || config.allow_optional_map_keys)
    })
}

/// An enum's name, if the string is written as one.
pub(super) fn enum_name<'s>(schema: &'s Schema, config: &AvroDataConfig) -> Option<&'s str> {
    if schema.type_ != SchemaType::String {
        return None;
    }
    match (config.generalized_sum_type_support, config.enhanced_avro_schema_support) {
        (true, _) => schema.parameter(GENERALIZED_ENUM),
        (false, true) => schema.parameter(ENUM),
        _ => None,
    }
}

/// The size of a fixed: named bytes with that parameter.
pub(super) fn fixed_size(schema: &Schema) -> Option<&str> {
    schema.name.as_ref()?;
    schema.parameter(FIXED_SIZE)
}

/// `scrub.invalid.names`: each part of a dotted name becomes one that Avro allows.
pub(super) fn scrubbed(name: &str, config: &AvroDataConfig) -> String {
    if !config.scrub_invalid_names {
        return name.to_owned();
    }
    name.split('.').map(scrub).collect::<Vec<_>>().join(".")
}

/// `AvroData.doScrubName`: encoded as in URLs, then every letter that is still wrong an underscore.
fn scrub(part: &str) -> String {
    if is_name(part) || part.is_empty() {
        return part.to_owned();
    }
    let mut out = String::with_capacity(part.len() * 3);
    for byte in part.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => out.push(byte.into()),
            // Java's encoder leaves these, and makes a plus of a space.
            b'.' | b'-' | b'*' | b' ' => out.push('_'),
            _ => out.push_str(&format!("_{byte:02X}")),
        }
    }
    if out.starts_with(|first: char| first.is_ascii_digit()) {
        out.insert(0, 'x');
    }
    out
}

/// What Avro allows as a name.
fn is_name(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

struct Builder<'c> {
    config: &'c AvroDataConfig,
    /// Full names that were written out: from then on the name stands for the type.
    defined: HashSet<String>,
    /// Connect names of fields' schemas that were met.
    used: HashSet<String>,
    unnamed: u32,
}

impl Builder<'_> {
    fn type_(&mut self, schema: &Schema, space: &str, bare: bool) -> Result<Json, String> {
        if schema.type_ == SchemaType::Struct {
            if is_union(schema) {
                return self.union(schema, space);
            }
            let base = self.record(schema, space)?;
            return Ok(if schema.optional && !bare { json!(["null", base]) } else { base });
        }
        let base = self.base(schema, space)?;
        if bare || !schema.optional {
            return Ok(base);
        }
        Ok(match has_default(schema) {
            true => json!([base, "null"]),
            false => json!(["null", base]),
        })
    }

    fn union(&mut self, schema: &Schema, space: &str) -> Result<Json, String> {
        let mut members = Vec::new();
        if schema.optional {
            members.push(Json::from("null"));
        }
        for field in &schema.fields {
            members.push(self.type_(&field.schema, space, true)?);
        }
        Ok(members.into())
    }

    fn base(&mut self, schema: &Schema, space: &str) -> Result<Json, String> {
        use SchemaType as T;
        let mut object = Map::new();
        let primitive = match schema.type_ {
            T::Int8 | T::Int16 | T::Int32 => "int",
            T::Int64 => "long",
            T::Float32 => "float",
            T::Float64 => "double",
            T::Boolean => "boolean",
            T::String => match enum_name(schema, self.config) {
                None => "string",
                Some(name) => {
                    let name = name.to_owned();
                    if let Some(known) = self.known(&name, space) {
                        return Ok(known);
                    }
                    self.enumeration(schema, &name, space, &mut object)?;
                    "enum"
                }
            },
            T::Bytes => match fixed_size(schema) {
                None => "bytes",
                Some(size) => {
                    let size: u32 = size.parse().map_err(|_| format!("{FIXED_SIZE} is {size}"))?;
                    let name = schema.name.as_deref().unwrap_or_default();
                    let name = scrubbed(name, self.config);
                    if let Some(known) = self.known(&name, space) {
                        return Ok(known);
                    }
                    self.define(&name, space, "fixed", &mut object)?;
                    object.insert("size".into(), size.into());
                    "fixed"
                }
            },
            T::Array => {
                let of = schema.value_schema.as_deref().ok_or("an array without element schema")?;
                object.insert("type".into(), "array".into());
                object.insert("items".into(), self.type_(of, space, false)?);
                "array"
            }
            T::Map => {
                self.map(schema, space, &mut object)?;
                "map"
            }
            T::Struct => return Err("a struct is no plain type".into()),
        };
        object.entry("type").or_insert_with(|| primitive.into());
        if schema.is_named(DECIMAL_NAME) {
            let scale: i32 = parameter(schema, "scale")?.unwrap_or(0);
            object.insert("scale".into(), scale.into());
            object.insert("precision".into(), precision(schema)?.into());
        }
        self.annotate(schema, &mut object)?;
        Ok(if object.len() == 1 { primitive.into() } else { object.into() })
    }

    fn map(
        &mut self,
        schema: &Schema,
        space: &str,
        object: &mut Map<String, Json>,
    ) -> Result<(), String> {
        let (Some(keys), Some(values)) = (&schema.key_schema, &schema.value_schema) else {
            return Err("a map without key or value schema".into());
        };
        if has_string_keys(schema, self.config) {
            object.insert("type".into(), "map".into());
            object.insert("values".into(), self.type_(values, space, false)?);
            return Ok(());
        }
        object.insert("type".into(), "array".into());
        let name = match &schema.name {
            None => MAP_ENTRY.to_owned(),
            Some(name) => scrubbed(name, self.config),
        };
        let mut entry = Map::new();
        if let Some(known) = self.known(&name, space) {
            object.insert("items".into(), known);
            return Ok(());
        }
        self.define(&name, space, "record", &mut entry)?;
        let inner = namespace(&name);
        let fields = [("key", keys), ("value", values)];
        let fields: Result<Vec<Json>, _> =
            fields.into_iter().map(|(name, of)| self.field(name, of, None, inner)).collect();
        entry.insert("fields".into(), fields?.into());
        if schema.name.is_some() {
            entry.insert(INTERNAL_TYPE.into(), "MapEntry".into());
        }
        object.insert("items".into(), entry.into());
        Ok(())
    }

    fn enumeration(
        &mut self,
        schema: &Schema,
        name: &str,
        space: &str,
        object: &mut Map<String, Json>,
    ) -> Result<(), String> {
        let sum = self.config.generalized_sum_type_support;
        let prefix = format!("{}.", if sum { GENERALIZED_ENUM } else { ENUM });
        let symbols: Vec<&str> =
            schema.parameters.iter().filter_map(|(key, _)| key.strip_prefix(&prefix)).collect();
        let own = simple_name(schema.name.as_deref().unwrap_or_default());
        self.define(name, space, "enum", object)?;
        let (doc, default) = match self.config.discard_type_doc_default {
            true => (schema.parameter(CONNECT_ENUM_DOC), None),
            false => (
                schema.parameter(&format!("{ENUM_DOC_PREFIX}{own}")),
                schema.parameter(&format!("{ENUM_DEFAULT_PREFIX}{own}")),
            ),
        };
        if let Some(doc) = doc {
            object.insert("doc".into(), doc.into());
        }
        object.insert("symbols".into(), symbols.into());
        if let Some(default) = default {
            object.insert("default".into(), default.into());
        }
        Ok(())
    }

    fn record(&mut self, schema: &Schema, space: &str) -> Result<Json, String> {
        let name = match &schema.name {
            Some(name) => scrubbed(name, self.config),
            None => {
                self.unnamed += 1;
                match self.unnamed {
                    1 => CONNECT_DEFAULT.to_owned(),
                    number => format!("{CONNECT_DEFAULT}{number}"),
                }
            }
        };
        if let Some(known) = self.known(&name, space) {
            return Ok(known);
        }
        let discard = self.config.discard_type_doc_default;
        let mut object = Map::new();
        self.define(&name, space, "record", &mut object)?;
        let doc = if discard { CONNECT_RECORD_DOC } else { RECORD_DOC };
        if let Some(doc) = schema.parameter(doc) {
            object.insert("doc".into(), doc.into());
        }
        let mut fields = Vec::with_capacity(schema.fields.len());
        let inner = namespace(&name).to_owned();
        for field in &schema.fields {
            let doc = match discard {
                true => None,
                false => schema.parameter(&format!("{FIELD_DOC_PREFIX}{}", field.name)),
            };
            let name = match self.config.scrub_invalid_names {
                true => scrub(&field.name),
                false => field.name.to_string(),
            };
            fields.push(self.field(&name, &field.schema, doc, &inner)?);
        }
        object.insert("fields".into(), fields.into());
        self.annotate(schema, &mut object)?;
        Ok(object.into())
    }

    fn field(
        &mut self,
        name: &str,
        schema: &Schema,
        doc: Option<&str>,
        space: &str,
    ) -> Result<Json, String> {
        if !is_name(name) {
            return Err(illegal(name));
        }
        let mut field = Map::new();
        let seen = match &schema.name {
            Some(own) => !self.used.insert(scrubbed(own, self.config)),
            None => false,
        };
        let type_ = self.type_(schema, space, false)?;
        let named = is_named(&type_);
        field.insert("name".into(), name.into());
        field.insert("type".into(), type_);
        let discard = self.config.discard_type_doc_default;
        if let Some(doc) = if discard { schema.doc.as_deref() } else { doc } {
            field.insert("doc".into(), doc.into());
        }
        // A default must be of a union's first type: an optional struct's is null.
        let of_struct = schema.type_ == SchemaType::Struct && (schema.optional || is_union(schema));
        match &schema.default {
            Some(default) if has_default(schema) => {
                if let Some(json) = default_json(schema, default).filter(|_| !of_struct) {
                    field.insert("default".into(), json);
                }
            }
            _ if schema.optional => {
                field.insert("default".into(), Json::Null);
            }
            _ => {}
        }
        if self.config.connect_meta_data && seen && named {
            let parameters = self.parameters(schema);
            if !parameters.is_empty() {
                field.insert(PARAMETERS.into(), parameters.into());
            }
        }
        Ok(field.into())
    }

    /// The reference to a type that was defined before.
    fn known(&self, full: &str, space: &str) -> Option<Json> {
        self.defined.contains(full).then(|| match namespace(full) {
            own if own.is_empty() || own == space => simple_name(full).into(),
            _ => full.into(),
        })
    }

    /// Begins the definition of a named type.
    fn define(
        &mut self,
        full: &str,
        space: &str,
        type_: &str,
        object: &mut Map<String, Json>,
    ) -> Result<(), String> {
        if let Some(part) = full.split('.').find(|part| !is_name(part)) {
            return Err(illegal(part));
        }
        self.defined.insert(full.to_owned());
        object.insert("type".into(), type_.into());
        object.insert("name".into(), simple_name(full).into());
        let own = namespace(full);
        if own != space {
            object.insert("namespace".into(), own.into());
        }
        Ok(())
    }

    /// Connect's own properties of a type.
    fn annotate(&self, schema: &Schema, object: &mut Map<String, Json>) -> Result<(), String> {
        if self.config.connect_meta_data {
            if let Some(doc) = &schema.doc {
                object.insert(DOC.into(), (**doc).into());
            }
            if let Some(version) = schema.version {
                object.insert(VERSION.into(), version.into());
            }
            let parameters = self.parameters(schema);
            if !parameters.is_empty() {
                object.insert(PARAMETERS.into(), parameters.into());
            }
            let flagged = !self.config.discard_type_doc_default
                && schema.parameter(FIELD_DEFAULT_FLAG).is_some();
            if let Some(default) =
                schema.default.as_ref().filter(|_| has_default(schema) && !flagged)
            {
                let json = default_json(schema, default);
                object.insert(DEFAULT.into(), json.ok_or("a default of another type")?);
            }
            if let Some(name) = &schema.name {
                object.insert(NAME.into(), (**name).into());
            }
            match schema.type_ {
                SchemaType::Int8 => object.insert(TYPE.into(), "int8".into()),
                SchemaType::Int16 => object.insert(TYPE.into(), "int16".into()),
                _ => None,
            };
        }
        let logical = match schema.name.as_deref() {
            Some(DECIMAL_NAME) => Some("decimal"),
            Some(DATE_NAME) => Some("date"),
            Some(TIME_NAME) => Some("time-millis"),
            Some(TIMESTAMP_NAME) => Some("timestamp-millis"),
            _ => None,
        };
        if let Some(logical) = logical {
            object.insert("logicalType".into(), logical.into());
        }
        for (key, value) in schema.parameters.iter().filter(|(key, _)| key.starts_with("avro")) {
            object.insert(key.to_string(), (**value).into());
        }
        Ok(())
    }

    fn parameters(&self, schema: &Schema) -> Map<String, Json> {
        let shown = |key: &str| self.config.discard_type_doc_default || key != FIELD_DEFAULT_FLAG;
        let shown = schema.parameters.iter().filter(|(key, _)| shown(key));
        shown.map(|(key, value)| (key.to_string(), (**value).into())).collect()
    }
}

fn has_default(schema: &Schema) -> bool {
    schema.default.as_ref().is_some_and(|default| *default != OwnedValue::Null)
}

fn illegal(name: &str) -> String {
    format!(
        "Illegal character in: {name:?}; Avro's names are letters, digits and underscores \
         (scrub.invalid.names=true writes others in their place)"
    )
}

fn parameter<T: std::str::FromStr>(schema: &Schema, key: &str) -> Result<Option<T>, String> {
    let Some(text) = schema.parameter(key) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| format!("the parameter {key} is {text}, not a number"))
}

fn precision(schema: &Schema) -> Result<i64, String> {
    Ok(parameter(schema, DECIMAL_PRECISION)?.unwrap_or(PRECISION_DEFAULT))
}

/// A record, enum or fixed, or a union with one.
fn is_named(type_: &Json) -> bool {
    const PLAIN: [&str; 10] =
        ["null", "boolean", "int", "long", "float", "double", "bytes", "string", "array", "map"];
    match type_ {
        Json::String(name) => !PLAIN.contains(&name.as_str()),
        Json::Array(members) => members.iter().any(is_named),
        Json::Object(object) => object.get("type").is_some_and(is_named),
        _ => false,
    }
}
