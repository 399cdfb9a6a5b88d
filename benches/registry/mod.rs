//! What the benches of the converters with a schema registry share: a registry of one schema, and a
//! batch of records read and written.

use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;

use criterion::BenchmarkGroup;
use criterion::measurement::WallTime;
use millrace_converters::converter::Detail;
use millrace_converters::registry::{Answer, Question, SchemaKind, SchemaSource, SchemaText};
use millrace_converters::{Arena, Converter, DataError};

/// As many as one fetched batch has.
pub const RECORDS: usize = 258;

struct OneSchema(SchemaKind, &'static str);

impl SchemaSource for OneSchema {
    fn ask(&self, _: &Question) -> Option<Result<Arc<Answer>, DataError>> {
        let schema = SchemaText::new(self.0, self.1);
        Some(Ok(Arc::new(Answer { id: 1, schema: Some(schema), ..Answer::default() })))
    }
}

/// A registry that has the one schema.
pub fn one_schema(kind: SchemaKind, text: &'static str) -> Rc<dyn SchemaSource> {
    Rc::new(OneSchema(kind, text))
}

/// The way into sinks.
pub fn read(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    converter: &mut dyn Converter,
    detail: Detail,
    records: &[Vec<u8>],
) {
    let mut arena = Arena::new();
    group.bench_function(name, |b| {
        b.iter(|| {
            arena.reset();
            for bytes in records {
                let read = converter.to_connect_data("t", Some(bytes), detail, &arena);
                black_box(read.expect("a record of the schema"));
            }
        });
    });
}

/// The way back, from sources: what `reader` makes of the records.
pub fn write(
    group: &mut BenchmarkGroup<'_, WallTime>,
    reader: &mut dyn Converter,
    writer: &mut dyn Converter,
    records: &[Vec<u8>],
) {
    let arena = Arena::new();
    let mut typed = |bytes| {
        let read = reader.to_connect_data("t", Some(bytes), Detail::Full, &arena);
        read.expect("a record of the schema")
    };
    let values: Vec<_> = records.iter().map(|bytes| typed(bytes)).collect();
    let mut out = Vec::new();
    group.bench_function("write", |b| {
        b.iter(|| {
            writer.begin_batch();
            for read in &values {
                out.clear();
                let written = writer.from_connect_data("t", read.schema, read.value, &mut out);
                black_box(written.expect("a value of the schema"));
            }
        });
    });
}
