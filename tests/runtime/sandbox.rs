//! Children that may not use io_uring, as in a container with the usual seccomp profile.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

use crate::rig::process::{Process, Spawner, spawner};

/// Starts a child to which the kernel refuses io_uring's three calls with EPERM.
pub fn start_without_io_uring(command: &mut Command, log: &Path) -> Process {
    static SPAWNER: OnceLock<Spawner> = OnceLock::new();
    Process::start_on(SPAWNER.get_or_init(|| spawner(forbid)), command, log)
}

/// For the thread that calls and for all that it starts.
fn forbid() {
    let calls = [libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];
    let rules = BTreeMap::from(calls.map(|call| (call, Vec::new())));
    let arch = std::env::consts::ARCH.try_into().expect("an architecture that seccomp knows");
    let refused = SeccompAction::Errno(libc::EPERM as u32);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, arch).expect("a filter");
    let program: BpfProgram = filter.try_into().expect("a BPF program");
    apply_filter(&program).expect("the kernel takes the filter");
}
