//! Files that grow: written in large chunks at their end, off the core's back.

use std::io;
use std::path::Path;

/// A file that is appended to. The tracked end is where the next write goes; nobody else may write
/// to it meanwhile.
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
            .write(true)
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

    /// Writes the whole buffer at the end and hands it back, emptied, for reuse where the engine
    /// allows it. Chunks of 256 KiB and more are what it is made for. On an error nothing is said
    /// to be written; part of it may be.
    pub async fn append(&mut self, buffer: Vec<u8>) -> io::Result<()> {
        let mut rest = buffer;
        while !rest.is_empty() {
            let length = rest.len();
            let tail = rest.clone();
            let written = self.file.write_at(rest, self.end).await.map_err(lift)?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.end += written as u64;
            if written == length {
                return Ok(());
            }
            rest = tail[written..].to_vec();
        }
        Ok(())
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
