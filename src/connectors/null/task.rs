//! The null sink's task.

use std::future::ready;
use std::rc::Rc;

use millrace_api::error::ConnectError;
use millrace_api::record::{Origin, Record, TopicPartition};
use millrace_api::sink::{Need, Needs, Offsets, SinkTask, SinkTaskContext};
use millrace_api::{Config, LocalFuture};

use super::config::{self, Format};
use super::latency::LatencyLog;
use crate::text;

/// What the buffer may hold before it is emptied: as much as a file sink would collect.
const BUFFER: usize = 256 << 10;

/// Takes records, counts them, and forgets them.
#[derive(Default)]
pub struct NullSinkTask {
    format: Format,
    check_order: bool,
    task: String,
    records: u64,
    bytes: u64,
    buffer: Vec<u8>,
    latency: Option<LatencyLog>,
    /// The last offset of each partition.
    last: Vec<(TopicPartition, i64)>,
}

impl NullSinkTask {
    /// Records taken since the start.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Bytes formatted since the start.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn take(&mut self, records: &[Record<'_>]) -> Result<(), ConnectError> {
        if self.check_order {
            self.check(records)?;
        }
        if let Some(log) = &mut self.latency {
            log.taken(records).map_err(|error| self.unwritten(error))?;
        }
        self.records += records.len() as u64;
        let write = match self.format {
            Format::None => return Ok(()),
            Format::Json => text::write_json,
            Format::Bytes => text::write_string,
        };
        for record in records {
            write(&record.value.value, &mut self.buffer);
            self.buffer.push(b'\n');
            if self.buffer.len() >= BUFFER {
                self.empty();
            }
        }
        Ok(())
    }

    fn unwritten(&self, error: std::io::Error) -> ConnectError {
        let task = &self.task;
        ConnectError::fatal(format!("{task}: {} cannot be written", config::LATENCY_FILE))
            .caused_by(error)
    }

    fn empty(&mut self) {
        self.bytes += self.buffer.len() as u64;
        // Whatever was formatted must really have been: the optimiser may not see that nobody looks.
        std::hint::black_box(&self.buffer);
        self.buffer.clear();
        self.buffer.shrink_to(2 * BUFFER);
    }

    fn check(&mut self, records: &[Record<'_>]) -> Result<(), ConnectError> {
        let mut at = 0;
        for record in records {
            let Origin::Sink { topic, partition, offset, .. } = record.origin else { continue };
            let same = |(known, _): &(TopicPartition, i64)| {
                known.partition == partition && *known.topic == *topic
            };
            // Records of a partition come in runs, so the partition found last is looked at first.
            if !self.last.get(at).is_some_and(same) {
                at = self.last.iter().position(same).unwrap_or_else(|| {
                    self.last.push((TopicPartition::new(topic, partition), -1));
                    self.last.len() - 1
                });
            }
            let last = &mut self.last[at].1;
            if offset <= *last {
                let task = &self.task;
                return Err(ConnectError::fatal(format!(
                    "{task}: offset {offset} of {topic}-{partition} came after offset {last}; \
                     offsets must increase while {} is set",
                    config::CHECK_ORDER
                )));
            }
            *last = offset;
        }
        Ok(())
    }
}

impl SinkTask for NullSinkTask {
    fn start<'a>(
        &'a mut self,
        config: &'a Config,
        context: Rc<SinkTaskContext>,
    ) -> LocalFuture<'a, Result<(), ConnectError>> {
        let started = config::config_def().parse(config).map_err(crate::refused);
        Box::pin(ready(started.and_then(|parsed| {
            self.format = Format::of(parsed.string(config::FORMAT));
            self.check_order = parsed.bool(config::CHECK_ORDER);
            self.task.clone_from(&context.task);
            if let Some(path) = parsed.get(config::LATENCY_FILE).filter(|path| !path.is_empty()) {
                let log = LatencyLog::open(path, &self.task);
                self.latency = Some(log.map_err(|error| self.unwritten(error))?);
            }
            Ok(())
        })))
    }

    fn needs(&self) -> Needs {
        let value = match self.format {
            Format::None => Need::Nothing,
            Format::Json => Need::Json,
            Format::Bytes => Need::Text,
        };
        Needs { key: Need::Nothing, value, headers: false }
    }

    fn open<'a>(
        &'a mut self,
        partitions: &'a Offsets,
    ) -> LocalFuture<'a, Result<(), ConnectError>> {
        for (partition, position) in partitions {
            self.last.retain(|(known, _)| known != partition);
            self.last.push((partition.clone(), position - 1));
        }
        Box::pin(ready(Ok(())))
    }

    fn put<'a>(
        &'a mut self,
        records: &'a [Record<'a>],
    ) -> LocalFuture<'a, Result<(), ConnectError>> {
        let taken = self.take(records);
        Box::pin(ready(taken))
    }

    fn pre_commit<'a>(
        &'a mut self,
        consumed: &'a Offsets,
    ) -> LocalFuture<'a, Result<Offsets, ConnectError>> {
        Box::pin(ready(Ok(consumed.clone())))
    }

    fn close<'a>(
        &'a mut self,
        partitions: &'a [TopicPartition],
    ) -> LocalFuture<'a, Result<(), ConnectError>> {
        self.last.retain(|(known, _)| !partitions.contains(known));
        Box::pin(ready(Ok(())))
    }

    fn stop(&mut self) -> LocalFuture<'_, ()> {
        self.empty();
        if let Some(Err(error)) = self.latency.as_mut().map(LatencyLog::flush) {
            tracing::warn!(task = %self.task, %error, "the last latencies were not written");
        }
        tracing::info!(task = %self.task, records = self.records, bytes = self.bytes, "dropped");
        Box::pin(ready(()))
    }
}
