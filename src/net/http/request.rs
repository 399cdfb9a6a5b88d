//! Requests, and how their heads are written.

use super::error::{ErrorKind, HttpError};
use super::url::{Url, check_target};

/// The request methods that connectors use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    Get,
    Head,
    Put,
    Post,
    Delete,
    Patch,
    Options,
}

impl Method {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
            Self::Patch => "PATCH",
            Self::Options => "OPTIONS",
        }
    }

    /// Doing it twice is as good as once (RFC 9110, 9.2.2).
    pub fn is_idempotent(self) -> bool {
        !matches!(self, Self::Post | Self::Patch)
    }

    /// An empty body is worth mentioning.
    fn expects_body(self) -> bool {
        matches!(self, Self::Put | Self::Post | Self::Patch)
    }
}

impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What follows the head: written to the socket as it is, never gathered.
#[derive(Clone, Copy, Debug, Default)]
pub enum Body<'a> {
    #[default]
    Empty,
    Bytes(&'a [u8]),
    Slices(&'a [&'a [u8]]),
}

impl<'a> Body<'a> {
    /// Bytes altogether.
    pub fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len(),
            Self::Slices(slices) => slices.iter().map(|slice| slice.len()).sum(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The `index`-th slice.
    pub(super) fn slice(&self, index: usize) -> Option<&'a [u8]> {
        match self {
            Self::Empty => None,
            Self::Bytes(bytes) => (index == 0).then_some(*bytes),
            Self::Slices(slices) => slices.get(index).copied(),
        }
    }
}

/// One request. `Content-Length` is set by the client, `Host` and `User-Agent` unless they are among
/// the headers. With an `Expect: 100-continue` among them the body waits for the server's word (a
/// second at most), which spares a large upload that would be refused.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub method: Method,
    pub url: &'a Url,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: Body<'a>,
}

impl Request<'_> {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| *v)
    }

    /// The body waits for `100 Continue`.
    pub(super) fn waits_for_continue(&self) -> bool {
        !self.body.is_empty()
            && self.header("expect").is_some_and(|v| v.eq_ignore_ascii_case("100-continue"))
    }

    /// Writes the head. `via_proxy` is the `Proxy-Authorization` for a plain-HTTP proxy, which wants
    /// the whole URL in the request line.
    pub(super) fn write_head(
        &self,
        user_agent: &str,
        via_proxy: Option<&str>,
    ) -> Result<Vec<u8>, HttpError> {
        let url = self.url;
        let refuse = |why: String| HttpError::new(ErrorKind::Protocol, why);
        check_target(&url.path_and_query).map_err(refuse)?;
        let length = self.body.len();
        let mut head = String::with_capacity(512);
        head.push_str(self.method.as_str());
        head.push(' ');
        if via_proxy.is_some() {
            head.push_str("http://");
            head.push_str(&url.authority());
        }
        head.push_str(&url.path_and_query);
        head.push_str(" HTTP/1.1\r\n");
        if self.header("host").is_none() {
            push_header(&mut head, "Host", &url.authority())?;
        }
        if self.header("user-agent").is_none() && !user_agent.is_empty() {
            push_header(&mut head, "User-Agent", user_agent)?;
        }
        if let Some(authorization) = via_proxy.filter(|text| !text.is_empty()) {
            push_header(&mut head, "Proxy-Authorization", authorization)?;
        }
        for (name, value) in self.headers {
            if name.eq_ignore_ascii_case("content-length") {
                // Signers list it among the headers; ours is the one that is sent.
                if value.trim().parse() != Ok(length) {
                    return Err(refuse(format!("Content-Length {value} for {length} bytes")));
                }
                continue;
            }
            if name.eq_ignore_ascii_case("transfer-encoding") {
                return Err(refuse("Transfer-Encoding is not for the caller to set".to_owned()));
            }
            push_header(&mut head, name, value)?;
        }
        if length > 0 || self.method.expects_body() {
            push_header(&mut head, "Content-Length", &length.to_string())?;
        }
        head.push_str("\r\n");
        Ok(head.into_bytes())
    }
}

/// One header line; refuses what would end the line early or is no token (RFC 9110, 5.1 and 5.5).
pub(super) fn push_header(head: &mut String, name: &str, value: &str) -> Result<(), HttpError> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(HttpError::new(ErrorKind::Protocol, format!("{name:?} is no header name")));
    }
    if value.bytes().any(|b| (b < b' ' && b != b'\t') || b == 0x7f) {
        return Err(HttpError::new(
            ErrorKind::Protocol,
            format!("the value of the header {name} holds a control character"),
        ));
    }
    head.push_str(name);
    head.push_str(": ");
    head.push_str(value);
    head.push_str("\r\n");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(headers: &[(&str, &str)], method: Method, body: Body<'_>) -> Result<String, HttpError> {
        let url = Url::parse("http://h:9000/a?b").unwrap();
        let request = Request { method, url: &url, headers, body };
        request.write_head("m/1", None).map(|head| String::from_utf8(head).unwrap())
    }

    #[test]
    fn heads() {
        assert_eq!(
            head(&[("X", "1")], Method::Get, Body::Empty).unwrap(),
            "GET /a?b HTTP/1.1\r\nHost: h:9000\r\nUser-Agent: m/1\r\nX: 1\r\n\r\n"
        );
        assert_eq!(
            head(
                &[("host", "other"), ("user-agent", "me"), ("content-length", "3")],
                Method::Put,
                Body::Slices(&[b"a", b"", b"bc"])
            )
            .unwrap(),
            "PUT /a?b HTTP/1.1\r\nhost: other\r\nuser-agent: me\r\nContent-Length: 3\r\n\r\n"
        );
        assert!(head(&[], Method::Post, Body::Empty).unwrap().contains("Content-Length: 0\r\n"));
    }

    #[test]
    fn nothing_is_smuggled() {
        for header in [
            ("X\r\nY", "1"),
            ("X", "1\r\nY: 2"),
            ("", "1"),
            ("X Y", "1"),
            ("X", "a\0"),
            ("Content-Length", "4"),
            ("Transfer-Encoding", "chunked"),
        ] {
            let error = head(&[header], Method::Put, Body::Bytes(b"abc")).unwrap_err();
            assert_eq!((error.kind, error.sent), (ErrorKind::Protocol, false), "{header:?}");
        }
        let mut url = Url::parse("http://h/").unwrap();
        url.path_and_query = "/a HTTP/1.1\r\nX: y".to_owned();
        let request = Request { method: Method::Get, url: &url, headers: &[], body: Body::Empty };
        assert!(request.write_head("", None).is_err());
    }
}
