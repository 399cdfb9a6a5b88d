//! An expression and a document from one input, the first line and the rest: compiled and evaluated
//! on typed values and on text, with one outcome and without a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use millrace_api::record::{Origin, Record, TimestampType};
use millrace_converters::json::{parse, parse_text};
use millrace_converters::{Arena, JsonText, SchemaAndValue, Value};

fn record<'a>(value: Value<'a>) -> Record<'a> {
    Record {
        topic: "t",
        partition: Some(0),
        timestamp: Some(1_700_000_000_000),
        key: SchemaAndValue::default(),
        value: SchemaAndValue { schema: None, value },
        headers: &[],
        origin: Origin::Sink {
            topic: "t",
            partition: 0,
            offset: 7,
            timestamp_type: TimestampType::CreateTime,
        },
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (expression, document) = text.split_once('\n').unwrap_or((text, "{\"a\":1,\"b\":\"x\"}"));
    let arena = Arena::new();
    let Ok(typed @ Value::Map(_)) = parse(document.as_bytes(), &arena) else { return };
    let config = [("set.r".to_owned(), expression.to_owned())].into();
    let list = millrace_transforms::transformations();
    let plugin = list.iter().find(|plugin| plugin.class == "millrace.Expression");
    let Ok(mut step) = (plugin.expect("it is in the list").new)(&config) else { return };
    let whole = step.apply(record(typed), &arena);
    let unparsed = Value::Json(arena.alloc(JsonText::verbatim(document.as_bytes())));
    let part = step.apply(record(unparsed), &arena);
    // What is written of the value may say less than the value: a NaN is null.
    assert_eq!(whole.is_ok(), part.is_ok(), "{whole:?} {part:?}");
    if let Ok(Some(record)) = part
        && let Value::Json(text) = record.value.value
    {
        parse_text(text, &arena).expect("what was set is JSON");
    }
});
