//! The contract of a connector: the half that plans.

use std::time::Duration;

use crate::Config;
use crate::config_def::{ConfigDef, ConfigError};
use crate::error::ConnectError;
use crate::sink::SinkTask;
use crate::source::{OffsetMap, SourceTask};

/// A partition and its offset as a user wants it through REST; `None` resets it. Of a sink the
/// partition is `{kafka_topic, kafka_partition}` and the offset `{kafka_offset}`.
pub type WantedOffset = (OffsetMap, Option<OffsetMap>);

/// What a connector that runs wants next; see [`Connector::tend`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tending {
    /// When it is to be called again; `None`: never.
    pub again: Option<Duration>,
    /// What [`Connector::task_configs`] answers has changed: `requestTaskReconfiguration` of the JVM.
    pub replan: bool,
}

/// Plans a connector's tasks. Lives on the control plane, never on a data core.
pub trait Connector: Send {
    fn start(&mut self, config: &Config) -> Result<(), ConnectError>;

    /// The configurations of at most `tasks_max` tasks.
    fn task_configs(&mut self, tasks_max: usize) -> Result<Vec<Config>, ConnectError>;

    /// Looks after what changes while the connector runs: topics that come and go, settings to be
    /// kept alike. Called for the first time when the tasks are planned, then whenever it asks to
    /// be, on the connector's own thread, where it may wait. Failures are its own to tell in the log,
    /// and to try again.
    fn tend(&mut self) -> Tending {
        Tending::default()
    }

    /// `alterOffsets`: checks offsets that a user wants while the connector is stopped, and carries
    /// them over into a system where the connector keeps offsets itself. `true` says that the
    /// connector knows nothing more to be done; an error refuses the change. Called on an instance
    /// that was not started.
    fn alter_offsets(
        &mut self,
        config: &Config,
        offsets: &[WantedOffset],
    ) -> Result<bool, ConnectError> {
        let _ = (config, offsets);
        Ok(false)
    }

    fn stop(&mut self) {}

    /// Of a source, `SourceConnector.exactlyOnceSupport`: whether each record comes once if its
    /// offset is stored together with it. `None`: the connector does not say.
    fn exactly_once_support(&self, _config: &Config) -> Option<ExactlyOnceSupport> {
        None
    }
}

/// `org.apache.kafka.connect.source.ExactlyOnceSupport`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExactlyOnceSupport {
    Supported,
    Unsupported,
}

/// A connector without a plan of its own: every task gets the connector's configuration.
pub struct SameConfigForAll {
    config: Config,
    /// `Some(1)` for a connector that can only have one task.
    at_most: Option<usize>,
    offsets_are_all: bool,
    exactly_once: Option<ExactlyOnceSupport>,
}

impl SameConfigForAll {
    pub fn new(at_most: Option<usize>) -> Self {
        Self { config: Config::new(), at_most, offsets_are_all: false, exactly_once: None }
    }

    /// For a sink that keeps nothing but the group's offsets: any change of them is fine.
    pub fn with_alterable_offsets(self) -> Self {
        Self { offsets_are_all: true, ..self }
    }

    /// For a source that can say so, whatever its configuration.
    pub fn with_exactly_once(self, support: ExactlyOnceSupport) -> Self {
        Self { exactly_once: Some(support), ..self }
    }
}

impl Connector for SameConfigForAll {
    fn start(&mut self, config: &Config) -> Result<(), ConnectError> {
        self.config = config.clone();
        Ok(())
    }

    fn task_configs(&mut self, tasks_max: usize) -> Result<Vec<Config>, ConnectError> {
        let count = self.at_most.map_or(tasks_max, |most| most.min(tasks_max));
        Ok(vec![self.config.clone(); count])
    }

    fn alter_offsets(&mut self, _: &Config, _: &[WantedOffset]) -> Result<bool, ConnectError> {
        Ok(self.offsets_are_all)
    }

    fn exactly_once_support(&self, _: &Config) -> Option<ExactlyOnceSupport> {
        self.exactly_once
    }
}

/// How a task is made, on its core.
#[derive(Clone, Copy)]
pub enum NewTask {
    Sink(fn() -> Box<dyn SinkTask>),
    Source(fn() -> Box<dyn SourceTask>),
}

/// One connector as the registry knows it.
#[derive(Clone, Copy)]
pub struct ConnectorPlugin {
    /// The Java class that users have in `connector.class`.
    pub class: &'static str,
    /// The Java class of its tasks (`task.class`).
    pub task_class: &'static str,
    /// Other classes that mean this connector.
    pub also: &'static [&'static str],
    pub version: &'static str,
    /// The connector's own keys; the framework's are added by the herder.
    pub config_def: fn() -> ConfigDef,
    /// Checks across keys, run after every single key was found good or bad.
    pub validate: fn(&Config) -> Vec<ConfigError>,
    pub connector: fn() -> Box<dyn Connector>,
    pub task: NewTask,
}

impl ConnectorPlugin {
    pub fn is_sink(&self) -> bool {
        matches!(self.task, NewTask::Sink(_))
    }
}

/// For connectors without checks across keys.
pub fn no_cross_checks(_: &Config) -> Vec<ConfigError> {
    Vec::new()
}
