//! What a transform made of a schema, once per distinct schema.

use std::sync::Arc;

use millrace_converters::{Field, Schema};

/// As many schemas as Kafka Connect's transforms remember.
const ENTRIES: usize = 16;

/// Least recently used is forgotten first. Looking up the schema of the record before costs a
/// comparison of pointers per field: the cache owns the very names and field schemas that it
/// compares with, so an address that is equal is the same thing.
pub struct SchemaCache<T> {
    entries: Vec<(Schema, T)>,
    capacity: usize,
}

impl<T> Default for SchemaCache<T> {
    fn default() -> Self {
        Self::of(ENTRIES)
    }
}

impl<T> SchemaCache<T> {
    /// Remembers that many schemas, one at least.
    pub fn of(capacity: usize) -> Self {
        Self { entries: Vec::new(), capacity: capacity.max(1) }
    }

    /// What `make` made of an equal schema, now or earlier; an error is not remembered.
    #[inline]
    pub fn get<E>(
        &mut self,
        schema: &Schema,
        make: impl FnOnce(&Schema) -> Result<T, E>,
    ) -> Result<&T, E> {
        let hit = self.entries.first().is_some_and(|(known, _)| same(known, schema));
        if !hit {
            self.bring_forward(schema, make)?;
        }
        Ok(&self.entries[0].1)
    }

    #[cold]
    fn bring_forward<E>(
        &mut self,
        schema: &Schema,
        make: impl FnOnce(&Schema) -> Result<T, E>,
    ) -> Result<(), E> {
        let entry = match self.entries.iter().position(|(known, _)| known == schema) {
            // Under the schema as it came now: an equal one at another address would miss again.
            Some(at) => (schema.clone(), self.entries.remove(at).1),
            None => (schema.clone(), make(schema)?),
        };
        self.entries.insert(0, entry);
        self.entries.truncate(self.capacity);
        Ok(())
    }
}

/// Surely equal; `false` may be wrong.
#[inline]
fn same(a: &Schema, b: &Schema) -> bool {
    fn same_field(a: &Field, b: &Field) -> bool {
        Arc::ptr_eq(&a.schema, &b.schema) && Arc::ptr_eq(&a.name, &b.name)
    }
    a.type_ == b.type_
        && a.optional == b.optional
        && a.version == b.version
        && a.fields.len() == b.fields.len()
        && a.fields.iter().zip(&b.fields).all(|(a, b)| same_field(a, b))
        && a.name == b.name
        && a.doc == b.doc
        && a.parameters == b.parameters
        && a.default == b.default
        && a.key_schema == b.key_schema
        && a.value_schema == b.value_schema
}

/// `SchemaUtil.copySchemaBasics` into a struct's schema without fields: name, version, doc and
/// parameters are kept, optional flag and default are not.
pub fn copy_basics(schema: &Schema) -> Schema {
    Schema {
        name: schema.name.clone(),
        version: schema.version,
        doc: schema.doc.clone(),
        parameters: schema.parameters.clone(),
        ..Schema::struct_of(Vec::new())
    }
}

/// What `SchemaBuilder` throws.
pub const REFUSED: &str = "org.apache.kafka.connect.errors.SchemaBuilderException";

/// Adds a field as `SchemaBuilder.field` does; the error is its `SchemaBuilderException`.
pub fn add_field(
    schema: &mut Schema,
    name: &str,
    field: Arc<Schema>,
) -> Result<(), millrace_converters::DataError> {
    let refused = |message: String| millrace_converters::DataError::with_class(REFUSED, message);
    if name.is_empty() {
        return Err(refused("fieldName cannot be null.".to_owned()));
    }
    if schema.field(name).is_some() {
        return Err(refused(format!(
            "Cannot create field because of field name duplication {name}"
        )));
    }
    schema.fields.push(Field { name: name.into(), schema: field });
    Ok(())
}

#[cfg(test)]
mod tests {
    use millrace_converters::SchemaType;

    use super::*;

    fn schema(field: &str) -> Schema {
        Schema::struct_of(vec![Field {
            name: field.into(),
            schema: Arc::new(Schema::new(SchemaType::Int32)),
        }])
    }

    #[test]
    fn makes_once_per_distinct_schema_and_forgets_the_oldest() {
        let mut cache = SchemaCache::default();
        let mut made = 0;
        let mut ask = |cache: &mut SchemaCache<String>, name: &str| {
            let answer = cache.get(&schema(name), |schema| {
                made += 1;
                Ok::<_, ()>(schema.fields[0].name.to_string())
            });
            assert_eq!(answer.unwrap(), name);
            made
        };
        assert_eq!(ask(&mut cache, "a"), 1);
        // Equal, though nothing of it is at the same address.
        assert_eq!(ask(&mut cache, "a"), 1);
        for at in 0..15 {
            ask(&mut cache, &format!("f{at}"));
        }
        assert_eq!(ask(&mut cache, "a"), 16);
        ask(&mut cache, "f15");
        assert_eq!(ask(&mut cache, "a"), 17);
        // `f0` was the least recently used.
        assert_eq!(ask(&mut cache, "f0"), 18);
    }

    #[test]
    fn a_change_outside_the_fields_is_another_schema() {
        let mut cache = SchemaCache::default();
        let first = schema("a");
        let second = Schema { optional: true, ..first.clone() };
        assert!(!*cache.get(&first, |schema| Ok::<_, ()>(schema.optional)).unwrap());
        assert!(*cache.get(&second, |schema| Ok::<_, ()>(schema.optional)).unwrap());
    }
}
