//! Executors and tasks.

use std::future::Future;
use std::io;
use std::time::Duration;

use super::{panic_message, probe};
use glommio::{Latency, LocalExecutorBuilder, Placement, Shares};

/// How a core's executor is started.
#[derive(Clone, Debug)]
pub struct CoreOptions {
    pub name: String,
    /// The CPU to pin to; `None` leaves the placement to the kernel.
    pub cpu: Option<usize>,
    /// Longest time that a busy task keeps others waiting.
    pub preempt_ms: u64,
    /// Time to spin before the core parks; zero parks at once.
    pub spin: Duration,
}

impl CoreOptions {
    pub fn new(name: impl Into<String>, cpu: Option<usize>) -> Self {
        Self { name: name.into(), cpu, preempt_ms: 1, spin: Duration::ZERO }
    }
}

/// A running core.
pub struct CoreThread {
    inner: std::thread::JoinHandle<()>,
}

impl CoreThread {
    /// Waits for the core's future to end. `Err` if the core itself died.
    pub fn join(self) -> Result<(), String> {
        self.inner.join().map_err(|panic| panic_message(&*panic))
    }
}

/// Starts a thread with an executor on it and runs the future that `main` makes there to its end.
///
/// # Errors
/// What [`probe`] says is missing (the engine itself would panic), the CPU does not exist, or no thread
/// could be started.
pub fn start_core<F, Fut>(options: CoreOptions, main: F) -> io::Result<CoreThread>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    probe().map_err(|missing| {
        let all: Vec<_> = missing.iter().map(ToString::to_string).collect();
        io::Error::new(io::ErrorKind::Unsupported, all.join("; "))
    })?;
    let (ready, started) = std::sync::mpsc::sync_channel(1);
    let inner = std::thread::Builder::new().name(options.name.clone()).spawn(move || {
        let placement = options.cpu.map_or(Placement::Unbound, Placement::Fixed);
        let executor = LocalExecutorBuilder::new(placement)
            .name(&options.name)
            .preempt_timer(Duration::from_millis(options.preempt_ms))
            .spin_before_park(options.spin)
            .io_memory(256 << 10)
            .make();
        match executor {
            Ok(executor) => {
                let _ = ready.send(Ok(()));
                executor.run(async move { main().await });
            }
            Err(error) => {
                let _ = ready.send(Err(io::Error::other(error.to_string())));
            }
        }
    })?;
    match started.recv() {
        Ok(Ok(())) => Ok(CoreThread { inner }),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::Error::other("the core's thread ended before it started")),
    }
}

/// A spawned task. Dropping the handle cancels the task; [`Task::detach`] lets it run on.
pub struct Task<T>(Option<glommio::Task<T>>);

impl<T: 'static> Task<T> {
    pub fn detach(mut self) {
        if let Some(task) = self.0.take() {
            task.detach();
        }
    }

    /// Cancels the task and waits until its future is dropped.
    pub async fn cancel(mut self) -> Option<T> {
        match self.0.take() {
            Some(task) => task.cancel().await,
            None => None,
        }
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<T> {
        let task = self.0.as_mut().expect("a task is awaited once");
        std::pin::Pin::new(task).poll(cx)
    }
}

/// Runs `future` on this core, beside the caller. A panic in it ends the core: code of others runs in
/// [`super::spawn_caught`].
pub fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
    Task(Some(glommio::spawn_local(future)))
}

/// As [`spawn`], for what must not wait behind a busy task: control messages, heartbeats.
pub fn spawn_urgent<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
    thread_local! {
        static URGENT: std::cell::OnceCell<glommio::TaskQueueHandle> =
            const { std::cell::OnceCell::new() };
    }
    let queue = URGENT.with(|queue| {
        *queue.get_or_init(|| {
            glommio::executor().create_task_queue(
                Shares::Static(1000),
                Latency::Matters(Duration::from_micros(200)),
                "urgent",
            )
        })
    });
    Task(Some(glommio::spawn_local_into(future, queue).expect("the queue was made on this core")))
}

/// Lets others run if this task has had its share; 17 ns when it has not. Once a batch.
pub async fn yield_if_needed() {
    glommio::yield_if_needed().await;
}

#[cfg(test)]
mod tests {
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
