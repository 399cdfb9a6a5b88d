//! Where the values stand that somebody looks for, told with the text of each document.
//!
//! A transform that reads a member or two of each record says so at the start ([`Sought`]). A document
//! with a learned shape then brings the answer along ([`Noted`]): where a value stands follows from the
//! ends of the values before it, which the comparison has found anyway. Of any other document it is
//! found by a look through its members. Both say the same, or nothing.

use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use bumpalo::collections::Vec as BumpVec;

use super::members::{Index, Object, look};
use super::parse::{parse, settled};
use super::patch::JsonOp;
use super::shape::{Place, Shape};
use crate::arena::Arena;
use crate::json_text::JsonText;

/// What somebody looks for in the documents of one side.
#[derive(Debug)]
pub struct Sought {
    /// Tells whose an answer is. Zero is nobody's.
    id: u32,
    /// Paths of members' names, from the top.
    wanted: Vec<Vec<String>>,
    /// Top-level members that will be set.
    set: Vec<String>,
    /// Those that it asks for, beside its own.
    others: Vec<Rc<Sought>>,
    /// Who asks for it beside others, and where its answers begin there.
    within: Cell<(u32, u32)>,
}

/// A value's first byte and the one behind it; no value begins with the document.
type Spot = (u32, u32);
const NOWHERE: Spot = (0, 0);

/// An answer, as it stays with a text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noted<'a> {
    /// The document.
    src: &'a [u8],
    /// Of each path that is wanted, then of each member that will be set.
    spots: &'a [Spot],
    sought: u32,
    /// Where the closing brace stands.
    end: u32,
    /// It holds for the text without its edits.
    beneath: bool,
}

impl Noted<'_> {
    /// The same, whatever edits are laid over the text.
    #[inline]
    pub fn beneath(self) -> Self {
        Self { beneath: true, ..self }
    }
}

/// The values that are wanted, as they stand in a document, edits or not.
#[derive(Clone, Copy, Debug)]
pub struct Taken<'a> {
    src: &'a [u8],
    spots: &'a [Spot],
}

impl<'a> Taken<'a> {
    /// The text of the value under that path; `None`: a member on the way is not there.
    #[inline]
    pub fn value(&self, at: usize) -> Option<&'a [u8]> {
        let (start, end) = self.spots[at];
        (start > 0).then(|| &self.src[start as usize..end as usize])
    }
}

/// Where that is in an object which was looked for.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    pub object: Object<'a>,
    wanted: &'a [Spot],
    set: &'a [Spot],
}

impl<'a> Found<'a> {
    /// The text of the value under that path; `None`: a member on the way is not there.
    #[inline]
    pub fn wanted(&self, at: usize) -> Option<&'a [u8]> {
        let (start, end) = self.wanted[at];
        (start > 0).then(|| &self.object.src[start as usize..end as usize])
    }

    /// The place of the value of that member which will be set; `None`: it is not there.
    pub fn place(&self, at: usize) -> Option<Range<usize>> {
        let (start, end) = self.set[at];
        (start > 0).then_some(start as usize..end as usize)
    }

    /// None of the members that will be set is there.
    #[inline]
    pub fn has_none_to_set(&self) -> bool {
        self.set.iter().all(|spot| spot.0 == 0)
    }
}

impl Sought {
    /// `wanted` are paths of one name at least, `set` names of top-level members.
    pub fn new(wanted: Vec<Vec<String>>, set: Vec<String>) -> Self {
        static IDS: AtomicU32 = AtomicU32::new(1);
        let id = IDS.fetch_add(1, Ordering::Relaxed);
        Self { id, wanted, set, others: Vec::new(), within: Cell::default() }
    }

    /// What several look for in one side, asked for at once; each of them finds its own. One that was
    /// asked for so before is not found there any more.
    pub fn of_all(all: Vec<Rc<Self>>) -> Option<Rc<Self>> {
        if all.len() < 2 {
            return all.into_iter().next();
        }
        let together = Self { others: all, ..Self::new(Vec::new(), Vec::new()) };
        let mut begin = 0;
        for one in &together.others {
            one.within.set((together.id, begin));
            begin += one.count() as u32;
        }
        Some(Rc::new(together))
    }

    /// Would each value be found as the document has it behind these operations, too?
    pub fn is_spared_by(&self, ops: &[JsonOp]) -> bool {
        let spared = |path: &Vec<String>| match &path[..] {
            [name] => ops.iter().all(|op| op.spares(name)),
            _ => false,
        };
        self.set.is_empty() && self.wanted.iter().all(spared)
    }

    fn count(&self) -> usize {
        let others: usize = self.others.iter().map(|other| other.count()).sum();
        self.wanted.len() + self.set.len() + others
    }

    /// The values that are wanted, if the text tells where they stand, or stood before its edits.
    #[inline]
    pub fn taken<'a>(&self, text: &JsonText<'a>) -> Option<Taken<'a>> {
        let noted = text.noted.filter(|noted| noted.beneath || text.edits.is_empty())?;
        let (within, begin) = self.within.get();
        let begin = match noted.sought {
            id if id == self.id => 0,
            id if id == within => begin as usize,
            _ => return None,
        };
        Some(Taken { src: noted.src, spots: &noted.spots[begin..] })
    }

    /// The answer that a text brings along. `None`: it has none, or is not the text any more that it
    /// was then.
    #[inline]
    pub fn found<'a>(&self, text: &JsonText<'a>) -> Option<Found<'a>> {
        if !text.edits.is_empty() {
            return None;
        }
        let spots = self.taken(text)?.spots;
        let end = text.noted?.end as usize;
        let (wanted, set) = spots.split_at(self.wanted.len());
        let set = &set[..self.set.len()];
        let empty = text.src[..end].trim_ascii_end().ends_with(b"{");
        Some(Found { object: Object { src: text.src, end, empty }, wanted, set })
    }

    /// The same text with its edits applied and the answer. `None`, where there is no simple one: it is
    /// no object, a member that will be set is there twice, a path leads through what is no object, or
    /// what stands beside it there could not be parsed.
    pub fn note<'a>(&self, text: &JsonText<'a>, arena: &'a Arena) -> Option<JsonText<'a>> {
        let src = settled(text, arena);
        let noted = self.looked_for(src, arena)?;
        Some(JsonText { src, edits: &[], noted: Some(arena.alloc(noted)) })
    }

    /// The answer for a document.
    pub(super) fn looked_for<'a>(&self, src: &'a [u8], arena: &'a Arena) -> Option<Noted<'a>> {
        let index = look(src, arena).ok()??;
        let mut sound = |range: Range<usize>| is_sound(&src[range], arena);
        let mut spots = BumpVec::with_capacity_in(self.count(), arena.bump());
        self.locate(src, &index, arena, &mut sound, &mut |spot| spots.push(spot))?;
        let spots = spots.into_bump_slice();
        Some(Noted { src, spots, sought: self.id, end: index.end as u32, beneath: false })
    }

    /// Calls `each` with the spots. `beside` is asked about each value that stands beside a path's, or
    /// beside the way there, in the same top-level member: who wants the value has them parsed.
    fn locate(
        &self,
        src: &[u8],
        index: &Index<'_>,
        arena: &Arena,
        beside: &mut dyn FnMut(Range<usize>) -> bool,
        each: &mut dyn FnMut(Spot),
    ) -> Option<()> {
        for path in &self.wanted {
            each(follow(src, 0, index, path, arena, beside)?);
        }
        for (at, name) in self.set.iter().enumerate() {
            // What is to be set twice is replaced once.
            if self.set[..at].contains(name) {
                each(NOWHERE);
                continue;
            }
            let mut named = index.places.iter().filter(|place| place.is(name, src, arena));
            each(named.next().map_or(NOWHERE, |place| place.value));
            if named.next().is_some() {
                return None;
            }
        }
        self.others.iter().try_for_each(|other| other.locate(src, index, arena, beside, each))
    }

    /// Where what is looked for stands in all documents of a shape, told from the document `doc` that
    /// it was learned from.
    #[cold]
    pub(super) fn learn(&self, doc: &[u8], shape: &Shape) -> Option<Sights> {
        let arena = Arena::new();
        let src = &doc[shape.lead..doc.len() - shape.trail];
        let index = look(src, &arena).ok()??;
        let mut doubtful = Vec::new();
        let mut note = |range: Range<usize>| {
            doubtful.push(range);
            true
        };
        let mut spots = Vec::new();
        self.locate(src, &index, &arena, &mut note, &mut |spot| spots.push(spot))?;
        let place = |at: usize| shape.outside(at + shape.lead);
        let pair = |(start, end): Spot| Some((place(start as usize)?, place(end as usize)?));
        let spots = spots.into_iter().map(|spot| match spot {
            NOWHERE => Some(None),
            spot => pair(spot).map(Some),
        });
        let spots = spots.collect::<Option<_>>()?;
        // Of objects that are cut up, the values in them.
        let mut beside = Vec::new();
        for range in doubtful {
            pair((range.start as u32, range.end as u32))?;
            let within = |value: &(usize, usize)| value.0 >= range.start && value.1 <= range.end;
            let values = shape.values().map(|(start, end)| (start - shape.lead, end - shape.lead));
            for (start, end) in values.filter(within) {
                beside.push(pair((start as u32, end as u32))?);
            }
        }
        Some(Sights { sought: self.id, spots, beside })
    }
}

/// The value under `path` in the object that stands at `base` of the document.
fn follow(
    src: &[u8],
    base: usize,
    index: &Index<'_>,
    path: &[String],
    arena: &Arena,
    beside: &mut dyn FnMut(Range<usize>) -> bool,
) -> Option<Spot> {
    let (name, rest) = path.split_first()?;
    // Of several of one name the last counts.
    let at = index.places.iter().rposition(|place| place.is(name, src, arena));
    if base > 0 {
        let others = index.places.iter().enumerate().filter(|(other, _)| Some(*other) != at);
        for (_, place) in others {
            let (start, end) = place.value;
            if !beside(base + start as usize..base + end as usize) {
                return None;
            }
        }
    }
    let Some(at) = at else { return Some(NOWHERE) };
    let (start, end) = index.places[at].value;
    let begin = base + start as usize;
    if rest.is_empty() {
        return Some((begin as u32, (base + end as usize) as u32));
    }
    let inner = &src[start as usize..end as usize];
    follow(inner, begin, &look(inner, arena).ok()??, rest, arena, beside)
}

/// Would this value of a checked document be parsed without an error? Numbers may be too large.
fn is_sound(value: &[u8], arena: &Arena) -> bool {
    match value.first() {
        Some(b'-' | b'0'..=b'9') => {
            let short = value.len() <= 18 && !value.iter().any(|byte| byte | 0x20 == b'e');
            short || parse(value, arena).is_ok()
        }
        Some(b'{' | b'[') => parse(value, arena).is_ok(),
        _ => true,
    }
}

/// Where what is looked for stands in every document of a shape.
#[derive(Debug)]
pub(super) struct Sights {
    sought: u32,
    spots: Vec<Option<(Place, Place)>>,
    /// Values that must be sound, see [`Sought::note`].
    beside: Vec<(Place, Place)>,
}

impl Sights {
    /// The answer for `src`, a document of the shape without the `lead` bytes before it, whose values
    /// end at `ends`.
    #[inline]
    pub fn of<'a>(
        &self,
        src: &'a [u8],
        lead: usize,
        ends: &[u32],
        arena: &'a Arena,
    ) -> Option<Noted<'a>> {
        let place = |place: Place| ends[usize::from(place.slot)] + place.delta - lead as u32;
        for (start, end) in &self.beside {
            if !is_sound(&src[place(*start) as usize..place(*end) as usize], arena) {
                return None;
            }
        }
        let spots = arena.bump().alloc_slice_fill_with(self.spots.len(), |at| {
            self.spots[at].map_or(NOWHERE, |(start, end)| (place(start), place(end)))
        });
        Some(Noted { src, spots, sought: self.sought, end: src.len() as u32 - 1, beneath: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sought(wanted: &[&str], set: &[&str]) -> Sought {
        let path = |path: &&str| path.split('.').map(str::to_owned).collect();
        let own = |name: &&str| (*name).to_owned();
        Sought::new(wanted.iter().map(path).collect(), set.iter().map(own).collect())
    }

    #[test]
    fn values_are_found_where_they_stand_or_nothing_is_said() {
        let arena = Arena::new();
        let both = sought(&["u.n", "a"], &["x", "y"]);
        let show = |document: &'static str| {
            let text = JsonText::verbatim(document.as_bytes());
            assert!(both.found(&text).is_none());
            let noted = both.note(&text, &arena)?;
            let found = both.found(&noted).expect("its own answer");
            let values = [0, 1].map(|at| {
                found.wanted(at).map_or("-", |value| std::str::from_utf8(value).unwrap())
            });
            let places = [0, 1].map(|at| found.place(at).map_or("-", |place| &document[place]));
            assert_eq!(&document[found.object.end..], "}");
            Some((values, places, found.object.empty))
        };
        for (document, values, places) in [
            (r#"{"u":{"n":"1","m":{}},"a":[2] }"#, ["\"1\"", "[2]"], ["-", "-"]),
            (r#"{"a":1,"u":{"n":1},"\u0061":2,"u":{"\u006e":3}}"#, ["3", "2"], ["-", "-"]),
            (r#"{"y":{},"u":{},"x":"{"}"#, ["-", "-"], ["\"{\"", "{}"]),
            (r#"{"u":{"e":2e5,"f":123456789012345678,"n":1e999}}"#, ["1e999", "-"], ["-", "-"]),
        ] {
            assert_eq!(show(document), Some((values, places, false)), "{document}");
        }
        let twice = sought(&[], &["x", "x"]);
        let noted = twice.note(&JsonText::verbatim(br#"{"x":1}"#), &arena).unwrap();
        let found = twice.found(&noted).unwrap();
        assert_eq!((found.place(0), found.place(1)), (Some(5..6), None));
        assert_eq!(show("{ }"), Some((["-", "-"], ["-", "-"], true)));
        for none in [
            "[1]",
            r#"{"u":1}"#,
            r#"{"u":null}"#,
            r#"{"u":{"n":1,"e":1e999}}"#,
            r#"{"u":{"n":1e999,"n":1}}"#,
            r#"{"u":{"e":[12345678901234567890]}}"#,
            r#"{"x":1,"x":2}"#,
        ] {
            assert_eq!(show(none), None, "{none}");
        }
    }

    #[test]
    fn an_answer_is_of_one_text_and_one_question() {
        use crate::json_text::Edit;
        let arena = Arena::new();
        let (one, other) = (sought(&["a"], &[]), sought(&["a"], &[]));
        let edits = [Edit { start: 5, end: 6, with: b"\"new\"" }];
        let noted = one.note(&JsonText::new(br#"{"a":1}"#, &edits), &arena).unwrap();
        assert_eq!(one.found(&noted).unwrap().wanted(0), Some(&b"\"new\""[..]));
        assert!(other.found(&noted).is_none());
        let edited = JsonText { edits: &edits, ..noted };
        assert!(one.found(&edited).is_none());
    }
}
