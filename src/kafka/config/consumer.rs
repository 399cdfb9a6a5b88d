//! A consumer's settings.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{ClientConfig, ConfigProblem, ConfigReader, Parsed};

/// Where to begin when there is no committed offset, or it exists no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetReset {
    Earliest,
    Latest,
    /// Fail and say so.
    None,
}

/// Whether records of open and aborted transactions are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IsolationLevel {
    ReadUncommitted,
    ReadCommitted,
}

/// How a group's leader shares partitions out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssignmentStrategy {
    Range,
    RoundRobin,
    Sticky,
    CooperativeSticky,
}

impl AssignmentStrategy {
    /// The protocol's name, as it goes into JoinGroup.
    pub fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
            Self::Sticky => "sticky",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// Whether members keep what they have while the group rebalances.
    pub fn is_cooperative(self) -> bool {
        self == Self::CooperativeSticky
    }

    /// Java's class name, or the protocol's name.
    fn from_text(text: &str) -> Option<Self> {
        let short = text.strip_prefix("org.apache.kafka.clients.consumer.").unwrap_or(text);
        match short {
            "RangeAssignor" | "range" => Some(Self::Range),
            "RoundRobinAssignor" | "roundrobin" => Some(Self::RoundRobin),
            "StickyAssignor" | "sticky" => Some(Self::Sticky),
            "CooperativeStickyAssignor" | "cooperative-sticky" => Some(Self::CooperativeSticky),
            _ => None,
        }
    }
}

/// See Kafka's consumer configuration reference; fields bear the keys' names.
#[derive(Clone, Debug)]
pub struct ConsumerConfig {
    pub client: ClientConfig,
    /// Empty for a consumer without a group.
    pub group_id: String,
    pub group_instance_id: Option<String>,
    pub auto_offset_reset: OffsetReset,
    pub fetch_min_bytes: i32,
    pub fetch_max_bytes: i32,
    pub max_partition_fetch_bytes: i32,
    pub fetch_max_wait: Duration,
    pub max_poll_interval: Duration,
    pub session_timeout: Duration,
    pub heartbeat_interval: Duration,
    /// In order of preference; never empty.
    pub partition_assignment_strategy: Vec<AssignmentStrategy>,
    pub isolation_level: IsolationLevel,
    pub check_crcs: bool,
    pub client_rack: String,
    /// `None` where it is not set: a poll is full by bytes, and its records are not counted. The
    /// consumer does not divide batches; who hands records on in pieces goes by this.
    pub max_poll_records: Option<i32>,
    /// `millrace.fetch.poll.bytes`: uncompressed bytes after which a poll is full.
    pub poll_bytes: usize,
}

impl ConsumerConfig {
    /// Reads a consumer's settings with those that all clients share.
    pub fn parse(map: &BTreeMap<String, String>) -> Result<Parsed<Self>, Vec<ConfigProblem>> {
        let mut reader = ConfigReader::new(map);
        let config = Self::read(&mut reader);
        let unknown = reader.finish()?;
        Ok(Parsed { config, unknown })
    }

    fn read(reader: &mut ConfigReader<'_>) -> Self {
        let client = ClientConfig::read(reader);
        // Worker's business, or without meaning here.
        reader.ignore(&["key.deserializer", "value.deserializer"]);
        reader.ignore(&["enable.auto.commit", "auto.commit.interval.ms", "interceptor.classes"]);
        reader.ignore(&["exclude.internal.topics", "internal.leave.group.on.close"]);
        refuse_new_protocol(reader);
        let config = Self {
            client,
            group_id: reader.text("group.id").unwrap_or_default().to_owned(),
            group_instance_id: read_instance_id(reader),
            auto_offset_reset: reader.choice(
                "auto.offset.reset",
                OffsetReset::Latest,
                &[
                    ("latest", OffsetReset::Latest),
                    ("earliest", OffsetReset::Earliest),
                    ("none", OffsetReset::None),
                ],
            ),
            fetch_min_bytes: reader.number("fetch.min.bytes", 1, 0),
            fetch_max_bytes: reader.number("fetch.max.bytes", 50 << 20, 0),
            max_partition_fetch_bytes: reader.number("max.partition.fetch.bytes", 1 << 20, 0),
            fetch_max_wait: reader.millis("fetch.max.wait.ms", 500, 0),
            max_poll_interval: reader.millis("max.poll.interval.ms", 300_000, 1),
            session_timeout: reader.millis("session.timeout.ms", 45_000, 1),
            heartbeat_interval: reader.millis("heartbeat.interval.ms", 3_000, 1),
            partition_assignment_strategy: read_strategies(reader),
            isolation_level: reader.choice(
                "isolation.level",
                IsolationLevel::ReadUncommitted,
                &[
                    ("read_uncommitted", IsolationLevel::ReadUncommitted),
                    ("read_committed", IsolationLevel::ReadCommitted),
                ],
            ),
            check_crcs: reader.flag("check.crcs", true),
            client_rack: reader.text("client.rack").unwrap_or_default().to_owned(),
            max_poll_records: reader
                .text("max.poll.records")
                .map(|_| reader.number("max.poll.records", i32::MAX, 1)),
            poll_bytes: reader.number("millrace.fetch.poll.bytes", 1 << 20, 1),
        };
        if config.heartbeat_interval >= config.session_timeout {
            let value = config.heartbeat_interval.as_millis().to_string();
            let why = "must be lower than session.timeout.ms";
            reader.problem("heartbeat.interval.ms", &value, why);
        }
        config
    }
}

fn read_instance_id(reader: &mut ConfigReader<'_>) -> Option<String> {
    let id = reader.text("group.instance.id")?;
    if id.is_empty() {
        reader.problem("group.instance.id", "", "String must be non-empty");
        return None;
    }
    Some(id.to_owned())
}

fn read_strategies(reader: &mut ConfigReader<'_>) -> Vec<AssignmentStrategy> {
    let key = "partition.assignment.strategy";
    let default = vec![AssignmentStrategy::Range, AssignmentStrategy::CooperativeSticky];
    let Some(list) = reader.text(key) else { return default };
    let mut strategies = Vec::new();
    for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        match AssignmentStrategy::from_text(name) {
            Some(strategy) if !strategies.contains(&strategy) => strategies.push(strategy),
            Some(_) => {}
            None => reader.problem(
                key,
                name,
                "not one of range, roundrobin, sticky, cooperative-sticky or their Java classes",
            ),
        }
    }
    if strategies.is_empty() {
        if !reader.has_problem(key) {
            reader.problem(key, list, "no strategy is named");
        }
        return default;
    }
    strategies
}

/// The new group protocol moves assignment to the broker; this client speaks the classic one.
fn refuse_new_protocol(reader: &mut ConfigReader<'_>) {
    let key = "group.protocol";
    match reader.text(key) {
        None => {}
        Some(text) if text.eq_ignore_ascii_case("classic") => {}
        Some(text) => reader.problem(key, text, "only the classic group protocol is supported"),
    }
    reader.ignore(&["group.remote.assignor"]);
}
