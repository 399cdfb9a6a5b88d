//! The task that keeps a member in its group.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use millrace_net::rt::{sleep, timeout};

use super::classic::Failure;
use super::member::JOIN_GRACE;
use super::{GroupEvent, Inner};
use crate::backoff::spread;
use crate::cluster::Purpose;
use crate::partitions::TopicPartition;

/// How soon a topic that is not there yet is looked for again: a source may be making it just now.
const MISSING: Duration = Duration::from_millis(500);

/// Joins and stays, round after round; ends with a fatal error only.
pub(super) async fn drive(inner: Rc<Inner>) {
    let mut backoff = inner.cluster.backoff();
    loop {
        match inner.round().await {
            Ok(()) | Err(Failure::Rejoin) => {
                backoff.reset();
                inner.set_trouble(None);
            }
            Err(Failure::Lost) => {
                let lost = inner.membership.borrow_mut().lose();
                inner.lost(lost);
            }
            Err(Failure::Coordinator(error) | Failure::Retry(error)) => {
                tracing::debug!(%error, group = inner.config.group_id, "joining is retried");
                inner.coordinator.forget();
                inner.set_trouble(Some(error));
                sleep(backoff.next_wait()).await;
            }
            Err(Failure::Fatal(error)) => {
                *inner.fatal.borrow_mut() = Some(error);
                inner.doorbell.ring();
                return;
            }
        }
    }
}

impl Inner {
    /// One generation: from before the join to the heartbeat that ends it.
    async fn round(&self) -> Result<(), Failure> {
        let topics = self.topics().await?;
        self.offer().await?;
        let before = self.membership.borrow().before_join(&topics);
        self.revoke(before).await?;
        let request = self.membership.borrow().join_request(&topics).map_err(Failure::Fatal)?;
        let limit = self.config.max_poll_interval.saturating_add(JOIN_GRACE);
        let joined = self.coordinator.call(Purpose::Coordinator, &request, limit).await;
        let joined = joined.map_err(Failure::of_call)?;
        let members = self.membership.borrow().members(&joined)?;
        let counts = match &members {
            Some(members) => {
                let wanted = members.iter().flat_map(|member| &member.metadata.topics);
                self.counts(wanted.cloned().collect()).await?
            }
            None => BTreeMap::new(),
        };
        let request = self.membership.borrow_mut().on_join(&joined, members, &counts)?;
        let synced = self.coordinator.call(Purpose::Coordinator, &request, limit).await;
        let synced = synced.map_err(Failure::of_call)?;
        let change = self.membership.borrow_mut().on_sync(&synced)?;
        self.set_trouble(None);
        tracing::debug!(group = self.config.group_id, added = ?change.added,
            revoked = ?change.revoked, "assigned");
        self.offered.set(false);
        if !self.membership.borrow().is_cooperative() {
            if !change.revoked.is_empty() {
                self.tell(GroupEvent::Lost(change.revoked));
            }
            self.tell(GroupEvent::Assigned(change.added));
            return self.stay(&topics).await;
        }
        let again = !change.revoked.is_empty();
        self.revoke(change.revoked).await?;
        self.tell(GroupEvent::Assigned(change.added));
        if again { Ok(()) } else { self.stay(&topics).await }
    }

    /// The topics subscribed to, with metadata that know them if they exist.
    async fn topics(&self) -> Result<Vec<Rc<str>>, Failure> {
        let unknown = match &self.subscription {
            super::Subscription::Topics(_) => self.misses_topics(),
            super::Subscription::Pattern(_) => {
                self.cluster.follow_all(true);
                self.cluster.is_stale()
            }
        };
        if unknown {
            self.cluster.refresh().await.map_err(Failure::of_call)?;
        }
        Ok(self.subscription.resolve(&self.cluster.metadata()))
    }

    /// How many partitions the topics have; those that don't exist are left out.
    async fn counts(&self, wanted: Vec<Rc<str>>) -> Result<BTreeMap<Rc<str>, usize>, Failure> {
        if self.cluster.follow(wanted.iter().map(|topic| &**topic)) {
            self.cluster.refresh().await.map_err(Failure::of_call)?;
        }
        Ok(self.known_counts(wanted.iter()))
    }

    fn known_counts<'a>(
        &self,
        topics: impl Iterator<Item = &'a Rc<str>>,
    ) -> BTreeMap<Rc<str>, usize> {
        let metadata = self.cluster.metadata();
        let known =
            topics.filter_map(|topic| Some((topic.clone(), metadata.partition_count(topic)?)));
        known.collect()
    }

    /// Before an eager member joins it works on nothing that it holds. Offered once an assignment:
    /// joining may take more than one attempt.
    async fn offer(&self) -> Result<(), Failure> {
        let names = {
            let membership = self.membership.borrow();
            if membership.is_cooperative() || membership.owned.is_empty() || self.offered.get() {
                return Ok(());
            }
            membership.owned.clone()
        };
        self.ask(GroupEvent::Rebalancing(names)).await?;
        self.offered.set(true);
        Ok(())
    }

    /// Has the consumer give partitions up.
    async fn revoke(&self, names: Vec<TopicPartition>) -> Result<(), Failure> {
        if !names.is_empty() {
            self.ask(GroupEvent::Revoking(names.clone())).await?;
            self.membership.borrow_mut().give_up(&names);
        }
        Ok(())
    }

    /// Tells the consumer and waits until it has dealt with it, with heartbeats.
    async fn ask(&self, event: GroupEvent) -> Result<(), Failure> {
        self.asking.set(true);
        self.tell(event);
        while self.asking.get() {
            let _ = timeout(self.config.heartbeat_interval, self.bell.listen()).await;
            if !self.asking.get() {
                break;
            }
            match self.heartbeat().await {
                // The rebalance that this is about.
                Ok(()) | Err(Failure::Rejoin) => {}
                Err(Failure::Coordinator(error) | Failure::Retry(error)) => {
                    self.coordinator.forget();
                    self.set_trouble(Some(error));
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    /// What was held is another's. A revocation that was not told yet is void by this.
    fn lost(&self, names: Vec<TopicPartition>) {
        self.asking.set(false);
        self.offered.set(false);
        self.events.borrow_mut().clear();
        if !names.is_empty() {
            tracing::warn!(group = self.config.group_id, ?names, "partitions were lost");
            self.tell(GroupEvent::Lost(names));
        }
    }

    async fn heartbeat(&self) -> Result<(), Failure> {
        let request = self.membership.borrow().member.heartbeat_request();
        if request.generation_id < 0 {
            return Ok(());
        }
        let limit = self.config.client.request_timeout.min(self.config.session_timeout);
        let answer = self.coordinator.call(Purpose::Coordinator, &request, limit).await;
        let answer = answer.map_err(Failure::of_call)?;
        self.membership.borrow_mut().member.check(answer.error_code, "Heartbeat")
    }

    /// Heartbeats until a reason to join again. A coordinator that can't be reached is none: it may
    /// still know us when it is back.
    async fn stay(&self, topics: &[Rc<str>]) -> Result<(), Failure> {
        let mut backoff = self.cluster.backoff();
        let mut wait = spread(&self.membership.borrow().member.id, self.pace());
        let mut due = Instant::now() + wait;
        loop {
            sleep(due.saturating_duration_since(Instant::now())).await;
            if self.last_poll.get().elapsed() > self.config.max_poll_interval {
                return self.retire().await;
            }
            match self.heartbeat().await {
                Ok(()) => {
                    backoff.reset();
                    self.set_trouble(None);
                    wait = self.pace();
                }
                Err(Failure::Coordinator(error) | Failure::Retry(error)) => {
                    self.coordinator.forget();
                    self.set_trouble(Some(error));
                    wait = backoff.next_wait();
                }
                Err(failure) => return Err(failure),
            }
            due = Instant::now() + wait;
            if self.cluster.is_stale() || self.misses_topics() {
                // Its failure shows elsewhere; the heartbeat must not suffer from it.
                let _ = timeout(wait, self.cluster.refresh()).await;
            }
            if self.outdated(topics) {
                return Ok(());
            }
        }
    }

    /// Time to the next heartbeat, and to the next look at the metadata.
    fn pace(&self) -> Duration {
        let usual = self.config.heartbeat_interval;
        if self.misses_topics() { usual.min(MISSING) } else { usual }
    }

    /// A topic that was subscribed to by name is not there, or not ready.
    fn misses_topics(&self) -> bool {
        match &self.subscription {
            super::Subscription::Topics(topics) => {
                self.cluster.follow(topics.iter().map(|topic| &**topic))
            }
            super::Subscription::Pattern(_) => false,
        }
    }

    /// The metadata call for another assignment: topics came or went, or partitions did.
    fn outdated(&self, topics: &[Rc<str>]) -> bool {
        if self.subscription.resolve(&self.cluster.metadata()) != topics {
            return true;
        }
        let membership = self.membership.borrow();
        membership.led().is_some_and(|led| {
            let known = self.known_counts(led.keys());
            // Topics of which nothing is known for a moment are no reason.
            known.iter().any(|(topic, count)| led.get(topic) != Some(count))
                || self.known_counts(topics.iter()).keys().any(|topic| !led.contains_key(topic))
        })
    }

    /// The consumer does not poll: leaves, so that others take its partitions, until it does.
    async fn retire(&self) -> Result<(), Failure> {
        tracing::warn!(
            group = self.config.group_id,
            "no poll within max.poll.interval.ms: leaving the group; raise it, or make the sink \
             handle less at a time"
        );
        self.leave().await;
        let lost = self.membership.borrow_mut().lose();
        self.lost(lost);
        while self.last_poll.get().elapsed() > self.config.max_poll_interval {
            let _ = timeout(self.config.max_poll_interval, self.bell.listen()).await;
        }
        Err(Failure::Rejoin)
    }
}
