//! Why an exchange failed, in the terms that a retry needs.

use std::fmt;

/// What went wrong. An HTTP status is not an error here: it stands in the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The name is not known, or the resolver does not answer.
    Resolve,
    /// No connection to any of the server's addresses, or the proxy refused.
    Connect,
    /// The TLS handshake failed, or TLS could not be set up.
    Tls,
    /// `connect_timeout` or `request_timeout` passed.
    Timeout,
    /// The connection broke before the whole response was there.
    Closed,
    /// The peer does not speak HTTP/1.1, or the request cannot be written in it.
    Protocol,
    /// The response is larger than `max_response_bytes`.
    TooLarge,
}

/// A failed exchange.
#[derive(Clone, Debug)]
pub struct HttpError {
    pub kind: ErrorKind,
    /// The request may have reached the server: what is not idempotent must not be repeated blindly.
    pub sent: bool,
    /// Names the server but neither path nor query, which may carry secrets.
    pub message: String,
}

impl HttpError {
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, sent: false, message: message.into() }
    }

    /// Trying again may help: the fault is of the network, not of the request.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Resolve | ErrorKind::Connect | ErrorKind::Timeout | ErrorKind::Closed
        )
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for HttpError {}
