//! What other threads see of a core, and how they part with one that does not come back.
//!
//! A core says whose future it polls ([`crate::account`]): one plain store before a poll and one after
//! it, none a record. Who looks now and then and finds the same poll again and again knows who holds
//! the core, and for how long; no clock is read on the core.
//!
//! Nothing can stop a thread that runs somebody's loop. It can be given up ([`Watch::give_up`]): its
//! sockets are shut down by whoever gives it up, so that it can neither send nor commit whatever it
//! does when it wakes; tasks that are polled later are not, connections and files are not opened or
//! written any more ([`on_a_living_core`]), and the core's futures are dropped when its main future
//! sees [`given_up`] and ends.

use std::cell::OnceCell;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering};

use rustix::process::setpriority_process;
use rustix::thread::{Pid, gettid};

use super::sockets::Sockets;
use crate::account;

thread_local! {
    /// Of this core, on a core's thread.
    static HERE: OnceCell<Arc<Watch>> = const { OnceCell::new() };
}

/// The poll of a future that a core is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Counts polls, and wraps: two looks that see the same number see the same poll.
    pub count: u32,
    /// The account's number, 0 when the core does its own work or rests.
    pub account: u32,
}

/// A core as other threads see it.
#[derive(Default)]
pub struct Watch {
    /// [`Turn`]: the count in the upper half, the account in the lower.
    turn: AtomicU64,
    given_up: AtomicBool,
    /// The allocator may stop the thread: somebody looks, and will give the core up.
    may_stop: AtomicBool,
    /// The bytes for which it has done so; 0: it has not.
    stopped_at: AtomicUsize,
    thread: AtomicI32,
    sockets: Sockets,
}

impl Watch {
    /// Whose turn it is at this moment.
    pub fn turn(&self) -> Turn {
        let both = self.turn.load(Ordering::Relaxed);
        Turn { count: (both >> 32) as u32, account: both as u32 }
    }

    /// Writes down whose future is polled from now on. Only the core's own thread writes.
    fn turn_to(&self, account: u32) {
        let count = (self.turn.load(Ordering::Relaxed) >> 32) as u32;
        let both = u64::from(count.wrapping_add(1)) << 32 | u64::from(account);
        self.turn.store(both, Ordering::Relaxed);
    }

    /// Whether the allocator may stop the core's thread when an account passes its limit. Only while
    /// somebody looks at [`Self::stopped_at`] and gives the core up then.
    pub fn allow_stop(&self, allowed: bool) {
        self.may_stop.store(allowed, Ordering::Relaxed);
    }

    /// The bytes that an account held when the allocator stopped the thread, for good.
    pub fn stopped_at(&self) -> Option<usize> {
        Some(self.stopped_at.load(Ordering::Acquire)).filter(|bytes| *bytes > 0)
    }

    /// Shuts down what a core has left open that has died, from another thread.
    pub fn bury(&self) {
        self.given_up.store(true, Ordering::SeqCst);
        self.sockets.shut_down();
    }

    /// Parts with a core that lives, from another thread. Cannot be taken back. Its thread bears
    /// `name` from then on.
    pub fn give_up(&self, name: &str) {
        self.bury();
        let thread = self.thread.load(Ordering::Relaxed);
        // Best effort, both: the thread may spin on the CPU of the core that takes its place, and its
        // time is not that core's.
        if let Some(thread) = Pid::from_raw(thread) {
            let _ = setpriority_process(Some(thread), 19);
        }
        let _ = std::fs::write(format!("/proc/self/task/{thread}/comm"), name);
    }

    pub fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    pub(super) fn sockets(&self) -> &Sockets {
        &self.sockets
    }
}

/// Makes this thread the core that `watch` shows.
pub(super) fn begin(watch: Arc<Watch>) {
    watch.thread.store(gettid().as_raw_nonzero().get(), Ordering::Relaxed);
    HERE.with(|here| drop(here.set(watch)));
}

/// The watch of this core; `None` on other threads.
pub(super) fn here() -> Option<Arc<Watch>> {
    HERE.try_with(|here| here.get().cloned()).ok().flatten()
}

/// Notes that the futures of `account` are polled; `false` when that must not be, because this core
/// was given up. On other threads there is nothing to note.
pub(crate) fn enter(account: u32) -> bool {
    let entered = HERE.try_with(|here| {
        let Some(watch) = here.get() else { return true };
        if watch.is_given_up() {
            return false;
        }
        watch.turn_to(account);
        true
    });
    entered.unwrap_or(true)
}

/// Notes that a poll is over and whose goes on, 0 for nobody's.
pub(crate) fn leave(account: u32) {
    let _ = HERE.try_with(|here| here.get().map(|watch| watch.turn_to(account)));
}

/// Stops this core's thread for good, if that is allowed here. Called by the allocator, which must
/// neither allocate nor unwind.
pub(crate) fn stop_here(bytes: usize) {
    let stopped = HERE.try_with(|here| {
        let watch = here.get().filter(|watch| watch.may_stop.load(Ordering::Relaxed))?;
        watch.stopped_at.store(bytes, Ordering::Release);
        Some(())
    });
    if let Ok(Some(())) = stopped {
        let long = rustix::thread::Timespec { tv_sec: 3600, tv_nsec: 0 };
        loop {
            // A signal may wake it; there is nothing to go on with.
            let _ = rustix::thread::nanosleep(&long);
        }
    }
}

/// This core was given up: its work goes on elsewhere, and nothing may be said or written here.
pub fn given_up() -> bool {
    HERE.try_with(|here| here.get().is_some_and(|watch| watch.is_given_up())).unwrap_or(false)
}

/// Goes on, but never for a task on a core that was given up: that task is another core's by now.
pub(crate) async fn on_a_living_core() {
    if given_up() && account::is_somebodys() {
        pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpStream as Client;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::account::Account;
    use crate::rt::{CoreOptions, RuntimeChoice, TcpListener, sleep, spawn, start_core};

    /// A core whose task stands at a gate, with a listener and a connection; and whether the task went
    /// on behind the gate and beyond its next write.
    fn core_that_blocks(
        runtime: RuntimeChoice,
    ) -> (crate::rt::CoreThread, std::net::SocketAddr, mpsc::Sender<()>, mpsc::Receiver<&'static str>)
    {
        let (tell, address) = mpsc::channel();
        let (open, gate) = mpsc::channel();
        let (say, said) = mpsc::channel();
        let mut options = CoreOptions::new("given-up", None);
        options.runtime = Some(runtime);
        let core = start_core(options, move || async move {
            let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            let account = Account::open(5, usize::MAX);
            let task = account.within(async move {
                let mut stream = listener.accept().await.unwrap();
                say.send("at the gate").unwrap();
                let _ = gate.recv();
                say.send("back").unwrap();
                let _ = stream.write_all(b"late").await;
                TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
                sleep(Duration::ZERO).await;
                say.send("went on").unwrap();
            });
            spawn(task).detach();
            // On nobody's account, as a core's own work is.
            while !given_up() {
                sleep(Duration::from_millis(1)).await;
            }
        });
        (core.unwrap(), address.recv().unwrap(), open, said)
    }

    #[test]
    fn a_core_that_is_given_up_falls_silent_and_ends_when_it_can() {
        for runtime in [RuntimeChoice::IoUring, RuntimeChoice::Epoll] {
            let (core, address, open, said) = core_that_blocks(runtime);
            let mut client = Client::connect(address).unwrap();
            assert_eq!(said.recv(), Ok("at the gate"));
            let turn = core.watch().turn();
            assert_eq!(turn.account, 5);
            core.watch().give_up("lost");
            let mut read = Vec::new();
            // Closed or reset: nothing came.
            let _ = client.read_to_end(&mut read);
            assert!(read.is_empty() && Client::connect(address).is_err());
            assert!(!core.is_finished() && core.watch().turn() == turn);
            open.send(()).unwrap();
            core.join().unwrap();
            assert_eq!((said.try_recv(), said.try_recv().ok()), (Ok("back"), None));
        }
    }

    #[test]
    fn a_poll_is_told_from_the_next() {
        let watch = Watch::default();
        assert_eq!(watch.turn(), Turn { count: 0, account: 0 });
        watch.turn_to(7);
        assert_eq!(watch.turn(), Turn { count: 1, account: 7 });
        watch.turn_to(7);
        assert_eq!(watch.turn(), Turn { count: 2, account: 7 });
        watch.turn.store(u64::from(u32::MAX) << 32 | 5, Ordering::Relaxed);
        watch.turn_to(u32::MAX);
        assert_eq!(watch.turn(), Turn { count: 0, account: u32::MAX });
    }

    #[test]
    fn threads_that_are_no_cores_have_nothing_to_say() {
        assert!(here().is_none() && !given_up() && enter(1));
        leave(0);
        stop_here(1);
    }
}
