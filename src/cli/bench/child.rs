//! A measured process: started in a group of its own, its figures read from the kernel, and never
//! left behind.

use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::super::{Failure, broker::rest};

/// CPU time in user and in kernel mode.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cpu {
    pub user: Duration,
    pub system: Duration,
}

impl Cpu {
    pub(super) fn total(self) -> Duration {
        self.user + self.system
    }

    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }
}

/// How long a process may take to end after SIGTERM.
const END: Duration = Duration::from_secs(30);

pub(super) struct Process {
    child: Child,
    log: PathBuf,
    pub started: Instant,
    /// What `wait4` told; nobody may wait for it again.
    ended: Option<(ExitStatus, Cpu)>,
}

impl Process {
    /// Starts it with its output in `log`. Ctrl-C at the terminal does not reach it; when this
    /// process dies, the kernel ends it.
    pub(super) fn start(mut command: Command, log: &Path) -> Result<Self, Failure> {
        let failed = |error: std::io::Error, what: &str| {
            Failure::startup(format!("{what} cannot be started: {error}"))
        };
        let program = command.get_program().to_string_lossy().into_owned();
        let out = File::create(log).map_err(|error| failed(error, &log.display().to_string()))?;
        let errors = out.try_clone().map_err(|error| failed(error, &program))?;
        command.stdin(Stdio::null()).stdout(out).stderr(errors).process_group(0);
        // SAFETY: prctl is async-signal-safe and touches only the child's own attributes.
        unsafe {
            command.pre_exec(|| {
                if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0 {
                    Ok(())
                } else {
                    Err(std::io::Error::last_os_error())
                }
            });
        }
        let started = Instant::now();
        let child = command.spawn().map_err(|error| failed(error, &program))?;
        Ok(Self { child, log: log.to_owned(), started, ended: None })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The log's last lines, for messages.
    pub(super) fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// `Err` if it has ended, with its last words.
    pub(super) fn must_live(&mut self, what: &str) -> Result<(), Failure> {
        match self.ended() {
            None => Ok(()),
            Some(status) => Err(Failure::new(
                1,
                format!("{what} ended by itself ({status}):\n{}", self.last_words()),
            )),
        }
    }

    /// Looks without waiting.
    fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.reap(libc::WNOHANG);
        }
        self.ended.map(|(status, _)| status)
    }

    /// CPU time so far, in steps of the kernel's clock tick.
    pub(super) fn cpu(&self) -> Cpu {
        std::fs::read_to_string(format!("/proc/{}/stat", self.id()))
            .ok()
            .and_then(|stat| cpu_of(&stat))
            .unwrap_or_default()
    }

    /// `VmRSS`, `VmHWM` and the like, in bytes. The high-water mark is read here because that of
    /// `wait4` begins with what the parent had when it forked.
    pub(super) fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()));
        status.ok().and_then(|status| memory_of(&status, field)).unwrap_or(0)
    }

    /// SIGTERM, then SIGKILL. The CPU time of its whole life, to the microsecond.
    pub(super) fn end(mut self) -> Cpu {
        self.signal(libc::SIGTERM);
        let asked = Instant::now();
        while self.ended().is_none() && asked.elapsed() < END {
            rest(Duration::from_millis(2));
        }
        self.kill();
        self.ended.map(|(_, cpu)| cpu).unwrap_or_default()
    }

    /// SIGKILL, unless it has ended.
    fn kill(&mut self) {
        if self.ended().is_none() {
            self.signal(libc::SIGKILL);
            self.reap(0);
        }
    }

    fn signal(&mut self, signal: libc::c_int) {
        if self.ended().is_none() {
            // SAFETY: sends a signal to a child that has not been waited for.
            unsafe { libc::kill(self.id() as libc::pid_t, signal) };
        }
    }

    fn reap(&mut self, options: libc::c_int) {
        let mut status = 0;
        // SAFETY: rusage is plain data, for which zero is a value.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        let id = self.id() as libc::pid_t;
        // SAFETY: a child that nobody else waits for; both pointers are to live locals.
        let found = unsafe { libc::wait4(id, &mut status, options, &mut usage) };
        if found != 0 {
            let cpu = Cpu { user: duration(usage.ru_utime), system: duration(usage.ru_stime) };
            self.ended = Some((ExitStatus::from_raw(status), cpu));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn duration(time: libc::timeval) -> Duration {
    Duration::from_secs(time.tv_sec.max(0) as u64)
        + Duration::from_micros(time.tv_usec.max(0) as u64)
}

/// From `/proc/<pid>/stat`, whose ticks are hundredths of a second on every Linux.
fn cpu_of(stat: &str) -> Option<Cpu> {
    let after_name = stat.rsplit(')').next()?;
    let mut fields = after_name.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let (user, system) = (ticks()?, ticks()?);
    Some(Cpu { user: Duration::from_millis(user * 10), system: Duration::from_millis(system * 10) })
}

/// From `/proc/<pid>/status`.
fn memory_of(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_figures_are_read() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194304 1 2 3 4 1234 56 0 0 20 0 1 0 9 9 9";
        let cpu = cpu_of(stat).unwrap();
        assert_eq!(cpu.user, Duration::from_millis(12_340));
        assert_eq!(cpu.system, Duration::from_millis(560));
        assert_eq!(cpu_of("rubbish"), None);
        let status = "Name:\tx\nVmHWM:\t   10000 kB\nVmRSS:\t    8000 kB\n";
        assert_eq!(memory_of(status, "VmHWM"), Some(10_240_000));
        assert_eq!(memory_of(status, "VmRSS"), Some(8_192_000));
        assert_eq!(memory_of(status, "Vm"), None);
    }

    #[test]
    fn a_process_is_measured_and_its_end_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo words; sleep 100"]);
        let mut child = Process::start(command, &dir.path().join("log")).unwrap();
        assert!(child.must_live("it").is_ok());
        assert!(child.memory("VmRSS") > 0);
        assert!(child.end().total() < Duration::from_secs(50));
        let mut command = Command::new("sh");
        command.args(["-c", "echo words; exit 3"]);
        let mut child = Process::start(command, &dir.path().join("log")).unwrap();
        let failure = loop {
            if let Err(failure) = child.must_live("it") {
                break failure;
            }
        };
        assert!(failure.message.contains("words"), "{failure:?}");
        let mut command = Command::new("/no/such/program");
        command.arg("x");
        assert!(Process::start(command, &dir.path().join("log")).is_err());
    }
}
