//! The task: from the source's consumer to the worker, record by record as they are.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use millrace_api::converters::{Arena, Schema, SchemaAndValue, SchemaType, Value};
use millrace_api::error::ConnectError;
use millrace_api::record::{Header, Origin, Record};
use millrace_api::source::offsets::Scalar;
use millrace_api::source::{Polled, SourceRecord, SourceTask, SourceTaskContext};
use millrace_api::{Config, LocalFuture};
use millrace_kafka::Cluster;
use millrace_kafka::consumer::{self, Consumer, Segment};
use millrace_kafka::partitions::{Position, TopicPartition};
use millrace_kafka::producer::Producer;
use millrace_kafka::record_batch::{BatchError, RawHeaders, RawRecord};

use super::clients::{self, Problems, Side};
use super::config::{self, INDEX, Settings};
use super::offset_syncs::{OffsetSyncs, Run, note};
use super::source::{OFFSET, source_partition};

/// The longest wait in a poll, so that pause and stop are heard.
const WAIT: Duration = Duration::from_secs(1);
/// Java's sign for a record without a timestamp.
const NO_TIMESTAMP: i64 = -1;

/// Reads its partitions and hands their records on.
#[derive(Default)]
pub struct MirrorSourceTask {
    running: Option<Running>,
}

/// Where a partition's records go.
struct Route {
    /// Of the task's partitions.
    index: u32,
    /// The number that the worker gave to the source partition.
    number: u32,
}

struct Topic {
    remote: String,
    routes: HashMap<i32, Route>,
}

/// The schemas of all records, pinned to the batch.
#[derive(Clone, Copy)]
struct Schemas<'a> {
    bytes: &'a Schema,
    optional: &'a Schema,
}

impl<'a> Schemas<'a> {
    fn optional(self, bytes: Option<&'a [u8]>) -> SchemaAndValue<'a> {
        let value = bytes.map_or(Value::Null, Value::Bytes);
        SchemaAndValue { schema: Some(self.optional), value }
    }

    fn headers(
        self,
        headers: RawHeaders<'a>,
        arena: &'a Arena,
    ) -> Result<&'a [Header<'a>], BatchError> {
        if headers.is_empty() {
            return Ok(&[]);
        }
        let mut list = arena.vec();
        for header in headers {
            let header = header?;
            let datum = match header.value {
                None => self.optional(None),
                Some(bytes) => {
                    SchemaAndValue { schema: Some(self.bytes), value: Value::Bytes(bytes) }
                }
            };
            list.push(Header { name: header.name, datum });
        }
        Ok(list.into_bump_slice())
    }
}

struct Running {
    context: Rc<SourceTaskContext>,
    consumer: Consumer,
    wait: Duration,
    topics: HashMap<String, Topic>,
    syncs: Option<Rc<RefCell<OffsetSyncs>>>,
    bytes: Arc<Schema>,
    optional_bytes: Arc<Schema>,
    /// What is wrong with the source just now, as last told.
    trouble: Option<String>,
}

fn refused(config: &Config) -> impl FnOnce(Problems) -> ConnectError {
    move |problems| crate::refused(clients::errors(config, problems))
}

impl Running {
    fn start(config: &Config, context: Rc<SourceTaskContext>) -> Result<Self, ConnectError> {
        let settings = Settings::of(config).map_err(crate::refused)?;
        let assigned = config::assigned(config).map_err(|error| crate::refused(vec![error]))?;
        let task = config.get(INDEX).map_or("?", String::as_str);
        let id = settings.client_id(Some(task), "replication-consumer");
        let parsed = clients::consumer(config, &id).map_err(refused(config))?;
        for key in &parsed.unknown {
            tracing::warn!(task = %context.task, "source.consumer.{key} is not known and is ignored");
        }
        let config_of = parsed.config;
        let unread = match config_of.group_id.is_empty() {
            true => Position::Reset(config_of.auto_offset_reset),
            false => Position::Committed,
        };
        let mut topics: HashMap<String, Topic> = HashMap::new();
        let (mut positions, mut fresh) = (Vec::new(), 0);
        for (index, (topic, partition)) in assigned.iter().enumerate() {
            let map = source_partition(&settings.policy.source, topic, *partition);
            let position = match stored(&context, &map) {
                Some(offset) => Position::At(offset + 1),
                None => {
                    fresh += 1;
                    unread
                }
            };
            positions.push((TopicPartition::new(topic.as_str(), *partition), position));
            let known = topics.entry(topic.clone()).or_insert_with(|| Topic {
                remote: settings.policy.remote_topic(topic),
                routes: HashMap::new(),
            });
            let route = Route { index: index as u32, number: context.partition(map) };
            known.routes.insert(*partition, route);
        }
        let syncs = match settings.syncs {
            Some(side) => Some(syncs(config, &settings, side, task, &assigned, &context)?),
            None => None,
        };
        let mut consumer = Consumer::new(Cluster::for_consumer(&config_of), config_of);
        consumer.assign(&positions).map_err(|error| {
            ConnectError::fatal("The source's partitions can't be read").caused_by(error)
        })?;
        tracing::info!(
            task = %context.task,
            partitions = positions.len(),
            fresh,
            "mirrors from {} to {}",
            settings.policy.source,
            settings.policy.target
        );
        Ok(Self {
            context,
            consumer,
            wait: settings.poll_timeout.min(WAIT),
            topics,
            syncs,
            bytes: Arc::new(Schema::new(SchemaType::Bytes)),
            optional_bytes: Arc::new(Schema::new(SchemaType::Bytes).optional()),
            trouble: None,
        })
    }

    async fn poll<'a>(
        &mut self,
        arena: &'a Arena,
        out: &mut Vec<SourceRecord<'a>>,
    ) -> Result<Polled, ConnectError> {
        let polled = self.consumer.poll(self.wait).await;
        // The JVM's task logs whatever its consumer throws and polls again, too.
        let polled = polled.map_err(|error| {
            ConnectError::retriable("The source can't be read").caused_by(error)
        })?;
        let found = matches!(polled, consumer::Polled::Records(_));
        if let Some(syncs) = &self.syncs {
            syncs.borrow_mut().fire();
        }
        self.tell_trouble(found);
        if !found {
            return Ok(Polled::More);
        }
        // The records' bytes are the batch's from now on, not the consumer's: nothing is copied that
        // was decompressed.
        let loan = arena.keep(self.consumer.take_loan());
        let schemas = Schemas {
            bytes: arena.pin_schema(&self.bytes),
            optional: arena.pin_schema(&self.optional_bytes),
        };
        let mut runs = Vec::new();
        for segment in loan.fetched().segments() {
            self.take(&segment, schemas, arena, out, &mut runs)?;
        }
        if let Some(syncs) = &self.syncs
            && !out.is_empty()
        {
            syncs.borrow_mut().ledger.polled(runs);
        }
        Ok(Polled::More)
    }

    /// Appends the records of one partition.
    fn take<'a>(
        &self,
        segment: &Segment<'a>,
        schemas: Schemas<'a>,
        arena: &'a Arena,
        out: &mut Vec<SourceRecord<'a>>,
        runs: &mut Vec<Run>,
    ) -> Result<(), ConnectError> {
        let Some(topic) = self.topics.get(segment.topic()) else { return Ok(()) };
        let Some(route) = topic.routes.get(&segment.partition()) else { return Ok(()) };
        let remote = arena.alloc_str(&topic.remote);
        let partition = Some(segment.partition());
        let broken = |error: BatchError| {
            let why = format!("A record of {} can't be read", segment.name());
            ConnectError::fatal(why).caused_by(error)
        };
        for record in segment.records() {
            let record = record.map_err(&broken)?;
            let headers = schemas.headers(record.headers, arena).map_err(&broken)?;
            let RawRecord { offset, timestamp, key, value, .. } = record;
            note(runs, route.index, offset);
            out.push(SourceRecord {
                record: Record {
                    topic: remote,
                    partition,
                    timestamp: (timestamp != NO_TIMESTAMP).then_some(timestamp),
                    key: schemas.optional(key),
                    value: schemas.optional(value),
                    headers,
                    origin: Origin::Source { index: out.len() as u32 },
                },
                source_partition: route.number,
                source_offset: arena.bump().alloc([(OFFSET, Value::Int64(offset))]),
            });
        }
        Ok(())
    }

    /// Says what keeps the source from being read, once per change.
    fn tell_trouble(&mut self, found: bool) {
        if found && self.trouble.is_none() {
            return;
        }
        let now = self.consumer.trouble().map(|error| error.to_string());
        if now == self.trouble {
            return;
        }
        let task = &self.context.task;
        match &now {
            Some(text) => tracing::warn!(%task, "{text}"),
            None => tracing::info!(%task, "the source is read again"),
        }
        self.trouble = now;
    }
}

/// The upstream offset that was mirrored last.
fn stored(context: &SourceTaskContext, partition: &millrace_api::source::OffsetMap) -> Option<i64> {
    let offset = context.offset(partition)?;
    match offset.iter().find(|(name, _)| name == OFFSET) {
        Some((_, Scalar::Int(offset))) if *offset >= 0 => Some(*offset),
        _ => None,
    }
}

/// The writer of offset syncs, told by the worker what has arrived where.
fn syncs(
    config: &Config,
    settings: &Settings,
    side: Side,
    task: &str,
    assigned: &[(String, i32)],
    context: &SourceTaskContext,
) -> Result<Rc<RefCell<OffsetSyncs>>, ConnectError> {
    let role = match side {
        Side::Source => "offset-syncs-source-producer",
        Side::Target => "offset-syncs-target-producer",
    };
    let id = settings.client_id(Some(task), role);
    let parsed = clients::producer(config, side, &id).map_err(refused(config))?;
    let cluster = Cluster::new(parsed.config.client.clone());
    let producer = Producer::new(cluster, parsed.config);
    let topic = settings.offset_syncs_topic(side);
    let lag = settings.offset_lag_max;
    let syncs = OffsetSyncs::new(&context.task, topic, assigned, lag, producer);
    let syncs = Rc::new(RefCell::new(syncs));
    let told = Rc::clone(&syncs);
    context.want_offsets();
    context.listen(move |outcome| {
        let mut syncs = told.borrow_mut();
        syncs.ledger.acknowledged(outcome.offsets);
        syncs.fire();
    });
    Ok(syncs)
}

impl SourceTask for MirrorSourceTask {
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
                return Err(ConnectError::fatal("The mirror was used before it was started"));
            };
            running.poll(arena, out).await
        })
    }

    fn commit(&mut self) -> LocalFuture<'_, Result<(), ConnectError>> {
        if let Some(syncs) = self.running.as_ref().and_then(|running| running.syncs.as_ref()) {
            let mut syncs = syncs.borrow_mut();
            syncs.ledger.commit();
            syncs.fire();
        }
        Box::pin(std::future::ready(Ok(())))
    }

    fn stop(&mut self) -> LocalFuture<'_, ()> {
        let running = self.running.take();
        Box::pin(async move {
            let Some(Running { consumer, syncs, context, .. }) = running else { return };
            consumer.close().await;
            // Nobody has anything more to tell it.
            context.listen(|_| {});
            if let Some(syncs) = syncs.and_then(Rc::into_inner) {
                syncs.into_inner().close().await;
            }
        })
    }
}
