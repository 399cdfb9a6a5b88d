//! ExtractField: one field in place of the whole key or value.

use millrace_api::Config;
use millrace_api::config_def::{ConfigDef, ConfigError, ConfigKey, DefaultValue, Importance, Type};
use millrace_api::record::Record;
use millrace_api::transformation::{JsonOp, JsonOps, Reads, Side, Transformation};
use millrace_converters::json::find_path;
use millrace_converters::{Arena, DataError, Value};

use crate::field_path::{FIELD_SYNTAX_VERSION, SingleFieldPath, field_syntax_version_key};
use crate::requirements::{
    REPLACE_NULL, datum, put_datum, reads, replace_null_key, require_map, require_struct,
};
use crate::sides::sided;

const PURPOSE: &str = "field extraction";

sided!(ExtractField, "ExtractField");

fn config_def() -> ConfigDef {
    let field = ConfigKey::new(
        "field",
        Type::String,
        DefaultValue::Required,
        Importance::Medium,
        "Field name to extract.",
    );
    ConfigDef::new().define(field).define(replace_null_key()).define(field_syntax_version_key())
}

struct ExtractField {
    side: Side,
    field: String,
    path: SingleFieldPath,
    replace_null: bool,
}

impl ExtractField {
    fn configure(config: &Config, side: Side) -> Result<Box<dyn Transformation>, Vec<ConfigError>> {
        let parsed = config_def().parse(config)?;
        let field = parsed.string("field").to_owned();
        let path = SingleFieldPath::new(&field, parsed.string(FIELD_SYNTAX_VERSION))
            .map_err(|message| vec![ConfigError { key: "field".to_owned(), message }])?;
        Ok(Box::new(Self { side, field, path, replace_null: parsed.bool(REPLACE_NULL) }))
    }
}

impl Transformation for ExtractField {
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
        let Some(schema) = datum.schema else {
            let value = match (datum.value, self.path.single()) {
                (Value::Null, _) => Value::Null,
                (Value::Json(text), Some(name)) if text.src.first() == Some(&b'{') => {
                    find_path(text, &[name], arena)?.unwrap_or_default()
                }
                (value, _) => {
                    self.path.value_from_map(require_map(value, PURPOSE, arena)?, arena)?
                }
            };
            put_datum(record, self.side, None, value);
            return Ok(true);
        };
        let data = match datum.value {
            Value::Null => None,
            value => Some(require_struct(value, PURPOSE)?),
        };
        let Some(field) = self.path.field_from(schema)? else {
            return Err(DataError::with_class(
                "java.lang.IllegalArgumentException",
                format!("Unknown field: {}", self.field),
            ));
        };
        let value = match data {
            None => Value::Null,
            Some(data) => self.path.value_from_struct(data, self.replace_null, arena)?,
        };
        put_datum(record, self.side, Some(&field.schema), value);
        Ok(true)
    }

    fn json_ops(&self) -> Option<JsonOps> {
        let name = self.path.single()?.to_owned();
        Some(JsonOps { side: self.side, ops: vec![JsonOp::Extract { name }] })
    }

    /// A member of an object is found without parsing the others.
    fn takes_text(&self) -> bool {
        self.path.single().is_some()
    }

    fn reads(&self) -> Reads {
        reads(self.side)
    }

    fn class_name(&self) -> &'static str {
        class_of(self.side)
    }
}
