//! The sink over a store in memory: what is written, what is durable, and what a failing store does.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use millrace_api::LocalFuture;
use millrace_api::error::ErrorKind;
use millrace_api::record::{Origin, Record, TimestampType, TopicPartition};
use millrace_api::sink::{Offsets, SinkTaskContext};
use millrace_converters::{JsonText, Schema, SchemaAndValue, SchemaType, Struct, Value};
use millrace_net::rt;

use super::compression::Compression;
use super::field::FieldPath;
use super::format::Format;
use super::local::LocalStore;
use super::naming::Naming;
use super::partitioner::{Partitioner, TimePartitioner};
use super::path_format::{PathFormat, parse_zone};
use super::rotation::Rotation;
use super::sink::{NullValues, Settings, StorageSink};
use super::store::{MIN_PART_BYTES, Stamp, Store, StoreError};
use super::timestamp::TimestampExtractor;
use super::upload::RetryPolicy;
use crate::test_rig::on_a_core;

mod budget;
mod renamed;

/// Keeps objects in memory; fails as often as it is told.
#[derive(Default)]
struct MemoryStore {
    objects: RefCell<BTreeMap<String, Vec<u8>>>,
    uploads: RefCell<BTreeMap<String, BTreeMap<u32, Vec<u8>>>>,
    failures: Cell<u32>,
    fatal: Cell<bool>,
    /// Puts wait until this is false.
    stuck: Cell<bool>,
    /// Uploads are begun, but the answer does not come until this is false.
    silent: Cell<bool>,
    parts: Cell<u32>,
    aborted: Cell<u32>,
}

impl MemoryStore {
    async fn answer(&self) -> Result<(), StoreError> {
        while self.stuck.get() {
            rt::sleep(Duration::from_millis(1)).await;
        }
        if self.fatal.get() {
            return Err(StoreError::fatal("refused"));
        }
        if self.failures.get() > 0 {
            self.failures.set(self.failures.get() - 1);
            return Err(StoreError::transient("busy"));
        }
        Ok(())
    }

    fn text(&self, key: &str) -> String {
        let objects = self.objects.borrow();
        let object = objects.get(key).unwrap_or_else(|| panic!("no {key}: {:?}", objects.keys()));
        String::from_utf8(object.clone()).unwrap()
    }

    fn keys(&self) -> Vec<String> {
        self.objects.borrow().keys().cloned().collect()
    }
}

impl Store for MemoryStore {
    fn check(&self) -> LocalFuture<'_, Result<(), StoreError>> {
        Box::pin(self.answer())
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        body: Bytes,
        stamp: &'a Stamp,
    ) -> LocalFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.answer().await?;
            assert_eq!(stamp.bytes, body.len() as u64);
            self.objects.borrow_mut().insert(key.to_owned(), body.to_vec());
            Ok(())
        })
    }

    fn create<'a>(&'a self, key: &'a str) -> LocalFuture<'a, Result<String, StoreError>> {
        Box::pin(async move {
            self.answer().await?;
            self.uploads.borrow_mut().insert(key.to_owned(), BTreeMap::new());
            while self.silent.get() {
                rt::sleep(Duration::from_millis(1)).await;
            }
            Ok(key.to_owned())
        })
    }

    fn upload_part<'a>(
        &'a self,
        _: &'a str,
        upload: &'a str,
        number: u32,
        body: Bytes,
    ) -> LocalFuture<'a, Result<String, StoreError>> {
        Box::pin(async move {
            self.answer().await?;
            self.parts.set(self.parts.get() + 1);
            let mut uploads = self.uploads.borrow_mut();
            uploads.get_mut(upload).unwrap().insert(number, body.to_vec());
            Ok(format!("tag{number}"))
        })
    }

    fn complete<'a>(
        &'a self,
        key: &'a str,
        upload: &'a str,
        tags: &'a [String],
        stamp: &'a Stamp,
    ) -> LocalFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.answer().await?;
            let parts = self.uploads.borrow_mut().remove(upload).unwrap();
            let numbers: Vec<u32> = parts.keys().copied().collect();
            assert_eq!(numbers, (1..=tags.len() as u32).collect::<Vec<_>>());
            let last = parts.len();
            for (number, part) in &parts {
                assert!(part.len() >= MIN_PART_BYTES || *number as usize == last);
                assert_eq!(tags[*number as usize - 1], format!("tag{number}"));
            }
            let body: Vec<u8> = parts.into_values().flatten().collect();
            assert_eq!(stamp.bytes, body.len() as u64);
            self.objects.borrow_mut().insert(key.to_owned(), body);
            Ok(())
        })
    }

    fn abort<'a>(&'a self, _: &'a str, upload: &'a str) -> LocalFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.uploads.borrow_mut().remove(upload);
            self.aborted.set(self.aborted.get() + 1);
            Ok(())
        })
    }
}

fn base() -> Settings {
    Settings {
        partitioner: Partitioner::Default,
        rotation: Rotation { flush_size: Some(3), ..Rotation::default() },
        naming: Naming {
            topics_dir: "topics".to_owned(),
            directory_delim: "/".to_owned(),
            file_delim: "+".to_owned(),
            zero_pad_width: 10,
            extension: ".json".to_owned(),
            template: None,
        },
        format: Format::Json { decimal_numeric: false },
        compression: Compression::None,
        part_bytes: MIN_PART_BYTES,
        memory_bytes: 96 << 20,
        null_values: NullValues::Fail,
        report_nulls: true,
        tombstone_folder: "tombstone".to_owned(),
        retry: RetryPolicy {
            retries: 2,
            backoff: Duration::from_millis(1),
            pause: Duration::from_millis(20),
        },
    }
}

fn at(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

fn record<'a>(value: Value<'a>, partition: i32, offset: i64, time: i64) -> Record<'a> {
    Record {
        topic: "t",
        partition: Some(partition),
        timestamp: Some(time),
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

/// A sink over a store in memory, with partitions 0 and 1 from offset 0.
struct Rig {
    store: Rc<MemoryStore>,
    sink: StorageSink,
    context: Rc<SinkTaskContext>,
}

impl Rig {
    fn new(settings: Settings, reporter: bool) -> Self {
        let store = Rc::new(MemoryStore::default());
        let context = SinkTaskContext::new("c-0", reporter);
        let mut sink = StorageSink::new(Rc::clone(&store) as _, settings, Rc::clone(&context));
        sink.open(&Offsets::from([(at(0), 0), (at(1), 0)]));
        Self { store, sink, context }
    }

    /// Numbers as values, at these offsets and times.
    async fn put(&mut self, partition: i32, offsets: std::ops::Range<i64>) {
        self.put_at(partition, offsets, |_| 0).await;
    }

    async fn put_at(
        &mut self,
        partition: i32,
        offsets: std::ops::Range<i64>,
        time: impl Fn(i64) -> i64,
    ) {
        let records: Vec<_> =
            offsets.map(|n| record(Value::Int64(n), partition, n, time(n))).collect();
        self.sink.put(&records).await.unwrap();
    }

    fn durable(&mut self, consumed: i64) -> Option<i64> {
        self.sink.pre_commit(&Offsets::from([(at(0), consumed)])).unwrap().get(&at(0)).copied()
    }

    /// Waits until everything up to `offset` is durable.
    async fn until(&mut self, consumed: i64, offset: i64) {
        let limit = std::time::Instant::now() + Duration::from_secs(10);
        while self.durable(consumed) != Some(offset) {
            assert!(std::time::Instant::now() < limit, "{:?}", self.durable(consumed));
            rt::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[test]
fn files_of_flush_size_and_their_offsets() {
    on_a_core(|| async {
        let mut rig = Rig::new(base(), false);
        rig.put(0, 0..7).await;
        rig.until(7, 6).await;
        assert_eq!(
            rig.store.keys(),
            [
                "topics/t/partition=0/t+0+0000000000.json",
                "topics/t/partition=0/t+0+0000000003.json"
            ]
        );
        assert_eq!(rig.store.text("topics/t/partition=0/t+0+0000000003.json"), "3\n4\n5\n");
        // What was taken before is not taken again.
        rig.put(0, 4..8).await;
        rig.sink.finish().await.unwrap();
        assert_eq!(rig.durable(8), Some(8));
        assert_eq!(rig.store.text("topics/t/partition=0/t+0+0000000006.json"), "6\n7\n");
    });
}

#[test]
fn a_restart_writes_the_same_objects() {
    on_a_core(|| async {
        let mut rig = Rig::new(base(), false);
        rig.put(0, 0..5).await;
        rig.until(5, 3).await;
        let before = rig.store.keys();
        rig.sink.close(&[at(0)]).await;
        rig.sink.open(&Offsets::from([(at(0), 3)]));
        rig.put(0, 3..6).await;
        rig.until(6, 6).await;
        assert_eq!(rig.store.keys()[..1], before[..]);
        assert_eq!(rig.store.text("topics/t/partition=0/t+0+0000000003.json"), "3\n4\n5\n");
    });
}

#[test]
fn nothing_is_durable_while_a_file_is_open_or_under_way() {
    on_a_core(|| async {
        let mut rig = Rig::new(base(), false);
        assert_eq!(rig.durable(0), Some(0));
        rig.put(0, 0..2).await;
        assert_eq!(rig.durable(2), None);
        rig.store.stuck.set(true);
        rig.put(0, 2..4).await;
        rt::sleep(Duration::from_millis(5)).await;
        assert_eq!(rig.durable(4), None);
        rig.store.stuck.set(false);
        rig.until(4, 3).await;
    });
}

#[test]
fn large_files_go_out_in_parts_side_by_side() {
    on_a_core(|| async {
        let settings = Settings {
            rotation: Rotation { flush_size: Some(4000), ..Rotation::default() },
            ..base()
        };
        let mut rig = Rig::new(settings, false);
        let line = format!("\"{}\"", "x".repeat(4094));
        let text = JsonText::verbatim(line.as_bytes());
        for first in (0..4000).step_by(500) {
            let records: Vec<_> =
                (first..first + 500).map(|n| record(Value::Json(&text), 0, n, 0)).collect();
            rig.sink.put(&records).await.unwrap();
        }
        rig.until(4000, 4000).await;
        let object = rig.store.text("topics/t/partition=0/t+0+0000000000.json");
        assert_eq!(object.len(), 4000 * 4097);
        assert!(object.lines().all(|found| found == line));
        assert_eq!(rig.store.parts.get(), 4);
    });
}

#[test]
fn compressed_files_read_back() {
    use std::io::Read;
    for compression in [Compression::Gzip(1), Compression::Zstd(1)] {
        on_a_core(move || async move {
            let settings = Settings {
                compression,
                rotation: Rotation { flush_size: Some(30_000), ..Rotation::default() },
                ..base()
            };
            let mut rig = Rig::new(settings, false);
            rig.put(0, 0..60_000).await;
            rig.until(60_000, 60_000).await;
            assert_eq!(rig.store.keys().len(), 2);
            let object = rig.store.objects.borrow().values().nth(1).unwrap().clone();
            let mut text = String::new();
            if compression == Compression::Gzip(1) {
                flate2::read::GzDecoder::new(&object[..]).read_to_string(&mut text).unwrap();
            } else {
                let mut out = vec![0; 1 << 20];
                let length = zstd_safe::decompress(&mut out[..], &object).unwrap();
                text = String::from_utf8(out[..length].to_vec()).unwrap();
            }
            let expected: String = (30_000..60_000).map(|n| format!("{n}\n")).collect();
            assert!(text == expected);
        });
    }
}

#[test]
fn a_busy_store_is_waited_for_and_nothing_is_lost() {
    on_a_core(|| async {
        let mut rig = Rig::new(base(), false);
        rig.store.failures.set(5);
        rig.put(0, 0..3).await;
        let limit = std::time::Instant::now() + Duration::from_secs(10);
        let error = loop {
            assert!(std::time::Instant::now() < limit, "the trouble was not shown");
            if let Err(error) = rig.sink.put(&[]).await {
                break error;
            }
            rt::sleep(Duration::from_millis(1)).await;
        };
        assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Retriable, "busy"));
        assert_eq!(rig.context.take_timeout(), Some(Duration::from_millis(20)));
        rig.until(3, 3).await;
        rig.put(0, 3..6).await;
        rig.until(6, 6).await;
        assert_eq!(rig.store.text("topics/t/partition=0/t+0+0000000000.json"), "0\n1\n2\n");
    });
}

#[test]
fn a_refusing_store_fails_the_task() {
    on_a_core(|| async {
        let mut rig = Rig::new(base(), false);
        rig.store.fatal.set(true);
        rig.put(0, 0..3).await;
        let error = rig.sink.finish().await.unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Fatal, "refused"));
        assert!(rig.sink.pre_commit(&Offsets::from([(at(0), 3)])).is_err());
    });
}

#[test]
fn folders_by_field_are_committed_together() {
    on_a_core(|| async {
        let settings = Settings {
            partitioner: Partitioner::Field {
                fields: vec![FieldPath::new("c")],
                delim: "/".to_owned(),
            },
            rotation: Rotation { flush_size: Some(4), ..Rotation::default() },
            ..base()
        };
        let mut rig = Rig::new(settings, true);
        let texts: Vec<String> =
            ["a", "b", "a", "", "b"].iter().map(|c| format!("{{\"c\":\"{c}\"}}")).collect();
        let mut documents: Vec<_> =
            texts.iter().map(|text| JsonText::verbatim(text.as_bytes())).collect();
        documents[3] = JsonText::verbatim(b"{}");
        let records: Vec<_> = (0i64..)
            .zip(&documents)
            .map(|(offset, text)| record(Value::Json(text), 0, offset, 0))
            .collect();
        rig.sink.put(&records).await.unwrap();
        rig.until(5, 5).await;
        assert_eq!(
            rig.store.keys(),
            ["topics/t/c=a/t+0+0000000000.json", "topics/t/c=b/t+0+0000000001.json"]
        );
        let errant = rig.context.take_errant();
        assert_eq!((errant.len(), errant[0].index), (1, 3));
        assert!(errant[0].error.class.ends_with("PartitionException"));
    });
}

fn hourly() -> Partitioner {
    Partitioner::Time(TimePartitioner {
        duration_ms: 3_600_000,
        format: PathFormat::parse("'h'=HH").unwrap(),
        zone: parse_zone("UTC").unwrap(),
        extractor: TimestampExtractor::Record,
    })
}

#[test]
fn folders_by_record_time() {
    on_a_core(|| async {
        let rotation = Rotation { flush_size: Some(100), ..Rotation::default() };
        let settings = Settings { partitioner: hourly(), rotation, ..base() };
        let mut rig = Rig::new(settings, false);
        // Hours 0, 1, 0, 1, 0, 1.
        rig.put_at(0, 0..6, |n| (n % 2) * 3_600_000 + n).await;
        rig.sink.finish().await.unwrap();
        assert_eq!(rig.store.text("topics/t/h=00/t+0+0000000000.json"), "0\n2\n4\n");
        assert_eq!(rig.store.text("topics/t/h=01/t+0+0000000001.json"), "1\n3\n5\n");
    });
}

#[test]
fn rotation_by_record_time_and_change_of_folder() {
    on_a_core(|| async {
        let rotation = Rotation {
            interval_ms: Some(1_800_000),
            on_partition_change: true,
            ..Rotation::default()
        };
        let settings = Settings { partitioner: hourly(), rotation, ..base() };
        let mut rig = Rig::new(settings, false);
        // Every twelve minutes; half an hour passes at the fourth, the hour changes at the sixth.
        rig.put_at(0, 0..7, |n| n * 720_000).await;
        rig.until(7, 5).await;
        rig.sink.finish().await.unwrap();
        assert_eq!(
            rig.store.keys(),
            [
                "topics/t/h=00/t+0+0000000000.json",
                "topics/t/h=00/t+0+0000000003.json",
                "topics/t/h=01/t+0+0000000005.json",
            ]
        );
        assert_eq!(rig.store.text("topics/t/h=00/t+0+0000000003.json"), "3\n4\n");
    });
}

#[test]
fn a_new_schema_begins_a_new_file() {
    on_a_core(|| async {
        let mut rig = Rig::new(base(), false);
        let schema = || Schema::new(SchemaType::Int64);
        let schemas = [schema(), schema(), schema().optional()];
        for (offset, schema) in (0i64..).zip(&schemas) {
            let mut record = record(Value::Int64(offset), 0, offset, 0);
            record.value.schema = Some(schema);
            rig.sink.put(&[record]).await.unwrap();
        }
        rig.sink.finish().await.unwrap();
        assert_eq!(rig.store.text("topics/t/partition=0/t+0+0000000000.json"), "0\n1\n");
        assert_eq!(rig.store.text("topics/t/partition=0/t+0+0000000002.json"), "2\n");
    });
}

#[test]
fn null_values() {
    on_a_core(|| async {
        let mut rig = Rig::new(base(), false);
        let null = [record(Value::Null, 0, 0, 0)];
        let error = rig.sink.put(&null).await.unwrap_err();
        assert!(error.message.contains("behavior.on.null.values"));

        let mut rig = Rig::new(Settings { null_values: NullValues::Ignore, ..base() }, true);
        rig.sink.put(&null).await.unwrap();
        assert_eq!(rig.durable(1), Some(1));
        assert_eq!(rig.context.take_errant().len(), 1);

        let mut rig = Rig::new(Settings { null_values: NullValues::Write, ..base() }, false);
        rig.put(0, 0..1).await;
        rig.sink.put(&[record(Value::Null, 0, 1, 0)]).await.unwrap();
        rig.put(0, 2..3).await;
        rig.until(3, 3).await;
        assert_eq!(rig.store.text("topics/t/tombstone/t+0+0000000001.json"), "null\n");
        assert_eq!(rig.store.text("topics/t/partition=0/t+0+0000000000.json"), "0\n2\n");
    });
}

#[test]
fn a_record_that_cannot_be_written() {
    on_a_core(|| async {
        let schema = Schema::new(SchemaType::Struct);
        let record_of = Struct { schema: &schema, values: &[] };
        let format = Format::Bytes { separator: b"|".to_vec(), extension: ".bin".to_owned() };
        let mut rig = Rig::new(Settings { format, ..base() }, false);
        let records =
            [record(Value::Bytes(b"\x00\n"), 0, 0, 0), record(Value::Struct(&record_of), 0, 1, 0)];
        let error = rig.sink.put(&records).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Fatal);
        assert!(error.message.contains("t-0 offset 1"), "{}", error.message);
        rig.sink.finish().await.unwrap();
        assert_eq!(rig.store.text("topics/t/partition=0/t+0+0000000000.json"), "\0\n|");
    });
}

#[test]
fn memory_stays_within_the_budget() {
    on_a_core(|| async {
        let settings = Settings {
            memory_bytes: 24 << 20,
            part_bytes: 12 << 20,
            rotation: Rotation { flush_size: Some(1_000_000), ..Rotation::default() },
            ..base()
        };
        let mut rig = Rig::new(settings, false);
        let line = format!("\"{}\"", "x".repeat(8190));
        let text = JsonText::verbatim(line.as_bytes());
        let most = (24 << 20) + 1024 * 8193;
        for n in 0..60 {
            let partition = n % 2;
            let first = i64::from(n / 2) * 100;
            let records: Vec<_> = (first..first + 100)
                .map(|offset| record(Value::Json(&text), partition, offset, 0))
                .collect();
            rig.sink.put(&records).await.unwrap();
            assert!(rig.sink.memory_in_use() <= most, "{}", rig.sink.memory_in_use());
        }
        rig.sink.finish().await.unwrap();
        let objects = rig.store.objects.borrow();
        assert_eq!(objects.len(), 2, "files were not completed early");
        assert_eq!(objects.values().map(Vec::len).sum::<usize>(), 60 * 100 * 8193);
    });
}

/// A large file for each value of `c`.
fn a_file_each(memory_bytes: usize) -> Settings {
    Settings {
        memory_bytes,
        partitioner: Partitioner::Field {
            fields: vec![FieldPath::new("c")],
            delim: "/".to_owned(),
        },
        rotation: Rotation { flush_size: Some(1_000_000), ..Rotation::default() },
        ..base()
    }
}

#[test]
fn too_many_small_files_are_completed_early() {
    on_a_core(|| async {
        let mut rig = Rig::new(a_file_each(8 << 20), false);
        let texts: Vec<String> = (0..2000).map(|n| format!("{{\"c\":{n}}}")).collect();
        let documents: Vec<_> =
            texts.iter().map(|text| JsonText::verbatim(text.as_bytes())).collect();
        let records: Vec<_> = (0i64..)
            .zip(&documents)
            .map(|(offset, text)| record(Value::Json(text), 0, offset, 0))
            .collect();
        rig.sink.put(&records).await.unwrap();
        assert!(rig.sink.memory_in_use() <= 8 << 20);
        rig.sink.finish().await.unwrap();
        assert_eq!(rig.durable(2000), Some(2000));
        assert_eq!(rig.store.keys().len(), 2000);
    });
}

/// A sink to which as much was given as makes one part.
async fn rig_with_a_part(silent: bool) -> Rig {
    let rotation = Rotation { flush_size: Some(100_000), ..Rotation::default() };
    let mut rig = Rig::new(Settings { rotation, ..base() }, false);
    rig.store.silent.set(silent);
    let line = format!("\"{}\"", "x".repeat(8190));
    let text = JsonText::verbatim(line.as_bytes());
    let records: Vec<_> =
        (0..1000).map(|offset| record(Value::Json(&text), 0, offset, 0)).collect();
    rig.sink.put(&records).await.unwrap();
    rig
}

#[test]
fn giving_partitions_up_aborts_an_upload_that_is_just_being_begun() {
    on_a_core(|| async {
        let mut rig = rig_with_a_part(true).await;
        let limit = std::time::Instant::now() + Duration::from_secs(10);
        while rig.store.uploads.borrow().is_empty() {
            assert!(std::time::Instant::now() < limit);
            rt::sleep(Duration::from_millis(1)).await;
        }
        let store = Rc::clone(&rig.store);
        let answer = rt::spawn(async move {
            rt::sleep(Duration::from_millis(20)).await;
            store.silent.set(false);
        });
        rig.sink.close(&[at(0), at(1)]).await;
        answer.await;
        assert_eq!(rig.store.aborted.get(), 1);
        assert!(rig.store.uploads.borrow().is_empty());
    });
}

#[test]
fn giving_partitions_up_aborts_their_uploads() {
    on_a_core(|| async {
        let mut rig = rig_with_a_part(false).await;
        let limit = std::time::Instant::now() + Duration::from_secs(10);
        while rig.store.parts.get() == 0 {
            assert!(std::time::Instant::now() < limit);
            rt::sleep(Duration::from_millis(1)).await;
        }
        rig.sink.close(&[at(0), at(1)]).await;
        assert_eq!(rig.store.aborted.get(), 1);
        assert!(rig.store.uploads.borrow().is_empty() && rig.store.objects.borrow().is_empty());
        assert_eq!(rig.sink.memory_in_use(), 0);
    });
}

#[test]
fn a_local_folder_holds_the_same_layout() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_owned();
    on_a_core(move || async move {
        let store = Rc::new(LocalStore::new(root.join("bucket")));
        store.check().await.unwrap();
        let context = SinkTaskContext::new("c-0", false);
        let rotation = Rotation { flush_size: Some(2000), ..Rotation::default() };
        let mut sink = StorageSink::new(store, Settings { rotation, ..base() }, context);
        sink.open(&Offsets::from([(at(0), 0)]));
        let line = format!("\"{}\"", "x".repeat(8190));
        let text = JsonText::verbatim(line.as_bytes());
        for round in 0..2 {
            let records: Vec<_> =
                (0..2001).map(|offset| record(Value::Json(&text), 0, offset, 0)).collect();
            sink.put(&records).await.unwrap();
            if round == 0 {
                // The same again, over what is there.
                sink.close(&[at(0)]).await;
                sink.open(&Offsets::from([(at(0), 0)]));
            }
        }
        sink.finish().await.unwrap();
        let folder = root.join("bucket/topics/t/partition=0");
        let mut names: Vec<_> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["t+0+0000000000.json", "t+0+0000002000.json"]);
        let content = std::fs::read_to_string(folder.join(&names[0])).unwrap();
        assert_eq!(content.lines().count(), 2000);
        assert!(content.lines().all(|found| found == line));
        let durable = sink.pre_commit(&Offsets::from([(at(0), 2001)])).unwrap();
        assert_eq!(durable.get(&at(0)), Some(&2001));
    });
}
