//! A bulk job: tasks that run to an end, watched from the front door.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use millrace_worker::command::{Progress, Report, TaskId, TaskSpec, TaskState};
use millrace_worker::engine::Engine;

/// What the job has done, all tasks together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub records_in: u64,
    pub records_out: u64,
    pub records_dropped: u64,
    pub bytes_in: u64,
    /// Records between the positions and the ends.
    pub lag: u64,
    /// The partition with the most of them, and how many; `None` before any is known.
    pub furthest: Option<(String, i32, u64)>,
    /// What is being retried, if anything.
    pub trouble: Option<String>,
}

impl Tally {
    fn of(tasks: &BTreeMap<TaskId, Watched>) -> Self {
        let mut tally = Self::default();
        let mut furthest = None;
        for task in tasks.values() {
            tally.records_in += task.progress.records_in;
            tally.records_out += task.progress.records_out;
            tally.records_dropped += task.progress.records_dropped;
            tally.bytes_in += task.progress.bytes_in;
            for (name, (at, end)) in &task.progress.partitions {
                let lag = (end - at).max(0) as u64;
                tally.lag += lag;
                if furthest.is_none_or(|(_, most)| lag >= most) {
                    furthest = Some((name, lag));
                }
            }
            tally.trouble = tally.trouble.take().or_else(|| task.trouble.clone());
        }
        tally.furthest = furthest.map(|((topic, partition), lag)| (topic.clone(), *partition, lag));
        tally
    }
}

#[derive(Default)]
struct Watched {
    progress: Progress,
    trouble: Option<String>,
    ended: bool,
}

/// How it ended.
pub(crate) struct Outcome {
    pub tally: Tally,
    /// By topic and partition: next offset and end.
    pub partitions: BTreeMap<(String, i32), (i64, i64)>,
    pub elapsed: Duration,
    /// The first task's trace, when one failed.
    pub failure: Option<String>,
    /// The user asked to stop before the end.
    pub interrupted: bool,
}

/// Between two looks at the whole.
const TICK: Duration = Duration::from_millis(100);

/// Runs the tasks to their end; `tick` sees the tally about ten times a second.
pub(crate) fn run(
    mut engine: Engine,
    reports: &flume::Receiver<Report>,
    specs: Vec<TaskSpec>,
    stop: &Arc<AtomicBool>,
    mut tick: impl FnMut(&Tally),
) -> Outcome {
    let started = Instant::now();
    let mut tasks: BTreeMap<TaskId, Watched> =
        specs.iter().map(|spec| (spec.id.clone(), Watched::default())).collect();
    for spec in specs {
        engine.start_task(spec);
    }
    let mut failure = None;
    let mut stopping = false;
    let mut told = Instant::now();
    while tasks.values().any(|task| !task.ended) {
        if let Ok(report) = reports.recv_timeout(TICK) {
            take(report, &mut tasks, &mut failure);
            while let Ok(report) = reports.try_recv() {
                take(report, &mut tasks, &mut failure);
            }
        }
        // One failed task ends the job: the others commit what they have.
        if !stopping && (failure.is_some() || stop.load(Ordering::SeqCst)) {
            stopping = true;
            for id in tasks.keys() {
                engine.stop_task(id);
            }
        }
        // Not with each report: a thousand tasks bring thousands a second.
        if told.elapsed() >= TICK {
            told = Instant::now();
            tick(&Tally::of(&tasks));
        }
    }
    engine.shutdown();
    let interrupted = stopping && failure.is_none();
    let tally = Tally::of(&tasks);
    let partitions = tasks.into_values().flat_map(|task| task.progress.partitions).collect();
    Outcome { tally, partitions, elapsed: started.elapsed(), failure, interrupted }
}

fn take(report: Report, tasks: &mut BTreeMap<TaskId, Watched>, failure: &mut Option<String>) {
    match report {
        Report::State { id, state, .. } => {
            let Some(task) = tasks.get_mut(&id) else { return };
            match state {
                TaskState::Running | TaskState::Paused => {}
                TaskState::Finished | TaskState::Unassigned => task.ended = true,
                TaskState::Failed(trace) => {
                    task.ended = true;
                    failure.get_or_insert(trace);
                }
            }
        }
        Report::Progress { id, progress, .. } => {
            if let Some(task) = tasks.get_mut(&id) {
                task.progress = progress;
            }
        }
        Report::Trouble { id, what, .. } => {
            if let Some(task) = tasks.get_mut(&id) {
                task.trouble = what;
            }
        }
    }
}

/// CPU time of this process so far and its peak resident memory, from the kernel.
pub(crate) fn used() -> (Duration, u64) {
    let time = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec.max(0) as u64)
            + Duration::from_micros(time.tv_usec.max(0) as u64)
    };
    // SAFETY: rusage is plain data, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel fills the one struct it is given, a live local.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    (time(usage.ru_utime) + time(usage.ru_stime), usage.ru_maxrss.max(0) as u64 * 1024)
}
