//! `topic.creation.*`: a source's topics are made by the worker, with the settings of their group.

use std::collections::{BTreeMap, HashSet};

use fancy_regex::Regex;
use millrace_api::Config;
use millrace_api::config_def::split_list;
use millrace_api::error::ConnectError;
use millrace_kafka::KafkaError;
use millrace_kafka::admin::{Admin, Creation, NewTopic};

/// Kafka's codes.
const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
const CLUSTER_AUTHORIZATION_FAILED: i16 = 31;
const UNSUPPORTED_VERSION: i16 = 35;
const INVALID_CONFIG: i16 = 40;

/// The settings of one group.
#[derive(Clone, Debug, PartialEq)]
struct Group {
    include: Vec<String>,
    exclude: Vec<String>,
    partitions: i32,
    replication: i16,
    settings: BTreeMap<String, String>,
}

/// Which topics are known to be there, and how the others are made.
pub(crate) struct TopicCreation {
    /// `None`: not asked for; what the broker does with unknown topics is its own business.
    active: Option<Active>,
    known: HashSet<String>,
    /// The topic of the record before: most records go where the last one went.
    last: String,
}

struct Active {
    groups: Vec<Group>,
    admin: Admin,
}

impl TopicCreation {
    /// Active when the worker allows it and the connector has a `topic.creation.` key.
    pub(crate) fn of(
        worker: &Config,
        connector: &Config,
        admin: impl FnOnce() -> Result<Admin, ConnectError>,
    ) -> Result<Self, ConnectError> {
        let allowed = worker
            .get("topic.creation.enable")
            .is_none_or(|text| text.trim().eq_ignore_ascii_case("true"));
        let asked = connector.keys().any(|key| key.starts_with("topic.creation."));
        let active = if allowed && asked {
            Some(Active { groups: groups(connector)?, admin: admin()? })
        } else {
            None
        };
        Ok(Self { active, known: HashSet::new(), last: String::new() })
    }

    /// Whether records may be sent there.
    #[inline]
    pub(crate) fn known(&mut self, topic: &str) -> bool {
        if self.active.is_none() || self.last == topic {
            return true;
        }
        let known = self.known.contains(topic);
        if known {
            self.last.clear();
            self.last.push_str(topic);
        }
        known
    }

    /// Looks the topic up and makes it if it is not there.
    pub(crate) async fn ensure(&mut self, topic: &str) -> Result<(), ConnectError> {
        let Some(active) = &self.active else { return Ok(()) };
        let failed = |error: KafkaError| refused(topic, error);
        let group = choose(&active.groups, topic);
        let wanted = NewTopic {
            name: topic.to_owned(),
            partitions: group.partitions,
            replication_factor: group.replication,
            configs: group.settings.clone(),
        };
        make_if_missing(&active.admin, wanted).await.map_err(failed)?;
        self.known.insert(topic.to_owned());
        Ok(())
    }
}

/// Records by topic. Most records go where the last one went: that is one comparison.
#[derive(Default)]
pub(crate) struct TopicCounts {
    counts: Vec<(String, u64)>,
    last: usize,
}

impl TopicCounts {
    #[inline]
    pub(crate) fn add(&mut self, topic: &str) {
        match self.counts.get_mut(self.last) {
            Some((last, count)) if last == topic => *count += 1,
            _ => self.add_other(topic),
        }
    }

    #[cold]
    fn add_other(&mut self, topic: &str) {
        let known = self.counts.iter().position(|(known, _)| known == topic);
        self.last = known.unwrap_or_else(|| {
            self.counts.push((topic.to_owned(), 0));
            self.counts.len() - 1
        });
        self.counts[self.last].1 += 1;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counts.iter().map(|(topic, count)| (topic.as_str(), *count))
    }
}

/// `TopicAdmin`'s words for why a topic could be neither found nor made.
#[cold]
fn refused(topic: &str, error: KafkaError) -> ConnectError {
    let message = match error.code {
        TOPIC_AUTHORIZATION_FAILED | CLUSTER_AUTHORIZATION_FAILED | UNSUPPORTED_VERSION => format!(
            "Task failed to create new topic {topic}. Ensure that the task is authorized to create \
             topics or that the topic exists and restart the task"
        ),
        INVALID_CONFIG => format!("Unable to create topic(s) '{topic}'"),
        _ if error.is_retriable() => format!(
            "Timed out while checking for or creating topic(s) '{topic}'. This could indicate a \
             connectivity issue, unavailable topic partitions, or if this is your first use of the \
             topic it may have taken too long to create."
        ),
        _ => format!("Error while attempting to create/find topic(s) '{topic}'"),
    };
    ConnectError::fatal(message).caused_by(error)
}

/// Makes a topic unless it is there, and waits until it can be written to.
pub(crate) async fn make_if_missing(admin: &Admin, topic: NewTopic) -> Result<(), KafkaError> {
    let name = topic.name.clone();
    let found = admin.describe_topics(&[&name]).await?;
    if found.get(&*name).is_some_and(|topic| topic.error == 0) {
        return Ok(());
    }
    for creation in admin.create_topics(&[topic]).await? {
        match creation {
            Creation::Created => tracing::info!(topic = name, "created"),
            // Somebody else was quicker.
            Creation::Existed => {}
            Creation::Failed(error) => return Err(error),
        }
    }
    admin.wait_for_leaders(&[&name]).await
}

/// The groups in listed order, the default group last.
fn groups(connector: &Config) -> Result<Vec<Group>, ConnectError> {
    let mut names =
        connector.get("topic.creation.groups").map(|text| split_list(text)).unwrap_or_default();
    names.retain(|name| !name.is_empty() && name != "default");
    let default = group(connector, "default", None)?;
    let mut groups = names
        .iter()
        .map(|name| group(connector, name, Some(&default)))
        .collect::<Result<Vec<_>, _>>()?;
    groups.push(default);
    Ok(groups)
}

fn group(connector: &Config, name: &str, default: Option<&Group>) -> Result<Group, ConnectError> {
    let prefix = format!("topic.creation.{name}.");
    let mut settings: BTreeMap<String, String> = connector
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix(&prefix)?.to_owned(), value.clone())))
        .collect();
    let list = |text: Option<String>| text.map(|text| split_list(&text)).unwrap_or_default();
    let include = list(settings.remove("include"));
    let exclude = list(settings.remove("exclude"));
    let mut number = |key: &str, inherited: Option<i64>| {
        let text = settings.remove(key);
        let value = text.as_deref().map_or(inherited, |text| text.trim().parse().ok());
        value.filter(|value| *value > 0 || *value == -1).ok_or_else(|| {
            ConnectError::fatal(format!(
                "Invalid value {} for configuration {prefix}{key}: must be positive, or -1 for the \
                 broker's default",
                text.as_deref().unwrap_or("null")
            ))
        })
    };
    let partitions = number("partitions", default.map(|group| group.partitions.into()))?;
    let replication = number("replication.factor", default.map(|group| group.replication.into()))?;
    Ok(Group {
        include,
        exclude,
        partitions: partitions as i32,
        replication: replication as i16,
        settings,
    })
}

/// The first group whose patterns take the topic; the default group, the last, takes all.
fn choose<'g>(groups: &'g [Group], topic: &str) -> &'g Group {
    let (default, listed) = groups.split_last().expect("the default group is always there");
    listed
        .iter()
        .find(|group| matches(&group.include, topic) && !matches(&group.exclude, topic))
        .unwrap_or(default)
}

/// Java's `matches`: the whole topic, by one of the patterns.
fn matches(patterns: &[String], topic: &str) -> bool {
    patterns.iter().any(|pattern| {
        Regex::new(&format!("^(?:{pattern})$"))
            .is_ok_and(|regex| regex.is_match(topic).unwrap_or(false))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_first_matching_group_wins_and_inherits_the_defaults() {
        let config = config(&[
            ("topic.creation.groups", "logs, default"),
            ("topic.creation.default.partitions", "3"),
            ("topic.creation.default.replication.factor", "-1"),
            ("topic.creation.logs.include", "log-.*,audit"),
            ("topic.creation.logs.exclude", "log-private"),
            ("topic.creation.logs.partitions", "7"),
            ("topic.creation.logs.cleanup.policy", "compact"),
        ]);
        let groups = groups(&config).unwrap();
        let log = choose(&groups, "log-a");
        assert_eq!((log.partitions, log.replication), (7, -1));
        assert_eq!(log.settings["cleanup.policy"], "compact");
        assert_eq!(choose(&groups, "log-private").partitions, 3);
        assert_eq!(choose(&groups, "xlog-a").partitions, 3, "the whole name must match");
    }

    #[test]
    fn records_are_counted_by_topic() {
        let mut counts = TopicCounts::default();
        ["a", "a", "b", "a"].iter().for_each(|topic| counts.add(topic));
        assert_eq!(counts.iter().collect::<Vec<_>>(), [("a", 3), ("b", 1)]);
    }

    #[test]
    fn the_default_group_needs_its_numbers() {
        let error = groups(&config(&[("topic.creation.default.partitions", "0")])).unwrap_err();
        assert!(error.message.contains("topic.creation.default.partitions"), "{error}");
    }
}
