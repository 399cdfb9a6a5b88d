//! Whole processes measured: CPU seconds per record of our worker and of the JVM's, in turn, over
//! the same topic of a real broker.
//!
//! `cargo run --release -p millrace-perf -- table` prints the README's table. The figure is the CPU
//! time of the whole process per record; wall time on a shared machine is noise. Ours and the
//! JVM's runs alternate; the JVM's first records, while its compiler warms up, do not count.

mod events;
mod jvm;
mod keep;
mod ours;
mod scenario;
mod stand_in;
mod table;

#[path = "../tests/rig/mod.rs"]
#[expect(dead_code, reason = "the tests use more of the rig than the measurements do")]
mod rig;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Whole processes measured, the JVM worker beside ours")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Our worker and the JVM's over the same topic, in turn; medians and ratios.
    Table {
        /// Records in the topic.
        #[arg(long, default_value_t = 3_000_000)]
        records: u64,
        /// Runs of each side.
        #[arg(long, default_value_t = 5)]
        runs: usize,
        /// Scenarios by name, or all.
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
        /// Leave the JVM out.
        #[arg(long)]
        no_jvm: bool,
        /// Write what was measured to this folder (README.md, raw.csv).
        #[arg(long)]
        save: Option<std::path::PathBuf>,
    },
    /// Starts the systems, fills the topic and runs what the standard input names, one scenario a
    /// line, until it ends: `file`, or `file perf record -o file.data -g --` to run under a profiler.
    Keep {
        /// Records in the topic.
        #[arg(long, default_value_t = 3_000_000)]
        records: u64,
    },
    /// The names of the scenarios.
    List,
}

fn main() {
    match Arguments::parse().command {
        Command::Table { records, runs, only, no_jvm, save } => {
            table::run(&table::Options { records, runs, only, jvm: !no_jvm, save });
        }
        Command::Keep { records } => keep::run(records),
        Command::List => {
            for scenario in scenario::all() {
                println!("{:12} {}", scenario.name, scenario.title);
            }
        }
    }
}
