//! What runs on this worker: connector instances and tasks, as the group gave them to it. Without
//! threads, clocks or IO: events in, deeds out.
//!
//! A connector instance's start is a *life*, a task's a *generation*, both numbered; events of old
//! numbers are ignored. What was told to stop stays in [`Work::leaving`] until its end is reported or
//! its time is over; a new life or generation of the same waits for that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_api::Config;
use millrace_worker::command::{Progress, Report, TargetState, TaskId, TaskState};

use crate::connect_protocol::ConnectorsAndTasks;
use crate::metrics::Starts;
use crate::requests::{HerderError, TaskProgress};
use crate::state::Token;
use crate::stores::status_log::Subject;

/// How long a connector instance may take to stop.
const CONNECTOR_STOP: Duration = Duration::from_secs(5);

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Deed {
    /// Start an instance and plan; answer with [`Work::planned`] under the same life.
    StartConnector {
        name: Arc<str>,
        life: u64,
        config: Arc<Config>,
    },
    /// Tell the instance to stop; its end is told with [`Work::connector_ended`].
    StopConnector {
        name: Arc<str>,
    },
    StartTask {
        id: TaskId,
        generation: u64,
        recipe: Recipe,
        target: TargetState,
    },
    /// Also of a task that ended by itself: its place is given back.
    StopTask(TaskId),
    PauseTask(TaskId),
    ResumeTask(TaskId),
    /// A task did not stop in the graceful time; it is not waited for any longer.
    GaveUpOn(TaskId),
    /// To be told to the cluster.
    Status {
        subject: Subject,
        state: &'static str,
        trace: Option<String>,
    },
    /// The instance planned these tasks.
    Publish {
        name: Arc<str>,
        tasks: Vec<Config>,
    },
    /// A task was heard using these topics.
    Topics {
        id: TaskId,
        topics: BTreeSet<String>,
    },
    Answer(Token, Result<(), HerderError>),
}

/// What a task is made from; other settings mean another task.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Recipe {
    pub connector: Arc<Config>,
    pub task: Arc<Config>,
    /// Counts the connector's task sets, where each set replaces the one before as a whole.
    pub task_generation: Option<u64>,
}

/// How an instance is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Instance {
    Starting,
    Running,
    /// Paused or stopped: there is no thread.
    Resting(&'static str),
    Failed,
}

struct Connector {
    life: u64,
    target: TargetState,
    config: Arc<Config>,
    instance: Instance,
    awaiting: Vec<Token>,
}

struct Task {
    generation: u64,
    /// Handed to a core; otherwise it waits for its earlier generation to end.
    started: bool,
    recipe: Recipe,
    target: TargetState,
    state: Option<TaskState>,
    trouble: Option<String>,
    progress: Progress,
}

impl Task {
    fn has_ended(&self) -> bool {
        use TaskState::{Failed, Finished, Unassigned};
        matches!(self.state, Some(Failed(_) | Finished | Unassigned))
    }
}

/// A task that was told to stop.
struct LeavingTask {
    generation: u64,
    /// Until when it is waited for.
    deadline: Instant,
    /// What is known of it: it says at last what it did since.
    progress: Progress,
}

/// All that runs here.
pub(super) struct Work {
    connectors: BTreeMap<Arc<str>, Connector>,
    tasks: BTreeMap<TaskId, Task>,
    leaving_connectors: BTreeMap<Arc<str>, (u64, Instant)>,
    leaving_tasks: BTreeMap<TaskId, LeavingTask>,
    numbers: u64,
    graceful: Duration,
    deeds: Vec<Deed>,
    starts: Starts,
}

impl Work {
    /// `graceful` is `task.shutdown.graceful.timeout.ms`.
    pub fn new(graceful: Duration) -> Self {
        Self {
            connectors: BTreeMap::new(),
            tasks: BTreeMap::new(),
            leaving_connectors: BTreeMap::new(),
            leaving_tasks: BTreeMap::new(),
            numbers: 0,
            graceful,
            deeds: Vec::new(),
            starts: Starts::default(),
        }
    }

    /// What the events so far call for, in order.
    pub fn take_deeds(&mut self) -> Vec<Deed> {
        std::mem::take(&mut self.deeds)
    }

    pub fn starts(&self) -> Starts {
        self.starts
    }

    pub fn has_connector(&self, name: &str) -> bool {
        self.connectors.contains_key(name)
    }

    pub fn has_task(&self, id: &TaskId) -> bool {
        self.tasks.contains_key(id)
    }

    /// The instance runs on this configuration, so that a change to it changes nothing.
    pub fn is_current(&self, name: &str, config: &Arc<Config>) -> bool {
        let current = |known: &Connector| {
            known.config == *config
                && matches!(known.instance, Instance::Starting | Instance::Running)
        };
        self.connectors.get(name).is_some_and(current)
    }

    /// The life of an instance that runs.
    pub fn running_life(&self, name: &str) -> Option<u64> {
        let known = self.connectors.get(name)?;
        (known.instance == Instance::Running).then_some(known.life)
    }

    pub fn recipe(&self, id: &TaskId) -> Option<&Recipe> {
        self.tasks.get(id).map(|task| &task.recipe)
    }

    /// The task's present generation is this one.
    pub fn is_generation(&self, id: &TaskId, generation: u64) -> bool {
        self.tasks.get(id).is_some_and(|task| task.generation == generation)
    }

    pub fn everything(&self) -> ConnectorsAndTasks {
        ConnectorsAndTasks {
            connectors: self.connectors.keys().cloned().collect(),
            tasks: self.tasks.keys().cloned().collect(),
        }
    }

    /// Some of it is still on its way out.
    pub fn is_leaving(&self, work: &ConnectorsAndTasks) -> bool {
        work.connectors.iter().any(|name| self.leaving_connectors.contains_key(name))
            || work.tasks.iter().any(|id| self.leaving_tasks.contains_key(id))
    }

    /// Tasks with their states in lower case, for the metrics.
    pub fn task_states(&self) -> impl Iterator<Item = (&TaskId, &'static str)> {
        self.tasks.iter().map(|(id, task)| {
            let state = match &task.state {
                Some(TaskState::Running | TaskState::Finished) => "running",
                Some(TaskState::Paused) => "paused",
                Some(TaskState::Failed(_)) => "failed",
                Some(TaskState::Unassigned) | None => "unassigned",
            };
            (id, state)
        })
    }

    /// Connector instances with their states in lower case.
    pub fn connector_states(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<Config>, String)> {
        self.connectors.iter().map(|(name, known)| {
            let state = match known.instance {
                Instance::Starting => "unassigned",
                Instance::Running => "running",
                Instance::Resting(state) => state,
                Instance::Failed => "failed",
            };
            (name, &known.config, state.to_ascii_lowercase())
        })
    }

    /// How the connector's tasks here fare.
    pub fn progress(&self, name: &str) -> BTreeMap<u32, TaskProgress> {
        let own = self.tasks.iter().filter(|(id, _)| &*id.connector == name);
        own.map(|(id, task)| {
            let (state, trouble) = (task.state.clone(), task.trouble.clone());
            (id.task, TaskProgress { state, trouble, progress: task.progress.clone() })
        })
        .collect()
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn status(&mut self, subject: Subject, state: &'static str, trace: Option<String>) {
        self.deeds.push(Deed::Status { subject, state, trace });
    }

    // ---- connectors ----

    /// Starts an instance, or starts it anew with another configuration or target. The token is
    /// answered when it runs, rests or has failed.
    pub fn start_connector(
        &mut self,
        name: &Arc<str>,
        config: Arc<Config>,
        target: TargetState,
        token: Option<Token>,
    ) {
        let life = self.number();
        let mut awaiting = Vec::new();
        if let Some(old) = self.connectors.remove(name) {
            awaiting = old.awaiting;
            self.deeds.push(Deed::StopConnector { name: Arc::clone(name) });
        }
        awaiting.extend(token);
        self.leaving_connectors.remove(name);
        let resting = match target {
            TargetState::Started => None,
            TargetState::Paused => Some("PAUSED"),
            TargetState::Stopped => Some("STOPPED"),
        };
        let instance = resting.map_or(Instance::Starting, Instance::Resting);
        let config_of_deed = Arc::clone(&config);
        let known = Connector { life, target, config, instance, awaiting };
        self.connectors.insert(Arc::clone(name), known);
        match resting {
            None => self.deeds.push(Deed::StartConnector {
                name: Arc::clone(name),
                life,
                config: config_of_deed,
            }),
            Some(state) => {
                self.status(Subject::Connector(Arc::clone(name)), state, None);
                self.answer(name, &Ok(()));
            }
        }
    }

    pub fn stop_connector(&mut self, name: &Arc<str>, now: Instant) {
        let Some(known) = self.connectors.remove(name) else { return };
        self.deeds.push(Deed::StopConnector { name: Arc::clone(name) });
        for token in known.awaiting {
            let gone = HerderError::rebalance_needed();
            self.deeds.push(Deed::Answer(token, Err(gone)));
        }
        match known.instance {
            Instance::Resting(_) => {
                self.status(Subject::Connector(Arc::clone(name)), "UNASSIGNED", None);
            }
            _ => {
                let leaving = (known.life, now + CONNECTOR_STOP);
                self.leaving_connectors.insert(Arc::clone(name), leaving);
            }
        }
    }

    /// The instance's thread has ended.
    pub fn connector_ended(&mut self, name: &Arc<str>, life: u64) {
        if self.leaving_connectors.get(name).is_some_and(|(leaving, _)| *leaving == life) {
            self.leaving_connectors.remove(name);
            self.status(Subject::Connector(Arc::clone(name)), "UNASSIGNED", None);
        }
    }

    /// An instance started and planned, or why it did not; or planned anew while it runs.
    pub fn planned(&mut self, name: &Arc<str>, life: u64, outcome: Result<Vec<Config>, String>) {
        let Some(known) = self.connectors.get_mut(name).filter(|known| known.life == life) else {
            return;
        };
        let subject = Subject::Connector(Arc::clone(name));
        match outcome {
            Ok(tasks) => {
                if known.instance != Instance::Running {
                    known.instance = Instance::Running;
                    self.starts.connectors.count(true);
                    self.status(subject, "RUNNING", None);
                }
                self.answer(name, &Ok(()));
                self.deeds.push(Deed::Publish { name: Arc::clone(name), tasks });
            }
            Err(trace) => {
                known.instance = Instance::Failed;
                self.starts.connectors.count(false);
                let why = trace.lines().next().unwrap_or_default();
                let error = HerderError::internal(format!(
                    "Failed to transition connector {name} to state STARTED: {why}"
                ));
                self.status(subject, "FAILED", Some(trace));
                self.answer(name, &Err(error));
            }
        }
    }

    /// Pauses, resumes or stops what there is of the connector here.
    pub fn set_target(&mut self, name: &Arc<str>, target: TargetState, config: Arc<Config>) {
        if let Some(known) = self.connectors.get(name) {
            // A failed instance stays failed until it is restarted.
            if known.target != target && known.instance != Instance::Failed {
                self.start_connector(name, config, target, None);
            }
        }
        for (id, task) in self.tasks.iter_mut().filter(|(id, _)| id.connector == *name) {
            if task.target == target || target == TargetState::Stopped {
                // A stopped connector's tasks go by the rebalance that follows.
                continue;
            }
            task.target = target;
            if task.started && !task.has_ended() {
                let id = id.clone();
                self.deeds.push(match target {
                    TargetState::Paused => Deed::PauseTask(id),
                    _ => Deed::ResumeTask(id),
                });
            }
        }
    }

    fn answer(&mut self, name: &str, answer: &Result<(), HerderError>) {
        let Some(known) = self.connectors.get_mut(name) else { return };
        for token in known.awaiting.drain(..) {
            self.deeds.push(Deed::Answer(token, answer.clone()));
        }
    }

    // ---- tasks ----

    /// Starts a task as soon as its earlier generation has ended.
    pub fn start_task(&mut self, id: &TaskId, recipe: Recipe, target: TargetState) {
        let task = Task {
            generation: 0,
            started: false,
            recipe,
            target,
            state: None,
            trouble: None,
            progress: Progress::default(),
        };
        self.tasks.insert(id.clone(), task);
        self.start_waiting(id);
    }

    pub fn stop_task(&mut self, id: &TaskId, now: Instant) {
        let Some(task) = self.tasks.remove(id) else { return };
        if !task.started {
            return;
        }
        self.deeds.push(Deed::StopTask(id.clone()));
        if task.has_ended() {
            self.status(Subject::Task(id.clone()), "UNASSIGNED", None);
        } else {
            let Task { generation, progress, .. } = task;
            let leaving = LeavingTask { generation, deadline: now + self.graceful, progress };
            self.leaving_tasks.insert(id.clone(), leaving);
        }
    }

    /// Ends the task's present generation and starts another.
    pub fn restart_task(&mut self, id: &TaskId, now: Instant) {
        let Some(task) = self.tasks.get(id) else { return };
        let (recipe, target) = (task.recipe.clone(), task.target);
        self.stop_task(id, now);
        self.start_task(id, recipe, target);
    }

    fn start_waiting(&mut self, id: &TaskId) {
        if self.leaving_tasks.contains_key(id) {
            return;
        }
        let generation = self.number();
        let Some(task) = self.tasks.get_mut(id).filter(|task| !task.started) else { return };
        task.started = true;
        task.generation = generation;
        self.deeds.push(Deed::StartTask {
            id: id.clone(),
            generation,
            recipe: task.recipe.clone(),
            target: task.target,
        });
    }

    /// A core's report; old generations are ignored.
    pub fn report(&mut self, report: Report) {
        match report {
            Report::State { id, generation, state } => self.task_state(id, generation, state),
            Report::Progress { id, generation, progress } => {
                let Some(known) = self.progress_of(&id, generation) else { return };
                let before = std::mem::replace(known, progress.clone());
                let topics = used_topics(&before, progress);
                if !topics.is_empty() {
                    self.deeds.push(Deed::Topics { id, topics });
                }
            }
            Report::Trouble { id, generation, what } => {
                if let Some(task) = self.task(&id, generation) {
                    task.trouble = what;
                }
            }
        }
    }

    /// Of a task that runs, or is on its way out.
    fn progress_of(&mut self, id: &TaskId, generation: u64) -> Option<&mut Progress> {
        let leaving = self.leaving_tasks.get_mut(id).filter(|one| one.generation == generation);
        if let Some(leaving) = leaving {
            return Some(&mut leaving.progress);
        }
        let task = self.tasks.get_mut(id).filter(|task| task.generation == generation);
        task.map(|task| &mut task.progress)
    }

    fn task(&mut self, id: &TaskId, generation: u64) -> Option<&mut Task> {
        self.tasks.get_mut(id).filter(|task| task.generation == generation)
    }

    fn task_state(&mut self, id: TaskId, generation: u64, state: TaskState) {
        let subject = Subject::Task(id.clone());
        if self.leaving_tasks.get(&id).is_some_and(|old| old.generation == generation) {
            match state {
                TaskState::Running | TaskState::Paused => return,
                TaskState::Failed(trace) => self.status(subject, "FAILED", Some(trace)),
                TaskState::Unassigned | TaskState::Finished => {
                    self.status(subject, "UNASSIGNED", None);
                }
            }
            self.leaving_tasks.remove(&id);
            return self.start_waiting(&id);
        }
        let Some(task) = self.task(&id, generation) else { return };
        let first = task.state.is_none();
        // A source that has nothing more to give is idle, as a JVM task that polls in vain.
        let idle = state == TaskState::Finished && task.state == Some(TaskState::Running);
        task.state = Some(state.clone());
        if first && !matches!(state, TaskState::Paused) {
            self.starts.tasks.count(!matches!(state, TaskState::Failed(_)));
        }
        match state {
            TaskState::Finished if idle => {}
            TaskState::Running | TaskState::Finished => self.status(subject, "RUNNING", None),
            TaskState::Paused => self.status(subject, "PAUSED", None),
            TaskState::Failed(trace) => self.status(subject, "FAILED", Some(trace)),
            TaskState::Unassigned => self.status(subject, "UNASSIGNED", None),
        }
    }

    // ---- time ----

    /// Gives up on what should have ended by now.
    pub fn expire(&mut self, now: Instant) {
        self.leaving_connectors.retain(|name, (_, deadline)| {
            if *deadline <= now {
                tracing::error!(connector = %name, "did not stop in {CONNECTOR_STOP:?}");
            }
            *deadline > now
        });
        let late = self.leaving_tasks.iter().filter(|(_, leaving)| leaving.deadline <= now);
        let late: Vec<_> = late.map(|(id, _)| id.clone()).collect();
        for id in late {
            self.leaving_tasks.remove(&id);
            self.deeds.push(Deed::GaveUpOn(id.clone()));
            self.start_waiting(&id);
        }
    }

    /// When [`Self::expire`] is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        let tasks = self.leaving_tasks.values().map(|leaving| leaving.deadline);
        tasks.chain(self.leaving_connectors.values().map(|(_, deadline)| *deadline)).min()
    }

    /// Nothing is on its way out.
    pub fn is_settled(&self) -> bool {
        self.leaving_tasks.is_empty() && self.leaving_connectors.is_empty()
    }
}

/// Topics that records were read from or written to since the last report.
fn used_topics(before: &Progress, progress: Progress) -> BTreeSet<String> {
    let moved = progress.partitions.iter().filter(|(place, (next, _))| {
        let before = before.partitions.get(*place);
        before.map_or(*next > 0, |(before, _)| next > before)
    });
    let mut topics: BTreeSet<String> = moved.map(|((topic, _), _)| topic.clone()).collect();
    let more = progress.topics.into_iter();
    let more = more.filter(|(topic, count)| before.topics.get(topic) != Some(count));
    topics.extend(more.map(|(topic, _)| topic));
    topics
}

#[cfg(test)]
#[path = "work_tests.rs"]
mod tests;
