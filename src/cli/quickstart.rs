//! `millrace quickstart`: no Kafka, no S3, nothing else installed. An embedded broker, sample
//! events through the real engine into a topic, and an export of it in the S3 sink's layout.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use millrace_api::Config;
use millrace_broker::{Broker, BrokerHandle, BrokerOptions};

use super::export::export;
use super::job::{Outcome, used};
use super::prepare::{Prepared, worker_of};
use super::progress::{bytes, grouped};
use super::{Failure, loggers, plugins, runtime, signals, standalone};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many sample events
    #[arg(long, default_value_t = 3_000_000)]
    records: u64,
    /// Use this Kafka instead of the embedded broker
    #[arg(long)]
    bootstrap_servers: Option<String>,
    /// Where the topic and the export are kept; a new folder by default
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Leave the worker and its REST API running on 127.0.0.1:8083
    #[arg(long)]
    keep_running: bool,
}

const TOPIC: &str = "millrace-quickstart";
const BUCKET: &str = "quickstart";

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let loggers = loggers::start("warn");
    runtime(None, 1)?;
    let dir = folder(arguments.dir.as_deref())?;
    let stop = signals::stop_flag();
    let broker = match &arguments.bootstrap_servers {
        Some(_) => None,
        None => Some(start_broker(&dir)?),
    };
    let servers = match (&arguments.bootstrap_servers, &broker) {
        (Some(servers), _) => servers.clone(),
        (None, Some(broker)) => broker.addr().to_string(),
        (None, None) => unreachable!("one of both is there"),
    };
    println!(
        "1. {} sample events of 254 bytes into the topic {TOPIC} on {servers}",
        grouped(arguments.records)
    );
    let filled = job(&servers, &dir, source(arguments.records), &stop)?;
    let acknowledged = filled.tally.records_out;
    let seconds = filled.elapsed.as_secs_f64().max(1e-9);
    println!(
        "   {} acknowledged, {} records/s\n",
        grouped(acknowledged),
        grouped((acknowledged as f64 / seconds) as u64)
    );

    println!("2. Export: JSON converter, three transforms, gzip, the S3 sink's layout");
    let before = used().0;
    let exported = job(&servers, &dir, sink(&dir), &stop)?;
    tell(&exported, used().0.saturating_sub(before));
    let objects = dir.join(BUCKET).join("topics");
    println!("\n3. The files are below {}", objects.display());
    show_one(&objects);
    println!("\nWhat to try next:");
    println!("   millrace quickstart --bootstrap-servers YOUR_KAFKA:9092");
    println!(
        "   millrace export CONNECTOR.properties --worker WORKER.properties    (see examples/)"
    );
    println!("   millrace connect-standalone WORKER.properties CONNECTOR.properties");
    if arguments.keep_running {
        println!("\nThe worker runs on: http://127.0.0.1:8083/connectors; Ctrl-C ends it.");
        standalone::serve(keep(&servers, &dir), &[], Some(sink(&dir)), loggers)?;
    }
    if let Some(broker) = broker {
        broker.stop_blocking().map_err(|error| Failure::startup(format!("the broker: {error}")))?;
    }
    Ok(())
}

fn folder(wanted: Option<&Path>) -> Result<PathBuf, Failure> {
    let failed = |path: &Path, error: std::io::Error| {
        Failure::startup(format!(
            "{} cannot be used: {error}; choose another with --dir",
            path.display()
        ))
    };
    match wanted {
        Some(path) => {
            std::fs::create_dir_all(path).map_err(|error| failed(path, error))?;
            path.canonicalize().map_err(|error| failed(path, error))
        }
        None => tempfile::Builder::new()
            .prefix("millrace-quickstart-")
            .tempdir()
            .map(tempfile::TempDir::keep)
            .map_err(|error| failed(&std::env::temp_dir(), error)),
    }
}

fn start_broker(dir: &Path) -> Result<BrokerHandle, Failure> {
    let options = BrokerOptions::new(([127, 0, 0, 1], 0).into(), dir.join("broker"));
    Broker::spawn_thread(options, None)
        .map_err(|error| Failure::startup(format!("the embedded broker cannot start: {error}")))
}

fn config(pairs: &[(&str, &str)]) -> Config {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn worker_file(servers: &str, dir: &Path) -> Config {
    let offsets = dir.join("offsets");
    config(&[
        ("bootstrap.servers", servers),
        ("key.converter", "org.apache.kafka.connect.storage.StringConverter"),
        ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
        ("value.converter.schemas.enable", "false"),
        ("offset.storage.file.filename", &offsets.to_string_lossy()),
    ])
}

fn keep(servers: &str, dir: &Path) -> Config {
    let mut file = worker_file(servers, dir);
    file.insert("listeners".to_owned(), "http://127.0.0.1:8083".to_owned());
    file
}

fn source(records: u64) -> Config {
    config(&[
        ("name", "quickstart-events"),
        ("connector.class", "millrace.DatagenSourceConnector"),
        ("kafka.topic", TOPIC),
        ("quickstart", "events"),
        ("iterations", &records.to_string()),
        ("random.seed", "7"),
        ("producer.override.compression.type", "lz4"),
        ("producer.override.linger.ms", "20"),
        ("producer.override.batch.size", "65536"),
    ])
}

fn sink(dir: &Path) -> Config {
    config(&[
        ("name", "quickstart-export"),
        ("connector.class", "io.confluent.connect.s3.S3SinkConnector"),
        ("topics", TOPIC),
        ("storage.class", "io.confluent.connect.s3.storage.S3Storage"),
        ("format.class", "io.confluent.connect.s3.format.json.JsonFormat"),
        ("store.url", &format!("file://{}", dir.display())),
        ("s3.bucket.name", BUCKET),
        ("s3.compression.type", "gzip"),
        ("s3.compression.level", "1"),
        ("flush.size", "500000"),
        ("transforms", "source,mask,shape"),
        ("transforms.source.type", "org.apache.kafka.connect.transforms.InsertField$Value"),
        ("transforms.source.static.field", "source"),
        ("transforms.source.static.value", "quickstart"),
        ("transforms.mask.type", "org.apache.kafka.connect.transforms.MaskField$Value"),
        ("transforms.mask.fields", "ip"),
        ("transforms.shape.type", "org.apache.kafka.connect.transforms.ReplaceField$Value"),
        ("transforms.shape.renames", "ua:user_agent"),
        ("transforms.shape.exclude", "ref"),
    ])
}

/// Runs one connector to its end.
fn job(
    servers: &str,
    dir: &Path,
    connector: Config,
    stop: &Arc<AtomicBool>,
) -> Result<Outcome, Failure> {
    let plugins = plugins::gather();
    let worker = worker_of(worker_file(servers, dir), &plugins, "the quickstart's worker")?;
    let prepared = Prepared::check(connector, worker, plugins, "the quickstart's connector")?;
    let outcome = export(&prepared, None, None, stop)?;
    match (&outcome.failure, outcome.interrupted) {
        (Some(trace), _) => Err(Failure::new(1, trace.clone())),
        (None, true) => Err(Failure::new(130, "stopped")),
        (None, false) => Ok(outcome),
    }
}

fn tell(outcome: &Outcome, cpu: Duration) {
    let records = outcome.tally.records_in;
    let rate = |time: Duration| grouped((records as f64 / time.as_secs_f64().max(1e-9)) as u64);
    println!("   {} records ({})", grouped(records), bytes(outcome.tally.bytes_in));
    println!("   {} records/s", rate(outcome.elapsed));
    println!("   {} records per CPU-second, the embedded broker's share included", rate(cpu));
    println!("   {} peak memory", bytes(used().1));
}

/// Prints the name and the first lines of the first file below `dir`.
fn show_one(dir: &Path) {
    let Some(path) = first_file(dir) else { return };
    println!("   {}:", path.display());
    let Ok(file) = std::fs::File::open(&path) else { return };
    let mut text = Vec::new();
    // The beginning is enough; a longer line than this is cut.
    let _ = flate2::read::GzDecoder::new(file).take(1 << 16).read_to_end(&mut text);
    for line in String::from_utf8_lossy(&text).lines().take(2) {
        println!("   {line}");
    }
}

fn first_file(dir: &Path) -> Option<PathBuf> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(dir).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths.iter().find_map(|path| if path.is_dir() { first_file(path) } else { Some(path.clone()) })
}
