//! The generator's task.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_api::converters::{Arena, JsonText, Schema, SchemaAndValue, Value};
use millrace_api::error::ConnectError;
use millrace_api::record::{Origin, Record};
use millrace_api::source::offsets::Scalar;
use millrace_api::source::{OffsetMap, Polled, SourceRecord, SourceTask, SourceTaskContext};
use millrace_api::{Config, LocalFuture};

use super::config::Settings;
use super::event::{self, Event};
use super::generator::Maker;
use super::random::Random;
use crate::text;

/// Records a poll.
const BATCH: u64 = 500;

/// The longest wait in a poll, so that pause and stop are heard.
const WAIT: Duration = Duration::from_millis(250);

/// Batches a second at a set rate: what the rate is smoothed to.
const BATCHES_PER_SECOND: f64 = 20.0;

/// How far a task that fell behind its rate may catch up.
const BEHIND: Duration = Duration::from_secs(1);

/// Makes its share of the records.
#[derive(Default)]
pub struct DatagenSourceTask {
    running: Option<Running>,
}

struct Running {
    settings: Settings,
    schema: Arc<Schema>,
    /// Records made, since the first start ever.
    count: u64,
    end: Option<u64>,
    partition: u32,
    /// When the next record is due.
    due: Instant,
    /// Where JSON by schema is written before it goes to the arena.
    buffer: Vec<u8>,
}

fn partition_map(task: u64) -> OffsetMap {
    vec![("task".to_owned(), Scalar::Int(task as i64))]
}

impl Running {
    fn start(config: &Config, context: &SourceTaskContext) -> Result<Self, ConnectError> {
        let settings = Settings::of(config).map_err(crate::refused)?;
        let partition = partition_map(settings.task);
        let stored = context.offset(&partition);
        let count = stored.iter().flatten().find_map(|(name, value)| match value {
            Scalar::Int(count) if name == "count" => u64::try_from(*count).ok(),
            _ => None,
        });
        Ok(Self {
            schema: Arc::clone(&settings.records.schema),
            count: count.unwrap_or(0),
            end: settings.count(),
            partition: context.partition(partition),
            due: Instant::now(),
            buffer: Vec::new(),
            settings,
        })
    }

    /// How many records may be made now; 0: something is to be waited for.
    fn allowance(&mut self) -> u64 {
        let left = self.end.map_or(u64::MAX, |end| end.saturating_sub(self.count));
        let now = Instant::now();
        if !self.settings.max_interval.is_zero() {
            if now < self.due {
                return 0;
            }
            let longest = self.settings.max_interval.as_millis() as u64;
            let number = self.number(self.count);
            let pause = Random::of(!self.settings.seed, number).below(longest + 1);
            self.due = now + Duration::from_millis(pause);
            return left.min(1);
        }
        let Some(rate) = self.settings.rate else { return left.min(BATCH) };
        if now < self.due {
            return 0;
        }
        let rate = rate / self.settings.tasks as f64;
        let batch = ((rate / BATCHES_PER_SECOND) as u64).clamp(1, BATCH).min(left);
        let behind = now.checked_sub(BEHIND).unwrap_or(now);
        self.due = self.due.max(behind) + Duration::from_secs_f64(batch as f64 / rate);
        batch
    }

    /// The number, among all tasks' records, of this task's record `at`.
    fn number(&self, at: u64) -> u64 {
        at.wrapping_mul(self.settings.tasks).wrapping_add(self.settings.task)
    }

    fn make<'a>(&mut self, count: u64, arena: &'a Arena, out: &mut Vec<SourceRecord<'a>>) {
        let topic = arena.alloc_str(&self.settings.topic);
        let schema = arena.pin_schema(&self.schema);
        let name = arena.alloc_str("count");
        let first = out.len();
        for at in self.count..self.count + count {
            let (key, value) = self.record(self.number(at), schema, arena);
            let offset: &[(&str, Value<'_>)] =
                arena.bump().alloc([(name, Value::Int64(at as i64 + 1))]);
            out.push(SourceRecord {
                record: Record {
                    topic,
                    partition: None,
                    timestamp: None,
                    key,
                    value,
                    headers: &[],
                    origin: Origin::Source { index: (out.len() - first) as u32 },
                },
                source_partition: self.partition,
                source_offset: offset,
            });
        }
        self.count += count;
    }

    #[inline]
    fn record<'a>(
        &mut self,
        number: u64,
        schema: &'a Schema,
        arena: &'a Arena,
    ) -> (SchemaAndValue<'a>, SchemaAndValue<'a>) {
        let (records, seed) = (&self.settings.records, self.settings.seed);
        let none = SchemaAndValue::default();
        if let (Maker::Event, None, false) =
            (&records.maker, records.key_field, self.settings.structures)
        {
            let out = arena.bump().alloc([0; event::LENGTH]);
            Event::of(seed, number).write(out);
            return (none, schemaless(Value::Json(arena.alloc(JsonText::verbatim(out)))));
        }
        let value = records.structure(schema, seed, number, arena);
        let key = match (records.key_field, value) {
            (Some(index), Value::Struct(data)) => SchemaAndValue {
                schema: Some(&*schema.fields[index].schema).filter(|_| self.settings.structures),
                value: data.values[index],
            },
            _ => none,
        };
        if self.settings.structures {
            return (key, SchemaAndValue { schema: Some(schema), value });
        }
        let key = match key.value {
            // A structure without its schema is a document.
            Value::Struct(_) => schemaless(document(&key.value, &mut self.buffer, arena)),
            _ => key,
        };
        (key, schemaless(document(&value, &mut self.buffer, arena)))
    }
}

fn schemaless(value: Value<'_>) -> SchemaAndValue<'_> {
    SchemaAndValue { schema: None, value }
}

fn document<'a>(value: &Value<'_>, buffer: &mut Vec<u8>, arena: &'a Arena) -> Value<'a> {
    buffer.clear();
    text::write_json(value, buffer);
    Value::Json(arena.alloc(JsonText::verbatim(arena.alloc_bytes(buffer))))
}

impl SourceTask for DatagenSourceTask {
    fn start<'a>(
        &'a mut self,
        config: &'a Config,
        context: Rc<SourceTaskContext>,
    ) -> LocalFuture<'a, Result<(), ConnectError>> {
        let started = Running::start(config, &context).map(|running| self.running = Some(running));
        Box::pin(std::future::ready(started))
    }

    fn poll<'f, 'a: 'f>(
        &'f mut self,
        arena: &'a Arena,
        out: &'f mut Vec<SourceRecord<'a>>,
    ) -> LocalFuture<'f, Result<Polled, ConnectError>> {
        Box::pin(async move {
            let Some(running) = &mut self.running else {
                return Err(ConnectError::fatal("The generator was used before it was started"));
            };
            if running.end.is_some_and(|end| running.count >= end) {
                return Ok(Polled::Finished);
            }
            let mut allowed = running.allowance();
            if allowed == 0 {
                let wait = running.due.saturating_duration_since(Instant::now());
                millrace_net::rt::sleep(wait.min(WAIT)).await;
                allowed = running.allowance();
            }
            running.make(allowed, arena, out);
            Ok(Polled::More)
        })
    }
}
