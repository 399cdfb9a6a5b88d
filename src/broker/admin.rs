//! Requests that change topics and configs, or show configs.

use std::rc::Rc;

use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse as AlterResult;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult,
};
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::*;

use crate::core::{Call, Core};
use crate::protocol::{code, text};
use crate::topics::{Configs, TOPIC_CONFIGS, Topic, config_is_valid, default_of, storage_error};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const SOURCE_TOPIC: i8 = 1;
const SOURCE_STATIC: i8 = 4;
const SOURCE_DEFAULT: i8 = 5;

fn message(error: i16, subject: &str) -> Option<kafka_protocol::protocol::StrBytes> {
    let message = match error {
        code::TOPIC_ALREADY_EXISTS => format!("Topic '{subject}' already exists."),
        code::INVALID_PARTITIONS => {
            "Number of partitions must be larger than it is, and at most 1000.".to_owned()
        }
        code::INVALID_REPLICATION_FACTOR => {
            "Unable to replicate the partition: this broker is the only one.".to_owned()
        }
        code::INVALID_REPLICA_ASSIGNMENT => {
            "The assignment names a broker that is not this one.".to_owned()
        }
        code::INVALID_TOPIC_EXCEPTION => format!("Topic name '{subject}' is illegal."),
        code::INVALID_CONFIG => "A config is unknown, or its value is not of its type.".to_owned(),
        code::UNKNOWN_TOPIC_OR_PARTITION => {
            "This server does not host this topic-partition.".to_owned()
        }
        _ => return None,
    };
    Some(text(&message))
}

impl Core {
    pub(crate) fn create_topics(
        &self,
        call: &Call,
        request: CreateTopicsRequest,
    ) -> CreateTopicsResponse {
        let topics = request.topics.iter().map(|asked| {
            let answer = CreatableTopicResult::default().with_name(asked.name.clone());
            match call.error.map_or_else(|| self.create_topic(asked, request.validate_only), Err) {
                Ok((topic, partitions)) => {
                    let answer = answer.with_num_partitions(partitions).with_replication_factor(1);
                    let empty = Configs::new();
                    let own = topic.as_ref().map(|topic| topic.configs.borrow());
                    let shown = topic_configs(own.as_deref().unwrap_or(&empty));
                    let shown = shown.map(|(name, value, source, _)| {
                        CreatableTopicConfigs::default()
                            .with_name(text(name))
                            .with_value(Some(text(&value)))
                            .with_config_source(source)
                    });
                    let answer = answer.with_configs((call.version >= 5).then(|| shown.collect()));
                    let answer = answer.with_error_message(None);
                    match &topic {
                        Some(topic) => answer.with_topic_id(topic.id),
                        None => answer,
                    }
                }
                Err(error) => answer
                    .with_error_code(error)
                    .with_error_message(message(error, &asked.name))
                    .with_configs(Some(Vec::new())),
            }
        });
        CreateTopicsResponse::default().with_topics(topics.collect())
    }

    fn create_topic(
        &self,
        asked: &CreatableTopic,
        validate_only: bool,
    ) -> Result<(Option<Rc<Topic>>, i32), i16> {
        let mut partitions = match asked.num_partitions {
            -1 => self.options.default_partitions,
            count => count,
        };
        if !asked.assignments.is_empty() {
            let ours = |ids: &[BrokerId]| ids.len() == 1 && ids[0] == self.options.node_id;
            if !asked.assignments.iter().all(|assignment| ours(&assignment.broker_ids)) {
                return Err(code::INVALID_REPLICA_ASSIGNMENT);
            }
            partitions = asked.assignments.len() as i32;
        } else if !matches!(asked.replication_factor, -1 | 1) {
            return Err(code::INVALID_REPLICATION_FACTOR);
        }
        let configs = asked
            .configs
            .iter()
            .map(|own| (own.name.to_string(), own.value.as_deref().unwrap_or_default().to_owned()))
            .collect();
        let topic =
            self.topics.borrow_mut().create(&asked.name, partitions, configs, validate_only)?;
        Ok((topic, partitions))
    }

    pub(crate) fn delete_topics(
        &self,
        call: &Call,
        request: DeleteTopicsRequest,
    ) -> DeleteTopicsResponse {
        let mut wanted: Vec<(Option<TopicName>, uuid::Uuid)> = Vec::new();
        wanted.extend(request.topic_names.into_iter().map(|name| (Some(name), uuid::Uuid::nil())));
        wanted.extend(request.topics.into_iter().map(|topic| (topic.name, topic.topic_id)));
        let responses = wanted.into_iter().map(|(name, id)| {
            let by_id = || self.topics.borrow().by_id(id).map(|topic| topic.name.clone());
            let found = name.as_ref().map(|name| name.to_string()).or_else(by_id);
            let missing =
                if id.is_nil() { code::UNKNOWN_TOPIC_OR_PARTITION } else { code::UNKNOWN_TOPIC_ID };
            let found = call.error.map_or(found.ok_or(missing), Err);
            let result = found.and_then(|name| {
                let topic = self.topics.borrow_mut().delete(&name)?;
                self.offsets.borrow_mut().delete_topic(&name).map_err(storage_error)?;
                Ok(topic)
            });
            let answer = DeletableTopicResult::default().with_name(name).with_topic_id(id);
            match result {
                Ok(topic) => answer.with_topic_id(if call.version >= 6 { topic.id } else { id }),
                Err(error) => {
                    let message = if call.version >= 5 { message(error, "") } else { None };
                    answer.with_error_code(error).with_error_message(message)
                }
            }
        });
        DeleteTopicsResponse::default().with_responses(responses.collect())
    }

    pub(crate) fn create_partitions(
        &self,
        request: CreatePartitionsRequest,
    ) -> CreatePartitionsResponse {
        let results = request.topics.iter().map(|asked| {
            let grown =
                self.topics.borrow_mut().grow(&asked.name, asked.count, request.validate_only);
            let error = grown.err().unwrap_or(code::NONE);
            CreatePartitionsTopicResult::default()
                .with_name(asked.name.clone())
                .with_error_code(error)
                .with_error_message(message(error, &asked.name))
        });
        CreatePartitionsResponse::default().with_results(results.collect())
    }

    pub(crate) fn delete_records(
        &self,
        call: &Call,
        request: DeleteRecordsRequest,
    ) -> DeleteRecordsResponse {
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|asked| {
                let index = asked.partition_index;
                let result = match call.partition_error(&topic.name, index) {
                    Some(error) => Err(error),
                    None => self.delete_before(&topic.name, index, asked.offset),
                };
                DeleteRecordsPartitionResult::default()
                    .with_partition_index(index)
                    .with_low_watermark(result.unwrap_or(-1))
                    .with_error_code(result.err().unwrap_or(code::NONE))
            });
            DeleteRecordsTopicResult::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions.collect())
        });
        DeleteRecordsResponse::default().with_topics(topics.collect())
    }

    fn delete_before(&self, topic: &str, index: i32, offset: i64) -> Result<i64, i16> {
        let partition = self.topics.borrow().partition(topic, index);
        let partition = partition.ok_or(code::UNKNOWN_TOPIC_OR_PARTITION)?;
        let mut log = partition.log.borrow_mut();
        let end = log.end_offset();
        let offset = if offset == -1 { end } else { offset };
        if offset < 0 || offset > end {
            return Err(code::OFFSET_OUT_OF_RANGE);
        }
        log.delete_before(offset).map_err(storage_error)?;
        partition.changed.notify();
        Ok(log.start_offset())
    }

    pub(crate) fn describe_configs(
        &self,
        request: DescribeConfigsRequest,
    ) -> DescribeConfigsResponse {
        let results = request.resources.iter().map(|resource| {
            let name = resource.resource_name.as_str();
            let answer = DescribeConfigsResult::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone());
            let wanted = |config: &str| match &resource.configuration_keys {
                Some(keys) => keys.iter().any(|key| key.as_str() == config),
                None => true,
            };
            let show = |(name, value, source, kind): (&str, String, i8, i8)| {
                let synonym = DescribeConfigsSynonym::default()
                    .with_name(text(name))
                    .with_value(Some(text(&value)))
                    .with_source(source);
                let synonyms = if request.include_synonyms { vec![synonym] } else { Vec::new() };
                DescribeConfigsResourceResult::default()
                    .with_name(text(name))
                    .with_value(Some(text(&value)))
                    .with_config_source(source)
                    .with_synonyms(synonyms)
                    .with_config_type(kind)
            };
            match resource.resource_type {
                TOPIC => match self.topics.borrow().get(name) {
                    Some(topic) => {
                        let own = topic.configs.borrow();
                        let configs = topic_configs(&own).filter(|config| wanted(config.0));
                        answer.with_configs(configs.map(show).collect())
                    }
                    None => answer
                        .with_error_code(code::UNKNOWN_TOPIC_OR_PARTITION)
                        .with_error_message(message(code::UNKNOWN_TOPIC_OR_PARTITION, name)),
                },
                BROKER => {
                    let configs = self.broker_configs().into_iter().filter(|own| wanted(own.0));
                    answer.with_configs(configs.map(show).collect())
                }
                _ => answer.with_error_code(code::INVALID_REQUEST),
            }
        });
        DescribeConfigsResponse::default().with_results(results.collect())
    }

    /// The few broker configs that tools ask for.
    fn broker_configs(&self) -> Vec<(&'static str, String, i8, i8)> {
        let set = |name, value: &dyn ToString, kind| (name, value.to_string(), SOURCE_STATIC, kind);
        vec![
            set("auto.create.topics.enable", &self.options.auto_create_topics, 1),
            set("default.replication.factor", &1, 3),
            set("node.id", &self.options.node_id, 3),
            set("num.partitions", &self.options.default_partitions, 3),
        ]
    }

    pub(crate) fn incremental_alter_configs(
        &self,
        request: IncrementalAlterConfigsRequest,
    ) -> IncrementalAlterConfigsResponse {
        let responses = request.resources.iter().map(|resource| {
            let changes = resource.configs.iter().map(|own| {
                (own.name.as_str(), own.config_operation, own.value.as_deref().unwrap_or_default())
            });
            let (kind, name) = (resource.resource_type, resource.resource_name.as_str());
            let result = self.alter(kind, name, changes, false, request.validate_only);
            let error = result.err().unwrap_or(code::NONE);
            AlterConfigsResourceResponse::default()
                .with_error_code(error)
                .with_error_message(message(error, name))
                .with_resource_type(kind)
                .with_resource_name(resource.resource_name.clone())
        });
        IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
    }

    pub(crate) fn alter_configs(&self, request: AlterConfigsRequest) -> AlterConfigsResponse {
        let responses = request.resources.iter().map(|resource| {
            let changes = resource
                .configs
                .iter()
                .map(|own| (own.name.as_str(), 0, own.value.as_deref().unwrap_or_default()));
            let (kind, name) = (resource.resource_type, resource.resource_name.as_str());
            let result = self.alter(kind, name, changes, true, request.validate_only);
            let error = result.err().unwrap_or(code::NONE);
            AlterResult::default()
                .with_error_code(error)
                .with_error_message(message(error, name))
                .with_resource_type(kind)
                .with_resource_name(resource.resource_name.clone())
        });
        AlterConfigsResponse::default().with_responses(responses.collect())
    }

    /// Applies `(name, operation, value)`: 0 sets, 1 deletes, 2 appends to a list, 3 takes out of it.
    fn alter<'a>(
        &self,
        kind: i8,
        name: &str,
        changes: impl Iterator<Item = (&'a str, i8, &'a str)>,
        from_nothing: bool,
        validate_only: bool,
    ) -> Result<(), i16> {
        if kind != TOPIC {
            return Err(code::INVALID_REQUEST);
        }
        let topics = self.topics.borrow();
        let topic = topics.get(name).ok_or(code::UNKNOWN_TOPIC_OR_PARTITION)?;
        let mut configs =
            if from_nothing { Configs::new() } else { topic.configs.borrow().clone() };
        for (config, operation, value) in changes {
            let list = || {
                let old = configs.get(config).map_or_else(|| default_of(config), String::as_str);
                let parts = old.split(',').filter(|part| !part.is_empty() && *part != value);
                parts.map(str::to_owned).collect::<Vec<_>>()
            };
            let new = match operation {
                0 => value.to_owned(),
                1 => {
                    configs.remove(config);
                    continue;
                }
                2 => {
                    let mut parts = list();
                    parts.push(value.to_owned());
                    parts.join(",")
                }
                3 => list().join(","),
                _ => return Err(code::INVALID_REQUEST),
            };
            if !config_is_valid(config, &new) {
                return Err(code::INVALID_CONFIG);
            }
            configs.insert(config.to_owned(), new);
        }
        if validate_only { Ok(()) } else { topics.configure(topic, configs) }
    }
}

/// All of a topic's configs as name, value, source and type.
fn topic_configs(own: &Configs) -> impl Iterator<Item = (&'static str, String, i8, i8)> + '_ {
    TOPIC_CONFIGS.iter().map(|(name, default, kind)| match own.get(*name) {
        Some(value) => (*name, value.clone(), SOURCE_TOPIC, *kind),
        None => (*name, (*default).to_owned(), SOURCE_DEFAULT, *kind),
    })
}
