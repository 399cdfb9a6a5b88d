//! Data under a schema that allows anything, and members that a schema allows without naming them: as
//! Variants.

use super::decode::{Around, Decoder, broken};
use super::names::ADDITIONAL;
use super::program::Record;
use crate::arena::added;
use crate::converter::DataError;
use crate::data::{Decimal, Schema, Struct, Value};
use crate::json::{Kind, last_wins};
use crate::number_text::BigDecimal;
use crate::unfit::in_field;
use crate::variant::{encode, places};

/// Most characters of a number, as Jackson has it.
const NUMBER: usize = 1000;

impl<'a> Decoder<'a, '_> {
    /// The value at hand as a struct of that schema.
    #[inline(never)]
    pub fn variant(&mut self, schema: &'a Schema, into: &mut Value<'a>) -> Result<(), DataError> {
        let arena = self.reader.arena;
        let mut value = Value::Null;
        self.anything(&mut value)?;
        let (metadata, value) = encode(value, arena)?;
        let (metadata_at, value_at) = places(schema).ok_or_else(|| {
            DataError::new(
                "A Variant's schema must be a struct with BYTES fields metadata and value",
            )
        })?;
        let values = arena.bump().alloc_slice_fill_copy(schema.fields.len(), Value::Null);
        values[metadata_at] = Value::Bytes(metadata);
        values[value_at] = Value::Bytes(value);
        *into = Value::Struct(arena.alloc(Struct { schema, values }));
        Ok(())
    }

    /// The value at hand, its numbers as Jackson's nodes have them.
    fn anything(&mut self, into: &mut Value<'a>) -> Result<(), DataError> {
        self.reader.scan.space();
        let arena = self.reader.arena;
        *into = match self.reader.scan.peek() {
            b'{' => {
                self.deeper()?;
                let mut entries = arena.vec();
                let mut more = self.reader.enter_object()?;
                while more {
                    let key = self.reader.name()?;
                    let entry: &mut (Value<'a>, Value<'a>) = added(&mut entries);
                    entry.0 = Value::Str(key);
                    self.anything(&mut entry.1)?;
                    more = self.reader.more_members()?;
                }
                last_wins(&mut entries);
                self.shallower();
                Value::Map(entries.into_bump_slice())
            }
            b'[' => {
                self.deeper()?;
                let mut items = arena.vec();
                let mut more = self.reader.enter_array()?;
                while more {
                    self.anything(added(&mut items))?;
                    more = self.reader.more_items()?;
                }
                self.shallower();
                Value::Array(items.into_bump_slice())
            }
            b'"' => Value::Str(self.reader.string()?),
            b'-' | b'0'..=b'9' => self.any_number()?,
            // A word, or no JSON at all.
            byte => {
                self.reader.skip()?;
                match byte {
                    b't' => Value::Boolean(true),
                    b'f' => Value::Boolean(false),
                    _ => Value::Null,
                }
            }
        };
        Ok(())
    }

    #[inline(never)]
    fn any_number(&mut self) -> Result<Value<'a>, DataError> {
        let (kind, text) = self.reader.number()?.ok_or_else(broken)?;
        if kind == Kind::Integer
            && let Ok(number) = text.parse::<i64>()
        {
            return Ok(i32::try_from(number).map_or(Value::Int64(number), Value::Int32));
        }
        if text.len() > NUMBER {
            let length = text.len();
            return Err(DataError::new(format!(
                "Number value length ({length}) exceeds the maximum allowed ({NUMBER})"
            )));
        }
        let number = BigDecimal::parse(text).ok_or_else(|| {
            DataError::new(format!("Number {text} is out of a BigDecimal's range"))
        })?;
        let arena = self.reader.arena;
        let unscaled = arena.alloc_bytes(&number.unscaled.to_signed_bytes_be());
        Ok(Value::Decimal(arena.alloc(Decimal { unscaled, scale: number.scale })))
    }

    /// Reads the rest of an object whose last field keeps the members that no other one is named
    /// after; at the next member, if there are `more`.
    #[inline(never)]
    pub fn with_others(
        &mut self,
        record: &Record,
        around: &Around<'a, '_>,
        values: &mut [Value<'a>],
        mut more: bool,
    ) -> Result<(), DataError> {
        let schema = around.schema;
        let Some(last) = schema.fields.len().checked_sub(1) else { return Err(broken()) };
        let of = schema.fields[last].schema.value_schema.as_deref().ok_or_else(broken)?;
        let mut others = self.reader.arena.vec();
        while more {
            let key = self.reader.name()?;
            match schema.field(key) {
                Some((at, field)) if at < last => {
                    let op = self.ops.get(record.first + at as u32);
                    self.value(op, &field.schema, Some(around), &mut values[at])
                        .map_err(|error| in_field(error, key))?;
                }
                Some(_) => return Err(collision()),
                None => {
                    let entry: &mut (Value<'a>, Value<'a>) = added(&mut others);
                    entry.0 = Value::Str(key);
                    // Null too: here it is a value like any other.
                    self.variant(of, &mut entry.1).map_err(|error| in_field(error, key))?;
                }
            }
            more = self.reader.more_members()?;
        }
        if !others.is_empty() {
            last_wins(&mut others);
            values[last] = Value::Map(others.into_bump_slice());
        }
        Ok(())
    }
}

#[cold]
fn collision() -> DataError {
    DataError::new(format!(
        "JSON payload contains a property named '{ADDITIONAL}' which collides with the reserved \
         field name for preserve.additional.properties=true. Rename the property in the source data \
         or disable the config."
    ))
}

#[cfg(test)]
#[path = "anything_tests.rs"]
mod tests;
