//! Puts the same requests to two brokers and prints where their answers differ; exit code 1 if they
//! do. The first is the oracle, a real Kafka; the second is ours:
//!
//! `cargo run -p millrace-broker --example oracle -- 127.0.0.1:19392 127.0.0.1:19492`
//!
//! Compared are error codes and the fields that clients act on, not ids, texts and times.

// A tool of its own process; no core waits here.
#![allow(clippy::disallowed_methods)]

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use millrace_kafka::compression::Compressor;
use millrace_kafka::record_batch::{BatchBuilder, BatchOptions, NO_HEADERS};

/// One broker, and what it has answered so far.
struct Peer {
    stream: TcpStream,
    said: Vec<String>,
}

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

fn name(value: &str) -> TopicName {
    TopicName(text(value))
}

impl Peer {
    fn connect(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        Ok(Self { stream, said: Vec::new() })
    }

    fn ask<R: Request>(&mut self, version: i16, request: &R) -> io::Result<R::Response> {
        let mut frame = vec![0; 4];
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(7)
            .with_client_id(Some(text("oracle")));
        let lift = |error| io::Error::other(format!("{error}"));
        header.encode(&mut frame, R::header_version(version)).map_err(lift)?;
        request.encode(&mut frame, version).map_err(lift)?;
        let size = (frame.len() - 4) as i32;
        frame[..4].copy_from_slice(&size.to_be_bytes());
        self.stream.write_all(&frame)?;
        let mut size = [0; 4];
        self.stream.read_exact(&mut size)?;
        let mut body = vec![0; u32::from_be_bytes(size) as usize];
        self.stream.read_exact(&mut body)?;
        let mut body = Bytes::from(body);
        let header = ResponseHeader::decode(&mut body, R::Response::header_version(version));
        assert_eq!(header.map_err(lift)?.correlation_id, 7);
        R::Response::decode(&mut body, version).map_err(lift)
    }

    fn say(&mut self, what: impl std::fmt::Display) {
        self.said.push(what.to_string());
    }

    fn produce(
        &mut self,
        label: &str,
        version: i16,
        topic: &str,
        index: i32,
        records: Bytes,
        id: Option<&str>,
    ) -> io::Result<()> {
        let data = PartitionProduceData::default().with_index(index).with_records(Some(records));
        let topic =
            TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_transactional_id(id.map(|id| TransactionalId(text(id))))
            .with_acks(-1)
            .with_timeout_ms(5000)
            .with_topic_data(vec![topic]);
        let response = self.ask(version, &request)?;
        let own = &response.responses[0].partition_responses[0];
        self.say(format_args!(
            "produce v{version} {label}: {} base {} append time {} start {}",
            own.error_code, own.base_offset, own.log_append_time_ms, own.log_start_offset
        ));
        Ok(())
    }

    fn fetch(
        &mut self,
        label: &str,
        topic: &str,
        offset: i64,
        most: i32,
        isolation: i8,
    ) -> io::Result<()> {
        for version in [4, 11, 12] {
            let partition =
                FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(most);
            let topic =
                FetchTopic::default().with_topic(name(topic)).with_partitions(vec![partition]);
            let request = FetchRequest::default()
                .with_max_wait_ms(50)
                .with_min_bytes(1)
                .with_max_bytes(1 << 20)
                .with_isolation_level(isolation)
                .with_session_epoch(-1)
                .with_topics(vec![topic]);
            let response = self.ask(version, &request)?;
            let own = &response.responses[0].partitions[0];
            let aborted = own.aborted_transactions.as_ref();
            let aborted =
                aborted.map(|list| list.iter().map(|own| own.first_offset).collect::<Vec<_>>());
            self.say(format_args!(
                "fetch v{version} {label}: {} {} end {} stable {} start {} aborted {aborted:?} bytes {:?}",
                response.error_code,
                own.error_code,
                own.high_watermark,
                own.last_stable_offset,
                own.log_start_offset,
                own.records.as_ref().map(Bytes::len)
            ));
        }
        Ok(())
    }

    fn offsets(&mut self, label: &str, topic: &str, index: i32) -> io::Result<()> {
        for timestamp in [-1, -2, -3, -4, 0, 1_000, 1_005, 5_000, 1 << 50] {
            for isolation in [0, 1] {
                let partition = ListOffsetsPartition::default()
                    .with_partition_index(index)
                    .with_timestamp(timestamp);
                let topic = ListOffsetsTopic::default().with_name(name(topic));
                let request = ListOffsetsRequest::default()
                    .with_replica_id(BrokerId(-1))
                    .with_isolation_level(isolation)
                    .with_topics(vec![topic.with_partitions(vec![partition])]);
                let response = self.ask(9, &request)?;
                let own = &response.topics[0].partitions[0];
                self.say(format_args!(
                    "offset {label} of {timestamp} isolation {isolation}: {} {} epoch {} found {}",
                    own.error_code,
                    own.offset,
                    own.leader_epoch,
                    own.timestamp >= 0
                ));
            }
        }
        Ok(())
    }
}

fn batch(key: Option<&str>, timestamp: i64, count: i64, options: &BatchOptions) -> Bytes {
    let mut builder = BatchBuilder::new();
    for number in 0..count {
        let key = key.map(str::as_bytes);
        builder.append(timestamp + number, key, Some(b"value"), NO_HEADERS).expect("fits");
    }
    let mut bytes = Vec::new();
    builder.finish(options, &mut Compressor::new(), &mut bytes).expect("fits");
    bytes.into()
}

fn from_producer(
    (producer_id, producer_epoch): (i64, i16),
    base_sequence: i32,
    transactional: bool,
) -> BatchOptions {
    BatchOptions { producer_id, producer_epoch, base_sequence, transactional, ..Default::default() }
}

fn topics(peer: &mut Peer, tag: &str) -> io::Result<()> {
    let creatable = |topic: &str, partitions, factor| {
        CreatableTopic::default()
            .with_name(name(topic))
            .with_num_partitions(partitions)
            .with_replication_factor(factor)
    };
    let config = |key: &str, value: &str| {
        vec![CreatableTopicConfig::default().with_name(text(key)).with_value(Some(text(value)))]
    };
    let compact = config("cleanup.policy", "compact");
    for (label, topic) in [
        ("plain", creatable(&format!("{tag}-a"), 2, 1)),
        ("again", creatable(&format!("{tag}-a"), 2, 1)),
        ("defaults", creatable(&format!("{tag}-b"), -1, -1)),
        ("compact", creatable(&format!("{tag}-c"), 1, 1).with_configs(compact)),
        ("bad name", creatable("a/b", 1, 1)),
        ("zero partitions", creatable(&format!("{tag}-z"), 0, 1)),
        ("factor 3", creatable(&format!("{tag}-z"), 1, 3)),
        (
            "unknown config",
            creatable(&format!("{tag}-z"), 1, 1).with_configs(config("nonsense", "1")),
        ),
        (
            "bad config",
            creatable(&format!("{tag}-z"), 1, 1).with_configs(config("retention.ms", "x")),
        ),
    ] {
        let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(5000);
        for version in [7, 2] {
            let response = peer.ask(version, &request)?;
            let own = &response.topics[0];
            peer.say(format_args!(
                "create v{version} {label}: {} partitions {} factor {} message {}",
                own.error_code,
                own.num_partitions,
                own.replication_factor,
                own.error_message.is_some()
            ));
        }
    }
    for (label, topic, count) in [("more", "a", 3), ("fewer", "a", 1), ("none", "nothing", 3)] {
        let topic = CreatePartitionsTopic::default()
            .with_name(name(&format!("{tag}-{topic}")))
            .with_count(count)
            .with_assignments(None);
        let request =
            CreatePartitionsRequest::default().with_topics(vec![topic]).with_timeout_ms(5000);
        let response = peer.ask(3, &request)?;
        peer.say(format_args!("grow {label}: {}", response.results[0].error_code));
    }
    for (label, topic, create) in
        [("known", "a", true), ("unknown", "nothing", false), ("auto", "auto", true)]
    {
        for version in [4, 9, 12] {
            let topic =
                name(&format!("{tag}-{topic}-{version}").replace(&format!("-a-{version}"), "-a"));
            let topics = vec![MetadataRequestTopic::default().with_name(Some(topic))];
            let request = MetadataRequest::default()
                .with_topics(Some(topics))
                .with_allow_auto_topic_creation(create);
            let mut response = peer.ask(version, &request)?;
            for _ in 0..40 {
                // A real broker makes the topic behind the client's back.
                if label != "auto" || response.topics[0].error_code == 0 {
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
                response = peer.ask(version, &request)?;
            }
            let own = &response.topics[0];
            peer.say(format_args!(
                "metadata v{version} {label}: {} partitions {} brokers {} id {}",
                own.error_code,
                own.partitions.len(),
                response.brokers.len(),
                !own.topic_id.is_nil()
            ));
        }
    }
    Ok(())
}

fn configs(peer: &mut Peer, tag: &str) -> io::Result<()> {
    for (label, key, operation, value) in [
        ("set", "retention.ms", 0, "1234567"),
        ("append", "cleanup.policy", 2, "compact"),
        ("subtract", "cleanup.policy", 3, "compact"),
        ("delete", "retention.ms", 1, ""),
        ("unknown", "nonsense", 0, "1"),
        ("bad", "segment.bytes", 0, "many"),
    ] {
        let change = AlterableConfig::default()
            .with_name(text(key))
            .with_config_operation(operation)
            .with_value((operation != 1).then(|| text(value)));
        let resource = AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text(&format!("{tag}-b")))
            .with_configs(vec![change]);
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        let response = peer.ask(1, &request)?;
        peer.say(format_args!("alter {label}: {}", response.responses[0].error_code));
        std::thread::sleep(Duration::from_millis(100));
        let keys = ["cleanup.policy", "retention.ms", "max.message.bytes"].map(text).to_vec();
        let resource = DescribeConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text(&format!("{tag}-b")))
            .with_configuration_keys(Some(keys));
        let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
        let mut shown = String::new();
        let response = peer.ask(4, &request)?;
        let mut own: Vec<_> = response.results[0].configs.iter().collect();
        own.sort_by(|one, other| one.name.cmp(&other.name));
        for own in own {
            let value = own.value.as_deref().unwrap_or_default();
            let _ = write!(
                shown,
                " {}={value} type {} source {}",
                own.name, own.config_type, own.config_source
            );
        }
        peer.say(format_args!("configs after {label}: {}{shown}", response.results[0].error_code));
    }
    Ok(())
}

fn records(peer: &mut Peer, tag: &str) -> io::Result<()> {
    let (a, c) = (format!("{tag}-a"), format!("{tag}-c"));
    let plain = BatchOptions::default();
    let good = batch(Some("k"), 1_000, 3, &plain);
    for version in [3, 7, 9, 11] {
        peer.produce("good", version, &a, 0, good.clone(), None)?;
    }
    peer.produce("later", 11, &a, 0, batch(Some("k"), 5_000, 2, &plain), None)?;
    peer.produce("no such partition", 11, &a, 9, good.clone(), None)?;
    peer.produce("no such topic", 11, "nothing-at-all", 0, good.clone(), None)?;
    let mut bad = good.to_vec();
    *bad.last_mut().expect("bytes") ^= 1;
    peer.produce("bad checksum", 11, &a, 0, bad.into(), None)?;
    let two = [good.as_ref(), good.as_ref()].concat();
    peer.produce("two batches", 11, &a, 0, two.into(), None)?;
    peer.produce("compact without key", 11, &c, 0, batch(None, 1, 1, &plain), None)?;
    peer.produce("compact with key", 11, &c, 0, batch(Some("k"), 1, 1, &plain), None)?;
    let large = "x".repeat(2 << 20);
    peer.produce("too large", 11, &a, 0, batch(Some(&large), 1, 1, &plain), None)?;
    peer.fetch("all", &a, 0, 1 << 20, 0)?;
    peer.fetch("cut", &a, 0, 150, 0)?;
    peer.fetch("middle", &a, 4, 1 << 20, 1)?;
    peer.fetch("end", &a, 14, 1 << 20, 1)?;
    peer.fetch("past", &a, 15, 1 << 20, 0)?;
    peer.fetch("unknown", "nothing-at-all", 0, 1 << 20, 0)?;
    peer.offsets("filled", &a, 0)?;
    peer.offsets("empty", &a, 1)?;
    peer.offsets("unknown", &a, 9)?;
    for (label, offset) in [("some", 4), ("too many", 99)] {
        let partition = DeleteRecordsPartition::default().with_offset(offset);
        let topic =
            DeleteRecordsTopic::default().with_name(name(&a)).with_partitions(vec![partition]);
        let request =
            DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(5000);
        let response = peer.ask(2, &request)?;
        let own = &response.topics[0].partitions[0];
        peer.say(format_args!("delete records {label}: {} {}", own.error_code, own.low_watermark));
    }
    peer.fetch("deleted", &a, 0, 1 << 20, 0)?;
    peer.fetch("kept", &a, 4, 1 << 20, 0)
}

fn init(
    peer: &mut Peer,
    label: &str,
    id: Option<&str>,
    timeout_ms: i32,
    held: (i64, i16),
) -> io::Result<(i64, i16)> {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(id.map(|id| TransactionalId(text(id))))
        .with_transaction_timeout_ms(timeout_ms)
        .with_producer_id(ProducerId(held.0))
        .with_producer_epoch(held.1);
    let mut response = peer.ask(4, &request)?;
    while response.error_code == 51
        || response.error_code == 14
        || response.error_code == 15
        || response.error_code == 16
    {
        // Concurrent transactions, or a coordinator that is still waking up.
        std::thread::sleep(Duration::from_millis(50));
        response = peer.ask(4, &request)?;
    }
    let known = response.producer_id.0 >= 0;
    peer.say(format_args!(
        "init {label}: {} epoch {} known {known}",
        response.error_code, response.producer_epoch
    ));
    Ok((response.producer_id.0, response.producer_epoch))
}

/// Waits until the broker knows a coordinator, for which a real one makes internal topics.
fn coordinator(peer: &mut Peer, key: &str, kind: i8) -> io::Result<()> {
    let request = FindCoordinatorRequest::default()
        .with_key_type(kind)
        .with_coordinator_keys(vec![text(key)]);
    for _ in 0..100 {
        if peer.ask(4, &request)?.coordinators[0].error_code == 0 {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Err(io::Error::other("no coordinator"))
}

fn idempotence(peer: &mut Peer, tag: &str) -> io::Result<()> {
    let topic = format!("{tag}-b");
    let producer = init(peer, "idempotent", None, 60_000, (-1, -1))?;
    for (label, epoch, sequence, count) in [
        ("first", 0, 0, 3),
        ("second", 0, 3, 2),
        ("duplicate", 0, 3, 2),
        ("older duplicate", 0, 0, 3),
        ("gap", 0, 9, 1),
        ("half a duplicate", 0, 3, 1),
        ("new epoch not from 0", 1, 5, 1),
        ("new epoch", 1, 0, 1),
        ("old epoch", 0, 5, 1),
    ] {
        let options = from_producer((producer.0, epoch), sequence, false);
        peer.produce(label, 11, &topic, 0, batch(Some("k"), 1, count, &options), None)?;
    }
    Ok(())
}

fn end(
    peer: &mut Peer,
    label: &str,
    id: &str,
    producer: (i64, i16),
    committed: bool,
) -> io::Result<()> {
    let request = EndTxnRequest::default()
        .with_transactional_id(TransactionalId(text(id)))
        .with_producer_id(ProducerId(producer.0))
        .with_producer_epoch(producer.1)
        .with_committed(committed);
    let mut error = 51;
    while error == 51 {
        error = peer.ask(3, &request)?.error_code;
        // Markers of a real broker are written a little later.
        std::thread::sleep(Duration::from_millis(150));
    }
    peer.say(format_args!("end {label}: {error}"));
    Ok(())
}

fn add(
    peer: &mut Peer,
    label: &str,
    id: &str,
    producer: (i64, i16),
    topic: &str,
    index: i32,
) -> io::Result<()> {
    let topic =
        AddPartitionsToTxnTopic::default().with_name(name(topic)).with_partitions(vec![index]);
    let request = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(TransactionalId(text(id)))
        .with_v3_and_below_producer_id(ProducerId(producer.0))
        .with_v3_and_below_producer_epoch(producer.1)
        .with_v3_and_below_topics(vec![topic]);
    let mut error = 51;
    while error == 51 {
        let response = peer.ask(3, &request)?;
        error =
            response.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code;
    }
    peer.say(format_args!("add {label}: {error}"));
    Ok(())
}

fn transactions(peer: &mut Peer, tag: &str) -> io::Result<()> {
    let (id, topic, group) = (format!("{tag}-id"), format!("{tag}-a"), format!("{tag}-txn-group"));
    coordinator(peer, &id, 1)?;
    init(peer, "without a name", Some(""), 60_000, (-1, -1))?;
    init(peer, "timeout too long", Some(&id), 10_000_000, (-1, -1))?;
    let producer = init(peer, "first", Some(&id), 60_000, (-1, -1))?;
    let send = |peer: &mut Peer, label: &str, producer, sequence| {
        let options = from_producer(producer, sequence, true);
        peer.produce(label, 11, &topic, 1, batch(Some("k"), 1_000, 2, &options), Some(&id))
    };
    end(peer, "nothing", &id, producer, true)?;
    send(peer, "not added", producer, 0)?;
    add(peer, "first", &id, producer, &topic, 1)?;
    add(peer, "unknown partition", &id, producer, &topic, 77)?;
    add(peer, "unknown id", "no-such-id", producer, &topic, 1)?;
    add(peer, "wrong epoch", &id, (producer.0, 9), &topic, 1)?;
    send(peer, "in transaction", producer, 0)?;
    peer.fetch("open", &topic, 0, 1 << 20, 1)?;
    end(peer, "abort", &id, producer, false)?;
    end(peer, "abort again", &id, producer, false)?;
    end(peer, "commit after abort", &id, producer, true)?;
    add(peer, "second", &id, producer, &topic, 1)?;
    send(peer, "second", producer, 2)?;
    let add_group = AddOffsetsToTxnRequest::default()
        .with_transactional_id(TransactionalId(text(&id)))
        .with_producer_id(ProducerId(producer.0))
        .with_producer_epoch(producer.1)
        .with_group_id(GroupId(text(&group)));
    let error = peer.ask(3, &add_group)?.error_code;
    peer.say(format_args!("add offsets: {error}"));
    let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(7);
    let own = TxnOffsetCommitRequestTopic::default()
        .with_name(name(&topic))
        .with_partitions(vec![partition]);
    let request = TxnOffsetCommitRequest::default()
        .with_transactional_id(TransactionalId(text(&id)))
        .with_group_id(GroupId(text(&group)))
        .with_producer_id(ProducerId(producer.0))
        .with_producer_epoch(producer.1)
        .with_topics(vec![own]);
    let response = peer.ask(3, &request)?;
    let error = response.topics[0].partitions[0].error_code;
    peer.say(format_args!("transactional offsets: {error}"));
    committed(peer, "before the end", &group, &topic, true)?;
    committed(peer, "before the end, unstable", &group, &topic, false)?;
    end(peer, "commit", &id, producer, true)?;
    end(peer, "commit again", &id, producer, true)?;
    committed(peer, "after the end", &group, &topic, true)?;
    peer.fetch("ended", &topic, 0, 1 << 20, 1)?;
    peer.offsets("ended", &topic, 1)?;
    add(peer, "third", &id, producer, &topic, 1)?;
    send(peer, "third", producer, 4)?;
    let newer = init(peer, "while open", Some(&id), 60_000, (-1, -1))?;
    send(peer, "fenced", producer, 6)?;
    end(peer, "fenced", &id, producer, true)?;
    init(peer, "held by another", Some(&id), 60_000, producer)?;
    init(peer, "held", Some(&id), 60_000, newer)?;
    peer.fetch("fenced", &topic, 0, 1 << 20, 1)
}

fn committed(
    peer: &mut Peer,
    label: &str,
    group: &str,
    topic: &str,
    stable: bool,
) -> io::Result<()> {
    let wanted =
        OffsetFetchRequestTopics::default().with_name(name(topic)).with_partition_indexes(vec![0]);
    for topics in [Some(vec![wanted]), None] {
        let group = OffsetFetchRequestGroup::default().with_group_id(GroupId(text(group)));
        let request = OffsetFetchRequest::default()
            .with_groups(vec![group.with_topics(topics)])
            .with_require_stable(stable);
        let response = peer.ask(8, &request)?;
        let own = response.groups[0].topics.first().map(|topic| {
            let own = &topic.partitions[0];
            (own.error_code, own.committed_offset, own.committed_leader_epoch, own.metadata.clone())
        });
        peer.say(format_args!("committed {label}: {} {own:?}", response.groups[0].error_code));
    }
    Ok(())
}

fn commit(
    peer: &mut Peer,
    label: &str,
    group: &str,
    member: &str,
    generation: i32,
    topic: &str,
) -> io::Result<()> {
    let partition = OffsetCommitRequestPartition::default()
        .with_committed_offset(5)
        .with_committed_metadata(Some(text("m")));
    let topic =
        OffsetCommitRequestTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_member_id(text(member))
        .with_generation_id_or_member_epoch(generation)
        .with_topics(vec![topic]);
    let response = peer.ask(8, &request)?;
    peer.say(format_args!("commit {label}: {}", response.topics[0].partitions[0].error_code));
    Ok(())
}

fn groups(peer: &mut Peer, tag: &str) -> io::Result<()> {
    let (group, topic) = (format!("{tag}-group"), format!("{tag}-a"));
    coordinator(peer, &group, 0)?;
    let join = |member: &str, session, kind: &str, protocol: &str| {
        let protocol = JoinGroupRequestProtocol::default().with_name(text(protocol));
        JoinGroupRequest::default()
            .with_group_id(GroupId(text(&group)))
            .with_session_timeout_ms(session)
            .with_rebalance_timeout_ms(5_000)
            .with_member_id(text(member))
            .with_protocol_type(text(kind))
            .with_protocols(vec![
                protocol.with_metadata(Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
            ])
    };
    let ask = |peer: &mut Peer,
               label: &str,
               request: &JoinGroupRequest,
               version|
     -> io::Result<String> {
        let mut response = peer.ask(version, request)?;
        while matches!(response.error_code, 14..=16) {
            std::thread::sleep(Duration::from_millis(100));
            response = peer.ask(version, request)?;
        }
        let leads = response.leader == response.member_id;
        peer.say(format_args!(
            "join v{version} {label}: {} generation {} type {:?} protocol {:?} leads {leads} members {} named {}",
            response.error_code,
            response.generation_id,
            response.protocol_type,
            response.protocol_name,
            response.members.len(),
            !response.member_id.is_empty()
        ));
        Ok(response.member_id.to_string())
    };
    ask(peer, "unknown member", &join("who", 10_000, "consumer", "range"), 9)?;
    ask(peer, "short session", &join("", 10, "consumer", "range"), 9)?;
    ask(peer, "no type", &join("", 10_000, "", "range"), 9)?;
    let id = ask(peer, "new", &join("", 10_000, "consumer", "range"), 9)?;
    ask(peer, "with its id", &join(&id, 10_000, "consumer", "range"), 9)?;
    ask(peer, "other type", &join("", 10_000, "connect", "range"), 9)?;
    ask(peer, "other protocol", &join("", 10_000, "consumer", "sticky"), 9)?;
    let heartbeat = |peer: &mut Peer, label: &str, member: &str, generation| -> io::Result<()> {
        let request = HeartbeatRequest::default()
            .with_group_id(GroupId(text(&group)))
            .with_member_id(text(member))
            .with_generation_id(generation);
        let error = peer.ask(4, &request)?.error_code;
        peer.say(format_args!("heartbeat {label}: {error}"));
        Ok(())
    };
    heartbeat(peer, "before sync", &id, 1)?;
    commit(peer, "before sync", &group, &id, 1, &topic)?;
    for (label, member, generation) in [
        ("unknown", "who", 1),
        ("generation", id.as_str(), 4),
        ("leader", id.as_str(), 1),
        ("again", id.as_str(), 1),
    ] {
        let assignment = SyncGroupRequestAssignment::default()
            .with_member_id(text(&id))
            .with_assignment(Bytes::from_static(b"\0\0\0\0\0\0\0\0\0\0"));
        let request = SyncGroupRequest::default()
            .with_group_id(GroupId(text(&group)))
            .with_member_id(text(member))
            .with_generation_id(generation)
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text("range")))
            .with_assignments(vec![assignment]);
        let response = peer.ask(5, &request)?;
        peer.say(format_args!("sync {label}: {} {:?}", response.error_code, response.assignment));
    }
    heartbeat(peer, "good", &id, 1)?;
    heartbeat(peer, "old", &id, 0)?;
    heartbeat(peer, "unknown", "who", 1)?;
    commit(peer, "good", &group, &id, 1, &topic)?;
    commit(peer, "generation", &group, &id, 7, &topic)?;
    commit(peer, "member", &group, "who", 1, &topic)?;
    commit(peer, "nobody", &group, "", -1, &topic)?;
    commit(peer, "unknown topic", &group, &id, 1, "nothing-at-all")?;
    committed(peer, "good", &group, &topic, true)?;
    committed(peer, "unknown group", "no-such-group", &topic, true)?;
    commit(peer, "a group without members", &format!("{tag}-simple"), "", -1, &topic)?;
    commit(peer, "a generation without group", &format!("{tag}-none"), "", 3, &topic)?;
    describe(peer, "stable", &group)?;
    describe(peer, "unknown", "no-such-group")?;
    describe(peer, "simple", &format!("{tag}-simple"))?;
    delete_offsets(peer, "of members", &group, &topic)?;
    delete_group(peer, "with members", &group)?;
    for (label, member) in [("unknown", "who"), ("good", id.as_str())] {
        let member = MemberIdentity::default().with_member_id(text(member));
        let request = LeaveGroupRequest::default()
            .with_group_id(GroupId(text(&group)))
            .with_members(vec![member]);
        let response = peer.ask(5, &request)?;
        peer.say(format_args!(
            "leave {label}: {} {}",
            response.error_code, response.members[0].error_code
        ));
    }
    heartbeat(peer, "after leaving", &id, 1)?;
    commit(peer, "after leaving", &group, &id, 1, &topic)?;
    describe(peer, "empty", &group)?;
    delete_offsets(peer, "empty", &group, &topic)?;
    committed(peer, "deleted", &group, &topic, true)?;
    delete_group(peer, "empty", &format!("{tag}-simple"))?;
    delete_group(peer, "unknown", "no-such-group")
}

fn describe(peer: &mut Peer, label: &str, group: &str) -> io::Result<()> {
    for version in [5, 6] {
        let request = DescribeGroupsRequest::default().with_groups(vec![GroupId(text(group))]);
        let response = peer.ask(version, &request)?;
        let own = &response.groups[0];
        peer.say(format_args!(
            "describe v{version} {label}: {} {} type {:?} protocol {:?} members {}",
            own.error_code,
            own.group_state,
            own.protocol_type,
            own.protocol_data,
            own.members.len()
        ));
    }
    Ok(())
}

fn delete_offsets(peer: &mut Peer, label: &str, group: &str, topic: &str) -> io::Result<()> {
    let partition = OffsetDeleteRequestPartition::default();
    let topic =
        OffsetDeleteRequestTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
    let request =
        OffsetDeleteRequest::default().with_group_id(GroupId(text(group))).with_topics(vec![topic]);
    let response = peer.ask(0, &request)?;
    let own = response.topics.first().map(|topic| topic.partitions[0].error_code);
    peer.say(format_args!("delete offsets {label}: {} {own:?}", response.error_code));
    Ok(())
}

fn delete_group(peer: &mut Peer, label: &str, group: &str) -> io::Result<()> {
    let request = DeleteGroupsRequest::default().with_groups_names(vec![GroupId(text(group))]);
    let response = peer.ask(2, &request)?;
    peer.say(format_args!("delete group {label}: {}", response.results[0].error_code));
    Ok(())
}

fn deletion(peer: &mut Peer, tag: &str) -> io::Result<()> {
    for (label, topic) in [("known", "a"), ("again", "a"), ("unknown", "nothing")] {
        let topic = DeleteTopicState::default().with_name(Some(name(&format!("{tag}-{topic}"))));
        let request = DeleteTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(5000);
        let response = peer.ask(6, &request)?;
        let own = &response.responses[0];
        peer.say(format_args!("delete {label}: {} id {}", own.error_code, !own.topic_id.is_nil()));
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

fn run(address: &str, tag: &str) -> io::Result<Vec<String>> {
    let mut peer = Peer::connect(address)?;
    topics(&mut peer, tag)?;
    configs(&mut peer, tag)?;
    records(&mut peer, tag)?;
    idempotence(&mut peer, tag)?;
    groups(&mut peer, tag)?;
    transactions(&mut peer, tag)?;
    deletion(&mut peer, tag)?;
    Ok(peer.said)
}

/// What two brokers answered to the same requests.
pub struct Compared {
    /// How many answers each gave.
    pub answers: (usize, usize),
    /// The answers that differ: the oracle's, the other's.
    pub differ: Vec<(String, String)>,
}

/// Asks both. The oracle is the first; both need auto-creation of topics and one broker.
pub fn compare(oracle: &str, ours: &str) -> io::Result<Compared> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let tag = format!("o{}", since.map_or(0, |since| since.as_millis()));
    let (theirs, ours) = (run(oracle, &tag)?, run(ours, &tag)?);
    let answers = (theirs.len(), ours.len());
    let differ = theirs.into_iter().zip(ours).filter(|(one, other)| one != other).collect();
    Ok(Compared { answers, differ })
}

#[allow(dead_code, reason = "the behaviour tests use the comparison alone")]
fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [oracle, ours] = &arguments[..] else {
        return Err(io::Error::other("usage: oracle <address of a real Kafka> <address of ours>"));
    };
    let Compared { answers, differ } = compare(oracle, ours)?;
    for (one, other) in &differ {
        println!("- {one}\n+ {other}");
    }
    println!("{} answers compared, {} differ", answers.0.min(answers.1), differ.len());
    std::process::exit(i32::from(!differ.is_empty() || answers.0 != answers.1));
}
