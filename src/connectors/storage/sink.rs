//! A sink task over a store: records to files, files to the store, and which offsets are durable.
//!
//! Exactly once: an object's name is a function of where it begins, a file is written whole or not at
//! all, and an offset counts as durable only when every file that holds records before it is. A task
//! that starts again begins at the committed offset and writes the same objects anew.
//!
//! Memory: buffers of open files and bytes under way together stay within a budget (but for the one
//! run of records that goes over it). Above it, the largest open file's buffer goes out as a part; with
//! none of 5 MiB, what is under way is waited for; with nothing under way either, the topic partition
//! that holds the most is completed before its time. The last keeps at-least-once but gives up the
//! deterministic cut of files, so it is logged.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use millrace_api::error::ConnectError;
use millrace_api::record::{Origin, Record, TopicPartition};
use millrace_api::sink::{Need, Needs, Offsets, SinkTaskContext};
use millrace_converters::DataError;
use millrace_net::rt;

use super::compression::Compression;
use super::format::Format;
use super::naming::Naming;
use super::open_file::{Encoding, WriteError};
use super::partition_writer::{PartitionWriter, Shared, Written};
use super::partitioner::Partitioner;
use super::rotation::Rotation;
use super::store::Store;
use super::timestamp::TimestampExtractor;
use super::upload::{RetryPolicy, Upload, Uploads};

/// Records between two looks at the budget and at the core's other tasks.
const RUN: usize = 1024;
/// Objects under way at once.
const MAX_OBJECTS: usize = 64;
/// Longest that one `put` waits for uploads before it gives the batch back.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// Longest that giving up uploads may take.
const CANCEL_WAIT: Duration = Duration::from_secs(3);

/// `behavior.on.null.values`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NullValues {
    Fail,
    Ignore,
    Write,
}

/// Everything that a storage sink is configured with, the store excepted.
#[derive(Clone, Debug)]
pub struct Settings {
    pub partitioner: Partitioner,
    pub rotation: Rotation,
    pub naming: Naming,
    pub format: Format,
    pub compression: Compression,
    pub part_bytes: usize,
    /// `millrace.memory.bytes`.
    pub memory_bytes: usize,
    pub null_values: NullValues,
    /// `report.null.values.to.dlq`.
    pub report_nulls: bool,
    pub tombstone_folder: String,
    pub retry: RetryPolicy,
}

/// The part of a sink task that all stores share.
pub struct StorageSink {
    shared: Shared,
    /// By topic and partition.
    writers: Vec<PartitionWriter>,
    /// The writer of the last record.
    last: usize,
    memory_bytes: usize,
    null_values: NullValues,
    report_nulls: bool,
    pause: Duration,
    context: Rc<SinkTaskContext>,
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

impl StorageSink {
    pub fn new(store: Rc<dyn Store>, settings: Settings, context: Rc<SinkTaskContext>) -> Self {
        let seed = now_ms() as u64 ^ std::ptr::from_ref(&*context) as u64;
        let uploads = Uploads::new(store, settings.retry, settings.part_bytes, seed);
        Self {
            shared: Shared {
                partitioner: settings.partitioner,
                rotation: settings.rotation,
                naming: settings.naming,
                encoding: Encoding {
                    format: settings.format,
                    compression: settings.compression,
                    part_bytes: settings.part_bytes,
                    pool: Vec::new(),
                },
                uploads,
                tombstone_folder: settings.tombstone_folder,
                batch: 0,
                scratch: Vec::new(),
                folder: String::new(),
                names: BTreeMap::new(),
            },
            writers: Vec::new(),
            last: 0,
            memory_bytes: settings.memory_bytes,
            null_values: settings.null_values,
            report_nulls: settings.report_nulls,
            pause: settings.retry.pause,
            context,
        }
    }

    /// Keys and headers are not written.
    pub fn needs(&self) -> Needs {
        // A field that makes the folder keeps its type; a decimal is text in more than one way.
        let by_field = match &self.shared.partitioner {
            Partitioner::Default => false,
            Partitioner::Field { .. } => true,
            Partitioner::Time(time) => matches!(time.extractor, TimestampExtractor::RecordField(_)),
        };
        let text = self.shared.encoding.format == Format::Json { decimal_numeric: false };
        let value = if text && !by_field { Need::Json } else { Need::Text };
        Needs { key: Need::Nothing, value, headers: false }
    }

    pub fn open(&mut self, partitions: &Offsets) {
        let now = now_ms();
        for (partition, position) in partitions {
            self.writers.retain(|writer| writer.partition != *partition);
            self.writers.push(PartitionWriter::new(
                partition.clone(),
                *position,
                &self.shared.rotation,
                now,
            ));
        }
        self.writers.sort_by(|a, b| a.partition.cmp(&b.partition));
        self.last = 0;
    }

    pub async fn put(&mut self, records: &[Record<'_>]) -> Result<(), ConnectError> {
        self.check_uploads()?;
        self.shared.batch += 1;
        for (run, records) in records.chunks(RUN).enumerate() {
            let now = now_ms();
            for (index, record) in records.iter().enumerate() {
                self.take(record, run * RUN + index, now)?;
            }
            self.relieve().await?;
            rt::yield_if_needed().await;
        }
        let now = now_ms();
        for writer in &mut self.writers {
            writer.tick(now, &mut self.shared).map_err(ConnectError::fatal)?;
            writer.reap();
        }
        self.relieve().await
    }

    /// One record; nothing waits here.
    #[inline]
    fn take(&mut self, record: &Record<'_>, index: usize, now: i64) -> Result<(), ConnectError> {
        let Origin::Sink { topic, partition, offset, .. } = record.origin else {
            return Err(ConnectError::fatal("a sink task was given a source record"));
        };
        let writer = self.writer_of(topic, partition)?;
        if offset < self.writers[writer].position {
            // The batch was given before, and this much of it was taken.
            return Ok(());
        }
        if record.value.value.is_null() && !self.takes_null(record, index)? {
            self.writers[writer].position = offset + 1;
            return Ok(());
        }
        match self.writers[writer].write(record, offset, now, &mut self.shared) {
            Ok(Written::Yes) => Ok(()),
            Ok(Written::Errant(error)) => self.errant(error, writer, offset, index),
            Err(why) => Err(ConnectError::fatal(why)),
        }
    }

    #[inline]
    fn writer_of(&mut self, topic: &str, partition: i32) -> Result<usize, ConnectError> {
        let same = |at: &str| std::ptr::eq(at, topic) || at == topic;
        let is = |at: &TopicPartition| at.partition == partition && same(&at.topic);
        if self.writers.get(self.last).is_some_and(|writer| is(&writer.partition)) {
            return Ok(self.last);
        }
        let found = self.writers.binary_search_by(|writer| {
            let at = &writer.partition;
            (&*at.topic, at.partition).cmp(&(topic, partition))
        });
        self.last = found.map_err(|_| {
            ConnectError::fatal(format!("{topic}-{partition} is not assigned to this task"))
        })?;
        Ok(self.last)
    }

    #[cold]
    fn takes_null(&mut self, record: &Record<'_>, index: usize) -> Result<bool, ConnectError> {
        match self.null_values {
            NullValues::Write => Ok(true),
            NullValues::Ignore => {
                if self.report_nulls && self.context.has_reporter() {
                    self.context.report(index, DataError::new("Skipping null value record."));
                }
                Ok(false)
            }
            NullValues::Fail => {
                let place = match record.origin {
                    Origin::Sink { topic, partition, offset, .. } => {
                        format!("{topic}-{partition} at offset {offset}")
                    }
                    Origin::Source { .. } => record.topic.to_owned(),
                };
                Err(ConnectError::fatal(format!(
                    "Null valued records are not writeable with current behavior.on.null.values \
                     'settings.': the record of {place} has a null value; set \
                     behavior.on.null.values to ignore, or to write"
                )))
            }
        }
    }

    #[cold]
    fn errant(
        &mut self,
        error: WriteError,
        writer: usize,
        offset: i64,
        index: usize,
    ) -> Result<(), ConnectError> {
        let writer = &mut self.writers[writer];
        match error {
            WriteError::Record(error) if self.context.has_reporter() => {
                writer.position = offset + 1;
                self.context.report(index, error);
                Ok(())
            }
            WriteError::Record(error) => {
                let at = &writer.partition;
                let message =
                    format!("the record at {at} offset {offset} cannot be written: {error}");
                Err(ConnectError { class: error.class, ..ConnectError::fatal(message) })
            }
            WriteError::Compressor(why) => Err(ConnectError::fatal(why)),
        }
    }

    /// A fatal error of an upload, or trouble that lasts.
    fn check_uploads(&self) -> Result<(), ConnectError> {
        if let Some(why) = self.shared.uploads.fatal() {
            return Err(ConnectError::fatal(why));
        }
        if let Some(why) = self.shared.uploads.trouble() {
            self.context.timeout(self.pause);
            return Err(ConnectError::retriable(why));
        }
        Ok(())
    }

    /// Bytes of buffers: open, under way, or kept for what is opened next.
    #[cfg(test)]
    pub fn memory_in_use(&self) -> usize {
        self.open_bytes() + self.shared.uploads.bytes() + self.shared.uploads.kept_bytes()
    }

    fn open_bytes(&self) -> usize {
        self.writers.iter().map(|writer| writer.memory_bytes(&self.shared)).sum()
    }

    /// Comes back within the budget.
    async fn relieve(&mut self) -> Result<(), ConnectError> {
        loop {
            let uploads = Rc::clone(&self.shared.uploads);
            let flying = uploads.bytes();
            let used = self.open_bytes() + flying;
            uploads.keep_spares_within(self.memory_bytes.saturating_sub(used));
            let excess = used.saturating_sub(self.memory_bytes);
            if excess == 0 && uploads.objects() <= MAX_OBJECTS + self.writers.len() {
                return Ok(());
            }
            self.check_uploads()?;
            if flying < excess && self.shrink(flying == 0)? {
                continue;
            }
            self.wait_for_uploads(flying, uploads.objects()).await?;
        }
    }

    /// Waits until less is under way than now, or for trouble.
    async fn wait_for_uploads(&self, bytes: usize, objects: usize) -> Result<(), ConnectError> {
        let moved = self.shared.uploads.wait_until(|uploads| {
            uploads.bytes() < bytes
                || uploads.objects() < objects
                || uploads.fatal().is_some()
                || uploads.trouble().is_some()
        });
        if rt::timeout(MAX_WAIT, moved).await.is_err() {
            self.context.timeout(self.pause);
            return Err(ConnectError::retriable(format!(
                "{bytes} bytes are waiting for the store, which took none for {} s",
                MAX_WAIT.as_secs()
            )));
        }
        Ok(())
    }

    /// Moves bytes from open files towards the store; `false` if there is nothing to move. `complete`
    /// allows files to be completed before their time.
    fn shrink(&mut self, complete: bool) -> Result<bool, ConnectError> {
        let largest = self
            .writers
            .iter()
            .enumerate()
            .filter_map(|(writer, files)| Some((writer, files.largest_part()?)))
            .max_by_key(|(_, (_, bytes))| *bytes);
        if let Some((writer, (file, _))) = largest {
            self.writers[writer].send_part(file, &self.shared.uploads);
            return Ok(true);
        }
        if !complete {
            return Ok(false);
        }
        let fullest = (0..self.writers.len())
            .map(|index| (self.writers[index].memory_bytes(&self.shared), index))
            .max()
            .filter(|(bytes, _)| *bytes > 0);
        let Some((bytes, index)) = fullest else { return Ok(false) };
        let writer = &mut self.writers[index];
        tracing::warn!(
            "files of {} are completed before their time: their {bytes} bytes and those of others do \
             not fit millrace.memory.bytes={}; raise it, or open fewer files at once",
            writer.partition,
            self.memory_bytes
        );
        writer.seal(&mut self.shared, now_ms()).map_err(ConnectError::fatal)?;
        Ok(true)
    }

    /// Up to where everything is durable.
    pub fn pre_commit(&mut self, consumed: &Offsets) -> Result<Offsets, ConnectError> {
        if let Some(why) = self.shared.uploads.fatal() {
            return Err(ConnectError::fatal(why));
        }
        let mut offsets = Offsets::new();
        for writer in &mut self.writers {
            let Some(consumed) = consumed.get(&writer.partition) else { continue };
            if let Some(durable) = writer.durable(*consumed) {
                offsets.insert(writer.partition.clone(), durable.min(*consumed));
            }
        }
        Ok(offsets)
    }

    /// Completes every open file and waits until all have arrived.
    pub async fn finish(&mut self) -> Result<(), ConnectError> {
        let now = now_ms();
        for writer in &mut self.writers {
            writer.seal(&mut self.shared, now).map_err(ConnectError::fatal)?;
        }
        loop {
            for writer in &mut self.writers {
                writer.reap();
            }
            if !self.writers.iter().any(PartitionWriter::is_sealing) {
                return Ok(());
            }
            self.check_uploads()?;
            let (bytes, objects) = (self.shared.uploads.bytes(), self.shared.uploads.objects());
            self.wait_for_uploads(bytes, objects).await?;
        }
    }

    /// Forgets what is not durable of these partitions and gives up its uploads.
    pub async fn close(&mut self, partitions: &[TopicPartition]) {
        let (closed, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.writers)
            .into_iter()
            .partition(|writer| partitions.contains(&writer.partition));
        self.writers = kept;
        self.last = 0;
        closed.iter().for_each(|writer| writer.disclaim(&mut self.shared));
        self.cancel(closed).await;
        if self.writers.is_empty() {
            self.shared.uploads.keep_spares_within(0);
        }
    }

    pub async fn stop(&mut self) {
        let writers = std::mem::take(&mut self.writers);
        self.cancel(writers).await;
    }

    async fn cancel(&mut self, writers: Vec<PartitionWriter>) {
        let encoding = &mut self.shared.encoding;
        let uploads: Vec<_> =
            writers.into_iter().flat_map(|writer| writer.abandon(encoding)).collect();
        let all = async {
            for upload in uploads {
                Upload::cancel(upload).await;
            }
        };
        if rt::timeout(CANCEL_WAIT, all).await.is_err() {
            tracing::warn!(
                "not all unfinished uploads could be aborted in time; a lifecycle rule that aborts \
                 incomplete multipart uploads removes what they left"
            );
        }
    }
}
