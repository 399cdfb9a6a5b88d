//! JSON text into schemaless values: integers become Int64, other numbers Float64, objects maps in
//! the order of insertion with the last of duplicates winning.
//!
//! Values go into the batch's arena; strings without escapes are borrowed from the text. An integer
//! of more than 64 bits is refused (the JVM keeps its low 64 bits without a word), and so is a number
//! beyond a double's range (Infinity there).

use std::cell::Cell;
use std::collections::HashMap;
use std::ops::Range;

use bumpalo::collections::Vec as BumpVec;

use super::isa::{BASELINE, Baseline, ascii_text};
use super::members::member;
use super::patch::whole_number;
use super::scan::{JsonError, Kind, MAX_DEPTH, Scanner};
use super::serialization_error;
use super::text::unescape;
use crate::arena::Arena;
use crate::converter::DataError;
use crate::data::{Schema, Value};
use crate::json_text::JsonText;

/// Parses a text that a record carries, edits applied.
pub fn parse_text<'a>(text: &JsonText<'a>, arena: &'a Arena) -> Result<Value<'a>, DataError> {
    parse(settled(text, arena), arena)
}

/// Parses exactly one document; nothing but white space is null.
pub fn parse<'a>(document: &'a [u8], arena: &'a Arena) -> Result<Value<'a>, DataError> {
    let mut reader = Reader::new(document, arena);
    reader.scan.space();
    if reader.scan.at == document.len() {
        return Ok(Value::Null);
    }
    let value = reader.value()?;
    reader.finish().map_err(serialization_error)?;
    Ok(value)
}

/// Parses a value of a document that was checked: what most values are without a parser.
#[inline]
pub fn parse_checked<'a>(value: &'a [u8], arena: &'a Arena) -> Result<Value<'a>, DataError> {
    match value {
        [b'"', text @ .., b'"'] if !text.contains(&b'\\') => {
            if let Some(text) = ascii_text(text) {
                return Ok(Value::Str(text));
            }
        }
        b"true" => return Ok(Value::Boolean(true)),
        b"false" => return Ok(Value::Boolean(false)),
        b"null" => return Ok(Value::Null),
        digits => {
            if let Some(number) = whole_number(digits) {
                return Ok(Value::Int64(number));
            }
            // So few digits without an exponent are within a double's range.
            let plain = digits.len() <= 18 && digits.iter().all(|byte| byte | 0x20 != b'e');
            let text = ascii_text(digits).filter(|text| plain && text.contains('.'));
            if let Some(Ok(number)) = text.map(str::parse) {
                return Ok(Value::Float64(number));
            }
        }
    }
    parse(value, arena)
}

/// The value under a path of member names, without parsing the rest; `None` if a step is missing or
/// not an object. An empty path is the whole value.
pub fn find_path<'a>(
    text: &JsonText<'a>,
    path: &[&str],
    arena: &'a Arena,
) -> Result<Option<Value<'a>>, DataError> {
    let mut document = settled(text, arena);
    for name in path {
        match member(document, name, arena)? {
            Some(range) => document = &document[range],
            None => return Ok(None),
        }
    }
    parse(document, arena).map(Some)
}

/// The text with its edits applied; copied only if there are any.
pub(crate) fn settled<'a>(text: &JsonText<'a>, arena: &'a Arena) -> &'a [u8] {
    if text.edits.is_empty() { text.src } else { copied(text, 0, arena) }
}

/// A copy of the text with its edits applied, and so many zeros behind it.
pub(super) fn copied<'a>(text: &JsonText<'_>, behind: usize, arena: &'a Arena) -> &'a [u8] {
    let mut out = BumpVec::with_capacity_in(text.len() + behind, arena.bump());
    let mut at = 0;
    for edit in text.edits {
        out.extend_from_slice_copy(&text.src[at..edit.start as usize]);
        out.extend_from_slice_copy(edit.with);
        at = edit.end as usize;
    }
    out.extend_from_slice_copy(&text.src[at..]);
    out.resize(out.len() + behind, 0);
    out.into_bump_slice()
}

/// A container that is being read.
enum Open<'a> {
    Array(BumpVec<'a, Value<'a>>),
    /// With the name of the member that is being read.
    Object(BumpVec<'a, (Value<'a>, Value<'a>)>, &'a str),
}

impl<'a> Open<'a> {
    /// Takes an item or member; the byte that would close the container.
    fn push(&mut self, value: Value<'a>) -> u8 {
        match self {
            Self::Array(items) => {
                items.push(value);
                b']'
            }
            Self::Object(entries, key) => {
                entries.push((Value::Str(key), value));
                b'}'
            }
        }
    }

    fn finish(self) -> Value<'a> {
        match self {
            Self::Array(items) => Value::Array(items.into_bump_slice()),
            Self::Object(mut entries, _) => {
                last_wins(&mut entries);
                Value::Map(entries.into_bump_slice())
            }
        }
    }
}

/// A pass that builds values.
pub(crate) struct Reader<'a> {
    pub scan: Scanner<'a, Baseline>,
    pub(super) document: &'a [u8],
    pub arena: &'a Arena,
    /// Containers around the place at hand.
    pub(super) depth: usize,
    /// Where the reader began.
    from: usize,
    /// What stands there, once somebody had to know that it is UTF-8; empty if it is not.
    text: Cell<Option<&'a str>>,
}

impl<'a> Reader<'a> {
    pub fn new(document: &'a [u8], arena: &'a Arena) -> Self {
        Self::within(document, 0, 0, arena)
    }

    /// At the value that begins at `at`, in `depth` containers.
    pub fn within(document: &'a [u8], at: usize, depth: usize, arena: &'a Arena) -> Self {
        let mut scan = Scanner::new(BASELINE, document, 0, document.len());
        scan.at = at;
        Self { scan, document, arena, depth, from: at, text: Cell::new(None) }
    }

    /// Another reader at the same place, to look ahead with.
    pub fn at_hand(&self) -> Self {
        // Known here, it is not found out by each of them.
        let text = Cell::new(Some(self.whole_text()));
        let ahead = Self::within(self.document, self.scan.at, self.depth, self.arena);
        Self { from: self.from, text, ..ahead }
    }

    /// The document from where the reader began, all of it looked at once for all of its strings;
    /// empty if it is not UTF-8.
    fn whole_text(&self) -> &'a str {
        if let Some(text) = self.text.get() {
            return text;
        }
        let text = std::str::from_utf8(&self.document[self.from..]).unwrap_or_default();
        self.text.set(Some(text));
        text
    }

    /// Nothing but white space may follow, and all that was read is UTF-8; what stands before the
    /// place where the reader began is nobody's concern.
    pub fn finish(&mut self) -> Result<(), JsonError> {
        if self.text.get().is_some_and(|text| !text.is_empty()) {
            self.scan.is_utf8();
        }
        self.scan.finish()
    }

    /// The value at hand. Containers wait in the arena, not on the stack: depth comes from outside.
    pub fn value(&mut self) -> Result<Value<'a>, DataError> {
        let mut open: BumpVec<'a, Open<'a>> = self.arena.vec();
        loop {
            let mut value = match self.scan.peek() {
                b'{' => match self.open(b'}', open.len())? {
                    false => Value::Map(&[]),
                    true => {
                        let key = self.key().map_err(serialization_error)?;
                        open.push(Open::Object(self.room(8), key));
                        continue;
                    }
                },
                b'[' => match self.open(b']', open.len())? {
                    false => Value::Array(&[]),
                    true => {
                        open.push(Open::Array(self.room(4)));
                        continue;
                    }
                },
                b'"' => Value::Str(self.string()?),
                _ => self.scalar()?,
            };
            // The value belongs to the innermost container, which may end with it, and so on.
            loop {
                let Some(container) = open.last_mut() else { return Ok(value) };
                let close = container.push(value);
                self.scan.space();
                let byte = self.scan.peek();
                if byte == b',' {
                    self.scan.at += 1;
                    self.scan.space();
                    if let Open::Object(_, key) = container {
                        *key = self.key().map_err(serialization_error)?;
                    }
                    break;
                }
                if byte != close {
                    let error = self.scan.error("expected a comma or a closing bracket");
                    return Err(serialization_error(error));
                }
                self.scan.at += 1;
                value = open.pop().map_or(Value::Null, Open::finish);
            }
        }
    }

    /// An empty vector for what is likely to come.
    fn room<T>(&self, likely: usize) -> BumpVec<'a, T> {
        BumpVec::with_capacity_in(likely, self.arena.bump())
    }

    /// Enters a container; false if it is empty and therefore already left.
    fn open(&mut self, close: u8, depth: usize) -> Result<bool, DataError> {
        if depth >= MAX_DEPTH {
            return Err(serialization_error(self.scan.error("nested too deep")));
        }
        self.scan.at += 1;
        self.scan.space();
        let empty = self.scan.peek() == close;
        self.scan.at += usize::from(empty);
        Ok(!empty)
    }

    /// A member's name, up to its value.
    fn key(&mut self) -> Result<&'a str, JsonError> {
        let key = self.raw_string()?;
        self.colon()?;
        Ok(key)
    }

    #[inline]
    fn colon(&mut self) -> Result<(), JsonError> {
        self.scan.space();
        self.scan.expect(b':', "expected a colon")?;
        self.scan.space();
        Ok(())
    }

    fn scalar(&mut self) -> Result<Value<'a>, DataError> {
        let start = self.scan.at;
        let kind = self.scan.scalar().map_err(serialization_error)?;
        let text = &self.document[start..self.scan.at];
        match kind {
            Kind::Boolean => Ok(Value::Boolean(text[0] == b't')),
            Kind::Integer => integer(text).map(Value::Int64).ok_or_else(|| {
                let text = String::from_utf8_lossy(text);
                DataError::new(format!("Integer {text} does not fit into 64 bits"))
            }),
            Kind::Double => {
                // Always ASCII and of a form that Rust reads.
                let text = std::str::from_utf8(text).unwrap_or_default();
                finite(text).map(Value::Float64)
            }
            _ => Ok(Value::Null),
        }
    }

    /// Checks the value at hand without building it; its range.
    pub fn skip(&mut self) -> Result<Range<usize>, DataError> {
        let start = self.scan.at;
        self.scan.value(self.depth).map_err(serialization_error)?;
        Ok(start..self.scan.at)
    }

    /// The text of the number at hand, or `None` (and nothing read) if it is not one.
    pub fn number(&mut self) -> Result<Option<(Kind, &'a str)>, DataError> {
        let (b'-' | b'0'..=b'9') = self.scan.peek() else { return Ok(None) };
        let start = self.scan.at;
        let kind = self.scan.number().map_err(serialization_error)?;
        let text = &self.document[start..self.scan.at];
        Ok(Some((kind, std::str::from_utf8(text).unwrap_or_default())))
    }

    /// The string whose opening quote is at hand.
    pub fn string(&mut self) -> Result<&'a str, DataError> {
        self.raw_string().map_err(serialization_error)
    }

    fn raw_string(&mut self) -> Result<&'a str, JsonError> {
        self.scan.expect(b'"', "expected a string")?;
        let start = self.scan.at;
        let escaped = self.scan.string()?;
        let raw = &self.document[start..self.scan.at - 1];
        if !escaped
            && let Some(from) = start.checked_sub(self.from)
            && let Some(text) = self.whole_text().get(from..from + raw.len())
        {
            return Ok(text);
        }
        match std::str::from_utf8(raw) {
            Ok(_) if escaped => Ok(unescape(raw, self.arena)),
            Ok(text) => Ok(text),
            Err(error) => {
                let offset = start + error.valid_up_to();
                Err(JsonError { offset, what: "invalid UTF-8" })
            }
        }
    }

    /// Calls `each` at the value of each member of the object at hand; it must read the value.
    pub fn members(
        &mut self,
        mut each: impl FnMut(&mut Self, &'a str) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let mut more = self.enter_object()?;
        while more {
            let key = self.name()?;
            each(self, key)?;
            more = self.more_members()?;
        }
        Ok(())
    }

    /// Enters the object at hand; true at the name of its first member, false behind an empty one.
    pub fn enter_object(&mut self) -> Result<bool, DataError> {
        self.scan.expect(b'{', "expected an object").map_err(serialization_error)?;
        self.enter(b'}')
    }

    /// Enters the array at hand; true at its first item, false behind an empty one.
    pub fn enter_array(&mut self) -> Result<bool, DataError> {
        self.scan.expect(b'[', "expected an array").map_err(serialization_error)?;
        self.enter(b']')
    }

    /// Behind a member's value: true at the next one's name, false behind the object.
    pub fn more_members(&mut self) -> Result<bool, DataError> {
        self.more(b'}', "expected a comma or a closing brace")
    }

    /// Behind an item: true at the next one, false behind the array.
    pub fn more_items(&mut self) -> Result<bool, DataError> {
        self.more(b']', "expected a comma or a closing bracket")
    }

    #[inline]
    fn enter(&mut self, close: u8) -> Result<bool, DataError> {
        if self.depth >= MAX_DEPTH {
            return Err(serialization_error(self.scan.error("nested too deep")));
        }
        self.scan.space();
        if self.scan.peek() == close {
            self.scan.at += 1;
            return Ok(false);
        }
        self.depth += 1;
        Ok(true)
    }

    #[inline]
    fn more(&mut self, close: u8, what: &'static str) -> Result<bool, DataError> {
        self.scan.space();
        match self.scan.peek() {
            b',' => {
                self.scan.at += 1;
                self.scan.space();
                Ok(true)
            }
            byte if byte == close => {
                self.scan.at += 1;
                self.depth -= 1;
                Ok(false)
            }
            _ => Err(serialization_error(self.scan.error(what))),
        }
    }

    /// A member's name, up to its value.
    pub fn name(&mut self) -> Result<&'a str, DataError> {
        self.key().map_err(serialization_error)
    }

    /// The place of the member at hand in the schema, up to its value; `next` is likely.
    #[inline]
    pub fn field(&mut self, schema: &Schema, next: usize) -> Result<Option<usize>, DataError> {
        if let Some(field) = schema.fields.get(next)
            && self.is_name(&field.name)?
        {
            return Ok(Some(next));
        }
        let name = self.name()?;
        Ok(schema.field(name).map(|(at, _)| at))
    }

    /// True, and at the member's value, if its name is written exactly so; else nothing is read.
    #[inline]
    pub fn is_name(&mut self, name: &str) -> Result<bool, DataError> {
        let from = self.scan.at + 1;
        let there = self.document.get(self.scan.at) == Some(&b'"')
            && self.document.get(from..).is_some_and(|rest| rest.starts_with(name.as_bytes()))
            && self.document.get(from + name.len()) == Some(&b'"');
        // What would have to be escaped cannot be compared as it stands.
        if !there || name.bytes().any(|byte| byte == b'"' || byte == b'\\' || byte < b' ') {
            return Ok(false);
        }
        self.scan.at = from + name.len() + 1;
        self.colon().map_err(serialization_error)?;
        Ok(true)
    }
}

/// A checked integer's value, if it fits.
fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.len() > 18 {
        return std::str::from_utf8(text).ok()?.parse().ok();
    }
    let value = digits.iter().fold(0i64, |value, digit| value * 10 + i64::from(digit - b'0'));
    Some(if negative { -value } else { value })
}

/// Of entries with one key keeps the first's place and the last's value, as `LinkedHashMap.put`.
/// Keys that are not strings or integers are taken as different.
pub(crate) fn last_wins<'a>(entries: &mut BumpVec<'_, (Value<'a>, Value<'a>)>) {
    // Few members: comparing with those before is cheaper than hashing, and a bit for each length
    // and ends of a key mostly says that there is nothing to compare with.
    if entries.len() <= 16 {
        let mut seen = 0u64;
        let mut at = 0;
        while at < entries.len() {
            let key = MapKey::of(&entries[at].0);
            let bit = 1u64 << key.map_or(0, |key| key.fold());
            let same = |entry: &(Value<'a>, _)| key.is_some() && MapKey::of(&entry.0) == key;
            let found = match seen & bit {
                0 => None,
                _ => entries[..at].iter().position(same),
            };
            seen |= bit;
            match found {
                Some(first) => entries[first].1 = entries.remove(at).1,
                None => at += 1,
            }
        }
        return;
    }
    let mut places: HashMap<MapKey<'a>, usize> = HashMap::with_capacity(entries.len());
    let mut kept = 0;
    for at in 0..entries.len() {
        let entry = entries[at];
        let place = match MapKey::of(&entry.0) {
            Some(key) => *places.entry(key).or_insert(kept),
            None => kept,
        };
        if place == kept {
            entries[kept] = entry;
            kept += 1;
        } else {
            entries[place].1 = entry.1;
        }
    }
    entries.truncate(kept);
}

/// What tells keys of one map apart; they are all of one type.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum MapKey<'a> {
    Text(&'a str),
    Integer(i64),
}

impl<'a> MapKey<'a> {
    /// Less than 64; equal keys have equal ones.
    fn fold(self) -> u32 {
        match self {
            Self::Text(text) => {
                let bytes = text.as_bytes();
                let ends = bytes.first().zip(bytes.last());
                let (first, last) = ends.map_or((0, 0), |(a, b)| (u32::from(*a), u32::from(*b)));
                (bytes.len() as u32 * 7 + first * 3 + last) % 64
            }
            Self::Integer(number) => (number & 63) as u32,
        }
    }

    fn of(value: &Value<'a>) -> Option<Self> {
        Some(match *value {
            Value::Str(text) => Self::Text(text),
            Value::Boolean(value) => Self::Integer(value.into()),
            Value::Int8(value) => Self::Integer(value.into()),
            Value::Int16(value) => Self::Integer(value.into()),
            Value::Int32(value) => Self::Integer(value.into()),
            Value::Int64(value) => Self::Integer(value),
            _ => return None,
        })
    }
}

/// A number that is too great for a double is refused; one too small is zero.
pub(super) fn finite(text: &str) -> Result<f64, DataError> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(DataError::new(format!("Number {text} does not fit into a double"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::write::{WriteOptions, write_value};

    fn round(text: &str) -> Result<String, String> {
        let arena = Arena::new();
        let value = parse(text.as_bytes(), &arena).map_err(|error| error.message)?;
        let mut out = Vec::new();
        write_value(None, value, &mut out, &WriteOptions::default())
            .map_err(|error| error.message)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn checked_values_are_what_the_parser_says() {
        let arena = Arena::new();
        let mut random = crate::test_rig::Random(3);
        let numbers = (0..5000_u32).map(|round| {
            let digits = random.next() >> (random.next() % 64);
            let point = 10_f64.powi((round % 9) as i32);
            let sign = if round % 2 == 0 { "-" } else { "" };
            match round % 3 {
                0 => format!("{sign}{digits}"),
                1 => format!("{sign}{:?}", digits as f64 / point),
                _ => format!("{sign}{digits}.{}", digits % 1000),
            }
        });
        let others = [
            "\"\"",
            "\"a.b\"",
            "\"1.5\"",
            "\"\\n.\"",
            "\"\u{e9}.\"",
            "true",
            "false",
            "null",
            "-0",
            "-0.0",
            "[1.5]",
            "{\"a\":1.5}",
            "1e2",
            "1.5E2",
            "123456789012345678",
            "12345678901234567.8",
        ];
        for text in others.map(str::to_owned).into_iter().chain(numbers) {
            let text = arena.alloc_bytes(text.as_bytes());
            let shown = |value: Result<Value<'_>, DataError>| format!("{value:?}");
            assert_eq!(shown(parse_checked(text, &arena)), shown(parse(text, &arena)));
        }
    }

    #[test]
    fn values_as_the_jvm_reads_them() {
        for (text, printed) in [
            ("", "null"),
            (" null ", "null"),
            ("1.0", "1.0"),
            ("1e3", "1000.0"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("9223372036854775807", "9223372036854775807"),
            ("999999999999999999", "999999999999999999"),
            (r#""\u0041\n\ud800""#, "\"A\\n\u{fffd}\""),
            (
                r#" { "a" : [1,2.5,"x",null,true,{"b":1e3}], "c":1, "c":{} , "":[] } "#,
                r#"{"a":[1,2.5,"x",null,true,{"b":1000.0}],"c":{},"":[]}"#,
            ),
        ] {
            assert_eq!(round(text).as_deref(), Ok(printed), "{text}");
        }
        assert!(round("123456789012345678901234567890").unwrap_err().contains("64 bits"));
        assert!(round("1e400").unwrap_err().contains("double"));
        for text in ["{", "[1,]", "1 x", "\"\u{1}\"", "{\"a\":[1}", "nul", "01"] {
            assert!(round(text).is_err(), "{text}");
        }
        assert!(parse(b"\"\xff\"", &Arena::new()).is_err());
    }

    #[test]
    fn many_members_and_duplicates() {
        let members: Vec<String> = (0..100).map(|i| format!("\"k{}\":{i}", i % 40)).collect();
        let text = format!("{{{}}}", members.join(","));
        let expected: Vec<String> =
            (0..40).map(|k| format!("\"k{k}\":{}", if k < 20 { 80 + k } else { 40 + k })).collect();
        assert_eq!(round(&text).unwrap(), format!("{{{}}}", expected.join(",")));
    }

    #[test]
    fn depth_has_a_bound() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(round(&nested(MAX_DEPTH)).is_ok());
        assert!(round(&nested(MAX_DEPTH + 1)).is_err());
        assert!(round(&"{\"a\":".repeat(100_000)).is_err());
    }

    #[test]
    fn paths() {
        let arena = Arena::new();
        let text = JsonText::verbatim(br#"{"a":{"b":1,"b":"x"},"c":[1],"\u0064":2}"#);
        let find = |path: &[&str]| find_path(&text, path, &arena).unwrap();
        assert_eq!(find(&["a", "b"]).unwrap().as_str(), Some("x"));
        assert!(matches!(find(&["d"]), Some(Value::Int64(2))));
        assert!(find(&["a", "z"]).is_none());
        assert!(find(&["c", "b"]).is_none());
        assert!(matches!(find(&[]), Some(Value::Map(_))));
    }
}
