//! The herder of one worker of a cluster: Kafka's group coordinator shares the work out, Kafka's
//! topics keep configurations, offsets and statuses.
//!
//! One thread. It reacts to requests, to the group ([`crate::membership`]), to what the internal
//! topics bring ([`crate::stores`]) and to the cores' reports. What runs here is decided in
//! [`work`], what the topics mean in the stores; this carries out. A write to a topic is waited for
//! (30 s at most), as everything after it builds on it; the group's heartbeats go on meanwhile.
//!
//! Two states of the configuration: [`DistributedHerder::log`] is what was read so far;
//! [`DistributedHerder::config`] is a snapshot of it that the worker acts on. The group agrees on an
//! offset, and every worker acts on its snapshot of that offset, so that all see the same work.

mod carrying_out;
mod exactly_once;
mod leading;
mod publishing;
mod rebalancing;
mod requests;
mod statuses;
mod updates;
mod views;
mod work;
mod writing;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_api::plugin::Plugins;
use millrace_net::log_context;
use millrace_worker::command::{Report, TaskId, TaskSpec};

use crate::assignor::{Assignor, Owners};
use crate::connector_thread::ConnectorThread;
use crate::context::{HerderContext, HerderHandle};
use crate::membership::{Assigned, MemberEvent, MembershipHandle};
use crate::metrics::Rebalances;
use crate::offset_requests::OffsetDesk;
use crate::requests::{HerderError, Mailbox, Message, Reply, Request};
use crate::resolving::Resolving;
use crate::state::Token;
use crate::stores::config_log::{ClusterConfig, ConfigLog, Names, PendingRestarts};
use crate::stores::status_log::StatusLog;
use crate::stores::{StoreEvent, Stores};
use crate::task_runner::{TaskRunner, log_report};
use crate::validation::Validator;
use crate::validation_queue::ValidationQueue;
use crate::worker_config::WorkerConfig;

use publishing::Publishing;
use statuses::StatusQueue;
use work::Work;

/// Questions that wait for the herder before further ones are refused.
const MAILBOX: usize = 1024;
/// How long the loop sleeps at most.
const ROUND: Duration = Duration::from_millis(500);
/// How long a request waits for a rebalance to end, as REST waits for the answer.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long the last statuses may take to be written.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// Changes in the topic that wait until the worker may act on them.
#[derive(Default)]
struct Updates {
    /// Connectors came or went, or task sets changed: the group has to share out anew.
    rebalance: bool,
    connectors: Names,
    tasks: BTreeSet<TaskId>,
    targets: Names,
    restarts: PendingRestarts,
}

/// What the other threads report beside what has a channel of its own.
enum Ack {
    StatusesWritten(Result<(), String>),
    Published {
        name: Arc<str>,
        number: u64,
        outcome: Result<(), publishing::Refused>,
    },
    /// The leader has fenced, or has not, for tasks that wait here.
    MayStart {
        name: Arc<str>,
        number: u64,
        outcome: Result<(), publishing::Refused>,
    },
    /// A round of fencing of this leader's.
    Fenced {
        name: Arc<str>,
        number: u64,
        outcome: Result<(), String>,
    },
}

/// How the herder is doing.
#[derive(Clone, Debug, PartialEq)]
enum Phase {
    /// The topics are made, or read to their ends for the first time: those reads' tokens.
    Starting(Vec<u64>),
    /// Waiting for REST to say where it can be reached.
    Unnamed,
    Running,
    Ending,
}

/// See the module.
pub struct DistributedHerder {
    context: Arc<HerderContext>,
    runner: Box<dyn TaskRunner>,
    stores: Stores,
    desk: OffsetDesk,
    /// All that was read.
    log: ConfigLog,
    statuses: StatusLog,
    /// What this worker acts on.
    config: ClusterConfig,
    status_queue: StatusQueue,
    phase: Phase,
    updates: Updates,
    member: Option<MembershipHandle>,
    member_events: flume::Receiver<MemberEvent>,
    assignor: Assignor,
    owners: Owners,
    /// The last round's outcome; `None` before the first and after the group was lost.
    assignment: Option<Assigned>,
    generation: i32,
    rebalances: Rebalances,
    /// The work of [`Self::assignment`] was started and nothing else is under way.
    resolved: bool,
    /// Revoked work that is on its way out.
    revoking: Option<rebalancing::Revoking>,
    /// The config topic could not be read to its end in time: when to try again.
    catch_up_at: Option<Instant>,
    catch_up_tries: u32,
    next_key_attempt: Option<Instant>,
    /// This leader has not claimed the right to write to the config topic yet, or lost it: when to try.
    claim_at: Option<Instant>,
    /// A read to a topic's end that is waited for, and its outcome.
    awaited: Option<(u64, Option<Result<(), String>>)>,
    work: Work,
    publishing: Publishing,
    threads: HashMap<Arc<str>, ConnectorThread>,
    /// Source tasks that wait until the offset topic is read.
    awaiting_offsets: Vec<(u64, TaskId, u64)>,
    /// With exactly-once support: source tasks before their start, and rounds of fencing.
    starts: exactly_once::Starts,
    specs: HashMap<TaskId, TaskSpec>,
    pending: HashMap<Token, Pending>,
    /// Requests that wait for a rebalance to end, and since when.
    deferred: VecDeque<(Instant, Message)>,
    numbers: u64,
    inbox: flume::Receiver<Message>,
    own_mailbox: flume::Sender<Message>,
    acks: (flume::Sender<Ack>, flume::Receiver<Ack>),
    validation: ValidationQueue,
    /// Tasks that wait for config providers, before they wait for offsets.
    resolving: Resolving,
    begin: Instant,
    failure: Option<String>,
}

/// A restart whose answer comes with [`work::Deed::Answer`].
struct Pending {
    name: String,
    reply: Reply<crate::requests::ConnectorStateInfo>,
}

enum Event {
    Message(Message),
    Report(Report),
    Store(StoreEvent),
    Member(MemberEvent),
    Ack(Ack),
}

impl DistributedHerder {
    /// Starts the threads of the herder and of the internal topics. The group is joined when REST has
    /// set [`HerderContext::worker_id`] and [`HerderContext::advertised_url`].
    pub fn start(
        config: WorkerConfig,
        plugins: Plugins,
        runner: Box<dyn TaskRunner>,
        reports: flume::Receiver<Report>,
    ) -> std::io::Result<HerderHandle> {
        let stores = Stores::start(Arc::clone(&config.properties))?;
        let (own_mailbox, inbox) = flume::bounded(MAILBOX);
        let context = Arc::new(HerderContext::new(config, Arc::new(plugins)));
        let validation = ValidationQueue::start(
            Validator::new(context.config.clone(), Arc::clone(&context.plugins)),
            own_mailbox.clone(),
        )?;
        let providers = Arc::clone(&context.config.providers);
        let resolving = Resolving::start(providers, own_mailbox.clone())?;
        let parsed = context.config.parsed();
        let max_delay = parsed.long("scheduled.rebalance.max.delay.ms");
        let mailbox = Mailbox(own_mailbox.clone());
        let (_, no_events) = flume::bounded(1);
        let herder = Self {
            desk: OffsetDesk::new(Arc::clone(&context), stores.offsets.clone()),
            work: Work::new(context.config.graceful_timeout()),
            assignor: Assignor::new(i32::try_from(max_delay).unwrap_or(i32::MAX)),
            context: Arc::clone(&context),
            runner,
            stores,
            log: ConfigLog::default(),
            statuses: StatusLog::default(),
            config: ClusterConfig::default(),
            status_queue: StatusQueue::default(),
            phase: Phase::Starting(Vec::new()),
            updates: Updates::default(),
            member: None,
            member_events: no_events,
            owners: Owners::default(),
            assignment: None,
            generation: -1,
            rebalances: Rebalances::new(&context.config.properties),
            resolved: false,
            revoking: None,
            catch_up_at: None,
            catch_up_tries: 0,
            next_key_attempt: None,
            claim_at: None,
            awaited: None,
            publishing: Publishing::default(),
            threads: HashMap::new(),
            awaiting_offsets: Vec::new(),
            starts: Default::default(),
            specs: HashMap::new(),
            pending: HashMap::new(),
            deferred: VecDeque::new(),
            numbers: 0,
            inbox,
            own_mailbox,
            acks: flume::bounded(4096),
            validation,
            resolving,
            begin: Instant::now(),
            failure: None,
        };
        let failed = Arc::clone(&context);
        let thread = std::thread::Builder::new().name("herder".to_owned()).spawn(move || {
            let outcome = herder.run(&reports);
            if let Err(why) = outcome {
                failed.fail(why);
            }
        })?;
        Ok(HerderHandle::new(mailbox, context, thread))
    }

    /// Until a shutdown is asked for, or something makes going on senseless.
    fn run(mut self, reports: &flume::Receiver<Report>) -> Result<(), String> {
        self.context.stage.begin("creating and checking the internal topics");
        let mut reports_open = true;
        let mut shutdown: Option<Reply<()>> = None;
        let mut last_call = None;
        loop {
            let now = Instant::now();
            self.tend(now);
            if let Some(limit) = last_call
                && (self.is_over() || now >= limit)
            {
                break;
            }
            let due = self.work.next_deadline().map_or(ROUND, |at| at.duration_since(now));
            match self.next(reports, &mut reports_open, due.min(ROUND)) {
                Some(Event::Message(Message::Request(Request::Shutdown(reply)))) => {
                    shutdown = Some(reply);
                }
                Some(event) => self.event(event),
                None => {}
            }
            if last_call.is_none() && (shutdown.is_some() || self.failure.is_some()) {
                last_call = Some(self.begin_to_end());
            }
        }
        let failure = self.failure.take();
        self.end();
        if let Some(reply) = shutdown {
            reply.send(Ok(()));
        }
        failure.map_or(Ok(()), Err)
    }

    fn next(
        &self,
        reports: &flume::Receiver<Report>,
        reports_open: &mut bool,
        wait: Duration,
    ) -> Option<Event> {
        // What was heard of the topics comes before what is asked.
        if let Ok(event) = self.stores.events.try_recv() {
            return Some(Event::Store(event));
        }
        let mut selector = flume::Selector::new()
            .recv(&self.stores.events, |got| got.ok().map(Event::Store))
            .recv(&self.inbox, |got| got.ok().map(Event::Message))
            .recv(&self.acks.1, |got| got.ok().map(Event::Ack));
        if self.member.is_some() {
            selector = selector.recv(&self.member_events, |got| got.ok().map(Event::Member));
        }
        let mut closed = false;
        if *reports_open {
            selector = selector.recv(reports, |got| {
                closed = got.is_err();
                got.ok().map(Event::Report)
            });
        }
        let event = selector.wait_timeout(wait).ok().flatten();
        *reports_open &= !closed;
        event
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Message(message) => self.message(message),
            Event::Report(report) => self.reported(report),
            Event::Store(event) => self.stored(event),
            Event::Member(event) => self.member(event),
            Event::Ack(Ack::StatusesWritten(outcome)) => self.status_queue.written(outcome),
            Event::Ack(Ack::Published { name, number, outcome }) => {
                self.publishing.answered(&name, number, outcome, Instant::now());
            }
            Event::Ack(Ack::MayStart { name, number, outcome }) => {
                self.may_start(&name, number, outcome);
            }
            Event::Ack(Ack::Fenced { name, number, outcome }) => {
                self.round_ended(&name, number, outcome);
            }
        }
    }

    /// Everything that follows from what happened, and from the time.
    fn tend(&mut self, now: Instant) {
        self.work.expire(now);
        self.carry_out();
        if self.phase == Phase::Unnamed {
            self.join_group();
        }
        if self.phase == Phase::Running {
            self.catch_up(now);
            self.claim_if_due(now);
            self.act_on_updates();
            self.lead(now);
            self.publish(now);
            self.ask_for_fencing(now);
            self.carry_out();
            if self.resolved {
                self.work_off_deferred(now);
            }
            self.carry_out();
        }
        self.release_revoked(now);
        self.flush_statuses();
    }

    fn message(&mut self, message: Message) {
        match message {
            Message::Request(request) if self.waits(&request) => {
                self.defer(Message::Request(request));
            }
            Message::Request(request) => self.request(request),
            Message::Validated(put) if !self.resolved => self.defer(Message::Validated(put)),
            Message::Validated(put) => self.put(*put),
            Message::Planned { name, life, outcome } => {
                if let Err(trace) = &outcome {
                    let _context = log_context::enter(Some(log_context::of_connector(&name)));
                    tracing::error!(connector = %name, trace, "the connector failed");
                }
                let outcome = outcome.and_then(|tasks| self.within_limit(&name, tasks));
                self.work.planned(&name, life, outcome);
            }
            Message::Resolved(task) => self.resolved_task(*task),
            Message::Ended { name, life } => self.work.connector_ended(&name, life),
            Message::Cleared { id, generation, done } => self.clear(id, generation, done),
        }
    }

    fn defer(&mut self, message: Message) {
        if self.deferred.len() >= MAILBOX {
            return refuse(message, "Too many requests wait for a rebalance; try again");
        }
        self.deferred.push_back((Instant::now(), message));
    }

    fn work_off_deferred(&mut self, now: Instant) {
        for _ in 0..self.deferred.len() {
            // A request may have begun another rebalance.
            if !self.resolved {
                return;
            }
            let Some((since, message)) = self.deferred.pop_front() else { return };
            if now.duration_since(since) >= PATIENCE {
                refuse(message, "Request timed out");
                continue;
            }
            self.message(message);
            self.carry_out();
            self.act_on_updates();
        }
    }

    fn reported(&mut self, report: Report) {
        log_report(&report);
        self.work.report(report);
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn is_leader(&self) -> bool {
        self.assignment.as_ref().is_some_and(Assigned::is_leader)
    }

    fn leader_url(&self) -> Option<Arc<str>> {
        let assignment = &self.assignment.as_ref()?.assignment;
        (!assignment.leader_url.is_empty()).then(|| assignment.leader_url.as_str().into())
    }

    fn worker_id(&self) -> Arc<str> {
        let known = self.context.worker_id.get().cloned();
        known.unwrap_or_else(|| self.context.config.worker_id(None))
    }

    // ---- the end ----

    /// Stops all the work; the time by which it must have ended.
    fn begin_to_end(&mut self) -> Instant {
        self.context.stage.begin("stopping connectors and tasks");
        self.phase = Phase::Ending;
        self.resolved = false;
        let now = Instant::now();
        self.stop_all(now);
        now + self.context.config.graceful_timeout() + LAST_WRITES
    }

    fn stop_all(&mut self, now: Instant) {
        let all = self.work.everything();
        for id in &all.tasks {
            self.work.stop_task(id, now);
        }
        for name in &all.connectors {
            self.work.stop_connector(name, now);
        }
        self.carry_out();
    }

    /// All has stopped, and the cluster knows.
    fn is_over(&self) -> bool {
        self.work.is_settled() && self.status_queue.is_empty()
    }

    /// Leaves the group and lets go of everything.
    fn end(self) {
        let Self { runner, threads, pending, deferred, member, inbox, .. } = self;
        for pending in pending.into_values() {
            pending.reply.send(Err(HerderError::internal("Worker is shutting down")));
        }
        let waiting = deferred.into_iter().map(|(_, message)| message);
        for message in waiting.chain(inbox.drain()) {
            refuse(message, "Worker is shutting down");
        }
        if let Some(member) = member {
            member.shutdown();
        }
        runner.shutdown();
        drop(threads);
    }
}

/// Answers whatever the message asks with 500 and this text.
fn refuse(message: Message, why: &str) {
    match message {
        Message::Request(request) => request.fail(HerderError::internal(why)),
        Message::Validated(put) => put.reply.fail(HerderError::internal(why)),
        Message::Cleared { done, .. } => done(Err(why.to_owned())),
        Message::Planned { .. } | Message::Resolved(_) | Message::Ended { .. } => {}
    }
}
