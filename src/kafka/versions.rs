//! Which version of each API a connection speaks.

use kafka_protocol::messages::ApiKey;
use kafka_protocol::messages::api_versions_response::ApiVersionsResponse;
use kafka_protocol::protocol::VersionRange;

use crate::error::{ErrorKind, KafkaError};

/// The oldest release whose brokers speak enough.
const OLDEST: &str = "2.3";

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
        // 12 adds partitions to transactions by itself, as transactions of version 2 (KIP-890) have
        // it; else it is 11.
        ApiKey::Produce => 11,
        // Above are requests between brokers.
        ApiKey::AddPartitionsToTxn => 3,
        // 5 gives each transaction an epoch of its own: version 2, again.
        ApiKey::EndTxn => 4,
        // 6 is for transactions in two phases.
        ApiKey::InitProducerId => 5,
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

/// Lowest version that this client uses though the message library knows older ones.
fn floor(key: ApiKey) -> i16 {
    match key {
        // What the streaming parser reads; Kafka 2.3 and later.
        ApiKey::Fetch => 11,
        _ => 0,
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
        let ours = VersionRange { min: ours.min.max(floor(key)), max: ours.max.min(cap(key)) };
        let refused =
            |why: String| KafkaError { code: 35, ..KafkaError::new(ErrorKind::Fatal, why) };
        let theirs = self.ranges.iter().find(|(api, _)| *api == key as i16);
        let Some((_, theirs)) = theirs else {
            return Err(refused(format!(
                "the broker does not know the API {key:?}; Kafka {OLDEST} or later is needed"
            )));
        };
        if theirs.max < ours.min {
            return Err(refused(format!(
                "the broker is too old: it speaks {key:?} up to version {}, and {} is the lowest \
                 that serves; Kafka {OLDEST} or later is needed",
                theirs.max, ours.min
            )));
        }
        let both = ours.intersect(theirs);
        if both.is_empty() {
            return Err(refused(format!(
                "{key:?}: this client speaks {ours}, the broker {theirs}"
            )));
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
        Ok(ApiKey::DescribeGroups) => "DescribeGroups",
        Ok(ApiKey::TxnOffsetCommit) => "TxnOffsetCommit",
        Ok(ApiKey::DescribeConfigs) => "DescribeConfigs",
        Ok(ApiKey::IncrementalAlterConfigs) => "IncrementalAlterConfigs",
        Ok(ApiKey::CreatePartitions) => "CreatePartitions",
        Ok(ApiKey::DescribeAcls) => "DescribeAcls",
        Ok(ApiKey::CreateAcls) => "CreateAcls",
        Ok(ApiKey::DescribeCluster) => "DescribeCluster",
        Ok(ApiKey::SaslHandshake) => "SaslHandshake",
        Ok(ApiKey::SaslAuthenticate) => "SaslAuthenticate",
        Ok(_) => "another API",
        Err(_) => "an unknown API",
    }
}

#[cfg(test)]
mod tests {
    //! Real releases' ranges.
    use kafka_protocol::messages::api_versions_response::ApiVersion;

    use super::*;

    fn broker(ranges: &[(ApiKey, i16, i16)]) -> ApiVersions {
        let api = |(key, min, max): &(ApiKey, i16, i16)| {
            ApiVersion::default()
                .with_api_key(*key as i16)
                .with_min_version(*min)
                .with_max_version(*max)
        };
        let keys = ranges.iter().map(api).collect();
        ApiVersions::new(&ApiVersionsResponse::default().with_api_keys(keys))
    }

    #[test]
    fn the_highest_that_both_speak_or_words_that_say_what_is_needed() {
        let new = broker(&[(ApiKey::Fetch, 4, 17), (ApiKey::Produce, 0, 13)]);
        assert_eq!((new.pick(ApiKey::Fetch), new.pick(ApiKey::Produce)), (Ok(11), Ok(11)));
        let of_2_3 = broker(&[(ApiKey::Fetch, 0, 11), (ApiKey::Metadata, 0, 8)]);
        assert_eq!((of_2_3.pick(ApiKey::Fetch), of_2_3.pick(ApiKey::Metadata)), (Ok(11), Ok(8)));
        let of_2_2 = broker(&[(ApiKey::Fetch, 0, 10)]);
        let told = of_2_2.pick(ApiKey::Fetch).unwrap_err();
        assert!(told.message.contains("too old") && told.message.contains("Kafka 2.3"), "{told}");
        assert!(!told.is_retriable());
        let told = of_2_2.pick(ApiKey::InitProducerId).unwrap_err();
        assert!(told.message.contains("does not know the API InitProducerId"), "{told}");
        let far_ahead = broker(&[(ApiKey::Fetch, 12, 20)]);
        assert!(far_ahead.pick(ApiKey::Fetch).unwrap_err().message.contains("this client speaks"));
    }
}
