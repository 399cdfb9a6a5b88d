//! The contract of a converter, and the error that a bad record gives.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use crate::arena::Arena;
use crate::data::{Schema, SchemaAndValue, Value};
use crate::registry::{RegistrySettings, SchemaSource};

/// A record that cannot be converted or transformed: `DataException` unless `class` says otherwise.
/// `errors.tolerance` decides what becomes of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataError {
    /// The Java exception class that the JVM worker would name in logs and dead-letter headers.
    pub class: &'static str,
    pub message: String,
    /// Worth trying again within `errors.retry.timeout` (Connect's `RetriableException`).
    pub retriable: bool,
}

impl DataError {
    pub const DATA: &'static str = "org.apache.kafka.connect.errors.DataException";

    pub fn new(message: impl Into<String>) -> Self {
        Self { class: Self::DATA, message: message.into(), retriable: false }
    }

    pub fn with_class(class: &'static str, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), retriable: false }
    }
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for DataError {}

/// What a converter is configured with: its own keys, prefix stripped.
pub type ConverterConfig = BTreeMap<String, String>;

/// What the rest of the chain wants from [`Converter::to_connect_data`], so that nothing is parsed
/// that nobody reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Detail {
    /// Typed values throughout; no [`Value::Json`].
    #[default]
    Full,
    /// A schemaless value may stay [`Value::Json`], checked but not parsed.
    Text,
    /// Any value may be [`Value::Json`], one with a schema too, which is then left out: the text is
    /// what `JsonConverter` without schemas writes by default.
    Json,
}

/// Bytes of Kafka to Connect data and back; the key's and the value's are two instances.
///
/// Life of an instance: made and configured by the registry once per task; then
/// `to_connect_data` (sinks) or `from_connect_data` (sources) once per record, always on the
/// task's core. It must not keep anything that borrows from a batch; what it caches (schemas) is
/// its own, bounded, and shared out through [`Arena::pin_schema`].
#[allow(clippy::wrong_self_convention, reason = "the names are Kafka Connect's")]
pub trait Converter {
    /// One record of `topic` into data; `None` is Kafka's null. What is returned borrows from
    /// `bytes` or from `arena`.
    fn to_connect_data<'a>(
        &mut self,
        topic: &str,
        bytes: Option<&'a [u8]>,
        detail: Detail,
        arena: &'a Arena,
    ) -> Result<SchemaAndValue<'a>, DataError> {
        let mut data = SchemaAndValue::default();
        self.to_connect_data_at(topic, bytes, detail, arena, &mut data)?;
        Ok(data)
    }

    /// The same, put where it stays: `into`, which holds null without a schema. What is handed on in
    /// a `Result` is written in parts and copied as a whole, for which a processor waits. After an
    /// error `into` is of no meaning.
    fn to_connect_data_at<'a>(
        &mut self,
        topic: &str,
        bytes: Option<&'a [u8]>,
        detail: Detail,
        arena: &'a Arena,
        into: &mut SchemaAndValue<'a>,
    ) -> Result<(), DataError>;

    /// The same with [`Detail::Json`], of the bytes at `place` in `whole`. More of these may be looked
    /// at, as a reader does that loads many at a time.
    fn to_json_at<'a>(
        &mut self,
        topic: &str,
        whole: &'a [u8],
        place: Range<usize>,
        arena: &'a Arena,
        into: &mut SchemaAndValue<'a>,
    ) -> Result<(), DataError> {
        self.to_connect_data_at(topic, whole.get(place), Detail::Json, arena, into)
    }

    /// Appends the serialised form to `out`; `Ok(false)` and nothing appended is Kafka's null.
    /// On an error `out` is as it was.
    fn from_connect_data(
        &mut self,
        topic: &str,
        schema: Option<&Schema>,
        value: Value<'_>,
        out: &mut Vec<u8>,
    ) -> Result<bool, DataError>;

    /// Called before each batch; the place to trim caches.
    fn begin_batch(&mut self) {}

    /// How the schema registry is reached that this converter asks; `None`: it asks none.
    fn registry(&self) -> Option<&RegistrySettings> {
        None
    }

    /// Gives a converter of a registry the way to ask it; once, before its first record.
    fn attach(&mut self, source: Rc<dyn SchemaSource>) {
        let _ = source;
    }

    /// How the plan may treat this converter's sink direction without calling it per record.
    fn shortcut(&self) -> Shortcut {
        Shortcut::None
    }

    /// The Java class, for error contexts and dead-letter headers.
    fn class_name(&self) -> &'static str;
}

/// What the compiled plan may do instead of calling [`Converter::to_connect_data`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortcut {
    /// Call it.
    None,
    /// Any bytes are a value: OPTIONAL_BYTES, borrowed (ByteArrayConverter).
    Bytes,
    /// UTF-8 text is a value: OPTIONAL_STRING, borrowed (StringConverter with UTF-8; invalid UTF-8
    /// goes through the converter, which replaces as Java does).
    Utf8,
    /// A checked JSON document is a schemaless value (JsonConverter, `schemas.enable=false`).
    SchemalessJson,
}

/// Header bytes to Connect data and back.
#[allow(clippy::wrong_self_convention, reason = "the names are Kafka Connect's")]
pub trait HeaderConverter {
    fn to_connect_header<'a>(
        &mut self,
        topic: &str,
        name: &str,
        bytes: Option<&'a [u8]>,
        arena: &'a Arena,
    ) -> Result<SchemaAndValue<'a>, DataError>;

    /// Appends the serialised form; `Ok(false)` is a null header value.
    fn from_connect_header(
        &mut self,
        topic: &str,
        name: &str,
        schema: Option<&Schema>,
        value: Value<'_>,
        out: &mut Vec<u8>,
    ) -> Result<bool, DataError>;

    fn class_name(&self) -> &'static str;
}

/// Makes a converter a header converter that treats headers as it treats data.
macro_rules! header_like_data {
    ($converter:ty) => {
        impl $crate::converter::HeaderConverter for $converter {
            fn to_connect_header<'a>(
                &mut self,
                topic: &str,
                _name: &str,
                bytes: Option<&'a [u8]>,
                arena: &'a $crate::arena::Arena,
            ) -> Result<$crate::data::SchemaAndValue<'a>, $crate::converter::DataError> {
                use $crate::converter::{Converter, Detail};
                self.to_connect_data(topic, bytes, Detail::Full, arena)
            }

            fn from_connect_header(
                &mut self,
                topic: &str,
                _name: &str,
                schema: Option<&$crate::data::Schema>,
                value: $crate::data::Value<'_>,
                out: &mut Vec<u8>,
            ) -> Result<bool, $crate::converter::DataError> {
                $crate::converter::Converter::from_connect_data(self, topic, schema, value, out)
            }

            fn class_name(&self) -> &'static str {
                $crate::converter::Converter::class_name(self)
            }
        }
    };
}
pub(crate) use header_like_data;
