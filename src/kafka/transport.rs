//! The byte stream to a broker: where the name is resolved, and where TLS and SASL will stand.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::io::{AsyncRead, AsyncWrite};
use millrace_net::rt::{TcpStream, timeout};

use crate::config::ClientConfig;
use crate::error::KafkaError;

/// An open stream. One variant a protocol; all else sees only reads and writes.
pub enum Transport {
    Plain(TcpStream),
}

impl Transport {
    /// Resolves, connects and (once they are there) does the TLS and SASL handshakes, all within
    /// `socket.connection.setup.timeout.ms`.
    pub async fn open(host: &str, port: u16, config: &ClientConfig) -> Result<Self, KafkaError> {
        let limit = config.connection_setup_timeout;
        let failed = |why: String| {
            KafkaError::disconnected(format!("cannot connect to {host}:{port}: {why}"))
        };
        let connect = async {
            let addresses = resolve(host, port).await.map_err(|why| failed(why.to_string()))?;
            let mut last = "the name has no address".to_owned();
            for address in addresses {
                match TcpStream::connect(address).await {
                    Ok(stream) => return Ok(Self::Plain(stream)),
                    Err(error) => last = error.to_string(),
                }
            }
            Err(failed(last))
        };
        timeout(limit, connect)
            .await
            .unwrap_or_else(|_| Err(failed(format!("no answer in {} ms", limit.as_millis()))))
    }

    pub fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }

    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
        }
    }
}

/// Addresses of a name. Literal addresses cost nothing; names are asked for on a thread of their
/// own, because the system's resolver blocks.
async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<std::net::IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let (answer, wait) = flume::bounded(1);
    let host = host.to_owned();
    std::thread::Builder::new().name("resolver".to_owned()).spawn(move || {
        let found = (host.as_str(), port).to_socket_addrs().map(|found| found.collect::<Vec<_>>());
        // Nobody waits any more if the setup timed out meanwhile.
        let _ = answer.send(found);
    })?;
    let mut found = wait
        .recv_async()
        .await
        .map_err(|_| io::Error::other("the resolver's thread ended without an answer"))??;
    // Brokers listen on IPv4 far more often than on IPv6 alone.
    found.sort_by_key(SocketAddr::is_ipv6);
    Ok(found)
}
