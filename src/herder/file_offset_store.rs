//! `FileOffsetBackingStore`: source offsets in one file, rewritten as a whole.
//!
//! The map is in memory; cores read and hand over under a short lock. One thread writes: it takes
//! everything that was handed over, writes a new file beside the old one, syncs it, renames it over
//! the old one and syncs the directory, and only then says `done`. A crash leaves the old file or the
//! new one, never half of one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millrace_worker::command::SourceOffsetStore;

use crate::java_object;
use crate::offset_requests::OffsetEntries;

type Done = Box<dyn FnOnce(Result<(), String>) + Send>;
type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// Batches of offsets that wait for the writer before `put` answers with an error; each task has
/// one flush under way at most.
const WAITING: usize = 4096;

struct Put {
    entries: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    done: Done,
}

/// The store. Dropping it writes what is waiting and ends the thread.
pub struct FileOffsetStore {
    map: Arc<Mutex<Map>>,
    puts: Option<flume::Sender<Put>>,
    writer: Option<std::thread::JoinHandle<()>>,
}

fn lock(map: &Mutex<Map>) -> MutexGuard<'_, Map> {
    map.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FileOffsetStore {
    /// Reads the file; a missing or empty one is an empty map. The error says what to do.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let map = Arc::new(Mutex::new(load(path)?));
        let (puts, inbox) = flume::bounded(WAITING);
        let shared = Arc::clone(&map);
        let path = path.to_owned();
        let writer = std::thread::Builder::new()
            .name("offsets".to_owned())
            .spawn(move || write_loop(&path, &shared, &inbox))?;
        Ok(Self { map, puts: Some(puts), writer: Some(writer) })
    }
}

impl SourceOffsetStore for FileOffsetStore {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        lock(&self.map).get(key).cloned()
    }

    fn put(&self, entries: Vec<(Vec<u8>, Option<Vec<u8>>)>, done: Done) {
        let Some(puts) = &self.puts else { return };
        if let Err(refused) = puts.try_send(Put { entries, done }) {
            let put = refused.into_inner();
            (put.done)(Err("the offset file's writer does not keep up".to_owned()));
        }
    }
}

impl OffsetEntries for FileOffsetStore {
    fn entries(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        lock(&self.map).iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

impl Drop for FileOffsetStore {
    fn drop(&mut self) {
        self.puts = None;
        // The last owner may be an answer that the writer itself just gave.
        let writer = self.writer.take();
        if let Some(writer) = writer.filter(|w| w.thread().id() != std::thread::current().id()) {
            let _ = writer.join();
        }
    }
}

fn load(path: &Path) -> std::io::Result<Map> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Map::new()),
        Err(error) => return Err(error),
    };
    if bytes.is_empty() {
        return Ok(Map::new());
    }
    let entries = java_object::read(&bytes).map_err(|why| {
        std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            format!(
                "{} is not an offset file of Kafka Connect ({why}); move it away to start without \
                 offsets, or correct offset.storage.file.filename",
                path.display()
            ),
        )
    })?;
    Ok(entries.into_iter().filter_map(|(key, value)| Some((key, value?))).collect())
}

/// One round takes all that waits, so a slow disk makes rounds larger rather than the queue longer.
fn write_loop(path: &Path, map: &Mutex<Map>, inbox: &flume::Receiver<Put>) {
    while let Ok(first) = inbox.recv() {
        let round: Vec<Put> = std::iter::once(first).chain(inbox.try_iter()).collect();
        let mut next = lock(map).clone();
        for (key, value) in round.iter().flat_map(|put| &put.entries) {
            match value {
                Some(value) => next.insert(key.clone(), value.clone()),
                None => next.remove(key),
            };
        }
        let result = store(path, &next)
            .map_err(|error| format!("cannot write the offset file {}: {error}", path.display()));
        if let Err(why) = &result {
            tracing::error!("{why}");
        } else {
            // Readers see only what a restart would see.
            *lock(map) = next;
        }
        for put in round {
            (put.done)(result.clone());
        }
    }
}

fn store(path: &Path, map: &Map) -> std::io::Result<()> {
    let entries =
        map.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect::<Vec<_>>();
    let beside = beside(path);
    let mut file = File::create(&beside)?;
    file.write_all(&java_object::write(&entries))?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// In the same folder, for the rename to be atomic.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(store: &FileOffsetStore, key: &str, value: Option<&str>) -> Result<(), String> {
        let (done, answer) = flume::bounded(1);
        let entry = (key.as_bytes().to_vec(), value.map(|value| value.as_bytes().to_vec()));
        store.put(vec![entry], Box::new(move |result| done.send(result).unwrap()));
        answer.recv().unwrap()
    }

    #[test]
    fn offsets_outlive_the_store_and_done_means_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("connect.offsets");
        let store = FileOffsetStore::open(&path).unwrap();
        put(&store, "a", Some("1")).unwrap();
        put(&store, "b", Some("2")).unwrap();
        assert_eq!(load(&path).unwrap().len(), 2, "done came before the file was there");
        put(&store, "a", None).unwrap();
        assert_eq!(store.get(b"a"), None);
        drop(store);
        let again = FileOffsetStore::open(&path).unwrap();
        assert_eq!(again.entries(), [(b"b".to_vec(), b"2".to_vec())]);
    }

    #[test]
    fn a_failed_write_is_told_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gone/connect.offsets");
        let store = FileOffsetStore::open(&path).unwrap();
        assert!(put(&store, "a", Some("1")).unwrap_err().contains("cannot write"));
        assert_eq!(store.get(b"a"), None);
    }

    #[test]
    fn a_foreign_file_is_refused_and_an_empty_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, "hello").unwrap();
        let error = FileOffsetStore::open(&path).err().unwrap().to_string();
        assert!(error.contains("offset.storage.file.filename"), "{error}");
        std::fs::write(&path, "").unwrap();
        assert!(FileOffsetStore::open(&path).unwrap().entries().is_empty());
    }
}
