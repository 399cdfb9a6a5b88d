//! Which requests the broker answers, in which versions.

use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::*;

/// API key, lowest and highest version. The highest are those before topic ids in Produce (12, 13)
/// and the second transaction protocol, which no client uses unless the broker's features say so.
const APIS: &[(ApiKey, i16, i16)] = &[
    (ApiKey::Produce, 3, 11),
    (ApiKey::Fetch, 4, 16),
    (ApiKey::ListOffsets, 1, 10),
    (ApiKey::Metadata, 0, 12),
    (ApiKey::OffsetCommit, 2, 9),
    (ApiKey::OffsetFetch, 1, 9),
    (ApiKey::FindCoordinator, 0, 5),
    (ApiKey::JoinGroup, 0, 9),
    (ApiKey::Heartbeat, 0, 4),
    (ApiKey::LeaveGroup, 0, 5),
    (ApiKey::SyncGroup, 0, 5),
    (ApiKey::DescribeGroups, 0, 6),
    (ApiKey::ListGroups, 0, 5),
    (ApiKey::ApiVersions, 0, 4),
    (ApiKey::CreateTopics, 2, 7),
    (ApiKey::DeleteTopics, 1, 6),
    (ApiKey::DeleteRecords, 0, 2),
    (ApiKey::InitProducerId, 0, 5),
    (ApiKey::OffsetForLeaderEpoch, 2, 4),
    (ApiKey::AddPartitionsToTxn, 0, 3),
    (ApiKey::AddOffsetsToTxn, 0, 4),
    (ApiKey::EndTxn, 0, 4),
    (ApiKey::TxnOffsetCommit, 0, 4),
    (ApiKey::DescribeConfigs, 1, 4),
    (ApiKey::AlterConfigs, 0, 2),
    (ApiKey::CreatePartitions, 0, 3),
    (ApiKey::DeleteGroups, 0, 2),
    (ApiKey::IncrementalAlterConfigs, 0, 1),
    (ApiKey::OffsetDelete, 0, 0),
    (ApiKey::DescribeCluster, 0, 1),
];

pub(crate) fn is_supported(key: i16, version: i16) -> bool {
    APIS.iter().any(|(api, least, most)| *api as i16 == key && (*least..=*most).contains(&version))
}

pub(crate) fn versions() -> ApiVersionsResponse {
    let keys = APIS.iter().map(|(api, least, most)| {
        // As Kafka 4 itself: librdkafka sends nothing compressed but zstd to a broker that does not
        // claim the oldest versions of Produce, which it then does not use.
        let least = if *api == ApiKey::Produce { 0 } else { *least };
        ApiVersion::default()
            .with_api_key(*api as i16)
            .with_min_version(least)
            .with_max_version(*most)
    });
    ApiVersionsResponse::default().with_api_keys(keys.collect())
}

/// What fault rules can do to every response.
pub(crate) trait Response: Sized {
    fn throttle(&mut self, time_ms: i32);

    /// The response that says nothing but an error; `None` where errors belong to parts of it.
    fn failed(code: i16) -> Option<Self>;
}

macro_rules! responses {
    (whole: $($whole:ident)*; parts: $($parts:ident)*) => {
        $(impl Response for $whole {
            fn throttle(&mut self, time_ms: i32) {
                self.throttle_time_ms = time_ms;
            }

            fn failed(code: i16) -> Option<Self> {
                Some(Self::default().with_error_code(code))
            }
        })*
        $(impl Response for $parts {
            fn throttle(&mut self, time_ms: i32) {
                self.throttle_time_ms = time_ms;
            }

            fn failed(_: i16) -> Option<Self> {
                None
            }
        })*
    };
}

responses! {
    whole: AddOffsetsToTxnResponse ApiVersionsResponse DescribeClusterResponse EndTxnResponse
        HeartbeatResponse InitProducerIdResponse JoinGroupResponse LeaveGroupResponse
        ListGroupsResponse OffsetDeleteResponse SyncGroupResponse;
    parts: AddPartitionsToTxnResponse AlterConfigsResponse CreatePartitionsResponse
        CreateTopicsResponse DeleteGroupsResponse DeleteRecordsResponse DeleteTopicsResponse
        DescribeConfigsResponse DescribeGroupsResponse FindCoordinatorResponse
        IncrementalAlterConfigsResponse ListOffsetsResponse MetadataResponse OffsetCommitResponse
        OffsetFetchResponse OffsetForLeaderEpochResponse ProduceResponse TxnOffsetCommitResponse
}
