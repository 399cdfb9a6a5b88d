//! What the internal topics bring, and writing to them: each write is waited for, and read back
//! before anything builds on it.

use std::time::{Duration, Instant};

use millrace_api::Config;
use millrace_worker::command::TargetState;

use super::rebalancing::SEEKING;
use super::{DistributedHerder, Phase};
use crate::membership::{MembershipHandle, MembershipSettings};
use crate::requests::{Answer, HerderError};
use crate::stores::config_log::ConfigEvent;
use crate::stores::config_records::{self, Produced};
use crate::stores::leader_writes;
use crate::stores::topic_log::{LogEvent, LogRecord};
use crate::stores::topics::Which;
use crate::stores::{StoreEvent, listed};

/// How long a write with what it waits for may take.
const LIMIT: Duration = Duration::from_secs(30);
/// What a write that took too long may take to be given up.
const LEEWAY: Duration = Duration::from_secs(3);
/// Events of the membership that wait for the herder.
const MEMBER_EVENTS: usize = 64;

impl DistributedHerder {
    pub(super) fn stored(&mut self, event: StoreEvent) {
        match event {
            StoreEvent::Failed(why) => self.failure = Some(why),
            StoreEvent::Ready => {
                self.context.stage.begin("reading to the end of the internal topics");
                // Exactly-once tasks read the offsets when their producers are theirs. Until then a
                // transaction of a worker that was killed could keep the topic's end out of sight.
                let later = self.exactly_once().is_enabled();
                let now = Which::ALL.into_iter().filter(|which| *which != Which::Offset || !later);
                now.for_each(|which| self.read_for_the_start(which));
            }
            StoreEvent::Log(Which::Config, LogEvent::Records(records)) => {
                self.config_records(records);
            }
            StoreEvent::Log(_, LogEvent::Records(records)) => {
                for LogRecord { partition, offset, key, value } in records {
                    if let Err(why) = self.statuses.apply(&key, value.as_deref()) {
                        tracing::error!(partition, offset, "status topic: {why}; passed over");
                    }
                }
            }
            StoreEvent::Log(which, LogEvent::AtEnd { token, outcome }) => {
                self.at_end(which, token, outcome);
            }
            StoreEvent::Log(which, LogEvent::Trouble(why)) => {
                tracing::error!("the {} can't be read: {why}", which.topic_key());
                if matches!(self.phase, Phase::Starting(_)) {
                    self.failure = Some(format!("Failed to read the {}: {why}", which.topic_key()));
                }
            }
        }
    }

    fn read_for_the_start(&mut self, which: Which) {
        let token = self.number();
        if let Phase::Starting(tokens) = &mut self.phase {
            tokens.push(token);
        }
        self.log_of(which).read_to_end(token);
    }

    fn log_of(&self, which: Which) -> &crate::stores::topic_log::LogHandle {
        match which {
            Which::Config => &self.stores.config,
            Which::Offset => &self.stores.offset,
            Which::Status => &self.stores.status,
        }
    }

    fn at_end(&mut self, which: Which, token: u64, outcome: Result<(), String>) {
        if let Some((_, arrived)) = self.awaited.as_mut().filter(|(waiting, _)| *waiting == token) {
            *arrived = Some(outcome.clone());
        }
        let of_start = match &mut self.phase {
            Phase::Starting(tokens) => {
                let before = tokens.len();
                tokens.retain(|known| *known != token);
                tokens.len() < before
            }
            _ => false,
        };
        if of_start {
            match outcome {
                Ok(()) if self.phase == Phase::Starting(Vec::new()) => self.started(),
                Ok(()) => {}
                Err(why) => {
                    tracing::warn!("the {} can't be read yet: {why}", which.topic_key());
                    self.read_for_the_start(which);
                }
            }
        } else {
            self.read_for_questions(which, token, &outcome);
            if which == Which::Offset {
                self.offsets_read(token, outcome);
            }
        }
    }

    fn started(&mut self) {
        self.log.start();
        self.config = self.log.config().clone();
        self.phase = Phase::Unnamed;
        let connectors = self.config.connectors().count();
        tracing::info!(offset = self.config.offset, connectors, "the internal topics are read");
    }

    /// Joins the group as soon as REST has said how others reach this worker.
    pub(super) fn join_group(&mut self) {
        let context = &self.context;
        let (Some(url), Some(id)) = (context.advertised_url.get(), context.worker_id.get()) else {
            return;
        };
        let started = MembershipSettings::of(&context.config.properties, url, id)
            .map_err(|problems| listed(&problems));
        let (events, member_events) = flume::bounded(MEMBER_EVENTS);
        let started = started.and_then(|mut settings| {
            // Cheap to park; nothing here is hot.
            settings.runtime = Some(millrace_net::rt::RuntimeChoice::Epoll);
            let started = MembershipHandle::start(settings, events);
            started.map_err(|error| format!("the group's thread can't start: {error}"))
        });
        match started {
            Err(why) => self.failure = Some(why),
            Ok(member) => {
                self.member = Some(member);
                self.member_events = member_events;
                self.phase = Phase::Running;
                context.stage.begin(SEEKING);
                context.stage.ready();
                tracing::info!(url = &**url, "Herder started");
            }
        }
    }

    fn config_records(&mut self, records: Vec<LogRecord>) {
        for LogRecord { offset, key, value, .. } in records {
            if let Err(why) = self.log.apply(offset, &key, value.as_deref()) {
                tracing::error!(offset, "config topic: {why}; passed over");
            }
        }
        for event in self.log.take_events() {
            match event {
                ConfigEvent::Removed(_) => self.updates.rebalance = true,
                ConfigEvent::Updated(name) if self.config.contains(&name) => {
                    self.updates.connectors.insert(name);
                }
                ConfigEvent::Updated(_) => self.updates.rebalance = true,
                ConfigEvent::TasksUpdated(tasks) => {
                    self.updates.rebalance = true;
                    self.updates.tasks.extend(tasks);
                }
                ConfigEvent::TargetState(name) => drop(self.updates.targets.insert(name)),
                ConfigEvent::Restart { name, scope } => self.updates.restarts.add(name, scope),
                ConfigEvent::Logger { namespace, level } => {
                    tracing::info!(namespace, level, "the cluster sets a logger's level");
                    self.context.set_logger_level(&namespace, &level);
                }
            }
        }
    }

    /// Reads on until the topic's end of now was handed over, for `limit` at most.
    pub(super) fn read_to_end(&mut self, which: Which, limit: Duration) -> Result<(), String> {
        let deadline = Instant::now() + limit;
        let token = self.number();
        self.awaited = Some((token, None));
        self.log_of(which).read_to_end(token);
        let outcome = loop {
            if let Some((_, Some(outcome))) = &self.awaited {
                break outcome.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.stores.events.recv_timeout(left) {
                Ok(event) => self.stored(event),
                Err(_) => break Err(format!("not read to its end in {limit:?}")),
            }
        };
        self.awaited = None;
        outcome
    }

    /// Writes and waits; what was wrong goes into the log, `what` to who asked.
    pub(super) fn write(&self, records: Vec<Produced>, what: &str) -> Answer<()> {
        let (done, written) = flume::bounded(1);
        self.stores.config.write(
            records,
            Box::new(move |outcome| {
                let _ = done.try_send(outcome);
            }),
        );
        let outcome = written.recv_timeout(LIMIT);
        let outcome = outcome.unwrap_or_else(|_| Err(format!("not written in {LIMIT:?}")));
        outcome.map_err(|why| {
            tracing::error!("{what}: {why}");
            HerderError::internal(what)
        })
    }

    /// Writes what only the leader may; all of it or, where that can be had, nothing.
    pub(super) fn write_as_leader(&mut self, records: Vec<Produced>, what: &str) -> Answer<()> {
        let Some(leader) = &self.stores.leader else { return self.write(records, what) };
        let (done, written) = flume::bounded(1);
        leader.write(
            records,
            Box::new(move |outcome| {
                let _ = done.try_send(outcome);
            }),
        );
        let outcome = written.recv_timeout(leader_writes::LIMIT + LEEWAY);
        let outcome = outcome.unwrap_or_else(|_| Err(format!("not written in {LIMIT:?}")));
        outcome.map_err(|why| {
            tracing::warn!(
                "{what}: {why}. Failed to write to config topic as leader; will rejoin group if \
                 necessary and, if still leader, attempt to reclaim write privileges for the config \
                 topic"
            );
            self.claim_at = Some(Instant::now());
            HerderError::internal(
                "Failed to write to config topic; this may be due to a transient error and the \
                 request can be safely retried",
            )
        })
    }

    fn write_and_read(&mut self, records: Vec<Produced>, what: &str) -> Answer<()> {
        self.write_as_leader(records, what)?;
        self.read_back(what)
    }

    fn read_back(&mut self, what: &str) -> Answer<()> {
        self.read_to_end(Which::Config, LIMIT).map_err(|why| {
            tracing::error!("{what}: {why}");
            HerderError::internal(what)
        })
    }

    pub(super) fn write_connector(
        &mut self,
        name: &str,
        config: &Config,
        initial: Option<TargetState>,
    ) -> Answer<()> {
        let state = initial.map(|state| config_records::target_state(name, Some(state)));
        let mut records: Vec<Produced> = state.into_iter().collect();
        records.push(config_records::connector(name, Some(config)));
        self.write_and_read(records, "Error writing connector configuration to Kafka")
    }

    pub(super) fn write_removal(&mut self, name: &str) -> Answer<()> {
        let records =
            vec![config_records::connector(name, None), config_records::target_state(name, None)];
        self.write_and_read(records, "Error removing connector configuration from Kafka")
    }

    /// The whole set, which counts from its commit on; before that comes all that others wrote.
    pub(super) fn write_tasks(&mut self, name: &str, tasks: &[Config]) -> Answer<()> {
        const WHAT: &str = "Error writing task configurations to Kafka";
        if !tasks.is_empty() && self.log.config().target(name) == TargetState::Stopped {
            return Err(HerderError::bad_request(format!(
                "Cannot submit non-empty set of task configs for stopped connector {name}"
            )));
        }
        self.read_back(WHAT)?;
        if !tasks.is_empty() {
            let numbered = tasks.iter().enumerate();
            let records = numbered.map(|(at, task)| config_records::task(name, at, task)).collect();
            self.write_and_read(records, WHAT)?;
        }
        self.write_and_read(vec![config_records::commit(name, tasks.len())], WHAT)
    }

    pub(super) fn write_target(&self, name: &str, target: TargetState) -> Answer<()> {
        let record = config_records::target_state(name, Some(target));
        self.write(vec![record], "Error writing target state to Kafka")
    }
}
