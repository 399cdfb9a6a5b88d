//! Timers.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::exec::here;
use super::runtime::Runtime;
use super::watch::on_a_living_core;
use super::{epoll, uring};

pub async fn sleep(duration: Duration) {
    on_a_living_core().await;
    match here() {
        Runtime::IoUring => uring::sleep(duration).await,
        Runtime::Epoll => epoll::sleep(duration).await,
    }
}

/// A wait reached its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("timed out")
    }
}

impl std::error::Error for Elapsed {}

pin_project_lite::pin_project! {
    /// See [`timeout`].
    pub struct Timeout<F, S> {
        #[pin]
        future: F,
        #[pin]
        timer: S,
    }
}

impl<F: Future, S: Future<Output = ()>> Future for Timeout<F, S> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        this.timer.poll(cx).map(|()| Err(Elapsed))
    }
}

/// `future`'s output, or [`Elapsed`] after `limit`; the future is dropped then.
///
/// Not an `async fn`: one that takes a future has room for it twice, as it came and where it stays.
pub fn timeout<F: Future>(limit: Duration, future: F) -> Timeout<F, impl Future<Output = ()>> {
    Timeout { future, timer: sleep(limit) }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::rt::on_core;

    #[test]
    fn nothing_fires_early_and_what_is_short_fires_first() {
        on_core(|| async {
            let start = Instant::now();
            let order = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
            let tasks: Vec<_> = [30u64, 0, 12, 3]
                .into_iter()
                .map(|ms| {
                    let order = order.clone();
                    crate::rt::spawn(async move {
                        sleep(Duration::from_millis(ms)).await;
                        assert!(start.elapsed() >= Duration::from_millis(ms));
                        order.borrow_mut().push(ms);
                    })
                })
                .collect();
            for task in tasks {
                task.await;
            }
            assert_eq!(*order.borrow(), [0, 3, 12, 30]);
        });
    }

    #[test]
    fn a_limit_ends_the_wait_and_only_then() {
        on_core(|| async {
            let never = std::future::pending::<()>();
            assert_eq!(timeout(Duration::from_millis(2), never).await, Err(Elapsed));
            assert_eq!(timeout(Duration::MAX / 4, async { 1 }).await, Ok(1));
            let short = async {
                sleep(Duration::from_millis(1)).await;
                2
            };
            assert_eq!(timeout(Duration::from_secs(60), short).await, Ok(2));
        });
    }
}
