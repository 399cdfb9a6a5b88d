//! `millrace.Enrich`: each record joined with a row of a table, by a key that an expression gives.
//!
//! The table is in memory, on the task's core ([`compact`]); a file or a compacted topic fills it
//! ([`rows`]), and the worker sees to that in the background ([`millrace_api::table`]); of one in a
//! database there are the rows that were asked for ([`sql`]). A row is kept as the text of its fields, so
//! that JSON text is joined by one copy of it behind the record's members.

mod compact;
mod rows;
mod shared;
mod spec;
mod sql;
#[cfg(test)]
mod tests;

use std::rc::Rc;
use std::sync::Arc;

use millrace_api::Config;
use millrace_api::config_def::ConfigError;
use millrace_api::plugin::TransformationPlugin;
use millrace_api::record::Record;
use millrace_api::table::{Lookups, Table, TableUse};
use millrace_api::transformation::{Reads, Side, Transformation};
use millrace_converters::json::members::{indexed, members};
use millrace_converters::json::{WriteOptions, parse, write_value};
use millrace_converters::{Arena, DataError, Field, JsonText, Schema, SchemaType, Struct, Value};

pub use self::compact::{CompactTable, Full};
use self::shared::{SharedTable, shared};
use self::spec::{Column, JoinSpec, Place, config_def};
use self::sql::{Looked, SqlTable};
use crate::expression::Node;
use crate::expression::compile::{Members, Uses, compile};
use crate::expression::eval::Env;
use crate::expression::fault::{Fault, float, int, type_name};
use crate::expression::subject::{Prepared, Text};
use crate::requirements::{
    Entries, datum, entry, field_value, put, require_map, require_struct, room_for, with_datum,
};
use crate::schema_cache::{SchemaCache, copy_basics};

const PURPOSE: &str = "enrichment";

/// Joins values.
pub const PLAIN: TransformationPlugin = TransformationPlugin {
    class: "millrace.Enrich",
    config_def,
    new: |config| Enrich::configure(config, Side::Value, PLAIN.class),
};

/// Joins keys.
pub const KEY: TransformationPlugin = TransformationPlugin {
    class: "millrace.Enrich$Key",
    config_def,
    new: |config| Enrich::configure(config, Side::Key, KEY.class),
};

/// Joins values.
pub const VALUE: TransformationPlugin = TransformationPlugin {
    class: "millrace.Enrich$Value",
    config_def,
    new: |config| Enrich::configure(config, Side::Value, VALUE.class),
};

/// A Struct's schema once it is joined.
struct Joined {
    schema: Arc<Schema>,
    /// Places of the columns' fields, or of the target field.
    places: Vec<usize>,
}

/// A column as a field of a Struct.
struct StructField {
    name: Arc<str>,
    schema: Arc<Schema>,
}

/// All rows in memory, or those that were asked for.
enum Joinable {
    Rows(Rc<SharedTable>),
    Asked(Rc<SqlTable>),
}

/// The error of a record whose row is not there yet; it comes again once it is.
#[cold]
fn wanted(name: &str) -> DataError {
    DataError {
        class: "org.apache.kafka.connect.errors.RetriableException",
        message: format!("{name} has not been asked for the record's row yet"),
        retriable: true,
    }
}

/// What a record's row gave.
enum Found<'a> {
    /// The record's text, joined.
    Joined(JsonText<'a>),
    /// A JSON object, in the arena.
    Row(&'a [u8]),
}

struct Enrich {
    side: Side,
    class: &'static str,
    join: JoinSpec,
    node: Node,
    uses: Uses,
    table: Joinable,
    lookups: Rc<Lookups>,
    /// The members that are set: those of the columns, or the target; empty if the table decides.
    names: Vec<Arc<str>>,
    fields: Vec<StructField>,
    /// Of the target, if there is one.
    target_schema: Arc<Schema>,
    schemas: SchemaCache<Joined>,
    /// The key that is looked up; kept for its memory.
    key: Vec<u8>,
    scratch: Vec<u8>,
    /// Hashes of the keys whose rows are on their way; kept for its memory.
    ahead: Vec<u32>,
}

impl Enrich {
    fn configure(
        config: &Config,
        side: Side,
        class: &'static str,
    ) -> Result<Box<dyn Transformation>, Vec<ConfigError>> {
        let (table, join) = spec::parse(config)?;
        let mut uses = Uses::default();
        let node = compile(&join.key, &mut uses)
            .map_err(|why| vec![ConfigError::invalid(spec::KEY, &join.key, &why)])?;
        let field = |column: &Column| StructField {
            name: column.field.as_str().into(),
            schema: Arc::new(
                Schema::new(table.type_of(&column.name).unwrap_or(SchemaType::String)).optional(),
            ),
        };
        let fields: Vec<StructField> = table.columns.iter().map(field).collect();
        let names = match &join.target {
            Some(target) => vec![target.as_str().into()],
            None => fields.iter().map(|field| Arc::clone(&field.name)).collect(),
        };
        if names.is_empty() {
            // Which members a row replaces is seen once there are both.
            let own = if side == Side::Key { &mut uses.key } else { &mut uses.value };
            own.whole = true;
        }
        let inner = fields.iter().map(|field| Field {
            name: Arc::clone(&field.name),
            schema: Arc::clone(&field.schema),
        });
        Ok(Box::new(Self {
            side,
            class,
            node,
            uses,
            names,
            target_schema: Arc::new(Schema::struct_of(inner.collect()).optional()),
            fields,
            table: match table.place.clone() {
                Place::Sql(sql) => Joinable::Asked(sql::shared(table, sql)),
                _ => Joinable::Rows(shared(table)),
            },
            join,
            lookups: Rc::default(),
            schemas: SchemaCache::default(),
            key: Vec::new(),
            scratch: Vec::new(),
            ahead: Vec::new(),
        }))
    }

    /// Puts the record's key into `self.key`; `false`: it has none.
    fn find_key<'a>(&mut self, env: &Env<'_, 'a>) -> Result<bool, DataError> {
        let failed = |why: &dyn std::fmt::Display| {
            DataError::new(format!("{}={}: {why}", spec::KEY, self.join.key))
        };
        self.key.clear();
        let value = match env.value_of(&self.node) {
            Ok(value) => value,
            Err(Fault::NoSuchField(_) | Fault::NoHeader(_) | Fault::NoSuchKey) => return Ok(false),
            Err(fault) => return Err(failed(&fault)),
        };
        rows::write_key(value, &mut self.key)
            .map_err(|type_| failed(&format!("a {type_} is no key of a table")))
    }

    /// What `take` makes of the row of `self.key`: the members of a JSON object.
    #[inline]
    fn look<T>(&self, take: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, DataError> {
        match &self.table {
            Joinable::Rows(table) => Ok(table.with_row(&self.key, |row| row.map(take))),
            Joinable::Asked(table) => match table.with_row(&self.key, |row| row.map(take)) {
                Looked::Known(row) => Ok(row),
                Looked::Refused(why) => Err(DataError::new(why)),
                Looked::Wanted => Err(wanted(table.name())),
            },
        }
    }

    fn with_text<'a>(
        &self,
        record: Record<'a>,
        text: JsonText<'a>,
        arena: &'a Arena,
    ) -> Record<'a> {
        with_datum(record, self.side, None, Value::Json(arena.alloc(text)))
    }

    fn join_text<'a>(
        &self,
        text: &Text<'a>,
        row: &'a [u8],
        arena: &'a Arena,
    ) -> Result<JsonText<'a>, DataError> {
        if let Some(target) = &self.join.target {
            return Ok(text.with(&[(target, Some(row))], arena));
        }
        let mut set = room_for(self.names.len(), arena);
        set.extend(self.names.iter().map(|name| (&**name, None)));
        members(&JsonText::verbatim(row), arena, |name, range| {
            if let Some(entry) = set.iter_mut().find(|(known, _)| name.is(known)) {
                entry.1 = Some(&row[range]);
            }
        })?;
        Ok(text.with(&set, arena))
    }

    fn join_map<'a>(
        &self,
        record: Record<'a>,
        value: Value<'a>,
        row: &'a [u8],
        arena: &'a Arena,
    ) -> Result<Record<'a>, DataError> {
        let entries = require_map(value, PURPOSE, arena)?;
        let Value::Map(fields) = parse(row, arena)? else { return Ok(record) };
        let mut map = room_for(entries.len() + fields.len(), arena);
        map.extend_from_slice_copy(entries);
        match &self.join.target {
            Some(target) => put(&mut map, arena.alloc_str(target), Value::Map(fields)),
            None => {
                for (name, value) in fields {
                    put(&mut map, name.as_str().unwrap_or_default(), *value);
                }
            }
        }
        Ok(with_datum(record, self.side, None, Value::Map(map.into_bump_slice())))
    }

    /// Without a row the fields are there, too, and null: a schema is one for all records.
    fn join_struct<'a>(
        &mut self,
        record: Record<'a>,
        data: &'a Struct<'a>,
        row: Option<&'a [u8]>,
        arena: &'a Arena,
    ) -> Result<Record<'a>, DataError> {
        if self.fields.is_empty() {
            return Err(DataError::new("records with a schema want the columns named: set fields"));
        }
        let (side, names, fields) = (self.side, &self.names, &self.fields);
        let (target, target_schema) = (self.join.target.is_some(), &self.target_schema);
        let joined = self.schemas.get(data.schema, |schema| {
            let schemas = fields.iter().map(|field| &field.schema);
            let schemas: Vec<_> = if target { vec![target_schema] } else { schemas.collect() };
            Ok::<_, DataError>(joined(schema, names, &schemas))
        })?;
        let schema = arena.pin_schema(&joined.schema);
        let mut values = room_for(schema.fields.len(), arena);
        for index in 0..data.schema.fields.len() {
            values.push(field_value(data, index, true, arena));
        }
        values.resize(schema.fields.len(), Value::Null);
        let entries = match row.map(|row| parse(row, arena)).transpose()? {
            Some(Value::Map(entries)) => Some(entries),
            _ => None,
        };
        match (target, entries, &joined.places[..]) {
            (true, Some(entries), [place]) => {
                let mut inner = room_for(fields.len(), arena);
                for field in fields {
                    inner.push(typed(field, entries, &mut self.scratch, arena)?);
                }
                let schema = arena.pin_schema(target_schema);
                let inner = Struct { schema, values: inner.into_bump_slice() };
                values[*place] = Value::Struct(arena.alloc(inner));
            }
            (_, entries, places) => {
                for (field, place) in fields.iter().zip(places) {
                    values[*place] = match entries {
                        Some(entries) => typed(field, entries, &mut self.scratch, arena)?,
                        None => Value::Null,
                    };
                }
            }
        }
        let data = arena.alloc(Struct { schema, values: values.into_bump_slice() });
        Ok(with_datum(record, side, Some(schema), Value::Struct(data)))
    }
}

/// Looks for the members of a text of which some are wanted, for now and for later.
fn note_members<'a>(value: &mut Value<'a>, wanted: &Members, arena: &'a Arena) {
    if let Value::Json(text) = value
        && !wanted.whole
        && !wanted.names.is_empty()
        && let Ok(known) = indexed(text, arena)
    {
        *value = Value::Json(arena.alloc(known));
    }
}

/// The row as a JSON object, in the arena.
fn object<'a>(row: &[u8], arena: &'a Arena) -> &'a [u8] {
    let mut object = room_for(row.len() + 2, arena);
    object.push(b'{');
    object.extend_from_slice_copy(row);
    object.push(b'}');
    object.into_bump_slice()
}

/// Fields that are set keep their place with another schema, or come last.
fn joined(schema: &Schema, names: &[Arc<str>], schemas: &[&Arc<Schema>]) -> Joined {
    let mut updated = copy_basics(schema);
    updated.fields.clone_from(&schema.fields);
    let mut places = Vec::new();
    for (name, schema) in names.iter().zip(schemas) {
        let field = Field { name: Arc::clone(name), schema: Arc::clone(schema) };
        match updated.field(name).map(|(at, _)| at) {
            Some(at) => {
                updated.fields[at] = field;
                places.push(at);
            }
            None => {
                places.push(updated.fields.len());
                updated.fields.push(field);
            }
        }
    }
    Joined { schema: Arc::new(updated), places }
}

/// A row's value as the type that its column was given; strings are text, or the JSON of a value.
fn typed<'a>(
    field: &StructField,
    entries: Entries<'a>,
    scratch: &mut Vec<u8>,
    arena: &'a Arena,
) -> Result<Value<'a>, DataError> {
    use SchemaType::{Boolean, Float32, Float64, Int8, Int16, Int32, Int64};
    let value = entry(entries, &field.name);
    let whole = int(&value);
    let number = float(&value).or_else(|| whole.map(|whole| whole as f64));
    let fitted = match (field.schema.type_, value) {
        (_, Value::Null) => Some(Value::Null),
        (SchemaType::String, Value::Str(text)) => Some(Value::Str(text)),
        (SchemaType::String, value) => {
            scratch.clear();
            write_value(None, value, scratch, &WriteOptions::default())?;
            std::str::from_utf8(scratch).ok().map(|text| Value::Str(arena.alloc_str(text)))
        }
        (Boolean, Value::Boolean(value)) => Some(Value::Boolean(value)),
        (Int8, _) => whole.and_then(|whole| whole.try_into().ok()).map(Value::Int8),
        (Int16, _) => whole.and_then(|whole| whole.try_into().ok()).map(Value::Int16),
        (Int32, _) => whole.and_then(|whole| whole.try_into().ok()).map(Value::Int32),
        (Int64, _) => whole.map(Value::Int64),
        (Float32, _) => number.map(|number| Value::Float32(number as f32)),
        (Float64, _) => number.map(Value::Float64),
        _ => None,
    };
    fitted.ok_or_else(|| {
        let (wanted, found) = (field.schema.type_.name(), type_name(&value));
        DataError::new(format!("the row's {} is a {found} that is no {wanted}", field.name))
    })
}

impl Transformation for Enrich {
    fn apply<'a>(
        &mut self,
        record: Record<'a>,
        arena: &'a Arena,
    ) -> Result<Option<Record<'a>>, DataError> {
        let own_datum = datum(&record, self.side);
        // A delete is one with and without a row.
        if own_datum.value.is_null() {
            return Ok(Some(record));
        }
        let none: &[Arc<str>] = &[];
        let of_key = if self.side == Side::Key { &self.names[..] } else { none };
        let of_value = if self.side == Side::Value { &self.names[..] } else { none };
        let key = Prepared::of(&record.key, &self.uses.key, of_key, arena)?;
        let value = Prepared::of(&record.value, &self.uses.value, of_value, arena)?;
        let has_key = self.find_key(&Env::new(&record, key.subject(), value.subject(), arena))?;
        let own = if self.side == Side::Key { &key } else { &value };
        let take = |row: &[u8]| match own {
            // Most often nothing of the row is there yet: its text goes behind the members.
            Prepared::Text(text) if self.join.target.is_none() && !text.has_places() => {
                Found::Joined(text.appended(row, arena))
            }
            _ => Found::Row(object(row, arena)),
        };
        let found = if has_key { self.look(take)? } else { None };
        let count = if found.is_some() { &self.lookups.hits } else { &self.lookups.misses };
        count.set(count.get() + 1);
        let row = match found {
            Some(Found::Joined(text)) => return Ok(Some(self.with_text(record, text, arena))),
            Some(Found::Row(row)) => Some(row),
            None if self.join.inner => return Ok(None),
            None => None,
        };
        if own_datum.schema.is_some()
            && let Prepared::Datum(value) = own
        {
            let data = require_struct(*value, PURPOSE)?;
            return self.join_struct(record, data, row, arena).map(Some);
        }
        let Some(row) = row else { return Ok(Some(record)) };
        match own {
            Prepared::Text(text) => {
                let text = self.join_text(text, row, arena)?;
                Ok(Some(self.with_text(record, text, arena)))
            }
            Prepared::Datum(value) => self.join_map(record, *value, row, arena).map(Some),
        }
    }

    fn prefetches(&self) -> bool {
        matches!(self.table, Joinable::Rows(_))
    }

    /// Rows of a large table lie in memory, a hundred nanoseconds and more away; those of some records
    /// come in the time of one.
    fn prefetch<'a>(&mut self, records: &mut [Record<'a>], arena: &'a Arena) {
        let Joinable::Rows(table) = &self.table else { return };
        let (table, none) = (Rc::clone(table), &[] as &[Arc<str>]);
        self.ahead.clear();
        for record in records {
            note_members(&mut record.key.value, &self.uses.key, arena);
            note_members(&mut record.value.value, &self.uses.value, arena);
            let key = Prepared::of(&record.key, &self.uses.key, none, arena);
            let value = Prepared::of(&record.value, &self.uses.value, none, arena);
            let (Ok(key), Ok(value)) = (key, value) else { continue };
            if let Ok(true) =
                self.find_key(&Env::new(record, key.subject(), value.subject(), arena))
            {
                self.ahead.push(table.fetch_slot(&self.key));
            }
        }
        for hash in &self.ahead {
            table.fetch_row(*hash);
        }
    }

    fn reads(&self) -> Reads {
        Reads {
            key: self.uses.key.any() || self.side == Side::Key,
            value: self.uses.value.any() || self.side == Side::Value,
            headers: self.uses.headers,
        }
    }

    fn takes_text(&self) -> bool {
        // Only then it is known which of the record's members a row replaces.
        !self.names.is_empty()
    }

    fn table(&self) -> Option<TableUse> {
        let table: Rc<dyn Table> = match &self.table {
            Joinable::Rows(table) => Rc::clone(table) as _,
            Joinable::Asked(table) => Rc::clone(table) as _,
        };
        Some(TableUse { table, lookups: Rc::clone(&self.lookups) })
    }

    fn class_name(&self) -> &'static str {
        self.class
    }
}
