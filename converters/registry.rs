//! What converters ask of a schema registry, and how: they say what they want to know, and somebody
//! who may wait finds out.
//!
//! A converter never waits. It asks its [`SchemaSource`]; where the answer is not there yet, the
//! record fails with [`wanted`], which is retriable, the source remembers the question, and whoever
//! runs the converter has it answered and brings the record again. Only a schema's first record
//! goes that way.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::converter::DataError;

/// One thing to find out, or to have done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Question {
    /// The schema of that id.
    Schema { id: u32 },
    /// The id of `schema` under `subject`, which it gets if it has none.
    Register { subject: String, schema: SchemaText, normalize: bool },
    /// The id of `schema` under `subject`, if it has one.
    Lookup { subject: String, schema: SchemaText, normalize: bool },
    /// The newest schema of `subject`.
    Latest { subject: String },
}

/// A schema as registries keep it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SchemaText {
    pub type_: SchemaKind,
    pub text: Arc<str>,
    /// What the text refers to, each by the name that it uses for it.
    pub references: Vec<SchemaReference>,
}

impl SchemaText {
    /// A schema that refers to no other.
    pub fn new(type_: SchemaKind, text: impl Into<Arc<str>>) -> Self {
        Self { type_, text: text.into(), references: Vec::new() }
    }
}

/// A registered schema that another one refers to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SchemaReference {
    /// As the text that refers to it calls it: `$ref`, `import`, a type's full name.
    pub name: String,
    pub subject: String,
    pub version: i32,
}

/// `schemaType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SchemaKind {
    Avro,
    Json,
    Protobuf,
}

/// How a converter uses its registry, whatever its format.
#[derive(Clone, Debug)]
pub struct RegistryUse {
    pub is_key: bool,
    pub subject_names: SubjectNames,
    pub write_as: WriteAs,
    /// `normalize.schemas`.
    pub normalize: bool,
    /// `schemas.cache.config`: schemas kept, each way.
    pub schemas_cache: usize,
}

/// As the keys' defaults have it, for values.
impl Default for RegistryUse {
    fn default() -> Self {
        Self {
            is_key: false,
            subject_names: SubjectNames::Topic,
            write_as: WriteAs::Registered,
            normalize: false,
            schemas_cache: 1000,
        }
    }
}

/// Which schema a written value goes under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteAs {
    /// The value's own schema, registered if need be (`auto.register.schemas`).
    Registered,
    /// The value's own schema, which must be registered already.
    Known,
    /// The subject's newest schema (`use.latest.version`); with `latest.compatibility.strict` it
    /// must be able to read what the value's own schema writes.
    Latest { strict: bool },
    /// The schema of that id (`use.schema.id`), likewise with `id.compatibility.strict`.
    Id { id: u32, strict: bool },
}

impl SchemaKind {
    /// As the registry's API spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avro => "AVRO",
            Self::Json => "JSON",
            Self::Protobuf => "PROTOBUF",
        }
    }

    pub fn by_name(name: &str) -> Option<Self> {
        [Self::Avro, Self::Json, Self::Protobuf].into_iter().find(|kind| kind.name() == name)
    }
}

/// What the registry says. Questions about a text of one's own are answered by its id alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub id: u32,
    /// `None` where the question held the text.
    pub schema: Option<SchemaText>,
    /// Names and texts of the schemas that `schema` refers to, each before those that refer to it.
    pub references: Vec<(String, Arc<str>)>,
    /// The subjects that have this schema, each with its version there; of [`Question::Latest`] the
    /// subject asked about.
    pub versions: Vec<(String, i32)>,
}

impl Answer {
    /// The version that `subject` knows this schema by.
    pub fn version(&self, subject: &str) -> Option<i32> {
        self.versions.iter().find(|(name, _)| name == subject).map(|(_, version)| *version)
    }
}

/// Where answers are.
pub trait SchemaSource {
    /// The answer, or what the registry refused; `None`: not known yet, and remembered as wanted.
    fn ask(&self, question: &Question) -> Option<Result<Arc<Answer>, DataError>>;
}

/// How a converter's registry is reached: the converter's own keys, as they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RegistrySettings {
    pub config: BTreeMap<String, String>,
}

/// The error of a record whose schema is not there yet.
#[cold]
pub fn wanted(what: &str) -> DataError {
    DataError {
        class: "org.apache.kafka.connect.errors.RetriableException",
        message: format!("{what} has not been had from the schema registry yet"),
        retriable: true,
    }
}

/// `key.subject.name.strategy`, `value.subject.name.strategy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SubjectNames {
    /// `<topic>-key`, `<topic>-value`.
    #[default]
    Topic,
    /// The schema's full name.
    Record,
    /// `<topic>-<the schema's full name>`.
    TopicRecord,
}

impl SubjectNames {
    /// The subject of a schema; `name` is its full name if it has one.
    pub fn subject(
        self,
        topic: &str,
        is_key: bool,
        name: Option<&str>,
    ) -> Result<String, DataError> {
        let named = || {
            name.ok_or_else(|| {
                DataError::new(format!(
                    "In configuration {}.subject.name.strategy: the message {} must only be a \
                     record schema, for its name is part of the subject",
                    if is_key { "key" } else { "value" },
                    if is_key { "key" } else { "value" },
                ))
            })
        };
        Ok(match self {
            Self::Topic => format!("{topic}-{}", if is_key { "key" } else { "value" }),
            Self::Record => named()?.to_owned(),
            Self::TopicRecord => format!("{topic}-{}", named()?),
        })
    }
}

/// The byte before the id of a registered schema.
pub const MAGIC: u8 = 0;

/// The schema's id and where the payload begins, of bytes in the registry's wire format.
#[inline]
pub fn framed(bytes: &[u8]) -> Result<(u32, usize), &'static str> {
    match bytes {
        [MAGIC, a, b, c, d, ..] => Ok((u32::from_be_bytes([*a, *b, *c, *d]), 5)),
        [MAGIC, ..] => Err("the bytes end before the schema's id does"),
        [] => Err("there is no byte"),
        _ => Err("Unknown magic byte!"),
    }
}

/// Begins a record's bytes.
#[inline]
pub fn frame(id: u32, out: &mut Vec<u8>) {
    out.push(MAGIC);
    out.extend_from_slice(&id.to_be_bytes());
}
