//! A connector's planned tasks on their way into the config topic: written by the leader, sent to it
//! by others, tried again until it is done or the plan is no longer of use.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use millrace_api::Config;
use millrace_api::connector::ConnectorPlugin;

use super::{Ack, DistributedHerder};
use crate::config_providers::has_placeholder;
use crate::internal_requests::InternalRequest;
use crate::validation;

/// First and longest wait between attempts.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(60));
/// A forbidden request this soon after the first attempt is one of a key that just changed.
const ROTATION: Duration = Duration::from_secs(60);

/// Why the leader did not take the tasks.
pub(super) struct Refused {
    pub forbidden: bool,
    pub why: String,
}

struct Plan {
    tasks: Vec<Config>,
    /// Told apart from earlier plans of the connector.
    number: u64,
    attempts: u32,
    first: Instant,
    /// `None` while a request is under way.
    due: Option<Instant>,
}

/// Plans by connector.
#[derive(Default)]
pub(super) struct Publishing(BTreeMap<Arc<str>, Plan>);

impl Publishing {
    /// The leader's answer.
    pub fn answered(
        &mut self,
        name: &Arc<str>,
        number: u64,
        outcome: Result<(), Refused>,
        now: Instant,
    ) {
        let Some(plan) = self.0.get_mut(name).filter(|plan| plan.number == number) else { return };
        match outcome {
            Ok(()) => drop(self.0.remove(name)),
            Err(Refused { forbidden, why }) => {
                if !forbidden || now.duration_since(plan.first) > ROTATION {
                    tracing::error!(connector = %name, "the leader did not take the tasks: {why}");
                }
                plan.retry(now);
            }
        }
    }
}

impl Plan {
    fn retry(&mut self, now: Instant) {
        let (first, most) = BACKOFF;
        let wait = first.saturating_mul(1 << self.attempts.min(16)).min(most);
        self.attempts += 1;
        self.due = Some(now + wait);
    }
}

impl DistributedHerder {
    /// The plug-in of a connector of the cluster, if it is built in here.
    pub(super) fn plugin_of(&self, name: &str) -> Option<&ConnectorPlugin> {
        self.plugin_by(self.log.config().config(name)?)
    }

    /// The plug-in of a configuration.
    pub(super) fn plugin_by(&self, config: &Config) -> Option<&ConnectorPlugin> {
        let class = self.some_resolved(config, &["connector.class"]);
        self.context.plugins.connector(class.get("connector.class")?.trim())
    }

    /// These keys alone, placeholders resolved: the herder waits for no provider that it need not
    /// ask.
    pub(super) fn some_resolved(&self, config: &Config, keys: &[&str]) -> Config {
        let given = keys.iter().filter_map(|key| config.get_key_value(*key));
        let given: Config = given.map(|(key, value)| (key.clone(), value.clone())).collect();
        match given.values().any(|value| has_placeholder(value)) {
            true => self.context.config.providers.resolve(&given),
            false => given,
        }
    }

    /// Refuses more tasks than `tasks.max`, unless the connector may.
    pub(super) fn within_limit(
        &self,
        name: &str,
        tasks: Vec<Config>,
    ) -> Result<Vec<Config>, String> {
        let Some(config) = self.config.config(name) else { return Ok(tasks) };
        let resolved = self.some_resolved(config, &["tasks.max", "tasks.max.enforce"]);
        let enforced = resolved.get("tasks.max.enforce");
        let enforced = enforced.is_none_or(|text| text.trim().eq_ignore_ascii_case("true"));
        let most = validation::tasks_max(&resolved);
        if tasks.len() <= most || !enforced {
            return Ok(tasks);
        }
        Err(crate::state::too_many_tasks(name, tasks.len(), most))
    }

    /// A connector instance has planned: what is new is to be published.
    pub(super) fn plan_publication(&mut self, name: Arc<str>, tasks: Vec<Config>) {
        if !self.log.config().is_news(&name, &tasks) {
            self.publishing.0.remove(&name);
            return;
        }
        let (number, now) = (self.number(), Instant::now());
        let plan = Plan { tasks, number, attempts: 0, first: now, due: Some(now) };
        self.publishing.0.insert(name, plan);
    }

    /// Makes the attempts that are due.
    pub(super) fn publish(&mut self, now: Instant) {
        if !self.resolved {
            return;
        }
        let due = |plan: &Plan| plan.due.is_some_and(|at| at <= now);
        let names: Vec<_> = self
            .publishing
            .0
            .iter()
            .filter(|(_, plan)| due(plan))
            .map(|(n, _)| n.clone())
            .collect();
        for name in names {
            // A write may have begun a rebalance, after which another may lead.
            if !self.resolved || self.updates.rebalance {
                return;
            }
            self.publish_one(&name);
        }
    }

    fn publish_one(&mut self, name: &Arc<str>) {
        let Some(plan) = self.publishing.0.get_mut(name) else { return };
        let wanted =
            self.work.running_life(name).is_some() && self.log.config().is_news(name, &plan.tasks);
        if !wanted {
            self.publishing.0.remove(name);
            return;
        }
        let (tasks, number) = (plan.tasks.clone(), plan.number);
        plan.due = None;
        if self.is_leader() {
            let outcome = self.write_tasks(name, &tasks);
            let outcome = outcome.map_err(|error| Refused { forbidden: false, why: error.message });
            return self.publishing.answered(name, number, outcome, Instant::now());
        }
        self.send_to_leader(name, number, &tasks);
    }

    fn send_to_leader(&mut self, name: &Arc<str>, number: u64, tasks: &[Config]) {
        let body = serde_json::to_vec(tasks).unwrap_or_default();
        let ack = move |name, outcome| Ack::Published { name, number, outcome };
        self.ask_leader(name, "POST", "tasks", body, ack);
    }

    /// Sends the leader a signed request about a connector; `ack` makes the event of its answer.
    pub(super) fn ask_leader(
        &self,
        name: &Arc<str>,
        method: &'static str,
        what: &str,
        body: Vec<u8>,
        ack: impl FnOnce(Arc<str>, Result<(), Refused>) -> Ack + Send + 'static,
    ) {
        let (acks, name) = (self.acks.0.clone(), Arc::clone(name));
        let (Some(url), Some(client)) = (self.leader_url(), self.context.internal_client.get())
        else {
            let why = "no leader is known".to_owned();
            let _ = acks.try_send(ack(name, Err(Refused { forbidden: false, why })));
            return;
        };
        let request = InternalRequest {
            method,
            url: format!("{url}connectors/{}/{what}", encoded(&name)),
            signature: self.signature(&body),
            body,
        };
        client.send(
            request,
            Box::new(move |outcome| {
                let outcome = outcome.map_err(|failure| Refused {
                    forbidden: failure.status == Some(403),
                    why: failure.message,
                });
                let _ = acks.try_send(ack(name, outcome));
            }),
        );
    }

    fn signature(&self, body: &[u8]) -> Option<(String, String)> {
        let parsed = self.context.config.parsed();
        let algorithm = parsed.string("inter.worker.signature.algorithm");
        let key = self.log.config().session_key.as_ref().filter(|_| self.is_sessioned())?;
        Some((BASE64_STANDARD.encode(key.mac(algorithm, body)?), algorithm.to_owned()))
    }
}

/// A name as a segment of a path: everything but letters, digits and `-._~` encoded.
fn encoded(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_in_a_path() {
        assert_eq!(encoded("a-b.c_~1"), "a-b.c_~1");
        assert_eq!(encoded("a b/cé?"), "a%20b%2Fc%C3%A9%3F");
    }

    #[test]
    fn a_refused_signature_is_tried_again() {
        let (name, now) = (Arc::<str>::from("c"), Instant::now());
        let mut publishing = Publishing::default();
        let plan = Plan { tasks: Vec::new(), number: 7, attempts: 0, first: now, due: None };
        publishing.0.insert(Arc::clone(&name), plan);
        let refused = || Err(Refused { forbidden: true, why: "invalid signature".to_owned() });
        publishing.answered(&name, 6, refused(), now);
        assert_eq!(publishing.0[&name].due, None, "the word about an earlier plan");
        publishing.answered(&name, 7, refused(), now);
        assert_eq!(publishing.0[&name].due, Some(now + BACKOFF.0));
        publishing.answered(&name, 7, Ok(()), now);
        assert!(publishing.0.is_empty());
    }

    #[test]
    fn attempts_come_at_growing_intervals() {
        let now = Instant::now();
        let mut plan =
            Plan { tasks: Vec::new(), number: 1, attempts: 0, first: now, due: Some(now) };
        let waits: Vec<_> = (0..10)
            .map(|_| {
                plan.retry(now);
                plan.due.unwrap().duration_since(now).as_millis()
            })
            .collect();
        assert_eq!(waits[..3], [250, 500, 1000]);
        assert_eq!(waits[9], 60_000);
    }
}
