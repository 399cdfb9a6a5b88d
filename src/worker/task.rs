//! A task from its specification: what it needs is made here, then it runs.

use std::rc::Rc;
use std::time::{Duration, Instant};

use fancy_regex::Regex;
use millrace_api::Config;
use millrace_api::connector::NewTask;
use millrace_api::error::ConnectError;
use millrace_api::sink::{Offsets, SinkTask, SinkTaskContext};
use millrace_api::source::{SourceTask, SourceTaskContext};
use millrace_converters::Arena;
use millrace_kafka::Cluster;
use millrace_kafka::admin::Admin;
use millrace_kafka::backoff::spread;
use millrace_kafka::config::{ClientConfig, ConsumerConfig, OffsetReset};
use millrace_kafka::consumer::Consumer;
use millrace_kafka::group::Subscription as Topics;
use millrace_kafka::partitions::{Position as ReadFrom, TopicPartition};
use millrace_kafka::producer::{Producer, ProducerConfig};
use millrace_net::account::aside;

use crate::bounds::{BoundedJob, share};
use crate::command::{Bounds, Position, Progress, TargetState, TaskSpec, TaskState};
use crate::control::Control;
use crate::dead_letters::DeadLetters;
use crate::error_policy::ErrorPolicy;
use crate::exactly_once::{self, Transactions};
use crate::kafka_errors::{client_refused, consume_error};
use crate::outgoing::Outgoing;
use crate::plan::{Converters, steps};
use crate::reporter::Reporter;
use crate::rest::Rest;
use crate::settings::{self, ErrorSettings, Subscription};
use crate::settlement::Settlement;
use crate::sink_batch::Errors;
use crate::sink_offsets::SinkOffsets;
use crate::sink_task::{WorkerSinkTask, api_name};
use crate::source_offsets::{key, parse_offset};
use crate::source_task::WorkerSourceTask;
use crate::table_feed::Tables;
use crate::topic_creation::TopicCreation;
use crate::transformation_chain::Chain;

/// How often a task that was started paused looks whether it may begin.
const PAUSED: Duration = Duration::from_millis(100);

pub(crate) async fn run(
    spec: TaskSpec,
    control: Rc<Control>,
    reporter: Reporter,
) -> Result<TaskState, ConnectError> {
    if spec.target == TargetState::Paused {
        reporter.state(TaskState::Paused);
    }
    while control.paused() {
        if !control.sleep(PAUSED).await {
            return Ok(TaskState::Unassigned);
        }
    }
    let class = spec.connector.get("connector.class").map(|class| class.trim()).unwrap_or_default();
    let plugin = spec
        .plugins
        .connector(class)
        .ok_or_else(|| ConnectError::fatal(format!("no connector class {class:?} is built in")))?;
    match plugin.task {
        NewTask::Sink(new) => sink(&spec, new(), control, reporter).await?.run().await,
        NewTask::Source(new) => match Box::pin(source(&spec, new(), control, reporter)).await? {
            Some(task) => task.run().await,
            None => Ok(TaskState::Unassigned),
        },
    }
}

async fn sink(
    spec: &TaskSpec,
    mut task: Box<dyn SinkTask>,
    control: Rc<Control>,
    reporter: Reporter,
) -> Result<WorkerSinkTask, ConnectError> {
    let settings = ErrorSettings::of(&spec.connector);
    let converters = Converters::of(spec)?;
    converters.desks.check()?;
    let steps = steps(&spec.connector, &spec.plugins)?;
    let tables = Tables::open(&steps, spec, &control, &reporter).await?;
    let context = SinkTaskContext::new(spec.id.to_string(), settings.has_reporter());
    task.start(&spec.task, Rc::clone(&context)).await?;
    let chain = Chain::compile(converters, steps, task.needs());
    for line in chain.explain() {
        tracing::debug!(task = %spec.id, "plan: {line}");
    }
    let dead_letters = dead_letters(spec, &settings, &reporter, Rc::clone(&control)).await?;
    let Reading { consumer, job, positions, most_records } = reading(spec, &reporter).await?;
    let mut offsets = SinkOffsets::default();
    if !positions.is_empty() {
        offsets.assign(&positions);
        task.open(&positions).await?;
    }
    reporter.state(TaskState::Running);
    let flush_interval = settings::flush_interval(&spec.worker);
    Ok(WorkerSinkTask {
        task,
        context,
        handle: consumer.handle(),
        consumer,
        chain,
        tables,
        errors: Errors {
            policy: ErrorPolicy::new(Rc::clone(reporter.metrics()), settings),
            dead_letters,
        },
        job,
        control,
        reporter,
        flush_interval,
        flush_timeout: settings::flush_timeout(&spec.worker),
        offsets,
        arena_bytes: 0,
        rest: Rest::new(),
        next_commit: Instant::now() + spread(&spec.id, flush_interval),
        progress: Progress::default(),
        next_report: Instant::now(),
        next_count: Instant::now(),
        paused: false,
        most_records,
        times: Vec::new(),
    })
}

/// Where a sink task's records come from.
struct Reading {
    consumer: Consumer,
    job: Option<BoundedJob>,
    /// Of a bulk job, whose partitions do not come and go.
    positions: Offsets,
    /// That one `put` gets.
    most_records: usize,
}

/// The consumer: a member of the connector's group, or, for a bulk job, the reader of its share.
async fn reading(spec: &TaskSpec, reporter: &Reporter) -> Result<Reading, ConnectError> {
    let mut map = settings::consumer(&spec.worker, &spec.connector, &spec.id);
    if spec.bounds.is_some() {
        // A misspelt topic fails the job; asking for it must not make it.
        map.insert("allow.auto.create.topics".to_owned(), "false".to_owned());
    }
    let parsed =
        ConsumerConfig::parse(&map).map_err(|problems| client_refused("consumer.", &problems))?;
    ignored(spec, "consumer", &parsed.unknown);
    let subscription = Subscription::of(&spec.connector)?;
    let cluster = Cluster::for_consumer(&parsed.config);
    let most = parsed.config.max_poll_records.and_then(|most| usize::try_from(most).ok());
    let most_records = most.unwrap_or(usize::MAX);
    let mut consumer = Consumer::new(cluster, parsed.config);
    let Some(bounds) = &spec.bounds else {
        let earlier = reporter.life().earlier_member.clone();
        consumer.subscribe_after(topics(&subscription)?, earlier).map_err(consume_error)?;
        return Ok(Reading { consumer, job: None, positions: Offsets::new(), most_records });
    };
    let (job, positions) = assign(&mut consumer, &subscription, bounds, reporter).await?;
    Ok(Reading { consumer, job: Some(job), positions, most_records })
}

fn topics(subscription: &Subscription) -> Result<Topics, ConnectError> {
    Ok(match subscription {
        Subscription::Topics(topics) => Topics::topics(topics.iter().map(String::as_str)),
        Subscription::Pattern(pattern) => {
            let regex = pattern_of(pattern)?;
            Topics::pattern(move |topic| regex.is_match(topic).unwrap_or(false))
        }
    })
}

/// Java's `matches`: the whole topic.
fn pattern_of(pattern: &str) -> Result<Regex, ConnectError> {
    Regex::new(&format!("^(?:{pattern})$")).map_err(|error| {
        ConnectError::fatal(format!(
            "Invalid value {pattern} for configuration topics.regex: {error}"
        ))
    })
}

/// Assigns a bulk job's share of the partitions, from its start; gives its ends and positions.
async fn assign(
    consumer: &mut Consumer,
    subscription: &Subscription,
    bounds: &Bounds,
    reporter: &Reporter,
) -> Result<(BoundedJob, Offsets), ConnectError> {
    let all = partitions(consumer.cluster(), subscription, reporter).await?;
    let mine = share(all.into_iter(), bounds.share);
    let ends = match bounds.until {
        None | Some(Position::Latest) => {
            consumer.end_offsets(&mine).await.map_err(consume_error)?
        }
        Some(position) => resolve(consumer, &mine, position).await?,
    };
    let from: Vec<(TopicPartition, ReadFrom)> = match bounds.from {
        None => mine.iter().map(|name| (name.clone(), ReadFrom::Committed)).collect(),
        Some(Position::Earliest) => {
            mine.iter().map(|name| (name.clone(), ReadFrom::Reset(OffsetReset::Earliest))).collect()
        }
        Some(position) => resolve(consumer, &mine, position)
            .await?
            .into_iter()
            .map(|(name, offset)| (name, ReadFrom::At(offset)))
            .collect(),
    };
    consumer.assign(&from).map_err(consume_error)?;
    let positions = consumer.positions().await.map_err(consume_error)?;
    let ends = ends.iter().map(|(name, offset)| (api_name(name), *offset)).collect();
    let positions = positions.iter().map(|(name, offset)| (api_name(name), *offset)).collect();
    Ok((BoundedJob::new(ends), positions))
}

/// Every partition of the topics, sorted; a broker that is away is asked until it is there.
async fn partitions(
    cluster: &Cluster,
    subscription: &Subscription,
    reporter: &Reporter,
) -> Result<Vec<TopicPartition>, ConnectError> {
    match subscription {
        Subscription::Topics(topics) => {
            cluster.follow(topics.iter().map(String::as_str));
        }
        Subscription::Pattern(_) => cluster.follow_all(true),
    }
    let wanted: Box<dyn Fn(&str) -> bool> = match subscription {
        Subscription::Topics(topics) => {
            Box::new(|topic| topics.iter().any(|wanted| wanted == topic))
        }
        Subscription::Pattern(pattern) => {
            let regex = pattern_of(pattern)?;
            Box::new(move |topic| regex.is_match(topic).unwrap_or(false))
        }
    };
    let mut backoff = cluster.backoff();
    let metadata = loop {
        match cluster.refresh().await {
            Ok(metadata) => break metadata,
            Err(error) if error.is_retriable() && backoff.failures() < ATTEMPTS => {
                reporter.trouble(Some(error.to_string()));
                millrace_net::rt::sleep(backoff.next_wait()).await;
            }
            Err(error) => return Err(consume_error(error)),
        }
    };
    reporter.trouble(None);
    let mut found = Vec::new();
    for (name, topic) in metadata.topics.iter().filter(|(name, _)| wanted(name)) {
        let count = topic.partitions.len() as i32;
        found.extend((0..count).map(|partition| TopicPartition::new(name.clone(), partition)));
    }
    if let Subscription::Topics(topics) = subscription
        && let Some(missing) =
            topics.iter().find(|topic| !found.iter().any(|name| *name.topic == ***topic))
    {
        return Err(ConnectError::fatal(format!(
            "the topic {missing} does not exist; check topics= and bootstrap.servers="
        )));
    }
    Ok(found)
}

/// Tries to reach the brokers before a bulk job gives up.
const ATTEMPTS: u32 = 30;

async fn resolve(
    consumer: &Consumer,
    names: &[TopicPartition],
    position: Position,
) -> Result<Vec<(TopicPartition, i64)>, ConnectError> {
    let ends = consumer.end_offsets(names).await.map_err(consume_error)?;
    match position {
        Position::Latest => Ok(ends),
        Position::Earliest => consumer.beginning_offsets(names).await.map_err(consume_error),
        Position::Offset(offset) => {
            Ok(ends.into_iter().map(|(name, end)| (name, offset.min(end))).collect())
        }
        Position::Timestamp(time) => {
            let asked: Vec<_> = names.iter().map(|name| (name.clone(), time)).collect();
            let found = consumer.offsets_for_times(&asked).await.map_err(consume_error)?;
            let at = |name: &TopicPartition, end| {
                let listed = found.iter().find(|listed| listed.name == *name);
                listed.map(|listed| listed.offset).filter(|offset| *offset >= 0).unwrap_or(end)
            };
            Ok(ends.into_iter().map(|(name, end)| (name.clone(), at(&name, end))).collect())
        }
    }
}

async fn dead_letters(
    spec: &TaskSpec,
    settings: &ErrorSettings,
    reporter: &Reporter,
    control: Rc<Control>,
) -> Result<Option<DeadLetters>, ConnectError> {
    let Some(topic) = &settings.dead_letter_topic else { return Ok(None) };
    let admin = admin(spec, format!("connector-dlq-adminclient-{}", spec.id))?;
    let producer = producer(spec, format!("connector-dlq-producer-{}", spec.id))?;
    let metrics = Rc::clone(reporter.metrics());
    DeadLetters::open(metrics, settings, topic, &admin, producer, control).await.map(Some)
}

fn admin(spec: &TaskSpec, client_id: String) -> Result<Admin, ConnectError> {
    let mut map = settings::admin(&spec.worker, &spec.connector, client_id);
    map.insert("allow.auto.create.topics".to_owned(), "false".to_owned());
    let parsed =
        ClientConfig::parse(&map).map_err(|problems| client_refused("admin.", &problems))?;
    Ok(Admin::new(Cluster::new(parsed.config)))
}

fn producer(spec: &TaskSpec, client_id: String) -> Result<Producer, ConnectError> {
    let map = settings::producer(&spec.worker, &spec.connector, client_id);
    let parsed =
        ProducerConfig::parse(&map).map_err(|problems| client_refused("producer.", &problems))?;
    ignored(spec, "producer", &parsed.unknown);
    Ok(Producer::new(Cluster::new(parsed.config.client.clone()), parsed.config))
}

fn ignored(spec: &TaskSpec, client: &str, keys: &[String]) {
    for key in keys {
        tracing::warn!(task = %spec.id, "{client}.{key} is not known and is ignored");
    }
}

/// `None`: the task was to stop before it began.
async fn source(
    spec: &TaskSpec,
    mut task: Box<dyn SourceTask>,
    control: Rc<Control>,
    reporter: Reporter,
) -> Result<Option<WorkerSourceTask>, ConnectError> {
    let mut converters = Converters::of(spec)?;
    converters.desks.check()?;
    let steps = steps(&spec.connector, &spec.plugins)?;
    converters.desks.attach_tables(&steps);
    let tables = Tables::open(&steps, spec, &control, &reporter).await?;
    let (store, connector) = (spec.offsets.clone(), spec.id.connector.clone());
    let context = SourceTaskContext::new(spec.id.to_string(), move |partition| {
        let key = key(&connector, partition);
        // Within the store's lock nothing may stop this core.
        aside(|| store.get(&key)).and_then(|bytes| parse_offset(&bytes))
    });
    let topics = TopicCreation::of(&spec.worker, &spec.connector, || {
        admin(spec, format!("connector-adminclient-{}", spec.id))
    })?;
    let producer = match &spec.exactly_once {
        None => producer(spec, format!("connector-producer-{}", spec.id))?,
        Some(once) => match Box::pin(exactly_once::open(spec, once, &control)).await? {
            Some(producer) => producer,
            None => return Ok(None),
        },
    };
    // What was stored before now is read first.
    if !control.answered(|tell| aside(|| spec.offsets.catch_up(tell))).await? {
        return Ok(None);
    }
    let config: &Config = &spec.task;
    task.start(config, Rc::clone(&context)).await?;
    reporter.state(TaskState::Running);
    let flush_interval = settings::flush_interval(&spec.worker);
    let policy =
        ErrorPolicy::new(Rc::clone(reporter.metrics()), ErrorSettings::of(&spec.connector));
    let transactions = spec.exactly_once.as_ref().map(|once| Transactions::of(spec, once));
    if transactions.is_some() {
        reporter.metrics().counts().has_transactions();
    }
    Ok(Some(WorkerSourceTask {
        task,
        settlement: Settlement::new(producer, policy, reporter, context, transactions.is_some()),
        transactions,
        outgoing: Outgoing {
            steps,
            converters,
            topics,
            key: Vec::new(),
            value: Vec::new(),
            header_values: Vec::new(),
            header_ranges: Vec::new(),
        },
        tables,
        control,
        flush_interval,
        flush_timeout: settings::flush_timeout(&spec.worker),
        store: spec.offsets.clone(),
        arena: Arena::new(),
        next_flush: Instant::now() + spread(&spec.id, flush_interval),
        next_report: Instant::now(),
        paused: false,
        records: Vec::new(),
    }))
}
