//! The measured worker asked over its REST API: small, blocking, with a limit on every wait.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// What one question may take.
const LIMIT: Duration = Duration::from_secs(5);
/// What is read of an answer.
const MOST: u64 = 64 << 20;

/// A port of loopback that nobody listens on now.
pub(super) fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// The body of `GET path`, if the answer is 200.
pub(super) fn get(port: u16, path: &str) -> Option<String> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, LIMIT).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    stream.set_write_timeout(Some(LIMIT)).ok()?;
    // HTTP/1.0: the end of the body is the end of the stream, and nothing is chunked.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer).ok()?;
    let text = String::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    (head.split(' ').nth(1)? == "200").then(|| body.to_owned())
}

/// What the status says of the connector: `Ok(true)` once all its tasks run, `Err` with the trace
/// of what failed.
pub(super) fn running(port: u16, connector: &str) -> Result<bool, String> {
    let Some(body) = get(port, &format!("/connectors/{connector}/status")) else {
        return Ok(false);
    };
    let Ok(status) = serde_json::from_str::<serde_json::Value>(&body) else { return Ok(false) };
    let tasks: Vec<_> = status["tasks"].as_array().into_iter().flatten().collect();
    for part in std::iter::once(&status["connector"]).chain(tasks.iter().copied()) {
        if part["state"] == "FAILED" {
            return Err(part["trace"].as_str().unwrap_or("no trace").to_owned());
        }
    }
    Ok(!tasks.is_empty() && tasks.iter().all(|task| task["state"] == "RUNNING"))
}
