//! The open files of one topic partition, and what of it is durable.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;

use millrace_api::record::{Origin, Record, TopicPartition};

use super::naming::Naming;
use super::open_file::{Encoding, OpenFile, WriteError};
use super::partitioner::{Partitioner, Window, encode_fields};
use super::rotation::{Progress, Rotation};
use super::store::{MAX_PARTS, MIN_PART_BYTES};
use super::upload::{Upload, Uploads};

/// What the writers of a task share; borrowed by each call.
pub struct Shared {
    pub partitioner: Partitioner,
    pub rotation: Rotation,
    pub naming: Naming,
    pub encoding: Encoding,
    pub uploads: Rc<Uploads>,
    /// `tombstone.encoded.partition`.
    pub tombstone_folder: String,
    /// Number of the current batch.
    pub batch: u64,
    /// For documents with edits.
    pub scratch: Vec<u8>,
    /// For folders.
    pub folder: String,
    /// Topics and partitions in the names of files, and the topic that was read for each: two of
    /// them would write files of the same names.
    pub names: BTreeMap<(Box<str>, i32), Rc<str>>,
}

/// Files that are completed together.
struct Sealed {
    uploads: Vec<Upload>,
    /// The offset after the last record in them.
    end: i64,
}

/// One topic partition: `TopicPartitionWriter`.
pub struct PartitionWriter {
    pub partition: TopicPartition,
    /// The next record that is expected; earlier ones were taken before.
    pub position: i64,
    files: Vec<OpenFile>,
    /// By what a transform calls the topic (empty: not renamed), then by folder.
    by_folder: HashMap<Box<str>, HashMap<String, usize>>,
    /// The file of the last record.
    current: usize,
    progress: Progress,
    sealed: VecDeque<Sealed>,
    durable: Option<i64>,
}

/// What became of a record.
#[derive(Debug)]
pub enum Written {
    Yes,
    /// The record has no place or no form; why.
    Errant(WriteError),
}

impl PartitionWriter {
    pub fn new(partition: TopicPartition, position: i64, rotation: &Rotation, now: i64) -> Self {
        Self {
            partition,
            position,
            files: Vec::new(),
            by_folder: HashMap::new(),
            current: 0,
            progress: Progress::new(rotation, now),
            sealed: VecDeque::new(),
            durable: None,
        }
    }

    /// Takes one record. `Err` is fatal.
    #[inline]
    pub fn write(
        &mut self,
        record: &Record<'_>,
        offset: i64,
        now: i64,
        shared: &mut Shared,
    ) -> Result<Written, String> {
        let topic = renamed(record);
        let (mut index, time) = match self.place(record, topic, now, shared) {
            Ok(place) => place,
            Err(why) => return Ok(Written::Errant(WriteError::Record(partition_error(why)))),
        };
        if self.must_rotate(index, time, record, now, shared) {
            self.seal(shared, now)?;
            index = None;
        }
        let index = match index {
            Some(index) => index,
            None => self.open(record, topic, offset, time, shared)?,
        };
        let batch = shared.batch;
        let file = &mut self.files[index];
        file.accepts(record.value.schema, batch);
        match file.write(record, offset, &mut shared.encoding, &shared.uploads) {
            Ok(bytes) => {
                self.current = index;
                self.progress.records += 1;
                self.progress.bytes += bytes as u64;
                if time.is_some() {
                    self.progress.base_time = self.progress.base_time.or(time);
                    self.progress.last_time = time;
                }
                self.position = offset + 1;
                if shared.rotation.after_record(&self.progress)
                    || self.files[index].parts() + 2 >= MAX_PARTS
                {
                    self.seal(shared, now)?;
                }
                Ok(Written::Yes)
            }
            Err(WriteError::Compressor(why)) => Err(why),
            Err(error) => {
                self.forget_if_empty(index);
                Ok(Written::Errant(error))
            }
        }
    }

    /// Where the record goes: the open file if there is one, and its time if the partitioner has one.
    /// Without an open file the folder stands in `shared.folder`.
    #[inline]
    fn place(
        &mut self,
        record: &Record<'_>,
        topic: Option<&str>,
        now: i64,
        shared: &mut Shared,
    ) -> Result<(Option<usize>, Option<i64>), String> {
        if record.value.value.is_null() {
            shared.folder.clone_from(&shared.tombstone_folder);
            return Ok((self.find(topic, &shared.folder), None));
        }
        match &shared.partitioner {
            Partitioner::Default => {
                if let Some(file) = self.files.get(self.current)
                    && file.window == Window::NONE
                    && file.is_of(topic)
                    && file.encoded != shared.tombstone_folder
                {
                    return Ok((Some(self.current), None));
                }
                use std::fmt::Write;
                shared.folder.clear();
                let _ = write!(shared.folder, "partition={}", self.partition.partition);
                Ok((self.find(topic, &shared.folder), None))
            }
            Partitioner::Field { fields, delim } => {
                shared.folder.clear();
                encode_fields(fields, delim, record, &mut shared.scratch, &mut shared.folder)?;
                Ok((self.find(topic, &shared.folder), None))
            }
            Partitioner::Time(partitioner) => {
                let time = partitioner.extractor.extract(record, now, &mut shared.scratch)?;
                let takes = |file: &OpenFile| file.window.contains(time) && file.is_of(topic);
                if self.files.get(self.current).is_some_and(takes) {
                    return Ok((Some(self.current), Some(time)));
                }
                if let Some(index) = self.files.iter().position(takes) {
                    return Ok((Some(index), Some(time)));
                }
                shared.folder.clear();
                let window = partitioner.encode(time, &mut shared.folder)?;
                let found = self.find(topic, &shared.folder);
                if let Some(index) = found {
                    // The same folder by another window, as when the clock is set back.
                    self.files[index].window = window;
                }
                Ok((found, Some(time)))
            }
        }
    }

    fn find(&self, topic: Option<&str>, folder: &str) -> Option<usize> {
        match self.files.get(self.current) {
            Some(file) if file.encoded == folder && file.is_of(topic) => Some(self.current),
            _ => self.by_folder.get(topic.unwrap_or_default())?.get(folder).copied(),
        }
    }

    #[inline]
    fn must_rotate(
        &mut self,
        index: Option<usize>,
        time: Option<i64>,
        record: &Record<'_>,
        now: i64,
        shared: &Shared,
    ) -> bool {
        let rotation = &shared.rotation;
        if rotation.before_record(&self.progress, time, index != Some(self.current), now) {
            return true;
        }
        match index {
            Some(index) => !self.files[index].accepts(record.value.schema, shared.batch),
            None => rotation.max_open_files.is_some_and(|most| self.files.len() >= most),
        }
    }

    #[cold]
    fn open(
        &mut self,
        record: &Record<'_>,
        topic: Option<&str>,
        offset: i64,
        time: Option<i64>,
        shared: &mut Shared,
    ) -> Result<usize, String> {
        self.claim(topic, shared)?;
        // After a rotation the folder may not have been worked out for this record.
        let mut window = Window::NONE;
        shared.folder.clear();
        if record.value.value.is_null() {
            shared.folder.push_str(&shared.tombstone_folder);
        } else {
            let folder = &mut shared.folder;
            let placed = match (&shared.partitioner, time) {
                (Partitioner::Time(partitioner), Some(time)) => {
                    partitioner.encode(time, folder).map(|encoded| window = encoded)
                }
                (Partitioner::Field { fields, delim }, _) => {
                    encode_fields(fields, delim, record, &mut shared.scratch, folder)
                }
                _ => {
                    folder.push_str("partition=");
                    folder.push_str(&self.partition.partition.to_string());
                    Ok(())
                }
            };
            debug_assert!(placed.is_ok(), "the record was placed before");
        }
        let folder = shared.folder.clone();
        let TopicPartition { topic: read, partition } = &self.partition;
        let key = shared.naming.key(topic.unwrap_or(read), &folder, *partition, offset);
        let index = self.files.len();
        let name = topic.unwrap_or_default();
        self.by_folder.entry(name.into()).or_default().insert(folder.clone(), index);
        self.files.push(OpenFile::new(key, topic, folder, window, offset));
        Ok(index)
    }

    /// Refuses a name under which another topic's files are written: they would overwrite one
    /// another where the offsets meet.
    fn claim(&self, topic: Option<&str>, shared: &mut Shared) -> Result<(), String> {
        let TopicPartition { topic: read, partition } = &self.partition;
        let name = topic.unwrap_or(read);
        match shared.names.get(&(Box::from(name), *partition)) {
            Some(other) if other != read => Err(format!(
                "records of the topics {other} and {read} both come as {name}-{partition}, by a \
                 transform that renames topics: their files would have the same names and overwrite \
                 one another; write them with a connector of their own each, with another topics.dir"
            )),
            Some(_) => Ok(()),
            None => {
                shared.names.insert((name.into(), *partition), Rc::clone(read));
                Ok(())
            }
        }
    }

    /// The names are free for others.
    pub fn disclaim(&self, shared: &mut Shared) {
        let TopicPartition { topic, partition } = &self.partition;
        shared.names.retain(|(_, number), read| number != partition || read != topic);
    }

    /// A file whose first record failed was not begun.
    fn forget_if_empty(&mut self, index: usize) {
        if index + 1 == self.files.len() && self.files[index].records == 0 {
            if let Some(file) = self.files.pop()
                && let Some(folders) =
                    self.by_folder.get_mut(file.topic.as_deref().unwrap_or_default())
            {
                folders.remove(&file.encoded);
            }
            self.current = 0;
        }
    }

    /// Completes the open files if it is time to, without a record at hand.
    pub fn tick(&mut self, now: i64, shared: &mut Shared) -> Result<(), String> {
        let wallclock = matches!(
            &shared.partitioner,
            Partitioner::Time(time) if time.extractor == super::timestamp::TimestampExtractor::Wallclock
        );
        // A record's own time stands still without records; the clock does not.
        let time = if wallclock { Some(now) } else { self.progress.last_time };
        if shared.rotation.before_record(&self.progress, time, false, now) {
            return self.seal(shared, now);
        }
        if self.progress.records == 0
            && self.progress.next_scheduled.is_some_and(|next| now >= next)
        {
            self.progress = Progress::new(&shared.rotation, now);
        }
        Ok(())
    }

    /// Completes all open files.
    pub fn seal(&mut self, shared: &mut Shared, now: i64) -> Result<(), String> {
        if self.files.is_empty() {
            return Ok(());
        }
        let mut uploads = Vec::with_capacity(self.files.len());
        for file in self.files.drain(..) {
            uploads.push(file.complete(&mut shared.encoding, &shared.uploads)?);
        }
        self.by_folder.clear();
        self.current = 0;
        self.progress = Progress::new(&shared.rotation, now);
        self.sealed.push_back(Sealed { uploads, end: self.position });
        Ok(())
    }

    /// Looks which files have arrived.
    pub fn reap(&mut self) {
        while let Some(first) = self.sealed.front() {
            if !first.uploads.iter().all(Upload::is_done) {
                return;
            }
            self.durable = Some(first.end);
            self.sealed.pop_front();
        }
    }

    /// Up to where everything is durable, given that records up to `consumed` were put.
    pub fn durable(&mut self, consumed: i64) -> Option<i64> {
        self.reap();
        if self.files.is_empty() && self.sealed.is_empty() {
            // What was not written was skipped on purpose.
            return Some(consumed);
        }
        self.durable
    }

    /// Whether completed files are still on their way.
    pub fn is_sealing(&self) -> bool {
        !self.sealed.is_empty()
    }

    pub fn memory_bytes(&self, shared: &Shared) -> usize {
        let compression = shared.encoding.compression;
        self.files.iter().map(|file| file.memory_bytes(compression)).sum()
    }

    /// The file with the most bytes that could go out as a part.
    pub fn largest_part(&self) -> Option<(usize, usize)> {
        self.files
            .iter()
            .enumerate()
            .map(|(index, file)| (index, file.sendable_bytes()))
            .filter(|(_, bytes)| *bytes >= MIN_PART_BYTES)
            .max_by_key(|(_, bytes)| *bytes)
    }

    pub fn send_part(&mut self, index: usize, uploads: &Rc<Uploads>) {
        self.files[index].send_part(uploads);
    }

    /// Forgets everything that is not durable.
    pub fn abandon(self, encoding: &mut Encoding) -> Vec<Upload> {
        self.sealed
            .into_iter()
            .flat_map(|sealed| sealed.uploads)
            .chain(self.files.into_iter().filter_map(|file| file.abandon(encoding)))
            .collect()
    }
}

/// What a transform calls the record's topic, if it is not the one that was read.
#[inline]
fn renamed<'a>(record: &Record<'a>) -> Option<&'a str> {
    match record.origin {
        Origin::Sink { topic, .. }
            if std::ptr::eq(topic, record.topic) || topic == record.topic =>
        {
            None
        }
        _ => Some(record.topic),
    }
}

fn partition_error(why: String) -> millrace_converters::DataError {
    millrace_converters::DataError::with_class(
        "io.confluent.connect.storage.errors.PartitionException",
        why,
    )
}
