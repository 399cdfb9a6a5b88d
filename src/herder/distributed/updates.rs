//! Acting on what the config topic brought, once the group is at rest.

use std::sync::Arc;
use std::time::Instant;

use millrace_worker::command::TaskId;

use super::{DistributedHerder, Updates};
use crate::requests::RestartScope;
use crate::stores::status_log::Subject;

impl Updates {
    fn is_empty(&self) -> bool {
        !self.rebalance
            && self.connectors.is_empty()
            && self.tasks.is_empty()
            && self.targets.is_empty()
    }
}

impl DistributedHerder {
    /// A changed connector is started anew where it runs; changed tasks too; what came or went is
    /// for the group to share out.
    pub(super) fn act_on_updates(&mut self) {
        if !self.resolved {
            return;
        }
        for (name, scope) in self.updates.restarts.take() {
            self.restart_here(&name, scope);
        }
        if self.updates.is_empty() {
            return;
        }
        let updates = Updates {
            restarts: std::mem::take(&mut self.updates.restarts),
            ..std::mem::take(&mut self.updates)
        };
        self.config = self.log.config().clone();
        let now = Instant::now();
        for name in updates.connectors {
            let Some(config) = self.config.config(&name).cloned() else { continue };
            if self.work.has_connector(&name) && !self.work.is_current(&name, &config) {
                let target = self.config.target(&name);
                self.work.start_connector(&name, config, target, None);
            }
        }
        for name in updates.targets {
            if let Some(config) = self.config.config(&name).cloned() {
                let target = self.config.target(&name);
                tracing::info!(connector = %name, ?target, "target state");
                self.work.set_target(&name, target, config);
            }
        }
        for id in updates.tasks {
            self.renew_task(&id, now);
        }
        self.carry_out();
        if updates.rebalance {
            self.rejoin("connectors or tasks changed");
        }
    }

    /// Starts a task anew that runs here by other settings. One that is no more goes by the
    /// rebalance.
    fn renew_task(&mut self, id: &TaskId, now: Instant) {
        let Some(recipe) = self.recipe(id) else { return };
        if self.work.recipe(id).is_none_or(|known| *known == recipe) {
            return;
        }
        let target = self.config.target(&id.connector);
        self.work.stop_task(id, now);
        self.work.start_task(id, recipe, target);
    }

    /// Carries a restart out that the whole cluster was asked for.
    fn restart_here(&mut self, name: &Arc<str>, scope: RestartScope) {
        let Ok(plan) = self.restart_plan(name, scope) else { return };
        let now = Instant::now();
        tracing::info!(connector = %name, ?scope, "restarting what of it is here");
        for id in plan.tasks.iter().filter(|id| self.work.has_task(id)).cloned().collect::<Vec<_>>()
        {
            self.tell_status(Subject::Task(id.clone()), "RESTARTING", None);
            self.work.restart_task(&id, now);
        }
        if plan.connector
            && self.work.has_connector(name)
            && let Some(config) = self.config.config(name).cloned()
        {
            self.tell_status(Subject::Connector(Arc::clone(name)), "RESTARTING", None);
            let target = self.config.target(name);
            self.work.start_connector(name, config, target, None);
        }
        self.carry_out();
    }
}
