//! The files that a written schema imports, as schemas of their own: `skip.known.types=false`.

use super::known;
use crate::converter::DataError;
use crate::registry::{Question, RegistryUse, SchemaKind, SchemaReference, SchemaText, WriteAs};
use crate::registry_plans::{Source, ask};

/// How the files that a schema imports come into the registry.
#[derive(Clone, Copy, Debug, Default)]
pub struct KnownTypes {
    /// `reference.lookup.only`: they must be there already.
    pub lookup_only: bool,
    pub names: ReferenceNames,
}

/// `reference.subject.name.strategy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReferenceNames {
    /// The import as it is written.
    #[default]
    Path,
    /// With dots, and without `.proto`.
    Qualified,
}

impl ReferenceNames {
    fn subject(self, import: &str) -> String {
        match self {
            Self::Path => import.to_owned(),
            Self::Qualified => import.replace(".proto", "").replace('/', "."),
        }
    }
}

/// What a schema with these imports refers to. Those are files that import nothing themselves.
/// Where data goes under a schema that the registry has, nothing of ours is sent.
pub(super) fn references(
    how: KnownTypes,
    registry: &RegistryUse,
    source: &Source,
    imports: &[String],
) -> Result<Vec<SchemaReference>, DataError> {
    let register = match registry.write_as {
        WriteAs::Registered => !how.lookup_only,
        WriteAs::Known => false,
        WriteAs::Latest { .. } | WriteAs::Id { .. } => return Ok(Vec::new()),
    };
    let each = imports.iter().map(|import| {
        let subject = how.names.subject(import);
        version(registry, register, source, import, &subject)
            .map(|version| SchemaReference {
                name: import.clone(),
                subject: subject.clone(),
                version,
            })
            .map_err(|error| DataError {
                message: format!(
                    "{import}, which is the subject {subject} with \
                    skip.known.types=false: {}",
                    error.message
                ),
                ..error
            })
    });
    each.collect()
}

/// The version of the file's subject that its text is.
fn version(
    registry: &RegistryUse,
    register: bool,
    source: &Source,
    import: &str,
    subject: &str,
) -> Result<i32, DataError> {
    let text = known::registered(import).ok_or_else(|| DataError::new("its text is not known"))?;
    let (subject, normalize) = (subject.to_owned(), registry.normalize);
    let schema = SchemaText::new(SchemaKind::Protobuf, text);
    let question = match register {
        true => Question::Register { subject: subject.clone(), schema, normalize },
        false => Question::Lookup { subject: subject.clone(), schema, normalize },
    };
    let id = ask(source, &question)?.id;
    // Mostly it is the newest one, which is the cheaper question, and never an old answer's.
    let newest = ask(source, &Question::Latest { subject: subject.clone() })?;
    let version = match newest.id == id {
        true => newest.version(&subject),
        false => ask(source, &Question::Schema { id })?.version(&subject),
    };
    version.ok_or_else(|| {
        DataError::new(format!("the registry does not say which version the schema {id} is"))
    })
}
