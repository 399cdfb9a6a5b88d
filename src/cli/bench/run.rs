//! One run: the worker started, its records counted where they arrive, its figures read, the worker
//! ended.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use millrace_api::Config;

use super::super::{Failure, broker::rest};
use super::child::{Cpu, Process};
use super::clients::{self, Access, Counted, Filled, Filling, Seen, Watch};
use super::figures::Run;
use super::jvm::Jvm;
use super::latency::Latency;
use super::open_loop::Schedule;
use super::plan::{Kind, Plan};
use super::rest_client;
use super::tap::Tap;

/// How often is looked what has arrived.
const LOOK: Duration = Duration::from_millis(20);
/// What a worker may take to start.
const START: Duration = Duration::from_secs(240);
/// Without any record for so long, beside the interval of commits, a run is over.
const STALL: Duration = Duration::from_secs(20);
/// Seconds of records before those that count, at a rate: for ours, and for the JVM's compiler.
const WARM_SECONDS: f64 = 2.0;
const WARM_SECONDS_JVM: f64 = 10.0;

/// Whose worker is measured.
pub(super) enum Side {
    Ours,
    /// Ours again, for what noise alone does.
    Control,
    Jvm(Jvm),
    /// The Kafka client alone.
    Bare,
}

impl Side {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Ours => "millrace",
            Self::Control => "millrace-again",
            Self::Jvm(_) => "jvm",
            Self::Bare => "bare",
        }
    }
}

/// What all runs share.
pub(super) struct Bench<'a> {
    pub plan: &'a Plan,
    pub access: Access,
    pub dir: &'a Path,
    pub stop: Arc<AtomicBool>,
    /// Told apart from benches before: part of connector and group names.
    pub unique: String,
    /// What was filled in before the first run.
    pub filled: Filled,
}

/// One run under way.
struct Started {
    process: Process,
    watch: Watch,
    name: String,
    /// Of its REST API, if it has one.
    port: Option<u16>,
    /// Records to come, the warm-up among them.
    target: u64,
    warm_up: u64,
    to_rest: Duration,
    /// How long nothing may come.
    patience: Duration,
}

impl Started {
    fn running(&self) -> Result<bool, String> {
        self.port.map_or(Ok(true), |port| rest_client::running(port, &self.name))
    }
}

impl Bench<'_> {
    pub(super) fn measure(&self, side: &Side, number: usize) -> Result<Run, Failure> {
        let dir = self.dir.join(format!("{}-{number}", side.name()));
        std::fs::create_dir_all(&dir).map_err(|error| {
            Failure::startup(format!("{} cannot be used: {error}", dir.display()))
        })?;
        let base = self.plan.connector.get("name").map_or("bench", |name| name.trim());
        let name = format!("{base}-{}-{number}-{}", side.name(), self.unique);
        let mut connector = self.plan.connector.clone();
        connector.insert("name".to_owned(), name.clone());
        let tap = self.plan.rate.and_then(|_| {
            let class = self.plan.plugin.class;
            Tap::of(class, &mut connector, &dir)
        });
        let (counted, target, warm_up) = self.counted(side, &name, &mut connector)?;
        let started = self.start(side, &dir, name, connector, counted, target, warm_up)?;
        let (mut run, begun) = match self.plan.rate {
            None => (self.follow(started, None)?, None),
            Some(rate) => self.at_rate(started, rate)?,
        };
        if let (Some(tap), Some(begun), Some(rate)) = (tap, begun, self.plan.rate) {
            let all = tap.deliveries().map_err(|error| {
                Failure::new(1, format!("the latencies cannot be read: {error}"))
            })?;
            run.latency = Latency::of(&all, Schedule { begin: begun, rate }.due(warm_up) * 1000);
        }
        Ok(run)
    }

    /// What is counted, how much of it will come, and how much of that is warm-up.
    fn counted(
        &self,
        side: &Side,
        name: &str,
        connector: &mut Config,
    ) -> Result<(Counted, u64, u64), Failure> {
        let topics = self.plan.topics();
        let jvm = matches!(side, Side::Jvm(_));
        if let Kind::Source(_) = self.plan.kind {
            if let Some(records) = self.plan.records {
                limit_source(connector, records);
            }
            let from = clients::ends_now(&self.access, topics)?;
            let target = self.plan.records.unwrap_or(u64::MAX);
            let default = if jvm { target / 3 } else { 0 };
            let counted = Counted::Arrived { topics: topics.to_vec(), from };
            return Ok((counted, target, self.plan.warm_up.unwrap_or(default)));
        }
        let group = connector
            .get("consumer.override.group.id")
            .cloned()
            .unwrap_or_else(|| format!("connect-{name}"));
        let span = clients::prepare(&self.access, topics, self.plan.partitions)?;
        let (from, target, default) = match self.plan.rate {
            None => {
                let there = span.records();
                (span.begins, there, if jvm { there / 3 } else { 0 })
            }
            Some(rate) => {
                let seconds = if jvm { WARM_SECONDS_JVM } else { WARM_SECONDS };
                (span.ends, self.plan.records.unwrap_or(0), (rate * seconds) as u64)
            }
        };
        clients::start_group_at(&self.access, &group, &from)?;
        let warm_up = self.plan.warm_up.unwrap_or(default);
        // At a rate the warm-up comes before the records that were asked for.
        let target = if self.plan.rate.is_some() { target + warm_up } else { target };
        Ok((Counted::Committed { group, from }, target, warm_up))
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one run, used once")]
    fn start(
        &self,
        side: &Side,
        dir: &Path,
        name: String,
        connector: Config,
        counted: Counted,
        target: u64,
        warm_up: u64,
    ) -> Result<Started, Failure> {
        let failed =
            |error: std::io::Error| Failure::startup(format!("{}: {error}", dir.display()));
        let port = rest_client::free_port().map_err(failed)?;
        let worker = self.worker(side, dir, port);
        let connector = match side {
            Side::Jvm(jvm) => jvm.connector(connector),
            _ => connector,
        };
        let (worker_file, connector_file) =
            (dir.join("worker.properties"), dir.join("connector.properties"));
        std::fs::write(&worker_file, text(&worker)).map_err(failed)?;
        std::fs::write(&connector_file, text(&connector)).map_err(failed)?;
        let mut command = match side {
            Side::Jvm(jvm) => jvm.command(),
            _ => {
                let mut command = Command::new(std::env::current_exe().map_err(failed)?);
                let bare = matches!(side, Side::Bare);
                command.arg(if bare { "bare-consumer" } else { "connect-standalone" });
                command
            }
        };
        command.arg(&worker_file).arg(&connector_file);
        let flush = worker.get("offset.flush.interval.ms").and_then(|text| text.parse().ok());
        // Made before the process, so that the first record is seen when it comes.
        let watch = Watch::start(&self.access, counted, LOOK)?;
        let mut process = Process::start(command, &dir.join("log"))?;
        let has_rest = !matches!(side, Side::Bare);
        while has_rest && rest_client::get(port, "/connectors").is_none() {
            process.must_live(side.name())?;
            if process.started.elapsed() > START || self.stop.load(Ordering::SeqCst) {
                let words = process.last_words();
                return Err(Failure::new(1, format!("{} does not answer:\n{words}", side.name())));
            }
            rest(Duration::from_millis(1));
        }
        let to_rest = process.started.elapsed();
        let port = has_rest.then_some(port);
        let patience = STALL + Duration::from_millis(flush.unwrap_or(60_000));
        Ok(Started { process, watch, name, port, target, warm_up, to_rest, patience })
    }

    /// The worker's file: as given, with what a run needs of its own.
    fn worker(&self, side: &Side, dir: &Path, port: u16) -> Config {
        let mut worker = self.plan.worker.clone();
        if let Some(servers) = self.access.0.get("bootstrap.servers") {
            worker.insert("bootstrap.servers".to_owned(), servers.clone());
        }
        worker.insert("listeners".to_owned(), format!("http://127.0.0.1:{port}"));
        let offsets = dir.join("offsets").display().to_string();
        worker.insert("offset.storage.file.filename".to_owned(), offsets);
        if let Side::Jvm(_) = side {
            worker.retain(|key, _| !key.starts_with("millrace."));
        }
        worker
    }

    /// Produces at the rate once the tasks run, and follows what arrives. Also when the first record
    /// was due.
    fn at_rate(&self, mut started: Started, rate: f64) -> Result<(Run, Option<i64>), Failure> {
        while !self.stop.load(Ordering::SeqCst) {
            match started.running() {
                Ok(true) => break,
                Ok(false) => started.process.must_live(&started.name)?,
                Err(trace) => return Err(failed_task(&trace)),
            }
            if started.process.started.elapsed() > START {
                return Err(Failure::new(1, "the connector's tasks do not start"));
            }
            rest(Duration::from_millis(20));
        }
        let filling = Filling {
            topics: self.plan.topics().to_vec(),
            maker: Arc::clone(&self.plan.maker),
            first: 0,
            records: started.target,
            rate: Some(rate),
            settings: self.plan.producer.clone(),
        };
        let (done, over) = (Arc::new(AtomicU64::new(0)), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let producing = scope.spawn(|| {
                let filled = clients::fill(&self.access, filling, &done, &self.stop);
                over.store(true, Ordering::SeqCst);
                filled
            });
            let run = self.follow(started, Some(&over));
            if run.is_err() {
                // Nobody is left to measure: the producer need not go on.
                self.stop.store(true, Ordering::SeqCst);
            }
            let filled = producing
                .join()
                .map_err(|_| Failure::new(1, "the producer's thread died"))
                .and_then(|filled| filled);
            let mut run = run?;
            let filled = filled?;
            if filled.late > 20 {
                eprintln!("  the producer was up to {} ms late itself", filled.late);
            }
            run.bytes = share(filled, run.records);
            Ok((run, Some(filled.begun)))
        })
    }

    /// Follows the run to its end. `producing` turns true when no more records are made.
    fn follow(&self, mut started: Started, producing: Option<&AtomicBool>) -> Result<Run, Failure> {
        let mut track = Track::new(started.warm_up, started.process.started);
        let mut asked = Instant::now();
        let mut moved = Instant::now();
        let mut interrupted = false;
        while track.last.records < started.target {
            if let Ok(seen) = started.watch.seen.recv_timeout(Duration::from_millis(100)) {
                let seen = seen.map_err(|error| {
                    Failure::new(1, format!("what has arrived cannot be counted: {error}"))
                })?;
                if track.take(seen, || started.process.cpu()) {
                    moved = Instant::now();
                }
            }
            if self.stop.load(Ordering::SeqCst) {
                interrupted = true;
                break;
            }
            started.process.must_live(&started.name)?;
            if asked.elapsed() > Duration::from_secs(1) {
                asked = Instant::now();
                started.running().map_err(|trace| failed_task(&trace))?;
            }
            let alive = producing.is_some_and(|over| !over.load(Ordering::SeqCst));
            if producing.is_none() && self.plan.duration.is_some_and(|most| track.begun() > most) {
                break;
            }
            if !alive && moved.elapsed() > started.patience {
                eprintln!(
                    "  {} of {} records arrived, then none for {} s",
                    track.last.records,
                    started.target,
                    started.patience.as_secs()
                );
                break;
            }
        }
        let words = started.process.last_words();
        let run = self.finish(started, &track, interrupted);
        match (run.records, interrupted, track.last.records) {
            (0, false, 0) => Err(Failure::new(1, format!("no record arrived:\n{words}"))),
            (0, false, _) => Err(Failure::new(
                1,
                "all records came with the warm-up: nothing is left to count; give it more",
            )),
            _ => Ok(run),
        }
    }

    fn finish(&self, started: Started, track: &Track, interrupted: bool) -> Run {
        let peak_rss = started.process.memory("VmHWM");
        let (begin, to_rest, warm_up) =
            (started.process.started, started.to_rest, started.warm_up > 0);
        let so_far = started.process.cpu();
        let life = started.process.end();
        // The whole life counts where there is no warm-up: start, end and all.
        let from = track.warm.unwrap_or(track.last);
        let (records, wall, cpu) = match (warm_up, interrupted || track.last.records == 0) {
            (false, _) => (track.last.records, track.last.at - begin, life),
            (true, true) if track.warm.is_none() => (0, Duration::ZERO, Cpu::default()),
            (true, _) => (
                track.last.records - from.records,
                track.last.at - from.at,
                track.last.cpu.unwrap_or(so_far).since(from.cpu.unwrap_or_default()),
            ),
        };
        Run {
            records,
            bytes: share(self.filled, records),
            wall,
            cpu,
            peak_rss,
            to_rest,
            to_first: track.first.map(|at| at.saturating_duration_since(begin)),
            latency: None,
            interrupted,
        }
    }
}

/// A built-in generator makes no more than what is counted.
fn limit_source(connector: &mut Config, records: u64) {
    let class = connector.get("connector.class").map_or("", |class| class.trim());
    let limited = connector.contains_key("iterations") || connector.contains_key("max");
    if class == "millrace.DatagenSourceConnector" && !limited {
        connector.insert("max".to_owned(), records.to_string());
    }
}

fn failed_task(trace: &str) -> Failure {
    Failure::new(1, format!("the connector failed:\n{trace}"))
}

/// The bytes of some of the records filled in.
fn share(filled: Filled, records: u64) -> Option<u64> {
    let all = u128::from(filled.records);
    let bytes = u128::from(filled.bytes) * u128::from(records);
    (all > 0).then(|| (bytes / all) as u64)
}

/// A properties file.
fn text(config: &Config) -> String {
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('\n', "\\n");
    config
        .iter()
        .map(|(key, value)| {
            let key = escaped(key).replace('=', "\\=").replace(':', "\\:").replace(' ', "\\ ");
            // A leading space would be taken for the separator's.
            let lead = if value.starts_with(' ') { "\\" } else { "" };
            format!("{key}={lead}{}\n", escaped(value))
        })
        .collect()
}

/// A point of a run.
#[derive(Clone, Copy)]
struct Point {
    at: Instant,
    records: u64,
    cpu: Option<Cpu>,
}

/// What is remembered of what was seen.
struct Track {
    warm_up: u64,
    started: Instant,
    first: Option<Instant>,
    /// The first look at which the warm-up was over.
    warm: Option<Point>,
    /// The last look at which more had arrived.
    last: Point,
}

impl Track {
    fn new(warm_up: u64, started: Instant) -> Self {
        let last = Point { at: started, records: 0, cpu: None };
        Self { warm_up, started, first: None, warm: None, last }
    }

    /// Whether more has arrived.
    fn take(&mut self, seen: Seen, cpu: impl FnOnce() -> Cpu) -> bool {
        if seen.records <= self.last.records {
            return false;
        }
        self.first.get_or_insert(seen.at);
        self.last = Point { at: seen.at, records: seen.records, cpu: Some(cpu()) };
        if seen.records >= self.warm_up {
            self.warm.get_or_insert(self.last);
        }
        true
    }

    /// Since the records that count began.
    fn begun(&self) -> Duration {
        let from = match self.warm_up {
            0 => Some(self.started),
            _ => self.warm.map(|point| point.at),
        };
        from.map_or(Duration::ZERO, |from| from.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_herder::properties;

    #[test]
    fn files_written_are_read_back() {
        let config: Config = [
            ("plain", "value"),
            ("path", "C:\\x"),
            ("lines", "a\nb"),
            ("lead", "  two"),
            ("odd key=a", "#not a comment = x"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        assert_eq!(properties::parse(&text(&config)), config);
    }

    #[test]
    fn the_warm_up_does_not_count() {
        let started = Instant::now();
        let at = |ms| started + Duration::from_millis(ms);
        let cpu = |ms| Cpu { user: Duration::from_millis(ms), system: Duration::ZERO };
        let mut track = Track::new(100, started);
        for (ms, records) in [(10, 0), (20, 50), (30, 120), (40, 120), (50, 300)] {
            track.take(Seen { at: at(ms), records }, || cpu(ms));
        }
        assert_eq!(track.first, Some(at(20)));
        let warm = track.warm.unwrap();
        assert_eq!((warm.at, warm.records, warm.cpu), (at(30), 120, Some(cpu(30))));
        assert_eq!((track.last.at, track.last.records), (at(50), 300));
    }

    #[test]
    fn bytes_are_shared_out() {
        let filled = Filled { records: 10, bytes: 1000, ..Filled::default() };
        assert_eq!(share(filled, 3), Some(300));
        assert_eq!(share(Filled::default(), 3), None);
    }
}
