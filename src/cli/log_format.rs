//! How a log line looks: as text, or as one JSON object a line (`millrace.log.format`). Both carry
//! the `connector.context` of the connector or task that they belong to.

use std::fmt;

use millrace_net::log_context;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// `millrace.log.format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    #[default]
    Text,
    Json,
}

impl LogFormat {
    /// Anything but `json` is text; the worker's configuration is checked elsewhere.
    pub(crate) fn of(text: Option<&str>) -> Self {
        match text.map(str::trim) {
            Some(text) if text.eq_ignore_ascii_case("json") => Self::Json,
            _ => Self::Text,
        }
    }

    /// The line that tells of dropped ones.
    pub(crate) fn notice(self) -> fn(u64) -> String {
        const WHAT: &str = "log lines were dropped: the reader of standard error is too slow";
        match self {
            Self::Text => |count| format!("{}  WARN millrace: {count} {WHAT}\n", now()),
            Self::Json => |count| {
                let mut line = head("WARN", "millrace");
                line.insert("message".to_owned(), format!("{count} {WHAT}").into());
                format!("{}\n", Value::Object(line))
            },
        }
    }
}

fn now() -> String {
    format!("{:.6}", jiff::Timestamp::now())
}

fn head(level: &str, logger: &str) -> Map<String, Value> {
    let pairs = [("timestamp", now()), ("level", level.to_owned()), ("logger", logger.to_owned())];
    pairs.into_iter().map(|(key, text)| (key.to_owned(), text.into())).collect()
}

impl<S, N> FormatEvent<S, N> for LogFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let (level, logger) = (event.metadata().level(), event.metadata().target());
        let context = log_context::current();
        if *self == Self::Text {
            let context = context.as_deref().unwrap_or_default();
            write!(writer, "{} {level:>5} {logger}: {context}", now())?;
            ctx.format_fields(writer.by_ref(), event)?;
            return writeln!(writer);
        }
        let mut line = head(level.as_str(), logger);
        if let Some(context) = context {
            line.insert("connector.context".to_owned(), context.to_string().into());
        }
        event.record(&mut Fields(&mut line));
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// An event's fields as members, its message among them.
struct Fields<'a>(&'a mut Map<String, Value>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}
