//! The client: a pool of connections and the rules for trying again.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Response;
use super::connection::{Connection, Failure};
use super::connector::{self, Proxy};
use super::error::{ErrorKind, HttpError};
use super::parser::ResponseParser;
use super::pool::{Key, Pool};
use super::request::{Method, Request};
use super::url::{Scheme, Url};
use crate::rt::timeout;
use crate::tls::{TlsConfig, TlsOptions};

/// How a client behaves; everything has a default.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// For name, socket, proxy and TLS together. 10 s.
    pub connect_timeout: Duration,
    /// From the first byte of the request to the last of the response, a repetition included; give it
    /// room for the largest body. 60 s.
    pub request_timeout: Duration,
    /// Largest body of a response. 64 MiB.
    pub max_response_bytes: usize,
    /// Idle connections kept for a server. 4.
    pub idle_per_host: usize,
    /// `None`: the system's roots, read when the first `https` URL comes.
    pub tls: Option<Rc<TlsConfig>>,
    /// `http://[user:password@]host:port`: `http` requests are handed to it, `https` ones tunnelled.
    pub proxy: Option<String>,
    pub user_agent: String,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(60),
            max_response_bytes: 64 << 20,
            idle_per_host: 4,
            tls: None,
            proxy: None,
            user_agent: concat!("millrace/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

struct Inner {
    options: ClientOptions,
    proxy: Option<Result<Proxy, String>>,
    system_tls: OnceCell<TlsConfig>,
    pool: RefCell<Pool>,
}

/// A client of one core; clones share its connections.
#[derive(Clone)]
pub struct Client(Rc<Inner>);

impl Client {
    pub fn new(options: ClientOptions) -> Self {
        let proxy = options.proxy.as_deref().map(Proxy::parse);
        Self(Rc::new(Inner {
            options,
            proxy,
            system_tls: OnceCell::new(),
            pool: RefCell::default(),
        }))
    }

    /// Sends a request and gives the whole response, whatever its status.
    ///
    /// An idle connection that turns out to be closed before a byte of the response is replaced, once,
    /// if the method is idempotent. Dropping the future closes the connection.
    pub async fn send(&self, request: Request<'_>) -> Result<Response, HttpError> {
        let proxy = self.proxy()?;
        let url = request.url;
        let authorization =
            proxy.filter(|_| url.scheme == Scheme::Http).map(|proxy| proxy.authorization.as_str());
        let head = request.write_head(&self.0.options.user_agent, authorization)?;
        let key = Key { scheme: url.scheme, host: url.host.clone(), port: url.port };
        let deadline = Instant::now() + self.0.options.request_timeout;
        let mut repeated = false;
        let idle = self.0.pool.borrow_mut().take(&key, Instant::now());
        if let Some(connection) = idle {
            match self.exchange(connection, &request, &head, &key, deadline).await {
                Ok(response) => return Ok(response),
                Err(failure)
                    if failure.kind == ErrorKind::Closed
                        && !failure.response_started
                        && request.method.is_idempotent() =>
                {
                    self.0.pool.borrow_mut().clear(&key);
                    repeated = true;
                }
                Err(failure) => return Err(described(&request, failure)),
            }
        }
        let tls = self.tls(url.scheme).await?;
        let connection = connector::connect(&self.0.options, proxy, tls, url)
            .await
            .map_err(|error| HttpError { sent: repeated, ..error })?;
        // Time that a new connection took does not count against the request.
        let deadline =
            if repeated { deadline } else { Instant::now() + self.0.options.request_timeout };
        self.exchange(connection, &request, &head, &key, deadline)
            .await
            .map_err(|failure| described(&request, failure))
    }

    async fn exchange(
        &self,
        mut connection: Connection,
        request: &Request<'_>,
        head: &[u8],
        key: &Key,
        deadline: Instant,
    ) -> Result<Response, Failure> {
        let options = &self.0.options;
        let parser =
            ResponseParser::new(request.method == Method::Head, options.max_response_bytes);
        let exchange =
            connection.exchange(head, request.body, request.waits_for_continue(), parser);
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(outcome) = timeout(left, exchange).await else {
            let message = format!("no whole response in {:?}", options.request_timeout);
            return Err(Failure { kind: ErrorKind::Timeout, message, response_started: false });
        };
        let (response, reusable) = outcome?;
        let wants_close =
            request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if reusable && !wants_close {
            let mut pool = self.0.pool.borrow_mut();
            pool.put(key.clone(), connection, options.idle_per_host, Instant::now());
        }
        Ok(response)
    }

    fn proxy(&self) -> Result<Option<&Proxy>, HttpError> {
        match &self.0.proxy {
            None => Ok(None),
            Some(Ok(proxy)) => Ok(Some(proxy)),
            Some(Err(error)) => Err(HttpError::new(ErrorKind::Connect, error.clone())),
        }
    }

    async fn tls(&self, scheme: Scheme) -> Result<Option<&TlsConfig>, HttpError> {
        if scheme == Scheme::Http {
            return Ok(None);
        }
        if let Some(tls) = &self.0.options.tls {
            return Ok(Some(tls));
        }
        if self.0.system_tls.get().is_none() {
            let config = TlsConfig::load(TlsOptions::default())
                .await
                .map_err(|error| HttpError::new(ErrorKind::Tls, error))?;
            // Another request may have been quicker; either will do.
            let _ = self.0.system_tls.set(config);
        }
        Ok(self.0.system_tls.get())
    }

    #[cfg(test)]
    pub(crate) fn idle_connections(&self) -> usize {
        self.0.pool.borrow().len()
    }
}

/// Names the method and the server; the path may carry secrets.
fn described(request: &Request<'_>, failure: Failure) -> HttpError {
    let Url { scheme, .. } = request.url;
    let (method, host) = (request.method, request.url.authority());
    HttpError {
        kind: failure.kind,
        sent: true,
        message: format!("{method} {scheme}://{host}: {}", failure.message),
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
