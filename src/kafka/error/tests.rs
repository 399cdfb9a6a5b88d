//! The table is whole and sorted; messages read well.

use super::*;

#[test]
fn every_code_is_found_by_its_number() {
    for code in (-1..=133).filter(|code| *code != 0) {
        assert_eq!(lookup(code).map(|row| row.code), Some(code), "{code}");
    }
    assert_eq!(lookup(0), None);
    assert_eq!(lookup(1000), None);
    assert_eq!(lookup(6).unwrap().name, "NOT_LEADER_OR_FOLLOWER");
    assert_eq!(lookup(79).unwrap().name, "MEMBER_ID_REQUIRED");
}

#[test]
fn kinds_say_what_to_do() {
    let stale = KafkaError::from_code(6, "Fetch", "");
    assert_eq!(stale.kind, ErrorKind::Stale);
    assert!(stale.is_retriable());
    assert!(!KafkaError::from_code(29, "Fetch", "").is_retriable());
    assert_eq!(KafkaError::from_code(999, "Fetch", "").kind, ErrorKind::Fatal);
    assert_eq!(KafkaError::check(0, "Fetch", ""), Ok(()));
}

#[test]
fn the_text_names_place_code_and_remedy() {
    let error = KafkaError::from_code(38, "CreateTopics", "topic 'a'")
        .at("CreateTopics", &"localhost:9092 (node 1)".into());
    assert_eq!(
        error.to_string(),
        "CreateTopics to localhost:9092 (node 1): topic 'a': Replication factor is below 1 or \
         larger than the number of available brokers (INVALID_REPLICATION_FACTOR); choose a \
         replication factor no greater than the number of brokers"
    );
    assert_eq!(KafkaError::config("no").to_string(), "no");
}
