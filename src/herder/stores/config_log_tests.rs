//! The scenarios of the reference's traps, and what a JVM worker wrote (Kafka 4.1.0).

use super::*;
use crate::stores::config_records::Produced;

/// What a JVM cluster's config topic held: a source created, paused, resumed, stopped; a sink made
/// in state STOPPED, resumed, restarted, deleted.
const JVM: &[(&str, &str)] = &[
    (
        "session-key",
        r#"{"key":"A35f8I8tO9OHvMkmZghsI9pLoLXZxCGauGzE3ibuR+c=","algorithm":"HmacSHA256","creation-timestamp":1795260626048}"#,
    ),
    (
        "connector-fs",
        r#"{"properties":{"connector.class":"FileStreamSource","tasks.max":"1","topic":"t","file":"/tmp/in.txt","name":"fs"}}"#,
    ),
    (
        "task-fs-0",
        r#"{"properties":{"connector.class":"FileStreamSource","file":"/tmp/in.txt","task.class":"org.apache.kafka.connect.file.FileStreamSourceTask","tasks.max":"1","name":"fs","topic":"t"}}"#,
    ),
    ("commit-fs", r#"{"tasks":1}"#),
    ("target-state-sink-1", r#"{"state":"PAUSED","state.v2":"STOPPED"}"#),
    (
        "connector-sink-1",
        r#"{"properties":{"connector.class":"FileStreamSink","tasks.max":"2","topics":"t","file":"/tmp/out.txt","value.converter":"org.apache.kafka.connect.storage.StringConverter","name":"sink-1"}}"#,
    ),
    ("target-state-fs", r#"{"state":"PAUSED","state.v2":"PAUSED"}"#),
    ("target-state-sink-1", r#"{"state":"STARTED","state.v2":"STARTED"}"#),
    (
        "task-sink-1-0",
        r#"{"properties":{"connector.class":"FileStreamSink","file":"/tmp/out.txt","task.class":"org.apache.kafka.connect.file.FileStreamSinkTask","tasks.max":"2","topics":"t","name":"sink-1","value.converter":"org.apache.kafka.connect.storage.StringConverter"}}"#,
    ),
    (
        "task-sink-1-1",
        r#"{"properties":{"connector.class":"FileStreamSink","file":"/tmp/out.txt","task.class":"org.apache.kafka.connect.file.FileStreamSinkTask","tasks.max":"2","topics":"t","name":"sink-1","value.converter":"org.apache.kafka.connect.storage.StringConverter"}}"#,
    ),
    ("commit-sink-1", r#"{"tasks":2}"#),
    ("restart-connector-sink-1", r#"{"include-tasks":true,"only-failed":false}"#),
    ("logger-cluster-org.x", r#"{"level":"DEBUG"}"#),
    ("target-state-fs", r#"{"state":"STARTED","state.v2":"STARTED"}"#),
    ("commit-fs", r#"{"tasks":0}"#),
    ("target-state-fs", r#"{"state":"PAUSED","state.v2":"STOPPED"}"#),
    ("connector-sink-1", ""),
    ("target-state-sink-1", ""),
];

fn read(log: &mut ConfigLog, at: usize, (key, value): (&str, &str)) -> Result<(), String> {
    let value = (!value.is_empty()).then_some(value.as_bytes());
    log.apply(at as i64, key.as_bytes(), value)
}

fn replay(records: &[(&str, &str)]) -> ConfigLog {
    let mut log = ConfigLog::default();
    log.start();
    for (at, record) in records.iter().enumerate() {
        read(&mut log, at, *record).unwrap();
    }
    log
}

fn props(text: &str) -> String {
    format!(r#"{{"properties":{{"a":"{text}"}}}}"#)
}

#[test]
fn a_jvm_clusters_topic_is_read() {
    let log = replay(&JVM[..11]);
    let config = log.config();
    assert_eq!(config.offset, 11);
    assert_eq!(config.tasks("fs").len(), 1);
    assert_eq!(config.tasks("sink-1").len(), 2);
    assert_eq!(config.target("fs"), TargetState::Paused);
    assert_eq!(config.session_key.as_ref().unwrap().bytes.len(), 32);
    let id = config.tasks("sink-1").pop().unwrap();
    assert_eq!(config.task_config(&id).unwrap()["topics"], "t");
    let log = replay(JVM);
    let names: Vec<_> = log.config().connectors().map(|(name, _)| name.to_string()).collect();
    assert_eq!(names, ["fs"]);
    assert_eq!(log.config().target("fs"), TargetState::Stopped);
    assert!(log.config().tasks("fs").is_empty() && log.config().tasks("sink-1").is_empty());
}

#[test]
fn our_records_are_the_jvms_bytes() {
    let log = replay(&JVM[..11]);
    let known = |name: &str| (**log.config().config(name).unwrap()).clone();
    let task = |id: TaskId| (**log.config().task_config(&id).unwrap()).clone();
    let id = |name: &str, task| TaskId { connector: name.into(), task };
    let restart = RestartScope { include_tasks: true, only_failed: false };
    let ours: Vec<(usize, Produced)> = vec![
        (0, config_records::session_key(log.config().session_key.as_ref().unwrap())),
        (2, config_records::task("fs", 0, &task(id("fs", 0)))),
        (3, config_records::commit("fs", 1)),
        (4, config_records::target_state("sink-1", Some(TargetState::Stopped))),
        (6, config_records::target_state("fs", Some(TargetState::Paused))),
        (7, config_records::target_state("sink-1", Some(TargetState::Started))),
        (9, config_records::task("sink-1", 1, &task(id("sink-1", 1)))),
        (11, config_records::restart("sink-1", restart)),
        (12, config_records::logger("org.x", "DEBUG")),
        (16, config_records::connector("sink-1", None)),
        (17, config_records::target_state("sink-1", None)),
    ];
    for (at, (key, value)) in ours {
        let (jvm_key, jvm_value) = JVM[at];
        assert_eq!(String::from_utf8(key).unwrap(), jvm_key);
        let value = value.map(|value| String::from_utf8(value).unwrap()).unwrap_or_default();
        assert_eq!(value, jvm_value);
    }
    // The JVM writes a connector's properties in the order of the request, which readers ignore.
    let (_, value) = config_records::connector("fs", Some(&known("fs")));
    let parsed = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap();
    assert_eq!(parsed(&value.unwrap()), parsed(JVM[1].1.as_bytes()));
}

#[test]
fn task_configs_count_from_a_complete_commit_on() {
    let (a, b) = (props("1"), props("2"));
    let mut log = replay(&[("connector-c-d", &a), ("task-c-d-0", &a)]);
    assert!(log.config().tasks("c-d").is_empty());
    read(&mut log, 2, ("commit-c-d", r#"{"tasks":2}"#)).unwrap();
    let entry = log.config().connector("c-d").unwrap().clone();
    assert!(entry.inconsistent && log.config().tasks("c-d").is_empty());
    assert_eq!(entry.task_count, Some(2), "an inconsistent connector keeps its count");
    // What was deferred is gone with the commit: a whole new set is needed.
    read(&mut log, 3, ("task-c-d-1", &b)).unwrap();
    read(&mut log, 4, ("commit-c-d", r#"{"tasks":2}"#)).unwrap();
    assert!(log.config().connector("c-d").unwrap().inconsistent);
    read(&mut log, 5, ("task-c-d-0", &a)).unwrap();
    read(&mut log, 6, ("task-c-d-1", &b)).unwrap();
    // One too many is fine: tasks that are no more leave their records behind.
    read(&mut log, 7, ("task-c-d-2", &b)).unwrap();
    log.take_events();
    read(&mut log, 8, ("commit-c-d", r#"{"tasks":2}"#)).unwrap();
    assert_eq!(log.config().tasks("c-d").len(), 2);
    let id = |task| TaskId { connector: "c-d".into(), task };
    assert_eq!(log.take_events(), [ConfigEvent::TasksUpdated(vec![id(0), id(1), id(2)])]);
    assert!(log.config().task_config(&id(2)).is_none());
    // Fewer tasks by a commit alone.
    read(&mut log, 9, ("task-c-d-0", &b)).unwrap();
    read(&mut log, 10, ("commit-c-d", r#"{"tasks":1}"#)).unwrap();
    assert_eq!(log.config().tasks("c-d"), [id(0)]);
    assert_eq!(log.config().connector("c-d").unwrap().task_generation, Some(1));
}

#[test]
fn a_connector_that_compaction_took_away_leaves_nothing() {
    let a = props("1");
    // Deleted: the tombstone is compacted away, the tasks' records are not.
    let log = replay(&[("task-c-0", &a), ("commit-c", r#"{"tasks":1}"#)]);
    assert!(!log.config().contains("c") && log.config().tasks("c").is_empty());
    // Changed after its commit: the older record of it is gone, so that its tasks are lost until
    // they are written again.
    let log =
        replay(&[("task-c-0", &a), ("commit-c", r#"{"tasks":1}"#), ("connector-c", &props("2"))]);
    assert!(log.config().contains("c") && log.config().tasks("c").is_empty());
    let task = Config::from([("a".to_owned(), "1".to_owned())]);
    assert!(log.config().is_news("c", &[task]), "so they are written again");
}

#[test]
fn target_states_of_old_and_new_workers() {
    let a = props("1");
    let mut log = replay(&[
        ("target-state-c", r#"{"state":"PAUSED","state.v2":"STOPPED"}"#),
        ("connector-c", &a),
    ]);
    assert_eq!(log.config().target("c"), TargetState::Stopped);
    let is = |log: &mut ConfigLog, value, target, told: bool| {
        log.take_events();
        let _ = read(log, 9, ("target-state-c", value));
        assert_eq!(log.config().target("c"), target, "{value}");
        assert_eq!(!log.take_events().is_empty(), told, "{value}");
    };
    is(&mut log, r#"{"state":"PAUSED"}"#, TargetState::Paused, true);
    is(&mut log, r#"{"state":"PAUSED"}"#, TargetState::Paused, false);
    is(&mut log, r#"{"state":"PAUSED","state.v2":"DANCING"}"#, TargetState::Paused, false);
    is(&mut log, "", TargetState::Started, false);
    is(&mut log, r#"{"state":"STARTED"}"#, TargetState::Started, false);
}

#[test]
fn before_the_start_nothing_is_told_and_malformed_records_do_no_harm() {
    let mut log = ConfigLog::default();
    let a = props("1");
    for (at, record) in
        [("connector-c", a.as_str()), ("restart-connector-c", "{}")].into_iter().enumerate()
    {
        read(&mut log, at, record).unwrap();
    }
    assert!(log.take_events().is_empty());
    log.start();
    for (record, moves) in [
        (("connector-c", "{"), false),
        (("connector-c", "7"), true),
        (("connector-c", r#"{"properties":7}"#), true),
        (("commit-c", r#"{"tasks":"x"}"#), true),
        (("commit-c", r#"{"tasks":-1}"#), true),
        (("commit-c", ""), true),
        (("task-0", &a), true),
        (("task-c-x", &a), true),
        (("session-key", r#"{"key":"!","algorithm":"x","creation-timestamp":1}"#), true),
        (("what-c", &a), true),
        (("tasks-fencing-c", "{}"), true),
    ] {
        let before = log.config().offset;
        assert!(read(&mut log, 70, record).is_err(), "{record:?}");
        assert_eq!(log.config().offset == 71, moves || before == 71, "{record:?}");
    }
    assert!(log.apply(72, b"\xff", None).is_err());
    assert!(log.config().contains("c") && log.take_events().is_empty());
}

#[test]
fn a_snapshot_stays_as_it_was() {
    let a = props("1");
    let mut log = replay(&[("connector-c", &a)]);
    let before = log.config().clone();
    read(&mut log, 1, ("connector-c", "")).unwrap();
    assert!(before.contains("c") && !log.config().contains("c"));
    assert_eq!((before.offset, log.config().offset), (1, 2));
}

#[test]
fn the_restart_with_the_most_effect_wins() {
    let scope = |include_tasks, only_failed| RestartScope { include_tasks, only_failed };
    let mut pending = PendingRestarts::default();
    for one in [scope(false, true), scope(true, true), scope(false, false), scope(true, true)] {
        pending.add("c".into(), one);
    }
    assert_eq!(pending.take()["c"], scope(false, false));
    assert!(pending.take().is_empty());
}

#[test]
fn fencing_waits_for_its_record() {
    let a = props("1");
    let mut log = replay(&[("connector-c", &a), ("task-c-0", &a), ("commit-c", r#"{"tasks":1}"#)]);
    assert!(log.config().connector("c").unwrap().pending_fencing);
    read(&mut log, 3, ("tasks-fencing-c", r#"{"task-count":1}"#)).unwrap();
    let entry = log.config().connector("c").unwrap();
    assert_eq!((entry.pending_fencing, entry.fencing_count), (false, Some(1)));
}

proptest::proptest! {
    #[test]
    fn no_record_breaks_it(
        records in proptest::collection::vec(("[-a-z]{0,20}", "[{}\":,a-z0-9]{0,40}"), 0..40)
    ) {
        let mut log = ConfigLog::default();
        for (at, (key, value)) in records.iter().enumerate() {
            let _ = read(&mut log, at, (key, value));
        }
    }
}
