//! One core: takes commands, runs its tasks, reports their states.

use crate::command::{Command, Report};

/// The core's main future; ends after [`Command::Shutdown`].
pub(crate) async fn run(commands: flume::Receiver<Command>, _reports: flume::Sender<Report>) {
    while let Ok(command) = commands.recv_async().await {
        if matches!(command, Command::Shutdown) {
            return;
        }
    }
}
