//! One thin layer over two engines: spawn, sockets, timers, files.
//!
//! A core runs on io_uring (glommio, in `uring` alone) or on epoll (`epoll`), by its options. The
//! choice is made once a call, by a match: nothing is dynamic, and no record comes by here.
//!
//! All futures here are of the current core: none is `Send`, none may be polled elsewhere.

mod epoll;
mod exec;
mod file;
mod notify;
mod options;
mod probe;
mod read_file;
mod runtime;
mod sockets;
mod task;
mod tcp;
mod time;
mod uring;
pub(crate) mod watch;

pub use exec::{CoreThread, Task, spawn, spawn_urgent, start_core, yield_if_needed};
pub use file::{AppendFile, create_dir_all, remove_file, rename, sync_dir};
pub use notify::Notify;
pub use options::CoreOptions;
pub use probe::{Missing, probe};
pub use read_file::ReadFile;
pub use runtime::{Decision, RUNTIME_VARIABLE, Runtime, RuntimeChoice};
#[cfg(test)]
pub(crate) use task::on_core;
pub use task::{panic_message, spawn_caught};
pub use tcp::{TcpListener, TcpStream};
pub use time::{Elapsed, sleep, timeout};
pub use watch::{Turn, Watch, given_up};
