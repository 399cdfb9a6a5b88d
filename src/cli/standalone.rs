//! `millrace connect-standalone WORKER.properties CONNECTOR…`, as Kafka's own.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use millrace_api::Config;
use millrace_herder::properties::{self, ConnectorFile};
use millrace_herder::requests::Request;
use millrace_herder::{HerderHandle, StandaloneHerder};
use millrace_rest::RestOptions;
use millrace_worker::command::TargetState;
use millrace_worker::engine::Engine;

use super::cluster_id;
use super::log_format::LogFormat;
use super::loggers::Loggers;
use super::prepare::worker_of;
use super::{CONNECTOR, Failure, broker, loggers, plugins, runtime, signals};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The worker's properties
    worker: PathBuf,
    /// Connectors: .properties, or JSON
    connectors: Vec<PathBuf>,
}

/// How long a connector may take to start and to plan its tasks.
const CREATE: Duration = Duration::from_secs(90);

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let file = properties::load(&arguments.worker).map_err(Failure::startup)?;
    let loggers = match file.get("millrace.log.format") {
        Some(format) => loggers::start_as("info", LogFormat::of(Some(format))),
        None => loggers::start("info"),
    };
    serve(file, &arguments.connectors, None, loggers)
}

/// Runs the worker until it is asked to end.
pub(crate) fn serve(
    file: Config,
    files: &[PathBuf],
    more: Option<Config>,
    loggers: Loggers,
) -> Result<(), Failure> {
    let plugins = plugins::gather();
    let config = worker_of(file, &plugins, "the worker's configuration")?;
    let mut options = config.engine_options();
    options.runtime = Some(runtime(options.runtime, options.cpus.len())?);
    let on = options.runtime;
    let (engine, reports) = Engine::start(&options)
        .map_err(|error| Failure::startup(format!("the engine cannot start: {error}")))?;
    let herder = StandaloneHerder::start(config, (*plugins).clone(), Box::new(engine), reports)
        .map_err(|error| Failure::startup(format!("the herder cannot start: {error}")))?;
    let mut options = RestOptions::new(Arc::clone(&herder.context));
    options.loggers = Some(Box::new(loggers));
    let context = Arc::clone(&herder.context);
    let listeners = &context.config.listeners;
    let rest = millrace_rest::serve(listeners, herder.mailbox.clone(), options)
        .map_err(|error| Failure::startup(format!("the REST API cannot start: {error}")))?;
    for (address, listener) in rest.bound.iter().zip(listeners) {
        tracing::info!("REST API on {}://{address}", listener.scheme());
    }
    cluster_id::look_up(Arc::clone(&herder.context), on);
    let stop = signals::stop_flag();
    let created = create_all(&herder, files, more);
    if created.is_ok() {
        tracing::info!("Kafka Connect started");
        while !stop.load(Ordering::SeqCst) {
            broker::rest(Duration::from_millis(50));
        }
        tracing::info!("Kafka Connect stopping");
    }
    rest.shutdown();
    herder.shutdown();
    created
}

fn create_all(
    herder: &HerderHandle,
    files: &[PathBuf],
    more: Option<Config>,
) -> Result<(), Failure> {
    for path in files {
        let file =
            properties::load_connector(path).map_err(|error| Failure::new(CONNECTOR, error))?;
        create(herder, file)?;
    }
    if let Some(config) = more {
        let name = config.get("name").cloned().unwrap_or_default();
        create(herder, ConnectorFile { name, config, target: TargetState::Started })?;
    }
    Ok(())
}

fn create(herder: &HerderHandle, file: ConnectorFile) -> Result<(), Failure> {
    let name = file.name.clone();
    let answer = herder.mailbox.call(CREATE, |reply| Request::Put {
        name: file.name,
        config: file.config.into(),
        create_only: true,
        initial: Some(file.target),
        reply,
    });
    answer.map(|_| tracing::info!("Created connector {name}")).map_err(|error| {
        Failure::new(CONNECTOR, format!("Failed to create connector {name}: {error}"))
    })
}
