//! How a Connect schema's data is written as a Protobuf message: fields are found by name.

use super::config::ProtobufDataConfig;
use super::encode::{Encoder, Part, Source, Step, Type, write_step};
use super::file::{Scalar, Syntax};
use super::from_connect::{is_integer, is_union, logical_type};
use super::names::*;
use super::scalar::wrapper;
use super::schema::{Field, Id, Kind, Message, ProtoSchema};
use super::wire::{LEN, START};
use crate::arena::Arena;
use crate::data::{
    DATE_NAME, DECIMAL_NAME, OwnedValue, Schema, SchemaType, TIME_NAME, TIMESTAMP_NAME,
};

/// Structs in structs.
const MAX_DEPTH: usize = 100;

/// Plans the message. `own`: it was made of this Connect schema, and a field that it lacks is a
/// mistake; else such a field is left out.
pub(super) fn plan(
    schema: &Schema,
    proto: &ProtoSchema,
    root: Id,
    own: bool,
    config: &ProtobufDataConfig,
) -> Result<Encoder, String> {
    let mut planner = Planner { proto, own, config, open: Vec::new() };
    let message = proto.message(root);
    if let Some(scalar) = wrapper(&message.full)
        && schema.type_ != SchemaType::Struct
    {
        let type_ = planner.scalar(schema, scalar)?;
        return Ok(Encoder::Wrapper(type_));
    }
    if schema.type_ != SchemaType::Struct {
        return Err(format!("{} is written as {}", message.full, schema.type_.name()));
    }
    planner.message(schema, root).map(Encoder::Message)
}

struct Planner<'s> {
    proto: &'s ProtoSchema,
    own: bool,
    config: &'s ProtobufDataConfig,
    /// Names of the structs around and their messages, outermost first; entries of maps have none.
    open: Vec<(Option<String>, Option<Id>)>,
}

impl Planner<'_> {
    /// The message's fields, in the order of their numbers.
    fn message(&mut self, schema: &Schema, id: Id) -> Result<Vec<Part>, String> {
        if self.open.len() > MAX_DEPTH {
            return Err("the schema nests too deeply".to_owned());
        }
        self.open.push((schema.name.as_deref().map(str::to_owned), Some(id)));
        let proto = self.proto;
        let message = proto.message(id);
        let mut parts = Vec::new();
        for (at, field) in schema.fields.iter().enumerate() {
            if is_union(&field.schema) {
                for (index, member) in field.schema.fields.iter().enumerate() {
                    let source = Source::Member(at, index);
                    parts.extend(self.part(&member.name, &member.schema, source, message)?);
                }
            } else {
                let source = Source::Field(at);
                parts.extend(self.part(&field.name, &field.schema, source, message)?);
            }
        }
        parts.sort_by_key(|part| part.tag);
        self.open.pop();
        Ok(parts)
    }

    fn part(
        &mut self,
        name: &str,
        schema: &Schema,
        source: Source,
        message: &Message,
    ) -> Result<Option<Part>, String> {
        let scrubbed_name = match self.config.scrub_invalid_names {
            true => scrubbed(name),
            false => name.to_owned(),
        };
        let Some(field) = message.field(&scrubbed_name) else {
            if self.own {
                return Err(format!("Cannot find field with name {name} in {}", message.full));
            }
            return Ok(None);
        };
        let step =
            self.step(schema, field).map_err(|why| format!("{}.{name}: {why}", message.full))?;
        let always = field.oneof.is_some() || field.optional || message.syntax != Syntax::Proto3;
        let tag = tag_of(field, &step);
        let mut part = Part { tag, source, step, always, default: None };
        if let (Source::Field(_), Some(default)) = (source, &schema.default)
            && !self.config.ignore_default_for_nullables
        {
            part.default = Some(default_bytes(&part, schema, default)?);
        }
        Ok(Some(part))
    }

    fn step(&mut self, schema: &Schema, field: &Field) -> Result<Step, String> {
        let no = || format!("{} is not written as {}", schema.type_.name(), self.shown(field));
        match schema.type_ {
            SchemaType::Array if field.repeated() => {
                let items = schema.value_schema.as_deref().ok_or_else(no)?;
                let type_ = self.type_(items, field)?;
                let packed = field.packed;
                Ok(Step::List { type_, packed })
            }
            SchemaType::Map if field.repeated() => {
                let Kind::Message(id) = field.kind else { return Err(no()) };
                let (Some(keys), Some(values)) = (&schema.key_schema, &schema.value_schema) else {
                    return Err(no());
                };
                let proto = self.proto;
                let entry = proto.message(id);
                let (Some(key), Some(value)) = (entry.field(KEY_FIELD), entry.field(VALUE_FIELD))
                else {
                    return Err(no());
                };
                if self.open.len() > MAX_DEPTH {
                    return Err("the schema nests too deeply".to_owned());
                }
                self.open.push((None, None));
                let (key_step, value_step) = (self.step(keys, key)?, self.step(values, value)?);
                self.open.pop();
                let key = (tag_of(key, &key_step), key_step);
                let value = (tag_of(value, &value_step), value_step);
                Ok(Step::Map(Box::new([key, value])))
            }
            SchemaType::Array | SchemaType::Map => Err(no()),
            _ if field.repeated() => Err(no()),
            _ => Ok(Step::One(self.type_(schema, field)?)),
        }
    }

    fn shown(&self, field: &Field) -> String {
        let name = match field.kind {
            Kind::Scalar(scalar) => scalar.name(),
            Kind::Enum(id) => &self.proto.enumeration(id).full,
            Kind::Message(id) => &self.proto.message(id).full,
        };
        let label = if field.repeated() { "repeated " } else { "" };
        format!("{label}{name}")
    }

    /// How one value is written in that field.
    fn type_(&mut self, schema: &Schema, field: &Field) -> Result<Type, String> {
        let no = || format!("{} is not written as {}", schema.type_.name(), self.shown(field));
        let id = match field.kind {
            Kind::Scalar(scalar) => return self.scalar(schema, scalar),
            Kind::Enum(id) => return self.enumeration(schema, id).ok_or_else(no),
            Kind::Message(id) => id,
        };
        let proto = self.proto;
        let full = proto.message(id).full.as_str();
        let logical = match schema.name.as_deref().unwrap_or_default() {
            DECIMAL_NAME => Some((DECIMAL_TYPE, Type::Decimal)),
            DATE_NAME => Some((DATE_TYPE, Type::Date)),
            TIME_NAME => Some((TIME_TYPE, Type::Time)),
            TIMESTAMP_NAME => Some((TIMESTAMP_TYPE, Type::Timestamp)),
            _ => None,
        };
        if let Some((name, type_)) = logical {
            return if name == full { Ok(type_) } else { Err(no()) };
        }
        match (wrapper(full), schema.type_) {
            (_, SchemaType::Struct) if !is_union(schema) => {}
            (Some(scalar), _) => {
                return Ok(Type::Wrapper(Box::new(self.scalar(schema, scalar)?)));
            }
            _ => return Err(no()),
        }
        if schema.fields.is_empty() && schema.name.is_some() {
            let name = schema.name.as_deref();
            let around = self.open.iter().rev().position(|(open, _)| open.as_deref() == name);
            if let Some(out) = around {
                let inner = &self.open[self.open.len() - 1 - out..];
                let structs = inner.iter().filter(|(_, message)| message.is_some()).count();
                let found = inner[0].1 == Some(id);
                return if found { Ok(Type::Again(structs - 1)) } else { Err(no()) };
            }
        }
        Ok(Type::Message(self.message(schema, id)?.into()))
    }

    fn enumeration(&self, schema: &Schema, id: Id) -> Option<Type> {
        let all = self.proto.enumeration(id);
        match schema.type_ {
            SchemaType::String => {
                let symbols = all.values.iter();
                let mut symbols: Vec<(Box<str>, i32)> =
                    symbols.map(|(symbol, number)| (symbol.as_str().into(), *number)).collect();
                symbols.sort();
                Some(Type::Symbol(symbols.into()))
            }
            SchemaType::Int32 | SchemaType::Int8 | SchemaType::Int16 | SchemaType::Int64 => {
                Some(Type::Integer(Scalar::Int32))
            }
            _ => None,
        }
    }

    fn scalar(&self, schema: &Schema, scalar: Scalar) -> Result<Type, String> {
        let no = || Err(format!("{} is not written as {}", schema.type_.name(), scalar.name()));
        if schema.name.as_deref().is_some_and(|name| logical_type(name).is_some()) {
            return no();
        }
        Ok(match (schema.type_, scalar) {
            (
                SchemaType::Int8 | SchemaType::Int16 | SchemaType::Int32 | SchemaType::Int64,
                scalar,
            ) if is_integer(scalar) => Type::Integer(scalar),
            (SchemaType::Boolean, Scalar::Bool) => Type::Boolean,
            (SchemaType::Float32, Scalar::Float) => Type::Float,
            (SchemaType::Float32 | SchemaType::Float64, Scalar::Double) => Type::Double,
            (SchemaType::String, Scalar::String) => Type::String,
            (SchemaType::Bytes, Scalar::Bytes) => Type::Bytes,
            _ => return no(),
        })
    }
}

/// The tag that the field begins with each time.
fn tag_of(field: &Field, step: &Step) -> u32 {
    let wire = match step {
        _ if field.group => START,
        Step::One(type_) | Step::List { type_, packed: false } => type_.wire(),
        Step::List { packed: true, .. } | Step::Map(_) => LEN,
    };
    field.number << 3 | wire
}

/// What the field is for a null that has a default.
fn default_bytes(part: &Part, schema: &Schema, default: &OwnedValue) -> Result<Box<[u8]>, String> {
    let (arena, mut out) = (Arena::new(), Vec::new());
    let value = default.to_value(&arena);
    write_step(part.tag, &part.step, part.always, schema, value, &mut out, None)
        .map_err(|error| error.message)?;
    Ok(out.into())
}
