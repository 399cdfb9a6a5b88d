//! Companion threads for what would hold up a core: blocking calls and long computations.
//!
//! Each core has its own few threads, started when the first work comes, pinned nowhere, and ended with
//! the core. What crosses is moved, not copied; but a closure is `'static`, so a caller that only
//! borrows its input must copy it first: that copy counts against the budget of `payload bytes copied
//! per byte delivered`, and whoever offloads accounts for it.

use std::cell::RefCell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::account::carried;
use crate::rt::panic_message;
use crate::rt::watch::on_a_living_core;

type Job = Box<dyn FnOnce() + Send>;

/// Threads of one core for general work.
const MAX_THREADS: usize = 4;
/// Jobs that may wait for a thread; further callers wait for room.
const MAX_WAITING: usize = 64;

/// A few threads that take jobs from one queue.
pub(crate) struct Pool {
    name: &'static str,
    max_threads: usize,
    threads: usize,
    /// Jobs handed in and not yet ended.
    busy: Arc<AtomicUsize>,
    jobs: flume::Sender<Job>,
    queue: flume::Receiver<Job>,
}

impl Pool {
    pub(crate) fn new(name: &'static str, max_threads: usize) -> Self {
        let (jobs, queue) = flume::bounded(MAX_WAITING);
        Self { name, max_threads, threads: 0, busy: Arc::default(), jobs, queue }
    }

    /// Where to send a job, with a thread there to take it.
    fn admit(&mut self) -> io::Result<(flume::Sender<Job>, Arc<AtomicUsize>)> {
        if self.busy.load(Ordering::Acquire) >= self.threads && self.threads < self.max_threads {
            let queue = self.queue.clone();
            let started = std::thread::Builder::new().name(self.name.to_owned()).spawn(move || {
                unpin();
                while let Ok(job) = queue.recv() {
                    job();
                }
            });
            match started {
                Ok(_) => self.threads += 1,
                Err(error) if self.threads == 0 => return Err(error),
                // Those that are there will come to it.
                Err(_) => {}
            }
        }
        self.busy.fetch_add(1, Ordering::AcqRel);
        Ok((self.jobs.clone(), self.busy.clone()))
    }
}

/// One job counted in `busy`, also when it is never run.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Runs `work` on a companion thread of this core and waits for it without holding up the core.
///
/// If the waiting future is dropped, work that has begun runs to its end and its result is dropped.
///
/// # Errors
/// `work` panicked (the message is in the error), or no thread could be started.
pub async fn run<T, F>(work: F) -> io::Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    thread_local! {
        static POOL: RefCell<Pool> = RefCell::new(Pool::new("millrace-offload", MAX_THREADS));
    }
    run_in(&POOL, work).await
}

pub(crate) async fn run_in<T, F>(
    pool: &'static std::thread::LocalKey<RefCell<Pool>>,
    work: F,
) -> io::Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    start_in(pool, work).await?.wait().await
}

/// A job under way. Clones wait for the same job; one of them gets its result.
pub(crate) struct Running<T>(flume::Receiver<std::thread::Result<T>>);

impl<T> Clone for Running<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Running<T> {
    /// The result, once; afterwards and if the threads are gone, an error.
    pub(crate) async fn wait(&self) -> io::Result<T> {
        match self.0.recv_async().await.map_err(|_| gone())? {
            Ok(result) => Ok(result),
            Err(panic) => Err(io::Error::other(format!("panicked: {}", panic_message(&*panic)))),
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("the companion threads have ended")
}

/// Hands a job over; waits only for room in the queue.
pub(crate) async fn start_in<T, F>(
    pool: &'static std::thread::LocalKey<RefCell<Pool>>,
    work: F,
) -> io::Result<Running<T>>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    on_a_living_core().await;
    let (jobs, busy) = pool.with(|pool| pool.borrow_mut().admit())?;
    let counted = Counted(busy);
    let (answer, answered) = flume::bounded(1);
    let work = carried(work);
    let job: Job = Box::new(move || {
        let result = catch_unwind(AssertUnwindSafe(work));
        drop(counted);
        let _ = answer.send(result);
    });
    jobs.send_async(job).await.map_err(|_| gone())?;
    Ok(Running(answered))
}

/// A thread inherits the CPU of the core that starts it; takes the process' own set instead.
fn unpin() {
    // SAFETY: `cpu_set_t` is plain data; the kernel fills it and then only reads it. The process id
    // names the main thread, which is never pinned. A refusal leaves the thread where it is.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        let size = size_of::<libc::cpu_set_t>();
        if libc::sched_getaffinity(libc::getpid(), size, &mut set) == 0 {
            libc::sched_setaffinity(0, size, &set);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rt::on_core;

    #[test]
    fn answers_errors_and_panics_come_back() {
        on_core(|| async {
            assert_eq!(run(|| 6 * 7).await.unwrap(), 42);
            let error = run(|| -> u32 { panic!("no {}", "luck") }).await.unwrap_err();
            assert_eq!(error.to_string(), "panicked: no luck");
            assert_eq!(run(|| "alive").await.unwrap(), "alive");
        });
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "sleeps on companion threads, to keep them busy")]
    fn more_jobs_than_threads_all_end_on_few_threads() {
        on_core(|| async {
            let tasks: Vec<_> = (0..200u32)
                .map(|n| {
                    crate::rt::spawn(run(move || {
                        std::thread::sleep(Duration::from_millis(1));
                        (n, std::thread::current().id())
                    }))
                })
                .collect();
            let mut threads = std::collections::HashSet::new();
            for (n, task) in tasks.into_iter().enumerate() {
                let (answer, thread) = task.await.unwrap();
                assert_eq!(answer, n as u32);
                threads.insert(thread);
            }
            assert!(threads.len() > 1 && threads.len() <= MAX_THREADS, "{}", threads.len());
        });
    }

    #[test]
    fn a_dropped_wait_leaves_the_pool_usable() {
        on_core(|| async {
            let (go, gate) = std::sync::mpsc::channel::<()>();
            let waiting = run(move || gate.recv().is_ok());
            assert!(crate::rt::timeout(Duration::from_millis(5), waiting).await.is_err());
            go.send(()).unwrap();
            assert_eq!(run(|| 1).await.unwrap(), 1);
        });
    }
}
