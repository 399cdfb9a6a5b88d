//! The commands, one file each, and what they share: plug-ins, logging, signals.

mod bench;
mod broker;
mod cluster_id;
mod distributed;
mod export;
mod job;
mod log_format;
mod log_writer;
mod loggers;
mod migrate;
mod plugins;
mod prepare;
mod progress;
mod quickstart;
mod signals;
mod standalone;
mod transform;
mod validate;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Once;

use clap::{Args, Parser, Subcommand};
use millrace_net::rt::{Missing, RUNTIME_VARIABLE, RuntimeChoice};

/// Exit codes as Kafka's own scripts have them.
pub(crate) const USAGE: u8 = 1;
/// The worker could not start.
pub(crate) const STARTUP: u8 = 2;
/// A connector given on the command line could not be created.
pub(crate) const CONNECTOR: u8 = 3;

/// A Kafka Connect worker in Rust: the same files, the same REST API.
#[derive(Parser)]
#[command(name = "millrace", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a standalone worker with these connectors, as Kafka's connect-standalone
    ConnectStandalone(standalone::Arguments),
    /// Run one worker of a cluster, as Kafka's connect-distributed
    ConnectDistributed(distributed::Arguments),
    /// Deliver a connector's topics up to their end, then exit
    Export(export::Arguments),
    /// See it work: an embedded broker, a few million events, an export
    Quickstart(quickstart::Arguments),
    /// Measure a connector: throughput, CPU time, memory and latency
    Bench(Box<bench::Arguments>),
    /// What `bench --bare` measures
    #[command(hide = true)]
    BareConsumer(bench::bare::Arguments),
    /// Run the embedded broker alone; for trying things out, never for production
    Broker(broker::Arguments),
    /// What would become of a running cluster's connectors here
    Migrate(migrate::Arguments),
    /// List the built-in connectors, converters, transforms and predicates
    Plugins,
    /// Check a connector's configuration without running it
    Validate(validate::Arguments),
    /// Try a connector's converters and transforms: records in on standard input, records out
    Transform(transform::Arguments),
}

/// A connector file and its worker's.
#[derive(Args)]
pub(crate) struct Files {
    /// The connector: .properties, or JSON
    pub connector: PathBuf,
    /// The worker's properties
    #[arg(long)]
    pub worker: PathBuf,
}

pub(crate) fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let result = match arguments.command {
        Command::ConnectStandalone(arguments) => standalone::run(arguments),
        Command::ConnectDistributed(arguments) => distributed::run(arguments),
        Command::Export(arguments) => export::run(arguments),
        Command::Quickstart(arguments) => quickstart::run(arguments),
        Command::Bench(arguments) => bench::run(*arguments),
        Command::BareConsumer(arguments) => bench::bare::run(arguments),
        Command::Broker(arguments) => broker::run(arguments),
        Command::Migrate(arguments) => migrate::run(arguments),
        Command::Plugins => plugins::print(),
        Command::Validate(arguments) => validate::run(arguments),
        Command::Transform(arguments) => transform::run(arguments),
    };
    // What was logged stands before what is said last.
    loggers::flush();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, message }) => {
            eprintln!("{message}");
            ExitCode::from(code)
        }
    }
}

/// Why a command ends badly, for the user to read.
#[derive(Debug)]
pub(crate) struct Failure {
    pub code: u8,
    pub message: String,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn startup(message: impl Into<String>) -> Self {
        Self::new(STARTUP, message)
    }
}

/// Decides what so many cores run on: as the worker's file says, else as the environment does. Where
/// io_uring was to be and cannot, the log says why, once.
pub(crate) fn runtime(
    wanted: Option<RuntimeChoice>,
    cores: usize,
) -> Result<RuntimeChoice, Failure> {
    let (choice, origin) = match wanted {
        Some(choice) => (choice, "millrace.runtime"),
        None => (RuntimeChoice::from_env().map_err(Failure::startup)?, RUNTIME_VARIABLE),
    };
    let lines = |missing: &[Missing]| -> String {
        missing.iter().map(|one| format!("\n  {one}")).collect()
    };
    let decision = choice.decide(cores).map_err(|missing| {
        Failure::startup(format!(
            "the engine cannot start with {origin}=io_uring on this machine:{}\n  or set {origin}=auto, \
             which runs on epoll here",
            lines(&missing)
        ))
    })?;
    static SAID: Once = Once::new();
    if !decision.missing.is_empty() {
        SAID.call_once(|| {
            tracing::warn!(
                "the engine runs on epoll; not on io_uring, because:{}\n  set \
                 millrace.runtime=epoll, or {RUNTIME_VARIABLE}=epoll, to be content with it",
                lines(&decision.missing)
            );
        });
    }
    Ok(decision.runtime.into())
}
