//! `ElasticsearchSinkTask`: records into bulks, bulks on their way, and which offsets are durable.

use std::rc::Rc;
use std::time::{Duration, Instant};

use millrace_api::converters::DataError;
use millrace_api::error::ConnectError;
use millrace_api::record::{Origin, Record, TopicPartition};
use millrace_api::sink::{Need, Needs, Offsets, SinkTask, SinkTaskContext};
use millrace_api::{Config, LocalFuture};
use millrace_net::http::{Body, Method};
use millrace_net::rt;

use super::bulk::{Bulk, Item};
use super::cluster::Cluster;
use super::config::{self, Malformed, Settings};
use super::delivery::{Broken, Shared, Window};
use super::document::{Action, Place, WriteMethod, write_action};
use super::flights::{Flights, Landed};
use super::resources::Resources;

/// Longest that one call waits for answers before it gives the batch back: the worker must stay able
/// to stop the task.
const MAX_WAIT: Duration = Duration::from_secs(2);
/// How long partitions that are given up wait for what is under way.
const CLOSE_WAIT: Duration = Duration::from_secs(3);
/// A bulk that fills slowly goes at this age even if others are under way.
const MAX_AGE: Duration = Duration::from_secs(1);

/// A task of the sink.
#[derive(Default)]
pub struct ElasticsearchSinkTask {
    sink: Option<Sink>,
}

/// A started task.
struct Sink {
    settings: Settings,
    context: Rc<SinkTaskContext>,
    shared: Rc<Shared>,
    resources: Resources,
    flights: Flights,
    /// The bulk that is being filled, and since when.
    open: Bulk,
    opened: Instant,
    /// A document in `open` must wait for its predecessor.
    held: bool,
    spare: Vec<Bulk>,
    /// Partitions by their number in items.
    slots: Vec<TopicPartition>,
    /// Where to go on when the same batch comes again.
    resume: Option<Resume>,
    /// Records of the current batch for the dead letter queue. With one, each batch is seen through
    /// before the next: only then can the worker find the record.
    condemned: Vec<(usize, DataError)>,
    /// When Elasticsearch last took something.
    progress: Instant,
    /// Why the task cannot go on.
    failure: Option<String>,
}

/// A batch that was given back in the middle.
struct Resume {
    next: usize,
    len: usize,
    ends: [Option<(i32, i64)>; 2],
}

/// Why filling stopped before the end of the batch.
enum Stop {
    Done,
    /// The bulk is full; go on at that record.
    Full(usize),
    /// That record's topic is new.
    Unknown(usize),
    /// That record cannot become a document.
    Failed(usize, DataError),
}

/// The topic and partition of the last record: they come in runs.
#[derive(Default)]
struct Run<'a> {
    origin: Option<(&'a str, i32)>,
    slot: u32,
    topic: Option<&'a str>,
    target: usize,
}

fn same(a: Option<&str>, b: &str) -> bool {
    a.is_some_and(|a| std::ptr::eq(a, b) || a == b)
}

fn place_of(record: &Record<'_>) -> Option<(i32, i64)> {
    match record.origin {
        Origin::Sink { partition, offset, .. } => Some((partition, offset)),
        Origin::Source { .. } => None,
    }
}

impl Sink {
    async fn start(config: &Config, context: Rc<SinkTaskContext>) -> Result<Self, ConnectError> {
        let settings = config::parse(config).map_err(crate::refused)?;
        let cluster = Cluster::new(settings.connection.clone(), settings.max_in_flight).await?;
        greet(&cluster).await?;
        let shared = Rc::new(Shared {
            cluster,
            window: Window::new(settings.max_in_flight),
            patience: settings.flush_timeout,
            conflicts_are_done: settings.rules.method == WriteMethod::Create,
            trouble: Default::default(),
        });
        Ok(Self {
            resources: Resources::new(settings.naming.clone()),
            flights: Flights::new(Rc::clone(&shared)),
            shared,
            settings,
            context,
            open: Bulk::default(),
            opened: Instant::now(),
            held: false,
            spare: Vec::new(),
            slots: Vec::new(),
            resume: None,
            condemned: Vec::new(),
            progress: Instant::now(),
            failure: None,
        })
    }

    fn needs(&self) -> Needs {
        let rules = &self.settings.rules;
        Needs {
            key: if rules.reads_keys() { Need::Full } else { Need::Nothing },
            value: Need::Text,
            headers: rules.reads_headers(),
        }
    }

    async fn put(&mut self, records: &[Record<'_>]) -> Result<(), ConnectError> {
        self.land()?;
        if records.is_empty() {
            return self.idle();
        }
        let mut at = self.resumed(records);
        let mut run = Run::default();
        loop {
            match self.fill(records, at, &mut run)? {
                Stop::Done => break,
                Stop::Full(next) => {
                    at = next;
                    if !self.make_room(MAX_WAIT).await? {
                        return Err(self.give_back(records, at));
                    }
                }
                Stop::Unknown(index) => {
                    at = index;
                    let record = &records[index];
                    let (cluster, rules) = (&self.shared.cluster, &self.settings.rules);
                    let schema = record.value.schema;
                    self.resources.resolve(cluster, rules, record.topic, schema).await?;
                }
                Stop::Failed(index, error) => {
                    at = index + 1;
                    self.invalid(&records[index], index, error)?;
                }
            }
            rt::yield_if_needed().await;
        }
        if self.context.has_reporter() {
            if !self.settle(MAX_WAIT).await? {
                return Err(self.give_back(records, records.len()));
            }
            for (index, error) in self.condemned.drain(..) {
                self.context.report(index, error);
            }
            return Ok(());
        }
        self.linger();
        Ok(())
    }

    /// Writes records into the open bulk; nothing waits here.
    fn fill<'a>(
        &mut self,
        records: &[Record<'a>],
        from: usize,
        run: &mut Run<'a>,
    ) -> Result<Stop, ConnectError> {
        let room = self.settings.max_buffered.saturating_sub(self.flights.records());
        let most = self.settings.batch_size.min(room);
        for (index, record) in records.iter().enumerate().skip(from) {
            if self.open.items.len() >= most || self.open.body.len() >= self.settings.bulk_bytes {
                return Ok(Stop::Full(index));
            }
            let Origin::Sink { topic, partition, offset, .. } = record.origin else {
                return Err(ConnectError::fatal("a sink task was given a source record"));
            };
            if !run.origin.is_some_and(|(known, p)| p == partition && same(Some(known), topic)) {
                run.origin = Some((topic, partition));
                run.slot = self.slot(topic, partition);
            }
            if !same(run.topic, record.topic) {
                let Some(target) = self.resources.find(record.topic) else {
                    return Ok(Stop::Unknown(index));
                };
                (run.topic, run.target) = (Some(record.topic), target);
            }
            let start = self.open.body.len() as u32;
            let target = self.resources.target(run.target);
            let place = Place { partition, offset };
            let rules = &self.settings.rules;
            match write_action(rules, target, record, place, &mut self.open.body) {
                Ok(Action::Written { versioned, id }) => {
                    if self.open.is_empty() {
                        self.opened = Instant::now();
                    }
                    if let Some(id) = id {
                        self.held |= self.flights.holds(id);
                        self.open.ids.push(id);
                    }
                    let index = index as u32;
                    self.open.push(Item { start, slot: run.slot, offset, index, versioned });
                }
                Ok(Action::Nothing) => {}
                Ok(Action::NullIgnored) => {
                    if self.context.has_reporter() {
                        let error = DataError::with_class(
                            ConnectError::CONNECT,
                            "Cannot write null valued record.",
                        );
                        self.condemned.push((index, error));
                    }
                }
                Err(error) => return Ok(Stop::Failed(index, error)),
            }
        }
        Ok(Stop::Done)
    }

    fn slot(&mut self, topic: &str, partition: i32) -> u32 {
        let same = |known: &TopicPartition| known.partition == partition && *known.topic == *topic;
        let at = self.slots.iter().position(same).unwrap_or_else(|| {
            self.slots.push(TopicPartition::new(topic, partition));
            self.slots.len() - 1
        });
        at as u32
    }

    /// A record that cannot become a document.
    fn invalid(
        &mut self,
        record: &Record<'_>,
        index: usize,
        error: DataError,
    ) -> Result<(), ConnectError> {
        let (partition, offset) = place_of(record).unwrap_or_default();
        if self.context.has_reporter() {
            self.condemned.push((index, error));
            return Ok(());
        }
        // The message may repeat what the record holds: the log gets the place and the kind.
        let place = format!("topic={} partition={partition} offset={offset}", record.topic);
        if self.settings.drop_invalid {
            tracing::error!("Can't convert record from {place}. Failure type: {}", error.class);
            return Ok(());
        }
        let message = format!(
            "Can't convert record from {place}: {} (drop.invalid.message=true drops such records; a \
             dead letter queue keeps them)",
            error.message
        );
        Err(ConnectError { message, ..ConnectError::from(error) })
    }

    /// Sends the open bulk when a request may be under way more; waits for that. `false` when it took
    /// too long, or when Elasticsearch is in trouble.
    async fn make_room(&mut self, limit: Duration) -> Result<bool, ConnectError> {
        let until = Instant::now() + limit;
        loop {
            self.land()?;
            if self.may_launch() && !self.open.is_empty() {
                self.launch();
            }
            if self.open.is_empty() && self.flights.records() < self.settings.max_buffered {
                return Ok(true);
            }
            if !self.wait(until).await? {
                return Ok(false);
            }
        }
    }

    /// Sends everything and waits for all answers; `false` as for [`Self::make_room`].
    async fn settle(&mut self, limit: Duration) -> Result<bool, ConnectError> {
        let until = Instant::now() + limit;
        while !self.open.is_empty() {
            if !self.make_room(until.saturating_duration_since(Instant::now())).await? {
                return Ok(false);
            }
        }
        loop {
            self.land()?;
            if self.flights.is_empty() {
                return Ok(true);
            }
            if !self.wait(until).await? {
                return Ok(false);
            }
        }
    }

    /// Waits for an answer. `false` at the time's end, or when Elasticsearch is in trouble.
    async fn wait(&mut self, until: Instant) -> Result<bool, ConnectError> {
        if self.progress.elapsed() > self.settings.flush_timeout && self.flights.trouble().is_none()
        {
            return Err(ConnectError::fatal(
                "Could not make space in the internal buffer fast enough. Consider increasing \
                 flush.timeout.ms or max.buffered.records.",
            ));
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || self.flights.trouble().is_some() {
            return Ok(false);
        }
        self.flights.news(left.min(Duration::from_millis(100))).await;
        Ok(true)
    }

    fn may_launch(&self) -> bool {
        if self.held { self.flights.is_empty() } else { self.flights.has_room() }
    }

    fn launch(&mut self) {
        if self.flights.is_empty() {
            self.progress = Instant::now();
        }
        let next = self.spare.pop().unwrap_or_default();
        self.flights.launch(std::mem::replace(&mut self.open, next));
        self.held = false;
    }

    /// Takes what has ended. After a failure, and ever after, the failure.
    fn land(&mut self) -> Result<(), ConnectError> {
        while let Some(landed) = self.flights.land() {
            self.progress = Instant::now();
            let number = landed.number;
            match self.take(landed) {
                Ok(()) => self.flights.done(number),
                // It stays among the flights: what it held is never durable.
                Err(why) => {
                    self.failure.get_or_insert(why);
                }
            }
        }
        match &self.failure {
            Some(why) => Err(ConnectError::fatal(why.clone())),
            None => Ok(()),
        }
    }

    fn take(&mut self, landed: Landed) -> Result<(), String> {
        let Landed { mut bulk, refused, outcome, .. } = landed;
        outcome.map_err(|broken| match broken {
            Broken::Request(why) => format!("Bulk request failed: {why}"),
            Broken::Item(item, why) => {
                format!("Indexing record failed, {}: {why}", self.describe(&bulk, item))
            }
        })?;
        for (item, error) in refused {
            let place = self.describe(&bulk, item);
            match self.settings.malformed {
                Malformed::Fail => {
                    return Err(format!(
                        "Encountered an illegal document, {place}: {}. To ignore future records like \
                         this, change the configuration 'behavior.on.malformed.documents' to 'IGNORE'.",
                        error.message
                    ));
                }
                Malformed::Warn => tracing::warn!("ignoring an illegal document, {place}"),
                Malformed::Ignore => tracing::debug!("ignoring an illegal document, {place}"),
            }
            if self.context.has_reporter() {
                let index = bulk.items.get(item).map_or(0, |item| item.index);
                self.condemned.push((index as usize, error));
            }
        }
        if self.spare.len() < self.settings.max_in_flight {
            bulk.clear(self.settings.bulk_bytes);
            self.spare.push(bulk);
        }
        Ok(())
    }

    /// Where an item's record is in Kafka.
    fn describe(&self, bulk: &Bulk, item: usize) -> String {
        let Some(item) = bulk.items.get(item) else { return "an unknown record".to_owned() };
        match self.slots.get(item.slot as usize) {
            Some(slot) => format!("record {slot} at offset {}", item.offset),
            None => format!("record at offset {}", item.offset),
        }
    }

    /// Nothing came: what waits for company has waited long enough.
    fn idle(&mut self) -> Result<(), ConnectError> {
        self.linger();
        match self.flights.trouble() {
            Some(trouble) => Err(ConnectError::retriable(trouble)),
            None => Ok(()),
        }
    }

    /// Sends a bulk that is not full once it is `linger.ms` old, if nothing else is under way or it
    /// gets too old; otherwise asks to be called again soon.
    fn linger(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let age = self.opened.elapsed();
        let due = if self.flights.is_empty() { self.settings.linger } else { MAX_AGE };
        if age >= due && self.may_launch() {
            return self.launch();
        }
        let wait = self.settings.linger.clamp(Duration::from_millis(1), MAX_AGE);
        self.context
            .timeout(wait.max(Duration::from_millis(u64::from(!self.flights.is_empty()) * 5)));
    }

    fn give_back(&mut self, records: &[Record<'_>], next: usize) -> ConnectError {
        let ends = [records.first(), records.last()].map(|record| record.and_then(place_of));
        self.resume = Some(Resume { next, len: records.len(), ends });
        self.context.timeout(Duration::from_millis(20));
        ConnectError::retriable(self.flights.trouble().unwrap_or_else(|| {
            format!("Elasticsearch answers slowly ({})", self.shared.cluster.address())
        }))
    }

    /// Where to begin: a batch that was given back goes on in its middle.
    fn resumed(&mut self, records: &[Record<'_>]) -> usize {
        let ends = [records.first(), records.last()].map(|record| record.and_then(place_of));
        match self.resume.take() {
            Some(resume) if resume.len == records.len() && resume.ends == ends => resume.next,
            _ => {
                self.condemned.clear();
                0
            }
        }
    }

    async fn pre_commit(&mut self, consumed: &Offsets) -> Result<Offsets, ConnectError> {
        // A failure that was told keeps its offsets from being durable, and nothing else.
        if self.failure.is_none() {
            self.land()?;
            if self.settings.flush_synchronously {
                // What is not there by then is committed later.
                self.settle(self.settings.flush_timeout).await?;
            } else if !self.open.is_empty() && self.may_launch() {
                self.launch();
            }
        }
        let durable = consumed.iter().map(|(partition, offset)| {
            let slot = self.slots.iter().position(|known| known == partition);
            let first = slot.and_then(|slot| self.first_of(slot as u32));
            (partition.clone(), first.map_or(*offset, |first| first.min(*offset)))
        });
        Ok(durable.collect())
    }

    /// The lowest offset of a partition that is not in Elasticsearch.
    fn first_of(&self, slot: u32) -> Option<i64> {
        let open = self.open.firsts.iter().find(|(known, _)| *known == slot);
        let open = open.map(|(_, offset)| *offset);
        [open, self.flights.first_of(slot)].into_iter().flatten().min()
    }

    async fn close(&mut self, partitions: &[TopicPartition]) {
        let slots: Vec<u32> = (0u32..)
            .zip(&self.slots)
            .filter(|(_, slot)| partitions.contains(slot))
            .map(|(at, _)| at)
            .collect();
        self.open.forget(&slots);
        self.resume = None;
        // Whoever gets the partitions sends again what is not committed; better without company.
        let until = Instant::now() + CLOSE_WAIT;
        while !self.flights.is_empty() && self.land().is_ok() {
            if !self.wait(until).await.unwrap_or(false) {
                break;
            }
        }
    }

    async fn finish(&mut self) -> Result<(), ConnectError> {
        if self.settle(MAX_WAIT).await? {
            return Ok(());
        }
        Err(ConnectError::retriable(self.flights.trouble().unwrap_or_else(|| {
            format!("waiting for the last answers of {}", self.shared.cluster.address())
        })))
    }
}

/// Asks the cluster who it is: a wrong password shows now, not with the first records. A cluster that
/// is away may come back.
async fn greet(cluster: &Cluster) -> Result<(), ConnectError> {
    match cluster.send(Method::Get, "/", &[], Body::Empty).await {
        Ok(answer) if answer.status == 401 => Err(ConnectError::fatal(format!(
            "Could not authenticate the user at {}. Check the 'connection.username' and \
             'connection.password'{}.",
            cluster.address(),
            // Some proxies answer so where 407 would be right.
            if cluster.is_proxied() { ", and 'proxy.username' and 'proxy.password'" } else { "" }
        ))),
        Ok(answer) if answer.status == 407 => Err(ConnectError::fatal(
            "The proxy refused the request (407). Check the 'proxy.username' and 'proxy.password'.",
        )),
        Ok(answer) => {
            let value: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let version = value["version"]["number"].as_str().unwrap_or("unknown");
            tracing::info!("connected to {}, version {version}", cluster.address());
            Ok(())
        }
        Err(error) => {
            tracing::warn!("{} cannot be reached: {error}", cluster.address());
            Ok(())
        }
    }
}

impl ElasticsearchSinkTask {
    fn sink(&mut self) -> Result<&mut Sink, ConnectError> {
        self.sink.as_mut().ok_or_else(|| ConnectError::fatal("the task was not started"))
    }
}

impl SinkTask for ElasticsearchSinkTask {
    fn start<'a>(
        &'a mut self,
        config: &'a Config,
        context: Rc<SinkTaskContext>,
    ) -> LocalFuture<'a, Result<(), ConnectError>> {
        Box::pin(async {
            self.sink = Some(Sink::start(config, context).await?);
            Ok(())
        })
    }

    fn needs(&self) -> Needs {
        self.sink.as_ref().map(Sink::needs).unwrap_or_default()
    }

    fn put<'a>(
        &'a mut self,
        records: &'a [Record<'a>],
    ) -> LocalFuture<'a, Result<(), ConnectError>> {
        Box::pin(async { self.sink()?.put(records).await })
    }

    fn pre_commit<'a>(
        &'a mut self,
        consumed: &'a Offsets,
    ) -> LocalFuture<'a, Result<Offsets, ConnectError>> {
        Box::pin(async { self.sink()?.pre_commit(consumed).await })
    }

    fn close<'a>(
        &'a mut self,
        partitions: &'a [TopicPartition],
    ) -> LocalFuture<'a, Result<(), ConnectError>> {
        Box::pin(async {
            self.sink()?.close(partitions).await;
            Ok(())
        })
    }

    fn finish(&mut self) -> LocalFuture<'_, Result<(), ConnectError>> {
        Box::pin(async { self.sink()?.finish().await })
    }

    fn stop(&mut self) -> LocalFuture<'_, ()> {
        // Dropping it ends what is under way.
        self.sink = None;
        Box::pin(std::future::ready(()))
    }
}
