//! The dead-letter queue: records that failed, as they came, with what happened in their headers.

use std::rc::Rc;
use std::time::Duration;

use millrace_api::error::ConnectError;
use millrace_kafka::admin::{Admin, NewTopic};
use millrace_kafka::producer::{AppendError, Producer};
use millrace_kafka::record_batch::RawRecord;
use millrace_net::rt;

use crate::control::{Control, HEARING};
use crate::error_policy::{Consumed, Failure};
use crate::kafka_errors::produce_error;
use crate::metrics::TaskMetrics;
use crate::settings::ErrorSettings;
use crate::topic_creation::make_if_missing;

pub(crate) struct DeadLetters {
    producer: Producer,
    topic: String,
    metrics: Rc<TaskMetrics>,
    control: Rc<Control>,
    context: bool,
}

impl DeadLetters {
    /// Makes the topic, of one partition, if it is not there.
    pub(crate) async fn open(
        metrics: Rc<TaskMetrics>,
        settings: &ErrorSettings,
        topic: &str,
        admin: &Admin,
        producer: Producer,
        control: Rc<Control>,
    ) -> Result<Self, ConnectError> {
        let failed = |error: millrace_kafka::KafkaError| {
            ConnectError::fatal(format!(
                "Could not initialize dead letter queue with topic={topic}"
            ))
            .caused_by(error)
        };
        let wanted = NewTopic {
            name: topic.to_owned(),
            partitions: 1,
            replication_factor: settings.dead_letter_replication,
            configs: Default::default(),
        };
        make_if_missing(admin, wanted).await.map_err(failed)?;
        Ok(Self {
            producer,
            topic: topic.to_owned(),
            metrics,
            control,
            context: settings.dead_letter_context,
        })
    }

    /// Hands the record to the producer; [`Self::flush`] waits for Kafka.
    pub(crate) async fn send(
        &mut self,
        failure: &Failure,
        record: &Consumed<'_>,
        raw: &RawRecord<'_>,
    ) -> Result<(), ConnectError> {
        self.metrics.counts().errors.dead_letters += 1;
        let context = self.context.then(|| self.context_headers(failure, record));
        let mut headers: Vec<(&str, Option<&[u8]>)> =
            raw.headers.into_iter().flatten().map(|header| (header.name, header.value)).collect();
        if let Some(context) = &context {
            headers.extend(context.iter().map(|(name, text)| (*name, Some(text.as_bytes()))));
        }
        loop {
            let appended = self.producer.append(
                &self.topic,
                None,
                raw.timestamp,
                raw.key,
                raw.value,
                headers.iter().copied(),
            );
            match appended {
                Ok(_) => return Ok(()),
                Err(error) if error.is_wait() => self.wait_for_room().await?,
                Err(AppendError::Failed(error)) => return Err(produce_error(error)),
                Err(error) => {
                    let what =
                        format!("a record cannot go to the dead letter queue {}", self.topic);
                    return Err(ConnectError::fatal(what).caused_by(error));
                }
            }
        }
    }

    /// Waits until the producer takes more, unless the task is to stop: the record is then left to
    /// its next life, as the error says.
    async fn wait_for_room(&self) -> Result<(), ConnectError> {
        loop {
            match rt::timeout(HEARING, self.producer.ready()).await {
                Ok(ready) => return ready.map_err(produce_error),
                Err(_) if self.control.stopping() => {
                    let what = "the task is to stop while Kafka does not take its dead letters";
                    return Err(ConnectError::retriable(what));
                }
                Err(_) => {}
            }
        }
    }

    /// `false` when Kafka has not taken all of them within `patience`.
    pub(crate) async fn flush(&mut self, patience: Duration) -> Result<bool, ConnectError> {
        let flushed = rt::timeout(patience, self.producer.flush()).await;
        self.metrics.counts().errors.dead_letter_failures = self.producer.stats().failed;
        match flushed {
            Ok(flushed) => flushed.map(|()| true).map_err(produce_error),
            Err(_) => Ok(false),
        }
    }

    /// Ends the producer's task before its core may end.
    pub(crate) async fn close(self) {
        if let Err(error) = self.producer.close(Duration::from_secs(1)).await {
            tracing::warn!(task = %self.metrics.id, %error, "the dead letter queue was closed early");
        }
    }

    /// `__connect.errors.*`, in the JVM's order.
    fn context_headers(
        &self,
        failure: &Failure,
        record: &Consumed<'_>,
    ) -> Vec<(&'static str, String)> {
        let error = &failure.error;
        vec![
            ("__connect.errors.topic", record.topic.to_owned()),
            ("__connect.errors.partition", record.partition.to_string()),
            ("__connect.errors.offset", record.offset.to_string()),
            ("__connect.errors.connector.name", self.metrics.id.connector.to_string()),
            ("__connect.errors.task.id", self.metrics.id.task.to_string()),
            ("__connect.errors.stage", failure.stage.name().to_owned()),
            ("__connect.errors.class.name", failure.class.to_owned()),
            ("__connect.errors.exception.class.name", error.class.to_owned()),
            ("__connect.errors.exception.message", error.message.clone()),
            (
                "__connect.errors.exception.stacktrace",
                format!("{}: {}\n", error.class, error.message),
            ),
        ]
    }
}
