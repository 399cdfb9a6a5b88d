//! Tasks of a worker in this process, with connectors made for trouble, on the embedded broker.
//!
//! - `cluster`: a task that holds its core, in a worker of a cluster with exactly-once support.
//! - `hostile`: a task that panics fails alone.
//! - `greedy`: so does one that does not give its core back, and one that takes all memory.
//! - `rebalance`: a task keeps working on what it keeps.
//! - `letters`: the dead letter queue while Kafka does not take it.
//!
//! The embedded broker stands in for Kafka: it can be made to misbehave, and is there at once. What
//! leans on Kafka's own behaviour goes to the real one.

#[path = "isolation/cluster.rs"]
mod cluster;
#[path = "isolation/greedy.rs"]
mod greedy;
#[path = "isolation/hostile.rs"]
mod hostile;
#[path = "isolation/letters.rs"]
mod letters;
#[path = "isolation/probe.rs"]
mod probe;
#[path = "isolation/rebalance.rs"]
mod rebalance;
#[path = "rig/mod.rs"]
#[expect(dead_code, reason = "other tests use the rest of the rig")]
mod rig;

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use millrace_api::Config;
use millrace_api::plugin::Plugins;
use millrace_broker::{Broker, BrokerHandle, BrokerOptions};
use millrace_herder::requests::{ConnectorStateInfo, Reply, Request};
use millrace_herder::worker_config::WorkerConfig;
use millrace_herder::{HerderHandle, StandaloneHerder};
use millrace_rest::{RestHandle, RestOptions};
use millrace_worker::engine::{Engine, EngineOptions};

/// As the binary's: tasks' memory is counted.
#[global_allocator]
static ALLOCATOR: millrace_net::allocator::Accounted = millrace_net::allocator::Accounted;

const LIMIT: Duration = Duration::from_secs(30);

/// A broker of its own folder.
struct Bench {
    broker: BrokerHandle,
    bootstrap: String,
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let listen = "127.0.0.1:0".parse().expect("an address");
        let mut options = BrokerOptions::new(listen, dir.path().join("broker"));
        options.default_partitions = 4;
        let broker = Broker::spawn_thread(options, None).expect("a broker");
        let bootstrap = broker.addr().to_string();
        Self { broker, bootstrap, dir }
    }

    /// As [`Self::new`], but everybody goes to the real Kafka.
    fn on_kafka() -> Self {
        Self { bootstrap: rig::kafka::shared().bootstrap(), ..Self::new() }
    }

    fn kcat(&self) -> Command {
        let mut command = Command::new("kcat");
        command.args(["-b", &self.bootstrap]);
        command
    }

    /// Lines into one partition, acknowledged.
    fn produce(&self, topic: &str, partition: i32, lines: &str) {
        let mut command = self.kcat();
        command.args(["-P", "-t", topic, "-p", &partition.to_string()]);
        let mut child = command.stdin(Stdio::piped()).spawn().expect("kcat");
        child.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("kcat reads");
        assert!(child.wait().expect("kcat").success(), "kcat could not produce");
    }

    fn consume(&self, topic: &str) -> usize {
        let output = self
            .kcat()
            .args(["-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%o\n"])
            .output()
            .expect("kcat");
        String::from_utf8_lossy(&output.stdout).lines().count()
    }

    /// A worker on one core, so that its tasks share it.
    fn worker(&self, name: &str) -> Worker {
        self.worker_with(name, &[])
    }

    /// As [`Self::worker`], with more keys.
    fn worker_with(&self, name: &str, more: &[(&str, &str)]) -> Worker {
        let offsets = self.dir.path().join(format!("{name}.offsets"));
        let mut file = config(&[
            ("bootstrap.servers", &self.bootstrap),
            ("key.converter", "org.apache.kafka.connect.storage.StringConverter"),
            ("value.converter", "org.apache.kafka.connect.storage.StringConverter"),
            ("offset.storage.file.filename", offsets.to_str().expect("a path")),
            ("offset.flush.interval.ms", "100"),
            ("offset.flush.timeout.ms", "500"),
            ("consumer.heartbeat.interval.ms", "100"),
            ("task.shutdown.graceful.timeout.ms", "2000"),
            ("listeners", "http://127.0.0.1:0"),
        ]);
        file.extend(config(more));
        let plugins = Plugins {
            connectors: vec![probe::SINK, probe::SOURCE],
            converters: millrace_api::builtin_converters::converters(),
            header_converters: millrace_api::builtin_converters::header_converters(),
            transformations: Vec::new(),
            predicates: Vec::new(),
        };
        let config = WorkerConfig::standalone(file, &plugins).expect("a good configuration");
        let options = EngineOptions { cpus: vec![0], ..config.engine_options() };
        let (engine, reports) = Engine::start(&options).expect("an engine");
        let herder = StandaloneHerder::start(config, plugins, Box::new(engine), reports);
        Worker(Some(herder.expect("a herder")))
    }
}

/// Stopped when dropped.
struct Worker(Option<HerderHandle>);

impl Worker {
    fn ask<T>(&self, question: impl FnOnce(Reply<T>) -> Request) -> T {
        let herder = self.0.as_ref().expect("until it is dropped");
        herder.mailbox.call(LIMIT, question).unwrap_or_else(|error| panic!("{error}"))
    }

    fn put(&self, name: &str, pairs: &[(&str, &str)]) {
        let (name, config) = (name.to_owned(), config(pairs).into());
        self.ask(|reply| Request::Put { name, config, create_only: true, initial: None, reply });
    }

    /// The REST API of this worker.
    fn rest(&self) -> RestHandle {
        let herder = self.0.as_ref().expect("until it is dropped");
        let options = RestOptions::new(Arc::clone(&herder.context));
        let listeners = &herder.context.config.listeners;
        millrace_rest::serve(listeners, herder.mailbox.clone(), options).expect("a REST API")
    }

    fn status(&self, name: &str) -> ConnectorStateInfo {
        self.ask(|reply| Request::Status { name: name.to_owned(), reply })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(herder) = self.0.take() {
            herder.shutdown();
        }
    }
}

fn config(pairs: &[(&str, &str)]) -> Config {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}
