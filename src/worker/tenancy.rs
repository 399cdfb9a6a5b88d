//! A task as a tenant of its core: what those who watch the core know of its life, and the bounds
//! within which it stays.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use futures_util::FutureExt;
use millrace_api::Config;
use millrace_api::error::ConnectError;
use millrace_net::account::{Account, aside};

use crate::command::TaskState;
use crate::settings::{self, TASK_MEMORY};

/// One life of a task, known to its core and to whoever placed it there.
pub(crate) struct Life {
    /// Of its account; what a core's watch shows while the task is polled. Never 0.
    pub number: u32,
    pub bound: MemoryBound,
    ended: AtomicBool,
    cancelled: AtomicBool,
    /// The member of the consumer group that it is; empty: none, or it has left.
    member: Mutex<String>,
    /// The member that its earlier life was and did not stay to leave.
    pub earlier_member: Option<String>,
}

impl Life {
    pub(crate) fn new(
        number: u32,
        bound: MemoryBound,
        earlier_member: Option<String>,
    ) -> Arc<Self> {
        let (ended, cancelled) = (AtomicBool::new(false), AtomicBool::new(false));
        // Until it has joined, what it was to take over is what it would leave behind.
        let member = Mutex::new(earlier_member.clone().unwrap_or_default());
        Arc::new(Self { number, bound, ended, cancelled, member, earlier_member })
    }

    /// It is that member now; empty: it has left. Once a rebalance.
    pub(crate) fn is_member(&self, id: String) {
        aside(|| *self.member.lock().unwrap_or_else(PoisonError::into_inner) = id);
    }

    /// The member that is left behind where this life is over.
    pub(crate) fn member(&self) -> Option<String> {
        let id = self.member.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some(id).filter(|id| !id.is_empty())
    }

    /// It is over, or goes on as another life on another core.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// It was told to stop, perhaps before its core has heard of it.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }
}

/// The memory that a task may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemoryBound(usize);

/// A task is looked at between two of its polls. So much beyond its bound, or a quarter of the bound
/// where that is more, it may hold meanwhile: no batch takes as much.
const WITHIN_A_POLL: usize = 64 << 20;

impl MemoryBound {
    /// `millrace.task.memory.bytes`; without it there is no bound.
    pub(crate) fn of(worker: &Config) -> Self {
        Self(settings::task_memory(worker).unwrap_or(usize::MAX))
    }

    /// The bound itself.
    pub(crate) fn bytes(self) -> usize {
        self.0
    }

    /// What the allocator does not let a task pass.
    pub(crate) fn most(self) -> usize {
        self.0.saturating_add((self.0 / 4).max(WITHIN_A_POLL))
    }

    /// Why a task that holds so much is ended, if it is too much.
    fn refuses(self, held: usize) -> Option<ConnectError> {
        (held > self.0).then(|| {
            ConnectError::fatal(format!(
                "the task held {held} bytes of memory, more than {TASK_MEMORY}={}; it was ended and \
                 its memory is free again. Raise the bound if the task needs that much, then \
                 restart it",
                self.0
            ))
        })
    }
}

/// How a task ended; `Err` is its panic.
type Ended = Result<Result<TaskState, ConnectError>, Box<dyn Any + Send>>;

/// Runs a task to its end, which is also the end of what it may hold. Whatever goes wrong in it, also
/// while it is dropped, is its own affair.
pub(crate) async fn contained(
    task: Pin<Box<impl Future<Output = Result<TaskState, ConnectError>>>>,
    account: &Account,
    bound: MemoryBound,
) -> Ended {
    let mut running = Some(task);
    let bounded = poll_fn(|cx| {
        let Some(task) = running.as_mut() else { return Poll::Pending };
        match task.as_mut().poll(cx) {
            Poll::Pending => {}
            ended => return ended,
        }
        let Some(error) = bound.refuses(account.bytes()) else { return Poll::Pending };
        running = None;
        Poll::Ready(Err(error))
    });
    account.within(AssertUnwindSafe(bounded).catch_unwind()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of what an `async fn` returns.
    fn size<A, B, C, F>(_: impl Fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    /// Every task has its future all its life, a thousand of them on a core. What is awaited once in
    /// a while, and what would be there twice, is boxed or moved.
    #[test]
    fn a_task_is_small_before_it_has_records() {
        assert!(size(crate::task::run) < 20 << 10, "{} bytes", size(crate::task::run));
    }

    #[test]
    fn a_bound_leaves_room_for_a_batch_and_not_for_much_more() {
        let of = |text: &str| {
            MemoryBound::of(&Config::from([(TASK_MEMORY.to_owned(), text.to_owned())]))
        };
        assert_eq!(of("67108864").most(), 128 << 20);
        assert_eq!(of("1073741824").most(), 1280 << 20);
        for none in [of("0"), MemoryBound::of(&Config::new())] {
            assert!(none.most() == usize::MAX && none.refuses(usize::MAX).is_none());
        }
        let why = of("67108864").refuses(70_000_000).unwrap().message;
        assert!(why.contains("70000000 bytes") && why.contains("memory.bytes=67108864"), "{why}");
        assert!(of("67108864").refuses(67_108_864).is_none());
    }
}
