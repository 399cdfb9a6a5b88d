//! How a schema registry is reached: the keys of Confluent's client, read and checked.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use millrace_converters::registry::RegistrySettings;
use millrace_kafka::config::{ConfigProblem, ConfigReader, Jaas, Tls};
use millrace_net::http::{ClientOptions, Url};
use percent_encoding::percent_decode_str;

/// What the client needs.
pub(super) struct RegistryConfig {
    /// In the order given; user-info is not in them any more.
    pub servers: Vec<Server>,
    /// `request.header.*` and, unless it is each URL's own, `Authorization`.
    pub headers: Vec<(String, String)>,
    /// Repetitions of a request that reached no server (`max.retries`).
    pub retries: u32,
    pub retry_wait: Duration,
    pub retry_wait_max: Duration,
    pub http: ClientOptions,
}

/// One of `schema.registry.url`.
pub(super) struct Server {
    pub url: Url,
    /// The path without a slash at its end.
    pub base: String,
    /// `Authorization` made of the URL's user-info.
    pub authorization: Option<String>,
}

const PREFIX: &str = "schema.registry.";

impl RegistryConfig {
    /// Reads all keys; everything that is wrong at once. Blocks while key stores are read.
    pub fn parse(settings: &RegistrySettings) -> Result<Self, Vec<ConfigProblem>> {
        let map = &settings.config;
        let mut reader = ConfigReader::new(map);
        let source = text(&mut reader, "basic.auth.credentials.source").unwrap_or("URL").to_owned();
        let servers = servers(&mut reader, source.eq_ignore_ascii_case("URL"));
        let mut headers = headers(map);
        headers.extend(authorization(&mut reader, &source));
        let http = ClientOptions {
            connect_timeout: reader.millis("http.connect.timeout.ms", 60_000, 1),
            request_timeout: reader.millis("http.read.timeout.ms", 60_000, 1),
            max_response_bytes: MOST_BYTES,
            idle_per_host: 1,
            proxy: proxy(&mut reader),
            ..ClientOptions::default()
        };
        let config = Self {
            servers,
            headers,
            retries: reader.number("max.retries", 3, 0),
            retry_wait: reader.millis("retries.wait.ms", 1_000, 0),
            retry_wait_max: reader.millis("retries.max.wait.ms", 20_000, 0),
            http,
        };
        reader.finish()?;
        config.with_tls(map)
    }

    /// Keys and certificates are read only where a server wants TLS.
    fn with_tls(mut self, map: &BTreeMap<String, String>) -> Result<Self, Vec<ConfigProblem>> {
        let tls = |server: &Server| server.url.scheme == millrace_net::http::Scheme::Https;
        if !self.servers.iter().any(tls) {
            return Ok(self);
        }
        let ssl: BTreeMap<String, String> = map
            .iter()
            .filter_map(|(key, value)| {
                let key = key.strip_prefix(PREFIX)?;
                key.starts_with("ssl.").then(|| (key.to_owned(), value.clone()))
            })
            .collect();
        let tls = Tls::parse(&ssl).map_err(|problems| {
            let named = |problem: ConfigProblem| ConfigProblem {
                key: format!("{PREFIX}{}", problem.key),
                ..problem
            };
            problems.into_iter().map(named).collect::<Vec<_>>()
        })?;
        self.http.tls = Some(Rc::new(tls.config));
        Ok(self)
    }
}

/// The largest answer that is taken.
const MOST_BYTES: usize = 16 << 20;

/// A key, or the same behind `schema.registry.`, as older files have it.
fn text<'m>(reader: &mut ConfigReader<'m>, key: &str) -> Option<&'m str> {
    let old = reader.text(&format!("{PREFIX}{key}"));
    reader.text(key).or(old).filter(|text| !text.is_empty())
}

fn servers(reader: &mut ConfigReader<'_>, by_url: bool) -> Vec<Server> {
    let key = "schema.registry.url";
    let list = reader.text(key).unwrap_or_default();
    let mut servers = Vec::new();
    for entry in list.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        match Url::parse(entry) {
            Ok(url) => {
                let decoded =
                    |user: &String| percent_decode_str(user).decode_utf8_lossy().into_owned();
                let user = url.user_info.as_ref().map(decoded).filter(|_| by_url);
                let base = url.path().trim_end_matches('/').to_owned();
                servers.push(Server { base, authorization: user.map(|user| basic(&user)), url });
            }
            // The entry may hold a password.
            Err(why) => reader.problem(key, "[hidden]", why),
        }
    }
    if servers.is_empty() && !reader.has_problem(key) {
        reader.problem(key, list, "a list of http:// or https:// URLs is needed");
    }
    servers
}

fn headers(map: &BTreeMap<String, String>) -> Vec<(String, String)> {
    map.iter()
        .filter_map(|(key, value)| {
            Some((key.strip_prefix("request.header.")?.to_owned(), value.trim().to_owned()))
        })
        .collect()
}

fn basic(user: &str) -> String {
    format!("Basic {}", STANDARD.encode(user))
}

/// The one `Authorization` for all servers, if the URLs do not bring their own.
fn authorization(reader: &mut ConfigReader<'_>, source: &str) -> Option<(String, String)> {
    let named = |value: String| Some(("Authorization".to_owned(), value));
    match text(reader, "bearer.auth.credentials.source").map(str::to_owned).as_deref() {
        None => {}
        Some("STATIC_TOKEN") => {
            let token = text(reader, "bearer.auth.token").map(str::to_owned);
            if token.is_none() {
                reader.problem("bearer.auth.token", "", "STATIC_TOKEN needs the token");
            }
            return named(format!("Bearer {}", token.unwrap_or_default()));
        }
        Some(other) => {
            let why = "String must be one of: STATIC_TOKEN";
            reader.problem("bearer.auth.credentials.source", other, why);
        }
    }
    match source.to_ascii_uppercase().as_str() {
        "URL" => None,
        "USER_INFO" => {
            let user = text(reader, "basic.auth.user.info").map(str::to_owned);
            match user.filter(|user| user.contains(':')) {
                Some(user) => named(basic(&user)),
                None => {
                    let why = "USER_INFO needs user:password";
                    reader.problem("basic.auth.user.info", "[hidden]", why);
                    None
                }
            }
        }
        "SASL_INHERIT" => {
            let entry = text(reader, "sasl.jaas.config").unwrap_or_default();
            let user = Jaas::parse(entry).ok().and_then(|jaas| {
                Some(format!("{}:{}", jaas.get("username")?, jaas.get("password")?))
            });
            if user.is_none() {
                let why = "SASL_INHERIT needs a login module with username and password";
                reader.problem("sasl.jaas.config", "[hidden]", why);
            }
            named(basic(&user.unwrap_or_default()))
        }
        _ => {
            let why = "String must be one of: URL, USER_INFO, SASL_INHERIT";
            reader.problem("basic.auth.credentials.source", source, why);
            None
        }
    }
}

fn proxy(reader: &mut ConfigReader<'_>) -> Option<String> {
    let host = text(reader, "proxy.host")?;
    let port = text(reader, "proxy.port")?;
    Some(format!("http://{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> RegistrySettings {
        let config = pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        RegistrySettings { config }
    }

    fn header(config: &RegistryConfig) -> Option<&str> {
        let mut all = config.headers.iter().filter(|(name, _)| name == "Authorization");
        all.next().map(|(_, value)| value.as_str())
    }

    #[test]
    fn urls_with_users() {
        let urls = "http://a%40b:p:w@one:8081/base/ , https://two";
        let config = RegistryConfig::parse(&settings(&[("schema.registry.url", urls)])).unwrap();
        assert_eq!(config.servers[0].authorization, Some(basic("a@b:p:w")));
        assert_eq!(config.servers[0].base, "/base");
        assert_eq!((config.servers[1].base.as_str(), config.servers[1].url.port), ("", 443));
        assert!(config.http.tls.is_some());
        assert_eq!(header(&config), None);
    }

    #[test]
    fn credentials() {
        let url = ("schema.registry.url", "http://u:p@h");
        for (pairs, value) in [
            (
                &[("basic.auth.credentials.source", "USER_INFO"), ("basic.auth.user.info", "a:b")]
                    [..],
                basic("a:b"),
            ),
            (
                &[
                    ("basic.auth.credentials.source", "USER_INFO"),
                    ("schema.registry.basic.auth.user.info", "c:d"),
                ],
                basic("c:d"),
            ),
            (
                &[
                    ("basic.auth.credentials.source", "SASL_INHERIT"),
                    ("sasl.jaas.config", "X required username=\"e\" password=\"f\";"),
                ],
                basic("e:f"),
            ),
            (
                &[("bearer.auth.credentials.source", "STATIC_TOKEN"), ("bearer.auth.token", "t")],
                "Bearer t".to_owned(),
            ),
        ] {
            let all: Vec<_> = pairs.iter().copied().chain([url]).collect();
            let config = RegistryConfig::parse(&settings(&all)).unwrap();
            assert_eq!(header(&config), Some(value.as_str()));
        }
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let problems = RegistryConfig::parse(&settings(&[
            ("schema.registry.url", "ftp://u:secret@h"),
            ("basic.auth.credentials.source", "USER_INFO"),
            ("max.retries", "-1"),
            ("bearer.auth.credentials.source", "OTHER"),
        ]));
        let problems = problems.err().unwrap();
        let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "schema.registry.url",
                "bearer.auth.credentials.source",
                "basic.auth.user.info",
                "max.retries"
            ]
        );
        assert!(problems.iter().all(|problem| !problem.to_string().contains("secret")));
        let store = RegistryConfig::parse(&settings(&[
            ("schema.registry.url", "https://h"),
            ("schema.registry.ssl.truststore.location", "/not/there"),
        ]));
        let key = &store.err().unwrap()[0].key;
        assert_eq!(key, "schema.registry.ssl.truststore.location");
    }
}
