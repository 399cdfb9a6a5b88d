//! MySQL and MariaDB.
//!
//! Their driver waits for each answer before it asks on. So keys go as one text of many statements,
//! which the server answers one behind the other: the query is prepared by name, the parts of the
//! keys are variables, and each `EXECUTE` is followed by `SHOW WARNINGS`. The latter, because where
//! PostgreSQL says that `x` is no number these compare it as 0, find somebody's row, and warn.

use std::fmt::Write;

use millrace_api::table::AskError;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, DriverError, Error, Opts, OptsBuilder, Row, ServerError, SslOpts};
use rustls::pki_types::CertificateDer;

use super::connection::{Answer, parts};
use super::mysql_row;
use super::settings::SqlSpec;

/// Keys of one text at most, and its bytes but for the last key's: servers take 4 MiB, and more.
const AT_ONCE: usize = 256;
const MOST_TEXT: usize = 1 << 20;
/// Longest key.
const MOST_KEY: usize = 1 << 20;

/// How a connection is made secure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    Disabled,
    /// If the server has it.
    Preferred,
    Required,
}

pub struct Server {
    pub opts: Opts,
    pub tls: Tls,
}

impl Server {
    pub fn host(&self) -> &str {
        self.opts.ip_or_hostname().trim_matches(['[', ']'])
    }
}

/// The parts of a URL behind its scheme.
///
/// # Errors
/// It is none, or has settings that are not known.
pub fn server(rest: &str) -> Result<Server, String> {
    let (place, settings) = rest.split_once('?').unwrap_or((rest, ""));
    let mut tls = Tls::Preferred;
    for setting in settings.split('&').filter(|setting| !setting.is_empty()) {
        let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
        // Of many spellings: ssl-mode of MySQL's own programs, sslMode of its and MariaDB's drivers.
        let plain = |text: &str| text.replace(['-', '_'], "").to_ascii_lowercase();
        if plain(name) != "sslmode" {
            return Err(format!("{name:?} is no setting of such a URL; there is ssl-mode"));
        }
        // With TLS we verify the certificate and its name in any case.
        tls = match plain(value).as_str() {
            "disabled" | "disable" => Tls::Disabled,
            "preferred" | "prefer" => Tls::Preferred,
            "required" | "require" | "verifyca" | "verifyidentity" | "verifyfull" => Tls::Required,
            _ => {
                let known = "disabled, preferred, required, verify_ca, verify_identity";
                return Err(format!("{name}={value} is none of {known}"));
            }
        };
    }
    let opts = Opts::from_url(&format!("mysql://{place}")).map_err(|error| error.to_string())?;
    Ok(Server { opts, tls })
}

pub struct Session {
    conn: Conn,
    /// Parameters of the query.
    wanted: usize,
}

/// What became of a text of statements: its result sets, and what ended it early.
type Sets = (Vec<Vec<Row>>, Result<(), Error>);

impl Session {
    pub async fn open(
        server: Server,
        spec: &SqlSpec,
        roots: Vec<CertificateDer<'static>>,
    ) -> Result<Self, AskError> {
        // The driver takes that of the process, which is the same everywhere in it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let roots = roots.into_iter().map(|root| root.to_vec().into()).collect();
        let tls = SslOpts::default()
            .with_disable_built_in_roots(true)
            .with_root_certs(roots)
            .with_danger_tls_hostname_override(Some(server.host().to_owned()));
        let options = OptsBuilder::from_opts(server.opts)
            .pass(spec.password.as_ref().map(|password| password.0.clone()))
            .connect_attribute("program_name", "millrace")
            // A server of this machine would be sought at a socket that a tunnel's end has not.
            .prefer_socket(false)
            // The first row counts, whatever the query's order: no more are sent. A TIMESTAMP is a
            // moment, and is told in UTC.
            .init(vec!["SET SESSION sql_select_limit = 1, time_zone = '+00:00'"]);
        let secured = options.clone().ssl_opts((server.tls != Tls::Disabled).then_some(tls));
        let conn = match Conn::new(secured).await {
            Err(Error::Driver(DriverError::NoClientSslFlagFromServer))
                if server.tls == Tls::Preferred =>
            {
                Conn::new(options).await
            }
            outcome => outcome,
        };
        let mut conn = conn.map_err(failed)?;
        let statement =
            conn.prep(spec.query.as_str()).await.map_err(|error| match failed(error) {
                AskError::Hopeless(why) if spec.query.contains("$1") => {
                    AskError::Hopeless(format!("{why}; a part of the key is ? here, not $1"))
                }
                other => other,
            })?;
        let wanted = usize::from(statement.num_params());
        conn.close(statement).await.map_err(failed)?;
        if wanted == 0 {
            return Err(AskError::Hopeless("the query has no ? for the key".to_owned()));
        }
        let mut text = "SET @millrace=".to_owned();
        literal(&spec.query, &mut text);
        text.push_str(";PREPARE millrace FROM @millrace");
        conn.query_drop(text).await.map_err(failed)?;
        Ok(Self { conn, wanted })
    }

    pub fn is_closed(&self) -> bool {
        self.conn.is_disconnected()
    }

    pub async fn ask(&mut self, keys: &[Box<[u8]>]) -> Result<Vec<Answer>, AskError> {
        let mut answers = Vec::with_capacity(keys.len());
        while answers.len() < keys.len() {
            let rest = &keys[answers.len()..];
            match self.parts(&rest[0]) {
                Ok(_) => self.look_up(rest, &mut answers).await?,
                Err(why) => answers.push(Err(why)),
            }
        }
        Ok(answers)
    }

    fn parts<'k>(&self, key: &'k [u8]) -> Result<Vec<&'k str>, String> {
        match key.len() {
            ..=MOST_KEY => parts(key, self.wanted),
            length => Err(format!("the key has {length} bytes, and may have {MOST_KEY}")),
        }
    }

    /// Answers to the first of the keys, at least one; the first of them can be asked for.
    async fn look_up(
        &mut self,
        keys: &[Box<[u8]>],
        answers: &mut Vec<Answer>,
    ) -> Result<(), AskError> {
        let before = answers.len();
        let askable = keys.iter().map_while(|key| self.parts(key).ok());
        let (text, asked) = statements(askable);
        let (sets, outcome) = self.run(text).await;
        // The first set is that of the variables, then there are two a key.
        let found = sets.get(1..).unwrap_or_default().chunks_exact(2);
        answers.extend(found.take(asked).map(|sets| answer(&sets[0], &sets[1])));
        match outcome {
            Err(Error::Server(error)) if is_data(error.code, &error.state) => {
                answers.push(Err(said(&error)));
                Ok(())
            }
            Err(error) => Err(failed(error)),
            // Or we would ask for ever.
            Ok(()) if answers.len() == before => {
                Err(AskError::Away("the server answered nothing".to_owned()))
            }
            Ok(()) => Ok(()),
        }
    }

    async fn run(&mut self, text: String) -> Sets {
        let mut sets = Vec::new();
        let mut result = match self.conn.query_iter(text).await {
            Ok(result) => result,
            Err(error) => return (sets, Err(error)),
        };
        while !result.is_empty() {
            let mut rows = Vec::new();
            // At a set's end the next one is begun, which is what may fail: the rows are good.
            let outcome = result.for_each(|row| rows.push(row)).await;
            sets.push(rows);
            if outcome.is_err() {
                return (sets, outcome);
            }
        }
        // What failed to begin ends the sets, too; the driver says it only here.
        let outcome = result.drop_result().await;
        (sets, outcome)
    }
}

/// The text that asks for those keys, and how many of them.
fn statements<'k>(keys: impl Iterator<Item = Vec<&'k str>>) -> (String, usize) {
    let (mut variables, mut executes) = (String::new(), String::new());
    let (mut asked, mut number) = (0, 0);
    for parts in keys.take(AT_ONCE) {
        executes.push_str(";EXECUTE millrace USING ");
        for (at, part) in parts.into_iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            // Writing into memory does not fail.
            let _ = write!(executes, "{comma}@millrace{number}");
            let word = if number == 0 { "SET " } else { "," };
            let _ = write!(variables, "{word}@millrace{number}=");
            literal(part, &mut variables);
            number += 1;
        }
        executes.push_str(";SHOW WARNINGS");
        asked += 1;
        if variables.len() > MOST_TEXT {
            break;
        }
    }
    (variables + &executes, asked)
}

/// Text as it can be written whatever it holds and however the server reads escapes.
fn literal(text: &str, out: &mut String) {
    out.push_str("_utf8mb4 X'");
    for byte in text.bytes() {
        let _ = write!(out, "{byte:02x}");
    }
    out.push('\'');
}

fn answer(rows: &[Row], warnings: &[Row]) -> Answer {
    // A level, a code and a message each.
    for warning in warnings {
        let text = |at| warning.get::<String, _>(at).unwrap_or_default();
        if text(1).parse().is_ok_and(|code| is_data(code, "")) {
            return Err(format!("{} ({})", text(2), text(1)));
        }
    }
    rows.first().map(mysql_row::json).transpose()
}

/// Whether it is what the key is, or what is made of it, that the server does not like.
fn is_data(code: u16, state: &str) -> bool {
    // Out of range, cut off, no number, date or text of the column's, no character of its own.
    let codes = [1264, 1265, 1267, 1292, 1366, 1367, 1406, 1411, 1441, 1525, 1690, 1918];
    state.starts_with("22") || codes.contains(&code)
}

fn failed(error: Error) -> AskError {
    match &error {
        Error::Server(error) if passes(error) => AskError::Away(said(error)),
        Error::Server(error) => AskError::Hopeless(said(error)),
        _ => AskError::Away(error.to_string()),
    }
}

/// Whether what the server says is likely to pass: it starts, stops, is full, or was interrupted.
fn passes(error: &ServerError) -> bool {
    // Full disks and tables, no memory, too many of us, a host that failed too often, waits for locks
    // that were too long, tables that were changed meanwhile, time that is over, idle connections.
    let codes = [
        1021, 1037, 1038, 1041, 1114, 1129, 1203, 1205, 1206, 1226, 1412, 1614, 3024, 3169, 3572,
        4031,
    ];
    ["08", "40", "70"].iter().any(|class| error.state.starts_with(class))
        || codes.contains(&error.code)
}

fn said(error: &ServerError) -> String {
    format!("{} ({}, {})", error.message, error.code, error.state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_how_a_connection_is_made_secure() {
        for (url, expected) in [
            ("app@db/shop", Tls::Preferred),
            ("app@db:3307/shop?ssl-mode=REQUIRED", Tls::Required),
            ("app@db/shop?sslMode=VERIFY_IDENTITY", Tls::Required),
            ("app@db/shop?sslmode=verify-full", Tls::Required),
            ("app@db/shop?ssl-mode=require", Tls::Required),
            ("app@db/shop?ssl_mode=Disabled", Tls::Disabled),
        ] {
            assert_eq!(server(url).map(|server| server.tls), Ok(expected), "{url}");
        }
        let why = |url: &str| server(url).err().unwrap_or_default();
        assert_eq!(
            why("app@db/shop?ssl-mode=trust"),
            "ssl-mode=trust is none of disabled, preferred, required, verify_ca, verify_identity"
        );
        assert_eq!(
            why("app@db/shop?password=geheim"),
            "\"password\" is no setting of such a URL; there is ssl-mode"
        );
        assert!(!why("app@db:port/shop").is_empty());
        assert_eq!(server("app@[::1]:3307/shop").map(|server| server.host().to_owned()), {
            Ok("::1".to_owned())
        });
    }

    #[test]
    fn keys_go_as_one_text_whatever_they_hold() {
        let keys = [vec!["1", "p'"], vec!["", "é"]];
        let (text, asked) = statements(keys.into_iter());
        assert_eq!(asked, 2);
        assert_eq!(
            text,
            "SET @millrace0=_utf8mb4 X'31',@millrace1=_utf8mb4 X'7027',@millrace2=_utf8mb4 X'',\
             @millrace3=_utf8mb4 X'c3a9';EXECUTE millrace USING @millrace0,@millrace1;SHOW WARNINGS;\
             EXECUTE millrace USING @millrace2,@millrace3;SHOW WARNINGS"
        );
        let long = "x".repeat(MOST_KEY / 3);
        assert_eq!(statements(std::iter::repeat_n(vec![long.as_str()], 9)).1, 2);
        assert_eq!(statements(std::iter::repeat_n(vec!["1"], 1000)).1, AT_ONCE);
    }
}
