//! Looks at the cores now and then, from a thread of its own, and replaces those that are lost.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::command::Command;
use crate::placement::{Cause, Loss, MOST_LOST, Placement};

/// The placement, shared with the control plane; locked for moments, never while a mailbox is full.
pub(crate) type Shared = Arc<Mutex<Placement>>;

pub(crate) fn open(shared: &Shared) -> MutexGuard<'_, Placement> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread; ends when this is dropped.
pub(crate) struct Watchdog {
    stop: Option<flume::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Looks within the longest time that a task may hold its core; and their bounds.
const LOOKS: u32 = 8;
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(1);
/// How long a full mailbox is waited for before it is looked up again: it may have been replaced.
const FULL: Duration = Duration::from_millis(100);

impl Watchdog {
    pub(crate) fn start(shared: &Shared, max_block: Option<Duration>) -> std::io::Result<Self> {
        let (stop, stopped) = flume::bounded::<()>(1);
        let shared = Arc::clone(shared);
        let tick = max_block.map_or(LONGEST, |limit| (limit / LOOKS).clamp(SHORTEST, LONGEST));
        let watch = move || {
            let mut last = Instant::now();
            while stopped.recv_timeout(tick) == Err(flume::RecvTimeoutError::Timeout) {
                let now = Instant::now();
                // While the whole process stood still nobody held a core.
                let passed = (now - last).min(2 * tick);
                last = now;
                round(&shared, passed);
            }
        };
        let thread = std::thread::Builder::new().name("watchdog".to_owned()).spawn(watch)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn round(shared: &Shared, passed: Duration) {
    let (losses, reports) = {
        let mut placement = open(shared);
        let mut losses = Vec::new();
        for (at, cause) in placement.look(passed) {
            losses.extend(replace(&mut placement, at, &cause));
        }
        (losses, placement.reports().clone())
    };
    for Loss { deliveries, reports: said, what } in losses {
        tracing::error!("a core is lost and replaced: {what}");
        for (at, command) in deliveries {
            deliver(shared, at, command);
        }
        for report in said {
            // A state must arrive; the herder takes what there is, or is gone.
            let _ = reports.send(report);
        }
    }
}

fn replace(placement: &mut Placement, at: usize, cause: &Cause) -> Option<Loss> {
    if *cause != Cause::Died && !placement.has_room() {
        let why = format!("{MOST_LOST} threads of lost cores have not ended yet");
        placement.tell(at, cause, &why);
        return None;
    }
    match placement.replace(at, cause) {
        Ok(loss) => Some(loss),
        Err(error) => {
            placement.tell(at, cause, &format!("no other core can be started: {error}"));
            None
        }
    }
}

/// Puts a command into the mailbox of the core at that place, whichever that is by then; waits as long
/// as it is full. The lock is not held meanwhile: a core that never reads will be replaced.
pub(crate) fn deliver(shared: &Shared, at: usize, command: Command) {
    let mut command = command;
    loop {
        let Some(mailbox) = open(shared).mailbox(at).cloned() else { return };
        match mailbox.send_timeout(command, FULL) {
            Err(flume::SendTimeoutError::Timeout(back)) => command = back,
            Ok(()) | Err(flume::SendTimeoutError::Disconnected(_)) => return,
        }
    }
}
