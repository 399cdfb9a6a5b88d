//! The REST API of a cluster's worker held against the JVM's: the requests of the standalone test and
//! those that only a cluster answers, asked of a JVM worker and of ours, each in a group of its own;
//! then of ours that does not lead; then in groups of both kinds.
//!
//! What is not compared is listed in [`super::comparable`], what is answered otherwise in
//! [`DIFFERENT`].

use base64::prelude::{BASE64_STANDARD, Engine as _};
use millrace_herder::internal_requests::{ALGORITHM_HEADER, SIGNATURE_HEADER, SessionKey};
use serde_json::Value;

use super::answers::{Answer, Asker, Question, compare, compare_with};
use super::cluster_requests::{CLUSTER, GROUP, SIGNED, short, source};
use super::requests::{Asked, BAD_BODIES, EMPTY, LIFE, PLUGINS};
use super::worker::QUICK;
use super::{LIMIT, clients, more_requests};
use crate::rig::distributed::{ClusterWorker, Kind};
use crate::rig::kafka::{self, Kafka};
use crate::rig::wait_for;
use crate::rig::worker::call_with;

/// What we answer otherwise: the request, our status, and what the JVM does.
const DIFFERENT: &[(Asked, u16, &str)] = &[
    (("POST", "/connectors", ANOTHER), 201, "the same; for the requests below"),
    (("PUT", "/connectors/g/stop", ""), 204, "the same"),
    (
        ("POST", "/connectors/g/tasks/0/restart", ""),
        404,
        "409 for ever: no known leader URL, likely because a rebalance was underway",
    ),
    (("DELETE", "/connectors/g", ""), 204, "the same"),
    (("PATCH", "/connectors/nope/offsets", ""), 400, "500 with a null pointer's text"),
    (("PATCH", "/connectors/nope/config", "null"), 500, "404: the body is looked at last"),
    (("GET", "/connectors/nope/tasks/-1/status", ""), 404, "404 with another text"),
];

const ANOTHER: &str = r#"{"name":"g","config":{"connector.class":"FileStreamSink","topics":"rest-parity","file":"/tmp/millrace-rest-parity.txt"}}"#;

/// The last time it is of a connector that had tasks before it was stopped.
const GONE_TASK: Asked = ("POST", "/connectors/a/tasks/0/restart", "");

/// Both kinds of workers, each on a broker of its own: on one, connectors of the same name would be
/// members of the same consumer group.
struct Brokers {
    theirs: Kafka,
    ours: &'static Kafka,
    dir: tempfile::TempDir,
}

impl Brokers {
    fn start() -> Self {
        let brokers = Self {
            theirs: Kafka::start(),
            ours: kafka::shared(),
            dir: tempfile::tempdir().expect("a folder"),
        };
        for broker in [&brokers.theirs, brokers.ours] {
            broker.create_topic("rest-parity", 1);
            broker.produce("rest-parity", 0, "none", false, "{\"id\":1}\n");
        }
        std::fs::write("/tmp/millrace-rest-parity-in.txt", "line 0\nline 1\nline 2\n")
            .expect("a source's file");
        brokers
    }

    fn launch(&self, kind: Kind, broker: &Kafka) -> ClusterWorker {
        let more = format!("{QUICK}heartbeat.interval.ms=300\n");
        ClusterWorker::launch(kind, self.dir.path(), &broker.bootstrap(), GROUP, &more)
    }
}

/// The list, but what is answered otherwise.
fn questions() -> Vec<Question<'static>> {
    let (more, source) = (more_requests::more(), source());
    let mut life = LIFE.to_vec();
    // It is asked while the task is there, too.
    let at = life.iter().rposition(|asked| *asked == GONE_TASK).expect("in the list");
    life.remove(at);
    let all = [EMPTY, BAD_BODIES, &life, &source, CLUSTER, PLUGINS, &more];
    let plain = all.into_iter().flatten().map(|asked| Question::from(*asked));
    let signed = SIGNED.iter().map(|(method, path, body, mac, algorithm)| {
        let headers = [(SIGNATURE_HEADER, *mac), (ALGORITHM_HEADER, *algorithm)];
        let headers: Vec<_> = headers.into_iter().filter(|(_, value)| *value != "-").collect();
        Question { asked: (method, path, body), headers: headers.leak() }
    });
    plain.chain(signed).collect()
}

fn none_differ(wrong: &[String], count: usize, what: &str) {
    assert!(wrong.is_empty(), "{what}: {} of {count} differ:\n{}", wrong.len(), wrong.join("\n"));
    println!("{what}: {count} requests answered alike");
}

/// The offsets that the sink of an earlier list has committed are forgotten.
fn forget_offsets(port: u16) {
    let sink = super::requests::GOOD.replace("}}", r#"},"initial_state":"STOPPED"}"#);
    let asker = Asker::new(port);
    let ask = |asked: Asked, status: u16| {
        let answer = asker.ask(&asked.into());
        assert_eq!(answer.0, status, "{asked:?}: {}", answer.1);
        asker.settle(asked, &answer);
    };
    ask(("POST", "/connectors", sink.leak()), 201);
    // A task that had no time to leave its group is a member of it until its session is over.
    wait_for("the offsets of a to be forgotten", LIMIT, || {
        let (status, answer) = asker.ask(&("DELETE", "/connectors/a/offsets", "").into());
        let message = answer["message"].as_str().unwrap_or_default();
        let again = message.contains("its tasks haven't stopped completely yet");
        assert!(status == 200 || (status == 500 && again), "{status} {answer}");
        status == 200
    });
    ask(("DELETE", "/connectors/a", ""), 204);
}

#[test]
fn answers_are_the_jvms_from_leaders_and_followers() {
    let brokers = Brokers::start();
    let mut jvm = brokers.launch(Kind::Jvm, &brokers.theirs);
    let mut ours = brokers.launch(Kind::Ours, brokers.ours);
    jvm.wait();
    ours.wait();
    let questions = questions();
    assert!(questions.len() >= 300, "only {} requests", questions.len());
    let (answers, wrong) = compare(&Asker::new(jvm.port), &Asker::new(ours.port), &questions);
    none_differ(&wrong, questions.len(), "leaders");
    let asker = Asker::new(ours.port);
    for (asked, status, jvm) in DIFFERENT {
        let answer = asker.ask(&Question::from(*asked));
        assert_eq!(answer.0, *status, "{asked:?}: {} (the JVM: {jvm})", answer.1);
        asker.settle(*asked, &answer);
    }
    let bootstraps = [brokers.theirs.bootstrap(), brokers.ours.bootstrap()];
    let bootstraps = [bootstraps[0].as_str(), bootstraps[1].as_str()];
    let ports = [jvm.port, ours.port];
    let (commands, wrong) = clients::differences(ports, bootstraps, brokers.dir.path());
    none_differ(&wrong, commands, "published clients");

    // Through one that does not lead.
    forget_offsets(ours.port);
    let mut follower = brokers.launch(Kind::Ours, brokers.ours);
    follower.wait();
    let wrong = compare_with(&Asker::led_by(follower.port, ours.port), &questions, &answers);
    none_differ(&wrong, questions.len(), "a follower");
    follower.stop();

    in_company(&brokers, jvm, ours);
}

/// Ours asks a JVM leader, a JVM worker asks ours, with the answers that the JVM's leader gives itself.
fn in_company(brokers: &Brokers, jvm: ClusterWorker, ours: ClusterWorker) {
    let questions: Vec<Question<'_>> = short().into_iter().map(Question::from).collect();
    let answers: Vec<Answer> = {
        let (answers, wrong) = compare(&Asker::new(jvm.port), &Asker::new(ours.port), &questions);
        none_differ(&wrong, questions.len(), "leaders, for followers of the other kind");
        answers
    };
    let mut guest = brokers.launch(Kind::Ours, &brokers.theirs);
    let mut jvm_guest = brokers.launch(Kind::Jvm, brokers.ours);
    guest.wait();
    let wrong = compare_with(&Asker::led_by(guest.port, jvm.port), &questions, &answers);
    none_differ(&wrong, questions.len(), "ours asks the JVM's leader");
    jvm_guest.wait();
    let wrong = compare_with(&Asker::led_by(jvm_guest.port, ours.port), &questions, &answers);
    none_differ(&wrong, questions.len(), "the JVM's asks our leader");
    // One hop, and no further.
    let body = super::requests::GOOD;
    for (method, path) in
        [("POST", "/connectors?forward=false"), ("DELETE", "/connectors/a?forward=false")]
    {
        let question = Question::from((method, path, body));
        let [theirs, mine] =
            [&jvm_guest, &guest].map(|worker| Asker::new(worker.port).ask(&question));
        assert_eq!(theirs, mine, "{path}");
        assert_eq!(mine.0, 409, "{path}");
    }
    signed_by_the_key(brokers, [&jvm, &ours, &guest]);
    for worker in [guest, jvm_guest, jvm, ours] {
        worker.stop();
    }
}

/// The key in the config topic is what a request is signed with, whoever takes it. The JVM's followers
/// leave the signature away when they hand a request on; ours don't.
fn signed_by_the_key(brokers: &Brokers, [jvm, ours, guest]: [&ClusterWorker; 3]) {
    let theirs = [jvm, guest];
    for (kafka, workers) in [(&brokers.theirs, &theirs[..]), (brokers.ours, &[ours])] {
        let key = session_key(kafka, GROUP).expect("a key");
        for worker in workers {
            let signed = |body: &str, key: &SessionKey| {
                let mac =
                    BASE64_STANDARD.encode(key.mac("HmacSHA256", body.as_bytes()).expect("a MAC"));
                let headers = [(SIGNATURE_HEADER, &*mac), (ALGORITHM_HEADER, "HmacSHA256")];
                call_with(worker.port, "POST", "/connectors/nope/tasks", &headers, body)
                    .expect("an answer")
            };
            let (status, answer) = signed("[]", &key);
            assert_eq!(answer["message"], "Connector nope not found", "{status}");
            let other = SessionKey { bytes: vec![7; 32], ..key.clone() };
            assert_eq!(signed("[]", &other).0, 403);
        }
    }
}

/// The newest session key in the group's config topic.
pub fn session_key(kafka: &Kafka, group: &str) -> Option<SessionKey> {
    let lines = kafka.consume(&format!("{group}-config"), "%k\t%s\n");
    let last = lines.iter().rev().find_map(|line| line.strip_prefix("session-key\t"))?;
    let record: Value = serde_json::from_str(last).ok()?;
    Some(SessionKey {
        bytes: BASE64_STANDARD.decode(record["key"].as_str()?).ok()?,
        algorithm: record["algorithm"].as_str()?.to_owned(),
        created: record["creation-timestamp"].as_i64()?,
    })
}
