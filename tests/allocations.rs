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
use millrace_converters::avro::{AvroConverter, AvroConverterConfig, AvroDataConfig};
use millrace_converters::converter::Detail;
use millrace_converters::json_schema::{
    JsonSchemaConverter, JsonSchemaConverterConfig, JsonSchemaDataConfig,
};
use millrace_converters::protobuf::{
    ProtobufConverter, ProtobufConverterConfig, ProtobufDataConfig,
};
use millrace_converters::registry::{
    Answer, Question, RegistrySettings, RegistryUse, SchemaKind, SchemaSource, SchemaText,
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

/// Topics of plain documents, of documents with their schema, and of change events with theirs.
const FORMS: [&str; 3] = ["plain", "enveloped", "changes"];

const FIELDS: &str = r#"[{"field":"id","type":"int64"},{"field":"ip","type":"string"},{"field":"ua","type":"string"},{"field":"ref","type":"string"},{"field":"note","type":"string","optional":true}]"#;

/// A document as that form has it.
fn formed(form: &str, document: &str) -> String {
    let schema = |name, more| {
        format!(r#"{{"type":"struct","name":"{name}","optional":true,"fields":{FIELDS}{more}}}"#)
    };
    match form {
        "enveloped" => {
            format!(r#"{{"schema":{},"payload":{document}}}"#, schema("Event", ""))
        }
        "changes" => format!(
            r#"{{"schema":{{"type":"struct","name":"s.Envelope","fields":[{},{},{{"field":"op","type":"string"}}]}},"payload":{{"before":null,"after":{document},"op":"c"}}}}"#,
            schema("s.Value", r#","field":"before""#),
            schema("s.Value", r#","field":"after""#)
        ),
        _ => document.to_owned(),
    }
}

/// `records` documents of 254 bytes in lz4 batches; says in how many.
fn fill(dir: &Path, bootstrap: &str, form: &str, topic: &str, records: u64) -> u64 {
    let mut child = Command::new("kcat")
        .args(["-b", bootstrap, "-P", "-t", topic, "-z", "lz4", "-X", "linger.ms=50"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("kcat");
    let mut input = child.stdin.take().expect("piped");
    let mut lines = String::new();
    for id in 0..records {
        let mut document = format!(
            "{{\"id\":{id},\"ip\":\"10.0.0.{}\",\"ua\":\"agent {}\",\"ref\":\"r\",\"note\":\"",
            id % 256,
            id % 7
        );
        while document.len() < 252 {
            let letter = id.wrapping_mul(id + document.len() as u64) % 26;
            document.push(char::from(b'a' + letter as u8));
        }
        document.push_str("\"}");
        lines += &formed(form, &document);
        lines.push('\n');
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
        exactly_once: None,
    };
    let options = EngineOptions { cpus: vec![0], ..EngineOptions::default() };
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

const S3: &str = "io.confluent.connect.s3.S3SinkConnector";

/// A name, the form of its topic, and the settings.
type Row<'a> = (&'static str, &'static str, Vec<(&'static str, &'a str)>);

const NULL: [(&str, &str); 2] =
    [("connector.class", "millrace.NullSinkConnector"), ("null.format", "json")];

fn sinks<'a>(file: &'a str, url: &'a str) -> Vec<Row<'a>> {
    let folder = |bucket| {
        vec![
            ("connector.class", S3),
            ("s3.bucket.name", bucket),
            ("store.url", url),
            ("storage.class", "io.confluent.connect.s3.storage.S3Storage"),
            ("format.class", "io.confluent.connect.s3.format.json.JsonFormat"),
            ("flush.size", "1000000"),
        ]
    };
    let gzip = [("s3.compression.type", "gzip"), ("s3.compression.level", "1")];
    let class = "org.apache.kafka.connect.file.FileStreamSinkConnector";
    vec![
        ("null", "plain", NULL.to_vec()),
        ("file", "plain", vec![("connector.class", class), ("file", file)]),
        ("local folder", "plain", folder("plain")),
        ("local folder, gzip", "plain", [folder("gzip"), gzip.to_vec()].concat()),
    ]
}

/// Transforms that are one pass over text, and the same steps over Structs.
const EIGHT: &[(&str, &str)] = &[
    ("transforms", "source,at,ip,names,id,time,note,event"),
    ("transforms.source.type", "org.apache.kafka.connect.transforms.InsertField$Value"),
    ("transforms.source.static.field", "source"),
    ("transforms.source.static.value", "web"),
    ("transforms.at.type", "org.apache.kafka.connect.transforms.InsertField$Value"),
    ("transforms.at.timestamp.field", "at"),
    ("transforms.ip.type", "org.apache.kafka.connect.transforms.MaskField$Value"),
    ("transforms.ip.fields", "ip"),
    ("transforms.names.type", "org.apache.kafka.connect.transforms.ReplaceField$Value"),
    ("transforms.names.renames", "ua:user_agent"),
    ("transforms.names.exclude", "ref"),
    ("transforms.id.type", "org.apache.kafka.connect.transforms.Cast$Value"),
    ("transforms.id.spec", "id:string"),
    ("transforms.time.type", "org.apache.kafka.connect.transforms.InsertHeader"),
    ("transforms.time.header", "seen"),
    ("transforms.time.value.literal", "yes"),
    ("transforms.note.type", "org.apache.kafka.connect.transforms.MaskField$Value"),
    ("transforms.note.fields", "note"),
    ("transforms.note.replacement", "-"),
    ("transforms.event.type", "org.apache.kafka.connect.transforms.HoistField$Value"),
    ("transforms.event.field", "event"),
];

const JOIN: &[(&str, &str)] = &[
    ("transforms", "geo,e"),
    ("transforms.geo.type", "millrace.Enrich"),
    ("transforms.geo.key", "value.ip"),
    ("transforms.geo.table.key", "ip"),
    ("transforms.geo.fields", "country,score"),
    ("transforms.e.type", "millrace.Expression"),
    ("transforms.e.set.half", "has(value.country) ? value.id / 2 : -1"),
    ("transforms.e.set.where", "value.ip + '/' + string(value.id)"),
    ("transforms.e.drop", "value.ua == 'none'"),
    ("transforms.e.topic", "topic + '-x'"),
];

fn chains(table: &str) -> Vec<Row<'_>> {
    let schemas = ("value.converter.schemas.enable", "true");
    let own = ("value.converter", "org.apache.kafka.connect.json.JsonConverter");
    let typed = |transforms: &[(&'static str, &'static str)]| {
        [&NULL, &[own, schemas][..], transforms].concat()
    };
    let unwrap = [
        ("transforms", "unwrap"),
        ("transforms.unwrap.type", "io.debezium.transforms.ExtractNewRecordState"),
        ("transforms.unwrap.add.fields", "op"),
    ];
    let file = ("transforms.geo.table.file", table);
    vec![
        ("null, eight transforms", "plain", [&NULL, EIGHT].concat()),
        ("null, joined and with expressions", "plain", [&NULL, JOIN, &[file]].concat()),
        ("null, JSON with schemas", "enveloped", typed(&[("transforms", "")])),
        ("null, JSON with schemas, eight transforms", "enveloped", typed(EIGHT)),
        (
            "null, JSON with schemas, joined and with expressions",
            "enveloped",
            [&typed(JOIN)[..], &[file]].concat(),
        ),
        ("null, change events unwrapped", "changes", typed(&unwrap)),
    ]
}

/// The parser of expressions learns, once in a process: it is shown them before anything counts.
fn learn_expressions() {
    let list = millrace_transforms::transformations();
    let expression = list.iter().find(|plugin| plugin.class == "millrace.Expression");
    let settings = JOIN.iter().filter(|(key, _)| key.contains(".e.") && !key.ends_with(".type"));
    let settings =
        settings.map(|(key, text)| (key.replace("transforms.e.", ""), (*text).to_owned()));
    assert!((expression.expect("it is built in").new)(&settings.collect()).is_ok());
}

#[test]
fn records_cost_no_allocation() {
    let dir = tempfile::tempdir().expect("a folder");
    let (_broker, bootstrap) = broker(dir.path());
    let (short, long) = (25_000, 225_000);
    let topics = FORMS.map(|form| {
        let (one, other) = (format!("short-{form}"), format!("long-{form}"));
        let batches = fill(dir.path(), &bootstrap, form, &one, short);
        (form, one, other.clone(), fill(dir.path(), &bootstrap, form, &other, long) - batches)
    });
    let file = dir.path().join("out.txt");
    let url = format!("file://{}", dir.path().display());
    let table = dir.path().join("table.csv");
    let rows: String = (0..250).map(|at| format!("10.0.0.{at},C{at},{at}\n")).collect();
    std::fs::write(&table, format!("ip,country,score\n{rows}")).expect("a table");
    learn_expressions();
    let sinks = sinks(file.to_str().expect("a path"), &url);
    let rows = sinks.into_iter().chain(chains(table.to_str().expect("a path")));
    let mut wrong = Vec::new();
    for (number, (name, form, settings)) in rows.enumerate() {
        let topics = topics.iter().find(|topics| topics.0 == form);
        let (_, one, other, batches) = topics.expect("a form that is filled");
        // A name of its own is a consumer group of its own: each run begins at the topic's start.
        let run = |topic: &str, records| {
            export(&bootstrap, &format!("{number}-{topic}"), topic, &settings, records)
        };
        let (calls, bytes) = run(one, short);
        let (calls_long, bytes_long) = run(other, long);
        let calls = calls_long as f64 - calls as f64;
        let bytes = bytes_long as f64 - bytes as f64;
        let (records, batches) = ((long - short) as f64, *batches as f64);
        println!(
            "{name}: {:.5} allocations a record, {:.1} a batch of {:.0} records; {:.2} bytes a record",
            calls / records,
            calls / batches,
            records / batches,
            bytes / records
        );
        // Reads and writes of sockets and files cost some for each batch, and how many varies.
        if calls / records >= 0.02 && calls / batches >= 12.0 {
            wrong.push(format!("{name}: {:.4} allocations a record", calls / records));
        }
    }
    wrong.extend(registries_cost_no_allocation());
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// A registry of one schema.
struct OneSchema(SchemaKind, &'static str);

impl SchemaSource for OneSchema {
    fn ask(&self, _: &Question) -> Option<Result<Arc<Answer>, DataError>> {
        let schema = SchemaText::new(self.0, self.1);
        Some(Ok(Arc::new(Answer { id: 1, schema: Some(schema), ..Answer::default() })))
    }
}

/// Converters of a registry, batch by batch as a task has them: typed, as JSON text, and back. Once
/// the arena has grown to a batch's size, nothing is allocated.
fn registries_cost_no_allocation() -> Vec<String> {
    let config =
        AvroConverterConfig { data: AvroDataConfig::default(), registry: RegistryUse::default() };
    let mut avro = AvroConverter::new(config, RegistrySettings::default());
    let schema = r#"{"type":"record","name":"R","fields":[{"name":"id","type":"long"},
        {"name":"in","type":{"type":"record","name":"I","fields":[
            {"name":"s","type":["null","string"]},{"name":"d","type":"double"}]}},
        {"name":"tags","type":{"type":"array","items":"string"}},
        {"name":"any","type":["int","string"]}]}"#;
    avro.attach(std::rc::Rc::new(OneSchema(SchemaKind::Avro, schema)));
    let mut record = vec![0, 0, 0, 0, 1, 14, 2, 6, b'a', b'\"', b'c'];
    record.extend(0.5f64.to_le_bytes());
    record.extend([4, 2, b'x', 2, b'y', 0, 2, 2, b'z']);
    let mut wrong = registry_costs("Avro", &mut avro, &record);
    let config = JsonSchemaConverterConfig {
        data: JsonSchemaDataConfig::default(),
        registry: RegistryUse::default(),
        read_latest: false,
        fail_invalid_schema: false,
        indent_output: false,
    };
    let mut json = JsonSchemaConverter::new(config, RegistrySettings::default());
    let schema = r#"{"type":"object","properties":{"id":{"type":"integer"},
        "in":{"type":"object","properties":{"s":{"type":["null","string"]},"d":{"type":"number"}}},
        "tags":{"type":"array","items":{"type":"string"}},
        "any":{"oneOf":[{"type":"integer"},{"type":"string"}]}}}"#;
    json.attach(std::rc::Rc::new(OneSchema(SchemaKind::Json, schema)));
    let record = b"\0\0\0\0\x01{\"id\":7,\"in\":{\"s\":\"a\\\"c\",\"d\":0.5},\"tags\":[\"x\"],\"any\":\"z\"}";
    wrong.extend(registry_costs("JSON Schema", &mut json, record));
    wrong.extend(protobuf_costs_no_allocation());
    wrong
}

fn protobuf_costs_no_allocation() -> Vec<String> {
    let config = ProtobufConverterConfig {
        data: ProtobufDataConfig::default(),
        registry: RegistryUse::default(),
    };
    let mut protobuf = ProtobufConverter::new(config, RegistrySettings::default());
    let schema = r#"syntax = "proto3"; message Other {} message R { int64 id = 1; I in = 2;
        repeated string tags = 3; oneof any { int32 number = 4; string text = 5; }
        map<string, I> by = 6; E e = 7; message I { optional string s = 1; double d = 2; }
        enum E { A = 0; B = 3; } }"#;
    protobuf.attach(std::rc::Rc::new(OneSchema(SchemaKind::Protobuf, schema)));
    let mut record = vec![0, 0, 0, 0, 1, 2, 2, 8, 7, 18, 12, 10, 1, b'"', 17];
    record.extend(0.5f64.to_le_bytes());
    record.extend([26, 1, b'x', 26, 1, b'y', 42, 1, b'z', 50, 5, 10, 1, b'k', 18, 0, 56, 3]);
    registry_costs("Protobuf", &mut protobuf, &record)
}

fn registry_costs(of: &str, converter: &mut dyn Converter, record: &[u8]) -> Vec<String> {
    let (mut arena, mut out, mut wrong) = (Arena::new(), Vec::new(), Vec::new());
    for (name, detail) in [("typed and back", Detail::Full), ("JSON text", Detail::Json)] {
        let mut batch = |converter: &mut dyn Converter| {
            arena.reset();
            converter.begin_batch();
            for _ in 0..1000 {
                let read = converter.to_connect_data("t", Some(record), detail, &arena);
                let read = read.expect("data");
                if detail == Detail::Full {
                    out.clear();
                    let back = converter.from_connect_data("t", read.schema, read.value, &mut out);
                    back.expect("data");
                }
            }
        };
        (0..4).for_each(|_| batch(converter));
        let before = CALLS.load(Ordering::Relaxed);
        (0..100).for_each(|_| batch(converter));
        let calls = CALLS.load(Ordering::Relaxed) - before;
        println!("{of}, {name}: {:.5} allocations a record", calls as f64 / 1e5);
        if calls > 100 {
            wrong.push(format!("{of}, {name}: {calls} allocations for 100,000 records"));
        }
    }
    wrong
}
