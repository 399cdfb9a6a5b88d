//! Where tasks run: what a herder asks of the engine.

use millrace_net::log_context;
use millrace_worker::command::{Report, TaskId, TaskSpec, TaskState};
use millrace_worker::engine::Engine;
use millrace_worker::metrics::{Measurement, Scope};

/// Where tasks run: the engine, or a recorder in tests.
pub trait TaskRunner: Send {
    fn start_task(&mut self, spec: TaskSpec);
    fn stop_task(&mut self, id: &TaskId);
    fn pause_task(&mut self, id: &TaskId);
    fn resume_task(&mut self, id: &TaskId);
    /// Asks the cores what they counted; `None` where there are none.
    fn measure(&self) -> Option<Measurement> {
        None
    }

    /// Stops everything and waits for its end.
    fn shutdown(self: Box<Self>);
}

impl TaskRunner for Engine {
    fn start_task(&mut self, spec: TaskSpec) {
        Engine::start_task(self, spec);
    }

    fn stop_task(&mut self, id: &TaskId) {
        Engine::stop_task(self, id);
    }

    fn pause_task(&mut self, id: &TaskId) {
        Engine::pause_task(self, id);
    }

    fn resume_task(&mut self, id: &TaskId) {
        Engine::resume_task(self, id);
    }

    fn measure(&self) -> Option<Measurement> {
        Some(Engine::measure(self, Scope::Total))
    }

    fn shutdown(self: Box<Self>) {
        Engine::shutdown(*self);
    }
}

/// The line of the log that a report is worth, under its task's name.
pub(crate) fn log_report(report: &Report) {
    let (Report::State { id, .. } | Report::Progress { id, .. } | Report::Trouble { id, .. }) =
        report;
    let _context = log_context::enter(Some(log_context::of_task(&id.connector, id.task)));
    match report {
        Report::State { id, state: TaskState::Failed(trace), .. } => {
            tracing::error!(task = %id, trace, "the task failed; restart it through REST");
        }
        Report::State { id, state, .. } => tracing::info!(task = %id, ?state, "task state"),
        Report::Trouble { id, what: Some(what), .. } => tracing::warn!(task = %id, "{what}"),
        Report::Trouble { id, what: None, .. } => tracing::info!(task = %id, "is well again"),
        Report::Progress { .. } => {}
    }
}

/// The line of the log about a task that is not waited for any longer.
pub(crate) fn log_given_up(id: &TaskId) {
    let _context = log_context::enter(Some(log_context::of_task(&id.connector, id.task)));
    tracing::error!(task = %id, "did not stop within task.shutdown.graceful.timeout.ms");
}
