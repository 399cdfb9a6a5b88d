//! JSON under schemas of a registry: `JsonSchemaConverter`.
//!
//! A writer's JSON schema is read ([`schema`]) and compiled once ([`to_connect`]) into a flat program
//! beside its Connect schema; [`decode`] runs it over a record's text, and [`exact`] tells where the
//! text may go to a sink of JSON as it is. The other way a Connect schema becomes the text of a JSON
//! schema ([`from_connect`]) and a plan ([`encode`]). [`validate`] is for those who ask for it.

mod all_of;
mod anything;
mod compatible;
mod config;
mod converter;
mod decode;
mod encode;
mod exact;
mod from_connect;
mod indent;
mod java_order;
mod names;
mod program;
mod references;
mod rules;
mod schema;
mod to_connect;
mod union;
mod validate;

pub use config::{JsonSchemaConverterConfig, JsonSchemaDataConfig};
pub use converter::JsonSchemaConverter;
