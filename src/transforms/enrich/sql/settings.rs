//! What a table in a database is told.

use std::fmt;
use std::time::Duration;

/// A query, its database, and how long answers live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlSpec {
    pub query: String,
    pub url: String,
    pub password: Option<Secret>,
    /// PEM; by default the system's certificates.
    pub ca: Option<String>,
    pub timeout: Duration,
    /// Keys that are remembered at most.
    pub rows: usize,
    pub lives: Duration,
    pub negative_lives: Duration,
}

impl SqlSpec {
    /// For messages.
    pub fn name(&self) -> String {
        let place = match server(&self.url) {
            Ok(server) => {
                let host = server.get_hosts().first();
                let host = host.map_or_else(String::new, |host| match host {
                    tokio_postgres::config::Host::Tcp(host) => host.clone(),
                    tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
                });
                format!("{host}/{}", server.get_dbname().unwrap_or_default())
            }
            Err(_) => String::new(),
        };
        format!("the query of database {place}")
    }
}

/// What is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// The parts of a `table.sql.url`.
///
/// # Errors
/// It is no URL of a database, or holds a password, which would be shown.
pub fn server(url: &str) -> Result<tokio_postgres::Config, String> {
    if !url.starts_with("postgresql://") && !url.starts_with("postgres://") {
        return Err("a URL such as postgresql://user@host:5432/database is needed".to_owned());
    }
    // The driver does not know the stricter ones of libpq. With TLS we verify the certificate and its
    // name in any case.
    let url = url.replace("sslmode=verify-full", "sslmode=require");
    let url = url.replace("sslmode=verify-ca", "sslmode=require");
    let config: tokio_postgres::Config =
        url.parse().map_err(|error: tokio_postgres::Error| said(&error))?;
    if config.get_password().is_some() {
        return Err("the password goes into table.sql.password, where it is hidden".to_owned());
    }
    if config.get_hosts().is_empty() || config.get_user().is_none() {
        return Err("it names no host, or no user".to_owned());
    }
    Ok(config)
}

/// An error of the driver with what it is caused by.
pub fn said(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return format!("{}: {} ({})", error.severity(), error.message(), error.code().code());
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(one) = cause {
        text = format!("{text}: {one}");
        cause = one.source();
    }
    text
}
