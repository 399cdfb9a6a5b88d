//! Avro schemas as the registry gives them, with every property kept.
//!
//! Connect's own properties (`connect.*`, `logicalType`) may stand on any type, primitives included.
//! The crate apache-avro drops those of primitives, so it serves as the oracle of the tests and the
//! text is read here.

use std::collections::HashMap;

use serde_json::{Map, Value as Json};

/// Place of a type in [`AvroSchema::nodes`].
pub(super) type Id = usize;

/// Properties of a type or a field that Avro itself does not define, in the order of the text.
pub(super) type Props = Map<String, Json>;

/// A parsed schema. Types refer to each other by place, so that a record may contain itself.
#[derive(Debug)]
pub(super) struct AvroSchema {
    pub nodes: Vec<Node>,
    pub root: Id,
}

/// One type.
#[derive(Debug)]
pub(super) struct Node {
    pub kind: Kind,
    pub props: Props,
    pub doc: Option<String>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Array(Id),
    Map(Id),
    Union(Vec<Id>),
    /// The full name; fields in order.
    Record(String, Vec<AvroField>),
    /// The full name, the symbols, the default symbol.
    Enum(String, Vec<String>, Option<String>),
    /// The full name and the size in bytes.
    Fixed(String, usize),
}

#[derive(Debug, PartialEq)]
pub(super) struct AvroField {
    pub name: String,
    pub type_: Id,
    pub doc: Option<String>,
    pub default: Option<Json>,
    pub props: Props,
}

/// Most types that a schema with its references may have: more is a mistake or an attack.
const MAX_NODES: usize = 65_536;

/// What stands before the last dot of a full name; empty without one.
pub(super) fn namespace(full: &str) -> &str {
    full.rsplit_once('.').map_or("", |(space, _)| space)
}

/// What stands behind the last dot of a full name.
pub(super) fn simple_name(full: &str) -> &str {
    full.rsplit_once('.').map_or(full, |(_, name)| name)
}

impl AvroSchema {
    /// Reads `text`; the named types of `references` are known in it, each one in those after it.
    pub fn parse(text: &str, references: &[impl AsRef<str>]) -> Result<Self, String> {
        let mut parser = Parser { nodes: Vec::new(), names: HashMap::new() };
        for reference in references {
            parser.text(reference.as_ref())?;
        }
        let root = parser.text(text)?;
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
    /// A property that is text.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.props.get(key).and_then(Json::as_str)
    }
}

impl Kind {
    /// As Avro names the type; of a named type its full name.
    pub fn name(&self) -> &str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Int => "int",
            Self::Long => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::Bytes => "bytes",
            Self::String => "string",
            Self::Array(_) => "array",
            Self::Map(_) => "map",
            Self::Union(_) => "union",
            Self::Record(name, _) | Self::Enum(name, ..) | Self::Fixed(name, _) => name,
        }
    }

    fn primitive(name: &str) -> Option<Self> {
        Some(match name {
            "null" => Self::Null,
            "boolean" => Self::Boolean,
            "int" => Self::Int,
            "long" => Self::Long,
            "float" => Self::Float,
            "double" => Self::Double,
            "bytes" => Self::Bytes,
            "string" => Self::String,
            _ => return None,
        })
    }
}

struct Parser {
    nodes: Vec<Node>,
    names: HashMap<String, Id>,
}

impl Parser {
    fn text(&mut self, text: &str) -> Result<Id, String> {
        // A schema may be a bare type name, which is no JSON document of its own in some registries.
        let json: Json = match serde_json::from_str(text) {
            Ok(json) => json,
            Err(_) if Kind::primitive(text.trim()).is_some() => Json::from(text.trim()),
            Err(error) => return Err(format!("the Avro schema is not JSON: {error}")),
        };
        self.type_(&json, "")
    }

    fn push(&mut self, kind: Kind, props: Props, doc: Option<String>) -> Result<Id, String> {
        if self.nodes.len() >= MAX_NODES {
            return Err(format!("the Avro schema has more than {MAX_NODES} types"));
        }
        self.nodes.push(Node { kind, props, doc });
        Ok(self.nodes.len() - 1)
    }

    fn type_(&mut self, json: &Json, space: &str) -> Result<Id, String> {
        match json {
            Json::String(name) => self.named(name, space),
            Json::Array(members) => {
                let members: Result<Vec<Id>, _> =
                    members.iter().map(|member| self.type_(member, space)).collect();
                self.push(Kind::Union(members?), Props::new(), None)
            }
            Json::Object(object) => self.object(object, space),
            other => Err(format!("{other} is no Avro type")),
        }
    }

    fn named(&mut self, name: &str, space: &str) -> Result<Id, String> {
        if let Some(kind) = Kind::primitive(name) {
            return self.push(kind, Props::new(), None);
        }
        let full = if name.contains('.') || space.is_empty() {
            name.to_owned()
        } else {
            format!("{space}.{name}")
        };
        let found = self.names.get(&full).or_else(|| self.names.get(name));
        found.copied().ok_or_else(|| format!("the Avro schema does not define the type {full}"))
    }

    fn object(&mut self, object: &Map<String, Json>, space: &str) -> Result<Id, String> {
        let type_ = object.get("type").ok_or("an Avro type has no \"type\"")?;
        let Json::String(type_) = type_ else {
            // {"type": {"type": "string"}}: the inner one, as Avro's parser takes it.
            return self.type_(type_, space);
        };
        let doc = object.get("doc").and_then(Json::as_str).map(str::to_owned);
        let mut props = props(object, &TYPE_WORDS);
        match type_.as_str() {
            "array" | "map" => {
                let key = if type_ == "array" { "items" } else { "values" };
                let inner = object.get(key).ok_or_else(|| format!("{type_} has no \"{key}\""))?;
                let inner = self.type_(inner, space)?;
                let kind = if type_ == "array" { Kind::Array(inner) } else { Kind::Map(inner) };
                self.push(kind, props, doc)
            }
            "record" | "error" | "enum" | "fixed" => {
                let full = full_name(object, space)?;
                if type_ == "enum" {
                    props.remove("default");
                }
                // Known before its fields are read, for it may be their type.
                let id = self.push(Kind::Null, props, doc)?;
                if self.names.insert(full.clone(), id).is_some() {
                    return Err(format!("the Avro schema defines {full} twice"));
                }
                let kind = match type_.as_str() {
                    "enum" => enumeration(full, object)?,
                    "fixed" => fixed(full, object)?,
                    _ => {
                        let fields = self.fields(object, namespace(&full))?;
                        Kind::Record(full, fields)
                    }
                };
                self.nodes[id].kind = kind;
                Ok(id)
            }
            name => match Kind::primitive(name) {
                Some(kind) => self.push(kind, props, doc),
                None => self.named(name, space),
            },
        }
    }

    fn fields(
        &mut self,
        object: &Map<String, Json>,
        space: &str,
    ) -> Result<Vec<AvroField>, String> {
        let fields = object.get("fields").and_then(Json::as_array);
        let fields = fields.ok_or("a record has no \"fields\"")?;
        let mut read: Vec<AvroField> = Vec::with_capacity(fields.len());
        for field in fields {
            let field = field.as_object().ok_or("a record's field is no object")?;
            let name = field.get("name").and_then(Json::as_str).ok_or("a field has no \"name\"")?;
            if read.iter().any(|other| other.name == name) {
                return Err(format!("the field {name} stands twice in a record"));
            }
            let type_ = field.get("type").ok_or_else(|| format!("the field {name} has no type"))?;
            read.push(AvroField {
                name: name.to_owned(),
                type_: self.type_(type_, space)?,
                doc: field.get("doc").and_then(Json::as_str).map(str::to_owned),
                default: field.get("default").cloned(),
                props: props(field, &FIELD_WORDS),
            });
        }
        Ok(read)
    }
}

/// Avro's own words in a type, which are no properties.
const TYPE_WORDS: [&str; 10] =
    ["type", "name", "namespace", "doc", "aliases", "fields", "items", "values", "symbols", "size"];
/// Likewise in a field.
const FIELD_WORDS: [&str; 6] = ["name", "type", "doc", "default", "order", "aliases"];

fn props(object: &Map<String, Json>, words: &[&str]) -> Props {
    let others = object.iter().filter(|(key, _)| !words.contains(&key.as_str()));
    others.map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn full_name(object: &Map<String, Json>, space: &str) -> Result<String, String> {
    let name = object.get("name").and_then(Json::as_str).ok_or("a named type has no \"name\"")?;
    if name.contains('.') {
        return Ok(name.trim_start_matches('.').to_owned());
    }
    let space = object.get("namespace").and_then(Json::as_str).unwrap_or(space);
    Ok(if space.is_empty() { name.to_owned() } else { format!("{space}.{name}") })
}

fn enumeration(full: String, object: &Map<String, Json>) -> Result<Kind, String> {
    let symbols = object.get("symbols").and_then(Json::as_array);
    let symbols = symbols.ok_or_else(|| format!("the enum {full} has no \"symbols\""))?;
    let symbols: Option<Vec<String>> =
        symbols.iter().map(|symbol| symbol.as_str().map(str::to_owned)).collect();
    let symbols = symbols.ok_or_else(|| format!("a symbol of the enum {full} is no text"))?;
    let default = object.get("default").and_then(Json::as_str).map(str::to_owned);
    Ok(Kind::Enum(full, symbols, default))
}

fn fixed(full: String, object: &Map<String, Json>) -> Result<Kind, String> {
    let size = object.get("size").and_then(Json::as_u64);
    let size = size.and_then(|size| usize::try_from(size).ok()).filter(|size| *size <= 1 << 30);
    Ok(Kind::Fixed(full.clone(), size.ok_or_else(|| format!("the fixed {full} has no size"))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_properties() {
        let text = r#"{"type":"record","name":"R","namespace":"a.b","doc":"d","x":1,"fields":[
            {"name":"i","type":{"type":"int","connect.type":"int8"},"default":3,"p":"q"},
            {"name":"e","type":{"type":"enum","name":"c.E","symbols":["A"],"default":"A"}},
            {"name":"again","type":["null","R","c.E"]},
            {"name":"f","type":{"type":"fixed","name":"F","size":4}}]}"#;
        let schema = AvroSchema::parse(text, &[] as &[&str]).unwrap();
        let root = schema.node(schema.root);
        let Kind::Record(name, fields) = &root.kind else { panic!("no record") };
        assert_eq!((name.as_str(), root.doc.as_deref()), ("a.b.R", Some("d")));
        assert_eq!(root.props.len(), 1);
        assert_eq!(schema.node(fields[0].type_).text("connect.type"), Some("int8"));
        assert_eq!(fields[0].props.get("p"), Some(&Json::from("q")));
        let Kind::Union(members) = schema.kind(fields[2].type_) else { panic!("no union") };
        assert_eq!(members[1], schema.root);
        assert_eq!(schema.kind(members[2]).name(), "c.E");
        assert_eq!(schema.kind(fields[3].type_), &Kind::Fixed("a.b.F".into(), 4));
    }

    #[test]
    fn references_are_known() {
        let inner = r#"{"type":"record","name":"x.In","fields":[]}"#;
        let outer = r#"{"type":"array","items":"x.In"}"#;
        assert!(AvroSchema::parse(outer, &[inner]).is_ok());
        let error = AvroSchema::parse(outer, &[] as &[&str]).unwrap_err();
        assert_eq!(error, "the Avro schema does not define the type x.In");
        assert!(AvroSchema::parse("string", &[] as &[&str]).is_ok());
    }

    #[test]
    fn what_is_no_schema() {
        for text in [
            "",
            "1",
            "{}",
            "\"x\"",
            r#"{"type":"record","name":"R"}"#,
            r#"{"type":"record","name":"R","fields":[{"name":"a"}]}"#,
            r#"{"type":"enum","name":"E","symbols":[1]}"#,
            r#"{"type":"fixed","name":"F","size":-1}"#,
            r#"{"type":"array"}"#,
        ] {
            assert!(AvroSchema::parse(text, &[] as &[&str]).is_err(), "{text}");
        }
    }
}
