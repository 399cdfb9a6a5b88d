//! The process' allocator: the system's, and each block knows whose it is.
//!
//! Before each block stand sixteen bytes (more where the alignment asks for more) with a pointer to
//! the books of the account in which it was allocated, or none. So what is freed is taken off the
//! right account, to the byte, whichever thread or task frees it; counts never drift. The line of
//! memory in front of a block is the one that the system's allocator reads and writes anyway.
//!
//! The program's root says `#[global_allocator]`. Where it does not, accounts show nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::null_mut;

use crate::account::{Books, charge, charge_here_or, credit};

/// Room for the owner that keeps a block aligned as the system's allocator aligns by itself.
const HEAD: usize = 16;

/// Blocks of so many bytes are mappings of their own, see [`map_large_blocks`].
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 4 << 20;

/// Large blocks are given back to the kernel when they are freed, for as long as the process lives.
///
/// By itself glibc takes the first such block that is freed for a sign that more will come, and has them
/// in its heaps from then on (up to 32 MiB), where they leave holes: an object store sink's parts of
/// 25 MiB took 145 to 170 MB instead of 122.
pub fn map_large_blocks() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a number of the system's allocator, under that one's own lock.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
}

/// What stands directly before a block.
type Owner = Option<&'static Books>;

/// The system's allocator, with owners.
pub struct Accounted;

/// Where a block of `layout` stands in the system's block, and the layout of that. `None`: too large.
fn whole(layout: Layout) -> Option<(usize, Layout)> {
    let align = layout.align().max(HEAD);
    let size = layout.size().checked_add(align)?;
    Some((align, Layout::from_size_align(size, align).ok()?))
}

impl Accounted {
    /// # Safety
    /// As [`GlobalAlloc::alloc`]; `allocate` is the system's way to allocate by a layout.
    unsafe fn allocate(layout: Layout, allocate: unsafe fn(Layout) -> *mut u8) -> *mut u8 {
        let Some((head, system)) = whole(layout) else { return null_mut() };
        let owner = charge(layout.size());
        // SAFETY: `system` is not of size zero, since it has a head.
        let base = unsafe { allocate(system) };
        if base.is_null() {
            if let Some(books) = owner {
                credit(books, layout.size());
            }
            return base;
        }
        // SAFETY: the system's block has `head` bytes, and after them at least those asked for. `head`
        // is a multiple of the alignment of both.
        unsafe {
            let block = base.add(head);
            write_owner(block, owner);
            block
        }
    }
}

/// # Safety
/// `block` was placed behind a head of at least [`HEAD`] bytes, which nobody else uses.
unsafe fn write_owner(block: *mut u8, owner: Owner) {
    // SAFETY: by the head that is there; a block and its head are aligned to sixteen.
    unsafe { block.sub(size_of::<Owner>()).cast::<Owner>().write(owner) }
}

/// # Safety
/// `block` was made by [`Accounted`] and has not been freed.
unsafe fn owner_of(block: *mut u8) -> Owner {
    // SAFETY: [`write_owner`] has written it there when the block was made.
    unsafe { block.sub(size_of::<Owner>()).cast::<Owner>().read() }
}

// SAFETY: blocks are parts of the system's own, which are as large and as aligned as is asked for and
// freed by the very layout they were made by, since `whole` gives the same for the same. Nothing here
// unwinds or allocates: books are atomics, and the thread-locals in `charge` need no allocation. A call
// that does not return (`charge`) has not begun to allocate.
unsafe impl GlobalAlloc for Accounted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on.
        unsafe { Self::allocate(layout, |layout| System.alloc(layout)) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on; the head is not part of what must be zero.
        unsafe { Self::allocate(layout, |layout| System.alloc_zeroed(layout)) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some((head, system)) = whole(layout) else { return };
        // SAFETY: the caller's block is one of ours, of this layout: so its head and the system's
        // block are where they were.
        unsafe {
            if let Some(books) = owner_of(block) {
                credit(books, layout.size());
            }
            System.dealloc(block.sub(head), system);
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some((head, system)) = whole(layout) else { return null_mut() };
        let Some(wanted) = size.checked_add(head).filter(|size| *size <= isize::MAX as usize)
        else {
            return null_mut();
        };
        // SAFETY: as above; the alignment stays, and with it the head, whose bytes move along.
        unsafe {
            let before = owner_of(block);
            let owner = charge_here_or(before, size);
            let base = System.realloc(block.sub(head), system, wanted);
            // The old block stays with its owner if there is no new one.
            let freed = if base.is_null() { (owner, size) } else { (before, layout.size()) };
            if let (Some(books), bytes) = freed {
                credit(books, bytes);
            }
            if base.is_null() {
                return base;
            }
            let block = base.add(head);
            write_owner(block, owner);
            block
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::block_on;

    use super::*;
    use crate::account::Account;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    /// A block of the allocator's, freed when dropped.
    struct Block(*mut u8, Layout);

    impl Block {
        fn new(layout: Layout) -> Self {
            // SAFETY: no test asks for a block of size zero.
            Self(unsafe { Accounted.alloc(layout) }, layout)
        }

        fn zeroed(layout: Layout) -> Self {
            // SAFETY: as above.
            Self(unsafe { Accounted.alloc_zeroed(layout) }, layout)
        }

        fn resize(&mut self, size: usize) {
            // SAFETY: the block and its layout belong together, and the old one is not used again.
            self.0 = unsafe { Accounted.realloc(self.0, self.1, size) };
            self.1 = layout(size, self.1.align());
            assert!(!self.0.is_null());
        }

        fn bytes(&mut self) -> &mut [u8] {
            assert!(!self.0.is_null() && self.0.addr().is_multiple_of(self.1.align()));
            // SAFETY: the block is of that size, and this one's alone. Tests read what they wrote.
            unsafe { std::slice::from_raw_parts_mut(self.0, self.1.size()) }
        }
    }

    impl Drop for Block {
        fn drop(&mut self) {
            if !self.0.is_null() {
                // SAFETY: as in `resize`.
                unsafe { Accounted.dealloc(self.0, self.1) }
            }
        }
    }

    #[test]
    fn blocks_of_every_shape_are_whole_and_booked_to_the_byte() {
        let account = Account::open(1, usize::MAX);
        for align in [1, 2, 8, 16, 32, 64, 4096] {
            for size in [1, 7, 16, 24, 100, 4096, 200_000] {
                block_on(account.within(async {
                    let mut block = Block::new(layout(size, align));
                    assert_eq!(account.bytes(), size);
                    block.bytes().fill(0xa5);
                    block.resize(size * 3);
                    assert!(block.bytes()[..size].iter().all(|byte| *byte == 0xa5));
                    assert_eq!(account.bytes(), size * 3);
                    block.resize(1);
                    assert_eq!((block.bytes()[0], account.bytes()), (0xa5, 1));
                }));
                assert_eq!(account.bytes(), 0);
                let mut zeroed = Block::zeroed(layout(size, align));
                assert!(zeroed.bytes().iter().all(|byte| *byte == 0) && account.bytes() == 0);
            }
        }
    }

    #[test]
    fn memory_is_taken_off_whose_it_was_wherever_it_is_freed() {
        let (one, two) = (Account::open(1, usize::MAX), Account::open(2, usize::MAX));
        let mut block = block_on(one.within(async { Block::new(layout(1000, 8)) }));
        assert_eq!((one.bytes(), two.bytes()), (1000, 0));
        // Whoever enlarges it has it; nobody takes nothing over.
        block_on(two.within(async { block.resize(3000) }));
        assert_eq!((one.bytes(), two.bytes()), (0, 3000));
        block.resize(500);
        assert_eq!(two.bytes(), 500);
        block_on(one.within(async { drop(block) }));
        assert_eq!((one.bytes(), two.bytes()), (0, 0));
    }

    #[test]
    fn what_cannot_be_had_is_not_booked() {
        let account = Account::open(1, usize::MAX);
        block_on(account.within(async {
            assert!(Block::new(layout(isize::MAX as usize - 15, 16)).0.is_null());
            assert!(Block::new(layout(isize::MAX as usize - 64, 16)).0.is_null());
        }));
        assert_eq!(account.bytes(), 0);
    }
}
