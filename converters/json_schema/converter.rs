//! `io.confluent.connect.json.JsonSchemaConverter`.

use std::rc::Rc;

use super::compatible::obstacle;
use super::config::JsonSchemaConverterConfig;
use super::encode::Encoder;
use super::from_connect::json_text;
use super::indent::indent;
use super::program::Program;
use super::schema::JsonSchema;
use super::validate::Validator;
use super::{decode, exact, to_connect};
use crate::arena::Arena;
use crate::converter::{Converter, DataError, Detail};
use crate::data::{Schema, SchemaAndValue, Value};
use crate::json::parse;
use crate::registry::{
    Answer, Question, RegistrySettings, SchemaKind, SchemaSource, SchemaText, WriteAs, frame,
    framed,
};
use crate::registry_plans::{Compiled, ReadPlans, Source, WritePlans, ask, schema_of};

/// Reads and writes JSON under JSON schemas of a registry.
pub struct JsonSchemaConverter {
    config: JsonSchemaConverterConfig,
    settings: RegistrySettings,
    source: Source,
    read: ReadPlans<Program>,
    written: WritePlans<Written>,
    /// Of the record that is checked before it is written.
    checked: Arena,
    /// The text that is laid out anew.
    compact: Vec<u8>,
}

/// How one schema's data goes to one topic.
struct Written {
    encoder: Encoder,
    id: u32,
    validator: Option<Validator>,
}

impl JsonSchemaConverter {
    /// A converter that knows no schema yet and nobody to ask.
    pub fn new(config: JsonSchemaConverterConfig, settings: RegistrySettings) -> Self {
        Self {
            settings,
            source: None,
            read: ReadPlans::new(config.registry.schemas_cache),
            written: WritePlans::new(config.registry.schemas_cache),
            checked: Arena::new(),
            compact: Vec::new(),
            config,
        }
    }

    fn read<'a>(
        &mut self,
        topic: &str,
        bytes: &'a [u8],
        detail: Detail,
        arena: &'a Arena,
        into: &mut SchemaAndValue<'a>,
    ) -> Result<(), DataError> {
        let (id, start) = framed(bytes).map_err(|why| DataError::new(format!("{why} (byte 0)")))?;
        let payload = &bytes[start..];
        let Self { config, source, read, .. } = self;
        let program = read.get(topic, id, || compile(config, source, topic, id))?;
        if let Some(validator) = &program.validator {
            validated(validator, payload, arena)
                .map_err(|error| of_text(error, id, payload.len()))?;
        }
        if detail == Detail::Json
            && program.as_json
            && let Some(text) = exact::text(&program, payload, arena)
        {
            into.value = Value::Json(arena.alloc(text));
            return Ok(());
        }
        let schema = arena.pin_schema(&program.schema);
        into.schema = Some(schema);
        decode::read(&program.ops, program.root, schema, payload, arena, &mut into.value)
            .map_err(|error| of_text(error, id, payload.len()))
    }

    /// Appends a record; false is Kafka's null.
    fn write(
        &mut self,
        topic: &str,
        schema: Option<&Schema>,
        value: Value<'_>,
        out: &mut Vec<u8>,
    ) -> Result<bool, DataError> {
        let Self { config, source, written, checked, compact, .. } = self;
        let written = written.get(topic, schema, || prepare(config, source, topic, schema))?;
        frame(written.id, out);
        let start = out.len();
        let some = written.encoder.write(schema, value, out)?;
        if let Some(validator) = written.validator.as_ref().filter(|_| some) {
            checked.reset();
            validated(validator, &out[start..], checked)?;
        }
        if config.indent_output {
            compact.clear();
            compact.extend_from_slice(&out[start..]);
            out.truncate(start);
            indent(compact, out);
        }
        Ok(some)
    }
}

/// Refuses text that the schema does not allow.
fn validated(validator: &Validator, text: &[u8], arena: &Arena) -> Result<(), DataError> {
    match validator.wrong(parse(text, arena)?) {
        None => Ok(()),
        Some(why) => Err(DataError::new(format!("Validation error in JSON: {why}"))),
    }
}

/// Says where in the record the error is.
#[cold]
fn of_text(error: DataError, id: u32, length: usize) -> DataError {
    let what = error.message.replacen(NO_JSON, "", 1);
    let message = format!("{what} of {length} behind the schema's id (schema {id})");
    DataError { message, ..error }
}

/// What the reader of JSON says first; here it is said once for all errors.
const NO_JSON: &str = "Converting byte[] to Kafka Connect data failed due to serialization error: ";

fn compile(
    config: &JsonSchemaConverterConfig,
    source: &Source,
    topic: &str,
    id: u32,
) -> Result<Compiled<Program>, DataError> {
    let mut answer = ask(source, &Question::Schema { id })?;
    let mut json = match json_of(&answer) {
        Ok(json) => json,
        Err(why) => return Ok(Err(why)),
    };
    let subject = config.registry.subject(topic, title(&json));
    if config.read_latest {
        answer = ask(source, &Question::Latest { subject: subject.clone()? })?;
        json = match json_of(&answer) {
            Ok(json) => json,
            Err(why) => return Ok(Err(why)),
        };
    }
    let version = subject.ok().and_then(|subject| answer.version(&subject));
    let program = to_connect::compile(&json, &config.data, version).and_then(|program| {
        let validator = config.fail_invalid_schema.then(|| validator_of(&answer)).transpose()?;
        Ok(Rc::new(Program { validator, ..program }))
    });
    Ok(program.map_err(Rc::from))
}

fn validator_of(answer: &Answer) -> Result<Validator, String> {
    let text = answer.schema.as_ref().map_or("true", |schema| &schema.text);
    Validator::parse(text, &references(answer))
}

fn references(answer: &Answer) -> Vec<(&str, &str)> {
    answer.references.iter().map(|(name, text)| (name.as_str(), &**text)).collect()
}

fn prepare(
    config: &JsonSchemaConverterConfig,
    source: &Source,
    topic: &str,
    schema: Option<&Schema>,
) -> Result<Written, DataError> {
    let encoder = Encoder::compile(schema, &config.data).map_err(DataError::new)?;
    let own = schema.map(|schema| json_text(schema, &config.data)).transpose();
    let own = own.map_err(DataError::new)?;
    let parsed = own.as_deref().map(|text| JsonSchema::parse(text, &[])).transpose();
    let parsed = parsed.map_err(DataError::new)?;
    let subject = config.registry.subject(topic, parsed.as_ref().and_then(title))?;
    if own.is_none() && matches!(config.registry.write_as, WriteAs::Registered | WriteAs::Known) {
        return Err(DataError::new(
            "data without a schema can only be written under one that the registry has: set \
             auto.register.schemas=false with use.latest.version=true or use.schema.id",
        ));
    }
    let text = own.unwrap_or_default();
    let own_validator = || Validator::parse(&text, &[]);
    let named = SchemaText::new(SchemaKind::Json, text.as_str());
    let answer = config.registry.ask_to_write(source, subject, named)?;
    if answer.schema.is_some() {
        let registered = json_of(&answer).map_err(|why| DataError::new(&*why))?;
        if let Some(own) = &parsed {
            config.registry.check(answer.id, || obstacle(&registered, own))?;
        }
    }
    let validator = match &answer.schema {
        _ if !config.fail_invalid_schema => None,
        Some(_) => Some(validator_of(&answer)),
        None => Some(own_validator()),
    };
    let validator = validator.transpose().map_err(DataError::new)?;
    Ok(Written { encoder, id: answer.id, validator })
}

/// The JSON schema that the registry gave.
fn json_of(answer: &Answer) -> Result<JsonSchema, Rc<str>> {
    let schema = schema_of(answer, SchemaKind::Json)?;
    Ok(JsonSchema::parse(&schema.text, &references(answer))?)
}

/// A schema's name is its title.
fn title(json: &JsonSchema) -> Option<&str> {
    json.node(json.root).title.as_deref()
}

/// Says in which direction and for which topic the converter failed.
#[cold]
fn about(doing: &str, topic: &str, error: DataError) -> DataError {
    let message = format!(
        "Converting {doing} failed due to serialization error of topic {topic}: {}",
        error.message
    );
    DataError { message, ..error }
}

impl Converter for JsonSchemaConverter {
    fn to_connect_data_at<'a>(
        &mut self,
        topic: &str,
        bytes: Option<&'a [u8]>,
        detail: Detail,
        arena: &'a Arena,
        into: &mut SchemaAndValue<'a>,
    ) -> Result<(), DataError> {
        let Some(bytes) = bytes else { return Ok(()) };
        self.read(topic, bytes, detail, arena, into)
            .map_err(|error| about("byte[] to Kafka Connect data", topic, error))
    }

    fn from_connect_data(
        &mut self,
        topic: &str,
        schema: Option<&Schema>,
        value: Value<'_>,
        out: &mut Vec<u8>,
    ) -> Result<bool, DataError> {
        // Null under a schema that allows it is JSON's null, not Kafka's: so Confluent's has it.
        if value.is_null()
            && schema.is_none_or(|schema| !schema.optional && schema.default.is_none())
        {
            return Ok(false);
        }
        let start = out.len();
        let written = self.write(topic, schema, value, out);
        if !matches!(written, Ok(true)) {
            out.truncate(start);
        }
        written.map_err(|error| about("Kafka Connect data to byte[]", topic, error))
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
        "io.confluent.connect.json.JsonSchemaConverter"
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
