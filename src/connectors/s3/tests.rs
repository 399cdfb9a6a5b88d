//! The configuration: what is refused, and how it is said.

use millrace_api::Config;
use millrace_api::config_def::ConfigError;

use super::config::{self, Place};
use super::credentials::Source;
use super::{CONFLUENT, aiven};
use crate::storage::compression::Compression;
use crate::storage::partitioner::Partitioner;
use crate::storage::timestamp::TimestampExtractor;

fn with(pairs: &[(&str, &str)]) -> Config {
    let mut config: Config = [
        ("s3.bucket.name", "bucket"),
        ("format.class", "io.confluent.connect.s3.format.json.JsonFormat"),
        ("storage.class", "io.confluent.connect.s3.storage.S3Storage"),
        ("flush.size", "1000"),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect();
    for (key, value) in pairs {
        config.insert((*key).to_owned(), (*value).to_owned());
    }
    config
}

fn errors(pairs: &[(&str, &str)]) -> Vec<ConfigError> {
    config::parse(&with(pairs)).map(|_| ()).unwrap_err()
}

/// The one error of that configuration: on `key`, with `text` in its message.
fn refuses(pairs: &[(&str, &str)], key: &str, text: &str) {
    let errors = errors(pairs);
    assert!(
        errors.iter().any(|error| error.key == key && error.message.contains(text)),
        "{pairs:?}: {errors:?}"
    );
}

#[test]
fn what_must_be_there() {
    let missing = config::parse(&Config::new()).map(|_| ()).unwrap_err();
    let keys: Vec<_> = missing.iter().map(|error| error.key.as_str()).collect();
    assert_eq!(keys, ["format.class", "s3.bucket.name"]);
    let mut config = with(&[]);
    config.remove("flush.size");
    let errors = config::parse(&config).map(|_| ()).unwrap_err();
    assert_eq!(errors[0].key, "flush.size");
    config.insert("millrace.rotate.bytes".to_owned(), "1000000".to_owned());
    assert!(config::parse(&config).is_ok());
}

#[test]
fn single_keys() {
    refuses(&[("s3.part.size", "5242879")], "s3.part.size", "at least: 5242880");
    refuses(&[("format.class", "x.AvroFormat")], "format.class", "JsonFormat");
    refuses(&[("format.class", "x.XmlFormat")], "format.class", "no such format");
    refuses(&[("partitioner.class", "x.My")], "partitioner.class", "HourlyPartitioner");
    refuses(&[("timezone", "Mars")], "timezone", "not recognised");
    refuses(&[("rotate.interval.ms", "0")], "rotate.interval.ms", "positive");
    refuses(&[("s3.compression.type", "lz4")], "s3.compression.type", "none, gzip, zstd");
    refuses(&[("behavior.on.null.values", "drop")], "behavior.on.null.values", "FAIL");
    refuses(&[("schema.compatibility", "FULL")], "schema.compatibility", "NONE");
    refuses(&[("store.kafka.keys", "true")], "store.kafka.keys", "not built in");
    refuses(&[("s3.acl.canned", "open")], "s3.acl.canned", "private");
    refuses(&[("flush.size", "0")], "flush.size", "at least 1");
    refuses(&[("timestamp.extractor", "Mine")], "timestamp.extractor", "RecordField");
}

#[test]
fn keys_together() {
    refuses(&[("rotate.schedule.interval.ms", "60000")], "timezone", "timezone must be set");
    let time = "io.confluent.connect.storage.partitioner.TimeBasedPartitioner";
    refuses(&[("partitioner.class", time)], "partition.duration.ms", "positive");
    let base = [("partitioner.class", time), ("partition.duration.ms", "3600000")];
    let and = |more: &[(&'static str, &'static str)]| [&base[..], more].concat();
    refuses(&base, "path.format", "cannot be empty");
    refuses(&and(&[("path.format", "year=YYYY")]), "path.format", "Illegal pattern");
    refuses(&and(&[("path.format", "YYYY")]), "locale", "Locale cannot be empty");
    refuses(&and(&[("path.format", "YYYY"), ("locale", "en")]), "timezone", "cannot be empty");
    let names = [("path.format", "MMM"), ("locale", "de-DE"), ("timezone", "UTC")];
    refuses(&and(&names), "locale", "English");
    refuses(&[("partitioner.class", "FieldPartitioner")], "partition.field.name", "at least one");
    let empty = [("partitioner.class", "FieldPartitioner"), ("partition.field.name", "a..b")];
    refuses(&empty, "partition.field.name", "path segment");
    refuses(&[("aws.access.key.id", "a")], "aws.secret.access.key", "together");
    refuses(&[("s3.wan.mode", "true")], "s3.path.style.access.enabled", "mutually exclusive");
    refuses(&[("s3.sse.kms.key.id", "k")], "s3.sse.kms.key.id", "aws:kms");
    refuses(&[("s3.sse.customer.key", "short")], "s3.sse.customer.key", "32 bytes");
    let level = [("s3.compression.type", "gzip"), ("s3.compression.level", "12")];
    refuses(&level, "s3.compression.level", "0 to 9");
    refuses(&[("s3.part.size", "104857600")], "s3.part.size", "millrace.memory.bytes");
    refuses(&[("store.url", "ftp://x")], "store.url", "neither http nor https");
    refuses(&[("store.url", "file://data")], "store.url", "absolute");
    let bytes = [("format.class", "ByteArrayFormat"), ("behavior.on.null.values", "write")];
    refuses(&bytes, "behavior.on.null.values", "ByteArrayFormat");
}

#[test]
fn a_secret_is_not_repeated() {
    let errors = errors(&[("s3.sse.customer.key", "hush"), ("aws.secret.access.key", "hush2")]);
    assert!(!errors.is_empty());
    assert!(errors.iter().all(|error| !error.message.contains("hush")), "{errors:?}");
}

#[test]
fn what_users_have() {
    let (settings, store) = config::parse(&with(&[
        ("s3.region", "eu-central-1"),
        ("s3.compression.type", "gzip"),
        ("partitioner.class", "io.confluent.connect.storage.partitioner.TimeBasedPartitioner"),
        ("path.format", "'year'=YYYY/'month'=MM/'day'=dd/'hour'=HH/"),
        ("partition.duration.ms", "3600000"),
        ("locale", "US"),
        ("timezone", "Europe/Berlin"),
        ("timestamp.extractor", "RecordField"),
        ("timestamp.field", "meta.time"),
        ("rotate.schedule.interval.ms", "600000"),
        ("s3.ssea.name", "aws:kms"),
        ("s3.sse.kms.key.id", "key"),
    ]))
    .unwrap();
    assert_eq!(settings.compression, Compression::Gzip(6));
    assert_eq!(settings.naming.extension, ".json.gz");
    assert_eq!(settings.part_bytes, 26_214_400);
    let Partitioner::Time(partitioner) = &settings.partitioner else { panic!() };
    assert_eq!(
        partitioner.extractor,
        TimestampExtractor::parse("RecordField", "meta.time").unwrap()
    );
    let mut folder = String::new();
    partitioner.encode(1_700_000_000_000, &mut folder).unwrap();
    assert_eq!(folder, "year=2023/month=11/day=14/hour=23");
    let Place::S3 { endpoint, path_style, .. } = &store.place else { panic!() };
    assert_eq!(endpoint.host, "s3.eu-central-1.amazonaws.com");
    assert!(*path_style && store.conditional);
    assert_eq!(store.credentials, Source::Chain);
    assert_eq!(store.object_headers.len(), 2);
}

#[test]
fn aivens_keys() {
    let config = |pairs: &[(&str, &str)]| -> Config {
        [("aws.s3.bucket.name", "bucket"), ("aws.s3.endpoint", "http://127.0.0.1:9000")]
            .iter()
            .chain(pairs)
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    let (settings, store) = aiven::parse(&config(&[("file.name.prefix", "p/")])).unwrap();
    assert_eq!(settings.naming.key("t", "", 1, 2), "p/t-1-2.gz");
    assert_eq!(store.bucket, "bucket");
    let errors = aiven::parse(&config(&[("file.name.template", "{{key}}")])).map(|_| ());
    assert_eq!(errors.unwrap_err()[0].key, "file.name.template");
    let errors = aiven::parse(&config(&[("format.output.type", "parquet")])).map(|_| ());
    assert!(errors.unwrap_err()[0].message.contains("jsonl"));
    let errors = aiven::parse(&config(&[("aws.secret.access.key", "s")])).map(|_| ());
    assert_eq!(errors.unwrap_err()[0].key, "aws.access.key.id");
}

#[test]
fn the_definition_is_complete() {
    let def = (CONFLUENT.config_def)();
    let mut names: Vec<_> = def.keys.iter().map(|key| key.name.as_str()).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all, "a key is defined twice");
    for key in &def.keys {
        assert!(key.group.is_some() && !key.documentation.is_empty(), "{}", key.name);
        if let millrace_api::config_def::DefaultValue::Of(_) = key.default {
            key.parse(None).unwrap_or_else(|error| panic!("{}", error.message));
        }
    }
}
