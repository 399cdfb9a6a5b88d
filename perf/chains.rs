//! Longer chains, and converters whose records carry a schema: what each transform adds to `json`,
//! eight at once, JSON with schemas, a change event unwrapped, what a registry has schemas of, a join,
//! an expression.

use crate::events::{AVRO, CHANGES, ENVELOPES, JSON_SCHEMA, PLAIN_CHANGES, PROTOBUF, TOPIC};
use crate::scenario::{Kind, Scenario, row};

/// Stands in a setting for the path of a CSV table of a million rows, which every event finds.
pub const ROWS: &str = "{rows}";
/// Stands for the URL of the registry's API that Confluent's clients know.
pub const REGISTRY: &str = "{registry}";
/// Stands for the URL of the registry's own API.
pub const OWN_REGISTRY: &str = "{own-registry}";

macro_rules! json {
    ($schemas:literal $(, $more:expr)* $(,)?) => {
        &[
            ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
            ("value.converter.schemas.enable", $schemas),
            $($more),*
        ]
    };
}

macro_rules! one {
    ($class:literal $(, $more:expr)* $(,)?) => {
        json!(
            "false",
            ("transforms", "one"),
            ("transforms.one.type", concat!("org.apache.kafka.connect.transforms.", $class)),
            $($more),*
        )
    };
}

const EIGHT: &[(&str, &str)] = json!(
    "false",
    ("transforms", "source,at,ip,names,id,time,note,event"),
    ("transforms.source.type", "org.apache.kafka.connect.transforms.InsertField$Value"),
    ("transforms.source.static.field", "source"),
    ("transforms.source.static.value", "perf"),
    ("transforms.at.type", "org.apache.kafka.connect.transforms.InsertField$Value"),
    ("transforms.at.offset.field", "offset"),
    ("transforms.ip.type", "org.apache.kafka.connect.transforms.MaskField$Value"),
    ("transforms.ip.fields", "ip"),
    ("transforms.names.type", "org.apache.kafka.connect.transforms.ReplaceField$Value"),
    ("transforms.names.renames", "ua:user_agent"),
    ("transforms.names.exclude", "ref"),
    ("transforms.id.type", "org.apache.kafka.connect.transforms.Cast$Value"),
    ("transforms.id.spec", "id:string"),
    ("transforms.time.type", "org.apache.kafka.connect.transforms.TimestampConverter$Value"),
    ("transforms.time.field", "ts"),
    ("transforms.time.target.type", "string"),
    ("transforms.time.format", "yyyy-MM-dd'T'HH:mm:ss"),
    ("transforms.note.type", "org.apache.kafka.connect.transforms.MaskField$Value"),
    ("transforms.note.fields", "note"),
    ("transforms.note.replacement", "-"),
    ("transforms.event.type", "org.apache.kafka.connect.transforms.HoistField$Value"),
    ("transforms.event.field", "event"),
);

const UNWRAP: &[(&str, &str)] = json!(
    "true",
    ("transforms", "unwrap"),
    ("transforms.unwrap.type", "io.debezium.transforms.ExtractNewRecordState"),
);

const UNWRAP_PLAIN: &[(&str, &str)] = json!(
    "false",
    ("transforms", "unwrap"),
    ("transforms.unwrap.type", "io.debezium.transforms.ExtractNewRecordState"),
    ("transforms.unwrap.millrace.unwrap.schemaless", "true"),
);

const ENRICH: &[(&str, &str)] = json!(
    "false",
    ("transforms", "join"),
    ("transforms.join.type", "millrace.Enrich"),
    ("transforms.join.key", "value.user.name"),
    ("transforms.join.fields", "segment,city"),
    ("transforms.join.table.file", ROWS),
    ("transforms.join.table.key", "name"),
);

const EXPRESSION: &[(&str, &str)] = json!(
    "false",
    ("transforms", "sum"),
    ("transforms.sum.type", "millrace.Expression"),
    ("transforms.sum.set.total", "value.amount * 1.19"),
    ("transforms.sum.drop", "value.user.country == 'XX'"),
);

macro_rules! registered {
    ($class:literal $(, $more:expr)*) => {
        &[
            ("value.converter", concat!("io.confluent.connect.", $class)),
            ("value.converter.schema.registry.url", REGISTRY),
            $($more),*
        ]
    };
}

const AVRO_CONVERTER: &[(&str, &str)] = registered!("avro.AvroConverter");
const JSON_SCHEMA_CONVERTER: &[(&str, &str)] = registered!("json.JsonSchemaConverter");
const PROTOBUF_CONVERTER: &[(&str, &str)] = registered!("protobuf.ProtobufConverter");

/// The converter that writes the topic's records under a schema; `None`: they are plain lines.
pub fn converter_of(topic: &str) -> Option<&'static [(&'static str, &'static str)]> {
    match topic {
        AVRO => Some(AVRO_CONVERTER),
        JSON_SCHEMA => Some(JSON_SCHEMA_CONVERTER),
        PROTOBUF => Some(PROTOBUF_CONVERTER),
        _ => None,
    }
}

/// Confluent's converter is not on Maven Central; Apicurio's, made after it, reads the same bytes.
const APICURIO: &[(&str, &str)] = &[
    ("value.converter", "io.apicurio.registry.utils.converter.AvroConverter"),
    ("value.converter.apicurio.registry.url", OWN_REGISTRY),
    ("value.converter.apicurio.registry.as-confluent", "true"),
];

pub fn all() -> Vec<Scenario> {
    [singles(), schemas(), made_here()].concat()
}

/// Each row's figure less that of `json` is the transform's.
fn singles() -> Vec<Scenario> {
    let single = |name, title, connector| row(name, title, Kind::Null, connector, true, 530, 0.0);
    vec![
        single(
            "insert",
            "JSON, InsertField, null sink",
            one!(
                "InsertField$Value",
                ("transforms.one.static.field", "source"),
                ("transforms.one.static.value", "perf")
            ),
        ),
        single(
            "mask",
            "JSON, MaskField, null sink",
            one!("MaskField$Value", ("transforms.one.fields", "ip")),
        ),
        single(
            "replace",
            "JSON, ReplaceField, null sink",
            one!("ReplaceField$Value", ("transforms.one.exclude", "ref")),
        ),
        single(
            "cast",
            "JSON, Cast, null sink",
            one!("Cast$Value", ("transforms.one.spec", "id:string")),
        ),
        single(
            "timestamp",
            "JSON, TimestampConverter, null sink",
            one!(
                "TimestampConverter$Value",
                ("transforms.one.field", "ts"),
                ("transforms.one.target.type", "string"),
                ("transforms.one.format", "yyyy-MM-dd'T'HH:mm:ss")
            ),
        ),
        single(
            "extract",
            "JSON, ExtractField, null sink",
            one!("ExtractField$Value", ("transforms.one.field", "user")),
        ),
        single(
            "hoist",
            "JSON, HoistField, null sink",
            one!("HoistField$Value", ("transforms.one.field", "event")),
        ),
        row("eight", "JSON, 8 transforms, null sink", Kind::Null, EIGHT, true, 1100, 15.0),
    ]
}

fn schemas() -> Vec<Scenario> {
    let over = |topic, row| Scenario { topic, ..row };
    let null = Kind::Null;
    let avro = |row| Scenario { topic: AVRO, instead: APICURIO, ..row };
    vec![
        over(
            ENVELOPES,
            row("envelope", "JSON with schemas, null sink", null, json!("true"), true, 1500, 12.0),
        ),
        over(
            CHANGES,
            row(
                "unwrap",
                "Debezium change event with schemas unwrapped, null sink",
                null,
                UNWRAP,
                true,
                900,
                12.0,
            ),
        ),
        over(
            PLAIN_CHANGES,
            row(
                "unwrap-plain",
                "Debezium change event unwrapped, null sink",
                null,
                UNWRAP_PLAIN,
                false,
                900,
                0.0,
            ),
        ),
        avro(row("avro", "Avro, null sink", null, AVRO_CONVERTER, true, 450, 8.0)),
        avro(row(
            "avro-json",
            "Avro, JSON lines, null sink",
            null,
            registered!("avro.AvroConverter", ("null.format", "json")),
            true,
            600,
            10.0,
        )),
        // The JVM's converters of these are not on Maven Central, nor others for the same bytes.
        over(
            JSON_SCHEMA,
            row(
                "json-schema",
                "JSON under a registry's schema, null sink",
                null,
                JSON_SCHEMA_CONVERTER,
                false,
                450,
                0.0,
            ),
        ),
        over(
            PROTOBUF,
            row("protobuf", "Protobuf, null sink", null, PROTOBUF_CONVERTER, false, 450, 0.0),
        ),
    ]
}

/// What Kafka Connect has no class for.
fn made_here() -> Vec<Scenario> {
    let null = Kind::Null;
    let rows = vec![
        row("enrich", "JSON joined with a million rows, null sink", null, ENRICH, false, 700, 0.0),
        row("expression", "JSON, an expression, null sink", null, EXPRESSION, false, 900, 0.0),
    ];
    rows.into_iter().map(|row| Scenario { topic: TOPIC, ..row }).collect()
}
