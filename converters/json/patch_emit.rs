//! The patch's edits: what the pass found, turned into what changes in the text.

use bumpalo::collections::Vec as BumpVec;

use super::patch::{PatchPlan, RecordMeta};
use super::patch_compile::{CreatedFate, Fates, Literal, Outcome};
use super::patch_pass::{Hit, Shape};
use super::text::write_string;
use crate::arena::Arena;
use crate::converter::DataError;
use crate::json_text::Edit;

/// Turns what the pass found into edits.
pub(super) struct Emitter<'p, 'a> {
    pub plan: &'p PatchPlan,
    pub fates: &'p Fates,
    pub meta: &'p RecordMeta<'p>,
    pub arena: &'a Arena,
    /// The plan's constant text, kept by the arena.
    pub text: &'a [u8],
    pub edits: BumpVec<'a, Edit<'a>>,
    /// The created members that come to be, one bit each.
    pub created: u64,
}

impl<'a> Emitter<'_, 'a> {
    /// Decides which of the members that may be created are.
    #[inline]
    pub fn create(&mut self) {
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
        if hit.superseded || fate.created_rivals & self.created != 0 {
            return Ok(true);
        }
        if fate.dropped {
            // An operation before the drop may have refused the value.
            self.check(fate.outcomes[hit.kind as usize])?;
            return Ok(true);
        }
        let scratch = &self.plan.scratch;
        let mut rivals = fate.rivals & scratch.present;
        while rivals != 0 {
            let rival = rivals.trailing_zeros() as usize;
            if scratch.first[rival] > scratch.first[usize::from(hit.source)] {
                return Ok(true);
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
    fn literal(&self, literal: Literal) -> &'a [u8] {
        &self.text[literal.at as usize..][..literal.len as usize]
    }

    #[inline]
    fn value(&self, outcome: Outcome) -> Result<Option<&'a [u8]>, DataError> {
        let number = |number: i64| {
            Some(self.arena.alloc_bytes(itoa::Buffer::new().format(number).as_bytes()))
        };
        Ok(match outcome {
            Outcome::Keep => None,
            Outcome::Literal(literal) => Some(self.literal(literal)),
            Outcome::Topic => Some(self.topic()),
            Outcome::Partition => number(i64::from(self.meta.partition)),
            Outcome::Timestamp => number(self.meta.timestamp.unwrap_or_default()),
            Outcome::Offset => number(self.meta.offset),
            Outcome::Fail(_) => return self.check(outcome).map(|()| None),
        })
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

    #[inline]
    fn remove(&mut self, start: u32, end: u32) {
        if start == end {
            return;
        }
        if let Some(last) = self.edits.last_mut()
            && last.end == start
            && last.with.is_empty()
        {
            last.end = end;
            return;
        }
        self.edits.push(Edit { start, end, with: b"" });
    }

    /// New name and new value of a member that stays.
    #[inline]
    fn change(&mut self, hit: &Hit) -> Result<(), DataError> {
        let fate = &self.fates.sources[usize::from(hit.source)];
        if let Some(name) = fate.rename {
            let with = self.literal(name);
            self.edits.push(Edit { start: hit.key_start, end: hit.key_end, with });
        }
        if let Some(with) = self.value(fate.outcomes[hit.kind as usize])? {
            self.edits.push(Edit { start: hit.value_start, end: hit.value_end, with });
        }
        Ok(())
    }

    /// The edits where members that nobody mentions stay; the number of members left.
    #[inline]
    pub fn keep_others(&mut self, shape: Shape) -> Result<u32, DataError> {
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
        Ok(shape.members - gone)
    }

    /// The edits where members that nobody mentions go; the number of members left.
    pub fn drop_others(&mut self, shape: Shape) -> Result<u32, DataError> {
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
        self.remove(kept_end, shape.last_end);
        Ok(kept)
    }

    /// Puts what is created behind the last member.
    #[inline]
    pub fn append(&mut self, at: u32, kept: u32) -> Result<(), DataError> {
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
        let text = self.literal(fate.text);
        let with = if comma { text } else { &text[1..] };
        self.edits.push(Edit { start: at, end: at, with });
        if let Some(with) = self.value(fate.outcome)? {
            self.edits.push(Edit { start: at, end: at, with });
        }
        Ok(())
    }
}
