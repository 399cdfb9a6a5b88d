//! Lists of a batch that grow by one item at a time, each length of which somebody may hold.

use std::alloc::Layout;
use std::cell::Cell;
use std::ptr::NonNull;

use bumpalo::Bump;

/// The list that was appended to last, if that left room.
#[derive(Default)]
pub(crate) struct Growing(Cell<Option<Last>>);

#[derive(Clone, Copy)]
struct Last {
    /// Where the list begins; of the whole memory that it may grow into.
    start: NonNull<u8>,
    /// Items that nobody has been lent a place for are behind these.
    used: usize,
    capacity: usize,
}

impl Growing {
    /// `list` and `item` behind it. Where the list stands, if it is the one that was appended to last and
    /// has room; else a copy with room for as many again, if it is not the first.
    pub fn appended<'a, T: Copy>(&self, bump: &'a Bump, list: &'a [T], item: T) -> &'a [T] {
        const { assert!(size_of::<T>() > 0) };
        let length = list.len();
        let known = self.0.get().filter(|last| {
            std::ptr::eq(last.start.as_ptr().cast(), list.as_ptr())
                && last.used == length
                && length < last.capacity
        });
        let last = known.unwrap_or_else(|| {
            let capacity = if length == 0 { 1 } else { 2 * (length + 1) };
            let layout = Layout::array::<T>(capacity).expect("lists are shorter than memory");
            let start = bump.alloc_layout(layout);
            // SAFETY: the memory was just given for `capacity` items of this type, which is more than
            // `length`, and nobody else has it.
            unsafe { start.cast::<T>().as_ptr().copy_from_nonoverlapping(list.as_ptr(), length) };
            Last { start, used: length, capacity }
        });
        self.0.set(Some(Last { used: length + 1, ..last }));
        let start = last.start.cast::<T>();
        // SAFETY: `start` is of memory for `capacity` items of this type: `known` begins where a list of
        // `T` does that is lent still, and no two lists begin at one place of live memory; `reset` forgets
        // it before the memory is another's. `length < capacity`. The place at `length` has been lent to
        // nobody, for `used` was `length` and is more from now on; the items before it are initialised
        // and are only read.
        unsafe {
            start.add(length).write(item);
            std::slice::from_raw_parts(start.as_ptr(), length + 1)
        }
    }

    /// The memory is about to be another's.
    pub fn reset(&mut self) {
        self.0.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_of_a_list_stays_as_it_was() {
        let (mut growing, mut bump) = (Growing::default(), Bump::new());
        for _ in 0..2 {
            let mut lists: Vec<&[u64]> = vec![&[]];
            for number in 0..40 {
                lists.push(growing.appended(&bump, lists[number], number as u64));
            }
            // Others grow out of the same ones, and in between.
            let other = growing.appended(&bump, lists[7], 99);
            let more = growing.appended(&bump, lists[40], 40);
            let bytes = growing.appended(&bump, b"", 7_u8);
            let text = growing.appended(&bump, bytes, 8);
            let other = growing.appended(&bump, other, 98);
            for (length, list) in lists.iter().enumerate() {
                assert!(list.iter().copied().eq(0..length as u64));
            }
            assert!(more.iter().copied().eq(0..41));
            assert_eq!(other, [0, 1, 2, 3, 4, 5, 6, 99, 98]);
            assert_eq!((bytes, text), (&b"\x07"[..], &b"\x07\x08"[..]));
            growing.reset();
            bump.reset();
        }
    }

    #[test]
    fn a_list_that_was_made_by_hand_is_copied() {
        let (growing, bump) = (Growing::default(), Bump::new());
        let own = [1, 2, 3];
        let four = growing.appended(&bump, &own, 4);
        let five = growing.appended(&bump, four, 5);
        assert_eq!((four.as_ptr(), five), (five.as_ptr(), &[1, 2, 3, 4, 5][..]));
    }
}
