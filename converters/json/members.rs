//! The members of a JSON object where they stand in its text, for whoever needs a few of them.

use std::ops::Range;

use bumpalo::collections::Vec as BumpVec;

use super::isa::{Isa, Level, dispatch};
use super::parse::settled;
use super::scan::{JsonError, Scanner};
use super::serialization_error;
use super::text::unescape;
use crate::arena::Arena;
use crate::converter::DataError;
use crate::json_text::{Edit, JsonText};

/// A member's name as its object writes it.
#[derive(Clone, Copy)]
pub struct Name<'a> {
    raw: &'a [u8],
    escaped: bool,
    arena: &'a Arena,
}

impl<'a> Name<'a> {
    /// Is it this one?
    #[inline]
    pub fn is(&self, name: &str) -> bool {
        if self.escaped { self.text() == name } else { self.raw == name.as_bytes() }
    }

    /// The name; in the arena where escapes had to be resolved.
    pub fn text(&self) -> &'a str {
        match self.escaped {
            true => unescape(self.raw, self.arena),
            // Texts are UTF-8 before they come here.
            false => std::str::from_utf8(self.raw).unwrap_or_default(),
        }
    }
}

/// An object whose members were shown.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    /// The document, edits applied; the ranges that were shown are of this text.
    pub src: &'a [u8],
    /// Where its closing brace stands.
    pub end: usize,
    /// It has no members.
    pub empty: bool,
}

impl<'a> Object<'a> {
    /// The object with `edits`, sorted and within its text.
    pub fn edited(&self, edits: &'a [Edit<'a>]) -> JsonText<'a> {
        JsonText::new(self.src, edits)
    }
}

/// Where a member stands in its object's text.
#[derive(Debug)]
pub(super) struct Place {
    name: (u32, u32),
    escaped: bool,
    pub value: (u32, u32),
}

impl Place {
    /// Its name, if that has no escapes; `src` is the object's text.
    pub fn plain_name<'a>(&self, src: &'a [u8]) -> Option<&'a [u8]> {
        (!self.escaped).then(|| &src[self.name.0 as usize..self.name.1 as usize])
    }

    /// Is it the member of that name? `src` is the object's text.
    pub fn is(&self, name: &str, src: &[u8], arena: &Arena) -> bool {
        let raw = &src[self.name.0 as usize..self.name.1 as usize];
        Name { raw, escaped: self.escaped, arena }.is(name)
    }
}

/// Where all members of an object stand in its text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Index<'a> {
    pub places: &'a [Place],
    /// Where its closing brace stands.
    pub end: usize,
}

/// The members of a document; `None`: it is no object.
///
/// # Errors
/// The text is not JSON.
pub(super) fn look<'a>(src: &[u8], arena: &'a Arena) -> Result<Option<Index<'a>>, DataError> {
    let mut places = BumpVec::with_capacity_in(16, arena.bump());
    let end = index(Level::detect(), src, &mut places).map_err(serialization_error)?;
    Ok(end.map(|end| Index { places: places.into_bump_slice(), end }))
}

/// Calls `each` with the name of each member of the object and where its value stands; names that
/// come twice are shown twice. `None`, and nothing shown: the document is no object.
///
/// # Errors
/// The text is not JSON.
pub fn members<'a>(
    text: &JsonText<'a>,
    arena: &'a Arena,
    mut each: impl FnMut(Name<'a>, Range<usize>),
) -> Result<Option<Object<'a>>, DataError> {
    let src = settled(text, arena);
    let Some(Index { places, end }) = look(src, arena)? else { return Ok(None) };
    for Place { name, escaped, value } in places {
        let raw = &src[name.0 as usize..name.1 as usize];
        each(Name { raw, escaped: *escaped, arena }, value.0 as usize..value.1 as usize);
    }
    Ok(Some(Object { src, end, empty: places.is_empty() }))
}

/// Where the value of that member stands; of several the last. `None`: there is none, or the document
/// is no object.
pub(super) fn member(
    document: &[u8],
    name: &str,
    arena: &Arena,
) -> Result<Option<Range<usize>>, DataError> {
    let text = JsonText::verbatim(document);
    let mut found = None;
    // The arena's borrow is shorter than the caller's: names are looked at and let go.
    members(&text, arena, |shown, range| {
        if shown.is(name) {
            found = Some(range);
        }
    })?;
    Ok(found)
}

/// Fills `out` with the members' places; where the closing brace stands, if it is an object.
fn index(
    level: Level,
    doc: &[u8],
    out: &mut BumpVec<'_, Place>,
) -> Result<Option<usize>, JsonError> {
    dispatch!(
        level,
        index_with,
        (doc: &[u8], out: &mut BumpVec<'_, Place>) -> Result<Option<usize>, JsonError>
    )
}

#[inline(always)]
fn index_with<I: Isa>(
    isa: I,
    doc: &[u8],
    out: &mut BumpVec<'_, Place>,
) -> Result<Option<usize>, JsonError> {
    let mut scan = Scanner::new(isa, doc, 0, doc.len());
    scan.space();
    if scan.peek() != b'{' {
        return Ok(None);
    }
    scan.at += 1;
    scan.space();
    let mut more = scan.peek() != b'}';
    while more {
        scan.expect(b'"', "expected a member's name")?;
        let start = scan.at as u32;
        let escaped = scan.string()?;
        let name = (start, scan.at as u32 - 1);
        scan.space();
        scan.expect(b':', "expected a colon")?;
        scan.space();
        let start = scan.at as u32;
        scan.value(1)?;
        out.push(Place { name, escaped, value: (start, scan.at as u32) });
        scan.space();
        more = scan.peek() == b',';
        if more {
            scan.at += 1;
            scan.space();
        }
    }
    scan.expect(b'}', "expected a comma or a closing brace")?;
    let end = scan.at - 1;
    scan.finish()?;
    Ok(Some(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_shown_where_they_stand_also_behind_edits() {
        let arena = Arena::new();
        let edits = [Edit { start: 5, end: 6, with: b"[7]" }];
        let text = JsonText::new(br#"{"a":1, "b": "x" ,"a":2}"#, &edits);
        let mut seen = Vec::new();
        let object = members(&text, &arena, |name, range| seen.push((name.text(), range)));
        let object = object.unwrap().unwrap();
        let texts: Vec<_> =
            seen.iter().map(|(name, range)| (*name, &object.src[range.clone()])).collect();
        assert_eq!(texts, [("a", &b"[7]"[..]), ("b", b"\"x\""), ("a", b"2")]);
        assert_eq!((object.src[object.end], object.empty), (b'}', false));
    }

    #[test]
    fn what_is_no_object_and_what_is_no_json() {
        let arena = Arena::new();
        let show = |text: &'static str| {
            let text = JsonText::verbatim(text.as_bytes());
            members(&text, &arena, |_, _| {}).map(|object| object.map(|object| object.empty))
        };
        assert_eq!(show("[1]"), Ok(None));
        assert_eq!(show(" { } "), Ok(Some(true)));
        for bad in ["{", "{\"a\":}", "{} x", "{\"a\":1,}"] {
            assert!(show(bad).is_err(), "{bad}");
        }
    }
}
