//! One core: takes commands, runs its tasks, reports their states.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_api::error::ConnectError;
use millrace_net::account::Account;
use millrace_net::rt::panic_message;
use millrace_net::{log_context, rt};

use crate::command::{Command, Report, TaskId, TaskSpec, TaskState};
use crate::control::Control;
use crate::metrics::{Asking, CoreSnapshot, TaskMetrics};
use crate::reporter::Reporter;
use crate::tenancy::{Life, contained};

/// Time beyond `task.shutdown.graceful.timeout.ms` for leaving groups and closing connections.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(4);

/// Tasks that run on this core, each life of a task by its generation.
type Tasks = Rc<RefCell<HashMap<(TaskId, u64), Running>>>;

struct Running {
    control: Rc<Control>,
    grace: Duration,
}

/// What the tasks of this core measured; a task that ended stays until it is stopped or started
/// again.
type Measured = Rc<RefCell<BTreeMap<TaskId, Rc<TaskMetrics>>>>;

/// The core's main future; ends after [`Command::Shutdown`], when every task has ended or had its time.
pub(crate) async fn run(
    cpu: usize,
    commands: flume::Receiver<Command>,
    reports: flume::Sender<Report>,
) {
    // Commands must be heard while tasks are busy: they have a queue of their own.
    rt::spawn_urgent(command_loop(cpu, commands, reports)).await;
}

async fn command_loop(
    cpu: usize,
    commands: flume::Receiver<Command>,
    reports: flume::Sender<Report>,
) {
    let tasks: Tasks = Rc::default();
    let measured: Measured = Rc::default();
    while let Ok(command) = commands.recv_async().await {
        match command {
            Command::Start(spec, life) => start(*spec, life, &tasks, &measured, &reports),
            Command::Stop(id) => stop(&tasks, &measured, &id),
            Command::Pause(id) => set_paused(&tasks, &id, true),
            Command::Resume(id) => set_paused(&tasks, &id, false),
            Command::Measure(asking) => measure(cpu, &measured, asking).await,
            Command::Shutdown => break,
        }
    }
    if rt::given_up() {
        // Its tasks live on elsewhere: they are dropped as they are.
        return;
    }
    let mut patience = Duration::ZERO;
    for running in tasks.borrow().values() {
        running.control.stop(running.grace);
        patience = patience.max(running.grace);
    }
    let limit = Instant::now() + patience + LAST_WORDS;
    while !tasks.borrow().is_empty() {
        if Instant::now() >= limit {
            let left: Vec<String> = tasks.borrow().keys().map(|(id, _)| id.to_string()).collect();
            tracing::error!("tasks did not stop in time and are left behind: {}", left.join(", "));
            return;
        }
        rt::sleep(Duration::from_millis(5)).await;
    }
}

fn lives<'a>(
    tasks: &'a HashMap<(TaskId, u64), Running>,
    id: &'a TaskId,
) -> impl Iterator<Item = &'a Running> {
    tasks.iter().filter(move |((task, _), _)| task == id).map(|(_, running)| running)
}

fn stop(tasks: &Tasks, measured: &Measured, id: &TaskId) {
    let tasks = tasks.borrow();
    let mut live = false;
    for running in lives(&tasks, id) {
        running.control.stop(running.grace);
        live = true;
    }
    if !live {
        measured.borrow_mut().remove(id);
    }
}

/// Copies what the tasks measured, and lets others run between two tasks.
async fn measure(cpu: usize, measured: &Measured, asking: Asking) {
    let all: Vec<Rc<TaskMetrics>> = measured.borrow().values().cloned().collect();
    let mut tasks = Vec::with_capacity(all.len());
    for task in all {
        tasks.push(task.snapshot(asking.scope));
        rt::yield_if_needed().await;
    }
    let _ = asking.reply.try_send(CoreSnapshot { cpu, tasks });
}

fn set_paused(tasks: &Tasks, id: &TaskId, paused: bool) {
    for running in lives(&tasks.borrow(), id) {
        running.control.pause(paused);
    }
}

fn start(
    spec: TaskSpec,
    life: Arc<Life>,
    tasks: &Tasks,
    measured: &Measured,
    reports: &flume::Sender<Report>,
) {
    if life.has_ended() {
        // It goes on as another life: this core took the place of one that was lost meanwhile.
        return;
    }
    let control = Control::new(spec.target == crate::command::TargetState::Paused);
    let grace = crate::settings::graceful_shutdown(&spec.worker);
    if life.is_cancelled() {
        control.stop(grace);
    }
    let name = (spec.id.clone(), spec.generation);
    let running = Running { control: Rc::clone(&control), grace };
    tasks.borrow_mut().insert(name.clone(), running);
    let tasks = Rc::clone(tasks);
    let account = Rc::new(Account::open(life.number, life.bound.most()));
    let metrics = TaskMetrics::new(spec.id.clone(), spec.generation, &spec.worker);
    let metrics = Rc::new(metrics.with_account(Rc::clone(&account)));
    measured.borrow_mut().insert(spec.id.clone(), Rc::clone(&metrics));
    let measured = Rc::clone(measured);
    let reporter = Reporter::new(metrics, reports.clone(), Arc::clone(&life));
    let context = log_context::of_task(&spec.id.connector, spec.id.task);
    let whole_life = async move {
        // A task that is restarted may still be ending its earlier life.
        let earlier = |tasks: &Tasks| {
            tasks.borrow().keys().any(|(id, generation)| *id == name.0 && *generation < name.1)
        };
        while earlier(&tasks) {
            rt::sleep(Duration::from_millis(5)).await;
        }
        let end = run_task(spec, control, reporter.clone(), &account, &life).await;
        if end == TaskState::Unassigned {
            forget(&measured, &name);
        }
        life.end();
        reporter.state(end);
        tasks.borrow_mut().remove(&name);
    };
    rt::spawn(log_context::within(context, whole_life)).detach();
}

/// Drops what a task measured that was stopped, unless a later life has taken its place.
fn forget(measured: &Measured, life: &(TaskId, u64)) {
    let mut measured = measured.borrow_mut();
    if measured.get(&life.0).is_some_and(|known| known.generation == life.1) {
        measured.remove(&life.0);
    }
}

/// Runs one task to its end; whatever goes wrong in it, a panic included, ends it alone.
async fn run_task(
    spec: TaskSpec,
    control: Rc<Control>,
    reporter: Reporter,
    account: &Account,
    life: &Life,
) -> TaskState {
    let id = spec.id.clone();
    let task = Box::pin(crate::task::run(spec, control, reporter));
    match contained(task, account, life.bound).await {
        Ok(Ok(state)) => state,
        Ok(Err(error)) => {
            tracing::error!(task = %id, "{}", error.trace());
            TaskState::Failed(error.trace())
        }
        Err(panic) => {
            let text = panic_message(&*panic);
            let error = ConnectError::fatal(format!("the task panicked: {text}"));
            tracing::error!(task = %id, "{}", error.message);
            TaskState::Failed(error.trace())
        }
    }
}
