//! Whether a record's text is, but for members that it leaves out, just what a sink of JSON would
//! write of the typed value: then it goes there as it is.
//!
//! The members must stand in the order of the fields, without white space between the tokens and
//! without escapes, integers within their types, other numbers as Java prints them. Optional fields
//! that are absent become edits that say null. Whatever else there is, the typed value is made.

use super::program::{Op, Ops, Program, Record};
use crate::arena::Arena;
use crate::data::Schema;
use crate::json::{integer, plain_text};
use crate::json_text::{Edit, JsonText};

/// The text, if it may go as it is.
pub(super) fn text<'a>(
    program: &Program,
    payload: &'a [u8],
    arena: &'a Arena,
) -> Option<JsonText<'a>> {
    // What is not UTF-8 must not go to a sink; checked as a whole, as few bytes are beyond ASCII.
    std::str::from_utf8(payload).ok()?;
    u32::try_from(payload.len()).ok()?;
    let mut pass = Pass { ops: &program.ops, text: payload, at: 0, arena, edits: arena.vec() };
    pass.value(program.root, &program.schema)?;
    if pass.at != payload.len() {
        return None;
    }
    Some(JsonText::new(payload, pass.edits.into_bump_slice()))
}

struct Pass<'a, 'p> {
    ops: &'p Ops,
    text: &'a [u8],
    at: usize,
    arena: &'a Arena,
    edits: bumpalo::collections::Vec<'a, Edit<'a>>,
}

/// Where the members of an edit stand.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Before,
    Behind,
    Alone,
}

/// Significant digits that any binary number keeps.
const DOUBLE_DIGITS: usize = 15;
const FLOAT_DIGITS: usize = 6;

impl<'a> Pass<'a, '_> {
    #[inline]
    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    /// Goes behind `word` if it is at hand.
    #[inline]
    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.text.get(self.at..)?.starts_with(word).then(|| self.at += word.len())
    }

    fn value(&mut self, op: Op, schema: &Schema) -> Option<()> {
        if self.peek() == b'n' {
            return if schema.optional { self.word(b"null") } else { None };
        }
        match op {
            Op::String => self.string().map(drop),
            Op::Int64 | Op::Timestamp => self.integer(i64::MIN, i64::MAX),
            Op::Int32 | Op::Date => self.integer(i32::MIN.into(), i32::MAX.into()),
            Op::Int16 => self.integer(i16::MIN.into(), i16::MAX.into()),
            Op::Int8 => self.integer(i8::MIN.into(), i8::MAX.into()),
            Op::Time => self.integer(0, 86_400_000),
            Op::Float64 => self.number(DOUBLE_DIGITS),
            Op::Float32 => self.number(FLOAT_DIGITS),
            Op::Boolean => match self.peek() {
                b't' => self.word(b"true"),
                _ => self.word(b"false"),
            },
            Op::Struct(number) => self.record(&self.ops.records[number as usize], schema),
            Op::Array(items) => {
                let of = schema.value_schema.as_deref()?;
                self.word(b"[")?;
                if self.word(b"]").is_some() {
                    return Some(());
                }
                loop {
                    self.value(self.ops.get(items), of)?;
                    if self.word(b",").is_none() {
                        return self.word(b"]");
                    }
                }
            }
            _ => None,
        }
    }

    fn record(&mut self, record: &Record, schema: &Schema) -> Option<()> {
        let mut next = 0;
        loop {
            next = self.in_order(record, schema, next)?;
            let more = match next {
                0 => self.word(b"{").map(|()| self.peek() != b'}')?,
                _ => self.word(b",").is_some(),
            };
            if !more {
                break;
            }
            let start = self.at;
            let key = self.string()?;
            self.word(b":")?;
            let ahead = schema.fields.get(next..)?;
            let skipped = ahead.iter().position(|field| field.name.as_bytes() == key)?;
            if next + skipped >= record.leads.len() {
                // The members that the schema does not name are no member themselves.
                return None;
            }
            if skipped > 0 {
                self.absent(schema, next..next + skipped, start, Place::Before)?;
            }
            let at = next + skipped;
            self.value(self.ops.get(record.first + at as u32), &schema.fields[at].schema)?;
            next = at + 1;
        }
        if next < schema.fields.len() {
            let place = if next > 0 { Place::Behind } else { Place::Alone };
            self.absent(schema, next..schema.fields.len(), self.at, place)?;
        }
        self.word(b"}")
    }

    /// Members for as long as none is missing; the field whose member is not next.
    #[inline]
    fn in_order(&mut self, record: &Record, schema: &Schema, from: usize) -> Option<usize> {
        let mut next = from;
        while let Some(lead) = record.leads.get(next)
            && let Some(behind) = lead.behind(self.text, self.at)
        {
            self.at = behind;
            let of = &schema.fields.get(next)?.schema;
            self.value(self.ops.get(record.first + next as u32), of)?;
            next += 1;
        }
        Some(next)
    }

    /// An edit at `at` that says null for the fields.
    fn absent(
        &mut self,
        schema: &Schema,
        fields: std::ops::Range<usize>,
        at: usize,
        place: Place,
    ) -> Option<()> {
        let mut with = self.arena.vec();
        for (nth, field) in schema.fields.get(fields)?.iter().enumerate() {
            if !field.schema.optional {
                return None;
            }
            if nth > 0 || place == Place::Behind {
                with.push(b',');
            }
            // Names that would need escapes are rare: the typed value writes them.
            let name = field.name.as_bytes();
            if name.iter().any(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\')) {
                return None;
            }
            with.push(b'"');
            with.extend_from_slice_copy(name);
            with.extend_from_slice_copy(b"\":null");
        }
        if place == Place::Before {
            with.push(b',');
        }
        let at = u32::try_from(at).ok()?;
        self.edits.push(Edit { start: at, end: at, with: with.into_bump_slice() });
        Some(())
    }

    /// The content of a string without escapes.
    fn string(&mut self) -> Option<&'a [u8]> {
        self.word(b"\"")?;
        let from = self.at;
        if let Some((content, end)) = plain_text(self.text, from) {
            self.at = end + 1;
            return Some(content.as_bytes());
        }
        let rest = self.text.get(from..)?;
        let length = memchr::memchr(b'"', rest)?;
        let content = &rest[..length];
        if content.iter().any(|byte| *byte < 0x20 || *byte == b'\\') {
            return None;
        }
        self.at += length + 1;
        Some(content)
    }

    fn digits(&mut self) -> &'a [u8] {
        let from = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        &self.text[from..self.at]
    }

    fn integer(&mut self, least: i64, most: i64) -> Option<()> {
        let from = self.at;
        let negative = self.word(b"-").is_some();
        let value = match integer(self.text, self.at) {
            Some((count, number)) => {
                self.at += count;
                let number = number as i64;
                if negative { -number } else { number }
            }
            // Of more digits, or at the very end of the text.
            None => {
                let digits = self.digits();
                if digits.is_empty() || (digits[0] == b'0' && digits.len() > 1) {
                    return None;
                }
                let text = std::str::from_utf8(&self.text[from..self.at]).ok()?;
                text.parse::<i64>().ok()?
            }
        };
        if (negative && value == 0) || matches!(self.peek(), b'.' | b'e' | b'E') {
            return None;
        }
        (least..=most).contains(&value).then_some(())
    }

    /// A number that Java prints just so: no exponent, a fraction that ends in no needless zero.
    fn number(&mut self, most: usize) -> Option<()> {
        let _ = self.word(b"-");
        let whole = self.digits();
        self.word(b".")?;
        let fraction = self.digits();
        let zero = whole == b"0";
        let good = !whole.is_empty()
            && (zero || whole[0] != b'0')
            && whole.len() <= 7
            && whole.len() + fraction.len() <= most
            && (fraction == b"0" || fraction.last().is_some_and(|last| *last != b'0'))
            // Less than a thousandth has an exponent.
            && !(zero && fraction.len() > 2 && fraction.starts_with(b"000"));
        (good && !matches!(self.peek(), b'e' | b'E')).then_some(())
    }
}
