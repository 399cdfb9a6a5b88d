//! The planning half: finds the topics, shares their partitions out, and looks after both clusters.

use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_api::Config;
use millrace_api::connector::{Connector, ExactlyOnceSupport, Tending, WantedOffset};
use millrace_api::error::ConnectError;
use millrace_api::source::OffsetMap;
use millrace_api::source::offsets::Scalar;

use super::clients;
use super::config::{INDEX, PARTITIONS, Settings};
use super::upkeep::{Known, Topics, Upkeep};
use super::wanted_offsets;

/// Until clusters that could not be looked at are looked at again. The JVM's connector waits for
/// `refresh.topics.interval.seconds`.
const AGAIN: Duration = Duration::from_secs(10);

/// Keys of a source partition and of its offset.
pub const CLUSTER: &str = "cluster";
pub const TOPIC: &str = "topic";
pub const PARTITION: &str = "partition";
pub const OFFSET: &str = "offset";

/// The partition as it is stored, its keys in the order of Java's hash map.
pub fn source_partition(cluster: &str, topic: &str, partition: i32) -> OffsetMap {
    vec![
        (CLUSTER.to_owned(), Scalar::String(cluster.to_owned())),
        (PARTITION.to_owned(), Scalar::Int(partition.into())),
        (TOPIC.to_owned(), Scalar::String(topic.to_owned())),
    ]
}

/// Something that is done again and again.
#[derive(Clone, Copy, Debug)]
struct Chore {
    every: Option<Duration>,
    due: Option<Instant>,
}

impl Chore {
    /// The first time after `first`; never if `every` is `None`.
    fn new(every: Option<Duration>, first: Duration, now: Instant) -> Self {
        Self { every, due: every.and_then(|_| now.checked_add(first)) }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    fn done(&mut self, now: Instant) {
        self.due = self.every.and_then(|every| now.checked_add(every));
    }
}

/// `org.apache.kafka.connect.mirror.MirrorSourceConnector`.
#[derive(Default)]
pub struct MirrorSourceConnector {
    running: Option<Running>,
}

struct Running {
    settings: Arc<Settings>,
    config: Config,
    /// `None` until both clusters were looked at once.
    known: Option<Known>,
    refresh: Chore,
    configs: Chore,
    acls: Chore,
}

impl Running {
    fn start(config: &Config) -> Result<Self, ConnectError> {
        let settings = Arc::new(Settings::of(config).map_err(crate::refused)?);
        let now = Instant::now();
        let interval = settings.refresh_topics;
        let mut running = Self {
            refresh: Chore::new(interval, interval.unwrap_or_default(), now),
            configs: Chore::new(settings.sync_configs, Duration::ZERO, now),
            acls: Chore::new(settings.sync_acls, Duration::ZERO, now),
            config: config.clone(),
            known: None,
            settings,
        };
        if running.settings.enabled {
            running.begin();
        }
        Ok(running)
    }

    /// Looks at the clusters for the first time and makes what is missing. If that fails, the
    /// connector has no tasks for now.
    fn begin(&mut self) {
        let begun = Upkeep::run(&self.settings, &self.config, async |upkeep| {
            if let Err(why) = upkeep.create_offset_syncs_topic().await {
                tracing::error!("offset syncs: {why}");
            }
            let known = upkeep.look().await?;
            upkeep.create_missing(&known).await?;
            upkeep.look().await
        });
        match begun {
            Ok(known) => self.known = Some(known),
            Err(why) => {
                tracing::error!("{why}; it is tried again in {} s", AGAIN.as_secs());
                self.refresh.due = Instant::now().checked_add(AGAIN);
            }
        }
    }

    /// `true` when the tasks are to be planned anew.
    fn refresh(&mut self) -> bool {
        let Some(before) = self.known.clone() else {
            self.begin();
            return self.known.is_some();
        };
        let policy = self.settings.policy.clone();
        let refreshed = Upkeep::run(&self.settings, &self.config, async move |upkeep| {
            let known = upkeep.look().await?;
            let has_all = known.source.iter().all(|(topic, count)| {
                known.target.get(&policy.remote_topic(topic)).is_some_and(|has| has >= count)
            });
            if known.source == before.source && has_all {
                return Ok((known, false));
            }
            upkeep.create_missing(&known).await?;
            Ok((upkeep.look().await?, true))
        });
        match refreshed {
            Ok((known, changed)) => {
                if changed {
                    tracing::info!(topics = known.source.len(), "topics have changed");
                }
                self.known = Some(known);
                changed
            }
            Err(why) => {
                tracing::error!("{why}");
                false
            }
        }
    }

    fn sync_configs(&self) {
        let Some(known) = self.known.clone() else { return };
        let work = async move |upkeep: &Upkeep| upkeep.sync_configs(&known).await;
        if let Err(why) = Upkeep::run(&self.settings, &self.config, work) {
            tracing::error!("{why}");
        }
    }

    fn sync_acls(&mut self) {
        let work = async |upkeep: &Upkeep| upkeep.sync_acls().await;
        match Upkeep::run(&self.settings, &self.config, work) {
            Ok(true) => {}
            Ok(false) => {
                let source = &self.settings.policy.source;
                tracing::info!(source, "has no authorizer: no access rights are mirrored");
                self.acls.every = None;
            }
            Err(why) => tracing::error!("{why}"),
        }
    }

    fn tend(&mut self) -> Tending {
        let mut tending = Tending::default();
        if !self.settings.enabled {
            return tending;
        }
        let now = Instant::now();
        if self.refresh.is_due(now) {
            // Before, so that a first look that fails can have its own time.
            self.refresh.done(now);
            tending.replan = self.refresh();
        }
        if self.acls.is_due(now) {
            self.sync_acls();
            self.acls.done(now);
        }
        // Not before it is known what there is.
        if self.configs.is_due(now) && self.known.is_some() {
            self.sync_configs();
            self.configs.done(now);
        }
        let configs = self.configs.due.filter(|_| self.known.is_some());
        let next = [self.refresh.due, self.acls.due, configs].into_iter().flatten().min();
        tending.again = next.map(|next| next.saturating_duration_since(Instant::now()));
        tending
    }
}

/// Each task's partitions: in turns, so that each has its share of every topic.
pub(super) fn shares(topics: &Topics, tasks_max: usize) -> Vec<Vec<(&str, i32)>> {
    let all = topics.iter().flat_map(|(topic, count)| (0..*count).map(move |at| (&**topic, at)));
    let all: Vec<_> = all.collect();
    let tasks = tasks_max.min(all.len());
    let mut shares = vec![Vec::new(); tasks];
    for (turn, partition) in all.into_iter().enumerate() {
        shares[turn % tasks].push(partition);
    }
    shares
}

impl Connector for MirrorSourceConnector {
    fn start(&mut self, config: &Config) -> Result<(), ConnectError> {
        self.running = Some(Running::start(config)?);
        Ok(())
    }

    fn task_configs(&mut self, tasks_max: usize) -> Result<Vec<Config>, ConnectError> {
        let Some(running) = &self.running else { return Ok(Vec::new()) };
        let Some(known) = &running.known else { return Ok(Vec::new()) };
        let task = |(index, share): (usize, Vec<(&str, i32)>)| {
            let mut config = running.config.clone();
            let names = share.iter().map(|(topic, partition)| format!("{topic}-{partition}"));
            config.insert(PARTITIONS.to_owned(), names.collect::<Vec<_>>().join(","));
            config.insert(INDEX.to_owned(), index.to_string());
            config
        };
        Ok(shares(&known.source, tasks_max).into_iter().enumerate().map(task).collect())
    }

    fn tend(&mut self) -> Tending {
        self.running.as_mut().map(Running::tend).unwrap_or_default()
    }

    fn alter_offsets(
        &mut self,
        _: &Config,
        offsets: &[WantedOffset],
    ) -> Result<bool, ConnectError> {
        for (partition, offset) in offsets {
            // What is to be forgotten may be rubbish: this is how one gets rid of it.
            if let Some(offset) = offset {
                wanted_offsets::of_topic(partition, offset).map_err(ConnectError::fatal)?;
            }
        }
        Ok(true)
    }

    fn exactly_once_support(&self, config: &Config) -> Option<ExactlyOnceSupport> {
        Some(match clients::reads_committed(config) {
            true => ExactlyOnceSupport::Supported,
            false => ExactlyOnceSupport::Unsupported,
        })
    }

    fn stop(&mut self) {
        self.running = None;
    }
}
