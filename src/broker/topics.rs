//! Topics: their names, ids, configs and partitions, kept in one small file.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use uuid::Uuid;

use crate::log::{LogConfig, PartitionLog};
use crate::protocol::code;
use crate::rows;
use crate::signal::Notify;

/// Most partitions of one topic: each is an open file.
pub(crate) const MAX_PARTITIONS: i32 = 1000;

/// Name, default and `ConfigDef.Type` (1 boolean, 2 string, 3 int, 5 long, 6 double, 7 list) of each
/// topic config. Those that do nothing here are kept all the same, for tools that read them back.
pub(crate) const TOPIC_CONFIGS: &[(&str, &str, i8)] = &[
    ("cleanup.policy", "delete", 7),
    ("compression.type", "producer", 2),
    ("delete.retention.ms", "86400000", 5),
    ("file.delete.delay.ms", "60000", 5),
    ("flush.messages", "9223372036854775807", 5),
    ("flush.ms", "9223372036854775807", 5),
    ("index.interval.bytes", "4096", 3),
    ("max.compaction.lag.ms", "9223372036854775807", 5),
    ("max.message.bytes", "1048588", 3),
    ("message.timestamp.after.max.ms", "3600000", 5),
    ("message.timestamp.before.max.ms", "9223372036854775807", 5),
    ("message.timestamp.type", "CreateTime", 2),
    ("min.cleanable.dirty.ratio", "0.5", 6),
    ("min.compaction.lag.ms", "0", 5),
    ("min.insync.replicas", "1", 3),
    ("preallocate", "false", 1),
    ("retention.bytes", "-1", 5),
    ("retention.ms", "604800000", 5),
    ("segment.bytes", "1073741824", 3),
    ("segment.index.bytes", "10485760", 3),
    ("segment.jitter.ms", "0", 5),
    ("segment.ms", "604800000", 5),
    ("unclean.leader.election.enable", "false", 1),
];

pub(crate) type Configs = BTreeMap<String, String>;

/// Whether `name` is a topic config and `value` of its type.
pub(crate) fn config_is_valid(name: &str, value: &str) -> bool {
    let Some((_, _, kind)) = TOPIC_CONFIGS.iter().find(|(known, ..)| *known == name) else {
        return false;
    };
    let value = value.trim();
    match (name, kind) {
        ("cleanup.policy", _) => {
            value.split(',').all(|part| matches!(part.trim(), "compact" | "delete"))
        }
        ("message.timestamp.type", _) => matches!(value, "CreateTime" | "LogAppendTime"),
        (_, 1) => matches!(value, "true" | "false"),
        (_, 3) => value.parse::<i32>().is_ok(),
        (_, 5) => value.parse::<i64>().is_ok(),
        (_, 6) => value.parse::<f64>().is_ok(),
        _ => true,
    }
}

/// A topic config's default; empty if there is no such config.
pub(crate) fn default_of(name: &str) -> &'static str {
    TOPIC_CONFIGS.iter().find(|(known, ..)| *known == name).map_or("", |row| row.1)
}

fn log_config(configs: &Configs) -> LogConfig {
    let value =
        |name: &str| configs.get(name).map_or_else(|| default_of(name), |value| value.trim());
    let policy = value("cleanup.policy");
    LogConfig {
        compact: policy.contains("compact"),
        delete: policy.contains("delete"),
        max_message_bytes: value("max.message.bytes").parse().unwrap_or(1_048_588),
        log_append_time: value("message.timestamp.type") == "LogAppendTime",
        segment_bytes: value("segment.bytes").parse().unwrap_or(1 << 30),
        retention_bytes: value("retention.bytes").parse().unwrap_or(-1),
        retention_ms: value("retention.ms").parse().unwrap_or(-1),
    }
}

pub(crate) struct Partition {
    pub index: i32,
    pub log: RefCell<PartitionLog>,
    /// Changes when records, markers or the log's start do.
    pub changed: Notify,
}

pub(crate) struct Topic {
    pub name: String,
    pub id: Uuid,
    pub configs: RefCell<Configs>,
    pub partitions: RefCell<Vec<Rc<Partition>>>,
}

impl Topic {
    pub(crate) fn partition(&self, index: i32) -> Option<Rc<Partition>> {
        usize::try_from(index).ok().and_then(|at| self.partitions.borrow().get(at).cloned())
    }

    pub(crate) fn partition_count(&self) -> i32 {
        self.partitions.borrow().len() as i32
    }
}

pub(crate) struct Topics {
    directory: PathBuf,
    pub cluster_id: String,
    topics: BTreeMap<String, Rc<Topic>>,
}

/// 128 bits that differ from call to call and from process to process.
pub(crate) fn random_id() -> Uuid {
    let half = || std::hash::RandomState::new().build_hasher().finish();
    let now = crate::now_ms() as u64;
    uuid::Builder::from_u128(u128::from(half() ^ now) << 64 | u128::from(half()))
        .with_variant(uuid::Variant::RFC4122)
        .with_version(uuid::Version::Random)
        .into_uuid()
}

/// As `Topic.validate`: up to 249 of letters, digits, `.`, `_` and `-`, and neither `.` nor `..`.
pub(crate) fn name_is_valid(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !name.is_empty()
        && name.len() <= 249
        && name != "."
        && name != ".."
        && name.bytes().all(allowed)
}

impl Topics {
    /// Opens all topics of a data directory with their logs.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory.join("logs"))?;
        let mut topics = Self {
            directory: directory.to_owned(),
            cluster_id: String::new(),
            topics: BTreeMap::new(),
        };
        for row in rows::read(&topics.file())? {
            match row.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["cluster", id] => topics.cluster_id = id.to_owned(),
                ["topic", name, id, count, ref configs @ ..] => {
                    let damaged = || io::Error::other(format!("a damaged row for topic {name:?}"));
                    let id = Uuid::parse_str(id).map_err(|_| damaged())?;
                    let count = count.parse().map_err(|_| damaged())?;
                    let configs = configs
                        .iter()
                        .filter_map(|config| config.split_once('='))
                        .map(|(name, value)| (name.to_owned(), value.to_owned()))
                        .collect();
                    let topic = topics.build(name, id, count, configs)?;
                    topics.topics.insert(name.to_owned(), topic);
                }
                _ => return Err(io::Error::other("the topics file has a row of an unknown kind")),
            }
        }
        if topics.cluster_id.is_empty() {
            topics.cluster_id = random_id().simple().to_string()[..22].to_owned();
            topics.save()?;
        }
        Ok(topics)
    }

    fn file(&self) -> PathBuf {
        self.directory.join("topics")
    }

    fn save(&self) -> io::Result<()> {
        let mut text = String::new();
        rows::push(&mut text, ["cluster", &self.cluster_id]);
        for topic in self.topics.values() {
            let configs = topic.configs.borrow();
            let configs: Vec<String> =
                configs.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let (id, count) = (topic.id.to_string(), topic.partition_count().to_string());
            let fields = ["topic", &topic.name, &id, &count];
            rows::push(&mut text, fields.into_iter().chain(configs.iter().map(String::as_str)));
        }
        rows::replace(&self.file(), &text)
    }

    fn log_directory(&self, name: &str, index: i32) -> PathBuf {
        self.directory.join("logs").join(format!("{name}-{index}"))
    }

    fn open_partition(
        &self,
        name: &str,
        index: i32,
        configs: &Configs,
    ) -> io::Result<Rc<Partition>> {
        let log = PartitionLog::open(&self.log_directory(name, index), log_config(configs))?;
        Ok(Rc::new(Partition { index, log: RefCell::new(log), changed: Notify::default() }))
    }

    fn build(&self, name: &str, id: Uuid, count: i32, configs: Configs) -> io::Result<Rc<Topic>> {
        let partitions = (0..count).map(|index| self.open_partition(name, index, &configs));
        let partitions = RefCell::new(partitions.collect::<io::Result<_>>()?);
        Ok(Rc::new(Topic { name: name.to_owned(), id, configs: RefCell::new(configs), partitions }))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Rc<Topic>> {
        self.topics.get(name)
    }

    pub(crate) fn by_id(&self, id: Uuid) -> Option<&Rc<Topic>> {
        self.topics.values().find(|topic| topic.id == id)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Rc<Topic>> {
        self.topics.values()
    }

    pub(crate) fn partition(&self, name: &str, index: i32) -> Option<Rc<Partition>> {
        self.get(name)?.partition(index)
    }

    /// Makes a topic. Errors are Kafka's codes; with `validate_only` nothing is made.
    pub(crate) fn create(
        &mut self,
        name: &str,
        partitions: i32,
        configs: Configs,
        validate_only: bool,
    ) -> Result<Option<Rc<Topic>>, i16> {
        if !name_is_valid(name) {
            return Err(code::INVALID_TOPIC_EXCEPTION);
        }
        if self.topics.contains_key(name) {
            return Err(code::TOPIC_ALREADY_EXISTS);
        }
        if !(1..=MAX_PARTITIONS).contains(&partitions) {
            return Err(code::INVALID_PARTITIONS);
        }
        if !configs.iter().all(|(name, value)| config_is_valid(name, value)) {
            return Err(code::INVALID_CONFIG);
        }
        if validate_only {
            return Ok(None);
        }
        let topic = self.build(name, random_id(), partitions, configs).map_err(storage_error)?;
        self.topics.insert(name.to_owned(), topic.clone());
        self.save().map_err(storage_error)?;
        Ok(Some(topic))
    }

    /// Deletes a topic and its logs; fetches that wait there are woken.
    pub(crate) fn delete(&mut self, name: &str) -> Result<Rc<Topic>, i16> {
        let topic = self.topics.remove(name).ok_or(code::UNKNOWN_TOPIC_OR_PARTITION)?;
        self.save().map_err(storage_error)?;
        for partition in topic.partitions.borrow().iter() {
            let directory = self.log_directory(name, partition.index);
            if let Err(error) = fs::remove_dir_all(&directory) {
                tracing::warn!(directory = %directory.display(), %error, "cannot delete");
            }
            partition.changed.notify();
        }
        Ok(topic)
    }

    /// Adds partitions until there are `count`.
    pub(crate) fn grow(&mut self, name: &str, count: i32, validate_only: bool) -> Result<(), i16> {
        let topic = self.get(name).ok_or(code::UNKNOWN_TOPIC_OR_PARTITION)?;
        if count <= topic.partition_count() || count > MAX_PARTITIONS {
            return Err(code::INVALID_PARTITIONS);
        }
        if validate_only {
            return Ok(());
        }
        for index in topic.partition_count()..count {
            let configs = topic.configs.borrow();
            let partition = self.open_partition(name, index, &configs).map_err(storage_error)?;
            topic.partitions.borrow_mut().push(partition);
        }
        self.save().map_err(storage_error)
    }

    /// Replaces a topic's configs, which must have been checked.
    pub(crate) fn configure(&self, topic: &Topic, configs: Configs) -> Result<(), i16> {
        let log_config = log_config(&configs);
        *topic.configs.borrow_mut() = configs;
        for partition in topic.partitions.borrow().iter() {
            partition.log.borrow_mut().config = log_config.clone();
        }
        self.save().map_err(storage_error)
    }
}

pub(crate) fn storage_error(error: io::Error) -> i16 {
    tracing::error!(%error, "the data directory cannot be read or written");
    code::KAFKA_STORAGE_ERROR
}
