//! The embedded broker, asked as the real one is: by the oracle's requests, by kcat, by Java's
//! consumer, and by our own export, through a crash of the broker and through faults on purpose.

#[path = "rig/mod.rs"]
#[expect(dead_code, reason = "other tests use the rest of the rig")]
mod rig;

#[path = "distributed/transactions.rs"]
mod transactions;

#[path = "../src/broker/examples/oracle.rs"]
mod oracle;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use millrace_broker::{Broker, BrokerHandle, BrokerOptions, Fault, FaultAction};
use rig::process::Process;
use rig::worker::{binary, properties, worker_file};
use rig::{free_port, kafka, s3, wait_for};

/// `millrace broker` as a process.
struct Embedded {
    process: Process,
    port: u16,
    dir: tempfile::TempDir,
}

impl Embedded {
    fn start() -> Self {
        let (dir, port) = (tempfile::tempdir().expect("a folder"), free_port());
        let process = Self::run(dir.path(), port);
        let mut broker = Self { process, port, dir };
        broker.wait();
        broker
    }

    fn run(dir: &Path, port: u16) -> Process {
        let mut command = Command::new(binary());
        command.args(["broker", "--listen", &format!("127.0.0.1:{port}"), "--dir"]);
        command.arg(dir.join("data"));
        Process::start(&mut command, &dir.join("broker.log"))
    }

    fn wait(&mut self) {
        let bootstrap = self.bootstrap();
        wait_for("the embedded broker", Duration::from_secs(20), || {
            assert!(self.process.exited().is_none(), "{}", self.process.log());
            let output = kcat(&bootstrap).args(["-L", "-m", "1"]).output();
            output.is_ok_and(|output| output.status.success())
        });
    }

    /// SIGKILL, and the same again.
    fn crash(&mut self) {
        self.process.kill();
        self.process = Self::run(self.dir.path(), self.port);
        self.wait();
    }

    fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

fn kcat(bootstrap: &str) -> Command {
    let mut command = Command::new("kcat");
    command.args(["-b", bootstrap]);
    command
}

fn text(output: std::process::Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Records `{"id":N}` for the range, all acknowledged when it returns.
fn produce(bootstrap: &str, topic: &str, partition: i32, codec: &str, ids: std::ops::Range<u64>) {
    let mut child = kcat(bootstrap)
        .args(["-P", "-t", topic, "-p", &partition.to_string(), "-z", codec, "-X", "acks=all"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("kcat");
    let mut input = child.stdin.take().expect("piped");
    let pad = "x".repeat(80);
    let lines: String = ids.map(|id| format!("{{\"id\":{id},\"pad\":\"{pad}\"}}\n")).collect();
    input.write_all(lines.as_bytes()).expect("kcat reads");
    drop(input);
    assert!(child.wait().expect("kcat").success(), "kcat could not produce");
}

fn create_topic(bootstrap: &str, topic: &str, partitions: u32) {
    let output = kafka::java()
        .args(["org.apache.kafka.tools.TopicCommand", "--create", "--topic", topic])
        .args(["--bootstrap-server", bootstrap, "--partitions", &partitions.to_string()])
        .output()
        .expect("java");
    text(output);
}

/// The codec of each batch in the broker's files.
fn codecs(broker: &Embedded, topic: &str, partitions: u32) -> Vec<u8> {
    let mut found = Vec::new();
    for partition in 0..partitions {
        let folder = broker.dir.path().join(format!("data/logs/{topic}-{partition}"));
        for entry in std::fs::read_dir(folder).expect("the partition's folder") {
            let path = entry.expect("an entry").path();
            if path.extension().is_none_or(|extension| extension != "log") {
                continue;
            }
            let bytes = std::fs::read(path).expect("a segment");
            let mut at = 0;
            while at < bytes.len() {
                let length: [u8; 4] = bytes[at + 8..at + 12].try_into().expect("four bytes");
                found.push(bytes[at + 22] & 7);
                at += 12 + u32::from_be_bytes(length) as usize;
            }
        }
    }
    found
}

/// An export of one topic into a local folder.
struct Export {
    dir: tempfile::TempDir,
    args: Vec<std::ffi::OsString>,
}

impl Export {
    fn new(bootstrap: &str, topic: &str, more: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let out = dir.path().join("out");
        std::fs::create_dir(&out).expect("a folder");
        let url = format!("file://{}", out.display());
        let mut pairs = vec![
            ("name", topic),
            ("connector.class", "io.confluent.connect.s3.S3SinkConnector"),
            ("tasks.max", "1"),
            ("topics", topic),
            ("storage.class", "io.confluent.connect.s3.storage.S3Storage"),
            ("format.class", "io.confluent.connect.s3.format.json.JsonFormat"),
            ("store.url", &url),
            ("s3.bucket.name", "bucket"),
            ("flush.size", "5000"),
        ];
        pairs.extend_from_slice(more);
        let connector = properties(dir.path(), "connector.properties", &pairs);
        let worker = worker_file(dir.path(), bootstrap, &[]);
        let args =
            vec!["export".into(), connector.into_os_string(), "--worker".into(), worker.into()];
        Self { dir, args }
    }

    fn start(&self) -> Process {
        let log = self.dir.path().join("export.log");
        Process::start(Command::new(binary()).args(&self.args), &log)
    }

    fn run(&self) {
        let mut process = self.start();
        assert!(process.wait(Duration::from_secs(120)).success(), "{}", process.log());
    }

    /// Every id below `count` was delivered, and none twice.
    fn assert_each_once(&self, count: u64) {
        let mut seen = vec![0u32; count as usize];
        for (_, bytes) in s3::objects(&self.dir.path().join("out")) {
            for line in String::from_utf8(bytes).expect("text").lines() {
                let document: serde_json::Value = serde_json::from_str(line).expect("a JSON line");
                seen[document["id"].as_u64().expect("an id") as usize] += 1;
            }
        }
        let missing = seen.iter().filter(|times| **times == 0).count();
        let twice = seen.iter().filter(|times| **times > 1).count();
        assert_eq!((missing, twice), (0, 0), "missing and repeated, of {count}");
    }
}

#[test]
fn it_answers_as_the_real_broker_does() {
    let broker = Embedded::start();
    let oracle::Compared { answers, differ } =
        oracle::compare(&kafka::shared().bootstrap(), &broker.bootstrap()).expect("both answer");
    assert!(answers.0 >= 250, "only {} answers: the comparison is broken", answers.0);
    assert_eq!(answers.0, answers.1);
    println!("{} answers compared", answers.0);
    assert!(differ.is_empty(), "the real broker's answer and ours: {differ:#?}");
}

#[test]
fn our_producer_commits_and_aborts_transactions() {
    let broker = Embedded::start();
    create_topic(&broker.bootstrap(), "transactions", 1);
    transactions::exercise(&broker.bootstrap(), "transactions");
}

#[test]
fn kcat_produces_consumes_and_shares_a_group() {
    let broker = Embedded::start();
    let bootstrap = broker.bootstrap();
    create_topic(&bootstrap, "kcat", 2);
    let mut from = 0;
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        produce(&bootstrap, "kcat", (from / 1000 % 2) as i32, codec, from..from + 1000);
        from += 1000;
    }
    let mut used = codecs(&broker, "kcat", 2);
    used.sort_unstable();
    used.dedup();
    assert_eq!(used, [0, 1, 2, 3, 4], "not every codec arrived as such");
    let consume = || {
        let mut command = kcat(&bootstrap);
        command.args(["-C", "-t", "kcat", "-o", "beginning", "-e", "-q", "-f", "%p %o %s\n"]);
        text(command.output().expect("kcat"))
    };
    let all = consume();
    assert_eq!(all.lines().count(), 5000);
    for partition in 0..2 {
        let start = format!("{partition} ");
        let mut offsets = 0..;
        for line in all.lines().filter(|line| line.starts_with(&start)) {
            let offset: u64 = line.split(' ').nth(1).and_then(|at| at.parse().ok()).expect("it");
            assert_eq!(Some(offset), offsets.next(), "partition {partition}");
        }
        assert_eq!(offsets.start, if partition == 0 { 3000 } else { 2000 });
    }
    // A member commits what it has read; the next one starts behind that.
    let group = || {
        let mut command = kcat(&bootstrap);
        command.args(["-G", "readers", "-X", "auto.offset.reset=earliest"]);
        command.args(["-e", "-q", "-f", "%s\n", "kcat"]);
        text(command.output().expect("kcat")).lines().count()
    };
    assert_eq!(group(), 5000);
    produce(&bootstrap, "kcat", 1, "lz4", from..from + 10);
    assert_eq!(group(), 10);
}

#[test]
fn javas_console_consumer_reads_it_in_a_group() {
    let broker = Embedded::start();
    let bootstrap = broker.bootstrap();
    create_topic(&bootstrap, "java", 3);
    for partition in 0..3 {
        let first = partition as u64 * 500;
        produce(&bootstrap, "java", partition, "zstd", first..first + 500);
    }
    let output = kafka::java()
        .args(["org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", &bootstrap])
        .args(["--topic", "java", "--from-beginning", "--group", "java-readers"])
        .args(["--max-messages", "1500", "--timeout-ms", "30000"])
        .output()
        .expect("java");
    let mut ids: Vec<u64> = text(output)
        .lines()
        .map(|line| {
            let document: serde_json::Value = serde_json::from_str(line).expect("a JSON line");
            document["id"].as_u64().expect("an id")
        })
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..1500).collect::<Vec<_>>());
}

#[test]
fn what_was_acknowledged_before_a_kill_is_exported_after_it() {
    let mut broker = Embedded::start();
    let bootstrap = broker.bootstrap();
    create_topic(&bootstrap, "killed", 2);
    produce(&bootstrap, "killed", 0, "lz4", 0..20_000);
    produce(&bootstrap, "killed", 1, "none", 20_000..30_000);
    broker.crash();
    let export = Export::new(&bootstrap, "killed", &[]);
    export.run();
    export.assert_each_once(30_000);
    // The offsets that the export committed outlive a kill too: nothing is delivered again.
    produce(&bootstrap, "killed", 1, "gzip", 30_000..31_000);
    broker.crash();
    export.run();
    export.assert_each_once(31_000);
}

#[test]
fn an_export_outlives_a_kill_of_its_broker() {
    let mut broker = Embedded::start();
    let bootstrap = broker.bootstrap();
    create_topic(&bootstrap, "outlived", 2);
    let count = 800_000;
    produce(&bootstrap, "outlived", 0, "lz4", 0..count / 2);
    produce(&bootstrap, "outlived", 1, "lz4", count / 2..count);
    let export = Export::new(&bootstrap, "outlived", &[]);
    let mut process = export.start();
    wait_for("the first object", Duration::from_secs(30), || {
        !s3::keys(&export.dir.path().join("out")).is_empty()
    });
    let running = process.exited().is_none();
    broker.crash();
    assert!(process.wait(Duration::from_secs(120)).success(), "{}", process.log());
    assert!(running, "the export is too quick for this test: give it more records");
    export.assert_each_once(count);
}

/// A broker in this process, whose faults can be switched, and its folder.
fn in_process() -> (tempfile::TempDir, BrokerHandle) {
    let dir = tempfile::tempdir().expect("a folder");
    let listen = "127.0.0.1:0".parse().expect("an address");
    let options = BrokerOptions::new(listen, dir.path());
    (dir, Broker::spawn_thread(options, None).expect("a broker"))
}

#[test]
fn an_export_gets_through_injected_faults() {
    let (_dir, broker) = in_process();
    let bootstrap = broker.addr().to_string();
    let (not_leader, not_coordinator, loading) = (6, 16, 14);
    let (fetch, list_offsets, metadata, commit, committed, coordinator) = (1, 2, 3, 8, 9, 10);
    let wait = Duration::from_millis(120);
    let cases: [(&str, &[(i16, FaultAction)]); 6] = [
        (
            "not-leader",
            &[
                (fetch, FaultAction::Error(not_leader)),
                (list_offsets, FaultAction::Error(not_leader)),
            ],
        ),
        (
            "disconnect",
            &[
                (fetch, FaultAction::Disconnect),
                (metadata, FaultAction::Disconnect),
                (list_offsets, FaultAction::Disconnect),
                (commit, FaultAction::DisconnectAfter),
            ],
        ),
        ("delay", &[(fetch, FaultAction::Delay(wait)), (commit, FaultAction::Delay(wait))]),
        ("throttle", &[(fetch, FaultAction::Throttle(wait))]),
        ("corrupt", &[(fetch, FaultAction::CorruptCrc)]),
        (
            "coordinator",
            &[
                (commit, FaultAction::Error(not_coordinator)),
                (committed, FaultAction::Error(loading)),
                (coordinator, FaultAction::Disconnect),
            ],
        ),
    ];
    for (topic, actions) in cases {
        let count = 60_000;
        produce(&bootstrap, topic, -1, "none", 0..count);
        let faults = broker.faults();
        for (api, action) in actions {
            faults.inject(Fault::new(*api, action.clone(), 1));
        }
        let export = Export::new(&bootstrap, topic, &[]);
        let mut process = export.start();
        let status = process.wait(Duration::from_secs(60));
        assert!(status.success(), "{topic}: {}", process.log());
        assert_eq!(faults.pending(), 0, "{topic}: not every fault was met");
        export.assert_each_once(count);
    }
    broker.stop_blocking().expect("a clean stop");
}

/// What the tasks of a core would all ask for, one of them asks for, and the others hear it.
#[test]
fn tasks_that_start_together_do_not_each_ask_for_the_same() {
    let (_dir, broker) = in_process();
    let bootstrap = broker.addr().to_string();
    let (tasks, count) = (100, 20_000);
    create_topic(&bootstrap, "together", tasks);
    produce(&bootstrap, "together", -1, "lz4", 0..count);
    // A rule that changes nothing and is used up by half as many requests for metadata.
    let faults = broker.faults();
    faults.inject(Fault::new(3, FaultAction::Delay(Duration::ZERO), tasks / 2));
    let export = Export::new(&bootstrap, "together", &[("tasks.max", &tasks.to_string())]);
    let mut process = export.start();
    assert!(process.wait(Duration::from_secs(60)).success(), "{}", process.log());
    assert_eq!(faults.pending(), 1, "half of the tasks, or more, asked for metadata");
    export.assert_each_once(count);
    broker.stop_blocking().expect("a clean stop");
}
