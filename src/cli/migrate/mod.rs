//! `millrace migrate check WORKER.properties`: what of a running Kafka Connect cluster this worker runs
//! as it is, what it does otherwise, and what it lacks, connector by connector. Changes nothing: it
//! reads the config topic without joining a group, and asks the REST API with GET alone.

mod cluster;
mod findings;

use std::path::PathBuf;

use millrace_herder::properties;

use super::{CONNECTOR, Failure, loggers, plugins};
use findings::Report;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Look at a running cluster and say what would become of its connectors; changes nothing
    Check(Check),
}

#[derive(clap::Args)]
struct Check {
    /// The properties of one of the cluster's workers
    worker: PathBuf,
    /// REST API of one of its workers; without it the first of the file's listeners
    #[arg(long)]
    rest: Option<String>,
    /// The report as JSON
    #[arg(long)]
    json: bool,
}

/// 0: all connectors run here; 2: the cluster or the worker's file cannot be read; 3: a connector
/// cannot run.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    loggers::start("error");
    let Command::Check(check) = arguments.command;
    let file = properties::load(&check.worker).map_err(Failure::startup)?;
    let plugins = plugins::gather();
    let seen = cluster::look(&file, check.rest.as_deref()).map_err(Failure::startup)?;
    let report = Report::new(&file, &plugins, seen);
    match check.json {
        true => println!("{}", report.json()),
        false => print!("{}", report.text()),
    }
    match report.lacking() {
        0 => Ok(()),
        count => Err(Failure::new(CONNECTOR, format!("{count} cannot run on Millrace as it is"))),
    }
}
