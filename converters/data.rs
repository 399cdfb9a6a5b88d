//! Connect's data model, borrowed: [`Schema`], [`Value`], [`Struct`] and the logical types.
//!
//! The types are those of `org.apache.kafka.connect.data`. A value is `Copy` and at most 24 bytes;
//! text, bytes, arrays, maps and structs are slices of the fetched batch or of the batch's
//! [`crate::Arena`]. A value without schema (`None` beside it) is Connect's schemaless data.

use std::sync::Arc;

use crate::json_text::JsonText;

/// Name of the logical type `Decimal` (BYTES, parameter `scale`).
pub const DECIMAL_NAME: &str = "org.apache.kafka.connect.data.Decimal";
/// Name of the logical type `Date` (INT32, days since the epoch).
pub const DATE_NAME: &str = "org.apache.kafka.connect.data.Date";
/// Name of the logical type `Time` (INT32, milliseconds of the day).
pub const TIME_NAME: &str = "org.apache.kafka.connect.data.Time";
/// Name of the logical type `Timestamp` (INT64, milliseconds since the epoch).
pub const TIMESTAMP_NAME: &str = "org.apache.kafka.connect.data.Timestamp";

/// `org.apache.kafka.connect.data.Schema.Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SchemaType {
    Int8,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    Boolean,
    String,
    Bytes,
    Array,
    Map,
    Struct,
}

impl SchemaType {
    /// The name as Java prints the enum constant: `INT8` … `STRUCT`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Int8 => "INT8",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Float32 => "FLOAT32",
            Self::Float64 => "FLOAT64",
            Self::Boolean => "BOOLEAN",
            Self::String => "STRING",
            Self::Bytes => "BYTES",
            Self::Array => "ARRAY",
            Self::Map => "MAP",
            Self::Struct => "STRUCT",
        }
    }
}

/// A value that outlives its batch: schema defaults, static configuration.
#[derive(Clone, Debug, PartialEq)]
pub enum OwnedValue {
    Null,
    Boolean(bool),
    Int8(i8),
    Int16(i16),
    Int32(i32),
    Int64(i64),
    Float32(f32),
    Float64(f64),
    String(Arc<str>),
    Bytes(Arc<[u8]>),
    Decimal { unscaled: Arc<[u8]>, scale: i32 },
    Date(i32),
    Time(i32),
    Timestamp(i64),
    Array(Arc<[OwnedValue]>),
    Map(Arc<[(OwnedValue, OwnedValue)]>),
    Struct { schema: Arc<Schema>, fields: Arc<[OwnedValue]> },
}

/// One field of a struct's schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    pub name: Arc<str>,
    pub schema: Arc<Schema>,
}

/// `org.apache.kafka.connect.data.Schema`. Equality covers everything, doc and default included,
/// as Java's does.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    pub type_: SchemaType,
    pub optional: bool,
    pub name: Option<Arc<str>>,
    pub version: Option<i32>,
    pub doc: Option<Arc<str>>,
    /// In insertion order (Java keeps a `LinkedHashMap`).
    pub parameters: Vec<(Arc<str>, Arc<str>)>,
    pub default: Option<OwnedValue>,
    /// Of a struct; the index in this vector is the field's index.
    pub fields: Vec<Field>,
    /// Of a map.
    pub key_schema: Option<Arc<Schema>>,
    /// Of a map or an array.
    pub value_schema: Option<Arc<Schema>>,
}

impl Schema {
    /// A required, unnamed schema of that type.
    pub fn new(type_: SchemaType) -> Self {
        Self {
            type_,
            optional: false,
            name: None,
            version: None,
            doc: None,
            parameters: Vec::new(),
            default: None,
            fields: Vec::new(),
            key_schema: None,
            value_schema: None,
        }
    }

    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    pub fn array(values: Arc<Schema>) -> Self {
        Self { value_schema: Some(values), ..Self::new(SchemaType::Array) }
    }

    pub fn map(keys: Arc<Schema>, values: Arc<Schema>) -> Self {
        Self { key_schema: Some(keys), value_schema: Some(values), ..Self::new(SchemaType::Map) }
    }

    pub fn struct_of(fields: Vec<Field>) -> Self {
        Self { fields, ..Self::new(SchemaType::Struct) }
    }

    /// A record of that name inside of itself: a struct whose fields are told by the one around it.
    /// Values of it carry the whole schema.
    pub fn reference(name: &str) -> Self {
        Self::new(SchemaType::Struct).named(name)
    }

    /// Whether a struct of schema `of` may stand where `self` is asked for: an equal schema, or one
    /// that `self` is a [`Schema::reference`] to.
    pub fn admits(&self, of: &Schema) -> bool {
        std::ptr::eq(self, of)
            || (self.fields.is_empty() && self.name.is_some() && self.name == of.name)
            || self == of
    }

    /// `Timestamp.SCHEMA`: INT64, version 1.
    pub fn timestamp() -> Self {
        Self { version: Some(1), ..Self::new(SchemaType::Int64).named(TIMESTAMP_NAME) }
    }

    /// `Date.SCHEMA`: INT32, version 1.
    pub fn date() -> Self {
        Self { version: Some(1), ..Self::new(SchemaType::Int32).named(DATE_NAME) }
    }

    /// `Time.SCHEMA`: INT32, version 1.
    pub fn time() -> Self {
        Self { version: Some(1), ..Self::new(SchemaType::Int32).named(TIME_NAME) }
    }

    /// `Decimal.schema(scale)`: BYTES, version 1, parameter `scale`.
    pub fn decimal(scale: i32) -> Self {
        Self {
            version: Some(1),
            parameters: vec![("scale".into(), scale.to_string().into())],
            ..Self::new(SchemaType::Bytes).named(DECIMAL_NAME)
        }
    }

    pub fn field(&self, name: &str) -> Option<(usize, &Field)> {
        self.fields.iter().enumerate().find(|(_, field)| &*field.name == name)
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| &**key == name).map(|(_, value)| &**value)
    }

    pub fn is_named(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name)
    }
}

/// `BigDecimal`: `unscaled * 10^-scale`, the unscaled value as two's complement, big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal<'a> {
    pub unscaled: &'a [u8],
    pub scale: i32,
}

/// A struct's values in the order of its schema's fields; absent ones are [`Value::Null`].
#[derive(Clone, Copy, Debug)]
pub struct Struct<'a> {
    pub schema: &'a Schema,
    pub values: &'a [Value<'a>],
}

/// One datum. The variants follow the Java classes that Connect puts into an `Object`.
#[derive(Clone, Copy, Debug, Default)]
pub enum Value<'a> {
    #[default]
    Null,
    Boolean(bool),
    Int8(i8),
    Int16(i16),
    Int32(i32),
    Int64(i64),
    Float32(f32),
    Float64(f64),
    Str(&'a str),
    Bytes(&'a [u8]),
    Decimal(&'a Decimal<'a>),
    /// `java.util.Date` of logical type Date: days since the epoch.
    Date(i32),
    /// `java.util.Date` of logical type Time: milliseconds of the day.
    Time(i32),
    /// `java.util.Date` of logical type Timestamp: milliseconds since the epoch.
    Timestamp(i64),
    Array(&'a [Value<'a>]),
    Map(&'a [(Value<'a>, Value<'a>)]),
    Struct(&'a Struct<'a>),
    /// Schemaless data that is still its checked JSON text: an object, an array or a scalar.
    /// Whoever must look inside parses it (`json::parse_text`); whoever writes JSON copies it.
    Json(&'a JsonText<'a>),
}

impl<'a> Value<'a> {
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    pub fn as_str(&self) -> Option<&'a str> {
        if let Value::Str(text) = self { Some(text) } else { None }
    }

    /// A time of any kind as the one of this logical name: in Java they are one class. None where it
    /// says more than that kind can, and of what is no time.
    pub(crate) fn as_time(self, name: &str) -> Option<Self> {
        const DAY: i64 = 86_400_000;
        let millis = match self {
            Value::Date(days) => i64::from(days) * DAY,
            Value::Time(millis) => millis.into(),
            Value::Timestamp(millis) => millis,
            _ => return None,
        };
        match name {
            DATE_NAME if millis % DAY == 0 => (millis / DAY).try_into().ok().map(Value::Date),
            TIME_NAME if (0..DAY).contains(&millis) => Some(Value::Time(millis as i32)),
            TIMESTAMP_NAME => Some(Value::Timestamp(millis)),
            _ => None,
        }
    }

    /// The Java class of the object that this value stands for, as error texts print it.
    /// [`Value::Json`] answers by the first byte of its text.
    pub fn java_class(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Boolean(_) => "java.lang.Boolean",
            Value::Int8(_) => "java.lang.Byte",
            Value::Int16(_) => "java.lang.Short",
            Value::Int32(_) => "java.lang.Integer",
            Value::Int64(_) => "java.lang.Long",
            Value::Float32(_) => "java.lang.Float",
            Value::Float64(_) => "java.lang.Double",
            Value::Str(_) => "java.lang.String",
            Value::Bytes(_) => "[B",
            Value::Decimal(_) => "java.math.BigDecimal",
            Value::Date(_) | Value::Time(_) | Value::Timestamp(_) => "java.util.Date",
            Value::Array(_) => "java.util.ArrayList",
            Value::Map(_) => "java.util.HashMap",
            Value::Struct(_) => "org.apache.kafka.connect.data.Struct",
            Value::Json(text) => text.java_class(),
        }
    }
}

/// The type of a required value that is null in `value`, which goes into a struct: itself, or an
/// element of arrays and maps in it, as `ConnectSchema.validateValue` looks for them. A struct was
/// looked at when it was made.
#[inline]
pub fn null_in_vain(schema: &Schema, value: Value<'_>) -> Option<SchemaType> {
    match value {
        Value::Null if schema.optional => None,
        Value::Null => Some(schema.type_),
        Value::Array(items) => {
            let of = schema.value_schema.as_deref()?;
            items.iter().find_map(|item| null_in_vain(of, *item))
        }
        Value::Map(entries) => {
            let (keys, values) = (schema.key_schema.as_deref()?, schema.value_schema.as_deref()?);
            entries.iter().find_map(|(key, value)| {
                null_in_vain(keys, *key).or_else(|| null_in_vain(values, *value))
            })
        }
        _ => None,
    }
}

/// `org.apache.kafka.connect.data.SchemaAndValue`.
#[derive(Clone, Copy, Debug, Default)]
pub struct SchemaAndValue<'a> {
    pub schema: Option<&'a Schema>,
    pub value: Value<'a>,
}
