//! Values from a schema's description and a record's random numbers.

use std::sync::Arc;

use millrace_api::converters::data::OwnedValue;
use millrace_api::converters::{Arena, Schema, Struct, Value};

use super::event;
use super::random::Random;
use super::regex::Pattern;
use super::schema;

/// What makes a value.
#[derive(Clone, Debug)]
pub struct Node {
    pub kind: Kind,
    /// If there are any, one of them is the value.
    pub options: Vec<OwnedValue>,
}

#[derive(Clone, Debug)]
pub enum Kind {
    Null,
    Boolean,
    Int(Numbers),
    Long(Numbers),
    Float {
        min: f64,
        max: f64,
    },
    Double {
        min: f64,
        max: f64,
    },
    /// An iterated number as text.
    NumberText(Numbers),
    Pattern(Pattern),
    /// Letters and digits; lengths from `min` up to, not including, `max`, here and below.
    Text {
        min: u64,
        max: u64,
    },
    Bytes {
        min: u64,
        max: u64,
    },
    OneOf(Vec<Arc<str>>),
    Array {
        items: Box<Node>,
        min: u64,
        max: u64,
    },
    Map {
        values: Box<Node>,
        min: u64,
        max: u64,
    },
    Record(Vec<Node>),
    /// Null every other time.
    Optional(Box<Node>),
}

#[derive(Clone, Debug)]
pub enum Numbers {
    /// Up to, not including, `max`.
    Range { min: i64, max: i64 },
    /// By the record's number: from `initial` in steps, back to `start` before `restart`.
    Iteration { start: i64, restart: i64, step: i64, initial: i64 },
}

impl Numbers {
    fn value(&self, number: u64, random: &mut Random) -> i64 {
        match *self {
            Self::Range { min, max } => random.between(min, max),
            Self::Iteration { start, restart, step, initial } => {
                // In wide numbers nothing overflows, and everything counts upwards.
                let (start, step) = (i128::from(start), i128::from(step));
                let rounds = (i128::from(restart) - start).abs();
                let period = (rounds + step.abs() - 1) / step.abs();
                let first = (i128::from(initial) - start) / step;
                let at = (first + i128::from(number)).rem_euclid(period);
                (start + at * step) as i64
            }
        }
    }
}

impl Node {
    /// The value of record `number`; `schema` is the one that came with this node.
    pub fn value<'a>(
        &self,
        schema: &'a Schema,
        number: u64,
        random: &mut Random,
        arena: &'a Arena,
    ) -> Value<'a> {
        if !self.options.is_empty() {
            let which = random.below(self.options.len() as u64) as usize;
            return copied(&self.options[which], schema, arena);
        }
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Boolean => Value::Boolean(random.next() & 1 == 1),
            Kind::Int(numbers) => Value::Int32(numbers.value(number, random) as i32),
            Kind::Long(numbers) => Value::Int64(numbers.value(number, random)),
            Kind::Float { min, max } => Value::Float32((min + random.unit() * (max - min)) as f32),
            Kind::Double { min, max } => Value::Float64(min + random.unit() * (max - min)),
            Kind::NumberText(numbers) => {
                let mut digits = itoa::Buffer::new();
                Value::Str(arena.alloc_str(digits.format(numbers.value(number, random))))
            }
            Kind::Pattern(pattern) => {
                let mut text = String::new();
                pattern.write(random, &mut |c| text.push(c));
                Value::Str(arena.alloc_str(&text))
            }
            Kind::Text { min, max } => Value::Str(text(*min, *max, random, arena)),
            Kind::Bytes { min, max } => {
                let length = length(*min, *max, random);
                let bytes = (0..length).map(|_| random.next() as u8);
                Value::Bytes(collect(bytes, arena))
            }
            Kind::OneOf(texts) => {
                let which = random.below(texts.len() as u64) as usize;
                Value::Str(arena.alloc_str(&texts[which]))
            }
            Kind::Array { items, min, max } => {
                let Some(of) = schema.value_schema.as_deref() else { return Value::Null };
                let length = length(*min, *max, random);
                let items = (0..length).map(|_| items.value(of, number, random, arena));
                Value::Array(collect(items, arena))
            }
            Kind::Map { values, min, max } => {
                let Some(of) = schema.value_schema.as_deref() else { return Value::Null };
                let length = length(*min, *max, random);
                let entries = (0..length).map(|at| {
                    // Numbered, so that no name comes twice.
                    let name = arena.alloc_str(&format!("key{at}"));
                    (Value::Str(name), values.value(of, number, random, arena))
                });
                Value::Map(collect(entries, arena))
            }
            Kind::Record(nodes) => {
                let fields = nodes.iter().zip(&schema.fields);
                let values = fields.map(|(node, of)| node.value(&of.schema, number, random, arena));
                let values = collect(values, arena);
                Value::Struct(arena.alloc(Struct { schema, values }))
            }
            Kind::Optional(_) if random.next() & 1 == 1 => Value::Null,
            Kind::Optional(node) => node.value(schema, number, random, arena),
        }
    }
}

fn collect<T>(items: impl Iterator<Item = T>, arena: &Arena) -> &[T] {
    let mut all = arena.vec();
    all.extend(items);
    all.into_bump_slice()
}

fn length(min: u64, max: u64, random: &mut Random) -> u64 {
    min + random.below(max - min)
}

fn text<'a>(min: u64, max: u64, random: &mut Random, arena: &'a Arena) -> &'a str {
    const LETTERS: &[u8; 62] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let letter = |random: &mut Random| LETTERS[random.below(62) as usize] as char;
    let text: String = (0..length(min, max, random)).map(|_| letter(random)).collect();
    arena.alloc_str(&text)
}

/// A copy of a constant in the arena: what a record borrows must not belong to the task.
fn copied<'a>(value: &OwnedValue, schema: &'a Schema, arena: &'a Arena) -> Value<'a> {
    let of = schema.value_schema.as_deref();
    match (value, of) {
        (OwnedValue::Boolean(value), _) => Value::Boolean(*value),
        (OwnedValue::Int32(value), _) => Value::Int32(*value),
        (OwnedValue::Int64(value), _) => Value::Int64(*value),
        (OwnedValue::Float32(value), _) => Value::Float32(*value),
        (OwnedValue::Float64(value), _) => Value::Float64(*value),
        (OwnedValue::String(text), _) => Value::Str(arena.alloc_str(text)),
        (OwnedValue::Bytes(bytes), _) => Value::Bytes(arena.alloc_bytes(bytes)),
        (OwnedValue::Array(items), Some(of)) => {
            Value::Array(collect(items.iter().map(|item| copied(item, of, arena)), arena))
        }
        (OwnedValue::Map(entries), Some(of)) => {
            let entries = entries.iter().map(|(key, value)| {
                let OwnedValue::String(key) = key else { return (Value::Null, Value::Null) };
                (Value::Str(arena.alloc_str(key)), copied(value, of, arena))
            });
            Value::Map(collect(entries, arena))
        }
        (OwnedValue::Struct { fields, .. }, _) => {
            let fields = fields.iter().zip(&schema.fields);
            let values = fields.map(|(value, field)| copied(value, &field.schema, arena));
            let values = collect(values, arena);
            Value::Struct(arena.alloc(Struct { schema, values }))
        }
        _ => Value::Null,
    }
}

/// A kind of record, and which of its fields is the key.
pub struct Records {
    pub maker: Maker,
    pub schema: Arc<Schema>,
    pub key_field: Option<usize>,
}

pub enum Maker {
    /// The built-in event, written without a detour through values.
    Event,
    /// By an Avro schema.
    Schema(Node),
}

impl Records {
    pub fn from_schema(text: &str, key_field: Option<&str>) -> Result<Self, String> {
        let (node, schema) = schema::parse(text)?;
        Self::new(Maker::Schema(node), schema, key_field)
    }

    pub fn new(maker: Maker, schema: Arc<Schema>, key_field: Option<&str>) -> Result<Self, String> {
        let key_field = match key_field {
            None => None,
            Some(name) => match schema.field(name) {
                Some((index, _)) => Some(index),
                None => return Err(format!("the key field {name} is not in the schema")),
            },
        };
        Ok(Self { maker, schema, key_field })
    }

    /// Record `number` as a structure of `schema`, which is this kind's own, pinned.
    pub fn structure<'a>(
        &self,
        schema: &'a Schema,
        seed: u64,
        number: u64,
        arena: &'a Arena,
    ) -> Value<'a> {
        match &self.maker {
            Maker::Event => event::Event::of(seed, number).structure(schema, arena),
            Maker::Schema(node) => node.value(schema, number, &mut Random::of(seed, number), arena),
        }
    }
}
