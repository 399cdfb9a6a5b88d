//! Buffers of a core, lent to those of its tasks that have bytes in hand.
//!
//! A thousand tasks on a core take turns, so a few buffers serve all of them: a ring gives its
//! buffer back while nothing comes, a scratch when its batches were worked off. What the next one
//! takes was used a moment ago, so it lies in the core's cache and no page of it is new.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};

/// Kept on the shelf at most, for whoever comes next. A thousand tasks give their rings back within a
/// moment of one another: what finds no place would be cleared and paged in anew by the next of them.
const MOST_BUFFERS: usize = 256;
const MOST_BYTES: usize = 32 << 20;
/// Less is not worth keeping.
const LEAST_BYTES: usize = 32 << 10;
/// Lent out at a time before those that wait give back what they can spare.
const PLENTY: usize = 32 << 20;

#[derive(Default)]
struct Shelf {
    /// The last one given back is the first one taken.
    buffers: VecDeque<Vec<u8>>,
    bytes: usize,
    lent: usize,
}

thread_local! {
    static SHELF: RefCell<Shelf> = RefCell::default();
}

impl Shelf {
    fn take(&mut self, least: usize) -> Option<Vec<u8>> {
        // Not the scratch of large batches for a ring.
        let fits = |buffer: &Vec<u8>| (least..=least.saturating_mul(4)).contains(&buffer.len());
        let at = self.buffers.iter().rposition(fits)?;
        let buffer = self.buffers.remove(at)?;
        self.bytes -= buffer.len();
        Some(buffer)
    }

    fn give(&mut self, buffer: Vec<u8>) {
        self.lent = self.lent.saturating_sub(buffer.len());
        if !(LEAST_BYTES..=MOST_BYTES).contains(&buffer.len()) {
            return;
        }
        // Those that nobody has wanted for longest make room: their sizes may be of no use any more.
        self.bytes += buffer.len();
        self.buffers.push_back(buffer);
        while self.bytes > MOST_BYTES || self.buffers.len() > MOST_BUFFERS {
            let Some(oldest) = self.buffers.pop_front() else { break };
            self.bytes -= oldest.len();
        }
    }
}

/// A buffer, initialised throughout; goes back to its core's shelf when dropped. Empty by default.
#[derive(Debug, Default)]
pub(crate) struct Lent(Vec<u8>);

impl Lent {
    /// `least` bytes or more, with whatever was in them.
    pub fn take(least: usize) -> Self {
        if least == 0 {
            return Self::default();
        }
        let found = SHELF.with_borrow_mut(|shelf| shelf.take(least));
        let buffer = found.unwrap_or_else(|| vec![0; least]);
        SHELF.with_borrow_mut(|shelf| shelf.lent += buffer.len());
        Self(buffer)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.0.is_empty() {
            return;
        }
        let buffer = std::mem::take(&mut self.0);
        // Not there any more while the thread ends.
        let _ = SHELF.try_with(|shelf| shelf.borrow_mut().give(buffer));
    }
}

impl Deref for Lent {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// So much is lent out on this core that whoever waits should keep only what it must.
pub(crate) fn is_scarce() -> bool {
    SHELF.with_borrow(|shelf| shelf.lent > PLENTY)
}

#[cfg(test)]
mod tests {
    //! Each test's thread has a shelf of its own.
    use super::*;

    #[test]
    fn the_last_one_given_back_is_taken_first() {
        let (one, two) = (Lent::take(64 << 10), Lent::take(64 << 10));
        let address = two.as_ptr();
        drop(one);
        drop(two);
        assert_eq!(Lent::take(50 << 10).as_ptr(), address);
    }

    #[test]
    fn sizes_are_kept_apart_and_small_ones_not_kept() {
        drop(Lent::take(1 << 20));
        drop(Lent::take(100));
        assert_eq!(Lent::take(64 << 10).len(), 64 << 10, "a sixteenth does not get the large one");
        assert_eq!(Lent::take(512 << 10).len(), 1 << 20);
        assert_eq!(Lent::take(100).len(), 100);
        assert!(Lent::take(0).is_empty());
    }

    #[test]
    fn sizes_that_nobody_wants_make_room_for_those_of_now() {
        let odd: Vec<Lent> = (0..MOST_BUFFERS).map(|_| Lent::take(LEAST_BYTES)).collect();
        drop(odd);
        let wanted = Lent::take(1 << 20);
        let address = wanted.as_ptr();
        drop(wanted);
        assert_eq!(Lent::take(1 << 20).as_ptr(), address);
        let many: Vec<Lent> = (0..40).map(|_| Lent::take(1 << 20)).collect();
        drop(many);
        drop(Lent::take(MOST_BYTES + 1));
        let kept = SHELF.with_borrow(|shelf| (shelf.buffers.len(), shelf.bytes));
        assert_eq!(kept, (32, 32 << 20), "the youngest, within the bound");
    }

    #[test]
    fn much_lent_is_scarce_until_it_comes_back() {
        let many: Vec<Lent> = (0..40).map(|_| Lent::take(1 << 20)).collect();
        assert!(is_scarce());
        drop(many);
        assert!(!is_scarce());
        assert!(SHELF.with_borrow(|shelf| shelf.bytes <= MOST_BYTES && shelf.lent == 0));
    }
}
