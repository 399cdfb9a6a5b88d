//! Our side: one `millrace` process a run, from its start to its end.

use std::io::{BufWriter, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::rig::elasticsearch::{self, Search};
use crate::rig::kafka::Kafka;
use crate::rig::worker::{binary, properties, worker_file};
use crate::rig::{registry, s3};
use crate::scenario::{self, Kind, Scenario};
use crate::{chains, events, stand_in};

/// What the kernel says of a process that has ended.
pub struct Used {
    pub cpu_ns_per_record: f64,
    pub peak_rss_mb: f64,
}

impl Used {
    fn of(usage: &libc::rusage, records: u64) -> Self {
        let cpu = |time: libc::timeval| time.tv_sec as f64 * 1e9 + time.tv_usec as f64 * 1e3;
        Self {
            cpu_ns_per_record: (cpu(usage.ru_utime) + cpu(usage.ru_stime)) / records as f64,
            peak_rss_mb: usage.ru_maxrss as f64 / 1024.0,
        }
    }
}

/// Where our source writes.
pub const SOURCE_TOPIC: &str = "perf-source-ours";

const FILE_SOURCE: &[(&str, &str)] = &[
    ("connector.class", "org.apache.kafka.connect.file.FileStreamSourceConnector"),
    ("topic", SOURCE_TOPIC),
    ("millrace.file.until.end", "true"),
];

/// The source of events. Its values are JSON documents, which go out as they are; the JVM's source
/// has the same text as strings, and the StringConverter, the cheapest that it has for them.
const EVENTS: &[(&str, &str)] = &[
    ("connector.class", "millrace.DatagenSourceConnector"),
    ("quickstart", "events"),
    ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
    ("value.converter.schemas.enable", "false"),
];

/// How the sources write, ours and the JVM's.
pub const INTO_KAFKA: &[(&str, &str)] = &[
    ("producer.override.compression.type", "lz4"),
    ("producer.override.batch.size", "65536"),
    ("producer.override.linger.ms", "20"),
];

/// One run; `under` is a program, and its arguments, that starts ours: a profiler, or nothing.
pub fn measure(
    scenario: &Scenario,
    kafka: &Kafka,
    records: u64,
    run: usize,
    under: &[&str],
) -> Used {
    let dir = tempfile::tempdir().expect("a folder");
    let out = dir.path().join("out.txt");
    let name = format!("ours-{}-{run}", scenario.name);
    let (bucket, url) = (format!("perf-{}-{run}", scenario.name), s3::shared().url());
    let iterations = records.to_string();
    let (elasticsearch, indexed) = (stand_in::url(), stand_in::actions());
    let mut pairs = vec![("name", name.as_str()), ("tasks.max", "1")];
    match scenario.kind {
        Kind::Null => pairs.extend([
            ("connector.class", "millrace.NullSinkConnector"),
            ("topics", scenario.topic),
        ]),
        Kind::File => pairs.extend([
            ("connector.class", "org.apache.kafka.connect.file.FileStreamSinkConnector"),
            ("topics", scenario.topic),
            ("file", out.to_str().expect("a path")),
        ]),
        Kind::S3 => {
            s3::shared().bucket(&bucket);
            pairs.extend([
                ("connector.class", "io.confluent.connect.s3.S3SinkConnector"),
                ("topics", scenario.topic),
                ("s3.bucket.name", &bucket),
                ("s3.region", "us-east-1"),
                ("store.url", &url),
                ("aws.access.key.id", s3::ACCESS_KEY),
                ("aws.secret.access.key", s3::SECRET_KEY),
                ("storage.class", "io.confluent.connect.s3.storage.S3Storage"),
                ("format.class", "io.confluent.connect.s3.format.json.JsonFormat"),
                ("flush.size", "500000"),
            ]);
        }
        Kind::Elasticsearch => pairs.extend([
            ("connector.class", "io.confluent.connect.elasticsearch.ElasticsearchSinkConnector"),
            ("topics", scenario.topic),
            ("connection.url", elasticsearch),
        ]),
        Kind::Source => {
            pairs.extend_from_slice(EVENTS);
            pairs.extend([("kafka.topic", SOURCE_TOPIC), ("iterations", &iterations)]);
        }
        Kind::FileSource => {
            write_lines(&out, records);
            pairs.extend_from_slice(FILE_SOURCE);
            pairs.push(("file", out.to_str().expect("a path")));
        }
    }
    let own = filled_in(scenario.connector, dir.path());
    match scenario.kind {
        Kind::Source => pairs.extend_from_slice(INTO_KAFKA),
        Kind::FileSource => pairs.extend(INTO_KAFKA.iter().copied().chain(lent(&own))),
        _ => pairs.extend(lent(&own)),
    }
    let usage = export(kafka, &pairs, under);
    if scenario.kind == Kind::Elasticsearch {
        assert_eq!(stand_in::actions() - indexed, records, "actions that reached the stand-in");
    }
    Used::of(&usage, records)
}

fn lent<'a>(own: &'a [(&'a str, String)]) -> impl Iterator<Item = (&'a str, &'a str)> {
    own.iter().map(|(key, value)| (*key, value.as_str()))
}

/// A scenario's settings with what stands for a path or a URL replaced.
pub fn filled_in<'a>(settings: &[(&'a str, &str)], dir: &Path) -> Vec<(&'a str, String)> {
    let fill = |value: &str| match value {
        chains::ROWS => {
            let path = dir.join("rows.csv");
            events::write_rows(&path);
            path.to_str().expect("a path").to_owned()
        }
        chains::REGISTRY => registry::shared().url(),
        chains::OWN_REGISTRY => registry::shared().url().replace("/ccompat/v7", "/registry/v2"),
        value => value.to_owned(),
    };
    settings.iter().map(|(key, value)| (*key, fill(value))).collect()
}

/// Fills a topic of records under a schema: the generator's events, through our own converter.
pub fn fill(kafka: &Kafka, topic: &str, converter: &[(&str, &str)], records: u64) {
    let mut settings = vec![
        ("connector.class", "millrace.DatagenSourceConnector"),
        ("quickstart", "events"),
        ("format", "struct"),
    ];
    let converter = filled_in(converter, Path::new(""));
    settings.extend(lent(&converter));
    generate(kafka, topic, records, &settings);
}

/// Events of [`write_generated`]: a megabyte, so that none comes again within lz4's window of 64 KiB,
/// and too little to be a burden to the JVM's collector or its caches.
const GENERATED: u64 = 4_000;

/// The lines that our source of events makes, as many as the JVM's needs of them: what ours wrote into
/// a topic, read back.
pub fn write_generated(kafka: &Kafka, path: &Path) {
    let topic = "perf-generated";
    kafka.create_topic(topic, 1);
    generate(kafka, topic, GENERATED, EVENTS);
    let lines = kafka.consume(topic, "%s\n");
    assert_eq!(lines.len() as u64, GENERATED, "events that the generator wrote");
    assert!(lines.iter().all(|line| line.len() == 254), "an event of another length");
    std::fs::write(path, lines.join("\n")).expect("written");
}

/// The null sink over the bytes of a topic, by so many tasks, to its end.
pub fn deliver(kafka: &Kafka, topic: &str, tasks: u32, records: u64) -> Used {
    static RUN: AtomicUsize = AtomicUsize::new(0);
    let name = format!("ours-{topic}-{}", RUN.fetch_add(1, Ordering::Relaxed));
    let tasks = tasks.to_string();
    let bytes = "org.apache.kafka.connect.converters.ByteArrayConverter";
    let pairs = [
        ("name", name.as_str()),
        ("connector.class", "millrace.NullSinkConnector"),
        ("topics", topic),
        ("tasks.max", &tasks),
        ("key.converter", bytes),
        ("value.converter", bytes),
    ];
    Used::of(&export(kafka, &pairs, &[]), records)
}

/// Two tasks on these cores that write JSON lines after three transforms, compressed at a level, to a
/// local folder: records a second from the process's start to its end, and CPU time.
pub fn compress(
    kafka: &Kafka,
    topic: &str,
    cores: &str,
    records: u64,
    (compression, level): (&str, &str),
) -> (f64, Used) {
    static RUN: AtomicUsize = AtomicUsize::new(0);
    let name = format!("ours-compress-{}", RUN.fetch_add(1, Ordering::Relaxed));
    let dir = tempfile::tempdir().expect("a folder");
    let url = format!("file://{}", dir.path().to_str().expect("a path"));
    let mut pairs = vec![
        ("name", name.as_str()),
        ("connector.class", "io.confluent.connect.s3.S3SinkConnector"),
        ("topics", topic),
        ("tasks.max", "2"),
        ("s3.bucket.name", "lines"),
        ("store.url", &url),
        ("format.class", "io.confluent.connect.s3.format.json.JsonFormat"),
        ("flush.size", "500000"),
        ("s3.compression.type", compression),
        ("s3.compression.level", level),
    ];
    pairs.extend_from_slice(scenario::S3);
    let start = Instant::now();
    let usage = export_on(cores, kafka, &pairs, &[]);
    (records as f64 / start.elapsed().as_secs_f64(), Used::of(&usage, records))
}

/// One task that indexes a topic in a real Elasticsearch: documents a second, and CPU time.
pub fn index(kafka: &Kafka, search: &Search, records: u64) -> (f64, Used) {
    static RUN: AtomicUsize = AtomicUsize::new(0);
    let name = format!("ours-index-{}", RUN.fetch_add(1, Ordering::Relaxed));
    let url = search.url();
    let mut pairs = vec![
        ("name", name.as_str()),
        ("connector.class", "io.confluent.connect.elasticsearch.ElasticsearchSinkConnector"),
        ("topics", events::TOPIC),
        ("connection.url", &url),
        ("connection.username", elasticsearch::USER),
        ("connection.password", elasticsearch::PASSWORD),
    ];
    pairs.extend_from_slice(scenario::INTO_ELASTICSEARCH);
    let start = Instant::now();
    let usage = export(kafka, &pairs, &[]);
    (records as f64 / start.elapsed().as_secs_f64(), Used::of(&usage, records))
}

/// Runs our source of records into a topic.
fn generate(kafka: &Kafka, topic: &str, records: u64, settings: &[(&str, &str)]) {
    let (name, iterations) = (format!("{topic}-fill"), records.to_string());
    let mut pairs = vec![("name", name.as_str()), ("tasks.max", "1")];
    pairs.extend([("kafka.topic", topic), ("iterations", &iterations)]);
    pairs.extend_from_slice(settings);
    pairs.extend_from_slice(INTO_KAFKA);
    export(kafka, &pairs, &[]);
}

/// Runs the connector to its end on one core, started by `under`.
fn export(kafka: &Kafka, connector: &[(&str, &str)], under: &[&str]) -> libc::rusage {
    export_on("1", kafka, connector, under)
}

fn export_on(
    cores: &str,
    kafka: &Kafka,
    connector: &[(&str, &str)],
    under: &[&str],
) -> libc::rusage {
    let dir = tempfile::tempdir().expect("a folder");
    let file = properties(dir.path(), "connector.properties", connector);
    let worker = worker_file(dir.path(), &kafka.bootstrap(), &[("millrace.cores", cores)]);
    let output = dir.path().join("ours.log");
    let (status, usage) = run_to_end(under, &file, &worker, &output);
    let log = || std::fs::read_to_string(&output).unwrap_or_default();
    assert!(status.success(), "{connector:?} failed: {}", log());
    usage
}

/// The events that the topic has, as lines.
pub fn write_lines(path: &Path, records: u64) {
    let file = std::fs::File::create(path).expect("a file");
    let mut lines = BufWriter::with_capacity(1 << 20, file);
    for number in 0..records {
        writeln!(lines, "{}", events::event(number)).expect("written");
    }
    lines.flush().expect("written");
}

#[expect(clippy::zombie_processes, reason = "wait4 waits for it, and tells what it used")]
fn run_to_end(
    under: &[&str],
    connector: &Path,
    worker: &Path,
    log: &Path,
) -> (ExitStatus, libc::rusage) {
    let out = std::fs::File::create(log).expect("a log file");
    let ours = std::env::var_os("MILLRACE_BINARY").map_or_else(binary, Into::into);
    let mut command = match under {
        [] => Command::new(ours),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(ours);
            command
        }
    };
    let child = command
        .arg("export")
        .arg(connector)
        .arg("--worker")
        .arg(worker)
        .stdin(Stdio::null())
        .stdout(out.try_clone().expect("a second handle"))
        .stderr(out)
        .spawn()
        .expect("our binary; build it with cargo build --release");
    let mut status = 0;
    // SAFETY: rusage is plain data, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: waits for a child that nobody else waits for; both pointers are to live locals.
    let ended = unsafe { libc::wait4(child.id() as libc::pid_t, &mut status, 0, &mut usage) };
    assert_eq!(ended, child.id() as libc::pid_t, "wait4 failed");
    (ExitStatus::from_raw(status), usage)
}
