//! The nodes of a cluster: one request, on a node that can be reached.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use millrace_api::error::ConnectError;
use millrace_net::http::{
    Body, Client, ClientOptions, ErrorKind, HttpError, Method, Request, Response, Url,
};
use millrace_net::tls::TlsConfig;
use millrace_net::{offload, rt};

use super::config::Connection;

/// A request may take this much longer per byte of its body: 1 MB/s.
const NANOS_PER_BYTE: u64 = 1000;
/// Answers to bulk requests hold a few bytes an action, and the errors of the refused ones.
const MAX_ANSWER: usize = 64 << 20;
/// The longest wait between two attempts.
const MAX_BACKOFF: Duration = Duration::from_secs(10);

/// The client's side of a cluster.
pub struct Cluster {
    client: Client,
    connection: Connection,
    /// The node that the next request goes to.
    next: Cell<usize>,
    seed: Cell<u64>,
}

impl Cluster {
    /// Reads TLS files; connects to nobody yet.
    pub async fn new(connection: Connection, max_in_flight: usize) -> Result<Self, ConnectError> {
        let tls =
            match connection.tls.clone() {
                Some(stores) => {
                    let open = move || TlsConfig::new(&stores.open()?);
                    let opened = offload::run(open).await.map_err(|error| error.to_string());
                    let opened = opened.and_then(|opened| opened);
                    Some(Rc::new(opened.map_err(|why| {
                        ConnectError::fatal(format!("elastic.https.ssl.*: {why}"))
                    })?))
                }
                None => None,
            };
        let client = Client::new(ClientOptions {
            connect_timeout: connection.connect_timeout,
            // Each request has its own limit around it.
            request_timeout: Duration::from_secs(7 * 86_400),
            max_response_bytes: MAX_ANSWER,
            idle_per_host: max_in_flight + 1,
            tls,
            proxy: connection.proxy.clone(),
            ..ClientOptions::default()
        });
        // Any seed will do: it spreads the waits of tasks.
        let seed = std::ptr::from_ref(&connection) as u64 | 1;
        Ok(Self { client, connection, next: Cell::new(0), seed: Cell::new(seed) })
    }

    pub fn is_proxied(&self) -> bool {
        self.connection.proxy.is_some()
    }

    pub fn max_retries(&self) -> u32 {
        self.connection.max_retries
    }

    pub fn compresses(&self) -> bool {
        self.connection.gzip
    }

    /// Sends a request to the nodes in turn until one takes it; the answer may be a refusal.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Body<'_>,
    ) -> Result<Response, HttpError> {
        let nodes = &self.connection.nodes;
        let first = self.next.get();
        self.next.set((first + 1) % nodes.len().max(1));
        let mut all: Vec<(&str, &str)> = headers.to_vec();
        if let Some(authorization) = &self.connection.authorization {
            all.push(("Authorization", authorization));
        }
        let mut last = None;
        for turn in 0..nodes.len() {
            let node = &nodes[(first + turn) % nodes.len()];
            let url = node.with_path(format!("{}{path}", node.path().trim_end_matches('/')));
            let request = Request { method, url: &url, headers: &all, body };
            match self.within_limit(request).await {
                // A connection that the server had closed meanwhile says nothing about the server.
                Err(error) if error.kind == ErrorKind::Closed => {
                    return self.within_limit(request).await;
                }
                Err(error) if !error.sent && error.is_transient() => last = Some(error),
                outcome => return outcome,
            }
        }
        Err(last.unwrap_or_else(|| HttpError {
            kind: ErrorKind::Connect,
            sent: false,
            message: "connection.url names no node".to_owned(),
        }))
    }

    async fn within_limit(&self, request: Request<'_>) -> Result<Response, HttpError> {
        let sending = Duration::from_nanos(request.body.len() as u64 * NANOS_PER_BYTE);
        let limit = self.connection.connect_timeout + self.connection.read_timeout + sending;
        rt::timeout(limit, self.client.send(request)).await.unwrap_or_else(|_| {
            Err(HttpError {
                kind: ErrorKind::Timeout,
                sent: true,
                message: format!(
                    "{} gave no answer within read.timeout.ms ({} ms)",
                    request.url.host_and_port(),
                    self.connection.read_timeout.as_millis()
                ),
            })
        })
    }

    /// The wait before attempt `attempt + 1`: anything up to the back-off, which doubles.
    pub fn backoff(&self, attempt: u32) -> Duration {
        let whole = self.connection.backoff.saturating_mul(1 << attempt.min(20)).min(MAX_BACKOFF);
        let mut x = self.seed.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.seed.set(x);
        whole.mul_f64((x >> 11) as f64 / (1u64 << 53) as f64)
    }

    /// A request beside the documents' way, tried `max.retries` times more while the cluster cannot
    /// be reached or says that it is busy.
    pub async fn call(
        &self,
        what: &str,
        method: Method,
        path: &str,
        body: Option<&[u8]>,
    ) -> Result<Response, ConnectError> {
        let (headers, body): (&[_], _) = match body {
            Some(body) => (&[("Content-Type", "application/json")], Body::Bytes(body)),
            None => (&[], Body::Empty),
        };
        let mut attempt = 0;
        loop {
            attempt += 1;
            let why = match self.send(method, path, headers, body).await {
                Ok(answer) if !matches!(answer.status, 429 | 502..=504) => return Ok(answer),
                Ok(answer) => format!("HTTP {}", answer.status),
                Err(error) => error.to_string(),
            };
            if attempt > self.connection.max_retries {
                return Err(ConnectError::fatal(format!(
                    "Failed to {what} due to '{why}' after {attempt} attempt(s)"
                )));
            }
            let wait = self.backoff(attempt);
            tracing::warn!(
                "Failed to {what} due to {why}. Trying again in {} ms",
                wait.as_millis()
            );
            rt::sleep(wait).await;
        }
    }

    /// Where the first node is, for messages.
    pub fn address(&self) -> String {
        self.connection.nodes.first().map(Url::to_string).unwrap_or_default()
    }
}
