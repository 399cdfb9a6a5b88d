//! A real PostgreSQL server of its own folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::elasticsearch::is_root;
use super::process::Process;
use super::{free_port, wait_for};

/// A running server with a user `app`, whose password is `secret`, and a database of that name.
pub struct Postgres {
    process: Option<Process>,
    port: u16,
    dir: tempfile::TempDir,
    /// More of the server's settings.
    settings: &'static [&'static str],
}

/// The newest release that is installed: its programs are not on everybody's path.
fn program(name: &str) -> PathBuf {
    let releases = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let programs = releases.map(|release| release.path().join("bin").join(name));
    let newest = programs.filter(|program| program.is_file()).max();
    newest.unwrap_or_else(|| panic!("no {name} of PostgreSQL: run tests/run systems"))
}

/// A command as somebody who is not root, for whom the server does not run.
fn as_user(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    // A change of user forgets it.
    command.args(["--pdeathsig", "KILL"]).arg(program);
    command
}

impl Postgres {
    pub fn start() -> Self {
        Self::with(&[], None)
    }

    /// One that speaks TLS, too, with `server.pem` and `server.key` of a folder.
    pub fn start_with_tls(certificates: &Path) -> Self {
        const TLS: &[&str] = &["ssl=on", "ssl_cert_file=server.pem", "ssl_key_file=server.key"];
        Self::with(TLS, Some(certificates))
    }

    fn with(settings: &'static [&'static str], certificates: Option<&Path>) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        if is_root() {
            let owned = Command::new("chown").arg("postgres:postgres").arg(dir.path()).status();
            assert!(owned.expect("chown").success(), "the user postgres owns the folder");
        }
        let password = dir.path().join("password");
        std::fs::write(&password, "secret").expect("a password file");
        let made = as_user(&program("initdb"))
            .args(["--no-sync", "--auth=scram-sha-256", "-U", "app", "-E", "UTF8"])
            .arg(format!("--pwfile={}", password.display()))
            .arg("-D")
            .arg(dir.path().join("data"))
            .stdout(Stdio::null())
            .status();
        assert!(made.expect("initdb").success(), "initdb failed");
        for name in ["server.pem", "server.key"] {
            let Some(folder) = certificates else { break };
            // As the server's user and for nobody else, or it refuses the key.
            let kept = as_user(Path::new("sh"))
                .args(["-c", "umask 177 && cat > \"$1\"", "sh"])
                .arg(dir.path().join("data").join(name))
                .stdin(std::fs::File::open(folder.join(name)).expect("a certificate"))
                .status();
            assert!(kept.expect("sh").success(), "{name} is the server's");
        }
        let mut server = Self { process: None, port: free_port(), dir, settings };
        server.start_again();
        server.run("CREATE DATABASE app", "postgres");
        server
    }

    /// The same server again: the same port, the same data.
    pub fn start_again(&mut self) {
        let mut command = as_user(&program("postgres"));
        command.arg("-D").arg(self.dir.path().join("data"));
        command.args(["-c", "fsync=off", "-c", "listen_addresses=127.0.0.1"]);
        command.arg("-c").arg(format!("unix_socket_directories={}", self.dir.path().display()));
        command.args(["-p", &self.port.to_string()]);
        for setting in self.settings {
            command.args(["-c", setting]);
        }
        let mut process = Process::start(&mut command, &self.dir.path().join("server.log"));
        wait_for("PostgreSQL", Duration::from_secs(60), || {
            assert!(process.exited().is_none(), "it died:\n{}", process.log());
            self.psql("SELECT 1", "postgres").status().expect("psql").success()
        });
        self.process = Some(process);
    }

    /// At once, as in a crash.
    pub fn stop(&mut self) {
        let mut command = as_user(&program("pg_ctl"));
        command
            .args(["-s", "-w", "-m", "immediate", "stop", "-D"])
            .arg(self.dir.path().join("data"));
        assert!(command.status().expect("pg_ctl").success(), "pg_ctl failed");
        self.process = None;
    }

    /// Without the password.
    pub fn url(&self) -> String {
        self.url_with("disable")
    }

    /// The same with a way to be secure.
    pub fn url_with(&self, sslmode: &str) -> String {
        format!("postgresql://app@127.0.0.1:{}/app?sslmode={sslmode}", self.port)
    }

    fn psql(&self, sql: &str, database: &str) -> Command {
        let mut command = Command::new("psql");
        command.args(["-q", "-h", "127.0.0.1", "-U", "app", "-d", database, "-c", sql]);
        command.args(["-p", &self.port.to_string()]).env("PGPASSWORD", "secret");
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn run(&self, sql: &str, database: &str) {
        assert!(self.psql(sql, database).status().expect("psql").success(), "{sql} failed");
    }

    /// Runs a statement.
    pub fn execute(&self, sql: &str) {
        self.run(sql, "app");
    }
}
