//! What becomes of a record that fails: retried, dropped, reported, or the end of the task.
//!
//! One place for `errors.*`, as `RetryWithToleranceOperator` is in the JVM worker.

use std::rc::Rc;
use std::time::{Duration, Instant};

use millrace_api::error::{ConnectError, ErrorKind, Stage};
use millrace_converters::DataError;

use crate::metrics::TaskMetrics;

use crate::command::TaskId;
use crate::settings::ErrorSettings;

/// A step on a record's way failed.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub stage: Stage,
    /// The Java class of the converter, transform or task.
    pub class: &'static str,
    pub error: DataError,
}

/// The record that failed, as it came from Kafka.
pub(crate) struct Consumed<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
    pub timestamp: i64,
}

pub(crate) struct ErrorPolicy {
    task: TaskId,
    settings: ErrorSettings,
    metrics: Rc<TaskMetrics>,
}

/// First delay of a retried step.
const RETRY_DELAY_FIRST: Duration = Duration::from_millis(300);
/// Longest delay between two tries to reach a schema registry.
const REGISTRY_DELAY_MOST: Duration = Duration::from_secs(5);

impl ErrorPolicy {
    pub(crate) fn new(metrics: Rc<TaskMetrics>, settings: ErrorSettings) -> Self {
        Self { task: metrics.id.clone(), settings, metrics }
    }

    /// A try of a step failed, and another follows.
    pub(crate) fn tried_again(&self) {
        let mut counts = self.metrics.counts();
        counts.failed(1);
        counts.errors.retries += 1;
    }

    /// The wait before attempt `n + 1` of a step that failed `n` times since `started`; `None` when
    /// the time for retries is over.
    pub(crate) fn retry_delay(&self, attempts: u32, started: Instant) -> Option<Duration> {
        let exponential = RETRY_DELAY_FIRST.saturating_mul(1 << attempts.saturating_sub(1).min(20));
        let max = self.settings.retry_delay_max;
        let delay = if exponential > max { jitter(max, started, attempts) } else { exponential };
        let Some(limit) = self.settings.retry_timeout else { return Some(delay) };
        let left = limit.saturating_sub(started.elapsed());
        if left.is_zero() { None } else { Some(delay.min(left)) }
    }

    /// As [`Self::retry_delay`], while a schema registry is away: unless the user set a time, the
    /// task waits for it as it does for brokers, and no record is lost over it.
    pub(crate) fn registry_delay(&self, attempts: u32, started: Instant) -> Option<Duration> {
        if !self.settings.retry_unset {
            return self.retry_delay(attempts, started);
        }
        let exponential = RETRY_DELAY_FIRST.saturating_mul(1 << attempts.saturating_sub(1).min(20));
        Some(exponential.min(REGISTRY_DELAY_MOST))
    }

    /// Logs the failure if `errors.log.enable` says so. Reporters run whatever the tolerance is.
    pub(crate) fn log(&self, failure: &Failure, record: &Consumed<'_>) {
        if !self.settings.log {
            return;
        }
        self.metrics.counts().errors.logged += 1;
        let consumed = if self.settings.log_messages {
            format!(
                ", where consumed record is {{topic='{}', partition={}, offset={}, timestamp={}, \
                 timestampType=CreateTime}}",
                record.topic, record.partition, record.offset, record.timestamp
            )
        } else {
            String::new()
        };
        tracing::error!(
            "Error encountered in task {}. Executing stage '{}' with class '{}'{consumed}. {}: {}",
            self.task,
            failure.stage.name(),
            failure.class,
            failure.error.class,
            failure.error.message
        );
    }

    /// Whether the task lives on without the record.
    pub(crate) fn tolerates(&self) -> bool {
        self.settings.tolerate_all
    }

    /// Counts a record that failed for good; the error ends the task if that is not tolerated.
    pub(crate) fn settle(
        &self,
        failure: &Failure,
        record: &Consumed<'_>,
    ) -> Result<(), ConnectError> {
        let mut counts = self.metrics.counts();
        counts.failed(1);
        counts.errors.errors += 1;
        if !self.tolerates() {
            return Err(self.fatal(failure, record));
        }
        counts.errors.skipped += 1;
        Ok(())
    }

    /// As [`Self::settle`], for a record that the sink itself gave up: no step of ours failed, so
    /// that it is not among those skipped.
    pub(crate) fn settle_errant(
        &self,
        failure: &Failure,
        record: &Consumed<'_>,
    ) -> Result<(), ConnectError> {
        let mut counts = self.metrics.counts();
        counts.failed(1);
        if self.tolerates() {
            return Ok(());
        }
        counts.errors.errors += 1;
        Err(self.fatal(failure, record))
    }

    /// The error that ends the task when it does not.
    fn fatal(&self, failure: &Failure, record: &Consumed<'_>) -> ConnectError {
        ConnectError {
            kind: ErrorKind::Fatal,
            stage: Some(failure.stage),
            class: ConnectError::CONNECT,
            message: format!(
                "Tolerance exceeded in error handler: record {}-{} at offset {} failed in stage {} \
                 with class {}; set errors.tolerance=all to drop such records, and \
                 errors.deadletterqueue.topic.name to keep them",
                record.topic,
                record.partition,
                record.offset,
                failure.stage.name(),
                failure.class
            ),
            source: Some(Box::new(JavaCause(failure.error.clone()))),
        }
    }
}

/// Prints a data error as Java's "Caused by" line does.
#[derive(Debug)]
struct JavaCause(DataError);

impl std::fmt::Display for JavaCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.0.class, self.0.message)
    }
}

impl std::error::Error for JavaCause {}

/// A wait in `[0, max)` that differs from task to task and from attempt to attempt.
fn jitter(max: Duration, started: Instant, attempts: u32) -> Duration {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = std::hash::RandomState::new().build_hasher();
    hasher.write_u32(attempts);
    hasher.write_u128(started.elapsed().as_nanos());
    let span = max.as_millis().max(1) as u64;
    Duration::from_millis(hasher.finish() % span)
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_api::Config;

    fn policy(pairs: &[(&str, &str)]) -> ErrorPolicy {
        let config: Config =
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let task = TaskId { connector: "c".into(), task: 0 };
        let metrics = TaskMetrics::new(task, 1, &Config::new());
        ErrorPolicy::new(Rc::new(metrics), ErrorSettings::of(&config))
    }

    #[test]
    fn delays_double_from_300_ms_until_the_maximum() {
        let policy = policy(&[("errors.retry.timeout", "-1")]);
        let now = Instant::now();
        let delays: Vec<_> =
            (1..=4).map(|n| policy.retry_delay(n, now).unwrap().as_millis()).collect();
        assert_eq!(delays, [300, 600, 1200, 2400]);
        assert!(policy.retry_delay(20, now).unwrap() < Duration::from_secs(60));
    }

    #[test]
    fn no_retry_without_a_timeout() {
        assert_eq!(policy(&[]).retry_delay(1, Instant::now()), None);
    }

    #[test]
    fn failed_records_are_counted_as_the_jvm_counts_them() {
        let record = Consumed { topic: "t", partition: 0, offset: 1, timestamp: 2 };
        let failure = Failure {
            stage: Stage::ValueConverter,
            class: "c",
            error: DataError::new("wrong".to_owned()),
        };
        let tolerant = policy(&[("errors.tolerance", "all"), ("errors.log.enable", "true")]);
        tolerant.tried_again();
        tolerant.log(&failure, &record);
        assert!(tolerant.settle(&failure, &record).is_ok());
        assert!(tolerant.settle_errant(&failure, &record).is_ok());
        let counted = tolerant.metrics.counts().errors;
        assert_eq!((counted.failures, counted.errors, counted.skipped), (3, 1, 1));
        assert_eq!((counted.retries, counted.logged), (1, 1));
        let strict = policy(&[]);
        assert!(strict.settle(&failure, &record).is_err());
        let counted = strict.metrics.counts().errors;
        assert_eq!((counted.failures, counted.errors, counted.skipped), (1, 1, 0));
    }
}
