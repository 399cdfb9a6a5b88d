//! The HTTP ingest source: what clients POST goes to Kafka, and they hear when Kafka has it.
//!
//! 1. `listener.rs` accepts connections on a socket that all tasks share (`SO_REUSEPORT`: the kernel
//!    spreads connections over them) and runs one task of the core for each.
//! 2. `routing.rs` decides by the head alone: topic, key, headers, format, or a refusal.
//! 3. The body is taken if there is room for it (`desk.rs` counts the bytes of all requests that are not
//!    answered), and `body.rs` checks it and finds its records. A bad one is refused as a whole.
//! 4. The worker's next poll (`task.rs`) copies the bodies into its arena and sends their records.
//! 5. When Kafka has acknowledged every record of a request, it is answered 200.
//!
//! A request that was answered 200 is in Kafka. One that was answered otherwise, or not at all, may be:
//! clients send it again, and records may come twice.
//!
//! | status | meaning |
//! |---|---|
//! | 200 | `{"count":N}`: Kafka has all N records |
//! | 400 | not HTTP, or a record is no JSON: `{"error":…,"record":line,"byte":offset}`; nothing was sent |
//! | 401 | the credentials are wrong or missing |
//! | 403, 404, 405 | the topic may not be written to; no such path; not a POST |
//! | 408 | head or body took longer than allowed |
//! | 411, 415 | no length; a type or coding that is not taken |
//! | 413, 431 | body, record or number of records too large; head too large |
//! | 422 | a transform or converter refused records, and `errors.tolerance` dropped them |
//! | 429 | too much is on its way to Kafka already: `Retry-After` |
//! | 503 | Kafka has not acknowledged in time, or the task is stopping: `Retry-After` |

mod body;
mod config;
mod desk;
mod listener;
mod routing;
mod task;
#[cfg(test)]
mod tests;

use millrace_api::connector::{ConnectorPlugin, ExactlyOnceSupport, NewTask, SameConfigForAll};

pub use task::HttpIngestSourceTask;

/// `millrace.HttpIngestSourceConnector`.
pub const SOURCE: ConnectorPlugin = ConnectorPlugin {
    class: "millrace.HttpIngestSourceConnector",
    task_class: "millrace.HttpIngestSourceTask",
    also: &["HttpIngestSource", "HttpIngest"],
    version: env!("CARGO_PKG_VERSION"),
    config_def: config::config_def,
    validate: config::validate,
    connector: || {
        // A client that got no answer sends again what may be in Kafka already.
        Box::new(SameConfigForAll::new(None).with_exactly_once(ExactlyOnceSupport::Unsupported))
    },
    task: NewTask::Source(|| Box::new(HttpIngestSourceTask::default())),
};
