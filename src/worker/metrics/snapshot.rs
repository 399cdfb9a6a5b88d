//! Copies of what the cores measured, for whoever asks: plain data.
//!
//! [`crate::engine::Engine::measure`] puts one question into each core's mailbox; the answers come
//! back one a core through [`Measurement`], when the core comes round to it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Distribution, LatencyStage, TaskFigures};
use crate::command::TaskId;

/// Which latencies are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Since the task's start.
    Total,
    /// Since the last question of this kind, whoever asked it; begins anew.
    Interval,
}

/// A task, as measured. A task that failed or finished stays until it is stopped or started again.
#[derive(Clone, Debug)]
pub struct TaskSnapshot {
    pub id: TaskId,
    /// Which life of the task; each begins at nothing.
    pub generation: u64,
    pub figures: TaskFigures,
    /// Stages in which something happened.
    pub latency: BTreeMap<LatencyStage, Distribution>,
}

/// A core and its tasks.
#[derive(Clone, Debug)]
pub struct CoreSnapshot {
    /// The CPU that it is pinned to.
    pub cpu: usize,
    pub tasks: Vec<TaskSnapshot>,
}

/// The question as it lies in a core's mailbox.
#[derive(Clone)]
pub struct Asking {
    pub(crate) scope: Scope,
    pub(crate) reply: flume::Sender<CoreSnapshot>,
}

/// Cores that a task did not give back, whose place was taken by others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LostCores {
    /// Since the engine's start.
    pub total: u64,
    /// Those whose threads have not ended yet.
    pub left: u64,
}

/// The answers on their way.
pub struct Measurement {
    answers: flume::Receiver<CoreSnapshot>,
    cores: usize,
    /// As it was when the question was put.
    pub lost: LostCores,
}

impl Measurement {
    /// A question for `cores` cores, to be cloned into their mailboxes and dropped.
    pub(crate) fn new(scope: Scope, cores: usize, lost: LostCores) -> (Asking, Self) {
        let (reply, answers) = flume::bounded(cores.max(1));
        (Asking { scope, reply }, Self { answers, cores, lost })
    }

    /// The next core's answer; `None` after the last, a core that ended counts as having answered.
    pub async fn next(&self) -> Option<CoreSnapshot> {
        self.answers.recv_async().await.ok()
    }

    /// Waits for all answers, `limit` at most; for threads that may block.
    pub fn wait(self, limit: Duration) -> Snapshot {
        let deadline = Instant::now() + limit;
        let answers = std::iter::from_fn(|| self.answers.recv_deadline(deadline).ok());
        Snapshot::of(answers.collect(), self.cores)
    }

    /// How many cores were asked.
    pub fn cores(&self) -> usize {
        self.cores
    }
}

/// The answers together.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// By CPU.
    pub cores: Vec<CoreSnapshot>,
    /// Cores that did not answer in time.
    pub missing: usize,
}

impl Snapshot {
    /// The answers of some of the `asked` cores.
    pub fn of(mut cores: Vec<CoreSnapshot>, asked: usize) -> Self {
        cores.sort_by_key(|core| core.cpu);
        let missing = asked.saturating_sub(cores.len());
        Self { cores, missing }
    }

    /// The present life of every task: one that was restarted elsewhere may be known to two cores.
    pub fn tasks(&self) -> BTreeMap<&TaskId, &TaskSnapshot> {
        let mut all: BTreeMap<&TaskId, &TaskSnapshot> = BTreeMap::new();
        for task in self.cores.iter().flat_map(|core| &core.tasks) {
            let known = all.entry(&task.id).or_insert(task);
            if known.generation < task.generation {
                *known = task;
            }
        }
        all
    }

    /// Latencies of all tasks, or of one connector's, merged by stage.
    pub fn latency(&self, connector: Option<&str>) -> BTreeMap<LatencyStage, Distribution> {
        let mut merged: BTreeMap<LatencyStage, Distribution> = BTreeMap::new();
        let tasks = self.tasks().into_iter();
        let wanted = |id: &TaskId| connector.is_none_or(|name| *id.connector == *name);
        for (_, task) in tasks.filter(|(id, _)| wanted(id)) {
            for (stage, times) in &task.latency {
                merged.entry(*stage).or_default().merge(times);
            }
        }
        merged
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Counts;

    fn task(connector: &str, generation: u64, micros: u64) -> TaskSnapshot {
        let mut times = Distribution::default();
        times.record(micros, 1);
        TaskSnapshot {
            id: TaskId { connector: connector.into(), task: 0 },
            generation,
            figures: Counts::new(&millrace_api::Config::new()).figures(),
            latency: BTreeMap::from([(LatencyStage::Put, times)]),
        }
    }

    #[test]
    fn the_present_life_of_each_task_is_merged() {
        let cores = vec![
            CoreSnapshot { cpu: 2, tasks: vec![task("a", 1, 10), task("b", 2, 1_000)] },
            CoreSnapshot { cpu: 1, tasks: vec![task("a", 3, 20)] },
        ];
        let snapshot = Snapshot::of(cores, 3);
        assert_eq!((snapshot.cores[0].cpu, snapshot.missing), (1, 1));
        let all = &snapshot.latency(None)[&LatencyStage::Put];
        assert_eq!((all.count(), all.min(), all.max()), (2, 20, 1_000));
        assert_eq!(snapshot.latency(Some("a"))[&LatencyStage::Put].max(), 20);
        assert!(snapshot.latency(Some("c")).is_empty());
    }

    #[test]
    fn a_core_that_is_gone_is_missing_and_not_waited_for() {
        let (asking, measurement) = Measurement::new(Scope::Total, 2, LostCores::default());
        let gone = asking.clone();
        drop(gone);
        asking.reply.send(CoreSnapshot { cpu: 0, tasks: Vec::new() }).unwrap();
        drop(asking);
        let snapshot = measurement.wait(Duration::from_secs(60));
        assert_eq!((snapshot.cores.len(), snapshot.missing), (1, 1));
    }
}
