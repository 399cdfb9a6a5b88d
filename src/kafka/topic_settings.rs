//! Administration of topics that exist: their settings looked at and changed, partitions added.

use std::collections::BTreeMap;

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::{
    CreatePartitionsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use crate::admin::Admin;
use crate::error::KafkaError;

/// `ConfigResource.Type.TOPIC`.
const TOPIC: i8 = 2;
/// Topics asked about in one request: keeps answers, a few kilobytes a topic, within bounds.
const AT_ONCE: usize = 200;

/// Where a setting comes from (`ConfigEntry.ConfigSource`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingSource {
    /// Of the topic's own.
    Topic,
    /// Of a broker's or of the cluster's, set while it ran.
    DynamicBroker,
    /// Of a broker's file.
    StaticBroker,
    /// Kafka's own default.
    Default,
    Other,
}

/// One setting of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub name: String,
    /// `None` of what is secret.
    pub value: Option<String>,
    pub source: SettingSource,
    pub read_only: bool,
    pub sensitive: bool,
}

/// What is to become of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Set(Option<String>),
    /// Back to the default of the cluster.
    Delete,
}

/// Changes by the setting's name.
pub type Changes = BTreeMap<String, Change>;

impl Admin {
    /// All settings of these topics, those of the brokers' defaults too. Topics that don't exist, or
    /// that this client may not see, come as errors.
    pub async fn settings(
        &self,
        topics: &[&str],
    ) -> Result<Vec<(String, Result<Vec<Setting>, KafkaError>)>, KafkaError> {
        let mut found = Vec::with_capacity(topics.len());
        for some in topics.chunks(AT_ONCE) {
            let resources = some.iter().map(|topic| {
                DescribeConfigsResource::default()
                    .with_resource_type(TOPIC)
                    .with_resource_name(StrBytes::from_string((*topic).to_owned()))
                    .with_configuration_keys(None)
            });
            let request = DescribeConfigsRequest::default().with_resources(resources.collect());
            let response = self.ask_controller(&request).await?;
            found.extend(response.results.iter().map(|result| {
                let topic = result.resource_name.to_string();
                let checked = KafkaError::check(result.error_code, "DescribeConfigs", &topic);
                (topic, checked.map(|()| result.configs.iter().map(setting).collect()))
            }));
        }
        Ok(found)
    }

    /// Changes settings; an outcome for each topic. What is not named stays as it is.
    pub async fn change_settings(
        &self,
        topics: &[(String, Changes)],
    ) -> Result<Vec<(String, Result<(), KafkaError>)>, KafkaError> {
        let mut outcomes = Vec::with_capacity(topics.len());
        for some in topics.chunks(AT_ONCE) {
            let resources = some.iter().map(|(topic, changes)| {
                AlterConfigsResource::default()
                    .with_resource_type(TOPIC)
                    .with_resource_name(StrBytes::from_string(topic.clone()))
                    .with_configs(changes.iter().map(alterable).collect())
            });
            let request =
                IncrementalAlterConfigsRequest::default().with_resources(resources.collect());
            let response = self.ask_controller(&request).await?;
            outcomes.extend(response.responses.iter().map(|answer| {
                let topic = answer.resource_name.to_string();
                let why = answer.error_message.as_ref().map_or("", |why| why.as_str());
                let context = format!("topic '{topic}': {why}");
                let api = "IncrementalAlterConfigs";
                (topic, KafkaError::check(answer.error_code, api, &context))
            }));
        }
        Ok(outcomes)
    }

    /// Lets topics have so many partitions; an outcome for each.
    pub async fn create_partitions(
        &self,
        counts: &BTreeMap<String, i32>,
    ) -> Result<Vec<(String, Result<(), KafkaError>)>, KafkaError> {
        let topics = counts.iter().map(|(topic, count)| {
            CreatePartitionsTopic::default()
                .with_name(TopicName(StrBytes::from_string(topic.clone())))
                .with_count(*count)
                .with_assignments(None)
        });
        let limit = self.cluster.config().request_timeout.as_millis();
        let request = CreatePartitionsRequest::default()
            .with_topics(topics.collect())
            .with_timeout_ms(i32::try_from(limit).unwrap_or(i32::MAX));
        let response = self.ask_controller(&request).await?;
        let outcome = response.results.iter().map(|answer| {
            let why = answer.error_message.as_ref().map_or("", |why| why.as_str());
            let context = format!("topic '{}': {why}", answer.name.as_str());
            let checked = KafkaError::check(answer.error_code, "CreatePartitions", &context);
            (answer.name.to_string(), checked)
        });
        Ok(outcome.collect())
    }
}

fn setting(entry: &DescribeConfigsResourceResult) -> Setting {
    Setting {
        name: entry.name.to_string(),
        value: entry.value.as_ref().map(|value| value.to_string()),
        source: match entry.config_source {
            1 => SettingSource::Topic,
            2 | 3 => SettingSource::DynamicBroker,
            4 => SettingSource::StaticBroker,
            5 => SettingSource::Default,
            _ => SettingSource::Other,
        },
        read_only: entry.read_only,
        sensitive: entry.is_sensitive,
    }
}

fn alterable((name, change): (&String, &Change)) -> AlterableConfig {
    const SET: i8 = 0;
    const DELETE: i8 = 1;
    let (operation, value) = match change {
        Change::Set(value) => (SET, value.clone().map(StrBytes::from_string)),
        Change::Delete => (DELETE, None),
    };
    AlterableConfig::default()
        .with_name(StrBytes::from_string(name.clone()))
        .with_config_operation(operation)
        .with_value(value)
}
