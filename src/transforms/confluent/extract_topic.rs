//! ExtractTopic: the topic from the key, the value, one of their fields, or a header.

use millrace_api::Config;
use millrace_api::config_def::{
    ConfigDef, ConfigError, ConfigKey, DefaultValue, Importance, Type, Validator,
};
use millrace_api::plugin::TransformationPlugin;
use millrace_api::record::Record;
use millrace_api::transformation::{Reads, Side, Transformation};
use millrace_converters::json::{find_path, parse_text};
use millrace_converters::{Arena, DataError, SchemaAndValue, Value};

use crate::json_path::{JsonPath, PathError};
use crate::requirements::{datum, entry, field_value, is_null, reads, require_map, require_struct};
use crate::sides::sided;

const FIELD: &str = "field";
const FORMAT: &str = "field.format";
const SKIP: &str = "skip.missing.or.null";
const PURPOSE: &str = "extracting the topic";

sided!(ExtractTopic, "io.confluent.connect.transforms.", "ExtractTopic");

/// The class for headers.
pub const HEADER: TransformationPlugin = TransformationPlugin {
    class: "io.confluent.connect.transforms.ExtractTopic$Header",
    config_def: header_config_def,
    new: |config| {
        let parsed = header_config_def().parse(config)?;
        let field = parsed.string(FIELD).to_owned();
        let source = Source::Header(field.clone());
        Ok(Box::new(ExtractTopic { source, field, skip: parsed.bool(SKIP) }))
    },
};

fn config_def() -> ConfigDef {
    keys(
        ConfigKey::new(
            FIELD,
            Type::String,
            DefaultValue::Of(""),
            Importance::Medium,
            "The field to take the topic from; empty: the whole key or value, which is a string.",
        ),
        FORMAT_OF_FIELD,
    )
}

fn header_config_def() -> ConfigDef {
    let field = ConfigKey::new(
        FIELD,
        Type::String,
        DefaultValue::Required,
        Importance::Medium,
        "The header to take the topic from.",
    );
    keys(field.check(Validator::NonEmpty), "Has no meaning for headers, whose names are plain.")
}

const FORMAT_OF_FIELD: &str =
    "How the field is named: <code>PLAIN</code>, or <code>JSON_PATH</code> for one within others.";

fn keys(field: ConfigKey, format: &'static str) -> ConfigDef {
    ConfigDef::new()
        .define(field)
        .define(
            ConfigKey::new(
                FORMAT,
                Type::String,
                DefaultValue::Of("PLAIN"),
                Importance::Medium,
                format,
            )
            .check(Validator::OneOfIgnoreCase(&["PLAIN", "JSON_PATH"])),
        )
        .define(ConfigKey::new(
            SKIP,
            Type::Boolean,
            DefaultValue::Of("false"),
            Importance::Medium,
            "Whether a record without the field, or with null in its place, keeps its topic; \
             otherwise it fails.",
        ))
}

/// Where the topic comes from.
enum Source {
    Whole(Side),
    Field(Side),
    Path(Side, JsonPath),
    Header(String),
}

struct ExtractTopic {
    source: Source,
    field: String,
    skip: bool,
}

impl ExtractTopic {
    fn configure(config: &Config, side: Side) -> Result<Box<dyn Transformation>, Vec<ConfigError>> {
        let parsed = config_def().parse(config)?;
        let field = parsed.string(FIELD).to_owned();
        let source = if field.is_empty() {
            Source::Whole(side)
        } else if parsed.string(FORMAT).eq_ignore_ascii_case("PLAIN") {
            Source::Field(side)
        } else {
            let refused = |why: &str| vec![ConfigError::invalid(FIELD, &field, why)];
            let path = JsonPath::new(&field)
                .map_err(|why| refused(&format!("Invalid JSON path: {why}")))?;
            if !path.is_definite() || path.is_function() {
                return Err(refused("The JSON path must be that of one field"));
            }
            Source::Path(side, path)
        };
        Ok(Box::new(Self { source, field, skip: parsed.bool(SKIP) }))
    }

    /// What the topic is to be; null if there is none.
    fn found<'a>(&self, record: &Record<'a>, arena: &'a Arena) -> Result<Value<'a>, DataError> {
        match &self.source {
            Source::Whole(side) => Ok(datum(record, *side).value),
            Source::Field(side) => member(datum(record, *side), &self.field, arena),
            Source::Path(side, path) => {
                let datum = datum(record, *side);
                if is_null(&datum.value) {
                    return Ok(Value::Null);
                }
                match path.find(datum.value, arena) {
                    Ok(found) => Ok(found.first().copied().unwrap_or_default()),
                    Err(PathError::NotFound(_)) => Ok(Value::Null),
                    Err(error) => Err(error.into()),
                }
            }
            // Of several the last, as `Headers.lastWithName`.
            Source::Header(name) => {
                let found = record.headers.iter().rev().find(|header| header.name == *name);
                Ok(found.map_or(Value::Null, |header| header.datum.value))
            }
        }
    }

    fn what(&self) -> String {
        match &self.source {
            Source::Whole(side) => format!("the {}", name_of(*side)),
            Source::Field(side) | Source::Path(side, _) => {
                format!("field '{}' of the {}", self.field, name_of(*side))
            }
            Source::Header(name) => format!("header '{name}'"),
        }
    }
}

fn name_of(side: Side) -> &'static str {
    match side {
        Side::Key => "key",
        Side::Value => "value",
    }
}

/// A top-level field; null if it is missing. Of JSON text no other member is parsed.
pub fn member<'a>(
    datum: SchemaAndValue<'a>,
    name: &str,
    arena: &'a Arena,
) -> Result<Value<'a>, DataError> {
    match (datum.schema, datum.value) {
        (_, Value::Null) => Ok(Value::Null),
        (None, Value::Json(text)) if text.src.first() == Some(&b'{') => {
            Ok(find_path(text, &[name], arena)?.unwrap_or_default())
        }
        (None, value) => Ok(entry(require_map(value, PURPOSE, arena)?, name)),
        (Some(_), value) => {
            let data = require_struct(value, PURPOSE)?;
            let found = data.schema.field(name);
            Ok(found.map_or(Value::Null, |(index, _)| field_value(data, index, true, arena)))
        }
    }
}

impl Transformation for ExtractTopic {
    fn apply<'a>(
        &mut self,
        mut record: Record<'a>,
        arena: &'a Arena,
    ) -> Result<Option<Record<'a>>, DataError> {
        let value = match self.found(&record, arena)? {
            Value::Json(text) => parse_text(text, arena)?,
            value => value,
        };
        match value {
            Value::Str("") => {
                Err(DataError::new(format!("{} is empty, which is no topic", self.what())))
            }
            Value::Str(topic) => {
                record.topic = topic;
                Ok(Some(record))
            }
            Value::Null if self.skip => Ok(Some(record)),
            Value::Null => Err(DataError::new(format!(
                "{} is missing or null, so that the record has no topic; `{SKIP}` would leave it \
                 the one it has",
                self.what()
            ))),
            other => Err(DataError::new(format!(
                "The topic must be a string, but {} is: {}",
                self.what(),
                other.java_class()
            ))),
        }
    }

    fn takes_text(&self) -> bool {
        true
    }

    fn reads(&self) -> Reads {
        match &self.source {
            Source::Whole(side) | Source::Field(side) | Source::Path(side, _) => reads(*side),
            Source::Header(_) => Reads { headers: true, ..Reads::NOTHING },
        }
    }

    fn class_name(&self) -> &'static str {
        match &self.source {
            Source::Whole(side) | Source::Field(side) | Source::Path(side, _) => class_of(*side),
            Source::Header(_) => HEADER.class,
        }
    }
}
