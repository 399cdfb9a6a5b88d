//! What the properties of an Avro type say of its Connect schema: doc, version, parameters, default
//! and name, and the logical type that follows from the name.

use super::defaults::default_value;
use super::names::*;
use super::program::Op;
use super::schema::{Id, Kind};
use super::to_connect::{Compiler, Made, Place};
use crate::data::{DATE_NAME, DECIMAL_NAME, OwnedValue, Schema, TIME_NAME, TIMESTAMP_NAME};

impl<'s> Compiler<'s> {
    /// Doc, version, parameters, default and name, as the type's properties and its place say.
    pub(super) fn annotated(
        &mut self,
        id: Id,
        mut schema: Schema,
        op: Op,
        place: Place<'s>,
    ) -> Result<Made, String> {
        let node = self.avro.node(id);
        let config = self.config;
        if config.discard_type_doc_default {
            let doc = place.doc.or(node.doc.as_deref()).or_else(|| node.text(DOC));
            schema.doc = doc.map(Into::into);
            if let Some(doc) = node.doc.as_ref().filter(|_| config.connect_meta_data) {
                set_parameter(&mut schema, CONNECT_RECORD_DOC, doc);
            }
        } else if config.connect_meta_data {
            schema.doc = node.text(DOC).map(Into::into);
        }
        self.version(id, &mut schema, place.version)?;
        if config.connect_meta_data
            && let Some(parameters) = node.props.get(PARAMETERS)
        {
            let wrong =
                || format!("Expected JSON object for schema parameters but found: {parameters}");
            for (key, value) in parameters.as_object().ok_or_else(wrong)? {
                let value = value.as_str().ok_or_else(|| {
                    format!("Expected schema parameter values to be strings but found: {value}")
                })?;
                set_parameter(&mut schema, key, value);
            }
        }
        for (key, value) in node.props.iter().filter(|(key, _)| key.starts_with("avro")) {
            set_parameter(&mut schema, key, &shown(value));
        }
        let own = node.props.get(DEFAULT);
        if place.default.is_some()
            && own.is_none()
            && config.connect_meta_data
            && !config.discard_type_doc_default
        {
            set_parameter(&mut schema, FIELD_DEFAULT_FLAG, "true");
        }
        self.name(id, &mut schema)?;
        if let Some(json) = place.default.or(own) {
            schema.default = default_value(&schema, json).filter(|one| *one != OwnedValue::Null);
        }
        schema.optional |= place.optional;
        let op = self.logical(&schema, op)?;
        Ok(Made { schema, op })
    }

    fn version(&self, id: Id, schema: &mut Schema, registered: Option<i32>) -> Result<(), String> {
        let given = match self.avro.node(id).props.get(VERSION) {
            // A logical type brings a version of its own.
            None => schema.version.or(registered),
            Some(json) => match json.as_i64() {
                Some(version) => Some(version as i32),
                None => return Err(format!("Invalid Connect version found: {json}")),
            },
        };
        match (given.filter(|version| *version >= 0), schema.version) {
            (Some(version), Some(built)) if version != built => Err(format!(
                "Mismatched versions: version already added to SchemaBuilder ({built}) differs \
                 from version in source schema ({version})"
            )),
            (Some(version), _) => {
                schema.version = Some(version);
                Ok(())
            }
            (None, _) => Ok(()),
        }
    }

    fn name(&self, id: Id, schema: &mut Schema) -> Result<(), String> {
        let node = self.avro.node(id);
        let decimal = schema.is_named(DECIMAL_NAME);
        let name = match (node.props.get(NAME), &node.kind) {
            (Some(name), _) => {
                Some(name.as_str().ok_or_else(|| format!("Invalid schema name: {name}"))?)
            }
            (None, Kind::Record(full, _) | Kind::Enum(full, ..)) => Some(full.as_str()),
            (None, Kind::Fixed(full, _)) if !decimal => Some(full.as_str()),
            _ => None,
        };
        let Some(name) = name.filter(|name| !name.starts_with(CONNECT_DEFAULT)) else {
            return Ok(());
        };
        match schema.name.as_deref() {
            Some(built) if built != name => Err(format!(
                "Mismatched names: name already added to SchemaBuilder ({built}) differs from name \
                 in source schema ({name})"
            )),
            Some(_) => Ok(()),
            None => {
                schema.name = Some(name.into());
                Ok(())
            }
        }
    }

    /// Connect goes by the schema's name, wherever it came from.
    fn logical(&mut self, schema: &Schema, op: Op) -> Result<Op, String> {
        let scale = || -> Result<i32, String> {
            let scale = schema.parameter("scale");
            let scale = scale.ok_or("Invalid Decimal schema: scale parameter not found.")?;
            scale
                .parse()
                .map_err(|_| "Invalid scale parameter found in Decimal schema: ".to_owned())
        };
        let name = schema.name.as_deref().unwrap_or_default();
        Ok(match (name, op) {
            (DECIMAL_NAME, Op::Bytes) => {
                self.as_json = false;
                Op::Decimal(scale()?)
            }
            (DECIMAL_NAME, Op::Fixed(size)) => {
                self.as_json = false;
                Op::FixedDecimal(size, scale()?)
            }
            (DATE_NAME, Op::Int32) => Op::Date,
            (TIME_NAME, Op::Int32) => Op::Time,
            (TIMESTAMP_NAME, Op::Int64) => Op::Timestamp,
            (DECIMAL_NAME | DATE_NAME | TIME_NAME | TIMESTAMP_NAME, op) => match op {
                Op::Date | Op::Time | Op::Timestamp => op,
                _ => {
                    return Err(format!(
                        "a schema of type {} is named {name}",
                        schema.type_.name()
                    ));
                }
            },
            (_, op) => op,
        })
    }
}

/// `SchemaBuilder.parameter`: a second value of a key takes the first one's place.
pub(super) fn set_parameter(schema: &mut Schema, key: &str, value: &str) {
    match schema.parameters.iter_mut().find(|(known, _)| **known == *key) {
        Some((_, old)) => *old = value.into(),
        None => schema.parameters.push((key.into(), value.into())),
    }
}

/// As Java's `toString` shows a JSON value.
pub(super) fn shown(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
