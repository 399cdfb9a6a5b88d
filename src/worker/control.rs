//! What a core tells a running task, seen by the task between two batches.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use millrace_api::error::ConnectError;
use millrace_net::rt;

/// Shared between the core's command loop and one task. Plain cells: both live on one core.
#[derive(Default)]
pub(crate) struct Control {
    stop: Cell<bool>,
    pause: Cell<bool>,
    stop_by: Cell<Option<Instant>>,
    /// Counts what the core said, so that nothing is missed between a look and a wait.
    calls: Cell<u64>,
    /// Of what waits to be called: the task, or a step of it.
    waiting: RefCell<Vec<Waker>>,
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
        self.call();
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
        self.call();
    }

    fn call(&self) {
        self.calls.update(|calls| calls + 1);
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        waiting.into_iter().for_each(Waker::wake);
    }

    /// How often the core has spoken: to be noted before a look at what it said, for
    /// [`Self::unless_called`].
    pub(crate) fn calls(&self) -> u64 {
        self.calls.get()
    }

    /// What `future` gives, or `None` as soon as the core has said more than `heard`. The future is
    /// dropped then.
    pub(crate) async fn unless_called<T>(
        &self,
        heard: u64,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let mut future = std::pin::pin!(future);
        poll_fn(|cx| {
            if self.calls.get() != heard {
                return Poll::Ready(None);
            }
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            let mut waiting = self.waiting.borrow_mut();
            if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    /// What `future` gives, or `None` once the task is to stop.
    pub(crate) async fn unless_stopping<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = std::pin::pin!(future);
        while !self.stopping() {
            let done = self.unless_called(self.calls(), future.as_mut()).await;
            if done.is_some() {
                return done;
            }
        }
        None
    }

    /// Waits for the herder's answer to what `ask` asks of it; `false`: the task was to stop before
    /// that.
    pub(crate) async fn answered(
        &self,
        ask: impl FnOnce(Box<dyn FnOnce(Result<(), String>) + Send>),
    ) -> Result<bool, ConnectError> {
        let (done, answer) = flume::bounded(1);
        ask(Box::new(move |outcome| {
            let _ = done.try_send(outcome);
        }));
        match self.unless_stopping(answer.recv_async()).await {
            None => Ok(false),
            Some(Ok(Ok(()))) => Ok(true),
            Some(Ok(Err(why))) => Err(ConnectError::fatal(why)),
            Some(Err(_)) => Err(ConnectError::fatal("Worker is shutting down")),
        }
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
            self.unless_called(self.calls(), rt::sleep(left)).await;
        }
        false
    }
}

/// How long a task may be deaf to its core where it waits for something that cannot be interrupted,
/// and how often a sink is asked that holds what is not durable.
pub(crate) const HEARING: Duration = Duration::from_millis(100);

/// The longest wait of a task that has nothing to do, unless it commits before that.
pub(crate) const RESTING: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_net::rt::{CoreOptions, sleep, spawn, start_core};

    fn on_core<F: Future<Output = ()> + 'static>(main: impl FnOnce() -> F + Send + 'static) {
        start_core(CoreOptions::new("control", None), main).unwrap().join().unwrap();
    }

    #[test]
    fn what_the_core_says_ends_a_wait_at_once_and_is_not_missed() {
        on_core(|| async {
            let control = Control::new(false);
            let heard = control.calls();
            let waits = Rc::clone(&control);
            let waiting = spawn(async move {
                let forever = std::future::pending::<()>();
                let outcome = waits.unless_called(heard, forever).await;
                // A sleep goes on after a pause and ends with a stop.
                (outcome, waits.sleep(Duration::from_secs(3600)).await)
            });
            sleep(Duration::from_millis(1)).await;
            control.pause(true);
            sleep(Duration::from_millis(1)).await;
            control.pause(false);
            sleep(Duration::from_millis(1)).await;
            assert!(control.waiting.borrow().len() <= 1, "a waker is kept once");
            control.stop(Duration::ZERO);
            assert_eq!(waiting.await, (None, false));
            // Said before the wait began.
            let late = control.unless_called(heard, std::future::pending::<()>()).await;
            assert_eq!(late, None);
            assert_eq!(control.unless_called(control.calls(), async { 7 }).await, Some(7));
        });
    }

    #[test]
    fn an_answer_is_waited_for_through_a_pause_and_no_longer_than_until_the_stop() {
        on_core(|| async {
            let control = Control::new(false);
            let waits = Rc::clone(&control);
            let ask = |_: Box<dyn FnOnce(Result<(), String>) + Send>| {};
            let dropped = control.answered(ask).await.unwrap_err();
            assert_eq!(dropped.message, "Worker is shutting down");
            assert!(control.answered(|tell| tell(Ok(()))).await.unwrap());
            let refused = control.answered(|tell| tell(Err("no".to_owned()))).await.unwrap_err();
            assert_eq!(refused.message, "no");
            let (kept, keeper) = flume::bounded(1);
            let waiting = spawn(async move {
                waits.answered(move |tell| drop(kept.send(tell))).await.map_err(|e| e.message)
            });
            sleep(Duration::from_millis(1)).await;
            control.pause(true);
            sleep(Duration::from_millis(1)).await;
            assert!(!control.stopping() && keeper.len() == 1);
            control.stop(Duration::ZERO);
            assert_eq!(waiting.await, Ok(false));
        });
    }
}
