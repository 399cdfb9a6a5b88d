//! An Avro schema with `arg.properties`, as Confluent's avro-random-generator reads it, into what
//! makes the values and the Connect schema that they have.
//!
//! Logical types are plain numbers and bytes here; unions are `null` and one other type.

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_api::converters::data::OwnedValue;
use millrace_api::converters::{Field, Schema, SchemaType};
use serde_json::Value as Json;

use super::generator::{Kind, Node, Numbers};
use super::regex::Pattern;

/// Nested types beyond this depth are refused.
const DEPTH: usize = 64;

/// Longest text, list or map that `length` may ask for.
const LENGTH: u64 = 1 << 20;

type Made = (Node, Schema);

/// Reads a schema whose top is a record.
pub fn parse(text: &str) -> Result<(Node, Arc<Schema>), String> {
    let json: Json =
        serde_json::from_str(text).map_err(|error| format!("the schema is not JSON: {error}"))?;
    let mut reader = Reader { named: BTreeMap::new(), namespace: String::new() };
    let (node, schema) = reader.read(&json, 0)?;
    match node.kind {
        Kind::Record(_) => Ok((node, Arc::new(schema))),
        _ => Err("the schema must be a record".to_owned()),
    }
}

struct Reader {
    named: BTreeMap<String, Made>,
    namespace: String,
}

impl Reader {
    fn read(&mut self, json: &Json, depth: usize) -> Result<Made, String> {
        if depth > DEPTH {
            return Err("the schema is nested too deeply".to_owned());
        }
        match json {
            Json::String(name) => self.of_type(name, json, depth),
            Json::Array(branches) => self.union(branches, depth),
            Json::Object(_) => match json.get("type") {
                Some(Json::String(name)) => self.of_type(name, json, depth),
                Some(inner) => self.read(inner, depth + 1),
                None => Err(format!("a type is missing in {json}")),
            },
            other => Err(format!("{other} is not a schema")),
        }
    }

    fn of_type(&mut self, name: &str, json: &Json, depth: usize) -> Result<Made, String> {
        let arguments = Arguments(json.get("arg.properties").unwrap_or(&Json::Null));
        let (kind, schema) = match name {
            "null" => (Kind::Null, Schema::new(SchemaType::String).optional()),
            "boolean" => (Kind::Boolean, Schema::new(SchemaType::Boolean)),
            "int" => {
                let numbers = arguments.integers(i32::MIN.into(), i32::MAX.into())?;
                (Kind::Int(numbers), Schema::new(SchemaType::Int32))
            }
            "long" => {
                let numbers = arguments.integers(i64::MIN, i64::MAX)?;
                (Kind::Long(numbers), Schema::new(SchemaType::Int64))
            }
            "float" => (
                arguments.floats(|min, max| Kind::Float { min, max })?,
                Schema::new(SchemaType::Float32),
            ),
            "double" => (
                arguments.floats(|min, max| Kind::Double { min, max })?,
                Schema::new(SchemaType::Float64),
            ),
            "string" => (arguments.text()?, Schema::new(SchemaType::String)),
            "bytes" => {
                let (min, max) = arguments.length(8, 17)?;
                (Kind::Bytes { min, max }, Schema::new(SchemaType::Bytes))
            }
            "fixed" => {
                let size = json.get("size").and_then(Json::as_u64).filter(|size| *size <= LENGTH);
                let size = size.ok_or("fixed without a size")?;
                (Kind::Bytes { min: size, max: size + 1 }, Schema::new(SchemaType::Bytes))
            }
            "enum" => (symbols(json)?, Schema::new(SchemaType::String)),
            "array" => {
                let items = json.get("items").ok_or("an array without items")?;
                let (items, schema) = self.read(items, depth + 1)?;
                let (min, max) = arguments.length(0, 6)?;
                (Kind::Array { items: Box::new(items), min, max }, Schema::array(Arc::new(schema)))
            }
            "map" => {
                let values = json.get("values").ok_or("a map without values")?;
                let (values, schema) = self.read(values, depth + 1)?;
                let (min, max) = arguments.length(0, 6)?;
                let keys = Arc::new(Schema::new(SchemaType::String));
                let schema = Schema::map(keys, Arc::new(schema));
                (Kind::Map { values: Box::new(values), min, max }, schema)
            }
            "record" => self.record(json, depth)?,
            other => {
                let full = self.full_name(other);
                let known = self.named.get(&full).or_else(|| self.named.get(other));
                return known.cloned().ok_or_else(|| {
                    format!("the type {other} is not known; types cannot contain themselves")
                });
            }
        };
        let node = Node { kind, options: arguments.options(&schema)? };
        if matches!(name, "record" | "fixed" | "enum")
            && let Some(Json::String(name)) = json.get("name")
        {
            let full = self.full_name(name);
            self.named.insert(full, (node.clone(), schema.clone()));
        }
        Ok((node, schema))
    }

    fn full_name(&self, name: &str) -> String {
        match (name.contains('.'), self.namespace.is_empty()) {
            (false, false) => format!("{}.{name}", self.namespace),
            _ => name.to_owned(),
        }
    }

    fn record(&mut self, json: &Json, depth: usize) -> Result<(Kind, Schema), String> {
        let outer = self.namespace.clone();
        if let Some(Json::String(namespace)) = json.get("namespace") {
            self.namespace.clone_from(namespace);
        }
        let name = json.get("name").and_then(Json::as_str).map(|name| self.full_name(name));
        let fields =
            json.get("fields").and_then(Json::as_array).ok_or("a record without fields")?;
        let mut nodes = Vec::new();
        let mut schema = Schema::struct_of(Vec::new());
        schema.name = name.map(Into::into);
        for field in fields {
            let name = field.get("name").and_then(Json::as_str).ok_or("a field without a name")?;
            if schema.field(name).is_some() {
                return Err(format!("the field {name} is there twice"));
            }
            let (node, of) = self
                .read(field.get("type").ok_or("a field without a type")?, depth + 1)
                .map_err(|why| format!("{name}: {why}"))?;
            nodes.push(node);
            schema.fields.push(Field { name: name.into(), schema: Arc::new(of) });
        }
        self.namespace = outer;
        Ok((Kind::Record(nodes), schema))
    }

    fn union(&mut self, branches: &[Json], depth: usize) -> Result<Made, String> {
        let null = |json: &&Json| json.as_str() == Some("null");
        let others: Vec<_> = branches.iter().filter(|json| !null(json)).collect();
        let [other] = others[..] else {
            return Err("a union may only be of null and one other type".to_owned());
        };
        let (node, schema) = self.read(other, depth + 1)?;
        if branches.len() == 1 {
            return Ok((node, schema));
        }
        Ok((Node { kind: Kind::Optional(Box::new(node)), options: Vec::new() }, schema.optional()))
    }
}

fn symbols(json: &Json) -> Result<Kind, String> {
    let symbols = json.get("symbols").and_then(Json::as_array).ok_or("an enum without symbols")?;
    let symbols: Option<Vec<Arc<str>>> =
        symbols.iter().map(|symbol| symbol.as_str().map(Into::into)).collect();
    symbols
        .filter(|symbols| !symbols.is_empty())
        .map(Kind::OneOf)
        .ok_or_else(|| "an enum's symbols are texts".to_owned())
}

/// What stands under `arg.properties`.
struct Arguments<'j>(&'j Json);

impl Arguments<'_> {
    fn integers(&self, lowest: i64, highest: i64) -> Result<Numbers, String> {
        if let Some(iteration) = self.0.get("iteration") {
            return iterated(iteration, lowest, highest);
        }
        let Some(range) = self.0.get("range") else {
            return Ok(Numbers::Range { min: lowest, max: highest });
        };
        let min = integer(range, "min")?.unwrap_or(lowest);
        let max = integer(range, "max")?.unwrap_or(highest);
        if min < max && min >= lowest && max <= highest.saturating_add(1) {
            return Ok(Numbers::Range { min, max });
        }
        Err(format!("the range {range} is empty or outside of the type"))
    }

    fn floats(&self, kind: impl Fn(f64, f64) -> Kind) -> Result<Kind, String> {
        let Some(range) = self.0.get("range") else { return Ok(kind(0.0, 1.0)) };
        let bound = |name, default| match range.get(name) {
            None => Ok(default),
            Some(value) => value.as_f64().ok_or_else(|| format!("{value} is not a number")),
        };
        let (min, max) = (bound("min", 0.0)?, bound("max", f64::MAX)?);
        match min < max {
            true => Ok(kind(min, max)),
            false => Err(format!("the range {range} is empty")),
        }
    }

    fn text(&self) -> Result<Kind, String> {
        if let Some(regex) = self.0.get("regex") {
            let regex = regex.as_str().ok_or("a regex is a text")?;
            return Pattern::new(regex).map(Kind::Pattern);
        }
        if let Some(iteration) = self.0.get("iteration") {
            return iterated(iteration, i64::MIN, i64::MAX).map(Kind::NumberText);
        }
        let (min, max) = self.length(8, 17)?;
        Ok(Kind::Text { min, max })
    }

    /// From, and up to but not including.
    fn length(&self, min: u64, max: u64) -> Result<(u64, u64), String> {
        let Some(length) = self.0.get("length") else { return Ok((min, max)) };
        let (min, max) = match length.as_i64() {
            Some(exactly) => (exactly, exactly.saturating_add(1)),
            None => {
                let min = integer(length, "min")?.unwrap_or(0);
                (min, integer(length, "max")?.unwrap_or(min.saturating_add(16)))
            }
        };
        match (u64::try_from(min), u64::try_from(max)) {
            (Ok(min), Ok(max)) if min < max && max <= LENGTH + 1 => Ok((min, max)),
            _ => Err(format!("the length {length} is empty or more than {LENGTH}")),
        }
    }

    fn options(&self, schema: &Schema) -> Result<Vec<OwnedValue>, String> {
        match self.0.get("options") {
            None => Ok(Vec::new()),
            Some(Json::Array(options)) if !options.is_empty() => {
                options.iter().map(|option| constant(option, schema)).collect()
            }
            Some(_) => Err("options must be a list with at least one item".to_owned()),
        }
    }
}

fn integer(json: &Json, name: &str) -> Result<Option<i64>, String> {
    match json.get(name) {
        None => Ok(None),
        Some(value) => {
            value.as_i64().map(Some).ok_or_else(|| format!("{value} is not a whole number"))
        }
    }
}

fn iterated(json: &Json, lowest: i64, highest: i64) -> Result<Numbers, String> {
    let start = integer(json, "start")?.ok_or("an iteration needs a start")?;
    let restart = integer(json, "restart")?;
    let down = restart.is_some_and(|restart| restart < start);
    let step = integer(json, "step")?.unwrap_or(if down { -1 } else { 1 });
    let restart = restart.unwrap_or(if step < 0 { lowest } else { highest });
    let towards = (step > 0 && restart > start) || (step < 0 && restart < start);
    if !towards || start < lowest || start > highest || restart < lowest || restart > highest {
        return Err(format!("the iteration {json} never gets from its start to its restart"));
    }
    let initial = integer(json, "initial")?.unwrap_or(start);
    Ok(Numbers::Iteration { start, restart, step, initial })
}

/// One of the `options` as a value of that type.
fn constant(json: &Json, schema: &Schema) -> Result<OwnedValue, String> {
    let wrong = || format!("the option {json} is not of the type {}", schema.type_.name());
    Ok(match (schema.type_, json) {
        (_, Json::Null) if schema.optional => OwnedValue::Null,
        (SchemaType::Boolean, Json::Bool(value)) => OwnedValue::Boolean(*value),
        (SchemaType::Int32, number) => {
            let number = number.as_i64().and_then(|number| i32::try_from(number).ok());
            OwnedValue::Int32(number.ok_or_else(wrong)?)
        }
        (SchemaType::Int64, number) => OwnedValue::Int64(number.as_i64().ok_or_else(wrong)?),
        (SchemaType::Float32, number) => {
            OwnedValue::Float32(number.as_f64().ok_or_else(wrong)? as f32)
        }
        (SchemaType::Float64, number) => OwnedValue::Float64(number.as_f64().ok_or_else(wrong)?),
        (SchemaType::String, Json::String(text)) => OwnedValue::String(text.as_str().into()),
        (SchemaType::Bytes, Json::String(text)) => OwnedValue::Bytes(text.as_bytes().into()),
        (SchemaType::Array, Json::Array(items)) => {
            let of = schema.value_schema.as_deref().ok_or_else(wrong)?;
            let items: Result<Vec<_>, _> = items.iter().map(|item| constant(item, of)).collect();
            OwnedValue::Array(items?.into())
        }
        (SchemaType::Map, Json::Object(entries)) => {
            let of = schema.value_schema.as_deref().ok_or_else(wrong)?;
            let entry = |(key, value): (&String, &Json)| {
                Ok((OwnedValue::String(key.as_str().into()), constant(value, of)?))
            };
            let entries: Result<Vec<_>, String> = entries.iter().map(entry).collect();
            OwnedValue::Map(entries?.into())
        }
        (SchemaType::Struct, Json::Object(members)) => {
            let field = |field: &Field| {
                constant(members.get(&*field.name).unwrap_or(&Json::Null), &field.schema)
            };
            let fields: Result<Vec<_>, String> = schema.fields.iter().map(field).collect();
            OwnedValue::Struct { schema: Arc::new(schema.clone()), fields: fields?.into() }
        }
        _ => return Err(wrong()),
    })
}
