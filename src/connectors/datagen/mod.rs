//! The data generator: records made up from a seed, the same ones each time.
//!
//! Record `n` depends on the seed and `n` only. The tasks share the numbers out: task `t` of `k`
//! makes `t`, `t + k`, `t + 2k`, …, so a task that starts again goes on exactly where it was.

mod config;
mod event;
mod generator;
mod quickstart;
mod random;
mod regex;
mod schema;
mod task;
#[cfg(test)]
mod tests;

use millrace_api::Config;
use millrace_api::connector::{Connector, ConnectorPlugin, ExactlyOnceSupport, NewTask};
use millrace_api::error::ConnectError;

pub use task::DatagenSourceTask;

/// `millrace.DatagenSourceConnector`; Confluent's generator by name means it too.
pub const SOURCE: ConnectorPlugin = ConnectorPlugin {
    class: "millrace.DatagenSourceConnector",
    task_class: "millrace.DatagenSourceTask",
    also: &["DatagenSource", config::CONFLUENT, "DatagenConnector", "Datagen"],
    version: env!("CARGO_PKG_VERSION"),
    config_def: config::config_def,
    validate: config::validate,
    connector: || Box::new(DatagenSourceConnector::default()),
    task: NewTask::Source(|| Box::new(DatagenSourceTask::default())),
};

#[derive(Default)]
struct DatagenSourceConnector {
    config: Config,
}

impl Connector for DatagenSourceConnector {
    fn start(&mut self, config: &Config) -> Result<(), ConnectError> {
        let errors = config::validate(config);
        if !errors.is_empty() {
            return Err(crate::refused(errors));
        }
        self.config = config.clone();
        Ok(())
    }

    /// A task goes on with the number that its offset tells (as long as there are as many tasks).
    fn exactly_once_support(&self, _: &Config) -> Option<ExactlyOnceSupport> {
        Some(ExactlyOnceSupport::Supported)
    }

    fn task_configs(&mut self, tasks_max: usize) -> Result<Vec<Config>, ConnectError> {
        let settings = config::Settings::of(&self.config).map_err(crate::refused)?;
        // Not more tasks than there are records.
        let tasks = match settings.max {
            Some(max) => tasks_max.min(usize::try_from(max.max(1)).unwrap_or(tasks_max)),
            None => tasks_max,
        };
        let task = |number: usize| {
            let mut config = self.config.clone();
            config.insert(config::TASK.to_owned(), number.to_string());
            config.insert(config::TASKS.to_owned(), tasks.to_string());
            config
        };
        Ok((0..tasks).map(task).collect())
    }
}
