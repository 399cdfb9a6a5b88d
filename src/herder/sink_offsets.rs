//! A sink's offsets, which are those of its consumer group: shapes checked, changes carried out.
//!
//! Texts and their order are Kafka Connect 4.1's.

use std::collections::BTreeMap;

use millrace_api::Config;
use millrace_api::connector::WantedOffset;
use millrace_api::source::offsets::Scalar;
use millrace_kafka::config::ClientConfig;
use millrace_kafka::group_admin::GroupAdmin;
use millrace_kafka::partitions::TopicPartition;
use millrace_kafka::{Cluster, KafkaError};
use millrace_worker::command::TaskId;
use millrace_worker::settings;
use serde_json::{Map, Value};

use crate::requests::{Answer, HerderError, OffsetChange, PartitionOffset};

const TOPIC: &str = "kafka_topic";
const PARTITION: &str = "kafka_partition";
const OFFSET: &str = "kafka_offset";

/// What is wanted: offsets by topic and partition, `None` to forget.
pub type SinkOffsets = BTreeMap<(String, i32), Option<i64>>;

/// Checks the shapes; later entries of a partition win.
pub fn wanted(changes: &[OffsetChange]) -> Answer<SinkOffsets> {
    changes.iter().map(one).collect()
}

fn one(change: &OffsetChange) -> Answer<((String, i32), Option<i64>)> {
    let refuse = |text: String| HerderError::bad_request(text);
    let partition = change.partition.as_ref().ok_or_else(|| {
        refuse("The partition for a sink connector offset cannot be null or missing".to_owned())
    })?;
    let (Some(topic), Some(number)) = (partition.get(TOPIC), partition.get(PARTITION)) else {
        return Err(refuse(format!(
            "The partition for a sink connector offset must contain the keys '{TOPIC}' and \
             '{PARTITION}'"
        )));
    };
    if topic.is_null() {
        return Err(refuse(
            "Kafka topic names must be valid strings and may not be null".to_owned(),
        ));
    }
    if number.is_null() {
        return Err(refuse(
            "Kafka partitions must be valid numbers and may not be null".to_owned(),
        ));
    }
    let place = (java_text(topic), parsed(number, "partition", "Partition")?);
    let Some(offset) = &change.offset else { return Ok((place, None)) };
    let offset = offset.get(OFFSET).ok_or_else(|| {
        refuse(format!(
            "The offset for a sink connector should either be null or contain the key '{OFFSET}'"
        ))
    })?;
    Ok((place, Some(parsed(offset, "offset", "Offset")?)))
}

fn parsed<T: std::str::FromStr>(value: &Value, what: &str, title: &str) -> Answer<T> {
    let text = java_text(value);
    text.parse().map_err(|_| {
        HerderError::bad_request(format!(
            "Failed to parse the following Kafka {what} value in the provided offsets: '{text}'. \
             {title} values for sink connectors need to be integers."
        ))
    })
}

/// Java's `String.valueOf`.
fn java_text(value: &Value) -> String {
    let list = |texts: Vec<String>| texts.join(", ");
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", list(items.iter().map(java_text).collect())),
        Value::Object(object) => format!("{{{}}}", list(pairs(object))),
        other => other.to_string(),
    }
}

fn pairs(object: &Map<String, Value>) -> Vec<String> {
    object.iter().map(|(key, value)| format!("{key}={}", java_text(value))).collect()
}

/// The offsets as the connector itself is asked about them.
pub fn for_connector(offsets: &SinkOffsets) -> Vec<WantedOffset> {
    let of = |((topic, partition), offset): (&(String, i32), &Option<i64>)| {
        let offset = offset.map(|offset| vec![(OFFSET.to_owned(), Scalar::Int(offset))]);
        (place(topic, *partition), offset)
    };
    offsets.iter().map(of).collect()
}

fn place(topic: &str, partition: i32) -> Vec<(String, Scalar)> {
    vec![
        (PARTITION.to_owned(), Scalar::Int(partition.into())),
        (TOPIC.to_owned(), Scalar::String(topic.to_owned())),
    ]
}

/// One connector's group, from a core of its own.
pub struct SinkGroup {
    connector: String,
    admin: GroupAdmin,
}

impl SinkGroup {
    /// The group that the connector's tasks are in, reached as its admin client is set up.
    pub fn of(name: &str, worker: &Config, connector: &Config) -> Answer<Self> {
        let id = TaskId { connector: name.into(), task: 0 };
        let consumer = settings::consumer(worker, connector, &id);
        let group = consumer.get("group.id").map_or("", String::as_str);
        let admin = settings::admin(worker, connector, format!("connector-adminclient-{name}"));
        let parsed = ClientConfig::parse(&admin).map_err(|problems| {
            let list = problems.iter().map(|problem| {
                format!(
                    "Invalid value {} for configuration {}: {}",
                    problem.value, problem.key, problem.why
                )
            });
            HerderError::internal(list.collect::<Vec<_>>().join("; "))
        })?;
        let admin = GroupAdmin::new(Cluster::new(parsed.config), group);
        Ok(Self { connector: name.to_owned(), admin })
    }

    pub async fn list(&self) -> Answer<Vec<PartitionOffset>> {
        let found = self.admin.offsets().await.map_err(|error| {
            HerderError::internal(format!(
                "Failed to list the consumer group offsets of connector {}: {error}",
                self.connector
            ))
        })?;
        let entry = |(name, offset): (TopicPartition, i64)| {
            let offset = vec![(OFFSET.to_owned(), Scalar::Int(offset))];
            (place(&name.topic, name.partition), offset)
        };
        Ok(found.into_iter().map(entry).collect())
    }

    /// What the group has, each to be forgotten.
    pub async fn all(&self) -> Answer<SinkOffsets> {
        let found = self.admin.offsets().await.map_err(|error| self.failed("reset", &error))?;
        Ok(found.into_iter().map(|(at, _)| ((at.topic.to_string(), at.partition), None)).collect())
    }

    pub async fn alter(&self, offsets: &SinkOffsets) -> Answer<()> {
        if offsets.values().flatten().any(|offset| *offset < 0) {
            return Err(HerderError::internal(format!(
                "Failed to modify offsets for sink connector {}",
                self.connector
            )));
        }
        let name = |(topic, partition): &(String, i32)| TopicPartition::new(&**topic, *partition);
        let kept: Vec<_> =
            offsets.iter().filter_map(|(at, offset)| Some((name(at), (*offset)?))).collect();
        let forgotten = offsets.iter().filter(|(_, offset)| offset.is_none());
        let forgotten: Vec<_> = forgotten.map(|(at, _)| name(at)).collect();
        let failed = |error| self.failed("alter", &error);
        if !kept.is_empty() {
            self.admin.alter(&kept).await.map_err(failed)?;
        }
        if !forgotten.is_empty() {
            self.admin.forget(&forgotten).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Deletes the group; that it is not there is fine.
    pub async fn reset(&self) -> Answer<()> {
        match self.admin.delete().await {
            Err(error) if error.name() != "GROUP_ID_NOT_FOUND" => Err(self.failed("reset", &error)),
            _ => Ok(()),
        }
    }

    /// The JVM's words; what was wrong goes into the log, as there.
    fn failed(&self, verb: &str, error: &KafkaError) -> HerderError {
        let connector = &self.connector;
        tracing::error!(connector, %error, "cannot {verb} the consumer group's offsets");
        let busy = ["UNKNOWN_MEMBER_ID", "NON_EMPTY_GROUP", "GROUP_SUBSCRIBED_TO_TOPIC"];
        let what = format!("Failed to {verb} consumer group offsets for connector {connector}");
        HerderError::internal(match busy.contains(&error.name()) {
            true => format!(
                "{what} either because its tasks haven't stopped completely yet or the connector \
                 was resumed before the request to {verb} its offsets could be successfully \
                 completed. If the connector is in a stopped state, this operation can be safely \
                 retried. If it doesn't eventually succeed, the Connect cluster may need to be \
                 restarted to get rid of the zombie sink tasks."
            ),
            false => what,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(partition: &str, offset: &str) -> OffsetChange {
        let map = |text: &str| serde_json::from_str(text).unwrap();
        OffsetChange { partition: map(partition), offset: map(offset) }
    }

    #[test]
    fn numbers_may_be_texts_and_the_last_entry_wins() {
        let at = r#"{"kafka_topic":"t","kafka_partition":0}"#;
        let text = r#"{"kafka_topic":"t","kafka_partition":"0","more":1}"#;
        let changes =
            [change(at, r#"{"kafka_offset":1}"#), change(text, r#"{"kafka_offset":"2"}"#)];
        let wanted = wanted(&changes).unwrap();
        assert_eq!(wanted, SinkOffsets::from([(("t".to_owned(), 0), Some(2))]));
        let reset = super::wanted(&[change(at, "null")]).unwrap();
        assert_eq!(reset, SinkOffsets::from([(("t".to_owned(), 0), None)]));
    }

    #[test]
    fn wrong_shapes_are_told_in_the_jvms_words() {
        let good = r#"{"kafka_topic":"t","kafka_partition":0}"#;
        for (partition, offset, expected) in [
            ("null", "null", "The partition for a sink connector offset cannot be null or missing"),
            ("{}", "null", "The partition for a sink connector offset must contain the keys"),
            (r#"{"kafka_topic":null,"kafka_partition":0}"#, "null", "Kafka topic names must be"),
            (r#"{"kafka_topic":"t","kafka_partition":null}"#, "null", "Kafka partitions must be"),
            (
                r#"{"kafka_topic":"t","kafka_partition":[1]}"#,
                "null",
                "Failed to parse the following Kafka partition value in the provided offsets: '[1]'. Partition",
            ),
            (good, "{}", "The offset for a sink connector should either be null or contain"),
            (
                good,
                r#"{"kafka_offset":null}"#,
                "Failed to parse the following Kafka offset value in the provided offsets: 'null'",
            ),
            (
                good,
                r#"{"kafka_offset":1.5}"#,
                "Failed to parse the following Kafka offset value in the provided offsets: '1.5'",
            ),
        ] {
            let error = wanted(&[change(partition, offset)]).unwrap_err();
            assert!(error.message.starts_with(expected), "{partition} {offset}: {error}");
        }
    }
}
