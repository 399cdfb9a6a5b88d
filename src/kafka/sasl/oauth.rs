//! OAUTHBEARER's token: from a token endpoint by client credentials, from a file, or an unsecured one
//! for brokers that are tried out.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use millrace_net::http::{Body, Client, ClientOptions, Method, Request, Url};
use millrace_net::tls::TlsConfig;

use super::Secret;
use super::jaas::Jaas;
use crate::config::{ConfigReader, Tls};
use crate::error::{ErrorKind, KafkaError};

/// Java's class that gets tokens from an endpoint; under its older name too.
const HANDLERS: [&str; 2] = [
    "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler",
    "org.apache.kafka.common.security.oauthbearer.secured.OAuthBearerLoginCallbackHandler",
];
const MAX_TOKEN_BYTES: usize = 64 << 10;

/// Where tokens come from, and the one that still serves.
#[derive(Debug)]
pub struct TokenSource {
    from: From,
    cached: Mutex<Option<(Secret, Instant)>>,
}

#[derive(Debug)]
enum From {
    Endpoint {
        url: Url,
        client: String,
        secret: Secret,
        scope: Option<String>,
        tls: Option<TlsConfig>,
    },
    File(PathBuf),
    /// JSON claims of a token that nobody signed.
    Unsecured(serde_json::Map<String, serde_json::Value>),
}

impl TokenSource {
    pub fn read(reader: &mut ConfigReader<'_>, jaas: &Jaas, tls: Option<&Tls>) -> Option<Self> {
        let handler_key = "sasl.login.callback.handler.class";
        if let Some(class) = reader.text(handler_key).filter(|class| !class.is_empty())
            && !HANDLERS.contains(&class)
        {
            let why = format!("only {} is known here", HANDLERS[0]);
            reader.problem(handler_key, class, why);
            return None;
        }
        let key = "sasl.oauthbearer.token.endpoint.url";
        let endpoint = reader.text(key).filter(|text| !text.is_empty());
        let from = match endpoint {
            None => Self::unsecured(reader, jaas)?,
            Some(text) => match text.strip_prefix("file:") {
                Some(path) => {
                    From::File(PathBuf::from(format!("/{}", path.trim_start_matches('/'))))
                }
                None => Self::endpoint(reader, jaas, tls, text)?,
            },
        };
        Some(Self { from, cached: Mutex::new(None) })
    }

    fn endpoint(
        reader: &mut ConfigReader<'_>,
        jaas: &Jaas,
        tls: Option<&Tls>,
        text: &str,
    ) -> Option<From> {
        let key = "sasl.oauthbearer.token.endpoint.url";
        let url = match Url::parse(text) {
            Ok(url) => url,
            Err(why) => {
                reader.problem(key, text, why);
                return None;
            }
        };
        let mut either = |option: &str, key: &str| {
            let keyed = reader.text(key).map(str::to_owned);
            keyed.or_else(|| jaas.get(option).map(str::to_owned)).filter(|text| !text.is_empty())
        };
        let id = either("clientId", "sasl.oauthbearer.client.credentials.client.id");
        let secret = either("clientSecret", "sasl.oauthbearer.client.credentials.client.secret");
        let scope = either("scope", "sasl.oauthbearer.scope");
        let (Some(client), Some(secret)) = (id, secret) else {
            let why =
                "clientId and clientSecret are needed with sasl.oauthbearer.token.endpoint.url";
            reader.problem("sasl.jaas.config", "[hidden]", why);
            return None;
        };
        let tls = tls.map(|tls| tls.config.clone());
        Some(From::Endpoint { url, client, secret: Secret(secret), scope, tls })
    }

    /// `unsecuredLoginStringClaim_sub="me"` and its like in the JAAS entry.
    fn unsecured(reader: &mut ConfigReader<'_>, jaas: &Jaas) -> Option<From> {
        let mut claims = serde_json::Map::new();
        for (name, value) in jaas.with_prefix("unsecuredLoginStringClaim_") {
            claims.insert(name.to_owned(), value.into());
        }
        for (name, value) in jaas.with_prefix("unsecuredLoginListClaim_") {
            // The first character is the separator.
            let mut rest = value.chars();
            let separator = rest.next().unwrap_or(',');
            let list: Vec<&str> = rest.as_str().split(separator).collect();
            claims.insert(name.to_owned(), list.into());
        }
        if claims.contains_key("sub") {
            return Some(From::Unsecured(claims));
        }
        reader.problem(
            "sasl.oauthbearer.token.endpoint.url",
            "",
            "is needed for OAUTHBEARER: https://…, or file:///… for a file that holds the token",
        );
        None
    }

    /// A token that serves for a while.
    pub async fn token(&self) -> Result<String, KafkaError> {
        let cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((token, until)) = cached
            && Instant::now() < until
        {
            return Ok(token.0);
        }
        let token = match &self.from {
            From::Unsecured(claims) => return Ok(unsecured_token(claims)),
            From::File(path) => read_token(path).await?,
            From::Endpoint { url, client, secret, scope, tls } => {
                ask(url, client, secret, scope.as_deref(), tls.as_ref()).await?
            }
        };
        let token = token.trim().to_owned();
        // What ends it would end the message too.
        if token.is_empty() || token.bytes().any(|byte| !(0x21..0x7f).contains(&byte)) {
            return Err(KafkaError::config(
                "sasl.oauthbearer.token.endpoint.url: what came is not a token",
            ));
        }
        let serves = lifetime(&token).unwrap_or(Duration::from_secs(60)).mul_f64(0.8);
        let entry = (Secret(token.clone()), Instant::now() + serves);
        *self.cached.lock().unwrap_or_else(PoisonError::into_inner) = Some(entry);
        Ok(token)
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

fn unsecured_token(claims: &serde_json::Map<String, serde_json::Value>) -> String {
    let mut claims = claims.clone();
    claims.insert("iat".to_owned(), now().into());
    claims.insert("exp".to_owned(), (now() + 3600).into());
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let claims = serde_json::Value::Object(claims).to_string();
    format!("{}.{}.", encode("{\"alg\":\"none\"}"), encode(&claims))
}

/// The time left by the token's `exp`, if it is a JWT that has one.
fn lifetime(token: &str) -> Option<Duration> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?.trim_end_matches('=')).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    let left = claims["exp"].as_u64()?.saturating_sub(now());
    Some(Duration::from_secs(left.min(24 * 3600)))
}

async fn read_token(path: &std::path::Path) -> Result<String, KafkaError> {
    let file = path.to_owned();
    let read = millrace_net::offload::run(move || std::fs::read_to_string(file)).await;
    read.and_then(|text| text).map_err(|error| {
        let why = format!("sasl.oauthbearer.token.endpoint.url: {}: {error}", path.display());
        KafkaError::config(why)
    })
}

/// RFC 6749, section 4.4: client credentials by HTTP Basic.
async fn ask(
    url: &Url,
    client: &str,
    secret: &Secret,
    scope: Option<&str>,
    tls: Option<&TlsConfig>,
) -> Result<String, KafkaError> {
    let basic = format!("Basic {}", STANDARD.encode(format!("{client}:{}", secret.0)));
    let mut form = "grant_type=client_credentials".to_owned();
    if let Some(scope) = scope {
        form.push_str("&scope=");
        for byte in scope.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                    form.push(char::from(byte));
                }
                _ => form.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    let headers = [
        ("Authorization", basic.as_str()),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Accept", "application/json"),
    ];
    let options = ClientOptions {
        tls: tls.cloned().map(Rc::new),
        request_timeout: Duration::from_secs(10),
        max_response_bytes: MAX_TOKEN_BYTES,
        ..ClientOptions::default()
    };
    let request = Request {
        method: Method::Post,
        url,
        headers: &headers,
        body: Body::Bytes(form.as_bytes()),
    };
    let place = format!("the token endpoint {}", url.host_and_port());
    let response = Client::new(options)
        .send(request)
        .await
        .map_err(|error| KafkaError::new(ErrorKind::Retriable, format!("{place}: {error}")))?;
    match response.status {
        200..=299 => {}
        400..=499 => {
            return Err(KafkaError::config(format!(
                "{place} refuses with status {}; check clientId, clientSecret and scope in \
                 sasl.jaas.config",
                response.status
            )));
        }
        status => {
            let why = format!("{place} answers with status {status}");
            return Err(KafkaError::new(ErrorKind::Retriable, why));
        }
    }
    let answer: Result<serde_json::Value, _> = serde_json::from_slice(&response.body);
    let token = answer.ok().and_then(|answer| Some(answer["access_token"].as_str()?.to_owned()));
    token.ok_or_else(|| KafkaError::config(format!("{place} answers without an access_token")))
}
