//! SIGINT and SIGTERM ask for a clean end; a second one ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A flag that turns true when the user asks the process to end.
pub(crate) fn stop_flag() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&flag);
    let listen = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async move {
            loop {
                wait().await;
                if seen.swap(true, Ordering::SeqCst) {
                    std::process::exit(130);
                }
            }
        });
    };
    if let Err(error) = std::thread::Builder::new().name("signals".to_owned()).spawn(listen) {
        tracing::warn!(%error, "signals are not handled: no thread for them");
    }
    flag
}

/// Until the next SIGINT or SIGTERM.
pub(crate) async fn wait() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
