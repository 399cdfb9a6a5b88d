//! The way to the database, used by whichever companion thread asks: one connection, one prepared
//! statement, the keys of one asking sent one behind the other without waiting.
//!
//! The database itself makes JSON of a row (`row_to_json`) and reads a key's parts as the types that
//! the query's parameters have, so every type of its own is understood, extensions' included.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;
use futures_util::future::join_all;
use millrace_api::table::AskError;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{Format, IsNull, ToSql, Type};
use tokio_postgres::{Client, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::super::rows::SEPARATOR;
use super::settings::{SqlSpec, said, server};

/// What became of a key: its row as a JSON object, no row, or why the database will not look it up.
pub type Answer = Result<Option<String>, String>;

/// See the module's words. Shared by the table and the threads that ask for it.
pub struct Link {
    spec: SqlSpec,
    open: Mutex<Option<Open>>,
}

struct Open {
    /// Drives the connection, while somebody asks.
    runtime: Runtime,
    client: Client,
    statement: Statement,
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

impl Link {
    pub fn new(spec: SqlSpec) -> Self {
        Self { spec, open: Mutex::new(None) }
    }

    /// Looks the keys up; without any, sees that it could. Blocks until the database has answered, for
    /// `table.sql.timeout.ms` at most.
    ///
    /// # Errors
    /// The database is away, or takes neither us nor the query.
    pub fn ask(&self, keys: &[Box<[u8]>]) -> Result<Vec<Answer>, AskError> {
        let mut place = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // A connection that was left alone may be gone by now, which is nobody's fault: one more try.
        let fresh = place.is_none();
        match self.ask_with(&mut place, keys) {
            Err(AskError::Away(_)) if !fresh => self.ask_with(&mut place, keys),
            outcome => outcome,
        }
    }

    fn ask_with(
        &self,
        place: &mut Option<Open>,
        keys: &[Box<[u8]>],
    ) -> Result<Vec<Answer>, AskError> {
        // Taken out: what fails is not used again.
        let open = match place.take() {
            Some(open) => open,
            None => self.connect()?,
        };
        let asked = join_all(keys.iter().map(|key| look_up(&open.client, &open.statement, key)));
        let answers =
            open.runtime.block_on(async { tokio::time::timeout(self.spec.timeout, asked).await });
        let answers = answers.map_err(|_| self.late())?;
        let answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
        if !open.client.is_closed() {
            *place = Some(open);
        }
        Ok(answers)
    }

    fn late(&self) -> AskError {
        let limit = self.spec.timeout.as_millis();
        AskError::Away(format!(
            "{} gave no answer within table.sql.timeout.ms={limit}",
            self.spec.name()
        ))
    }

    fn connect(&self) -> Result<Open, AskError> {
        let hopeless = |why: String| AskError::Hopeless(format!("{}: {why}", self.spec.name()));
        let mut config = server(&self.spec.url).map_err(hopeless)?;
        config.application_name("millrace").connect_timeout(self.spec.timeout);
        if let Some(password) = &self.spec.password {
            config.password(&password.0);
        }
        let tls = tls(self.spec.ca.as_deref()).map_err(hopeless)?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| hopeless(error.to_string()))?;
        let query = format!(
            "SELECT row_to_json(millrace)::text FROM ({}\n) AS millrace LIMIT 1",
            self.spec.query
        );
        let opened = runtime.block_on(async {
            tokio::time::timeout(self.spec.timeout, async {
                let (client, connection) = config.connect(tls).await?;
                tokio::spawn(connection);
                let statement = client.prepare(&query).await?;
                Ok::<_, tokio_postgres::Error>((client, statement))
            })
            .await
        });
        let (client, statement) = opened.map_err(|_| self.late())?.map_err(|error| {
            let why = format!("{}: {}", self.spec.name(), said(&error));
            match error.code() {
                Some(code) if !passes(code) => AskError::Hopeless(why),
                _ => AskError::Away(why),
            }
        })?;
        if statement.params().is_empty() {
            return Err(hopeless("the query has no $1 for the key".to_owned()));
        }
        Ok(Open { runtime, client, statement })
    }
}

/// Whether what the server says is likely to pass: it starts, stops, is full, or was interrupted.
fn passes(code: &SqlState) -> bool {
    ["08", "40", "53", "57", "58", "XX"].iter().any(|class| code.code().starts_with(class))
}

async fn look_up(client: &Client, statement: &Statement, key: &[u8]) -> Result<Answer, AskError> {
    let Ok(text) = std::str::from_utf8(key) else {
        return Ok(Err("the key is no UTF-8".to_owned()));
    };
    let wanted = statement.params().len();
    // What one parameter takes may hold the byte that stands between several.
    let parts: Vec<Part<'_>> = match wanted {
        1 => vec![Part(text)],
        _ => text.split(char::from(SEPARATOR)).map(Part).collect(),
    };
    if parts.len() != wanted {
        let parts = parts.len();
        return Ok(Err(format!("the key has {parts} parts, the query {wanted} parameters")));
    }
    let parts: Vec<&(dyn ToSql + Sync)> = parts.iter().map(|part| part as _).collect();
    match client.query_opt(statement, &parts).await {
        Ok(row) => match row.map(|row| row.try_get::<_, Option<String>>(0)) {
            Some(Ok(text)) => Ok(Ok(text)),
            Some(Err(error)) => Ok(Err(said(&error))),
            None => Ok(Ok(None)),
        },
        Err(error) => {
            let why = said(&error);
            match error.code() {
                // The key is no number, or too great a one, and the like.
                Some(code) if code.code().starts_with("22") => Ok(Err(why)),
                Some(code) if !passes(code) => Err(AskError::Hopeless(why)),
                _ => Err(AskError::Away(why)),
            }
        }
    }
}

fn tls(ca: Option<&str>) -> Result<MakeRustlsConnect, String> {
    let mut roots = rustls::RootCertStore::empty();
    match ca {
        Some(path) => {
            use rustls::pki_types::CertificateDer;
            use rustls::pki_types::pem::PemObject;
            let failed = |why: String| format!("table.sql.ca.file={path}: {why}");
            let all = CertificateDer::pem_file_iter(path);
            for one in all.map_err(|error| failed(error.to_string()))? {
                let one = one.map_err(|error| failed(error.to_string()))?;
                roots.add(one).map_err(|error| failed(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(failed("there is no certificate in it".to_owned()));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
