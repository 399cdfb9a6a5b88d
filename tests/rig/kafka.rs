//! The real Apache Kafka broker, and kcat to fill and read its topics.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use super::process::Process;
use super::{free_port, wait_for};

/// A broker of its own folder; `shared()` is the one that most tests use.
pub struct Kafka {
    process: Mutex<Process>,
    port: u16,
    dir: tempfile::TempDir,
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
    let mut command = Command::new("java");
    command.args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]);
    command.arg(format!("{}/*", libs().display()));
    command
}

/// The broker that tests share; each takes topics of its own.
pub fn shared() -> &'static Kafka {
    static SHARED: OnceLock<Kafka> = OnceLock::new();
    SHARED.get_or_init(Kafka::start)
}

impl Kafka {
    pub fn start() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let kafka = Self::start_in(dir, port, true);
        wait_for("Kafka", Duration::from_secs(60), || kafka.is_up());
        kafka
    }

    fn start_in(dir: tempfile::TempDir, port: u16, format: bool) -> Self {
        let config = dir.path().join("server.properties");
        if format {
            let controller = free_port();
            let text = format!(
                "process.roles=broker,controller\nnode.id=1\n\
                 listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
                 advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
                 controller.listener.names=CONTROLLER\n\
                 controller.quorum.bootstrap.servers=127.0.0.1:{controller}\n\
                 log.dirs={}/data\noffsets.topic.replication.factor=1\n\
                 offsets.topic.num.partitions=5\ntransaction.state.log.replication.factor=1\n\
                 transaction.state.log.min.isr=1\ntransaction.state.log.num.partitions=5\n\
                 group.initial.rebalance.delay.ms=0\nnum.partitions=1\n",
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
        }
        let log = dir.path().join("broker.log");
        let process = Process::start(java().arg("kafka.Kafka").arg(&config), &log);
        Self { process: Mutex::new(process), port, dir }
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
        let mut child = command.stdin(Stdio::piped()).spawn().expect("kcat");
        let mut input = child.stdin.take().expect("piped");
        input.write_all(lines.as_bytes()).expect("kcat reads");
        drop(input);
        assert!(child.wait().expect("kcat").success(), "kcat could not produce");
    }

    /// Everything in a topic, one record a line in kcat's `format`.
    pub fn consume(&self, topic: &str, format: &str) -> Vec<String> {
        let output = self
            .kcat()
            .args(["-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", format])
            .output()
            .expect("kcat");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
    }
}
