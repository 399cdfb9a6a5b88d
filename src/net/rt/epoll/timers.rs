//! Who waits for which time.

use std::collections::BTreeMap;
use std::task::Waker;
use std::time::{Duration, Instant};

/// A timer that has been set: its time, and a number that tells it from others of that time.
pub(super) type TimerId = (Instant, u64);

/// So far off that it means never; times that cannot be represented become this.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Timers by their time. There are as many as waits that have a limit: each is set and taken back
/// once, a logarithm of their number each time.
#[derive(Default)]
pub(super) struct Timers {
    set: BTreeMap<TimerId, Waker>,
    next: u64,
}

impl Timers {
    pub(super) fn insert(&mut self, after: Duration, waker: Waker) -> TimerId {
        let now = Instant::now();
        let at = now.checked_add(after).unwrap_or_else(|| now + NEVER);
        self.next += 1;
        let id = (at, self.next);
        self.set.insert(id, waker);
        id
    }

    /// The waker of a timer that has not fired yet.
    pub(super) fn waker(&mut self, id: &TimerId) -> Option<&mut Waker> {
        self.set.get_mut(id)
    }

    /// Takes a timer back; its waker is the caller's to drop.
    pub(super) fn remove(&mut self, id: &TimerId) -> Option<Waker> {
        self.set.remove(id)
    }

    /// The next one whose time has come.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Waker> {
        let first = self.set.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    pub(super) fn first(&self) -> Option<Instant> {
        self.set.first_key_value().map(|((at, _), _)| *at)
    }

    /// Gives all wakers away, for the core's end.
    pub(super) fn take(&mut self) -> BTreeMap<TimerId, Waker> {
        std::mem::take(&mut self.set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_fire_in_order_and_none_early() {
        let mut timers = Timers::default();
        let waker = || Waker::noop().clone();
        let late = timers.insert(Duration::from_secs(3), waker());
        let early = timers.insert(Duration::from_secs(1), waker());
        let same = timers.insert(Duration::from_secs(1), waker());
        let never = timers.insert(Duration::MAX, waker());
        assert!(early < same && same < late && late < never);
        assert_eq!(timers.first(), Some(early.0));
        assert!(timers.pop_due(early.0 - Duration::from_nanos(1)).is_none());
        assert!(timers.remove(&same).is_some() && timers.remove(&same).is_none());
        assert!(timers.pop_due(late.0).is_some() && timers.waker(&early).is_none());
        assert!(timers.waker(&late).is_some());
        assert!(timers.pop_due(late.0).is_some() && timers.pop_due(late.0).is_none());
        assert_eq!(timers.take().len(), 1);
    }
}
