//! `io.confluent.connect.avro.AvroConverter`.

use std::ops::Range;
use std::rc::Rc;

use super::compatible::obstacle;
use super::config::AvroConverterConfig;
use super::encode::Encoder;
use super::from_connect::avro_text;
use super::program::{Op, Program};
use super::schema::{AvroSchema, Kind};
use super::{decode, flat_json, to_connect, to_json};
use crate::arena::Arena;
use crate::converter::{Converter, DataError, Detail};
use crate::data::{Schema, SchemaAndValue, Value};
use crate::json::Level;
use crate::json_text::JsonText;
use crate::registry::{
    Answer, Question, RegistrySettings, SchemaKind, SchemaSource, SchemaText, frame, framed,
};
use crate::registry_plans::{Compiled, ReadPlans, Source, WritePlans, ask, failed_to, schema_of};
use crate::varint::Input;

/// Reads and writes Avro under schemas of a registry.
pub struct AvroConverter {
    config: AvroConverterConfig,
    settings: RegistrySettings,
    source: Source,
    read: ReadPlans<Program>,
    written: WritePlans<Written>,
    /// JSON text under way into the arena; kept for its memory.
    text: Vec<u8>,
    level: Level,
    keys: to_json::Keys,
}

/// How one schema's data goes to one topic.
struct Written {
    encoder: Encoder,
    id: u32,
}

impl AvroConverter {
    /// A converter that knows no schema yet and nobody to ask.
    pub fn new(config: AvroConverterConfig, settings: RegistrySettings) -> Self {
        Self {
            settings,
            source: None,
            read: ReadPlans::new(config.registry.schemas_cache),
            written: WritePlans::new(config.registry.schemas_cache),
            text: Vec::new(),
            level: Level::detect(),
            keys: to_json::Keys::default(),
            config,
        }
    }

    /// The program for `id` in `topic`.
    #[inline]
    fn program(&mut self, topic: &str, id: u32) -> Result<Rc<Program>, DataError> {
        let Self { config, source, read, .. } = self;
        read.get(topic, id, || Ok(compile(config, topic, &*ask(source, &Question::Schema { id })?)))
    }

    fn read<'a>(
        &mut self,
        topic: &str,
        (whole, place): (&'a [u8], Range<usize>),
        detail: Detail,
        arena: &'a Arena,
        into: &mut SchemaAndValue<'a>,
    ) -> Result<(), DataError> {
        let bytes = &whole[place.clone()];
        let (id, start) = framed(bytes).map_err(|why| DataError::new(format!("{why} (byte 0)")))?;
        let program = self.program(topic, id)?;
        let mut input = Input { bytes, at: start };
        let fault = |why: &str, at: usize| {
            DataError::new(format!("{why}, at byte {at} of {} (schema {id})", bytes.len()))
        };
        if detail == Detail::Json && program.as_json {
            if let Some(flat) = &program.flat {
                let scratch = &mut self.text;
                let (programs, record) =
                    ((&*program, flat), (whole, place.start + start..place.end));
                let write =
                    |room: &mut _| flat_json::write(self.level, programs, record, room, scratch);
                if let Some(text) = arena.written(write) {
                    into.value = Value::Json(arena.alloc_with(|| JsonText::verbatim(text)));
                    return Ok(());
                }
            }
            self.text.clear();
            let written = to_json::write(&program, &mut input, &mut self.text, &mut self.keys)
                .map_err(|why| fault(why, input.at))?;
            if input.left() > 0 {
                return Err(fault(TRAILING, input.at));
            }
            if written == to_json::Written::Whole {
                let text = arena.alloc_bytes(&self.text);
                into.value = Value::Json(arena.alloc(JsonText::verbatim(text)));
                return Ok(());
            }
            input.at = start;
        }
        let schema = program.schema.as_ref().map(|schema| arena.pin_schema(schema));
        if program.raw_bytes {
            into.value = match (program.op(program.root), input.left()) {
                (Op::Decimal(_), 0) => return Err(fault(decode::NO_DIGITS, start)),
                (Op::Decimal(scale), _) => decode::decimal(&bytes[start..], scale, arena),
                _ => Value::Bytes(&bytes[start..]),
            };
            into.schema = schema;
            return Ok(());
        }
        decode::read(&program, schema, &mut input, arena, &mut into.value)
            .map_err(|why| fault(why, input.at))?;
        if input.left() > 0 {
            return Err(fault(TRAILING, input.at));
        }
        // A null union at the top has a schema and no value; the JVM then says neither.
        into.schema = schema.filter(|_| !into.value.is_null());
        Ok(())
    }

    fn write(
        &mut self,
        topic: &str,
        schema: Option<&Schema>,
        value: Value<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), DataError> {
        let Self { config, source, written, .. } = self;
        let written = written.get(topic, schema, || prepare(config, source, topic, schema))?;
        frame(written.id, out);
        written.encoder.write(schema, value, out)
    }
}

fn compile(config: &AvroConverterConfig, topic: &str, answer: &Answer) -> Compiled<Program> {
    let avro = avro_of(answer)?;
    let name = record_name(&avro);
    let version = config.registry.version(topic, name, answer);
    let program = to_connect::compile(&avro, &config.data, version)?;
    Ok(Rc::new(program))
}

fn prepare(
    config: &AvroConverterConfig,
    source: &Source,
    topic: &str,
    schema: Option<&Schema>,
) -> Result<Written, DataError> {
    let text = avro_text(schema, &config.data).map_err(DataError::new)?;
    let own = AvroSchema::parse(&text, NONE).map_err(DataError::new)?;
    let subject = config.registry.subject(topic, record_name(&own))?;
    let named = SchemaText::new(SchemaKind::Avro, text);
    let answer = config.registry.ask_to_write(source, subject, named)?;
    let other = match answer.schema {
        None => None,
        Some(_) => Some(avro_of(&answer).map_err(|why| DataError::new(&*why))?),
    };
    if let Some(other) = &other {
        config.registry.check(answer.id, || obstacle(other, &own))?;
    }
    let avro = other.as_ref().unwrap_or(&own);
    let encoder = Encoder::compile(schema, avro, &config.data).map_err(DataError::new)?;
    Ok(Written { encoder, id: answer.id })
}

const TRAILING: &str = "bytes follow the value";
const NONE: &[&str] = &[];

/// The Avro schema that the registry gave.
fn avro_of(answer: &Answer) -> Result<AvroSchema, Rc<str>> {
    let schema = schema_of(answer, SchemaKind::Avro)?;
    let references: Vec<&str> = answer.references.iter().map(|(_, text)| &**text).collect();
    Ok(AvroSchema::parse(&schema.text, &references)?)
}

fn record_name(avro: &AvroSchema) -> Option<&str> {
    match avro.kind(avro.root) {
        Kind::Record(name, _) => Some(name),
        _ => None,
    }
}

impl Converter for AvroConverter {
    fn to_connect_data_at<'a>(
        &mut self,
        topic: &str,
        bytes: Option<&'a [u8]>,
        detail: Detail,
        arena: &'a Arena,
        into: &mut SchemaAndValue<'a>,
    ) -> Result<(), DataError> {
        let Some(bytes) = bytes else { return Ok(()) };
        self.read(topic, (bytes, 0..bytes.len()), detail, arena, into)
            .map_err(|error| failed_to("deserialize Avro data of", topic, error))
    }

    fn to_json_at<'a>(
        &mut self,
        topic: &str,
        whole: &'a [u8],
        place: Range<usize>,
        arena: &'a Arena,
        into: &mut SchemaAndValue<'a>,
    ) -> Result<(), DataError> {
        self.read(topic, (whole, place), Detail::Json, arena, into)
            .map_err(|error| failed_to("deserialize Avro data of", topic, error))
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
                    Err(failed_to("serialize Avro data for", topic, error))
                }
                _ => Ok(false),
            };
        }
        let start = out.len();
        match self.write(topic, schema, value, out) {
            Ok(()) => Ok(true),
            Err(error) => {
                out.truncate(start);
                Err(failed_to("serialize Avro data for", topic, error))
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
        "io.confluent.connect.avro.AvroConverter"
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
