//! A chain of simple transforms over schemaless JSON as one validating pass.
//!
//! InsertField, MaskField and ReplaceField name the members that they touch, so what becomes of a
//! member is known from its name and the kind of its value before any record is seen. A
//! [`PatchPlan`] is that table. [`PatchPlan::apply`] checks the document, looks each top-level name
//! up by its length and bytes, and notes the edits; nothing of the document is copied or built.
//!
//! Where Java's `HashMap` leaves open which of two members that meet under one name stays, the last
//! in the document does, and one that was inserted wins over both.

use std::sync::Arc;

use bumpalo::collections::Vec as BumpVec;

use super::isa::{Isa, Level, dispatch};
use super::patch_compile::{Constants, CreatedFate, Fates, Literal, Outcome, compile, names};
use super::scan::{JsonError, Kind, Scanner};
use super::text::{unescape, write_string};
use super::{empty_text, serialization_error};
use crate::arena::Arena;
use crate::converter::DataError;
use crate::json_text::{Edit, JsonText};

/// One operation on the top-level members of a JSON object, in the words of Kafka Connect's
/// transforms; a list of them is carried out in order.
#[derive(Clone, Debug, PartialEq)]
pub enum JsonOp {
    /// InsertField: set the member, in place if it is there, else at the end.
    Insert { name: String, what: Inserted },
    /// MaskField: each named member is replaced by its type's empty value or by the replacement;
    /// null stays null; a member that is absent is added as null.
    Mask { names: Vec<String>, replacement: Option<String> },
    /// ReplaceField: drop what is excluded or not included (`include` empty: all), then rename.
    Replace { include: Vec<String>, exclude: Vec<String>, renames: Vec<(String, String)> },
}

impl JsonOp {
    /// What Java's message calls the transform.
    fn purpose(&self) -> &'static str {
        match self {
            Self::Insert { .. } => "field insertion",
            Self::Mask { .. } => "mask fields",
            Self::Replace { .. } => "field replacement",
        }
    }
}

/// What InsertField puts in.
#[derive(Clone, Debug, PartialEq)]
pub enum Inserted {
    /// A string.
    Static(String),
    Topic,
    Partition,
    /// Milliseconds; skipped when the record has none.
    Timestamp,
    Offset,
}

/// What InsertField may ask of the record around the value.
#[derive(Clone, Copy, Debug)]
pub struct RecordMeta<'r> {
    pub topic: &'r str,
    pub partition: i32,
    /// Milliseconds since the epoch.
    pub timestamp: Option<i64>,
    pub offset: i64,
}

/// A member of the document that the plan knows by name; positions count from the document's start.
#[derive(Clone, Copy, Debug)]
struct Hit {
    source: u8,
    kind: Kind,
    /// A later member has the same name.
    superseded: bool,
    ordinal: u32,
    /// Where the member before ends, or where the object's inside begins.
    prev_end: u32,
    key_start: u32,
    key_end: u32,
    value_start: u32,
    value_end: u32,
    /// Where the next member begins, or where this one ends if it is the last.
    next_start: u32,
}

/// The document as the pass found it.
#[derive(Clone, Copy, Debug)]
struct Shape {
    start: usize,
    end: usize,
    kind: Kind,
    members: u32,
    /// Behind the last member, or behind the opening brace.
    last_end: u32,
}

/// The names that the plan knows, found by length first.
#[derive(Debug)]
struct Keys {
    /// Bit `min(length, 63)` for each name.
    lengths: u64,
    /// For each such length, the range in `entries`.
    ranges: [(u8, u8); 64],
    /// Sorted by length.
    entries: Vec<(Box<[u8]>, u8)>,
}

impl Keys {
    fn new(names: &[String]) -> Self {
        let mut entries: Vec<(Box<[u8]>, u8)> = Vec::new();
        for (source, name) in names.iter().enumerate() {
            entries.push((name.as_bytes().into(), source as u8));
        }
        entries.sort_by_key(|(name, _)| name.len());
        let mut keys = Self { lengths: 0, ranges: [(0, 0); 64], entries };
        for (at, (name, _)) in keys.entries.iter().enumerate() {
            let slot = name.len().min(63);
            if keys.lengths >> slot & 1 == 0 {
                keys.ranges[slot].0 = at as u8;
            }
            keys.ranges[slot].1 = at as u8 + 1;
            keys.lengths |= 1 << slot;
        }
        keys
    }

    #[inline(always)]
    fn find(&self, key: &[u8]) -> Option<u8> {
        let slot = key.len().min(63);
        if self.lengths >> slot & 1 == 0 {
            return None;
        }
        let (from, to) = self.ranges[slot];
        let mut candidates = self.entries[usize::from(from)..usize::from(to)].iter();
        candidates.find(|(name, _)| **name == *key).map(|(_, source)| *source)
    }

    #[cold]
    fn find_escaped(&self, key: &[u8]) -> Option<u8> {
        let arena = Arena::new();
        self.find(unescape(key, &arena).as_bytes())
    }
}

/// What the pass keeps between records, so that no record allocates it.
#[derive(Debug, Default)]
struct Scratch {
    hits: Vec<Hit>,
    /// Sources found, one bit each.
    present: u64,
    /// For each source that is present, its last hit and the ordinal of its first, which is its
    /// place in a map that keeps the order of insertion.
    last: Vec<u32>,
    first: Vec<u32>,
}

/// A list of [`JsonOp`]s, compiled. One instance a task; `apply` once per record.
pub struct PatchPlan {
    level: Level,
    keys: Keys,
    with_timestamp: Fates,
    without_timestamp: Option<Fates>,
    text: Arc<[u8]>,
    messages: Vec<(u32, String)>,
    first_purpose: Option<&'static str>,
    /// A list with a MaskField refuses null, as Java does; the others pass it on.
    refuses_null: bool,
    scratch: Scratch,
}

impl PatchPlan {
    /// `None` if the list names more than 64 members or may add more than 64: the caller carries
    /// it out on parsed values then.
    pub fn compile(ops: &[JsonOp]) -> Option<Self> {
        Self::compile_at(ops, Level::detect())
    }

    /// [`PatchPlan::compile`] for a given set of instructions.
    pub fn compile_at(ops: &[JsonOp], level: Level) -> Option<Self> {
        let names = names(ops);
        let mut constants = Constants::default();
        let with_timestamp = compile(ops, &names, true, &mut constants)?;
        let stamps = |op: &JsonOp| matches!(op, JsonOp::Insert { what: Inserted::Timestamp, .. });
        let without_timestamp = match ops.iter().any(stamps) {
            true => Some(compile(ops, &names, false, &mut constants)?),
            false => None,
        };
        Some(Self {
            level,
            keys: Keys::new(&names),
            with_timestamp,
            without_timestamp,
            text: constants.text.into(),
            messages: constants.messages,
            first_purpose: ops.first().map(JsonOp::purpose),
            refuses_null: ops.iter().any(|op| matches!(op, JsonOp::Mask { .. })),
            scratch: Scratch {
                last: vec![0; names.len()],
                first: vec![0; names.len()],
                ..Scratch::default()
            },
        })
    }

    /// Checks `buf[start..end]` and lays the operations over it. Bytes of `buf` around the document
    /// may be looked at, but do not matter.
    ///
    /// # Errors
    /// The converter's error if it is not one JSON document, else what the first transform in the
    /// way says. Nothing is left behind but unused arena space.
    ///
    /// # Panics
    /// If `start..end` is not a range of `buf`.
    pub fn apply<'a>(
        &mut self,
        buf: &'a [u8],
        start: usize,
        end: usize,
        meta: &RecordMeta<'_>,
        arena: &'a Arena,
    ) -> Result<JsonText<'a>, DataError> {
        let (keys, scratch) = (&self.keys, &mut self.scratch);
        let shape = dispatch!(
            self.level,
            collect,
            (keys: &Keys, scratch: &mut Scratch, buf: &[u8], start: usize, end: usize)
                -> Result<Shape, JsonError>
        );
        let shape = shape.map_err(serialization_error)?;
        let src = &buf[shape.start..shape.end];
        if shape.kind != Kind::Object {
            return self.not_an_object(shape.kind, src);
        }
        let fates = match (&self.without_timestamp, meta.timestamp) {
            (Some(fates), None) => fates,
            _ => &self.with_timestamp,
        };
        if self.scratch.hits.is_empty() && fates.keep_others && fates.created.is_empty() {
            return Ok(JsonText::verbatim(src));
        }
        let capacity = 2 * self.scratch.hits.len() + 2 * fates.created.len() + 2;
        let mut emitter = Emitter {
            plan: self,
            fates,
            meta,
            arena,
            text: arena.pin_bytes(&self.text),
            edits: BumpVec::with_capacity_in(capacity, arena.bump()),
            created: 0,
        };
        emitter.create();
        let kept = if fates.keep_others {
            emitter.keep_others(shape)?
        } else {
            emitter.drop_others(shape)?
        };
        emitter.append(shape.last_end, kept)?;
        Ok(JsonText { src, edits: emitter.edits.into_bump_slice() })
    }

    #[cold]
    fn not_an_object<'a>(&self, kind: Kind, src: &'a [u8]) -> Result<JsonText<'a>, DataError> {
        let null = matches!(kind, Kind::Null | Kind::Empty);
        let purpose = match self.first_purpose {
            Some(_) if null && self.refuses_null => "mask fields",
            Some(purpose) if !null => purpose,
            _ if null => return Ok(empty_text()),
            _ => return Ok(JsonText::verbatim(src)),
        };
        Err(DataError::new(format!(
            "Only Map objects supported in absence of schema for [{purpose}], found: {}",
            JsonText::verbatim(src).java_class()
        )))
    }
}

/// The pass: checks the document and notes the members that `keys` knows.
#[inline(always)]
fn collect<I: Isa>(
    isa: I,
    keys: &Keys,
    scratch: &mut Scratch,
    buf: &[u8],
    start: usize,
    end: usize,
) -> Result<Shape, JsonError> {
    scratch.hits.clear();
    scratch.present = 0;
    let mut scanner = Scanner::new(isa, buf, start, end);
    if end - start > u32::MAX as usize {
        return Err(scanner.error("the JSON document is longer than 4 GiB"));
    }
    scanner.space();
    let first = scanner.at;
    let mut shape = Shape { start: first, end, kind: Kind::Empty, members: 0, last_end: 1 };
    if first == end {
        return Ok(shape);
    }
    if scanner.peek() != b'{' {
        shape.kind = scanner.value(0)?;
        shape.end = scanner.at;
        return scanner.finish().map(|()| shape);
    }
    shape.kind = Kind::Object;
    scanner.at += 1;
    scanner.space();
    if scanner.peek() == b'}' {
        scanner.at += 1;
    } else {
        // The last hit waits to be told where the next member begins.
        let mut waits = false;
        loop {
            let key_start = scanner.at;
            scanner.expect(b'"', "expected a member's name")?;
            let escaped = scanner.string()?;
            let key_end = scanner.at;
            scanner.space();
            scanner.expect(b':', "expected a colon")?;
            scanner.space();
            let value_start = scanner.at;
            let kind = scanner.value(1)?;
            let value_end = (scanner.at - first) as u32;
            if waits && let Some(hit) = scratch.hits.last_mut() {
                hit.next_start = (key_start - first) as u32;
                waits = false;
            }
            let key = &buf[key_start + 1..key_end - 1];
            let source = if escaped { keys.find_escaped(key) } else { keys.find(key) };
            if let Some(source) = source {
                waits = true;
                scratch.note(Hit {
                    source,
                    kind,
                    superseded: false,
                    ordinal: shape.members,
                    prev_end: shape.last_end,
                    key_start: (key_start - first) as u32,
                    key_end: (key_end - first) as u32,
                    value_start: (value_start - first) as u32,
                    value_end,
                    next_start: value_end,
                });
            }
            shape.members += 1;
            shape.last_end = value_end;
            scanner.space();
            match scanner.peek() {
                b',' => {
                    scanner.at += 1;
                    scanner.space();
                }
                b'}' => {
                    scanner.at += 1;
                    break;
                }
                _ => return Err(scanner.error("expected a comma or a closing brace")),
            }
        }
    }
    shape.end = scanner.at;
    scanner.finish().map(|()| shape)
}

impl Scratch {
    #[inline(always)]
    fn note(&mut self, hit: Hit) {
        let source = usize::from(hit.source);
        if self.present >> source & 1 == 1 {
            self.hits[self.last[source] as usize].superseded = true;
        } else {
            self.first[source] = hit.ordinal;
        }
        self.present |= 1 << source;
        self.last[source] = self.hits.len() as u32;
        self.hits.push(hit);
    }
}

/// Turns what the pass found into edits.
struct Emitter<'p, 'a> {
    plan: &'p PatchPlan,
    fates: &'p Fates,
    meta: &'p RecordMeta<'p>,
    arena: &'a Arena,
    /// The plan's constant text, kept by the arena.
    text: &'a [u8],
    edits: BumpVec<'a, Edit<'a>>,
    /// The created members that come to be, one bit each.
    created: u64,
}

impl<'a> Emitter<'_, 'a> {
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
            Outcome::Topic => {
                let mut text = Vec::with_capacity(self.meta.topic.len() + 2);
                write_string(self.meta.topic, &mut text);
                Some(self.arena.alloc_bytes(&text))
            }
            Outcome::Partition => number(i64::from(self.meta.partition)),
            Outcome::Timestamp => number(self.meta.timestamp.unwrap_or_default()),
            Outcome::Offset => number(self.meta.offset),
            Outcome::Fail(_) => return self.check(outcome).map(|()| None),
        })
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
    fn keep_others(&mut self, shape: Shape) -> Result<u32, DataError> {
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
    fn drop_others(&mut self, shape: Shape) -> Result<u32, DataError> {
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
        let text = self.literal(fate.text);
        let with = if comma { text } else { &text[1..] };
        self.edits.push(Edit { start: at, end: at, with });
        if let Some(with) = self.value(fate.outcome)? {
            self.edits.push(Edit { start: at, end: at, with });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
