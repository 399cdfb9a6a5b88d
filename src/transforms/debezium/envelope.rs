//! What a change event is, and how Java's `Struct` answers for its fields.

use millrace_converters::{Arena, DataError, Field, Schema, SchemaType, Struct, Value};

use crate::requirements::field_value;

/// A change event's schema is known by its name's end.
pub fn is_envelope(schema: Option<&Schema>) -> bool {
    schema.and_then(|schema| schema.name.as_deref()).is_some_and(|name| name.ends_with(".Envelope"))
}

/// Where Java dereferences what is not there.
#[cold]
pub fn null_pointer(message: String) -> DataError {
    DataError::with_class("java.lang.NullPointerException", message)
}

/// `ConnectException`: not the data's fault, as Debezium sees it.
#[cold]
pub fn connect_exception(message: String) -> DataError {
    DataError::with_class("org.apache.kafka.connect.errors.ConnectException", message)
}

#[cold]
fn no_field(name: &str) -> DataError {
    DataError::new(format!("{name} is not a valid field name"))
}

/// `Struct.schema().field(name)` of a field that must be there.
pub fn field<'s>(schema: &'s Schema, name: &str) -> Result<(usize, &'s Field), DataError> {
    schema.field(name).ok_or_else(|| no_field(name))
}

/// `Struct.get(name)`: the default for null.
pub fn get<'a>(data: &Struct<'a>, name: &str, arena: &'a Arena) -> Result<Value<'a>, DataError> {
    let (index, _) = field(data.schema, name)?;
    Ok(field_value(data, index, true, arena))
}

/// `Struct.getString(name)` and its like: the value as it is, if the field is of that type.
pub fn typed<'a>(data: &Struct<'a>, name: &str, type_: SchemaType) -> Result<Value<'a>, DataError> {
    let (index, field) = field(data.schema, name)?;
    if field.schema.type_ != type_ {
        return Err(DataError::new(format!("Field '{name}' is not of type {}", type_.name())));
    }
    Ok(data.values.get(index).copied().unwrap_or_default())
}

/// `Struct.getString(name)`.
pub fn text<'a>(data: &Struct<'a>, name: &str) -> Result<Option<&'a str>, DataError> {
    Ok(typed(data, name, SchemaType::String)?.as_str())
}
