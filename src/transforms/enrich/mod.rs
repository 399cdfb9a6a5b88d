//! `millrace.Enrich`: each record joined with a row of a table, by a key that an expression gives.
//!
//! The table is in memory, on the task's core ([`compact`]); a file or a compacted topic fills it
//! ([`rows`]), and the worker sees to that in the background ([`millrace_api::table`]); of one in a
//! database there are the rows that were asked for ([`sql`]). A row is kept as the text of its fields, so
//! that JSON text is joined by one copy of it behind the record's members.

mod compact;
mod key;
mod rows;
mod shared;
mod spec;
mod sql;
mod structs;
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
use millrace_converters::json::members::members;
use millrace_converters::json::parse;
use millrace_converters::json::sought::Sought;
use millrace_converters::{Arena, DataError, Field, JsonText, Schema, SchemaType, Value};

pub use self::compact::{CompactTable, Full};
use self::key::Key;
use self::shared::{SharedTable, shared};
use self::spec::{Column, JoinSpec, Place, config_def};
use self::sql::{Looked, SqlTable};
use self::structs::{Joined, StructField};
use crate::expression::Node;
use crate::expression::compile::{Members, Uses, compile};
use crate::expression::subject::{Prepared, SoughtInBoth, Text};
use crate::requirements::{datum, put, require_map, require_struct, room_for, with_datum};
use crate::schema_cache::SchemaCache;

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
    /// The key is a member of that side, or further down in it, and nothing more.
    straight: Option<Side>,
    sought: SoughtInBoth,
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
        let path = node.path();
        let straight = path.as_ref().map(|(side, _)| *side);
        let sought = SoughtInBoth::new(&uses, (side, &names), path);
        let inner = fields.iter().map(|field| Field {
            name: Arc::clone(&field.name),
            schema: Arc::clone(&field.schema),
        });
        Ok(Box::new(Self {
            side,
            class,
            node,
            uses,
            straight,
            sought,
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

    /// Has texts that do not tell where stands what is sought looked through, for now and for later.
    #[inline]
    fn note<'a>(&self, record: &mut Record<'a>, arena: &'a Arena) {
        let sides = [(&self.sought.key, &mut record.key), (&self.sought.value, &mut record.value)];
        for (sought, datum) in sides {
            if let (Some(sought), Value::Json(text)) = (sought, datum.value)
                && sought.found(text).is_none()
                && let Some(noted) = sought.note(text, arena)
            {
                datum.value = Value::Json(arena.alloc(noted));
            }
        }
    }

    /// The side that is joined, of a record whose key is known.
    #[inline]
    fn own<'a>(&self, record: &Record<'a>, arena: &'a Arena) -> Result<Prepared<'a>, DataError> {
        const NOTHING: &Members = &Members { names: Vec::new(), whole: false };
        let uses = self.uses.side(self.side);
        let wanted = if uses.whole { uses } else { NOTHING };
        let own = if self.side == Side::Key { &record.key } else { &record.value };
        Prepared::of(own, wanted, &self.names, self.sought.side(self.side), arena)
    }

    /// What `take` makes of the row of that key: the members of a JSON object.
    #[inline]
    fn look<T>(&self, key: &[u8], take: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, DataError> {
        match &self.table {
            Joinable::Rows(table) => Ok(table.with_row(key, |row| row.map(take))),
            Joinable::Asked(table) => match table.with_row(key, |row| row.map(take)) {
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
}

/// The row as a JSON object, in the arena.
fn object<'a>(row: &[u8], arena: &'a Arena) -> &'a [u8] {
    let mut object = room_for(row.len() + 2, arena);
    object.push(b'{');
    object.extend_from_slice_copy(row);
    object.push(b'}');
    object.into_bump_slice()
}

impl Transformation for Enrich {
    fn apply<'a>(
        &mut self,
        mut record: Record<'a>,
        arena: &'a Arena,
    ) -> Result<Option<Record<'a>>, DataError> {
        // A delete is one with and without a row.
        if datum(&record, self.side).value.is_null() {
            return Ok(Some(record));
        }
        self.note(&mut record, arena);
        let (key, own) = match self.straight_key(&record, arena)? {
            Some(key) => (key, self.own(&record, arena)?),
            None => self.evaluated_key(&record, arena)?,
        };
        let take = |row: &[u8]| match &own {
            // Most often nothing of the row is there yet: its text goes behind the members.
            Prepared::Text(text) if self.join.target.is_none() && !text.has_places() => {
                Found::Joined(text.appended(row, arena))
            }
            _ => Found::Row(object(row, arena)),
        };
        let found = match key {
            Key::Raw(key) => self.look(key, take)?,
            Key::Written => self.look(&self.key, take)?,
            Key::Missing => None,
        };
        let count = if found.is_some() { &self.lookups.hits } else { &self.lookups.misses };
        count.set(count.get() + 1);
        let row = match found {
            Some(Found::Joined(text)) => return Ok(Some(self.with_text(record, text, arena))),
            Some(Found::Row(row)) => Some(row),
            None if self.join.inner => return Ok(None),
            None => None,
        };
        if datum(&record, self.side).schema.is_some()
            && let Prepared::Datum(value) = own
        {
            let data = require_struct(value, PURPOSE)?;
            return self.join_struct(record, data, row, arena).map(Some);
        }
        let Some(row) = row else { return Ok(Some(record)) };
        match own {
            Prepared::Text(text) => {
                let text = self.join_text(&text, row, arena)?;
                Ok(Some(self.with_text(record, text, arena)))
            }
            Prepared::Datum(value) => self.join_map(record, value, row, arena).map(Some),
        }
    }

    fn prefetches(&self) -> bool {
        matches!(self.table, Joinable::Rows(_))
    }

    /// Rows of a large table lie in memory, a hundred nanoseconds and more away; those of some records
    /// come in the time of one.
    fn prefetch<'a>(&mut self, records: &mut [Record<'a>], arena: &'a Arena) {
        let Joinable::Rows(table) = &self.table else { return };
        let table = Rc::clone(table);
        self.ahead.clear();
        for record in records {
            self.note(record, arena);
            let key = match self.straight_key(record, arena) {
                Ok(None) => self.evaluated_key(record, arena).map(|(key, _)| key),
                straight => straight.map(|key| key.unwrap_or(Key::Missing)),
            };
            self.ahead.push(match key {
                Ok(Key::Raw(key)) => table.fetch_slot(key),
                Ok(Key::Written) => table.fetch_slot(&self.key),
                Ok(Key::Missing) | Err(_) => continue,
            });
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

    fn sought(&self, side: Side) -> Option<Rc<Sought>> {
        self.sought.side(side).cloned()
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
