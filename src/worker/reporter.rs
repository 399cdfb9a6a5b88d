//! A task's voice towards the control plane.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use millrace_net::account;
use millrace_net::rt;

use crate::command::{Progress, Report, TaskId, TaskState};
use crate::metrics::TaskMetrics;
use crate::tenancy::Life;

/// How often a task tells its progress, where it is among few.
const USUAL: Duration = Duration::from_millis(250);
/// The time between two tasks' progress where a core has many: each may wake the control plane.
const APART: Duration = Duration::from_millis(4);

thread_local! {
    /// Tasks of this core that tell.
    static SPEAKERS: Cell<u32> = const { Cell::new(0) };
}

/// One of those that tell on this core.
struct Speaker;

impl Speaker {
    fn new() -> Rc<Self> {
        SPEAKERS.set(SPEAKERS.get() + 1);
        Rc::new(Self)
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        SPEAKERS.set(SPEAKERS.get().saturating_sub(1));
    }
}

/// Sends one task's reports; never waits: a full mailbox drops progress, never a state.
#[derive(Clone)]
pub(crate) struct Reporter {
    id: TaskId,
    generation: u64,
    mailbox: flume::Sender<Report>,
    metrics: Rc<TaskMetrics>,
    trouble: Rc<RefCell<Option<String>>>,
    life: Arc<Life>,
    _speaker: Rc<Speaker>,
}

impl Reporter {
    pub(crate) fn new(
        metrics: Rc<TaskMetrics>,
        mailbox: flume::Sender<Report>,
        life: Arc<Life>,
    ) -> Self {
        let (id, generation) = (metrics.id.clone(), metrics.generation);
        Self {
            id,
            generation,
            mailbox,
            metrics,
            trouble: Rc::default(),
            life,
            _speaker: Speaker::new(),
        }
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

    /// How long to wait between two tellings of progress: so long that the control plane hears of this
    /// core some 250 times a second at most, however many tasks it has.
    pub(crate) fn pace(&self) -> Duration {
        USUAL.max(APART * SPEAKERS.get())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_tell_seldom_and_few_often() {
        let metrics = || {
            let id = TaskId { connector: "c".into(), task: 0 };
            Rc::new(TaskMetrics::new(id, 1, &millrace_api::Config::new()))
        };
        let life =
            Life::new(1, crate::tenancy::MemoryBound::of(&millrace_api::Config::new()), None);
        let (mailbox, _inbox) = flume::bounded(1);
        let reporter = || Reporter::new(metrics(), mailbox.clone(), Arc::clone(&life));
        let one = reporter();
        let same: Vec<Reporter> = (0..1000).map(|_| one.clone()).collect();
        assert_eq!(one.pace(), USUAL);
        drop(same);
        let many: Vec<Reporter> = (0..999).map(|_| reporter()).collect();
        assert_eq!(one.pace(), Duration::from_secs(4));
        drop(many);
        assert_eq!(one.pace(), USUAL);
    }
}
