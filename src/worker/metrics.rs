//! What tasks count and measure, and the copies of it that other threads get.
//!
//! A task writes into its own [`TaskMetrics`]: plain cells on its core, once a batch. Nobody else
//! reads them but the core's command loop, which answers a question with copies; so whoever asks
//! never stops a core, and a core never waits for whoever asks.

mod counts;
mod distribution;
mod latency;
mod process;
mod sampled;
mod slots;
mod snapshot;

use std::cell::{RefCell, RefMut};
use std::rc::Rc;

use millrace_api::Config;
use millrace_net::account::Account;

use crate::command::TaskId;

pub(crate) use counts::Counts;
pub use counts::{
    ErrorCounts, Memory, ProducerCounts, Rated, Sampling, TableFigures, TaskFigures,
    TransactionSizes,
};
pub use distribution::{Distribution, IntervalLog};
pub use latency::LatencyStage;
pub(crate) use latency::{Detail, Latencies, Span};
pub use process::ProcessFigures;
pub use sampled::{Sampled, Windows};
pub(crate) use snapshot::Asking;
pub use snapshot::{CoreSnapshot, LostCores, Measurement, Scope, Snapshot, TaskSnapshot};

/// One life of a task, written by the task and read by its core's command loop.
pub(crate) struct TaskMetrics {
    pub id: TaskId,
    pub generation: u64,
    latency: RefCell<Latencies>,
    counts: RefCell<Counts>,
    account: Option<Rc<Account>>,
}

impl TaskMetrics {
    pub(crate) fn new(id: TaskId, generation: u64, worker: &Config) -> Self {
        let latency = RefCell::new(Latencies::new(Detail::of(worker)));
        Self { id, generation, latency, counts: RefCell::new(Counts::new(worker)), account: None }
    }

    /// With the account that knows the task's memory.
    pub(crate) fn with_account(self, account: Rc<Account>) -> Self {
        Self { account: Some(account), ..self }
    }

    /// Not to be held over an await: the command loop reads between two polls of the task.
    pub(crate) fn latency(&self) -> RefMut<'_, Latencies> {
        self.latency.borrow_mut()
    }

    /// As [`Self::latency`].
    pub(crate) fn counts(&self) -> RefMut<'_, Counts> {
        self.counts.borrow_mut()
    }

    pub(crate) fn snapshot(&self, scope: Scope) -> TaskSnapshot {
        let latency = match scope {
            Scope::Total => self.latency.borrow().total(),
            Scope::Interval => self.latency.borrow_mut().take_interval(),
        };
        let mut figures = self.counts.borrow().figures();
        figures.memory.allocated =
            self.account.as_ref().map_or(0, |account| account.bytes()) as u64;
        TaskSnapshot { id: self.id.clone(), generation: self.generation, figures, latency }
    }
}
