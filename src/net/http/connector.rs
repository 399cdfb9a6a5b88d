//! From a URL to a connection: name, socket, proxy, TLS.

use std::io;
use std::time::{Duration, Instant};

use base64::Engine as _;

use super::client::ClientOptions;
use super::connection::{Connection, Stream};
use super::error::{ErrorKind, HttpError};
use super::parser::ResponseParser;
use super::request::{Body, push_header};
use super::url::{Scheme, Url};
use crate::names;
use crate::rt::{TcpStream, timeout};
use crate::tls::TlsConfig;

/// A proxy's answer to `CONNECT` has no body worth reading.
const PROXY_RESPONSE_BYTES: usize = 64 << 10;

/// A proxy and what to tell it.
pub(super) struct Proxy {
    pub url: Url,
    /// The value of `Proxy-Authorization`; empty if the proxy's URL names no user.
    pub authorization: String,
}

impl Proxy {
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url = Url::parse(&text).map_err(|error| format!("the proxy's URL: {error}"))?;
        if url.scheme != Scheme::Http {
            return Err("a proxy is spoken to by http://".to_owned());
        }
        let authorization = match &url.user_info {
            Some(user) => {
                let plain = percent_decoded(user);
                format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(plain))
            }
            None => String::new(),
        };
        Ok(Self { url, authorization })
    }
}

/// Bytes behind `%XX`; anything else as it is.
fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    decoded
}

/// Opens a connection to `url`'s server, through `proxy` if there is one, all within the limit for
/// connecting.
pub(super) async fn connect(
    options: &ClientOptions,
    proxy: Option<&Proxy>,
    tls: Option<&TlsConfig>,
    url: &Url,
) -> Result<Connection, HttpError> {
    let deadline = Instant::now() + options.connect_timeout;
    let via = proxy.map_or(url, |proxy| &proxy.url);
    let socket = open(via, deadline).await?;
    let Some(tls) = tls.filter(|_| url.scheme == Scheme::Https) else {
        return Ok(Connection::new(Stream::Plain(socket)));
    };
    let socket = match proxy {
        Some(proxy) => within(deadline, via, tunnel(socket, proxy, url)).await?,
        None => socket,
    };
    let handshake = async {
        tls.connect(&url.host, socket).await.map_err(|error| {
            let host = url.host_and_port();
            HttpError::new(ErrorKind::Tls, format!("TLS handshake with {host}: {error}"))
        })
    };
    let stream = within(deadline, url, handshake).await?;
    Ok(Connection::new(Stream::Tls(Box::new(stream))))
}

async fn within<T>(
    deadline: Instant,
    url: &Url,
    future: impl Future<Output = Result<T, HttpError>>,
) -> Result<T, HttpError> {
    let left = deadline.saturating_duration_since(Instant::now());
    timeout(left, future).await.unwrap_or_else(|_| Err(timed_out(url)))
}

fn timed_out(url: &Url) -> HttpError {
    let host = url.host_and_port();
    HttpError::new(ErrorKind::Timeout, format!("connecting to {host} took longer than allowed"))
}

/// A socket to the first of the server's addresses that answers.
async fn open(url: &Url, deadline: Instant) -> Result<TcpStream, HttpError> {
    let resolve = async {
        names::resolve(&url.host, url.port)
            .await
            .map_err(|error| HttpError::new(ErrorKind::Resolve, error.to_string()))
    };
    let addresses = within(deadline, url, resolve).await?;
    let mut last = timed_out(url);
    for (index, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        // A silent address must not use up the time of those behind it.
        let share = left / (addresses.len() - index) as u32;
        last = match timeout(share.max(Duration::from_millis(1)), TcpStream::connect(*address))
            .await
        {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(error)) => refused(url, &error),
            Err(_) => timed_out(url),
        };
    }
    names::forget(&url.host);
    Err(last)
}

fn refused(url: &Url, error: &io::Error) -> HttpError {
    let host = url.host_and_port();
    HttpError::new(ErrorKind::Connect, format!("cannot connect to {host}: {error}"))
}

/// Asks the proxy for a tunnel to `url`'s server.
async fn tunnel(socket: TcpStream, proxy: &Proxy, url: &Url) -> Result<TcpStream, HttpError> {
    let target = url.host_and_port();
    let mut head = format!("CONNECT {target} HTTP/1.1\r\n");
    push_header(&mut head, "Host", &target)?;
    if !proxy.authorization.is_empty() {
        push_header(&mut head, "Proxy-Authorization", &proxy.authorization)?;
    }
    head.push_str("\r\n");
    let mut connection = Connection::new(Stream::Plain(socket));
    let parser = ResponseParser::new(true, PROXY_RESPONSE_BYTES);
    let refused = |why: String| {
        let host = proxy.url.host_and_port();
        HttpError::new(ErrorKind::Connect, format!("the proxy {host}: {why}"))
    };
    let (response, _) = connection
        .exchange(head.as_bytes(), Body::Empty, false, parser)
        .await
        .map_err(|failure| refused(failure.message))?;
    if !response.is_success() {
        return Err(refused(format!("status {} for a tunnel to {target}", response.status)));
    }
    match connection.into_stream() {
        Stream::Plain(socket) => Ok(socket),
        Stream::Tls(_) => Err(refused("is spoken to in the clear".to_owned())),
    }
}
