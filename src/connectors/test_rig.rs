//! Driving tasks from unit tests.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// The answer of a future that does not wait.
#[allow(dead_code)]
pub fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("the future waits"),
    }
}

/// Runs the future to its end on a core of its own.
#[allow(dead_code)]
pub fn on_a_core<F, Fut>(main: F)
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let options = millrace_net::rt::CoreOptions::new("test", None);
    millrace_net::rt::start_core(options, main).unwrap().join().unwrap();
}
