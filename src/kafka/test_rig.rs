//! What several tests of the client need.

use millrace_net::rt::{CoreOptions, start_core};

/// Runs it on a core of its own.
pub(crate) fn on_core<F: Future<Output = ()> + 'static>(main: impl FnOnce() -> F + Send + 'static) {
    let core = start_core(CoreOptions::new("test", None), main).expect("a core");
    core.join().unwrap_or_else(|panic| panic!("{panic}"));
}
