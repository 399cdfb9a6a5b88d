//! Avro in the registry's wire format: `AvroConverter`.
//!
//! A writer's schema is compiled once ([`to_connect`]) into a program, which reads a record straight
//! into borrowed values ([`decode`]) or straight into JSON text ([`to_json`]; where its records allow
//! it, by a list of steps without calls: [`flat`]). The other way a Connect schema becomes an Avro
//! schema's text ([`from_connect`]) and a plan ([`encode`]).

mod annotations;
mod compatible;
mod config;
mod converter;
mod decode;
mod defaults;
mod encode;
mod encode_plan;
mod flat;
mod flat_json;
mod from_connect;
mod input;
mod names;
mod program;
mod schema;
mod to_connect;
mod to_json;

pub use config::{AvroConverterConfig, AvroDataConfig};
pub use converter::AvroConverter;
