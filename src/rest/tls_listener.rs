//! An https listener: handshakes stand beside one another, so that a client that hesitates keeps
//! nobody waiting.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use millrace_herder::tls::ServerTls;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a client may take to shake hands.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// Handshakes at the same time; further clients wait in the socket's queue.
const HANDSHAKES: usize = 256;
/// After an error of accepting, such as too many open files.
const REST: Duration = Duration::from_millis(100);

type Accepted = (TlsStream<TcpStream>, SocketAddr);

/// Gives connections whose handshake is done.
pub(crate) struct TlsListener {
    accepted: mpsc::Receiver<Accepted>,
    address: SocketAddr,
    accepting: tokio::task::JoinHandle<()>,
}

impl TlsListener {
    /// Within a runtime.
    pub fn new(listener: TcpListener, tls: &ServerTls) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (ready, accepted) = mpsc::channel(16);
        let acceptor = TlsAcceptor::from(tls.config());
        let accepting = tokio::spawn(accept(listener, acceptor, ready));
        Ok(Self { accepted, address, accepting })
    }
}

impl Drop for TlsListener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, ready: mpsc::Sender<Accepted>) {
    let room = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "an https connection was not accepted");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        let (acceptor, ready) = (acceptor.clone(), ready.clone());
        tokio::spawn(async move {
            let _permit = permit;
            match tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => drop(ready.send((stream, address)).await),
                Ok(Err(error)) => tracing::debug!(%error, %address, "a TLS handshake failed"),
                Err(_) => tracing::debug!(%address, "a TLS handshake took too long"),
            }
        });
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.accepted.recv().await {
            Some(accepted) => accepted,
            // The accepting task lives as long as this one.
            None => pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.address)
    }
}
