//! The request parser of the server's side: bytes in, a request out; no IO.
//!
//! The head is gathered until its blank line, given to `httparse` once and kept as one buffer with
//! ranges, so that a connection's later requests allocate nothing. Where requests could be read in two
//! ways (two lengths, a length beside a coding, white space in a chunk's size), they are refused: a
//! proxy before us may have read them the other way.

use std::ops::Range;

const MAX_HEADERS: usize = 100;
const MAX_CHUNK_LINE_BYTES: usize = 256;
const MAX_TRAILER_BYTES: usize = 8 << 10;
/// How far ahead of the received bytes a body is grown: a length that is only claimed costs no memory.
const WINDOW_BYTES: usize = 256 << 10;

/// What a request may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    pub head_bytes: usize,
    pub body_bytes: usize,
}

/// Why a request is refused. The connection can take no other after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub message: String,
}

impl Refusal {
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

fn malformed(message: impl Into<String>) -> Refusal {
    Refusal::new(400, message)
}

/// A request's head. Names and values are as received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHead {
    bytes: Vec<u8>,
    method: Range<usize>,
    target: Range<usize>,
    headers: Vec<(Range<usize>, Range<usize>)>,
    /// The client takes another response on this connection.
    pub keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// `Content-Length`, where the body is not chunked.
    pub length: Option<u64>,
    pub chunked: bool,
}

impl RequestHead {
    pub fn method(&self) -> &str {
        self.text(&self.method)
    }

    /// Path and query as sent.
    pub fn target(&self) -> &str {
        self.text(&self.target)
    }

    /// The first header of this name, whatever its case, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// Every header in the order received.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers.iter().map(|(name, value)| (self.text(name), &self.bytes[value.clone()]))
    }

    /// Method, target and names are tokens, that `httparse` has checked.
    fn text(&self, range: &Range<usize>) -> &str {
        std::str::from_utf8(&self.bytes[range.clone()]).unwrap_or_default()
    }

    fn clear(&mut self) {
        let (mut bytes, mut headers) =
            (std::mem::take(&mut self.bytes), std::mem::take(&mut self.headers));
        bytes.clear();
        headers.clear();
        *self = Self { bytes, headers, ..Self::default() };
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Length(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
    Done,
}

/// Takes requests, one after the other.
pub struct RequestParser {
    limits: RequestLimits,
    state: State,
    head: RequestHead,
    body: Vec<u8>,
    /// Bytes of `body` that are received; the rest is the window.
    filled: usize,
    line: Vec<u8>,
    /// Empty lines before the request, then bytes of trailers.
    spent: usize,
}

impl RequestParser {
    pub fn new(limits: RequestLimits) -> Self {
        Self {
            limits,
            state: State::Head,
            head: RequestHead::default(),
            body: Vec::new(),
            filled: 0,
            line: Vec::new(),
            spent: 0,
        }
    }

    /// Ready for the next request; keeps the memory of usual ones.
    pub fn reset(&mut self) {
        self.state = State::Head;
        self.head.clear();
        self.body.clear();
        self.body.shrink_to(WINDOW_BYTES);
        self.filled = 0;
        self.line.clear();
        self.spent = 0;
    }

    /// A byte of a request has come.
    pub fn has_started(&self) -> bool {
        self.state != State::Head || !self.head.bytes.is_empty()
    }

    /// The head, once it is there.
    pub fn head(&self) -> Option<&RequestHead> {
        (self.state != State::Head).then_some(&self.head)
    }

    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// What was received of the body, chunks joined.
    pub fn body(&self) -> &[u8] {
        &self.body[..self.filled]
    }

    /// Takes the body away; meaningful once [`Self::is_done`].
    pub fn take_body(&mut self) -> Vec<u8> {
        self.body.truncate(self.filled);
        self.filled = 0;
        std::mem::take(&mut self.body)
    }

    /// Takes as many bytes as belong to this request and says how many. Stops after the head, so that
    /// the caller may refuse before the body comes; fewer than given means head or request are done.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        if self.state == State::Head {
            return self.take_head(bytes);
        }
        let mut at = 0;
        while at < bytes.len() && self.state != State::Done {
            let rest = &bytes[at..];
            at += match self.state {
                State::Length(_) | State::ChunkData(_) => self.take_data(rest)?,
                State::ChunkSize => self.take_line(rest, Self::chunk_size)?,
                State::ChunkEnd => self.take_line(rest, Self::chunk_end)?,
                State::Trailers => self.take_line(rest, Self::trailer)?,
                State::Head | State::Done => 0,
            };
        }
        Ok(at)
    }

    /// Where the next bytes of the body may be received without a copy; `None` when the next bytes are
    /// framing, for [`Self::feed`]. Follow by [`Self::advance`].
    pub fn window(&mut self) -> Option<&mut [u8]> {
        let (State::Length(left) | State::ChunkData(left)) = self.state else { return None };
        let end = self.filled + left.min(WINDOW_BYTES as u64) as usize;
        if self.body.len() < end {
            self.body.resize(end, 0);
        }
        Some(&mut self.body[self.filled..end])
    }

    /// `count` bytes were put at the front of the window.
    pub fn advance(&mut self, count: usize) {
        self.filled = (self.filled + count).min(self.body.len());
        let (State::Length(left) | State::ChunkData(left)) = &mut self.state else { return };
        *left = left.saturating_sub(count as u64);
        if *left == 0 {
            self.state = match self.state {
                State::Length(_) => State::Done,
                _ => State::ChunkEnd,
            };
        }
    }

    fn take_data(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let Some(window) = self.window() else { return Ok(0) };
        let count = window.len().min(bytes.len());
        window[..count].copy_from_slice(&bytes[..count]);
        self.advance(count);
        Ok(count)
    }

    fn take_head(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let mut skipped = 0;
        if self.head.bytes.is_empty() {
            // An empty line before a request is left over from the one before (RFC 9112, 2.2).
            skipped = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            self.spent += skipped;
            if self.spent > 4 {
                return Err(malformed("empty lines instead of a request"));
            }
        }
        let before = self.head.bytes.len();
        let room = self.limits.head_bytes.saturating_sub(before);
        let taken = &bytes[skipped..][..room.min(bytes.len() - skipped)];
        self.head.bytes.extend_from_slice(taken);
        let Some(end) = super::parser::head_end(&self.head.bytes, before) else {
            if self.head.bytes.len() >= self.limits.head_bytes {
                let limit = self.limits.head_bytes;
                return Err(Refusal::new(431, format!("the head exceeds {limit} bytes")));
            }
            return Ok(skipped + taken.len());
        };
        self.head.bytes.truncate(end);
        self.state = self.parse_head()?;
        self.spent = 0;
        Ok(skipped + end - before)
    }

    fn parse_head(&mut self) -> Result<State, Refusal> {
        let bytes = std::mem::take(&mut self.head.bytes);
        let mut slots = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Request::new(&mut slots);
        match parsed.parse(&bytes) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) => return Err(malformed("the request has no head")),
            Err(httparse::Error::TooManyHeaders) => {
                return Err(Refusal::new(431, format!("more than {MAX_HEADERS} headers")));
            }
            Err(httparse::Error::Version) => {
                return Err(Refusal::new(505, "only HTTP/1.0 and HTTP/1.1 are spoken here"));
            }
            Err(error) => return Err(malformed(format!("the head is malformed: {error}"))),
        }
        let at = |part: &[u8]| {
            let start = part.as_ptr() as usize - bytes.as_ptr() as usize;
            start..start + part.len()
        };
        self.head.method = at(parsed.method.unwrap_or_default().as_bytes());
        self.head.target = at(parsed.path.unwrap_or_default().as_bytes());
        let newer = parsed.version == Some(1);
        let headers = &*parsed.headers;
        self.head.headers.extend(headers.iter().map(|h| (at(h.name.as_bytes()), at(h.value))));
        self.head.keep_alive = super::parser::keeps_alive(newer, headers);
        let hosts = super::parser::values(headers, "host").count();
        if hosts > 1 || (newer && hosts == 0) {
            return Err(malformed("a request must have one Host header"));
        }
        for expected in super::parser::values(headers, "expect") {
            if !expected.eq_ignore_ascii_case(b"100-continue") {
                return Err(Refusal::new(417, "only 100-continue can be expected"));
            }
            self.head.expects_continue = newer;
        }
        let state = self.framing(newer, headers)?;
        self.head.bytes = bytes;
        Ok(state)
    }

    /// The body's framing (RFC 9112, 6.3), strictly.
    fn framing(&mut self, newer: bool, headers: &[httparse::Header<'_>]) -> Result<State, Refusal> {
        let length = super::parser::content_length(headers)
            .map_err(|_| malformed("Content-Length is not one number"))?;
        let mut codings = super::parser::values(headers, "transfer-encoding");
        if let Some(coding) = codings.next() {
            if length.is_some() || !newer {
                return Err(malformed("Transfer-Encoding beside Content-Length, or in HTTP/1.0"));
            }
            if codings.next().is_some() || !coding.eq_ignore_ascii_case(b"chunked") {
                return Err(Refusal::new(501, "the only transfer coding known here is chunked"));
            }
            self.head.chunked = true;
            return Ok(State::ChunkSize);
        }
        self.head.length = length;
        match length {
            None | Some(0) => Ok(State::Done),
            Some(length) if length > self.limits.body_bytes as u64 => Err(self.too_large()),
            Some(length) => Ok(State::Length(length)),
        }
    }

    fn too_large(&self) -> Refusal {
        Refusal::new(413, format!("the body is larger than {} bytes", self.limits.body_bytes))
    }

    /// Gathers a line of the chunked coding, ended by CR and LF, and hands it to `whole`.
    fn take_line(
        &mut self,
        bytes: &[u8],
        whole: fn(&mut Self, &[u8]) -> Result<(), Refusal>,
    ) -> Result<usize, Refusal> {
        let end = bytes.iter().position(|b| *b == b'\n');
        let taken = &bytes[..end.unwrap_or(bytes.len())];
        if self.line.len() + taken.len() > MAX_CHUNK_LINE_BYTES {
            return Err(malformed("a line of the chunked coding is too long"));
        }
        self.line.extend_from_slice(taken);
        if end.is_none() {
            return Ok(taken.len());
        }
        let mut line = std::mem::take(&mut self.line);
        let text = line.strip_suffix(b"\r");
        whole(
            self,
            text.ok_or_else(|| malformed("a line of the chunked coding ends without CR"))?,
        )?;
        line.clear();
        self.line = line;
        Ok(taken.len() + 1)
    }

    fn chunk_size(&mut self, line: &[u8]) -> Result<(), Refusal> {
        let digits = line.split(|b| *b == b';').next().unwrap_or_default();
        let size = std::str::from_utf8(digits)
            .ok()
            .filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|text| u64::from_str_radix(text, 16).ok())
            .ok_or_else(|| malformed("a chunk's size is not a hexadecimal number"))?;
        if size > (self.limits.body_bytes - self.filled) as u64 {
            return Err(self.too_large());
        }
        self.state = if size == 0 { State::Trailers } else { State::ChunkData(size) };
        Ok(())
    }

    fn chunk_end(&mut self, line: &[u8]) -> Result<(), Refusal> {
        if !line.is_empty() {
            return Err(malformed("a chunk is longer than its size"));
        }
        self.state = State::ChunkSize;
        Ok(())
    }

    fn trailer(&mut self, line: &[u8]) -> Result<(), Refusal> {
        if line.is_empty() {
            self.state = State::Done;
            return Ok(());
        }
        self.spent += line.len();
        if self.spent > MAX_TRAILER_BYTES {
            return Err(Refusal::new(431, "the trailers are too long"));
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "request_parser_tests.rs"]
mod tests;
