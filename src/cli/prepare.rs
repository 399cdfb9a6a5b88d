//! From two files to tasks: what the bulk commands have in common.

use std::path::Path;
use std::sync::Arc;

use millrace_api::Config;
use millrace_api::config_def::ConfigError;
use millrace_api::connector::ConnectorPlugin;
use millrace_api::plugin::Plugins;
use millrace_herder::file_offset_store::FileOffsetStore;
use millrace_herder::properties;
use millrace_herder::validation::Validator;
use millrace_herder::worker_config::WorkerConfig;
use millrace_worker::command::{Bounds, TargetState, TaskId, TaskSpec};

use super::{CONNECTOR, Failure, plugins};

/// A checked worker and a checked connector.
pub(crate) struct Prepared {
    pub worker: WorkerConfig,
    pub plugins: Arc<Plugins>,
    pub name: Arc<str>,
    pub plugin: ConnectorPlugin,
    /// Placeholders resolved.
    pub connector: Config,
}

/// All errors of a file, one a line.
fn listed(what: &str, errors: &[&str]) -> String {
    let lines: Vec<String> = errors.iter().map(|error| format!("  {error}")).collect();
    format!("{what} has {} error(s):\n{}", errors.len(), lines.join("\n"))
}

/// Reads and checks a worker file; every error at once.
pub(crate) fn worker(path: &Path, plugins: &Plugins) -> Result<WorkerConfig, Failure> {
    let file = properties::load(path).map_err(Failure::startup)?;
    worker_of(file, plugins, &path.display().to_string())
}

pub(crate) fn worker_of(
    file: Config,
    plugins: &Plugins,
    what: &str,
) -> Result<WorkerConfig, Failure> {
    checked(WorkerConfig::standalone(file, plugins), what)
}

/// A good configuration, its unknown keys named; or all that is wrong with it.
pub(crate) fn checked(
    config: Result<WorkerConfig, Vec<ConfigError>>,
    what: &str,
) -> Result<WorkerConfig, Failure> {
    let config = config.map_err(|errors| {
        let errors: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
        Failure::startup(listed(what, &errors))
    })?;
    for key in &config.ignored {
        tracing::warn!("{what}: the key {key} is not known and is ignored");
    }
    Ok(config)
}

impl Prepared {
    pub(crate) fn load(connector: &Path, worker: &Path) -> Result<Self, Failure> {
        let plugins = plugins::gather();
        let worker = self::worker(worker, &plugins)?;
        let file = properties::load_connector(connector)
            .map_err(|error| Failure::new(CONNECTOR, error))?;
        Self::check(file.config, worker, plugins, &connector.display().to_string())
    }

    /// Checks a connector's configuration; every error at once.
    pub(crate) fn check(
        config: Config,
        worker: WorkerConfig,
        plugins: Arc<Plugins>,
        what: &str,
    ) -> Result<Self, Failure> {
        let refused = |message: String| Failure::new(CONNECTOR, message);
        let connector = worker
            .providers
            .try_resolve(&config)
            .map_err(|why| refused(format!("{what}: {why}")))?
            .config;
        let class = connector.get("connector.class").map(|class| class.trim()).unwrap_or_default();
        let plugin = *plugins.connector(class).ok_or_else(|| {
            let known: Vec<&str> = plugins.connectors.iter().map(|plugin| plugin.class).collect();
            refused(format!("{what}: no connector class {class:?}; built in: {}", known.join(", ")))
        })?;
        let infos = Validator::new(worker.clone(), Arc::clone(&plugins))
            .validate(&config)
            .map_err(|error| refused(format!("{what}: {error}")))?;
        let errors: Vec<&str> = infos
            .configs
            .iter()
            .flat_map(|config| config.value.errors.iter().map(String::as_str))
            .collect();
        if !errors.is_empty() {
            return Err(refused(listed(what, &errors)));
        }
        let name = connector.get("name").map(|name| name.trim()).unwrap_or_default().into();
        Ok(Self { worker, plugins, name, plugin, connector })
    }

    /// Plans the tasks of a bulk job.
    pub(crate) fn tasks(
        &self,
        bounds: &dyn Fn((u32, u32)) -> Bounds,
    ) -> Result<Vec<TaskSpec>, Failure> {
        let failed =
            |error: millrace_api::error::ConnectError| Failure::new(CONNECTOR, error.trace());
        let max =
            self.connector.get("tasks.max").and_then(|max| max.trim().parse().ok()).unwrap_or(1);
        let mut connector = (self.plugin.connector)();
        connector.start(&self.connector).map_err(failed)?;
        let configs = connector.task_configs(max).map_err(failed)?;
        connector.stop();
        let path = self.worker.parsed().string("offset.storage.file.filename").to_owned();
        let offsets = FileOffsetStore::open(Path::new(&path)).map_err(|error| {
            Failure::startup(format!("offset.storage.file.filename={path}: {error}"))
        })?;
        let offsets = Arc::new(offsets);
        let shared = Arc::new(self.connector.clone());
        let count = configs.len() as u32;
        let specs = configs.into_iter().enumerate().map(|(number, mut task)| {
            task.insert("task.class".to_owned(), self.plugin.task_class.to_owned());
            TaskSpec {
                id: TaskId { connector: Arc::clone(&self.name), task: number as u32 },
                generation: 1,
                worker: Arc::clone(&self.worker.properties),
                connector: Arc::clone(&shared),
                task: Arc::new(task),
                plugins: Arc::clone(&self.plugins),
                target: TargetState::Started,
                offsets: Arc::clone(&offsets) as _,
                bounds: Some(bounds((number as u32, count))),
                exactly_once: None,
            }
        });
        Ok(specs.collect())
    }
}
