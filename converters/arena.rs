//! Where a batch's values live: one bump allocator and the schemas that the batch refers to.

use std::any::Any;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;
use elsa::FrozenVec;

use crate::data::{Schema, Value};
use crate::growing::Growing;
use crate::slabs::Slabs;

/// How many schemas, or texts, a record may turn by turn pin without pinning them anew.
const RECENT: usize = 4;

/// Memory of one batch. Everything a converter or a transform makes for a record is put here and
/// is gone, all at once, at [`Arena::reset`]; nothing in it is ever dropped one by one.
pub struct Arena {
    bump: Bump,
    /// No other batch, of this arena or another, has this number.
    batch: u64,
    schemas: FrozenVec<Arc<Schema>>,
    literals: FrozenVec<Arc<[u8]>>,
    kept: FrozenVec<Box<dyn Any>>,
    slabs: Slabs,
    growing: Growing,
}

/// Where an arena keeps what somebody has it keep with each batch: a note that spares the search.
#[derive(Debug, Default)]
pub struct KeptAt(Cell<(u64, usize)>);

impl Default for Arena {
    fn default() -> Self {
        Self::new()
    }
}

/// A number for a batch; none is 0.
fn next_batch() -> u64 {
    static BATCHES: AtomicU64 = AtomicU64::new(1);
    BATCHES.fetch_add(1, Ordering::Relaxed)
}

impl Arena {
    pub fn new() -> Self {
        Self {
            bump: Bump::new(),
            batch: next_batch(),
            schemas: FrozenVec::new(),
            literals: FrozenVec::new(),
            kept: FrozenVec::new(),
            slabs: Slabs::default(),
            growing: Growing::default(),
        }
    }

    /// Forgets all values and schemas; keeps the memory for the next batch.
    pub fn reset(&mut self) {
        self.batch = next_batch();
        self.growing.reset();
        self.bump.reset();
        self.schemas.as_mut().clear();
        self.literals.as_mut().clear();
        self.kept.as_mut().clear();
        self.slabs.reset();
    }

    /// Bytes that the arena holds from the system allocator.
    pub fn allocated_bytes(&self) -> usize {
        self.bump.allocated_bytes() + self.slabs.allocated_bytes()
    }

    /// Has `write` write a text into a room and say its length, and lends the text: for texts of
    /// unknown length, which need not be copied then. What the room holds before is of no meaning.
    #[inline(always)]
    pub fn written<const ROOM: usize>(
        &self,
        write: impl FnOnce(&mut [u8; ROOM]) -> Option<usize>,
    ) -> Option<&[u8]> {
        self.slabs.written(write)
    }

    /// The allocator itself, for `bumpalo::collections`.
    pub fn bump(&self) -> &Bump {
        &self.bump
    }

    /// Keeps `schema` alive for the batch and lends it. A run of records with the same few schemas,
    /// of an envelope and of its row say, pins each once, so that the atomic count is touched per
    /// change of schema, not per record.
    pub fn pin_schema<'a>(&'a self, schema: &Arc<Schema>) -> &'a Schema {
        let count = self.schemas.len();
        for at in (count.saturating_sub(RECENT)..count).rev() {
            if let Some(known) = self.schemas.get(at)
                && std::ptr::eq(known, Arc::as_ptr(schema))
            {
                return known;
            }
        }
        self.schemas.push_get(Arc::clone(schema))
    }

    /// Keeps `bytes`, a plan's constant text, alive for the batch and lends it; like
    /// [`Arena::pin_schema`], a run of records pins it once.
    pub fn pin_bytes<'a>(&'a self, bytes: &Arc<[u8]>) -> &'a [u8] {
        let count = self.literals.len();
        for at in (count.saturating_sub(RECENT)..count).rev() {
            if let Some(known) = self.literals.get(at)
                && std::ptr::eq(known, Arc::as_ptr(bytes))
            {
                return known;
            }
        }
        self.literals.push_get(Arc::clone(bytes))
    }

    /// Keeps `owner` for the batch and lends it: of a buffer that the batch's values borrow from. It
    /// is dropped at [`Arena::reset`]. For one or a few owners a batch: each is an allocation.
    pub fn keep<T: Any>(&self, owner: T) -> &T {
        let kept = self.kept.push_get(Box::new(owner));
        kept.downcast_ref().expect("it was put there as this type")
    }

    /// [`Arena::keep`] of what lives longer than the batch: once in it, however often it is asked for.
    /// `at` is `owner`'s alone.
    #[inline]
    pub fn keep_once<T: Any>(&self, at: &KeptAt, owner: &Rc<T>) -> &T {
        let (batch, place) = at.0.get();
        if batch == self.batch
            && let Some(kept) = self.kept.get(place).and_then(|kept| kept.downcast_ref::<Rc<T>>())
        {
            return kept;
        }
        at.0.set((self.batch, self.kept.len()));
        let kept: &Rc<T> = self.keep(Rc::clone(owner));
        kept
    }

    #[inline]
    pub fn alloc<T: Copy>(&self, value: T) -> &T {
        self.bump.alloc(value)
    }

    /// [`Arena::alloc`] for the hottest places: the value is made where it stays.
    #[inline(always)]
    pub fn alloc_with<T: Copy>(&self, value: impl FnOnce() -> T) -> &T {
        self.bump.alloc_with(value)
    }

    pub fn alloc_str<'a>(&'a self, text: &str) -> &'a str {
        self.bump.alloc_str(text)
    }

    pub fn alloc_bytes<'a>(&'a self, bytes: &[u8]) -> &'a [u8] {
        self.bump.alloc_slice_copy(bytes)
    }

    pub fn alloc_slice<'a, T: Copy>(&'a self, items: &[T]) -> &'a [T] {
        self.bump.alloc_slice_copy(items)
    }

    /// The list and an item behind it: where the list stands, if it is the one that was appended to last
    /// and there is room, else in a copy. Whoever holds the list sees it as it was.
    #[inline]
    pub fn appended<'a, T: Copy>(&'a self, list: &'a [T], item: T) -> &'a [T] {
        self.growing.appended(&self.bump, list, item)
    }

    /// An empty growing vector in the arena; `into_bump_slice` makes it a slice of the batch.
    pub fn vec<'a, T>(&'a self) -> bumpalo::collections::Vec<'a, T> {
        bumpalo::collections::Vec::new_in(&self.bump)
    }

    /// A map value of `(key, value)` pairs whose keys are strings.
    pub fn string_map<'a>(&'a self, entries: &[(&'a str, Value<'a>)]) -> Value<'a> {
        Value::Map(
            self.bump.alloc_slice_fill_iter(
                entries.iter().map(|(name, value)| (Value::Str(name), *value)),
            ),
        )
    }
}

/// A place for one more item, to be filled where it stays.
#[inline]
pub(crate) fn added<'v, T: Default>(items: &'v mut BumpVec<'_, T>) -> &'v mut T {
    if items.capacity() == 0 {
        // One or two would be grown at once.
        items.reserve(4);
    }
    items.push(T::default());
    let last = items.len() - 1;
    &mut items[last]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_once_is_kept_in_each_batch() {
        let (one, other) = (Rc::new(1_u64), Rc::new(2_u64));
        let (at, beside) = (KeptAt::default(), KeptAt::default());
        let mut arenas = [Arena::new(), Arena::new()];
        for _ in 0..3 {
            for arena in &mut arenas {
                arena.reset();
                for _ in 0..3 {
                    assert_eq!(
                        (arena.keep_once(&at, &one), arena.keep_once(&beside, &other)),
                        (&1, &2)
                    );
                }
                assert_eq!(arena.kept.len(), 2);
            }
        }
        // Both arenas hold it, and whoever has it.
        assert_eq!((Rc::strong_count(&one), Rc::strong_count(&other)), (3, 3));
        arenas.iter_mut().for_each(Arena::reset);
        assert_eq!(Rc::strong_count(&one), 1);
    }
}
