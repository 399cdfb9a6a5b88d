//! The task against a real S3 server: versitygw on a folder.
//!
//! The binary is `$MILLRACE_VERSITYGW` or `~/.cache/millrace/bin/versitygw`; without it these tests fail
//! and say so (`go install github.com/versity/versitygw/cmd/versitygw@v1.8.0`).

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use millrace_api::Config;
use millrace_api::error::{ConnectError, ErrorKind};
use millrace_api::record::{Origin, Record, TimestampType, TopicPartition};
use millrace_api::sink::{Offsets, SinkTask, SinkTaskContext};
use millrace_converters::{JsonText, SchemaAndValue, Value};
use millrace_net::http::{Body, Client, ClientOptions, Method, Request, Url};

use super::credentials::Credentials;
use super::sign::{Scope, sha256_hex, sign};
use super::task::S3SinkTask;
use crate::test_rig::on_a_core;

const FIRST_PORT: u16 = 19570;
static PORTS: AtomicU16 = AtomicU16::new(FIRST_PORT);
const KEY: &str = "ak";
const SECRET: &str = "sksksksk";

/// A running server and the folder that its objects are in.
struct Server {
    process: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Server {
    #[expect(clippy::disallowed_methods, reason = "not on a core yet")]
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let objects = folder.path().join("objects");
        std::fs::create_dir(&objects).unwrap();
        let port = PORTS.fetch_add(1, Ordering::Relaxed);
        let process = run(port, &objects);
        let server = Self { process, port, folder };
        let limit = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < limit, "versitygw does not listen on {port}");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    fn objects(&self) -> PathBuf {
        self.folder.path().join("objects")
    }

    /// The sink's configuration for this server, with more keys.
    fn config(&self, more: &[(&str, &str)]) -> Config {
        let url = format!("http://127.0.0.1:{}", self.port);
        [
            ("s3.bucket.name", "bucket"),
            ("s3.region", "us-east-1"),
            ("store.url", &url),
            ("aws.access.key.id", KEY),
            ("aws.secret.access.key", SECRET),
            ("format.class", "io.confluent.connect.s3.format.json.JsonFormat"),
            ("flush.size", "3"),
            ("s3.part.retries", "1"),
            ("s3.retry.backoff.ms", "10"),
            ("retry.backoff.ms", "100"),
        ]
        .iter()
        .chain(more)
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs the server on a folder.
fn run(port: u16, objects: &Path) -> Child {
    let binary = std::env::var_os("MILLRACE_VERSITYGW").map(PathBuf::from).unwrap_or_else(|| {
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        home.join(".cache/millrace/bin/versitygw")
    });
    assert!(
        binary.is_file(),
        "{} is not there: set MILLRACE_VERSITYGW, or go install \
         github.com/versity/versitygw/cmd/versitygw@v1.8.0",
        binary.display()
    );
    Command::new(binary)
        .env("ROOT_ACCESS_KEY", KEY)
        .env("ROOT_SECRET_KEY", SECRET)
        .args(["--port", &format!("127.0.0.1:{port}"), "posix"])
        .arg(objects)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// A request outside the sink: its status and body.
async fn raw(port: u16, method: Method, path: &str) -> (u16, Vec<u8>) {
    let credentials = Credentials {
        access_key_id: KEY.to_owned(),
        secret_access_key: SECRET.to_owned(),
        session_token: None,
        expires: None,
    };
    let url = Url::parse(&format!("http://127.0.0.1:{port}{path}")).unwrap();
    let payload = sha256_hex(b"");
    let mut headers = vec![("x-amz-content-sha256".to_owned(), payload.clone())];
    let scope = Scope { region: "us-east-1".to_owned(), service: "s3" };
    sign(&credentials, &scope, method, &url, &mut headers, &payload, Timestamp::now());
    let headers: Vec<_> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let client = Client::new(ClientOptions::default());
    let request = Request { method, url: &url, headers: &headers, body: Body::Empty };
    let response = client.send(request).await.unwrap();
    (response.status, response.body)
}

fn at() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

fn record<'a>(text: &'a JsonText<'a>, offset: i64) -> Record<'a> {
    Record {
        topic: "orders",
        partition: Some(0),
        timestamp: Some(0),
        key: SchemaAndValue::default(),
        value: SchemaAndValue { schema: None, value: Value::Json(text) },
        headers: &[],
        origin: Origin::Sink {
            topic: "orders",
            partition: 0,
            offset,
            timestamp_type: TimestampType::CreateTime,
        },
    }
}

async fn started(config: &Config, from: i64) -> Result<S3SinkTask, ConnectError> {
    let mut task = S3SinkTask::new(super::config::parse);
    task.start(config, SinkTaskContext::new("s3-0", false)).await?;
    task.open(&Offsets::from([(at(), from)])).await?;
    Ok(task)
}

async fn put(task: &mut S3SinkTask, offsets: std::ops::Range<i64>, size: usize) {
    let texts: Vec<String> =
        offsets.clone().map(|n| format!("{{\"n\":{n},\"x\":\"{}\"}}", "x".repeat(size))).collect();
    let documents: Vec<_> = texts.iter().map(|text| JsonText::verbatim(text.as_bytes())).collect();
    let records: Vec<_> =
        offsets.zip(&documents).map(|(offset, text)| record(text, offset)).collect();
    task.put(&records).await.unwrap();
}

async fn finish(task: &mut S3SinkTask, consumed: i64) {
    task.finish().await.unwrap();
    let durable = task.pre_commit(&Offsets::from([(at(), consumed)])).await.unwrap();
    assert_eq!(durable.get(&at()), Some(&consumed));
}

fn object(folder: &Path, start: i64, extension: &str) -> Vec<u8> {
    let name = format!("bucket/topics/orders/partition=0/orders+0+{start:010}{extension}");
    std::fs::read(folder.join(&name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Starts a server with a bucket, and runs `main` on a core with its port, its folder, and the
/// configuration with these keys more.
fn with_server<Fut>(
    more: &[(&str, &str)],
    main: impl FnOnce(u16, PathBuf, Config) -> Fut + Send + 'static,
) where
    Fut: Future<Output = ()> + 'static,
{
    let server = Server::start();
    let (port, folder, config) = (server.port, server.objects(), server.config(more));
    on_a_core(move || async move {
        assert_eq!(raw(port, Method::Put, "/bucket").await.0, 200);
        main(port, folder, config).await;
    });
}

#[test]
fn objects_by_single_puts() {
    with_server(&[], |_, folder, config| async move {
        let mut task = started(&config, 0).await.unwrap();
        put(&mut task, 0..7, 1).await;
        finish(&mut task, 7).await;
        task.stop().await;
        assert_eq!(
            String::from_utf8(object(&folder, 3, ".json")).unwrap(),
            "{\"n\":3,\"x\":\"x\"}\n{\"n\":4,\"x\":\"x\"}\n{\"n\":5,\"x\":\"x\"}\n"
        );
        assert_eq!(object(&folder, 6, ".json"), b"{\"n\":6,\"x\":\"x\"}\n");
    });
}

#[test]
fn a_large_object_by_parts_and_its_tags() {
    let more = [
        ("flush.size", "100000"),
        ("s3.part.size", "5242880"),
        ("s3.object.tagging", "true"),
        ("s3.object.tagging.key.value.pairs", "team:a b"),
        ("s3.object.behavior.on.tagging.error", "fail"),
    ];
    with_server(&more, |port, folder, config| async move {
        let mut task = started(&config, 0).await.unwrap();
        for first in (0..20_000).step_by(1000) {
            put(&mut task, first..first + 1000, 1000).await;
        }
        finish(&mut task, 20_000).await;
        let content = object(&folder, 0, ".json");
        let lines: Vec<_> = content.split(|b| *b == b'\n').collect();
        assert_eq!(lines.len(), 20_001);
        assert!(lines[19_999].starts_with(b"{\"n\":19999,"));
        let path = "/bucket/topics/orders/partition%3D0/orders%2B0%2B0000000000.json";
        let (status, body) = raw(port, Method::Get, &format!("{path}?tagging=")).await;
        let body = String::from_utf8(body).unwrap();
        assert_eq!(status, 200, "{body}");
        for text in ["<Key>endOffset</Key><Value>19999<", "<Value>20000<", "<Value>a b<"] {
            assert!(body.contains(text), "{text}: {body}");
        }
        let (_, body) = raw(port, Method::Get, "/bucket?uploads=").await;
        assert!(!String::from_utf8(body).unwrap().contains("<UploadId>"), "an upload is left");
    });
}

#[test]
fn compressed_objects() {
    use std::io::Read;
    with_server(&[("s3.compression.type", "gzip")], |_, folder, config| async move {
        let mut task = started(&config, 0).await.unwrap();
        put(&mut task, 0..3, 1).await;
        finish(&mut task, 3).await;
        let object = object(&folder, 0, ".json.gz");
        let mut text = String::new();
        flate2::read::GzDecoder::new(&object[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text.lines().count(), 3);
    });
}

/// The same records again, then more and fewer of them: the object that reaches further stays.
#[test]
fn a_restart_over_what_is_there() {
    with_server(&[("flush.size", "100")], |_, folder, config| async move {
        for (count, expected) in [(5, 5), (5, 5), (8, 8), (2, 8)] {
            let mut task = started(&config, 0).await.unwrap();
            put(&mut task, 0..count, 1).await;
            finish(&mut task, count).await;
            task.stop().await;
            let lines = object(&folder, 0, ".json").split(|b| *b == b'\n').count() - 1;
            assert_eq!(lines, expected, "after {count}");
        }
        let mut config = config;
        config.insert("enable.conditional.writes".to_owned(), "false".to_owned());
        let mut task = started(&config, 0).await.unwrap();
        put(&mut task, 0..2, 1).await;
        finish(&mut task, 2).await;
        assert_eq!(object(&folder, 0, ".json").split(|b| *b == b'\n').count() - 1, 2);
    });
}

/// The same for objects of parts, where the name is decided at completion.
#[test]
fn a_restart_over_an_object_of_parts() {
    let more = [("flush.size", "100000"), ("s3.part.size", "5242880")];
    with_server(&more, |port, folder, config| async move {
        for (count, expected) in [(6000, 6000), (6000, 6000), (7000, 7000), (5500, 7000)] {
            let mut task = started(&config, 0).await.unwrap();
            put(&mut task, 0..count, 1000).await;
            finish(&mut task, count).await;
            let lines = object(&folder, 0, ".json").split(|b| *b == b'\n').count() - 1;
            assert_eq!(lines, expected, "after {count}");
        }
        let (_, body) = raw(port, Method::Get, "/bucket?uploads=").await;
        assert!(!String::from_utf8(body).unwrap().contains("<UploadId>"), "an upload is left");
    });
}

#[test]
fn giving_up_leaves_no_upload() {
    let more = [("flush.size", "100000"), ("s3.part.size", "5242880")];
    with_server(&more, |port, _, config| async move {
        let mut task = started(&config, 0).await.unwrap();
        put(&mut task, 0..6000, 1000).await;
        let limit = Instant::now() + Duration::from_secs(20);
        loop {
            let (_, body) = raw(port, Method::Get, "/bucket?uploads=").await;
            if String::from_utf8(body).unwrap().contains("<UploadId>") {
                break;
            }
            assert!(Instant::now() < limit, "no upload was begun");
        }
        task.close(&[at()]).await.unwrap();
        let (_, body) = raw(port, Method::Get, "/bucket?uploads=").await;
        assert!(!String::from_utf8(body).unwrap().contains("<UploadId>"));
    });
}

#[test]
fn refusals_say_what_to_do() {
    with_server(&[], |_, _, config| async move {
        let error = |pairs: &[(&str, &str)]| {
            let mut config = config.clone();
            for (key, value) in pairs {
                config.insert((*key).to_owned(), (*value).to_owned());
            }
            async move { started(&config, 0).await.map(|_| ()).unwrap_err() }
        };
        for (pairs, texts) in [
            (
                ("aws.secret.access.key", "wrong"),
                ["SignatureDoesNotMatch", "aws.secret.access.key"],
            ),
            (("aws.access.key.id", "nobody"), ["access key is not known", "aws.access.key.id"]),
            (("s3.bucket.name", "missing"), ["NoSuchBucket", "Non-existent S3 bucket: missing"]),
        ] {
            let error = error(&[pairs]).await;
            assert_eq!(error.kind, ErrorKind::Fatal, "{pairs:?}: {error}");
            for text in texts {
                assert!(error.message.contains(text), "{pairs:?}: {}", error.message);
            }
        }
        let unreachable = error(&[("store.url", "http://127.0.0.1:1")]).await;
        assert_eq!(unreachable.kind, ErrorKind::Retriable);
        assert!(unreachable.message.contains("store.url"), "{}", unreachable.message);
    });
}

/// The server goes away in the middle and comes back: the batch is given back, then taken.
#[test]
fn an_outage_is_survived() {
    let server = Server::start();
    let (port, folder, config) = (server.port, server.objects(), server.config(&[]));
    let server = std::sync::Mutex::new(server);
    on_a_core(move || async move {
        assert_eq!(raw(port, Method::Put, "/bucket").await.0, 200);
        let mut task = started(&config, 0).await.unwrap();
        put(&mut task, 0..3, 1).await;
        finish(&mut task, 3).await;
        let mut server = server.into_inner().unwrap();
        server.process.kill().unwrap();
        server.process.wait().unwrap();
        put(&mut task, 3..6, 1).await;
        let error = task.finish().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Retriable, "{error}");
        server.process = run(port, &folder);
        let limit = Instant::now() + Duration::from_secs(20);
        while let Err(error) = task.finish().await {
            assert_eq!(error.kind, ErrorKind::Retriable, "{error}");
            assert!(Instant::now() < limit, "{error}");
            millrace_net::rt::sleep(Duration::from_millis(50)).await;
        }
        finish(&mut task, 6).await;
        assert_eq!(object(&folder, 3, ".json").split(|b| *b == b'\n').count(), 4);
        drop(server);
    });
}

#[test]
fn a_folder_in_place_of_a_service() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_owned();
    on_a_core(move || async move {
        let config: Config = [
            ("s3.bucket.name", "bucket".to_owned()),
            ("store.url", format!("file://{}", root.display())),
            ("format.class", "JsonFormat".to_owned()),
            ("flush.size", "3".to_owned()),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
        let mut task = started(&config, 0).await.unwrap();
        put(&mut task, 0..4, 1).await;
        finish(&mut task, 4).await;
        assert_eq!(object(&root, 0, ".json").split(|b| *b == b'\n').count(), 4);
        assert_eq!(object(&root, 3, ".json"), b"{\"n\":3,\"x\":\"x\"}\n");
    });
}
