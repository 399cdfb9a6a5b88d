//! A sink task's partitions: how they come, how they go, and what is committed of them.

use std::time::{Duration, Instant};

use millrace_api::error::{ConnectError, ErrorKind, Stage};
use millrace_api::record::TopicPartition;
use millrace_api::sink::{Offsets, SinkTask};
use millrace_kafka::consumer::{Handle, News};

use crate::kafka_errors::consume_error;
use crate::metrics::LatencyStage;
use crate::reporter::Reporter;
use crate::sink_batch::Errors;
use crate::sink_offsets::SinkOffsets;
use crate::sink_task::{api_name, api_names, kafka_name};

/// What it takes to follow the group, borrowed from the task: between two batches, or while one is
/// held because the sink cannot take it yet.
pub(crate) struct Assignment<'t> {
    pub task: &'t mut dyn SinkTask,
    pub offsets: &'t mut SinkOffsets,
    pub errors: &'t mut Errors,
    pub reporter: &'t Reporter,
    pub handle: &'t Handle,
    pub is_bulk: bool,
    /// Partitions that come are paused.
    pub paused: bool,
    /// How long dead letters are waited for.
    pub patience: Duration,
}

/// Why offsets are committed.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Occasion {
    Interval,
    /// Partitions may go. What cannot be committed is read again by whoever gets them.
    Rebalance,
    /// The task's last.
    End,
}

impl Assignment<'_> {
    /// Does what the group's news ask for; gives the partitions that are not this task's any more.
    pub(crate) async fn take(&mut self, news: News) -> Result<Vec<TopicPartition>, ConnectError> {
        let gone = match news {
            News::Assigned(_) => {
                self.reporter.life().is_member(self.handle.member_id());
                self.assigned().await?;
                return Ok(Vec::new());
            }
            News::Rebalancing(_) => {
                self.commit(Occasion::Rebalance).await?;
                return Ok(Vec::new());
            }
            News::Revoking(names) => {
                self.commit(Occasion::Rebalance).await?;
                names
            }
            News::Lost(names) => names,
        };
        let mut gone = api_names(&gone);
        // Some may have come and gone before this task heard of them.
        gone.retain(|name| self.offsets.consumed().contains_key(name));
        self.close(&gone).await?;
        Ok(gone)
    }

    async fn assigned(&mut self) -> Result<(), ConnectError> {
        let positions = self.handle.positions().await.map_err(consume_error)?;
        let known = self.offsets.consumed();
        let new: Offsets = positions
            .into_iter()
            .map(|(name, offset)| (api_name(&name), offset))
            .filter(|(name, _)| !known.contains_key(name))
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        self.offsets.assign(&new);
        if self.paused {
            self.handle.pause(&self.handle.assignment());
        }
        self.task.open(&new).await
    }

    async fn close(&mut self, partitions: &[TopicPartition]) -> Result<(), ConnectError> {
        if partitions.is_empty() {
            return Ok(());
        }
        self.offsets.revoke(partitions);
        partitions.iter().for_each(|name| self.reporter.metrics().latency().forget(name));
        self.task.close(partitions).await
    }

    /// Asks the sink what is durable and commits that. When the sink cannot say, reading goes back
    /// to what is committed; when Kafka cannot take it, the next interval tries again.
    pub(crate) async fn commit(&mut self, occasion: Occasion) -> Result<(), ConnectError> {
        if !self.errors.settle(self.patience).await? {
            // Records that are neither delivered nor in the dead letter queue must be read again.
            if self.is_bulk && occasion == Occasion::End {
                return Err(ConnectError::fatal(
                    "Kafka did not take the dead letters; nothing is committed, so that the next run \
                     delivers them again",
                ));
            }
            self.reporter.trouble(Some(
                "offsets are not committed: Kafka does not take the dead letters".to_owned(),
            ));
            return Ok(());
        }
        if self.offsets.consumed().is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        self.reporter.metrics().counts().commit_begun();
        let durable = match self.task.pre_commit(self.offsets.consumed()).await {
            Ok(durable) => durable,
            Err(error) if occasion == Occasion::End || error.kind == ErrorKind::Fatal => {
                return Err(error);
            }
            Err(error) => {
                self.reporter.metrics().counts().commit_ended(None);
                self.reporter.trouble(Some(format!("offsets are not committed: {error}")));
                if occasion == Occasion::Interval {
                    self.rewind();
                }
                return Ok(());
            }
        };
        self.reporter.metrics().latency().durable(&durable);
        let news = self.offsets.to_commit(durable);
        if news.is_empty() {
            self.reporter.metrics().counts().commit_ended(Some(started.elapsed()));
            return Ok(());
        }
        let offsets: Vec<_> =
            news.iter().map(|(partition, offset)| (kafka_name(partition), *offset)).collect();
        match self.handle.commit(&offsets).await {
            Ok(()) => {
                self.offsets.committed(&news);
                let took = started.elapsed();
                self.reporter.metrics().latency().took(LatencyStage::Commit, took);
                self.reporter.metrics().counts().commit_ended(Some(took));
            }
            Err(error) if self.is_bulk && !error.is_retriable() => {
                return Err(ConnectError::fatal(format!(
                    "the offsets of the consumer group cannot be committed; is a worker running the \
                     connector {} at the same time?",
                    self.reporter.id().connector
                ))
                .at(Stage::KafkaConsume)
                .caused_by(error));
            }
            Err(error) => {
                self.reporter.metrics().counts().commit_ended(None);
                tracing::warn!(task = %self.reporter.id(), %error, "offsets could not be committed");
            }
        }
        Ok(())
    }

    fn rewind(&mut self) {
        for (partition, offset) in self.offsets.rewind() {
            self.reporter.metrics().latency().forget(&partition);
            self.handle.seek(&kafka_name(&partition), offset);
        }
    }
}
