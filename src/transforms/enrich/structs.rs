//! The join of a Struct: its schema with the columns', and a row's values as the types that those have.

use std::sync::Arc;

use millrace_api::record::Record;
use millrace_converters::json::{WriteOptions, parse, write_value};
use millrace_converters::{Arena, DataError, Field, Schema, SchemaType, Struct, Value};

use super::Enrich;
use crate::expression::fault::{float, int, type_name};
use crate::requirements::{Entries, entry, field_value, room_for, with_datum};
use crate::schema_cache::copy_basics;

/// A Struct's schema once it is joined.
pub struct Joined {
    schema: Arc<Schema>,
    /// Places of the columns' fields, or of the target field.
    places: Vec<usize>,
}

/// A column as a field of a Struct.
pub struct StructField {
    pub name: Arc<str>,
    pub schema: Arc<Schema>,
}

impl Enrich {
    /// Without a row the fields are there, too, and null: a schema is one for all records.
    pub fn join_struct<'a>(
        &mut self,
        record: Record<'a>,
        data: &'a Struct<'a>,
        row: Option<&'a [u8]>,
        arena: &'a Arena,
    ) -> Result<Record<'a>, DataError> {
        if self.fields.is_empty() {
            return Err(DataError::new("records with a schema want the columns named: set fields"));
        }
        let (side, names, fields) = (self.side, &self.names, &self.fields);
        let (target, target_schema) = (self.join.target.is_some(), &self.target_schema);
        let joined = self.schemas.get(data.schema, |schema| {
            let schemas = fields.iter().map(|field| &field.schema);
            let schemas: Vec<_> = if target { vec![target_schema] } else { schemas.collect() };
            Ok::<_, DataError>(joined(schema, names, &schemas))
        })?;
        let schema = arena.pin_schema(&joined.schema);
        let mut values = room_for(schema.fields.len(), arena);
        for index in 0..data.schema.fields.len() {
            values.push(field_value(data, index, true, arena));
        }
        values.resize(schema.fields.len(), Value::Null);
        let entries = match row.map(|row| parse(row, arena)).transpose()? {
            Some(Value::Map(entries)) => Some(entries),
            _ => None,
        };
        match (target, entries, &joined.places[..]) {
            (true, Some(entries), [place]) => {
                let mut inner = room_for(fields.len(), arena);
                for field in fields {
                    inner.push(typed(field, entries, &mut self.scratch, arena)?);
                }
                let schema = arena.pin_schema(target_schema);
                let inner = Struct { schema, values: inner.into_bump_slice() };
                values[*place] = Value::Struct(arena.alloc(inner));
            }
            (_, entries, places) => {
                for (field, place) in fields.iter().zip(places) {
                    values[*place] = match entries {
                        Some(entries) => typed(field, entries, &mut self.scratch, arena)?,
                        None => Value::Null,
                    };
                }
            }
        }
        let data = arena.alloc(Struct { schema, values: values.into_bump_slice() });
        Ok(with_datum(record, side, Some(schema), Value::Struct(data)))
    }
}

/// Fields that are set keep their place with another schema, or come last.
fn joined(schema: &Schema, names: &[Arc<str>], schemas: &[&Arc<Schema>]) -> Joined {
    let mut updated = copy_basics(schema);
    updated.fields.clone_from(&schema.fields);
    let mut places = Vec::new();
    for (name, schema) in names.iter().zip(schemas) {
        let field = Field { name: Arc::clone(name), schema: Arc::clone(schema) };
        match updated.field(name).map(|(at, _)| at) {
            Some(at) => {
                updated.fields[at] = field;
                places.push(at);
            }
            None => {
                places.push(updated.fields.len());
                updated.fields.push(field);
            }
        }
    }
    Joined { schema: Arc::new(updated), places }
}

/// A row's value as the type that its column was given; strings are text, or the JSON of a value.
fn typed<'a>(
    field: &StructField,
    entries: Entries<'a>,
    scratch: &mut Vec<u8>,
    arena: &'a Arena,
) -> Result<Value<'a>, DataError> {
    use SchemaType::{Boolean, Float32, Float64, Int8, Int16, Int32, Int64};
    let value = entry(entries, &field.name);
    let whole = int(&value);
    let number = float(&value).or_else(|| whole.map(|whole| whole as f64));
    let fitted = match (field.schema.type_, value) {
        (_, Value::Null) => Some(Value::Null),
        (SchemaType::String, Value::Str(text)) => Some(Value::Str(text)),
        (SchemaType::String, value) => {
            scratch.clear();
            write_value(None, value, scratch, &WriteOptions::default())?;
            std::str::from_utf8(scratch).ok().map(|text| Value::Str(arena.alloc_str(text)))
        }
        (Boolean, Value::Boolean(value)) => Some(Value::Boolean(value)),
        (Int8, _) => whole.and_then(|whole| whole.try_into().ok()).map(Value::Int8),
        (Int16, _) => whole.and_then(|whole| whole.try_into().ok()).map(Value::Int16),
        (Int32, _) => whole.and_then(|whole| whole.try_into().ok()).map(Value::Int32),
        (Int64, _) => whole.map(Value::Int64),
        (Float32, _) => number.map(|number| Value::Float32(number as f32)),
        (Float64, _) => number.map(Value::Float64),
        _ => None,
    };
    fitted.ok_or_else(|| {
        let (wanted, found) = (field.schema.type_.name(), type_name(&value));
        DataError::new(format!("the row's {} is a {found} that is no {wanted}", field.name))
    })
}
