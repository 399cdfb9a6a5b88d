//! One connection: a request out, a response in.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::io::{AsyncRead, AsyncWrite};

use super::Response;
use super::error::ErrorKind;
use super::parser::{ParseError, ResponseParser};
use super::request::Body;
use crate::rt::{TcpStream, timeout};
use crate::tls::TlsStream;

const READ_BYTES: usize = 16 << 10;
/// Slices handed to the kernel at once.
const SLICES: usize = 32;
/// How long a body waits for `100 Continue` (RFC 9110, 10.1.1: not for ever).
const CONTINUE_WAIT: Duration = Duration::from_secs(1);

/// Plain or encrypted.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }
}

/// An exchange that failed, in the terms of the connection alone.
#[derive(Debug)]
pub(super) struct Failure {
    pub kind: ErrorKind,
    pub message: String,
    /// Bytes of a response had come.
    pub response_started: bool,
}

impl Failure {
    fn new(error: ParseError, parser: &ResponseParser) -> Self {
        Self { kind: error.kind, message: error.message, response_started: parser.has_started() }
    }

    fn closed(error: &io::Error, parser: &ResponseParser) -> Self {
        Self {
            kind: ErrorKind::Closed,
            message: error.to_string(),
            response_started: parser.has_started(),
        }
    }
}

/// What is still to be written: the head, then the body's slices.
struct Outgoing<'a> {
    head: &'a [u8],
    body: Body<'a>,
    /// The slice to go on with: 0 is the head.
    index: usize,
    /// Bytes of it that are written.
    offset: usize,
}

impl<'a> Outgoing<'a> {
    fn slice(&self, index: usize) -> Option<&'a [u8]> {
        match index.checked_sub(1) {
            None => Some(self.head),
            Some(index) => self.body.slice(index),
        }
    }

    /// Fills `slices` with what comes next and says with how many; 0 when all is written. Stops behind
    /// the head if the body is held back.
    fn fill(&mut self, slices: &mut [IoSlice<'a>; SLICES], hold_body: bool) -> usize {
        let mut count = 0;
        let mut index = self.index;
        while count < SLICES && !(hold_body && index > 0) {
            let Some(slice) = self.slice(index) else { break };
            let rest = if index == self.index { &slice[self.offset..] } else { slice };
            if !rest.is_empty() {
                slices[count] = IoSlice::new(rest);
                count += 1;
            }
            index += 1;
        }
        count
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(slice) = self.slice(self.index) {
            let left = slice.len() - self.offset;
            if written < left {
                self.offset += written;
                return;
            }
            written -= left;
            self.index += 1;
            self.offset = 0;
        }
    }
}

/// How writing ended.
enum Written {
    All,
    /// The response was complete before the request was: the server wants no more of it.
    Answered,
    /// The server takes no more; what it said before is still to be heard.
    Broken(io::Error),
}

pub(super) struct Connection {
    stream: Stream,
    buffer: Box<[u8]>,
    /// The peer has ended its side.
    ended: bool,
}

impl Connection {
    pub fn new(stream: Stream) -> Self {
        Self { stream, buffer: vec![0; READ_BYTES].into_boxed_slice(), ended: false }
    }

    /// Nothing has come since the last response: neither an end nor bytes that nobody asked for.
    pub fn is_quiet(&self) -> bool {
        !self.ended && self.stream.socket().is_quiet()
    }

    /// The stream again, to put TLS over it.
    pub fn into_stream(self) -> Stream {
        self.stream
    }

    /// Sends a request and receives its response; also says whether the connection may be used again.
    pub async fn exchange(
        &mut self,
        head: &[u8],
        body: Body<'_>,
        wait_for_continue: bool,
        mut parser: ResponseParser,
    ) -> Result<(Response, bool), Failure> {
        let mut outgoing = Outgoing { head, body, index: 0, offset: 0 };
        if wait_for_continue {
            self.write(&mut outgoing, &mut parser, true).await?;
            // Silence means that the server does not know the custom: the body goes then.
            let word = async {
                while !parser.may_send_body() {
                    poll_fn(|cx| self.poll_receive(cx, &mut parser)).await?;
                }
                Ok(())
            };
            if let Ok(failed @ Err(_)) = timeout(CONTINUE_WAIT, word).await {
                failed?;
            }
            let refused = parser.has_final_head();
            if refused {
                self.receive(&mut parser).await?;
                return Ok((parser.into_response(), false));
            }
        }
        let written = self.write(&mut outgoing, &mut parser, false).await?;
        let received = self.receive(&mut parser).await;
        if let (Written::Broken(error), Err(_)) = (&written, &received) {
            return Err(Failure::closed(error, &parser));
        }
        received?;
        let reusable = matches!(written, Written::All) && parser.keeps_alive() && !self.ended;
        Ok((parser.into_response(), reusable))
    }

    /// Writes what is outgoing, and listens meanwhile: a server that refuses a request early often
    /// stops reading it, and would never be heard.
    async fn write(
        &mut self,
        outgoing: &mut Outgoing<'_>,
        parser: &mut ResponseParser,
        hold_body: bool,
    ) -> Result<Written, Failure> {
        poll_fn(|cx| {
            loop {
                match self.poll_write_some(cx, outgoing, hold_body) {
                    Poll::Ready(Ok(true)) => continue,
                    Poll::Ready(Ok(false)) => return Poll::Ready(Ok(Written::All)),
                    Poll::Ready(Err(error)) => return Poll::Ready(Ok(Written::Broken(error))),
                    Poll::Pending => {}
                }
                while !self.ended && !parser.is_done() {
                    match self.poll_receive(cx, parser) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(failure)) => return Poll::Ready(Err(failure)),
                        Poll::Pending => return Poll::Pending,
                    }
                }
                if parser.is_done() {
                    return Poll::Ready(Ok(Written::Answered));
                }
                return Poll::Pending;
            }
        })
        .await
    }

    /// One write; `false` when there was nothing left and all is flushed.
    fn poll_write_some(
        &mut self,
        cx: &mut Context<'_>,
        outgoing: &mut Outgoing<'_>,
        hold_body: bool,
    ) -> Poll<io::Result<bool>> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = outgoing.fill(&mut slices, hold_body);
        if count == 0 {
            return self.stream.poll_flush(cx).map_ok(|()| false);
        }
        match ready!(self.stream.poll_write(cx, &slices[..count]))? {
            0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => {
                outgoing.advance(written);
                Poll::Ready(Ok(true))
            }
        }
    }

    async fn receive(&mut self, parser: &mut ResponseParser) -> Result<(), Failure> {
        while !parser.is_done() {
            poll_fn(|cx| self.poll_receive(cx, parser)).await?;
        }
        Ok(())
    }

    /// One read, to where the bytes belong.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        parser: &mut ResponseParser,
    ) -> Poll<Result<(), Failure>> {
        let window = match parser.window() {
            Ok(window) => window,
            Err(error) => return Poll::Ready(Err(Failure::new(error, parser))),
        };
        let direct = window.is_some();
        let target = window.unwrap_or(&mut self.buffer);
        let fed = match ready!(self.stream.poll_read(cx, target)) {
            Ok(0) => {
                self.ended = true;
                parser.close()
            }
            Ok(count) if direct => parser.advance(count),
            Ok(count) => parser.feed(&self.buffer[..count]).map(|taken| {
                // Bytes behind a response are of no request: the connection is out of step.
                self.ended |= taken < count;
            }),
            // A peer that ends TLS without a farewell has ended; a body of unknown length must not be
            // believed complete then, so that this stays an error.
            Err(error) => {
                self.ended = true;
                return Poll::Ready(Err(Failure::closed(&error, parser)));
            }
        };
        Poll::Ready(fed.map_err(|error| Failure::new(error, parser)))
    }
}
