//! Access control lists of topics: looked at and added to.

use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::describe_acls_response::{AclDescription, DescribeAclsResource};
use kafka_protocol::messages::{CreateAclsRequest, DescribeAclsRequest};
use kafka_protocol::protocol::StrBytes;

use crate::admin::Admin;
use crate::error::KafkaError;

/// `SECURITY_DISABLED`: the cluster has no authorizer.
pub const SECURITY_DISABLED: i16 = 54;

/// `ResourceType.TOPIC`.
const TOPIC: i8 = 2;
/// `ANY`, of patterns, operations and permissions.
const ANY: i8 = 1;
/// `PatternType.LITERAL`.
const LITERAL: i8 = 3;

/// Codes of `AclOperation` that have a meaning of their own here.
pub mod operation {
    pub const ALL: i8 = 2;
    pub const READ: i8 = 3;
    pub const WRITE: i8 = 4;
}

/// `AclPermissionType.ALLOW`.
pub const ALLOW: i8 = 3;

/// One entry of one topic, named in full.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicAcl {
    pub topic: String,
    /// As `User:alice`.
    pub principal: String,
    /// `*` for any.
    pub host: String,
    /// A code of `AclOperation`; see [`operation`].
    pub operation: i8,
    /// A code of `AclPermissionType`; see [`ALLOW`].
    pub permission: i8,
}

impl Admin {
    /// The entries of all topics that are named literally, not by prefix. Fails with
    /// [`SECURITY_DISABLED`] where the cluster has no authorizer.
    pub async fn topic_acls(&self) -> Result<Vec<TopicAcl>, KafkaError> {
        let request = DescribeAclsRequest::default()
            .with_resource_type_filter(TOPIC)
            .with_resource_name_filter(None)
            .with_pattern_type_filter(ANY)
            .with_principal_filter(None)
            .with_host_filter(None)
            .with_operation(ANY)
            .with_permission_type(ANY);
        let response = self.ask_controller(&request).await?;
        let why = response.error_message.as_ref().map_or("", |why| why.as_str());
        KafkaError::check(response.error_code, "DescribeAcls", why)?;
        let literal = |resource: &&DescribeAclsResource| {
            resource.resource_type == TOPIC && resource.pattern_type == LITERAL
        };
        let mut found = Vec::new();
        for resource in response.resources.iter().filter(literal) {
            let entry = |acl: &AclDescription| TopicAcl {
                topic: resource.resource_name.to_string(),
                principal: acl.principal.to_string(),
                host: acl.host.to_string(),
                operation: acl.operation,
                permission: acl.permission_type,
            };
            found.extend(resource.acls.iter().map(entry));
        }
        Ok(found)
    }

    /// Adds entries, those that are there already among them; an outcome each, in their order.
    pub async fn create_topic_acls(
        &self,
        acls: &[TopicAcl],
    ) -> Result<Vec<Result<(), KafkaError>>, KafkaError> {
        let text = |text: &str| StrBytes::from_string(text.to_owned());
        let creations = acls.iter().map(|acl| {
            AclCreation::default()
                .with_resource_type(TOPIC)
                .with_resource_name(text(&acl.topic))
                .with_resource_pattern_type(LITERAL)
                .with_principal(text(&acl.principal))
                .with_host(text(&acl.host))
                .with_operation(acl.operation)
                .with_permission_type(acl.permission)
        });
        let request = CreateAclsRequest::default().with_creations(creations.collect());
        let response = self.ask_controller(&request).await?;
        let outcomes = response.results.iter().zip(acls).map(|(result, acl)| {
            let why = result.error_message.as_ref().map_or("", |why| why.as_str());
            let context = format!("topic '{}': {why}", acl.topic);
            KafkaError::check(result.error_code, "CreateAcls", &context)
        });
        Ok(outcomes.collect())
    }
}
