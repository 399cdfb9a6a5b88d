//! What is to be measured: the arguments and the two files made into one plan, every mistake told
//! before anything starts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use millrace_api::Config;
use millrace_api::config_def::{Type, split_list};
use millrace_api::connector::ConnectorPlugin;
use millrace_herder::properties;

use super::super::{CONNECTOR, Failure, USAGE, plugins};
use super::Arguments;
use super::records::Maker;

/// How often offsets are committed where the worker's file does not say: what has been delivered is
/// counted by them, so this is the resolution of the wall time.
const FLUSH_MS: &str = "100";

/// What the connector is, and where its records are counted.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// Reads these topics.
    Sink(Vec<String>),
    /// Writes these topics; none if its file does not name them in a key that is known here.
    Source(Vec<String>),
}

/// What Kafka the bench uses.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kafka {
    Embedded,
    Given(String),
}

pub(super) struct Plan {
    /// As in its file, placeholders not resolved.
    pub connector: Config,
    pub worker: Config,
    pub plugin: ConnectorPlugin,
    pub kind: Kind,
    pub kafka: Kafka,
    /// What is filled in, or what a source makes at most; `None`: what is there, or no end.
    pub records: Option<u64>,
    pub duration: Option<Duration>,
    pub rate: Option<f64>,
    /// Records at a run's start that do not count.
    pub warm_up: Option<u64>,
    pub runs: usize,
    pub partitions: i32,
    pub use_topic: bool,
    pub maker: Arc<Maker>,
    /// Of the producer that fills the topics.
    pub producer: Config,
    pub vs: Option<PathBuf>,
    pub aa: bool,
    pub bare: bool,
}

impl Plan {
    pub(super) fn of(arguments: &Arguments) -> Result<Self, Failure> {
        let refused = |message: String| Failure::new(CONNECTOR, message);
        let file = properties::load_connector(&arguments.connector).map_err(refused)?;
        let mut connector = file.config;
        let worker = match &arguments.worker {
            Some(path) => properties::load(path).map_err(Failure::startup)?,
            None => Config::new(),
        };
        if let Some(topic) = &arguments.topic {
            connector.remove("topics.regex");
            connector.insert("topics".to_owned(), topic.clone());
        }
        let plugins = plugins::gather();
        let class = connector.get("connector.class").map(|class| class.trim()).unwrap_or_default();
        let plugin = *plugins.connector(class).ok_or_else(|| {
            refused(format!(
                "{}: no connector class {class:?}; `millrace plugins` lists what is built in",
                arguments.connector.display()
            ))
        })?;
        let kind = kind(&plugin, &connector, arguments).map_err(refused)?;
        let kafka = match (&arguments.bootstrap_servers, worker.get("bootstrap.servers")) {
            (Some(servers), _) => Kafka::Given(servers.clone()),
            _ => Kafka::Embedded,
        };
        check(arguments, &kind).map_err(|message| Failure::new(USAGE, message))?;
        let maker = maker(arguments).map_err(|message| Failure::new(USAGE, message))?;
        let mut worker = with_defaults(worker);
        if kafka == Kafka::Embedded {
            // The file may be of a cluster with security; the embedded broker has none.
            worker.retain(|key, _| !is_security(key));
        }
        Ok(Self {
            worker,
            records: records(arguments, &kind),
            duration: arguments.duration,
            rate: arguments.rate,
            warm_up: arguments.warm_up,
            runs: arguments.runs,
            partitions: arguments.partitions,
            use_topic: arguments.use_topic,
            maker: Arc::new(maker),
            producer: producer(arguments),
            vs: arguments.vs.clone(),
            aa: arguments.aa,
            bare: arguments.bare,
            connector,
            plugin,
            kind,
            kafka,
        })
    }

    pub(super) fn is_sink(&self) -> bool {
        matches!(self.kind, Kind::Sink(_))
    }

    pub(super) fn topics(&self) -> &[String] {
        match &self.kind {
            Kind::Sink(topics) | Kind::Source(topics) => topics,
        }
    }
}

fn kind(
    plugin: &ConnectorPlugin,
    connector: &Config,
    arguments: &Arguments,
) -> Result<Kind, String> {
    let named = |key: &str| {
        connector.get(key).map(|names| split_list(names)).filter(|names| !names.is_empty())
    };
    if plugin.is_sink() {
        let topics = named("topics").ok_or_else(|| {
            format!(
                "{}: topics names no topic; name what is to be read with --topic NAME",
                arguments.connector.display()
            )
        })?;
        return Ok(Kind::Sink(topics));
    }
    // A router among the transforms writes elsewhere; everything that arrives is counted then.
    let routed = connector.get("transforms").is_some_and(|names| !names.trim().is_empty());
    let topics = ["kafka.topic", "topic"].into_iter().find_map(named).filter(|_| !routed);
    Ok(Kind::Source(topics.unwrap_or_default()))
}

/// What clap cannot know: options that do not go together.
fn check(arguments: &Arguments, kind: &Kind) -> Result<(), String> {
    let sink = matches!(kind, Kind::Sink(_));
    if !sink && arguments.rate.is_some() {
        return Err("--rate is for sinks; a source's own settings say how fast it is".to_owned());
    }
    if !sink && (arguments.use_topic || arguments.topic.is_some()) {
        return Err("--topic and --use-topic are for sinks".to_owned());
    }
    if !sink && arguments.bare {
        return Err("--bare is for sinks: it is a consumer".to_owned());
    }
    if arguments.use_topic && arguments.rate.is_some() {
        return Err("--rate produces records, --use-topic produces none: choose one".to_owned());
    }
    if arguments.use_topic && arguments.bootstrap_servers.is_none() {
        return Err(
            "--use-topic needs --bootstrap-servers: the embedded broker's topics are empty"
                .to_owned(),
        );
    }
    if !sink && arguments.records.is_none() && arguments.duration.is_none() {
        return Err("a source needs an end: --records, --duration or both".to_owned());
    }
    if arguments.rate.is_some_and(|rate| !(rate.is_finite() && rate > 0.0)) {
        return Err("--rate must be greater than 0".to_owned());
    }
    if arguments.runs == 0 || arguments.records == Some(0) || arguments.partitions < 1 {
        return Err("--runs, --records and --partitions must be at least 1".to_owned());
    }
    Ok(())
}

/// A million records where nothing else is said; at a rate, ten seconds of them.
fn records(arguments: &Arguments, kind: &Kind) -> Option<u64> {
    let at_rate = |rate: f64| {
        let seconds = arguments.duration.map_or(10.0, |duration| duration.as_secs_f64());
        ((rate * seconds) as u64).max(1)
    };
    match (arguments.records, arguments.rate) {
        (Some(records), _) => Some(records),
        (None, Some(rate)) => Some(at_rate(rate)),
        (None, None) if arguments.use_topic || matches!(kind, Kind::Source(_)) => None,
        (None, None) => Some(1_000_000),
    }
}

fn maker(arguments: &Arguments) -> Result<Maker, String> {
    match (&arguments.template, &arguments.input) {
        (Some(template), _) => Maker::of_template(template),
        (None, Some(path)) => Maker::of_file(path),
        (None, None) => Maker::of_size(arguments.record_size),
    }
}

fn with_defaults(mut worker: Config) -> Config {
    let json = "org.apache.kafka.connect.json.JsonConverter";
    if !worker.contains_key("value.converter") {
        worker.insert("value.converter".to_owned(), json.to_owned());
        worker.insert("value.converter.schemas.enable".to_owned(), "false".to_owned());
    }
    worker
        .entry("key.converter".to_owned())
        .or_insert_with(|| "org.apache.kafka.connect.storage.StringConverter".to_owned());
    worker.entry("offset.flush.interval.ms".to_owned()).or_insert_with(|| FLUSH_MS.to_owned());
    worker
}

/// Whether a worker's key says how its clients get into a cluster.
fn is_security(key: &str) -> bool {
    let prefixes = ["producer.", "consumer.", "admin."];
    let bare = prefixes.into_iter().find_map(|prefix| key.strip_prefix(prefix)).unwrap_or(key);
    ["security.", "sasl.", "ssl."].into_iter().any(|prefix| bare.starts_with(prefix))
}

/// Large lz4 batches to fill a topic; at a rate every record leaves at once.
fn producer(arguments: &Arguments) -> Config {
    let pairs: &[(&str, &str)] = match arguments.rate {
        None => &[("compression.type", "lz4"), ("batch.size", "65536"), ("linger.ms", "20")],
        Some(_) => &[("linger.ms", "0")],
    };
    let mut settings: Config =
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    settings.extend(arguments.producer.iter().cloned());
    settings
}

/// A configuration as it may be shown: what the connector calls a password, and what sounds like
/// one, is hidden.
pub(super) fn masked(config: &Config, plugin: Option<&ConnectorPlugin>) -> Config {
    let def = plugin.map(|plugin| (plugin.config_def)());
    let secret = |key: &str| {
        let typed = def.as_ref().and_then(|def| def.key(key)).map(|key| key.type_);
        let lower = key.to_ascii_lowercase();
        let sounds = ["password", "secret", "token", "credential", "jaas", "api.key", "access.key"];
        typed == Some(Type::Password) || sounds.iter().any(|word| lower.contains(word))
    };
    config
        .iter()
        .map(|(key, value)| {
            // A placeholder is no secret; it says where the secret is.
            let hidden = secret(key) && !value.trim().starts_with("${");
            (key.clone(), if hidden { "[hidden]".to_owned() } else { value.clone() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_placeholders_are_not() {
        let config: Config = [
            ("name", "x"),
            ("aws.secret.access.key", "s"),
            ("aws.access.key.id", "i"),
            ("connection.password", "p"),
            ("consumer.override.sasl.jaas.config", "j"),
            ("es.password", "${file:/secrets:es}"),
            ("topics", "t"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let shown = masked(&config, None);
        let of = |key: &str| shown[key].as_str();
        assert_eq!((of("name"), of("topics")), ("x", "t"));
        assert_eq!(of("es.password"), "${file:/secrets:es}");
        for key in ["aws.secret.access.key", "aws.access.key.id", "connection.password"] {
            assert_eq!(of(key), "[hidden]", "{key}");
        }
        assert_eq!(of("consumer.override.sasl.jaas.config"), "[hidden]");
    }

    #[test]
    fn keys_of_a_secured_cluster_are_known() {
        for key in ["security.protocol", "consumer.sasl.mechanism", "admin.ssl.truststore.location"]
        {
            assert!(is_security(key), "{key}");
        }
        assert!(!is_security("consumer.fetch.min.bytes") && !is_security("value.converter"));
    }

    #[test]
    fn the_workers_own_settings_win_over_the_defaults() {
        let file: Config = [("offset.flush.interval.ms".to_owned(), "7".to_owned())].into();
        let worker = with_defaults(file);
        assert_eq!(worker["offset.flush.interval.ms"], "7");
        assert_eq!(worker["value.converter.schemas.enable"], "false");
        let file: Config = [("value.converter".to_owned(), "X".to_owned())].into();
        assert!(!with_defaults(file).contains_key("value.converter.schemas.enable"));
    }
}
