//! One error vocabulary: stop, try again, or this record; and the stage where it happened.

use std::fmt;

use millrace_converters::DataError;

/// What the worker is to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The task fails (`ConnectException`).
    Fatal,
    /// The same batch is handed over again after a back-off (`RetriableException`).
    Retriable,
    /// This record is bad (`DataException`); `errors.tolerance` decides.
    Data,
}

/// Where on a record's way, as Kafka Connect names it (`Stage`; logs and dead-letter headers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    TaskPoll,
    TaskPut,
    Transformation,
    KeyConverter,
    ValueConverter,
    HeaderConverter,
    KafkaProduce,
    KafkaConsume,
}

impl Stage {
    pub fn name(self) -> &'static str {
        match self {
            Self::TaskPoll => "TASK_POLL",
            Self::TaskPut => "TASK_PUT",
            Self::Transformation => "TRANSFORMATION",
            Self::KeyConverter => "KEY_CONVERTER",
            Self::ValueConverter => "VALUE_CONVERTER",
            Self::HeaderConverter => "HEADER_CONVERTER",
            Self::KafkaProduce => "KAFKA_PRODUCE",
            Self::KafkaConsume => "KAFKA_CONSUME",
        }
    }
}

/// An error of a connector, a task or the engine. `message` says what failed and, where the user can
/// do something, what.
#[derive(Debug)]
pub struct ConnectError {
    pub kind: ErrorKind,
    pub stage: Option<Stage>,
    /// The Java exception class for status traces and dead-letter headers.
    pub class: &'static str,
    pub message: String,
    pub source: Option<Box<dyn std::error::Error + 'static>>,
}

impl ConnectError {
    pub const CONNECT: &'static str = "org.apache.kafka.connect.errors.ConnectException";
    pub const RETRIABLE: &'static str = "org.apache.kafka.connect.errors.RetriableException";

    pub fn fatal(message: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Fatal,
            stage: None,
            class: Self::CONNECT,
            message: message.into(),
            source: None,
        }
    }

    pub fn retriable(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Retriable, class: Self::RETRIABLE, ..Self::fatal(message) }
    }

    pub fn at(mut self, stage: Stage) -> Self {
        self.stage = Some(stage);
        self
    }

    pub fn caused_by(mut self, source: impl std::error::Error + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// The error and its causes as the status' `trace` shows them, in Java's form.
    pub fn trace(&self) -> String {
        let mut text = format!("{}: {}", self.class, self.message);
        let mut cause = self.source.as_deref();
        while let Some(error) = cause {
            text.push_str(&format!("\nCaused by: {error}"));
            cause = error.source();
        }
        text
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(source) = &self.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref()
    }
}

impl From<DataError> for ConnectError {
    fn from(error: DataError) -> Self {
        Self {
            kind: if error.retriable { ErrorKind::Retriable } else { ErrorKind::Data },
            stage: None,
            class: error.class,
            message: error.message,
            source: None,
        }
    }
}
