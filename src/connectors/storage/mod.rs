//! What sinks that write objects or files share: formats, compression, partitioners, rotation, names,
//! and the task that puts them together over a [`store::Store`].

pub mod compression;
pub mod config;
pub mod field;
pub mod format;
mod format_json;
pub mod local;
pub mod naming;
mod open_file;
mod partition_writer;
pub mod partitioner;
pub mod path_format;
pub mod rotation;
pub mod sink;
pub mod store;
pub mod timestamp;
pub mod upload;

#[cfg(test)]
mod tests;
