//! One file of a partition: record batches one behind the other, and a sparse index in memory.

use std::cell::{Cell, RefCell};
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use millrace_kafka::record_batch::{BatchHeader, HEADER_LEN};

/// Bytes of log per index entry, as `index.interval.bytes`.
const INDEX_INTERVAL: u64 = 4096;
/// Bytes read at once while headers are walked.
const WINDOW: usize = 16 << 10;

#[derive(Clone, Copy)]
struct Entry {
    base_offset: i64,
    position: u64,
    /// Largest timestamp in the segment before `position`.
    max_timestamp_before: i64,
}

pub(crate) struct Segment {
    pub base_offset: i64,
    pub path: PathBuf,
    file: File,
    size: Cell<u64>,
    max_timestamp: Cell<i64>,
    index: RefCell<Vec<Entry>>,
}

/// A batch's header and where it stands in its segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    pub header: BatchHeader,
    pub position: u64,
}

impl Segment {
    /// Opens or makes the file of a segment that begins with `base_offset`. Its batches are not yet
    /// known: [`Segment::recover`] or [`Segment::indexed`] tells of them.
    pub(crate) fn open(directory: &Path, base_offset: i64) -> io::Result<Self> {
        let path = directory.join(format!("{base_offset:020}.log"));
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
        let size = Cell::new(file.metadata()?.len());
        let max_timestamp = Cell::new(-1);
        Ok(Self { base_offset, path, file, size, max_timestamp, index: RefCell::default() })
    }

    pub(crate) fn size(&self) -> u64 {
        self.size.get()
    }

    /// -1 when empty.
    pub(crate) fn max_timestamp(&self) -> i64 {
        self.max_timestamp.get()
    }

    /// Walks all headers, tells `seen` of each, and cuts off what is no whole batch at the end: what
    /// a crash in the middle of a write leaves. The last batch's checksum is looked at as well.
    pub(crate) fn recover(
        &self,
        mut seen: impl FnMut(&Self, Placed) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut end = 0;
        let mut next_offset = self.base_offset;
        let mut walk = Walk::new(self, 0);
        while let Some(placed) = walk.next()? {
            let total = placed.header.total_len() as u64;
            let whole = placed.position + total;
            let last = whole == self.size();
            if placed.header.base_offset < next_offset || (last && !self.checksum_holds(&placed)?) {
                break;
            }
            next_offset = placed.header.next_offset();
            self.indexed(&placed);
            seen(self, placed)?;
            end = whole;
        }
        if end < self.size() {
            tracing::warn!(file = %self.path.display(), from = self.size(), to = end, "cut a torn tail");
            self.truncate(end)?;
        }
        Ok(())
    }

    fn checksum_holds(&self, placed: &Placed) -> io::Result<bool> {
        let mut bytes = Vec::new();
        self.read_batch(placed, &mut bytes)?;
        Ok(crc_fast::crc32_iscsi(&bytes[21..]) == placed.header.crc)
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.file.set_len(size)?;
        self.size.set(size);
        Ok(())
    }

    /// Takes note of a batch.
    fn indexed(&self, placed: &Placed) {
        let mut index = self.index.borrow_mut();
        let due = index.last().is_none_or(|last| placed.position >= last.position + INDEX_INTERVAL);
        if due {
            index.push(Entry {
                base_offset: placed.header.base_offset,
                position: placed.position,
                max_timestamp_before: self.max_timestamp.get(),
            });
        }
        self.max_timestamp.set(self.max_timestamp.get().max(placed.header.max_timestamp));
    }

    /// Appends one batch, its header changed, its records as they came, in one write. After an error
    /// the file is as before.
    pub(crate) fn append(
        &self,
        header: &BatchHeader,
        head: &[u8],
        records: &[u8],
    ) -> io::Result<()> {
        let position = self.size();
        let mut slices = [IoSlice::new(head), IoSlice::new(records)];
        let mut rest = &mut slices[..];
        while !rest.is_empty() {
            match (&self.file).write_vectored(rest) {
                Ok(0) => {
                    self.file.set_len(position)?;
                    return Err(io::ErrorKind::WriteZero.into());
                }
                Ok(written) => IoSlice::advance_slices(&mut rest, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.file.set_len(position)?;
                    return Err(error);
                }
            }
        }
        self.indexed(&Placed { header: *header, position });
        self.size.set(position + (head.len() + records.len()) as u64);
        Ok(())
    }

    /// Fills `out` from `position` on.
    pub(crate) fn read(&self, position: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, position)
    }

    /// Reads a whole batch into `out`, replacing what was there.
    pub(crate) fn read_batch(&self, placed: &Placed, out: &mut Vec<u8>) -> io::Result<()> {
        out.resize(placed.header.total_len(), 0);
        self.read(placed.position, out)
    }

    /// The first batch that ends at or behind `offset`.
    pub(crate) fn find(&self, offset: i64) -> io::Result<Option<Placed>> {
        let start = {
            let index = self.index.borrow();
            let after = index.partition_point(|entry| entry.base_offset <= offset);
            after.checked_sub(1).map_or(0, |at| index[at].position)
        };
        let mut walk = Walk::new(self, start);
        while let Some(placed) = walk.next()? {
            if placed.header.last_offset() >= offset {
                return Ok(Some(placed));
            }
        }
        Ok(None)
    }

    /// The first batch with a timestamp of at least `timestamp`.
    pub(crate) fn find_time(&self, timestamp: i64) -> io::Result<Option<Placed>> {
        if self.max_timestamp() < timestamp {
            return Ok(None);
        }
        let start = {
            let index = self.index.borrow();
            let after = index.partition_point(|entry| entry.max_timestamp_before < timestamp);
            after.checked_sub(1).map_or(0, |at| index[at].position)
        };
        let mut walk = Walk::new(self, start);
        while let Some(placed) = walk.next()? {
            if placed.header.max_timestamp >= timestamp {
                return Ok(Some(placed));
            }
        }
        Ok(None)
    }

    /// An offset that is not before the batch at `position`, cheaply: where the index knows the next.
    pub(crate) fn offset_not_before(&self, position: u64) -> Option<i64> {
        let index = self.index.borrow();
        let at = index.partition_point(|entry| entry.position < position);
        index.get(at).map(|entry| entry.base_offset)
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// A walk over a segment's headers, which reads the records between them only by chance.
pub(crate) struct Walk<'a> {
    segment: &'a Segment,
    position: u64,
    window: Vec<u8>,
    window_at: u64,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(segment: &'a Segment, position: u64) -> Self {
        Self { segment, position, window: Vec::new(), window_at: 0 }
    }

    /// The next whole batch; `None` at the end and before anything that is not one.
    pub(crate) fn next(&mut self) -> io::Result<Option<Placed>> {
        let size = self.segment.size();
        let position = self.position;
        if position + HEADER_LEN as u64 > size {
            return Ok(None);
        }
        let window_end = self.window_at + self.window.len() as u64;
        if position < self.window_at || position + HEADER_LEN as u64 > window_end {
            let length = (size - position).min(WINDOW as u64) as usize;
            self.window.resize(length, 0);
            self.segment.read(position, &mut self.window)?;
            self.window_at = position;
        }
        let at = (position - self.window_at) as usize;
        let Ok(header) = BatchHeader::parse(&self.window[at..at + HEADER_LEN]) else {
            return Ok(None);
        };
        let end = position + header.total_len() as u64;
        if end > size || header.last_offset_delta < 0 {
            return Ok(None);
        }
        self.position = end;
        Ok(Some(Placed { header, position }))
    }
}
