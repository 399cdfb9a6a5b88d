//! One connection to a broker, shared by all tasks of its core: several requests are in flight,
//! and the broker answers them in order.
//!
//! A task of its own does all reading and writing, so that a caller may drop its call at any time
//! without leaving half a request on the wire; an answer nobody waits for is thrown away.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::Request;
use millrace_net::rt::{Task, spawn_urgent, timeout};

use crate::config::ClientConfig;
use crate::error::{ErrorKind, KafkaError};
use crate::local::{Sender, oneshot};
use crate::transport::Transport;
use crate::versions::api_name;
use crate::wire::{MAX_RESPONSE_BYTES, Session, Wire, frame_length};

/// Most requests in flight on one connection; more is a fault of the caller.
const MAX_IN_FLIGHT: usize = 1024;
/// Bytes read at once; longer answers are read in place.
const READ_BYTES: usize = 8 << 10;
/// A response grows by at most this much ahead of the bytes that have arrived.
const GROW_BYTES: usize = 256 << 10;

/// A shared connection; cheap to clone. It closes when the last clone goes.
#[derive(Clone)]
pub struct Connection {
    inner: Rc<Inner>,
    /// Reads and writes until the last clone is dropped.
    _driver: Rc<Task<()>>,
}

struct Inner {
    session: Rc<Session>,
    outgoing: RefCell<VecDeque<Bytes>>,
    pending: RefCell<VecDeque<Pending>>,
    driver: RefCell<Option<Waker>>,
    broken: RefCell<Option<KafkaError>>,
    used: Cell<Instant>,
}

struct Pending {
    correlation: i32,
    answer: Sender<Result<Bytes, KafkaError>>,
}

impl Connection {
    /// Connects, agrees on versions, starts the task that serves the connection.
    pub async fn open(
        host: &str,
        port: u16,
        node: i32,
        config: &ClientConfig,
    ) -> Result<Self, KafkaError> {
        Ok(Self::from_wire(Wire::open(host, port, node, config).await?))
    }

    pub fn from_wire(wire: Wire) -> Self {
        let (session, transport) = wire.into_parts();
        let inner = Rc::new(Inner {
            session,
            outgoing: RefCell::default(),
            pending: RefCell::default(),
            driver: RefCell::default(),
            broken: RefCell::default(),
            used: Cell::new(Instant::now()),
        });
        let driver = spawn_urgent(serve(inner.clone(), transport));
        Self { inner, _driver: Rc::new(driver) }
    }

    /// The broker, as `localhost:9092 (node 1)`.
    pub fn broker(&self) -> &Rc<str> {
        &self.inner.session.broker
    }

    /// The version of `key` that both sides speak, for requests that are built differently.
    pub fn version(&self, key: ApiKey) -> Result<i16, KafkaError> {
        self.inner.session.version(key)
    }

    /// Why the connection can't be used any more; `None` while it can.
    pub fn broken(&self) -> Option<KafkaError> {
        self.inner.broken.borrow().clone()
    }

    /// The broker will end the authentication: a new connection is to take over.
    pub fn is_expired(&self) -> bool {
        self.inner.session.is_expired()
    }

    /// Time since the last request, or zero while one is in flight.
    pub fn idle(&self) -> Duration {
        match self.inner.pending.borrow().is_empty() {
            true => self.inner.used.get().elapsed(),
            false => Duration::ZERO,
        }
    }

    /// Sends `request` and waits for its answer. An error inside the answer is the caller's to
    /// find. Without an answer within `limit` the connection is given up, as nothing behind this
    /// request could be answered either.
    pub async fn call<R: Request>(
        &self,
        request: &R,
        limit: Duration,
    ) -> Result<R::Response, KafkaError> {
        let encoded = self.inner.session.encode(request)?;
        let place = |error: KafkaError| error.at(api_name(R::KEY), self.broker());
        let (answer, wait) = oneshot();
        self.enqueue(encoded.bytes, Some(Pending { correlation: encoded.correlation, answer }))
            .map_err(place)?;
        let frame = match timeout(limit, wait).await {
            Ok(Some(frame)) => frame.map_err(place)?,
            Ok(None) => return Err(place(KafkaError::closed("the connection was closed"))),
            Err(_) => {
                let why = format!("no answer within {} ms", limit.as_millis());
                let error = place(KafkaError::new(ErrorKind::Timeout, why));
                self.inner.fail(error.clone());
                return Err(error);
            }
        };
        self.inner.session.decode::<R>(frame, encoded.version)
    }

    /// Sends a request that the broker does not answer: Produce with `acks=0`.
    pub fn send_unanswered<R: Request>(&self, request: &R) -> Result<(), KafkaError> {
        let encoded = self.inner.session.encode(request)?;
        self.enqueue(encoded.bytes, None)
    }

    fn enqueue(&self, bytes: Bytes, pending: Option<Pending>) -> Result<(), KafkaError> {
        let inner = &self.inner;
        if let Some(error) = &*inner.broken.borrow() {
            return Err(error.clone());
        }
        if inner.pending.borrow().len() >= MAX_IN_FLIGHT {
            let why = format!("{MAX_IN_FLIGHT} requests wait for an answer already");
            return Err(KafkaError::new(ErrorKind::Retriable, why));
        }
        inner.outgoing.borrow_mut().push_back(bytes);
        inner.pending.borrow_mut().extend(pending);
        inner.used.set(Instant::now());
        inner.wake_driver();
        Ok(())
    }
}

impl Inner {
    fn wake_driver(&self) {
        let waker = self.driver.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ends the connection for everyone. The first reason stays.
    fn fail(&self, error: KafkaError) {
        let error = self.broken.borrow_mut().get_or_insert(error).clone();
        let pending = std::mem::take(&mut *self.pending.borrow_mut());
        for waiting in pending {
            waiting.answer.send(Err(error.clone()));
        }
        self.wake_driver();
    }

    /// Hands a whole response to the call that waits for it.
    fn deliver(&self, frame: Bytes) -> Result<(), KafkaError> {
        let correlation = (&frame[..]).try_get_i32().unwrap_or(-1);
        let Some(waiting) = self.pending.borrow_mut().pop_front() else {
            return Err(KafkaError::corrupt("an answer to no request"));
        };
        if waiting.correlation != correlation {
            let why = format!("an answer to request {correlation}, not {}", waiting.correlation);
            waiting.answer.send(Err(KafkaError::corrupt(why.clone())));
            return Err(KafkaError::corrupt(why));
        }
        if !waiting.answer.is_abandoned() {
            waiting.answer.send(Ok(frame));
        }
        Ok(())
    }
}

/// The connection's task: ends when it is broken; being dropped closes the socket.
async fn serve(inner: Rc<Inner>, mut transport: Transport) {
    let mut assembler = Assembler::default();
    let error = poll_fn(|cx| {
        if let Some(error) = inner.broken.borrow().clone() {
            return Poll::Ready(error);
        }
        *inner.driver.borrow_mut() = Some(cx.waker().clone());
        if let Err(error) = write_outgoing(&inner, &mut transport, cx) {
            return Poll::Ready(error);
        }
        loop {
            let step = BUFFER.with_borrow_mut(|buffer| {
                match transport.poll_read(cx, assembler.space(buffer)) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(Ok(0)) => Poll::Ready(Err(inner.session.closed())),
                    Poll::Ready(Ok(read)) => {
                        let deliver = |frame| inner.deliver(frame);
                        Poll::Ready(assembler.filled(read, buffer, deliver))
                    }
                    Poll::Ready(Err(error)) => Poll::Ready(Err(transport.failure(&error))),
                }
            });
            match step {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(error),
            }
        }
    })
    .await;
    let error = if error.broker.is_some() { error } else { error.at("", &inner.session.broker) };
    inner.fail(error);
}

fn write_outgoing(
    inner: &Inner,
    transport: &mut Transport,
    cx: &mut Context<'_>,
) -> Result<(), KafkaError> {
    let mut outgoing = inner.outgoing.borrow_mut();
    let mut wrote = false;
    while let Some(front) = outgoing.front_mut() {
        match transport.poll_write(cx, front) {
            Poll::Ready(Ok(0)) => return Err(KafkaError::disconnected("nothing could be written")),
            Poll::Ready(Ok(written)) => {
                wrote = true;
                front.advance(written);
                if front.is_empty() {
                    outgoing.pop_front();
                }
            }
            Poll::Ready(Err(error)) => return Err(transport.failure(&error)),
            Poll::Pending => return Ok(()),
        }
    }
    match wrote.then(|| transport.poll_flush(cx)) {
        Some(Poll::Ready(Err(error))) => Err(transport.failure(&error)),
        _ => Ok(()),
    }
}

thread_local! {
    /// What arrives lies here for a moment only: one for all connections of the core.
    static BUFFER: RefCell<[u8; READ_BYTES]> = const { RefCell::new([0; READ_BYTES]) };
}

/// Cuts the stream into responses. Short ones are copied out of a small buffer; the rest of a long
/// one is read where it stays.
#[derive(Default)]
struct Assembler {
    prefix: [u8; 4],
    prefix_len: usize,
    frame: BytesMut,
    /// Bytes of the frame that have arrived, and its whole length; 0 between frames.
    have: usize,
    want: usize,
}

impl Assembler {
    /// Where the next bytes go: `buffer`, or the frame itself.
    fn space<'a>(&'a mut self, buffer: &'a mut [u8]) -> &'a mut [u8] {
        if self.want - self.have > READ_BYTES {
            if self.frame.len() == self.have {
                self.frame.resize((self.have + GROW_BYTES).min(self.want), 0);
            }
            return &mut self.frame[self.have..];
        }
        buffer
    }

    /// Takes the `read` bytes that [`Self::space`] got.
    fn filled(
        &mut self,
        read: usize,
        buffer: &[u8],
        mut deliver: impl FnMut(Bytes) -> Result<(), KafkaError>,
    ) -> Result<(), KafkaError> {
        if self.want - self.have > READ_BYTES {
            self.have += read;
            return self.end_frame(&mut deliver);
        }
        let mut rest = &buffer[..read];
        while !rest.is_empty() {
            self.take(&mut rest)?;
            self.end_frame(&mut deliver)?;
        }
        Ok(())
    }

    /// Moves bytes of the length, or of the frame, from `rest`.
    fn take(&mut self, rest: &mut &[u8]) -> Result<(), KafkaError> {
        if self.want == 0 {
            let part = rest.len().min(4 - self.prefix_len);
            self.prefix[self.prefix_len..][..part].copy_from_slice(&rest[..part]);
            self.prefix_len += part;
            *rest = &rest[part..];
            if self.prefix_len == 4 {
                self.want = frame_length(self.prefix, MAX_RESPONSE_BYTES)?;
            }
            return Ok(());
        }
        let part = rest.len().min(self.want - self.have);
        self.frame.truncate(self.have);
        self.frame.extend_from_slice(&rest[..part]);
        self.have += part;
        *rest = &rest[part..];
        Ok(())
    }

    fn end_frame(
        &mut self,
        deliver: &mut impl FnMut(Bytes) -> Result<(), KafkaError>,
    ) -> Result<(), KafkaError> {
        if self.want == 0 || self.have < self.want {
            return Ok(());
        }
        self.prefix_len = 0;
        self.have = 0;
        self.want = 0;
        deliver(std::mem::take(&mut self.frame).freeze())
    }
}

#[cfg(test)]
mod tests {
    //! Responses come out whole however the stream is cut.
    use super::*;

    fn pour(stream: &[u8], cut: usize) -> Result<Vec<Bytes>, KafkaError> {
        let (mut assembler, mut buffer) = (Assembler::default(), [0; READ_BYTES]);
        let mut frames = Vec::new();
        let mut rest = stream;
        while !rest.is_empty() {
            let space = assembler.space(&mut buffer);
            let part = rest.len().min(cut).min(space.len());
            space[..part].copy_from_slice(&rest[..part]);
            rest = &rest[part..];
            assembler.filled(part, &buffer, |frame| {
                frames.push(frame);
                Ok(())
            })?;
        }
        Ok(frames)
    }

    #[test]
    fn any_cut_gives_the_same_frames() {
        let bodies: Vec<Vec<u8>> =
            [4, 5, 100, 9000, 300_000, 7].map(|length| vec![length as u8; length]).to_vec();
        let mut stream = Vec::new();
        for body in &bodies {
            stream.extend((body.len() as i32).to_be_bytes());
            stream.extend(body);
        }
        for cut in [1, 2, 3, 5, 17, 4096, 8192, 10_000, usize::MAX] {
            let frames = pour(&stream, cut).unwrap();
            assert!(frames.iter().eq(bodies.iter()), "cut {cut}");
        }
    }

    #[test]
    fn a_senseless_length_is_refused() {
        for length in [-1i32, 0, 3, i32::MAX, i32::from_be_bytes(*b"HTTP")] {
            let error = pour(&length.to_be_bytes(), 4).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Corrupt);
        }
    }
}
