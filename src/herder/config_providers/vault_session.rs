//! One login to Vault: its token, and secrets read with it. Lives on a core.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use millrace_net::http::{Body, Client, ClientOptions, Method, Request, Response, Url};
use millrace_net::rt;
use millrace_net::tls::TlsConfig;
use serde_json::{Map, Value, json};

use super::local::Values;
use super::vault_settings::{Engine, Login, VaultSettings};

const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);
const ANSWER_BYTES: usize = 4 << 20;
/// When there is nothing to renew.
const IDLE: Duration = Duration::from_secs(3600);
/// After a renewal that failed.
const AGAIN: Duration = Duration::from_secs(5);

/// What a path has.
pub(super) struct Read {
    pub values: Values,
    pub ttl: Option<Duration>,
}

/// Where a path's mount is and what it is.
#[derive(Clone)]
struct Mount {
    path: String,
    engine: Engine,
}

pub(super) struct Session {
    settings: VaultSettings,
    base: Url,
    client: Client,
    token: String,
    /// When the token is to be renewed; `None`: it lasts.
    renew_at: Option<Instant>,
    mounts: BTreeMap<String, Mount>,
}

impl Session {
    /// Logs in.
    pub async fn start(settings: VaultSettings) -> Result<Self, String> {
        let base = Url::parse(&settings.address)?;
        let tls = match settings.address.to_ascii_lowercase().starts_with("https") {
            true => Some(Rc::new(TlsConfig::load(settings.tls.clone()).await?)),
            false => None,
        };
        let client = Client::new(ClientOptions {
            connect_timeout: CONNECT,
            request_timeout: ANSWER,
            max_response_bytes: ANSWER_BYTES,
            tls,
            ..ClientOptions::default()
        });
        let token = String::new();
        let mounts = BTreeMap::new();
        let mut session = Self { settings, base, client, token, renew_at: None, mounts };
        session.log_in().await?;
        Ok(session)
    }

    /// How long there is nothing to be done for the token.
    pub fn renew_in(&self) -> Duration {
        let left = |at: Instant| at.saturating_duration_since(Instant::now());
        self.renew_at.map_or(IDLE, left)
    }

    /// Renews the token, or logs in anew.
    pub async fn renew(&mut self) {
        if self.renew_at.is_none() {
            return;
        }
        let renewed = self.call(Method::Post, "auth/token/renew-self", Some(&json!({}))).await;
        match renewed {
            Ok(answer) if answer.status == 200 => self.remember(&body(&answer)["auth"]),
            other => {
                let why = other.map_or_else(|why| why, |answer| told(&answer));
                tracing::warn!("Vault: the token is not renewed ({why}); logging in again");
                if let Err(why) = self.log_in().await {
                    tracing::error!("Vault: {why}");
                    self.renew_at = Some(Instant::now() + AGAIN);
                }
            }
        }
    }

    async fn log_in(&mut self) -> Result<(), String> {
        let (path, request) = match &self.settings.login {
            Login::Token(token) => {
                self.token.clone_from(token);
                let answer = self.call(Method::Get, "auth/token/lookup-self", None).await?;
                if answer.status != 200 {
                    return Err(format!("the token is refused: {}", told(&answer)));
                }
                let answer = body(&answer);
                let data = &answer["data"];
                let lease = json!({"lease_duration": data["ttl"], "renewable": data["renewable"]});
                self.remember(&lease);
                return Ok(());
            }
            Login::AppRole { mount, role, secret } => {
                (format!("auth/{mount}/login"), json!({"role_id": role, "secret_id": secret}))
            }
            Login::UserPass { mount, user, password } => {
                (format!("auth/{mount}/login/{user}"), json!({"password": password}))
            }
            Login::Kubernetes { mount, role, token } => {
                let jwt = std::fs::read_to_string(token)
                    .map_err(|error| format!("{}: {error}", token.display()))?;
                (format!("auth/{mount}/login"), json!({"role": role, "jwt": jwt.trim()}))
            }
        };
        self.token.clear();
        let answer = self.call(Method::Post, &path, Some(&request)).await?;
        let auth = body(&answer)["auth"].take();
        match auth["client_token"].as_str() {
            Some(token) if answer.status == 200 => self.token = token.to_owned(),
            _ => return Err(format!("the login at {path} is refused: {}", told(&answer))),
        }
        self.remember(&auth);
        Ok(())
    }

    /// When two thirds of the token's life are over it is renewed.
    fn remember(&mut self, auth: &Value) {
        let seconds = auth["lease_duration"].as_u64().unwrap_or(0);
        let can = auth["renewable"].as_bool().unwrap_or(false)
            || !matches!(self.settings.login, Login::Token(_));
        let life = Duration::from_secs(seconds);
        self.renew_at = (seconds > 0 && can).then(|| Instant::now() + life * 2 / 3);
    }

    /// Reads a path; a token that is refused is replaced once, where that can be.
    pub async fn read(&mut self, path: &str) -> Result<Read, String> {
        let path = path.trim_matches('/');
        let path = match self.settings.prefix.as_str() {
            "" => path.to_owned(),
            prefix => format!("{prefix}/{path}"),
        };
        let mount = self.mount(&path).await?;
        let target = target(&mount, &path);
        let mut answer = self.call(Method::Get, &target, None).await?;
        if answer.status == 403 && !matches!(self.settings.login, Login::Token(_)) {
            self.log_in().await?;
            answer = self.call(Method::Get, &target, None).await?;
        }
        if answer.status != 200 {
            let status = answer.status;
            let why = told(&answer);
            return Err(format!(
                "Vault path '{path}' was not found or not allowed ({status}: {why})"
            ));
        }
        let mut answer = body(&answer);
        let lease = answer["lease_duration"].as_u64().filter(|&seconds| seconds > 0);
        let ttl = lease.map(Duration::from_secs).or(self.settings.default_ttl);
        let data = match mount.engine {
            Engine::Two => answer["data"]["data"].take(),
            _ => answer["data"].take(),
        };
        let Value::Object(data) = data else {
            return Err(format!("Vault path '{path}' has no values: it was deleted"));
        };
        Ok(Read { values: values(data), ttl })
    }

    /// The mount of a path, as set or as Vault says.
    async fn mount(&mut self, path: &str) -> Result<Mount, String> {
        let first = path.split('/').next().unwrap_or_default();
        let as_set = |engine| Mount { path: first.to_owned(), engine };
        if self.settings.engine != Engine::Asked {
            return Ok(as_set(self.settings.engine));
        }
        if let Some(known) = self.mounts.get(first).filter(|known| is_under(path, &known.path)) {
            return Ok(known.clone());
        }
        let asked = format!("sys/internal/ui/mounts/{path}");
        let answer = self.call(Method::Get, &asked, None).await?;
        if answer.status != 200 {
            // Not everybody may ask; version 2 is what most are.
            return Ok(as_set(Engine::Two));
        }
        let data = body(&answer)["data"].take();
        let kv2 = data["type"] == "kv" && data["options"]["version"] == "2";
        let mount = Mount {
            path: data["path"].as_str().unwrap_or(first).trim_matches('/').to_owned(),
            engine: if kv2 { Engine::Two } else { Engine::One },
        };
        self.mounts.insert(first.to_owned(), mount.clone());
        Ok(mount)
    }

    /// One request, again after faults of the network and of Vault itself.
    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response, String> {
        let url = self.base.with_path(format!("/v1/{}", encoded(path)));
        let text = body.map(Value::to_string).unwrap_or_default();
        let mut headers = vec![("X-Vault-Request", "true")];
        for (name, value) in
            [("X-Vault-Token", &self.token), ("X-Vault-Namespace", &self.settings.namespace)]
        {
            if !value.is_empty() {
                headers.push((name, value));
            }
        }
        if body.is_some() {
            headers.push(("Content-Type", "application/json"));
        }
        let body = if body.is_some() { Body::Bytes(text.as_bytes()) } else { Body::Empty };
        let mut left = self.settings.retries;
        loop {
            let request = Request { method, url: &url, headers: &headers, body };
            let why = match self.client.send(request).await {
                Ok(answer) if answer.status < 500 && answer.status != 429 => return Ok(answer),
                Ok(answer) => format!("{}: {}", answer.status, told(&answer)),
                Err(error) if !error.is_transient() => return Err(error.to_string()),
                Err(error) => error.to_string(),
            };
            if left == 0 {
                return Err(why);
            }
            left -= 1;
            rt::sleep(self.settings.retry_interval).await;
        }
    }
}

fn is_under(path: &str, mount: &str) -> bool {
    path.strip_prefix(mount).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Version 2 has the values under `data/`, which users write or leave out.
fn target(mount: &Mount, path: &str) -> String {
    let rest = path.strip_prefix(&mount.path).unwrap_or(path).trim_start_matches('/');
    match mount.engine {
        Engine::Two if !rest.starts_with("data/") => format!("{}/data/{rest}", mount.path),
        _ => path.to_owned(),
    }
}

fn body(answer: &Response) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_default()
}

/// Vault's own words.
fn told(answer: &Response) -> String {
    let errors = body(answer)["errors"].take();
    let words = errors.as_array().into_iter().flatten().filter_map(Value::as_str);
    let words: Vec<&str> = words.collect();
    if words.is_empty() { format!("status {}", answer.status) } else { words.join("; ") }
}

/// Texts as they are, everything else as JSON.
fn values(data: Map<String, Value>) -> Values {
    let text = |value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    data.into_iter().map(|(key, value)| (key, text(value))).collect()
}

fn encoded(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(byte as char);
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_both_versions() {
        let mount = |path: &str, engine| Mount { path: path.to_owned(), engine };
        for (at, engine, path, expected) in [
            ("secret", Engine::Two, "secret/app", "secret/data/app"),
            ("secret", Engine::Two, "secret/data/app", "secret/data/app"),
            ("team/kv", Engine::Two, "team/kv/a/b", "team/kv/data/a/b"),
            ("kv", Engine::One, "kv/app", "kv/app"),
            ("database", Engine::One, "database/creds/r", "database/creds/r"),
        ] {
            assert_eq!(target(&mount(at, engine), path), expected);
        }
        assert!(is_under("secret/a", "secret"));
        assert!(!is_under("secrets/a", "secret"));
        assert_eq!(encoded("a b/ü#?"), "a%20b/%C3%BC%23%3F");
    }

    #[test]
    fn values_become_text() {
        let data = json!({"a": "x", "n": 7, "o": {"b": [1]}, "z": null});
        let Value::Object(data) = data else { unreachable!() };
        let texts: Vec<String> = values(data).into_values().collect();
        assert_eq!(texts, ["x", "7", "{\"b\":[1]}", "null"]);
    }
}
