//! `millrace migrate check` beside a running cluster of JVM workers.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::distributed::{ClusterWorker, Kind};
use crate::rig::worker::{binary, call};
use crate::rig::{kafka, wait_for};

#[test]
fn a_running_cluster_is_judged_and_not_touched() {
    let kafka = kafka::shared();
    let dir = tempfile::tempdir().expect("a folder");
    kafka.create_topic("migrate-in", 1);
    let group = "migrate-check";
    let worker =
        ClusterWorker::start(Kind::Jvm, dir.path(), &kafka.bootstrap(), group, "odd.key=1\n");
    let create = |name: &str, config: Value| {
        let path = format!("/connectors/{name}/config");
        wait_for(&format!("{name} to be created"), Duration::from_secs(120), || {
            let answer = call(worker.port, "PUT", &path, &config.to_string());
            answer.is_some_and(|(status, _)| status == 201)
        });
    };
    let sink = "org.apache.kafka.connect.file.FileStreamSinkConnector";
    let file = dir.path().join("out.txt");
    create("sink", json!({"connector.class": sink, "topics": "migrate-in", "file": file}));
    create(
        "odd",
        json!({"connector.class": sink, "topics": "migrate-in", "file": file, "x.y": "z"}),
    );
    create(
        "mirror",
        json!({
            "connector.class": "org.apache.kafka.connect.mirror.MirrorHeartbeatConnector",
            "source.cluster.alias": "a", "target.cluster.alias": "b",
            "source.cluster.bootstrap.servers": kafka.bootstrap(),
            "target.cluster.bootstrap.servers": kafka.bootstrap(),
            "heartbeats.topic.replication.factor": "1", "emit.heartbeats.enabled": "false",
        }),
    );
    let properties = dir.path().join(format!("worker-{}.properties", worker.port));
    let check = |more: &[&str]| {
        let mut command = Command::new(binary());
        command.args(["migrate", "check"]).arg(&properties).args(more);
        let output = command.output().expect("our binary");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), text, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let before = call(worker.port, "GET", "/connectors?expand=info", "").expect("an answer");
    let (code, text, told) = check(&["--json"]);
    assert_eq!(code, Some(3), "{text}{told}");
    let report: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(report["version"], "4.1.0", "{report:#}");
    assert_eq!(report["notes"], json!([]), "{report:#}");
    let verdict = |name: &str| report["connectors"][name]["verdict"].clone();
    assert_eq!(verdict("sink"), "runs-as-it-is", "{report:#}");
    assert_eq!(verdict("odd"), "runs-differently", "{report:#}");
    let mirror = &report["connectors"]["mirror"];
    assert_eq!(mirror["verdict"], "cannot-run", "{report:#}");
    assert!(mirror["findings"].to_string().contains("is not built in"), "{report:#}");
    assert!(report["worker"].to_string().contains("odd.key is not known"), "{report:#}");
    // Either source alone is enough; with neither there is nothing to say.
    let (code, text, _) = check(&["--rest", "http://127.0.0.1:9"]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("Note: REST not asked"), "{text}");
    assert!(text.contains("1 run as they are, 1 with differences, 1 cannot run"), "{text}");
    let after = call(worker.port, "GET", "/connectors?expand=info", "").expect("an answer");
    assert_eq!(before, after);
}
