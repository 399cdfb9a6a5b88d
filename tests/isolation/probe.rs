//! A sink and a source that say what is done to them, and do what a test wants.

use std::collections::BTreeMap;
use std::future::ready;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millrace_api::config_def::ConfigDef;
use millrace_api::connector::{ConnectorPlugin, NewTask, SameConfigForAll, no_cross_checks};
use millrace_api::error::ConnectError;
use millrace_api::record::{Origin, Record, TopicPartition};
use millrace_api::sink::{Offsets, SinkTask, SinkTaskContext};
use millrace_api::source::{Polled, SourceRecord, SourceTask, SourceTaskContext};
use millrace_api::{Config, LocalFuture};
use millrace_converters::Arena;
use millrace_net::rt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Opened(Vec<i32>),
    Closed(Vec<i32>),
    /// A put that waits at the gate.
    AtTheGate,
    /// A put of so many records.
    Put(usize),
    /// Partition and offset of a record that was taken.
    Taken(i32, i64),
    Polled,
    /// It holds its core, or has let go of it again.
    Blocks,
    LetsGo,
}

/// A test's view of one task.
#[derive(Default)]
pub struct Probe {
    events: Mutex<Vec<Event>>,
    /// Records are refused, to be handed over again.
    pub refusing: AtomicBool,
    /// A put with records waits as long as this is set.
    pub gated: AtomicBool,
    /// What was taken counts as durable.
    pub durable: AtomicBool,
    /// The task holds its core as long as this is set.
    pub blocking: AtomicBool,
    /// The task takes memory as long as this is set.
    pub hoarding: AtomicBool,
}

impl Probe {
    /// The one that `probe=name` in a configuration means.
    pub fn of(name: &str) -> Arc<Self> {
        static ALL: Mutex<BTreeMap<String, Arc<Probe>>> = Mutex::new(BTreeMap::new());
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(name.to_owned()).or_default())
    }

    pub fn events(&self) -> MutexGuard<'_, Vec<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, event: Event) {
        self.events().push(event);
    }

    /// Partition and offset of everything taken, in order.
    pub fn taken(&self) -> Vec<(i32, i64)> {
        let events = self.events();
        let taken = events.iter().filter_map(|event| match event {
            Event::Taken(partition, offset) => Some((*partition, *offset)),
            _ => None,
        });
        taken.collect()
    }

    /// How often a partition was opened and closed.
    pub fn turns(&self, partition: i32) -> (usize, usize) {
        let events = self.events();
        let opened = |event: &&Event| matches!(event, Event::Opened(of) if of.contains(&partition));
        let closed = |event: &&Event| matches!(event, Event::Closed(of) if of.contains(&partition));
        (events.iter().filter(opened).count(), events.iter().filter(closed).count())
    }

    /// The partitions that are open.
    pub fn open(&self) -> Vec<i32> {
        (0..16).filter(|partition| matches!(self.turns(*partition), (o, c) if o > c)).collect()
    }
}

/// A piece of what a task hoards.
const PIECE: usize = 1 << 20;
/// More than any test lets it have.
const FAR_TOO_MUCH: usize = 2000;

/// What a task does that its neighbours must not suffer from, by `hostile`: `sleeps`, `spins` (both
/// hold the core), `dies` (a panic ends the core), `grabs` (memory, within one call), `hoards` (memory,
/// call by call).
#[derive(Default)]
struct Malice {
    how: String,
    hoard: Vec<Vec<u8>>,
}

impl Malice {
    #[allow(clippy::disallowed_methods, reason = "blocks the core, to see what becomes of it")]
    fn act(&mut self, probe: &Probe) {
        match self.how.as_str() {
            "sleeps" | "spins" if probe.blocking.load(Ordering::SeqCst) => {
                probe.note(Event::Blocks);
                while probe.blocking.load(Ordering::SeqCst) {
                    if self.how == "sleeps" {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                }
                probe.note(Event::LetsGo);
            }
            "dies" if probe.blocking.swap(false, Ordering::SeqCst) => {
                let later = async {
                    rt::sleep(Duration::from_millis(1)).await;
                    panic!("as wanted, and not caught");
                };
                rt::spawn(later).detach();
            }
            "grabs" if probe.hoarding.load(Ordering::SeqCst) => {
                for _ in 0..FAR_TOO_MUCH {
                    self.hoard.push(Vec::with_capacity(PIECE));
                }
                panic!("nobody stopped it");
            }
            "hoards" if probe.hoarding.load(Ordering::SeqCst) => {
                assert!(self.hoard.len() < FAR_TOO_MUCH, "nobody stopped it");
                self.hoard.push(Vec::with_capacity(PIECE));
            }
            _ => {}
        }
    }
}

/// Panics where `panic.in` says.
struct Trap(String);

impl Trap {
    fn spring(&self, place: &str) {
        assert!(self.0 != place, "as wanted, in {place}");
    }
}

struct Task {
    probe: Arc<Probe>,
    trap: Trap,
    malice: Malice,
}

impl Default for Task {
    fn default() -> Self {
        Self { probe: Arc::default(), trap: Trap(String::new()), malice: Malice::default() }
    }
}

impl Task {
    fn start(&mut self, config: &Config) {
        self.probe = Probe::of(config.get("probe").map_or("", String::as_str));
        self.trap = Trap(config.get("panic.in").cloned().unwrap_or_default());
        self.malice.how = config.get("hostile").cloned().unwrap_or_default();
        self.trap.spring("start");
    }
}

impl SinkTask for Task {
    fn start<'a>(
        &'a mut self,
        config: &'a Config,
        _: Rc<SinkTaskContext>,
    ) -> LocalFuture<'a, Result<(), ConnectError>> {
        Task::start(self, config);
        Box::pin(ready(Ok(())))
    }

    fn open<'a>(
        &'a mut self,
        partitions: &'a Offsets,
    ) -> LocalFuture<'a, Result<(), ConnectError>> {
        self.trap.spring("open");
        self.probe.note(Event::Opened(partitions.keys().map(|name| name.partition).collect()));
        Box::pin(ready(Ok(())))
    }

    fn put<'a>(
        &'a mut self,
        records: &'a [Record<'a>],
    ) -> LocalFuture<'a, Result<(), ConnectError>> {
        Box::pin(async move {
            if self.malice.how == "hoards" {
                self.malice.act(&self.probe);
            }
            if records.is_empty() {
                return Ok(());
            }
            self.malice.act(&self.probe);
            self.trap.spring("put");
            self.probe.note(Event::Put(records.len()));
            if self.probe.gated.load(Ordering::SeqCst) {
                self.probe.note(Event::AtTheGate);
                while self.probe.gated.load(Ordering::SeqCst) {
                    rt::sleep(Duration::from_millis(5)).await;
                }
            }
            if self.probe.refusing.load(Ordering::SeqCst) {
                return Err(ConnectError::retriable("not now, as the test wants"));
            }
            for record in records {
                if let Origin::Sink { partition, offset, .. } = record.origin {
                    self.probe.note(Event::Taken(partition, offset));
                }
            }
            Ok(())
        })
    }

    fn pre_commit<'a>(
        &'a mut self,
        consumed: &'a Offsets,
    ) -> LocalFuture<'a, Result<Offsets, ConnectError>> {
        self.trap.spring("pre_commit");
        let durable = self.probe.durable.load(Ordering::SeqCst);
        Box::pin(ready(Ok(if durable { consumed.clone() } else { Offsets::new() })))
    }

    fn close<'a>(
        &'a mut self,
        partitions: &'a [TopicPartition],
    ) -> LocalFuture<'a, Result<(), ConnectError>> {
        self.trap.spring("close");
        self.probe.note(Event::Closed(partitions.iter().map(|name| name.partition).collect()));
        Box::pin(ready(Ok(())))
    }

    fn stop(&mut self) -> LocalFuture<'_, ()> {
        self.trap.spring("stop");
        Box::pin(ready(()))
    }
}

impl SourceTask for Task {
    fn start<'a>(
        &'a mut self,
        config: &'a Config,
        _: Rc<SourceTaskContext>,
    ) -> LocalFuture<'a, Result<(), ConnectError>> {
        Task::start(self, config);
        Box::pin(ready(Ok(())))
    }

    fn poll<'f, 'a: 'f>(
        &'f mut self,
        _: &'a Arena,
        _: &'f mut Vec<SourceRecord<'a>>,
    ) -> LocalFuture<'f, Result<Polled, ConnectError>> {
        Box::pin(async move {
            self.trap.spring("poll");
            if self.trap.0 == "finished" {
                return Ok(Polled::Finished);
            }
            self.malice.act(&self.probe);
            self.probe.note(Event::Polled);
            rt::sleep(Duration::from_millis(20)).await;
            Ok(Polled::More)
        })
    }

    fn stop(&mut self) -> LocalFuture<'_, ()> {
        self.trap.spring("stop");
        Box::pin(ready(()))
    }
}

pub const SINK: ConnectorPlugin = ConnectorPlugin {
    class: "test.ProbeSinkConnector",
    task_class: "test.ProbeSinkTask",
    also: &[],
    version: "1",
    config_def: ConfigDef::new,
    validate: no_cross_checks,
    connector: || Box::new(SameConfigForAll::new(None)),
    task: NewTask::Sink(|| Box::new(Task::default())),
};

pub const SOURCE: ConnectorPlugin = ConnectorPlugin {
    class: "test.ProbeSourceConnector",
    task_class: "test.ProbeSourceTask",
    task: NewTask::Source(|| Box::new(Task::default())),
    ..SINK
};
