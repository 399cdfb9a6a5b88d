//! HeaderFrom: fields of the key or value copied or moved into headers.

use std::rc::Rc;
use std::sync::Arc;

use millrace_api::Config;
use millrace_api::config_def::{
    ConfigDef, ConfigError, ConfigKey, DefaultValue, Importance, Type, Validator,
};
use millrace_api::record::{Header, Record};
use millrace_api::transformation::{Reads, Side, Sought, Transformation};
use millrace_converters::{Arena, DataError, KeptAt, Schema, SchemaAndValue, Struct, Value};

use crate::requirements::{
    REPLACE_NULL, datum, entry, field_value, fields, member, members_sought, non_empty_list,
    put_datum, replace_null_key, require_map, require_struct, required, room_for,
};
use crate::schema_cache::{SchemaCache, copy_basics};
use crate::sides::sided;

sided!(HeaderFrom, "HeaderFrom");

fn config_def() -> ConfigDef {
    let list = |name: &'static str, documentation: &'static str| {
        ConfigKey::new(name, Type::List, DefaultValue::Required, Importance::High, documentation)
            .check(Validator::Custom(non_empty_list))
    };
    let operation = ConfigKey::new(
        "operation",
        Type::String,
        DefaultValue::Required,
        Importance::High,
        "Either <code>move</code> if the fields are to be moved to the headers (removed from the \
         key/value), or <code>copy</code> if the fields are to be copied to the headers (retained \
         in the key/value).",
    )
    .check(Validator::OneOf(&["move", "copy"]));
    ConfigDef::new()
        .define(list(
            "fields",
            "Field names in the record whose values are to be copied or moved to headers.",
        ))
        .define(list(
            "headers",
            "Header names, in the same order as the field names listed in the fields configuration \
             property.",
        ))
        .define(operation)
        .define(replace_null_key())
}

/// What is left of a schema when the fields are moved, and where its fields come from.
struct Rest {
    schema: Arc<Schema>,
    sources: Vec<usize>,
}

struct HeaderFrom {
    side: Side,
    /// Field and header.
    pairs: Rc<Vec<(String, String)>>,
    at: KeptAt,
    sought: Rc<Sought>,
    moves: bool,
    purpose: &'static str,
    replace_null: bool,
    rests: SchemaCache<Rest>,
}

impl HeaderFrom {
    fn configure(config: &Config, side: Side) -> Result<Box<dyn Transformation>, Vec<ConfigError>> {
        let parsed = config_def().parse(config)?;
        let (fields, headers) = (parsed.list("fields"), parsed.list("headers"));
        if fields.len() != headers.len() {
            let why = "'fields' config must have the same number of elements as 'headers' config.";
            return Err(vec![ConfigError { key: "headers".to_owned(), message: why.to_owned() }]);
        }
        let moves = parsed.string("operation") == "move";
        Ok(Box::new(Self {
            side,
            sought: members_sought(&fields),
            pairs: Rc::new(fields.into_iter().zip(headers).collect()),
            at: KeptAt::default(),
            moves,
            purpose: if moves { "header move" } else { "header copy" },
            replace_null: parsed.bool(REPLACE_NULL),
            rests: SchemaCache::default(),
        }))
    }

    fn is_moved(&self, name: Option<&str>) -> bool {
        self.moves && self.pairs.iter().any(|(field, _)| Some(field.as_str()) == name)
    }

    fn apply_schemaless<'a>(
        &self,
        record: &mut Record<'a>,
        value: Value<'a>,
        arena: &'a Arena,
    ) -> Result<(), DataError> {
        let pairs = arena.keep_once(&self.at, &self.pairs);
        let mut headers = record.headers;
        if let Value::Json(text) = value
            && let taken = self.sought.taken(text)
            && (taken.is_some() || text.src.first() == Some(&b'{'))
            && !self.moves
        {
            for (at, (field, name)) in pairs.iter().enumerate() {
                let value = member(text, taken.as_ref(), (at, field), arena)?;
                let datum = SchemaAndValue { schema: None, value };
                headers = arena.appended(headers, Header { name, datum });
            }
            record.headers = headers;
            return Ok(());
        }
        let entries = require_map(value, self.purpose, arena)?;
        for (field, name) in pairs {
            let datum = SchemaAndValue { schema: None, value: entry(entries, field) };
            headers = arena.appended(headers, Header { name, datum });
        }
        let mut rest = room_for(entries.len(), arena);
        rest.extend(entries.iter().filter(|(key, _)| !self.is_moved(key.as_str())).copied());
        put_datum(record, self.side, None, Value::Map(rest.into_bump_slice()));
        record.headers = headers;
        Ok(())
    }

    fn apply_with_schema<'a>(
        &mut self,
        record: &mut Record<'a>,
        schema: &'a Schema,
        value: Value<'a>,
        arena: &'a Arena,
    ) -> Result<(), DataError> {
        let data = require_struct(value, self.purpose)?;
        let left = if self.moves { Some(self.rest(schema, data, arena)?) } else { None };
        let mut headers = record.headers;
        for (field, name) in arena.keep_once(&self.at, &self.pairs) {
            let Some((index, field)) = data.schema.field(field) else {
                return Err(no_field(field));
            };
            let value = field_value(data, index, self.replace_null, arena);
            let datum = SchemaAndValue { schema: Some(&field.schema), value };
            headers = arena.appended(headers, Header { name, datum });
        }
        record.headers = headers;
        if let Some(left) = left {
            put_datum(record, self.side, Some(left.schema), Value::Struct(left));
        }
        Ok(())
    }

    fn rest<'a>(
        &mut self,
        schema: &Schema,
        data: &Struct<'a>,
        arena: &'a Arena,
    ) -> Result<&'a Struct<'a>, DataError> {
        let pairs = &self.pairs;
        let rest = self.rests.get(schema, |schema| {
            let mut rest = copy_basics(schema);
            let mut sources = Vec::new();
            for (index, field) in fields(schema)?.iter().enumerate() {
                if !pairs.iter().any(|(name, _)| **name == *field.name) {
                    rest.fields.push(field.clone());
                    sources.push(index);
                }
            }
            Ok::<_, DataError>(Rest { schema: Arc::new(rest), sources })
        })?;
        let mut values = room_for(rest.sources.len(), arena);
        for (source, field) in rest.sources.iter().zip(&rest.schema.fields) {
            let value = field_value(data, *source, self.replace_null, arena);
            required(value, field)?;
            values.push(value);
        }
        let schema = arena.pin_schema(&rest.schema);
        Ok(arena.alloc(Struct { schema, values: values.into_bump_slice() }))
    }
}

/// Java looks for the schema of the field before it knows whether there is one.
#[cold]
fn no_field(name: &str) -> DataError {
    DataError::with_class(
        "java.lang.NullPointerException",
        format!("there is no field \"{name}\" to make a header of"),
    )
}

impl Transformation for HeaderFrom {
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
        let datum = datum(record, self.side);
        match datum.schema {
            None => self.apply_schemaless(record, datum.value, arena)?,
            Some(schema) => self.apply_with_schema(record, schema, datum.value, arena)?,
        }
        Ok(true)
    }

    /// What is moved leaves a hole in the record.
    fn takes_text(&self) -> bool {
        !self.moves
    }

    fn sought(&self, side: Side) -> Option<Rc<Sought>> {
        (side == self.side && !self.moves).then(|| Rc::clone(&self.sought))
    }

    fn stands_beside(&self, side: Side) -> bool {
        side != self.side || !self.moves
    }

    fn reads(&self) -> Reads {
        Reads { headers: true, ..crate::requirements::reads(self.side) }
    }

    fn class_name(&self) -> &'static str {
        class_of(self.side)
    }
}
