//! The consumer of a sink task: polls batches, tells of rebalances, commits.
//!
//! 1. [`Consumer::new`], then [`Consumer::subscribe`] (a group shares the partitions out) or
//!    [`Consumer::assign`] (the caller says which).
//! 2. [`Consumer::poll`], again and again, at least once in `max.poll.interval.ms`. It lends
//!    batches out until the next poll. Positions move as batches are lent.
//! 3. On [`News::Rebalancing`] and [`News::Revoking`] flush and commit before the next poll; on
//!    [`News::Lost`] drop what is buffered; on [`News::Assigned`] seek or just go on.
//! 4. While a batch is held for longer than a moment, [`Handle`] hears the group's news.
//! 5. [`Consumer::close`] leaves the group; dropping the consumer lets its session time out.

mod handle;
mod polled;
mod resolver;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use millrace_net::rt::{Elapsed, Task, sleep, timeout};

pub use handle::Handle;
pub use polled::{Batch, Fetched, Loan, News, Polled, Segment, SegmentRecords};
use polled::{Opened, Run};

use crate::cluster::Cluster;
use crate::compression::{Decompressor, Scratch};
use crate::config::ConsumerConfig;
use crate::error::KafkaError;
use crate::fetch::fetcher::{Event, Fetcher, Surroundings};
use crate::group::{Group, OffsetAndMetadata, Subscription};
use crate::local::Doorbell;
use crate::offsets::{EARLIEST, LATEST, Listed, list_offsets};
use crate::partitions::{PartitionId, Partitions, Position, TopicPartition};
use crate::record_batch::BatchHeader;

/// What the consumer and the tasks beside it share.
pub(crate) struct Shared {
    pub partitions: RefCell<Partitions>,
    pub doorbell: Rc<Doorbell>,
    /// Why partitions can't be read yet; `None` while all is well.
    pub trouble: RefCell<Option<KafkaError>>,
    pub resolving: Cell<bool>,
    pub resolver: RefCell<Option<Task<()>>>,
    pub group: RefCell<Option<Rc<Group>>>,
    /// Handed out as news, to be done with by the next poll.
    pub told: RefCell<Option<Told>>,
    /// All partitions are up for assignment: nothing is lent.
    pub suspended: Cell<bool>,
}

/// News that the group waits for an answer to.
pub(crate) enum Told {
    Rebalancing,
    Revoking(Vec<TopicPartition>),
}

/// See the module.
pub struct Consumer {
    cluster: Cluster,
    config: Rc<ConsumerConfig>,
    shared: Rc<Shared>,
    fetchers: Vec<Fetcher>,
    /// Whose batches are taken first; goes round.
    turn: usize,
    /// The state of partitions and metadata that fetchers were last set up for.
    placed: Option<(u64, u64)>,
    decompressor: Decompressor,
    scratch: Scratch,
    batches: Vec<Opened>,
    runs: Vec<Run>,
    /// The fetcher whose batches were lent last.
    lender: usize,
}

impl Consumer {
    pub fn new(cluster: Cluster, config: ConsumerConfig) -> Self {
        let shared = Shared {
            partitions: RefCell::default(),
            doorbell: Rc::default(),
            trouble: RefCell::default(),
            resolving: Cell::new(false),
            resolver: RefCell::default(),
            group: RefCell::default(),
            told: RefCell::default(),
            suspended: Cell::new(false),
        };
        Self {
            cluster,
            config: Rc::new(config),
            shared: Rc::new(shared),
            fetchers: Vec::new(),
            turn: 0,
            placed: None,
            decompressor: Decompressor::new(),
            scratch: Scratch::new(),
            batches: Vec::new(),
            runs: Vec::new(),
            lender: 0,
        }
    }

    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// What can be done while batches are lent out.
    pub fn handle(&self) -> Handle {
        Handle::new(self.cluster.clone(), self.config.clone(), self.shared.clone())
    }

    /// Joins the group of `group.id` for the topics of `subscription`.
    pub fn subscribe(&mut self, subscription: Subscription) -> Result<(), KafkaError> {
        self.subscribe_after(subscription, None)
    }

    /// As [`Self::subscribe`], in the place of a member of that id that has ended, or was given up,
    /// without leaving. If the group knows it no more, this one is new.
    pub fn subscribe_after(
        &mut self,
        subscription: Subscription,
        earlier: Option<String>,
    ) -> Result<(), KafkaError> {
        if self.config.group_id.is_empty() {
            return Err(KafkaError::config("a subscription needs group.id"));
        }
        if self.shared.group.borrow().is_some() || !self.assignment().is_empty() {
            return Err(KafkaError::config(
                "the consumer has a subscription or partitions already",
            ));
        }
        let (cluster, config) = (self.cluster.clone(), self.config.clone());
        let doorbell = self.shared.doorbell.clone();
        let group = Group::start(cluster, config, subscription, doorbell, earlier);
        *self.shared.group.borrow_mut() = Some(group);
        Ok(())
    }

    /// Reads exactly these partitions, without a membership: at an offset, at an end of the log, or
    /// where the group of `group.id` left off. Replaces what was assigned before.
    pub fn assign(&mut self, assignment: &[(TopicPartition, Position)]) -> Result<(), KafkaError> {
        let mut group = self.shared.group.borrow_mut();
        if group.as_ref().is_some_and(|group| group.is_member()) {
            return Err(KafkaError::config("the consumer has a subscription already"));
        }
        if group.is_none() && !self.config.group_id.is_empty() {
            *group = Some(Group::without_membership(self.cluster.clone(), self.config.clone()));
        }
        drop(group);
        let mut partitions = self.shared.partitions.borrow_mut();
        partitions.clear();
        for (name, position) in assignment {
            partitions.add(name, *position);
        }
        let unknown = self.cluster.follow(assignment.iter().map(|(name, _)| &*name.topic));
        partitions.refresh_wanted |= unknown || self.cluster.is_stale();
        Ok(())
    }

    /// Waits at most `max_wait` for batches or for news of the group. Never waits while something
    /// is there. An error that is not retriable will come again; retriable ones are retried inside
    /// and told by [`Self::trouble`], whose coming and going ends the wait. So does a third of
    /// `max.poll.interval.ms`.
    pub async fn poll(&mut self, max_wait: Duration) -> Result<Polled<'_>, KafkaError> {
        self.take_back();
        let deadline = Instant::now() + max_wait.min(self.config.max_poll_interval / 3);
        let troubled = self.is_troubled();
        loop {
            if let Some(news) = self.handle().news()? {
                return Ok(Polled::News(news));
            }
            if self.is_troubled() != troubled {
                return Ok(Polled::Empty);
            }
            self.tend();
            let now = Instant::now();
            let unblock = self.shared.partitions.borrow().next_unblock(now).unwrap_or(deadline);
            // A broker that does not answer any more is given up in time; nothing is read meanwhile
            // where all is suspended.
            let fetchers = self.fetchers.iter().filter(|_| !self.shared.suspended.get());
            let answers = fetchers.filter_map(|fetcher| fetcher.answer_due(&self.config));
            let due = answers.min().unwrap_or(deadline);
            let wait = deadline.min(unblock).min(due).saturating_duration_since(now);
            let polled = if max_wait.is_zero() {
                // Without a timer, and the trip through the reactor that one takes.
                poll_fn(|cx| match self.poll_fetchers(cx) {
                    Poll::Ready(found) => Poll::Ready(Ok(found)),
                    Poll::Pending => Poll::Ready(Err(Elapsed)),
                })
                .await
            } else {
                timeout(wait, poll_fn(|cx| self.poll_fetchers(cx))).await
            };
            match polled {
                Ok(Some(at)) => {
                    let at = at?;
                    self.lender = at;
                    return Ok(Polled::Records(Fetched {
                        ring: &self.fetchers[at].ring,
                        scratch: &self.scratch,
                        batches: &self.batches,
                        runs: &self.runs,
                    }));
                }
                Ok(None) => {}
                Err(_) if Instant::now() >= deadline => return Ok(Polled::Empty),
                Err(_) => {}
            }
        }
    }

    /// Ends the loan of the last poll, and what it told is done.
    fn take_back(&mut self) {
        self.end_loan();
        self.handle().done();
    }

    /// The records of the last poll are no longer wanted: their memory is the core's again. The next
    /// poll does the same; this is for tasks that let others run before that.
    pub fn end_loan(&mut self) {
        self.scratch.clear();
        self.batches.clear();
        self.runs.clear();
        for fetcher in &mut self.fetchers {
            fetcher.held = false;
            fetcher.spare();
        }
    }

    /// What the last poll lent, to be kept beyond the next one. Decompressed batches go as they are,
    /// with their memory; those that came uncompressed are copied, batch by batch, as their place is
    /// where the next fetch goes. Empty if there was nothing, or it was taken back.
    pub fn take_loan(&mut self) -> Loan {
        if let Some(fetcher) = self.fetchers.get(self.lender) {
            for Opened { batch, start, .. } in &mut self.batches {
                if !batch.in_scratch() {
                    batch.move_to(fetcher.ring.padded_from(*start), &mut self.scratch);
                }
            }
        }
        let (batches, runs) = (std::mem::take(&mut self.batches), std::mem::take(&mut self.runs));
        let loan = Loan::new(self.scratch.hand_over(), batches, runs);
        self.end_loan();
        loan
    }

    /// Starts what partitions need, and fetchers for the brokers that lead them.
    fn tend(&mut self) {
        let mut partitions = self.shared.partitions.borrow_mut();
        partitions.refresh_wanted |= partitions.iter().next().is_some() && self.cluster.is_stale();
        let metadata = self.cluster.metadata();
        let now = Instant::now();
        if self.placed != Some((partitions.changes, metadata.version)) {
            for node in partitions.place(&metadata, now) {
                if !self.fetchers.iter().any(|fetcher| fetcher.node == node) {
                    self.fetchers.push(Fetcher::new(node, &self.config));
                }
            }
            let used: Vec<i32> = partitions.iter().map(|slot| slot.node).collect();
            self.fetchers.retain(|fetcher| used.contains(&fetcher.node));
            self.placed = Some((partitions.changes, metadata.version));
        }
        drop(partitions);
        self.handle().resolve();
    }

    /// Ready with a fetcher's index when batches were gathered from it, with `None` when something
    /// else has to be looked at.
    fn poll_fetchers(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<usize, KafkaError>>> {
        if self.shared.doorbell.poll_rung(cx) {
            return Poll::Ready(None);
        }
        if self.shared.suspended.get() {
            return Poll::Pending;
        }
        let count = self.fetchers.len();
        let changes = self.shared.partitions.borrow().changes;
        let troubled = self.is_troubled();
        for step in 0..count {
            let at = (self.turn + step) % count;
            let fetcher = &mut self.fetchers[at];
            let mut partitions = self.shared.partitions.borrow_mut();
            let mut around = Surroundings {
                cluster: &self.cluster,
                config: &self.config,
                partitions: &mut partitions,
            };
            fetcher.advance(cx, &mut around);
            drop(partitions);
            match self.gather(at) {
                Ok(false) => {}
                Ok(true) => {
                    self.turn = at + 1;
                    return Poll::Ready(Some(Ok(at)));
                }
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
        let partitions = self.shared.partitions.borrow();
        let resolve = !self.shared.resolving.get()
            && (partitions.refresh_wanted || partitions.changes != changes);
        let changed = partitions.changes != changes || self.is_troubled() != troubled;
        if partitions.fatal.is_some() || resolve || changed {
            return Poll::Ready(None);
        }
        Poll::Pending
    }

    /// Opens what the fetcher found, up to `millrace.fetch.poll.bytes`. True if there is any.
    fn gather(&mut self, at: usize) -> Result<bool, KafkaError> {
        let mut bytes = 0;
        while bytes < self.config.poll_bytes {
            let Some(event) = self.fetchers[at].events.pop_front() else { break };
            match event {
                Event::Aborted { id, list } => {
                    if let Some(slot) = self.shared.partitions.borrow_mut().get_mut(id) {
                        slot.aborted.reset(list);
                    }
                }
                Event::Batch { id, start, length } => match self.open(at, id, start, length) {
                    Ok(opened) => bytes += opened,
                    Err(_) if !self.batches.is_empty() => {
                        // The good ones first; the next poll meets this one again.
                        self.fetchers[at].events.push_front(event);
                        break;
                    }
                    Err(error) => {
                        self.fetchers[at].events.push_front(event);
                        return Err(error);
                    }
                },
            }
        }
        Ok(!self.batches.is_empty())
    }

    /// Opens one batch and moves its partition's position behind it. The bytes of its records; 0 if
    /// they are of no use.
    fn open(
        &mut self,
        at: usize,
        id: PartitionId,
        start: u64,
        length: usize,
    ) -> Result<usize, KafkaError> {
        let mut partitions = self.shared.partitions.borrow_mut();
        let Some(slot) = partitions.get_mut(id) else { return Ok(0) };
        let Position::At(position) = slot.position else { return Ok(0) };
        let fetcher = &mut self.fetchers[at];
        let bytes = fetcher.ring.padded_from(start);
        let broken = |error| {
            let why = format!("{} at offset {position}: {error}", slot.name);
            KafkaError { code: 2, ..KafkaError::corrupt(why).with_api("Fetch") }
        };
        let header = BatchHeader::parse(&bytes[..length]).map_err(broken)?;
        if header.next_offset() <= position {
            return Ok(0);
        }
        let admitted = slot.aborted.admits(&header, &bytes[..length]).map_err(broken)?;
        if !admitted || header.record_count == 0 {
            slot.position = Position::At(header.next_offset());
            return Ok(0);
        }
        let batch =
            crate::record_batch::OpenBatch::open(bytes, &mut self.decompressor, &mut self.scratch)
                .map_err(broken)?;
        let opened = batch.records_len();
        fetcher.held |= !batch.in_scratch();
        slot.position = Position::At(header.next_offset());
        self.batches.push(Opened { batch, start, from: position });
        let end = self.batches.len();
        match self.runs.last_mut().filter(|run| run.name == slot.name) {
            Some(run) => run.batches.end = end,
            None => self.runs.push(Run {
                name: slot.name.clone(),
                high_watermark: slot.high_watermark,
                batches: end - 1..end,
            }),
        }
        Ok(opened)
    }

    /// Records that the brokers have beyond the positions, where that is known.
    pub fn lags(&self) -> Vec<(TopicPartition, i64)> {
        let partitions = self.shared.partitions.borrow();
        let lags = partitions.iter().filter_map(|slot| match slot.position {
            Position::At(offset) if slot.high_watermark >= 0 => {
                Some((slot.name.clone(), (slot.high_watermark - offset).max(0)))
            }
            _ => None,
        });
        lags.collect()
    }

    /// Bytes held for what is fetched and decompressed.
    pub fn buffer_bytes(&self) -> usize {
        let rings = self.fetchers.iter().map(|fetcher| fetcher.ring.capacity());
        rings.sum::<usize>() + self.scratch.bytes().len()
    }

    /// The partitions read now, sorted.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.shared.partitions.borrow().names()
    }

    /// The offset of the next record to be lent; `None` while it has to be asked for, and for
    /// partitions that are not read here.
    pub fn position(&self, name: &TopicPartition) -> Option<i64> {
        match self.shared.partitions.borrow().slot(name)?.position {
            Position::At(offset) => Some(offset),
            _ => None,
        }
    }

    /// As [`Self::position`] for all partitions, waiting until they are known, at most
    /// `default.api.timeout.ms`.
    pub async fn positions(&mut self) -> Result<Vec<(TopicPartition, i64)>, KafkaError> {
        self.tend();
        self.handle().positions().await
    }

    /// Goes on reading at `offset`. False if the partition is not read here.
    pub fn seek(&mut self, name: &TopicPartition, offset: i64) -> bool {
        self.shared.partitions.borrow_mut().move_to(name, Position::At(offset.max(0)))
    }

    /// Goes on reading where the group left off.
    pub fn seek_to_committed(&mut self, name: &TopicPartition) -> bool {
        self.shared.partitions.borrow_mut().move_to(name, Position::Committed)
    }

    /// Stops lending batches of these; what was fetched ahead is fetched again after a resume.
    pub fn pause(&mut self, names: &[TopicPartition]) {
        let mut partitions = self.shared.partitions.borrow_mut();
        names.iter().for_each(|name| {
            partitions.set_paused(name, true);
        });
    }

    pub fn resume(&mut self, names: &[TopicPartition]) {
        let mut partitions = self.shared.partitions.borrow_mut();
        names.iter().for_each(|name| {
            partitions.set_paused(name, false);
        });
    }

    pub fn paused(&self) -> Vec<TopicPartition> {
        let partitions = self.shared.partitions.borrow();
        partitions.iter().filter(|slot| slot.paused).map(|slot| slot.name.clone()).collect()
    }

    /// Records between position and high watermark of all partitions, as far as they are known.
    pub fn lag(&self) -> u64 {
        let partitions = self.shared.partitions.borrow();
        let lags = partitions.iter().filter_map(|slot| match slot.position {
            Position::At(offset) => u64::try_from(slot.high_watermark - offset).ok(),
            _ => None,
        });
        lags.sum()
    }

    /// Why something can't be read, joined or committed just now, while it is retried.
    pub fn trouble(&self) -> Option<KafkaError> {
        let group = self.shared.group.borrow().as_ref().and_then(|group| group.trouble());
        let fetcher = || self.fetchers.iter().find_map(|fetcher| fetcher.trouble.clone());
        group.or_else(fetcher).or_else(|| self.shared.trouble.borrow().clone())
    }

    fn is_troubled(&self) -> bool {
        self.shared.trouble.borrow().is_some()
            || self.fetchers.iter().any(|fetcher| fetcher.trouble.is_some())
            || self.shared.group.borrow().as_ref().is_some_and(|group| group.is_troubled())
    }

    /// The group, for commits that go on beside polls; `None` without `group.id`.
    pub fn group(&self) -> Option<Rc<Group>> {
        self.shared.group.borrow().clone()
    }

    /// Commits the offsets of the next records to be read. See [`Group::commit`].
    pub async fn commit(&self, offsets: &[(TopicPartition, i64)]) -> Result<(), KafkaError> {
        self.need_group()?.commit(offsets).await
    }

    /// What the group has committed; partitions without a committed offset are left out.
    pub async fn committed(
        &self,
        names: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, OffsetAndMetadata)>, KafkaError> {
        self.need_group()?.committed(names).await
    }

    fn need_group(&self) -> Result<Rc<Group>, KafkaError> {
        self.group().ok_or_else(|| KafkaError::config("commits need group.id"))
    }

    /// The ends of the logs: where `latest` begins.
    pub async fn end_offsets(
        &self,
        names: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, i64)>, KafkaError> {
        self.ends(names, LATEST).await
    }

    pub async fn beginning_offsets(
        &self,
        names: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, i64)>, KafkaError> {
        self.ends(names, EARLIEST).await
    }

    async fn ends(
        &self,
        names: &[TopicPartition],
        end: i64,
    ) -> Result<Vec<(TopicPartition, i64)>, KafkaError> {
        let asked: Vec<_> = names.iter().map(|name| (name.clone(), end)).collect();
        let listed = list_offsets(&self.cluster, self.config.isolation_level, &asked).await?;
        Ok(listed.into_iter().map(|listed| (listed.name, listed.offset)).collect())
    }

    /// The first record of each partition that is as young as the time given, ms since 1970.
    pub async fn offsets_for_times(
        &self,
        times: &[(TopicPartition, i64)],
    ) -> Result<Vec<Listed>, KafkaError> {
        list_offsets(&self.cluster, self.config.isolation_level, times).await
    }

    /// Leaves the group (unless a static member) and closes all connections of its own. Commit
    /// before.
    pub async fn close(self) {
        let resolver = self.shared.resolver.borrow_mut().take();
        if let Some(task) = resolver {
            task.cancel().await;
        }
        let group = self.shared.group.borrow_mut().take();
        if let Some(group) = group {
            group.close().await;
        }
        // Lets the connections' tasks see that they are no longer wanted.
        sleep(Duration::ZERO).await;
    }
}
