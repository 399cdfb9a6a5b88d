//! TimestampConverter: times as text, as Unix time, or as one of Connect's logical types.

use std::rc::Rc;
use std::sync::Arc;

use millrace_api::Config;
use millrace_api::config_def::{
    ConfigDef, ConfigError, ConfigKey, DefaultValue, Importance, Type, Validator,
};
use millrace_api::record::Record;
use millrace_api::transformation::{Call, JsonOp, JsonOps, Quick, Reads, Side, Transformation};
use millrace_converters::data::{DATE_NAME, OwnedValue, TIME_NAME, TIMESTAMP_NAME};
use millrace_converters::{Arena, DataError, Field, Schema, SchemaType, Struct, Value};

use crate::date_format::DateFormat;
use crate::requirements::{
    REPLACE_NULL, datum, entry, field_value, fields, put, reads, replace_null_key, require_map,
    require_struct_or_null, required, room_for, with_datum,
};
use crate::schema_cache::{SchemaCache, copy_basics};
use crate::sides::sided;

const PURPOSE: &str = "converting timestamp formats";
const DAY: i64 = 86_400_000;

sided!(TimestampConverter, "TimestampConverter");

fn config_def() -> ConfigDef {
    ConfigDef::new()
        .define(ConfigKey::new(
            "field",
            Type::String,
            DefaultValue::Of(""),
            Importance::High,
            "The field containing the timestamp, or empty if the entire value is a timestamp",
        ))
        .define(
            ConfigKey::new(
                "target.type",
                Type::String,
                DefaultValue::Required,
                Importance::High,
                "The desired timestamp representation: string, unix, Date, Time, or Timestamp",
            )
            .check(Validator::OneOf(&["string", "unix", "Date", "Time", "Timestamp"])),
        )
        .define(ConfigKey::new(
            "format",
            Type::String,
            DefaultValue::Of(""),
            Importance::Medium,
            "A SimpleDateFormat-compatible format for the timestamp. Used to generate the output \
             when type=string or used to parse the input if the input is a string.",
        ))
        .define(
            ConfigKey::new(
                "unix.precision",
                Type::String,
                DefaultValue::Of("milliseconds"),
                Importance::Low,
                "The desired Unix precision for the timestamp: seconds, milliseconds, \
                 microseconds, or nanoseconds. Used to generate the output when type=unix or used \
                 to parse the input if the input is a Long.Note: This SMT will cause precision \
                 loss during conversions from, and to, values with sub-millisecond components.",
            )
            .check(Validator::OneOf(&[
                "nanoseconds",
                "microseconds",
                "milliseconds",
                "seconds",
            ])),
        )
        .define(replace_null_key())
}

/// What a time is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Unix,
    Date,
    Time,
    Timestamp,
}

impl Form {
    fn of(name: &str) -> Self {
        match name {
            "string" => Self::Text,
            "unix" => Self::Unix,
            "Date" => Self::Date,
            "Time" => Self::Time,
            _ => Self::Timestamp,
        }
    }

    fn schema(self, optional: bool) -> Schema {
        let schema = match self {
            Self::Text => Schema::new(SchemaType::String),
            Self::Unix => Schema::new(SchemaType::Int64),
            Self::Date => Schema::date(),
            Self::Time => Schema::time(),
            Self::Timestamp => Schema::timestamp(),
        };
        Schema { optional, ..schema }
    }

    /// By the schema: a logical type, text in the format, or Unix time.
    fn of_schema(schema: &Schema) -> Result<Self, DataError> {
        Ok(match (schema.name.as_deref(), schema.type_) {
            (Some(TIMESTAMP_NAME), _) => Self::Timestamp,
            (Some(DATE_NAME), _) => Self::Date,
            (Some(TIME_NAME), _) => Self::Time,
            (_, SchemaType::String) => Self::Text,
            (_, SchemaType::Int64) => Self::Unix,
            (_, type_) => {
                return Err(DataError::with_class(
                    "org.apache.kafka.connect.errors.ConnectException",
                    format!(
                        "Schema Schema{{{}}} does not correspond to a known timestamp type format",
                        type_.name()
                    ),
                ));
            }
        })
    }

    /// By the value alone.
    fn of_value(value: Value<'_>) -> Result<Self, DataError> {
        Ok(match value {
            Value::Date(_) | Value::Time(_) | Value::Timestamp(_) => Self::Timestamp,
            Value::Int64(_) => Self::Unix,
            Value::Str(_) => Self::Text,
            other => {
                let class = other.java_class();
                return Err(DataError::new(format!(
                    "TimestampConverter does not support class {class} objects as timestamps"
                )));
            }
        })
    }
}

/// A unit of Unix time.
#[derive(Clone, Copy)]
enum Precision {
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

impl Precision {
    /// As `TimeUnit` converts: towards zero, and to the ends of a long.
    fn to_millis(self, time: i64) -> i64 {
        match self {
            Self::Seconds => time.saturating_mul(1000),
            Self::Milliseconds => time,
            Self::Microseconds => time / 1000,
            Self::Nanoseconds => time / 1_000_000,
        }
    }

    fn of_millis(self, millis: i64) -> i64 {
        match self {
            Self::Seconds => millis / 1000,
            Self::Milliseconds => millis,
            Self::Microseconds => millis.saturating_mul(1000),
            Self::Nanoseconds => millis.saturating_mul(1_000_000),
        }
    }
}

/// The day of a time. It wraps where it is more than 32 bits hold, as Java's does.
fn day_of(millis: i64) -> Result<i32, DataError> {
    let day = millis.div_euclid(DAY);
    // The first of all days begins before the first of all times. Java's calendar leaves a time of
    // day there, which its Date refuses.
    match day.checked_mul(DAY) {
        Some(_) => Ok(day as i32),
        None => Err(DataError::new(
            "Kafka Connect Date type should not have any time fields set to non-zero values.",
        )),
    }
}

/// How times are read and written; apart from the cache of schemas, which borrows it.
struct Conversion {
    target: Form,
    format: Option<(DateFormat, String)>,
    precision: Precision,
}

impl Conversion {
    fn convert<'a>(
        &self,
        value: Value<'a>,
        from: Form,
        arena: &'a Arena,
    ) -> Result<Value<'a>, DataError> {
        if value.is_null() {
            return Ok(Value::Null);
        }
        let millis = self.millis(value, from)?;
        Ok(match self.target {
            Form::Text => {
                let mut text = bumpalo::collections::String::with_capacity_in(32, arena.bump());
                self.format()?.0.format(millis, &mut text);
                Value::Str(text.into_bump_str())
            }
            Form::Unix => Value::Int64(self.precision.of_millis(millis)),
            Form::Date => Value::Date(day_of(millis)?),
            Form::Time => Value::Time(millis.rem_euclid(DAY) as i32),
            Form::Timestamp => Value::Timestamp(millis),
        })
    }

    fn millis(&self, value: Value<'_>, from: Form) -> Result<i64, DataError> {
        Ok(match (from, value) {
            (Form::Unix, Value::Int64(time)) => self.precision.to_millis(time),
            (Form::Text, Value::Str(text)) => {
                let (format, pattern) = self.format()?;
                format.parse(text).ok_or_else(|| {
                    DataError::new(format!(
                        "Could not parse timestamp: value ({text}) does not match pattern \
                         ({pattern})"
                    ))
                })?
            }
            (_, Value::Date(days)) => i64::from(days) * DAY,
            (_, Value::Time(millis)) => millis.into(),
            (_, Value::Timestamp(millis)) => millis,
            (from, value) => {
                let (what, class) = match from {
                    Form::Text => ("string timestamp", "String"),
                    Form::Unix => ("Unix timestamp", "Long"),
                    Form::Date => ("Date", "java.util.Date"),
                    Form::Time => ("Time", "java.util.Date"),
                    Form::Timestamp => ("Timestamp", "java.util.Date"),
                };
                let found = value.java_class();
                return Err(DataError::new(format!(
                    "Expected {what} to be a {class}, but found class {found}"
                )));
            }
        })
    }

    /// JSON text of Unix time as text in the format, where JSON has it as it stands, and the other way
    /// round, where nothing in it is escaped.
    fn of_text(&self, time: Option<i64>, text: &[u8], out: &mut Vec<u8>) -> Quick {
        let Some((format, _)) = &self.format else { return Quick::Unknown };
        match (self.target, time, text) {
            (Form::Text, Some(time), _) if format.is_plain() => {
                out.push(b'"');
                format.format(self.precision.to_millis(time), &mut Bytes(out));
                out.push(b'"');
                Quick::Written
            }
            (Form::Unix, None, [b'"', text @ .., b'"']) => {
                let is_plain = text.is_ascii() && !text.contains(&b'\\');
                let text = std::str::from_utf8(text).ok().filter(|_| is_plain);
                let Some(millis) = text.and_then(|text| format.parse(text)) else {
                    return Quick::Unknown;
                };
                let time = self.precision.of_millis(millis);
                out.extend_from_slice(itoa::Buffer::new().format(time).as_bytes());
                Quick::Written
            }
            _ => Quick::Unknown,
        }
    }

    fn format(&self) -> Result<&(DateFormat, String), DataError> {
        self.format.as_ref().ok_or_else(|| {
            DataError::with_class(
                "java.lang.NullPointerException",
                "a timestamp that is text needs the config 'format'",
            )
        })
    }

    fn convert_field<'a>(
        &self,
        value: Value<'a>,
        schema: &Schema,
        arena: &'a Arena,
    ) -> Result<Value<'a>, DataError> {
        let from = Form::of_schema(schema)?;
        self.convert(value, from, arena)
    }
}

/// Text as bytes.
struct Bytes<'o>(&'o mut Vec<u8>);

impl std::fmt::Write for Bytes<'_> {
    #[inline]
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

struct TimestampConverter {
    side: Side,
    field: String,
    conversion: Rc<Conversion>,
    replace_null: bool,
    schemas: SchemaCache<Arc<Schema>>,
}

impl TimestampConverter {
    fn configure(config: &Config, side: Side) -> Result<Box<dyn Transformation>, Vec<ConfigError>> {
        let parsed = config_def().parse(config)?;
        let refused = |message: String| vec![ConfigError { key: "format".to_owned(), message }];
        let target = Form::of(parsed.string("target.type"));
        let pattern = parsed.string("format");
        let format = match pattern.trim().is_empty() {
            true if target == Form::Text => {
                return Err(refused(
                    "TimestampConverter requires format option to be specified when using string \
                     timestamps"
                        .to_owned(),
                ));
            }
            true => None,
            false => Some(DateFormat::new(pattern).map_err(|why| {
                refused(format!(
                    "TimestampConverter requires a SimpleDateFormat-compatible pattern for string \
                     timestamps: {pattern}: {why}"
                ))
            })?),
        };
        let precision = match parsed.string("unix.precision") {
            "seconds" => Precision::Seconds,
            "microseconds" => Precision::Microseconds,
            "nanoseconds" => Precision::Nanoseconds,
            _ => Precision::Milliseconds,
        };
        let format = format.map(|format| (format, pattern.to_owned()));
        Ok(Box::new(Self {
            side,
            field: parsed.string("field").to_owned(),
            conversion: Rc::new(Conversion { target, format, precision }),
            replace_null: parsed.bool(REPLACE_NULL),
            schemas: SchemaCache::default(),
        }))
    }

    fn apply_schemaless<'a>(
        &self,
        record: Record<'a>,
        value: Value<'a>,
        arena: &'a Arena,
    ) -> Result<Record<'a>, DataError> {
        let convert = |value: Value<'a>| match value {
            Value::Null => Ok(Value::Null),
            value => self.conversion.convert(value, Form::of_value(value)?, arena),
        };
        if value.is_null() || self.field.is_empty() {
            let value = match value {
                Value::Json(text) => millrace_converters::json::parse_text(text, arena)?,
                value => value,
            };
            return Ok(with_datum(record, self.side, None, convert(value)?));
        }
        let entries = require_map(value, PURPOSE, arena)?;
        let mut map = room_for(entries.len() + 1, arena);
        map.extend_from_slice_copy(entries);
        let converted = convert(entry(entries, &self.field))?;
        put(&mut map, arena.alloc_str(&self.field), converted);
        Ok(with_datum(record, self.side, None, Value::Map(map.into_bump_slice())))
    }

    fn apply_with_schema<'a>(
        &mut self,
        record: Record<'a>,
        schema: &'a Schema,
        value: Value<'a>,
        arena: &'a Arena,
    ) -> Result<Record<'a>, DataError> {
        let (conversion, name) = (&self.conversion, &self.field);
        if name.is_empty() {
            let converted = conversion.convert_field(value, schema, arena)?;
            let updated = self.schemas.get(schema, |schema| {
                Ok::<_, DataError>(Arc::new(conversion.target.schema(schema.optional)))
            })?;
            let updated = arena.pin_schema(updated);
            return Ok(with_datum(record, self.side, Some(updated), converted));
        }
        let data = require_struct_or_null(value, PURPOSE)?;
        let updated =
            self.schemas.get(schema, |schema| updated(schema, name, conversion, arena))?;
        let updated = arena.pin_schema(updated);
        let Some(data) = data else {
            return Ok(with_datum(record, self.side, Some(updated), Value::Null));
        };
        let mut values = room_for(data.schema.fields.len(), arena);
        for (index, field) in data.schema.fields.iter().enumerate() {
            let mut value = field_value(data, index, self.replace_null, arena);
            if *field.name == **name {
                value = conversion.convert_field(value, &field.schema, arena)?;
            }
            required(value, &updated.fields[index])?;
            values.push(value);
        }
        let data = arena.alloc(Struct { schema: updated, values: values.into_bump_slice() });
        Ok(with_datum(record, self.side, Some(updated), Value::Struct(data)))
    }
}

/// The schema with the field in its new form, its default converted.
fn updated(
    schema: &Schema,
    name: &str,
    conversion: &Conversion,
    arena: &Arena,
) -> Result<Arc<Schema>, DataError> {
    let mut updated = Schema { optional: schema.optional, ..copy_basics(schema) };
    for field in fields(schema)? {
        updated.fields.push(match *field.name == *name {
            false => field.clone(),
            true => Field {
                name: Arc::clone(&field.name),
                schema: Arc::new(conversion.target.schema(field.schema.optional)),
            },
        });
    }
    if let Some(OwnedValue::Struct { fields: values, .. }) = &schema.default {
        let mut converted = Vec::new();
        for (field, value) in schema.fields.iter().zip(values.iter()) {
            converted.push(match *field.name == *name {
                false => value.clone(),
                true => conversion
                    .convert_field(value.to_value(arena), &field.schema, arena)?
                    .to_owned_value(),
            });
        }
        let bare = Arc::new(updated.clone());
        updated.default = Some(OwnedValue::Struct { schema: bare, fields: converted.into() });
    }
    Ok(Arc::new(updated))
}

impl Transformation for TimestampConverter {
    fn apply<'a>(
        &mut self,
        record: Record<'a>,
        arena: &'a Arena,
    ) -> Result<Option<Record<'a>>, DataError> {
        let datum = datum(&record, self.side);
        match datum.schema {
            None => self.apply_schemaless(record, datum.value, arena).map(Some),
            Some(schema) => self.apply_with_schema(record, schema, datum.value, arena).map(Some),
        }
    }

    fn json_ops(&self) -> Option<JsonOps> {
        if self.field.is_empty() {
            return None;
        }
        let conversion = Rc::clone(&self.conversion);
        let call =
            Call::new(move |value, arena| conversion.convert(value, Form::of_value(value)?, arena));
        let conversion = Rc::clone(&self.conversion);
        let call = call.with_short_cut(move |time, text, out| conversion.of_text(time, text, out));
        let ops = vec![JsonOp::Convert { name: self.field.clone(), call }];
        Some(JsonOps { side: self.side, ops })
    }

    fn reads(&self) -> Reads {
        reads(self.side)
    }

    fn class_name(&self) -> &'static str {
        class_of(self.side)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_times_wrap_as_javas_do() {
        for (millis, day) in [(0, 0), (-1, -1), (DAY, 1), (i64::MAX, 106_751_991_167_i64 as i32)] {
            assert_eq!(day_of(millis).unwrap(), day, "{millis}");
        }
        assert!(day_of(i64::MIN).unwrap_err().message.contains("non-zero"));
    }
}
