//! The file source's plan: one task, and which offsets a user may set.

use millrace_api::Config;
use millrace_api::connector::{Connector, ExactlyOnceSupport, SameConfigForAll, WantedOffset};
use millrace_api::error::ConnectError;
use millrace_api::source::OffsetMap;
use millrace_api::source::offsets::Scalar;

use super::config;

/// The source partition's key, whose value is the file's name as configured.
pub const FILENAME: &str = "filename";
/// The source offset's key: bytes from the file's beginning to the next line.
pub const POSITION: &str = "position";

/// There is one file and so one task, whatever `tasks.max` says; as in the JVM.
pub struct FileStreamSourceConnector(SameConfigForAll);

impl Default for FileStreamSourceConnector {
    fn default() -> Self {
        Self(SameConfigForAll::new(Some(1)))
    }
}

/// The file that is named, if one is: an empty name is none.
pub fn file_of(config: &Config) -> Option<&str> {
    config.get(config::FILE).map(|name| name.trim()).filter(|name| !name.is_empty())
}

impl Connector for FileStreamSourceConnector {
    fn start(&mut self, config: &Config) -> Result<(), ConnectError> {
        config::source_config_def().parse(config).map_err(crate::refused)?;
        if file_of(config).is_none() {
            tracing::info!("Starting file source connector reading from stdin");
        }
        self.0.start(config)
    }

    fn task_configs(&mut self, tasks_max: usize) -> Result<Vec<Config>, ConnectError> {
        self.0.task_configs(tasks_max)
    }

    fn exactly_once_support(&self, config: &Config) -> Option<ExactlyOnceSupport> {
        Some(match file_of(config) {
            Some(_) => ExactlyOnceSupport::Supported,
            // A line of the standard input cannot be read again.
            None => ExactlyOnceSupport::Unsupported,
        })
    }

    fn alter_offsets(
        &mut self,
        config: &Config,
        offsets: &[WantedOffset],
    ) -> Result<bool, ConnectError> {
        if file_of(config).is_none() {
            return Err(ConnectError::fatal(
                "Offsets cannot be modified if the 'file' configuration is unspecified. This is \
                 because stdin is used for input and offsets are not tracked.",
            ));
        }
        for (partition, offset) in offsets {
            // What is to be forgotten may be rubbish: this is how one gets rid of it.
            if let Some(offset) = offset {
                check(partition, offset)?;
            }
        }
        Ok(true)
    }
}

fn check(partition: &OffsetMap, offset: &OffsetMap) -> Result<(), ConnectError> {
    let wrong = match offset.iter().find(|(name, _)| name == POSITION) {
        None => "Offset objects should either be null or contain the key 'position'",
        Some((_, Scalar::Int(position))) if *position >= 0 => {
            if partition.iter().any(|(name, _)| name == FILENAME) {
                return Ok(());
            }
            "Partition objects should contain the key 'filename'"
        }
        Some((_, Scalar::Int(_))) => {
            "The value for the 'position' key in the offset should be a non-negative value"
        }
        Some(_) => "The value for the 'position' key in the offset is expected to be a Long value",
    };
    Err(ConnectError::fatal(wrong))
}
