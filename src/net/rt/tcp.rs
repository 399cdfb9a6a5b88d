//! Sockets.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

fn lift<T>(error: glommio::GlommioError<T>) -> io::Error {
    error.into()
}

/// A connection. `TCP_NODELAY` is always set. Implements the `futures` IO traits for TLS and HTTP.
pub struct TcpStream(glommio::net::TcpStream);

impl TcpStream {
    /// Connects to an address; names are resolved elsewhere, never on the core.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = glommio::net::TcpStream::connect(address).await.map_err(lift)?;
        stream.set_nodelay(true).map_err(lift)?;
        Ok(Self(stream))
    }

    /// Reads what is there, at least one byte unless the peer has closed (0).
    pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).await
    }

    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await
    }

    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr().map_err(lift)
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

/// A listening socket.
pub struct TcpListener(glommio::net::TcpListener);

impl TcpListener {
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        glommio::net::TcpListener::bind(address).map(Self).map_err(lift)
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr().map_err(lift)
    }

    pub async fn accept(&self) -> io::Result<TcpStream> {
        let stream = self.0.accept().await.map_err(lift)?;
        stream.set_nodelay(true).map_err(lift)?;
        Ok(TcpStream(stream))
    }
}
