//! `io.confluent.connect.avro.AvroConverter`.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::compatible::obstacle;
use super::config::{AvroConverterConfig, WriteAs};
use super::encode::Encoder;
use super::from_connect::avro_text;
use super::input::Input;
use super::program::{Op, Program};
use super::schema::{AvroSchema, Kind};
use super::{decode, to_connect, to_json};
use crate::arena::Arena;
use crate::converter::{Converter, DataError, Detail};
use crate::data::{Schema, SchemaAndValue, Value};
use crate::json_text::JsonText;
use crate::registry::{
    Answer, Question, RegistrySettings, SchemaKind, SchemaSource, SchemaText, frame, framed, wanted,
};

/// A schema's program, or why there is none: a broken schema is not compiled for each record.
type Compiled = Result<Rc<Program>, Rc<str>>;

/// Reads and writes Avro under schemas of a registry. What it compiled is kept by schema id and
/// topic (the version that the registry knows a schema by differs by subject); the one used last
/// is looked at first.
pub struct AvroConverter {
    config: AvroConverterConfig,
    settings: RegistrySettings,
    source: Option<Rc<dyn SchemaSource>>,
    read: HashMap<u32, Vec<(Box<str>, Compiled)>>,
    read_count: usize,
    last: Option<(u32, Box<str>, Rc<Program>)>,
    written: Vec<Written>,
    last_written: usize,
    /// Where the schema written last stands, for the batch at hand: there it stays for so long.
    last_address: usize,
    /// JSON text under way into the arena; kept for its memory.
    text: Vec<u8>,
}

/// How one schema's data goes to one topic.
struct Written {
    topic: Box<str>,
    schema: Option<Schema>,
    encoder: Encoder,
    id: u32,
}

impl AvroConverter {
    /// A converter that knows no schema yet and nobody to ask.
    pub fn new(config: AvroConverterConfig, settings: RegistrySettings) -> Self {
        Self {
            config,
            settings,
            source: None,
            read: HashMap::new(),
            read_count: 0,
            last: None,
            written: Vec::new(),
            last_written: 0,
            last_address: 0,
            text: Vec::new(),
        }
    }

    fn ask(&self, question: &Question) -> Option<Result<Arc<Answer>, DataError>> {
        match &self.source {
            Some(source) => source.ask(question),
            None => Some(Err(DataError::new("the converter has no schema registry to ask"))),
        }
    }

    /// The program for `id` in `topic`.
    #[inline]
    fn program(&mut self, topic: &str, id: u32) -> Result<Rc<Program>, DataError> {
        if let Some((last, known, program)) = &self.last
            && *last == id
            && **known == *topic
        {
            return Ok(Rc::clone(program));
        }
        self.other_program(topic, id)
    }

    fn other_program(&mut self, topic: &str, id: u32) -> Result<Rc<Program>, DataError> {
        let known = self.read.get(&id).and_then(|topics| {
            topics.iter().find(|(known, _)| **known == *topic).map(|(_, program)| program.clone())
        });
        let compiled = match known {
            Some(compiled) => compiled,
            None => {
                let Some(answer) = self.ask(&Question::Schema { id }) else {
                    return Err(wanted(&format!("schema {id}")));
                };
                let compiled = self.compile(topic, &*answer?);
                if self.read_count >= self.config.schemas_cache {
                    self.read.clear();
                    self.read_count = 0;
                }
                self.read_count += 1;
                self.read.entry(id).or_default().push((topic.into(), compiled.clone()));
                compiled
            }
        };
        match compiled {
            Ok(program) => {
                self.last = Some((id, topic.into(), Rc::clone(&program)));
                Ok(program)
            }
            Err(why) => Err(DataError::new(format!("schema {id}: {why}"))),
        }
    }

    fn compile(&self, topic: &str, answer: &Answer) -> Compiled {
        let avro = avro_of(answer)?;
        let name = record_name(&avro);
        let subject = self.config.subject_names.subject(topic, self.config.is_key, name);
        let version = subject.ok().and_then(|subject| answer.version(&subject));
        let program = to_connect::compile(&avro, &self.config.data, version)?;
        Ok(Rc::new(program))
    }

    fn read<'a>(
        &mut self,
        topic: &str,
        bytes: &'a [u8],
        detail: Detail,
        arena: &'a Arena,
    ) -> Result<SchemaAndValue<'a>, DataError> {
        let (id, start) = framed(bytes).map_err(|why| DataError::new(format!("{why} (byte 0)")))?;
        let program = self.program(topic, id)?;
        let mut input = Input { bytes, at: start };
        let fault = |why: &str, at: usize| {
            DataError::new(format!("{why}, at byte {at} of {} (schema {id})", bytes.len()))
        };
        if detail == Detail::Json && program.as_json {
            self.text.clear();
            to_json::write(&program, &mut input, &mut self.text)
                .map_err(|why| fault(why, input.at))?;
            if input.left() > 0 {
                return Err(fault(TRAILING, input.at));
            }
            let text = JsonText::verbatim(arena.alloc_bytes(&self.text));
            return Ok(SchemaAndValue { schema: None, value: Value::Json(arena.alloc(text)) });
        }
        let schema = program.schema.as_ref().map(|schema| arena.pin_schema(schema));
        if program.raw_bytes {
            let value = match (program.op(program.root), input.left()) {
                (Op::Decimal(_), 0) => return Err(fault(decode::NO_DIGITS, start)),
                (Op::Decimal(scale), _) => decode::decimal(&bytes[start..], scale, arena),
                _ => Value::Bytes(&bytes[start..]),
            };
            return Ok(SchemaAndValue { schema, value });
        }
        let value = decode::read(&program, schema, &mut input, arena)
            .map_err(|why| fault(why, input.at))?;
        if input.left() > 0 {
            return Err(fault(TRAILING, input.at));
        }
        // A null union at the top has a schema and no value; the JVM then says neither.
        let schema = schema.filter(|_| !value.is_null());
        Ok(SchemaAndValue { schema, value })
    }

    /// Place in `written` of how `schema`'s data goes to `topic`.
    #[inline]
    fn way(&mut self, topic: &str, schema: Option<&Schema>) -> Result<usize, DataError> {
        let address = schema.map_or(1, |schema| std::ptr::from_ref(schema) as usize);
        if let Some(last) = self.written.get(self.last_written)
            && address == self.last_address
            && *last.topic == *topic
        {
            return Ok(self.last_written);
        }
        let is = |one: &Written| *one.topic == *topic && one.schema.as_ref() == schema;
        let at = match self.written.iter().position(is) {
            Some(at) => at,
            None => {
                let written = self.prepare(topic, schema)?;
                if self.written.len() >= self.config.schemas_cache {
                    self.written.clear();
                }
                self.written.push(written);
                self.written.len() - 1
            }
        };
        (self.last_written, self.last_address) = (at, address);
        Ok(at)
    }

    fn prepare(&self, topic: &str, schema: Option<&Schema>) -> Result<Written, DataError> {
        let config = &self.config;
        let text = avro_text(schema, &config.data).map_err(DataError::new)?;
        let own = AvroSchema::parse(&text, NONE).map_err(DataError::new)?;
        let subject = config.subject_names.subject(topic, config.is_key, record_name(&own))?;
        let normalize = config.normalize;
        let named = SchemaText { type_: SchemaKind::Avro, text: text.into() };
        let question = match config.write_as {
            WriteAs::Registered => Question::Register { subject, schema: named, normalize },
            WriteAs::Known => Question::Lookup { subject, schema: named, normalize },
            WriteAs::Latest { .. } => Question::Latest { subject },
            WriteAs::Id { id, .. } => Question::Schema { id },
        };
        let Some(answer) = self.ask(&question) else { return Err(wanted("the schema to write")) };
        let answer = answer?;
        let other = match answer.schema {
            None => None,
            Some(_) => Some(avro_of(&answer).map_err(|why| DataError::new(&*why))?),
        };
        if let (WriteAs::Latest { strict: true } | WriteAs::Id { strict: true, .. }, Some(other)) =
            (config.write_as, &other)
            && let Some(why) = obstacle(other, &own)
        {
            return Err(DataError::new(format!(
                "Incompatible schema {} of the registry: {why}",
                answer.id
            )));
        }
        let avro = other.as_ref().unwrap_or(&own);
        let encoder = Encoder::compile(schema, avro, &config.data).map_err(DataError::new)?;
        Ok(Written { topic: topic.into(), schema: schema.cloned(), encoder, id: answer.id })
    }

    fn write(
        &mut self,
        topic: &str,
        schema: Option<&Schema>,
        value: Value<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), DataError> {
        let at = self.way(topic, schema)?;
        let written = &self.written[at];
        frame(written.id, out);
        written.encoder.write(schema, value, out)
    }
}

const TRAILING: &str = "bytes follow the value";
const NONE: &[&str] = &[];

/// The Avro schema that the registry gave.
fn avro_of(answer: &Answer) -> Result<AvroSchema, Rc<str>> {
    let Some(schema) = &answer.schema else { return Err("the registry gave no schema".into()) };
    if schema.type_ != SchemaKind::Avro {
        return Err(format!("it is of type {}, not AVRO", schema.type_.name()).into());
    }
    let references: Vec<&str> = answer.references.iter().map(|(_, text)| &**text).collect();
    Ok(AvroSchema::parse(&schema.text, &references)?)
}

fn record_name(avro: &AvroSchema) -> Option<&str> {
    match avro.kind(avro.root) {
        Kind::Record(name, _) => Some(name),
        _ => None,
    }
}

/// Says in which direction and for which topic the converter failed.
#[cold]
fn about(doing: &str, topic: &str, error: DataError) -> DataError {
    DataError { message: format!("Failed to {doing} topic {topic}: {}", error.message), ..error }
}

impl Converter for AvroConverter {
    fn to_connect_data<'a>(
        &mut self,
        topic: &str,
        bytes: Option<&'a [u8]>,
        detail: Detail,
        arena: &'a Arena,
    ) -> Result<SchemaAndValue<'a>, DataError> {
        let Some(bytes) = bytes else { return Ok(SchemaAndValue::default()) };
        self.read(topic, bytes, detail, arena)
            .map_err(|error| about("deserialize Avro data of", topic, error))
    }

    fn from_connect_data(
        &mut self,
        topic: &str,
        schema: Option<&Schema>,
        value: Value<'_>,
        out: &mut Vec<u8>,
    ) -> Result<bool, DataError> {
        if value.is_null() {
            return match schema {
                Some(schema) if !schema.optional => {
                    let error = DataError::new("Found null value for non-optional schema");
                    Err(about("serialize Avro data for", topic, error))
                }
                _ => Ok(false),
            };
        }
        let start = out.len();
        match self.write(topic, schema, value, out) {
            Ok(()) => Ok(true),
            Err(error) => {
                out.truncate(start);
                Err(about("serialize Avro data for", topic, error))
            }
        }
    }

    fn begin_batch(&mut self) {
        self.last_address = 0;
    }

    fn registry(&self) -> Option<&RegistrySettings> {
        Some(&self.settings)
    }

    fn attach(&mut self, source: Rc<dyn SchemaSource>) {
        self.source = Some(source);
    }

    fn class_name(&self) -> &'static str {
        "io.confluent.connect.avro.AvroConverter"
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
