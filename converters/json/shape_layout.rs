//! Documents whose values are as long as those of one before: nothing is looked for, only compared.
//!
//! Identifiers, times, codes and flags have the same length in record after record. Where all values
//! of a document have, every byte's part is known from the last such document: it is the same byte
//! (text between values, quotes, points, `true`), a digit, or what a string may hold. So the whole
//! document is compared block by block, and where its values end is known already. Exact where it
//! says yes: a document that passes has the same tokens at the same places as the one before.
//!
//! Documents of other lengths cost a look at their length. Where too few are as one before, the
//! layouts are given up for a while, longer each time.

use super::blocks::{BLOCK, Blocks};
use super::shape::{Segment, Slot};
use super::shape_match::Ends;
use super::shape_window::Window;

/// Longer documents seldom have all their values as long as another's.
const MAX_LENGTH: usize = 16 * BLOCK;

/// Layouts at a time.
const MAX_LAYOUTS: usize = 64;

/// Layouts of one length, or of lengths that fall on each other.
const WAYS: usize = 2;

/// The length of a layout that was given up: no document's.
const NEVER: usize = usize::MAX;

/// Lengths are told apart by their remainder.
const LENGTHS: usize = 64;

/// Layouts that may be taken in the first window, in the first one after a sleep, and in any other:
/// each costs as much as walking some ten documents.
const FIRST_ROOM: u32 = 64;
const ROOM_AWAKE: u32 = 16;
const ROOM: u32 = 4;

/// Sixty-four bytes of a layout; bit `i` stands for byte `i`, and past the end none is set.
#[derive(Clone, Debug)]
struct Part {
    /// The bytes themselves, and `0` where a number must not begin with that.
    text: [u8; BLOCK],
    /// The same byte.
    literal: u64,
    /// Any byte that does not end a string.
    string: u64,
    digit: u64,
    /// Another byte than [`Self::text`]'s; these are digits too.
    nonzero: u64,
}

/// What is known of a document from one before it.
#[derive(Debug, Default)]
struct Layout {
    /// The documents' length, or [`NEVER`].
    length: usize,
    parts: Vec<Part>,
    shape: usize,
    /// As [`super::shape_match::Workspace::ends`].
    ends: Vec<u32>,
    /// What came behind it the last time.
    next: usize,
}

/// The layouts of a book's shapes. See the module's doc.
#[derive(Debug)]
pub(super) struct Layouts {
    kept: Vec<Layout>,
    /// For each remainder of a length the layouts that may have it.
    by_length: [[u8; WAYS]; LENGTHS],
    /// The one that came last.
    last: usize,
    /// The one whose ends are in the workspace.
    current: Option<usize>,
    /// The one that the next goes to, in turn. Their memory is used again, so that layouts that come
    /// and go cost no allocation.
    place: usize,
    roles: Vec<Role>,
    room: u32,
    window: Window,
}

impl Default for Layouts {
    fn default() -> Self {
        Self {
            kept: Vec::new(),
            by_length: [[0; WAYS]; LENGTHS],
            last: 0,
            current: None,
            place: 0,
            roles: Vec::new(),
            room: FIRST_ROOM,
            window: Window::default(),
        }
    }
}

impl Layouts {
    /// The shape of a document that has one of the layouts, with the ends of its values. The
    /// document is all of `padded` but its last block. True beside the shape: it is not all ASCII.
    #[inline(always)]
    pub fn find<I: Blocks>(
        &mut self,
        isa: I,
        padded: &[u8],
        ends: &mut Ends,
    ) -> Option<(usize, bool)> {
        if self.window.passes() {
            return None;
        }
        let length = padded.len() - BLOCK;
        let expected = self.kept.get(self.last).map_or(0, |last| last.next);
        let (found, high) = match self.compare(isa, expected, length, padded) {
            Some(high) => (expected, high),
            None => {
                let ways = self.by_length[length % LENGTHS].map(usize::from);
                let mut others = ways.into_iter().filter(|way| *way != expected);
                let other = others
                    .find_map(|way| self.compare(isa, way, length, padded).map(|high| (way, high)));
                let Some(found) = other else {
                    self.window.miss();
                    self.current = None;
                    return None;
                };
                self.kept[self.last].next = found.0;
                found
            }
        };
        self.window.hit();
        self.last = found;
        let layout = &self.kept[found];
        if self.current != Some(found) {
            ends[..layout.ends.len()].copy_from_slice(&layout.ends);
            self.current = Some(found);
        }
        Some((layout.shape, high))
    }

    /// Has the document that layout? `Some(true)`: and it is not all ASCII.
    #[inline(always)]
    fn compare<I: Blocks>(
        &self,
        isa: I,
        which: usize,
        length: usize,
        padded: &[u8],
    ) -> Option<bool> {
        let layout = self.kept.get(which)?;
        if layout.length != length {
            return None;
        }
        let (blocks, _) = padded.as_chunks::<BLOCK>();
        let mut high = 0;
        for (part, block) in layout.parts.iter().zip(blocks) {
            let bits = isa.bits(block);
            let differs = isa.differs(block, &part.text) ^ part.nonzero;
            let wrong = differs & (part.literal | part.nonzero)
                | bits.special & part.string
                | bits.non_digits & part.digit;
            if wrong != 0 {
                return None;
            }
            high |= bits.high & (part.literal | part.string);
        }
        Some(high != 0)
    }

    /// A document that had the shape, its segments and the ends of its values, but no layout: would
    /// its own be taken?
    #[inline(always)]
    pub fn wants(&self, length: usize) -> bool {
        !self.window.is_asleep() && length <= MAX_LENGTH && (self.room > 0 || self.window.is_over())
    }

    /// Takes the layout of a document that [`Self::wants`] said yes to.
    #[cold]
    pub fn learn(&mut self, shape: usize, segments: &[Segment], ends: &Ends, doc: &[u8]) {
        if self.window.is_over() && !self.look_back() {
            return;
        }
        self.room -= 1;
        let at = self.place;
        self.place = (at + 1) % MAX_LAYOUTS;
        if at == self.kept.len() {
            self.kept.push(Layout::default());
        }
        self.kept[at].learn(shape, segments, ends, doc, &mut self.roles);
        let ways = &mut self.by_length[doc.len() % LENGTHS];
        ways.rotate_right(1);
        ways[0] = at as u8;
        if let Some(last) = self.kept.get_mut(self.last) {
            last.next = at;
        }
        (self.last, self.current) = (at, None);
    }

    /// The shapes are others now.
    pub fn clear(&mut self) {
        self.kept.iter_mut().for_each(|layout| layout.length = NEVER);
        self.by_length = [[0; WAYS]; LENGTHS];
        (self.last, self.place, self.current) = (0, 0, None);
        self.room = FIRST_ROOM;
    }

    /// At a window's end, when a document had none: false if layouts are given up.
    fn look_back(&mut self) -> bool {
        let (hits, misses) = self.window.turn();
        self.room = ROOM;
        if hits < misses / 2 {
            self.clear();
            self.room = ROOM_AWAKE;
            self.window.fall_asleep();
            return false;
        }
        self.window.stay_awake();
        true
    }
}

/// What a byte of a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Literal,
    String,
    Digit,
    /// The first of several digits before a point.
    Nonzero,
}

impl Layout {
    fn learn(
        &mut self,
        shape: usize,
        segments: &[Segment],
        ends: &Ends,
        doc: &[u8],
        roles: &mut Vec<Role>,
    ) {
        roles.clear();
        roles.resize(doc.len(), Role::Literal);
        let mut at = 0;
        for (segment, end) in segments.iter().zip(&ends[1..]) {
            if segment.slot == Slot::End {
                break;
            }
            let start = at + segment.len as usize;
            at = *end as usize - usize::from(segment.quote);
            tell_roles(&doc[start..at], segment.slot == Slot::Text, &mut roles[start..at]);
        }
        let parts = doc.chunks(BLOCK).zip(roles.chunks(BLOCK)).map(|(bytes, roles)| {
            let mask = |role: Role| {
                let bits = roles.iter().enumerate().filter(|(_, other)| **other == role);
                bits.fold(0, |mask, (at, _)| mask | 1_u64 << at)
            };
            let mut text = [0; BLOCK];
            for (text, (byte, role)) in text.iter_mut().zip(bytes.iter().zip(roles)) {
                *text = if *role == Role::Nonzero { b'0' } else { *byte };
            }
            let nonzero = mask(Role::Nonzero);
            let digit = mask(Role::Digit) | nonzero;
            Part { text, literal: mask(Role::Literal), string: mask(Role::String), digit, nonzero }
        });
        self.parts.clear();
        self.parts.extend(parts);
        self.ends.clear();
        self.ends.extend_from_slice(&ends[..=segments.len()]);
        (self.length, self.shape, self.next) = (doc.len(), shape, 0);
    }
}

/// The roles of a value's bytes, which are whole JSON, or of a string's without its quotes.
fn tell_roles(value: &[u8], mut in_string: bool, roles: &mut [Role]) {
    let mut at = 0;
    while at < value.len() {
        match value[at] {
            b'"' => in_string = !in_string,
            // What follows a backslash stays the same, so that the escape remains one.
            b'\\' if in_string => at += if value.get(at + 1) == Some(&b'u') { 5 } else { 1 },
            _ if in_string => roles[at] = Role::String,
            b'0'..=b'9' => {
                let digits = value[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                roles[at..at + digits].fill(Role::Digit);
                let before = |n: usize| at.checked_sub(n).map(|at| value[at]);
                let whole = match before(1) {
                    Some(b'.' | b'e' | b'E' | b'+') => false,
                    Some(b'-') => !matches!(before(2), Some(b'e' | b'E')),
                    _ => true,
                };
                if whole && digits > 1 {
                    roles[at] = Role::Nonzero;
                }
                at += digits - 1;
            }
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::isa::Level;
    use super::super::shape_book::ShapeBook;
    use super::super::shape_learn::learn;
    use super::super::shape_window::FIRST_SLEEP;
    use super::*;

    const DOCUMENTS: [&str; 8] = [
        r#"{"id":1002,"ts":1700000000123,"user":{"name":"user-0042","country":"DE"},"ok":true}"#,
        r#"{"a":0,"b":-0,"c":-17,"d":10.05,"e":1e05,"f":-2.50E-007,"g":0.1e+10,"h":null,"i":7}"#,
        r#" {"s":"","t":"x","u":"a\nb\"c\\d\u00e9\u12345","v":"\\","w":"\/"} "#,
        r#"{"tags":["al,pha","b",12,[0,{"k":-1.5}],true,{}],"n":[ ]}"#,
        r#"{"über":"größe 日本","n":12}"#,
        r#"{"long":"0123456789012345678901234567890123456789012345678901234567890123","n":12345678}"#,
        r#"{"x":12345678901234567890123456789012345678901234567890123456789012.5e10,"y":"z"}"#,
        "{\"none\":{}}",
    ];

    /// A book that knows the document's shape, and after `rounds` its layout.
    fn book(level: Level, doc: &[u8], rounds: usize) -> ShapeBook {
        let mut book = ShapeBook::new(level, true);
        book.learn(learn(doc, |_| false).expect("a small one"));
        for _ in 0..rounds {
            book.find(doc, 0, doc.len()).expect("its shape");
        }
        book
    }

    /// What the book says of a document with something behind it.
    fn told(book: &mut ShapeBook, doc: &[u8], behind: &[u8; BLOCK]) -> Option<Vec<u32>> {
        let buf = [doc, behind].concat();
        let found = book.find(&buf, 0, doc.len())?;
        let count = book.shape(found).segments.len();
        Some(book.workspace.ends[..count].to_vec())
    }

    fn hits(book: &ShapeBook) -> u64 {
        book.workspace.layouts.window.hits()
    }

    #[test]
    fn a_document_with_any_byte_changed_is_told_as_without_layouts() {
        for level in Level::available() {
            for text in DOCUMENTS {
                let doc = text.as_bytes();
                let (mut with, mut without) = (book(level, doc, 1), book(level, doc, 0));
                for at in 0..doc.len() {
                    for byte in 0..=255 {
                        if byte % 128 == 0 {
                            // Before the book gives up what misses.
                            (with, without) = (book(level, doc, 1), book(level, doc, 0));
                            without.workspace.layouts.window.never_wake();
                        }
                        let mut changed = doc.to_vec();
                        changed[at] = byte;
                        let expected = told(&mut without, &changed, &[b'"'; BLOCK]);
                        // The layout of the first document alone.
                        with.workspace.layouts.room = 0;
                        let before = hits(&with);
                        let found = told(&mut with, &changed, &[b'1'; BLOCK]);
                        assert_eq!(found, expected, "{level:?} {}", changed.escape_ascii());
                        // It was compared, and is taken where the byte has the same part.
                        let old = doc[at];
                        let alike =
                            byte == old || old.is_ascii_digit() && (b'1'..=b'9').contains(&byte);
                        if alike && expected.is_some() && !text.contains('\\') {
                            assert_eq!(hits(&with), before + 1, "{}", changed.escape_ascii());
                        }
                        with.workspace.layouts.window.turn();
                    }
                }
            }
        }
    }

    #[test]
    fn what_may_differ_does_not_matter() {
        for level in Level::available() {
            for (doc, others) in [
                (
                    DOCUMENTS[0],
                    [
                        r#"{"id":9999,"ts":9876543210000,"user":{"name":"müller!!","country":"  "},"ok":true}"#,
                        r#"{"id":1000,"ts":1000000000000,"user":{"name":"}],:[{:1-","country":"FR"},"ok":true}"#,
                    ],
                ),
                (
                    DOCUMENTS[1],
                    [
                        r#"{"a":9,"b":-5,"c":-90,"d":99.00,"e":0e00,"f":-0.00E-000,"g":9.9e+99,"h":null,"i":0}"#,
                        r#"{"a":1,"b":-1,"c":-11,"d":11.11,"e":1e11,"f":-1.11E-111,"g":1.1e+11,"h":null,"i":1}"#,
                    ],
                ),
                (
                    DOCUMENTS[3],
                    [
                        r#"{"tags":["}}}}}}","]",99,[9,{"k":-9.9}],true,{}],"n":[ ]}"#,
                        r#"{"tags":["      ","1",10,[1,{"j":-0.0}],true,{}],"n":[ ]}"#,
                    ],
                ),
            ] {
                let mut book = book(level, doc.as_bytes(), 1);
                for (at, other) in others.iter().enumerate() {
                    let ends = told(&mut book, other.as_bytes(), &[b'}'; BLOCK]);
                    assert!(ends.is_some(), "{other}");
                    assert_eq!(hits(&book), at as u64 + 1, "{other}");
                }
            }
        }
    }

    #[test]
    fn what_is_behind_the_document_does_not_matter() {
        let doc = DOCUMENTS[0].as_bytes();
        let mut book = book(Level::detect(), doc, 1);
        for byte in 0..=255 {
            assert!(told(&mut book, doc, &[byte; BLOCK]).is_some());
        }
        // At the very end of its buffer.
        assert!(book.find(doc, 0, doc.len()).is_some());
        assert_eq!(hits(&book), 257);
        // A text that is no UTF-8.
        let mut broken = doc.to_vec();
        broken[50] = 0xff;
        assert_eq!(told(&mut book, &broken, &[0; BLOCK]), None);
    }

    #[test]
    fn layouts_that_take_turns_are_foretold() {
        let docs: Vec<String> =
            (0..12).map(|at| format!("{{\"a\":\"{}\"}}", "x".repeat(at))).collect();
        let mut book = book(Level::detect(), docs[0].as_bytes(), 0);
        for doc in docs.iter().cycle().take(1200) {
            let ends = told(&mut book, doc.as_bytes(), &[0; BLOCK]).expect("its shape");
            assert_eq!(ends, [0, doc.len() as u32 - 1]);
        }
        assert_eq!(hits(&book), 1188);
        let layouts = &book.workspace.layouts;
        assert!((0..12).all(|at| layouts.kept[at].next == (at + 1) % 12));
    }

    #[test]
    fn lengths_that_are_never_the_same_are_given_up_and_tried_again() {
        let mut book = book(Level::detect(), b"{\"a\":\"\"}", 0);
        let mut run = |lengths: &mut dyn Iterator<Item = usize>| {
            for length in lengths {
                let doc = format!("{{\"a\":\"{}\"}}", "x".repeat(length));
                let ends = told(&mut book, doc.as_bytes(), &[0; BLOCK]).expect("its shape");
                assert_eq!(ends, [0, doc.len() as u32 - 1]);
            }
            let layouts = &book.workspace.layouts;
            let known = layouts.kept.iter().filter(|layout| layout.length != NEVER).count();
            (known, layouts.window.is_asleep())
        };
        assert_eq!(run(&mut (0..255)), (64, false));
        assert_eq!(run(&mut (0..1)), (64, false));
        assert_eq!(run(&mut (256..257)), (0, true));
        // Learned from the last one that it lets pass.
        assert_eq!(run(&mut std::iter::repeat_n(5, FIRST_SLEEP as usize)), (1, false));
        assert_eq!(run(&mut std::iter::repeat_n(5, 100)), (1, false));
        let layouts = &book.workspace.layouts;
        assert_eq!((layouts.window.hits(), layouts.window.misses()), (100, 0));
    }

    #[test]
    fn what_was_given_up_has_no_documents() {
        let doc = DOCUMENTS[0].as_bytes();
        let mut book = book(Level::detect(), doc, 2);
        assert_eq!(hits(&book), 1);
        book.workspace.layouts.clear();
        // Not even one of no length with that text behind it.
        for length in [0, doc.len()] {
            let buf = [doc, &[0; BLOCK]].concat();
            assert_eq!(book.find(&buf, 0, length).is_some(), length > 0);
        }
        assert_eq!(hits(&book), 1);
    }

    #[test]
    fn more_layouts_than_are_kept_make_room() {
        let mut book = book(Level::detect(), b"{\"a\":\"\"}", 0);
        let long = "x".repeat(MAX_LENGTH);
        // Each length four times, so that windows are worth it.
        for length in (0..MAX_LENGTH).flat_map(|length| [length; 4]) {
            let doc = format!("{{\"a\":\"{}\"}}", &long[..length]);
            let ends = told(&mut book, doc.as_bytes(), &[0; BLOCK]).expect("its shape");
            assert_eq!(ends, [0, doc.len() as u32 - 1]);
        }
        assert!(book.workspace.layouts.kept.len() <= MAX_LAYOUTS);
    }
}
