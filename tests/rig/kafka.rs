//! The real Apache Kafka broker, and kcat to fill and read its topics.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use super::process::Process;
use super::{free_port, wait_for};

/// A broker of its own folder; `shared()` is the one that most tests use.
pub struct Kafka {
    process: Mutex<Process>,
    /// What older releases keep their metadata in.
    _zookeeper: Option<Process>,
    port: u16,
    dir: tempfile::TempDir,
}

/// The jars of an older broker alone, as `2.8.2`.
fn old_libs(version: &str) -> PathBuf {
    let libs = super::cache().join(format!("kafka-{version}/lib"));
    assert!(libs.is_dir(), "no Kafka jars in {}: run tests/run systems", libs.display());
    libs
}

/// The jars of the broker and of Connect.
pub fn libs() -> PathBuf {
    let libs = std::env::var_os("MILLRACE_KAFKA_LIBS")
        .map_or_else(|| super::cache().join("kafka-4.1.0/lib"), PathBuf::from);
    assert!(libs.is_dir(), "no Kafka jars in {}: run tests/run systems", libs.display());
    libs
}

/// A JVM with those jars, little memory and a quick start.
pub fn java() -> Command {
    java_with(&libs(), "512m", &[])
}

/// A JVM with these jars and at most this heap; `more` are arguments of the JVM's own.
pub fn java_with(libs: &Path, heap: &str, more: &[String]) -> Command {
    let mut command = Command::new("java");
    command.args([&format!("-Xmx{heap}"), "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    command.args(more).arg("-cp").arg(format!("{}/*", libs.display()));
    command
}

/// The broker that tests share; each takes topics of its own.
pub fn shared() -> &'static Kafka {
    static SHARED: OnceLock<Kafka> = OnceLock::new();
    SHARED.get_or_init(Kafka::start)
}

/// Settings of a single older broker, in a file.
fn old_config(dir: &Path, port: u16, more: &str) -> PathBuf {
    let config = dir.join("server.properties");
    let text = format!(
        "{more}advertised.listeners=PLAINTEXT://127.0.0.1:{port}\nlog.dirs={}/data\n\
         offsets.topic.replication.factor=1\noffsets.topic.num.partitions=1\n\
         transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
         transaction.state.log.num.partitions=1\ngroup.initial.rebalance.delay.ms=0\n\
         num.partitions=2\n",
        dir.display()
    );
    std::fs::write(&config, text).expect("a config file");
    config
}

/// Runs a kcat that produces these lines.
pub fn produced(mut kcat: Command, lines: &str) {
    let mut child = kcat.stdin(Stdio::piped()).spawn().expect("kcat");
    let mut input = child.stdin.take().expect("piped");
    input.write_all(lines.as_bytes()).expect("kcat reads");
    drop(input);
    assert!(child.wait().expect("kcat").success(), "kcat could not produce");
}

/// Everything in a topic, one record a line in kcat's `format`.
pub fn consumed(mut kcat: Command, topic: &str, format: &str) -> Vec<String> {
    let output = kcat
        .args(["-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", format])
        .output()
        .expect("kcat");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

impl Kafka {
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// With more lines in its properties file.
    pub fn start_with(more: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let (port, controller) = (free_port(), free_port());
        let config = dir.path().join("server.properties");
        let text = format!(
            "process.roles=broker,controller\nnode.id=1\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
             controller.listener.names=CONTROLLER\n\
             controller.quorum.bootstrap.servers=127.0.0.1:{controller}\n\
             log.dirs={}/data\noffsets.topic.replication.factor=1\n\
             offsets.topic.num.partitions=5\ntransaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\ntransaction.state.log.num.partitions=5\n\
             group.initial.rebalance.delay.ms=0\nnum.partitions=1\n{more}",
            dir.path().display()
        );
        std::fs::write(&config, text).expect("a config file");
        let done = java()
            .args(["kafka.tools.StorageTool", "format", "--standalone", "-t"])
            .args(["MillraceTestCluster001", "-c"])
            .arg(&config)
            .stdout(Stdio::null())
            .status()
            .expect("java");
        assert!(done.success(), "the storage tool failed");
        let log = dir.path().join("broker.log");
        let process = Process::start(java().arg("kafka.Kafka").arg(&config), &log);
        let kafka = Self { process: Mutex::new(process), _zookeeper: None, port, dir };
        wait_for("Kafka", Duration::from_secs(60), || kafka.is_up());
        kafka
    }

    /// A broker of a 3.x release, by KRaft; topics that are asked for come into being.
    pub fn start_kraft(version: &str) -> Self {
        let (dir, port, controller) =
            (tempfile::tempdir().expect("a folder"), free_port(), free_port());
        let more = format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.listener.names=CONTROLLER\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\n"
        );
        let config = old_config(dir.path(), port, &more);
        let libs = old_libs(version);
        let done = java_with(&libs, "256m", &[])
            .args(["kafka.tools.StorageTool", "format", "-t", "MillraceTestCluster00"])
            .arg("-c")
            .arg(&config)
            .output()
            .expect("java");
        assert!(done.status.success(), "the storage tool failed: {done:?}");
        Self::start_old(dir, port, &libs, None)
    }

    /// A broker of a release before KRaft, with its ZooKeeper.
    pub fn start_with_zookeeper(version: &str) -> Self {
        let (dir, port, keeper) =
            (tempfile::tempdir().expect("a folder"), free_port(), free_port());
        let libs = old_libs(version);
        let keeper_config = dir.path().join("zookeeper.properties");
        let text = format!(
            "dataDir={}/zookeeper\nclientPort={keeper}\nclientPortAddress=127.0.0.1\n\
             admin.enableServer=false\nmaxClientCnxns=0\n",
            dir.path().display()
        );
        std::fs::write(&keeper_config, text).expect("a config file");
        let zookeeper = Process::start(
            java_with(&libs, "128m", &[])
                .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
                .arg(&keeper_config),
            &dir.path().join("zookeeper.log"),
        );
        let more = format!(
            "broker.id=1\nlisteners=PLAINTEXT://127.0.0.1:{port}\n\
             zookeeper.connect=127.0.0.1:{keeper}\nzookeeper.connection.timeout.ms=60000\n"
        );
        old_config(dir.path(), port, &more);
        Self::start_old(dir, port, &libs, Some(zookeeper))
    }

    fn start_old(
        dir: tempfile::TempDir,
        port: u16,
        libs: &Path,
        zookeeper: Option<Process>,
    ) -> Self {
        let config = dir.path().join("server.properties");
        let mut command = java_with(libs, "256m", &[]);
        let log = dir.path().join("broker.log");
        let process = Process::start(command.arg("kafka.Kafka").arg(&config), &log);
        let kafka = Self { process: Mutex::new(process), _zookeeper: zookeeper, port, dir };
        wait_for("an older Kafka", Duration::from_secs(120), || kafka.is_up());
        kafka
    }

    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn is_up(&self) -> bool {
        let mut process = self.process.lock().expect("no test panicked while holding it");
        assert!(process.exited().is_none(), "the broker died:\n{}", process.log());
        self.kcat().args(["-L", "-m", "1"]).output().is_ok_and(|output| output.status.success())
    }

    /// kcat against this broker.
    pub fn kcat(&self) -> Command {
        let mut command = Command::new("kcat");
        command.args(["-b", &self.bootstrap()]);
        command
    }

    /// The broker's process.
    #[allow(dead_code, reason = "the measurements ask for its CPU time")]
    pub fn pid(&self) -> u32 {
        self.process.lock().expect("no test panicked while holding it").id()
    }

    /// SIGKILL to the broker, and the same broker again.
    pub fn restart(&self) {
        self.stop();
        self.start_again();
    }

    /// SIGKILL to the broker.
    pub fn stop(&self) {
        self.process.lock().expect("no test panicked while holding it").kill();
    }

    /// A broker that was stopped, again: the same folder, the same port.
    pub fn start_again(&self) {
        let config = self.dir.path().join("server.properties");
        let log = self.dir.path().join("broker-again.log");
        let process = Process::start(java().arg("kafka.Kafka").arg(&config), &log);
        *self.process.lock().expect("no test panicked while holding it") = process;
        wait_for("Kafka, again", Duration::from_secs(60), || self.is_up());
    }

    pub fn create_topic(&self, topic: &str, partitions: u32) {
        let output = java()
            .args(["org.apache.kafka.tools.TopicCommand", "--create", "--topic", topic])
            .args(["--bootstrap-server", &self.bootstrap()])
            .args(["--partitions", &partitions.to_string()])
            .output()
            .expect("java");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }

    /// Produces lines (`key\tvalue` when `keyed`) with that codec.
    pub fn produce(&self, topic: &str, partition: i32, codec: &str, keyed: bool, lines: &str) {
        let mut command = self.kcat();
        command.args(["-P", "-t", topic, "-p", &partition.to_string(), "-z", codec]);
        if keyed {
            command.args(["-K", "\t", "-Z"]);
        }
        produced(command, lines);
    }

    /// Everything in a topic, one record a line in kcat's `format`.
    pub fn consume(&self, topic: &str, format: &str) -> Vec<String> {
        consumed(self.kcat(), topic, format)
    }
}
