//! The settings of the clients: which prefixes reach which client, as in MirrorMaker 2.

use std::collections::BTreeMap;

use millrace_api::Config;
use millrace_api::config_def::ConfigError;
use millrace_kafka::config::{ClientConfig, ConfigProblem, ConsumerConfig, Parsed};
use millrace_kafka::producer::ProducerConfig;

use super::client_rows::is_of_a_cluster;

/// Beginnings of keys that are the clients', and the one key that MirrorMaker's filter of settings
/// reads without defining it.
pub const PREFIXES: &[&str] = &[
    "source.cluster.",
    "target.cluster.",
    "consumer.",
    "source.consumer.",
    "producer.",
    "source.producer.",
    "target.producer.",
    "admin.",
    "source.admin.",
    "target.admin.",
    "use.defaults.from",
];

/// One of the two clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Source,
    Target,
}

impl Side {
    fn prefix(self) -> &'static str {
        match self {
            Self::Source => "source.",
            Self::Target => "target.",
        }
    }
}

type Map = BTreeMap<String, String>;

/// What `<side>.cluster.`, `<role>.` and `<side>.<role>.` say, later ones first.
fn gathered(config: &Config, side: Side, role: &str, client_id: &str) -> Map {
    let mut map = Map::new();
    let cluster = format!("{}cluster.", side.prefix());
    let under = |prefix: &str| {
        let stripped = |key: &String| key.strip_prefix(prefix).map(str::to_owned);
        let pair = |(key, value): (&String, &String)| Some((stripped(key)?, value.clone()));
        config.iter().filter_map(pair).collect::<Vec<_>>()
    };
    map.extend(under(&cluster).into_iter().filter(|(key, _)| is_of_a_cluster(key)));
    map.extend(under(&format!("{role}.")));
    map.extend(under(&format!("{}{role}.", side.prefix())));
    map.entry("client.id".to_owned()).or_insert_with(|| client_id.to_owned());
    map
}

fn default(map: &mut Map, key: &str, value: &str) {
    map.entry(key.to_owned()).or_insert_with(|| value.to_owned());
}

/// The consumer that reads the mirrored topics.
pub fn consumer(config: &Config, client_id: &str) -> Result<Parsed<ConsumerConfig>, Problems> {
    let mut map = gathered(config, Side::Source, "consumer", client_id);
    default(&mut map, "auto.offset.reset", "earliest");
    // A topic that was deleted must not come into being for being asked about.
    map.insert("allow.auto.create.topics".to_owned(), "false".to_owned());
    ConsumerConfig::parse(&map).map_err(|problems| (Side::Source, "consumer", problems))
}

/// Whether the consumer leaves aborted records out, and those of open transactions.
pub fn reads_committed(config: &Config) -> bool {
    let map = gathered(config, Side::Source, "consumer", "");
    map.get("isolation.level").is_some_and(|level| level == "read_committed")
}

/// A client for administration; operations take `admin.timeout.ms` at most.
pub fn admin(
    config: &Config,
    side: Side,
    client_id: &str,
    timeout_ms: i64,
) -> Result<Parsed<ClientConfig>, Problems> {
    let mut map = gathered(config, side, "admin", client_id);
    default(&mut map, "default.api.timeout.ms", &timeout_ms.to_string());
    map.insert("allow.auto.create.topics".to_owned(), "false".to_owned());
    ClientConfig::parse(&map).map_err(|problems| (side, "admin", problems))
}

/// The producer of offset syncs, with the defaults of a Java producer, not those of Connect's.
pub fn producer(
    config: &Config,
    side: Side,
    client_id: &str,
) -> Result<Parsed<ProducerConfig>, Problems> {
    let mut map = gathered(config, side, "producer", client_id);
    let idempotent = map.get("acks").is_none_or(|acks| matches!(acks.trim(), "all" | "-1"));
    default(&mut map, "enable.idempotence", if idempotent { "true" } else { "false" });
    default(&mut map, "max.in.flight.requests.per.connection", "5");
    default(&mut map, "delivery.timeout.ms", "120000");
    default(&mut map, "max.block.ms", "60000");
    ProducerConfig::parse(&map).map_err(|problems| (side, "producer", problems))
}

/// Settings that a client cannot be made of.
pub type Problems = (Side, &'static str, Vec<ConfigProblem>);

/// The same under the keys that the user knows them by.
pub fn errors(config: &Config, (side, role, problems): Problems) -> Vec<ConfigError> {
    let error = |problem: ConfigProblem| {
        let ConfigProblem { key, value, why } = problem;
        let narrow = format!("{}{role}.{key}", side.prefix());
        let wide = format!("{role}.{key}");
        let cluster = format!("{}cluster.{key}", side.prefix());
        let given = [narrow, wide].into_iter().find(|name| config.contains_key(name));
        ConfigError::invalid(&given.unwrap_or(cluster), &value, &why)
    };
    problems.into_iter().map(error).collect()
}
