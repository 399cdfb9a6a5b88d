//! Filter: drops or keeps the records in which a JSONPath finds something.

use millrace_api::Config;
use millrace_api::config_def::{
    ConfigDef, ConfigError, ConfigKey, DefaultValue, Importance, Type, Validator,
};
use millrace_api::record::Record;
use millrace_api::transformation::{Reads, Side, Transformation};
use millrace_converters::{Arena, DataError, Value};

use crate::json_path::{JsonPath, PathError};
use crate::requirements::{datum, reads, require_map, require_struct};
use crate::sides::sided;

const CONDITION: &str = "filter.condition";
const TYPE: &str = "filter.type";
const MISSING: &str = "missing.or.null.behavior";

sided!(Filter, "io.confluent.connect.transforms.", "Filter");

fn config_def() -> ConfigDef {
    ConfigDef::new()
        .define(
            ConfigKey::new(
                CONDITION,
                Type::String,
                DefaultValue::Required,
                Importance::High,
                "A JSONPath, mostly with a predicate; the records in which it finds something \
                 are included or excluded. An example: <code>$[?(@.country == 'CH')]</code>.",
            )
            .check(Validator::Custom(|text| condition(text).map(drop))),
        )
        .define(
            ConfigKey::new(
                TYPE,
                Type::String,
                DefaultValue::Required,
                Importance::High,
                "<code>include</code> passes on the records that meet the condition and drops the \
                 others, <code>exclude</code> drops those that meet it.",
            )
            .check(Validator::OneOfIgnoreCase(&["include", "exclude"])),
        )
        .define(
            ConfigKey::new(
                MISSING,
                Type::String,
                DefaultValue::Of("fail"),
                Importance::Medium,
                "What becomes of a record that lacks the fields on the way to the condition's \
                 predicate: <code>fail</code>, <code>include</code> or <code>exclude</code>. Inside \
                 a predicate a missing field just meets no comparison.",
            )
            .check(Validator::OneOfIgnoreCase(&["fail", "include", "exclude"])),
        )
}

fn condition(text: &str) -> Result<JsonPath, String> {
    let path = JsonPath::new(text).map_err(|why| format!("Invalid JSON path: {why}"))?;
    // The library refuses each record then: a function has no list of results.
    match path.is_function() {
        true => Err("Invalid JSON path: a condition cannot end with a function".to_owned()),
        false => Ok(path),
    }
}

/// What becomes of records that the condition cannot be asked of.
#[derive(Clone, Copy)]
enum Missing {
    Fail,
    Include,
    Exclude,
}

struct Filter {
    side: Side,
    text: String,
    condition: JsonPath,
    include: bool,
    missing: Missing,
}

impl Filter {
    fn configure(config: &Config, side: Side) -> Result<Box<dyn Transformation>, Vec<ConfigError>> {
        let parsed = config_def().parse(config)?;
        let text = parsed.string(CONDITION).to_owned();
        let condition =
            condition(&text).map_err(|why| vec![ConfigError::invalid(CONDITION, &text, &why)])?;
        let missing = match parsed.string(MISSING).to_ascii_lowercase().as_str() {
            "include" => Missing::Include,
            "exclude" => Missing::Exclude,
            _ => Missing::Fail,
        };
        let include = parsed.string(TYPE).eq_ignore_ascii_case("include");
        Ok(Box::new(Self { side, text, condition, include, missing }))
    }

    #[cold]
    fn not_found(&self) -> DataError {
        DataError::from(PathError::NotFound(format!(
            "The condition `{}` could not be asked of the record, which lacks the fields on its \
             way. Set `{MISSING}` to `include` or `exclude` to keep or drop such records.",
            self.text
        )))
    }
}

impl Transformation for Filter {
    fn apply<'a>(
        &mut self,
        record: Record<'a>,
        arena: &'a Arena,
    ) -> Result<Option<Record<'a>>, DataError> {
        let datum = datum(&record, self.side);
        match (datum.schema, datum.value) {
            (_, Value::Null) => return Ok(Some(record)),
            // Looked into as text; nothing but the way to the condition is parsed.
            (None, Value::Json(text)) if text.src.first() == Some(&b'{') => {}
            (None, value) => {
                require_map(value, "filtering record without schema", arena)?;
            }
            (Some(_), value) => {
                require_struct(value, "filtering record with schema")?;
            }
        }
        let keeps = match self.condition.find(datum.value, arena) {
            Ok(found) => found.is_empty() != self.include,
            Err(PathError::NotFound(_)) => match self.missing {
                Missing::Fail => return Err(self.not_found()),
                Missing::Include => true,
                Missing::Exclude => false,
            },
            Err(error) => return Err(error.into()),
        };
        Ok(keeps.then_some(record))
    }

    fn takes_text(&self) -> bool {
        true
    }

    fn reads(&self) -> Reads {
        reads(self.side)
    }

    fn class_name(&self) -> &'static str {
        class_of(self.side)
    }
}
