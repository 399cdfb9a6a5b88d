//! The epoll engine: what a core runs on where io_uring is forbidden.
//!
//! One thread, one epoll instance, two lanes of ready tasks. A turn of the loop asks the kernel what has
//! happened (waiting only if nothing is ready), then runs tasks until their time is over:
//!
//! - `executor`: the loop, spawning, the core's end;
//! - `lanes`: ready tasks, and which lane's turn it is;
//! - `remote`: wake-ups from other threads, by an eventfd;
//! - `reactor`: the epoll instance and who waits for which socket;
//! - `timers`: who waits for which time;
//! - `tcp`: sockets.
//!
//! Tasks are async-task's, the task of the smol executors: one allocation each, and glommio's own were
//! made after it. Kernel calls are rustix's, which makes them safe to write.

mod executor;
mod lanes;
mod reactor;
mod remote;
mod tcp;
mod timers;

pub(super) use executor::{run, sleep, spawn, spawn_urgent, yield_if_needed};
pub(super) use tcp::{TcpListener, TcpStream};

pub(super) type Task<T> = async_task::Task<T>;
