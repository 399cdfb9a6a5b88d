//! Which step writes which value: the plan of [`super::encode`], made of a Connect schema and the
//! Avro schema that is written.

use super::config::AvroDataConfig;
use super::defaults::default_value;
use super::encode::{Part, Step, write};
use super::from_connect::{has_string_keys, is_union, scrubbed};
use super::names::ANYTHING;
use super::schema::{AvroField, AvroSchema, Id, Kind, simple_name};
use super::to_connect;
use crate::arena::Arena;
use crate::data::{Schema, SchemaType};

/// The step for values of `schema` under the whole of `avro`.
pub(super) fn plan(
    schema: &Schema,
    avro: &AvroSchema,
    config: &AvroDataConfig,
) -> Result<Step, String> {
    Compiler { avro, config, open: Vec::new() }.step(schema, avro.root)
}

struct Compiler<'s> {
    avro: &'s AvroSchema,
    config: &'s AvroDataConfig,
    /// Records that are being compiled, outermost first.
    open: Vec<Id>,
}

impl Compiler<'_> {
    fn step(&mut self, schema: &Schema, id: Id) -> Result<Step, String> {
        use SchemaType as T;
        let avro = self.avro;
        let mismatch = || {
            Err(format!("{} cannot be written as {}", schema.type_.name(), avro.kind(id).name()))
        };
        Ok(match (avro.kind(id), schema.type_) {
            (Kind::Union(members), _) => return self.union(schema, members),
            (Kind::Boolean, T::Boolean) => Step::Boolean,
            (Kind::Int, T::Int8 | T::Int16 | T::Int32) => Step::Int,
            (Kind::Long, T::Int8 | T::Int16 | T::Int32 | T::Int64) => Step::Long,
            (Kind::Float, T::Float32) => Step::Float,
            (Kind::Double, T::Float32 | T::Float64) => Step::Double,
            (Kind::Bytes, T::Bytes) => Step::Bytes,
            (Kind::String, T::String) => Step::String,
            (Kind::Fixed(_, size), T::Bytes) => Step::Fixed(*size),
            (Kind::Enum(_, symbols, _), T::String) => Step::Enum(symbols.clone()),
            (Kind::Array(items), T::Array) => {
                let of = schema.value_schema.as_deref().ok_or("an array without element schema")?;
                Step::Array(Box::new(self.step(of, *items)?))
            }
            (Kind::Map(values), T::Map) if has_string_keys(schema, self.config) => {
                let of = schema.value_schema.as_deref().ok_or("a map without value schema")?;
                Step::Map(Box::new(self.step(of, *values)?))
            }
            (Kind::Array(items), T::Map) => return self.entries(schema, *items),
            (Kind::Record(name, _), _) if name == ANYTHING => Step::Anything,
            (Kind::Record(..), T::Struct) => {
                if let Some(at) = self.open.iter().rposition(|open| *open == id) {
                    return Ok(Step::Again(self.open.len() - 1 - at));
                }
                self.open.push(id);
                let record = self.record(schema, id);
                self.open.pop();
                return record;
            }
            _ => return mismatch(),
        })
    }

    fn union(&mut self, schema: &Schema, members: &[Id]) -> Result<Step, String> {
        let place =
            |at: usize| u8::try_from(at).map_err(|_| "a union of over 256 types".to_owned());
        let null = members.iter().position(|member| *self.avro.kind(*member) == Kind::Null);
        let null = null.map(place).transpose()?;
        if is_union(schema) {
            let mut branches = Vec::with_capacity(schema.fields.len());
            for field in &schema.fields {
                let named = |member: &&Id| {
                    let full = self.avro.kind(**member).name();
                    full == &*field.name || simple_name(full) == &*field.name
                };
                let at = members.iter().position(|member| named(&member));
                let tried: Vec<usize> = match at {
                    Some(at) => vec![at],
                    None => (0..members.len()).collect(),
                };
                let found = tried.iter().find_map(|at| {
                    self.step(&field.schema, members[*at]).ok().map(|step| (*at, step))
                });
                let (at, step) = found.ok_or_else(|| {
                    format!("no type of the union is that of its field {}", field.name)
                })?;
                branches.push((place(at)?, step));
            }
            return Ok(Step::Sum(null, branches));
        }
        let mut why = format!("no type of the union is {}", schema.type_.name());
        for (at, member) in members.iter().enumerate() {
            if *self.avro.kind(*member) == Kind::Null {
                continue;
            }
            match self.step(schema, *member) {
                Ok(step) => return Ok(Step::Optional(null, place(at)?, Box::new(step))),
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    fn entries(&mut self, schema: &Schema, items: Id) -> Result<Step, String> {
        let (Some(keys), Some(values)) = (&schema.key_schema, &schema.value_schema) else {
            return Err("a map without key or value schema".into());
        };
        let Kind::Record(_, fields) = self.avro.kind(items) else {
            return Err("a MAP is written as an array of records".into());
        };
        let [key, value] = &fields[..] else {
            return Err("a map's entries have a key and a value".into());
        };
        let (key, value) = (key.type_, value.type_);
        Ok(Step::Entries(Box::new(self.step(keys, key)?), Box::new(self.step(values, value)?)))
    }

    fn record(&mut self, schema: &Schema, id: Id) -> Result<Step, String> {
        let Kind::Record(full, fields) = self.avro.kind(id) else { unreachable!("a record") };
        let mut parts = Vec::with_capacity(fields.len());
        for field in fields {
            let from = schema.fields.iter().position(|one| {
                *one.name == *field.name
                    || (self.config.scrub_invalid_names
                        && scrubbed(&one.name, self.config).replace('.', "_") == field.name)
            });
            let in_field = |why: String| format!("{full}.{}: {why}", field.name);
            parts.push(match from {
                Some(from) => {
                    let of = &schema.fields[from].schema;
                    let step = self.step(of, field.type_).map_err(in_field)?;
                    let default = self.default_of(of, &step).map_err(in_field)?;
                    Part::Field { from, step, default }
                }
                None => Part::Constant(self.constant(field).map_err(in_field)?),
            });
        }
        Ok(Step::Record(parts))
    }

    /// What is written for null: `Struct.get` gives the default then.
    fn default_of(&self, schema: &Schema, step: &Step) -> Result<Option<Box<[u8]>>, String> {
        let Some(default) = schema.default.as_ref() else { return Ok(None) };
        if self.config.ignore_default_for_nullables {
            return Ok(None);
        }
        let (arena, mut out) = (Arena::new(), Vec::new());
        write(step, schema, default.to_value(&arena), &mut out, None)
            .map_err(|error| error.message)?;
        Ok(Some(out.into()))
    }

    /// The schema's own default of a field that the data does not have.
    fn constant(&mut self, field: &AvroField) -> Result<Box<[u8]>, String> {
        let missing = || "the data has no such field, and the schema no default for it".to_owned();
        let json = field.default.as_ref().ok_or_else(missing)?;
        let schema = to_connect::schema_of(self.avro, field.type_, self.config)?;
        let value = default_value(&schema, json).ok_or("its default is of another type")?;
        let step = self.step(&schema, field.type_)?;
        let (arena, mut out) = (Arena::new(), Vec::new());
        write(&step, &schema, value.to_value(&arena), &mut out, None)
            .map_err(|error| error.message)?;
        Ok(out.into())
    }
}
