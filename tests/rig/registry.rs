//! The real Apicurio registry, whose Confluent-compatible API converters speak to, and a gate to put
//! in front of it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::process::Process;
use super::worker::call;
use super::{free_port, wait_for};

/// Where Apicurio has the API that Confluent's clients know.
const API: &str = "/apis/ccompat/v7";

/// A running registry; its data is in a folder of its own and outlives a restart.
pub struct Registry {
    process: Mutex<Process>,
    port: u16,
    dir: tempfile::TempDir,
}

/// The registry that tests share; each takes subjects of its own.
pub fn shared() -> &'static Registry {
    static SHARED: OnceLock<Registry> = OnceLock::new();
    SHARED.get_or_init(Registry::start)
}

fn jar() -> PathBuf {
    let jar =
        super::cache().join("apicurio-2.6.13.Final/apicurio-registry-app-2.6.13.Final-runner.jar");
    assert!(jar.is_file(), "no {}: run tests/run systems", jar.display());
    jar
}

impl Registry {
    pub fn start() -> Self {
        let (dir, port) = (tempfile::tempdir().expect("a folder"), free_port());
        let process = Mutex::new(Self::process(&dir, port));
        let registry = Self { process, port, dir };
        registry.wait();
        registry
    }

    fn process(dir: &tempfile::TempDir, port: u16) -> Process {
        let mut command = Command::new("java");
        command
            .args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg(format!("-Dquarkus.http.port={port}"))
            .args(["-Dquarkus.http.host=127.0.0.1", "-jar"])
            .arg(jar())
            .env("REGISTRY_DATASOURCE_URL", format!("jdbc:h2:file:{}/data", dir.path().display()))
            .current_dir(dir.path());
        Process::start(&mut command, &dir.path().join("registry.log"))
    }

    fn wait(&self) {
        wait_for("the registry", Duration::from_secs(120), || {
            let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
            assert!(process.exited().is_none(), "it died:\n{}", process.log());
            call(self.port, "GET", &format!("{API}/subjects"), "")
                .is_some_and(|(status, _)| status == 200)
        });
    }

    /// For `schema.registry.url`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}{API}", self.port)
    }

    /// What the registry says of `path`.
    pub fn get(&self, path: &str) -> (u16, serde_json::Value) {
        call(self.port, "GET", &format!("{API}{path}"), "").expect("an answer")
    }

    /// Sends JSON to `path`.
    pub fn post(&self, path: &str, body: &str) -> (u16, serde_json::Value) {
        call(self.port, "POST", &format!("{API}{path}"), body).expect("an answer")
    }

    /// SIGKILL.
    pub fn stop(&self) {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).kill();
    }

    /// The same registry again: the same port, the same data.
    pub fn start_again(&self) {
        let process = Self::process(&self.dir, self.port);
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = process;
        self.wait();
    }

    /// A gate in front of it that lets in who brings these credentials (`user:password` in Base64).
    pub fn gate(&self, credentials: &'static str) -> Gate {
        Gate::start(self.port, credentials)
    }
}

/// A stand-in for a registry's own authentication: passes on to the real registry what bears the
/// right `Authorization`, answers 401 to everything else, and notes the paths that were asked for.
pub struct Gate {
    pub port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    closed: Arc<AtomicBool>,
}

impl Gate {
    fn start(behind: u16, credentials: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let port = listener.local_addr().expect("an address").port();
        let (asked, closed) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let gate = Self { port, asked: Arc::clone(&asked), closed: Arc::clone(&closed) };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if closed.load(Ordering::Relaxed) {
                    return;
                }
                let asked = Arc::clone(&asked);
                std::thread::spawn(move || pass(stream, behind, credentials, &asked));
            }
        });
        gate
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}{API}", self.port)
    }

    /// The paths that were asked for, below the API's own, in order.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// One request of one connection, which ends with it.
fn pass(mut client: TcpStream, behind: u16, credentials: &str, asked: &Mutex<Vec<String>>) {
    let _ = client.set_read_timeout(Some(Duration::from_secs(60)));
    let Some((head, body)) = request(&mut client) else { return };
    let path = head.split(' ').nth(1).unwrap_or_default();
    let path = path.strip_prefix(API).unwrap_or(path).to_owned();
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(path);
    let expected = format!("authorization: basic {}", credentials.to_ascii_lowercase());
    if !head.to_ascii_lowercase().lines().any(|line| line == expected) {
        let refusal =
            "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
        let _ = client.write_all(refusal.as_bytes());
        return;
    }
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", behind)) else { return };
    let mut lines: Vec<&str> = head
        .lines()
        .filter(|line| !line.is_empty() && !line.to_ascii_lowercase().starts_with("connection:"))
        .collect();
    lines.push("Connection: close\r\n\r\n");
    let _ = server.write_all(lines.join("\r\n").as_bytes());
    let _ = server.write_all(&body);
    let mut answer = Vec::new();
    let _ = server.read_to_end(&mut answer);
    let _ = client.write_all(&answer);
}

/// Head and body of a request.
fn request(client: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let count = client.read(&mut piece).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&piece[..count]);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let length = head
            .lines()
            .find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
            })
            .unwrap_or(0usize);
        while bytes.len() < end + 4 + length {
            let count = client.read(&mut piece).ok().filter(|count| *count > 0)?;
            bytes.extend_from_slice(&piece[..count]);
        }
        return Some((head, bytes[end + 4..].to_vec()));
    }
}
