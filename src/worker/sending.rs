//! A polled batch on its way into the producer: transforms, converters, topics, append.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use millrace_api::error::{ConnectError, ErrorKind, Stage};
use millrace_api::source::SourceRecord;
use millrace_converters::{Arena, DataError};
use millrace_kafka::producer::AppendError;
use millrace_net::rt;

use crate::control::{Control, HEARING};
use crate::error_policy::{Consumed, Failure};
use crate::kafka_errors::produce_error;
use crate::outgoing::Outgoing;
use crate::schema_registry::Patience;
use crate::settlement::{Sent, Settlement};
use crate::transformation_chain::apply;

/// Records that are looked at for further rows when one is wanted.
const AHEAD: usize = 255;

/// What sending needs of its task, borrowed for one batch.
pub(crate) struct Sending<'t> {
    pub outgoing: &'t mut Outgoing,
    pub settlement: &'t mut Settlement,
    pub control: &'t Control,
    pub clock: Clock,
    pub sent: Sent,
}

/// The time of a polled batch's records that bring none: read once a batch.
#[derive(Default)]
pub(crate) struct Clock(Option<i64>);

impl Clock {
    fn now(&mut self) -> i64 {
        *self.0.get_or_insert_with(|| {
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
        })
    }
}

impl Sending<'_> {
    /// Sends the batch, or as much of it as can be before the task is to stop; see [`Sent`].
    pub(crate) async fn send_all<'a>(
        &mut self,
        records: &[SourceRecord<'a>],
        arena: &'a Arena,
    ) -> Result<(), ConnectError> {
        self.outgoing.begin_batch();
        while self.sent.count < records.len() {
            let (count, stopped) = self.send_some(&records[self.sent.count..], arena);
            self.sent.count += count;
            match stopped {
                Stopped::AtEnd => break,
                Stopped::Full => {
                    if !self.wait_for_room().await? {
                        break;
                    }
                }
                Stopped::UnknownTopic(topic) => self.outgoing.topics.ensure(&topic).await?,
                Stopped::Failed(_) if self.outgoing.converters.desks.want() => {
                    self.look_ahead(&records[self.sent.count..], arena);
                    if !self.ask_registry().await? {
                        break;
                    }
                }
                Stopped::Failed(failure) => {
                    self.give_up(&records[self.sent.count], &failure)?;
                    self.sent.count += 1;
                }
                Stopped::Broken(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The inner loop: no await. Stops where somebody must be waited for; gives the number of records
    /// that are done with.
    fn send_some<'a>(
        &mut self,
        records: &[SourceRecord<'a>],
        arena: &'a Arena,
    ) -> (usize, Stopped) {
        for (count, source) in records.iter().enumerate() {
            let mut record = source.record;
            match apply(&mut self.outgoing.steps, &mut record, arena) {
                Ok(true) => {}
                Ok(false) => {
                    self.drop_at(count);
                    continue;
                }
                Err(failure) => return (count, Stopped::Failed(failure)),
            }
            if !self.outgoing.topics.known(record.topic) {
                return (count, Stopped::UnknownTopic(record.topic.to_owned()));
            }
            let bytes = match self.outgoing.serialise(&record) {
                Ok(bytes) => bytes,
                Err(failure) => return (count, Stopped::Failed(failure)),
            };
            let appended = self.settlement.producer.append(
                record.topic,
                record.partition,
                record.timestamp.unwrap_or_else(|| self.clock.now()),
                bytes.key,
                bytes.value,
                bytes.headers(),
            );
            match appended {
                Ok(_) => {
                    self.settlement.progress.bytes_in += bytes.len() as u64;
                    self.sent.times.add(record.timestamp.unwrap_or(-1));
                    self.settlement.topics.add(record.topic);
                }
                Err(error) if error.is_wait() => return (count, Stopped::Full),
                Err(error @ AppendError::TooLarge { .. }) => {
                    return (count, Stopped::Failed(too_large(&error)));
                }
                Err(error) => return (count, Stopped::Broken(unsent(error))),
            }
        }
        (records.len(), Stopped::AtEnd)
    }

    /// Waits until the producer takes more. What was polled and not sent when the task is to stop
    /// is polled again by its next life: its offset is not stored.
    async fn wait_for_room(&mut self) -> Result<bool, ConnectError> {
        let started = Instant::now();
        while !self.control.stopping() {
            if let Ok(ready) = rt::timeout(HEARING, self.settlement.producer.ready()).await {
                self.settlement.reporter.trouble(None);
                return ready.map(|()| true).map_err(produce_error);
            }
            if started.elapsed() > SLOW {
                let why = "Kafka takes no more records: its brokers are away or slow";
                self.settlement.reporter.trouble(Some(why.to_owned()));
            }
        }
        Ok(false)
    }

    /// Where a transform's record wants a row, those behind it are shown to the transforms, too, so
    /// that theirs are asked for at the same time; whatever comes of it is forgotten.
    fn look_ahead<'a>(&mut self, rest: &[SourceRecord<'a>], arena: &'a Arena) {
        let Outgoing { steps, converters, .. } = &mut *self.outgoing;
        if !converters.desks.want_rows() {
            return;
        }
        let counted = converters.desks.lookups();
        for source in rest.iter().skip(1).take(AHEAD) {
            let _ = apply(&mut *steps, &mut { source.record }, arena);
        }
        converters.desks.forget_lookups(&counted);
    }

    /// Has the converters' questions to a schema registry answered. `false` when the task is to stop
    /// before they are.
    async fn ask_registry(&mut self) -> Result<bool, ConnectError> {
        let Settlement { policy, reporter, .. } = &*self.settlement;
        let patience = Patience { policy, control: self.control, reporter };
        match patience.settle(&self.outgoing.converters.desks).await {
            Err(error) if error.kind == ErrorKind::Retriable && self.control.stopping() => {
                Ok(false)
            }
            outcome => outcome.map(|()| true),
        }
    }

    #[cold]
    fn give_up(
        &mut self,
        source: &SourceRecord<'_>,
        failure: &Failure,
    ) -> Result<(), ConnectError> {
        let record = Consumed {
            topic: source.record.topic,
            partition: source.record.partition.unwrap_or(-1),
            offset: -1,
            timestamp: source.record.timestamp.unwrap_or(-1),
        };
        let policy = &self.settlement.policy;
        policy.log(failure, &record);
        if let Err(error) = policy.settle(failure, &record) {
            self.settlement.progress.records_dropped += 1;
            return Err(error);
        }
        if self.settlement.is_listened_to() {
            self.sent.refused.push(self.sent.count as u32);
        }
        self.drop_at(0);
        Ok(())
    }

    /// The record at `ahead` places behind those sent goes nowhere.
    fn drop_at(&mut self, ahead: usize) {
        self.settlement.progress.records_dropped += 1;
        if self.settlement.is_listened_to() {
            self.sent.dropped.push((self.sent.count + ahead) as u32);
        }
    }
}

/// Why the inner loop ended.
enum Stopped {
    AtEnd,
    /// The producer's memory is full.
    Full,
    UnknownTopic(String),
    Failed(Failure),
    Broken(ConnectError),
}

/// How long a full producer is no news.
const SLOW: Duration = Duration::from_secs(5);

#[cold]
fn too_large(error: &AppendError) -> Failure {
    Failure {
        stage: Stage::KafkaProduce,
        class: "org.apache.kafka.clients.producer.KafkaProducer",
        error: DataError::with_class(
            "org.apache.kafka.common.errors.RecordTooLargeException",
            error.to_string(),
        ),
    }
}

#[cold]
fn unsent(error: AppendError) -> ConnectError {
    let error = match error {
        AppendError::Failed(error) => return produce_error(error),
        other => other,
    };
    ConnectError::fatal("Unrecoverable exception trying to send")
        .at(Stage::KafkaProduce)
        .caused_by(error)
}
