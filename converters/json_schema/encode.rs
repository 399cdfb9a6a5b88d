//! Connect's data as JSON text, by a plan made once for each Connect schema.
//!
//! The schema that the text goes under does not change it: data is written by its own.

use super::config::JsonSchemaDataConfig;
use super::decode::filled;
use super::from_connect::{element, has_string_keys, is_others, is_union};
use super::names::{ADDITIONAL, KEY, VALUE};
use crate::arena::Arena;
use crate::converter::DataError;
use crate::data::{
    DATE_NAME, DECIMAL_NAME, Schema, SchemaType, Struct, TIME_NAME, TIMESTAMP_NAME, Value,
};
use crate::json::text::write_string;
use crate::json::{DecimalFormat, WriteOptions, write_decimal, write_value};
use crate::unfit::{in_field, incomplete, invalid};
use crate::variant::{VARIANT_NAME, places, write_json};

/// How one value is written, null aside.
#[derive(Debug)]
enum Step {
    /// As the value is: numbers, text, bytes.
    Plain,
    Decimal,
    Date,
    Time,
    Timestamp,
    Array(Box<Plan>),
    Map(Box<Plan>),
    /// Objects of a key and a value.
    Entries(Box<Plan>, Box<Plan>),
    Struct(Parts),
    /// A struct inside of itself, by how many structs out it is.
    Again(usize),
    Union(Vec<Plan>),
    Variant,
    /// Members that the schema does not name, written where the struct ends.
    Others,
}

/// A step, and what null becomes.
#[derive(Debug)]
struct Plan {
    step: Step,
    null: Null,
}

#[derive(Debug)]
enum Null {
    /// Nothing is written: the member is left out.
    Absent,
    /// `null`.
    Written,
    /// The default's text.
    Default(Box<[u8]>),
}

#[derive(Debug)]
struct Parts {
    /// In the order of the fields.
    list: Box<[Part]>,
    /// The field that has the members which the schema does not name.
    others: Option<usize>,
}

/// A field of a struct.
#[derive(Debug)]
struct Part {
    /// A comma, the name and a colon.
    lead: Box<[u8]>,
    plan: Plan,
}

/// The plan for one Connect schema; without one, values are written by what they are.
#[derive(Debug)]
pub(super) struct Encoder {
    plan: Option<Plan>,
    options: WriteOptions,
}

/// Schemas inside of schemas.
const MAX_DEPTH: usize = 100;

impl Encoder {
    /// Compiles; the error says which field cannot be written.
    pub fn compile(schema: Option<&Schema>, config: &JsonSchemaDataConfig) -> Result<Self, String> {
        let options = WriteOptions {
            decimal_format: config.decimal_format,
            replace_null_with_default: false,
        };
        let mut compiler = Compiler { config, options, open: Vec::new(), depth: 0 };
        let plan = schema.map(|schema| compiler.plan(schema)).transpose()?;
        Ok(Self { plan, options })
    }

    /// Appends the value; false, and nothing appended, is no value at all. On an error `out` may
    /// hold a beginning.
    pub fn write(
        &self,
        schema: Option<&Schema>,
        value: Value<'_>,
        out: &mut Vec<u8>,
    ) -> Result<bool, DataError> {
        match (&self.plan, schema) {
            (Some(plan), Some(schema)) => plan.write(schema, value, out, None, &self.options),
            _ => write_any(value, out, &self.options).map(|()| true),
        }
    }
}

struct Compiler<'s> {
    config: &'s JsonSchemaDataConfig,
    options: WriteOptions,
    /// Structs that are being compiled, outermost first.
    open: Vec<&'s Schema>,
    depth: usize,
}

impl<'s> Compiler<'s> {
    fn plan<'o: 's>(&mut self, schema: &'o Schema) -> Result<Plan, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("the schema nests too deeply".into());
        }
        let step = self.step(schema)?;
        self.depth -= 1;
        let absent = if schema.optional { Null::Written } else { Null::Absent };
        let mut plan = Plan { step, null: absent };
        if let Some(default) = &schema.default
            && !self.config.ignore_default_for_nullables
        {
            let (arena, mut text) = (Arena::new(), Vec::new());
            plan.write(schema, filled(default, schema, &arena), &mut text, None, &self.options)
                .map_err(|error| format!("the default: {}", error.message))?;
            plan.null = Null::Default(text.into());
        }
        Ok(plan)
    }

    fn step<'o: 's>(&mut self, schema: &'o Schema) -> Result<Step, String> {
        match schema.name.as_deref() {
            Some(DECIMAL_NAME) => return Ok(Step::Decimal),
            Some(DATE_NAME) => return Ok(Step::Date),
            Some(TIME_NAME) => return Ok(Step::Time),
            Some(TIMESTAMP_NAME) => return Ok(Step::Timestamp),
            Some(VARIANT_NAME) => return Ok(Step::Variant),
            _ => {}
        }
        Ok(match schema.type_ {
            SchemaType::Array => Step::Array(self.boxed(element(&schema.value_schema)?)?),
            SchemaType::Map if has_string_keys(schema) => {
                Step::Map(self.boxed(element(&schema.value_schema)?)?)
            }
            SchemaType::Map => Step::Entries(
                self.boxed(element(&schema.key_schema)?)?,
                self.boxed(element(&schema.value_schema)?)?,
            ),
            SchemaType::Struct if is_union(schema) => {
                let fields = schema.fields.iter().map(|field| self.plan(&field.schema));
                Step::Union(fields.collect::<Result<_, _>>()?)
            }
            SchemaType::Struct => {
                let same = |one: &&Schema| schema.name.is_some() && one.name == schema.name;
                let known = self.open.iter().rposition(same).filter(|_| schema.fields.is_empty());
                if let Some(at) = known {
                    return Ok(Step::Again(self.open.len() - 1 - at));
                }
                self.open.push(schema);
                let mut parts = Vec::with_capacity(schema.fields.len());
                for field in &schema.fields {
                    let mut plan =
                        self.plan(&field.schema).map_err(|why| format!("{}: {why}", field.name))?;
                    if self.config.preserve_additional_properties && is_others(field) {
                        plan = Plan { step: Step::Others, null: Null::Absent };
                    }
                    let mut lead = vec![b','];
                    write_string(&field.name, &mut lead);
                    lead.push(b':');
                    parts.push(Part { lead: lead.into(), plan });
                }
                self.open.pop();
                let others = parts.iter().position(|part| matches!(part.plan.step, Step::Others));
                Step::Struct(Parts { list: parts.into(), others })
            }
            _ => Step::Plain,
        })
    }

    fn boxed<'o: 's>(&mut self, schema: &'o Schema) -> Result<Box<Plan>, String> {
        self.plan(schema).map(Box::new)
    }
}

/// The structs around a value, innermost first.
struct Around<'f> {
    parts: &'f Parts,
    schema: &'f Schema,
    outer: Option<&'f Around<'f>>,
}

fn further_out<'f>(around: Option<&'f Around<'f>>, by: usize) -> Option<&'f Around<'f>> {
    (0..by).try_fold(around?, |record, _| record.outer)
}

impl Plan {
    fn write(
        &self,
        schema: &Schema,
        value: Value<'_>,
        out: &mut Vec<u8>,
        around: Option<&Around<'_>>,
        options: &WriteOptions,
    ) -> Result<bool, DataError> {
        if value.is_null() {
            match &self.null {
                Null::Absent => return Ok(false),
                Null::Written => out.extend_from_slice(b"null"),
                Null::Default(text) => out.extend_from_slice(text),
            }
            return Ok(true);
        }
        match (&self.step, value) {
            (Step::Plain, value) => plain(schema, value, out, options)?,
            (Step::Date, Value::Date(number)) | (Step::Time, Value::Time(number)) => {
                integer(number.into(), out);
            }
            (Step::Timestamp, Value::Timestamp(number)) => integer(number, out),
            (Step::Decimal, Value::Decimal(decimal)) => {
                write_decimal(schema, decimal, out, options)?;
            }
            (Step::Array(items), Value::Array(values)) => {
                let of = schema.value_schema.as_deref().ok_or_else(incomplete)?;
                list(values, b"[]", out, |value, out| {
                    items.write_or_null(of, *value, out, around, options)
                })?;
            }
            (Step::Map(values), Value::Map(entries)) => {
                let of = schema.value_schema.as_deref().ok_or_else(incomplete)?;
                list(entries, b"{}", out, |(key, value), out| {
                    let key = key.as_str().ok_or_else(|| invalid(SchemaType::String, *key))?;
                    write_string(key, out);
                    out.push(b':');
                    values.write_or_null(of, *value, out, around, options)
                })?;
            }
            (Step::Entries(keys, values), Value::Map(entries)) => {
                let of_key = schema.key_schema.as_deref().ok_or_else(incomplete)?;
                let of_value = schema.value_schema.as_deref().ok_or_else(incomplete)?;
                list(entries, b"[]", out, |(key, value), out| {
                    entry(
                        out,
                        |out| keys.write_or_null(of_key, *key, out, around, options),
                        |out| values.write_or_null(of_value, *value, out, around, options),
                    )
                })?;
            }
            (Step::Struct(parts), Value::Struct(value)) => {
                write_struct(parts, schema, value, out, around, options)?;
            }
            (Step::Again(out_by), Value::Struct(value)) => {
                let record = further_out(around, *out_by).ok_or_else(incomplete)?;
                write_struct(record.parts, record.schema, value, out, record.outer, options)?;
            }
            (Step::Union(plans), Value::Struct(value)) => {
                return self.write_union(plans, schema, value, out, around, options);
            }
            (Step::Variant, Value::Struct(value)) => write_variant(value, out)?,
            (Step::Decimal | Step::Date | Step::Time | Step::Timestamp | Step::Variant, other) => {
                return Err(mistyped(schema, other));
            }
            (_, other) => return Err(invalid(schema.type_, other)),
        }
        Ok(true)
    }

    /// The field that is set, as if it stood alone.
    fn write_union(
        &self,
        plans: &[Self],
        schema: &Schema,
        value: &Struct<'_>,
        out: &mut Vec<u8>,
        around: Option<&Around<'_>>,
        options: &WriteOptions,
    ) -> Result<bool, DataError> {
        if !schema.admits(value.schema) {
            return Err(DataError::new("Mismatching schema."));
        }
        let set = value.values.iter().position(|value| !value.is_null());
        match set.and_then(|set| Some((set, plans.get(set)?))) {
            None => self.write(schema, Value::Null, out, around, options),
            Some((set, plan)) => {
                let of = &schema.fields[set].schema;
                plan.write(of, value.values[set], out, around, options)
            }
        }
    }

    /// Within arrays and maps what is absent is null.
    fn write_or_null(
        &self,
        schema: &Schema,
        value: Value<'_>,
        out: &mut Vec<u8>,
        around: Option<&Around<'_>>,
        options: &WriteOptions,
    ) -> Result<(), DataError> {
        if !self.write(schema, value, out, around, options)? {
            out.extend_from_slice(b"null");
        }
        Ok(())
    }
}

fn write_struct(
    parts: &Parts,
    schema: &Schema,
    value: &Struct<'_>,
    out: &mut Vec<u8>,
    outer: Option<&Around<'_>>,
    options: &WriteOptions,
) -> Result<(), DataError> {
    if !schema.admits(value.schema) {
        return Err(DataError::new("Mismatching schema."));
    }
    let around = Around { parts, schema, outer };
    let others = others_of(parts, value)?;
    out.push(b'{');
    let start = out.len();
    for (at, (part, field)) in parts.list.iter().zip(&schema.fields).enumerate() {
        if parts.others == Some(at) || instead(others, &field.name) {
            continue;
        }
        let before = out.len();
        out.extend_from_slice(&part.lead[usize::from(before == start)..]);
        let value = value.values.get(at).copied().unwrap_or_default();
        let written = part.plan.write(&field.schema, value, out, Some(&around), options);
        match written {
            Ok(true) => {}
            Ok(false) => out.truncate(before),
            Err(error) => return Err(in_field(error, &field.name)),
        }
    }
    for (key, value) in others {
        let key = key.as_str().ok_or_else(|| invalid(SchemaType::String, *key))?;
        out.extend_from_slice(&b","[..usize::from(out.len() > start)]);
        write_string(key, out);
        out.push(b':');
        match value {
            Value::Struct(value) => write_variant(value, out),
            other => Err(DataError::new(format!(
                "Invalid type for Variant, expected Struct but was class {}",
                other.java_class()
            ))),
        }
        .map_err(|error| in_field(error, key))?;
    }
    out.push(b'}');
    Ok(())
}

/// A map's entries.
type Entries<'v> = &'v [(Value<'v>, Value<'v>)];

/// The members that the struct has beside its fields.
fn others_of<'v>(parts: &Parts, value: &Struct<'v>) -> Result<Entries<'v>, DataError> {
    match parts.others.and_then(|at| value.values.get(at)) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Map(entries)) => Ok(entries),
        Some(other) => Err(in_field(invalid(SchemaType::Map, *other), ADDITIONAL)),
    }
}

/// A member that has a field's name goes out instead of it.
fn instead(others: Entries<'_>, name: &str) -> bool {
    others.iter().any(|(key, _)| key.as_str() == Some(name))
}

/// What the Variant says, by the fields of its own schema.
fn write_variant(value: &Struct<'_>, out: &mut Vec<u8>) -> Result<(), DataError> {
    let places = places(value.schema);
    let bytes = |at: usize| match value.values.get(at) {
        Some(Value::Bytes(bytes)) => Some(*bytes),
        _ => None,
    };
    let both = places.and_then(|(metadata, value)| Some((bytes(metadata)?, bytes(value)?)));
    match both {
        Some((metadata, value)) => write_json(metadata, value, out),
        None => Err(DataError::new("A Variant must have bytes in its fields metadata and value")),
    }
}

/// A value that is of the schema's own type.
fn plain(
    schema: &Schema,
    value: Value<'_>,
    out: &mut Vec<u8>,
    options: &WriteOptions,
) -> Result<(), DataError> {
    use SchemaType as T;
    match (schema.type_, value) {
        (T::String, Value::Str(text)) => {
            write_string(text, out);
            Ok(())
        }
        (T::Int64, Value::Int64(number)) => {
            integer(number, out);
            Ok(())
        }
        (T::Int32, Value::Int32(number)) => {
            integer(number.into(), out);
            Ok(())
        }
        (T::Int8, Value::Int8(_))
        | (T::Int16, Value::Int16(_))
        | (T::Float32, Value::Float32(_))
        | (T::Float64, Value::Float64(_))
        | (T::Boolean, Value::Boolean(_))
        | (T::Bytes, Value::Bytes(_)) => write_value(None, value, out, options),
        (T::Bytes, Value::Decimal(decimal)) => {
            let numeric = WriteOptions { decimal_format: DecimalFormat::Numeric, ..*options };
            write_decimal(schema, decimal, out, &numeric)
        }
        (type_, other) => Err(invalid(type_, other)),
    }
}

/// Data without schema.
fn write_any(value: Value<'_>, out: &mut Vec<u8>, options: &WriteOptions) -> Result<(), DataError> {
    match value {
        Value::Array(items) => list(items, b"[]", out, |item, out| write_any(*item, out, options)),
        Value::Map(entries) if entries.iter().all(|(key, _)| key.as_str().is_some()) => {
            list(entries, b"{}", out, |(key, value), out| {
                write_string(key.as_str().unwrap_or_default(), out);
                out.push(b':');
                write_any(*value, out, options)
            })
        }
        Value::Map(entries) => list(entries, b"[]", out, |(key, value), out| {
            entry(out, |out| write_any(*key, out, options), |out| write_any(*value, out, options))
        }),
        other => write_value(None, other, out, options),
    }
}

fn list<T>(
    items: &[T],
    brackets: &[u8; 2],
    out: &mut Vec<u8>,
    mut each: impl FnMut(&T, &mut Vec<u8>) -> Result<(), DataError>,
) -> Result<(), DataError> {
    out.push(brackets[0]);
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        each(item, out)?;
    }
    out.push(brackets[1]);
    Ok(())
}

/// One entry of a map as an object of its own.
fn entry(
    out: &mut Vec<u8>,
    key: impl FnOnce(&mut Vec<u8>) -> Result<(), DataError>,
    value: impl FnOnce(&mut Vec<u8>) -> Result<(), DataError>,
) -> Result<(), DataError> {
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(KEY.as_bytes());
    out.extend_from_slice(b"\":");
    key(out)?;
    out.extend_from_slice(b",\"");
    out.extend_from_slice(VALUE.as_bytes());
    out.extend_from_slice(b"\":");
    value(out)?;
    out.push(b'}');
    Ok(())
}

#[inline]
fn integer(number: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cold]
fn mistyped(schema: &Schema, value: Value<'_>) -> DataError {
    let name = schema.name.as_deref().unwrap_or_default();
    let short = name.rsplit('.').next().unwrap_or(name);
    let expected = match short {
        "Decimal" => "BigDecimal",
        "Variant" => "Struct",
        _ => "Date",
    };
    DataError::new(format!(
        "Invalid type for {short}, expected {expected} but was class {}",
        value.java_class()
    ))
}
