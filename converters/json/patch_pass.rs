//! The patch's pass over a document: checks it and notes the members that the plan knows by name.

use super::isa::Isa;
use super::scan::{JsonError, Kind, Scanner};
use super::text::unescape;
use crate::arena::Arena;

/// A member of the document that the plan knows by name; positions count from the document's start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hit {
    pub source: u8,
    pub kind: Kind,
    /// A later member has the same name.
    pub superseded: bool,
    pub ordinal: u32,
    /// Where the member before ends, or where the object's inside begins.
    pub prev_end: u32,
    pub key_start: u32,
    pub key_end: u32,
    pub value_start: u32,
    pub value_end: u32,
    /// Where the next member begins, or where this one ends if it is the last.
    pub next_start: u32,
}

/// The document as the pass found it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub start: usize,
    pub end: usize,
    pub kind: Kind,
    pub members: u32,
    /// Behind the last member, or behind the opening brace.
    pub last_end: u32,
}

/// The names that the plan knows, found by length first.
#[derive(Debug)]
pub(super) struct Keys {
    /// Bit `min(length, 63)` for each name.
    lengths: u64,
    /// For each such length, the range in `entries`.
    ranges: [(u8, u8); 64],
    /// Sorted by length.
    entries: Vec<(Box<[u8]>, u8)>,
}

impl Keys {
    pub fn new(names: &[String]) -> Self {
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
pub(super) struct Scratch {
    pub hits: Vec<Hit>,
    /// Sources found, one bit each.
    pub present: u64,
    /// For each source that is present, its last hit and the ordinal of its first, which is its
    /// place in a map that keeps the order of insertion.
    pub last: Vec<u32>,
    pub first: Vec<u32>,
}

/// The pass: checks the document and notes the members that `keys` knows.
#[inline(always)]
pub(super) fn collect<I: Isa>(
    isa: I,
    keys: &Keys,
    scratch: &mut Scratch,
    buf: &[u8],
    start: usize,
    end: usize,
) -> Result<Found, JsonError> {
    scratch.hits.clear();
    scratch.present = 0;
    let mut scanner = Scanner::new(isa, buf, start, end);
    if end - start > u32::MAX as usize {
        return Err(scanner.error("the JSON document is longer than 4 GiB"));
    }
    scanner.space();
    let first = scanner.at;
    let mut found = Found { start: first, end, kind: Kind::Empty, members: 0, last_end: 1 };
    if first == end {
        return Ok(found);
    }
    if scanner.peek() != b'{' {
        found.kind = scanner.value(0)?;
        found.end = scanner.at;
        return scanner.finish().map(|()| found);
    }
    found.kind = Kind::Object;
    scanner.at += 1;
    scanner.space();
    if scanner.peek() == b'}' {
        scanner.at += 1;
    } else {
        members(&mut scanner, keys, scratch, buf, &mut found)?;
    }
    found.end = scanner.at;
    scanner.finish().map(|()| found)
}

/// From the first member of the object to behind its closing brace.
#[inline(always)]
fn members<I: Isa>(
    scanner: &mut Scanner<'_, I>,
    keys: &Keys,
    scratch: &mut Scratch,
    buf: &[u8],
    found: &mut Found,
) -> Result<(), JsonError> {
    let first = found.start;
    let place = |at: usize| (at - first) as u32;
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
        let value_end = place(scanner.at);
        if waits && let Some(hit) = scratch.hits.last_mut() {
            hit.next_start = place(key_start);
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
                ordinal: found.members,
                prev_end: found.last_end,
                key_start: place(key_start),
                key_end: place(key_end),
                value_start: place(value_start),
                value_end,
                next_start: value_end,
            });
        }
        found.members += 1;
        found.last_end = value_end;
        scanner.space();
        match scanner.peek() {
            b',' => {
                scanner.at += 1;
                scanner.space();
            }
            b'}' => {
                scanner.at += 1;
                return Ok(());
            }
            _ => return Err(scanner.error("expected a comma or a closing brace")),
        }
    }
}

impl Scratch {
    /// The last member of that source, if its value is not null.
    pub fn found(&self, source: u8) -> Option<&Hit> {
        let at = usize::from(source);
        let present = self.present >> at & 1 == 1;
        let hit = self.hits.get(*self.last.get(at)? as usize).filter(|_| present)?;
        (hit.kind != Kind::Null).then_some(hit)
    }

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
