//! What a member wants, and the bytes that consumers of all languages tell each other through the
//! coordinator (`ConsumerProtocolSubscription` and `…Assignment`, versions 0 to 3).

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::consumer_protocol_assignment::TopicPartition as AssignedTopic;
use kafka_protocol::messages::consumer_protocol_subscription::TopicPartition as OwnedTopic;
use kafka_protocol::messages::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicName,
};
use kafka_protocol::protocol::{Encodable, StrBytes};

use crate::error::KafkaError;
use crate::metadata::Metadata;
use crate::partitions::TopicPartition;

/// Newest version that is known; newer ones are read as far as it goes.
const VERSION: i16 = 3;

/// The topics that a consumer asks for.
#[derive(Clone)]
pub enum Subscription {
    Topics(Vec<Rc<str>>),
    /// All topics, also those to come, whose names the predicate takes; internal ones are left out.
    Pattern(Rc<dyn Fn(&str) -> bool>),
}

impl Subscription {
    pub fn topics<T: Into<Rc<str>>>(topics: impl IntoIterator<Item = T>) -> Self {
        let mut topics: Vec<Rc<str>> = topics.into_iter().map(Into::into).collect();
        topics.sort_unstable();
        topics.dedup();
        Self::Topics(topics)
    }

    pub fn pattern(predicate: impl Fn(&str) -> bool + 'static) -> Self {
        Self::Pattern(Rc::new(predicate))
    }

    /// The topics' names as of now, sorted.
    pub fn resolve(&self, metadata: &Metadata) -> Vec<Rc<str>> {
        match self {
            Self::Topics(topics) => topics.clone(),
            Self::Pattern(takes) => {
                let topics = metadata.topics.iter();
                let open = topics.filter(|(name, topic)| !topic.internal && takes(name));
                open.map(|(name, _)| name.clone()).collect()
            }
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topics(topics) => f.debug_tuple("Topics").field(topics).finish(),
            Self::Pattern(_) => f.write_str("Pattern"),
        }
    }
}

/// What one member tells the leader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberMetadata {
    pub topics: Vec<Rc<str>>,
    /// What it holds while it joins; only cooperative members hold anything.
    pub owned: Vec<TopicPartition>,
    /// Of the assignment that `owned` is from; −1 if unknown.
    pub generation: i32,
    pub rack: Option<String>,
    pub user_data: Option<Bytes>,
}

fn malformed(what: &str, why: impl fmt::Display) -> KafkaError {
    KafkaError::corrupt(format!("a member's {what} can't be read: {why}"))
}

fn by_topic(partitions: &[TopicPartition]) -> BTreeMap<&Rc<str>, Vec<i32>> {
    let mut topics: BTreeMap<&Rc<str>, Vec<i32>> = BTreeMap::new();
    for name in partitions {
        topics.entry(&name.topic).or_default().push(name.partition);
    }
    topics
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

impl MemberMetadata {
    pub fn encode(&self) -> Result<Bytes, KafkaError> {
        let owned = by_topic(&self.owned).into_iter().map(|(topic, partitions)| {
            OwnedTopic::default().with_topic(TopicName(text(topic))).with_partitions(partitions)
        });
        let message = ConsumerProtocolSubscription::default()
            .with_topics(self.topics.iter().map(|topic| text(topic)).collect())
            .with_user_data(self.user_data.clone())
            .with_owned_partitions(owned.collect())
            .with_generation_id(self.generation)
            .with_rack_id(self.rack.as_deref().map(text));
        encode_versioned(&message)
    }

    /// Read by hand: the bytes come from other clients, and a forged count must not allocate.
    pub fn decode(mut bytes: Bytes) -> Result<Self, KafkaError> {
        let version = take_version(&mut bytes, "subscription")?;
        Self::read(&mut bytes, version).ok_or_else(|| malformed("subscription", "it ends early"))
    }

    fn read(bytes: &mut Bytes, version: i16) -> Option<Self> {
        let mut metadata = Self { generation: -1, ..Self::default() };
        for _ in 0..bytes.try_get_i32().ok()? {
            metadata.topics.push(take_text(bytes)??);
        }
        if let Ok(length) = usize::try_from(bytes.try_get_i32().ok()?) {
            metadata.user_data = Some((bytes.len() >= length).then(|| bytes.split_to(length))?);
        }
        if version >= 1 {
            metadata.owned = take_partitions(bytes)?;
        }
        if version >= 2 {
            metadata.generation = bytes.try_get_i32().ok()?;
        }
        if version >= 3 {
            metadata.rack = take_text(bytes)?.map(|rack| rack.to_string());
        }
        Some(metadata)
    }
}

/// A string, `None` inside for null.
fn take_text(bytes: &mut Bytes) -> Option<Option<Rc<str>>> {
    let Ok(length) = usize::try_from(bytes.try_get_i16().ok()?) else { return Some(None) };
    let text = (bytes.len() >= length).then(|| bytes.split_to(length))?;
    Some(Some(std::str::from_utf8(&text).ok()?.into()))
}

/// Topics with their partitions.
fn take_partitions(bytes: &mut Bytes) -> Option<Vec<TopicPartition>> {
    let mut partitions = Vec::new();
    for _ in 0..bytes.try_get_i32().ok()? {
        let topic = take_text(bytes)??;
        for _ in 0..bytes.try_get_i32().ok()? {
            partitions.push(TopicPartition::new(topic.clone(), bytes.try_get_i32().ok()?));
        }
    }
    Some(partitions)
}

fn encode_versioned(message: &impl Encodable) -> Result<Bytes, KafkaError> {
    let mut bytes = BytesMut::new();
    bytes.put_i16(VERSION);
    message
        .encode(&mut bytes, VERSION)
        .map_err(|error| KafkaError::corrupt(format!("cannot encode group metadata: {error}")))?;
    Ok(bytes.freeze())
}

fn take_version(bytes: &mut Bytes, what: &str) -> Result<i16, KafkaError> {
    let version = bytes.try_get_i16().map_err(|error| malformed(what, error))?;
    match version {
        ..0 => Err(malformed(what, format!("version {version}"))),
        _ => Ok(version.min(VERSION)),
    }
}

/// What the leader tells one member.
pub fn encode_assignment(partitions: &[TopicPartition]) -> Result<Bytes, KafkaError> {
    let topics = by_topic(partitions).into_iter().map(|(topic, partitions)| {
        AssignedTopic::default().with_topic(TopicName(text(topic))).with_partitions(partitions)
    });
    let message = ConsumerProtocolAssignment::default().with_assigned_partitions(topics.collect());
    encode_versioned(&message)
}

/// The partitions of an assignment, sorted. Empty bytes are an empty assignment.
pub fn decode_assignment(mut bytes: Bytes) -> Result<Vec<TopicPartition>, KafkaError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    take_version(&mut bytes, "assignment")?;
    let mut partitions =
        take_partitions(&mut bytes).ok_or_else(|| malformed("assignment", "it ends early"))?;
    partitions.sort_unstable();
    Ok(partitions)
}
