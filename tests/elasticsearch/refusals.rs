//! What Elasticsearch refuses: the good documents of the same request are there, the others are where
//! the configuration says, and nothing is lost.

use super::{by_id, connector, export, exported, fill_keyed};
use crate::rig::elasticsearch;
use crate::rig::kafka;

/// Ids 0 to 99, of which every tenth has a text where the mapping wants a number.
fn conflicting() -> Vec<(String, String)> {
    let value = |n: usize| if n % 10 == 3 { "\"no number\"".to_owned() } else { n.to_string() };
    (0..100).map(|n| (format!("k{n}"), format!("{{\"n\":{}}}", value(n)))).collect()
}

#[test]
fn mapping_conflicts_go_to_the_dead_letters() {
    let (es, kafka) = (elasticsearch::shared(), kafka::shared());
    let dir = tempfile::tempdir().expect("a folder");
    es.must("PUT", "/es-conflicts", r#"{"mappings":{"properties":{"n":{"type":"integer"}}}}"#);
    fill_keyed("es-conflicts", &conflicting());
    let more = [
        ("behavior.on.malformed.documents", "WARN"),
        ("batch.size", "30"),
        ("errors.tolerance", "all"),
        ("errors.deadletterqueue.topic.name", "es-conflicts-letters"),
        ("errors.deadletterqueue.topic.replication.factor", "1"),
        ("errors.deadletterqueue.context.headers.enable", "true"),
    ];
    let connector = connector(dir.path(), "es-conflicts", "es-conflicts", es, &more);
    exported(dir.path(), &connector, &[]);
    assert_eq!(by_id(es, "es-conflicts").len(), 90);
    let mut letters = kafka.consume("es-conflicts-letters", "%k %s %h\n");
    // The trace in the headers ends with a line's end of its own.
    letters.retain(|line| !line.is_empty());
    // Several requests are under way; their answers come in any order.
    letters.sort_by_key(|letter| letter.split(' ').next().map(|key| (key.len(), key.to_owned())));
    assert_eq!(letters.len(), 10, "{letters:?}");
    for (n, letter) in letters.iter().enumerate() {
        let key = format!("k{}", 10 * n + 3);
        assert!(letter.starts_with(&format!("{key} {{\"n\":\"no number\"}}")), "{letter}");
        assert!(letter.contains("document_parsing_exception"), "{letter}");
    }
}

#[test]
fn a_mapping_conflict_fails_the_task_and_the_job_goes_on_once_it_is_mended() {
    let es = elasticsearch::shared();
    let dir = tempfile::tempdir().expect("a folder");
    es.must(
        "PUT",
        "/es-strict",
        r#"{"mappings":{"dynamic":"strict","properties":{"n":{"type":"integer"}}}}"#,
    );
    let mut pairs: Vec<_> = (0..50).map(|n| (format!("k{n}"), format!("{{\"n\":{n}}}"))).collect();
    pairs[20].1 = "{\"n\":20,\"unknown\":1}".to_owned();
    fill_keyed("es-strict", &pairs);
    let connector = connector(dir.path(), "es-strict", "es-strict", es, &[]);
    let output = export(dir.path(), &connector, &[]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    for needle in [
        "strict_dynamic_mapping_exception",
        "es-strict-0 at offset 20",
        "behavior.on.malformed.documents",
    ] {
        assert!(text.contains(needle), "no {needle:?} in {text}");
    }
    assert_eq!(by_id(es, "es-strict").len(), 49, "the good ones of the same request are there");
    es.must("PUT", "/es-strict/_mapping", r#"{"properties":{"unknown":{"type":"integer"}}}"#);
    exported(dir.path(), &connector, &[]);
    assert_eq!(by_id(es, "es-strict").len(), 50, "the refused one was not committed");
}

#[test]
fn a_read_only_index_loses_nothing() {
    let es = elasticsearch::shared();
    let dir = tempfile::tempdir().expect("a folder");
    es.must("PUT", "/es-blocked", r#"{"settings":{"index.blocks.write":true}}"#);
    let pairs: Vec<_> = (0..50).map(|n| (format!("k{n}"), format!("{{\"n\":{n}}}"))).collect();
    fill_keyed("es-blocked", &pairs);
    let connector = connector(dir.path(), "es-blocked", "es-blocked", es, &[]);
    let output = export(dir.path(), &connector, &[]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(text.contains("cluster_block_exception"), "{text}");
    es.must("PUT", "/es-blocked/_settings", r#"{"index.blocks.write":null}"#);
    exported(dir.path(), &connector, &[]);
    assert_eq!(by_id(es, "es-blocked").len(), 50);
}

#[test]
fn a_wrong_password_is_told() {
    let es = elasticsearch::shared();
    let dir = tempfile::tempdir().expect("a folder");
    fill_keyed("es-password", &[("k".to_owned(), "{}".to_owned())]);
    let more = [("connection.password", "wrong-one")];
    let connector = connector(dir.path(), "es-password", "es-password", es, &more);
    let output = export(dir.path(), &connector, &[]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(text.contains("Could not authenticate the user"), "{text}");
    assert!(!text.contains("wrong-one"), "{text}");
}
