//! The loop of a core, spawning, and the core's end.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use async_task::{Builder, Runnable, Task};
use pin_project_lite::pin_project;
use rustix::thread::{CpuSet, sched_setaffinity};
use slab::Slab;

use super::lanes::{Lane, Lanes};
use super::reactor::Reactor;
use super::remote::Remote;
use super::timers::{TimerId, Timers};
use crate::rt::options::{CoreOptions, URGENT_LATENCY};

thread_local! {
    static CORE: OnceCell<Rc<Core>> = const { OnceCell::new() };
}

/// Everything of one core. Its parts are borrowed for moments and never while a task runs or a waker
/// is called.
pub(super) struct Core {
    lanes: RefCell<Lanes>,
    remote: Arc<Remote>,
    pub(super) reactor: Rc<Reactor>,
    timers: RefCell<Timers>,
    /// A waker of each task that has not ended, to end it with the core.
    alive: RefCell<Slab<Waker>>,
    /// When the tasks that run now have had their share.
    turn_ends: Cell<Instant>,
    turn: Cell<Duration>,
    spin: Duration,
}

impl Core {
    fn new(options: &CoreOptions) -> io::Result<Self> {
        if let Some(cpu) = options.cpu {
            pin(cpu)?;
        }
        let remote = Arc::new(Remote::new()?);
        let reactor = Rc::new(Reactor::new(remote.bell())?);
        Ok(Self {
            lanes: RefCell::default(),
            remote,
            reactor,
            timers: RefCell::default(),
            alive: RefCell::default(),
            turn_ends: Cell::new(Instant::now()),
            turn: Cell::new(Duration::from_millis(options.preempt_ms)),
            // A thread that the kernel may move spins on somebody else's time.
            spin: options.cpu.map_or(Duration::ZERO, |_| options.spin),
        })
    }

    /// The core of this thread.
    ///
    /// # Panics
    /// On other threads: a mistake of the code that calls.
    pub(super) fn here() -> Rc<Self> {
        CORE.with(|core| Rc::clone(core.get().expect("this is called on a core")))
    }

    /// Takes what has happened and wakes whom it concerns; waits for something if no task is ready.
    fn look_around(&self) -> io::Result<()> {
        self.take_remote();
        if self.lanes.borrow().is_empty() {
            self.rest()?;
        } else {
            self.reactor.poll()?;
        }
        self.take_remote();
        let now = Instant::now();
        loop {
            let due = self.timers.borrow_mut().pop_due(now);
            match due {
                Some(waker) => waker.wake(),
                None => return Ok(()),
            }
        }
    }

    /// Waits for something to happen: spinning first, if that is wanted.
    fn rest(&self) -> io::Result<()> {
        let first = self.timers.borrow().first();
        if !self.spin.is_zero() {
            let end = Instant::now() + self.spin;
            loop {
                self.reactor.poll()?;
                let now = Instant::now();
                let due = first.is_some_and(|at| at <= now);
                if due || self.remote.is_waiting() || !self.lanes.borrow().is_empty() {
                    return Ok(());
                }
                if now >= end {
                    break;
                }
                std::hint::spin_loop();
            }
        }
        if self.remote.park() {
            let waited = self.reactor.wait(first);
            self.remote.unpark();
            waited?;
        }
        Ok(())
    }

    fn take_remote(&self) {
        self.remote.take(|lane, task| self.lanes.borrow_mut().push(lane, task));
    }

    /// Runs ready tasks until none is left or their time is over.
    fn run_tasks(&self) {
        let mut now = Instant::now();
        self.turn_ends.set(now + self.turn.get());
        while now < self.turn_ends.get() {
            let lane = self.lanes.borrow_mut().begin();
            let Some(lane) = lane else { return };
            let started = now;
            while now < self.turn_ends.get() {
                let task = self.lanes.borrow_mut().next(lane);
                let Some(task) = task else { break };
                task.run();
                now = Instant::now();
            }
            self.lanes.borrow_mut().end(lane, now - started);
        }
    }

    fn spawn<T: 'static>(
        self: &Rc<Self>,
        lane: Lane,
        future: impl Future<Output = T> + 'static,
    ) -> Task<T> {
        let mut alive = self.alive.borrow_mut();
        let entry = alive.vacant_entry();
        let future = Tracked { future, place: Place(entry.key()) };
        let remote = Arc::clone(&self.remote);
        let schedule = move |task| schedule(&remote, lane, task);
        let (task, handle) = Builder::new().spawn_local(move |()| future, schedule);
        entry.insert(task.waker());
        drop(alive);
        task.schedule();
        handle
    }

    /// Ends every task: their futures are dropped here, on their own thread.
    fn end(&self) {
        // What is dropped may spawn; code that never stops doing so is left to the process' end.
        for _ in 0..100 {
            let alive: Vec<_> =
                self.alive.borrow().iter().map(|(_, waker)| waker.clone()).collect();
            let timers = self.timers.borrow_mut().take();
            if alive.is_empty() && timers.is_empty() && self.lanes.borrow().is_empty() {
                break;
            }
            // A woken task has its runnable in a lane, and dropping that ends it.
            alive.into_iter().for_each(Waker::wake);
            drop(timers);
            self.take_remote();
            loop {
                let task = self.lanes.borrow_mut().take_any();
                let Some(task) = task else { break };
                drop(task);
            }
        }
        drop(self.remote.close());
    }
}

fn pin(cpu: usize) -> io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("there is no CPU {cpu}")));
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set)
        .map_err(|error| io::Error::other(format!("cannot be pinned to CPU {cpu}: {error}")))
}

/// A task has been woken: into its lane, from whichever thread this is.
fn schedule(remote: &Arc<Remote>, lane: Lane, task: Runnable) {
    let mut task = Some(task);
    // Wakers are also called while a thread ends, when its core cannot be asked for any more.
    let _ = CORE.try_with(|core| {
        if let Some(core) = core.get().filter(|core| Arc::ptr_eq(&core.remote, remote))
            && let Some(task) = task.take()
        {
            core.lanes.borrow_mut().push(lane, task);
        }
    });
    if let Some(task) = task {
        remote.push(lane, task);
    }
}

/// A task's place among those alive, given back when its future is dropped.
struct Place(usize);

impl Drop for Place {
    fn drop(&mut self) {
        let waker = CORE.try_with(|core| {
            core.get().and_then(|core| core.alive.borrow_mut().try_remove(self.0))
        });
        drop(waker);
    }
}

pin_project! {
    /// A task's future. Fields are dropped in this order, so that it counts as alive to its end.
    struct Tracked<F> {
        #[pin]
        future: F,
        place: Place,
    }
}

impl<F: Future> Future for Tracked<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(cx)
    }
}

/// Runs `main` on this thread to its end. `ready` hears whether the engine could be made.
///
/// # Panics
/// As `main` and the tasks do, and if the kernel refuses to wait.
pub(in crate::rt) fn run<Fut: Future<Output = ()> + 'static>(
    options: &CoreOptions,
    ready: impl FnOnce(io::Result<()>),
    main: impl FnOnce() -> Fut,
) {
    let core = match Core::new(options) {
        Ok(core) => Rc::new(core),
        Err(error) => return ready(Err(error)),
    };
    CORE.with(|place| drop(place.set(Rc::clone(&core))));
    ready(Ok(()));
    let done = Rc::new(Cell::new(false));
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let (main, ended) = (main(), Rc::clone(&done));
        let main = async move {
            main.await;
            ended.set(true);
        };
        core.spawn(Lane::Normal, main).detach();
        while !done.get() {
            core.look_around().unwrap_or_else(|error| panic!("the core cannot wait: {error}"));
            core.run_tasks();
        }
    }));
    core.end();
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

pub(in crate::rt) fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
    Core::here().spawn(Lane::Normal, future)
}

/// From the first urgent task on, no turn is longer than urgent tasks may wait.
pub(in crate::rt) fn spawn_urgent<T: 'static>(
    future: impl Future<Output = T> + 'static,
) -> Task<T> {
    let core = Core::here();
    if core.turn.get() > URGENT_LATENCY {
        core.turn.set(URGENT_LATENCY);
        // The turn that runs is one already.
        core.turn_ends.set(core.turn_ends.get().min(Instant::now() + URGENT_LATENCY));
    }
    core.spawn(Lane::Urgent, future)
}

/// Between turns the kernel is asked what has happened; the time of a turn is looked up in the
/// process' own memory, about 20 ns.
pub(in crate::rt) async fn yield_if_needed() {
    let ends = CORE.with(|core| core.get().map(|core| core.turn_ends.get()));
    if ends.is_some_and(|ends| Instant::now() >= ends) {
        futures_lite::future::yield_now().await;
    }
}

pub(in crate::rt) fn sleep(after: Duration) -> Sleep {
    Sleep { core: Core::here(), after, set: None }
}

/// Ready when its time has come; the time runs from the first poll.
pub(in crate::rt) struct Sleep {
    core: Rc<Core>,
    after: Duration,
    set: Option<TimerId>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut timers = self.core.timers.borrow_mut();
        let Some(id) = self.set else {
            let id = timers.insert(self.after, cx.waker().clone());
            drop(timers);
            self.set = Some(id);
            return Poll::Pending;
        };
        // A timer that is set has not fired: the clock need not be asked.
        match timers.waker(&id) {
            Some(waker) => {
                waker.clone_from(cx.waker());
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(id) = self.set {
            let waker = self.core.timers.borrow_mut().remove(&id);
            drop(waker);
        }
    }
}

#[cfg(test)]
mod tests;
