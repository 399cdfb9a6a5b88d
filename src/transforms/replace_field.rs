//! ReplaceField: fields dropped, kept or renamed.

use std::sync::Arc;

use millrace_api::Config;
use millrace_api::config_def::{
    ConfigDef, ConfigError, ConfigKey, DefaultValue, Importance, Type, Validator, split_list,
};
use millrace_api::record::Record;
use millrace_api::transformation::{JsonOp, JsonOps, Reads, Side, Transformation};
use millrace_converters::{Arena, DataError, Schema, Struct, Value};

use crate::requirements::{
    REPLACE_NULL, datum, field_value, put, reads, replace_null_key, require_map, require_struct,
    room_for, with_datum,
};
use crate::schema_cache::{SchemaCache, add_field, copy_basics};
use crate::sides::sided;

const PURPOSE: &str = "field replacement";

sided!(ReplaceField, "ReplaceField");

fn config_def() -> ConfigDef {
    let key = |name: &'static str, documentation: &'static str| {
        ConfigKey::new(name, Type::List, DefaultValue::Of(""), Importance::Medium, documentation)
    };
    ConfigDef::new()
        .define(key(
            "exclude",
            "Fields to exclude. This takes precedence over the fields to include.",
        ))
        .define(key("include", "Fields to include. If specified, only these fields will be used."))
        .define(
            key("renames", "Field rename mappings.")
                .check(Validator::Custom(|text| renames(&split_list(text)).map(drop))),
        )
        .define(replace_null_key())
}

/// Old and new names; of two mappings of one name the last holds.
fn renames(mappings: &[String]) -> Result<Vec<(String, String)>, String> {
    let mut renames: Vec<(String, String)> = Vec::new();
    for mapping in mappings {
        // Java's split drops empty parts at the end.
        let parts: Vec<_> = mapping.trim_end_matches(':').split(':').collect();
        let [old, new] = parts[..] else {
            return Err(format!("Invalid rename mapping: {mapping}"));
        };
        renames.retain(|(known, _)| known != old);
        renames.push((old.to_owned(), new.to_owned()));
    }
    Ok(renames)
}

/// What becomes of a schema.
struct Plan {
    schema: Arc<Schema>,
    /// For each field of the new schema, the field of the old one that it comes from, or the name
    /// that Java would look for in vain.
    sources: Vec<Result<usize, String>>,
}

/// The transform; Debezium's drop fields with it too.
pub struct ReplaceField {
    side: Side,
    names: Names,
    replace_null: bool,
    plans: SchemaCache<Plan>,
}

struct Names {
    include: Vec<String>,
    exclude: Vec<String>,
    renames: Vec<(String, String)>,
}

impl Names {
    #[inline]
    fn keeps(&self, name: &str) -> bool {
        !self.exclude.iter().any(|one| one == name)
            && (self.include.is_empty() || self.include.iter().any(|one| one == name))
    }

    #[inline]
    fn renamed(&self, name: &str) -> Option<&str> {
        self.renames.iter().find(|(old, _)| old == name).map(|(_, new)| new.as_str())
    }

    #[inline]
    fn is_new_name(&self, name: &str) -> bool {
        self.renames.iter().any(|(_, new)| new == name)
    }

    fn plan(&self, schema: &Schema) -> Result<Plan, DataError> {
        let mut updated = copy_basics(schema);
        for field in schema.fields.iter().filter(|field| self.keeps(&field.name)) {
            let name = self.renamed(&field.name).unwrap_or(&field.name);
            add_field(&mut updated, name, Arc::clone(&field.schema))?;
        }
        // Looked for by the old name of the new name, as Java does, even where the field that
        // bears the new name was never renamed.
        let source = |name: &str| {
            let back = self.renames.iter().rev().find(|(_, new)| new == name);
            let old = back.map_or(name, |(old, _)| old);
            schema.field(old).map(|(index, _)| index).ok_or_else(|| old.to_owned())
        };
        let sources = updated.fields.iter().map(|field| source(&field.name)).collect();
        Ok(Plan { schema: Arc::new(updated), sources })
    }
}

impl ReplaceField {
    /// Drops those fields, as the class does with its defaults.
    pub fn excluding(side: Side, exclude: Vec<String>) -> Self {
        let names = Names { include: Vec::new(), exclude, renames: Vec::new() };
        Self { side, names, replace_null: true, plans: SchemaCache::default() }
    }

    /// Does it drop just those?
    pub fn excludes(&self, names: &[String]) -> bool {
        self.names.exclude == names
    }

    fn configure(config: &Config, side: Side) -> Result<Box<dyn Transformation>, Vec<ConfigError>> {
        let parsed = config_def().parse(config)?;
        Ok(Box::new(Self {
            side,
            names: Names {
                include: parsed.list("include"),
                exclude: parsed.list("exclude"),
                renames: renames(&parsed.list("renames")).unwrap_or_default(),
            },
            replace_null: parsed.bool(REPLACE_NULL),
            plans: SchemaCache::default(),
        }))
    }

    fn apply_schemaless<'a>(
        &self,
        record: Record<'a>,
        value: Value<'a>,
        arena: &'a Arena,
    ) -> Result<Record<'a>, DataError> {
        let entries = require_map(value, PURPOSE, arena)?;
        let names = &self.names;
        let mut map = room_for(entries.len(), arena);
        for (key, value) in entries {
            let Some(name) = key.as_str() else {
                return Err(DataError::new(format!(
                    "Only String keys supported for [{PURPOSE}], found: {}",
                    key.java_class()
                )));
            };
            if !names.keeps(name) {
                continue;
            }
            match names.renamed(name) {
                Some(new) => put(&mut map, arena.alloc_str(new), *value),
                // Two may only meet under a name that somebody was renamed to.
                None if names.is_new_name(name) => put(&mut map, name, *value),
                None => map.push((*key, *value)),
            }
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
        let names = &self.names;
        let plan = self.plans.get(data.schema, |schema| names.plan(schema))?;
        let schema = arena.pin_schema(&plan.schema);
        let mut values = room_for(plan.sources.len(), arena);
        for source in &plan.sources {
            match source {
                Ok(index) => values.push(field_value(data, *index, self.replace_null, arena)),
                Err(name) => {
                    return Err(DataError::new(format!("{name} is not a valid field name")));
                }
            }
        }
        let data = arena.alloc(Struct { schema, values: values.into_bump_slice() });
        Ok(with_datum(record, self.side, Some(schema), Value::Struct(data)))
    }
}

impl Transformation for ReplaceField {
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
        let op = JsonOp::Replace {
            include: self.names.include.clone(),
            exclude: self.names.exclude.clone(),
            renames: self.names.renames.clone(),
        };
        Some(JsonOps { side: self.side, ops: vec![op] })
    }

    fn reads(&self) -> Reads {
        reads(self.side)
    }

    fn class_name(&self) -> &'static str {
        class_of(self.side)
    }
}
