//! Cast: fields, or the whole key or value, as another primitive type.

use std::cell::RefCell;
use std::sync::Arc;

use millrace_api::Config;
use millrace_api::config_def::{
    ConfigDef, ConfigError, ConfigKey, DefaultValue, Importance, Type, Validator, split_list,
};
use millrace_api::record::Record;
use millrace_api::transformation::{Call, JsonOp, JsonOps, Quick, Reads, Side, Transformation};
use millrace_converters::data::{DATE_NAME, DECIMAL_NAME, TIME_NAME, TIMESTAMP_NAME};
use millrace_converters::{
    Arena, DataError, Field, Schema, SchemaAndValue, SchemaType, Struct, Value,
};

use crate::cast_value::cast;
use crate::requirements::{
    REPLACE_NULL, datum, field_value, fields, put, reads, replace_null_key, require_map,
    require_struct, required, room_for, with_datum,
};
use crate::schema_cache::{REFUSED, SchemaCache, copy_basics};
use crate::sides::sided;

const PURPOSE: &str = "cast types";

sided!(Cast, "Cast");

fn config_def() -> ConfigDef {
    let spec = ConfigKey::new(
        "spec",
        Type::List,
        DefaultValue::Required,
        Importance::High,
        "List of fields and the type to cast them to of the form field1:type,field2:type to cast \
         fields of Maps or Structs. A single type to cast the entire value. Valid types are int8, \
         int16, int32, int64, float32, float64, boolean, and string. Note that binary fields can \
         only be cast to string.",
    )
    .check(Validator::Custom(|text| Spec::parse(&split_list(text)).map(drop)));
    ConfigDef::new().define(spec).define(replace_null_key())
}

/// What is cast to what.
#[derive(Debug, PartialEq)]
enum Spec {
    Whole(SchemaType),
    Fields(Vec<(String, SchemaType)>),
}

impl Spec {
    fn parse(mappings: &[String]) -> Result<Self, String> {
        if mappings.is_empty() {
            return Err("Must specify at least one field to cast.".to_owned());
        }
        let mut casts: Vec<(String, SchemaType)> = Vec::new();
        let mut whole = None;
        for mapping in mappings {
            // Java's split drops empty parts at the end.
            let parts: Vec<_> = mapping.trim_end_matches(':').split(':').collect();
            match parts[..] {
                [bare] => whole = Some(output_type(bare)?),
                [field, type_] => {
                    let (field, type_) = (field.trim(), output_type(type_)?);
                    casts.retain(|(known, _)| known != field);
                    casts.push((field.to_owned(), type_));
                }
                _ => return Err(format!("Invalid rename mapping: {mapping}")),
            }
        }
        match whole {
            None => Ok(Self::Fields(casts)),
            Some(type_) if mappings.len() == 1 => Ok(Self::Whole(type_)),
            Some(_) => Err("Cast transformations that specify a type to cast the entire value to \
                            may ony specify a single cast in their spec"
                .to_owned()),
        }
    }

    fn of(&self, name: &str) -> Option<SchemaType> {
        match self {
            Self::Whole(_) => None,
            Self::Fields(casts) => {
                casts.iter().find(|(field, _)| field == name).map(|(_, type_)| *type_)
            }
        }
    }
}

const OUTPUT: [SchemaType; 8] = [
    SchemaType::Int8,
    SchemaType::Int16,
    SchemaType::Int32,
    SchemaType::Int64,
    SchemaType::Float32,
    SchemaType::Float64,
    SchemaType::Boolean,
    SchemaType::String,
];

fn output_type(text: &str) -> Result<SchemaType, String> {
    let name = text.trim().to_uppercase();
    OUTPUT.into_iter().find(|type_| type_.name() == name).ok_or_else(|| {
        let valid: Vec<_> = OUTPUT.iter().map(|type_| type_.name().to_lowercase()).collect();
        format!(
            "Invalid type found in casting spec: {}; valid are {}",
            text.trim(),
            valid.join(", ")
        )
    })
}

/// The new schema and, for each of its fields, what it is cast to.
struct Plan {
    schema: Arc<Schema>,
    casts: Vec<Option<SchemaType>>,
}

struct Cast {
    side: Side,
    spec: Spec,
    replace_null: bool,
    plans: SchemaCache<Plan>,
    /// For texts on their way into the arena.
    scratch: Vec<u8>,
}

impl Cast {
    fn configure(config: &Config, side: Side) -> Result<Box<dyn Transformation>, Vec<ConfigError>> {
        let parsed = config_def().parse(config)?;
        let spec = Spec::parse(&parsed.list("spec"))
            .map_err(|message| vec![ConfigError { key: "spec".to_owned(), message }])?;
        let replace_null = parsed.bool(REPLACE_NULL);
        let plans = SchemaCache::default();
        Ok(Box::new(Self { side, spec, replace_null, plans, scratch: Vec::new() }))
    }

    fn apply_schemaless<'a>(
        &mut self,
        record: Record<'a>,
        value: Value<'a>,
        arena: &'a Arena,
    ) -> Result<Record<'a>, DataError> {
        let scratch = &mut self.scratch;
        let casts = match &self.spec {
            Spec::Whole(type_) => {
                let value = cast(SchemaAndValue { schema: None, value }, *type_, scratch, arena)?;
                return Ok(with_datum(record, self.side, None, value));
            }
            Spec::Fields(casts) => casts,
        };
        let entries = require_map(value, PURPOSE, arena)?;
        let mut map = room_for(entries.len() + casts.len(), arena);
        map.extend_from_slice_copy(entries);
        for (field, type_) in casts {
            let found = map.iter_mut().find(|(key, _)| key.as_str() == Some(field));
            match found {
                Some((_, value)) => {
                    let datum = SchemaAndValue { schema: None, value: *value };
                    *value = cast(datum, *type_, scratch, arena)?;
                }
                None => put(&mut map, arena.alloc_str(field), Value::Null),
            }
        }
        Ok(with_datum(record, self.side, None, Value::Map(map.into_bump_slice())))
    }

    fn apply_with_schema<'a>(
        &mut self,
        record: Record<'a>,
        datum: SchemaAndValue<'a>,
        schema: &'a Schema,
        arena: &'a Arena,
    ) -> Result<Record<'a>, DataError> {
        let (spec, scratch) = (&self.spec, &mut self.scratch);
        let plan = self.plans.get(schema, |schema| plan(schema, spec, arena))?;
        let updated = arena.pin_schema(&plan.schema);
        if let Spec::Whole(type_) = spec {
            let value = cast(datum, *type_, scratch, arena)?;
            return Ok(with_datum(record, self.side, Some(updated), value));
        }
        let data = require_struct(datum.value, PURPOSE)?;
        let mut values = room_for(updated.fields.len(), arena);
        for (index, field) in updated.fields.iter().enumerate() {
            let mut value = field_value(data, index, self.replace_null, arena);
            if let (Some(type_), Some(from)) = (plan.casts[index], data.schema.fields.get(index)) {
                let datum = SchemaAndValue { schema: Some(&*from.schema), value };
                value = cast(datum, type_, scratch, arena)?;
            }
            required(value, field)?;
            values.push(value);
        }
        let data = arena.alloc(Struct { schema: updated, values: values.into_bump_slice() });
        Ok(with_datum(record, self.side, Some(updated), Value::Struct(data)))
    }
}

fn plan(schema: &Schema, spec: &Spec, arena: &Arena) -> Result<Plan, DataError> {
    if let Spec::Whole(type_) = spec {
        let basics = Schema { fields: Vec::new(), ..copy_basics(schema) };
        let updated = Schema { type_: *type_, optional: schema.optional, ..basics };
        let default = default_of(schema, *type_, arena)?;
        // The name stays. A logical type's does not allow what the default has become.
        if default.is_some() && updated.name.as_deref().is_some_and(is_logical) {
            return Err(DataError::with_class(REFUSED, "Invalid default value"));
        }
        let updated = Schema { default, ..updated };
        return Ok(Plan { schema: Arc::new(updated), casts: Vec::new() });
    }
    let mut updated = Schema { optional: schema.optional, ..copy_basics(schema) };
    let mut casts = Vec::new();
    for field in fields(schema)? {
        let type_ = spec.of(&field.name);
        casts.push(type_);
        updated.fields.push(match type_ {
            None => field.clone(),
            Some(type_) => {
                let default = default_of(&field.schema, type_, arena)?;
                let optional = field.schema.optional;
                let schema = Schema { optional, default, ..Schema::new(type_) };
                Field { name: Arc::clone(&field.name), schema: Arc::new(schema) }
            }
        });
    }
    // A default that is a struct: Java would cast it as it casts no struct.
    if schema.default.is_some() {
        return Err(DataError::new("Cast transformation does not support casting from STRUCT"));
    }
    Ok(Plan { schema: Arc::new(updated), casts })
}

/// Whether `ConnectSchema` allows values of a class of its own under this name.
fn is_logical(name: &str) -> bool {
    [DECIMAL_NAME, DATE_NAME, TIME_NAME, TIMESTAMP_NAME].contains(&name)
}

fn default_of(
    schema: &Schema,
    type_: SchemaType,
    arena: &Arena,
) -> Result<Option<millrace_converters::data::OwnedValue>, DataError> {
    let Some(default) = &schema.default else { return Ok(None) };
    let value = default.to_value(arena);
    let value =
        cast(SchemaAndValue { schema: Some(schema), value }, type_, &mut Vec::new(), arena)?;
    Ok(Some(value.to_owned_value()))
}

/// What JSON text comes to as another type, where nothing has to be read for it; the number, if it
/// is a whole one.
fn of_text(number: Option<i64>, text: &[u8], type_: SchemaType, out: &mut Vec<u8>) -> Quick {
    let is_word = matches!(text, b"true" | b"false");
    let kept = match (type_, number) {
        (SchemaType::String, None) if text.first() == Some(&b'"') => true,
        (SchemaType::String, _) if number.is_some() || is_word || is_javas_double(text) => {
            out.push(b'"');
            out.extend_from_slice(text);
            out.push(b'"');
            return Quick::Written;
        }
        (SchemaType::Boolean, Some(number)) => {
            out.extend_from_slice(if number == 0 { b"false" } else { b"true" });
            return Quick::Written;
        }
        (SchemaType::Boolean, None) => is_word,
        (SchemaType::Float64, None) => is_javas_double(text),
        (SchemaType::Int64, Some(_)) => true,
        (SchemaType::Int32, Some(number)) => i32::try_from(number).is_ok(),
        (SchemaType::Int16, Some(number)) => i16::try_from(number).is_ok(),
        (SchemaType::Int8, Some(number)) => i8::try_from(number).is_ok(),
        _ => false,
    };
    if kept { Quick::Kept } else { Quick::Unknown }
}

/// Whether this is just what `Double.toString` makes of the number that it is: no exponent, no zero
/// too many, and so few digits that no shorter ones are of the same number.
fn is_javas_double(text: &[u8]) -> bool {
    const EXACT: usize = 15;
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let Some(point) = digits.iter().position(|byte| *byte == b'.') else { return false };
    let (whole, part) = (&digits[..point], &digits[point + 1..]);
    let (Some(first), Some(last)) = (whole.first(), part.last()) else { return false };
    // From 10^-3 up to 10^7 there is no exponent.
    let is_small = *first == b'0' && part.starts_with(b"000");
    let in_range = whole.len() <= 7 && !is_small;
    let tidy = (*first != b'0' || whole.len() == 1) && (*last != b'0' || part.len() == 1);
    let all_digits = whole.iter().chain(part).all(u8::is_ascii_digit);
    in_range && tidy && all_digits && whole.len() + part.len() <= EXACT
}

impl Transformation for Cast {
    fn apply<'a>(
        &mut self,
        record: Record<'a>,
        arena: &'a Arena,
    ) -> Result<Option<Record<'a>>, DataError> {
        let datum = datum(&record, self.side);
        match datum.schema {
            _ if datum.value.is_null() => Ok(Some(record)),
            None => self.apply_schemaless(record, datum.value, arena).map(Some),
            Some(schema) => self.apply_with_schema(record, datum, schema, arena).map(Some),
        }
    }

    fn json_ops(&self) -> Option<JsonOps> {
        let Spec::Fields(casts) = &self.spec else { return None };
        let op = |(field, type_): &(String, SchemaType)| {
            let (type_, scratch) = (*type_, RefCell::default());
            let call = Call::new(move |value, arena| {
                cast(
                    SchemaAndValue { schema: None, value },
                    type_,
                    &mut scratch.borrow_mut(),
                    arena,
                )
            });
            let call =
                call.with_short_cut(move |number, text, out| of_text(number, text, type_, out));
            JsonOp::Convert { name: field.clone(), call }
        };
        Some(JsonOps { side: self.side, ops: casts.iter().map(op).collect() })
    }

    fn reads(&self) -> Reads {
        reads(self.side)
    }

    fn class_name(&self) -> &'static str {
        class_of(self.side)
    }
}

#[cfg(test)]
mod tests {
    use millrace_converters::data::OwnedValue;

    use super::*;

    fn spec(text: &str) -> Result<Spec, String> {
        Spec::parse(&split_list(text))
    }

    #[test]
    fn specs_as_java_reads_them() {
        assert_eq!(spec("int8"), Ok(Spec::Whole(SchemaType::Int8)));
        assert_eq!(spec("string:"), Ok(Spec::Whole(SchemaType::String)));
        let fields =
            vec![("a".to_owned(), SchemaType::Int64), ("b".to_owned(), SchemaType::String)];
        assert_eq!(spec("a : INT64, b:string"), Ok(Spec::Fields(fields)));
        for wrong in ["", "a:int9", "bytes", "a:bytes", "a:b:int8", "int8,a:int8", "int8,int8"] {
            assert!(spec(wrong).is_err(), "{wrong}");
        }
        assert!(spec("a:decimal").unwrap_err().contains("decimal; valid are int8, int16"));
    }
    #[test]
    fn a_logical_types_default_does_not_survive() {
        let plan = |schema: Schema, to: &str| plan(&schema, &spec(to).unwrap(), &Arena::new());
        let bare = Schema::timestamp();
        let with_default = || Schema { default: Some(OwnedValue::Timestamp(1)), ..bare.clone() };
        assert_eq!(plan(bare.clone(), "int64").unwrap().schema.default, None);
        let refused = plan(with_default(), "int64").err().unwrap();
        assert_eq!((refused.class, refused.message.as_str()), (REFUSED, "Invalid default value"));
        let renamed = Schema {
            name: Some("a.b".into()),
            default: Some(OwnedValue::Int64(1)),
            ..Schema::new(SchemaType::Int64)
        };
        assert!(plan(renamed, "int64").is_ok());
    }
}
