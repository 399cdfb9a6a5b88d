//! A validating pass over one JSON document without building anything: RFC 8259 and UTF-8.
//!
//! The document is a range of the batch's buffer; strings, digits and white space are searched 8 to
//! 32 bytes at a time and may be looked at past the document's end, never past the buffer's.
//! Nesting is bounded by [`MAX_DEPTH`] and needs no recursion. A lone surrogate escape (`\ud800`)
//! is text to the grammar and passes, as with Jackson.

use std::fmt;

use super::isa::{Isa, Level, dispatch};

/// Arrays and objects inside each other; Jackson's `StreamReadConstraints` has the same bound.
pub const MAX_DEPTH: usize = 1000;

/// What a document or a member's value is, as a schemaless `JsonConverter` would type it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// `"…"`.
    String = 0,
    /// A number without fraction and exponent.
    Integer = 1,
    /// Any other number.
    Double = 2,
    /// `true` or `false`.
    Boolean = 3,
    /// `[…]`.
    Array = 4,
    /// `{…}`.
    Object = 5,
    /// `null`.
    Null = 6,
    /// Nothing but white space: Connect's null.
    Empty = 7,
}

/// Why a document is not JSON; `offset` counts from the document's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// Bytes from the document's start.
    pub offset: usize,
    /// What was expected or found.
    pub what: &'static str,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.offset)
    }
}

impl std::error::Error for JsonError {}

/// A document that passed: `start..end` of the buffer, without the white space around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The first byte's place in the buffer.
    pub start: usize,
    /// Behind the last byte.
    pub end: usize,
    /// What the document is.
    pub kind: Kind,
}

/// Checks that `buf[start..end]` is exactly one JSON document.
///
/// # Panics
/// If `start..end` is not a range of `buf`: the caller's mistake, never the record's.
pub fn check(buf: &[u8], start: usize, end: usize) -> Result<Checked, JsonError> {
    check_at(Level::detect(), buf, start, end)
}

/// [`check`] with a given set of instructions.
pub fn check_at(level: Level, buf: &[u8], start: usize, end: usize) -> Result<Checked, JsonError> {
    dispatch!(level, check_with, (buf: &[u8], start: usize, end: usize) -> Result<Checked, JsonError>)
}

#[inline(always)]
fn check_with<I: Isa>(isa: I, buf: &[u8], start: usize, end: usize) -> Result<Checked, JsonError> {
    let mut scanner = Scanner::new(isa, buf, start, end);
    scanner.space();
    let first = scanner.at;
    if first == end {
        return Ok(Checked { start: first, end, kind: Kind::Empty });
    }
    let kind = scanner.value(0)?;
    let last = scanner.at;
    scanner.finish()?;
    Ok(Checked { start: first, end: last, kind })
}

/// The pass itself, for whoever looks at members on the way.
pub(crate) struct Scanner<'b, I> {
    isa: I,
    buf: &'b [u8],
    /// `buf` up to the document's end.
    doc: &'b [u8],
    start: usize,
    pub at: usize,
    /// A byte that is not ASCII was seen.
    high: bool,
}

impl<'b, I: Isa> Scanner<'b, I> {
    #[inline(always)]
    pub fn new(isa: I, buf: &'b [u8], start: usize, end: usize) -> Self {
        assert!(start <= end);
        Self { isa, buf, doc: &buf[..end], start, at: start, high: false }
    }

    #[cold]
    #[inline(never)]
    fn error_at(start: usize, at: usize, end: usize, what: &'static str) -> JsonError {
        let what = if at >= end { "unexpected end of the JSON document" } else { what };
        JsonError { offset: at.min(end) - start, what }
    }

    #[inline(always)]
    pub fn error(&self, what: &'static str) -> JsonError {
        Self::error_at(self.start, self.at, self.doc.len(), what)
    }

    /// The byte at hand; 0, which no token begins with, at the end.
    #[inline(always)]
    pub fn peek(&self) -> u8 {
        self.doc.get(self.at).copied().unwrap_or(0)
    }

    #[inline(always)]
    pub fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), JsonError> {
        if self.peek() == byte {
            self.at += 1;
            Ok(())
        } else {
            Err(self.error(what))
        }
    }

    #[inline(always)]
    pub fn space(&mut self) {
        // Mostly there is none, or one blank.
        if self.peek() > b' ' {
            return;
        }
        while let b' ' | b'\n' | b'\r' | b'\t' = self.peek() {
            self.at += 1;
            let Some(bits) = self.isa.non_spaces(self.buf, self.at) else { continue };
            let run = (bits.trailing_zeros() as usize).min(I::WIDTH);
            self.at = (self.at + run).min(self.doc.len());
        }
    }

    /// From behind an opening quote to behind the closing one; true if there was an escape.
    #[inline(always)]
    pub fn string(&mut self) -> Result<bool, JsonError> {
        let mut escaped = false;
        loop {
            if let Some(bits) = self.isa.string_bits(self.buf, self.at) {
                if bits.special == 0 {
                    self.high |= bits.high != 0;
                    self.at += I::WIDTH;
                    continue;
                }
                let before = bits.special & bits.special.wrapping_neg();
                self.high |= bits.high & (before - 1) != 0;
                self.at += bits.special.trailing_zeros() as usize;
            }
            match self.doc.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape()?;
                    escaped = true;
                }
                Some(0..0x20) => return Err(self.error("control character in a string")),
                Some(byte) => {
                    self.high |= *byte >= 0x80;
                    self.at += 1;
                }
                None => return Err(self.error("unterminated string")),
            }
        }
    }

    #[inline(always)]
    fn escape(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {
                self.at += 1;
                Ok(())
            }
            b'u' => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_ascii_hexdigit() {
                        return Err(self.error("expected a hexadecimal digit"));
                    }
                    self.at += 1;
                }
                Ok(())
            }
            _ => Err(self.error("unknown escape")),
        }
    }

    #[inline(always)]
    fn digits(&mut self) {
        loop {
            if let Some(bits) = self.isa.non_digits(self.buf, self.at) {
                let run = (bits.trailing_zeros() as usize).min(I::WIDTH);
                self.at += run;
                if run == I::WIDTH {
                    continue;
                }
                self.at = self.at.min(self.doc.len());
                return;
            }
            while self.peek().is_ascii_digit() {
                self.at += 1;
            }
            self.at = self.at.min(self.doc.len());
            return;
        }
    }

    /// At least one digit.
    #[inline(always)]
    fn some_digits(&mut self) -> Result<(), JsonError> {
        if !self.peek().is_ascii_digit() {
            return Err(self.error("expected a digit"));
        }
        self.at += 1;
        self.digits();
        Ok(())
    }

    #[inline(always)]
    pub fn number(&mut self) -> Result<Kind, JsonError> {
        if self.peek() == b'-' {
            self.at += 1;
        }
        if self.peek() == b'0' {
            self.at += 1;
        } else {
            self.some_digits()?;
        }
        let mut kind = Kind::Integer;
        if self.peek() == b'.' {
            self.at += 1;
            self.some_digits()?;
            kind = Kind::Double;
        }
        if let b'e' | b'E' = self.peek() {
            self.at += 1;
            if let b'+' | b'-' = self.peek() {
                self.at += 1;
            }
            self.some_digits()?;
            kind = Kind::Double;
        }
        Ok(kind)
    }

    #[inline(always)]
    fn literal(&mut self, word: &[u8], kind: Kind) -> Result<Kind, JsonError> {
        if self.doc[self.at..].starts_with(word) {
            self.at += word.len();
            Ok(kind)
        } else {
            Err(self.error("expected true, false or null"))
        }
    }

    /// A value that is not an array or object; the byte at hand begins it.
    #[inline(always)]
    pub fn scalar(&mut self) -> Result<Kind, JsonError> {
        match self.peek() {
            b'"' => {
                self.at += 1;
                self.string()?;
                Ok(Kind::String)
            }
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.literal(b"true", Kind::Boolean),
            b'f' => self.literal(b"false", Kind::Boolean),
            b'n' => self.literal(b"null", Kind::Null),
            _ => Err(self.error("expected a value")),
        }
    }

    /// Any value, `depth` containers around it.
    #[inline(always)]
    pub fn value(&mut self, depth: usize) -> Result<Kind, JsonError> {
        match self.peek() {
            b'{' => {
                self.container(true, depth)?;
                Ok(Kind::Object)
            }
            b'[' => {
                self.container(false, depth)?;
                Ok(Kind::Array)
            }
            _ => self.scalar(),
        }
    }

    /// A whole array or object with everything in it; the byte at hand opens it.
    #[inline(always)]
    fn container(&mut self, object: bool, depth: usize) -> Result<(), JsonError> {
        // One bit for each open container: is it an object?
        let mut kinds = [0u64; MAX_DEPTH.div_ceil(64)];
        let mut object = object;
        let base = depth;
        let mut depth = depth;
        if depth >= MAX_DEPTH {
            return Err(self.error("nested too deep"));
        }
        self.at += 1;
        let mut fresh = true;
        'items: loop {
            self.space();
            let close = if object { b'}' } else { b']' };
            if !(fresh && self.peek() == close) {
                if object {
                    self.expect(b'"', "expected a member's name")?;
                    self.string()?;
                    self.space();
                    self.expect(b':', "expected a colon")?;
                    self.space();
                }
                let byte = self.peek();
                if byte == b'{' || byte == b'[' {
                    // The container around is remembered at its own depth.
                    let (word, bit) = (depth / 64, depth % 64);
                    kinds[word] = kinds[word] & !(1 << bit) | (object as u64) << bit;
                    depth += 1;
                    if depth >= MAX_DEPTH {
                        return Err(self.error("nested too deep"));
                    }
                    object = byte == b'{';
                    self.at += 1;
                    fresh = true;
                    continue 'items;
                }
                self.scalar()?;
            }
            loop {
                self.space();
                let close = if object { b'}' } else { b']' };
                match self.peek() {
                    b',' => {
                        self.at += 1;
                        fresh = false;
                        continue 'items;
                    }
                    byte if byte == close => {
                        self.at += 1;
                        if depth == base {
                            return Ok(());
                        }
                        depth -= 1;
                        object = kinds[depth / 64] >> (depth % 64) & 1 == 1;
                    }
                    _ => return Err(self.error("expected a comma or a closing bracket")),
                }
            }
        }
    }

    /// Nothing but white space may follow; and what was scanned must be UTF-8.
    #[inline(always)]
    pub fn finish(&mut self) -> Result<(), JsonError> {
        self.space();
        if self.at != self.doc.len() {
            return Err(self.error("text after the JSON document"));
        }
        if self.high { self.check_utf8() } else { Ok(()) }
    }

    /// What was scanned has been found to be UTF-8 by somebody else.
    pub fn is_utf8(&mut self) {
        self.high = false;
    }

    /// Of the whole document at once: outside strings the grammar lets no such byte pass.
    #[inline(never)]
    fn check_utf8(&self) -> Result<(), JsonError> {
        match std::str::from_utf8(&self.doc[self.start..]) {
            Ok(_) => Ok(()),
            Err(error) => Err(JsonError { offset: error.valid_up_to(), what: "invalid UTF-8" }),
        }
    }
}
