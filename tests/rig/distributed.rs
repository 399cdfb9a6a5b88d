//! Distributed workers, the JVM's and ours, started with the same properties.
#![allow(dead_code, reason = "not every binary of the tests needs clusters of workers")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::process::Process;
use super::{free_port, kafka, wait_for, worker};

/// Whose worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Jvm,
    Ours,
}

/// A JVM with the jars of an older Connect, as `3.9.1`.
pub fn older_java(version: &str) -> Command {
    let libs = super::cache().join(format!("connect-{version}/lib"));
    assert!(libs.is_dir(), "no Connect jars in {}: run tests/run systems", libs.display());
    kafka::java_with(&libs, "512m", &[])
}

/// One worker of a cluster.
pub struct ClusterWorker {
    pub kind: Kind,
    pub process: Process,
    pub port: u16,
}

impl ClusterWorker {
    /// Starts it in `group`, whose name its internal topics begin with; `more` are lines of its
    /// properties. Does not wait for it.
    pub fn launch(kind: Kind, dir: &Path, bootstrap: &str, group: &str, more: &str) -> Self {
        let command = match kind {
            Kind::Jvm => kafka::java(),
            Kind::Ours => Command::new(worker::binary()),
        };
        Self::launch_as(kind, command, dir, bootstrap, group, more)
    }

    /// With a JVM, or a binary, of the caller's choice.
    pub fn launch_as(
        kind: Kind,
        mut command: Command,
        dir: &Path,
        bootstrap: &str,
        group: &str,
        more: &str,
    ) -> Self {
        let port = free_port();
        let file = dir.join(format!("worker-{port}.properties"));
        let text = format!(
            "bootstrap.servers={bootstrap}\ngroup.id={group}\n\
             key.converter=org.apache.kafka.connect.storage.StringConverter\n\
             value.converter=org.apache.kafka.connect.storage.StringConverter\n\
             config.storage.topic={group}-config\nconfig.storage.replication.factor=1\n\
             offset.storage.topic={group}-offsets\noffset.storage.replication.factor=1\n\
             offset.storage.partitions=1\n\
             status.storage.topic={group}-status\nstatus.storage.replication.factor=1\n\
             status.storage.partitions=1\n\
             listeners=http://127.0.0.1:{port}\n{more}"
        );
        std::fs::write(&file, text).expect("a worker file");
        command.arg(match kind {
            Kind::Jvm => "org.apache.kafka.connect.cli.ConnectDistributed",
            Kind::Ours => "connect-distributed",
        });
        let process = Process::start(command.arg(&file), &dir.join(format!("{kind:?}-{port}.log")));
        Self { kind, process, port }
    }

    pub fn start(kind: Kind, dir: &Path, bootstrap: &str, group: &str, more: &str) -> Self {
        let mut worker = Self::launch(kind, dir, bootstrap, group, more);
        worker.wait();
        worker
    }

    /// Until its herder answers.
    pub fn wait(&mut self) {
        wait_for("a distributed worker", Duration::from_secs(120), || {
            assert!(self.process.exited().is_none(), "it died:\n{}", self.process.log());
            worker::get(self.port, "/connectors").is_some_and(|(status, _)| status == 200)
        });
    }

    /// Its name in statuses.
    pub fn id(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Repeats a request while the group rebalances (409) or its leader is being changed.
    pub fn call(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let mut last = None;
        wait_for(&format!("{method} {path}"), Duration::from_secs(60), || {
            last = worker::call(self.port, method, path, body);
            last.as_ref().is_some_and(|(status, _)| *status != 409 && *status < 500)
        });
        last.expect("it was answered")
    }

    /// SIGTERM, and its end.
    pub fn stop(mut self) {
        self.process.terminate();
        self.process.wait(Duration::from_secs(60));
    }
}

/// Who runs what, by one worker's `GET /connectors?expand=status`.
#[derive(Debug, Default)]
pub struct Spread {
    /// Connector instances in their states, by worker.
    pub connectors: BTreeMap<String, usize>,
    pub tasks: BTreeMap<String, usize>,
    /// `connector=STATE` and `connector-task=STATE` of what neither runs nor is paused.
    pub others: Vec<String>,
    pub paused: BTreeSet<String>,
    pub names: BTreeSet<String>,
}

impl Spread {
    pub fn of(worker: &ClusterWorker) -> Option<Self> {
        let (status, body) = worker::get(worker.port, "/connectors?expand=status")?;
        if status != 200 {
            return None;
        }
        let mut spread = Self::default();
        for (name, entry) in body.as_object()? {
            let status = &entry["status"];
            spread.names.insert(name.clone());
            spread.count(name, &status["connector"], true);
            for task in status["tasks"].as_array()? {
                spread.count(&format!("{name}-{}", task["id"]), task, false);
            }
        }
        Some(spread)
    }

    fn count(&mut self, name: &str, status: &Value, connector: bool) {
        let text = |key: &str| status[key].as_str().unwrap_or_default().to_owned();
        match text("state").as_str() {
            "RUNNING" => {}
            "PAUSED" => drop(self.paused.insert(name.to_owned())),
            other => return self.others.push(format!("{name}={other}")),
        }
        let counts = if connector { &mut self.connectors } else { &mut self.tasks };
        *counts.entry(text("worker_id")).or_default() += 1;
    }

    /// Nothing else than `connectors` and `tasks`, all on these workers, none with two more than
    /// another.
    pub fn is_even(&self, workers: &[&ClusterWorker], connectors: usize, tasks: usize) -> bool {
        let even = |counts: &BTreeMap<String, usize>, total: usize| {
            let each: Vec<usize> = workers
                .iter()
                .map(|worker| counts.get(&worker.id()).copied().unwrap_or(0))
                .collect();
            let most = each.iter().max().copied().unwrap_or(0);
            each.iter().sum::<usize>() == total
                && counts.values().sum::<usize>() == total
                && each.iter().all(|count| count + 1 >= most)
        };
        self.others.is_empty() && even(&self.connectors, connectors) && even(&self.tasks, tasks)
    }
}

/// Waits until all of `workers` say that `connectors` and `tasks` run evenly on them.
pub fn wait_even(what: &str, workers: &[&ClusterWorker], connectors: usize, tasks: usize) {
    let mut last = None;
    let start = std::time::Instant::now();
    loop {
        let spreads: Vec<_> = workers.iter().map(|worker| Spread::of(worker)).collect();
        let even = |spread: &Option<Spread>| {
            spread.as_ref().is_some_and(|one| one.is_even(workers, connectors, tasks))
        };
        if spreads.iter().all(even) {
            return;
        }
        last = Some(spreads).or(last);
        assert!(
            start.elapsed() < Duration::from_secs(120),
            "{what}: {connectors} connectors and {tasks} tasks are not spread evenly: {last:#?}"
        );
        super::pause(Duration::from_millis(100));
    }
}
