//! Does a document have one of the learned shapes? Exact where it says yes.
//!
//! The ends of strings and numbers are found in bits of whole blocks ([`Marks`]), literals are
//! compared a block at a time. Whatever is not as learned, and whatever is wrong with the document,
//! is a miss: the one-pass patch looks at it then and says what it is.

use super::blocks::{BLOCK, Blocks};
use super::isa::{BASELINE, Isa};
use super::scan::{Kind, Scanner};
use super::shape::{Segment, Shape, Slot};
use super::shape_book::MAX_SHAPES;

/// Documents longer than that are not compared with shapes; bounds the marks' memory.
pub(super) const MAX_LENGTH: usize = 64 * 1024;

/// Where a block's strings and numbers can end, one bit a byte. Past the document's end all are set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks {
    special: u64,
    non_digits: u64,
}

/// What the match keeps between records, so that no record allocates it.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    marks: Vec<Marks>,
    /// Where each slot ends, its closing quote included; the first is the document's start.
    pub ends: Vec<u32>,
}

/// The shapes that a document is compared with.
#[derive(Clone, Copy)]
pub(super) struct Candidates<'s> {
    pub shapes: &'s [Shape],
    /// For each pair of shapes, the segments at their heads that are the same: [`MAX_SHAPES`] a row.
    pub shared: &'s [u16],
    /// The one that is tried first.
    pub first: usize,
}

/// The shape that `buf[start..end]` has, with the ends of its values in the workspace; `None`: none,
/// or it is not JSON.
#[inline(always)]
pub(super) fn find<I: Isa + Blocks>(
    isa: I,
    candidates: Candidates<'_>,
    workspace: &mut Workspace,
    buf: &[u8],
    start: usize,
    end: usize,
) -> Option<usize> {
    let doc = &buf[start..end];
    if doc.len() > MAX_LENGTH {
        return None;
    }
    let high = mark(isa, &mut workspace.marks, &buf[start..], doc.len());
    let matcher = Matcher { isa, doc, wide: &buf[start..], marks: &workspace.marks };
    let found = matcher.walk(candidates, &mut workspace.ends)?;
    // Outside strings a literal has said what the bytes are, so the pass's check of the whole
    // document is this one.
    if high && std::str::from_utf8(doc).is_err() { None } else { Some(found) }
}

/// Marks the document, the first `len` bytes of `wide`; is there a byte that is not ASCII?
#[inline(always)]
fn mark<I: Blocks>(isa: I, marks: &mut Vec<Marks>, wide: &[u8], len: usize) -> bool {
    marks.clear();
    let mut high = 0;
    let mut at = 0;
    while at < len {
        let bits = match wide[at..].first_chunk() {
            Some(block) => isa.bits(block),
            None => isa.bits(&last_block(&wide[at..])),
        };
        let left = len - at;
        let beyond = if left < BLOCK { u64::MAX << left } else { 0 };
        high |= bits.high & !beyond;
        marks.push(Marks { special: bits.special | beyond, non_digits: bits.non_digits | beyond });
        at += BLOCK;
    }
    high != 0
}

/// The buffer's last bytes, in a block of their own.
#[cold]
fn last_block(rest: &[u8]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block[..rest.len()].copy_from_slice(rest);
    block
}

struct Matcher<'b, I> {
    isa: I,
    doc: &'b [u8],
    /// From the document's start to the buffer's end.
    wide: &'b [u8],
    marks: &'b [Marks],
}

impl<I: Isa + Blocks> Matcher<'_, I> {
    /// Segment by segment; where the text leaves the shape at hand, another one that is the same up
    /// to there goes on.
    #[inline(always)]
    fn walk(&self, candidates: Candidates<'_>, ends: &mut Vec<u32>) -> Option<usize> {
        let mut current = candidates.first;
        let mut shape = candidates.shapes.get(current)?;
        ends.clear();
        ends.push(0);
        let mut at = 0;
        let mut index = 0;
        loop {
            let segment = shape.segments.get(index)?;
            let next = match self.segment(shape, segment, at) {
                Some(next) => next,
                None => {
                    let after_text = index > 0 && shape.segments[index - 1].quote == 1;
                    if after_text && self.byte(at) == b'\\' {
                        at = self.behind_escapes(at)?;
                        *ends.last_mut()? = at as u32 + 1;
                        continue;
                    }
                    let (other, next) = self.other(candidates, current, index, at)?;
                    current = other;
                    shape = &candidates.shapes[other];
                    next
                }
            };
            let segment = shape.segments.get(index)?;
            if segment.slot == Slot::End {
                return (next == self.doc.len()).then_some(current);
            }
            at = next;
            ends.push((at + usize::from(segment.quote)) as u32);
            index += 1;
        }
    }

    /// Another shape with the same first `index` segments whose next one is here.
    #[inline(never)]
    fn other(
        &self,
        candidates: Candidates<'_>,
        current: usize,
        index: usize,
        at: usize,
    ) -> Option<(usize, usize)> {
        let row = candidates.shared.get(current * MAX_SHAPES..)?.get(..MAX_SHAPES)?;
        // Not inlined into the function that has the machine's instructions switched on.
        let plain = Matcher { isa: BASELINE, doc: self.doc, wide: self.wide, marks: self.marks };
        row.iter().zip(candidates.shapes).enumerate().find_map(|(other, (&shared, shape))| {
            if usize::from(shared) != index || other == current {
                return None;
            }
            let segment = shape.segments.get(index)?;
            plain.segment(shape, segment, at).map(|next| (other, next))
        })
    }

    /// From the beginning of a literal to the end of the slot behind it: to a string's closing
    /// quote (or first backslash), behind any other value.
    #[inline(always)]
    fn segment(&self, shape: &Shape, segment: &Segment, at: usize) -> Option<usize> {
        if !self.literal(shape, segment, at) {
            return None;
        }
        let at = at + segment.len as usize;
        let of = |found: Option<(usize, Kind)>, kind: Kind| {
            found.filter(|(_, found)| *found == kind).map(|(end, _)| end)
        };
        match segment.slot {
            Slot::Text => Some(self.next(|marks| marks.special, at)),
            Slot::Number => self.number(at).map(|(end, _)| end),
            Slot::Integer => of(self.number(at), Kind::Integer),
            Slot::Double => of(self.number(at), Kind::Double),
            Slot::Word => self.word(at).map(|(end, _)| end),
            Slot::Boolean => of(self.word(at), Kind::Boolean),
            Slot::Null => of(self.word(at), Kind::Null),
            Slot::Array => self.array(at, usize::from(segment.depth)),
            Slot::Object if self.byte(at) == b'{' => self.any(at, usize::from(segment.depth)),
            Slot::Scalar => self.scalar(at),
            Slot::Object => None,
            Slot::End => Some(at),
        }
    }

    #[inline(always)]
    fn literal(&self, shape: &Shape, segment: &Segment, at: usize) -> bool {
        let (from, len) = (segment.at as usize, segment.len as usize);
        let text = self.wide.get(at..).and_then(<[u8]>::first_chunk);
        let literal = shape.text.get(from..).and_then(<[u8]>::first_chunk);
        match (text, literal) {
            (Some(text), Some(literal)) if len <= BLOCK => self.isa.equal(text, literal, len),
            _ => self.long_literal(&shape.text[from..from + len], at),
        }
    }

    /// A literal longer than a block, or one near the buffer's end.
    #[cold]
    fn long_literal(&self, literal: &[u8], at: usize) -> bool {
        self.doc.get(at..).is_some_and(|text| text.starts_with(literal))
    }

    /// The byte at a place; 0, which no token begins with, at the end.
    #[inline(always)]
    fn byte(&self, at: usize) -> u8 {
        self.doc.get(at).copied().unwrap_or(0)
    }

    /// The next place from `at` on that is marked; never before `at`.
    #[inline(always)]
    fn next(&self, kind: impl Fn(&Marks) -> u64, at: usize) -> usize {
        let mut block = at / BLOCK;
        let Some(marks) = self.marks.get(block) else { return at };
        let bits = kind(marks) >> (at % BLOCK);
        if bits != 0 {
            return at + bits.trailing_zeros() as usize;
        }
        loop {
            block += 1;
            let Some(marks) = self.marks.get(block) else { return block * BLOCK };
            let bits = kind(marks);
            if bits != 0 {
                return block * BLOCK + bits.trailing_zeros() as usize;
            }
        }
    }

    /// At least one digit from `at` on; where they end.
    #[inline(always)]
    fn digits(&self, at: usize) -> Option<usize> {
        let end = self.next(|marks| marks.non_digits, at);
        (end > at).then_some(end)
    }

    #[inline(always)]
    fn number(&self, at: usize) -> Option<(usize, Kind)> {
        let first = at + usize::from(self.byte(at) == b'-');
        let mut end = self.digits(first)?;
        // The grammar has no leading zeros.
        if end - first > 1 && self.byte(first) == b'0' {
            return None;
        }
        let mut kind = Kind::Integer;
        if self.byte(end) == b'.' {
            end = self.digits(end + 1)?;
            kind = Kind::Double;
        }
        if let b'e' | b'E' = self.byte(end) {
            let signed = matches!(self.byte(end + 1), b'+' | b'-');
            end = self.digits(end + 1 + usize::from(signed))?;
            kind = Kind::Double;
        }
        Some((end, kind))
    }

    #[inline(always)]
    fn word(&self, at: usize) -> Option<(usize, Kind)> {
        match self.doc.get(at..)?.first_chunk()? {
            b"true" => Some((at + 4, Kind::Boolean)),
            b"null" => Some((at + 4, Kind::Null)),
            b"fals" if self.byte(at + 4) == b'e' => Some((at + 5, Kind::Boolean)),
            _ => None,
        }
    }

    /// From behind the opening quote to behind the closing one.
    #[inline(always)]
    fn string(&self, at: usize) -> Option<usize> {
        let mut end = self.next(|marks| marks.special, at);
        if self.byte(end) == b'\\' {
            end = self.behind_escapes(end)?;
        }
        (self.byte(end) == b'"').then_some(end + 1)
    }

    /// From a backslash in a string to the next quote or control character.
    #[inline(never)]
    fn behind_escapes(&self, mut at: usize) -> Option<usize> {
        while self.byte(at) == b'\\' {
            let behind = match self.byte(at + 1) {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at + 2,
                b'u' => {
                    let hex = self.doc.get(at + 2..at + 6)?;
                    if !hex.iter().all(u8::is_ascii_hexdigit) {
                        return None;
                    }
                    at + 6
                }
                _ => return None,
            };
            at = self.next(|marks| marks.special, behind);
        }
        Some(at)
    }

    #[inline(always)]
    fn scalar(&self, at: usize) -> Option<usize> {
        match self.byte(at) {
            b'"' => self.string(at + 1),
            b'-' | b'0'..=b'9' => self.number(at).map(|(end, _)| end),
            _ => self.word(at).map(|(end, _)| end),
        }
    }

    /// A flat array without white space here; any other by the scanner.
    #[inline(always)]
    fn array(&self, at: usize, depth: usize) -> Option<usize> {
        if self.byte(at) != b'[' {
            return None;
        }
        let mut item = at + 1;
        while let Some(end) = self.scalar(item) {
            match self.byte(end) {
                b',' => item = end + 1,
                b']' => return Some(end + 1),
                _ => break,
            }
        }
        self.any(at, depth)
    }

    /// Any value, by the scanner.
    #[inline(never)]
    fn any(&self, at: usize, depth: usize) -> Option<usize> {
        let mut scanner = Scanner::new(BASELINE, self.wide, 0, self.doc.len());
        scanner.at = at;
        scanner.value(depth).ok()?;
        Some(scanner.at)
    }
}
