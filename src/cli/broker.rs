//! `millrace broker`: the embedded broker alone.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use millrace_broker::{Broker, BrokerOptions};

use super::{Failure, loggers, runtime, signals};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:9092")]
    listen: SocketAddr,
    /// Where the topics are kept
    #[arg(long)]
    dir: PathBuf,
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    loggers::start("info");
    runtime(None, 1)?;
    let options = BrokerOptions::new(arguments.listen, &arguments.dir);
    let broker = Broker::spawn_thread(options, None).map_err(|error| {
        Failure::startup(format!(
            "the broker cannot start on {} in {}: {error}",
            arguments.listen,
            arguments.dir.display()
        ))
    })?;
    eprintln!(
        "The embedded broker listens on {}. It is for trying things out and for tests, never for \
         production.",
        broker.addr()
    );
    let stop = signals::stop_flag();
    while !stop.load(Ordering::SeqCst) {
        rest(Duration::from_millis(50));
    }
    broker.stop_blocking().map_err(|error| {
        Failure::startup(format!("the broker's files in {}: {error}", arguments.dir.display()))
    })
}

/// Waits on the front door's own thread, which is no core.
#[expect(clippy::disallowed_methods, reason = "this thread has nothing else to do")]
pub(crate) fn rest(time: Duration) {
    std::thread::sleep(time);
}
