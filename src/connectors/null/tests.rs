//! The null sink as the worker drives it.

use millrace_api::Config;
use millrace_api::converters::{JsonText, SchemaAndValue, Value};
use millrace_api::record::{Origin, Record, TimestampType, TopicPartition};
use millrace_api::sink::{Need, Offsets, SinkTask, SinkTaskContext};

use super::{NullSinkTask, SINK};
use crate::test_rig::now;

fn record<'a>(partition: i32, offset: i64, value: Value<'a>) -> Record<'a> {
    Record {
        topic: "t",
        partition: Some(partition),
        timestamp: None,
        key: SchemaAndValue::default(),
        value: SchemaAndValue { schema: None, value },
        headers: &[],
        origin: Origin::Sink {
            topic: "t",
            partition,
            offset,
            timestamp_type: TimestampType::CreateTime,
        },
    }
}

fn started(settings: &[(&str, &str)]) -> NullSinkTask {
    let config: Config =
        settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let mut task = NullSinkTask::default();
    now(task.start(&config, SinkTaskContext::new("n-0", false))).unwrap();
    task
}

#[test]
fn counts_and_answers_everything_consumed() {
    let mut task = started(&[]);
    assert_eq!(task.needs().value, Need::Nothing);
    now(task.put(&[record(0, 5, Value::Null), record(0, 5, Value::Null)])).unwrap();
    now(task.put(&[])).unwrap();
    assert_eq!((task.records(), task.bytes()), (2, 0));
    let consumed = Offsets::from([(TopicPartition::new("t", 0), 6)]);
    assert_eq!(now(task.pre_commit(&consumed)).unwrap(), consumed);
}

#[test]
fn formats_into_memory() {
    let text = JsonText::verbatim(br#"{"a":1}"#);
    let records = [record(0, 0, Value::Json(&text)), record(0, 1, Value::Str("x"))];
    for (format, bytes) in [("json", 8 + 4), ("bytes", 8 + 2)] {
        let mut task = started(&[("null.format", format)]);
        assert_ne!(task.needs().value, Need::Full);
        now(task.put(&records)).unwrap();
        now(task.stop());
        assert_eq!(task.bytes(), bytes);
    }
}

#[test]
fn an_offset_that_does_not_increase_fails_the_task() {
    let mut task = started(&[("null.check.order", "true")]);
    let partitions = Offsets::from([(TopicPartition::new("t", 0), 10)]);
    now(task.open(&partitions)).unwrap();
    now(task.put(&[record(0, 10, Value::Null), record(1, 3, Value::Null)])).unwrap();
    now(task.put(&[record(0, 12, Value::Null), record(1, 4, Value::Null)])).unwrap();
    let error = now(task.put(&[record(0, 12, Value::Null)])).unwrap_err();
    assert_eq!(
        error.message,
        "n-0: offset 12 of t-0 came after offset 12; offsets must increase while null.check.order is set"
    );
    // Newly assigned, the partition may start further back.
    now(task.open(&partitions)).unwrap();
    now(task.put(&[record(0, 10, Value::Null)])).unwrap();
}

#[test]
fn an_unknown_format_is_refused() {
    let config = Config::from([("null.format".to_owned(), "xml".to_owned())]);
    let errors = (SINK.config_def)().parse(&config).unwrap_err();
    assert_eq!(
        errors[0].message,
        "Invalid value xml for configuration null.format: String must be one of: none, json, bytes"
    );
}

#[test]
fn writes_down_when_it_took_each_record() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("latencies");
    let mut task = started(&[("null.latency.file", path.to_str().unwrap())]);
    let at = |timestamp| Record { timestamp, ..record(0, 0, Value::Null) };
    now(task.put(&[at(Some(1_700_000_000_000)), at(None), at(Some(-1))])).unwrap();
    now(task.stop());
    let bytes = std::fs::read(dir.path().join("latencies-n-0")).unwrap();
    let numbers: Vec<i64> =
        bytes.chunks(8).map(|chunk| i64::from_be_bytes(chunk.try_into().unwrap())).collect();
    let [1_700_000_000_000, first, -1, second] = numbers[..] else { panic!("{numbers:?}") };
    assert_eq!(first, second);
    assert!(first > 1_700_000_000_000_000, "{first} is in µs");
}
