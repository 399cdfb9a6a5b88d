//! The basic auth extension: who may use the API at all.
//!
//! As in the JVM: requests between workers pass, which have signatures of their own; a request that no
//! resource would answer is refused before anybody asks who sent it; listeners of `admin.listeners`
//! are not covered.

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use millrace_herder::rest_security::Users;

use crate::answer::Failure;
use crate::internal::base64;
use crate::route::Route;

/// `Some` is the refusal. A header that is not Base64 is the JVM's 500.
pub(crate) fn refuse(
    users: &Users,
    method: &Method,
    route: &Route,
    headers: &HeaderMap,
) -> Result<Option<Response>, Failure> {
    let between_workers = match route {
        Route::Tasks(_) => method == Method::POST,
        Route::Fence(_) => method == Method::PUT,
        _ => false,
    };
    if between_workers {
        return Ok(None);
    }
    let credentials = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let credentials = credentials.map(credentials_of).transpose()?.flatten();
    let (user, password) = credentials.unwrap_or_default();
    if users.admits(&user, &password) {
        return Ok(None);
    }
    let mut response = Response::new("User cannot access the resource.".into());
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(Some(response))
}

/// User and password of `Basic …`; `None` for another scheme.
fn credentials_of(header: &str) -> Result<Option<(String, String)>, Failure> {
    let Some((scheme, encoded)) = header.split_once(' ') else { return Ok(None) };
    if !scheme.eq_ignore_ascii_case("basic") {
        return Ok(None);
    }
    let bytes = base64(encoded).map_err(Failure::internal)?;
    let text = String::from_utf8_lossy(&bytes);
    let both = text.split_once(':').filter(|(user, _)| !user.is_empty());
    Ok(both.map(|(user, password)| (user.to_owned(), password.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(users: &str, method: &Method, route: &Route, header: Option<&str>) -> u16 {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert(AUTHORIZATION, header.parse().unwrap());
        }
        match refuse(&Users::parse(users), method, route, &headers) {
            Ok(None) => 200,
            Ok(Some(response)) => response.status().as_u16(),
            Err(failure) => failure.status.as_u16(),
        }
    }

    #[test]
    fn who_may_come_in() {
        // alice:secret, alice:wrong, :secret, alice
        for (header, expected) in [
            (None, 401),
            (Some("Basic YWxpY2U6c2VjcmV0"), 200),
            (Some("bAsIc YWxpY2U6c2VjcmV0"), 200),
            (Some("Basic YWxpY2U6d3Jvbmc="), 401),
            (Some("Basic OnNlY3JldA=="), 401),
            (Some("Basic YWxpY2U="), 401),
            (Some("Bearer YWxpY2U6c2VjcmV0"), 401),
            (Some("Basic"), 401),
            (Some("Basic !!!"), 500),
        ] {
            let given = status("alice=secret", &Method::GET, &Route::Root, header);
            assert_eq!(given, expected, "{header:?}");
        }
        assert_eq!(status("", &Method::GET, &Route::Root, None), 200, "an empty file admits all");
    }

    #[test]
    fn workers_pass() {
        let name = || "a".to_owned();
        for (method, route, expected) in [
            (Method::POST, Route::Tasks(name()), 200),
            (Method::GET, Route::Tasks(name()), 401),
            (Method::PUT, Route::Fence(name()), 200),
            (Method::OPTIONS, Route::Fence(name()), 401),
            (Method::PUT, Route::Pause(name()), 401),
        ] {
            assert_eq!(status("a=b", &method, &route, None), expected, "{method} {route:?}");
        }
    }
}
