//! Which connector or task the lines that are logged now belong to: `[name|task-0] `, what the JVM's
//! loggers know as `connector.context` (KIP-449).
//!
//! A thread has one at a time. A core's tasks take turns on their thread, so that there the context
//! rides with the future: it is set for each of its polls ([`within`]), and what it spawns inherits
//! it ([`inherited`]). Two swaps of a thread-local pointer a poll.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

thread_local! {
    static CURRENT: RefCell<Option<Rc<str>>> = const { RefCell::new(None) };
}

/// The context of a task, as the JVM writes it.
pub fn of_task(connector: &str, task: u32) -> Rc<str> {
    format!("[{connector}|task-{task}] ").into()
}

/// The context of a connector instance.
pub fn of_connector(connector: &str) -> Rc<str> {
    format!("[{connector}|worker] ").into()
}

/// The context of this thread at this moment.
pub fn current() -> Option<Rc<str>> {
    CURRENT.with_borrow(Clone::clone)
}

/// Puts the context back that was there before.
pub struct Entered(Option<Rc<str>>);

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

/// Sets the context of this thread until the guard goes. Not to be held over an await.
#[must_use = "the context holds as long as the guard lives"]
pub fn enter(context: Option<Rc<str>>) -> Entered {
    Entered(CURRENT.replace(context))
}

pin_project_lite::pin_project! {
    /// See [`within`].
    pub struct Within<F> {
        context: Option<Rc<str>>,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Within<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        // The future's pointer lies in the thread's place meanwhile: no count is touched.
        let _entered = enter(this.context.take());
        let polled = this.future.poll(cx);
        *this.context = CURRENT.take();
        polled
    }
}

/// The future, with `context` set whenever it runs.
pub fn within<F: Future>(context: Rc<str>, future: F) -> Within<F> {
    Within { context: Some(context), future }
}

/// The future, with the context of now.
pub fn inherited<F: Future>(future: F) -> Within<F> {
    Within { context: current(), future }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, yield_now, zip};

    #[test]
    fn futures_that_take_turns_keep_their_own() {
        let look = |times: usize| async move {
            let mut seen = Vec::new();
            for _ in 0..times {
                seen.push(current());
                yield_now().await;
            }
            seen
        };
        let _outer = enter(Some("[outer] ".into()));
        let (a, b) = (within(of_task("c", 1), look(3)), within(of_connector("c"), look(3)));
        let (a, b) = block_on(zip(a, b));
        assert!(a.iter().all(|seen| seen.as_deref() == Some("[c|task-1] ")), "{a:?}");
        assert!(b.iter().all(|seen| seen.as_deref() == Some("[c|worker] ")), "{b:?}");
        assert_eq!(block_on(inherited(look(1)))[0].as_deref(), Some("[outer] "));
        assert_eq!(current().as_deref(), Some("[outer] "));
    }

    #[test]
    fn a_panic_leaves_the_outer_context() {
        let _outer = enter(Some("[outer] ".into()));
        let broken = within(of_task("c", 1), async { panic!("as wanted") });
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| block_on(broken)));
        assert!(caught.is_err());
        assert_eq!(current().as_deref(), Some("[outer] "));
    }
}
