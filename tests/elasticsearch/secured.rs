//! Elasticsearch behind TLS, with Java's stores and with PEM, and behind a proxy that asks for a
//! password.

use std::process::Output;

use super::{connector, export, exported, fill_keyed};
use crate::rig::elasticsearch::{self, Search};
use crate::rig::proxy::{self, Proxy};
use crate::rig::secured::STORE_PASSWORD;

const RECORDS: u64 = 50;

fn fill(topic: &str) {
    let pairs: Vec<_> = (0..RECORDS).map(|n| (format!("k{n}"), format!("{{\"n\":{n}}}"))).collect();
    fill_keyed(topic, &pairs);
}

/// An export under a name of its own, which is to say whether it worked.
fn attempt(search: &Search, name: &str, topic: &str, more: &[(&str, &str)]) -> Output {
    let dir = tempfile::tempdir().expect("a folder");
    // What is refused is refused again.
    let all = [more, &[("max.retries", "0"), ("flush.timeout.ms", "20000")]].concat();
    export(dir.path(), &connector(dir.path(), name, topic, search, &all), &[])
}

fn refused(output: &Output, words: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{text}");
    assert!(words.iter().all(|word| text.contains(word)), "{words:?}: {text}");
    assert!(!text.contains(STORE_PASSWORD), "the password is shown: {text}");
}

#[test]
fn https_with_javas_stores_or_pem_directly_and_through_a_proxy() {
    let es = elasticsearch::secured();
    let dir = tempfile::tempdir().expect("a folder");
    let file = |name: &str| es.certificate(name);
    let [jks, p12, pem, both, stranger] =
        ["trust.jks", "client.p12", "ca.pem", "client-both.pem", "stranger.pem"].map(file);
    let ssl = ("elastic.security.protocol", "SSL");
    let stores = [
        ssl,
        ("elastic.https.ssl.truststore.location", jks.as_str()),
        ("elastic.https.ssl.truststore.password", STORE_PASSWORD),
        ("elastic.https.ssl.keystore.location", p12.as_str()),
        ("elastic.https.ssl.keystore.type", "PKCS12"),
        ("elastic.https.ssl.keystore.password", STORE_PASSWORD),
    ];
    let trust = [
        ssl,
        ("elastic.https.ssl.truststore.type", "PEM"),
        ("elastic.https.ssl.truststore.location", pem.as_str()),
    ];
    let identity = [
        ("elastic.https.ssl.keystore.type", "PEM"),
        ("elastic.https.ssl.keystore.location", both.as_str()),
        ("elastic.https.ssl.key.password", STORE_PASSWORD),
    ];
    let texts = [trust.as_slice(), identity.as_slice()].concat();
    for (topic, more) in [("es-tls-stores", stores.as_slice()), ("es-tls-pem", &texts)] {
        fill(topic);
        exported(dir.path(), &connector(dir.path(), topic, topic, &es, more), &[]);
        assert_eq!(es.count(topic), RECORDS, "{topic}");
    }

    let topic = "es-tls-pem";
    // No certificate of ours, no trust in theirs, no trust by default, a wrong password.
    refused(&attempt(&es, "es-tls-nobody", topic, &trust), &["BadCertificate"]);
    let mut distrust = texts.clone();
    distrust[2].1 = &stranger;
    refused(&attempt(&es, "es-tls-stranger", topic, &distrust), &["UnknownIssuer"]);
    refused(&attempt(&es, "es-tls-default", topic, &[]), &["UnknownIssuer"]);
    let mut wrong = stores;
    wrong[2].1 = "guessed";
    let words = ["elastic.https.ssl.truststore.password", "password"];
    refused(&attempt(&es, "es-tls-password", topic, &wrong), &words);

    let proxy = Proxy::start();
    let port = proxy.port.to_string();
    let through = [
        ("proxy.host", "127.0.0.1"),
        ("proxy.port", port.as_str()),
        ("proxy.username", proxy::USER),
        ("proxy.password", proxy::PASSWORD),
    ];
    let topic = "es-tls-proxied";
    fill(topic);
    let more = [stores.as_slice(), &through].concat();
    exported(dir.path(), &connector(dir.path(), topic, topic, &es, &more), &[]);
    assert_eq!(es.count(topic), RECORDS);
    let log = proxy.process.log();
    assert!(log.contains("CONNECT localhost:"), "the proxy made no tunnel:\n{log}");
}

#[test]
fn http_through_a_proxy_that_asks_for_a_password() {
    let (es, proxy) = (elasticsearch::shared(), Proxy::start());
    let dir = tempfile::tempdir().expect("a folder");
    let port = proxy.port.to_string();
    let through = |password| {
        [
            ("proxy.host", "127.0.0.1"),
            ("proxy.port", port.as_str()),
            ("proxy.username", proxy::USER),
            ("proxy.password", password),
        ]
    };
    let topic = "es-proxied";
    fill(topic);
    let denied = attempt(es, "es-proxy-denied", topic, &through("guessed"));
    refused(&denied, &["'proxy.username' and 'proxy.password'"]);
    let text = String::from_utf8_lossy(&denied.stderr);
    assert!(!text.contains("guessed"), "the password is shown: {text}");
    let nobody = attempt(es, "es-proxy-nobody", topic, &through("guessed")[..2]);
    refused(&nobody, &["(407)", "'proxy.username' and 'proxy.password'"]);
    exported(dir.path(), &connector(dir.path(), topic, topic, es, &through(proxy::PASSWORD)), &[]);
    assert_eq!(es.count(topic), RECORDS);
    let log = proxy.process.log();
    assert!(log.contains("POST http://127.0.0.1:"), "the proxy saw no bulk request:\n{log}");
}
