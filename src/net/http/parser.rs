//! The response parser: bytes in, a response out; no IO.
//!
//! The head is gathered until its blank line and given to `httparse` once. A body goes straight to its
//! place: [`ResponseParser::window`] lends the spot where the next bytes of a plain body or a chunk
//! belong, so that a large response is received without a copy.

use super::Response;
use super::error::ErrorKind;

const MAX_HEAD_BYTES: usize = 64 << 10;
const MAX_HEADERS: usize = 128;
const MAX_CHUNK_LINE_BYTES: usize = 4 << 10;
const MAX_TRAILER_BYTES: usize = 16 << 10;
const MAX_INTERIM_RESPONSES: usize = 16;
/// How far ahead of the received bytes the body is grown: a large window costs fewer calls, and a
/// length that the server only claims costs no memory.
const WINDOW_BYTES: usize = 256 << 10;

/// Why the bytes are no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ParseError {
    pub kind: ErrorKind,
    pub message: String,
}

fn protocol(message: impl Into<String>) -> ParseError {
    ParseError { kind: ErrorKind::Protocol, message: message.into() }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    /// Body of known length: bytes still to come.
    Length(u64),
    UntilClose,
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
    Done,
}

/// Takes one response, interim responses before it included.
pub(super) struct ResponseParser {
    state: State,
    bodiless: bool,
    max_body_bytes: usize,
    line: Vec<u8>,
    trailer_bytes: usize,
    interim_responses: usize,
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Bytes of `body` that are received; the rest is the window.
    filled: usize,
    keep_alive: bool,
    started: bool,
    continued: bool,
}

impl ResponseParser {
    /// `bodiless`: the request was `HEAD` or `CONNECT`, whose response ends with its head.
    pub fn new(bodiless: bool, max_body_bytes: usize) -> Self {
        Self {
            state: State::Head,
            bodiless,
            max_body_bytes,
            line: Vec::new(),
            trailer_bytes: 0,
            interim_responses: 0,
            status: 0,
            headers: Vec::new(),
            body: Vec::new(),
            filled: 0,
            keep_alive: false,
            started: false,
            continued: false,
        }
    }

    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// A byte of a response has come.
    pub fn has_started(&self) -> bool {
        self.started
    }

    /// `100 Continue` has come, or the final response: there is no use in waiting for it any longer.
    pub fn may_send_body(&self) -> bool {
        self.continued || self.state != State::Head
    }

    /// The head of the final response has come.
    pub fn has_final_head(&self) -> bool {
        self.state != State::Head
    }

    /// The connection may take another request after this response.
    pub fn keeps_alive(&self) -> bool {
        self.keep_alive && self.is_done()
    }

    /// Takes as many bytes as belong to this response and says how many. Fewer than given means that
    /// the response is done.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<usize, ParseError> {
        self.started |= !bytes.is_empty();
        let mut at = 0;
        while at < bytes.len() && self.state != State::Done {
            let rest = &bytes[at..];
            at += match self.state {
                State::Head => self.take_head(rest)?,
                State::Length(_) | State::UntilClose | State::ChunkData(_) => {
                    self.take_body(rest)?
                }
                State::ChunkSize => self.take_line(rest, Self::chunk_size)?,
                State::ChunkEnd => self.take_line(rest, Self::chunk_end)?,
                State::Trailers => self.take_line(rest, Self::trailer)?,
                State::Done => 0,
            };
        }
        Ok(at)
    }

    /// Where the next bytes of the body may be received without a copy; `None` when the next bytes are
    /// framing, for [`Self::feed`]. Follow by [`Self::advance`].
    pub fn window(&mut self) -> Result<Option<&mut [u8]>, ParseError> {
        let wanted = match self.state {
            State::Length(left) | State::ChunkData(left) => left.min(WINDOW_BYTES as u64) as usize,
            State::UntilClose => {
                // One byte more than allowed, to notice a body that is too large.
                WINDOW_BYTES.min(self.max_body_bytes.saturating_add(1).saturating_sub(self.filled))
            }
            _ => return Ok(None),
        };
        let end = self.filled + wanted;
        if self.body.len() < end {
            self.body.resize(end, 0);
        }
        Ok(Some(&mut self.body[self.filled..end]))
    }

    /// `count` bytes were put at the front of the window.
    pub fn advance(&mut self, count: usize) -> Result<(), ParseError> {
        self.filled = (self.filled + count).min(self.body.len());
        if self.filled > self.max_body_bytes {
            return Err(self.too_large());
        }
        match &mut self.state {
            State::Length(left) => {
                *left = left.saturating_sub(count as u64);
                if *left == 0 {
                    self.finish();
                }
            }
            State::ChunkData(left) => {
                *left = left.saturating_sub(count as u64);
                if *left == 0 {
                    self.state = State::ChunkEnd;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The peer has closed. Ends a body that lasts until then; anything else is cut short.
    pub fn close(&mut self) -> Result<(), ParseError> {
        match self.state {
            State::UntilClose => {
                self.finish();
                Ok(())
            }
            State::Done => Ok(()),
            State::Head if !self.started => Err(ParseError {
                kind: ErrorKind::Closed,
                message: "the connection was closed before a response".to_owned(),
            }),
            _ => Err(ParseError {
                kind: ErrorKind::Closed,
                message: "the connection was closed in the middle of the response".to_owned(),
            }),
        }
    }

    /// The response; meaningful once [`Self::is_done`].
    pub fn into_response(self) -> Response {
        Response { status: self.status, headers: self.headers, body: self.body }
    }

    fn finish(&mut self) {
        self.body.truncate(self.filled);
        self.state = State::Done;
    }

    fn too_large(&self) -> ParseError {
        ParseError {
            kind: ErrorKind::TooLarge,
            message: format!("the response is larger than {} bytes", self.max_body_bytes),
        }
    }

    fn take_head(&mut self, bytes: &[u8]) -> Result<usize, ParseError> {
        if self.line.is_empty() && matches!(bytes[0], b'\r' | b'\n') {
            // An empty line before a response is left over from the one before (RFC 9112, 2.2).
            self.trailer_bytes += 1;
            return if self.trailer_bytes > 4 {
                Err(protocol("empty lines instead of a response"))
            } else {
                Ok(1)
            };
        }
        let before = self.line.len();
        let room = MAX_HEAD_BYTES - before;
        let taken = &bytes[..bytes.len().min(room)];
        self.line.extend_from_slice(taken);
        let Some(end) = head_end(&self.line, before) else {
            if self.line.len() >= MAX_HEAD_BYTES {
                return Err(protocol(format!(
                    "the response's head exceeds {MAX_HEAD_BYTES} bytes"
                )));
            }
            return Ok(taken.len());
        };
        self.line.truncate(end);
        let line = std::mem::take(&mut self.line);
        self.head(&line)?;
        Ok(end - before)
    }

    fn head(&mut self, bytes: &[u8]) -> Result<(), ParseError> {
        let mut slots = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Response::new(&mut slots);
        match head.parse(bytes) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) => return Err(protocol("the response has no head")),
            Err(error) => {
                return Err(protocol(format!("the response's head is malformed: {error}")));
            }
        }
        let status = head.code.unwrap_or_default();
        match status {
            101 => return Err(protocol("the server switched protocols without being asked")),
            100..=199 => {
                self.interim_responses += 1;
                self.continued |= status == 100;
                return if self.interim_responses > MAX_INTERIM_RESPONSES {
                    Err(protocol("too many interim responses"))
                } else {
                    Ok(())
                };
            }
            200..=599 => {}
            _ => return Err(protocol(format!("{status} is no HTTP status"))),
        }
        self.status = status;
        self.keep_alive = keeps_alive(head.version == Some(1), head.headers);
        self.state = self.framing(head.headers)?;
        self.headers = head
            .headers
            .iter()
            .map(|h| (h.name.to_owned(), String::from_utf8_lossy(h.value).into_owned()))
            .collect();
        Ok(())
    }

    /// The body's framing (RFC 9112, 6.3).
    fn framing(&mut self, headers: &[httparse::Header<'_>]) -> Result<State, ParseError> {
        let length = content_length(headers)?;
        if self.bodiless || matches!(self.status, 204 | 304) {
            return Ok(State::Done);
        }
        if let Some(coding) = values(headers, "transfer-encoding").last() {
            let last = coding.rsplit(|b| *b == b',').next().unwrap_or_default();
            // A length beside the coding is a sign of tampering: the connection is not used again.
            self.keep_alive &= length.is_none();
            if last.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return Ok(State::ChunkSize);
            }
            self.keep_alive = false;
            return Ok(State::UntilClose);
        }
        match length {
            Some(0) => Ok(State::Done),
            Some(length) if length > self.max_body_bytes as u64 => Err(self.too_large()),
            Some(length) => {
                // Address space only: pages are taken as the window moves over them.
                let _ = self.body.try_reserve_exact(length as usize);
                Ok(State::Length(length))
            }
            None => {
                self.keep_alive = false;
                Ok(State::UntilClose)
            }
        }
    }

    fn take_body(&mut self, bytes: &[u8]) -> Result<usize, ParseError> {
        let Some(window) = self.window()? else { return Ok(0) };
        let count = window.len().min(bytes.len());
        window[..count].copy_from_slice(&bytes[..count]);
        self.advance(count)?;
        Ok(count)
    }

    /// Gathers a line of the chunked coding and hands it, without its end, to `whole`.
    fn take_line(
        &mut self,
        bytes: &[u8],
        whole: fn(&mut Self, &[u8]) -> Result<(), ParseError>,
    ) -> Result<usize, ParseError> {
        let end = bytes.iter().position(|b| *b == b'\n');
        let taken = &bytes[..end.unwrap_or(bytes.len())];
        if self.line.len() + taken.len() > MAX_CHUNK_LINE_BYTES {
            return Err(protocol("a line of the chunked coding is too long"));
        }
        self.line.extend_from_slice(taken);
        if end.is_none() {
            return Ok(taken.len());
        }
        let mut line = std::mem::take(&mut self.line);
        whole(self, line.strip_suffix(b"\r").unwrap_or(&line))?;
        line.clear();
        self.line = line;
        Ok(taken.len() + 1)
    }

    fn chunk_size(&mut self, line: &[u8]) -> Result<(), ParseError> {
        let digits = line.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        let size = std::str::from_utf8(digits)
            .ok()
            .filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|text| u64::from_str_radix(text, 16).ok())
            .ok_or_else(|| protocol("a chunk's size is not a hexadecimal number"))?;
        if size > (self.max_body_bytes - self.filled) as u64 {
            return Err(self.too_large());
        }
        self.state = if size == 0 { State::Trailers } else { State::ChunkData(size) };
        Ok(())
    }

    fn chunk_end(&mut self, line: &[u8]) -> Result<(), ParseError> {
        if !line.is_empty() {
            return Err(protocol("a chunk is longer than its size"));
        }
        self.state = State::ChunkSize;
        Ok(())
    }

    fn trailer(&mut self, line: &[u8]) -> Result<(), ParseError> {
        if line.is_empty() {
            self.finish();
            return Ok(());
        }
        self.trailer_bytes += line.len();
        if self.trailer_bytes > MAX_TRAILER_BYTES {
            return Err(protocol("the response's trailers are too long"));
        }
        Ok(())
    }
}

/// The index after the head's blank line. Bytes before `from` were looked at already.
pub(super) fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from.saturating_sub(3);
    while let Some(found) = bytes[at..].iter().position(|b| *b == b'\n') {
        at += found + 1;
        match bytes[at..] {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
    None
}

pub(super) fn values<'h>(
    headers: &'h [httparse::Header<'h>],
    name: &'h str,
) -> impl Iterator<Item = &'h [u8]> + 'h {
    headers.iter().filter(move |h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value)
}

pub(super) fn content_length(headers: &[httparse::Header<'_>]) -> Result<Option<u64>, ParseError> {
    let mut length = None;
    // A list of equal lengths is one length (RFC 9110, 8.6).
    for value in values(headers, "content-length").flat_map(|v| v.split(|b| *b == b',')) {
        let value = std::str::from_utf8(value.trim_ascii())
            .ok()
            .filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|text| text.parse::<u64>().ok())
            .ok_or_else(|| protocol("Content-Length is not a number"))?;
        if length.is_some_and(|length| length != value) {
            return Err(protocol("the response has two different Content-Lengths"));
        }
        length = Some(value);
    }
    Ok(length)
}

pub(super) fn keeps_alive(version_1_1: bool, headers: &[httparse::Header<'_>]) -> bool {
    let mut keep = version_1_1;
    for token in values(headers, "connection").flat_map(|v| v.split(|b| *b == b',')) {
        let token = token.trim_ascii();
        if token.eq_ignore_ascii_case(b"close") {
            return false;
        }
        keep |= token.eq_ignore_ascii_case(b"keep-alive");
    }
    keep
}

#[cfg(test)]
#[path = "parser_tests.rs"]
mod tests;
