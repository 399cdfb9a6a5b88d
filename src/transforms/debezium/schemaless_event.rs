//! Change events without schemas, which are taken for such by their members.
//!
//! Debezium's class passes them as they are; with `millrace.unwrap.schemaless` their rows take
//! their place too. Of JSON text, the row is a part of the event's text.

use std::rc::Rc;

use bumpalo::collections::Vec as BumpVec;
use memchr::memchr;
use memchr::memmem;
use millrace_api::record::Header;
use millrace_converters::json::members::{Object, members};
use millrace_converters::json::sought::{Found, Sought};
use millrace_converters::json_text::Edit;
use millrace_converters::{Arena, DataError, JsonText, SchemaAndValue, Value};

use super::field_reference::FieldReference;
use crate::requirements::{is_null, put, room_for};

/// A member's name and value, which may be text.
pub type Member<'a> = (&'a str, Value<'a>);

/// The members of an object, none of them parsed; `None`: it is no object.
pub fn parts<'a>(
    value: Value<'a>,
    arena: &'a Arena,
) -> Result<Option<&'a [Member<'a>]>, DataError> {
    let mut list = BumpVec::with_capacity_in(8, arena.bump());
    match value {
        Value::Map(map) => {
            let named = map.iter().filter_map(|(name, value)| Some((name.as_str()?, *value)));
            list.extend(named);
        }
        Value::Json(text) => {
            let mut ranges = BumpVec::with_capacity_in(8, arena.bump());
            let shown = members(text, arena, |name, range| ranges.push((name.text(), range)))?;
            let Some(object) = shown else { return Ok(None) };
            for (name, range) in ranges {
                let text = arena.alloc(JsonText::verbatim(&object.src[range]));
                list.push((name, Value::Json(text)));
            }
        }
        _ => return Ok(None),
    }
    Ok(Some(list.into_bump_slice()))
}

/// The members of events that somebody looks at.
pub struct Looked {
    names: Vec<String>,
    pub sought: Rc<Sought>,
}

impl Looked {
    /// What makes an event, and what the references lead to, or through.
    pub fn new<'r>(references: impl Iterator<Item = &'r FieldReference>) -> Self {
        let mut names: Vec<String> = ["op", "after", "before"].map(str::to_owned).into();
        for reference in references {
            let steps = [reference.parent.as_ref(), Some(&reference.field)];
            for name in steps.into_iter().flatten() {
                if !names.contains(name) {
                    names.push(name.clone());
                }
            }
        }
        let paths = names.iter().map(|name| vec![name.clone()]).collect();
        Self { names, sought: Rc::new(Sought::new(paths, Vec::new())) }
    }

    /// The value, if it is an event: it has an operation, and a row before or after it.
    pub fn event<'n, 'a>(
        &'n self,
        value: Value<'a>,
        arena: &'a Arena,
    ) -> Result<Option<Event<'n, 'a>>, DataError> {
        let found = match value {
            Value::Json(text) => self.sought.found(text),
            _ => None,
        };
        let event = match found {
            Some(found) => Event::Told { names: &self.names, found, arena },
            None => match parts(value, arena)? {
                Some(parts) => Event::Parts(parts),
                None => return Ok(None),
            },
        };
        let has_row = event.member("after").is_some() || event.member("before").is_some();
        let is_event = event.part("op").is_some_and(|op| is_text(&op)) && has_row;
        Ok(is_event.then_some(event))
    }
}

/// An event: all its members, or where those stand that are looked at.
#[derive(Clone, Copy)]
pub enum Event<'n, 'a> {
    Parts(&'a [Member<'a>]),
    Told { names: &'n [String], found: Found<'a>, arena: &'a Arena },
}

impl<'a> Event<'_, 'a> {
    /// The member of that name; of several the last.
    fn member(&self, name: &str) -> Option<Value<'a>> {
        match self {
            Self::Parts(parts) => member(parts, name),
            Self::Told { names, found, arena } => {
                let text = found.wanted(names.iter().position(|known| known == name)?)?;
                Some(Value::Json(arena.alloc_with(|| JsonText::verbatim(text))))
            }
        }
    }

    /// The same, unless it is null.
    pub fn part(&self, name: &str) -> Option<Value<'a>> {
        self.member(name).filter(|value| !is_null(value))
    }
}

fn member<'a>(parts: &[Member<'a>], name: &str) -> Option<Value<'a>> {
    parts.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

fn is_text(value: &Value<'_>) -> bool {
    match value {
        Value::Str(_) => true,
        Value::Json(text) => text.src.first() == Some(&b'"'),
        _ => false,
    }
}

/// What a reference leads to; `None` if nothing is there.
fn referred<'a>(
    reference: &FieldReference,
    event: Event<'_, 'a>,
    arena: &'a Arena,
) -> Result<Option<Value<'a>>, DataError> {
    if let Some(parent) = &reference.parent
        && let Some(parent) = event.part(parent)
        && let Some(parts) = parts(parent, arena)?
        && let Some(value) = member(parts, &reference.field)
    {
        return Ok(Some(value));
    }
    Ok(event.member(&reference.field))
}

/// The record's headers and those of the event.
pub fn with_headers<'a>(
    headers: &'a [Header<'a>],
    references: &[FieldReference],
    event: Event<'_, 'a>,
    arena: &'a Arena,
) -> Result<&'a [Header<'a>], DataError> {
    let mut all = room_for(headers.len() + references.len(), arena);
    all.extend_from_slice_copy(headers);
    for reference in references {
        let Some(value) = referred(reference, event, arena)? else { continue };
        let value = match value {
            Value::Json(text) => millrace_converters::json::parse_text(text, arena)?,
            value => value,
        };
        let datum = SchemaAndValue { schema: None, value };
        all.push(Header { name: arena.alloc_str(&reference.name), datum });
    }
    Ok(all.into_bump_slice())
}

/// The row with its mark and what is added.
pub fn rewritten<'a>(
    row: Value<'a>,
    mark: Option<&'static str>,
    references: &[FieldReference],
    event: Event<'_, 'a>,
    arena: &'a Arena,
) -> Result<Value<'a>, DataError> {
    if mark.is_none() && references.is_empty() {
        return Ok(row);
    }
    let mut added: BumpVec<'a, Member<'a>> = room_for(references.len() + 1, arena);
    added.extend(mark.map(|mark| ("__deleted", Value::Str(mark))));
    for reference in references {
        if let Some(value) = referred(reference, event, arena)? {
            added.push((arena.alloc_str(&reference.name), value));
        }
    }
    match row {
        Value::Json(text) => appended(text, &added, arena),
        Value::Map(map) => {
            let mut all = room_for(map.len() + added.len(), arena);
            all.extend_from_slice_copy(map);
            for (name, value) in added {
                put(&mut all, name, value);
            }
            Ok(Value::Map(all.into_bump_slice()))
        }
        other => Err(DataError::new(format!(
            "A row must be an object to add fields to, but is: {}",
            other.java_class()
        ))),
    }
}

/// The object's text with further members; those that it has get the new value.
fn appended<'a>(
    text: &JsonText<'a>,
    added: &[Member<'a>],
    arena: &'a Arena,
) -> Result<Value<'a>, DataError> {
    let mut known: BumpVec<'a, (usize, Edit<'a>)> = room_for(added.len(), arena);
    let mut written: BumpVec<'a, &'a [u8]> = room_for(added.len(), arena);
    written.extend(added.iter().map(|(_, value)| text_of(*value, arena)));
    let object = match plainly_without(text, added) {
        Some(object) => Some(object),
        None => members(text, arena, |name, range| {
            if let Some(at) = added.iter().position(|(new, _)| name.is(new)) {
                let (start, end) = (range.start as u32, range.end as u32);
                known.push((at, Edit { start, end, with: written[at] }));
            }
        })?,
    };
    let Some(object) = object else {
        return Err(DataError::new("A row must be an object to add fields to"));
    };
    let mut edits = room_for(known.len() + 1, arena);
    edits.extend(known.iter().map(|(_, edit)| *edit));
    let mut tail = BumpVec::new_in(arena.bump());
    for (at, (name, _)) in added.iter().enumerate() {
        if known.iter().any(|(known, _)| *known == at) {
            continue;
        }
        if !object.empty || !tail.is_empty() {
            tail.push(b',');
        }
        let mut quoted = Vec::new();
        match name.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte)) {
            true => {
                tail.push(b'"');
                tail.extend_from_slice_copy(name.as_bytes());
                tail.push(b'"');
            }
            false => {
                millrace_converters::json::text::write_string(name, &mut quoted);
                tail.extend_from_slice_copy(&quoted);
            }
        }
        tail.push(b':');
        tail.extend_from_slice_copy(written[at]);
    }
    let end = object.end as u32;
    edits.push(Edit { start: end, end, with: tail.into_bump_slice() });
    Ok(Value::Json(arena.alloc(object.edited(edits.into_bump_slice()))))
}

/// The object of which a search shows that it has none of these members, at any depth: no name is in
/// it, and none is written with escapes.
fn plainly_without<'a>(text: &JsonText<'a>, added: &[Member<'_>]) -> Option<Object<'a>> {
    let src = text.src;
    let inner = src.strip_prefix(b"{")?.strip_suffix(b"}")?;
    let absent = |(name, _): &Member<'_>| memmem::find(inner, name.as_bytes()).is_none();
    if !text.edits.is_empty() || memchr(b'\\', inner).is_some() || !added.iter().all(absent) {
        return None;
    }
    Some(Object { src, end: src.len() - 1, empty: inner.trim_ascii().is_empty() })
}

/// JSON of a value that is text already, or of a mark.
fn text_of<'a>(value: Value<'a>, arena: &'a Arena) -> &'a [u8] {
    match value {
        Value::Json(text) if text.edits.is_empty() => text.src,
        Value::Str("true") => b"\"true\"",
        Value::Str("false") => b"\"false\"",
        other => {
            let mut out = Vec::new();
            let options = millrace_converters::json::WriteOptions::default();
            match millrace_converters::json::write_value(None, other, &mut out, &options) {
                Ok(()) => arena.alloc_bytes(&out),
                Err(_) => b"null",
            }
        }
    }
}
