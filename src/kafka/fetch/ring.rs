//! The buffer that responses stream through: one of the core's, addressed by stream position.

use crate::compression::PADDING;
use crate::lent::{self, Lent};

/// Its usual size: small enough to stay in a core's L2 cache.
pub const RING_BYTES: usize = 512 << 10;
/// Its size while much is lent out on its core: some of what a socket has ready, and little enough
/// that one poll works it off.
const SCARCE_BYTES: usize = 192 << 10;
/// Largest single batch that it grows for.
pub const MAX_RING_BYTES: usize = 256 << 20;

/// Bytes are appended at the end and released from the start. A position counts from the first
/// byte ever read, so it stays true when bytes move to the front.
///
/// Linear, not circular: batches must lie in one piece. What is left over when the end is reached
/// moves to the front, which is at most a part of a batch if readers keep up.
pub struct Ring {
    /// The bytes, and [`PADDING`] more so that a reader may look past the last record.
    data: Lent,
    start: usize,
    end: usize,
    /// Position of `data[0]`.
    base: u64,
    usual: usize,
}

impl Ring {
    /// Takes no memory before the first byte is wanted.
    pub fn new(usual: usize) -> Self {
        Self { data: Lent::default(), start: 0, end: 0, base: 0, usual: usual.max(64) }
    }

    pub fn capacity(&self) -> usize {
        self.data.len().saturating_sub(PADDING)
    }

    /// Position of the first byte kept, and of the one after the last.
    pub fn start(&self) -> u64 {
        self.base + self.start as u64
    }

    pub fn end(&self) -> u64 {
        self.base + self.end as u64
    }

    /// Bytes from `position` to the end of those that were read.
    pub fn from(&self, position: u64) -> &[u8] {
        &self.data[self.index(position)..self.end]
    }

    /// Bytes from `position` on with everything that is behind, [`PADDING`] bytes at least.
    pub fn padded_from(&self, position: u64) -> &[u8] {
        &self.data[self.index(position)..]
    }

    fn index(&self, position: u64) -> usize {
        debug_assert!(position >= self.start() && position <= self.end());
        ((position.saturating_sub(self.base)) as usize).clamp(self.start, self.end)
    }

    /// Gives up everything before `position`.
    pub fn release(&mut self, position: u64) {
        self.start = self.index(position);
        if self.start == self.end {
            self.base += self.end as u64;
            self.start = 0;
            self.end = 0;
            // With some room, because the core's buffers are not all of one length.
            if self.capacity() > self.usual.saturating_mul(4) {
                self.data = Lent::default();
            }
        }
    }

    /// Nothing comes for now: an empty ring gives its buffer back to the core. Where many are lent
    /// out, one that keeps a part of a batch keeps no more than that.
    pub fn rest(&mut self) {
        let kept = self.end - self.start;
        if kept == 0 {
            self.move_base();
            self.data = Lent::default();
        } else if self.capacity() / 2 > kept && lent::is_scarce() {
            self.move_to(kept);
        }
    }

    /// Exchanges the buffer for one of `capacity`, which is what is kept or more.
    fn move_to(&mut self, capacity: usize) {
        let kept = self.end - self.start;
        let mut other = Lent::take(capacity + PADDING);
        other[..kept].copy_from_slice(&self.data[self.start..self.end]);
        self.data = other;
        self.move_base();
    }

    /// Makes room for `needed` bytes from the start on, by moving what is kept or by growing.
    /// Moving is only done if it is worth it; nothing borrowed may be alive. False if `needed` is
    /// beyond [`MAX_RING_BYTES`].
    #[must_use]
    pub fn make_room(&mut self, needed: usize) -> bool {
        if needed > MAX_RING_BYTES {
            return false;
        }
        let usual = if lent::is_scarce() { self.usual.min(SCARCE_BYTES) } else { self.usual };
        let wanted = needed.max(usual);
        if self.capacity() < wanted {
            self.move_to(wanted);
            return true;
        }
        let fits = self.start + needed <= self.capacity();
        let roomy = self.capacity() - self.end >= self.usual / 4;
        if !fits || (!roomy && self.start >= self.usual / 2) {
            self.data.copy_within(self.start..self.end, 0);
            self.move_base();
        }
        true
    }

    fn move_base(&mut self) {
        self.base += self.start as u64;
        self.end -= self.start;
        self.start = 0;
    }

    /// Where the next bytes go; empty if it is full.
    pub fn space(&mut self) -> &mut [u8] {
        let capacity = self.capacity();
        &mut self.data[self.end..capacity]
    }

    pub fn is_full(&self) -> bool {
        self.end >= self.capacity() && self.capacity() > 0
    }

    /// Takes the first `read` bytes of [`Self::space`].
    pub fn filled(&mut self, read: usize) {
        self.end = (self.end + read).min(self.capacity());
    }

    /// Forgets everything, as after a lost connection.
    pub fn clear(&mut self) {
        self.base += self.end as u64;
        self.start = 0;
        self.end = 0;
    }
}

#[cfg(test)]
mod tests {
    //! Positions stay true while bytes move.
    use super::*;

    #[test]
    fn positions_survive_moving_and_growing() {
        let mut ring = Ring::new(64);
        assert!(ring.make_room(64));
        assert_eq!(ring.space().len(), 64);
        for (at, byte) in ring.space().iter_mut().enumerate() {
            *byte = at as u8;
        }
        ring.filled(64);
        assert!(ring.is_full());
        ring.release(60);
        assert_eq!(ring.from(60), [60, 61, 62, 63]);
        assert!(ring.make_room(64));
        assert_eq!(ring.from(61), [61, 62, 63]);
        assert_eq!((ring.start(), ring.end()), (60, 64));
        assert_eq!(ring.space().len(), 60);
        assert!(ring.make_room(1000));
        assert_eq!(ring.from(60), [60, 61, 62, 63]);
        assert!(ring.padded_from(64).len() >= PADDING);
        ring.release(64);
        assert_eq!((ring.start(), ring.end()), (64, 64));
        assert!(ring.make_room(1));
        assert_eq!(ring.space().len(), 64, "the usual size again");
        assert!(!ring.make_room(MAX_RING_BYTES + 1));
    }

    #[test]
    fn a_resting_ring_gives_its_buffer_back_and_keeps_what_is_not_worked_off() {
        let mut ring = Ring::new(RING_BYTES);
        assert!(ring.make_room(1));
        ring.space()[..3].copy_from_slice(b"abc");
        ring.filled(3);
        ring.release(1);
        ring.rest();
        assert!(ring.capacity() >= RING_BYTES, "there is plenty");
        let many: Vec<Lent> = (0..40).map(|_| Lent::take(1 << 20)).collect();
        ring.rest();
        assert_eq!((ring.capacity(), ring.from(1)), (2, &b"bc"[..]));
        assert!(ring.space().is_empty());
        assert!(ring.make_room(4));
        ring.space()[0] = b'd';
        ring.filled(1);
        assert_eq!((ring.from(1), ring.end()), (&b"bcd"[..], 4));
        ring.release(4);
        ring.rest();
        assert_eq!((ring.capacity(), ring.start(), ring.end()), (0, 4, 4));
        drop(many);
    }
}
