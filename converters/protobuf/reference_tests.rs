//! `skip.known.types=false`: imported files in the registry, and schemas that refer to them.

use std::cell::RefCell;

use super::super::super::known;
use super::super::super::schema::ProtoSchema;
use super::super::super::{KnownTypes, ReferenceNames};
use super::*;
use crate::DataError;
use crate::registry::{SchemaReference, SchemaText};

/// A registry with subjects: each text it gets is a version of its own.
#[derive(Default)]
struct Registry {
    /// Subject, version and schema, by id from 1 on.
    all: RefCell<Vec<(String, i32, SchemaText)>>,
    asked: RefCell<Vec<String>>,
}

impl Registry {
    fn put(&self, subject: &str, schema: &SchemaText) -> u32 {
        let mut all = self.all.borrow_mut();
        if let Some(at) = all.iter().position(|(name, _, known)| name == subject && known == schema)
        {
            return at as u32 + 1;
        }
        let version = 1 + all.iter().filter(|(name, ..)| name == subject).count() as i32;
        all.push((subject.to_owned(), version, schema.clone()));
        all.len() as u32
    }

    fn answer(&self, at: usize) -> Arc<Answer> {
        let (subject, version, schema) = self.all.borrow()[at].clone();
        let versions = vec![(subject, version)];
        Arc::new(Answer { id: at as u32 + 1, schema: Some(schema), versions, ..Answer::default() })
    }
}

impl SchemaSource for Registry {
    fn ask(&self, question: &Question) -> Option<Result<Arc<Answer>, DataError>> {
        let all = || self.all.borrow().clone();
        let (said, answer) = match question {
            Question::Register { subject, schema, .. } => {
                let id = self.put(subject, schema);
                let answer = Arc::new(Answer { id, ..Answer::default() });
                (format!("register {subject}"), Some(answer))
            }
            Question::Lookup { subject, schema, .. } => {
                let at = all().iter().position(|(name, _, one)| name == subject && one == schema);
                let id = |at| Arc::new(Answer { id: at as u32 + 1, ..Answer::default() });
                (format!("look up {subject}"), at.map(id))
            }
            Question::Latest { subject } => {
                let at = all().iter().rposition(|(name, ..)| name == subject);
                (format!("newest {subject}"), at.map(|at| self.answer(at)))
            }
            Question::Schema { id } => {
                (format!("schema {id}"), Some(self.answer(*id as usize - 1)))
            }
        };
        self.asked.borrow_mut().push(said);
        Some(answer.ok_or_else(|| DataError::new("Schema not found; error code: 40403")))
    }
}

/// Writes a Date and a Timestamp.
fn write(
    how: Option<KnownTypes>,
    write_as: WriteAs,
    registry: &Rc<Registry>,
) -> Result<(), String> {
    let field = |name: &str, schema| Field { name: name.into(), schema: Arc::new(schema) };
    let fields = vec![field("at", Schema::timestamp()), field("due", Schema::date())];
    let schema = Schema::struct_of(fields).named("Order");
    let registry_use = RegistryUse { write_as, ..RegistryUse::default() };
    let config =
        ProtobufConverterConfig { registry: registry_use, ..config(ProtobufDataConfig::default()) };
    let mut converter = ProtobufConverter::new(config, RegistrySettings::default());
    if let Some(how) = how {
        converter = converter.with_known_types(how);
    }
    converter.attach(Rc::clone(registry) as Rc<dyn SchemaSource>);
    let values = [Value::Timestamp(1), Value::Date(1)];
    let value = Value::Struct(&Struct { schema: &schema, values: &values });
    let mut out = Vec::new();
    let done = converter.from_connect_data("t", Some(&schema), value, &mut out);
    done.map(drop).map_err(|error| error.message)
}

const STAMP: &str = "google/protobuf/timestamp.proto";
const DATE: &str = "google/type/date.proto";

#[test]
fn imports_are_registered_before_what_refers_to_them() {
    let registry = Rc::<Registry>::default();
    let how = KnownTypes::default();
    write(Some(how), WriteAs::Registered, &registry).unwrap();
    let expected = [
        format!("register {STAMP}"),
        format!("newest {STAMP}"),
        format!("register {DATE}"),
        format!("newest {DATE}"),
        "register t-value".to_owned(),
    ];
    assert_eq!(*registry.asked.borrow(), expected);
    let all = registry.all.borrow().clone();
    let reference = |path: &str, version| SchemaReference {
        name: path.to_owned(),
        subject: path.to_owned(),
        version,
    };
    assert_eq!(all[2].2.references, [reference(STAMP, 1), reference(DATE, 1)]);
    assert_eq!(&*all[0].2.text, known::registered(STAMP).unwrap());
    assert!(all[0].2.references.is_empty());
    // Somebody has registered another text since: ours is still the version that it is.
    registry.put(DATE, &SchemaText::new(SchemaKind::Protobuf, "syntax = \"proto3\";"));
    registry.asked.borrow_mut().clear();
    write(Some(how), WriteAs::Registered, &registry).unwrap();
    assert_eq!(registry.asked.borrow()[4..], ["schema 2", "register t-value"]);
    assert_eq!(registry.all.borrow().len(), 4);
    // What is known already is only looked up.
    registry.asked.borrow_mut().clear();
    write(Some(how), WriteAs::Known, &registry).unwrap();
    assert_eq!(registry.asked.borrow()[0], format!("look up {STAMP}"));
    assert_eq!(registry.asked.borrow().last().unwrap(), "look up t-value");
}

#[test]
fn what_else_the_keys_say() {
    // The default: no reference, and nothing but the schema itself is asked for.
    let registry = Rc::<Registry>::default();
    write(None, WriteAs::Registered, &registry).unwrap();
    assert_eq!(*registry.asked.borrow(), ["register t-value"]);
    assert!(registry.all.borrow()[0].2.references.is_empty());
    // Under a schema that the registry has, nothing of ours is sent.
    registry.asked.borrow_mut().clear();
    write(Some(KnownTypes::default()), WriteAs::Id { id: 1, strict: true }, &registry).unwrap();
    assert_eq!(*registry.asked.borrow(), ["schema 1"]);
    let registry = Rc::<Registry>::default();
    let how = KnownTypes { names: ReferenceNames::Qualified, ..KnownTypes::default() };
    write(Some(how), WriteAs::Registered, &registry).unwrap();
    let subjects: Vec<String> = registry.all.borrow().iter().map(|one| one.0.clone()).collect();
    assert_eq!(subjects, ["google.protobuf.timestamp", "google.type.date", "t-value"]);
    let registry = Rc::<Registry>::default();
    let how = KnownTypes { lookup_only: true, ..KnownTypes::default() };
    let error = write(Some(how), WriteAs::Registered, &registry).unwrap_err();
    assert!(error.contains(&format!("{STAMP}, which is the subject {STAMP}")), "{error}");
    assert!(error.contains("skip.known.types=false: Schema not found"), "{error}");
    assert_eq!(*registry.asked.borrow(), [format!("look up {STAMP}")]);
}

#[test]
fn registered_texts_say_what_the_built_in_ones_say() {
    for path in [
        "confluent/type/decimal.proto",
        "confluent/type/variant.proto",
        STAMP,
        DATE,
        "google/type/timeofday.proto",
        known::WRAPPERS_PATH,
    ] {
        let none: &[(String, &str)] = &[];
        let registered = ProtoSchema::parse(known::registered(path).expect(path), none).unwrap();
        let built_in = ProtoSchema::parse(known::text(path).expect(path), none).unwrap();
        assert_eq!(format!("{registered:?}"), format!("{built_in:?}"), "{path}");
    }
    assert_eq!(known::registered("google/protobuf/any.proto"), None);
}
