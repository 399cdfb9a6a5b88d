//! Membership, internal topics and tasks over TLS with passwords.

use serde_json::json;

use super::LIMIT;
use super::worker::{
    QUICK, append, ask, create, files, sink, source, wait_for_lines, wait_for_state,
};
use crate::rig::distributed::{ClusterWorker, Kind};
use crate::rig::secured::{PASSWORD, SCRAM_PASSWORD, STORE_PASSWORD, USER, shared};
use crate::rig::wait_for;
use crate::rig::worker::get;

/// The worker's own clients and those of its tasks log in so.
fn settings(mechanism: &str, module: &str, password: &str) -> String {
    // As in a properties file, where a backslash stands for itself only when doubled.
    let password = password.replace('"', "\\\\\"");
    let login = format!(
        "org.apache.kafka.common.security.{module} required username=\"{USER}\" \
         password=\"{password}\";"
    );
    let trust = shared().file("trust.p12");
    let mut text = QUICK.to_owned();
    for prefix in ["", "consumer.", "producer.", "admin."] {
        for (key, value) in [
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", mechanism),
            ("sasl.jaas.config", &login),
            ("ssl.truststore.location", &trust),
            ("ssl.truststore.type", "PKCS12"),
            ("ssl.truststore.password", STORE_PASSWORD),
        ] {
            text.push_str(&format!("{prefix}{key}={value}\n"));
        }
    }
    text
}

/// A source and a sink, their offsets, and all of it again after a kill. The broker ends what was
/// authenticated more than four seconds ago, so each client has to do it anew meanwhile.
fn works(group: &str, settings: &str) {
    let dir = tempfile::tempdir().expect("a folder");
    let (input, output) = files(dir.path());
    let bootstrap = shared().bootstrap("SASLTLS");
    let start = || {
        let (dir, kind) = (dir.path(), Kind::Ours);
        let mut worker = ClusterWorker::launch(kind, dir, &bootstrap, group, settings);
        worker.wait();
        worker
    };
    let mut worker = start();
    append(&input, 0..5);
    let topic = format!("{group}-lines");
    create(worker.port, "src", source(&input, &topic));
    let mut reader = sink(&output, &topic);
    reader["consumer.override.group.id"] = json!(format!("{group}-readers"));
    create(worker.port, "snk", reader);
    wait_for_lines(&output, 5);
    let offset_is = |port: u16, name: &str, offset: serde_json::Value| {
        wait_for(&format!("the offset of {name}"), LIMIT, || {
            get(port, &format!("/connectors/{name}/offsets"))
                .is_some_and(|(_, offsets)| offsets["offsets"][0]["offset"] == offset)
        });
    };
    offset_is(worker.port, "src", json!({"position": 35}));
    offset_is(worker.port, "snk", json!({"kafka_offset": 5}));
    ask(worker.port, "PUT", "/connectors/src/pause", "", 202);
    wait_for_state(worker.port, "src", 1, "PAUSED", &[worker.id()]);
    worker.process.kill();
    let mut logs = worker.process.log();
    append(&input, 5..9);
    let worker = start();
    wait_for_state(worker.port, "src", 1, "PAUSED", &[worker.id()]);
    ask(worker.port, "PUT", "/connectors/src/resume", "", 202);
    wait_for_lines(&output, 9);
    offset_is(worker.port, "src", json!({"position": 63}));
    logs.push_str(&worker.process.log());
    for secret in [PASSWORD, SCRAM_PASSWORD, STORE_PASSWORD, "alice's"] {
        assert!(!logs.contains(secret), "a secret is in the log:\n{logs}");
    }
    worker.stop();
}

#[test]
fn a_cluster_works_over_tls_with_scram_and_plain() {
    works("scram", &settings("SCRAM-SHA-512", "scram.ScramLoginModule", SCRAM_PASSWORD));
    works("plain", &settings("PLAIN", "plain.PlainLoginModule", PASSWORD));
}
