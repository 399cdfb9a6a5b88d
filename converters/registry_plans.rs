//! What a registry's converter has compiled: plans to read by schema id, plans to write by schema.
//!
//! Both are kept by topic too, as the version that the registry knows a schema by, and the subject
//! that it is registered under, differ by topic. The plan used last is looked at first, so that a
//! run of records of one schema costs two comparisons each.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::converter::DataError;
use crate::data::Schema;
use crate::registry::{
    Answer, Question, RegistryUse, SchemaKind, SchemaSource, SchemaText, WriteAs, wanted,
};

/// A plan, or why there is none: a broken schema is not compiled for each record.
pub(crate) type Compiled<P> = Result<Rc<P>, Rc<str>>;

/// The way to the registry, once there is one.
pub(crate) type Source = Option<Rc<dyn SchemaSource>>;

/// The answer, or why this record has none.
pub(crate) fn ask(source: &Source, question: &Question) -> Result<Arc<Answer>, DataError> {
    let Some(source) = source else {
        return Err(DataError::new("the converter has no schema registry to ask"));
    };
    source.ask(question).unwrap_or_else(|| {
        Err(match question {
            Question::Schema { id } => wanted(&format!("schema {id}")),
            Question::Latest { subject } => wanted(&format!("the newest schema of {subject}")),
            _ => wanted("the schema to write"),
        })
    })
}

impl RegistryUse {
    /// The subject of a schema; `name` is its full name if it has one.
    pub(crate) fn subject(&self, topic: &str, name: Option<&str>) -> Result<String, DataError> {
        self.subject_names.subject(topic, self.is_key, name)
    }

    /// The version that a schema of that name is known by in `topic`.
    pub(crate) fn version(&self, topic: &str, name: Option<&str>, answer: &Answer) -> Option<i32> {
        self.subject(topic, name).ok().and_then(|subject| answer.version(&subject))
    }

    /// The schema that data of the schema `own` is to go under: the registry's, or just its id.
    pub(crate) fn ask_to_write(
        &self,
        source: &Source,
        subject: String,
        own: SchemaText,
    ) -> Result<Arc<Answer>, DataError> {
        let normalize = self.normalize;
        let question = match self.write_as {
            WriteAs::Registered => Question::Register { subject, schema: own, normalize },
            WriteAs::Known => Question::Lookup { subject, schema: own, normalize },
            WriteAs::Latest { .. } => Question::Latest { subject },
            WriteAs::Id { id, .. } => Question::Schema { id },
        };
        ask(source, &question)
    }

    /// Refuses data that cannot go under the registry's schema of that id, if that is to be looked at.
    pub(crate) fn check(
        &self,
        id: u32,
        obstacle: impl FnOnce() -> Option<String>,
    ) -> Result<(), DataError> {
        let (WriteAs::Latest { strict } | WriteAs::Id { strict, .. }) = self.write_as else {
            return Ok(());
        };
        match strict.then(obstacle).flatten() {
            None => Ok(()),
            Some(why) => {
                Err(DataError::new(format!("Incompatible schema {id} of the registry: {why}")))
            }
        }
    }
}

/// Says in which direction and for which topic a converter failed.
#[cold]
pub(crate) fn failed_to(doing: &str, topic: &str, error: DataError) -> DataError {
    DataError { message: format!("Failed to {doing} topic {topic}: {}", error.message), ..error }
}

/// The schema that the registry gave, which must be of that type.
pub(crate) fn schema_of(answer: &Answer, type_: SchemaKind) -> Result<&SchemaText, Rc<str>> {
    match &answer.schema {
        None => Err("the registry gave no schema".into()),
        Some(schema) if schema.type_ != type_ => {
            Err(format!("it is of type {}, not {}", schema.type_.name(), type_.name()).into())
        }
        Some(schema) => Ok(schema),
    }
}

/// A schema's plans, by topic.
type ByTopic<P> = Vec<(Box<str>, Compiled<P>)>;

/// Plans to read.
pub(crate) struct ReadPlans<P> {
    by_id: HashMap<u32, ByTopic<P>>,
    count: usize,
    most: usize,
    last: Option<(u32, Box<str>, Rc<P>)>,
}

impl<P> ReadPlans<P> {
    /// At most `most` plans; when there would be more, all are forgotten.
    pub fn new(most: usize) -> Self {
        Self { by_id: HashMap::new(), count: 0, most, last: None }
    }

    /// The plan for `id` in `topic`. `compile`'s outer error is this record's alone.
    #[inline]
    pub fn get(
        &mut self,
        topic: &str,
        id: u32,
        compile: impl FnOnce() -> Result<Compiled<P>, DataError>,
    ) -> Result<Rc<P>, DataError> {
        if let Some((last, known, plan)) = &self.last
            && *last == id
            && **known == *topic
        {
            return Ok(Rc::clone(plan));
        }
        self.other(topic, id, compile)
    }

    fn other(
        &mut self,
        topic: &str,
        id: u32,
        compile: impl FnOnce() -> Result<Compiled<P>, DataError>,
    ) -> Result<Rc<P>, DataError> {
        let known = self.by_id.get(&id).and_then(|topics| {
            topics.iter().find(|(known, _)| **known == *topic).map(|(_, plan)| plan.clone())
        });
        let compiled = match known {
            Some(compiled) => compiled,
            None => {
                let compiled = compile()?;
                if self.count >= self.most {
                    self.by_id.clear();
                    self.count = 0;
                }
                self.count += 1;
                self.by_id.entry(id).or_default().push((topic.into(), compiled.clone()));
                compiled
            }
        };
        match compiled {
            Ok(plan) => {
                self.last = Some((id, topic.into(), Rc::clone(&plan)));
                Ok(plan)
            }
            Err(why) => Err(DataError::new(format!("schema {id}: {why}"))),
        }
    }
}

/// Plans to write.
pub(crate) struct WritePlans<W> {
    plans: Vec<(Box<str>, Option<Schema>, W)>,
    most: usize,
    last: usize,
    /// Where the schema written last stands, for the batch at hand: there it stays for so long.
    last_address: usize,
}

impl<W> WritePlans<W> {
    /// At most `most` plans; when there would be more, all are forgotten.
    pub fn new(most: usize) -> Self {
        Self { plans: Vec::new(), most, last: 0, last_address: 0 }
    }

    /// A new batch: other schemas may stand where the last one's stood.
    pub fn begin_batch(&mut self) {
        self.last_address = 0;
    }

    /// The plan for `schema`'s data in `topic`.
    #[inline]
    pub fn get(
        &mut self,
        topic: &str,
        schema: Option<&Schema>,
        prepare: impl FnOnce() -> Result<W, DataError>,
    ) -> Result<&W, DataError> {
        let address = schema.map_or(1, |schema| std::ptr::from_ref(schema) as usize);
        let same = |plan: &(Box<str>, Option<Schema>, W)| *plan.0 == *topic;
        if address != self.last_address || !self.plans.get(self.last).is_some_and(same) {
            self.last = self.place(topic, schema, prepare)?;
            self.last_address = address;
        }
        Ok(&self.plans[self.last].2)
    }

    fn place(
        &mut self,
        topic: &str,
        schema: Option<&Schema>,
        prepare: impl FnOnce() -> Result<W, DataError>,
    ) -> Result<usize, DataError> {
        let is =
            |plan: &(Box<str>, Option<Schema>, W)| *plan.0 == *topic && plan.1.as_ref() == schema;
        if let Some(at) = self.plans.iter().position(is) {
            return Ok(at);
        }
        let plan = prepare()?;
        if self.plans.len() >= self.most {
            self.plans.clear();
        }
        self.plans.push((topic.into(), schema.cloned(), plan));
        Ok(self.plans.len() - 1)
    }
}
