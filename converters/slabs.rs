//! Memory for texts whose length is known once they are written.
//!
//! A bump allocator wants to know the length first; a text written elsewhere and copied is read while
//! the processor still holds its last stores back, and waits for them.

use std::cell::{Cell, RefCell};
use std::ptr::NonNull;

/// Bytes of a slab. Whoever wants to write is lent room for the longest text, so that the last
/// part of a slab stays unused.
const SLAB: usize = 256 << 10;

/// Slabs of a batch, used again by the next one.
#[derive(Default)]
pub(crate) struct Slabs {
    /// From `Box::into_raw`; given back when this is dropped.
    all: RefCell<Vec<NonNull<[u8; SLAB]>>>,
    /// How many of them this batch has begun.
    begun: Cell<usize>,
    /// What is left of the last one begun; `None` too while somebody writes there.
    rest: Cell<Option<Rest>>,
}

/// The bytes of a slab from `used` on, which nobody has been lent.
#[derive(Clone, Copy)]
struct Rest {
    slab: NonNull<[u8; SLAB]>,
    used: usize,
}

impl Slabs {
    /// Has `write` write a text to the beginning of a room and say its length, and lends the text;
    /// `None`: there is none after all. What the room holds before is of no meaning.
    #[inline(always)]
    pub fn written<const ROOM: usize>(
        &self,
        write: impl FnOnce(&mut [u8; ROOM]) -> Option<usize>,
    ) -> Option<&[u8]> {
        const { assert!(ROOM <= SLAB) };
        // Taken out: whoever writes while `write` does gets another slab.
        let rest = self.rest.take().filter(|rest| rest.used <= SLAB - ROOM);
        let Rest { slab, used } = rest.unwrap_or_else(|| self.next());
        // SAFETY: `used + ROOM` is at most the slab's length: checked of a rest, and `next` gives a
        // whole slab. The slab lives, for slabs are freed only when `self` is dropped, for which the
        // texts' borrows of `self` must have ended. It is initialised, as `next` made it with zeros.
        // Nobody else has these bytes: texts that were lent end at or before `used`, as it grows by
        // each text's length below; no second `Rest` has this slab, for this one was taken out of its
        // cell, and `next` gives each slab once between two resets, which end all borrows.
        let room = unsafe { slab.cast::<u8>().add(used).cast::<[u8; ROOM]>().as_mut() };
        let length = write(room).map(|length| length.min(ROOM));
        self.rest.set(Some(Rest { slab, used: used + length.unwrap_or(0) }));
        // SAFETY: as above; the room is borrowed no more, the first `length` bytes of it are this
        // text's from now on, and only read.
        length.map(|length| unsafe {
            std::slice::from_raw_parts(slab.cast::<u8>().add(used).as_ptr(), length)
        })
    }

    /// A slab that this batch has not begun.
    #[cold]
    fn next(&self) -> Rest {
        let begun = self.begun.get();
        let mut all = self.all.borrow_mut();
        if begun == all.len() {
            let slab = vec![0; SLAB].into_boxed_slice();
            let slab: Box<[u8; SLAB]> = slab.try_into().expect("it has that length");
            all.push(NonNull::from(Box::leak(slab)));
        }
        self.begun.set(begun + 1);
        Rest { slab: all[begun], used: 0 }
    }

    /// Forgets all texts, keeps the memory.
    pub fn reset(&mut self) {
        self.rest.set(None);
        self.begun.set(0);
        if let Some(slab) = self.all.get_mut().first() {
            self.rest.set(Some(Rest { slab: *slab, used: 0 }));
            self.begun.set(1);
        }
    }

    pub fn allocated_bytes(&self) -> usize {
        self.all.borrow().len() * SLAB
    }
}

impl Drop for Slabs {
    fn drop(&mut self) {
        for slab in self.all.get_mut().drain(..) {
            // SAFETY: it comes from a `Box` of this type, and all borrows of it ended with `self`'s.
            drop(unsafe { Box::from_raw(slab.as_ptr()) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(slabs: &Slabs, byte: u8, length: usize) -> &[u8] {
        let write = |room: &mut [u8; 1000]| {
            room[..length].fill(byte);
            Some(length)
        };
        slabs.written(write).unwrap()
    }

    #[test]
    fn texts_stay_as_they_were_written() {
        let mut slabs = Slabs::default();
        for batch in 0..3 {
            // More than two slabs.
            let texts: Vec<&[u8]> = (0..2500_usize)
                .map(|number| text(&slabs, number as u8, number % 700 % (300 + batch)))
                .collect();
            for (number, text) in texts.iter().enumerate() {
                assert_eq!(text.len(), number % 700 % (300 + batch));
                assert!(text.iter().all(|byte| *byte == number as u8));
            }
            let allocated = slabs.allocated_bytes();
            assert!((2 * SLAB..=4 * SLAB).contains(&allocated));
            slabs.reset();
            assert_eq!(slabs.allocated_bytes(), allocated);
        }
    }

    #[test]
    fn a_text_that_comes_to_nothing_takes_no_place() {
        let slabs = Slabs::default();
        let first = text(&slabs, 1, 10);
        assert!(slabs.written(|_: &mut [u8; 1000]| None).is_none());
        let second = text(&slabs, 2, 10);
        assert_eq!(second.as_ptr() as usize, first.as_ptr() as usize + 10);
        assert_eq!((first, second), (&[1; 10][..], &[2; 10][..]));
    }

    #[test]
    fn who_writes_within_a_text_writes_elsewhere() {
        let slabs = Slabs::default();
        let mut within = None;
        let outer = slabs.written(|room: &mut [u8; 1000]| {
            room[..5].fill(7);
            within = Some(text(&slabs, 8, 20));
            room[5..9].fill(7);
            Some(9)
        });
        let next = text(&slabs, 9, 30);
        assert_eq!(outer, Some(&[7; 9][..]));
        assert_eq!(within, Some(&[8; 20][..]));
        assert_eq!(next, [9; 30]);
    }
}
