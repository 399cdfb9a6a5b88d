//! A response of every kind of part: read whole, cut anywhere, damaged anywhere.

use bytes::BytesMut;
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, FetchableTopicResponse, PartitionData,
};
use kafka_protocol::messages::{BrokerId, FetchResponse, ProducerId, TopicName};
use kafka_protocol::protocol::{Encodable, StrBytes};
use proptest::prelude::*;

use super::*;
use crate::compression::Compressor;
use crate::fetch::FETCH_VERSION;
use crate::record_batch::{BatchBuilder, BatchOptions, NO_HEADERS};

fn batch(value: &[u8]) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    builder.append(1, Some(b"k"), Some(value), NO_HEADERS).unwrap();
    let mut bytes = Vec::new();
    builder.finish(&BatchOptions::default(), &mut Compressor::new(), &mut bytes).unwrap();
    bytes
}

fn partition(index: i32, records: Vec<u8>) -> PartitionData {
    PartitionData::default()
        .with_partition_index(index)
        .with_high_watermark(100)
        .with_last_stable_offset(90)
        .with_log_start_offset(3)
        .with_preferred_read_replica(BrokerId(-1))
        .with_records(Some(records.into()))
}

/// Two topics: batches and a cut one, nothing, an error, aborted transactions.
fn response() -> Vec<u8> {
    let mut cut = [batch(b"one"), batch(&[7; 300])].concat();
    cut.extend(&batch(&[8; 200])[..100]);
    let mut short = batch(b"two");
    short.extend([0; 20]);
    let aborted =
        AbortedTransaction::default().with_producer_id(ProducerId(5)).with_first_offset(9);
    let topic = |name: &'static str, partitions| {
        FetchableTopicResponse::default()
            .with_topic(TopicName(StrBytes::from_static_str(name)))
            .with_partitions(partitions)
    };
    let message = FetchResponse::default().with_session_id(77).with_responses(vec![
        topic("a", vec![partition(0, cut), partition(1, vec![])]),
        topic(
            "bb",
            vec![
                partition(4, vec![]).with_error_code(6),
                partition(2, short).with_aborted_transactions(Some(vec![aborted])),
            ],
        ),
    ]);
    let mut body = BytesMut::new();
    message.encode(&mut body, FETCH_VERSION).unwrap();
    let mut bytes = (body.len() as i32 + 4).to_be_bytes().to_vec();
    bytes.extend(42i32.to_be_bytes());
    bytes.extend(body);
    bytes
}

/// Steps with their bytes, and how many bytes were skipped.
type Found = (Vec<(Step, Vec<u8>)>, usize);

/// All steps but `Need` and `Skipped`; the stream arrives `chunk` by `chunk`.
fn run(stream: &[u8], chunk: usize) -> Result<Found, ParseError> {
    let mut parser = FetchParser::new();
    let (mut at, mut there, mut steps, mut skipped) = (0, 0, Vec::new(), 0);
    loop {
        let (step, consumed) = parser.step(&stream[at..there])?;
        assert!(consumed <= there - at);
        match step {
            Step::Need(needed) => {
                assert!(needed > there - at, "what is there would do");
                if there == stream.len() {
                    return Ok((steps, skipped));
                }
                there = (there + chunk).min(stream.len());
            }
            Step::Skipped => skipped += consumed,
            step => steps.push((step, stream[at..at + consumed].to_vec())),
        }
        at += consumed;
    }
}

#[test]
fn everything_is_found() {
    let (steps, skipped) = run(&response(), usize::MAX / 2).unwrap();
    assert_eq!(skipped, 120);
    let batches: Vec<_> =
        steps.iter().filter(|(step, _)| *step == Step::Batch).map(|(_, bytes)| bytes).collect();
    assert_eq!(batches, [&batch(b"one"), &batch(&[7; 300]), &batch(b"two")]);
    let head = ResponseHead { correlation: 42, error: 0, session: 77 };
    assert_eq!(steps[0].0, Step::Head(head));
    let heads: Vec<_> = steps
        .iter()
        .filter_map(|(step, _)| match step {
            Step::Partition(head) => Some(head),
            _ => None,
        })
        .collect();
    let indexes: Vec<_> = heads.iter().map(|head| (head.partition, head.error)).collect();
    assert_eq!(indexes, [(0, 0), (1, 0), (4, 6), (2, 0)]);
    assert_eq!(
        (heads[0].high_watermark, heads[0].last_stable_offset, heads[0].log_start_offset),
        (100, 90, 3)
    );
    assert_eq!(heads[3].aborted, [(5, 9)]);
    assert_eq!(heads[3].preferred_replica, -1);
    assert_eq!(steps.last().unwrap().0, Step::End);
}

#[test]
fn any_cut_gives_the_same() {
    let stream = [response(), response()].concat();
    let whole = run(&stream, stream.len()).unwrap();
    for chunk in 1..stream.len() {
        assert_eq!(run(&stream, chunk).unwrap(), whole, "chunk {chunk}");
    }
}

#[test]
fn a_response_that_ends_within_a_part_is_refused() {
    let mut short = response();
    let length = i32::from_be_bytes([short[0], short[1], short[2], short[3]]);
    for less in 1..60 {
        short[..4].copy_from_slice(&(length - less).to_be_bytes());
        assert!(run(&short, 1 << 20).is_err(), "{less} bytes less");
    }
    short[..4].copy_from_slice(&(length + 1).to_be_bytes());
    assert!(run(&short, 1 << 20).is_err(), "one byte more");
}

proptest! {
    #[test]
    fn damage_does_not_panic(at in 0usize..900, byte: u8, cut in 0usize..900, chunk in 1usize..500) {
        let mut stream = response();
        let index = at % stream.len();
        stream[index] = byte;
        let end = stream.len() - cut % stream.len();
        let _ = run(&stream[..end], chunk);
    }

    #[test]
    fn noise_does_not_panic(noise in proptest::collection::vec(any::<u8>(), 0..400), chunk in 1usize..100) {
        let mut stream = 300i32.to_be_bytes().to_vec();
        stream.extend(&noise);
        let _ = run(&stream, chunk);
    }
}
