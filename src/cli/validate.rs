//! `millrace validate`: a connector's configuration checked, every error at once, nothing run.

use super::prepare::Prepared;
use super::{Failure, Files, loggers};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    files: Files,
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    loggers::start("warn");
    let prepared = Prepared::load(&arguments.files.connector, &arguments.files.worker)?;
    println!("{}: {} is valid", prepared.name, prepared.plugin.class);
    Ok(())
}
