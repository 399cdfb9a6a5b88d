//! The herder's mind, without threads, clocks or IO: events in, decisions out.
//!
//! A connector has a target state, a connector instance (a *life*, numbered) and tasks (each start
//! of a task is a *generation*, numbered too); events that carry an old number are ignored. A task
//! that was told to stop keeps its place in [`State::stopping`] until the core reports its end or the
//! graceful time is over; a new generation of the same task waits for that.

mod views;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_api::Config;
use millrace_worker::command::{Progress, Report, TargetState, TaskId, TaskState};

use crate::metrics::Starts;
use crate::requests::{ConnectorStateInfo, HerderError, RestartScope, StateInfo};

/// Names a question that is to be answered later.
pub type Token = u64;

/// A connector as submitted and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// As submitted, placeholders unresolved.
    pub config: Arc<Config>,
    pub sink: bool,
    pub version: &'static str,
    pub tasks_max: usize,
    /// `tasks.max.enforce`.
    pub enforce: bool,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Start a connector instance and plan; answer with `planned` under the same life.
    StartConnector {
        name: Arc<str>,
        life: u64,
        config: Arc<Config>,
    },
    StopConnector {
        name: Arc<str>,
    },
    StartTask {
        id: TaskId,
        generation: u64,
        connector: Arc<Config>,
        task: Arc<Config>,
        target: TargetState,
    },
    /// Also of a task that ended by itself: its place is given back.
    StopTask(TaskId),
    PauseTask(TaskId),
    ResumeTask(TaskId),
    /// A task did not stop in the graceful time; it is not waited for any longer.
    GaveUpOn(TaskId),
    Answer(Token, Result<(), HerderError>),
}

/// All connectors and tasks.
pub struct State {
    connectors: BTreeMap<Arc<str>, Connector>,
    /// Tasks on their way out: generation and the time until which they are waited for.
    stopping: BTreeMap<TaskId, (u64, Instant)>,
    /// Answered when no task of the connector is on its way out.
    awaiting_stop: Vec<(Arc<str>, Token)>,
    numbers: u64,
    graceful: Duration,
    worker_id: Arc<str>,
    decisions: Vec<Decision>,
    starts: Starts,
}

struct Connector {
    definition: Definition,
    target: TargetState,
    life: u64,
    state: Instance,
    tasks: Vec<Task>,
    /// What the running tasks were made from; other settings mean other tasks.
    tasks_from: Option<Arc<Config>>,
    awaiting_plan: Vec<Token>,
    /// Topics whose use was reported since the last reset.
    topics: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Instance {
    Starting,
    Running,
    Paused,
    Stopped,
    Failed(String),
}

struct Task {
    id: TaskId,
    config: Arc<Config>,
    generation: u64,
    /// Handed to a core; otherwise it waits for its earlier generation to end.
    started: bool,
    /// It was heard running, or failing before that.
    ran: bool,
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

impl State {
    /// `graceful` is `task.shutdown.graceful.timeout.ms`.
    pub fn new(graceful: Duration, worker_id: Arc<str>) -> Self {
        Self {
            connectors: BTreeMap::new(),
            stopping: BTreeMap::new(),
            awaiting_stop: Vec::new(),
            numbers: 0,
            graceful,
            worker_id,
            decisions: Vec::new(),
            starts: Starts::default(),
        }
    }

    /// What the events so far call for, in order.
    pub fn take_decisions(&mut self) -> Vec<Decision> {
        std::mem::take(&mut self.decisions)
    }

    /// How starts of connectors and tasks went so far.
    pub fn starts(&self) -> Starts {
        self.starts
    }

    pub fn set_worker_id(&mut self, worker_id: Arc<str>) {
        self.worker_id = worker_id;
    }

    // ---- events: what users ask ----

    /// A new connector, or a new configuration of a known one (whose target state stays). The token
    /// is answered when the plan is made.
    pub fn put(
        &mut self,
        name: &str,
        definition: Definition,
        initial: Option<TargetState>,
        token: Token,
    ) {
        let life = self.number();
        let name: Arc<str> = name.into();
        let connector =
            self.connectors.entry(Arc::clone(&name)).or_insert_with(|| Connector::new(&definition));
        connector.definition = definition;
        connector.target = initial.unwrap_or(connector.target);
        connector.awaiting_plan.push(token);
        connector.life = life;
        self.begin(&name);
    }

    /// Removes the connector; the token is answered when its tasks have ended.
    pub fn delete(&mut self, name: &str, token: Token, now: Instant) -> Result<(), HerderError> {
        let connector =
            self.connectors.remove(name).ok_or_else(|| HerderError::no_connector(name))?;
        let name: Arc<str> = name.into();
        self.decisions.push(Decision::StopConnector { name: Arc::clone(&name) });
        let gone = || Err(HerderError::internal(format!("Connector {name} was deleted")));
        for waiting in connector.awaiting_plan {
            self.decisions.push(Decision::Answer(waiting, gone()));
        }
        self.halt_tasks(connector.tasks, now);
        self.awaiting_stop.push((name, token));
        self.answer_stopped();
        Ok(())
    }

    /// Pause or resume.
    pub fn set_target(&mut self, name: &str, target: TargetState) -> Result<(), HerderError> {
        let unknown = || HerderError::not_found(format!("Unknown connector {name}"));
        let connector = self.connectors.get_mut(name).ok_or_else(unknown)?;
        if connector.target == target {
            return Ok(());
        }
        connector.target = target;
        let paused = target == TargetState::Paused;
        for task in connector.tasks.iter().filter(|task| task.started && !task.has_ended()) {
            let id = task.id.clone();
            self.decisions.push(if paused {
                Decision::PauseTask(id)
            } else {
                Decision::ResumeTask(id)
            });
        }
        // A failed instance stays failed until it is restarted.
        if !matches!(connector.state, Instance::Failed(_)) {
            connector.life = self.numbers + 1;
            self.numbers += 1;
            self.begin(name);
        }
        Ok(())
    }

    /// Stops the connector and removes its tasks; the token is answered when they have ended.
    pub fn stop(&mut self, name: &str, token: Token, now: Instant) -> Result<(), HerderError> {
        let unknown = || HerderError::not_found(format!("Unknown connector {name}"));
        let connector = self.connectors.get_mut(name).ok_or_else(unknown)?;
        connector.target = TargetState::Stopped;
        connector.tasks_from = None;
        let tasks = std::mem::take(&mut connector.tasks);
        connector.life = self.numbers + 1;
        self.numbers += 1;
        self.halt_tasks(tasks, now);
        self.begin(name);
        self.awaiting_stop.push((name.into(), token));
        self.answer_stopped();
        Ok(())
    }

    /// Restarts the connector instance; the token is answered when the plan is made.
    pub fn restart_connector(&mut self, name: &str, token: Token) -> Result<(), HerderError> {
        let unknown = || HerderError::no_connector(name);
        let connector = self.connectors.get_mut(name).ok_or_else(unknown)?;
        connector.awaiting_plan.push(token);
        connector.life = self.numbers + 1;
        self.numbers += 1;
        self.begin(name);
        Ok(())
    }

    /// Restarts what the scope covers; the answer shows that as RESTARTING.
    pub fn restart(
        &mut self,
        name: &str,
        scope: RestartScope,
        now: Instant,
    ) -> Result<ConnectorStateInfo, HerderError> {
        let unknown = || HerderError::not_found(format!("Unknown connector: {name}"));
        let connector = self.connectors.get(name).ok_or_else(unknown)?;
        let mut status = connector.status(name, &self.worker_id);
        let covered = |state: &StateInfo| !scope.only_failed || state.state == "FAILED";
        let instance = covered(&status.connector);
        if instance {
            status.connector.state = "RESTARTING";
            status.connector.trace = None;
        }
        let mut tasks = Vec::new();
        for task in status.tasks.iter_mut().filter(|task| scope.include_tasks && covered(task)) {
            task.state = "RESTARTING";
            task.trace = None;
            tasks.extend(task.id);
        }
        for task in tasks {
            self.restart_task(name, task, now)?;
        }
        if instance && let Some(connector) = self.connectors.get_mut(name) {
            connector.life = self.numbers + 1;
            self.numbers += 1;
            self.begin(name);
        }
        Ok(status)
    }

    /// Ends the task's present generation and starts another.
    pub fn restart_task(&mut self, name: &str, task: u32, now: Instant) -> Result<(), HerderError> {
        let connector =
            self.connectors.get_mut(name).ok_or_else(|| HerderError::no_connector(name))?;
        let unknown = || HerderError::not_found(format!("Task {name}-{task} not found"));
        let at = connector.tasks.iter().position(|known| known.id.task == task);
        let at = at.ok_or_else(unknown)?;
        let old = connector.tasks.remove(at);
        let again = Task::new(old.id.clone(), Arc::clone(&old.config));
        connector.tasks.insert(at, again);
        self.halt_tasks(vec![old], now);
        self.start_waiting(name);
        Ok(())
    }

    /// Forgets the topics that were used so far.
    pub fn reset_topics(&mut self, name: &str) {
        if let Some(connector) = self.connectors.get_mut(name) {
            connector.topics.clear();
        }
    }

    // ---- events: what threads and cores report ----

    /// A connector instance started and planned, or why it did not; or planned anew while it runs.
    pub fn planned(
        &mut self,
        name: &str,
        life: u64,
        outcome: Result<Vec<Config>, String>,
        now: Instant,
    ) {
        let Some(connector) = self.connectors.get_mut(name).filter(|known| known.life == life)
        else {
            return;
        };
        let answer = match outcome.and_then(|plan| connector.within_limit(name, plan)) {
            Ok(plan) => {
                if !matches!(connector.state, Instance::Running) {
                    connector.state = Instance::Running;
                    self.starts.connectors.count(true);
                }
                self.replan(name, plan, now);
                Ok(())
            }
            Err(trace) => {
                let why = trace.lines().next().unwrap_or_default();
                let error = HerderError::internal(format!(
                    "Failed to transition connector {name} to state STARTED: {why}"
                ));
                connector.state = Instance::Failed(trace);
                self.starts.connectors.count(false);
                Err(error)
            }
        };
        self.answer_planned(name, &answer);
    }

    /// A core's report; old generations are ignored.
    pub fn report(&mut self, report: Report) {
        match report {
            Report::State { id, generation, state } => self.task_state(id, generation, state),
            Report::Progress { id, generation, progress } => {
                let Some(connector) = self.connectors.get_mut(&id.connector) else { return };
                let Some(task) = connector.task(&id, generation) else { return };
                let before = std::mem::replace(&mut task.progress, progress.clone());
                let moved = |(place, (next, _)): &(&(String, i32), &(i64, i64))| {
                    let before = before.partitions.get(*place);
                    before.map_or(*next > 0, |(before, _)| next > before)
                };
                let moved = progress.partitions.iter().filter(moved);
                connector.topics.extend(moved.map(|((topic, _), _)| topic.clone()));
                let more = progress.topics.into_iter();
                let more = more.filter(|(topic, count)| before.topics.get(topic) != Some(count));
                connector.topics.extend(more.map(|(topic, _)| topic));
            }
            Report::Trouble { id, generation, what } => {
                let Some(connector) = self.connectors.get_mut(&id.connector) else { return };
                if let Some(task) = connector.task(&id, generation) {
                    task.trouble = what;
                }
            }
        }
    }

    /// Gives up on tasks whose graceful time is over.
    pub fn expire(&mut self, now: Instant) {
        let late = |(_, (_, deadline)): &(&TaskId, &(u64, Instant))| *deadline <= now;
        let late: Vec<TaskId> =
            self.stopping.iter().filter(late).map(|(id, _)| id.clone()).collect();
        for id in late {
            self.stopping.remove(&id);
            self.decisions.push(Decision::GaveUpOn(id.clone()));
            self.start_waiting(&id.connector);
        }
        self.answer_stopped();
    }

    /// When [`Self::expire`] is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.stopping.values().map(|(_, deadline)| *deadline).min()
    }

    // ---- decisions ----

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Brings the instance of the connector's present life to its target state.
    fn begin(&mut self, name: &str) {
        let Some((name, connector)) = self.connectors.get_key_value(name) else { return };
        let (name, life) = (Arc::clone(name), connector.life);
        let (target, config) = (connector.target, Arc::clone(&connector.definition.config));
        self.decisions.push(Decision::StopConnector { name: Arc::clone(&name) });
        let state = match target {
            TargetState::Started => {
                let name = Arc::clone(&name);
                self.decisions.push(Decision::StartConnector { name, life, config });
                Instance::Starting
            }
            TargetState::Paused => Instance::Paused,
            TargetState::Stopped => Instance::Stopped,
        };
        if let Some(connector) = self.connectors.get_mut(&name) {
            connector.state = state;
        }
        if target != TargetState::Started {
            self.answer_planned(&name, &Ok(()));
        }
    }

    /// Keeps the tasks if nothing changed, otherwise replaces all of them.
    fn replan(&mut self, name: &str, plan: Vec<Config>, now: Instant) {
        let Some((name, connector)) = self.connectors.get_key_value(name) else { return };
        let name = Arc::clone(name);
        let config = Arc::clone(&connector.definition.config);
        let same = connector.tasks_from.as_ref() == Some(&config)
            && plan.len() == connector.tasks.len()
            && plan.iter().zip(&connector.tasks).all(|(new, old)| *new == *old.config);
        if same {
            return;
        }
        let ids = (0..).map(|task| TaskId { connector: Arc::clone(&name), task });
        let tasks = ids.zip(plan).map(|(id, config)| Task::new(id, Arc::new(config))).collect();
        if let Some(connector) = self.connectors.get_mut(&name) {
            connector.tasks_from = Some(config);
            let old = std::mem::replace(&mut connector.tasks, tasks);
            self.halt_tasks(old, now);
            self.start_waiting(&name);
        }
    }

    fn halt_tasks(&mut self, tasks: Vec<Task>, now: Instant) {
        for task in tasks.into_iter().filter(|task| task.started) {
            self.decisions.push(Decision::StopTask(task.id.clone()));
            if !task.has_ended() {
                self.stopping.insert(task.id, (task.generation, now + self.graceful));
            }
        }
    }

    /// Starts the connector's tasks whose place is free.
    fn start_waiting(&mut self, name: &str) {
        let Some(connector) = self.connectors.get_mut(name) else { return };
        let target = connector.target;
        for task in connector.tasks.iter_mut().filter(|task| !task.started) {
            if self.stopping.contains_key(&task.id) {
                continue;
            }
            self.numbers += 1;
            task.generation = self.numbers;
            task.started = true;
            self.decisions.push(Decision::StartTask {
                id: task.id.clone(),
                generation: task.generation,
                connector: Arc::clone(&connector.definition.config),
                task: Arc::clone(&task.config),
                target,
            });
        }
    }

    fn task_state(&mut self, id: TaskId, generation: u64, state: TaskState) {
        let ended = !matches!(state, TaskState::Running | TaskState::Paused);
        if self.stopping.get(&id).is_some_and(|(old, _)| *old == generation) {
            if ended {
                self.stopping.remove(&id);
                self.start_waiting(&id.connector);
                self.answer_stopped();
            }
            return;
        }
        let Some(connector) = self.connectors.get_mut(&id.connector) else { return };
        if let Some(task) = connector.task(&id, generation) {
            let failed = matches!(state, TaskState::Failed(_));
            if failed || matches!(state, TaskState::Running) {
                // The first word of a life, or the first after it was started paused.
                if !std::mem::replace(&mut task.ran, true) {
                    self.starts.tasks.count(!failed);
                }
            }
            task.state = Some(state);
        }
    }

    fn is_stopping(&self, name: &str) -> bool {
        self.stopping.keys().any(|id| &*id.connector == name)
    }

    fn answer_stopped(&mut self) {
        let waiting = std::mem::take(&mut self.awaiting_stop);
        for (name, token) in waiting {
            if self.is_stopping(&name) {
                self.awaiting_stop.push((name, token));
            } else {
                self.decisions.push(Decision::Answer(token, Ok(())));
            }
        }
    }

    fn answer_planned(&mut self, name: &str, answer: &Result<(), HerderError>) {
        let Some(connector) = self.connectors.get_mut(name) else { return };
        for token in connector.awaiting_plan.drain(..) {
            self.decisions.push(Decision::Answer(token, answer.clone()));
        }
    }
}

impl Task {
    fn new(id: TaskId, config: Arc<Config>) -> Self {
        Self {
            id,
            config,
            generation: 0,
            started: false,
            ran: false,
            state: None,
            trouble: None,
            progress: Progress::default(),
        }
    }
}

impl Connector {
    fn new(definition: &Definition) -> Self {
        Self {
            definition: definition.clone(),
            target: TargetState::Started,
            life: 0,
            state: Instance::Starting,
            tasks: Vec::new(),
            tasks_from: None,
            awaiting_plan: Vec::new(),
            topics: BTreeSet::new(),
        }
    }

    fn task(&mut self, id: &TaskId, generation: u64) -> Option<&mut Task> {
        self.tasks.iter_mut().find(|task| task.id == *id && task.generation == generation)
    }

    fn within_limit(&self, name: &str, plan: Vec<Config>) -> Result<Vec<Config>, String> {
        let (count, most) = (plan.len(), self.definition.tasks_max);
        if count <= most || !self.definition.enforce {
            return Ok(plan);
        }
        Err(too_many_tasks(name, count, most))
    }
}

/// The trace of a connector that planned more than it may.
pub(crate) fn too_many_tasks(name: &str, count: usize, most: usize) -> String {
    format!(
        "org.apache.kafka.connect.runtime.TooManyTasksException: The connector {name} has \
         generated {count} tasks, which is greater than {most}, the maximum number of tasks it \
         is configured to create. This behaviour should be considered a bug and is disallowed. \
         If necessary, it can be permitted by reconfiguring the connector with \
         'tasks.max.enforce' set to false; however, this option will be removed in a future \
         release of Kafka Connect."
    )
}

#[cfg(test)]
mod tests;
