//! The file sink's task: one line a record.

use std::rc::Rc;
use std::time::{Duration, Instant};

use millrace_api::error::ConnectError;
use millrace_api::record::Record;
use millrace_api::sink::{Need, Needs, Offsets, SinkTask, SinkTaskContext};
use millrace_api::{Config, LocalFuture};

use super::config;
use super::output::Output;
use crate::text;

/// A write's size: large enough that its system call costs nothing beside the copy.
const CHUNK: usize = 256 << 10;

/// What a chunk may run over by before its buffer must grow.
const SLACK: usize = 16 << 10;

/// How long a line may wait for its chunk to fill while records keep coming.
const LINGER: Duration = Duration::from_millis(100);

/// Writes `value.toString()` and a line feed. Durable means handed to the operating system, as in
/// the JVM, or synced to the disk if `millrace.file.sync` says so.
#[derive(Default)]
pub struct FileStreamSinkTask {
    output: Option<Output>,
    sync: bool,
    buffer: Vec<u8>,
    /// When the first byte came into the buffer.
    waiting_since: Option<Instant>,
    context: Rc<SinkTaskContext>,
}

impl FileStreamSinkTask {
    async fn write(&mut self, records: &[Record<'_>]) -> Result<(), ConnectError> {
        for record in records {
            text::write_string(&record.value.value, &mut self.buffer);
            self.buffer.push(b'\n');
            if self.buffer.len() >= CHUNK {
                self.flush().await?;
            }
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        if records.is_empty() || since.elapsed() >= LINGER {
            return self.flush().await;
        }
        // The next poll does not wait: if it finds nothing, lines are written at once, as the JVM's.
        self.context.timeout(Duration::ZERO);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), ConnectError> {
        self.waiting_since = None;
        if self.buffer.is_empty() {
            return Ok(());
        }
        let Some(output) = &mut self.output else {
            return Err(ConnectError::fatal("The file sink was used before it was started"));
        };
        output.append(&mut self.buffer).await?;
        // A record may have been far larger than a chunk.
        self.buffer.shrink_to(2 * CHUNK);
        Ok(())
    }

    async fn make_durable(&mut self) -> Result<(), ConnectError> {
        self.flush().await?;
        match &self.output {
            Some(output) if self.sync => output.sync().await,
            _ => Ok(()),
        }
    }
}

impl SinkTask for FileStreamSinkTask {
    fn start<'a>(
        &'a mut self,
        config: &'a Config,
        context: Rc<SinkTaskContext>,
    ) -> LocalFuture<'a, Result<(), ConnectError>> {
        Box::pin(async move {
            let parsed = config::sink_config_def().parse(config).map_err(crate::refused)?;
            self.sync = parsed.bool(config::SYNC);
            self.context = context;
            self.output = Some(Output::open(parsed.get(config::FILE)).await?);
            self.buffer.reserve(CHUNK + SLACK);
            Ok(())
        })
    }

    fn needs(&self) -> Needs {
        Needs { key: Need::Nothing, value: Need::Json, headers: false }
    }

    fn put<'a>(
        &'a mut self,
        records: &'a [Record<'a>],
    ) -> LocalFuture<'a, Result<(), ConnectError>> {
        Box::pin(self.write(records))
    }

    fn pre_commit<'a>(
        &'a mut self,
        consumed: &'a Offsets,
    ) -> LocalFuture<'a, Result<Offsets, ConnectError>> {
        Box::pin(async move {
            self.make_durable().await?;
            Ok(consumed.clone())
        })
    }

    fn finish(&mut self) -> LocalFuture<'_, Result<(), ConnectError>> {
        Box::pin(self.make_durable())
    }

    fn stop(&mut self) -> LocalFuture<'_, ()> {
        Box::pin(async move {
            if let Err(error) = self.flush().await {
                tracing::warn!(task = %self.context.task, %error, "the last lines were not written");
            }
            if let Some(output) = self.output.take() {
                output.close().await;
            }
        })
    }
}
