//! A child process that does not outlive its test.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::Duration;

use super::wait_for;

/// A running program; its output goes to a file that failing tests print.
pub struct Process {
    child: Child,
    log: PathBuf,
}

/// A command to start, and where its child goes.
type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// A thread that starts children and lives as long as the test process: `PR_SET_PDEATHSIG` watches the
/// thread that started a child, and the threads of tests end with their tests.
pub type Spawner = Mutex<mpsc::Sender<Order>>;

/// `prepare` runs on the new thread first: what it sets for its thread, children inherit.
pub fn spawner(prepare: fn()) -> Spawner {
    let (orders, inbox) = mpsc::channel::<Order>();
    std::thread::spawn(move || {
        prepare();
        for (mut command, reply) in inbox {
            let _ = reply.send(command.spawn());
        }
    });
    Mutex::new(orders)
}

fn spawn(on: &Spawner, command: Command) -> io::Result<Child> {
    let (reply, child) = mpsc::channel();
    let sent = on.lock().unwrap_or_else(PoisonError::into_inner).send((command, reply));
    sent.expect("the spawner lives");
    child.recv().expect("the spawner answers")
}

fn anything() -> &'static Spawner {
    static SPAWNER: OnceLock<Spawner> = OnceLock::new();
    SPAWNER.get_or_init(|| spawner(|| {}))
}

impl Process {
    /// Takes the command: what is left in its place starts nothing.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        Self::start_on(anything(), command, log)
    }

    pub fn start_on(spawner: &Spawner, command: &mut Command, log: &Path) -> Self {
        let out = File::create(log).expect("a log file");
        let errors = out.try_clone().expect("a second handle");
        // A test process that dies without unwinding takes its children with it.
        use std::os::unix::process::CommandExt;
        // SAFETY: prctl is async-signal-safe and touches only the child's own attributes.
        unsafe {
            command.pre_exec(|| {
                if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0 {
                    Ok(())
                } else {
                    Err(io::Error::last_os_error())
                }
            });
        }
        command.stdin(Stdio::null()).stdout(out).stderr(errors);
        let what = format!("{command:?}");
        let child = spawn(spawner, std::mem::replace(command, Command::new("true")))
            .unwrap_or_else(|error| panic!("cannot start {what}: {error}"));
        Self { child, log: log.to_owned() }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of ours")
    }

    /// Waits for the end; panics with the log when it does not come.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let log = self.log.clone();
        let mut status = None;
        let child = &mut self.child;
        wait_for(&format!("the end of a process (log: {})", log.display()), limit, || {
            status = child.try_wait().expect("a child of ours");
            status.is_some()
        });
        status.expect("it ended")
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        // SAFETY: sends a signal to a child that has not been waited for.
        unsafe { libc::kill(self.child.id() as libc::pid_t, libc::SIGTERM) };
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("--- {} (last lines)", self.log.display());
            for line in tail.iter().rev() {
                eprintln!("{line}");
            }
        }
    }
}
