//! Fetch sessions (KIP-227): the broker remembers what is fetched, requests name only changes.

use std::collections::{HashMap, HashSet};

use crate::partitions::{PartitionId, TopicPartition};

/// What is asked of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub name: TopicPartition,
    pub id: PartitionId,
    pub offset: i64,
    /// −1 where unknown.
    pub leader_epoch: i32,
}

impl Wanted {
    /// The broker would be told the same.
    fn asks_as(&self, other: &Self) -> bool {
        self.offset == other.offset && self.leader_epoch == other.leader_epoch
    }
}

/// What the next request has to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchPlan {
    pub session_id: i32,
    pub session_epoch: i32,
    pub named: Vec<Wanted>,
    pub forgotten: Vec<TopicPartition>,
}

/// The client's half of a session with one broker.
#[derive(Clone, Debug, Default)]
pub struct FetchSession {
    id: i32,
    epoch: i32,
    told: HashMap<TopicPartition, Wanted>,
    /// Where the first of a full request stood; rotates so that none starves.
    turn: usize,
}

impl FetchSession {
    /// The request for `wanted`, all that shall be fetched from this broker.
    pub fn plan(&mut self, wanted: &[Wanted]) -> FetchPlan {
        if self.epoch == 0 {
            self.told = wanted.iter().map(|one| (one.name.clone(), one.clone())).collect();
            let mut named = wanted.to_vec();
            if !named.is_empty() {
                self.turn = (self.turn + 1) % named.len();
                named.rotate_left(self.turn);
            }
            return FetchPlan { session_id: 0, session_epoch: 0, named, forgotten: vec![] };
        }
        let mut named = Vec::new();
        for one in wanted {
            let before = self.told.insert(one.name.clone(), one.clone());
            if !before.is_some_and(|before| before.asks_as(one)) {
                named.push(one.clone());
            }
        }
        let mut forgotten = Vec::new();
        if self.told.len() > wanted.len() {
            let keep: HashSet<_> = wanted.iter().map(|one| &one.name).collect();
            self.told.retain(|name, _| {
                let kept = keep.contains(name);
                if !kept {
                    forgotten.push(name.clone());
                }
                kept
            });
        }
        FetchPlan { session_id: self.id, session_epoch: self.epoch, named, forgotten }
    }

    /// What a response's head says of the session. False if the request has to be made anew, in
    /// full: the session is gone on the broker's side.
    pub fn answered(&mut self, error: i16, session_id: i32) -> bool {
        if error != 0 {
            self.reset();
            return false;
        }
        if session_id == 0 {
            // The broker keeps none for us: every request is a full one. What this answer is to
            // stays told: its partitions follow.
            self.id = 0;
            self.epoch = 0;
        } else if self.epoch == 0 {
            self.id = session_id;
            self.epoch = 1;
        } else {
            self.epoch = if self.epoch == i32::MAX { 1 } else { self.epoch + 1 };
        }
        true
    }

    /// The next request is a full one that opens a new session.
    pub fn reset(&mut self) {
        self.id = 0;
        self.epoch = 0;
        self.told.clear();
    }

    /// Whether what comes for the partition was asked for by this incarnation of it.
    pub fn asked_for(&self, name: &TopicPartition, id: PartitionId) -> bool {
        self.told.get(name).is_some_and(|told| told.id == id)
    }

    /// The session to close, if one is open.
    pub fn open_id(&self) -> Option<i32> {
        (self.id != 0).then_some(self.id)
    }
}

#[cfg(test)]
mod tests {
    //! Full, incremental, forgotten, lost.
    use super::*;

    fn wanted(id: u64, offset: i64) -> Wanted {
        let id = PartitionId { slot: id as u32, incarnation: id };
        Wanted { name: TopicPartition::new("t", id.slot as i32), id, offset, leader_epoch: 0 }
    }

    #[test]
    fn only_changes_are_named_once_the_session_stands() {
        let mut session = FetchSession::default();
        let first = session.plan(&[wanted(1, 0), wanted(2, 0)]);
        assert_eq!((first.session_id, first.session_epoch, first.named.len()), (0, 0, 2));
        assert!(session.answered(0, 77));
        let second = session.plan(&[wanted(1, 5), wanted(2, 0)]);
        assert_eq!((second.session_id, second.session_epoch), (77, 1));
        assert_eq!(second.named, [wanted(1, 5)]);
        assert!(session.answered(0, 77));
        let third = session.plan(&[wanted(2, 0), wanted(3, 9)]);
        assert_eq!(third.session_epoch, 2);
        assert_eq!(third.named, [wanted(3, 9)]);
        assert_eq!(third.forgotten, [TopicPartition::new("t", 1)]);
    }

    #[test]
    fn a_broker_without_sessions_is_asked_in_full_and_its_answers_count() {
        let mut session = FetchSession::default();
        for offset in [0, 5] {
            let plan = session.plan(&[wanted(1, offset)]);
            assert_eq!((plan.session_id, plan.session_epoch, plan.named.len()), (0, 0, 1));
            assert!(session.answered(0, 0));
            let asked = wanted(1, offset);
            assert!(session.asked_for(&asked.name, asked.id));
        }
    }

    #[test]
    fn a_new_incarnation_is_not_forgotten() {
        let mut session = FetchSession::default();
        session.plan(&[wanted(1, 5)]);
        session.answered(0, 77);
        let mut sought = wanted(1, 3);
        sought.id.incarnation = 9;
        let plan = session.plan(&[sought.clone()]);
        assert_eq!((plan.named, plan.forgotten), (vec![sought.clone()], vec![]));
        assert!(session.asked_for(&sought.name, sought.id));
        assert!(!session.asked_for(&sought.name, wanted(1, 3).id));
    }

    #[test]
    fn a_lost_session_starts_in_full() {
        let mut session = FetchSession::default();
        session.plan(&[wanted(1, 0)]);
        session.answered(0, 77);
        session.plan(&[wanted(1, 1)]);
        assert!(!session.answered(70, 0));
        let again = session.plan(&[wanted(1, 1)]);
        assert_eq!((again.session_id, again.session_epoch), (0, 0));
        assert_eq!(again.named, [wanted(1, 1)]);
    }

    #[test]
    fn a_broker_without_sessions_gets_full_requests_in_turn() {
        let mut session = FetchSession::default();
        let all = [wanted(1, 0), wanted(2, 0)];
        let first = session.plan(&all).named[0].id;
        session.answered(0, 0);
        let second = session.plan(&all);
        assert_eq!(second.session_epoch, 0);
        assert_ne!(second.named[0].id, first);
    }
}
