//! What the keys mean: settings, or everything that is wrong with them.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use millrace_api::Config;
use millrace_api::config_def::{ConfigError, Parsed};
use millrace_net::http::Url;

use super::define::config_def;
use super::document::{NullValues, Rules, Versions, WriteMethod};
use super::resources::{Naming, Usage};
use super::tls::{self, TlsStores};

/// Below `http.max_content_length`, whose default is 100 MB, and within the items' 32-bit positions.
const MAX_BULK_BYTES: usize = 90 << 20;
/// "For ever", for waits that need a limit.
const VERY_LONG: Duration = Duration::from_secs(7 * 86_400);

/// `behavior.on.malformed.documents`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    Ignore,
    Warn,
    Fail,
}

/// How to reach the cluster.
#[derive(Clone)]
pub struct Connection {
    pub nodes: Vec<Url>,
    /// The value of `Authorization`. Never printed.
    pub authorization: Option<String>,
    pub connect_timeout: Duration,
    pub read_timeout: Duration,
    pub gzip: bool,
    pub proxy: Option<String>,
    pub tls: Option<TlsStores>,
    pub max_retries: u32,
    pub backoff: Duration,
}

/// Everything that the task is configured with.
pub struct Settings {
    pub connection: Connection,
    pub batch_size: usize,
    pub bulk_bytes: usize,
    pub max_in_flight: usize,
    pub max_buffered: usize,
    pub linger: Duration,
    pub flush_timeout: Duration,
    pub flush_synchronously: bool,
    pub drop_invalid: bool,
    pub malformed: Malformed,
    pub naming: Naming,
    pub rules: Rules,
}

/// A node's address: `http://` where there is no scheme, no slash at its end.
pub fn node_url(text: &str) -> Result<Url, String> {
    let text = text.trim().trim_end_matches('/');
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&text)?;
    match url.user_info {
        None => Ok(url),
        Some(_) => Err("a user and password belong into connection.username and \
                        connection.password, not into the URL"
            .to_owned()),
    }
}

/// Checks across keys.
pub fn validate(config: &Config) -> Vec<ConfigError> {
    match config_def().parse(config) {
        Ok(values) => read(&values, config).err().unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}

/// Everything, or all that is wrong.
pub fn parse(config: &Config) -> Result<Settings, Vec<ConfigError>> {
    read(&config_def().parse(config)?, config)
}

/// Collects errors that concern several keys: each key shows the message.
#[derive(Default)]
pub(super) struct Wrong(pub(super) Vec<ConfigError>);

impl Wrong {
    pub(super) fn add(&mut self, keys: &[&str], message: impl Into<String>) {
        let message = message.into();
        for key in keys {
            self.0.push(ConfigError { key: (*key).to_owned(), message: message.clone() });
        }
    }
}

fn millis(values: &Parsed, key: &str) -> Duration {
    Duration::from_millis(values.long(key) as u64)
}

/// 0 is for ever.
fn limit(values: &Parsed, key: &str) -> Duration {
    let given = millis(values, key);
    if given.is_zero() { VERY_LONG } else { given }
}

fn read(values: &Parsed, config: &Config) -> Result<Settings, Vec<ConfigError>> {
    let mut wrong = Wrong::default();
    let naming = naming(values, config, &mut wrong);
    let rules = rules(values, &naming, &mut wrong);
    check_batching(values, &mut wrong);
    check_kerberos(values, &mut wrong);
    let authorization = authorization(values, &mut wrong);
    let proxy = proxy(values, &mut wrong);
    let tls = tls::read(values, &mut wrong);
    if !wrong.0.is_empty() {
        return Err(wrong.0);
    }
    let urls = values.list("connection.url");
    Ok(Settings {
        connection: Connection {
            nodes: urls.iter().filter_map(|url| node_url(url).ok()).collect(),
            authorization,
            connect_timeout: limit(values, "connection.timeout.ms"),
            read_timeout: limit(values, "read.timeout.ms"),
            gzip: values.bool("connection.compression"),
            proxy,
            tls,
            max_retries: values.long("max.retries") as u32,
            backoff: millis(values, "retry.backoff.ms"),
        },
        batch_size: values.long("batch.size") as usize,
        bulk_bytes: match values.long("bulk.size.bytes") {
            -1 => MAX_BULK_BYTES,
            bytes => (bytes as usize).min(MAX_BULK_BYTES),
        },
        max_in_flight: values.long("max.in.flight.requests") as usize,
        max_buffered: values.long("max.buffered.records") as usize,
        linger: millis(values, "linger.ms"),
        flush_timeout: millis(values, "flush.timeout.ms"),
        flush_synchronously: values.bool("flush.synchronously"),
        drop_invalid: values.bool("drop.invalid.message"),
        malformed: match upper(values, "behavior.on.malformed.documents").as_str() {
            "IGNORE" => Malformed::Ignore,
            "WARN" => Malformed::Warn,
            _ => Malformed::Fail,
        },
        naming,
        rules,
    })
}

fn upper(values: &Parsed, key: &str) -> String {
    values.string(key).to_ascii_uppercase()
}

/// Where topics go.
fn naming(values: &Parsed, config: &Config, wrong: &mut Wrong) -> Naming {
    const USAGE: &str = "external.resource.usage";
    const MAPPING: &str = "topic.to.external.resource.mapping";
    let usage = upper(values, USAGE);
    let mappings = values.list(MAPPING);
    let stream_type = values.string("data.stream.type").to_ascii_lowercase();
    let dataset = values.string("data.stream.dataset");
    if (usage == "DISABLED") != mappings.is_empty() {
        let both = format!(
            "Invalid configuration: {USAGE} and {MAPPING} must be configured together. Either both \
             must be set, or both must be empty."
        );
        wrong.add(&[USAGE, MAPPING], both);
        return Naming::Index;
    }
    if (stream_type == "none") != dataset.is_empty() {
        wrong.add(
            &["data.stream.type", "data.stream.dataset"],
            "Either both or neither 'data.stream.dataset' and 'data.stream.type' must be set.",
        );
    }
    if usage == "DISABLED" {
        return if dataset.is_empty() {
            Naming::Index
        } else {
            let namespace = values.string("data.stream.namespace").to_owned();
            Naming::DataStream { prefix: format!("{stream_type}-{dataset}-"), namespace }
        };
    }
    if stream_type != "none" || !dataset.is_empty() {
        let message = format!(
            "Resource mapping mode and data stream configs are mutually exclusive. When using {USAGE}, \
             data stream configs (data.stream.type, data.stream.dataset) must not be set."
        );
        wrong.add(&[MAPPING, "data.stream.type", "data.stream.dataset"], message);
    }
    let topics = external(&mappings, values, wrong);
    if let Some(configured) = config.get("topics") {
        check_mapped(&millrace_api::config_def::split_list(configured), &topics, wrong);
    }
    let usage = match usage.as_str() {
        "INDEX" => Usage::Index,
        "ALIAS_INDEX" => Usage::Alias,
        "DATASTREAM" => Usage::DataStream,
        _ => Usage::AliasOfDataStream,
    };
    Naming::External { usage, topics }
}

/// `topic:resource` pairs, one to one.
fn external(mappings: &[String], values: &Parsed, wrong: &mut Wrong) -> Vec<(String, String)> {
    const MAPPING: &str = "topic.to.external.resource.mapping";
    let mut topics: Vec<(String, String)> = Vec::new();
    for mapping in mappings {
        let parts: Vec<&str> = mapping.split(':').map(str::trim).collect();
        let [topic, resource] = parts[..] else {
            let why =
                "Invalid topic-to-resource mapping format. The expected format: topic:resource";
            wrong.0.push(ConfigError::invalid(MAPPING, mapping, why));
            continue;
        };
        if topics.iter().any(|(known, _)| known == topic) {
            let why = format!(
                "Topic '{topic}' is mapped to multiple resources. Each topic must be mapped to exactly \
                 one resource."
            );
            wrong.0.push(ConfigError::invalid(MAPPING, mapping, &why));
        } else if topics.iter().any(|(_, known)| known == resource) {
            let why = format!(
                "Resource '{resource}' is mapped from multiple topics. Each resource must be mapped to \
                 exactly one topic."
            );
            wrong.0.push(ConfigError::invalid(MAPPING, mapping, &why));
        }
        topics.push((topic.to_owned(), resource.to_owned()));
    }
    let most = values.long("max.external.resource.mappings");
    if topics.len() as i64 > most {
        let why = format!(
            "Too many topic-to-external-resource mappings are configured ({}). Maximum allowed limit \
             is {most}.",
            topics.len()
        );
        wrong.0.push(ConfigError::invalid(MAPPING, &format!("[{}]", mappings.join(", ")), &why));
    }
    topics
}

fn check_mapped(configured: &[String], mapped: &[(String, String)], wrong: &mut Wrong) {
    const MAPPING: &str = "topic.to.external.resource.mapping";
    for topic in configured.iter().filter(|topic| !mapped.iter().any(|(known, _)| known == *topic))
    {
        wrong.add(
            &[MAPPING],
            format!(
                "Topic '{topic}' is not mapped to any resource. All configured topics must be mapped \
                 to a resource."
            ),
        );
    }
    for (topic, _) in mapped.iter().filter(|(topic, _)| !configured.contains(topic)) {
        wrong.add(
            &[MAPPING],
            format!(
                "Topic '{topic}' is mapped but not configured. All mapped topics must be configured \
                 topics."
            ),
        );
    }
}

/// How records become actions.
fn rules(values: &Parsed, naming: &Naming, wrong: &mut Wrong) -> Rules {
    let data_stream = naming.is_data_stream();
    let timestamp_fields = values.list("data.stream.timestamp.field");
    let upsert = upper(values, "write.method") == "UPSERT";
    let null_values = match upper(values, "behavior.on.null.values").as_str() {
        "IGNORE" => NullValues::Ignore,
        "DELETE" => NullValues::Delete,
        _ => NullValues::Fail,
    };
    if !data_stream && !timestamp_fields.is_empty() {
        wrong.add(
            &["data.stream.timestamp.field"],
            "Mapping a field to the '@timestamp' field is only necessary when working with data \
             streams. 'data.stream.timestamp.field' must not be set when not using data streams.",
        );
    }
    if data_stream && upsert {
        wrong.add(
            &["write.method"],
            "Upserts are not supported with data streams. write.method must not be UPSERT when using \
             data streams.",
        );
    }
    if data_stream && null_values == NullValues::Delete {
        wrong.add(
            &["behavior.on.null.values"],
            "Deletes are not supported with data streams. behavior.on.null.values must not be DELETE \
             when using data streams.",
        );
    }
    for (all, some) in
        [("key.ignore", "topic.key.ignore"), ("schema.ignore", "topic.schema.ignore")]
    {
        if values.bool(all) && !values.list(some).is_empty() {
            wrong.add(&[all, some], format!("'{some}' can not be set if '{all}' is true."));
        }
    }
    let header = values.string("external.version.header");
    let autogenerated = values.bool("use.autogenerated.ids") && !upsert;
    Rules {
        method: match (upsert, data_stream) {
            (true, _) => WriteMethod::Upsert {
                retry_on_conflict: values.long("max.in.flight.requests").min(5) as u32,
            },
            (false, true) => WriteMethod::Create,
            (false, false) => WriteMethod::Index,
        },
        autogenerated,
        ignore_keys: values.bool("key.ignore") || autogenerated,
        ignore_keys_of: values.list("topic.key.ignore"),
        ignore_schemas: values.bool("schema.ignore"),
        ignore_schemas_of: values.list("topic.schema.ignore"),
        compact_maps: values.bool("compact.map.entries"),
        null_values,
        versions: if header.is_empty() {
            Versions::Offset
        } else {
            Versions::Header(header.to_owned())
        },
        timestamp_fields,
    }
}

fn check_batching(values: &Parsed, wrong: &mut Wrong) {
    let (linger, flush) = (values.long("linger.ms"), values.long("flush.timeout.ms"));
    if linger > flush {
        wrong.add(
            &["linger.ms", "flush.timeout.ms"],
            format!("'linger.ms' ({linger}) can not be larger than 'flush.timeout.ms' ({flush})."),
        );
    }
    let buffered = values.long("max.buffered.records");
    let (batch, requests) = (values.long("batch.size"), values.long("max.in.flight.requests"));
    if buffered < batch * requests {
        wrong.add(
            &["max.buffered.records", "batch.size", "max.in.flight.requests"],
            format!(
                "'max.buffered.records' ({buffered}) must be larger than or equal to 'batch.size' \
                 ({batch}) x max.in.flight.requests ({requests})."
            ),
        );
    }
}

fn check_kerberos(values: &Parsed, wrong: &mut Wrong) {
    for key in ["kerberos.user.principal", "kerberos.keytab.path"] {
        if values.get(key).is_some_and(|value| !value.is_empty()) {
            wrong.add(
                &[key],
                format!(
                    "Invalid value for configuration {key}: Kerberos is not built in; use \
                     connection.username and connection.password, or TLS client certificates \
                     (elastic.https.ssl.keystore.*)"
                ),
            );
        }
    }
}

fn authorization(values: &Parsed, wrong: &mut Wrong) -> Option<String> {
    const KEYS: [&str; 2] = ["connection.username", "connection.password"];
    match (values.get(KEYS[0]), values.get(KEYS[1])) {
        (Some(user), Some(password)) => {
            Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
        }
        (None, None) => None,
        _ => {
            wrong.add(&KEYS, "Both 'connection.username' and 'connection.password' must be set.");
            None
        }
    }
}

fn proxy(values: &Parsed, wrong: &mut Wrong) -> Option<String> {
    let (host, port) = (values.string("proxy.host"), values.long("proxy.port"));
    let user = values.string("proxy.username");
    let password = values.get("proxy.password");
    if host.is_empty() {
        for (set, key) in
            [(!user.is_empty(), "proxy.username"), (password.is_some(), "proxy.password")]
        {
            if set {
                wrong
                    .add(&[key, "proxy.host"], format!("'proxy.host' must be set to use '{key}'."));
            }
        }
        return None;
    }
    if user.is_empty() != password.is_none() {
        wrong.add(
            &["proxy.username", "proxy.password"],
            "Either both or neither 'proxy.username' and 'proxy.password' can be set.",
        );
    }
    if let Err(why) = node_url(&format!("{host}:{port}")) {
        wrong.0.push(ConfigError::invalid("proxy.host", host, &why));
    }
    Some(match password {
        Some(password) => format!("http://{}:{}@{host}:{port}", encode(user), encode(password)),
        None => format!("http://{host}:{port}"),
    })
}

/// Percent-encodes all but unreserved characters.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
