//! `millrace transform`: a connector's converters, predicates and transforms on records from
//! standard input, without Kafka.

mod lines;

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::Arc;

use millrace_api::Config;
use millrace_api::plugin::Plugins;
use millrace_api::sink::Need;
use millrace_converters::Converter;
use millrace_converters::json::{DecimalFormat, JsonConverter, JsonConverterConfig, WriteOptions};
use millrace_herder::properties;
use millrace_herder::validation::Validator;
use millrace_herder::worker_config::WorkerConfig;
use millrace_worker::command::{SourceOffsetStore, TargetState, TaskId, TaskSpec};
use millrace_worker::trial::Trial;

use super::{Failure, USAGE, loggers, plugins, prepare};

/// Try a connector's converters and transforms without Kafka.
///
/// Reads one JSON record a line: {"topic","partition","offset","timestamp","key","value",
/// "headers":[{"key","value"}]}, all optional. Keys, values and header values are the serialised
/// bytes: a JSON string is that text, "base64:…" is bytes, null is null, other JSON its compact
/// text. Writes one line a record, key, value and header values as JsonConverter envelopes;
/// {"dropped":true} for a record that was filtered out; {"error","message"} for one that failed.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The connector: .properties, or JSON; connector.class may be missing
    connector: PathBuf,
    /// The worker's properties; without them JsonConverter with schemas, as in Kafka's own samples
    #[arg(long)]
    worker: Option<PathBuf>,
    /// Print the compiled plan, for sinks that take typed values and for those that take JSON text,
    /// and read nothing
    #[arg(long)]
    explain: bool,
    /// Compile as for a sink that writes JSON: what no transform reads stays text
    #[arg(long)]
    text: bool,
}

const JSON_CONVERTER: &str = "org.apache.kafka.connect.json.JsonConverter";

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    loggers::start("warn");
    let plugins = plugins::gather();
    let refused = |message: String| Failure::new(USAGE, message);
    let worker = worker(arguments.worker.as_deref(), &plugins)
        .map_err(|failure| refused(failure.message))?;
    let mut config = properties::load_settings(&arguments.connector).map_err(refused)?;
    config.entry("name".to_owned()).or_insert_with(|| "transform".to_owned());
    check(&config, &worker, &plugins)?;
    let resolved = worker.providers.try_resolve(&config).map_err(refused)?.config;
    let spec = spec(&worker, resolved, plugins);
    let compile = |need| Trial::compile(&spec, need).map_err(|errors| refused(errors.join("\n")));
    if arguments.explain {
        for (need, sink) in [(Need::Full, "typed values"), (Need::Json, "JSON text")] {
            if need == Need::Json || !arguments.text {
                println!("for a sink that takes {sink}:");
                compile(need)?.explain().iter().for_each(|line| println!("  {line}"));
            }
        }
        return Ok(());
    }
    let mut trial = compile(if arguments.text { Need::Text } else { Need::Full })?;
    answer(&mut trial, &mut std::io::stdin().lock()).map_err(|error| refused(error.to_string()))
}

/// The worker's settings: a standalone or a distributed worker's file, of which only the
/// converters and config providers matter here.
fn worker(path: Option<&std::path::Path>, plugins: &Plugins) -> Result<WorkerConfig, Failure> {
    let mut file = match path {
        Some(path) => properties::load(path).map_err(Failure::startup)?,
        None => Config::new(),
    };
    for (key, value) in [
        ("bootstrap.servers", "localhost:9092"),
        ("key.converter", JSON_CONVERTER),
        ("value.converter", JSON_CONVERTER),
        ("offset.storage.file.filename", "none"),
    ] {
        file.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    }
    let what = path.map_or_else(|| "the worker".to_owned(), |path| path.display().to_string());
    prepare::worker_of(file, plugins, &what)
}

/// Every error of the configuration at once. A connector that is built in is checked as a whole.
fn check(config: &Config, worker: &WorkerConfig, plugins: &Arc<Plugins>) -> Result<(), Failure> {
    let validator = Validator::new(worker.clone(), Arc::clone(plugins));
    let class = config.get("connector.class").map(|class| class.trim()).unwrap_or_default();
    let infos = if plugins.connector(class).is_some() {
        validator.validate(config).map_err(|error| Failure::new(USAGE, error.to_string()))?
    } else {
        validator.validate_chain(config)
    };
    // The validators' words name the key without the transform's prefix.
    let named = |key: &str, error: &String| match error.contains(key) {
        true => error.clone(),
        false => format!("{key}: {error}"),
    };
    let errors: Vec<String> = infos
        .configs
        .iter()
        .flat_map(|config| config.value.errors.iter().map(|error| named(&config.value.name, error)))
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(Failure::new(USAGE, errors.join("\n"))) }
}

/// A store for a task that never asks it.
struct NoOffsets;

impl SourceOffsetStore for NoOffsets {
    fn get(&self, _key: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn put(
        &self,
        _entries: Vec<(Vec<u8>, Option<Vec<u8>>)>,
        done: Box<dyn FnOnce(Result<(), String>) + Send>,
    ) {
        done(Ok(()));
    }
}

fn spec(worker: &WorkerConfig, connector: Config, plugins: Arc<Plugins>) -> TaskSpec {
    let name = connector.get("name").map(String::as_str).unwrap_or_default().into();
    TaskSpec {
        id: TaskId { connector: name, task: 0 },
        generation: 1,
        worker: Arc::clone(&worker.properties),
        connector: Arc::new(connector),
        task: Arc::new(Config::new()),
        plugins,
        target: TargetState::Started,
        offsets: Arc::new(NoOffsets),
        bounds: None,
        exactly_once: None,
    }
}

/// One answer a line, until the input ends.
fn answer(trial: &mut Trial, input: &mut dyn BufRead) -> std::io::Result<()> {
    let mut envelope = JsonConverter::new(JsonConverterConfig {
        write: WriteOptions { decimal_format: DecimalFormat::Numeric, ..Default::default() },
        ..Default::default()
    });
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut line = Vec::new();
    let mut answer = Vec::new();
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return out.flush();
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        answer.clear();
        lines::answer(trial, &mut envelope as &mut dyn Converter, &line, &mut answer);
        answer.push(b'\n');
        if let Err(error) = out.write_all(&answer) {
            // A reader that has seen enough is no error.
            return if error.kind() == std::io::ErrorKind::BrokenPipe {
                Ok(())
            } else {
                Err(error)
            };
        }
    }
}
