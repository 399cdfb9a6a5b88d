//! What leaves for the brokers, and when, in a transaction.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::accumulator::Accumulator;
use super::drain::{Drained, Outgoing};
use super::tests::{answer, config_map, metadata};
use super::*;
use crate::record_batch::{BatchHeader, NO_HEADERS};

fn transactional() -> Accumulator {
    let mut map = config_map(&[("linger.ms", "0"), ("enable.idempotence", "true")]);
    map.insert("transactional.id".to_owned(), "g-c-0".to_owned());
    let mut state = Accumulator::new(ProducerConfig::parse_transactional(&map).unwrap().config);
    assert_eq!(append(&mut state, 0), Err(AppendError::NoMetadata));
    state.update_metadata(&metadata(1, &[0, 1]));
    state
}

fn append(state: &mut Accumulator, place: i32) -> Result<u64, AppendError> {
    let appended = state.append("t", Some(place), 5, None, Some(b"v"), NO_HEADERS);
    appended.map(|(appended, _)| appended.ticket)
}

fn drain(state: &mut Accumulator) -> Drained {
    state.drain(Instant::now() + Duration::from_millis(50))
}

fn places(places: &[usize]) -> BTreeSet<(usize, usize)> {
    places.iter().map(|place| (0, *place)).collect()
}

fn complete(state: &mut Accumulator, outgoing: Outgoing, code: i16) {
    let response = answer(&outgoing.request, |_, _| code);
    state.complete(outgoing.flight, Ok(Some(response)), Instant::now());
}

#[test]
fn a_partition_joins_the_transaction_before_its_first_batch() {
    let mut state = transactional();
    append(&mut state, 0).unwrap();
    assert!(state.in_transaction());
    let drained = drain(&mut state);
    assert!(!drained.needs_identity && !drained.needs_join, "not before it is asked for");
    state.set_identity(7, 3);
    let drained = drain(&mut state);
    assert!(drained.needs_join && drained.outgoing.is_empty());
    append(&mut state, 1).unwrap();
    assert!(!drain(&mut state).needs_join, "one request at a time");
    state.joined(&places(&[0]), Ok(()));
    let mut drained = drain(&mut state);
    assert!(drained.needs_join, "the other partition");
    let outgoing = drained.outgoing.pop().unwrap();
    let request = &outgoing.request;
    assert_eq!(request.transactional_id.as_ref().unwrap().as_str(), "g-c-0");
    let bytes = request.topic_data[0].partition_data[0].records.as_ref().unwrap();
    let header = BatchHeader::parse(bytes).unwrap();
    assert!(header.is_transactional());
    assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (7, 3, 0));
    complete(&mut state, outgoing, 0);
    assert!(!state.is_quiet());
    state.joined(&places(&[1]), Ok(()));
    let outgoing = drain(&mut state).outgoing.pop().unwrap();
    complete(&mut state, outgoing, 0);
    drain(&mut state);
    assert!(state.is_quiet() && state.in_transaction());
    // The next transaction asks anew; sequence numbers go on.
    state.transaction_ended();
    assert!(!state.in_transaction());
    append(&mut state, 0).unwrap();
    assert!(drain(&mut state).needs_join);
    state.joined(&places(&[0]), Ok(()));
    let outgoing = drain(&mut state).outgoing.pop().unwrap();
    let bytes = outgoing.request.topic_data[0].partition_data[0].records.clone().unwrap();
    assert_eq!(BatchHeader::parse(&bytes).unwrap().base_sequence, 1);
}

#[test]
fn a_lost_batch_or_a_newer_producer_ends_it_for_good() {
    // Refused; fenced; unknown to the broker.
    for code in [87, 47, 90, 59] {
        let mut state = transactional();
        state.set_identity(7, 3);
        append(&mut state, 0).unwrap();
        append(&mut state, 1).unwrap();
        drain(&mut state);
        state.joined(&places(&[0, 1]), Ok(()));
        let outgoing = drain(&mut state).outgoing;
        let of_first = outgoing.into_iter().find(|one| one.node == 0).unwrap();
        complete(&mut state, of_first, code);
        let error = append(&mut state, 0).unwrap_err();
        assert!(matches!(&error, AppendError::Failed(error) if error.code == code), "{error}");
        let drained = drain(&mut state);
        assert!(!drained.needs_identity && drained.outgoing.is_empty(), "no other identity");
        assert_eq!(state.take_failures()[0].error.code, code);
    }
}

#[test]
fn a_partition_that_may_not_join_fails_all_that_waits() {
    let mut state = transactional();
    state.set_identity(7, 3);
    append(&mut state, 0).unwrap();
    drain(&mut state);
    state.joined(&places(&[0]), Err(KafkaError::from_code(90, "AddPartitionsToTxn", "")));
    assert!(drain(&mut state).outgoing.is_empty());
    let failures = state.take_failures();
    assert_eq!(failures[0].tickets.first(), Some(&(0..1)));
    assert_eq!(failures[0].error.code, 90);
    assert!(state.is_quiet());
}
