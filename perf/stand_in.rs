//! A stand-in for Elasticsearch that answers at once: it counts the lines of bulk requests and says that
//! all went well. It proves nothing about Elasticsearch; it leaves our side's cost alone in the figure.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

static LINES: AtomicU64 = AtomicU64::new(0);

/// Where it listens; started when first asked for.
pub fn url() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let port = listener.local_addr().expect("an address").port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || serve(stream));
            }
        });
        format!("http://127.0.0.1:{port}")
    })
}

/// Index actions taken so far: two lines each.
pub fn actions() -> u64 {
    LINES.load(Ordering::SeqCst) / 2
}

fn serve(stream: TcpStream) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::with_capacity(1 << 20, stream);
    let mut body = Vec::new();
    loop {
        let (mut line, mut length) = (String::new(), 0);
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            let Some((name, value)) = header.trim().split_once(": ") else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().ok()?;
            }
        }
        body.resize(length, 0);
        reader.read_exact(&mut body).ok()?;
        if line.starts_with("POST /_bulk") {
            let lines = body.iter().filter(|byte| **byte == b'\n').count();
            LINES.fetch_add(lines as u64, Ordering::SeqCst);
        }
        // An existing index has no body to a HEAD; its length may be told all the same.
        let answer = "{\"errors\":false,\"items\":[]}";
        let body = if line.starts_with("HEAD") { "" } else { answer };
        let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", answer.len());
        writer.write_all(text.as_bytes()).ok()?;
    }
}
