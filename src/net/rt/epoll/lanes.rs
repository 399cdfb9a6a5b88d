//! Ready tasks in two lanes, and which lane's turn it is.

use std::collections::VecDeque;
use std::time::Duration;

use async_task::Runnable;

/// Where a task stands when it is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    Normal,
    Urgent,
}

/// One lane's tasks, first come first served.
#[derive(Default)]
struct Ready {
    tasks: VecDeque<Runnable>,
    /// The time that its tasks have run, as far as it counts against the other lane.
    used: Duration,
}

/// Both lanes have equal shares of the core: the one that has run less goes first, the urgent one if
/// they are even. A lane that was empty owes nothing: it starts even with the lane that runs, which by
/// the end of its turn has run longer. So what becomes ready in the urgent lane waits for one turn at
/// most, however busy the other is, and keeps neither from running.
///
/// A task stands in a lane at most once, which bounds both.
#[derive(Default)]
pub(super) struct Lanes {
    normal: Ready,
    urgent: Ready,
    /// The lane that runs, and what it had used before.
    running: Option<Lane>,
}

impl Lanes {
    fn of(&mut self, lane: Lane) -> &mut Ready {
        match lane {
            Lane::Normal => &mut self.normal,
            Lane::Urgent => &mut self.urgent,
        }
    }

    pub(super) fn push(&mut self, lane: Lane, task: Runnable) {
        let even = match lane {
            Lane::Normal => self.urgent.used,
            Lane::Urgent => self.normal.used,
        };
        let running = self.running == Some(lane);
        let ready = self.of(lane);
        if ready.tasks.is_empty() && !running {
            ready.used = even;
        }
        ready.tasks.push_back(task);
    }

    /// The lane whose turn it is.
    pub(super) fn begin(&mut self) -> Option<Lane> {
        self.running = match (self.normal.tasks.is_empty(), self.urgent.tasks.is_empty()) {
            (true, true) => None,
            (true, false) => Some(Lane::Urgent),
            (false, true) => Some(Lane::Normal),
            (false, false) if self.urgent.used <= self.normal.used => Some(Lane::Urgent),
            (false, false) => Some(Lane::Normal),
        };
        self.running
    }

    pub(super) fn next(&mut self, lane: Lane) -> Option<Runnable> {
        self.of(lane).tasks.pop_front()
    }

    /// The lane's turn is over; it took that long.
    pub(super) fn end(&mut self, lane: Lane, took: Duration) {
        self.running = None;
        self.of(lane).used += took;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.normal.tasks.is_empty() && self.urgent.tasks.is_empty()
    }

    /// Any ready task, for the core's end.
    pub(super) fn take_any(&mut self) -> Option<Runnable> {
        self.urgent.tasks.pop_front().or_else(|| self.normal.tasks.pop_front())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runnables are made by spawning; these do nothing.
    fn task() -> Runnable {
        let (task, handle) = async_task::spawn(async {}, |_| {});
        handle.detach();
        task
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn what_is_urgent_waits_for_one_turn_at_most() {
        let mut lanes = Lanes::default();
        assert_eq!(lanes.begin(), None);
        for _ in 0..100 {
            lanes.push(Lane::Normal, task());
        }
        for _ in 0..10 {
            assert_eq!(lanes.begin(), Some(Lane::Normal));
            assert!(lanes.next(Lane::Normal).is_some());
            lanes.end(Lane::Normal, MS);
        }
        assert_eq!(lanes.begin(), Some(Lane::Normal));
        lanes.push(Lane::Urgent, task());
        lanes.end(Lane::Normal, MS);
        assert_eq!(lanes.begin(), Some(Lane::Urgent));
    }

    #[test]
    fn two_busy_lanes_share_the_core() {
        let mut lanes = Lanes::default();
        let (mut normal, mut urgent) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..1000 {
            lanes.push(Lane::Normal, task());
            lanes.push(Lane::Urgent, task());
        }
        for _ in 0..300 {
            // The urgent lane's turns are three times as long.
            match lanes.begin().unwrap() {
                Lane::Normal => {
                    lanes.next(Lane::Normal);
                    lanes.end(Lane::Normal, MS);
                    normal += MS;
                }
                Lane::Urgent => {
                    lanes.next(Lane::Urgent);
                    lanes.end(Lane::Urgent, 3 * MS);
                    urgent += 3 * MS;
                }
            }
        }
        assert!(normal.abs_diff(urgent) <= 3 * MS, "{normal:?} {urgent:?}");
    }

    #[test]
    fn every_task_comes_out_once() {
        let mut lanes = Lanes::default();
        lanes.push(Lane::Normal, task());
        lanes.push(Lane::Urgent, task());
        assert!(lanes.take_any().is_some() && !lanes.is_empty());
        assert!(lanes.take_any().is_some() && lanes.is_empty());
        assert!(lanes.take_any().is_none() && lanes.begin().is_none());
    }
}
