//! The least that reads a topic: our Kafka client in a loop, without a worker around it.
//!
//! `--bare` runs it beside the worker, as a process of its own, so that what the worker adds can be
//! told from what Kafka, the client and the machine take. It takes the same two files: the topics,
//! where to write lines (`file`), where to write latencies (`null.latency.file`).

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use millrace_api::Config;
use millrace_api::config_def::split_list;
use millrace_herder::properties;
use millrace_kafka::config::ConsumerConfig;
use millrace_kafka::consumer::{Consumer, Fetched, News, Polled};
use millrace_kafka::group::Subscription;
use millrace_kafka::{Cluster, KafkaError};
use millrace_net::rt;

use super::super::prepare::worker_of;
use super::super::{CONNECTOR, Failure, loggers, plugins, signals};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    worker: PathBuf,
    connector: PathBuf,
}

/// How soon a wish to stop is heard.
const HEARING: Duration = Duration::from_millis(100);

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    loggers::start("warn");
    let file = properties::load(&arguments.worker).map_err(Failure::startup)?;
    let worker = worker_of(file.clone(), &plugins::gather(), "the worker's file")?;
    let connector = properties::load_connector(&arguments.connector)
        .map_err(|error| Failure::new(CONNECTOR, error))?;
    let stop = signals::stop_flag();
    // On the same CPU as the worker's first core, spinning as long.
    let mut core = rt::CoreOptions::new("bare", worker.cores.first().copied());
    core.spin = Duration::from_micros(worker.spin_us());
    core.runtime = worker.runtime();
    let (reply, answer) = flume::bounded(1);
    let started = rt::start_core(core, move || async move {
        let outcome = consume(file, connector.config, &stop).await;
        let _ = reply.send(outcome.map_err(|error| error.to_string()));
    });
    let failed = |why: String| Failure::new(1, format!("the bare consumer: {why}"));
    started.map_err(|error| failed(error.to_string()))?.join().map_err(failed)?;
    answer.recv().map_err(|error| failed(error.to_string()))?.map_err(failed)
}

/// The settings that the worker would give its consumer.
fn settings(worker: &Config, connector: &Config) -> Config {
    let mut settings = worker.clone();
    let below = |config: &Config, prefix: &str| -> Config {
        let rest = |(key, value): (&String, &String)| {
            Some((key.strip_prefix(prefix)?.to_owned(), value.clone()))
        };
        config.iter().filter_map(rest).collect()
    };
    settings.extend(below(worker, "consumer."));
    let name = connector.get("name").map_or("bare", |name| name.trim());
    settings.insert("group.id".to_owned(), format!("connect-{name}"));
    settings.insert("auto.offset.reset".to_owned(), "earliest".to_owned());
    settings.extend(below(connector, "consumer.override."));
    settings
}

async fn consume(
    worker: Config,
    connector: Config,
    stop: &Arc<AtomicBool>,
) -> Result<(), KafkaError> {
    let config = ConsumerConfig::parse(&settings(&worker, &connector)).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        KafkaError::config(lines.join("; "))
    })?;
    let every = worker.get("offset.flush.interval.ms").and_then(|text| text.parse().ok());
    let every = Duration::from_millis(every.unwrap_or(60_000));
    let mut taken =
        Taken::open(&connector).map_err(|error| KafkaError::config(error.to_string()))?;
    let topics = split_list(connector.get("topics").map_or("", String::as_str));
    let mut consumer = Consumer::new(Cluster::for_consumer(&config.config), config.config);
    consumer.subscribe(Subscription::topics(topics.iter().map(String::as_str)))?;
    let mut committed = Instant::now();
    loop {
        let last = stop.load(Ordering::SeqCst);
        match consumer.poll(HEARING).await? {
            Polled::Records(fetched) => taken.take(&fetched)?,
            Polled::News(News::Rebalancing(_) | News::Revoking(_)) => commit(&consumer).await?,
            Polled::Empty | Polled::News(_) => {}
        }
        if last || committed.elapsed() >= every {
            committed = Instant::now();
            commit(&consumer).await?;
        }
        if last {
            taken.flush().map_err(|error| KafkaError::config(error.to_string()))?;
            consumer.close().await;
            return Ok(());
        }
    }
}

async fn commit(consumer: &Consumer) -> Result<(), KafkaError> {
    let names = consumer.assignment();
    let offsets: Vec<_> =
        names.into_iter().filter_map(|name| Some((consumer.position(&name)?, name))).collect();
    let offsets: Vec<_> = offsets.into_iter().map(|(offset, name)| (name, offset)).collect();
    if offsets.is_empty() { Ok(()) } else { consumer.commit(&offsets).await }
}

/// Where records go.
struct Taken {
    latencies: Option<File>,
    lines: Option<File>,
    buffer: Vec<u8>,
}

impl Taken {
    fn open(connector: &Config) -> std::io::Result<Self> {
        let named = |key: &str| connector.get(key).filter(|path| !path.is_empty());
        let latencies = named("null.latency.file")
            .map(|path| File::create(format!("{path}-bare")))
            .transpose()?;
        let lines = named("file")
            .map(|path| File::options().append(true).create(true).open(path))
            .transpose()?;
        Ok(Self { latencies, lines, buffer: Vec::new() })
    }

    fn take(&mut self, fetched: &Fetched<'_>) -> Result<(), KafkaError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = (now.as_micros() as i64).to_be_bytes();
        let failed = |error: std::io::Error| KafkaError::config(error.to_string());
        for segment in fetched.segments() {
            for record in segment.records() {
                let record = record.map_err(|error| KafkaError::corrupt(error.to_string()))?;
                if self.lines.is_some() {
                    self.buffer.extend_from_slice(record.value.unwrap_or_default());
                    self.buffer.push(b'\n');
                } else {
                    self.buffer.extend_from_slice(&record.timestamp.to_be_bytes());
                    self.buffer.extend_from_slice(&now);
                }
            }
        }
        // Lines are seen when they are written; latencies only have to be there at the end.
        if self.lines.is_some() || self.buffer.len() > 64 << 10 {
            self.flush().map_err(failed)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if let Some(file) = self.lines.as_mut().or(self.latencies.as_mut()) {
            file.write_all(&self.buffer)?;
        }
        self.buffer.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_consumers_settings_are_those_of_the_worker() {
        let config = |pairs: &[(&str, &str)]| -> Config {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let worker = config(&[("bootstrap.servers", "b:1"), ("consumer.fetch.min.bytes", "7")]);
        let connector = config(&[("name", "x"), ("consumer.override.fetch.max.wait.ms", "9")]);
        let settings = settings(&worker, &connector);
        for (key, value) in [
            ("bootstrap.servers", "b:1"),
            ("fetch.min.bytes", "7"),
            ("fetch.max.wait.ms", "9"),
            ("group.id", "connect-x"),
            ("auto.offset.reset", "earliest"),
        ] {
            assert_eq!(settings[key], value);
        }
    }
}
