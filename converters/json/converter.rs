//! `org.apache.kafka.connect.json.JsonConverter`: with the schema in an envelope, or without.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::parse::{Reader, parse};
use super::schema::{parse_schema, write_schema};
use super::typed_plan::Plan;
use super::write::{WriteOptions, write_value};
use super::{Kind, check, serialization_error, typed};
use crate::arena::Arena;
use crate::converter::{Converter, DataError, Detail, Shortcut, header_like_data};
use crate::data::{Schema, SchemaAndValue, Value};
use crate::json_text::JsonText;

/// The converter's keys, checked.
#[derive(Clone, Copy, Debug)]
pub struct JsonConverterConfig {
    /// `schemas.enable`.
    pub schemas_enable: bool,
    /// `schemas.cache.size`: schemas kept, each way.
    pub schemas_cache_size: usize,
    /// `decimal.format` and `replace.null.with.default`.
    pub write: WriteOptions,
}

impl Default for JsonConverterConfig {
    fn default() -> Self {
        Self { schemas_enable: true, schemas_cache_size: 1000, write: WriteOptions::default() }
    }
}

/// A schema, and how its payloads are read.
struct Known {
    schema: Arc<Schema>,
    plan: Plan,
}

const NO_ENVELOPE: &str = "JsonConverter with schemas.enable requires \"schema\" and \"payload\" \
    fields and may not contain additional fields. If you are trying to deserialize plain JSON \
    data, set schemas.enable=false in your converter configuration.";

/// A topic mostly has one schema, so the last one used is looked at before the maps; their size is
/// bounded by forgetting everything when it is reached.
pub struct JsonConverter {
    config: JsonConverterConfig,
    /// Schemas read, by their text.
    read: HashMap<Box<[u8]>, Option<Arc<Known>>>,
    last_read: (Box<[u8]>, Option<Arc<Known>>),
    heads: Heads,
    /// Texts of schemas written. Found by equality, for an address may come to mean another schema.
    written: Vec<(Schema, Box<[u8]>)>,
    last_written: usize,
}

/// What some writers, most of them on Windows, begin a text in UTF-8 with; the JVM's passes over it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl JsonConverter {
    /// A converter with empty caches.
    pub fn new(config: JsonConverterConfig) -> Self {
        Self {
            config,
            read: HashMap::new(),
            last_read: (b"null"[..].into(), None),
            heads: Heads::default(),
            written: Vec::new(),
            last_written: 0,
        }
    }

    fn read<'a>(
        &mut self,
        bytes: &'a [u8],
        detail: Detail,
        arena: &'a Arena,
        into: &mut SchemaAndValue<'a>,
    ) -> Result<(), DataError> {
        if self.config.schemas_enable {
            *into = self.enveloped(bytes, detail, arena)?;
        } else {
            into.value = self.schemaless(bytes, detail, arena)?;
        }
        Ok(())
    }

    fn schemaless<'a>(
        &self,
        bytes: &'a [u8],
        detail: Detail,
        arena: &'a Arena,
    ) -> Result<Value<'a>, DataError> {
        if detail == Detail::Full {
            return parse(bytes, arena);
        }
        let checked = check(bytes, 0, bytes.len()).map_err(serialization_error)?;
        Ok(match checked.kind {
            Kind::Empty | Kind::Null => Value::Null,
            _ => {
                let text = JsonText::verbatim(&bytes[checked.start..checked.end]);
                Value::Json(arena.alloc(text))
            }
        })
    }

    fn enveloped<'a>(
        &mut self,
        bytes: &'a [u8],
        detail: Detail,
        arena: &'a Arena,
    ) -> Result<SchemaAndValue<'a>, DataError> {
        let replace = self.config.write.replace_null_with_default;
        if let Some((known, at)) = self.heads.find(bytes) {
            let schema = arena.pin_schema(&known.schema);
            if let Some(value) = behind_head(&known.plan, schema, bytes, at, replace, arena) {
                return Ok(SchemaAndValue { schema: Some(schema), value });
            }
        }
        let (text, payload) = envelope(bytes, arena)?;
        let Some(known) = self.schema(&bytes[text.clone()])? else {
            let value = self.schemaless(&bytes[payload], detail, arena)?;
            return Ok(SchemaAndValue { schema: None, value });
        };
        if text.start < payload.start {
            self.heads.learn(&bytes[..payload.start], &known);
        }
        let schema = arena.pin_schema(&known.schema);
        let mut reader = Reader::within(bytes, payload.start, 1, arena);
        let value = typed::read(&known.plan, schema, &mut reader, replace)?;
        Ok(SchemaAndValue { schema: Some(schema), value })
    }

    /// The schema of that text, parsed once.
    fn schema(&mut self, text: &[u8]) -> Result<Option<Arc<Known>>, DataError> {
        if *self.last_read.0 == *text {
            return Ok(self.last_read.1.clone());
        }
        let schema = match self.read.get(text) {
            Some(schema) => schema.clone(),
            None => {
                let schema = parse_schema(text)?;
                let schema =
                    schema.map(|schema| Arc::new(Known { plan: Plan::new(&schema), schema }));
                if self.read.len() >= self.config.schemas_cache_size {
                    self.read.clear();
                }
                self.read.insert(text.into(), schema.clone());
                schema
            }
        };
        self.last_read = (text.into(), schema.clone());
        Ok(schema)
    }

    fn write_envelope(
        &mut self,
        schema: Option<&Schema>,
        value: Value<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), DataError> {
        out.extend_from_slice(b"{\"schema\":");
        match schema {
            None => out.extend_from_slice(b"null"),
            Some(schema) => {
                let at = self.written_schema(schema)?;
                out.extend_from_slice(&self.written[at].1);
            }
        }
        out.extend_from_slice(b",\"payload\":");
        write_value(schema, value, out, &self.config.write)?;
        out.push(b'}');
        Ok(())
    }

    fn written_schema(&mut self, schema: &Schema) -> Result<usize, DataError> {
        let is =
            |entry: Option<&(Schema, Box<[u8]>)>| entry.is_some_and(|(known, _)| known == schema);
        if is(self.written.get(self.last_written)) {
            return Ok(self.last_written);
        }
        self.last_written = match self.written.iter().position(|entry| is(Some(entry))) {
            Some(at) => at,
            None => {
                let mut text = Vec::new();
                write_schema(schema, &self.config.write, &mut text)?;
                if self.written.len() >= self.config.schemas_cache_size {
                    self.written.clear();
                }
                self.written.push((schema.clone(), text.into()));
                self.written.len() - 1
            }
        };
        Ok(self.last_written)
    }
}

/// How many heads are known, and how long one may be.
const HEADS: usize = 8;
const LONGEST_HEAD: usize = 64 * 1024;

/// What records begin with, from the first byte to the payload. A schema is most of an envelope's
/// text, and the same in record after record: comparing it costs a fraction of parsing it.
#[derive(Default)]
struct Heads {
    known: Vec<(Box<[u8]>, Arc<Known>)>,
    /// Found or learned last.
    last: usize,
}

impl Heads {
    /// The schema of a record that begins with a known head, and where its payload begins.
    #[inline]
    fn find(&mut self, bytes: &[u8]) -> Option<(&Known, usize)> {
        let is = |entry: &(Box<[u8]>, _)| bytes.starts_with(&entry.0);
        if !self.known.get(self.last).is_some_and(is) {
            self.last = self.known.iter().position(is)?;
        }
        let (head, schema) = &self.known[self.last];
        Some((schema, head.len()))
    }

    /// Keeps what a checked envelope has before its payload, the schema before it.
    fn learn(&mut self, head: &[u8], schema: &Arc<Known>) {
        if head.len() > LONGEST_HEAD || self.known.iter().any(|(known, _)| **known == *head) {
            return;
        }
        let entry = (head.into(), Arc::clone(schema));
        self.last = (self.last + 1) % HEADS;
        match self.known.get_mut(self.last) {
            Some(place) => *place = entry,
            None => {
                self.last = self.known.len();
                self.known.push(entry);
            }
        }
    }
}

/// The payload behind a known head. `None`: something is wrong, or more comes behind it; the whole
/// envelope says what.
fn behind_head<'a>(
    plan: &Plan,
    schema: &'a Schema,
    bytes: &'a [u8],
    at: usize,
    replace_null_with_default: bool,
    arena: &'a Arena,
) -> Option<Value<'a>> {
    let mut reader = Reader::within(bytes, at, 1, arena);
    let value = typed::read(plan, schema, &mut reader, replace_null_with_default).ok()?;
    reader.scan.space();
    reader.scan.expect(b'}', "").ok()?;
    reader.finish().ok()?;
    Some(value)
}

/// The places of the envelope's halves, the whole checked.
fn envelope(bytes: &[u8], arena: &Arena) -> Result<(Range<usize>, Range<usize>), DataError> {
    let mut reader = Reader::new(bytes, arena);
    reader.scan.space();
    if reader.scan.peek() != b'{' {
        check(bytes, 0, bytes.len()).map_err(serialization_error)?;
        return Err(DataError::new(NO_ENVELOPE));
    }
    let (mut schema, mut payload, mut others) = (None, None, false);
    reader.members(|reader, key| {
        let range = reader.skip()?;
        match key {
            "schema" => schema = Some(range),
            "payload" => payload = Some(range),
            _ => others = true,
        }
        Ok(())
    })?;
    reader.scan.finish().map_err(serialization_error)?;
    match (schema, payload) {
        (Some(schema), Some(payload)) if !others => Ok((schema, payload)),
        _ => Err(DataError::new(NO_ENVELOPE)),
    }
}

impl Converter for JsonConverter {
    fn to_connect_data_at<'a>(
        &mut self,
        _topic: &str,
        bytes: Option<&'a [u8]>,
        detail: Detail,
        arena: &'a Arena,
        into: &mut SchemaAndValue<'a>,
    ) -> Result<(), DataError> {
        let Some(bytes) = bytes else { return Ok(()) };
        match self.read(bytes, detail, arena, into) {
            // Looked for where there is an error already: nobody else pays for it.
            Err(error) => match bytes.strip_prefix(BYTE_ORDER_MARK) {
                Some(text) => self.read(text, detail, arena, into),
                None => Err(error),
            },
            read => read,
        }
    }

    fn from_connect_data(
        &mut self,
        _topic: &str,
        schema: Option<&Schema>,
        value: Value<'_>,
        out: &mut Vec<u8>,
    ) -> Result<bool, DataError> {
        if schema.is_none() && value.is_null() {
            return Ok(false);
        }
        let start = out.len();
        let written = if self.config.schemas_enable {
            self.write_envelope(schema, value, out)
        } else {
            write_value(schema, value, out, &self.config.write)
        };
        match written {
            Ok(()) => Ok(true),
            Err(error) => {
                out.truncate(start);
                Err(error)
            }
        }
    }

    fn shortcut(&self) -> Shortcut {
        if self.config.schemas_enable { Shortcut::None } else { Shortcut::SchemalessJson }
    }

    fn class_name(&self) -> &'static str {
        "org.apache.kafka.connect.json.JsonConverter"
    }
}

header_like_data!(JsonConverter);

#[cfg(test)]
mod tests;
