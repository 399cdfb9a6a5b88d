//! What the state shows of connectors and tasks.

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_api::Config;
use millrace_worker::command::{TargetState, TaskState};

use super::{Connector, Instance, State, Task};
use crate::requests::{
    ConnectorInfo, ConnectorStateInfo, ConnectorTaskId, StateInfo, TaskInfo, TaskProgress,
};

impl State {
    pub fn names(&self) -> Vec<Arc<str>> {
        self.connectors.keys().cloned().collect()
    }

    pub fn config(&self, name: &str) -> Option<&Config> {
        self.connectors.get(name).map(|connector| &*connector.definition.config)
    }

    pub fn is_sink(&self, name: &str) -> Option<bool> {
        self.connectors.get(name).map(|connector| connector.definition.sink)
    }

    /// Stopped, and no task is left or on its way out.
    pub fn is_at_rest(&self, name: &str) -> bool {
        self.connectors.get(name).is_some_and(|connector| {
            connector.target == TargetState::Stopped && connector.tasks.is_empty()
        }) && !self.is_stopping(name)
    }

    pub fn info(&self, name: &str) -> Option<ConnectorInfo> {
        let (name, connector) = self.connectors.get_key_value(name)?;
        Some(ConnectorInfo {
            name: Arc::clone(name),
            config: (*connector.definition.config).clone(),
            tasks: connector.tasks.iter().map(|task| ConnectorTaskId::from(&task.id)).collect(),
            type_: connector.type_name(),
        })
    }

    pub fn tasks(&self, name: &str) -> Option<Vec<TaskInfo>> {
        let tasks = self.connectors.get(name)?.tasks.iter();
        Some(
            tasks
                .map(|task| TaskInfo { id: (&task.id).into(), config: (*task.config).clone() })
                .collect(),
        )
    }

    pub fn status(&self, name: &str) -> Option<ConnectorStateInfo> {
        self.connectors.get(name).map(|connector| connector.status(name, &self.worker_id))
    }

    pub fn topics(&self, name: &str) -> Vec<String> {
        let topics = self.connectors.get(name).map(|connector| &connector.topics);
        topics.into_iter().flatten().cloned().collect()
    }

    pub fn progress(&self, name: &str) -> Option<BTreeMap<u32, TaskProgress>> {
        let of = |task: &Task| TaskProgress {
            state: task.state.clone(),
            trouble: task.trouble.clone(),
            progress: task.progress.clone(),
        };
        let tasks = self.connectors.get(name)?.tasks.iter();
        Some(tasks.map(|task| (task.id.task, of(task))).collect())
    }
}

impl Task {
    fn status(&self, of: &Connector, worker_id: &Arc<str>) -> StateInfo {
        let (state, trace) = match &self.state {
            // A source that has nothing more to give is well, and idle.
            Some(TaskState::Finished) if of.target == TargetState::Paused => ("PAUSED", None),
            Some(TaskState::Running | TaskState::Finished) => ("RUNNING", None),
            Some(TaskState::Paused) => ("PAUSED", None),
            Some(TaskState::Failed(trace)) => ("FAILED", Some(trace.clone())),
            Some(TaskState::Unassigned) | None => ("UNASSIGNED", None),
        };
        let (id, worker_id) = (Some(self.id.task), Arc::clone(worker_id));
        StateInfo { id, state, trace, worker_id, version: Some(of.definition.version.into()) }
    }
}

impl Connector {
    fn type_name(&self) -> &'static str {
        if self.definition.sink { "sink" } else { "source" }
    }

    pub(super) fn status(&self, name: &str, worker_id: &Arc<str>) -> ConnectorStateInfo {
        let (state, trace) = match &self.state {
            Instance::Starting => ("UNASSIGNED", None),
            Instance::Running => ("RUNNING", None),
            Instance::Paused => ("PAUSED", None),
            Instance::Stopped => ("STOPPED", None),
            Instance::Failed(trace) => ("FAILED", Some(trace.clone())),
        };
        let version = Some(self.definition.version.into());
        let worker = Arc::clone(worker_id);
        ConnectorStateInfo {
            name: name.into(),
            connector: StateInfo { id: None, state, trace, worker_id: worker, version },
            tasks: self.tasks.iter().map(|task| task.status(self, worker_id)).collect(),
            type_: self.type_name(),
        }
    }
}
