//! Answers: JSON bodies, and errors as `{"error_code":…,"message":…}`.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use hyper::ext::ReasonPhrase;
use millrace_herder::requests::{ErrorStatus, HerderError};
use serde::Serialize;
use serde_json::json;

/// An answer other than success.
#[derive(Debug)]
pub(crate) struct Failure {
    pub status: StatusCode,
    pub message: String,
    /// The URL of the worker that can answer, if it is another one.
    pub elsewhere: Option<Arc<str>>,
}

/// What handlers give.
pub(crate) type Outcome = Result<Response, Failure>;

impl Failure {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), elsewhere: None }
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// "HTTP 404 Not Found": what the JVM's web framework says by itself.
    pub fn http(status: StatusCode) -> Self {
        let reason = match status {
            StatusCode::PAYLOAD_TOO_LARGE => "Request Entity Too Large",
            other => other.canonical_reason().unwrap_or_default(),
        };
        Self::new(status, format!("HTTP {} {reason}", status.as_u16()))
    }

    pub fn into_response(self) -> Response {
        json(self.status, &json!({"error_code": self.status.as_u16(), "message": self.message}))
    }
}

impl From<HerderError> for Failure {
    fn from(error: HerderError) -> Self {
        let status = match error.status {
            ErrorStatus::BadRequest => StatusCode::BAD_REQUEST,
            ErrorStatus::Forbidden => StatusCode::FORBIDDEN,
            ErrorStatus::NotFound => StatusCode::NOT_FOUND,
            ErrorStatus::Conflict => StatusCode::CONFLICT,
            ErrorStatus::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let elsewhere = error.redirect.map(|redirect| redirect.url);
        Self { elsewhere, ..Self::new(status, error.message) }
    }
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let (status, text) = match serde_json::to_vec(body) {
        Ok(text) => (status, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string().into_bytes()),
    };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        // The JVM's server says so, and clients repeat it to their users.
        response.extensions_mut().insert(ReasonPhrase::from_static(b"Server Error"));
    }
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// 200 with JSON.
pub(crate) fn ok(body: &impl Serialize) -> Outcome {
    Ok(json(StatusCode::OK, body))
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Outcome {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    Ok(response)
}
