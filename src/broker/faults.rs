//! A switch that makes the broker misbehave on purpose, for tests.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultAction {
    /// Answer with this error code instead of doing what was asked: the partition's error where the
    /// response has partitions, else its own.
    Error(i16),
    /// Do it, and ask the client to hold back for this long.
    Throttle(Duration),
    /// Wait, then do it.
    Delay(Duration),
    /// Close the connection; what was asked is not done.
    Disconnect,
    /// Do it, and close the connection instead of answering: the client cannot know.
    DisconnectAfter,
    /// Fetch only: flip a bit in the last byte that is sent of the partition.
    CorruptCrc,
}

/// A rule: the next `times` matching requests (or partitions in requests) get `action`.
///
/// `None` matches all. A topic or partition can only be named for `Error` and `CorruptCrc`; the
/// other actions strike the whole request and ignore them.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The request's API key: 0 Produce, 1 Fetch, 3 Metadata, 11 JoinGroup, …
    pub api: Option<i16>,
    pub topic: Option<String>,
    pub partition: Option<i32>,
    pub action: FaultAction,
    pub times: u32,
}

impl Fault {
    /// A rule for every topic; narrow it by setting `topic` and `partition`.
    pub fn new(api: i16, action: FaultAction, times: u32) -> Self {
        Self { api: Some(api), topic: None, partition: None, action, times }
    }
}

#[derive(Default)]
struct Shared {
    /// Rules left; zero spares every request the lock.
    left: AtomicUsize,
    rules: Mutex<Vec<Fault>>,
}

/// The switch. Clones share their rules; usable from any thread.
#[derive(Clone, Default)]
pub struct Faults(Arc<Shared>);

impl Faults {
    /// Adds a rule behind those that are there.
    pub fn inject(&self, fault: Fault) {
        self.with(|rules| rules.push(fault));
    }

    /// Forgets all rules.
    pub fn clear(&self) {
        self.with(Vec::clear);
    }

    /// Rules that have not struck as often as they shall.
    pub fn pending(&self) -> usize {
        self.0.left.load(Ordering::Acquire)
    }

    fn with<T>(&self, change: impl FnOnce(&mut Vec<Fault>) -> T) -> T {
        let mut rules = self.0.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let output = change(&mut rules);
        rules.retain(|fault| fault.times > 0);
        self.0.left.store(rules.len(), Ordering::Release);
        output
    }

    /// The actions for a request as a whole, each counted.
    pub(crate) fn of_request(&self, api: i16) -> Vec<FaultAction> {
        if self.pending() == 0 {
            return Vec::new();
        }
        self.with(|rules| {
            let narrow = |fault: &Fault| fault.topic.is_some() || fault.partition.is_some();
            let mut actions: Vec<FaultAction> = Vec::new();
            for fault in rules.iter_mut().filter(|fault| fault.api.is_none_or(|key| key == api)) {
                let partitioned =
                    matches!(fault.action, FaultAction::Error(_) | FaultAction::CorruptCrc);
                let kind = std::mem::discriminant(&fault.action);
                let taken = actions.iter().any(|other| std::mem::discriminant(other) == kind);
                if fault.times > 0 && !taken && !(partitioned && narrow(fault)) {
                    fault.times -= 1;
                    actions.push(fault.action.clone());
                }
            }
            actions
        })
    }

    /// The first action for one partition in a request, counted.
    pub(crate) fn of_partition(&self, api: i16, topic: &str, index: i32) -> Option<FaultAction> {
        if self.pending() == 0 {
            return None;
        }
        self.with(|rules| {
            let fault = rules.iter_mut().find(|fault| {
                (fault.topic.is_some() || fault.partition.is_some())
                    && fault.api.is_none_or(|key| key == api)
                    && fault.topic.as_deref().is_none_or(|name| name == topic)
                    && fault.partition.is_none_or(|number| number == index)
                    && matches!(fault.action, FaultAction::Error(_) | FaultAction::CorruptCrc)
            })?;
            fault.times = fault.times.checked_sub(1)?;
            Some(fault.action.clone())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_strikes_as_often_as_it_says() {
        let faults = Faults::default();
        faults.inject(Fault::new(3, FaultAction::Error(5), 2));
        assert!(faults.of_request(1).is_empty());
        assert_eq!(faults.of_request(3), [FaultAction::Error(5)]);
        assert_eq!(faults.of_request(3), [FaultAction::Error(5)]);
        assert!(faults.of_request(3).is_empty());
        assert_eq!(faults.pending(), 0);
    }

    #[test]
    fn a_partition_rule_leaves_the_others_alone() {
        let faults = Faults::default();
        let mut fault = Fault::new(0, FaultAction::Error(6), 1);
        fault.topic = Some("t".to_owned());
        fault.partition = Some(1);
        faults.inject(fault);
        assert!(faults.of_request(0).is_empty());
        assert_eq!(faults.of_partition(0, "t", 0), None);
        assert_eq!(faults.of_partition(0, "u", 1), None);
        assert_eq!(faults.of_partition(0, "t", 1), Some(FaultAction::Error(6)));
        assert_eq!(faults.of_partition(0, "t", 1), None);
    }
}
