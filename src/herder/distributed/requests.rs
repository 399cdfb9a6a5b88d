//! What users and other workers ask. The order of the checks, and their words, are the JVM's.

use std::collections::BTreeMap;
use std::time::Instant;

use millrace_worker::command::{TargetState, TaskId};

use super::exactly_once::Afterwards;
use super::{DistributedHerder, Pending, Phase};
use crate::offset_requests::not_at_rest;
use crate::requests::{
    Answer, ConnectorInfo, Created, ErrorStatus, HerderError, InternalAccess, OffsetChange,
    PartitionOffset, Reply, Request, RestartScope,
};
use crate::stores::config_records;
use crate::validation_queue::{Job, Put, PutReply};

impl DistributedHerder {
    /// The request has to wait for the topics to be read, or for a rebalance to end.
    pub(super) fn waits(&self, request: &Request) -> bool {
        match request {
            // As with the JVM's, who is in no group is of no use to anybody for now.
            Request::Health(_) => self.phase == Phase::Running && self.assignment.is_none(),
            Request::Metrics(_)
            | Request::InternalAccess(_)
            | Request::Validate { .. }
            | Request::Put { .. }
            | Request::Shutdown(_) => false,
            Request::Connectors(_)
            | Request::Info { .. }
            | Request::Status { .. }
            | Request::TaskStatus { .. }
            | Request::Tasks { .. }
            | Request::Topics { .. }
            | Request::Progress { .. }
            | Request::Offsets { .. } => matches!(self.phase, Phase::Starting(_)),
            _ => !self.resolved,
        }
    }

    pub(super) fn request(&mut self, request: Request) {
        match request {
            Request::Put { name, config, create_only, initial, reply } => {
                let reply = PutReply::Created(reply);
                self.validation.push(Job::Put { name, config, create_only, initial, reply });
            }
            Request::Validate { plugin, config, reply } => {
                self.validation.push(Job::Validate { plugin, config, reply });
            }
            Request::Patch { name, changes, reply } => self.patch(name, changes, reply),
            Request::Delete { name, reply } => {
                let answer = self.leads_known(&name);
                reply.send(answer.and_then(|()| self.write_removal(&name)));
            }
            Request::Pause { name, reply } => {
                reply.send(self.set_target(&name, TargetState::Paused))
            }
            Request::Resume { name, reply } => {
                reply.send(self.set_target(&name, TargetState::Started));
            }
            Request::Stop { name, reply } => reply.send(self.stop(&name)),
            Request::Restart { name, scope, reply } if scope.is_connector_only() => {
                self.restart_connector(name, reply);
            }
            Request::Restart { name, scope, reply } => reply.send(self.restart(&name, scope)),
            Request::RestartTask { name, task, reply } => {
                reply.send(self.restart_task(&name, task));
            }
            Request::Offsets { name, reply } => self.offsets(&name, reply),
            Request::AlterOffsets { name, offsets, reply } => {
                self.alter_offsets(&name, offsets, reply);
            }
            Request::ResetTopics { name, reply } => {
                self.forget_topics(&name);
                reply.send(Ok(()));
            }
            Request::PutTaskConfigs { name, tasks, reply } => {
                let answer = self.leads_known(&name);
                reply.send(answer.and_then(|()| self.write_tasks(&name, &tasks)));
            }
            Request::Fence { name, reply } => self.fence(&name, Afterwards::Answer(reply)),
            Request::InternalAccess(reply) => reply.send(Ok(InternalAccess {
                signed: self.is_sessioned(),
                key: self.log.config().session_key.clone(),
            })),
            Request::SetLoggerLevel { namespace, level, reply } => {
                let record = config_records::logger(&namespace, &level);
                reply.send(self.write(vec![record], "Error writing logger level to Kafka"));
            }
            view => self.view(view),
        }
    }

    /// Only the leader goes on.
    pub(super) fn leads(&self) -> Answer<()> {
        if self.is_leader() { Ok(()) } else { Err(HerderError::elsewhere(self.leader_url())) }
    }

    /// Only the leader goes on, and only with a connector that there is.
    pub(super) fn leads_known(&self, name: &str) -> Answer<()> {
        self.leads()?;
        match self.log.config().contains(name) {
            true => Ok(()),
            false => Err(HerderError::no_connector(name)),
        }
    }

    /// Nobody goes on while the group has to share out anew.
    fn is_balanced(&self) -> Answer<()> {
        match self.updates.rebalance {
            true => Err(HerderError::rebalance_needed()),
            false => Ok(()),
        }
    }

    fn patch(
        &mut self,
        name: String,
        changes: BTreeMap<String, Option<String>>,
        reply: Reply<ConnectorInfo>,
    ) {
        if let Err(error) = self.leads_known(&name) {
            return reply.send(Err(error));
        }
        let Some(config) = self.log.config().config(&name) else { return };
        self.validation.patch(name, (**config).clone(), changes, reply);
    }

    /// A configuration that was found good.
    pub(super) fn put(&mut self, put: Put) {
        let Put { name, definition, create_only, initial, reply } = put;
        let created = !self.log.config().contains(&name);
        let checked = self.leads().and_then(|()| match create_only && !created {
            true => {
                let exists = format!("Connector {name} already exists");
                Err(HerderError::new(ErrorStatus::Conflict, exists))
            }
            false => Ok(()),
        });
        let written = checked.and_then(|()| {
            self.write_connector(&name, &definition.config, initial)?;
            self.info_of(&name)
        });
        match reply {
            PutReply::Info(reply) => reply.send(written),
            PutReply::Created(reply) => {
                reply.send(written.map(|info| Created { created, info }));
            }
        }
    }

    /// Any worker may write it; the connector's owners hear of it from the topic.
    fn set_target(&self, name: &str, target: TargetState) -> Answer<()> {
        if !self.log.config().contains(name) {
            return Err(HerderError::not_found(format!("Unknown connector {name}")));
        }
        self.write_target(name, target)
    }

    /// First no tasks, then the state: a connector that runs without tasks is better than a stopped
    /// one that has some, should the second write fail.
    fn stop(&mut self, name: &str) -> Answer<()> {
        self.refresh();
        if !self.log.config().contains(name) {
            return Err(HerderError::not_found(format!("Unknown connector {name}")));
        }
        self.leads()?;
        self.write_tasks(name, &[])?;
        self.write_target(name, TargetState::Stopped)?;
        self.refresh();
        Ok(())
    }

    fn known(&self, name: &str) -> Answer<()> {
        match self.config.contains(name) {
            true => Ok(()),
            false => Err(HerderError::not_found(format!("Unknown connector: {name}"))),
        }
    }

    /// Where the owner of something is; the leader knows, the others ask the leader.
    fn owner(&self, url: Option<&str>) -> HerderError {
        match self.is_leader() {
            true => HerderError::elsewhere(url.map(Into::into)),
            false => HerderError::elsewhere(self.leader_url()),
        }
    }

    fn restart_connector(
        &mut self,
        name: String,
        reply: Reply<crate::requests::ConnectorStateInfo>,
    ) {
        if let Err(error) = self.is_balanced().and_then(|()| self.known(&name)) {
            return reply.send(Err(error));
        }
        let config = self.config.config(&name).cloned();
        let Some(config) = config.filter(|_| self.work.has_connector(&name)) else {
            return reply.send(Err(self.owner(self.owners.of_connector(&name))));
        };
        let (token, target) = (self.number(), self.config.target(&name));
        self.pending.insert(token, Pending { name: name.clone(), reply });
        self.work.start_connector(&name.as_str().into(), config, target, Some(token));
    }

    fn restart_task(&mut self, name: &str, task: u32) -> Answer<()> {
        self.is_balanced()?;
        self.known(name)?;
        let id = TaskId { connector: name.into(), task };
        if self.config.task_config(&id).is_none() {
            return Err(HerderError::not_found(format!("Unknown task: {id}")));
        }
        if !self.work.has_task(&id) {
            return Err(self.owner(self.owners.of_task(&id)));
        }
        self.work.restart_task(&id, Instant::now());
        Ok(())
    }

    /// For all workers: each restarts what it has.
    fn restart(
        &mut self,
        name: &str,
        scope: RestartScope,
    ) -> Answer<crate::requests::ConnectorStateInfo> {
        self.is_balanced()?;
        self.known(name)?;
        self.leads()?;
        let plan = self.restart_plan(name, scope)?;
        let record = config_records::restart(name, scope);
        self.write_as_leader(vec![record], "Error writing restart request to Kafka")?;
        Ok(plan.shown)
    }

    fn offsets(&self, name: &str, reply: Reply<Vec<PartitionOffset>>) {
        let Some(config) = self.log.config().config(name).cloned() else {
            return reply.send(Err(HerderError::no_connector(name)));
        };
        self.desk.list(name, &config, reply);
    }

    fn alter_offsets(
        &mut self,
        name: &str,
        changes: Option<Vec<OffsetChange>>,
        reply: Reply<String>,
    ) {
        let of_source = self.plugin_of(name).is_some_and(|plugin| !plugin.is_sink());
        if !of_source || !self.exactly_once().is_enabled() {
            return self.alter_fenced(name, changes, reply);
        }
        // A task that was given up on could commit later what is written now.
        match self.is_at_rest(name) {
            Err(error) => reply.send(Err(error)),
            Ok(_) => {
                let name = name.to_owned();
                self.fence(&name.clone(), Afterwards::Alter { name, changes, reply });
            }
        }
    }

    /// The connector's configuration, if its offsets may be changed.
    fn is_at_rest(&mut self, name: &str) -> Answer<std::sync::Arc<millrace_api::Config>> {
        self.is_balanced().and_then(|()| self.leads())?;
        if !self.refresh() {
            return Err(HerderError::internal(
                "Failed to read to end of config topic before altering connector offsets",
            ));
        }
        let config = self.config.config(name).cloned();
        let config = config.ok_or_else(|| HerderError::no_connector(name))?;
        let rests =
            self.config.target(name) == TargetState::Stopped && self.config.tasks(name).is_empty();
        if !rests {
            return Err(not_at_rest(name));
        }
        Ok(config)
    }

    /// With no task left that could store other offsets.
    pub(super) fn alter_fenced(
        &mut self,
        name: &str,
        changes: Option<Vec<OffsetChange>>,
        reply: Reply<String>,
    ) {
        match self.is_at_rest(name) {
            Err(error) => reply.send(Err(error)),
            Ok(config) => self.desk.alter(name, &config, changes, reply),
        }
    }
}
