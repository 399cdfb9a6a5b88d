//! The leader's duty beside sharing out: the key that requests between workers are signed with.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::DistributedHerder;
use crate::internal_requests::SessionKey;
use crate::stores::config_records;

/// Between attempts to write a key.
const REST: Duration = Duration::from_secs(10);

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
        self.next_key_attempt = match self.write(vec![record], "Error writing session key to Kafka")
        {
            Ok(()) => None,
            Err(_) => Some(now + REST),
        };
        // Known to this worker when it is read back; until then it is not due again.
        self.refresh();
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
