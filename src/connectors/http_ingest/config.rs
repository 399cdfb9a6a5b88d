//! The HTTP ingest source's keys.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use millrace_api::Config;
use millrace_api::config_def::{
    ConfigDef, ConfigError, ConfigKey, DefaultValue, Importance, Parsed, Type, Validator,
};
use millrace_net::http::{RequestLimits, ServerTimes};
use millrace_net::tls::Pem;

/// Where a path names the topic.
const TOPIC_SEGMENT: &str = "{topic}";

fn key(
    name: &'static str,
    type_: Type,
    default: DefaultValue,
    documentation: &'static str,
) -> ConfigKey {
    ConfigKey::new(name, type_, default, Importance::Medium, documentation)
}

/// What is listened to and where records go.
fn routing_keys() -> [ConfigKey; 9] {
    let text = |name, documentation| key(name, Type::String, DefaultValue::Null, documentation);
    [
        key(
            "listener",
            Type::String,
            DefaultValue::Of("127.0.0.1:8088"),
            "The address and port to listen on; all tasks share it. 0.0.0.0 listens on every network: \
             set credentials and TLS then.",
        )
        .check(Validator::Custom(|text| address(text).map(drop))),
        key(
            "path",
            Type::String,
            DefaultValue::Of("/topics/{topic}"),
            "The path of requests. A part {topic} names the topic.",
        )
        .check(Validator::Custom(|text| match text.starts_with('/') {
            true => Ok(()),
            false => Err("Path must begin with /".to_owned()),
        })),
        text("topic", "The topic of requests that name none by path or query."),
        text("topic.query", "The query parameter that names the topic."),
        key(
            "topics.allowed",
            Type::List,
            DefaultValue::Of(""),
            "The topics that requests may name; empty: any but those that begin with __.",
        ),
        key(
            "key",
            Type::String,
            DefaultValue::Of("none"),
            "Where records get their key from: none, header:NAME, query:NAME, or field:NAME, a member \
             of each JSON record (dots descend).",
        )
        .check(Validator::Custom(|text| KeyFrom::parse(text).map(drop))),
        key(
            "headers",
            Type::List,
            DefaultValue::Of(""),
            "Request headers that become record headers, as strings; * takes all but credentials and \
             those of the connection.",
        ),
        key(
            "body.format",
            Type::String,
            DefaultValue::Of("auto"),
            "json: one document; ndjson: one document a line; bytes: the body as it is; auto: by \
             Content-Type.",
        )
        .check(Validator::OneOf(&["auto", "json", "ndjson", "bytes"])),
        key(
            "retry.after.seconds",
            Type::Int,
            DefaultValue::Of("1"),
            "What Retry-After says with 429 and 503.",
        )
        .check(Validator::AtLeast(0)),
    ]
}

/// Who may send, and how it is kept from others' eyes.
fn security_keys() -> [ConfigKey; 5] {
    let text = |name, type_, documentation| key(name, type_, DefaultValue::Null, documentation);
    [
        text("basic.user", Type::String, "The user that clients must name (Basic)."),
        text("basic.password", Type::Password, "The user's password."),
        text("bearer.token", Type::Password, "The token that clients must show (Bearer)."),
        text("tls.certificate", Type::String, "A PEM file with our certificate chain: speak TLS."),
        text("tls.key", Type::String, "A PEM file with the certificate's private key."),
    ]
}

/// Bounds of each task: memory and time.
fn bound_keys() -> [ConfigKey; 11] {
    let number = |name, default, documentation| {
        key(name, Type::Int, DefaultValue::Of(default), documentation).check(Validator::AtLeast(1))
    };
    [
        number("connections.max", "1024", "Connections of a task; more are answered 503."),
        number("header.max.bytes", "16384", "A request's head; more is answered 431."),
        number("body.max.bytes", "16777216", "A body, decompressed; more is answered 413."),
        number(
            "record.max.bytes",
            "1000000",
            "A record; more is answered 413. Keep it below the producer's max.request.size and the \
             topic's max.message.bytes.",
        ),
        number("records.max", "100000", "Records of a request; more is answered 413."),
        number(
            "inflight.max.bytes",
            "67108864",
            "Bodies that wait for Kafka, of all requests together; more is answered 429.",
        ),
        number("header.timeout.ms", "10000", "From a head's first byte to its last."),
        number("body.timeout.ms", "30000", "From the head's end to the body's."),
        number("idle.timeout.ms", "60000", "Between two requests of a connection."),
        number("write.timeout.ms", "10000", "For a client to take a response."),
        number("ack.timeout.ms", "30000", "For Kafka to acknowledge; longer is answered 503."),
    ]
}

pub fn config_def() -> ConfigDef {
    let keys = routing_keys().into_iter().chain(security_keys()).chain(bound_keys());
    keys.fold(ConfigDef::new(), ConfigDef::define)
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong = "Must be an IP address and a port, like 127.0.0.1:8088 or [::1]:8088";
    let literal = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    literal.as_deref().unwrap_or(text).parse().map_err(|_| wrong.to_owned())
}

/// Where keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFrom {
    Nowhere,
    Header(String),
    Query(String),
    /// A path of member names.
    Field(Vec<String>),
}

impl KeyFrom {
    fn parse(text: &str) -> Result<Self, String> {
        let parsed = match text.split_once(':') {
            None if text == "none" => Some(Self::Nowhere),
            Some((_, "")) => None,
            Some(("header", name)) => Some(Self::Header(name.to_owned())),
            Some(("query", name)) => Some(Self::Query(name.to_owned())),
            Some(("field", path)) => {
                Some(Self::Field(path.split('.').map(str::to_owned).collect()))
            }
            _ => None,
        };
        parsed.ok_or_else(|| "Must be none, header:NAME, query:NAME or field:NAME".to_owned())
    }
}

/// Which request headers go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forward {
    All,
    Listed(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Auto,
    Json,
    Lines,
    Bytes,
}

/// The checked settings of a task.
#[derive(Clone, Debug)]
pub struct Settings {
    pub address: SocketAddr,
    /// Parts between slashes; `None` is the topic's place.
    pub path: Vec<Option<String>>,
    pub topic: Option<Rc<str>>,
    pub topic_query: Option<String>,
    pub topics_allowed: Vec<String>,
    pub key: KeyFrom,
    pub headers: Forward,
    pub format: Format,
    pub retry_after: i64,
    /// Values of `Authorization`, one of which must come; none: anybody may send.
    pub credentials: Vec<String>,
    pub tls: Option<(Pem, Pem)>,
    pub connections: usize,
    pub limits: RequestLimits,
    pub record_bytes: usize,
    pub records: usize,
    pub inflight_bytes: usize,
    pub times: ServerTimes,
    pub ack_timeout: Duration,
}

impl Settings {
    pub fn of(config: &Config) -> Result<Self, Vec<ConfigError>> {
        let parsed = config_def().parse(config)?;
        let errors = across(&parsed);
        if !errors.is_empty() {
            return Err(errors);
        }
        let text = |key: &str| parsed.get(key).filter(|text| !text.is_empty()).map(str::to_owned);
        let count = |key: &str| usize::try_from(parsed.long(key)).unwrap_or(0);
        let millis = |key: &str| Duration::from_millis(parsed.long(key) as u64);
        let single = |key, why: String| vec![ConfigError::invalid(key, parsed.string(key), &why)];
        let listed = |key: &str| {
            let mut items = parsed.list(key);
            items.retain(|item| !item.is_empty());
            items
        };
        let headers = listed("headers");
        Ok(Self {
            address: address(parsed.string("listener")).map_err(|why| single("listener", why))?,
            path: path(parsed.string("path")),
            topic: text("topic").map(Into::into),
            topic_query: text("topic.query"),
            topics_allowed: listed("topics.allowed"),
            key: KeyFrom::parse(parsed.string("key")).map_err(|why| single("key", why))?,
            headers: match headers.iter().any(|name| name == "*") {
                true => Forward::All,
                false => Forward::Listed(headers),
            },
            format: match parsed.string("body.format") {
                "json" => Format::Json,
                "ndjson" => Format::Lines,
                "bytes" => Format::Bytes,
                _ => Format::Auto,
            },
            retry_after: parsed.long("retry.after.seconds"),
            credentials: credentials(&parsed),
            tls: text("tls.certificate")
                .zip(text("tls.key"))
                .map(|(chain, key)| (pem(chain), pem(key))),
            connections: count("connections.max"),
            limits: RequestLimits {
                head_bytes: count("header.max.bytes"),
                body_bytes: count("body.max.bytes"),
            },
            record_bytes: count("record.max.bytes"),
            records: count("records.max"),
            inflight_bytes: count("inflight.max.bytes"),
            times: ServerTimes {
                idle: millis("idle.timeout.ms"),
                head: millis("header.timeout.ms"),
                body: millis("body.timeout.ms"),
                write: millis("write.timeout.ms"),
            },
            ack_timeout: millis("ack.timeout.ms"),
        })
    }
}

fn pem(path: String) -> Pem {
    Pem::File(PathBuf::from(path))
}

fn path(text: &str) -> Vec<Option<String>> {
    let parts = text.trim_matches('/').split('/');
    parts.map(|part| (part != TOPIC_SEGMENT).then(|| part.to_owned())).collect()
}

fn credentials(parsed: &Parsed) -> Vec<String> {
    let mut all = Vec::new();
    if let Some((user, password)) = parsed.get("basic.user").zip(parsed.get("basic.password")) {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        all.push(format!("Basic {pair}"));
    }
    all.extend(parsed.get("bearer.token").map(|token| format!("Bearer {token}")));
    all
}

/// What is wrong with several keys together.
fn across(parsed: &Parsed) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    let has = |key: &str| parsed.get(key).is_some_and(|text| !text.is_empty());
    let mut wrong = |key: &str, message: &str| {
        let shown = parsed.get(key).unwrap_or("null");
        errors.push(ConfigError::invalid(key, shown, message));
    };
    if !has("topic") && !has("topic.query") && !parsed.string("path").contains(TOPIC_SEGMENT) {
        wrong("topic", "Must be set, unless path has a part {topic} or topic.query is set");
    }
    for (one, other) in [("basic.user", "basic.password"), ("tls.certificate", "tls.key")] {
        if has(one) != has(other) {
            let (missing, given) = if has(one) { (other, one) } else { (one, other) };
            wrong(missing, &format!("Must be set together with {given}"));
        }
    }
    if parsed.long("body.max.bytes") > parsed.long("inflight.max.bytes") {
        wrong("inflight.max.bytes", "Must be at least body.max.bytes");
    }
    errors
}

/// Checks across keys; what single keys say wrong is said elsewhere.
pub fn validate(config: &Config) -> Vec<ConfigError> {
    config_def().parse(config).map_or_else(|_| Vec::new(), |parsed| across(&parsed))
}
