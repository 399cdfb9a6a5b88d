//! Round trips, strangers' batches, and bytes that lie.

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression as TheirCodec, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions,
    TimestampType as TheirTime,
};
use proptest::prelude::*;

use super::*;
use crate::compression::{Codec, Compression, Compressor, Decompressor, PADDING, Scratch};

const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

type Headers = Vec<(String, Option<Vec<u8>>)>;

/// A record that owns its parts.
#[derive(Clone, Debug, PartialEq)]
struct Owned {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Headers,
}

fn build(records: &[Owned], options: &BatchOptions) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    for record in records {
        let headers: Vec<_> =
            record.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        let key = record.key.as_deref();
        builder.append(record.timestamp, key, record.value.as_deref(), headers).unwrap();
    }
    let mut out = Vec::new();
    let size = builder.finish(options, &mut Compressor::new(), &mut out).unwrap();
    assert_eq!(size, out.len());
    out
}

fn read_all(bytes: &[u8]) -> Result<Vec<(i64, Owned)>, BatchError> {
    let mut scratch = Scratch::new();
    let batch = OpenBatch::open(bytes, &mut Decompressor::with_limit(8 << 20), &mut scratch)?;
    batch
        .records(bytes, &scratch)
        .map(|record| {
            let record = record?;
            let headers = record
                .headers
                .iter()
                .map(|header| header.map(|h| (h.name.to_owned(), h.value.map(<[u8]>::to_vec))))
                .collect::<Result<_, _>>()?;
            let owned = Owned {
                timestamp: record.timestamp,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers,
            };
            Ok((record.offset, owned))
        })
        .collect()
}

fn some_records(count: usize) -> Vec<Owned> {
    (0..count)
        .map(|index| Owned {
            timestamp: 1_700_000_000_000 + (index as i64 * 37) % 1000 - 400,
            key: (index % 3 != 0).then(|| format!("key-{index}").into_bytes()),
            value: (index % 7 != 3)
                .then(|| format!(r#"{{"id":{index},"name":"some {index} text"}}"#).into_bytes()),
            headers: (0..index % 4)
                .map(|n| (format!("h{n}"), (n != 1).then(|| vec![n as u8; n * 40])))
                .collect(),
        })
        .collect()
}

fn with_codec(codec: Codec) -> BatchOptions {
    BatchOptions { compression: Compression::new(codec), ..BatchOptions::default() }
}

fn owned_record() -> impl Strategy<Value = Owned> {
    let bytes = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200));
    let headers = proptest::collection::vec((".{0,12}", bytes()), 0..4);
    (any::<i64>(), bytes(), bytes(), headers).prop_map(|(timestamp, key, value, headers)| Owned {
        timestamp,
        key,
        value,
        headers,
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        records in proptest::collection::vec(owned_record(), 1..60),
        codec in 0..5_u8,
        level in -2..20,
    ) {
        let codec = Codec::from_id(codec).unwrap();
        let options = BatchOptions {
            base_offset: 1 << 40,
            compression: Compression::with_level(codec, level),
            ..BatchOptions::default()
        };
        let bytes = build(&records, &options);
        let read = read_all(&bytes).unwrap();
        prop_assert_eq!(read.len(), records.len());
        for (index, ((offset, read), written)) in read.iter().zip(&records).enumerate() {
            prop_assert_eq!(*offset, (1 << 40) + index as i64);
            prop_assert_eq!(read, written);
        }
    }

    #[test]
    fn forged_bytes_never_panic(
        codec in 0..5_u8,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
        mends in any::<bool>(),
    ) {
        let mut bytes = build(&some_records(40), &with_codec(Codec::from_id(codec).unwrap()));
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        if cuts {
            bytes.truncate(cut.index(bytes.len()));
        }
        if mends && bytes.len() > HEADER_LEN {
            // So that the forgery gets past the length and the checksum.
            mend(&mut bytes);
        }
        let _ = needed_len(&bytes);
        if let Ok(header) = BatchHeader::parse(&bytes) {
            let _ = AbortedTransactions::default().admits(&header, &bytes);
        }
        let _ = read_all(&bytes);
    }

    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), codec in 0..5_u8) {
        let mut batch = build(&some_records(1), &with_codec(Codec::None));
        batch.truncate(HEADER_LEN);
        batch.extend_from_slice(&bytes);
        batch[22] = codec;
        batch[60] = 30;
        mend(&mut batch);
        let _ = read_all(&batch);
        let _ = read_all(&bytes);
    }
}

/// Sets the length, the magic byte and the checksum to what the other bytes ask for.
fn mend(bytes: &mut [u8]) {
    let length = (bytes.len() - 12) as i32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[16] = 2;
    let crc = crc_fast::crc32_iscsi(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
}

fn theirs(codec: Codec) -> TheirCodec {
    match codec {
        Codec::None => TheirCodec::None,
        Codec::Gzip => TheirCodec::Gzip,
        Codec::Snappy => TheirCodec::Snappy,
        Codec::Lz4 => TheirCodec::Lz4,
        Codec::Zstd => TheirCodec::Zstd,
    }
}

#[test]
fn another_decoder_reads_ours() {
    let records = some_records(500);
    for codec in CODECS {
        let options = BatchOptions { producer_id: 9, producer_epoch: 2, ..with_codec(codec) };
        let bytes = build(&records, &options);
        let mut bytes = Bytes::from(bytes);
        let set = RecordBatchDecoder::decode(&mut bytes).unwrap();
        assert_eq!(set.records.len(), records.len());
        for (index, (read, written)) in set.records.iter().zip(&records).enumerate() {
            assert_eq!(read.offset, index as i64);
            assert_eq!(read.timestamp, written.timestamp);
            assert_eq!(read.producer_id, 9);
            assert_eq!(read.key.as_deref(), written.key.as_deref());
            assert_eq!(read.value.as_deref(), written.value.as_deref());
            let headers: Headers = read
                .headers
                .iter()
                .map(|(name, value)| (name.to_string(), value.as_ref().map(|v| v.to_vec())))
                .collect();
            assert_eq!(headers, written.headers);
        }
    }
}

#[test]
fn we_read_another_encoders() {
    let records = some_records(500);
    for codec in CODECS {
        let theirs_in: Vec<Record> = records
            .iter()
            .enumerate()
            .map(|(index, record)| Record {
                transactional: false,
                control: false,
                delete_horizon: false,
                partition_leader_epoch: 5,
                producer_id: -1,
                producer_epoch: -1,
                timestamp_type: TheirTime::Creation,
                offset: 100 + index as i64,
                sequence: index as i32,
                timestamp: record.timestamp,
                key: record.key.clone().map(Bytes::from),
                value: record.value.clone().map(Bytes::from),
                headers: record
                    .headers
                    .iter()
                    .map(|(name, value)| {
                        (StrBytes::from_string(name.clone()), value.clone().map(Bytes::from))
                    })
                    .collect(),
            })
            .collect();
        let mut bytes = BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression: theirs(codec) };
        RecordBatchEncoder::encode(&mut bytes, &theirs_in, &options).unwrap();
        let read = read_all(&bytes).unwrap();
        assert_eq!(BatchHeader::parse(&bytes).unwrap().partition_leader_epoch, 5);
        assert_eq!(read.len(), records.len());
        for (index, ((offset, read), written)) in read.iter().zip(&records).enumerate() {
            assert_eq!(*offset, 100 + index as i64);
            assert_eq!(read, written);
        }
    }
}

#[test]
fn header_fields_return() {
    let options = BatchOptions {
        base_offset: 77,
        partition_leader_epoch: 3,
        compression: Compression::new(Codec::Zstd),
        producer_id: 1 << 33,
        producer_epoch: 12,
        base_sequence: 456,
        transactional: true,
        control: false,
    };
    let records = some_records(10);
    let bytes = build(&records, &options);
    let header = BatchHeader::parse(&bytes).unwrap();
    assert_eq!(header.total_len(), bytes.len());
    assert_eq!(needed_len(&bytes[..PREFIX_LEN]).unwrap(), Some(bytes.len()));
    assert_eq!(needed_len(&bytes[..PREFIX_LEN - 1]).unwrap(), None);
    assert_eq!((header.base_offset, header.last_offset(), header.next_offset()), (77, 86, 87));
    assert_eq!(header.partition_leader_epoch, 3);
    assert_eq!(
        (header.producer_id, header.producer_epoch, header.base_sequence),
        (1 << 33, 12, 456)
    );
    assert!(header.is_transactional() && !header.is_control());
    assert_eq!((header.codec, header.record_count), (Codec::Zstd, 10));
    assert_eq!(header.base_timestamp, records[0].timestamp);
    assert_eq!(header.max_timestamp, records.iter().map(|r| r.timestamp).max().unwrap());
    assert_eq!(header.timestamp_type(), TimestampType::CreateTime);
}

#[test]
fn append_time_stands_for_each_records_own() {
    let mut bytes = build(&some_records(3), &with_codec(Codec::None));
    bytes[22] |= 1 << 3;
    bytes[35..43].copy_from_slice(&123_456_i64.to_be_bytes());
    mend(&mut bytes);
    let read = read_all(&bytes).unwrap();
    assert!(read.iter().all(|(_, record)| record.timestamp == 123_456));
}

fn fault(bytes: &[u8]) -> Fault {
    read_all(bytes).unwrap_err().fault
}

#[test]
fn each_fault_has_its_name() {
    let good = build(&some_records(5), &with_codec(Codec::None));
    let forged = |at: usize, with: &[u8], mended: bool| {
        let mut bytes = good.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        if mended {
            mend(&mut bytes);
        }
        bytes
    };
    assert_eq!(fault(&good[..good.len() - 1]), Fault::Truncated);
    assert_eq!(fault(&good[..30]), Fault::Truncated);
    assert_eq!(fault(&[]), Fault::Truncated);
    assert_eq!(fault(&forged(16, &[1], false)), Fault::OldFormat);
    assert_eq!(fault(&forged(16, &[9], false)), Fault::Magic);
    assert_eq!(fault(&forged(8, &[0, 0, 0, 48], false)), Fault::BatchLength);
    assert_eq!(fault(&forged(8, &[0xff; 4], false)), Fault::BatchLength);
    assert_eq!(fault(&forged(80, &[0xaa], false)), Fault::Checksum);
    assert_eq!(fault(&forged(22, &[7], true)), Fault::Codec);
    assert_eq!(fault(&forged(57, &[0xff; 4], true)), Fault::RecordCount);
    assert_eq!(fault(&forged(57, &[0x7f, 0xff, 0xff, 0xff], true)), Fault::RecordCount);
    assert_eq!(fault(&forged(60, &[4], true)), Fault::BatchSurplus);
    assert_eq!(fault(&forged(60, &[6], true)), Fault::Varint);
    assert_eq!(fault(&forged(61, &[0x7f], true)), Fault::RecordLength);
    assert_eq!(fault(&forged(61, &[0xff; 5], true)), Fault::Varint);
    assert!(matches!(fault(&forged(22, &[3], true)), Fault::Compressed(Codec::Lz4, _)));
    let error = read_all(&forged(16, &[1], false)).unwrap_err().to_string();
    assert!(error.contains("message format v1"), "{error}");
}

#[test]
fn bombs_stop_at_the_limit() {
    let bomb = Owned { timestamp: 0, key: None, value: Some(vec![b'x'; 4 << 20]), headers: vec![] };
    for codec in &CODECS[1..] {
        let bytes = build(std::slice::from_ref(&bomb), &with_codec(*codec));
        let mut scratch = Scratch::new();
        let mut small = Decompressor::with_limit(1 << 20);
        let error = OpenBatch::open(&bytes, &mut small, &mut scratch).unwrap_err();
        assert_eq!(error.fault, Fault::TooLarge, "{codec}");
        assert_eq!(scratch.used(), 0);
        assert!(scratch.bytes().len() <= (2 << 20), "{codec}: {}", scratch.bytes().len());
        // The same state goes on working.
        let bytes = build(&some_records(9), &with_codec(*codec));
        OpenBatch::open(&bytes, &mut small, &mut scratch).unwrap();
    }
}

#[test]
fn many_batches_share_one_scratch() {
    let mut scratch = Scratch::new();
    let mut decompressor = Decompressor::new();
    for _ in 0..3 {
        scratch.clear();
        let stored: Vec<Vec<u8>> =
            (0..25).map(|n| build(&some_records(n * 20 + 1), &with_codec(CODECS[n % 5]))).collect();
        let open: Vec<OpenBatch> = stored
            .iter()
            .map(|bytes| OpenBatch::open(bytes, &mut decompressor, &mut scratch).unwrap())
            .collect();
        assert!(scratch.bytes().len() >= scratch.used() + PADDING);
        for (n, (batch, bytes)) in open.iter().zip(&stored).enumerate() {
            let records = batch.records(bytes, &scratch);
            let buffer = records.buffer();
            let expected = some_records(n * 20 + 1);
            let mut count = 0;
            for (record, expected) in records.clone().zip(&expected) {
                let value = record.unwrap().value;
                assert_eq!(value, expected.value.as_deref());
                if let Some(value) = value {
                    assert_eq!(&buffer[records.range_of(value)], value);
                }
                count += 1;
            }
            assert_eq!(count, expected.len());
        }
    }
}

#[test]
fn a_cleared_builder_starts_over() {
    let mut builder = BatchBuilder::new();
    let mut compressor = Compressor::new();
    for round in 0..3 {
        builder.append(round, None, Some(&[round as u8; 100]), NO_HEADERS).unwrap();
        let mut out = vec![1, 2, 3];
        builder.finish(&with_codec(Codec::Lz4), &mut compressor, &mut out).unwrap();
        assert_eq!(out[..3], [1, 2, 3]);
        let read = read_all(&out[3..]).unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].1.timestamp, round);
        builder.clear();
        assert!(builder.is_empty());
    }
}

/// A control batch as transaction coordinators write it.
fn marker(producer_id: i64, offset: i64, kind: i16) -> Vec<u8> {
    let key = [[0, 0], kind.to_be_bytes()].concat();
    let record = Owned { timestamp: 0, key: Some(key), value: Some(vec![0; 6]), headers: vec![] };
    let options = BatchOptions {
        base_offset: offset,
        producer_id,
        transactional: true,
        control: true,
        ..BatchOptions::default()
    };
    build(&[record], &options)
}

#[test]
fn aborted_transactions_stay_unseen() {
    let data = |producer_id: i64, base_offset: i64| {
        let transactional = producer_id >= 0;
        let options =
            BatchOptions { base_offset, producer_id, transactional, ..BatchOptions::default() };
        build(&some_records(2), &options)
    };
    let log = [
        (data(1, 0), true),
        (marker(1, 2, 1), false),
        (data(1, 3), false),
        (data(2, 5), true),
        (data(-1, 7), true),
        (data(1, 9), false),
        (marker(1, 11, 0), false),
        (data(1, 12), true),
        (marker(2, 14, 1), false),
        (data(2, 15), false),
    ];
    let mut filter = AbortedTransactions::new([(2, 15), (1, 3)]);
    for (bytes, expected) in &log {
        let header = BatchHeader::parse(bytes).unwrap();
        assert_eq!(filter.admits(&header, bytes), Ok(*expected), "at {}", header.base_offset);
    }
    // Who reads uncommitted data sees all but the markers.
    let mut filter = AbortedTransactions::default();
    for (bytes, _) in &log {
        let header = BatchHeader::parse(bytes).unwrap();
        assert_eq!(filter.admits(&header, bytes), Ok(!header.is_control()));
    }
}

#[test]
fn headers_are_found_by_name() {
    let headers = vec![
        ("a".to_owned(), Some(vec![1])),
        ("b".to_owned(), None),
        ("a".to_owned(), Some(vec![2])),
    ];
    let record = Owned { timestamp: 0, key: None, value: None, headers };
    let bytes = build(&[record], &with_codec(Codec::None));
    let scratch = Scratch::new();
    let mut none = Scratch::new();
    let batch = OpenBatch::open(&bytes, &mut Decompressor::new(), &mut none).unwrap();
    let record = batch.records(&bytes, &scratch).next().unwrap().unwrap();
    assert_eq!(record.headers.len(), 3);
    assert_eq!(record.headers.last("a").unwrap().unwrap().value, Some(&[2][..]));
    assert_eq!(record.headers.last("b").unwrap().unwrap().value, None);
    assert_eq!(record.headers.last("c").unwrap(), None);
}
