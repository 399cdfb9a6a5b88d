//! What is measured.

use crate::chains;
use crate::events::{LENGTHS, TOPIC, VARIED};

/// One row of the table: the same connector settings for both workers where both have them.
#[derive(Clone)]
pub struct Scenario {
    pub name: &'static str,
    pub title: &'static str,
    pub kind: Kind,
    /// The topic that a sink reads.
    pub topic: &'static str,
    /// Beside name, class, topics: for both.
    pub connector: &'static [(&'static str, &'static str)],
    pub jvm: bool,
    /// What the JVM's worker has instead, where it has not the same class.
    pub instead: &'static [(&'static str, &'static str)],
    /// The row of the same work up to the sink, whose JVM's figure bounds this one's from below: there
    /// is no sink for it that anyone can have from Maven Central.
    pub at_least: Option<&'static str>,
    /// Ours at most, in ns of CPU a record, and the ratio that must be reached.
    pub budget_ns: u32,
    pub ratio: f64,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Null,
    File,
    S3,
    Elasticsearch,
    Source,
    FileSource,
}

const RAW: &[(&str, &str)] = &[
    ("key.converter", "org.apache.kafka.connect.converters.ByteArrayConverter"),
    ("value.converter", "org.apache.kafka.connect.converters.ByteArrayConverter"),
];

const JSON: &[(&str, &str)] = &[
    ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
    ("value.converter.schemas.enable", "false"),
];

macro_rules! json_smt {
    ($($more:expr),*) => {
        &[
            ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
            ("value.converter.schemas.enable", "false"),
            ("transforms", "insert,mask,replace"),
            ("transforms.insert.type", "org.apache.kafka.connect.transforms.InsertField$Value"),
            ("transforms.insert.static.field", "source"),
            ("transforms.insert.static.value", "perf"),
            ("transforms.mask.type", "org.apache.kafka.connect.transforms.MaskField$Value"),
            ("transforms.mask.fields", "ip"),
            ("transforms.replace.type", "org.apache.kafka.connect.transforms.ReplaceField$Value"),
            ("transforms.replace.renames", "ua:user_agent"),
            ("transforms.replace.exclude", "ref"),
            $($more),*
        ]
    };
}

pub const S3: &[(&str, &str)] = json_smt!();

/// What keeps a core busiest.
const GZIP_6: &[(&str, &str)] =
    json_smt!(("s3.compression.type", "gzip"), ("s3.compression.level", "6"));

pub const INTO_ELASTICSEARCH: &[(&str, &str)] =
    json_smt!(("key.ignore", "true"), ("schema.ignore", "true"));

const STRINGS: &[(&str, &str)] =
    &[("value.converter", "org.apache.kafka.connect.storage.StringConverter")];

pub fn all() -> Vec<Scenario> {
    [null_sinks(), other_events(), chains::all(), object_stores(), others()].concat()
}

pub fn row(
    name: &'static str,
    title: &'static str,
    kind: Kind,
    connector: &'static [(&'static str, &'static str)],
    jvm: bool,
    budget_ns: u32,
    ratio: f64,
) -> Scenario {
    let (topic, instead, at_least) = (TOPIC, &[] as &[_], None);
    Scenario { name, title, kind, topic, connector, jvm, instead, at_least, budget_ns, ratio }
}

fn null_sinks() -> Vec<Scenario> {
    use Kind::Null;
    vec![
        row("raw", "raw bytes, null sink", Null, RAW, true, 200, 10.0),
        row("json", "JSON checked, null sink", Null, JSON, true, 450, 10.0),
        row(
            "smt",
            "JSON, 3 transforms, JSON lines, null sink",
            Null,
            json_smt!(("null.format", "json")),
            true,
            360,
            20.0,
        ),
    ]
}

/// Events that are not as alike as the others.
fn other_events() -> Vec<Scenario> {
    use Kind::Null;
    let lines = json_smt!(("null.format", "json"));
    let rows = [
        (VARIED, "json-varied", "JSON checked, members vary, null sink", JSON, false),
        (
            VARIED,
            "smt-varied",
            "JSON, members vary, 3 transforms, JSON lines, null sink",
            lines,
            false,
        ),
        (LENGTHS, "json-lengths", "JSON checked, values of all lengths, null sink", JSON, true),
        (
            LENGTHS,
            "smt-lengths",
            "JSON, values of all lengths, 3 transforms, JSON lines, null sink",
            lines,
            true,
        ),
    ];
    let scenario = |(topic, name, title, connector, jvm)| {
        let ratio = if jvm { 10.0 } else { 0.0 };
        Scenario { topic, ..row(name, title, Null, connector, jvm, 480, ratio) }
    };
    rows.into_iter().map(scenario).collect()
}

fn object_stores() -> Vec<Scenario> {
    use Kind::S3 as Object;
    vec![
        Scenario {
            at_least: Some("smt"),
            ..row("s3-none", "the same to S3, no compression", Object, S3, false, 560, 10.0)
        },
        row(
            "s3-unsigned",
            "the same to S3, no compression, bodies unsigned",
            Object,
            json_smt!(("millrace.s3.unsigned.payload", "true")),
            false,
            560,
            0.0,
        ),
        row(
            "s3-zstd1",
            "the same to S3, zstd 1",
            Object,
            json_smt!(("s3.compression.type", "zstd"), ("s3.compression.level", "1")),
            false,
            1130,
            0.0,
        ),
        row(
            "s3-gzip1",
            "the same to S3, gzip 1",
            Object,
            json_smt!(("s3.compression.type", "gzip"), ("s3.compression.level", "1")),
            false,
            1480,
            0.0,
        ),
        row("s3-gzip6", "the same to S3, gzip 6", Object, GZIP_6, false, 3650, 0.0),
    ]
}

fn others() -> Vec<Scenario> {
    use Kind::{Elasticsearch, File, FileSource, Source};
    vec![
        Scenario {
            at_least: Some("smt"),
            ..row(
                "elasticsearch",
                "JSON, 3 transforms, bulk requests to a stand-in that answers at once",
                Elasticsearch,
                INTO_ELASTICSEARCH,
                false,
                550,
                12.0,
            )
        },
        row("file", "strings, FileStream sink", File, STRINGS, true, 320, 10.0),
        row("source", "datagen to Kafka, lz4", Source, STRINGS, true, 900, 6.0),
        row("file-source", "FileStream source to Kafka, lz4", FileSource, STRINGS, true, 900, 6.0),
    ]
}
