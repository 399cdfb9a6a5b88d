//! A side of a record as expressions see it: typed values as they are, and of JSON text only the
//! members that somebody looks at.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use bumpalo::collections::Vec as BumpVec;
use millrace_api::transformation::Side;
use millrace_converters::json::members::{Object, members};
use millrace_converters::json::sought::{Found, Sought};
use millrace_converters::json::{parse, parse_checked, parse_text};
use millrace_converters::{Arena, DataError, Edit, JsonText, SchemaAndValue, Value};

use super::compile::{Members, Uses};
use super::eval::Subject;
use crate::requirements::is_null;

/// A JSON object that stays text.
pub struct Text<'a> {
    pub object: Object<'a>,
    found: &'a [Option<Value<'a>>],
    /// Where members stand that are to be set: which of the names, and its value's place.
    places: BumpVec<'a, (usize, Range<usize>)>,
}

/// One side, made ready.
pub enum Prepared<'a> {
    Datum(Value<'a>),
    Text(Text<'a>),
}

/// What is to be looked for in texts of a side: the members that expressions look at, or the `path` that
/// is all that they want, and those that will be set. `None`: nothing, or all.
pub fn sought(wanted: &Members, path: Option<Vec<String>>, set: &[Arc<str>]) -> Option<Rc<Sought>> {
    if wanted.whole || (wanted.names.is_empty() && set.is_empty()) {
        return None;
    }
    let names = || wanted.names.iter().map(|name| vec![name.clone()]).collect();
    let set = set.iter().map(|name| name.to_string()).collect();
    Some(Rc::new(Sought::new(path.map_or_else(names, |path| vec![path]), set)))
}

/// [`sought`] of both sides.
pub struct SoughtInBoth {
    pub key: Option<Rc<Sought>>,
    pub value: Option<Rc<Sought>>,
}

impl SoughtInBoth {
    /// Members of `set` will be set on that side; `path`, and the side that it begins at, is all that is
    /// wanted there.
    pub fn new(
        uses: &Uses,
        (own, set): (Side, &[Arc<str>]),
        mut path: Option<(Side, Vec<String>)>,
    ) -> Self {
        let mut of = |side| {
            let path = path.take_if(|(begins, _)| *begins == side).map(|(_, path)| path);
            sought(uses.side(side), path, if side == own { set } else { &[] })
        };
        Self { key: of(Side::Key), value: of(Side::Value) }
    }

    pub fn side(&self, side: Side) -> Option<&Rc<Sought>> {
        match side {
            Side::Key => self.key.as_ref(),
            Side::Value => self.value.as_ref(),
        }
    }
}

impl<'a> Prepared<'a> {
    /// `wanted` is what expressions look at, `set` the members that will be set; `sought` is both, as
    /// [`sought`] gives it without a path, or with one and without what is wanted.
    #[inline(always)]
    pub fn of(
        datum: &SchemaAndValue<'a>,
        wanted: &Members,
        set: &[impl AsRef<str>],
        sought: Option<&Rc<Sought>>,
        arena: &'a Arena,
    ) -> Result<Self, DataError> {
        let Value::Json(text) = datum.value else { return Ok(Self::Datum(datum.value)) };
        if is_null(&datum.value) {
            return Ok(Self::Datum(Value::Null));
        }
        if wanted.names.is_empty() && !wanted.whole && set.is_empty() {
            return Ok(Self::Datum(datum.value));
        }
        if wanted.whole {
            return parse_text(text, arena).map(Self::Datum);
        }
        match sought.and_then(|sought| sought.found(text)) {
            Some(found) => Text::of(&found, wanted.names.len(), set.len(), arena).map(Self::Text),
            None => Self::searched(text, wanted, set, arena),
        }
    }

    /// Of a text that does not tell where stands what is sought.
    fn searched(
        text: &JsonText<'a>,
        wanted: &Members,
        set: &[impl AsRef<str>],
        arena: &'a Arena,
    ) -> Result<Self, DataError> {
        let mut ranges: BumpVec<'a, Option<Range<usize>>> = arena.vec();
        ranges.resize(wanted.names.len(), None);
        let mut places = arena.vec();
        let object = members(text, arena, |name, range| {
            if let Some(slot) = wanted.names.iter().position(|wanted| name.is(wanted)) {
                ranges[slot] = Some(range.clone());
            }
            if let Some(which) = set.iter().position(|set| name.is(set.as_ref())) {
                places.push((which, range));
            }
        })?;
        let Some(object) = object else { return parse_text(text, arena).map(Self::Datum) };
        let mut found = crate::requirements::room_for(ranges.len(), arena);
        for range in ranges {
            found.push(match range {
                Some(range) => Some(parse(&object.src[range], arena)?),
                None => None,
            });
        }
        Ok(Self::Text(Text { object, found: found.into_bump_slice(), places }))
    }

    pub fn subject<'e>(&'e self) -> Subject<'e, 'a> {
        match self {
            Self::Datum(value) => Subject::Datum(*value),
            Self::Text(text) => Subject::Members(text.found),
        }
    }
}

impl<'a> Text<'a> {
    /// The first of what was sought parsed, and the first places.
    #[inline(always)]
    fn of(
        found: &Found<'a>,
        wanted: usize,
        set: usize,
        arena: &'a Arena,
    ) -> Result<Self, DataError> {
        let mut values = crate::requirements::room_for(wanted, arena);
        for at in 0..wanted {
            let value = match found.wanted(at) {
                Some(value) => Some(parse_checked(value, arena)?),
                None => None,
            };
            values.push(value);
        }
        let mut places = arena.vec();
        if !found.has_none_to_set() {
            places.extend((0..set).filter_map(|which| Some((which, found.place(which)?))));
            // Edits are in the order of the text.
            places.sort_unstable_by_key(|(_, place): &(usize, Range<usize>)| place.start);
        }
        Ok(Self { object: found.object, found: values.into_bump_slice(), places })
    }

    /// Some of the members that will be set are there.
    pub fn has_places(&self) -> bool {
        !self.places.is_empty()
    }

    /// The object with further members, none of which it has; `members` is their text.
    pub fn appended(&self, members: &[u8], arena: &'a Arena) -> JsonText<'a> {
        let mut added = crate::requirements::room_for(members.len() + 1, arena);
        if !self.object.empty && !members.is_empty() {
            added.push(b',');
        }
        added.extend_from_slice_copy(members);
        let end = self.object.end as u32;
        let edit = Edit { start: end, end, with: added.into_bump_slice() };
        self.object.edited(std::slice::from_ref(arena.alloc(edit)))
    }

    /// The object with these members set: where one is, its value is replaced, others come last.
    /// `set` are name and value as JSON text, in the order of the names given to [`Prepared::of`];
    /// what has no value stays as it is.
    pub fn with(&self, set: &[(&str, Option<&'a [u8]>)], arena: &'a Arena) -> JsonText<'a> {
        let mut edits = crate::requirements::room_for(self.places.len() + 1, arena);
        for (which, place) in &self.places {
            // Offsets fit: a record is smaller than 2 GiB.
            let (start, end) = (place.start as u32, place.end as u32);
            if let Some(with) = set[*which].1 {
                edits.push(Edit { start, end, with });
            }
        }
        let room = |(name, value): &(&str, Option<&[u8]>)| {
            value.map_or(0, |value| name.len() + value.len() + 4)
        };
        let room = set.iter().map(room).sum();
        let mut added: BumpVec<'a, u8> = crate::requirements::room_for(room, arena);
        for (which, (name, value)) in set.iter().enumerate() {
            let Some(value) = value else { continue };
            if self.places.iter().any(|(placed, _)| *placed == which) {
                continue;
            }
            if !(self.object.empty && added.is_empty()) {
                added.push(b',');
            }
            write_name(name, &mut added);
            added.extend_from_slice_copy(value);
        }
        if !added.is_empty() {
            let end = self.object.end as u32;
            edits.push(Edit { start: end, end, with: added.into_bump_slice() });
        }
        self.object.edited(edits.into_bump_slice())
    }
}

/// `"name":`, with what JSON wants escaped.
pub fn written_name(name: &str) -> Vec<u8> {
    let mut written = Vec::new();
    millrace_converters::json::text::write_string(name, &mut written);
    written.push(b':');
    written
}

/// The same into the arena.
fn write_name(name: &str, out: &mut BumpVec<'_, u8>) {
    if name.bytes().any(|byte| byte < 0x20 || matches!(byte, b'"' | b'\\')) {
        return out.extend_from_slice_copy(&written_name(name));
    }
    out.push(b'"');
    out.extend_from_slice_copy(name.as_bytes());
    out.extend_from_slice_copy(b"\":");
}
