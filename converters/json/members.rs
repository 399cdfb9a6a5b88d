//! The members of a JSON object where they stand in its text, for whoever needs a few of them.

use std::ops::Range;

use super::parse::{Reader, settled};
use super::serialization_error;
use crate::arena::Arena;
use crate::converter::DataError;
use crate::json_text::{Edit, JsonText};

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
        JsonText { src: self.src, edits }
    }
}

/// Calls `each` with the name of each member of the object and where its value stands; names that
/// come twice are shown twice. `None`, and nothing shown: the document is no object.
///
/// # Errors
/// The text is not JSON.
pub fn members<'a>(
    text: &JsonText<'a>,
    arena: &'a Arena,
    mut each: impl FnMut(&'a str, Range<usize>),
) -> Result<Option<Object<'a>>, DataError> {
    let src = settled(text, arena);
    let mut reader = Reader::new(src, arena);
    reader.scan.space();
    if reader.scan.peek() != b'{' {
        return Ok(None);
    }
    let mut empty = true;
    reader.members(|reader, name| {
        empty = false;
        let range = reader.skip()?;
        each(name, range);
        Ok(())
    })?;
    let end = reader.scan.at - 1;
    reader.scan.finish().map_err(serialization_error)?;
    Ok(Some(Object { src, end, empty }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_shown_where_they_stand_also_behind_edits() {
        let arena = Arena::new();
        let edits = [Edit { start: 5, end: 6, with: b"[7]" }];
        let text = JsonText { src: br#"{"a":1, "b": "x" ,"a":2}"#, edits: &edits };
        let mut seen = Vec::new();
        let object = members(&text, &arena, |name, range| seen.push((name, range)));
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
