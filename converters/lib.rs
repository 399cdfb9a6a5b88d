//! Serialised bytes to Connect data and back: no IO, no async, no clock.
//!
//! [`data`] is the model that converters, transforms and connectors share: a [`Value`] borrows from
//! the fetched batch or from the batch's [`Arena`], and a whole batch is dropped by resetting the
//! arena. [`converter`] is the contract of a converter; each module beside it implements one family.

pub mod arena;
pub mod avro;
pub mod byte_array;
pub mod charset;
pub mod converter;
pub mod data;
mod digits;
mod growing;
pub mod header;
pub mod java_text;
pub mod json;
pub mod json_schema;
pub mod json_text;
pub mod number;
pub mod number_text;
mod owned;
pub mod prefetch;
pub mod protobuf;
pub mod registry;
mod registry_plans;
mod slabs;
pub mod string;
#[cfg(test)]
mod test_rig;
mod unfit;
pub mod values;
mod values_parser;
mod variant;
mod varint;

pub use arena::{Arena, KeptAt};
pub use converter::{Converter, DataError, HeaderConverter};
pub use data::{Decimal, Field, Schema, SchemaAndValue, SchemaType, Struct, Value};
pub use json_text::{Edit, JsonText};
