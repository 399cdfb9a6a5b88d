//! Where a batch's values live: one bump allocator and the schemas that the batch refers to.

use std::any::Any;
use std::sync::Arc;

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;
use elsa::FrozenVec;

use crate::data::{Schema, Value};
use crate::slabs::Slabs;

/// How many schemas a record may turn by turn pin without pinning them anew.
const RECENT: usize = 4;

/// Memory of one batch. Everything a converter or a transform makes for a record is put here and
/// is gone, all at once, at [`Arena::reset`]; nothing in it is ever dropped one by one.
#[derive(Default)]
pub struct Arena {
    bump: Bump,
    schemas: FrozenVec<Arc<Schema>>,
    literals: FrozenVec<Arc<[u8]>>,
    kept: FrozenVec<Box<dyn Any>>,
    slabs: Slabs,
}

impl Arena {
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all values and schemas; keeps the memory for the next batch.
    pub fn reset(&mut self) {
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
        if let Some(last) = self.literals.last()
            && std::ptr::eq(last, Arc::as_ptr(bytes))
        {
            return last;
        }
        self.literals.push_get(Arc::clone(bytes))
    }

    /// Keeps `owner` for the batch and lends it: of a buffer that the batch's values borrow from. It
    /// is dropped at [`Arena::reset`]. For one or a few owners a batch: each is an allocation.
    pub fn keep<T: Any>(&self, owner: T) -> &T {
        let kept = self.kept.push_get(Box::new(owner));
        kept.downcast_ref().expect("it was put there as this type")
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
