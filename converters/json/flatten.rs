//! Flatten as edits: the leaves of nested objects become members of the whole, under joined names.
//!
//! Values stay where they stand; what is between two of them is replaced: the end of the one's object,
//! the way down to the other, its name.

use bumpalo::collections::Vec as BumpVec;

use super::members::{Index, Place, look};
use crate::arena::Arena;
use crate::json_text::Edit;

/// Objects inside each other that are flattened here; a deeper document is for the long way.
const MAX_DEPTH: usize = 16;

/// The edits of the object that `src` is, positions from its start. `None`: two leaves meet under one
/// name, a name has escapes, or objects lie too deep. `delimiter` is as a JSON string writes it.
pub(super) fn edits<'a>(
    src: &'a [u8],
    delimiter: &[u8],
    arena: &'a Arena,
) -> Option<&'a [Edit<'a>]> {
    let edits = BumpVec::with_capacity_in(16, arena.bump());
    let names = BumpVec::with_capacity_in(32, arena.bump());
    let mut walk = Walk { src, delimiter, arena, edits, names, end: 1, in_place: true };
    let index = look(src, arena).ok()??;
    walk.object(0, &index, b"", 0)?;
    if !walk.in_place {
        walk.edits.push(Edit { start: walk.end, end: index.end as u32, with: b"" });
    }
    Some(walk.edits.into_bump_slice())
}

struct Walk<'w, 'a> {
    src: &'a [u8],
    delimiter: &'w [u8],
    arena: &'a Arena,
    edits: BumpVec<'a, Edit<'a>>,
    /// Of the leaves so far.
    names: BumpVec<'a, &'a [u8]>,
    /// Where the last leaf ends.
    end: u32,
    /// What stands behind it is what stands before the next one, if that is at the top.
    in_place: bool,
}

impl<'a> Walk<'_, 'a> {
    /// The object that stands at `base` of the whole, under `prefix`.
    fn object(&mut self, base: u32, index: &Index<'a>, prefix: &[u8], depth: usize) -> Option<()> {
        let text = &self.src[base as usize..];
        for place in index.places {
            let plain = place.plain_name(text)?;
            let name = self.name(prefix, plain);
            let (start, end) = (base + place.value.0, base + place.value.1);
            if self.src[start as usize] != b'{' {
                self.leaf(name, start, depth)?;
                self.end = end;
                continue;
            }
            if depth == MAX_DEPTH {
                return None;
            }
            // Of two members of one name the last counts; leaves that meet are found by their names.
            let own = |other: &Place| other.plain_name(text) == Some(plain);
            if index.places.iter().filter(|other| own(other)).count() > 1 {
                return None;
            }
            self.in_place = false;
            let inner = look(&self.src[start as usize..end as usize], self.arena).ok()??;
            self.object(start, &inner, name, depth + 1)?;
        }
        Some(())
    }

    /// An empty name before another leaves no delimiter, as in Java.
    fn name(&self, prefix: &[u8], own: &'a [u8]) -> &'a [u8] {
        if prefix.is_empty() {
            return own;
        }
        let parts = [prefix, self.delimiter, own];
        let length = parts.iter().map(|part| part.len()).sum();
        let mut name = BumpVec::with_capacity_in(length, self.arena.bump());
        parts.iter().for_each(|part| name.extend_from_slice_copy(part));
        name.into_bump_slice()
    }

    fn leaf(&mut self, name: &'a [u8], start: u32, depth: usize) -> Option<()> {
        if self.names.contains(&name) {
            return None;
        }
        if depth > 0 || !self.in_place {
            let comma: &[u8] = if self.names.is_empty() { b"" } else { b"," };
            let mut with = BumpVec::with_capacity_in(name.len() + 4, self.arena.bump());
            [comma, b"\"", name, b"\":"].iter().for_each(|part| with.extend_from_slice_copy(part));
            self.edits.push(Edit { start: self.end, end: start, with: with.into_bump_slice() });
        }
        self.in_place = depth == 0;
        self.names.push(name);
        Some(())
    }
}
