//! The task against a stand-in: what it sends, and what it makes of the answers.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use millrace_api::Config;
use millrace_api::converters::{JsonText, Schema, SchemaAndValue, SchemaType, Struct, Value};
use millrace_api::error::{ConnectError, ErrorKind};
use millrace_api::record::{Header, Origin, Record, TimestampType, TopicPartition};
use millrace_api::sink::{Offsets, SinkTask, SinkTaskContext};
use millrace_net::rt;
use serde_json::json;

use super::rig::StandIn;
use super::{ElasticsearchSinkTask, SINK, config};
use crate::test_rig::on_a_core;

fn config(port: u16, more: &[(&str, &str)]) -> Config {
    let url = format!("http://127.0.0.1:{port}");
    let base = [
        ("topics", "Orders"),
        ("connection.url", url.as_str()),
        ("schema.ignore", "true"),
        ("retry.backoff.ms", "1"),
    ];
    let all: BTreeMap<&str, &str> = base.into_iter().chain(more.iter().copied()).collect();
    all.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// A record of `Orders-0`, with texts that live as long as the test.
fn record(offset: i64, key: Option<&'static str>, value: Option<&str>) -> Record<'static> {
    let value = match value {
        None => Value::Null,
        Some(text) => {
            let text: &'static str = Box::leak(text.to_owned().into_boxed_str());
            Value::Json(Box::leak(Box::new(JsonText::verbatim(text.as_bytes()))))
        }
    };
    Record {
        topic: "Orders",
        partition: Some(0),
        timestamp: Some(1_700_000_000_000),
        key: SchemaAndValue { schema: None, value: key.map_or(Value::Null, Value::Str) },
        value: SchemaAndValue { schema: None, value },
        headers: &[],
        origin: Origin::Sink {
            topic: "Orders",
            partition: 0,
            offset,
            timestamp_type: TimestampType::CreateTime,
        },
    }
}

fn at() -> TopicPartition {
    TopicPartition::new("Orders", 0)
}

/// A started task with its context.
struct Started {
    task: ElasticsearchSinkTask,
    context: Rc<SinkTaskContext>,
}

impl Started {
    async fn new(config: &Config, reporter: bool) -> Result<Self, ConnectError> {
        let context = SinkTaskContext::new("es-0", reporter);
        let mut task = ElasticsearchSinkTask::default();
        task.start(config, Rc::clone(&context)).await?;
        task.open(&Offsets::from([(at(), 0)])).await?;
        Ok(Self { task, context })
    }

    /// Hands the batch over until it is taken, as the worker does.
    async fn put(&mut self, records: &[Record<'_>]) -> Result<(), ConnectError> {
        retried(async || self.task.put(records).await).await
    }

    async fn finish(&mut self) -> Result<(), ConnectError> {
        retried(async || self.task.finish().await).await
    }

    async fn durable(&mut self, consumed: i64) -> i64 {
        let durable = self.task.pre_commit(&Offsets::from([(at(), consumed)])).await;
        durable.expect("offsets")[&at()]
    }

    fn reported(&self) -> Vec<(usize, String)> {
        let errant = self.context.take_errant();
        errant.into_iter().map(|errant| (errant.index, errant.error.message)).collect()
    }
}

async fn retried(
    mut call: impl AsyncFnMut() -> Result<(), ConnectError>,
) -> Result<(), ConnectError> {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        match call().await {
            Err(error) if error.kind == ErrorKind::Retriable && Instant::now() < until => {
                rt::sleep(Duration::from_millis(2)).await;
            }
            done => return done,
        }
    }
}

/// Runs `main` on a core with a stand-in and a configuration for it.
fn with<Fut: Future<Output = ()> + 'static>(
    more: &[(&str, &str)],
    main: impl FnOnce(StandIn, Config) -> Fut + Send + 'static,
) {
    let stand_in = StandIn::start();
    let config = config(stand_in.port, more);
    on_a_core(move || main(stand_in, config));
}

fn sources(stand_in: &StandIn) -> BTreeMap<String, serde_json::Value> {
    stand_in.documents().into_iter().map(|(id, (_, source))| (id, source)).collect()
}

#[test]
fn documents_by_key_with_their_offsets_as_versions() {
    with(&[("behavior.on.null.values", "DELETE")], |es, config| async move {
        let mut sink = Started::new(&config, false).await.unwrap();
        let records = [
            record(5, Some("a"), Some("{\"n\":1,\n \"m\":\"x\\ny\"}")),
            record(6, Some("b\"c"), Some("{\"n\":2}")),
            record(9, Some("a"), Some("{\"n\":3}")),
            record(10, Some("gone"), None),
            record(11, None, Some("null")),
        ];
        sink.put(&records).await.unwrap();
        sink.finish().await.unwrap();
        assert_eq!(sink.durable(12).await, 12);
        let documents = es.documents();
        assert_eq!(documents["orders/a"], (9, json!({"n": 3})));
        assert_eq!(documents["orders/b\"c"], (6, json!({"n": 2})));
        assert_eq!(documents["orders/gone"], (10, serde_json::Value::Null));
        assert_eq!(documents.len(), 3);
        // The same again: conflicts of versions are not failures.
        let mut again = Started::new(&config, false).await.unwrap();
        again.put(&records).await.unwrap();
        again.finish().await.unwrap();
        assert_eq!(again.durable(12).await, 12);
        assert_eq!(es.documents(), documents);
        assert_eq!(es.asked("PUT /orders ").len(), 1, "made once");
    });
}

#[test]
fn documents_by_place_when_keys_are_ignored() {
    let more = [("key.ignore", "true"), ("connection.username", "u"), ("connection.password", "p")];
    with(&more, |es, config| async move {
        let mut sink = Started::new(&config, false).await.unwrap();
        sink.put(&[record(7, None, Some("{\"n\":1}"))]).await.unwrap();
        sink.finish().await.unwrap();
        assert_eq!(es.documents()["orders/Orders+0+7"], (1, json!({"n": 1})));
        let asked = es.asked("POST /_bulk");
        assert!(asked.iter().all(|asked| asked.authorization == "Basic dTpw"));
    });
}

#[test]
fn upserts_merge_in_order_even_when_some_are_refused_first() {
    let more =
        [("write.method", "UPSERT"), ("batch.size", "3"), ("behavior.on.null.values", "DELETE")];
    with(&more, |es, config| async move {
        let mut first = true;
        es.refuse_item(move |_, id, document| {
            let refuse = id == "a" && document["doc"]["n"] == 1 && std::mem::take(&mut first);
            refuse.then(|| (429, json!({"type": "es_rejected_execution_exception"})))
        });
        let mut sink = Started::new(&config, false).await.unwrap();
        let mut records = vec![
            record(0, Some("a"), Some("{\"n\":1,\"x\":1}")),
            record(1, Some("b"), Some("{\"n\":1}")),
            record(2, Some("a"), Some("{\"n\":2,\"y\":1}")),
            record(3, Some("b"), None),
        ];
        records.extend((4..40).map(|n| record(n, Some("a"), Some(&format!("{{\"n\":{n}}}")))));
        sink.put(&records).await.unwrap();
        sink.finish().await.unwrap();
        let documents = sources(&es);
        assert_eq!(documents["orders/a"], json!({"n": 39, "x": 1, "y": 1}));
        assert_eq!(documents["orders/b"], serde_json::Value::Null);
    });
}

#[test]
fn an_overloaded_cluster_is_waited_for_and_only_the_refused_go_again() {
    let more = [("key.ignore", "true"), ("max.retries", "0"), ("batch.size", "10")];
    with(&more, |es, config| async move {
        let refusals = AtomicUsize::new(0);
        es.refuse_item(move |_, id, _| {
            let again = id.ends_with('3') && refusals.fetch_add(1, Ordering::Relaxed) < 12;
            again.then(|| (429, json!({"type": "es_rejected_execution_exception"})))
        });
        let mut requests = 0;
        es.refuse(move |asked| {
            let bulk = asked.line.starts_with("POST /_bulk");
            requests += usize::from(bulk);
            (bulk && requests.is_multiple_of(3)).then(|| (503, "{\"error\":\"busy\"}".to_owned()))
        });
        let mut sink = Started::new(&config, false).await.unwrap();
        let records: Vec<_> = (0..100).map(|n| record(n, None, Some("{}"))).collect();
        sink.put(&records).await.unwrap();
        sink.finish().await.unwrap();
        assert_eq!(sink.durable(100).await, 100);
        let documents = es.documents();
        assert_eq!(documents.len(), 100);
        assert!(documents.values().all(|(version, _)| *version == 1), "some were sent twice");
    });
}

#[test]
fn a_request_that_is_too_large_is_halved() {
    let more = [("key.ignore", "true"), ("behavior.on.malformed.documents", "IGNORE")];
    with(&more, |es, config| async move {
        es.refuse(|asked| (asked.body.len() > 500).then(|| (413, String::new())));
        let mut sink = Started::new(&config, true).await.unwrap();
        let mut records: Vec<_> = (0..50).map(|n| record(n, None, Some("{\"n\":1}"))).collect();
        let large = format!("{{\"x\":\"{}\"}}", "x".repeat(600));
        records.insert(20, record(100, None, Some(&large)));
        sink.put(&records).await.unwrap();
        assert_eq!(es.documents().len(), 50);
        let reported = sink.reported();
        assert_eq!(reported.len(), 1);
        assert_eq!(reported[0].0, 20);
        assert!(reported[0].1.contains("413"), "{reported:?}");
    });
}

/// `{"bad":true}` is what this stand-in takes for malformed.
fn refuse_bad(es: &StandIn) {
    es.refuse_item(|_, _, document| {
        let error = json!({"type": "document_parsing_exception", "reason": "bad"});
        (document["bad"] == true).then_some((400, error))
    });
}

#[test]
fn malformed_documents_as_configured() {
    let records = || {
        vec![
            record(0, None, Some("{\"n\":1}")),
            record(1, None, Some("{\"bad\":true}")),
            record(2, None, Some("{\"n\":2}")),
        ]
    };
    let more = [("key.ignore", "true"), ("behavior.on.malformed.documents", "warn")];
    with(&more, move |es, config| async move {
        refuse_bad(&es);
        let mut sink = Started::new(&config, true).await.unwrap();
        sink.put(&records()).await.unwrap();
        assert_eq!(
            sink.reported(),
            [(1, "Indexing failed: document_parsing_exception: bad".to_owned())]
        );
        assert_eq!(sink.durable(3).await, 3);
        assert_eq!(es.documents().len(), 2);
    });
    with(&[("key.ignore", "true")], move |es, config| async move {
        refuse_bad(&es);
        let mut sink = Started::new(&config, false).await.unwrap();
        sink.put(&records()).await.unwrap();
        let error = sink.finish().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Fatal);
        for text in ["Orders-0 at offset 1", "behavior.on.malformed.documents", "bad"] {
            assert!(error.message.contains(text), "{}", error.message);
        }
        assert_eq!(es.documents().len(), 2, "the good ones are there");
        assert_eq!(sink.durable(3).await, 0, "and nothing is committed beyond the bad one");
    });
}

#[test]
fn a_read_only_index_ends_the_task_with_nothing_lost() {
    with(&[("key.ignore", "true")], |es, config| async move {
        es.refuse_item(|_, id, _| {
            let error =
                json!({"type": "cluster_block_exception", "reason": "FORBIDDEN/8/index write"});
            id.ends_with('1').then_some((403, error))
        });
        let mut sink = Started::new(&config, false).await.unwrap();
        let records: Vec<_> = (0..3).map(|n| record(n, None, Some("{}"))).collect();
        sink.put(&records).await.unwrap();
        let error = sink.finish().await.unwrap_err();
        assert!(error.message.contains("FORBIDDEN/8"), "{}", error.message);
        assert_eq!((es.documents().len(), sink.durable(3).await), (2, 0));
    });
}

#[test]
fn retries_end() {
    with(&[("key.ignore", "true"), ("max.retries", "2")], |es, config| async move {
        let mut sink = Started::new(&config, false).await.unwrap();
        sink.put(&[record(0, None, Some("{}"))]).await.unwrap();
        sink.finish().await.unwrap();
        es.refuse(|_| Some((500, "{\"error\":{\"type\":\"t\",\"reason\":\"r\"}}".to_owned())));
        sink.put(&[record(1, None, Some("{}"))]).await.unwrap();
        let error = sink.finish().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Fatal);
        assert!(error.message.contains("t: r' after 3 attempt(s)"), "{}", error.message);
        assert_eq!(sink.durable(2).await, 1);
        assert_eq!(es.asked("POST /_bulk").len(), 4);
    });
}

#[test]
fn an_absent_cluster_shows_and_ends_after_the_retries() {
    with(&[("connection.url", "127.0.0.1:1"), ("max.retries", "1")], |_, config| async move {
        let mut sink = Started::new(&config, false).await.unwrap();
        let error = sink.put(&[record(0, Some("a"), Some("{}"))]).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Fatal);
        assert!(error.message.contains("check if orders exists"), "{}", error.message);
        assert!(error.message.contains("after 2 attempt(s)"), "{}", error.message);
    });
}

#[test]
fn a_node_that_is_away_is_passed_over() {
    let stand_in = StandIn::start();
    let urls = format!("http://127.0.0.1:1,http://127.0.0.1:{}", stand_in.port);
    let config = config(1, &[("connection.url", &urls), ("max.retries", "0")]);
    on_a_core(move || async move {
        let mut sink = Started::new(&config, false).await.unwrap();
        for n in 0..6 {
            sink.put(&[record(n, Some("a"), Some("{}"))]).await.unwrap();
            sink.finish().await.unwrap();
        }
        assert_eq!(stand_in.documents()["orders/a"].0, 5);
    });
}

#[test]
fn a_wrong_password_is_told_at_the_start() {
    with(&[], |es, config| async move {
        es.refuse(|_| Some((401, "{}".to_owned())));
        let error = Started::new(&config, false).await.err().expect("a refusal");
        assert!(error.message.contains("connection.password"), "{}", error.message);
    });
}

#[test]
fn records_that_are_no_documents() {
    let records = || {
        vec![
            record(0, None, Some("{}")),
            record(1, Some(""), Some("{}")),
            record(2, Some("a"), None),
            record(3, Some("b"), Some("{}")),
        ]
    };
    with(&[], move |es, config| async move {
        let mut sink = Started::new(&config, false).await.unwrap();
        let error = sink.put(&records()).await.unwrap_err();
        assert!(error.message.contains("can not be null"), "{}", error.message);
        let mut sink = Started::new(&config, true).await.unwrap();
        sink.put(&records()).await.unwrap();
        let reported = sink.reported();
        assert_eq!(reported.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(reported[2].1.contains("behavior.on.null.values"), "{reported:?}");
        assert_eq!(es.documents().len(), 1);
    });
    let more = [("drop.invalid.message", "true"), ("behavior.on.null.values", "ignore")];
    with(&more, move |es, config| async move {
        let mut sink = Started::new(&config, false).await.unwrap();
        sink.put(&records()).await.unwrap();
        sink.finish().await.unwrap();
        assert_eq!((es.documents().len(), sink.durable(4).await), (1, 4));
    });
}

#[test]
fn data_streams_get_a_timestamp() {
    let stream =
        [("data.stream.type", "logs"), ("data.stream.dataset", "app"), ("key.ignore", "true")];
    with(&stream, |es, config| async move {
        let mut sink = Started::new(&config, false).await.unwrap();
        let records = [
            record(0, None, Some("{\"a\":1}")),
            record(1, None, Some("{}")),
            record(2, None, Some("{\"@timestamp\":\"x\",\"b\":{\"@timestamp\":1}}")),
        ];
        sink.put(&records).await.unwrap();
        sink.finish().await.unwrap();
        // Created twice: it is there.
        sink.put(&records).await.unwrap();
        sink.finish().await.unwrap();
        assert_eq!(es.asked("PUT /_data_stream/logs-app-orders").len(), 1);
        let at = 1_700_000_000_000_i64;
        let expected = [
            json!({"a": 1, "@timestamp": at}),
            json!({"@timestamp": at}),
            json!({"@timestamp": at, "b": {"@timestamp": 1}}),
        ];
        let documents = sources(&es);
        for (n, expected) in expected.iter().enumerate() {
            assert_eq!(documents[&format!("logs-app-orders/Orders+0+{n}")], *expected);
        }
        assert!(sink.put(&[record(3, None, Some("[1]"))]).await.is_err());
    });
    let mut more = stream.to_vec();
    more.push(("data.stream.timestamp.field", "at,when"));
    with(&more, |es, config| async move {
        let mut sink = Started::new(&config, false).await.unwrap();
        let records = [
            record(0, None, Some("{\"when\":5,\"x\":{\"at\":1}}")),
            record(1, None, Some("{\"when\":5,\"at\":\"2020\"}")),
            record(2, None, Some("{\"n\":1}")),
        ];
        sink.put(&records).await.unwrap();
        sink.finish().await.unwrap();
        let documents = sources(&es);
        let stamps: Vec<_> =
            documents.values().map(|source| source["@timestamp"].clone()).collect();
        assert_eq!(stamps, [json!("5"), json!("2020"), serde_json::Value::Null]);
    });
}

#[test]
fn versions_from_a_header() {
    with(&[("external.version.header", "v")], |es, config| async move {
        let mut sink = Started::new(&config, false).await.unwrap();
        let header = |value| Header { name: "v", datum: SchemaAndValue { schema: None, value } };
        let (number, text, wrong) =
            ([header(Value::Int32(50))], [header(Value::Str("60"))], [header(Value::Str("x"))]);
        let records = [
            Record { headers: &number, ..record(0, Some("a"), Some("{}")) },
            Record { headers: &text, ..record(1, Some("b"), Some("{}")) },
        ];
        sink.put(&records).await.unwrap();
        sink.finish().await.unwrap();
        let documents = es.documents();
        assert_eq!((documents["orders/a"].0, documents["orders/b"].0), (50, 60));
        for headers in [&wrong[..], &[]] {
            let records = [Record { headers, ..record(2, Some("c"), Some("{}")) }];
            let error = sink.put(&records).await.unwrap_err();
            assert!(error.message.contains("external version header 'v'"), "{}", error.message);
        }
    });
}

#[test]
fn schemas_become_mappings() {
    let more = [("schema.ignore", "false")];
    with(&more, |es, config| async move {
        let field = |name: &str, type_| millrace_api::converters::Field {
            name: name.into(),
            schema: Schema::new(type_).into(),
        };
        let schema = Schema::struct_of(vec![field("n", SchemaType::Int32)]);
        let data = Struct { schema: &schema, values: &[Value::Int32(5)] };
        let value = SchemaAndValue { schema: Some(&schema), value: Value::Struct(&data) };
        let mut sink = Started::new(&config, false).await.unwrap();
        sink.put(&[Record { value, ..record(0, Some("a"), None) }]).await.unwrap();
        sink.finish().await.unwrap();
        assert_eq!(sources(&es)["orders/a"], json!({"n": 5}));
        let put = es.asked("PUT /orders/_mapping");
        assert_eq!(put.len(), 1);
        let mapping: serde_json::Value = serde_json::from_slice(&put[0].body).unwrap();
        assert_eq!(mapping, json!({"properties": {"n": {"type": "integer"}}}));
        let mut sink = Started::new(&config, false).await.unwrap();
        let error = sink.put(&[record(1, Some("a"), Some("{}"))]).await.unwrap_err();
        assert!(error.message.contains("schema.ignore"), "{}", error.message);
    });
}

#[test]
fn compressed_bodies_and_ids_of_the_server() {
    let more = [("connection.compression", "true"), ("use.autogenerated.ids", "true")];
    with(&more, |es, config| async move {
        let mut sink = Started::new(&config, false).await.unwrap();
        let records: Vec<_> = (0..5000).map(|n| record(n, None, Some("{\"n\":1}"))).collect();
        sink.put(&records).await.unwrap();
        sink.finish().await.unwrap();
        assert_eq!(es.documents().len(), 5000);
        assert!(es.documents().keys().all(|id| id.starts_with("orders/auto-")));
        assert_eq!(es.asked("POST /_bulk").len(), 3);
    });
}

#[test]
fn resources_that_exist_are_written_to_and_others_are_refused() {
    let more = [
        ("external.resource.usage", "ALIAS_INDEX"),
        ("topic.to.external.resource.mapping", "Orders:sales"),
    ];
    with(&more, |es, config| async move {
        let mut sink = Started::new(&config, false).await.unwrap();
        let error = sink.put(&[record(0, Some("a"), Some("{}"))]).await.unwrap_err();
        assert!(error.message.contains("Alias 'sales' does not exist"), "{}", error.message);
        es.refuse(|asked| asked.line.starts_with("HEAD /sales ").then(|| (200, String::new())));
        let mut sink = Started::new(&config, false).await.unwrap();
        sink.put(&[record(0, Some("a"), Some("{}"))]).await.unwrap();
        sink.finish().await.unwrap();
        assert!(es.documents().contains_key("sales/a"));
        assert!(es.asked("PUT").is_empty());
    });
}

#[test]
fn a_silent_cluster_gives_the_batch_back_and_loses_nothing() {
    let more = [
        ("key.ignore", "true"),
        ("batch.size", "10"),
        ("max.in.flight.requests", "2"),
        ("max.buffered.records", "20"),
        ("read.timeout.ms", "200"),
        ("max.retries", "1000"),
    ];
    with(&more, |es, config| async move {
        let mut sink = Started::new(&config, false).await.unwrap();
        let open = Arc::new(AtomicBool::new(false));
        let gate = open.clone();
        es.refuse(move |asked| {
            let shut = asked.line.starts_with("POST /_bulk") && !gate.load(Ordering::Relaxed);
            shut.then(|| (500, "{}".to_owned()))
        });
        let records: Vec<_> = (0..500).map(|n| record(n, None, Some("{}"))).collect();
        let error = sink.task.put(&records).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Retriable, "{error}");
        assert!(error.message.contains("Failed to execute bulk request"), "{}", error.message);
        assert_eq!(sink.durable(0).await, 0);
        open.store(true, Ordering::Relaxed);
        sink.put(&records).await.unwrap();
        sink.finish().await.unwrap();
        assert_eq!(sink.durable(500).await, 500);
        let documents = es.documents();
        assert_eq!(documents.len(), 500);
        assert!(documents.values().all(|(version, _)| *version == 1), "some were sent twice");
    });
}

#[test]
fn settings_across_keys() {
    let errors = |more: &[(&str, &str)]| {
        let errors = config::validate(&config(1, more));
        errors.into_iter().map(|error| error.key).collect::<Vec<_>>()
    };
    assert_eq!(errors(&[]), [""; 0]);
    for (more, keys) in [
        (&[("connection.username", "u")][..], &["connection.username", "connection.password"][..]),
        (&[("kerberos.user.principal", "u")], &["kerberos.user.principal"]),
        (&[("data.stream.type", "LOGS")], &["data.stream.type", "data.stream.dataset"]),
        (&[("key.ignore", "true"), ("topic.key.ignore", "a")], &["key.ignore", "topic.key.ignore"]),
        (
            &[("batch.size", "20001")],
            &["max.buffered.records", "batch.size", "max.in.flight.requests"],
        ),
        (&[("linger.ms", "200000")], &["linger.ms", "flush.timeout.ms"]),
        (&[("proxy.username", "u")], &["proxy.username", "proxy.host"]),
        (&[("data.stream.timestamp.field", "t")], &["data.stream.timestamp.field"]),
        (
            &[
                ("elastic.security.protocol", "SSL"),
                ("elastic.https.ssl.truststore.location", "/x.bks"),
                ("elastic.https.ssl.truststore.type", "BKS"),
                ("elastic.https.ssl.keystore.key", "-----BEGIN"),
                ("elastic.https.ssl.enabled.protocols", "TLSv1.1"),
            ],
            &[
                "elastic.https.ssl.enabled.protocols",
                "elastic.https.ssl.truststore.type",
                "elastic.https.ssl.keystore.key",
                "elastic.https.ssl.keystore.certificate.chain",
                "elastic.https.ssl.keystore.key",
            ],
        ),
        (
            &[("external.resource.usage", "INDEX"), ("topic.to.external.resource.mapping", "x:y")],
            &["topic.to.external.resource.mapping"; 2],
        ),
        (
            &[("external.resource.usage", "INDEX")],
            &["external.resource.usage", "topic.to.external.resource.mapping"],
        ),
    ] {
        assert_eq!(errors(more), keys, "{more:?}");
    }
    let stream = [("data.stream.type", "LOGS"), ("data.stream.dataset", "d")];
    let with = |more| stream.iter().copied().chain([more]).collect::<Vec<_>>();
    assert_eq!(errors(&with(("write.method", "UPSERT"))), ["write.method"]);
    assert_eq!(errors(&with(("behavior.on.null.values", "delete"))), ["behavior.on.null.values"]);
    for (key, value) in [
        ("connection.url", "ftp://x"),
        ("connection.url", "http://u:p@h"),
        ("data.stream.dataset", "A"),
        ("write.method", "x"),
    ] {
        let error = (SINK.config_def)().parse(&config(1, &[(key, value)])).unwrap_err();
        assert_eq!(error[0].key, key, "{value}");
    }
}
