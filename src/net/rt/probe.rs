//! What the engine needs of the machine, asked before anything starts.

use std::fmt;

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

/// Tries io_uring and looks at the limit on locked memory.
pub fn probe() -> Result<(), Vec<Missing>> {
    let missing: Vec<_> = [probe_io_uring(), probe_memlock()].into_iter().flatten().collect();
    if missing.is_empty() { Ok(()) } else { Err(missing) }
}

fn probe_io_uring() -> Option<Missing> {
    // struct io_uring_params is 120 bytes of plain data; zero asks for the defaults.
    let mut params = [0u64; 15];
    // SAFETY: the kernel reads and writes at most the 120 bytes of `params`, which outlive the call.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 8, params.as_mut_ptr()) };
    if fd >= 0 {
        // SAFETY: `fd` is the descriptor that the kernel has just made and nobody else knows.
        unsafe { libc::close(fd as libc::c_int) };
        return None;
    }
    let error = std::io::Error::last_os_error();
    let remedy = match error.raw_os_error() {
        Some(libc::EPERM) => {
            "allow io_uring_setup, io_uring_enter and io_uring_register in the container's seccomp \
             profile and set the sysctl kernel.io_uring_disabled to 0"
        }
        Some(libc::ENOSYS) => "use a Linux kernel of 5.8 or newer",
        _ => "raise the limit on locked memory and open files",
    };
    Some(Missing { what: format!("io_uring cannot be used here ({error})"), remedy })
}

fn probe_memlock() -> Option<Missing> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel fills the one struct it is given.
    let answer = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) };
    if answer == 0 && limit.rlim_cur < MEMLOCK_NEEDED {
        return Some(Missing {
            what: format!("only {} bytes of memory may be locked", limit.rlim_cur),
            remedy: "raise it to 512 KiB a core or more (ulimit -l, LimitMEMLOCK=)",
        });
    }
    None
}
