//! Requests, good and bad, to a JVM worker and to ours: status and JSON compared. What is not
//! compared is listed in [`super::comparable`], what is answered otherwise in
//! [`super::requests::DIFFERENT`].

use std::time::Duration;

use serde_json::Value;

use super::comparable::comparable;
use super::requests::{Asked, BAD_BODIES, DIFFERENT, EMPTY, LIFE, PLUGINS};
use super::{clients, more_requests};
use crate::rig::connect::JvmWorker;
use crate::rig::kafka::{self, Kafka};
use crate::rig::wait_for;
use crate::rig::worker::{Worker, call};

/// Both workers, each with a broker of its own.
struct Both {
    jvm: JvmWorker,
    ours: Worker,
}

impl Both {
    fn ports(&self) -> [u16; 2] {
        [self.jvm.port, self.ours.port]
    }

    /// Waits until both show this, so that the next answers are about the same state of affairs.
    fn settle(&self, path: &str, what: &str, ready: impl Fn(&Value) -> bool) {
        wait_for(&format!("{path} to be {what} in both"), Duration::from_secs(30), || {
            let ask = |port: &u16| call(*port, "GET", path, "");
            self.ports().iter().all(|port| ask(port).is_some_and(|(_, answer)| ready(&answer)))
        });
    }

    /// One record is in the topic.
    fn topics_are_known(&self) {
        self.settle("/connectors/a/topics", "known", |topics| {
            topics["a"]["topics"] == serde_json::json!(["rest-parity"])
        });
    }

    fn settle_after(&self, (method, path, _): &Asked, status: u16, answer: &Value) {
        let in_state = |name: &str, state: &str| {
            self.settle(&format!("/connectors/{name}/status"), state, |status| {
                let tasks = status["tasks"].as_array().cloned().unwrap_or_default();
                status["connector"]["state"] == state
                    && (state == "STOPPED") == tasks.is_empty()
                    && tasks.iter().all(|task| task["state"] == state)
            });
        };
        if status == 201 && answer["name"] == "a" {
            in_state("a", "RUNNING");
            self.topics_are_known();
        } else if status == 201 && answer["name"] == "c d" {
            in_state("c%20d", "RUNNING");
        } else if status < 300
            && *method != "GET"
            && path.starts_with("/connectors/a/")
            && !path.ends_with("/offsets")
        {
            let states = [("/pause", "PAUSED"), ("/stop", "STOPPED"), ("", "RUNNING")];
            let found = states.iter().find(|(end, _)| path.ends_with(end));
            in_state("a", found.map_or("RUNNING", |(_, state)| *state));
            if path.ends_with("/resume") {
                // Also after its topics and offsets were reset: the record comes again.
                self.topics_are_known();
            }
        }
    }

    /// What differs, told.
    fn compare(&self, requests: &[Asked]) -> Vec<String> {
        let mut wrong = Vec::new();
        for asked in requests {
            let (method, path, body) = asked;
            let [jvm, ours] = self.ports().map(|port| {
                let (status, answer) = call(port, method, path, body).expect("an answer");
                (status, comparable(answer))
            });
            if jvm != ours {
                wrong.push(format!(
                    "{method} {path} {body}\n  JVM:  {} {}\n  ours: {} {}",
                    jvm.0, jvm.1, ours.0, ours.1
                ));
            }
            self.settle_after(asked, jvm.0, &jvm.1);
        }
        wrong
    }
}

#[test]
fn status_and_json_are_the_jvms() {
    // Two brokers: on one the two connectors would be members of the same group.
    let (theirs, kafka) = (Kafka::start(), kafka::shared());
    for broker in [&theirs, kafka] {
        broker.create_topic("rest-parity", 1);
        broker.produce("rest-parity", 0, "none", false, "{\"id\":1}\n");
    }
    let dir = tempfile::tempdir().expect("a folder");
    let worker = format!(
        "bootstrap.servers={}\nkey.converter=org.apache.kafka.connect.storage.StringConverter\n\
         value.converter=org.apache.kafka.connect.json.JsonConverter\n\
         value.converter.schemas.enable=false\n",
        theirs.bootstrap()
    );
    let both = Both {
        jvm: JvmWorker::start(dir.path(), &worker, &[]),
        ours: Worker::start(dir.path(), &kafka.bootstrap(), &[], &[]),
    };
    wait_for("the cluster's id", Duration::from_secs(20), || {
        both.ours.get("/").1["kafka_cluster_id"].is_string()
    });
    let more = more_requests::more();
    let groups = [EMPTY, BAD_BODIES, LIFE, PLUGINS, &more];
    let count: usize = groups.iter().map(|group| group.len()).sum();
    assert!(count >= 300, "only {count} requests");
    let wrong: Vec<String> = groups.iter().flat_map(|group| both.compare(group)).collect();
    assert!(wrong.is_empty(), "{} of {count} differ:\n{}", wrong.len(), wrong.join("\n"));
    for ((method, path, body), status, jvm) in DIFFERENT {
        let (given, answer) = both.ours.call(method, path, body);
        assert_eq!(given, *status, "{method} {path} {body}: {answer} (the JVM: {jvm})");
    }
    let bootstraps = [theirs.bootstrap(), kafka.bootstrap()];
    let bootstraps = [bootstraps[0].as_str(), bootstraps[1].as_str()];
    let (commands, wrong) = clients::differences(both.ports(), bootstraps, dir.path());
    assert!(wrong.is_empty(), "{} of {commands} differ:\n{}", wrong.len(), wrong.join("\n"));
    println!("{commands} commands of three clients had the same outcome");
    println!("{count} requests answered as the JVM does, {} otherwise", DIFFERENT.len());
}
