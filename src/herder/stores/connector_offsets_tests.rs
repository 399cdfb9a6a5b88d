//! Where a source's offsets are, and in which order its two topics are written.

use super::*;
use crate::stores::topic_log::Write;

fn config(pairs: &[(&str, &str)]) -> Config {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn worker(more: &[(&str, &str)]) -> Config {
    let mut worker = config(&[("bootstrap.servers", "k:1"), ("offset.storage.topic", "o")]);
    worker.extend(config(more));
    worker
}

#[test]
fn a_topic_of_the_connectors_own_is_one_that_is_not_the_workers() {
    let own = |worker: &Config, pairs: &[(&str, &str)]| Settings::of("c", worker, &config(pairs));
    let (plain, once) = (worker(&[]), worker(&[("exactly.once.source.support", "enabled")]));
    let there = ("producer.override.bootstrap.servers", "m:1");
    for worker in [&plain, &once] {
        assert!(own(worker, &[]).is_none());
        assert!(own(worker, &[("offsets.storage.topic", " o")]).is_none());
        let found = own(worker, &[("offsets.storage.topic", "own ")]).unwrap();
        assert_eq!(found.topic, "own");
        assert_eq!(found.producer["client.id"], "connector-producer-c-offsets");
        assert!(!found.consumer.contains_key("group.id"));
        assert!(found.clients().is_ok());
        // The same name in another cluster is another topic.
        assert!(own(worker, &[("offsets.storage.topic", "o"), there]).is_some());
    }
    // Without transactions the records' cluster does not matter to offsets.
    assert!(own(&plain, &[there]).is_none());
    assert_eq!(own(&once, &[there]).unwrap().topic, "o");
    // Only tasks without transactions may read what is not committed.
    let reads = [("offsets.storage.topic", "own"), ("consumer.override.isolation.level", "x")];
    assert_eq!(own(&plain, &reads).unwrap().consumer["isolation.level"], "x");
    assert_eq!(own(&once, &reads).unwrap().consumer["isolation.level"], "read_committed");
}

/// A store whose logs are served by the test.
fn store() -> (ConnectorOffsetStore, [Inbox; 2]) {
    let (own, own_inbox) = LogHandle::new();
    let (shared, worker_inbox) = LogHandle::new();
    let own = TopicOffsetStore { map: OffsetMap::default(), log: own };
    let worker = Arc::new(TopicOffsetStore { map: OffsetMap::default(), log: shared });
    let failure = Failure::default();
    (ConnectorOffsetStore { own, worker, failure }, [own_inbox, worker_inbox])
}

fn record(key: &str, value: &str) -> crate::stores::topic_log::LogRecord {
    let (key, value) = (key.as_bytes().to_vec(), Some(value.as_bytes().to_vec()));
    crate::stores::topic_log::LogRecord { partition: 0, offset: 0, key, value }
}

#[test]
fn the_workers_topic_tells_what_the_connectors_own_has_nothing_of() {
    let (store, _inboxes) = store();
    let (a, b) = (r#"["c",{"p":1}]"#, r#"["c",{"p":2}]"#);
    store.worker.map.apply(vec![record(a, r#"{"o":1}"#), record(b, r#"{"o":1}"#)]);
    store.own.map.apply(vec![record(a, r#"{"o":2}"#)]);
    assert_eq!(store.get(a.as_bytes()).unwrap(), br#"{"o":2}"#);
    assert_eq!(store.get(b.as_bytes()).unwrap(), br#"{"o":1}"#);
    let listed: Vec<_> = store.entries().into_iter().map(|(_, value)| value).collect();
    assert_eq!(listed, [br#"{"o":2}"#.to_vec(), br#"{"o":1}"#.to_vec()]);
}

#[test]
fn offsets_are_stored_in_the_own_topic_first_and_forgotten_in_the_workers_first() {
    let (store, [own, worker]) = store();
    let (told, heard) = flume::bounded(9);
    let done = |told: &flume::Sender<_>| -> Written {
        let told = told.clone();
        Box::new(move |outcome| told.send(outcome).unwrap())
    };
    let kept: Entry = (b"a".to_vec(), Some(b"1".to_vec()));
    let gone: Entry = (b"b".to_vec(), None);
    store.put(vec![kept.clone(), gone.clone()], done(&told));
    assert!(own.writes.is_empty());
    let Write { records, done: forgotten } = worker.writes.try_recv().unwrap();
    assert_eq!(records, std::slice::from_ref(&gone));
    forgotten(Ok(()));
    let Write { records, done: stored } = own.writes.try_recv().unwrap();
    assert_eq!(records, [kept.clone(), gone.clone()]);
    assert!(heard.is_empty());
    stored(Ok(()));
    assert_eq!(heard.try_recv().unwrap(), Ok(()));
    assert_eq!(worker.writes.try_recv().unwrap().records, std::slice::from_ref(&kept));
    // What the worker's topic cannot forget is not forgotten at all; what it cannot copy is stored.
    store.put(vec![gone], done(&told));
    (worker.writes.try_recv().unwrap().done)(Err("away".to_owned()));
    assert_eq!(heard.try_recv().unwrap(), Err("away".to_owned()));
    assert!(own.writes.is_empty());
    store.put(vec![kept.clone()], done(&told));
    (own.writes.try_recv().unwrap().done)(Ok(()));
    assert_eq!(heard.try_recv().unwrap(), Ok(()));
    (worker.writes.try_recv().unwrap().done)(Err("away".to_owned()));
    // A transaction has stored them already.
    store.committed(vec![kept.clone()]);
    assert_eq!(worker.writes.try_recv().unwrap().records, [kept]);
    assert!(own.writes.is_empty());
}

#[test]
fn a_topic_that_cannot_be_had_is_opened_again() {
    let (log, inbox) = LogHandle::new();
    let shared = Arc::new(TopicOffsetStore { map: OffsetMap::default(), log });
    let (stores, openings) = ConnectorOffsetStores::new(Arc::new(worker(&[])), shared);
    let connector = config(&[("offsets.storage.topic", "own")]);
    let first = stores.place("c", &connector).unwrap();
    let again = stores.place("c", &connector).unwrap();
    assert!(Arc::ptr_eq(&first.store, &again.store), "its tasks share one");
    let Opening { topic, inbox: own, failure, .. } = openings.try_recv().unwrap();
    assert_eq!(topic, "own");
    assert!(openings.is_empty());
    let (told, heard) = flume::bounded(1);
    first.store.refresh(Box::new(move |outcome| told.send(outcome).unwrap()));
    own.reads.try_recv().unwrap().refuse("away");
    assert_eq!(heard.try_recv().unwrap(), Err("away".to_owned()));
    assert!(inbox.reads.is_empty());
    failure.set("it is gone".to_owned()).unwrap();
    let (told, heard) = flume::bounded(1);
    first.store.catch_up(Box::new(move |outcome| told.send(outcome).unwrap()));
    assert_eq!(heard.try_recv().unwrap(), Err("it is gone".to_owned()));
    let later = stores.place("c", &connector).unwrap();
    assert!(!Arc::ptr_eq(&first.store, &later.store));
    assert!(openings.try_recv().unwrap().failure.get().is_none());
}
