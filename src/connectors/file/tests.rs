//! The file sink as the worker drives it.

use millrace_api::Config;
use millrace_api::converters::{Decimal, JsonText, SchemaAndValue, Value};
use millrace_api::record::{Origin, Record, TopicPartition};
use millrace_api::sink::{Offsets, SinkTask, SinkTaskContext};

use super::{FileStreamSinkTask, SINK};
use crate::test_rig::on_a_core;

fn record(value: Value<'_>) -> Record<'_> {
    Record {
        topic: "t",
        partition: Some(0),
        timestamp: None,
        key: SchemaAndValue::default(),
        value: SchemaAndValue { schema: None, value },
        headers: &[],
        origin: Origin::Source { index: 0 },
    }
}

fn config(path: &std::path::Path) -> Config {
    Config::from([
        ("file".to_owned(), path.display().to_string()),
        ("millrace.file.sync".to_owned(), "true".to_owned()),
    ])
}

#[test]
fn appends_lines_and_commits_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.txt");
    std::fs::write(&path, "before\n").unwrap();
    let there = path.clone();
    on_a_core(move || async move {
        let mut task = FileStreamSinkTask::default();
        task.start(&config(&there), SinkTaskContext::new("f-0", false)).await.unwrap();
        let text = JsonText::verbatim(br#"{"a": 1}"#);
        let records = [Value::Str("one"), Value::Null, Value::Json(&text), Value::Float64(1.0)];
        task.put(&records.map(record)).await.unwrap();
        let consumed = Offsets::from([(TopicPartition::new("t", 0), 4)]);
        assert_eq!(task.pre_commit(&consumed).await.unwrap(), consumed);
        assert_eq!(
            std::fs::read_to_string(&there).unwrap(),
            "before\none\nnull\n{\"a\": 1}\n1.0\n"
        );
        task.put(&[record(Value::Str("last"))]).await.unwrap();
        task.stop().await;
    });
    assert!(std::fs::read_to_string(&path).unwrap().ends_with("1.0\nlast\n"));
}

/// The same values through the JVM's task of version 4.1.0 gave these bytes.
#[test]
fn prints_what_the_jvm_prints() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.txt");
    let there = path.clone();
    on_a_core(move || async move {
        let mut task = FileStreamSinkTask::default();
        task.start(&config(&there), SinkTaskContext::new("f-0", false)).await.unwrap();
        let decimal = Decimal { unscaled: &[0x04, 0xe2], scale: 3 };
        let values = [
            Value::Str("one"),
            Value::Null,
            Value::Str("é\u{2028}x\"y"),
            Value::Str(""),
            Value::Int64(1),
            Value::Int8(-3),
            Value::Float64(1.0),
            Value::Float64(1e10),
            Value::Float32(0.1),
            Value::Boolean(true),
            Value::Decimal(&decimal),
            Value::Str("a\nb"),
            Value::Float64(f64::NAN),
            Value::Float64(1e-5),
        ];
        task.put(&values.map(record)).await.unwrap();
        task.stop().await;
    });
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "one\nnull\né\u{2028}x\"y\n\n1\n-3\n1.0\n1.0E10\n0.1\ntrue\n1.250\na\nb\nNaN\n1.0E-5\n"
    );
}

#[test]
fn an_empty_put_writes_out_what_waits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.txt");
    on_a_core(move || async move {
        let context = SinkTaskContext::new("f-0", false);
        let mut task = FileStreamSinkTask::default();
        task.start(&config(&path), context.clone()).await.unwrap();
        task.put(&[record(Value::Str("a"))]).await.unwrap();
        // Either the line was written at once or the task asked to be called again soon.
        let wait = context.take_timeout();
        assert!(wait.is_none_or(|wait| wait.is_zero()), "a line waits for {wait:?}");
        let waits = wait.is_some();
        assert_eq!(std::fs::read(&path).unwrap().is_empty(), waits);
        task.put(&[]).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a\n");
    });
}

#[test]
fn two_tasks_share_a_file_without_overwriting_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.txt");
    let there = path.clone();
    on_a_core(move || async move {
        let mut tasks = [FileStreamSinkTask::default(), FileStreamSinkTask::default()];
        for task in &mut tasks {
            task.start(&config(&there), SinkTaskContext::new("f", false)).await.unwrap();
        }
        let line = "x".repeat(999);
        for _ in 0..400 {
            for task in &mut tasks {
                task.put(&[record(Value::Str(&line))]).await.unwrap();
            }
        }
        for task in &mut tasks {
            task.pre_commit(&Offsets::new()).await.unwrap();
        }
    });
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.len(), 800_000);
    assert!(text.lines().all(|line| line.len() == 999));
}

#[test]
fn what_cannot_be_opened_says_why_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing/out.txt");
    on_a_core(move || async move {
        let mut task = FileStreamSinkTask::default();
        let started = task.start(&config(&path), SinkTaskContext::new("f", false)).await;
        let message = started.unwrap_err().to_string();
        let start = format!(
            "Couldn't find or create file '{}' for FileStreamSinkTask: its folder does not exist",
            path.display()
        );
        assert!(message.starts_with(&start), "{message}");
    });
}

#[test]
fn a_full_disk_fails_the_task_and_commits_nothing() {
    // A device that is always full.
    on_a_core(|| async {
        let mut task = FileStreamSinkTask::default();
        let path = std::path::Path::new("/dev/full");
        task.start(&config(path), SinkTaskContext::new("f", false)).await.unwrap();
        task.put(&[record(Value::Str("a"))]).await.unwrap();
        let error = task.pre_commit(&Offsets::new()).await.unwrap_err();
        assert!(error.message.contains("no space is left"), "{}", error.message);
    });
}

#[test]
fn the_file_is_optional() {
    let parsed = (SINK.config_def)().parse(&Config::new()).unwrap();
    assert_eq!(parsed.get("file"), None);
}

#[test]
fn the_standard_output_takes_lines() {
    on_a_core(|| async {
        let mut output = super::output::Output::open(Some("")).await.unwrap();
        let mut lines = b"a line of the file sink's test\n".to_vec();
        for _ in 0..10 {
            output.append(&mut lines).await.unwrap();
            assert!(lines.is_empty());
            lines.push(b'\n');
        }
        output.sync().await.unwrap();
        output.close().await;
    });
}
