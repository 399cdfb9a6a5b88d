//! EventRouter: the events of an outbox table, each into the topic that its row names.

use std::sync::Arc;

use millrace_api::Config;
use millrace_api::config_def::ConfigError;
use millrace_api::plugin::TransformationPlugin;
use millrace_api::record::{Header, Record};
use millrace_api::transformation::{Side, Transformation};
use millrace_converters::{Arena, DataError, Schema, SchemaAndValue, SchemaType, Struct, Value};

use super::envelope::{connect_exception, get, is_envelope, null_pointer, text, typed};
use super::event_router_settings::{Placement, Settings, Updates, config_def};
use super::json_payload::Expansion;
use crate::requirements::{datum, require_struct, required, room_for};
use crate::schema_cache::{SchemaCache, add_field};

/// Payload schemas for which the value's schema is remembered.
const PAYLOAD_SCHEMAS: usize = 64;

/// `io.debezium.transforms.outbox.EventRouter`.
pub const EVENT_ROUTER: TransformationPlugin = TransformationPlugin {
    class: "io.debezium.transforms.outbox.EventRouter",
    config_def,
    new: configure,
};

fn configure(config: &Config) -> Result<Box<dyn Transformation>, Vec<ConfigError>> {
    let settings = Settings::new(config)?;
    Ok(Box::new(EventRouter {
        expansion: Expansion::new(settings.null_as_bytes, settings.adjustment),
        settings,
        string: Arc::new(Schema::new(SchemaType::String)),
        values: SchemaCache::of(PAYLOAD_SCHEMAS),
        versions: Vec::new(),
    }))
}

struct EventRouter {
    settings: Settings,
    expansion: Expansion,
    /// Of keys that have none of their own.
    string: Arc<Schema>,
    /// The value's schema by the payload's. As with Debezium, its name is that of the first event
    /// of that payload's schema.
    values: SchemaCache<Arc<Schema>>,
    /// The same by the version that a column gives.
    versions: Vec<(Option<i32>, Arc<Schema>)>,
}

/// An event's parts, on their way.
#[derive(Clone, Copy)]
struct Event<'a> {
    row: &'a Struct<'a>,
    /// The topic before it is routed.
    route: Option<&'a str>,
    payload: Value<'a>,
    payload_schema: &'a Schema,
}

impl EventRouter {
    /// What is to be done with the operation: `None` to go on, else the answer.
    fn refused<'a>(&self, record: &Record<'a>, op: &str) -> Option<Result<(), DataError>> {
        match op {
            "d" => Some(Ok(())),
            "u" => {
                let (topic, partition, offset) = (record.topic, record.partition, record.offset());
                let text = "An update of the outbox table is not expected and was ignored";
                match self.settings.updates {
                    Updates::Warn => tracing::warn!(topic, partition, offset, "{text}"),
                    Updates::Error => tracing::error!(topic, partition, offset, "{text}"),
                    Updates::Fatal => {
                        return Some(Err(DataError::with_class(
                            "java.lang.IllegalStateException",
                            "An update of the outbox table is not expected",
                        )));
                    }
                }
                Some(Ok(()))
            }
            _ => None,
        }
    }

    fn timestamp<'a>(
        &self,
        envelope: &Struct<'a>,
        row: &Struct<'a>,
    ) -> Result<Option<i64>, DataError> {
        let processed = || match typed(envelope, "ts_ms", SchemaType::Int64)? {
            Value::Int64(millis) => Ok(Some(millis)),
            _ => Ok(None),
        };
        let Some(column) = &self.settings.timestamp else { return processed() };
        let Some((_, field)) = row.schema.field(column) else {
            let message = format!("Unable to find timestamp field {column} in event");
            return Err(connect_exception(message));
        };
        let number = match typed(row, column, SchemaType::Int64)? {
            Value::Null => return processed(),
            Value::Int64(number) => number,
            other => {
                return Err(DataError::with_class(
                    "java.lang.ClassCastException",
                    format!("the timestamp in {column} is no number, but: {}", other.java_class()),
                ));
            }
        };
        match field.schema.name.as_deref() {
            Some("io.debezium.time.Timestamp") => Ok(Some(number)),
            Some("io.debezium.time.MicroTimestamp") => Ok(Some(number / 1_000)),
            Some("io.debezium.time.NanoTimestamp") => Ok(Some(number / 1_000_000)),
            Some(name) => {
                Err(connect_exception(format!("Unsupported field type {name} for event timestamp")))
            }
            None => Err(connect_exception(format!(
                "Unsupported field type {} (without logical schema name) for event timestamp",
                field.schema.type_.name()
            ))),
        }
    }

    /// The value's schema: the payload and the fields that are placed beside it.
    fn value_schema<'a>(
        &mut self,
        event: Event<'a>,
        arena: &'a Arena,
    ) -> Result<&'a Schema, DataError> {
        let settings = &self.settings;
        let make = |payload: &Schema, version: Option<i32>| {
            let mut schema = Schema::struct_of(Vec::new());
            schema.name = Some(value_name(event).into());
            schema.version = version;
            add_field(&mut schema, "payload", Arc::new(payload.clone()))?;
            for one in &settings.additional {
                if one.placement == Placement::Envelope {
                    let Some((_, field)) = event.row.schema.field(&one.field) else {
                        let what = format!("the event has no column \"{}\"", one.field);
                        return Err(null_pointer(what));
                    };
                    add_field(&mut schema, &one.alias, Arc::clone(&field.schema))?;
                }
            }
            Ok(Arc::new(schema))
        };
        let Some(column) = &settings.schema_version else {
            let schema = self.values.get(event.payload_schema, |payload| make(payload, None))?;
            return Ok(arena.pin_schema(schema));
        };
        let version = match typed(event.row, column, SchemaType::Int32)? {
            Value::Int32(version) => Some(version),
            _ => None,
        };
        let known = self.versions.iter().position(|(known, _)| *known == version);
        let at = match known {
            Some(at) => at,
            None => {
                let schema = make(event.payload_schema, version)?;
                if self.versions.len() >= PAYLOAD_SCHEMAS {
                    self.versions.remove(0);
                }
                self.versions.push((version, schema));
                self.versions.len() - 1
            }
        };
        Ok(arena.pin_schema(&self.versions[at].1))
    }

    /// The payload and the fields that are placed beside it, as a struct.
    fn value<'a>(
        &mut self,
        event: Event<'a>,
        arena: &'a Arena,
    ) -> Result<SchemaAndValue<'a>, DataError> {
        if self.settings.payload_alone() {
            let schema = Some(event.payload_schema);
            return Ok(SchemaAndValue { schema, value: event.payload });
        }
        let schema = self.value_schema(event, arena)?;
        let mut values = room_for(schema.fields.len(), arena);
        let fits = match event.payload {
            Value::Struct(data) => *data.schema == *schema.fields[0].schema,
            // Whether it may be null is asked below.
            Value::Null => true,
            _ => event.payload_schema.type_ == schema.fields[0].schema.type_,
        };
        if !fits {
            return Err(DataError::new("Invalid type for field \"payload\" of that version"));
        }
        values.push(event.payload);
        for one in &self.settings.additional {
            if one.placement == Placement::Envelope {
                values.push(get(event.row, &one.field, arena)?);
            }
        }
        for (value, field) in values.iter().zip(&schema.fields) {
            required(*value, field)?;
        }
        let data = arena.alloc(Struct { schema, values: values.into_bump_slice() });
        Ok(SchemaAndValue { schema: Some(schema), value: Value::Struct(data) })
    }

    /// Headers of the event: its id, and the columns that are placed there; and the partition.
    fn headers<'a>(
        &self,
        record: &mut Record<'a>,
        row: &'a Struct<'a>,
        arena: &'a Arena,
    ) -> Result<(), DataError> {
        let settings = &self.settings;
        let mut headers = room_for(record.headers.len() + settings.additional.len() + 1, arena);
        headers.extend_from_slice_copy(record.headers);
        let mut header = |name: &str, column: &str| -> Result<(), DataError> {
            let value = get(row, column, arena)?;
            let schema = row.schema.field(column).map(|(_, field)| &*field.schema);
            let datum = SchemaAndValue { schema, value };
            headers.push(Header { name: arena.alloc_str(name), datum });
            Ok(())
        };
        header("id", &settings.id)?;
        for one in &settings.additional {
            if !settings.error_on_missing && row.schema.field(&one.field).is_none() {
                continue;
            }
            match one.placement {
                Placement::Header => header(&one.alias, &one.field)?,
                Placement::Envelope => {}
                Placement::Partition => {
                    if let Value::Int32(number) = typed(row, &one.field, SchemaType::Int32)? {
                        record.partition = Some(number);
                    }
                }
            }
        }
        record.headers = headers.into_bump_slice();
        Ok(())
    }

    fn route<'a>(
        &mut self,
        mut record: Record<'a>,
        envelope: &'a Struct<'a>,
        arena: &'a Arena,
    ) -> Result<Record<'a>, DataError> {
        let Some((_, after)) = envelope.schema.field("after") else {
            return Err(DataError::with_class(
                "java.lang.IllegalArgumentException",
                "Unknown field: after",
            ));
        };
        let row = require_struct(get(envelope, "after", arena)?, "Read Outbox Event")?;
        let Some((_, payload)) = after.schema.field(&self.settings.payload) else {
            let message =
                format!("Unable to find payload field {} in event", self.settings.payload);
            return Err(connect_exception(message));
        };
        let timestamp = self.timestamp(envelope, row)?;
        // Java reads the id first of all.
        get(row, &self.settings.id, arena)?;
        let mut event = Event {
            row,
            route: None,
            payload: get(row, &self.settings.payload, arena)?,
            payload_schema: &payload.schema,
        };
        if self.settings.expands {
            let expanded = self.expansion.expand(event.payload, &self.settings.payload, arena);
            match expanded {
                Ok((schema, value)) => (event.payload_schema, event.payload) = (schema, value),
                Err(why) => {
                    let (topic, offset) = (record.topic, record.offset());
                    tracing::warn!(topic, offset, "The payload was not expanded: {why}");
                }
            }
        }
        event.route = text(row, &self.settings.route_by)?;
        let value = self.value(event, arena)?;
        self.headers(&mut record, row, arena)?;
        let empty = match event.payload {
            Value::Null => true,
            Value::Str(text) => text.trim().is_empty(),
            _ => false,
        };
        record.value = match empty && self.settings.tombstones {
            true => SchemaAndValue::default(),
            false => value,
        };
        let key = get(row, &self.settings.key, arena)?;
        let key_schema = row.schema.field(&self.settings.key).map(|(_, field)| &*field.schema);
        let key_schema = key_schema.unwrap_or_else(|| arena.pin_schema(&self.string));
        record.key = SchemaAndValue { schema: Some(key_schema), value: key };
        record.timestamp = timestamp;
        let Some(topic) = event.route else {
            return Err(null_pointer("the event names no topic".to_owned()));
        };
        record.topic = match self.settings.topics.route(topic)? {
            Some(routed) => arena.alloc_str(routed),
            None => topic,
        };
        Ok(record)
    }
}

/// The row's schema name with the route put before its last part.
fn value_name(event: Event<'_>) -> String {
    let route = event.route.unwrap_or("null");
    match event.row.schema.name.as_deref() {
        None => route.to_owned(),
        Some(name) => match name.rsplit_once('.') {
            Some((before, last)) => format!("{before}.{route}.{last}"),
            None => format!("{route}.{name}"),
        },
    }
}

impl Transformation for EventRouter {
    fn apply<'a>(
        &mut self,
        record: Record<'a>,
        arena: &'a Arena,
    ) -> Result<Option<Record<'a>>, DataError> {
        let datum = datum(&record, Side::Value);
        if datum.value.is_null() {
            return Ok(None);
        }
        if !is_envelope(datum.schema) {
            return Ok(Some(record));
        }
        let envelope = require_struct(datum.value, "Detect Debezium Operation")?;
        let Some(op) = text(envelope, "op")? else {
            return Err(null_pointer("the event has no operation".to_owned()));
        };
        match self.refused(&record, op) {
            Some(answer) => answer.map(|()| None),
            None => self.route(record, envelope, arena).map(Some),
        }
    }

    fn class_name(&self) -> &'static str {
        EVENT_ROUTER.class
    }
}
