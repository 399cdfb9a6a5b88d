//! versitygw, a real S3 gateway whose objects are plain files in a folder.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use super::process::Process;
use super::{free_port, wait_for};

pub const ACCESS_KEY: &str = "millrace";
pub const SECRET_KEY: &str = "millrace-secret";

pub struct S3 {
    process: Mutex<Process>,
    port: u16,
    dir: tempfile::TempDir,
}

/// The gateway that tests share; each takes a bucket of its own.
pub fn shared() -> &'static S3 {
    static SHARED: OnceLock<S3> = OnceLock::new();
    SHARED.get_or_init(S3::start)
}

impl S3 {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// With more of the gateway's own arguments.
    pub fn start_with(more: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join("buckets")).expect("a folder");
        let port = free_port();
        Self { process: Mutex::new(gateway(dir.path(), port, more)), port, dir }
    }

    /// SIGKILL to the gateway.
    pub fn stop(&self) {
        self.process.lock().expect("no test panicked while holding it").kill();
    }

    /// A gateway that was stopped, again: the same buckets, the same port.
    pub fn start_again(&self) {
        let process = gateway(self.dir.path(), self.port, &[]);
        *self.process.lock().expect("no test panicked while holding it") = process;
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A new bucket: the gateway's are folders.
    pub fn bucket(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join("buckets").join(name);
        std::fs::create_dir(&path).expect("a new bucket");
        path
    }
}

/// A gateway that answers.
fn gateway(dir: &Path, port: u16, more: &[&str]) -> Process {
    let binary = std::env::var_os("MILLRACE_VERSITYGW")
        .map_or_else(|| super::cache().join("bin/versitygw"), PathBuf::from);
    assert!(binary.exists(), "no {}: run tests/run systems", binary.display());
    let process = Process::start(
        Command::new(binary)
            .env("ROOT_ACCESS_KEY", ACCESS_KEY)
            .env("ROOT_SECRET_KEY", SECRET_KEY)
            .args(["--port", &format!("127.0.0.1:{port}")])
            .args(more)
            .arg("posix")
            .arg(dir.join("buckets")),
        &dir.join("versitygw.log"),
    );
    wait_for("versitygw", Duration::from_secs(20), || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    process
}

/// The keys of every object below a bucket's folder, sorted, without the gateway's own files.
pub fn keys(bucket: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![bucket.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(bucket).expect("below the bucket");
            if name.starts_with(".sgwtmp") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(name.to_str().expect("a key").to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Every object below a bucket's folder, by key.
pub fn objects(bucket: &Path) -> Vec<(String, Vec<u8>)> {
    let read = |key: String| {
        let bytes = std::fs::read(bucket.join(&key)).expect("an object");
        (key, bytes)
    };
    keys(bucket).into_iter().map(read).collect()
}
