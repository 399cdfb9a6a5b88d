//! DropHeaders and InsertHeader: headers taken away by name, and one added.

use std::rc::Rc;

use millrace_api::config_def::{ConfigDef, ConfigKey, DefaultValue, Importance, Type, Validator};
use millrace_api::plugin::TransformationPlugin;
use millrace_api::record::{Header, Record};
use millrace_api::transformation::{Reads, Transformation};
use millrace_converters::data::OwnedValue;
use millrace_converters::header::SimpleHeaderConverter;
use millrace_converters::{Arena, DataError, HeaderConverter, KeptAt, Schema, SchemaAndValue};

use crate::requirements::{non_empty_list, room_for};

const HEADERS: Reads = Reads { key: false, value: false, headers: true };

/// `org.apache.kafka.connect.transforms.DropHeaders`.
pub const DROP_HEADERS: TransformationPlugin = TransformationPlugin {
    class: "org.apache.kafka.connect.transforms.DropHeaders",
    config_def: drop_headers,
    new: |config| {
        Ok(Box::new(DropHeaders { names: drop_headers().parse(config)?.list("headers") }))
    },
};

/// `org.apache.kafka.connect.transforms.InsertHeader`.
pub const INSERT_HEADER: TransformationPlugin = TransformationPlugin {
    class: "org.apache.kafka.connect.transforms.InsertHeader",
    config_def: insert_header,
    new: |config| {
        let parsed = insert_header().parse(config)?;
        let name = parsed.string("header").to_owned();
        let inserted = Inserted { name, literal: literal(parsed.string("value.literal")) };
        Ok(Box::new(InsertHeader { inserted: Rc::new(inserted), at: KeptAt::default() }))
    },
};

fn drop_headers() -> ConfigDef {
    ConfigDef::new().define(
        ConfigKey::new(
            "headers",
            Type::List,
            DefaultValue::Required,
            Importance::High,
            "The name of the headers to be removed.",
        )
        .check(Validator::Custom(non_empty_list)),
    )
}

fn insert_header() -> ConfigDef {
    let key = |name: &'static str, documentation: &'static str| {
        let required = DefaultValue::Required;
        ConfigKey::new(name, Type::String, required, Importance::High, documentation)
            .check(Validator::NonEmpty)
    };
    ConfigDef::new().define(key("header", "The name of the header.")).define(key(
        "value.literal",
        "The literal value that is to be set as the header value on all records.",
    ))
}

struct DropHeaders {
    names: Vec<String>,
}

impl Transformation for DropHeaders {
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
        let dropped = |header: &Header<'_>| self.names.iter().any(|name| name == header.name);
        if record.headers.iter().any(dropped) {
            let mut kept = room_for(record.headers.len(), arena);
            kept.extend(record.headers.iter().filter(|header| !dropped(header)));
            record.headers = kept.into_bump_slice();
        }
        Ok(true)
    }

    fn reads(&self) -> Reads {
        HEADERS
    }

    fn spares_sides(&self) -> bool {
        true
    }

    fn class_name(&self) -> &'static str {
        DROP_HEADERS.class
    }
}

/// What is inserted into each record.
struct Inserted {
    name: String,
    /// The literal as a header's text is read.
    literal: Option<(Schema, OwnedValue)>,
}

fn literal(text: &str) -> Option<(Schema, OwnedValue)> {
    let arena = Arena::new();
    let read = SimpleHeaderConverter::default()
        .to_connect_header("", "", Some(text.as_bytes()), &arena)
        .unwrap_or_default();
    Some((read.schema?.clone(), read.value.to_owned_value()))
}

struct InsertHeader {
    inserted: Rc<Inserted>,
    at: KeptAt,
}

impl Transformation for InsertHeader {
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
        let Inserted { name, literal } = arena.keep_once(&self.at, &self.inserted);
        let datum = literal.as_ref().map_or_else(SchemaAndValue::default, |(schema, value)| {
            SchemaAndValue { schema: Some(schema), value: value.to_value(arena) }
        });
        record.headers = arena.appended(record.headers, Header { name, datum });
        Ok(true)
    }

    fn reads(&self) -> Reads {
        HEADERS
    }

    fn spares_sides(&self) -> bool {
        true
    }

    fn class_name(&self) -> &'static str {
        INSERT_HEADER.class
    }
}
