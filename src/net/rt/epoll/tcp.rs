//! Sockets over the reactor.

use std::io::{self, IoSlice, Read};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::io::{AsyncRead, AsyncWrite};
use socket2::{Domain, Protocol, Socket, Type};

use super::executor::Core;
use super::reactor::Watched;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

fn make(address: &SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(*address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn inet(address: &socket2::SockAddr) -> io::Result<SocketAddr> {
    address.as_socket().ok_or_else(|| io::Error::other("the socket has no IP address"))
}

/// A connection. `watched` stands first: it is dropped before the socket is closed.
pub(in crate::rt) struct TcpStream {
    watched: Watched,
    socket: Socket,
}

impl TcpStream {
    fn new(socket: Socket) -> io::Result<Self> {
        socket.set_tcp_nodelay(true)?;
        let watched = Core::here().reactor.watch(&socket)?;
        Ok(Self { watched, socket })
    }

    pub(in crate::rt) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let socket = make(&address)?;
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => {}
        }
        // Watched from here on only: a socket that does not connect yet counts as broken.
        let stream = Self::new(socket)?;
        std::future::poll_fn(|cx| {
            loop {
                ready!(stream.watched.poll_writable(cx));
                if let Some(error) = stream.socket.take_error()? {
                    return Poll::Ready(Err(error));
                }
                match stream.socket.peer_addr() {
                    Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                        stream.watched.filled();
                    }
                    connected => return Poll::Ready(connected.map(drop)),
                }
            }
        })
        .await?;
        Ok(stream)
    }

    pub(in crate::rt) fn peer_addr(&self) -> io::Result<SocketAddr> {
        inet(&self.socket.peer_addr()?)
    }

    pub(in crate::rt) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Makes room for `wanted` bytes' worth of calls of `send` until one gets through.
    fn poll_send(
        &self,
        cx: &Context<'_>,
        wanted: usize,
        mut send: impl FnMut(&Socket) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.watched.poll_writable(cx));
            match send(&self.socket) {
                Ok(sent) => {
                    if sent < wanted {
                        self.watched.filled();
                    }
                    return Poll::Ready(Ok(sent));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.watched.filled(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.watched.poll_readable(cx));
            match (&self.socket).read(buffer) {
                Ok(read) => {
                    if read < buffer.len() {
                        self.watched.emptied();
                    }
                    return Poll::Ready(Ok(read));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.watched.drained(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, bytes.len(), |socket| socket.send_with_flags(bytes, libc::MSG_NOSIGNAL))
    }

    /// At most as many slices as the kernel takes.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wanted = slices.iter().map(|slice| slice.len()).sum();
        self.poll_send(cx, wanted, |s| s.send_vectored_with_flags(slices, libc::MSG_NOSIGNAL))
    }

    /// Nothing is held back here.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends this side of the connection.
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.socket.shutdown(Shutdown::Write))
    }
}

/// A listening socket; the order of its fields is as in [`TcpStream`].
pub(in crate::rt) struct TcpListener {
    watched: Watched,
    socket: Socket,
}

impl TcpListener {
    pub(in crate::rt) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = make(&address)?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let watched = Core::here().reactor.watch(&socket)?;
        Ok(Self { watched, socket })
    }

    pub(in crate::rt) fn local_addr(&self) -> io::Result<SocketAddr> {
        inet(&self.socket.local_addr()?)
    }

    pub(in crate::rt) fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    pub(in crate::rt) async fn accept(&self) -> io::Result<TcpStream> {
        std::future::poll_fn(|cx| {
            loop {
                ready!(self.watched.poll_readable(cx));
                match self.socket.accept() {
                    Ok((socket, _)) => {
                        socket.set_nonblocking(true)?;
                        return Poll::Ready(TcpStream::new(socket));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.watched.drained();
                    }
                    // A connection that was given up before it was accepted is no error of ours.
                    Err(error)
                        if matches!(
                            error.kind(),
                            io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
                        ) => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
        })
        .await
    }
}
