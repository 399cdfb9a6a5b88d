//! `security.protocol` with every mechanism and store against the real broker, in every client of the
//! worker; what is wrong is told with its key and what to do.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::rig::secured::{PASSWORD, SCRAM_PASSWORD, STORE_PASSWORD, Secured, USER, shared};
use crate::rig::worker::{Worker, binary, get, properties, worker_file};
use crate::rig::{free_port, wait_for};

type Pairs = Vec<(&'static str, String)>;

fn jaas(module: &str, options: &str) -> String {
    format!("org.apache.kafka.common.security.{module} required {options};")
}

fn login(module: &str, password: &str) -> String {
    // As in a properties file, where a backslash stands for itself only when doubled.
    let password = password.replace('"', "\\\\\"");
    jaas(module, &format!("username=\"{USER}\" password=\"{password}\""))
}

fn trust(secured: &Secured) -> Pairs {
    vec![
        ("ssl.truststore.location", secured.file("trust.p12")),
        ("ssl.truststore.type", "PKCS12".to_owned()),
        ("ssl.truststore.password", STORE_PASSWORD.to_owned()),
    ]
}

fn sasl(protocol: &str, mechanism: &str, jaas: String) -> Pairs {
    vec![
        ("security.protocol", protocol.to_owned()),
        ("sasl.mechanism", mechanism.to_owned()),
        ("sasl.jaas.config", jaas),
    ]
}

const PLAIN: &str = "plain.PlainLoginModule";
const SCRAM: &str = "scram.ScramLoginModule";
const OAUTH: &str = "oauthbearer.OAuthBearerLoginModule";

/// A worker whose source writes a hundred records that its sink writes to a file, both and the dead
/// letter topic's admin client by these settings; done when all came through.
fn round_trip(listener: &str, settings: &Pairs, topic: &str) {
    let secured = shared();
    let dir = tempfile::tempdir().expect("a folder");
    let mut more: BTreeMap<String, String> = BTreeMap::new();
    for (key, value) in settings {
        // The worker's own admin client, then those of the tasks.
        for prefix in ["", "consumer.", "producer.", "admin."] {
            more.insert(format!("{prefix}{key}"), value.replace('\n', "\\\n"));
        }
    }
    more.insert("consumer.metadata.max.age.ms".to_owned(), "500".to_owned());
    let more: Vec<_> = more.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let out = dir.path().join("out.json");
    let source = properties(
        dir.path(),
        "source.properties",
        &[
            ("name", &format!("{topic}-source")),
            ("connector.class", "millrace.DatagenSourceConnector"),
            ("topic", topic),
            ("quickstart", "events"),
            ("max", "100"),
            // The admin client makes the topic.
            ("topic.creation.default.partitions", "2"),
            ("topic.creation.default.replication.factor", "1"),
            ("producer.override.enable.idempotence", "true"),
        ],
    );
    let sink = properties(
        dir.path(),
        "sink.properties",
        &[
            ("name", &format!("{topic}-sink")),
            ("connector.class", "org.apache.kafka.connect.file.FileStreamSinkConnector"),
            ("topics", topic),
            ("file", out.to_str().expect("a path")),
            ("errors.tolerance", "all"),
            ("errors.deadletterqueue.topic.name", &format!("{topic}-dead")),
            ("errors.deadletterqueue.topic.replication.factor", "1"),
        ],
    );
    let bootstrap = secured.bootstrap(listener);
    let worker = Worker::start(dir.path(), &bootstrap, &more, &[&source, &sink]);
    let lines = || std::fs::read_to_string(&out).unwrap_or_default().lines().count();
    wait_for(&format!("100 records by {topic}"), Duration::from_secs(60), || {
        for name in ["source", "sink"] {
            let path = format!("/connectors/{topic}-{name}/status");
            let (_, status) = worker.get(&path);
            assert_ne!(status["tasks"][0]["state"], "FAILED", "{status}");
        }
        lines() == 100
    });
    wait_for("the cluster's id", Duration::from_secs(20), || {
        worker.get("/").1["kafka_cluster_id"] == "MillraceTestCluster004"
    });
    let log = worker.process.log();
    for secret in [PASSWORD, SCRAM_PASSWORD, STORE_PASSWORD, "alice's", "hush-hush"] {
        assert!(!log.contains(secret), "a secret is in the log:\n{log}");
    }
}

#[test]
fn tls_by_pkcs12_jks_and_pem_stores() {
    let secured = shared();
    let ssl = ("security.protocol", "SSL".to_owned());
    let mut pkcs12 = trust(secured);
    pkcs12.push(ssl.clone());
    round_trip("TLS", &pkcs12, "by-pkcs12");
    let jks = vec![
        ssl.clone(),
        ("ssl.truststore.location", secured.file("trust.jks")),
        ("ssl.truststore.password", STORE_PASSWORD.to_owned()),
        ("ssl.enabled.protocols", "TLSv1.2".to_owned()),
    ];
    round_trip("TLS", &jks, "by-jks");
    let pem = vec![
        ssl,
        ("ssl.truststore.type", "PEM".to_owned()),
        // As it stands in properties files: lines that are continued.
        ("ssl.truststore.certificates", secured.text("ca.pem").replace('\n', " ")),
    ];
    round_trip("TLS", &pem, "by-pem");
}

#[test]
fn tls_with_a_certificate_of_our_own() {
    let secured = shared();
    let mut jks = trust(secured);
    jks.extend([
        ("security.protocol", "SSL".to_owned()),
        ("ssl.keystore.location", secured.file("client.jks")),
        ("ssl.keystore.password", STORE_PASSWORD.to_owned()),
    ]);
    round_trip("MUTUAL", &jks, "mutual-jks");
    let pem = vec![
        ("security.protocol", "SSL".to_owned()),
        ("ssl.truststore.type", "PEM".to_owned()),
        ("ssl.truststore.location", secured.file("ca.pem")),
        ("ssl.keystore.type", "PEM".to_owned()),
        ("ssl.keystore.location", secured.file("client-both.pem")),
        ("ssl.key.password", STORE_PASSWORD.to_owned()),
    ];
    round_trip("MUTUAL", &pem, "mutual-pem");
}

#[test]
fn sasl_by_plain_and_scram_with_and_without_tls() {
    let secured = shared();
    round_trip("SASL", &sasl("SASL_PLAINTEXT", "PLAIN", login(PLAIN, PASSWORD)), "plain");
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let mut both = sasl("SASL_SSL", mechanism, login(SCRAM, SCRAM_PASSWORD));
        both.extend(trust(secured));
        round_trip("SASLTLS", &both, &mechanism.to_lowercase());
    }
}

#[test]
fn an_authentication_that_runs_out_is_renewed_without_a_break() {
    // The listener ends what was authenticated more than four seconds ago.
    let dir = tempfile::tempdir().expect("a folder");
    let topic = "renewed";
    let mut more = Vec::new();
    for prefix in ["", "consumer.", "producer.", "admin."] {
        for (key, value) in sasl("SASL_PLAINTEXT", "PLAIN", login(PLAIN, PASSWORD)) {
            more.push((format!("{prefix}{key}"), value));
        }
    }
    let more: Vec<_> = more.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let source = super::counter(dir.path(), topic, 0, 500);
    let out = dir.path().join("out.json");
    let sink = properties(
        dir.path(),
        "sink.properties",
        &[
            ("name", "renewed-sink"),
            ("connector.class", "org.apache.kafka.connect.file.FileStreamSinkConnector"),
            ("topics", topic),
            ("file", out.to_str().expect("a path")),
            ("consumer.override.metadata.max.age.ms", "500"),
        ],
    );
    let bootstrap = shared().bootstrap("SASL");
    let worker = Worker::start(dir.path(), &bootstrap, &more, &[&source, &sink]);
    // Ten seconds and more of records: each client is past its session twice.
    let text = || std::fs::read_to_string(&out).unwrap_or_default();
    wait_for("6000 records", Duration::from_secs(90), || text().lines().count() > 6_000);
    let log = worker.process.log();
    let broken: Vec<_> = log.lines().filter(|line| line.contains("closed the conn")).collect();
    assert!(broken.is_empty(), "the broker ended connections: {broken:?}");
    for (at, line) in text().lines().take(6_000).enumerate() {
        assert!(line.contains(&format!("{at}")), "record {at} is {line}");
    }
}

#[test]
fn sasl_by_oauthbearer_with_a_token_endpoint() {
    let claims = jaas(OAUTH, "unsecuredLoginStringClaim_sub=\"alice\"");
    round_trip("SASL", &sasl("SASL_PLAINTEXT", "OAUTHBEARER", claims), "oauth-unsecured");
    // A stand-in for the token endpoint; the broker takes tokens that nobody signed.
    let port = free_port();
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut head = Vec::new();
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            head.extend(lines.take_while(|line| !line.is_empty()));
            let right = head.iter().any(|line| {
                // millrace:hush-hush
                line.eq_ignore_ascii_case("authorization: Basic bWlsbHJhY2U6aHVzaC1odXNo")
            });
            let (status, body) = match right {
                true => ("200 OK", format!("{{\"access_token\":\"{}\"}}", unsigned_token())),
                false => ("401 Unauthorized", String::new()),
            };
            let answer = format!(
                "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let settings = |secret: &str| {
        let options = format!("clientId=\"millrace\" clientSecret=\"{secret}\" scope=\"kafka\"");
        let mut settings = sasl("SASL_PLAINTEXT", "OAUTHBEARER", jaas(OAUTH, &options));
        let url = format!("http://127.0.0.1:{port}/token");
        settings.push(("sasl.oauthbearer.token.endpoint.url", url));
        settings
    };
    round_trip("SASL", &settings("hush-hush"), "oauth-endpoint");
    let told = export_fails("SASL", &settings("wrong"));
    assert!(told.contains("refuses with status 401; check clientId, clientSecret"), "{told}");
}

/// An unsecured JWT: `{"alg":"none"}`, and claims that end in an hour.
fn unsigned_token() -> String {
    let output = Command::new("sh")
        .arg("-c")
        .arg(
            "b() { openssl base64 -A | tr '+/' '-_' | tr -d =; }; n=$(date +%s); \
             printf '%s.%s.' \"$(printf '{\"alg\":\"none\"}' | b)\" \
             \"$(printf '{\"sub\":\"alice\",\"iat\":%s,\"exp\":%s}' $n $((n+3600)) | b)\"",
        )
        .output()
        .expect("sh");
    String::from_utf8(output.stdout).expect("text")
}

/// Runs an export that must fail at once; gives all that it printed.
fn export_fails(listener: &str, settings: &Pairs) -> String {
    export_fails_at(&shared().bootstrap(listener), settings)
}

fn export_fails_at(bootstrap: &str, settings: &Pairs) -> String {
    let dir = tempfile::tempdir().expect("a folder");
    let more: Vec<(String, &str)> =
        settings.iter().map(|(key, value)| (format!("consumer.{key}"), value.as_str())).collect();
    let more: Vec<_> = more.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    let worker = worker_file(dir.path(), bootstrap, &more);
    let connector = connector(dir.path());
    let output = Command::new("timeout")
        .arg("60")
        .arg(binary())
        .arg("export")
        .arg(connector)
        .arg("--worker")
        .arg(worker)
        .output()
        .expect("our binary");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let code = output.status.code();
    assert!(code.is_some_and(|code| code != 0 && code != 124), "{code:?}: {text}");
    for secret in [PASSWORD, "wrong-password", STORE_PASSWORD] {
        assert!(!text.contains(secret), "a secret was printed:\n{text}");
    }
    text
}

fn connector(dir: &Path) -> std::path::PathBuf {
    let out = dir.join("out");
    properties(
        dir,
        "connector.properties",
        &[
            ("name", "refused"),
            ("connector.class", "org.apache.kafka.connect.file.FileStreamSinkConnector"),
            ("topics", "refused"),
            ("file", out.to_str().expect("a path")),
        ],
    )
}

#[test]
fn wrong_credentials_are_told_with_their_key() {
    let plain = |password: &str| sasl("SASL_PLAINTEXT", "PLAIN", login(PLAIN, password));
    let told = export_fails("SASL", &plain("wrong-password"));
    assert!(told.contains("Invalid username or password"), "{told}");
    assert!(told.contains("check username and password in sasl.jaas.config"), "{told}");
    let scram = sasl("SASL_PLAINTEXT", "SCRAM-SHA-512", login(SCRAM, "wrong-password"));
    let told = export_fails("SASL", &scram);
    assert!(told.contains("invalid credentials with SASL mechanism SCRAM-SHA-512"), "{told}");
    assert!(told.contains("check username and password in sasl.jaas.config"), "{told}");
    // All mistakes at once, before anything connects.
    let kerberos = vec![("security.protocol", "SASL_SSL".to_owned())];
    let told = export_fails("SASLTLS", &kerberos);
    assert!(told.contains("consumer.sasl.mechanism") && told.contains("SCRAM-SHA-512"), "{told}");
}

#[test]
fn wrong_certificates_are_told_with_their_key() {
    let secured = shared();
    let ssl = |more: &[(&'static str, String)]| {
        let mut settings = trust(secured);
        settings.push(("security.protocol", "SSL".to_owned()));
        settings.retain(|(key, _)| !more.iter().any(|(other, _)| other == key));
        settings.extend_from_slice(more);
        settings
    };
    let stranger = [
        ("ssl.truststore.type", "PEM".to_owned()),
        ("ssl.truststore.location", secured.file("stranger.pem")),
    ];
    for (listener, settings, words) in [
        ("TLS", ssl(&stranger), "no authority in ssl.truststore.location="),
        ("EXPIRED", ssl(&[]), "the broker's certificate is not valid at this time"),
        ("OTHER", ssl(&[]), "ssl.endpoint.identification.algorithm"),
        ("MUTUAL", ssl(&[]), "we have none"),
        ("MUTUAL", ssl(&[]), "ssl.keystore.location"),
        (
            "TLS",
            ssl(&[("ssl.truststore.password", "wrong-password".to_owned())]),
            "consumer.ssl.truststore.password: the password does not open the store",
        ),
        (
            "TLS",
            ssl(&[("ssl.truststore.location", "/absent.p12".to_owned())]),
            "Invalid value /absent.p12 for configuration consumer.ssl.truststore.location",
        ),
    ] {
        let told = export_fails(listener, &settings);
        assert!(told.contains(words), "{listener}: {words} is missing in:\n{told}");
    }
    // Another host's certificate is taken when names are not to be checked.
    let any = ssl(&[("ssl.endpoint.identification.algorithm", String::new())]);
    round_trip("OTHER", &any, "any-name");
}

#[test]
fn a_listener_of_another_protocol_is_told() {
    // In the clear to TLS, by TLS to a clear port, without SASL to a port that wants it: a worker's
    // task goes on trying, and says why.
    let secured = shared();
    let mut tls = trust(secured);
    tls.push(("security.protocol", "SSL".to_owned()));
    for (listener, settings, words) in [
        ("TLS", Vec::new(), "security.protocol"),
        ("CLEAR", tls, "security.protocol"),
        ("SASL", Vec::new(), "speak security.protocol=PLAINTEXT?"),
    ] {
        let dir = tempfile::tempdir().expect("a folder");
        let more: Vec<(String, String)> =
            settings.into_iter().map(|(key, value)| (format!("consumer.{key}"), value)).collect();
        let more: Vec<_> = more.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let connector = connector(dir.path());
        let worker = Worker::start(dir.path(), &secured.bootstrap(listener), &more, &[&connector]);
        wait_for(&format!("the hint at {listener}"), Duration::from_secs(60), || {
            let log = worker.process.log();
            log.lines().any(|line| line.contains("refused-0") && line.contains(words))
        });
        assert!(get(worker.port, "/").is_some(), "the worker lives");
    }
}
