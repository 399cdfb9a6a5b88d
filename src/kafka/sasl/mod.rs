//! Authentication by SASL: the settings, and the exchange of each mechanism without IO.
//!
//! PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER; passwords and tokens stand in [`Secret`]s,
//! which no log prints.

mod jaas;
mod oauth;
mod scram;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

pub use jaas::Jaas;
use oauth::TokenSource;
pub use scram::{Scram, ScramHash};

use crate::config::{ConfigReader, Tls};
use crate::error::KafkaError;

/// A text that no log prints.
#[derive(Clone)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// Who we are; cheap to clone.
#[derive(Clone, Debug)]
pub struct SaslSettings(Arc<Credentials>);

#[derive(Debug)]
enum Credentials {
    Plain { username: String, password: Secret },
    Scram { hash: ScramHash, username: String, password: Secret, delegation_token: bool },
    OAuthBearer(TokenSource),
}

const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";
const SCRAM: &str = "org.apache.kafka.common.security.scram.ScramLoginModule";
const OAUTH: &str = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule";

/// Java classes that would take the place of what stands here.
const CLASSES: [&str; 2] = ["sasl.client.callback.handler.class", "sasl.login.class"];

impl SaslSettings {
    /// Takes `sasl.*` from `reader`; `None` after a mistake, which the reader has.
    pub fn read(reader: &mut ConfigReader<'_>, tls: Option<&Tls>) -> Option<Self> {
        for key in CLASSES {
            if let Some(class) = reader.text(key).filter(|class| !class.is_empty()) {
                reader.problem(key, class, "Java classes cannot be loaded here; remove the key");
            }
        }
        let key = "sasl.mechanism";
        let mechanism = reader.text(key).unwrap_or("GSSAPI").to_owned();
        let module = match mechanism.as_str() {
            "PLAIN" => PLAIN,
            "SCRAM-SHA-256" | "SCRAM-SHA-512" => SCRAM,
            "OAUTHBEARER" => OAUTH,
            _ => {
                let why = match mechanism.as_str() {
                    "GSSAPI" => "Kerberos (the default of sasl.mechanism) is not supported; ",
                    _ => "",
                };
                let known = "set one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER";
                reader.problem(key, &mechanism, format!("{why}{known}"));
                return None;
            }
        };
        let jaas = read_jaas(reader, module)?;
        let credentials = match mechanism.as_str() {
            "OAUTHBEARER" => Credentials::OAuthBearer(TokenSource::read(reader, &jaas, tls)?),
            "PLAIN" => {
                let (username, password) = name_and_password(reader, &jaas, module)?;
                Credentials::Plain { username, password }
            }
            _ => {
                let (username, password) = name_and_password(reader, &jaas, module)?;
                let hash = match mechanism.as_str() {
                    "SCRAM-SHA-256" => ScramHash::Sha256,
                    _ => ScramHash::Sha512,
                };
                let delegation_token = jaas.get("tokenauth") == Some("true");
                Credentials::Scram { hash, username, password, delegation_token }
            }
        };
        Some(Self(Arc::new(credentials)))
    }

    /// The mechanism's registered name.
    pub fn mechanism(&self) -> &'static str {
        match &*self.0 {
            Credentials::Plain { .. } => "PLAIN",
            Credentials::Scram { hash: ScramHash::Sha256, .. } => "SCRAM-SHA-256",
            Credentials::Scram { hash: ScramHash::Sha512, .. } => "SCRAM-SHA-512",
            Credentials::OAuthBearer(_) => "OAUTHBEARER",
        }
    }

    /// A new exchange, with a token at hand where one is needed.
    pub async fn begin(&self) -> Result<Exchange, KafkaError> {
        Ok(match &*self.0 {
            Credentials::Plain { username, password } => {
                Exchange::Single(format!("\0{username}\0{}", password.0).into_bytes())
            }
            Credentials::Scram { hash, username, password, delegation_token } => {
                let new = Scram::new(*hash, username, password.clone(), *delegation_token)?;
                Exchange::Scram(Box::new(new))
            }
            Credentials::OAuthBearer(source) => {
                let token = source.token().await?;
                Exchange::Token(format!("n,,\x01auth=Bearer {token}\x01\x01").into_bytes())
            }
        })
    }

    /// What to look at when a broker refuses us.
    pub fn remedy(&self) -> &'static str {
        match &*self.0 {
            Credentials::Plain { .. } | Credentials::Scram { .. } => {
                "check username and password in sasl.jaas.config, and sasl.mechanism"
            }
            Credentials::OAuthBearer(_) => {
                "check clientId and clientSecret in sasl.jaas.config, and \
                 sasl.oauthbearer.token.endpoint.url"
            }
        }
    }
}

/// One authentication: messages out, messages in.
pub enum Exchange {
    /// All in one message.
    Single(Vec<u8>),
    /// As [`Self::Single`], and a refusal has to be acknowledged before the broker tells it.
    Token(Vec<u8>),
    Scram(Box<Scram>),
}

impl Exchange {
    /// The first message.
    pub fn first(&mut self) -> Vec<u8> {
        match self {
            Self::Single(message) | Self::Token(message) => std::mem::take(message),
            Self::Scram(scram) => scram.first(),
        }
    }

    /// The next message, after the broker's; `None` when the broker has accepted us, and we it.
    pub async fn next(&mut self, theirs: &[u8]) -> Result<Option<Vec<u8>>, KafkaError> {
        match self {
            Self::Single(_) => Ok(None),
            Self::Token(_) => Ok((!theirs.is_empty()).then(|| vec![1])),
            Self::Scram(scram) => scram.next(theirs).await,
        }
    }
}

fn read_jaas(reader: &mut ConfigReader<'_>, module: &str) -> Option<Jaas> {
    let key = "sasl.jaas.config";
    let example = format!("as: {module} required username=\"…\" password=\"…\";");
    let Some(text) = reader.text(key).filter(|text| !text.is_empty()) else {
        reader.problem(key, "", format!("is needed with this sasl.mechanism, {example}"));
        return None;
    };
    match Jaas::parse(text) {
        Ok(jaas) if jaas.module == module => Some(jaas),
        Ok(jaas) => {
            let why =
                format!("the login module is {}; this sasl.mechanism needs {module}", jaas.module);
            reader.problem(key, "[hidden]", why);
            None
        }
        Err(why) => {
            reader.problem(key, "[hidden]", format!("{why}; it should read {example}"));
            None
        }
    }
}

fn name_and_password(
    reader: &mut ConfigReader<'_>,
    jaas: &Jaas,
    module: &str,
) -> Option<(String, Secret)> {
    match (jaas.get("username"), jaas.get("password")) {
        (Some(username), Some(password)) => {
            Some((username.to_owned(), Secret(password.to_owned())))
        }
        (username, _) => {
            let missing = if username.is_none() { "username" } else { "password" };
            let why = format!(
                "{missing} is missing; it should read: {module} required username=\"…\" \
                 password=\"…\";"
            );
            reader.problem("sasl.jaas.config", "[hidden]", why);
            None
        }
    }
}
