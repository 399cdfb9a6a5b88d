//! The epoll executor itself; what both engines do is tested beside their common layer.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::rt::{self, RuntimeChoice, start_core};

fn on_epoll<T, F, Fut>(
    name: &str,
    change: impl FnOnce(&mut CoreOptions),
    main: F,
) -> Result<T, String>
where
    T: Send + 'static,
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = T> + 'static,
{
    let mut options = CoreOptions::new(name, Some(0));
    options.runtime = Some(RuntimeChoice::Epoll);
    change(&mut options);
    let (give, take) = std::sync::mpsc::channel();
    let core = start_core(options, move || async move {
        let _ = give.send(main().await);
    });
    let core = core.map_err(|error| error.to_string())?;
    core.join()?;
    take.recv().map_err(|error| error.to_string())
}

/// Counts its drops.
struct Guard(Arc<AtomicUsize>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn the_core_takes_its_tasks_with_it() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let (count, kept) = (dropped.clone(), Arc::new(std::sync::Mutex::new(Vec::new())));
    let wakers = kept.clone();
    on_epoll(
        "ends",
        |_| {},
        move || async move {
            for round in 0..4 {
                let (guard, wakers) = (Guard(count.clone()), wakers.clone());
                rt::spawn(async move {
                    let guard = guard;
                    if round == 0 {
                        rt::sleep(Duration::from_secs(3600)).await;
                    }
                    // Somebody on another thread keeps the waker beyond the core's end.
                    std::future::poll_fn(|cx| {
                        wakers.lock().unwrap().push(cx.waker().clone());
                        Poll::<()>::Pending
                    })
                    .await;
                    drop(guard);
                })
                .detach();
            }
            // Never run before the end.
            rt::sleep(Duration::from_millis(1)).await;
            let guard = Guard(count.clone());
            rt::spawn(async move { drop(guard) }).detach();
        },
    )
    .unwrap();
    assert_eq!(dropped.load(Ordering::SeqCst), 5);
    let wakers = std::mem::take(&mut *kept.lock().unwrap());
    assert_eq!(wakers.len(), 3);
    wakers.into_iter().for_each(Waker::wake);
}

#[test]
fn a_panic_ends_the_core_and_drops_what_runs_there() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let guard = Guard(dropped.clone());
    let outcome = on_epoll(
        "dies",
        |_| {},
        move || async move {
            let neighbour = rt::spawn(async move {
                let _guard = guard;
                rt::sleep(Duration::from_secs(3600)).await;
            });
            rt::sleep(Duration::from_millis(1)).await;
            rt::spawn(async { panic!("of {}", "shame") }).detach();
            neighbour.await
        },
    );
    assert_eq!(outcome, Err("of shame".to_owned()));
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

#[test]
fn other_threads_wake_tasks_in_any_state_of_the_core() {
    for spin in [0, 50] {
        let pinned = |options: &mut CoreOptions| options.spin = Duration::from_micros(spin);
        let sum = on_epoll("woken", pinned, || async {
            let (ask, asked) = flume::bounded::<u32>(4);
            let (answer, answers) = flume::bounded::<u32>(4);
            let thread = std::thread::spawn(move || {
                for n in asked {
                    answer.send(n + 1).unwrap();
                }
            });
            let mut sum = 0u64;
            for n in 0..2000 {
                ask.send_async(n).await.unwrap();
                sum += u64::from(answers.recv_async().await.unwrap());
            }
            drop(ask);
            thread.join().unwrap();
            sum
        });
        assert_eq!(sum, Ok((1..=2000).sum()));
    }
}

#[test]
fn a_busy_task_does_not_keep_the_urgent_one_waiting() {
    let turns = on_epoll(
        "busy",
        |options| options.preempt_ms = 60_000,
        || async {
            let heard = Rc::new(Cell::new(false));
            let tell = heard.clone();
            rt::spawn_urgent(async move {
                rt::sleep(Duration::from_millis(2)).await;
                tell.set(true);
            })
            .detach();
            let mut turns = 0u64;
            while !heard.get() {
                // Never waits for anything; only gives way.
                rt::yield_if_needed().await;
                turns += 1;
            }
            turns
        },
    );
    assert!(turns.unwrap() > 0);
}

#[test]
fn a_cpu_that_is_not_there_is_an_error() {
    for cpu in [1023, 100_000] {
        let missing = |options: &mut CoreOptions| options.cpu = Some(cpu);
        let error = on_epoll("nowhere", missing, || async {}).unwrap_err();
        assert!(error.contains(&cpu.to_string()), "{error}");
    }
}

#[test]
fn the_runtime_is_told() {
    let mut options = CoreOptions::new("told", None);
    options.runtime = Some(RuntimeChoice::Epoll);
    let core = start_core(options, || async {}).unwrap();
    assert_eq!(core.runtime(), rt::Runtime::Epoll);
    core.join().unwrap();
}
