//! Idle connections, kept for the next request to the same server.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::url::Scheme;

/// Servers close idle connections, often without a word to those behind a firewall; older ones are
/// not worth a try.
const MAX_IDLE: Duration = Duration::from_secs(60);
/// Idle connections to all servers together.
const MAX_CONNECTIONS: usize = 256;

/// Which connections serve a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub scheme: Scheme,
    pub host: String,
    pub port: u16,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

#[derive(Default)]
pub(super) struct Pool {
    idle: HashMap<Key, Vec<Idle>>,
}

impl Pool {
    /// The connection used last, if its server has not closed it.
    pub fn take(&mut self, key: &Key, now: Instant) -> Option<Connection> {
        let idle = self.idle.get_mut(key)?;
        let mut taken = None;
        while let Some(candidate) = idle.pop() {
            let fresh = now.saturating_duration_since(candidate.since) < MAX_IDLE;
            if fresh && candidate.connection.is_quiet() {
                taken = Some(candidate.connection);
                break;
            }
        }
        if idle.is_empty() {
            self.idle.remove(key);
        }
        taken
    }

    pub fn put(&mut self, key: Key, connection: Connection, per_host: usize, now: Instant) {
        self.idle.retain(|_, idle| {
            idle.retain(|one| now.saturating_duration_since(one.since) < MAX_IDLE);
            !idle.is_empty()
        });
        if self.idle.values().map(Vec::len).sum::<usize>() >= MAX_CONNECTIONS {
            return;
        }
        let idle = self.idle.entry(key).or_default();
        if idle.len() < per_host {
            idle.push(Idle { connection, since: now });
        }
    }

    /// One of its connections was found closed: the others are no better.
    pub fn clear(&mut self, key: &Key) {
        self.idle.remove(key);
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.idle.values().map(Vec::len).sum()
    }
}
