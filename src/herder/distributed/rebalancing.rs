//! What the group says, and what follows from it for the work here.

use std::time::{Duration, Instant};

use millrace_worker::command::TaskId;

use super::work::Recipe;
use super::{DistributedHerder, LAST_WRITES};
use crate::assignor::ClusterSnapshot;
use crate::connect_protocol::{ConnectProtocol, ConnectorsAndTasks};
use crate::membership::{Assigned, MemberEvent, MemberReply, Round};
use crate::stores::topics::Which;

/// Work that the group takes away, until it has stopped and its statuses are written.
pub(super) struct Revoking {
    work: ConnectorsAndTasks,
    reply: MemberReply<()>,
    /// The others are not kept waiting for longer.
    limit: Instant,
}

/// The stage of a worker that is in no group, in the JVM's words.
pub(super) const SEEKING: &str = "ensuring membership in the cluster";
/// Attempts to catch up with the config topic before the work is given up.
const ATTEMPTS: u32 = 5;

impl DistributedHerder {
    pub(super) fn member(&mut self, event: MemberEvent) {
        match event {
            MemberEvent::Prepare { reply } => {
                self.context.stage.begin("rebalancing");
                self.rebalances.begin(Instant::now());
                self.resolved = false;
                // The round that comes shares out what is known now.
                self.updates.rebalance = false;
                self.config = self.log.config().clone();
                reply.send(self.config.offset);
            }
            MemberEvent::Revoked { work, reply } => self.revoke(work, reply),
            MemberEvent::Assign { round, reply } => {
                self.config = self.log.config().clone();
                self.updates.rebalance = false;
                let now = i64::try_from(self.begin.elapsed().as_millis()).unwrap_or(i64::MAX);
                let plan = self.assignor.assign(&round, &self.snapshot(), now);
                self.owners = plan.owners;
                log_round(&round);
                reply.send(plan.assignments);
            }
            MemberEvent::Assigned(assigned) => self.assigned(assigned),
            MemberEvent::Unreachable { why } => {
                tracing::warn!("the group's coordinator can't be reached: {why}");
            }
            MemberEvent::Lost { why } => {
                tracing::error!(
                    "{why}; stopping all connectors and tasks, others may run them soon"
                );
                self.context.stage.begin(SEEKING);
                self.resolved = false;
                self.assignment = None;
                self.claim_or_relinquish();
                self.stop_all(Instant::now());
            }
            MemberEvent::Fatal { message } => self.failure = Some(message),
        }
    }

    fn snapshot(&self) -> ClusterSnapshot {
        let count = |name: &str| self.config.tasks(name).len() as u32;
        let connectors = self.config.connectors();
        ClusterSnapshot {
            config_offset: self.config.offset,
            connectors: connectors.map(|(name, _)| (name.clone(), count(name))).collect(),
        }
    }

    fn revoke(&mut self, work: ConnectorsAndTasks, reply: MemberReply<()>) {
        tracing::info!("giving up {work}");
        let now = Instant::now();
        for id in &work.tasks {
            self.work.stop_task(id, now);
        }
        for name in &work.connectors {
            self.work.stop_connector(name, now);
        }
        self.carry_out();
        let limit = now + self.context.config.graceful_timeout() + LAST_WRITES;
        self.revoking = Some(Revoking { work, reply, limit });
    }

    /// Lets the group go on when what it takes away has ended.
    pub(super) fn release_revoked(&mut self, now: Instant) {
        let Some(revoking) = &self.revoking else { return };
        let busy = self.work.is_leaving(&revoking.work) || !self.status_queue.is_empty();
        if busy && now < revoking.limit {
            return;
        }
        if let Some(Revoking { reply, .. }) = self.revoking.take() {
            reply.send(());
        }
    }

    fn assigned(&mut self, assigned: Assigned) {
        let assignment = &assigned.assignment;
        let (offset, failed) = (assignment.config_offset, assignment.failed());
        // The membership joins again by itself.
        let goes_on = failed || !assignment.revoked.is_empty();
        tracing::info!(
            generation = assigned.generation,
            leader = assigned.is_leader(),
            offset,
            delay_ms = assignment.delay_ms,
            "joined the group: {} connectors and tasks here, {} of them new{}",
            assignment.work.len(),
            assigned.added.len(),
            if failed { "; the leader could not assign" } else { "" }
        );
        self.generation = assigned.generation;
        let leads = assigned.is_leader();
        self.assignment = Some(assigned);
        if !leads {
            self.owners = Default::default();
        }
        self.claim_or_relinquish();
        let behind = self.config.offset < offset || (failed && leads);
        if behind && !self.catch_up_now() {
            return;
        }
        self.catch_up_tries = 0;
        if failed {
            return;
        }
        if self.config.offset != offset {
            tracing::info!(
                ours = self.config.offset,
                theirs = offset,
                "the config topic went on meanwhile; rebalancing again"
            );
            return self.rejoin("the config topic was read beyond the assignment's offset");
        }
        self.start_work();
        if leads {
            self.forget_deleted_statuses();
        }
        self.resolved = !goes_on;
        if self.resolved {
            self.rebalances.end(Instant::now());
            self.context.stage.end();
        }
    }

    pub(super) fn rejoin(&mut self, reason: &str) {
        self.resolved = false;
        if let Some(member) = &self.member {
            member.rejoin(reason);
        }
    }

    /// Starts what is assigned and does not run here yet.
    fn start_work(&mut self) {
        let Some(assigned) = &self.assignment else { return };
        let ConnectorsAndTasks { connectors, tasks } = assigned.assignment.work.clone();
        for name in connectors {
            if self.work.has_connector(&name) {
                continue;
            }
            match self.config.config(&name) {
                Some(config) => {
                    let (config, target) = (config.clone(), self.config.target(&name));
                    self.work.start_connector(&name, config, target, None);
                }
                None => tracing::error!(connector = %name, "is assigned, but has no configuration"),
            }
        }
        for id in tasks {
            if self.work.has_task(&id) {
                continue;
            }
            match self.recipe(&id) {
                Some(recipe) => {
                    let target = self.config.target(&id.connector);
                    self.work.start_task(&id, recipe, target);
                }
                None => tracing::error!(task = %id, "is assigned, but has no configuration"),
            }
        }
        self.carry_out();
    }

    pub(super) fn recipe(&self, id: &TaskId) -> Option<Recipe> {
        let entry = self.config.connector(&id.connector)?;
        let connector = entry.config.clone()?;
        let source = self.plugin_by(&connector).is_some_and(|plugin| !plugin.is_sink());
        // Fenced by whoever brings the next set up, a task has to start anew with it.
        let together = source && self.exactly_once().is_enabled();
        let task_generation = entry.task_generation.filter(|_| together);
        let task = self.config.task_config(id)?.clone();
        Some(Recipe { connector, task, task_generation })
    }

    fn sync_timeout(&self) -> Duration {
        let millis = self.context.config.parsed().long("worker.sync.timeout.ms");
        Duration::from_millis(millis.max(0) as u64)
    }

    /// Brings [`Self::config`] up to the topic's end of now. False if that takes too long.
    pub(super) fn refresh(&mut self) -> bool {
        let outcome = self.read_to_end(Which::Config, self.sync_timeout());
        if let Err(why) = &outcome {
            tracing::warn!("the config topic: {why}");
        }
        self.config = self.log.config().clone();
        outcome.is_ok()
    }

    /// [`Self::refresh`]; where that takes too long, leaves the group for a while, so that the others
    /// need not wait.
    fn catch_up_now(&mut self) -> bool {
        if self.refresh() {
            return true;
        }
        tracing::warn!("leaving the group for a while: taking too long to read the log");
        if let Some(member) = &self.member {
            member.leave("taking too long to read the log");
        }
        self.resolved = false;
        self.catch_up_at = Some(Instant::now() + self.unsync_backoff());
        false
    }

    fn unsync_backoff(&self) -> Duration {
        let long = |key: &str| self.context.config.parsed().long(key).max(0) as u64;
        let eager = self.assignment.as_ref().is_some_and(|known| known.protocol.is_eager());
        Duration::from_millis(match eager {
            true => long("worker.unsync.backoff.ms"),
            false => {
                let left = ATTEMPTS.saturating_sub(self.catch_up_tries).max(1);
                long("scheduled.rebalance.max.delay.ms") / 10 / u64::from(left)
            }
        })
    }

    /// Tries again what [`Self::catch_up_now`] gave up.
    pub(super) fn catch_up(&mut self, now: Instant) {
        if self.catch_up_at.is_none_or(|at| now < at) {
            return;
        }
        if self.refresh() {
            self.catch_up_at = None;
            self.catch_up_tries = 0;
            return self.rejoin("caught up with the config topic");
        }
        self.catch_up_tries += 1;
        if self.catch_up_tries == ATTEMPTS {
            tracing::error!("can't catch up with the config topic; stopping all work");
            self.stop_all(now);
            if let Some(member) = &self.member {
                member.forget();
            }
        }
        self.catch_up_at = Some(Instant::now() + self.unsync_backoff());
    }

    pub(super) fn is_sessioned(&self) -> bool {
        let protocol = self.assignment.as_ref().map(|assigned| assigned.protocol);
        protocol == Some(ConnectProtocol::Sessioned)
    }
}

fn log_round(round: &Round) {
    let members: Vec<_> = round.members.values().map(|state| state.url.as_str()).collect();
    tracing::info!(generation = round.generation, "assigned work as the leader to {members:?}");
}
