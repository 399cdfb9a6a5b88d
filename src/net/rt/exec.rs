//! Executors and tasks.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::sync::Arc;

use super::options::CoreOptions;
use super::runtime::Runtime;
use super::watch::{self, Watch};
use super::{epoll, panic_message, uring};
use crate::{account, log_context};

/// A running core.
pub struct CoreThread {
    inner: std::thread::JoinHandle<()>,
    runtime: Runtime,
    watch: Arc<Watch>,
}

impl CoreThread {
    /// Waits for the core's future to end. `Err` if the core itself died.
    pub fn join(self) -> Result<(), String> {
        self.inner.join().map_err(|panic| panic_message(&*panic))
    }

    /// Whether [`Self::join`] would not wait.
    pub fn is_finished(&self) -> bool {
        self.inner.is_finished()
    }

    /// What the core shows of itself.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// The engine that it runs on.
    pub fn runtime(&self) -> Runtime {
        self.runtime
    }
}

thread_local! {
    /// The engine of this core, on a core's thread.
    static HERE: Cell<Option<Runtime>> = const { Cell::new(None) };
}

/// The engine of this core.
///
/// # Panics
/// On a thread that is no core: a mistake of the code that calls, never of the input.
#[inline]
pub(super) fn here() -> Runtime {
    HERE.get().expect("this is called on a core")
}

/// Starts a thread with an executor on it and runs the future that `main` makes there to its end.
///
/// # Errors
/// io_uring is asked for and what [`super::probe`] says is missing (the engine itself would panic), the
/// environment names no engine, the CPU does not exist, or no thread could be started.
pub fn start_core<F, Fut>(options: CoreOptions, main: F) -> io::Result<CoreThread>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let runtime = options.decide()?;
    let (ready, started) = std::sync::mpsc::sync_channel(1);
    let watch = Arc::new(Watch::default());
    let shown = Arc::clone(&watch);
    // Unoptimised, nested futures take more than the two megabytes of other threads. What is not used
    // takes no memory.
    const STACK: usize = 8 << 20;
    let thread = std::thread::Builder::new().name(options.name.clone()).stack_size(STACK);
    let inner = thread.spawn(move || {
        HERE.set(Some(runtime));
        watch::begin(shown);
        let ready = move |result| drop(ready.send(result));
        match runtime {
            Runtime::IoUring => uring::run(&options, ready, main),
            Runtime::Epoll => epoll::run(&options, ready, main),
        }
    })?;
    match started.recv() {
        Ok(Ok(())) => Ok(CoreThread { inner, runtime, watch }),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::Error::other("the core's thread ended before it started")),
    }
}

enum Inner<T> {
    Uring(uring::Task<T>),
    Epoll(epoll::Task<T>),
}

/// A spawned task. Dropping the handle cancels the task; [`Task::detach`] lets it run on.
pub struct Task<T>(Option<Inner<T>>);

impl<T: 'static> Task<T> {
    pub fn detach(mut self) {
        match self.0.take() {
            Some(Inner::Uring(task)) => drop(task.detach()),
            Some(Inner::Epoll(task)) => task.detach(),
            None => {}
        }
    }

    /// Cancels the task and waits until its future is dropped.
    pub async fn cancel(mut self) -> Option<T> {
        match self.0.take()? {
            Inner::Uring(task) => task.cancel().await,
            Inner::Epoll(task) => task.cancel().await,
        }
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<T> {
        match self.0.as_mut().expect("a task is awaited once") {
            Inner::Uring(task) => std::pin::Pin::new(task).poll(cx),
            Inner::Epoll(task) => std::pin::Pin::new(task).poll(cx),
        }
    }
}

/// Runs `future` on this core, beside the caller. A panic in it ends the core: code of others runs in
/// [`super::spawn_caught`].
pub fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
    let future = account::inherited(log_context::inherited(future));
    Task(Some(match here() {
        Runtime::IoUring => Inner::Uring(uring::spawn(future)),
        Runtime::Epoll => Inner::Epoll(epoll::spawn(future)),
    }))
}

/// As [`spawn`], for what must not wait behind a busy task: control messages, heartbeats.
pub fn spawn_urgent<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
    let future = account::inherited(log_context::inherited(future));
    Task(Some(match here() {
        Runtime::IoUring => Inner::Uring(uring::spawn_urgent(future)),
        Runtime::Epoll => Inner::Epoll(epoll::spawn_urgent(future)),
    }))
}

/// Lets others run if this task has had its share; 17 ns when it has not. Once a batch.
pub async fn yield_if_needed() {
    watch::on_a_living_core().await;
    match here() {
        Runtime::IoUring => uring::yield_if_needed().await,
        Runtime::Epoll => epoll::yield_if_needed().await,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rt::{on_core, sleep};

    #[test]
    fn a_dead_core_is_reported() {
        let options = CoreOptions::new("dies", Some(0));
        let core = start_core(options, || async { panic!("of {}", "grief") }).unwrap();
        assert_eq!(core.join(), Err("of grief".to_owned()));
        let nowhere = CoreOptions::new("nowhere", Some(100_000));
        assert!(start_core(nowhere, || async {}).is_err());
    }

    #[test]
    fn a_dropped_task_is_cancelled_and_a_detached_one_is_not() {
        on_core(|| async {
            let (count, counted) =
                (std::rc::Rc::new(std::cell::Cell::new(0)), Duration::from_millis(1));
            let task = |by: u32| {
                let count = count.clone();
                async move {
                    sleep(counted).await;
                    count.set(count.get() + by);
                }
            };
            drop(spawn(task(1)));
            spawn(task(10)).detach();
            spawn_urgent(task(100)).detach();
            assert_eq!(spawn(task(1000)).cancel().await, None);
            spawn(task(10_000)).await;
            let rest = async {
                while count.get() < 10_110 {
                    sleep(counted).await;
                }
            };
            crate::rt::timeout(Duration::from_secs(20), rest).await.expect("both detached tasks");
            assert_eq!(count.get(), 10_110);
        });
    }
}
