//! A JSON payload into typed values, by the schema of its envelope.
//!
//! Coercions are those of `JsonConverter`: a number's field given something else is 0, a string's
//! given something else is null, integers narrow by dropping high bits; only logical types check.

use bumpalo::collections::Vec as BumpVec;

use super::parse::{Reader, last_wins};
use super::scalars::node_type;
use super::typed_plan::{Member, Plan, Width};
use crate::converter::DataError;
use crate::data::{
    DATE_NAME, DECIMAL_NAME, Field, Schema, SchemaType, Struct, TIME_NAME, TIMESTAMP_NAME, Value,
    null_in_vain,
};

/// Reads the value at hand, with the plan of its schema or with none. The schema must outlive the
/// arena's batch.
pub(crate) fn read<'a>(
    plan: &Plan,
    schema: &'a Schema,
    reader: &mut Reader<'a>,
    replace_null_with_default: bool,
) -> Result<Value<'a>, DataError> {
    reader.scan.space();
    Typed { reader, replace_null_with_default }.any(plan, schema)
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

    /// Reads a value.
    #[inline(always)]
    fn any(&mut self, plan: &Plan, schema: &'a Schema) -> Result<Value<'a>, DataError> {
        if let Some(value) = self.quick(plan) {
            return Ok(value);
        }
        let mut value = Value::Null;
        self.value(plan, schema, &mut value)?;
        Ok(value)
    }

    /// A value that goes the plan's short way; never null.
    #[inline(always)]
    fn quick(&mut self, plan: &Plan) -> Option<Value<'a>> {
        match plan {
            Plan::Integer(width) => self.reader.quick_long().map(|number| match width {
                Width::Int8 => Value::Int8(number as i8),
                Width::Int16 => Value::Int16(number as i16),
                Width::Int32 => Value::Int32(number as i32),
                Width::Int64 => Value::Int64(number),
            }),
            Plan::String => self.reader.quick_string().map(Value::Str),
            Plan::Float64 => self.reader.quick_double().map(Value::Float64),
            Plan::Boolean => self.reader.quick_boolean().map(Value::Boolean),
            Plan::Array(_) | Plan::Map(_) | Plan::Struct(_) | Plan::BySchema => None,
        }
    }

    /// Reads a value into its place the general way.
    fn value(
        &mut self,
        plan: &Plan,
        schema: &'a Schema,
        place: &mut Value<'a>,
    ) -> Result<(), DataError> {
        // Behind a literal that ended with a colon there may be some.
        self.reader.scan.space();
        if self.reader.scan.peek() == b'n' {
            if !self.reader.quick_null() {
                self.reader.skip()?;
            }
            *place = self.null(schema)?;
            return Ok(());
        }
        use SchemaType as T;
        *place = match (schema.name.as_deref(), schema.type_) {
            (Some(DECIMAL_NAME), _) => self.reader.decimal(schema)?,
            (Some(name @ (DATE_NAME | TIME_NAME | TIMESTAMP_NAME)), _) => self.reader.date(name)?,
            (_, T::Int8) => Value::Int8(self.reader.long()? as i8),
            (_, T::Int16) => Value::Int16(self.reader.long()? as i16),
            (_, T::Int32) => Value::Int32(self.reader.long()? as i32),
            (_, T::Int64) => Value::Int64(self.reader.long()?),
            (_, T::Float32) => Value::Float32(self.reader.float()?),
            (_, T::Float64) => Value::Float64(self.reader.float()?),
            (_, T::Boolean) => {
                let yes = self.reader.scan.peek() == b't';
                self.reader.skip()?;
                Value::Boolean(yes)
            }
            (_, T::String) => self.reader.text()?.map_or(Value::Null, Value::Str),
            (_, T::Bytes) => match self.reader.text()? {
                Some(text) => Value::Bytes(self.reader.binary(text)?),
                None => Value::Null,
            },
            (_, T::Array) => self.array(plan.items(), schema)?,
            (_, T::Map) => self.map(plan.entries(), schema)?,
            (_, T::Struct) => self.struct_(plan.members(), schema)?,
        };
        Ok(())
    }

    fn array(&mut self, plan: &Plan, schema: &'a Schema) -> Result<Value<'a>, DataError> {
        let items = element(&schema.value_schema)?;
        match self.reader.scan.peek() {
            b'[' => {}
            // To Jackson the items of an object are its members' values.
            b'{' => return self.member_values(plan, items),
            _ => {
                self.reader.skip()?;
                return Ok(Value::Array(&[]));
            }
        }
        if !self.reader.enter_array()? {
            return Ok(Value::Array(&[]));
        }
        let mut values = BumpVec::with_capacity_in(4, self.reader.arena.bump());
        loop {
            values.push(self.any(plan, items)?);
            if !self.reader.quick_comma() && !self.reader.more_items()? {
                return Ok(Value::Array(values.into_bump_slice()));
            }
        }
    }

    fn member_values(&mut self, plan: &Plan, items: &'a Schema) -> Result<Value<'a>, DataError> {
        let mut entries = self.reader.arena.vec();
        let mut more = self.reader.enter_object()?;
        while more {
            let key = self.reader.name()?;
            entries.push((Value::Str(key), self.any(plan, items)?));
            more = self.reader.more_members()?;
        }
        last_wins(&mut entries);
        let mut values = self.reader.arena.vec();
        values.extend(entries.iter().map(|(_, value)| *value));
        Ok(Value::Array(values.into_bump_slice()))
    }

    fn map(&mut self, plans: (&Plan, &Plan), schema: &'a Schema) -> Result<Value<'a>, DataError> {
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
                entries.push((Value::Str(key), self.any(plans.1, values)?));
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
            entries.push(self.tuple(plans, keys, values)?);
            more = self.reader.more_items()?;
        }
        last_wins(&mut entries);
        Ok(Value::Map(entries.into_bump_slice()))
    }

    fn tuple(
        &mut self,
        plans: (&Plan, &Plan),
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
                1 => tuple.0 = self.any(plans.0, keys)?,
                2 => tuple.1 = self.any(plans.1, values)?,
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

    fn struct_(&mut self, members: &[Member], schema: &'a Schema) -> Result<Value<'a>, DataError> {
        let byte = self.reader.scan.peek();
        if byte != b'{' {
            return Err(DataError::new(format!(
                "Structs should be encoded as JSON objects, but found {}",
                node_type(byte)
            )));
        }
        let arena = self.reader.arena;
        let values = arena.bump().alloc_slice_fill_copy(schema.fields.len(), Value::Null);
        let read = match members.first() {
            Some(first) if self.reader.take_first(&first.lead) => {
                self.in_order(members, &schema.fields, values, 0)?
            }
            _ => 0,
        };
        if read == 0 || read < values.len() || !self.reader.take_last() {
            self.in_any_order(members, schema, values, read)?;
        }
        Ok(Value::Struct(arena.alloc(Struct { schema, values })))
    }

    /// Reads the value of a field, which must not be null in vain.
    #[inline(always)]
    fn field(
        &mut self,
        plan: &Plan,
        field: &'a Field,
        place: &mut Value<'a>,
    ) -> Result<(), DataError> {
        if let Some(value) = self.quick(plan) {
            *place = value;
            return Ok(());
        }
        self.value(plan, &field.schema, place)?;
        if let Some(type_) = null_in_vain(&field.schema, *place) {
            return Err(null_in_required(field, type_));
        }
        Ok(())
    }

    /// Reads the value at hand, of that field, and members for as long as they come as the plan has
    /// them: the field that did not.
    fn in_order(
        &mut self,
        members: &[Member],
        fields: &'a [Field],
        values: &mut [Value<'a>],
        from: usize,
    ) -> Result<usize, DataError> {
        let count = members.len().min(fields.len()).min(values.len());
        let (members, fields, values) = (&members[..count], &fields[..count], &mut values[..count]);
        let mut at = from;
        while at < count {
            self.field(&members[at].plan, &fields[at], &mut values[at])?;
            at += 1;
            if at < count && !self.reader.take(&members[at].lead) {
                break;
            }
        }
        Ok(at)
    }

    /// Reads the rest of an object of which `read` members came in order, if any: others may be
    /// missing, unknown or come twice.
    #[inline(never)]
    fn in_any_order(
        &mut self,
        members: &[Member],
        schema: &'a Schema,
        values: &mut [Value<'a>],
        read: usize,
    ) -> Result<(), DataError> {
        let present = self.reader.arena.bump().alloc_slice_fill_with(values.len(), |at| at < read);
        let mut more = match read {
            0 => self.reader.enter_object()?,
            _ => self.reader.more_members()?,
        };
        let mut next = read;
        while more {
            match self.reader.field(schema, next)? {
                None => {
                    self.reader.skip()?;
                }
                Some(at) if members.is_empty() => {
                    self.field(&Plan::BySchema, &schema.fields[at], &mut values[at])?;
                    (present[at], next) = (true, at + 1);
                }
                Some(at) => {
                    // Where one is missing the others mostly come in order again.
                    next = self.in_order(members, &schema.fields, values, at)?;
                    present[at..next].fill(true);
                }
            }
            more = self.reader.more_members()?;
        }
        for (at, field) in schema.fields.iter().enumerate() {
            if !present[at] {
                values[at] = self.null(&field.schema)?;
            }
        }
        Ok(())
    }
}

/// What `Struct.put` says of null in a required field.
#[cold]
fn null_in_required(field: &Field, type_: SchemaType) -> DataError {
    DataError::new(format!(
        "Invalid value: null used for required field: \"{}\", schema type: {}",
        field.name,
        type_.name()
    ))
}

fn element(schema: &Option<std::sync::Arc<Schema>>) -> Result<&Schema, DataError> {
    schema.as_deref().ok_or_else(|| DataError::new("The schema names no element type"))
}
