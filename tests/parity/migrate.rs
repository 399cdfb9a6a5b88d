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
            "connector.class": "org.apache.kafka.connect.mirror.MirrorCheckpointConnector",
            "source.cluster.alias": "a", "target.cluster.alias": "b",
            "source.cluster.bootstrap.servers": kafka.bootstrap(),
            "target.cluster.bootstrap.servers": kafka.bootstrap(),
            "enabled": "false", "emit.checkpoints.enabled": "false",
        }),
    );
    create(
        "mirrors",
        json!({
            "connector.class": "org.apache.kafka.connect.mirror.MirrorSourceConnector",
            "source.cluster.alias": "a", "target.cluster.alias": "b", "enabled": "false",
            "source.cluster.bootstrap.servers": kafka.bootstrap(),
            "target.cluster.bootstrap.servers": kafka.bootstrap(),
            "source.consumer.fetch.min.bytes": "1", "use.defaults.from": "source",
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
    assert_eq!(verdict("mirrors"), "runs-as-it-is", "{report:#}");
    let mirror = &report["connectors"]["mirror"];
    assert_eq!(mirror["verdict"], "cannot-run", "{report:#}");
    assert!(mirror["findings"].to_string().contains("is not built in"), "{report:#}");
    assert!(report["worker"].to_string().contains("odd.key is not known"), "{report:#}");
    // The last round of the group may be under way still.
    let mut report = report;
    wait_for("a group at rest", Duration::from_secs(120), || {
        let group = &report["group"];
        let settled = group["state"] == "Stable" && group["workers"][0]["tasks"] == 2;
        if !settled {
            report = serde_json::from_str(&check(&["--json"]).1).expect("JSON");
        }
        settled
    });
    let group = &report["group"];
    assert_eq!([&group["state"], &group["protocol"]], ["Stable", "sessioned"], "{report:#}");
    let url = format!("http://127.0.0.1:{}/", worker.port);
    let own = json!([{"url": url, "leads": true, "connectors": 4, "tasks": 2}]);
    assert_eq!(group["workers"], own, "{report:#}");
    let topics: Vec<_> = report["topics"].as_array().expect("topics").iter().collect();
    let names: Vec<_> =
        topics.iter().map(|topic| topic["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["migrate-check-config", "migrate-check-status", "migrate-check-offsets"]);
    assert!(topics.iter().all(|topic| topic["malformed"] == 0), "{report:#}");
    // What a deleted source leaves, and what nobody can read.
    kafka.produce(
        "migrate-check-offsets",
        0,
        "none",
        true,
        "[\"gone\",{\"f\":1}]\t{\"p\":1}\nx\ty\n",
    );
    kafka.produce("migrate-check-status", 0, "none", true, "status-task-gone-0\t{}\n");
    kafka.produce("migrate-check-config", 0, "none", true, "odd-key\t{}\n");
    let (_, text, _) = check(&[]);
    for line in [
        "Note: gone: 1 source offsets are kept, but it has no configuration",
        "Note: 1 records of the topic migrate-check-offsets make no sense",
        "Note: 1 records of the topic migrate-check-status make no sense",
        "Note: 1 records of the topic migrate-check-config make no sense and are skipped: partition 0",
        "The group migrate-check is Stable (sessioned); its workers:",
        ": 4 connectors, 2 tasks, leads",
        "The topic migrate-check-config: 1 partitions, ",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    // Either source alone is enough; with neither there is nothing to say.
    let (code, text, _) = check(&["--rest", "http://127.0.0.1:9"]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("Note: REST not asked"), "{text}");
    assert!(text.contains("2 run as they are, 1 with differences, 1 cannot run"), "{text}");
    let after = call(worker.port, "GET", "/connectors?expand=info", "").expect("an answer");
    assert_eq!(before, after);
}
