//! Where the lines come from: a file by position, or a stream: the standard input, a named pipe.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use millrace_net::rt::ReadFile;

/// Pieces of a stream that may wait for the task.
const WAITING: usize = 4;
/// A stream is read in pieces of at most this size.
const PIECE: usize = 64 << 10;

type Pieces = flume::Receiver<io::Result<Vec<u8>>>;

/// An open source.
pub enum Input {
    File(ReadFile),
    Stream(Stream),
}

/// A stream, read on a thread of its own: whoever writes it may stop for as long as he likes.
pub struct Stream {
    pieces: Pieces,
    /// Of the last piece, what did not fit.
    left: Vec<u8>,
}

impl Input {
    /// Opens the file; `None` is the standard input.
    pub async fn open(path: Option<&str>) -> io::Result<Self> {
        let Some(path) = path else {
            return Ok(Self::Stream(Stream::of(standard_input()?)));
        };
        let file = ReadFile::open(Path::new(path)).await?;
        if file.is_regular() {
            return Ok(Self::File(file));
        }
        let path = PathBuf::from(path);
        Ok(Self::Stream(Stream::of(read_aside(move || File::open(path))?)))
    }

    /// Reads into `buffer[range]`, of a file what stands at `at`; 0: nothing for now.
    pub async fn read(
        &mut self,
        buffer: &mut Arc<[u8]>,
        range: Range<usize>,
        at: u64,
    ) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read_at(buffer, range, at).await,
            Self::Stream(stream) => {
                let place = Arc::get_mut(buffer)
                    .and_then(|bytes| bytes.get_mut(range))
                    .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
                stream.read(place)
            }
        }
    }
}

impl Stream {
    fn of(pieces: Pieces) -> Self {
        Self { pieces, left: Vec::new() }
    }

    fn read(&mut self, place: &mut [u8]) -> io::Result<usize> {
        if self.left.is_empty() {
            match self.pieces.try_recv() {
                Ok(piece) => self.left = piece?,
                // Nothing there now, or nothing any more; as in the JVM the task waits on.
                Err(_) => return Ok(0),
            }
        }
        let count = self.left.len().min(place.len());
        place[..count].copy_from_slice(&self.left[..count]);
        self.left.drain(..count);
        Ok(count)
    }
}

/// The process has one standard input: what one task did not take, the next one finds.
fn standard_input() -> io::Result<Pieces> {
    static PIECES: OnceLock<Pieces> = OnceLock::new();
    if let Some(pieces) = PIECES.get() {
        return Ok(pieces.clone());
    }
    let pieces = read_aside(|| Ok(io::stdin()))?;
    Ok(PIECES.get_or_init(|| pieces).clone())
}

/// Reads until the end, an error, or nobody takes the pieces. The thread may outlive its task while
/// it waits for a writer.
fn read_aside<R: Read>(
    open: impl FnOnce() -> io::Result<R> + Send + 'static,
) -> io::Result<Pieces> {
    let (give, take) = flume::bounded(WAITING);
    std::thread::Builder::new().name("file-source".to_owned()).spawn(move || {
        let mut source = match open() {
            Ok(source) => source,
            Err(error) => return drop(give.send(Err(error))),
        };
        let mut buffer = vec![0; PIECE];
        loop {
            let piece = match source.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => Ok(buffer[..count].to_vec()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let failed = piece.is_err();
            if give.send(piece).is_err() || failed {
                return;
            }
        }
    })?;
    Ok(take)
}
