//! What tasks count and measure, and the copies of it that other threads get.
//!
//! A task writes into its own [`TaskMetrics`]: plain cells on its core, once a batch. Nobody else
//! reads them but the core's command loop, which answers a question with copies; so whoever asks
//! never stops a core, and a core never waits for whoever asks.

mod distribution;
mod latency;
mod snapshot;

use std::cell::{RefCell, RefMut};

use millrace_api::Config;

use crate::command::TaskId;

pub use distribution::{Distribution, IntervalLog};
pub use latency::LatencyStage;
pub(crate) use latency::{Detail, Latencies, Span};
pub(crate) use snapshot::Asking;
pub use snapshot::{CoreSnapshot, Measurement, Scope, Snapshot, TaskSnapshot};

/// One life of a task, written by the task and read by its core's command loop.
pub(crate) struct TaskMetrics {
    pub id: TaskId,
    pub generation: u64,
    latency: RefCell<Latencies>,
}

impl TaskMetrics {
    pub(crate) fn new(id: TaskId, generation: u64, worker: &Config) -> Self {
        Self { id, generation, latency: RefCell::new(Latencies::new(Detail::of(worker))) }
    }

    /// Not to be held over an await: the command loop reads between two polls of the task.
    pub(crate) fn latency(&self) -> RefMut<'_, Latencies> {
        self.latency.borrow_mut()
    }

    pub(crate) fn snapshot(&self, scope: Scope) -> TaskSnapshot {
        let latency = match scope {
            Scope::Total => self.latency.borrow().total(),
            Scope::Interval => self.latency.borrow_mut().take_interval(),
        };
        TaskSnapshot { id: self.id.clone(), generation: self.generation, latency }
    }
}
