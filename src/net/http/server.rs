//! The server's side of a connection: requests in, responses out, each within its time.
//!
//! Who listens, accepts and answers decides everything else: a [`ServerConnection`] only keeps the
//! protocol. Requests that are sent ahead (pipelining) wait in the socket and are answered in order.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::io::{AsyncRead, AsyncWriteExt};

use super::request_parser::{Refusal, RequestHead, RequestLimits, RequestParser};
use crate::rt::{TcpStream, timeout};
use crate::tls_server::ServerTls;

/// Bytes of heads, chunk framing and requests sent ahead that one read takes.
const BUFFER_BYTES: usize = 16 << 10;
/// Of a refused body at most this much is read and dropped, so that the client hears the refusal.
const DRAIN_BYTES: usize = 1 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// The times that a client has.
#[derive(Clone, Copy, Debug)]
pub struct ServerTimes {
    /// Between requests.
    pub idle: Duration,
    /// From a head's first byte to its last; also for the TLS handshake.
    pub head: Duration,
    /// From the head's end to the body's.
    pub body: Duration,
    /// To take a response.
    pub write: Duration,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<futures_rustls::server::TlsStream<TcpStream>>),
}

impl Stream {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer).await,
            Self::Tls(stream) => poll_fn(|cx| Pin::new(&mut **stream).poll_read(cx, buffer)).await,
        }
    }

    async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes).await,
            Self::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    async fn close(&mut self) {
        let _ = match self {
            Self::Plain(stream) => stream.close().await,
            Self::Tls(stream) => stream.close().await,
        };
    }
}

/// Why there is no request.
#[derive(Debug)]
pub enum NoRequest {
    /// The client has closed between requests, or was idle for too long.
    Closed,
    /// The connection broke, in the middle of a request or of a response.
    Broken(io::Error),
    /// To be answered with this status; then the connection is closed.
    Refused(Refusal),
}

/// One client. After an error only [`Self::respond`] with `close` and [`Self::close`] make sense.
pub struct ServerConnection {
    stream: Stream,
    parser: RequestParser,
    times: ServerTimes,
    buffer: Box<[u8]>,
    /// `buffer[start..end]` is received and belongs to what comes next.
    start: usize,
    end: usize,
    head_end: Instant,
    out: Vec<u8>,
}

impl ServerConnection {
    /// Takes an accepted socket; with `tls` after a handshake within the time of a head.
    pub async fn accept(
        socket: TcpStream,
        tls: Option<&ServerTls>,
        limits: RequestLimits,
        times: ServerTimes,
    ) -> io::Result<Self> {
        let stream = match tls {
            None => Stream::Plain(socket),
            Some(tls) => {
                let acceptor = futures_rustls::TlsAcceptor::from(tls.config());
                let shaken = timeout(times.head, acceptor.accept(socket)).await;
                Stream::Tls(Box::new(
                    shaken.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??,
                ))
            }
        };
        Ok(Self {
            stream,
            parser: RequestParser::new(limits),
            times,
            buffer: vec![0; BUFFER_BYTES].into(),
            start: 0,
            end: 0,
            head_end: Instant::now(),
            out: Vec::new(),
        })
    }

    /// Waits for the next request's head.
    pub async fn next_request(&mut self) -> Result<&RequestHead, NoRequest> {
        self.parser.reset();
        let mut begun = None;
        while self.parser.head().is_none() {
            if self.start == self.end {
                let limit = match begun {
                    None => self.times.idle,
                    Some(since) => self.left(since, self.times.head)?,
                };
                let count = match timeout(limit, self.stream.read(&mut self.buffer)).await {
                    Err(_) | Ok(Ok(0)) if begun.is_none() => return Err(NoRequest::Closed),
                    Err(_) => return Err(NoRequest::Refused(too_slow("head"))),
                    Ok(read) => ended(read)?,
                };
                (self.start, self.end) = (0, count);
            }
            begun.get_or_insert_with(Instant::now);
            self.feed()?;
        }
        self.head_end = Instant::now();
        self.parser.head().ok_or(NoRequest::Closed)
    }

    /// The present request's head.
    pub fn head(&self) -> Option<&RequestHead> {
        self.parser.head()
    }

    /// Receives the body. `grown` hears its length so far now and then, and may refuse.
    pub async fn read_body(
        &mut self,
        mut grown: impl FnMut(usize) -> Result<(), Refusal>,
    ) -> Result<(), NoRequest> {
        let waits = self.parser.head().is_some_and(|head| head.expects_continue);
        if waits && !self.parser.is_done() && self.start == self.end {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n").await.map_err(NoRequest::Broken)?;
        }
        while !self.parser.is_done() {
            if self.start < self.end {
                self.feed()?;
            } else {
                let left = self.left(self.head_end, self.times.body)?;
                let (window, into_body) = match self.parser.window() {
                    Some(window) => (window, true),
                    None => (&mut self.buffer[..], false),
                };
                let read = timeout(left, self.stream.read(window)).await;
                let count = ended(read.map_err(|_| NoRequest::Refused(too_slow("body")))?)?;
                if into_body {
                    self.parser.advance(count);
                } else {
                    (self.start, self.end) = (0, count);
                }
            }
            grown(self.parser.body().len()).map_err(NoRequest::Refused)?;
        }
        Ok(())
    }

    /// The body as received, chunks joined.
    pub fn body(&self) -> &[u8] {
        self.parser.body()
    }

    pub fn take_body(&mut self) -> Vec<u8> {
        self.parser.take_body()
    }

    /// Answers; `more` are whole header lines, each with its CR and LF. With `close` the connection ends
    /// after it, when the client has had a moment to hear it.
    pub async fn respond(
        &mut self,
        status: u16,
        more: &str,
        body: &[u8],
        close: bool,
    ) -> io::Result<()> {
        use std::io::Write;
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        // Writing to a vector does not fail.
        let _ = write!(out, "HTTP/1.1 {status} {}\r\n{more}", reason(status));
        let _ = write!(out, "Content-Length: {}\r\n", body.len());
        if close {
            out.extend_from_slice(b"Connection: close\r\n");
        } else if self.parser.head().is_some_and(|head| head.header("connection").is_some()) {
            // HTTP/1.0 clients want to be told.
            out.extend_from_slice(b"Connection: keep-alive\r\n");
        }
        out.extend_from_slice(b"\r\n");
        if self.parser.head().is_none_or(|head| head.method() != "HEAD") {
            out.extend_from_slice(body);
        }
        let written = self.write(&out).await;
        self.out = out;
        written?;
        if close {
            self.close().await;
        }
        Ok(())
    }

    /// Ends the connection. What the client still sends is read for a moment: closing with unread bytes
    /// would reset the connection and take the response with it.
    pub async fn close(&mut self) {
        self.stream.close().await;
        let drain = async {
            let mut dropped = 0;
            while dropped < DRAIN_BYTES {
                match self.stream.read(&mut self.buffer).await {
                    Ok(count) if count > 0 => dropped += count,
                    _ => return,
                }
            }
        };
        let _ = timeout(DRAIN_TIME, drain).await;
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = timeout(self.times.write, self.stream.write_all(bytes)).await;
        written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    fn feed(&mut self) -> Result<(), NoRequest> {
        let fed = self.parser.feed(&self.buffer[self.start..self.end]);
        self.start += fed.map_err(NoRequest::Refused)?;
        Ok(())
    }

    fn left(&self, since: Instant, limit: Duration) -> Result<Duration, NoRequest> {
        let left = limit.saturating_sub(since.elapsed());
        if left.is_zero() { Err(NoRequest::Refused(too_slow("request"))) } else { Ok(left) }
    }
}

fn too_slow(part: &str) -> Refusal {
    Refusal::new(408, format!("the {part} took longer than allowed"))
}

/// In the middle of a request the end is an error.
fn ended(read: io::Result<usize>) -> Result<usize, NoRequest> {
    match read {
        Ok(0) => Err(NoRequest::Broken(io::ErrorKind::UnexpectedEof.into())),
        read => read.map_err(NoRequest::Broken),
    }
}

/// The words of RFC 9110.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Status",
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
