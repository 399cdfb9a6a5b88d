//! A JSON schema as Connect's, with the program that reads its data.
//!
//! Facts are those of `JsonSchemaData.toConnectSchema`. Where that shows the fields of an object in
//! the order of a hash map, ours have the order of the text; `connect.index` goes before both.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::config::JsonSchemaDataConfig;
use super::decode;
use super::java_order;
use super::names::{
    ADDITIONAL, ENUM, GENERALIZED_ENUM, GENERALIZED_UNION, ID, ID_PREFIX, KEY, NULL_MARKER, ONE_OF,
    ONE_OF_FIELD, UNION_FIELD, UNION_PREFIX, VALUE,
};
use super::program::{At, Op, Ops, Program, Record};
use super::schema::{Criterion, Id, JsonSchema, Kind, Node, Object};
use crate::arena::Arena;
use crate::data::{
    DATE_NAME, DECIMAL_NAME, Field, OwnedValue, Schema, SchemaType, TIME_NAME, TIMESTAMP_NAME,
    Value,
};
use crate::variant::{VARIANT_NAME, variant_schema};

/// The program for data of `json`; `version` is the registry's.
pub(super) fn compile(
    json: &JsonSchema,
    config: &JsonSchemaDataConfig,
    version: Option<i32>,
) -> Result<Program, String> {
    let mut compiler = Compiler {
        json,
        config,
        ops: Ops::default(),
        as_json: true,
        structs: HashMap::new(),
        ids: 0,
        unions: 0,
        depth: 0,
        made: 0,
    };
    let (schema, root) = compiler.schema(json.root, version, false)?;
    let containers = matches!(root, Op::Struct(_) | Op::Array(_));
    let as_json = compiler.as_json && containers;
    Ok(Program { schema: Arc::new(schema), ops: compiler.ops, root, as_json, validator: None })
}

/// A Connect schema and how its values are read.
pub(super) type Typed = (Schema, Op);

pub(super) struct Compiler<'s> {
    pub json: &'s JsonSchema,
    pub config: &'s JsonSchemaDataConfig,
    ops: Ops,
    as_json: bool,
    /// The structs that have been begun, by their schemas.
    structs: HashMap<Id, Begun>,
    ids: usize,
    unions: usize,
    depth: usize,
    made: usize,
}

/// A struct that references may lead to.
struct Begun {
    number: u32,
    /// Its parameter, once there was a second reference.
    id: Option<Arc<str>>,
    /// `None`: it is still being made, and the reference is inside of it.
    schema: Option<Schema>,
}

/// Schemas inside of schemas; unions may refer to themselves without an end.
const MAX_DEPTH: usize = 100;
/// Schemas in all: references within unions may double at each step.
const MAX_SCHEMAS: usize = 65_536;

impl<'s> Compiler<'s> {
    pub fn schema(
        &mut self,
        id: Id,
        version: Option<i32>,
        optional: bool,
    ) -> Result<Typed, String> {
        self.depth += 1;
        self.made += 1;
        if self.depth > MAX_DEPTH || self.made > MAX_SCHEMAS {
            return Err("the JSON schema nests too deeply".into());
        }
        let typed = self.schema_within(id, version, optional);
        self.depth -= 1;
        typed
    }

    fn schema_within(
        &mut self,
        id: Id,
        version: Option<i32>,
        optional: bool,
    ) -> Result<Typed, String> {
        let json = self.json;
        let node = json.node(id);
        let (schema, op) = match &node.kind {
            Kind::Reference(target) => return self.reference(*target, version, optional),
            Kind::Combined(Criterion::All, members) if !self.flattens(members) => {
                return self.all_of(id, members, version, optional);
            }
            Kind::Combined(_, members) => {
                if self.flattens(members) {
                    return self.schema(members[0], None, false);
                }
                if let [one, other] = members[..] {
                    match (json.kind(one), json.kind(other)) {
                        (_, Kind::Null) => return self.schema(one, version, true),
                        (Kind::Null, _) => return self.schema(other, version, true),
                        _ => {}
                    }
                }
                self.union(members)?
            }
            Kind::Object(object) if node.type_.as_deref() != Some("map") => {
                let number = self.begin(id);
                let fields = self.fields(object)?;
                let others = self.config.preserve_additional_properties && object.open;
                let op = self.record(number, &fields, others);
                (Schema::struct_of(fields.into_iter().map(|(field, _)| field).collect()), op)
            }
            _ => self.plain(node)?,
        };
        let typed = self.dressed(node, schema, op, version, optional)?;
        Ok(self.finished(id, typed))
    }

    fn flattens(&self, members: &[Id]) -> bool {
        self.config.flatten_singleton_unions && members.len() == 1
    }

    /// Types that no reference leads back to.
    fn plain(&mut self, node: &Node) -> Result<Typed, String> {
        use SchemaType as T;
        let simple = |type_: SchemaType, op: Op| (Schema::new(type_), op);
        Ok(match &node.kind {
            Kind::Boolean => simple(T::Boolean, Op::Boolean),
            kind @ (Kind::Integer | Kind::Number) => match node.type_.as_deref() {
                None if *kind == Kind::Integer => simple(T::Int64, Op::Int64),
                None => simple(T::Float64, Op::Float64),
                Some("int8") => simple(T::Int8, Op::Int8),
                Some("int16") => simple(T::Int16, Op::Int16),
                Some("int32") => simple(T::Int32, Op::Int32),
                Some("int64") => simple(T::Int64, Op::Int64),
                Some("float32") => simple(T::Float32, Op::Float32),
                Some("float64") => simple(T::Float64, Op::Float64),
                Some("bytes") => simple(T::Bytes, Op::Bytes),
                Some(other) => return Err(format!("Unsupported type {other}")),
            },
            Kind::String if node.type_.as_deref() == Some("bytes") => simple(T::Bytes, Op::Bytes),
            Kind::String => simple(T::String, Op::String),
            Kind::Const(value) => (self.enumeration(std::slice::from_ref(value)), Op::String),
            Kind::Enum(values) => (self.enumeration(values), Op::String),
            Kind::Array(None) => return Err("Array schema did not specify the items type".into()),
            Kind::Array(Some(items)) => self.array(node, *items)?,
            Kind::Object(object) => {
                let values = object.additional.ok_or("a map does not say what its values are")?;
                let (values, op) = self.schema(values, None, false)?;
                let keys = Arc::new(Schema::new(T::String));
                self.as_json = false;
                (Schema::map(keys, values.into()), Op::Map(self.push(&[op])))
            }
            Kind::Empty => (variant_schema(), Op::Variant),
            other => return Err(format!("Unsupported schema type {}", other.name())),
        })
    }

    fn array(&mut self, node: &Node, items: Id) -> Result<Typed, String> {
        if node.type_.as_deref() == Some("map")
            && let Kind::Object(entry) = self.json.kind(items)
        {
            let find = |name: &str| {
                let found = entry.properties.iter().find(|(known, _)| known == name);
                found.map(|(_, id)| *id).ok_or_else(|| format!("a map's entry has no {name}"))
            };
            let (keys, key) = self.schema(find(KEY)?, None, false)?;
            let (values, value) = self.schema(find(VALUE)?, None, false)?;
            self.as_json = false;
            let at = self.push(&[key, value]);
            return Ok((Schema::map(keys.into(), values.into()), Op::Entries(at)));
        }
        let (items, op) = self.schema(items, None, false)?;
        Ok((Schema::array(items.into()), Op::Array(self.push(&[op]))))
    }

    fn enumeration(&self, values: &[Json]) -> Schema {
        let generalized = self.config.generalized_sum_type_support;
        let word = if generalized { GENERALIZED_ENUM } else { ENUM };
        let mut schema = Schema::new(SchemaType::String);
        schema.parameters.push((word.into(), "".into()));
        for (at, value) in values.iter().enumerate() {
            let symbol = match value {
                Json::Null => NULL_MARKER.to_owned(),
                Json::String(text) => text.clone(),
                other => other.to_string(),
            };
            let shown = if generalized { at.to_string() } else { symbol.clone() };
            schema.parameters.push((format!("{word}.{symbol}").into(), shown.into()));
        }
        schema
    }

    fn union(&mut self, members: &[Id]) -> Result<Typed, String> {
        self.as_json = false;
        let generalized = self.config.generalized_sum_type_support;
        let mut schema = Schema::new(SchemaType::Struct).named(ONE_OF);
        if generalized {
            let name: Arc<str> = format!("{UNION_PREFIX}{}", self.unions).into();
            schema.parameters.push((GENERALIZED_UNION.into(), Arc::clone(&name)));
            schema.name = Some(name);
        }
        self.unions += 1;
        let mut ops = Vec::with_capacity(members.len());
        for member in members {
            if *self.json.kind(*member) == Kind::Null {
                schema.optional = true;
                continue;
            }
            let prefix = if generalized { UNION_FIELD } else { ONE_OF_FIELD };
            let name = format!("{prefix}{}", ops.len());
            let (of, op) = self.schema(*member, None, true)?;
            ops.push(op);
            schema.fields.push(Field { name: name.into(), schema: of.into() });
        }
        let at = self.push(&ops);
        Ok((schema, Op::Union(at)))
    }

    /// The fields of an object, those with an index by their indexes.
    fn fields(&mut self, object: &Object) -> Result<Vec<(Field, Op)>, String> {
        let index = |at: usize| {
            let given = self.json.node(object.properties[at].1).index;
            given.unwrap_or_else(|| i64::try_from(at).unwrap_or(i64::MAX))
        };
        let mut places: Vec<usize> = (0..object.properties.len()).collect();
        places.sort_by_key(|at| index(*at));
        let mut fields = Vec::with_capacity(places.len());
        for at in places {
            let (name, id) = &object.properties[at];
            let required = object.required.contains(name);
            fields.push(self.field(name, *id, required)?);
        }
        if self.config.preserve_additional_properties && object.open {
            fields.push(self.others(object)?);
        }
        Ok(fields)
    }

    /// The field of the members that the schema does not name, which stands behind the others.
    fn others(&mut self, object: &Object) -> Result<(Field, Op), String> {
        if object.properties.iter().any(|(name, _)| name == ADDITIONAL) {
            return Err(format!(
                "JSON Schema property name '{ADDITIONAL}' collides with the reserved field name for \
                 preserve.additional.properties=true. Rename the property or disable the config."
            ));
        }
        let keys = Schema::new(SchemaType::String);
        let schema = Schema::map(keys.into(), variant_schema().into()).optional();
        let op = Op::Map(self.push(&[Op::Variant]));
        Ok((Field { name: ADDITIONAL.into(), schema: schema.into() }, op))
    }

    pub fn field(&mut self, name: &str, id: Id, required: bool) -> Result<(Field, Op), String> {
        let optional = self.config.use_optional_for_nonrequired && !required;
        let (schema, op) =
            self.schema(id, None, optional).map_err(|why| format!("{name}: {why}"))?;
        Ok((Field { name: name.into(), schema: schema.into() }, op))
    }

    /// Notes that the struct of that schema is being made; its number.
    pub fn begin(&mut self, id: Id) -> u32 {
        let number = u32::try_from(self.ops.records.len()).unwrap_or(u32::MAX);
        self.ops.records.push(Record::default());
        self.structs.insert(id, Begun { number, id: None, schema: None });
        number
    }

    pub fn record(&mut self, number: u32, fields: &[(Field, Op)], others: bool) -> Op {
        let ops: Vec<Op> = fields.iter().map(|(_, op)| *op).collect();
        let first = self.push(&ops);
        self.ops.records[number as usize] =
            Record::new(first, fields.iter().map(|(field, _)| field), others);
        Op::Struct(number)
    }

    /// The struct of that schema is made, if it is one; what it is to those around it.
    pub fn finished(&mut self, id: Id, (mut schema, op): Typed) -> Typed {
        let Some(begun) = self.structs.get_mut(&id) else { return (schema, op) };
        if let Some(known) = &begun.id {
            // It occurs inside of itself, where only its name tells it.
            schema.name.get_or_insert_with(|| Arc::clone(known));
            schema.parameters.push((ID.into(), Arc::clone(known)));
        }
        begun.schema = Some(schema.clone());
        (schema, op)
    }

    pub fn reference(
        &mut self,
        target: Id,
        version: Option<i32>,
        optional: bool,
    ) -> Result<Typed, String> {
        let title = self.json.node(target).title.clone();
        let is_object = matches!(self.json.kind(target), Kind::Object(_));
        let Some(begun) = self.structs.get_mut(&target) else {
            return self.schema(target, version, optional);
        };
        let id = begun.id.get_or_insert_with(|| {
            self.ids += 1;
            format!("{ID_PREFIX}{}", self.ids).into()
        });
        let id = Arc::clone(id);
        let (mut schema, op) = match &begun.schema {
            Some(schema) => (schema.clone(), Op::Struct(begun.number)),
            None => {
                self.as_json = false;
                let title = title.filter(|_| is_object);
                let name = title.unwrap_or_else(|| id.to_string());
                (Schema::reference(&name), Op::Again(begun.number))
            }
        };
        if schema.parameter(ID).is_none() {
            schema.parameters.push((ID.into(), id));
        }
        schema.optional = optional;
        Ok((schema, op))
    }

    /// What stands on every schema: name, version, doc, parameters, default.
    fn dressed(
        &mut self,
        node: &Node,
        mut schema: Schema,
        op: Op,
        version: Option<i32>,
        optional: bool,
    ) -> Result<Typed, String> {
        if schema.name.is_none() {
            schema.name = node.title.as_deref().map(Into::into);
        }
        schema.version = node.version.or(version);
        schema.doc = node.description.as_deref().map(Into::into);
        for (key, value) in &node.parameters {
            schema.parameters.retain(|(known, _)| **known != **key);
            schema.parameters.push((key.as_str().into(), value.as_str().into()));
        }
        let op = match schema.name.as_deref() {
            Some(DECIMAL_NAME) => Op::Decimal,
            Some(DATE_NAME) => Op::Date,
            Some(TIME_NAME) => Op::Time,
            Some(TIMESTAMP_NAME) => Op::Timestamp,
            Some(VARIANT_NAME) => Op::Variant,
            _ => op,
        };
        self.as_json &=
            !matches!(op, Op::Decimal | Op::Bytes | Op::Variant) && node.default.is_none();
        if let Some(default) = &node.default {
            schema.default = Some(self.default(&schema, op, default)?);
        }
        schema.optional |= optional;
        Ok((schema, op))
    }

    fn default(&self, schema: &Schema, op: Op, json: &Json) -> Result<OwnedValue, String> {
        let (arena, text) = (Arena::new(), hashed(json).to_string());
        let text = arena.alloc_bytes(text.as_bytes());
        let pinned = Arc::new(schema.clone());
        let mut value = Value::Null;
        decode::read(&self.ops, op, arena.pin_schema(&pinned), text, &arena, &mut value)
            .map_err(|error| format!("the default {json}: {}", error.message))?;
        Ok(value.to_owned_value())
    }

    fn push(&mut self, ops: &[Op]) -> At {
        let at = u32::try_from(self.ops.list.len()).unwrap_or(u32::MAX);
        self.ops.list.extend_from_slice(ops);
        at
    }
}

/// A default with the members of its objects as a hash map of the JVM shows them: a Variant's names
/// have their numbers in that order.
fn hashed(json: &Json) -> Json {
    match json {
        Json::Array(items) => items.iter().map(hashed).collect(),
        Json::Object(object) => {
            let mut members: Vec<(&String, &Json)> = object.iter().collect();
            java_order::plain(&mut members, |(name, _)| name);
            members.into_iter().map(|(name, value)| (name.clone(), hashed(value))).collect()
        }
        other => other.clone(),
    }
}
