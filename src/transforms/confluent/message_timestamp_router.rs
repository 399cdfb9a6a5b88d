//! MessageTimestampRouter: another topic, from its name and a time that stands in the value.
//!
//! As documented, the value is a map. Where the documentation is silent: a number is milliseconds
//! since the epoch, and so is text that is one when `message.timestamp.format` is empty; a record
//! in which no key leads to a time fails.

use millrace_api::Config;
use millrace_api::config_def::{
    ConfigDef, ConfigError, ConfigKey, DefaultValue, Importance, Type, Validator,
};
use millrace_api::plugin::TransformationPlugin;
use millrace_api::record::Record;
use millrace_api::transformation::{Reads, Side, Transformation};
use millrace_converters::json::find_path;
use millrace_converters::{Arena, DataError, SchemaAndValue, Value};

use crate::date_format::DateFormat;
use crate::requirements::{datum, entry, non_empty_list, reads, require_map};
use crate::timestamp_router::Router;

const KEYS: &str = "message.timestamp.keys";
const MESSAGE_FORMAT: &str = "message.timestamp.format";
const TOPIC_FORMAT: &str = "topic.timestamp.format";
const PURPOSE: &str = "finding the timestamp";

/// `io.confluent.connect.transforms.MessageTimestampRouter`.
pub const MESSAGE_TIMESTAMP_ROUTER: TransformationPlugin = TransformationPlugin {
    class: "io.confluent.connect.transforms.MessageTimestampRouter",
    config_def,
    new: configure,
};

fn config_def() -> ConfigDef {
    let text = |name: &'static str, default: &'static str, documentation: &'static str| {
        let default = DefaultValue::Of(default);
        ConfigKey::new(name, Type::String, default, Importance::High, documentation)
    };
    ConfigDef::new()
        .define(text(
            "topic.format",
            "${topic}-${timestamp}",
            "Format string which can contain <code>${topic}</code> and <code>${timestamp}</code> \
             as placeholders for the topic and timestamp, respectively.",
        ))
        .define(
            text(
                TOPIC_FORMAT,
                "yyyyMMdd",
                "Format of the timestamp in the topic, as of \
                 <code>java.text.SimpleDateFormat</code>.",
            )
            .check(Validator::Custom(|text| DateFormat::new(text).map(drop))),
        )
        .define(
            text(
                MESSAGE_FORMAT,
                "",
                "Format of the timestamp in the message, as of \
                 <code>java.text.SimpleDateFormat</code>; empty: milliseconds since the epoch.",
            )
            .check(Validator::Custom(|text| format(text).map(drop))),
        )
        .define(
            ConfigKey::new(
                KEYS,
                Type::List,
                DefaultValue::Required,
                Importance::High,
                "Fields to look for the timestamp in, in this order; the first that is there \
                 counts.",
            )
            .check(Validator::Custom(non_empty_list)),
        )
}

fn format(text: &str) -> Result<Option<DateFormat>, String> {
    if text.is_empty() { Ok(None) } else { DateFormat::new(text).map(Some) }
}

fn configure(config: &Config) -> Result<Box<dyn Transformation>, Vec<ConfigError>> {
    let parsed = config_def().parse(config)?;
    let text = parsed.string(MESSAGE_FORMAT);
    let refused = |key: &str, why: String| vec![ConfigError::invalid(key, text, &why)];
    let message_format = format(text).map_err(|why| refused(MESSAGE_FORMAT, why))?;
    let topic_format =
        DateFormat::new(parsed.string(TOPIC_FORMAT)).map_err(|why| refused(TOPIC_FORMAT, why))?;
    Ok(Box::new(MessageTimestampRouter {
        keys: parsed.list(KEYS),
        message_format,
        router: Router::new(parsed.string("topic.format"), topic_format),
    }))
}

struct MessageTimestampRouter {
    keys: Vec<String>,
    message_format: Option<DateFormat>,
    router: Router,
}

impl MessageTimestampRouter {
    /// The first of the keys that leads to something.
    fn value<'a>(
        &self,
        datum: SchemaAndValue<'a>,
        arena: &'a Arena,
    ) -> Result<Value<'a>, DataError> {
        if let (None, Value::Json(text)) = (datum.schema, datum.value)
            && text.src.first() == Some(&b'{')
        {
            for key in &self.keys {
                match find_path(text, &[key], arena)? {
                    None | Some(Value::Null) => {}
                    Some(value) => return Ok(value),
                }
            }
            return Ok(Value::Null);
        }
        let map = require_map(datum.value, PURPOSE, arena)?;
        let found = self.keys.iter().map(|key| entry(map, key)).find(|value| !value.is_null());
        Ok(found.unwrap_or_default())
    }

    fn timestamp(&self, value: Value<'_>) -> Result<i64, DataError> {
        match value {
            Value::Int64(millis) | Value::Timestamp(millis) => Ok(millis),
            Value::Int32(millis) => Ok(millis.into()),
            Value::Str(text) => {
                let millis = match &self.message_format {
                    Some(format) => format.parse(text),
                    None => text.parse().ok(),
                };
                millis.ok_or_else(|| {
                    DataError::new(format!(
                        "The text in {} is no timestamp in the format of {MESSAGE_FORMAT}",
                        self.keys.join(", ")
                    ))
                })
            }
            Value::Null => Err(DataError::new(format!(
                "The record has no timestamp in any of {}",
                self.keys.join(", ")
            ))),
            other => Err(DataError::new(format!(
                "A timestamp must be text or a whole number, but is: {}",
                other.java_class()
            ))),
        }
    }
}

impl Transformation for MessageTimestampRouter {
    fn apply<'a>(
        &mut self,
        mut record: Record<'a>,
        arena: &'a Arena,
    ) -> Result<Option<Record<'a>>, DataError> {
        let value = self.value(datum(&record, Side::Value), arena)?;
        let timestamp = self.timestamp(value)?;
        record.topic = self.router.route(record.topic, timestamp, arena);
        Ok(Some(record))
    }

    fn takes_text(&self) -> bool {
        true
    }

    fn reads(&self) -> Reads {
        reads(Side::Value)
    }

    fn class_name(&self) -> &'static str {
        MESSAGE_TIMESTAMP_ROUTER.class
    }
}
