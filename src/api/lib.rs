//! The plug-in contract: the only room that a connector's author must read.
//!
//! A connector is a [`connector::ConnectorPlugin`]: a class name, a [`config_def::ConfigDef`], a
//! [`connector::Connector`] that plans, and a [`sink::SinkTask`] or [`source::SourceTask`] that moves
//! records. A transform or predicate is a plug-in of [`transformation`]. [`plugin::Plugins`] is the
//! list that the worker resolves class names and aliases in.

pub mod builtin_converters;
pub mod config_def;
pub mod connector;
pub mod error;
pub mod plugin;
pub mod record;
mod registry_converters;
pub mod sink;
pub mod source;
pub mod table;
pub mod transformation;

pub use millrace_converters as converters;

/// A connector's, task's or plug-in's settings as the user wrote them, prefix stripped.
pub type Config = std::collections::BTreeMap<String, String>;

/// A boxed future of the task's core; one per call at a batch's edge, never per record.
pub type LocalFuture<'a, T> = std::pin::Pin<Box<dyn std::future::Future<Output = T> + 'a>>;
