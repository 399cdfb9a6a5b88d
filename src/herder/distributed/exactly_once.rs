//! Source tasks with exactly-once delivery, up to their start (KIP-618).
//!
//! | step | by whom |
//! |---|---|
//! | a round of fencing: producers of the connector's earlier tasks can write no more | the leader, asked by the task's worker |
//! | the task's own producer takes its transactional id over | the task's core |
//! | the config topic is read to its end: the task is still to run, with these settings; and the offset topic | the task's worker, asked by the core |
//! | the task reads its offsets and starts | the task's core |
//!
//! The leader keeps in the config topic how many tasks there were when it fenced last
//! (`tasks-fencing-<connector>`): a commit of tasks after that record means that those many producers
//! have to be fenced before any new task writes. One task that follows one task needs no round, as the
//! new producer has the old one's id.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_api::Config;
use millrace_kafka::Cluster;
use millrace_kafka::config::ClientConfig;
use millrace_kafka::producer::fence_producers;
use millrace_net::rt;
use millrace_worker::command::{Clearance, ExactlyOnce, Report, TaskId, TaskSpec, TaskState};
use millrace_worker::settings;

use super::publishing::Refused;
use super::{Ack, DistributedHerder};
use crate::context::HerderContext;
use crate::distributed_config::ExactlyOnceSupport;
use crate::requests::{Answer, ErrorStatus, HerderError, Message, OffsetChange, Reply};
use crate::stores::config_records;
use crate::stores::connector_offsets::OffsetPlace;
use crate::stores::topics::Which;

/// For a whole round of fencing, as REST waits for it.
const ROUND: Duration = Duration::from_secs(80);
/// Between attempts to have a connector's producers fenced.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// How long a task waits for that before it fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tells the herder of a task whose producer is ready.
struct Clearances(flume::Sender<Message>);

impl Clearance for Clearances {
    fn ask(&self, id: &TaskId, generation: u64, done: Box<dyn FnOnce(Result<(), String>) + Send>) {
        let question = Message::Cleared { id: id.clone(), generation, done };
        if let Err(refused) = self.0.try_send(question)
            && let Message::Cleared { done, .. } = refused.into_inner()
        {
            done(Err("Too many requests wait for the herder; restart the task".to_owned()));
        }
    }
}

/// What a round of fencing is for.
pub(super) enum Afterwards {
    /// Another worker's tasks.
    Answer(Reply<()>),
    /// Tasks of this worker.
    Start { name: Arc<str>, number: u64 },
    /// A change of offsets that a user wants.
    Alter { name: String, changes: Option<Vec<OffsetChange>>, reply: Reply<String> },
}

/// A round of fencing under way.
struct Round {
    number: u64,
    /// The tasks that are to come: their count, and the generation of their settings.
    tasks: usize,
    generation: Option<u64>,
    afterwards: Vec<Afterwards>,
}

/// Tasks of one connector that wait for a round.
struct Waiting {
    tasks: Vec<(TaskId, u64)>,
    /// The attempt under way, and the tasks that were there when it began.
    asked: Option<(u64, Vec<(TaskId, u64)>)>,
    since: Instant,
    due: Instant,
    attempts: u32,
}

/// A core's question that waits for both topics to be read.
struct Question {
    id: TaskId,
    generation: u64,
    done: Box<dyn FnOnce(Result<(), String>) + Send>,
    tokens: Vec<u64>,
}

/// Source tasks on their way to start, and the leader's rounds.
#[derive(Default)]
pub(super) struct Starts {
    waiting: BTreeMap<Arc<str>, Waiting>,
    rounds: BTreeMap<Arc<str>, Round>,
    questions: Vec<Question>,
}

/// Of a round of fencing, on the round's thread: config providers may take their time.
fn admin_client(
    context: &HerderContext,
    connector: &Config,
    name: &str,
) -> Result<Cluster, String> {
    let connector = context.config.providers.try_resolve(connector)?.config;
    let client_id = format!("connector-worker-adminclient-{name}");
    let map = settings::admin(&context.config.properties, &connector, client_id);
    let parsed = ClientConfig::parse(&map).map_err(|problems| {
        let list: Vec<_> = problems.iter().map(ToString::to_string).collect();
        list.join("; ")
    })?;
    Ok(Cluster::new(parsed.config))
}

impl DistributedHerder {
    pub(super) fn exactly_once(&self) -> ExactlyOnceSupport {
        ExactlyOnceSupport::of(&self.context.config.properties)
    }

    /// What a source task is told beside its settings.
    pub(super) fn exactly_once_of(&self, id: &TaskId, place: &OffsetPlace) -> ExactlyOnce {
        ExactlyOnce {
            transactional_id: self.transactional_id(id),
            offsets_topic: place.topic.clone(),
            offsets_servers: place.servers.clone(),
            clearance: Arc::new(Clearances(self.own_mailbox.clone())),
        }
    }

    fn transactional_id(&self, id: &TaskId) -> String {
        format!("{}-{id}", self.context.config.group_id().unwrap_or_default())
    }

    // ---- tasks of this worker ----

    /// The task, whose specification is kept, starts after a round of fencing.
    pub(super) fn fence_before(&mut self, id: TaskId, generation: u64) {
        let now = Instant::now();
        let waiting = self.starts.waiting.entry(Arc::clone(&id.connector)).or_insert(Waiting {
            tasks: Vec::new(),
            asked: None,
            since: now,
            due: now,
            attempts: 0,
        });
        waiting.tasks.push((id, generation));
    }

    /// Asks for the rounds that are due.
    pub(super) fn ask_for_fencing(&mut self, now: Instant) {
        if !self.resolved {
            return;
        }
        let specs = &self.specs;
        self.starts.waiting.retain(|_, waiting| {
            // Those that were stopped meanwhile wait no more.
            let current = |(id, generation): &(TaskId, u64)| {
                specs.get(id).is_some_and(|spec| spec.generation == *generation)
            };
            waiting.tasks.retain(current);
            waiting.asked.is_some() || !waiting.tasks.is_empty()
        });
        let due = |waiting: &Waiting| waiting.asked.is_none() && waiting.due <= now;
        let waiting = self.starts.waiting.iter().filter(|(_, waiting)| due(waiting));
        for name in waiting.map(|(name, _)| Arc::clone(name)).collect::<Vec<_>>() {
            let number = self.number();
            let Some(waiting) = self.starts.waiting.get_mut(&name) else { continue };
            waiting.asked = Some((number, std::mem::take(&mut waiting.tasks)));
            if self.is_leader() {
                let afterwards = Afterwards::Start { name: Arc::clone(&name), number };
                self.fence(&name, afterwards);
            } else {
                let done = move |name: Arc<str>, outcome| Ack::MayStart { name, number, outcome };
                self.ask_leader(&name, "PUT", "fence", Vec::new(), done);
            }
        }
    }

    /// The leader's answer for tasks of this worker.
    pub(super) fn may_start(&mut self, name: &Arc<str>, number: u64, outcome: Result<(), Refused>) {
        let now = Instant::now();
        let Some(waiting) = self.starts.waiting.get_mut(name) else { return };
        let Some((_, asked)) = waiting.asked.take_if(|(asked, _)| *asked == number) else { return };
        let mut ready = Vec::new();
        match &outcome {
            Ok(()) => ready = asked,
            Err(Refused { why, .. }) if now.duration_since(waiting.since) < PATIENCE => {
                tracing::info!(connector = %name, "waits for its earlier tasks to be fenced: {why}");
                let (first, most) = BACKOFF;
                waiting.due = now + first.saturating_mul(1 << waiting.attempts.min(16)).min(most);
                waiting.attempts += 1;
                waiting.tasks.splice(0..0, asked);
            }
            Err(_) => ready = asked,
        }
        if waiting.tasks.is_empty() {
            self.starts.waiting.remove(name);
        }
        for (id, generation) in ready {
            // One that was stopped meanwhile has no specification any more, or a later one.
            let current = self.specs.get(&id).is_some_and(|spec| spec.generation == generation);
            let Some(spec) = self.specs.remove(&id).filter(|_| current) else { continue };
            match &outcome {
                Ok(()) => self.runner.start_task(spec),
                Err(Refused { why, .. }) => self.fail_start(spec, why),
            }
        }
    }

    fn fail_start(&mut self, spec: TaskSpec, why: &str) {
        let trace = format!(
            "org.apache.kafka.connect.errors.ConnectException: Failed to perform zombie fencing\n\
             Caused by: {why}"
        );
        let TaskSpec { id, generation, .. } = spec;
        let state = TaskState::Failed(trace);
        self.work.report(Report::State { id, generation, state });
    }

    /// A core asks whether a task may start whose producer is ready.
    pub(super) fn clear(
        &mut self,
        id: TaskId,
        generation: u64,
        done: Box<dyn FnOnce(Result<(), String>) + Send>,
    ) {
        let tokens = vec![self.number(), self.number()];
        let asked =
            self.stores.config.read_to_end(tokens[0]) && self.stores.offset.read_to_end(tokens[1]);
        if !asked {
            return done(Err("Failed to read to end of config topic".to_owned()));
        }
        self.starts.questions.push(Question { id, generation, done, tokens });
    }

    /// A topic was read to the end that some question waits for.
    pub(super) fn read_for_questions(
        &mut self,
        which: Which,
        token: u64,
        outcome: &Result<(), String>,
    ) {
        let asked = |question: &Question| question.tokens.contains(&token);
        let Some(at) = self.starts.questions.iter().position(asked) else { return };
        if let Err(why) = outcome {
            let Question { done, .. } = self.starts.questions.swap_remove(at);
            let topic = if which == Which::Config { "config" } else { "offset" };
            return done(Err(format!("Failed to read to end of {topic} topic: {why}")));
        }
        let tokens = &mut self.starts.questions[at].tokens;
        tokens.retain(|known| *known != token);
        if tokens.is_empty() {
            let Question { id, generation, done, .. } = self.starts.questions.swap_remove(at);
            done(self.still_to_run(&id, generation));
        }
    }

    /// Whoever fences after this has the last word, so nothing that changes later matters here.
    fn still_to_run(&self, id: &TaskId, generation: u64) -> Result<(), String> {
        let recipe = self.work.recipe(id).filter(|_| self.work.is_generation(id, generation));
        let Some(recipe) = recipe else {
            return Err(format!(
                "Cannot start source task {id} as it has already been revoked from this worker"
            ));
        };
        let entry = self.log.config().connector(&id.connector);
        if entry.and_then(|entry| entry.task_generation) != recipe.task_generation {
            return Err(format!(
                "Cannot start source task {id} with exactly-once support as the connector has \
                 already generated a new set of task configs"
            ));
        }
        Ok(())
    }

    // ---- the leader ----

    /// Sees to it that no producer of earlier tasks can write, then goes on.
    pub(super) fn fence(&mut self, name: &str, afterwards: Afterwards) {
        match self.begin_to_fence(name) {
            Ok(None) => self.fenced(Ok(()), vec![afterwards]),
            Err(error) => self.fenced(Err(error), vec![afterwards]),
            Ok(Some(producers)) => self.join_round(name, producers, afterwards),
        }
    }

    /// How many producers are to be fenced; `None`: nothing is to be waited for.
    fn begin_to_fence(&mut self, name: &str) -> Answer<Option<usize>> {
        self.leads_known(name)?;
        if self.plugin_of(name).is_some_and(|plugin| plugin.is_sink()) {
            let why = format!("Connector {name} is not a source connector");
            return Err(HerderError::bad_request(why));
        }
        if !self.exactly_once().is_enabled() {
            let why = "This worker does not have exactly-once source support enabled.";
            return Err(HerderError::internal(why));
        }
        if !self.refresh() {
            return Err(HerderError::internal(
                "Failed to read to end of config topic before performing zombie fencing",
            ));
        }
        let known = self.config.connector(name).ok_or_else(|| HerderError::no_connector(name))?;
        let tasks = known.task_count.unwrap_or(0);
        if !known.pending_fencing {
            return Ok(None);
        }
        match known.fencing_count {
            Some(producers) if producers != 1 || tasks != 1 => Ok(Some(producers)),
            _ => self.write_fencing(name, tasks).map(|()| None),
        }
    }

    fn write_fencing(&mut self, name: &str, tasks: usize) -> Answer<()> {
        let record = config_records::fencing(name, tasks);
        self.write_as_leader(vec![record], "Error writing task count record to Kafka")?;
        self.refresh();
        Ok(())
    }

    fn join_round(&mut self, name: &str, producers: usize, afterwards: Afterwards) {
        if let Some(round) = self.starts.rounds.get_mut(name) {
            return round.afterwards.push(afterwards);
        }
        let entry = self.config.connector(name).cloned().unwrap_or_default();
        let number = self.number();
        let name: Arc<str> = name.into();
        let round = Round {
            number,
            tasks: entry.task_count.unwrap_or(0),
            generation: entry.task_generation,
            afterwards: vec![afterwards],
        };
        self.starts.rounds.insert(Arc::clone(&name), round);
        if let Err(why) = self.start_round(&name, number, producers) {
            self.round_ended(&name, number, Err(why));
        }
    }

    fn start_round(&self, name: &Arc<str>, number: u64, producers: usize) -> Result<(), String> {
        tracing::info!(connector = %name, producers, "fencing the producers of its earlier tasks");
        let connector = self.config.config(name).cloned().unwrap_or_default();
        let context = Arc::clone(&self.context);
        let ids: Vec<String> = (0..producers as u32)
            .map(|task| self.transactional_id(&TaskId { connector: Arc::clone(name), task }))
            .collect();
        let (acks, name) = (self.acks.0.clone(), Arc::clone(name));
        let mut options = rt::CoreOptions::new("fencing", None);
        options.runtime = Some(rt::RuntimeChoice::Epoll);
        let started = rt::start_core(options, move || async move {
            let outcome = match admin_client(&context, &connector, &name) {
                Ok(cluster) => {
                    fence_producers(&cluster, &ids, ROUND).await.map_err(|error| error.to_string())
                }
                Err(why) => Err(why),
            };
            let _ = acks.try_send(Ack::Fenced { name, number, outcome });
            // The connections' tasks end before their core does.
            rt::sleep(Duration::from_millis(10)).await;
        });
        started.map(drop).map_err(|error| format!("no thread for it: {error}"))
    }

    /// The producers are fenced, or why not.
    pub(super) fn round_ended(
        &mut self,
        name: &Arc<str>,
        number: u64,
        outcome: Result<(), String>,
    ) {
        if self.starts.rounds.get(name).is_none_or(|round| round.number != number) {
            return;
        }
        let Some(round) = self.starts.rounds.remove(name) else { return };
        let outcome = match outcome {
            Ok(()) => self.record_round(name, &round),
            Err(why) => {
                tracing::error!(connector = %name, "earlier tasks could not be fenced: {why}");
                let what = "Failed to perform round of zombie fencing";
                Err(HerderError::internal(format!("{what}: {why}")))
            }
        };
        self.fenced(outcome, round.afterwards);
    }

    fn record_round(&mut self, name: &str, round: &Round) -> Answer<()> {
        self.leads()?;
        if !self.refresh() {
            return Err(HerderError::internal("Failed to read to end of config topic"));
        }
        let entry = self.config.connector(name).ok_or_else(|| HerderError::no_connector(name))?;
        let as_before = entry.task_generation == round.generation
            && entry.task_count.unwrap_or(0) == round.tasks;
        if !as_before {
            return Err(HerderError::new(
                ErrorStatus::Conflict,
                "Fencing failed because new task configurations were generated for the connector",
            ));
        }
        self.write_fencing(name, round.tasks)
    }

    fn fenced(&mut self, outcome: Answer<()>, afterwards: Vec<Afterwards>) {
        for afterwards in afterwards {
            let outcome = outcome.clone();
            match afterwards {
                Afterwards::Answer(reply) => reply.send(outcome),
                Afterwards::Start { name, number } => {
                    let refused =
                        |error: HerderError| Refused { forbidden: false, why: error.message };
                    self.may_start(&name, number, outcome.map_err(refused));
                }
                Afterwards::Alter { name, changes, reply } => match outcome {
                    Ok(()) => self.alter_fenced(&name, changes, reply),
                    Err(error) => reply.send(Err(error)),
                },
            }
        }
    }
}
