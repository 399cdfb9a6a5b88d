//! A sink task on its core: from fetched batch to committed offset.

use std::rc::Rc;
use std::time::{Duration, Instant};

use millrace_api::error::{ConnectError, ErrorKind, Stage};
use millrace_api::record::{Record, TopicPartition};
use millrace_api::sink::{Offsets, SinkTask, SinkTaskContext};
use millrace_converters::Arena;
use millrace_kafka::consumer::{Consumer, Fetched, Polled};
use millrace_net::rt;

use crate::bounds::BoundedJob;
use crate::command::{Progress, TaskState};
use crate::control::{Control, HEARING};
use crate::dead_letters::DeadLetters;
use crate::error_policy::{Consumed, ErrorPolicy, Failure};
use crate::reporter::Reporter;
use crate::sink_offsets::SinkOffsets;
use crate::transformation_chain::{Chain, Segment};

/// What an iteration leaves the loop to do.
#[derive(PartialEq)]
enum Flow {
    GoOn,
    /// A bulk job reached its end offsets.
    Finished,
}

pub(crate) struct WorkerSinkTask {
    pub task: Box<dyn SinkTask>,
    pub context: Rc<SinkTaskContext>,
    pub consumer: Consumer,
    pub chain: Chain,
    pub errors: Errors,
    pub job: Option<BoundedJob>,
    pub control: Rc<Control>,
    pub reporter: Reporter,
    pub flush_interval: Duration,
    pub offsets: SinkOffsets,
    pub arena: Arena,
    pub next_commit: Instant,
    pub progress: Progress,
    pub next_report: Instant,
    pub paused: bool,
    /// The batch's records; empty between iterations, kept for its memory.
    pub records: Vec<Record<'static>>,
}

/// The error policy and where it sends what it does not drop.
pub(crate) struct Errors {
    pub policy: ErrorPolicy,
    pub dead_letters: Option<DeadLetters>,
}

impl WorkerSinkTask {
    /// Runs until it is stopped, has finished its bounded job, or fails.
    pub(crate) async fn run(mut self) -> Result<TaskState, ConnectError> {
        let ended = self.iterate().await;
        // Whatever ended the task: what is durable is committed, partitions are given up in order.
        let closed = self.shut_down(ended.is_ok()).await;
        let finished = ended?;
        closed?;
        Ok(if finished { TaskState::Finished } else { TaskState::Unassigned })
    }

    /// `true` when a bulk job reached its end.
    async fn iterate(&mut self) -> Result<bool, ConnectError> {
        while !self.control.stopping() {
            if self.iteration().await? == Flow::Finished {
                return Ok(true);
            }
            rt::yield_if_needed().await;
        }
        Ok(false)
    }

    async fn iteration(&mut self) -> Result<Flow, ConnectError> {
        self.follow_pause();
        self.commit_if_due().await?;
        self.report_if_due(false);
        let wait = self.context.take_timeout().unwrap_or(HEARING).min(HEARING);
        match self.consumer.poll(wait).await.map_err(kafka_error)? {
            Polled::Records(fetched) => {
                let mut batch = Batch {
                    chain: &mut self.chain,
                    errors: &mut self.errors,
                    offsets: &mut self.offsets,
                    progress: &mut self.progress,
                    job: self.job.as_ref(),
                };
                let mut records = recycle(std::mem::take(&mut self.records));
                batch.convert(&fetched, &self.arena, &mut records).await?;
                put(&mut *self.task, &records, &self.context, &self.control).await?;
                batch.taken(&fetched, &records, &self.context, &self.control).await?;
                self.records = recycle(records);
            }
            Polled::Assigned(positions) => self.assigned(&positions).await?,
            Polled::Revoking(partitions) => self.revoked(&partitions).await?,
            Polled::Lost(partitions) => self.lost(&partitions).await?,
            Polled::Empty => put(&mut *self.task, &[], &self.context, &self.control).await?,
        }
        self.arena.reset();
        self.apply_seeks();
        self.reporter.trouble(self.consumer.trouble());
        Ok(self.finished_job().await?)
    }
}
