//! How a core is started.

use std::io;
use std::time::Duration;

use super::runtime::{Runtime, RuntimeChoice};

/// Longest time that a busy task keeps those of [`super::spawn_urgent`] waiting.
pub(super) const URGENT_LATENCY: Duration = Duration::from_micros(200);

/// How a core's executor is started.
#[derive(Clone, Debug)]
pub struct CoreOptions {
    pub name: String,
    /// The CPU to pin to; `None` leaves the placement to the kernel.
    pub cpu: Option<usize>,
    /// Longest time that a busy task keeps others waiting.
    pub preempt_ms: u64,
    /// Time to spin before the core parks; zero parks at once. Only a pinned core spins.
    pub spin: Duration,
    /// The engine; `None` asks the environment ([`super::RUNTIME_VARIABLE`]).
    pub runtime: Option<RuntimeChoice>,
}

impl CoreOptions {
    pub fn new(name: impl Into<String>, cpu: Option<usize>) -> Self {
        Self { name: name.into(), cpu, preempt_ms: 1, spin: Duration::ZERO, runtime: None }
    }

    pub(super) fn decide(&self) -> io::Result<Runtime> {
        let choice = match self.runtime {
            Some(choice) => choice,
            None => RuntimeChoice::from_env()
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?,
        };
        let decision = choice.decide(1).map_err(|missing| {
            let all: Vec<_> = missing.iter().map(ToString::to_string).collect();
            io::Error::new(io::ErrorKind::Unsupported, all.join("; "))
        })?;
        Ok(decision.runtime)
    }
}
