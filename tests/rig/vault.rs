//! OpenBao, the free Vault: the genuine server in its development mode, over http and https.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::process::Process;
use super::secured::certificates;
use super::worker::call_with;
use super::{cache, free_port, wait_for};

pub const ROOT: &str = "root";

/// A server with an empty KV store of version 2 at `secret`.
pub struct Vault {
    _process: Process,
    port: u16,
    tls_port: u16,
}

impl Vault {
    /// Its https certificate is signed by `ca.pem` in `dir`.
    pub fn start(dir: &Path) -> Self {
        certificates(dir);
        // It takes the port behind the one that it is told, too.
        let two_free = || {
            let port = free_port();
            let next = port.checked_add(1)?;
            TcpListener::bind(("127.0.0.1", next)).is_ok().then_some(port)
        };
        let port = std::iter::repeat_with(two_free).flatten().next().expect("two ports");
        let tls_port = free_port();
        let config = dir.join("vault.hcl");
        let text = format!(
            "listener \"tcp\" {{\n address = \"127.0.0.1:{tls_port}\"\n \
             tls_cert_file = \"{here}/server.pem\"\n tls_key_file = \"{here}/server.key\"\n}}\n",
            here = dir.display()
        );
        std::fs::write(&config, text).expect("a file");
        let mut command = Command::new(cache().join("python/bin/bao"));
        command
            .args(["server", "-dev", "-dev-no-store-token", "-dev-root-token-id", ROOT])
            .arg(format!("-dev-listen-address=127.0.0.1:{port}"))
            .arg(format!("-config={}", config.display()))
            .env("HOME", dir);
        let process = Process::start(&mut command, &dir.join("vault.log"));
        let vault = Self { _process: process, port, tls_port };
        wait_for("OpenBao", Duration::from_secs(120), || {
            let mounts = vault.try_ask("GET", "sys/mounts", "");
            mounts.is_some_and(|(status, mounts)| status == 200 && mounts["secret/"].is_object())
        });
        vault
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn tls_url(&self) -> String {
        format!("https://localhost:{}", self.tls_port)
    }

    fn try_ask(&self, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
        call_with(self.port, method, &format!("/v1/{path}"), &[("X-Vault-Token", ROOT)], body)
    }

    /// As root; panics unless that is a success.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let ask = || self.try_ask(method, path, &body).expect("an answer");
        let (mut status, mut answer) = ask();
        // A new engine of version 2 says so for a moment, and asks to come again.
        wait_for("an engine that is in service", Duration::from_secs(60), || {
            let upgrading = answer.to_string().contains("Upgrading from non-versioned");
            if upgrading {
                (status, answer) = ask();
            }
            !upgrading
        });
        assert!(status < 300, "{method} {path}: {status} {answer}");
        answer
    }
}
