//! The membership's own thread: round after round, heartbeats in between.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_lite::future::or;
use millrace_kafka::backoff::Backoff;
use millrace_kafka::group::classic::Failure;
use millrace_kafka::group::member::{GroupMember, GroupMemberConfig, Joined};
use millrace_kafka::{Cluster, KafkaError};
use millrace_net::rt::{sleep, timeout};

use super::{Assigned, MemberEvent, MemberReply, MembershipSettings, Orders, Round, Wanted, texts};
use crate::connect_protocol::{
    Assignment, ConnectProtocol, ConnectorsAndTasks, ProtocolError, WorkerState,
};

/// Why a step ended before its end.
#[derive(Debug)]
enum Exit {
    Failed(Failure),
    /// The herder wants us to leave, or is gone.
    Ordered,
}

impl From<Failure> for Exit {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<ProtocolError> for Exit {
    fn from(error: ProtocolError) -> Self {
        Self::Failed(Failure::Retry(KafkaError::corrupt(error.to_string())))
    }
}

pub(super) struct Driver {
    settings: MembershipSettings,
    member: GroupMember,
    backoff: RefCell<Backoff>,
    events: flume::Sender<MemberEvent>,
    orders: Arc<Orders>,
    woken: flume::Receiver<()>,
    /// What this member works on, as of the last assignment.
    assignment: RefCell<Option<Assignment>>,
    /// Of the last round; before the first one, the setting.
    protocol: Cell<ConnectProtocol>,
    last_completed_generation: Cell<i32>,
    /// When the leader wants us to join again.
    rejoin_at: Cell<Option<Instant>>,
    /// [`MemberEvent::Unreachable`] was told.
    told_unreachable: Cell<bool>,
}

impl Driver {
    pub fn new(
        settings: MembershipSettings,
        events: flume::Sender<MemberEvent>,
        orders: Arc<Orders>,
        woken: flume::Receiver<()>,
    ) -> Self {
        let cluster = Cluster::new(settings.client.clone());
        let config = GroupMemberConfig {
            group_id: settings.group_id.clone(),
            protocol_type: "connect",
            session_timeout: settings.session_timeout,
            rebalance_timeout: settings.rebalance_timeout,
        };
        Self {
            backoff: RefCell::new(cluster.backoff()),
            member: GroupMember::new(cluster, config),
            events,
            orders,
            woken,
            assignment: RefCell::new(None),
            protocol: Cell::new(settings.protocol),
            last_completed_generation: Cell::new(-1),
            rejoin_at: Cell::new(None),
            told_unreachable: Cell::new(false),
            settings,
        }
    }

    /// Until the handle is gone, or the group can't be joined at all.
    pub async fn run(self) {
        let mut reason = "worker starts".to_owned();
        loop {
            let failure = match self.round(&reason).await {
                Ok(why) => {
                    reason = why;
                    continue;
                }
                Err(Exit::Ordered) => match self.leave().await {
                    Some(why) => {
                        reason = why;
                        continue;
                    }
                    None => return,
                },
                Err(Exit::Failed(failure)) => failure,
            };
            match failure {
                // As the newcomer that just got its id, or after a round that another cut short.
                Failure::Rejoin => {
                    "need to re-join with the given member-id".clone_into(&mut reason)
                }
                Failure::Lost => {
                    tracing::info!(
                        group = self.settings.group_id,
                        "the group has gone on without \
                        this member; its work goes on, and is offered when it joins again"
                    );
                    self.member.lose_generation();
                    "the group has gone on without this member".clone_into(&mut reason);
                }
                Failure::Coordinator(error) | Failure::Retry(error) => {
                    tracing::debug!(%error, group = self.settings.group_id, "joining is retried");
                    self.member.forget_coordinator();
                    let wait = self.backoff.borrow_mut().next_wait();
                    let _ = self.unless_ordered(sleep(wait)).await;
                }
                Failure::Fatal(error) => {
                    let message = texts::fatal(&self.settings.group_id, &error);
                    tracing::error!(group = self.settings.group_id, "{message}");
                    let _ = self.tell(MemberEvent::Fatal { message }).await;
                    return;
                }
            }
        }
    }

    /// One generation: from before the join to the reason for the next one, which is returned.
    async fn round(&self, reason: &str) -> Result<String, Exit> {
        self.reach().await?;
        let config_offset = self.ask(|reply| MemberEvent::Prepare { reply }).await?;
        {
            let mut wanted = self.wanted();
            // Whoever asked meanwhile gets what was asked for.
            wanted.rejoin = None;
            if std::mem::take(&mut wanted.forget) {
                self.assignment.borrow_mut().take();
            }
        }
        self.rejoin_at.set(None);
        tracing::info!(group = self.settings.group_id, reason, "rebalance started");
        if self.protocol.get().is_eager() {
            self.revoke_all().await?;
        }
        let joined = self.join(config_offset, reason).await?;
        let protocol = ConnectProtocol::of_name(&joined.protocol).ok_or_else(|| {
            let why =
                format!("the group chose the protocol '{}', which is not ours", joined.protocol);
            Failure::Fatal(KafkaError::corrupt(why).with_api("JoinGroup"))
        })?;
        let assignments = self.lead(&joined, protocol).await?;
        let bytes = self.unless_ordered(self.member.sync(&joined.protocol, assignments)).await??;
        let assigned = self.take(&bytes, &joined, protocol).await?;
        self.backoff.borrow_mut().reset();
        let (failed, revoked) = (assigned.assignment.failed(), &assigned.assignment.revoked);
        let again = if failed {
            Some("the assignment failed")
        } else {
            (!revoked.is_empty()).then_some("connectors and tasks were revoked")
        };
        self.tell(MemberEvent::Assigned(assigned)).await?;
        match again {
            Some(why) => {
                if failed {
                    // The herder reads on meanwhile; a leader that stays behind must not spin.
                    let wait = self.backoff.borrow_mut().next_wait();
                    self.unless_ordered(sleep(wait)).await?;
                }
                Ok(why.to_owned())
            }
            None => self.stay().await,
        }
    }

    async fn join(&self, config_offset: i64, reason: &str) -> Result<Joined, Exit> {
        let state = WorkerState {
            url: self.settings.url.clone(),
            config_offset,
            assignment: self.assignment.borrow().clone(),
        };
        let offers = || {
            let offered = self.settings.protocol.offered().iter();
            offered.map(|protocol| (protocol.name(), state.encode(*protocol))).collect::<Vec<_>>()
        };
        match self.unless_ordered(self.member.join(offers(), reason)).await? {
            // The coordinator has given us an id, to join with.
            Err(Failure::Rejoin) => {
                let again = self.member.join(offers(), "need to re-join with the given member-id");
                Ok(self.unless_ordered(again).await??)
            }
            other => Ok(other?),
        }
    }

    /// Has the herder assign, if this member leads.
    async fn lead(
        &self,
        joined: &Joined,
        protocol: ConnectProtocol,
    ) -> Result<Vec<(String, Vec<u8>)>, Exit> {
        let Some(listed) = &joined.members else { return Ok(Vec::new()) };
        let mut members = BTreeMap::new();
        for (id, bytes) in listed {
            match WorkerState::decode(bytes) {
                Ok(state) => drop(members.insert(id.clone(), state)),
                Err(error) => tracing::error!(group = self.settings.group_id, member = id, %error,
                    "this member gets no work: it is no Connect worker that can be understood"),
            }
        }
        let round = Round {
            protocol,
            generation: joined.generation,
            last_completed_generation: self.last_completed_generation.get(),
            leader: joined.leader.clone(),
            members,
        };
        let given = self.ask(|reply| MemberEvent::Assign { round, reply }).await?;
        if self.member.generation() != joined.generation {
            return Err(Exit::Failed(Failure::Rejoin));
        }
        Ok(given.into_iter().map(|(id, one)| (id, one.encode(protocol))).collect())
    }

    /// Takes the assignment: first what goes, then what is new.
    async fn take(
        &self,
        bytes: &[u8],
        joined: &Joined,
        protocol: ConnectProtocol,
    ) -> Result<Assigned, Exit> {
        let mut assignment = Assignment::decode(bytes)?;
        self.protocol.set(protocol);
        let mut added = assignment.work.clone();
        let mut revoked = assignment.revoked.clone();
        if protocol.is_eager() {
            // Held only by one that joined with another protocol, and so stopped nothing.
            let held = self.assignment.borrow().as_ref().map(|held| held.work.clone());
            let held = held.unwrap_or_default();
            revoked = held.without(&assignment.work);
            added = added.without(&held);
        }
        if !revoked.is_empty() {
            let work = revoked.clone();
            self.ask(|reply| MemberEvent::Revoked { work, reply }).await?;
        }
        let held = self.assignment.borrow_mut().take();
        let kept = held.map(|held| held.work.without(&revoked)).unwrap_or_default();
        if self.member.generation() != joined.generation {
            // It took so long that the group went on without us: what is left is offered anew.
            *self.assignment.borrow_mut() = Some(Assignment { work: kept, ..assignment });
            return Err(Exit::Failed(Failure::Rejoin));
        }
        assignment.work = added.with(&kept);
        let mut kept = assignment.clone();
        // Done with; the next join does not repeat it, and neither does it the delay.
        kept.revoked = ConnectorsAndTasks::default();
        *self.assignment.borrow_mut() = Some(kept);
        self.last_completed_generation.set(joined.generation);
        let delay = u64::try_from(assignment.delay_ms).ok().filter(|delay| *delay > 0);
        self.rejoin_at.set(delay.map(|delay| Instant::now() + Duration::from_millis(delay)));
        tracing::info!(group = self.settings.group_id, member = joined.member_id,
            leader = assignment.leader, generation = joined.generation,
            protocol = protocol.version(), delay_ms = assignment.delay_ms,
            offset = assignment.config_offset, failed = assignment.failed(),
            added = %added, revoked = %assignment.revoked, work = %assignment.work,
            "joined the group and got an assignment");
        let member_id = joined.member_id.clone();
        Ok(Assigned { protocol, generation: joined.generation, member_id, assignment, added })
    }

    /// An eager member stops all its work before it joins.
    async fn revoke_all(&self) -> Result<(), Exit> {
        let work = self.assignment.borrow().as_ref().map(|held| held.work.clone());
        let Some(work) = work.filter(|work| !work.is_empty()) else { return Ok(()) };
        self.ask(|reply| MemberEvent::Revoked { work, reply }).await?;
        self.assignment.borrow_mut().take();
        Ok(())
    }

    /// Heartbeats until a reason to join again, which is returned.
    async fn stay(&self) -> Result<String, Exit> {
        let mut due = Instant::now() + self.settings.heartbeat_interval;
        loop {
            if let Some(reason) = self.wanted().rejoin.take() {
                return Ok(reason);
            }
            self.check_orders()?;
            let next = self.rejoin_at.get().map_or(due, |at| at.min(due));
            let rest = next.saturating_duration_since(Instant::now());
            if timeout(rest, self.woken.recv_async()).await.is_ok() {
                continue;
            }
            let now = Instant::now();
            if self.rejoin_at.get().is_some_and(|at| now >= at) {
                self.rejoin_at.set(None);
                return Ok("the scheduled rebalance delay is over".to_owned());
            }
            if now < due {
                continue;
            }
            due = now + self.settings.heartbeat_interval;
            match self.unless_ordered(self.member.heartbeat()).await? {
                Ok(()) => self.backoff.borrow_mut().reset(),
                Err(Failure::Rejoin) => return Ok("the group is rebalancing".to_owned()),
                Err(Failure::Coordinator(error) | Failure::Retry(error)) => {
                    tracing::debug!(%error, group = self.settings.group_id, "a heartbeat failed");
                    self.member.forget_coordinator();
                    self.reach().await?;
                    if self.assignment.borrow().is_none() {
                        return Ok("the work was stopped while the coordinator was away".to_owned());
                    }
                    // It may know us still: ask at once, but not in a loop without a pause.
                    due = now + self.backoff.borrow_mut().next_wait();
                }
                Err(failure) => return Err(failure.into()),
            }
        }
    }

    /// Finds the coordinator, however long that takes. After `heartbeat.interval.ms` in vain the
    /// work is lost: others may get it without our hearing of it.
    async fn reach(&self) -> Result<(), Exit> {
        let start = Instant::now();
        loop {
            let rest = self.settings.heartbeat_interval.saturating_sub(start.elapsed());
            let limit = if rest.is_zero() { self.settings.heartbeat_interval } else { rest };
            let found = self.unless_ordered(timeout(limit, self.member.look_up())).await?;
            let why = match found {
                Ok(Ok(())) => {
                    if self.told_unreachable.take() {
                        tracing::info!(
                            group = self.settings.group_id,
                            "found the coordinator again"
                        );
                    }
                    return Ok(());
                }
                Ok(Err(error)) if !error.is_retriable() => {
                    return Err(Exit::Failed(Failure::Fatal(error)));
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {} ms", limit.as_millis()),
            };
            if !self.told_unreachable.replace(true) {
                tracing::warn!(group = self.settings.group_id, why, "cannot find the coordinator");
                self.tell(MemberEvent::Unreachable { why: why.clone() }).await?;
            }
            if start.elapsed() >= self.settings.heartbeat_interval {
                self.lose(why).await?;
            }
            let wait = self.backoff.borrow_mut().next_wait();
            self.unless_ordered(sleep(wait)).await?;
        }
    }

    async fn lose(&self, why: String) -> Result<(), Exit> {
        let Some(lost) = self.assignment.borrow_mut().take() else { return Ok(()) };
        tracing::warn!(group = self.settings.group_id, work = %lost.work,
            "the coordinator was unreachable for {} ms; stopping all work, as another worker may \
             be given it", self.settings.heartbeat_interval.as_millis());
        self.tell(MemberEvent::Lost { why }).await
    }

    /// Tells the herder and waits for its answer, with heartbeats. An answer that takes longer than
    /// `rebalance.timeout.ms` is waited for outside of the group.
    async fn ask<T>(&self, event: impl FnOnce(MemberReply<T>) -> MemberEvent) -> Result<T, Exit> {
        let (reply, answer) = MemberReply::new();
        let deadline = Instant::now() + self.settings.rebalance_timeout;
        self.tell(event(reply)).await?;
        loop {
            let waited = timeout(self.settings.heartbeat_interval, answer.recv_async());
            match self.unless_ordered(waited).await? {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(_)) => return Err(self.abandoned()),
                Err(_) => {}
            }
            if self.member.id().is_empty() {
                continue;
            }
            if Instant::now() >= deadline {
                tracing::warn!(
                    group = self.settings.group_id,
                    "the herder did not answer within \
                    rebalance.timeout.ms ({} ms): leaving the group until it does; if this happens \
                    often, add workers or raise rebalance.timeout.ms",
                    self.settings.rebalance_timeout.as_millis()
                );
                self.member.leave("worker poll timeout has expired.").await;
                continue;
            }
            if self.member.generation() < 0 {
                continue;
            }
            match self.unless_ordered(self.member.heartbeat()).await? {
                // The rebalance that this is about.
                Ok(()) | Err(Failure::Rejoin) => {}
                Err(Failure::Lost) => self.member.lose_generation(),
                Err(Failure::Coordinator(_) | Failure::Retry(_)) => {
                    self.member.forget_coordinator()
                }
                Err(failure @ Failure::Fatal(_)) => return Err(failure.into()),
            }
        }
    }

    async fn tell(&self, event: MemberEvent) -> Result<(), Exit> {
        self.unless_ordered(self.events.send_async(event)).await?.map_err(|_| self.abandoned())
    }

    /// Leaves the group, for good (`None`) or until the herder wants to join again and says why.
    async fn leave(&self) -> Option<String> {
        let reason = match &*self.wanted() {
            Wanted { stop: true, .. } => "the worker shuts down".to_owned(),
            Wanted { leave: Some(reason), .. } => reason.clone(),
            // It has changed its mind already.
            wanted => return Some(wanted.rejoin.clone().unwrap_or_default()),
        };
        if !self.member.id().is_empty() {
            tracing::info!(
                group = self.settings.group_id,
                member = self.member.id(),
                reason,
                "leaving the group"
            );
            self.member.leave(&reason).await;
        }
        self.rejoin_at.set(None);
        loop {
            {
                let wanted = self.wanted();
                if wanted.stop {
                    return None;
                }
                if wanted.leave.is_none() {
                    return Some(wanted.rejoin.clone().unwrap_or_default());
                }
            }
            if self.woken.recv_async().await.is_err() {
                return None;
            }
        }
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.orders.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_orders(&self) -> Result<(), Exit> {
        let wanted = self.wanted();
        if wanted.stop || wanted.leave.is_some() { Err(Exit::Ordered) } else { Ok(()) }
    }

    /// The herder is gone without a word.
    fn abandoned(&self) -> Exit {
        self.wanted().stop = true;
        Exit::Ordered
    }

    /// `future`, unless the herder wants us to leave before it ends.
    async fn unless_ordered<T>(&self, future: impl Future<Output = T>) -> Result<T, Exit> {
        let ordered = async {
            loop {
                self.check_orders()?;
                if self.woken.recv_async().await.is_err() {
                    return Err(self.abandoned());
                }
            }
        };
        or(ordered, async { Ok(future.await) }).await
    }
}
