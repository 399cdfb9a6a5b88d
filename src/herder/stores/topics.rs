//! The internal topics: made if they are missing, looked at if they are there.

use std::collections::BTreeMap;

use millrace_api::Config;
use millrace_kafka::Cluster;
use millrace_kafka::admin::{Admin, Creation, NewTopic};

/// One of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Config,
    Offset,
    Status,
}

impl Which {
    pub const ALL: [Self; 3] = [Self::Config, Self::Offset, Self::Status];

    /// The beginning of its keys, as `config.storage.`.
    fn prefix(self) -> &'static str {
        match self {
            Self::Config => "config.storage.",
            Self::Offset => "offset.storage.",
            Self::Status => "status.storage.",
        }
    }

    pub fn topic_key(self) -> &'static str {
        match self {
            Self::Config => "config.storage.topic",
            Self::Offset => "offset.storage.topic",
            Self::Status => "status.storage.topic",
        }
    }

    /// What it holds, in the JVM's words.
    fn purpose(self) -> &'static str {
        match self {
            Self::Config => "connector configurations",
            Self::Offset => "source connector offsets",
            Self::Status => "connector and task statuses",
        }
    }

    /// The end of its clients' id.
    pub fn client(self) -> &'static str {
        match self {
            Self::Config => "configs",
            Self::Offset => "offsets",
            Self::Status => "statuses",
        }
    }

    fn default_partitions(self) -> i32 {
        match self {
            Self::Config => 1,
            Self::Offset => 25,
            Self::Status => 5,
        }
    }
}

/// How the topic is to be made, by the worker's properties.
pub fn new_topic(worker: &Config, which: Which) -> NewTopic {
    let prefix = which.prefix();
    let given = |key: &str| worker.get(&format!("{prefix}{key}")).map(|value| value.trim());
    let number = |key: &str, default: i32| {
        given(key).and_then(|value| value.parse().ok()).unwrap_or(default)
    };
    let mut configs = BTreeMap::new();
    for (key, value) in worker {
        let Some(key) = key.strip_prefix(prefix) else { continue };
        match key {
            "topic" | "replication.factor" => {}
            "partitions" if which != Which::Config => {}
            "partitions" | "cleanup.policy" => tracing::warn!(
                "{prefix}{key}={value} is ignored: the topic needs one partition for \
                 configurations, and is compacted"
            ),
            _ => drop(configs.insert(key.to_owned(), value.trim().to_owned())),
        }
    }
    configs.insert("cleanup.policy".to_owned(), "compact".to_owned());
    let partitions = match which {
        Which::Config => 1,
        _ => number("partitions", which.default_partitions()),
    };
    NewTopic {
        name: given("topic").unwrap_or_default().to_owned(),
        partitions,
        replication_factor: number("replication.factor", 3) as i16,
        configs,
    }
}

/// Sees to it that the topic is there and is what it must be; the number of its partitions. The error
/// is the JVM's, with what to change.
pub async fn prepare(cluster: &Cluster, worker: &Config, which: Which) -> Result<i32, String> {
    prepare_as(cluster, worker, which, new_topic(worker, which), which.topic_key()).await
}

/// The same for a connector's own offset topic, which is made as the worker's is.
pub async fn prepare_own_offsets(
    cluster: &Cluster,
    worker: &Config,
    topic: &str,
) -> Result<i32, String> {
    let wanted = NewTopic { name: topic.to_owned(), ..new_topic(worker, Which::Offset) };
    prepare_as(cluster, worker, Which::Offset, wanted, "offsets.storage.topic").await
}

async fn prepare_as(
    cluster: &Cluster,
    worker: &Config,
    which: Which,
    wanted: NewTopic,
    key: &str,
) -> Result<i32, String> {
    let admin = Admin::new(cluster.clone());
    let topic = wanted.name.as_str();
    let unreachable = |error: millrace_kafka::KafkaError| {
        format!("Failed to look at the topic '{topic}' supplied via the '{key}' property: {error}")
    };
    let mut found = admin.describe_topics(&[topic]).await.map_err(unreachable)?;
    let automatic = worker.get("internal.topics.automatic.creation.enable");
    if !found.contains_key(topic) && automatic.is_some_and(|text| text.trim() == "false") {
        return Err(format!(
            "The topic '{topic}' supplied via the '{key}' property does not exist, and \
             internal.topics.automatic.creation.enable=false; create it with cleanup.policy=compact"
        ));
    }
    if !found.contains_key(topic) {
        let made = admin.create_topics(std::slice::from_ref(&wanted)).await.map_err(unreachable)?;
        match made.into_iter().next() {
            Some(Creation::Failed(error)) => return Err(not_made(&wanted, which, key, &error)),
            Some(Creation::Created) => tracing::info!(
                topic,
                partitions = wanted.partitions,
                replication_factor = wanted.replication_factor,
                "created the topic for {}",
                which.purpose()
            ),
            _ => {}
        }
        admin.wait_for_leaders(&[topic]).await.map_err(unreachable)?;
        found = admin.describe_topics(&[topic]).await.map_err(unreachable)?;
    }
    let partitions = found.get(topic).map_or(0, |topic| topic.partitions.len());
    if which == Which::Config && partitions > 1 {
        return Err(format!(
            "Topic '{topic}' supplied via the 'config.storage.topic' property is required to have a \
             single partition in order to guarantee consistency of connector configurations, but \
             found {partitions} partitions."
        ));
    }
    check_compaction(&admin, topic, which, key).await?;
    Ok(partitions as i32)
}

fn not_made(
    wanted: &NewTopic,
    which: Which,
    key: &str,
    error: &millrace_kafka::KafkaError,
) -> String {
    let (topic, prefix) = (&wanted.name, which.prefix());
    let hint = match error.name() {
        "INVALID_REPLICATION_FACTOR" => format!(
            "; set {prefix}replication.factor to the number of brokers at most, or to -1 for the \
             brokers' default"
        ),
        "TOPIC_AUTHORIZATION_FAILED" | "CLUSTER_AUTHORIZATION_FAILED" => {
            "; allow this worker to create topics, or create it beforehand with \
             cleanup.policy=compact"
                .to_owned()
        }
        _ => String::new(),
    };
    format!(
        "Error while attempting to create/find topic(s) '{topic}' supplied via the '{key}' property: \
         {error}{hint}"
    )
}

async fn check_compaction(
    admin: &Admin,
    topic: &str,
    which: Which,
    key: &str,
) -> Result<(), String> {
    let configs = match admin.topic_configs(topic).await {
        Ok(configs) => configs,
        // Who may not see it is believed, as by the JVM.
        Err(error) => {
            tracing::warn!(topic, %error, "cannot see whether the topic is compacted");
            return Ok(());
        }
    };
    let Some(policy) = configs.get("cleanup.policy") else { return Ok(()) };
    let mut policies: Vec<&str> = policy.split(',').map(str::trim).collect();
    policies.sort_unstable();
    if policies == ["compact"] {
        return Ok(());
    }
    let (purpose, policy) = (which.purpose(), policies.join(","));
    let owner = if key == which.topic_key() { "Connect worker" } else { "connector" };
    Err(format!(
        "Topic '{topic}' supplied via the '{key}' property is required to have \
         'cleanup.policy=compact' to guarantee consistency and durability of {purpose}, but found \
         the topic currently has 'cleanup.policy={policy}'. Continuing would likely result in \
         eventually losing {purpose} and problems restarting this Connect cluster in the future. \
         Change the '{key}' property in the {owner} configurations to use a topic with \
         'cleanup.policy=compact'."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topics_settings_come_from_its_prefix() {
        let worker: Config = [
            ("config.storage.topic", "c"),
            ("config.storage.partitions", "7"),
            ("config.storage.cleanup.policy", "delete"),
            ("config.storage.min.insync.replicas", " 2 "),
            ("offset.storage.topic", "o"),
            ("offset.storage.partitions", "-1"),
            ("offset.storage.replication.factor", "-1"),
            ("status.storage.topic", "s"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let config = new_topic(&worker, Which::Config);
        assert_eq!((config.partitions, config.replication_factor), (1, 3));
        let configs: Vec<_> =
            config.configs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(configs, ["cleanup.policy=compact", "min.insync.replicas=2"]);
        let offset = new_topic(&worker, Which::Offset);
        assert_eq!((offset.partitions, offset.replication_factor), (-1, -1));
        assert_eq!(new_topic(&worker, Which::Status).partitions, 5);
    }
}
