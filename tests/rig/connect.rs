//! The JVM's Kafka Connect worker: the oracle.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::kafka::{java, libs};
use super::process::Process;
use super::{free_port, wait_for};

/// A standalone JVM worker with its REST API.
pub struct JvmWorker {
    pub process: Process,
    pub port: u16,
}

impl JvmWorker {
    /// Starts it with these connector files; `worker` are the worker's properties beside the
    /// listener and the offsets file.
    pub fn start(dir: &Path, worker: &str, connectors: &[&Path]) -> Self {
        Self::start_tuned(dir, worker, connectors, None)
    }

    /// With its MBeans to be read at the port that comes with it.
    pub fn start_watched(dir: &Path, worker: &str, connectors: &[&Path]) -> (Self, u16) {
        let jmx = free_port();
        let mut command = java();
        let watched = "-Dcom.sun.management.jmxremote";
        command.args([
            format!("{watched}.port={jmx}"),
            format!("{watched}.host=127.0.0.1"),
            format!("{watched}.authenticate=false"),
            format!("{watched}.ssl=false"),
            "-Djava.rmi.server.hostname=127.0.0.1".to_owned(),
        ]);
        (Self::launch(command, dir, worker, connectors), jmx)
    }

    /// With `classes` behind Kafka's jars on its class path, and the JVM's own defaults instead of
    /// a quick start.
    pub fn start_tuned(
        dir: &Path,
        worker: &str,
        connectors: &[&Path],
        classes: Option<&str>,
    ) -> Self {
        let command = match classes {
            None => java(),
            Some(classes) => {
                let mut command = Command::new("java");
                let path = format!("{}/*:{classes}", libs().display());
                command.args(["-Xms256M", "-Xmx2G", "-cp"]).arg(path);
                command
            }
        };
        Self::launch(command, dir, worker, connectors)
    }

    /// A standalone worker with exactly these properties and options of Java's; the caller waits.
    pub fn process(dir: &Path, properties: &str, options: &[String]) -> Process {
        let file = dir.join("jvm-worker.properties");
        std::fs::write(&file, properties).expect("a worker file");
        let mut command = java();
        command.args(options).arg("org.apache.kafka.connect.cli.ConnectStandalone").arg(&file);
        Process::start(&mut command, &dir.join("jvm-worker.log"))
    }

    fn launch(mut command: Command, dir: &Path, worker: &str, connectors: &[&Path]) -> Self {
        let port = free_port();
        let file = dir.join("jvm-worker.properties");
        let text = format!(
            "{worker}\nlisteners=http://127.0.0.1:{port}\n\
             offset.storage.file.filename={}/jvm.offsets\n",
            dir.display()
        );
        std::fs::write(&file, text).expect("a worker file");
        command.arg("org.apache.kafka.connect.cli.ConnectStandalone").arg(&file).args(connectors);
        let process = Process::start(&mut command, &dir.join("jvm-worker.log"));
        let mut worker = Self { process, port };
        wait_for("the JVM worker", Duration::from_secs(90), || {
            assert!(worker.process.exited().is_none(), "it died:\n{}", worker.process.log());
            super::worker::get(port, "/connectors").is_some_and(|(status, _)| status == 200)
        });
        worker
    }
}
