//! Does a document have one of the learned shapes? Exact where it says yes.
//!
//! Blocks of the document become bits ([`Marks`]), and the bits of quotes become a list of places
//! before anything is compared. A shape knows how many quotes each of its literals has, so where a
//! literal stands is read from that list, by a number that does not depend on where the one before
//! stood, and the processor has several of them under way. Values are then checked to reach exactly
//! from one literal to the next. Whatever is not as learned, and whatever is wrong with the document,
//! is a miss: the one-pass patch looks at it then and says what it is.

use super::blocks::{BLOCK, Blocks};
use super::isa::{BASELINE, Isa};
use super::scan::{Kind, Scanner};
use super::shape::{MAX_SLOTS, Segment, Shape, Slot};
use super::shape_book::MAX_SHAPES;
use super::shape_layout::Layouts;

/// Documents longer than that are not compared with shapes; bounds the workspace, and a place fits
/// 16 bits.
pub(super) const MAX_LENGTH: usize = 63 * 1024;

/// Where a block's strings and numbers can end, one bit a byte. Past the document's end all are set.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks {
    special: u64,
    non_digits: u64,
    /// Special bytes of the blocks before.
    before: usize,
}

/// For the document's start, each slot and the end.
pub(super) type Ends = [u32; MAX_SLOTS + 2];

/// What the match keeps between records, so that no record allocates it.
#[derive(Debug)]
pub(super) struct Workspace {
    marks: Vec<Marks>,
    /// The places of all special bytes, and the document's end.
    specials: Vec<u16>,
    /// A document that stands at its buffer's very end, with room behind it.
    copy: Vec<u8>,
    pub layouts: Layouts,
    /// Where each slot ends, its closing quote included; the first is the document's start. Behind
    /// the slots of the shape that was found is what earlier ones left.
    pub ends: Box<Ends>,
}

impl Default for Workspace {
    fn default() -> Self {
        let ends = Box::new([0; MAX_SLOTS + 2]);
        let layouts = Layouts::default();
        Self { marks: Vec::new(), specials: Vec::new(), copy: Vec::new(), layouts, ends }
    }
}

impl Workspace {
    /// Room for so many blocks.
    #[inline(always)]
    fn reserve(&mut self, blocks: usize) {
        let blocks = blocks.max(1);
        if self.marks.len() < blocks {
            self.grow(blocks);
        }
    }

    #[cold]
    fn grow(&mut self, blocks: usize) {
        self.marks.resize(blocks, Marks::default());
        self.specials.resize((blocks + 1) * BLOCK, 0);
    }
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
    workspace.reserve(doc.len().div_ceil(BLOCK));
    let Workspace { marks, specials, copy, layouts, ends } = workspace;
    let padded = match buf.get(start..end + BLOCK) {
        Some(padded) => padded,
        None => with_room(copy, doc),
    };
    if let Some((found, high)) = layouts.find(isa, padded, ends) {
        return (!high || std::str::from_utf8(doc).is_ok()).then_some(found);
    }
    let marked = mark(isa, marks, specials, padded);
    let marks = &marks[..marked.blocks];
    let matcher = Matcher { isa, padded, marks, specials: &specials[..=marked.specials] };
    let found = matcher.walk(candidates, ends)?;
    // Outside strings a literal has said what the bytes are, so the pass's check of the whole
    // document is this one.
    if marked.high && std::str::from_utf8(doc).is_err() {
        return None;
    }
    if layouts.wants(doc.len()) {
        layouts.learn(found, &candidates.shapes[found].segments, ends, doc);
    }
    Some(found)
}

/// What a document's marks came to.
struct Marked {
    blocks: usize,
    specials: usize,
    /// Is there a byte that is not ASCII?
    high: bool,
}

/// Marks the document, which is all of `padded` but its last block.
#[inline(always)]
fn mark<I: Blocks>(isa: I, marks: &mut [Marks], specials: &mut [u16], padded: &[u8]) -> Marked {
    let (mut high, mut count) = (0, 0);
    let (chunks, _) = padded.as_chunks::<BLOCK>();
    let mut left = padded.len() - BLOCK;
    let blocks = left.div_ceil(BLOCK);
    let mut first = 0;
    for (mark, block) in marks.iter_mut().zip(&chunks[..blocks]) {
        let bits = isa.bits(block);
        let beyond = if left < BLOCK { u64::MAX << left } else { 0 };
        high |= bits.high & !beyond;
        let special = bits.special & !beyond;
        *mark = Marks {
            special: special | beyond,
            non_digits: bits.non_digits | beyond,
            before: count,
        };
        if let Some(places) = specials[count..].first_chunk_mut() {
            isa.places(special, first, places);
        }
        count += special.count_ones() as usize;
        first += BLOCK as u16;
        left = left.saturating_sub(BLOCK);
    }
    specials[count] = (padded.len() - BLOCK) as u16;
    Marked { blocks, specials: count, high: high != 0 }
}

/// A copy of the document with a block behind it.
#[cold]
fn with_room<'c>(copy: &'c mut Vec<u8>, doc: &[u8]) -> &'c [u8] {
    copy.clear();
    copy.extend_from_slice(doc);
    copy.resize(doc.len() + BLOCK, 0);
    copy
}

/// A place in the document.
#[derive(Clone, Copy)]
struct Stand {
    at: usize,
    /// Special bytes before it.
    rank: usize,
}

struct Matcher<'b, I> {
    isa: I,
    /// The document, and a block behind it, which may hold anything.
    padded: &'b [u8],
    marks: &'b [Marks],
    specials: &'b [u16],
}

/// How far a document has been compared with a shape.
#[derive(Clone, Copy)]
struct Progress {
    shape: usize,
    /// The segment that comes next, and where.
    index: usize,
    stand: Stand,
}

impl<I: Isa + Blocks> Matcher<'_, I> {
    /// Segment by segment; where the text leaves the shape at hand, another one that is the same up
    /// to there goes on.
    #[inline(always)]
    fn walk(&self, candidates: Candidates<'_>, ends: &mut Ends) -> Option<usize> {
        let stand = Stand { at: 0, rank: 0 };
        let mut progress = Progress { shape: candidates.first, index: 0, stand };
        ends[0] = 0;
        loop {
            let shape = candidates.shapes.get(progress.shape)?;
            if self.along(shape, &mut progress, ends)? {
                return Some(progress.shape);
            }
            self.aside(candidates, &mut progress, ends)?;
        }
    }

    /// Goes on as long as the document has the shape; true if that was to its end.
    #[inline(always)]
    fn along(&self, shape: &Shape, progress: &mut Progress, ends: &mut Ends) -> Option<bool> {
        let Progress { mut index, mut stand, .. } = *progress;
        let rest = shape.segments.get(index..)?.iter();
        for (segment, end) in rest.zip(ends.get_mut(index + 1..)?) {
            let Some(next) = self.segment(shape, segment, stand) else {
                (progress.index, progress.stand) = (index, stand);
                return Some(false);
            };
            if segment.slot == Slot::End {
                return (next.at == self.len()).then_some(true);
            }
            stand = next;
            index += 1;
            *end = (stand.at + usize::from(segment.quote)) as u32;
        }
        None
    }

    /// Where the document does not go on as the shape: behind a string's escapes, or with another
    /// shape.
    #[inline(never)]
    fn aside(
        &self,
        candidates: Candidates<'_>,
        progress: &mut Progress,
        ends: &mut Ends,
    ) -> Option<()> {
        let Progress { shape, index, stand } = *progress;
        let segments = &candidates.shapes.get(shape)?.segments;
        let after_text = index > 0 && segments[index - 1].quote == 1;
        if after_text && self.byte(stand.at) == b'\\' {
            progress.stand = self.stand(self.behind_escapes(stand.at)?);
            *ends.get_mut(index)? = progress.stand.at as u32 + 1;
            return Some(());
        }
        let (other, next) = self.other(candidates, shape, index, stand)?;
        let segment = candidates.shapes[other].segments.get(index)?;
        if segment.slot == Slot::End {
            // That one from its last literal on.
            *progress = Progress { shape: other, index, stand };
            return Some(());
        }
        *progress = Progress { shape: other, index: index + 1, stand: next };
        *ends.get_mut(index + 1)? = (next.at + usize::from(segment.quote)) as u32;
        Some(())
    }

    /// Another shape with the same first `index` segments whose next one is here.
    fn other(
        &self,
        candidates: Candidates<'_>,
        current: usize,
        index: usize,
        stand: Stand,
    ) -> Option<(usize, Stand)> {
        let row = candidates.shared.get(current * MAX_SHAPES..)?.get(..MAX_SHAPES)?;
        // Not inlined into the function that has the machine's instructions switched on.
        let Self { padded, marks, specials, .. } = *self;
        let plain = Matcher { isa: BASELINE, padded, marks, specials };
        row.iter().zip(candidates.shapes).enumerate().find_map(|(other, (&shared, shape))| {
            if usize::from(shared) != index || other == current {
                return None;
            }
            let segment = shape.segments.get(index)?;
            plain.segment(shape, segment, stand).map(|next| (other, next))
        })
    }

    /// From the beginning of a literal to the end of the slot behind it: to a string's closing
    /// quote (or first backslash), behind any other value.
    #[inline(always)]
    fn segment(&self, shape: &Shape, segment: &Segment, stand: Stand) -> Option<Stand> {
        if !self.literal(shape, segment, stand.at) {
            return None;
        }
        let at = stand.at + segment.len as usize;
        let rank = stand.rank + usize::from(segment.specials);
        // Where the next literal has its first quote, and with that where it begins.
        let special = usize::from(*self.specials.get(rank)?);
        let (end, kind) = match segment.slot {
            Slot::Text => return Some(Stand { at: special, rank }),
            Slot::End => return Some(Stand { at, rank }),
            Slot::Array => return self.array(Stand { at, rank }, usize::from(segment.depth)),
            Slot::Object if self.byte(at) == b'{' => {
                return self.any(at, usize::from(segment.depth)).map(|end| self.stand(end));
            }
            Slot::Object => return None,
            Slot::Scalar if self.byte(at) == b'"' => {
                return self.string(at + 1).map(|end| self.stand(end));
            }
            _ => self.bare(at)?,
        };
        if segment.kinds >> kind as u8 & 1 == 0 {
            return None;
        }
        Some(Stand { at: end, rank })
    }

    /// A place that was walked to.
    #[inline(always)]
    fn stand(&self, at: usize) -> Stand {
        let rank = match self.marks.get(at / BLOCK) {
            Some(marks) => {
                let before = marks.special & !(u64::MAX << (at % BLOCK));
                marks.before + before.count_ones() as usize
            }
            None => self.specials.len() - 1,
        };
        Stand { at, rank }
    }

    /// Bytes of the document.
    #[inline(always)]
    fn len(&self) -> usize {
        self.padded.len() - BLOCK
    }

    /// Is the segment's literal here, all of it before the document's end?
    #[inline(always)]
    fn literal(&self, shape: &Shape, segment: &Segment, at: usize) -> bool {
        let len = segment.len as usize;
        if at + len > self.len() {
            return false;
        }
        if len > BLOCK {
            return self.padded[at..].starts_with(shape.literal(segment));
        }
        match self.padded[at..].first_chunk() {
            Some(text) => self.isa.equal(text, &segment.head, len),
            None => false,
        }
    }

    /// The byte at a place. Behind the document's end it is any: nothing that is taken there passes
    /// for a document, for no literal is found there.
    #[inline(always)]
    fn byte(&self, at: usize) -> u8 {
        self.padded.get(at).copied().unwrap_or(0)
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
    fn number(&self, at: usize, lead: u8) -> Option<(usize, Kind)> {
        let first = at + usize::from(lead == b'-');
        let end = self.digits(first)?;
        // The grammar has no leading zeros.
        if end - first > 1 && self.byte(first) == b'0' {
            return None;
        }
        match self.byte(end) {
            b'.' => {
                let end = self.digits(end + 1)?;
                let end = if let b'e' | b'E' = self.byte(end) { self.power(end)? } else { end };
                Some((end, Kind::Double))
            }
            b'e' | b'E' => Some((self.power(end)?, Kind::Double)),
            _ => Some((end, Kind::Integer)),
        }
    }

    /// An exponent from its `e` on.
    #[inline(never)]
    fn power(&self, at: usize) -> Option<usize> {
        let signed = matches!(self.byte(at + 1), b'+' | b'-');
        self.digits(at + 1 + usize::from(signed))
    }

    #[inline(always)]
    fn word(&self, at: usize) -> Option<(usize, Kind)> {
        match self.padded.get(at..)?.first_chunk()? {
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
                    let hex = self.padded.get(at + 2..at + 6)?;
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

    /// A value that is neither string nor array nor object.
    #[inline(always)]
    fn bare(&self, at: usize) -> Option<(usize, Kind)> {
        match self.byte(at) {
            lead @ (b'-' | b'0'..=b'9') => self.number(at, lead),
            _ => self.word(at),
        }
    }

    /// An item of an array: a string without escapes, or a bare value.
    #[inline(always)]
    fn item(&self, stand: Stand) -> Option<Stand> {
        let Stand { at, rank } = stand;
        if self.byte(at) != b'"' {
            return self.bare(at).map(|(end, _)| Stand { at: end, rank });
        }
        let end = usize::from(*self.specials.get(rank + 1)?);
        (self.byte(end) == b'"').then_some(Stand { at: end + 1, rank: rank + 2 })
    }

    /// A flat array without white space and escapes here; any other by the scanner.
    #[inline(always)]
    fn array(&self, stand: Stand, depth: usize) -> Option<Stand> {
        if self.byte(stand.at) != b'[' {
            return None;
        }
        let mut next = Stand { at: stand.at + 1, ..stand };
        while let Some(end) = self.item(next) {
            next = Stand { at: end.at + 1, rank: end.rank };
            match self.byte(end.at) {
                b',' => {}
                b']' => return Some(next),
                _ => break,
            }
        }
        self.any(stand.at, depth).map(|end| self.stand(end))
    }

    /// Any value, by the scanner.
    #[inline(never)]
    fn any(&self, at: usize, depth: usize) -> Option<usize> {
        let mut scanner = Scanner::new(BASELINE, self.padded, 0, self.len());
        scanner.at = at;
        scanner.value(depth).ok()?;
        Some(scanner.at)
    }
}
