//! Source offsets in the offset topic: what tasks read when they start, and where they flush to.
//!
//! The topic is followed; the map holds its last value of each key. A task is started only when the
//! topic was read to its end, so that it sees what another worker stored before it gave the task up.
//! What is put shows up in the map once it is read back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millrace_worker::command::SourceOffsetStore;

use super::topic_log::{LogHandle, LogRecord, Written};
use crate::offset_requests::OffsetEntries;
use crate::source_offsets;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// The map, as the reader fills it.
#[derive(Clone, Default)]
pub struct OffsetMap(Arc<Mutex<Map>>);

impl OffsetMap {
    fn lock(&self) -> MutexGuard<'_, Map> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes records in their order; what is no offset is named and passed over.
    pub fn apply(&self, records: Vec<LogRecord>) {
        let mut map = self.lock();
        for record in records {
            if let Err(why) = source_offsets::check(&record.key, record.value.as_deref()) {
                let LogRecord { partition, offset, .. } = record;
                tracing::error!(partition, offset, "offset topic: {why}; passed over");
                continue;
            }
            match record.value {
                Some(value) => map.insert(record.key, value),
                None => map.remove(&record.key),
            };
        }
    }
}

/// `KafkaOffsetBackingStore`.
pub struct TopicOffsetStore {
    pub map: OffsetMap,
    pub log: LogHandle,
}

impl SourceOffsetStore for TopicOffsetStore {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.map.lock().get(key).cloned()
    }

    fn put(
        &self,
        entries: Vec<(Vec<u8>, Option<Vec<u8>>)>,
        done: Box<dyn FnOnce(Result<(), String>) + Send>,
    ) {
        self.log.write(entries, done);
    }
}

impl OffsetEntries for TopicOffsetStore {
    fn entries(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.map.lock().iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    fn refresh(&self, done: Written) {
        self.log.when_read(done);
    }
}
