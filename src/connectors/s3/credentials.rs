//! Whose requests these are: keys from the configuration, the environment, the profile file, or a web
//! identity token exchanged at STS, renewed before they expire.
//!
//! Instance and container metadata services are not asked.

use std::cell::RefCell;
use std::path::PathBuf;

use jiff::Timestamp;
use millrace_net::http::{Body, Client, Method, Request, Url};

use super::sign::encode;
use super::xml;
use crate::storage::store::StoreError;

/// Renewed this long before they expire.
const RENEW_SECONDS: i64 = 300;

/// Keys that sign.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: Option<String>,
    /// `None`: never.
    pub expires: Option<Timestamp>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// Where to look for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `aws.access.key.id` and `aws.secret.access.key`.
    Static(Credentials),
    /// Environment, then web identity, then the profile file, as the SDK's default chain does.
    Chain,
    Environment,
    Profile,
    WebIdentity,
    /// Requests are not signed.
    Anonymous,
}

impl Source {
    /// By the Java class of `s3.credentials.provider.class`.
    pub fn of_class(class: &str) -> Result<Self, String> {
        match class.rsplit(['.', '$']).next().unwrap_or(class) {
            "DefaultCredentialsProvider"
            | "DefaultAWSCredentialsProviderChain"
            | "AWSCredentialsProviderChain"
            | "AwsCredentialsProviderChain" => Ok(Self::Chain),
            "EnvironmentVariableCredentialsProvider" => Ok(Self::Environment),
            "ProfileCredentialsProvider" => Ok(Self::Profile),
            "WebIdentityTokenFileCredentialsProvider" | "WebIdentityTokenCredentialsProvider" => {
                Ok(Self::WebIdentity)
            }
            "AnonymousCredentialsProvider" => Ok(Self::Anonymous),
            _ => Err("no such credentials provider is built in; one of \
                      software.amazon.awssdk.auth.credentials.{DefaultCredentialsProvider, \
                      EnvironmentVariableCredentialsProvider, ProfileCredentialsProvider, \
                      WebIdentityTokenFileCredentialsProvider, AnonymousCredentialsProvider}, or give \
                      aws.access.key.id and aws.secret.access.key"
                .to_owned()),
        }
    }
}

/// Reads a variable of the environment; a function so that tests need not set any.
pub type Environment = fn(&str) -> Option<String>;

/// The process' environment.
pub fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Gives credentials, from memory while they are good.
pub struct Provider {
    source: Source,
    environment: Environment,
    /// For STS.
    client: Client,
    region: String,
    cached: RefCell<Option<Credentials>>,
}

impl Provider {
    pub fn new(source: Source, environment: Environment, client: Client, region: &str) -> Self {
        Self { source, environment, client, region: region.to_owned(), cached: RefCell::new(None) }
    }

    /// `None` is anonymous.
    pub async fn get(&self) -> Result<Option<Credentials>, StoreError> {
        if self.source == Source::Anonymous {
            return Ok(None);
        }
        let now = Timestamp::now();
        if let Some(cached) = &*self.cached.borrow()
            && is_good(cached, now, RENEW_SECONDS)
        {
            return Ok(Some(cached.clone()));
        }
        let fresh = self.load().await;
        // Keys that are about to expire are better than none.
        let cached = self.cached.borrow().clone();
        match (fresh, cached) {
            (Ok(fresh), _) => {
                self.cached.replace(Some(fresh.clone()));
                Ok(Some(fresh))
            }
            (Err(error), Some(cached)) if is_good(&cached, now, 0) => {
                tracing::warn!("credentials could not be renewed: {error}");
                Ok(Some(cached))
            }
            (Err(error), _) => Err(error),
        }
    }

    /// What the server refused is not used again.
    pub fn forget(&self) {
        self.cached.replace(None);
    }

    async fn load(&self) -> Result<Credentials, StoreError> {
        let none = || {
            StoreError::fatal(
                "no AWS credentials were found; set aws.access.key.id and aws.secret.access.key, or \
                 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_WEB_IDENTITY_TOKEN_FILE and \
                 AWS_ROLE_ARN, or a profile in ~/.aws/credentials (instance and container metadata are \
                 not asked)",
            )
        };
        match &self.source {
            Source::Static(credentials) => Ok(credentials.clone()),
            Source::Environment => self.environment_keys().ok_or_else(none),
            Source::Profile => self.profile_keys()?.ok_or_else(none),
            Source::WebIdentity => self.web_identity_keys().await?.ok_or_else(none),
            Source::Chain => {
                if let Some(found) = self.environment_keys() {
                    return Ok(found);
                }
                if let Some(found) = self.web_identity_keys().await? {
                    return Ok(found);
                }
                self.profile_keys()?.ok_or_else(none)
            }
            Source::Anonymous => Err(none()),
        }
    }

    fn environment_keys(&self) -> Option<Credentials> {
        Some(Credentials {
            access_key_id: (self.environment)("AWS_ACCESS_KEY_ID")?,
            secret_access_key: (self.environment)("AWS_SECRET_ACCESS_KEY")?,
            session_token: (self.environment)("AWS_SESSION_TOKEN"),
            expires: None,
        })
    }

    fn profile_keys(&self) -> Result<Option<Credentials>, StoreError> {
        let path = match (self.environment)("AWS_SHARED_CREDENTIALS_FILE") {
            Some(path) => PathBuf::from(path),
            None => match (self.environment)("HOME") {
                Some(home) => PathBuf::from(home).join(".aws/credentials"),
                None => return Ok(None),
            },
        };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(StoreError::fatal(format!("cannot read {}: {error}", path.display())));
            }
        };
        let profile = (self.environment)("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
        Ok(parse_profile(&text, &profile))
    }

    async fn web_identity_keys(&self) -> Result<Option<Credentials>, StoreError> {
        let (Some(path), Some(role)) =
            ((self.environment)("AWS_WEB_IDENTITY_TOKEN_FILE"), (self.environment)("AWS_ROLE_ARN"))
        else {
            return Ok(None);
        };
        let token = std::fs::read_to_string(&path)
            .map_err(|error| StoreError::fatal(format!("cannot read {path}: {error}")))?;
        let session = (self.environment)("AWS_ROLE_SESSION_NAME");
        let session = session.as_deref().unwrap_or("millrace");
        let form = format!(
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn={}&RoleSessionName={}\
             &WebIdentityToken={}",
            encode(&role, false),
            encode(session, false),
            encode(token.trim(), false)
        );
        let endpoint = (self.environment)("AWS_ENDPOINT_URL_STS")
            .unwrap_or_else(|| format!("https://sts.{}.amazonaws.com/", self.region));
        let url = Url::parse(&endpoint).map_err(StoreError::fatal)?;
        let request = Request {
            method: Method::Post,
            url: &url,
            headers: &[("content-type", "application/x-www-form-urlencoded")],
            body: Body::Bytes(form.as_bytes()),
        };
        let response = self.client.send(request).await.map_err(|error| StoreError {
            transient: error.is_transient(),
            message: format!("STS cannot be asked for credentials: {error}"),
        })?;
        if !response.is_success() {
            let text = |name| xml::text(&response.body, name).unwrap_or_default();
            let message = format!(
                "STS refused AssumeRoleWithWebIdentity for {role}: {} {} {}",
                response.status,
                text("Code"),
                text("Message")
            );
            let transient = response.status >= 500 || response.status == 429;
            return Err(StoreError { transient, message });
        }
        parse_sts(&response.body)
            .ok_or_else(|| StoreError::transient("STS answered without credentials"))
            .map(Some)
    }
}

fn is_good(credentials: &Credentials, now: Timestamp, margin: i64) -> bool {
    credentials.expires.is_none_or(|expires| expires.as_second() - now.as_second() > margin)
}

fn parse_sts(body: &[u8]) -> Option<Credentials> {
    Some(Credentials {
        access_key_id: xml::text(body, "AccessKeyId")?,
        secret_access_key: xml::text(body, "SecretAccessKey")?,
        session_token: xml::text(body, "SessionToken"),
        expires: xml::text(body, "Expiration")?.parse().ok(),
    })
}

/// One section of an INI file.
fn parse_profile(text: &str, profile: &str) -> Option<Credentials> {
    let mut inside = false;
    let (mut id, mut secret, mut token) = (None, None, None);
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            inside = section.trim().strip_prefix("profile ").unwrap_or(section).trim() == profile;
        } else if inside && let Some((name, value)) = line.split_once('=') {
            let value = Some(value.trim().to_owned());
            match name.trim() {
                "aws_access_key_id" => id = value,
                "aws_secret_access_key" => secret = value,
                "aws_session_token" => token = value,
                _ => {}
            }
        }
    }
    Some(Credentials {
        access_key_id: id?,
        secret_access_key: secret?,
        session_token: token,
        expires: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles() {
        let text = "# c\n[default]\naws_access_key_id = A\naws_secret_access_key=B=\n\n[profile x]\n\
                    aws_access_key_id=C\naws_secret_access_key=D\naws_session_token=E\n[half]\n\
                    aws_access_key_id=F\n";
        let default = parse_profile(text, "default").unwrap();
        assert_eq!(
            (default.access_key_id.as_str(), default.secret_access_key.as_str()),
            ("A", "B=")
        );
        assert_eq!(parse_profile(text, "x").unwrap().session_token.as_deref(), Some("E"));
        assert_eq!(parse_profile(text, "half"), None);
        assert_eq!(parse_profile(text, "none"), None);
    }

    #[test]
    fn stss_answer() {
        let body =
            b"<AssumeRoleWithWebIdentityResponse xmlns=\"x\"><AssumeRoleWithWebIdentityResult>\
            <Credentials><SessionToken>t&amp;k</SessionToken><SecretAccessKey>s</SecretAccessKey>\
            <Expiration>2030-01-01T00:00:00Z</Expiration><AccessKeyId>a</AccessKeyId></Credentials>\
            </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>";
        let credentials = parse_sts(body).unwrap();
        assert_eq!(credentials.session_token.as_deref(), Some("t&k"));
        let expires = credentials.expires.unwrap();
        let at = |seconds: i64| Timestamp::from_second(expires.as_second() - seconds).unwrap();
        assert!(is_good(&credentials, at(301), RENEW_SECONDS));
        assert!(!is_good(&credentials, at(300), RENEW_SECONDS));
        assert!(is_good(&credentials, at(1), 0));
    }

    #[test]
    fn secrets_are_not_printed() {
        let credentials = Credentials {
            access_key_id: "id".to_owned(),
            secret_access_key: "hush".to_owned(),
            session_token: Some("hush".to_owned()),
            expires: None,
        };
        assert!(!format!("{credentials:?}").contains("hush"));
    }

    #[test]
    fn classes() {
        assert_eq!(
            Source::of_class("com.amazonaws.auth.DefaultAWSCredentialsProviderChain"),
            Ok(Source::Chain)
        );
        assert!(Source::of_class("com.acme.Mine").unwrap_err().contains("aws.access.key.id"));
    }
}
