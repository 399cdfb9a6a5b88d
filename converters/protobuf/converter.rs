//! `io.confluent.connect.protobuf.ProtobufConverter`.

use std::cell::RefCell;
use std::rc::Rc;

use super::compatible::obstacle;
use super::config::{ProtobufConverterConfig, ProtobufDataConfig};
use super::decode;
use super::encode::Encoder;
use super::encode_plan::plan;
use super::from_connect::proto_text;
use super::indexes;
use super::program::Program;
use super::references::{KnownTypes, references};
use super::schema::ProtoSchema;
use super::to_connect;
use crate::arena::Arena;
use crate::converter::{Converter, DataError, Detail};
use crate::data::{Schema, SchemaAndValue, Value};
use crate::registry::{
    Answer, Question, RegistrySettings, SchemaKind, SchemaSource, SchemaText, frame, framed,
};
use crate::registry_plans::{Compiled, ReadPlans, Source, WritePlans, ask, failed_to, schema_of};
use crate::varint::Input;

/// Reads and writes Protobuf under schemas of a registry.
pub struct ProtobufConverter {
    config: ProtobufConverterConfig,
    /// With `skip.known.types=false`, how imports are registered.
    known_types: Option<KnownTypes>,
    settings: RegistrySettings,
    source: Source,
    read: ReadPlans<Family>,
    written: WritePlans<Written>,
}

/// The messages of one registered schema, as one topic has them.
struct Family {
    proto: ProtoSchema,
    /// The subjects that know the schema, and the version that each knows it by.
    answer: std::sync::Arc<Answer>,
    /// What was compiled, by the list of indexes as records have it; the one used last is first.
    programs: RefCell<Vec<Named>>,
}

/// A list of indexes and its message's program.
type Named = (Box<[u8]>, Compiled<Program>);

/// Lists of indexes of one schema; there are more than it has messages only if somebody plays.
const MOST_PROGRAMS: usize = 1000;

/// How one schema's data goes to one topic.
struct Written {
    encoder: Encoder,
    /// What each record begins with: the schema's id and the message's indexes.
    head: Box<[u8]>,
}

impl ProtobufConverter {
    /// A converter that knows no schema yet and nobody to ask.
    pub fn new(config: ProtobufConverterConfig, settings: RegistrySettings) -> Self {
        Self {
            known_types: None,
            settings,
            source: None,
            read: ReadPlans::new(config.registry.schemas_cache),
            written: WritePlans::new(config.registry.schemas_cache),
            config,
        }
    }

    /// As with `skip.known.types=false`: the files that a schema imports are registered, too, and it
    /// refers to them.
    pub fn with_known_types(mut self, how: KnownTypes) -> Self {
        self.known_types = Some(how);
        self
    }

    fn read<'a>(
        &mut self,
        topic: &str,
        bytes: &'a [u8],
        arena: &'a Arena,
        into: &mut SchemaAndValue<'a>,
    ) -> Result<(), DataError> {
        let (id, start) = framed(bytes).map_err(|why| DataError::new(format!("{why} (byte 0)")))?;
        let fault = |why: &str, at: usize| {
            DataError::new(format!("{why}, at byte {at} of {} (schema {id})", bytes.len()))
        };
        let mut input = Input { bytes, at: start };
        indexes::skip(&mut input).map_err(|why| fault(why, input.at))?;
        let (list, payload) = (&bytes[start..input.at], &bytes[input.at..]);
        let Self { config, source, read, .. } = self;
        let family = read.get(topic, id, || {
            let answer = ask(source, &Question::Schema { id })?;
            let family = proto_of(&answer)
                .map(|proto| Rc::new(Family { proto, answer, programs: RefCell::default() }));
            Ok(family)
        })?;
        let program = family
            .program(list, config, topic)
            .map_err(|why| DataError::new(format!("schema {id}: {why}")))?;
        let schema = arena.pin_schema(&program.schema);
        into.schema = Some(schema);
        decode::read(&program, schema, payload, arena, &mut into.value).map_err(|wrong| {
            let at = wrong.address.map(|address| address.wrapping_sub(bytes.as_ptr() as usize));
            fault(wrong.why, at.filter(|at| *at <= bytes.len()).unwrap_or(start))
        })
    }

    fn write(
        &mut self,
        topic: &str,
        schema: Option<&Schema>,
        value: Value<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), DataError> {
        let Some(schema) = schema else {
            return Err(DataError::new("Protobuf data needs a schema, and there is none"));
        };
        let Self { config, known_types, source, written, .. } = self;
        let prepare = || prepare(config, *known_types, source, topic, schema);
        let written = written.get(topic, Some(schema), prepare)?;
        out.extend_from_slice(&written.head);
        written.encoder.write(schema, value, out)
    }
}

impl Family {
    /// How the message of that list of indexes is read.
    #[inline]
    fn program(
        &self,
        list: &[u8],
        config: &ProtobufConverterConfig,
        topic: &str,
    ) -> Result<Rc<Program>, Rc<str>> {
        let mut programs = self.programs.borrow_mut();
        let found = match programs.iter().position(|(known, _)| **known == *list) {
            Some(at) => at,
            None => {
                if programs.len() == MOST_PROGRAMS {
                    programs.clear();
                }
                programs.push((list.into(), self.compile(list, config, topic)));
                programs.len() - 1
            }
        };
        if found > 0 {
            programs.swap(0, found);
        }
        programs[0].1.clone()
    }

    fn compile(
        &self,
        list: &[u8],
        config: &ProtobufConverterConfig,
        topic: &str,
    ) -> Compiled<Program> {
        let list = indexes::read(&mut Input::new(list))?;
        let Some(root) = self.proto.message_at(&list) else {
            return Err(format!("it has no message of indexes {list:?}").into());
        };
        let name = Some(self.proto.message(root).full.as_str());
        let version = config.registry.version(topic, name, &self.answer);
        Ok(Rc::new(to_connect::compile(&self.proto, root, &config.data, version)?))
    }
}

fn prepare(
    config: &ProtobufConverterConfig,
    known_types: Option<KnownTypes>,
    source: &Source,
    topic: &str,
    schema: &Schema,
) -> Result<Written, DataError> {
    let own = proto_text(schema, &config.data).map_err(DataError::new)?;
    let subject = config.registry.subject(topic, Some(&own.message))?;
    let proto = ProtoSchema::parse(&own.text, NONE).map_err(DataError::new)?;
    let mut named = SchemaText::new(SchemaKind::Protobuf, own.text);
    if let Some(how) = known_types {
        named.references = references(how, &config.registry, source, &own.imports)?;
    }
    let answer = config.registry.ask_to_write(source, subject, named)?;
    let root = |proto: &ProtoSchema| {
        let found = proto.message_named(&own.message, config.registry.normalize);
        found.ok_or_else(|| DataError::new("the schema has no message"))
    };
    let found = root(&proto)?;
    let Some(_) = answer.schema else {
        return written(schema, &proto, found, answer.id, true, &config.data);
    };
    let other = proto_of(&answer).map_err(|why| DataError::new(&*why))?;
    let other_found = root(&other)?;
    let obstacle = || obstacle((&other, other_found.0), (&proto, found.0));
    config.registry.check(answer.id, obstacle)?;
    written(schema, &other, other_found, answer.id, false, &config.data)
}

fn written(
    schema: &Schema,
    proto: &ProtoSchema,
    (root, list): (u32, Vec<usize>),
    id: u32,
    own: bool,
    config: &ProtobufDataConfig,
) -> Result<Written, DataError> {
    let encoder = plan(schema, proto, root, own, config).map_err(DataError::new)?;
    let mut head = Vec::new();
    frame(id, &mut head);
    indexes::write(&list, &mut head);
    Ok(Written { encoder, head: head.into() })
}

const NONE: &[(String, &str)] = &[];

/// The Protobuf schema that the registry gave.
fn proto_of(answer: &Answer) -> Result<ProtoSchema, Rc<str>> {
    let schema = schema_of(answer, SchemaKind::Protobuf)?;
    Ok(ProtoSchema::parse(&schema.text, &answer.references)?)
}

impl Converter for ProtobufConverter {
    fn to_connect_data_at<'a>(
        &mut self,
        topic: &str,
        bytes: Option<&'a [u8]>,
        _detail: Detail,
        arena: &'a Arena,
        into: &mut SchemaAndValue<'a>,
    ) -> Result<(), DataError> {
        let Some(bytes) = bytes else { return Ok(()) };
        self.read(topic, bytes, arena, into)
            .map_err(|error| failed_to("deserialize Protobuf data of", topic, error))
    }

    fn from_connect_data(
        &mut self,
        topic: &str,
        schema: Option<&Schema>,
        value: Value<'_>,
        out: &mut Vec<u8>,
    ) -> Result<bool, DataError> {
        if value.is_null() {
            return Ok(false);
        }
        let start = out.len();
        match self.write(topic, schema, value, out) {
            Ok(()) => Ok(true),
            Err(error) => {
                out.truncate(start);
                Err(failed_to("serialize Protobuf data for", topic, error))
            }
        }
    }

    fn begin_batch(&mut self) {
        self.written.begin_batch();
    }

    fn registry(&self) -> Option<&RegistrySettings> {
        Some(&self.settings)
    }

    fn attach(&mut self, source: Rc<dyn SchemaSource>) {
        self.source = Some(source);
    }

    fn class_name(&self) -> &'static str {
        "io.confluent.connect.protobuf.ProtobufConverter"
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
