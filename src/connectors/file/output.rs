//! Where the lines go: a file that grows, or the standard output.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use millrace_api::error::ConnectError;
use millrace_net::rt::AppendFile;

/// Chunks that may wait for a terminal or pipe that does not take them.
const WAITING: usize = 4;

/// An open destination.
pub enum Output {
    File { file: AppendFile, path: PathBuf },
    Stdout(Stdout),
}

/// The standard output, written on a thread of its own: whoever reads it may stop reading, and that
/// must not stop the core.
pub struct Stdout {
    chunks: flume::Sender<Chunk>,
}

struct Chunk {
    bytes: Vec<u8>,
    done: flume::Sender<(io::Result<()>, Vec<u8>)>,
}

impl Output {
    /// Opens the file for appending, creating it if need be; `None` is the standard output.
    pub async fn open(path: Option<&str>) -> Result<Self, ConnectError> {
        let Some(path) = path.filter(|path| !path.is_empty()) else {
            return Stdout::start().map(Self::Stdout).map_err(|error| {
                ConnectError::fatal("Couldn't start writing to stdout").caused_by(error)
            });
        };
        match AppendFile::open_shared(Path::new(path)).await {
            Ok(file) => Ok(Self::File { file, path: path.into() }),
            Err(error) => Err(ConnectError::fatal(format!(
                "Couldn't find or create file '{path}' for FileStreamSinkTask{}",
                remedy(&error)
            ))
            .caused_by(error)),
        }
    }

    /// Writes the whole buffer and empties it.
    pub async fn append(&mut self, bytes: &mut Vec<u8>) -> Result<(), ConnectError> {
        let (result, name) = match self {
            Self::File { file, path } => (file.append_from(bytes).await, path.as_path()),
            Self::Stdout(stdout) => (stdout.append(bytes).await, Path::new("stdout")),
        };
        result.map_err(|error| {
            ConnectError::fatal(format!(
                "Couldn't write to '{}'{}; offsets are committed only up to what was written, \
                 so a restarted task goes on from there",
                name.display(),
                remedy(&error)
            ))
            .caused_by(error)
        })
    }

    pub async fn sync(&self) -> Result<(), ConnectError> {
        let Self::File { file, path } = self else { return Ok(()) };
        file.sync().await.map_err(|error| {
            let path = path.display();
            ConnectError::fatal(format!("Couldn't sync '{path}' to the disk{}", remedy(&error)))
                .caused_by(error)
        })
    }

    pub async fn close(self) {
        if let Self::File { file, path } = self
            && let Err(error) = file.close().await
        {
            tracing::warn!(path = %path.display(), %error, "closing the file failed");
        }
    }
}

/// What the user can do about it.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => ": its folder does not exist; create it or change `file`",
        io::ErrorKind::PermissionDenied => {
            ": the worker's user may not write there; change the permissions or `file`"
        }
        io::ErrorKind::ReadOnlyFilesystem => ": the file system is read-only; change `file`",
        io::ErrorKind::IsADirectory => ": it is a folder; name a file in it",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            ": no space is left; make room and restart the task"
        }
        io::ErrorKind::FileTooLarge => ": the file has reached the largest size allowed",
        io::ErrorKind::BrokenPipe => ": nobody reads it any more",
        _ => "",
    }
}

impl Stdout {
    fn start() -> io::Result<Self> {
        let (chunks, inbox) = flume::bounded::<Chunk>(WAITING);
        std::thread::Builder::new().name("stdout".to_owned()).spawn(move || {
            for Chunk { bytes, done } in inbox {
                let mut out = io::stdout().lock();
                let written = out.write_all(&bytes).and_then(|()| out.flush());
                let _ = done.send((written, bytes));
            }
        })?;
        Ok(Self { chunks })
    }

    async fn append(&self, buffer: &mut Vec<u8>) -> io::Result<()> {
        let (done, answer) = flume::bounded(1);
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        let bytes = std::mem::take(buffer);
        self.chunks.send_async(Chunk { bytes, done }).await.map_err(|_| gone())?;
        let (written, bytes) = answer.recv_async().await.map_err(|_| gone())?;
        *buffer = bytes;
        written?;
        buffer.clear();
        Ok(())
    }
}
