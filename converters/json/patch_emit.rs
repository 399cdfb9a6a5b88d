//! The patch's edits: what the pass found, turned into what changes in the text.

use std::cell::RefCell;

use bumpalo::collections::Vec as BumpVec;

use super::patch::{Call, PatchPlan, RecordMeta, no_answer};
use super::patch_compile::{CreatedFate, Fates, Literal, Outcome};
use super::patch_pass::{Found, Hit};
use super::shape::Piece;
use super::text::write_string;
use crate::arena::Arena;
use crate::converter::DataError;
use crate::json_text::Edit;

/// Where edits go: to the record's text, or to a shape's template. Positions count from the
/// document's start; edits come sorted.
pub(super) trait Output {
    /// Replaces `start..end`.
    fn put(&mut self, start: u32, end: u32, with: Piece);
    /// Takes `start..end`, which is not empty, away.
    fn remove(&mut self, start: u32, end: u32);
}

/// What the pieces of an edit stand for in one record.
#[derive(Clone, Copy)]
pub(super) struct Pieces<'p, 'a> {
    pub meta: &'p RecordMeta<'p>,
    pub arena: &'a Arena,
    /// The plan's constant text, kept by the arena.
    pub text: &'a [u8],
    pub calls: &'p [Call],
    pub converted: &'p RefCell<Vec<u8>>,
}

impl<'a> Pieces<'_, 'a> {
    /// What takes the place of `old`.
    #[inline(always)]
    pub fn bytes(&self, piece: Piece, old: &'a [u8]) -> Result<&'a [u8], DataError> {
        match piece {
            Piece::Call(index) => self.converted(index, old),
            piece => Ok(self.known(piece)),
        }
    }

    fn converted(&self, index: u16, old: &'a [u8]) -> Result<&'a [u8], DataError> {
        match self.calls.get(usize::from(index)) {
            Some(call) => call.text(old, self.arena, &mut self.converted.borrow_mut()),
            None => Ok(old),
        }
    }

    #[inline(always)]
    fn known(&self, piece: Piece) -> &'a [u8] {
        let number =
            |number: i64| self.arena.alloc_bytes(itoa::Buffer::new().format(number).as_bytes());
        match piece {
            Piece::Literal(literal) => &self.text[literal.at as usize..][..literal.len as usize],
            Piece::Topic => self.topic(),
            Piece::Partition => number(i64::from(self.meta.partition)),
            Piece::Timestamp => number(self.meta.timestamp.unwrap_or_default()),
            Piece::Offset => number(self.meta.offset),
            Piece::Call(_) => b"",
        }
    }

    /// The topic's name as a JSON string.
    fn topic(&self) -> &'a [u8] {
        let topic = self.meta.topic.as_bytes();
        let mut text = BumpVec::with_capacity_in(topic.len() + 2, self.arena.bump());
        // Kafka lets nothing into a name that JSON would escape; a test might.
        if topic.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte)) {
            text.push(b'"');
            text.extend_from_slice(topic);
            text.push(b'"');
        } else {
            let mut escaped = Vec::new();
            write_string(self.meta.topic, &mut escaped);
            text.extend_from_slice(&escaped);
        }
        text.into_bump_slice()
    }
}

/// A member goes, for another has its name now. What an operation made of its value before may have
/// been a refusal, or the name may have been lost first: that is for the long way to tell.
#[inline]
fn outdone(outcome: Outcome) -> Result<bool, DataError> {
    match outcome {
        Outcome::Call(_) | Outcome::Fail(_) => Err(no_answer()),
        _ => Ok(true),
    }
}

/// The edits of one record, in the batch's arena.
pub(super) struct RecordEdits<'p, 'a> {
    pub pieces: Pieces<'p, 'a>,
    /// The document.
    pub src: &'a [u8],
    /// The first conversion that failed.
    pub failed: Option<DataError>,
    pub edits: BumpVec<'a, Edit<'a>>,
}

impl Output for RecordEdits<'_, '_> {
    #[inline(always)]
    fn put(&mut self, start: u32, end: u32, with: Piece) {
        match self.pieces.bytes(with, &self.src[start as usize..end as usize]) {
            Ok(with) => self.edits.push(Edit { start, end, with }),
            Err(error) => self.failed = self.failed.take().or(Some(error)),
        }
    }

    #[inline(always)]
    fn remove(&mut self, start: u32, end: u32) {
        if let Some(last) = self.edits.last_mut()
            && last.end == start
            && last.with.is_empty()
        {
            last.end = end;
            return;
        }
        self.edits.push(Edit { start, end, with: b"" });
    }
}

/// Turns what the pass found into edits.
pub(super) struct Emitter<'p, O> {
    pub plan: &'p PatchPlan,
    pub fates: &'p Fates,
    pub out: O,
    /// The created members that come to be, one bit each.
    pub created: u64,
}

impl<'p, O: Output> Emitter<'p, O> {
    pub fn new(plan: &'p PatchPlan, fates: &'p Fates, out: O) -> Self {
        Self { plan, fates, out, created: 0 }
    }

    /// All edits, or what the first transform that refuses the record says.
    #[inline(always)]
    pub fn run(mut self, found: Found) -> Result<O, DataError> {
        self.create();
        if let Some((prefix, _)) = self.plan.hoist {
            self.out.put(0, 0, Piece::Literal(prefix));
        }
        let kept = if self.fates.keep_others {
            self.keep_others(found)?
        } else {
            self.drop_others(found)?
        };
        self.append(found.last_end, kept)?;
        if let Some((_, suffix)) = self.plan.hoist {
            let end = (found.end - found.start) as u32;
            self.out.put(end, end, Piece::Literal(suffix));
        }
        Ok(self.out)
    }

    /// Decides which of the members that may be created are.
    #[inline]
    fn create(&mut self) {
        let present = self.plan.scratch.present;
        for (at, fate) in self.fates.created.iter().enumerate() {
            let blocked =
                fate.blocking_sources & present != 0 || fate.blocking_created & self.created != 0;
            self.created |= u64::from(!blocked) << at;
        }
    }

    /// Does this member go: dropped, or another stays under its name?
    #[inline]
    fn goes(&self, hit: &Hit) -> Result<bool, DataError> {
        let fate = &self.fates.sources[usize::from(hit.source)];
        let outcome = fate.outcomes[hit.kind as usize];
        if hit.superseded {
            return Ok(true);
        }
        if fate.created_rivals & self.created != 0 {
            return outdone(outcome);
        }
        if fate.dropped {
            // An operation before the drop may have refused the value.
            self.check(outcome)?;
            return Ok(true);
        }
        let scratch = &self.plan.scratch;
        let mut rivals = fate.rivals & scratch.present;
        while rivals != 0 {
            let rival = rivals.trailing_zeros() as usize;
            if scratch.first[rival] > scratch.first[usize::from(hit.source)] {
                return outdone(outcome);
            }
            rivals &= rivals - 1;
        }
        Ok(false)
    }

    #[inline]
    fn check(&self, outcome: Outcome) -> Result<(), DataError> {
        match outcome {
            Outcome::Fail(_) => Err(self.first_failure()),
            _ => Ok(()),
        }
    }

    /// Of all values that are refused, what the first operation says.
    #[cold]
    fn first_failure(&self) -> DataError {
        let hits = self.plan.scratch.hits.iter().filter(|hit| !hit.superseded);
        let found =
            hits.map(|hit| self.fates.sources[usize::from(hit.source)].outcomes[hit.kind as usize]);
        let created = self.fates.created.iter().enumerate();
        let created = created.filter(|(at, _)| self.created >> at & 1 == 1);
        let messages = found.chain(created.map(|(_, fate)| fate.outcome));
        let messages = messages.filter_map(|outcome| match outcome {
            Outcome::Fail(message) => self.plan.messages.get(message as usize),
            _ => None,
        });
        let first = messages.min_by_key(|(step, _)| *step);
        DataError::new(first.map(|(_, message)| message.clone()).unwrap_or_default())
    }

    #[inline]
    fn value(&self, outcome: Outcome) -> Result<Option<Piece>, DataError> {
        Ok(match outcome {
            Outcome::Keep => None,
            Outcome::Literal(literal) => Some(Piece::Literal(literal)),
            Outcome::Topic => Some(Piece::Topic),
            Outcome::Partition => Some(Piece::Partition),
            Outcome::Timestamp => Some(Piece::Timestamp),
            Outcome::Offset => Some(Piece::Offset),
            Outcome::Call(index) => Some(Piece::Call(index)),
            Outcome::Fail(_) => return self.check(outcome).map(|()| None),
        })
    }

    #[inline]
    fn remove(&mut self, start: u32, end: u32) {
        if start != end {
            self.out.remove(start, end);
        }
    }

    /// New name and new value of a member that stays.
    #[inline]
    fn change(&mut self, hit: &Hit) -> Result<(), DataError> {
        let fate = &self.fates.sources[usize::from(hit.source)];
        if let Some(name) = fate.rename {
            self.out.put(hit.key_start, hit.key_end, Piece::Literal(name));
        }
        if let Some(with) = self.value(fate.outcomes[hit.kind as usize])? {
            self.out.put(hit.value_start, hit.value_end, with);
        }
        Ok(())
    }

    /// The edits where members that nobody mentions stay; the number of members left.
    #[inline]
    fn keep_others(&mut self, found: Found) -> Result<u32, DataError> {
        let plan = self.plan;
        let mut gone = 0;
        for hit in &plan.scratch.hits {
            if !self.goes(hit)? {
                self.change(hit)?;
                continue;
            }
            // With a member left before it the comma before goes too, else the one behind.
            if gone == hit.ordinal {
                self.remove(hit.key_start, hit.next_start);
            } else {
                self.remove(hit.prev_end, hit.value_end);
            }
            gone += 1;
        }
        Ok(found.members - gone)
    }

    /// The edits where members that nobody mentions go; the number of members left.
    fn drop_others(&mut self, found: Found) -> Result<u32, DataError> {
        let plan = self.plan;
        let mut kept = 0;
        let mut kept_end = 1;
        for hit in &plan.scratch.hits {
            if self.goes(hit)? {
                continue;
            }
            if kept == 0 && hit.ordinal > 0 {
                self.remove(kept_end, hit.key_start);
            } else if kept > 0 {
                self.remove(kept_end, hit.prev_end);
            }
            self.change(hit)?;
            kept += 1;
            kept_end = hit.value_end;
        }
        self.remove(kept_end, found.last_end);
        Ok(kept)
    }

    /// Puts what is created behind the last member.
    #[inline]
    fn append(&mut self, at: u32, kept: u32) -> Result<(), DataError> {
        let mut comma = kept > 0;
        let fates = self.fates;
        for (index, fate) in fates.created.iter().enumerate() {
            if self.created >> index & 1 == 0 {
                continue;
            }
            self.check(fate.outcome)?;
            if fate.dropped || fate.rivals & self.created != 0 {
                continue;
            }
            self.append_one(at, fate, comma)?;
            comma = true;
        }
        Ok(())
    }

    #[inline]
    fn append_one(&mut self, at: u32, fate: &CreatedFate, comma: bool) -> Result<(), DataError> {
        let Literal { at: from, len } = fate.text;
        let text = if comma { fate.text } else { Literal { at: from + 1, len: len - 1 } };
        self.out.put(at, at, Piece::Literal(text));
        if let Some(with) = self.value(fate.outcome)? {
            self.out.put(at, at, with);
        }
        Ok(())
    }
}
