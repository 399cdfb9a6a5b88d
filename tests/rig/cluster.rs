//! Three real Kafka brokers that are one KRaft cluster: each broker and controller at once, each in a
//! rack of its own, replication 3.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::kafka::{consumed, java, java_with, libs, produced};
use super::process::Process;
use super::{free_port, wait_for};

/// Brokers, and voters of the controllers' quorum.
const NODES: usize = 3;
/// A busy machine starts three JVMs slowly.
const START: Duration = Duration::from_secs(180);

pub struct Cluster {
    nodes: Vec<Node>,
    dir: tempfile::TempDir,
}

struct Node {
    process: Option<Process>,
    port: u16,
    controller: u16,
    jmx: u16,
    /// Starts so far: each has a log of its own.
    starts: u32,
}

/// The cluster that these tests share, one at a time: they kill its brokers. All brokers are up when
/// it is handed out.
pub fn shared() -> MutexGuard<'static, Cluster> {
    static SHARED: OnceLock<Mutex<Cluster>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| Mutex::new(Cluster::start()));
    let mut cluster = shared.lock().unwrap_or_else(PoisonError::into_inner);
    cluster.heal();
    cluster
}

impl Cluster {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let node = |_| Node {
            process: None,
            port: free_port(),
            controller: free_port(),
            jmx: free_port(),
            starts: 0,
        };
        let mut cluster = Self { nodes: (0..NODES).map(node).collect(), dir };
        // The group coordinator's log tells of each rebalance and its reason.
        let log = "log4j.rootLogger=INFO,A\nlog4j.appender.A=org.apache.log4j.ConsoleAppender\n\
                   log4j.appender.A.layout=org.apache.log4j.PatternLayout\n\
                   log4j.appender.A.layout.ConversionPattern=%d{ABSOLUTE} %p %c{1} %m%n\n";
        std::fs::write(cluster.dir.path().join("log4j.properties"), log).expect("a file");
        let formats: Vec<_> = (1..=NODES).map(|id| cluster.format(id)).collect();
        for mut format in formats {
            assert!(format.wait().expect("java").success(), "the storage tool failed");
        }
        cluster.heal();
        cluster
    }

    /// Writes a node's settings and formats its folder.
    fn format(&self, id: usize) -> std::process::Child {
        let node = &self.nodes[id - 1];
        let voters: Vec<String> = self
            .nodes
            .iter()
            .enumerate()
            .map(|(at, node)| format!("{}@127.0.0.1:{}", at + 1, node.controller))
            .collect();
        let text = format!(
            "process.roles=broker,controller\nnode.id={id}\nbroker.rack=rack-{id}\n\
             listeners=PLAINTEXT://127.0.0.1:{},CONTROLLER://127.0.0.1:{}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{}\ncontroller.listener.names=CONTROLLER\n\
             controller.quorum.voters={}\nlog.dirs={}\n\
             replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector\n\
             default.replication.factor=3\nmin.insync.replicas=2\n\
             offsets.topic.replication.factor=3\noffsets.topic.num.partitions=3\n\
             transaction.state.log.replication.factor=3\ntransaction.state.log.min.isr=2\n\
             transaction.state.log.num.partitions=3\ngroup.initial.rebalance.delay.ms=0\n\
             broker.session.timeout.ms=3000\nbroker.heartbeat.interval.ms=500\n\
             auto.leader.rebalance.enable=false\n",
            node.port,
            node.controller,
            node.port,
            voters.join(","),
            self.dir.path().join(format!("data-{id}")).display()
        );
        std::fs::write(self.config(id), text).expect("a config file");
        java()
            .args(["kafka.tools.StorageTool", "format", "-t", "MillraceTestCluster003", "-c"])
            .arg(self.config(id))
            .stdout(Stdio::null())
            .spawn()
            .expect("java")
    }

    fn config(&self, id: usize) -> PathBuf {
        self.dir.path().join(format!("server-{id}.properties"))
    }

    /// Starts what is down and waits until all partitions have all replicas in sync again.
    pub fn heal(&mut self) {
        for id in 1..=NODES {
            if self.nodes[id - 1].process.is_none() {
                self.start_node(id);
            }
        }
        wait_for("three brokers in sync", START, || self.in_sync());
    }

    pub fn start_node(&mut self, id: usize) {
        let config = self.config(id);
        let logging = self.dir.path().join("log4j.properties");
        let node = &mut self.nodes[id - 1];
        node.starts += 1;
        let log = self.dir.path().join(format!("broker-{id}-{}.log", node.starts));
        let arguments = [
            format!("-Dlog4j.configuration=file:{}", logging.display()),
            format!("-Dcom.sun.management.jmxremote.port={}", node.jmx),
            "-Dcom.sun.management.jmxremote.host=127.0.0.1".to_owned(),
            "-Djava.rmi.server.hostname=127.0.0.1".to_owned(),
            "-Dcom.sun.management.jmxremote.authenticate=false".to_owned(),
            "-Dcom.sun.management.jmxremote.ssl=false".to_owned(),
        ];
        let mut command = java_with(&libs(), "256m", &arguments);
        node.process = Some(Process::start(command.arg("kafka.Kafka").arg(config), &log));
    }

    /// SIGKILL to the broker with that id.
    pub fn kill(&mut self, id: usize) {
        self.nodes[id - 1].process.take().expect("a running broker").kill();
    }

    /// All brokers, those that are down too; `first` is the first of the list.
    pub fn bootstrap_from(&self, first: usize) -> String {
        let order = (0..NODES).map(|step| (first - 1 + step) % NODES);
        let list: Vec<_> = order.map(|at| format!("127.0.0.1:{}", self.nodes[at].port)).collect();
        list.join(",")
    }

    pub fn bootstrap(&self) -> String {
        self.bootstrap_from(1)
    }

    fn kcat(&self) -> Command {
        let mut command = Command::new("kcat");
        command.args(["-b", &self.bootstrap(), "-X", "log_level=0"]);
        command
    }

    /// What the brokers say of their topics, as kcat's JSON.
    fn metadata(&self) -> Option<serde_json::Value> {
        let output = self.kcat().args(["-L", "-J", "-m", "5"]).output().ok()?;
        output.status.success().then(|| serde_json::from_slice(&output.stdout).ok())?
    }

    fn in_sync(&self) -> bool {
        let Some(metadata) = self.metadata() else { return false };
        let whole = |partition: &serde_json::Value| {
            let count = |key: &str| partition[key].as_array().map_or(0, Vec::len);
            count("isrs") == count("replicas")
        };
        metadata["brokers"].as_array().is_some_and(|brokers| brokers.len() == NODES)
            && metadata["topics"].as_array().is_some_and(|topics| {
                topics.iter().all(|topic| {
                    topic["partitions"].as_array().is_some_and(|list| list.iter().all(whole))
                })
            })
    }

    /// The leader of the topic's partition, by broker id.
    pub fn leader(&self, topic: &str, partition: usize) -> usize {
        let mut leader = None;
        wait_for("a leader", Duration::from_secs(60), || {
            leader = self.metadata().and_then(|metadata| {
                let topics = metadata["topics"].as_array()?;
                let topic = topics.iter().find(|known| known["topic"] == topic)?;
                let id = topic["partitions"][partition]["leader"].as_i64()?;
                usize::try_from(id).ok().filter(|id| *id > 0)
            });
            leader.is_some()
        });
        leader.expect("it was found")
    }

    /// Moves each partition's leadership back to its first replica.
    pub fn elect_preferred_leaders(&self) {
        self.tool("org.apache.kafka.tools.LeaderElectionCommand")
            .args(["--election-type", "preferred", "--all-topic-partitions"])
            .output()
            .expect("java");
    }

    /// A topic whose partition N has its first replica, so its leader, on the broker `first[N]`.
    pub fn create_topic(&self, topic: &str, first: &[usize]) {
        let replicas = |first: &usize| {
            let order = (0..NODES).map(|step| ((first - 1 + step) % NODES + 1).to_string());
            order.collect::<Vec<_>>().join(":")
        };
        let assignment: Vec<_> = first.iter().map(replicas).collect();
        let output = self
            .tool("org.apache.kafka.tools.TopicCommand")
            .args(["--create", "--topic", topic, "--replica-assignment", &assignment.join(",")])
            .output()
            .expect("java");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }

    fn tool(&self, class: &str) -> Command {
        let mut command = java();
        command.args([class, "--bootstrap-server", &self.bootstrap()]);
        command
    }

    /// The group's members as Kafka's tool shows them: instance id (or `-`) and partitions,
    /// as `topic:0,1`.
    pub fn members(&self, group: &str) -> Vec<(String, String)> {
        let output = self
            .tool("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand")
            .args(["--describe", "--members", "--verbose", "--group", group])
            .output()
            .expect("java");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut lines = text.lines().skip_while(|line| !line.starts_with("GROUP"));
        let Some(head) = lines.next() else { return Vec::new() };
        let column = |name: &str| head.split_whitespace().position(|title| title == name);
        let (instance, assignment) = (column("GROUP-INSTANCE-ID"), column("CURRENT-ASSIGNMENT"));
        let mut members: Vec<_> = lines
            .filter(|line| line.starts_with(group))
            .map(|line| {
                let cells: Vec<_> = line.split_whitespace().collect();
                let cell = |at: Option<usize>| {
                    at.and_then(|at| cells.get(at)).map_or("-", |cell| *cell).to_owned()
                };
                // Without an instance id in the group the column is not there.
                (cell(instance), cell(assignment))
            })
            .collect();
        members.sort();
        members
    }

    /// How often the group's coordinator began to rebalance it, by the brokers' logs.
    pub fn rebalances(&self, group: &str) -> usize {
        let wanted = format!("Preparing to rebalance group {group} ");
        let logs = std::fs::read_dir(self.dir.path()).expect("a folder");
        let logs = logs.filter_map(|entry| Some(entry.ok()?.path()));
        let logs = logs.filter(|path| path.extension().is_some_and(|end| end == "log"));
        let texts = logs.map(|path| std::fs::read_to_string(path).unwrap_or_default());
        texts.map(|text| text.matches(&wanted).count()).sum()
    }

    /// Bytes of the topic that consumers (not replicas) got from the broker, by its own metrics.
    pub fn bytes_out(&self, id: usize, topic: &str) -> f64 {
        let url =
            format!("service:jmx:rmi:///jndi/rmi://127.0.0.1:{}/jmxrmi", self.nodes[id - 1].jmx);
        let name = "kafka.server:type=BrokerTopicMetrics,name=BytesOutPerSec,topic=";
        let output = java()
            .args(["org.apache.kafka.tools.JmxTool", "--jmx-url", &url, "--one-time"])
            .args(["--object-name", &format!("{name}{topic}"), "--attributes", "Count"])
            .output()
            .expect("java");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let last = text.lines().last().and_then(|line| line.rsplit(',').next());
        // No such metric: nothing of the topic was ever read there.
        last.and_then(|count| count.trim().parse().ok()).unwrap_or(0.0)
    }

    /// Produces lines (acknowledged by all replicas, each once) to a partition.
    pub fn produce(&self, topic: &str, partition: usize, lines: &str) {
        let mut command = self.kcat();
        command
            .args(["-P", "-t", topic, "-p", &partition.to_string(), "-z", "lz4"])
            .args(["-X", "enable.idempotence=true"]);
        produced(command, lines);
    }

    /// Everything in a topic, one record a line in kcat's `format`.
    pub fn consume(&self, topic: &str, format: &str) -> Vec<String> {
        consumed(self.kcat(), topic, format)
    }
}
