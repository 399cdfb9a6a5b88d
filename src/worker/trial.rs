//! A task's converters and transforms on single records, without Kafka and without a connector.
//!
//! What runs is the chain that a sink task runs, behind the same record-batch code: each record is
//! written into a batch of one and read back from it.

use millrace_api::config_def::{ConfigError, split_list};
use millrace_api::record::{Record, TimestampType};
use millrace_api::sink::{Need, Needs};
use millrace_converters::{Arena, DataError};
use millrace_kafka::compression::{Compressor, Decompressor, Scratch};
use millrace_kafka::record_batch::{BatchBuilder, BatchOptions, OpenBatch};

use crate::command::TaskSpec;
use crate::error_policy::Failure;
use crate::plan::{self, Converters};
use crate::transformation_chain::{Chain, Segment};

/// A record as Kafka would hand it over: keys, values and headers serialised.
#[derive(Clone, Debug, Default)]
pub struct Given<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since the epoch.
    pub timestamp: Option<i64>,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Vec<(&'a str, Option<&'a [u8]>)>,
}

/// Why a record did not come through.
#[derive(Clone, Debug)]
pub struct Refused {
    /// As Kafka Connect names the stage: `VALUE_CONVERTER`, `TRANSFORMATION`, …
    pub stage: &'static str,
    /// The Java class of the converter or transform that refused it.
    pub executor: &'static str,
    /// The Java exception's class and message are in it.
    pub error: DataError,
}

/// A compiled chain to try records on.
pub struct Trial {
    chain: Chain,
    arena: Arena,
    builder: BatchBuilder,
    compressor: Compressor,
    decompressor: Decompressor,
    batch: Vec<u8>,
    scratch: Scratch,
}

impl Trial {
    /// Compiles the chain of `spec`, or says everything that is wrong with it, one error each.
    /// `need` is what a sink would ask of keys and values.
    pub fn compile(spec: &TaskSpec, need: Need) -> Result<Self, Vec<String>> {
        let mut errors = Vec::new();
        let converters = Converters::of(spec).map_err(|error| errors.push(error.message)).ok();
        let steps = plan::steps(&spec.connector, &spec.plugins);
        if steps.is_err() {
            errors.extend(step_errors(spec));
        }
        let (Some(converters), Ok(steps)) = (converters, steps) else { return Err(errors) };
        for step in &steps {
            let table = step.transformation.table().map(|used| used.table);
            if let Some(Err(why)) = table.map(|table| table.fill_now()) {
                errors.push(format!("transforms.{}: {why}", step.alias));
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let needs = Needs { key: need, value: need, headers: true };
        Ok(Self {
            chain: Chain::compile(converters, steps, needs),
            arena: Arena::new(),
            builder: BatchBuilder::new(),
            compressor: Compressor::new(),
            decompressor: Decompressor::new(),
            batch: Vec::new(),
            scratch: Scratch::new(),
        })
    }

    /// The plan in words, one line a step.
    pub fn explain(&self) -> Vec<String> {
        self.chain.explain()
    }

    /// One record through the chain; `see` gets what came of it, `None` for a dropped record.
    pub fn run<R>(
        &mut self,
        given: &Given<'_>,
        see: impl FnOnce(Result<Option<Record<'_>>, Refused>) -> R,
    ) -> R {
        self.builder.clear();
        self.batch.clear();
        self.scratch.clear();
        self.arena.reset();
        let options = BatchOptions { base_offset: given.offset, ..BatchOptions::default() };
        let headers = given.headers.iter().copied();
        let written = self
            .builder
            .append(given.timestamp.unwrap_or(-1), given.key, given.value, headers)
            .and_then(|_| self.builder.finish(&options, &mut self.compressor, &mut self.batch));
        if let Err(error) = written {
            return see(Err(unreadable(error.to_string())));
        }
        let opened = OpenBatch::open(&self.batch, &mut self.decompressor, &mut self.scratch);
        let mut records = match &opened {
            Ok(batch) => batch.records(&self.batch, &self.scratch),
            Err(error) => return see(Err(unreadable(error.to_string()))),
        };
        let segment = Segment {
            topic: given.topic,
            partition: given.partition,
            timestamp_type: TimestampType::CreateTime,
            buffer: records.buffer(),
        };
        self.chain.begin_batch();
        let raw = match records.next() {
            Some(Ok(raw)) => raw,
            Some(Err(error)) => return see(Err(unreadable(error.to_string()))),
            None => return see(Err(unreadable("the batch came back empty".to_owned()))),
        };
        let mut out = Vec::with_capacity(1);
        let mut outcome = self.chain.run(&segment, &raw, &self.arena, &mut out);
        while outcome.is_err() && self.chain.desks().want() {
            match self.chain.desks().settle_blocking() {
                Ok(()) => outcome = self.chain.run(&segment, &raw, &self.arena, &mut out),
                Err(unanswered) => {
                    outcome = outcome
                        .map_err(|failure| Failure { error: unanswered.into_data(), ..failure });
                }
            }
        }
        see(outcome.map(|_| out.pop()).map_err(|failure| Refused {
            stage: failure.stage.name(),
            executor: failure.class,
            error: failure.error,
        }))
    }
}

fn unreadable(message: String) -> Refused {
    Refused {
        stage: "KAFKA_CONSUME",
        executor: "org.apache.kafka.connect.runtime.WorkerSinkTask",
        error: DataError::with_class("org.apache.kafka.common.KafkaException", message),
    }
}

/// Everything that the transforms and predicates of `spec` refuse, under full keys.
fn step_errors(spec: &TaskSpec) -> Vec<String> {
    let config = &spec.connector;
    let mut errors = Vec::new();
    let list = |key: &str| config.get(key).map(|text| split_list(text)).unwrap_or_default();
    for alias in list("transforms") {
        let prefix = format!("transforms.{alias}.");
        let (class, mut settings) = plan::aliased(config, "transforms", &alias);
        settings.remove("predicate");
        settings.remove("negate");
        match spec.plugins.transformation(class.trim()) {
            None => errors.push(format!("{prefix}type: no transformation {class}")),
            Some(plugin) => {
                errors.extend(refused("transforms", &alias, (plugin.new)(&settings).err()))
            }
        }
    }
    for alias in list("predicates") {
        let prefix = format!("predicates.{alias}.");
        let (class, settings) = plan::aliased(config, "predicates", &alias);
        match spec.plugins.predicate(class.trim()) {
            None => errors.push(format!("{prefix}type: no predicate {class}")),
            Some(plugin) => {
                errors.extend(refused("predicates", &alias, (plugin.new)(&settings).err()))
            }
        }
    }
    errors
}

fn refused(kind: &str, alias: &str, errors: Option<Vec<ConfigError>>) -> Vec<String> {
    plan::named(kind, alias, errors.unwrap_or_default())
}
