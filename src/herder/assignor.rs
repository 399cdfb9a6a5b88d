//! How the leader shares connectors and tasks out among the workers. Decides by its arguments and by
//! what it remembers of earlier rounds; time is an argument, so that rounds can be replayed.
//!
//! [`eager`] deals all the work anew. [`incremental`] moves only what must move, in two rounds
//! (taken away, then given), and waits for a worker that went away before it gives its work to
//! others. Both decide as Kafka 4.1's assignors do, so that leaders of either kind can follow one
//! another.

mod eager;
mod incremental;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_worker::command::TaskId;

use crate::connect_protocol::{Assignment, AssignmentError, ConnectorsAndTasks};
use crate::membership::Round;

use incremental::Incremental;

/// What there is to run, as the leader has read it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterSnapshot {
    /// The next offset of the config topic.
    pub config_offset: i64,
    /// All connectors with the number of their tasks; 0 tasks where the task configurations are not
    /// complete.
    pub connectors: BTreeMap<Arc<str>, u32>,
}

impl ClusterSnapshot {
    fn tasks(&self) -> impl Iterator<Item = TaskId> {
        self.connectors.iter().flat_map(|(name, count)| {
            (0..*count).map(|task| TaskId { connector: Arc::clone(name), task })
        })
    }
}

/// What the leader tells the group, and keeps for itself.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub assignments: BTreeMap<String, Assignment>,
    pub owners: Owners,
}

/// Which worker runs what (`LeaderState`): for requests that go to the owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    /// REST URLs by member id.
    pub urls: BTreeMap<String, String>,
    /// Members by connector.
    pub connectors: BTreeMap<Arc<str>, String>,
    /// Members by task.
    pub tasks: BTreeMap<TaskId, String>,
}

impl Owners {
    /// The REST URL of the worker that runs the connector.
    pub fn of_connector(&self, name: &str) -> Option<&str> {
        self.urls.get(self.connectors.get(name)?).map(String::as_str)
    }

    /// The REST URL of the worker that runs the task.
    pub fn of_task(&self, id: &TaskId) -> Option<&str> {
        self.urls.get(self.tasks.get(id)?).map(String::as_str)
    }
}

/// The share of each member, by id.
type Shares = BTreeMap<String, ConnectorsAndTasks>;

/// The assignors of one worker; keep it across rounds, also while others lead.
#[derive(Debug)]
pub struct Assignor {
    incremental: Incremental,
}

impl Assignor {
    /// `max_delay_ms` is `scheduled.rebalance.max.delay.ms`: how long the work of a worker that went
    /// away waits for it.
    pub fn new(max_delay_ms: i32) -> Self {
        Self { incremental: Incremental::new(max_delay_ms) }
    }

    /// Assigns. A leader that has read less than a member gives nobody anything, so that all read on
    /// and join again; take the snapshot after the round began. `now_ms` is of any clock that does
    /// not go back.
    pub fn assign(&mut self, round: &Round, snapshot: &ClusterSnapshot, now_ms: i64) -> Plan {
        let read = round.members.values().map(|state| state.config_offset).max().unwrap_or(-1);
        let leader_url = round.members.get(&round.leader).map(|state| state.url.clone());
        let blank = Assignment {
            leader: round.leader.clone(),
            leader_url: leader_url.unwrap_or_default(),
            config_offset: snapshot.config_offset,
            ..Assignment::default()
        };
        if snapshot.config_offset < read {
            tracing::info!(
                ours = snapshot.config_offset,
                theirs = read,
                "was selected to perform assignments, but has not read the latest configuration \
                 that a member has; returning an empty assignment to trigger re-sync"
            );
            let failed =
                Assignment { error: AssignmentError::ConfigMismatch, config_offset: read, ..blank };
            let of = |id: &String| (id.clone(), failed.clone());
            return Plan { assignments: round.members.keys().map(of).collect(), ..Plan::default() };
        }
        let urls = round.members.iter().map(|(id, state)| (id.clone(), state.url.clone()));
        let mut plan = Plan {
            owners: Owners { urls: urls.collect(), ..Owners::default() },
            ..Plan::default()
        };
        if round.protocol.is_eager() {
            let shares = eager::assign(&round.members, snapshot);
            plan.owners.take(&shares);
            let of = |(id, work)| (id, Assignment { work, ..blank.clone() });
            plan.assignments = shares.into_iter().map(of).collect();
            return plan;
        }
        let outcome = self.incremental.assign(round, snapshot, now_ms);
        plan.owners.take(&outcome.all);
        let mut revoked = outcome.revoked;
        let of = |(id, work): (String, ConnectorsAndTasks)| {
            let revoked = revoked.remove(&id).unwrap_or_default();
            (id, Assignment { work, revoked, delay_ms: outcome.delay_ms, ..blank.clone() })
        };
        plan.assignments = outcome.new.into_iter().map(of).collect();
        plan
    }
}

impl Owners {
    fn take(&mut self, shares: &Shares) {
        for (id, work) in shares {
            self.connectors
                .extend(work.connectors.iter().map(|name| (Arc::clone(name), id.clone())));
            self.tasks.extend(work.tasks.iter().map(|task| (task.clone(), id.clone())));
        }
    }
}
