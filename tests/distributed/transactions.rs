//! Our client's transactional producer on a broker: what is committed shows, what is not does not, and
//! of producers with one id the last one writes.

use std::collections::BTreeMap;
use std::process::Command;

use millrace_kafka::Cluster;
use millrace_kafka::producer::{Producer, ProducerConfig, fence_producers};
use millrace_kafka::record_batch::NO_HEADERS;
use millrace_net::rt;

/// What a fenced producer may hear: of a produce request, and of others.
const FENCED: [i16; 2] = [47, 90];

fn producer(bootstrap: &str, id: &str) -> Producer {
    let settings = [
        ("bootstrap.servers", bootstrap),
        ("transactional.id", id),
        ("enable.idempotence", "true"),
        ("linger.ms", "0"),
        ("max.block.ms", "30000"),
        // None ends by time.
        ("transaction.timeout.ms", "600000"),
    ];
    let map: BTreeMap<String, String> =
        settings.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let config = ProducerConfig::parse_transactional(&map).expect("good settings").config;
    Producer::new(Cluster::new(config.client.clone()), config)
}

async fn append(producer: &Producer, topic: &str, value: &str) {
    append_keyed(producer, topic, None, value).await;
}

async fn append_keyed(producer: &Producer, topic: &str, key: Option<&str>, value: &str) {
    loop {
        let (key, value) = (key.map(str::as_bytes), Some(value.as_bytes()));
        match producer.append(topic, Some(0), 1, key, value, NO_HEADERS) {
            Ok(_) => return,
            Err(error) if error.is_wait() => producer.ready().await.expect("room"),
            Err(error) => panic!("{error}"),
        }
    }
}

async fn exercise_on_a_core(bootstrap: &str, topic: &str) {
    let id = format!("{topic}-id");
    let first = producer(bootstrap, &id);
    first.init_transactions().await.expect("the id");
    // Several transactions, one right behind the other, and an empty one.
    for round in 0..5 {
        append(&first, topic, &format!("first {round}.0")).await;
        append(&first, topic, &format!("first {round}.1")).await;
        assert!(first.in_transaction());
        first.commit_transaction().await.expect("committed");
        assert!(!first.in_transaction());
        first.commit_transaction().await.expect("nothing to commit");
    }
    append(&first, topic, "never committed").await;
    first.flush().await.expect("sent");

    let second = producer(bootstrap, &id);
    second.init_transactions().await.expect("the id");
    append(&second, topic, "second").await;
    second.commit_transaction().await.expect("committed");
    // The first one does not know yet.
    append(&first, topic, "a zombie's").await;
    let error = first.commit_transaction().await.expect_err("it is fenced");
    assert!(FENCED.contains(&error.code), "{error}");
    let refused = first.append(topic, Some(0), 1, None, None, NO_HEADERS);
    assert!(refused.is_err(), "there is nothing to go on with");

    append(&second, topic, "aborted").await;
    second.flush().await.expect("sent");
    second.abort_transaction().await.expect("aborted");

    let third = producer(bootstrap, &id);
    third.init_transactions().await.expect("the id");
    append(&third, topic, "third").await;
    third.commit_transaction().await.expect("committed");
    append(&third, topic, "fenced by an administrator").await;
    third.flush().await.expect("sent");
    let cluster = Cluster::new(third_config(bootstrap));
    let limit = std::time::Duration::from_secs(30);
    let ids = [id.clone(), format!("{id}-nobody")];
    fence_producers(&cluster, &ids, limit).await.expect("fenced");
    let error = third.commit_transaction().await.expect_err("it is fenced");
    assert!(FENCED.contains(&error.code), "{error}");
}

fn third_config(bootstrap: &str) -> millrace_kafka::config::ClientConfig {
    let map = BTreeMap::from([("bootstrap.servers".to_owned(), bootstrap.to_owned())]);
    millrace_kafka::config::ClientConfig::parse(&map).expect("good settings").config
}

/// All of it on one broker; `topic` is there.
pub fn exercise(bootstrap: &str, topic: &str) {
    let (done, outcome) = std::sync::mpsc::channel();
    let (asked, name) = (bootstrap.to_owned(), topic.to_owned());
    let mut options = rt::CoreOptions::new("transactions", None);
    options.runtime = Some(rt::RuntimeChoice::Epoll);
    rt::start_core(options, move || async move {
        exercise_on_a_core(&asked, &name).await;
        rt::sleep(std::time::Duration::from_millis(10)).await;
        let _ = done.send(());
    })
    .expect("a core");
    outcome.recv().expect("the core panicked: see above");
    let mut expected: Vec<String> =
        (0..10).map(|at| format!("first {}.{}", at / 2, at % 2)).collect();
    expected.extend(["second".to_owned(), "third".to_owned()]);
    assert_eq!(committed(bootstrap, topic), expected);
}

#[allow(dead_code, reason = "the embedded broker's tests include this file, too")]
/// A source offset in a transaction that is open when this returns, and committed when what it returns
/// is dropped.
pub fn open_transaction(bootstrap: &str, topic: &str) -> std::sync::mpsc::Sender<()> {
    let (opened, open) = std::sync::mpsc::channel();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let (bootstrap, topic) = (bootstrap.to_owned(), topic.to_owned());
    let mut options = rt::CoreOptions::new("open", None);
    options.runtime = Some(rt::RuntimeChoice::Epoll);
    rt::start_core(options, move || async move {
        let producer = producer(&bootstrap, &format!("{topic}-open"));
        producer.init_transactions().await.expect("the id");
        append_keyed(&producer, &topic, Some(r#"["open",{"p":1}]"#), r#"{"o":1}"#).await;
        producer.flush().await.expect("sent");
        let _ = opened.send(());
        // The core has nothing else to do, and the brokers know when a transaction has to end.
        let _ = ended.recv();
        let _ = producer.commit_transaction().await;
        rt::sleep(std::time::Duration::from_millis(10)).await;
    })
    .expect("a core");
    open.recv().expect("the core panicked: see above");
    end
}

/// What readers of `read_committed` see of the topic now.
pub fn committed(bootstrap: &str, topic: &str) -> Vec<String> {
    let output = Command::new("kcat")
        .args(["-b", bootstrap, "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%s\n"])
        .args(["-X", "isolation.level=read_committed"])
        .output()
        .expect("kcat");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}
