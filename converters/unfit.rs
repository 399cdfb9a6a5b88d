//! What is said of a value that does not fit the schema that it is to be written with.

use crate::DataError;
use crate::data::{SchemaType, Value};

/// The same error, with the field's name before what is said.
#[cold]
pub(crate) fn in_field(error: DataError, name: &str) -> DataError {
    DataError { message: format!("{name}: {}", error.message), ..error }
}

/// An array or a map of a schema that does not say of what.
#[cold]
pub(crate) fn incomplete() -> DataError {
    DataError::new("the schema lacks its element's schema")
}

#[cold]
pub(crate) fn invalid(type_: SchemaType, value: Value<'_>) -> DataError {
    DataError::new(format!("Invalid type for {}: class {}", type_.name(), value.java_class()))
}
