//! Where latencies are taken: at a destination that the bench owns.
//!
//! The null sink writes down when it took each record (`null.latency.file`); the file that a
//! FileStream sink writes is read as it grows. Neither asks the worker, so they check its own figures.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use millrace_api::Config;

use super::latency::Delivery;

/// Deliveries of a run that are kept, 16 bytes each.
const MOST: usize = 50_000_000;

pub(super) enum Tap {
    /// What the null sink wrote down.
    NullSink(PathBuf),
    /// A file read as it grows.
    Tail(Tail),
}

impl Tap {
    /// The tap that fits the sink, which may get a key for it; `None` where there is none.
    pub(super) fn of(class: &str, connector: &mut Config, dir: &Path) -> Option<Self> {
        match class {
            "millrace.NullSinkConnector" => {
                let path = dir.join("latencies");
                connector.insert("null.latency.file".to_owned(), path.display().to_string());
                Some(Self::NullSink(path))
            }
            "org.apache.kafka.connect.file.FileStreamSinkConnector" => {
                let path = connector.get("file").filter(|path| !path.is_empty())?;
                Tail::start(Path::new(path)).ok().map(Self::Tail)
            }
            _ => None,
        }
    }

    /// Everything that was delivered; the measured process has ended.
    pub(super) fn deliveries(self) -> std::io::Result<Vec<Delivery>> {
        match self {
            Self::NullSink(path) => {
                let mut all = Vec::new();
                let prefix = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                // One file a task.
                for entry in std::fs::read_dir(path.parent().unwrap_or(Path::new(".")))? {
                    let entry = entry?;
                    if entry.file_name().to_string_lossy().starts_with(&prefix) {
                        all.extend(pairs(&std::fs::read(entry.path())?));
                    }
                }
                all.sort_by_key(|delivery| delivery.at);
                Ok(all)
            }
            Self::Tail(tail) => Ok(tail.end()),
        }
    }
}

/// Due time in ms and time of delivery in µs, both big-endian.
fn pairs(bytes: &[u8]) -> impl Iterator<Item = Delivery> + '_ {
    let (pairs, _) = bytes.as_chunks::<16>();
    pairs.iter().map(|pair| {
        let number = u128::from_be_bytes(*pair);
        Delivery { due: (number >> 64) as i64 * 1000, at: number as i64 }
    })
}

/// Reads a file's new lines on a thread of its own.
pub(super) struct Tail {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Delivery>>,
}

impl Tail {
    fn start(path: &Path) -> std::io::Result<Self> {
        let mut file = File::options().read(true).append(true).create(true).open(path)?;
        file.seek(SeekFrom::End(0))?;
        let changes = Changes::of(path)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("tail".to_owned()).spawn(move || {
            let mut lines = Lines::default();
            loop {
                // The wish to stop is read before the file, so that nothing written before is missed.
                let last = stopped.load(Ordering::SeqCst);
                lines.read(&mut file);
                if last {
                    return lines.deliveries;
                }
                changes.wait();
            }
        })?;
        Ok(Self { stop, thread })
    }

    fn end(self) -> Vec<Delivery> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap_or_default()
    }
}

/// Complete lines, each with the time at which its end was there.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
    deliveries: Vec<Delivery>,
}

impl Lines {
    fn read(&mut self, file: &mut File) {
        let from = self.rest.len();
        if file.read_to_end(&mut self.rest).is_err() || self.rest.len() == from {
            return;
        }
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        self.take(now.map_or(0, |now| now.as_micros() as i64));
    }

    fn take(&mut self, at: i64) {
        let mut start = 0;
        while let Some(length) = self.rest[start..].iter().position(|byte| *byte == b'\n') {
            let line = &self.rest[start..start + length];
            if let Some(due) = due(line)
                && self.deliveries.len() < MOST
            {
                self.deliveries.push(Delivery { due: due * 1000, at });
            }
            start += length + 1;
        }
        self.rest.drain(..start);
    }
}

/// The time in the field `ts` of a line, in ms: JSON, or a Java map's text.
fn due(line: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(line).ok()?;
    let found = ["\"ts\":", "ts="].into_iter().find_map(|key| text.split_once(key));
    let digits: &str = found?.1;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// Tells when a file changes.
struct Changes(OwnedFd);

impl Changes {
    fn of(path: &Path) -> std::io::Result<Self> {
        let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes())?;
        // SAFETY: takes no pointer.
        let fd = unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) };
        if fd < 0 {
            return Err(std::io::Error::last_os_error());
        }
        // SAFETY: a descriptor just made, which nobody else owns.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: the path is a C string that outlives the call.
        let watch =
            unsafe { libc::inotify_add_watch(fd.as_raw_fd(), path.as_ptr(), libc::IN_MODIFY) };
        if watch < 0 {
            return Err(std::io::Error::last_os_error());
        }
        Ok(Self(fd))
    }

    /// Until the file has changed, for 50 ms at most.
    fn wait(&self) {
        let mut poll = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let mut events = [0_u8; 4096];
        // SAFETY: one pollfd and one buffer with its length, both live locals.
        unsafe {
            libc::poll(&mut poll, 1, 50);
            libc::read(self.0.as_raw_fd(), events.as_mut_ptr().cast(), events.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn times_are_found_in_json_and_in_javas_maps() {
        assert_eq!(due(br#"{"id":1,"ts":1700000000123,"x":"ts=9"}"#), Some(1_700_000_000_123));
        assert_eq!(due(b"{id=1, ts=1700000000123}"), Some(1_700_000_000_123));
        assert_eq!(due(b"{\"ts\":\"text\"}"), None);
        assert_eq!(due(b"nothing"), None);
    }

    #[test]
    fn lines_count_when_their_end_is_there() {
        let mut lines = Lines::default();
        lines.rest.extend_from_slice(b"{\"ts\":5}\n{\"ts\"");
        lines.take(10);
        lines.rest.extend_from_slice(b":6}\nno time\n");
        lines.take(20);
        let expected = [Delivery { due: 5_000, at: 10 }, Delivery { due: 6_000, at: 20 }];
        assert_eq!(lines.deliveries, expected);
        assert!(lines.rest.is_empty());
    }

    #[test]
    fn a_file_is_read_as_it_grows_from_where_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        std::fs::write(&path, "{\"ts\":1}\n").unwrap();
        let tail = Tail::start(&path).unwrap();
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"{\"ts\":2}\n{\"ts\":3}\n").unwrap();
        let due: Vec<i64> = tail.end().iter().map(|delivery| delivery.due).collect();
        assert_eq!(due, [2_000, 3_000]);
    }

    #[test]
    fn what_the_null_sink_wrote_down_is_read_back() {
        let mut bytes = Vec::new();
        for (due, at) in [(5_i64, 5_100_i64), (-1, 7)] {
            bytes.extend(due.to_be_bytes());
            bytes.extend(at.to_be_bytes());
        }
        bytes.push(1);
        let all: Vec<Delivery> = pairs(&bytes).collect();
        assert_eq!(all, [Delivery { due: 5_000, at: 5_100 }, Delivery { due: -1_000, at: 7 }]);
    }
}
