//! The file source's task: one record a line, without a copy between the file and the converter.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use millrace_api::converters::{Arena, Schema, SchemaAndValue, SchemaType, Value};
use millrace_api::error::ConnectError;
use millrace_api::record::{Origin, Record};
use millrace_api::source::offsets::Scalar;
use millrace_api::source::{OffsetMap, Polled, SourceRecord, SourceTask, SourceTaskContext};
use millrace_api::{Config, LocalFuture};
use millrace_net::rt::{self, ReadFile};

use super::config;
use super::input::Input;
use super::lines::{Line, Utf16Count, decode, next_line};
use super::source::{FILENAME, POSITION, file_of};

/// What is read at once: fits the second-level cache, and holds a batch of usual lines.
const CHUNK: usize = 512 << 10;
/// How long to wait at the end of the file; the JVM waits a second.
const AT_END: Duration = Duration::from_millis(100);
/// How often a file that is missing is looked for, and one that stands still is measured.
const LOOK: Duration = Duration::from_secs(1);

/// Reads lines and remembers how far it came.
#[derive(Default)]
pub struct FileStreamSourceTask {
    running: Option<Running>,
}

struct Running {
    context: Rc<SourceTaskContext>,
    /// `None`: the standard input.
    file: Option<String>,
    topic: String,
    batch: usize,
    line_max: usize,
    /// The end of the file is the task's end.
    until_end: bool,
    schema: Arc<Schema>,
    partition: OffsetMap,
    partition_number: u32,
    input: Option<Input>,
    /// `buffer[start..end]` was read and is not sent yet. Records borrow from it until the next
    /// poll, when it is this task's alone again.
    buffer: Arc<[u8]>,
    start: usize,
    end: usize,
    /// Bytes of the file before `buffer[start]`.
    position: u64,
    /// The last batch was full: whole lines are left.
    left: bool,
    /// When to look again for what is missing or wrong.
    next_look: Instant,
    warned: bool,
}

impl Running {
    fn start(config: &Config, context: Rc<SourceTaskContext>) -> Result<Self, ConnectError> {
        let parsed = config::source_config_def().parse(config).map_err(crate::refused)?;
        let name = parsed.get(config::FILE).map(str::to_owned);
        let partition = vec![(FILENAME.to_owned(), name.map_or(Scalar::Null, Scalar::String))];
        Ok(Self {
            file: file_of(config).map(str::to_owned),
            topic: parsed.string(config::TOPIC).to_owned(),
            batch: usize::try_from(parsed.long(config::BATCH_SIZE)).unwrap_or(1).max(1),
            line_max: parsed.long(config::LINE_MAX) as usize,
            until_end: parsed.bool(config::UNTIL_END),
            schema: Arc::new(Schema::new(SchemaType::String)),
            partition_number: context.partition(partition.clone()),
            partition,
            context,
            input: None,
            buffer: Arc::new([]),
            start: 0,
            end: 0,
            position: 0,
            left: false,
            next_look: Instant::now(),
            warned: false,
        })
    }

    async fn poll<'a>(
        &mut self,
        arena: &'a Arena,
        out: &mut Vec<SourceRecord<'a>>,
    ) -> Result<Polled, ConnectError> {
        if self.input.is_none() && !self.open().await? {
            rt::sleep(AT_END).await;
            return Ok(Polled::More);
        }
        // Half a buffer of lines is a batch; less is topped up first.
        let fresh = if self.left && self.end - self.start >= self.buffer.len() / 2 {
            0
        } else {
            self.fill().await?
        };
        let ended = fresh == 0 && !self.left && self.until_end;
        if fresh > 0 || self.left || ended {
            self.take_lines(arena, out, ended);
        }
        if ended {
            return Ok(Polled::Finished);
        }
        if out.is_empty() && fresh == 0 {
            self.look_at_the_end().await;
            rt::sleep(AT_END).await;
        }
        Ok(Polled::More)
    }

    /// Opens the file and finds its place; `false` while there is none.
    async fn open(&mut self) -> Result<bool, ConnectError> {
        let now = Instant::now();
        if now < self.next_look {
            return Ok(false);
        }
        self.next_look = now + LOOK;
        let input = match Input::open(self.file.as_deref()).await {
            Ok(input) => input,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !std::mem::replace(&mut self.warned, true) {
                    let (task, file) = (&self.context.task, self.name());
                    tracing::warn!(
                        %task,
                        "Couldn't find file {file} for FileStreamSourceTask, sleeping to wait for \
                         it to be created"
                    );
                }
                return Ok(false);
            }
            Err(error) => return Err(self.failed("open", error)),
        };
        self.warned = false;
        self.buffer = vec![0; CHUNK.min(self.line_max.saturating_mul(2)).max(1 << 10)].into();
        self.position = match self.stored()? {
            Some(stored) => self.place(&input, stored).await?,
            None => 0,
        };
        self.input = Some(input);
        Ok(true)
    }

    fn stored(&self) -> Result<Option<u64>, ConnectError> {
        let Some(offset) = self.context.offset(&self.partition).filter(|_| self.file.is_some())
        else {
            return Ok(None);
        };
        match offset.iter().find(|(name, _)| name == POSITION) {
            None | Some((_, Scalar::Null)) => Ok(None),
            Some((_, Scalar::Int(position))) => Ok(u64::try_from(*position).ok()),
            Some(_) => Err(ConnectError::fatal("Offset position is the incorrect type")),
        }
    }

    /// The byte that a stored position means. Ours is a number of bytes. The JVM's task counts UTF-16
    /// units, and goes on at the wrong byte if a character before it takes more bytes than units. We
    /// tell by this: a number of bytes has a line's end before it.
    async fn place(&mut self, input: &Input, stored: u64) -> Result<u64, ConnectError> {
        let Input::File(file) = input else { return Ok(stored) };
        let found = line_start(file, &mut self.buffer, stored).await;
        let at = found.map_err(|error| self.failed("read", error))?;
        if at != stored {
            let (task, file) = (&self.context.task, self.name());
            tracing::info!(%task, "position {stored} in {file} counts characters; byte {at}");
        }
        Ok(at)
    }

    /// Reads on behind what is there; gives the number of new bytes.
    async fn fill(&mut self) -> Result<usize, ConnectError> {
        self.make_room()?;
        let Some(input) = &mut self.input else { return Ok(0) };
        let at = self.position + (self.end - self.start) as u64;
        let range = self.end..self.buffer.len();
        let read = input.read(&mut self.buffer, range, at).await;
        let read = read.map_err(|error| self.failed("read", error))?;
        self.end += read;
        Ok(read)
    }

    /// Moves what is left to the buffer's beginning, into a larger buffer if one line fills it.
    fn make_room(&mut self) -> Result<(), ConnectError> {
        let (length, held) = (self.buffer.len(), self.end - self.start);
        let wanted = if held == length {
            if held > self.line_max {
                return Err(ConnectError::fatal(format!(
                    "The line at byte {} of {} is longer than {} bytes; set \
                     millrace.file.line.max.bytes to more, or mend the file",
                    self.position,
                    self.name(),
                    self.line_max
                )));
            }
            length * 2
        } else if length > CHUNK && held < CHUNK / 2 {
            // The long line is through.
            CHUNK
        } else {
            length
        };
        match Arc::get_mut(&mut self.buffer).filter(|_| wanted == length) {
            Some(_) if self.start == 0 => {}
            Some(bytes) => bytes.copy_within(self.start..self.end, 0),
            None => {
                let mut bytes = vec![0; wanted];
                bytes[..held].copy_from_slice(&self.buffer[self.start..self.end]);
                self.buffer = bytes.into();
            }
        }
        (self.start, self.end) = (0, held);
        Ok(())
    }

    /// Appends whole lines as records, a batch at most; at the end also the last, whole or not.
    fn take_lines<'a>(&mut self, arena: &'a Arena, out: &mut Vec<SourceRecord<'a>>, ended: bool) {
        let bytes = &arena.pin_bytes(&self.buffer)[self.start..self.end];
        // One check for all lines; those from the first mistake on are decoded one by one.
        let valid = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
        };
        let topic = arena.alloc_str(&self.topic);
        let schema = Some(arena.pin_schema(&self.schema));
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let timestamp = now.ok().map(|since| since.as_millis() as i64);
        let (tracked, mut at) = (self.file.is_some(), 0);
        let length = bytes.len();
        let last = Line { end: length - usize::from(bytes.ends_with(b"\r")), next: length };
        let rest = |at| (ended && at < length).then_some(last);
        while let Some(line) = next_line(bytes, at).or_else(|| rest(at)) {
            if out.len() == self.batch {
                break;
            }
            let text =
                valid.get(at..line.end).unwrap_or_else(|| match decode(&bytes[at..line.end]) {
                    std::borrow::Cow::Borrowed(text) => text,
                    std::borrow::Cow::Owned(text) => arena.alloc_str(&text),
                });
            at = line.next;
            let position = (self.position + at as u64) as i64;
            let position = if tracked { Value::Int64(position) } else { Value::Null };
            out.push(SourceRecord {
                record: Record {
                    topic,
                    partition: None,
                    timestamp,
                    key: SchemaAndValue::default(),
                    value: SchemaAndValue { schema, value: Value::Str(text) },
                    headers: &[],
                    origin: Origin::Source { index: out.len() as u32 },
                },
                source_partition: self.partition_number,
                source_offset: arena.bump().alloc([(POSITION, position)]),
            });
        }
        self.start += at;
        self.position += at as u64;
        self.left = out.len() == self.batch;
    }

    /// Says so when the file is shorter than what was read of it: it was cut or replaced in place, and
    /// like the JVM we read on only when it has grown beyond that.
    async fn look_at_the_end(&mut self) {
        let (now, Some(Input::File(file))) = (Instant::now(), &self.input) else { return };
        if now < self.next_look {
            return;
        }
        self.next_look = now + LOOK;
        let read = self.position + (self.end - self.start) as u64;
        let Ok(length) = file.len().await else { return };
        if length < read && !self.warned {
            let (task, file) = (&self.context.task, self.name());
            tracing::warn!(
                %task,
                "{file} has {length} bytes, but {read} were read: it was cut. Nothing is read until it \
                 is longer; to read it anew, stop the connector and delete its offsets"
            );
        }
        self.warned = length < read;
    }

    fn name(&self) -> &str {
        self.file.as_deref().unwrap_or("stdin")
    }

    fn failed(&self, verb: &str, error: io::Error) -> ConnectError {
        let remedy = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                ": the worker's user may not read it; change the permissions or `file`"
            }
            io::ErrorKind::IsADirectory => ": it is a folder; name a file in it",
            _ => "",
        };
        ConnectError::fatal(format!("Couldn't {verb} {}{remedy}", self.name())).caused_by(error)
    }
}

/// Whether a line ends just before `at`; beyond the end of the file, nobody can tell.
async fn ends_line(file: &ReadFile, buffer: &mut Arc<[u8]>, at: u64) -> io::Result<bool> {
    let Some(before) = at.checked_sub(1) else { return Ok(true) };
    let read = file.read_at(buffer, 0..1, before).await?;
    Ok(read == 0 || matches!(buffer[0], b'\n' | b'\r'))
}

/// The byte that `stored` means: itself, unless only as a number of UTF-16 units it stands at a
/// line's start.
async fn line_start(file: &ReadFile, buffer: &mut Arc<[u8]>, stored: u64) -> io::Result<u64> {
    if ends_line(file, buffer, stored).await? {
        return Ok(stored);
    }
    let (mut count, mut at, length) = (Utf16Count::new(stored), 0, buffer.len());
    loop {
        let read = file.read_at(buffer, 0..length, at).await?;
        if read == 0 || count.take(&buffer[..read]) {
            break;
        }
        at += read as u64;
        rt::yield_if_needed().await;
    }
    Ok(if ends_line(file, buffer, count.bytes).await? { count.bytes } else { stored })
}

impl SourceTask for FileStreamSourceTask {
    fn start<'a>(
        &'a mut self,
        config: &'a Config,
        context: Rc<SourceTaskContext>,
    ) -> LocalFuture<'a, Result<(), ConnectError>> {
        let started = Running::start(config, context).map(|running| self.running = Some(running));
        Box::pin(std::future::ready(started))
    }

    fn poll<'f, 'a: 'f>(
        &'f mut self,
        arena: &'a Arena,
        out: &'f mut Vec<SourceRecord<'a>>,
    ) -> LocalFuture<'f, Result<Polled, ConnectError>> {
        Box::pin(async move {
            let Some(running) = &mut self.running else {
                return Err(ConnectError::fatal("The file source was used before it was started"));
            };
            running.poll(arena, out).await
        })
    }

    fn stop(&mut self) -> LocalFuture<'_, ()> {
        self.running = None;
        Box::pin(std::future::ready(()))
    }
}
