//! The incremental cooperative assignor.
//!
//! What runs stays where it runs, unless that is uneven: then the surplus is taken away in this
//! round, and given to others when its holders have stopped it and joined again. Work that is gone
//! with its worker waits for the worker's return, `scheduled.rebalance.max.delay.ms` at most. Rounds
//! that would take away right after rounds that took away wait longer and longer, so that a group
//! in which members come and go is not stirred for ever.
//!
//! Source: `IncrementalCooperativeAssignor` of Kafka 4.1, whose orders and quirks are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millrace_worker::command::TaskId;

use super::{ClusterSnapshot, Shares};
use crate::connect_protocol::ConnectorsAndTasks;
use crate::membership::Round;

/// Growth of the back-off between rounds that take away, from 1 ms on.
const BACKOFF_BASE: f64 = 40.0;

/// What the leader remembers from round to round.
#[derive(Debug)]
pub(super) struct Incremental {
    max_delay_ms: i32,
    /// All that was assigned, and all that is waited for.
    previous: Work,
    previous_revoked: Work,
    previous_generation: i32,
    previous_members: BTreeSet<String>,
    /// The last round took something away to even the load.
    revoked_in_previous: bool,
    /// Rounds in a row that would have.
    successive_revocations: u32,
    /// When lost work is given to others.
    scheduled: Option<i64>,
    delay_ms: i32,
    /// Members that were seen empty while lost work waited, in the order of their coming.
    candidates: Vec<String>,
}

/// The outcome of a round, by member.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub new: Shares,
    pub revoked: Shares,
    pub all: Shares,
    pub delay_ms: i32,
}

/// Connectors and tasks as sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Work {
    connectors: BTreeSet<Arc<str>>,
    tasks: BTreeSet<TaskId>,
}

impl Work {
    fn is_empty(&self) -> bool {
        self.connectors.is_empty() && self.tasks.is_empty()
    }

    fn add(&mut self, more: &ConnectorsAndTasks) {
        self.connectors.extend(more.connectors.iter().cloned());
        self.tasks.extend(more.tasks.iter().cloned());
    }

    fn remove(&mut self, less: &Self) {
        self.connectors.retain(|name| !less.connectors.contains(name));
        self.tasks.retain(|id| !less.tasks.contains(id));
    }

    fn minus(&self, less: &[&Self]) -> Self {
        let mut rest = self.clone();
        for one in less {
            rest.remove(one);
        }
        rest
    }

    fn meets(&self, other: &Self) -> bool {
        self.connectors.iter().any(|name| other.connectors.contains(name))
            || self.tasks.iter().any(|id| other.tasks.contains(id))
    }

    /// What of `held` is in this, in the order of `held`.
    fn of(&self, held: &ConnectorsAndTasks) -> ConnectorsAndTasks {
        let connectors = held.connectors.iter().filter(|name| self.connectors.contains(*name));
        let tasks = held.tasks.iter().filter(|id| self.tasks.contains(id));
        ConnectorsAndTasks {
            connectors: connectors.cloned().collect(),
            tasks: tasks.cloned().collect(),
        }
    }
}

/// One member's work in the making.
#[derive(Clone, Debug)]
struct Load {
    worker: String,
    work: ConnectorsAndTasks,
}

impl Incremental {
    pub fn new(max_delay_ms: i32) -> Self {
        Self {
            max_delay_ms,
            previous: Work::default(),
            previous_revoked: Work::default(),
            previous_generation: -1,
            previous_members: BTreeSet::new(),
            revoked_in_previous: false,
            successive_revocations: 0,
            scheduled: None,
            delay_ms: 0,
            candidates: Vec::new(),
        }
    }

    pub fn assign(&mut self, round: &Round, snapshot: &ClusterSnapshot, now_ms: i64) -> Outcome {
        if round.members.is_empty() {
            return Outcome::default();
        }
        if self.previous_generation != round.last_completed_generation {
            // Another led meanwhile, or this leader's last assignment did not arrive.
            self.previous = Work::default();
        }
        let held: Vec<Load> = round
            .members
            .iter()
            .map(|(id, state)| {
                let assignment = state.assignment.as_ref();
                Load {
                    worker: id.clone(),
                    work: assignment.map(|a| a.work.clone()).unwrap_or_default(),
                }
            })
            .collect();
        let configured = Work {
            connectors: snapshot.connectors.keys().cloned().collect(),
            tasks: snapshot.tasks().collect(),
        };
        let (active, duplicated) = active_and_duplicated(&held);
        let previous_revoked = std::mem::take(&mut self.previous_revoked);
        if previous_revoked.meets(&active) {
            // What was to be given up was not: start again from what runs.
            self.previous = active.clone();
        }
        let deleted = self.previous.minus(&[&configured]);
        let lost = self.previous.minus(&[&active, &deleted]);
        let created = configured.minus(&[&self.previous, &active]);

        let mut surplus = duplicated;
        surplus.connectors.extend(deleted.connectors.iter().cloned());
        surplus.tasks.extend(deleted.tasks.iter().cloned());
        let mut revoked: Shares = BTreeMap::new();
        let mut next = held.clone();
        for load in &mut next {
            let away = surplus.of(&load.work);
            load.work = load.work.without(&away);
            add_share(&mut revoked, &load.worker, &away);
        }
        let reassigned = self.handle_lost(&lost, &mut next, now_ms);
        if self.delay_ms == 0 {
            let even = even_out(&configured, &next);
            self.revoke(even, &mut next, &mut revoked, now_ms);
        } else {
            self.revoked_in_previous = false;
        }
        let missing = [created, reassigned];
        assign_connectors(&mut next, missing.iter().flat_map(|work| &work.connectors));
        assign_tasks(&mut next, missing.iter().flat_map(|work| &work.tasks));
        self.remember(round, &lost, &next, &revoked);
        self.outcome(&held, &deleted, next, revoked)
    }

    /// Sees to work that nobody holds any more. Returns what is to be given to anybody now; gives
    /// the rest to candidates, or waits ([`Self::delay_ms`]).
    fn handle_lost(&mut self, lost: &Work, next: &mut [Load], now_ms: i64) -> Work {
        if lost.is_empty() && !self.revoked_in_previous {
            self.reset_delay();
            return Work::default();
        }
        let present = |id: &String| next.iter().any(|load| load.worker == *id);
        let nobody_left = self.scheduled.is_none() && self.previous_members.iter().all(present);
        // Nobody left, so members have missed their assignment; or there is nothing to wait for.
        if nobody_left || self.max_delay_ms == 0 {
            return lost.clone();
        }
        match self.scheduled {
            Some(scheduled) if now_ms >= scheduled => {
                let mut places: Vec<usize> = Vec::new();
                for id in &self.candidates {
                    places.extend(next.iter().position(|load| load.worker == *id));
                }
                self.reset_delay();
                self.revoked_in_previous = false;
                if places.is_empty() {
                    return lost.clone();
                }
                for (name, place) in lost.connectors.iter().zip(places.iter().cycle()) {
                    next[*place].work.connectors.push(Arc::clone(name));
                }
                for (id, place) in lost.tasks.iter().zip(places.iter().cycle()) {
                    next[*place].work.tasks.push(id.clone());
                }
            }
            scheduled => {
                for load in next.iter().filter(|load| load.work.is_empty()) {
                    if !self.candidates.contains(&load.worker) {
                        self.candidates.push(load.worker.clone());
                    }
                }
                let left = scheduled.map_or(i64::from(self.max_delay_ms), |at| at - now_ms);
                self.delay_ms = left.min(i64::from(self.max_delay_ms)) as i32;
                self.scheduled = Some(now_ms + i64::from(self.delay_ms));
            }
        }
        Work::default()
    }

    fn reset_delay(&mut self) {
        self.candidates.clear();
        self.scheduled = None;
        self.delay_ms = 0;
    }

    /// Takes `even` away, unless the last round took away, too: then a back-off is waited for first.
    fn revoke(&mut self, even: Shares, next: &mut [Load], revoked: &mut Shares, now_ms: i64) {
        if even.is_empty() {
            if self.revoked_in_previous {
                self.revoked_in_previous = false;
                self.successive_revocations = 0;
            }
            return;
        }
        if self.revoked_in_previous {
            self.successive_revocations += 1;
            self.delay_ms = backoff_ms(self.successive_revocations, self.max_delay_ms);
            if self.delay_ms != 0 {
                self.scheduled = Some(now_ms + i64::from(self.delay_ms));
                return;
            }
        } else {
            self.revoked_in_previous = true;
        }
        for load in next {
            if let Some(away) = even.get(&load.worker) {
                load.work = load.work.without(away);
                add_share(revoked, &load.worker, away);
            }
        }
    }

    fn remember(&mut self, round: &Round, lost: &Work, next: &[Load], revoked: &Shares) {
        self.previous = Work::default();
        next.iter().for_each(|load| self.previous.add(&load.work));
        revoked.values().for_each(|work| self.previous_revoked.add(work));
        let previous_revoked = std::mem::take(&mut self.previous_revoked);
        self.previous.remove(&previous_revoked);
        self.previous_revoked = previous_revoked;
        self.previous.connectors.extend(lost.connectors.iter().cloned());
        self.previous.tasks.extend(lost.tasks.iter().cloned());
        self.previous_generation = round.generation;
        self.previous_members = round.members.keys().cloned().collect();
    }

    fn outcome(&self, held: &[Load], deleted: &Work, next: Vec<Load>, revoked: Shares) -> Outcome {
        let held: BTreeMap<&str, ConnectorsAndTasks> = held
            .iter()
            .map(|load| {
                let kept = load.work.without(&deleted.of(&load.work));
                (load.worker.as_str(), kept)
            })
            .collect();
        let mut outcome = Outcome { delay_ms: self.delay_ms, ..Outcome::default() };
        for load in next {
            let new = held.get(&*load.worker).map(|held| load.work.without(held));
            outcome.new.insert(load.worker.clone(), new.unwrap_or_default());
            let all = match revoked.get(&load.worker) {
                Some(revoked) => load.work.without(revoked),
                None => load.work,
            };
            outcome.all.insert(load.worker, all);
        }
        outcome.revoked = revoked;
        outcome
    }
}

fn add_share(shares: &mut Shares, worker: &str, more: &ConnectorsAndTasks) {
    if !more.is_empty() {
        let share = shares.entry(worker.to_owned()).or_default();
        *share = share.with(more);
    }
}

/// All that members say they run, and what more than one of them runs.
fn active_and_duplicated(held: &[Load]) -> (Work, Work) {
    let (mut active, mut duplicated) = (Work::default(), Work::default());
    for load in held {
        for name in &load.work.connectors {
            if !active.connectors.insert(Arc::clone(name)) {
                duplicated.connectors.insert(Arc::clone(name));
            }
        }
        for id in &load.work.tasks {
            if !active.tasks.insert(id.clone()) {
                duplicated.tasks.insert(id.clone());
            }
        }
    }
    (active, duplicated)
}

/// What is to be taken from whom, so that connectors and tasks can each be spread evenly.
fn even_out(configured: &Work, next: &[Load]) -> Shares {
    let mut shares = Shares::new();
    if configured.is_empty() || next.iter().all(|load| load.work.is_empty()) {
        return shares;
    }
    let connectors: Vec<usize> = next.iter().map(|load| load.work.connectors.len()).collect();
    let tasks: Vec<usize> = next.iter().map(|load| load.work.tasks.len()).collect();
    let connectors = surplus(configured.connectors.len(), &connectors);
    let tasks = surplus(configured.tasks.len(), &tasks);
    for ((load, connectors), tasks) in next.iter().zip(connectors).zip(tasks) {
        let away = ConnectorsAndTasks {
            connectors: load.work.connectors[..connectors].to_vec(),
            tasks: load.work.tasks[..tasks].to_vec(),
        };
        add_share(&mut shares, &load.worker, &away);
    }
    shares
}

/// How many each of the `loads` has too many of, when `total` are to be shared.
fn surplus(total: usize, loads: &[usize]) -> Vec<usize> {
    let least = total / loads.len();
    let mut extras = total % loads.len();
    let at_least = loads.iter().filter(|load| **load == least).count();
    let with_extra = loads.iter().filter(|load| **load == least + 1).count();
    if with_extra == extras && at_least + with_extra == loads.len() {
        return vec![0; loads.len()];
    }
    let of = |load: &usize| {
        if *load <= least {
            return 0;
        }
        if extras == 0 {
            return load - least;
        }
        extras -= 1;
        load - least - 1
    };
    loads.iter().map(of).collect()
}

/// Deals to those with the fewest connectors, one each, until all have as many; and so on.
fn assign_connectors<'a>(next: &mut [Load], names: impl Iterator<Item = &'a Arc<str>>) {
    let count = |load: &Load| load.work.connectors.len();
    deal(next, names, count, |load, name| load.work.connectors.push(Arc::clone(name)));
}

fn assign_tasks<'a>(next: &mut [Load], ids: impl Iterator<Item = &'a TaskId>) {
    let count = |load: &Load| load.work.tasks.len();
    deal(next, ids, count, |load, id| load.work.tasks.push(id.clone()));
}

fn deal<T>(
    next: &mut [Load],
    items: impl Iterator<Item = T>,
    count: impl Fn(&Load) -> usize,
    give: impl Fn(&mut Load, T),
) {
    next.sort_by(|one, other| (count(one), &one.worker).cmp(&(count(other), &other.worker)));
    let mut items = items.peekable();
    while items.peek().is_some() {
        let Some(first) = next.first().map(&count) else { return };
        let fewest = next.iter().take_while(|load| count(load) <= first).count();
        for load in &mut next[..fewest] {
            let Some(item) = items.next() else { return };
            give(load, item);
        }
    }
}

/// 40, 1,600, … milliseconds, `max_ms` at most; Java's arithmetic, so that leaders agree.
pub(super) fn backoff_ms(attempts: u32, max_ms: i32) -> i32 {
    if max_ms <= 1 {
        return max_ms.max(0);
    }
    let exponent = f64::from(max_ms).ln() / BACKOFF_BASE.ln();
    let backoff = BACKOFF_BASE.powf(f64::from(attempts).min(exponent));
    (backoff as i64).min(i64::from(max_ms)) as i32
}
