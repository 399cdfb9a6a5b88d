//! Answers that change nothing: from the configurations read, and from the statuses.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use millrace_worker::command::TaskId;
use millrace_worker::metrics::ProcessFigures;

use super::DistributedHerder;
use crate::connect_protocol::ConnectProtocol;
use crate::metrics::{self, Local, RebalanceFigures, WorkerMetrics};
use crate::requests::{
    Answer, ConnectorInfo, ConnectorStateInfo, ConnectorTaskId, HerderError, Request, RestartScope,
    StateInfo, TaskInfo,
};
use crate::stores::status_log::Status;

/// What a restart covers.
pub(super) struct RestartPlan {
    pub connector: bool,
    pub tasks: Vec<TaskId>,
    /// The status with what is covered as RESTARTING.
    pub shown: ConnectorStateInfo,
}

fn state_info(id: Option<u32>, status: &Status) -> StateInfo {
    StateInfo {
        id,
        state: status.state,
        trace: status.trace.clone(),
        worker_id: Arc::clone(&status.worker_id),
        version: status.version.clone().map(Cow::Owned),
    }
}

impl DistributedHerder {
    pub(super) fn view(&mut self, request: Request) {
        let config = self.log.config();
        match request {
            Request::Connectors(reply) => {
                reply.send(Ok(config.connectors().map(|(name, _)| Arc::clone(name)).collect()));
            }
            Request::Info { name, reply } => reply.send(self.info_of(&name)),
            Request::Tasks { name, reply } => reply.send(self.tasks_of(&name)),
            Request::Status { name, reply } => reply.send(self.status_of(&name)),
            Request::TaskStatus { name, task, reply } => {
                let id = TaskId { connector: name.as_str().into(), task };
                let found = self.statuses.task(&id).map(|status| state_info(Some(task), status));
                let none = || format!("No status found for task {id}");
                reply.send(found.ok_or_else(|| HerderError::not_found(none())));
            }
            Request::Topics { name, reply } => reply.send(Ok(self.statuses.topics(&name))),
            Request::Progress { name, reply } => reply.send(match config.contains(&name) {
                true => Ok(self.work.progress(&name)),
                false => Err(HerderError::no_connector(&name)),
            }),
            Request::Metrics(reply) => reply.send(Ok(self.metrics())),
            Request::Health(reply) => reply.send(Ok(())),
            other => other.fail(HerderError::internal("this worker does not know the request")),
        }
    }

    /// `source`, `sink`, or `unknown` where the class is not built in.
    fn type_of(&self, name: &str) -> &'static str {
        match self.plugin_of(name).map(|plugin| plugin.is_sink()) {
            Some(true) => "sink",
            Some(false) => "source",
            None => "unknown",
        }
    }

    pub(super) fn info_of(&self, name: &str) -> Answer<ConnectorInfo> {
        let config = self.log.config();
        let found = config.config(name).ok_or_else(|| HerderError::no_connector(name))?;
        Ok(ConnectorInfo {
            name: name.into(),
            config: (**found).clone(),
            tasks: config.tasks(name).iter().map(ConnectorTaskId::from).collect(),
            type_: self.type_of(name),
        })
    }

    fn tasks_of(&self, name: &str) -> Answer<Vec<TaskInfo>> {
        let config = self.log.config();
        if !config.contains(name) {
            return Err(HerderError::no_connector(name));
        }
        let info = |id: TaskId| {
            let config = (**config.task_config(&id)?).clone();
            Some(TaskInfo { id: ConnectorTaskId::from(&id), config })
        };
        Ok(config.tasks(name).into_iter().filter_map(info).collect())
    }

    pub(super) fn status_of(&self, name: &str) -> Answer<ConnectorStateInfo> {
        let none = || HerderError::not_found(format!("No status found for connector {name}"));
        let connector = self.statuses.connector(name).ok_or_else(none)?;
        let tasks = self.statuses.tasks(name);
        Ok(ConnectorStateInfo {
            name: name.into(),
            connector: state_info(None, connector),
            tasks: tasks.map(|(task, status)| state_info(Some(task), status)).collect(),
            type_: self.type_of(name),
        })
    }

    /// What a restart would cover, by the statuses known here: each worker's own view of it.
    pub(super) fn restart_plan(&self, name: &str, scope: RestartScope) -> Answer<RestartPlan> {
        let none = |_| HerderError::not_found(format!("Status for connector {name} not found"));
        let mut shown = self.status_of(name).map_err(none)?;
        let covered = |state: &StateInfo| !scope.only_failed || state.state == "FAILED";
        let connector = covered(&shown.connector);
        // The trace of what has failed is shown still.
        let restarting = |state: &mut StateInfo| state.state = "RESTARTING";
        if connector {
            restarting(&mut shown.connector);
        }
        let mut tasks = Vec::new();
        for state in shown.tasks.iter_mut().filter(|state| scope.include_tasks && covered(state)) {
            restarting(state);
            let id = |task| TaskId { connector: name.into(), task };
            tasks.extend(state.id.map(id));
        }
        Ok(RestartPlan { connector, tasks, shown })
    }

    fn rebalance_figures(&self) -> RebalanceFigures {
        // Before the first round: what this worker would take.
        let setting = || {
            let given = self.context.config.parsed().string("connect.protocol").to_owned();
            ConnectProtocol::of_setting(&given)
        };
        let protocol = self.assignment.as_ref().map(|known| known.protocol).or_else(setting);
        let protocol = match protocol {
            Some(ConnectProtocol::Eager) => "EAGER",
            Some(ConnectProtocol::Compatible) => "COMPATIBLE",
            Some(ConnectProtocol::Sessioned) | None => "SESSIONED",
        };
        let leader = self.leader_url().map_or_else(String::new, |url| url.to_string());
        self.rebalances.figures(protocol, leader, self.generation, Instant::now())
    }

    /// What runs on this worker; a connector whose tasks alone are here is there with its status.
    fn metrics(&self) -> WorkerMetrics {
        let mut tasks: BTreeMap<&Arc<str>, Vec<(u32, String)>> = BTreeMap::new();
        for (id, state) in self.work.task_states() {
            tasks.entry(&id.connector).or_default().push((id.task, state.to_owned()));
        }
        let instances: BTreeMap<_, _> =
            self.work.connector_states().map(|(name, _, state)| (name, state)).collect();
        let mut names: Vec<&Arc<str>> = tasks.keys().chain(instances.keys()).copied().collect();
        names.sort_unstable();
        names.dedup();
        let (worker, plugins) = (&self.context.config.properties, &self.context.plugins);
        let of = |name: &Arc<str>| {
            let config = self.log.config().config(name)?;
            let elsewhere =
                || self.statuses.connector(name).map(|known| known.state.to_ascii_lowercase());
            let local = Local {
                name: Arc::clone(name),
                type_: self.type_of(name),
                status: instances.get(name).cloned().or_else(elsewhere).unwrap_or_default(),
                config,
                tasks: tasks.get(name).cloned().unwrap_or_default(),
            };
            Some(metrics::local(local, worker, plugins))
        };
        WorkerMetrics {
            connectors: names.into_iter().filter_map(of).collect(),
            starts: self.work.starts(),
            rebalances: Some(self.rebalance_figures()),
            process: ProcessFigures::read(),
            measurement: self.runner.measure(),
        }
    }
}
