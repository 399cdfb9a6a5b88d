//! What the control plane and the data plane say to each other: plain data over bounded mailboxes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use millrace_api::Config;
use millrace_api::plugin::Plugins;
use millrace_converters::json::ShapeCounts;

use crate::metrics::Asking;
use crate::tenancy::Life;

/// `<connector>-<task>`, as Kafka Connect names a task.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId {
    pub connector: Arc<str>,
    pub task: u32,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.connector, self.task)
    }
}

/// `TargetState`: what the user wants of a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetState {
    Started,
    Paused,
    Stopped,
}

/// Everything that a core needs to run one task.
#[derive(Clone)]
pub struct TaskSpec {
    pub id: TaskId,
    /// Told apart from an earlier life of the same task; reports carry it.
    pub generation: u64,
    /// The worker's properties, as in the file, config providers resolved.
    pub worker: Arc<Config>,
    /// The connector's configuration, config providers resolved.
    pub connector: Arc<Config>,
    /// What `Connector::task_configs` gave for this task (plus `task.class`, `topics`).
    pub task: Arc<Config>,
    pub plugins: Arc<Plugins>,
    /// [`TargetState::Started`] or [`TargetState::Paused`].
    pub target: TargetState,
    pub offsets: Arc<dyn SourceOffsetStore>,
    /// For a bulk job: read each partition up to its end offset of now (or as given), make
    /// everything durable, and end well.
    pub bounds: Option<Bounds>,
    /// A source task whose offsets are part of its transactions; `None` for all others.
    pub exactly_once: Option<ExactlyOnce>,
}

/// What a source task with exactly-once delivery is told beside its settings.
#[derive(Clone)]
pub struct ExactlyOnce {
    /// `<group.id>-<connector>-<task>`.
    pub transactional_id: String,
    /// What [`TaskSpec::offsets`] reads first.
    pub offsets_topic: String,
    /// `bootstrap.servers` of the cluster that it is in.
    pub offsets_servers: String,
    pub clearance: Arc<dyn Clearance>,
}

/// The last question before such a task starts. Called from the cores; must not block.
pub trait Clearance: Send + Sync {
    /// Asked when no earlier producer of the task can write any more. `done` is told once every offset
    /// stored before now can be read, if the task is still this worker's to run with the settings that
    /// it has; else why it may not start.
    fn ask(&self, id: &TaskId, generation: u64, done: Box<dyn FnOnce(Result<(), String>) + Send>);
}

/// Where a bulk job starts and ends, and which partitions are this task's: those whose place in the
/// sorted list of all partitions leaves `share.0` when divided by `share.1`.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounds {
    pub share: (u32, u32),
    /// `None`: the group's committed offsets, else the earliest.
    pub from: Option<Position>,
    /// `None`: the end offsets when the job starts.
    pub until: Option<Position>,
}

/// A place in every partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    Earliest,
    Latest,
    Offset(i64),
    /// Milliseconds since the epoch: the first record at or after it.
    Timestamp(i64),
}

/// Where source offsets are kept. Called from the cores; must not block for longer than a lock on
/// memory takes, so `put` only hands over and the answer comes through `done`.
pub trait SourceOffsetStore: Send + Sync {
    /// The stored value for `["<connector>",{partition}]`, both as the JVM's JSON bytes.
    fn get(&self, key: &[u8]) -> Option<Vec<u8>>;

    /// Store these; a `None` value forgets the key. `done` is called with an error's text or none.
    fn put(
        &self,
        entries: Vec<(Vec<u8>, Option<Vec<u8>>)>,
        done: Box<dyn FnOnce(Result<(), String>) + Send>,
    );

    /// Reads what was stored before now, as far as the herder has not seen to that itself; asked once,
    /// before a task's first `get`, when no earlier producer of it can write any more.
    fn catch_up(&self, done: Box<dyn FnOnce(Result<(), String>) + Send>) {
        done(Ok(()));
    }

    /// A task's own transaction has stored these; nobody waits for what follows from it.
    fn committed(&self, _entries: Vec<(Vec<u8>, Option<Vec<u8>>)>) {}
}

/// From the control plane to a core.
pub(crate) enum Command {
    /// With the life that it begins, made by the engine.
    Start(Box<TaskSpec>, Arc<Life>),
    /// Stop the task: commit what is durable, close, report [`TaskState::Unassigned`].
    Stop(TaskId),
    Pause(TaskId),
    Resume(TaskId),
    /// Answer with copies of what was counted and measured.
    Measure(Asking),
    /// Stop all tasks, then end the core.
    Shutdown,
}

/// A task's state as the status API shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskState {
    Running,
    Paused,
    /// With the Java-style trace.
    Failed(String),
    /// Stopped when asked.
    Unassigned,
    /// Ended by itself: a bulk job at its end offsets, a source that is exhausted.
    Finished,
}

/// From a core to the control plane.
#[derive(Clone, Debug)]
pub enum Report {
    State {
        id: TaskId,
        generation: u64,
        state: TaskState,
    },
    /// Cumulative counts of a task, a few times a second, more seldom on a core that has many, and at
    /// its end.
    Progress {
        id: TaskId,
        generation: u64,
        progress: Progress,
    },
    /// A retried fault that the user should see in the status or the log (broker away, …); `None`
    /// when it is over.
    Trouble {
        id: TaskId,
        generation: u64,
        what: Option<String>,
    },
}

/// Counts since the task's start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Records read from Kafka, or polled from the source.
    pub records_in: u64,
    /// Records handed to the sink, or acknowledged by Kafka.
    pub records_out: u64,
    /// Records that a transform or a tolerated error dropped.
    pub records_dropped: u64,
    /// Bytes of keys and values read (uncompressed).
    pub bytes_in: u64,
    /// JSON keys and values of a sink task that had a learned shape, and those that had none.
    pub shapes: ShapeCounts,
    /// By topic and partition: the next offset to read and the bulk job's end. Of a sink task
    /// without end, the partitions that records came from, with -1 for the end.
    pub partitions: BTreeMap<(String, i32), (i64, i64)>,
    /// Of a source task: records handed to the producer, by topic.
    pub topics: BTreeMap<String, u64>,
}
