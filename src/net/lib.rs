//! The runtime layer: executors, sockets, TLS, timers and files of a data core, and an HTTP/1.1 client.
//!
//! glommio's types stay inside [`rt`]; every other room sees only what stands here, so that another
//! engine can take its place per core.
//!
//! Mailboxes between threads are plain bounded `flume` channels: they wake std, tokio and glommio
//! threads alike, so nothing of our own stands around them. Whole batches and commands cross, never
//! records.

pub mod http;
pub mod names;
pub mod offload;
pub mod rt;
pub mod tls;
