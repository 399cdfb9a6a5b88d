//! The connector's keys, as `MirrorSourceConfig` of Kafka 4.1 defines them, and what they mean.

use std::time::Duration;

use millrace_api::Config;
use millrace_api::config_def::{
    ConfigDef, ConfigError, ConfigKey, DefaultValue, Importance, Parsed, Type, Validator,
};

use super::client_rows;
use super::clients::{self, Side};
use super::filter::{Patterns, PropertyFilter, TopicFilter};
use super::policy::{Naming, ReplicationPolicy};

use DefaultValue::{Of, Required};
use Importance::{High, Low, Medium};
use Type::{Boolean, Class, Int, List, Long, Short, String as Text};

/// What a task is to mirror: `topic-partition`, separated by commas.
pub const PARTITIONS: &str = "task.assigned.partitions";
/// Which of the tasks it is.
pub const INDEX: &str = "task.index";

const POLICY: &str = "org.apache.kafka.connect.mirror.DefaultReplicationPolicy";
const IDENTITY: &str = "org.apache.kafka.connect.mirror.IdentityReplicationPolicy";
const TOPIC_FILTER: &str = "org.apache.kafka.connect.mirror.DefaultTopicFilter";
const PROPERTY_FILTER: &str = "org.apache.kafka.connect.mirror.DefaultConfigPropertyFilter";
const FORWARDING: &str = "org.apache.kafka.clients.admin.ForwardingAdmin";
const NOT_REPLICATED: &str = "follower\\.replication\\.throttled\\.replicas, \
                              leader\\.replication\\.throttled\\.replicas, \
                              message\\.timestamp\\.difference\\.max\\.ms, \
                              message\\.timestamp\\.type, unclean\\.leader\\.election\\.enable, \
                              min\\.insync\\.replicas";

type Row = (&'static str, Type, DefaultValue, Importance, Validator, &'static str);

const NONE: Validator = Validator::None;
const PROTOCOLS: Validator =
    Validator::OneOfIgnoreCase(&["SASL_SSL", "PLAINTEXT", "SSL", "SASL_PLAINTEXT"]);

/// Of all three connectors of MirrorMaker 2.
const COMMON: &[Row] = &[
    ("enabled", Boolean, Of("true"), Low, NONE, "Whether anything is mirrored."),
    ("source.cluster.alias", Text, Required, High, NONE, "The name of the source cluster."),
    ("target.cluster.alias", Text, Of("target"), High, NONE, "The name of the target cluster."),
    ("admin.timeout.ms", Long, Of("60000"), Low, NONE, "Limit of one look at topics, or change."),
    (
        "replication.policy.class",
        Class,
        Of(POLICY),
        Low,
        Validator::Custom(|class| only(class, &[POLICY, IDENTITY])),
        "How topics are named in the target.",
    ),
    (
        "replication.policy.separator",
        Text,
        Of("."),
        Low,
        Validator::NonEmpty,
        "Stands between the source's alias and the topic.",
    ),
    (
        "replication.policy.internal.topic.separator.enabled",
        Boolean,
        Of("true"),
        Low,
        NONE,
        "Whether MirrorMaker's own topics have the separator in their names, and not a dot.",
    ),
    (
        "forwarding.admin.class",
        Class,
        Of(FORWARDING),
        Low,
        Validator::Custom(|class| only(class, &[FORWARDING])),
        "What changes topics; Kafka's own admin client.",
    ),
    (
        "metric.reporters",
        List,
        Of("org.apache.kafka.common.metrics.JmxReporter"),
        Low,
        NONE,
        "Java classes; of no effect here.",
    ),
    ("security.protocol", Text, Of("PLAINTEXT"), Medium, PROTOCOLS, "How brokers are spoken to."),
];

/// Of this connector alone.
const ROWS: &[Row] = &[
    ("topics", List, Of(".*"), High, PATTERNS, "Topics to mirror: names and patterns."),
    (
        "topics.exclude",
        List,
        Of("mm2.*\\.internal, .*\\.replica, __.*"),
        High,
        PATTERNS,
        "Topics not to mirror, whatever `topics` says.",
    ),
    (
        "config.properties.exclude",
        List,
        Of(NOT_REPLICATED),
        High,
        PATTERNS,
        "Settings of topics that are not kept alike: names and patterns.",
    ),
    (
        "topic.filter.class",
        Class,
        Of(TOPIC_FILTER),
        Low,
        Validator::Custom(|class| only(class, &[TOPIC_FILTER])),
        "What reads `topics` and `topics.exclude`.",
    ),
    (
        "config.property.filter.class",
        Class,
        Of(PROPERTY_FILTER),
        Low,
        Validator::Custom(|class| only(class, &[PROPERTY_FILTER])),
        "What reads `config.properties.exclude` and `use.defaults.from`.",
    ),
    ("consumer.poll.timeout.ms", Long, Of("1000"), Low, NONE, "How long a poll waits for records."),
    (
        "refresh.topics.enabled",
        Boolean,
        Of("true"),
        Low,
        NONE,
        "Whether new topics are looked for.",
    ),
    ("refresh.topics.interval.seconds", Long, Of("600"), Low, NONE, "How often."),
    (
        "sync.topic.configs.enabled",
        Boolean,
        Of("true"),
        Low,
        NONE,
        "Whether the settings of mirrored topics are kept alike.",
    ),
    ("sync.topic.configs.interval.seconds", Long, Of("600"), Low, NONE, "How often."),
    (
        "sync.topic.acls.enabled",
        Boolean,
        Of("true"),
        Low,
        NONE,
        "Whether who may read a topic may read its mirror.",
    ),
    ("sync.topic.acls.interval.seconds", Long, Of("600"), Low, NONE, "How often."),
    ("replication.factor", Int, Of("2"), Low, NONE, "Of topics made in the target."),
    ("offset-syncs.topic.replication.factor", Short, Of("3"), Low, NONE, "Of the syncs' topic."),
    (
        "offset.lag.max",
        Long,
        Of("100"),
        Low,
        NONE,
        "Records after which the offsets of a topic and its mirror are noted again.",
    ),
    (
        "offset-syncs.topic.location",
        Text,
        Of("source"),
        Low,
        Validator::OneOf(&["source", "target"]),
        "Which cluster has the topic of these notes.",
    ),
    ("emit.offset-syncs.enabled", Boolean, Of("true"), Low, NONE, "Whether they are made."),
    (
        "heartbeats.replication.enabled",
        Boolean,
        Of("true"),
        Low,
        NONE,
        "Whether heartbeats are mirrored, whatever `topics` says.",
    ),
];

/// Of the heartbeats' connector alone.
const HEARTBEAT_ROWS: &[Row] = &[
    ("emit.heartbeats.enabled", Boolean, Of("true"), Low, NONE, "Whether heartbeats are written."),
    ("emit.heartbeats.interval.seconds", Long, Of("1"), Low, NONE, "How often."),
    ("heartbeats.topic.replication.factor", Short, Of("3"), Low, NONE, "Of the heartbeats' topic."),
];

const PATTERNS: Validator =
    Validator::Custom(|text| Patterns::of(&millrace_api::config_def::split_list(text)).map(|_| ()));

fn only(class: &str, known: &[&str]) -> Result<(), String> {
    match known.contains(&class) {
        true => Ok(()),
        false => Err(format!("Class {class} could not be found; built in: {}", known.join(", "))),
    }
}

fn key((name, type_, default, importance, validator, documentation): &Row) -> ConfigKey {
    ConfigKey::new(*name, *type_, *default, *importance, documentation).check(*validator)
}

pub fn config_def() -> ConfigDef {
    definition(ROWS)
}

/// Of `MirrorHeartbeatConnector`.
pub fn heartbeat_config_def() -> ConfigDef {
    definition(HEARTBEAT_ROWS)
}

fn definition(own: &[Row]) -> ConfigDef {
    let keys = COMMON.iter().map(key).chain(client_rows::keys()).chain(own.iter().map(key));
    keys.fold(ConfigDef::new(), ConfigDef::define).with_prefixes(clients::PREFIXES)
}

/// Checks across keys: the JVM's own two, and whether clients can be made.
pub fn validate(config: &Config) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    let text = |key: &str| config.get(key).map(|text| text.trim());
    if text("exactly.once.support") == Some("required") && !clients::reads_committed(config) {
        errors.push(ConfigError {
            key: "exactly.once.support".to_owned(),
            message: "MirrorSourceConnector can only provide exactly-once guarantees when its \
                      source consumer is configured with isolation.level set to 'read_committed'; \
                      otherwise, records from aborted and uncommitted transactions will be \
                      replicated from the source cluster to the target cluster."
                .to_owned(),
        });
    }
    let of_syncs =
        |key: &String| key.starts_with("offset-syncs-") || key.starts_with("offset-syncs.topic.");
    if text("emit.offset-syncs.enabled") == Some("false") && config.keys().any(of_syncs) {
        errors.push(ConfigError {
            key: "emit.offset-syncs.enabled".to_owned(),
            message: "MirrorSourceConnector can't setup offset-syncs feature while \
                      emit.offset-syncs.enabled set to false"
                .to_owned(),
        });
    }
    if let Ok(settings) = Settings::of(config)
        && settings.enabled
    {
        errors.extend(settings.refused_clients(config));
    }
    errors
}

/// The checked settings of a connector or of one of its tasks.
#[derive(Clone, Debug)]
pub struct Settings {
    pub name: String,
    pub enabled: bool,
    pub admin_timeout_ms: i64,
    pub policy: ReplicationPolicy,
    pub topics: TopicFilter,
    pub properties: PropertyFilter,
    pub poll_timeout: Duration,
    /// `None`: never. The same of the next two.
    pub refresh_topics: Option<Duration>,
    pub sync_configs: Option<Duration>,
    pub sync_acls: Option<Duration>,
    /// -1 for the brokers' default.
    pub replication_factor: i16,
    pub syncs_replication_factor: i16,
    pub offset_lag_max: i64,
    /// `None`: no offset syncs.
    pub syncs: Option<Side>,
}

impl Settings {
    pub fn of(config: &Config) -> Result<Self, Vec<ConfigError>> {
        let parsed = config_def().parse(config)?;
        // The keys were checked just now.
        let patterns = |key: &str| Patterns::of(&parsed.list(key)).unwrap_or_default();
        let every = |what: &str| {
            let seconds = parsed.long(&format!("{what}.interval.seconds"));
            let wanted = parsed.bool(&format!("{what}.enabled")) && seconds >= 0;
            wanted.then(|| Duration::from_secs(seconds.max(1) as u64))
        };
        let from = config.get("use.defaults.from").map(|text| text.trim());
        let side = match parsed.string("offset-syncs.topic.location") {
            "source" => Side::Source,
            _ => Side::Target,
        };
        Ok(Self {
            name: config.get("name").cloned().unwrap_or_default(),
            enabled: parsed.bool("enabled"),
            admin_timeout_ms: parsed.long("admin.timeout.ms").max(0),
            policy: policy(&parsed),
            topics: TopicFilter {
                include: patterns("topics"),
                exclude: patterns("topics.exclude"),
                heartbeats: parsed.bool("heartbeats.replication.enabled"),
            },
            properties: PropertyFilter {
                exclude: patterns("config.properties.exclude"),
                source_defaults: from == Some("source"),
            },
            poll_timeout: Duration::from_millis(
                parsed.long("consumer.poll.timeout.ms").max(0) as u64
            ),
            refresh_topics: every("refresh.topics"),
            sync_configs: every("sync.topic.configs"),
            sync_acls: every("sync.topic.acls"),
            replication_factor: i16::try_from(parsed.long("replication.factor")).unwrap_or(-1),
            syncs_replication_factor: parsed.long("offset-syncs.topic.replication.factor") as i16,
            offset_lag_max: parsed.long("offset.lag.max"),
            syncs: parsed.bool("emit.offset-syncs.enabled").then_some(side),
        })
    }

    /// The name of a client, as MirrorMaker 2 gives it; `task` is its [`INDEX`].
    pub fn client_id(&self, task: Option<&str>, role: &str) -> String {
        let ReplicationPolicy { source, target, .. } = &self.policy;
        let task = task.map(|index| format!("-{index}")).unwrap_or_default();
        format!("{source}->{target}|{}{task}|{role}", self.name)
    }

    /// The topic of offset syncs, named after the cluster that it is not in.
    pub fn offset_syncs_topic(&self, side: Side) -> String {
        let ReplicationPolicy { source, target, .. } = &self.policy;
        self.policy.offset_syncs_topic(match side {
            Side::Source => target,
            Side::Target => source,
        })
    }

    /// What keeps a client from being made.
    fn refused_clients(&self, config: &Config) -> Vec<ConfigError> {
        let admin = |side| clients::admin(config, side, "", self.admin_timeout_ms).err();
        let syncs = |side| clients::producer(config, side, "").err();
        let all = [
            clients::consumer(config, "").err(),
            admin(Side::Source),
            admin(Side::Target),
            self.syncs.and_then(syncs),
        ];
        let mut errors: Vec<ConfigError> = Vec::new();
        for error in all.into_iter().flatten().flat_map(|all| clients::errors(config, all)) {
            // Two clients of one cluster miss the same things.
            if !errors.contains(&error) {
                errors.push(error);
            }
        }
        errors
    }
}

/// The checked settings of the heartbeats' connector and task.
#[derive(Clone, Debug)]
pub struct HeartbeatSettings {
    pub name: String,
    pub source: String,
    pub target: String,
    pub admin_timeout_ms: i64,
    /// `None`: no heartbeats.
    pub interval: Option<Duration>,
    pub replication_factor: i16,
}

impl HeartbeatSettings {
    pub fn of(config: &Config) -> Result<Self, Vec<ConfigError>> {
        let parsed = heartbeat_config_def().parse(config)?;
        let seconds = parsed.long("emit.heartbeats.interval.seconds");
        let wanted = parsed.bool("emit.heartbeats.enabled") && seconds >= 0;
        Ok(Self {
            name: config.get("name").cloned().unwrap_or_default(),
            source: parsed.string("source.cluster.alias").to_owned(),
            target: parsed.string("target.cluster.alias").to_owned(),
            admin_timeout_ms: parsed.long("admin.timeout.ms").max(0),
            interval: wanted.then(|| Duration::from_secs(seconds as u64)),
            replication_factor: parsed.long("heartbeats.topic.replication.factor") as i16,
        })
    }
}

/// Whether the client that makes the heartbeats' topic can be made.
pub fn validate_heartbeat(config: &Config) -> Vec<ConfigError> {
    let Ok(settings) = HeartbeatSettings::of(config) else { return Vec::new() };
    let refused = clients::admin(config, Side::Target, "", settings.admin_timeout_ms).err();
    refused.map(|problems| clients::errors(config, problems)).unwrap_or_default()
}

fn policy(parsed: &Parsed) -> ReplicationPolicy {
    let separator = parsed.string("replication.policy.separator").to_owned();
    let enabled = parsed.bool("replication.policy.internal.topic.separator.enabled");
    ReplicationPolicy {
        naming: match parsed.string("replication.policy.class") {
            IDENTITY => Naming::Identity,
            _ => Naming::Prefixed,
        },
        source: parsed.string("source.cluster.alias").to_owned(),
        target: parsed.string("target.cluster.alias").to_owned(),
        internal_separator: if enabled { separator.clone() } else { ".".to_owned() },
        separator,
    }
}

/// What a task is to mirror, as the connector wrote it.
pub fn assigned(config: &Config) -> Result<Vec<(String, i32)>, ConfigError> {
    let text = config.get(PARTITIONS).map_or("", |text| text.trim());
    let one = |item: &str| {
        let parsed = item
            .rsplit_once('-')
            .and_then(|(topic, partition)| Some((topic.to_owned(), partition.parse().ok()?)));
        parsed.ok_or_else(|| {
            ConfigError::invalid(PARTITIONS, item, "must be a topic, a dash and a partition")
        })
    };
    text.split(',').filter(|item| !item.is_empty()).map(one).collect()
}
