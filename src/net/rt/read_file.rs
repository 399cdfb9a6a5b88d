//! Files that are read from front to back while somebody else may still write them.
//!
//! What the page cache holds is copied on the core (`RWF_NOWAIT`); what would have to wait for the
//! disk is read on the core's file threads.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use super::file::run;

/// A file opened for reading.
pub struct ReadFile {
    file: Arc<File>,
    regular: bool,
}

impl ReadFile {
    /// Opens it. Never waits for the writer of a named pipe.
    pub async fn open(path: &Path) -> io::Result<Self> {
        let path = path.to_owned();
        run(move || {
            let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
            let regular = file.metadata()?.is_file();
            Ok(Self { file: Arc::new(file), regular })
        })
        .await
    }

    /// `false`: a pipe, a terminal, a folder, …; [`Self::read_at`] is not for these.
    pub fn is_regular(&self) -> bool {
        self.regular
    }

    /// The file's length now.
    pub async fn len(&self) -> io::Result<u64> {
        let file = self.file.clone();
        run(move || Ok(file.metadata()?.len())).await
    }

    /// Reads into `buffer[range]` what stands at `at`; gives the number of bytes, 0 at the end. May
    /// give fewer than there are.
    ///
    /// # Errors
    /// As the system says; [`io::ErrorKind::InvalidInput`] when somebody else still holds the buffer
    /// or it is shorter than the range. If the future is dropped, the buffer may be left empty.
    pub async fn read_at(
        &self,
        buffer: &mut Arc<[u8]>,
        range: Range<usize>,
        at: u64,
    ) -> io::Result<usize> {
        let place = Arc::get_mut(buffer)
            .and_then(|bytes| bytes.get_mut(range.clone()))
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        if let Some(count) = read_cached(&self.file, place, at) {
            return Ok(count);
        }
        let (file, mut bytes) = (self.file.clone(), std::mem::replace(buffer, Arc::new([])));
        let (count, bytes) = run(move || {
            let read = Arc::get_mut(&mut bytes)
                .map_or(Err(io::ErrorKind::InvalidInput.into()), |all| {
                    file.read_at(&mut all[range], at)
                });
            Ok((read, bytes))
        })
        .await?;
        *buffer = bytes;
        count
    }
}

/// What can be had without waiting; `None` when a thread must find out, be it the bytes, the end or
/// an error.
fn read_cached(file: &File, place: &mut [u8], at: u64) -> Option<usize> {
    let at = libc::off_t::try_from(at).ok()?;
    let slice = libc::iovec { iov_base: place.as_mut_ptr().cast(), iov_len: place.len() };
    // SAFETY: the one slice is `place`, which is borrowed for the whole call; the descriptor is open
    // as long as `file`.
    let read = unsafe { libc::preadv2(file.as_raw_fd(), &slice, 1, at, libc::RWF_NOWAIT) };
    usize::try_from(read).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::on_core;

    #[test]
    fn reads_by_position_to_an_end_that_moves() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        std::fs::write(&path, b"0123456789").unwrap();
        on_core(move || async move {
            let file = ReadFile::open(&path).await.unwrap();
            assert!(file.is_regular());
            let mut buffer: Arc<[u8]> = vec![0; 16].into();
            assert_eq!(file.read_at(&mut buffer, 2..16, 3).await.unwrap(), 7);
            assert_eq!(&buffer[2..9], b"3456789");
            assert_eq!(file.read_at(&mut buffer, 0..16, 10).await.unwrap(), 0);
            assert_eq!(file.read_at(&mut buffer, 0..16, 1 << 40).await.unwrap(), 0);
            std::fs::write(&path, b"0123456789ab").unwrap();
            assert_eq!(file.len().await.unwrap(), 12);
            assert_eq!(file.read_at(&mut buffer, 0..16, 10).await.unwrap(), 2);
            let held = buffer.clone();
            let refused = file.read_at(&mut buffer, 0..16, 0).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
            drop(held);
            assert!(file.read_at(&mut buffer, 0..17, 0).await.is_err());
        });
    }

    #[test]
    fn what_is_no_file_is_told_and_errors_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        on_core(move || async move {
            let there = ReadFile::open(&path).await.unwrap();
            assert!(!there.is_regular());
            let mut buffer: Arc<[u8]> = vec![0; 16].into();
            let error = there.read_at(&mut buffer, 0..16, 0).await.unwrap_err();
            assert_eq!((error.kind(), buffer.len()), (io::ErrorKind::IsADirectory, 16));
            let missing = ReadFile::open(&path.join("nowhere")).await.err().unwrap();
            assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        });
    }
}
