//! The body of one bulk request and where its documents came from.

use std::ops::Range;

/// One action in the body.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    /// Where its lines begin in the body; they end where the next item's begin.
    pub start: u32,
    /// Number of the Kafka partition it came from.
    pub slot: u32,
    pub offset: i64,
    /// Index in the batch that `put` was called with.
    pub index: u32,
    /// Carries a version of ours: a conflict says that it is there already.
    pub versioned: bool,
}

/// Items of a bulk, as ascending runs of indexes.
pub type Runs = Vec<Range<usize>>;

/// One run.
pub fn run(items: Range<usize>) -> Runs {
    std::iter::once(items).collect()
}

/// A body that is being filled or is on its way. Kept and used again for its memory.
#[derive(Default)]
pub struct Bulk {
    pub body: Vec<u8>,
    pub items: Vec<Item>,
    /// What each item's id comes down to; only where order by id matters, else empty.
    pub ids: Vec<u64>,
    /// By partition: the lowest offset that is in here.
    pub firsts: Vec<(u32, i64)>,
}

impl Bulk {
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Forgets the content; keeps the memory, but not that of an unusually large document.
    pub fn clear(&mut self, usual_bytes: usize) {
        self.body.clear();
        self.body.shrink_to(usual_bytes.saturating_mul(2));
        self.items.clear();
        self.ids.clear();
        self.firsts.clear();
    }

    /// Notes the action whose lines begin at `item.start` and end at the end of the body.
    #[inline]
    pub fn push(&mut self, item: Item) {
        match self.firsts.last_mut() {
            Some((slot, first)) if *slot == item.slot => *first = (*first).min(item.offset),
            _ => self.note_first(item.slot, item.offset),
        }
        self.items.push(item);
    }

    fn note_first(&mut self, slot: u32, offset: i64) {
        match self.firsts.iter().position(|(known, _)| *known == slot) {
            Some(at) => {
                self.firsts[at].1 = self.firsts[at].1.min(offset);
                // The partition of the last record stands last, where `push` looks first.
                let last = self.firsts.len() - 1;
                self.firsts.swap(at, last);
            }
            None => self.firsts.push((slot, offset)),
        }
    }

    /// The lines of `run`'s items.
    pub fn lines(&self, run: &Range<usize>) -> &[u8] {
        let at = |index: usize| self.items.get(index).map_or(self.body.len(), |i| i.start as usize);
        &self.body[at(run.start)..at(run.end)]
    }

    /// Drops the items of partitions that were given up.
    pub fn forget(&mut self, slots: &[u32]) {
        if !self.firsts.iter().any(|(slot, _)| slots.contains(slot)) {
            return;
        }
        let old = std::mem::take(&mut *self);
        for (index, item) in old.items.iter().enumerate() {
            if slots.contains(&item.slot) {
                continue;
            }
            let start = self.body.len() as u32;
            self.body.extend_from_slice(old.lines(&(index..index + 1)));
            self.ids.extend(old.ids.get(index));
            self.push(Item { start, ..*item });
        }
    }

    /// The failed items and, where order by id matters, the later ones of their ids: an update that
    /// is done again must not undo its successors.
    pub fn with_successors(&self, sent: &Runs, failed: &[usize]) -> Runs {
        let mut runs = Runs::new();
        let mut again = std::collections::HashSet::<u64>::new();
        for index in sent.iter().cloned().flatten() {
            let is_failed = failed.binary_search(&index).is_ok();
            let id = self.ids.get(index);
            if is_failed || id.is_some_and(|id| again.contains(id)) {
                again.extend(id);
                push_run(&mut runs, index);
            }
        }
        runs
    }
}

/// Adds the next index to ascending runs.
fn push_run(runs: &mut Runs, index: usize) {
    match runs.last_mut() {
        Some(run) if run.end == index => run.end += 1,
        _ => runs.push(index..index + 1),
    }
}

/// How many items.
pub fn count(runs: &Runs) -> usize {
    runs.iter().map(ExactSizeIterator::len).sum()
}

/// The index of the `position`-th item of `runs`.
pub fn nth(runs: &Runs, mut position: usize) -> Option<usize> {
    for run in runs {
        if position < run.len() {
            return Some(run.start + position);
        }
        position -= run.len();
    }
    None
}

/// The first and the second half.
pub fn halves(runs: &Runs) -> (Runs, Runs) {
    let mut left = count(runs) / 2;
    let (mut first, mut second) = (Runs::new(), Runs::new());
    for run in runs {
        let take = run.len().min(left);
        left -= take;
        if take > 0 {
            first.push(run.start..run.start + take);
        }
        if take < run.len() {
            second.push(run.start + take..run.end);
        }
    }
    (first, second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(items: &[(u32, i64, &str)]) -> Bulk {
        let mut bulk = Bulk::default();
        for (index, (slot, offset, text)) in items.iter().enumerate() {
            let start = bulk.body.len() as u32;
            bulk.body.extend_from_slice(text.as_bytes());
            let (slot, offset, index) = (*slot, *offset, index as u32);
            bulk.push(Item { start, slot, offset, index, versioned: false });
        }
        bulk
    }

    #[test]
    fn lines_and_lowest_offsets() {
        let bulk = bulk(&[(0, 7, "a"), (1, 3, "bb"), (0, 8, "ccc"), (1, 2, "d")]);
        assert_eq!(bulk.lines(&(1..3)), b"bbccc");
        assert_eq!(bulk.lines(&(3..4)), b"d");
        let mut firsts = bulk.firsts.clone();
        firsts.sort_unstable();
        assert_eq!(firsts, [(0, 7), (1, 2)]);
    }

    #[test]
    fn given_up_partitions_leave() {
        let mut bulk = bulk(&[(0, 7, "a"), (1, 3, "bb"), (0, 8, "ccc")]);
        bulk.forget(&[0]);
        assert_eq!((bulk.body.as_slice(), bulk.items.len()), (b"bb".as_slice(), 1));
        assert_eq!(bulk.firsts, [(1, 3)]);
        assert_eq!(bulk.lines(&(0..1)), b"bb");
    }

    #[test]
    fn successors_of_an_id_are_sent_again() {
        let mut bulk = bulk(&[(0, 0, "a"), (0, 1, "b"), (0, 2, "c"), (0, 3, "d"), (0, 4, "e")]);
        let sent = run(0..5);
        assert_eq!(bulk.with_successors(&sent, &[1, 2, 4]), [1..3, 4..5]);
        bulk.ids = vec![10, 11, 10, 12, 10];
        assert_eq!(bulk.with_successors(&sent, &[0]), vec![0..1, 2..3, 4..5]);
        assert_eq!(bulk.with_successors(&run(2..5), &[2]), vec![2..3, 4..5]);
    }

    #[test]
    fn runs_split_and_count() {
        let runs = vec![0..3, 5..6, 9..12];
        assert_eq!(
            (count(&runs), nth(&runs, 3), nth(&runs, 6), nth(&runs, 7)),
            (7, Some(5), Some(11), None)
        );
        assert_eq!(halves(&runs), (run(0..3), vec![5..6, 9..12]));
        assert_eq!(halves(&run(0..1)), (Runs::new(), run(0..1)));
    }
}
