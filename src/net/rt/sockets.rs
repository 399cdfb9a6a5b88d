//! A core's open sockets, for the day on which somebody else has to shut them down.

use std::collections::BTreeSet;
use std::net::Shutdown;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::watch::{self, Watch};
use crate::account;

/// Descriptors of one core. Locked when a socket is opened and closed, by the core alone.
#[derive(Default)]
pub(super) struct Sockets(Mutex<Open>);

#[derive(Default)]
struct Open {
    all: BTreeSet<RawFd>,
    shut: bool,
}

impl Sockets {
    fn lock(&self) -> MutexGuard<'_, Open> {
        // What it guards is whole after each statement.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shuts all of them down, in both directions: peers hear the end, listeners take nobody any more,
    /// and whatever is written later fails.
    pub(super) fn shut_down(&self) {
        let mut open = self.lock();
        open.shut = true;
        for &socket in &open.all {
            shut(socket);
        }
    }
}

fn shut(socket: RawFd) {
    // SAFETY: the descriptor is open. It stands in the set from after it was opened until before it is
    // closed (`Socket` is dropped before the socket that it stands for), and it is looked up and used
    // within one lock.
    let socket = unsafe { BorrowedFd::borrow_raw(socket) };
    // One that is not connected says so, which is as good.
    let _ = socket2::SockRef::from(&socket).shutdown(Shutdown::Both);
}

/// A socket's place among its core's. Has to be dropped before the socket is closed: it stands before
/// it in the struct that holds both.
pub(super) struct Socket {
    /// Of its core. Kept, since sockets are also closed while the thread of a core ends.
    watch: Option<Arc<Watch>>,
    socket: RawFd,
}

impl Socket {
    /// Of a socket of this core that was just opened.
    pub(super) fn new(socket: RawFd) -> Self {
        let watch = watch::here();
        if let Some(watch) = &watch {
            // The lock is another thread's, too: nothing may stop this one while it holds it.
            account::aside(|| {
                let mut open = watch.sockets().lock();
                open.all.insert(socket);
                if open.shut {
                    shut(socket);
                }
            });
        }
        Self { watch, socket }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.sockets().lock().all.remove(&self.socket);
        }
    }
}
