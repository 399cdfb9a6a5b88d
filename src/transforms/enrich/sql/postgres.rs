//! PostgreSQL, which itself makes JSON of a row (`row_to_json`) and reads a key's parts as the types
//! that the query's parameters have, so every type of its own is understood, extensions' included.

use std::error::Error;
use std::sync::Arc;

use bytes::BytesMut;
use futures_util::future::join_all;
use millrace_api::table::AskError;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use tokio_postgres::config::{Config, Host};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{Format, IsNull, ToSql, Type};
use tokio_postgres::{Client, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::connection::{Answer, parts};
use super::settings::SqlSpec;

/// The parts of a URL.
///
/// # Errors
/// It is none of PostgreSQL's.
pub fn server(url: &str) -> Result<Config, String> {
    // The driver does not know the stricter ones of libpq. With TLS we verify the certificate and its
    // name in any case.
    let url = url.replace("sslmode=verify-full", "sslmode=require");
    let url = url.replace("sslmode=verify-ca", "sslmode=require");
    url.parse().map_err(|error: tokio_postgres::Error| said(&error))
}

/// The first of the hosts.
pub fn host(config: &Config) -> Option<String> {
    Some(match config.get_hosts().first()? {
        Host::Tcp(host) => host.clone(),
        Host::Unix(path) => path.display().to_string(),
    })
}

pub struct Session {
    client: Client,
    statement: Statement,
}

impl Session {
    pub async fn open(
        mut config: Config,
        spec: &SqlSpec,
        roots: Vec<CertificateDer<'static>>,
    ) -> Result<Self, AskError> {
        config.application_name("millrace").connect_timeout(spec.timeout);
        if let Some(password) = &spec.password {
            config.password(&password.0);
        }
        let tls = tls(roots).map_err(AskError::Hopeless)?;
        let query = format!(
            "SELECT row_to_json(millrace)::text FROM ({}\n) AS millrace LIMIT 1",
            spec.query
        );
        let opened = async {
            let (client, connection) = config.connect(tls).await?;
            tokio::spawn(connection);
            let statement = client.prepare(&query).await?;
            Ok(Self { client, statement })
        };
        let session = opened.await.map_err(|error| failed(&error))?;
        match session.statement.params().is_empty() {
            true => Err(AskError::Hopeless("the query has no $1 for the key".to_owned())),
            false => Ok(session),
        }
    }

    pub async fn ask(&self, keys: &[Box<[u8]>]) -> Result<Vec<Answer>, AskError> {
        let asked = join_all(keys.iter().map(|key| self.look_up(key))).await;
        asked.into_iter().collect()
    }

    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    async fn look_up(&self, key: &[u8]) -> Result<Answer, AskError> {
        let parts: Vec<Part<'_>> = match parts(key, self.statement.params().len()) {
            Ok(parts) => parts.into_iter().map(Part).collect(),
            Err(why) => return Ok(Err(why)),
        };
        let parts: Vec<&(dyn ToSql + Sync)> = parts.iter().map(|part| part as _).collect();
        match self.client.query_opt(&self.statement, &parts).await {
            Ok(row) => match row.map(|row| row.try_get::<_, Option<String>>(0)) {
                Some(Ok(text)) => Ok(Ok(text)),
                Some(Err(error)) => Ok(Err(said(&error))),
                None => Ok(Ok(None)),
            },
            // The key is no number, or too great a one, and the like.
            Err(error) if error.code().is_some_and(|code| code.code().starts_with("22")) => {
                Ok(Err(said(&error)))
            }
            Err(error) => Err(failed(&error)),
        }
    }
}

/// Text of which the server makes what the parameter is.
#[derive(Debug)]
struct Part<'k>(&'k str);

impl ToSql for Part<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    fn to_sql_checked(
        &self,
        type_: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.to_sql(type_, out)
    }
}

fn failed(error: &tokio_postgres::Error) -> AskError {
    match error.code() {
        Some(code) if !passes(code) => AskError::Hopeless(said(error)),
        _ => AskError::Away(said(error)),
    }
}

/// Whether what the server says is likely to pass: it starts, stops, is full, or was interrupted.
fn passes(code: &SqlState) -> bool {
    ["08", "40", "53", "57", "58", "XX"].iter().any(|class| code.code().starts_with(class))
}

/// An error of the driver with what it is caused by.
fn said(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return format!("{}: {} ({})", error.severity(), error.message(), error.code().code());
    }
    let mut text = error.to_string();
    let mut cause = Error::source(error);
    while let Some(one) = cause {
        text = format!("{text}: {one}");
        cause = one.source();
    }
    text
}

fn tls(roots: Vec<CertificateDer<'static>>) -> Result<MakeRustlsConnect, String> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
