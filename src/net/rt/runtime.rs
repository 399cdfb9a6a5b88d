//! Which engine the cores run on: io_uring, or epoll where io_uring is forbidden.

use std::fmt;
use std::str::FromStr;

use super::probe::{Missing, probe};

/// The environment variable that decides where no worker file does.
pub const RUNTIME_VARIABLE: &str = "MILLRACE_RUNTIME";

/// An engine that a core runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    IoUring,
    Epoll,
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IoUring => "io_uring",
            Self::Epoll => "epoll",
        })
    }
}

/// What the user wants (`millrace.runtime`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RuntimeChoice {
    /// io_uring where the machine allows it, else epoll.
    #[default]
    Auto,
    /// io_uring or nothing.
    IoUring,
    Epoll,
}

impl RuntimeChoice {
    /// The values that the user may write.
    pub const NAMES: &'static [&'static str] = &["auto", "io_uring", "epoll"];

    /// What [`RUNTIME_VARIABLE`] says; [`Self::Auto`] if it is not set or empty.
    ///
    /// # Errors
    /// Names the variable, its value and what would be right.
    pub fn from_env() -> Result<Self, String> {
        match std::env::var_os(RUNTIME_VARIABLE) {
            Some(text) if !text.is_empty() => text.to_string_lossy().parse().map_err(|error| {
                format!("invalid environment variable {RUNTIME_VARIABLE}: {error}")
            }),
            _ => Ok(Self::Auto),
        }
    }

    /// Looks at the machine, for so many cores.
    ///
    /// # Errors
    /// io_uring is wanted and these things are missing for it.
    pub fn decide(self, cores: usize) -> Result<Decision, Vec<Missing>> {
        if self == Self::Epoll {
            return Ok(Decision { runtime: Runtime::Epoll, missing: Vec::new() });
        }
        match probe(cores) {
            Ok(()) => Ok(Decision { runtime: Runtime::IoUring, missing: Vec::new() }),
            Err(missing) if self == Self::Auto => Ok(Decision { runtime: Runtime::Epoll, missing }),
            Err(missing) => Err(missing),
        }
    }
}

impl From<Runtime> for RuntimeChoice {
    fn from(runtime: Runtime) -> Self {
        match runtime {
            Runtime::IoUring => Self::IoUring,
            Runtime::Epoll => Self::Epoll,
        }
    }
}

impl FromStr for RuntimeChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "auto" => Ok(Self::Auto),
            "io_uring" => Ok(Self::IoUring),
            "epoll" => Ok(Self::Epoll),
            other => Err(format!("'{other}' is none of: {}", Self::NAMES.join(", "))),
        }
    }
}

/// The engine that is to run, and what is missing for io_uring if that was not possible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub runtime: Runtime,
    pub missing: Vec<Missing>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_others_refused() {
        for (name, choice) in RuntimeChoice::NAMES.iter().zip([
            RuntimeChoice::Auto,
            RuntimeChoice::IoUring,
            RuntimeChoice::Epoll,
        ]) {
            assert_eq!(name.parse(), Ok(choice));
        }
        let error = "uring".parse::<RuntimeChoice>().unwrap_err();
        assert_eq!(error, "'uring' is none of: auto, io_uring, epoll");
        for runtime in [Runtime::IoUring, Runtime::Epoll] {
            assert_eq!(runtime.to_string().parse(), Ok(RuntimeChoice::from(runtime)));
        }
    }

    #[test]
    fn what_is_missing_decides() {
        // No machine may lock that much memory for that many cores; an unlimited one says yes.
        let cores = usize::MAX / (1 << 20);
        let auto = RuntimeChoice::Auto.decide(cores).unwrap();
        match RuntimeChoice::IoUring.decide(cores) {
            Ok(decision) => assert_eq!(decision, auto),
            Err(missing) => assert_eq!(auto, Decision { runtime: Runtime::Epoll, missing }),
        }
        let epoll = RuntimeChoice::Epoll.decide(cores).unwrap();
        assert_eq!(epoll, Decision { runtime: Runtime::Epoll, missing: Vec::new() });
    }
}
