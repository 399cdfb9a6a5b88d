//! The runtime layer: executors, sockets, timers and files of a data core.
//!
//! glommio's types stay inside [`rt`]; every other room sees only what stands here, so that another
//! engine can take its place per core.

pub mod rt;
