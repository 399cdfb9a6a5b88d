//! ValueToKey: a key made of fields of the value.

use std::rc::Rc;
use std::sync::Arc;

use millrace_api::config_def::{ConfigDef, ConfigKey, DefaultValue, Importance, Type, Validator};
use millrace_api::plugin::TransformationPlugin;
use millrace_api::record::Record;
use millrace_api::transformation::{Reads, Side, Sought, Transformation};
use millrace_converters::{Arena, DataError, KeptAt, Schema, SchemaAndValue, Struct, Value};

use crate::requirements::{
    REPLACE_NULL, datum, entry, field_value, member, members_sought, non_empty_list, put, reads,
    replace_null_key, require_map, require_struct, required, room_for,
};
use crate::schema_cache::{SchemaCache, add_field};

const PURPOSE: &str = "copying fields from value to key";

/// `org.apache.kafka.connect.transforms.ValueToKey`.
pub const VALUE_TO_KEY: TransformationPlugin = TransformationPlugin {
    class: "org.apache.kafka.connect.transforms.ValueToKey",
    config_def,
    new: |config| {
        let parsed = config_def().parse(config)?;
        let fields = parsed.list("fields");
        Ok(Box::new(ValueToKey {
            sought: members_sought(&fields),
            fields: Rc::new(fields),
            at: KeptAt::default(),
            replace_null: parsed.bool(REPLACE_NULL),
            plans: SchemaCache::default(),
        }))
    },
};

fn config_def() -> ConfigDef {
    ConfigDef::new()
        .define(
            ConfigKey::new(
                "fields",
                Type::List,
                DefaultValue::Required,
                Importance::High,
                "Field names on the record value to extract as the record key.",
            )
            .check(Validator::Custom(non_empty_list)),
        )
        .define(replace_null_key())
}

/// The key's schema, and the value's field that each of its fields comes from.
struct Plan {
    schema: Arc<Schema>,
    sources: Vec<usize>,
}

struct ValueToKey {
    fields: Rc<Vec<String>>,
    at: KeptAt,
    sought: Rc<Sought>,
    replace_null: bool,
    plans: SchemaCache<Plan>,
}

fn plan(schema: &Schema, fields: &[String]) -> Result<Plan, DataError> {
    let mut key = Schema::struct_of(Vec::new());
    let mut sources = Vec::new();
    for name in fields {
        let (index, field) = schema
            .field(name)
            .ok_or_else(|| DataError::new(format!("Field does not exist: {name}")))?;
        add_field(&mut key, name, Arc::clone(&field.schema))?;
        sources.push(index);
    }
    Ok(Plan { schema: Arc::new(key), sources })
}

impl Transformation for ValueToKey {
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
        let value = datum(record, Side::Value);
        if let (None, Value::Json(text)) = (value.schema, value.value)
            && let taken = self.sought.taken(text)
            && (taken.is_some() || text.src.first() == Some(&b'{'))
        {
            let fields = arena.keep_once(&self.at, &self.fields);
            let mut key = room_for(fields.len(), arena);
            for (at, name) in fields.iter().enumerate() {
                let found = member(text, taken.as_ref(), (at, name), arena)?;
                put(&mut key, name, found);
            }
            let value = Value::Map(key.into_bump_slice());
            record.key = SchemaAndValue { schema: None, value };
            return Ok(true);
        }
        if value.schema.is_none() {
            let entries = require_map(value.value, PURPOSE, arena)?;
            let fields = arena.keep_once(&self.at, &self.fields);
            let mut key = room_for(fields.len(), arena);
            for name in fields {
                put(&mut key, name, entry(entries, name));
            }
            let value = Value::Map(key.into_bump_slice());
            record.key = SchemaAndValue { schema: None, value };
            return Ok(true);
        }
        let data = require_struct(value.value, PURPOSE)?;
        let fields = &self.fields;
        let plan = self.plans.get(data.schema, |schema| plan(schema, fields))?;
        let mut values = room_for(plan.sources.len(), arena);
        for (source, field) in plan.sources.iter().zip(&plan.schema.fields) {
            let value = field_value(data, *source, self.replace_null, arena);
            required(value, field)?;
            values.push(value);
        }
        let schema = arena.pin_schema(&plan.schema);
        let key = arena.alloc(Struct { schema, values: values.into_bump_slice() });
        record.key = SchemaAndValue { schema: Some(schema), value: Value::Struct(key) };
        Ok(true)
    }

    fn takes_text(&self) -> bool {
        true
    }

    fn sought(&self, side: Side) -> Option<Rc<Sought>> {
        (side == Side::Value).then(|| Rc::clone(&self.sought))
    }

    fn stands_beside(&self, side: Side) -> bool {
        side == Side::Value
    }

    fn reads(&self) -> Reads {
        reads(Side::Value)
    }

    fn class_name(&self) -> &'static str {
        VALUE_TO_KEY.class
    }
}
