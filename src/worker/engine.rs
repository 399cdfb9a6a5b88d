//! The engine: one executor a core, a mailbox to each, one mailbox back, and a watchdog over all.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use millrace_net::rt::CoreThread;
pub use millrace_net::rt::RuntimeChoice;

use crate::command::{Command, Report, TargetState, TaskId, TaskSpec};
use crate::core::LAST_WORDS;
use crate::metrics::{Measurement, Scope};
use crate::placement::Placement;
use crate::watchdog::{Shared, Watchdog, deliver, open};

/// How many cores, and which.
#[derive(Clone, Debug, Default)]
pub struct EngineOptions {
    /// CPUs to pin to, one executor each; at least one.
    pub cpus: Vec<usize>,
    /// How long a core may spin before it parks, in microseconds (`millrace.latency.spin.us`).
    pub spin_us: u64,
    /// io_uring or epoll (`millrace.runtime`); `None` asks the environment (`MILLRACE_RUNTIME`).
    pub runtime: Option<RuntimeChoice>,
    /// How long a task may hold its core without a pause before both are given up
    /// (`millrace.task.max.block.ms`); `None`: for ever.
    pub max_block: Option<Duration>,
}

/// The control plane's end: places tasks and passes commands on. `Send`, lives on the sidecar.
pub struct Engine {
    placement: Shared,
    watchdog: Watchdog,
}

/// States and progress that wait for the control plane.
const REPORTS: usize = 16 * 1024;

/// What a core that ends in time may need beyond the time that it gives its tasks.
const MARGIN: Duration = Duration::from_secs(2);

/// How often the end of a core is looked for.
const LOOK: Duration = Duration::from_millis(2);

impl Engine {
    /// Starts the cores. What they report comes out of the receiver.
    pub fn start(options: &EngineOptions) -> std::io::Result<(Self, flume::Receiver<Report>)> {
        let (reports, inbox) = flume::bounded(REPORTS);
        let placement = Arc::new(Mutex::new(Placement::start(options, reports)?));
        let watchdog = Watchdog::start(&placement, options.max_block)?;
        Ok((Self { placement, watchdog }, inbox))
    }

    /// Starts a task on the core with the fewest; it stays there. A task that already runs under
    /// this id must have been stopped first.
    pub fn start_task(&mut self, spec: TaskSpec) {
        let (at, start) = open(&self.placement).place(spec);
        deliver(&self.placement, at, start);
    }

    pub fn stop_task(&mut self, id: &TaskId) {
        let stop = open(&self.placement).remove(id);
        self.deliver(stop);
    }

    pub fn pause_task(&self, id: &TaskId) {
        let pause = open(&self.placement).set_target(id, TargetState::Paused);
        self.deliver(pause);
    }

    pub fn resume_task(&self, id: &TaskId) {
        let resume = open(&self.placement).set_target(id, TargetState::Started);
        self.deliver(resume);
    }

    fn deliver(&self, delivery: Option<(usize, Command)>) {
        if let Some((at, command)) = delivery {
            deliver(&self.placement, at, command);
        }
    }

    /// Asks every core what it counted and measured. Waits for nobody: a core whose mailbox is full
    /// is left out.
    pub fn measure(&self, scope: Scope) -> Measurement {
        let placement = open(&self.placement);
        let (asking, measurement) =
            Measurement::new(scope, placement.mailboxes().count(), placement.lost());
        for mailbox in placement.mailboxes() {
            let _ = mailbox.try_send(Command::Measure(asking.clone()));
        }
        measurement
    }

    /// Stops every task and waits for the cores to end, as long as they may take. A core that a task
    /// does not give back then is left behind, as are those that were given up before: the end of the
    /// process ends them.
    pub fn shutdown(self) {
        let Self { placement, watchdog } = self;
        let (cores, grace) = open(&placement).take();
        drop(watchdog);
        let limit = Instant::now() + grace + LAST_WORDS + MARGIN;
        for (mailbox, _) in &cores {
            let _ = mailbox.send_deadline(Command::Shutdown, limit);
        }
        for (_, core) in cores {
            end(core, limit);
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "sleeps on the control plane's thread, at its end")]
fn end(core: CoreThread, limit: Instant) {
    while !core.is_finished() && Instant::now() < limit {
        std::thread::sleep(LOOK);
    }
    if !core.is_finished() {
        tracing::error!("a core did not end in time and is left behind");
    } else if let Err(panic) = core.join() {
        tracing::error!(panic, "a core died");
    }
}
