//! `add.fields` and `add.headers`: fields of a change event that go along with its new state.

use std::sync::Arc;

use millrace_converters::{DataError, Schema, SchemaType, Struct, Value};

use super::envelope::null_pointer;
use crate::schema_cache::copy_basics;

/// One item of `add.fields` or `add.headers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldReference {
    /// The struct that has the field, `source` for one; `None`: the envelope itself.
    pub parent: Option<String>,
    pub field: String,
    /// What it is called then.
    pub name: String,
}

/// Java's `String.split`, which leaves out empty parts at the end.
fn split(text: &str, separator: char) -> Vec<&str> {
    let mut parts: Vec<&str> = text.split(separator).collect();
    while parts.len() > 1 && parts.last().is_some_and(|last| last.is_empty()) {
        parts.pop();
    }
    parts
}

/// The struct of a field that is named alone.
fn parent_of(field: &str) -> Option<&'static str> {
    match field {
        "id" | "data_collection_order" | "total_order" => Some("transaction"),
        "op" | "ts_ms" | "ts_us" | "ts_ns" => None,
        "updateDescription" => Some("updateDescription"),
        _ => Some("source"),
    }
}

impl FieldReference {
    /// The items of a list.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn list(text: &str, prefix: &str) -> Result<Vec<Self>, String> {
        if text.trim().is_empty() {
            return Ok(Vec::new());
        }
        text.split(',').map(|item| Self::parse(item.trim(), prefix)).collect()
    }

    /// `field`, `struct.field`, either with `:name` behind it.
    fn parse(text: &str, prefix: &str) -> Result<Self, String> {
        let parts = split(text, ':');
        let path = split(parts[0], '.');
        let (parent, field) = match path[..] {
            [] => return Err(format!("Unexpected field name: {text}")),
            [field] => (parent_of(field).map(str::to_owned), field),
            [parent, field, ..] => (Some(parent.to_owned()), field),
        };
        let name = match (&parts[..], &parent) {
            ([_], Some(parent)) if path.len() > 1 => format!("{prefix}{parent}_{field}"),
            ([_], _) => format!("{prefix}{field}"),
            ([_, name], _) => format!("{prefix}{name}"),
            _ => return Err(format!("Unexpected field name: {text}")),
        };
        Ok(Self { parent, field: field.to_owned(), name })
    }
}

/// A reference found in an envelope's schema.
pub struct Added {
    pub name: Arc<str>,
    /// Optional, whatever it was there.
    pub schema: Arc<Schema>,
    place: Place,
}

enum Place {
    Envelope(usize),
    /// The parent's index, and the field's in it.
    Parent(usize, usize),
}

impl Added {
    /// Looks the references up; those that lead nowhere are left out.
    ///
    /// # Errors
    /// Java's, where the struct itself is missing.
    pub fn all(references: &[FieldReference], envelope: &Schema) -> Result<Vec<Self>, DataError> {
        let mut list = Vec::new();
        for reference in references {
            list.extend(Self::find(reference, envelope)?);
        }
        Ok(list)
    }

    fn find(reference: &FieldReference, envelope: &Schema) -> Result<Option<Self>, DataError> {
        let parent = match &reference.parent {
            None => None,
            Some(name) => Some(envelope.field(name).ok_or_else(|| {
                null_pointer(format!("the change event has no \"{name}\" to take a field from"))
            })?),
        };
        let within = parent.and_then(|(index, parent)| {
            let (field, found) = parent.schema.field(&reference.field)?;
            Some((Place::Parent(index, field), found))
        });
        let own = || {
            let (index, found) = envelope.field(&reference.field)?;
            Some((Place::Envelope(index), found))
        };
        Ok(within.or_else(own).map(|(place, found)| Self {
            name: reference.name.as_str().into(),
            schema: Arc::new(optional_basics(&found.schema)),
            place,
        }))
    }

    /// The value in an event of that schema, for a field of the row.
    pub fn value<'a>(&self, envelope: &Struct<'a>) -> Result<Value<'a>, DataError> {
        match self.found(envelope) {
            // The schema is a copy of basics.
            Value::Struct(data) if !data.schema.fields.is_empty() => {
                Err(DataError::new("Struct schemas do not match."))
            }
            Value::Map(entries) if !entries.is_empty() => Err(DataError::new(format!(
                "No schema defined for key of map field: \"{}\"",
                self.name
            ))),
            value => Ok(value),
        }
    }

    /// The value in an event of that schema, for a header.
    pub fn found<'a>(&self, envelope: &Struct<'a>) -> Value<'a> {
        let value = |data: &Struct<'a>, index: usize| data.values.get(index).copied();
        let value = match self.place {
            Place::Envelope(index) => value(envelope, index),
            Place::Parent(parent, index) => match value(envelope, parent) {
                Some(Value::Struct(data)) => value(data, index),
                _ => None,
            },
        };
        value.unwrap_or_default()
    }
}

/// `SchemaUtil.copySchemaBasics(schema).optional()`.
fn optional_basics(schema: &Schema) -> Schema {
    let mut copy = Schema { type_: schema.type_, ..copy_basics(schema) }.optional();
    if schema.type_ == SchemaType::Array {
        copy.value_schema.clone_from(&schema.value_schema);
    }
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_as_debezium_reads_them() {
        for (text, parent, field, name) in [
            ("op", None, "op", "__op"),
            ("lsn", Some("source"), "lsn", "__lsn"),
            ("source.ts_ms", Some("source"), "ts_ms", "__source_ts_ms"),
            ("total_order", Some("transaction"), "total_order", "__total_order"),
            ("op:operation", None, "op", "__operation"),
            ("source.db:DB", Some("source"), "db", "__DB"),
            ("op:", None, "op", "__op"),
            ("a.b.c", Some("a"), "b", "__a_b"),
        ] {
            let found = FieldReference::list(text, "__").unwrap().remove(0);
            let parent = parent.map(str::to_owned);
            let expected = FieldReference { parent, field: field.into(), name: name.into() };
            assert_eq!(found, expected, "{text}");
        }
        assert!(FieldReference::list("op:a:b", "").is_err());
        assert_eq!(FieldReference::list("op, ts_ms", "").unwrap().len(), 2);
        assert_eq!(FieldReference::list("", "").unwrap().len(), 0);
    }
}
