//! The control plane: which connectors and tasks run, with which configuration.
//!
//! [`state`] decides, [`standalone`] carries out; everybody else talks through [`requests::Mailbox`].

pub mod assignor;
pub mod config_infos;
pub mod config_providers;
pub mod connect_protocol;
pub mod connector_config;
mod connector_thread;
mod context;
mod cores;
pub mod distributed;
mod distributed_config;
pub mod file_offset_store;
pub mod internal_requests;
mod jaas_file;
pub mod java_object;
pub mod listeners;
pub mod membership;
pub mod metrics;
mod offset_requests;
pub mod properties;
mod redaction;
pub mod requests;
mod resolving;
pub mod rest_security;
pub mod sink_offsets;
pub mod source_offsets;
pub mod stage;
pub mod standalone;
pub mod state;
pub mod stores;
mod task_bounds;
mod task_runner;
pub mod validation;
mod validation_queue;
pub mod worker_config;

#[cfg(test)]
mod rig;

pub use context::{HerderContext, HerderHandle, LoggerLevels};
/// What a caller of the mailbox needs of other rooms.
pub use millrace_api as api;
/// TLS, as REST speaks it.
pub mod tls {
    pub use millrace_net::tls::{TlsConfig, TlsOptions};
    pub use millrace_net::tls_server::ServerTls;
}
pub use distributed::DistributedHerder;
pub use millrace_worker::command;
pub use millrace_worker::metrics as measured;
pub use standalone::StandaloneHerder;
pub use task_runner::TaskRunner;
