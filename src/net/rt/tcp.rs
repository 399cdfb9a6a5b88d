//! Sockets.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::exec::here;
use super::runtime::Runtime;
use super::sockets::Socket;
use super::{epoll, uring, watch};

/// The kernel's `IOV_MAX`.
const MAX_SLICES: usize = 1024;

/// A connection. `TCP_NODELAY` is always set. Implements the `futures` IO traits for TLS and HTTP.
pub struct TcpStream {
    /// Stands first: it is dropped before the socket is closed.
    _open: Socket,
    inner: Stream,
}

enum Stream {
    Uring(uring::TcpStream),
    Epoll(epoll::TcpStream),
}

/// The same on either engine.
macro_rules! on_either {
    ($stream:expr, $inner:pat => $work:expr) => {
        match $stream {
            Stream::Uring($inner) => $work,
            Stream::Epoll($inner) => $work,
        }
    };
}

impl TcpStream {
    fn new(inner: Stream) -> Self {
        let socket = match &inner {
            Stream::Uring(stream) => stream.as_raw_fd(),
            Stream::Epoll(stream) => stream.socket().as_raw_fd(),
        };
        Self { _open: Socket::new(socket), inner }
    }

    /// Connects to an address; names are resolved elsewhere, never on the core.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        watch::on_a_living_core().await;
        Ok(Self::new(match here() {
            Runtime::IoUring => Stream::Uring(uring::connect(address).await?),
            Runtime::Epoll => Stream::Epoll(epoll::TcpStream::connect(address).await?),
        }))
    }

    /// Reads what is there, at least one byte unless the peer has closed (0).
    pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        on_either!(&mut self.inner, stream => stream.read(buffer).await)
    }

    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        on_either!(&mut self.inner, stream => stream.write_all(bytes).await)
    }

    /// Writes the slices as if they were one, in as few calls as the kernel allows.
    pub async fn write_all_slices(&mut self, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut slices = slices;
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            match self.write_vectored(slices).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => IoSlice::advance_slices(&mut slices, written),
            }
        }
        Ok(())
    }

    /// The connection is open and nothing waits to be read: what an idle connection should be.
    pub fn is_quiet(&self) -> bool {
        let mut byte = [std::mem::MaybeUninit::uninit()];
        let peeked =
            self.with_socket(|s| s.recv_with_flags(&mut byte, libc::MSG_PEEK | libc::MSG_DONTWAIT));
        matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    fn with_socket<T>(&self, work: impl FnOnce(&socket2::Socket) -> T) -> T {
        match &self.inner {
            Stream::Uring(stream) => {
                // SAFETY: the descriptor is open as long as `stream`, which outlives the call.
                let fd = unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) };
                work(&socket2::SockRef::from(&fd))
            }
            Stream::Epoll(stream) => work(stream.socket()),
        }
    }

    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.inner {
            Stream::Uring(stream) => uring::peer_addr(stream),
            Stream::Epoll(stream) => stream.peer_addr(),
        }
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        on_either!(&mut self.inner, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        on_either!(&mut self.inner, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    /// One `sendmsg` where the socket has room; glommio itself knows only single slices, and waits.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let slices = &slices[..slices.len().min(MAX_SLICES)];
        let stream = match &mut self.inner {
            Stream::Epoll(stream) => return Pin::new(stream).poll_write_vectored(cx, slices),
            Stream::Uring(_) if slices.len() > 1 => {
                let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
                match self.with_socket(|s| s.send_vectored_with_flags(slices, flags)) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    sent => return Poll::Ready(sent),
                }
                &mut self.inner
            }
            stream => stream,
        };
        let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
        on_either!(stream, stream => Pin::new(stream).poll_write(cx, first))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_either!(&mut self.inner, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_either!(&mut self.inner, stream => Pin::new(stream).poll_close(cx))
    }
}

/// A listening socket.
pub struct TcpListener {
    /// As a stream's.
    _open: Socket,
    inner: Listener,
}

enum Listener {
    Uring(uring::TcpListener),
    Epoll(epoll::TcpListener),
}

impl TcpListener {
    /// Listens. Several listeners may share an address, also of several cores (`SO_REUSEPORT`): the
    /// kernel spreads connections over them.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let inner = match here() {
            Runtime::IoUring => Listener::Uring(uring::TcpListener::bind(address)?),
            Runtime::Epoll => Listener::Epoll(epoll::TcpListener::bind(address)?),
        };
        let socket = match &inner {
            Listener::Uring(listener) => listener.as_raw_fd(),
            Listener::Epoll(listener) => listener.as_raw_fd(),
        };
        Ok(Self { _open: Socket::new(socket), inner })
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.inner {
            Listener::Uring(listener) => listener.local_addr(),
            Listener::Epoll(listener) => listener.local_addr(),
        }
    }

    pub async fn accept(&self) -> io::Result<TcpStream> {
        Ok(TcpStream::new(match &self.inner {
            Listener::Uring(listener) => Stream::Uring(listener.accept().await?),
            Listener::Epoll(listener) => Stream::Epoll(listener.accept().await?),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::{on_core, spawn};

    #[test]
    fn slices_arrive_in_order_and_quiet_is_told_from_closed() {
        on_core(|| async {
            let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let address = listener.local_addr().unwrap();
            let reader = spawn(async move {
                let mut stream = listener.accept().await.unwrap();
                let mut all = Vec::new();
                stream.read_to_end(&mut all).await.unwrap();
                (all, stream)
            });
            let mut stream = TcpStream::connect(address).await.unwrap();
            assert!(stream.is_quiet());
            // More than a socket holds, so that writes come up short; empty ones among them.
            let parts: Vec<Vec<u8>> = (0..3000).map(|n| vec![n as u8; n % 7 * 1000]).collect();
            let mut slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
            stream.write_all_slices(&mut slices).await.unwrap();
            stream.write_all_slices(&mut [IoSlice::new(b"")]).await.unwrap();
            stream.write_all_slices(&mut []).await.unwrap();
            stream.close().await.unwrap();
            let (all, mut peer) = reader.await;
            assert!(all == parts.concat());
            peer.write_all(b"x").await.unwrap();
            let mut byte = [0];
            assert_eq!(stream.read(&mut byte).await.unwrap(), 1);
            assert!(stream.is_quiet());
            drop(peer);
            assert_eq!(stream.read(&mut byte).await.unwrap(), 0);
            assert!(!stream.is_quiet());
        });
    }

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let connecting = spawn(TcpStream::connect(address));
        let accepted = listener.accept().await.unwrap();
        let connected = connecting.await.unwrap();
        assert_eq!(connected.peer_addr().unwrap(), address);
        (connected, accepted)
    }

    #[test]
    fn both_directions_at_once() {
        on_core(|| async {
            const SIZE: usize = 6 << 20;
            let (left, right) = pair().await;
            let ends: Vec<_> = [left, right]
                .into_iter()
                .map(|stream| {
                    let (mut reader, mut writer) = stream.split();
                    let writing = spawn(async move {
                        let bytes: Vec<u8> = (0..SIZE).map(|n| (n % 251) as u8).collect();
                        writer.write_all(&bytes).await.unwrap();
                        writer.close().await.unwrap();
                    });
                    let reading = spawn(async move {
                        let mut all = Vec::new();
                        reader.read_to_end(&mut all).await.unwrap();
                        all
                    });
                    (writing, reading)
                })
                .collect();
            for (writing, reading) in ends {
                writing.await;
                let all = reading.await;
                assert_eq!(all.len(), SIZE);
                assert!(all.iter().enumerate().all(|(n, byte)| *byte == (n % 251) as u8));
            }
        });
    }

    #[test]
    fn a_given_up_read_loses_nothing() {
        on_core(|| async {
            let (mut left, mut right) = pair().await;
            let mut buffer = [0; 4];
            let limit = std::time::Duration::from_millis(2);
            assert!(crate::rt::timeout(limit, left.read(&mut buffer)).await.is_err());
            right.write_all(b"abcdef").await.unwrap();
            assert_eq!((left.read(&mut buffer).await.unwrap(), &buffer), (4, b"abcd"));
            assert_eq!(left.read(&mut buffer).await.unwrap(), 2);
            assert!(crate::rt::timeout(limit, left.read(&mut buffer)).await.is_err());
        });
    }

    #[test]
    fn what_cannot_connect_says_so_and_a_reset_ends_the_read() {
        on_core(|| async {
            let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let address = listener.local_addr().unwrap();
            drop(listener);
            let refused = TcpStream::connect(address).await.err().unwrap();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            let (mut left, right) = pair().await;
            let reading = spawn(async move { left.read(&mut [0; 8]).await });
            crate::rt::sleep(std::time::Duration::from_millis(1)).await;
            right.with_socket(|s| s.set_linger(Some(std::time::Duration::ZERO))).unwrap();
            drop(right);
            assert_eq!(reading.await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        });
    }
}
