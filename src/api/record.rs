//! A record between Kafka and a connector, borrowed from its batch.

use millrace_converters::{SchemaAndValue, data::SchemaAndValue as Datum};

/// One header.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    pub name: &'a str,
    pub datum: SchemaAndValue<'a>,
}

/// What the broker's timestamp means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TimestampType {
    #[default]
    CreateTime,
    LogAppendTime,
    NoTimestampType,
}

/// Where a record came from; a transform cannot change it.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// From Kafka: the topic, partition and offset that it was read at.
    Sink { topic: &'a str, partition: i32, offset: i64, timestamp_type: TimestampType },
    /// From a source task: the record's place in what `poll` returned.
    Source { index: u32 },
}

/// `ConnectRecord`: what transforms see and sinks receive.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub topic: &'a str,
    /// Of a source record: `None` leaves the choice to the partitioner.
    pub partition: Option<i32>,
    /// Milliseconds since the epoch.
    pub timestamp: Option<i64>,
    pub key: Datum<'a>,
    pub value: Datum<'a>,
    pub headers: &'a [Header<'a>],
    pub origin: Origin<'a>,
}

impl<'a> Record<'a> {
    /// The Kafka offset of a sink record.
    pub fn offset(&self) -> Option<i64> {
        match self.origin {
            Origin::Sink { offset, .. } => Some(offset),
            Origin::Source { .. } => None,
        }
    }
}

/// A topic and one of its partitions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    pub topic: std::rc::Rc<str>,
    pub partition: i32,
}

impl TopicPartition {
    pub fn new(topic: &str, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl std::fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}
