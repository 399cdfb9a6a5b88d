//! Variants: values of JSON's kinds as two byte strings, the binary encoding of Parquet and Iceberg.
//!
//! The metadata has the names of all objects in the value, each once; the value refers to them by
//! number. A byte in front of each value says its basic type in the low two bits, and what that type
//! needs to know in the others. Numbers are little-endian. Connect shows both byte strings as the
//! fields of a struct of an agreed name.

mod decode;
mod encode;
#[cfg(test)]
pub(crate) mod variant_tests;

use std::sync::Arc;

pub(crate) use decode::write_json;
pub(crate) use encode::encode;

use crate::data::{Field, Schema, SchemaType};

/// The name of the struct that is a Variant.
pub(crate) const VARIANT_NAME: &str = "org.apache.kafka.connect.data.Variant";
pub(crate) const METADATA: &str = "metadata";
pub(crate) const VALUE: &str = "value";

/// The only version of the metadata, in the low four bits of its first byte.
const VERSION: u8 = 1;

// Basic types.
const PRIMITIVE: u8 = 0;
const SHORT_STRING: u8 = 1;
const OBJECT: u8 = 2;
const ARRAY: u8 = 3;

// Primitive types.
const NULL: u8 = 0;
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const INT8: u8 = 3;
const INT16: u8 = 4;
const INT32: u8 = 5;
const INT64: u8 = 6;
const DOUBLE: u8 = 7;
const DECIMAL4: u8 = 8;
const DECIMAL8: u8 = 9;
const DECIMAL16: u8 = 10;
const DATE: u8 = 11;
const TIMESTAMP: u8 = 12;
const TIMESTAMP_NTZ: u8 = 13;
const FLOAT: u8 = 14;
const BINARY: u8 = 15;
const LONG_STRING: u8 = 16;
const TIME: u8 = 17;
const TIMESTAMP_NANOS: u8 = 18;
const TIMESTAMP_NANOS_NTZ: u8 = 19;
const UUID: u8 = 20;

/// `ConnectVariant.builder().build()`.
pub(crate) fn variant_schema() -> Schema {
    let bytes = Arc::new(Schema::new(SchemaType::Bytes));
    let field = |name: &str| Field { name: name.into(), schema: Arc::clone(&bytes) };
    Schema::struct_of(vec![field(METADATA), field(VALUE)]).named(VARIANT_NAME)
}

/// Where the metadata and the value stand in a struct of that schema.
pub(crate) fn places(schema: &Schema) -> Option<(usize, usize)> {
    let place = |name: &str| {
        let (at, field) = schema.field(name)?;
        (field.schema.type_ == SchemaType::Bytes).then_some(at)
    };
    Some((place(METADATA)?, place(VALUE)?))
}
