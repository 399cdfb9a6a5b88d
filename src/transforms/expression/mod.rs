//! `millrace.Expression`: fields set, records dropped, topics and headers chosen by expressions of
//! the Common Expression Language (CEL).
//!
//! [`compile`] makes a tree of [`node`]s of a text, once; [`eval`] evaluates it over the borrowed
//! record. JSON text stays text: only the members that expressions look at are parsed, and what is
//! set is an edit. Of a Struct the result's schema is derived from its schema ([`infer`]).

mod compare;
pub mod compile;
pub mod eval;
pub mod fault;
mod functions;
mod infer;
mod node;
pub mod subject;
#[cfg(test)]
mod tests;

use std::rc::Rc;
use std::sync::Arc;

use millrace_api::Config;
use millrace_api::config_def::{ConfigDef, ConfigError, ConfigKey, DefaultValue, Importance, Type};
use millrace_api::plugin::TransformationPlugin;
use millrace_api::record::{Header, Record};
use millrace_api::transformation::{Reads, Side, Transformation};
use millrace_converters::json::sought::Sought;
use millrace_converters::json::{DecimalFormat, WriteOptions, write_value};
use millrace_converters::{
    Arena, DataError, Field, JsonText, Schema, SchemaAndValue, SchemaType, Struct, Value,
};

use self::compile::{Uses, compile};
use self::eval::Env;
use self::fault::type_name;
use self::infer::{Inference, fitted};
pub use self::node::Node;
use self::subject::{Prepared, SoughtInBoth, Text, written_name};
use crate::requirements::{field_value, put, require_map, require_struct, room_for};
use crate::schema_cache::{SchemaCache, copy_basics};

const PURPOSE: &str = "field setting by expression";
const DROP: &str = "drop";
const TOPIC: &str = "topic";
const SET: &str = "set.";
const HEADER: &str = "header.";
/// As Kafka has it.
const LONGEST_TOPIC: usize = 249;

/// Sets fields of the value.
pub const PLAIN: TransformationPlugin = TransformationPlugin {
    class: "millrace.Expression",
    config_def,
    new: |config| Expression::configure(config, Side::Value, PLAIN.class),
};

/// Sets fields of the key.
pub const KEY: TransformationPlugin = TransformationPlugin {
    class: "millrace.Expression$Key",
    config_def,
    new: |config| Expression::configure(config, Side::Key, KEY.class),
};

/// Sets fields of the value.
pub const VALUE: TransformationPlugin = TransformationPlugin {
    class: "millrace.Expression$Value",
    config_def,
    new: |config| Expression::configure(config, Side::Value, VALUE.class),
};

fn config_def() -> ConfigDef {
    let key = |name: &'static str, documentation: &'static str| {
        ConfigKey::new(name, Type::String, DefaultValue::Null, Importance::High, documentation)
    };
    ConfigDef::new()
        .define(key(
            DROP,
            "A CEL expression; records for which it is true are dropped. Besides, \
             <code>set.&lt;field&gt;</code> sets a field of the key or value to an expression's \
             value, and <code>header.&lt;name&gt;</code> a header.",
        ))
        .define(key(TOPIC, "A CEL expression for the topic's name."))
        .checked(|config| Rules::compile(config).err().unwrap_or_default())
}

/// An expression and the key that it was configured under.
struct Rule {
    key: String,
    text: String,
    node: Node,
}

impl Rule {
    fn compile(key: &str, text: &str, uses: &mut Uses) -> Result<Self, ConfigError> {
        let text = text.trim();
        let node = compile(text, uses).map_err(|why| ConfigError::invalid(key, text, &why))?;
        Ok(Self { key: key.to_owned(), text: text.to_owned(), node })
    }

    fn eval<'a>(&self, env: &Env<'_, 'a>) -> Result<Value<'a>, DataError> {
        env.value_of(&self.node).map_err(|fault| self.failed(fault))
    }

    /// The same where it stands, or in `room`.
    fn see<'v, 'a>(
        &self,
        env: &'v Env<'_, 'a>,
        room: &'v mut Value<'a>,
    ) -> Result<&'v Value<'a>, DataError> {
        env.see_value_of(&self.node, room).map_err(|fault| self.failed(fault))
    }

    #[cold]
    fn failed(&self, why: impl std::fmt::Display) -> DataError {
        DataError::new(format!("{}={}: {why}", self.key, self.text))
    }
}

/// What is configured, all of it evaluated on the record as it came.
struct Rules {
    drop: Option<Rule>,
    topic: Option<Rule>,
    /// Field, or header, and its expression; in the order of the names.
    sets: Vec<(Arc<str>, Rule)>,
    headers: Vec<(String, Rule)>,
    uses: Uses,
}

impl Rules {
    fn compile(config: &Config) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut rules = Self {
            drop: None,
            topic: None,
            sets: Vec::new(),
            headers: Vec::new(),
            uses: Uses::default(),
        };
        // The framework's, which says itself what is wrong with it.
        for (key, text) in config.iter().filter(|(key, _)| *key != "plugin.version") {
            let named = key.strip_prefix(SET).or_else(|| key.strip_prefix(HEADER));
            if !matches!(key.as_str(), DROP | TOPIC) && named.is_none() {
                errors.push(unknown(key, text));
                continue;
            }
            if named == Some("") {
                errors.push(ConfigError::invalid(key, text, "the name is missing in the key"));
                continue;
            }
            match Rule::compile(key, text, &mut rules.uses) {
                Err(error) => errors.push(error),
                Ok(rule) => match (key.as_str(), named) {
                    (DROP, _) => rules.drop = Some(rule),
                    (TOPIC, _) => rules.topic = Some(rule),
                    (key, Some(name)) if key.starts_with(SET) => {
                        rules.sets.push((name.into(), rule));
                    }
                    (_, name) => rules.headers.push((name.unwrap_or_default().to_owned(), rule)),
                },
            }
        }
        let nothing = rules.drop.is_none()
            && rules.topic.is_none()
            && rules.sets.is_empty()
            && rules.headers.is_empty();
        if errors.is_empty() && nothing {
            let message = "No expression is configured: set.<field>, drop, topic or header.<name>";
            errors.push(ConfigError { key: DROP.to_owned(), message: message.to_owned() });
        }
        if errors.is_empty() { Ok(rules) } else { Err(errors) }
    }
}

/// Anything else is a misspelling that would change nothing, silently.
fn unknown(key: &str, text: &str) -> ConfigError {
    let why = "unknown key; there are set.<field>, drop, topic and header.<name>";
    ConfigError::invalid(key, text, why)
}

/// The result's schema for one input schema.
struct Derived {
    schema: Arc<Schema>,
    /// Of each field that is set, its place in the schema.
    places: Vec<usize>,
}

struct Expression {
    side: Side,
    class: &'static str,
    rules: Rules,
    names: Vec<Arc<str>>,
    /// The same as a document has them: quoted, with the colon behind.
    written_names: Vec<Vec<u8>>,
    sought: SoughtInBoth,
    schemas: SchemaCache<Derived>,
    header_schemas: [Arc<Schema>; 5],
    scratch: Vec<u8>,
}

impl Expression {
    fn configure(
        config: &Config,
        side: Side,
        class: &'static str,
    ) -> Result<Box<dyn Transformation>, Vec<ConfigError>> {
        let rules = Rules::compile(config)?;
        let optional = |type_| Arc::new(Schema::new(type_).optional());
        let names: Vec<_> = rules.sets.iter().map(|(name, _)| Arc::clone(name)).collect();
        Ok(Box::new(Self {
            side,
            class,
            sought: SoughtInBoth::new(&rules.uses, (side, &names), None),
            written_names: names.iter().map(|name| written_name(name)).collect(),
            names,
            rules,
            schemas: SchemaCache::default(),
            header_schemas: [
                optional(SchemaType::Boolean),
                optional(SchemaType::Int64),
                optional(SchemaType::Float64),
                optional(SchemaType::String),
                optional(SchemaType::Bytes),
            ],
            scratch: Vec::new(),
        }))
    }

    /// The headers with those of the rules put last, in place of others of their names; null takes
    /// a header away.
    fn headers<'a>(
        &self,
        record: &Record<'a>,
        env: &Env<'_, 'a>,
        arena: &'a Arena,
    ) -> Result<&'a [Header<'a>], DataError> {
        let rules = &self.rules.headers;
        let mut headers = room_for(record.headers.len() + rules.len(), arena);
        let kept = record.headers.iter();
        headers.extend(kept.filter(|header| rules.iter().all(|(name, _)| name != header.name)));
        for (name, rule) in rules {
            let value = rule.eval(env)?;
            let [boolean, int, double, string, bytes] = &self.header_schemas;
            let (schema, value) = match value {
                Value::Null => continue,
                Value::Boolean(_) => (Some(boolean), value),
                Value::Str(_) => (Some(string), value),
                Value::Bytes(_) => (Some(bytes), value),
                value => match (fault::int(&value), fault::float(&value)) {
                    (Some(number), _) => (Some(int), Value::Int64(number)),
                    (_, Some(number)) => (Some(double), Value::Float64(number)),
                    _ => (None, value),
                },
            };
            let schema = schema.map(|schema| arena.pin_schema(schema));
            let datum = SchemaAndValue { schema, value };
            headers.push(Header { name: arena.alloc_str(name), datum });
        }
        Ok(headers.into_bump_slice())
    }

    /// The own side with its fields set.
    fn set<'a>(
        &mut self,
        datum: &SchemaAndValue<'a>,
        own: &Prepared<'a>,
        env: &Env<'_, 'a>,
        arena: &'a Arena,
    ) -> Result<SchemaAndValue<'a>, DataError> {
        match own {
            Prepared::Datum(Value::Null) => Ok(*datum),
            Prepared::Text(text) => {
                let text = self.set_in_text(text, env, arena)?;
                Ok(SchemaAndValue { schema: None, value: Value::Json(arena.alloc(text)) })
            }
            Prepared::Datum(value) if datum.schema.is_some() => {
                let data = require_struct(*value, PURPOSE)?;
                self.set_in_struct(data, env, arena)
            }
            Prepared::Datum(value) => {
                let entries = require_map(*value, PURPOSE, arena)?;
                let mut map = room_for(entries.len() + self.names.len(), arena);
                map.extend_from_slice_copy(entries);
                for (name, rule) in &self.rules.sets {
                    put(&mut map, arena.alloc_str(name), rule.eval(env)?);
                }
                Ok(SchemaAndValue { schema: None, value: Value::Map(map.into_bump_slice()) })
            }
        }
    }

    fn set_in_text<'a>(
        &mut self,
        text: &Text<'a>,
        env: &Env<'_, 'a>,
        arena: &'a Arena,
    ) -> Result<JsonText<'a>, DataError> {
        let options =
            WriteOptions { decimal_format: DecimalFormat::Numeric, ..WriteOptions::default() };
        let mut room = Value::Null;
        if !text.has_places() {
            self.scratch.clear();
            for ((_, rule), name) in self.rules.sets.iter().zip(&self.written_names) {
                if !self.scratch.is_empty() {
                    self.scratch.push(b',');
                }
                self.scratch.extend_from_slice(name);
                write_value(None, *rule.see(env, &mut room)?, &mut self.scratch, &options)?;
            }
            return Ok(text.appended(&self.scratch, arena));
        }
        let mut set = room_for(self.names.len(), arena);
        for (name, rule) in &self.rules.sets {
            self.scratch.clear();
            write_value(None, *rule.see(env, &mut room)?, &mut self.scratch, &options)?;
            set.push((&**name, Some(arena.alloc_bytes(&self.scratch))));
        }
        Ok(text.with(&set, arena))
    }

    fn set_in_struct<'a>(
        &mut self,
        data: &'a Struct<'a>,
        env: &Env<'_, 'a>,
        arena: &'a Arena,
    ) -> Result<SchemaAndValue<'a>, DataError> {
        let (side, sets) = (self.side, &self.rules.sets);
        let derived = self.schemas.get(data.schema, |schema| derive(schema, side, sets))?;
        let schema = arena.pin_schema(&derived.schema);
        let mut values = room_for(schema.fields.len(), arena);
        for index in 0..data.schema.fields.len() {
            values.push(field_value(data, index, true, arena));
        }
        values.resize(schema.fields.len(), Value::Null);
        for ((_, rule), place) in sets.iter().zip(&derived.places) {
            let field = &schema.fields[*place];
            let value = fitted(&field.schema, rule.eval(env)?, arena).map_err(|type_| {
                let expected = field.schema.type_.name();
                rule.failed(format!(
                    "the value is of type {type_} where the schema says {expected}"
                ))
            })?;
            values[*place] = value;
        }
        let data = arena.alloc(Struct { schema, values: values.into_bump_slice() });
        Ok(SchemaAndValue { schema: Some(schema), value: Value::Struct(data) })
    }
}

/// Fields that are set keep their place with another schema, or come last.
fn derive(schema: &Schema, side: Side, sets: &[(Arc<str>, Rule)]) -> Result<Derived, DataError> {
    let mut updated = copy_basics(schema);
    updated.fields.clone_from(&schema.fields);
    let mut places = Vec::new();
    for (name, rule) in sets {
        let field = Inference::new(side, schema).schema_of(&rule.node).ok_or_else(|| {
            rule.failed(
                "the type cannot be told from the record's schema; say it with string(), int(), \
                 double() or bool()",
            )
        })?;
        let field = Field { name: Arc::clone(name), schema: field };
        match updated.field(name).map(|(at, _)| at) {
            Some(at) => {
                updated.fields[at] = field;
                places.push(at);
            }
            None => {
                updated.fields.push(field);
                places.push(updated.fields.len() - 1);
            }
        }
    }
    Ok(Derived { schema: Arc::new(updated), places })
}

/// A name that Kafka takes for a topic.
fn topic<'a>(rule: &Rule, value: Value<'a>) -> Result<&'a str, DataError> {
    let Value::Str(name) = value else {
        return Err(rule.failed(format!("a string is wanted, not {}", type_name(&value))));
    };
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let good =
        !matches!(name, "" | "." | "..") && name.len() <= LONGEST_TOPIC && name.bytes().all(legal);
    if good { Ok(name) } else { Err(rule.failed(format!("{name:?} is no name for a topic"))) }
}

impl Transformation for Expression {
    fn apply<'a>(
        &mut self,
        mut record: Record<'a>,
        arena: &'a Arena,
    ) -> Result<Option<Record<'a>>, DataError> {
        let (uses, none) = (&self.rules.uses, &[] as &[Arc<str>]);
        let of_key = if self.side == Side::Key { &self.names[..] } else { none };
        let of_value = if self.side == Side::Value { &self.names[..] } else { none };
        let (in_key, in_value) = (self.sought.key.as_ref(), self.sought.value.as_ref());
        let key = Prepared::of(&record.key, &uses.key, of_key, in_key, arena)?;
        let value = Prepared::of(&record.value, &uses.value, of_value, in_value, arena)?;
        let env = Env::new(&record, key.subject(), value.subject(), arena);
        let mut room = Value::Null;
        if let Some(rule) = &self.rules.drop {
            match rule.see(&env, &mut room)? {
                Value::Boolean(false) => {}
                Value::Boolean(true) => return Ok(None),
                other => {
                    let why = format!("a bool is wanted, not {}", type_name(other));
                    return Err(rule.failed(why));
                }
            }
        }
        let topic = match &self.rules.topic {
            Some(rule) => topic(rule, rule.eval(&env)?)?,
            None => record.topic,
        };
        let headers = match self.rules.headers.is_empty() {
            true => record.headers,
            false => self.headers(&record, &env, arena)?,
        };
        let (own, datum) = match self.side {
            Side::Key => (&key, &record.key),
            Side::Value => (&value, &record.value),
        };
        let set = match self.names.is_empty() {
            true => None,
            false => Some(self.set(datum, own, &env, arena)?),
        };
        // The record is changed where it is: it is large.
        (record.topic, record.headers) = (topic, headers);
        match (set, self.side) {
            (Some(set), Side::Key) => record.key = set,
            (Some(set), Side::Value) => record.value = set,
            (None, _) => {}
        }
        Ok(Some(record))
    }

    fn reads(&self) -> Reads {
        let (uses, sets) = (&self.rules.uses, !self.names.is_empty());
        Reads {
            key: uses.key.any() || (sets && self.side == Side::Key),
            value: uses.value.any() || (sets && self.side == Side::Value),
            headers: uses.headers || !self.rules.headers.is_empty(),
        }
    }

    fn takes_text(&self) -> bool {
        true
    }

    fn sought(&self, side: Side) -> Option<Rc<Sought>> {
        self.sought.side(side).cloned()
    }

    fn class_name(&self) -> &'static str {
        self.class
    }
}
