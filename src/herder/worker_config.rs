//! The worker's properties: every key of Kafka Connect's `StandaloneConfig` or `DistributedConfig`
//! ([`distributed_config`] has what only the latter knows), and our own under `millrace.`.
//!
//! One difference on purpose: without `listeners` a standalone worker's REST API is bound to 127.0.0.1:8083, where the
//! JVM's default `http://:8083` binds every interface of the machine; REST has no authentication, so
//! opening it to the network is the user's decision. `listeners=http://:8083` does what it does there.

use std::sync::Arc;
use std::time::Duration;

use millrace_api::Config;
use millrace_api::config_def::{
    ConfigDef, ConfigError, ConfigKey, DefaultValue, Importance, Parsed, Type, Validator,
};
use millrace_api::plugin::Plugins;
use millrace_worker::engine::{EngineOptions, RuntimeChoice};
use millrace_worker::settings::{MAX_BLOCK, TASK_MEMORY};

use crate::config_providers::ConfigProviders;
use crate::cores;
use crate::distributed_config::{self, TOPIC_PREFIXES};
use crate::listeners::{self, Listener, ResponseHeader, bracketed};
use crate::rest_security::{LOGIN_CONFIG, RestSecurity, check_extensions};
use crate::task_bounds;

use DefaultValue::{Null, Of, Required};
use Importance::{High, Low, Medium};

/// A checked worker configuration.
#[derive(Clone)]
pub struct WorkerConfig {
    /// As in the file, placeholders resolved: what tasks get.
    pub properties: Arc<Config>,
    parsed: Parsed,
    pub providers: Arc<ConfigProviders>,
    /// Where REST listens; never empty.
    pub listeners: Vec<Listener>,
    /// `None`: `/admin` is served on [`Self::listeners`]; empty: not at all.
    pub admin_listeners: Option<Vec<Listener>>,
    /// `response.http.headers.config`.
    pub response_headers: Vec<ResponseHeader>,
    /// TLS and users of the REST API.
    pub rest_security: RestSecurity,
    /// CPUs of the data plane; never empty.
    pub cores: Vec<usize>,
    /// Keys that nothing reads.
    pub ignored: Vec<String>,
}

pub(crate) type Row = (&'static str, Type, DefaultValue, Importance, Validator);

/// Converters, offsets and plug-ins.
const BASIC: &[Row] = &[
    ("bootstrap.servers", Type::List, Required, High, Validator::Custom(servers)),
    ("client.dns.lookup", Type::String, Of("use_all_dns_ips"), Medium, Validator::OneOf(DNS)),
    ("key.converter", Type::Class, Required, High, Validator::None),
    ("value.converter", Type::Class, Required, High, Validator::None),
    ("header.converter", Type::Class, Of(SIMPLE_HEADER), Low, Validator::None),
    ("key.converter.plugin.version", Type::String, Null, Low, Validator::None),
    ("value.converter.plugin.version", Type::String, Null, Low, Validator::None),
    ("header.converter.plugin.version", Type::String, Null, Low, Validator::None),
    ("task.shutdown.graceful.timeout.ms", Type::Long, Of("5000"), Low, Validator::None),
    ("offset.flush.interval.ms", Type::Long, Of("60000"), Low, Validator::None),
    ("offset.flush.timeout.ms", Type::Long, Of("5000"), Low, Validator::None),
    ("plugin.path", Type::List, Null, Low, Validator::None),
    ("plugin.discovery", Type::String, Of("hybrid_warn"), Low, Validator::OneOfIgnoreCase(SCAN)),
    ("config.providers", Type::List, Of(""), Low, Validator::None),
    ("connector.client.config.override.policy", Type::String, Of("All"), Medium, Validator::None),
    ("connector.client.config.override.allowlist", Type::List, Of(""), Low, Validator::None),
    ("topic.creation.enable", Type::Boolean, Of("true"), Low, Validator::None),
    ("topic.tracking.enable", Type::Boolean, Of("true"), Low, Validator::None),
    ("topic.tracking.allow.reset", Type::Boolean, Of("true"), Low, Validator::None),
    ("metrics.sample.window.ms", Type::Long, Of("30000"), Low, Validator::AtLeast(0)),
    ("metrics.num.samples", Type::Int, Of("2"), Low, Validator::AtLeast(1)),
    ("metrics.recording.level", Type::String, Of("INFO"), Low, Validator::OneOf(LEVELS)),
    ("metric.reporters", Type::List, Of(JMX), Low, Validator::None),
    ("auto.include.jmx.reporter", Type::Boolean, Of("true"), Low, Validator::None),
    ("internal.key.converter", Type::Class, Null, Low, Validator::None),
    ("internal.value.converter", Type::Class, Null, Low, Validator::None),
];

/// Of a standalone worker alone.
const STANDALONE: &[Row] =
    &[("offset.storage.file.filename", Type::String, Required, High, Validator::NonEmpty)];

const REST: &[Row] = &[
    (
        "listeners",
        Type::List,
        Of("http://127.0.0.1:8083"),
        Low,
        Validator::Custom(listeners::check),
    ),
    ("rest.advertised.host.name", Type::String, Null, Low, Validator::None),
    ("rest.advertised.port", Type::Int, Null, Low, Validator::Between(0, 65535)),
    ("rest.advertised.listener", Type::String, Null, Low, Validator::OneOf(&["http", "https"])),
    ("access.control.allow.origin", Type::String, Of(""), Low, Validator::None),
    ("access.control.allow.methods", Type::String, Of(""), Low, Validator::None),
    (
        "response.http.headers.config",
        Type::String,
        Of(""),
        Low,
        Validator::Custom(listeners::check_headers),
    ),
    ("rest.extension.classes", Type::List, Of(""), Low, Validator::Custom(check_extensions)),
    ("admin.listeners", Type::List, Null, Low, Validator::Custom(listeners::check_admin)),
];

/// Settings of our own.
const MILLRACE: &[Row] = &[
    ("millrace.cores", Type::String, Null, Low, Validator::Custom(cores::check)),
    ("millrace.latency.spin.us", Type::Long, Of("0"), Low, Validator::Between(0, 1_000_000)),
    (
        "millrace.latency.histograms",
        Type::String,
        Of("batch"),
        Low,
        Validator::OneOf(&["batch", "record", "off"]),
    ),
    ("millrace.runtime", Type::String, Null, Low, Validator::OneOf(RuntimeChoice::NAMES)),
    ("millrace.log.format", Type::String, Of("text"), Low, Validator::OneOf(&["text", "json"])),
    ("millrace.memory.bytes", Type::Long, Null, Low, Validator::AtLeast(16 << 20)),
    (MAX_BLOCK, Type::Long, Of("30000"), Low, Validator::Custom(task_bounds::check_block)),
    (TASK_MEMORY, Type::Long, Of("0"), Low, Validator::Custom(task_bounds::check_memory)),
    (LOGIN_CONFIG, Type::String, Null, Low, Validator::None),
];

/// Beginnings of keys that others read: clients, converters, providers, TLS.
const KNOWN_PREFIXES: &[&str] = &[
    "producer.",
    "consumer.",
    "admin.",
    "key.converter.",
    "value.converter.",
    "header.converter.",
    "internal.key.converter.",
    "internal.value.converter.",
    "config.providers.",
    "metrics.context.",
    "ssl.",
    "sasl.",
    "security.",
    "listeners.https.",
    "admin.listeners.https.",
    "millrace.",
];

/// Client settings that the worker's own admin client takes without a prefix.
const CLIENT_KEYS: &[&str] = &[
    "client.id",
    "connections.max.idle.ms",
    "metadata.max.age.ms",
    "receive.buffer.bytes",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "request.timeout.ms",
    "default.api.timeout.ms",
    "retry.backoff.ms",
    "retry.backoff.max.ms",
    "retries",
    "send.buffer.bytes",
    "socket.connection.setup.timeout.ms",
    "socket.connection.setup.timeout.max.ms",
];

const DNS: &[&str] = &["use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"];
const SCAN: &[&str] = &["only_scan", "hybrid_warn", "hybrid_fail", "service_load"];
const LEVELS: &[&str] = &["INFO", "DEBUG", "TRACE"];
const JMX: &str = "org.apache.kafka.common.metrics.JmxReporter";
const SIMPLE_HEADER: &str = "org.apache.kafka.connect.storage.SimpleHeaderConverter";

/// The definition of all keys.
fn config_def(own: &[Row]) -> ConfigDef {
    let rows = [BASIC, own, REST, MILLRACE].concat();
    let key = |(name, type_, default, importance, check): Row| {
        ConfigKey::new(name, type_, default, importance, "").check(check)
    };
    ConfigDef { keys: rows.into_iter().map(key).collect(), ..ConfigDef::new() }
}

impl WorkerConfig {
    /// Checks a standalone worker's properties; all errors at once.
    pub fn standalone(file: Config, plugins: &Plugins) -> Result<Self, Vec<ConfigError>> {
        Self::checked(file, plugins, STANDALONE, |_, _| Vec::new())
    }

    /// Checks the properties of a worker of a cluster; all errors at once.
    pub fn distributed(mut file: Config, plugins: &Plugins) -> Result<Self, Vec<ConfigError>> {
        let listeners = distributed_config::LISTENERS;
        file.entry("listeners".to_owned()).or_insert_with(|| listeners.to_owned());
        Self::checked(file, plugins, distributed_config::ROWS, distributed_config::cross_checks)
    }

    fn checked(
        file: Config,
        plugins: &Plugins,
        own: &[Row],
        cross_checks: fn(&Config, &Parsed) -> Vec<ConfigError>,
    ) -> Result<Self, Vec<ConfigError>> {
        let providers = ConfigProviders::new(&file)?;
        let properties = resolved(&providers, &file)?;
        let def = config_def(own);
        let mut errors = Vec::new();
        let parsed = match def.parse(&properties) {
            Ok(parsed) => {
                errors.extend(cross_checks(&properties, &parsed));
                parsed
            }
            Err(found) => {
                errors = found;
                // The clients' settings are told with the rest, as far as there is a rest.
                errors.extend(client_errors(own, &properties));
                Parsed::default()
            }
        };
        errors.extend(missing_classes(&properties, plugins));
        if !errors.is_empty() {
            return Err(errors);
        }
        let listening = |key: &str| -> Vec<Listener> {
            parsed.list(key).iter().filter_map(|l| Listener::parse(l).ok()).collect()
        };
        let listeners = listening("listeners");
        let admin = parsed.get("admin.listeners").map(|_| listening("admin.listeners"));
        let security =
            RestSecurity::new(&properties, &listeners, admin.as_deref().unwrap_or_default())?;
        Ok(Self {
            listeners,
            admin_listeners: admin,
            rest_security: security,
            response_headers: listeners::headers(parsed.string("response.http.headers.config"))
                .unwrap_or_default(),
            cores: cores::choose(parsed.get("millrace.cores")),
            ignored: ignored(&properties, &def),
            properties: Arc::new(properties),
            providers: Arc::new(providers),
            parsed,
        })
    }

    /// `group.id` of a worker of a cluster.
    pub fn group_id(&self) -> Option<&str> {
        self.parsed.get("group.id")
    }

    /// A checked value of the definition.
    pub fn parsed(&self) -> &Parsed {
        &self.parsed
    }

    /// `task.shutdown.graceful.timeout.ms`.
    pub fn graceful_timeout(&self) -> Duration {
        Duration::from_millis(self.parsed.long("task.shutdown.graceful.timeout.ms").max(0) as u64)
    }

    /// `millrace.runtime`; `None` leaves it to the environment (`MILLRACE_RUNTIME`), or to what the
    /// machine allows.
    pub fn runtime(&self) -> Option<RuntimeChoice> {
        self.parsed.get("millrace.runtime").and_then(|name| name.parse().ok())
    }

    /// What the engine is started with.
    pub fn engine_options(&self) -> EngineOptions {
        let max_block = self.parsed.long(MAX_BLOCK) as u64;
        EngineOptions {
            cpus: self.cores.clone(),
            spin_us: self.spin_us(),
            runtime: self.runtime(),
            max_block: (max_block > 0).then(|| Duration::from_millis(max_block)),
        }
    }

    /// `millrace.latency.spin.us`.
    pub fn spin_us(&self) -> u64 {
        self.parsed.long("millrace.latency.spin.us") as u64
    }

    /// `millrace.memory.bytes`: the budget of each core.
    pub fn memory_bytes(&self) -> Option<u64> {
        self.parsed.get("millrace.memory.bytes").and_then(|bytes| bytes.parse().ok())
    }

    /// The listener that other workers are told of: of the scheme that `rest.advertised.listener`
    /// says, else the first of http, else the first.
    pub fn advertised_listener(&self) -> usize {
        let first = |tls: bool| self.listeners.iter().position(|listener| listener.tls == tls);
        match self.parsed.get("rest.advertised.listener") {
            Some(scheme) => first(scheme == "https"),
            None => first(false),
        }
        .unwrap_or(0)
    }

    /// Host and port as others reach this worker; `port` is the bound one of
    /// [`Self::advertised_listener`], if known.
    fn advertised(&self, port: Option<u16>) -> (String, u16) {
        let listener = self.listeners.get(self.advertised_listener());
        let host = self.parsed.get("rest.advertised.host.name").map(str::to_owned);
        let host = host
            .filter(|host| !host.is_empty())
            .or_else(|| listener.map(|l| l.host.clone()).filter(|host| !host.is_empty()))
            .unwrap_or_else(local_host_name);
        let advertised = self.parsed.get("rest.advertised.port").and_then(|port| port.parse().ok());
        let advertised = advertised.filter(|&port: &u16| port > 0);
        (host, advertised.or(port).or(listener.map(|l| l.port)).unwrap_or(8083))
    }

    /// `advertisedHost:port`, the `worker_id` of statuses. `port` as for [`Self::advertised_url`].
    pub fn worker_id(&self, port: Option<u16>) -> Arc<str> {
        let (host, port) = self.advertised(port);
        format!("{host}:{port}").into()
    }

    /// Where other workers send requests, with a slash at its end. `port` is the bound one of
    /// [`Self::advertised_listener`], if known.
    pub fn advertised_url(&self, port: Option<u16>) -> Arc<str> {
        let (host, port) = self.advertised(port);
        let tls = match self.parsed.get("rest.advertised.listener") {
            Some(scheme) => scheme == "https",
            None => self.listeners.get(self.advertised_listener()).is_some_and(|l| l.tls),
        };
        let scheme = if tls { "https" } else { "http" };
        format!("{scheme}://{}:{port}/", bracketed(&host)).into()
    }
}

/// All but `plugin.path`, which is read before there are providers.
fn resolved(providers: &ConfigProviders, file: &Config) -> Result<Config, Vec<ConfigError>> {
    let all = providers.try_resolve(file);
    let refused = |why: String| ConfigError { key: "config.providers".to_owned(), message: why };
    let mut properties = all.map_err(|why| vec![refused(why)])?.config;
    if let Some(path) = file.get("plugin.path") {
        properties.insert("plugin.path".to_owned(), path.clone());
    }
    Ok(properties)
}

/// What is wrong with the settings of a cluster's clients, beside errors of the definition.
fn client_errors(own: &[Row], properties: &Config) -> Vec<ConfigError> {
    let known: Vec<&str> = own.iter().chain(BASIC).map(|row| row.0).collect();
    if !known.contains(&"group.id") {
        return Vec::new();
    }
    let problems = crate::stores::check(properties).err().unwrap_or_default();
    let of_clients = problems.into_iter().filter(|problem| !known.contains(&&*problem.key));
    of_clients.map(|one| ConfigError::invalid(&one.key, &one.value, &one.why)).collect()
}

fn missing_classes(properties: &Config, plugins: &Plugins) -> Vec<ConfigError> {
    let given = |key: &'static str| properties.get(key).map(|class| (key, class.trim()));
    let wrong = |(key, class): (&str, &str)| {
        let known: Vec<_> = plugins.converters.iter().map(|plugin| plugin.class).collect();
        let why = format!("Class {class} could not be found. There are: {}", known.join(", "));
        ConfigError::invalid(key, class, &why)
    };
    let sides = ["key.converter", "value.converter"].into_iter().filter_map(given);
    let mut errors: Vec<_> =
        sides.filter(|(_, class)| plugins.converter(class).is_none()).map(wrong).collect();
    let header = given("header.converter");
    errors.extend(
        header
            .filter(|(_, class)| *class != SIMPLE_HEADER)
            .filter(|(_, class)| plugins.header_converter(class).is_none())
            .map(wrong),
    );
    errors
}

fn ignored(properties: &Config, def: &ConfigDef) -> Vec<String> {
    let known = |key: &str| {
        def.key(key).is_some()
            || CLIENT_KEYS.contains(&key)
            || KNOWN_PREFIXES.iter().any(|prefix| key.starts_with(prefix))
            || def.key("group.id").is_some()
                && TOPIC_PREFIXES.iter().any(|prefix| key.starts_with(prefix))
    };
    properties.keys().filter(|key| !known(key)).cloned().collect()
}

fn servers(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("List must have at least 1 element, for example localhost:9092".to_owned());
    }
    let valid = |server: &str| {
        let server = server.rsplit("://").next().unwrap_or(server);
        server.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
        })
    };
    match text.split(',').map(str::trim).find(|server| !server.is_empty() && !valid(server)) {
        Some(wrong) => Err(format!("'{wrong}' is not of the form host:port")),
        None => Ok(()),
    }
}

fn local_host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::plugins;

    fn config(more: &[(&str, &str)]) -> Config {
        let basic = [
            ("bootstrap.servers", "localhost:9092"),
            ("key.converter", "test.TextConverter"),
            ("value.converter", "TextConverter"),
            ("offset.storage.file.filename", "/tmp/x"),
        ];
        let all = basic.iter().chain(more);
        all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn defaults_bind_loopback_and_name_the_worker() {
        let worker = WorkerConfig::standalone(config(&[]), &plugins()).unwrap();
        assert_eq!(worker.listeners.len(), 1);
        assert_eq!(&*worker.worker_id(None), "127.0.0.1:8083");
        assert_eq!(&*worker.advertised_url(Some(7)), "http://127.0.0.1:7/");
        assert_eq!(worker.graceful_timeout(), Duration::from_secs(5));
        assert!(!worker.cores.is_empty());
        assert!(worker.admin_listeners.is_none());
    }

    #[test]
    fn a_worker_is_advertised_as_configured() {
        let worker = WorkerConfig::standalone(
            config(&[
                ("listeners", "http://:8083"),
                ("rest.advertised.host.name", "::2"),
                ("rest.advertised.port", "9"),
                ("rest.advertised.listener", "https"),
            ]),
            &plugins(),
        );
        let worker = worker.unwrap();
        assert_eq!(&*worker.advertised_url(Some(7)), "https://[::2]:9/");
        assert_eq!(&*worker.worker_id(Some(7)), "::2:9");
    }

    #[test]
    fn every_error_is_told_at_once_with_key_and_value() {
        let mut file = config(&[
            ("listeners", "http://:8083,ftp://x:1"),
            ("plugin.discovery", "maybe"),
            ("topic.creation.enable", "yes"),
            ("millrace.cores", "none"),
            ("millrace.runtime", "uring"),
            ("millrace.task.max.block.ms", "20"),
            ("millrace.task.memory.bytes", "1000"),
            ("rest.extension.classes", "com.example.Auth"),
            ("value.converter", "com.example.Nope"),
        ]);
        file.remove("offset.storage.file.filename");
        let errors = WorkerConfig::standalone(file, &plugins()).err().unwrap();
        let text: Vec<_> = errors.iter().map(|error| error.message.as_str()).collect();
        let text = text.join("\n");
        for expected in [
            "Missing required configuration \"offset.storage.file.filename\" which has no default",
            "Invalid value [http://:8083, ftp://x:1] for configuration listeners",
            "Invalid value maybe for configuration plugin.discovery: String must be one of (case",
            "Invalid value yes for configuration topic.creation.enable: Expected value to be",
            "Invalid value none for configuration millrace.cores",
            "Invalid value uring for configuration millrace.runtime: String must be one of: auto, io_",
            "Invalid value 20 for configuration millrace.task.max.block.ms: must be 0",
            "Invalid value 1000 for configuration millrace.task.memory.bytes: must be 0",
            "Invalid value [com.example.Auth] for configuration rest.extension.classes",
            "Class com.example.Nope could not be found.",
        ] {
            assert!(text.contains(expected), "{expected}\nis not in\n{text}");
        }
        assert_eq!(errors.len(), 10, "{text}");
    }

    #[test]
    fn unknown_keys_are_listed_unless_somebody_reads_them() {
        let file = config(&[
            ("producer.acks", "all"),
            ("key.converter.schemas.enable", "false"),
            ("ssl.protocol", "TLSv1.3"),
            ("request.timeout.ms", "1"),
            ("offset.flush.intervall.ms", "1"),
        ]);
        let worker = WorkerConfig::standalone(file, &plugins()).unwrap();
        assert_eq!(worker.ignored, ["offset.flush.intervall.ms"]);
    }
}
