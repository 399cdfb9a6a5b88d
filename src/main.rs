//! `millrace`: a Kafka Connect worker. The front door: arguments in, an exit code out.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
