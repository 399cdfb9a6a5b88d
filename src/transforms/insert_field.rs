//! InsertField: the record's metadata or a fixed text as fields of its key or value.

use std::sync::Arc;

use millrace_api::Config;
use millrace_api::config_def::{
    ConfigDef, ConfigError, ConfigKey, DefaultValue, Importance, Parsed, Type,
};
use millrace_api::record::Record;
use millrace_api::transformation::{JsonOp, JsonOps, Reads, Side, Transformation};
use millrace_converters::json::patch::Inserted;
use millrace_converters::{Arena, DataError, Schema, SchemaType, Struct, Value};

use crate::requirements::{
    REPLACE_NULL, datum, field_value, put, reads, replace_null_key, require_map, require_struct,
    room_for, with_datum,
};
use crate::schema_cache::{SchemaCache, add_field, copy_basics};
use crate::sides::sided;

const PURPOSE: &str = "field insertion";
const STATIC_FIELD: &str = "static.field";
const STATIC_VALUE: &str = "static.value";

sided!(InsertField, "InsertField");

fn config_def() -> ConfigDef {
    let key = |name: &'static str, documentation: &'static str| {
        ConfigKey::new(name, Type::String, DefaultValue::Null, Importance::Medium, documentation)
    };
    ConfigDef::new()
        .define(key(
            "topic.field",
            "Field name for Kafka topic. Suffix with <code>!</code> to make this a required field, \
             or <code>?</code> to keep it optional (the default).",
        ))
        .define(key(
            "partition.field",
            "Field name for Kafka partition. Suffix with <code>!</code> to make this a required \
             field, or <code>?</code> to keep it optional (the default).",
        ))
        .define(key(
            "offset.field",
            "Field name for Kafka offset - only applicable to sink connectors.<br/>Suffix with \
             <code>!</code> to make this a required field, or <code>?</code> to keep it optional \
             (the default).",
        ))
        .define(key(
            "timestamp.field",
            "Field name for record timestamp. Suffix with <code>!</code> to make this a required \
             field, or <code>?</code> to keep it optional (the default).",
        ))
        .define(key(
            STATIC_FIELD,
            "Field name for static data field. Suffix with <code>!</code> to make this a required \
             field, or <code>?</code> to keep it optional (the default).",
        ))
        .define(key(STATIC_VALUE, "Static field value, if field name configured."))
        .define(replace_null_key())
}

/// One field to be added.
struct Insertion {
    name: String,
    optional: bool,
    what: Inserted,
}

impl Insertion {
    fn parse(spec: &str, what: Inserted) -> Self {
        let (name, optional) = match (spec.strip_suffix('?'), spec.strip_suffix('!')) {
            (Some(name), _) => (name, true),
            (None, Some(name)) => (name, false),
            (None, None) => (spec, true),
        };
        Self { name: name.to_owned(), optional, what }
    }

    fn schema(&self) -> Schema {
        let schema = match self.what {
            Inserted::Static(_) | Inserted::Topic => Schema::new(SchemaType::String),
            Inserted::Partition => Schema::new(SchemaType::Int32),
            Inserted::Offset => Schema::new(SchemaType::Int64),
            Inserted::Timestamp => Schema::timestamp(),
        };
        Schema { optional: self.optional, ..schema }
    }

    /// The value of this record; `None` is skipped.
    #[inline]
    fn value<'a>(
        &self,
        record: &Record<'a>,
        arena: &'a Arena,
    ) -> Result<Option<Value<'a>>, DataError> {
        Ok(match &self.what {
            Inserted::Static(text) => Some(Value::Str(arena.alloc_str(text))),
            Inserted::Topic => Some(Value::Str(record.topic)),
            Inserted::Partition => record.partition.map(Value::Int32),
            Inserted::Timestamp => record.timestamp.map(Value::Timestamp),
            Inserted::Offset => match record.offset() {
                Some(offset) => Some(Value::Int64(offset)),
                None => {
                    return Err(DataError::new(format!(
                        "Only SinkRecord supported for [{PURPOSE}], found: \
                         org.apache.kafka.connect.source.SourceRecord"
                    )));
                }
            },
        })
    }
}

struct InsertField {
    side: Side,
    insertions: Vec<Insertion>,
    replace_null: bool,
    schemas: SchemaCache<Arc<Schema>>,
}

impl InsertField {
    fn configure(config: &Config, side: Side) -> Result<Box<dyn Transformation>, Vec<ConfigError>> {
        let parsed = config_def().parse(config)?;
        Ok(Box::new(Self {
            side,
            insertions: insertions(&parsed).map_err(|error| vec![error])?,
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
        let entries = require_map(value, PURPOSE, arena)?;
        let mut map = room_for(entries.len() + self.insertions.len(), arena);
        map.extend_from_slice_copy(entries);
        for insertion in &self.insertions {
            let Some(mut value) = insertion.value(&record, arena)? else { continue };
            if let Value::Timestamp(millis) = value {
                value = Value::Int64(millis);
            }
            put(&mut map, arena.alloc_str(&insertion.name), value);
        }
        Ok(with_datum(record, self.side, None, Value::Map(map.into_bump_slice())))
    }

    fn apply_with_schema<'a>(
        &mut self,
        record: Record<'a>,
        value: Value<'a>,
        arena: &'a Arena,
    ) -> Result<Record<'a>, DataError> {
        let data = require_struct(value, PURPOSE)?;
        let insertions = &self.insertions;
        let schema = self.schemas.get(data.schema, |schema| updated(schema, insertions))?;
        let schema = arena.pin_schema(schema);
        let mut values = room_for(schema.fields.len(), arena);
        for index in 0..data.schema.fields.len() {
            values.push(field_value(data, index, self.replace_null, arena));
        }
        for insertion in &self.insertions {
            values.push(insertion.value(&record, arena)?.unwrap_or_default());
        }
        let data = arena.alloc(Struct { schema, values: values.into_bump_slice() });
        Ok(with_datum(record, self.side, Some(schema), Value::Struct(data)))
    }
}

fn insertions(parsed: &Parsed) -> Result<Vec<Insertion>, ConfigError> {
    let mut insertions = Vec::new();
    for (key, what) in [
        ("topic.field", Inserted::Topic),
        ("partition.field", Inserted::Partition),
        ("offset.field", Inserted::Offset),
        ("timestamp.field", Inserted::Timestamp),
    ] {
        insertions.extend(parsed.get(key).map(|spec| Insertion::parse(spec, what)));
    }
    if let Some(spec) = parsed.get(STATIC_FIELD) {
        let Some(text) = parsed.get(STATIC_VALUE) else {
            let name = Insertion::parse(spec, Inserted::Topic).name;
            let why = format!("No value specified for static field: {name}");
            return Err(ConfigError::invalid(STATIC_VALUE, "null", &why));
        };
        insertions.push(Insertion::parse(spec, Inserted::Static(text.to_owned())));
    }
    if insertions.is_empty() {
        return Err(ConfigError {
            key: "topic.field".to_owned(),
            message: "No field insertion configured".to_owned(),
        });
    }
    Ok(insertions)
}

fn updated(schema: &Schema, insertions: &[Insertion]) -> Result<Arc<Schema>, DataError> {
    let mut updated = copy_basics(schema);
    updated.fields.clone_from(&schema.fields);
    for insertion in insertions {
        add_field(&mut updated, &insertion.name, Arc::new(insertion.schema()))?;
    }
    Ok(Arc::new(updated))
}

impl Transformation for InsertField {
    fn apply<'a>(
        &mut self,
        record: Record<'a>,
        arena: &'a Arena,
    ) -> Result<Option<Record<'a>>, DataError> {
        let datum = datum(&record, self.side);
        match (datum.value, datum.schema) {
            (Value::Null, _) => Ok(Some(record)),
            (value, None) => self.apply_schemaless(record, value, arena).map(Some),
            (value, Some(_)) => self.apply_with_schema(record, value, arena).map(Some),
        }
    }

    fn json_ops(&self) -> Option<JsonOps> {
        let op =
            |one: &Insertion| JsonOp::Insert { name: one.name.clone(), what: one.what.clone() };
        Some(JsonOps { side: self.side, ops: self.insertions.iter().map(op).collect() })
    }

    fn reads(&self) -> Reads {
        reads(self.side)
    }

    fn class_name(&self) -> &'static str {
        class_of(self.side)
    }
}
