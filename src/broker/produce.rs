//! Produce.

use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};

use crate::core::{Call, Core};
use crate::log::Appended;
use crate::protocol::code;
use millrace_kafka::record_batch::BatchHeader;

impl Core {
    pub(crate) fn produce(&self, call: &Call, request: ProduceRequest) -> ProduceResponse {
        let transactional_id = request.transactional_id.as_deref().map(|id| id.as_str());
        let acks_known = (-1..=1).contains(&request.acks);
        let mut response = ProduceResponse::default();
        for topic in &request.topic_data {
            let mut answers = Vec::with_capacity(topic.partition_data.len());
            for data in &topic.partition_data {
                let result = if acks_known {
                    self.append(call, &topic.name, data, transactional_id)
                } else {
                    Err((code::INVALID_REQUIRED_ACKS, -1))
                };
                answers.push(answer(data.index, result));
            }
            response.responses.push(
                TopicProduceResponse::default()
                    .with_name(topic.name.clone())
                    .with_partition_responses(answers),
            );
        }
        response
    }

    fn append(
        &self,
        call: &Call,
        topic: &str,
        data: &PartitionProduceData,
        transactional_id: Option<&str>,
    ) -> Result<(Appended, i64), (i16, i64)> {
        if let Some(code) = call.partition_error(topic, data.index) {
            return Err((code, -1));
        }
        let partition = self.topics.borrow().partition(topic, data.index);
        let partition = partition.ok_or((code::UNKNOWN_TOPIC_OR_PARTITION, -1))?;
        let records = data.records.as_ref().ok_or((code::INVALID_RECORD, -1))?;
        if let Ok(header) = BatchHeader::parse(records)
            && header.is_transactional()
        {
            let transactions = self.transactions.borrow();
            let id = transactional_id.ok_or((code::INVALID_REQUEST, -1))?;
            let (producer, epoch) = (header.producer_id, header.producer_epoch);
            let verified = transactions.verify(id, producer, epoch, topic, data.index);
            verified.map_err(|error| match error {
                code::INVALID_TXN_STATE if call.version >= 11 => (code::TRANSACTION_ABORTABLE, -1),
                other => (other, -1),
            })?;
        }
        let mut log = partition.log.borrow_mut();
        let start = log.start_offset();
        // A real broker tells the log's start once it has come as far as looking at the records.
        let looked_at = |error: i16| {
            let one = BatchHeader::parse(records).is_ok_and(|own| own.total_len() == records.len());
            match error {
                code::INVALID_RECORD => one,
                code::OUT_OF_ORDER_SEQUENCE_NUMBER | code::INVALID_PRODUCER_EPOCH => true,
                _ => false,
            }
        };
        let appended = log
            .append(records, crate::now_ms())
            .map_err(|error| (error, if looked_at(error) { start } else { -1 }))?;
        drop(log);
        if !appended.duplicate {
            partition.changed.notify();
        }
        Ok((appended, start))
    }
}

fn answer(index: i32, result: Result<(Appended, i64), (i16, i64)>) -> PartitionProduceResponse {
    let answer = PartitionProduceResponse::default().with_index(index);
    match result {
        Ok((appended, start)) => answer
            .with_base_offset(appended.base_offset)
            .with_log_append_time_ms(appended.append_time)
            .with_log_start_offset(start),
        Err((code, start)) => answer
            .with_error_code(code)
            .with_base_offset(-1)
            .with_log_append_time_ms(-1)
            .with_log_start_offset(start),
    }
}
