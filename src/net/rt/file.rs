//! Files that grow, and the folders they stand in; off the core's back.
//!
//! Writes go by `pwrite` on the core's file threads. Measured with chunks of 256 KiB on ext4, this
//! costs as much CPU as a buffered write through the ring (150 µs a chunk, both), which the kernel
//! hands to a thread as well; but it gives the buffer back, goes on after a short write, and says
//! `ENOSPC` where that is the reason. A write on the core itself costs a third (48 µs) until the disk
//! is slower than its writers; then it stops everything on the core.

use std::cell::{Cell, RefCell};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use crate::offload::{Pool, Running, run_in, start_in};

/// Threads of one core for files: one to write while another waits for the disk.
const MAX_THREADS: usize = 2;

thread_local! {
    static POOL: RefCell<Pool> = RefCell::new(Pool::new("millrace-file", MAX_THREADS));
}

async fn run<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    run_in(&POOL, work).await?
}

/// What became of a write: the file's new end and the buffer.
type Written = (io::Result<u64>, Vec<u8>);

/// A file that is appended to. The tracked end is where the next write goes; nobody else may write
/// to it meanwhile, unless it was opened by [`AppendFile::open_shared`].
pub struct AppendFile {
    file: Arc<File>,
    shared: bool,
    end: Cell<u64>,
    /// A write that goes on though its future was dropped: the next operation waits for it.
    pending: RefCell<Option<Running<Written>>>,
}

impl AppendFile {
    /// Opens for appending, creating the file if it is not there.
    pub async fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        Self::open_with(path, options, false).await
    }

    /// As [`Self::open`], for a file with several writers: the system puts each write behind the
    /// last (`O_APPEND`), whoever made that. The tracked end counts the own writes only, and a
    /// failed write is not cut off again, since others may have written behind it.
    pub async fn open_shared(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).read(true).append(true);
        Self::open_with(path, options, true).await
    }

    async fn open_with(path: &Path, options: OpenOptions, shared: bool) -> io::Result<Self> {
        let path = path.to_owned();
        let (file, end) = run(move || {
            let file = options.open(path)?;
            let end = file.metadata()?.len();
            Ok((file, end))
        })
        .await?;
        let (file, end) = (Arc::new(file), Cell::new(end));
        Ok(Self { file, shared, end, pending: RefCell::default() })
    }

    /// Where the next write goes. What was appended with success lies before it.
    pub fn len(&self) -> u64 {
        self.end.get()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the whole buffer at the end, without a copy. Chunks of 256 KiB and more are what it is
    /// made for.
    ///
    /// # Errors
    /// As the system says, [`io::ErrorKind::StorageFull`] on a full disk. Nothing is appended then: the
    /// end stands where it stood, and the file is cut back to it as far as the system allows, so that
    /// the same bytes may be tried again.
    pub async fn append(&mut self, buffer: Vec<u8>) -> io::Result<()> {
        let mut buffer = buffer;
        self.append_from(&mut buffer).await
    }

    /// As [`Self::append`], and hands the buffer back: emptied for reuse after success, untouched after
    /// an error. If the future is dropped, the write goes on, the buffer is lost, and the next operation
    /// waits for it.
    pub async fn append_from(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        self.settle().await;
        if buffer.is_empty() {
            return Ok(());
        }
        let (file, end, bytes) = (self.file.clone(), self.len(), std::mem::take(buffer));
        let shared = self.shared;
        let running = start_in(&POOL, move || {
            let written = file.write_all_at(&bytes, end).map(|()| end + bytes.len() as u64);
            if written.is_err() && !shared {
                // Best effort: what is beyond the end is overwritten by the next append anyway.
                let _ = file.set_len(end);
            }
            (written, bytes)
        })
        .await?;
        self.pending.replace(Some(running.clone()));
        let outcome = running.wait().await;
        self.pending.replace(None);
        let (written, bytes) = outcome?;
        *buffer = bytes;
        self.end.set(written?);
        buffer.clear();
        Ok(())
    }

    /// Makes what was written durable.
    pub async fn sync(&self) -> io::Result<()> {
        self.settle().await;
        let file = self.file.clone();
        run(move || file.sync_data()).await
    }

    /// Cuts the file back to `end`, for taking up after a crash.
    pub async fn truncate(&mut self, end: u64) -> io::Result<()> {
        self.settle().await;
        let file = self.file.clone();
        run(move || file.set_len(end)).await?;
        self.end.set(end);
        Ok(())
    }

    /// Waits for what is under way and closes. Does not sync.
    pub async fn close(self) -> io::Result<()> {
        self.settle().await;
        let Self { file, .. } = self;
        run(move || {
            drop(file);
            Ok(())
        })
        .await
    }

    /// Waits for an abandoned write and takes its end over; an error of it, which nobody waits for any
    /// more, leaves the end as it was.
    async fn settle(&self) {
        let pending = self.pending.borrow().clone();
        let Some(pending) = pending else { return };
        if let Ok((Ok(end), _)) = pending.wait().await {
            self.end.set(end);
        }
        self.pending.replace(None);
    }
}

/// Makes a folder and those above it; one that exists is no error.
pub async fn create_dir_all(path: &Path) -> io::Result<()> {
    let path = path.to_owned();
    run(move || std::fs::create_dir_all(path)).await
}

/// Gives a file another name, in place of a file that bears it. Durable after [`sync_dir`].
pub async fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (from.to_owned(), to.to_owned());
    run(move || std::fs::rename(from, to)).await
}

/// Removes a file; [`io::ErrorKind::NotFound`] if there is none.
pub async fn remove_file(path: &Path) -> io::Result<()> {
    let path = path.to_owned();
    run(move || std::fs::remove_file(path)).await
}

/// Makes the names in a folder durable: files created, renamed and removed there.
pub async fn sync_dir(path: &Path) -> io::Result<()> {
    let path = path.to_owned();
    run(move || File::open(path)?.sync_all()).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::on_core;

    #[test]
    fn appends_and_hands_the_buffer_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/lines");
        let seen = path.clone();
        on_core(move || async move {
            let parent = path.parent().unwrap();
            create_dir_all(parent).await.unwrap();
            create_dir_all(parent).await.unwrap();
            let mut file = AppendFile::open(&path).await.unwrap();
            assert!(file.is_empty());
            let mut buffer = Vec::with_capacity(1 << 20);
            for n in 0..10u8 {
                buffer.resize(300_000, b'0' + n);
                let place = buffer.as_ptr();
                file.append_from(&mut buffer).await.unwrap();
                assert_eq!((buffer.len(), buffer.as_ptr()), (0, place));
            }
            file.sync().await.unwrap();
            file.append(b"tail".to_vec()).await.unwrap();
            file.append(Vec::new()).await.unwrap();
            assert_eq!(file.len(), 3_000_004);
            file.truncate(3_000_002).await.unwrap();
            file.close().await.unwrap();
            let mut file = AppendFile::open(&path).await.unwrap();
            assert_eq!(file.len(), 3_000_002);
            file.append(b"!".to_vec()).await.unwrap();
            file.close().await.unwrap();
        });
        let bytes = std::fs::read(seen).unwrap();
        assert_eq!(bytes.len(), 3_000_003);
        assert!(
            bytes[..3_000_000].chunks(300_000).zip(b'0'..).all(|(c, b)| c.iter().all(|x| *x == b))
        );
        assert_eq!(&bytes[3_000_000..], b"ta!");
    }

    #[test]
    fn errors_leave_buffer_and_end() {
        on_core(|| async {
            let mut full = AppendFile::open(Path::new("/dev/full")).await.unwrap();
            let mut buffer = b"bytes".to_vec();
            let error = full.append_from(&mut buffer).await.unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
            assert_eq!((full.len(), buffer.as_slice()), (0, b"bytes".as_slice()));
            let missing = Path::new("/nowhere/at/all");
            let error = AppendFile::open(missing).await.err().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
            assert_eq!(remove_file(missing).await.unwrap_err().kind(), io::ErrorKind::NotFound);
            assert!(sync_dir(missing).await.is_err());
            assert!(rename(missing, Path::new("/tmp")).await.is_err());
            assert!(create_dir_all(Path::new("/dev/null/x")).await.is_err());
        });
    }

    #[test]
    fn an_abandoned_write_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let seen = path.clone();
        on_core(move || async move {
            let mut file = AppendFile::open(&path).await.unwrap();
            // The write cannot end before the file threads are free again.
            let mut gates = Vec::new();
            for _ in 0..MAX_THREADS {
                let (gate, closed) = std::sync::mpsc::channel::<()>();
                let _ = start_in(&POOL, move || closed.recv()).await.unwrap();
                gates.push(gate);
            }
            let mut large = vec![b'a'; 8 << 20];
            {
                let mut write = std::pin::pin!(file.append_from(&mut large));
                assert!(futures_lite::future::poll_once(write.as_mut()).await.is_none());
            }
            drop(gates);
            file.append(b"b".to_vec()).await.unwrap();
            assert_eq!(file.len(), (8 << 20) + 1);
        });
        let bytes = std::fs::read(seen).unwrap();
        assert_eq!((bytes.len(), bytes[8 << 20]), ((8 << 20) + 1, b'b'));
    }

    #[test]
    fn names_change() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        std::fs::write(&from, "new").unwrap();
        std::fs::write(&to, "old").unwrap();
        let (path, seen) = (folder.path().to_owned(), to.clone());
        on_core(move || async move {
            rename(&from, &to).await.unwrap();
            sync_dir(&path).await.unwrap();
            assert_eq!(std::fs::read_to_string(&to).unwrap(), "new");
            remove_file(&to).await.unwrap();
        });
        assert!(!seen.exists());
    }
}
