//! The standalone herder: connectors in memory, tasks on this process' cores, source offsets in a
//! file.
//!
//! Three kinds of threads, none of which waits for another: the herder's loop carries decisions of
//! [`State`] out; the validation thread checks configurations; each connector instance plans on a
//! thread of its own.
//!
//! ```no_run
//! # use millrace_herder::{StandaloneHerder, properties, worker_config::WorkerConfig};
//! # use millrace_herder::requests::Request;
//! # use millrace_worker::engine::{Engine, EngineOptions};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let plugins = millrace_api::plugin::Plugins::default();
//! let file = properties::load("worker.properties".as_ref())?;
//! let config = WorkerConfig::standalone(file, &plugins).map_err(|errors| format!("{errors:?}"))?;
//! let options = config.engine_options();
//! let (engine, reports) = Engine::start(&options)?;
//! let herder = StandaloneHerder::start(config, plugins, Box::new(engine), reports)?;
//! let file = properties::load_connector("file-sink.properties".as_ref())?;
//! herder.mailbox.call(std::time::Duration::from_secs(90), |reply| Request::Put {
//!     name: file.name,
//!     config: file.config.into(),
//!     create_only: true,
//!     initial: Some(file.target),
//!     reply,
//! })?;
//! herder.shutdown();
//! # Ok(())
//! # }
//! ```

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_api::Config;
use millrace_api::plugin::Plugins;
use millrace_net::log_context;
use millrace_worker::command::{
    Report, SourceOffsetStore, TargetState, TaskId, TaskSpec, TaskState,
};
use millrace_worker::metrics::ProcessFigures;

use crate::connector_thread::{self, ConnectorThread, Instance, unresolved};
use crate::context::{HerderContext, HerderHandle};
use crate::file_offset_store::FileOffsetStore;
use crate::metrics::{self, WorkerMetrics};
use crate::offset_requests::{OffsetDesk, OneStore, not_at_rest};
use crate::requests::{
    Answer, ConnectorInfo, Created, ErrorStatus, HerderError, InternalAccess, Mailbox, Message,
    Reply, Request,
};
use crate::resolving::{ResolvedTask, Resolving};
use crate::state::{Decision, State, Token};
use crate::task_runner::{TaskRunner, log_given_up, log_report};
use crate::validation::{self, Validator};
use crate::validation_queue::{Job, Put, PutReply, ValidationQueue};
use crate::worker_config::WorkerConfig;

/// Questions that wait for the herder before further ones are refused.
const MAILBOX: usize = 1024;
/// How long the loop sleeps at most.
const ROUND: Duration = Duration::from_secs(1);

/// A question whose answer comes with [`Decision::Answer`].
enum Pending {
    Put { name: String, created: bool, reply: PutReply },
    Done(Reply<()>),
    Status { name: String, reply: Reply<crate::requests::ConnectorStateInfo> },
}

/// The herder; see the module's example.
pub struct StandaloneHerder {
    pub(crate) context: Arc<HerderContext>,
    pub(crate) state: State,
    runner: Box<dyn TaskRunner>,
    offsets: Arc<FileOffsetStore>,
    desk: OffsetDesk,
    threads: HashMap<Arc<str>, ConnectorThread>,
    pending: HashMap<Token, Pending>,
    next_token: Token,
    inbox: flume::Receiver<Message>,
    /// For the connectors' and the validation thread.
    own_mailbox: flume::Sender<Message>,
    validation: ValidationQueue,
    /// Tasks that wait for config providers.
    resolving: Resolving,
}

impl StandaloneHerder {
    /// Opens the offset file and starts the herder's threads. An error names the file.
    pub fn start(
        config: WorkerConfig,
        plugins: Plugins,
        runner: Box<dyn TaskRunner>,
        reports: flume::Receiver<Report>,
    ) -> std::io::Result<HerderHandle> {
        let path = config.parsed().string("offset.storage.file.filename").to_owned();
        let offsets = Arc::new(FileOffsetStore::open(Path::new(&path))?);
        let (own_mailbox, inbox) = flume::bounded(MAILBOX);
        let state = State::new(config.graceful_timeout(), config.worker_id(None));
        let plugins = Arc::new(plugins);
        let context = Arc::new(HerderContext::new(config, plugins));
        context.stage.ready();
        let validation = ValidationQueue::start(
            Validator::new(context.config.clone(), Arc::clone(&context.plugins)),
            own_mailbox.clone(),
        )?;
        let providers = Arc::clone(&context.config.providers);
        let resolving = Resolving::start(providers, own_mailbox.clone())?;
        let mailbox = Mailbox(own_mailbox.clone());
        let herder = Self {
            context: Arc::clone(&context),
            state,
            runner,
            desk: OffsetDesk::new(Arc::clone(&context), Arc::new(OneStore(offsets.clone()))),
            offsets,
            threads: HashMap::new(),
            pending: HashMap::new(),
            next_token: 0,
            inbox,
            own_mailbox,
            validation,
            resolving,
        };
        let thread = std::thread::Builder::new()
            .name("herder".to_owned())
            .spawn(move || herder.run(&reports))?;
        Ok(HerderHandle::new(mailbox, context, thread))
    }

    fn run(mut self, reports: &flume::Receiver<Report>) {
        let mut reports_open = true;
        let shutdown = loop {
            let now = Instant::now();
            self.state.expire(now);
            self.carry_out();
            let wait = self.state.next_deadline().map_or(ROUND, |due| due.duration_since(now));
            match self.next(reports, &mut reports_open, wait.min(ROUND)) {
                Some(Event::Report(report)) => self.reported(report),
                Some(Event::Message(Message::Request(Request::Shutdown(reply)))) => break reply,
                Some(Event::Message(message)) => self.message(message),
                None => {}
            }
            self.carry_out();
        };
        self.shut_down();
        shutdown.send(Ok(()));
    }

    fn next(
        &self,
        reports: &flume::Receiver<Report>,
        reports_open: &mut bool,
        wait: Duration,
    ) -> Option<Event> {
        let mut selector =
            flume::Selector::new().recv(&self.inbox, |got| got.ok().map(Event::Message));
        let mut closed = false;
        if *reports_open {
            selector = selector.recv(reports, |got| {
                closed = got.is_err();
                got.ok().map(Event::Report)
            });
        }
        let event = selector.wait_timeout(wait).ok().flatten();
        // All cores are gone; requests are still answered.
        *reports_open &= !closed;
        event
    }

    fn reported(&mut self, report: Report) {
        log_report(&report);
        self.state.report(report);
    }

    fn message(&mut self, message: Message) {
        if let Some(worker_id) = self.context.worker_id.get() {
            self.state.set_worker_id(Arc::clone(worker_id));
        }
        match message {
            Message::Request(request) => self.request(request),
            Message::Validated(put) => self.put(*put),
            Message::Ended { .. } => {}
            // No task is started that would ask.
            Message::Cleared { done, .. } => done(Err("The worker is alone".to_owned())),
            Message::Resolved(task) => self.resolved_task(*task),
            Message::Planned { name, life, outcome } => {
                if let Err(trace) = &outcome {
                    let context = log_context::of_connector(&name);
                    let _context = log_context::enter(Some(context));
                    tracing::error!(connector = %name, trace, "the connector failed");
                }
                self.state.planned(&name, life, outcome, Instant::now());
            }
        }
    }

    fn request(&mut self, request: Request) {
        let now = Instant::now();
        let state = &mut self.state;
        match request {
            Request::Put { name, config, create_only, initial, reply } => {
                let reply = PutReply::Created(reply);
                self.validation.push(Job::Put { name, config, create_only, initial, reply });
            }
            Request::Patch { name, changes, reply } => self.patch(name, changes, reply),
            Request::Validate { plugin, config, reply } => {
                self.validation.push(Job::Validate { plugin, config, reply });
            }
            Request::Pause { name, reply } => {
                reply.send(state.set_target(&name, TargetState::Paused));
            }
            Request::Resume { name, reply } => {
                reply.send(state.set_target(&name, TargetState::Started));
            }
            Request::Stop { name, reply } => {
                self.later(Pending::Done(reply), |state, token| state.stop(&name, token, now));
            }
            Request::Delete { name, reply } => {
                self.later(Pending::Done(reply), |state, token| state.delete(&name, token, now));
            }
            Request::Restart { name, scope, reply } if scope.is_connector_only() => {
                let pending = Pending::Status { name: name.clone(), reply };
                self.later(pending, |state, token| state.restart_connector(&name, token));
            }
            Request::Restart { name, scope, reply } => reply.send(state.restart(&name, scope, now)),
            Request::RestartTask { name, task, reply } => {
                reply.send(state.restart_task(&name, task, now));
            }
            Request::AlterOffsets { name, offsets, reply } => {
                match (state.config(&name), state.is_at_rest(&name)) {
                    (None, _) => reply.send(Err(HerderError::no_connector(&name))),
                    (_, false) => reply.send(Err(not_at_rest(&name))),
                    (Some(config), true) => self.desk.alter(&name, config, offsets, reply),
                }
            }
            Request::ResetTopics { name, reply } => {
                state.reset_topics(&name);
                reply.send(Ok(()));
            }
            Request::SetLoggerLevel { namespace, level, reply } => {
                self.context.set_logger_level(&namespace, &level);
                reply.send(Ok(()));
            }
            Request::PutTaskConfigs { reply, .. } => reply.send(Err(HerderError::internal(
                "Kafka Connect in standalone mode does not support externally setting task \
                 configurations.",
            ))),
            Request::Fence { reply, .. } => reply.send(Err(HerderError::internal(
                "Kafka Connect in standalone mode does not support exactly-once source connectors.",
            ))),
            Request::InternalAccess(reply) => reply.send(Ok(InternalAccess::default())),
            view => self.view(view),
        }
    }

    /// Requests that change nothing.
    fn view(&self, request: Request) {
        let state = &self.state;
        let no_connector = |name: &str| HerderError::no_connector(name);
        match request {
            Request::Connectors(reply) => reply.send(Ok(state.names())),
            Request::Info { name, reply } => {
                reply.send(state.info(&name).ok_or_else(|| no_connector(&name)));
            }
            Request::Tasks { name, reply } => {
                reply.send(state.tasks(&name).ok_or_else(|| no_connector(&name)));
            }
            Request::Status { name, reply } => {
                let none = || format!("No status found for connector {name}");
                reply.send(state.status(&name).ok_or_else(|| HerderError::not_found(none())));
            }
            Request::TaskStatus { name, task, reply } => {
                let none = || format!("No status found for task {name}-{task}");
                let status = state.status(&name).map(|status| status.tasks);
                let found = status.into_iter().flatten().find(|one| one.id == Some(task));
                reply.send(found.ok_or_else(|| HerderError::not_found(none())));
            }
            Request::Topics { name, reply } => reply.send(Ok(state.topics(&name))),
            Request::Progress { name, reply } => {
                reply.send(state.progress(&name).ok_or_else(|| no_connector(&name)));
            }
            Request::Offsets { name, reply } => match state.config(&name) {
                None => reply.send(Err(no_connector(&name))),
                Some(config) => self.desk.list(&name, config, reply),
            },
            Request::Metrics(reply) => reply.send(Ok(self.metrics())),
            Request::Health(reply) => reply.send(Ok(())),
            _ => {}
        }
    }

    fn metrics(&self) -> WorkerMetrics {
        let HerderContext { config, plugins, .. } = &*self.context;
        WorkerMetrics {
            connectors: metrics::connectors(&self.state, &config.properties, plugins),
            starts: self.state.starts(),
            rebalances: None,
            process: ProcessFigures::read(),
            measurement: self.runner.measure(),
        }
    }

    fn patch(
        &mut self,
        name: String,
        changes: BTreeMap<String, Option<String>>,
        reply: Reply<ConnectorInfo>,
    ) {
        match self.state.config(&name) {
            None => reply.send(Err(HerderError::no_connector(&name))),
            Some(config) => self.validation.patch(name, config.clone(), changes, reply),
        }
    }

    fn put(&mut self, put: Put) {
        let Put { name, definition, create_only, initial, reply } = put;
        let created = self.state.config(&name).is_none();
        if create_only && !created {
            let exists = format!("Connector {name} already exists");
            return reply.fail(HerderError::new(ErrorStatus::Conflict, exists));
        }
        if !created && matches!(self.state.is_sink(&name), Some(sink) if sink != definition.sink) {
            tracing::warn!(connector = name, "the connector changes between source and sink");
        }
        let token = self.token(Pending::Put { name: name.clone(), created, reply });
        self.state.put(&name, definition, initial, token);
    }

    fn token(&mut self, pending: Pending) -> Token {
        self.next_token += 1;
        self.pending.insert(self.next_token, pending);
        self.next_token
    }

    /// Puts a question aside; the state refuses it now or answers it later.
    fn later(
        &mut self,
        pending: Pending,
        event: impl FnOnce(&mut State, Token) -> Result<(), HerderError>,
    ) {
        let token = self.token(pending);
        if let Err(error) = event(&mut self.state, token) {
            self.answer(token, Err(error));
        }
    }

    fn answer(&mut self, token: Token, outcome: Answer<()>) {
        match self.pending.remove(&token) {
            Some(Pending::Done(reply)) => reply.send(outcome),
            Some(Pending::Status { name, reply }) => {
                // The restart's asker learns that it began; how it went is the status' to tell.
                let status =
                    self.state.status(&name).ok_or_else(|| HerderError::no_connector(&name));
                reply.send(status.and_then(|status| outcome.map(|()| status)));
            }
            Some(Pending::Put { name, created, reply }) => {
                let info = self.state.info(&name).ok_or_else(|| HerderError::no_connector(&name));
                let info = outcome.and(info);
                match reply {
                    PutReply::Info(reply) => reply.send(info),
                    PutReply::Created(reply) => {
                        reply.send(info.map(|info| Created { created, info }))
                    }
                }
            }
            None => {}
        }
    }

    // ---- carrying out ----

    fn carry_out(&mut self) {
        // Answers may not add decisions, but failing to start a thread does.
        loop {
            let decisions = self.state.take_decisions();
            if decisions.is_empty() {
                return;
            }
            for decision in decisions {
                self.decided(decision);
            }
        }
    }

    fn decided(&mut self, decision: Decision) {
        match decision {
            Decision::StartConnector { name, life, config } => {
                self.start_connector(name, life, config);
            }
            Decision::StopConnector { name } => {
                if let Some(thread) = self.threads.get_mut(&name) {
                    thread.tell_to_stop();
                }
            }
            Decision::StartTask { id, generation, connector, task, target } => {
                self.start_task(id, generation, connector, task, target);
            }
            Decision::StopTask(id) => match self.resolving.remove(&id) {
                // It never began.
                Some(TaskSpec { generation, .. }) => {
                    let state = TaskState::Unassigned;
                    self.state.report(Report::State { id, generation, state });
                }
                None => self.runner.stop_task(&id),
            },
            Decision::PauseTask(id) if self.resolving.retarget(&id, TargetState::Paused) => {}
            Decision::ResumeTask(id) if self.resolving.retarget(&id, TargetState::Started) => {}
            Decision::PauseTask(id) => self.runner.pause_task(&id),
            Decision::ResumeTask(id) => self.runner.resume_task(&id),
            Decision::GaveUpOn(id) => log_given_up(&id),
            Decision::Answer(token, outcome) => self.answer(token, outcome),
        }
    }

    fn start_connector(&mut self, name: Arc<str>, life: u64, config: Arc<Config>) {
        let class = config.get("connector.class").map_or("", |class| class.trim());
        let started = match self.context.plugins.connector(class) {
            None => Err(format!("no connector {class}")),
            Some(plugin) => {
                let instance = Instance {
                    name: Arc::clone(&name),
                    life,
                    tasks_max: validation::tasks_max(&config),
                    config,
                    plugin: *plugin,
                    providers: Arc::clone(&self.context.config.providers),
                };
                connector_thread::start(&mut self.threads, instance, self.own_mailbox.clone())
            }
        };
        if let Err(why) = started {
            self.state.planned(&name, life, Err(why), Instant::now());
        }
    }

    fn start_task(
        &mut self,
        id: TaskId,
        generation: u64,
        connector: Arc<Config>,
        task: Arc<Config>,
        target: TargetState,
    ) {
        let offsets: Arc<dyn SourceOffsetStore> = self.offsets.clone();
        let spec = TaskSpec {
            id: id.clone(),
            generation,
            worker: Arc::clone(&self.context.config.properties),
            connector,
            task,
            plugins: Arc::clone(&self.context.plugins),
            target,
            offsets,
            bounds: None,
            exactly_once: None,
        };
        if !Resolving::is_needed(&spec) {
            return self.runner.start_task(spec);
        }
        if let Err(why) = self.resolving.push(spec) {
            self.fail_task(id, generation, why);
        }
    }

    fn fail_task(&mut self, id: TaskId, generation: u64, why: String) {
        let state = TaskState::Failed(unresolved(why));
        self.state.report(Report::State { id, generation, state });
    }

    /// Config providers have answered, or failed to.
    fn resolved_task(&mut self, task: ResolvedTask) {
        let (id, generation) = (task.id.clone(), task.generation);
        match self.resolving.done(task) {
            None => {}
            Some(Err(why)) => self.fail_task(id, generation, why),
            Some(Ok(spec)) => self.runner.start_task(spec),
        }
    }

    fn shut_down(self) {
        let Self { runner, threads, pending, .. } = self;
        for pending in pending.into_values() {
            let error = HerderError::internal("Worker is shutting down");
            match pending {
                Pending::Put { reply, .. } => reply.fail(error),
                Pending::Done(reply) => reply.send(Err(error)),
                Pending::Status { reply, .. } => reply.send(Err(error)),
            }
        }
        runner.shutdown();
        for thread in threads.into_values() {
            thread.stop_and_wait();
        }
    }
}

enum Event {
    Message(Message),
    Report(Report),
}

#[cfg(test)]
mod tests;
