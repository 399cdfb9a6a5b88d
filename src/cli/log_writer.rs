//! Log lines on their way to standard error: a bounded queue and a thread of its own, so that a
//! reader that is slow, or stands still, never holds a core. Lines that find the queue full are
//! counted and dropped; the log says how many.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use millrace_net::account;
use tracing_subscriber::fmt::MakeWriter;

/// Lines and bytes that may wait.
const LINES: usize = 8192;
const BYTES: usize = 8 << 20;
/// Bytes that are written at once.
const CHUNK: usize = 64 << 10;
/// How long the process' end waits for the log.
const FLUSH: Duration = Duration::from_secs(1);

enum Message {
    Line(Vec<u8>),
    Flush(flume::Sender<()>),
}

/// The process' one queue.
struct Queue {
    sender: flume::Sender<Message>,
    bytes: AtomicUsize,
    dropped: AtomicU64,
}

static QUEUE: OnceLock<Queue> = OnceLock::new();

/// Gives `tracing` its writers; the queue's thread starts with the first.
#[derive(Clone, Copy)]
pub(crate) struct LogWriter;

impl LogWriter {
    /// Starts the thread; without one, lines go to standard error directly. `notice` makes the line
    /// that tells of dropped ones.
    pub(crate) fn start(notice: fn(u64) -> String) -> Self {
        let (sender, lines) = flume::bounded(LINES);
        let queue = Queue { sender, bytes: AtomicUsize::new(0), dropped: AtomicU64::new(0) };
        if QUEUE.get().is_none() {
            let started = std::thread::Builder::new()
                .name("log".to_owned())
                .spawn(move || write_all(&lines, &mut io::stderr(), notice));
            if started.is_ok() {
                let _ = QUEUE.set(queue);
            }
        }
        Self
    }
}

/// Lines dropped since the start.
pub(crate) fn dropped() -> u64 {
    QUEUE.get().map_or(0, |queue| queue.dropped.load(Ordering::Relaxed))
}

/// Waits until all lines so far are written, for a limited time.
pub(crate) fn flush() {
    let Some(queue) = QUEUE.get() else { return };
    let (done, written) = flume::bounded(1);
    if queue.sender.send_timeout(Message::Flush(done), FLUSH).is_ok() {
        let _ = written.recv_timeout(FLUSH);
    }
}

/// The loop of the thread. A standard error that is closed takes nothing; the lines are let go.
fn write_all(lines: &flume::Receiver<Message>, out: &mut impl Write, notice: fn(u64) -> String) {
    let mut chunk = Vec::new();
    let mut told = 0;
    while let Ok(first) = lines.recv() {
        let mut next = Some(first);
        let mut flushed = Vec::new();
        while let Some(message) = next {
            match message {
                Message::Line(line) => {
                    if let Some(queue) = QUEUE.get() {
                        queue.bytes.fetch_sub(line.len(), Ordering::Relaxed);
                    }
                    chunk.extend_from_slice(&line);
                }
                Message::Flush(done) => flushed.push(done),
            }
            next = if chunk.len() < CHUNK { lines.try_recv().ok() } else { None };
        }
        let dropped = dropped();
        if dropped > told {
            chunk.extend_from_slice(notice(dropped - told).as_bytes());
            told = dropped;
        }
        let _ = out.write_all(&chunk);
        chunk.clear();
        for done in flushed {
            let _ = done.try_send(());
        }
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line
    }
}

/// Takes one event's text, which comes in one piece.
pub(crate) struct Line;

impl Write for Line {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let Some(queue) = QUEUE.get() else { return io::stderr().write(text) };
        let waiting = queue.bytes.fetch_add(text.len(), Ordering::Relaxed);
        let taken = waiting + text.len() <= BYTES
            && account::aside(|| queue.sender.try_send(Message::Line(text.to_vec()))).is_ok();
        if !taken {
            queue.bytes.fetch_sub(text.len(), Ordering::Relaxed);
            queue.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
