//! Exactly-once source tasks (KIP-618): records and the source offsets behind them become visible
//! together, in one transaction of the task's own producer, or not at all.
//!
//! 1. Before the task starts, its producer takes `transactional.id` over: whoever ran the task before
//!    can write no more, and what it left open is gone. Only then are the stored offsets read, and it
//!    is looked at whether the task is still this worker's ([`Clearance`]).
//! 2. After a poll, or after an interval, the offsets are appended behind the records and the
//!    transaction is committed. Tasks that listen hear of their records then, not before.
//! 3. Whatever goes wrong fails the task, with `errors.tolerance=all` too, and its next life reads on
//!    behind the last commit.
//!
//! [`Clearance`]: crate::command::Clearance

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use millrace_api::Config;
use millrace_api::config_def::split_list;
use millrace_api::error::{ConnectError, Stage};
use millrace_kafka::producer::{AppendError, Producer, ProducerConfig};
use millrace_kafka::record_batch::NO_HEADERS;
use millrace_kafka::{Cluster, ErrorKind, KafkaError};
use millrace_net::{account, rt};

use crate::command::{ExactlyOnce, TaskId, TaskSpec};
use crate::control::{Control, HEARING};
use crate::kafka_errors::{client_refused, produce_error};
use crate::metrics::LatencyStage;
use crate::reporter::Reporter;
use crate::settings;
use crate::source_task::WorkerSourceTask;

/// How long a task that failed may take to hide what it had not committed: the next life of it, or
/// the broker's `transaction.timeout.ms`, does the same.
const ABORT: Duration = Duration::from_secs(2);
/// How long a commit may take before it is news.
const SLOW: Duration = Duration::from_secs(5);
/// Somebody else took the transactional id, or the transaction took too long.
const INVALID_PRODUCER_EPOCH: i16 = 47;

type Entry = (Vec<u8>, Option<Vec<u8>>);

/// When a task's transactions end, and where its offsets go.
pub(crate) struct Transactions {
    boundary: Boundary,
    offsets_topic: String,
}

enum Boundary {
    Poll,
    Interval { every: Duration, next: Instant },
}

impl Transactions {
    /// By `transaction.boundary`; `connector` is refused when the configuration is checked.
    pub(crate) fn of(spec: &TaskSpec, once: &ExactlyOnce) -> Self {
        let boundary = match interval(&spec.worker, &spec.connector) {
            None => Boundary::Poll,
            Some(every) => Boundary::Interval { every, next: Instant::now() + every },
        };
        Self { boundary, offsets_topic: once.offsets_topic.clone() }
    }

    /// Whether a transaction is to end now, which is asked between two polls.
    fn is_due(&mut self, now: Instant) -> bool {
        match &mut self.boundary {
            Boundary::Poll => true,
            Boundary::Interval { every, next } => {
                let due = now >= *next;
                if due {
                    *next = now + *every;
                }
                due
            }
        }
    }
}

/// `None`: transactions end with each poll.
fn interval(worker: &Config, connector: &Config) -> Option<Duration> {
    let given = |key: &str| connector.get(key).map(|text| text.trim());
    let by_time = given("transaction.boundary")?.eq_ignore_ascii_case("interval");
    let millis = given("transaction.boundary.interval.ms").and_then(|text| text.parse().ok());
    let millis = millis.map_or_else(|| settings::flush_interval(worker), Duration::from_millis);
    by_time.then_some(millis)
}

/// The task's producer, with every earlier one fenced and the stored offsets there to be read. `None`
/// when the task is to stop before that.
pub(crate) async fn open(
    spec: &TaskSpec,
    once: &ExactlyOnce,
    control: &Control,
) -> Result<Option<Producer>, ConnectError> {
    let config = config(spec, once)?;
    let producer = Producer::new(Cluster::new(config.client.clone()), config);
    let Some(ready) = control.unless_stopping(producer.init_transactions()).await else {
        return Ok(None);
    };
    ready.map_err(produce_error)?;
    let cleared = control.answered(|tell| once.clearance.ask(&spec.id, spec.generation, tell));
    Ok(cleared.await?.then_some(producer))
}

fn config(spec: &TaskSpec, once: &ExactlyOnce) -> Result<ProducerConfig, ConnectError> {
    let client_id = format!("connector-producer-{}", spec.id);
    let mut map = settings::producer(&spec.worker, &spec.connector, client_id);
    check_cluster(&map, &once.offsets_servers)?;
    for (key, needed) in
        [("enable.idempotence", "true"), ("transactional.id", once.transactional_id.as_str())]
    {
        // Connect's own default for idempotence is no wish of the user's.
        let given = map.insert(key.to_owned(), needed.to_owned());
        if let Some(given) = given.filter(|given| given != needed && given != "false") {
            tracing::warn!(
                task = %spec.id,
                "producer.{key}={given} is replaced by {needed}, which exactly-once support needs"
            );
        }
    }
    let parsed = ProducerConfig::parse_transactional(&map);
    let parsed = parsed.map_err(|problems| client_refused("producer.", &problems))?;
    for key in &parsed.unknown {
        tracing::warn!(task = %spec.id, "producer.{key} is not known and is ignored");
    }
    if parsed.config.partitioner_ignore_keys {
        return Err(ConnectError::fatal(
            "Invalid value true for configuration producer.partitioner.ignore.keys: with exactly-once \
             support the task's producer writes its offsets too, which must stay in the partitions of \
             their keys",
        ));
    }
    Ok(parsed.config)
}

/// Offsets that were written to another cluster than they are read from would never be found again.
fn check_cluster(producer: &BTreeMap<String, String>, offsets: &str) -> Result<(), ConnectError> {
    let servers = |text: &str| -> BTreeSet<String> { split_list(text).into_iter().collect() };
    let key = "bootstrap.servers";
    let given = producer.get(key).map_or("", String::as_str);
    if servers(given) == servers(offsets) {
        return Ok(());
    }
    Err(ConnectError::fatal(format!(
        "Invalid value {given} for configuration producer.override.{key}: with exactly-once support a \
         task's records and offsets are in one transaction, and its offsets would be read from \
         {offsets}; give consumer.override.{key} and admin.override.{key} the same value, or remove \
         the key"
    )))
}

/// Waits for a commit, but no longer than a task that is to stop has left.
async fn within_grace<T>(
    control: &Control,
    reporter: &Reporter,
    commit: impl Future<Output = T>,
) -> Option<T> {
    let (mut commit, started) = (pin!(commit), Instant::now());
    loop {
        if let Ok(done) = rt::timeout(HEARING, commit.as_mut()).await {
            reporter.trouble(None);
            return Some(done);
        }
        if control.stopping() && control.grace_left().is_zero() {
            return None;
        }
        if started.elapsed() > SLOW {
            let why = "Kafka has not committed a transaction yet: its brokers are away or slow";
            reporter.trouble(Some(why.to_owned()));
        }
    }
}

/// Appends the offsets behind the records and commits both.
async fn commit(producer: &Producer, topic: &str, entries: &[Entry]) -> Result<(), KafkaError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
    for (key, value) in entries {
        loop {
            match producer.append(topic, None, now, Some(key), value.as_deref(), NO_HEADERS) {
                Ok(_) => break,
                Err(error) if error.is_wait() => producer.ready().await?,
                Err(AppendError::Failed(error)) => return Err(error),
                Err(error) => return Err(KafkaError::new(ErrorKind::Fatal, error.to_string())),
            }
        }
    }
    producer.commit_transaction().await
}

impl WorkerSourceTask {
    /// Ends the transaction if it is time to, or `at_once`.
    pub(crate) async fn commit_if_due(&mut self, at_once: bool) -> Result<(), ConnectError> {
        let Some(transactions) = &mut self.transactions else { return Ok(()) };
        // Readers of the offsets wait for transactions that touch their topic, and this would touch it
        // for as long as it is open. Nothing of it is visible yet.
        let own = &transactions.offsets_topic;
        if self.settlement.topics.iter().any(|(topic, _)| topic == own) {
            return Err(ConnectError::fatal(
                "Source tasks may not produce to their own offsets topics when exactly-once support is \
                 enabled",
            ));
        }
        match transactions.is_due(Instant::now()) || at_once {
            // Boxed: most tasks have no transactions, and none pays for the room.
            true => Box::pin(self.commit_transaction()).await,
            false => Ok(()),
        }
    }

    async fn commit_transaction(&mut self) -> Result<(), ConnectError> {
        let Some(Transactions { offsets_topic, .. }) = &self.transactions else { return Ok(()) };
        let taken = self.settlement.offsets.take_all();
        let entries = self.entries(&taken);
        if entries.is_empty() && !self.settlement.producer.in_transaction() {
            return self.task.commit().await;
        }
        let started = Instant::now();
        let records = self.settlement.uncommitted();
        self.settlement.reporter.metrics().counts().commit_begun();
        let committed = commit(&self.settlement.producer, offsets_topic, &entries);
        let reporter = &self.settlement.reporter;
        let outcome = within_grace(&self.control, reporter, committed).await;
        let took = started.elapsed();
        let metrics = self.settlement.reporter.metrics();
        metrics.latency().took(LatencyStage::Commit, took);
        metrics.counts().commit_ended(matches!(outcome, Some(Ok(()))).then_some(took));
        match outcome {
            Some(Ok(())) => {
                self.settlement.reporter.metrics().counts().transaction(records);
                self.settlement.committed(entries.len() as u64)?;
                account::aside(|| self.store.committed(entries));
                self.task.commit().await
            }
            Some(Err(error)) => Err(refused(self.settlement.reporter.id(), error)),
            None => {
                tracing::warn!(
                    task = %self.settlement.reporter.id(),
                    "the task's last transaction was not committed in time; its records will be read \
                     again"
                );
                Ok(())
            }
        }
    }

    /// The last transaction: committed, or hidden if the task failed or had no time to commit it.
    pub(crate) async fn end_transactions(&mut self, failed: bool) -> Result<(), ConnectError> {
        let committed = if failed { Ok(()) } else { Box::pin(self.commit_transaction()).await };
        let producer = &self.settlement.producer;
        if producer.in_transaction() {
            let aborted = rt::timeout(ABORT, producer.abort_transaction()).await;
            if !matches!(aborted, Ok(Ok(()))) {
                tracing::info!(
                    task = %self.settlement.reporter.id(),
                    "what the task had not committed is hidden when its next life begins, or when \
                     transaction.timeout.ms is over"
                );
            }
        }
        committed
    }
}

/// The transaction is over for the brokers, by time or by another producer.
pub(crate) fn is_expired(error: &KafkaError) -> bool {
    error.code == INVALID_PRODUCER_EPOCH
}

/// The JVM's words for a transaction that is not to be.
#[cold]
pub(crate) fn refused(id: &TaskId, error: KafkaError) -> ConnectError {
    let message = match is_expired(&error) {
        true => format!(
            "The task {id} was unable to finish writing records to Kafka before its producer \
             transaction expired. It may be necessary to reconfigure this connector in order for it to \
             run healthily with exactly-once support. Options for this include: tune the connector's \
             producer configuration for higher throughput, increase the transaction timeout for the \
             connector's producers, decrease the offset commit interval (if using interval-based \
             transaction boundaries), or use the 'poll' transaction boundary (if the connector is not \
             already configured to use it)."
        ),
        false => format!("Failed to flush offsets and/or records for task {id}"),
    };
    ConnectError::fatal(message).at(Stage::KafkaProduce).caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn transactions_end_with_polls_or_after_an_interval() {
        let worker = config(&[("offset.flush.interval.ms", "700")]);
        assert_eq!(interval(&worker, &config(&[])), None);
        assert_eq!(interval(&worker, &config(&[("transaction.boundary", "POLL")])), None);
        let mut connector = config(&[("transaction.boundary", "Interval")]);
        assert_eq!(interval(&worker, &connector), Some(Duration::from_millis(700)));
        connector.extend(config(&[("transaction.boundary.interval.ms", " 50")]));
        assert_eq!(interval(&worker, &connector), Some(Duration::from_millis(50)));
        let begin = Instant::now();
        let every = Duration::from_secs(1);
        let boundary = Boundary::Interval { every, next: begin + every };
        let mut transactions = Transactions { boundary, offsets_topic: String::new() };
        assert!(!transactions.is_due(begin));
        assert!(transactions.is_due(begin + every));
        assert!(!transactions.is_due(begin + every));
    }

    #[test]
    fn offsets_stay_where_they_are_read() {
        let worker = config(&[("bootstrap.servers", "a:1,b:1")]);
        let offsets = "a:1,b:1";
        let producer = |servers: &str| {
            let connector = config(&[("producer.override.bootstrap.servers", servers)]);
            settings::producer(&worker, &connector, "c".to_owned())
        };
        assert!(check_cluster(&producer("b:1, a:1"), offsets).is_ok());
        let error = check_cluster(&producer("c:1"), offsets).unwrap_err();
        assert!(error.message.contains("Invalid value c:1"), "{error}");
    }

    #[test]
    fn a_transaction_that_took_too_long_says_what_to_do() {
        let id = TaskId { connector: "c".into(), task: 1 };
        let error = refused(&id, KafkaError::from_code(INVALID_PRODUCER_EPOCH, "Produce", ""));
        assert!(error.message.contains("increase the transaction timeout"), "{error}");
        let error = refused(&id, KafkaError::from_code(90, "EndTxn", ""));
        assert!(error.trace().contains("offsets and/or records for task c-1\nCaused by: EndTxn"));
    }
}
