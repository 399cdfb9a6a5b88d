//! What the tests of the transforms share: making a transform, a record, and a text of a result.

use std::rc::Rc;

use millrace_api::Config;
use millrace_api::record::{Origin, Record, TimestampType};
use millrace_api::transformation::{Sought, Transformation};
use millrace_converters::json::Checker;
use millrace_converters::{Arena, JsonText, Schema, SchemaAndValue, Value};

/// A configured transform, by class name after the package; the errors' texts if it is refused.
pub fn transformation(
    class: &str,
    settings: &[(&str, &str)],
) -> Result<Box<dyn Transformation>, Vec<String>> {
    let class = format!("org.apache.kafka.connect.transforms.{class}");
    let list = crate::transformations();
    let plugin = list.iter().find(|plugin| plugin.class == class).expect("it is in the list");
    (plugin.new)(&config(settings))
        .map_err(|errors| errors.into_iter().map(|error| error.message).collect())
}

pub fn config(settings: &[(&str, &str)]) -> Config {
    settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A sink record: `topic`, partition 3, offset 42, with that value.
pub fn record<'a>(schema: Option<&'a Schema>, value: Value<'a>) -> Record<'a> {
    Record {
        topic: "topic",
        partition: Some(3),
        timestamp: Some(1_483_425_001_864),
        key: SchemaAndValue::default(),
        value: SchemaAndValue { schema, value },
        headers: &[],
        origin: Origin::Sink {
            topic: "topic",
            partition: 3,
            offset: 42,
            timestamp_type: TimestampType::CreateTime,
        },
    }
}

/// The document's text as a sink's chain has it of one that has been there before: it tells where
/// stands what is sought.
pub fn told<'a>(document: &str, sought: Option<Rc<Sought>>, arena: &'a Arena) -> JsonText<'a> {
    let document = arena.alloc_bytes(document.as_bytes());
    let mut checker = Checker::new().seeking(sought);
    let mut text = || checker.text(document, 0, document.len(), arena);
    // The first time its shape is learned.
    let text = text().and_then(|_| text()).expect("JSON");
    text.copied().unwrap_or(JsonText::verbatim(b"null"))
}

/// Applies and shows the value, `DROPPED`, or the error: class and message.
pub fn shown<'a>(
    transformation: &mut dyn Transformation,
    record: Record<'a>,
    arena: &'a Arena,
) -> String {
    match transformation.apply(record, arena) {
        Ok(Some(record)) => show(&record.value.value),
        Ok(None) => "DROPPED".to_owned(),
        Err(error) => {
            let class = error.class.rsplit('.').next().unwrap_or(error.class);
            format!("{class}: {}", error.message)
        }
    }
}

/// `Long(42)`, `{a=String(x),}`.
pub fn show(value: &Value<'_>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Boolean(value) => format!("Boolean({value})"),
        Value::Int8(value) => format!("Byte({value})"),
        Value::Int16(value) => format!("Short({value})"),
        Value::Int32(value) => format!("Integer({value})"),
        Value::Int64(value) => format!("Long({value})"),
        Value::Float32(value) => format!("Float({value:?})"),
        Value::Float64(value) => format!("Double({value:?})"),
        Value::Str(text) => format!("String({text})"),
        Value::Bytes(_) => "bytes".to_owned(),
        Value::Decimal(value) => format!("Decimal({:?}, {})", value.unscaled, value.scale),
        Value::Date(value) => format!("Date({value})"),
        Value::Time(value) => format!("Time({value})"),
        Value::Timestamp(value) => format!("Timestamp({value})"),
        Value::Array(items) => format!("[{}]", items.iter().map(show).collect::<String>()),
        Value::Map(entries) => {
            let entry = |(key, value): &(Value<'_>, Value<'_>)| {
                format!("{}={},", key.as_str().unwrap_or("?"), show(value))
            };
            format!("{{{}}}", entries.iter().map(entry).collect::<String>())
        }
        Value::Struct(data) => {
            let fields = data.schema.fields.iter().zip(data.values);
            let field = |(field, value): (&millrace_converters::Field, &Value<'_>)| {
                format!("{}={},", field.name, show(value))
            };
            format!("{{{}}}", fields.map(field).collect::<String>())
        }
        Value::Json(text) => {
            let mut out = Vec::new();
            text.write_to(&mut out);
            String::from_utf8_lossy(&out).into_owned()
        }
    }
}
