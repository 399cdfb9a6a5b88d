//! TimestampRouter: another topic, from its name and the record's timestamp.

use millrace_api::config_def::{
    ConfigDef, ConfigError, ConfigKey, DefaultValue, Importance, Type, Validator,
};
use millrace_api::plugin::TransformationPlugin;
use millrace_api::record::Record;
use millrace_api::transformation::{Reads, Transformation};
use millrace_converters::{Arena, DataError};

use crate::date_format::DateFormat;

const TOPIC: &str = "${topic}";
const TIMESTAMP: &str = "${timestamp}";

/// `org.apache.kafka.connect.transforms.TimestampRouter`.
pub const TIMESTAMP_ROUTER: TransformationPlugin = TransformationPlugin {
    class: "org.apache.kafka.connect.transforms.TimestampRouter",
    config_def,
    new: |config| {
        let parsed = config_def().parse(config)?;
        let format = parsed.string("timestamp.format");
        let timestamp_format = DateFormat::new(format)
            .map_err(|why| vec![ConfigError::invalid("timestamp.format", format, &why)])?;
        let router = Router::new(parsed.string("topic.format"), timestamp_format);
        Ok(Box::new(TimestampRouter { router }))
    },
};

fn config_def() -> ConfigDef {
    let key = |name: &'static str, default: &'static str, documentation: &'static str| {
        let default = DefaultValue::Of(default);
        ConfigKey::new(name, Type::String, default, Importance::High, documentation)
    };
    ConfigDef::new()
        .define(key(
            "topic.format",
            "${topic}-${timestamp}",
            "Format string which can contain <code>${topic}</code> and <code>${timestamp}</code> \
             as placeholders for the topic and timestamp, respectively.",
        ))
        .define(
            key(
                "timestamp.format",
                "yyyyMMdd",
                "Format string for the timestamp that is compatible with \
                 <code>java.text.SimpleDateFormat</code>.",
            )
            .check(Validator::Custom(|text| DateFormat::new(text).map(drop))),
        )
}

struct TimestampRouter {
    router: Router,
}

/// A topic from a topic and a time.
pub struct Router {
    topic_format: String,
    timestamp_format: DateFormat,
    last: Option<Route>,
}

/// The route of the record before: the next one mostly has the same topic and day.
struct Route {
    from: String,
    /// The timestamp in units of what the format can tell apart.
    period: i64,
    to: String,
}

impl Router {
    /// `topic_format` with `${topic}` and `${timestamp}`.
    pub fn new(topic_format: &str, timestamp_format: DateFormat) -> Self {
        Self { topic_format: topic_format.to_owned(), timestamp_format, last: None }
    }

    /// Where a record of `topic` goes; `timestamp` in milliseconds.
    pub fn route<'a>(&mut self, topic: &str, timestamp: i64, arena: &'a Arena) -> &'a str {
        let period = timestamp.div_euclid(self.timestamp_format.resolution());
        let known = self.last.as_ref().filter(|last| last.period == period && last.from == topic);
        if let Some(last) = known {
            return arena.alloc_str(&last.to);
        }
        let mut time = String::new();
        self.timestamp_format.format(timestamp, &mut time);
        let to = self.topic_format.replace(TOPIC, topic).replace(TIMESTAMP, &time);
        let routed = arena.alloc_str(&to);
        self.last = Some(Route { from: topic.to_owned(), period, to });
        routed
    }
}

impl Transformation for TimestampRouter {
    fn apply<'a>(
        &mut self,
        mut record: Record<'a>,
        arena: &'a Arena,
    ) -> Result<Option<Record<'a>>, DataError> {
        Ok(self.apply_in_place(&mut record, arena)?.then_some(record))
    }

    fn apply_in_place<'a>(
        &mut self,
        record: &mut Record<'a>,
        arena: &'a Arena,
    ) -> Result<bool, DataError> {
        let Some(timestamp) = record.timestamp else { return Err(no_timestamp(record)) };
        record.topic = self.router.route(record.topic, timestamp, arena);
        Ok(true)
    }

    fn reads(&self) -> Reads {
        Reads::NOTHING
    }

    fn spares_sides(&self) -> bool {
        true
    }

    fn class_name(&self) -> &'static str {
        TIMESTAMP_ROUTER.class
    }
}

/// Java prints the whole record; its key and value may be what nobody should see in a log.
#[cold]
fn no_timestamp(record: &Record<'_>) -> DataError {
    let kind = if record.offset().is_some() { "SinkRecord" } else { "SourceRecord" };
    let offset = record.offset().map_or(String::new(), |offset| format!(", kafkaOffset={offset}"));
    let partition = record.partition.map_or("null".to_owned(), |number| number.to_string());
    DataError::new(format!(
        "Timestamp missing on record: {kind}{{topic='{}', kafkaPartition={partition}{offset}}}",
        record.topic
    ))
}
