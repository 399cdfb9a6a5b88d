//! A chain of simple transforms over schemaless JSON as one validating pass.
//!
//! InsertField, MaskField, ReplaceField, Cast and TimestampConverter name the members that they
//! touch, so what becomes of a member is known from its name and the kind of its value before any
//! record is seen; HoistField puts text around the whole, ExtractField is a part of it. A
//! [`PatchPlan`] is that table. [`PatchPlan::apply`] checks the document, looks each top-level name
//! up by its length and bytes, and notes the edits; nothing of the document is copied or built.
//!
//! Where Java's `HashMap` leaves open which of two members that meet under one name stays, the last
//! in the document does, and one that was inserted wins over both.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bumpalo::collections::Vec as BumpVec;

use super::flatten;
use super::isa::{Level, dispatch};
use super::parse::parse;
use super::patch_compile::{Around, Constants, Fates, Literal, compile, names};
use super::patch_emit::{Emitter, Pieces, RecordEdits};
use super::patch_pass::{Found, Keys, Scratch, collect};
use super::patch_shapes::{edits_of_shape, learn_shape, part_of_shape};
use super::scan::{JsonError, Kind};
use super::shape_book::{ShapeBook, ShapeCounts};
use super::sought::Sought;
use super::typed_quick::eight;
use super::write::{WriteOptions, write_value};
use super::{empty_text, serialization_error};
use crate::arena::Arena;
use crate::converter::DataError;
use crate::data::Value;
use crate::json_text::JsonText;

/// One operation on the top-level members of a JSON object, in the words of Kafka Connect's
/// transforms; a list of them is carried out in order.
#[derive(Clone, Debug, PartialEq)]
pub enum JsonOp {
    /// InsertField: set the member, in place if it is there, else at the end.
    Insert {
        /// The member.
        name: String,
        /// Its new value.
        what: Inserted,
    },
    /// MaskField: each named member is replaced by its type's empty value or by the replacement;
    /// null stays null; a member that is absent is added as null.
    Mask {
        /// `fields`.
        names: Vec<String>,
        /// `replacement`.
        replacement: Option<String>,
    },
    /// ReplaceField: drop what is excluded or not included (`include` empty: all), then rename.
    Replace {
        /// `include`; empty: all.
        include: Vec<String>,
        /// `exclude`.
        exclude: Vec<String>,
        /// `renames`: old and new name; of two for one name the last counts.
        renames: Vec<(String, String)>,
    },
    /// Cast, TimestampConverter: the member's value becomes what the call makes of it; null stays
    /// null; a member that is absent is added as null.
    Convert {
        /// The member.
        name: String,
        /// What becomes of its value.
        call: Call,
    },
    /// HoistField: the whole becomes the only member of an object. Nothing but its kind may follow.
    Hoist {
        /// That member's name.
        name: String,
    },
    /// ExtractField: the member's value takes the place of the whole. Nothing may follow.
    Extract {
        /// The member.
        name: String,
    },
    /// Flatten: the leaves of nested objects become members, under joined names. Stands alone.
    Flatten {
        /// Between the parts of a name.
        delimiter: String,
    },
}

type Conversion = dyn for<'a> Fn(Value<'a>, &'a Arena) -> Result<Value<'a>, DataError>;
type ShortCut = dyn Fn(Option<i64>, &[u8], &mut Vec<u8>) -> Quick;

/// What a short cut came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quick {
    /// The text stays as it is.
    Kept,
    /// The new text has been appended.
    Written,
    /// It does not know.
    Unknown,
}

/// What becomes of a schemaless value that is not null. A record for which it fails is refused.
#[derive(Clone)]
pub struct Call {
    conversion: Rc<Conversion>,
    short_cut: Option<Rc<ShortCut>>,
}

impl Call {
    /// Wraps the conversion.
    pub fn new(
        conversion: impl for<'a> Fn(Value<'a>, &'a Arena) -> Result<Value<'a>, DataError> + 'static,
    ) -> Self {
        Self { conversion: Rc::new(conversion), short_cut: None }
    }

    /// A short cut by the JSON text alone: given the number, if it is a whole one of up to 18 digits and
    /// no sign, and the text, it appends what the conversion would come to, unless that is the text
    /// itself or it does not know.
    #[must_use]
    pub fn with_short_cut(
        self,
        quick: impl Fn(Option<i64>, &[u8], &mut Vec<u8>) -> Quick + 'static,
    ) -> Self {
        Self { short_cut: Some(Rc::new(quick)), ..self }
    }

    /// Carries it out on the text of a value.
    pub(super) fn text<'a>(
        &self,
        text: &'a [u8],
        arena: &'a Arena,
        scratch: &mut Vec<u8>,
    ) -> Result<&'a [u8], DataError> {
        scratch.clear();
        let number = whole_number(text);
        let quick = self.short_cut.as_ref().map(|quick| quick(number, text, scratch));
        match quick.unwrap_or(Quick::Unknown) {
            Quick::Kept => return Ok(text),
            Quick::Written => return Ok(arena.alloc_bytes(scratch)),
            Quick::Unknown => {}
        }
        let value = match number {
            Some(number) => Value::Int64(number),
            None => parse(text, arena)?,
        };
        let value = (self.conversion)(value, arena)?;
        scratch.clear();
        write_value(None, value, scratch, &WriteOptions::default())?;
        Ok(arena.alloc_bytes(scratch))
    }
}

/// The number that up to 18 digits are, as Unix times and most numbers do not need a parser.
#[inline]
pub(super) fn whole_number(text: &[u8]) -> Option<i64> {
    const NEVER_TOO_LARGE: usize = 18;
    if text.is_empty() || text.len() > NEVER_TOO_LARGE {
        return None;
    }
    // The last digits, eight at a time, behind the first ones.
    let (first, eights) = text.as_rchunks::<8>();
    let first = first.iter().try_fold(0i64, |number, byte| {
        byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0'))
    });
    eights.iter().try_fold(first?, |number, digits| match eight(digits, 0)? {
        (8, more) => Some(number * 100_000_000 + more as i64),
        _ => None,
    })
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Call")
    }
}

/// The same conversion, not an equal one.
impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.conversion, &other.conversion)
    }
}

impl JsonOp {
    /// Puts in where the record is: its topic, its partition or its time.
    pub fn asks_for_place(&self) -> bool {
        let Self::Insert { what, .. } = self else { return false };
        matches!(what, Inserted::Topic | Inserted::Partition | Inserted::Timestamp)
    }

    /// Is that member, if it is there, what the document has, behind this operation, too?
    pub(super) fn spares(&self, member: &str) -> bool {
        match self {
            Self::Insert { name, .. } | Self::Convert { name, .. } => name != member,
            Self::Mask { names, .. } => !names.iter().any(|name| name == member),
            Self::Replace { include, exclude, renames } => {
                (include.is_empty() || include.iter().any(|name| name == member))
                    && !exclude.iter().any(|name| name == member)
                    && !renames.iter().any(|(old, new)| old == member || new == member)
            }
            Self::Hoist { .. } | Self::Extract { .. } | Self::Flatten { .. } => false,
        }
    }

    fn call(&self) -> Option<Call> {
        if let Self::Convert { call, .. } = self { Some(call.clone()) } else { None }
    }

    /// What Java's message calls the transform.
    fn purpose(&self) -> &'static str {
        match self {
            Self::Insert { .. } => "field insertion",
            Self::Mask { .. } => "mask fields",
            Self::Replace { .. } => "field replacement",
            Self::Convert { .. } => "field conversion",
            Self::Hoist { .. } | Self::Extract { .. } => "field extraction",
            Self::Flatten { .. } => "flattening",
        }
    }
}

/// What InsertField puts in.
#[derive(Clone, Debug, PartialEq)]
pub enum Inserted {
    /// A string.
    Static(String),
    /// The record's topic, a string.
    Topic,
    /// The record's partition, a number.
    Partition,
    /// Milliseconds; skipped when the record has none.
    Timestamp,
    /// The record's offset, a number.
    Offset,
}

/// What InsertField may ask of the record around the value.
#[derive(Clone, Copy, Debug)]
pub struct RecordMeta<'r> {
    /// Kafka's name of the topic.
    pub topic: &'r str,
    /// Its partition.
    pub partition: i32,
    /// Milliseconds since the epoch.
    pub timestamp: Option<i64>,
    /// The record's place in the partition.
    pub offset: i64,
}

/// A list of [`JsonOp`]s, compiled. One instance a task; `apply` once per record.
pub struct PatchPlan {
    level: Level,
    keys: Keys,
    pub(super) with_timestamp: Fates,
    pub(super) without_timestamp: Option<Fates>,
    text: Arc<[u8]>,
    pub(super) messages: Vec<(u32, String)>,
    calls: Vec<Call>,
    /// Texts on their way into the arena.
    converted: RefCell<Vec<u8>>,
    /// What comes before and behind the whole.
    pub(super) hoist: Option<(Literal, Literal)>,
    /// The source whose value takes the place of the whole.
    pub(super) extract: Option<u8>,
    /// The delimiter in a JSON string, of a plan that flattens and does nothing else.
    pub(super) flatten: Option<Vec<u8>>,
    first_purpose: Option<&'static str>,
    /// A list with a MaskField refuses null, as Java does; the others pass it on.
    refuses_null: bool,
    pub(super) scratch: Scratch,
    pub(super) book: ShapeBook,
    /// What somebody looks for in the documents, before the operations.
    pub(super) sought: Option<Rc<Sought>>,
}

impl PatchPlan {
    /// `None` if the list names more than 64 members, may add more than 64, or has operations that
    /// cannot follow one another here: the caller carries it out on parsed values then.
    pub fn compile(ops: &[JsonOp]) -> Option<Self> {
        Self::compile_at(ops, Level::detect())
    }

    /// [`PatchPlan::compile`] for a given set of instructions.
    pub fn compile_at(ops: &[JsonOp], level: Level) -> Option<Self> {
        let names = names(ops);
        let mut constants = Constants::default();
        let (around, ops) = Around::of(ops, &names, &mut constants)?;
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
            calls: ops.iter().filter_map(JsonOp::call).collect(),
            converted: RefCell::default(),
            hoist: around.hoist,
            extract: around.extract,
            flatten: around.flatten,
            first_purpose: ops.first().map(JsonOp::purpose),
            refuses_null: ops.iter().any(|op| matches!(op, JsonOp::Mask { .. })),
            scratch: Scratch {
                last: vec![0; names.len()],
                first: vec![0; names.len()],
                ..Scratch::default()
            },
            book: ShapeBook::new(level, true),
            sought: None,
        })
    }

    /// Texts will tell where that stands which is sought, beneath their edits.
    #[must_use]
    pub fn seeking(self, sought: Option<Rc<Sought>>) -> Self {
        Self { sought, ..self }
    }

    /// The same plan, looking at each document anew: what tests and benches compare with.
    pub fn without_shapes(mut self) -> Self {
        self.book = ShapeBook::new(self.level, false);
        self
    }

    /// How often documents had a learned shape.
    pub fn shape_counts(&self) -> ShapeCounts {
        self.book.counts()
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
    ) -> Result<&'a JsonText<'a>, DataError> {
        let document = &buf[start..end];
        if let Some(at) = self.book.find(buf, start, end) {
            let own = self.book.shape(at).edits.as_ref();
            let pieces = self.pieces(own.unwrap_or(&self.text), meta, arena);
            let stamped = meta.timestamp.is_some() || self.without_timestamp.is_none();
            if self.extract.is_some() {
                return part_of_shape(self, at, document, arena);
            }
            return edits_of_shape(self, at, document, stamped, pieces);
        }
        let text = self.apply_once(buf, start, end, meta, arena)?;
        Ok(arena.alloc(text))
    }

    /// The one-pass patch: says what is wrong, and what there is to learn.
    #[inline(never)]
    fn apply_once<'a>(
        &mut self,
        buf: &'a [u8],
        start: usize,
        end: usize,
        meta: &RecordMeta<'_>,
        arena: &'a Arena,
    ) -> Result<JsonText<'a>, DataError> {
        let (keys, scratch) = (&self.keys, &mut self.scratch);
        let found = dispatch!(
            self.level,
            collect,
            (keys: &Keys, scratch: &mut Scratch, buf: &[u8], start: usize, end: usize)
                -> Result<Found, JsonError>
        );
        let found = found.map_err(serialization_error)?;
        let src = &buf[found.start..found.end];
        if found.kind != Kind::Object {
            return self.not_an_object(found.kind, src);
        }
        if self.book.wants(end - start) {
            learn_shape(self, &buf[start..end], found);
        }
        let fates = match (&self.without_timestamp, meta.timestamp) {
            (Some(fates), None) => fates,
            _ => &self.with_timestamp,
        };
        let noted = match &self.sought {
            Some(sought) => {
                let noted = sought.looked_for(src, arena).ok_or_else(no_answer)?;
                Some(arena.alloc(noted.beneath()))
            }
            None => None,
        };
        if let Some(source) = self.extract {
            let hit = self.scratch.found(source).ok_or_else(no_answer)?;
            let part = &src[hit.value_start as usize..hit.value_end as usize];
            return Ok(JsonText { noted, ..JsonText::verbatim(part) });
        }
        if let Some(delimiter) = &self.flatten {
            let edits = flatten::edits(src, delimiter, arena).ok_or_else(no_answer)?;
            return Ok(JsonText { noted, ..JsonText::new(src, edits) });
        }
        let whole = self.scratch.hits.is_empty() && self.hoist.is_none();
        if whole && fates.keep_others && fates.created.is_empty() {
            return Ok(JsonText { noted, ..JsonText::verbatim(src) });
        }
        let capacity = 2 * self.scratch.hits.len() + 2 * fates.created.len() + 4;
        let out = RecordEdits {
            pieces: self.pieces(&self.text, meta, arena),
            src,
            failed: None,
            edits: BumpVec::with_capacity_in(capacity, arena.bump()),
        };
        let out = Emitter::new(self, fates, out).run(found)?;
        match out.failed {
            None => Ok(JsonText { noted, ..JsonText::new(src, out.edits.into_bump_slice()) }),
            Some(error) => Err(error),
        }
    }

    #[inline]
    fn pieces<'p, 'a>(
        &'p self,
        text: &Arc<[u8]>,
        meta: &'p RecordMeta<'p>,
        arena: &'a Arena,
    ) -> Pieces<'p, 'a> {
        Pieces {
            meta,
            arena,
            text: arena.pin_bytes(text),
            calls: &self.calls,
            converted: &self.converted,
        }
    }

    #[cold]
    fn not_an_object<'a>(&self, kind: Kind, src: &'a [u8]) -> Result<JsonText<'a>, DataError> {
        let null = matches!(kind, Kind::Null | Kind::Empty);
        if self.hoist.is_some() || self.extract.is_some() || self.flatten.is_some() {
            return Err(no_answer());
        }
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

/// The caller goes the long way then, which says what there is to say.
#[cold]
pub(super) fn no_answer() -> DataError {
    DataError::new("the patch has no answer for this document")
}

#[cfg(test)]
mod tests;
