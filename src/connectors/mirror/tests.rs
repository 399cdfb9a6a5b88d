//! Planning, naming and offset syncs, without clusters; `policy_table.txt` is what the JVM's classes
//! of Kafka 4.1 answer.

use std::collections::BTreeMap;

use millrace_api::Config;
use millrace_api::connector::{Connector, ExactlyOnceSupport};
use millrace_api::source::offsets::Scalar;
use millrace_kafka::acls::{ALLOW, TopicAcl, operation};
use millrace_kafka::topic_settings::{Change, Setting, SettingSource};

use super::clients::{self, Side};
use super::config::{self, Settings, assigned};
use super::filter::{Patterns, PropertyFilter};
use super::heartbeat::{self, MirrorHeartbeatConnector};
use super::offset_syncs::{Ledger, Run, key, note, value};
use super::policy::{Naming, ReplicationPolicy};
use super::source::{MirrorSourceConnector, shares, source_partition};
use super::upkeep::{Topics, at_creation, at_the_mirror, changes};

fn config(more: &[(&str, &str)]) -> Config {
    let base = [
        ("name", "c"),
        ("source.cluster.alias", "A"),
        ("target.cluster.alias", "B"),
        ("source.cluster.bootstrap.servers", "h:1"),
        ("target.cluster.bootstrap.servers", "t:1"),
    ];
    let all = base.iter().chain(more);
    all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn settings(more: &[(&str, &str)]) -> Settings {
    Settings::of(&config(more)).unwrap()
}

/// Each line: policy, separator, whether internal topics have it, topic; remote topic, source,
/// upstream topic, internal, heartbeats, cycle.
#[test]
fn policies_answer_as_the_jvms() {
    let shown = |text: Option<&str>| text.unwrap_or("null").to_owned();
    for line in include_str!("policy_table.txt").lines() {
        let cells: Vec<&str> = line.split('|').collect();
        let [naming, separator, internal, topic, expected @ ..] = &*cells else { panic!("{line}") };
        let policy = ReplicationPolicy {
            naming: if *naming == "I" { Naming::Identity } else { Naming::Prefixed },
            source: "A".to_owned(),
            target: "B".to_owned(),
            separator: (*separator).to_owned(),
            internal_separator: if *internal == "true" { separator } else { "." }.to_owned(),
        };
        let answers = [
            policy.remote_topic(topic),
            shown(policy.topic_source(topic)),
            shown(policy.upstream_topic(topic)),
            policy.is_internal(topic).to_string(),
            policy.is_heartbeats(topic).to_string(),
            policy.is_cycle(topic).to_string(),
        ];
        assert_eq!(answers, *expected, "{line}");
    }
}

#[test]
fn internal_topics_have_their_names() {
    let dots = settings(&[]);
    assert_eq!(dots.offset_syncs_topic(Side::Source), "mm2-offset-syncs.B.internal");
    assert_eq!(dots.offset_syncs_topic(Side::Target), "mm2-offset-syncs.A.internal");
    assert_eq!(dots.policy.checkpoints_topic(), "A.checkpoints.internal");
    let own = settings(&[("replication.policy.separator", "_")]);
    assert_eq!(own.offset_syncs_topic(Side::Source), "mm2-offset-syncs_B_internal");
    assert_eq!(own.policy.checkpoints_topic(), "A_checkpoints_internal");
}

#[test]
fn topics_are_chosen_by_patterns_policy_and_cycles() {
    let filter = |more: &[(&str, &str)], topic: &str| {
        let settings = settings(more);
        settings.topics.takes(topic, &settings.policy)
    };
    for (topic, taken) in [
        ("orders", true),
        ("C.orders", true),
        ("B.orders", false),
        ("C.B.orders", false),
        ("__consumer_offsets", false),
        ("mm2-offsets.C.internal", false),
        ("x.replica", false),
        ("heartbeats", true),
    ] {
        assert_eq!(filter(&[], topic), taken, "{topic}");
    }
    let some = [("topics", "or.*, a"), ("topics.exclude", "orders-old"), ("enabled", "true")];
    assert!(filter(&some, "orders") && filter(&some, "a"));
    assert!(!filter(&some, "orders-old") && !filter(&some, "ab"));
    assert!(filter(&some, "heartbeats"), "whatever the patterns say");
    assert!(!filter(&[("topics", "a"), ("heartbeats.replication.enabled", "false")], "heartbeats"));
    assert!(filter(&[("topics.exclude", "")], "x.replica"), "nothing is excluded");
    assert!(Patterns::of(&["(".to_owned()]).is_err());
}

#[test]
fn partitions_are_dealt_out_in_turns() {
    let topics = Topics::from([("a".to_owned(), 3), ("b-c".to_owned(), 2)]);
    let dealt = shares(&topics, 2);
    assert_eq!(dealt, [vec![("a", 0), ("a", 2), ("b-c", 1)], vec![("a", 1), ("b-c", 0)]]);
    assert_eq!(shares(&topics, 9).len(), 5);
    assert!(shares(&Topics::new(), 3).is_empty());
    let given = config(&[("task.assigned.partitions", "a-0,b-c-1")]);
    assert_eq!(assigned(&given).unwrap(), [("a".to_owned(), 0), ("b-c".to_owned(), 1)]);
    assert!(assigned(&config(&[("task.assigned.partitions", "a")])).is_err());
}

#[test]
fn clients_get_what_the_prefixes_say() {
    let config = config(&[
        ("source.cluster.fetch.min.bytes", "3"),
        ("consumer.fetch.max.bytes", "7"),
        ("consumer.fetch.min.bytes", "8"),
        ("source.consumer.fetch.min.bytes", "9"),
        ("source.consumer.isolation.level", "read_committed"),
        ("target.producer.acks", "1"),
    ]);
    let consumer = clients::consumer(&config, "id").unwrap().config;
    assert_eq!((consumer.fetch_min_bytes, consumer.fetch_max_bytes), (9, 7));
    assert_eq!(consumer.client.client_id, "id");
    assert!(clients::reads_committed(&config));
    let source = clients::producer(&config, Side::Source, "id").unwrap().config;
    assert!(source.enable_idempotence && source.max_in_flight == 5);
    let target = clients::producer(&config, Side::Target, "id").unwrap().config;
    assert_eq!((target.acks, target.enable_idempotence), (1, false));
    let settings = settings(&[]);
    let role = "replication-consumer";
    assert_eq!(settings.client_id(None, role), "A->B|c|replication-consumer");
    assert_eq!(settings.client_id(Some("3"), role), "A->B|c-3|replication-consumer");
}

#[test]
fn mistakes_are_told_under_the_users_keys() {
    let errors = |more: &[(&str, &str)]| -> Vec<String> {
        let errors = config::validate(&config(more));
        errors.into_iter().map(|error| error.key).collect()
    };
    assert!(errors(&[]).is_empty());
    assert_eq!(errors(&[("exactly.once.support", "required")]), ["exactly.once.support"]);
    let committed = ("source.consumer.isolation.level", "read_committed");
    assert!(errors(&[("exactly.once.support", "required"), committed]).is_empty());
    let syncs = [("emit.offset-syncs.enabled", "false"), ("offset-syncs.topic.location", "target")];
    assert_eq!(errors(&syncs), ["emit.offset-syncs.enabled"]);
    assert_eq!(
        errors(&[("source.consumer.fetch.min.bytes", "x"), ("admin.retry.backoff.ms", "y")]),
        ["source.consumer.fetch.min.bytes", "admin.retry.backoff.ms"]
    );
    let mut without = config(&[]);
    without.remove("target.cluster.bootstrap.servers");
    let keys: Vec<_> = config::validate(&without).into_iter().map(|error| error.key).collect();
    assert_eq!(keys, ["target.cluster.bootstrap.servers"]);
    let class = config(&[("replication.policy.class", "foo.Bar"), ("topics", "(")]);
    let wrong = Settings::of(&class).unwrap_err();
    let keys: Vec<_> = wrong.iter().map(|error| error.key.as_str()).collect();
    assert_eq!(keys, ["replication.policy.class", "topics"]);
    let connector = MirrorSourceConnector::default();
    let supports = |more: &[(&str, &str)]| connector.exactly_once_support(&config(more));
    assert_eq!(supports(&[]), Some(ExactlyOnceSupport::Unsupported));
    assert_eq!(supports(&[committed]), Some(ExactlyOnceSupport::Supported));
}

fn setting(name: &str, value: &str, source: SettingSource) -> Setting {
    let value = Some(value.to_owned());
    Setting { name: name.to_owned(), value, source, read_only: false, sensitive: false }
}

#[test]
fn settings_are_kept_alike_as_far_as_they_are_the_topics() {
    let list = [
        setting("cleanup.policy", "compact", SettingSource::Topic),
        setting("retention.ms", "7", SettingSource::Default),
        setting("segment.bytes", "8", SettingSource::StaticBroker),
        setting("max.message.bytes", "9", SettingSource::DynamicBroker),
        setting("min.insync.replicas", "2", SettingSource::Topic),
        Setting { sensitive: true, ..setting("secret", "s", SettingSource::Topic) },
        Setting { read_only: true, ..setting("fixed", "f", SettingSource::Topic) },
    ];
    let of = |source_defaults| PropertyFilter {
        exclude: Patterns::of(&["min\\.insync\\.replicas".to_owned()]).unwrap(),
        source_defaults,
    };
    let set = |value: &str| Change::Set(Some(value.to_owned()));
    let named = |pairs: Vec<(&str, Change)>| -> BTreeMap<String, Change> {
        pairs.into_iter().map(|(name, change)| (name.to_owned(), change)).collect()
    };
    let kept = vec![("cleanup.policy", set("compact")), ("max.message.bytes", set("9"))];
    let with = |change| [kept.clone(), vec![("retention.ms", change)]].concat();
    assert_eq!(changes(&list, &of(false)), named(with(Change::Delete)));
    assert_eq!(changes(&list, &of(true)), named(with(set("7"))));
    let keys = |map: BTreeMap<String, String>| map.into_keys().collect::<Vec<_>>();
    assert_eq!(keys(at_creation(&list, &of(false))), ["cleanup.policy", "max.message.bytes"]);
    assert_eq!(keys(at_creation(&list, &of(true))).len(), 3);
}

#[test]
fn nobody_gets_the_right_to_write_into_a_mirror() {
    const DENY: i8 = 2;
    let acl = |permission, operation| TopicAcl {
        topic: "t".to_owned(),
        principal: "User:a".to_owned(),
        host: "*".to_owned(),
        operation,
        permission,
    };
    assert_eq!(at_the_mirror(acl(ALLOW, operation::WRITE)), None);
    let read = Some(acl(ALLOW, operation::READ));
    assert_eq!(at_the_mirror(acl(ALLOW, operation::ALL)), read);
    assert_eq!(at_the_mirror(acl(ALLOW, operation::READ)), read);
    let denied = acl(DENY, operation::ALL);
    assert_eq!(at_the_mirror(denied.clone()), Some(denied));
}

/// The bytes are those of `OffsetSync.recordKey` and `recordValue`.
#[test]
fn syncs_have_the_jvms_bytes() {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(&key("tüp", 3)), "000474c3bc7000000003");
    assert_eq!(hex(&value((77, 99))), "000000000000004d0000000000000063");
    assert_eq!(
        source_partition("A", "t", 1),
        [
            ("cluster".to_owned(), Scalar::String("A".to_owned())),
            ("partition".to_owned(), Scalar::Int(1)),
            ("topic".to_owned(), Scalar::String("t".to_owned())),
        ]
    );
}

#[test]
fn heartbeats_have_the_jvms_bytes() {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(&heartbeat::key("A", "B")), "000141000142");
    assert_eq!(hex(&heartbeat::value(1_700_000_000_000)), "00000000018bcfe56800");
    let connector = &mut MirrorHeartbeatConnector::default();
    let text = |text: &str| Scalar::String(text.to_owned());
    let place = |target: Option<&str>| {
        let source = ("sourceClusterAlias".to_owned(), text("A"));
        let target = target.map(|target| ("targetClusterAlias".to_owned(), text(target)));
        std::iter::once(source).chain(target).collect::<Vec<_>>()
    };
    let mut asked = |target, offset| {
        let offset = vec![("offset".to_owned(), Scalar::Int(offset))];
        let answer = connector.alter_offsets(&Config::new(), &[(place(target), Some(offset))]);
        answer.map_err(|error| error.message)
    };
    assert_eq!(asked(Some("B"), 0), Ok(true));
    assert_eq!(
        asked(Some("B"), 3).unwrap_err(),
        "Source offset {offset=3} for source partition {sourceClusterAlias=A, targetClusterAlias=B} \
         has an invalid value 3 for the 'offset' key; the only accepted value is 0"
    );
    assert!(asked(None, 0).unwrap_err().contains("is missing the 'targetClusterAlias' key"));
}

#[test]
fn syncs_go_when_offsets_drift_and_else_with_the_commit() {
    let mut ledger = Ledger::new(1, 10);
    let mut told = |from: i64, downstream: &[i64]| {
        let run = Run { partition: 0, from, count: downstream.len() as u32 };
        ledger.polled(vec![run]);
        ledger.acknowledged(downstream);
        let soon = std::mem::take(&mut ledger.pending);
        ledger.commit();
        let late = std::mem::take(&mut ledger.pending);
        (soon.get(&0).copied(), late.get(&0).copied())
    };
    assert_eq!(told(5, &[0]), (Some((5, 0)), None), "the first");
    assert_eq!(told(6, &[1, 2]), (None, Some((7, 2))));
    assert_eq!(told(8, &[3, -1, 4]), (Some((10, 4)), None), "the dropped one is a gap");
    assert_eq!(told(11, &[5]), (None, Some((11, 5))));
    assert_eq!(told(20, &[6]), (Some((20, 6)), None), "offsets were skipped");
    let many: Vec<i64> = (7..30).collect();
    assert_eq!(told(21, &many), (Some((42, 28)), Some((43, 29))), "every eleventh");
    assert_eq!(told(44, &[3]), (Some((44, 3)), None), "the mirror was made anew");
}

#[test]
fn runs_are_of_offsets_in_a_row() {
    let mut runs = Vec::new();
    for (partition, offset) in [(0, 4), (0, 5), (0, 7), (1, 8), (1, 9)] {
        note(&mut runs, partition, offset);
    }
    let run = |partition, from, count| Run { partition, from, count };
    assert_eq!(runs, [run(0, 4, 2), run(0, 7, 1), run(1, 8, 2)]);
}

#[test]
fn wanted_offsets_are_checked_in_the_jvms_words() {
    let text = |text: &str| Scalar::String(text.to_owned());
    let pair = |name: &str, value: Scalar| (name.to_owned(), value);
    let asked = |partition: Vec<(String, Scalar)>, offset: Option<Vec<(String, Scalar)>>| {
        let wanted = [(partition, offset)];
        let answer = MirrorSourceConnector::default().alter_offsets(&Config::new(), &wanted);
        answer.map_err(|error| error.message)
    };
    let good = || source_partition("A", "t", 0);
    let at = |offset| Some(vec![pair("offset", offset)]);
    assert_eq!(asked(good(), at(Scalar::Int(3))), Ok(true));
    assert_eq!(asked(vec![pair("x", text("y"))], None), Ok(true));
    let place = "{cluster=A, partition=0, topic=t}";
    for (offset, expected) in [
        (
            at(Scalar::Int(-3)),
            format!(
                "Source offset {{offset=-3}} for source partition {place} has an invalid value -3 \
                 for the 'offset' key, which cannot be negative"
            ),
        ),
        (
            at(Scalar::Float(2.5)),
            format!(
                "Source offset {{offset=2.5}} for source partition {place} has an invalid value \
                 2.5 for the 'offset' key, which must be an integer"
            ),
        ),
        (
            Some(Vec::new()),
            format!(
                "Source offset {{}} for source partition {place} is missing the 'offset' key, \
                 which is required"
            ),
        ),
    ] {
        assert_eq!(asked(good(), offset), Err(expected));
    }
    let lacking = vec![pair("topic", text("t")), pair("partition", Scalar::Int(0))];
    assert_eq!(
        asked(lacking, at(Scalar::Int(3))).unwrap_err(),
        "Source partition {topic=t, partition=0} is missing the 'cluster' key, which is required"
    );
    let text_partition =
        vec![pair("cluster", text("A")), pair("topic", text("t")), pair("partition", text("0"))];
    assert!(asked(text_partition, at(Scalar::Int(3))).unwrap_err().ends_with("must be an integer"));
}
