//! Protobuf in the registry's wire format: `ProtobufConverter`.
//!
//! A `.proto` text is read ([`parse`]) and linked with what it imports ([`schema`]). For reading, the
//! message that a record names is compiled once ([`to_connect`]) into tables by field number, which
//! turn the record's bytes into borrowed values ([`decode`]). The other way a Connect schema becomes a
//! `.proto` text ([`from_connect`], [`print`]) and a plan by field names ([`encode_plan`], [`encode`]).

mod compatible;
mod config;
mod converter;
mod decode;
mod decode_value;
mod encode;
mod encode_plan;
mod enums;
mod file;
mod from_connect;
mod indexes;
mod known;
mod lexer;
mod logical;
mod names;
mod options;
mod parse;
mod print;
mod program;
mod references;
mod scalar;
mod schema;
mod to_connect;
mod wire;

pub use config::{ProtobufConverterConfig, ProtobufDataConfig};
pub use converter::ProtobufConverter;
pub use references::{KnownTypes, ReferenceNames};
