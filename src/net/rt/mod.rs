//! One thin layer over the engine: spawn, sockets, timers, files.
//!
//! All futures here are of the current core: none is `Send`, none may be polled elsewhere.

mod exec;
mod file;
mod notify;
mod probe;
mod task;
mod tcp;
mod time;

pub use exec::{CoreOptions, CoreThread, Task, spawn, spawn_urgent, start_core, yield_if_needed};
pub use file::{AppendFile, create_dir_all, remove_file, rename, sync_dir};
pub use notify::Notify;
pub use probe::{Missing, probe};
#[cfg(test)]
pub(crate) use task::on_core;
pub use task::{panic_message, spawn_caught};
pub use tcp::{TcpListener, TcpStream};
pub use time::{Elapsed, sleep, timeout};
