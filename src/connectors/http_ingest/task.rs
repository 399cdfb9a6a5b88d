//! The HTTP ingest source's task: from the desk to the worker, and the worker's word back.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use millrace_api::converters::json::find_path;
use millrace_api::converters::{Arena, JsonText, Schema, SchemaAndValue, SchemaType, Value};
use millrace_api::error::ConnectError;
use millrace_api::record::{Header, Origin, Record};
use millrace_api::source::{NO_PARTITION, Polled, SourceRecord, SourceTask, SourceTaskContext};
use millrace_api::{Config, LocalFuture};
use millrace_net::http::ServerTls;
use millrace_net::offload;
use millrace_net::rt::{self, Task, TcpListener};

use super::config::{Format, KeyFrom, Settings};
use super::desk::{Desk, Part};
use super::listener::{Front, accept};

/// Records of a poll: bounds the arena, whatever clients send.
const BATCH: usize = 4000;
/// Bytes of bodies in a poll, as far as whole requests allow.
const BATCH_BYTES: usize = 1 << 20;
/// The longest wait in a poll, so that pause and stop are heard.
const WAIT: Duration = Duration::from_millis(250);
/// What clients have to take their last answers when the task stops.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Listens, and gives what comes.
#[derive(Default)]
pub struct HttpIngestSourceTask {
    running: Option<Running>,
}

struct Running {
    front: Rc<Front>,
    /// Accepts until it is dropped.
    _acceptor: Task<()>,
    schemas: Schemas,
}

struct Schemas {
    string: Arc<Schema>,
    bytes: Arc<Schema>,
}

impl Running {
    async fn start(config: &Config, context: &SourceTaskContext) -> Result<Self, ConnectError> {
        let settings = Settings::of(config).map_err(crate::refused)?;
        let tls = match settings.tls.clone() {
            None => None,
            Some((chain, key)) => {
                let read = offload::run(move || ServerTls::new(&chain, &key)).await;
                let made = read.unwrap_or_else(|error| Err(error.to_string()));
                Some(made.map_err(|why| ConnectError::fatal(format!("TLS: {why}")))?)
            }
        };
        let address = settings.address;
        let listener = TcpListener::bind(address).map_err(|error| {
            ConnectError::fatal(format!(
                "Couldn't listen on {address}: change `listener`, or stop what is using it"
            ))
            .caused_by(error)
        })?;
        let task = context.task.clone();
        let front = Rc::new(Front { settings, tls, desk: Desk::default(), task });
        tracing::info!(task = %front.task, "listening on {address}");
        let heard = Rc::clone(&front);
        context.listen(move |outcome| heard.desk.settle(outcome));
        Ok(Self {
            _acceptor: rt::spawn(accept(Rc::clone(&front), listener)),
            front,
            schemas: Schemas {
                string: Arc::new(Schema::new(SchemaType::String)),
                bytes: Arc::new(Schema::new(SchemaType::Bytes)),
            },
        })
    }

    /// Takes what is there; no await, so that what was taken is given.
    fn take<'a>(&self, arena: &'a Arena, out: &mut Vec<SourceRecord<'a>>) {
        let desk = &self.front.desk;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let timestamp = now.ok().map(|since| since.as_millis() as i64);
        let (mut parts, mut bytes) = (Vec::new(), 0);
        while out.len() < BATCH && bytes < BATCH_BYTES {
            let Some(part) = desk.take(BATCH - out.len()) else { break };
            bytes += self.give(&part, timestamp, arena, out);
            parts.push(part);
        }
        // Polls without records have no outcome.
        if !parts.is_empty() {
            desk.note(parts);
        }
    }

    /// Appends a part's records; gives the number of bytes that were copied for them.
    fn give<'a>(
        &self,
        part: &Part,
        timestamp: Option<i64>,
        arena: &'a Arena,
        out: &mut Vec<SourceRecord<'a>>,
    ) -> usize {
        let (pending, settings) = (&part.pending, &self.front.settings);
        let spans = &pending.records[part.first..part.first + part.count];
        let (Some(first), Some(last)) = (spans.first(), spans.last()) else { return 0 };
        let (from, to) = (first.start as usize, last.end as usize);
        let bytes = arena.alloc_bytes(&pending.body.borrow()[from..to]);
        if part.first + part.count == pending.records.len() {
            pending.body.take();
        }
        let route = &pending.route;
        let topic = arena.alloc_str(&route.topic);
        let string = |text: &str| SchemaAndValue {
            schema: Some(arena.pin_schema(&self.schemas.string)),
            value: Value::Str(arena.alloc_str(text)),
        };
        let key = route.key.as_deref().map(string).unwrap_or_default();
        let headers = arena.bump().alloc_slice_fill_iter(
            route
                .headers
                .iter()
                .map(|(name, value)| Header { name: arena.alloc_str(name), datum: string(value) }),
        );
        for span in spans {
            let text = &bytes[span.start as usize - from..span.end as usize - from];
            let value = match route.format {
                Format::Bytes => SchemaAndValue {
                    schema: Some(arena.pin_schema(&self.schemas.bytes)),
                    value: Value::Bytes(text),
                },
                _ => document(text, arena),
            };
            let key = match (&settings.key, value.value) {
                (KeyFrom::Field(path), Value::Json(json)) => field(json, path, arena),
                _ => key,
            };
            out.push(SourceRecord {
                record: Record {
                    topic,
                    partition: None,
                    timestamp,
                    key,
                    value,
                    headers,
                    origin: Origin::Source { index: out.len() as u32 },
                },
                source_partition: NO_PARTITION,
                source_offset: &[],
            });
        }
        bytes.len()
    }

    /// Refuses what is new, answers what waits, and lets clients take their answers.
    async fn stop(self) {
        let desk = &self.front.desk;
        drop(self._acceptor);
        desk.stopping.set(true);
        desk.give_up();
        desk.stop.notify_all();
        let until = Instant::now() + LAST_ANSWERS;
        while desk.connections.get() > 0 && Instant::now() < until {
            rt::sleep(Duration::from_millis(5)).await;
        }
        desk.cut.notify_all();
    }
}

/// Checked JSON as it came; the document `null` is Connect's null.
fn document<'a>(text: &'a [u8], arena: &'a Arena) -> SchemaAndValue<'a> {
    let value = match text {
        b"null" => Value::Null,
        text => Value::Json(arena.alloc(JsonText::verbatim(text))),
    };
    SchemaAndValue { schema: None, value }
}

/// A member as the key; null if there is none.
fn field<'a>(json: &'a JsonText<'a>, path: &[String], arena: &'a Arena) -> SchemaAndValue<'a> {
    let names: Vec<&str> = path.iter().map(String::as_str).collect();
    // A number that no type holds is no key, as with a field that is missing.
    let value = find_path(json, &names, arena).ok().flatten().unwrap_or_default();
    SchemaAndValue { schema: None, value }
}

impl SourceTask for HttpIngestSourceTask {
    fn start<'a>(
        &'a mut self,
        config: &'a Config,
        context: Rc<SourceTaskContext>,
    ) -> LocalFuture<'a, Result<(), ConnectError>> {
        Box::pin(async move {
            self.running = Some(Running::start(config, &context).await?);
            Ok(())
        })
    }

    fn poll<'f, 'a: 'f>(
        &'f mut self,
        arena: &'a Arena,
        out: &'f mut Vec<SourceRecord<'a>>,
    ) -> LocalFuture<'f, Result<Polled, ConnectError>> {
        Box::pin(async move {
            let Some(running) = &mut self.running else {
                return Err(ConnectError::fatal("The HTTP source was used before it was started"));
            };
            let desk = &running.front.desk;
            if !desk.has_waiting() {
                let _ = rt::timeout(WAIT, desk.arrived.notified()).await;
            }
            running.take(arena, out);
            Ok(Polled::More)
        })
    }

    fn stop(&mut self) -> LocalFuture<'_, ()> {
        Box::pin(async move {
            if let Some(running) = self.running.take() {
                running.stop().await;
            }
        })
    }
}
