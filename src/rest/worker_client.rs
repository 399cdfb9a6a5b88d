//! Requests to other workers of the cluster: forwarded ones and the herder's own.
//!
//! A connection a request, as the JVM's workers have it: they are few, and a worker that went away
//! leaves nothing behind. Redirects are not followed.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderName, USER_AGENT};
use axum::http::uri::Scheme;
use axum::http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use millrace_herder::internal_requests::{
    ALGORITHM_HEADER, InternalClient, InternalDone, InternalFailure, InternalRequest,
    SIGNATURE_HEADER,
};
use millrace_herder::tls::{TlsConfig, TlsOptions};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// For name, socket and TLS together.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// From the request to the whole answer: what another worker itself may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(90);
/// Most bytes of an answer.
const ANSWER_BYTES: usize = 64 << 20;
/// Requests of the herder that wait to be sent.
const WAITING: usize = 1024;

/// What another worker answered.
pub(crate) struct Answered {
    pub status: StatusCode,
    pub body: Bytes,
}

/// An error's body.
#[derive(Deserialize)]
pub(crate) struct ErrorMessage {
    pub message: Option<String>,
}

impl Answered {
    /// The message of an error, as far as there is one.
    pub fn message(&self) -> String {
        let parsed = serde_json::from_slice::<ErrorMessage>(&self.body).ok();
        parsed.and_then(|error| error.message).unwrap_or_default()
    }
}

/// Speaks to other workers, on the REST thread.
pub(crate) struct WorkerClient {
    options: TlsOptions,
    /// Read when the first https URL comes.
    tls: OnceLock<Result<TlsConfig, String>>,
}

impl WorkerClient {
    pub fn new(options: TlsOptions) -> Self {
        Self { options, tls: OnceLock::new() }
    }

    /// Sends JSON, or nothing, and gives the whole answer. The error is the reason alone.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: Vec<(HeaderName, HeaderValue)>,
        body: Bytes,
    ) -> Result<Answered, String> {
        let uri: Uri = url.parse().map_err(|error| format!("{url}: {error}"))?;
        let host = uri.host().ok_or_else(|| format!("{url} names no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = uri.scheme() == Some(&Scheme::HTTPS);
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let request = request(method, &uri, headers, body)?;
        let exchange = async {
            if tls {
                let stream = within(CONNECT_LIMIT, self.connect_tls(&host, port)).await??;
                exchange(stream, request).await
            } else {
                let stream = within(CONNECT_LIMIT, connect(&host, port)).await??;
                exchange(stream, request).await
            }
        };
        within(ANSWER_LIMIT, exchange).await?
    }

    async fn connect_tls(
        &self,
        host: &str,
        port: u16,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, String> {
        let config = self.tls.get_or_init(|| TlsConfig::new(&self.options)).clone()?;
        let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
        let stream = connect(host, port).await?;
        let connector = TlsConnector::from(config.client_config());
        connector.connect(name, stream).await.map_err(|error| error.to_string())
    }
}

async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Result<T, String> {
    tokio::time::timeout(limit, future).await.map_err(|_| format!("no answer within {limit:?}"))
}

async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    TcpStream::connect((host, port)).await.map_err(|error| format!("{host}:{port}: {error}"))
}

fn request(
    method: Method,
    uri: &Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, String> {
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .header(HOST, host)
        .header(USER_AGENT, "kafka-connect")
        .header(ACCEPT, "application/json")
        .header(CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.body(Full::new(body)).map_err(|error| error.to_string())
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Answered, String> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    // Ends with the sender.
    let driver = tokio::spawn(connection);
    let answered = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        Ok(Answered { status, body })
    };
    let answered = answered.await;
    driver.abort();
    answered
}

/// The herder's way to other workers: its requests are carried by the REST thread.
pub(crate) struct InternalRequests(flume::Sender<(InternalRequest, InternalDone)>);

/// The other end.
pub(crate) type InternalInbox = flume::Receiver<(InternalRequest, InternalDone)>;

impl InternalRequests {
    pub fn new() -> (Self, InternalInbox) {
        let (sender, inbox) = flume::bounded(WAITING);
        (Self(sender), inbox)
    }
}

impl InternalClient for InternalRequests {
    fn send(&self, request: InternalRequest, done: InternalDone) {
        let failed = |message: &str| InternalFailure { status: None, message: message.to_owned() };
        match self.0.try_send((request, done)) {
            Ok(()) => {}
            Err(flume::TrySendError::Full((_, done))) => {
                done(Err(failed("too many requests wait to be sent to other workers")));
            }
            Err(flume::TrySendError::Disconnected((_, done))) => {
                done(Err(failed("Worker is shutting down")));
            }
        }
    }
}

/// Carries the herder's requests until it is gone.
pub(crate) async fn carry(client: Arc<WorkerClient>, inbox: InternalInbox) {
    while let Ok((request, done)) = inbox.recv_async().await {
        let client = Arc::clone(&client);
        tokio::spawn(async move { done(internal(&client, request).await) });
    }
}

async fn internal(client: &WorkerClient, request: InternalRequest) -> Result<(), InternalFailure> {
    let failed = |message: String| InternalFailure { status: None, message };
    let method =
        Method::from_bytes(request.method.as_bytes()).map_err(|error| failed(error.to_string()))?;
    let mut headers = Vec::new();
    for (name, value) in request
        .signature
        .into_iter()
        .flat_map(|(mac, algorithm)| [(SIGNATURE_HEADER, mac), (ALGORITHM_HEADER, algorithm)])
    {
        let name = HeaderName::from_bytes(name.as_bytes());
        let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value)) else {
            return Err(failed("the signature cannot be a header".to_owned()));
        };
        headers.push((name, value));
    }
    let sent = client.send(method, &request.url, headers, request.body.into());
    let answered = sent.await.map_err(failed)?;
    if answered.status.is_success() {
        return Ok(());
    }
    Err(InternalFailure { status: Some(answered.status.as_u16()), message: answered.message() })
}
