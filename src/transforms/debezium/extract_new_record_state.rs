//! ExtractNewRecordState: the row of a change event in place of the event.
//!
//! As with Debezium's class, an event is known by its schema's name, so that schemaless records
//! pass as they are unless `millrace.unwrap.schemaless` says otherwise. What becomes of an envelope is worked out once for its schema.

use std::rc::Rc;
use std::sync::Arc;

use millrace_api::Config;
use millrace_api::config_def::ConfigError;
use millrace_api::plugin::TransformationPlugin;
use millrace_api::record::{Header, Record};
use millrace_api::transformation::{Reads, Side, Transformation};
use millrace_converters::json::sought::Sought;
use millrace_converters::{Arena, DataError, Schema, SchemaAndValue, SchemaType, Struct, Value};

use super::envelope::{is_envelope, null_pointer, text, typed};
use super::extract_new_record_state_settings::{Deletes, Settings, config_def};
use super::field_reference::Added;
use super::schemaless_event::{self, Looked};
use crate::confluent::extract_topic::member;
use crate::replace_field::ReplaceField;
use crate::requirements::{
    datum, field_value, fields, require_struct, required, room_for, with_datum,
};
use crate::schema_cache::{SchemaCache, add_field, copy_basics};

const PURPOSE: &str = "source field insertion";
const DELETED: &str = "__deleted";

/// `io.debezium.transforms.ExtractNewRecordState`.
pub const EXTRACT_NEW_RECORD_STATE: TransformationPlugin = TransformationPlugin {
    class: "io.debezium.transforms.ExtractNewRecordState",
    config_def,
    new: configure,
};

fn configure(config: &Config) -> Result<Box<dyn Transformation>, Vec<ConfigError>> {
    let settings = Settings::new(config)?;
    Ok(Box::new(ExtractNewRecordState {
        schemaless: settings
            .unwraps_schemaless
            .then(|| Looked::new(settings.fields.iter().chain(&settings.headers))),
        settings,
        operation_schema: Arc::new(Schema::new(SchemaType::String)),
        plans: SchemaCache::default(),
        dropping: Dropping { names: Vec::new(), key: None, value: None },
    }))
}

/// What becomes of the events of one schema.
struct Plan {
    /// The index of `after` and of `before`.
    after: Option<usize>,
    before: Option<usize>,
    headers: Result<Vec<Added>, DataError>,
    fields: Result<Vec<Added>, DataError>,
    /// The schema of the row with all that is added, made of `after` and of `before`.
    row: Result<Arc<Schema>, DataError>,
    row_before: Result<Arc<Schema>, DataError>,
}

impl Plan {
    fn new(envelope: &Schema, settings: &Settings) -> Self {
        let fields = Added::all(&settings.fields, envelope);
        let row = |name: &str| {
            // Java asks for the operation before it adds fields.
            match envelope.field("op") {
                None => return Err(DataError::new("op is not a valid field name")),
                Some((_, op)) if op.schema.type_ != SchemaType::String => {
                    return Err(DataError::new("Field 'op' is not of type STRING"));
                }
                Some(_) => {}
            }
            let Some((_, field)) = envelope.field(name) else {
                return Err(unknown_field(name));
            };
            let mut row = copy_basics(&field.schema);
            row.fields.clone_from(&field.schema.fields);
            if settings.marks {
                let mark = Schema::new(SchemaType::String).optional();
                add_field(&mut row, DELETED, Arc::new(mark))?;
            }
            for added in fields.as_ref().map_err(Clone::clone)? {
                add_field(&mut row, &added.name, Arc::clone(&added.schema))?;
            }
            Ok(Arc::new(row))
        };
        let index = |name: &str| envelope.field(name).map(|(index, _)| index);
        let (row, row_before) = (row("after"), row("before"));
        let headers = Added::all(&settings.headers, envelope);
        Self { after: index("after"), before: index("before"), headers, fields, row, row_before }
    }
}

#[cold]
fn unknown_field(name: &str) -> DataError {
    DataError::with_class("java.lang.IllegalArgumentException", format!("Unknown field: {name}"))
}

struct ExtractNewRecordState {
    settings: Settings,
    /// Of events without schemas, if they are to be unwrapped.
    schemaless: Option<Looked>,
    /// Of the header that tells of a tombstone.
    operation_schema: Arc<Schema>,
    plans: SchemaCache<Plan>,
    dropping: Dropping,
}

/// The transforms that drop what a header lists, kept for the next record with the same list.
struct Dropping {
    names: Vec<String>,
    key: Option<ReplaceField>,
    value: Option<ReplaceField>,
}

impl ExtractNewRecordState {
    /// The operation of a tombstone, for whoever wants it as a header.
    fn tombstone_headers<'a>(
        &self,
        headers: &'a [Header<'a>],
        arena: &'a Arena,
    ) -> &'a [Header<'a>] {
        let wanted = self.settings.headers.iter().filter(|one| one.field == "op");
        let mut all = room_for(headers.len() + self.settings.headers.len(), arena);
        all.extend_from_slice_copy(headers);
        for reference in wanted {
            let schema = Some(arena.pin_schema(&self.operation_schema));
            let datum = SchemaAndValue { schema, value: Value::Str("d") };
            all.push(Header { name: arena.alloc_str(&reference.name), datum });
        }
        all.into_bump_slice()
    }

    /// The event's row, or `None` where the record is dropped.
    fn extract<'a>(
        &mut self,
        mut record: Record<'a>,
        envelope: &'a Struct<'a>,
        arena: &'a Arena,
    ) -> Result<Option<Record<'a>>, DataError> {
        let settings = &self.settings;
        let plan = self
            .plans
            .get(envelope.schema, |schema| Ok::<_, DataError>(Plan::new(schema, settings)))?;
        if !settings.headers.is_empty() {
            let added = plan.headers.as_ref().map_err(Clone::clone)?;
            record.headers = with_headers(record.headers, added, envelope, arena);
        }
        let part = |index: Option<usize>, name: &str| {
            let index = index.ok_or_else(|| unknown_field(name))?;
            Ok::<_, DataError>(field_value(envelope, index, true, arena))
        };
        let after = part(plan.after, "after")?;
        if !after.is_null() {
            let row = plan.row.as_ref();
            if let Some(column) = &settings.route_by {
                let data = require_struct(after, ROUTE)?;
                // A mark or an added field is no column yet.
                route(&mut record, text(data, column)?);
            }
            record = rewritten(record, after, "false", (plan, row, settings), envelope, arena)?;
            return self.drop_fields(record, arena).map(Some);
        }
        let before = part(plan.before, "before")?;
        // Neither: the table was truncated.
        if before.is_null() || settings.deletes == Deletes::Drop {
            return Ok(None);
        }
        if let Some(column) = &settings.route_by {
            let Value::Struct(data) = typed(envelope, "before", SchemaType::Struct)? else {
                return Err(null_pointer("the event has no row to route by".to_owned()));
            };
            route(&mut record, text(data, column)?);
        }
        let field_schema = |index: Option<usize>| {
            index.and_then(|index| envelope.schema.fields.get(index)).map(|field| &*field.schema)
        };
        let (schema, value) = match settings.deletes {
            Deletes::Rewrite => (field_schema(plan.before), before),
            Deletes::After => (field_schema(plan.after), Value::Null),
            Deletes::Drop | Deletes::Tombstone => (None, Value::Null),
        };
        if value.is_null() {
            record = with_datum(record, Side::Value, schema, value);
            return self.drop_fields(record, arena).map(Some);
        }
        let row = plan.row_before.as_ref();
        if settings.drop_header.is_none() {
            let all = (plan, row, settings);
            return rewritten(record, value, "true", all, envelope, arena).map(Some);
        }
        self.drop_then_add(record, value, envelope, arena).map(Some)
    }

    /// The same for an event without a schema.
    fn extract_schemaless<'a>(
        &mut self,
        mut record: Record<'a>,
        value: Value<'a>,
        arena: &'a Arena,
    ) -> Result<Option<Record<'a>>, DataError> {
        let settings = &self.settings;
        let Some(schemaless) = &self.schemaless else { return Ok(Some(record)) };
        let Some(event) = schemaless.event(value, arena)? else { return Ok(Some(record)) };
        if !settings.headers.is_empty() {
            record.headers =
                schemaless_event::with_headers(record.headers, &settings.headers, event, arena)?;
        }
        let (row, mark) = match (event.part("after"), event.part("before")) {
            (Some(after), _) => (after, "false"),
            (None, None) => return Ok(None),
            (None, Some(before)) => match settings.deletes {
                Deletes::Drop => return Ok(None),
                Deletes::Rewrite => (before, "true"),
                Deletes::After | Deletes::Tombstone => (Value::Null, "true"),
            },
        };
        if let Some(column) = &settings.route_by {
            let of = if mark == "false" { row } else { event.part("before").unwrap_or_default() };
            let of = SchemaAndValue { schema: None, value: of };
            route(&mut record, member(of, column, arena)?.as_str());
        }
        let row = match row {
            Value::Null => Value::Null,
            row => {
                let mark = settings.marks.then_some(mark);
                schemaless_event::rewritten(row, mark, &settings.fields, event, arena)?
            }
        };
        record = with_datum(record, Side::Value, None, row);
        self.drop_fields(record, arena).map(Some)
    }

    /// A rewritten delete of which fields are dropped: Debezium drops them before it adds others,
    /// so that the row's schema is another for each list.
    fn drop_then_add<'a>(
        &mut self,
        record: Record<'a>,
        value: Value<'a>,
        envelope: &'a Struct<'a>,
        arena: &'a Arena,
    ) -> Result<Record<'a>, DataError> {
        let data = require_struct(value, "field insertion")?;
        let mut marked = copy_basics(data.schema);
        marked.fields.clone_from(&data.schema.fields);
        let mark = Schema::new(SchemaType::String).optional();
        add_field(&mut marked, DELETED, Arc::new(mark))?;
        let schema = arena.pin_schema(&Arc::new(marked));
        let mut values = room_for(schema.fields.len(), arena);
        for index in 0..data.schema.fields.len() {
            values.push(field_value(data, index, self.settings.replace_null, arena));
        }
        values.push(Value::Str("true"));
        let data = arena.alloc(Struct { schema, values: values.into_bump_slice() });
        let record = with_datum(record, Side::Value, Some(schema), Value::Struct(data));
        let record = self.drop_fields(record, arena)?;
        let data = require_struct(record.value.value, PURPOSE)?;
        text(envelope, "op")?;
        let mut row = copy_basics(data.schema);
        row.fields.clone_from(&data.schema.fields);
        let mut values = room_for(row.fields.len(), arena);
        values.extend_from_slice_copy(data.values);
        for added in Added::all(&self.settings.fields, envelope.schema)? {
            add_field(&mut row, &added.name, Arc::clone(&added.schema))?;
            values.push(added.value(envelope)?);
        }
        let schema = arena.pin_schema(&Arc::new(row));
        let data = arena.alloc(Struct { schema, values: values.into_bump_slice() });
        Ok(with_datum(record, Side::Value, Some(schema), Value::Struct(data)))
    }

    fn drop_fields<'a>(
        &mut self,
        record: Record<'a>,
        arena: &'a Arena,
    ) -> Result<Record<'a>, DataError> {
        let Some(header) = &self.settings.drop_header else { return Ok(record) };
        let found = record.headers.iter().find(|one| one.name == *header);
        let names = match found.map(|header| header.datum.value) {
            None | Some(Value::Null) => return Ok(record),
            Some(value) => listed(value, arena)?,
        };
        if names.is_empty() {
            return Ok(record);
        }
        let keep_compatible = self.settings.keep_compatible;
        let mut record = record;
        let sides = match self.settings.drop_from_key && !datum(&record, Side::Key).value.is_null()
        {
            true => &[Side::Key, Side::Value][..],
            false => &[Side::Value],
        };
        for side in sides {
            let schema = datum(&record, *side).schema;
            let kept = match (keep_compatible, schema) {
                (false, _) => None,
                (true, Some(schema)) => Some(schema),
                (true, None) if self.settings.unwraps_schemaless => None,
                (true, None) => {
                    return Err(null_pointer("there is no schema to drop fields of".to_owned()));
                }
            };
            record = self.dropping.apply(record, *side, &names, kept, arena)?;
        }
        Ok(record)
    }
}

const ROUTE: &str = "Read record to set topic routing for CREATE / UPDATE";

/// The topic, unless there is nothing in the column.
fn route<'a>(record: &mut Record<'a>, topic: Option<&'a str>) {
    if let Some(topic) = topic.filter(|topic| !topic.trim().is_empty()) {
        record.topic = topic;
    }
}

/// The names that a header lists.
fn listed<'a>(
    value: Value<'a>,
    arena: &'a Arena,
) -> Result<bumpalo::collections::Vec<'a, &'a str>, DataError> {
    let value = match value {
        Value::Json(text) => millrace_converters::json::parse_text(text, arena)?,
        value => value,
    };
    let Value::Array(items) = value else {
        return Err(DataError::with_class(
            "java.lang.ClassCastException",
            format!("the header is no list of names to drop, but: {}", value.java_class()),
        ));
    };
    let mut names = room_for(items.len(), arena);
    names.extend(items.iter().filter_map(|item| item.as_str()));
    Ok(names)
}

impl Dropping {
    /// Without the names; `optional_of`: only those that are optional there.
    fn apply<'a>(
        &mut self,
        record: Record<'a>,
        side: Side,
        names: &[&str],
        optional_of: Option<&Schema>,
        arena: &'a Arena,
    ) -> Result<Record<'a>, DataError> {
        if self.names != names {
            self.names = names.iter().map(|name| (*name).to_owned()).collect();
            (self.key, self.value) = (None, None);
        }
        let excluded: Vec<String> = match optional_of {
            None => self.names.clone(),
            Some(schema) => {
                let fields = fields(schema)?.iter().filter(|field| field.schema.optional);
                let fields = fields.filter(|field| names.contains(&&*field.name));
                fields.map(|field| field.name.to_string()).collect()
            }
        };
        if excluded.is_empty() {
            return Ok(record);
        }
        let kept = match side {
            Side::Key => &mut self.key,
            Side::Value => &mut self.value,
        };
        let step = match kept {
            Some(step) if step.excludes(&excluded) => step,
            _ => kept.insert(ReplaceField::excluding(side, excluded)),
        };
        let dropped = step.apply(record, arena)?;
        dropped.ok_or_else(|| null_pointer("nothing is left of the record".to_owned()))
    }
}

/// The record's headers and those of the event.
fn with_headers<'a>(
    headers: &'a [Header<'a>],
    added: &[Added],
    envelope: &Struct<'a>,
    arena: &'a Arena,
) -> &'a [Header<'a>] {
    let mut all = room_for(headers.len() + added.len(), arena);
    all.extend_from_slice_copy(headers);
    for one in added {
        let datum = SchemaAndValue {
            schema: Some(arena.pin_schema(&one.schema)),
            value: one.found(envelope),
        };
        all.push(Header { name: arena.alloc_str(&one.name), datum });
    }
    all.into_bump_slice()
}

/// The record with the row, its mark and what is added.
fn rewritten<'a>(
    record: Record<'a>,
    row: Value<'a>,
    mark: &'static str,
    (plan, schema, settings): (&Plan, Result<&Arc<Schema>, &DataError>, &Settings),
    envelope: &Struct<'a>,
    arena: &'a Arena,
) -> Result<Record<'a>, DataError> {
    let data = require_struct(row, PURPOSE)?;
    let schema = arena.pin_schema(schema.map_err(Clone::clone)?);
    let added = plan.fields.as_ref().map_err(Clone::clone)?;
    let values = if settings.marks || !added.is_empty() {
        let mut values = room_for(schema.fields.len(), arena);
        match settings.marks {
            true => {
                for (index, field) in data.schema.fields.iter().enumerate() {
                    let value = field_value(data, index, settings.replace_null, arena);
                    required(value, field)?;
                    values.push(value);
                }
                values.push(Value::Str(mark));
            }
            false => values.extend_from_slice_copy(data.values),
        }
        for one in added {
            values.push(one.value(envelope)?);
        }
        values.into_bump_slice()
    } else {
        data.values
    };
    let data = arena.alloc(Struct { schema, values });
    Ok(with_datum(record, Side::Value, Some(schema), Value::Struct(data)))
}

impl Transformation for ExtractNewRecordState {
    fn apply<'a>(
        &mut self,
        mut record: Record<'a>,
        arena: &'a Arena,
    ) -> Result<Option<Record<'a>>, DataError> {
        let datum = datum(&record, Side::Value);
        if datum.value.is_null() {
            if !self.settings.headers.is_empty() {
                record.headers = self.tombstone_headers(record.headers, arena);
            }
            return Ok(self.settings.keeps_tombstones.then_some(record));
        }
        if datum.schema.is_none() && self.schemaless.is_some() {
            return self.extract_schemaless(record, datum.value, arena);
        }
        if !is_envelope(datum.schema) {
            return Ok(Some(record));
        }
        let envelope = require_struct(datum.value, "field extraction")?;
        self.extract(record, envelope, arena)
    }

    fn reads(&self) -> Reads {
        let settings = &self.settings;
        Reads {
            key: settings.drop_from_key,
            value: true,
            headers: settings.drop_header.is_some() || !settings.headers.is_empty(),
        }
    }

    /// Of text nothing but the way to the row is looked at.
    fn takes_text(&self) -> bool {
        !self.settings.drop_from_key
    }

    fn sought(&self, side: Side) -> Option<Rc<Sought>> {
        let looked = self.schemaless.as_ref().filter(|_| side == Side::Value);
        looked.map(|looked| Rc::clone(&looked.sought))
    }

    fn class_name(&self) -> &'static str {
        EXTRACT_NEW_RECORD_STATE.class
    }
}
