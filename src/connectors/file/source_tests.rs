//! The file source as the worker drives it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use millrace_api::Config;
use millrace_api::connector::{Connector, ExactlyOnceSupport};
use millrace_api::converters::{Arena, Value};
use millrace_api::source::offsets::Scalar;
use millrace_api::source::{OffsetMap, Polled, SourceTask, SourceTaskContext};

use super::source::FileStreamSourceConnector;
use super::{FileStreamSourceTask, SOURCE};
use crate::test_rig::on_a_core;

fn config(path: &Path, more: &[(&str, &str)]) -> Config {
    let mut config = Config::from([
        ("file".to_owned(), path.display().to_string()),
        ("topic".to_owned(), "t".to_owned()),
    ]);
    config.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    config
}

fn at(position: Option<Scalar>) -> Rc<SourceTaskContext> {
    SourceTaskContext::new("f-0", move |partition| {
        assert_eq!(partition[0].0, "filename");
        Some(vec![("position".to_owned(), position.clone()?)])
    })
}

async fn started(path: &Path, more: &[(&str, &str)], stored: Option<i64>) -> FileStreamSourceTask {
    let mut task = FileStreamSourceTask::default();
    task.start(&config(path, more), at(stored.map(Scalar::Int))).await.unwrap();
    task
}

/// The next poll's lines and the positions after them.
async fn poll(task: &mut FileStreamSourceTask) -> Result<Vec<(String, i64)>, String> {
    let arena = Arena::new();
    let mut records = Vec::new();
    task.poll(&arena, &mut records).await.map_err(|error| error.to_string())?;
    let read = records.iter().map(|source| {
        assert_eq!((source.record.topic, source.record.partition), ("t", None));
        assert!(source.record.timestamp.is_some());
        assert!(source.record.key.schema.is_none() && source.record.value.schema.is_some());
        let Value::Str(line) = source.record.value.value else { panic!("no text") };
        let [("position", Value::Int64(position))] = *source.source_offset else {
            panic!("{:?}", source.source_offset)
        };
        (line.to_owned(), position)
    });
    Ok(read.collect())
}

/// Polls until nothing new comes.
async fn rest(task: &mut FileStreamSourceTask) -> Vec<(String, i64)> {
    let mut all = Vec::new();
    loop {
        let lines = poll(task).await.unwrap();
        if lines.is_empty() {
            return all;
        }
        all.extend(lines);
    }
}

fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.txt");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn append(path: &Path, bytes: &[u8]) {
    std::fs::OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

/// The JVM's task of version 4.1.0 gives these lines for this file, and, as all is ASCII, these
/// positions.
#[test]
fn lines_and_positions_are_the_jvms() {
    let (_folder, path) = file(b"a\nb\r\nc\rd\n\n\r\r\nnul\0x\npartial\r");
    on_a_core(move || async move {
        let mut task = started(&path, &[], None).await;
        let expected =
            [("a", 2), ("b", 5), ("c", 7), ("d", 9), ("", 10), ("", 11), ("", 13), ("nul\0x", 19)]
                .map(|(line, position)| (line.to_owned(), position));
        assert_eq!(rest(&mut task).await, expected);
        append(&path, b"\nlast");
        assert_eq!(rest(&mut task).await, [("partial".to_owned(), 28)]);
        append(&path, b" one\n");
        assert_eq!(rest(&mut task).await, [("last one".to_owned(), 37)]);
    });
}

#[test]
fn batches_are_no_larger_than_asked_for_and_nothing_is_lost_between_them() {
    let lines: Vec<String> =
        (0..20_000).map(|at| format!("{at} {}", "é".repeat(at % 97))).collect();
    let (_folder, path) = file((lines.join("\n") + "\n").as_bytes());
    on_a_core(move || async move {
        for batch in ["1999", "7"] {
            let mut task = started(&path, &[("batch.size", batch)], None).await;
            let mut position = 0;
            let mut seen = lines.iter();
            loop {
                let read = poll(&mut task).await.unwrap();
                assert!(read.len() <= batch.parse().unwrap());
                if read.is_empty() {
                    break;
                }
                for (line, after) in read {
                    assert_eq!(Some(&line), seen.next());
                    position += line.len() as i64 + 1;
                    assert_eq!(after, position);
                }
            }
            assert_eq!(seen.next(), None);
        }
    });
}

#[test]
fn goes_on_at_the_stored_byte_and_at_the_jvms_count_of_characters() {
    let (_folder, path) = file("ä\n𝄞✓\nthree\nfour\n".as_bytes());
    on_a_core(move || async move {
        let all = rest(&mut started(&path, &[], None).await).await;
        assert_eq!(all.iter().map(|(_, at)| *at).collect::<Vec<_>>(), [3, 11, 17, 22]);
        for skip in 0..4 {
            let stored = if skip == 0 { 0 } else { all[skip - 1].1 };
            assert_eq!(rest(&mut started(&path, &[], Some(stored)).await).await, all[skip..]);
        }
        // "ä\n𝄞✓\n" has 2 + 4 units, "three\n" 6 more.
        assert_eq!(rest(&mut started(&path, &[], Some(6)).await).await, all[2..]);
        assert_eq!(rest(&mut started(&path, &[], Some(12)).await).await, all[3..]);
        // Neither: taken as it is.
        assert_eq!(rest(&mut started(&path, &[], Some(13)).await).await[0].0, "ree");
    });
}

#[test]
fn a_file_that_is_missing_or_shorter_than_the_offset_is_waited_for() {
    let (_folder, path) = file(b"");
    std::fs::remove_file(&path).unwrap();
    on_a_core(move || async move {
        let mut task = started(&path, &[], Some(4)).await;
        assert!(rest(&mut task).await.is_empty());
        std::fs::write(&path, b"one\n").unwrap();
        // It is looked for once a second.
        for _ in 0..12 {
            assert!(poll(&mut task).await.unwrap().is_empty());
        }
        append(&path, b"two\n");
        assert_eq!(rest(&mut task).await, [("two".to_owned(), 8)]);
    });
}

#[test]
fn a_file_may_be_read_to_its_end_only() {
    let (_folder, path) = file(b"a\nb\nlast");
    on_a_core(move || async move {
        let mut task = started(&path, &[("millrace.file.until.end", "true")], None).await;
        let mut all = Vec::new();
        loop {
            let arena = Arena::new();
            let mut records = Vec::new();
            let polled = task.poll(&arena, &mut records).await.unwrap();
            let texts =
                records.iter().map(|one| one.record.value.value.as_str().unwrap().to_owned());
            all.extend(texts);
            if polled == Polled::Finished {
                break;
            }
        }
        assert_eq!(all, ["a", "b", "last"]);
    });
}

#[test]
fn long_lines_grow_the_buffer_up_to_their_bound() {
    let long = "x".repeat(3_000_000);
    let (_folder, path) = file(format!("{long}\nshort\n").as_bytes());
    on_a_core(move || async move {
        let mut task = started(&path, &[], None).await;
        let mut all = Vec::new();
        while all.len() < 2 {
            all.extend(poll(&mut task).await.unwrap());
        }
        assert!(all[0].0 == long && all[1].0 == "short");
        let mut task = started(&path, &[("millrace.file.line.max.bytes", "1000000")], None).await;
        let error = loop {
            match poll(&mut task).await {
                Ok(lines) => assert!(lines.is_empty()),
                Err(error) => break error,
            }
        };
        assert!(error.contains("longer than 1000000 bytes"), "{error}");
    });
}

#[test]
fn malformed_text_is_replaced_and_what_follows_is_whole() {
    let (_folder, path) = file(b"good\nbad\xff\xc3(\xe2\x82\n\xc3\xa9\n");
    on_a_core(move || async move {
        let lines = rest(&mut started(&path, &[], None).await).await;
        let texts: Vec<_> = lines.iter().map(|(line, _)| line.as_str()).collect();
        assert_eq!(texts, ["good", "bad\u{fffd}\u{fffd}(\u{fffd}", "é"]);
        assert_eq!(lines[2].1, 17);
    });
}

#[test]
fn a_folder_and_an_offset_of_another_type_fail_the_task() {
    let (folder, path) = file(b"");
    on_a_core(move || async move {
        let mut task = started(folder.path(), &[], None).await;
        let error = loop {
            match poll(&mut task).await {
                Ok(lines) => assert!(lines.is_empty()),
                Err(error) => break error,
            }
        };
        assert!(error.contains("it is a folder"), "{error}");
        let mut task = FileStreamSourceTask::default();
        let stored = at(Some(Scalar::String("1".to_owned())));
        task.start(&config(&path, &[]), stored).await.unwrap();
        assert_eq!(poll(&mut task).await.unwrap_err(), "Offset position is the incorrect type");
    });
}

#[test]
fn a_named_pipe_is_read_as_a_stream() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    on_a_core(move || async move {
        let mut task = started(&path, &[], None).await;
        assert!(poll(&mut task).await.unwrap().is_empty());
        let there = path.clone();
        let writer = std::thread::spawn(move || std::fs::write(there, "a\nb".repeat(1000)));
        let mut all = Vec::new();
        while all.len() < 1000 {
            all.extend(poll(&mut task).await.unwrap());
        }
        writer.join().unwrap().unwrap();
        assert_eq!((all[0].0.as_str(), all[1].0.as_str(), all.len()), ("a", "ba", 1000));
    });
}

#[test]
fn one_task_and_the_jvms_rules_for_offsets() {
    let mut connector = FileStreamSourceConnector::default();
    let file = config(Path::new("x"), &[]);
    let mut stdin = file.clone();
    stdin.insert("file".to_owned(), " ".to_owned());
    let mut planned = (SOURCE.connector)();
    planned.start(&file).unwrap();
    assert_eq!(planned.task_configs(3).unwrap().len(), 1);
    assert_eq!(connector.exactly_once_support(&file), Some(ExactlyOnceSupport::Supported));
    assert_eq!(connector.exactly_once_support(&stdin), Some(ExactlyOnceSupport::Unsupported));
    let map = |key: &str, value: Scalar| -> OffsetMap { vec![(key.to_owned(), value)] };
    let name = || map("filename", Scalar::String("x".to_owned()));
    let mut alter = |partition, offset| match connector.alter_offsets(&file, &[(partition, offset)])
    {
        Ok(done) => {
            assert!(done);
            String::new()
        }
        Err(error) => error.message,
    };
    assert_eq!(alter(name(), Some(map("position", Scalar::Int(3)))), "");
    assert_eq!(alter(map("f", Scalar::Null), None), "", "rubbish may be forgotten");
    for (partition, offset, expected) in [
        (name(), map("position", Scalar::Int(-3)), "should be a non-negative value"),
        (name(), map("position", Scalar::String("3".to_owned())), "expected to be a Long value"),
        (name(), map("pos", Scalar::Int(3)), "be null or contain the key 'position'"),
        (map("f", Scalar::Null), map("position", Scalar::Int(3)), "contain the key 'filename'"),
    ] {
        let said = alter(partition, Some(offset));
        assert!(said.contains(expected), "{said}");
    }
    let refused = connector.alter_offsets(&stdin, &[]).unwrap_err();
    assert!(refused.message.contains("stdin is used for input"), "{refused}");
}
