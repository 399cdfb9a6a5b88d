//! A real MariaDB server of its own folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::elasticsearch::is_root;
use super::process::Process;
use super::{free_port, wait_for};

/// A running server with a user `app`, whose password is `secret`, and a database of that name.
pub struct MariaDb {
    process: Option<Process>,
    port: u16,
    dir: tempfile::TempDir,
    tls: bool,
}

/// Programs of administrators are not on everybody's path.
fn program(name: &str) -> PathBuf {
    let folders = ["/usr/sbin", "/usr/bin", "/usr/local/bin"].map(PathBuf::from);
    let mut programs = folders.into_iter().map(|folder| folder.join(name));
    let found = programs.find(|program| program.is_file());
    found.unwrap_or_else(|| panic!("no {name} of MariaDB: run tests/run systems"))
}

/// A command as somebody who is not root, for whom the server does not run. Its own folder is
/// the only place where that user is sure to be let write temporary files.
fn as_user(program: &Path, dir: &Path) -> Command {
    let mut command = Command::new(if is_root() { Path::new("setpriv") } else { program });
    if is_root() {
        command.args(["--reuid=mysql", "--regid=mysql", "--clear-groups"]);
        // A change of user forgets it.
        command.args(["--pdeathsig", "KILL"]).arg(program);
    }
    command.env("TMPDIR", dir);
    command
}

impl MariaDb {
    pub fn start() -> Self {
        Self::with(None)
    }

    /// One that speaks TLS, too, with `server.pem` and `server.key` of a folder.
    pub fn start_with_tls(certificates: &Path) -> Self {
        Self::with(Some(certificates))
    }

    fn with(certificates: Option<&Path>) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["server.pem", "server.key"] {
            let Some(folder) = certificates else { break };
            std::fs::copy(folder.join(name), dir.path().join(name)).expect("a certificate");
        }
        if is_root() {
            let owned = Command::new("chown").args(["-R", "mysql:mysql"]).arg(dir.path()).status();
            assert!(owned.expect("chown").success(), "the user mysql owns the folder");
        }
        let made = as_user(&program("mariadb-install-db"), dir.path())
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
            .arg(format!("--datadir={}", dir.path().join("data").display()))
            .stdout(Stdio::null())
            .status();
        assert!(made.expect("mariadb-install-db").success(), "mariadb-install-db failed");
        let tls = certificates.is_some();
        let mut server = Self { process: None, port: free_port(), dir, tls };
        server.start_again();
        let everything = "CREATE USER app IDENTIFIED BY 'secret'; CREATE DATABASE app; \
             GRANT ALL ON app.* TO app";
        assert!(server.client("root", everything).status().expect("mariadb").success());
        server
    }

    /// The same server again: the same port, the same data.
    pub fn start_again(&mut self) {
        let in_dir = |name: &str| self.dir.path().join(name).display().to_string();
        let mut command = as_user(&program("mariadbd"), self.dir.path());
        command.args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve"]);
        command.args(["--innodb-flush-method=nosync", "--innodb-buffer-pool-size=32M"]);
        command.arg(format!("--port={}", self.port));
        command.arg(format!("--datadir={}", in_dir("data")));
        command.arg(format!("--socket={}", in_dir("socket")));
        command.arg(format!("--pid-file={}", in_dir("pid")));
        if self.tls {
            command.arg(format!("--ssl-cert={}", in_dir("server.pem")));
            command.arg(format!("--ssl-key={}", in_dir("server.key")));
        }
        let mut process = Process::start(&mut command, &self.dir.path().join("server.log"));
        wait_for("MariaDB", Duration::from_secs(60), || {
            assert!(process.exited().is_none(), "it died:\n{}", process.log());
            self.client("root", "SELECT 1").status().expect("mariadb").success()
        });
        self.process = Some(process);
    }

    /// At once, as in a crash.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Without the password.
    pub fn url(&self) -> String {
        format!("mariadb://app@127.0.0.1:{}/app", self.port)
    }

    /// The same with a way to be secure.
    pub fn url_with(&self, ssl_mode: &str) -> String {
        format!("mysql://app@127.0.0.1:{}/app?ssl-mode={ssl_mode}", self.port)
    }

    fn client(&self, user: &str, sql: &str) -> Command {
        let mut command = Command::new(program("mariadb"));
        command.args(["--no-defaults", "--default-character-set=utf8mb4", "-u", user, "-e", sql]);
        command.arg(format!("--socket={}", self.dir.path().join("socket").display()));
        if user == "app" {
            command.args(["-psecret", "app"]);
        }
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Runs statements.
    pub fn execute(&self, sql: &str) {
        assert!(self.client("app", sql).status().expect("mariadb").success(), "{sql} failed");
    }
}
