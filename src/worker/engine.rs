//! The engine: one executor a core, a mailbox to each, one mailbox back.

use std::collections::HashMap;

pub use millrace_net::rt::RuntimeChoice;

use crate::command::{Command, Report, TaskId, TaskSpec};
use crate::metrics::{Measurement, Scope};

/// How many cores, and which.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// CPUs to pin to, one executor each; at least one.
    pub cpus: Vec<usize>,
    /// How long a core may spin before it parks, in microseconds (`millrace.latency.spin.us`).
    pub spin_us: u64,
    /// io_uring or epoll (`millrace.runtime`); `None` asks the environment (`MILLRACE_RUNTIME`).
    pub runtime: Option<RuntimeChoice>,
}

/// The control plane's end: places tasks and passes commands on. `Send`, lives on the sidecar.
pub struct Engine {
    cores: Vec<Core>,
    placed: HashMap<TaskId, usize>,
}

struct Core {
    mailbox: flume::Sender<Command>,
    thread: Option<millrace_net::rt::CoreThread>,
    tasks: usize,
}

/// Commands that a core's mailbox holds before the sender waits.
const MAILBOX: usize = 1024;

impl Engine {
    /// Starts the cores. What they report comes out of the receiver.
    pub fn start(options: &EngineOptions) -> std::io::Result<(Self, flume::Receiver<Report>)> {
        let (reports, inbox) = flume::bounded(MAILBOX * 16);
        let mut cores = Vec::with_capacity(options.cpus.len());
        for &cpu in &options.cpus {
            let (mailbox, commands) = flume::bounded(MAILBOX);
            let reports = reports.clone();
            let mut core = millrace_net::rt::CoreOptions::new(format!("core-{cpu}"), Some(cpu));
            core.spin = std::time::Duration::from_micros(options.spin_us);
            core.runtime = options.runtime;
            let thread = millrace_net::rt::start_core(core, move || {
                crate::core::run(cpu, commands, reports)
            })?;
            cores.push(Core { mailbox, thread: Some(thread), tasks: 0 });
        }
        Ok((Self { cores, placed: HashMap::new() }, inbox))
    }

    /// Starts a task on the core with the fewest; it stays there. A task that already runs under
    /// this id must have been stopped first.
    pub fn start_task(&mut self, spec: TaskSpec) {
        // A task that failed or finished is still counted where it was.
        if let Some(before) = self.placed.remove(&spec.id) {
            self.cores[before].tasks -= 1;
        }
        let at = (0..self.cores.len()).min_by_key(|&at| self.cores[at].tasks).unwrap_or(0);
        self.placed.insert(spec.id.clone(), at);
        self.cores[at].tasks += 1;
        let _ = self.cores[at].mailbox.send(Command::Start(Box::new(spec)));
    }

    pub fn stop_task(&mut self, id: &TaskId) {
        if let Some(at) = self.placed.remove(id) {
            self.cores[at].tasks -= 1;
            let _ = self.cores[at].mailbox.send(Command::Stop(id.clone()));
        }
    }

    pub fn pause_task(&self, id: &TaskId) {
        if let Some(&at) = self.placed.get(id) {
            let _ = self.cores[at].mailbox.send(Command::Pause(id.clone()));
        }
    }

    pub fn resume_task(&self, id: &TaskId) {
        if let Some(&at) = self.placed.get(id) {
            let _ = self.cores[at].mailbox.send(Command::Resume(id.clone()));
        }
    }

    /// Asks every core what it counted and measured. Waits for nobody: a core whose mailbox is full
    /// is left out.
    pub fn measure(&self, scope: Scope) -> Measurement {
        let (asking, measurement) = Measurement::new(scope, self.cores.len());
        for core in &self.cores {
            let _ = core.mailbox.try_send(Command::Measure(asking.clone()));
        }
        measurement
    }

    /// Stops every task and waits for the cores to end.
    pub fn shutdown(mut self) {
        for core in &self.cores {
            let _ = core.mailbox.send(Command::Shutdown);
        }
        for core in &mut self.cores {
            if let Some(thread) = core.thread.take()
                && let Err(panic) = thread.join()
            {
                tracing::error!(panic, "a core died");
            }
        }
    }
}
