//! ByLogicalTableRouter: change events of several tables into one topic, their keys told apart.

use std::sync::Arc;

use millrace_api::Config;
use millrace_api::config_def::{
    ConfigDef, ConfigError, ConfigKey, DefaultValue, Importance, Type, Validator,
};
use millrace_api::plugin::TransformationPlugin;
use millrace_api::record::Record;
use millrace_api::transformation::{Side, Transformation};
use millrace_converters::{Arena, DataError, Schema, SchemaAndValue, SchemaType, Struct, Value};

use super::envelope::{is_envelope, null_pointer};
use super::name_adjuster::{Adjustment, adjustment_key};
use crate::java_regex::Pattern;
use crate::regex_router::RegexRouter;
use crate::requirements::{
    datum, field_value, fields, require_struct, required, room_for, with_datum,
};
use crate::schema_cache::{SchemaCache, add_field};

const PURPOSE: &str = "Updating schema";
const TOPIC_REGEX: &str = "topic.regex";
const KEY_REGEX: &str = "key.field.regex";
const KEY_REPLACEMENT: &str = "key.field.replacement";
const CACHE_SIZE: &str = "logical.table.cache.size";
const ADJUSTMENT: &str = "schema.name.adjustment.mode";

/// `io.debezium.transforms.ByLogicalTableRouter`.
pub const BY_LOGICAL_TABLE_ROUTER: TransformationPlugin = TransformationPlugin {
    class: "io.debezium.transforms.ByLogicalTableRouter",
    config_def,
    new: configure,
};

fn config_def() -> ConfigDef {
    let key = |name: &'static str, default, documentation: &'static str| {
        ConfigKey::new(name, Type::String, default, Importance::Low, documentation)
    };
    let regex = Validator::Custom(|text| Pattern::new(text).map(drop));
    let some = Validator::Custom(|text| match text.is_empty() {
        true => Err("A value is required".to_owned()),
        false => Pattern::new(text).map(drop),
    });
    ConfigDef::new()
        .define(
            key(TOPIC_REGEX, DefaultValue::Required, "What a topic must be to be routed.")
                .check(some),
        )
        .define(
            key(
                "topic.replacement",
                DefaultValue::Required,
                "The new topic, with the groups of topic.regex.",
            )
            .check(Validator::NonEmpty),
        )
        .define(ConfigKey::new(
            "key.enforce.uniqueness",
            Type::Boolean,
            DefaultValue::Of("true"),
            Importance::Low,
            "Whether a field that tells the table is added to each key, since keys of several \
             tables may be the same.",
        ))
        .define(
            key(
                KEY_REGEX,
                DefaultValue::Null,
                "What of the old topic becomes that field's value; without it all of it.",
            )
            .check(regex),
        )
        .define(key(
            "key.field.name",
            DefaultValue::Of("__dbz__physicalTableIdentifier"),
            "The name of that field.",
        ))
        .define(key(
            KEY_REPLACEMENT,
            DefaultValue::Null,
            "That field's value, with the groups of key.field.regex.",
        ))
        .define(adjustment_key(
            ADJUSTMENT,
            "How the names of schemas, which are made of the topic, are made fit for a converter: \
             <code>avro</code>, <code>avro_unicode</code> or <code>none</code>.",
        ))
        .define(
            ConfigKey::new(
                CACHE_SIZE,
                Type::Int,
                DefaultValue::Of("16"),
                Importance::Low,
                "As many new schemas are remembered for keys, and as many for values.",
            )
            .check(Validator::Between(1, 10_000)),
        )
}

fn configure(config: &Config) -> Result<Box<dyn Transformation>, Vec<ConfigError>> {
    let parsed = config_def().parse(config)?;
    let refused = |key: &str, why: String| ConfigError::invalid(key, parsed.string(key), &why);
    let pattern = |key: &str| Pattern::new(parsed.string(key)).map_err(|why| refused(key, why));
    let topics = pattern(TOPIC_REGEX).map_err(|error| vec![error])?;
    let replacement = parsed.get(KEY_REPLACEMENT).unwrap_or_default();
    let tables = match parsed.get(KEY_REGEX).filter(|text| !text.is_empty()) {
        None => None,
        Some(_) if replacement.is_empty() => {
            let message = format!(
                "Invalid value null for configuration {KEY_REPLACEMENT}: {KEY_REPLACEMENT} must \
                 be non-empty if {KEY_REGEX} is set."
            );
            return Err(vec![ConfigError { key: KEY_REPLACEMENT.to_owned(), message }]);
        }
        Some(_) => {
            Some(RegexRouter::new(pattern(KEY_REGEX).map_err(|error| vec![error])?, replacement))
        }
    };
    let size = parsed.long(CACHE_SIZE) as usize;
    Ok(Box::new(ByLogicalTableRouter {
        topics: RegexRouter::new(topics, parsed.string("topic.replacement")),
        tables,
        field: parsed
            .bool("key.enforce.uniqueness")
            .then(|| parsed.string("key.field.name").into()),
        adjustment: Adjustment::of(parsed.string(ADJUSTMENT)),
        keys: SchemaCache::of(size),
        envelopes: SchemaCache::of(size),
    }))
}

/// An envelope's new schema, and that of the rows in it.
struct Renamed {
    envelope: Arc<Schema>,
    row: Arc<Schema>,
}

struct ByLogicalTableRouter {
    topics: RegexRouter,
    /// The value of the key's new field, from the old topic.
    tables: Option<RegexRouter>,
    field: Option<String>,
    adjustment: Adjustment,
    keys: SchemaCache<Arc<Schema>>,
    envelopes: SchemaCache<Renamed>,
}

/// The schema under another name, without its fields and its default.
fn renamed(schema: &Schema, name: String) -> Schema {
    Schema {
        optional: schema.optional,
        version: schema.version,
        doc: schema.doc.clone(),
        parameters: schema.parameters.clone(),
        ..Schema::struct_of(Vec::new()).named(&name)
    }
}

impl ByLogicalTableRouter {
    fn key<'a>(
        &mut self,
        key: Value<'a>,
        old_topic: &'a str,
        topic: &str,
        arena: &'a Arena,
    ) -> Result<SchemaAndValue<'a>, DataError> {
        let data = require_struct(key, PURPOSE)?;
        let (field, adjustment) = (self.field.as_deref(), self.adjustment);
        let schema = self.keys.get(data.schema, |schema| {
            let mut key = renamed(schema, adjustment.schema_name(&format!("{topic}.Key")));
            key.fields.clone_from(&schema.fields);
            if let Some(field) = field {
                add_field(&mut key, field, Arc::new(Schema::new(SchemaType::String)))?;
            }
            Ok::<_, DataError>(Arc::new(key))
        })?;
        let schema = arena.pin_schema(schema);
        let mut values = values(data, schema, arena)?;
        if field.is_some() {
            let table = match &mut self.tables {
                Some(tables) => tables.route(old_topic)?.map(|table| arena.alloc_str(table)),
                None => None,
            };
            values.push(Value::Str(table.unwrap_or(old_topic)));
        }
        let data = arena.alloc(Struct { schema, values: values.into_bump_slice() });
        Ok(SchemaAndValue { schema: Some(schema), value: Value::Struct(data) })
    }

    fn envelope<'a>(
        &mut self,
        data: &'a Struct<'a>,
        topic: &str,
        arena: &'a Arena,
    ) -> Result<SchemaAndValue<'a>, DataError> {
        let adjustment = self.adjustment;
        let new = self.envelopes.get(data.schema, |schema| rename(schema, topic, adjustment))?;
        let schema = arena.pin_schema(&new.envelope);
        let row_schema = arena.pin_schema(&new.row);
        let mut all = room_for(schema.fields.len(), arena);
        for (index, field) in schema.fields.iter().enumerate() {
            let mut value = field_value(data, index, true, arena);
            if is_row(&field.name) && !value.is_null() {
                let row = require_struct(value, PURPOSE)?;
                let values = values(row, row_schema, arena)?.into_bump_slice();
                value = Value::Struct(arena.alloc(Struct { schema: row_schema, values }));
            }
            required(value, field)?;
            all.push(value);
        }
        let data = arena.alloc(Struct { schema, values: all.into_bump_slice() });
        Ok(SchemaAndValue { schema: Some(schema), value: Value::Struct(data) })
    }
}

fn is_row(name: &str) -> bool {
    matches!(name, "before" | "after")
}

fn rename(schema: &Schema, topic: &str, adjustment: Adjustment) -> Result<Renamed, DataError> {
    let Some((_, before)) = schema.field("before") else {
        return Err(null_pointer("the change event has no field \"before\"".to_owned()));
    };
    let name = adjustment.schema_name(&format!("{topic}.Value"));
    let mut row = renamed(&before.schema, name);
    row.fields = fields(&before.schema)?.to_vec();
    let row = Arc::new(row);
    let mut envelope = renamed(schema, adjustment.schema_name(&format!("{topic}.Envelope")));
    for field in &schema.fields {
        let schema = if is_row(&field.name) { &row } else { &field.schema };
        add_field(&mut envelope, &field.name, Arc::clone(schema))?;
    }
    Ok(Renamed { envelope: Arc::new(envelope), row })
}

/// The values for the same fields of another schema.
fn values<'a>(
    data: &Struct<'a>,
    schema: &Schema,
    arena: &'a Arena,
) -> Result<bumpalo::collections::Vec<'a, Value<'a>>, DataError> {
    let mut values = room_for(schema.fields.len(), arena);
    for (index, field) in data.schema.fields.iter().enumerate() {
        let value = field_value(data, index, true, arena);
        // Of rows, `after` is written with the schema of `before`.
        if schema.fields.get(index).is_none_or(|new| new.name != field.name) {
            return Err(DataError::new(format!("{} is not a valid field name", field.name)));
        }
        required(value, field)?;
        values.push(value);
    }
    Ok(values)
}

impl Transformation for ByLogicalTableRouter {
    fn apply<'a>(
        &mut self,
        mut record: Record<'a>,
        arena: &'a Arena,
    ) -> Result<Option<Record<'a>>, DataError> {
        let old_topic = record.topic;
        // A replacement that leaves nothing leaves the record as it is.
        let route = self.topics.route(old_topic)?.filter(|topic| !topic.is_empty());
        let Some(topic) = route.map(|topic| arena.alloc_str(topic)) else {
            return Ok(Some(record));
        };
        record.topic = topic;
        let key = datum(&record, Side::Key);
        record.key = match key.value {
            // A table without a primary key.
            Value::Null => SchemaAndValue::default(),
            value => self.key(value, old_topic, topic, arena)?,
        };
        let value = datum(&record, Side::Value);
        if value.value.is_null() || !is_envelope(value.schema) {
            return Ok(Some(record));
        }
        let data = require_struct(value.value, PURPOSE)?;
        let new = self.envelope(data, topic, arena)?;
        Ok(Some(with_datum(record, Side::Value, new.schema, new.value)))
    }

    fn class_name(&self) -> &'static str {
        BY_LOGICAL_TABLE_ROUTER.class
    }
}
