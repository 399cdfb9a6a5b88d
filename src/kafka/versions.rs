//! Which version of each API a connection speaks.

use kafka_protocol::messages::ApiKey;
use kafka_protocol::messages::api_versions_response::ApiVersionsResponse;
use kafka_protocol::protocol::VersionRange;

use crate::error::{ErrorKind, KafkaError};

/// What a broker said it can speak.
#[derive(Clone, Debug, Default)]
pub struct ApiVersions {
    ranges: Vec<(i16, VersionRange)>,
}

/// Highest version that this client uses though the message library knows more: newer versions
/// name topics by id, move work to the broker or are not needed here.
fn cap(key: ApiKey) -> i16 {
    match key {
        // 13 replaces names by topic ids; 11 is the last that is not flexible.
        ApiKey::Fetch => 11,
        // 13 replaces names by topic ids.
        ApiKey::Produce => 12,
        // 10 replaces names by topic ids.
        ApiKey::OffsetCommit | ApiKey::OffsetFetch => 9,
        ApiKey::Metadata => 12,
        // 10 and above ask for remote-storage offsets.
        ApiKey::ListOffsets => 9,
        // 6 is for share coordinators.
        ApiKey::FindCoordinator => 5,
        ApiKey::ApiVersions => 3,
        _ => i16::MAX,
    }
}

impl ApiVersions {
    pub fn new(response: &ApiVersionsResponse) -> Self {
        let ranges = response
            .api_keys
            .iter()
            .map(|api| (api.api_key, VersionRange { min: api.min_version, max: api.max_version }))
            .collect();
        Self { ranges }
    }

    /// The highest version of `key` that both sides speak.
    pub fn pick(&self, key: ApiKey) -> Result<i16, KafkaError> {
        let ours = key.valid_versions();
        let ours = VersionRange { min: ours.min, max: ours.max.min(cap(key)) };
        let theirs = self.ranges.iter().find(|(api, _)| *api == key as i16);
        let Some((_, theirs)) = theirs else {
            return Err(KafkaError {
                code: 35,
                ..KafkaError::new(ErrorKind::Fatal, format!("the broker has no API {key:?}"))
            });
        };
        let both = ours.intersect(theirs);
        if both.is_empty() {
            return Err(KafkaError {
                code: 35,
                ..KafkaError::new(
                    ErrorKind::Fatal,
                    format!("{key:?}: this client speaks {ours}, the broker {theirs}"),
                )
            });
        }
        Ok(both.max)
    }
}

/// The API's name, as `OffsetCommit`.
pub fn api_name(key: i16) -> &'static str {
    match ApiKey::try_from(key) {
        Ok(ApiKey::Produce) => "Produce",
        Ok(ApiKey::Fetch) => "Fetch",
        Ok(ApiKey::ListOffsets) => "ListOffsets",
        Ok(ApiKey::Metadata) => "Metadata",
        Ok(ApiKey::OffsetCommit) => "OffsetCommit",
        Ok(ApiKey::OffsetFetch) => "OffsetFetch",
        Ok(ApiKey::FindCoordinator) => "FindCoordinator",
        Ok(ApiKey::JoinGroup) => "JoinGroup",
        Ok(ApiKey::Heartbeat) => "Heartbeat",
        Ok(ApiKey::LeaveGroup) => "LeaveGroup",
        Ok(ApiKey::SyncGroup) => "SyncGroup",
        Ok(ApiKey::ApiVersions) => "ApiVersions",
        Ok(ApiKey::CreateTopics) => "CreateTopics",
        Ok(ApiKey::DeleteTopics) => "DeleteTopics",
        Ok(ApiKey::InitProducerId) => "InitProducerId",
        Ok(ApiKey::AddPartitionsToTxn) => "AddPartitionsToTxn",
        Ok(ApiKey::AddOffsetsToTxn) => "AddOffsetsToTxn",
        Ok(ApiKey::EndTxn) => "EndTxn",
        Ok(ApiKey::OffsetDelete) => "OffsetDelete",
        Ok(ApiKey::DeleteGroups) => "DeleteGroups",
        Ok(ApiKey::TxnOffsetCommit) => "TxnOffsetCommit",
        Ok(ApiKey::DescribeConfigs) => "DescribeConfigs",
        Ok(ApiKey::DescribeCluster) => "DescribeCluster",
        Ok(_) => "another API",
        Err(_) => "an unknown API",
    }
}
