//! A JSON payload into typed values, by the schema of its envelope.
//!
//! Coercions are those of `JsonConverter`: a number's field given something else is 0, a string's
//! given something else is null, integers narrow by dropping high bits; only logical types check.

use super::parse::{Reader, last_wins};
use super::scalars::node_type;
use crate::converter::DataError;
use crate::data::{
    DATE_NAME, DECIMAL_NAME, Schema, SchemaType, Struct, TIME_NAME, TIMESTAMP_NAME, Value,
    null_in_vain,
};

/// Reads the value at hand. The schema must outlive the arena's batch.
pub(crate) fn read<'a>(
    schema: &'a Schema,
    reader: &mut Reader<'a>,
    replace_null_with_default: bool,
) -> Result<Value<'a>, DataError> {
    reader.scan.space();
    Typed { reader, replace_null_with_default }.value(schema)
}

struct Typed<'r, 'a> {
    reader: &'r mut Reader<'a>,
    replace_null_with_default: bool,
}

impl<'a> Typed<'_, 'a> {
    fn null(&self, schema: &'a Schema) -> Result<Value<'a>, DataError> {
        match &schema.default {
            Some(default) if self.replace_null_with_default => {
                Ok(default.to_value(self.reader.arena))
            }
            _ if schema.optional => Ok(Value::Null),
            _ => Err(DataError::new(format!(
                "Invalid null value for required {} field",
                schema.type_.name()
            ))),
        }
    }

    fn value(&mut self, schema: &'a Schema) -> Result<Value<'a>, DataError> {
        if self.reader.scan.peek() == b'n' {
            self.reader.skip()?;
            return self.null(schema);
        }
        match schema.name.as_deref() {
            Some(DECIMAL_NAME) => return self.reader.decimal(schema),
            Some(name @ (DATE_NAME | TIME_NAME | TIMESTAMP_NAME)) => return self.reader.date(name),
            _ => {}
        }
        use SchemaType as T;
        Ok(match schema.type_ {
            T::Int8 => Value::Int8(self.reader.long()? as i8),
            T::Int16 => Value::Int16(self.reader.long()? as i16),
            T::Int32 => Value::Int32(self.reader.long()? as i32),
            T::Int64 => Value::Int64(self.reader.long()?),
            T::Float32 => Value::Float32(self.reader.float()?),
            T::Float64 => Value::Float64(self.reader.float()?),
            T::Boolean => {
                let yes = self.reader.scan.peek() == b't';
                self.reader.skip()?;
                Value::Boolean(yes)
            }
            T::String => self.reader.text()?.map_or(Value::Null, Value::Str),
            T::Bytes => match self.reader.text()? {
                Some(text) => Value::Bytes(self.reader.binary(text)?),
                None => Value::Null,
            },
            T::Array => self.array(schema)?,
            T::Map => self.map(schema)?,
            T::Struct => self.struct_(schema)?,
        })
    }

    fn array(&mut self, schema: &'a Schema) -> Result<Value<'a>, DataError> {
        let items = element(&schema.value_schema)?;
        match self.reader.scan.peek() {
            b'[' => {}
            // To Jackson the items of an object are its members' values.
            b'{' => return self.member_values(items),
            _ => {
                self.reader.skip()?;
                return Ok(Value::Array(&[]));
            }
        }
        let mut values = self.reader.arena.vec();
        let mut more = self.reader.enter_array()?;
        while more {
            values.push(self.value(items)?);
            more = self.reader.more_items()?;
        }
        Ok(Value::Array(values.into_bump_slice()))
    }

    fn member_values(&mut self, items: &'a Schema) -> Result<Value<'a>, DataError> {
        let mut entries = self.reader.arena.vec();
        let mut more = self.reader.enter_object()?;
        while more {
            let key = self.reader.name()?;
            entries.push((Value::Str(key), self.value(items)?));
            more = self.reader.more_members()?;
        }
        last_wins(&mut entries);
        let mut values = self.reader.arena.vec();
        values.extend(entries.iter().map(|(_, value)| *value));
        Ok(Value::Array(values.into_bump_slice()))
    }

    fn map(&mut self, schema: &'a Schema) -> Result<Value<'a>, DataError> {
        let keys = element(&schema.key_schema)?;
        let values = element(&schema.value_schema)?;
        let byte = self.reader.scan.peek();
        let mut entries = self.reader.arena.vec();
        if keys.type_ == SchemaType::String {
            if byte != b'{' {
                return Err(DataError::new(format!(
                    "Maps with string fields should be encoded as JSON objects, but found {}",
                    node_type(byte)
                )));
            }
            let mut more = self.reader.enter_object()?;
            while more {
                let key = self.reader.name()?;
                entries.push((Value::Str(key), self.value(values)?));
                more = self.reader.more_members()?;
            }
            last_wins(&mut entries);
            return Ok(Value::Map(entries.into_bump_slice()));
        }
        if byte != b'[' {
            return Err(DataError::new(format!(
                "Maps with non-string fields should be encoded as JSON array of tuples, but found \
                 {}",
                node_type(byte)
            )));
        }
        let mut more = self.reader.enter_array()?;
        while more {
            entries.push(self.tuple(keys, values)?);
            more = self.reader.more_items()?;
        }
        last_wins(&mut entries);
        Ok(Value::Map(entries.into_bump_slice()))
    }

    fn tuple(
        &mut self,
        keys: &'a Schema,
        values: &'a Schema,
    ) -> Result<(Value<'a>, Value<'a>), DataError> {
        let byte = self.reader.scan.peek();
        if byte != b'[' {
            return Err(DataError::new(format!(
                "Found invalid map entry instead of array tuple: {}",
                node_type(byte)
            )));
        }
        let mut tuple = (Value::Null, Value::Null);
        let mut length = 0;
        let mut more = self.reader.enter_array()?;
        while more {
            length += 1;
            match length {
                1 => tuple.0 = self.value(keys)?,
                2 => tuple.1 = self.value(values)?,
                _ => {
                    self.reader.skip()?;
                }
            }
            more = self.reader.more_items()?;
        }
        if length != 2 {
            return Err(DataError::new(format!(
                "Found invalid map entry, expected length 2 but found :{length}"
            )));
        }
        Ok(tuple)
    }

    fn struct_(&mut self, schema: &'a Schema) -> Result<Value<'a>, DataError> {
        let byte = self.reader.scan.peek();
        if byte != b'{' {
            return Err(DataError::new(format!(
                "Structs should be encoded as JSON objects, but found {}",
                node_type(byte)
            )));
        }
        let arena = self.reader.arena;
        let values = arena.bump().alloc_slice_fill_copy(schema.fields.len(), Value::Null);
        let present = arena.bump().alloc_slice_fill_copy(schema.fields.len(), false);
        // Writers mostly keep the schema's order, so the next field is tried first.
        let mut next = 0;
        let mut more = self.reader.enter_object()?;
        while more {
            match self.reader.field(schema, next)? {
                None => {
                    self.reader.skip()?;
                }
                Some(at) => {
                    let field = &schema.fields[at];
                    let value = self.value(&field.schema)?;
                    if let Some(type_) = null_in_vain(&field.schema, value) {
                        return Err(DataError::new(format!(
                            "Invalid value: null used for required field: \"{}\", schema type: {}",
                            field.name,
                            type_.name()
                        )));
                    }
                    (values[at], present[at], next) = (value, true, at + 1);
                }
            }
            more = self.reader.more_members()?;
        }
        for (at, field) in schema.fields.iter().enumerate() {
            if !present[at] {
                values[at] = self.null(&field.schema)?;
            }
        }
        Ok(Value::Struct(arena.alloc(Struct { schema, values })))
    }
}

fn element(schema: &Option<std::sync::Arc<Schema>>) -> Result<&Schema, DataError> {
    schema.as_deref().ok_or_else(|| DataError::new("The schema names no element type"))
}
