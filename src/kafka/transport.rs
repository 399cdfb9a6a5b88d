//! The byte stream to a broker: its name resolved, TLS around it where `security.protocol` says so.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::io::{AsyncRead, AsyncWrite};
use millrace_net::names;
use millrace_net::rt::{TcpStream, timeout};
use millrace_net::tls::{HandshakeFault, TlsStream};

use crate::config::{ClientConfig, Tls};
use crate::error::KafkaError;

/// An open stream; all else sees only reads and writes.
pub struct Transport {
    stream: Stream,
    /// Encrypted bytes may wait in the TLS layer: reading drives them out.
    unflushed: bool,
}

/// One variant a protocol.
enum Stream {
    Plain(TcpStream),
    /// With what to say of the server's late alerts.
    Tls(Box<TlsStream>, Tls),
}

impl Transport {
    /// Resolves, connects and shakes hands, all within `socket.connection.setup.timeout.ms`. A
    /// certificate that is refused, by us or by the broker, is an error that is not retriable.
    pub async fn open(host: &str, port: u16, config: &ClientConfig) -> Result<Self, KafkaError> {
        let limit = config.connection_setup_timeout;
        let failed = |why: String| {
            KafkaError::disconnected(format!("cannot connect to {host}:{port}: {why}"))
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let open = async {
            let stream = connect(bare, port).await.map_err(&failed)?;
            let Some(tls) = &config.security.tls else { return Ok(Stream::Plain(stream)) };
            match tls.config.connect(bare, stream).await {
                Ok(stream) => Ok(Stream::Tls(Box::new(stream), tls.clone())),
                Err(error) => Err(refused(tls, &error, host, port)),
            }
        };
        let stream = timeout(limit, open)
            .await
            .unwrap_or_else(|_| Err(failed(format!("no answer in {} ms", limit.as_millis()))))?;
        Ok(Self { stream, unflushed: false })
    }

    pub fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.unflushed
            && let Poll::Ready(Err(error)) = self.poll_flush(cx)
        {
            return Poll::Ready(Err(error));
        }
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, into),
            Stream::Tls(stream, _) => Pin::new(stream).poll_read(cx, into),
        }
    }

    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream, _) => {
                self.unflushed = true;
                Pin::new(stream).poll_write(cx, bytes)
            }
        }
    }

    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream, _) => Pin::new(stream).poll_flush(cx),
        };
        self.unflushed &= flushed.is_pending();
        flushed
    }

    /// A failed read or write in words and kind. With TLS 1.3 a broker tells only after the handshake
    /// that it does not take our certificate.
    pub fn failure(&self, error: &io::Error) -> KafkaError {
        match &self.stream {
            Stream::Tls(_, tls) if HandshakeFault::of(error) == HandshakeFault::ClientRefused => {
                KafkaError::config(tls.explain(HandshakeFault::ClientRefused, error))
            }
            _ => KafkaError::disconnected(error.to_string()),
        }
    }
}

/// A socket to the first of the name's addresses that answers.
async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    let mut addresses = names::resolve(host, port).await.map_err(|error| error.to_string())?;
    // Brokers listen on IPv4 far more often than on IPv6 alone.
    addresses.sort_by_key(std::net::SocketAddr::is_ipv6);
    let mut last = "the name has no address".to_owned();
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error.to_string(),
        }
    }
    // It may have moved.
    names::forget(host);
    Err(last)
}

/// A failed handshake: retriable if the connection broke, else a matter of the settings.
fn refused(tls: &Tls, error: &io::Error, host: &str, port: u16) -> KafkaError {
    let fault = HandshakeFault::of(error);
    let why = format!("SSL handshake with {host}:{port} failed: {}", tls.explain(fault, error));
    match fault {
        HandshakeFault::Broken => KafkaError::disconnected(why),
        _ => KafkaError::config(why),
    }
}
