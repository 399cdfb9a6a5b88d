//! MaskField: fields replaced by an empty value of their type, or by a given one.

use std::sync::Arc;

use millrace_api::Config;
use millrace_api::config_def::{
    ConfigDef, ConfigError, ConfigKey, DefaultValue, Importance, Type, Validator, split_list,
};
use millrace_api::record::Record;
use millrace_api::transformation::{JsonOp, JsonOps, Reads, Side, Transformation};
use millrace_converters::number_text::BigDecimal;
use millrace_converters::{Arena, DataError, Decimal, Schema, Struct, Value};

use crate::requirements::{
    REPLACE_NULL, datum, field_value, put, reads, replace_null_key, require_map, require_struct,
    room_for, with_datum,
};
use crate::schema_cache::SchemaCache;
use crate::sides::sided;

const PURPOSE: &str = "mask fields";

sided!(MaskField, "MaskField");

fn config_def() -> ConfigDef {
    let fields = ConfigKey::new(
        "fields",
        Type::List,
        DefaultValue::Required,
        Importance::High,
        "Names of fields to mask.",
    )
    .check(Validator::Custom(|text| match split_list(text).is_empty() {
        true => Err("Empty list".to_owned()),
        false => Ok(()),
    }));
    let replacement = ConfigKey::new(
        "replacement",
        Type::String,
        DefaultValue::Null,
        Importance::Low,
        "Custom value replacement, that will be applied to all 'fields' values (numeric or \
         non-empty string values only).",
    )
    .check(Validator::NonEmpty);
    ConfigDef::new().define(fields).define(replacement).define(replace_null_key())
}

/// The replacement as each type takes it; numbers are `None` if the text is not one.
struct Replacement {
    text: String,
    number: Option<Number>,
}

struct Number {
    whole: i64,
    float: f32,
    double: f64,
    unscaled: Vec<u8>,
    scale: i32,
}

impl Replacement {
    fn new(text: &str) -> Self {
        let number = BigDecimal::parse(text).map(|decimal| Number {
            whole: decimal.long_value(),
            float: decimal.float_value(),
            double: decimal.double_value(),
            unscaled: decimal.unscaled.to_signed_bytes_be(),
            scale: decimal.scale,
        });
        Self { text: text.to_owned(), number }
    }

    fn number(&self, wanted: &str) -> Result<&Number, DataError> {
        self.number.as_ref().ok_or_else(|| {
            DataError::new(format!(
                "Unable to convert {} (class java.lang.String) to {wanted}",
                self.text
            ))
        })
    }

    /// In place of a value of that type.
    fn of<'a>(&self, value: Value<'a>, arena: &'a Arena) -> Result<Value<'a>, DataError> {
        let number = || self.number("a number");
        Ok(match value {
            Value::Str(_) => Value::Str(arena.alloc_str(&self.text)),
            Value::Int8(_) => Value::Int8(number()?.whole as i8),
            Value::Int16(_) => Value::Int16(number()?.whole as i16),
            Value::Int32(_) => Value::Int32(number()?.whole as i32),
            Value::Int64(_) => Value::Int64(number()?.whole),
            Value::Float32(_) => Value::Float32(number()?.float),
            Value::Float64(_) => Value::Float64(number()?.double),
            Value::Decimal(_) => {
                let number = self.number("number")?;
                let unscaled = arena.alloc_bytes(&number.unscaled);
                Value::Decimal(arena.alloc(Decimal { unscaled, scale: number.scale }))
            }
            other => {
                let class = other.java_class();
                return Err(DataError::new(format!(
                    "Cannot mask value of type class {class} with custom replacement."
                )));
            }
        })
    }
}

/// The empty value of that type.
fn empty(value: Value<'_>) -> Result<Value<'static>, DataError> {
    const ZERO: &Decimal<'static> = &Decimal { unscaled: &[0], scale: 0 };
    Ok(match value {
        Value::Null => Value::Null,
        Value::Boolean(_) => Value::Boolean(false),
        Value::Int8(_) => Value::Int8(0),
        Value::Int16(_) => Value::Int16(0),
        Value::Int32(_) => Value::Int32(0),
        Value::Int64(_) => Value::Int64(0),
        Value::Float32(_) => Value::Float32(0.0),
        Value::Float64(_) => Value::Float64(0.0),
        Value::Str(_) => Value::Str(""),
        Value::Decimal(_) => Value::Decimal(ZERO),
        Value::Date(_) => Value::Date(0),
        Value::Time(_) => Value::Time(0),
        Value::Timestamp(_) => Value::Timestamp(0),
        Value::Array(_) => Value::Array(&[]),
        Value::Map(_) => Value::Map(&[]),
        Value::Bytes(_) | Value::Struct(_) | Value::Json(_) => {
            let class = value.java_class();
            return Err(DataError::new(format!("Cannot mask value of type: class {class}")));
        }
    })
}

struct MaskField {
    side: Side,
    fields: Vec<String>,
    replacement: Option<Replacement>,
    replace_null: bool,
    /// For each field of the schema, whether it is masked.
    schemas: SchemaCache<Arc<[bool]>>,
}

impl MaskField {
    fn configure(config: &Config, side: Side) -> Result<Box<dyn Transformation>, Vec<ConfigError>> {
        let parsed = config_def().parse(config)?;
        let mut fields: Vec<String> = Vec::new();
        for field in parsed.list("fields") {
            if !fields.contains(&field) {
                fields.push(field);
            }
        }
        Ok(Box::new(Self {
            side,
            fields,
            replacement: parsed.get("replacement").map(Replacement::new),
            replace_null: parsed.bool(REPLACE_NULL),
            schemas: SchemaCache::default(),
        }))
    }

    fn apply_schemaless<'a>(
        &self,
        record: Record<'a>,
        value: Value<'a>,
        arena: &'a Arena,
    ) -> Result<Record<'a>, DataError> {
        let entries = require_map(value, PURPOSE, arena)?;
        let mut map = room_for(entries.len() + self.fields.len(), arena);
        map.extend_from_slice_copy(entries);
        for field in &self.fields {
            let name = field.as_str();
            match map.iter_mut().find(|(key, _)| key.as_str() == Some(name)) {
                Some((_, value)) => *value = masked(&self.replacement, *value, arena)?,
                None => put(&mut map, arena.alloc_str(name), Value::Null),
            }
        }
        Ok(with_datum(record, self.side, None, Value::Map(map.into_bump_slice())))
    }

    fn apply_with_schema<'a>(
        &mut self,
        record: Record<'a>,
        schema: &'a Schema,
        value: Value<'a>,
        arena: &'a Arena,
    ) -> Result<Record<'a>, DataError> {
        let data = require_struct(value, PURPOSE)?;
        let fields = &self.fields;
        let mask = self.schemas.get(data.schema, |schema| {
            let names = schema.fields.iter().map(|field| &*field.name);
            Ok::<Arc<[bool]>, DataError>(
                names.map(|name| fields.iter().any(|f| f == name)).collect(),
            )
        })?;
        let mut values = room_for(mask.len(), arena);
        for (index, hidden) in mask.iter().enumerate() {
            let value = field_value(data, index, self.replace_null, arena);
            values.push(if *hidden { masked(&self.replacement, value, arena)? } else { value });
        }
        let data = arena.alloc(Struct { schema: data.schema, values: values.into_bump_slice() });
        Ok(with_datum(record, self.side, Some(schema), Value::Struct(data)))
    }
}

#[inline]
fn masked<'a>(
    replacement: &Option<Replacement>,
    value: Value<'a>,
    arena: &'a Arena,
) -> Result<Value<'a>, DataError> {
    match replacement {
        _ if value.is_null() => Ok(Value::Null),
        None => empty(value),
        Some(replacement) => replacement.of(value, arena),
    }
}

impl Transformation for MaskField {
    fn apply<'a>(
        &mut self,
        record: Record<'a>,
        arena: &'a Arena,
    ) -> Result<Option<Record<'a>>, DataError> {
        let datum = datum(&record, self.side);
        match datum.schema {
            None => self.apply_schemaless(record, datum.value, arena).map(Some),
            Some(schema) => self.apply_with_schema(record, schema, datum.value, arena).map(Some),
        }
    }

    fn json_ops(&self) -> Option<JsonOps> {
        let replacement = self.replacement.as_ref().map(|one| one.text.clone());
        let op = JsonOp::Mask { names: self.fields.clone(), replacement };
        Some(JsonOps { side: self.side, ops: vec![op] })
    }

    fn reads(&self) -> Reads {
        reads(self.side)
    }

    fn class_name(&self) -> &'static str {
        class_of(self.side)
    }
}
