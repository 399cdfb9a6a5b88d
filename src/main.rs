//! `millrace`: a Kafka Connect worker. The front door: arguments in, an exit code out.

mod cli;

use std::process::ExitCode;

/// Memory by task; see `millrace.task.memory.bytes`.
#[global_allocator]
static ALLOCATOR: millrace_net::allocator::Accounted = millrace_net::allocator::Accounted;

fn main() -> ExitCode {
    millrace_net::allocator::map_large_blocks();
    cli::run()
}
