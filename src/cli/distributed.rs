//! `millrace connect-distributed WORKER.properties`, as Kafka's own: one worker of a cluster.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use millrace_herder::worker_config::WorkerConfig;
use millrace_herder::{DistributedHerder, properties};
use millrace_rest::RestOptions;
use millrace_worker::engine::Engine;

use super::log_format::LogFormat;
use super::{Failure, broker, cluster_id, loggers, plugins, prepare, runtime, signals};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The worker's properties
    worker: PathBuf,
}

/// The herder ended by itself: as the JVM's, whose thread ends the process.
const HERDER: u8 = 1;

/// Runs the worker until it is asked to end, or cannot go on.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let file = properties::load(&arguments.worker).map_err(Failure::startup)?;
    let loggers = match file.get("millrace.log.format") {
        Some(format) => loggers::start_as("info", LogFormat::of(Some(format))),
        None => loggers::start("info"),
    };
    let plugins = plugins::gather();
    let what = arguments.worker.display().to_string();
    let config = prepare::checked(WorkerConfig::distributed(file, &plugins), &what)?;
    let mut options = config.engine_options();
    options.runtime = Some(runtime(options.runtime, options.cpus.len())?);
    let id = cluster_id::require(&config.properties)?;
    let (engine, reports) = Engine::start(&options)
        .map_err(|error| Failure::startup(format!("the engine cannot start: {error}")))?;
    let herder = DistributedHerder::start(config, (*plugins).clone(), Box::new(engine), reports)
        .map_err(|error| Failure::startup(format!("the herder cannot start: {error}")))?;
    let context = Arc::clone(&herder.context);
    let _ = context.cluster_id.set(id);
    let mut options = RestOptions::new(Arc::clone(&context));
    options.loggers = Some(Box::new(loggers));
    let listeners = &context.config.listeners;
    let rest = millrace_rest::serve(listeners, herder.mailbox.clone(), options)
        .map_err(|error| Failure::startup(format!("the REST API cannot start: {error}")))?;
    for (address, listener) in rest.bound.iter().zip(listeners) {
        tracing::info!("REST API on {}://{address}", listener.scheme());
    }
    let stop = signals::stop_flag();
    tracing::info!("Kafka Connect started");
    while !stop.load(Ordering::SeqCst) && context.failure().is_none() {
        broker::rest(Duration::from_millis(50));
    }
    tracing::info!("Kafka Connect stopping");
    rest.shutdown();
    herder.shutdown();
    match context.failure() {
        Some(why) => Err(Failure::new(HERDER, format!("the herder ended: {why}"))),
        None => Ok(()),
    }
}
