//! A task's voice towards the control plane.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millrace_net::account;
use millrace_net::rt;

use crate::command::{Progress, Report, TaskId, TaskState};
use crate::metrics::TaskMetrics;
use crate::tenancy::Life;

/// Sends one task's reports; never waits: a full mailbox drops progress, never a state.
#[derive(Clone)]
pub(crate) struct Reporter {
    id: TaskId,
    generation: u64,
    mailbox: flume::Sender<Report>,
    metrics: Rc<TaskMetrics>,
    trouble: Rc<RefCell<Option<String>>>,
    life: Arc<Life>,
}

impl Reporter {
    pub(crate) fn new(
        metrics: Rc<TaskMetrics>,
        mailbox: flume::Sender<Report>,
        life: Arc<Life>,
    ) -> Self {
        let (id, generation) = (metrics.id.clone(), metrics.generation);
        Self { id, generation, mailbox, metrics, trouble: Rc::default(), life }
    }

    pub(crate) fn metrics(&self) -> &Rc<TaskMetrics> {
        &self.metrics
    }

    /// What those who watch the core know of the task.
    pub(crate) fn life(&self) -> &Life {
        &self.life
    }

    pub(crate) fn id(&self) -> &TaskId {
        &self.id
    }

    /// States are few and must arrive: they may wait for the mailbox.
    pub(crate) fn state(&self, state: TaskState) {
        self.metrics.counts().state(&state);
        let report = Report::State { id: self.id.clone(), generation: self.generation, state };
        self.say(report, true);
    }

    pub(crate) fn progress(&self, progress: Progress) {
        let report =
            Report::Progress { id: self.id.clone(), generation: self.generation, progress };
        self.say(report, false);
    }

    /// The progress that a bulk job's report is made of: it may wait for the mailbox.
    pub(crate) fn last_progress(&self, progress: Progress) {
        let report =
            Report::Progress { id: self.id.clone(), generation: self.generation, progress };
        self.say(report, true);
    }

    /// Says what is being retried, once per change.
    pub(crate) fn trouble(&self, what: Option<String>) {
        if *self.trouble.borrow() == what {
            return;
        }
        match &what {
            Some(text) => tracing::warn!(task = %self.id, "{text}"),
            None => tracing::info!(task = %self.id, "recovered"),
        }
        *self.trouble.borrow_mut() = what.clone();
        let report = Report::Trouble { id: self.id.clone(), generation: self.generation, what };
        self.say(report, false);
    }

    /// Nothing from a core that was given up: the task's other life speaks for it.
    fn say(&self, report: Report, must_arrive: bool) {
        if rt::given_up() {
            return;
        }
        // The mailbox is shared with all cores: nothing may stop this one within its lock.
        account::aside(|| {
            if must_arrive {
                let _ = self.mailbox.send(report);
            } else {
                let _ = self.mailbox.try_send(report);
            }
        });
    }
}
