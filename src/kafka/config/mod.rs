//! Settings of the clients, under the names and with the defaults of Java's.
//!
//! Parsing goes through all keys before it fails, so that every mistake is told at once; keys that
//! nobody asked for are told too, for the worker to name as ignored.

mod consumer;
mod reader;
mod security;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use consumer::{AssignmentStrategy, ConsumerConfig, IsolationLevel, OffsetReset};
pub use reader::{ConfigProblem, ConfigReader};
pub use security::{Security, Tls, tls_options};

pub use crate::sasl::Jaas;

/// Settings with the keys that no part of them knows.
#[derive(Clone, Debug)]
pub struct Parsed<T> {
    pub config: T,
    /// Sorted; to be named in the log as ignored.
    pub unknown: Vec<String>,
}

/// One of `bootstrap.servers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub host: String,
    pub port: u16,
}

/// Whom a client speaks to and as whom: the settings that say so, secrets among them. Clients for
/// which they are the same are told the same.
#[derive(Clone, PartialEq, Eq)]
pub struct Peer(Arc<[(String, String)]>);

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Peer")
    }
}

/// What every client needs, whichever its role.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    pub bootstrap_servers: Vec<Server>,
    pub peer: Peer,
    pub client_id: String,
    pub request_timeout: Duration,
    /// `default.api.timeout.ms`: limit of a whole operation with its retries.
    pub api_timeout: Duration,
    pub reconnect_backoff: Duration,
    pub reconnect_backoff_max: Duration,
    pub retry_backoff: Duration,
    pub retry_backoff_max: Duration,
    pub connection_setup_timeout: Duration,
    pub metadata_max_age: Duration,
    pub connections_max_idle: Duration,
    /// Whether asking for an unknown topic may make the broker create it.
    pub allow_auto_create_topics: bool,
    /// `security.protocol`, `ssl.*` and `sasl.*`.
    pub security: Security,
}

impl ClientConfig {
    /// Reads the settings that all clients share. Alone, for an admin client: everything else is
    /// unknown.
    pub fn parse(map: &BTreeMap<String, String>) -> Result<Parsed<Self>, Vec<ConfigProblem>> {
        let mut reader = ConfigReader::new(map);
        let config = Self::read(&mut reader);
        let unknown = reader.finish()?;
        Ok(Parsed { config, unknown })
    }

    /// Takes the shared keys from `reader`; for the parsers of the roles.
    pub fn read(reader: &mut ConfigReader<'_>) -> Self {
        reader.ignore(&["client.dns.lookup", "metrics.num.samples", "metrics.sample.window.ms"]);
        reader.ignore(&["metrics.recording.level", "metric.reporters", "enable.metrics.push"]);
        reader.ignore(&["send.buffer.bytes", "receive.buffer.bytes", "security.providers"]);
        reader.ignore(&["auto.include.jmx.reporter", "socket.connection.setup.timeout.max.ms"]);
        reader.ignore(&["metadata.recovery.strategy", "metadata.recovery.rebootstrap.trigger.ms"]);
        Self {
            bootstrap_servers: read_servers(reader),
            peer: Peer(reader.all(&["bootstrap.servers", "security.", "ssl.", "sasl."])),
            client_id: reader.text("client.id").unwrap_or_default().to_owned(),
            request_timeout: reader.millis("request.timeout.ms", 30_000, 0),
            api_timeout: reader.millis("default.api.timeout.ms", 60_000, 0),
            reconnect_backoff: reader.millis("reconnect.backoff.ms", 50, 0),
            reconnect_backoff_max: reader.millis("reconnect.backoff.max.ms", 1_000, 0),
            retry_backoff: reader.millis("retry.backoff.ms", 100, 0),
            retry_backoff_max: reader.millis("retry.backoff.max.ms", 1_000, 0),
            connection_setup_timeout: reader.millis(
                "socket.connection.setup.timeout.ms",
                10_000,
                0,
            ),
            metadata_max_age: reader.millis("metadata.max.age.ms", 300_000, 0),
            connections_max_idle: reader.millis("connections.max.idle.ms", 540_000, -1),
            allow_auto_create_topics: reader.flag("allow.auto.create.topics", true),
            security: Security::read(reader),
        }
    }
}

/// `host:port` entries, separated by commas; IPv6 in brackets; a `PROTOCOL://` in front is dropped.
fn read_servers(reader: &mut ConfigReader<'_>) -> Vec<Server> {
    let key = "bootstrap.servers";
    let Some(list) = reader.text(key).map(str::to_owned) else {
        reader.problem(key, "", "a list of host:port is needed");
        return Vec::new();
    };
    let mut servers = Vec::new();
    for entry in list.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let address = entry.split_once("://").map_or(entry, |(_, address)| address);
        let parsed = address.rsplit_once(':').and_then(|(host, port)| {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            Some(Server { host: host.to_owned(), port: port.parse().ok()? })
                .filter(|server| !server.host.is_empty())
        });
        match parsed {
            Some(server) => servers.push(server),
            None => reader.problem(key, entry, "not of the form host:port"),
        }
    }
    if servers.is_empty() && !reader.has_problem(key) {
        reader.problem(key, &list, "no server is named");
    }
    servers
}
