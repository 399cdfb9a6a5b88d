//! The leader's duties beside sharing out: the key that requests between workers are signed with,
//! and, with exactly-once support, the right to write to the config topic.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::DistributedHerder;
use crate::internal_requests::SessionKey;
use crate::stores::{config_records, leader_writes};

/// Between attempts to write a key.
const REST: Duration = Duration::from_secs(10);
/// Between attempts to claim the right to write.
const CLAIM: Duration = Duration::from_millis(250);

impl DistributedHerder {
    /// Hands out a new key when there is none, or it is old, or not of the kind that is configured.
    pub(super) fn lead(&mut self, now: Instant) {
        if !self.resolved || !self.is_leader() || !self.is_sessioned() {
            return;
        }
        if self.next_key_attempt.is_some_and(|at| now < at) {
            return;
        }
        let Some(key) = self.due_key() else { return };
        tracing::info!(algorithm = key.algorithm, "handing out a new session key");
        let record = config_records::session_key(&key);
        let written = self.write_as_leader(vec![record], "Error writing session key to Kafka");
        self.next_key_attempt = written.is_err().then_some(now + REST);
        // Known to this worker when it is read back; until then it is not due again.
        self.refresh();
    }

    /// Another round has told who leads.
    pub(super) fn claim_or_relinquish(&mut self) {
        self.claim_at = None;
        let Some(leader) = &self.stores.leader else { return };
        match self.is_leader() {
            true => self.claim(Instant::now()),
            false => leader.relinquish(),
        }
    }

    pub(super) fn claim_if_due(&mut self, now: Instant) {
        if self.claim_at.is_none_or(|at| now < at) {
            return;
        }
        match self.is_leader() {
            true => self.claim(now),
            // Whoever leads now was right to fence this one.
            false => self.claim_at = None,
        }
    }

    fn claim(&mut self, now: Instant) {
        let Some(leader) = &self.stores.leader else { return };
        self.context.stage.begin("claiming write privileges for the config topic");
        let (done, claimed) = flume::bounded(1);
        leader.claim(Box::new(move |outcome| {
            let _ = done.try_send(outcome);
        }));
        let outcome = claimed.recv_timeout(leader_writes::LIMIT);
        let outcome = outcome.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        self.claim_at = outcome.is_err().then_some(now + CLAIM);
        self.context.stage.end();
        if let Err(why) = outcome {
            tracing::warn!(
                "Unable to claim write privileges for config topic. Will backoff and possibly retry \
                 if still the leader: {why}"
            );
        }
    }

    fn due_key(&self) -> Option<SessionKey> {
        let parsed = self.context.config.parsed();
        let algorithm = parsed.string("inter.worker.key.generation.algorithm");
        let size = parsed.get("inter.worker.key.size").and_then(|size| size.parse().ok());
        let ttl = parsed.long("inter.worker.key.ttl.ms");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        if let Some(known) = &self.log.config().session_key {
            let age = now.saturating_sub(known.created);
            let length = SessionKey::generate(algorithm, size, now).map(|key| key.bytes.len());
            let of_kind = known.algorithm == algorithm && Some(known.bytes.len()) == length;
            if of_kind && (ttl == 0 || age < ttl) {
                return None;
            }
        }
        SessionKey::generate(algorithm, size, now)
    }
}
