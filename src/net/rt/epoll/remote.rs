//! Wake-ups from other threads.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_task::Runnable;
use rustix::event::{EventfdFlags, eventfd};

use super::lanes::Lane;
use crate::account;

/// Where other threads put the tasks of a core that they have woken. A task stands here at most once,
/// which bounds it.
pub(super) struct Remote {
    woken: Mutex<Woken>,
    /// Something is in `woken`: what the core looks at between turns, instead of the lock.
    waiting: AtomicBool,
    /// The core waits in the kernel, or is about to: the bell must be rung.
    parked: AtomicBool,
    bell: OwnedFd,
}

#[derive(Default)]
struct Woken {
    tasks: Vec<(Lane, Runnable)>,
    /// The core has ended.
    closed: bool,
}

impl Remote {
    pub(super) fn new() -> io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            woken: Mutex::default(),
            waiting: AtomicBool::new(false),
            parked: AtomicBool::new(false),
            bell,
        })
    }

    /// What rings when the core is to wake up. It is watched edge-triggered and never read: every
    /// ring is an edge of its own.
    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Nothing panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, Woken> {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a ready task to the core, from another thread.
    pub(super) fn push(&self, lane: Lane, task: Runnable) {
        let mut woken = self.lock();
        if woken.closed {
            // Its future is gone already, since the core's end has dropped it; but a local task must
            // not be dropped on another thread, not even its shell.
            drop(woken);
            std::mem::forget(task);
            return;
        }
        // The core takes this lock, too: nothing may stop this thread while it holds it.
        account::aside(|| woken.tasks.push((lane, task)));
        self.waiting.store(true, Ordering::SeqCst);
        drop(woken);
        // Both sides write their own flag first and then read the other's (sequentially consistent):
        // either the core sees that something waits, or this thread sees that it has parked.
        if self.parked.swap(false, Ordering::SeqCst) {
            // It fails only when the counter is full of rings that nobody read: the core is awake.
            let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Takes what other threads have woken.
    pub(super) fn take(&self, mut each: impl FnMut(Lane, Runnable)) {
        if !self.is_waiting() {
            return;
        }
        let mut woken = self.lock();
        self.waiting.store(false, Ordering::SeqCst);
        for (lane, task) in woken.tasks.drain(..) {
            each(lane, task);
        }
    }

    /// Says that the core is about to wait. `false`: something has come meanwhile, it must not.
    pub(super) fn park(&self) -> bool {
        self.parked.store(true, Ordering::SeqCst);
        if self.is_waiting() {
            self.unpark();
            return false;
        }
        true
    }

    pub(super) fn unpark(&self) {
        self.parked.store(false, Ordering::SeqCst);
    }

    /// The core has ended; gives what was still there.
    pub(super) fn close(&self) -> Vec<(Lane, Runnable)> {
        let mut woken = self.lock();
        woken.closed = true;
        std::mem::take(&mut woken.tasks)
    }
}
