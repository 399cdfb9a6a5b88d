//! Our own binary, run as a user runs it, and a small HTTP client for REST APIs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use super::process::Process;
use super::{free_port, wait_for};

/// What `MILLRACE_BINARY` names, else the release binary when it was built, else the one that cargo
/// built for the tests.
pub fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os("MILLRACE_BINARY") {
        return PathBuf::from(named);
    }
    let release = super::project().join("target/release/millrace");
    match option_env!("CARGO_BIN_EXE_millrace") {
        Some(built) if !release.exists() => PathBuf::from(built),
        _ => release,
    }
}

/// Runs a command to its end.
pub fn run(args: &[&str]) -> Output {
    Command::new(binary()).args(args).output().expect("our binary")
}

/// Writes a properties file and gives its path.
pub fn properties(dir: &Path, name: &str, pairs: &[(&str, &str)]) -> PathBuf {
    let text: String = pairs.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
    let path = dir.join(name);
    std::fs::write(&path, text).expect("a properties file");
    path
}

/// A worker file for that broker: JSON without schemas.
pub fn worker_file(dir: &Path, bootstrap: &str, more: &[(&str, &str)]) -> PathBuf {
    let offsets = dir.join("offsets.dat");
    let mut pairs = vec![
        ("bootstrap.servers", bootstrap),
        ("key.converter", "org.apache.kafka.connect.storage.StringConverter"),
        ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
        ("value.converter.schemas.enable", "false"),
        ("offset.storage.file.filename", offsets.to_str().expect("a path")),
        ("offset.flush.interval.ms", "1000"),
    ];
    pairs.extend_from_slice(more);
    properties(dir, "worker.properties", &pairs)
}

/// A standalone worker of ours.
pub struct Worker {
    pub process: Process,
    pub port: u16,
}

impl Worker {
    pub fn start(dir: &Path, bootstrap: &str, more: &[(&str, &str)], connectors: &[&Path]) -> Self {
        let port = free_port();
        let listener = format!("http://127.0.0.1:{port}");
        let mut pairs = vec![("listeners", listener.as_str())];
        pairs.extend_from_slice(more);
        let file = worker_file(dir, bootstrap, &pairs);
        let mut command = Command::new(binary());
        command.arg("connect-standalone").arg(&file).args(connectors);
        let process = Process::start(&mut command, &dir.join("worker.log"));
        let mut worker = Self { process, port };
        wait_for("our worker", Duration::from_secs(20), || {
            assert!(worker.process.exited().is_none(), "it died:\n{}", worker.process.log());
            get(port, "/connectors").is_some_and(|(status, _)| status == 200)
        });
        worker
    }

    pub fn get(&self, path: &str) -> (u16, serde_json::Value) {
        get(self.port, path).expect("an answer")
    }

    pub fn call(&self, method: &str, path: &str, body: &str) -> (u16, serde_json::Value) {
        call(self.port, method, path, body).expect("an answer")
    }
}

pub fn get(port: u16, path: &str) -> Option<(u16, serde_json::Value)> {
    call(port, "GET", path, "")
}

/// One request, one answer; JSON null for an empty or other body.
pub fn call(port: u16, method: &str, path: &str, body: &str) -> Option<(u16, serde_json::Value)> {
    call_with(port, method, path, &[], body)
}

/// As [`call`], with more headers.
pub fn call_with(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Option<(u16, serde_json::Value)> {
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(100))).ok()?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    exchange(stream, &request)
}

/// Sends a request that asks for the connection's end, and reads up to that.
pub fn exchange(mut stream: TcpStream, request: &str) -> Option<(u16, serde_json::Value)> {
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let text = String::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { dechunk(body) } else { body.to_owned() };
    Some((status, serde_json::from_str(&body).unwrap_or(serde_json::Value::Null)))
}

/// The content of a chunked body.
pub fn dechunk(mut rest: &str) -> String {
    let mut whole = String::new();
    while let Some((size, tail)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 {
            break;
        }
        whole.push_str(&tail[..size]);
        rest = tail[size..].trim_start_matches("\r\n");
    }
    whole
}
