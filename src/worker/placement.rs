//! Which task is on which core, and what becomes of the tasks of a core that is lost.
//!
//! A core is lost when a task does not give it back, when the allocator has stopped it, or when a
//! panic that nobody caught has ended it. Then the task whose turn it was fails, a fresh core takes
//! the place, and the others start anew there, from what they have committed: they cannot be moved,
//! since everything of a task belongs to its core's thread. Nobody but the sender of reports hears of
//! it: the tasks keep their generations.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use millrace_api::error::ConnectError;
use millrace_net::rt::{CoreOptions, CoreThread, RuntimeChoice, Turn, start_core};

use crate::command::{Command, Report, TargetState, TaskId, TaskSpec, TaskState};
use crate::engine::EngineOptions;
use crate::metrics::LostCores;
use crate::settings::{MAX_BLOCK, TASK_MEMORY, graceful_shutdown};
use crate::tenancy::{Life, MemoryBound};

/// Commands that a core's mailbox holds before the sender waits.
const MAILBOX: usize = 1024;

/// Threads of lost cores that may be left behind at once; what they hold is lost as long as they are.
pub(crate) const MOST_LOST: usize = 8;

/// Failed tasks whose members are remembered; a session of the group ends by itself, too.
const MOST_MEMBERS: usize = 1024;

/// All cores and what is on them.
pub(crate) struct Placement {
    options: EngineOptions,
    reports: flume::Sender<Report>,
    cores: Vec<Core>,
    placed: HashMap<TaskId, Placed>,
    /// Members of consumer groups that failed tasks were, for those tasks' next lives.
    members: HashMap<TaskId, String>,
    /// Threads of lost cores that have not ended.
    lost: Vec<CoreThread>,
    lost_total: u64,
    numbers: u32,
    /// The longest time that a task may take to stop.
    grace: Duration,
}

struct Core {
    mailbox: flume::Sender<Command>,
    thread: CoreThread,
    tasks: usize,
    /// Tasks that were told to stop and may not have done so.
    leaving: Vec<(TaskId, u64, Arc<Life>)>,
    /// The turn that was seen last, and for how long it has been the same.
    seen: (Turn, Duration),
    /// It was said that this turn lasts too long, and of whom.
    told: Option<Option<(TaskId, u64)>>,
}

struct Placed {
    core: usize,
    /// As wanted now: paused or not.
    spec: TaskSpec,
    life: Arc<Life>,
}

/// Why a core is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// One poll took so long.
    Blocked(Duration),
    /// The allocator stopped it at so many bytes.
    Memory(usize),
    /// A panic ended it.
    Died,
}

/// A command on its way to the core at that place.
pub(crate) type Delivery = (usize, Command);

/// What is to be done and said after a core was lost.
pub(crate) struct Loss {
    pub deliveries: Vec<Delivery>,
    pub reports: Vec<Report>,
    pub what: String,
}

impl Placement {
    /// Starts the cores.
    pub(crate) fn start(
        options: &EngineOptions,
        reports: flume::Sender<Report>,
    ) -> io::Result<Self> {
        let mut placement = Self {
            options: options.clone(),
            reports,
            cores: Vec::with_capacity(options.cpus.len()),
            placed: HashMap::new(),
            members: HashMap::new(),
            lost: Vec::new(),
            lost_total: 0,
            numbers: 0,
            grace: Duration::ZERO,
        };
        for at in 0..options.cpus.len() {
            let core = placement.core(at)?;
            core.thread.watch().allow_stop(true);
            placement.cores.push(core);
        }
        Ok(placement)
    }

    fn core(&self, at: usize) -> io::Result<Core> {
        let cpu = self.options.cpus[at];
        let (mailbox, commands) = flume::bounded(MAILBOX);
        let reports = self.reports.clone();
        let mut options = CoreOptions::new(format!("core-{cpu}"), Some(cpu));
        options.spin = Duration::from_micros(self.options.spin_us);
        options.runtime = self.options.runtime;
        let thread = start_core(options, move || crate::core::run(cpu, commands, reports))?;
        let seen = (Turn::default(), Duration::ZERO);
        Ok(Core { mailbox, thread, tasks: 0, leaving: Vec::new(), seen, told: None })
    }

    pub(crate) fn reports(&self) -> &flume::Sender<Report> {
        &self.reports
    }

    /// `None`: the engine ends.
    pub(crate) fn mailbox(&self, at: usize) -> Option<&flume::Sender<Command>> {
        self.cores.get(at).map(|core| &core.mailbox)
    }

    pub(crate) fn mailboxes(&self) -> impl Iterator<Item = &flume::Sender<Command>> {
        self.cores.iter().map(|core| &core.mailbox)
    }

    /// Places a task on the core with the fewest.
    pub(crate) fn place(&mut self, spec: TaskSpec) -> Delivery {
        // A task that failed or finished is still counted where it was.
        if let Some(before) = self.placed.remove(&spec.id) {
            self.cores[before.core].tasks -= 1;
            self.keep_member(&spec.id, &before.life);
        }
        let member = self.members.remove(&spec.id);
        self.grace = self.grace.max(graceful_shutdown(&spec.worker));
        let core = (0..self.cores.len()).min_by_key(|&at| self.cores[at].tasks).unwrap_or(0);
        self.cores[core].tasks += 1;
        let bound = MemoryBound::of(&spec.worker);
        let life = Life::new(next(&mut self.numbers), bound, member);
        let command = Command::Start(Box::new(spec.clone()), Arc::clone(&life));
        self.placed.insert(spec.id.clone(), Placed { core, spec, life });
        (core, command)
    }

    /// Takes a task off its core.
    pub(crate) fn remove(&mut self, id: &TaskId) -> Option<Delivery> {
        let Placed { core: at, spec, life } = self.placed.remove(id)?;
        life.cancel();
        self.keep_member(id, &life);
        let core = &mut self.cores[at];
        core.tasks -= 1;
        core.leaving.retain(|(_, _, life)| !life.has_ended());
        if !life.has_ended() {
            core.leaving.push((id.clone(), spec.generation, life));
        }
        Some((at, Command::Stop(id.clone())))
    }

    /// Notes which member of its group a task was that ended without leaving it.
    fn keep_member(&mut self, id: &TaskId, life: &Life) {
        if let Some(member) = life.member().filter(|_| life.has_ended()) {
            if self.members.len() >= MOST_MEMBERS {
                self.members.clear();
            }
            self.members.insert(id.clone(), member);
        }
    }

    /// Pauses a task or lets it go on.
    pub(crate) fn set_target(&mut self, id: &TaskId, target: TargetState) -> Option<Delivery> {
        let placed = self.placed.get_mut(id)?;
        placed.spec.target = target;
        let id = id.clone();
        let paused = target == TargetState::Paused;
        let command = if paused { Command::Pause(id) } else { Command::Resume(id) };
        Some((placed.core, command))
    }

    pub(crate) fn lost(&self) -> LostCores {
        let left = self.lost.iter().filter(|thread| !thread.is_finished()).count() as u64;
        LostCores { total: self.lost_total, left }
    }

    /// Whether one more thread may be left behind.
    pub(crate) fn has_room(&mut self) -> bool {
        self.lost.retain(|thread| !thread.is_finished());
        self.lost.len() < MOST_LOST
    }

    /// Looks at all cores; `passed` is the time since the last look. Gives those that are lost, or
    /// would be if there were room, once each.
    pub(crate) fn look(&mut self, passed: Duration) -> Vec<(usize, Cause)> {
        let (room, limit) = (self.has_room(), self.options.max_block);
        let mut found = Vec::new();
        for (at, core) in self.cores.iter_mut().enumerate() {
            let watch = core.thread.watch();
            watch.allow_stop(room);
            let turn = watch.turn();
            if turn != core.seen.0 {
                core.seen = (turn, Duration::ZERO);
                if let Some(Some((id, generation))) = core.told.take() {
                    let over = Report::Trouble { id, generation, what: None };
                    let _ = self.reports.try_send(over);
                }
            } else if turn.account != 0 {
                core.seen.1 += passed;
            }
            let held = core.seen.1;
            if core.thread.is_finished() {
                found.push((at, Cause::Died));
            } else if let Some(bytes) = watch.stopped_at() {
                found.push((at, Cause::Memory(bytes)));
            } else if limit.is_some_and(|limit| held >= limit) {
                found.push((at, Cause::Blocked(held)));
            }
        }
        found
    }

    /// The task whose turn it is, or was when its core was lost: name, generation, life.
    fn holder(&self, at: usize) -> Option<(TaskId, u64, Arc<Life>)> {
        let number = self.cores[at].thread.watch().turn().account;
        let placed = self.placed.values().filter(|placed| placed.core == at);
        let placed = placed.map(|placed| (&placed.spec.id, placed.spec.generation, &placed.life));
        let leaving = self.cores[at].leaving.iter().map(|(id, of, life)| (id, *of, life));
        let mut all = placed.chain(leaving);
        let (id, generation, life) = all.find(|(_, _, life)| life.number == number)?;
        Some((id.clone(), generation, Arc::clone(life)))
    }

    /// Says, once a turn, that a core cannot be given up though it is lost.
    pub(crate) fn tell(&mut self, at: usize, cause: &Cause, why: &str) {
        if self.cores[at].told.is_some() {
            return;
        }
        let (cpu, holder) = (self.options.cpus[at], self.holder(at));
        let bound = holder.as_ref().map(|(_, _, life)| life.bound);
        let what = format!(
            "{}; but {why}, so that the core stays as it is",
            self.trace(cpu, cause, bound)
        );
        tracing::error!(core = cpu, "{what}");
        let holder = holder.map(|(id, generation, _)| (id, generation));
        if let Some((id, generation)) = holder.clone() {
            let _ = self.reports.try_send(Report::Trouble { id, generation, what: Some(what) });
        }
        self.cores[at].told = Some(holder);
    }

    /// Puts a fresh core in the place of a lost one.
    ///
    /// # Errors
    /// There is no fresh core to be had; everything is as before.
    pub(crate) fn replace(&mut self, at: usize, cause: &Cause) -> io::Result<Loss> {
        let fresh = self.core(at).or_else(|error| {
            // A ring needs locked memory, and that of a lost core is not back.
            self.options.runtime = Some(RuntimeChoice::Epoll);
            tracing::warn!(%error, "no other core on this engine can be started; trying epoll");
            self.core(at)
        })?;
        let holder = self.holder(at);
        let Core { thread, tasks, leaving, .. } = std::mem::replace(&mut self.cores[at], fresh);
        self.cores[at].tasks = tasks;
        let number = thread.watch().turn().account;
        let trace = self.let_go(at, thread, cause, holder.as_ref().map(|(.., life)| life.bound));
        self.lost_total += 1;
        let room = self.has_room();
        self.cores[at].thread.watch().allow_stop(room);
        // Of a panic that is nobody's, everybody would only die again.
        let guilty = (*cause != Cause::Died || holder.is_some()).then_some(number);
        let mut loss = self.start_anew(at, guilty, &trace);
        for (id, generation, life) in leaving.into_iter().filter(|(.., life)| !life.has_ended()) {
            let state = if life.number == number { failed(&trace) } else { TaskState::Unassigned };
            loss.reports.push(Report::State { id, generation, state });
        }
        let whose = holder.map_or_else(|| "no task".to_owned(), |(id, ..)| id.to_string());
        let others = loss.deliveries.len();
        loss.what = format!("{whose}: {trace}. {others} other tasks of the core start anew");
        Ok(loss)
    }

    /// Lets the lost core's thread end by itself, as it has, or will when it comes back; why it is lost.
    fn let_go(
        &mut self,
        at: usize,
        thread: CoreThread,
        cause: &Cause,
        bound: Option<MemoryBound>,
    ) -> String {
        let cpu = self.options.cpus[at];
        if *cause == Cause::Died {
            thread.watch().bury();
            let why = thread.join().err().unwrap_or_else(|| "it ended".to_owned());
            return died(cpu, &why);
        }
        thread.watch().give_up(&format!("lost-{cpu}"));
        self.lost.push(thread);
        self.trace(cpu, cause, bound)
    }

    /// New lives for the tasks of a core that was lost, but for the `guilty` one, which fails; `None`:
    /// all fail.
    fn start_anew(&mut self, at: usize, guilty: Option<u32>, trace: &str) -> Loss {
        let mut loss = Loss { deliveries: Vec::new(), reports: Vec::new(), what: String::new() };
        for placed in self.placed.values_mut().filter(|placed| placed.core == at) {
            if placed.life.has_ended() {
                continue;
            }
            // A start of it that is still on its way is void.
            placed.life.end();
            if guilty.is_none_or(|number| placed.life.number == number) {
                let TaskSpec { id, generation, .. } = &placed.spec;
                let (id, generation, state) = (id.clone(), *generation, failed(trace));
                loss.reports.push(Report::State { id, generation, state });
                continue;
            }
            let member = placed.life.member();
            placed.life = Life::new(next(&mut self.numbers), placed.life.bound, member);
            let command = Command::Start(Box::new(placed.spec.clone()), Arc::clone(&placed.life));
            loss.deliveries.push((at, command));
        }
        loss
    }

    /// What the status of the task says that has cost its core.
    fn trace(&self, cpu: usize, cause: &Cause, bound: Option<MemoryBound>) -> String {
        match cause {
            Cause::Blocked(held) => {
                let limit = self.options.max_block.unwrap_or_default().as_millis();
                format!(
                    "the task held core {cpu} for {} ms and let nothing else run, longer than \
                     {MAX_BLOCK}={limit}; it is given up where it stands, with its core. Work \
                     that blocks or computes for long belongs on a thread of its own; raise the key \
                     if the task must have the time, then restart it",
                    held.as_millis()
                )
            }
            Cause::Memory(held) => {
                let bound = bound.map_or(0, MemoryBound::bytes);
                format!(
                    "the task held {held} bytes of memory and took more without letting anything \
                     else run, far more than {TASK_MEMORY}={bound}; it is given up where it stands, \
                     with core {cpu} and that memory. Raise the bound if the task needs that much, \
                     then restart it"
                )
            }
            Cause::Died => died(cpu, "it ended"),
        }
    }

    /// The cores, and how long they may take to end.
    pub(crate) fn take(&mut self) -> (Vec<(flume::Sender<Command>, CoreThread)>, Duration) {
        let cores = std::mem::take(&mut self.cores);
        (cores.into_iter().map(|core| (core.mailbox, core.thread)).collect(), self.grace)
    }
}

fn failed(trace: &str) -> TaskState {
    TaskState::Failed(ConnectError::fatal(trace).trace())
}

fn died(cpu: usize, why: &str) -> String {
    format!("core {cpu} died of a panic: {why}")
}

/// Numbers of lives: never 0, which is nobody's.
fn next(numbers: &mut u32) -> u32 {
    *numbers = numbers.checked_add(1).unwrap_or(1);
    *numbers
}
