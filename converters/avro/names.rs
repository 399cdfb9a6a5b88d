//! The words that `AvroData` writes into schemas.

pub(super) const CONNECT_DEFAULT: &str = "io.confluent.connect.avro.ConnectDefault";
pub(super) const MAP_ENTRY: &str = "io.confluent.connect.avro.MapEntry";
pub(super) const ANYTHING: &str = "io.confluent.connect.avro.Anything";
pub(super) const UNION: &str = "io.confluent.connect.avro.Union";
pub(super) const ENUM: &str = "io.confluent.connect.avro.Enum";
pub(super) const GENERALIZED_UNION: &str = "org.apache.kafka.connect.data.Union";
pub(super) const GENERALIZED_ENUM: &str = "org.apache.kafka.connect.data.Enum";
pub(super) const RECORD_DOC: &str = "io.confluent.connect.avro.record.doc";
pub(super) const FIELD_DOC_PREFIX: &str = "io.confluent.connect.avro.field.doc.";
pub(super) const FIELD_DEFAULT_FLAG: &str = "io.confluent.connect.avro.field.default";
pub(super) const ENUM_DOC_PREFIX: &str = "io.confluent.connect.avro.enum.doc.";
pub(super) const ENUM_DEFAULT_PREFIX: &str = "io.confluent.connect.avro.enum.default.";

pub(super) const NAME: &str = "connect.name";
pub(super) const DOC: &str = "connect.doc";
pub(super) const VERSION: &str = "connect.version";
pub(super) const PARAMETERS: &str = "connect.parameters";
pub(super) const DEFAULT: &str = "connect.default";
pub(super) const TYPE: &str = "connect.type";
pub(super) const INTERNAL_TYPE: &str = "connect.internal.type";
pub(super) const FIXED_SIZE: &str = "connect.fixed.size";
pub(super) const DECIMAL_PRECISION: &str = "connect.decimal.precision";
pub(super) const CONNECT_RECORD_DOC: &str = "connect.record.doc";
pub(super) const CONNECT_ENUM_DOC: &str = "connect.enum.doc";

/// A decimal's precision where nobody says one.
pub(super) const PRECISION_DEFAULT: i64 = 64;

/// The fields of [`ANYTHING`], each a union of null and the type of that name.
pub(super) const ANYTHING_FIELDS: [&str; 9] =
    ["boolean", "bytes", "double", "float", "int", "long", "string", "array", "map"];

/// [`ANYTHING`] as Avro prints it.
pub(super) const ANYTHING_TEXT: &str = concat!(
    r#"{"type":"record","name":"Anything","namespace":"io.confluent.connect.avro","fields":["#,
    r#"{"name":"boolean","type":["null","boolean"],"default":null},"#,
    r#"{"name":"bytes","type":["null","bytes"],"default":null},"#,
    r#"{"name":"double","type":["null","double"],"default":null},"#,
    r#"{"name":"float","type":["null","float"],"default":null},"#,
    r#"{"name":"int","type":["null","int"],"default":null},"#,
    r#"{"name":"long","type":["null","long"],"default":null},"#,
    r#"{"name":"string","type":["null","string"],"default":null},"#,
    r#"{"name":"array","type":["null",{"type":"array","items":"Anything"}],"default":null},"#,
    r#"{"name":"map","type":["null",{"type":"array","items":{"type":"record","name":"MapEntry","#,
    r#""fields":[{"name":"key","type":"Anything"},{"name":"value","type":"Anything"}]}}],"#,
    r#""default":null}]}"#
);
