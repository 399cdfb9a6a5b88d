//! A record batch as a broker might send it: opened, walked, its headers read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use millrace_kafka::compression::{Decompressor, Scratch};
use millrace_kafka::record_batch::OpenBatch;

/// Length, magic and checksum made right, so that what stands behind them is reached.
fn sealed(data: &[u8]) -> Vec<u8> {
    let mut batch = data.to_vec();
    batch.resize(batch.len().max(61), 0);
    let length = (batch.len() - 12) as u32;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch[16] = 2;
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &batch[21..]) as u32;
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

fn walk(bytes: &[u8]) {
    // Bounded memory: a few bytes may rightly ask for more than a fuzzer has.
    let (mut decompressor, mut scratch) = (Decompressor::with_limit(4 << 20), Scratch::new());
    let Ok(batch) = OpenBatch::open(bytes, &mut decompressor, &mut scratch) else {
        assert_eq!(scratch.used(), 0, "an error leaves nothing behind");
        return;
    };
    let records = batch.records(bytes, &scratch);
    let (buffer, most) = (records.buffer(), records.remaining());
    let mut count = 0;
    for record in records {
        let Ok(record) = record else { break };
        count += 1;
        for part in [record.key, record.value].into_iter().flatten() {
            assert!(buffer.as_ptr_range().contains(&part.as_ptr()) || part.is_empty());
        }
        for header in record.headers.iter() {
            if header.is_err() {
                break;
            }
        }
        let _ = record.headers.last("k");
    }
    assert!(count <= most, "{count} records where the header counts {most}");
}

fuzz_target!(|data: &[u8]| {
    walk(data);
    walk(&sealed(data));
});
