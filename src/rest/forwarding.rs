//! A request that another worker is to answer: sent there, and its answer handed on.
//!
//! Two hops at most: what arrives without `forward` goes on with `forward=true`, what arrives with
//! that goes on with `forward=false`, and there it ends. So two workers that take each other for the
//! leader cannot play ball.

use axum::http::header::{AUTHORIZATION, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use millrace_herder::internal_requests::{ALGORITHM_HEADER, SIGNATURE_HEADER};
use serde_json::Value;

use crate::answer::{self, Failure, Outcome, empty};
use crate::app::{App, Asked};
use crate::connectors::with_location;
use crate::route::query;

/// Asks the worker at `url` (with the slash at its end) the same; `refused` is the answer where the
/// request may not go on.
pub(crate) async fn forward(app: &App, asked: &Asked, url: &str, refused: Failure) -> Outcome {
    let hop = query(&asked.query, "forward").next();
    let next = match &hop {
        None => true,
        Some(text) if text.eq_ignore_ascii_case("true") => false,
        Some(_) => return Err(refused),
    };
    let kept: Vec<&str> = asked
        .query
        .split('&')
        .filter(|pair| !pair.is_empty() && pair.split('=').next() != Some("forward"))
        .collect();
    let path = asked.path.trim_start_matches('/');
    let mut target = format!("{url}{path}?forward={next}");
    for pair in kept {
        target.push('&');
        target.push_str(pair);
    }
    tracing::debug!("forwarding {} {} to {url}", asked.method, asked.path);
    let sent = app.client.send(
        asked.method.clone(),
        &target,
        handed_on(&asked.headers),
        asked.body.clone(),
    );
    let answered = sent.await.map_err(|why| {
        Failure::internal(format!("IO Error trying to forward REST request: {why}"))
    })?;
    let status = answered.status;
    if status.is_client_error() || status.is_server_error() {
        return Err(Failure::new(status, answered.message()));
    }
    if !status.is_success() {
        let text = format!("Unexpected status code when handling forwarded request: {status}");
        return Err(Failure::internal(text));
    }
    if answered.body.is_empty() {
        return empty(status);
    }
    let body: Value = serde_json::from_slice(&answered.body).map_err(|error| {
        Failure::internal(format!("IO Error trying to forward REST request: {error}"))
    })?;
    let response: Response = answer::json(status, &body);
    // The other worker named itself; the client spoke to this one.
    Ok(match (status, body["name"].as_str()) {
        (StatusCode::CREATED, Some(name)) => with_location(response, asked, name),
        _ => response,
    })
}

/// Who asks is handed on, and a signature, which is the body's.
fn handed_on(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let signature = [SIGNATURE_HEADER, ALGORITHM_HEADER];
    let signature = signature.map(|name| HeaderName::from_bytes(name.as_bytes()));
    let names = std::iter::once(AUTHORIZATION).chain(signature.into_iter().flatten());
    names.filter_map(|name| Some((name.clone(), headers.get(&name)?.clone()))).collect()
}
