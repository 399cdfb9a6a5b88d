//! Whole processes measured: CPU seconds per record of our worker and of the JVM's, in turn, over
//! the same topic of a real broker.
//!
//! `cargo run --release -p millrace-perf -- table` prints the README's table. The figure is the CPU
//! time of the whole process per record; wall time on a shared machine is noise. Ours and the
//! JVM's runs alternate; ours counts from start to end, the JVM's first records, while its compiler warms
//! up, do not count.

mod bench;
mod chains;
mod events;
mod ingest;
mod jvm;
mod keep;
mod latency;
mod life;
mod offsets;
mod ours;
mod rebalance;
mod scale;
mod scenario;
mod search;
mod shares;
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
        /// Runs of each side; of an even number the median is the mean of the middle two.
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
    /// From due to delivered at a fixed rate: ours, a bare loop over our client, the JVM's worker.
    Latency {
        /// Records a second.
        #[arg(long, default_value_t = 1000)]
        rate: u64,
        /// Seconds that count of each run.
        #[arg(long, default_value_t = 20)]
        seconds: u64,
        /// Runs of each side.
        #[arg(long, default_value_t = 3)]
        runs: usize,
        /// `millrace.latency.spin.us` of a second round; 0 leaves it out.
        #[arg(long, default_value_t = 200)]
        spin_us: u64,
        /// Leave the JVM out.
        #[arg(long)]
        no_jvm: bool,
    },
    /// One core and two.
    Cores {
        #[arg(long, default_value_t = 6_000_000)]
        records: u64,
        #[arg(long, default_value_t = 5)]
        runs: usize,
    },
    /// What one transform adds to a record, ours and the JVM's.
    Shares {
        #[arg(long, default_value_t = 2_000_000)]
        records: u64,
        #[arg(long, default_value_t = 3)]
        runs: usize,
        /// Chains by name, or all.
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
    },
    /// The same topic read by 1, 10, 100 and 1,000 tasks.
    Tasks {
        #[arg(long, default_value_t = 36_000_000)]
        records: u64,
        #[arg(long, default_value_t = 3)]
        runs: usize,
        #[arg(long, value_delimiter = ',', default_value = "1,10,100,1000")]
        counts: Vec<u32>,
    },
    /// Records that come by HTTP, until they are in Kafka and answered.
    Ingest {
        #[arg(long, default_value_t = 2_000_000)]
        records: u64,
        /// Records of a request.
        #[arg(long, default_value_t = 100)]
        batch: u64,
        /// Connections that send one request after the other.
        #[arg(long, default_value_t = 16)]
        clients: u64,
        #[arg(long, default_value_t = 3)]
        runs: usize,
    },
    /// What a document costs us, and what it costs a real Elasticsearch.
    Elasticsearch {
        #[arg(long, default_value_t = 1_000_000)]
        records: u64,
        #[arg(long, default_value_t = 3)]
        runs: usize,
    },
    /// Memory while a topic is read at full speed again and again.
    Steady {
        #[arg(long, default_value_t = 5.0)]
        minutes: f64,
        /// Records of a cycle.
        #[arg(long, default_value_t = 3_000_000)]
        records: u64,
    },
    /// Start to REST and to the first record, and idle memory.
    Start {
        #[arg(long, default_value_t = 5)]
        runs: usize,
    },
    /// A third worker joins a cluster of two, and is killed.
    Rebalance {
        #[arg(long, default_value_t = 1000)]
        connectors: usize,
        /// How long a killed worker is believed to live.
        #[arg(long, default_value_t = 10_000)]
        session_ms: u64,
        /// Leave the JVM out.
        #[arg(long)]
        no_jvm: bool,
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
        Command::Latency { rate, seconds, runs, spin_us, no_jvm } => {
            latency::run(&latency::Options { rate, seconds, runs, spin_us, jvm: !no_jvm });
        }
        Command::Cores { records, runs } => scale::cores(records, runs),
        Command::Shares { records, runs, only } => {
            shares::run(&shares::Options { records, runs, only });
        }
        Command::Tasks { records, runs, counts } => scale::tasks(records, runs, &counts),
        Command::Ingest { records, batch, clients, runs } => {
            ingest::run(&ingest::Options { records, batch, clients, runs });
        }
        Command::Elasticsearch { records, runs } => search::run(records, runs),
        Command::Steady { minutes, records } => life::steady(minutes, records),
        Command::Start { runs } => life::start(runs),
        Command::Rebalance { connectors, session_ms, no_jvm } => {
            rebalance::run(&rebalance::Options { connectors, session_ms, jvm: !no_jvm });
        }
        Command::List => {
            for scenario in scenario::all() {
                println!("{:12} {}", scenario.name, scenario.title);
            }
        }
    }
}
