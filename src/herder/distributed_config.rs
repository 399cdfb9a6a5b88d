//! The keys of Kafka Connect's `DistributedConfig` beyond those of every worker, and the checks of
//! keys against each other.

use millrace_api::Config;
use millrace_api::config_def::{ConfigError, DefaultValue, Importance, Parsed, Type, Validator};

use crate::connect_protocol::ConnectProtocol;
use crate::internal_requests::{ALGORITHMS, SessionKey};
use crate::membership::MembershipSettings;
use crate::stores;
use crate::worker_config::Row;

use DefaultValue::{Null, Of, Required};
use Importance::{High, Low, Medium};

/// Beginnings of keys that become settings of the internal topics.
pub(crate) const TOPIC_PREFIXES: &[&str] =
    &["config.storage.", "offset.storage.", "status.storage."];

/// Keys of every JVM worker's REST API whose default is another one here: REST has to be reached by
/// the other workers.
pub(crate) const LISTENERS: &str = "http://:8083";

const COUNT: Validator = Validator::Custom(count);
const ALGORITHM: Validator = Validator::Custom(algorithm);

pub(crate) const ROWS: &[Row] = &[
    ("group.id", Type::String, Required, High, Validator::NonEmpty),
    ("session.timeout.ms", Type::Int, Of("10000"), High, Validator::AtLeast(1)),
    ("heartbeat.interval.ms", Type::Int, Of("3000"), High, Validator::AtLeast(1)),
    ("rebalance.timeout.ms", Type::Int, Of("60000"), High, Validator::AtLeast(1)),
    (
        "exactly.once.source.support",
        Type::String,
        Of("disabled"),
        High,
        Validator::OneOfIgnoreCase(&["preparing", "enabled", "disabled"]),
    ),
    ("config.storage.topic", Type::String, Required, High, Validator::NonEmpty),
    ("offset.storage.topic", Type::String, Required, High, Validator::NonEmpty),
    ("status.storage.topic", Type::String, Required, High, Validator::NonEmpty),
    ("offset.storage.partitions", Type::Int, Of("25"), Low, COUNT),
    ("status.storage.partitions", Type::Int, Of("5"), Low, COUNT),
    ("config.storage.replication.factor", Type::Short, Of("3"), Low, COUNT),
    ("offset.storage.replication.factor", Type::Short, Of("3"), Low, COUNT),
    ("status.storage.replication.factor", Type::Short, Of("3"), Low, COUNT),
    ("internal.topics.automatic.creation.enable", Type::Boolean, Of("true"), Medium, NONE),
    ("worker.sync.timeout.ms", Type::Int, Of("3000"), Medium, Validator::AtLeast(1)),
    ("worker.unsync.backoff.ms", Type::Int, Of("300000"), Medium, Validator::AtLeast(0)),
    (
        "connect.protocol",
        Type::String,
        Of("sessioned"),
        Low,
        Validator::OneOfIgnoreCase(ConnectProtocol::VALUES),
    ),
    (
        "scheduled.rebalance.max.delay.ms",
        Type::Int,
        Of("300000"),
        Low,
        Validator::Between(0, i32::MAX as i64),
    ),
    ("inter.worker.key.ttl.ms", Type::Int, Of("3600000"), Low, Validator::Between(0, MOST)),
    ("inter.worker.key.generation.algorithm", Type::String, Of("HmacSHA256"), Low, ALGORITHM),
    ("inter.worker.key.size", Type::Int, Null, Low, Validator::Between(1, 1 << 16)),
    ("inter.worker.signature.algorithm", Type::String, Of("HmacSHA256"), Low, ALGORITHM),
    (
        "inter.worker.verification.algorithms",
        Type::List,
        Of("HmacSHA256"),
        Low,
        Validator::Custom(algorithms),
    ),
    ("client.id", Type::String, Of(""), Low, NONE),
];

const NONE: Validator = Validator::None;
const MOST: i64 = i32::MAX as i64;

/// Positive, or −1 for the brokers' default.
fn count(text: &str) -> Result<(), String> {
    match text.parse::<i32>() {
        Ok(count) if count > 0 || count == -1 => Ok(()),
        _ => Err("must be a positive number, or -1 to use the broker's default".to_owned()),
    }
}

/// `exactly.once.source.support`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExactlyOnceSupport {
    Disabled,
    /// The leader writes in transactions already; sources are as ever.
    Preparing,
    Enabled,
}

impl ExactlyOnceSupport {
    /// Of a worker's properties.
    pub fn of(worker: &Config) -> Self {
        let given = worker.get("exactly.once.source.support").map(|text| text.trim());
        match given.map(str::to_ascii_lowercase).as_deref() {
            Some("enabled") => Self::Enabled,
            Some("preparing") => Self::Preparing,
            _ => Self::Disabled,
        }
    }

    /// Records and offsets of source tasks are written in transactions.
    pub fn is_enabled(self) -> bool {
        self == Self::Enabled
    }

    /// The leader writes to the config topic in transactions.
    pub fn has_transactional_leader(self) -> bool {
        self != Self::Disabled
    }
}

fn algorithm(text: &str) -> Result<(), String> {
    match SessionKey::generate(text, None, 0) {
        Some(_) => Ok(()),
        None => {
            Err(format!("this worker knows no such algorithm; it knows {}", ALGORITHMS.join(", ")))
        }
    }
}

fn algorithms(text: &str) -> Result<(), String> {
    let list = millrace_api::config_def::split_list(text);
    if list.is_empty() {
        return Err("must name at least one algorithm, for example HmacSHA256".to_owned());
    }
    list.iter().try_for_each(|one| algorithm(one).map_err(|why| format!("{one}: {why}")))
}

/// What no key tells alone: algorithms that fit, client settings as clients read them.
pub(crate) fn cross_checks(properties: &Config, parsed: &Parsed) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    let signature = parsed.string("inter.worker.signature.algorithm");
    let verification = parsed.list("inter.worker.verification.algorithms");
    if !verification.iter().any(|one| one.eq_ignore_ascii_case(signature)) {
        errors.push(ConfigError::invalid(
            "inter.worker.signature.algorithm",
            signature,
            "Signature algorithm must be present in inter.worker.verification.algorithms list",
        ));
    }
    let topics = ["config.storage.topic", "offset.storage.topic", "status.storage.topic"];
    for (at, key) in topics.iter().enumerate() {
        let topic = parsed.string(key);
        if let Some(same) = topics[..at].iter().find(|other| parsed.string(other) == topic) {
            let why = format!("is the topic of {same} already; each needs one of its own");
            errors.push(ConfigError::invalid(key, topic, &why));
        }
    }
    let clients = stores::check(properties).err();
    let member = MembershipSettings::of(properties, "http://localhost/", "localhost").err();
    for problem in clients.into_iter().chain(member).flatten() {
        if errors.iter().all(|known| known.key != problem.key) {
            errors.push(ConfigError::invalid(&problem.key, &problem.value, &problem.why));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::plugins;
    use crate::worker_config::WorkerConfig;

    fn worker(more: &[(&str, &str)]) -> Config {
        let basic = [
            ("bootstrap.servers", "localhost:9092"),
            ("key.converter", "test.TextConverter"),
            ("value.converter", "test.TextConverter"),
            ("group.id", "g"),
            ("config.storage.topic", "c"),
            ("offset.storage.topic", "o"),
            ("status.storage.topic", "s"),
        ];
        let all = basic.iter().chain(more);
        all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_jvms_own_example_is_a_good_file() {
        let more = [
            ("offset.storage.replication.factor", "1"),
            ("config.storage.replication.factor", "1"),
            ("status.storage.replication.factor", "-1"),
            ("offset.flush.interval.ms", "10000"),
            ("config.storage.min.insync.replicas", "2"),
            ("plugin.path", "/usr/local/share/java"),
        ];
        let worker = WorkerConfig::distributed(worker(&more), &plugins()).unwrap();
        assert_eq!(worker.group_id(), Some("g"));
        assert!(worker.ignored.is_empty(), "{:?}", worker.ignored);
        assert_eq!(worker.listeners[0].host, "", "other workers must reach it");
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let file = worker(&[
            ("exactly.once.source.support", "always"),
            ("connect.protocol", "quick"),
            ("offset.storage.partitions", "0"),
            ("inter.worker.key.generation.algorithm", "DES"),
            ("security.protocol", "SECRET"),
            ("config.storage.topic", ""),
        ]);
        let errors = WorkerConfig::distributed(file, &plugins()).err().unwrap();
        let text: Vec<_> = errors.iter().map(|error| error.message.as_str()).collect();
        let text = text.join("\n");
        for expected in [
            "Invalid value always for configuration exactly.once.source.support: String must be one of \
             (case insensitive)",
            "configuration connect.protocol",
            "configuration offset.storage.partitions: must be a positive number",
            "Invalid value DES for configuration inter.worker.key.generation.algorithm",
            "configuration security.protocol",
            "configuration config.storage.topic",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        let file = worker(&[
            ("inter.worker.signature.algorithm", "HmacSHA512"),
            ("status.storage.topic", "c"),
        ]);
        let errors = WorkerConfig::distributed(file, &plugins()).err().unwrap();
        assert_eq!(errors.len(), 2, "{errors:?}");
    }
}
