//! An object that is being filled: records to bytes, bytes to parts.

use std::rc::Rc;

use millrace_api::record::Record;
use millrace_converters::{DataError, Schema};

use super::compression::{Compression, Compressor};
use super::format::Format;
use super::partitioner::Window;
use super::store::Stamp;
use super::upload::{Upload, Uploads};

/// Uncompressed bytes that are gathered before the compressor is called.
const PENDING_BYTES: usize = 64 << 10;
/// A part buffer's first size; it grows from there to the part's.
const FIRST_BYTES: usize = 16 << 10;
/// A part buffer that must grow beyond this moves to one that has been used before, if there is one:
/// the copy costs less than the kernel's new pages.
const ADOPT_BYTES: usize = 1 << 20;
/// Compressors that are kept for the next file.
const MAX_POOLED: usize = 4;

/// How all files of a task are written.
pub struct Encoding {
    pub format: Format,
    pub compression: Compression,
    /// `s3.part.size`.
    pub part_bytes: usize,
    /// Finished compressors.
    pub pool: Vec<Compressor>,
}

impl Encoding {
    fn compressor(&mut self) -> Result<Option<Compressor>, String> {
        match self.pool.pop() {
            Some(compressor) => Ok(Some(compressor)),
            None => self.compression.compressor(),
        }
    }

    fn give_back(&mut self, compressor: Compressor) {
        if self.pool.len() < MAX_POOLED {
            self.pool.push(compressor);
        }
    }
}

/// One object between its first record and its completion.
pub struct OpenFile {
    key: String,
    /// What a transform calls the records' topic; `None`: the topic that they were read from.
    pub topic: Option<Box<str>>,
    /// The partitioner's folder.
    pub encoded: String,
    /// The times that belong to the folder, if it is one of a time partitioner.
    pub window: Window,
    start_offset: i64,
    end_offset: i64,
    pub records: u64,
    schema: Option<Box<Schema>>,
    /// The batch in which `schema` was last compared, and the address that it then had.
    checked: (u64, usize),
    /// Waits for the compressor.
    pending: Vec<u8>,
    /// Waits for the store.
    part: Vec<u8>,
    /// Bytes in parts that were handed over.
    sent: u64,
    parts: u32,
    compressor: Option<Compressor>,
    upload: Option<Upload>,
}

impl OpenFile {
    pub fn new(
        key: String,
        topic: Option<&str>,
        encoded: String,
        window: Window,
        start_offset: i64,
    ) -> Self {
        Self {
            key,
            topic: topic.map(Box::from),
            encoded,
            window,
            start_offset,
            end_offset: start_offset,
            records: 0,
            schema: None,
            checked: (0, 0),
            pending: Vec::new(),
            part: Vec::new(),
            sent: 0,
            parts: 0,
            compressor: None,
            upload: None,
        }
    }

    /// Whether records that a transform calls so (`None`: not renamed) belong here.
    #[inline]
    pub fn is_of(&self, topic: Option<&str>) -> bool {
        self.topic.as_deref() == topic
    }

    /// Whether a record of `schema` may stand in this file (`schema.compatibility=NONE`: only the same
    /// schema). `batch` is a number that no two batches share: within a batch a schema keeps its
    /// address, so that only the first record of each is compared.
    #[inline]
    pub fn accepts(&mut self, schema: Option<&Schema>, batch: u64) -> bool {
        let address = schema.map_or(0, |schema| std::ptr::from_ref(schema) as usize);
        if self.checked == (batch, address) {
            return true;
        }
        if self.records == 0 {
            self.schema = schema.cloned().map(Box::new);
        } else if self.schema.as_deref() != schema {
            return false;
        }
        self.checked = (batch, address);
        true
    }

    /// Takes one record; answers how many bytes it came to before compression. Nothing is kept of a
    /// record that fails.
    #[inline]
    pub fn write(
        &mut self,
        record: &Record<'_>,
        offset: i64,
        encoding: &mut Encoding,
        uploads: &Rc<Uploads>,
    ) -> Result<usize, WriteError> {
        let compressing = encoding.compression != Compression::None;
        let bytes = if compressing {
            let before = self.pending.len();
            encoding.format.write(record, &mut self.pending)?;
            self.pending.len() - before
        } else {
            self.make_room(encoding, uploads);
            let before = self.part.len();
            encoding.format.write(record, &mut self.part)?;
            self.part.len() - before
        };
        self.records += 1;
        self.end_offset = offset;
        if compressing && self.pending.len() >= PENDING_BYTES {
            self.compress(encoding, uploads).map_err(WriteError::Compressor)?;
        }
        if self.part.len() >= encoding.part_bytes {
            self.send_part(uploads);
        }
        Ok(bytes)
    }

    fn compress(&mut self, encoding: &mut Encoding, uploads: &Uploads) -> Result<(), String> {
        self.make_room(encoding, uploads);
        if self.compressor.is_none() {
            self.compressor = encoding.compressor()?;
        }
        if let Some(compressor) = &mut self.compressor {
            compressor.write(&self.pending, &mut self.part)?;
        }
        self.pending.clear();
        Ok(())
    }

    /// Grows the part buffer by doubling, but never far beyond a part.
    #[inline]
    fn make_room(&mut self, encoding: &Encoding, uploads: &Uploads) {
        if self.part.capacity() - self.part.len() < PENDING_BYTES / 4 {
            self.grow(encoding, uploads);
        }
    }

    #[cold]
    fn grow(&mut self, encoding: &Encoding, uploads: &Uploads) {
        let large = self.parts > 0 && self.part.is_empty();
        let growing = (ADOPT_BYTES / 2..2 * ADOPT_BYTES).contains(&self.part.capacity());
        if (large || growing)
            && let Some(mut spare) = uploads.spare()
        {
            spare.extend_from_slice(&self.part);
            self.part = spare;
            return;
        }
        let most = encoding.part_bytes + 2 * PENDING_BYTES;
        let wanted = (2 * self.part.capacity()).clamp(FIRST_BYTES, most);
        let wanted = wanted.max(self.part.len() + FIRST_BYTES);
        self.part.reserve_exact(wanted - self.part.len());
    }

    /// Hands what has gathered over as a part. Only for [`super::store::MIN_PART_BYTES`] and more.
    pub fn send_part(&mut self, uploads: &Rc<Uploads>) {
        let part = std::mem::take(&mut self.part);
        self.sent += part.len() as u64;
        self.parts += 1;
        self.upload.get_or_insert_with(|| Upload::start(uploads, self.key.clone())).part(part);
    }

    /// Bytes that could go out as a part now.
    pub fn sendable_bytes(&self) -> usize {
        self.part.len()
    }

    /// Parts handed over so far.
    pub fn parts(&self) -> u32 {
        self.parts
    }

    /// Memory that the file holds, what is under way excepted.
    pub fn memory_bytes(&self, compression: Compression) -> usize {
        let state = if self.compressor.is_some() { compression.state_bytes() } else { 0 };
        self.part.capacity() + self.pending.capacity() + state
    }

    /// Ends the object and sends it on its way.
    pub fn complete(
        mut self,
        encoding: &mut Encoding,
        uploads: &Rc<Uploads>,
    ) -> Result<Upload, String> {
        if encoding.compression != Compression::None {
            self.compress(encoding, uploads)?;
            if let Some(mut compressor) = self.compressor.take() {
                compressor.finish(&mut self.part)?;
                encoding.give_back(compressor);
            }
        }
        let stamp = Stamp {
            start_offset: self.start_offset,
            end_offset: self.end_offset,
            records: self.records,
            bytes: self.sent + self.part.len() as u64,
        };
        let upload = self.upload.unwrap_or_else(|| Upload::start(uploads, self.key));
        upload.finish(self.part, stamp);
        Ok(upload)
    }

    /// Gives the file up; the answer is what must be cancelled.
    pub fn abandon(mut self, encoding: &mut Encoding) -> Option<Upload> {
        if let Some(mut compressor) = self.compressor.take() {
            compressor.reset();
            encoding.give_back(compressor);
        }
        self.upload
    }
}

/// Why a record was not written.
#[derive(Debug)]
pub enum WriteError {
    /// The record cannot be written in this format.
    Record(DataError),
    /// The compressor gave up; the file is lost.
    Compressor(String),
}

impl From<DataError> for WriteError {
    fn from(error: DataError) -> Self {
        Self::Record(error)
    }
}
