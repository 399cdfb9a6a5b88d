//! Compaction of a closed log, by whole batches.
//!
//! A batch goes when each of its records has a newer one of the same key behind it, or belongs to an
//! aborted transaction. Batches that keep one record keep all: they stay byte for byte, and readers
//! see an older value before the newer one, as they may in Kafka before its cleaner has run.
//! Tombstones stay.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::rc::Rc;

use millrace_kafka::compression::{Decompressor, Scratch};
use millrace_kafka::record_batch::OpenBatch;

use crate::producers::Producers;
use crate::segment::{Segment, Walk};

/// Calls `visit` for each record of the log that readers of committed records see.
fn visit(
    segments: &[Rc<Segment>],
    producers: &Producers,
    mut visit: impl FnMut(Option<&[u8]>, i64),
) -> io::Result<()> {
    let (mut bytes, mut scratch, mut decompressor) =
        (Vec::new(), Scratch::new(), Decompressor::new());
    for segment in segments {
        let mut walk = Walk::new(segment, 0);
        while let Some(placed) = walk.next()? {
            let header = &placed.header;
            let base = header.base_offset;
            let aborted = header.is_transactional()
                && producers.aborted(base, base + 1).any(|aborted| {
                    aborted.producer_id == header.producer_id && aborted.first_offset <= base
                });
            if header.is_control() || aborted {
                continue;
            }
            segment.read_batch(&placed, &mut bytes)?;
            scratch.clear();
            let batch = OpenBatch::open(&bytes, &mut decompressor, &mut scratch)
                .map_err(|error| io::Error::other(error.to_string()))?;
            for record in batch.records(&bytes, &scratch).map_while(Result::ok) {
                visit(record.key, base);
            }
        }
    }
    Ok(())
}

/// Rewrites the log into one segment without the batches that nobody needs. False if nothing would
/// change. No transaction may be open.
pub(crate) fn compact(
    directory: &Path,
    segments: &[Rc<Segment>],
    producers: &Producers,
) -> io::Result<bool> {
    let mut newest: HashMap<Vec<u8>, i64> = HashMap::new();
    let mut needed: HashSet<i64> = HashSet::new();
    visit(segments, producers, |key, batch| match key {
        Some(key) => match newest.get_mut(key) {
            Some(known) => *known = batch,
            None => drop(newest.insert(key.to_vec(), batch)),
        },
        // Written before the topic was compacted.
        None => drop(needed.insert(batch)),
    })?;
    needed.extend(newest.into_values());
    let keep = plan(segments, &needed)?;
    if keep.iter().all(|kept| *kept) {
        return Ok(false);
    }
    let path = directory.join("compacted");
    let mut file = BufWriter::new(File::create(&path)?);
    let mut bytes = Vec::new();
    let mut kept = keep.into_iter();
    for segment in segments {
        let mut walk = Walk::new(segment, 0);
        while let Some(placed) = walk.next()? {
            if kept.next() == Some(true) {
                segment.read_batch(&placed, &mut bytes)?;
                file.write_all(&bytes)?;
            }
        }
    }
    file.into_inner().map_err(|error| error.into_error())?.sync_data()?;
    // The first segment's name, so that the log's start stays. If the others outlive a crash here,
    // they hold batches a second time, and lookups by offset go on to find them there.
    fs::rename(&path, &segments[0].path)?;
    for segment in &segments[1..] {
        fs::remove_file(&segment.path)?;
    }
    Ok(true)
}

/// Which batches stay, in order: those that are needed, the markers of transactions of which some
/// batch stays, and the log's last batch, which holds its end offset.
fn plan(segments: &[Rc<Segment>], needed: &HashSet<i64>) -> io::Result<Vec<bool>> {
    let mut keep = Vec::new();
    let mut open: HashSet<i64> = HashSet::new();
    for segment in segments {
        let mut walk = Walk::new(segment, 0);
        while let Some(placed) = walk.next()? {
            let header = placed.header;
            let stays = if header.is_control() {
                open.remove(&header.producer_id)
            } else {
                needed.contains(&header.base_offset)
            };
            if stays && header.is_transactional() && !header.is_control() {
                open.insert(header.producer_id);
            }
            keep.push(stays);
        }
    }
    if let Some(last) = keep.last_mut() {
        *last = true;
    }
    Ok(keep)
}
