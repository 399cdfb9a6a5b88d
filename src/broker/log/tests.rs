//! Logs on real files: offsets, recovery, timestamps, transactions, compaction, deletion.

use super::*;
use std::os::unix::fs::FileExt;

fn config() -> LogConfig {
    LogConfig {
        compact: false,
        delete: true,
        max_message_bytes: 1 << 20,
        log_append_time: false,
        segment_bytes: 1 << 30,
        retention_bytes: -1,
        retention_ms: -1,
    }
}

fn batch(records: &[(&str, &str)], timestamp: i64, options: &BatchOptions) -> Bytes {
    let mut builder = BatchBuilder::new();
    for (number, (key, value)) in records.iter().enumerate() {
        let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
        builder.append(timestamp + number as i64, key, value, NO_HEADERS).expect("fits");
    }
    let mut bytes = Vec::new();
    builder.finish(options, &mut Compressor::new(), &mut bytes).expect("fits");
    bytes.into()
}

fn plain(records: &[(&str, &str)], timestamp: i64) -> Bytes {
    batch(records, timestamp, &BatchOptions::default())
}

fn transactional(sequence: i32) -> BatchOptions {
    BatchOptions {
        producer_id: 5,
        producer_epoch: 0,
        base_sequence: sequence,
        transactional: true,
        ..Default::default()
    }
}

/// All values from `offset` on, read back as a consumer would.
fn values(log: &PartitionLog, offset: i64) -> Vec<(i64, String)> {
    let (mut next, mut out) = (offset, Vec::new());
    while let Some(slice) = log.slice(next, log.end_offset(), 1 << 20, true).expect("a slice") {
        let mut bytes = vec![0; slice.len];
        slice.segment.read(slice.position, &mut bytes).expect("bytes");
        let mut at = 0;
        while at < bytes.len() {
            let mut scratch = Scratch::new();
            let batch = OpenBatch::open(&bytes[at..], &mut Decompressor::new(), &mut scratch)
                .expect("a whole batch with a good checksum");
            for record in batch.records(&bytes[at..], &scratch) {
                let record = record.expect("a record");
                if record.offset >= offset && !batch.header.is_control() {
                    let value = record.value.expect("a value");
                    out.push((record.offset, String::from_utf8_lossy(value).into_owned()));
                }
            }
            next = batch.header.next_offset();
            at += batch.header.total_len();
        }
    }
    out
}

#[test]
fn batches_come_back_at_their_offsets_after_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut log = PartitionLog::open(directory.path(), config()).expect("opened");
    assert_eq!(
        log.append(&plain(&[("a", "1"), ("b", "2")], 10), 0).map(|own| own.base_offset),
        Ok(0)
    );
    assert_eq!(log.append(&plain(&[("c", "3")], 20), 0).map(|own| own.base_offset), Ok(2));
    drop(log);
    let log = PartitionLog::open(directory.path(), config()).expect("opened again");
    assert_eq!(log.end_offset(), 3);
    let expected = [(1, "2".to_owned()), (2, "3".to_owned())];
    assert_eq!(values(&log, 1), expected);
}

#[test]
fn a_torn_tail_is_cut_and_a_bad_last_batch_with_it() {
    for damage in [0, 1] {
        let directory = tempfile::tempdir().expect("a directory");
        let mut log = PartitionLog::open(directory.path(), config()).expect("opened");
        log.append(&plain(&[("a", "1")], 10), 0).expect("appended");
        let keep = log.size();
        log.append(&plain(&[("b", "2")], 20), 0).expect("appended");
        let path = log.active().path.clone();
        let size = log.size();
        drop(log);
        let file = fs::OpenOptions::new().write(true).open(&path).expect("the segment");
        if damage == 0 {
            file.set_len(size - 1).expect("cut");
        } else {
            file.write_all_at(&[0xff], size - 1).expect("damaged");
        }
        let mut log = PartitionLog::open(directory.path(), config()).expect("opened again");
        assert_eq!((log.end_offset(), log.size()), (1, keep));
        assert_eq!(log.append(&plain(&[("c", "3")], 30), 0).map(|own| own.base_offset), Ok(1));
        assert_eq!(values(&log, 0).len(), 2);
    }
}

#[test]
fn what_is_not_one_good_batch_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut log = PartitionLog::open(directory.path(), config()).expect("opened");
    let good = plain(&[("a", "1")], 10);
    let mut bad = good.to_vec();
    *bad.last_mut().expect("bytes") ^= 1;
    assert_eq!(log.append(&bad.into(), 0), Err(code::CORRUPT_MESSAGE));
    let two = [good.as_ref(), good.as_ref()].concat();
    assert_eq!(log.append(&two.into(), 0), Err(code::INVALID_RECORD));
    assert_eq!(log.append(&good.slice(..good.len() - 1), 0), Err(code::CORRUPT_MESSAGE));
    assert_eq!(log.append(&Bytes::new(), 0), Err(code::CORRUPT_MESSAGE));
    let control = BatchOptions { control: true, ..transactional(0) };
    assert_eq!(log.append(&batch(&[("a", "1")], 1, &control), 0), Err(code::INVALID_RECORD));
    log.config.max_message_bytes = 60;
    assert_eq!(log.append(&good, 0), Err(code::MESSAGE_TOO_LARGE));
    assert_eq!(log.end_offset(), 0);
}

#[test]
fn records_are_found_by_time_across_segments() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = LogConfig { segment_bytes: 200, ..config() };
    let mut log = PartitionLog::open(directory.path(), config).expect("opened");
    for number in 0..20 {
        log.append(&plain(&[("k", "v"), ("k", "w")], number * 100), 0).expect("appended");
    }
    assert!(log.segments.len() > 3);
    let found = |offset, timestamp| Some(Found { offset, timestamp });
    assert_eq!(log.find_time(0).expect("found"), found(0, 0));
    assert_eq!(log.find_time(501).expect("found"), found(11, 501));
    assert_eq!(log.find_time(502).expect("found"), found(12, 600));
    assert_eq!(log.find_time(1902).expect("found"), None);
    assert_eq!(log.max_time().expect("found"), found(39, 1901));
}

#[test]
fn deleting_moves_the_start_and_drops_whole_segments() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = LogConfig { segment_bytes: 200, ..config() };
    let mut log = PartitionLog::open(directory.path(), config.clone()).expect("opened");
    for number in 0..20 {
        log.append(&plain(&[("k", "v")], number), 0).expect("appended");
    }
    let before = log.segments.len();
    log.delete_before(11).expect("deleted");
    assert!(log.segments.len() < before);
    drop(log);
    let log = PartitionLog::open(directory.path(), config).expect("opened again");
    assert_eq!((log.start_offset(), log.end_offset()), (11, 20));
    assert_eq!(values(&log, 11).len(), 9);
}

#[test]
fn retention_drops_the_oldest_segments() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = LogConfig { segment_bytes: 200, retention_bytes: 400, ..config() };
    let mut log = PartitionLog::open(directory.path(), config).expect("opened");
    for number in 0..50 {
        log.append(&plain(&[("k", "v")], number), 0).expect("appended");
    }
    assert!(log.start_offset() > 30 && log.size() < 800, "{} {}", log.start_offset(), log.size());
}

#[test]
fn transactions_survive_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut log = PartitionLog::open(directory.path(), config()).expect("opened");
    log.append(&batch(&[("a", "1")], 1, &transactional(0)), 0).expect("appended");
    log.mark(5, 0, false, 2).expect("marked");
    log.append(&batch(&[("a", "2")], 3, &transactional(1)), 0).expect("appended");
    drop(log);
    let mut log = PartitionLog::open(directory.path(), config()).expect("opened again");
    assert_eq!((log.stable_offset(), log.end_offset()), (2, 3));
    let slice = log.slice(0, log.stable_offset(), 1 << 20, true).expect("read").expect("a slice");
    let aborted = Aborted { producer_id: 5, first_offset: 0, last_offset: 1 };
    assert_eq!(log.aborted(0, &slice), [aborted]);
    let again = log.append(&batch(&[("a", "2")], 3, &transactional(1)), 0).expect("a duplicate");
    assert_eq!((again.base_offset, again.duplicate), (2, true));
    log.mark(5, 0, true, 4).expect("marked");
    assert_eq!(log.stable_offset(), 4);
}

#[test]
fn compaction_keeps_the_newest_of_each_key_and_the_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = LogConfig { compact: true, segment_bytes: 400, ..config() };
    let mut log = PartitionLog::open(directory.path(), config.clone()).expect("opened");
    for number in 0..30 {
        let (key, value) = (format!("k{}", number % 3), number.to_string());
        log.append(&plain(&[(&key, &value)], number), 0).expect("appended");
    }
    log.append(&batch(&[("k0", "aborted")], 1, &transactional(0)), 0).expect("appended");
    log.mark(5, 0, false, 2).expect("marked");
    let unkeyed = {
        let mut builder = BatchBuilder::new();
        builder.append(1, None, Some(b"v"), NO_HEADERS).expect("fits");
        let mut bytes = Vec::new();
        let options = BatchOptions::default();
        builder.finish(&options, &mut Compressor::new(), &mut bytes).expect("fits");
        Bytes::from(bytes)
    };
    assert_eq!(log.append(&unkeyed, 0), Err(code::INVALID_RECORD));
    drop(log);
    for _ in 0..2 {
        let log = PartitionLog::open(directory.path(), config.clone()).expect("opened again");
        assert_eq!(log.end_offset(), 32);
        let expected = [(27, "27".to_owned()), (28, "28".to_owned()), (29, "29".to_owned())];
        assert_eq!(values(&log, 0), expected);
        assert_eq!(log.segments.len(), 1);
    }
}

#[test]
fn append_time_is_the_brokers_and_the_checksum_still_holds() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = LogConfig { log_append_time: true, ..config() };
    let mut log = PartitionLog::open(directory.path(), config).expect("opened");
    let appended = log.append(&plain(&[("a", "1")], 10), 777).expect("appended");
    assert_eq!(appended.append_time, 777);
    assert_eq!(values(&log, 0).len(), 1);
    assert_eq!(log.max_time().expect("found"), Some(Found { offset: 0, timestamp: 777 }));
}

#[test]
fn a_slice_ends_at_the_limit_and_may_cut_a_batch() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut log = PartitionLog::open(directory.path(), config()).expect("opened");
    for number in 0..4 {
        log.append(&plain(&[("k", "v")], number), 0).expect("appended");
    }
    let one = log.size() as usize / 4;
    let length = |offset, limit, most, first| {
        log.slice(offset, limit, most, first).expect("read").map(|slice| slice.len)
    };
    assert_eq!(length(0, 4, 1 << 20, true), Some(4 * one));
    assert_eq!(length(1, 3, 1 << 20, true), Some(2 * one));
    assert_eq!(length(0, 4, one + 5, true), Some(one + 5));
    assert_eq!(length(0, 4, 5, true), Some(one));
    assert_eq!(length(0, 4, 0, false), None);
    assert_eq!(length(4, 4, 1 << 20, true), None);
}
