//! [`OwnedValue`] from and to the borrowed [`Value`].

use crate::arena::Arena;
use crate::data::{Decimal, OwnedValue, Struct, Value};
use crate::json::parse_text;

impl OwnedValue {
    /// The value, borrowed; what needs a slice of values is put into the arena.
    pub fn to_value<'a>(&'a self, arena: &'a Arena) -> Value<'a> {
        match self {
            Self::Null => Value::Null,
            Self::Boolean(value) => Value::Boolean(*value),
            Self::Int8(value) => Value::Int8(*value),
            Self::Int16(value) => Value::Int16(*value),
            Self::Int32(value) => Value::Int32(*value),
            Self::Int64(value) => Value::Int64(*value),
            Self::Float32(value) => Value::Float32(*value),
            Self::Float64(value) => Value::Float64(*value),
            Self::String(text) => Value::Str(text),
            Self::Bytes(bytes) => Value::Bytes(bytes),
            Self::Decimal { unscaled, scale } => {
                Value::Decimal(arena.alloc(Decimal { unscaled, scale: *scale }))
            }
            Self::Date(days) => Value::Date(*days),
            Self::Time(millis) => Value::Time(*millis),
            Self::Timestamp(millis) => Value::Timestamp(*millis),
            Self::Array(items) => {
                let items = items.iter().map(|item| item.to_value(arena));
                Value::Array(
                    bumpalo::collections::Vec::from_iter_in(items, arena.bump()).into_bump_slice(),
                )
            }
            Self::Map(entries) => {
                let entries =
                    entries.iter().map(|(key, value)| (key.to_value(arena), value.to_value(arena)));
                Value::Map(
                    bumpalo::collections::Vec::from_iter_in(entries, arena.bump())
                        .into_bump_slice(),
                )
            }
            Self::Struct { schema, fields } => {
                let values = fields.iter().map(|field| field.to_value(arena));
                let values =
                    bumpalo::collections::Vec::from_iter_in(values, arena.bump()).into_bump_slice();
                Value::Struct(arena.alloc(Struct { schema, values }))
            }
        }
    }
}

impl Value<'_> {
    /// A copy that outlives the batch. Checked JSON text is parsed; what cannot be (an integer wider
    /// than 64 bits) is null.
    pub fn to_owned_value(&self) -> OwnedValue {
        match self {
            Value::Null => OwnedValue::Null,
            Value::Boolean(value) => OwnedValue::Boolean(*value),
            Value::Int8(value) => OwnedValue::Int8(*value),
            Value::Int16(value) => OwnedValue::Int16(*value),
            Value::Int32(value) => OwnedValue::Int32(*value),
            Value::Int64(value) => OwnedValue::Int64(*value),
            Value::Float32(value) => OwnedValue::Float32(*value),
            Value::Float64(value) => OwnedValue::Float64(*value),
            Value::Str(text) => OwnedValue::String((*text).into()),
            Value::Bytes(bytes) => OwnedValue::Bytes((*bytes).into()),
            Value::Decimal(decimal) => {
                OwnedValue::Decimal { unscaled: decimal.unscaled.into(), scale: decimal.scale }
            }
            Value::Date(days) => OwnedValue::Date(*days),
            Value::Time(millis) => OwnedValue::Time(*millis),
            Value::Timestamp(millis) => OwnedValue::Timestamp(*millis),
            Value::Array(items) => {
                OwnedValue::Array(items.iter().map(Value::to_owned_value).collect())
            }
            Value::Map(entries) => OwnedValue::Map(
                entries
                    .iter()
                    .map(|(key, value)| (key.to_owned_value(), value.to_owned_value()))
                    .collect(),
            ),
            Value::Struct(value) => OwnedValue::Struct {
                schema: value.schema.clone().into(),
                fields: value.values.iter().map(Value::to_owned_value).collect(),
            },
            Value::Json(text) => {
                let arena = Arena::new();
                parse_text(text, &arena).map_or(OwnedValue::Null, |value| value.to_owned_value())
            }
        }
    }
}
