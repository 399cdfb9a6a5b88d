//! From what was decided to threads and cores.

use std::sync::Arc;

use millrace_api::Config;
use millrace_worker::command::{
    Report, SourceOffsetStore, TargetState, TaskId, TaskSpec, TaskState,
};

use super::work::{Deed, Recipe};
use super::{DistributedHerder, Pending};
use crate::connector_thread::{self, Instance, unresolved};
use crate::requests::Answer;
use crate::resolving::{ResolvedTask, Resolving};
use crate::state::Token;
use crate::task_runner::log_given_up;
use crate::validation;

/// Before why a task's offsets can't be had.
const REFUSED: &str = "org.apache.kafka.connect.errors.ConnectException: ";

impl DistributedHerder {
    pub(super) fn carry_out(&mut self) {
        loop {
            let deeds = self.work.take_deeds();
            if deeds.is_empty() {
                return;
            }
            let mut sources = Vec::new();
            for deed in deeds {
                self.carry_out_one(deed, &mut sources);
            }
            self.read_offsets_for(sources);
        }
    }

    fn carry_out_one(&mut self, deed: Deed, sources: &mut Vec<(TaskId, u64)>) {
        match deed {
            Deed::StartConnector { name, life, config } => {
                self.start_connector(name, life, config);
            }
            Deed::StopConnector { name } => {
                if let Some(thread) = self.threads.get_mut(&name) {
                    thread.tell_to_stop();
                }
            }
            Deed::StartTask { id, generation, recipe, target } => {
                let spec = self.spec(&id, generation, recipe, target);
                match Resolving::is_needed(&spec) {
                    false => self.place(spec, sources),
                    true => {
                        if let Err(why) = self.resolving.push(spec) {
                            self.fail_task(id, generation, unresolved(why));
                        }
                    }
                }
            }
            Deed::StopTask(id) => {
                match self.resolving.remove(&id).or_else(|| self.specs.remove(&id)) {
                    // It never began.
                    Some(TaskSpec { generation, .. }) => {
                        sources.retain(|(waiting, _)| *waiting != id);
                        let state = TaskState::Unassigned;
                        self.work.report(Report::State { id, generation, state });
                    }
                    None => self.runner.stop_task(&id),
                }
            }
            Deed::PauseTask(id) if self.resolving.retarget(&id, TargetState::Paused) => {}
            Deed::ResumeTask(id) if self.resolving.retarget(&id, TargetState::Started) => {}
            Deed::PauseTask(id) => match self.specs.get_mut(&id) {
                Some(spec) => spec.target = TargetState::Paused,
                None => self.runner.pause_task(&id),
            },
            Deed::ResumeTask(id) => match self.specs.get_mut(&id) {
                Some(spec) => spec.target = TargetState::Started,
                None => self.runner.resume_task(&id),
            },
            Deed::GaveUpOn(id) => log_given_up(&id),
            Deed::Status { subject, state, trace } => self.tell_status(subject, state, trace),
            Deed::Publish { name, tasks } => self.plan_publication(name, tasks),
            Deed::Topics { id, topics } => self.tell_topics(&id, topics),
            Deed::Answer(token, outcome) => self.answer(token, outcome),
        }
    }

    fn start_connector(&mut self, name: Arc<str>, life: u64, config: Arc<Config>) {
        let started = match self.plugin_by(&config) {
            None => Err(format!(
                "org.apache.kafka.connect.errors.ConnectException: Failed to find any class that \
                 implements Connector and which name matches {}; this worker has none of it built \
                 in: run the connector on a worker that has, or delete it",
                config.get("connector.class").map_or("", |class| class.trim())
            )),
            Some(plugin) => {
                let instance = Instance {
                    name: Arc::clone(&name),
                    life,
                    tasks_max: validation::tasks_max(&self.some_resolved(&config, &["tasks.max"])),
                    config,
                    plugin: *plugin,
                    providers: Arc::clone(&self.context.config.providers),
                };
                connector_thread::start(&mut self.threads, instance, self.own_mailbox.clone())
            }
        };
        if let Err(why) = started {
            self.work.planned(&name, life, Err(why));
        }
    }

    /// What the task needs, as it was configured.
    fn spec(&self, id: &TaskId, generation: u64, recipe: Recipe, target: TargetState) -> TaskSpec {
        // That of a source connector with a topic of its own takes its place.
        let offsets: Arc<dyn SourceOffsetStore> = self.stores.offsets.of_worker();
        TaskSpec {
            id: id.clone(),
            generation,
            worker: Arc::clone(&self.context.config.properties),
            connector: recipe.connector,
            task: recipe.task,
            plugins: Arc::clone(&self.context.plugins),
            target,
            offsets,
            bounds: None,
            exactly_once: None,
        }
    }

    /// A sink's task starts, a source's waits for its offsets.
    fn place(&mut self, mut spec: TaskSpec, sources: &mut Vec<(TaskId, u64)>) {
        let sink = self.plugin_by(&spec.connector).is_none_or(|plugin| plugin.is_sink());
        if sink {
            return self.runner.start_task(spec);
        }
        let (id, generation) = (spec.id.clone(), spec.generation);
        let place = match self.stores.offsets.place(&id.connector, &spec.connector) {
            Ok(place) => place,
            Err(why) => return self.fail_task(id, generation, format!("{REFUSED}{why}")),
        };
        let once = self.exactly_once().is_enabled();
        spec.exactly_once = once.then(|| self.exactly_once_of(&id, &place));
        spec.offsets = place.store;
        self.specs.insert(id.clone(), spec);
        match once {
            // It reads its offsets when it has fenced whoever could change them.
            true => self.fence_before(id, generation),
            false => sources.push((id, generation)),
        }
    }

    fn fail_task(&mut self, id: TaskId, generation: u64, trace: String) {
        let state = TaskState::Failed(trace);
        self.work.report(Report::State { id, generation, state });
    }

    /// Config providers have answered, or failed to.
    pub(super) fn resolved_task(&mut self, task: ResolvedTask) {
        let (id, generation) = (task.id.clone(), task.generation);
        match self.resolving.done(task) {
            None => {}
            Some(Err(why)) => self.fail_task(id, generation, unresolved(why)),
            Some(Ok(spec)) => {
                let mut sources = Vec::new();
                self.place(spec, &mut sources);
                self.read_offsets_for(sources);
            }
        }
    }

    /// Source tasks start when all offsets are read that were stored before now.
    fn read_offsets_for(&mut self, tasks: Vec<(TaskId, u64)>) {
        if tasks.is_empty() {
            return;
        }
        let token = self.number();
        self.stores.offset.read_to_end(token);
        let waiting = tasks.into_iter().map(|(id, generation)| (token, id, generation));
        self.awaiting_offsets.extend(waiting);
    }

    pub(super) fn offsets_read(&mut self, token: u64, outcome: Result<(), String>) {
        let (ready, rest) =
            std::mem::take(&mut self.awaiting_offsets).into_iter().partition(|one| one.0 <= token);
        self.awaiting_offsets = rest;
        let ready: Vec<(u64, TaskId, u64)> = ready;
        let mut again = Vec::new();
        for (_, id, generation) in ready {
            let current = self.specs.get(&id).is_some_and(|spec| spec.generation == generation);
            if !current {
                continue;
            }
            match &outcome {
                Ok(()) => {
                    if let Some(spec) = self.specs.remove(&id) {
                        self.runner.start_task(spec);
                    }
                }
                Err(why) => {
                    tracing::warn!(task = %id, "waits for its offsets: {why}");
                    again.push((id, generation));
                }
            }
        }
        self.read_offsets_for(again);
    }

    fn answer(&mut self, token: Token, outcome: Answer<()>) {
        let Some(Pending { name, reply }) = self.pending.remove(&token) else { return };
        reply.send(outcome.and_then(|()| self.status_of(&name)));
    }
}
