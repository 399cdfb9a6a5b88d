//! JSON schemas as Confluent's reader (everit's json-schema, draft 7) takes them apart.
//!
//! What a schema object says falls into parts: an enumeration, combinations, a type, loose keywords
//! of types that it does not name. One part is the schema; of several it is all at once. Of later
//! drafts the same keywords are read.

use std::collections::HashMap;

use serde_json::{Map, Value as Json};

use super::java_order;
use super::names::{INDEX, PARAMETERS, TYPE, VERSION};
use super::references::{Document, resolve};

/// Place of a schema in [`JsonSchema::nodes`].
pub(super) type Id = usize;

/// A parsed schema with those that it refers to.
pub(super) struct JsonSchema {
    pub nodes: Vec<Node>,
    pub root: Id,
}

/// One schema.
#[derive(Debug)]
pub(super) struct Node {
    pub kind: Kind,
    pub title: Option<String>,
    pub description: Option<String>,
    pub default: Option<Json>,
    /// `connect.type`.
    pub type_: Option<String>,
    /// `connect.version`.
    pub version: Option<i32>,
    /// `connect.index`.
    pub index: Option<i64>,
    /// `connect.parameters`.
    pub parameters: Vec<(String, String)>,
    /// What bounds the values: `minimum`, `pattern` and their kin.
    pub limits: Vec<(String, Json)>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Kind {
    /// Anything at all: `{}`, `true`.
    Empty,
    /// Nothing at all: `false`.
    Never,
    Null,
    Boolean,
    Integer,
    Number,
    String,
    Const(Json),
    Enum(Vec<Json>),
    Combined(Criterion, Vec<Id>),
    /// Of its items; none: they differ by place, or nothing is said.
    Array(Option<Id>),
    Object(Object),
    Reference(Id),
    /// `not`, `if`: nothing that data could be typed by.
    Condition,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Criterion {
    All,
    Any,
    One,
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct Object {
    /// In the order of the text.
    pub properties: Vec<(String, Id)>,
    pub required: Vec<String>,
    /// Whether members may come that are not named.
    pub open: bool,
    /// What those are.
    pub additional: Option<Id>,
}

/// Most schemas that one may hold or refer to.
const MAX_NODES: usize = 65_536;
/// Schemas inside of schemas.
const MAX_DEPTH: usize = 100;

const ARRAY_WORDS: [&str; 6] =
    ["items", "additionalItems", "minItems", "maxItems", "uniqueItems", "contains"];
const OBJECT_WORDS: [&str; 8] = [
    "properties",
    "required",
    "minProperties",
    "maxProperties",
    "dependencies",
    "patternProperties",
    "additionalProperties",
    "propertyNames",
];
const NUMBER_WORDS: [&str; 5] =
    ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];
const STRING_WORDS: [&str; 4] = ["minLength", "maxLength", "pattern", "format"];
const CONDITION_WORDS: [&str; 3] = ["if", "then", "else"];
/// Words of types that say no more than which values are good.
const LIMITS: [&str; 17] = [
    "minItems",
    "maxItems",
    "uniqueItems",
    "contains",
    "minProperties",
    "maxProperties",
    "dependencies",
    "patternProperties",
    "propertyNames",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
];

impl JsonSchema {
    /// Reads `text`, which may refer to `references` by their names.
    pub fn parse(text: &str, references: &[(&str, &str)]) -> Result<Self, String> {
        let mut documents = vec![Document::parse("", text)?];
        for (name, text) in references {
            documents.push(Document::parse(name, text)?);
        }
        let root = &documents[0].json;
        if !root.is_object() && !root.is_boolean() {
            return Err("a JSON schema is an object, true or false".into());
        }
        let mut parser =
            Parser { documents: &documents, nodes: Vec::new(), known: HashMap::new(), depth: 0 };
        let root = parser.schema(root, 0)?;
        Ok(Self { nodes: parser.nodes, root })
    }

    pub fn node(&self, id: Id) -> &Node {
        &self.nodes[id]
    }

    pub fn kind(&self, id: Id) -> &Kind {
        &self.nodes[id].kind
    }
}

impl Node {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            title: None,
            description: None,
            default: None,
            type_: None,
            version: None,
            index: None,
            parameters: Vec::new(),
            limits: Vec::new(),
        }
    }
}

impl Kind {
    /// For errors.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Empty => "anything",
            Self::Never => "nothing",
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::String => "string",
            Self::Const(_) => "const",
            Self::Enum(_) => "enum",
            Self::Combined(Criterion::All, _) => "allOf",
            Self::Combined(Criterion::Any, _) => "anyOf",
            Self::Combined(Criterion::One, _) => "oneOf",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
            Self::Reference(_) => "$ref",
            Self::Condition => "a condition",
        }
    }
}

struct Parser<'d> {
    documents: &'d [Document],
    nodes: Vec<Node>,
    /// By where the schema's text stands in memory: what two references lead to is one schema.
    known: HashMap<*const Json, Id>,
    depth: usize,
}

impl<'d> Parser<'d> {
    fn push(&mut self, node: Node) -> Result<Id, String> {
        if self.nodes.len() >= MAX_NODES {
            return Err(format!("the JSON schema has more than {MAX_NODES} schemas in it"));
        }
        self.nodes.push(node);
        Ok(self.nodes.len() - 1)
    }

    fn schema(&mut self, json: &'d Json, document: usize) -> Result<Id, String> {
        let object = match json {
            Json::Bool(true) => return self.push(Node::new(Kind::Empty)),
            Json::Bool(false) => return self.push(Node::new(Kind::Never)),
            Json::Object(object) => object,
            other => return Err(format!("{other} is no JSON schema")),
        };
        if let Some(id) = self.known.get(&std::ptr::from_ref(json)) {
            return Ok(*id);
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("the JSON schema nests too deeply".into());
        }
        // Known before it is read, for it may refer to itself.
        let id = self.push(Node::new(Kind::Empty))?;
        self.known.insert(std::ptr::from_ref(json), id);
        let node = self.node(object, document)?;
        self.nodes[id] = node;
        self.depth -= 1;
        Ok(id)
    }

    fn node(&mut self, object: &'d Map<String, Json>, document: usize) -> Result<Node, String> {
        let kind = match object.get("$ref") {
            Some(reference) => {
                let reference = reference.as_str().ok_or("a $ref is no text")?;
                let (document, json) = resolve(self.documents, document, reference)?;
                Kind::Reference(self.schema(json, document)?)
            }
            None => self.parts(object, document)?,
        };
        let text = |key: &str| object.get(key).and_then(Json::as_str).map(str::to_owned);
        let parameters = object.get(PARAMETERS).and_then(Json::as_object);
        let parameter = |(key, value): (&String, &Json)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            (key.clone(), value)
        };
        let limit = |word: &&str| Some(((*word).to_owned(), object.get(*word)?.clone()));
        Ok(Node {
            kind,
            title: text("title"),
            description: text("description"),
            // A null says no more than that there is no default.
            default: object.get("default").filter(|value| !value.is_null()).cloned(),
            type_: text(TYPE),
            version: object
                .get(VERSION)
                .and_then(Json::as_i64)
                .and_then(|version| i32::try_from(version).ok()),
            index: object.get(INDEX).and_then(Json::as_i64),
            parameters: parameters
                .map(|all| all.iter().map(parameter).collect())
                .unwrap_or_default(),
            limits: LIMITS.iter().filter_map(limit).collect(),
        })
    }

    /// What the schema says, part by part.
    fn parts(&mut self, object: &'d Map<String, Json>, document: usize) -> Result<Kind, String> {
        let mut parts = Vec::new();
        if let Some(values) = object.get("enum") {
            let values = values.as_array().ok_or("an enum is no array")?;
            parts.push(Kind::Enum(values.clone()));
        }
        let mut combined =
            [("allOf", Criterion::All), ("anyOf", Criterion::Any), ("oneOf", Criterion::One)];
        java_order::plain(&mut combined, |(word, _)| word);
        for (word, criterion) in combined {
            let Some(members) = object.get(word) else { continue };
            let members = members.as_array().ok_or_else(|| format!("{word} is no array"))?;
            let members: Result<Vec<Id>, _> =
                members.iter().map(|member| self.schema(member, document)).collect();
            parts.push(Kind::Combined(criterion, members?));
        }
        if object.contains_key("not") {
            parts.push(Kind::Condition);
        }
        if let Some(value) = object.get("const") {
            parts.push(Kind::Const(value.clone()));
        }
        let mut types = Vec::new();
        match object.get("type") {
            Some(Json::String(name)) => {
                types.push(name.as_str());
                parts.push(self.typed(name, object, document)?);
            }
            Some(Json::Array(names)) => {
                let mut members = Vec::with_capacity(names.len());
                for name in names {
                    let name = name.as_str().ok_or("a type is no text")?;
                    types.push(name);
                    let kind = self.typed(name, object, document)?;
                    members.push(self.push(Node::new(kind))?);
                }
                parts.push(Kind::Combined(Criterion::Any, members));
            }
            Some(other) => return Err(format!("{other} is no type of a JSON schema")),
            None => {}
        }
        let loose = |words: &[&str]| words.iter().any(|word| object.contains_key(*word));
        let named = |names: &[&str]| types.iter().any(|type_| names.contains(type_));
        if !named(&["array"]) && loose(&ARRAY_WORDS) {
            parts.push(self.array(object, document)?);
        }
        if !named(&["object"]) && loose(&OBJECT_WORDS) {
            parts.push(self.object(object, document)?);
        }
        if !named(&["integer", "number"]) && loose(&NUMBER_WORDS) {
            parts.push(Kind::Number);
        }
        if !named(&["string"]) && loose(&STRING_WORDS) {
            parts.push(Kind::String);
        }
        if loose(&CONDITION_WORDS) {
            parts.push(Kind::Condition);
        }
        Ok(match parts.len() {
            0 => Kind::Empty,
            1 => parts.swap_remove(0),
            _ => {
                let members: Result<Vec<Id>, _> =
                    parts.into_iter().map(|kind| self.push(Node::new(kind))).collect();
                Kind::Combined(Criterion::All, members?)
            }
        })
    }

    fn typed(
        &mut self,
        name: &str,
        object: &'d Map<String, Json>,
        document: usize,
    ) -> Result<Kind, String> {
        Ok(match name {
            "string" => Kind::String,
            "integer" => Kind::Integer,
            "number" => Kind::Number,
            "boolean" => Kind::Boolean,
            "null" => Kind::Null,
            "array" => self.array(object, document)?,
            "object" => self.object(object, document)?,
            other => return Err(format!("{other:?} is no type of a JSON schema")),
        })
    }

    fn array(&mut self, object: &'d Map<String, Json>, document: usize) -> Result<Kind, String> {
        Ok(Kind::Array(match object.get("items") {
            None | Some(Json::Array(_)) => None,
            Some(items) => Some(self.schema(items, document)?),
        }))
    }

    fn object(&mut self, object: &'d Map<String, Json>, document: usize) -> Result<Kind, String> {
        let mut read = Object { open: true, ..Object::default() };
        if let Some(properties) = object.get("properties") {
            let properties = properties.as_object().ok_or("properties are no object")?;
            for (name, json) in properties {
                read.properties.push((name.clone(), self.schema(json, document)?));
            }
        }
        if let Some(required) = object.get("required") {
            let required = required.as_array().ok_or("required is no array")?;
            read.required.extend(required.iter().filter_map(Json::as_str).map(str::to_owned));
        }
        match object.get("additionalProperties") {
            None | Some(Json::Bool(true)) => {}
            Some(Json::Bool(false)) => read.open = false,
            Some(json) => read.additional = Some(self.schema(json, document)?),
        }
        Ok(Kind::Object(read))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Result<String, String> {
        let schema = JsonSchema::parse(text, &[])?;
        let Kind::Combined(_, members) = schema.kind(schema.root) else {
            return Ok(schema.kind(schema.root).name().to_owned());
        };
        let members: Vec<&str> = members.iter().map(|id| schema.kind(*id).name()).collect();
        Ok(format!("{} of {}", schema.kind(schema.root).name(), members.join(", ")))
    }

    #[test]
    fn parts_of_schemas() {
        for (text, kind) in [
            ("true", "anything"),
            ("{}", "anything"),
            (r#"{"title":"x"}"#, "anything"),
            (r#"{"type":"integer","minimum":1}"#, "integer"),
            (r#"{"minimum":1}"#, "number"),
            (r#"{"type":["string","null"]}"#, "anyOf of string, null"),
            (r#"{"type":"integer","format":"int32"}"#, "allOf of integer, string"),
            (r#"{"type":"string","enum":["a"]}"#, "allOf of enum, string"),
            (r#"{"type":"object","oneOf":[{}]}"#, "allOf of oneOf, object"),
            (r#"{"properties":{},"items":{}}"#, "allOf of array, object"),
            (r#"{"const":1}"#, "const"),
            (r#"{"type":"object","if":{},"then":{}}"#, "allOf of object, a condition"),
            (r##"{"$ref":"#/definitions/a","type":"string","definitions":{"a":{}}}"##, "$ref"),
        ] {
            assert_eq!(kinds(text).as_deref(), Ok(kind), "{text}");
        }
        for text in ["", "1", "[]", r#"{"type":"x"}"#, r#"{"type":1}"#, r##"{"$ref":"#/x"}"##] {
            assert!(kinds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bounds() {
        let deep = r#"{"items":"#.repeat(120) + "{}" + &"}".repeat(120);
        assert!(kinds(&deep).unwrap_err().contains("nests too deeply"));
        let schema = JsonSchema::parse(r##"{"$ref":"#"}"##, &[]).unwrap();
        assert_eq!(schema.kind(schema.root), &Kind::Reference(schema.root));
    }
}
