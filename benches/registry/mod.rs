//! What the benches of the converters with a schema registry share: a registry of one schema, and a
//! batch of records read and written.

use std::hint::black_box;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use criterion::BenchmarkGroup;
use criterion::measurement::WallTime;
use millrace_converters::converter::Detail;
use millrace_converters::registry::{Answer, Question, SchemaKind, SchemaSource, SchemaText};
use millrace_converters::{Arena, Converter, DataError, SchemaAndValue};

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
    let (mut arena, (batch, places)) = (Arena::new(), batch(records));
    group.bench_function(name, |b| {
        b.iter(|| {
            arena.reset();
            for place in &places {
                black_box(read_at(converter, detail, &batch, place, &arena));
            }
        });
    });
}

/// Records one after another, with bytes behind the last as a fetched batch has, and where they are.
pub fn batch(records: &[Vec<u8>]) -> (Vec<u8>, Vec<Range<usize>>) {
    let mut batch = Vec::new();
    let mut place = |record: &Vec<u8>| {
        batch.extend_from_slice(record);
        batch.len() - record.len()..batch.len()
    };
    let places = records.iter().map(&mut place).collect();
    batch.extend([0; 128]);
    (batch, places)
}

/// One of them.
pub fn read_at<'a>(
    converter: &mut dyn Converter,
    detail: Detail,
    batch: &'a [u8],
    place: &Range<usize>,
    arena: &'a Arena,
) -> SchemaAndValue<'a> {
    let mut into = SchemaAndValue::default();
    let read = if detail == Detail::Json {
        converter.to_json_at("t", batch, place.clone(), arena, &mut into)
    } else {
        converter.to_connect_data_at("t", batch.get(place.clone()), detail, arena, &mut into)
    };
    read.expect("a record of the schema");
    into
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
