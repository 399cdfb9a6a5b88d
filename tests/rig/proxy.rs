//! tinyproxy, which asks for a user and a password.

use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use super::process::Process;
use super::{free_port, wait_for};

pub const USER: &str = "somebody";
pub const PASSWORD: &str = "pass-word";

/// A proxy for http and, by tunnels, for https.
pub struct Proxy {
    pub process: Process,
    pub port: u16,
    /// With user and password.
    pub url: String,
    _dir: tempfile::TempDir,
}

impl Proxy {
    pub fn start() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let config = dir.path().join("tinyproxy.conf");
        let text = format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 60\nLogLevel Info\nMaxClients 50\n\
             Allow 127.0.0.1\nBasicAuth {USER} {PASSWORD}\n"
        );
        std::fs::write(&config, text).expect("a config file");
        let mut command = Command::new("tinyproxy");
        command.arg("-d").arg("-c").arg(&config);
        let process = Process::start(&mut command, &dir.path().join("tinyproxy.log"));
        wait_for("tinyproxy", Duration::from_secs(20), || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self { process, port, url: format!("http://{USER}:{PASSWORD}@127.0.0.1:{port}"), _dir: dir }
    }
}
