//! A chain of transforms over schemaless JSON as a few passes, each over what the one before has left.
//!
//! One [`PatchPlan`] takes as many operations as it can; what cannot follow them there, a second mask of
//! a member that was converted or what comes behind Flatten, follows in another pass.

use std::rc::Rc;

use super::parse::copied;
use super::patch::{JsonOp, PatchPlan, RecordMeta, no_answer};
use super::shape_book::ShapeCounts;
use super::sought::Sought;
use crate::arena::Arena;
use crate::converter::DataError;
use crate::json_text::JsonText;

/// Bytes behind a text on its way from one pass to the next: as many as a pass looks at together.
const BEHIND: usize = 128;

/// Plans that follow one another; one at least.
pub struct Patches {
    first: PatchPlan,
    more: Vec<PatchPlan>,
}

impl Patches {
    /// `None`: one of the operations cannot be a pass. `sought` is looked for in the documents before
    /// all of them.
    pub fn compile(ops: &[JsonOp], sought: Option<Rc<Sought>>) -> Option<Self> {
        let mut plans = Vec::new();
        let mut rest = ops;
        while !rest.is_empty() {
            let most = |count: usize| Some((PatchPlan::compile(&rest[..count])?, count));
            let (plan, count) = (1..=rest.len()).rev().find_map(most)?;
            plans.push(plan);
            rest = &rest[count..];
        }
        let mut plans = plans.into_iter();
        let first = plans.next()?.seeking(sought);
        Some(Self { first, more: plans.collect() })
    }

    /// How many passes there are.
    pub fn passes(&self) -> usize {
        1 + self.more.len()
    }

    /// As [`PatchPlan::apply`], whatever is wrong with the record.
    ///
    /// # Errors
    /// The record is for the long way, which says what is wrong with it, if anything.
    ///
    /// # Panics
    /// If `start..end` is not a range of `buf`.
    #[inline]
    pub fn apply<'a>(
        &mut self,
        buf: &'a [u8],
        start: usize,
        end: usize,
        meta: &RecordMeta<'_>,
        arena: &'a Arena,
    ) -> Result<&'a JsonText<'a>, DataError> {
        let text = self.first.apply(buf, start, end, meta, arena)?;
        if self.more.is_empty() { Ok(text) } else { self.follow(text, meta, arena) }
    }

    /// The same of a text that was checked, its edits applied first.
    ///
    /// # Errors
    /// As [`Patches::apply`].
    pub fn apply_to<'a>(
        &mut self,
        text: &JsonText<'_>,
        meta: &RecordMeta<'_>,
        arena: &'a Arena,
    ) -> Result<&'a JsonText<'a>, DataError> {
        let text = over(&mut self.first, text, meta, arena)?;
        if self.more.is_empty() { Ok(text) } else { self.follow(text, meta, arena) }
    }

    fn follow<'a>(
        &mut self,
        text: &'a JsonText<'a>,
        meta: &RecordMeta<'_>,
        arena: &'a Arena,
    ) -> Result<&'a JsonText<'a>, DataError> {
        let noted = text.noted;
        let mut text = text;
        for plan in &mut self.more {
            text = over(plan, text, meta, arena)?;
        }
        Ok(match noted {
            None => text,
            noted => arena.alloc(JsonText { noted, ..*text }),
        })
    }

    /// How often documents had a learned shape, in all passes.
    pub fn shape_counts(&self) -> ShapeCounts {
        let more = self.more.iter().map(PatchPlan::shape_counts);
        more.fold(self.first.shape_counts(), std::ops::Add::add)
    }
}

/// One pass over a text that was checked. Null is for the long way.
fn over<'a>(
    plan: &mut PatchPlan,
    text: &JsonText<'_>,
    meta: &RecordMeta<'_>,
    arena: &'a Arena,
) -> Result<&'a JsonText<'a>, DataError> {
    let (buf, length) = (copied(text, BEHIND, arena), text.len());
    if &buf[..length] == b"null" {
        return Err(no_answer());
    }
    plan.apply(buf, 0, length, meta, arena)
}
