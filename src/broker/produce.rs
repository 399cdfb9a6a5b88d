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
                    Err(code::INVALID_REQUIRED_ACKS)
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
    ) -> Result<(Appended, i64), i16> {
        if let Some(code) = call.partition_error(topic, data.index) {
            return Err(code);
        }
        let partition = self.topics.borrow().partition(topic, data.index);
        let partition = partition.ok_or(code::UNKNOWN_TOPIC_OR_PARTITION)?;
        let records = data.records.as_ref().ok_or(code::INVALID_RECORD)?;
        if let Ok(header) = BatchHeader::parse(records)
            && header.is_transactional()
        {
            let transactions = self.transactions.borrow();
            let id = transactional_id.ok_or(code::INVALID_REQUEST)?;
            let (producer, epoch) = (header.producer_id, header.producer_epoch);
            transactions.verify(id, producer, epoch, topic, data.index)?;
        }
        let mut log = partition.log.borrow_mut();
        let appended = log.append(records, crate::now_ms())?;
        let start = log.start_offset();
        drop(log);
        if !appended.duplicate {
            partition.changed.notify();
        }
        Ok((appended, start))
    }
}

fn answer(index: i32, result: Result<(Appended, i64), i16>) -> PartitionProduceResponse {
    let answer = PartitionProduceResponse::default().with_index(index);
    match result {
        Ok((appended, start)) => answer
            .with_base_offset(appended.base_offset)
            .with_log_append_time_ms(appended.append_time)
            .with_log_start_offset(start),
        Err(code) => answer
            .with_error_code(code)
            .with_base_offset(-1)
            .with_log_append_time_ms(-1)
            .with_log_start_offset(-1),
    }
}
