//! Files that grow: written in large chunks at their end, off the core's back.

use std::io;
use std::path::Path;

/// A file that is appended to. It is opened with `O_APPEND`: what several writers of one file hand
/// over lands one after the other, never one over the other. The tracked end counts our own writes.
pub struct AppendFile {
    file: glommio::io::BufferedFile,
    end: u64,
}

fn lift<T>(error: glommio::GlommioError<T>) -> io::Error {
    error.into()
}

impl AppendFile {
    /// Opens for appending, creating the file if it is not there.
    pub async fn open(path: &Path) -> io::Result<Self> {
        let file = glommio::io::OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .buffered_open(path)
            .await
            .map_err(lift)?;
        let end = file.file_size().await.map_err(lift)?;
        Ok(Self { file, end })
    }

    /// Where the next write goes.
    pub fn len(&self) -> u64 {
        self.end
    }

    pub fn is_empty(&self) -> bool {
        self.end == 0
    }

    /// Writes the whole buffer at the end. Chunks of 256 KiB and more are what it is made for. On an
    /// error nothing is said to be written; part of it may be (a full disk takes what still fits).
    pub async fn append(&mut self, buffer: Vec<u8>) -> io::Result<()> {
        let length = buffer.len();
        if length == 0 {
            return Ok(());
        }
        // The engine takes the buffer and does not give it back, so going on after a short write
        // would need a copy of every chunk for the sake of a disk that is full anyway.
        let written = self.file.write_at(buffer, self.end).await.map_err(lift)?;
        self.end += written as u64;
        if written == length {
            return Ok(());
        }
        let why = format!("only {written} of {length} bytes were taken: is the disk full?");
        Err(io::Error::new(io::ErrorKind::StorageFull, why))
    }

    /// Makes what was written durable.
    pub async fn sync(&self) -> io::Result<()> {
        self.file.fdatasync().await.map_err(lift)
    }

    /// Cuts the file back to `end`, for taking up after a crash.
    pub async fn truncate(&mut self, end: u64) -> io::Result<()> {
        self.file.truncate(end).await.map_err(lift)?;
        self.end = end;
        Ok(())
    }

    pub async fn close(self) -> io::Result<()> {
        self.file.close().await.map_err(lift)
    }
}
