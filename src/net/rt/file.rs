//! Files that grow, and the folders they stand in.
//!
//! A buffered write of 256 KiB on ext4 costs 46 µs on the core that filled the buffer, whose caches
//! still hold it, and 150 to 180 µs on another thread or through the ring, which the kernel hands to a
//! thread as well. But it stops everything on the core while the disk is slower than its writers. So a
//! file is written on the core as long as that is quick, and on the core's file threads where it is not
//! or is not known to be: see [`Pace`].

use std::cell::{Cell, RefCell};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::watch::on_a_living_core;
use crate::offload::{Pool, Running, run_in, start_in};

/// Threads of one core for files: one to write while another waits for the disk.
const MAX_THREADS: usize = 2;

thread_local! {
    static POOL: RefCell<Pool> = RefCell::new(Pool::new("millrace-file", MAX_THREADS));
}

/// On the core's file threads.
pub(super) async fn run<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    run_in(&POOL, work).await?
}

/// Larger buffers always go to the file threads: about 0.2 ms of the core.
const MAX_ON_CORE: usize = 1 << 20;
/// A write that took longer, and slept, waited for the disk.
const QUICK: Duration = Duration::from_millis(4);
/// Quick writes on the file threads after which the core writes.
const FIRST_PROOF: u32 = 4;
/// The most that are asked for after the core was kept waiting again and again: a gigabyte or so.
const MOST_PROOF: u32 = 4096;

/// Where a file is to be written, by how its last writes went. A slow write on the core sends the file
/// to the threads until a number of writes in a row were quick there, four times as many each time; as
/// many on the core again make up for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pace {
    quick: u32,
    proof: u32,
}

impl Pace {
    const fn new() -> Self {
        Self { quick: 0, proof: FIRST_PROOF }
    }

    fn on_core(self) -> bool {
        self.quick >= self.proof
    }

    /// Takes note of a write, there or here.
    fn note(&mut self, quick: bool) {
        let was_on_core = self.on_core();
        if quick {
            self.quick += 1;
            if self.quick >= 2 * self.proof {
                self.proof = (self.proof / 4).max(FIRST_PROOF);
                self.quick = self.proof;
            }
        } else {
            self.quick = 0;
            if was_on_core {
                self.proof = (self.proof * 4).min(MOST_PROOF);
            }
        }
    }
}

/// How often this thread has gone to sleep of its own accord. Losing the processor to another thread
/// does not count: that is no fault of the disk.
fn sleeps() -> i64 {
    // SAFETY: rusage is plain data, for which zero is a value; the kernel fills it.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &mut usage);
        usage.ru_nvcsw
    }
}

/// What became of a write: the file's new end and whether it was quick; and the buffer.
type Written = (io::Result<(u64, bool)>, Vec<u8>);

/// Writes at `end`, or, in a file with several writers, wherever its end is.
fn write_at(file: &File, bytes: &[u8], end: u64, shared: bool) -> io::Result<(u64, bool)> {
    let (started, slept) = (Instant::now(), sleeps());
    let written = file.write_all_at(bytes, end);
    if written.is_err() && !shared {
        // Best effort: what is beyond the end is overwritten by the next append anyway.
        let _ = file.set_len(end);
    }
    let quick = started.elapsed() <= QUICK || sleeps() == slept;
    written.map(|()| (end + bytes.len() as u64, quick))
}

/// A file that is appended to. The tracked end is where the next write goes; nobody else may write
/// to it meanwhile, unless it was opened by [`AppendFile::open_shared`].
pub struct AppendFile {
    file: Arc<File>,
    shared: bool,
    end: Cell<u64>,
    /// `None`: not a regular file, whose writes may wait for ever.
    pace: Cell<Option<Pace>>,
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
        let (file, end, pace) = run(move || {
            let file = options.open(path)?;
            let metadata = file.metadata()?;
            Ok((file, metadata.len(), metadata.is_file().then(Pace::new)))
        })
        .await?;
        let (end, pace) = (Cell::new(end), Cell::new(pace));
        Ok(Self { file: Arc::new(file), shared, end, pace, pending: RefCell::default() })
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
        on_a_living_core().await;
        self.settle().await;
        if buffer.is_empty() {
            return Ok(());
        }
        if buffer.len() <= MAX_ON_CORE && self.pace.get().is_some_and(Pace::on_core) {
            self.written(write_at(&self.file, buffer, self.len(), self.shared))?;
            buffer.clear();
            return Ok(());
        }
        let (file, end, bytes) = (self.file.clone(), self.len(), std::mem::take(buffer));
        let shared = self.shared;
        let running =
            start_in(&POOL, move || (write_at(&file, &bytes, end, shared), bytes)).await?;
        self.pending.replace(Some(running.clone()));
        let outcome = running.wait().await;
        self.pending.replace(None);
        let (written, bytes) = outcome?;
        *buffer = bytes;
        self.written(written)?;
        buffer.clear();
        Ok(())
    }

    /// Takes over what a write says.
    fn written(&self, written: io::Result<(u64, bool)>) -> io::Result<()> {
        let (end, quick) = written?;
        self.end.set(end);
        if let Some(mut pace) = self.pace.get() {
            pace.note(quick);
            self.pace.set(Some(pace));
        }
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
        if let Ok((written, _)) = pending.wait().await {
            let _ = self.written(written);
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
            assert!(file.pace.get().is_some());
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
    fn slow_writes_leave_the_core_and_must_prove_themselves() {
        let mut pace = Pace::new();
        let prove = |pace: &mut Pace| {
            let mut needed = 0;
            while !pace.on_core() {
                pace.note(true);
                needed += 1;
            }
            needed
        };
        assert_eq!(prove(&mut pace), FIRST_PROOF);
        pace.note(false);
        assert!(!pace.on_core());
        // Slow on the threads: from the beginning, but no longer than before.
        pace.note(true);
        pace.note(false);
        assert_eq!(prove(&mut pace), 4 * FIRST_PROOF);
        for _ in 0..20 {
            pace.note(false);
            prove(&mut pace);
        }
        pace.note(false);
        assert_eq!(prove(&mut pace), MOST_PROOF);
        for _ in 0..2 * MOST_PROOF {
            pace.note(true);
            assert!(pace.on_core());
        }
        assert_eq!(pace.proof, FIRST_PROOF);
    }

    #[test]
    fn what_is_no_file_is_never_written_on_the_core() {
        on_core(|| async {
            let mut null = AppendFile::open(Path::new("/dev/null")).await.unwrap();
            for _ in 0..3 * FIRST_PROOF {
                null.append(vec![b'x'; 100]).await.unwrap();
            }
            assert_eq!((null.len(), null.pace.get()), (300 * u64::from(FIRST_PROOF), None));
        });
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
