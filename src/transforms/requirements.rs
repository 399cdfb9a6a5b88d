//! What transforms share: which side they work on, what they demand of it, and null or default.

use std::rc::Rc;

use millrace_api::config_def::{ConfigKey, DefaultValue, Importance, Type, split_list};
use millrace_api::record::Record;
use millrace_api::transformation::{Reads, Side, Sought};
use millrace_converters::data::null_in_vain;
use millrace_converters::json::sought::Taken;
use millrace_converters::json::{find_path, parse_checked};
use millrace_converters::{
    Arena, DataError, Field, JsonText, Schema, SchemaAndValue, SchemaType, Struct, Value,
};

/// Entries of a schemaless map.
pub type Entries<'a> = &'a [(Value<'a>, Value<'a>)];

/// The key `replace.null.with.default`.
pub const REPLACE_NULL: &str = "replace.null.with.default";

pub fn replace_null_key() -> ConfigKey {
    ConfigKey::new(
        REPLACE_NULL,
        Type::Boolean,
        DefaultValue::Of("true"),
        Importance::Medium,
        "Whether to replace fields that have a default value and that are null to the default \
         value. When set to true, the default value is used, otherwise null is used.",
    )
}

/// The datum of that side; JSON text that says `null` is null.
#[inline]
pub fn datum<'a>(record: &Record<'a>, side: Side) -> SchemaAndValue<'a> {
    let datum = match side {
        Side::Key => record.key,
        Side::Value => record.value,
    };
    match is_null(&datum.value) {
        true => SchemaAndValue { value: Value::Null, ..datum },
        false => datum,
    }
}

/// Null, or JSON text that says so.
#[inline]
pub fn is_null(value: &Value<'_>) -> bool {
    match value {
        Value::Null => true,
        Value::Json(text) => text.src.first() == Some(&b'n') && text.edits.is_empty(),
        _ => false,
    }
}

/// The record with another datum on that side.
#[inline]
pub fn with_datum<'a>(
    mut record: Record<'a>,
    side: Side,
    schema: Option<&'a Schema>,
    value: Value<'a>,
) -> Record<'a> {
    put_datum(&mut record, side, schema, value);
    record
}

/// Another datum on that side.
#[inline]
pub fn put_datum<'a>(
    record: &mut Record<'a>,
    side: Side,
    schema: Option<&'a Schema>,
    value: Value<'a>,
) {
    let datum = SchemaAndValue { schema, value };
    match side {
        Side::Key => record.key = datum,
        Side::Value => record.value = datum,
    }
}

/// A transform that looks at one side only.
pub fn reads(side: Side) -> Reads {
    Reads { key: side == Side::Key, value: side == Side::Value, headers: false }
}

/// `Requirements.requireMap`.
#[inline]
pub fn require_map<'a>(
    value: Value<'a>,
    purpose: &str,
    arena: &'a Arena,
) -> Result<Entries<'a>, DataError> {
    match value {
        Value::Map(entries) => Ok(entries),
        Value::Json(text) if text.src.first() == Some(&b'{') => {
            match millrace_converters::json::parse_text(text, arena)? {
                Value::Map(entries) => Ok(entries),
                other => Err(not_a_map(other, purpose)),
            }
        }
        other => Err(not_a_map(other, purpose)),
    }
}

#[cold]
fn not_a_map(value: Value<'_>, purpose: &str) -> DataError {
    let class = value.java_class();
    DataError::new(format!(
        "Only Map objects supported in absence of schema for [{purpose}], found: {class}"
    ))
}

/// `Requirements.requireStruct`.
#[inline]
pub fn require_struct<'a>(value: Value<'a>, purpose: &str) -> Result<&'a Struct<'a>, DataError> {
    if let Value::Struct(data) = value {
        return Ok(data);
    }
    let class = value.java_class();
    Err(DataError::new(format!("Only Struct objects supported for [{purpose}], found: {class}")))
}

/// `Struct.get` (the field's default for null) or, without `replace_null`,
/// `Struct.getWithoutDefault`.
#[inline]
pub fn field_value<'a>(
    data: &Struct<'a>,
    index: usize,
    replace_null: bool,
    arena: &'a Arena,
) -> Value<'a> {
    match data.values.get(index) {
        Some(Value::Null) | None if replace_null => {
            match data.schema.fields.get(index).and_then(|field| field.schema.default.as_ref()) {
                Some(default) => default.to_value(arena),
                None => Value::Null,
            }
        }
        Some(value) => *value,
        None => Value::Null,
    }
}

/// `Requirements.requireStruct` where null is as good.
pub fn require_struct_or_null<'a>(
    value: Value<'a>,
    purpose: &str,
) -> Result<Option<&'a Struct<'a>>, DataError> {
    match value {
        Value::Null => Ok(None),
        value => require_struct(value, purpose).map(Some),
    }
}

/// What `Struct.put` says of null in a required field.
#[inline]
pub fn required(value: Value<'_>, field: &Field) -> Result<(), DataError> {
    let Some(type_) = null_in_vain(&field.schema, value) else { return Ok(()) };
    Err(DataError::new(format!(
        "Invalid value: null used for required field: \"{}\", schema type: {}",
        field.name,
        type_.name()
    )))
}

/// What `Schema.fields()` says where there are none to be had.
pub fn fields(schema: &Schema) -> Result<&[Field], DataError> {
    match schema.type_ {
        SchemaType::Struct => Ok(&schema.fields),
        _ => Err(DataError::new("Cannot list fields on non-struct type")),
    }
}

/// `NonEmptyListValidator`.
pub fn non_empty_list(text: &str) -> Result<(), String> {
    if split_list(text).is_empty() { Err("Empty list".to_owned()) } else { Ok(()) }
}

/// A vector in the arena with room for that many.
#[inline]
pub fn room_for<T>(capacity: usize, arena: &Arena) -> bumpalo::collections::Vec<'_, T> {
    bumpalo::collections::Vec::with_capacity_in(capacity, arena.bump())
}

/// The value under that name; null if there is none.
#[inline]
pub fn entry<'a>(map: &[(Value<'a>, Value<'a>)], name: &str) -> Value<'a> {
    map.iter().find(|(key, _)| key.as_str() == Some(name)).map_or(Value::Null, |(_, value)| *value)
}

/// Those top-level members of a JSON object, to be looked for.
pub fn members_sought(names: &[String]) -> Rc<Sought> {
    Rc::new(Sought::new(names.iter().map(|name| vec![name.clone()]).collect(), Vec::new()))
}

/// The value of a member of a JSON object, null if there is none; its number in what was sought, and its
/// name.
#[inline]
pub fn member<'a>(
    text: &JsonText<'a>,
    taken: Option<&Taken<'a>>,
    (at, name): (usize, &str),
    arena: &'a Arena,
) -> Result<Value<'a>, DataError> {
    let found = match taken {
        Some(taken) => taken.value(at).map(|text| parse_checked(text, arena)).transpose()?,
        None => find_path(text, &[name], arena)?,
    };
    Ok(found.unwrap_or_default())
}

/// Sets the entry of that name where it is, or at the end.
#[inline]
pub fn put<'a>(
    map: &mut bumpalo::collections::Vec<'a, (Value<'a>, Value<'a>)>,
    name: &'a str,
    value: Value<'a>,
) {
    match map.iter_mut().find(|(key, _)| key.as_str() == Some(name)) {
        Some((_, place)) => *place = value,
        None => map.push((Value::Str(name), value)),
    }
}
