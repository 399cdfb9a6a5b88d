//! Feeds the tables that a task's transforms join with: files read on companion threads, topics
//! followed by a consumer of their own.
//!
//! One feeder a table and core, however many tasks use it; it ends when no task does. A task starts
//! once its tables are filled, and fails when one of them cannot be fed any more.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_api::Config;
use millrace_api::error::ConnectError;
use millrace_api::table::{AskError, FeedState, RowError, Table, TableSource, TableUse};
use millrace_kafka::Cluster;
use millrace_kafka::config::{ConsumerConfig, OffsetReset};
use millrace_kafka::consumer::{Consumer, Fetched, Polled};
use millrace_kafka::partitions::{Position, TopicPartition};
use millrace_net::{offload, rt};

use crate::command::{TaskId, TaskSpec};
use crate::control::{Control, HEARING};
use crate::kafka_errors::client_refused;
use crate::metrics::TableFigures;
use crate::plan::Step;
use crate::reporter::Reporter;
use crate::settings;

/// How long a task that ends waits for the feeder to let go of its connections.
const LEAVE: Duration = Duration::from_secs(2);
/// Records of a topic that are taken in before others have a turn.
const AT_ONCE: usize = 64;

/// The tables of one task, each with the alias of its transform.
pub(crate) struct Tables {
    uses: Vec<(String, TableUse)>,
}

impl Tables {
    /// Sees to it that every table is fed, and waits until each was filled once or the task is to
    /// stop.
    pub(crate) async fn open(
        steps: &[Step],
        spec: &TaskSpec,
        control: &Control,
        reporter: &Reporter,
    ) -> Result<Self, ConnectError> {
        let uses = steps.iter().filter_map(|step| {
            let used = step.transformation.table()?;
            used.table.feed().users.update(|users| users + 1);
            Some((step.alias.clone(), used))
        });
        let tables = Self { uses: uses.collect() };
        for (_, used) in &tables.uses {
            start(&used.table, spec);
        }
        let started = Instant::now();
        for (alias, used) in &tables.uses {
            let table = &used.table;
            while !control.stopping() && *table.feed().state.borrow() == FeedState::Filling {
                if started.elapsed() > table.patience() {
                    let limit = table.patience().as_millis();
                    return Err(ConnectError::fatal(format!(
                        "transforms.{alias}: {} was not read within table.load.timeout.ms={limit}",
                        table.name()
                    )));
                }
                if started.elapsed() > Duration::from_secs(1) {
                    reporter.trouble(Some(format!("{} is being read", table.name())));
                }
                rt::sleep(FILLING).await;
            }
        }
        reporter.trouble(None);
        tables.check()?;
        Ok(tables)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.uses.is_empty()
    }

    /// Whether all of them are up to date, as far as is known.
    pub(crate) fn check(&self) -> Result<(), ConnectError> {
        for (alias, used) in &self.uses {
            if let FeedState::Failed(why) = &*used.table.feed().state.borrow() {
                return Err(ConnectError::fatal(format!("transforms.{alias}: {why}")));
            }
        }
        Ok(())
    }

    pub(crate) fn figures(&self) -> Vec<TableFigures> {
        let figures = |(alias, used): &(String, TableUse)| {
            let size = used.table.size();
            TableFigures {
                transform: alias.clone(),
                hits: used.lookups.hits.get(),
                misses: used.lookups.misses.get(),
                rows: size.rows,
                bytes: size.bytes,
                refused: size.refused,
                asked: size.asked,
            }
        };
        self.uses.iter().map(figures).collect()
    }

    /// The task uses them no more; waits a moment for feeders that nobody else needs.
    pub(crate) async fn close(&mut self) {
        let uses = std::mem::take(&mut self.uses);
        for (_, used) in &uses {
            used.table.feed().users.update(|users| users.saturating_sub(1));
        }
        let deadline = Instant::now() + LEAVE;
        for (_, used) in &uses {
            let feed = used.table.feed();
            while feed.users.get() == 0 && feed.driven.get() && Instant::now() < deadline {
                rt::sleep(FILLING).await;
            }
        }
    }
}

impl Drop for Tables {
    /// Of a task that did not come as far as to close them.
    fn drop(&mut self) {
        for (_, used) in &self.uses {
            used.table.feed().users.update(|users| users.saturating_sub(1));
        }
    }
}

/// Between two looks at a table that is being filled.
const FILLING: Duration = Duration::from_millis(10);

/// Starts the feeder of a table that has none.
fn start(table: &Rc<dyn Table>, spec: &TaskSpec) {
    let feed = table.feed();
    if feed.driven.replace(true) {
        return;
    }
    feed.state.replace(FeedState::Filling);
    let (table, worker, id) = (Rc::clone(table), Arc::clone(&spec.worker), spec.id.clone());
    let fed = Rc::clone(&table);
    let feeder = rt::spawn_caught(async move {
        match fed.source().clone() {
            TableSource::Read { again } => read(&*fed, again).await,
            TableSource::Asked => open(&*fed).await,
            TableSource::Topic { topic, consumer } => {
                follow(&*fed, &topic, consumer_settings(&worker, &consumer, &topic, &id)).await
            }
        }
    });
    rt::spawn(async move {
        let why = match feeder.await {
            Ok(Ok(())) => None,
            Ok(Err(why)) | Err(why) => Some(why),
        };
        let feed = table.feed();
        if let Some(why) = why {
            tracing::error!(table = table.name(), why, "the table cannot be fed any more");
            feed.state.replace(FeedState::Failed(why));
        }
        feed.driven.set(false);
    })
    .detach();
}

fn wanted(table: &dyn Table) -> bool {
    table.feed().users.get() > 0
}

fn ready(table: &dyn Table) {
    if table.feed().state.replace(FeedState::Ready) != FeedState::Ready {
        let size = table.size();
        tracing::info!(table = table.name(), rows = size.rows, bytes = size.bytes, "filled");
    }
}

/// Reads the rows again and again. Rows that were read once stay while new ones cannot be.
async fn read(table: &dyn Table, again: Duration) -> Result<(), String> {
    let mut said = String::new();
    while wanted(table) {
        let read = offload::run(table.reading()).await.map_err(|error| error.to_string())?;
        let first = *table.feed().state.borrow() != FeedState::Ready;
        match read {
            Ok(rows) => {
                if let Some(rows) = rows {
                    table.install(rows);
                    let rows = table.size().rows;
                    tracing::debug!(table = table.name(), rows, "read");
                }
                said.clear();
                ready(table);
            }
            Err(why) if first => return Err(why),
            Err(why) if why == said => {}
            Err(why) => {
                tracing::warn!(table = table.name(), why, "cannot be read; the old rows stay");
                said = why;
            }
        }
        let next = Instant::now() + again;
        while wanted(table) && Instant::now() < next {
            rt::sleep(HEARING.min(next.saturating_duration_since(Instant::now()))).await;
        }
    }
    Ok(())
}

/// Whether the rows can be asked for. They are when records want them; there is nothing to feed.
async fn open(table: &dyn Table) -> Result<(), String> {
    let mut said = String::new();
    while wanted(table) {
        let asked = offload::run(table.asking()).await.map_err(|error| error.to_string())?;
        match asked {
            Ok(rows) => {
                table.install(rows);
                ready(table);
                break;
            }
            Err(AskError::Hopeless(why)) => return Err(why),
            Err(AskError::Away(why)) if why == said => {}
            Err(AskError::Away(why)) => {
                tracing::warn!(table = table.name(), why, "cannot be asked yet");
                said = why;
            }
        }
        rt::sleep(HEARING).await;
    }
    while wanted(table) {
        rt::sleep(HEARING).await;
    }
    Ok(())
}

/// The worker's consumer settings with the transform's own, for a consumer without a group.
fn consumer_settings(
    worker: &Config,
    own: &Config,
    topic: &str,
    id: &TaskId,
) -> BTreeMap<String, String> {
    let mut map = settings::consumer(worker, &Config::new(), id);
    map.insert("client.id".to_owned(), format!("connector-table-{topic}-{id}"));
    map.extend(own.clone());
    map.remove("group.id");
    map
}

/// Reads a topic from its beginning and goes on.
async fn follow(
    table: &dyn Table,
    topic: &str,
    map: BTreeMap<String, String>,
) -> Result<(), String> {
    let refused = |problems: Vec<_>| client_refused("table.consumer.", &problems).message;
    let parsed = ConsumerConfig::parse(&map).map_err(refused)?;
    for key in &parsed.unknown {
        tracing::warn!(table = table.name(), "consumer.{key} is not known and is ignored");
    }
    let cluster = Cluster::for_consumer(&parsed.config);
    let mut consumer = Consumer::new(cluster, parsed.config);
    let outcome = follow_with(table, topic, &mut consumer).await;
    let _ = rt::timeout(LEAVE, consumer.close()).await;
    outcome
}

async fn follow_with(
    table: &dyn Table,
    topic: &str,
    consumer: &mut Consumer,
) -> Result<(), String> {
    let Some(ends) = ends(table, topic, consumer).await? else { return Ok(()) };
    let from: Vec<_> = ends
        .iter()
        .map(|(name, _)| (name.clone(), Position::Reset(OffsetReset::Earliest)))
        .collect();
    consumer.assign(&from).map_err(|error| error.to_string())?;
    while wanted(table) {
        let reached = |(name, end): &(TopicPartition, i64)| {
            consumer.position(name).is_some_and(|at| at >= *end)
        };
        if *table.feed().state.borrow() == FeedState::Filling && ends.iter().all(reached) {
            ready(table);
        }
        match consumer.poll(HEARING).await.map_err(|error| error.to_string())? {
            Polled::Records(fetched) => take_in(table, &fetched).await?,
            Polled::News(_) | Polled::Empty => {}
        }
        rt::yield_if_needed().await;
    }
    Ok(())
}

/// The ends of the topic's partitions now; `None`: nobody wants them any more. A broker that is away
/// is asked until it is there; how long, the waiting task says.
async fn ends(
    table: &dyn Table,
    topic: &str,
    consumer: &Consumer,
) -> Result<Option<Vec<(TopicPartition, i64)>>, String> {
    let cluster = consumer.cluster();
    cluster.follow([topic]);
    let mut backoff = cluster.backoff();
    while wanted(table) {
        let asked = async {
            let metadata = cluster.refresh().await?;
            let found = metadata.topics.iter().find(|(name, _)| &***name == topic);
            let count = found.map_or(0, |(_, topic)| topic.partitions.len());
            let names: Vec<_> =
                (0..count as i32).map(|at| TopicPartition::new(topic, at)).collect();
            consumer.end_offsets(&names).await
        };
        match asked.await {
            Ok(ends) if ends.is_empty() => {
                return Err(format!("the topic {topic} does not exist; check table.topic"));
            }
            Ok(ends) => return Ok(Some(ends)),
            Err(error) if error.is_retriable() => {
                tracing::warn!(table = table.name(), "{error}");
                rt::sleep(backoff.next_wait()).await;
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(None)
}

/// Rows of one poll. Records that are none are told of once a poll, and left out.
async fn take_in(table: &dyn Table, fetched: &Fetched<'_>) -> Result<(), String> {
    let mut said = false;
    let mut count = 0;
    for segment in fetched.segments() {
        for raw in segment.records() {
            let place = || format!("{}-{}", segment.topic(), segment.partition());
            let raw = raw.map_err(|error| format!("{}: {error}", place()))?;
            match table.record(raw.key, raw.value) {
                Ok(()) => {}
                Err(RowError::Full(why)) => return Err(why),
                Err(RowError::Refused(why)) => {
                    if !std::mem::replace(&mut said, true) {
                        let offset = raw.offset;
                        tracing::warn!(
                            table = table.name(),
                            "{}@{offset} is no row: {why}",
                            place()
                        );
                    }
                }
            }
            count += 1;
            if count % AT_ONCE == 0 {
                rt::yield_if_needed().await;
            }
        }
    }
    Ok(())
}
