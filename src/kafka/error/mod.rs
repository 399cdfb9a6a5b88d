//! What can go wrong between a client and the brokers, in one vocabulary.

mod codes;
#[cfg(test)]
mod tests;

use std::fmt;
use std::rc::Rc;

pub use codes::{Code, lookup, remedy};

/// What an error asks of the one who gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The same request may succeed later; wait `retry.backoff.ms` first.
    Retriable,
    /// As `Retriable`, but the metadata are out of date: refresh them first.
    Stale,
    /// As `Retriable`, but the group's coordinator moved or is loading: look it up again.
    Coordinator,
    /// The member has to join its group again.
    Rejoin,
    /// The connection broke or was never there. Retriable on a new one.
    Disconnected,
    /// No answer within the time given. Retriable on a new connection.
    Timeout,
    /// Bytes that are not what they claim to be: a checksum, a length, an unknown format.
    Corrupt,
    /// The settings are wrong; nothing but new settings helps.
    Config,
    /// The client was closed meanwhile.
    Closed,
    /// Nothing that the client can do helps.
    Fatal,
}

/// A failed request, connection or batch: kind, place and words for a person.
///
/// It belongs to its core (not `Send`); format it to carry it elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaError {
    pub kind: ErrorKind,
    /// The protocol's code; 0 where the trouble is not one that a broker named.
    pub code: i16,
    /// The API whose request failed, as `Fetch`; empty where there was none.
    pub api: &'static str,
    /// The broker, as `localhost:9092 (node 1)`.
    pub broker: Option<Rc<str>>,
    pub message: String,
}

impl KafkaError {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, code: 0, api: "", broker: None, message: message.into() }
    }

    /// The error that a broker's code stands for. `context` says what was asked and may be empty.
    pub fn from_code(code: i16, api: &'static str, context: impl Into<String>) -> Self {
        let kind = lookup(code).map_or(ErrorKind::Fatal, |row| row.kind);
        Self { kind, code, api, broker: None, message: context.into() }
    }

    /// `Ok` for code 0, else [`Self::from_code`].
    pub fn check(code: i16, api: &'static str, context: &str) -> Result<(), Self> {
        if code == 0 { Ok(()) } else { Err(Self::from_code(code, api, context)) }
    }

    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    pub fn disconnected(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Disconnected, message)
    }

    pub fn closed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Closed, message)
    }

    pub fn at(mut self, api: &'static str, broker: &Rc<str>) -> Self {
        self.api = api;
        self.broker = Some(broker.clone());
        self
    }

    pub fn with_api(mut self, api: &'static str) -> Self {
        self.api = api;
        self
    }

    /// Whether the same may succeed later without anyone doing anything.
    pub fn is_retriable(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Retriable
                | ErrorKind::Stale
                | ErrorKind::Coordinator
                | ErrorKind::Disconnected
                | ErrorKind::Timeout
        )
    }

    /// Kafka's name of the code, as `NOT_COORDINATOR`; empty where there is none.
    pub fn name(&self) -> &'static str {
        lookup(self.code).map_or("", |row| row.name)
    }
}

impl fmt::Display for KafkaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if !self.api.is_empty() {
            write!(f, "{}", self.api)?;
            separator = ": ";
        }
        if let Some(broker) = &self.broker {
            write!(f, "{}{broker}", if self.api.is_empty() { "" } else { " to " })?;
            separator = ": ";
        }
        if !self.message.is_empty() {
            write!(f, "{separator}{}", self.message)?;
            separator = ": ";
        }
        if self.code != 0 {
            match lookup(self.code) {
                Some(row) => write!(f, "{separator}{} ({})", row.text, row.name)?,
                None => write!(f, "{separator}error code {}", self.code)?,
            }
            if !remedy(self.code).is_empty() {
                write!(f, "; {}", remedy(self.code))?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for KafkaError {}
