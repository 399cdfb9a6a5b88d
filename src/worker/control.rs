//! What a core tells a running task, seen by the task between two batches.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Shared between the core's command loop and one task. Plain cells: both live on one core.
#[derive(Default)]
pub(crate) struct Control {
    stop: Cell<bool>,
    pause: Cell<bool>,
    stop_by: Cell<Option<Instant>>,
}

impl Control {
    pub(crate) fn new(paused: bool) -> Rc<Self> {
        let control = Rc::new(Self::default());
        control.pause.set(paused);
        control
    }

    /// Asks the task to end; what is not durable after `grace` is left to the next run.
    pub(crate) fn stop(&self, grace: Duration) {
        self.stop.set(true);
        self.stop_by.set(Some(Instant::now() + grace));
    }

    pub(crate) fn stopping(&self) -> bool {
        self.stop.get()
    }

    /// The time that is left to end in.
    pub(crate) fn grace_left(&self) -> Duration {
        self.stop_by
            .get()
            .map_or(Duration::from_secs(5), |by| by.saturating_duration_since(Instant::now()))
    }

    pub(crate) fn pause(&self, paused: bool) {
        self.pause.set(paused);
    }

    pub(crate) fn paused(&self) -> bool {
        self.pause.get()
    }

    /// Sleeps, but wakes early when the task is to stop. `false` if it is.
    pub(crate) async fn sleep(&self, duration: Duration) -> bool {
        let until = Instant::now() + duration;
        while !self.stopping() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            millrace_net::rt::sleep(left.min(HEARING)).await;
        }
        false
    }
}

/// How long a task may be deaf to its core.
pub(crate) const HEARING: Duration = Duration::from_millis(100);
