//! `Values.parseString`: a schema and a value out of a header's text.
//!
//! The text is cut into tokens at `: , { } [ ] "`; a backslash takes the next one's meaning away and
//! stays in the text. Dates are tried before numbers, and what is nothing else is the whole text as
//! a string. Dates are read in UTC, where Java takes the time zone of its machine.

use std::sync::Arc;

use crate::arena::Arena;
use crate::data::{DATE_NAME, Decimal, Schema, SchemaType, TIME_NAME, TIMESTAMP_NAME, Value};
use crate::java_text::{Calendar, DAY};
use crate::number_text::BigDecimal;

/// Arrays and maps inside each other; Java has no bound but its stack. Deeper text is a string.
const MAX_DEPTH: usize = 64;

/// What a text is; without a schema it is null.
#[derive(Clone)]
pub(crate) struct Parsed<'a> {
    pub schema: Option<Arc<Schema>>,
    pub value: Value<'a>,
}

/// Parses a header's text. Never fails: a text that is nothing else is a string.
pub(crate) fn parse_string<'a>(text: &'a str, arena: &'a Arena) -> Parsed<'a> {
    let string = || Parsed::of(Schema::new(SchemaType::String), Value::Str(text));
    if text.is_empty() {
        return string();
    }
    let mut parser = Parser { tokens: Tokens { text, at: 0, next: None }, arena };
    parser.parse(false, 0).unwrap_or_else(|_| string())
}

/// Java's `DataException` while parsing: somewhere above a string takes its place.
struct NotParsed;

impl<'a> Parsed<'a> {
    fn of(schema: Schema, value: Value<'a>) -> Self {
        Self { schema: Some(Arc::new(schema)), value }
    }

    fn null() -> Self {
        Self { schema: None, value: Value::Null }
    }
}

struct Tokens<'a> {
    text: &'a str,
    at: usize,
    /// A token that was looked at but not taken.
    next: Option<&'a str>,
}

impl<'a> Tokens<'a> {
    fn has_next(&self) -> bool {
        self.next.is_some() || self.at < self.text.len()
    }

    /// Cuts the next token off; empty at the end.
    fn cut(&mut self) -> &'a str {
        let start = self.at;
        let mut escaped = false;
        for (offset, byte) in self.text.as_bytes()[start..].iter().enumerate() {
            match byte {
                b'\\' => escaped = !escaped,
                b':' | b',' | b'{' | b'}' | b'[' | b']' | b'"' if !escaped => {
                    self.at = start + offset.max(1);
                    return &self.text[start..self.at];
                }
                _ => escaped = false,
            }
        }
        self.at = self.text.len();
        &self.text[start..]
    }

    fn take(&mut self) -> &'a str {
        match self.next.take() {
            Some(token) => token,
            None => self.cut(),
        }
    }

    fn mark(&self) -> usize {
        self.at - self.next.map_or(0, str::len)
    }

    fn rewind(&mut self, mark: usize) {
        self.at = mark;
        self.next = None;
    }

    /// Takes the next token if it is `expected`; blank tokens before it are lost either way, and
    /// white space around it does not count, unless `exact`.
    fn consume(&mut self, expected: &str, exact: bool) -> bool {
        if self.next.is_none() {
            if self.at >= self.text.len() {
                return false;
            }
            self.next = Some(self.cut());
        }
        if !exact {
            while self.next.is_some_and(|token| trim(token).is_empty()) && self.at < self.text.len()
            {
                self.next = Some(self.cut());
            }
        }
        let is = self
            .next
            .is_some_and(|token| if exact { token == expected } else { trim(token) == expected });
        if is {
            self.next = None;
        }
        is
    }

    /// The text of the next `count` tokens; `None`, nothing taken, if there are fewer.
    fn take_many(&mut self, count: usize) -> Option<&'a str> {
        let mark = self.mark();
        for _ in 0..count {
            if !self.has_next() {
                self.rewind(mark);
                return None;
            }
            self.take();
        }
        Some(&self.text[mark..self.mark()])
    }
}

/// `String.trim()`.
fn trim(text: &str) -> &str {
    text.trim_matches(|letter| letter <= ' ')
}

struct Parser<'a> {
    tokens: Tokens<'a>,
    arena: &'a Arena,
}

impl<'a> Parser<'a> {
    fn parse(&mut self, embedded: bool, depth: usize) -> Result<Parsed<'a>, NotParsed> {
        if !self.tokens.has_next() {
            return Ok(Parsed::null());
        }
        if embedded && self.tokens.consume("\"", false) {
            return Ok(self.quoted());
        }
        if let Some(literal) = self.literal(embedded) {
            return Ok(literal);
        }
        let mark = self.tokens.mark();
        let container = if depth >= MAX_DEPTH {
            Err(NotParsed)
        } else if self.tokens.consume("[", false) {
            self.array(depth)
        } else if self.tokens.consume("{", false) {
            self.map(depth)
        } else {
            Err(NotParsed)
        };
        if let Ok(parsed) = container {
            return Ok(parsed);
        }
        self.tokens.rewind(mark);
        let token = self.tokens.take();
        if trim(token).is_empty() {
            return Ok(Parsed::of(Schema::new(SchemaType::String), Value::Str(token)));
        }
        self.token(trim(token), embedded)
    }

    /// null, true or false; at the top only as the whole text.
    fn literal(&mut self, embedded: bool) -> Option<Parsed<'a>> {
        let mark = self.tokens.mark();
        let boolean = |value| Parsed::of(Schema::new(SchemaType::Boolean), Value::Boolean(value));
        let parsed = if self.tokens.consume("null", false) {
            Parsed::null()
        } else if self.tokens.consume("true", false) {
            boolean(true)
        } else if self.tokens.consume("false", false) {
            boolean(false)
        } else {
            return None;
        };
        if embedded || !self.tokens.has_next() {
            return Some(parsed);
        }
        self.tokens.rewind(mark);
        None
    }

    fn quoted(&mut self) -> Parsed<'a> {
        let start = self.tokens.mark();
        let mut end = start;
        while self.tokens.has_next() {
            if self.tokens.consume("\"", true) {
                break;
            }
            self.tokens.take();
            end = self.tokens.mark();
        }
        let text = &self.tokens.text[start..end];
        temporal(text)
            .unwrap_or_else(|| Parsed::of(Schema::new(SchemaType::String), Value::Str(text)))
    }

    fn token(&mut self, token: &'a str, embedded: bool) -> Result<Parsed<'a>, NotParsed> {
        let first = token.as_bytes()[0];
        if first.is_ascii_digit()
            && let Some(parsed) = self.tokens_as_temporal(token)
        {
            return Ok(parsed);
        }
        if (first.is_ascii_digit() || first == b'+' || first == b'-')
            && let Some(number) = BigDecimal::parse(token)
        {
            return Ok(self.number(&number));
        }
        Err(NotParsed).or_else(|error| if embedded { Err(error) } else { Ok(self.whole()) })
    }

    fn whole(&self) -> Parsed<'a> {
        Parsed::of(Schema::new(SchemaType::String), Value::Str(self.tokens.text))
    }

    /// A time's colons make four more tokens of it.
    fn tokens_as_temporal(&mut self, token: &str) -> Option<Parsed<'a>> {
        let mark = self.tokens.mark();
        if let Some(rest) = self.tokens.take_many(4)
            && let Some(parsed) = temporal(&format!("{token}{rest}"))
        {
            return Some(parsed);
        }
        self.tokens.rewind(mark);
        temporal(token)
    }

    /// The smallest integer that holds it, else the smallest floating type, else a Decimal.
    fn number(&self, number: &BigDecimal) -> Parsed<'a> {
        use SchemaType as T;
        if let Some(whole) = number.exact_long() {
            let (type_, value) = if let Ok(number) = i8::try_from(whole) {
                (T::Int8, Value::Int8(number))
            } else if let Ok(number) = i16::try_from(whole) {
                (T::Int16, Value::Int16(number))
            } else if let Ok(number) = i32::try_from(whole) {
                (T::Int32, Value::Int32(number))
            } else {
                (T::Int64, Value::Int64(whole))
            };
            return Parsed::of(Schema::new(type_), value);
        }
        if number.scale != 0 {
            let (float, double) = (number.float_value(), number.double_value());
            if float.is_finite() {
                return Parsed::of(Schema::new(T::Float32), Value::Float32(float));
            }
            if double.is_finite() {
                return Parsed::of(Schema::new(T::Float64), Value::Float64(double));
            }
        }
        let unscaled = self.arena.alloc_bytes(&number.unscaled.to_signed_bytes_be());
        let decimal = self.arena.alloc(Decimal { unscaled, scale: number.scale });
        Parsed::of(Schema::decimal(number.scale), Value::Decimal(decimal))
    }

    fn array(&mut self, depth: usize) -> Result<Parsed<'a>, NotParsed> {
        let mut items: Vec<Value<'a>> = Vec::new();
        let mut merger = Merger::default();
        while self.tokens.has_next() {
            if self.tokens.consume("]", false) {
                let common = merger.common();
                if let Some(common) = &common {
                    for item in &mut items {
                        *item = aligned(common, *item)?;
                    }
                }
                let schema = Schema { value_schema: common, ..Schema::new(SchemaType::Array) };
                return Ok(Parsed::of(schema, Value::Array(self.arena.alloc_slice(&items))));
            }
            if self.tokens.consume(",", false) {
                return Err(NotParsed);
            }
            let item = self.parse(true, depth + 1)?;
            merger.merge(&item);
            items.push(item.value);
            let mark = self.tokens.mark();
            if self.tokens.consume("]", false) {
                self.tokens.rewind(mark);
            } else if !self.tokens.consume(",", false) {
                return Err(NotParsed);
            }
        }
        Err(NotParsed)
    }

    fn map(&mut self, depth: usize) -> Result<Parsed<'a>, NotParsed> {
        let mut entries = self.arena.vec();
        let (mut keys, mut values) = (Merger::default(), Merger::default());
        while self.tokens.has_next() {
            if self.tokens.consume("}", false) {
                let key_schema = keys.common();
                let value_schema = values.common().filter(|_| key_schema.is_some());
                for (key, value) in &mut entries {
                    if let Some(schema) = &key_schema {
                        *key = aligned(schema, *key)?;
                    }
                    if let Some(schema) = &value_schema {
                        *value = aligned(schema, *value)?;
                    }
                }
                crate::json::last_wins(&mut entries);
                let schema = Schema { key_schema, value_schema, ..Schema::new(SchemaType::Map) };
                return Ok(Parsed::of(schema, Value::Map(entries.into_bump_slice())));
            }
            if self.tokens.consume(",", false) {
                return Err(NotParsed);
            }
            let key = self.parse(true, depth + 1)?;
            if key.value.is_null() || !self.tokens.consume(":", false) {
                return Err(NotParsed);
            }
            let value = self.parse(true, depth + 1)?;
            self.tokens.consume(",", false);
            keys.merge(&key);
            values.merge(&value);
            entries.push((key.value, value.value));
        }
        Err(NotParsed)
    }
}

/// Finds the type that all items of a container can have.
#[derive(Default)]
struct Merger {
    common: Option<Arc<Schema>>,
    incompatible: bool,
}

impl Merger {
    fn merge(&mut self, item: &Parsed<'_>) {
        let Some(new) = item.schema.as_ref().filter(|_| !self.incompatible) else { return };
        self.common = match &self.common {
            None => Some(Arc::clone(new)),
            // As in Java the last of one type stands for all, whatever is inside.
            Some(old) if old.type_ == new.type_ => Some(Arc::clone(new)),
            Some(old) => match (rank(old.type_), rank(new.type_)) {
                (Some(a), Some(b)) => Some(Arc::clone(if a > b { old } else { new })),
                _ => None,
            },
        };
        self.incompatible = self.common.is_none();
    }

    fn common(&self) -> Option<Arc<Schema>> {
        self.common.clone()
    }
}

/// Numbers by width.
fn rank(type_: SchemaType) -> Option<u8> {
    Some(match type_ {
        SchemaType::Int8 => 1,
        SchemaType::Int16 => 2,
        SchemaType::Int32 => 3,
        SchemaType::Int64 => 4,
        SchemaType::Float32 => 5,
        SchemaType::Float64 => 6,
        _ => return None,
    })
}

/// The item in the common type, as `Values.convertTo` makes it where the item's own schema is not
/// known: a time of any kind can be one of another, but no plain number; null has no place in it.
fn aligned<'a>(common: &Schema, item: Value<'a>) -> Result<Value<'a>, NotParsed> {
    let long = match item {
        Value::Null => return Err(NotParsed),
        Value::Int8(number) => i64::from(number),
        Value::Int16(number) => i64::from(number),
        Value::Int32(number) => i64::from(number),
        Value::Int64(number) => number,
        Value::Float32(number) if common.type_ == SchemaType::Float64 => {
            return Ok(Value::Float64(number.into()));
        }
        Value::Date(_) | Value::Time(_) | Value::Timestamp(_) => return of_time(common, item),
        other => return Ok(other),
    };
    Ok(match (common.type_, common.name.as_deref()) {
        (SchemaType::Int16, _) => Value::Int16(long as i16),
        (SchemaType::Int32, Some(DATE_NAME)) => Value::Date(long as i32),
        (SchemaType::Int32, Some(TIME_NAME)) => {
            let in_a_day = (0..=DAY).contains(&i64::from(long as i32));
            Value::Time(in_a_day.then_some(long as i32).ok_or(NotParsed)?)
        }
        (SchemaType::Int32, _) => Value::Int32(long as i32),
        (SchemaType::Int64, Some(TIMESTAMP_NAME)) => Value::Timestamp(long),
        (SchemaType::Int64, _) => Value::Int64(long),
        // Java takes both ways by way of a double.
        (SchemaType::Float32, _) => Value::Float32(long as f64 as f32),
        (SchemaType::Float64, _) => Value::Float64(long as f64),
        _ => item,
    })
}

/// A time under a number's schema. Under another time's it stays as it is where it cannot be one: it
/// is for a converter to refuse.
fn of_time<'a>(common: &Schema, item: Value<'a>) -> Result<Value<'a>, NotParsed> {
    match common.name.as_deref() {
        Some(name @ (DATE_NAME | TIME_NAME | TIMESTAMP_NAME)) => {
            Ok(item.as_time(name).unwrap_or(item))
        }
        _ => Err(NotParsed),
    }
}

/// A time, timestamp or date, told apart by the length of the text; like a lenient
/// `SimpleDateFormat` it lets hours and days run over and ignores what follows.
fn temporal(text: &str) -> Option<Parsed<'static>> {
    let text = text.replace("\\:", ":");
    let mut fields = DateFields { rest: &text };
    match text.encode_utf16().count() {
        13 => {
            let millis = i32::try_from(fields.time()?).ok()?;
            Some(Parsed::of(Schema::time(), Value::Time(millis)))
        }
        24 => {
            let date = fields.date()?;
            fields.literal("T")?;
            let millis = date.wrapping_add(fields.time()?);
            Some(Parsed::of(Schema::timestamp(), Value::Timestamp(millis)))
        }
        10 => {
            let days = i32::try_from(fields.date()? / DAY).ok()?;
            Some(Parsed::of(Schema::date(), Value::Date(days)))
        }
        _ => None,
    }
}

struct DateFields<'t> {
    rest: &'t str,
}

impl DateFields<'_> {
    /// Java keeps the low 32 bits of what fits into 64, and the largest `int` of what does not.
    fn number(&mut self) -> Option<i64> {
        let text = self.rest.trim_start_matches([' ', '\t']);
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        self.rest = &text[digits..];
        let number = text[..digits].parse::<i64>().map_or(i32::MAX, |number| number as i32);
        (digits > 0).then_some(i64::from(number))
    }

    fn literal(&mut self, expected: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(expected)?;
        Some(())
    }

    /// `yyyy-MM-dd`, in milliseconds.
    fn date(&mut self) -> Option<i64> {
        let year = self.number()?;
        self.literal("-")?;
        let month = self.number()?;
        self.literal("-")?;
        Some(Calendar::millis_of(year, month, self.number()?))
    }

    /// `HH:mm:ss.SSS'Z'`, in milliseconds.
    fn time(&mut self) -> Option<i64> {
        let hour = self.number()?;
        self.literal(":")?;
        let minute = self.number()?;
        self.literal(":")?;
        let second = self.number()?;
        self.literal(".")?;
        let millis = self.number()?;
        self.literal("Z")?;
        Some(((hour * 60 + minute) * 60 + second) * 1000 + millis)
    }
}
