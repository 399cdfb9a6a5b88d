//! The runtime layer: executors, sockets, TLS, timers and files of a data core, and HTTP/1.1.
//!
//! The engines' types stay inside [`rt`]; every other room sees only what stands here, and runs on
//! io_uring and on epoll alike.
//!
//! Mailboxes between threads are plain bounded `flume` channels: they wake std and tokio threads and
//! cores alike, so nothing of our own stands around them. Whole batches and commands cross, never
//! records.

pub mod account;
pub mod allocator;
pub mod http;
pub mod keystore;
pub mod log_context;
pub mod names;
pub mod offload;
pub mod rt;
pub mod tls;
pub mod tls_server;
