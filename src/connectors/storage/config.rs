//! The keys that every storage sink has (`StorageSinkConnectorConfig`, `PartitionerConfig`,
//! `StorageCommonConfig`), and their way into [`Settings`].

use std::time::Duration;

use millrace_api::config_def::DefaultValue::{Null, Of, Required};
use millrace_api::config_def::{
    ConfigDef, ConfigError, ConfigKey, DefaultValue, Importance, Parsed, Type, Validator, Width,
};

use super::compression::Compression;
use super::field::FieldPath;
use super::format::{Format, parse_separator};
use super::naming::Naming;
use super::partitioner::{PACKAGE, Partitioner, TimePartitioner};
use super::path_format::{PathFormat, parse_zone};
use super::rotation::{Rotation, Schedule};
use super::sink::{NullValues, Settings};
use super::timestamp::TimestampExtractor;
use super::upload::RetryPolicy;

/// Adds keys of one group, numbered in order.
pub struct Group {
    def: ConfigDef,
    name: &'static str,
    order: i32,
}

/// Said of keys that change nothing here.
pub const NO_EFFECT: &str = "Accepted for compatibility; has no effect.";

impl Group {
    pub fn new(def: ConfigDef, name: &'static str) -> Self {
        Self { def, name, order: 0 }
    }

    /// One key: name, type, default, importance, display name, documentation, check.
    #[must_use]
    #[expect(clippy::too_many_arguments, reason = "a row of a table")]
    pub fn key(
        mut self,
        name: &'static str,
        type_: Type,
        default: DefaultValue,
        importance: Importance,
        display: &'static str,
        documentation: &'static str,
        check: Validator,
    ) -> Self {
        self.order += 1;
        let width = match type_ {
            Type::String | Type::Class | Type::List | Type::Password => Width::Long,
            _ => Width::Medium,
        };
        let key = ConfigKey::new(name, type_, default, importance, documentation)
            .check(check)
            .group(self.name, self.order, width, display);
        self.def = self.def.define(key);
        self
    }

    pub fn done(self) -> ConfigDef {
        self.def
    }
}

fn check_minus_one_or_positive(text: &str) -> Result<(), String> {
    match text.parse::<i64>() {
        Ok(-1) => Ok(()),
        Ok(value) if value > 0 => Ok(()),
        _ => Err("must be positive, or -1 for off".to_owned()),
    }
}

const OFF_OR_POSITIVE: Validator = Validator::Custom(check_minus_one_or_positive);

fn check_format(class: &str) -> Result<(), String> {
    match simple(class) {
        "JsonFormat" | "ByteArrayFormat" => Ok(()),
        "AvroFormat" | "ParquetFormat" => Err(
            "this format is not built in yet; use io.confluent.connect.s3.format.json.JsonFormat or \
             io.confluent.connect.s3.format.bytearray.ByteArrayFormat"
                .to_owned(),
        ),
        _ => Err("no such format; one of io.confluent.connect.s3.format.json.JsonFormat, \
                  io.confluent.connect.s3.format.bytearray.ByteArrayFormat"
            .to_owned()),
    }
}

fn check_partitioner(class: &str) -> Result<(), String> {
    match simple(class) {
        "DefaultPartitioner"
        | "FieldPartitioner"
        | "TimeBasedPartitioner"
        | "DailyPartitioner"
        | "HourlyPartitioner" => Ok(()),
        _ => Err(format!(
            "no such partitioner; one of {PACKAGE}.{{DefaultPartitioner, FieldPartitioner, \
             TimeBasedPartitioner, DailyPartitioner, HourlyPartitioner}}"
        )),
    }
}

fn check_zone(id: &str) -> Result<(), String> {
    if id.is_empty() { Ok(()) } else { parse_zone(id).map(|_| ()) }
}

fn check_extractor(name: &str) -> Result<(), String> {
    TimestampExtractor::parse(name, "").map(|_| ())
}

fn check_separator(text: &str) -> Result<(), String> {
    parse_separator(text).map(|_| ())
}

/// The class' name without its package.
pub fn simple(class: &str) -> &str {
    class.rsplit('.').next().unwrap_or(class)
}

/// The group "Connector".
#[rustfmt::skip]
pub fn define_connector(def: ConfigDef) -> ConfigDef {
    use Importance::{High, Low, Medium};
    let def = Group::new(def, "Connector")
        .key("format.class", Type::Class, Required, High, "Format class",
            "The format class to use when writing data to the store: JsonFormat or ByteArrayFormat.",
            Validator::Custom(check_format))
        .key("flush.size", Type::Int, Null, High, "Flush Size",
            "Number of records written to store before invoking file commits. May be left out if \
             another rotation is set.",
            Validator::AtLeast(1))
        .key("rotate.interval.ms", Type::Long, Of("-1"), High, "Rotate Interval (ms)",
            "The time interval in milliseconds of record time, by the partitioner's timestamp \
             extractor, after which files are committed. Needs a time-based partitioner. -1 is off.",
            OFF_OR_POSITIVE)
        .key("rotate.schedule.interval.ms", Type::Long, Of("-1"), Medium,
            "Rotate Schedule Interval (ms)",
            "The time interval in milliseconds of the wall clock at which files are committed, counted \
             from 00:00 in the configured timezone. Files are then cut by when records come, so that a \
             restart may write records twice. -1 is off.",
            OFF_OR_POSITIVE)
        .key("millrace.rotate.bytes", Type::Long, Of("-1"), Medium, "Rotate Bytes",
            "Bytes, before compression, written for a topic partition before invoking file commits. \
             -1 is off.",
            OFF_OR_POSITIVE)
        .key("rotate.file.on.partition.change", Type::Boolean, Of("true"), Low,
            "Rotate files on partition change",
            "With rotate.interval.ms: commit files when a record belongs to another folder than the \
             record before it.",
            Validator::None)
        .key("millrace.memory.bytes", Type::Long, Of("100663296"), Medium, "Memory",
            "Bytes that the buffers of open files and of uploads under way may take, of one task. Above \
             it large buffers are uploaded before they are full; if that does not help, files are \
             committed before their time.",
            Validator::AtLeast(8 << 20))
        .key("schemas.cache.config", Type::Int, Of("1000"), Low, "Schema Cache Size", NO_EFFECT,
            Validator::None)
        .key("enhanced.avro.schema.support", Type::Boolean, Of("true"), Low,
            "Enhanced Avro Support", NO_EFFECT, Validator::None)
        .key("connect.meta.data", Type::Boolean, Of("true"), Low, "Connect Metadata", NO_EFFECT,
            Validator::None)
        .key("retry.backoff.ms", Type::Long, Of("5000"), Low, "Retry Backoff (ms)",
            "The pause in milliseconds before a batch is tried again after its retries were used up.",
            Validator::AtLeast(1))
        .key("shutdown.timeout.ms", Type::Long, Of("3000"), Medium, "Shutdown Timeout (ms)",
            NO_EFFECT, Validator::None)
        .key("filename.offset.zero.pad.width", Type::Int, Of("10"), Low,
            "Filename Offset Zero Pad Width",
            "Width to zero pad offsets in file names, so that names sort as offsets do.",
            Validator::Between(0, 20))
        .key("avro.codec", Type::String, Of("null"), Low, "Avro Compression Codec", NO_EFFECT,
            Validator::OneOf(&["null", "deflate", "snappy", "bzip2"]))
        .key("parquet.codec", Type::String, Of("snappy"), Low, "Parquet Compression Codec",
            NO_EFFECT, Validator::None)
        .key("allow.optional.map.keys", Type::Boolean, Of("false"), Low, "Allow Optional Map Keys",
            NO_EFFECT, Validator::None)
        .key("schema.compatibility", Type::String, Of("NONE"), High, "Schema Compatibility",
            "What to do when a record's schema differs from its file's: NONE begins new files.",
            Validator::OneOfIgnoreCase(&["NONE"]))
        .done();
    define_formats(def)
}

/// The group "Formats".
#[rustfmt::skip]
fn define_formats(def: ConfigDef) -> ConfigDef {
    use Importance::Low;
    Group::new(def, "Formats")
        .key("format.bytearray.extension", Type::String, Of(".bin"), Low,
            "Output file extension for ByteArrayFormat",
            "Output file extension for ByteArrayFormat.", Validator::None)
        .key("format.bytearray.separator", Type::String, Null, Low,
            "Line separator ByteArrayFormat",
            "Bytes after each record for ByteArrayFormat; \\n by default. May hold the escapes \\n \\r \
             \\t \\\\ \\uXXXX.",
            Validator::Custom(check_separator))
        .key("json.decimal.format", Type::String, Of("BASE64"), Low, "Decimal Format",
            "How JsonFormat writes decimals: BASE64 or NUMERIC.",
            Validator::OneOfIgnoreCase(&["BASE64", "NUMERIC"]))
        .done()
}

/// The groups "Storage" and "Partitioner".
#[rustfmt::skip]
pub fn define_storage(def: ConfigDef) -> ConfigDef {
    use Importance::{High, Low, Medium};
    let def = Group::new(def, "Storage")
        .key("storage.class", Type::Class, Null, High, "Storage Class",
            "The underlying storage layer; the connector knows its own.", Validator::None)
        .key("topics.dir", Type::String, Of("topics"), High, "Topics directory",
            "Top level directory to store the data ingested from Kafka.", Validator::None)
        .key("store.url", Type::String, Null, High, "Store URL",
            "Store's connection URL, if it is not Amazon's. With file:///folder the objects are files \
             of a local folder.",
            Validator::None)
        .key("directory.delim", Type::String, Of("/"), Medium, "Directory Delimiter",
            "Directory delimiter pattern.", Validator::NonEmpty)
        .key("file.delim", Type::String, Of("+"), Medium, "File Delimiter",
            "File delimiter pattern.", Validator::None)
        .done();
    Group::new(def, "Partitioner")
        .key("partitioner.class", Type::Class,
            Of("io.confluent.connect.storage.partitioner.DefaultPartitioner"), High,
            "Partitioner Class",
            "The partitioner to use when writing data to the store: DefaultPartitioner, \
             FieldPartitioner, TimeBasedPartitioner, DailyPartitioner or HourlyPartitioner.",
            Validator::Custom(check_partitioner))
        .key("partition.field.name", Type::List, Of(""), Medium, "Partition Field Name",
            "The names of the fields that FieldPartitioner makes folders of; dots reach into nested \
             fields.",
            Validator::None)
        .key("partition.duration.ms", Type::Long, Of("-1"), Medium, "Partition Duration (ms)",
            "The duration of a TimeBasedPartitioner's folder in milliseconds.", OFF_OR_POSITIVE)
        .key("path.format", Type::String, Of(""), Medium, "Path Format",
            "The format of a TimeBasedPartitioner's folders, such as \
             'year'=YYYY/'month'=MM/'day'=dd/'hour'=HH.",
            Validator::None)
        .key("locale", Type::String, Of(""), Medium, "Locale",
            "The locale of a time-based partitioner, such as en-US.", Validator::None)
        .key("timezone", Type::String, Of(""), Medium, "Timezone",
            "The timezone of a time-based partitioner and of rotate.schedule.interval.ms, such as \
             Europe/Paris, UTC or +02:00.",
            Validator::Custom(check_zone))
        .key("timestamp.extractor", Type::String, Of("Wallclock"), Medium, "Timestamp Extractor",
            "Where a time-based partitioner takes the time from: Wallclock, Record or RecordField.",
            Validator::Custom(check_extractor))
        .key("timestamp.field", Type::String, Of("timestamp"), Medium,
            "Record Field for Timestamp Extractor",
            "The record field that RecordField takes the time from; dots reach into nested fields.",
            Validator::NonEmpty)
        .key("partitioner.max.open.files", Type::Int, Of("-1"), Low,
            "Partitioner max open files",
            "Files of a topic partition that may be open at once; all are committed before one more is \
             opened. -1 is no limit.",
            OFF_OR_POSITIVE)
        .done()
}

/// The group "Errors": null values.
#[rustfmt::skip]
pub fn define_nulls(def: ConfigDef) -> ConfigDef {
    use Importance::Low;
    Group::new(def, "Null values")
        .key("behavior.on.null.values", Type::String, Of("fail"), Low,
            "Behavior for null-valued records",
            "How to handle records with a null value: fail, ignore, or write (as null into the folder \
             tombstone.encoded.partition).",
            Validator::OneOfIgnoreCase(&["fail", "ignore", "write"]))
        .key("report.null.values.to.dlq", Type::Boolean, Of("true"), Low,
            "Report null value to dlq",
            "Whether ignored null values are sent to the dead letter queue.", Validator::None)
        .key("tombstone.encoded.partition", Type::String, Of("tombstone"), Low,
            "Tombstone Encoded Partition", "The folder that null values are written to.",
            Validator::NonEmpty)
        .done()
}

/// What the store's own keys contribute.
pub struct StoreSettings {
    pub compression: Compression,
    pub part_bytes: usize,
    pub retries: u32,
    pub backoff: Duration,
}

/// The settings of a parsed configuration; the errors are of keys that do not go together.
pub fn settings(values: &Parsed, store: StoreSettings) -> Result<Settings, Vec<ConfigError>> {
    let mut errors = Vec::new();
    let rotation = rotation(values, &mut errors);
    let format = format(values);
    let partitioner = match partitioner(values) {
        Ok(partitioner) => partitioner,
        Err(error) => {
            errors.push(error);
            Partitioner::Default
        }
    };
    if rotation.interval_ms.is_some() && !matches!(partitioner, Partitioner::Time(_)) {
        tracing::warn!(
            "rotate.interval.ms has no effect without a time-based partitioner; to commit files by \
             time use rotate.schedule.interval.ms"
        );
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let null_values = match values.string("behavior.on.null.values").to_ascii_lowercase().as_str() {
        "ignore" => NullValues::Ignore,
        "write" => NullValues::Write,
        _ => NullValues::Fail,
    };
    Ok(Settings {
        naming: Naming {
            topics_dir: values.string("topics.dir").to_owned(),
            directory_delim: values.string("directory.delim").to_owned(),
            file_delim: values.string("file.delim").to_owned(),
            zero_pad_width: values.long("filename.offset.zero.pad.width") as usize,
            extension: format!("{}{}", format.extension(), store.compression.extension()),
            template: None,
        },
        partitioner,
        rotation,
        format,
        compression: store.compression,
        part_bytes: store.part_bytes,
        memory_bytes: usize::try_from(values.long("millrace.memory.bytes")).unwrap_or(usize::MAX),
        null_values,
        report_nulls: values.bool("report.null.values.to.dlq"),
        tombstone_folder: values.string("tombstone.encoded.partition").to_owned(),
        retry: RetryPolicy {
            retries: store.retries,
            backoff: store.backoff,
            pause: Duration::from_millis(values.long("retry.backoff.ms") as u64),
        },
    })
}

fn format(values: &Parsed) -> Format {
    if simple(values.string("format.class")) == "ByteArrayFormat" {
        let separator = values.get("format.bytearray.separator").unwrap_or("\\n");
        Format::Bytes {
            separator: parse_separator(separator).unwrap_or_else(|_| b"\n".to_vec()),
            extension: values.string("format.bytearray.extension").to_owned(),
        }
    } else {
        let decimal_numeric = values.string("json.decimal.format").eq_ignore_ascii_case("NUMERIC");
        Format::Json { decimal_numeric }
    }
}

fn positive(values: &Parsed, key: &str) -> Option<i64> {
    Some(values.long(key)).filter(|value| *value > 0)
}

fn rotation(values: &Parsed, errors: &mut Vec<ConfigError>) -> Rotation {
    let flush_size = values.get("flush.size").and_then(|text| text.parse().ok());
    let interval_ms = positive(values, "rotate.interval.ms");
    let scheduled = positive(values, "rotate.schedule.interval.ms");
    let bytes = positive(values, "millrace.rotate.bytes");
    if flush_size.is_none() && interval_ms.is_none() && scheduled.is_none() && bytes.is_none() {
        errors.push(ConfigError {
            key: "flush.size".to_owned(),
            message:
                "Missing required configuration \"flush.size\" which has no default value: set \
                      it, or rotate.interval.ms, rotate.schedule.interval.ms or \
                      millrace.rotate.bytes, or files would never be completed"
                    .to_owned(),
        });
    }
    let schedule = scheduled.and_then(|interval_ms| {
        let id = values.string("timezone");
        match parse_zone(id) {
            Ok(zone) => Some(Schedule { interval_ms, zone }),
            Err(_) => {
                let why =
                    "timezone must be set when using rotate.schedule.interval.ms, such as UTC";
                errors.push(ConfigError::invalid("timezone", id, why));
                None
            }
        }
    });
    Rotation {
        flush_size,
        interval_ms,
        schedule,
        bytes: bytes.map(|bytes| bytes as u64),
        on_partition_change: values.bool("rotate.file.on.partition.change"),
        max_open_files: positive(values, "partitioner.max.open.files").map(|most| most as usize),
    }
}

fn partitioner(values: &Parsed) -> Result<Partitioner, ConfigError> {
    let delim = values.string("directory.delim");
    let daily = format!("'year'=YYYY{delim}'month'=MM{delim}'day'=dd");
    match simple(values.string("partitioner.class")) {
        "FieldPartitioner" => field_partitioner(values, delim),
        "DailyPartitioner" => time_partitioner(values, 86_400_000, &daily),
        "HourlyPartitioner" => {
            time_partitioner(values, 3_600_000, &format!("{daily}{delim}'hour'=HH"))
        }
        "TimeBasedPartitioner" => {
            let duration = values.long("partition.duration.ms");
            if duration <= 0 {
                return Err(ConfigError::invalid(
                    "partition.duration.ms",
                    &duration.to_string(),
                    "Partition duration needs to be a positive, such as 3600000 for hours.",
                ));
            }
            let pattern = values.string("path.format");
            let pattern = pattern.strip_suffix(delim).unwrap_or(pattern);
            if pattern.trim().is_empty() {
                let why = "Path format cannot be empty; such as 'year'=YYYY/'month'=MM/'day'=dd";
                return Err(ConfigError::invalid("path.format", pattern, why));
            }
            time_partitioner(values, duration, pattern)
        }
        _ => Ok(Partitioner::Default),
    }
}

fn field_partitioner(values: &Parsed, delim: &str) -> Result<Partitioner, ConfigError> {
    let names = values.list("partition.field.name");
    let wrong = |why| ConfigError::invalid("partition.field.name", &names.join(","), why);
    if names.is_empty() {
        return Err(wrong("FieldPartitioner needs at least one field"));
    }
    if names.iter().any(|name| name.split('.').any(|segment| segment.trim().is_empty())) {
        return Err(wrong("Field name cannot contain an empty or whitespace-only path segment"));
    }
    Ok(Partitioner::Field {
        fields: names.iter().map(|name| FieldPath::new(name)).collect(),
        delim: delim.to_owned(),
    })
}

fn time_partitioner(
    values: &Parsed,
    duration_ms: i64,
    pattern: &str,
) -> Result<Partitioner, ConfigError> {
    let invalid = |key: &str, why: &str| {
        let value = if key == "path.format" { pattern } else { values.string(key) };
        ConfigError::invalid(key, value, why)
    };
    let format = PathFormat::parse(pattern).map_err(|why| invalid("path.format", &why))?;
    let locale = values.string("locale");
    if locale.is_empty() {
        return Err(invalid("locale", "Locale cannot be empty; such as en-US"));
    }
    if format.prints_names() && !locale.to_ascii_lowercase().starts_with("en") {
        let why = "path.format prints names, which are built in for English only; use numbers";
        return Err(invalid("locale", why));
    }
    let id = values.string("timezone");
    if id.is_empty() {
        return Err(invalid("timezone", "Timezone cannot be empty; such as UTC"));
    }
    let zone = parse_zone(id).map_err(|why| invalid("timezone", &why))?;
    let field = values.string("timestamp.field");
    let extractor = TimestampExtractor::parse(values.string("timestamp.extractor"), field)
        .map_err(|why| invalid("timestamp.extractor", &why))?;
    Ok(Partitioner::Time(TimePartitioner { duration_ms, format, zone, extractor }))
}
