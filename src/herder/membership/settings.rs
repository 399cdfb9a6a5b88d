//! The worker's properties that its membership reads.

use std::time::Duration;

use millrace_api::Config;
use millrace_kafka::config::{ClientConfig, ConfigProblem, ConfigReader};
use millrace_net::rt::RuntimeChoice;

use crate::connect_protocol::ConnectProtocol;

/// What a member of a Connect group is started with.
#[derive(Clone, Debug)]
pub struct MembershipSettings {
    /// The worker's own client settings: servers, `security.protocol`, `ssl.*`, `sasl.*`.
    pub client: ClientConfig,
    pub group_id: String,
    pub protocol: ConnectProtocol,
    /// Of the worker's REST API, as the others reach it, with the slash at its end.
    pub url: String,
    pub session_timeout: Duration,
    pub heartbeat_interval: Duration,
    /// How long the others wait for this member, and this member for its herder.
    pub rebalance_timeout: Duration,
    /// The engine of the membership's thread; `None` leaves it to what the machine allows.
    pub runtime: Option<RuntimeChoice>,
}

impl MembershipSettings {
    /// Of a distributed worker's properties, config providers resolved. `worker_id` is
    /// `host:port`, which names the client where `client.id` does not.
    ///
    /// # Errors
    /// Every setting that is wrong.
    pub fn of(worker: &Config, url: &str, worker_id: &str) -> Result<Self, Vec<ConfigProblem>> {
        let mut map = worker.clone();
        map.entry("request.timeout.ms".to_owned()).or_insert_with(|| "40000".to_owned());
        if map.get("client.id").is_none_or(|id| id.trim().is_empty()) {
            map.insert("client.id".to_owned(), format!("connect-{worker_id}"));
        }
        let mut reader = ConfigReader::new(&map);
        let choices = [
            ("eager", ConnectProtocol::Eager),
            ("compatible", ConnectProtocol::Compatible),
            ("sessioned", ConnectProtocol::Sessioned),
        ];
        let group_id = reader.text("group.id").unwrap_or_default().to_owned();
        if group_id.is_empty() {
            reader.problem("group.id", "", "a name for the group of workers is needed");
        }
        let settings = Self {
            client: ClientConfig::read(&mut reader),
            group_id,
            protocol: reader.choice("connect.protocol", ConnectProtocol::Sessioned, &choices),
            url: url.to_owned(),
            session_timeout: reader.millis("session.timeout.ms", 10_000, 1),
            heartbeat_interval: reader.millis("heartbeat.interval.ms", 3_000, 1),
            rebalance_timeout: reader.millis("rebalance.timeout.ms", 60_000, 1),
            runtime: None,
        };
        // The worker has many more keys than the ones that are read here.
        reader.finish().map(|_| settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(pairs: &[(&str, &str)]) -> Config {
        let basic = [("bootstrap.servers", "localhost:9092"), ("group.id", "g")];
        let all = basic.iter().chain(pairs);
        all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn defaults_are_the_distributed_workers() {
        let settings = MembershipSettings::of(&worker(&[]), "http://h:1/", "h:1").unwrap();
        assert_eq!(settings.protocol, ConnectProtocol::Sessioned);
        assert_eq!(settings.client.client_id, "connect-h:1");
        assert_eq!(settings.client.request_timeout, Duration::from_secs(40));
        assert_eq!(settings.session_timeout, Duration::from_secs(10));
        assert_eq!(settings.heartbeat_interval, Duration::from_secs(3));
        assert_eq!(settings.rebalance_timeout, Duration::from_secs(60));
        let own = worker(&[("client.id", "me"), ("connect.protocol", "Eager"), ("x", "y")]);
        let settings = MembershipSettings::of(&own, "http://h:1/", "h:1").unwrap();
        assert_eq!(
            (settings.protocol, &*settings.client.client_id),
            (ConnectProtocol::Eager, "me")
        );
    }

    #[test]
    fn all_mistakes_are_told() {
        let wrong = worker(&[
            ("connect.protocol", "quick"),
            ("session.timeout.ms", "long"),
            ("group.id", ""),
            ("heartbeat.interval.ms", "0"),
        ]);
        let problems = MembershipSettings::of(&wrong, "http://h:1/", "h:1").unwrap_err();
        let mut keys: Vec<_> = problems.iter().map(|problem| &*problem.key).collect();
        keys.sort_unstable();
        let expected =
            ["connect.protocol", "group.id", "heartbeat.interval.ms", "session.timeout.ms"];
        assert_eq!(keys, expected);
    }
}
