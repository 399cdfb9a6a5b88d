//! The real Elasticsearch 8 and OpenSearch 2, from the distributions that their makers publish for
//! integration tests: the genuine server with fewer modules.

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use serde_json::Value;

use super::process::Process;
use super::secured::certificates;
use super::worker::exchange;
use super::{free_port, wait_for};

pub const USER: &str = "elastic";
pub const PASSWORD: &str = "a-password-of-tests";
/// The two of them as basic authentication has it.
const BASIC: &str = "ZWxhc3RpYzphLXBhc3N3b3JkLW9mLXRlc3Rz";
/// Both refuse root: as root they run as nobody.
const NOBODY: u32 = 65534;

/// What differs between the two.
struct Kind {
    name: &'static str,
    version: &'static str,
    prefix: &'static str,
    settings: &'static str,
    security: bool,
    /// TLS in front of its API, and certificates of its clients.
    tls: bool,
    /// Of its JVM.
    options: &'static str,
}

/// Soon up, and small.
const SMALL: &str = "-Xms512m -Xmx512m -XX:-UseG1GC -XX:+UseSerialGC -XX:TieredStopAtLevel=1";

const ELASTICSEARCH: Kind = Kind {
    name: "elasticsearch",
    version: "8.19.21",
    prefix: "ES",
    settings: "xpack.security.enabled: true\n",
    security: true,
    tls: false,
    options: SMALL,
};

const SECURED: Kind = Kind {
    settings: "xpack.security.enabled: true\n\
               xpack.security.http.ssl.enabled: true\n\
               xpack.security.http.ssl.key: certificates/server.key\n\
               xpack.security.http.ssl.certificate: certificates/server.pem\n\
               xpack.security.http.ssl.certificate_authorities: certificates/ca.pem\n\
               xpack.security.http.ssl.client_authentication: required\n",
    tls: true,
    ..ELASTICSEARCH
};

const FAST: Kind = Kind { options: "-Xms1g -Xmx1g", ..ELASTICSEARCH };

/// With a small queue and small requests, to be refused now and then.
const OPENSEARCH: Kind = Kind {
    name: "opensearch",
    version: "2.19.6",
    prefix: "OPENSEARCH",
    settings: "thread_pool.write.queue_size: 1\nhttp.max_content_length: 1mb\n",
    security: false,
    tls: false,
    options: SMALL,
};

/// A running node, with its data in a folder of its own.
pub struct Search {
    process: Mutex<Process>,
    kind: &'static Kind,
    port: u16,
    dir: tempfile::TempDir,
}

/// The Elasticsearch that tests share; each takes indices of its own.
pub fn shared() -> &'static Search {
    static SHARED: OnceLock<Search> = OnceLock::new();
    SHARED.get_or_init(|| Search::start(&ELASTICSEARCH))
}

/// An Elasticsearch with all of its JVM's compilers, to measure beside.
#[allow(dead_code, reason = "what the measurements ask for")]
pub fn at_full_speed() -> Search {
    Search::start(&FAST)
}

/// An OpenSearch that is small in what it takes.
pub fn opensearch() -> Search {
    Search::start(&OPENSEARCH)
}

/// An Elasticsearch that speaks TLS only, and only with clients that have a certificate.
pub fn secured() -> Search {
    Search::start(&SECURED)
}

pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| {
        use std::os::unix::fs::MetadataExt;
        me.uid() == 0
    })
}

fn done(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Where Java is: the distributions bring none.
fn java_home() -> PathBuf {
    let which = Command::new("sh").args(["-c", "readlink -f \"$(command -v java)\""]).output();
    let path = String::from_utf8(which.expect("sh").stdout).expect("text");
    let home = Path::new(path.trim()).parent().and_then(Path::parent);
    home.expect("java is installed: run tests/run systems").to_owned()
}

impl Search {
    fn start(kind: &'static Kind) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let (home, port) = (dir.path().join("home"), free_port());
        let installed = super::cache().join(format!("{}-{}", kind.name, kind.version));
        assert!(installed.is_dir(), "no {}: run tests/run systems", installed.display());
        // Links cost no space; across devices it is a copy.
        let linked = Command::new("cp").arg("-rl").args([&installed, &home]).output().expect("cp");
        if !linked.status.success() {
            done(Command::new("cp").arg("-r").args([&installed, &home]));
        }
        for name in ["data", "logs", "tmp"] {
            std::fs::create_dir(dir.path().join(name)).expect("a folder");
        }
        let config = dir.path().join("config");
        done(Command::new("cp").arg("-r").arg(home.join("config")).arg(&config));
        // What it writes below its home, which is not its own here.
        let options = config.join("jvm.options");
        let text = std::fs::read_to_string(&options).expect("the JVM's options");
        let kept: Vec<&str> = text.lines().filter(|line| !line.contains("logs/")).collect();
        std::fs::write(&options, kept.join("\n")).expect("the JVM's options");
        let text = format!(
            "cluster.routing.allocation.disk.threshold_enabled: false\n\
             discovery.type: single-node\nnetwork.host: 127.0.0.1\nhttp.port: {port}\n\
             transport.port: {}\npath.data: {dir}/data\npath.logs: {dir}/logs\n{}",
            free_port(),
            kind.settings,
            dir = dir.path().display(),
        );
        std::fs::write(config.join(format!("{}.yml", kind.name)), text).expect("a config file");
        if kind.tls {
            let folder = config.join("certificates");
            std::fs::create_dir(&folder).expect("a folder");
            certificates(&folder);
        }
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(dir.path(), open).expect("our own folder");
        if is_root() {
            let owner = format!("{NOBODY}:{NOBODY}");
            let own = ["data", "logs", "tmp", "config"].map(|name| dir.path().join(name));
            done(Command::new("chown").arg("-R").arg(owner).args(own));
        }
        let process =
            Mutex::new(Process::start(&mut Command::new("true"), &dir.path().join("before.log")));
        let search = Self { process, kind, port, dir };
        if kind.security {
            search.set_password();
        }
        search.start_again();
        search
    }

    fn command(&self, program: &str) -> Command {
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", &NOBODY.to_string(), "--regid", &NOBODY.to_string()]);
            // A change of user forgets it.
            command.args(["--pdeathsig", "KILL"]);
            command.arg("--clear-groups").arg(self.dir.path().join("home/bin").join(program));
            command
        } else {
            Command::new(self.dir.path().join("home/bin").join(program))
        };
        let prefix = self.kind.prefix;
        command
            .env(format!("{prefix}_JAVA_HOME"), java_home())
            .env(format!("{prefix}_JAVA_OPTS"), self.kind.options)
            .env(format!("{prefix}_PATH_CONF"), self.dir.path().join("config"))
            .env(format!("{prefix}_TMPDIR"), self.dir.path().join("tmp"))
            .current_dir(self.dir.path().join("tmp"));
        command
    }

    fn set_password(&self) {
        done(self.command("elasticsearch-keystore").arg("create"));
        let script = format!("printf %s '{PASSWORD}' | \"$0\" \"$@\"");
        let tool = self.command("elasticsearch-keystore");
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).arg(tool.get_program()).args(tool.get_args());
        command.envs(tool.get_envs().filter_map(|(name, value)| Some((name, value?))));
        done(command.args(["add", "-x", "bootstrap.password"]));
    }

    pub fn url(&self) -> String {
        match self.kind.tls {
            false => format!("http://127.0.0.1:{}", self.port),
            true => format!("https://localhost:{}", self.port),
        }
    }

    /// A file that goes with a secured one, as `ca.pem`.
    pub fn certificate(&self, name: &str) -> String {
        let path = self.dir.path().join("config/certificates").join(name);
        path.to_str().expect("a path").to_owned()
    }

    /// One request over TLS, by curl.
    fn ask_securely(&self, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
        let output = Command::new("curl")
            .args(["--silent", "--max-time", "60", "--request", method])
            .args(["--cacert", &self.certificate("ca.pem")])
            .args(["--cert", &self.certificate("client.pem")])
            .args(["--key", &self.certificate("client.key")])
            .args(["--user", &format!("{USER}:{PASSWORD}"), "--data", body])
            .args(["--header", "Content-Type: application/json"])
            .args(["--write-out", "\\n%{http_code}", &format!("{}{path}", self.url())])
            .output()
            .expect("curl is installed: run tests/run systems");
        let text = String::from_utf8(output.stdout).ok()?;
        let (body, status) = text.rsplit_once('\n')?;
        let status = status.parse().ok().filter(|status| *status > 0)?;
        Some((status, serde_json::from_str(body).unwrap_or_default()))
    }

    /// The server's own process: Elasticsearch's is the child of a launcher.
    pub fn pid(&self) -> u32 {
        let launcher = self.process.lock().expect("no test panicked while holding it").id();
        let parent = |pid: u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let (_, fields) = stat.rsplit_once(") ")?;
            fields.split(' ').nth(1)?.parse::<u32>().ok()
        };
        let all = std::fs::read_dir("/proc")
            .expect("/proc")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        all.into_iter().find(|pid| parent(*pid) == Some(launcher)).unwrap_or(launcher)
    }

    /// SIGKILL to the server.
    pub fn stop(&self) {
        let pid = self.pid().to_string();
        let _ = Command::new("kill").args(["-9", &pid]).output();
        self.process.lock().expect("no test panicked while holding it").kill();
        wait_for("the server's end", Duration::from_secs(20), || {
            TcpStream::connect(("127.0.0.1", self.port)).is_err()
        });
    }

    /// The same folder, the same port.
    pub fn start_again(&self) {
        let mut command = self.command(self.kind.name);
        let log = self.dir.path().join("server.log");
        *self.process.lock().expect("no test panicked while holding it") =
            Process::start(&mut command, &log);
        wait_for(self.kind.name, Duration::from_secs(180), || {
            let mut process = self.process.lock().expect("no test panicked while holding it");
            assert!(process.exited().is_none(), "it died:\n{}", process.log());
            drop(process);
            self.ask("GET", "/_cluster/health?wait_for_status=yellow&timeout=1s", "")
                .is_some_and(|(status, _)| status == 200)
        });
    }

    /// One request; JSON null for a body that is none.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
        if self.kind.tls {
            return self.ask_securely(method, path, body);
        }
        let stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Authorization: Basic {BASIC}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        exchange(stream, &request)
    }

    /// A request that must succeed.
    pub fn must(&self, method: &str, path: &str, body: &str) -> Value {
        let (status, answer) = self.ask(method, path, body).expect("an answer");
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// How many documents an index has; 0 if it is not there.
    pub fn count(&self, index: &str) -> u64 {
        let _ = self.ask("POST", &format!("/{index}/_refresh"), "");
        let answer = self.ask("GET", &format!("/{index}/_count"), "");
        answer.and_then(|(_, answer)| answer["count"].as_u64()).unwrap_or(0)
    }

    /// Every document of an index, with its id and version; at most 10,000 of the lowest `id`s.
    pub fn hits(&self, index: &str) -> Vec<Value> {
        let _ = self.ask("POST", &format!("/{index}/_refresh"), "");
        let path = format!("/{index}/_search?size=10000&version=true");
        let answer = self.must("GET", &path, "");
        answer["hits"]["hits"].as_array().expect("hits").clone()
    }
}
