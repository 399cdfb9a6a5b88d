//! What io_uring needs of the machine, asked before anything starts.

use std::fmt;
use std::io;

/// Something that the machine does not give, with the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    pub what: String,
    pub remedy: &'static str,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

/// Bytes of locked memory that one executor's rings need at least.
const MEMLOCK_NEEDED: u64 = 512 << 10;

/// Tries io_uring's three calls and looks at the limit on locked memory, whose soft value is raised for this process
/// as far as its hard value allows.
///
/// `cores` is how many executors there will be.
pub fn probe(cores: usize) -> Result<(), Vec<Missing>> {
    let missing: Vec<_> = [
        try_io_uring().err().map(|error| io_uring_missing(&error)),
        memlock().and_then(|limit| memlock_missing(limit, cores)),
    ]
    .into_iter()
    .flatten()
    .collect();
    if missing.is_empty() { Ok(()) } else { Err(missing) }
}

fn try_io_uring() -> io::Result<()> {
    // struct io_uring_params is 120 bytes of plain data; zero asks for the defaults.
    let mut params = [0u64; 15];
    // SAFETY: the kernel reads and writes at most the 120 bytes of `params`, which outlive the call.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 8, params.as_mut_ptr()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // Each of the three calls may be forbidden for itself. This one submits nothing and waits for
    // nothing; the other forgets buffers that were never registered, which is refused for that reason.
    // SAFETY: `fd` is the ring that the kernel has just made; no memory is handed over.
    let entered = unsafe { libc::syscall(libc::SYS_io_uring_enter, fd, 0, 0, 0, 0, 0) };
    let entered = if entered < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
    const IORING_UNREGISTER_BUFFERS: libc::c_int = 1;
    // SAFETY: as above.
    let registered =
        unsafe { libc::syscall(libc::SYS_io_uring_register, fd, IORING_UNREGISTER_BUFFERS, 0, 0) };
    let registered = if registered < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
    // SAFETY: `fd` is the ring's descriptor, which nobody else knows.
    unsafe { libc::close(fd as libc::c_int) };
    let forbidden = |error: &io::Error| {
        matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES | libc::ENOSYS))
    };
    match entered.and(registered) {
        Err(error) if forbidden(&error) => Err(error),
        _ => Ok(()),
    }
}

fn io_uring_missing(error: &io::Error) -> Missing {
    let remedy = match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            "allow io_uring_setup, io_uring_enter and io_uring_register in the container's seccomp \
             profile and set the sysctl kernel.io_uring_disabled to 0"
        }
        Some(libc::ENOSYS) => "use a Linux kernel of 5.8 or newer",
        Some(libc::EMFILE | libc::ENFILE) => "raise the limit on open files (ulimit -n)",
        _ => "raise the limit on locked memory (ulimit -l, LimitMEMLOCK=)",
    };
    Missing { what: format!("io_uring cannot be used here ({error})"), remedy }
}

/// The limit on locked memory that holds, in bytes, after raising the soft one.
fn memlock() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel fills the one struct it is given.
    if unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) } != 0 {
        return None;
    }
    if limit.rlim_cur < limit.rlim_max {
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
        // SAFETY: the kernel reads the one struct it is given. A soft limit up to the hard one is
        // anybody's right; a refusal leaves it as it was.
        if unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raised) } == 0 {
            limit = raised;
        }
    }
    Some(limit.rlim_cur)
}

fn memlock_missing(limit: u64, cores: usize) -> Option<Missing> {
    (limit < MEMLOCK_NEEDED.saturating_mul(cores as u64)).then(|| Missing {
        what: format!("only {limit} bytes of memory may be locked"),
        remedy: "raise it to 512 KiB a core or more (ulimit -l, LimitMEMLOCK=)",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_runs_the_other_tests() {
        assert_eq!(probe(2), Ok(()));
    }

    #[test]
    fn each_fault_has_its_remedy() {
        for (errno, remedy) in [
            (libc::EPERM, "seccomp"),
            (libc::ENOSYS, "kernel"),
            (libc::EMFILE, "open files"),
            (libc::ENOMEM, "locked memory"),
        ] {
            let missing = io_uring_missing(&io::Error::from_raw_os_error(errno));
            assert!(missing.to_string().contains(remedy), "{missing}");
        }
        let missing = memlock_missing(64 << 10, 1).unwrap();
        assert!(missing.to_string().starts_with("only 65536 bytes"), "{missing}");
        assert_eq!(memlock_missing(MEMLOCK_NEEDED, 1), None);
        assert!(memlock_missing(MEMLOCK_NEEDED, 2).is_some());
        assert_eq!(memlock_missing(libc::RLIM_INFINITY, 1000), None);
    }
}
