//! What a table in a database is told.

use std::fmt;
use std::time::Duration;

use super::{mysql, postgres};

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
        let place = server(&self.url).map_or_else(|_| String::new(), |server| server.place());
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

/// The database that a `table.sql.url` names.
pub enum Server {
    Postgres(Box<tokio_postgres::Config>),
    Mysql(mysql::Server),
}

impl Server {
    /// Its host and the database there, for messages.
    fn place(&self) -> String {
        let (host, database) = match self {
            Self::Postgres(config) => (postgres::host(config), config.get_dbname()),
            Self::Mysql(server) => (Some(server.host().to_owned()), server.opts.db_name()),
        };
        format!("{}/{}", host.unwrap_or_default(), database.unwrap_or_default())
    }
}

/// The parts of a `table.sql.url`. What is wrong with it is said without what may be a password.
///
/// # Errors
/// It is no URL of a database, or holds a password, which would be shown.
pub fn server(url: &str) -> Result<Server, String> {
    const WANTED: &str = "a URL such as postgresql://user@host:5432/database or \
         mysql://user@host:3306/database is needed";
    let Some((scheme, rest)) = url.split_once("://") else { return Err(WANTED.to_owned()) };
    let (server, user, password) = match scheme {
        "postgresql" | "postgres" => {
            let config = postgres::server(url)?;
            let host = postgres::host(&config).is_some();
            let user = host && config.get_user().is_some();
            let password = config.get_password().is_some();
            (Server::Postgres(Box::new(config)), user, password)
        }
        "mysql" | "mariadb" => {
            let server = mysql::server(rest)?;
            let (user, password) = (server.opts.user().is_some(), server.opts.pass().is_some());
            (Server::Mysql(server), user, password)
        }
        _ => {
            let known = "postgresql, postgres, mysql, mariadb";
            return Err(format!("{WANTED}; {scheme:?} is none of {known}"));
        }
    };
    if password {
        return Err("the password goes into table.sql.password, where it is hidden".to_owned());
    }
    if !user {
        return Err("it names no host, or no user".to_owned());
    }
    Ok(server)
}
