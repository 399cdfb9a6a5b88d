//! The whole way of a record through the engine makes no allocation for it: a topic is exported
//! through three transforms by an engine in this process, whose allocator counts. What a longer
//! topic costs more than a shorter one is what its records and batches cost.

#[path = "rig/mod.rs"]
#[expect(dead_code, reason = "other tests use the rest of the rig")]
mod rig;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use millrace_api::Config;
use millrace_api::plugin::Plugins;
use millrace_converters::avro::{AvroConverter, AvroConverterConfig, AvroDataConfig, WriteAs};
use millrace_converters::converter::Detail;
use millrace_converters::registry::{
    Answer, Question, RegistrySettings, SchemaKind, SchemaSource, SchemaText, SubjectNames,
};
use millrace_converters::{Arena, Converter, DataError};
use millrace_worker::command::{
    Bounds, Report, SourceOffsetStore, TargetState, TaskId, TaskSpec, TaskState,
};
use millrace_worker::engine::{Engine, EngineOptions};
use rig::process::Process;
use rig::{free_port, wait_for};

/// The system's allocator, counted.
struct Counting;

static CALLS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

fn count(bytes: usize) {
    CALLS.fetch_add(1, Ordering::Relaxed);
    BYTES.fetch_add(bytes as u64, Ordering::Relaxed);
}

// SAFETY: every call is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's own promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's own promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: the caller's own promise.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's own promise.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A sink has no source offsets.
struct NoOffsets;

impl SourceOffsetStore for NoOffsets {
    fn get(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn put(
        &self,
        _: Vec<(Vec<u8>, Option<Vec<u8>>)>,
        done: Box<dyn FnOnce(Result<(), String>) + Send>,
    ) {
        done(Ok(()));
    }
}

fn config(pairs: &[(&str, &str)]) -> Config {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// The embedded broker in a process of its own, whose allocations do not count here.
fn broker(dir: &Path) -> (Process, String) {
    let bootstrap = format!("127.0.0.1:{}", free_port());
    let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
    command.args(["broker", "--listen", &bootstrap, "--dir"]).arg(dir.join("data"));
    let mut process = Process::start(&mut command, &dir.join("broker.log"));
    wait_for("the embedded broker", Duration::from_secs(20), || {
        assert!(process.exited().is_none(), "{}", process.log());
        std::net::TcpStream::connect(&bootstrap).is_ok()
    });
    (process, bootstrap)
}

/// `records` documents of 254 bytes in lz4 batches; says in how many.
fn fill(dir: &Path, bootstrap: &str, topic: &str, records: u64) -> u64 {
    let mut child = Command::new("kcat")
        .args(["-b", bootstrap, "-P", "-t", topic, "-z", "lz4", "-X", "linger.ms=50"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("kcat");
    let mut input = child.stdin.take().expect("piped");
    let mut lines = String::new();
    for id in 0..records {
        let start = lines.len();
        lines.push_str(&format!(
            "{{\"id\":{id},\"ip\":\"10.0.0.{}\",\"ua\":\"agent {}\",\"ref\":\"r\",\"note\":\"",
            id % 256,
            id % 7
        ));
        while lines.len() < start + 252 {
            lines.push(char::from(b'a' + (id.wrapping_mul(lines.len() as u64) % 26) as u8));
        }
        lines.push_str("\"}\n");
    }
    input.write_all(lines.as_bytes()).expect("kcat reads");
    drop(input);
    assert!(child.wait().expect("kcat").success(), "kcat could not produce");
    let segment = dir.join(format!("data/logs/{topic}-0/00000000000000000000.log"));
    let bytes = std::fs::read(segment).expect("the first segment");
    let (mut at, mut batches) = (0, 0);
    while at < bytes.len() {
        assert_eq!(bytes[at + 22] & 7, 3, "a batch is not lz4");
        let length: [u8; 4] = bytes[at + 8..at + 12].try_into().expect("four bytes");
        at += 12 + u32::from_be_bytes(length) as usize;
        batches += 1;
    }
    batches
}

/// Delivers the topic to its end: calls of the allocator and bytes asked of it meanwhile.
fn export(
    bootstrap: &str,
    name: &str,
    topic: &str,
    sink: &[(&str, &str)],
    records: u64,
) -> (u64, u64) {
    let worker = config(&[
        ("bootstrap.servers", bootstrap),
        ("key.converter", "org.apache.kafka.connect.storage.StringConverter"),
        ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
        ("value.converter.schemas.enable", "false"),
    ]);
    let mut connector = config(&[("name", name), ("topics", topic)]);
    let chain = [
        ("transforms", "source,mask,shape"),
        ("transforms.source.type", "org.apache.kafka.connect.transforms.InsertField$Value"),
        ("transforms.source.static.field", "source"),
        ("transforms.source.static.value", "web"),
        ("transforms.mask.type", "org.apache.kafka.connect.transforms.MaskField$Value"),
        ("transforms.mask.fields", "ip"),
        ("transforms.shape.type", "org.apache.kafka.connect.transforms.ReplaceField$Value"),
        ("transforms.shape.renames", "ua:user_agent"),
        ("transforms.shape.exclude", "ref"),
    ];
    connector.extend(config(&chain));
    connector.extend(config(sink));
    let plugins = Plugins {
        connectors: millrace_connectors::plugins(),
        converters: millrace_api::builtin_converters::converters(),
        header_converters: millrace_api::builtin_converters::header_converters(),
        transformations: millrace_transforms::transformations(),
        predicates: millrace_transforms::predicates(),
    };
    let plugin = *plugins.connector(&connector["connector.class"]).expect("it is built in");
    let mut task = connector.clone();
    task.insert("task.class".to_owned(), plugin.task_class.to_owned());
    let spec = TaskSpec {
        id: TaskId { connector: name.into(), task: 0 },
        generation: 1,
        worker: Arc::new(worker),
        connector: Arc::new(connector),
        task: Arc::new(task),
        plugins: Arc::new(plugins),
        target: TargetState::Started,
        offsets: Arc::new(NoOffsets),
        bounds: Some(Bounds { share: (0, 1), from: None, until: None }),
    };
    let options = EngineOptions { cpus: vec![0], spin_us: 0, runtime: None };
    let (mut engine, reports) = Engine::start(&options).expect("the engine starts");
    let before = (CALLS.load(Ordering::Relaxed), BYTES.load(Ordering::Relaxed));
    engine.start_task(spec);
    let mut delivered = 0;
    loop {
        match reports.recv_timeout(Duration::from_secs(60)).expect("the job ends") {
            Report::Progress { progress, .. } => delivered = progress.records_out,
            Report::State { state: TaskState::Failed(trace), .. } => panic!("{trace}"),
            Report::State { state: TaskState::Finished, .. } => break,
            _ => {}
        }
    }
    let after = (CALLS.load(Ordering::Relaxed), BYTES.load(Ordering::Relaxed));
    engine.shutdown();
    assert_eq!(delivered, records);
    (after.0 - before.0, after.1 - before.1)
}

#[test]
fn records_cost_no_allocation() {
    let dir = tempfile::tempdir().expect("a folder");
    let (_broker, bootstrap) = broker(dir.path());
    let (short, long) = (50_000, 450_000);
    let batches = fill(dir.path(), &bootstrap, "short", short);
    let more = fill(dir.path(), &bootstrap, "long", long) - batches;
    let file = dir.path().join("out.txt");
    let file = file.to_str().expect("a path");
    let url = format!("file://{}", dir.path().display());
    let s3 = "io.confluent.connect.s3.S3SinkConnector";
    let table = dir.path().join("table.csv");
    let rows: String = (0..250).map(|at| format!("10.0.0.{at},C{at},{at}\n")).collect();
    std::fs::write(&table, format!("ip,country,score\n{rows}")).expect("a table");
    let table = table.to_str().expect("a path");
    let sinks: [(&str, &[(&str, &str)]); 5] = [
        ("null", &[("connector.class", "millrace.NullSinkConnector"), ("null.format", "json")]),
        (
            "file",
            &[
                ("connector.class", "org.apache.kafka.connect.file.FileStreamSinkConnector"),
                ("file", file),
            ],
        ),
        (
            "local folder",
            &[
                ("connector.class", s3),
                ("s3.bucket.name", "plain"),
                ("store.url", &url),
                ("storage.class", "io.confluent.connect.s3.storage.S3Storage"),
                ("format.class", "io.confluent.connect.s3.format.json.JsonFormat"),
                ("flush.size", "1000000"),
            ],
        ),
        (
            "local folder, gzip",
            &[
                ("connector.class", s3),
                ("s3.bucket.name", "gzip"),
                ("store.url", &url),
                ("storage.class", "io.confluent.connect.s3.storage.S3Storage"),
                ("format.class", "io.confluent.connect.s3.format.json.JsonFormat"),
                ("s3.compression.type", "gzip"),
                ("s3.compression.level", "1"),
                ("flush.size", "1000000"),
            ],
        ),
        (
            "null, joined and with expressions",
            &[
                ("connector.class", "millrace.NullSinkConnector"),
                ("null.format", "json"),
                ("transforms", "geo,e"),
                ("transforms.geo.type", "millrace.Enrich"),
                ("transforms.geo.key", "value.ip"),
                ("transforms.geo.table.file", table),
                ("transforms.geo.table.key", "ip"),
                ("transforms.geo.fields", "country,score"),
                ("transforms.e.type", "millrace.Expression"),
                ("transforms.e.set.half", "has(value.country) ? value.id / 2 : -1"),
                ("transforms.e.set.where", "value.ip + '/' + string(value.id)"),
                ("transforms.e.drop", "value.ua == 'none'"),
                ("transforms.e.topic", "topic + '-x'"),
            ],
        ),
    ];
    // The parser of expressions learns, once in a process: it is shown them before anything counts.
    let list = millrace_transforms::transformations();
    let expression = list.iter().find(|plugin| plugin.class == "millrace.Expression");
    let expressions: Vec<_> = sinks[4].1.iter().filter(|(key, _)| key.contains(".e.")).collect();
    let keys = expressions.iter().filter(|(key, _)| !key.ends_with(".type"));
    let settings = keys.map(|(key, text)| (key.replace("transforms.e.", ""), (*text).to_owned()));
    assert!((expression.expect("it is built in").new)(&settings.collect()).is_ok());
    let mut wrong = Vec::new();
    for (number, (name, sink)) in sinks.into_iter().enumerate() {
        // A name of its own is a consumer group of its own: each run begins at the topic's start.
        let run = |topic: &'static str, records| {
            export(&bootstrap, &format!("{number}-{topic}"), topic, sink, records)
        };
        let (calls, bytes) = run("short", short);
        let (calls_long, bytes_long) = run("long", long);
        let calls = calls_long as f64 - calls as f64;
        let bytes = bytes_long as f64 - bytes as f64;
        let records = (long - short) as f64;
        println!(
            "{name}: {:.5} allocations a record, {:.1} a batch of {:.0} records; {:.2} bytes a record",
            calls / records,
            calls / more as f64,
            records / more as f64,
            bytes / records
        );
        // Reads and writes of sockets and files cost some, and how many there are varies.
        if calls / records >= 0.02 {
            wrong.push(format!("{name}: {:.4} allocations a record", calls / records));
        }
    }
    wrong.extend(avro_costs_no_allocation());
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// A registry of one schema.
struct OneSchema;

impl SchemaSource for OneSchema {
    fn ask(&self, _: &Question) -> Option<Result<Arc<Answer>, DataError>> {
        let text = r#"{"type":"record","name":"R","fields":[{"name":"id","type":"long"},
            {"name":"in","type":{"type":"record","name":"I","fields":[
                {"name":"s","type":["null","string"]},{"name":"d","type":"double"}]}},
            {"name":"tags","type":{"type":"array","items":"string"}},
            {"name":"any","type":["int","string"]}]}"#;
        let schema = SchemaText { type_: SchemaKind::Avro, text: text.into() };
        Some(Ok(Arc::new(Answer { id: 1, schema: Some(schema), ..Answer::default() })))
    }
}

/// Avro of a registry, batch by batch as a task has it: typed, as JSON text, and back. Once the
/// arena has grown to a batch's size, nothing is allocated.
fn avro_costs_no_allocation() -> Vec<String> {
    let config = AvroConverterConfig {
        data: AvroDataConfig::default(),
        is_key: false,
        subject_names: SubjectNames::Topic,
        write_as: WriteAs::Registered,
        normalize: false,
        schemas_cache: 1000,
    };
    let mut converter = AvroConverter::new(config, RegistrySettings::default());
    converter.attach(std::rc::Rc::new(OneSchema));
    let mut record = vec![0, 0, 0, 0, 1, 14, 2, 6, b'a', b'\"', b'c'];
    record.extend(0.5f64.to_le_bytes());
    record.extend([4, 2, b'x', 2, b'y', 0, 2, 2, b'z']);
    let (mut arena, mut out, mut wrong) = (Arena::new(), Vec::new(), Vec::new());
    for (name, detail) in [("typed and back", Detail::Full), ("JSON text", Detail::Json)] {
        let mut batch = |converter: &mut AvroConverter| {
            arena.reset();
            converter.begin_batch();
            for _ in 0..1000 {
                let read = converter.to_connect_data("t", Some(&record), detail, &arena);
                let read = read.expect("Avro");
                if detail == Detail::Full {
                    out.clear();
                    let back = converter.from_connect_data("t", read.schema, read.value, &mut out);
                    back.expect("Avro");
                }
            }
        };
        (0..4).for_each(|_| batch(&mut converter));
        let before = CALLS.load(Ordering::Relaxed);
        (0..100).for_each(|_| batch(&mut converter));
        let calls = CALLS.load(Ordering::Relaxed) - before;
        println!("Avro, {name}: {:.5} allocations a record", calls as f64 / 1e5);
        if calls > 100 {
            wrong.push(format!("Avro, {name}: {calls} allocations for 100,000 records"));
        }
    }
    wrong
}
