//! The requests of idempotent and transactional producers.

use std::collections::BTreeSet;

use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse, EndTxnRequest, EndTxnResponse, InitProducerIdRequest,
    InitProducerIdResponse, ProducerId, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};

use crate::core::{Call, Core};
use crate::group_api::committed;
use crate::protocol::code;
use crate::transactions::Ending;

fn code_of(result: Result<(), i16>) -> i16 {
    result.err().unwrap_or(code::NONE)
}

/// Clients of old versions know the error for a fenced epoch by another name.
fn fenced(error: i16, knows: bool) -> i16 {
    if error == code::PRODUCER_FENCED && !knows { code::INVALID_PRODUCER_EPOCH } else { error }
}

impl Core {
    pub(crate) fn init_producer_id(
        &self,
        call: &Call,
        request: InitProducerIdRequest,
    ) -> InitProducerIdResponse {
        let held = (request.producer_id.0, request.producer_epoch);
        let timeout_ms = request.transaction_timeout_ms;
        let result = match &request.transactional_id {
            None => self.transactions.borrow_mut().init_idempotent(),
            Some(id) => self.init_transactional(id, timeout_ms, held),
        };
        match result {
            Ok((id, epoch)) => InitProducerIdResponse::default()
                .with_producer_id(ProducerId(id))
                .with_producer_epoch(epoch),
            Err(error) => InitProducerIdResponse::default()
                .with_error_code(fenced(error, call.version >= 4))
                .with_producer_id(ProducerId(-1))
                .with_producer_epoch(-1),
        }
    }

    fn init_transactional(
        &self,
        id: &str,
        timeout_ms: i32,
        held: (i64, i16),
    ) -> Result<(i64, i16), i16> {
        self.transactions.borrow().check_init(id, timeout_ms, held)?;
        let ending = self.transactions.borrow_mut().fence(id);
        let was_open = ending.is_some();
        if let Some(ending) = ending {
            self.finish(ending, false)?;
        }
        let held = if was_open { (-1, -1) } else { held };
        self.transactions.borrow_mut().init(id, timeout_ms, held)
    }

    /// Aborts a transaction whose time is up and fences its producer.
    pub(crate) fn abort_expired(&self, id: &str) {
        tracing::info!(id, "aborting a transaction that its producer left open");
        let ending = self.transactions.borrow_mut().fence(id);
        if let Some(Err(error)) = ending.map(|ending| self.finish(ending, false)) {
            tracing::error!(id, error, "a transaction could not be aborted in every partition");
        }
    }

    /// Writes the markers, and the offsets if the transaction is committed.
    fn finish(&self, ending: Ending, committed: bool) -> Result<(), i16> {
        let now = crate::now_ms();
        for (topic, index) in &ending.partitions {
            // A topic may have been deleted meanwhile.
            let Some(partition) = self.topics.borrow().partition(topic, *index) else { continue };
            let result =
                partition.log.borrow_mut().mark(ending.producer_id, ending.epoch, committed, now);
            partition.changed.notify();
            result?;
        }
        if committed {
            let mut store = self.offsets.borrow_mut();
            for (group, offsets) in ending.offsets {
                let changes = offsets.into_iter().map(|(key, value)| (key, Some(value))).collect();
                store.put(&group, changes).map_err(crate::topics::storage_error)?;
            }
        }
        self.transactions.borrow().ended()
    }

    pub(crate) fn add_partitions_to_txn(
        &self,
        call: &Call,
        request: AddPartitionsToTxnRequest,
    ) -> AddPartitionsToTxnResponse {
        let topics = &request.v3_and_below_topics;
        let known = |topic: &str, index| self.topics.borrow().partition(topic, index).is_some();
        let all: BTreeSet<(String, i32)> = topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|index| (topic.name.to_string(), *index)))
            .collect();
        let missing = all.iter().any(|(topic, index)| !known(topic, *index));
        let fault = all.iter().find_map(|(topic, index)| call.partition_error(topic, *index));
        let id = request.v3_and_below_transactional_id.as_str();
        let producer = request.v3_and_below_producer_id.0;
        let error = if let Some(fault) = fault {
            fault
        } else if missing {
            code::OPERATION_NOT_ATTEMPTED
        } else {
            let epoch = request.v3_and_below_producer_epoch;
            let mut transactions = self.transactions.borrow_mut();
            code_of(transactions.add_partitions(id, producer, epoch, all, crate::now_ms()))
        };
        self.deadlines.notify();
        let results = topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|index| {
                let lost = missing && !known(&topic.name, *index);
                let error = if lost { code::UNKNOWN_TOPIC_OR_PARTITION } else { error };
                AddPartitionsToTxnPartitionResult::default()
                    .with_partition_index(*index)
                    .with_partition_error_code(fenced(error, call.version >= 2))
            });
            AddPartitionsToTxnTopicResult::default()
                .with_name(topic.name.clone())
                .with_results_by_partition(partitions.collect())
        });
        AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results.collect())
    }

    pub(crate) fn add_offsets_to_txn(
        &self,
        call: &Call,
        request: AddOffsetsToTxnRequest,
    ) -> AddOffsetsToTxnResponse {
        let result = self.transactions.borrow_mut().add_group(
            &request.transactional_id,
            request.producer_id.0,
            request.producer_epoch,
            &request.group_id,
            crate::now_ms(),
        );
        self.deadlines.notify();
        let error = fenced(code_of(result), call.version >= 2);
        AddOffsetsToTxnResponse::default().with_error_code(error)
    }

    pub(crate) fn end_txn(&self, call: &Call, request: EndTxnRequest) -> EndTxnResponse {
        let ending = self.transactions.borrow_mut().take(
            &request.transactional_id,
            request.producer_id.0,
            request.producer_epoch,
            request.committed,
        );
        let result = match ending {
            Ok(Some(ending)) => self.finish(ending, request.committed),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        let error = fenced(code_of(result), call.version >= 2);
        EndTxnResponse::default().with_error_code(error)
    }

    pub(crate) fn txn_offset_commit(
        &self,
        call: &Call,
        request: TxnOffsetCommitRequest,
    ) -> TxnOffsetCommitResponse {
        let error = self.txn_offset_commit_all(&request).err().unwrap_or(code::NONE);
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                let index = partition.partition_index;
                let known = self.topics.borrow().partition(&topic.name, index).is_some();
                let own = if known { error } else { code::UNKNOWN_TOPIC_OR_PARTITION };
                TxnOffsetCommitResponsePartition::default()
                    .with_partition_index(index)
                    .with_error_code(call.partition_error(&topic.name, index).unwrap_or(own))
            });
            TxnOffsetCommitResponseTopic::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions.collect())
        });
        TxnOffsetCommitResponse::default().with_topics(topics.collect())
    }

    fn txn_offset_commit_all(&self, request: &TxnOffsetCommitRequest) -> Result<(), i16> {
        let instance = request.group_instance_id.as_deref();
        let (member, generation) = (request.member_id.as_str(), request.generation_id);
        // Producers that do not consume in a group name no member.
        if generation >= 0 || !member.is_empty() || instance.is_some() {
            let now = crate::now_ms();
            let mut groups = self.groups.borrow_mut();
            groups.check_commit(&request.group_id, member, instance, generation, now)?;
        }
        let mut offsets = Vec::new();
        for topic in &request.topics {
            for own in &topic.partitions {
                if self.topics.borrow().partition(&topic.name, own.partition_index).is_some() {
                    let key = (topic.name.to_string(), own.partition_index);
                    let (epoch, metadata) = (own.committed_leader_epoch, &own.committed_metadata);
                    offsets
                        .push((key, committed(own.committed_offset, epoch, metadata.as_deref())?));
                }
            }
        }
        self.transactions.borrow_mut().add_offsets(
            &request.transactional_id,
            request.producer_id.0,
            request.producer_epoch,
            &request.group_id,
            offsets,
        )
    }
}
