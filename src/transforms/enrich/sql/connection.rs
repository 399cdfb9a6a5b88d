//! The way to the database, used by whichever companion thread asks: one connection, one prepared
//! statement, the keys of one asking sent one behind the other without waiting.

use std::sync::{Mutex, PoisonError};

use millrace_api::table::AskError;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::runtime::{Builder, Runtime};

use super::super::rows::SEPARATOR;
use super::settings::{Server, SqlSpec, server};
use super::{mysql, postgres};

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
    session: Session,
}

enum Session {
    Postgres(postgres::Session),
    Mysql(Box<mysql::Session>),
}

impl Session {
    async fn open(
        server: Server,
        spec: &SqlSpec,
        roots: Vec<CertificateDer<'static>>,
    ) -> Result<Self, AskError> {
        Ok(match server {
            Server::Postgres(config) => {
                Self::Postgres(postgres::Session::open(*config, spec, roots).await?)
            }
            Server::Mysql(server) => {
                Self::Mysql(Box::new(mysql::Session::open(server, spec, roots).await?))
            }
        })
    }

    async fn ask(&mut self, keys: &[Box<[u8]>]) -> Result<Vec<Answer>, AskError> {
        match self {
            Self::Postgres(session) => session.ask(keys).await,
            Self::Mysql(session) => session.ask(keys).await,
        }
    }

    fn is_closed(&self) -> bool {
        match self {
            Self::Postgres(session) => session.is_closed(),
            Self::Mysql(session) => session.is_closed(),
        }
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
        let outcome = match self.ask_with(&mut place, keys) {
            Err(AskError::Away(_)) if !fresh => self.ask_with(&mut place, keys),
            outcome => outcome,
        };
        let named = |why| format!("{}: {why}", self.spec.name());
        outcome.map_err(|error| match error {
            AskError::Away(why) => AskError::Away(named(why)),
            AskError::Hopeless(why) => AskError::Hopeless(named(why)),
        })
    }

    fn ask_with(
        &self,
        place: &mut Option<Open>,
        keys: &[Box<[u8]>],
    ) -> Result<Vec<Answer>, AskError> {
        // Taken out: what fails is not used again.
        let mut open = match place.take() {
            Some(open) => open,
            None => self.connect()?,
        };
        let asked = self.in_time(open.session.ask(keys));
        let answers = open.runtime.block_on(asked)?;
        if !open.session.is_closed() {
            *place = Some(open);
        }
        Ok(answers)
    }

    fn connect(&self) -> Result<Open, AskError> {
        let server = server(&self.spec.url).map_err(AskError::Hopeless)?;
        let roots = roots(self.spec.ca.as_deref()).map_err(AskError::Hopeless)?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| AskError::Hopeless(error.to_string()))?;
        let session = runtime.block_on(self.in_time(Session::open(server, &self.spec, roots)))?;
        Ok(Open { runtime, session })
    }

    async fn in_time<T>(
        &self,
        what: impl Future<Output = Result<T, AskError>>,
    ) -> Result<T, AskError> {
        tokio::time::timeout(self.spec.timeout, what).await.unwrap_or_else(|_| {
            let limit = self.spec.timeout.as_millis();
            Err(AskError::Away(format!("no answer within table.sql.timeout.ms={limit}")))
        })
    }
}

/// The parts of a key, one for each parameter of the query.
pub fn parts(key: &[u8], wanted: usize) -> Result<Vec<&str>, String> {
    let text = std::str::from_utf8(key).map_err(|_| "the key is no UTF-8".to_owned())?;
    let parts: Vec<&str> = match wanted {
        // What one parameter takes may hold the byte that stands between several.
        1 => vec![text],
        _ => text.split(char::from(SEPARATOR)).collect(),
    };
    if parts.len() == wanted {
        return Ok(parts);
    }
    let parts = parts.len();
    Err(format!("the key has {parts} parts, the query {wanted} parameters"))
}

/// The certificates that a database's may come from: a file's, or the system's.
fn roots(ca: Option<&str>) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut store = RootCertStore::empty();
    let Some(path) = ca else {
        let mut all = rustls_native_certs::load_native_certs().certs;
        // Old ones that cannot be read are of no use to anybody.
        all.retain(|one| store.add(one.clone()).is_ok());
        return Ok(all);
    };
    let failed = |why: String| format!("table.sql.ca.file={path}: {why}");
    let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let all = all.map_err(|error| failed(error.to_string()))?;
    for one in &all {
        store.add(one.clone()).map_err(|error| failed(error.to_string()))?;
    }
    match all.is_empty() {
        true => Err(failed("there is no certificate in it".to_owned())),
        false => Ok(all),
    }
}
