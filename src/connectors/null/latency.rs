//! When each record was taken, written to a file for whoever measures: 16 bytes a record, its
//! timestamp in ms and the time of the take in µs since 1970, both big-endian.
//!
//! The bench reads it. It is a destination of its own: the worker's figures can be checked by it.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use millrace_api::record::Record;

/// What is gathered before it is written: a page-cache write of this size takes microseconds.
const CHUNK: usize = 64 << 10;

pub struct LatencyLog {
    file: File,
    buffer: Vec<u8>,
}

impl LatencyLog {
    /// Opens `<path>-<task>`.
    pub fn open(path: &str, task: &str) -> io::Result<Self> {
        let file = File::create(Path::new(&format!("{path}-{task}")))?;
        Ok(Self { file, buffer: Vec::with_capacity(2 * CHUNK) })
    }

    /// Writes down that these were taken now. Records without a timestamp are left out.
    pub fn taken(&mut self, records: &[Record<'_>]) -> io::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = (now.as_micros() as i64).to_be_bytes();
        for timestamp in records.iter().filter_map(|record| record.timestamp) {
            self.buffer.extend_from_slice(&timestamp.to_be_bytes());
            self.buffer.extend_from_slice(&now);
            if self.buffer.len() >= CHUNK {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Writes what was gathered.
    pub fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}
