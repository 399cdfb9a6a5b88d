//! The worked rounds, and what every assignment must be.

use std::collections::BTreeSet;

use super::*;
use crate::connect_protocol::{ConnectProtocol, WorkerState};

const DELAY: i32 = 300_000;

/// A group with an assignor, whose members take what they are given.
struct Group {
    assignor: Assignor,
    protocol: ConnectProtocol,
    members: BTreeMap<String, WorkerState>,
    snapshot: ClusterSnapshot,
    generation: i32,
    now_ms: i64,
}

impl Group {
    fn new(connectors: &[(&str, u32)]) -> Self {
        let mut group = Self {
            assignor: Assignor::new(DELAY),
            protocol: ConnectProtocol::Sessioned,
            members: BTreeMap::new(),
            snapshot: ClusterSnapshot { config_offset: 7, ..ClusterSnapshot::default() },
            generation: 0,
            now_ms: 1_000,
        };
        group.configure(connectors);
        group
    }

    fn configure(&mut self, connectors: &[(&str, u32)]) {
        self.snapshot.connectors =
            connectors.iter().map(|(name, tasks)| (Arc::from(*name), *tasks)).collect();
    }

    fn join(&mut self, id: &str) {
        let state =
            WorkerState { url: format!("http://{id}/"), config_offset: 7, assignment: None };
        self.members.insert(id.to_owned(), state);
    }

    fn leave(&mut self, id: &str) -> WorkerState {
        self.members.remove(id).unwrap()
    }

    fn round(&mut self) -> Plan {
        let round = Round {
            protocol: self.protocol,
            generation: self.generation + 1,
            last_completed_generation: self.generation,
            leader: self.members.keys().next().unwrap().clone(),
            members: self.members.clone(),
        };
        self.generation += 1;
        let plan = self.assignor.assign(&round, &self.snapshot, self.now_ms);
        for (id, given) in &plan.assignments {
            let state = self.members.get_mut(id).unwrap();
            let held = state.assignment.take().map(|a| a.work).unwrap_or_default();
            let mut given = given.clone();
            given.work = given.work.with(&held.without(&given.revoked));
            state.assignment = Some(given);
        }
        plan
    }

    /// Rounds until nothing is taken away; the number of them.
    fn settle(&mut self) -> usize {
        for rounds in 1..20 {
            let plan = self.round();
            let delay = plan.assignments.values().map(|a| a.delay_ms).max().unwrap_or(0);
            if plan.assignments.values().all(|a| a.revoked.is_empty()) {
                if delay == 0 {
                    return rounds;
                }
                self.now_ms += i64::from(delay);
            }
        }
        panic!("the group does not come to rest");
    }

    fn held(&self, id: &str) -> ConnectorsAndTasks {
        self.members[id].assignment.clone().map(|a| a.work).unwrap_or_default()
    }

    fn loads(&self) -> Vec<(usize, usize)> {
        let of = |id: &String| (self.held(id).connectors.len(), self.held(id).tasks.len());
        self.members.keys().map(of).collect()
    }

    fn check_complete(&self) {
        let all: Vec<_> = self.members.keys().map(|id| self.held(id)).collect();
        let connectors: Vec<_> = all.iter().flat_map(|work| work.connectors.clone()).collect();
        let tasks: Vec<_> = all.iter().flat_map(|work| work.tasks.clone()).collect();
        assert_eq!(connectors.len(), self.snapshot.connectors.len());
        assert_eq!(tasks.len(), self.snapshot.tasks().count());
        assert_eq!(tasks.iter().cloned().collect::<BTreeSet<_>>(), self.snapshot.tasks().collect());
        let even =
            |counts: Vec<usize>| counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1;
        let (connectors, tasks) = self.loads().into_iter().unzip();
        assert!(even(connectors) && even(tasks), "{:?}", self.loads());
    }
}

fn task_numbers(work: &ConnectorsAndTasks) -> Vec<u32> {
    work.tasks.iter().map(|id| id.task).collect()
}

/// Two workers that share connector X with its four tasks.
fn two_workers() -> Group {
    let mut group = Group::new(&[("X", 4)]);
    group.join("A");
    let first = group.round();
    assert_eq!(task_numbers(&first.assignments["A"].work), [0, 1, 2, 3]);
    assert_eq!(first.owners.of_connector("X"), Some("http://A/"));
    group.join("B");
    let second = group.round();
    assert_eq!(task_numbers(&second.assignments["A"].revoked), [0, 1], "the front of the list");
    assert!(second.assignments["B"].work.is_empty());
    assert!(second.assignments["A"].revoked.connectors.is_empty());
    let third = group.round();
    assert_eq!(task_numbers(&third.assignments["B"].work), [0, 1]);
    assert!(third.assignments["A"].revoked.is_empty() && third.assignments["A"].work.is_empty());
    assert_eq!(group.loads(), [(1, 2), (0, 2)]);
    group
}

#[test]
fn lost_work_waits_for_its_worker_and_is_given_to_it() {
    let mut group = two_workers();
    group.leave("B");
    let fourth = group.round();
    assert_eq!(fourth.assignments["A"].delay_ms, DELAY);
    assert!(fourth.assignments["A"].work.is_empty());
    group.now_ms += 60_000;
    group.join("B2");
    let fifth = group.round();
    assert_eq!(fifth.assignments["A"].delay_ms, 240_000);
    assert!(fifth.assignments["B2"].work.is_empty());
    group.now_ms += 240_000;
    let sixth = group.round();
    assert_eq!(task_numbers(&sixth.assignments["B2"].work), [0, 1]);
    assert_eq!(sixth.assignments["A"].delay_ms, 0);
}

#[test]
fn lost_work_goes_to_those_who_are_left_when_nobody_returns() {
    let mut group = two_workers();
    group.leave("B");
    group.round();
    group.configure(&[("X", 4), ("Y", 1)]);
    let meanwhile = group.round();
    let new: Vec<_> =
        meanwhile.assignments["A"].work.tasks.iter().map(ToString::to_string).collect();
    assert_eq!(new, ["Y-0"], "what is new does not wait");
    assert_eq!(meanwhile.assignments["A"].delay_ms, DELAY);
    group.now_ms += i64::from(DELAY);
    let last = group.round();
    assert_eq!(task_numbers(&last.assignments["A"].work), [0, 1]);
}

#[test]
fn a_new_leader_gives_lost_work_away_at_once() {
    let mut group = two_workers();
    group.leave("A");
    group.assignor = Assignor::new(DELAY);
    let plan = group.round();
    assert_eq!(plan.assignments["B"].delay_ms, 0);
    assert_eq!(group.loads(), [(1, 4)]);
    assert_eq!(task_numbers(&plan.assignments["B"].work), [2, 3]);
}

#[test]
fn without_a_delay_lost_work_moves_at_once() {
    let mut group = two_workers();
    group.assignor = Assignor::new(0);
    group.round();
    group.leave("B");
    let plan = group.round();
    assert_eq!(task_numbers(&plan.assignments["A"].work), [0, 1]);
}

#[test]
fn what_is_deleted_or_run_twice_is_taken_from_all_its_holders() {
    let mut group = two_workers();
    group.configure(&[("X", 1)]);
    let plan = group.round();
    assert_eq!(task_numbers(&plan.assignments["A"].revoked), [2, 3]);
    assert_eq!(task_numbers(&plan.assignments["B"].revoked), [1]);
    let x0 = group.held("B").tasks[0].clone();
    group.members.get_mut("A").unwrap().assignment.as_mut().unwrap().work.tasks.push(x0);
    let plan = group.round();
    assert_eq!(task_numbers(&plan.assignments["A"].revoked), [0]);
    assert_eq!(task_numbers(&plan.assignments["B"].revoked), [0]);
    group.settle();
    group.check_complete();
}

#[test]
fn a_leader_that_lags_gives_nobody_anything() {
    let mut group = two_workers();
    group.members.get_mut("B").unwrap().config_offset = 9;
    for protocol in [ConnectProtocol::Eager, ConnectProtocol::Sessioned] {
        group.protocol = protocol;
        let before = group.members.clone();
        let plan = group.round();
        group.members = before;
        let given = &plan.assignments["A"];
        assert!(given.failed() && given.work.is_empty() && given.revoked.is_empty());
        assert_eq!((given.config_offset, &*given.leader_url), (9, "http://A/"));
        assert_eq!(plan.owners, Owners::default());
    }
}

#[test]
fn the_eager_assignor_deals_round() {
    let mut group = Group::new(&[("c1", 2), ("c2", 1), ("c3", 0)]);
    group.protocol = ConnectProtocol::Eager;
    group.join("A");
    group.join("B");
    let plan = group.round();
    let texts = |id: &str| plan.assignments[id].work.to_string();
    assert_eq!(texts("A"), "connectors [c1, c3], tasks [c1-1]");
    assert_eq!(texts("B"), "connectors [c2], tasks [c1-0, c2-0]");
}

#[test]
fn successive_revocations_wait_longer_and_longer() {
    assert_eq!([0, 1, 2, 3, 4].map(|n| backoff(n, DELAY)), [1, 40, 1600, 64_000, 300_000]);
    assert_eq!(backoff(3, 0), 0);
    assert_eq!(backoff(3, 1), 1);
}

fn backoff(attempts: u32, max_ms: i32) -> i32 {
    // The last step may lose a millisecond to the logarithm, as in Java.
    let backoff = incremental::backoff_ms(attempts, max_ms);
    if max_ms - backoff == 1 { max_ms } else { backoff }
}

#[test]
fn a_thousand_connectors_come_to_rest_after_each_change() {
    let names: Vec<String> = (0..1_000).map(|n| format!("c{n:04}")).collect();
    let connectors: Vec<(&str, u32)> = names.iter().map(|name| (&**name, 1)).collect();
    let mut group = Group::new(&connectors);
    for id in ["A", "B", "C"] {
        group.join(id);
        group.settle();
        group.check_complete();
    }
    group.leave("B");
    group.settle();
    group.check_complete();
}
