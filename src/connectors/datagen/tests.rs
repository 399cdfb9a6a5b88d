//! The generator as the worker drives it.

use std::collections::BTreeSet;

use millrace_api::Config;
use millrace_api::connector::NewTask;
use millrace_api::converters::{Arena, Value};
use millrace_api::source::offsets::Scalar;
use millrace_api::source::{OffsetMap, Polled, SourceRecord, SourceTask, SourceTaskContext};

use super::{DatagenSourceTask, SOURCE};
use crate::test_rig::{now, on_a_core};
use crate::text;

fn config(settings: &[(&str, &str)]) -> Config {
    settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// The configurations of the tasks.
fn planned(settings: &[(&str, &str)], tasks_max: usize) -> Vec<Config> {
    let mut connector = (SOURCE.connector)();
    connector.start(&config(settings)).unwrap();
    connector.task_configs(tasks_max).unwrap()
}

fn started(config: &Config, count: Option<i64>) -> DatagenSourceTask {
    let stored: Option<OffsetMap> = count.map(|n| vec![("count".to_owned(), Scalar::Int(n))]);
    let mut task = DatagenSourceTask::default();
    now(task.start(config, SourceTaskContext::new("d-0", move |_| stored.clone()))).unwrap();
    task
}

/// Key and value of every record until the task has finished, and the last offset.
fn drained(mut task: DatagenSourceTask) -> (Vec<(String, String)>, i64) {
    let (mut all, mut last) = (Vec::new(), 0);
    loop {
        let arena = Arena::new();
        let mut out: Vec<SourceRecord<'_>> = Vec::new();
        let polled = now(task.poll(&arena, &mut out)).unwrap();
        for one in &out {
            all.push((shown(&one.record.key.value), shown(&one.record.value.value)));
            if let [("count", Value::Int64(count))] = one.source_offset {
                last = *count;
            }
        }
        if polled == Polled::Finished {
            return (all, last);
        }
    }
}

fn shown(value: &Value<'_>) -> String {
    let mut out = Vec::new();
    text::write_json(value, &mut out);
    String::from_utf8(out).unwrap()
}

const EVENTS: &[(&str, &str)] = &[("topic", "t"), ("quickstart", "events"), ("max", "1201")];

#[test]
fn tasks_share_the_records_and_make_all_of_them() {
    let whole: BTreeSet<_> = drained(started(&planned(EVENTS, 1)[0], None)).0.into_iter().collect();
    assert_eq!(whole.len(), 1201);
    let mut shared = Vec::new();
    for config in planned(EVENTS, 4) {
        shared.extend(drained(started(&config, None)).0);
    }
    assert_eq!(shared.len(), 1201);
    assert_eq!(shared.into_iter().collect::<BTreeSet<_>>(), whole);
    assert_eq!(planned(&[("topic", "t"), ("quickstart", "events"), ("max", "2")], 4).len(), 2);
}

#[test]
fn a_task_goes_on_where_it_was() {
    let config = &planned(EVENTS, 2)[1];
    let (all, last) = drained(started(config, None));
    assert_eq!((all.len(), last), (600, 600));
    let (rest, last) = drained(started(config, Some(123)));
    assert_eq!((&rest[..], last), (&all[123..], 600));
    assert_eq!(drained(started(config, Some(600))).0.len(), 0);
}

#[test]
fn the_source_partition_names_the_task() {
    let context = SourceTaskContext::new("d-1", |_| None);
    let mut task = DatagenSourceTask::default();
    now(task.start(&planned(EVENTS, 2)[1], context.clone())).unwrap();
    let arena = Arena::new();
    let mut out = Vec::new();
    now(task.poll(&arena, &mut out)).unwrap();
    assert_eq!(
        context.partition_map(out[0].source_partition),
        Some(vec![("task".to_owned(), Scalar::Int(1))])
    );
    assert_eq!(out[0].record.topic, "t");
    assert!(out.len() >= 100);
}

#[test]
fn every_quickstart_makes_the_same_as_text_and_as_structure() {
    for name in super::quickstart::NAMES {
        let settings = [("kafka.topic", "t"), ("quickstart", name), ("iterations", "50")];
        let with = |format| {
            let settings = [&settings[..], &[("format", format)]].concat();
            drained(started(&planned(&settings, 1)[0], None)).0
        };
        let texts = with("json");
        assert_eq!(texts, with("struct"), "{name}");
        assert_eq!(texts.len(), 50);
        assert_eq!(texts[0].0 == "null", *name == "events", "{name}");
        for (_, text) in &texts {
            serde_json::from_str::<serde_json::Value>(text).unwrap();
        }
    }
}

/// Of each record, the values of the schema's only field `f`.
fn made(of: &str, count: usize) -> Vec<String> {
    let schema = format!(r#"{{"type":"record","name":"r","fields":[{{"name":"f","type":{of}}}]}}"#);
    let count = count.to_string();
    let settings = [("topic", "t"), ("schema.string", schema.as_str()), ("max", &count)];
    let strip = |text: String| text[r#"{"f":"#.len()..text.len() - 1].to_owned();
    drained(started(&planned(&settings, 1)[0], None)).0.into_iter().map(|(_, v)| strip(v)).collect()
}

#[test]
fn schema_arguments() {
    let iterated = made(
        r#"{"type":"int","arg.properties":{"iteration":{"start":1,"restart":8,"step":3}}}"#,
        5,
    );
    assert_eq!(iterated, ["1", "4", "7", "1", "4"]);
    let down = made(r#"{"type":"long","arg.properties":{"iteration":{"start":2,"restart":0}}}"#, 3);
    assert_eq!(down, ["2", "1", "2"]);
    let within = |of: &str, allowed: &dyn Fn(&str) -> bool| {
        for text in made(of, 100) {
            assert!(allowed(&text), "{of} {text}");
        }
    };
    within(r#"{"type":"int","arg.properties":{"range":{"min":-2,"max":2}}}"#, &|text| {
        ["-2", "-1", "0", "1"].contains(&text)
    });
    within(r#"{"type":"string","arg.properties":{"length":3}}"#, &|text| text.len() == 5);
    within(r#"{"type":"string","arg.properties":{"options":["a","b"]}}"#, &|text| {
        ["\"a\"", "\"b\""].contains(&text)
    });
    within(r#"{"type":"enum","name":"e","symbols":["X"]}"#, &|text| text == "\"X\"");
    within(r#"["null","boolean"]"#, &|text| ["null", "true", "false"].contains(&text));
    within(
        r#"{"type":"array","items":"boolean","arg.properties":{"length":{"min":1,"max":3}}}"#,
        &|text| (1..=2).contains(&text.split(',').count()) && text != "[]",
    );
    within(
        r#"{"type":"map","values":{"type":"int","arg.properties":{"options":[7]}},
            "arg.properties":{"length":1}}"#,
        &|text| text == r#"{"key0":7}"#,
    );
}

#[test]
fn what_is_wrong_with_the_settings_is_said() {
    let errors = |settings: &[(&str, &str)]| {
        let errors = (SOURCE.validate)(&config(settings));
        errors.into_iter().map(|error| error.message).collect::<Vec<_>>()
    };
    assert_eq!(
        errors(&[]),
        [
            "Missing required configuration \"kafka.topic\" which has no default value.",
            "Exactly one of quickstart, schema.string and schema.filename must be set",
        ]
    );
    for (schema, part) in [
        ("{", "the schema is not JSON"),
        ("\"int\"", "the schema must be a record"),
        (r#"{"type":"record","name":"r"}"#, "a record without fields"),
        (
            r#"{"type":"record","name":"r","fields":[{"name":"f","type":"r"}]}"#,
            "f: the type r is not known",
        ),
        (
            r#"{"type":"record","name":"r","fields":[{"name":"f","type":["int","string"]}]}"#,
            "f: a union may only be of null and one other type",
        ),
    ] {
        let errors = errors(&[("topic", "t"), ("schema.string", schema)]);
        assert!(errors.len() == 1 && errors[0].contains(part), "{errors:?}");
    }
    let unknown = [("topic", "t"), ("quickstart", "users"), ("schema.keyfield", "x")];
    assert!(errors(&unknown)[0].contains("the key field x is not in the schema"));
}

#[test]
fn a_rate_is_kept_to() {
    let config =
        planned(&[("topic", "t"), ("quickstart", "events"), ("rate", "40"), ("max", "4")], 1)
            .remove(0);
    on_a_core(move || async move {
        let mut task = started(&config, None);
        let arena = Arena::new();
        let (mut out, mut largest) = (Vec::new(), 0);
        loop {
            let before = out.len();
            let polled = task.poll(&arena, &mut out).await.unwrap();
            largest = largest.max(out.len() - before);
            if polled == Polled::Finished {
                break;
            }
        }
        // A twentieth of a second's records at a time.
        assert_eq!((out.len(), largest), (4, 2));
    });
}

#[test]
fn confluents_class_means_this_connector() {
    assert!(SOURCE.also.contains(&"io.confluent.kafka.connect.datagen.DatagenConnector"));
    assert!(matches!(SOURCE.task, NewTask::Source(_)));
}
