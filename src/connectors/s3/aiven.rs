//! The keys of Aiven's S3 sink, read as ours.
//!
//! Aiven's connector writes what it has at every offset commit; here files are completed every
//! `offset.flush.interval.ms`'s default of 60 s by the wall clock, or at `file.max.records`. Built in is
//! its JSON lines of plain values (`format.output.type=jsonl`, `format.output.fields=value`,
//! `format.output.envelope=false`); the other combinations are refused.

use millrace_api::Config;
use millrace_api::config_def::DefaultValue::{Null, Of, Required};
use millrace_api::config_def::{ConfigDef, ConfigError, Importance, Parsed, Type, Validator};

use super::config::{self, StoreConfig};
use crate::storage::config::Group;
use crate::storage::naming::Template;
use crate::storage::sink::Settings;

const FORMATS: &[&str] = &["jsonl"];
const FIELDS: &[&str] = &["value"];
const ENVELOPE: &[&str] = &["false"];
const COMPRESSIONS: &[&str] = &["none", "gzip", "zstd"];
const DEFAULT_TEMPLATE: &str = "{{topic}}-{{partition}}-{{start_offset}}";

/// Aiven's key, ours.
const SAME: &[(&str, &str)] = &[
    ("aws.s3.bucket.name", "s3.bucket.name"),
    ("aws.s3.region", "s3.region"),
    ("aws.s3.endpoint", "store.url"),
    ("aws.access.key.id", "aws.access.key.id"),
    ("aws.secret.access.key", "aws.secret.access.key"),
    ("aws.s3.part.size.bytes", "s3.part.size"),
    ("aws.s3.sse.algorithm", "s3.ssea.name"),
    ("aws.s3.backoff.delay.ms", "s3.retry.backoff.ms"),
    ("aws.s3.backoff.max.retries", "s3.part.retries"),
    ("kafka.retry.backoff.ms", "retry.backoff.ms"),
    ("file.compression.type", "s3.compression.type"),
    ("millrace.memory.bytes", "millrace.memory.bytes"),
];

/// Aiven's keys, a row each.
#[rustfmt::skip]
pub fn config_def() -> ConfigDef {
    use Importance::{High, Low, Medium};
    let def = Group::new(ConfigDef::new(), "AWS")
        .key("aws.s3.bucket.name", Type::String, Required, High,
            "Bucket", "The S3 bucket.", Validator::NonEmpty)
        .key("aws.access.key.id", Type::Password, Of(""), Medium,
            "Access key", "The AWS access key ID.", Validator::None)
        .key("aws.secret.access.key", Type::Password, Null, Medium,
            "Secret key", "The secret access key.", Validator::None)
        .key("aws.s3.region", Type::String, Of("us-east-1"), Medium,
            "Region", "The AWS region.", Validator::NonEmpty)
        .key("aws.s3.endpoint", Type::String, Null, Low,
            "Endpoint", "The endpoint, if it is not Amazon's; file:///folder for a local folder.",
            Validator::None)
        .key("aws.s3.part.size.bytes", Type::Int, Of("5242880"), Medium,
            "Part size", "The part size of multipart uploads.", Validator::AtLeast(5 << 20))
        .key("aws.s3.sse.algorithm", Type::String, Of(""), Medium,
            "Encryption", "The server-side encryption algorithm.",
            Validator::OneOf(&["", "AES256", "aws:kms", "aws:kms:dsse"]))
        .key("aws.s3.backoff.delay.ms", Type::Long, Of("100"), Medium,
            "Backoff", "The wait before the first retry.", Validator::AtLeast(1))
        .key("aws.s3.backoff.max.delay.ms", Type::Long, Of("20000"), Medium,
            "Longest backoff", "Accepted for compatibility; the longest wait is 20 s.",
            Validator::AtLeast(1))
        .key("aws.s3.backoff.max.retries", Type::Int, Of("3"), Medium,
            "Retries", "Retries of a failed request.", Validator::Between(0, 30))
        .done();
    Group::new(def, "File")
        .key("file.name.template", Type::String, Null, Medium, "File name template",
            "The template of file names; {{topic}}, {{partition}} and {{start_offset}} must be in it.",
            Validator::None)
        .key("file.name.prefix", Type::String, Of(""), Medium, "Prefix", "What names begin with.",
            Validator::None)
        .key("aws.s3.prefix", Type::String, Of(""), Low, "Prefix", "The older file.name.prefix.",
            Validator::None)
        .key("file.compression.type", Type::String, Of("gzip"), Medium, "Compression",
            "none, gzip or zstd.", Validator::OneOf(COMPRESSIONS))
        .key("file.max.records", Type::Int, Of("0"), Medium, "Records",
            "Most records of a file; 0 is no limit.", Validator::AtLeast(0))
        .key("format.output.type", Type::String, Of("jsonl"), Medium, "Format",
            "jsonl; the other formats are not built in (the original's default is csv).",
            Validator::OneOf(FORMATS))
        .key("format.output.fields", Type::List, Of("value"), Medium, "Fields",
            "value; the other fields are not built in.", Validator::OneOf(FIELDS))
        .key("format.output.envelope", Type::Boolean, Of("false"), Medium, "Envelope",
            "false; the envelope is not built in (the original's default is true).",
            Validator::OneOf(ENVELOPE))
        .key("kafka.retry.backoff.ms", Type::Long, Of("5000"), Medium, "Retry backoff",
            "The pause before a batch is tried again after its retries were used up.",
            Validator::AtLeast(1))
        .key("millrace.memory.bytes", Type::Long, Of("100663296"), Medium, "Memory",
            "Bytes that buffers of one task may take.", Validator::AtLeast(8 << 20))
        .done()
}

/// For the plug-in.
pub fn validate(config: &Config) -> Vec<ConfigError> {
    match config_def().parse(config) {
        Ok(values) => read(&values).err().unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}

/// Everything, or all that is wrong.
pub fn parse(config: &Config) -> Result<(Settings, StoreConfig), Vec<ConfigError>> {
    read(&config_def().parse(config)?)
}

fn read(values: &Parsed) -> Result<(Settings, StoreConfig), Vec<ConfigError>> {
    let mut ours = Config::new();
    for (theirs, name) in SAME {
        if let Some(value) = values.get(theirs) {
            ours.insert((*name).to_owned(), value.to_owned());
        }
    }
    for (name, value) in [
        ("format.class", "JsonFormat"),
        ("rotate.schedule.interval.ms", "60000"),
        ("timezone", "UTC"),
        ("behavior.on.null.values", "ignore"),
        ("enable.conditional.writes", "false"),
    ] {
        ours.insert(name.to_owned(), value.to_owned());
    }
    if values.long("file.max.records") > 0 {
        ours.insert("flush.size".to_owned(), values.string("file.max.records").to_owned());
    }
    let (mut settings, store) = config::parse(&ours).map_err(in_their_words)?;
    let prefix = match values.string("file.name.prefix") {
        "" => values.string("aws.s3.prefix"),
        prefix => prefix,
    };
    let given = values.get("file.name.template");
    let template = given.unwrap_or(DEFAULT_TEMPLATE);
    settings.naming.extension = match given {
        Some(_) => String::new(),
        None => settings.compression.extension().to_owned(),
    };
    settings.naming.template = Some(
        Template::parse(prefix, template)
            .map_err(|why| vec![ConfigError::invalid("file.name.template", template, &why)])?,
    );
    Ok((settings, store))
}

fn in_their_words(mut errors: Vec<ConfigError>) -> Vec<ConfigError> {
    for error in &mut errors {
        if let Some((theirs, ours)) = SAME.iter().find(|(_, ours)| *ours == error.key) {
            error.message = error.message.replace(ours, theirs);
            error.key = (*theirs).to_owned();
        }
    }
    errors
}
