//! Where requests wait for Kafka: between the connections, the worker's polls and what Kafka says.
//! All of one core: plain cells.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use millrace_api::source::Outcome;
use millrace_net::rt::Notify;

use super::body::Span;
use super::routing::Route;

/// A request whose records are good, until it is answered.
pub struct Pending {
    pub route: Route,
    /// Emptied when its last record was polled.
    pub body: RefCell<Vec<u8>>,
    pub records: Vec<Span>,
    /// Records polled.
    next: Cell<usize>,
    /// Records whose fate is not known.
    left: Cell<usize>,
    /// The worst that became of them.
    verdict: Cell<Verdict>,
    /// Nobody waits for it any more.
    abandoned: Cell<bool>,
    pub settled: Notify,
}

/// What became of a request's records; the greater, the worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Acknowledged,
    /// The worker dropped some: the number of the first, from 0.
    Refused(u32),
    Lost,
}

impl Pending {
    pub fn new(route: Route, body: Vec<u8>, records: Vec<Span>) -> Rc<Self> {
        Rc::new(Self {
            left: Cell::new(records.len()),
            route,
            body: RefCell::new(body),
            records,
            next: Cell::new(0),
            verdict: Cell::new(Verdict::Acknowledged),
            abandoned: Cell::new(false),
            settled: Notify::new(),
        })
    }

    /// What became of it, once that is known.
    pub fn verdict(&self) -> Option<Verdict> {
        (self.left.get() == 0).then(|| self.verdict.get())
    }

    /// Its records that are not polled yet never will be.
    pub fn abandon(&self) {
        self.abandoned.set(true);
        self.body.take();
    }

    /// Notes that one record, by number, came to nothing.
    pub fn spoil(&self, verdict: Verdict) {
        self.verdict.set(match (self.verdict.get(), verdict) {
            (Verdict::Refused(a), Verdict::Refused(b)) => Verdict::Refused(a.min(b)),
            (old, new) => old.max(new),
        });
    }

    fn settle(&self, records: usize) {
        self.left.set(self.left.get().saturating_sub(records));
        if self.left.get() == 0 {
            self.settled.notify_one();
        }
    }
}

/// A run of a request's records in one poll.
pub struct Part {
    pub pending: Rc<Pending>,
    /// Among the request's records.
    pub first: usize,
    pub count: usize,
}

/// The counter between both sides.
#[derive(Default)]
pub struct Desk {
    waiting: RefCell<VecDeque<Rc<Pending>>>,
    pub arrived: Notify,
    /// By poll, in order.
    polled: RefCell<VecDeque<Vec<Part>>>,
    /// Bytes of bodies that are here, or on their way to Kafka.
    held: Cell<usize>,
    pub stopping: Cell<bool>,
    /// Rings when connections are to end as soon as they are idle; then at once.
    pub stop: Notify,
    pub cut: Notify,
    pub connections: Cell<usize>,
}

/// Room that a request takes up; given back when it is dropped.
pub struct Room<'d> {
    desk: &'d Desk,
    bytes: usize,
    limit: usize,
}

impl Room<'_> {
    /// Makes it so many bytes; `false` when there is no room for that.
    pub fn grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let held = self.desk.held.get() + more;
        if held > self.limit {
            return false;
        }
        self.desk.held.set(held);
        self.bytes += more;
        true
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.desk.held.set(self.desk.held.get().saturating_sub(self.bytes));
    }
}

impl Desk {
    /// Room for nothing yet, within `limit` for all.
    pub fn room(&self, limit: usize) -> Room<'_> {
        Room { desk: self, bytes: 0, limit }
    }

    /// Hands a request over to the next poll.
    pub fn submit(&self, pending: Rc<Pending>) {
        self.waiting.borrow_mut().push_back(pending);
        self.arrived.notify_one();
    }

    pub fn has_waiting(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }

    /// The next run of records, at most so many.
    pub fn take(&self, most: usize) -> Option<Part> {
        let mut waiting = self.waiting.borrow_mut();
        loop {
            let pending = waiting.front()?;
            let first = pending.next.get();
            let count = (pending.records.len() - first).min(most);
            if pending.abandoned.get() || count == 0 {
                if !pending.abandoned.get() && first < pending.records.len() {
                    // There is more of it, but no room in this poll.
                    return None;
                }
                waiting.pop_front();
                continue;
            }
            let pending = Rc::clone(pending);
            pending.next.set(first + count);
            if first + count == pending.records.len() {
                waiting.pop_front();
            }
            return Some(Part { pending, first, count });
        }
    }

    /// Notes what a poll took.
    pub fn note(&self, parts: Vec<Part>) {
        self.polled.borrow_mut().push_back(parts);
    }

    /// Hears what became of the oldest poll.
    pub fn settle(&self, outcome: Outcome<'_>) {
        let Some(parts) = self.polled.borrow_mut().pop_front() else { return };
        let mut start = 0;
        for part in parts {
            let end = start + part.count as u32;
            let inside = |places: &[u32]| {
                let from = places.partition_point(|place| *place < start);
                places.get(from).copied().filter(|place| *place < end)
            };
            if let Some(place) = inside(outcome.refused) {
                part.pending.spoil(Verdict::Refused(place - start + part.first as u32));
            }
            if inside(outcome.lost).is_some() {
                part.pending.spoil(Verdict::Lost);
            }
            part.pending.settle(part.count);
            start = end;
        }
    }

    /// The task ends: whoever still waits hears that nothing is known of his records.
    pub fn give_up(&self) {
        let polled = std::mem::take(&mut *self.polled.borrow_mut());
        let pending = polled.into_iter().flatten().map(|part| part.pending);
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        for pending in pending.chain(waiting) {
            pending.spoil(Verdict::Lost);
            pending.settle(usize::MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::Format;
    use super::*;

    fn pending(records: u32) -> Rc<Pending> {
        let route = Route {
            topic: "t".into(),
            key: None,
            headers: Vec::new(),
            format: Format::Lines,
            gzip: false,
        };
        let spans = (0..records).map(|at| Span { start: at, end: at + 1 }).collect();
        Pending::new(route, vec![b'1'; records as usize], spans)
    }

    fn runs(desk: &Desk, mut most: usize) -> Vec<Part> {
        let mut parts = Vec::new();
        while let Some(part) = desk.take(most) {
            most -= part.count;
            parts.push(part);
        }
        parts
    }

    #[test]
    fn requests_are_divided_over_polls_and_judged_by_their_own_records() {
        let desk = Desk::default();
        let all = [pending(3), pending(4), pending(2), pending(1)];
        for one in &all {
            desk.submit(Rc::clone(one));
        }
        all[2].abandon();
        for most in [5, 5] {
            let parts = runs(&desk, most);
            let counts: Vec<_> = parts.iter().map(|part| (part.first, part.count)).collect();
            let expected = if desk.has_waiting() { [(0, 3), (0, 2)] } else { [(2, 2), (0, 1)] };
            assert_eq!(counts, expected);
            desk.note(parts);
        }
        assert!(runs(&desk, 5).is_empty());
        desk.settle(Outcome { poll: 0, refused: &[4], lost: &[], offsets: &[] });
        let verdicts = || all.iter().map(|one| one.verdict()).collect::<Vec<_>>();
        assert_eq!(verdicts(), [Some(Verdict::Acknowledged), None, None, None]);
        desk.settle(Outcome { poll: 1, refused: &[0], lost: &[2], offsets: &[] });
        let (refused, lost) = (Some(Verdict::Refused(1)), Some(Verdict::Lost));
        assert_eq!(verdicts(), [Some(Verdict::Acknowledged), refused, None, lost]);
    }

    #[test]
    fn room_is_bounded_and_comes_back() {
        let desk = Desk::default();
        let mut one = desk.room(10);
        assert!(one.grow_to(6) && one.grow_to(6) && !one.grow_to(11));
        let mut other = desk.room(10);
        assert!(other.grow_to(4) && !other.grow_to(5));
        drop(one);
        assert!(other.grow_to(10));
        drop(other);
        assert_eq!(desk.held.get(), 0);
    }

    #[test]
    fn at_the_end_everybody_hears() {
        let desk = Desk::default();
        let (polled, waiting) = (pending(1), pending(1));
        desk.submit(Rc::clone(&polled));
        desk.note(runs(&desk, 9));
        desk.submit(Rc::clone(&waiting));
        desk.give_up();
        assert_eq!(
            (polled.verdict(), waiting.verdict()),
            (Some(Verdict::Lost), Some(Verdict::Lost))
        );
    }
}
