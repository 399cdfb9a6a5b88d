//! From an Avro schema to Connect's, and to the program that reads its values.
//!
//! The mapping is `AvroData.toConnectSchema`'s, annotation by annotation.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use super::annotations::{set_parameter, shown};
use super::config::AvroDataConfig;
use super::flat::FlatProgram;
use super::names::*;
use super::program::{At, Branch, Node, Op, Program, Record};
use super::schema::{AvroSchema, Id, Kind, simple_name};
use crate::data::{Field, Schema, SchemaType};
use crate::json::text::write_string;
use crate::json::{WriteOptions, write_value};

/// Most operations of a program: named types are repeated where they are used.
const MAX_NODES: usize = 65_536;
/// Records inside of records, by definition.
const MAX_DEPTH: usize = 128;

/// A compiled type: Connect's schema of it and the operation that reads it.
pub(super) struct Made {
    pub schema: Schema,
    pub op: Op,
}

/// What the place of a type in another says of it.
#[derive(Clone, Copy, Default)]
pub(super) struct Place<'s> {
    pub optional: bool,
    pub default: Option<&'s serde_json::Value>,
    pub doc: Option<&'s str>,
    pub version: Option<i32>,
}

/// Compiles `avro`. `version` is the registry's, for a schema that brings none itself.
pub(super) fn compile(
    avro: &AvroSchema,
    config: &AvroDataConfig,
    version: Option<i32>,
) -> Result<Program, String> {
    let mut compiler = Compiler::new(avro, config);
    if is_anything(avro) {
        let root = compiler.push(Op::Anything, 0..0, 0..0)?;
        return Ok(compiler.finish(None, root, false));
    }
    let made = compiler.type_(avro.root, Place { version, ..Place::default() })?;
    let null = compiler.null_text(&made.schema);
    let root = compiler.push(made.op, 0..0, null)?;
    let containers =
        matches!(avro.kind(avro.root), Kind::Record(..) | Kind::Array(_) | Kind::Map(_));
    compiler.as_json &= containers;
    let raw = matches!(avro.kind(avro.root), Kind::Bytes);
    Ok(compiler.finish(Some(Arc::new(made.schema)), root, raw))
}

/// The schema that stands for values without schema.
fn is_anything(avro: &AvroSchema) -> bool {
    let Kind::Record(name, fields) = avro.kind(avro.root) else { return false };
    name == ANYTHING
        && fields.iter().map(|field| field.name.as_str()).eq(ANYTHING_FIELDS.iter().copied())
}

pub(super) struct Compiler<'s> {
    pub avro: &'s AvroSchema,
    pub config: &'s AvroDataConfig,
    nodes: Vec<Node>,
    records: Vec<Record>,
    unions: Vec<Vec<Branch>>,
    definitions: Vec<Option<Arc<Schema>>>,
    /// Records that were met inside of themselves.
    recursive: HashSet<u32>,
    literals: Vec<u8>,
    /// Records that are being compiled: what names them inside of themselves.
    open: HashMap<Id, u32>,
    pub as_json: bool,
    unions_named: u32,
}

impl<'s> Compiler<'s> {
    fn new(avro: &'s AvroSchema, config: &'s AvroDataConfig) -> Self {
        Self {
            avro,
            config,
            nodes: Vec::new(),
            records: Vec::new(),
            unions: Vec::new(),
            definitions: Vec::new(),
            recursive: HashSet::new(),
            literals: Vec::new(),
            open: HashMap::new(),
            as_json: true,
            unions_named: 0,
        }
    }

    fn finish(self, schema: Option<Arc<Schema>>, root: At, raw_bytes: bool) -> Program {
        let mut program = Program {
            as_json: self.as_json && schema.is_some(),
            schema,
            nodes: self.nodes,
            root,
            records: self.records,
            unions: self.unions,
            definitions: self.definitions,
            literals: self.literals,
            flat: None,
            raw_bytes,
        };
        program.flat = FlatProgram::of(&program);
        program
    }

    fn push(&mut self, op: Op, lead: Range<usize>, null: Range<usize>) -> Result<At, String> {
        if self.nodes.len() >= MAX_NODES {
            return Err(format!("the Avro schema unfolds to more than {MAX_NODES} types"));
        }
        self.nodes.push(Node { op, lead, null });
        Ok((self.nodes.len() - 1) as At)
    }

    fn literal(&mut self, text: &[u8]) -> Range<usize> {
        let start = self.literals.len();
        self.literals.extend_from_slice(text);
        start..self.literals.len()
    }

    /// What `JsonConverter` writes for a null of `schema`. Where it refuses, nothing can be null.
    fn null_text(&mut self, schema: &Schema) -> Range<usize> {
        let mut text = Vec::new();
        let options = WriteOptions::default();
        if write_value(Some(schema), crate::Value::Null, &mut text, &options).is_err() {
            text.clear();
        }
        // What a null with a default becomes is for the writer of the text to say.
        self.as_json &= text.is_empty() || text == b"null";
        self.literal(&text)
    }

    /// Puts `made` into the program, with what JSON needs around it.
    fn child(&mut self, made: &Made, lead: &[u8]) -> Result<At, String> {
        let lead = self.literal(lead);
        let null = self.null_text(&made.schema);
        self.push(made.op, lead, null)
    }

    fn type_(&mut self, id: Id, place: Place<'s>) -> Result<Made, String> {
        let node = self.avro.node(id);
        let logical = node.text("logicalType").unwrap_or_default();
        let is = |name: &str| logical.eq_ignore_ascii_case(name);
        let (schema, op) = match &node.kind {
            Kind::Null => {
                return Err("Standalone null schemas are not supported by this converter".into());
            }
            Kind::Boolean => (Schema::new(SchemaType::Boolean), Op::Boolean),
            Kind::Double => (Schema::new(SchemaType::Float64), Op::Double),
            Kind::Float => (Schema::new(SchemaType::Float32), Op::Float),
            Kind::String => (Schema::new(SchemaType::String), Op::String),
            Kind::Long if is("timestamp-millis") => (Schema::timestamp(), Op::Timestamp),
            Kind::Long => (Schema::new(SchemaType::Int64), Op::Int64),
            Kind::Int => self.int(id, logical)?,
            Kind::Bytes => (self.bytes(id, is("decimal"))?, Op::Bytes),
            Kind::Fixed(_, size) => {
                let mut schema = self.bytes(id, is("decimal"))?;
                set_parameter(&mut schema, FIXED_SIZE, &size.to_string());
                (schema, Op::Fixed(*size as u32))
            }
            Kind::Enum(..) => self.enumeration(id)?,
            Kind::Array(items) => self.array(*items)?,
            Kind::Map(values) => {
                let made = self.member(*values, Place::default())?;
                let at = self.child(&made, b"")?;
                let keys = Arc::new(Schema::new(SchemaType::String));
                (Schema::map(keys, Arc::new(made.schema)), Op::Map(at))
            }
            Kind::Record(..) => self.record(id)?,
            Kind::Union(members) => match self.union(members, place)? {
                Shown::As(made) => return Ok(made),
                Shown::Struct(schema, op) => (schema, op),
            },
        };
        self.annotated(id, schema, op, place)
    }

    /// A type inside of another: a record that is being defined is not defined again.
    fn member(&mut self, id: Id, place: Place<'s>) -> Result<Made, String> {
        let Some(number) = self.open.get(&id) else { return self.type_(id, place) };
        self.recursive.insert(*number);
        let name = self.avro.kind(id).name();
        let mut schema = Schema::reference(name);
        schema.optional = place.optional;
        Ok(Made { schema, op: Op::Again(*number) })
    }

    fn int(&self, id: Id, logical: &str) -> Result<(Schema, Op), String> {
        let type_ = self.avro.node(id).text("connect.type");
        Ok(match (logical, type_) {
            (logical, _) if logical.eq_ignore_ascii_case("date") => (Schema::date(), Op::Date),
            (logical, _) if logical.eq_ignore_ascii_case("time-millis") => {
                (Schema::time(), Op::Time)
            }
            ("", Some("int8")) => (Schema::new(SchemaType::Int8), Op::Int8),
            ("", Some("int16")) => (Schema::new(SchemaType::Int16), Op::Int16),
            ("", Some(other)) => {
                return Err(format!("Connect type annotation for Avro int field is {other}"));
            }
            _ => (Schema::new(SchemaType::Int32), Op::Int32),
        })
    }

    fn bytes(&self, id: Id, decimal: bool) -> Result<Schema, String> {
        if !decimal {
            return Ok(Schema::new(SchemaType::Bytes));
        }
        let props = &self.avro.node(id).props;
        let scale = props.get("scale").and_then(serde_json::Value::as_i64).unwrap_or(0);
        let mut schema = Schema::decimal(i32::try_from(scale).unwrap_or(0));
        if let Some(precision) = props.get("precision") {
            let precision =
                precision.as_i64().ok_or("precision property must be a JSON Integer.")?;
            if precision != PRECISION_DEFAULT {
                set_parameter(&mut schema, DECIMAL_PRECISION, &precision.to_string());
            }
        }
        Ok(schema)
    }

    fn enumeration(&self, id: Id) -> Result<(Schema, Op), String> {
        let node = self.avro.node(id);
        let Kind::Enum(full, symbols, default) = &node.kind else { unreachable!("an enum") };
        let mut schema = Schema::new(SchemaType::String);
        let config = self.config;
        if config.connect_meta_data {
            if let Some(doc) = &node.doc {
                let key = match config.discard_type_doc_default {
                    true => CONNECT_ENUM_DOC.to_owned(),
                    false => format!("{ENUM_DOC_PREFIX}{}", simple_name(full)),
                };
                set_parameter(&mut schema, &key, doc);
            }
            if let Some(default) = default
                && !config.discard_type_doc_default
            {
                let key = format!("{ENUM_DEFAULT_PREFIX}{}", simple_name(full));
                set_parameter(&mut schema, &key, default);
            }
        }
        let sum = config.generalized_sum_type_support;
        let key = if sum { GENERALIZED_ENUM } else { ENUM };
        set_parameter(&mut schema, key, full);
        let first = schema.parameters.len();
        for (index, symbol) in symbols.iter().enumerate() {
            let value = if sum { index.to_string() } else { symbol.clone() };
            set_parameter(&mut schema, &format!("{key}.{symbol}"), &value);
        }
        let (Ok(first), Ok(count)) = (u16::try_from(first), u16::try_from(symbols.len())) else {
            return Err(format!("the enum {full} has too many symbols"));
        };
        if schema.parameters.len() != usize::from(first) + usize::from(count) {
            return Err(format!("the enum {full} has a symbol twice"));
        }
        Ok((schema, Op::Enum { first, count, cut: key.len() as u16 + 1 }))
    }

    fn array(&mut self, items: Id) -> Result<(Schema, Op), String> {
        if let Kind::Record(name, fields) = self.avro.kind(items)
            && (name == MAP_ENTRY || self.avro.node(items).text(INTERNAL_TYPE) == Some("MapEntry"))
        {
            let types: Vec<Id> = fields.iter().map(|field| field.type_).collect();
            let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
            let (["key", "value"], [key, value]) = (&names[..], &types[..]) else {
                return Err(
                    "Found map encoded as array of key-value pairs, but array elements do \
                            not match the expected format."
                        .into(),
                );
            };
            // An Anything in a map of a schema is a record as any other.
            let key = self.type_(*key, Place::default())?;
            let value = self.type_(*value, Place::default())?;
            let at = self.child(&key, b"")?;
            self.child(&value, b"")?;
            // A map with keys of required strings is an object in JSON, whatever it is in Avro.
            self.as_json &= key.schema.type_ != SchemaType::String;
            let schema = Schema::map(Arc::new(key.schema), Arc::new(value.schema));
            return Ok((schema, Op::Entries(at)));
        }
        let made = self.member(items, Place::default())?;
        let at = self.child(&made, b"")?;
        Ok((Schema::array(Arc::new(made.schema)), Op::Array(at)))
    }

    fn record(&mut self, id: Id) -> Result<(Schema, Op), String> {
        let node = self.avro.node(id);
        let Kind::Record(_, fields) = &node.kind else { unreachable!("a record") };
        if self.open.len() >= MAX_DEPTH {
            return Err(format!("the Avro schema nests more than {MAX_DEPTH} records"));
        }
        let number = self.records.len() as u32;
        self.records.push(Record::default());
        self.definitions.push(None);
        self.open.insert(id, number);
        let keeps_docs = self.config.connect_meta_data && !self.config.discard_type_doc_default;
        let mut schema = Schema::new(SchemaType::Struct);
        if let Some(doc) = node.doc.as_ref().filter(|_| keeps_docs) {
            set_parameter(&mut schema, RECORD_DOC, doc);
        }
        let mut members = Vec::with_capacity(fields.len());
        for field in fields {
            if let Some(doc) = field.doc.as_ref().filter(|_| keeps_docs) {
                set_parameter(&mut schema, &format!("{FIELD_DOC_PREFIX}{}", field.name), doc);
            }
            let place = Place {
                default: field.default.as_ref(),
                doc: field.doc.as_deref(),
                ..Place::default()
            };
            // A bare field of the record's own type would never end; Avro's Java parser takes it, too.
            let mut made = self.member(field.type_, place)?;
            if let Some(params) = field.props.get(PARAMETERS).and_then(|params| params.as_object())
                && self.config.connect_meta_data
            {
                for (key, value) in params {
                    set_parameter(&mut made.schema, key, &shown(value));
                }
            }
            members.push((&field.name, made));
        }
        self.open.remove(&id);
        let mut first = self.nodes.len() as At;
        for (index, (name, made)) in members.iter().enumerate() {
            let mut lead = if index == 0 { b"{".to_vec() } else { b",".to_vec() };
            write_string(name, &mut lead);
            lead.push(b':');
            let at = self.child(made, &lead)?;
            if index == 0 {
                first = at;
            }
        }
        self.records[number as usize] = Record { first, count: members.len() as u32 };
        schema.fields = members
            .into_iter()
            .map(|(name, made)| Field { name: name.as_str().into(), schema: made.schema.into() })
            .collect();
        if self.recursive.contains(&number) {
            self.definitions[number as usize] = Some(Arc::new(schema.clone()));
        }
        Ok((schema, Op::Record(number)))
    }

    fn union(&mut self, members: &[Id], place: Place<'s>) -> Result<Shown, String> {
        let is_null = |id: &Id| *self.avro.kind(*id) == Kind::Null;
        let inner = Place { doc: place.doc, ..Place::default() };
        if let [only] = members
            && self.config.flatten_singleton_unions
        {
            let made = self.member(*only, inner)?;
            let at = self.child(&made, b"")?;
            return Ok(Shown::As(Made { schema: made.schema, op: Op::Single(at) }));
        }
        if members.len() == 2
            && let Some(null) = members.iter().position(is_null)
            && let Some(member) = members.iter().find(|member| !is_null(member))
        {
            let made = self.member(*member, Place { optional: true, ..inner })?;
            let at = self.child(&made, b"")?;
            let op = Op::Optional { null: null as u8, inner: at };
            return Ok(Shown::As(Made { schema: made.schema, op }));
        }
        let (schema, op) = self.sum(members)?;
        Ok(Shown::Struct(schema, op))
    }

    /// A union of several types: a struct with one field for each, one of them set.
    fn sum(&mut self, members: &[Id]) -> Result<(Schema, Op), String> {
        let generalized = self.config.generalized_sum_type_support;
        let mut schema = Schema::new(SchemaType::Struct).named(UNION);
        if generalized {
            let name = format!("connect_union_{}", self.unions_named);
            self.unions_named += 1;
            schema.name = Some(name.as_str().into());
            set_parameter(&mut schema, GENERALIZED_UNION, &name);
        }
        let mut made = Vec::new();
        for (index, member) in members.iter().enumerate() {
            if *self.avro.kind(*member) == Kind::Null {
                schema.optional = true;
                made.push(None);
                continue;
            }
            let name = self.branch_name(*member, index);
            if schema.fields.iter().any(|field| *field.name == *name) {
                let why = "Multiple union schemas map to the Connect union field name";
                return Err(format!("{why} {name}"));
            }
            let one = self.member(*member, Place { optional: true, ..Place::default() })?;
            schema
                .fields
                .push(Field { name: name.as_str().into(), schema: Arc::new(one.schema.clone()) });
            made.push(Some(one));
        }
        let branches = self.branches(&schema, &made)?;
        self.unions.push(branches);
        Ok((schema, Op::Union(self.unions.len() as u32 - 1)))
    }

    /// The branches, each with JSON's text before and behind its value: the other fields' nulls.
    fn branches(&mut self, schema: &Schema, made: &[Option<Made>]) -> Result<Vec<Branch>, String> {
        let mut branches = Vec::with_capacity(made.len());
        let mut field = 0;
        for one in made {
            let Some(one) = one else {
                branches.push(Branch::Null);
                continue;
            };
            let (mut lead, mut tail) = (Vec::new(), Vec::new());
            for (at, other) in schema.fields.iter().enumerate() {
                let text = if at <= field { &mut lead } else { &mut tail };
                text.push(if at == 0 { b'{' } else { b',' });
                write_string(&other.name, text);
                text.push(b':');
                if at != field {
                    let null = self.null_text(&other.schema);
                    let text = if at < field { &mut lead } else { &mut tail };
                    text.extend_from_slice(&self.literals[null]);
                }
            }
            tail.push(b'}');
            let at = self.child(one, &lead)?;
            let tail = self.literal(&tail);
            branches.push(Branch::Field { at, field: field as u32, tail });
            field += 1;
        }
        Ok(branches)
    }

    fn branch_name(&self, id: Id, index: usize) -> String {
        if self.config.generalized_sum_type_support {
            return format!("connect_union_field_{index}");
        }
        let kind = self.avro.kind(id);
        match kind {
            Kind::Record(full, _) | Kind::Enum(full, ..) | Kind::Fixed(full, _) => {
                match self.config.enhanced_avro_schema_support {
                    true => full.clone(),
                    false => simple_name(full).to_owned(),
                }
            }
            other => other.name().to_owned(),
        }
    }
}

/// How a union is shown.
enum Shown {
    /// As its one type.
    As(Made),
    Struct(Schema, Op),
}

/// The Connect schema of one type of `avro` by itself.
pub(super) fn schema_of(
    avro: &AvroSchema,
    id: Id,
    config: &AvroDataConfig,
) -> Result<Schema, String> {
    Compiler::new(avro, config).type_(id, Place::default()).map(|made| made.schema)
}
