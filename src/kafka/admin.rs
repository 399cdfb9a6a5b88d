//! What tasks need of administration: topics made, listed and looked at.

use std::collections::BTreeMap;
use std::rc::Rc;

use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    CreateTopicsRequest, DescribeConfigsRequest, MetadataRequest, TopicName,
};
use kafka_protocol::protocol::{Request, StrBytes};
use millrace_net::rt::sleep;
use std::time::Instant;

use crate::cluster::Cluster;
use crate::error::{ErrorKind, KafkaError};
use crate::metadata::{Metadata, Topic};

/// A topic to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    pub name: String,
    /// −1 for the broker's `num.partitions`.
    pub partitions: i32,
    /// −1 for the broker's `default.replication.factor`.
    pub replication_factor: i16,
    /// As `cleanup.policy`; brokers check them.
    pub configs: BTreeMap<String, String>,
}

/// What became of a topic to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Creation {
    Created,
    Existed,
    Failed(KafkaError),
}

/// Administration through a [`Cluster`].
pub struct Admin {
    pub(crate) cluster: Cluster,
}

impl Admin {
    pub fn new(cluster: Cluster) -> Self {
        Self { cluster }
    }

    /// Makes topics, one outcome each, in the order asked. That a topic exists is no failure:
    /// others may have made it meanwhile.
    pub async fn create_topics(&self, topics: &[NewTopic]) -> Result<Vec<Creation>, KafkaError> {
        let limit = self.cluster.config().api_timeout;
        self.cluster.retried(limit, async || self.try_create(topics).await).await
    }

    /// Asks the controller, with back-off until `default.api.timeout.ms` is over.
    pub(crate) async fn ask_controller<R: Request>(
        &self,
        request: &R,
    ) -> Result<R::Response, KafkaError> {
        let limit = self.cluster.config().api_timeout;
        self.cluster.retried(limit, async || self.try_controller(request).await).await
    }

    async fn try_controller<R: Request>(&self, request: &R) -> Result<R::Response, KafkaError> {
        let controller = self.cluster.refresh().await?.controller;
        // Brokers of a KRaft cluster pass it on; older ones must be the controller.
        match self.cluster.broker(controller) {
            Ok(_) => self.cluster.call_node(controller, request).await,
            Err(_) => self.cluster.call_any(request).await,
        }
    }

    async fn try_create(&self, topics: &[NewTopic]) -> Result<Vec<Creation>, KafkaError> {
        let request = create_request(topics, self.cluster.config().request_timeout.as_millis());
        let response = self.try_controller(&request).await?;
        let mut outcome = Vec::new();
        for topic in topics {
            let answer = response.topics.iter().find(|answer| *answer.name.0 == *topic.name);
            outcome.push(match answer {
                Some(answer) if answer.error_code == 0 => Creation::Created,
                Some(answer) if answer.error_code == 36 => Creation::Existed,
                Some(answer) => {
                    let why = answer.error_message.as_ref().map_or("", |why| why.as_str());
                    let context = format!("topic '{}': {why}", topic.name);
                    let error = KafkaError::from_code(answer.error_code, "CreateTopics", context);
                    // The controller moved, or is too busy: all of it again.
                    if answer.error_code == 41 || error.is_retriable() {
                        return Err(KafkaError { kind: ErrorKind::Stale, ..error });
                    }
                    Creation::Failed(error)
                }
                None => {
                    let why = format!("the answer leaves out topic '{}'", topic.name);
                    Creation::Failed(KafkaError::corrupt(why).with_api("CreateTopics"))
                }
            });
        }
        Ok(outcome)
    }

    /// The topics named, those that don't exist left out; asking creates none.
    pub async fn describe_topics(
        &self,
        names: &[&str],
    ) -> Result<BTreeMap<Rc<str>, Topic>, KafkaError> {
        let topics = names.iter().map(|name| {
            let name = TopicName(StrBytes::from_string((*name).to_owned()));
            MetadataRequestTopic::default().with_name(Some(name))
        });
        let request = MetadataRequest::default()
            .with_topics(Some(topics.collect()))
            .with_allow_auto_topic_creation(false);
        self.ask(&request).await
    }

    /// The topic's settings by name, those of the broker's defaults too. Fails with
    /// TOPIC_AUTHORIZATION_FAILED (29) and the like where this client may not see them.
    pub async fn topic_configs(&self, topic: &str) -> Result<BTreeMap<String, String>, KafkaError> {
        const TOPIC: i8 = 2;
        let name = StrBytes::from_string(topic.to_owned());
        let resource = DescribeConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(name)
            .with_configuration_keys(None);
        let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
        let text = |text: &Option<StrBytes>| text.as_ref().map(|text| text.to_string());
        let pair = |entry: &DescribeConfigsResourceResult| {
            (entry.name.to_string(), text(&entry.value).unwrap_or_default())
        };
        let once = async || {
            let response = self.cluster.call_any(&request).await?;
            let result = response.results.first().ok_or_else(|| {
                KafkaError::corrupt("the answer leaves the topic out").with_api("DescribeConfigs")
            })?;
            KafkaError::check(result.error_code, "DescribeConfigs", topic)?;
            Ok(result.configs.iter().map(pair).collect())
        };
        self.cluster.retried(self.cluster.config().api_timeout, once).await
    }

    /// All topics that this client may see, internal ones among them.
    pub async fn list_topics(&self) -> Result<BTreeMap<Rc<str>, Topic>, KafkaError> {
        self.ask(&MetadataRequest::default().with_topics(None)).await
    }

    /// Waits until each topic has a leader for each partition, as just after its creation, within
    /// `default.api.timeout.ms`.
    pub async fn wait_for_leaders(&self, names: &[&str]) -> Result<(), KafkaError> {
        let deadline = Instant::now() + self.cluster.config().api_timeout;
        let mut backoff = self.cluster.backoff();
        loop {
            let topics = self.describe_topics(names).await?;
            let led = |name: &&&str| {
                topics.get(**name).is_some_and(|topic| {
                    !topic.partitions.is_empty() && topic.partitions.iter().all(|p| p.leader >= 0)
                })
            };
            let Some(missing) = names.iter().find(|name| !led(name)) else { return Ok(()) };
            let wait = backoff.next_wait();
            if Instant::now() + wait >= deadline {
                let why = format!("topic '{missing}' has no leaders yet");
                return Err(KafkaError::new(ErrorKind::Timeout, why));
            }
            sleep(wait).await;
        }
    }

    /// The cluster's id; `None` from brokers too old to have one.
    pub async fn cluster_id(&self) -> Result<Option<Rc<str>>, KafkaError> {
        Ok(self.cluster.refresh().await?.cluster_id.clone())
    }

    async fn ask(&self, request: &MetadataRequest) -> Result<BTreeMap<Rc<str>, Topic>, KafkaError> {
        let response = self.cluster.call_any(request).await?;
        let mut topics = Metadata::default().merged(&response, true).topics;
        topics.retain(|_, topic| topic.error != 3);
        Ok(topics)
    }
}

fn create_request(topics: &[NewTopic], timeout_ms: u128) -> CreateTopicsRequest {
    let text = |text: &str| StrBytes::from_string(text.to_owned());
    let topics = topics.iter().map(|topic| {
        let configs = topic.configs.iter().map(|(key, value)| {
            CreatableTopicConfig::default().with_name(text(key)).with_value(Some(text(value)))
        });
        CreatableTopic::default()
            .with_name(TopicName(text(&topic.name)))
            .with_num_partitions(topic.partitions)
            .with_replication_factor(topic.replication_factor)
            .with_configs(configs.collect())
    });
    CreateTopicsRequest::default()
        .with_topics(topics.collect())
        .with_timeout_ms(i32::try_from(timeout_ms).unwrap_or(i32::MAX))
}
