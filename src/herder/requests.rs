//! The herder's mailbox: what can be asked of it, and what it answers.
//!
//! Everybody outside (REST, the command line) talks to a herder only through [`Mailbox`]; requests
//! are plain data, answers come through the [`Reply`] that rides with each.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_api::Config;
use millrace_api::source::OffsetMap;
use millrace_worker::command::{Progress, TargetState, TaskId, TaskState};
use serde::Serialize;
use serde::ser::SerializeStruct;
use serde_json::{Map, Value};

use crate::config_infos::ConfigInfos;
use crate::internal_requests::SessionKey;
use crate::metrics::WorkerMetrics;

/// What went wrong, as the REST API tells it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorStatus {
    BadRequest,
    Forbidden,
    NotFound,
    Conflict,
    Internal,
}

/// A refused or failed request; `message` is the one that Kafka Connect's clients match on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HerderError {
    pub status: ErrorStatus,
    pub message: String,
    /// Another worker is to be asked. REST forwards the request there (twice at most); where it may
    /// not, status and message are the answer.
    pub redirect: Option<Redirect>,
}

/// The worker that can answer: the leader, or the owner of what is to be restarted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Its advertised URL, with the slash at the end.
    pub url: Arc<str>,
}

impl HerderError {
    pub fn new(status: ErrorStatus, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), redirect: None }
    }

    /// This worker cannot answer, that one can; `None`: who can is not known just now.
    pub fn elsewhere(url: Option<Arc<str>>) -> Self {
        let message = match url {
            Some(_) => {
                "Cannot complete request because of a conflicting operation (e.g. worker rebalance)"
            }
            None => {
                "Cannot complete request momentarily due to no known leader URL, likely because a \
                 rebalance was underway."
            }
        };
        let redirect = url.map(|url| Redirect { url });
        Self { redirect, ..Self::new(ErrorStatus::Conflict, message) }
    }

    /// A rebalance is due, so that what this worker knows is stale.
    pub fn rebalance_needed() -> Self {
        Self::new(
            ErrorStatus::Conflict,
            "Cannot complete request momentarily due to stale configuration (typically caused by a \
             concurrent config change)",
        )
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(ErrorStatus::BadRequest, message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorStatus::NotFound, message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorStatus::Internal, message)
    }

    /// "Connector X not found".
    pub fn no_connector(name: &str) -> Self {
        Self::not_found(format!("Connector {name} not found"))
    }
}

impl std::fmt::Display for HerderError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for HerderError {}

/// An answer or why there is none.
pub type Answer<T> = Result<T, HerderError>;

/// The asker's end of one question; an asker that went away is no error.
pub struct Reply<T>(flume::Sender<Answer<T>>);

impl<T> Reply<T> {
    /// A reply and the receiver that its answer will come out of.
    pub fn new() -> (Self, flume::Receiver<Answer<T>>) {
        let (sender, receiver) = flume::bounded(1);
        (Self(sender), receiver)
    }

    pub fn send(self, answer: Answer<T>) {
        let _ = self.0.try_send(answer);
    }

    /// Two ends for one answer, of which the first counts: for work that may fail to start.
    pub(crate) fn shared(self) -> (Self, Self) {
        (Self(self.0.clone()), self)
    }
}

/// `ConnectorInfo`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectorInfo {
    pub name: Arc<str>,
    /// As submitted: placeholders unresolved.
    pub config: Config,
    pub tasks: Vec<ConnectorTaskId>,
    #[serde(rename = "type")]
    pub type_: &'static str,
}

/// `ConnectorTaskId`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectorTaskId {
    pub connector: Arc<str>,
    pub task: u32,
}

impl From<&TaskId> for ConnectorTaskId {
    fn from(id: &TaskId) -> Self {
        Self { connector: Arc::clone(&id.connector), task: id.task }
    }
}

/// `TaskInfo`: a task and its configuration as planned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaskInfo {
    pub id: ConnectorTaskId,
    pub config: Config,
}

/// State of a connector instance or of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateInfo {
    /// Of a task only.
    pub id: Option<u32>,
    /// `RUNNING`, `PAUSED`, `STOPPED`, `FAILED`, `UNASSIGNED` or `RESTARTING`.
    pub state: &'static str,
    pub trace: Option<String>,
    pub worker_id: Arc<str>,
    /// Of the plug-in, where the worker that runs it said so.
    pub version: Option<Cow<'static, str>>,
}

impl Serialize for StateInfo {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("StateInfo", 5)?;
        if let Some(id) = self.id {
            object.serialize_field("id", &id)?;
        }
        object.serialize_field("state", self.state)?;
        object.serialize_field("worker_id", &*self.worker_id)?;
        object.serialize_field("version", &self.version)?;
        if let Some(trace) = self.trace.as_ref().filter(|trace| !trace.is_empty()) {
            object.serialize_field("trace", trace)?;
        }
        object.end()
    }
}

/// `ConnectorStateInfo`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectorStateInfo {
    pub name: Arc<str>,
    pub connector: StateInfo,
    pub tasks: Vec<StateInfo>,
    #[serde(rename = "type")]
    pub type_: &'static str,
}

/// What a put did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// The connector did not exist before.
    pub created: bool,
    pub info: ConnectorInfo,
}

/// How a task fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskProgress {
    /// As last reported; a bulk job's task ends as [`TaskState::Finished`].
    pub state: Option<TaskState>,
    /// A retried fault that goes on.
    pub trouble: Option<String>,
    pub progress: Progress,
}

/// One partition and its offset.
pub type PartitionOffset = (OffsetMap, OffsetMap);

/// One entry of a change of offsets, as it came in the body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetChange {
    pub partition: Option<Map<String, Value>>,
    /// `None` resets the partition.
    pub offset: Option<Map<String, Value>>,
}

/// A configuration as a user gave it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Submitted {
    pub config: Config,
    /// Keys whose value was null, which is an error of each.
    pub nulls: Vec<String>,
}

impl From<Config> for Submitted {
    fn from(config: Config) -> Self {
        Self { config, nulls: Vec::new() }
    }
}

/// What a restart is to cover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestartScope {
    pub include_tasks: bool,
    pub only_failed: bool,
}

impl RestartScope {
    /// The old form: the connector instance, whatever its state.
    pub fn is_connector_only(self) -> bool {
        self == Self::default()
    }
}

/// What requests between workers are checked by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InternalAccess {
    /// The group's protocol is `sessioned`: requests without a good signature are refused. It is the
    /// present protocol that counts, not the configured one.
    pub signed: bool,
    /// `None` until the first key was read from the config topic: answer 503.
    pub key: Option<SessionKey>,
}

/// A question. Names are as the user wrote them, percent-decoded.
pub enum Request {
    Connectors(Reply<Vec<Arc<str>>>),
    Info {
        name: String,
        reply: Reply<ConnectorInfo>,
    },
    Status {
        name: String,
        reply: Reply<ConnectorStateInfo>,
    },
    TaskStatus {
        name: String,
        task: u32,
        reply: Reply<StateInfo>,
    },
    Tasks {
        name: String,
        reply: Reply<Vec<TaskInfo>>,
    },
    /// POST (`create_only`) or PUT. Answered when the connector started and its tasks are planned.
    Put {
        name: String,
        config: Submitted,
        create_only: bool,
        initial: Option<TargetState>,
        reply: Reply<Created>,
    },
    /// Merges into the configuration; `None` removes a key.
    Patch {
        name: String,
        changes: BTreeMap<String, Option<String>>,
        reply: Reply<ConnectorInfo>,
    },
    Delete {
        name: String,
        reply: Reply<()>,
    },
    Pause {
        name: String,
        reply: Reply<()>,
    },
    Resume {
        name: String,
        reply: Reply<()>,
    },
    Stop {
        name: String,
        reply: Reply<()>,
    },
    Restart {
        name: String,
        scope: RestartScope,
        reply: Reply<ConnectorStateInfo>,
    },
    RestartTask {
        name: String,
        task: u32,
        reply: Reply<()>,
    },
    Topics {
        name: String,
        reply: Reply<Vec<String>>,
    },
    ResetTopics {
        name: String,
        reply: Reply<()>,
    },
    Offsets {
        name: String,
        reply: Reply<Vec<PartitionOffset>>,
    },
    /// `None` resets everything. Answered with the message for the user.
    AlterOffsets {
        name: String,
        offsets: Option<Vec<OffsetChange>>,
        reply: Reply<String>,
    },
    /// `plugin` is the path's; the configuration must name the same class.
    Validate {
        plugin: String,
        config: Submitted,
        reply: Reply<ConfigInfos>,
    },
    /// `POST /connectors/{c}/tasks`, from the worker that runs the connector instance to the leader.
    /// REST has checked the signature by then, with what [`Request::InternalAccess`] says.
    PutTaskConfigs {
        name: String,
        tasks: Vec<Config>,
        reply: Reply<()>,
    },
    /// `PUT /connectors/{c}/fence`: fence the earlier tasks' producers; checked as the above.
    Fence {
        name: String,
        reply: Reply<()>,
    },
    /// What requests between workers are checked by, as of now.
    InternalAccess(Reply<InternalAccess>),
    /// `PUT /admin/loggers/{l}?scope=cluster`: for every worker, this one too, which hears of it
    /// through [`crate::HerderContext::logger_levels`]. `level` is checked and in upper case.
    SetLoggerLevel {
        namespace: String,
        level: String,
        reply: Reply<()>,
    },
    /// Latest counts of a connector's tasks.
    Progress {
        name: String,
        reply: Reply<BTreeMap<u32, TaskProgress>>,
    },
    /// What there is to count, with the cores' answers on their way.
    Metrics(Reply<WorkerMetrics>),
    /// Answered when the herder's loop comes round.
    Health(Reply<()>),
    /// Stops connectors and tasks; answered when all have ended.
    Shutdown(Reply<()>),
}

/// Anything that the herder's loop reacts to, tasks' reports aside.
pub(crate) enum Message {
    Request(Request),
    /// From the validation thread: a put or patch whose configuration is good.
    Validated(Box<crate::validation_queue::Put>),
    /// From a connector's thread.
    Planned {
        name: Arc<str>,
        life: u64,
        outcome: Result<Vec<Config>, String>,
    },
    /// From a core: a source task's producer has fenced those before it; may the task start?
    Cleared {
        id: TaskId,
        generation: u64,
        done: Box<dyn FnOnce(Result<(), String>) + Send>,
    },
    /// From the thread that asks config providers.
    Resolved(Box<crate::resolving::ResolvedTask>),
    /// From a connector's thread, as its last word.
    Ended {
        name: Arc<str>,
        life: u64,
    },
}

impl Request {
    /// Answers with an error, whatever was asked.
    pub(crate) fn fail(self, error: HerderError) {
        match self {
            Self::Connectors(reply) => reply.send(Err(error)),
            Self::Info { reply, .. } | Self::Patch { reply, .. } => reply.send(Err(error)),
            Self::Status { reply, .. } | Self::Restart { reply, .. } => reply.send(Err(error)),
            Self::TaskStatus { reply, .. } => reply.send(Err(error)),
            Self::Tasks { reply, .. } => reply.send(Err(error)),
            Self::Put { reply, .. } => reply.send(Err(error)),
            Self::Topics { reply, .. } => reply.send(Err(error)),
            Self::Offsets { reply, .. } => reply.send(Err(error)),
            Self::AlterOffsets { reply, .. } => reply.send(Err(error)),
            Self::Validate { reply, .. } => reply.send(Err(error)),
            Self::InternalAccess(reply) => reply.send(Err(error)),
            Self::Progress { reply, .. } => reply.send(Err(error)),
            Self::Metrics(reply) => reply.send(Err(error)),
            Self::Delete { reply, .. }
            | Self::Pause { reply, .. }
            | Self::Resume { reply, .. }
            | Self::Stop { reply, .. }
            | Self::RestartTask { reply, .. }
            | Self::ResetTopics { reply, .. }
            | Self::PutTaskConfigs { reply, .. }
            | Self::Fence { reply, .. }
            | Self::SetLoggerLevel { reply, .. }
            | Self::Health(reply)
            | Self::Shutdown(reply) => reply.send(Err(error)),
        }
    }
}

/// The way in. Cheap to clone.
#[derive(Clone)]
pub struct Mailbox(pub(crate) flume::Sender<Message>);

impl Mailbox {
    /// A herder that is but a function, on a thread of its own: for tests of those who ask.
    pub fn answered_by(mut answer: impl FnMut(Request) + Send + 'static) -> Self {
        let (sender, inbox) = flume::bounded(16);
        std::thread::spawn(move || {
            while let Ok(message) = inbox.recv() {
                if let Message::Request(request) = message {
                    answer(request);
                }
            }
        });
        Self(sender)
    }

    /// Asks and gives the receiver of the answer; from an async room await `recv_async` on it, with
    /// a limit. A herder that has ended answers "Worker is shutting down".
    pub fn ask<T>(&self, question: impl FnOnce(Reply<T>) -> Request) -> flume::Receiver<Answer<T>> {
        let (reply, answer) = Reply::new();
        let refused = Reply(reply.0.clone());
        match self.0.try_send(Message::Request(question(reply))) {
            Ok(()) => {}
            Err(flume::TrySendError::Full(_)) => refused.send(Err(HerderError::internal(
                "Too many requests wait for the herder; try again",
            ))),
            Err(flume::TrySendError::Disconnected(_)) => {
                refused.send(Err(HerderError::internal("Worker is shutting down")));
            }
        }
        answer
    }

    /// Asks and waits; for threads that may block. `limit` bounds the wait.
    pub fn call<T>(
        &self,
        limit: std::time::Duration,
        question: impl FnOnce(Reply<T>) -> Request,
    ) -> Answer<T> {
        self.ask(question)
            .recv_timeout(limit)
            .unwrap_or_else(|_| Err(HerderError::internal("Request timed out")))
    }
}
