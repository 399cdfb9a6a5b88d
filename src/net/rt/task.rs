//! Tasks whose panic is their own affair.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::{Task, spawn};

/// The message of a caught panic.
pub fn panic_message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

/// Runs `future` on this core, beside the caller. A panic in it ends this task alone: the future is
/// dropped and the handle gives the panic's message. The way to run a connector's code.
pub fn spawn_caught<T: 'static>(
    future: impl Future<Output = T> + 'static,
) -> Task<Result<T, String>> {
    spawn(Caught(Some(Box::pin(future))))
}

/// Polls within `catch_unwind`; also drops within it, since a future that has panicked may panic again
/// when it is dropped.
struct Caught<T>(Option<Pin<Box<dyn Future<Output = T>>>>);

impl<T> Caught<T> {
    fn drop_inner(&mut self) -> Result<(), String> {
        let inner = self.0.take();
        catch_unwind(AssertUnwindSafe(|| drop(inner))).map_err(|panic| panic_message(&*panic))
    }
}

impl<T> Future for Caught<T> {
    type Output = Result<T, String>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(inner) = self.0.as_mut() else {
            return Poll::Ready(Err("the task has ended".to_owned()));
        };
        // Unwind safety: after a panic the future is only dropped.
        match catch_unwind(AssertUnwindSafe(|| inner.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(self.drop_inner().map(|()| output)),
            Err(panic) => {
                let message = panic_message(&*panic);
                let _ = self.drop_inner();
                Poll::Ready(Err(message))
            }
        }
    }
}

impl<T> Drop for Caught<T> {
    fn drop(&mut self) {
        // A cancelled task is dropped by the engine, which a panic would end.
        let _ = self.drop_inner();
    }
}

/// Runs a test's future on a core of its own and gives its output.
#[cfg(test)]
pub(crate) fn on_core<T, F, Fut>(main: F) -> T
where
    T: Send + 'static,
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = T> + 'static,
{
    let (give, take) = std::sync::mpsc::channel();
    let core = super::start_core(super::CoreOptions::new("test", None), move || async move {
        let _ = give.send(main().await);
    })
    .expect("a core");
    core.join().unwrap_or_else(|panic| panic!("{panic}"));
    take.recv().expect("the core's future ended")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rt::sleep;

    struct PanicsWhenDropped;

    impl Drop for PanicsWhenDropped {
        fn drop(&mut self) {
            panic!("dropped badly");
        }
    }

    #[test]
    fn a_panic_ends_its_task_alone() {
        on_core(|| async {
            let neighbour = spawn_caught(async {
                sleep(Duration::from_millis(5)).await;
                7
            });
            let bad = spawn_caught(async {
                sleep(Duration::from_millis(1)).await;
                let nothing: Result<u32, String> =
                    "x".parse().map_err(|_| "is no number".to_owned());
                nothing.unwrap_or_else(|why| panic!("x {why}"))
            });
            assert_eq!(bad.await, Err("x is no number".to_owned()));
            assert_eq!(neighbour.await, Ok(7));
        });
    }

    #[test]
    fn a_panic_in_a_drop_is_caught_too() {
        on_core(|| async {
            let bad = spawn_caught(async {
                let _guard = PanicsWhenDropped;
                sleep(Duration::from_secs(60)).await;
            });
            sleep(Duration::from_millis(1)).await;
            assert_eq!(bad.cancel().await, None);
            let finished = spawn_caught(async { PanicsWhenDropped });
            std::mem::forget(finished.await);
            assert_eq!(spawn_caught(async { 1 }).await, Ok(1));
        });
    }
}
